// What every source begins with: numbers, their functions, and sums over threads in a fixed order.
//
// S is what activations are stored in, C what is computed in; they differ for 16 bits. Blocks have BLOCK threads. All
// loops go on by the size of the grid, so that any grid computes everything, and sums depend on the grid alone.
#ifdef BPX_HEADER
#include BPX_HEADER
#endif

typedef BPX_STORAGE S;
typedef BPX_COMPUTE C;
typedef long long Index;

enum { BLOCK = 256, WARP = 32 };

// What `xp.finfo` gives for C, and the largest x for which exp(x) is finite.
struct Limits {
  static constexpr bool is_double = sizeof(C) == sizeof(double);
  static constexpr C smallest_normal = C(is_double ? 2.2250738585072014e-308 : 1.1754943508222875e-38);
  static constexpr C epsilon = C(is_double ? 2.220446049250313e-16 : 1.1920928955078125e-07);
  static constexpr C largest_exponent = C(is_double ? 709.782712893384 : 88.72283905206835);
};

namespace math {

__device__ inline float exp(float x) { return ::expf(x); }
__device__ inline double exp(double x) { return ::exp(x); }
__device__ inline float expm1(float x) { return ::expm1f(x); }
__device__ inline double expm1(double x) { return ::expm1(x); }
__device__ inline float log(float x) { return ::logf(x); }
__device__ inline double log(double x) { return ::log(x); }
__device__ inline float log1p(float x) { return ::log1pf(x); }
__device__ inline double log1p(double x) { return ::log1p(x); }
__device__ inline float tanh(float x) { return ::tanhf(x); }
__device__ inline double tanh(double x) { return ::tanh(x); }
__device__ inline float sqrt(float x) { return ::sqrtf(x); }
__device__ inline double sqrt(double x) { return ::sqrt(x); }
__device__ inline float abs(float x) { return ::fabsf(x); }
__device__ inline double abs(double x) { return ::fabs(x); }

// As the array API has them: a NaN on either side is the result.
template <class T>
__device__ inline T maximum(T x, T y) {
  return x > y || x != x ? x : y;
}
template <class T>
__device__ inline T minimum(T x, T y) {
  return x < y || x != x ? x : y;
}
__device__ inline C infinity() { return C(__longlong_as_double(0x7ff0000000000000ll)); }
// 0 and NaN as they are.
template <class T>
__device__ inline T sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
}
template <class T>
__device__ inline bool finite(T x) {
  return x - x == T(0);
}

__device__ inline C sigmoid(C z) { return C(1) / (C(1) + exp(minimum(-z, Limits::largest_exponent - C(1)))); }
// exp(z), continued as its tangent beyond 0.8 of the largest exponent.
__device__ inline C held_exponent(C z) { return minimum(z, C(0.8) * Limits::largest_exponent); }
__device__ inline C exp_with_tangent(C z) {
  const C held = held_exponent(z);
  return exp(held) * (C(1) + (z - held));
}

}  // namespace math

// Quotients of numbers that are not negative; 64-bit division is slow, and seldom needed.
__device__ inline Index quotient(Index a, Index b) {
  return ((a | b) >> 32) == 0 ? Index((unsigned int)a / (unsigned int)b) : a / b;
}
__device__ inline Index remainder_of(Index a, Index b) { return a - quotient(a, b) * b; }

// Several numbers that are read or written at once.
template <class T, int COUNT>
struct alignas(sizeof(T) * COUNT) Pack {
  T of[COUNT];
};
// Written at once: a plain assignment of numbers just put together is compiled to a store for each of them.
template <class T, int COUNT>
__device__ inline void put(Pack<T, COUNT> *to, const Pack<T, COUNT> &pack) {
  if constexpr (COUNT > 1 && sizeof(pack) == 16) {
    uint4 words;
    memcpy(&words, &pack, sizeof(words));
    __stwb(reinterpret_cast<uint4 *>(to), words);
  } else if constexpr (COUNT > 1 && sizeof(pack) == 8) {
    uint2 words;
    memcpy(&words, &pack, sizeof(words));
    __stwb(reinterpret_cast<uint2 *>(to), words);
  } else {
    *to = pack;
  }
}
template <class T>
__device__ inline bool is_aligned(const T *p) {
  return reinterpret_cast<unsigned long long>(p) % 16 == 0;
}

struct Sum {
  template <class T>
  static __device__ inline T of(T x, T y) {
    return x + y;
  }
};
struct Maximum {
  template <class T>
  static __device__ inline T of(T x, T y) {
    return math::maximum(x, y);
  }
};

// The sum (or maximum) of what the threads of each group hold, in every thread of it. A group has `lanes` consecutive
// threads: a power of two up to WARP, or BLOCK. All threads of the block take part.
template <class Of, class T>
__device__ T over_group(T value, int lanes) {
  for (int by = (lanes < WARP ? lanes : WARP) / 2; by > 0; by /= 2)
    value = Of::of(value, __shfl_xor_sync(0xffffffffu, value, by));
  if (lanes <= WARP) return value;
  __shared__ T of_warp[BLOCK / WARP];
  __syncthreads();  // what was there may still be read
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = value;
  __syncthreads();
  value = of_warp[0];
  for (int warp = 1; warp < BLOCK / WARP; ++warp) value = Of::of(value, of_warp[warp]);
  return value;
}
template <class T>
__device__ inline T group_sum(T value, int lanes) {
  return over_group<Sum>(value, lanes);
}
template <class T>
__device__ inline T block_sum(T value) {
  return over_group<Sum>(value, BLOCK);
}

// Mathematics, bits and atomics that CUDA has and <cmath> has not. Single rounding, no fused multiply-add unless asked.
#pragma once

#define CUDA_ON_CPU_FUNCTION [[maybe_unused]] static inline

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;
using std::size_t;

#ifndef CUDART_INF
#define CUDART_INF __builtin_inf()
#define CUDART_INF_F __builtin_inff()
#define CUDART_NAN __builtin_nan("")
#define CUDART_NAN_F __builtin_nanf("")
#endif

// glibc 2.41 and newer declare these themselves, as functions that a static one of the same name cannot stand beside.
#define sinpi cuda_on_cpu_sinpi
#define sinpif cuda_on_cpu_sinpif
#define cospi cuda_on_cpu_cospi
#define cospif cuda_on_cpu_cospif
#define rsqrt cuda_on_cpu_rsqrt
#define rsqrtf cuda_on_cpu_rsqrtf

CUDA_ON_CPU_FUNCTION float rsqrtf(float x) { return float(1.0 / std::sqrt(double(x))); }
CUDA_ON_CPU_FUNCTION double rsqrt(double x) { return 1.0 / std::sqrt(x); }
CUDA_ON_CPU_FUNCTION float rsqrt(float x) { return rsqrtf(x); }
CUDA_ON_CPU_FUNCTION double rcbrt(double x) { return 1.0 / std::cbrt(x); }
CUDA_ON_CPU_FUNCTION float sinpif(float x) { return float(std::sin(M_PI * double(x))); }
CUDA_ON_CPU_FUNCTION float cospif(float x) { return float(std::cos(M_PI * double(x))); }
CUDA_ON_CPU_FUNCTION double sinpi(double x) { return std::sin(M_PI * x); }
CUDA_ON_CPU_FUNCTION double cospi(double x) { return std::cos(M_PI * x); }
CUDA_ON_CPU_FUNCTION float normcdff(float x) { return float(0.5 * std::erfc(-double(x) * M_SQRT1_2)); }
CUDA_ON_CPU_FUNCTION double normcdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }
CUDA_ON_CPU_FUNCTION float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
CUDA_ON_CPU_FUNCTION float fdividef(float x, float y) { return x / y; }

// The fast functions are exact here: their errors are a GPU's own. (glibc keeps these names for itself.)
#define __expf expf
#define __logf logf
#define __log2f log2f
#define __powf powf
#define __sinf sinf
#define __cosf cosf
CUDA_ON_CPU_FUNCTION float __fdividef(float x, float y) { return x / y; }

// Rounded once, to nearest.
CUDA_ON_CPU_FUNCTION float __fadd_rn(float x, float y) { return x + y; }
CUDA_ON_CPU_FUNCTION float __fsub_rn(float x, float y) { return x - y; }
CUDA_ON_CPU_FUNCTION float __fmul_rn(float x, float y) { return x * y; }
CUDA_ON_CPU_FUNCTION float __fdiv_rn(float x, float y) { return x / y; }
CUDA_ON_CPU_FUNCTION float __frcp_rn(float x) { return 1.0f / x; }
CUDA_ON_CPU_FUNCTION float __fsqrt_rn(float x) { return std::sqrt(x); }
CUDA_ON_CPU_FUNCTION float __frsqrt_rn(float x) { return rsqrtf(x); }
CUDA_ON_CPU_FUNCTION float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
CUDA_ON_CPU_FUNCTION double __dadd_rn(double x, double y) { return x + y; }
CUDA_ON_CPU_FUNCTION double __dsub_rn(double x, double y) { return x - y; }
CUDA_ON_CPU_FUNCTION double __dmul_rn(double x, double y) { return x * y; }
CUDA_ON_CPU_FUNCTION double __ddiv_rn(double x, double y) { return x / y; }
CUDA_ON_CPU_FUNCTION double __drcp_rn(double x) { return 1.0 / x; }
CUDA_ON_CPU_FUNCTION double __dsqrt_rn(double x) { return std::sqrt(x); }
CUDA_ON_CPU_FUNCTION double __fma_rn(double x, double y, double z) { return std::fma(x, y, z); }
CUDA_ON_CPU_FUNCTION int __float2int_rn(float x) { return int(std::nearbyint(x)); }
CUDA_ON_CPU_FUNCTION int __float2int_rz(float x) { return int(x); }
CUDA_ON_CPU_FUNCTION float __int2float_rn(int x) { return float(x); }
CUDA_ON_CPU_FUNCTION float __uint2float_rn(unsigned int x) { return float(x); }
CUDA_ON_CPU_FUNCTION float __double2float_rn(double x) { return float(x); }

template <class To, class From>
To cuda_on_cpu_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
CUDA_ON_CPU_FUNCTION int __float_as_int(float x) { return cuda_on_cpu_bits<int>(x); }
CUDA_ON_CPU_FUNCTION unsigned int __float_as_uint(float x) { return cuda_on_cpu_bits<unsigned int>(x); }
CUDA_ON_CPU_FUNCTION float __int_as_float(int x) { return cuda_on_cpu_bits<float>(x); }
CUDA_ON_CPU_FUNCTION float __uint_as_float(unsigned int x) { return cuda_on_cpu_bits<float>(x); }
CUDA_ON_CPU_FUNCTION long long __double_as_longlong(double x) { return cuda_on_cpu_bits<long long>(x); }
CUDA_ON_CPU_FUNCTION double __longlong_as_double(long long x) { return cuda_on_cpu_bits<double>(x); }

CUDA_ON_CPU_FUNCTION int __mulhi(int x, int y) { return int((1ll * x * y) >> 32); }
CUDA_ON_CPU_FUNCTION unsigned int __umulhi(unsigned int x, unsigned int y) { return unsigned((1ull * x * y) >> 32); }
CUDA_ON_CPU_FUNCTION long long __mul64hi(long long x, long long y) { return (long long)((__int128(x) * y) >> 64); }
CUDA_ON_CPU_FUNCTION unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((static_cast<unsigned __int128>(x) * y) >> 64);
}
CUDA_ON_CPU_FUNCTION int __popc(unsigned int x) { return __builtin_popcount(x); }
CUDA_ON_CPU_FUNCTION int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
CUDA_ON_CPU_FUNCTION int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
CUDA_ON_CPU_FUNCTION int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
CUDA_ON_CPU_FUNCTION int __ffs(int x) { return __builtin_ffs(x); }
CUDA_ON_CPU_FUNCTION int __ffsll(long long x) { return __builtin_ffsll(x); }
CUDA_ON_CPU_FUNCTION unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int by) {
  return by & 31u ? high << (by & 31u) | low >> (32u - (by & 31u)) : high;
}
CUDA_ON_CPU_FUNCTION unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int by) {
  return by & 31u ? high << (32u - (by & 31u)) | low >> (by & 31u) : low;
}

// min and max: CUDA's take any pair of numbers and leave a NaN out, as fmin and fmax do.
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
  else return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
  else return T(a) < T(b) ? T(b) : T(a);
}

template <class T>
T __ldg(const T* p) { return *p; }
template <class T>
T __ldcs(const T* p) { return *p; }
template <class T>
void __stcs(T* p, T value) { *p = value; }
template <class T>
void __stwb(T* p, T value) { *p = value; }

// One thread runs at a time, so these are plain; launches of other host threads are not seen as they would be on a GPU.
#define CUDA_ON_CPU_ATOMIC(T)                                                                                       \
  CUDA_ON_CPU_FUNCTION T atomicAdd(T* p, T x) { const T old = *p; *p = old + x; return old; }                       \
  CUDA_ON_CPU_FUNCTION T atomicExch(T* p, T x) { const T old = *p; *p = x; return old; }
#define CUDA_ON_CPU_ATOMIC_INTEGER(T)                                                                               \
  CUDA_ON_CPU_ATOMIC(T)                                                                                             \
  CUDA_ON_CPU_FUNCTION T atomicMax(T* p, T x) { const T old = *p; *p = old < x ? x : old; return old; }             \
  CUDA_ON_CPU_FUNCTION T atomicMin(T* p, T x) { const T old = *p; *p = x < old ? x : old; return old; }             \
  CUDA_ON_CPU_FUNCTION T atomicAnd(T* p, T x) { const T old = *p; *p = old & x; return old; }                       \
  CUDA_ON_CPU_FUNCTION T atomicOr(T* p, T x) { const T old = *p; *p = old | x; return old; }                        \
  CUDA_ON_CPU_FUNCTION T atomicXor(T* p, T x) { const T old = *p; *p = old ^ x; return old; }                       \
  CUDA_ON_CPU_FUNCTION T atomicCAS(T* p, T was, T x) { const T old = *p; if (old == was) *p = x; return old; }
CUDA_ON_CPU_ATOMIC(float)
CUDA_ON_CPU_ATOMIC(double)
CUDA_ON_CPU_ATOMIC_INTEGER(int)
CUDA_ON_CPU_ATOMIC_INTEGER(unsigned int)
CUDA_ON_CPU_ATOMIC_INTEGER(unsigned long long)
#undef CUDA_ON_CPU_ATOMIC_INTEGER
#undef CUDA_ON_CPU_ATOMIC
CUDA_ON_CPU_FUNCTION int atomicSub(int* p, int x) { return atomicAdd(p, -x); }
CUDA_ON_CPU_FUNCTION unsigned int atomicSub(unsigned int* p, unsigned int x) { return atomicAdd(p, 0u - x); }
CUDA_ON_CPU_FUNCTION unsigned int atomicInc(unsigned int* p, unsigned int limit) {
  const unsigned int old = *p;
  *p = old >= limit ? 0 : old + 1;
  return old;
}

// What every source begins with: numbers, and what formulas.h makes its formulas of.
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

__device__ inline C infinity() { return C(__longlong_as_double(0x7ff0000000000000ll)); }
template <class T>
__device__ inline bool finite(T x) {
  return x - x == T(0);
}

}  // namespace math

#define FORMULA __device__ inline
#define EXP math::exp
#define EXPM1 math::expm1
#define LOG math::log
#define LOG1P math::log1p
#define TANH math::tanh
#define SQRT math::sqrt
#define ABS math::abs

// __half and __nv_bfloat16. Arithmetic is done in float and rounded, which equals the hardware's for + - * / and sqrt.
#pragma once

#include "cuda_small_floats.h"

namespace cuda_on_cpu {

template <class Self, int mantissa, int bias>
struct Small {
  unsigned short bits;
  Small() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  Small(T x) : bits(encode(double(x), mantissa, bias)) {}
  operator float() const { return decode(bits, mantissa, bias); }
  Self operator-() const { return -float(*this); }
  friend Self operator+(Self x, Self y) { return float(x) + float(y); }
  friend Self operator-(Self x, Self y) { return float(x) - float(y); }
  friend Self operator*(Self x, Self y) { return float(x) * float(y); }
  friend Self operator/(Self x, Self y) { return float(x) / float(y); }
  friend Self& operator+=(Self& x, Self y) { return x = x + y; }
  friend Self& operator-=(Self& x, Self y) { return x = x - y; }
  friend Self& operator*=(Self& x, Self y) { return x = x * y; }
  friend Self& operator/=(Self& x, Self y) { return x = x / y; }
  friend bool operator<(Self x, Self y) { return float(x) < float(y); }
  friend bool operator>(Self x, Self y) { return float(x) > float(y); }
  friend bool operator<=(Self x, Self y) { return float(x) <= float(y); }
  friend bool operator>=(Self x, Self y) { return float(x) >= float(y); }
  friend bool operator==(Self x, Self y) { return float(x) == float(y); }
  friend bool operator!=(Self x, Self y) { return float(x) != float(y); }
};

}  // namespace cuda_on_cpu

struct __half_raw { unsigned short x; };
struct __nv_bfloat16_raw { unsigned short x; };

struct __half : cuda_on_cpu::Small<__half, 10, 15> {
  using Small::Small;
  __half() = default;
  __half(__half_raw raw) { bits = raw.x; }
  operator __half_raw() const { return {bits}; }
};
struct __nv_bfloat16 : cuda_on_cpu::Small<__nv_bfloat16, 7, 127> {
  using Small::Small;
  __nv_bfloat16() = default;
  __nv_bfloat16(__nv_bfloat16_raw raw) { bits = raw.x; }
  operator __nv_bfloat16_raw() const { return {bits}; }
};
using half = __half;
using nv_bfloat16 = __nv_bfloat16;
struct __half2 { __half x, y; };
struct __nv_bfloat162 { __nv_bfloat16 x, y; };

#define CUDA_ON_CPU_SMALL(T, name)                                                             \
  CUDA_ON_CPU_FUNCTION T __float2##name(float x) { return x; }                                 \
  CUDA_ON_CPU_FUNCTION T __float2##name##_rn(float x) { return x; }                            \
  CUDA_ON_CPU_FUNCTION T __double2##name(double x) { return x; }                               \
  CUDA_ON_CPU_FUNCTION T __int2##name##_rn(int x) { return x; }                                \
  CUDA_ON_CPU_FUNCTION float __##name##2float(T x) { return x; }
CUDA_ON_CPU_SMALL(__half, half)
CUDA_ON_CPU_SMALL(__nv_bfloat16, bfloat16)
#undef CUDA_ON_CPU_SMALL
CUDA_ON_CPU_FUNCTION unsigned short __half_as_ushort(__half x) { return x.bits; }
CUDA_ON_CPU_FUNCTION unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
CUDA_ON_CPU_FUNCTION __half __ushort_as_half(unsigned short x) { return cuda_on_cpu_bits<__half>(x); }
CUDA_ON_CPU_FUNCTION __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return cuda_on_cpu_bits<__nv_bfloat16>(x); }
CUDA_ON_CPU_FUNCTION bool __hisnan(__half x) { return std::isnan(float(x)); }
CUDA_ON_CPU_FUNCTION bool __hisnan(__nv_bfloat16 x) { return std::isnan(float(x)); }
CUDA_ON_CPU_FUNCTION int __hisinf(__half x) { return std::isinf(float(x)) ? (float(x) < 0 ? -1 : 1) : 0; }
CUDA_ON_CPU_FUNCTION int __hisinf(__nv_bfloat16 x) { return std::isinf(float(x)) ? (float(x) < 0 ? -1 : 1) : 0; }

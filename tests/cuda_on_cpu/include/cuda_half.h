// __half and __nv_bfloat16. Arithmetic is done in float and rounded, which equals the hardware's for + - * / and sqrt.
#pragma once

namespace cuda_on_cpu {

// A double as bits of a small float of that many mantissa bits, rounded to nearest, ties to even.
inline unsigned short encode(double x, int mantissa, int bias) {
  const unsigned sign = std::signbit(x) ? 0x8000u : 0u, infinity = (2u * unsigned(bias) + 1u) << mantissa;
  if (std::isnan(x)) return 0x7fff;
  const double size = std::fabs(x);
  if (size == 0) return (unsigned short)sign;
  if (std::isinf(x)) return (unsigned short)(sign | infinity);
  const int exponent = std::ilogb(size) > 1 - bias ? std::ilogb(size) : 1 - bias;
  if (exponent > bias) return (unsigned short)(sign | infinity);
  const unsigned units = unsigned(std::nearbyint(std::ldexp(size, mantissa - exponent)));
  return (unsigned short)(sign | ((unsigned(exponent + bias - 1) << mantissa) + units));
}

inline float decode(unsigned short bits, int mantissa, int bias) {
  const unsigned exponent = (bits & 0x7fffu) >> mantissa, fraction = bits & ((1u << mantissa) - 1u);
  float size;
  if (exponent == 2u * unsigned(bias) + 1u) size = fraction ? __builtin_nanf("") : __builtin_inff();
  else if (exponent == 0) size = std::ldexp(float(fraction), 1 - bias - mantissa);
  else size = std::ldexp(float(fraction | 1u << mantissa), int(exponent) - bias - mantissa);
  return bits & 0x8000u ? -size : size;
}

template <int mantissa, int bias>
struct Small {
  unsigned short bits;
  Small() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  Small(T x) : bits(encode(double(x), mantissa, bias)) {}
  operator float() const { return decode(bits, mantissa, bias); }
  Small& operator+=(Small x) { return *this = *this + x; }
  Small& operator-=(Small x) { return *this = *this - x; }
  Small& operator*=(Small x) { return *this = *this * x; }
  Small& operator/=(Small x) { return *this = *this / x; }
  Small operator-() const { return -float(*this); }
  friend Small operator+(Small x, Small y) { return float(x) + float(y); }
  friend Small operator-(Small x, Small y) { return float(x) - float(y); }
  friend Small operator*(Small x, Small y) { return float(x) * float(y); }
  friend Small operator/(Small x, Small y) { return float(x) / float(y); }
  friend bool operator<(Small x, Small y) { return float(x) < float(y); }
  friend bool operator>(Small x, Small y) { return float(x) > float(y); }
  friend bool operator<=(Small x, Small y) { return float(x) <= float(y); }
  friend bool operator>=(Small x, Small y) { return float(x) >= float(y); }
  friend bool operator==(Small x, Small y) { return float(x) == float(y); }
  friend bool operator!=(Small x, Small y) { return float(x) != float(y); }
};

}  // namespace cuda_on_cpu

using __half = cuda_on_cpu::Small<10, 15>;
using half = __half;
using __nv_bfloat16 = cuda_on_cpu::Small<7, 127>;
struct __half2 { __half x, y; };
struct __nv_bfloat162 { __nv_bfloat16 x, y; };
struct __half_raw { unsigned short x; };

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

// Numbers of 16 bits to and from wider ones, for kernels and for the imitation of cuBLAS.
#pragma once

#include <cmath>

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

}  // namespace cuda_on_cpu

// Functions of numbers without a branch, so that compilers make vector code of loops over them; and the formulas.
//
// Every function is within 2 units in the last place, subnormal numbers, infinities and NaN included. Vectors and
// single numbers go through the same operations, so that the place of a number in an array changes nothing: fused
// multiply-add must not be left to the compiler. A conversion between integers and floating point is the addition of a
// large number, since many instruction sets have no other for vectors.
#ifndef BPX_NUMBERS_H
#define BPX_NUMBERS_H

#include <math.h>

#include "operation.h"

// A loop over a function that is not part of it cannot be vector code.
#define INLINE static inline __attribute__((always_inline))

#define BPX_IS_DOUBLE_float 0
#define BPX_IS_DOUBLE_double 1
#define BPX_JOIN2(a, b) a##b
#define BPX_IS_DOUBLE_OF(type) BPX_JOIN2(BPX_IS_DOUBLE_, type)

// c + a * b, rounded once where the instruction set can do that.
INLINE C plus(C c, C a, C b) {
#if defined(__FMA__) || defined(__aarch64__)
  return sizeof(C) == sizeof(double) ? (C)fma(a, b, c) : (C)fmaf((float)a, (float)b, (float)c);
#else
  return c + a * b;
#endif
}

#if BPX_IS_DOUBLE_OF(BPX_REAL)
typedef uint64_t Bits;
#define MANTISSA 52
#define BIAS 1023
#define LARGEST 1.7976931348623157e308
#define TINY 1e-17  // below it f(x) is x, for functions whose slope at 0 is 1
#define SUBNORMAL_POWER 54
#define ROUNDING 6755399441055744.0  // 1.5 2^52: added, it leaves whole numbers in the lowest bits
#define SHIFTING 4503599627370496.0  // 2^52
#define EXP_LOWEST -746.0
#define EXP_HIGHEST 710.0
#define EXPM1_LOWEST -40.0
#define TANH_HIGHEST 20.0
// Times any exponent, the high part of log 2 is exact.
#define LOG_2_HIGH 6.93147180369123816490e-01
#define LOG_2_LOW 1.90821492927058770002e-10
#define SQRT_HALF 0x3fe6a09e00000000u
// Minimax: (exp(r) - 1 - r - r^2 / 2) / r^3 for |r| < log(2) / 2.
INLINE C exp_polynomial(C r) {
  return plus(0.16666666666666676, r, plus(0.04166666666666669, r, plus(0.0083333333333217006, r,
              plus(0.001388888888887023, r, plus(0.00019841269885974437, r, plus(2.4801587355941203e-5, r,
              plus(2.7557244346538821e-6, r, plus(2.7557245723197594e-7, r, plus(2.5108992782517432e-8, r,
              2.0923715734452565e-9)))))))));
}
// (log(1 + f) - 2 s) / s^3 of z = s^2, with s = f / (2 + f).
INLINE C log_polynomial(C z) {
  return plus(0.66666666666666697, z, plus(0.39999999999897888, z, plus(0.28571428626651407, z,
              plus(0.22222211031749324, z, plus(0.18182896207631686, z, plus(0.15331497764506818, z,
              0.14619096992012279))))));
}
// tanh(x) = x + x z p(z) / q(z) of z = x^2 for |x| < 0.625: Cephes.
INLINE C tanh_numerator(C z) {
  return plus(-1.61468768441708447952e3, z, plus(-9.92877231001918586564e1, z, -9.64399179425052238628e-1));
}
INLINE C tanh_denominator(C z) {
  return plus(4.84406305325125486048e3, z, plus(2.23548839060100448583e3, z, plus(1.12811678491632931402e2, z, 1)));
}
#else
typedef uint32_t Bits;
#define MANTISSA 23
#define BIAS 127
#define LARGEST 3.40282346638528859812e38f
#define TINY 1e-8f
#define SUBNORMAL_POWER 25
#define ROUNDING 12582912.0f
#define SHIFTING 8388608.0f
#define EXP_LOWEST -104.5f
#define EXP_HIGHEST 89.0f
#define EXPM1_LOWEST -20.0f
#define TANH_HIGHEST 10.0f
#define LOG_2_HIGH 0.693359375f
#define LOG_2_LOW -2.12194440e-4f
#define SQRT_HALF 0x3f3504f3u
INLINE C exp_polynomial(C r) {
  return plus(0.16666666772353538f, r, plus(0.04166648198981675f, r, plus(0.0083332821541636706f, r,
              plus(0.0013933315549016308f, r, 0.00019909690610996326f))));
}
INLINE C log_polynomial(C z) {
  return plus(0.6666666655260869f, z, plus(0.40000123090506897f, z, plus(0.28550698970103349f, z,
              0.23333418750836311f)));
}
INLINE C tanh_numerator(C z) {
  return plus(-0.33333330915096803f, z, plus(0.13333210013644769f, z, plus(-0.053947230103063644f, z,
              plus(0.02170308823490011f, z, plus(-0.0081829377577846437f, z, 0.0021477540523740154f)))));
}
INLINE C tanh_denominator(C z) { return (void)z, 1; }
#endif

INLINE Bits bits_of(C x) {
  Bits bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
INLINE C of_bits(Bits bits) {
  C x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}
INLINE C abs_of(C x) { return sizeof(C) == sizeof(double) ? (C)fabs(x) : (C)fabsf((float)x); }
INLINE C sqrt_of(C x) { return sizeof(C) == sizeof(double) ? (C)sqrt(x) : (C)sqrtf((float)x); }

// The nearest whole number, of |x| < 2^22.
INLINE C nearest(C x) { return (x + (C)ROUNDING) - (C)ROUNDING; }
// 2^n for a whole number n which is a normal number's exponent.
INLINE C power_of_two(C n) { return of_bits(bits_of(n + (C)(ROUNDING + BIAS)) << MANTISSA); }
// exp(r) - 1 - r.
INLINE C exp_curve(C r) { return r * r * plus((C)0.5, r, exp_polynomial(r)); }
INLINE C held_between(C x, C lowest, C highest) {
  const C held = x < lowest ? lowest : x;
  return held > highest ? highest : held;
}

INLINE C exp_of(C x) {
  const C held = held_between(x, EXP_LOWEST, EXP_HIGHEST), n = nearest(held * (C)1.4426950408889634);
  const C r = plus(plus(held, n, -(C)LOG_2_HIGH), n, -(C)LOG_2_LOW);
  const C half = nearest(n * (C)0.5);  // in two steps, since 2^n may be no number where the result is one
  return (1 + (r + exp_curve(r))) * power_of_two(half) * power_of_two(n - half);
}

INLINE C expm1_of(C x) {
  const C held = held_between(x, EXPM1_LOWEST, EXP_HIGHEST), n = nearest(held * (C)1.4426950408889634);
  const C high = plus(held, n, -(C)LOG_2_HIGH), low = n * (C)LOG_2_LOW, r = high - low, lost = (high - r) - low;
  // Half of 2^n (r + ...) + (2^n - 1), with what the first sum rounds off.
  const C power = power_of_two(n - 1), whole = power - (C)0.5, part = power * r, sum = whole + part;
  const C half = sum + plus(part - (sum - whole), power, exp_curve(r) + lost);
  return abs_of(x) < (C)TINY ? x : half + half;
}

// log(2^k (1 + f)) + rest for a rest that is small beside it.
INLINE C log_of_parts(C k, C f, C rest) {
  const C half_square = (C)0.5 * f * f, s = f / (2 + f), z = s * s;
  const C small = plus(plus(rest, k, (C)LOG_2_LOW), s, plus(half_square, z, log_polynomial(z)));
  return plus(f - (half_square - small), k, (C)LOG_2_HIGH);
}
// x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), of a normal number x.
typedef struct {
  C k, f;
} Parts;
INLINE Parts parts_of(C x) {
  const Bits one = (Bits)BIAS << MANTISSA, bits = bits_of(x) + (one - SQRT_HALF);
  const C biased = of_bits((bits >> MANTISSA) | bits_of(SHIFTING));
  Parts parts = {biased - (C)(SHIFTING + BIAS), of_bits((bits & (((Bits)1 << MANTISSA) - 1)) + SQRT_HALF) - 1};
  return parts;
}
// `result`, a logarithm of y, where y is a positive number.
INLINE C log_or_special(C y, C result) {
  const C special = y == 0 ? -(C)INFINITY : y < 0 ? (C)NAN : y;
  return y > 0 && y <= (C)LARGEST ? result : special;
}

INLINE C log_of(C x) {
  const int subnormal = x < of_bits((Bits)1 << MANTISSA);
  const Parts parts = parts_of(subnormal ? x * (C)((Bits)1 << SUBNORMAL_POWER) : x);
  return log_or_special(x, log_of_parts(subnormal ? parts.k - SUBNORMAL_POWER : parts.k, parts.f, 0));
}

INLINE C log1p_of(C x) {
  const C sum = 1 + x;
  const Parts parts = parts_of(sum);
  const int near = parts.k == 0;
  const C lost = parts.k > 1 ? 1 - (sum - x) : x - (sum - 1);
  const C result = log_of_parts(parts.k, near ? x : parts.f, near ? 0 : lost / sum);
  return abs_of(x) < (C)TINY ? x : log_or_special(sum, result);
}

// x + x z p(z) / q(z) near 0, 1 - 2 / (exp(2 x) + 1) beyond; one division serves both.
INLINE C tanh_of(C x) {
  const C size = abs_of(x), held = size > (C)TANH_HIGHEST ? (C)TANH_HIGHEST : size, twice = held + held;
  const C n = nearest(twice * (C)1.4426950408889634), r = plus(plus(twice, n, -(C)LOG_2_HIGH), n, -(C)LOG_2_LOW);
  const C e = (1 + (r + exp_curve(r))) * power_of_two(n), z = held * held;
  const int near = size < (C)0.625;
  const C quotient = (near ? z * tanh_numerator(z) : 2) / (near ? tanh_denominator(z) : e + 1);
  const C result = near ? plus(size, size, quotient) : 1 - quotient;
  return of_bits(bits_of(result) | (bits_of(x) & ((Bits)1 << (8 * sizeof(C) - 1))));
}

#define FORMULA INLINE
#define EXP exp_of
#define EXPM1 expm1_of
#define LOG log_of
#define LOG1P log1p_of
#define TANH tanh_of
#define SQRT sqrt_of
#define ABS abs_of
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"  // formulas of one kind have the same parameters
#endif
#include "../../formulas.h"
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#endif

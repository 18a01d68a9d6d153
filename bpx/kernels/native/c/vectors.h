// Vectors of the instruction set's width, and sums whose order depends on nothing but how many numbers there are.
#ifndef BPX_VECTORS_H
#define BPX_VECTORS_H

#include "numbers.h"

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { LANES = VECTOR_BYTES / sizeof(C), LANES_64 = VECTOR_BYTES / 8 };
// Vectors may lie anywhere in arrays of their numbers, and are read and written there through pointers: memcpy of more
// than 16 bytes is often compiled to several moves.
#define VECTOR(Type, bytes) __attribute__((vector_size(bytes), aligned(sizeof(Type)), may_alias)) Type
typedef VECTOR(C, VECTOR_BYTES) Vector;
typedef VECTOR(C, 4 * sizeof(C)) Four;
typedef VECTOR(double, VECTOR_BYTES) Doubles;

// Lanes of `a` and `b`, which are numbered through, in another order.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (__typeof__((a) == (b))){__VA_ARGS__})
#endif

// The sum of `count` numbers, in sixteen sums side by side.
static inline double sum_of(const double *values, Index count) {
  enum { SUMS = 16 };
  Doubles sums[SUMS / LANES_64] = {{0.0}};
  double total = 0.0;
  Index i = 0;
  if (count >= SUMS) {
    for (; i + SUMS <= count; i += SUMS)
      for (Index j = 0; j < SUMS / LANES_64; ++j) sums[j] += *(const Doubles *)(values + i + j * LANES_64);
    double each[SUMS];
    memcpy(each, sums, sizeof(each));
    for (Index width = SUMS / 2; width > 0; width /= 2)
      for (Index j = 0; j < width; ++j) each[j] += each[j + width];
    total = each[0];
  }
  for (; i < count; ++i) total += values[i];
  return total;
}

#endif

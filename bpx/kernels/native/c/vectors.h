// Vectors of the instruction set's width, and sums whose order depends on nothing but how many numbers there are.
#ifndef BPX_VECTORS_H
#define BPX_VECTORS_H

#include "operation.h"

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { VLANES = VECTOR_BYTES / sizeof(C), VLANES_64 = VECTOR_BYTES / 8 };
typedef C Vector __attribute__((vector_size(VECTOR_BYTES)));
typedef double Doubles __attribute__((vector_size(VECTOR_BYTES)));

// Lanes of `a` and `b`, which are numbered through, in another order.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (__typeof__((a) == (b))){__VA_ARGS__})
#endif

// The sum of `count` numbers, in sixteen sums side by side.
static inline double sum_of(const double *values, Index count) {
  enum { SUMS = 16 };
  Doubles sums[SUMS / VLANES_64] = {{0.0}};
  double total = 0.0;
  Index i = 0;
  if (count >= SUMS) {
    for (; i + SUMS <= count; i += SUMS)
      for (Index j = 0; j < SUMS / VLANES_64; ++j) {
        Doubles next;
        memcpy(&next, values + i + j * VLANES_64, sizeof(next));
        sums[j] += next;
      }
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

// Loops that activations and losses are made of: over numbers in one piece, and over rows of k numbers.
//
// Rows are done in blocks that stay in the fastest cache. What happens to a row depends on nothing but the row, so that
// neither blocks nor shares change a result.
#ifndef BPX_ROWS_H
#define BPX_ROWS_H

#include "vectors.h"

// Before a loop whose rounds do not depend on each other: an array may be another one, but none lies across another.
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave_count(1)")
#define LOOP_FUNCTION static __attribute__((noinline))
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#define LOOP_FUNCTION static __attribute__((noinline, noclone))
#endif
// LOOP_FUNCTION is one whose loop stays a loop over any number of rounds, even where a caller asks for a few.

enum { MOST_LANES = 16, NUMBERS_AT_ONCE = 1024 };
// A loop over blocks of rows of k numbers each: `rows` from `first` on, which fit in a block, or one that is longer.
#define FOR_BLOCKS(first, rows, range, k) \
  for (Index first = (range).first, rows; (rows = rows_of_block((range).stop - first, k)) > 0; first += rows)
static inline Index rows_of_block(Index left, Index k) {
  const Index most = k <= 0 ? left : k > NUMBERS_AT_ONCE ? 1 : NUMBERS_AT_ONCE / k;
  return left < most ? left : most;
}

// `function` of `count` numbers in place. Those beyond the last whole vector are made up to one, since a vector takes
// no longer than a single number.
typedef void (*InPlace)(C *a, Index count, C parameter);
INLINE void in_place(InPlace function, C *a, Index count, C parameter) {
  const Index rest = count % LANES, whole = count - rest;
  if (whole > 0) function(a, whole, parameter);
  if (rest > 0) {
    C tail[MOST_LANES] = {0};
    memcpy(tail, a + whole, sizeof(C) * (size_t)rest);
    function(tail, LANES, parameter);
    memcpy(a + whole, tail, sizeof(C) * (size_t)rest);
  }
}
LOOP_FUNCTION void exp_each(C *a, Index count, C parameter) {
  (void)parameter;
  INDEPENDENT
  for (Index i = 0; i < count; ++i) a[i] = exp_of(a[i]);
}
LOOP_FUNCTION void log_each(C *a, Index count, C parameter) {
  (void)parameter;
  INDEPENDENT
  for (Index i = 0; i < count; ++i) a[i] = log_of(a[i]);
}

// A row of k numbers, `repeats` times.
static inline void repeat_row(const C *row, C *out, Index k, Index repeats) {
  const Index all = k * repeats;
  memcpy(out, row, sizeof(C) * (size_t)k);
  for (Index done = k; done < all; done *= 2) {
    const Index more = done < all - done ? done : all - done;
    memcpy(out + done, out, sizeof(C) * (size_t)more);
  }
}

INLINE void add(const C *x, const C *y, C *out, Index count) {
  INDEPENDENT
  for (Index i = 0; i < count; ++i) out[i] = x[i] + y[i];
}
// out = x + b, b being added to each row; out may be x. Short rows are added several at a time.
static void add_to_rows(const C *x, const C *b, C *out, Index rows, Index k) {
  enum { SHORT = 64, REPEATS = 16 };
  C pattern[SHORT * REPEATS];
  Index at_once = 1;
  if (k < SHORT && rows > 1) {
    at_once = rows < REPEATS ? rows : REPEATS;
    repeat_row(b, pattern, k, at_once);
    b = pattern;
  }
  for (Index row = 0; row < rows; row += at_once) {
    const Index left = rows - row;
    add(x + row * k, b, out + row * k, k * (left < at_once ? left : at_once));
  }
}

// A loop over rows, compiled for each of the usual small widths.
#define FOR_WIDTH(k, loop) \
  switch (k) { \
    case 1: loop(1); break; \
    case 2: loop(2); break; \
    case 3: loop(3); break; \
    case 4: loop(4); break; \
    case 5: loop(5); break; \
    case 6: loop(6); break; \
    case 7: loop(7); break; \
    case 8: loop(8); break; \
    case 9: loop(9); break; \
    case 10: loop(10); break; \
    case 16: loop(16); break; \
    default: loop(k); \
  }

// The sum of a row, in several sums where it is long.
INLINE C sum_of_row(const C *x, Index k) {
  if (k <= MOST_LANES) {
    C sum = x[0];
    for (Index j = 1; j < k; ++j) sum += x[j];
    return sum;
  }
  C sums[MOST_LANES];
  Index j = MOST_LANES;
  for (Index lane = 0; lane < MOST_LANES; ++lane) sums[lane] = x[lane];
  for (; j + MOST_LANES <= k; j += MOST_LANES)
    for (Index lane = 0; lane < MOST_LANES; ++lane) sums[lane] += x[j + lane];
  for (Index lane = 0; j < k; ++j, ++lane) sums[lane] += x[j];
  for (Index half = MOST_LANES / 2; half > 0; half /= 2)
    for (Index lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}
// The sum of x y, likewise.
INLINE C product_of_rows(const C *x, const C *y, Index k) {
  C sums[MOST_LANES] = {0};
  Index j = 0;
  for (; j + MOST_LANES <= k; j += MOST_LANES)
    for (Index lane = 0; lane < MOST_LANES; ++lane) sums[lane] += x[j + lane] * y[j + lane];
  for (Index lane = 0; j < k; ++j, ++lane) sums[lane] += x[j] * y[j];
  for (Index half = MOST_LANES / 2; half > 0; half /= 2)
    for (Index lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}
INLINE C largest_of_row(const C *x, Index k) {
  if (k <= MOST_LANES) {
    C largest = x[0];
    for (Index j = 1; j < k; ++j) largest = maximum(largest, x[j]);
    return largest;
  }
  C largest[MOST_LANES];
  Index j = MOST_LANES;
  for (Index lane = 0; lane < MOST_LANES; ++lane) largest[lane] = x[lane];
  for (; j + MOST_LANES <= k; j += MOST_LANES)
    for (Index lane = 0; lane < MOST_LANES; ++lane) largest[lane] = maximum(largest[lane], x[j + lane]);
  for (Index lane = 0; j < k; ++j, ++lane) largest[lane] = maximum(largest[lane], x[j]);
  for (Index half = MOST_LANES / 2; half > 0; half /= 2)
    for (Index lane = 0; lane < half; ++lane) largest[lane] = maximum(largest[lane], largest[lane + half]);
  return largest[0];
}

static void sum_rows_of(const C *x, C *sums, Index rows, Index k) {
#define LOOP(width) for (Index i = 0; i < rows; ++i) sums[i] = sum_of_row(x + i * (width), width)
  FOR_WIDTH(k, LOOP)
#undef LOOP
}
static void largest_of_rows(const C *x, C *largest, Index rows, Index k) {
#define LOOP(width) for (Index i = 0; i < rows; ++i) largest[i] = largest_of_row(x + i * (width), width)
  FOR_WIDTH(k, LOOP)
#undef LOOP
}
// out = x - row's number; out may be x.
INLINE void subtract_from_row(const C *x, C number, C *out, Index k) {
  INDEPENDENT
  for (Index j = 0; j < k; ++j) out[j] = x[j] - number;
}
static void subtract_from_rows(const C *x, const C *numbers, C *out, Index rows, Index k) {
#define LOOP(width) \
  for (Index i = 0; i < rows; ++i) subtract_from_row(x + i * (width), numbers[i], out + i * (width), width)
  FOR_WIDTH(k, LOOP)
#undef LOOP
}
INLINE void scale_row(C *x, C number, C then, Index k) {
  for (Index j = 0; j < k; ++j) x[j] = x[j] * number * then;
}
// x times two numbers of each row, one after the other.
static void scale_rows(C *x, const C *numbers, const C *then, Index rows, Index k) {
#define LOOP(width) for (Index i = 0; i < rows; ++i) scale_row(x + i * (width), numbers[i], then[i], width)
  FOR_WIDTH(k, LOOP)
#undef LOOP
}
#endif

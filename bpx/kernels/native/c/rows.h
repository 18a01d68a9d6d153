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

enum { NUMBERS_AT_ONCE = 1024, SHORT = 64 };  // of a block; a row of fewer numbers than that is a short one
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
    C tail[LANES] = {0};
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

LOOP_FUNCTION void add(const C *x, const C *y, C *out, Index count) {
  INDEPENDENT
  for (Index i = 0; i < count; ++i) out[i] = x[i] + y[i];
}
// out = x + b, b being added to each row; out may be x. Short rows are added several at a time.
static void add_to_rows(const C *x, const C *b, C *out, Index rows, Index k) {
  enum { REPEATS = 16 };
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

// A call with a width as its last argument, compiled for each of the usual small widths.
#define FOR_WIDTH(k, function, ...) \
  switch (k) { \
    case 1: function(__VA_ARGS__, 1); break; \
    case 2: function(__VA_ARGS__, 2); break; \
    case 3: function(__VA_ARGS__, 3); break; \
    case 4: function(__VA_ARGS__, 4); break; \
    case 5: function(__VA_ARGS__, 5); break; \
    case 6: function(__VA_ARGS__, 6); break; \
    case 7: function(__VA_ARGS__, 7); break; \
    case 8: function(__VA_ARGS__, 8); break; \
    case 9: function(__VA_ARGS__, 9); break; \
    case 10: function(__VA_ARGS__, 10); break; \
    default: function(__VA_ARGS__, k); \
  }

// Sums and largest numbers of rows. Four sums of a row are made side by side, and put together for four rows at once; a
// long row begins with more of them. The order depends on k alone.
enum { LONG = 16 };
typedef __attribute__((vector_size(4 * sizeof(C)), aligned(sizeof(C)), may_alias)) Bits FourBits;
typedef __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(C)), may_alias)) Bits VectorBits;
#pragma GCC diagnostic ignored "-Wpsabi"  // no vector is passed between functions: those of vectors are inlined
INLINE Four joined(Four x, Four y, int summed) {
  const FourBits first = (FourBits)(x > y);
  if (summed) return x + y;
  return (Four)((first & (FourBits)x) | (~first & (FourBits)y));
}
INLINE Vector joined_vectors(Vector x, Vector y, int summed) {
  const VectorBits first = (VectorBits)(x > y);
  if (summed) return x + y;
  return (Vector)((first & (VectorBits)x) | (~first & (VectorBits)y));
}
// Of two NaN a sum is one or the other, as the compiler orders them, which need not be the same for all rows.
INLINE Four with_one_nan(Four x) {
  const FourBits number = (FourBits)(x == x);
  const Four nan = {(C)NAN, (C)NAN, (C)NAN, (C)NAN};
  return (Four)((number & (FourBits)x) | (~number & (FourBits)nan));
}
INLINE Four four_of_row(const C *x, Index k, FourBits kept, int summed) {
  Four four = *(const Four *)x;
  Index j = 4;
  if (k >= 2 * LONG) {
    Vector sides[LONG / LANES];
    C each[LONG];
    memcpy(sides, x, sizeof(sides));
    for (j = LONG; j + LONG <= k; j += LONG)
      for (Index i = 0; i < LONG / LANES; ++i)
        sides[i] = joined_vectors(sides[i], *(const Vector *)(x + j + i * LANES), summed);
    memcpy(each, sides, sizeof(each));
    four = joined(joined(*(Four *)each, *(Four *)(each + 4), summed),
                  joined(*(Four *)(each + 8), *(Four *)(each + 12), summed), summed);
  }
  for (; j + 4 <= k; j += 4) four = joined(four, *(const Four *)(x + j), summed);
  if (j == k) return four;
  const Four last = *(const Four *)(x + k - 4);  // some of these have been already
  return joined(four, summed ? (Four)((FourBits)last & kept) : last, summed);
}
INLINE void join_rows(const C *x, C *out, Index rows, int summed, Index k) {
  if (k < 4 || (LANES < 4 && !summed && k < LONG)) {
    for (Index i = 0; i < rows; ++i) {
      C one = x[i * k];
      for (Index j = 1; j < k; ++j) one = summed ? one + x[i * k + j] : x[i * k + j] > one ? x[i * k + j] : one;
      out[i] = one == one ? one : (C)NAN;
    }
    return;
  }
  FourBits kept;
  for (Index i = 0; i < 4; ++i) kept[i] = i >= 4 - k % 4 ? ~(Bits)0 : 0;
  for (Index row = 0; row < rows; row += 4) {
    Four of[4];
    for (Index i = 0; i < 4; ++i) of[i] = four_of_row(x + (row + i < rows ? row + i : row) * k, k, kept, summed);
    const Four a = joined(SHUFFLE(of[0], of[1], 0, 4, 1, 5), SHUFFLE(of[0], of[1], 2, 6, 3, 7), summed);
    const Four b = joined(SHUFFLE(of[2], of[3], 0, 4, 1, 5), SHUFFLE(of[2], of[3], 2, 6, 3, 7), summed);
    const Four four = with_one_nan(joined(SHUFFLE(a, b, 0, 1, 4, 5), SHUFFLE(a, b, 2, 3, 6, 7), summed));
    if (row + 4 <= rows) *(Four *)(out + row) = four;
    else for (Index i = 0; row + i < rows; ++i) out[row + i] = four[i];
  }
}
static void sum_rows_of(const C *x, C *sums, Index rows, Index k) {
  FOR_WIDTH(k, join_rows, x, sums, rows, 1)
}
// NaN is not looked for: who subtracts these from the row has it in the row still.
static void largest_of_rows(const C *x, C *largest, Index rows, Index k) {
  FOR_WIDTH(k, join_rows, x, largest, rows, 0)
}

// out = x and a number of each row, subtracted, multiplied or divided by; out may be x. The last piece of a short row
// may be partly among those before: it is read before anything is written.
enum { PIECE = LANES < 4 ? LANES : 4 };
typedef VECTOR(C, PIECE * sizeof(C)) Piece;
#define WITH_ROWS(name, operator) \
  LOOP_FUNCTION void name##_row(const C *x, C number, C *out, Index k) { \
    INDEPENDENT \
    for (Index j = 0; j < k; ++j) out[j] = x[j] operator number; \
  } \
  INLINE void name##_short_rows(const C *x, const C *numbers, C *out, Index rows, Index k) { \
    for (Index i = 0; i < rows; ++i, x += k, out += k) \
      if (k < PIECE) { \
        for (Index j = 0; j < k; ++j) out[j] = x[j] operator numbers[i]; \
      } else { \
        const Piece last = *(const Piece *)(x + k - PIECE); \
        for (Index j = 0; j + PIECE < k; j += PIECE) \
          *(Piece *)(out + j) = *(const Piece *)(x + j) operator numbers[i]; \
        *(Piece *)(out + k - PIECE) = last operator numbers[i]; \
      } \
  } \
  static void name##_rows(const C *x, const C *numbers, C *out, Index rows, Index k) { \
    if (k < SHORT) { \
      FOR_WIDTH(k, name##_short_rows, x, numbers, out, rows) \
    } else { \
      for (Index i = 0; i < rows; ++i) name##_row(x + i * k, numbers[i], out + i * k, k); \
    } \
  }
WITH_ROWS(subtract_from, -)
WITH_ROWS(scale, *)
WITH_ROWS(divide, /)
#endif

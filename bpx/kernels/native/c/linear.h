// The linear parts of a step but for its products: see bpx/formulas/linear.py.
#ifndef BPX_LINEAR_H
#define BPX_LINEAR_H

#include "vectors.h"

enum { SUMMED = 4096, CHUNK = 256 };  // numbers of one partial sum, and those whose values are computed at once

// Rows of `bytes` or more, but less than twice that: both ends, which may overlap. No size is left to a call.
#define COPY_ENDS(bytes) \
  if (row_bytes == bytes) { \
    for (Index i = 0; i < count; ++i) memcpy(out + i * bytes, x + index[i] * bytes, bytes); \
    return; \
  } \
  if (row_bytes < 2 * bytes) { \
    for (Index i = 0; i < count; ++i) { \
      const char *const from = x + index[i] * row_bytes; \
      memcpy(out + i * row_bytes, from, bytes); \
      memcpy(out + (i + 1) * row_bytes - bytes, from + row_bytes - bytes, bytes); \
    } \
    return; \
  }

static inline void copy_rows(char *RESTRICT out, const char *RESTRICT x, const Index *RESTRICT index, Index count,
                             Index row_bytes) {
  if (row_bytes == 0) return;
  COPY_ENDS(1)
  COPY_ENDS(2)
  COPY_ENDS(4)
  COPY_ENDS(8)
  COPY_ENDS(16)
  COPY_ENDS(32)
  COPY_ENDS(64)
  // Rows lie anywhere: the beginning of the one after the next is asked for early.
  enum { AHEAD = 2, LINE = 64, EARLY = 4096 };
  const Index early = row_bytes < EARLY ? row_bytes : EARLY;
  for (Index i = 0; i < count; ++i) {
    if (i + AHEAD < count)
      for (Index at = 0; at < early; at += LINE) __builtin_prefetch(x + index[i + AHEAD] * row_bytes + at);
    memcpy(out + i * row_bytes, x + index[i] * row_bytes, (size_t)row_bytes);
  }
}

OPERATION(gather) {
  const Index rows = op->n[1], row_bytes = op->n[2];
  const Share share = share_of_rows(op->n[0], rows, part, parts);
  const Index first = share.own.first, count = share.own.stop - first;
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    copy_rows((char *)op->p[2] + (network * rows + first) * row_bytes, (const char *)op->p[0] + network * op->n[3],
              (const Index *)op->p[1] + network * op->n[4] + first, count, row_bytes);
}

// The rows of a sparse matrix, made dense; entries of one place are added.
#define CSR_ROWS(Integer) \
  for (Index i = share.own.first; i < share.own.stop; ++i) { \
    const Index row = index == NULL ? first + i : index[i]; \
    C *const to = out + i * columns; \
    memset(to, 0, (size_t)columns * sizeof(C)); \
    for (Index at = ((const Integer *)indptr)[row], stop = ((const Integer *)indptr)[row + 1]; at < stop; ++at) \
      to[((const Integer *)indices)[at]] += data[at]; \
  }

OPERATION(gather_csr) {
  const void *const indptr = op->p[0], *const indices = op->p[1];
  const C *const data = op->p[2];
  const Index rows = op->n[1], columns = op->n[2], index_bytes = op->n[3], first = op->n[5];
  const Share share = share_of_rows(op->n[0], rows, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network) {
    const Index *const index = op->p[3] == NULL ? NULL : (const Index *)op->p[3] + network * op->n[4];
    C *const out = (C *)op->p[4] + network * rows * columns;
    if (index_bytes == 4) {
      CSR_ROWS(int32_t)
    } else {
      CSR_ROWS(int64_t)
    }
  }
}

// Adds `rows` rows of an (n, k) array from x on, `count` vectors of each. -0 + x is x, whatever x is.
#define ADD_ROWS(Some, count, rows) \
  const Some zero = {0}; \
  Some sums[count]; \
  for (Index v = 0; v < count; ++v) sums[v] = n > 0 ? -zero : zero; \
  for (Index i = 0; i < rows; ++i) \
    for (Index v = 0; v < count; ++v) sums[v] += ((const Some *)(x + i * k + j))[v];
// The last columns: what stands behind them is read with them, as long as there is something, and forgotten.
#define ADD_LAST(Some) \
  { \
    enum { lanes = sizeof(Some) / sizeof(C) }; \
    const Index room = n * k - j - lanes, rows = n == 0 || room < 0 ? 0 : room / k + 1 < n ? room / k + 1 : n; \
    ADD_ROWS(Some, 1, rows) \
    for (Index column = j; column < columns.stop; ++column) { \
      C sum = sums[0][column - j]; \
      for (Index i = rows; i < n; ++i) sum += x[i * k + column]; \
      out[column] = sum; \
    } \
  }

static inline void add_rows(const C *RESTRICT x, C *RESTRICT out, Index n, Index k, Range columns) {
  Index j = columns.first;
  for (; j + 4 * LANES <= columns.stop; j += 4 * LANES) {
    ADD_ROWS(Vector, 4, n)
    for (Index v = 0; v < 4; ++v) ((Vector *)(out + j))[v] = sums[v];
  }
  for (; j + LANES <= columns.stop; j += LANES) {
    ADD_ROWS(Vector, 1, n)
    *(Vector *)(out + j) = sums[0];
  }
  if (columns.stop > j && (LANES <= 4 || columns.stop - j > 4)) ADD_LAST(Vector)
  else if (columns.stop > j) ADD_LAST(Four)
}

OPERATION(column_sums) {
  const Index n = op->n[1], k = op->n[2];
  const Share share = share_of_stack(op->n[0], k, 16, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    add_rows((const C *)op->p[0] + network * n * k, (C *)op->p[1] + network * op->n[3], n, k, share.own);
}

static inline C sum_of_weights(const C *RESTRICT weight, Index count) {
  double total = 0.0, values[CHUNK];
  for (Index i = 0; i < count; i += CHUNK) {
    const Index some = count - i < CHUNK ? count - i : CHUNK;
    for (Index j = 0; j < some; ++j) values[j] = (double)weight[i + j];
    total += sum_of(values, some);
  }
  return (C)total;
}

OPERATION(weight_sum) {
  const Range networks = share_of_networks(op->n[0], part, parts);
  for (Index network = networks.first; network < networks.stop; ++network)
    ((C *)op->p[1])[network] = sum_of_weights((const C *)op->p[0] + network * op->n[1], op->n[1]);
}

// Each row's part of its network's sum of weights; zeros stay zeros.
OPERATION(shares) {
  const Index rows = op->n[1];
  const Range networks = share_of_networks(op->n[0], part, parts);
  for (Index network = networks.first; network < networks.stop; ++network) {
    const C *RESTRICT const weight = (const C *)op->p[0] + network * rows;
    C *RESTRICT const out = (C *)op->p[1] + network * rows;
    const C total = sum_of_weights(weight, rows), divisor = total > 0 ? total : 1;
    for (Index i = 0; i < rows; ++i) out[i] = weight[i] / divisor;
  }
}

OPERATION(accumulate) {
  double *const total = op->p[0];
  const C *const value = op->p[1];
  const Index weight_kind = op->n[3];
  const Range networks = share_of_networks(op->n[0], part, parts);
  for (Index network = networks.first; network < networks.stop; ++network) {
    const Index at = network * op->n[2];
    const double weight = weight_kind == 0   ? op->x[0]
                          : weight_kind == 1 ? (double)((const C *)op->p[2])[at]
                                             : ((const double *)op->p[2])[at];
    total[network] += (double)value[network * op->n[1]] * weight;
  }
}

static inline void multiply(C *RESTRICT out, const C *RESTRICT a, const C *RESTRICT mask, Index count) {
  for (Index i = 0; i < count; ++i) out[i] = a[i] * mask[i];
}
static inline void multiply_in_place(C *RESTRICT out, const C *RESTRICT mask, Index count) {
  for (Index i = 0; i < count; ++i) out[i] *= mask[i];
}

OPERATION(times) {
  const Index rows = op->n[1], k = op->n[2];
  const Share share = share_of_rows(op->n[0], rows, part, parts);
  const Index first = share.own.first * k, count = share.own.stop * k - first;
  for (Index network = share.networks.first; network < share.networks.stop; ++network) {
    const C *const a = (const C *)op->p[0] + network * op->n[3] + first;
    const C *const mask = (const C *)op->p[1] + network * op->n[4] + first;
    C *const out = (C *)op->p[2] + network * rows * k + first;
    if (out == a) multiply_in_place(out, mask, count);
    else multiply(out, a, mask, count);
  }
}

static inline C penalty_share(const C *samples, Index at) {
  return samples == NULL ? (C)1 : (C)1 / (samples[at] > 0 ? samples[at] : (C)1);
}

// Adds the gradient of some numbers' penalty to `grads`, and gives the penalty.
static inline double pull(const C *RESTRICT flat, const C *RESTRICT l2, const C *RESTRICT l1, C share,
                          C *RESTRICT grads, Index count) {
  double values[CHUNK];
  if (l1 == NULL) {
    for (Index i = 0; i < count; ++i) {
      const C force = l2[i] * flat[i];
      grads[i] += force * share;
      values[i] = 0.5 * ((double)force * (double)flat[i]);
    }
  } else if (l2 == NULL) {
    for (Index i = 0; i < count; ++i) {
      const C force = l1[i] * sign(flat[i]);
      grads[i] += force * share;
      values[i] = (double)force * (double)flat[i];
    }
  } else {
    for (Index i = 0; i < count; ++i) {
      const C square = l2[i] * flat[i], size = l1[i] * sign(flat[i]);
      grads[i] += (square + size) * share;
      values[i] = 0.5 * ((double)square * (double)flat[i]) + (double)size * (double)flat[i];
    }
  }
  return sum_of(values, count);
}

OPERATION(penalty) {
  const C *const flat = op->p[0], *const l2 = op->p[1], *const l1 = op->p[2];
  C *const grads = op->p[4];
  double *const partial = op->p[5];
  const Index p = op->n[1], blocks = op->n[5];
  const Share share = share_of_stack(op->n[0], p, SUMMED, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network) {
    const C own = penalty_share(op->p[3], network * op->n[4]);
    const C *const of_2 = l2 == NULL ? NULL : l2 + network * op->n[2];
    const C *const of_1 = l1 == NULL ? NULL : l1 + network * op->n[3];
    for (Index block = share.own.first; block < share.own.stop; block += SUMMED) {
      const Index stop = block + SUMMED < share.own.stop ? block + SUMMED : share.own.stop;
      double sum = 0.0;
      for (Index i = block; i < stop; i += CHUNK)
        sum += pull(flat + network * p + i, of_2 == NULL ? NULL : of_2 + i, of_1 == NULL ? NULL : of_1 + i, own,
                    grads + network * p + i, stop - i < CHUNK ? stop - i : CHUNK);
      partial[network * blocks + block / SUMMED] = sum;
    }
  }
}

OPERATION(penalty_value) {
  const double *const partial = op->p[0];
  const Index blocks = op->n[1];
  const Range networks = share_of_networks(op->n[0], part, parts);
  for (Index network = networks.first; network < networks.stop; ++network)
    ((C *)op->p[2])[network] += (C)sum_of(partial + network * blocks, blocks)
                                * penalty_share(op->p[1], network * op->n[2]);
}

// A square tile, by steps which most instruction sets have as one instruction each.
#if BPX_IS_DOUBLE_OF(BPX_REAL) && !defined(__AVX2__)
enum { TILE = 2 };
static inline void transpose_tile(const C *RESTRICT b, C *RESTRICT out, Index b_row, Index out_row) {
  const Vector above = *(const Vector *)b, below = *(const Vector *)(b + b_row);
  *(Vector *)out = SHUFFLE(above, below, 0, 2), *(Vector *)(out + out_row) = SHUFFLE(above, below, 1, 3);
}
#else
enum { TILE = 4 };
#if BPX_IS_DOUBLE_OF(BPX_REAL)
#define PAIR_LOW(a, b) SHUFFLE(a, b, 0, 4, 2, 6)  // columns 0 and 2
#define PAIR_HIGH(a, b) SHUFFLE(a, b, 1, 5, 3, 7)
enum { SECOND = 2, THIRD = 1 };
#else
#define PAIR_LOW(a, b) SHUFFLE(a, b, 0, 4, 1, 5)  // columns 0 and 1
#define PAIR_HIGH(a, b) SHUFFLE(a, b, 2, 6, 3, 7)
enum { SECOND = 1, THIRD = 2 };
#endif
static inline void transpose_tile(const C *RESTRICT b, C *RESTRICT out, Index b_row, Index out_row) {
  const Four first = *(const Four *)b, second = *(const Four *)(b + b_row);
  const Four third = *(const Four *)(b + 2 * b_row), fourth = *(const Four *)(b + 3 * b_row);
  const Four above_low = PAIR_LOW(first, second), above_high = PAIR_HIGH(first, second);
  const Four below_low = PAIR_LOW(third, fourth), below_high = PAIR_HIGH(third, fourth);
  *(Four *)out = SHUFFLE(above_low, below_low, 0, 1, 4, 5);
  *(Four *)(out + SECOND * out_row) = SHUFFLE(above_low, below_low, 2, 3, 6, 7);
  *(Four *)(out + THIRD * out_row) = SHUFFLE(above_high, below_high, 0, 1, 4, 5);
  *(Four *)(out + 3 * out_row) = SHUFFLE(above_high, below_high, 2, 3, 6, 7);
}
#endif

// Sixteen rows at a time, which are whole cache lines of the columns that are written.
static inline void transpose_rows(const C *RESTRICT b, C *RESTRICT out, Index rows, Index columns, Range own) {
  for (Index band = own.first; band < own.stop; band += 16) {
    const Index stop = band + 16 < own.stop ? band + 16 : own.stop, tiled = stop - (stop - band) % TILE;
    Index j = 0;
    for (; j + TILE <= columns; j += TILE) {
      for (Index i = band; i < tiled; i += TILE) transpose_tile(b + i * columns + j, out + j * rows + i, columns, rows);
      for (Index i = tiled; i < stop; ++i)
        for (Index column = j; column < j + TILE; ++column) out[column * rows + i] = b[i * columns + column];
    }
    for (; j < columns; ++j)
      for (Index i = band; i < stop; ++i) out[j * rows + i] = b[i * columns + j];
  }
}

OPERATION(transpose) {
  const Index rows = op->n[1], columns = op->n[2];
  const Share share = share_of_stack(op->n[0], rows, 16, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    transpose_rows((const C *)op->p[0] + network * op->n[3], (C *)op->p[1] + network * op->n[4], rows, columns,
                   share.own);
}

#define LINEAR_KERNELS \
  {"gather", gather}, {"gather_csr", gather_csr}, {"column_sums", column_sums}, {"weight_sum", weight_sum}, \
      {"shares", shares}, {"accumulate", accumulate}, {"times", times}, {"penalty", penalty}, \
      {"penalty_value", penalty_value}, {"transpose", transpose}

#endif

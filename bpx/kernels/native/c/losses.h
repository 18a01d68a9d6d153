// Losses of each row and their gradient in one pass: bpx/formulas/losses.py, whose names these have.
//
// output, target, share (or null), row_loss, grad, levels (or null) | networks, rows, k, target_stride, share_stride,
// label_bytes | parameter, 1/rows, cap: row_loss (double) <- share * sum over outputs of min(value, cap), grad <-
// derivative * share. The target is rows of C, or integer labels where label_bytes is not 0. grad is another array than
// output.
#ifndef BPX_LOSSES_H
#define BPX_LOSSES_H

#include "rows.h"

// Some rows of a network: `target` is the first one's label or number.
typedef struct {
  const C *output, *share;
  const char *target;
  double *row_loss, every_share;
  C *grad, parameter, cap;
  Index rows, k, label_bytes;
} LossRows;

typedef void (*LossOfRows)(const LossRows *rows, const C *levels);
INLINE void loss(const Operation *op, Index part, Index parts, LossOfRows of_rows) {
  const Index rows_of_all = op->n[1], k = op->n[2], target_stride = op->n[3], share_stride = op->n[4];
  const Index label_bytes = op->n[5], target_bytes = label_bytes > 0 ? label_bytes : (Index)sizeof(C);
  const Share shares = share_of_rows(op->n[0], rows_of_all, part, parts);
  const C *const share = op->p[2];
  for (Index network = shares.networks.first; network < shares.networks.stop; ++network)
    FOR_BLOCKS(first, count, shares.own, k) {
      const Index row = network * rows_of_all + first;
      const Index of_target = network * target_stride + first * (label_bytes > 0 ? 1 : k);
      const LossRows rows = {
          .output = (const C *)op->p[0] + row * k,
          .share = share == NULL ? NULL : share + network * share_stride + first,
          .target = (const char *)op->p[1] + of_target * target_bytes,
          .row_loss = (double *)op->p[3] + row,
          .every_share = op->x[1],
          .grad = (C *)op->p[4] + row * k,
          .parameter = (C)op->x[0],
          .cap = (C)op->x[2],
          .rows = count,
          .k = k,
          .label_bytes = label_bytes,
      };
      of_rows(&rows, op->p[5]);
    }
}
INLINE C share_of_row(const LossRows *rows, Index i) {
  return rows->share == NULL ? (C)rows->every_share : rows->share[i];
}
INLINE double share_of_loss(const LossRows *rows, Index i) {
  return rows->share == NULL ? rows->every_share : (double)rows->share[i];
}
INLINE Index label_of_row(const LossRows *rows, Index i) {
  return rows->label_bytes == 4 ? ((const int32_t *)rows->target)[i] : ((const int64_t *)rows->target)[i];
}

// Targets of columns `first` to `first + width` of the rows: their own, or rows of 0 and 1 put into `ones`. There are
// several rows only where all of each is asked for.
static const C *targets_of(const LossRows *rows, Index first, Index width, C *ones) {
  if (rows->label_bytes == 0) return (const C *)rows->target + first;
  memset(ones, 0, sizeof(C) * (size_t)(rows->rows * width));
  for (Index i = 0; i < rows->rows; ++i) {
    const Index column = label_of_row(rows, i) - first;
    if (column >= 0 && column < width) ones[i * width + column] = 1;
  }
  return ones;
}

// Of `count` outputs the values and the derivatives, times a share that all have.
typedef void (*EachLoss)(const C *a, const C *y, const C *levels, C *values, C *grad, Index count, C parameter, C cap,
                         C share);
INLINE void each_in_vectors(EachLoss each, const C *a, const C *y, const C *levels, C *values, C *grad, Index count,
                            C parameter, C cap, C share) {
  const Index rest = count % LANES, whole = count - rest;
  if (whole > 0) each(a, y, levels, values, grad, whole, parameter, cap, share);
  if (rest > 0) {
    C tail[5][MOST_LANES] = {{0}};
    const size_t bytes = sizeof(C) * (size_t)rest;
    memcpy(tail[0], a + whole, bytes);
    memcpy(tail[1], y + whole, bytes);
    if (levels != NULL) memcpy(tail[2], levels + whole, bytes);
    each(tail[0], tail[1], tail[2], tail[3], tail[4], LANES, parameter, cap, share);
    memcpy(values + whole, tail[3], bytes);
    memcpy(grad + whole, tail[4], bytes);
  }
}

// A loss in which each output counts by itself: pieces of a block's numbers, which are whole rows or a part of one.
INLINE void loss_of_each(const LossRows *rows, const C *levels, EachLoss each) {
  C values[NUMBERS_AT_ONCE], ones[NUMBERS_AT_ONCE], levels_of_rows[NUMBERS_AT_ONCE], sums[NUMBERS_AT_ONCE];
  const Index k = rows->k;
  const C common = rows->share == NULL ? (C)rows->every_share : 1;
  for (Index i = 0; i < rows->rows; ++i) rows->row_loss[i] = 0.0;
  for (Index first = 0; first < k; first += NUMBERS_AT_ONCE) {
    const Index width = k - first < NUMBERS_AT_ONCE ? k - first : NUMBERS_AT_ONCE;
    const C *const y = targets_of(rows, first, width, ones);
    if (levels != NULL) repeat_row(levels + first, levels_of_rows, width, rows->rows);
    each_in_vectors(each, rows->output + first, y, levels == NULL ? NULL : levels_of_rows, values, rows->grad + first,
                    rows->rows * width, rows->parameter, rows->cap, common);
    sum_rows_of(values, sums, rows->rows, width);
    for (Index i = 0; i < rows->rows; ++i) rows->row_loss[i] += (double)sums[i];
  }
  for (Index i = 0; i < rows->rows; ++i) rows->row_loss[i] *= share_of_loss(rows, i);
  if (rows->share != NULL) {
    for (Index i = 0; i < rows->rows; ++i) sums[i] = 1;
    scale_rows(rows->grad, rows->share, sums, rows->rows, k);
  }
}

#define EACH_LOSS(name, function, parameter_of_output) \
  LOOP_FUNCTION void function##_each(const C *restrict a, const C *restrict y, const C *restrict levels, \
                                     C *restrict values, C *restrict grad, Index count, C parameter, C cap, \
                                     C share) { \
    (void)levels, (void)parameter; \
    for (Index i = 0; i < count; ++i) { \
      const Both one = name##_at(a[i], y[i], parameter_of_output); \
      values[i] = minimum(cap, one.value); \
      grad[i] = one.slope * share; \
    } \
  }
#define LOSS(name) \
  EACH_LOSS(name, name, parameter) \
  static void name##_of_rows(const LossRows *rows, const C *levels) { loss_of_each(rows, levels, name##_each); } \
  OPERATION(name) { loss(op, part, parts, name##_of_rows); }

LOSS(squared_error)
LOSS(absolute_error)
LOSS(huber_error)
LOSS(binary_cross_entropy)
LOSS(binary_cross_entropy_with_sigmoid)
LOSS(cross_entropy)
LOSS(poisson)
LOSS(poisson_with_exp)

EACH_LOSS(quantile_error, quantile_error, parameter)
EACH_LOSS(quantile_error, quantile_error_of_levels, levels[i])
static void quantile_error_of_rows(const LossRows *rows, const C *levels) {
  if (levels == NULL) loss_of_each(rows, NULL, quantile_error_each);
  else loss_of_each(rows, levels, quantile_error_of_levels_each);
}
OPERATION(quantile_error) { loss(op, part, parts, quantile_error_of_rows); }

// Whether no number is infinite or NaN: the exponents of those are all ones, and carry into the sign when 1 is added.
static int are_finite(const C *x, Index count) {
  const Bits sign_bit = (Bits)1 << (8 * sizeof(C) - 1), one = (Bits)1 << MANTISSA;
  Bits carried = 0;
  for (Index i = 0; i < count; ++i) carried |= (bits_of(x[i]) & ~sign_bit) + one;
  return (carried & sign_bit) == 0;
}

// Columns of a row, of which `grad` holds the exponentials.
INLINE C softmax_columns(const C *restrict z, const C *restrict y, C *restrict grad, C *restrict values, Index width,
                         C most, C log_total, C mass_of_total, C cap, C share) {
  for (Index j = 0; j < width; ++j) {
    const Both one = cross_entropy_with_softmax_at(z[j] - most, grad[j], log_total, mass_of_total, y[j]);
    values[j] = minimum(cap, one.value);
    grad[j] = one.slope * share;
  }
  return sum_of_row(values, width);
}

// Of any targets, where `grad` holds the exponentials: largest, total and the total's logarithm are given of each row.
static void softmax_of_targets(const LossRows *rows, const C *most, const C *total, const C *log_total) {
  C ones[NUMBERS_AT_ONCE], values[NUMBERS_AT_ONCE], mass[NUMBERS_AT_ONCE];
  const Index k = rows->k, pieces = k > NUMBERS_AT_ONCE ? NUMBERS_AT_ONCE : k;
  if (rows->label_bytes == 0) sum_rows_of((const C *)rows->target, mass, rows->rows, k);
  for (Index i = 0; i < rows->rows; ++i) {
    mass[i] = (rows->label_bytes == 0 ? mass[i] : 1) / total[i];
    rows->row_loss[i] = 0.0;
  }
  for (Index first = 0; first < k; first += pieces) {
    const Index columns = k - first < pieces ? k - first : pieces;
    const C *const y = targets_of(rows, first, columns, ones);
#define LOOP(width) \
  for (Index i = 0; i < rows->rows; ++i) \
    rows->row_loss[i] += softmax_columns(rows->output + first + i * (width), y + i * (width), \
                                         rows->grad + first + i * (width), values, width, most[i], log_total[i], \
                                         mass[i], rows->cap, share_of_row(rows, i))
    FOR_WIDTH(columns, LOOP)
#undef LOOP
  }
  for (Index i = 0; i < rows->rows; ++i) rows->row_loss[i] *= share_of_loss(rows, i);
}

static void cross_entropy_with_softmax_of_rows(const LossRows *rows, const C *levels) {
  (void)levels;
  C most[NUMBERS_AT_ONCE], total[NUMBERS_AT_ONCE], log_total[NUMBERS_AT_ONCE], shifted[NUMBERS_AT_ONCE];
  C *const grad = rows->grad;
  const Index count = rows->rows, k = rows->k;
  largest_of_rows(rows->output, most, count, k);
  subtract_from_rows(rows->output, most, grad, count, k);
  // Of all outputs but the label's the value is 0, unless one is not finite.
  const int labels_alone = rows->label_bytes > 0 && are_finite(grad, count * k);
  if (labels_alone)
    for (Index i = 0; i < count; ++i) {
      const Index label = label_of_row(rows, i);
      shifted[i] = label >= 0 && label < k ? grad[i * k + label] : 0;
    }
  in_place(exp_each, grad, count * k, 0);
  sum_rows_of(grad, total, count, k);
  memcpy(log_total, total, sizeof(C) * (size_t)count);
  in_place(log_each, log_total, count, 0);
  if (!labels_alone) {
    softmax_of_targets(rows, most, total, log_total);
    return;
  }
  // As softmax_of_targets does it, to the last bit.
  C *const share = most;  // no longer needed
  for (Index i = 0; i < count; ++i) {
    share[i] = share_of_row(rows, i);
    total[i] = 1 / total[i];
  }
  for (Index i = 0; i < count; ++i) {
    const Index label = label_of_row(rows, i);
    rows->row_loss[i] = 0.0;
    if (label < 0 || label >= k) continue;
    const Both one = cross_entropy_with_softmax_at(shifted[i], grad[i * k + label], log_total[i], total[i], 1);
    rows->row_loss[i] = (double)minimum(one.value, rows->cap) * share_of_loss(rows, i);
    shifted[i] = one.slope * share[i];
  }
  scale_rows(grad, total, share, count, k);
  for (Index i = 0; i < count; ++i) {
    const Index label = label_of_row(rows, i);
    if (label >= 0 && label < k) grad[i * k + label] = shifted[i];
  }
}
OPERATION(cross_entropy_with_softmax) { loss(op, part, parts, cross_entropy_with_softmax_of_rows); }

// row_loss, loss | networks, rows: the sum of a network's losses, in a fixed order.
OPERATION(sum_rows) {
  const Index rows = op->n[1];
  const Range networks = share_of_networks(op->n[0], part, parts);
  for (Index network = networks.first; network < networks.stop; ++network) {
    const double *const row_loss = (const double *)op->p[0] + network * rows;
    double sums[8] = {0.0}, sum = 0.0;
    Index i = 0;
    for (; i + 8 <= rows; i += 8)
      for (Index lane = 0; lane < 8; ++lane) sums[lane] += row_loss[i + lane];
    for (Index lane = 0; i < rows; ++i, ++lane) sums[lane] += row_loss[i];
    for (Index lane = 0; lane < 8; ++lane) sum += sums[lane];
    ((C *)op->p[1])[network] = (C)sum;
  }
}

#define LOSS_KERNELS \
  {"squared_error", squared_error}, {"absolute_error", absolute_error}, {"huber_error", huber_error}, \
  {"quantile_error", quantile_error}, {"binary_cross_entropy", binary_cross_entropy}, \
  {"binary_cross_entropy_with_sigmoid", binary_cross_entropy_with_sigmoid}, {"cross_entropy", cross_entropy}, \
  {"cross_entropy_with_softmax", cross_entropy_with_softmax}, {"poisson", poisson}, \
  {"poisson_with_exp", poisson_with_exp}, {"sum_rows", sum_rows}

#endif

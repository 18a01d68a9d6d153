// Bias and activation in one pass, and the way back: bpx/formulas/activations.py, whose names these have.
#ifndef BPX_ACTIVATIONS_H
#define BPX_ACTIVATIONS_H

#include "rows.h"

// t = z + b, or z where there is no bias, for some rows; t may be z.
static void after_bias(const C *z, const C *b, C *t, Index rows, Index k) {
  if (b != NULL) add_to_rows(z, b, t, rows, k);
  else if (t != z) memcpy(t, z, sizeof(C) * (size_t)(rows * k));
}

// f(t) in place, and f'(t) over t with f(t) written to a.
typedef void (*WithSlope)(C *t, C *a, Index count, C parameter);

// z, b (or null), a | networks, rows, k, b_stride | parameter: a <- f(t) with t = z + b. Where the way back needs more
// than a, z <- f'(t) too; else a may be z.
INLINE void forward(const Operation *op, Index part, Index parts, InPlace value, WithSlope value_and_slope) {
  C *const z = op->p[0], *const a = op->p[2];
  const C *const b = op->p[1], parameter = (C)op->x[0];
  const Index rows_of_all = op->n[1], k = op->n[2], b_stride = op->n[3];
  const Share share = share_of_rows(op->n[0], rows_of_all, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    FOR_BLOCKS(first, rows, share.own, k) {
      const Index at = (network * rows_of_all + first) * k, count = rows * k;
      C *const t = value_and_slope != NULL ? z + at : a + at;
      after_bias(z + at, b == NULL ? NULL : b + network * b_stride, t, rows, k);
      if (value_and_slope != NULL) {
        const Index rest = count % LANES, whole = count - rest;
        if (whole > 0) value_and_slope(t, a + at, whole, parameter);
        if (rest > 0) {
          C tail[2][LANES] = {{0}};
          memcpy(tail[0], t + whole, sizeof(C) * (size_t)rest);
          value_and_slope(tail[0], tail[1], LANES, parameter);
          memcpy(t + whole, tail[0], sizeof(C) * (size_t)rest);
          memcpy(a + at + whole, tail[1], sizeof(C) * (size_t)rest);
        }
      } else if (value != NULL) {
        in_place(value, t, count, parameter);
      }
    }
}

// grad_a, known, out | networks, rows, k | parameter: out <- grad_a * slope, where out may be grad_a.
typedef void (*Back)(const C *grad_a, const C *known, C *out, Index count, C parameter);
INLINE void backward(const Operation *op, Index part, Index parts, Back back) {
  const Index rows = op->n[1], k = op->n[2];
  const Share share = share_of_rows(op->n[0], rows, part, parts);
  const Index networks = share.networks.stop - share.networks.first, own = share.own.stop - share.own.first;
  const Index at = (share.networks.first * rows + share.own.first) * k, count = networks * own * k;
  const Index rest = count % LANES, whole = count - rest;
  const C *const grad_a = (const C *)op->p[0] + at, *const known = (const C *)op->p[1] + at;
  C *const out = (C *)op->p[2] + at, parameter = (C)op->x[0];
  if (whole > 0) back(grad_a, known, out, whole, parameter);
  if (rest > 0) {
    C tail[3][LANES] = {{0}};
    memcpy(tail[0], grad_a + whole, sizeof(C) * (size_t)rest);
    memcpy(tail[1], known + whole, sizeof(C) * (size_t)rest);
    back(tail[0], tail[1], tail[2], LANES, parameter);
    memcpy(out + whole, tail[2], sizeof(C) * (size_t)rest);
  }
}

// The way back needs a only.
#define FORWARD(name) \
  LOOP_FUNCTION void name##_values(C *a, Index count, C parameter) { \
    INDEPENDENT \
    for (Index i = 0; i < count; ++i) a[i] = name##_value(a[i], parameter); \
  } \
  OPERATION(name##_forward) { forward(op, part, parts, name##_values, NULL); }
#define BACKWARD(name) \
  LOOP_FUNCTION void name##_back(const C *grad_a, const C *a, C *out, Index count, C parameter) { \
    INDEPENDENT \
    for (Index i = 0; i < count; ++i) out[i] = grad_a[i] * name##_slope(a[i], a[i], parameter); \
  } \
  OPERATION(name##_backward) { backward(op, part, parts, name##_back); }
#define FORWARD_WITH_SLOPE(name) \
  LOOP_FUNCTION void name##_with_slope(C *restrict t, C *restrict a, Index count, C parameter) { \
    INDEPENDENT \
    for (Index i = 0; i < count; ++i) { \
      const C z = t[i]; \
      a[i] = name##_value(z, parameter); \
      t[i] = name##_slope(z, a[i], parameter); \
    } \
  } \
  OPERATION(name##_forward) { forward(op, part, parts, NULL, name##_with_slope); }

OPERATION(identity_forward) { forward(op, part, parts, NULL, NULL); }
FORWARD(sigmoid) BACKWARD(sigmoid)
FORWARD(tanh) BACKWARD(tanh)
FORWARD(relu) BACKWARD(relu)
FORWARD(leaky_relu) BACKWARD(leaky_relu)
FORWARD(elu) BACKWARD(elu)
FORWARD(softplus) BACKWARD(softplus)
FORWARD(step)
FORWARD_WITH_SLOPE(selu)
FORWARD_WITH_SLOPE(silu)
FORWARD_WITH_SLOPE(mish)
FORWARD_WITH_SLOPE(gelu)
FORWARD_WITH_SLOPE(exp)

LOOP_FUNCTION void slope_back(const C *grad_a, const C *slope, C *out, Index count, C parameter) {
  (void)parameter;
  INDEPENDENT
  for (Index i = 0; i < count; ++i) out[i] = grad_a[i] * slope[i];
}
OPERATION(slope_backward) { backward(op, part, parts, slope_back); }

// As other activations, over each row.
OPERATION(softmax_forward) {
  const C *const z = op->p[0], *const b = op->p[1];
  C *const a = op->p[2];
  const Index rows_of_all = op->n[1], k = op->n[2], b_stride = op->n[3];
  const Share share = share_of_rows(op->n[0], rows_of_all, part, parts);
  C of_rows[NUMBERS_AT_ONCE];
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    FOR_BLOCKS(first, rows, share.own, k) {
      C *const t = a + (network * rows_of_all + first) * k;
      after_bias(z + (t - a), b == NULL ? NULL : b + network * b_stride, t, rows, k);
      largest_of_rows(t, of_rows, rows, k);
      subtract_from_rows(t, of_rows, t, rows, k);
      in_place(exp_each, t, rows * k, 0);
      sum_rows_of(t, of_rows, rows, k);
      divide_rows(t, of_rows, t, rows, k);
    }
}

// grad_a, a, out | networks, rows, k: out_i <- a_i (grad_a_i - sum_j grad_a_j a_j), where out may be grad_a.
LOOP_FUNCTION void products_each(const C *x, const C *y, C *out, Index count) {
  INDEPENDENT
  for (Index i = 0; i < count; ++i) out[i] = x[i] * y[i];
}
OPERATION(softmax_backward) {
  const Index rows_of_all = op->n[1], k = op->n[2];
  const Share share = share_of_rows(op->n[0], rows_of_all, part, parts);
  C products[NUMBERS_AT_ONCE], sums[NUMBERS_AT_ONCE], piece[NUMBERS_AT_ONCE];
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    FOR_BLOCKS(first, rows, share.own, k) {
      const Index at = (network * rows_of_all + first) * k;
      const C *const grad_a = (const C *)op->p[0] + at, *const a = (const C *)op->p[1] + at;
      C *const out = (C *)op->p[2] + at;
      for (Index column = 0; column < k; column += NUMBERS_AT_ONCE) {
        const Index columns = k - column < NUMBERS_AT_ONCE ? k - column : NUMBERS_AT_ONCE;
        products_each(grad_a + column, a + column, products, rows * columns);
        sum_rows_of(products, piece, rows, columns);
        for (Index i = 0; i < rows; ++i) sums[i] = column == 0 ? piece[i] : sums[i] + piece[i];
      }
      subtract_from_rows(grad_a, sums, out, rows, k);
      products_each(out, a, out, rows * k);
    }
}

#define ACTIVATION_KERNELS \
  {"identity_forward", identity_forward}, {"sigmoid_forward", sigmoid_forward}, {"tanh_forward", tanh_forward}, \
  {"relu_forward", relu_forward}, {"leaky_relu_forward", leaky_relu_forward}, {"elu_forward", elu_forward}, \
  {"selu_forward", selu_forward}, {"softplus_forward", softplus_forward}, {"silu_forward", silu_forward}, \
  {"mish_forward", mish_forward}, {"gelu_forward", gelu_forward}, {"exp_forward", exp_forward}, \
  {"step_forward", step_forward}, {"softmax_forward", softmax_forward}, {"sigmoid_backward", sigmoid_backward}, \
  {"tanh_backward", tanh_backward}, {"relu_backward", relu_backward}, \
  {"leaky_relu_backward", leaky_relu_backward}, {"elu_backward", elu_backward}, \
  {"softplus_backward", softplus_backward}, {"slope_backward", slope_backward}, \
  {"softmax_backward", softmax_backward}

#endif

// The updates of parameters: see bpx/formulas/updates.py. Numbers of one network are computed in double and rounded
// once; what is done to each parameter is computed in C.
#ifndef BPX_UPDATES_H
#define BPX_UPDATES_H

#include <math.h>

#include "linear.h"

// What all updates begin with: each network of the share, and where its own parameters begin.
#define FOR_EACH_NETWORK(unit) \
  const Index p = op->n[1]; \
  const Share share = share_of_stack(op->n[0], p, unit, part, parts); \
  const Index count = share.own.stop - share.own.first; \
  if (count > 0) \
    for (Index network = share.networks.first, at = network * p + share.own.first; network < share.networks.stop; \
         ++network, at += p)
// The hyperparameters of a network, each a row of one number or of one for each network.
#define HYPER(row) ((const double *)op->p[hypers])[(row) * op->n[4] + network * op->n[3]]

static inline C square_root(C x) { return sizeof(C) == sizeof(float) ? (C)sqrtf((float)x) : (C)sqrt((double)x); }

// The size of the largest of some numbers, NaN if there is one: as integers sizes are in order, and NaN is above all.
static inline double largest_size(const C *grads, Index count) {
  if (sizeof(C) == sizeof(float)) {
    int32_t most = 0;
    float size;
    for (Index i = 0; i < count; ++i) {
      int32_t bits;
      memcpy(&bits, grads + i, sizeof(bits));
      bits &= INT32_MAX;
      most = bits > most ? bits : most;
    }
    memcpy(&size, &most, sizeof(size));
    return size;
  }
  int64_t most = 0;
  double size;
  for (Index i = 0; i < count; ++i) {
    int64_t bits;
    memcpy(&bits, grads + i, sizeof(bits));
    bits &= INT64_MAX;
    most = bits > most ? bits : most;
  }
  memcpy(&size, &most, sizeof(size));
  return size;
}

OPERATION(clip_largest) {
  const C *const grads = op->p[0];
  double *const partial = op->p[1];
  FOR_EACH_NETWORK(SUMMED) {
    for (Index i = 0; i < count; i += SUMMED)
      partial[network * op->n[2] + (share.own.first + i) / SUMMED] =
          largest_size(grads + at + i, count - i < SUMMED ? count - i : SUMMED);
  }
}

// The largest of a network's blocks; 1 where it is no number above 0.
static inline C scale_of(const double *partial, Index blocks) {
  double largest = 0.0;
  for (Index i = 0; i < blocks; ++i)
    if (!(partial[i] <= largest)) largest = partial[i];
  return largest > 0.0 ? (C)largest : (C)1;
}

OPERATION(clip_squares) {
  const C *const grads = op->p[0];
  const double *const partial = op->p[1];
  double *const squares = op->p[2];
  const Index blocks = op->n[2];
  FOR_EACH_NETWORK(SUMMED) {
    const C scale = scale_of(partial + network * blocks, blocks);
    for (Index block = 0; block < count; block += SUMMED) {
      const Index stop = block + SUMMED < count ? block + SUMMED : count;
      double sum = 0.0, values[CHUNK];
      for (Index i = block; i < stop; i += CHUNK) {
        const Index some = stop - i < CHUNK ? stop - i : CHUNK;
        for (Index j = 0; j < some; ++j) {
          const double scaled = (double)(grads[at + i + j] / scale);
          values[j] = scaled * scaled;
        }
        sum += sum_of(values, some);
      }
      squares[network * blocks + (share.own.first + block) / SUMMED] = sum;
    }
  }
}

OPERATION(clip_scale) {
  C *const grads = op->p[0];
  const double *const partial = op->p[1], *const squares = op->p[2];
  const Index blocks = op->n[2];
  FOR_EACH_NETWORK(SUMMED) {
    const C most = (C)((const double *)op->p[3])[network * op->n[3]];
    const C scale = scale_of(partial + network * blocks, blocks);
    const C norm = scale * (C)sqrt(sum_of(squares + network * blocks, blocks));
    if (norm <= most) continue;
    const C factor = most / norm;
    for (Index i = at; i < at + count; ++i) grads[i] *= factor;
  }
}

static inline void descend(const C *RESTRICT g, C *RESTRICT p, C rate, Index count) {
  for (Index i = 0; i < count; ++i) p[i] -= rate * g[i];
}

OPERATION(gradient_descent) {
  FOR_EACH_NETWORK(64)
    descend((const C *)op->p[0] + at, (C *)op->p[1] + at, (C)((const double *)op->p[2])[network * op->n[2]], count);
}

static inline void move_on(const C *RESTRICT g, C *RESTRICT p, C *RESTRICT v, C rate, C kept, Index nesterov,
                           Index count) {
  if (nesterov)
    for (Index i = 0; i < count; ++i) {
      const C push = rate * g[i], after = kept * v[i] - push;
      v[i] = after;
      p[i] += kept * after - push;
    }
  else
    for (Index i = 0; i < count; ++i) {
      const C after = kept * v[i] - rate * g[i];
      v[i] = after;
      p[i] += after;
    }
}

OPERATION(momentum) {
  enum { hypers = 4 };
  FOR_EACH_NETWORK(64)
    move_on((const C *)op->p[0] + at, (C *)op->p[1] + at, (C *)op->p[2] + at,
            (C)((const double *)op->p[3])[network * op->n[2]], (C)HYPER(0), op->n[5], count);
}

static inline void descend_scaled(const C *RESTRICT g, C *RESTRICT p, C *RESTRICT s, C rate, C old, C fresh,
                                  C epsilon, Index count) {
  for (Index i = 0; i < count; ++i) {
    const C square = old * s[i] + fresh * (g[i] * g[i]);
    s[i] = square;
    p[i] -= rate * (g[i] / (square_root(square) + epsilon));
  }
}

OPERATION(scaled) {
  enum { hypers = 4 };
  FOR_EACH_NETWORK(64)
    descend_scaled((const C *)op->p[0] + at, (C *)op->p[1] + at, (C *)op->p[2] + at,
                   (C)((const double *)op->p[3])[network * op->n[2]], (C)HYPER(0), (C)HYPER(1), (C)HYPER(2), count);
}

// What one network's parameters have in common.
typedef struct {
  C kept, pace, divisor, old_1, fresh_1, old_2, fresh_2, epsilon;
} AdamNumbers;

static inline void descend_adam(const C *RESTRICT g, C *RESTRICT p, C *RESTRICT m, C *RESTRICT s, AdamNumbers use,
                                Index count) {
  for (Index i = 0; i < count; ++i) {
    const C mean = use.old_1 * m[i] + use.fresh_1 * g[i], square = use.old_2 * s[i] + use.fresh_2 * (g[i] * g[i]);
    m[i] = mean;
    s[i] = square;
    p[i] = use.kept * p[i] - use.pace * (mean / (square_root(square) / use.divisor + use.epsilon));
  }
}

OPERATION(adam) {
  enum { hypers = 5 };
  const double step = *(const double *)op->p[6];
  double left_1 = 0.0, left_2 = 0.0;  // beta^step
  FOR_EACH_NETWORK(64) {
    const double beta_1 = HYPER(0), beta_2 = HYPER(1), first = ((const double *)op->p[4])[network * op->n[2]];
    if (network == share.networks.first || op->n[3] != 0) left_1 = pow(beta_1, step), left_2 = pow(beta_2, step);
    const double root = sqrt(1.0 - left_2), rate = first / (1.0 - left_1);
    const AdamNumbers use = {.kept = (C)(1.0 - first * HYPER(3)),
                             .pace = (C)(op->n[5] ? rate * root : rate),
                             .divisor = op->n[5] ? (C)1 : (C)root,
                             .old_1 = (C)beta_1,
                             .fresh_1 = (C)(1.0 - beta_1),
                             .old_2 = (C)beta_2,
                             .fresh_2 = (C)(1.0 - beta_2),
                             .epsilon = (C)HYPER(2)};
    descend_adam((const C *)op->p[0] + at, (C *)op->p[1] + at, (C *)op->p[2] + at, (C *)op->p[3] + at, use, count);
  }
}

#define UPDATE_KERNELS \
  {"clip_largest", clip_largest}, {"clip_squares", clip_squares}, {"clip_scale", clip_scale}, \
      {"gradient_descent", gradient_descent}, {"momentum", momentum}, {"scaled", scaled}, {"adam", adam}

#endif

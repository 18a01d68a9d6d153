// The updates of parameters: see bpx/formulas/updates.py. Numbers of one network are computed in double and rounded
// once; what is done to each parameter is computed in C.
#ifndef BPX_UPDATES_H
#define BPX_UPDATES_H

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
  for (Index i = 0; i < count; ++i) gradient_descent_of(g[i], p + i, rate);
}

OPERATION(gradient_descent) {
  FOR_EACH_NETWORK(64)
    descend((const C *)op->p[0] + at, (C *)op->p[1] + at, (C)((const double *)op->p[2])[network * op->n[2]], count);
}

static inline void descend_momentum(const C *RESTRICT g, C *RESTRICT p, C *RESTRICT velocity, C rate, C friction,
                                    int nesterov, Index count) {
  for (Index i = 0; i < count; ++i) momentum_of(g[i], velocity + i, p + i, rate, friction, nesterov);
}

OPERATION(momentum) {
  enum { hypers = 4 };
  FOR_EACH_NETWORK(64)
    descend_momentum((const C *)op->p[0] + at, (C *)op->p[1] + at, (C *)op->p[2] + at,
                     (C)((const double *)op->p[3])[network * op->n[2]], (C)HYPER(0), op->n[5] != 0, count);
}

static inline void descend_scaled(const C *RESTRICT g, C *RESTRICT p, C *RESTRICT square, C rate, C kept, C fresh,
                                  C epsilon, Index count) {
  for (Index i = 0; i < count; ++i) scaled_of(g[i], square + i, p + i, rate, kept, fresh, epsilon);
}

OPERATION(scaled) {
  enum { hypers = 4 };
  FOR_EACH_NETWORK(64)
    descend_scaled((const C *)op->p[0] + at, (C *)op->p[1] + at, (C *)op->p[2] + at,
                   (C)((const double *)op->p[3])[network * op->n[2]], (C)HYPER(0), (C)HYPER(1), (C)HYPER(2), count);
}

static inline void descend_adam(const C *RESTRICT g, C *RESTRICT p, C *RESTRICT mean, C *RESTRICT square, Adam adam,
                                Index count) {
  if (adam.correction == 1) {  // as a constant it costs no division
    adam.correction = 1;
    for (Index i = 0; i < count; ++i) adam_of(g[i], mean + i, square + i, p + i, adam);
  } else {
    for (Index i = 0; i < count; ++i) adam_of(g[i], mean + i, square + i, p + i, adam);
  }
}

OPERATION(adam) {
  enum { hypers = 5 };
  const double step = *(const double *)op->p[6];
  double power_1 = 0.0, power_2 = 0.0;
  FOR_EACH_NETWORK(64) {
    if (network == share.networks.first || op->n[3] != 0) power_1 = pow(HYPER(0), step), power_2 = pow(HYPER(1), step);
    const double rate = ((const double *)op->p[4])[network * op->n[2]];
    const Adam adam = adam_step(rate, HYPER(0), HYPER(1), HYPER(2), HYPER(3), power_1, power_2, op->n[5] != 0);
    descend_adam((const C *)op->p[0] + at, (C *)op->p[1] + at, (C *)op->p[2] + at, (C *)op->p[3] + at, adam, count);
  }
}

#define UPDATE_KERNELS \
  {"clip_largest", clip_largest}, {"clip_squares", clip_squares}, {"clip_scale", clip_scale}, \
      {"gradient_descent", gradient_descent}, {"momentum", momentum}, {"scaled", scaled}, {"adam", adam}

#endif

// Whether numbers are finite: at the end of an epoch, and of the rows of a prediction.
#ifndef BPX_CHECKS_H
#define BPX_CHECKS_H

#include "operation.h"

// p: x (networks, rows, k), sums (double, (networks, rows)): 0 where all of a row is finite, else NaN.
OPERATION(zero_sums) {
  const Index rows = op->n[1], k = op->n[2];
  const Share share = share_of_rows(op->n[0], rows, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network)
    for (Index i = share.own.first; i < share.own.stop; ++i) {
      const C *const x = (const C *)op->p[0] + (network * rows + i) * k;
      C sum = 0;
      for (Index j = 0; j < k; ++j) sum += (C)0 * x[j];
      ((double *)op->p[1])[network * rows + i] = (double)sum;
    }
}

// p: total, weights (double, or NULL), flat, proven, latest, losses (double), count, stop (int64);
// n: networks, parameters; x: the epoch's rows, where there are no weights.
//
// The mean loss, NaN where a parameter is not finite, is written behind the `count` that were before. Where all are
// finite, `latest` moves to `proven` and the parameters to `latest`, and the sums begin anew; else `stop` is set.
OPERATION(end_epoch) {
  (void)part, (void)parts;
  const Index networks = op->n[0], size = op->n[1];
  double *const total = op->p[0], *const weights = op->p[1];
  const C *const flat = op->p[2];
  C *const proven = op->p[3], *const latest = op->p[4];
  int64_t *const count = op->p[6], *const stop = op->p[7];
  double *const losses = (double *)op->p[5] + *count * networks;
  int finite = 1;
  for (Index network = 0; network < networks; ++network) {
    C sum = 0;
    for (Index i = 0; i < size; ++i) sum += (C)0 * flat[network * size + i];
    const double weight = weights == NULL ? op->x[0] : weights[network] > 0.0 ? weights[network] : 1.0;
    losses[network] = total[network] / weight + (double)sum;
    if (!(losses[network] - losses[network] == 0.0)) finite = 0;
  }
  *count += 1;
  if (!finite) {
    *stop = 1;
    return;
  }
  memcpy(proven, latest, (size_t)(networks * size) * sizeof(C));
  memcpy(latest, flat, (size_t)(networks * size) * sizeof(C));
  for (Index network = 0; network < networks; ++network) total[network] = 0.0;
  for (Index network = 0; weights != NULL && network < networks; ++network) weights[network] = 0.0;
}

#define CHECK_KERNELS {"zero_sums", zero_sums}, {"end_epoch", end_epoch}

#endif

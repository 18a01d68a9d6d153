// The end of an epoch: its mean loss, and whether training may go on.

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

#define EPOCH_KERNELS {"end_epoch", end_epoch},

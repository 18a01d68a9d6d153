OPERATION(squared_error) {
  const Index rows = op->n[1], k = op->n[2];
  const Share s = share_of_rows(op->n[0], rows, part, parts);
  for (Index w = s.networks.first; w < s.networks.stop; ++w)
    for (Index i = s.own.first; i < s.own.stop; ++i) {
      const C *o = (C *)op->p[0] + (w * rows + i) * k, *t = (C *)op->p[1] + w * op->n[3] + i * k;
      C sh = op->p[2] ? ((C *)op->p[2])[w * op->n[4] + i] : (C)op->x[1], sum = 0;
      for (Index j = 0; j < k; ++j) {
        C r = o[j] - t[j];
        sum += (C)0.5 * r * r;
        ((C *)op->p[4])[(w * rows + i) * k + j] = r * sh;
      }
      ((double *)op->p[3])[w * rows + i] = (double)(sum * sh);
    }
}
OPERATION(cross_entropy_with_softmax) {
  const Index rows = op->n[1], k = op->n[2];
  const Share s = share_of_rows(op->n[0], rows, part, parts);
  for (Index w = s.networks.first; w < s.networks.stop; ++w)
    for (Index i = s.own.first; i < s.own.stop; ++i) {
      const C *o = (C *)op->p[0] + (w * rows + i) * k;
      C sh = op->p[2] ? ((C *)op->p[2])[w * op->n[4] + i] : (C)op->x[1], total = 0, most = o[0];
      C *g = (C *)op->p[4] + (w * rows + i) * k;
      for (Index j = 1; j < k; ++j) most = o[j] > most ? o[j] : most;
      for (Index j = 0; j < k; ++j) total += g[j] = exp(o[j] - most);
      Index l = ((int64_t *)op->p[1])[w * op->n[3] + i];
      for (Index j = 0; j < k; ++j) g[j] = (g[j] / total - (j == l)) * sh;
      ((double *)op->p[3])[w * rows + i] = -(o[l] - most - log(total)) * sh;
    }
}
OPERATION(sum_rows) {
  const Share s = share_of_stack(op->n[0], 1, 1, part, parts);
  if (s.own.first == s.own.stop) return;
  for (Index w = s.networks.first; w < s.networks.stop; ++w) {
    double t = 0;
    for (Index i = 0; i < op->n[1]; ++i) t += ((double *)op->p[0])[w * op->n[1] + i];
    ((C *)op->p[1])[w] = t;
  }
}
#define LOSS_KERNELS {"squared_error", squared_error}, {"cross_entropy_with_softmax", cross_entropy_with_softmax}, {"sum_rows", sum_rows}

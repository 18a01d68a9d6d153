// Softmax over the last axis, and the product with its Jacobian: a group of `lanes` threads has a row.

// a = softmax(z + b), which may be written over z; rows of k numbers, n to a network.
extern "C" __global__ void softmax_forward(const S *z, S *a, const C *b, Index rows, Index n, Index k, Index b_stride,
                                           int lanes) {
  const int lane = threadIdx.x % lanes, at_once = BLOCK / lanes;
  for (Index base = Index(blockIdx.x) * at_once; base < rows; base += Index(gridDim.x) * at_once) {
    const Index row = base + threadIdx.x / lanes, columns = row < rows ? k : 0;
    const S *const my_z = z + row * k;
    const C *const my_b = b == nullptr || columns == 0 ? nullptr : b + quotient(row, n) * b_stride;
    C most = -math::infinity(), total = C(0);
    for (Index j = lane; j < columns; j += lanes)
      most = maximum(most, C(my_z[j]) + (my_b == nullptr ? C(0) : my_b[j]));
    most = over_group<Maximum>(most, lanes);
    for (Index j = lane; j < columns; j += lanes)
      total += math::exp(C(my_z[j]) + (my_b == nullptr ? C(0) : my_b[j]) - most);
    total = group_sum(total, lanes);
    for (Index j = lane; j < columns; j += lanes)
      a[row * k + j] = S(math::exp(C(my_z[j]) + (my_b == nullptr ? C(0) : my_b[j]) - most) / total);
  }
}

// grad_z_i = a_i (grad_a_i - sum_j grad_a_j a_j), which may be written over grad_a.
extern "C" __global__ void softmax_backward(const S *grad_a, const S *a, S *out, Index rows, Index k, int lanes) {
  const int lane = threadIdx.x % lanes, at_once = BLOCK / lanes;
  for (Index base = Index(blockIdx.x) * at_once; base < rows; base += Index(gridDim.x) * at_once) {
    const Index row = base + threadIdx.x / lanes, columns = row < rows ? k : 0;
    C product = C(0);
    for (Index j = lane; j < columns; j += lanes) product += C(grad_a[row * k + j]) * C(a[row * k + j]);
    product = group_sum(product, lanes);
    for (Index j = lane; j < columns; j += lanes)
      out[row * k + j] = S(C(a[row * k + j]) * (C(grad_a[row * k + j]) - product));
  }
}

// Loss and gradient in one pass: see bpx/formulas/losses.py, whose names these have.
//
// Outputs and gradients are (networks, n, k); targets are (n, k) of C, or labels (n,), target_stride numbers after the
// last network's (0 where all share them); weights are (n,), and `totals` has their sums. A group of `lanes` threads
// has a row. Block x of a network sums its rows' losses into sums[network, x], which `finish` puts together; where
// there is one block, that is the loss. The gradient is multiplied by `scale`, one number for each network, where it is
// not null.

#define LOSS \
  const S *output, S *grad, C *loss, double *sums, const void *target, Index target_stride, const C *weight, \
      Index weight_stride, const C *totals, Index totals_stride, const C *scale, Index networks, Index n, Index k, \
      int lanes, C cap, C parameter, const C *levels
#define LOSS_ARGS \
  output, grad, loss, sums, target, target_stride, weight, weight_stride, totals, totals_stride, scale, networks, n, \
      k, lanes, cap, parameter, levels

// What an output should have been.
struct Rows {
  const C *row;
  __device__ Rows(const void *target, Index first, Index i, Index k)
      : row(static_cast<const C *>(target) + first + i * k) {}
  __device__ C at(Index column) const { return row[column]; }
};
struct Labels {
  Index label;
  __device__ Labels(const void *target, Index first, Index i, Index)
      : label(static_cast<const Index *>(target)[first + i]) {}
  __device__ C at(Index column) const { return column == label ? C(1) : C(0); }
};

// A loss whose slopes and values are there already, in place of outputs and targets.
__device__ inline Both given_at(C slope, C value, C) { return both(value, slope); }

// A loss in which each output counts by itself.
template <Both loss(C, C, C)>
struct Elementwise {
  C parameter;
  const C *levels;
  __device__ Elementwise(C parameter, const C *levels) : parameter(parameter), levels(levels) {}
  template <class Target>
  __device__ void look_at(const S *, const Target &, Index, int, int) {}
  __device__ Both of(C a, C y, Index column) const {
    return loss(a, y, levels == nullptr ? parameter : levels[column]);
  }
};

// -y (z - max z - log sum exp(z - max z)); softmax(z) sum(y) - y.
struct CrossEntropyWithSoftmax {
  C most, total, log_total, mass;
  __device__ CrossEntropyWithSoftmax(C, const C *) {}
  template <class Target>
  __device__ void look_at(const S *row, const Target &target, Index columns, int lane, int lanes) {
    most = -math::infinity(), total = C(0), mass = C(0);
    for (Index j = lane; j < columns; j += lanes) most = maximum(most, C(row[j]));
    most = over_group<Maximum>(most, lanes);
    for (Index j = lane; j < columns; j += lanes) {
      total += math::exp(C(row[j]) - most);
      mass += target.at(j);
    }
    total = group_sum(total, lanes), mass = group_sum(mass, lanes);
    log_total = math::log(total);
  }
  __device__ Both of(C z, C y, Index) const {
    const C shifted = z - most;
    return cross_entropy_with_softmax_at(shifted, math::exp(shifted), log_total, mass / total, y);
  }
};

template <class Loss, class Target>
__device__ void value_and_grad(LOSS) {
  const int lane = threadIdx.x % lanes, at_once = BLOCK / lanes;
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    double sum = 0.0;
    const C scaled = scale == nullptr ? C(1) : scale[network];
    for (Index base = Index(blockIdx.x) * at_once; base < n; base += Index(gridDim.x) * at_once) {
      const Index i = base + threadIdx.x / lanes, columns = i < n ? k : 0;
      const Index row = columns == 0 ? 0 : i;  // threads without a row look at the first, and use none of it
      const S *const my_output = output + (network * n + row) * k;
      const Target my_target(target, network * target_stride, row, k);
      C share = C(1) / C(n);
      if (weight != nullptr) {
        const C all = totals[network * totals_stride];
        share = weight[network * weight_stride + row] / (all > C(0) ? all : C(1));
      }
      Loss formula(parameter, levels);
      formula.look_at(my_output, my_target, columns, lane, lanes);
      for (Index j = lane; j < columns; j += lanes) {
        const Both both = formula.of(C(my_output[j]), my_target.at(j), j);
        sum += double(minimum(both.value, cap)) * double(share);
        grad[(network * n + row) * k + j] = S(both.slope * share * scaled);
      }
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
      if (gridDim.x == 1) loss[network] = C(sum);
      else sums[network * gridDim.x + blockIdx.x] = sum;
    }
  }
}

extern "C" __global__ void squared_error(LOSS) { value_and_grad<Elementwise<squared_error_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void absolute_error(LOSS) { value_and_grad<Elementwise<absolute_error_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void huber(LOSS) { value_and_grad<Elementwise<huber_error_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void quantile(LOSS) { value_and_grad<Elementwise<quantile_error_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void binary_cross_entropy(LOSS) {
  value_and_grad<Elementwise<binary_cross_entropy_at>, Rows>(LOSS_ARGS);
}
extern "C" __global__ void binary_cross_entropy_with_sigmoid(LOSS) {
  value_and_grad<Elementwise<binary_cross_entropy_with_sigmoid_at>, Rows>(LOSS_ARGS);
}
extern "C" __global__ void cross_entropy(LOSS) { value_and_grad<Elementwise<cross_entropy_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void cross_entropy_of_labels(LOSS) {
  value_and_grad<Elementwise<cross_entropy_at>, Labels>(LOSS_ARGS);
}
extern "C" __global__ void cross_entropy_with_softmax(LOSS) {
  value_and_grad<CrossEntropyWithSoftmax, Rows>(LOSS_ARGS);
}
extern "C" __global__ void cross_entropy_with_softmax_of_labels(LOSS) {
  value_and_grad<CrossEntropyWithSoftmax, Labels>(LOSS_ARGS);
}
extern "C" __global__ void given(LOSS) { value_and_grad<Elementwise<given_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void poisson(LOSS) { value_and_grad<Elementwise<poisson_at>, Rows>(LOSS_ARGS); }
extern "C" __global__ void poisson_with_exp(LOSS) { value_and_grad<Elementwise<poisson_with_exp_at>, Rows>(LOSS_ARGS); }

// loss <- the sum of `count` sums of each network; one block each.
extern "C" __global__ void finish(C *loss, const double *sums, Index networks, Index count) {
  for (Index network = blockIdx.x; network < networks; network += gridDim.x) {
    double sum = 0.0;
    for (Index i = threadIdx.x; i < count; i += BLOCK) sum += sums[network * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) loss[network] = C(sum);
  }
}

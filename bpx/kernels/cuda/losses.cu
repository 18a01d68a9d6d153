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

__device__ inline C held_log(C a) { return math::log(math::maximum(a, Limits::smallest_normal)); }

struct Both {
  C value, slope;
};

struct SquaredError {
  static __device__ Both of(C a, C y, C) { return {C(0.5) * (a - y) * (a - y), a - y}; }
};
struct AbsoluteError {
  static __device__ Both of(C a, C y, C) { return {math::abs(a - y), math::sign(a - y)}; }
};
struct Huber {
  static __device__ Both of(C a, C y, C delta) {
    const C residual = a - y, held = math::maximum(-delta, math::minimum(residual, delta));
    return {held * (residual - C(0.5) * held), held};
  }
};
struct Quantile {
  static __device__ Both of(C a, C y, C level) {
    const C residual = y - a, over = residual < C(0) ? C(1) : C(0);
    const C slope = (over - level) * math::abs(math::sign(residual));
    return {-slope * residual, slope};
  }
};
struct BinaryCrossEntropy {
  static __device__ Both of(C a, C y, C) {
    const C held = math::maximum(Limits::smallest_normal, math::minimum(a, C(1) - Limits::epsilon));
    return {-(y * math::log(held) + (C(1) - y) * math::log1p(-held)), (a - y) / (held * (C(1) - held))};
  }
};
struct BinaryCrossEntropyWithSigmoid {
  static __device__ Both of(C z, C y, C) {
    return {math::maximum(z, C(0)) - y * z + math::log1p(math::exp(-math::abs(z))), math::sigmoid(z) - y};
  }
};
struct CrossEntropy {
  static __device__ Both of(C a, C y, C) { return {-y * held_log(a), -y / math::maximum(a, Limits::smallest_normal)}; }
};
struct Poisson {
  static __device__ Both of(C a, C y, C) {
    const C held = math::maximum(a, Limits::smallest_normal * (C(1) + y));
    return {a - y + y * held_log(y) - y * math::log(held), C(1) - y / held};
  }
};
struct PoissonWithExp {
  static __device__ Both of(C z, C y, C) {
    return {math::exp_with_tangent(z) - y + y * held_log(y) - y * z, math::exp(math::held_exponent(z)) - y};
  }
};

// A loss whose slopes and values are there already, in place of outputs and targets.
struct Given {
  static __device__ Both of(C slope, C value, C) { return {value, slope}; }
};

// A loss in which each output counts by itself.
template <class Loss>
struct Elementwise {
  C parameter;
  const C *levels;
  __device__ Elementwise(C parameter, const C *levels) : parameter(parameter), levels(levels) {}
  template <class Target>
  __device__ void look_at(const S *, const Target &, Index, int, int) {}
  __device__ Both of(C a, C y, Index column) const {
    return Loss::of(a, y, levels == nullptr ? parameter : levels[column]);
  }
};

// -y (z - max z - log sum exp(z - max z)); softmax(z) sum(y) - y.
struct CrossEntropyWithSoftmax {
  C most, total, log_total, mass;
  __device__ CrossEntropyWithSoftmax(C, const C *) {}
  template <class Target>
  __device__ void look_at(const S *row, const Target &target, Index columns, int lane, int lanes) {
    most = -math::infinity(), total = C(0), mass = C(0);
    for (Index j = lane; j < columns; j += lanes) most = math::maximum(most, C(row[j]));
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
    return {-y * (shifted - log_total), math::exp(shifted) * (mass / total) - y};
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
        sum += double(math::minimum(both.value, cap)) * double(share);
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

extern "C" __global__ void squared_error(LOSS) { value_and_grad<Elementwise<SquaredError>, Rows>(LOSS_ARGS); }
extern "C" __global__ void absolute_error(LOSS) { value_and_grad<Elementwise<AbsoluteError>, Rows>(LOSS_ARGS); }
extern "C" __global__ void huber(LOSS) { value_and_grad<Elementwise<Huber>, Rows>(LOSS_ARGS); }
extern "C" __global__ void quantile(LOSS) { value_and_grad<Elementwise<Quantile>, Rows>(LOSS_ARGS); }
extern "C" __global__ void binary_cross_entropy(LOSS) {
  value_and_grad<Elementwise<BinaryCrossEntropy>, Rows>(LOSS_ARGS);
}
extern "C" __global__ void binary_cross_entropy_with_sigmoid(LOSS) {
  value_and_grad<Elementwise<BinaryCrossEntropyWithSigmoid>, Rows>(LOSS_ARGS);
}
extern "C" __global__ void cross_entropy(LOSS) { value_and_grad<Elementwise<CrossEntropy>, Rows>(LOSS_ARGS); }
extern "C" __global__ void cross_entropy_of_labels(LOSS) {
  value_and_grad<Elementwise<CrossEntropy>, Labels>(LOSS_ARGS);
}
extern "C" __global__ void cross_entropy_with_softmax(LOSS) {
  value_and_grad<CrossEntropyWithSoftmax, Rows>(LOSS_ARGS);
}
extern "C" __global__ void cross_entropy_with_softmax_of_labels(LOSS) {
  value_and_grad<CrossEntropyWithSoftmax, Labels>(LOSS_ARGS);
}
extern "C" __global__ void given(LOSS) { value_and_grad<Elementwise<Given>, Rows>(LOSS_ARGS); }
extern "C" __global__ void poisson(LOSS) { value_and_grad<Elementwise<Poisson>, Rows>(LOSS_ARGS); }
extern "C" __global__ void poisson_with_exp(LOSS) { value_and_grad<Elementwise<PoissonWithExp>, Rows>(LOSS_ARGS); }

// loss <- the sum of `count` sums of each network; one block each.
extern "C" __global__ void finish(C *loss, const double *sums, Index networks, Index count) {
  for (Index network = blockIdx.x; network < networks; network += gridDim.x) {
    double sum = 0.0;
    for (Index i = threadIdx.x; i < count; i += BLOCK) sum += sums[network * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) loss[network] = C(sum);
  }
}

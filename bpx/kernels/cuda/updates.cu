// The updates of parameters: see bpx/formulas/updates.py. Vectors are (networks, size) of C, in one piece.
//
// A hyperparameter is one for each network, or a number on the device that is read now, or a number: the first that is
// not null. Networks whose flag in `taken` is 0 stay as they are; all are updated where it is null.

#define HYPER(name) const C *name##_each, const double *name##_now, double name##_number
#define NOW(name) now(name##_each, name##_now, name##_number, network)
#define SIZES const unsigned char *taken, Index networks, Index size

__device__ inline double now(const C *each, const double *one, double number, Index network) {
  return each != nullptr ? double(each[network]) : one != nullptr ? *one : number;
}

#define FOR_EACH_NETWORK \
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) \
    if (taken == nullptr || taken[network] != 0)
#define FOR_EACH_ELEMENT \
  for (Index i = network * size + Index(blockIdx.x) * BLOCK + threadIdx.x, end = (network + 1) * size; i < end; \
       i += Index(gridDim.x) * BLOCK)

// `of` is called for each place of the network's vectors: x[0] is the gradient, which stays, and the rest is updated.
template <int vectors, class Of>
__device__ inline void update(const C *grads, C *const (&rest)[vectors], Index network, Index size, Of of) {
  C *all[vectors + 1] = {const_cast<C *>(grads) + network * size};
  for (int v = 0; v < vectors; ++v) all[v + 1] = rest[v] + network * size;
  change_all<1>(all, size, of);
}

extern "C" __global__ void gradient_descent(const C *grads, C *params, HYPER(rate), SIZES) {
  FOR_EACH_NETWORK {
    const C rate = C(NOW(rate));
    update(grads, {params}, network, size, [=](C *x) { gradient_descent_of(x[0], x + 1, rate); });
  }
}

extern "C" __global__ void momentum(const C *grads, C *velocity, C *params, HYPER(rate), HYPER(friction), int nesterov,
                                    SIZES) {
  FOR_EACH_NETWORK {
    const C rate = C(NOW(rate)), friction = C(NOW(friction));
    update(grads, {velocity, params}, network, size,
           [=](C *x) { momentum_of(x[0], x + 1, x + 2, rate, friction, nesterov); });
  }
}

extern "C" __global__ void rmsprop(const C *grads, C *square, C *params, HYPER(rate), HYPER(rho), HYPER(epsilon),
                                   SIZES) {
  FOR_EACH_NETWORK {
    const double rho = NOW(rho);
    const C rate = C(NOW(rate)), kept = C(rho), fresh = C(1.0 - rho), epsilon = C(NOW(epsilon));
    update(grads, {square, params}, network, size,
           [=](C *x) { scaled_of(x[0], x + 1, x + 2, rate, kept, fresh, epsilon); });
  }
}

extern "C" __global__ void adagrad(const C *grads, C *square, C *params, HYPER(rate), HYPER(epsilon), SIZES) {
  FOR_EACH_NETWORK {
    const C rate = C(NOW(rate)), epsilon = C(NOW(epsilon));
    update(grads, {square, params}, network, size,
           [=](C *x) { scaled_of(x[0], x + 1, x + 2, rate, C(1), C(1), epsilon); });
  }
}

// a^step and b^step, side by side: two products for each binary digit of a whole step, where pow takes hundreds of
// instructions.
__device__ inline void powers(double a, double b, double step, double *of_a, double *of_b) {
  *of_a = *of_b = 1.0;
  for (Index left = Index(step); left > 0; left >>= 1, a *= a, b *= b)
    if (left & 1) *of_a *= a, *of_b *= b;
}

// `decays`: whether there is a weight decay; `hat`: the form in which epsilon is added before the bias correction.
extern "C" __global__ void adam(const C *grads, C *mean, C *square, C *params, HYPER(step), HYPER(rate), HYPER(beta_1),
                                HYPER(beta_2), HYPER(epsilon), HYPER(decay), int decays, int hat, SIZES) {
  __shared__ Adam shared;  // double precision is slow: one thread computes it
  FOR_EACH_NETWORK {
    __syncthreads();
    if (threadIdx.x == 0) {
      const double beta_1 = NOW(beta_1), beta_2 = NOW(beta_2), decay = decays ? NOW(decay) : 0.0;
      double power_1, power_2;
      powers(beta_1, beta_2, NOW(step), &power_1, &power_2);
      shared = adam_step(NOW(rate), beta_1, beta_2, NOW(epsilon), decay, power_1, power_2, hat);
    }
    __syncthreads();
    const Adam numbers = shared;
    update(grads, {mean, square, params}, network, size,
           [=](C *x) { adam_of(x[0], x + 1, x + 2, x + 3, numbers); });
  }
}

// Clipping by the norm of each network's gradient, in three kernels: largest number of each block; sum of squares of
// each block, with the largest of all divided out so that it cannot overflow; scaling. A block's numbers are what the
// threads of one x of the grid meet; there are at most BLOCK blocks to a network.
__device__ C largest_of(const C *largest, Index network, Index parts) {
  const C most = over_group<Maximum>(threadIdx.x < parts ? largest[network * parts + threadIdx.x] : C(0), BLOCK);
  return most > C(0) ? most : C(1);
}

extern "C" __global__ void clip_largest(const C *grads, C *largest, Index networks, Index size) {
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    C most = C(0);
    FOR_EACH_ELEMENT
      most = maximum(most, math::abs(grads[i]));
    most = over_group<Maximum>(most, BLOCK);
    if (threadIdx.x == 0) largest[network * gridDim.x + blockIdx.x] = most;
  }
}

extern "C" __global__ void clip_squares(const C *grads, const C *largest, double *squares, Index networks, Index size) {
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    const C most = largest_of(largest, network, gridDim.x);
    double sum = 0.0;
    FOR_EACH_ELEMENT {
      const C scaled = grads[i] / most;
      sum += double(scaled) * double(scaled);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) squares[network * gridDim.x + blockIdx.x] = sum;
  }
}

extern "C" __global__ void clip_scale(C *grads, const C *largest, const double *squares, HYPER(max_norm),
                                      Index networks, Index size) {
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    const C most = largest_of(largest, network, gridDim.x), max_norm = C(NOW(max_norm));
    const double sum = block_sum(threadIdx.x < gridDim.x ? squares[network * gridDim.x + threadIdx.x] : 0.0);
    const C norm = most * C(::sqrt(sum)), factor = max_norm / maximum(norm, max_norm);
    C *const all[] = {grads + network * size};
    change_all<0>(all, size, [=](C *x) { x[0] *= factor; });
  }
}

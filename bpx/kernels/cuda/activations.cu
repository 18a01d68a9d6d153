// Bias and activation in one pass, and the way back: see bpx/formulas/activations.py, whose names these have.
//
// `forward` writes a = f(z + b), and z + b into z where z is another array than a. `backward` writes grad_a * f'(z),
// over grad_a where asked. z, a and gradients are (networks, n, k) in one piece, size = n * k; b is (k,) for each
// network, b_stride numbers after the last's, or null.

#define FORWARD S *z, S *a, const C *b, Index networks, Index size, Index k, Index b_stride, C parameter
#define FORWARD_ARGS z, a, b, networks, size, k, b_stride, parameter
#define BACKWARD const S *grad_a, const S *z, const S *a, S *out, Index size, C parameter
#define BACKWARD_ARGS grad_a, z, a, out, size, parameter

// `count` numbers at once; k is a multiple of it.
template <C value(C, C), int count>
__device__ void forward_packs(FORWARD) {
  typedef Pack<S, count> Numbers;
  const Index first = (Index(blockIdx.x) * BLOCK + threadIdx.x) * count, stride = Index(gridDim.x) * BLOCK * count;
  const Index begin = b == nullptr ? 0 : remainder_of(first, k), on = b == nullptr ? 0 : remainder_of(stride, k);
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    S *const my_z = z + network * size, *const my_a = a + network * size;
    const C *const my_b = b + network * b_stride;
    Index column = begin;
    for (Index i = first; i < size; i += stride) {
      Numbers sums = *reinterpret_cast<const Numbers *>(my_z + i), values;
      for (int j = 0; j < count; ++j) {
        const C sum = b == nullptr ? C(sums.of[j]) : C(sums.of[j]) + my_b[column + j];
        sums.of[j] = S(sum);
        values.of[j] = S(value(sum, parameter));
      }
      if (z != a) put(reinterpret_cast<Numbers *>(my_z + i), sums);
      put(reinterpret_cast<Numbers *>(my_a + i), values);
      column += on;
      if (column >= k) column -= k;
    }
  }
}

template <C value(C, C)>
__device__ void forward(FORWARD) {
  constexpr int count = 16 / sizeof(S);
  if (k % count == 0 && is_aligned(z) && is_aligned(a)) forward_packs<value, count>(FORWARD_ARGS);
  else forward_packs<value, 1>(FORWARD_ARGS);
}

template <C slope(C, C, C), int count>
__device__ void backward_packs(BACKWARD) {
  typedef Pack<S, count> Numbers;
  const Index stride = Index(gridDim.x) * BLOCK;
  for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < size / count; i += stride) {
    Numbers grads = reinterpret_cast<const Numbers *>(grad_a)[i];
    const Numbers sums = reinterpret_cast<const Numbers *>(z)[i], values = reinterpret_cast<const Numbers *>(a)[i];
    for (int j = 0; j < count; ++j)
      grads.of[j] = S(C(grads.of[j]) * slope(C(sums.of[j]), C(values.of[j]), parameter));
    reinterpret_cast<Numbers *>(out)[i] = grads;
  }
}

template <C slope(C, C, C)>
__device__ void backward(BACKWARD) {
  constexpr int count = 16 / sizeof(S);
  const bool aligned = is_aligned(grad_a) && is_aligned(z) && is_aligned(a) && is_aligned(out);
  if (aligned && size % count == 0) backward_packs<slope, count>(BACKWARD_ARGS);
  else backward_packs<slope, 1>(BACKWARD_ARGS);
}

extern "C" __global__ void identity_forward(FORWARD) { forward<identity_value>(FORWARD_ARGS); }
extern "C" __global__ void sigmoid_forward(FORWARD) { forward<sigmoid_value>(FORWARD_ARGS); }
extern "C" __global__ void tanh_forward(FORWARD) { forward<tanh_value>(FORWARD_ARGS); }
extern "C" __global__ void relu_forward(FORWARD) { forward<relu_value>(FORWARD_ARGS); }
extern "C" __global__ void leaky_relu_forward(FORWARD) { forward<leaky_relu_value>(FORWARD_ARGS); }
extern "C" __global__ void elu_forward(FORWARD) { forward<elu_value>(FORWARD_ARGS); }
extern "C" __global__ void selu_forward(FORWARD) { forward<selu_value>(FORWARD_ARGS); }
extern "C" __global__ void softplus_forward(FORWARD) { forward<softplus_value>(FORWARD_ARGS); }
extern "C" __global__ void silu_forward(FORWARD) { forward<silu_value>(FORWARD_ARGS); }
extern "C" __global__ void mish_forward(FORWARD) { forward<mish_value>(FORWARD_ARGS); }
extern "C" __global__ void gelu_forward(FORWARD) { forward<gelu_value>(FORWARD_ARGS); }
extern "C" __global__ void exp_forward(FORWARD) { forward<exp_value>(FORWARD_ARGS); }
extern "C" __global__ void step_forward(FORWARD) { forward<step_value>(FORWARD_ARGS); }

extern "C" __global__ void sigmoid_backward(BACKWARD) { backward<sigmoid_slope>(BACKWARD_ARGS); }
extern "C" __global__ void tanh_backward(BACKWARD) { backward<tanh_slope>(BACKWARD_ARGS); }
extern "C" __global__ void relu_backward(BACKWARD) { backward<relu_slope>(BACKWARD_ARGS); }
extern "C" __global__ void leaky_relu_backward(BACKWARD) { backward<leaky_relu_slope>(BACKWARD_ARGS); }
extern "C" __global__ void elu_backward(BACKWARD) { backward<elu_slope>(BACKWARD_ARGS); }
extern "C" __global__ void selu_backward(BACKWARD) { backward<selu_slope>(BACKWARD_ARGS); }
extern "C" __global__ void softplus_backward(BACKWARD) { backward<softplus_slope>(BACKWARD_ARGS); }
extern "C" __global__ void silu_backward(BACKWARD) { backward<silu_slope>(BACKWARD_ARGS); }
extern "C" __global__ void mish_backward(BACKWARD) { backward<mish_slope>(BACKWARD_ARGS); }
extern "C" __global__ void gelu_backward(BACKWARD) { backward<gelu_slope>(BACKWARD_ARGS); }
extern "C" __global__ void exp_backward(BACKWARD) { backward<exp_slope>(BACKWARD_ARGS); }

// Bias and activation in one pass, and the way back: see bpx/formulas/activations.py, whose names these have.
//
// `forward` writes a = f(z + b), and z + b into z where z is another array than a. `backward` writes grad_a * f'(z),
// over grad_a where asked. z, a and gradients are (networks, n, k) in one piece, size = n * k; b is (k,) for each
// network, b_stride numbers after the last's, or null.

#define FORWARD S *z, S *a, const C *b, Index networks, Index size, Index k, Index b_stride, C parameter
#define FORWARD_ARGS z, a, b, networks, size, k, b_stride, parameter
#define BACKWARD const S *grad_a, const S *z, const S *a, S *out, Index size, C parameter
#define BACKWARD_ARGS grad_a, z, a, out, size, parameter

struct Identity {
  static __device__ C value(C z, C) { return z; }
};
struct Sigmoid {
  static __device__ C value(C z, C) { return math::sigmoid(z); }
  static __device__ C slope(C, C a, C) { return a * (C(1) - a); }
};
struct Tanh {
  static __device__ C value(C z, C) { return math::tanh(z); }
  static __device__ C slope(C, C a, C) { return C(1) - a * a; }
};
struct Relu {
  static __device__ C value(C z, C) { return math::maximum(z, C(0)); }
  static __device__ C slope(C, C a, C) { return a > C(0) ? C(1) : C(0); }
};
struct LeakyRelu {
  static __device__ C value(C z, C slope) { return math::maximum(z, slope * z); }
  static __device__ C slope(C, C a, C slope) { return a > C(0) ? C(1) : slope; }
};
struct Elu {
  static __device__ C value(C z, C alpha) { return z > C(0) ? z : alpha * math::expm1(math::minimum(z, C(0))); }
  static __device__ C slope(C, C a, C alpha) { return a > C(0) ? C(1) : a + alpha; }
};
struct Selu {
  static __device__ C scale() { return C(1.0507009873554805); }
  static __device__ C below() { return C(1.7580993408473766); }  // scale * alpha
  static __device__ C value(C z, C) { return z > C(0) ? scale() * z : below() * math::expm1(math::minimum(z, C(0))); }
  static __device__ C slope(C z, C, C) { return z > C(0) ? scale() : below() * math::exp(math::minimum(z, C(0))); }
};
struct Softplus {
  static __device__ C value(C z, C) { return math::maximum(z, C(0)) + math::log1p(math::exp(-math::abs(z))); }
  static __device__ C slope(C, C a, C) { return -math::expm1(-a); }
};
struct Silu {
  static __device__ C value(C z, C) { return z * math::sigmoid(z); }
  static __device__ C slope(C z, C a, C) {
    const C s = math::sigmoid(z);
    return s + a * (C(1) - s);
  }
};
struct Mish {
  static __device__ C value(C z, C) { return z * math::tanh(Softplus::value(z, C(0))); }
  static __device__ C slope(C z, C, C) {
    const C held = math::minimum(z, C(30)), e = math::exp(held), n = e * (e + C(2));
    return n / (n + C(2)) + C(4) * held * e * (C(1) + e) / (n + C(2)) / (n + C(2));
  }
};
struct Gelu {
  static __device__ C scaled() { return C(0.7978845608028654); }  // sqrt(2 / pi)
  static __device__ C inner(C z) { return math::tanh(scaled() * z * (C(1) + C(0.044715) * z * z)); }
  static __device__ C value(C z, C) { return C(0.5) * z * (C(1) + inner(z)); }
  static __device__ C slope(C z, C, C) {
    const C t = inner(z);
    return C(0.5) * (C(1) + t) + C(0.5) * z * (C(1) - t * t) * (scaled() * (C(1) + C(0.134145) * z * z));
  }
};
struct Exp {
  static __device__ C value(C z, C) { return math::exp_with_tangent(z); }
  static __device__ C slope(C z, C, C) { return math::exp(math::held_exponent(z)); }
};
struct Step {
  static __device__ C value(C z, C) { return z >= C(0) ? C(1) : C(0); }
};

// `count` numbers at once; k is a multiple of it.
template <class Function, int count>
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
        values.of[j] = S(Function::value(sum, parameter));
      }
      if (z != a) put(reinterpret_cast<Numbers *>(my_z + i), sums);
      put(reinterpret_cast<Numbers *>(my_a + i), values);
      column += on;
      if (column >= k) column -= k;
    }
  }
}

template <class Function>
__device__ void forward(FORWARD) {
  constexpr int count = 16 / sizeof(S);
  if (k % count == 0 && is_aligned(z) && is_aligned(a)) forward_packs<Function, count>(FORWARD_ARGS);
  else forward_packs<Function, 1>(FORWARD_ARGS);
}

template <class Function, int count>
__device__ void backward_packs(BACKWARD) {
  typedef Pack<S, count> Numbers;
  const Index stride = Index(gridDim.x) * BLOCK;
  for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < size / count; i += stride) {
    Numbers grads = reinterpret_cast<const Numbers *>(grad_a)[i];
    const Numbers sums = reinterpret_cast<const Numbers *>(z)[i], values = reinterpret_cast<const Numbers *>(a)[i];
    for (int j = 0; j < count; ++j)
      grads.of[j] = S(C(grads.of[j]) * Function::slope(C(sums.of[j]), C(values.of[j]), parameter));
    reinterpret_cast<Numbers *>(out)[i] = grads;
  }
}

template <class Function>
__device__ void backward(BACKWARD) {
  constexpr int count = 16 / sizeof(S);
  const bool aligned = is_aligned(grad_a) && is_aligned(z) && is_aligned(a) && is_aligned(out);
  if (aligned && size % count == 0) backward_packs<Function, count>(BACKWARD_ARGS);
  else backward_packs<Function, 1>(BACKWARD_ARGS);
}

extern "C" __global__ void identity_forward(FORWARD) { forward<Identity>(FORWARD_ARGS); }
extern "C" __global__ void sigmoid_forward(FORWARD) { forward<Sigmoid>(FORWARD_ARGS); }
extern "C" __global__ void tanh_forward(FORWARD) { forward<Tanh>(FORWARD_ARGS); }
extern "C" __global__ void relu_forward(FORWARD) { forward<Relu>(FORWARD_ARGS); }
extern "C" __global__ void leaky_relu_forward(FORWARD) { forward<LeakyRelu>(FORWARD_ARGS); }
extern "C" __global__ void elu_forward(FORWARD) { forward<Elu>(FORWARD_ARGS); }
extern "C" __global__ void selu_forward(FORWARD) { forward<Selu>(FORWARD_ARGS); }
extern "C" __global__ void softplus_forward(FORWARD) { forward<Softplus>(FORWARD_ARGS); }
extern "C" __global__ void silu_forward(FORWARD) { forward<Silu>(FORWARD_ARGS); }
extern "C" __global__ void mish_forward(FORWARD) { forward<Mish>(FORWARD_ARGS); }
extern "C" __global__ void gelu_forward(FORWARD) { forward<Gelu>(FORWARD_ARGS); }
extern "C" __global__ void exp_forward(FORWARD) { forward<Exp>(FORWARD_ARGS); }
extern "C" __global__ void step_forward(FORWARD) { forward<Step>(FORWARD_ARGS); }

extern "C" __global__ void sigmoid_backward(BACKWARD) { backward<Sigmoid>(BACKWARD_ARGS); }
extern "C" __global__ void tanh_backward(BACKWARD) { backward<Tanh>(BACKWARD_ARGS); }
extern "C" __global__ void relu_backward(BACKWARD) { backward<Relu>(BACKWARD_ARGS); }
extern "C" __global__ void leaky_relu_backward(BACKWARD) { backward<LeakyRelu>(BACKWARD_ARGS); }
extern "C" __global__ void elu_backward(BACKWARD) { backward<Elu>(BACKWARD_ARGS); }
extern "C" __global__ void selu_backward(BACKWARD) { backward<Selu>(BACKWARD_ARGS); }
extern "C" __global__ void softplus_backward(BACKWARD) { backward<Softplus>(BACKWARD_ARGS); }
extern "C" __global__ void silu_backward(BACKWARD) { backward<Silu>(BACKWARD_ARGS); }
extern "C" __global__ void mish_backward(BACKWARD) { backward<Mish>(BACKWARD_ARGS); }
extern "C" __global__ void gelu_backward(BACKWARD) { backward<Gelu>(BACKWARD_ARGS); }
extern "C" __global__ void exp_backward(BACKWARD) { backward<Exp>(BACKWARD_ARGS); }

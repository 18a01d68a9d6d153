// Products element by element, sums and penalties: see bpx/formulas/linear.py.

// out = a * mask, of `size` numbers for each network; one of both may be the same for all (its stride is 0). `out` may
// be either.
template <int count>
__device__ void times_packs(S *out, const S *a, const S *mask, Index networks, Index size, Index a_stride,
                            Index mask_stride) {
  typedef Pack<S, count> Numbers;
  const Index stride = Index(gridDim.x) * BLOCK;
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    const Numbers *const my_a = reinterpret_cast<const Numbers *>(a + network * a_stride);
    const Numbers *const my_mask = reinterpret_cast<const Numbers *>(mask + network * mask_stride);
    Numbers *const my_out = reinterpret_cast<Numbers *>(out + network * size);
    for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < size / count; i += stride) {
      Numbers numbers = my_a[i];
      const Numbers factors = my_mask[i];
      for (int j = 0; j < count; ++j) numbers.of[j] = S(C(numbers.of[j]) * C(factors.of[j]));
      my_out[i] = numbers;
    }
  }
}

extern "C" __global__ void times(S *out, const S *a, const S *mask, Index networks, Index size, Index a_stride,
                                 Index mask_stride) {
  constexpr int count = 16 / sizeof(S);
  if (size % count == 0 && is_aligned(out) && is_aligned(a) && is_aligned(mask))
    times_packs<count>(out, a, mask, networks, size, a_stride, mask_stride);
  else times_packs<1>(out, a, mask, networks, size, a_stride, mask_stride);
}

// out = a * factor, one factor for each network, or for all (factor_stride 0).
extern "C" __global__ void scale(S *out, const S *a, const C *factor, Index networks, Index size, Index a_stride,
                                 Index factor_stride) {
  for (Index network = blockIdx.y; network < networks; network += gridDim.y)
    for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < size; i += Index(gridDim.x) * BLOCK)
      out[network * size + i] = S(C(a[network * a_stride + i]) * factor[network * factor_stride]);
}

// out[network, y, j] = the sum over this block's rows of x[network, i, j]. Blocks are tiles of WARP columns; grid.y
// parts of the rows come one after the other, so that what they give can be summed in the same way.
template <class T>
__device__ void sum_columns(C *out, const T *x, Index networks, Index n, Index k, Index out_stride) {
  constexpr int at_once = BLOCK / WARP;
  __shared__ C tile[at_once][WARP];
  const int lane = threadIdx.x % WARP, slice = threadIdx.x / WARP;
  const Index part = quotient(n + gridDim.y - 1, gridDim.y), first = part * blockIdx.y;
  const Index last = first + part < n ? first + part : n;
  for (Index network = blockIdx.z; network < networks; network += gridDim.z)
    for (Index base = Index(blockIdx.x) * WARP; base < k; base += Index(gridDim.x) * WARP) {
      const Index column = base + lane;
      C sum = C(0);
      if (column < k)
        for (Index i = first + slice; i < last; i += at_once) sum += C(x[(network * n + i) * k + column]);
      tile[slice][lane] = sum;
      __syncthreads();
      if (slice == 0 && column < k) {
        for (int other = 1; other < at_once; ++other) sum += tile[other][lane];
        out[network * out_stride + blockIdx.y * k + column] = sum;
      }
      __syncthreads();  // the tile is read before it is filled again
    }
}

extern "C" __global__ void column_sums(C *out, const S *x, Index networks, Index n, Index k, Index out_stride) {
  sum_columns(out, x, networks, n, k, out_stride);
}
extern "C" __global__ void column_sums_of_parts(C *out, const C *x, Index networks, Index n, Index k,
                                                Index out_stride) {
  sum_columns(out, x, networks, n, k, out_stride);
}

// out[network] = the sum of its `size` numbers; one block each.
extern "C" __global__ void weight_sum(C *out, const C *weight, Index networks, Index size) {
  for (Index network = blockIdx.x; network < networks; network += gridDim.x) {
    double sum = 0.0;
    for (Index i = threadIdx.x; i < size; i += BLOCK) sum += double(weight[network * size + i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[network] = C(sum);
  }
}

// total += value * weight, where the weight is a number if it is no array; strides are 0 or 1.
extern "C" __global__ void accumulate(double *total, const C *value, const C *weight, Index weight_stride,
                                      double number, Index networks, Index value_stride) {
  for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < networks; i += Index(gridDim.x) * BLOCK)
    total[i] += double(value[i * value_stride]) * (weight == nullptr ? number : double(weight[i * weight_stride]));
}

// grads += (l2 W + l1 sign W) / samples; sums[network, x] = the sum over this block of (l2/2 W^2 + l1 |W|) / samples.
// Strengths are null where there are none, and one for all networks where their stride is 0; so with samples.
extern "C" __global__ void add_penalty(C *grads, double *sums, const C *flat, const C *l2, Index l2_stride, const C *l1,
                                       Index l1_stride, const C *samples, Index samples_stride, double number,
                                       Index networks, Index size) {
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    C share = C(1.0 / number);
    if (samples != nullptr) {
      const C counted = samples[network * samples_stride];
      share = C(1) / (counted > C(0) ? counted : C(1));
    }
    double sum = 0.0;
    for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < size; i += Index(gridDim.x) * BLOCK) {
      const C w = flat[network * size + i];
      C pull = C(0);
      if (l2 != nullptr) {
        pull = l2[network * l2_stride + i] * w;
        sum += 0.5 * double(pull) * double(w);
      }
      if (l1 != nullptr) {
        const C push = l1[network * l1_stride + i] * sign(w);
        sum += double(push) * double(w);
        pull += push;
      }
      grads[network * size + i] += pull * share;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[network * gridDim.x + blockIdx.x] = sum * double(share);
  }
}

// loss += the sum of `count` sums of each network.
extern "C" __global__ void add_to_loss(C *loss, const double *sums, Index networks, Index count) {
  for (Index network = blockIdx.x; network < networks; network += gridDim.x) {
    double sum = 0.0;
    for (Index i = threadIdx.x; i < count; i += BLOCK) sum += sums[network * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) loss[network] += C(sum);
  }
}

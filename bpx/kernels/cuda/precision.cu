// Numbers of 16 bits beside the parameters in 32, and the loss's scale: see bpx/formulas/precision.py.

template <int count>
__device__ inline void narrow_packs(S *out, const C *x, Index begin, Index end) {
  const Index first = (Index(blockIdx.x) * BLOCK + threadIdx.x) * count, stride = Index(gridDim.x) * BLOCK * count;
  for (Index i = begin + first; i < end; i += stride) {
    const Pack<C, count> from = *reinterpret_cast<const Pack<C, count> *>(x + i);
    Pack<S, count> to;
    for (int j = 0; j < count; ++j) to.of[j] = S(from.of[j]);
    put(reinterpret_cast<Pack<S, count> *>(out + i), to);
  }
}

// out = x, rounded to what is stored.
extern "C" __global__ void narrow(S *out, const C *x, Index size) {
  constexpr int count = 16 / sizeof(C);
  const Index packed = is_aligned(out) && is_aligned(x) ? size - size % count : 0;
  narrow_packs<count>(out, x, 0, packed);
  narrow_packs<1>(out, x, packed, size);
}

// grads /= scale; finite[network, x] <- whether all numbers of this block then are, 1 or 0.
extern "C" __global__ void unscale(C *grads, const C *scale, unsigned char *finite, Index networks, Index size) {
  for (Index network = blockIdx.y; network < networks; network += gridDim.y) {
    const C back = C(1) / scale[network];
    int lost = 0;
    C *const all[] = {grads + network * size};
    change_all<0>(all, size, [&](C *x) {
      x[0] *= back;
      lost += !math::finite(x[0]);
    });
    lost = block_sum(lost);
    if (threadIdx.x == 0) finite[network * gridDim.x + blockIdx.x] = lost == 0;
  }
}

// As in the formulas: a gradient that overflows at a smaller scale is lost, and above the largest nothing is gained.
constexpr C SMALLEST = C(1) / C(1 << 24), LARGEST = C(1125899906842624.0) * C(1125899906842624.0);  // 2^100
constexpr C INTERVAL = C(2000);

// What the blocks of `unscale` found, for each network: whether all is finite, and whether the update is to be made.
extern "C" __global__ void judge(bool *finite, bool *taken, const unsigned char *parts, const C *scale, Index networks,
                                 Index count) {
  for (Index network = blockIdx.x; network < networks; network += gridDim.x) {
    int lost = 0;
    for (Index i = threadIdx.x; i < count; i += BLOCK) lost += parts[network * count + i] == 0;
    lost = block_sum(lost);
    if (threadIdx.x == 0) {
      finite[network] = lost == 0;
      taken[network] = lost == 0 || scale[network] < SMALLEST;
    }
  }
}

// The scale after a step, its good steps, and the number of the next update.
extern "C" __global__ void adjust(C *scale, C *good, C *number, const bool *finite, const bool *taken, Index networks) {
  for (Index i = Index(blockIdx.x) * BLOCK + threadIdx.x; i < networks; i += Index(gridDim.x) * BLOCK) {
    const C before = scale[i], steps = finite[i] ? good[i] + C(1) : C(0);
    const bool full = steps >= INTERVAL;
    if (finite[i]) scale[i] = full && before < LARGEST ? C(2) * before : before;
    else scale[i] = before < SMALLEST ? before : C(0.5) * before;
    good[i] = full ? C(0) : steps;
    number[i] += taken[i] ? C(1) : C(0);
  }
}

// Numbers that are read or written at once, and sums over threads in a fixed order.

// Quotients of numbers that are not negative; 64-bit division is slow, and seldom needed.
__device__ inline Index quotient(Index a, Index b) {
  return ((a | b) >> 32) == 0 ? Index((unsigned int)a / (unsigned int)b) : a / b;
}
__device__ inline Index remainder_of(Index a, Index b) { return a - quotient(a, b) * b; }

// Several numbers that are read or written at once.
template <class T, int COUNT>
struct alignas(sizeof(T) * COUNT) Pack {
  T of[COUNT];
};
// Written at once: a plain assignment of numbers just put together is compiled to a store for each of them.
template <class T, int COUNT>
__device__ inline void put(Pack<T, COUNT> *to, const Pack<T, COUNT> &pack) {
  if constexpr (COUNT > 1 && sizeof(pack) == 16) {
    uint4 words;
    memcpy(&words, &pack, sizeof(words));
    __stwb(reinterpret_cast<uint4 *>(to), words);
  } else if constexpr (COUNT > 1 && sizeof(pack) == 8) {
    uint2 words;
    memcpy(&words, &pack, sizeof(words));
    __stwb(reinterpret_cast<uint2 *>(to), words);
  } else {
    *to = pack;
  }
}
template <class T>
__device__ inline bool is_aligned(const T *p) {
  return reinterpret_cast<unsigned long long>(p) % 16 == 0;
}

// `change` is given the numbers that lie at one place of all vectors, from begin to end; those of the first `kept`
// vectors are only read. A thread has `count` places at once, and reads all of them before it writes any.
template <int count, int kept, int vectors, class Change>
__device__ inline void change_packs(C *const (&of)[vectors], Index begin, Index end, Change change) {
  typedef Pack<C, count> Numbers;
  const Index first = (Index(blockIdx.x) * BLOCK + threadIdx.x) * count, stride = Index(gridDim.x) * BLOCK * count;
  for (Index i = begin + first; i < end; i += stride) {
    Numbers packs[vectors];
    for (int v = 0; v < vectors; ++v) packs[v] = *reinterpret_cast<const Numbers *>(of[v] + i);
    for (int j = 0; j < count; ++j) {
      C x[vectors];
      for (int v = 0; v < vectors; ++v) x[v] = packs[v].of[j];
      change(x);
      for (int v = kept; v < vectors; ++v) packs[v].of[j] = x[v];
    }
    for (int v = kept; v < vectors; ++v) put(reinterpret_cast<Numbers *>(of[v] + i), packs[v]);
  }
}

// The same for all of `size` places: 16 bytes at once where all vectors begin at a multiple of that, and then the rest.
template <int kept, int vectors, class Change>
__device__ inline void change_all(C *const (&of)[vectors], Index size, Change change) {
  constexpr int count = 16 / sizeof(C);
  bool aligned = true;
  for (int v = 0; v < vectors; ++v) aligned = aligned && is_aligned(of[v]);
  const Index packed = aligned ? size - size % count : 0;
  change_packs<count, kept>(of, 0, packed, change);
  change_packs<1, kept>(of, packed, size, change);
}

struct Sum {
  template <class T>
  static __device__ inline T of(T x, T y) {
    return x + y;
  }
};
struct Maximum {
  template <class T>
  static __device__ inline T of(T x, T y) {
    return maximum(x, y);
  }
};

// The sum (or maximum) of what the threads of each group hold, in every thread of it. A group has `lanes` consecutive
// threads: a power of two up to WARP, or BLOCK. All threads of the block take part.
template <class Of, class T>
__device__ T over_group(T value, int lanes) {
  for (int by = (lanes < WARP ? lanes : WARP) / 2; by > 0; by /= 2)
    value = Of::of(value, __shfl_xor_sync(0xffffffffu, value, by));
  if (lanes <= WARP) return value;
  __shared__ T of_warp[BLOCK / WARP];
  __syncthreads();  // what was there may still be read
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = value;
  __syncthreads();
  value = of_warp[0];
  for (int warp = 1; warp < BLOCK / WARP; ++warp) value = Of::of(value, of_warp[warp]);
  return value;
}
template <class T>
__device__ inline T group_sum(T value, int lanes) {
  return over_group<Sum>(value, lanes);
}
template <class T>
__device__ inline T block_sum(T value) {
  return over_group<Sum>(value, BLOCK);
}

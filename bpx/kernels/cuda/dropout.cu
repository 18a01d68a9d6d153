// Dropout masks by Philox 4x32-10: see bpx/formulas/dropout.py. Integers only, so the bits are the same everywhere.

// Four words for a counter and a key.
struct Words {
  unsigned int of[4];
};

__device__ inline Words philox(unsigned int c0, unsigned int c1, unsigned int c2, unsigned int c3, unsigned int k0,
                               unsigned int k1) {
  for (int round = 0; round < 10; ++round) {
    const unsigned int high_0 = __umulhi(0xD2511F53u, c0), low_0 = 0xD2511F53u * c0;
    const unsigned int high_1 = __umulhi(0xCD9E8D57u, c2), low_1 = 0xCD9E8D57u * c2;
    c0 = high_1 ^ c1 ^ k0, c1 = low_1, c2 = high_0 ^ c3 ^ k1, c3 = low_0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// mask[network, e] is `kept` where word (start + e) % 4 of call (start + e) / 4 is not below the threshold, else 0. The
// step is read from the device where `step_now` is not null.
extern "C" __global__ void dropout_mask(S *mask, const Index *seeds, unsigned int run, const Index *step_now,
                                        Index step_number, unsigned int layer, Index start, unsigned int threshold,
                                        C kept, Index networks, Index size) {
  typedef Pack<S, 4> Numbers;
  const Index step = step_now == nullptr ? step_number : *step_now;
  const Index block = start / 4, skipped = start % 4, calls = (skipped + size + 3) / 4;
  const bool together = skipped == 0 && size % 4 == 0 && is_aligned(mask);
  const S none = S(C(0)), one = S(kept);
  for (Index network = blockIdx.y; network < networks; network += gridDim.y)
    for (Index call = Index(blockIdx.x) * BLOCK + threadIdx.x; call < calls; call += Index(gridDim.x) * BLOCK) {
      const Words words = philox((unsigned int)(block + call), (unsigned int)step, layer, (unsigned int)(step >> 32),
                                 (unsigned int)seeds[network], run);
      S *const my_mask = mask + network * size;
      const Index first = 4 * call - skipped;
      if (together) {
        Numbers numbers;
        for (int j = 0; j < 4; ++j) numbers.of[j] = words.of[j] >= threshold ? one : none;
        put(reinterpret_cast<Numbers *>(my_mask + first), numbers);
      } else {
        for (int j = 0; j < 4; ++j)
          if (first + j >= 0 && first + j < size) my_mask[first + j] = words.of[j] >= threshold ? one : none;
      }
    }
}

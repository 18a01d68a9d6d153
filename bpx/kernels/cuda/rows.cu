// Rows of a batch, copied as words of 1 to 16 bytes whatever they mean: see `gather` in bpx/formulas/linear.py.

struct alignas(16) Word16 {
  unsigned long long low, high;
};

// out[o, j] = x[o, index[o, j]]: `outer` parts of n rows, of which m are wanted, each of `words` words. The index is
// one for all parts where index_stride is 0. A group of `lanes` threads has a row.
#define GATHER(Word) \
  Word *out, const Word *x, const Index *index, Index outer, Index n, Index m, Index words, Index index_stride, \
      int lanes
#define GATHER_ARGS out, x, index, outer, n, m, words, index_stride, lanes

template <class Word>
__device__ void gather(GATHER(Word)) {
  const int lane = threadIdx.x % lanes, at_once = BLOCK / lanes;
  for (Index o = blockIdx.y; o < outer; o += gridDim.y)
    for (Index j = Index(blockIdx.x) * at_once + threadIdx.x / lanes; j < m; j += Index(gridDim.x) * at_once) {
      Index row = index[o * index_stride + j];
      row = row < 0    ? 0
            : row >= n ? n - 1
                       : row;  // indices are in range; memory is not read beyond x whatever they are
      const Word *const from = x + (o * n + row) * words;
      Word *const to = out + (o * m + j) * words;
      for (Index i = lane; i < words; i += lanes) to[i] = from[i];
    }
}

extern "C" __global__ void gather_1(GATHER(unsigned char)) { gather<unsigned char>(GATHER_ARGS); }
extern "C" __global__ void gather_2(GATHER(unsigned short)) { gather<unsigned short>(GATHER_ARGS); }
extern "C" __global__ void gather_4(GATHER(unsigned int)) { gather<unsigned int>(GATHER_ARGS); }
extern "C" __global__ void gather_8(GATHER(unsigned long long)) { gather<unsigned long long>(GATHER_ARGS); }
extern "C" __global__ void gather_16(GATHER(Word16)) { gather<Word16>(GATHER_ARGS); }

"""The imitation of CUDA itself: what a kernel's test on the CPU rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu.host_compiler import CompileError, compile_source, launch, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

SOURCE = r"""
#include <cuda_fp16.h>
__device__ __forceinline__ float warp_sum(float value) {
  for (int bits = 16; bits; bits >>= 1) value += __shfl_xor_sync(0xffffffffu, value, bits);
  return value;
}
extern "C" __global__ void __launch_bounds__(256)
column_sums(const STORAGE* __restrict__ x, float* out, int rows, int cols) {
  __shared__ float parts[32];
  float sum = 0;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) sum += float(x[row * cols + blockIdx.x]);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = warp_sum(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0f);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
  }
}
extern "C" __global__ void turn(float* x) {
  extern __shared__ float kept[];
  kept[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void turn_without_barrier(float* x) {
  extern __shared__ float kept[];
  kept[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void shuffles(int* out) {
  const int lane = threadIdx.x % 32, mine = 100 * (threadIdx.x / 32) + lane;
  int* row = out + 6 * threadIdx.x;
  row[0] = __shfl_sync(~0u, mine, 3);
  row[1] = __shfl_xor_sync(~0u, mine, 5);
  row[2] = __shfl_down_sync(~0u, mine, 2);
  row[3] = __shfl_up_sync(~0u, mine, 2);
  row[4] = __shfl_down_sync(~0u, mine, 2, 8);
  row[5] = lane < 16 ? __shfl_xor_sync(0xffffu, mine, 1) : -1;
}
extern "C" __global__ void stuck() { if (threadIdx.x < 8) __syncthreads(); else __syncwarp(); }
extern "C" __global__ void votes(unsigned int* out) { out[threadIdx.x] = __ballot_sync(~0u, threadIdx.x % 3 == 0); }
extern "C" __global__ void products(unsigned int* low, unsigned long long* high) {
  low[0] = __umulhi(low[0], low[1]);
  high[0] = __umul64hi(high[0], high[1]);
}
"""


def compiled(storage: str = "float") -> object:
    return compile_source(SOURCE, [f"-DSTORAGE={storage}", "-arch=sm_90"])


@pytest.mark.parametrize("order", ["", "reversed"])
@pytest.mark.parametrize(("storage", "dtype"), [("float", np.float32), ("double", np.float64), ("__half", np.float16)])
def test_threads_that_meet_at_barriers_and_in_warps_sum_columns(
    storage: str, dtype: type, order: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    x, out = rng.integers(-8, 8, size=(300, 7)).astype(dtype), np.empty(7, dtype=np.float32)
    launch(compiled(storage), "column_sums", 7, 256, [x, out, np.int32(300), np.int32(7)])
    np.testing.assert_array_equal(out, x.sum(axis=0))


def test_dynamic_shared_memory_turns_a_row_around_and_shows_a_missing_barrier() -> None:
    x = np.arange(100, dtype=np.float32)
    launch(compiled(), "turn", 1, 100, [x], shared=400)
    np.testing.assert_array_equal(x, np.arange(100)[::-1])
    launch(compiled(), "turn_without_barrier", 1, 100, [x], shared=400)
    assert np.isnan(x[:50]).all()  # shared memory is NaN before it is written


def test_threads_that_wait_for_each_other_in_vain_are_an_error_and_the_next_launch_works() -> None:
    with pytest.raises(ValueError, match="a block is stuck"):
        launch(compiled(), "stuck", 1, 32, [])
    test_dynamic_shared_memory_turns_a_row_around_and_shows_a_missing_barrier()


def test_shuffles_bring_the_value_of_the_lane_that_is_meant() -> None:
    out, lane = np.empty((64, 6), dtype=np.int32), np.tile(np.arange(32), 2)
    launch(compiled(), "shuffles", 1, 64, [out])
    down, up = np.where(lane < 30, lane + 2, lane), np.where(lane > 1, lane - 2, lane)
    in_eight = np.where(lane % 8 < 6, lane + 2, lane)
    sources = [0 * lane + 3, lane ^ 5, down, up, in_eight]
    warp = 100 * (np.arange(64) // 32)
    np.testing.assert_array_equal(out[:, :5], np.stack([source + warp for source in sources], axis=1))
    np.testing.assert_array_equal(out[:, 5], np.where(lane < 16, (lane ^ 1) + warp, -1))


def test_votes_and_high_words_of_products() -> None:
    votes, low = np.zeros(32, dtype=np.uint32), np.array([2**31 + 1, 6], dtype=np.uint32)
    high = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], dtype=np.uint64)
    words = [int(word) for word in high]
    launch(compiled(), "votes", 1, 32, [votes])
    launch(compiled(), "products", 1, 1, [low, high])
    assert set(votes.tolist()) == {sum(1 << lane for lane in range(0, 32, 3))}
    assert (int(low[0]), int(high[0])) == (3, words[0] * words[1] >> 64)


def test_half_and_bfloat16_round_to_nearest_even(rng: np.random.Generator) -> None:
    source = """extern "C" __global__ void rounded(const double* x, __half* h, __nv_bfloat16* b, float* back, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i < n) h[i] = __double2half(x[i]), b[i] = __float2bfloat16(float(x[i])), back[i] = __half2float(h[i]);
    }"""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    x = np.concatenate([every, rng.normal(size=5000) * 10.0 ** rng.integers(-9, 6, 5000), [65519.99, 65520, 2**-25]])
    half, bits, back = (np.empty(x.size, dtype=dtype) for dtype in (np.float16, np.uint16, np.float32))
    launch(compile_source(source), "rounded", -(-x.size // 128), 128, [x, half, bits, back, np.int32(x.size)])
    with np.errstate(all="ignore"):
        expected = x.astype(np.float16)
        wide = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    np.testing.assert_array_equal(half, expected)
    np.testing.assert_array_equal(back, expected.astype(np.float32))
    number = ~np.isnan(x)
    np.testing.assert_array_equal(bits[number], ((wide + 0x7FFF + (wide >> 16 & 1)) >> 16)[number])


def test_arguments_that_do_not_fit_and_sources_that_do_not_compile_are_told() -> None:
    with pytest.raises(ValueError, match="turn has 1 parameters, got 0 arguments"):
        launch(compiled(), "turn", 1, 1, [])
    with pytest.raises(ValueError, match="1 to 1024 threads"):
        launch(compiled(), "stuck", 1, 1025, [])
    with pytest.raises(ValueError, match="no kernel 'nothing'"):
        launch(compiled(), "nothing", 1, 1, [])
    with pytest.raises(CompileError, match=r"kernels\.cu:2"):
        compile_source('extern "C" __global__ void wrong(int* x) {\n  x[0] = missing; }')


@pytest.mark.parametrize(
    ("at", "wrong", "message"),
    [
        (0, np.zeros(4), "parameter 0 is a pointer to f4, got an array of float64"),
        (0, np.uintp(8), "parameter 0 is a pointer to f4, got"),
        (1, np.zeros(4, dtype=np.float32), "parameter 1 is i8, got an array of float32"),
        (1, 1.0, r"parameter 1 is i8, got 1.0 \(float64\)"),
        (2, 1, r"parameter 2 is f8, got 1 \(int64\)"),
        (3, np.float32(1), "parameter 3 is i4, got"),
        (4, 1, "parameter 4 is b1, got"),
        (5, np.zeros(4, dtype=np.int16), "parameter 5 is a pointer to f2, got an array of int16"),
    ],
)
def test_an_argument_of_another_type_is_refused_though_it_is_as_long(at, wrong, message):
    library = compile_source(
        "#include <cuda_fp16.h>\n"
        'extern "C" __global__ void kinds(float* a, long long b, double c, int d, bool e, const __half* f, void* g) {}'
    )
    right = [np.zeros(4, dtype=np.float32), 1, 1.0, np.int32(1), True, np.zeros(4, dtype=np.float16), np.zeros(4)]
    launch(library, "kinds", 1, 1, right)
    launch(library, "kinds", 1, 1, [np.uintp(0), *right[1:]])
    with pytest.raises(ValueError, match=message):
        launch(library, "kinds", 1, 1, [*right[:at], wrong, *right[at + 1 :]])


NAMES_OF_NEW_GLIBC = ("sinpi", "cospi", "tanpi", "asinpi", "acospi", "atanpi", "rsqrt")  # 2.41, and 2.42's last one


def test_functions_that_newer_versions_of_glibc_declare_are_the_imitations_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (("double", ""), ("float", "f"), ("long double", "l"))
    lines = [f"extern {t} {name}{end}({t} x) noexcept;" for name in NAMES_OF_NEW_GLIBC for t, end in kinds]
    header = tmp_path / "as_glibc_declares_them.h"
    header.write_text('extern "C" {\n' + "\n".join(lines) + "\n}\n")
    monkeypatch.setenv("CUDA_ON_CPU_FLAGS", f"-include {header}")
    calls = "x[0] = sinpi(x[0]); x[1] = cospi(x[1]); x[2] = rsqrt(x[2]);"
    calls += "y[0] = sinpif(y[0]); y[1] = cospif(y[1]); y[2] = rsqrtf(y[2]); y[3] = rsqrt(y[3]);"
    kernel = f'extern "C" __global__ void each(double* x, float* y) {{ {calls} }}'
    library = compile_source(kernel, folder=tmp_path)
    x, y = np.array([0.5, 1.0, 4.0]), np.array([0.5, 1.0, 4.0, 16.0], dtype=np.float32)
    launch(library, "each", 1, 1, [x, y])
    np.testing.assert_array_equal(x, [1.0, -1.0, 0.5])
    np.testing.assert_array_equal(y, [1.0, -1.0, 0.5, 0.25])

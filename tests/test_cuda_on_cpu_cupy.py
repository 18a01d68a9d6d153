"""CuPy on the imitation of CUDA: that the imitation refuses what CUDA refuses, and counts what it does.

Runs in the environment that tests/cuda_on_cpu/build.py makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.counting import counted, imitated

SOURCE = r"""
template <typename T> __global__ void scale(T* x, T by, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= by;
}
extern "C" __global__ void twice(float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= 2;
}
extern "C" __global__ void shared_sum(float* x) {
  extern __shared__ float kept[];
  kept[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  for (int half = blockDim.x / 2; half; half /= 2) {
    if (threadIdx.x < half) kept[threadIdx.x] += kept[threadIdx.x + half];
    __syncthreads();
  }
  x[threadIdx.x] = kept[0];
}
"""
GLOBAL, THREAD, RELAXED = 0, 1, 2  # modes of a capture


@pytest.fixture
def cupy() -> Any:
    if not imitated():
        pytest.skip("CuPy does not run on the imitation of CUDA here (tests/cuda_on_cpu/build.py)")
    import cupy

    return cupy


@pytest.fixture
def twice(cupy: Any) -> Callable[[Any], None]:
    """A kernel that doubles a float32 array."""
    kernel = cupy.RawModule(code=SOURCE).get_function("twice")
    return lambda x: kernel((-(-x.size // 64),), (64,), (x, np.int32(x.size)))


@pytest.fixture
def stream(cupy: Any, twice: Callable[[Any], None]) -> Iterator[Any]:
    """A stream to capture on, the kernel being compiled and loaded."""
    twice(cupy.ones(1, dtype=cupy.float32))
    made = cupy.cuda.Stream(non_blocking=True)
    yield made
    if made.is_capturing():  # a test failed
        made.end_capture()


CALLS: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "product": lambda xp, x: x @ x.T,
    "stack of products": lambda xp, x: xp.matmul(xp.stack([x, x]), xp.stack([x.T, x.T])),
    "product in float64": lambda xp, x: x.astype(xp.float64) @ x.T.astype(xp.float64),
    "product in float16": lambda xp, x: x.astype(xp.float16) @ x.T.astype(xp.float16),
    "product with a vector": lambda xp, x: x @ x[1],
    "vector with a product": lambda xp, x: x[:, 1] @ x,
    "dot": lambda xp, x: xp.dot(x[0], x[1]),
    "outer": lambda xp, x: xp.outer(x[0], x[1]),
    "einsum": lambda xp, x: xp.einsum("ij,kj->ik", x, x),
    "exp": lambda xp, x: xp.exp(x),
    "sum of columns": lambda xp, x: x.sum(axis=0),
    "mean": lambda xp, x: x.mean(axis=1),
    "variance": lambda xp, x: x.var(),
    "argmax": lambda xp, x: x.argmax(axis=1),
    "take": lambda xp, x: xp.take(x, xp.asarray([2, 0]), axis=0),
    "rows by index": lambda xp, x: x[xp.asarray([2, 0])],
    "mask": lambda xp, x: x[x > 0],
    "where": lambda xp, x: xp.where(x > 0, x, -x),
    "casts": lambda xp, x: x.astype(xp.float16).astype(xp.int64),
    "sums": lambda xp, x: xp.cumsum(x),
    "clip": lambda xp, x: xp.clip(x, -1, 1),
    "concatenate": lambda xp, x: xp.concatenate([x, x[::-1]]),
    "sort": lambda xp, x: xp.sort(x, axis=0),
    "argsort": lambda xp, x: xp.argsort(x, axis=1),
    "unique": lambda xp, x: xp.unique(x > 0),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_cupy_computes_what_numpy_computes(
    cupy: Any, call: Callable[[Any, np.ndarray], Any], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(3, 4)).astype(np.float32)
    actual, expected = cupy.asnumpy(call(cupy, cupy.asarray(x))), np.asarray(call(np, x))
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=2e-3 if expected.dtype == np.float16 else 2e-6, atol=1e-6)


def test_kernels_of_all_kinds_run(cupy: Any) -> None:
    x = cupy.arange(8, dtype=cupy.float32)
    module = cupy.RawModule(code=SOURCE, name_expressions=["scale<double>"])
    wide = cupy.ones(8)
    module.get_function("scale<double>")((1,), (32,), (wide, np.float64(3), np.int32(8)))
    assert wide.tolist() == [3.0] * 8
    assert cupy.ElementwiseKernel("T x", "T y", "y = x * x", "square")(x).tolist() == [i * i for i in range(8)]
    squares = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "sum_of_squares")
    assert float(squares(x)) == 140
    module.get_function("shared_sum")((1,), (8,), (x,), shared_mem=32)
    assert x.tolist() == [28.0] * 8


@pytest.fixture
def product(cupy: Any) -> Iterator[Callable[..., None]]:
    """A product of square float32 matrices by cuBLAS on a stream, which may capture (CuPy's own products may not)."""
    cublas = pytest.importorskip("nvmath.bindings.cublas")
    handle, numbers = cublas.create(), np.array([1, 0], dtype=np.float32)
    one, zero = numbers.ctypes.data, numbers.ctypes.data + 4

    def multiply(stream: Any, x: Any, y: Any, out: Any, compute: int = 68) -> None:
        cublas.set_stream(handle, stream.ptr)
        n, a, b, c = len(x), x.data.ptr, y.data.ptr, out.data.ptr
        cublas.gemm_ex(handle, 0, 0, n, n, n, one, b, 0, n, a, 0, n, zero, c, 0, n, compute, -1)

    yield multiply
    cublas.destroy(handle)


def test_a_captured_stream_computes_nothing_until_its_graph_is_launched(
    cupy: Any, stream: Any, twice: Any, product: Any
) -> None:
    x, y = cupy.ones((4, 4), dtype=cupy.float32), cupy.zeros((4, 4), dtype=cupy.float32)
    with stream, counted() as captured:
        stream.begin_capture(GLOBAL)
        twice(x)
        product(stream, x, x, y)
        graph = stream.end_capture()
    assert (float(x[0, 0]), float(y[0, 0])) == (1, 0)
    assert (captured["kernel.captured"], captured["product.captured"], captured["kernel.run"]) == (1, 1, 0)
    with counted() as replayed:
        for _ in range(3):
            graph.launch(stream)
    assert (float(x[0, 0]), float(y[0, 0])) == (8, 256)
    assert replayed == {"graph.launched": 3, "graph.run": 3, "kernel.run": 3, "product.run": 3}


REFUSED: dict[str, tuple[int, Callable[[Any, Any], Any], str]] = {
    "waiting for the stream": (RELAXED, lambda cupy, stream: stream.synchronize(), "CaptureUnsupported"),
    "waiting for the device": (RELAXED, lambda cupy, stream: cupy.cuda.Device().synchronize(), "CaptureUnsupported"),
    "allocating": (GLOBAL, lambda cupy, stream: cupy.cuda.runtime.malloc(512), "CaptureUnsupported"),
    "allocating in this thread": (THREAD, lambda cupy, stream: cupy.cuda.runtime.malloc(512), "CaptureUnsupported"),
    "work from outside": (RELAXED, lambda cupy, stream: stream.wait_event(EVENTS[0]), "CaptureIsolation"),
    "waiting for an event": (RELAXED, lambda cupy, stream: stream.record().synchronize(), "CapturedEvent"),
}
EVENTS: list[Any] = []


@pytest.mark.parametrize(("mode", "call", "error"), REFUSED.values(), ids=REFUSED)
def test_what_cuda_refuses_during_a_capture_fails_and_spoils_it(
    cupy: Any, stream: Any, mode: int, call: Callable[[Any, Any], Any], error: str
) -> None:
    EVENTS[:] = [cupy.cuda.get_current_stream().record()]
    stream.begin_capture(mode)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match=error):
        call(cupy, stream)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="CaptureInvalidated"):
        stream.end_capture()
    assert not stream.is_capturing()


def test_the_default_stream_is_refused_while_a_blocking_stream_captures(cupy: Any, stream: Any, twice: Any) -> None:
    x = cupy.ones(4, dtype=cupy.float32)
    blocking = cupy.cuda.Stream()
    for captured in (stream, blocking):
        captured.begin_capture()
        if captured is blocking:
            with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CaptureImplicit"):
                twice(x)
        else:
            twice(x)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError) if captured is blocking else cupy.cuda.Device(0):
            captured.end_capture()
    assert x.tolist() == [2.0] * 4


@pytest.mark.parametrize("joined", [True, False])
def test_a_stream_that_joined_a_capture_has_to_be_waited_for(cupy: Any, stream: Any, twice: Any, joined: bool) -> None:
    x, other = cupy.ones(4, dtype=cupy.float32), cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    other.wait_event(stream.record())
    with other:
        twice(x)
    if joined:
        stream.wait_event(other.record())
        stream.end_capture().launch(stream)
    else:
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="CaptureUnjoined"):
            stream.end_capture()
    assert not other.is_capturing()
    assert x.tolist() == [2.0 if joined else 1.0] * 4


def test_memory_ends_where_the_environment_says(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = cupy.cuda.MemoryPool()
    monkeypatch.setenv("CUDA_ON_CPU_MEMORY", "64e6")
    with cupy.cuda.using_allocator(pool.malloc), cupy.cuda.Device(1):
        assert cupy.cuda.runtime.memGetInfo()[1] == 64_000_000
        kept = cupy.empty(40_000_000, dtype=cupy.uint8)
        assert cupy.cuda.runtime.memGetInfo()[0] < 24_000_001
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.empty(40_000_000, dtype=cupy.uint8)
        del kept
        cupy.empty(40_000_000, dtype=cupy.uint8)
        pool.free_all_blocks()


def test_two_devices_hold_their_own_arrays(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        x = cupy.arange(3)
        assert (x.device.id, int((x + 1).sum())) == (1, 6)
        foreign = cupy.cuda.Stream()
    with pytest.raises(RuntimeError, match="does not match"), foreign:
        pass
    assert cupy.asarray(cupy.asnumpy(x)).device.id == 0


def test_a_copy_that_leaves_device_memory_is_refused(cupy: Any) -> None:
    x, host = cupy.zeros(128, dtype=cupy.float32), np.zeros(4096, dtype=np.float32)
    with cupy.cuda.using_allocator(None):
        x = cupy.zeros(128, dtype=cupy.float32)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidValue"):
            cupy.cuda.runtime.memcpy(x.data.ptr, host.ctypes.data, host.nbytes, 1)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidValue"):
            cupy.cuda.runtime.memcpy(host.ctypes.data, host.ctypes.data, 4, 1)


def test_launches_no_gpu_could_do_are_refused(cupy: Any) -> None:
    x, kernel = cupy.ones(8, dtype=cupy.float32), cupy.RawModule(code=SOURCE).get_function("shared_sum")
    for grid, block, shared in (((1,), (2048,), 0), ((1, 70_000), (8,), 0), ((1,), (8,), 50_000)):
        with pytest.raises(cupy.cuda.driver.CUDADriverError, match="invalid argument"):
            kernel(grid, block, (x,), shared_mem=shared)
    kernel.max_dynamic_shared_size_bytes = 60_000
    kernel((1,), (8,), (x,), shared_mem=50_000)
    assert x.tolist() == [8.0] * 8


def test_tf32_is_rounded_where_it_is_asked_for(cupy: Any, product: Any, rng: np.random.Generator) -> None:
    x, out = cupy.asarray(rng.normal(size=(16, 16)).astype(np.float32)), cupy.empty((16, 16), dtype=cupy.float32)
    expected, errors = cupy.asnumpy(x).astype(np.float64) @ cupy.asnumpy(x), []
    for compute in (68, 77):  # CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32
        product(cupy.cuda.get_current_stream(), x, x, out, compute)
        errors.append(np.max(np.abs(cupy.asnumpy(out) - expected)))
    assert errors[0] < 1e-5 < 1e-4 < errors[1] < 1e-1


@pytest.mark.parametrize(("name", "code"), [("float16", 2), ("bfloat16", 14)])
def test_products_of_16_bits_add_up_in_float32(cupy: Any, name: str, code: int, rng: np.random.Generator) -> None:
    cublas = pytest.importorskip("nvmath.bindings.cublas")
    a, b = rng.normal(size=(5, 3, 400)).astype(np.float32), rng.normal(size=(5, 400, 2)).astype(np.float32)
    if name == "float16":
        stored = [x.astype(np.float16) for x in (a, b)]
        a, b = (x.astype(np.float32) for x in stored)
    else:  # the upper half of a float32
        stored = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in (a, b)]
        a, b = ((x.astype(np.uint32) << 16).view(np.float32) for x in stored)
    x, y = (cupy.asarray(part) for part in stored)
    out, numbers = cupy.empty((5, 3, 2), dtype=cupy.float32), np.array([1, 0], dtype=np.float32)
    handle, one, zero = cublas.create(), numbers.ctypes.data, numbers.ctypes.data + 4
    cublas.set_stream(handle, cupy.cuda.get_current_stream().ptr)
    right, left = (y.data.ptr, code, 2, 800), (x.data.ptr, code, 400, 1200)
    result = (out.data.ptr, 0, 2, 6)
    cublas.gemm_strided_batched_ex(handle, 0, 0, 2, 3, 400, one, *right, *left, zero, *result, 5, 68, -1)
    cublas.destroy(handle)
    np.testing.assert_allclose(cupy.asnumpy(out), a.astype(np.float64) @ b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("code", [2, 14])
def test_fast_products_of_16_bits_are_refused(cupy: Any, code: int) -> None:
    """CUBLAS_COMPUTE_32F_FAST_16F, _FAST_16BF and _FAST_TF32 are for operands of float32."""
    cublas = pytest.importorskip("nvmath.bindings.cublas")
    x, out = cupy.zeros((4, 4), dtype=cupy.float16), cupy.zeros((4, 4), dtype=cupy.float32)
    numbers = np.array([1, 0], dtype=np.float32)
    handle, one, zero = cublas.create(), numbers.ctypes.data, numbers.ctypes.data + 4
    operands, result = (x.data.ptr, code, 4), (out.data.ptr, 0, 4)
    for compute in (74, 75, 77):
        with pytest.raises(cublas.cuBLASError, match="NOT_SUPPORTED"):
            cublas.gemm_ex(handle, 0, 0, 4, 4, 4, one, *operands, *operands, zero, *result, compute, -1)
    cublas.destroy(handle)

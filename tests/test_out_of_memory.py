"""What users meet where memory runs out: an error that says what to do, smaller chunks, and a process that goes on."""

from __future__ import annotations

import gc
import logging
import re
import subprocess
import sys
import textwrap
import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from allocations import planted
from scipy.sparse import csr_matrix

import bpx
from bpx.backend import cupy_backend, torch_backend
from bpx.backend.host_memory import host_memory
from bpx.network import memory
from bpx.network.objective import Objective
from bpx.training.step import Step

rng = np.random.default_rng(5)
X = rng.normal(size=(4096, 8))
Y = np.argmax(X[:, :3], axis=1)

MESSAGE = re.compile(
    r"out of memory (?P<doing>[^:]+): a batch of (?P<rows>\d+) rows? x 8 features needs about (?P<need>[\d.]+ \w+)"
    r" on backend '\w+', where (?P<free>[\d.]+ \w+) of (?P<total>[\d.]+ \w+) are free; (?P<remedies>.*)"
    r" \((?P<own>\w*Error: .*)\)"
)


def told(error: pytest.ExceptionInfo[MemoryError]) -> dict[str, str]:
    assert error.type is MemoryError
    match = MESSAGE.fullmatch(str(error.value))
    assert match is not None, str(error.value)
    return match.groupdict()


def network(dtype: str = "float32", **options: Any) -> bpx.MLP:
    return bpx.MLP([8, 64, 3], dtype=dtype, backend="numpy", **options)


@pytest.fixture(params=["auto", "numpy", "reference"])
def _kernels(request, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", request.param)


# ---------------------------------------------------------------------- training


@pytest.mark.usefixtures("_kernels")
def test_a_batch_that_does_not_fit_is_an_error_that_names_it_and_two_remedies():
    net = network()
    before = net.flat.copy()
    with planted() as plan:
        plan.largest = 2048 * 64 * 4 - 1  # the hidden layer of half the rows fits
        with pytest.raises(MemoryError) as error:
            bpx.fit(net, X, Y, epochs=1, batch_size=4096)
        plan.largest = None
    message = told(error)
    assert (message["doing"], message["rows"]) == ("in a training step", "4096")
    assert message["need"] == memory.in_words(memory.step_bytes([8, 64, 3], 4096, 4))
    first, second = message["remedies"].split(", or ")
    assert first == "give a smaller batch (batch_size=2048 would fit)"
    assert "bpx." in second
    assert "Unable to allocate" in message["own"]
    np.testing.assert_array_equal(net.flat, before)


@pytest.mark.usefixtures("_kernels")
def test_after_it_the_same_process_trains_as_if_nothing_had_been():
    expected = network()
    bpx.fit(expected, X, Y, epochs=2, batch_size=512)
    net = network()
    with planted() as plan:
        plan.largest = 2048 * 64 * 4 - 1
        with pytest.raises(MemoryError):
            bpx.fit(net, X, Y, epochs=2, batch_size=4096)
        bpx.fit(net, X, Y, epochs=2, batch_size=512)
        plan.largest = None
    np.testing.assert_array_equal(net.flat, expected.flat)


def test_the_error_holds_no_array_of_the_attempt_and_no_recorded_step(monkeypatch):
    steps = []
    init = Step.__init__

    def noting(self, *args, **kwargs):
        init(self, *args, **kwargs)
        steps.append(weakref.ref(self))

    monkeypatch.setattr(Step, "__init__", noting)
    net = network()
    arrays = []
    forward = net.output.forward

    def remember(run):
        arrays.append(weakref.ref(run))
        plan.largest = 1000

    assert forward is not None
    with planted() as plan:
        try:
            bpx.fit(net, X, Y, epochs=3, batch_size=1000, callbacks=[remember])
        except MemoryError as error:
            kept = error  # as a debugger keeps it
        plan.largest = None
    gc.collect()
    assert kept.__cause__ is None
    assert kept.__context__ is None
    assert [one() for one in (*steps, *arrays)] == [None, None]


def test_what_is_free_is_looked_at_when_the_attempt_holds_no_array_any_more(monkeypatch):
    made, there = [], []

    def value_and_grad(self, X, *_):
        hidden = np.ones((X.shape[0], 64))
        made.append(weakref.ref(hidden))
        raise MemoryError

    def look(self):
        there.extend(one() for one in made)
        return 10_000_000, 20_000_000

    monkeypatch.setattr("bpx.network.objective.Objective.value_and_grad", value_and_grad)
    monkeypatch.setattr("bpx.backend.numpy_backend.NumpyBackend.memory", look)
    with pytest.raises(MemoryError, match="where 10 MB of 20 MB are free"):
        bpx.fit(network(), X, Y)
    assert there == [None]


def test_an_error_that_the_caller_deals_with_keeps_its_variables():
    def mistaken():
        value = "kept"
        raise KeyError(value)

    net = network()
    with planted() as plan:
        try:
            mistaken()
        except KeyError as caught:
            plan.largest = 1000
            with pytest.raises(MemoryError, match="out of memory in "):
                bpx.fit(net, X, Y, batch_size=4096)
            plan.largest = None
            trace = caught.__traceback__
    assert trace is not None
    assert trace.tb_next.tb_frame.f_locals == {"value": "kept"}


def test_memory_that_runs_out_in_the_middle_of_training_leaves_the_parameters_of_the_last_step():
    net, seen = network(), []

    class Watch(bpx.Callback):
        def on_step_end(self, run):
            seen.append(run.net.flat.copy())
            if run.step == 6:
                plan.largest = 100

    with planted() as plan:
        with pytest.raises(MemoryError) as error:
            bpx.fit(net, X[:1100], Y[:1100], batch_size=200, callbacks=[Watch()], epochs=5, sampling="shuffle")
        plan.largest = None
    assert len(seen) >= 6
    assert "of memory in " in str(error.value)
    np.testing.assert_array_equal(net.flat, seen[-1])


@pytest.mark.filterwarnings("ignore:.*the checkpoint of epoch 2.*could not be written:RuntimeWarning")
def test_a_checkpoint_made_before_stays_valid(tmp_path):
    path = tmp_path / "run.ckpt"
    whole = network()
    bpx.fit(whole, X, Y, epochs=4, batch_size=500)
    net = network()

    def fail(run):
        if run.epoch == 2:
            plan.largest = 100

    with planted() as plan:
        with pytest.raises(MemoryError):
            bpx.fit(net, X, Y, epochs=4, batch_size=500, checkpoint=path, callbacks=[fail])
        plan.largest = None
    other = network(seed=9)
    bpx.fit(other, X, Y, epochs=4, batch_size=500, checkpoint=path, resume=True)
    np.testing.assert_array_equal(other.flat, whole.flat)


def test_a_scipy_method_goes_back_to_its_last_iterate_without_memory():
    iterates = []

    def note(run):
        iterates.append(run.net.flat.copy())
        if run.epoch == 3:
            plan.largest = 100_000

    net = network()
    with planted() as plan:
        with pytest.raises(MemoryError) as error:
            bpx.fit(net, X, Y, optimizer="bfgs", epochs=10, callbacks=[note])
        plan.largest = None
    assert told(error)["remedies"].startswith("take optimizer='adam' with batch_size=2048, or ")
    np.testing.assert_array_equal(net.flat, iterates[-1])


def test_data_that_do_not_fit_are_to_be_streamed():
    with planted() as plan:
        plan.largest = 4096 * 8 * 4 - 1
        with pytest.raises(MemoryError) as error:
            bpx.fit(network(), X, Y)
        plan.largest = None
    message = told(error)
    assert message["doing"] == "in bringing the data to the network"
    assert "bpx.stream(X, y)" in message["remedies"]


def test_an_evaluation_takes_fewer_rows_where_memory_runs_out(caplog):
    expected = bpx.fit(network(), X, Y, epochs=2, batch_size=128, validation=(X, Y))
    with planted() as plan, caplog.at_level(logging.INFO, "bpx"):
        plan.largest = 4096 * 8 * 8
        history = bpx.fit(network(), X, Y, epochs=2, batch_size=128, validation=(X, Y))
        plan.largest = None
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=1e-5)
    assert history.loss == expected.loss
    assert [r.message for r in caplog.records if "went on" in r.message] == [
        "memory ran out in a forward pass of 4096 rows, which went on with 1024 at once"
    ] * 2


def test_the_step_of_a_stack_names_its_networks():
    net = network(stack=4)
    with planted() as plan:
        plan.largest = 100_000
        with pytest.raises(MemoryError, match=r"x 8 features for each of 4 networks needs about .* fewer networks"):
            bpx.fit(net, X, Y, batch_size=512)
        plan.largest = None


def test_pytorchs_error_becomes_a_memory_error_too(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net = bpx.MLP([8, 64, 3], backend="torch")
    before = net.flat.clone()
    calls = []
    value_and_grad = Objective.value_and_grad

    def fail(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            before[...] = net.flat
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return value_and_grad(self, *args, **kwargs)

    monkeypatch.setattr("bpx.network.objective.Objective.value_and_grad", fail)
    with pytest.raises(MemoryError) as error:
        bpx.fit(net, X, Y, epochs=1, batch_size=128)
    message = told(error)
    assert "batch_size=64 would fit" in message["remedies"]
    assert message["own"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. more"
    assert torch.equal(net.flat, before)


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize("rows", [4096, 20_000])
def test_predictions_go_on_in_smaller_chunks(rows, caplog):
    net, data = network("float64"), rng.normal(size=(rows, 8))
    expected = net(data)
    with planted() as plan, caplog.at_level(logging.INFO, "bpx"):
        plan.largest = max(300 * 64 * 8, rows * 3 * 8)
        actual = net(data)
        plan.largest = None
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)
    assert len([r for r in caplog.records if "went on" in r.message]) == 1


def test_a_row_that_does_not_fit_is_an_error_and_the_network_answers_again():
    net = network()
    expected = net(X[:5])
    with planted() as plan:
        plan.largest = 100
        with pytest.raises(MemoryError) as error:
            net(X[:5])
        plan.largest = None
    assert told(error)["doing"] == "in a forward pass"
    np.testing.assert_array_equal(net(X[:5]), expected)


def test_a_gradient_that_does_not_fit_is_an_error():
    net = network("float64")
    with planted() as plan:
        plan.largest = 100_000
        with pytest.raises(MemoryError) as error:
            net.loss_and_grads(X, Y)
        with pytest.raises(MemoryError, match="in a gradient"):
            net.input_gradient(X, Y)
        plan.largest = None
    message = told(error)
    assert (message["doing"], message["rows"]) == ("in a gradient", "4096")
    assert message["remedies"].startswith("give 2048 rows at once, or take dtype='float32'")


def test_predicting_a_stream_goes_on_in_smaller_chunks():
    net = network("float64")
    expected = bpx.predict(net, X)
    with planted() as plan:
        plan.largest = 4096 * 8 * 8
        np.testing.assert_allclose(bpx.predict(net, X, buffer=500_000), expected, rtol=1e-12)
        plan.largest = 200
        with pytest.raises(MemoryError, match=r"in bpx\.predict: .*give out="):
            bpx.predict(net, X)
        plan.largest = None


# ---------------------------------------------------------------------- estimators


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_keeps_what_it_had_learned():
    model = bpx.MLPClassifier((64,), max_iter=3, random_state=0, warm_start=True, backend="numpy").fit(X, Y)
    twin = bpx.MLPClassifier((64,), max_iter=3, random_state=0, warm_start=True, backend="numpy").fit(X, Y)
    before = model.predict_proba(X)
    with planted() as plan:
        plan.largest = 4096 * 8 * 8
        model.set_params(batch_size=4000)
        with pytest.raises(MemoryError) as error:
            model.fit(X, Y)
        plan.largest = None
    assert told(error)["doing"] == "in a training step"
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.n_iter_ == 3
    model.set_params(batch_size="auto").fit(X, Y)
    twin.fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimators_answers_go_on_in_smaller_chunks():
    model = bpx.MLPClassifier((64,), max_iter=2, random_state=0, backend="numpy").fit(X, Y)
    expected, score, sparse = model.predict_proba(X), model.score(X, Y), csr_matrix(X)
    with planted() as plan:
        plan.largest = 4096 * 8 * 8
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
        np.testing.assert_allclose(model.predict_proba(sparse), expected, rtol=1e-12)
        assert model.score(X, Y) == score
        plan.largest = None


# ---------------------------------------------------------------------- backends


def error_of(module: str, name: str, message: str, base: type[Exception] = RuntimeError) -> Exception:
    return type(name, (base,), {"__module__": module})(message)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (error_of("cupy.cuda.memory", "OutOfMemoryError", "Out of memory allocating 8 bytes", MemoryError), True),
        (error_of("cupy_backends.cuda.api.runtime", "CUDARuntimeError", "cudaErrorMemoryAllocation: out"), True),
        (error_of("cupy_backends.cuda.api.driver", "CUDADriverError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
        (error_of("cupy_backends.cuda.libs.cublas", "CUBLASError", "CUBLAS_STATUS_ALLOC_FAILED"), True),
        (error_of("nvmath.bindings.cublas", "cuBLASError", "ALLOC_FAILED (3): a resource", Exception), True),
        (error_of("cupy_backends.cuda.libs.cublas", "CUBLASError", "CUBLAS_STATUS_INVALID_VALUE"), False),
        (MemoryError(), True),
        (RuntimeError("out of memory"), False),
    ],
)  # fmt: skip
def test_what_counts_as_out_of_memory_on_cupy(error, expected):
    backend = object.__new__(cupy_backend.CupyBackend)
    assert backend.is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (error_of("torch", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (MemoryError(), True),
    ],
)
def test_what_counts_as_out_of_memory_on_pytorch(error, expected):
    backend = object.__new__(torch_backend.TorchBackend)
    assert backend.is_out_of_memory(error) is expected


def test_pytorch_itself_raises_what_counts():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60)
    assert bpx.get_backend("torch").is_out_of_memory(error.value)
    assert not bpx.get_backend("torch").is_out_of_memory(KeyboardInterrupt())


def test_the_hosts_memory_is_known_here():
    found = host_memory()
    if sys.platform.startswith("linux"):
        assert found is not None
        assert 0 < found[0] < found[1]
    assert bpx.get_backend("numpy").memory() is not None or found is None


class Pool:
    """CuPy's pool, as far as bpx asks."""

    def __init__(self, used: dict[int, int], unused: dict[int, int], on: list[int], limit: int = 0) -> None:
        self.used, self.unused, self.on, self.limit = used, unused, on, limit

    def total_bytes(self) -> int:
        return self.used.get(self.on[-1], 0) + self.unused.get(self.on[-1], 0)

    def used_bytes(self) -> int:
        return self.used.get(self.on[-1], 0)

    def free_bytes(self) -> int:
        return self.unused.get(self.on[-1], 0)

    def get_limit(self) -> int:
        return self.limit

    def free_all_blocks(self) -> None:
        self.unused[self.on[-1]] = 0


@pytest.fixture
def cupy(monkeypatch):
    """As much of CuPy as has to do with memory, on two devices of 1000 bytes."""
    on = [0]

    class Device:
        def __init__(self, index):
            self.index, self.mem_info = index, (600, 1000)

        def __enter__(self):
            on.append(self.index)
            return self

        def __exit__(self, *_):
            on.pop()

    module = ModuleType("cupy")
    pool, pinned = Pool({0: 300, 1: 20}, {0: 100, 1: 7, 2: 9}, on), SimpleNamespace(freed=0)
    pinned.free_all_blocks = lambda: setattr(pinned, "freed", pinned.freed + 1)
    module.cuda = SimpleNamespace(Device=Device, runtime=SimpleNamespace(getDevice=lambda: on[-1]))
    module.get_default_memory_pool = lambda: pool
    module.get_default_pinned_memory_pool = lambda: pinned
    module.pool, module.pinned = pool, pinned
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cupy_backend, "_used", {1})
    return module


def test_free_memory_empties_cupys_pools_of_the_devices_that_were_used(cupy):
    assert bpx.free_memory() == 107
    assert cupy.pool.unused == {0: 0, 1: 0, 2: 9}
    assert cupy.pinned.freed == 1
    assert bpx.free_memory() == 0


def test_cupys_free_memory_is_the_devices_and_what_the_pool_holds_unused(cupy):
    backend = object.__new__(cupy_backend.CupyBackend)
    backend._cupy, backend._index, backend.device = cupy, 0, cupy.cuda.Device(0)
    assert backend.memory() == (700, 1000)
    cupy.pool.limit = 450
    assert backend.memory() == (150, 1000)


def test_free_memory_without_a_driver_gives_nothing_back(cupy):
    def fail():
        raise RuntimeError("cudaErrorNoDevice")

    cupy.cuda.runtime.getDevice = fail
    assert bpx.free_memory() == 0


def test_free_memory_collects_and_imports_nothing():
    script = """
    import sys, weakref
    import bpx
    class Node: pass
    node = Node(); node.self = node
    gone = weakref.ref(node)
    del node
    assert bpx.free_memory() == 0
    assert gone() is None
    assert not {"cupy", "torch"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_free_memory_empties_pytorchs_cache(monkeypatch):
    reserved = {0: 30, 1: 12}
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda index: reserved[index],
        empty_cache=lambda: reserved.update({0: 10}),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert torch_backend.free_memory() == 20


# ---------------------------------------------------------------------- the real thing


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit of addresses is Linux's")
@pytest.mark.parametrize("kernels", ["numpy", "reference"])
@pytest.mark.slow
def test_a_process_whose_addresses_run_out_trains_on_with_the_batch_it_is_told(kernels):
    script = """
    import re, resource
    import numpy as np, bpx
    X = np.ones((200_000, 20), dtype=np.float32)
    y = np.zeros(200_000, dtype=np.int64); y[::2] = 1
    net = bpx.MLP([20, 500, 2], backend="numpy")
    net(X[:1000]); bpx.fit(net, X[:1000], y[:1000], epochs=1)
    used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
    limit = used + 300_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = net.flat.copy()
    try:
        bpx.fit(net, X, y, epochs=1, batch_size=None)
    except MemoryError as error:
        print(error)
        told = error
    assert np.array_equal(net.flat, before)
    size = int(re.search(r"batch_size=(\\d+)", str(told))[1])
    assert 1000 < size < 100_000, size
    history = bpx.fit(net, X, y, epochs=1, batch_size=size, validation=(X, y))
    assert np.isfinite(history.val_loss[0])
    """
    environment = {"BPX_KERNELS": kernels, "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "a batch of 200000 rows x 20 features needs about 1.62 GB" in done.stdout

"""Out of memory: nothing has changed, the error says what to do, smaller chunks are tried, and the process goes on."""

from __future__ import annotations

import gc
import logging
import re
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from allocations import Planted, planted
from scipy.sparse import csr_matrix

import bpx
from bpx.backend import cupy_backend, torch_backend
from bpx.backend.host_memory import host_memory
from bpx.formulas import losses
from bpx.network import memory
from bpx.network.objective import Objective
from bpx.streams.data import Batch, Data
from bpx.training.array_feed import ArrayFeed
from bpx.training.run_config import RunConfig
from bpx.training.step import Step

rng = np.random.default_rng(5)
X = rng.normal(size=(4096, 8))
Y = np.argmax(X[:, :3], axis=1)

MESSAGE = re.compile(
    r"out of memory (?P<doing>[^:]+): a batch of (?P<rows>\d+) rows? x 8 features needs about (?P<need>[\d.]+ \w+)"
    r" on backend '\w+', where (?P<free>[\d.]+ \w+) of (?P<total>[\d.]+ \w+) are free; (?P<remedies>.*)"
    r" \((?P<own>\w*Error: .*)\)"
)


def network(dtype: str = "float32", **options: Any) -> bpx.MLP:
    return bpx.MLP([8, 64, 3], dtype=dtype, backend="numpy", **options)


@contextmanager
def limited(largest: int | None = None) -> Iterator[Planted]:
    """No array may have more bytes than that."""
    with planted() as plan:
        plan.largest = largest
        yield plan


@contextmanager
def out_of_memory(largest: int | None = None) -> Iterator[dict[str, Any]]:
    """The block runs out of memory; the message's parts are in the dict afterwards."""
    parts: dict[str, Any] = {}
    with limited(largest) as parts["plan"], pytest.raises(MemoryError) as error:
        yield parts
    assert error.type is MemoryError
    match = MESSAGE.fullmatch(str(error.value))
    assert match is not None, str(error.value)
    parts.update(match.groupdict())


# ---------------------------------------------------------------------- a step that fails anywhere

OPTIMIZERS = {
    "sgd": bpx.SGD(0.1),
    "momentum": bpx.SGD(0.1, momentum=0.9),
    "nesterov": bpx.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.1),
    "rmsprop": bpx.RMSprop(0.01),
    "adagrad": bpx.Adagrad(0.1),
    "adam": bpx.Adam(0.01, clip_norm=0.1),
    "adam with epsilon-hat": bpx.Adam(0.01, epsilon_hat=True),
    "adamw": bpx.AdamW(0.01, weight_decay=0.1),
}
OF_A_STACK = {
    "momentum": bpx.SGD(0.1, momentum=[0.9, 0.5], nesterov=True),
    "rmsprop": bpx.RMSprop(0.01, rho=[0.9, 0.99]),
    "adagrad": bpx.Adagrad(0.1, epsilon=[1e-8, 1e-6]),
    "adamw": bpx.AdamW(0.01, beta_1=[0.9, 0.8], beta_2=[0.99, 0.999], weight_decay=[0.1, 0.0]),
}


class Training:
    """A network with a penalty and weighted samples, step by step."""

    def __init__(self, optimizer: Any, stack: int | None = None, backend: Any = "numpy", dropout: float = 0.0) -> None:
        self.net = bpx.MLP([5, 7, 3], dropout=dropout, dtype="float64", backend=backend, stack=stack)
        rng = np.random.default_rng(0)
        X, y, w = rng.normal(size=(12, 5)), rng.integers(0, 3, size=12), rng.uniform(0.5, 1.5, size=(12, 1))
        b = self.net.backend
        data = Data(b.asarray(X), b.asarray(y), b.asarray(w))
        self.rate = optimizer.learning_rate
        bound = optimizer.bind(self.net.asarray, stack)
        self.state = bound.init(self.net.flat)
        objective = Objective(self.net, losses.get("cross_entropy"), l2=0.01)
        feed = ArrayFeed(b, data, 6, lambda: None)
        config = RunConfig(self.net, feed, objective.loss, bound, seed=3)
        self.step = Step(config, objective, bound, self.state)
        self.done = 0
        orders = [rng.permutation(12)[:6] for _ in range(6)]
        self.batches = [Batch(0, rows, b.asarray(rows), 6) for rows in orders]

    def go(self, steps: int = 1) -> None:
        for _ in range(steps):
            with self.net.backend.scope():
                self.step(self.batches[self.done], self.rate, self.done)
            self.done += 1

    @property
    def numbers(self) -> dict[str, Any]:
        """Parameters and moments, on the host."""
        b = self.net.backend
        moments = {name: np.array(b.to_host(v)) for name, v in self.step.state.items() if name != "step"}
        return moments | {"flat": np.array(b.to_host(self.net.flat)), "step": int(self.step.state["step"])}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def fail_everywhere(make: Any, before: int, plan: Any, error: Any = MemoryError) -> int:
    """Step number `before` + 1 fails at its first allocation, at its second, and so on; how many failed."""
    reference = make()
    reference.go(before)
    expected_before = reference.numbers
    reference.go(3)
    expected_after = reference.numbers
    failures = 0
    for k in range(1, 1000):
        training = make()
        training.go(before)
        plan.count, plan.fails_at, plan.failed = 0, k, 0
        try:
            training.go()
        except error:
            plan.fails_at, failures = None, failures + 1
            assert same(training.numbers, expected_before), f"allocation {k}"
            training.go(3)
        else:
            plan.fails_at = None
            if not plan.failed:
                return failures
            training.go(2)  # whoever asked did without
        assert same(training.numbers, expected_after), f"after allocation {k}"
    raise AssertionError("the step never succeeds")


@pytest.mark.parametrize(
    ("kernels", "before"), [("auto", 0), ("auto", 2), ("numpy", 0), ("numpy", 2), ("reference", 1)]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.slow
def test_a_step_that_runs_out_of_memory_has_changed_nothing(name, kernels, before, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    with planted() as plan:
        failures = fail_everywhere(lambda: Training(OPTIMIZERS[name], dropout=0.3 * (name == "sgd")), before, plan)
    assert failures >= 5 if before == 0 or kernels == "reference" else failures >= 0


@pytest.mark.parametrize("kernels", ["auto", "numpy", "reference"])
@pytest.mark.parametrize("name", OF_A_STACK)
def test_neither_has_a_step_of_a_stack_with_hyperparameters_of_its_own(name, kernels, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    with planted() as plan:
        fail_everywhere(lambda: Training(OF_A_STACK[name], stack=2), 2, plan)


@pytest.mark.parametrize("name", ["nesterov", "adamw"])
def test_neither_has_one_in_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.utils._python_dispatch import TorchDispatchMode

    class Failing(TorchDispatchMode):
        """Fails before the k-th operation that makes a tensor; what writes in place, or is a view, makes none."""

        def __init__(self) -> None:
            super().__init__()
            self.count, self.fails_at, self.failed = 0, None, 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            makes = not any(a.alias_info for a in func._schema.arguments) and bool(func._schema.returns)
            self.count += makes
            if makes and self.count == self.fails_at:
                self.failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return func(*args, **kwargs or {})

    with Failing() as plan:
        make = lambda: Training(OPTIMIZERS[name], backend="torch")  # noqa: E731
        failures = fail_everywhere(make, 1, plan, torch.OutOfMemoryError)
    assert failures > 30


# ---------------------------------------------------------------------- training


@pytest.mark.parametrize("kernels", ["auto", "numpy", "reference"])
def test_a_batch_that_does_not_fit_is_named_with_two_remedies_and_the_process_trains_on(kernels, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    net, expected = network(), network()
    with out_of_memory(2048 * 64 * 4 - 1) as message:  # the hidden layer of half the rows fits
        bpx.fit(net, X, Y, epochs=1, batch_size=4096)
    assert (message["doing"], message["rows"]) == ("in a training step", "4096")
    assert message["need"] == memory.format_bytes(memory.step_bytes([8, 64, 3], 4096, 4))
    first, second = message["remedies"].split(", or ")
    assert first == "give a smaller batch, such as batch_size=2048"
    assert "bpx." in second
    assert "Unable to allocate" in message["own"]
    np.testing.assert_array_equal(net.flat, expected.flat)
    with limited(2048 * 64 * 4 - 1):
        bpx.fit(net, X, Y, epochs=2, batch_size=512)
    bpx.fit(expected, X, Y, epochs=2, batch_size=512)
    np.testing.assert_array_equal(net.flat, expected.flat)


def test_the_error_holds_no_array_of_the_attempt_and_no_recorded_step(monkeypatch):
    made, init = [], Step.__init__

    def noting(self, *args, **kwargs):
        init(self, *args, **kwargs)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Step, "__init__", noting)

    def remember(run):
        made.append(weakref.ref(run))
        plan.largest = 1000

    with planted() as plan:
        try:
            bpx.fit(network(), X, Y, epochs=3, batch_size=1000, callbacks=[remember])
        except MemoryError as error:
            kept = error  # as a debugger keeps it
    gc.collect()
    assert kept.__cause__ is None
    assert kept.__context__ is None
    assert [one() for one in made] == [None, None]


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
    try:
        mistaken()
    except KeyError as caught:
        with limited(1000), pytest.raises(MemoryError, match="out of memory in "):
            bpx.fit(net, X, Y, batch_size=4096)
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

    with planted() as plan, pytest.raises(MemoryError, match="of memory in "):
        bpx.fit(net, X[:1100], Y[:1100], batch_size=200, callbacks=[Watch()], epochs=5, sampling="shuffle")
    assert len(seen) >= 6
    np.testing.assert_array_equal(net.flat, seen[-1])


@pytest.mark.filterwarnings("ignore:.*the checkpoint of epoch 2.*could not be written:RuntimeWarning")
def test_a_checkpoint_made_before_stays_valid(tmp_path):
    run = {"epochs": 4, "batch_size": 500, "checkpoint": tmp_path / "run.ckpt"}
    net, whole, other = network(), network(), network(seed=9)
    bpx.fit(whole, X, Y, epochs=4, batch_size=500)

    def fail(run):
        if run.epoch == 2:
            plan.largest = 100

    with planted() as plan, pytest.raises(MemoryError):
        bpx.fit(net, X, Y, **run, callbacks=[fail])
    bpx.fit(other, X, Y, **run, resume=True)
    np.testing.assert_array_equal(other.flat, whole.flat)


def test_a_scipy_method_goes_back_to_its_last_iterate_without_memory():
    net, iterates = network(), []

    def note(run):
        iterates.append(run.net.flat.copy())
        if run.epoch == 3:
            message["plan"].largest = 100_000

    with out_of_memory() as message:
        bpx.fit(net, X, Y, optimizer="bfgs", epochs=10, callbacks=[note])
    assert message["remedies"].startswith("take optimizer='adam' with batch_size=2048, or ")
    np.testing.assert_array_equal(net.flat, iterates[-1])


def test_data_that_do_not_fit_are_to_be_streamed():
    net = network()
    with out_of_memory(4096 * 8 * 4 - 1) as message:
        bpx.fit(net, X, Y)
    assert message["doing"] == "in bringing the data to the network"
    assert "bpx.stream(X, y)" in message["remedies"]


def test_an_evaluation_takes_fewer_rows_where_memory_runs_out(caplog):
    expected = bpx.fit(network(), X, Y, epochs=2, batch_size=128, validation=(X, Y))
    with limited(4096 * 8 * 8), caplog.at_level(logging.INFO, "bpx"):
        history = bpx.fit(network(), X, Y, epochs=2, batch_size=128, validation=(X, Y))
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=1e-5)
    assert history.loss == expected.loss
    assert [r.message for r in caplog.records if "went on" in r.message] == [
        "memory ran out in a forward pass of 4096 rows, which went on with 1024 at once"
    ] * 2


def test_the_step_of_a_stack_names_its_networks():
    said = r"x 8 features for each of 4 networks needs about .* fewer networks"
    with limited(100_000), pytest.raises(MemoryError, match=said):
        bpx.fit(network(stack=4), X, Y, batch_size=512)


def test_one_row_needs_no_smaller_batch():
    net = network("float64")
    with out_of_memory(1000) as message:
        net.loss_and_grads(X[:1], Y[:1])
    assert message["rows"] == "1"
    assert message["remedies"].startswith("take dtype='float32', or call bpx.free_memory()")


def test_pytorchs_error_becomes_a_memory_error_too(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net, calls, value_and_grad = bpx.MLP([8, 64, 3], backend="torch"), [], Objective.value_and_grad
    before = net.flat.clone()

    def fail(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            before[...] = net.flat
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return value_and_grad(self, *args, **kwargs)

    monkeypatch.setattr("bpx.network.objective.Objective.value_and_grad", fail)
    with out_of_memory() as message:
        bpx.fit(net, X, Y, epochs=1, batch_size=128)
    assert "batch_size=64" in message["remedies"]
    assert message["own"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. more"
    assert torch.equal(net.flat, before)


# ---------------------------------------------------------------------- outputs and gradients


@pytest.mark.parametrize("rows", [4096, 20_000])
def test_predictions_go_on_in_smaller_chunks(rows, caplog):
    net, data = network("float64"), rng.normal(size=(rows, 8))
    expected = net(data)
    with limited(max(300 * 64 * 8, rows * 3 * 8)), caplog.at_level(logging.INFO, "bpx"):
        actual = net.copy()(data)  # which has no arrays of the first pass
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)
    assert len([r for r in caplog.records if "went on" in r.message]) == 1


def test_a_row_that_does_not_fit_is_an_error_and_the_network_answers_again():
    net = network()
    expected = net(X[:5])
    with out_of_memory(100) as message:
        net(X[:5])
    assert message["doing"] == "in a forward pass"
    np.testing.assert_array_equal(net(X[:5]), expected)


def test_a_gradient_that_does_not_fit_is_an_error():
    for gradient in (network("float64").loss_and_grads, network("float64").input_gradient):
        with out_of_memory(100_000) as message:
            gradient(X, Y)
        assert (message["doing"], message["rows"]) == ("in a gradient", "4096")
        assert message["remedies"] == "give 2048 rows at once, or take dtype='float32'"


def test_predicting_a_stream_goes_on_in_smaller_chunks():
    net = network("float64")
    expected = bpx.predict(net, X)
    with limited(4096 * 8 * 8) as plan:
        np.testing.assert_allclose(bpx.predict(net, X, buffer=500_000), expected, rtol=1e-12)
        plan.largest = 200
        with pytest.raises(MemoryError, match=r"in bpx\.predict: .*give out="):
            bpx.predict(net, X)


# ---------------------------------------------------------------------- estimators


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_keeps_what_it_had_learned():
    models = [
        bpx.MLPClassifier((64,), max_iter=3, random_state=0, warm_start=True, backend="numpy").fit(X, Y)
        for _ in range(2)
    ]
    model, undisturbed = models
    before = model.predict_proba(X)
    model.set_params(batch_size=4000)
    with out_of_memory(4096 * 8 * 8) as message:
        model.fit(X, Y)
    assert message["doing"] == "in a training step"
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.n_iter_ == 3
    model.set_params(batch_size="auto").fit(X, Y)
    undisturbed.fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), undisturbed.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimators_answers_go_on_in_smaller_chunks():
    model = bpx.MLPClassifier((64,), max_iter=2, random_state=0, backend="numpy").fit(X, Y)
    expected, score, sparse = model.predict_proba(X), model.score(X, Y), csr_matrix(X)
    with limited(4096 * 8 * 8):
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
        np.testing.assert_allclose(model.predict_proba(sparse), expected, rtol=1e-12)
        assert model.score(X, Y) == score


# ---------------------------------------------------------------------- backends


def of(module: str, name: str, message: str, base: type[Exception] = RuntimeError) -> Exception:
    return type(name, (base,), {"__module__": module})(message)


ON_CUPY = [
    (of("cupy.cuda.memory", "OutOfMemoryError", "Out of memory allocating 8 bytes", MemoryError), True),
    (of("cupy_backends.cuda.api.runtime", "CUDARuntimeError", "cudaErrorMemoryAllocation: out"), True),
    (of("cupy_backends.cuda.api.driver", "CUDADriverError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
    (of("cupy_backends.cuda.libs.cublas", "CUBLASError", "CUBLAS_STATUS_ALLOC_FAILED"), True),
    (of("nvmath.bindings.cublas", "cuBLASError", "ALLOC_FAILED (3): a resource", Exception), True),
    (of("cupy_backends.cuda.libs.cublas", "CUBLASError", "CUBLAS_STATUS_INVALID_VALUE"), False),
    (MemoryError(), True),
    (RuntimeError("out of memory"), False),
]
ON_PYTORCH = [
    (of("torch", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"), True),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    (ValueError("out of memory"), False),
    (MemoryError(), True),
]


@pytest.mark.parametrize(
    ("backend", "error", "expected"),
    [(cupy_backend.CupyBackend, *case) for case in ON_CUPY] + [(torch_backend.TorchBackend, *c) for c in ON_PYTORCH],
)
def test_what_counts_as_out_of_memory(backend, error, expected):
    assert object.__new__(backend).is_out_of_memory(error) is expected


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


@pytest.fixture
def cupy(monkeypatch):
    """As much of CuPy as has to do with memory, on three devices; `unused` is what its pool holds on each."""
    on, used, unused = [0], {0: 300, 1: 20, 2: 0}, {0: 100, 1: 7, 2: 9}

    @contextmanager
    def device(index):
        on.append(index)
        yield
        on.pop()

    pool = SimpleNamespace(
        total_bytes=lambda: used[on[-1]] + unused[on[-1]],
        used_bytes=lambda: used[on[-1]],
        free_bytes=lambda: unused[on[-1]],
        get_limit=lambda: module.limit,
        free_all_blocks=lambda: unused.update({on[-1]: 0}),
    )
    module: Any = ModuleType("cupy")
    module.unused, module.limit, module.pinned = unused, 0, Mock()
    module.cuda = SimpleNamespace(Device=device, runtime=SimpleNamespace(getDevice=lambda: on[-1]))
    module.get_default_memory_pool = lambda: pool
    module.get_default_pinned_memory_pool = lambda: module.pinned
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cupy_backend, "_used", {1})
    return module


def test_free_memory_empties_cupys_pools_of_the_devices_that_were_used(cupy):
    assert bpx.free_memory() == 107
    assert cupy.unused == {0: 0, 1: 0, 2: 9}
    cupy.pinned.free_all_blocks.assert_called_once()
    assert bpx.free_memory() == 0


def test_cupys_free_memory_is_the_devices_and_what_the_pool_holds_unused(cupy):
    backend = object.__new__(cupy_backend.CupyBackend)
    backend._cupy, backend._index, backend.device = cupy, 0, SimpleNamespace(mem_info=(600, 1000))
    assert backend.memory() == (700, 1000)
    cupy.limit = 450
    assert backend.memory() == (150, 1000)


def test_free_memory_without_a_driver_gives_nothing_back(cupy):
    cupy.cuda.runtime.getDevice = Mock(side_effect=RuntimeError("cudaErrorNoDevice"))
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
def test_a_process_whose_addresses_run_out_trains_on_with_smaller_batches(kernels):
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
    assert np.array_equal(net.flat, before)
    history = bpx.fit(net, X, y, epochs=1, batch_size=2000, validation=(X, y))
    assert np.isfinite(history.val_loss[0])
    """
    environment = {"BPX_KERNELS": kernels, "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "a batch of 200000 rows x 20 features needs about 1.62 GB" in done.stdout

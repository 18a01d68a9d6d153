"""What only a GPU can show: everything stays on the device, a step is one launch, and the numbers are NumPy's.

These run wherever CuPy works: on a GPU, or on the imitation of CUDA in `tests/cuda_on_cpu`.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import library
from cuda_on_cpu import counting
from kernels_on_cpu import check_launches

import bpx
from bpx.formulas.activations import Activation
from bpx.streams.data import Data
from bpx.training.loop import TrainingLoop
from bpx.training.recorder import RunRecorder

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

OPTIMIZERS: dict[str, Any] = {
    "sgd": bpx.SGD(0.1),
    "momentum": bpx.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": bpx.RMSprop(0.003),
    "adagrad": bpx.Adagrad(0.05),
    "adam": bpx.Adam(0.01),
    "adamw": bpx.AdamW(0.01, weight_decay=0.1, clip_norm=1.0),
}


@pytest.fixture(scope="module", autouse=True)
def gpu() -> bpx.Backend:
    return library("cupy")


@pytest.fixture(autouse=True)
def _right_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    check_launches(monkeypatch)


@pytest.fixture
def steps() -> Any:
    from bpx.kernels.cuda import steps

    return steps


def blobs(n: int = 100, features: int = 12, classes: int = 4, seed: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, size=n)
    return rng.normal(size=(n, features)) + np.eye(classes, features)[y] * 2.0, y


def trained(backend: str, dtype: str = "float64", **options: Any) -> tuple[Any, Any]:
    """A network after 20 epochs of 5 steps, and its history; `options` are of both."""
    X, y = blobs()
    y = np.eye(4)[y] if callable(options.get("loss")) else y
    shape = {name: options.pop(name) for name in ("hidden", "dropout", "stack", "output") if name in options}
    net = bpx.MLP([12, 16, 8, 4], backend=backend, dtype=dtype, seed=1, **shape)
    settings: dict[str, Any] = {"epochs": 20, "batch_size": 20, "optimizer": bpx.Adam(0.01), "seed": 5} | options
    return net, bpx.fit(net, X, y, **settings)


class Guard:
    """Refuses whatever brings a number from the device to the host, while an epoch's steps are done."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.armed, self.epochs = False, 0
        for name in ("get", "item", "tolist", "__float__", "__bool__", "__int__"):
            patch.setattr(cupy.ndarray, name, self._guarded(getattr(cupy.ndarray, name), name))
        patch.setattr(cupy, "asnumpy", self._guarded(cupy.asnumpy, "asnumpy"))
        patch.setattr(TrainingLoop, "_epoch", self._during(TrainingLoop._epoch, True))
        patch.setattr(RunRecorder, "end_epoch", self._during(RunRecorder.end_epoch, False))

    def _guarded(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            assert not self.armed, f"{name}: a number went from the device to the host during an epoch"
            return function(*args, **kwargs)

        return call

    def _during(self, function: Callable[..., Any], armed: bool) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before, self.armed = self.armed, armed
            self.epochs += armed
            try:
                return function(*args, **kwargs)
            finally:
                self.armed = before

        return call


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_losses_over_100_steps_are_numpys(optimizer: str, dtype: str) -> None:
    bound = {"float32": 1e-4, "float64": 1e-10}[dtype]
    _, ours = trained("cupy", dtype, optimizer=OPTIMIZERS[optimizer])
    _, theirs = trained("numpy", dtype, optimizer=OPTIMIZERS[optimizer])
    assert ours.steps == 100
    assert np.max(np.abs(np.subtract(ours.loss, theirs.loss))) <= bound


@pytest.mark.parametrize(
    "options", [{}, {"dropout": 0.3}, {"stack": 3}, {"sampling": "replacement", "l2": 1e-3}], ids=str
)
def test_two_runs_are_bitwise_equal(options: dict[str, Any]) -> None:
    first, second = trained("cupy", "float32", **options), trained("cupy", "float32", **options)
    assert np.array_equal(first[1].loss, second[1].loss)
    assert np.array_equal(cupy.asnumpy(first[0].flat), cupy.asnumpy(second[0].flat))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_parity_passes_on_the_digits_network(dtype: str) -> None:
    sklearn = pytest.importorskip("sklearn.datasets")
    X, y = sklearn.load_digits(return_X_y=True)
    net = bpx.MLP([64, 100, 10], dtype=dtype, backend="numpy")
    report = bpx.check_parity(net, X[:200] / 16.0, y[:200], backends=["numpy", "cupy"])
    assert report.passed, str(report)
    assert all(row.ran for row in report.rows)


EPOCHS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a smaller last batch": {"batch_size": 30},
    "dropout": {"dropout": 0.25},
    "a stack": {"stack": 4},
    "weights": {"sample_weight": np.linspace(0.1, 2.0, 100)},
    "penalties, clipping": {"l2": 1e-3, "optimizer": bpx.SGD(0.05, momentum=0.9, clip_norm=0.5)},
    "a schedule": {"optimizer": bpx.Adam(bpx.schedules.Cosine(0.01, 100))},
    "full batch": {"batch_size": None},
    "online": {"batch_size": 1, "epochs": 2},
}


@pytest.mark.parametrize("kernels", ["auto", "eager", "reference"])
@pytest.mark.parametrize("name", EPOCHS)
def test_no_number_leaves_the_device_during_an_epoch(monkeypatch, name: str, kernels: str) -> None:
    monkeypatch.setenv("BPX_KERNELS", kernels)
    guard = Guard(monkeypatch)
    _, history = trained("cupy", **{"epochs": 3, **EPOCHS[name]})
    assert guard.epochs == history.epochs
    guard.armed = True
    with pytest.raises(AssertionError, match="during an epoch"):
        float(cupy.ones(()))


@pytest.mark.parametrize("name", EPOCHS)
def test_a_captured_step_gives_the_bits_of_its_kernels_and_the_formulas_numbers(monkeypatch, name: str) -> None:
    losses, flat = {}, {}
    for kernels in ("auto", "eager", "reference"):
        monkeypatch.setenv("BPX_KERNELS", kernels)
        net, history = trained("cupy", **EPOCHS[name])
        losses[kernels], flat[kernels] = np.array(history.loss), cupy.asnumpy(net.flat)
    assert np.array_equal(losses["auto"], losses["eager"])
    assert np.array_equal(flat["auto"], flat["eager"])
    assert np.max(np.abs(losses["auto"] - losses["reference"])) <= 1e-10


@pytest.mark.parametrize("name", EPOCHS)
def test_every_step_but_each_kind_s_first_is_a_graph(monkeypatch, steps: Any, name: str) -> None:
    launched, whole = [], steps.Graph.__call__

    def call(graph: Any) -> None:
        whole(graph)
        launched.append((graph, graph._launch is not None))

    monkeypatch.setattr(steps.Graph, "__call__", call)
    _, history = trained("cupy", **EPOCHS[name])
    kinds = {id(graph) for graph, _ in launched}
    assert len(launched) == history.steps
    assert sum(not captured for _, captured in launched) == len(kinds) <= 2


def test_the_device_moves_on_by_itself(monkeypatch, steps: Any) -> None:
    """The host writes the first row of an epoch, and nothing else, between launches."""
    filled: list[Any] = []
    fill, write = cupy.ndarray.fill, steps.Recorder.write

    def watched(recorder: Any, *args: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(cupy.ndarray, "fill", lambda array, value: filled.append(value) or fill(array, value))
            write(recorder, *args)

    monkeypatch.setattr(steps.Recorder, "write", watched)
    trained("cupy", epochs=4)
    assert filled == [0.01, 0, 0, 0]


@pytest.mark.parametrize("what", ["activation", "loss"])
def test_a_users_own_function_runs_in_every_step(steps: Any, what: str) -> None:
    """It may do something else each time, which a captured step would not."""
    calls: list[int] = []

    def forward(xp: Any, z: Any) -> Any:
        calls.append(1)
        return xp.tanh(z) * (1.0 + 0.01 * (len(calls) % 7))

    def squares(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        calls.append(1)
        residual = (output - target) * (1.0 + len(calls) % 7)
        return 0.5 * residual * residual, residual

    def train(backend: str) -> tuple[int, Any]:
        calls.clear()
        own = {"hidden": Activation("own", forward, lambda xp, z, a: 1.0 - a * a)}
        _, history = trained(backend, **(own if what == "activation" else {"loss": squares, "output": "identity"}))
        return len(calls), history.loss

    (ours, losses), (theirs, expected) = train("cupy"), train("numpy")
    assert ours == theirs >= 100
    assert np.max(np.abs(np.subtract(losses, expected))) <= 1e-10


def test_without_nvmath_steps_are_launched_kernel_by_kernel(monkeypatch, steps: Any) -> None:
    from bpx.kernels.cuda import products

    _, captured = trained("cupy")
    monkeypatch.setattr(products, "_cublas", lambda: None)
    graphs: list[Any] = []
    whole = steps.Graph.__init__
    monkeypatch.setattr(steps.Graph, "__init__", lambda graph, replay: graphs.append(graph) or whole(graph, replay))
    _, plain = trained("cupy")
    assert graphs
    assert all(graph._launch is None for graph in graphs)
    assert np.max(np.abs(np.subtract(captured.loss, plain.loss))) <= 1e-10


def test_where_cublas_fails_in_a_capture_steps_are_launched_kernel_by_kernel(monkeypatch, steps: Any) -> None:
    from bpx.kernels.cuda import products

    bindings, failed = products._cublas(), []

    def fails(*args: Any) -> None:
        if cupy.cuda.get_current_stream().is_capturing():
            failed.append(args)
            raise bindings.cuBLASError(14)
        bindings.gemm_ex(*args)

    _, captured = trained("cupy")
    names = {name: getattr(bindings, name) for name in ("create", "set_stream", "set_workspace", "set_math_mode")}
    monkeypatch.setattr(products, "_cublas", lambda: SimpleNamespace(gemm_ex=fails, **names))
    _, plain = trained("cupy")
    assert len(failed) == 1
    assert plain.loss == captured.loss


def test_threads_one_after_the_other_share_a_handle_of_cublas(monkeypatch) -> None:
    from bpx.kernels.cuda import products

    bindings, made = products._cublas(), []
    monkeypatch.setattr(products, "_spare", {})
    names = {name: getattr(bindings, name) for name in ("gemm_ex", "set_stream", "set_workspace", "set_math_mode")}

    def create() -> int:
        made.append(bindings.create())
        return int(made[-1])

    monkeypatch.setattr(products, "_cublas", lambda: SimpleNamespace(create=create, **names))
    losses = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: losses.append(trained("cupy", epochs=2)[1].loss))
        thread.start()
        thread.join()
    assert len(losses) == 3
    assert losses[0] == losses[1] == losses[2]
    assert len(made) == 1


def test_another_thread_makes_its_handle_when_a_capture_is_over(monkeypatch) -> None:
    from bpx.kernels.cuda import products

    bindings, threads, waited = products._cublas(), [], []

    def product(*args: Any) -> None:
        if cupy.cuda.get_current_stream().is_capturing() and not threads:
            threads.append(threading.Thread(target=products._handle, args=(bindings,)))
            threads[0].start()
            threads[0].join(0.2)
            waited.append(threads[0].is_alive())
        bindings.gemm_ex(*args)

    names = {name: getattr(bindings, name) for name in ("create", "set_stream", "set_workspace", "set_math_mode")}
    monkeypatch.setattr(products, "_spare", {})
    monkeypatch.setattr(products, "_cublas", lambda: SimpleNamespace(gemm_ex=product, **names))
    trained("cupy", epochs=2)
    threads[0].join()
    assert waited == [True]


def test_bpx_info_says_whether_a_step_is_one_launch(monkeypatch, capsys) -> None:
    from bpx.cli import main
    from bpx.kernels.cuda import products

    monkeypatch.setenv("BPX_BACKEND", "cupy")
    assert main(["info"]) == 0
    assert re.search(r"on the GPU +CUDA kernels, a step is one launch", capsys.readouterr().out)
    monkeypatch.setenv("BPX_KERNELS", "eager")
    assert main(["info"]) == 0
    assert "CUDA kernels, launched one by one; BPX_KERNELS=eager" in capsys.readouterr().out
    monkeypatch.delenv("BPX_KERNELS")
    monkeypatch.setattr(products, "_cublas", lambda: None)
    assert main(["info"]) == 0
    assert "CUDA kernels, launched one by one, for want of nvmath-python" in capsys.readouterr().out


def test_the_current_stream_is_honoured() -> None:
    with cupy.cuda.Stream(non_blocking=True) as stream:
        net, history = trained("cupy")
        stream.synchronize()
    _, expected = trained("cupy")
    assert history.loss == expected.loss
    assert net.flat.device.id == 0


def test_a_stream_s_rows_are_read_on_the_current_stream() -> None:
    X, y = blobs()
    seen = set()

    class Batches:
        def __iter__(self) -> Iterator[Any]:
            for start in range(0, 100, 20):
                seen.add((cupy.cuda.get_current_stream().ptr, threading.get_ident()))
                yield cupy.asarray(X[start : start + 20]), cupy.asarray(y[start : start + 20])

    net = bpx.MLP([12, 8, 4], backend="cupy", seed=1)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        bpx.fit(net, bpx.stream(Batches()), epochs=2, batch_size=10)
        stream.synchronize()
        assert {ptr for ptr, thread in seen if thread != threading.get_ident()} == {stream.ptr}


def test_a_window_is_filled_after_what_used_its_memory_before(monkeypatch) -> None:
    from bpx.backend.cupy_backend import CupyBackend

    after: list[Any] = []
    transfer = CupyBackend.transfer

    def watched(backend: Any, host: Any, device: Any, mark: Any = None) -> None:
        after.append(mark)
        transfer(backend, host, device, mark)

    monkeypatch.setattr(CupyBackend, "transfer", watched)
    X, y = blobs()
    net = bpx.MLP([12, 8, 4], backend="cupy", seed=1)
    bpx.fit(net, bpx.stream([(X, y)] * 4), epochs=2, batch_size=50)
    assert after
    assert None not in after


def test_a_window_that_was_left_half_way_is_filled_after_what_was_begun_with_it() -> None:
    from bpx.streams.double_buffer import DoubleBuffer, PrefetchedWindow, prefetched

    net = bpx.MLP([12, 4], backend="cupy", seed=1)
    buffer = DoubleBuffer(net.backend, 5, Data(np.zeros((1, 12)), np.zeros((1, 4))))
    at_first = list(buffer._read)

    def fill(take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        for _ in range(4):
            yield PrefetchedWindow(take(), 5, [])

    windows = prefetched(fill, buffer)
    next(windows)
    windows.close()
    assert all(event is not None for event in at_first)
    assert not {id(event) for event in buffer._read} & {id(event) for event in at_first}


@pytest.fixture
def second() -> str:
    """Another device than the current one; where work is done on the wrong one CuPy warns, which is an error here."""
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("this machine has one GPU: CuPy sees no second one")
    return "cupy:1"


def test_all_that_a_network_does_is_done_on_its_own_device(second: str, tmp_path: Any) -> None:
    X, y = blobs()
    net = bpx.MLP([12, 16, 8, 4], hidden=["tanh", "gelu"], dropout=0.1, dtype="float64", backend=second)
    with cupy.cuda.Device(1):
        there = cupy.asarray(X), cupy.asarray(y)
    for data in (X, y), there:
        bpx.fit(net, *data, epochs=2, batch_size=32, validation=data, optimizer=bpx.Adam(0.01, clip_norm=1.0), l2=1e-3)
        bpx.fit(bpx.MLP([12, 8, 4], backend=second), *data, epochs=2, optimizer="cg")
        assert net(data[0]).device.id == 1
        loss, grads = net.loss_and_grads(*data, sample_weight=np.linspace(0.5, 1.0, 100))
        assert {loss.device.id, grads.flat.device.id, net.input_gradient(*data).device.id} == {1}
        assert bpx.predict(net, data[0]).shape == (100, 4)
        bpx.fit(net, bpx.stream(*data, buffer=20_000), epochs=2, batch_size=16)
        bpx.fit(net, bpx.stream(*data), epochs=2, batch_size=16)
    net.set_params({name: value * 0.5 for name, value in bpx.MLP([12, 16, 8, 4], backend="numpy").params.items()})
    assert bpx.check_gradients(net, X[:8], y[:8]).passed
    assert bpx.check_parity(net, X, y, backends=["numpy", second]).passed
    assert bpx.trace(net, X[0], np.eye(4)[y[0]], loss="cross_entropy").layers
    net.save(tmp_path / "net.npz")
    assert bpx.load(tmp_path / "net.npz", backend=second).flat.device.id == 1
    grid = {"learning_rate": [0.01, 0.1], "l2": [0.0, 0.1]}
    table = bpx.sweep(lambda: bpx.MLP([12, 8, 4], backend=second), grid, X, y, cv=3, epochs=2, batch_size=8)
    assert table.best_net is not None
    assert cupy.cuda.runtime.getDevice() == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_all_that_an_estimator_does_is_done_on_its_own_device(second: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    X, y = blobs()
    with cupy.cuda.Device(1):
        there = cupy.asarray(X), cupy.asarray(y)
    for data in (X, y), there, (sparse.csr_matrix(X), y):
        est = bpx.MLPClassifier((8,), max_iter=3, early_stopping=True, random_state=0, backend=second).fit(*data)
        assert est.predict(data[0]).shape == (100,)
        assert est.predict_log_proba(data[0]).shape == (100, 4)
        assert 0.0 <= est.score(*data) <= 1.0
        est.set_params(early_stopping=False).partial_fit(*data)
    est = bpx.MLPClassifier((8,), max_iter=3, solver="lbfgs", backend=second).fit(X, y % 2)
    assert est.predict_proba(X).shape == (100, 2)
    est = bpx.MLPRegressor(hidden_layer_sizes=(8,), max_iter=3, n_init=3, dropout=0.1, backend=second).fit(*there)
    assert est.predict(there[0]).device.id == 1


def test_another_device_is_used_where_it_is_asked_for(second: str) -> None:
    net, history = trained(second)
    _, expected = trained("cupy:0")
    assert net.flat.device.id == 1
    assert net.backend.name == "cupy:1"
    assert cupy.cuda.runtime.getDevice() == 0
    assert history.loss == expected.loss
    assert net(blobs()[0]).device.id == 1
    with pytest.raises(bpx.DeviceMismatchError, match=r"net\.to"):
        net(cupy.asarray(blobs()[0]))


def counted(batch_size: int, epochs: int, **options: Any) -> Counter[str]:
    """What the imitation of CUDA counts of that many epochs more than of the first three."""
    trained("cupy", epochs=1, batch_size=batch_size, **options)  # what a process does once is not counted
    short, long = (
        counted_fit(lambda n=n: trained("cupy", epochs=n, batch_size=batch_size, **options)) for n in (3, 3 + epochs)
    )
    return long - short


def counted_fit(work: Callable[[], Any]) -> Counter[str]:
    """What it counts of `work`."""
    with counting.counted() as seen:
        work()
    return seen


@pytest.mark.parametrize("options", [{}, {"dropout": 0.25}, {"stack": 3}, {"precision": "float16"}], ids=str)
def test_a_step_is_one_launch(options: dict[str, Any]) -> None:
    """Five epochs of 100 steps launch 450 graphs more than five of 10, and nothing else more often."""
    if not counting.imitated():
        pytest.skip("launches are counted by the imitation of CUDA: a GPU does not apply")
    dtype = {"dtype": "float32"} if "precision" in options else {}
    few, many = (counted(size, 5, **dtype, **options) for size in (10, 1))
    assert (few["graph.launched"], many["graph.launched"]) == (50, 500)
    for name in ("kernel.launched", "product.launched", "memset.launched"):
        assert few[name] == many[name], name
    for name in ("copy_to_device.launched", "copy_to_host.launched", "copy_on_device.launched", "allocations"):
        assert few[name] == many[name], name


PRECISIONS = [("tf32", 1e-2), ("float16", 2e-2), ("bfloat16", 1e-1)]


@pytest.mark.parametrize(("precision", "bound"), PRECISIONS)
@pytest.mark.parametrize("options", [{}, {"dropout": 0.25}, {"stack": 2}, {"hidden": "gelu"}], ids=str)
def test_a_lower_precision_is_captured_and_near_true_float32(
    monkeypatch, steps: Any, options: dict[str, Any], precision: str, bound: float
) -> None:
    graphs: list[Any] = []
    whole = steps.Graph.__init__
    monkeypatch.setattr(steps.Graph, "__init__", lambda graph, replay: graphs.append(graph) or whole(graph, replay))
    net, lower = trained("cupy", "float32", precision=precision, **options)
    assert [graph._launch is not None for graph in graphs] == [True]
    assert net.flat.dtype == np.float32
    _, true = trained("cupy", "float32", **options)
    assert np.max(np.abs(np.subtract(lower.loss, true.loss))) <= bound
    assert not np.array_equal(lower.loss, true.loss) or precision == "tf32"


@pytest.mark.parametrize(("precision", "bound"), PRECISIONS[1:])
def test_kernels_of_16_bits_give_the_formulas_numbers(monkeypatch, precision: str, bound: float) -> None:
    _, fused = trained("cupy", "float32", precision=precision)
    monkeypatch.setenv("BPX_KERNELS", "reference")
    _, formulas = trained("cupy", "float32", precision=precision)
    _, numpys = trained("numpy", "float32", precision=precision)
    assert np.max(np.abs(np.subtract(fused.loss, formulas.loss))) <= bound / 4
    assert np.max(np.abs(np.subtract(formulas.loss, numpys.loss))) <= bound / 4


@pytest.mark.parametrize(("precision", "expected"), [(None, False), ("tf32", True)])
def test_tf32_is_used_where_it_is_asked_for_and_the_process_gets_its_setting_back(
    monkeypatch, precision: str | None, expected: bool
) -> None:
    from cupy._core import _routines_linalg as linalg

    from bpx.kernels.cuda import products

    seen: set[bool] = set()
    whole = products._multiply

    def multiply(a: Any, b: Any, out: Any, tf32: bool) -> None:
        seen.add(tf32)
        whole(a, b, out, tf32)

    monkeypatch.setattr(products, "_multiply", multiply)
    before = linalg.get_compute_type(np.float32)
    for process in (linalg.COMPUTE_TYPE_DEFAULT, linalg.COMPUTE_TYPE_TF32):
        linalg.set_compute_type(np.float32, process)
        try:
            seen.clear()
            trained("cupy", "float32", precision=precision, epochs=2)
            assert seen == {expected}
            assert linalg.get_compute_type(np.float32) == process
        finally:
            linalg.set_compute_type(np.float32, before)


@pytest.fixture
def small_pool() -> Any:
    """CuPy's pool, which lets a test set what it may hold; the pool is emptied before and after."""
    pool = cupy.get_default_memory_pool()
    bpx.free_memory()
    yield pool
    pool.set_limit(size=0)
    bpx.free_memory()


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_out_of_memory_in_a_step_leaves_the_parameters_and_says_what_to_do(
    monkeypatch, small_pool: Any, kernels: str
) -> None:
    monkeypatch.setenv("BPX_KERNELS", kernels)
    X, y = blobs(4000, 64)
    net = bpx.MLP([64, 512, 512, 4], backend="cupy")
    bpx.fit(net, X, y, epochs=1, batch_size=100)
    before = cupy.asnumpy(net.flat)
    small_pool.set_limit(size=small_pool.used_bytes() + 30 * 2**20)
    with pytest.raises(
        MemoryError, match=r"a batch of 4000 rows x 64 features needs about .* free.*batch_size="
    ) as caught:
        bpx.fit(net, X, y, epochs=1, batch_size=None)
    assert "free_memory" in str(caught.value)
    assert np.array_equal(cupy.asnumpy(net.flat), before)
    small_pool.set_limit(size=0)
    assert bpx.fit(net, X, y, epochs=1, batch_size=100).steps == 40


def test_predict_halves_its_chunk_and_goes_on(small_pool: Any, caplog) -> None:
    X, _ = blobs(20_000, 64)
    net = bpx.MLP([64, 256, 4], backend="cupy", dtype="float64")
    expected = cupy.asnumpy(net(X))
    bpx.free_memory()
    device = cupy.asarray(X)
    small_pool.set_limit(size=small_pool.used_bytes() + 4 * 2**20)
    with caplog.at_level("INFO", logger="bpx"):
        answer = cupy.asnumpy(net(device))
    assert np.max(np.abs(answer - expected)) <= 1e-12
    assert sum("went on with" in record.message for record in caplog.records) == 1


def test_free_memory_gives_back_what_the_pool_holds(small_pool: Any) -> None:
    kept = cupy.ones(2**20)
    cupy.ones(2**22)
    free = small_pool.free_bytes()
    given_back = bpx.free_memory()
    assert given_back >= 2**25
    assert small_pool.used_bytes() >= kept.nbytes
    assert small_pool.free_bytes() == free - given_back


def test_estimators_give_cupy_arrays_for_cupy_arrays() -> None:
    X, y = blobs()
    short = {"hidden_layer_sizes": (16,), "random_state": 0, "max_iter": 200, "tol": 1e-2, "n_iter_no_change": 2}
    host = bpx.MLPClassifier(**short, backend="cupy").fit(X, y)
    device = bpx.MLPClassifier(**short, backend="cupy").fit(cupy.asarray(X), cupy.asarray(y))
    assert isinstance(host.predict_proba(X), np.ndarray)
    answer = device.predict_proba(cupy.asarray(X))
    assert isinstance(answer, cupy.ndarray)
    assert np.array_equal(cupy.asnumpy(answer), host.predict_proba(X))
    assert isinstance(device.predict(cupy.asarray(X)), cupy.ndarray)


def test_threads_with_other_precisions_leave_each_other_and_the_process_alone() -> None:
    from cupy._core import _routines_linalg as linalg

    before = linalg.get_compute_type(np.float32)
    expected = {name: trained("cupy", "float32", precision=name)[1].loss for name in (None, "tf32")}
    found: list[tuple[str | None, Any]] = []

    def work(name: str | None) -> None:
        with cupy.cuda.Stream(non_blocking=True):
            found.extend((name, trained("cupy", "float32", precision=name)[1].loss) for _ in range(3))

    threads = [threading.Thread(target=work, args=(name,)) for name in (None, "tf32")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(loss == expected[name] for name, loss in found)
    assert linalg.get_compute_type(np.float32) == before


@pytest.mark.parametrize("what", ["forward", "loss_and_grads", "predict"])
def test_float32_is_true_whatever_the_process_has_set(what: str) -> None:
    from cupy._core import _routines_linalg as linalg

    X, y = blobs(200, 64)
    host, device = (bpx.MLP([64, 128, 4], backend=name) for name in ("numpy", "cupy"))

    def answer(net: bpx.MLP) -> Any:
        if what == "predict":
            return bpx.predict(net, X)
        return net.backend.to_host(net(X) if what == "forward" else net.loss_and_grads(X, y)[1].flat)

    before = linalg.get_compute_type(np.float32)
    linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32)
    try:
        assert np.max(np.abs(answer(device) - answer(host))) <= 2e-6
        assert linalg.get_compute_type(np.float32) == linalg.COMPUTE_TYPE_TF32
    finally:
        linalg.set_compute_type(np.float32, before)


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_the_benchmarks_floor_launches_products_alone(monkeypatch, lead: tuple[int, ...], precision: str) -> None:
    if not counting.imitated():
        pytest.skip("launches are counted by the imitation of CUDA: a GPU does not apply")
    monkeypatch.syspath_prepend(str(Path(bpx.__file__).parents[1] / "benchmarks"))
    from contenders.gpu_products import product_of

    multiply = product_of(cupy, precision)
    rng = np.random.default_rng(0)
    a, g = (cupy.asarray(rng.normal(size=(*lead, 8, n)).astype(np.float32)) for n in (5, 6))
    out = cupy.empty((*lead, 5, 6), dtype=np.float32)
    multiply(a.swapaxes(-1, -2), g, out)
    with counting.counted() as seen:
        multiply(a.swapaxes(-1, -2), g, out)
    assert (seen["product.launched"], seen["kernel.launched"], seen["copy_on_device.launched"]) == (1, 0, 0)
    expected = np.matmul(cupy.asnumpy(a).swapaxes(-1, -2), cupy.asnumpy(g))
    np.testing.assert_allclose(cupy.asnumpy(out), expected, rtol=0, atol=1e-2 if precision == "tf32" else 1e-5)

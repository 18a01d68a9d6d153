"""Which backend is meant, what a backend does with arrays, and why one cannot be used."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace

import array_api_compat.numpy
import array_api_strict as strict
import numpy as np
import pytest

import bpx
from bpx.backend import cupy_backend, select
from bpx.backend.numpy_backend import NumpyBackend
from bpx.errors import how_to_install

DEVICE_1, DEVICE_2 = strict.Device("device1"), strict.Device("device2")
KNOWN = ("auto", "numpy", "cupy", "cupy:1", "torch", "torch:cuda")


@pytest.fixture
def fresh():
    """A process that has probed nothing yet, as a MonkeyPatch that is undone before the other fixtures' end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BPX_BACKEND")
        for name, empty in (("_probed", {}), ("_environment", {}), ("_auto", [])):
            patch.setattr(select, name, empty)
        yield patch


@pytest.fixture
def no_cupy(fresh):
    """The same, where CuPy is not installed."""
    fresh.setitem(sys.modules, "cupy", None)
    return fresh


def working_cupy():
    """A backend that stands in for a GPU's."""
    backend = NumpyBackend()
    backend.name = "cupy"
    return backend


def in_threads(*works):
    """Run each function in a thread of its own."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------------- which backend is meant


def test_numpy_is_numpy():
    backend = bpx.get_backend("numpy")
    assert (backend.name, backend.xp, backend.device) == ("numpy", np, "cpu")
    assert bpx.MLP([2, 2], backend="numpy").backend is backend


@pytest.mark.parametrize("name", ["gpu", "NumPy", "", "cupy:", "cupy:x", "cupy:-1", "torch:", "numpy:0", "jax"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=f"unknown backend '{name}'") as caught:
        bpx.get_backend(name)
    assert all(known in str(caught.value) for known in KNOWN)


@pytest.mark.parametrize("thing", [3, math, object()])
def test_what_is_neither_a_name_nor_a_namespace_is_refused(thing):
    with pytest.raises(ValueError, match=r"expected a backend's name .* or an array API module, got"):
        bpx.get_backend(thing)


@pytest.mark.parametrize("highest", range(5))
def test_argument_beats_use_backend_beats_set_backend_beats_environment_beats_auto(fresh, highest):
    fresh.setattr(cupy_backend, "probe", lambda index: (working_cupy(), "1", ""))
    levels = [bpx.get_backend(strict, device=d) for d in (DEVICE_2, DEVICE_1, None)]
    expected = [*(level.name for level in levels), "numpy", "cupy"][highest]
    if highest <= 3:
        fresh.setenv("BPX_BACKEND", "numpy")
    if highest <= 2:
        bpx.set_backend(levels[2])
    with bpx.use_backend(levels[1]) if highest <= 1 else nullcontext():
        argument = levels[0] if highest == 0 else None
        assert bpx.get_backend(argument).name == expected
        assert bpx.MLP([2, 2], backend=argument).backend.name == expected


def test_use_backend_nests_and_is_undone_by_an_exception():
    before = bpx.get_backend()
    with bpx.use_backend(strict, device=DEVICE_1) as outer:
        with suppress(ZeroDivisionError), bpx.use_backend("numpy") as inner:
            assert bpx.get_backend() is inner is bpx.get_backend("numpy")
            raise ZeroDivisionError
        assert bpx.get_backend() is outer
    assert bpx.get_backend() == before


def test_set_backend_returns_what_it_sets_and_none_takes_it_back():
    before = bpx.get_backend()
    assert bpx.set_backend(strict, device=DEVICE_1) is bpx.get_backend()
    assert bpx.set_backend(None) == bpx.get_backend() == before


def test_use_backend_holds_in_its_own_thread_only():
    bpx.set_backend("numpy")
    inside, seen = threading.Barrier(2), {}

    def work(device):
        with bpx.use_backend(strict, device=device):
            inside.wait(timeout=30)  # both threads are inside their own block now
            seen[device] = bpx.MLP([2, 2]).backend.device

    in_threads(lambda: work(DEVICE_1), lambda: work(DEVICE_2))
    assert seen == {DEVICE_1: DEVICE_1, DEVICE_2: DEVICE_2}
    assert bpx.get_backend().name == "numpy"


def test_use_backend_holds_in_its_own_asynchronous_task_only():
    bpx.set_backend("numpy")

    async def work(inside, device):
        with bpx.use_backend(strict, device=device):
            await inside.wait()
            return bpx.get_backend().device

    async def main():
        inside = asyncio.Barrier(2)
        devices = await asyncio.gather(work(inside, DEVICE_1), work(inside, DEVICE_2))
        return devices, bpx.get_backend().name

    assert asyncio.run(main()) == ([DEVICE_1, DEVICE_2], "numpy")


# ---------------------------------------------------------------------- the probe


@pytest.fixture
def probes(fresh):
    """The GPU numbers that were probed, by a prober that finds none."""
    calls = []
    fresh.setattr(cupy_backend, "probe", lambda index: calls.append(index) or (None, "1", "no GPU in this test"))
    return calls


def test_a_probe_runs_when_first_needed_and_only_once(probes):
    bpx.MLP([2, 2], backend="numpy")(np.ones((1, 2)))
    bpx.get_backend(strict)
    assert probes == []
    for _ in range(3):
        assert bpx.get_backend().name == bpx.get_backend("auto").name == "numpy"
        bpx.backends()
        with pytest.warns(bpx.BackendFallbackWarning):
            bpx.get_backend("cupy")
    assert probes == [0]
    with pytest.warns(bpx.BackendFallbackWarning):
        bpx.get_backend("cupy:1")
    assert probes == [0, 1]


def test_threads_that_ask_at_once_share_one_probe(probes):
    start = threading.Barrier(8)
    in_threads(*[lambda: (start.wait(timeout=30), bpx.get_backend())] * 8)
    assert probes == [0]


def test_auto_says_once_in_the_log_what_it_is_and_why(no_cupy, caplog):
    caplog.set_level(logging.INFO, logger="bpx")
    assert bpx.get_backend("auto") is bpx.get_backend() is bpx.get_backend("numpy")
    assert len(caplog.records) == 1
    assert "'auto' is numpy (CuPy is not installed" in caplog.text


def test_auto_is_cupy_where_it_works(fresh):
    fresh.setattr(cupy_backend, "probe", lambda index: (working_cupy(), "1", ""))
    assert bpx.get_backend("auto").name == bpx.MLP([2, 2]).backend.name == "cupy"


# ---------------------------------------------------------------------- fallback and strictness

ON_NUMPY = bpx.MLP([2, 2], backend="numpy")
CALLS = {
    "MLP": lambda stack: bpx.MLP([2, 2], backend="cupy"),
    "get_backend": lambda stack: bpx.get_backend("cupy"),
    "set_backend": lambda stack: bpx.set_backend("cupy"),
    "use_backend": lambda stack: stack.enter_context(bpx.use_backend("cupy")),
    "to": lambda stack: ON_NUMPY.to("cupy"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_fallback_warns_at_the_callers_line_and_names_the_extra(no_cupy, call):
    with ExitStack() as stack, pytest.warns(bpx.BackendFallbackWarning) as caught:
        result = call(stack)
    (warning,) = caught
    assert (warning.filename, warning.lineno) == (__file__, call.__code__.co_firstlineno)
    assert "backend 'cupy' cannot be used, NumPy takes its place" in str(warning.message)
    assert how_to_install("cuda12", "cupy-cuda12x") in str(warning.message)
    assert how_to_install("cuda13", "cupy-cuda13x") in str(warning.message)
    assert getattr(result, "backend", result).name == "numpy"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_where_strict_it_raises_with_the_reason_that_backends_gives(no_cupy, call):
    no_cupy.setenv("BPX_BACKEND_STRICT", "1")
    with ExitStack() as stack, pytest.raises(bpx.BackendUnavailableError) as caught:
        call(stack)
    assert str(caught.value) == f"backend 'cupy' cannot be used: {bpx.backends()[1].reason}"


@pytest.mark.parametrize("choose", [bpx.get_backend, bpx.set_backend, bpx.use_backend])
def test_strictness_may_be_an_argument(no_cupy, choose):
    with pytest.raises(bpx.BackendUnavailableError, match="CuPy is not installed"):
        choose("cupy", strict=True)


@pytest.mark.parametrize("off", ["", "0", "false", "no"])
def test_strictness_that_is_off_falls_back(no_cupy, off):
    no_cupy.setenv("BPX_BACKEND_STRICT", off)
    with pytest.warns(bpx.BackendFallbackWarning):
        assert bpx.get_backend("cupy").name == "numpy"
    no_cupy.setenv("BPX_BACKEND_STRICT", "1")
    with pytest.warns(bpx.BackendFallbackWarning):
        assert bpx.get_backend("cupy", strict=False).name == "numpy"


def test_the_environments_backend_warns_once_and_raises_where_strict(no_cupy):
    no_cupy.setenv("BPX_BACKEND", "cupy")
    with pytest.warns(bpx.BackendFallbackWarning, match="CuPy is not installed") as caught:
        assert [bpx.MLP([2, 2]).backend.name for _ in range(3)] == ["numpy"] * 3
    assert len(caught) == 1
    with pytest.raises(bpx.BackendUnavailableError, match="CuPy is not installed"):
        bpx.get_backend(strict=True)
    no_cupy.setenv("BPX_BACKEND_STRICT", "1")
    with pytest.raises(bpx.BackendUnavailableError, match="CuPy is not installed"):
        bpx.MLP([2, 2])


def test_an_unknown_name_in_the_environment_is_refused(fresh):
    fresh.setenv("BPX_BACKEND", "gpu")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        bpx.MLP([2, 2])


# ---------------------------------------------------------------------- why CuPy cannot be used


def fake_cupy(count=lambda: 1, kernel=lambda x: x + x, matmul=np.matmul):
    """A module with as much of CuPy as the smoke test touches."""
    cupy = ModuleType("cupy")
    cupy.__version__ = "14.0.0"
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count), Device=nullcontext)
    cupy.ElementwiseKernel = lambda *source: kernel
    cupy.ones, cupy.matmul, cupy.float32 = np.ones, matmul, np.float32
    return cupy


def fails(error):
    """A function that raises that error."""

    def function(*args):
        raise error

    return function


NO_DRIVER = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
PROBLEMS = {
    "no driver": (fake_cupy(count=fails(NO_DRIVER)), "cupy", ["NVIDIA driver", str(NO_DRIVER)]),
    "no GPU": (fake_cupy(count=lambda: 0), "cupy", ["sees 0 GPU(s)"]),
    "no such GPU": (fake_cupy(count=lambda: 2), "cupy:2", ["sees 2 GPU(s)", "there is no GPU 2"]),
    "no compiler": (fake_cupy(kernel=fails(RuntimeError("libnvrtc.so.12"))), "cupy", ["kernel", "libnvrtc.so.12"]),
    "no cuBLAS": (fake_cupy(matmul=fails(ImportError("libcublas.so.12"))), "cupy", ["product", "libcublas.so.12"]),
    "wrong product": (fake_cupy(matmul=lambda a, b: a), "cupy", ["computes a wrong product on GPU 0"]),
}
IMPORTS = {
    "odd error": ("raise OSError('libcuda.so.1 is truncated')", "OSError: libcuda.so.1 is truncated"),
    "broken build": ("raise ImportError('Failed to import CuPy.')", "Failed to import CuPy."),
    "missing part": ("import no_such_part_of_cupy", "No module named 'no_such_part_of_cupy'"),
}


def assert_unusable(name, words):
    """Falls back with a warning, raises where strict, both with one reason that has all the words; returns it."""
    with pytest.warns(bpx.BackendFallbackWarning) as caught:
        assert bpx.MLP([2, 2], backend=name).backend.name == "numpy"
    with pytest.raises(bpx.BackendUnavailableError) as raised:
        bpx.get_backend(name, strict=True)
    reason = str(raised.value).removeprefix(f"backend '{name}' cannot be used: ")
    assert str(caught[0].message).endswith(reason)
    assert all(word in reason for word in words), reason
    return reason


@pytest.mark.parametrize(("cupy", "name", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_the_reason_says_which_part_of_cupy_does_not_work(fresh, cupy, name, words):
    fresh.setitem(sys.modules, "cupy", cupy)
    reason = assert_unusable(name, ["CuPy 14.0.0", *words])
    assert name != "cupy" or bpx.backends()[1].reason == reason


@pytest.mark.parametrize(("source", "words"), IMPORTS.values(), ids=IMPORTS)
def test_a_cupy_that_does_not_import_is_told_from_one_that_is_not_installed(fresh, tmp_path, source, words):
    (tmp_path / "cupy.py").write_text(source)
    fresh.delitem(sys.modules, "cupy", raising=False)
    fresh.syspath_prepend(tmp_path)
    reason = assert_unusable("cupy", ["CuPy is installed but does not import", words])
    assert "is not installed" not in reason


def test_an_installed_cupy_without_a_gpu_falls_back_with_one_warning_that_names_the_driver():
    # That interpreter has CuPy, NumPy and array-api-compat. A skip's reason does not name CuPy, so that no run that may
    # lack CuPy may lack this test too.
    python = os.environ.get("BPX_CUPY_PYTHON")
    if not python:
        pytest.skip("the environment variable BPX_CUPY_PYTHON names no Python interpreter")
    script = """if True:
        import json, sys, warnings
        import bpx
        at_import = "cupy" in sys.modules
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net = bpx.MLP([2, 2], backend="cupy")
            output = net([[0.0, 1.0]]).shape
        said = [[type(w.message).__name__, str(w.message), w.filename] for w in caught]
        print(json.dumps([at_import, "cupy" in sys.modules, net.backend.name, output, said]))
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BPX_")}
    # A GPU that may be there is hidden.
    environment |= {"PYTHONPATH": str(Path(bpx.__file__).parents[1]), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([python, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    at_import, after, name, output, said = json.loads(done.stdout)
    assert (at_import, after, name, output) == (False, True, "numpy", [1, 2])
    ((category, message, filename),) = said
    assert (category, filename) == ("BackendFallbackWarning", "<string>")
    assert "finds no usable NVIDIA driver" in message


def test_backends_gives_the_status_of_each_and_prints_as_a_table(no_cupy):
    table = bpx.backends()
    assert [status.name for status in table] == ["numpy", "cupy", "torch", "torch:cuda"]
    numpy, cupy, *_ = table
    assert (numpy.available, numpy.device, numpy.version, numpy.reason) == (True, "cpu", np.__version__, "")
    assert (cupy.available, cupy.device, cupy.version) == (False, "", "")
    assert how_to_install("cuda12", "cupy-cuda12x") in cupy.reason
    for status in table:
        assert status.available == (status.reason == "") == (status.device != "")
    assert repr(table) == str(table)  # as a notebook and a prompt show it
    head, *rows = str(table).splitlines()
    assert head.split() == ["backend", "works", "device", "version", "reason"]
    assert len(rows) == 4
    for row, status in zip(rows, table, strict=True):
        assert row.split()[:2] == [status.name, "yes" if status.available else "no"]
        assert row.endswith(" ".join(status.reason.split()) or status.version)


# ---------------------------------------------------------------------- namespaces


def test_a_namespace_module_is_a_backend_on_its_default_device_or_another():
    home, away = bpx.get_backend(strict), bpx.get_backend(strict, device=DEVICE_1)
    assert (home.name, home.xp, home.device) == ("array_api_strict", strict, strict.Device("CPU_DEVICE"))
    assert (away.name, away.device) == ("array_api_strict", DEVICE_1)
    assert home != away == bpx.get_backend(strict, device=DEVICE_1)
    net = bpx.MLP([2, 3, 2], backend=away)
    assert net.backend is away
    assert net.flat.device == net([[0.0, 1.0]]).device == DEVICE_1


@pytest.mark.parametrize("module", [np, array_api_compat.numpy])
def test_numpys_own_modules_mean_the_numpy_backend(module):
    assert bpx.get_backend(module) is bpx.get_backend("numpy")


@pytest.mark.parametrize(
    ("backend", "hint"), [("numpy", "'cupy:1'"), (np, "'cupy:1'"), (ON_NUMPY.backend, "namespace")]
)
def test_a_device_goes_with_a_namespace_only(backend, hint):
    with pytest.raises(ValueError, match="device='cpu'") as caught:
        bpx.get_backend(backend, device="cpu")
    assert hint in str(caught.value)


def immutable(**functions):
    """A namespace whose arrays cannot be written through a view."""
    xp = ModuleType("granite")
    xp.__array_namespace_info__ = np.__array_namespace_info__
    xp.float32, xp.sum = np.float32, np.sum
    xp.zeros = lambda shape, dtype, device: functions.get("zeros", np.zeros)(shape, dtype)
    xp.reshape = functions.get("reshape", np.reshape)
    return xp


def frozen(shape, dtype):
    """Zeros that refuse to be written."""
    x = np.zeros(shape, dtype)
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("xp", "words"),
    [
        (immutable(zeros=frozen), "arrays of 'granite' cannot be written through a reshaped view"),
        (immutable(reshape=lambda x, shape, copy: np.array(x).reshape(shape)), "does not change the array"),
    ],
    ids=["refuses", "copies"],
)
def test_a_namespace_whose_views_cannot_be_written_is_refused(xp, words):
    with pytest.raises(bpx.BackendUnavailableError, match=words) as caught:
        bpx.MLP([2, 2], backend=xp)
    assert "one flat vector" in str(caught.value)


# ---------------------------------------------------------------------- arrays

DTYPES = ("bool", "int8", "int64", "uint8", "float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (2, 3)])
def test_arrays_come_back_from_the_device_as_they_went(lib, dtype, shape):
    host = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    there = lib.asarray(host)
    assert there.device == lib.device or lib.name == "numpy"
    assert lib.asarray(there) is there
    back = lib.to_host(there)
    assert type(back) is np.ndarray
    for got, expected in ((back, host), (lib.to_host(lib.asarray(there, "float32")), host.astype("float32"))):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("change", [lambda x: x.T, lambda x: x[:, ::-1], lambda x: x.astype(">f8")])
def test_host_arrays_may_have_any_layout(lib, change):
    host = change(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(lib.to_host(lib.asarray(host, "float64")), host)
    net = bpx.MLP([host.shape[1], 2], backend=lib, dtype="float64")
    np.testing.assert_array_equal(lib.to_host(net(host)), lib.to_host(net(host.tolist())))


def test_a_networks_parameters_never_share_memory_with_what_they_were_set_from(lib):
    net = bpx.MLP([2, 2], backend=lib, dtype="float64")
    W = np.ones((2, 2))
    net.set_params({"0.W": W})
    W[...] = 7.0
    lib.synchronize()
    assert lib.to_host(net.params["0.W"]).tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.fixture
def cupy_on_paper():
    """A CuPy backend with a stand-in for its library: one GPU, that two ranks share."""
    backend = object.__new__(cupy_backend.CupyBackend)
    runtime = SimpleNamespace(deviceGetPCIBusId=lambda index: "0000:01:00.0")
    backend._cupy, backend._index = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)), 0
    return backend


def test_ranks_that_share_a_gpu_are_summed_on_the_host_without_mpi4py(cupy_on_paper, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    ranks = SimpleNamespace(allgather=lambda mine: [mine, mine])
    assert cupy_on_paper.summer(ranks, "here") is None


def test_a_wait_for_the_device_keeps_another_threads_captures_out(cupy_on_paper):
    got = []

    def synchronize():
        other = threading.Thread(target=lambda: got.append(cupy_backend.ALONE.acquire(blocking=False)))
        other.start()
        other.join()

    cupy_on_paper.device = SimpleNamespace(synchronize=synchronize)
    cupy_on_paper.synchronize()
    assert got == [False]
    assert cupy_backend.ALONE.acquire(blocking=False)
    cupy_backend.ALONE.release()

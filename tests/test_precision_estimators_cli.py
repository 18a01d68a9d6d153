"""``precision`` in estimators, sweeps and the command: passed on, kept, refused where it makes no sense."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from commands import as_json, network_of, passengers, refused
from sklearn.base import clone

import bpx

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PRECISIONS = ("tf32", "float16", "bfloat16")

rng = np.random.default_rng(3)
X = rng.normal(size=(90, 4))
CLASSES = np.argmax(X[:, :3], axis=1)
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 6, "random_state": 0, "learning_rate_init": 0.01, "backend": "numpy",
         "dtype": "float32", "batch_size": 30}  # fmt: skip
# A regression whose first gradients overflow float16.
FAR = 3000.0 + 10.0 * X[:, 0]


def weights(est):
    return np.concatenate([np.ravel(part) for part in (*est.coefs_, *est.intercepts_)])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("more", [{}, {"n_init": 2}, {"early_stopping": True}, {"solver": "sgd", "dropout": 0.2}])
def test_an_estimator_learns_as_in_float32(precision, more):
    fits = [bpx.MLPClassifier(**SMALL | more, precision=given).fit(X, CLASSES) for given in (None, precision)]
    np.testing.assert_allclose(fits[1].loss_curve_, fits[0].loss_curve_, rtol=2e-2)
    assert (precision == "tf32") == np.array_equal(weights(fits[0]), weights(fits[1]))
    assert weights(fits[1]).dtype == np.float32
    np.testing.assert_allclose(fits[1].predict_proba(X), fits[0].predict_proba(X), atol=0.02)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_parameter_is_cloned_saved_and_logged(precision, tmp_path):
    est = clone(bpx.MLPRegressor(**SMALL, precision=precision)).fit(X, X[:, 0])
    assert est.get_params()["precision"] == precision
    path = tmp_path / "model.npz"
    est.save(path)
    loaded = bpx.MLPRegressor.load(path)
    assert loaded.precision == precision
    np.testing.assert_array_equal(loaded.predict(X), est.predict(X))


@pytest.mark.parametrize("how", ["at once", "pickled", "saved"])
def test_partial_fit_goes_on_with_the_scale_that_it_had(how, tmp_path):
    """Five steps of the first passes overflow; a scale that began anew would skip five of each."""
    est = bpx.MLPRegressor(**SMALL, precision="float16")
    moved = []
    for _ in range(4):
        before = weights(est) if hasattr(est, "coefs_") else None
        est.partial_fit(X, FAR)
        moved.append(before is None or not np.array_equal(weights(est), before))
        if how == "pickled":
            est = pickle.loads(pickle.dumps(est))
        elif how == "saved":
            est.save(tmp_path / "model.npz")
            est = bpx.MLPRegressor.load(tmp_path / "model.npz")
    assert moved[2:] == [True, True]
    scaling = est._resume["scaling"]
    assert scaling["scale"] < 2.0**13
    assert scaling["number"] == scaling["good"] + 1.0 == 12 - np.log2(2.0**16 / scaling["scale"]) + 1


def test_a_failed_pass_leaves_the_scale_as_it_was():
    est = bpx.MLPRegressor(**SMALL, precision="float16").partial_fit(X, FAR)
    before = dict(est._resume["scaling"])
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        est.partial_fit(1e7 * X, FAR)
    assert est._resume["scaling"] == before
    est.partial_fit(X, FAR)
    assert est._resume["scaling"] != before


def test_what_an_estimator_cannot_do_is_refused_and_leaves_it_as_it_was():
    with pytest.raises(ValueError, match="dtype='float32'"):  # the data's dtype is the network's
        bpx.MLPClassifier(backend="numpy", precision="float16").fit(X, CLASSES)
    with pytest.raises(ValueError, match="SciPy's methods need true gradients"):
        bpx.MLPClassifier(**SMALL | {"solver": "lbfgs"}, precision="tf32").fit(X, CLASSES)
    with pytest.raises(ValueError, match="'precision' parameter"):
        bpx.MLPClassifier(**SMALL, precision="half").fit(X, CLASSES)
    est = bpx.MLPClassifier(**SMALL).fit(X, CLASSES)
    before = weights(est).copy()
    with pytest.raises(ValueError, match="dtype='float32'"):
        est.set_params(precision="float16", dtype="float64").fit(X, CLASSES)
    np.testing.assert_array_equal(weights(est), before)


# ---------------------------------------------------------------------- sweeps


def make(seed=0, width=6, dtype="float32"):
    return bpx.MLP([4, width, 3], hidden="tanh", seed=seed, dtype=dtype, backend="numpy")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_sweep_trains_each_setting_in_that_precision(precision):
    """Its table is that of fits one by one, and its best network too."""
    options = {"epochs": 4, "batch_size": 15, "scoring": "neg_loss"}
    held_out = X[60:], CLASSES[60:]
    table = bpx.sweep(make, {"learning_rate": [1e-3, 1e-2], "seed": [0, 1], "precision": [None, precision]}, X[:60],
                      CLASSES[:60], validation=held_out, **options)  # fmt: skip
    for row in table.rows:
        net = make(row["seed"])
        bpx.fit(net, X[:60], CLASSES[:60], epochs=4, batch_size=15, precision=row["precision"],
                optimizer=bpx.Adam(row["learning_rate"]))  # fmt: skip
        loss, _ = net.loss_and_grads(*held_out)
        assert row["score"] == pytest.approx(-float(loss), rel=1e-3)
    scores = {(row["learning_rate"], row["seed"], row["precision"]): row["score"] for row in table.rows}
    for rate, seed, given in scores:
        if given is not None:
            assert (scores[rate, seed, given] == scores[rate, seed, None]) == (precision == "tf32")


def test_the_best_of_a_sweep_is_trained_in_its_precision(tmp_path):
    def fitted(precision):
        table = bpx.sweep(make, {"seed": [0]}, X, CLASSES, cv=2, epochs=3, precision=precision)
        return table.best_net.flat

    alone = make()
    bpx.fit(alone, X, CLASSES, epochs=3, precision="float16")
    np.testing.assert_array_equal(fitted("float16"), alone.flat)
    assert not np.array_equal(fitted(None), alone.flat)


def test_a_sweep_refuses_a_precision_before_anything_is_trained():
    with pytest.raises(ValueError, match="for networks of float32"):
        bpx.sweep(make, {"dtype": ["float32", "float64"]}, X, CLASSES, cv=2, precision="float16")
    with pytest.raises(ValueError, match="SciPy's methods need true gradients"):
        bpx.sweep(make, {"optimizer": ["adam", "cg"]}, X, CLASSES, cv=2, precision="tf32")
    with pytest.raises(ValueError, match="unknown precision"):
        bpx.sweep(make, {"precision": ["float8"]}, X, CLASSES, cv=2)


def test_a_sweep_of_an_estimator_trains_stacks_in_its_precision():
    est = bpx.MLPClassifier(**SMALL)
    grid = {"alpha": [1e-4, 1e-1], "precision": [None, "float16"]}
    table = bpx.sweep(est, grid, X, CLASSES, cv=2, refit=False, scoring="neg_log_loss")
    scores = {(row["alpha"], row["precision"]): row["score"] for row in table.rows}
    assert len(scores) == 4
    for alpha in grid["alpha"]:
        assert scores[alpha, None] == pytest.approx(scores[alpha, "float16"], rel=1e-2)
        assert scores[alpha, None] != scores[alpha, "float16"]


# ---------------------------------------------------------------------- the command


def test_the_command_trains_in_that_precision(tmp_path, capsys):
    path, models = passengers(tmp_path), {}
    for given in ((), ("--precision", "bfloat16"), ("--precision", "tf32")):
        out = tmp_path / "model.npz"
        facts = as_json(capsys, "train", path, "--target", "survived", "--drop", "id", "--epochs", "3", "--quiet",
                       "--backend", "numpy", "--out", out, *given)  # fmt: skip
        models[given[1:]] = network_of(out).flat
        assert facts["scores"]["held out"]["accuracy"] > 0.5
    plain = models[()]
    np.testing.assert_array_equal(models["tf32",], plain)
    assert not np.array_equal(models["bfloat16",], plain)
    np.testing.assert_allclose(models["bfloat16",], plain, atol=0.05)


def test_the_command_refuses_a_precision_of_a_float64_network(tmp_path, capsys):
    out = tmp_path / "model.npz"
    common = ("train", passengers(tmp_path), "--target", "survived", "--backend", "numpy", "--out", out)
    message = refused(capsys, *common, "--dtype", "float64", "--precision", "float16")
    assert "--dtype float32" in message
    assert not out.exists()
    assert "invalid choice: 'half'" in refused(capsys, *common, "--precision", "half")

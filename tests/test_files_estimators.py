"""Estimators' files: labels of any type, parameters, fitted attributes, and training that goes on where it was."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import forge, refused
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import bpx
from bpx.estimators.saving import FITTED
from bpx.files.container import FORMS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(3)
X = rng.normal(size=(60, 4))
CODES = np.argmax(X[:, :3], axis=1)
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "learning_rate_init": 0.01, "backend": "numpy"}

LABELS: dict[str, Any] = {
    "int": CODES + 5,
    "int8": CODES.astype(np.int8),
    "uint16": CODES.astype(np.uint16),
    "float": CODES.astype(np.float64),
    "bool": X[:, 0] > 0,
    "binary int": np.where(X[:, 0] > 0, 7, -7),
    "str": np.array(["ash", "birch", "Espe ä"])[CODES],
    "binary str": np.where(X[:, 0] > 0, "yes", "no"),
    "objects": np.array(["ash", "birch", "cedar"], dtype=object)[CODES],
    "many objects": np.array([f"class {i}" for i in range(30)], dtype=object)[np.arange(60) % 30],
    "dates": np.array(["2020-01-01", "2021-01-01", "2022-02-03"], dtype="M8[D]")[CODES],
    "multilabel": (X[:, :3] > 0).astype(int),
    "several": np.stack([CODES, X[:, 3] > 0], axis=1),
    "several str": np.stack([np.array(["a", "b", "c"])[CODES], np.where(X[:, 3] > 0, "u", "v")], axis=1),
}


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path that ends as each form's does."""
    return str(tmp_path / f"model{request.param}")


def fitted(estimator: type, y: Any, **params: Any) -> Any:
    return estimator(**(SMALL | params)).fit(X, y)


def same(a: Any, b: Any) -> None:
    """Equal attributes, by name, type and value."""
    assert type(a) is type(b)
    assert vars(a).keys() == vars(b).keys()
    if not isinstance(a.random_state, np.random.RandomState):
        assert repr(a) == repr(b)
    for name in FITTED:
        if hasattr(a, name):
            one, other = getattr(a, name), getattr(b, name)
            assert type(one) is type(other)
            assert repr(one) == repr(other)
    assert np.array_equal(a._net.flat, b._net.flat)


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_a_classifier_comes_back_with_labels_of_any_type(y, path):
    est = fitted(bpx.MLPClassifier, y)
    est.save(path)
    again = bpx.MLPClassifier.load(path)
    same(est, again)
    for name in ("predict", "predict_proba"):
        one, other = getattr(est, name)(X), getattr(again, name)(X)
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a, b)
            assert a.dtype == b.dtype
    classes = est.classes_ if isinstance(est.classes_, list) else [est.classes_]
    others = again.classes_ if isinstance(again.classes_, list) else [again.classes_]
    for a, b in zip(classes, others, strict=True):
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()
    assert est.score(X, y) == again.score(X, y)


def test_sparse_multilabels_come_back_sparse(path):
    from scipy.sparse import csr_array

    est = fitted(bpx.MLPClassifier, csr_array(LABELS["multilabel"]))
    est.save(path)
    predicted = bpx.MLPClassifier.load(path).predict(X)
    assert hasattr(predicted, "tocsr")
    assert np.array_equal(predicted.toarray(), est.predict(X).toarray())


@pytest.mark.parametrize("y", [X[:, 0], X[:, :2]], ids=["one", "two"])
def test_a_regressor_comes_back(y, path):
    est = fitted(bpx.MLPRegressor, y)
    est.save(path, metadata={"unit": "mm"})
    again = bpx.MLPRegressor.load(path)
    same(est, again)
    assert np.array_equal(est.predict(X), again.predict(X))
    assert bpx.read_header(path)["metadata"] == {"unit": "mm"}
    assert bpx.read_header(path)["kind"] == "regressor"


STEPS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "nesterov off": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "rmsprop": {"solver": bpx.RMSprop(0.01)},
    "adagrad": {"solver": bpx.Adagrad(0.01)},
    "adamw and cosine": {"solver": bpx.AdamW(bpx.schedules.WarmUp(bpx.schedules.Cosine(0.01, 50), 4))},
    "adaptive schedule": {"solver": "adam", "learning_rate": bpx.schedules.Adaptive(0.01, patience=1, tol=1.0)},
    "dropout": {"dropout": 0.3, "l1": 1e-3, "clip_norm": 1.0},
    "float32": {"dtype": "float32"},
    "random state": {"random_state": np.random.RandomState(5)},
    "numbered activation": {"activation": [bpx.activations.leaky_relu(0.2)]},
    "loss": {"loss": bpx.losses.huber(0.5), "output_activation": "sigmoid"},
    "class weight": {"class_weight": {"ash": 2.0, "birch": 1.0, "cedar": 0.5}},
}


@pytest.mark.parametrize("params", STEPS.values(), ids=STEPS)
def test_partial_fit_goes_on_after_loading_as_it_would_have_without(params, path):
    params = {k: np.random.RandomState(5) if isinstance(v, np.random.RandomState) else v for k, v in params.items()}
    est = fitted(bpx.MLPClassifier, LABELS["objects"], **params)
    est.save(path)
    again = bpx.MLPClassifier.load(path)
    for _ in range(3):
        est.partial_fit(X, LABELS["objects"])
        again.partial_fit(X, LABELS["objects"])
    assert np.array_equal(est._net.flat, again._net.flat)
    assert est.loss_curve_ == again.loss_curve_
    assert (est.n_iter_, est.t_) == (again.n_iter_, again.t_)


@pytest.mark.parametrize(
    "params",
    [
        {"early_stopping": True}, {"solver": "lbfgs"}, {"solver": bpx.SciPy("cg", {"gtol": 1e-3})}, {"n_init": 3},
        {"monitor": "loss", "warm_start": True}, {"max_iter": 60}, {"n_init": 2, "max_iter": 40},
    ],
    ids=["early stopping", "lbfgs", "scipy", "restarts", "monitor", "long curve", "long curves of restarts"],
)  # fmt: skip
def test_what_other_fits_leave_comes_back(params, path):
    est = fitted(bpx.MLPClassifier, LABELS["str"], **params)
    est.save(path)
    same(est, bpx.MLPClassifier.load(path))
    both = [est, bpx.MLPClassifier.load(path)]
    for one in both:
        one.set_params(warm_start=True).fit(X, LABELS["str"])
    assert np.array_equal(both[0]._net.flat, both[1]._net.flat)


def test_every_attribute_that_a_fit_leaves_is_known_to_the_file(path):
    ends = [
        fitted(bpx.MLPClassifier, LABELS["str"], early_stopping=True),
        fitted(bpx.MLPClassifier, LABELS["str"], n_init=2),
        fitted(bpx.MLPRegressor, X[:, 0], solver="lbfgs"),
        bpx.MLPRegressor(**SMALL).fit(X, X[:, 0], X_val=X, y_val=X[:, 0]),
    ]
    for est in ends:
        left = {name for name in vars(est) if name.endswith("_") and not name.startswith("_")}
        private = {name for name in vars(est) if name.startswith("_")}
        assert left <= {*FITTED, "classes_"}
        assert private <= {"_net", "_resume", "_labels", "_made", "_watched"}


def test_names_of_columns_come_back(path):
    import pandas as pd

    frame = pd.DataFrame(X, columns=["length", "width", "höhe", "mass"])
    est = bpx.MLPClassifier(**SMALL).fit(frame, LABELS["str"])
    est.save(path)
    again = bpx.MLPClassifier.load(path)
    assert again.feature_names_in_.tolist() == frame.columns.tolist()
    assert np.array_equal(est.predict(frame), again.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame.rename(columns={"mass": "weight"}))


def test_a_loaded_estimator_can_be_cloned_fitted_and_pickled(path):
    est = fitted(bpx.MLPClassifier, LABELS["str"])
    est.save(path)
    again = bpx.MLPClassifier.load(path)
    assert np.array_equal(clone(again).fit(X, LABELS["str"])._net.flat, est._net.flat)
    same(pickle.loads(pickle.dumps(again)), est)
    again.save(path)
    same(bpx.MLPClassifier.load(path), est)


def test_an_estimator_trained_on_any_library_is_loaded_on_numpy_and_the_reverse(lib, path):
    est = fitted(bpx.MLPClassifier, LABELS["str"], backend=lib)
    est.save(path)
    here = bpx.MLPClassifier.load(path, backend="numpy")
    assert here._net.backend.name == "numpy"
    assert np.array_equal(here._net.flat, lib.to_host(est._net.flat))
    here.partial_fit(X, LABELS["str"])
    here.save(path)
    there = bpx.MLPClassifier.load(path, backend=lib)
    assert there._net.backend == lib
    assert np.array_equal(lib.to_host(there._net.flat), here._net.flat)
    assert np.array_equal(there.predict(X), here.predict(X))


def test_load_gives_the_network_of_an_estimators_file_without_scikit_learn(path):
    est = fitted(bpx.MLPClassifier, LABELS["str"])
    est.save(path)
    assert np.array_equal(bpx.load(path, "numpy")(X), est.predict_proba(X))
    script = "import sys; sys.modules['sklearn'] = None; import bpx; print(bpx.load(sys.argv[1], 'numpy'))"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("<MLP 4-6-3")


def test_the_file_of_another_class_is_refused_with_the_right_loader(path):
    bpx.MLP([3, 2], backend="numpy").save(path)
    with pytest.raises(bpx.FileFormatError, match=r"of a classifier, got that of a network: use bpx\.load"):
        bpx.MLPClassifier.load(path)
    fitted(bpx.MLPRegressor, X[:, 0]).save(path)
    with pytest.raises(
        bpx.FileFormatError, match=r"of a classifier, got that of a regressor: use bpx\.MLPRegressor\.load"
    ):
        bpx.MLPClassifier.load(path)


def test_an_estimator_that_is_not_fitted_or_makes_no_sense_is_not_written(path):
    with pytest.raises(NotFittedError):
        bpx.MLPClassifier().save(path)
    with pytest.raises(ValueError, match="alpha"):
        fitted(bpx.MLPClassifier, LABELS["str"]).set_params(alpha=-1.0).save(path)
    assert os.listdir(os.path.dirname(path)) == []


def _own_loss(xp: Any, output: Any, target: Any) -> Any:
    return (output - target) ** 2, 2.0 * (output - target)


def _swish(xp: Any, z: Any) -> Any:
    return z / (1.0 + xp.exp(-z))


def _swish_slope(xp: Any, z: Any, a: Any) -> Any:
    return a + (1.0 - a) / (1.0 + xp.exp(-z))


def test_functions_and_objects_of_ones_own_are_given_at_loading(path):
    swish = bpx.Activation("swish", _swish, _swish_slope)
    own = {"loss": _own_loss, "activation": swish, "callbacks": [lambda run: None]}
    est = fitted(bpx.MLPRegressor, X[:, 0], **own)
    est.save(path)
    with pytest.raises(
        bpx.FileFormatError, match=r"parameter (\w+) was .* no file holds functions.*MLPRegressor\.load\(path, \1="
    ):
        bpx.MLPRegressor.load(path)
    with pytest.raises(bpx.FileFormatError, match="the parameter callbacks was 'list'"):
        bpx.MLPRegressor.load(path, loss=_own_loss, activation=swish)
    again = bpx.MLPRegressor.load(path, **own)
    assert again.loss is _own_loss
    assert np.array_equal(again.predict(X), est.predict(X))
    assert np.array_equal(bpx.load(path, "numpy", activations={"swish": swish})(X)[:, 0], est.predict(X))
    for one in (est, again):
        one.partial_fit(X, X[:, 0])
    assert np.array_equal(again._net.flat, est._net.flat)


def test_a_backend_that_is_an_object_goes_by_its_name_where_it_has_one(path):
    import array_api_strict

    fitted(bpx.MLPRegressor, X[:, 0], backend=np).save(path)
    assert bpx.MLPRegressor.load(path).backend == "numpy"
    fitted(bpx.MLPRegressor, X[:, 0], backend=bpx.get_backend("numpy")).save(path)
    assert bpx.MLPRegressor.load(path).backend == "numpy"
    fitted(bpx.MLPRegressor, X[:, 0], backend=array_api_strict).save(path)
    with pytest.raises(bpx.FileFormatError, match="the parameter backend was"):
        bpx.MLPRegressor.load(path)
    assert bpx.MLPRegressor.load(path, backend="numpy")._net.backend.name == "numpy"


def test_a_file_of_a_gpu_loads_where_there_is_none_and_says_so(path, monkeypatch):
    from bpx.backend import select

    est = fitted(bpx.MLPRegressor, X[:, 0])
    est.set_params(backend="cupy", device=1)  # as it is after training on the second GPU
    est.save(path)
    monkeypatch.setitem(select._probed, "cupy:1", (None, "", "no GPU in this test"))
    with pytest.warns(bpx.BackendFallbackWarning, match="no GPU in this test"):
        assert bpx.MLPRegressor.load(path)._net.backend.name == "numpy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bpx.MLPRegressor.load(path, backend="numpy").device is None


def test_a_parameter_that_does_not_exist_is_refused(path):
    fitted(bpx.MLPRegressor, X[:, 0]).save(path)
    with pytest.raises(TypeError, match="colour"):
        bpx.MLPRegressor.load(path, colour="red")
    with pytest.raises(ValueError, match="unknown backend 'cuda'") as caught:
        bpx.MLPRegressor.load(path, backend="cuda")
    assert not isinstance(caught.value, bpx.FileFormatError)


def test_an_estimator_that_cannot_be_written_leaves_the_file_that_was_there(path):
    est = fitted(bpx.MLPRegressor, X[:, 0])
    est.save(path)
    before = Path(path).read_bytes()
    other = fitted(bpx.MLPRegressor, X[:, 0])
    other.history_.message = object()
    with pytest.raises(TypeError, match=r"history_\.message: expected plain data, got object"):
        other.save(path)
    assert Path(path).read_bytes() == before


# ---------------------------------------------------------------------- forgery


def put(*keys: Any, value: Any) -> Any:
    """A change of a file: another value at a place in its header."""

    def change(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        place = document["estimator"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def fill(name: str, value: Any) -> Any:
    """A change of a file: another array of that name."""

    def change(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] = value(arrays[name])
        document["arrays"][name] = [arrays[name].dtype.name, list(arrays[name].shape)]

    return change


def moment(arrays: dict[str, Any]) -> str:
    """The name of an optimizer's moment among a file's arrays."""
    return next(name for name, array in arrays.items() if name.startswith("resume.") and array.shape == (51,))


LABEL = ("labels", "Labels")
ADAM = ("resume", "dict", 0, 1, "tuple", 0)
FORGERIES: dict[str, tuple[Any, str]] = {
    "no estimator": (lambda d, a: d.update(estimator=[]), "estimator makes no sense"),
    "entry besides": (put("more", value=1), "unknown entry 'more'"),
    "unknown parameter": (put("params", "colour", value="red"), "expected parameters of MLPClassifier, got 'colour'"),
    "bad parameter": (put("params", "alpha", value="red"), "params: "),
    "parameter of an unknown kind": (put("params", "solver", value={"system": "true"}), "solver: expected plain data"),
    "optimizer that makes no sense": (put(*ADAM, "Adam", "learning_rate", value=-1), "learning rate: expected"),
    "optimizer without an entry": (put(*ADAM, value={"Adam": {}}), "expected the entries learning_rate, clip_norm"),
    "backend": (put("params", "backend", value="os"), "backend: unknown backend 'os'"),
    "missing attribute": (lambda d, a: d["estimator"]["fitted"].pop("t_"), "got none named t_"),
    "attribute besides": (put("fitted", "_net", value=1), "got '_net' besides"),
    "method": (put("fitted", "predict", value=1), "got 'predict' besides"),
    "attribute that makes no sense": (put("fitted", "loss_curve_", value="x"), "loss_curve_ makes no sense as 'x'"),
    "features": (put("fitted", "n_features_in_", value=5), "expected n_features_in_ 4 by the network's sizes, got 5"),
    "kind of labels": (put(*LABEL, "kind", value="binary"), "expected a kind of labels, got 'binary'"),
    "no labels": (put("labels", value=None), "labels: expected those of 3 outputs"),
    "labels of another kind": (put("labels", value={"tuple": [1]}), "labels: expected those of 3 outputs"),
    "sparse labels of text": (put(*LABEL, "sparse", value=True), "labels that a sparse matrix can hold"),
    "classes are a list": (put(*LABEL, "classes", value=[1, 2, 3]), "the sorted classes"),
    "classes are elsewhere": (put(*LABEL, "classes", value={"strings": "none"}), "name of an array of the file"),
    "classes are no text": (put(*LABEL, "classes", value={"strings": "0.W"}), "name of an array of the file"),
    "unsorted classes": (fill("labels.classes", lambda a: a[::-1].copy()), "the sorted classes"),
    "a class less": (fill("labels.classes", lambda a: a[:2].copy()), "expected classes as multiclass labels have them"),
    "beyond Unicode": (fill("labels.classes", lambda a: a + np.uint32(2**31)), "code points of strings"),
    "no state": (put("resume", value=[1]), "resume: expected an optimizer's state"),
    "moments of another size": (
        lambda d, a: fill(moment(a), lambda m: m[:-1].copy())(d, a), "resume: expected 51 numbers of float64",
    ),
    "moments of another dtype": (
        lambda d, a: fill(moment(a), lambda m: m.astype(np.float32))(d, a), "resume: expected 51 numbers of float64",
    ),
    "random numbers": (put("params", "random_state", value={"RandomState": [1, 2, 3, 4]}), "Mersenne Twister"),
    "random numbers in words": (put("params", "random_state", value={"RandomState": "x"}), "expected a list"),
    "too few": (put("params", "random_state", value={"RandomState": []}), "random_state: "),
    "one array twice": (
        lambda d, a: put("fitted", "losses_of_restarts_", value={"array": moment(a)})(d, a), "name of an array of the",
    ),
    "pairs": (put("params", "class_weight", value={"dict": [[1]]}), "pairs of a name and a value"),
    "names that cannot be": (put("params", "class_weight", value={"dict": [[[1], 1]]}), "pairs of a name and a value"),
    "not a number": (put("params", "tol", value={"float": "1e5"}), "expected inf, -inf or nan"),
    "dates": (put("params", "tol", value={"times": ["datetime64[fortnight]", "x"]}), "expected dates or times"),
    "history": (put("fitted", "history_", "History", "stop_reason", value={"StopReason": {"name": "mine"}}), "'mine'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "word"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_estimator_is_refused(change, word, path):
    fitted(bpx.MLPClassifier, LABELS["str"]).save(path)
    forge(Path(path), lambda d, a: None)
    bpx.MLPClassifier.load(path)
    forge(Path(path), change)
    refused(path, word, load=bpx.MLPClassifier.load)


def test_a_generators_position_is_checked_because_numpy_would_read_beside_its_numbers(path):
    fitted(bpx.MLPRegressor, X[:, 0], random_state=np.random.RandomState(1)).save(path)
    for position in (625, -1, 2**40):
        forge(Path(path), put("params", "random_state", "RandomState", 1, value=position))
        refused(path, "Mersenne Twister", load=bpx.MLPRegressor.load)
    forge(Path(path), put("params", "random_state", "RandomState", 1, value=624))
    bpx.MLPRegressor.load(path).random_state.uniform()


def test_a_forged_estimators_network_still_loads_alone(path):
    est = fitted(bpx.MLPClassifier, LABELS["str"])
    est.save(path)
    forge(Path(path), put("fitted", "t_", value="never"))
    refused(path, "t_ makes no sense", load=bpx.MLPClassifier.load)
    assert np.array_equal(bpx.load(path, "numpy").flat, est._net.flat)

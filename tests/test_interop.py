"""Networks to and from scikit-learn, and from Keras's weights."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from releases import before, since
from sklearn import neural_network
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bpx
from bpx import activations
from bpx.errors import how_to_install

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SAME = {"float32": 1e-6, "float64": 1e-12}
rng = np.random.default_rng(6)
X = rng.normal(size=(60, 4)) * 2.0
CODES = np.argmax(X[:, :3], axis=1)
NAMES = np.array(["ash", "birch", "cedar"])[CODES]
HIDDEN = ["identity", "sigmoid", "tanh", "relu"]


def same(a: Any, b: Any, dtype: str) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.max(np.abs(a - b)) <= SAME[dtype] * max(1.0, float(np.max(np.abs(b))))


def answers(theirs: Any, X: Any, n_out: int) -> Any:
    """A scikit-learn estimator's numbers as a network has them: of shape (n, n_out)."""
    if not hasattr(theirs, "predict_proba"):
        return theirs.predict(X).reshape(-1, n_out)
    return theirs.predict_proba(X)[:, -n_out:]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("output", "n_out"), [("softmax", 3), ("sigmoid", 1), ("sigmoid", 3), ("identity", 1), ("identity", 2), ("exp", 1)]
)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_network_goes_to_scikit_learn_and_back(hidden, output, n_out, dtype):
    for sizes in ([4, n_out], [4, 6, n_out], [4, 6, 5, 7, n_out]):
        net = bpx.MLP(sizes, hidden, output, init="lecun_normal", dtype=dtype, seed=len(sizes), backend="numpy")
        net.set_params({f"{i}.b": 0.3 * rng.normal(size=n) for i, n in enumerate(sizes[1:])})
        if output == "exp" and before("scikit-learn", "1.7"):
            with pytest.raises(ValueError, match=r"'exp', which scikit-learn has since version 1\.7; install that"):
                bpx.to_sklearn(net)
            continue
        theirs = bpx.to_sklearn(net)
        same(answers(theirs, X.astype(dtype), n_out), net(X), dtype)
        again = bpx.from_sklearn(theirs, backend="numpy")
        assert np.array_equal(again.flat, net.flat)
        assert (again.sizes, again.output, again.dtype) == (net.sizes, net.output, net.dtype)
        assert again.hidden == net.hidden


FITS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "multiclass": (neural_network.MLPClassifier, NAMES, {"activation": "logistic"}),
    "binary": (neural_network.MLPClassifier, CODES > 0, {"activation": "tanh"}),
    "multilabel": (neural_network.MLPClassifier, (X[:, :3] > 0).astype(int), {}),
    "regression": (neural_network.MLPRegressor, X[:, 0], {"hidden_layer_sizes": (5, 4)}),
    "two numbers": (neural_network.MLPRegressor, X[:, :2], {"activation": "identity"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("estimator", "y", "params"), FITS.values(), ids=FITS)
def test_a_fitted_estimator_of_scikit_learns_gives_its_outputs(estimator, y, params, dtype):
    data = X.astype(dtype)
    theirs = estimator(**({"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0} | params)).fit(data, y)
    net = bpx.from_sklearn(theirs, backend="numpy")
    assert net.dtype == dtype
    same(net(data), answers(theirs, data, net.sizes[-1]), dtype)


def test_a_poisson_regressor_of_scikit_learns_gives_its_outputs():
    since("scikit-learn", "1.7", "loss= of its MLPRegressor")
    theirs = neural_network.MLPRegressor(loss="poisson", hidden_layer_sizes=(5,), max_iter=20, random_state=0)
    net = bpx.from_sklearn(theirs.fit(X, np.abs(X[:, 0])), backend="numpy")
    assert net.output.name == "exp"
    same(net(X)[:, 0], theirs.predict(X), "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_estimator_of_bpxs_goes_to_scikit_learn_with_its_labels(dtype):
    targets = {"str": NAMES, "bool": CODES > 0, "int": CODES + 4, "multilabel": (X[:, :3] > 0).astype(int)}
    targets["objects"] = NAMES.astype(object)
    for y in targets.values():
        ours = bpx.MLPClassifier((6,), max_iter=20, random_state=0, dtype=dtype, backend="numpy").fit(X, y)
        theirs = bpx.to_sklearn(ours)
        assert type(theirs) is neural_network.MLPClassifier
        assert np.array_equal(theirs.predict(X.astype(dtype)), ours.predict(X))
        same(theirs.predict_proba(X.astype(dtype)), ours.predict_proba(X), dtype)
    ours = bpx.MLPRegressor(hidden_layer_sizes=(6,), max_iter=20, random_state=0, dtype=dtype, backend="numpy")
    same(bpx.to_sklearn(ours.fit(X, X[:, 0])).predict(X.astype(dtype)), ours.predict(X), dtype)


def test_the_result_is_a_whole_estimator_of_scikit_learns():
    net = bpx.MLP([4, 6, 3], dropout=0.5, dtype="float64", backend="numpy")
    theirs = bpx.to_sklearn(net, classes=["ash", "birch", "cedar"])
    assert theirs.classes_.tolist() == ["ash", "birch", "cedar"]
    assert theirs.get_params()["hidden_layer_sizes"] == (6,)
    before = theirs.predict_proba(X)
    net.flat[...] = 0.0  # the weights are copies
    assert np.array_equal(theirs.predict_proba(X), before)
    # It goes on learning, from these weights and with an optimizer that has not learnt yet.
    theirs.set_params(learning_rate_init=1e-12).partial_fit(X, NAMES)
    assert 0.0 < np.max(np.abs(theirs.predict_proba(X) - before)) < 1e-9
    assert theirs.n_iter_ == 1
    assert theirs.t_ == 60
    clone(theirs).fit(X, NAMES)


OWN = bpx.Activation("swish", lambda xp, z: z)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "activation": (
        {"hidden": ["relu", "elu"]},
        r"layer 1 \(hidden\) uses 'elu'; scikit-learn has identity, sigmoid",
    ),
    "two activations": ({"hidden": ["relu", "tanh"]}, r"layer 1 \(hidden\) uses 'tanh' behind 'relu'"),
    "own": ({"hidden": ["relu", OWN]}, r"layer 1 \(hidden\) uses 'swish'"),
    "own of a known name": ({"hidden": bpx.Activation("relu", lambda xp, z: z)}, r"layer 0 \(hidden\) uses 'relu'"),
    "output": ({"output": "softplus"}, r"layer 2 \(output\) uses 'softplus'"),
    "no bias": ({"bias": [True, False, True]}, r"layer 1 \(hidden\) has no bias"),
    "stack": ({"stack": 2}, "a stack of 2"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_scikit_learn_cannot_represent_is_refused_by_layer(given, message):
    with pytest.raises(ValueError, match=message):
        bpx.to_sklearn(bpx.MLP([4, 5, 5, 3], **given, backend="numpy"))


BITS = (X[:, :3] > 0).astype(int)
OTHERWISE = {
    "three sigmoids of one label": (bpx.MLPClassifier, CODES, "sigmoid", "takes for multilabel labels"),
    "softmax of several labels": (bpx.MLPClassifier, BITS, "softmax", "takes for multiclass labels"),
    "numbers for a label": (bpx.MLPClassifier, CODES > 0, "identity", "takes for numbers; .* of binary labels"),
    "a sigmoid's number": (bpx.MLPRegressor, X[:, 0] > 0, "sigmoid", "takes for binary labels; .* of numbers"),
    "several sigmoids' numbers": (bpx.MLPRegressor, BITS, "sigmoid", "takes for multilabel labels"),
}


@pytest.mark.parametrize(("kind", "y", "output", "message"), OTHERWISE.values(), ids=OTHERWISE)
def test_outputs_that_scikit_learn_would_take_for_something_else_are_refused(kind, y, output, message):
    options = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0, "backend": "numpy"}
    est = kind(output_activation=output, loss="squared_error", **options).fit(X, y)
    with pytest.raises(ValueError, match=rf"layer 1 \(output\) uses '{output}', which scikit-learn {message}"):
        bpx.to_sklearn(est)


def test_names_of_features_go_along():
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    est = bpx.MLPClassifier((4,), max_iter=1, random_state=0, backend="numpy").fit(frame, NAMES)
    theirs = bpx.to_sklearn(est)
    assert np.array_equal(theirs.predict(frame), est.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        theirs.predict(frame[list("dcba")])


def test_weights_of_two_dtypes_lose_no_digits():
    theirs = neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(
        X.astype(np.float32), X[:, 0]
    )
    theirs.coefs_[1] = theirs.coefs_[1].astype(np.float64) + 1e-12
    assert bpx.from_sklearn(theirs, backend="numpy").dtype == "float64"


def test_several_targets_are_refused():
    several = np.stack([CODES, X[:, 3] > 0], axis=1)
    est = bpx.MLPClassifier((6,), max_iter=1, backend="numpy").fit(X, several)
    with pytest.raises(ValueError, match=r"layer 1 \(output\) uses 'block_softmax'"):
        bpx.to_sklearn(est)


@pytest.mark.parametrize("classes", [["a", "b"], ["b", "a", "c"], ["a", "a", "b"], [["a", "b", "c"]]])
def test_classes_that_are_not_those_of_the_outputs_are_refused(classes):
    with pytest.raises(ValueError, match="expected 3 sorted classes"):
        bpx.to_sklearn(bpx.MLP([4, 3], backend="numpy"), classes=classes)


@pytest.mark.parametrize(("output", "n_out"), [("identity", 2), ("exp", 1), ("sigmoid", 3)])
def test_classes_for_outputs_that_have_none_are_refused(output, n_out):
    with pytest.raises(ValueError, match=f"expected no classes with {n_out} outputs of '{output}'"):
        bpx.to_sklearn(bpx.MLP([4, n_out], output=output, backend="numpy"), classes=["a", "b"])
    est = bpx.MLPClassifier((3,), max_iter=1, backend="numpy").fit(X, NAMES)
    with pytest.raises(ValueError, match="expected no classes with a classifier, which has its own"):
        bpx.to_sklearn(est, classes=["a", "b", "c"])


def test_what_is_no_fitted_perceptron_of_scikit_learns_is_refused():
    with pytest.raises(ValueError, match="expected a fitted MLPClassifier, got one without weights"):
        bpx.from_sklearn(neural_network.MLPClassifier())
    with pytest.raises(TypeError, match="got Pipeline; of a pipeline give the last step"):
        bpx.from_sklearn(make_pipeline(StandardScaler(), neural_network.MLPClassifier()))
    with pytest.raises(TypeError, match="expected scikit-learn's MLPClassifier or MLPRegressor, got MLP"):
        bpx.from_sklearn(bpx.MLP([3, 2], backend="numpy"))
    theirs = neural_network.MLPClassifier((3,), max_iter=1).fit(X, CODES)
    theirs.activation = "swish"
    with pytest.raises(ValueError, match="layer 0 uses 'swish'"):
        bpx.from_sklearn(theirs)
    theirs.activation = "relu"
    theirs.coefs_[0][0, 0] = np.nan
    with pytest.raises(bpx.NonFiniteError):
        bpx.from_sklearn(theirs)
    with pytest.raises(TypeError, match=r"to_sklearn: expected a bpx\.MLP or a fitted bpx estimator"):
        bpx.to_sklearn(theirs)


# ---------------------------------------------------------------------- Keras


def keras_forward(weights: list[Any], X: Any, hidden: Any, output: Any) -> Any:
    """Dense layers as Keras documents them: activation(dot(inputs, kernel) + bias)."""
    kernels = [w for w in weights if w.ndim == 2]
    a, i = X, 0
    for layer, kernel in enumerate(kernels):
        a, i = a @ kernel, i + 1
        if i < len(weights) and weights[i].ndim == 1:
            a, i = a + weights[i], i + 1
        a = output(a) if layer == len(kernels) - 1 else hidden(a)
    return a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [(True, True, True), (False, False, False), (True, False, True)])
def test_keras_weights_become_a_network_that_computes_the_same(bias, dtype):
    sizes = [4, 6, 6, 3]
    weights = []
    for n_in, n_out, with_bias in zip(sizes, sizes[1:], bias, strict=False):
        weights.append(rng.normal(size=(n_in, n_out)).astype(dtype))
        weights += [rng.normal(size=n_out).astype(dtype)] if with_bias else []
    net = bpx.from_keras_weights(weights, hidden=activations.leaky_relu(0.2), output="identity", backend="numpy")
    assert (net.sizes, net.bias, net.dtype) == (tuple(sizes), bias, dtype)
    same(net(X), keras_forward(weights, X.astype(dtype), lambda z: np.maximum(z, 0.2 * z), lambda z: z), dtype)
    before = net.flat.copy()
    weights[0][...] = 0.0  # the weights are copies
    assert np.array_equal(net.flat, before)


K = np.zeros((4, 5), dtype=np.float32)
KERAS: dict[str, tuple[list[Any], type[Exception], str]] = {
    "none": ([], ValueError, "at least one Dense layer, got none"),
    "bias first": ([K[0]], ValueError, r"a kernel of shape \(n_in, n_out\) as array 0 \(layer 0\), got shape \(5,\)"),
    "convolution": ([np.zeros((3, 3, 1, 2))], ValueError, r"as array 0 \(layer 0\), got shape \(3, 3, 1, 2\)"),
    "norm": ([K, K[0], K[0], K[0]], ValueError, r"a kernel of shape \(5, n\) as array 2 \(layer 0\), got shape \(5,\)"),
    "chain": ([K, K], ValueError, r"\(5, n\) or a bias of shape \(5,\) as array 1 \(layer 0\), got shape \(4, 5\)"),
    "bias": ([K, K[:, 0]], ValueError, r"as array 1 \(layer 0\), got shape \(4,\)"),
    "text": (["relu"], TypeError, "expected floats, got <U4 as array 0"),
    "half": ([K.astype(np.float16)], TypeError, "expected floats, got float16 as array 0"),
    "nan": ([K + np.nan], ValueError, "parameters: expected finite numbers"),
    "no columns": ([K[:, :0]], ValueError, r"got shape \(4, 0\)"),
}  # fmt: skip


@pytest.mark.parametrize(("weights", "error", "message"), KERAS.values(), ids=KERAS)
def test_arrays_that_are_not_those_of_dense_layers_are_refused_by_place(weights, error, message):
    with pytest.raises(error, match=message):
        bpx.from_keras_weights(weights, output="identity")


def test_what_is_no_list_of_keras_arrays_is_refused():
    for given in (K, "weights", {"a": K}, 3):
        with pytest.raises(TypeError, match="expected a list of arrays"):
            bpx.from_keras_weights(given)


@pytest.mark.parametrize(
    ("missing", "call", "message"),
    [
        (
            "sklearn",
            "bpx.to_sklearn(net)",
            f"bpx.from_sklearn and to_sklearn need scikit-learn: {how_to_install('sklearn', 'scikit-learn')}",
        ),
        (
            "sklearn",
            "bpx.from_sklearn(net)",
            f"bpx.from_sklearn and to_sklearn need scikit-learn: {how_to_install('sklearn', 'scikit-learn')}",
        ),
        (
            "torch",
            "bpx.to_torch(net)",
            "bpx.from_torch and to_torch need PyTorch: pip install torch",
        ),
        (
            "torch",
            "bpx.from_torch(net)",
            "bpx.from_torch and to_torch need PyTorch: pip install torch",
        ),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(missing, call, message):
    script = f"""
import sys; sys.modules["{missing}"] = None
import bpx
net = bpx.MLP([3, 2], backend="numpy")
try:
    {call}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == message + "\n"

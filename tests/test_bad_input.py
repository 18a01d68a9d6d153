"""Bad input is refused with the documented error, which says what was expected and what came, and changes nothing."""

from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest

import bpx
from bpx.errors.values import check_count
from bpx.formulas import activations, initializers, losses, optimizers
from bpx.training import array_feed, solvers

NAN, INF = float("nan"), float("inf")
X = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
LABELS = [0, 1, 1, 0]


def refuses(error, words, net, call):
    """`call` raises exactly `error` with every word in its message, which is returned, and changes no parameter."""
    before = net.backend.to_host(net.flat).tobytes()
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert net.backend.to_host(net.flat).tobytes() == before
    return message


def classifier(lib="numpy", **options):
    """Three inputs, four tanh neurons, two classes."""
    return bpx.MLP([3, 4, 2], "tanh", backend=lib, **options)


# Every public call that takes data; `validation` gives it in place of the training data.
CALLS = {
    "forward": lambda net, x, y, **_: net(x),
    "loss_and_grads": lambda net, x, y, **options: net.loss_and_grads(x, y, **options),
    "input_gradient": lambda net, x, y, **options: net.input_gradient(x, y, **options),
    "fit": lambda net, x, y, **options: bpx.fit(net, x, y, **options),
    "validation": lambda net, x, y, sample_weight=None, **options: bpx.fit(
        net, X, LABELS if net.sizes[-1] == 2 else np.ones(4), validation=(x, y, sample_weight), **options
    ),
}
WITH_TARGETS = ["loss_and_grads", "input_gradient", "fit", "validation"]


def calls(*names):
    """Parametrize over those calls."""
    return pytest.mark.parametrize("call", [CALLS[name] for name in names], ids=names)


def holed(shape, value, at):
    """Zeros with one bad value."""
    x = np.zeros(shape)
    x[at] = value
    return x


# ---------------------------------------------------------------------- X

BAD_X = {
    "two columns": (np.zeros((4, 2)), bpx.ShapeError, ["expected 3 columns", "got 2", "(4, 2)"]),
    "a sample of five": ([0.0] * 5, bpx.ShapeError, ["expected 3 columns", "got 5"]),
    "no rows": (np.zeros((0, 3)), bpx.ShapeError, ["at least one sample", "(0, 3)"]),
    "empty list": ([], bpx.ShapeError, ["expected 3 columns", "got 0"]),
    "0 dimensions": (1.0, bpx.ShapeError, ["expected 2 dimensions", "got 0"]),
    "3 dimensions": (np.zeros((1, 4, 3)), bpx.ShapeError, ["expected 2 dimensions", "got 3", "(1, 4, 3)"]),
    "NaN": (holed((4, 3), NAN, (2, 1)), bpx.NonFiniteError, ["finite", "1 NaN", "(2, 1)"]),
    "infinity": (holed((4, 3), -INF, (3, 0)), bpx.NonFiniteError, ["finite", "(3, 0)"]),
    "too large for float32": (holed((4, 3), 1e300, (0, 2)), bpx.NonFiniteError, ["finite", "(0, 2)"]),
    "strings": ([["a", "b", "c"]] * 4, TypeError, ["expected numbers", "<U1"]),
    "objects": (np.full((4, 3), None), TypeError, ["expected numbers", "object"]),
    "None": (None, TypeError, ["expected numbers", "object"]),
    "complex": (np.zeros((4, 3), "complex128"), TypeError, ["expected numbers", "complex128"]),
    "ragged rows": ([[1.0, 2.0, 3.0], [1.0]], bpx.ShapeError, ["rectangular"]),
}


@calls(*CALLS)
@pytest.mark.parametrize(("bad", "error", "words"), BAD_X.values(), ids=BAD_X)
def test_bad_inputs_are_refused(lib, call, bad, error, words):
    net = classifier(lib)
    refuses(error, ["X", *words], net, lambda: call(net, bad, LABELS))


@calls(*WITH_TARGETS)
@pytest.mark.parametrize("value", [NAN, INF])
def test_device_arrays_are_checked_for_nan_and_infinity_too(lib, call, value):
    net = classifier(lib)
    bad = lib.asarray(holed((4, 3), value, (2, 1)), "float32")
    refuses(bpx.NonFiniteError, ["X", "finite", "(2, 1)"], net, lambda: call(net, bad, LABELS))


@calls("forward", "fit")
def test_a_device_array_of_complex_numbers_is_refused(lib, call):
    net = classifier(lib)
    bad = lib.asarray(np.zeros((4, 3), "complex64"))
    refuses(TypeError, ["X: expected", "numbers", "complex64"], net, lambda: call(net, bad, LABELS))


# ---------------------------------------------------------------------- y

BAD_LABELS = {
    "too few": ([0, 1], bpx.ShapeError, ["expected 4 targets", "got 2"]),
    "too many": ([0, 1, 1, 0, 1], bpx.ShapeError, ["expected 4 targets", "got 5"]),
    "a single one": (1, bpx.ShapeError, ["expected 4 targets", "single number"]),
    "a label too high": ([0, 1, 2, 0], ValueError, ["0..1", "from 0 to 2"]),
    "a negative label": ([0, -1, 1, 0], ValueError, ["0..1", "from -1 to 1"]),
    "labels as floats": ([0.0, 1.0, 1.0, 0.0], TypeError, ["integer class labels", "float64"]),
    "labels as strings": (["a", "b", "b", "a"], TypeError, ["expected numbers", "<U1"]),
    "three columns": (np.eye(3)[[0, 1, 2, 0]], bpx.ShapeError, ["(4, 2)", "(4, 3)"]),
    "labels in a column": ([[0], [1], [1], [0]], bpx.ShapeError, ["(4, 2)", "(4, 1)"]),
    "3 dimensions": (np.zeros((4, 2, 1)), bpx.ShapeError, ["(4, 2)", "(4, 2, 1)"]),
    "ragged rows": ([[1, 0], [0, 1], [1], [0, 1]], bpx.ShapeError, ["rectangular"]),
    "rows that do not sum to 1": (np.full((4, 2), 0.7), ValueError, ["sum to 1", "0.4"]),
    "probabilities below 0": ([[-0.5, 1.5]] * 4, ValueError, ["between 0 and 1", "-0.5 to 1.5"]),
    "NaN": (holed((4, 2), NAN, (1, 0)), bpx.NonFiniteError, ["finite", "(1, 0)"]),
}
BAD_TARGETS = {
    "negative counts": ("exp", "poisson", [[1.0], [-2.0], [0.0], [1.0]], ValueError, [">= 0", "'poisson'", "-2.0"]),
    "probability above 1": ("sigmoid", "binary_cross_entropy", [0, 1, 2, 1], ValueError, ["0 and 1", "0.0 to 2.0"]),
    "infinity": ("identity", "squared_error", [0.0, INF, 0.0, 0.0], bpx.NonFiniteError, ["finite", "(1, 0)"]),
    "two columns": ("identity", "squared_error", np.zeros((4, 2)), bpx.ShapeError, ["(4, 1)", "(4, 2)"]),
    "too few": ("identity", "squared_error", np.zeros((3, 1)), bpx.ShapeError, ["expected 4 targets", "got 3"]),
    "strings": ("identity", "squared_error", ["1.0"] * 4, TypeError, ["expected numbers"]),
}


@calls(*WITH_TARGETS)
@pytest.mark.parametrize(("bad", "error", "words"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_class_labels_are_refused(lib, call, bad, error, words):
    net = classifier(lib)
    refuses(error, ["y", *words], net, lambda: call(net, X, bad))


@calls(*WITH_TARGETS)
@pytest.mark.parametrize(("output", "loss", "bad", "error", "words"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_bad_targets_are_refused(lib, call, output, loss, bad, error, words):
    net = bpx.MLP([3, 4, 1], "tanh", output, backend=lib)
    refuses(error, ["y", *words], net, lambda: call(net, X, bad, loss=loss))


def test_labels_for_a_loss_that_knows_no_classes_ask_for_one_hot_rows():
    net = bpx.MLP([3, 2], output="identity")
    refuses(bpx.ShapeError, ["(4, 2)", "(4,)", "one-hot"], net, lambda: bpx.fit(net, X, LABELS, "squared_error"))


# ---------------------------------------------------------------------- sample and class weights

BAD_WEIGHTS = {
    "too few": ([1.0, 1.0], bpx.ShapeError, ["(4,)", "(2,)"]),
    "a column": (np.ones((4, 1)), bpx.ShapeError, ["(4,)", "(4, 1)"]),
    "one number": (1.0, bpx.ShapeError, ["(4,)", "()"]),
    "negative": ([1.0, -0.5, 1.0, 1.0], ValueError, [">= 0", "-0.5"]),
    "all zero": ([0.0] * 4, ValueError, ["at least one weight > 0", "zeros"]),
    "NaN": ([1.0, NAN, 1.0, 1.0], bpx.NonFiniteError, ["finite", "(1,)"]),
    "infinite": ([1.0, 1.0, INF, 1.0], bpx.NonFiniteError, ["finite", "(2,)"]),
    "strings": (["1"] * 4, TypeError, ["expected numbers"]),
}
BAD_CLASS_WEIGHTS = {
    "unknown class": ({2: 1.0}, ValueError, ["classes 0..1", "2"]),
    "class that is no integer": ({"a": 1.0}, ValueError, ["classes 0..1", "'a'"]),
    "negative": ({0: -1.0}, ValueError, [">= 0", "-1.0", "class 0"]),
    "NaN": ({1: NAN}, ValueError, ["finite", "nan", "class 1"]),
    "all zero": ({0: 0.0, 1: 0.0}, ValueError, ["every sample would have weight 0"]),
    "unknown word": ("fair", ValueError, ["'balanced'", "'fair'"]),
    "a list": ([1.0, 2.0], TypeError, ["dict or 'balanced'", "list"]),
}


@calls(*WITH_TARGETS)
@pytest.mark.parametrize(("bad", "error", "words"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_sample_weights_are_refused(lib, call, bad, error, words):
    net = classifier(lib)
    refuses(error, ["sample_weight", *words], net, lambda: call(net, X, LABELS, sample_weight=bad))


@calls("loss_and_grads", "fit")
@pytest.mark.parametrize("bad", [np.ones((2, 4)), np.ones((3, 5))])
def test_a_stack_takes_one_row_of_weights_for_each_network(lib, call, bad):
    net = classifier(lib, stack=3)
    words = ["sample_weight", "(4,) or (3, 4)", str(bad.shape)]
    refuses(bpx.ShapeError, words, net, lambda: call(net, X, LABELS, sample_weight=bad))


@calls("loss_and_grads", "fit")
def test_no_network_of_a_stack_may_have_only_zero_weights(lib, call):
    net = classifier(lib, stack=2)
    bad = [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    refuses(ValueError, ["at least one weight > 0"], net, lambda: call(net, X, LABELS, sample_weight=bad))


@pytest.mark.parametrize(("bad", "error", "words"), BAD_CLASS_WEIGHTS.values(), ids=BAD_CLASS_WEIGHTS)
def test_bad_class_weights_are_refused(lib, bad, error, words):
    net = classifier(lib)
    refuses(error, ["class_weight", *words], net, lambda: bpx.fit(net, X, LABELS, class_weight=bad))


def test_class_and_sample_weights_may_not_both_be_zero_everywhere(lib):
    net = classifier(lib)
    weights = {"sample_weight": [1.0, 0.0, 0.0, 1.0], "class_weight": {0: 0.0}}
    refuses(ValueError, ["weight", "zero"], net, lambda: bpx.fit(net, X, LABELS, **weights))


# ---------------------------------------------------------------------- arrays of another library or device

HOME = bpx.get_backend(strict, device=strict.Device("device1"))
AWAY = bpx.get_backend(strict, device=strict.Device("device2"))


GIVEN = {
    "call": lambda net, give: net(give(X)),
    "X": lambda net, give: net.loss_and_grads(give(X), LABELS),
    "y": lambda net, give: net.loss_and_grads(X, give(LABELS)),
    "sample_weight": lambda net, give: net.loss_and_grads(X, LABELS, sample_weight=give([1.0] * 4)),
    "input_gradient": lambda net, give: net.input_gradient(give(X), LABELS),
    "set_params": lambda net, give: net.set_params({"0.b": np.ones(4), "0.W": give(np.ones((3, 4)))}),
    "fit X": lambda net, give: bpx.fit(net, give(X), LABELS),
    "fit y": lambda net, give: bpx.fit(net, X, give(LABELS)),
    "fit sample_weight": lambda net, give: bpx.fit(net, X, LABELS, sample_weight=give([1.0] * 4)),
    "validation": lambda net, give: bpx.fit(net, X, LABELS, validation=(give(X), LABELS)),
}
given = pytest.mark.parametrize("call", GIVEN.values(), ids=GIVEN)


@given
def test_an_array_on_another_device_is_refused_with_both_devices_and_a_remedy(call):
    net = classifier(HOME)
    words = [str(HOME.device), str(AWAY.device), "net.to(", "device=x.device", "numpy.from_dlpack(x)"]
    refuses(bpx.DeviceMismatchError, words, net, lambda: call(net, AWAY.asarray))
    call(net.to(AWAY), AWAY.asarray)
    call(net, lambda x: strict.asarray(AWAY.asarray(x), device=HOME.device))


@given
@pytest.mark.parametrize("lib", ["strict", "torch", "cupy"], indirect=True)
def test_an_array_of_another_library_is_refused_with_both_names_and_a_remedy(lib, call):
    net = classifier("numpy")
    words = ["'numpy'", lib.package, str(lib.device), "net.to(", "host copy"]
    message = refuses(bpx.DeviceMismatchError, words, net, lambda: call(net, lib.asarray))
    # The remedy, word for word.
    remedy = message.partition("one to the other: ")[2].partition(", or")[0]
    there = eval(remedy, {"net": net, "bpx": bpx, "array_api_strict": strict, "x": lib.asarray(X)})
    assert there.backend == lib
    call(there, lib.asarray)
    call(net, lambda x: lib.to_host(lib.asarray(x)))


# ---------------------------------------------------------------------- arguments

BAD_NETWORKS = {
    "one size": ({"sizes": [3]}, ValueError, ["at least two layers", "[3]"]),
    "a size of 0": ({"sizes": [3, 0, 2]}, ValueError, ["at least one neuron", "[3, 0, 2]"]),
    "a broken size": ({"sizes": [3, 2.5]}, TypeError, ["list of integers", "[3, 2.5]"]),
    "a number for sizes": ({"sizes": 3}, TypeError, ["list of integers", "got 3"]),
    "softmax with one output": ({"sizes": [3, 1]}, ValueError, ["softmax", "one output", "'sigmoid'"]),
    "softmax inside": ({"hidden": "softmax"}, ValueError, ["hidden", "'softmax'", "output layer only"]),
    "too many activations": ({"hidden": ["relu"] * 2}, ValueError, ["hidden", "list of 1", "got 2"]),
    "activation that is no name": ({"hidden": 3}, TypeError, ["activation", "int"]),
    "bias that is a number": ({"bias": 1}, TypeError, ["bias", "True or False", "1"]),
    "initializer that is no name": ({"init": 3}, TypeError, ["initializer", "int"]),
    "initializer of a wrong shape": ({"init": lambda *_: (np.ones(1), 0.0)}, bpx.ShapeError, ["(3, 4)", "(1,)"]),
    "NaN weights": ({"init": lambda r, i, o: (NAN * np.ones((i, o)), np.ones(o))}, bpx.NonFiniteError, ["init"]),
    "dropout of 1": ({"dropout": 1.0}, ValueError, ["dropout", "[0, 1)", "1.0"]),
    "negative dropout": ({"dropout": [-0.1]}, ValueError, ["dropout", "[0, 1)", "-0.1"]),
    "NaN dropout": ({"dropout": NAN}, ValueError, ["dropout", "[0, 1)", "nan"]),
    "dropout that is no number": ({"dropout": "half"}, TypeError, ["dropout", "[0, 1)", "'half'"]),
    "dropout without hidden layers": ({"sizes": [3, 2], "dropout": 2.0}, ValueError, ["dropout", "[0, 1)", "2.0"]),
    "too many dropouts": ({"dropout": [0.1, 0.1]}, ValueError, ["dropout", "list of 1", "got 2"]),
    "dtype": ({"dtype": "float16"}, ValueError, ["float32 or float64", "float16"]),
    "negative seed": ({"seed": -1}, ValueError, ["seed", ">= 0", "-1"]),
    "broken seed": ({"seed": 1.5}, TypeError, ["seed", "integer", "1.5"]),
    "seeds without a stack": ({"seed": [1, 2]}, ValueError, ["seed", "2 of them"]),
    "seeds of another stack": ({"seed": [1, 2], "stack": 3}, ValueError, ["seed", "2 of them"]),
    "broken seeds": ({"seed": [1.5], "stack": 1}, TypeError, ["seed", "integer", "1.5"]),
    "stack of 0": ({"stack": 0}, ValueError, ["stack", "at least 1", "0"]),
    "stack that is no number": ({"stack": "3"}, TypeError, ["stack", "'3'"]),
    "stack that is a flag": ({"stack": True}, TypeError, ["stack", "True"]),
}  # fmt: skip
BAD_FITS = {
    "epochs of 0": ({"epochs": 0}, ValueError, ["epochs", "at least 1", "got 0"]),
    "broken epochs": ({"epochs": 2.0}, TypeError, ["epochs", "positive integer", "2.0"]),
    "batch_size of 0": ({"batch_size": 0}, ValueError, ["batch_size", "at least 1", "got 0"]),
    "negative batch_size": ({"batch_size": -5}, ValueError, ["batch_size", "at least 1", "-5"]),
    "broken batch_size": ({"batch_size": 2.5}, TypeError, ["batch_size", "positive integer", "2.5"]),
    "negative seed": ({"seed": -1}, ValueError, ["seed", ">= 0", "-1"]),
    "seed of None": ({"seed": None}, TypeError, ["seed", ">= 0", "None"]),
    "a number for stop": ({"stop": 3}, TypeError, ["stop", "bpx.stop", "3"]),
    "a word in stop": ({"stop": ["patience"]}, TypeError, ["stop", "bpx.stop", "'patience'"]),
    "a class in stop": ({"stop": [bpx.stop.Patience]}, TypeError, ["stop", "bpx.stop", "Patience"]),
    "val_loss without validation": ({"stop": bpx.stop.Patience()}, ValueError, ["'val_loss'", "validation=0.2"]),
    "unknown monitor": (
        {"stop": bpx.stop.TargetLoss(0.1, "score")},
        ValueError,
        ["'loss'", "function of the run", "'score'"],
    ),
    "a number for callbacks": ({"callbacks": 3}, TypeError, ["callbacks", "bpx.Callback", "3"]),
    "a number in callbacks": ({"callbacks": [3]}, TypeError, ["callbacks", "bpx.Callback", "3"]),
    "a class in callbacks": ({"callbacks": [bpx.Callback]}, TypeError, ["callbacks", "bpx.Callback"]),
    "validation that is one array": ({"validation": X}, TypeError, ["validation", "(X_val, y_val)"]),
    "validation of one": ({"validation": (X,)}, TypeError, ["validation", "(X_val, y_val)"]),
    "optimizer class": ({"optimizer": bpx.Adam}, TypeError, ["optimizer", "name or object"]),
    "rates without a stack": ({"optimizer": bpx.SGD([0.1, 0.2])}, ValueError, ["learning_rate", "one number", "(2,)"]),
}
BAD_OBJECTIVES = {
    "negative l2": ({"l2": -0.1}, ValueError, ["l2", ">= 0", "-0.1"]),
    "NaN l2": ({"l2": NAN}, ValueError, ["l2", "finite", "nan"]),
    "l2 that is no number": ({"l2": "small"}, TypeError, ["l2", ">= 0", "'small'"]),
    "two l2 for one network": ({"l2": [0.1, 0.2]}, ValueError, ["l2", "()", "(2,)"]),
    "loss that is no name": ({"loss": 3}, TypeError, ["loss", "int"]),
    "loss that does not fit": ({"loss": "binary_cross_entropy", "output": "tanh"}, ValueError, ["'sigmoid'", "'tanh'"]),
    "labels without softmax": ({"loss": "cross_entropy", "output": "sigmoid"}, ValueError, ["'softmax'", "'sigmoid'"]),
    "loss of three columns": ({"loss": losses.quantile([0.1, 0.5, 0.9])}, ValueError, ["3 outputs", "has 2"]),
}
LEARNING_RATE = ["learning rate", "positive and finite"]
BAD_OBJECTS = {
    **{
        f"learning rate {r}": (lambda r=r: bpx.Adam(r), ValueError, [*LEARNING_RATE, str(r)]) for r in (0, -1, NAN, INF)
    },
    "learning rate of a schedule": (lambda: bpx.schedules.Cosine(0.0, 10), ValueError, [*LEARNING_RATE, "0.0"]),
    "learning rate that is no number": (lambda: bpx.SGD("fast"), TypeError, [*LEARNING_RATE, "'fast'"]),
    "momentum": (lambda: bpx.SGD(0.1, 1.5), ValueError, ["momentum", "[0.0, 1.0]", "got 1.5"]),
    "clip_norm": (lambda: bpx.Adam(clip_norm=0.0), ValueError, ["clip_norm", "positive", "0.0"]),
    "epsilon": (lambda: bpx.RMSprop(epsilon=0.0), ValueError, ["epsilon", "positive", "0.0"]),
    "patience": (lambda: bpx.stop.Patience("loss", 0), ValueError, ["patience", "at least 1", "0"]),
    "min_delta": (lambda: bpx.stop.Patience(min_delta=-1.0), ValueError, ["min_delta", ">= 0", "-1.0"]),
    "mode": (lambda: bpx.stop.Patience(mode="up"), ValueError, ["mode", "'min' or 'max'", "'up'"]),
    "error rate": (lambda: bpx.stop.ErrorRate(NAN), ValueError, ["threshold", "> 0", "nan"]),
    "seconds": (lambda: bpx.stop.TimeLimit(INF), ValueError, ["seconds", "> 0", "inf"]),
    "target loss": (lambda: bpx.stop.TargetLoss(NAN), ValueError, ["loss", "finite", "nan"]),
    "slope": (lambda: activations.leaky_relu(-0.1), ValueError, ["slope", "[0, 1)", "-0.1"]),
    "quantile": (lambda: losses.quantile(1.0), ValueError, ["levels inside (0, 1)", "1.0"]),
}


@pytest.mark.parametrize(("options", "error", "words"), BAD_NETWORKS.values(), ids=BAD_NETWORKS)
def test_a_network_that_makes_no_sense_is_refused(options, error, words):
    with pytest.raises(error) as caught:
        bpx.MLP(**({"sizes": [3, 4, 2]} | options))
    assert type(caught.value) is error
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(("make", "error", "words"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_number_out_of_range_is_refused_where_it_is_given(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert type(caught.value) is error
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(("options", "error", "words"), BAD_FITS.values(), ids=BAD_FITS)
def test_bad_training_arguments_are_refused_before_training(lib, options, error, words):
    net = classifier(lib)
    refuses(error, words, net, lambda: bpx.fit(net, X, LABELS, **options))


@calls("loss_and_grads", "fit")
@pytest.mark.parametrize(("options", "error", "words"), BAD_OBJECTIVES.values(), ids=BAD_OBJECTIVES)
def test_an_objective_that_makes_no_sense_is_refused(lib, call, options, error, words):
    net = classifier(lib, output=options.get("output", "softmax"))
    options = {name: value for name, value in options.items() if name != "output"}
    refuses(error, words, net, lambda: call(net, X, LABELS, **options))


@calls("loss_and_grads", "input_gradient", "fit")
@pytest.mark.parametrize("where", ["hidden", "output"])
def test_step_runs_forward_and_has_no_gradient(lib, call, where):
    net = bpx.MLP([3, 4, 1], **({"output": "sigmoid"} | {where: "step"}), backend=lib)
    assert net(X).shape == (4, 1)
    words = ["'step'", "forward only", "'sigmoid'"]
    refuses(bpx.NotDifferentiableError, words, net, lambda: call(net, X, [0, 1, 1, 0], loss="squared_error"))


@pytest.mark.parametrize("method", solvers.METHODS)
@pytest.mark.parametrize(("options", "word"), [({"stack": 2}, "a stack of 2"), ({"dropout": 0.5}, "dropout=[0.5]")])
def test_scipys_solvers_refuse_what_they_cannot_train(lib, method, options, word):
    net = classifier(lib, **options)
    refuses(ValueError, [method, word, "'adam'"], net, lambda: bpx.fit(net, X, LABELS, optimizer=method))


UNKNOWN = {
    "hidden": (lambda name: bpx.MLP([3, 4, 2], hidden=name), activations.ACTIVATIONS),
    "hidden of no layer": (lambda name: bpx.MLP([3, 2], hidden=name), activations.ACTIVATIONS),
    "output": (lambda name: bpx.MLP([3, 2], output=name), activations.ACTIVATIONS),
    "init": (lambda name: bpx.MLP([3, 2], init=name), initializers.INITIALIZERS),
    "backend": (lambda name: bpx.MLP([3, 2], backend=name), ["auto", "numpy", "cupy", "torch"]),
    "loss": (lambda name: bpx.fit(classifier(), X, LABELS, loss=name), losses.LOSSES),
    "loss of loss_and_grads": (lambda name: classifier().loss_and_grads(X, LABELS, loss=name), losses.LOSSES),
    "optimizer": (lambda name: bpx.fit(classifier(), X, LABELS, optimizer=name), optimizers.OPTIMIZERS),
    "optimizer of SciPy": (lambda name: bpx.fit(classifier(), X, LABELS, optimizer=name), solvers.METHODS),
    "solver": (bpx.SciPy, solvers.METHODS),
    "sampling": (lambda name: bpx.fit(classifier(), X, LABELS, sampling=name), array_feed.SAMPLINGS),
}  # fmt: skip


@pytest.mark.parametrize(("call", "known"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_name_is_refused_with_the_known_ones(call, known):
    with pytest.raises(ValueError, match=r"unknown .*'nonsense'") as caught:
        call("nonsense")
    assert all(name in str(caught.value) for name in known), str(caught.value)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"0.W": np.ones((4, 3))}, bpx.ShapeError, ["0.W", "(3, 4)", "(4, 3)"]),
        ({"1.b": [0.0, NAN]}, bpx.NonFiniteError, ["1.b", "finite", "(1,)"]),
        ({"1.b": ["a", "b"]}, TypeError, ["1.b", "expected numbers"]),
        ({"2.W": np.ones((3, 4))}, KeyError, ["'2.W'", "0.W, 0.b, 1.W, 1.b"]),
    ],
)
def test_bad_parameters_are_refused_together_with_the_good_ones_beside_them(lib, bad, error, words):
    net = classifier(lib)
    refuses(error, words, net, lambda: net.set_params({"0.b": np.ones(4)} | bad))


# ---------------------------------------------------------------------- messages for odd input

ROWS = np.linspace(-1.0, 1.0, 24).reshape(8, 3)
TWO = np.arange(8) % 2
REAL = np.linspace(0.1, 0.9, 8)
Q3 = bpx.MLP([3, 4, 3], output="identity", backend="numpy")
NUMBER = bpx.MLP([3, 4, 1], output="identity", backend="numpy")
ODD_INPUT = {
    "quantiles": (lambda net: bpx.fit(Q3, ROWS, REAL, loss=losses.quantile([0.1, 0.5, 0.9])), "repeat it, numpy."),
    "numbers for several outputs": (
        lambda net: bpx.fit(Q3, ROWS, REAL, loss="squared_error"), "give the network one output"
    ),
    "labels for several outputs": (lambda net: bpx.fit(Q3, ROWS, TWO, loss="squared_error"), "into one-hot rows"),
    "two columns for one output": (
        lambda net: bpx.fit(NUMBER, ROWS, np.eye(2)[TWO], loss="squared_error"), "give the network 2 outputs"
    ),
    "one row to predict": (lambda net: bpx.predict(net, ROWS[0]), "of one sample give X[None, :], or call net(X)"),
    "one list to predict": (lambda net: bpx.predict(net, [1.0, 2.0, 3.0]), "of one sample give [X]"),
    "one tuple to predict": (lambda net: bpx.predict(net, (1.0, 2.0, 3.0)), "of one sample give [X]"),
    "nothing to predict": (lambda net: bpx.predict(net, ROWS[:0]), "X: expected at least one row"),
    "three dimensions": (lambda net: bpx.predict(net, ROWS[None]), "expected 2 dimensions (samples, columns), got"),
    "rows without targets": (lambda net: bpx.fit(net, ROWS.tolist()), "y: expected targets, got None"),
    "one sample, many targets": (lambda net: bpx.fit(net, ROWS[0], TWO), "X is one sample"),
    "None": (lambda net: net(None), "X: expected numbers, got a NoneType"),
    "a generator": (lambda net: bpx.fit(net, (row for row in ROWS), TWO), "expected numbers, got a generator"),
    "a generator of targets": (lambda net: bpx.fit(net, ROWS, (t for t in TWO)), "y: expected numbers, got a"),
    "complex": (lambda net: net(ROWS + 0j), "got dtype complex128; take X.real"),
    "ragged": (lambda net: net([[1, 2, 3], [1, 2]]), "numbers, got rows of different lengths"),
    "numbers as labels": (lambda net: bpx.fit(net, ROWS, REAL), "loss='squared_error' and output='identity'"),
    "labels as floats": (lambda net: bpx.fit(net, ROWS, TWO * 1.0), "convert them with y.astype(int)"),
    "missing labels": (lambda net: bpx.fit(net, ROWS, np.where(TWO, np.nan, 0)), "y: expected finite numbers, got 4"),
    "labels in a column": (lambda net: bpx.fit(net, ROWS, TWO[:, None]), "labels have one dimension, use y.ravel()"),
    "turned": (lambda net: bpx.fit(net, ROWS, np.eye(2)[TWO].T), "rows are samples, use y.T"),
    "huge labels": (
        lambda net: bpx.fit(net, ROWS, np.full(8, 2**64 - 1, dtype=np.uint64)), "from 18446744073709551615 to"
    ),
    "balanced weights": (lambda net: bpx.fit(net, ROWS, TWO, sample_weight="balanced"), "are class_weight='balanced'"),
    "weights of classes": (lambda net: bpx.fit(net, ROWS, TWO, sample_weight={0: 2.0}), "are class_weight={0: 2.0}"),
    "weights in a column": (
        lambda net: bpx.fit(net, ROWS, TWO, sample_weight=np.ones((8, 1))), "use sample_weight.ravel()"
    ),
    "validation without targets": (lambda net: bpx.fit(net, ROWS, TWO, validation=ROWS), "got a ndarray"),
    "a loss's class": (lambda net: bpx.fit(net, ROWS, TWO, loss=bpx.Loss), "got the class Loss; call it"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_INPUT)
def test_odd_input_is_told_in_one_line_what_to_give(case):
    call, words = ODD_INPUT[case]
    net = classifier()
    before = net.flat.copy()
    with pytest.raises((TypeError, ValueError)) as caught:
        call(net)
    message = str(caught.value)
    assert words in message, message
    assert "\n" not in message
    assert len(message) < 210
    np.testing.assert_array_equal(net.flat, before)


# ---------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("value", "options", "error", "message"),
    [
        (0, {}, ValueError, "n: expected at least 1, got 0"),
        (2, {"least": 3}, ValueError, "n: expected at least 3, got 2"),
        (-1, {"least": 0}, ValueError, "n: expected an integer >= 0, got -1"),
        (2.0, {}, TypeError, "n: expected a positive integer, got 2.0"),
        (True, {"otherwise": ", or None"}, TypeError, "n: expected a positive integer, or None, got True"),
        ("3", {"least": 0}, TypeError, "n: expected an integer >= 0, got '3'"),
    ],
)
def test_what_is_no_count_is_refused(value, options, error, message):
    with pytest.raises(error) as caught:
        check_count("n", value, **options)
    assert str(caught.value) == message


def test_a_count_is_an_int():
    assert type(check_count("n", np.int64(3))) is int

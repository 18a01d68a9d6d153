"""A name that bpx does not have, such as another library's, is refused in one line that says what to write."""

from __future__ import annotations

import inspect
import re
import traceback

import numpy as np
import pytest

import bpx
from bpx.errors.hint_tables import INSTEAD, VALUES
from bpx.errors.hints import instead_of
from bpx.formulas.activations import ACTIVATIONS
from bpx.formulas.initializers import INITIALIZERS
from bpx.formulas.losses import LOSSES
from bpx.formulas.metrics import METRICS
from bpx.formulas.optimizers import OPTIMIZERS
from bpx.training.array_feed import SAMPLINGS
from bpx.training.solvers import METHODS

X, Y = [[0.0, 1.0], [1.0, 0.0]], [0, 1]
NET = bpx.MLP([2, 3, 2], backend="numpy")

FIT = [
    ({"learning_rate": 0.1}, "bpx.fit has no learning_rate=; give optimizer=bpx.Adam(0.1)"),
    ({"lr": 0.1, "optimizer": "sgd"}, "bpx.fit has no lr=; give optimizer=bpx.SGD(0.1)"),
    ({"lr": 0.1, "optimizer": bpx.RMSprop()}, "give optimizer=bpx.RMSprop(0.1)"),
    ({"max_iter": 7}, "bpx.fit has no max_iter=; give epochs=7"),
    ({"n_epochs": 7}, "give epochs=7"),
    ({"verbose": True}, "give progress=True"),
    ({"validation_data": (X, Y)}, "give validation=(X_val, y_val)"),
    ({"validation_split": 0.2}, "give validation=0.2"),
    ({"early_stopping": True}, "give stop=bpx.stop.Patience(patience=10), with validation="),
    ({"patience": 3}, "give stop=bpx.stop.Patience("),
    ({"weight_decay": 0.1}, "give optimizer=bpx.AdamW(weight_decay=0.1), or l2="),
    ({"momentum": 0.9}, "give optimizer=bpx.SGD(learning_rate=0.01, momentum=0.9)"),
    ({"dropout": 0.2}, "bpx.MLP(sizes, dropout=0.2)"),
    ({"device": "cupy"}, "bpx.MLP(sizes, backend='cupy')"),
    ({"criterion": "mse"}, "bpx.fit has no criterion=; give loss='squared_error'"),
    ({"loss_fn": "CrossEntropyLoss"}, "give loss='cross_entropy'"),
    ({"loss_fn": "own"}, "give loss=..."),
    ({"verbose": 0}, "bpx.fit has no verbose=; leave it out, training is quiet by default"),
    ({"verbose": False}, "leave it out, training is quiet"),
    ({"early_stopping": False}, "leave it out, training stops early only by rules in stop="),
    ({"validation_split": 0}, "leave it out, rows are held out only by validation="),
    ({"validation_split": 1.5}, "give validation=..."),
    ({"activation": "ReLU"}, "it belongs to the network, bpx.MLP(sizes, hidden='relu')"),
    ({"device": "cuda"}, "bpx.MLP(sizes, backend='cupy'); there are 'numpy', 'cupy', 'torch:cuda'"),
    ({"device": "cpu"}, "bpx.MLP(sizes, backend='numpy')"),
    ({"shuffle": False}, "give sampling='sequential'"),
    ({"lr": -1.0}, "give optimizer=bpx.Adam(...)"),
    ({"epoch": 3}, "bpx.fit has no epoch=; did you mean epochs?"),
    ({"wholly_other": 3}, "bpx.fit has no wholly_other=; there are net, X, y, loss, optimizer"),
]

CALLS = {
    "no data": (lambda: bpx.fit(NET), "bpx.fit(net, X, ...) missing 1 required positional argument: 'X'"),
    "forward": (lambda: NET(X, Y), "net.forward(X, ...) takes 2 positional arguments but 3 were given"),
    "predict": (lambda: bpx.predict(NET, X, batch_size=9), "bpx.predict has no batch_size=; rows are read in blocks"),
    "loss_and_grads": (lambda: NET.loss_and_grads(X, Y, weights=Y), "net.loss_and_grads has no weights="),
    "trace": (lambda: bpx.trace(NET, X, Y, lr=0.1), "bpx.trace has no lr=; give learning_rate=0.1"),
    "check_gradients": (lambda: bpx.check_gradients(NET, X, Y, eps=1.0), "did you mean epsilon?"),
    "check_parity": (lambda: bpx.check_parity(NET, X, Y, backend="numpy"), "did you mean backends?"),
    "stream": (lambda: bpx.stream(X, weight=Y), "bpx.stream has no weight="),
    "MLP, sizes": (lambda: bpx.MLP(hidden_layer_sizes=(9,)), "has no hidden_layer_sizes=; give sizes=[inputs,"),
    "MLP, activation": (lambda: bpx.MLP([2, 2], activation="relu"), "has no activation=; give hidden='relu'"),
    "MLP, ReLU": (lambda: bpx.MLP([2, 2], activation="ReLU"), "give hidden='relu'"),
    "MLP, device": (lambda: bpx.MLP([2, 2], device="cuda:1"), "give backend='cupy:1'; there are 'numpy', "),
    "MLP, sizes one by one": (lambda: bpx.MLP(3, 4, 2), "sizes: expected a list of integers such as"),
    "MLP, rate": (lambda: bpx.MLP([2, 2], lr=0.1), "it belongs to training, bpx.fit(net, X, y, ...)"),
    "Adam": (lambda: bpx.Adam(lr=0.1), "bpx.Adam has no lr=; give learning_rate=0.1"),
    "Adam, decay": (lambda: bpx.Adam(weight_decay=0.1), "use bpx.AdamW(weight_decay=0.1)"),
    "SGD": (lambda: bpx.SGD(0.1, mometum=0.9), "bpx.SGD has no mometum=; did you mean momentum?"),
    "SGD, betas": (lambda: bpx.SGD(betas=(0.9, 0.99)), "bpx.SGD has no betas=; there are learning_rate, "),
    "SGD, eps": (lambda: bpx.SGD(eps=1e-8), "bpx.SGD has no eps=; there are learning_rate, "),
    "RMSprop, betas": (lambda: bpx.RMSprop(betas=(0.9, 0.99)), "bpx.RMSprop has no betas=; there are learning_rate, "),
    "RMSprop, eps": (lambda: bpx.RMSprop(eps=1e-8), "bpx.RMSprop has no eps=; give epsilon=1e-08"),
    "Adam, betas": (lambda: bpx.Adam(betas=(0.9, 0.99)), "bpx.Adam has no betas=; give beta_1= and beta_2="),
    "SGD, positional": (lambda: bpx.SGD(*[0.1] * 9), "bpx.SGD(...) takes from 1 to "),
    "Cosine": (lambda: bpx.schedules.Cosine(0.1, T_max=9), "bpx.schedules.Cosine has no T_max=; give length=9"),
    "StepDecay": (lambda: bpx.schedules.StepDecay(0.1, T_max=9), "has no T_max=; there are initial, every, factor"),
    "Patience": (lambda: bpx.stop.Patience(metric="loss"), "bpx.stop.Patience has no metric=; give monitor='loss'"),
    "Patience, acc": (lambda: bpx.stop.Patience(metric="val_acc"), "give monitor='val_accuracy'"),
    "TimeLimit": (lambda: bpx.stop.TimeLimit(), "bpx.stop.TimeLimit(seconds, ...) missing 1 required"),
    "CSVLogger": (
        lambda: bpx.callbacks.CSVLogger(file="a.csv"),
        "CSVLogger has no file=; there are path",
    ),
    "JSONLinesLogger": (lambda: bpx.callbacks.JSONLinesLogger(), "bpx.callbacks.JSONLinesLogger(path, ...) missing 1"),
    "save": (lambda: NET.save("a.npz", overwrite=True), "net.save has no overwrite=; there are path, metadata"),
    "load": (lambda: bpx.load("a.npz", zzz=1), "bpx.load has no zzz=; there are path, backend, activations"),
    "sweep": (lambda: bpx.sweep(lambda: NET, {"l2": [0.0]}, X, Y, lr=0.1), "put it into the grid"),
    "grid": (
        lambda: bpx.sweep(lambda: bpx.MLP([2, 2]), {"lr": [0.1]}, X, Y),
        "unexpected keyword argument 'lr': names that are no arguments of bpx.fit and no hyperparameters of Adam are",
    ),
    "grid, passed on": (
        lambda: bpx.sweep(lambda **more: bpx.MLP([2, 2], **more), {"max_iter": [9]}, X, Y),
        "no hyperparameters of Adam are given to it; use 'epochs'",
    ),
}


def one_line(error, call, words, frames=3):
    """`call` raises the error with these words in one line, with no other error behind it, from few frames."""
    with pytest.raises(error) as caught:
        call()
    raised = caught.value
    assert type(raised) is error
    assert words in str(raised)
    assert "\n" not in str(raised)
    assert raised.__cause__ is None
    assert raised.__suppress_context__ or raised.__context__ is None
    assert len(traceback.extract_tb(raised.__traceback__)) - 2 <= frames  # this one and the test's
    return raised


@pytest.mark.parametrize(("given", "words"), FIT, ids=[" ".join(given) for given, _ in FIT])
def test_fit_says_what_to_write_for_the_names_of_other_libraries(given, words):
    before = NET.flat.copy()
    one_line(TypeError, lambda: bpx.fit(NET, X, Y, **given), words)
    np.testing.assert_array_equal(NET.flat, before)


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_is_refused_in_one_line(name):
    call, words = CALLS[name]
    one_line(TypeError, call, words, frames=9 if name.startswith(("grid", "MLP, sizes one")) else 3)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_an_estimator_says_what_to_write_for_the_names_of_others(name):
    pytest.importorskip("sklearn")
    cls = getattr(bpx, name)
    one_line(TypeError, lambda: cls(lr=0.1), f"bpx.{name} has no lr=; give learning_rate_init=0.1")
    one_line(TypeError, lambda: cls(epochs=9), "give max_iter=9")
    one_line(TypeError, lambda: cls(max_iterations=9), "did you mean max_iter?")
    words = f"bpx.{name}.fit has no validation=; give X_val= and y_val="
    one_line(TypeError, lambda: cls().fit(X, Y, validation=(X, Y)), words, frames=9)
    one_line(TypeError, lambda: cls().fit(X, Y, epochs=9), "est.set_params(max_iter=9)", frames=9)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fit", "use bpx.fit(net, X, y)"),
        ("train", "use bpx.fit(net, X, y)"),
        ("compile", "give loss= and optimizer= to bpx.fit"),
        ("predict", "use net(X), or bpx.predict(net, X)"),
        ("predict_proba", "bpx.predict(net, X)"),
        ("score", "bpx.predict(net, X)"),
        ("state_dict", "use net.params"),
        ("pramas", "did you mean params?"),
    ],
)
def test_a_network_says_what_to_write_for_the_methods_of_others(name, words):
    one_line(AttributeError, lambda: getattr(NET, name), words)
    assert not hasattr(NET, name)


def test_an_error_inside_a_call_is_not_taken_for_a_wrong_call():
    def loss(xp, output, target):
        raise TypeError("loss() got an unexpected keyword argument 'lr'")

    with pytest.raises(TypeError, match=r"^loss"):
        bpx.fit(NET, X, np.eye(2), loss=loss)
    with pytest.raises(TypeError, match=r"^expected a loss's name"):
        bpx.trace(NET, X[0], [0.0, 1.0], loss=3)


# What may be given to any argument by mistake.
ODD = (
    True, False, None, 0, 1, 3, -1, 0.0, 0.5, 1.0, 1.5, -0.1, float("nan"), float("inf"), "mse", "BCELoss", "nonsense",
    "ReLU", "Softmax", "Adam", "l-bfgs", "xavier", "cpu", "float64", "float16", "loss", "", "x" * 99, [1], np.ones(2),
)  # fmt: skip


def evaluated(text):
    """The value of what a hint tells to write."""
    return eval(text, {"bpx": bpx})


def calls_of(owner, hint):
    """What the hint says with a value in it, as calls that are made."""
    made = {
        "bpx.fit": lambda **given: bpx.fit(
            bpx.MLP([2, 2], output="sigmoid" if "binary" in str(given) else "softmax", backend="numpy"), X * 5,
            np.eye(2)[Y * 5], **{"epochs": 1} | given,
        ),
        "bpx.MLP": lambda **given: bpx.MLP([2, 3, 2], **{"backend": "numpy"} | given),
        "bpx.trace": lambda **given: bpx.trace(NET, X[0], 1, **given),
        "bpx.sweep": lambda **given: bpx.sweep(lambda: bpx.MLP([2, 2], backend="numpy"), {"l2": [0.0]}, X * 5, Y * 5,
                                               epochs=1, **given),
        "a stopping rule": lambda **given: bpx.stop.Patience(**{"patience": 3} | given),
    }  # fmt: skip
    for inner in re.findall(r"bpx\.MLP\(sizes, (.*?)\)", hint):
        yield lambda inner=inner: made["bpx.MLP"](**evaluated(f"dict({inner})"))
    for inner in re.findall(r"(bpx\.(?:SGD|RMSprop|Adagrad|Adam|AdamW)\(.*?\))", hint):
        yield lambda inner=inner: evaluated(inner)
    for inner in re.findall(r"set_params\((.*?)\)", hint):
        pytest.importorskip("sklearn")
        yield lambda inner=inner: bpx.MLPClassifier(**evaluated(f"dict({inner})")).fit(X, Y)
    inner = re.match(r"give (\w+=(?:'[^']*'|[^',; (]++(?!\()))", hint)
    if inner is None:
        return
    given = evaluated(f"dict({inner[1]})")
    if owner == "an optimizer":
        classes = [bpx.RMSprop] if "rho" in given else [bpx.RMSprop, bpx.Adam]
        yield from (lambda cls=cls: cls(**given) for cls in classes)
    elif owner == "a schedule":
        for cls in (bpx.schedules.Cosine, bpx.schedules.StepDecay):
            if given.keys() <= inspect.signature(cls).parameters.keys():
                yield lambda cls=cls: cls(**{"initial": 0.1} | ({"length": 9} if "Cosine" in str(cls) else {}) | given)
    elif owner == "an estimator":
        pytest.importorskip("sklearn")
        estimator = bpx.MLPRegressor if "relu" in given.values() else bpx.MLPClassifier
        yield lambda: estimator(**{"max_iter": 1} | given).fit([*X, [1.0, 1.0]], [0, 1, 2])
    else:
        yield lambda: made[owner](**given)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("owner", [owner for owner, hints in INSTEAD.items() if "{value}" in str(hints)])
def test_a_value_that_a_hint_tells_to_write_is_taken(owner, monkeypatch):
    monkeypatch.setenv("BPX_BACKEND_STRICT", "0")
    tried, known = 0, ["rho", "epsilon", "learning_rate", "clip_norm", "initial", "length", "minimum", "every",
                       "factor", "monitor", "patience", "min_delta", "restore_best"]  # fmt: skip
    message = {instead_of(owner, name, known, {name: value}) for name in INSTEAD[owner] for value in ODD}
    for hint in sorted(message - {instead_of(owner, name, known) for name in INSTEAD[owner]}):
        for call in calls_of(owner, hint):
            tried += 1
            try:
                call()
            except Exception as error:
                raise AssertionError(f"{owner}: {hint}") from error
    assert tried


def test_the_names_of_other_libraries_are_of_values_that_there_are():
    tables = {"loss": LOSSES, "activation": ACTIVATIONS, "optimizer": OPTIMIZERS | METHODS, "metric": METRICS,
              "initializer": INITIALIZERS, "sampling": SAMPLINGS}  # fmt: skip
    for kind, known in tables.items():
        assert set(VALUES[kind]) == set(known), kind


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bpx.fit(NET, X, Y, "mse"), "unknown loss 'mse' (did you mean 'squared_error'?); known are"),
        (lambda: bpx.fit(NET, X, Y, "BCELoss"), "did you mean 'binary_cross_entropy'?"),
        (lambda: bpx.fit(NET, X, Y, "squared_eror"), "did you mean 'squared_error'?"),
        (lambda: bpx.fit(NET, X, Y, optimizer="momentum"), "did you mean 'sgd'?"),
        (lambda: bpx.fit(NET, X, Y, metrics=["acc"]), "did you mean 'accuracy'?"),
        (lambda: bpx.MLP([2, 3, 2], hidden="Swish"), "did you mean 'silu'?"),
        (lambda: bpx.MLP([2, 3, 2], init="xavier"), "did you mean 'glorot_uniform'?"),
        (lambda: bpx.MLP([2, 3, 2], backend="gpu"), "did you mean 'cupy'?"),
        (lambda: bpx.MLP([2, 3, 2], backend="cuda:1"), "did you mean 'cupy:1'?"),
        (lambda: bpx.sweep(lambda: bpx.MLP([2, 2]), {"l2": [0.0]}, X * 5, Y * 5, scoring="acc"), "mean 'accuracy'?"),
    ],
)  # fmt: skip
def test_an_unknown_value_is_answered_with_the_one_that_is_meant(call, words):
    one_line(ValueError, call, words, frames=30)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bpx.fit(bpx.MLPClassifier(), X, Y), "an estimator has a method of its own, estimator.fit(X, y)"),
        (lambda: bpx.predict(bpx.MLPClassifier(), X), "estimator.predict(X)"),
        (lambda: bpx.fit(X, NET, Y), "net: expected a bpx.MLP, got list; the network comes first, bpx.fit(net, X, y)"),
        (lambda: bpx.fit(X, Y, NET), "the network comes first, bpx.fit(net, X, y)"),
        (lambda: bpx.predict(X, NET), "the network comes first, bpx.predict(net, X)"),
        (lambda: bpx.predict(NET, 3.0), "X: expected an array of rows, or an iterable of them, got 3.0; one row is"),
        (lambda: bpx.predict(NET, None), "X: expected an array of rows, or an iterable of them, got None"),
    ],
)  # fmt: skip
def test_what_is_no_network_or_no_data_is_told_the_right_call(call, words):
    pytest.importorskip("sklearn")
    one_line(TypeError, call, words, frames=9)


def test_an_unknown_value_that_nobody_knows_is_answered_with_those_that_there_are():
    message = one_line(
        ValueError, lambda: bpx.fit(NET, X, Y, "sadness"), "unknown loss 'sadness'; known are", frames=30
    )
    assert "did you mean" not in str(message)


def test_what_a_hint_tells_to_write_is_there():
    for cls in OPTIMIZERS.values():
        assert getattr(bpx, cls.__name__) is cls
    history = bpx.fit(
        bpx.MLP([2, 3, 2], dropout=0.2, hidden="relu", backend="numpy"), X, Y,
        optimizer=bpx.AdamW(weight_decay=0.1), epochs=2, stop=bpx.stop.Patience(patience=10), validation=(X, Y),
    )  # fmt: skip
    assert history.epochs == 2
    bpx.Adam(bpx.schedules.Cosine(0.001, length=20))


# ---------------------------------------------------------------------- the loss where none is named


def test_the_default_loss_is_the_same_everywhere():
    takes = [bpx.fit, bpx.check_gradients, bpx.check_parity, bpx.MLP.loss_and_grads, bpx.MLP.input_gradient]
    assert {inspect.signature(one).parameters["loss"].default for one in takes} == {"cross_entropy"}


@pytest.mark.parametrize("output", sorted(ACTIVATIONS.keys() - {"step"}))
def test_a_step_is_traced_with_fits_loss_where_it_is_defined_and_else_with_squared_error(output):
    net = bpx.MLP([2, 3, 2], output=output, dtype="float64", backend="numpy")
    x, y = [0.3, -0.2], [0.25, 0.75]
    step = bpx.trace(net, x, y)
    assert step.loss_name == ("cross_entropy" if output == "softmax" else "squared_error")
    assert step.loss == pytest.approx(float(net.loss_and_grads(x, y, step.loss_name)[0]), rel=1e-12)
    if output == "softmax":
        assert step.loss == float(net.loss_and_grads(x, y)[0])
    else:
        with pytest.raises(ValueError, match="or give another loss, such as"):
            bpx.fit(net, [x], [y])


# ---------------------------------------------------------------------- hints that work where they are given


class Arrays:
    """Rows of another library's kind."""

    def __array__(self, dtype=None, copy=None):
        return np.array(X)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bpx.Adam(alpha=0.1), "bpx.Adam has no alpha=; a penalty on weights is l2=0.1 of bpx.fit, or weight_"),
        (lambda: bpx.SGD(alpha=0.1), "bpx.SGD has no alpha=; a penalty on weights is l2=0.1 of bpx.fit"),
        (lambda: bpx.AdamW(alpha=0.1), "bpx.AdamW has no alpha=; give weight_decay=0.1"),
        (lambda: bpx.RMSprop(alpha=0.1), "bpx.RMSprop has no alpha=; give rho=0.1"),
        (lambda: bpx.fit(NET, X, Y, validation_split=np.float64(0.2)), "no validation_split=; give validation=0.2"),
        (lambda: bpx.fit(NET, X, Y, validation_split=np.float32(0.2)), "no validation_split=; give validation=0.2"),
        (lambda: bpx.fit(NET, X, Y, max_iter=np.int64(7)), "bpx.fit has no max_iter=; give epochs=7"),
        (lambda: bpx.fit(NET, X, Y, verbose=np.bool_(False)), "leave it out, training is quiet by default"),
        (
            lambda: bpx.predict(NET, (part for part in [X])),
            "X: expected batches that can be iterated over again, got generator, which can be iterated over once",
        ),
        (lambda: bpx.predict(NET, Arrays()), "expected an array, or an iterable of them, got Arrays; use numpy.asarr"),
        (lambda: bpx.stream(Arrays()), "X: expected an array, or an iterable of batches (X, y), got Arrays; give y"),
    ],
)
def test_a_hint_is_of_the_call_that_it_answers(call, words):
    message = one_line(TypeError, call, words, frames=9)
    assert not re.search(r"np\.\w+\(", str(message))


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_what_is_said_to_partial_fit_is_there_in_partial_fit(name):
    pytest.importorskip("sklearn")
    cls = getattr(bpx, name)
    for given in ("validation", "eval_set", "X_val"):
        words = f"bpx.{name}.partial_fit has no {given}=; validation data are fit's, or look at est.score(X_val, y_val)"
        one_line(TypeError, lambda given=given: cls().partial_fit(X, Y, **{given: 0.2}), words, frames=9)
    for given in ("epochs", "max_iter"):
        words = f"partial_fit has no {given}=; a call is one epoch, call it several times"
        one_line(TypeError, lambda given=given: cls().partial_fit(X, Y, **{given: 3}), words, frames=9)


@pytest.mark.parametrize("library", ["list", "numpy", "pandas", "polars"])
def test_a_column_is_made_flat_by_what_its_library_has(library):
    library = library if library in ("list", "numpy") else pytest.importorskip(library)
    column = {"list": [[0], [1]], "numpy": np.array([[0], [1]])}
    y = column[library] if isinstance(library, str) else library.DataFrame({"t": Y})
    for call, name in (
        (lambda: bpx.fit(NET, X, y), "y"),
        (lambda: bpx.fit(NET, X, Y, sample_weight=y), "sample_weight"),
        (lambda: bpx.fit(NET, X, Y, validation=(X, y)), "y_val"),
    ):
        with pytest.raises(bpx.ShapeError) as caught:
            call()
        flat = str(caught.value).rpartition("use ")[2]
        assert name in flat
        np.testing.assert_array_equal(eval(flat, {"numpy": np, name: y}), Y)


def test_a_metric_that_writes_into_what_it_is_given_is_told_to_copy_it():
    def own(target, output):
        output[0] = 0
        return 1.0

    with pytest.raises(RuntimeError, match=r"assignment destination is read-only; .* copy it first$"):
        bpx.fit(bpx.MLP([2, 2], backend="numpy"), X, Y, metrics=[own], epochs=1)

    def other(target, output):
        raise ValueError("no")

    with pytest.raises(RuntimeError, match=r"y_pred of shape \(2, 2\)$"):
        bpx.fit(bpx.MLP([2, 2], backend="numpy"), X, Y, metrics=[other], epochs=1)

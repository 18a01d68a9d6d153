"""Data frames of pandas (nullable, too), polars and pyarrow are taken as arrays are; dask arrays say what they lack."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import numpy as np
import pytest

import bpx

RNG = np.random.default_rng(0)
NUMBERS = {"age": RNG.integers(0, 90, 40), "length": RNG.normal(size=40).round(3), "member": RNG.integers(0, 2, 40) > 0}
X = np.column_stack([NUMBERS["age"], NUMBERS["length"], NUMBERS["member"]]).astype(np.float64)
Y = RNG.integers(0, 2, 40)
WEIGHT = RNG.integers(1, 4, 40)
DAYS = [date(2020, 1, 1), date(2020, 1, 2)]


def pandas(name="pandas"):
    return pytest.importorskip(name)


FRAMES = {
    "pandas": lambda: pandas().DataFrame(NUMBERS),
    "pandas, nullable": lambda: pandas().DataFrame(NUMBERS).convert_dtypes(),
    "pandas, of arrow": lambda: pandas().DataFrame(NUMBERS).convert_dtypes(dtype_backend=pandas("pyarrow").__name__),
    "pandas, index of floats": lambda: pandas().DataFrame(NUMBERS, index=np.linspace(5.0, 0.0, 40)).convert_dtypes(),
    "polars": lambda: pytest.importorskip("polars").DataFrame(NUMBERS),
    "pyarrow": lambda: pytest.importorskip("pyarrow").table(NUMBERS),
}  # fmt: skip
COLUMNS = {
    "pandas": lambda a: pandas().Series(a),
    "pandas, nullable": lambda a: pandas().Series(a).convert_dtypes(),
    "pandas, of arrow": lambda a: pandas().Series(a).convert_dtypes(dtype_backend=pandas("pyarrow").__name__),
    "polars": lambda a: pytest.importorskip("polars").Series(a),
    "pyarrow": lambda a: pytest.importorskip("pyarrow").array(a),
}


def net(**options):
    return bpx.MLP([3, 4, 2], backend="numpy", dtype="float64", **options)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_gives_the_numbers_of_its_array(kind):
    frame = FRAMES[kind]()
    one, other = net(), net()
    for network, data in ((one, X), (other, frame)):
        bpx.fit(network, data, Y, epochs=2, batch_size=16, validation=(data, Y))
    np.testing.assert_array_equal(one.flat, other.flat)
    np.testing.assert_array_equal(one(frame), one(X))
    np.testing.assert_array_equal(bpx.predict(one, frame), bpx.predict(one, X))
    gradients = [one.loss_and_grads(data, Y)[1].flat for data in (X, frame)]  # a frame's columns may lie together
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)
    np.testing.assert_array_equal(one.activations(frame)[0], one.activations(X)[0])
    scores = [bpx.sweep(net, {"l2": [0.0, 0.1]}, data, Y, epochs=1, cv=2).best_score for data in (X, frame)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_can_be_streamed(kind):
    frame, one, other = FRAMES[kind](), net(), net()
    for network, data in ((one, X), (other, frame)):
        bpx.fit(network, bpx.stream(data, Y), epochs=2, batch_size=16)
        bpx.fit(network, bpx.stream(data, Y, buffer=2000), epochs=1, batch_size=8, sampling="sequential")
    np.testing.assert_array_equal(one.flat, other.flat)


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_are_taken_as_targets_and_weights(kind):
    column, one, other = COLUMNS[kind], net(), net()
    bpx.fit(one, X, Y, sample_weight=WEIGHT, epochs=2)
    bpx.fit(other, X, column(Y), sample_weight=column(WEIGHT), epochs=2)
    np.testing.assert_array_equal(one.flat, other.flat)
    bpx.fit(other, X, column(Y > 0), epochs=1)


@pytest.mark.parametrize("kind", ["pandas, nullable", "pandas, of arrow", "polars", "pyarrow"])
def test_a_missing_value_is_refused_with_its_columns_name(kind):
    values = {"age": [1, 2, 3], "length": [0.5, None, 1.0], "member": [True, False, True]}
    library = pytest.importorskip({"polars": "polars", "pyarrow": "pyarrow"}.get(kind, "pandas"))
    frame = library.table(values) if kind == "pyarrow" else library.DataFrame(values)
    if kind.startswith("pandas"):
        frame = frame.convert_dtypes(dtype_backend="pyarrow" if kind.endswith("arrow") else "numpy_nullable")
    network = net()
    for call in (
        lambda: bpx.fit(network, frame, [0, 1, 0]),
        lambda: network(frame),
        lambda: bpx.predict(network, frame),
        lambda: network.activations(frame),
        lambda: bpx.fit(network, X, Y, validation=(frame, [0, 1, 0])),
    ):
        with pytest.raises(bpx.NonFiniteError, match=r"index \(1, 1\) in column 'length'; remove or impute"):
            call()


def test_a_missing_target_is_no_class():
    y = pandas().Series(Y).convert_dtypes()
    y[3] = pandas().NA
    with pytest.raises(bpx.NonFiniteError, match=r"^y: .*first at index \(3,\)"):
        bpx.fit(net(), X, y)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_column_without_numbers_is_named(library):
    module = pytest.importorskip(library)
    values = {"age": [1, 2], "colour": ["red", "blue"], "member": [True, False]}
    frame = module.table(values) if library == "pyarrow" else module.DataFrame(values)
    with pytest.raises(
        TypeError, match=r"^X: expected numbers, got dtype object in column 'colour' \((object|str|Str)"
    ):
        bpx.fit(net(), frame, [0, 1])


def test_a_column_may_have_the_name_of_an_attribute():
    frame = pandas().DataFrame(X, columns=["chunks", "shape", "tocsr"])
    np.testing.assert_array_equal(bpx.predict(net(), frame.rename(columns={"shape": "a", "tocsr": "b"})), net()(X))


def test_an_estimator_refuses_other_columns_than_it_was_trained_on():
    pytest.importorskip("sklearn")
    frame = FRAMES["pandas, nullable"]()
    est = bpx.MLPClassifier((3,), tol=1.0, max_iter=500, random_state=0, backend="numpy").fit(frame, Y)
    plain = bpx.MLPClassifier((3,), tol=1.0, max_iter=500, random_state=0, backend="numpy").fit(X, Y)
    np.testing.assert_array_equal(est.predict_proba(frame), plain.predict_proba(X))
    for other in (frame[["member", "age", "length"]], frame.rename(columns={"age": "years"})):
        with pytest.raises(ValueError, match="feature names should match"):
            est.predict(other)


# ---------------------------------------------------------------------- dask


def test_a_dask_array_of_unknown_length_says_compute_chunk_sizes():
    da = pytest.importorskip("dask.array")
    known, y = da.from_array(X, chunks=(10, 3)), da.from_array(Y, chunks=10)
    few, few_y = known[known[:, 1] > 0], y[known[:, 1] > 0]
    for name, call in (
        ("X", lambda: bpx.fit(net(), few, few_y)),
        ("X", lambda: bpx.predict(net(), few)),
        ("X", lambda: bpx.stream(few, few_y)),
        ("X", lambda: bpx.fit(net(), X, Y, validation=(few, few_y))),
        ("y", lambda: bpx.fit(net(), known, few_y)),
        ("sample_weight", lambda: bpx.fit(net(), known, y, sample_weight=few_y)),
    ):
        words = rf"^{name}: .* got \(nan.*; call {name}\.compute_chunk_sizes\(\) first, or give {name}\.compute\(\)"
        with pytest.raises(bpx.ShapeError, match=words):
            call()
    one, other = net(), net()
    bpx.fit(one, few.compute(), few_y.compute(), epochs=1)
    bpx.fit(other, few.compute_chunk_sizes(), few_y.compute_chunk_sizes(), epochs=1)
    np.testing.assert_array_equal(one.flat, other.flat)


def test_a_dask_array_that_does_not_know_its_columns_alone_is_trained_on():
    da = pytest.importorskip("dask.array")
    known, y, mask = da.from_array(X, chunks=(10, 3)), da.from_array(Y, chunks=10), np.array([True, False, True])
    few = known[:, da.from_array(mask, chunks=3)]
    assert np.isnan(few.shape[1])
    made = [bpx.MLP([2, 3, 2], backend="numpy") for _ in range(3)]
    for one, given, target in zip(made, (X[:, mask], few, few), (Y, Y, y), strict=True):
        bpx.fit(one, given, target, epochs=2)
    np.testing.assert_array_equal(made[0].flat, made[1].flat)
    np.testing.assert_array_equal(made[0].flat, made[2].flat)
    np.testing.assert_array_equal(bpx.predict(made[0], few), bpx.predict(made[0], X[:, mask]))


def test_one_row_of_a_frame_is_told_to_call_the_network():
    row = pytest.importorskip("pandas").DataFrame(X, columns=list("abc")).iloc[0]
    with pytest.raises(bpx.ShapeError, match=r"of one sample call net\(X\)$"):
        bpx.predict(net(), row)
    assert net()(row).shape == (2,)
    with pytest.raises(bpx.ShapeError, match=r"of one sample give X\[None, :\], or call net\(X\)$"):
        bpx.predict(net(), X[0])


DRAWN = {
    "nullable": lambda: pytest.importorskip("pandas").DataFrame(X, columns=list("abc")).convert_dtypes(),
    "arrow": lambda: (
        pytest.importorskip("pyarrow")
        and pytest.importorskip("pandas").DataFrame(X, columns=list("abc")).convert_dtypes(dtype_backend="pyarrow")
    ),
    "polars": lambda: pytest.importorskip("polars").DataFrame(X, schema=list("abc")),
    "pyarrow": lambda: pytest.importorskip("pyarrow").table(dict(zip("abc", X.T, strict=True))),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_plots_take_the_frames_that_training_takes(kind):
    pytest.importorskip("matplotlib").use("Agg")
    pytest.importorskip("sklearn")
    import matplotlib.pyplot as plt

    from bpx.plotting import DecisionBoundaryDisplay, ImageGridDisplay

    frame, y = DRAWN[kind](), np.arange(len(X)) % 2
    target = pytest.importorskip("pandas").Series(y, dtype="Int64")
    est = bpx.MLPClassifier((3,), tol=1e9, n_iter_no_change=2, random_state=0, backend="numpy").fit(frame, y)
    two = bpx.MLP([3, 3, 2], backend="numpy")
    try:
        for make, model in (
            (DecisionBoundaryDisplay.from_network, two), (DecisionBoundaryDisplay.from_estimator, est)
        ):  # fmt: skip
            made = make(model, frame, target, features=(0, 2), grid_resolution=9)
            assert made.feature_names == ["a", "c"]
            np.testing.assert_array_equal(made.X, X[:, [0, 2]])
            np.testing.assert_array_equal(made.y, y)
        images = ImageGridDisplay.from_images(frame, (1, 3), labels=target, max_images=4)
        np.testing.assert_array_equal(images.images[:, 0], X[:4])
        assert images.labels.tolist() == [0, 1, 0, 1]
    finally:
        plt.close("all")


def _plotted(display, *arguments):
    pytest.importorskip("matplotlib").use("Agg")
    from bpx import plotting

    return eval(f"plotting.{display}", {"plotting": plotting})(*arguments)


LAZILY = {
    "fit": lambda lazy: bpx.fit(net(), lazy, Y),
    "fit alone": lambda lazy: bpx.fit(net(), lazy),
    "fit y": lambda lazy: bpx.fit(net(), X, lazy),
    "validation": lambda lazy: bpx.fit(net(), X, Y, validation=(lazy, Y)),
    "batches": lambda lazy: bpx.fit(net(), [(lazy, Y)]),
    "stream": lambda lazy: bpx.stream(lazy, Y),
    "predict": lambda lazy: bpx.predict(net(), lazy),
    "call": lambda lazy: net()(lazy),
    "estimator": lambda lazy: pytest.importorskip("sklearn") and bpx.MLPRegressor(hidden_layer_sizes=(3,)).fit(lazy, Y),
    "boundary": lambda lazy: _plotted("DecisionBoundaryDisplay.from_network", net(), lazy),
    "images": lambda lazy: _plotted("ImageGridDisplay.from_images", lazy),
}


@pytest.mark.parametrize("name", LAZILY)
def test_a_lazy_frame_is_told_to_be_collected(name):
    lazy = pytest.importorskip("polars").DataFrame(X, schema=list("abc")).lazy()
    words = r"^\w+( of batch 0)?: expected numbers in memory, got a LazyFrame; give \w+\.c"
    with pytest.raises(TypeError, match=words):
        LAZILY[name](lazy)


DATED = {
    "polars, date": lambda: pytest.importorskip("polars").DataFrame({"a": [1.0, 2.0], "when": DAYS}),
    "polars, date beside integers": lambda: pytest.importorskip("polars").DataFrame({"a": [1, 2], "when": DAYS}),
    "polars, duration": lambda: pytest.importorskip("polars").DataFrame({"a": [1.0, 2.0], "when": [timedelta(1)] * 2}),
    "polars, time": lambda: pytest.importorskip("polars").DataFrame({"a": [1.0, 2.0], "when": [time(3)] * 2}),
    "pyarrow, date": lambda: pytest.importorskip("pyarrow").table({"a": [1.0, 2.0], "when": DAYS}),
    "pyarrow, timestamp": lambda: pytest.importorskip("pyarrow").table(
        {"a": [1.0, 2.0], "when": [datetime(2020, 1, 1)] * 2}
    ),
    "pandas, timestamp": lambda: pandas().DataFrame({"a": [1.0, 2.0], "when": pandas().to_datetime(DAYS)}),
    "pandas, timestamps alone": lambda: pandas().DataFrame(
        {"when": pandas().to_datetime(DAYS), "then": pandas().to_datetime(DAYS)}
    ),
    "pandas, of a time zone": lambda: pandas().DataFrame(
        {"a": [1.0, 2.0], "when": pandas().to_datetime(DAYS).tz_localize("UTC")}
    ),
    "pandas, timedelta": lambda: pandas().DataFrame({"when": [timedelta(1)] * 2, "a": [1, 2]}),
    "pandas, period": lambda: pandas().DataFrame({"a": [1.0, 2.0], "when": pandas().PeriodIndex(DAYS, freq="D")}),
    "pandas, category": lambda: pandas().DataFrame({"a": [1.0, 2.0], "when": pandas().Categorical(DAYS)}),
    "pandas, objects": lambda: pandas().DataFrame({"a": [1.0, 2.0], "when": DAYS}),
    "pandas, beside text": lambda: pandas().DataFrame({"a": ["x", "y"], "when": pandas().to_datetime(DAYS)}),
    "pyarrow, duration": lambda: pytest.importorskip("pyarrow").table({"a": [1.0, 2.0], "when": [timedelta(1)] * 2}),
}  # fmt: skip


@pytest.mark.parametrize("kind", DATED)
def test_a_column_of_dates_or_times_is_refused_with_its_name(kind):
    frame, network = DATED[kind](), bpx.MLP([2, 3, 2], backend="numpy")
    for call in (
        lambda: bpx.fit(network, frame, [0, 1]),
        lambda: network(frame),
        lambda: bpx.predict(network, frame),
        lambda: bpx.fit(network, bpx.stream(frame, Y[:2]), epochs=1),
    ):
        with pytest.raises(TypeError, match=r"^X.*: expected numbers, got dates or times in column 'when' \(.*days"):
            call()


UNNAMED = {
    "NumPy, dates": lambda: np.ones((2, 2), "datetime64[D]"),
    "NumPy, times": lambda: np.ones((2, 2), "timedelta64[s]"),
    "NumPy, objects": lambda: np.array([[1.0, day] for day in DAYS], dtype=object),
    "a list": lambda: [[1.0, day] for day in DAYS],
}


@pytest.mark.parametrize("estimator", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("kind", [*DATED, *UNNAMED])
def test_an_estimator_refuses_dates_or_times(kind, estimator):
    pytest.importorskip("sklearn")
    frame, good = (DATED | UNNAMED)[kind](), [[1.0, 2.0], [2.0, 3.0]]
    where = r" in column 'when' \(" if kind in DATED else "; make"
    est = getattr(bpx, estimator)(max_iter=1, backend="numpy")
    first = {"classes": [0, 1]} if estimator == "MLPClassifier" else {}
    calls = [lambda: est.fit(frame, [0, 1]), lambda: est.partial_fit(frame, [0, 1], **first)]
    for call in calls:
        with pytest.raises(TypeError, match="^X: expected numbers, got dates or times" + where):
            call()
    with pytest.raises(TypeError, match="^X_val: expected numbers, got dates or times" + where):
        est.fit(good, [0, 1], X_val=frame, y_val=[0, 1])
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(good, [0, 1])
    calls = [lambda: est.predict(frame), lambda: est.score(frame, [0, 1]), lambda: est.partial_fit(frame, [0, 1])]
    calls += [lambda: est.predict_proba(frame)] if estimator == "MLPClassifier" else []
    for call in calls:
        with pytest.raises(TypeError, match="^X: expected numbers, got dates or times" + where):
            call()


@pytest.mark.parametrize(
    "column",
    [
        lambda: pandas().Series(pandas().to_datetime(DAYS)),
        lambda: pandas().Series(DAYS),
        lambda: pandas().DataFrame({"when": pandas().to_datetime(DAYS)}),
        lambda: pytest.importorskip("polars").Series(DAYS),
        lambda: pytest.importorskip("polars").Series([timedelta(1)] * 2),
        lambda: pytest.importorskip("pyarrow").array(DAYS),
        lambda: np.array(DAYS, "datetime64[ns]"),
        lambda: [np.timedelta64(1, "s")] * 2,
        lambda: DAYS,
    ],
)
def test_a_regressor_refuses_dates_or_times_as_targets(column):
    pytest.importorskip("sklearn")
    y, rows = column(), [[1.0, 2.0], [2.0, 3.0]]
    est = bpx.MLPRegressor(max_iter=1, backend="numpy")
    for call in (lambda: est.fit(rows, y), lambda: est.partial_fit(rows, y)):
        with pytest.raises(TypeError, match=r"^y: expected numbers, got dates or times.*; make numbers"):
            call()
    with pytest.raises(TypeError, match=r"^y_val: expected numbers, got dates or times"):
        est.fit(rows, [0.0, 1.0], X_val=rows, y_val=y)
    with pytest.raises(TypeError, match=r"^sample_weight: expected numbers, got dates or times"):
        est.fit(rows, [0.0, 1.0], y)
    est.partial_fit(rows, [0.0, 1.0])
    for call in (lambda: est.score(rows, y), lambda: est.input_gradient(rows, y)):
        with pytest.raises(TypeError, match=r"^y: expected numbers, got dates or times"):
            call()


def test_a_classifiers_labels_may_be_dates():
    pytest.importorskip("sklearn")
    y = np.array(DAYS, "datetime64[D]")
    est = bpx.MLPClassifier((4,), solver="lbfgs", random_state=0, backend="numpy").fit([[0.0], [1.0]], y)
    np.testing.assert_array_equal(est.predict([[0.0], [1.0]]), y)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_a_missing_boolean_is_a_missing_value(library):
    module, values = pytest.importorskip(library), {"a": [1.0, 2.0], "member": [True, None]}
    frame = module.table(values) if library == "pyarrow" else module.DataFrame(values)
    with pytest.raises(bpx.NonFiniteError, match=r"index \(1, 1\) in column 'member'; remove or impute"):
        bpx.MLP([2, 3, 2], backend="numpy")(frame)
    target = module.array([True, None]) if library == "pyarrow" else module.Series([True, None])
    with pytest.raises(bpx.NonFiniteError, match=r"^y: .*first at index \(1,\)"):
        bpx.fit(bpx.MLP([2, 3, 2], backend="numpy"), [[0.0, 1.0], [1.0, 0.0]], target)


@pytest.mark.parametrize("other", ["Float32", "float64", "category"])
def test_a_category_of_numbers_is_those_numbers_whatever_is_beside_it(other):
    frame = pandas().DataFrame({"a": pandas().Series([1, 2]).astype(other), "b": pandas().Categorical([6, 5])})
    network = bpx.MLP([2, 3, 2], backend="numpy")
    np.testing.assert_array_equal(network(frame), network([[1.0, 6.0], [2.0, 5.0]]))
    frame["b"] = pandas().Categorical(["x", "y"])
    with pytest.raises(TypeError, match=r"^X: expected numbers, got dtype object in column 'b' \(category\)"):
        network(frame)

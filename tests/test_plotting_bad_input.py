"""What cannot be drawn is an error that says what was expected, what came and what to do, and leaves no figure."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import bpx
from bpx.training.history import History

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from bpx import plotting as p  # noqa: E402

X, y = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 2
NET, WIDE, STACK = bpx.MLP([2, 3, 2]), bpx.MLP([3, 3, 2]), bpx.MLP([4, 3, 2], stack=3)
ROWS = [{"a": 1, "b": 2, "score": 0.5}, {"a": 2, "b": 2, "score": 0.6}]
XX = np.ones((3, 3))
TRACE = bpx.trace(bpx.MLP([2, 1], output="sigmoid"), X[:3], y[:3])


@pytest.fixture(autouse=True)
def no_figures_left():
    """One test's figures are none of the next one's, whether it failed or not, nor another file's."""
    plt.close("all")
    yield
    plt.close("all")


CASES = {
    "no history": (
        lambda: p.LossCurveDisplay.from_history([1.0]),
        TypeError,
        "expected what bpx.fit returns, got list",
    ),
    "an estimator as a history": (
        lambda: p.LossCurveDisplay.from_history(SimpleNamespace(loss_curve_=[1.0])),
        TypeError,
        "use from_estimator",
    ),
    "empty history": (lambda: p.LossCurveDisplay.from_history(History()), ValueError, "empty history; train first"),
    "losses that are text": (lambda: p.LossCurveDisplay(loss=["a"]), TypeError, "loss: expected numbers"),
    "losses of many dimensions": (lambda: p.LossCurveDisplay(loss=np.ones((2, 2, 2))), bpx.ShapeError, "of a stack"),
    "ragged losses": (lambda: p.LossCurveDisplay(loss=[[1.0], [1.0, 2.0]]), bpx.ShapeError, "rectangular"),
    "validation of another length": (
        lambda: p.LossCurveDisplay(loss=[1.0, 2.0], val_loss=[1.0, 2.0, 3.0]),
        bpx.ShapeError,
        r"got \(3,\)",
    ),
    "unknown scale": (lambda: p.LossCurveDisplay(loss=[1.0]).plot(yscale="ln"), ValueError, "'symlog', got 'ln'"),
    "not fitted": (lambda: p.LossCurveDisplay.from_estimator(object()), TypeError, "fit it first"),
    "axes that are an array": (
        lambda: p.LossCurveDisplay(loss=[1.0]).plot(ax=[1, 2]),
        TypeError,
        "of several subplots pass one",
    ),
    "three features": (
        lambda: p.DecisionBoundaryDisplay.from_network(WIDE, np.ones((4, 3))),
        bpx.ShapeError,
        r"this has 3; choose two with features=\(0, 1\)",
    ),
    "one feature": (
        lambda: p.DecisionBoundaryDisplay.from_network(bpx.MLP([1, 2]), np.ones((4, 1))),
        bpx.ShapeError,
        "this has 1",
    ),
    "another number of columns": (
        lambda: p.DecisionBoundaryDisplay.from_network(WIDE, X),
        bpx.ShapeError,
        r"shape \(n, 3\), got \(9, 2\)",
    ),
    "one feature twice": (
        lambda: p.DecisionBoundaryDisplay.from_network(WIDE, np.ones((4, 3)), features=(1, 1)),
        ValueError,
        "different",
    ),
    "points that are not finite": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X * np.nan),
        ValueError,
        "remove or impute",
    ),
    "an estimator as a network": (
        lambda: p.DecisionBoundaryDisplay.from_network(SimpleNamespace(get_params=0), X),
        TypeError,
        "expected a bpx.MLP, got SimpleNamespace; use from_estimator",
    ),
    "a network as an estimator": (
        lambda: p.DecisionBoundaryDisplay.from_estimator(NET, X),
        TypeError,
        "use from_network",
    ),
    "fewer targets": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, y[:5]),
        bpx.ShapeError,
        "expected 9 targets",
    ),
    "classes that the network lacks": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, y + 1),
        ValueError,
        r"class numbers in 0\.\.1",
    ),
    "names for other classes": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, class_names=["a"]),
        ValueError,
        "expected 2 names, got 1",
    ),
    "no such output": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, output=2),
        ValueError,
        "2 outputs, from 0",
    ),
    "no such network of the stack": (
        lambda: p.DecisionBoundaryDisplay.from_network(bpx.MLP([2, 2], stack=2), X, member=2),
        ValueError,
        "got 2 of 2",
    ),
    "a grid of one point": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, grid_resolution=1),
        ValueError,
        "at least 2, got 1",
    ),
    "weights that make no square": (
        lambda: p.HiddenWeightsDisplay.from_network(bpx.MLP([12, 2, 2])),
        bpx.ShapeError,
        r"shape=\(3, 4\)",
    ),
    "a shape that does not fit": (
        lambda: p.HiddenWeightsDisplay.from_network(bpx.MLP([12, 2, 2]), shape=(5, 2)),
        bpx.ShapeError,
        r"with 12 weights into a unit, got \(5, 2\): 10",
    ),
    "no such layer": (lambda: p.HiddenWeightsDisplay.from_network(bpx.MLP([4, 2, 2]), layer=2), ValueError, r"0\.\.1"),
    "weights of a stack": (
        lambda: p.HiddenWeightsDisplay.from_network(STACK),
        ValueError,
        "stack of 3 networks; choose",
    ),
    "one image": (lambda: p.ImageGridDisplay.from_images(np.ones(4)), bpx.ShapeError, r"X\[None\]"),
    "no image": (lambda: p.ImageGridDisplay.from_images(np.ones((0, 4))), bpx.ShapeError, "expected images"),
    "images of another shape": (
        lambda: p.ImageGridDisplay.from_images(np.ones((2, 6)), shape=(2, 2)),
        bpx.ShapeError,
        "with 6 pixels of an image",
    ),
    "fewer labels than images": (
        lambda: p.ImageGridDisplay.from_images(np.ones((3, 4)), labels=[1, 2]),
        bpx.ShapeError,
        "each of the 3 images",
    ),
    "labels of other images, by place": (
        lambda: p.ImageGridDisplay.from_images(np.ones((300, 4)), np.arange(200)),
        bpx.ShapeError,
        r"4 pixels, got ndarray of shape \(200,\); labels and predictions go by name",
    ),
    "labels and predictions by place": (
        lambda: p.ImageGridDisplay.from_images(np.ones((300, 4)), np.arange(300), np.arange(300)),
        bpx.ShapeError,
        r"from_images\(X, labels=y, predictions=p\)",
    ),
    "one-hot labels": (
        lambda: p.ImageGridDisplay.from_images(np.ones((300, 4)), np.eye(300)),
        bpx.ShapeError,
        r"labels.argmax\(axis=1\)",
    ),
    "an image's shape that is one number": (
        lambda: p.ImageGridDisplay.from_images(np.ones((3, 4)), 2),
        bpx.ShapeError,
        r"expected \(height, width\) of an image of 4 pixels, got 2;",
    ),
    "half an image to a row": (
        lambda: p.ImageGridDisplay.from_images(np.ones((3, 4)), columns=1.5),
        TypeError,
        "columns: expected a positive integer, got 1.5",
    ),
    "data as the shape of weights": (
        lambda: p.HiddenWeightsDisplay.from_network(bpx.MLP([4, 2, 2]), 0, np.ones((300, 4))),
        bpx.ShapeError,
        r"into a unit, got ndarray of shape \(300, 4\)",
    ),
    "a shape as the layer": (
        lambda: p.HiddenWeightsDisplay.from_network(bpx.MLP([4, 2, 2]), (2, 2)),
        TypeError,
        r"layer: expected a layer's number, got \(2, 2\); the shape of an image is shape=",
    ),
    "an estimator where only networks are drawn": (
        lambda: p.NetworkDisplay.from_network(SimpleNamespace(get_params=0)),
        TypeError,
        r"NetworkDisplay\(weights=e.coefs_",
    ),
    "an unfitted estimator as a history": (
        lambda: p.LossCurveDisplay.from_history(SimpleNamespace(get_params=0, loss="log_loss")),
        TypeError,
        "use from_estimator",
    ),
    "a history as an estimator": (lambda: p.LossCurveDisplay.from_estimator(History()), TypeError, "use from_history"),
    "data as features": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, features=X),
        ValueError,
        r"two different columns in 0..1, got ndarray of shape \(9, 2\)",
    ),
    "one feature as features": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, features=1),
        ValueError,
        "got 1$",
    ),
    "data as targets": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, X),
        ValueError,
        "one-hot rows, got a table with numbers outside of 0..1",
    ),
    "targets that are NaN": (
        lambda: p.DecisionBoundaryDisplay.from_network(NET, X, y * np.nan),
        ValueError,
        "got NaN or infinity",
    ),
    "text as values": (
        lambda: p.DecisionBoundaryDisplay(xx0=XX, xx1=XX, response=XX, by_class=False, X=X, y=["a"] * 9),
        TypeError,
        "y: expected numbers, got list",
    ),
    "a sample that is no number": (lambda: p.NetworkDisplay.from_trace(TRACE, sample="a"), ValueError, "got 'a'"),
    "data as numbers": (lambda: p.NetworkDisplay.from_network(NET, numbers=X), ValueError, "got ndarray of shape"),
    "scores that are tables": (
        lambda: p.SweepDisplay.from_sweep([{"a": 1, "score": np.ones((300, 300))}]),
        TypeError,
        r"expected numbers, got ndarray of shape \(300, 300\)",
    ),
    "data as a parameter's name": (lambda: p.SweepDisplay.from_sweep(ROWS, X), TypeError, "the name of a parameter"),
    "no such column of many": (
        lambda: p.SweepDisplay.from_sweep([{f"p{i}": i for i in range(500)}], x="q"),
        KeyError,
        "'p19' and 480 more",
    ),
    "no column": (lambda: p.ImageGridDisplay.from_images(np.ones((3, 4)), columns=0), ValueError, "at least 1, got 0"),
    "no trace": (lambda: p.NetworkDisplay.from_trace(NET), TypeError, "use from_network"),
    "no such sample": (lambda: p.NetworkDisplay.from_trace(TRACE, sample=3), ValueError, "3 samples, from 0, got 3"),
    "diagram of a stack": (lambda: p.NetworkDisplay.from_network(STACK), ValueError, "choose one with member=0"),
    "too few units": (lambda: p.NetworkDisplay.from_network(NET, max_units=2), ValueError, "at least 3"),
    "layers that do not fit": (
        lambda: p.NetworkDisplay(weights=[np.ones((2, 3)), np.ones((2, 1))]),
        bpx.ShapeError,
        "layers that fit",
    ),
    "numbers perhaps": (
        lambda: p.NetworkDisplay.from_network(NET, numbers="some"),
        ValueError,
        "or 'auto', got 'some'",
    ),
    "no report": (
        lambda: p.GradientCheckDisplay.from_report("passed"),
        TypeError,
        "bpx.check_gradients returns, got str",
    ),
    "columns of different sizes": (
        lambda: p.GradientCheckDisplay(
            names=["a"], analytic=[[1.0]], numerical=[[1.0, 2.0]], relative_errors=[0], tolerance=1
        ),
        bpx.ShapeError,
        "equal sizes",
    ),
    "unknown kind": (
        lambda: p.GradientCheckDisplay.from_report(bpx.check_gradients(NET, X, y), kind="bar"),
        ValueError,
        "got 'bar'",
    ),
    "no table": (lambda: p.SweepDisplay.from_sweep("table"), TypeError, "list of dicts, got str"),
    "rows that are no dicts": (lambda: p.SweepDisplay.from_sweep([1]), TypeError, "rows that are dicts, got int"),
    "an empty table": (lambda: p.SweepDisplay.from_sweep([]), ValueError, "at least one setting"),
    "no such column": (lambda: p.SweepDisplay.from_sweep(ROWS, x="c"), KeyError, "it has 'a', 'b', 'score'"),
    "no parameter": (lambda: p.SweepDisplay.from_sweep([{"score": 1.0}]), ValueError, "columns of parameters"),
    "the same parameter twice": (lambda: p.SweepDisplay.from_sweep(ROWS, x="a", y="a"), ValueError, "leave y out"),
    "scores that are text": (
        lambda: p.SweepDisplay.from_sweep([{"a": 1, "score": "good"}]),
        TypeError,
        "expected numbers, got 'good'",
    ),
    "unknown reduction": (lambda: p.SweepDisplay.from_sweep(ROWS, reduce="sum"), ValueError, "'best' or 'mean'"),
}


@pytest.mark.parametrize(("draw", "error", "message"), CASES.values(), ids=CASES)
def test_what_cannot_be_drawn_is_a_clear_error_and_leaves_no_figure(draw, error, message):
    with pytest.raises(error, match=message) as caught:
        draw()
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)
    assert plt.get_fignums() == []


def test_pictures_of_networks_and_data_on_any_library(lib):
    """Host copies are made where a picture needs them, and nowhere else."""
    dtype = lib.dtype("float64")
    net = bpx.MLP([4, 3, 2], backend=lib, dtype="float64")
    on_host = np.random.default_rng(0).normal(size=(6, 4))
    data, labels = lib.asarray(on_host, dtype), lib.asarray(np.arange(6) % 2)
    boundary = p.DecisionBoundaryDisplay.from_network(net, data, labels, features=(0, 1), grid_resolution=5)
    np.testing.assert_array_equal(boundary.points_[0].get_offsets(), on_host[::2, :2])
    weights = p.HiddenWeightsDisplay.from_network(net)
    np.testing.assert_array_equal(weights.images_[2].get_array().ravel(), lib.to_host(net.params["0.W"])[:, 2])
    images = p.ImageGridDisplay.from_images(data, labels=labels)
    np.testing.assert_array_equal(images.images_[5].get_array().ravel(), on_host[5])
    diagram = p.NetworkDisplay.from_trace(bpx.trace(net, on_host[0], [0.0, 1.0]))
    assert len(diagram.edge_text_[0]) == 12
    assert len(p.NetworkDisplay.from_network(net).edges_[1]) == 6


@pytest.mark.parametrize("kind", [np.asarray, list, "Series", "DataFrame", "column", "text"])
def test_labels_may_follow_the_images(kind):
    images, column = np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 3
    if kind in ("Series", "DataFrame"):
        column = getattr(pytest.importorskip("pandas"), kind)(column)
    elif isinstance(kind, str):
        column = column[:, None] if kind == "column" else np.array(["a", "b", "c"])[column]
    else:
        column = kind(column)
    by_place = p.ImageGridDisplay.from_images(images, column, predictions=np.arange(6) % 2)
    by_name = p.ImageGridDisplay.from_images(images.tolist(), labels=column, predictions=np.arange(6) % 2)
    assert by_place.labels.tolist() == by_name.labels.tolist() == np.ravel(column).tolist()
    np.testing.assert_array_equal(by_place.images, images.reshape(6, 2, 2))
    # Two numbers that are an image's shape are one.
    assert p.ImageGridDisplay.from_images(images[:2], [1, 4]).images.shape == (2, 1, 4)
    assert p.ImageGridDisplay.from_images(images[:2], [1, 3]).labels.tolist() == [1, 3]


def test_colours_in_whole_numbers_reach_to_255_in_lists_too():
    colours = np.full((2, 3, 3, 3), 51)
    for given in (colours, colours.tolist(), list(colours)):
        np.testing.assert_array_equal(p.ImageGridDisplay.from_images(given).images, 0.2)


def test_a_sweep_may_be_a_data_frame():
    rows = pytest.importorskip("pandas").DataFrame(ROWS)
    assert p.SweepDisplay.from_sweep(rows).values.tolist() == [0.5, 0.6]
    polars = pytest.importorskip("polars")
    assert p.SweepDisplay.from_sweep(polars.DataFrame(ROWS)).values.tolist() == [0.5, 0.6]

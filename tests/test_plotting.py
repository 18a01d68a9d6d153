"""Pictures hold the right numbers: lines, images, counts and labels are compared with what they are drawn from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import bpx
from bpx.errors import how_to_install
from bpx.training.history import History

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

from bpx import plotting  # noqa: E402
from bpx.plotting.style import contrasting  # noqa: E402

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def nothing_global_changes():
    """Every test ends with the rcParams it began with; its figures are closed."""
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


def points(n=40, k=2):
    X = rng.normal(size=(n, 2))
    return X, rng.integers(0, k, n)


# ---------------------------------------------------------------- import, figures and axes


def test_matplotlib_is_imported_when_pictures_are_first_used():
    script = "import sys, bpx; assert 'matplotlib' not in sys.modules; bpx.plotting; assert 'matplotlib' in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_matplotlib_the_error_names_the_extra():
    script = "import sys; sys.modules['matplotlib'] = None; import bpx; bpx.plotting"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ImportError: bpx.plotting needs matplotlib: {how_to_install('plot', 'matplotlib')}" in done.stderr


def test_a_display_draws_in_the_axes_that_it_is_given_and_without_in_a_figure_800_pixels_wide():
    figure, ax = plt.subplots()
    display = plotting.LossCurveDisplay.from_history(History(loss=[2.0, 1.0]), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    again = display.plot()
    assert again is display
    assert display.ax_ is not ax
    assert display.figure_.get_size_inches()[0] * display.figure_.dpi == 800


def test_style_holds_inside_its_context_only():
    with plotting.style():
        assert matplotlib.rcParams["axes.titlesize"] == plotting.STYLE["axes.titlesize"]
        figure, _ = plt.subplots()
    assert figure.dpi == 100


def test_interactive_mode_is_what_the_user_made_it():
    draw = plotting.LossCurveDisplay(loss=[2.0, 1.0]).plot
    _, ax = plt.subplots()
    with plt.ion():
        draw()
        draw(ax)
        assert plt.isinteractive()
        with plotting.style():
            plt.ioff()
        assert not plt.isinteractive()
    draw()
    assert not plt.isinteractive()


def test_an_error_while_drawing_leaves_no_figure_behind():
    display = plotting.LossCurveDisplay(loss=[1.0, 2.0])
    with pytest.raises(AttributeError):
        display.plot(line_kw={"no_such_property": 1})
    assert plt.get_fignums() == []


def test_text_on_any_colour_of_the_map_has_the_contrast_that_wcag_asks_of_large_text():
    for colour in matplotlib.colormaps["viridis"](np.linspace(0, 1, 64)):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour[:3])]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        text = 1.0 if contrasting(colour[:3]) == "white" else 0.0
        high, low = max(text, luminance), min(text, luminance)
        assert (high + 0.05) / (low + 0.05) >= 4.5


# ---------------------------------------------------------------- losses


def test_loss_lines_are_the_histories():
    X, y = points()
    history = bpx.fit(bpx.MLP([2, 3, 2]), X, y, epochs=7, validation=(X, y), stop=bpx.stop.Patience(patience=9))
    display = plotting.LossCurveDisplay.from_history(history)
    assert display.lines_[0].get_xdata().tolist() == list(range(1, 8))
    assert display.lines_[0].get_ydata().tolist() == history.loss
    assert display.val_lines_[0].get_ydata().tolist() == history.val_loss
    assert display.best_[0].get_xdata().tolist() == [history.best_epoch]
    assert display.best_[0].get_ydata().tolist() == [history.val_loss[history.best_epoch - 1]]


def test_loss_of_a_stack_is_a_line_per_network_or_median_and_band():
    losses = rng.uniform(0.5, 1.0, (6, 12))
    few = plotting.LossCurveDisplay.from_history(History(loss=list(losses[:, :3])))
    assert [line.get_ydata().tolist() for line in few.lines_] == losses[:, :3].T.tolist()
    assert len({line.get_color() for line in few.lines_}) == 3
    many = plotting.LossCurveDisplay.from_history(History(loss=list(losses)))
    np.testing.assert_allclose(many.lines_[0].get_ydata(), np.median(losses, axis=1))
    edges = many.band_.get_paths()[0].vertices
    assert edges[:, 1].max() == pytest.approx(np.percentile(losses, 90, axis=1).max())
    assert edges[:, 1].min() == pytest.approx(np.percentile(losses, 10, axis=1).min())


def test_networks_that_diverged_are_left_out_of_the_median_and_counted():
    losses = np.tile(np.arange(1.0, 11.0), (3, 1))
    losses[1:, 9] = np.nan
    display = plotting.LossCurveDisplay.from_history(History(loss=list(losses)))
    assert display.lines_[0].get_ydata().tolist() == [5.5, 5.0, 5.0]
    assert any("1 of 10 not finite" in text.get_text() for text in display.legend_.get_texts())


@pytest.mark.parametrize(
    ("loss", "scale"),
    [([1.0, 0.5], "linear"), (list(10.0 ** -np.arange(7.0)), "log"), ([1.0, 0.0], "linear"), ([np.nan], "linear")],
    ids=["narrow", "six decades", "zero", "none finite"],
)
def test_loss_axis_is_logarithmic_where_that_shows_more(loss, scale):
    assert plotting.LossCurveDisplay.from_history(History(loss=loss)).ax_.get_yscale() == scale


def test_a_loss_that_is_no_longer_finite_is_marked_where_it_last_was():
    display = plotting.LossCurveDisplay.from_history(History(loss=[1.0, 7.0, np.inf, np.nan], val_loss=[1.0, 2.0, 3.0]))
    assert (display.lost_[0].get_xdata().tolist(), display.lost_[0].get_ydata().tolist()) == ([2], [7.0])
    assert any("not finite from epoch 3 on" in text.get_text() for text in display.legend_.get_texts())


def test_one_epoch_is_drawn_as_a_point():
    assert plotting.LossCurveDisplay.from_history(History(loss=[0.5])).lines_[0].get_marker() == "o"


def test_several_histories_in_one_axes_have_their_own_colours_and_names():
    _, ax = plt.subplots()
    displays = [plotting.LossCurveDisplay.from_history(History(loss=[1.0, 0.5]), name=n, ax=ax) for n in ("a", "b")]
    assert displays[0].lines_[0].get_color() != displays[1].lines_[0].get_color()
    assert [text.get_text() for text in displays[1].legend_.get_texts()] == ["a", "b"]


def test_loss_from_an_estimator():
    pytest.importorskip("sklearn")
    X, y = points()
    model = bpx.MLPClassifier(hidden_layer_sizes=(3,), max_iter=4, n_iter_no_change=9, random_state=0, tol=0)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, y)
    display = plotting.LossCurveDisplay.from_estimator(model)
    assert display.lines_[0].get_ydata().tolist() == model.loss_curve_


# ---------------------------------------------------------------- decision boundaries


def test_decision_regions_are_what_the_network_answers():
    X, y = points(k=3)
    net = bpx.MLP([2, 3]).set_params({"0.W": [[1.0, -1.0, 0.2], [0.1, 0.5, 1.0]], "0.b": [0.3, 0.0, -0.1]})
    display = plotting.DecisionBoundaryDisplay.from_network(net, X, y, grid_resolution=30)
    grid = np.stack([display.xx0.ravel(), display.xx1.ravel()], axis=1)
    answers = net.backend.to_host(net(grid)).argmax(axis=1).reshape(30, 30)
    assert len(np.unique(answers)) == 3
    np.testing.assert_array_equal(display.surface_.get_array(), answers)
    for c, drawn in enumerate(display.points_):
        np.testing.assert_array_equal(drawn.get_offsets(), X[y == c])
    assert len({drawn.get_paths()[0].vertices.tobytes() for drawn in display.points_}) == 3  # a marker for each class


def test_one_sigmoid_output_decides_at_one_half_and_the_boundary_lies_there():
    net = bpx.MLP([2, 1], output="sigmoid", init="zeros", dtype="float64")
    net.set_params({"0.W": [[1.0], [0.0]], "0.b": [-0.25]})
    X = np.array([[-1.0, -1.0], [1.0, 1.0]])
    display = plotting.DecisionBoundaryDisplay.from_network(net, X, [[0], [1]])
    (boundary,) = display.boundaries_
    line = np.concatenate([path.vertices for path in boundary.get_paths()])
    np.testing.assert_allclose(line[:, 0], 0.25, atol=1e-3)
    assert display.surface_.get_array()[0, [0, -1]].tolist() == [0, 1]


def test_another_single_output_is_drawn_as_a_value():
    X, _ = points()
    net = bpx.MLP([2, 4, 1], output="identity", dtype="float64")
    display = plotting.DecisionBoundaryDisplay.from_network(net, X, X[:, 0], grid_resolution=11)
    at = np.stack([display.xx0, display.xx1], axis=-1)[4, 7]
    assert display.response[4, 7] == pytest.approx(float(net(at)[0]))
    np.testing.assert_allclose(display.points_[0].get_array(), X[:, 0])
    assert display.boundaries_ == []
    by_threshold = plotting.DecisionBoundaryDisplay.from_network(net, X, threshold=0.0)
    assert by_threshold.n_classes == 2


def test_a_stack_has_a_boundary_for_each_network_and_regions_of_their_mean():
    X, y = points()
    stack = bpx.MLP([2, 4, 2], stack=5)
    display = plotting.DecisionBoundaryDisplay.from_network(stack, X, y, grid_resolution=20)
    assert display.response.shape == (5, 20, 20, 2)
    np.testing.assert_array_equal(display.surface_.get_array(), display.response.mean(axis=0).argmax(axis=-1))
    crossing = [s for s in display.response if 0 < (s.argmax(axis=-1) == 1).mean() < 1]
    mean = 0 < (display.surface_.get_array() == 1).mean() < 1
    assert len(display.boundaries_) == len(crossing) + mean
    one = plotting.DecisionBoundaryDisplay.from_network(stack, X, y, member=3, grid_resolution=20)
    np.testing.assert_allclose(one.response, display.response[3], atol=1e-6)


def test_of_more_features_two_are_drawn_and_the_others_held_at_their_median():
    X = rng.normal(size=(31, 4))
    net = bpx.MLP([4, 5, 2], dtype="float64")
    display = plotting.DecisionBoundaryDisplay.from_network(net, X, features=(3, 1), grid_resolution=9)
    row = np.median(X, axis=0)
    row[3], row[1] = display.xx0[2, 5], display.xx1[2, 5]
    np.testing.assert_allclose(display.response[2, 5], net.backend.to_host(net(row)))
    assert display.ax_.get_xlabel() == "feature 4"


def test_boundary_of_an_estimator_has_its_classes_and_column_names():
    sklearn = pytest.importorskip("sklearn.linear_model")
    pandas = pytest.importorskip("pandas")
    X, y = points()
    frame, named = pandas.DataFrame(X, columns=["width", "height"]), np.where(y == 1, "dog", "cat")
    model = sklearn.LogisticRegression().fit(frame, named)
    display = plotting.DecisionBoundaryDisplay.from_estimator(model, frame, named, grid_resolution=10)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("width", "height")
    assert display.class_names == ["cat", "dog"]
    np.testing.assert_array_equal(display.points_[1].get_offsets(), X[named == "dog"])


# ---------------------------------------------------------------- images


def test_hidden_weights_are_the_columns_of_w_in_a_scale_centred_on_zero():
    net = bpx.MLP([12, 5, 3], dtype="float64")
    display = plotting.HiddenWeightsDisplay.from_network(net, shape=(3, 4))
    W = net.backend.to_host(net.params["0.W"])
    assert len(display.images_) == 5
    for j, image in enumerate(display.images_):
        np.testing.assert_array_equal(image.get_array(), W[:, j].reshape(3, 4))
        assert image.get_clim() == (-np.abs(W).max(), np.abs(W).max())
    assert [text.get_text() for text in display.text_] == list("01234")
    last = plotting.HiddenWeightsDisplay.from_network(net, layer=-1, shape=(1, 5))
    np.testing.assert_array_equal(last.images_[2].get_array()[0], net.backend.to_host(net.params["1.W"])[:, 2])


def test_hidden_weights_of_one_unit_and_of_many():
    one = plotting.HiddenWeightsDisplay.from_network(bpx.MLP([9, 1, 1], output="sigmoid"))
    assert one.ax_.get_title(loc="center") == "Weights into the hidden unit"
    many = plotting.HiddenWeightsDisplay.from_network(bpx.MLP([4, 30, 2], stack=2), member=1, max_units=10)
    assert len(many.images_) == 10
    assert "10 of the 30" in many.ax_.get_title(loc="left") + many.ax_.get_title(loc="center")


def test_image_grid_holds_the_images_and_says_what_they_are_taken_for():
    X = rng.uniform(size=(3, 6))
    display = plotting.ImageGridDisplay.from_images(X, shape=(2, 3), labels=[7, 8, 9], predictions=[7, 3, 9])
    for image, row in zip(display.images_, X, strict=True):
        np.testing.assert_array_equal(image.get_array(), row.reshape(2, 3))
    assert [text.get_text() for text in display.text_] == ["7", "3, is 8", "9"]
    assert len({text.get_color() for text in display.text_}) == 2


def test_image_grid_of_colours():
    X = rng.integers(0, 256, (2, 4, 5, 3))
    display = plotting.ImageGridDisplay.from_images(X)
    np.testing.assert_allclose(display.images_[1].get_array(), X[1] / 255)


# ---------------------------------------------------------------- gradient check


def test_gradient_points_are_both_columns_of_the_report():
    X, y = points(5)
    report = bpx.check_gradients(bpx.MLP([2, 3, 2], hidden="tanh"), X, y)
    display = plotting.GradientCheckDisplay.from_report(report)
    for check, drawn in zip(report.parameters, display.points_, strict=True):
        np.testing.assert_array_equal(drawn.get_offsets(), np.stack([check.numerical, check.analytic], axis=1))
    assert display.failed_ == []
    assert "passed" in display.ax_.get_title(loc="left")


def test_a_parameter_that_fails_is_ringed_at_its_worst_entry():
    analytic, numerical = [np.array([1.0, 2.0]), np.array([3.0, 4.0])], [np.array([1.0, 2.0]), np.array([3.0, 9.0])]
    display = plotting.GradientCheckDisplay(
        names=["0.W", "0.b"], analytic=analytic, numerical=numerical, relative_errors=[0.0, 0.5], tolerance=1e-7
    )
    for kind in ("scatter", "difference"):
        display.plot(kind=kind)
        (ring,) = display.failed_
        expected = [9.0, 4.0] if kind == "scatter" else [9.0, 5.0 / 9.0]
        np.testing.assert_allclose(ring.get_offsets()[0], expected)
        assert [t.get_text() for t in display.legend_.get_texts()][1] == "0.b: 5.0e-01 FAILED"


# ---------------------------------------------------------------- sweep


def grid_rows():
    rows = [{"rate": r, "l2": p, "drop": d, "score": 10 * r + p - d, "std": 0.1} for r in (1.0, 2.0, 3.0)
            for p in (0.0, 0.5) for d in (0.0, 0.2)]  # fmt: skip
    for rank, row in enumerate(sorted(rows, key=lambda row: -row["score"]), 1):
        row["rank"] = rank
    return rows


def test_sweep_over_two_parameters_is_a_heat_map_of_the_best_of_the_others():
    display = plotting.SweepDisplay.from_sweep(SimpleNamespace(rows=grid_rows()), x="rate", y="l2")
    assert display.im_.get_array().tolist() == [[10.0, 20.0, 30.0], [10.5, 20.5, 30.5]]
    assert display.text_[1, 2].get_text() == "30.500\n±0.100"
    assert display.best_.get_xy() == pytest.approx((1.52, 0.54))
    mean = plotting.SweepDisplay.from_sweep(grid_rows(), x="rate", y="l2", reduce="mean")
    np.testing.assert_allclose(mean.im_.get_array()[0], [9.9, 19.9, 29.9])


def test_sweep_takes_the_first_parameters_that_vary_and_one_makes_a_line():
    display = plotting.SweepDisplay.from_sweep(grid_rows())
    assert (display.x, display.y) == ("rate", "l2")
    line = plotting.SweepDisplay.from_sweep(grid_rows(), x="rate")
    assert line.lines_[0].get_ydata().tolist() == [10.5, 20.5, 30.5]
    assert line.best_.get_offsets().tolist() == [[3.0, 30.5]]


def test_the_best_setting_is_that_of_rank_one_where_smaller_is_better():
    rows = [{"a": 1, "score": 5.0, "rank": 2}, {"a": 2, "score": 1.0, "rank": 1}]
    assert plotting.SweepDisplay.from_sweep(rows).best_.get_offsets().tolist() == [[2.0, 1.0]]


def test_settings_without_a_grid_are_points_and_those_without_a_score_crosses():
    rows = [{"a": float(a), "b": float(b), "score": None if a == 3 else a} for a, b in enumerate(rng.normal(size=30))]
    display = plotting.SweepDisplay.from_sweep(rows)
    assert len(display.im_.get_offsets()) == 29
    assert display.best_.get_offsets()[0][0] == 29.0


def test_settings_that_lack_a_parameter_are_left_out_and_the_scores_have_their_name():
    rows = [{"a": 1, "b": 2, "score": 1.0, "std": 0.0}, {"a": 2, "b": 2, "score": 3.0, "std": 0.0},
            {"b": 2, "score": 9.0, "std": 0.0}]  # fmt: skip
    display = plotting.SweepDisplay.from_sweep(SimpleNamespace(rows=rows, scoring="accuracy"), x="a")
    assert display.lines_[0].get_ydata().tolist() == [1.0, 3.0]
    assert display.ax_.get_ylabel() == "accuracy"
    assert display.errors_ is None


def test_a_setting_without_a_score_is_hatched():
    rows = [{"a": a, "b": b, "score": np.nan if a == b else a} for a in (1, 2) for b in (1, 3)]
    display = plotting.SweepDisplay.from_sweep(rows)
    assert display.text_[0, 0].get_text() == "no score"
    assert np.ma.is_masked(display.im_.get_array()[0, 0])


@pytest.mark.slow
def test_names_below_a_heat_map_do_not_overlap():
    long = [f"a rather long name for setting {i} of all" for i in range(20)]
    for names in (long, long[:3], [str(i) for i in range(20)]):
        rows = [{"a": name, "b": b, "score": 1.0} for name in names for b in range(3)]
        display = plotting.SweepDisplay.from_sweep(rows, x="a", y="b")
        display.figure_.draw_without_rendering()
        labels = display.ax_.get_xticklabels()
        assert len({label.get_text() for label in labels}) == len(names)
        boxes = [label.get_window_extent() for label in labels]
        if labels[0].get_rotation() == 0:
            assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        # Slanted ones are apart by the distance of their lines.
        apart = display.ax_.get_window_extent().width / len(names) * np.sin(np.deg2rad(labels[0].get_rotation()))
        assert labels[0].get_rotation() == 0 or apart > labels[0].get_fontsize() * 100 / 72
        assert min(box.x0 for box in boxes) >= 0
        assert min(box.y0 for box in boxes) >= 0


# ---------------------------------------------------------------- in axes that are given


def four_displays(axes):
    """Different kinds, the first of which has several lines."""
    X, y = points(60)
    net = bpx.MLP([2, 6, 2], seed=0, dtype="float64")
    history = bpx.fit(net, X, y, epochs=3, validation=(X, y))
    rows = [{"learning rate": rate, "l2": l2, "score": -rate - l2} for rate in (0.0001, 0.0003) for l2 in (0.0, 0.0001)]
    return [
        plotting.LossCurveDisplay.from_history(history, ax=axes[0]),
        plotting.DecisionBoundaryDisplay.from_network(net, X, y, grid_resolution=40, ax=axes[1]),
        plotting.GradientCheckDisplay.from_report(bpx.check_gradients(net, X[:4], y[:4]), ax=axes[2]),
        plotting.SweepDisplay.from_sweep(rows, ax=axes[3]),
        plotting.HiddenWeightsDisplay.from_network(bpx.MLP([64, 24, 10]), ax=axes[4]),
    ]


@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.slow
def test_in_given_axes_titles_and_legends_are_no_wider_than_the_axes(layout):
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout=layout)
    displays = four_displays(axes.ravel())
    figure.canvas.draw()
    for display in displays:
        box = display.ax_.get_window_extent()
        assert box.width > 140
        for text in display.ax_.findobj(matplotlib.text.Text):
            if text.get_text() and text.get_text() == display.ax_.get_title("left"):
                assert text.get_window_extent().x1 <= box.x1 + 2
        legend = getattr(display, "legend_", None)
        if legend is not None:
            inside = legend.get_window_extent()
            assert box.x0 <= inside.x0 < inside.x1 <= box.x1
            assert box.y0 <= inside.y0 < inside.y1 <= box.y1


def test_a_legend_in_small_axes_is_cut_and_says_so():
    losses = rng.uniform(0.5, 1.0, (6, 8))
    _, ax = plt.subplots(figsize=(2.2, 1.6))
    legend = plotting.LossCurveDisplay.from_history(History(loss=list(losses)), ax=ax).legend_
    names = [text.get_text() for text in legend.get_texts()]
    assert 0 < len(names) < 8
    assert names[-1].endswith(f"(and {8 - len(names)} more)")


def test_several_histories_in_one_axes_do_not_keep_the_first_ones_title():
    first = plotting.LossCurveDisplay.from_history(History(loss=[1.0, 0.5]), name="a")
    assert "0.5" in first.ax_.get_title("left")
    plotting.LossCurveDisplay.from_history(History(loss=[1.0, 0.7]), name="b", ax=first.ax_)
    assert first.ax_.get_title("left") == "Loss of several histories"
    own = plotting.LossCurveDisplay(loss=[1.0, 0.5]).plot(title="mine")
    plotting.LossCurveDisplay.from_history(History(loss=[1.0, 0.7]), name="b", ax=own.ax_)
    assert own.ax_.get_title("left") == "mine"


def test_regions_of_twenty_classes_have_their_own_colours_and_names():
    axis = np.linspace(-1, 1, 60)
    xx0, xx1 = np.meshgrid(axis, axis)
    angles = 2 * np.pi * np.arange(20) / 20
    response = xx0[..., None] * np.cos(angles) + xx1[..., None] * np.sin(angles)
    display = plotting.DecisionBoundaryDisplay(xx0=xx0, xx1=xx1, response=response).plot()
    shown = display.surface_.cmap(display.surface_.norm(np.arange(20)))
    apart = np.linalg.norm(shown[:, None] - shown[None], axis=-1) + np.eye(20)
    assert apart.min() > 0.08
    for text in display.names_:
        column, row = (int(np.abs(axis - at).argmin()) for at in text.get_position())
        assert text.get_text() == f"class {response[row, column].argmax()}"
    assert len(display.names_) == 20


def test_a_font_of_one_weight_is_asked_for_in_both_without_a_word(caplog, monkeypatch):
    style = sys.modules["bpx.plotting.style"]
    fonts = matplotlib.font_manager.fontManager
    (regular,) = [face for face in fonts.ttflist if face.name == "DejaVu Sans Display"]
    monkeypatch.setattr(fonts, "ttflist", [*fonts.ttflist, replace(regular, name="SimHei", weight=500)])
    monkeypatch.setattr(style, "CJK", ("SimHei", "No Such Font"))
    families = style._families()
    assert families == ["DejaVu Sans", "SimHei (bpx)", "sans-serif"]
    with caplog.at_level("WARNING"), matplotlib.rc_context({"font.family": families}):
        for weight in ("normal", "bold"):
            plt.figure().text(0, 0, "a", weight=weight).get_window_extent()
    assert caplog.messages == []
    assert style._families() == families  # entered once
    assert sum(face.name == "SimHei (bpx)" for face in fonts.ttflist) == 2


def test_a_heat_map_of_very_many_cells_has_no_numbers_in_them():
    rows = [{"a": a, "b": b, "score": float(a + b)} for a in range(80) for b in range(80)]
    texts = plotting.SweepDisplay.from_sweep(rows).text_
    assert texts.shape == (80, 80)
    assert {text.get_text() for text in texts.flat} == {""}


def test_only_fonts_that_are_installed_are_asked_for():
    installed = set(matplotlib.font_manager.get_font_names())
    first, *others, last = plotting.STYLE["font.family"]
    assert (first, last) == ("DejaVu Sans", "sans-serif")
    assert set(others) <= installed
    assert others or not {"Noto Sans CJK SC", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei"} & installed


@pytest.mark.parametrize(
    ("scores", "best"), [([-0.0003, -0.0042], "-0.000300"), ([0.9, 0.8], "0.900"), ([-3e-9, -1e-3], "-3e-09")]
)
def test_small_scores_of_a_sweep_have_digits(scores, best):
    rows = [{"rate": i, "score": score} for i, score in enumerate(scores)]
    assert f"score {best}:" in plotting.SweepDisplay.from_sweep(rows).ax_.get_title("left")

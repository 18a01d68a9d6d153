"""The network diagram carries a trace's numbers, and no label covers another, a node or the edge of the picture."""

from __future__ import annotations

import numpy as np
import pytest

import bpx

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from bpx import plotting  # noqa: E402
from bpx.plotting.label_placement import place_labels  # noqa: E402
from bpx.plotting.style import short_number  # noqa: E402


@pytest.fixture(autouse=True)
def nothing_global_changes():
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


def traced(*sizes, samples=None, seed=1, **options):
    rng = np.random.default_rng(0)
    net = bpx.MLP(list(sizes), hidden="tanh", output="sigmoid", dtype="float64", seed=seed, **options)
    lead = () if samples is None else (samples,)
    return bpx.trace(net, rng.normal(size=(*lead, sizes[0])), rng.uniform(size=(*lead, sizes[-1])))


def article_001():
    net = bpx.MLP([2, 2, 2], hidden="sigmoid", output="sigmoid", dtype="float64")
    W1, W2 = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.7, 0.8]])
    net.set_params({"0.W": W1.T, "0.b": [0.55, 0.55], "1.W": W2.T, "1.b": [0.66, 0.66]})
    return bpx.trace(net, [0.1, 0.2], [0.01, 0.99], learning_rate=0.5)


def values(text):
    """The numbers of a label, as floats."""
    plain = text.get_text().replace("\N{MINUS SIGN}", "-").replace("→", " ")
    found = []
    for word in plain.split():
        try:
            found.append(float(word))
        except ValueError:
            continue
    return found


def boxes(display):
    """Every text of the diagram that is no node's, with its frame, in pixels; from the drawn picture."""
    display.figure_.canvas.draw()
    inside = {id(text) for column in display.node_text_ for text in column.values()}
    texts = [text for text in display.ax_.texts if text.get_text() and id(text) not in inside]
    return [(t, (t.get_bbox_patch() or t).get_window_extent()) for t in texts]


def assert_nothing_overlaps(display):
    found = boxes(display)
    for i, (one, a) in enumerate(found):
        for other, b in found[i + 1 :]:
            assert not a.overlaps(b), f"{one.get_text()!r} covers {other.get_text()!r}"
    circles = [circle for column in display.nodes_ for circle in column.values()]
    for circle in circles:
        box = circle.get_window_extent()
        middle, radius = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]), box.width / 2
        for text, a in found:
            nearest = np.clip(middle, (a.x0, a.y0), (a.x1, a.y1))
            assert np.hypot(*(nearest - middle)) >= 0.9 * radius, f"{text.get_text()!r} covers a node"
    for column, texts in enumerate(display.node_text_):
        for unit, text in texts.items():
            box, a = display.nodes_[column][unit].get_window_extent(), text.get_window_extent()
            corner = np.hypot(a.width, a.height - 6) / 2
            assert corner <= box.width / 2, f"{text.get_text()!r} leaves its node"
    width, height = display.figure_.canvas.get_width_height()
    for text, a in found:
        assert a.x0 >= 0, text.get_text()
        assert a.y0 >= 0, text.get_text()
        assert a.x1 <= width, text.get_text()
        assert a.y1 <= height, text.get_text()


CASES = {
    "2-2-2": article_001,
    "2-3-1": lambda: traced(2, 3, 1),
    "3-4-2": lambda: traced(3, 4, 2),
    "3-4-2 other weights": lambda: traced(3, 4, 2, seed=5),
    "9-2-1": lambda: traced(9, 2, 1),
    "2-2-2-1": lambda: traced(2, 2, 2, 1, bias=[True, False, True]),
    "1-1": lambda: traced(1, 1),
    "4-1": lambda: traced(4, 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.slow
def test_no_label_covers_another_or_a_node_and_all_have_numbers(case):
    display = plotting.NetworkDisplay.from_trace(case())
    assert all(display.edge_text_)
    assert_nothing_overlaps(display)
    assert display.figure_.get_size_inches()[0] * display.figure_.dpi == 800
    smallest = min(text.get_fontsize() for text, _ in boxes(display))
    assert smallest >= 8


@pytest.mark.parametrize("name", ["2-2-2", "2-3-1", "3-4-2"])
def test_nodes_and_edges_carry_the_traces_numbers(name):
    t = CASES[name]()
    display = plotting.NetworkDisplay.from_trace(t)
    close = {"abs": 0.6e-4, "rel": 0.06}
    for i, text in display.node_text_[0].items():
        assert values(text) == pytest.approx([t.x[i]], **close)
    for k, layer in enumerate(t.layers):
        for j, text in display.node_text_[k + 1].items():
            assert values(text) == pytest.approx([layer.z[j], layer.a[j], layer.delta[j]], **close)
        for j, text in display.bias_text_[k].items():
            assert values(text) == pytest.approx([layer.b[j], layer.new_b[j]], **close)
        assert len(display.edge_text_[k]) == layer.W.size
        for (i, j), text in display.edge_text_[k].items():
            assert values(text) == pytest.approx([layer.W[i, j], layer.new_W[i, j], layer.grad_W[i, j]], **close)
    for j, text in display.output_text_[0].items():
        assert values(text) == pytest.approx([t.y[j], t.losses[j]], **close)


def test_article_001s_numbers_can_be_read():
    display = plotting.NetworkDisplay.from_trace(article_001())
    assert display.edge_text_[1][0, 0].get_text() == "w 0.5 → 0.4591\n∂L/∂w 0.0819"
    assert display.node_text_[2][0].get_text() == "z 1.3784\na 0.7987\nδ 0.1268"
    assert display.title_.get_text() == "One step of back-propagation: squared error 0.3227, learning rate 0.5"


def test_a_label_stands_on_its_edge():
    display = plotting.NetworkDisplay.from_trace(CASES["3-4-2"]())
    for lines, labels in zip(display.edges_, display.edge_text_, strict=True):
        for key, label in labels.items():
            (x0, x1), (y0, y1) = lines[key].get_data()
            x, y = label.get_position()
            assert y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.1)
            assert x0 < x < x1


def test_sign_and_size_of_a_weight_can_be_seen_with_and_without_colours():
    t = traced(3, 4, 2)
    display = plotting.NetworkDisplay.from_trace(t)
    for layer, lines in zip(t.layers, display.edges_, strict=True):
        for (i, j), line in lines.items():
            assert (line.get_linestyle() == "--") == (layer.W[i, j] < 0)
        order = sorted(lines, key=lambda key: abs(layer.W[key]))
        widths = [lines[key].get_linewidth() for key in order]
        assert widths == sorted(widths)


@pytest.mark.parametrize("sizes", [(64, 30, 10), (5, 784, 3), (2, 3, 3, 3, 3, 1)])
def test_large_networks_leave_units_and_numbers_out_and_say_how_many_there_are(sizes):
    display = plotting.NetworkDisplay.from_trace(traced(*sizes))
    assert not any(display.edge_text_)
    for column, size in enumerate(sizes):
        shown = list(display.nodes_[column])
        assert shown == list(range(size)) if size <= 9 else (len(shown) < 9 and shown[-1] == size - 1)
    words = " ".join(text.get_text() for text in display.ax_.texts)
    assert ("⋮" in words) == (max(sizes) > 9)
    assert all(str(size) in words for size in sizes if size > 9)
    assert_nothing_overlaps(display)


def test_of_a_batch_one_sample_is_shown_and_gradients_are_the_batchs():
    t = traced(2, 2, 1, samples=3)
    display = plotting.NetworkDisplay.from_trace(t, sample=1)
    assert "sample 2 of 3" in display.title_.get_text()
    layer = t.layers[0]
    expected = [layer.z[1, 0], layer.a[1, 0], layer.delta[1, 0]]
    assert values(display.node_text_[1][0]) == pytest.approx(expected, abs=0.6e-4, rel=0.06)
    np.testing.assert_allclose(layer.grad_W, t.x.T @ layer.delta)  # which the caption says
    assert "sum of a·δ" in display.caption_.get_text().replace("\n", " ")
    assert_nothing_overlaps(display)


def test_a_class_label_is_a_target_of_one():
    net = bpx.MLP([2, 2, 3], dtype="float64")
    display = plotting.NetworkDisplay.from_trace(bpx.trace(net, [0.1, 0.2], 1, loss="cross_entropy"))
    assert [values(text)[0] for text in display.output_text_[0].values()] == [0.0, 1.0, 0.0]


def test_a_network_shows_its_weights_and_biases():
    net = bpx.MLP([2, 2, 1], output="sigmoid", bias=[True, False], dtype="float64", stack=2)
    display = plotting.NetworkDisplay.from_network(net, member=1)
    W = net.backend.to_host(net.params["0.W"])[1]
    for key, text in display.edge_text_[0].items():
        assert values(text) == pytest.approx([W[key]], abs=0.6e-4)
    assert (len(display.bias_text_[0]), len(display.bias_text_[1])) == (2, 0)
    assert_nothing_overlaps(display)


def test_in_a_small_axes_numbers_are_left_out():
    with plotting.style():
        figure, axes = plt.subplots(1, 2, figsize=(8, 4))
    for ax in axes:
        display = plotting.NetworkDisplay.from_trace(article_001(), ax=ax)
        assert not any(display.edge_text_)
    figure.canvas.draw()
    assert_nothing_overlaps(display)


def test_numbers_that_are_not_finite_are_written():
    display = plotting.NetworkDisplay(weights=[[[np.nan], [np.inf]]])
    display.plot()
    assert [text.get_text() for text in display.edge_text_[0].values()] == ["w NaN", "w ∞"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.1, "0.1"), (np.float32(0.1), "0.1"), (0.09941, "0.0994"), (1.1e-5, "1.1e-05"), (-0.5, "-0.5"), (0, "0"),
     (-1e-12, "-1.0e-12"), (123456.7, "1.2e+05"), (1234.5, "1234.5"), (100.0, "100"), (0.99999, "1.0000")],
)  # fmt: skip
def test_numbers_are_as_short_as_they_can_be_read(value, written):
    assert short_number(value).replace("\N{MINUS SIGN}", "-") == written


def test_labels_are_placed_apart_where_there_is_room():
    starts, ends = (
        np.array([[0.0, 0.0], [0.0, 100.0], [0.0, 50.0]]),
        np.array([[200.0, 100.0], [200.0, 0.0], [200.0, 50.0]]),
    )
    middles = place_labels(starts, ends, np.full((3, 2), (40.0, 20.0)), np.array([[80.0, 30.0, 120.0, 70.0]]))
    for i in range(3):
        assert (
            np.all(np.abs(middles[i] - (100, 50)) >= (40, 20)) or np.max(np.abs(middles[i] - (100, 50)) - (40, 30)) >= 0
        )
        for j in range(i):
            apart = np.abs(middles[i] - middles[j])
            assert apart[0] >= 40 or apart[1] >= 20


@pytest.mark.parametrize(
    ("sizes", "said"),
    [([2, 2, 2], None), ([5, 5, 3], "The gradients are left out"), ([4, 6, 5, 3], "The numbers are left out")],
)
def test_the_caption_says_which_numbers_are_left_out(sizes, said):
    net = bpx.MLP(sizes, seed=0, dtype="float64")
    trace = bpx.trace(net, np.full(sizes[0], 0.3), np.zeros(sizes[-1]), "squared_error")
    caption = plotting.NetworkDisplay.from_trace(trace).caption_.get_text().replace("\n", " ")
    assert ("left out" in caption) == (said is not None)
    assert said is None or said in caption
    assert "left out" not in plotting.NetworkDisplay.from_trace(trace, numbers=False).caption_.get_text()


def test_a_broad_input_stays_inside_its_node():
    net = bpx.MLP([2, 2, 2], seed=0, dtype="float64")
    display = plotting.NetworkDisplay.from_trace(bpx.trace(net, [-1e-6, 0.2], [0.0, 1.0]))
    node, text = (part[0][0].get_window_extent() for part in (display.nodes_, display.node_text_))
    assert node.x0 + 3 < text.x0 < text.x1 < node.x1 - 3

"""`trace.animate()` opened in a real browser: its numbers are the trace's, its formulas give them, nothing overlaps."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Page, chromium  # noqa: F401 - a fixture

import bpx
from bpx.formulas.blocks import block_cross_entropy, block_softmax

pytestmark = pytest.mark.slow

DRAW = bpx.initializers.uniform(0.9)
X = np.random.default_rng(3).normal(size=(7, 3))


def article_001() -> Any:
    net = bpx.MLP([2, 2, 2], hidden="sigmoid", output="sigmoid", dtype="float64", backend="numpy")
    W1, W2 = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.7, 0.8]])
    net.set_params({"0.W": W1.T, "0.b": [0.55, 0.55], "1.W": W2.T, "1.b": [0.66, 0.66]})
    return bpx.trace(net, [0.1, 0.2], [0.01, 0.99], learning_rate=0.5)


def traced(sizes: Any, hidden: Any, output: Any, loss: Any, y: Any, x: Any = None, **options: Any) -> Any:
    options = {"dtype": "float64", "init": DRAW, "backend": "numpy"} | options
    net = bpx.MLP(sizes, hidden=hidden, output=output, **options)
    return bpx.trace(net, X[0, : sizes[0]] if x is None else x, y, loss, learning_rate=0.3)


CASES: dict[str, Callable[[], Any]] = {
    "article 001": article_001,
    "3-4-3-2": lambda: traced([3, 4, 3, 2], ["tanh", "relu"], "identity", "huber", [0.3, -1.0]),
    "softmax": lambda: traced([4, 8, 3], "silu", "softmax", "cross_entropy", 2, x=[0.2, -0.5, 1.1, 0.7]),
    "1-1-1": lambda: traced([1, 1, 1], "sigmoid", "sigmoid", "binary_cross_entropy", [1.0]),
    "one layer, float32": lambda: traced([3, 2], "relu", "identity", "squared_error", [0.1, 0.2], dtype="float32"),
    "seven samples": lambda: traced(
        [3, 2, 2], "elu", "softmax", "cross_entropy", [0, 1, 1, 0, 1, 0, 0], x=X, bias=[True, False]
    ),
    "large": lambda: traced([3, 100, 12], "gelu", "softmax", "cross_entropy", 3),
}


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Page]]:  # noqa: F811 - pytest's way
    """Open a trace's page; at the end no page has complained or asked for anything but itself."""
    pages: list[Page] = []

    def close(page: Page) -> None:
        assert page.complaints() == []
        assert {url for url in page.requests() if not url.startswith("data:")} == {page.url}

    def open_page(trace: Any, language: str = "en", **screen: Any) -> Page:
        if pages:
            close(pages[-1])
        path = trace.animate(tmp_path / f"{len(pages)}.html", language)
        assert path.stat().st_size < 300_000
        pages.append(Page(chromium, path, **screen))
        return pages[-1]

    yield open_page
    if pages:
        close(pages[-1])


# From the first stage to the last with the button "next", in one call: what the panel and the drawing hold at each.
STEPPING = """
const stages = [];
document.getElementById("first").click();
for (;;) {
  stages.push({
    number: Number(document.body.dataset.stage),
    cards: [...document.querySelectorAll("#cards .card")].map((card) => [card.dataset.key,
      card.querySelector("[data-value]").dataset.value, card.querySelector(".numbers")?.innerHTML ?? ""]),
    drawing: [...document.querySelectorAll("#network [data-quantity]")]
      .map((e) => [e.dataset.quantity, e.dataset.value, e.textContent]),
    text: document.querySelector("#cards").textContent,
  });
  if (document.getElementById("next").disabled) return stages;
  document.getElementById("next").click();
}"""


def drawn(size: int) -> list[int]:
    """Places of the neurons that are drawn, by the documented rule."""
    return list(range(size)) if size <= 10 else [*range(8), size - 1]


def expected_stages(t: Any, sample: int = 0) -> list[dict[str, float]]:
    """Every stage's numbers, straight from the trace."""
    L = len(t.layers)
    one = {name: np.atleast_2d(getattr(t, name))[sample] for name in ("x", "losses")}
    labels = t.y.ndim < t.x.ndim
    target = np.eye(len(one["losses"]))[np.atleast_1d(t.y)[sample]] if labels else np.atleast_2d(t.y)[sample]
    places = [drawn(len(one["x"])), *(drawn(layer.W.shape[1]) for layer in t.layers)]

    def neurons(name: str, layer: int) -> dict[str, float]:
        values = np.atleast_2d(getattr(t.layers[layer - 1], name))[sample]
        return {f"{name}.{layer}.{j}": float(values[at]) for j, at in enumerate(places[layer])}

    def parameters(weights: str, biases: str, layer: int) -> dict[str, float]:
        W, b = getattr(t.layers[layer - 1], weights), getattr(t.layers[layer - 1], biases)
        found = {}
        for (i, here), (j, there) in itertools.product(enumerate(places[layer - 1]), enumerate(places[layer])):
            found[f"{weights.lower()}.{layer}.{i}.{j}"] = float(W[here, there])
            if b is not None:
                found[f"{biases}.{layer}.{j}"] = float(b[there])
        return found

    layers = range(1, L + 1)
    outputs = list(enumerate(places[L]))
    given = {f"x.0.{j}": float(one["x"][at]) for j, at in enumerate(places[0])}
    return [
        given | {f"y.{j}": float(target[at]) for j, at in outputs},
        *(neurons(name, layer) for layer in layers for name in ("z", "a")),
        {f"loss.{j}": float(one["losses"][at]) for j, at in outputs} | {"total": t.loss},
        *(
            stage
            for layer in reversed(layers)
            for stage in (
                neurons("grad_a", layer), neurons("delta", layer), parameters("grad_W", "grad_b", layer)
            )
        ),
        *(parameters("new_W", "new_b", layer) for layer in layers),
        {"total": t.loss, "new_total": t.new_loss},
    ]  # fmt: skip


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_stepping_through_shows_exactly_the_traces_numbers(opened: Any, make: Any) -> None:
    t = make()
    page = opened(t)
    wanted = expected_stages(t)
    seen = page.js(STEPPING)
    assert [stage["number"] for stage in seen] == list(range(6 * len(t.layers) + 3)) == list(range(len(wanted)))
    known: dict[str, float] = {}
    for stage, numbers in zip(seen, wanted, strict=True):
        assert {key: float(value) for key, value, _ in stage["cards"]} == numbers
        assert len(stage["cards"]) == len(numbers)
        known |= numbers
        assert_drawn(stage["drawing"], known)
    assert [float(value) for name, value, _ in seen[-1]["drawing"] if name == "new_total"] == [t.new_loss]


def assert_drawn(drawing: Any, known: dict[str, float]) -> None:
    """Neurons show x and a, below them delta, edges the new weights, boxes the losses: each as soon as it is known."""
    for name, value, text in drawing:
        assert float(text.split()[-1].replace("\u2212", "-")) == pytest.approx(float(value), rel=0.06, abs=6e-5), name
    for name in ("x", "a", "delta", "new_w", "new_b", "loss"):
        shown = sorted(float(value) for quantity, value, _ in drawing if quantity == name)
        assert shown == sorted(value for key, value in known.items() if key.startswith(f"{name}."))


def test_the_worked_step_of_article_001_is_on_the_page(opened: Any) -> None:
    page = opened(article_001())
    page.choose("#digits", "10")
    shown = "".join(stage["text"] for stage in page.js(STEPPING))
    for figure in (
        "0.6456563062", "0.6592603885", "0.7987314002", "0.8374488853", "0.3110486109", "0.0116359213", "0.3226845322",
        "0.1267961054", "0.0818667050", "0.4590666475", "0.0488614913", "0.0011178739", "0.0994410630",
    ):  # fmt: skip
        assert figure in shown


# ---------------------------------------------------------------------- formulas


def evaluated(markup: str) -> float:
    """The value of a formula as it stands on the page, worked out by Python."""
    text = re.sub(r"<sup>", "**(", markup).replace("</sup>", ")").removeprefix("= ")
    text = text.replace("\u2212", "-").replace("·", "*").replace("½", "0.5").replace("√", "sqrt").replace("π", "pi")
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    assert not re.search(r"[<>&…]", text), text
    names = {"e": math.e, "ln": math.log, "tanh": math.tanh, "sqrt": math.sqrt, "pi": math.pi}
    return float(eval(text, {"__builtins__": {"max": max, "abs": abs}, "sign": np.sign} | names))


def assert_formulas_give_their_results(page: Page) -> int:
    """Every formula with numbers put in, at full length; returns how many there were."""
    page.choose("#digits", "0")
    checked = 0
    for key, value, numbers in [card for stage in page.js(STEPPING) for card in stage["cards"]]:
        if numbers:
            assert evaluated(numbers) == pytest.approx(float(value), rel=1e-9, abs=1e-12), (key, numbers)
            checked += 1
    return checked


HIDDEN = sorted(
    a.name for a in bpx.activations.ACTIVATIONS.values() if a.differentiable and not a.output_only
)  # sigmoid is there twice, as logistic too


def test_every_activations_formula_gives_its_result(opened: Any) -> None:
    hidden = [*HIDDEN, bpx.activations.leaky_relu(0.3), bpx.activations.elu(2.0)]
    t = traced([3, *[3] * len(hidden), 2], hidden, "identity", "squared_error", [0.5, -0.5])
    assert assert_formulas_give_their_results(opened(t)) > 200


LOSSES = {
    "squared_error": ("squared_error", "softmax", [0.0, 1.0]),
    "absolute_error": ("absolute_error", "tanh", [0.3, -1.0]),
    "huber, both sides": (bpx.losses.huber(0.5), "identity", [0.3, 9.0]),
    "quantile, a level per output": (bpx.losses.quantile([0.1, 0.8]), "identity", [-3.0, 4.0]),
    "quantile, below": ("quantile", "identity", [4.0, -3.0]),
    "binary_cross_entropy": ("binary_cross_entropy", "sigmoid", [1.0, 0.25]),
    "binary_cross_entropy, softmax": ("binary_cross_entropy", "softmax", [0.0, 1.0]),
    "cross_entropy": ("cross_entropy", "softmax", 1),
    "cross_entropy, soft": ("cross_entropy", "softmax", [0.3, 0.7]),
    "cross_entropy, rows a little off": ("cross_entropy", "softmax", [0.3, 0.7005]),
    "poisson": ("poisson", "exp", [0.0, 3.0]),
    "poisson, softplus": ("poisson", "softplus", [0.0, 3.0]),
}


@pytest.mark.parametrize(("loss", "output", "y"), LOSSES.values(), ids=LOSSES)
def test_every_losss_formula_gives_its_result(opened: Any, loss: Any, output: str, y: Any) -> None:
    assert assert_formulas_give_their_results(opened(traced([3, 2, 2], "tanh", output, loss, y))) > 20


def test_formulas_of_several_samples_and_of_blocks_give_their_results(opened: Any) -> None:
    t = traced([3, 2, 2], "tanh", "sigmoid", "squared_error", X[:4, :2], x=X[:4], bias=[False, True])
    page = opened(t)
    assert assert_formulas_give_their_results(page) > 20
    page.choose("#sample", "3")
    assert assert_formulas_give_their_results(page) > 20
    for stage, wanted in zip(page.js(STEPPING), expected_stages(t, sample=2), strict=True):
        assert {key: float(value) for key, value, _ in stage["cards"]} == wanted
    blocks = traced([3, 5], "relu", block_softmax([2, 3]), block_cross_entropy([2, 3]), [0.0, 1.0, 1.0, 0.0, 0.0])
    # Not the losses: block_cross_entropy has no formula on the page.
    page = opened(blocks)
    page.choose("#digits", "0")
    stages = page.js(STEPPING)
    for key, value, numbers in stages[2]["cards"] + stages[5]["cards"]:  # activations, deltas: each within its block
        assert evaluated(numbers) == pytest.approx(float(value), rel=1e-9), key


def test_a_sum_over_neurons_that_are_not_drawn_says_so(opened: Any) -> None:
    page = opened(CASES["large"]())
    assert all("…" in numbers for _, _, numbers in page.js(STEPPING)[3]["cards"])
    assert "Hidden layer: 9 of 100" in page.text("#partly")
    assert "Output layer: 9 of 12" in page.text("#partly")
    assert "91 more" in page.text("#network")


def test_numbers_that_are_not_finite_are_shown_as_such(opened: Any) -> None:
    net = bpx.MLP([1, 1], output="identity", dtype="float64", init=DRAW, backend="numpy")
    page = opened(bpx.trace(net, [1e200], [1.0], "huber", learning_rate=1.0))
    values = {key: value for key, value, _ in page.js(STEPPING)[-1]["cards"]}
    assert values["new_total"] == "Infinity"
    assert "∞" in page.text("#words")


# ---------------------------------------------------------------------- what the reader does


def test_keys_and_buttons_move_and_play(opened: Any) -> None:
    left, right, end, home, space = "\ue012", "\ue014", "\ue010", "\ue011", " "
    page = opened(article_001())
    for key, stage in ((right, 1), (right, 2), (left, 1), (end, 14), (right, 14), (home, 0), (left, 0)):
        page.press(key)
        assert page.stage == stage
    for button, stage in (("next", 1), ("last", 14), ("previous", 13), ("first", 0)):
        page.click(f"#{button}")
        assert page.stage == stage
    page.js("document.activeElement.blur()")
    assert page.js("return document.getElementById('play').title") == "Play"
    page.press(space)
    assert page.js("return document.getElementById('play').title") == "Pause"
    page.press(space)
    assert page.js("return document.getElementById('play').title") == "Play"


def test_playing_goes_through_all_stages_and_stops_at_the_last(opened: Any) -> None:
    page = opened(article_001())
    # The page's clock, made to run at once.
    page.js("window.seen = []; window.setTimeout = (f) => {seen.push(document.body.dataset.stage); queueMicrotask(f)}")
    page.click("#play")
    assert page.js("return seen.map(Number)") == list(range(14))
    assert page.stage == 14
    assert page.js("return document.getElementById('play').title") == "Play"


def test_the_language_is_chosen_when_writing_and_changed_on_the_page(opened: Any) -> None:
    chinese = re.compile(r"[\u4e00-\u9fff]")
    page = opened(article_001(), "zh")
    parts = ["title", "h1", "h2", "#words", "#phase-name", "#progress", "#network", ".help"]
    for number in range(page.stages):
        page.choose("#slider", str(number))
        for words in page.js("return arguments[0].map((part) => document.querySelector(part).textContent)", parts):
            assert chinese.search(words), (number, words)
    assert page.js("return document.documentElement.lang") == "zh-Hans"
    page.click("#languages button:first-child")
    words = page.js("return document.body.innerText + [...document.querySelectorAll('[aria-label]')]"
                    ".map((e) => e.getAttribute('aria-label')).join()")  # fmt: skip
    assert not chinese.search(words.replace("中文", ""))
    assert page.js("return document.documentElement.lang") == "en"
    assert page.stage == 14
    page.click("#languages button:last-child")
    assert page.text("h2") == "这一步的结果"


TIP = "return document.getElementById('tip').hidden ? null : document.getElementById('tip').textContent"


def test_a_number_shows_its_formula_when_pointed_at_tapped_or_tabbed_to(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page = opened(article_001())
    page.choose("#slider", "2")
    assert page.js(TIP) is None
    node = page.driver.find_elements("css selector", "#network .node")[2]
    ActionChains(page.driver).move_to_element(node).perform()
    assert "0.645656" in page.js(TIP)
    assert "sigmoid(z" in page.js(TIP)
    assert page.js("return document.querySelectorAll('.card.picked').length") == 1
    ActionChains(page.driver).move_to_element(page.driver.find_element("css selector", "h2")).perform()
    assert page.js(TIP) is None
    page.js("document.querySelectorAll('#network .edge')[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert page.js(TIP) == "w11(1) = 0.1"
    page.press("\ue00c")  # Escape
    assert page.js(TIP) is None
    page.js("document.getElementById('languages').lastElementChild.focus()")
    page.press("\ue004")  # Tab: on to the first number of this stage
    assert "0.645656" in page.js(TIP)
    assert "a 1 (1) = 0.645656" in page.js("return document.activeElement.getAttribute('aria-label')")


def test_names_from_users_are_shown_and_never_run(opened: Any) -> None:
    name = "</script><script>window.hit = 1</script><img src=x onerror=window.hit=1>_{1}$z\\{{script}}"
    own = bpx.Activation(name, lambda xp, z: 0.5 * z, lambda xp, z, a: 0.0 * z + 0.5)
    loss = bpx.Loss(name, lambda xp, a, y: (0.5 * (a - y) ** 2, a - y))
    page = opened(traced([2, 2, 1], own, "identity", loss, [0.5], x=[0.2, 0.4]))
    for number in range(page.stages):
        page.choose("#slider", str(number))
        if number in (2, 5):  # the activations, the losses
            assert name in page.text("#cards .symbols")
            assert name in page.text("#words")
    assert page.js("return window.hit ?? null") is None
    assert page.js("return document.querySelectorAll('script, img').length") == 2


def test_a_step_with_an_activation_that_joins_outputs_of_a_user(opened: Any) -> None:
    soft = bpx.activations.get("softmax")
    own = bpx.Activation("mine", soft.forward, jacobian=soft.jacobian, outputs="distribution", output_only=True)
    page = opened(traced([3, 2], "relu", own, "squared_error", [0.0, 1.0]))
    page.choose("#slider", "5")
    assert "several outputs meet" in page.text("#words")
    assert "Σk ∂L/∂ak(1)" in page.text("#cards .symbols")


# ---------------------------------------------------------------------- how it looks

OVERLAPS = """
const shown = [...document.querySelectorAll("#network text")].filter((e) => e.textContent && e.getBBox().width
    && getComputedStyle(e).display !== "none");
const boxes = shown.map((e) => [e.textContent, e.getBoundingClientRect()]);
const found = [];
for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
  const [p, q] = [boxes[i][1], boxes[j][1]];
  const x = Math.min(p.right, q.right) - Math.max(p.left, q.left);
  const y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
  if (x > 1 && y > 4) found.push(boxes[i][0] + " | " + boxes[j][0]);  // lines of text are taller than their letters
}
return [document.documentElement.scrollWidth, found]"""


def resize(page: Page, width: int, height: int) -> None:
    """The window's new size, and the drawing's, which follows by the next frame but one."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    frame = "requestAnimationFrame"
    page.driver.execute_async_script(f"const done = arguments[0]; {frame}(() => {frame}(() => {frame}(done)))")


SCREENS = [(360, 740), (800, 600), (1280, 800), (1920, 1080)]


@pytest.mark.parametrize(
    ("case", "language"),
    [("article 001", "en"), ("3-4-3-2", "zh"), ("softmax", "en"), ("seven samples", "zh"), ("large", "en")],
)
def test_nothing_in_the_drawing_overlaps_and_the_page_is_never_wider_than_the_screen(
    opened: Any, case: str, language: str
) -> None:
    t = CASES[case]()
    page = opened(t, language)
    last = page.stages - 1
    for width, height in SCREENS:
        resize(page, width, height)
        for number in (0, last // 2, last):
            page.choose("#slider", str(number))
            widest, overlaps = page.js(OVERLAPS)
            assert widest <= width
            assert overlaps == [], (width, number)


FITTING = """
const box = document.getElementById("scroll").getBoundingClientRect();
const drawing = document.getElementById("network").getBoundingClientRect();
const nodes = [...document.querySelectorAll("#network .node :is(circle, rect), #network .bias rect")]
    .map((e) => e.getBoundingClientRect());
let closest = Infinity;  // between two nodes
for (let i = 0; i < nodes.length; i++) for (let j = i + 1; j < nodes.length; j++) {
  const [p, q] = [nodes[i], nodes[j]];
  const x = Math.max(p.left, q.left) - Math.min(p.right, q.right);
  const y = Math.max(p.top, q.top) - Math.min(p.bottom, q.bottom);
  closest = Math.min(closest, Math.max(x, y));
}
const scale = drawing.width / document.getElementById("network").viewBox.baseVal.width;
return {page: document.documentElement.scrollWidth, across: drawing.width - box.width,
  down: drawing.height - box.height, closest, letters: 13 * scale}"""


@pytest.mark.parametrize("sizes", [[2, 2, 2], [4, 8, 6, 3], [10, 20, 10, 5]], ids=str)
def test_the_drawing_fits_into_the_window_and_can_be_read_and_zoomed(opened: Any, sizes: list[int]) -> None:
    x = np.random.default_rng(0).normal(size=sizes[0])
    page = opened(traced(sizes, "sigmoid", "softmax", "cross_entropy", 0, x=x))
    for width, height in ((600, 800), (1200, 800), (1920, 1080), (800, 640), (1200, 800)):
        resize(page, width, height)
        seen = page.js(FITTING)
        assert seen["page"] <= width
        assert seen["across"] < 1
        assert seen["closest"] > 4
        assert seen["letters"] > 8
        if width >= 1200:
            assert seen["down"] < 1
        for number in (3, page.stages - 1):
            page.choose("#slider", str(number))
            assert page.js(OVERLAPS)[1] == [], (width, number)
    whole = page.js(FITTING)
    page.click("#closer")
    page.press("+")
    closer = page.js(FITTING)
    assert closer["letters"] == pytest.approx(1.25**2 * whole["letters"], rel=0.01)
    assert closer["page"] <= 1200
    page.press("-")
    page.click("#farther")
    assert page.js(FITTING) == pytest.approx(whole)
    page.click("#farther")
    page.click("#whole")
    assert page.js(FITTING) == whole
    assert page.stage == page.stages - 1


def test_a_notebook_shows_the_page_apart_from_its_own_styles(chromium: Any, tmp_path: Path) -> None:  # noqa: F811
    path = CASES["3-4-3-2"]().animate(tmp_path / "step.html")
    notebook = tmp_path / "notebook.html"
    style = "<style>* { color: red !important; font-size: 40px !important } svg { display: none }</style>"
    script = "<script>window.D = 1; document.onkeydown = () => { window.pressed = true }</script>"
    notebook.write_text(f"<!doctype html><meta charset=utf-8>{style}{script}{path._repr_html_()}", encoding="utf-8")
    page = Page(chromium, notebook, 1000, 900)
    assert page.js("return document.documentElement.scrollWidth") <= 1000
    page.driver.switch_to.frame(0)
    try:
        assert page.js("return getComputedStyle(document.getElementById('words')).color") == "rgb(22, 32, 42)"
        seen = page.js(FITTING)
        assert seen["page"] <= 1000
        assert seen["across"] < 1
        assert seen["down"] < 1
        assert seen["letters"] > 9
        page.click("#next")
        page.press("\ue014")  # the right arrow
        assert page.stage == 2
    finally:
        page.driver.switch_to.default_content()
    assert page.js("return window.pressed ?? null") is None
    assert page.complaints() == []
    assert {url for url in page.requests() if not url.startswith(("data:", "about:"))} == {page.url}


CONTRAST = """
const rgb = (name) => getComputedStyle(document.body).getPropertyValue(name).trim().match(/[0-9a-f]{2}/g)
  .map((h) => parseInt(h, 16) / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const light = (name) => { const [r, g, b] = rgb(name); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
return arguments[0].map(([p, q]) => {
  const [a, b] = [light(p), light(q)]; return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(opened: Any, scheme: str) -> None:
    page = opened(article_001(), prefers_color_scheme=scheme)
    phases = ("forward", "backward", "update", "summary")
    pairs = [("--ink", "--ground"), ("--soft", "--ground"), ("--soft", "--raised")]
    for phase in phases:
        pairs += [(f"--{phase}", "--ground"), ("--on", f"--{phase}"), ("--ink", f"--{phase}-tint")]
    ratios = page.js(CONTRAST, pairs)
    assert [pair for pair, ratio in zip(pairs, ratios, strict=True) if ratio < 4.5] == []
    dark = page.js("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(18, 23, 29)") == (scheme == "dark")


def test_edges_without_room_for_numbers_are_pointed_at(opened: Any) -> None:
    for sizes, crowded in (([2, 2, 2], False), ([3, 4, 2], True)):
        page = opened(traced(sizes, "tanh", "softmax", "cross_entropy", 0))
        assert (page.js("return document.querySelectorAll('#network .label.crowded').length") > 0) == crowded
        assert ("point at" in page.text("#words")) == crowded


def test_numbers_stay_inside_their_circles(opened: Any) -> None:
    page = opened(traced([3, 10, 2], "tanh", "softmax", "cross_entropy", 0), "zh")
    page.choose("#slider", "2")
    widths = page.js("""
      return [...document.querySelectorAll("#network .node circle ~ .value")].filter((e) => e.textContent)
        .map((e) => [e.textContent, e.getBBox().width])""")
    assert any(text.startswith("\N{MINUS SIGN}0.") for text, _ in widths)
    assert max(width for _, width in widths) <= 57

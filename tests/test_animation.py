"""`trace.animate()` without a browser: the file, what is in it, what is refused; test_animation_page.py opens it."""

from __future__ import annotations

import html
import json
import pickle
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpx
from bpx.animation import page
from bpx.animation.page_data import page_data
from bpx.formulas.blocks import block_softmax

PARTS = resources.files("bpx.animation")


def traced(
    sizes: Any = (2, 3, 2), n: int | None = None, output: Any = "sigmoid", loss: Any = "squared_error", **options: Any
) -> Any:
    rng = np.random.default_rng(5)
    net = bpx.MLP(list(sizes), hidden=options.pop("hidden", "tanh"), output=output, backend="numpy", **options)
    x = rng.normal(size=sizes[0] if n is None else (n, sizes[0]))
    y = rng.uniform(size=sizes[-1] if n is None else (n, sizes[-1]))
    return bpx.trace(net, x, y, loss)


def data_of(html: str) -> Any:
    """What a page's script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


# ---------------------------------------------------------------------- the file


def test_the_file_is_written_where_it_is_asked_for_and_its_path_returned(tmp_path: Path) -> None:
    path = traced().animate(str(tmp_path / "step.html"))
    assert path == tmp_path / "step.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["step.html"]


def test_without_a_path_each_page_is_a_new_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = traced().animate(), traced().animate()
    assert first != second
    assert {first, second} == set(tmp_path.iterdir())
    assert first.suffix == ".html"


def test_what_is_returned_is_a_path_that_a_notebook_shows_as_the_page(tmp_path: Path) -> None:
    path = traced().animate(tmp_path / "step.html")
    plain = tmp_path / "step.html"
    assert isinstance(path, Path)
    assert (path, hash(path), repr(path), str(path)) == (plain, hash(plain), repr(plain), str(plain))
    assert pickle.loads(pickle.dumps(path)) == path
    shown = path._repr_html_()
    (page_,) = re.findall(r'^<iframe srcdoc="([^"]*)" sandbox="allow-scripts" title="step.html" style=', shown)
    assert html.unescape(page_) == plain.read_text(encoding="utf-8")
    # Neither paths made from it nor a page that is gone are taken for one.
    (tmp_path / "other.html").write_text("<p>of somebody else</p>")
    for other in (path.parent, path.with_name("other.html"), path / "no"):
        assert getattr(other, "_repr_html_", lambda: None)() is None
    path.unlink()
    assert path._repr_html_() is None


def test_a_file_that_is_there_is_replaced_and_kept_where_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "step.html"
    path.write_text("old content")
    with pytest.raises(ValueError, match="language: expected 'en' or 'zh', got 'fr'"):
        traced().animate(path, language="fr")
    assert path.read_text() == "old content"
    traced().animate(path)
    assert "old content" not in path.read_text(encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="existing folder"):
        traced().animate(tmp_path / "no" / "step.html")


def test_a_page_names_no_address_and_forbids_itself_every_request() -> None:
    html = page.html(traced())
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,"]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy.split("; ")[:4] == [
        "default-src 'none'", "style-src 'unsafe-inline'", "script-src 'unsafe-inline'", "img-src data:",
    ]  # fmt: skip


@pytest.mark.parametrize(("language", "tag", "title"), [("en", "en", "One step"), ("zh", "zh-Hans", "反向传播")])
def test_the_page_opens_in_the_language_that_was_chosen(language: str, tag: str, title: str) -> None:
    html = page.html(traced(), language)
    assert f'<html lang="{tag}">' in html
    assert re.search(f"<title>{title}", html)
    assert data_of(html)["language"] == language


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    texts = {name: json.loads((PARTS / f"texts.{name}.json").read_text(encoding="utf-8")) for name in page.LANGUAGES}
    assert list(texts["en"]) == list(texts["zh"])
    for key, words in texts["en"].items():
        places = [set(re.findall(r"\{(\w+)\}", text)) for text in (words, texts["zh"][key])]
        assert places[0] == places[1], key
        assert key == "name" or not re.search("[\u4e00-\u9fff]", words)
    textbook = " ".join(texts["zh"].values())
    for term in ("前向传播", "反向传播", "权重", "偏置", "激活函数", "学习率", "误差", "梯度", "损失函数", "隐藏层"):
        assert term in textbook


def test_every_script_of_the_package_is_in_the_page() -> None:
    parts = [part.name for part in PARTS.iterdir() if part.is_file()]
    assert sorted(page.SCRIPTS) == sorted(part for part in parts if part.endswith(".js"))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("ACTIVATIONS", {a.name for a in bpx.activations.ACTIVATIONS.values() if a.differentiable}),
        ("LOSSES", set(bpx.losses.LOSSES)),
    ],
)
def test_every_registered_function_is_written_out(table: str, names: set[str]) -> None:
    source = (PARTS / "formulas.js").read_text(encoding="utf-8")
    written = re.search(rf"const {table} = \{{\n(.*?)\n\}};", source, re.DOTALL)
    assert written is not None
    assert set(re.findall(r"^  (\w+): \{", written[1], re.MULTILINE)) - {"block_softmax"} == names


# ---------------------------------------------------------------------- what is in it


def test_the_numbers_survive_the_page_exactly() -> None:
    t = traced(n=4, dtype="float64")
    data = data_of(page.html(t))
    assert (data["loss"], data["newLoss"], data["rate"]) == (t.loss, t.new_loss, t.learning_rate)
    assert np.array_equal(data["x"], t.x)
    assert np.array_equal(data["y"], t.y)
    for layer, kept in zip(t.layers, data["layers"], strict=True):
        for name in ("z", "a", "grad_a", "delta", "W", "grad_W", "new_W", "b", "grad_b", "new_b"):
            assert np.array_equal(kept[name], getattr(layer, name)), name


def test_the_loss_after_the_step_is_that_of_the_new_parameters(close: Any) -> None:
    net = bpx.MLP([2, 3, 2], hidden="tanh", output="softmax", dtype="float64", backend="numpy")
    x, y = np.random.default_rng(1).normal(size=(5, 2)), [0, 1, 1, 0, 1]
    t = bpx.trace(net, x, y, "cross_entropy", 0.7)
    assert t.to_dict()["new_loss"] == t.new_loss
    net.set_params({f"{i}.{name}": getattr(layer, f"new_{name}") for i, layer in enumerate(t.layers) for name in "Wb"})
    close(t.new_loss, float(net.loss_and_grads(x, y)[0]))
    assert t.new_loss < t.loss


def test_class_labels_become_rows_of_zero_and_one() -> None:
    net = bpx.MLP([2, 3], backend="numpy")
    assert page_data(bpx.trace(net, [0.1, 0.2], 2, "cross_entropy"))["y"] == [[0.0, 0.0, 1.0]]
    several = page_data(bpx.trace(net, [[0.1, 0.2], [0.3, 0.4]], [1, 0], "cross_entropy"))
    assert several["y"] == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("output", "loss", "y", "fused"),
    [
        ("softmax", "cross_entropy", [0.0, 1.0], True),
        ("softmax", "cross_entropy", [0.0, 0.9995], False),
        ("sigmoid", "binary_cross_entropy", [0.0, 1.0], True),
        ("exp", "poisson", [0.0, 1.0], True),
        ("softplus", "poisson", [0.0, 1.0], False),
        ("softmax", "squared_error", [0.0, 1.0], False),
        (bpx.Activation("sigmoid", lambda xp, z: xp.tanh(z) ** 2, lambda xp, z, a: z, outputs="unit"),
         "binary_cross_entropy", [0.0, 1.0], False),
    ],
)  # fmt: skip
def test_delta_is_output_minus_target_only_where_bpx_has_one_formula_for_both(
    output: Any, loss: str, y: Any, fused: bool
) -> None:
    net = bpx.MLP([2, 2], output=output, dtype="float64", backend="numpy")
    t = bpx.trace(net, [0.3, 0.4], y, loss)
    assert page_data(t)["fused"] is fused
    minus = np.allclose(t.layers[0].delta, t.layers[0].a - y, rtol=0, atol=1e-12)
    assert minus == fused


def test_functions_are_named_with_their_numbers() -> None:
    hidden = [bpx.activations.leaky_relu(0.2), bpx.Activation("relu", lambda xp, z: z, lambda xp, z, a: z)]
    t = traced((2, 3, 3, 4), hidden=hidden, output=block_softmax([1, 3]), loss=bpx.losses.huber(0.5))
    data = page_data(t)
    assert [layer["activation"] for layer in data["layers"]] == [
        {"name": "leaky_relu", "arguments": [0.2], "elementwise": True},
        {"own": "relu", "elementwise": True},
        {"name": "block_softmax", "arguments": [[1, 3]], "elementwise": False},
    ]
    assert data["lossFunction"] == {"name": "huber", "arguments": [0.5]}


def test_a_name_cannot_leave_the_data() -> None:
    name = "</script><!--<script>{{script}} & \ud800"
    own = bpx.Activation(name, lambda xp, z: z, lambda xp, z, a: 0 * z + 1)
    html = page._encoded(page.html(traced(hidden=own))).decode()
    assert data_of(html)["layers"][0]["activation"]["own"] == name
    assert html.count("<script") == html.count("</script>") == 2
    assert html.count("const ACTIVATIONS") == 1


# ---------------------------------------------------------------------- sizes


def test_large_layers_are_drawn_in_part_and_the_page_stays_small() -> None:
    t = traced((10, 11, 3000, 2))
    data = page_data(t)
    assert data["sizes"] == [10, 11, 3000, 2]
    assert data["drawn"] == [[*range(10)], [*range(8), 10], [*range(8), 2999], [0, 1]]
    assert np.array_equal(data["layers"][1]["W"], t.layers[1].W[np.ix_([*range(8), 10], [*range(8), 2999])])
    assert len(page.html(t).encode()) < 150_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: traced((2, 3, 2), n=1500), r"1500 sample\(s\) through 2 layers would be \d+ bytes over 300000"),
        (lambda: traced([2, *[10] * 60, 2]), r"1 sample\(s\) through 61 layers would be \d+ bytes over 300000"),
        (lambda: traced((2, 2), n=50_000), r"50000 sample\(s\) through 1 layers would be far over 300000 bytes"),
    ],
)
def test_a_page_over_the_limit_is_refused_with_what_to_do(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message + r".*; trace fewer samples at once"):
        make().animate(tmp_path / "step.html")
    assert list(tmp_path.iterdir()) == []


def test_writing_the_page_is_imported_when_it_is_asked_for() -> None:
    from test_architecture import fresh_process

    script = "import sys, bpx; bpx.trace; print([n for n in sys.modules if n.startswith('bpx.animation')])"
    assert fresh_process(script).strip() == "[]"

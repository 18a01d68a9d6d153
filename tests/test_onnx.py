"""ONNX models compute what bpx computes, as onnxruntime runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.exceptions import NotFittedError

import bpx
from bpx import activations
from bpx.errors import how_to_install
from bpx.files.onnx_activations import ACTIVATIONS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Largest difference, relative to the largest value where that is above 1.
SAME = {"float32": 1e-6, "float64": 1e-12}

rng = np.random.default_rng(8)
X = rng.normal(size=(40, 4)) * 2.0
CODES = np.argmax(X[:, :3], axis=1)
HIDDEN = sorted(name for name, a in activations.ACTIVATIONS.items() if not a.output_only)
OUTPUTS = {
    "binary": ("sigmoid", 1),
    "multiclass": ("softmax", 3),
    "multilabel": ("sigmoid", 3),
    "regression": ("identity", 2),
}


def run(path: Any, X: np.ndarray) -> dict[str, Any]:
    """The model's outputs by name."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": X}), strict=True))


def same(a: Any, b: Any, dtype: str = "float32") -> None:
    assert a.shape == b.shape
    assert a.dtype == b.dtype == dtype
    assert np.max(np.abs(a - b)) <= SAME[dtype] * max(1.0, float(np.max(np.abs(b))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_networks_outputs_agree(hidden, layers, dtype, tmp_path):
    for output, n_out in OUTPUTS.values():
        sizes = [4, *[7, 6, 5, 6][: layers - 1], n_out]
        net = bpx.MLP(sizes, hidden, output, init="he_normal", seed=layers, dtype=dtype, backend="numpy")
        net.set_params({f"{i}.b": rng.normal(size=n) for i, n in enumerate(sizes[1:])})
        bpx.to_onnx(net, tmp_path / "m.onnx")
        for batch in (X, X[:1]):
            got = run(tmp_path / "m.onnx", batch.astype(dtype))
            assert list(got) == ["output"]
            same(got["output"], net(batch), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", sorted({*activations.ACTIVATIONS} - {"step"}))
def test_every_output_activation_agrees_far_out_too(output, dtype, tmp_path):
    net = bpx.MLP([1, 3], output=output, bias=False, dtype=dtype, backend="numpy")
    net.set_params({"0.W": [[1.0, -0.5, 2.0]]})
    values = np.array([[-90.0], [-30.0], [-1.0], [-1e-3], [0.0], [1e-3], [0.7], [20.0], [44.0]])
    bpx.to_onnx(net, tmp_path / "m.onnx")
    got = run(tmp_path / "m.onnx", values.astype(dtype))["output"]
    for one, other in zip(got, net(values), strict=True):  # each row on its own scale
        same(one, other, dtype)


def test_the_step_and_the_continued_exponential_agree(tmp_path):
    for output, values in (("step", [[-1.0], [0.0], [1.0]]), ("exp", [[80.0], [90.0], [500.0]])):
        net = bpx.MLP([1, 1], output=output, init="zeros", backend="numpy").set_params({"0.W": [[1.0]]})
        bpx.to_onnx(net, tmp_path / "m.onnx")
        got = run(tmp_path / "m.onnx", np.array(values, dtype=np.float32))["output"]
        assert np.all(np.isfinite(got))
        assert np.allclose(got, net(values), rtol=3e-6, atol=0.0)


@pytest.mark.parametrize("made", [activations.leaky_relu(0.3), activations.elu(2.5)], ids=lambda a: a.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_with_numbers_agree(made, dtype, tmp_path):
    net = bpx.MLP([4, 5, 2], made, "identity", dtype=dtype, backend="numpy")
    bpx.to_onnx(net, tmp_path / "m.onnx")
    same(run(tmp_path / "m.onnx", X.astype(dtype))["output"], net(X), dtype)


def test_every_activation_of_bpxs_can_be_exported():
    assert {*ACTIVATIONS} - {"block_softmax"} == {a.name for a in activations.ACTIVATIONS.values()}


TARGETS: dict[str, Any] = {
    "binary": CODES > 0,
    "binary str": np.where(CODES > 0, "yes", "no"),
    "binary int": np.where(CODES > 0, 5, -5),
    "multiclass": CODES + 3,
    "multiclass float": CODES.astype(np.float64),
    "multiclass str": np.array(["ash", "birch", "Espe ä"])[CODES],
    "multiclass objects": np.array(["ash", "birch", "cedar"], dtype=object)[CODES],
    "multilabel": (X[:, :3] > 0).astype(int),
    "several": np.stack([CODES, X[:, 3] > 0], axis=1),
    "several str": np.stack([np.array(["a", "bb", "c"])[CODES], np.where(X[:, 3] > 0, "u", "v")], axis=1),
}


def check_classifier(est: Any, path: Path, dtype: str) -> None:
    """Label and probabilities as predict and predict_proba give them."""
    bpx.to_onnx(est, path)
    for batch in (X.astype(dtype), X[:1].astype(dtype)):
        got = run(path, batch)
        assert list(got) == ["label", "probabilities"]
        labels, probabilities = est.predict(batch), est.predict_proba(batch)
        if isinstance(probabilities, list):
            probabilities = np.concatenate(probabilities, axis=1)
        same(got["probabilities"], probabilities, dtype)
        assert got["label"].shape == labels.shape
        assert got["label"].tolist() == labels.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_a_classifiers_labels_and_probabilities_agree(y, dtype, tmp_path):
    est = bpx.MLPClassifier((6,), max_iter=30, random_state=0, dtype=dtype, backend="numpy").fit(X, y)
    check_classifier(est, tmp_path / "m.onnx", dtype)


TRAINABLE = sorted(name for name in HIDDEN if activations.ACTIVATIONS[name].differentiable)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("activation", TRAINABLE)
def test_estimators_of_every_activation_and_depth_agree(activation, layers, tmp_path):
    params = {"activation": activation, "max_iter": 2, "random_state": 0, "dtype": "float32", "backend": "numpy"}
    sizes = (6, 5, 6, 5)[: layers - 1]
    for kind in ("binary str", "multiclass str", "multilabel"):
        check_classifier(bpx.MLPClassifier(sizes, **params).fit(X, TARGETS[kind]), tmp_path / "m.onnx", "float32")
    est = bpx.MLPRegressor(hidden_layer_sizes=sizes, **params).fit(X, X[:, :2])
    bpx.to_onnx(est, tmp_path / "m.onnx")
    same(run(tmp_path / "m.onnx", X.astype(np.float32))["output"], est.predict(X.astype(np.float32)))


def test_a_network_of_any_library_is_exported(lib, tmp_path):
    net = bpx.MLP([4, 5, 3], backend=lib)
    bpx.to_onnx(net, tmp_path / "m.onnx")
    same(run(tmp_path / "m.onnx", X.astype(np.float32))["output"], lib.to_host(net(X)))
    assert net.backend == lib


def test_the_model_is_of_the_versions_that_runtimes_know(tmp_path):
    bpx.to_onnx(bpx.MLP([4, 3], hidden="gelu", backend="numpy"), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.producer_name == "bpx"
    assert model.producer_version == bpx.__version__
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert (shape[0].dim_param, shape[1].dim_value) == ("batch", 4)
    assert {constant.name for constant in model.graph.initializer} == {"0.W", "0.b"}


def test_equal_networks_make_equal_models(tmp_path):
    for name in "ab":
        bpx.to_onnx(bpx.MLP([4, 5, 3], backend="numpy"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_float64_model_can_be_exported_in_float32(tmp_path):
    est = bpx.MLPClassifier((6,), max_iter=5, random_state=0, backend="numpy").fit(X, TARGETS["multiclass str"])
    bpx.to_onnx(est, tmp_path / "m.onnx", dtype="float32")
    got = run(tmp_path / "m.onnx", X.astype(np.float32))
    assert np.max(np.abs(got["probabilities"] - est.predict_proba(X))) < 1e-6
    with pytest.raises(ValueError, match="dtype: expected float32 or float64"):
        bpx.to_onnx(est, tmp_path / "m.onnx", dtype="float16")


def test_what_onnx_cannot_represent_is_refused_by_layer_and_the_old_file_stays(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    own = bpx.Activation("swish", lambda xp, z: z)
    relu = bpx.Activation("relu", lambda xp, z: z)
    with pytest.raises(
        ValueError, match=r"to_onnx: layer 1 \(hidden\) uses the activation 'swish', which is not one of"
    ):
        bpx.to_onnx(bpx.MLP([4, 5, 5, 2], ["relu", own], backend="numpy"), path)
    with pytest.raises(
        ValueError, match=r"layer 0 \(hidden\) uses the activation 'relu', which is not one of bpx's own"
    ):
        bpx.to_onnx(bpx.MLP([4, 5, 2], relu, backend="numpy"), path)
    with pytest.raises(ValueError, match=r"a stack of 3; give net\.member\(k\)"):
        bpx.to_onnx(bpx.MLP([4, 2], stack=3, backend="numpy"), path)
    with pytest.raises(TypeError, match=r"expected a bpx\.MLP or a fitted bpx estimator, got dict"):
        bpx.to_onnx({}, path)
    with pytest.raises(NotFittedError):
        bpx.to_onnx(bpx.MLPClassifier(), path)
    dates = np.array(["2020-01-01", "2021-01-01", "2022-02-03"], dtype="M8[D]")[CODES]
    est = bpx.MLPClassifier((3,), max_iter=1, backend="numpy").fit(X, dates)
    with pytest.raises(ValueError, match="labels that are numbers, bools or strings, got datetime64"):
        bpx.to_onnx(est, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_the_absence_of_onnx_names_the_extra(tmp_path):
    script = """
import sys; sys.modules["onnx"] = None
import bpx
try:
    bpx.to_onnx(bpx.MLP([3, 2], backend="numpy"), sys.argv[1])
except ImportError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "m.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"bpx.to_onnx needs onnx: {how_to_install('onnx', 'onnx')}\n"

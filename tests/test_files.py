"""A model file gives back what was saved, to the last bit, in either form and on every library."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import posix

import bpx
from bpx import activations, initializers
from bpx.cli import main
from bpx.errors import how_to_install
from bpx.files import container, header, network_json
from bpx.files.container import FORMS

X = np.linspace(-2.0, 2.0, 15).reshape(5, 3)


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path that ends as each form's does."""
    return str(tmp_path / f"model{request.param}")


def saved_and_loaded(net: bpx.MLP, path: Any, **load: Any) -> bpx.MLP:
    net.save(path)
    return bpx.load(path, **({"backend": net.backend} | load))


def same_network(a: bpx.MLP, b: bpx.MLP) -> None:
    """Equal in everything that a network is, and in the last bit of every parameter."""
    assert network_json.to_json(a)[0] == network_json.to_json(b)[0]
    for name in ("sizes", "bias", "dropout", "dtype", "seed", "stack"):
        assert getattr(a, name) == getattr(b, name)
        assert type(getattr(a, name)) is type(getattr(b, name))
    assert np.array_equal(a.backend.to_host(a.flat), b.backend.to_host(b.flat))
    assert str(a.flat.dtype) == str(b.flat.dtype)


NETWORKS: dict[str, dict[str, Any]] = {
    "one layer": {"sizes": [3, 2]},
    "five layers": {"sizes": [3, 4, 5, 4, 3, 2], "hidden": ["tanh", "elu", "gelu", "step"]},
    "float64": {"sizes": [3, 4, 2], "dtype": "float64", "seed": 2**40},
    "no bias": {"sizes": [3, 4, 2], "bias": [True, False]},
    "dropout": {"sizes": [3, 4, 4, 2], "dropout": [0.1, 0.5]},
    "stack": {"sizes": [3, 4, 2], "stack": 3},
    "stack of one": {"sizes": [3, 4, 2], "stack": 1},
    "stack with seeds": {"sizes": [3, 4, 2], "stack": 3, "seed": [5, 1, 9]},
    "eleven layers": {"sizes": [3] * 11 + [2]},  # "10.W" sorts before "2.W"
    "regression": {"sizes": [3, 4, 1], "output": "identity"},
    "counts": {"sizes": [3, 4, 1], "output": "exp"},
    "initializers": {"sizes": [3, 4, 2], "init": [initializers.uniform(0.25), initializers.normal(0.1, biases=True)]},
}


@pytest.mark.parametrize("given", NETWORKS.values(), ids=NETWORKS)
def test_a_network_comes_back_to_the_last_bit_on_every_library(given, lib, path):
    net = bpx.MLP(**({"backend": lib} | given))
    again = saved_and_loaded(net, path)
    same_network(net, again)
    assert again.backend == lib
    assert np.array_equal(lib.to_host(net(X)), lib.to_host(again(X)))


def test_a_network_saved_on_any_library_loads_on_numpy_and_the_reverse(lib, path):
    there = bpx.MLP([3, 4, 2], backend=lib, seed=7)
    here = saved_and_loaded(there, path, backend="numpy")
    assert here.backend.name == "numpy"
    assert np.array_equal(here.flat, lib.to_host(there.flat))
    back = saved_and_loaded(here, path, backend=lib)
    assert back.backend == lib
    same_network(there, back)


@pytest.mark.parametrize("name", sorted(activations.ACTIVATIONS))
def test_every_activation_comes_back_as_itself(name, path):
    output_only = activations.ACTIVATIONS[name].output_only
    net = bpx.MLP([3, 4, 2], "relu" if output_only else name, name, backend="numpy")
    again = saved_and_loaded(net, path)
    assert again.output is activations.ACTIVATIONS[name]
    assert again.hidden == net.hidden


@pytest.mark.parametrize(
    "made",
    [activations.leaky_relu(0.2), activations.leaky_relu(0.0), activations.elu(0.3), activations.elu(2.5)],
    ids=["leaky_relu 0.2", "leaky_relu 0", "elu 0.3", "elu 2.5"],
)
def test_activations_with_numbers_come_back_with_their_numbers(made, path):
    net = bpx.MLP([3, 4, 2], made, made, backend="numpy")
    again = saved_and_loaded(net, path)
    assert again.hidden[0].name == made.name
    assert np.array_equal(net(X), again(X))
    # Not as the activation of that name that has other numbers.
    assert not np.array_equal(net(X), bpx.MLP([3, 4, 2], made.name, made.name, backend="numpy")(X))
    loss = {"loss": "squared_error"}
    y = np.ones((5, 2))
    assert np.array_equal(net.loss_and_grads(X, y, **loss)[1].flat, again.loss_and_grads(X, y, **loss)[1].flat)


def test_numbers_of_numpys_are_written_as_plain_ones():
    net = bpx.MLP(
        [3, 4, 2], activations.elu(np.float64(2.5)), init=initializers.normal(np.float32(0.5)), backend="numpy"
    )
    parts = network_json.to_json(net)[0]
    assert parts["hidden"] == [{"name": "elu", "arguments": [2.5]}]
    assert parts["init"] == [{"name": "normal", "arguments": [0.5], "biases": False}] * 2


def test_a_pickled_networks_activation_is_still_known():
    net = pickle.loads(pickle.dumps(bpx.MLP([3, 4, 2], activations.leaky_relu(0.2), backend="numpy")))
    assert network_json.to_json(net)[0]["hidden"] == [{"name": "leaky_relu", "arguments": [0.2]}]


def _double(xp: Any, z: Any) -> Any:
    return z + z


def _two(xp: Any, z: Any, a: Any) -> Any:
    return xp.ones_like(a) * 2.0


def _scaled(xp: Any, z: Any, *a: Any, slope: Any) -> Any:
    return z * slope


DOUBLE = bpx.Activation("double", _double, _two)


def test_an_activation_of_ones_own_goes_by_its_name_and_is_given_at_loading(path):
    net = bpx.MLP([3, 4, 2], ["relu"], DOUBLE, backend="numpy")
    net.save(path)
    with pytest.raises(
        bpx.FileFormatError, match=r"layer 1 \(output\) uses the activation 'double'.*no file holds code"
    ):
        bpx.load(path)
    again = bpx.load(path, "numpy", activations={"double": DOUBLE})
    assert again.output is DOUBLE
    same_network(net, again)
    with pytest.raises(TypeError, match=r"expected a bpx\.Activation for 'double', got str"):
        bpx.load(path, activations={"double": "relu"})


def test_an_activation_of_ones_own_is_never_taken_for_bpxs_of_that_name(path):
    net = bpx.MLP([3, 4, 2], bpx.Activation("relu", _double, _two), backend="numpy")
    net.save(path)
    with pytest.raises(
        bpx.FileFormatError, match=r"layer 0 \(hidden\) uses the activation 'relu', which is not one of"
    ):
        bpx.load(path)


def test_an_activation_of_ones_own_may_hold_arrays(path):
    slopes = np.linspace(0.1, 0.4, 4)
    own = bpx.Activation("leaky_relu", partial(_scaled, slope=slopes), partial(_scaled, slope=slopes))
    net = bpx.MLP([3, 4, 2], own, backend="numpy")
    net.save(path)
    with pytest.raises(bpx.FileFormatError, match=r"layer 0 \(hidden\) uses the activation 'leaky_relu', which is not"):
        bpx.load(path)
    assert np.array_equal(bpx.load(path, "numpy", activations={"leaky_relu": own})(X), net(X))


def test_an_initializer_of_ones_own_leaves_its_name(path):
    def mine(rng, n_in, n_out):
        return np.full((n_in, n_out), 0.5), np.zeros(n_out)

    net = bpx.MLP([3, 2], init=mine, backend="numpy")
    again = saved_and_loaded(net, path)
    assert np.array_equal(again.flat, net.flat)
    assert again.init[0].name == "mine"
    with pytest.raises(ValueError, match="the initializer 'mine' was a function"):
        again.init[0](np.random.default_rng(0), 3, 2)
    # And it is saved, copied and pickled as any other.
    assert saved_and_loaded(pickle.loads(pickle.dumps(again)), path).init[0].name == "mine"


def test_metadata_and_versions_are_in_the_header(path):
    metadata = {"who": "Zoë \ud800", "numbers": [1, 2.5, None, True], "nested": {"a": {"b": []}}}
    bpx.MLP([3, 2], backend="numpy").save(path, metadata=metadata)
    read = bpx.read_header(path)
    assert read["metadata"] == metadata
    assert (read["format"], read["bpx"], read["kind"]) == (1, bpx.__version__, "network")
    assert read["network"]["sizes"] == [3, 2]


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"x": np.zeros(2)}, TypeError), ({"x": float("nan")}, ValueError), ({1: "a"}, TypeError),
        ({"x": (1, 2)}, TypeError), ([1], TypeError), ({"x": "a" * 2**22}, ValueError),
        ({"x": "\n" * 2**21}, ValueError), (json.loads('{"a":' * 40 + "1" + "}" * 40), ValueError),
    ],
    ids=["array", "nan", "int name", "tuple", "list", "large", "large when escaped", "deep"],
)  # fmt: skip
def test_metadata_that_would_not_come_back_are_refused_and_nothing_is_written(metadata, error, path):
    with pytest.raises(error, match=r"expected|JSON|read back"):
        bpx.MLP([3, 2], backend="numpy").save(path, metadata=metadata)
    assert os.listdir(os.path.dirname(path)) == []


def test_equal_networks_make_equal_files_whatever_the_clock_says(path, monkeypatch):
    import time

    net = bpx.MLP([3, 4, 2], backend="numpy")
    net.save(path, metadata={"a": 1, "b": 2})
    first = Path(path).read_bytes()
    # The archive's form has no dates before 1980: a clock that is wrong must not fail a save.
    monkeypatch.setattr(time, "localtime", lambda *_: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))
    monkeypatch.setattr(time, "time", lambda: -1.0)
    net.save(path, metadata={"a": 1, "b": 2})
    assert Path(path).read_bytes() == first
    same_network(net, bpx.load(path, "numpy"))


def test_the_files_are_plain_files_of_their_kind(tmp_path):
    from safetensors.numpy import load_file

    net = bpx.MLP([3, 4, 2], backend="numpy")
    net.save(tmp_path / "m.safetensors")
    net.save(tmp_path / "m.npz")
    tensors = load_file(tmp_path / "m.safetensors")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:
        assert json.loads(archive["bpx.json"])["kind"] == "network"
        for name, view in net.params.items():
            assert np.array_equal(tensors[name], view)
            assert np.array_equal(archive[name], view)


def test_parameters_are_stored_row_by_row_whatever_their_strides(tmp_path):
    # The library would write the memory of W.T as it lies, and read it back as W.
    from bpx.files import container

    W = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    for form in FORMS:
        path = tmp_path / f"a{form}"
        arrays = {"t": W.T, "r": W[:, ::-1], "big": W.astype(">f4"), "zero": np.array(3.0), "none": np.zeros((0, 2))}
        container.write(path, {"kind": "test"}, arrays)
        document, again = container.read(path, lambda *_: None)
        assert document == {"format": 1, "bpx": bpx.__version__, "kind": "test"}
        assert list(again) == list(arrays)
        for name, array in arrays.items():
            assert np.array_equal(again[name], array)
            assert again[name].shape == array.shape
            assert again[name].flags.writeable


def test_the_content_tells_the_form_not_the_name(tmp_path):
    net = bpx.MLP([3, 2], backend="numpy")
    net.save(tmp_path / "m.npz")
    os.rename(tmp_path / "m.npz", tmp_path / "m.safetensors")
    same_network(net, bpx.load(tmp_path / "m.safetensors", "numpy"))


def test_another_ending_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"expected a name that ends in \.safetensors or \.npz, got .*model\.h5"):
        bpx.MLP([3, 2], backend="numpy").save(tmp_path / "model.h5")
    assert os.listdir(tmp_path) == []


def test_a_network_that_diverged_is_not_written_over_a_sound_one(path):
    net = bpx.MLP([3, 2], backend="numpy")
    net.save(path)
    lost = net.copy()
    lost.params["0.b"][...] = np.nan
    with pytest.raises(bpx.NonFiniteError, match=r"0\.b: expected finite parameters"):
        lost.save(path)
    same_network(net, bpx.load(path, "numpy"))


def test_a_newer_format_is_refused_with_both_versions_named(path, monkeypatch):
    monkeypatch.setattr(header, "FORMAT", 7)
    monkeypatch.setattr(header, "__version__", "9.9")
    bpx.MLP([3, 2], backend="numpy").save(path)
    monkeypatch.undo()
    with pytest.raises(bpx.FileFormatError) as caught:
        bpx.load(path)
    message = str(caught.value)
    assert "format version 7" in message
    assert "written by bpx '9.9'" in message
    assert f"this is bpx {bpx.__version__}, which reads format versions up to 1: install a newer bpx" in message


def test_loading_draws_nothing_and_trains_on(path):
    net = bpx.MLP([3, 4, 2], dropout=0.3, seed=3, backend="numpy")
    again = saved_and_loaded(net, path)
    y = np.array([0, 1, 0, 1, 1])
    for one in (net, again):
        bpx.fit(one, X, y, epochs=3, batch_size=2)
    assert np.array_equal(net.flat, again.flat)


def test_the_loaded_network_owns_writable_parameters(path):
    again = saved_and_loaded(bpx.MLP([3, 2], backend="numpy"), path)
    again.params["0.W"][...] = 1.0
    assert float(again.flat[0]) == 1.0
    assert not np.array_equal(bpx.load(path, "numpy").flat, again.flat)


def test_the_backend_in_force_is_the_default_one(path):
    bpx.MLP([3, 2], backend="numpy").save(path)
    import array_api_strict

    with bpx.use_backend(array_api_strict):
        assert bpx.load(path).backend.package == "array_api_strict"
    assert bpx.load(path).backend == bpx.get_backend()


@posix
def test_a_file_keeps_the_permissions_that_it_had_and_a_new_one_follows_the_umask(path):
    net = bpx.MLP([3, 2], backend="numpy")
    before = os.umask(0o027)
    try:
        net.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    os.chmod(path, 0o600)
    net.save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@posix
def test_a_link_is_followed_by_saving_and_by_loading(tmp_path):
    first, second = bpx.MLP([3, 2], seed=1, backend="numpy"), bpx.MLP([3, 2], seed=2, backend="numpy")
    first.save(tmp_path / "real.npz")
    (tmp_path / "latest.npz").symlink_to("real.npz")
    same_network(first, bpx.load(tmp_path / "latest.npz", "numpy"))
    second.save(tmp_path / "latest.npz")
    assert (tmp_path / "latest.npz").is_symlink()
    same_network(second, bpx.load(tmp_path / "real.npz", "numpy"))


WITHOUT_SAFETENSORS = """
import sys
sys.modules["safetensors"] = None
import bpx
net = bpx.MLP([3, 2], backend="numpy")
net.save(sys.argv[1] + "/m.npz")
assert (bpx.load(sys.argv[1] + "/m.npz", "numpy").flat == net.flat).all()
for act in (lambda: net.save(sys.argv[1] + "/n.safetensors"), lambda: bpx.load(sys.argv[1] + "/old.safetensors")):
    try:
        act()
    except ImportError as error:
        print(error)
"""


def test_npz_needs_numpy_alone_and_the_absence_of_safetensors_names_the_extra(tmp_path):
    bpx.MLP([3, 2], backend="numpy").save(tmp_path / "old.safetensors")
    command = [sys.executable, "-W", "error", "-c", WITHOUT_SAFETENSORS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    command = how_to_install("io", "safetensors")
    line = f"files in the safetensors form need safetensors: {command}; the .npz form needs NumPy alone"
    assert done.stdout.splitlines() == [line, line]
    assert sorted(os.listdir(tmp_path)) == ["m.npz", "old.safetensors"]


def test_a_file_is_about_as_large_as_its_parameters(tmp_path):
    net = bpx.MLP([64, 100, 10], backend="numpy")
    pickled = len(pickle.dumps(net))
    for form in FORMS:
        net.save(tmp_path / f"m{form}")
        size = os.path.getsize(tmp_path / f"m{form}")
        assert size - 4 * net.n_params < 2000
        assert size < pickled + 1500


class Unit:
    """Something that JSON does not know."""


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({"a": 1, "unit": Unit()}, TypeError, r"metadata\['unit'\]: expected plain JSON.*got Unit"),
        ({"a": {"b": [0, np.float64(1.0), np.zeros(2)]}}, TypeError, r"metadata\['a'\]\['b'\]\[2\]: .*got ndarray"),
        ({"when": {1, 2}}, TypeError, r"metadata\['when'\]: .*got set"),
        ({"a": {2: 3}}, TypeError, r"metadata\['a'\]: expected plain JSON.*got the name 2"),
        ({"a": [0.0, float("inf")]}, ValueError, r"metadata\['a'\]\[1\]: expected plain JSON.*no inf"),
    ],
)
def test_metadata_that_are_no_json_name_the_key(metadata, error, message, path):
    with pytest.raises(error, match=message):
        bpx.MLP([3, 2], backend="numpy").save(path, metadata=metadata)
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize("ending", FORMS)
def test_whoever_writes_a_model_file_says_which_endings_there_are(ending, capsys):
    assert ending in bpx.MLP.save.__doc__
    assert ending in bpx.MLPClassifier.save.__doc__
    assert ending in Path(container.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert main(["train", "--help"]) == 0
    assert ending in capsys.readouterr().out

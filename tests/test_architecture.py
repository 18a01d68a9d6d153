"""`import bpx` brings nothing but NumPy and array-api-compat; public names and registries are as agreed."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bpx
from bpx.formulas import activations, initializers, losses, optimizers
from bpx.training import array_feed, solvers

PACKAGE = Path(bpx.__file__).parent


def fresh_process(script, *arguments, options=()):
    """What a new interpreter prints; the package under test is the one imported here."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BPX_", "PYTHON"))}
    environment["PYTHONPATH"] = str(PACKAGE.parent)
    command = [sys.executable, *options, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


# traceback of Debian's Python has a module of Debian's own.
LOADED = """
import sys, json, traceback
import numpy, numpy.random
numpy_alone = set(sys.modules)
{}
new = sorted(set(sys.modules) - numpy_alone)
print(json.dumps([new, list(sys.stdlib_module_names)]))
"""


FIT_WITHOUT_KERNELS = """
import os; os.environ["BPX_KERNELS"] = "reference"
import bpx; bpx.fit(bpx.MLP([2, 3, 2], dropout=0.5, backend="numpy"), [[0.0, 1.0]], [1], epochs=2)
"""


@pytest.mark.parametrize(
    "use",
    [
        "import bpx",
        "import bpx; bpx.MLP([2, 3, 2], backend='numpy')([[0.0, 1.0]])",
        FIT_WITHOUT_KERNELS,
    ],
    ids=["import", "forward", "fit"],
)
@pytest.mark.slow
def test_importing_and_using_bpx_on_numpy_loads_nothing_else(use):
    # With -W error a warning at import would end the process.
    loaded, standard = json.loads(fresh_process(LOADED.format(use), options=("-W", "error")))
    roots = {name.partition(".")[0] for name in loaded}
    assert "bpx" in roots
    assert roots - set(standard) <= {"bpx", "numpy", "array_api_compat"}
    # It imports numpy.f2py, numpy.testing and numpy.ma, which takes longer than NumPy itself.
    assert not [name for name in loaded if name.startswith("array_api_compat.")]


@pytest.mark.parametrize("name", bpx.__all__)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(bpx, name)
    documentation = inspect.getdoc(thing)
    assert documentation
    # A dataclass without a docstring of its own gets its signature as one.
    assert not documentation.startswith(f"{name}(")


def test_public_names_are_listed_once_in_order_and_star_import_gives_them():
    assert len(set(bpx.__all__)) == len(bpx.__all__)
    namespace = {}
    exec("from bpx import *", namespace)
    assert set(bpx.__all__) <= set(namespace)


CONTRACT = {
    "backends": ["Backend", "backends", "get_backend", "set_backend", "use_backend"],
    "work": ["MLP", "fit", "check_gradients", "check_parity", "trace"],
    "optimizers": ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW"],
    "errors": [
        "BackendFallbackWarning", "BackendUnavailableError", "DivergenceWarning", "FileFormatError", "NonFiniteError",
        "ShapeError",
    ],
    "files": ["load", "to_onnx", "from_sklearn", "to_sklearn", "from_torch", "to_torch"],
    "public modules": ["stop", "activations", "losses", "optimizers", "initializers", "schedules"],
}  # fmt: skip


@pytest.mark.parametrize("names", CONTRACT.values(), ids=CONTRACT)
def test_the_contracts_names_are_public(names):
    assert set(names) <= set(bpx.__all__)


REGISTRIES = {
    "activations": (
        activations.ACTIVATIONS,
        "identity sigmoid logistic tanh relu leaky_relu elu selu softplus silu mish gelu softmax exp step",
    ),
    "losses": (
        losses.LOSSES,
        "squared_error absolute_error huber quantile binary_cross_entropy cross_entropy poisson",
    ),
    "optimizers": (optimizers.OPTIMIZERS, "sgd rmsprop adagrad adam adamw"),
    "initializers": (
        initializers.INITIALIZERS,
        "glorot_uniform glorot_normal he_uniform he_normal lecun_uniform lecun_normal zeros",
    ),
    "solvers": (solvers.METHODS, "cg bfgs lbfgs l-bfgs-b newton-cg tnc slsqp trust-constr"),
    "samplings": (array_feed.SAMPLINGS, "shuffle sequential replacement"),
    "stopping rules": (
        [name for name in bpx.stop.__all__ if name != "StopRule"],
        "MaxWeightChange ErrorRate TargetLoss Patience TimeLimit",
    ),
    "callbacks": (
        [name for name in bpx.callbacks.__all__ if name != "Callback"],
        "CSVLogger JSONLinesLogger MLflow TensorBoard",
    ),
    "schedules": (
        [name for name in bpx.schedules.__all__ if name not in {"Clock", "Schedule"}],
        "Constant StepDecay InverseScaling Adaptive Cosine WarmUp",
    ),
}


@pytest.mark.parametrize(("registry", "names"), REGISTRIES.values(), ids=REGISTRIES)
def test_a_registry_holds_what_the_contract_names_and_nothing_more(registry, names):
    assert sorted(registry) == sorted(names.split())


def test_a_registered_thing_carries_the_name_that_it_is_registered_under():
    for registry in (activations.ACTIVATIONS, losses.LOSSES, initializers.INITIALIZERS):
        for name, thing in registry.items():
            assert thing.name == {"logistic": "sigmoid"}.get(name, name)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (bpx.BackendUnavailableError, RuntimeError),
        (bpx.BackendFallbackWarning, RuntimeWarning),
        (bpx.DeviceMismatchError, ValueError),
        (bpx.DivergenceWarning, RuntimeWarning),
        (bpx.FileFormatError, ValueError),
        (bpx.NonFiniteError, ValueError),
        (bpx.NotDifferentiableError, ValueError),
        (bpx.ShapeError, ValueError),
    ],
)
def test_errors_can_be_caught_as_the_builtin_kind_that_they_are(error, base):
    assert issubclass(error, base)


def frames_to_the_first_product(train):
    """Python frames from the first of bpx to the function that multiplies two matrices, or records that it will."""
    chains, before = [], sys.getprofile()

    def look(frame, event, _):
        if event == "call" and frame.f_code.co_name in {"product", "launch"}:
            chain = []
            while frame is not None:
                chain.append(frame.f_code)
                frame = frame.f_back
            files = [code.co_filename.startswith(str(PACKAGE)) for code in chain]
            if "product" in [code.co_name for code in chain] and files[0]:
                chains.append([code.co_qualname for code in chain[len(files) - 1 - files[::-1].index(True) :: -1]])

    sys.setprofile(look)
    try:
        train()
    finally:
        sys.setprofile(before)
    by_launch = [chain for chain in chains if chain[-1] == "launch"]
    return (by_launch or chains)[0]


@pytest.mark.parametrize(("kernels", "most"), [("reference", 12), ("numpy", 16), ("auto", 16)])
def test_a_plain_fit_comes_to_the_first_product_in_few_frames(monkeypatch, kernels, most):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    net = bpx.MLP([20, 30, 3], backend="numpy")
    chain = frames_to_the_first_product(lambda: bpx.fit(net, np.ones((64, 20)), [1] * 64, epochs=1, batch_size=32))
    assert len(chain) <= most, chain


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kernels", ["reference", "numpy", "auto"])
def test_an_estimators_fit_comes_to_the_first_product_in_few_frames(monkeypatch, kernels):
    pytest.importorskip("sklearn")
    monkeypatch.setenv("BPX_KERNELS", kernels)
    estimator = bpx.MLPRegressor(hidden_layer_sizes=30, max_iter=1, backend="numpy")
    chain = frames_to_the_first_product(lambda: estimator.fit(np.ones((64, 20)), np.ones(64)))
    assert len(chain[chain.index("MLPRegressor.fit") :]) <= 18, chain

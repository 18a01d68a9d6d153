"""Back-propagation for multilayer perceptrons, written once against the Python array API.

The same forward and backward code runs on NumPy, CuPy, PyTorch and any other array API library.

`MLPClassifier`, `MLPRegressor` and `TableEncoder` need scikit-learn (extra ``sklearn``), the pictures of `plotting`
need Matplotlib (extra ``plot``); ``from bpx import *`` leaves these four out. Every name is imported when it is
first used.
"""

from typing import TYPE_CHECKING

from bpx._version import __version__ as __version__

if TYPE_CHECKING:
    from bpx import activations, callbacks, errors, initializers, losses, optimizers, schedules, stop
    from bpx import plotting as plotting
    from bpx.backend.base import Backend
    from bpx.backend.free_memory import free_memory
    from bpx.backend.select import BackendStatus, backends, get_backend, set_backend, use_backend
    from bpx.checks.gradients import GradientReport, check_gradients
    from bpx.checks.parity import ParityReport, check_parity
    from bpx.checks.step_trace import LayerTrace, StepTrace, trace
    from bpx.errors import (
        BackendFallbackWarning,
        BackendUnavailableError,
        DeviceMismatchError,
        DivergenceWarning,
        FileFormatError,
        NonFiniteError,
        NotDifferentiableError,
        ShapeError,
    )
    from bpx.estimators import MLPClassifier as MLPClassifier
    from bpx.estimators import MLPRegressor as MLPRegressor
    from bpx.estimators import TableEncoder as TableEncoder
    from bpx.files.interop_keras import from_keras_weights
    from bpx.files.interop_sklearn import from_sklearn, to_sklearn
    from bpx.files.interop_torch import from_torch, to_torch
    from bpx.files.model import load, read_header
    from bpx.files.onnx_export import to_onnx
    from bpx.formulas.activations import Activation
    from bpx.formulas.losses import Loss
    from bpx.formulas.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
    from bpx.kernels.native.library import thread_limit
    from bpx.network.mlp import MLP
    from bpx.search.sweep import sweep
    from bpx.search.sweep_table import SweepTable
    from bpx.streams.prediction import predict
    from bpx.streams.stream import Stream, stream
    from bpx.training.callbacks.callback import Callback
    from bpx.training.fit import fit
    from bpx.training.history import History, StopReason
    from bpx.training.run import Run
    from bpx.training.solvers import SciPy

# The module that each name is imported from when it is first used; type checkers read the imports above instead.
_HOMES = {
    "bpx": "activations callbacks errors initializers losses optimizers plotting schedules stop",
    "bpx.backend.base": "Backend",
    "bpx.backend.free_memory": "free_memory",
    "bpx.backend.select": "BackendStatus backends get_backend set_backend use_backend",
    "bpx.errors": (
        "BackendFallbackWarning BackendUnavailableError DeviceMismatchError DivergenceWarning FileFormatError"
        " NonFiniteError NotDifferentiableError ShapeError"
    ),
    "bpx.estimators": "MLPClassifier MLPRegressor TableEncoder",
    "bpx.search.sweep": "sweep",
    "bpx.files.interop_keras": "from_keras_weights",
    "bpx.files.interop_sklearn": "from_sklearn to_sklearn",
    "bpx.files.interop_torch": "from_torch to_torch",
    "bpx.files.model": "load read_header",
    "bpx.files.onnx_export": "to_onnx",
    "bpx.formulas.activations": "Activation",
    "bpx.formulas.losses": "Loss",
    "bpx.formulas.optimizers": "SGD Adagrad Adam AdamW RMSprop",
    "bpx.kernels.native.library": "thread_limit",
    "bpx.network.mlp": "MLP",
    "bpx.checks.gradients": "GradientReport check_gradients",
    "bpx.checks.parity": "ParityReport check_parity",
    "bpx.checks.step_trace": "LayerTrace StepTrace trace",
    "bpx.training.callbacks.callback": "Callback",
    "bpx.training.fit": "fit",
    "bpx.training.history": "History StopReason",
    "bpx.training.run": "Run",
    "bpx.training.solvers": "SciPy",
    "bpx.streams.prediction": "predict",
    "bpx.streams.stream": "Stream stream",
    "bpx.search.sweep_table": "SweepTable",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
# Names that are not in ``__all__``, and the package that each needs.
_WITH_EXTRAS = dict.fromkeys(_HOMES["bpx.estimators"].split(), "sklearn") | {"plotting": "matplotlib"}

if not TYPE_CHECKING:  # to a type checker a module with __getattr__ has every name, misspelt ones too

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'bpx' has no attribute {name!r}")
        from importlib import import_module

        if _HOME[name] == "bpx":
            return import_module(f"bpx.{name}")
        try:
            found = getattr(import_module(_HOME[name]), name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "sklearn":
                raise
            from bpx.errors import how_to_install

            command = how_to_install("sklearn", "scikit-learn")
            raise ImportError(f"bpx.{name} needs scikit-learn: {command}") from error
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    """Every public name that can be imported here; completion and ``help`` fail on names whose package is missing."""
    from importlib.util import find_spec

    extras = [name for name, package in _WITH_EXTRAS.items() if find_spec(package) is not None]
    return sorted([*__all__, *extras, *(name for name in globals() if name.startswith("__"))])


__all__ = [
    "MLP",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Backend",
    "BackendFallbackWarning",
    "BackendStatus",
    "BackendUnavailableError",
    "Callback",
    "DeviceMismatchError",
    "DivergenceWarning",
    "FileFormatError",
    "GradientReport",
    "History",
    "LayerTrace",
    "Loss",
    "NonFiniteError",
    "NotDifferentiableError",
    "ParityReport",
    "RMSprop",
    "Run",
    "SciPy",
    "ShapeError",
    "StepTrace",
    "StopReason",
    "Stream",
    "SweepTable",
    "activations",
    "backends",
    "callbacks",
    "check_gradients",
    "check_parity",
    "errors",
    "fit",
    "free_memory",
    "from_keras_weights",
    "from_sklearn",
    "from_torch",
    "get_backend",
    "initializers",
    "load",
    "losses",
    "optimizers",
    "predict",
    "read_header",
    "schedules",
    "set_backend",
    "stop",
    "stream",
    "sweep",
    "thread_limit",
    "to_onnx",
    "to_sklearn",
    "to_torch",
    "trace",
    "use_backend",
]

"""Back-propagation for multilayer perceptrons, written once against the Python array API.

The same forward and backward code runs on NumPy, CuPy, PyTorch and any other array API library.
"""

from importlib import import_module

from bpx import errors
from bpx._version import __version__ as __version__
from bpx.backend.base import Backend
from bpx.backend.free import free_memory
from bpx.backend.select import backends, get_backend, set_backend, use_backend
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
from bpx.formulas import activations, initializers, losses, optimizers, schedules
from bpx.formulas.activations import Activation
from bpx.formulas.losses import Loss
from bpx.formulas.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from bpx.network.mlp import MLP
from bpx.training import callbacks
from bpx.training import stopping as stop
from bpx.training.callbacks.base import Callback
from bpx.training.fit import fit
from bpx.training.history import History, StopReason
from bpx.training.solvers import SciPy
from bpx.training.streams.stream import stream

# Imported when they are first used: they need an extra, or are not needed to train.
_LAZY = {
    "MLPClassifier": "bpx.faces.estimators",
    "MLPRegressor": "bpx.faces.estimators",
    "check_gradients": "bpx.proof.gradients",
    "check_parity": "bpx.proof.parity",
    "from_keras_weights": "bpx.files.interop_keras",
    "from_sklearn": "bpx.files.interop_sklearn",
    "from_torch": "bpx.files.interop_torch",
    "load": "bpx.files.model",
    "predict": "bpx.training.streams.predict",
    "read_header": "bpx.files.model",
    "sweep": "bpx.faces.sweep",
    "to_onnx": "bpx.files.onnx_export",
    "to_sklearn": "bpx.files.interop_sklearn",
    "to_torch": "bpx.files.interop_torch",
    "trace": "bpx.proof.trace",
}

# Rooms that need an extra, themselves by another name.
_LAZY_ROOMS = {"plotting": "bpx.faces.plotting"}


def __getattr__(name: str) -> object:
    if name in _LAZY_ROOMS:
        return import_module(_LAZY_ROOMS[name])
    if name not in _LAZY:
        raise AttributeError(f"module 'bpx' has no attribute {name!r}")
    try:
        return getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "sklearn":
            raise
        command = errors.how_to_install("sklearn", "scikit-learn")
        raise ImportError(f"bpx.{name} needs scikit-learn: {command}") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_ROOMS})


# The estimators and the pictures need an extra, so ``from bpx import *`` leaves them out.
__all__ = [
    "MLP",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Backend",
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "Callback",
    "DeviceMismatchError",
    "DivergenceWarning",
    "FileFormatError",
    "History",
    "Loss",
    "NonFiniteError",
    "NotDifferentiableError",
    "RMSprop",
    "SciPy",
    "ShapeError",
    "StopReason",
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
    "to_onnx",
    "to_sklearn",
    "to_torch",
    "trace",
    "use_backend",
]

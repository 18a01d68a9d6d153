"""Checks of single values; what other libraries call a loss, an activation, ...; which values a hint repeats."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["VALUES", "check_count", "plain", "repeated", "unknown_value"]

# bpx's names of what an argument chooses, and what other libraries call it; capitals, "_", "-" and a "loss" at the end
# do not matter.
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "loss": {
        "squared_error": ("mse", "mean_squared_error", "l2", "quadratic", "least_squares", "ls"),
        "absolute_error": ("mae", "mean_absolute_error", "l1", "lad"),
        "huber": ("smooth_l1",),
        "quantile": ("pinball",),
        "binary_cross_entropy": ("bce", "bce_with_logits", "logistic", "binary_logistic", "binary"),
        "cross_entropy": ("nll", "ce", "categorical_cross_entropy", "sparse_categorical_cross_entropy", "log_loss",
                          "log", "negative_log_likelihood", "softmax_cross_entropy", "softmax"),
        "poisson": ("poisson_nll", "poisson_deviance"),
    },
    "activation": {
        "identity": ("linear", "none", "purelin"), "sigmoid": ("expit", "sigm", "logsig"), "logistic": (),
        "tanh": ("tansig", "hyperbolic_tangent"), "relu": ("rectifier", "rectified_linear"), "leaky_relu": ("lrelu",),
        "elu": (), "softplus": (), "silu": ("swish",), "gelu": (), "softmax": ("log_softmax",), "exp": ("exponential",),
        "step": ("heaviside", "threshold", "hardlim"),
    },
    "optimizer": {
        "sgd": ("gd", "gradient_descent", "momentum", "nesterov", "nag"), "rmsprop": (), "adagrad": (), "adam": (),
        "adamw": (), "cg": ("conjugate_gradient",), "bfgs": (), "lbfgs": ("l_bfgs",), "l-bfgs-b": (),
        "newton-cg": ("newton",), "tnc": (), "slsqp": (), "trust-constr": (),
    },
    "metric": {
        "accuracy": ("acc", "accuracy_score", "categorical_accuracy", "binary_accuracy",
                     "sparse_categorical_accuracy"),
        "balanced_accuracy": ("balanced_accuracy_score",), "auc": ("roc_auc", "roc_auc_score", "auroc"),
        "log_loss": ("nll", "ce", "cross_entropy", "neg_log_loss"), "r2": ("r2_score", "r_squared"),
        "mae": ("mean_absolute_error", "neg_mean_absolute_error", "l1"),
        "rmse": ("root_mean_squared_error", "neg_root_mean_squared_error", "mse", "mean_squared_error"),
    },
    "initializer": {
        "glorot_uniform": ("xavier", "xavier_uniform", "glorot"), "glorot_normal": ("xavier_normal",),
        "he_uniform": ("kaiming", "kaiming_uniform", "he"), "he_normal": ("kaiming_normal",),
        "lecun_uniform": ("lecun",), "lecun_normal": (), "zeros": ("zero",),
    },
    "backend": {
        "numpy": ("cpu", "np"), "cupy": ("cuda", "gpu", "cp"), "torch": ("pytorch",), "auto": (),
        "torch:cuda": (), "torch:cpu": (), "torch:mps": ("mps",),
    },
    "dtype": {"float32": ("float", "single", "f4"), "float64": ("double", "f8")},
    "sampling": {"shuffle": ("random", "true"), "sequential": ("false",), "replacement": ("bootstrap",)},
}  # fmt: skip
_KINDS = {
    **dict.fromkeys(("hidden", "output", "activation", "output_activation"), "activation"),
    "solver": "optimizer", "init": "initializer", "scoring": "metric",
}  # fmt: skip


def _count(value: Any) -> bool:
    return isinstance(value, int) and value >= 1


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= value < high


_TINY = 5e-324
# Which values of numbers, switches and names are repeated in a hint, by the argument that it tells to give.
_REPEATED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("epochs", "max_iter", "patience", "length", "every", "batch_size", "workers", "stack"), _count),
    **dict.fromkeys(("learning_rate", "learning_rate_init", "initial", "clip_norm", "epsilon"),
                    _within(_TINY, float("inf"))),
    **dict.fromkeys(("l2", "alpha", "weight_decay", "minimum", "min_delta"), _within(0.0, float("inf"))),
    **dict.fromkeys(("momentum", "dropout"), _within(0.0, 1.0)),
    **dict.fromkeys(("validation", "rho", "factor"), _within(_TINY, 1.0)),
    **dict.fromkeys(("seed", "random_state"), lambda value: isinstance(value, int) and 0 <= value < 2**32),
}  # fmt: skip


def check_count(name: str, value: Any, least: int = 1, otherwise: str = "") -> int:
    """`value` as an int; refuses what is not a whole number of at least `least`.

    Messages call it `name`; `otherwise` is what else the caller allows, such as ", or None".
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        kind = "a positive integer" if least == 1 else f"an integer >= {least}"
        raise TypeError(f"{name}: expected {kind}{otherwise}, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}{otherwise}, got {value}")
    return int(value)


def plain(value: Any) -> Any:
    """A number or a switch of NumPy's as Python's, with as many digits as NumPy prints."""
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def repeated(argument: str, value: Any) -> str:
    """A value as a hint tells to write it: by bpx's name for it, and not where the argument would refuse it."""
    kind, value = _KINDS.get(argument, argument), plain(value)
    if kind in VALUES:
        meant = _meant(kind, str(value)) if isinstance(value, (str, bool)) else None
        return repr(meant) if meant and not (argument == "hidden" and meant in ("softmax", "exp")) else "..."
    if argument in ("bias", "restore_best"):
        return repr(value) if isinstance(value, bool) else "..."
    if argument == "monitor":
        name = value.removeprefix("val_") if isinstance(value, str) else ""
        meant = name if name == "loss" else _meant("metric", name)
        return repr("val_" * (name != value) + meant) if meant else "..."
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(value) if number and argument in _REPEATED and _REPEATED[argument](value) else "..."


def _meant(kind: str, value: str) -> str | None:
    """bpx's name for what a value means here or elsewhere; None where it is not known."""

    def bare(name: str) -> str:
        name = re.sub(r"[_\- ]", "", name.casefold())
        return name.removesuffix("loss") if kind == "loss" else name

    if kind == "backend" and (device := re.fullmatch(r"(?:cuda|gpu):(\d+)", value.casefold())):
        return "cupy" if device[1] == "0" else f"cupy:{device[1]}"
    for one, others in VALUES[kind].items():
        if bare(value) in (bare(one), *map(bare, others)):
            return one
    return None


def unknown_value(kind: str, value: str, known: str) -> str:
    """What is said to a loss, activation, ... of an unknown name.

    Parameters
    ----------
    kind : str
        In `VALUES`, or an argument that takes such a value.
    value : str
        That is not known.
    known : str
        What is, in words.
    """
    from difflib import get_close_matches  # only for messages

    table = _KINDS.get(kind, kind)
    meant = _meant(table, value) or "".join(get_close_matches(value.casefold(), VALUES[table], n=1, cutoff=0.75))
    return f"unknown {kind} {value!r}{f' (did you mean {meant!r}?)' if meant else ''}; known are {known}"

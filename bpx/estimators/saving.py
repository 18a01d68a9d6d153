"""Estimators in files: parameters, network, fitted attributes, and the state from which `partial_fit` continues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from bpx.activations import Activation
from bpx.backend.base import Backend
from bpx.errors import FileFormatError
from bpx.estimators.early_stopping import EpochRate
from bpx.estimators.labels import Labels
from bpx.files import atomic, container, function_json, model, network_json
from bpx.files.header import Arrays, check_entries, short_repr
from bpx.files.nested_decoder import Decoder
from bpx.files.nested_encoder import Encoder, NotPlainError, StoredClass, stored_dataclass
from bpx.network.mlp import MLP
from bpx.training.history import History, StopReason
from bpx.training.solvers import SciPy


def _stop_reason(name: Any) -> StopReason:
    if name not in StopReason.__members__:
        raise ValueError(f"unknown reason {name!r}")
    return StopReason[name]


KINDS = (
    stored_dataclass(SciPy),
    stored_dataclass(History),
    StoredClass(StopReason, ("name",), _stop_reason),
    StoredClass(EpochRate, ("kind", "initial", "power"), EpochRate),
    StoredClass(Labels, ("kind", "classes", "y_type", "sparse"), Labels.of),
)


# Types of the fitted attributes that a file contains; `classes_` comes from the labels.
FITTED: dict[str, Any] = {
    **dict.fromkeys(("n_features_in_", "n_layers_", "n_outputs_", "n_iter_", "t_"), int),
    **dict.fromkeys(("out_activation_", "backend_", "device_"), str),
    **dict.fromkeys(("loss_curve_", "validation_loss_curve_"), list),
    **dict.fromkeys(("feature_names_in_", "losses_of_restarts_"), np.ndarray),
    **dict.fromkeys(("best_loss_", "best_validation_score_"), int | float | None),
    "loss_": int | float,
    "validation_scores_": list | None,
    "history_": History,
    "metrics_": dict,
    "_on_device": bool,
}
REQUIRED = ("n_features_in_", "n_layers_", "n_outputs_", "out_activation_", "n_iter_", "t_")


class SavingMixin:
    """Methods of an estimator that write it to a file and read it back."""

    _net: MLP
    _resume: Any
    _labels: Labels
    _kind: ClassVar[str]
    _choose_backend: Callable[[Any], Backend]
    _made_of: Callable[[], Any]
    _watches: Callable[[], Any]

    def save(self, path: atomic.Path, *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write the fitted estimator to a file: parameters, network, fitted attributes, the optimizer's state.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.safetensors`` (extra ``io``) or ``.npz``.
        metadata : dict, optional
            Your own notes, JSON values; `bpx.read_header` returns them.

        Raises
        ------
        NotFittedError, NonFiniteError, ValueError, TypeError, ImportError, OSError
            If the file cannot be written; an existing file stays as it was.

        Notes
        -----
        A parameter that is a function or an object of your own is not written, and has to be passed to `load`.
        """
        check_is_fitted(self)
        self._validate_params()  # type: ignore[attr-defined]
        state: Any = self.__getstate__()
        encoder = Encoder(KINDS)
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        document = {
            "params": {name: _parameter(name, value, encoder) for name, value in params.items()},
            "fitted": {name: encoder.encode(state[name], name) for name in FITTED if name in state},
            "labels": encoder.encode(state.get("_labels"), "labels"),
            "resume": encoder.encode(state["_resume"], "resume"),
        }
        model.write_model(self._net, path, self._kind, metadata, {"estimator": document}, encoder.arrays)

    @classmethod
    def load(cls, path: atomic.Path, **params: Any) -> Self:
        """Read an estimator that `save` wrote; `bpx.load` reads its network alone, without scikit-learn.

        Parameters
        ----------
        path : str or path-like
            The file; its content determines the format.
        **params : object
            Parameters that replace those of the file, such as ``backend="numpy"``; required for functions and objects
            of your own, which no file contains.

        Returns
        -------
        estimator
            Predicts, and continues to learn, like the saved one.

        Raises
        ------
        FileFormatError, BackendUnavailableError, TypeError, ImportError, OSError
            As `bpx.load`.
        """
        document, arrays = container.read(path, network_json.check_header)
        with container.path_in_message(path):
            if document["kind"] != cls._kind:
                right = network_json.ESTIMATORS.get(document["kind"], "bpx")
                raise FileFormatError(
                    f"expected the file of a {cls._kind}, got that of a {document['kind']}: use {right}.load"
                )
            return cls._restored(document, arrays, params)

    @classmethod
    def _restored(cls, document: dict[str, Any], arrays: Arrays, params: dict[str, Any]) -> Self:
        """The estimator from a file's header and arrays; `params` replace those of the file."""
        is_dict = lambda value: isinstance(value, dict)  # noqa: E731
        parts = check_entries(
            document["estimator"], "estimator", params=is_dict, fitted=is_dict, labels=lambda _: True,
            resume=lambda _: True,
        )  # fmt: skip
        decoder = Decoder(arrays, KINDS)
        values = _parameters(cls, parts["params"], decoder, params)
        try:
            cls(**values)._validate_params()  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"params: {short_repr(error)}") from error
        estimator = cls(**(values | params))
        try:
            backend = estimator._choose_backend(np.empty((1, 1)))
        except (TypeError, ValueError) as error:
            if {"backend", "device"} & params.keys():
                raise
            raise FileFormatError(f"backend: {short_repr(error)}") from error
        given = [part for value in params.values() for part in (value if isinstance(value, list | tuple) else [value])]
        activations = {part.name: part for part in given if isinstance(part, Activation)}
        net = network_json.from_json(document["network"], arrays, backend, activations)
        fitted = _fitted(parts["fitted"], decoder, net)
        labels = decoder.decode(parts["labels"], "labels")
        if cls._kind == "classifier":
            if not isinstance(labels, Labels) or labels.n_outputs != net.sizes[-1]:
                raise FileFormatError(f"labels: expected those of {net.sizes[-1]} outputs, got others")
            fitted |= {"_labels": labels, "classes_": labels.classes}
        elif labels is not None:
            raise FileFormatError("labels: expected none for a regressor")
        fitted["_resume"] = _resume(decoder.decode(parts["resume"], "resume"), net)
        vars(estimator).update(fitted | {"_net": net})
        # The network was made with the parameters of the file.
        vars(estimator).update({"_made": estimator._made_of(), "_watched": estimator._watches()})
        return estimator


def _parameter(name: str, value: Any, encoder: Encoder) -> Any:
    """A parameter as JSON; a function or a user's object by its name."""
    if name == "backend" and isinstance(value, (Backend, ModuleType)):
        package = value.package if isinstance(value, Backend) else value.__name__.removeprefix("array_api_compat.")
        if package in {"numpy", "cupy", "torch"}:
            return value.name if isinstance(value, Backend) else package
    part = Encoder(KINDS)
    try:
        encoded = part.encode(value, f"params.{name}")
    except NotPlainError:
        return {"own": str(getattr(value, "__name__", type(value).__name__))}
    encoder.arrays |= part.arrays
    return encoded


def _parameters(cls: Any, entries: dict[str, Any], decoder: Decoder, given: dict[str, Any]) -> dict[str, Any]:
    """A file's parameters, without those that are replaced by `given`."""
    known = cls._get_param_names()
    values = {}
    for name, entry in entries.items():
        if name not in known:
            raise FileFormatError(f"params: expected parameters of {cls.__name__}, got {short_repr(name)}")
        own = function_json.own_name(entry)
        if own is not None and name not in given:
            raise FileFormatError(
                f"the parameter {name} was {short_repr(own)}, and no file holds functions or objects of one's own: give"
                f" it, {cls.__name__}.load(path, {name}=...)"
            )
        if own is None:
            values[name] = decoder.decode(entry, name)
    if "backend" in given and "device" not in given:
        values["device"] = None  # it belongs to the file's backend
    return values


def _fitted(entries: dict[str, Any], decoder: Decoder, net: MLP) -> dict[str, Any]:
    """A file's fitted attributes; FileFormatError if they do not fit the network."""
    unknown, missing = sorted(entries.keys() - FITTED.keys()), [name for name in REQUIRED if name not in entries]
    if unknown or missing:
        problem = f"{short_repr(unknown[0])} besides" if unknown else f"none named {missing[0]}"
        raise FileFormatError(f"fitted: expected a fitted estimator's attributes, got {problem}")
    history = entries.get("history_")
    if isinstance(history, dict) and isinstance(history.get("History"), dict):  # missing in the oldest files
        entries |= {"history_": {"History": {"metrics": {"dict": []}, "validation_rows": None} | history["History"]}}
    fitted = {name: decoder.decode(entry, name) for name, entry in entries.items()}
    for name, value in fitted.items():
        if not isinstance(value, FITTED[name]):
            raise FileFormatError(f"fitted: {name} makes no sense as {short_repr(value)}")
    wanted = {"n_features_in_": net.sizes[0], "n_outputs_": net.sizes[-1], "n_layers_": len(net.sizes)}
    for name, number in wanted.items():
        if fitted[name] != number:
            raise FileFormatError(
                f"fitted: expected {name} {number} by the network's sizes, got {short_repr(fitted[name])}"
            )
    if "feature_names_in_" in fitted and fitted["feature_names_in_"].shape != (net.sizes[0],):
        raise FileFormatError(f"fitted: expected {net.sizes[0]} names of features")
    if net.stack is not None:
        raise FileFormatError("network: expected a single one in an estimator, got a stack")
    return fitted


def _resume(resume: Any, net: MLP) -> Any:
    """The state from which partial_fit continues, or None; FileFormatError if it does not fit the network."""
    if resume is None:
        return None
    state = resume.get("state") if isinstance(resume, dict) else None
    if not isinstance(state, dict):
        raise FileFormatError(f"resume: expected an optimizer's state, got {short_repr(resume)}")
    for name, value in state.items():
        moments = isinstance(value, np.ndarray) and value.shape == (net.n_params,) and value.dtype.name == net.dtype
        if not (moments or isinstance(value, int | float)):
            raise FileFormatError(f"resume: expected {net.n_params} numbers of {net.dtype} for {short_repr(name)}")
    return resume

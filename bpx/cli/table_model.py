"""A network with all that it takes to predict a table: encoding, target and scale, as JSON in the model file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from bpx.cli.table_input import READING
from bpx.cli.target import CLASSIFY, DTYPES, REGRESS, Target
from bpx.errors import FileFormatError
from bpx.files.header import are_texts, check_entries, is_finite, of_type, short_repr
from bpx.files.model import TABLE
from bpx.network.mlp import MLP
from bpx.tables.encoding import Encoding
from bpx.tables.quantities import Quantity

# Of this entry in a model file.
VERSION = 2


@final
@dataclass(frozen=True)
class TableModel:
    """From a table's rows to predictions.

    Attributes
    ----------
    target : Target
        The column that is predicted.
    encoding : Encoding
        How the other columns become the network's inputs.
    mean, scale : float
        For a target that is a number y, of the training rows: the network's output is ``(y - mean) / scale``.
    markers : tuple of str
        Spellings of a missing value besides the usual ones.
    usual : bool
        Whether the usual spellings count too.
    reading : dict
        How the text of the training table was written: ``decimal``, ``thousands`` and ``comment``, where it was said.
    about : dict
        Scores and settings, for people.
    """

    target: Target
    encoding: Encoding
    mean: float = 0.0
    scale: float = 1.0
    markers: tuple[str, ...] = ()
    usual: bool = True
    about: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """How many outputs the network has: one for two classes, and for a number."""
        return len(self.target.labels) if len(self.target.labels) > 2 else 1

    @property
    def activation(self) -> Literal["identity", "sigmoid", "softmax"]:
        """The output layer's activation."""
        return "identity" if self.target.task == REGRESS else "sigmoid" if self.outputs == 1 else "softmax"

    def predict(self, net: MLP, X: Any) -> np.ndarray[Any, Any]:
        """Predicted numbers (n,), float64; or the probability of each class (n, classes), in the network's dtype."""
        out = np.asarray(net.backend.to_host(net(X)))
        if self.target.task == REGRESS:
            return out[:, 0].astype(np.float64) * self.scale + self.mean
        return np.concatenate([1 - out, out], axis=1) if self.outputs == 1 else out

    def labelled(self, probabilities: np.ndarray[Any, Any], *, times: bool = True) -> np.ndarray[Any, Any]:
        """The likeliest label of each row, as `Target.typed_labels` gives them."""
        likeliest: np.ndarray[Any, Any] = self.target.typed_labels(times=times)[np.argmax(probabilities, axis=1)]
        return likeliest

    def to_metadata(self) -> dict[str, Any]:
        """The file's metadata: this model as plain JSON."""
        return {
            TABLE: {
                "version": VERSION,
                "task": self.target.task,
                "target": self.target.name,
                "labels": list(self.target.labels),
                "dtype": self.target.dtype,
                "form": None if self.target.form is None else self.target.form.to_json(),
                "mean": self.mean,
                "scale": self.scale,
                "markers": list(self.markers),
                "usual": self.usual,
                "reading": self.reading,
                "encoding": self.encoding.to_json(),
                "about": self.about,
            }
        }

    @classmethod
    def of(cls, header: dict[str, Any], path: str) -> TableModel:
        """The model that a file's header describes; FileFormatError if it describes none or makes no sense."""
        entry = header["metadata"].get(TABLE)
        if entry is None:
            kind = "a network" if header["kind"] == "network" else f"a {header['kind']}"
            raise FileFormatError(
                f"{path}: expected a model that bpx train wrote, got {kind} saved from Python, which says nothing of a"
                " table's columns; use bpx.load in Python"
            )
        if isinstance(entry, dict) and type(entry.get("version")) is int and entry["version"] > VERSION:
            raise FileFormatError(f"{path}: the model was written by a newer bpx; install that")
        try:
            return cls._parsed(entry, header["network"])
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def _parsed(cls, entry: Any, network: dict[str, Any]) -> TableModel:
        """The model of an entry of this version, which must fit the network in the same file."""
        if isinstance(entry, dict):
            entry = {"usual": True, "dtype": "", "form": None, "reading": {}} | entry  # the first files had no others
        check_entries(
            entry, TABLE, version=lambda v: type(v) is int and 1 <= v <= VERSION,
            task=lambda v: v in (CLASSIFY, REGRESS), target=of_type(str), labels=are_texts, mean=is_finite,
            scale=lambda v: is_finite(v) and v > 0, markers=are_texts, usual=of_type(bool),
            dtype=lambda v: v in DTYPES, form=None, encoding=None, about=of_type(dict),
            reading=lambda v: isinstance(v, dict) and v.keys() <= {*READING} and are_texts(list(v.values())),
        )  # fmt: skip
        form = None if entry["form"] is None else Quantity.from_json(entry["form"])
        target = Target(entry["target"], tuple(entry["labels"]), entry["dtype"], form)
        try:
            target.typed_labels()
        except (ValueError, KeyError) as error:
            raise FileFormatError(f"{TABLE}: labels that are no {entry['dtype']} ({short_repr(error)})") from error
        model = cls(
            target, Encoding.from_json(entry["encoding"]), entry["mean"], entry["scale"], tuple(entry["markers"]),
            entry["usual"], entry["about"], entry["reading"],
        )  # fmt: skip
        sizes, right = network["sizes"], (model.encoding.width, model.outputs)
        if (
            target.task != entry["task"]
            or (sizes[0], sizes[-1]) != right
            or len(target.labels) == 1
            or network["output"] != model.activation
            or network["stack"] is not None
        ):
            raise FileFormatError(f"expected a network with {right} inputs and outputs, got {short_repr(sizes)}")
        return model

"""Class labels of any type: their encoding as targets of a network, and back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, final

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from bpx.activations import Activation
from bpx.backend.select import to_host
from bpx.formulas.blocks import block_cross_entropy, block_softmax, split
from bpx.formulas.losses import LOSSES, Loss, capped

HostArray = np.ndarray[Any, Any]


def host_labels(y: Any, warn: bool = False) -> Any:
    """Labels on the host, a single column as (n,); a sparse matrix (multilabel) stays sparse."""
    host = y if hasattr(y, "tocsr") else np.asarray(to_host(y))
    return column_or_1d(host, warn=warn) if host.ndim == 2 and host.shape[1] == 1 else host


@final
class Labels:
    """Encodes labels as scikit-learn's LabelBinarizer, and several multiclass targets as blocks of columns.

    The classes are those in `y`, or `classes` (for several targets a list); then `y` only determines the kind.
    """

    kind: str  # "binary", "multiclass", "multilabel" or "multioutput"
    classes: Any  # sorted; for "multioutput" a list with those of each target

    def __init__(self, y: HostArray, classes: Any = None) -> None:
        target = type_of_target(y)
        if target == "multiclass-multioutput":
            each = np.asarray(y).T if classes is None else classes
            self.kind, self.classes = "multioutput", [np.unique(one) for one in each]
            return
        if classes is not None and not target.startswith("multilabel"):
            y = np.unique(classes)
        self._binarizer = LabelBinarizer().fit(y)
        self.classes, kind = self._binarizer.classes_, self._binarizer.y_type_
        self.kind = "multilabel" if kind.startswith("multilabel") else kind

    @property
    def y_type(self) -> str:
        """scikit-learn's name for the kind."""
        return "multiclass-multioutput" if self.kind == "multioutput" else str(self._binarizer.y_type_)

    @property
    def sparse(self) -> bool:
        """Whether labels are a sparse matrix, also after `decode`."""
        return self.kind != "multioutput" and bool(self._binarizer.sparse_input_)

    @classmethod
    def of(cls, kind: Any, classes: Any, y_type: Any, sparse: Any) -> Labels:
        """Labels with these attributes, as read from a file; ValueError if they do not fit together."""
        types = {"binary": "binary", "multiclass": "multiclass", "multilabel": "multilabel-indicator"}
        if type(sparse) is not bool or (sparse and np.asarray(classes).dtype.kind not in "biuf"):
            raise ValueError(f"expected labels that a sparse matrix can hold, got {classes!r}")
        several = kind == "multioutput" and isinstance(classes, list) and y_type == "multiclass-multioutput"
        if not (several or (isinstance(kind, str) and kind in types and types[kind] == y_type)):
            raise ValueError(f"expected a kind of labels, got {kind!r}")
        for one in classes if several else [classes]:
            if not isinstance(one, np.ndarray) or one.ndim != 1 or not np.array_equal(np.unique(one), one):
                raise ValueError("expected the sorted classes of each target")
        labels = object.__new__(cls)
        labels.kind, labels.classes = kind, classes
        if not several:
            labels._binarizer = LabelBinarizer()
            labels._binarizer.classes_, labels._binarizer.y_type_ = classes, y_type
            labels._binarizer.sparse_input_ = bool(sparse)
        if (
            labels.n_outputs < 1
            or (kind == "binary" and len(classes) > 2)
            or (kind == "multiclass" and len(classes) < 3)
        ):
            raise ValueError(f"expected classes as {kind} labels have them, got {len(classes)}")
        return labels

    def same_classes(self, classes: Any) -> bool:
        """Whether `classes` are the known ones."""
        if self.kind != "multioutput":
            return np.array_equal(self.classes, np.unique(classes))
        return all(np.array_equal(a, np.unique(b)) for a, b in zip(self.classes, classes, strict=True))

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of outputs of each block."""
        return tuple(len(classes) for classes in self.classes)

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the network."""
        if self.kind == "multioutput":
            return sum(self.widths)
        return 1 if self.kind == "binary" else len(self.classes)

    def output(self) -> tuple[str | Activation, str]:
        """The output activation, and scikit-learn's name for it."""
        if self.kind == "multioutput":
            return block_softmax(self.widths), "softmax"
        return ("softmax", "softmax") if self.kind == "multiclass" else ("sigmoid", "logistic")

    def log_loss(self) -> Loss:
        """The loss for this output, its values capped as in scikit-learn."""
        if self.kind == "multioutput":
            return block_cross_entropy(self.widths)
        plain = LOSSES["cross_entropy" if self.kind == "multiclass" else "binary_cross_entropy"]
        assert plain.on_logits is not None
        return replace(plain, on_logits=partial(capped, formula=plain.on_logits))

    def check_known(self, y: HostArray, warm_start: bool) -> None:
        """ValueError, with scikit-learn's message, for labels that an earlier fit did not have."""
        if self.kind == "multioutput":
            unknown = [set(np.unique(c)) - set(k) for c, k in zip(np.asarray(y).T, self.classes, strict=True)]
            if any(unknown):
                raise ValueError(f"`y` has classes not in `self.classes_`: {[sorted(u) for u in unknown]}")
            return
        classes = unique_labels(y)
        if warm_start:
            if set(classes) != set(self.classes):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit."
                    f" Previously got {self.classes}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has {classes}."
            )

    def encode(self, y: HostArray) -> HostArray:
        """Targets of shape (n, n_outputs), 0 and 1."""
        if self.kind == "multioutput":
            columns = zip(np.asarray(y).T, self.classes, strict=True)
            return np.concatenate([column[:, None] == classes for column, classes in columns], axis=1)
        plain = type(y) is np.ndarray and y.ndim == 1 and y.dtype == self.classes.dtype and y.dtype.kind in "iuU"
        if self.kind == "multiclass" and plain:  # as the binarizer, but faster
            return np.asarray(y[:, None] == self.classes)
        encoded = self._binarizer.transform(y)
        return np.asarray(encoded.toarray() if hasattr(encoded, "tocsr") else encoded).astype(bool)

    def decode(self, output: HostArray) -> Any:
        """Labels from outputs of shape (n, n_outputs); a sparse matrix if `sparse`."""
        if self.kind == "multioutput":
            parts = zip(split(output, self.widths), self.classes, strict=True)
            return np.stack([classes[np.argmax(part, axis=1)] for part, classes in parts], axis=1)
        if self.kind == "multiclass":  # as the binarizer, but faster
            return self.classes[np.argmax(output, axis=-1)]
        labels = self._binarizer.inverse_transform(output.ravel() if self.n_outputs == 1 else output)
        return labels if hasattr(labels, "tocsr") else np.asarray(labels)

    def weights(self, y: HostArray, class_weight: Any) -> HostArray:
        """The weight of each sample's class; `class_weight` is a dict by label, "balanced", or a list by target.

        A class that is not in the dict has weight 1. A dict that contains unknown classes and lacks known ones is a
        ValueError, because these are probably misspelt.
        """
        self._check_form(class_weight)
        columns = np.asarray(y).reshape(len(y), -1).T
        if isinstance(class_weight, dict):
            class_weight = _for_present(class_weight, self.classes, columns[0])
        elif isinstance(class_weight, list) and self.kind == "multioutput":
            class_weight = [_for_present(*each) for each in zip(class_weight, self.classes, columns, strict=True)]
        return np.asarray(compute_sample_weight(class_weight, y))

    def _check_form(self, class_weight: Any) -> None:
        """TypeError or ValueError if the form of `class_weight` does not suit the kind of targets."""
        if isinstance(class_weight, str):
            return
        if self.kind not in ("multioutput", "multilabel"):
            if not isinstance(class_weight, dict):
                raise TypeError(
                    "class_weight: expected a dict with a weight for each class, or 'balanced', got a list, which is"
                    " for several targets"
                )
            return
        n = len(self.widths) if self.kind == "multioutput" else self.n_outputs
        got = f"a list of {len(class_weight)}" if isinstance(class_weight, list) else "one dict"
        if got != f"a list of {n}":
            error = ValueError if isinstance(class_weight, list) else TypeError
            raise error(f"class_weight: expected a list of {n} dicts, one for each target, or 'balanced', got {got}")
        for one in class_weight:
            if not isinstance(one, dict) and one != "balanced":
                raise TypeError(
                    "class_weight: expected a dict with a weight for each class of a target, or 'balanced', got"
                    f" {one!r:.60}"
                )


def _for_present(class_weight: Any, classes: HostArray, y: HostArray) -> Any:
    """A target's class weights without those of classes that are not in `y`."""
    if not isinstance(class_weight, dict):
        return class_weight
    known = classes.tolist()
    unknown, missing = [c for c in class_weight if c not in known], [c for c in known if c not in class_weight]
    if unknown and missing:
        raise ValueError(f"class_weight: expected the classes {known}, got {unknown} besides; {missing} have no weight")
    present = set(np.unique(y).tolist())
    return {label: factor for label, factor in class_weight.items() if label in present}

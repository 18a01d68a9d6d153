"""A run's arguments as plain values, for logs and to compare a run with its checkpoint, and ranks with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any, final

import numpy as np

from bpx._version import __version__
from bpx.errors import warn_caller
from bpx.formulas.activations import Activation
from bpx.formulas.losses import Loss
from bpx.formulas.optimizers import Optimizer
from bpx.network.mlp import MLP
from bpx.streams.data import Data, Feed, fingerprint
from bpx.training.array_feed import SparseRows
from bpx.training.run_metrics import RunMetrics
from bpx.training.stopping import resolved

# Number of evenly sampled rows in a fingerprint, and how far two fingerprints of the same data may differ: another
# machine may round differently what is done to the data before training.
ROWS, TOLERANCE = 64, 1e-3

HYPERPARAMETERS, DATA = "hyperparameters", "data"


@final
@dataclass(frozen=True)
class RunConfig:
    """The checked arguments of a run, see `bpx.training.assemble`; `optimizer` may be a SciPy method."""

    net: MLP
    feed: Feed
    loss: Loss
    optimizer: Any
    validation: Any = None
    rules: Sequence[Any] = ()
    size: int = 0
    sampling: str = "shuffle"
    seed: int = 0
    l2: Any = 0.0
    class_weight: Any = None
    precision: str | None = None
    measures: RunMetrics | None = None
    by_rows: bool = False

    @property
    def fixed(self) -> dict[str, Any]:
        """What must be the same in a run that is resumed."""
        net, optimizer = self.net, self.optimizer
        first_order = isinstance(optimizer, Optimizer)
        return {
            "sizes": list(net.sizes),
            "bias": list(net.bias),
            "activations": [activation.name for activation in (*net.hidden, net.output)],
            "dropout": list(net.dropout),
            "dropout seeds": list(net.seeds) if any(net.dropout) else [],
            "dtype": net.dtype,
            "stack": net.stack,
            "loss": self.loss.name,
            "optimizer": type(optimizer).__name__ if first_order else optimizer.method,
            "optimizer state": sorted(optimizer.init(np.zeros(1))) if first_order else [],
            "schedule": type(optimizer.schedule).__name__ if first_order else None,
            "stop": [type(rule).__name__ for rule in self.rules],
            "weighted": self.feed.sources[0].weight is not None,
            **self.feed.fixed,
            "batch_size": self.size,
            "sampling": self.sampling,
            "seed": self.seed,
            **({} if self.precision is None else {"precision": self.precision}),
        }

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What may be changed when a run is resumed: a flat dict by name."""
        tree = {
            "optimizer": self.optimizer,
            "l2": self.l2,
            "class_weight": self.class_weight,
            "loss": self.loss,
            "activations": [*self.net.hidden, self.net.output],
            "stop": [resolved(rule, {} if self.measures is None else self.measures.columns) for rule in self.rules],
            "validation samples": getattr(self.validation, "n", None),
        }
        if self.measures is not None:
            tree["metrics"] = list(self.measures.columns)
        return dict(_flat(plain(tree)))

    @property
    def settings(self) -> dict[str, Any]:
        """All arguments, for a log."""
        net = self.net
        about = {"backend": net.backend.name, "parameters": net.n_params, "network seeds": list(net.seeds)}
        # "loss" and "activations" are in both, in the second one with their parameters.
        values = self.fixed | self.hyperparameters | about
        return {name: value for name, value in values.items() if name != "optimizer state" and ".type" not in name}

    @property
    def advice(self) -> str:
        """What to try if training diverges, for the warning."""
        tips, optimizer = [], self.optimizer
        if isinstance(optimizer, Optimizer):
            tips.append(f"a smaller learning rate (now {optimizer.learning_rate})")
            if optimizer.clip_norm is None:
                tips.append("clip_norm=1.0 in the optimizer")
        tips.append("inputs and targets scaled to about zero mean and unit variance")
        if self.precision == "float16":
            tips.append("precision='bfloat16', which can hold larger numbers")
        if self.net.dtype == "float32":
            tips.append("dtype='float64'")
        return ", ".join(tips)

    def for_checkpoint(self) -> dict[str, Any]:
        """The arguments as a checkpoint stores them, for `compare`."""
        return self.fixed | {HYPERPARAMETERS: self.hyperparameters, DATA: self._fingerprints()}

    def for_ranks(self, epochs: int) -> dict[str, Any]:
        """The arguments as processes that train together compare them, for `compare_ranks`."""
        values = self.fixed | self.hyperparameters | {"epochs": epochs, "network seeds": list(self.net.seeds)}
        values["validation"] = self.validation is not None
        del values["validation samples"]  # each rank has its share
        return values | {"bpx": __version__, "numpy": np.__version__, DATA: self._fingerprints()}

    def _fingerprints(self) -> dict[str, list[float]]:
        """Fingerprints of the data; empty for an iterable, whose rows are not known before training."""
        data = self.feed.data
        if not isinstance(data, Data):
            return self.feed.fingerprint()
        return {name: _fingerprint(self.net, getattr(data, name), name) for name in ("X", "y", "weight")}


def compare(saved: Any, mine: Mapping[str, Any], path: str) -> None:
    """Refuse (ValueError) a checkpoint of another run, and warn of other hyperparameters; both name what differs."""
    theirs = saved if isinstance(saved, dict) else {}
    other = _differences(
        *({k: v for k, v in one.items() if k not in (HYPERPARAMETERS, DATA)} for one in (theirs, mine))
    )
    if other:
        raise ValueError(
            f"{path}: expected a checkpoint of a run like this one, got one with other arguments ({other}); give the"
            " same, another path, or resume=False to start anew"
        )
    prints = theirs.get(DATA, {})
    strange = [name for name in ("X", "y") if name in prints and not _alike(prints[name], mine[DATA][name])]
    if strange:
        raise ValueError(
            f"{path}: expected the data that the checkpoint's run was given, got {' and '.join(strange)} with other"
            " values (or in another order); give the same, or resume=False to start anew"
        )
    changed = _differences(theirs.get(HYPERPARAMETERS, mine[HYPERPARAMETERS]), mine[HYPERPARAMETERS])
    if "weight" in prints and not _alike(prints["weight"], mine[DATA]["weight"]) and "class_weight" not in changed:
        changed += "; sample_weight" if changed else "sample_weight"
    if changed:
        warn_caller(
            f"{path}: the run goes on with other hyperparameters ({changed}), so it is no longer the run that never"
            " stopped; where that is not meant, give the same",
            UserWarning,
        )


def compare_ranks(configs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse (ValueError) ranks with different arguments or data; names what differs from rank 0."""
    first = configs[0]
    for rank, other in enumerate(configs):
        names = [name for name in {**first, **other} if name != DATA and other.get(name) != first.get(name)]
        found = [f"{name}: {first.get(name)!r} on rank 0, {other.get(name)!r} on rank {rank}" for name in names]
        prints = [(name, first[DATA].get(name, []), other[DATA].get(name, [])) for name in ("X", "y", "weight")]
        found += [f"{name}: other values on rank {rank}" for name, one, two in prints if not _alike(one, two)]
        if found:
            raise ValueError(
                f"comm: expected the same arguments and data on every rank, got other ones ({'; '.join(found)})"
            )


def _differences(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """The values that differ, for a message."""
    names = [*mine, *(name for name in theirs if name not in mine)]
    there, here = [dict.fromkeys(names, "nothing") | dict(one) for one in (theirs, mine)]
    return "; ".join(f"{n}: {there[n]!r} there, {here[n]!r} here" for n in names if there[n] != here[n])


def plain(value: Any) -> Any:
    """A value as None, bool, int, float, str, or lists and dicts of them; other objects as their names."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Activation):
        return _named(value.name, value.forward)
    if isinstance(value, Loss):
        return _named(value.name, value.on_outputs)
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, Iterable):
        return [plain(one) for one in value]
    return getattr(value, "__qualname__", type(value).__name__)


def _named(name: str, function: Any) -> str:
    """A formula's name with its parameters, such as ``elu(alpha=1.0)``."""
    params = function.keywords if isinstance(function, partial) else {}
    return f"{name}({', '.join(f'{n}={v!r}' for n, v in params.items())})" if params else name


def _flat(tree: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    """A tree's values by their paths, such as ``stop.0.patience``; a list without dicts is one value."""
    nested = isinstance(tree, list) and any(isinstance(one, dict) for one in tree)
    if not isinstance(tree, dict) and not nested:
        yield name, tree
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _flat(value, f"{name}.{key}" if name else str(key))


def _fingerprint(net: MLP, array: Any, name: str) -> list[float]:
    """A fingerprint of sampled rows of an array; empty for None."""
    if array is None:
        return []
    axis = -2 if name == "weight" else 0
    rows = np.unique(np.linspace(0, array.shape[axis] - 1, ROWS).astype(np.int64))
    if isinstance(array, SparseRows):
        taken = array.dense(rows)
    else:
        taken = net.backend.xp.take(array, net.backend.asarray(rows), axis=axis)
    return fingerprint(np.moveaxis(np.asarray(net.backend.to_host(taken)), axis, 0))


def _alike(one: Any, other: Any) -> bool:
    """Whether two fingerprints are of the same data."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.shape != b.shape:
        return False
    scale = float(np.max(np.abs(a), initial=0.0))
    return bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))

"""The metrics of a run: checked before training, measured after each epoch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, final

import numpy as np

from bpx.errors import warn_caller
from bpx.formulas import metrics
from bpx.formulas.losses import Loss
from bpx.formulas.metrics import CLASSES, METRICS, OF_LABELS, Metric, MetricName
from bpx.network.mlp import MLP
from bpx.streams.data import Data
from bpx.streams.stream import Stream
from bpx.training.array_feed import slice_rows
from bpx.training.distributed import Ranks
from bpx.training.evaluation import Outputs, Predicted, outputs_of

# Columns that every history or log has already.
RESERVED = ("epoch", "step", "loss", "learning_rate", "seconds")
# Names that can stand in the header of a CSV file and name a metric in MLflow.
NAME = re.compile(r"\w[\w .:-]*")

_One = MetricName | Metric | Callable[..., Any]
MetricsLike = _One | Sequence[_One] | Mapping[str, _One] | None
# The kind of task (see `bpx.formulas.metrics`), and whether all targets are exactly 0 or 1.
Task = tuple[str, bool]

# Kinds of activations whose outputs lie between 0 and 1.
PROBABILITIES = ("unit", "distribution")
WORDS = {
    "binary": "two classes", "classes": "classes", "labels": "several yes/no labels", "numbers": "numbers",
    "targets": "several class targets at once",
}  # fmt: skip


# ---------------------------------------------------------------------- before training


def check_metrics(given: MetricsLike) -> tuple[Metric, ...]:
    """The `metrics` argument of `bpx.fit` as metrics; TypeError or ValueError if it is not one."""
    if given is None:
        return ()
    if isinstance(given, Mapping):
        found = [_metric(one, name) for name, one in given.items()]
    elif isinstance(given, (str, Metric)) or callable(given) or not isinstance(given, Iterable):
        found = [_metric(given)]
    else:
        found = [_metric(one) for one in given]
    names = [metric.name for metric in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"metrics: expected different names, got {twice[0]!r} twice; give a dict, name to function")
    return tuple(found)


def check_name(name: Any) -> str:
    """`name`, if it can name a column of a history; else a TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"expected a column's name as text, got {name!r:.80}")
    if name in RESERVED or name.startswith("val_"):
        taken = "the histories' own columns are called so" if name in RESERVED else "val_ is put before a metric's name"
        raise ValueError(f"{name!r} cannot be a column's name ({taken}); give another")
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a column's name; expected letters, digits, and _ - . : or spaces inside")
    return name


def _metric(given: Any, name: Any = None) -> Metric:
    """One metric from a name, a function or a Metric; `name` renames it."""
    if isinstance(given, (str, Metric)):
        found = metrics.get(given) if isinstance(given, str) else given
        if name is None or name == found.name:
            return found
        return replace(found, name=_check_custom_name(name))
    if isinstance(given, type) or not callable(given):
        raise TypeError(
            f"metrics: expected names ({', '.join(METRICS)}) or functions f(y_true, y_pred) -> float, got {given!r:.80}"
        )
    if name is None:
        name = getattr(given, "__name__", None)
        if name is None or name == "<lambda>":
            raise ValueError(f"metrics: {given!r:.80} has no name for its column; give {{'a name': function}}")
    return Metric(_check_custom_name(name), given)


def _check_custom_name(name: Any) -> str:
    """`name`, if it can name a user's metric: a column's name that is none of bpx's metrics."""
    try:
        check_name(name)
    except (TypeError, ValueError) as error:
        raise type(error)(f"metrics: {error}") from None
    if name in METRICS:
        raise ValueError(f"metrics: {name!r} is the name of bpx's own metric; give what you measure another one")
    return str(name)


def task_of(targets: Sequence[Any], loss: Loss, net: MLP) -> Task:
    """The task that host targets (of training and validation), the loss and the output activation describe.

    Targets with several columns are "classes" if each row has exactly one value above 0.5, else "labels". Targets
    between 0 and 1 are "numbers" unless the loss, or the output (sigmoid or softmax), is for that range.
    """
    n_out, kind = net.sizes[-1], loss.targets
    if any(y.ndim == 1 for y in targets) and n_out > 1:
        return "classes", True
    hard = all(bool(np.all((y == 0.0) | (y == 1.0))) for y in targets)
    if kind == "classes":
        return "classes", hard
    inside = net.output.outputs in PROBABILITIES and all(bool(np.all((y >= 0.0) & (y <= 1.0))) for y in targets)
    if not hard and kind != "unit" and not inside:
        return "numbers", False
    if n_out == 1:
        return "binary", hard
    single = all(bool(np.all(np.sum(y > 0.5, axis=1) == 1)) for y in targets)
    return ("classes" if single or net.output.outputs == "distribution" else "labels"), hard


def fitting(given: Sequence[Metric], task: Task, loss: Loss, net: MLP, what: str = "metrics") -> tuple[Metric, ...]:
    """The metrics in their form for this task; for one that does not fit, a ValueError that names those that do."""
    fit = [name for name, metric in METRICS.items() if not _unfit(metric, task, loss, net)]
    for metric in given:
        if reason := _unfit(metric, task, loss, net):
            known = f"use {', '.join(fit)}, or" if fit else "give"
            signature = "f(net, X, y)" if what == "scoring" else "f(y_true, y_pred)"
            raise ValueError(f"{what}: {metric.name!r} {reason}; {known} a function {signature}")
    if task[0] != "labels":
        return tuple(given)
    return tuple(replace(metric, function=OF_LABELS.get(metric.function, metric.function)) for metric in given)


def _unfit(metric: Metric, task: Task, loss: Loss, net: MLP) -> str:
    """Why the metric does not fit the task, for a message; empty if it does."""
    if metric.own:
        return ""
    kind, hard = task
    if metric.tasks == ("numbers",):  # 0/1 targets with a squared error count as numbers, too
        numbers = kind == "numbers" or loss.targets in {"real", "count"} or (loss.targets == "unit" and not hard)
        return "" if numbers and kind != "targets" else f"is for numbers, and the targets are {WORDS[kind]}"
    if kind not in metric.tasks:
        fits = " or ".join(WORDS[one] for one in metric.tasks) if kind in (*CLASSES, "targets") else "classes"
        return f"is for {fits}, and the targets are {WORDS[kind]}"
    if metric.hard and not hard:
        return "needs targets that are 0 or 1, and some lie between"
    if metric.function is metrics.log_loss and net.output.outputs not in PROBABILITIES:
        return f"needs outputs that are probabilities, and output={net.output.name!r} gives others"
    return ""


def make_run_metrics(
    net: MLP, given: Sequence[Metric], loss: Loss, training: Data | None, validation: Any, targets: Sequence[Any],
    ranks: Ranks | None = None, task: Task | None = None, streams: Sequence[Stream] = (),
) -> RunMetrics | None:  # fmt: skip
    """The metrics of a run; None if `given` is empty. ValueError if one does not fit the task or has no data.

    `training` has no class weights, and is None for a stream, on which nothing is measured; `validation` is this rank's
    share. If `task` is None, the `targets` in memory decide it, and where they leave it open `streams` are read once,
    validation first.
    """
    if not given:
        return None
    if training is None and validation is None:
        raise ValueError(
            "metrics: training data that are read from a stream are not measured; give validation=, on which they are"
        )
    if not all(metric.own for metric in given):
        given = fitting(
            given, _task_of_all(net, loss, targets, streams, training is None) if task is None else task, loss, net
        )
    if ranks is not None and training is not None:
        training = slice_rows(training, ranks.share(training.X.shape[0]))
    return RunMetrics(net, given, training, validation, ranks)


def _task_of_all(net: MLP, loss: Loss, targets: Sequence[Any], streams: Sequence[Stream], streamed: bool) -> Task:
    """The task of all targets: those in memory, then those of the streams, read only while they can change it.

    If the training data are `streamed`, they are the last stream, and are not measured.
    """
    from bpx.streams.feed import in_order

    to_host = net.backend.to_host
    in_memory = [np.asarray(to_host(y)) for y in targets]
    task = task_of(in_memory, loss, net) if in_memory else None
    for i, stream in enumerate(streams):
        measured = not (streamed and i == len(streams) - 1)
        if task is not None and _settled(task, loss, net, measured):
            continue
        with closing(in_order(stream, net, loss).parts()) as parts:
            for part in parts:
                y = np.asarray(to_host(part.y))
                one = task_of([y], loss, net)
                task = one if task is None else _both(task, one)
                if (y.ndim == 1 and net.sizes[-1] > 1) or _settled(task, loss, net, measured):
                    break
    assert task is not None
    return task


def _both(one: Task, other: Task) -> Task:
    """The task of two sets of targets together."""
    kinds = one[0], other[0]
    kind = next((kind for kind in ("numbers", "labels") if kind in kinds), one[0])
    return kind, one[1] and other[1]


def _settled(task: Task, loss: Loss, net: MLP, measured: bool) -> bool:
    """Whether no further targets can change the task; for targets that are not `measured`, its kind."""
    kind, hard = task
    if hard and measured:
        return False
    if kind == "numbers" or loss.targets == "classes":
        return True
    return loss.targets == "unit" and (kind != "classes" or net.output.outputs == "distribution")


# ---------------------------------------------------------------------- in training


@final
class RunMetrics:
    """Measures metrics on training and validation data.

    Attributes
    ----------
    columns : dict of str to Metric
        By their names in the history: ``auc`` on the training data, then ``val_auc`` on the validation data.
    """

    def __init__(
        self, net: MLP, given: Sequence[Metric], training: Data | None, validation: Any, ranks: Ranks | None
    ) -> None:
        self._net, self._metrics, self._training, self._ranks = net, tuple(given), training, ranks
        self._prefixes = [prefix for prefix, data in (("", training), ("val_", validation)) if data is not None]
        self.columns = {prefix + metric.name: metric for prefix in self._prefixes for metric in given}
        self._weighs = {metric.name: _takes_weight(metric) for metric in given}
        self._warned: set[str] = set()

    def __call__(self, epoch: int, held_out: Outputs | None) -> dict[str, Any]:
        """The epoch's values by column, floats or arrays of shape (K,); empty on all ranks but the first."""
        found: dict[str, Any] = {}
        for prefix in self._prefixes:
            if prefix == "":
                rows = outputs_of(self._net, self._training, self._ranks)
            else:
                assert held_out is not None
                rows = held_out.whole(self._ranks)
            if self._ranks is None or self._ranks.is_first:
                for metric in self._metrics:
                    found[prefix + metric.name] = self._value(metric, rows, prefix, epoch)
        return found

    def _value(self, metric: Metric, rows: Predicted, prefix: str, epoch: int) -> Any:
        """A metric's value: a float, or an array of shape (K,) for a stack."""
        of = "validation" if prefix else "training"
        first = rows.output if self._net.stack is None else rows.output[0]
        column = prefix + metric.name
        if column not in self._warned and not metric.own:
            self._warned.add(column)
            weight = None if rows.weight is None else np.max(np.atleast_2d(rows.weight), axis=0)
            reason = metrics.undefined(metric, rows.y, first, weight)
            if reason is not None:
                warn_caller(f"metrics: {metric.name!r} is NaN on the {of} data: {reason}", UserWarning)
        where = f"on the {of} data after epoch {epoch}"
        if self._net.stack is None:
            return self._call(metric, rows.y, rows.output, rows.weight, where)
        K = self._net.stack
        weights = [None] * K if rows.weight is None else np.broadcast_to(rows.weight, (K, len(rows.y)))
        pairs = enumerate(zip(rows.output, weights, strict=True))
        return np.array([self._call(metric, rows.y, p, w, f"{where}, of network {k}") for k, (p, w) in pairs])

    def _call(self, metric: Metric, y: Any, output: Any, weight: Any, where: str) -> float:
        """Call the metric's function; an error in it names the metric."""
        for array in (y, output, weight):  # all metrics read the same arrays
            if array is not None:
                array.setflags(write=False)
        more = {"sample_weight": weight} if self._weighs[metric.name] else {}
        try:
            value = metric.function(y, output, **more)
        except MemoryError:
            raise
        except Exception as error:
            written = isinstance(error, ValueError) and "read-only" in str(error)
            remedy = ", which other metrics read too: to write into one, copy it first" if written else ""
            raise RuntimeError(
                f"metrics: {metric.name!r} failed {where} with {type(error).__name__}: {error}; it was given y_true of"
                f" shape {y.shape} and y_pred of shape {output.shape}{remedy}"
            ) from error
        return as_number(value, f"metrics: {metric.name!r} {where}", "a function that returns a number")


def as_number(value: Any, what: str, expected: str) -> float:
    """A real number as a float; a TypeError for None, text and arrays."""
    if np.ndim(value) == 0 and not isinstance(value, (str, bytes)) and hasattr(value, "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{what}: expected {expected}, got {value!r:.80}")


def _takes_weight(metric: Metric) -> bool:
    """Whether the metric's function has an argument called sample_weight."""
    try:
        return "sample_weight" in inspect.signature(metric.function).parameters
    except (TypeError, ValueError):  # a function written in C, which has no signature
        return False

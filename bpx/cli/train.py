"""``bpx train``: a network for a table, and the encoding of its columns, in one file."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from typing import Any

import numpy as np

from bpx._text import to_json
from bpx.cli import backend_option, columns, data, parser, scores, target, train_options
from bpx.cli.output import MistakeError, Output, aligned, counted
from bpx.cli.table_model import TableModel
from bpx.errors import DivergenceWarning
from bpx.files import atomic, container, header, safetensors_form
from bpx.formulas import optimizers
from bpx.network.mlp import MLP
from bpx.tables import encoding
from bpx.tables.table import Table, listed
from bpx.training import hold_out
from bpx.training.fit import fit
from bpx.training.history import History, StopReason
from bpx.training.stopping import Patience

__all__ = ["add"]

# What is trained by default: so many steps, but at least and at most so many epochs.
STEPS, FEWEST, MOST = 20_000, 10, 200
# The share of the training rows that judge when to stop.
VALIDATION = 0.1
# Of a file's header, kept for the network's own description.
RESERVE = 50_000


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    train_options.add_options(sub, run)


def run(args: argparse.Namespace, output: Output) -> int:
    """Read, encode, train, score, write."""
    _check_out(args)
    backend = backend_option.backend(args.backend)
    backend_option.check_precision(args.precision, args.dtype, backend)
    table, goal, kept, categories = _prepare(args, output)

    y = goal.values(table[goal.name])
    classes = y if goal.task == target.CLASSIFY else None
    rng = np.random.default_rng(args.seed)
    training, held_out = hold_out.split(len(y), args.test_size, rng, classes)
    if args.test_size and not len(held_out):
        raise MistakeError(f"{table.source}: too few rows ({len(y)}) to hold some out; give more, or --test-size 0")
    if len(training) < 2:
        raise MistakeError(f"{table.source}: expected at least 2 rows to train on, got {len(training)}")
    code = encoding.learn(
        kept.rows(training), categories, standardise=not args.no_standardise, max_categories=args.max_categories
    )
    mean, scale = _scale(y[training]) if goal.task == target.REGRESS else (0.0, 1.0)
    recipe = TableModel(goal, code, mean, scale, *data.spellings(args))
    X, _ = code.encode(kept, args.dtype)
    _check_size(recipe)

    net = MLP(
        [code.width, *args.hidden, recipe.outputs], hidden=args.hidden_activation, output=recipe.activation,
        dropout=args.dropout, dtype=args.dtype, seed=args.seed, backend=backend,
    )  # fmt: skip
    history = _train(args, output, net, recipe, X, y, training, rng)
    facts = _facts(recipe, net, history, y, training, held_out)
    _save(args, output, net, recipe, facts, "without its scores")  # before anything else can fail
    rows = {"training": training, "held out": held_out}
    facts["scores"] = {
        name: scores.of_rows(recipe, net, X, y, part, _metrics(args)) for name, part in rows.items() if len(part)
    }
    _save(args, output, net, recipe, facts)
    curves: dict[str, Any] = {"loss": history.loss, "validation loss": history.val_loss}
    if history.metrics:
        curves["metrics"] = history.metrics
    output.result(
        _in_words(args, recipe, net, history, facts), {"model": args.out, **facts, **curves, "notes": output.notes}
    )
    return parser.INTERRUPTED if history.stop_reason is StopReason.INTERRUPTED else parser.OK


def _check_out(args: argparse.Namespace) -> None:
    """Whether the model could be written, before hours of training."""
    try:
        ending = container.form_of(args.out)
    except ValueError as error:
        raise MistakeError(f"--out: {str(error).removeprefix('path: ')}") from error
    atomic.check(args.out)
    data.keep_inputs("--out", args.out, args.data, args.checkpoint)
    if args.checkpoint:
        data.keep_inputs("--checkpoint", args.checkpoint, args.data)
    if ending == ".safetensors":
        safetensors_form.check_installed()
    if args.validation_size is not None and args.patience is None:
        raise MistakeError("--validation-size goes with --patience N, which stops by the loss on validation rows")
    if args.monitor is not None and args.patience is None:
        raise MistakeError("--monitor goes with --patience N, which stops by it on validation rows")
    if args.resume and not args.checkpoint:
        raise MistakeError("--resume needs --checkpoint FILE, the checkpoint to go on from")


def _prepare(args: argparse.Namespace, output: Output) -> tuple[Table, target.Target, Table, list[str]]:
    """The rows that have a target, the target, the inputs' columns, and those of them that are categories."""
    if args.target in args.drop:
        raise MistakeError(f"--drop: {args.target!r} is the target")
    table = data.read(args, {args.target, *args.categorical}, args.drop)
    if args.target not in table.columns:
        hint = table.nearest(args.target)
        if all(name.replace(".", "").replace("-", "").isdigit() for name in table.names):
            hint = "its first line seems to be data, and not the columns' names, which it should hold"
        raise MistakeError(f"{table.source}: no column {args.target!r} for --target; {hint}")
    for name in args.categorical:
        table[name]
    without = np.asarray(table[args.target].missing)
    if np.all(without):
        raise MistakeError(f"{table.source}: target {args.target!r} has no value in any row; choose another --target")
    if np.any(without):
        count = int(np.count_nonzero(without))
        output.note(_left_out(count, table, args.target))
        table = table.rows(~without)
    goal = target.choose(table, args.target, args.task, output.note)
    if args.class_weight and goal.task != target.CLASSIFY:
        raise MistakeError("--class-weight goes with classes; the target is a number")
    scores.check(goal, _metrics(args))
    kept, categories = columns.choose(table, args.target, args.categorical, output.note)
    filled = [name for name, column in kept.columns.items() if np.any(column.missing)]
    if filled:
        missing = {name: int(np.count_nonzero(kept[name].missing)) for name in filled}
        told = ", ".join(f"{name!r} {count}" for name, count in list(missing.items())[:12])
        more = f" and {counted(len(filled) - 12, 'more column')}" if len(filled) > 12 else ""
        output.note(f"missing values, filled by the median or a category of their own: {told}{more}")
    return table, goal, kept, categories


def _metrics(args: argparse.Namespace) -> list[str]:
    """The metrics that are asked for, and the one that is watched."""
    watched = [] if args.monitor in (None, "loss") else [args.monitor]
    return list(dict.fromkeys([*args.metrics, *watched]))


def _left_out(count: int, table: Table, name: str) -> str:
    """How many rows have no target, and how that was spelled."""
    spelled = sorted(spelling for spelling in table[name].spellings if spelling)
    told = f" (spelled {listed(spelled)}; where that is a class, give --na-only)" if spelled else ""
    have, are = ("has", "is") if count == 1 else ("have", "are")
    return f"{count} of {counted(table.n_rows, 'row')} {have} no target {name!r}{told} and {are} left out"


def _scale(y: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean and standard deviation of a target; 1 where it does not vary."""
    largest = float(np.max(np.abs(y))) or 1.0
    scale = largest * float(np.std(y / largest))
    return largest * float(np.mean(y / largest)), scale if scale > 0.0 else 1.0


def _check_size(recipe: TableModel) -> None:
    """Whether the model's file can hold the encoding."""
    size = len(json.dumps(recipe.to_metadata()))
    if size > header.LARGEST - RESERVE:
        raise MistakeError(
            f"the columns' encoding takes {size} bytes, more than a model file's header holds; give a smaller"
            " --max-categories, or leave out columns of text with --drop"
        )


def _train(
    args: argparse.Namespace, output: Output, net: MLP, recipe: TableModel, X: Any, y: Any, training: Any,
    rng: np.random.Generator,
) -> History:  # fmt: skip
    """Train on the training rows, some of which judge when to stop."""
    wanted = (y - recipe.mean) / recipe.scale if recipe.target.task == target.REGRESS else y
    validation, stop = None, []
    if args.patience is not None:
        classes = None if recipe.target.task == target.REGRESS else y[training]
        share = VALIDATION if args.validation_size is None else args.validation_size
        inner, judging = hold_out.split(len(training), share, rng, classes)
        if not len(judging):
            raise MistakeError("--patience needs validation rows; give a larger --validation-size, or more data")
        training, judging = training[inner], training[judging]
        validation = X[judging], wanted[judging]
        stop = [Patience(f"val_{args.monitor or 'loss'}", args.patience)]
    output.release()  # from here on it may take hours
    steps = -(-len(training) // args.batch_size)
    options = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DivergenceWarning)
        try:
            return fit(
                net, X[training], wanted[training], loss=recipe.loss,
                optimizer=optimizers.OPTIMIZERS[args.optimizer](**options),
                epochs=args.epochs or min(max(-(-STEPS // steps), FEWEST), MOST), batch_size=args.batch_size,
                l2=args.l2, class_weight=args.class_weight, validation=validation, stop=stop, seed=args.seed,
                progress=not output.quiet, checkpoint=args.checkpoint, resume=args.resume,
                precision=args.precision, metrics=scores.in_training(recipe, _metrics(args)),
            )  # fmt: skip
        except DivergenceWarning as error:
            raise MistakeError(
                f"training diverged: {str(error).partition(';')[0]}; nothing was written; try a smaller"
                " --learning-rate, or --dtype float64"
            ) from error
        except ValueError as error:
            if args.checkpoint and args.resume:  # a checkpoint of another run
                raise MistakeError(str(error).replace("or resume=False", "or leave out --resume")) from error
            raise


def _save(
    args: argparse.Namespace, output: Output, net: MLP, recipe: TableModel, facts: dict[str, Any], lacks: str = ""
) -> None:
    """Write the model, or write it anew; whatever ends the command after that says that it is there."""
    # Labels and columns are in the recipe itself; with the time, equal runs would make unequal files.
    recipe.about.update({k: v for k, v in to_json(facts).items() if k not in ("labels", "columns", "seconds")})
    metadata, lacking = recipe.to_metadata(), f", {lacks}" if lacks else ""
    try:
        net.save(args.out, metadata=metadata)
    except OSError:  # a disk that is full by now
        if output.written is None:
            output.written = _spared(args.out, net, metadata, lacking)
        raise
    output.written = f"the model is written to {args.out}{lacking}"


def _spared(out: str, net: MLP, metadata: dict[str, Any], lacking: str) -> str | None:
    """Keep what was trained among the system's temporary files; what to say of it, None where that fails, too."""
    folder = tempfile.mkdtemp(prefix="bpx-")
    spare = os.path.join(folder, os.path.basename(out))
    try:
        net.save(spare, metadata=metadata)
    except OSError:
        os.rmdir(folder)
        return None
    return f"the model is written to {spare}{lacking}"


def _facts(recipe: TableModel, net: MLP, history: History, y: Any, training: Any, held_out: Any) -> dict[str, Any]:
    """What was done, for the model file and ``--json``."""
    facts: dict[str, Any] = {
        "task": recipe.target.task,
        "target": recipe.target.name,
        "rows": {"training": len(training), "held out": len(held_out)},
        "columns": recipe.encoding.names,
        "sizes": list(net.sizes),
        "parameters": net.n_params,
        "backend": net.backend.name,
        "epochs": history.epochs,
        "seconds": history.seconds,
        "stopped": history.stop_reason.value,
        "best epoch": history.best_epoch,
    }
    if recipe.target.task == target.CLASSIFY:
        common = int(np.argmax(np.bincount(y[training])))
        rows = held_out if len(held_out) else training
        facts["labels"] = list(recipe.target.labels)
        facts["commonest"] = {"label": recipe.target.labels[common], "accuracy": float(np.mean(y[rows] == common))}
    return facts


def _in_words(args: argparse.Namespace, recipe: TableModel, net: MLP, history: History, facts: dict[str, Any]) -> str:
    """The same for people."""
    labels, scored = recipe.target.labels, facts["scores"]
    of_text = len(recipe.encoding.as_text)
    of_numbers = counted(len(recipe.encoding.columns) - of_text, "column")
    shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
    common = facts.get("commonest")
    best = "" if history.best_epoch is None else f"; the network of epoch {history.best_epoch}"
    rows = {
        "target": f"{recipe.target.name}, " + (f"{len(labels)} classes: {shown}" if labels else "a number"),
        "inputs": f"{recipe.encoding.width} from {of_numbers} of numbers and {of_text} of categories",
        "network": repr(net).strip("<>"),
        "fitted": f"{counted(history.epochs, 'epoch')} in {history.seconds:.1f} s; {history.stop_reason.value}{best}",
        "training": f"{scores.in_words(scored['training'])} on {counted(facts['rows']['training'], 'row')}",
    }
    if "held out" in scored:
        always = f" (always {common['label']!r}: {common['accuracy']:.2%})" if common else ""
        rows["held out"] = (
            f"{scores.in_words(scored['held out'])} on {counted(facts['rows']['held out'], 'row')}{always}"
        )
    return aligned(rows | {"written": args.out})

"""``bpx train``: train a network on a table, and write it into one file with the encoding of the columns."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np

from bpx._formatting import aligned, to_json
from bpx.cli import backend_option, parser, preparation, scores, table_input, train_options
from bpx.cli.column_choice import Taken
from bpx.cli.output import MistakeError, Output, counted
from bpx.cli.table_model import TableModel
from bpx.cli.target import CLASSIFY, REGRESS
from bpx.errors import DivergenceWarning
from bpx.files import container, header
from bpx.losses import LossName
from bpx.network.mlp import MLP
from bpx.optimizers import OPTIMIZERS
from bpx.stop import Patience
from bpx.tables import encoding
from bpx.training import hold_out
from bpx.training.fit import fit
from bpx.training.history import History, StopReason

LOSSES: dict[str, LossName] = {
    "identity": "squared_error",
    "sigmoid": "binary_cross_entropy",
    "softmax": "cross_entropy",
}
# By default: this many steps, but at least FEWEST and at most MOST epochs.
STEPS, FEWEST, MOST = 20_000, 10, 200
# The share of the training rows that is held out for --patience.
VALIDATION = 0.1
# Bytes of a file's header that are kept free for the network's own description.
RESERVE = 50_000


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    train_options.add_options(sub, run)


def run(args: argparse.Namespace, output: Output) -> int:
    """Read, encode, train, score, write."""
    _check_options(args)
    backend = backend_option.backend(args.backend)
    backend_option.check_precision_option(args.precision, args.dtype, backend)
    if args.class_weight and args.task == REGRESS:
        raise MistakeError("--class-weight goes with classes; the target is a number")
    prepared = preparation.prepare(args, output)
    table, target, inputs, weights = prepared.table, prepared.target, prepared.choice.table, prepared.weights
    assert target is not None
    if args.class_weight and target.task != CLASSIFY:
        raise MistakeError("--class-weight goes with classes; the target is a number")
    scores.check_metrics(target, _metrics(args))

    y = target.values(table[target.name])
    rng = np.random.default_rng(args.seed)
    training, held_out = hold_out.split(len(y), args.test_size, rng, y if target.task == CLASSIFY else None)
    if args.test_size and not len(held_out):
        raise MistakeError(f"{table.source}: too few rows ({len(y)}) to hold some out; give more, or --test-size 0")
    if len(training) < 2:
        raise MistakeError(f"{table.source}: expected at least 2 rows to train on, got {len(training)}")
    encoded = encoding.learn(
        inputs.rows(training), prepared.choice.categories, standardise=not args.no_standardise,
        max_categories=args.max_categories, forms=prepared.choice.forms,
        bins=encoding.BINS if args.numbers == "piecewise" else None,
    )  # fmt: skip
    mean, scale = (0.0, 1.0) if target.task == CLASSIFY else encoding.mean_and_scale(y[training])
    model = TableModel(
        target, encoded, mean, scale, *table_input.spellings(args), reading=table_input.reading_options(args)
    )
    taken = preparation.describe(prepared, encoded)
    output.show(preparation.in_words(taken))
    X, _ = encoded.encode(inputs, args.dtype)
    _check_size(model)

    net = MLP(
        [encoded.width, *args.hidden, model.outputs], hidden=args.hidden_activation, output=model.activation,
        dropout=args.dropout, dtype=args.dtype, seed=args.seed, backend=backend,
    )  # fmt: skip
    history = _train(args, output, net, model, X, y, weights, training, rng)
    facts = _facts(model, net, history, y, training, held_out)
    _save(args.out, output, net, model, facts, ", without its scores")  # before anything else can fail
    parts = {name: rows for name, rows in (("training", training), ("held out", held_out)) if len(rows)}
    facts["scores"] = {
        name: scores.of_rows(model, net, X, y, rows, _metrics(args), weights) for name, rows in parts.items()
    }
    facts["baseline"] = {name: scores.baseline(model, y, training, rows, weights) for name, rows in parts.items()}
    judged = "held out" if len(held_out) else "training"
    if poor := scores.worse(facts["scores"][judged], facts["baseline"][judged]):
        output.note(f"on the {'rows held out' if len(held_out) else 'training rows'} the network is {poor}")
    _save(args.out, output, net, model, facts)
    curves: dict[str, Any] = {"loss": history.loss, "validation loss": history.val_loss}
    if history.metrics:
        curves["metrics"] = history.metrics
    words = _in_words(model, net, history, facts) | {"written": args.out}
    output.result(
        aligned(words.items()), {"model": args.out, **facts, **curves, **_described(taken), "notes": output.notes}
    )
    return parser.INTERRUPTED if history.stop_reason is StopReason.INTERRUPTED else parser.OK


def _described(taken: list[Taken]) -> dict[str, Any]:
    """What the columns were taken for, for ``--json``."""
    return {"taken": [asdict(one) for one in taken]}


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, and a model file that could not be written, before hours of training."""
    ending = table_input.check_out(args.out, container.FORMS, args.data, args.checkpoint)
    if args.checkpoint:
        table_input.keep_inputs("--checkpoint", args.checkpoint, args.data)
    container.FORMS[ending].library()
    if args.validation_size is not None and args.patience is None:
        raise MistakeError("--validation-size goes with --patience N, which stops by the loss on validation rows")
    if args.monitor is not None and args.patience is None:
        raise MistakeError("--monitor goes with --patience N, which stops by it on validation rows")
    if args.resume and not args.checkpoint:
        raise MistakeError("--resume needs --checkpoint FILE, the checkpoint to continue from")
    if args.checkpoint and not args.resume:
        for path in (args.checkpoint, f"{args.checkpoint}.previous"):
            if os.path.exists(path):
                raise MistakeError(
                    f"--checkpoint: {path} is there, perhaps of another run; give --resume to continue it, or another"
                    " path to start anew"
                )


def _metrics(args: argparse.Namespace) -> list[str]:
    """The metrics that are asked for, and the one that --patience watches."""
    watched = [] if args.monitor in (None, "loss") else [args.monitor]
    return list(dict.fromkeys([*args.metrics, *watched]))


def _check_size(model: TableModel) -> None:
    """Raise MistakeError if the encoding does not fit into a model file's header."""
    size = len(json.dumps(model.to_metadata()))
    if size > header.LARGEST - RESERVE:
        raise MistakeError(
            f"the columns' encoding takes {size} bytes, more than a model file's header holds; give a smaller"
            " --max-categories, or leave out columns of text with --drop"
        )


def _train(
    args: argparse.Namespace, output: Output, net: MLP, model: TableModel, X: Any, y: Any, weights: Any,
    training: Any, rng: np.random.Generator,
) -> History:  # fmt: skip
    """Train on the training rows, of which --patience holds some out for validation."""
    classify = model.target.task == CLASSIFY
    wanted = y if classify else (y - model.mean) / model.scale
    validation, stop = None, []
    if args.patience is not None:
        share = VALIDATION if args.validation_size is None else args.validation_size
        inner, judging = hold_out.split(len(training), share, rng, y[training] if classify else None)
        if not len(judging):
            raise MistakeError("--patience needs validation rows; give a larger --validation-size, or more data")
        training, judging = training[inner], training[judging]
        validation = (X[judging], wanted[judging], *(() if weights is None else (weights[judging],)))
        stop = [Patience(f"val_{args.monitor or 'loss'}", args.patience)]
    output.release()  # from here on it may take hours
    steps = -(-len(training) // args.batch_size)
    rate = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DivergenceWarning)
        try:
            return fit(
                net, X[training], wanted[training], loss=LOSSES[model.activation],
                optimizer=OPTIMIZERS[args.optimizer](**rate),
                epochs=args.epochs or min(max(-(-STEPS // steps), FEWEST), MOST), batch_size=args.batch_size,
                l2=args.l2, sample_weight=None if weights is None else weights[training],
                class_weight=args.class_weight, validation=validation, stop=stop, seed=args.seed,
                progress=not output.quiet, checkpoint=args.checkpoint, resume=args.resume,
                precision=args.precision, metrics=scores.training_metrics(model, _metrics(args)),
            )  # fmt: skip
        except DivergenceWarning as error:
            raise MistakeError(
                f"training diverged: {str(error).partition(';')[0]}; nothing was written; try a smaller"
                " --learning-rate, or --dtype float64"
            ) from error
        except ValueError as error:
            if args.resume:  # from a checkpoint of another run
                raise MistakeError(str(error).replace("or resume=False", "or leave out --resume")) from error
            raise


def _save(out: str, output: Output, net: MLP, model: TableModel, facts: dict[str, Any], lacking: str = "") -> None:
    """Write the model file, again once the scores are known; the message of any later error says that it is there.

    If it cannot be written the first time, as on a full disk, the model goes into a temporary folder.
    """
    # Labels and columns are in the model itself; the time would make the files of equal runs differ.
    model.about.update({k: v for k, v in to_json(facts).items() if k not in ("labels", "columns", "seconds")})
    metadata = model.to_metadata()
    try:
        net.save(out, metadata=metadata)
    except OSError:
        if output.written is None:
            folder = tempfile.mkdtemp(prefix="bpx-")
            spare = os.path.join(folder, os.path.basename(out))
            try:
                net.save(spare, metadata=metadata)
                output.written = f"the model is written to {spare}{lacking}"
            except OSError:
                os.rmdir(folder)
        raise
    output.written = f"the model is written to {out}{lacking}"


def _facts(model: TableModel, net: MLP, history: History, y: Any, training: Any, held_out: Any) -> dict[str, Any]:
    """The facts of a training, for the model file and ``--json``."""
    facts: dict[str, Any] = {
        "task": model.target.task,
        "target": model.target.name,
        "rows": {"training": len(training), "held out": len(held_out)},
        "columns": model.encoding.names,
        "sizes": list(net.sizes),
        "parameters": net.n_params,
        "backend": net.backend.name,
        "epochs": history.epochs,
        "seconds": history.seconds,
        "stopped": history.stop_reason.value,
        "best epoch": history.best_epoch,
    }
    if model.target.task == CLASSIFY:
        common = int(np.argmax(np.bincount(y[training])))
        rows = held_out if len(held_out) else training
        facts["labels"] = list(model.target.labels)
        counts = {
            part: np.bincount(y[of], minlength=len(model.target.labels))
            for part, of in (("training", training), ("held out", held_out))
        }
        facts["classes"] = {
            label: {part: int(count[i]) for part, count in counts.items()}
            for i, label in enumerate(model.target.labels)
        }
        facts["commonest"] = {"label": model.target.labels[common], "accuracy": float(np.mean(y[rows] == common))}
    return facts


def _in_words(model: TableModel, net: MLP, history: History, facts: dict[str, Any]) -> dict[str, str]:
    """The facts for people."""
    labels = model.target.labels
    of_text = len(model.encoding.as_text)
    of_numbers = counted(len(model.encoding.columns) - of_text, "column")
    counts = {label: sum(of.values()) for label, of in facts.get("classes", {}).items()}
    some = ", ".join(f"{label} ({counts[label]})" for label in labels[:8]) + (", ..." if len(labels) > 8 else "")
    best = "" if history.best_epoch is None else f"; the network of epoch {history.best_epoch}"
    words = {
        "target": f"{model.target.name}, " + (f"{len(labels)} classes: {some}" if labels else "a number"),
        "inputs": f"{model.encoding.width} from {of_numbers} of numbers and {of_text} of categories",
        "network": repr(net).strip("<>"),
        "fitted": f"{counted(history.epochs, 'epoch')} in {history.seconds:.1f} s; {history.stop_reason.value}{best}",
    }
    for part, scored in facts["scores"].items():
        words[part] = f"{scores.in_words(scored)} on {counted(facts['rows'][part], 'row')}"
    if "held out" in words and labels:
        words["held out"] += f" (always {facts['commonest']['label']!r}: {facts['commonest']['accuracy']:.2%})"
    elif "held out" in words:
        words["held out"] += f" (always the mean: {scores.in_words(facts['baseline']['held out'])})"
    return words

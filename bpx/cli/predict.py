"""``bpx predict``: what a model of ``bpx train`` says of a table's rows."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from bpx.cli import backend_option, data, parser, scores, target
from bpx.cli.output import MistakeError, Output, aligned, counted
from bpx.cli.table_model import TableModel
from bpx.errors import FileFormatError
from bpx.files import atomic, model
from bpx.tables import csv_table, parquet_table, writing
from bpx.tables.column_encoders import Unseen
from bpx.tables.table import Table

__all__ = ["add"]

EXAMPLES = """\
  bpx predict income.npz others.csv --out predictions.csv
  bpx predict income.npz others.csv --proba --keep id | head
  cat others.csv | bpx predict income.npz - --json
"""
DESCRIPTION = """\
Predict a table's rows with a model that bpx train wrote. Columns are found by
name: their order does not matter, and others are left alone. Where the table
has the target too, the score is said on stderr.
"""
STDOUT = "-"
PREDICTION = "prediction"


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    sub.add_argument("model", metavar="MODEL", help="a file that bpx train wrote")
    data.add_options(sub)
    sub.add_argument(
        "--out", metavar="FILE", default=STDOUT,
        help="a .csv, .tsv, .npz or .parquet file, or - for CSV on stdout (default: -)",
    )  # fmt: skip
    sub.add_argument("--proba", action="store_true", help="each class's probability too")
    sub.add_argument(
        "--keep",
        metavar="COL",
        nargs="+",
        action="extend",
        default=[],
        help="columns of DATA to write too, such as an id",
    )
    sub.add_argument("--backend", metavar="NAME", help="auto, numpy, cupy, torch, torch:cuda (default: auto)")
    parser.describe(sub, "bpx predict MODEL DATA [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Read, encode, predict, write."""
    _check_out(args)
    recipe = TableModel.of(_header(args.model), args.model)
    if args.proba and recipe.target.task != target.CLASSIFY:
        raise MistakeError(f"--proba goes with classes; {args.model} predicts a number, {recipe.target.name!r}")
    backend = backend_option.backend(args.backend)
    net, _ = model.network_in(args.model, backend)
    goal = recipe.target.name
    table = data.read(args, {*recipe.encoding.as_text, *args.keep, goal}, markers=recipe.markers, usual=recipe.usual)
    kept = [(name, table[name]) for name in args.keep]
    X, unseen = recipe.encoding.encode(table, net.dtype)
    _say_unseen(unseen, table, output)

    answers = recipe.answers(net, X)
    columns: dict[str, Any] = {name: column.texts for name, column in kept}
    classify = recipe.target.task == target.CLASSIFY
    columns |= _named(columns, {PREDICTION: recipe.labelled(answers) if classify else answers})
    if args.proba:
        probabilities = {f"p({label})": answers[:, i] for i, label in enumerate(recipe.target.labels)}
        columns |= _named(columns, probabilities)
    scored = _score(recipe, table, answers, output) if goal in table.columns else None
    _write(args, output, columns, table.n_rows, scored)


def _header(path: str) -> dict[str, Any]:
    """The model file's header; what is said of a file from elsewhere is for the command line."""
    try:
        return model.read_header(path)
    except FileFormatError as error:
        told, others, _ = str(error).partition(" come in by ")
        raise FileFormatError(
            f"{told.rpartition(';')[0]}; give a model that bpx train wrote" if others else told
        ) from (error)


def _check_out(args: argparse.Namespace) -> None:
    """Whether the predictions could be written, before they are made."""
    if args.out == STDOUT:
        return
    try:
        ending = atomic.ending_of(args.out, writing.ENDINGS)
    except ValueError as error:
        raise MistakeError(f"--out: {error}, or - for stdout") from error
    atomic.check(args.out)
    data.keep_inputs("--out", args.out, args.data, args.model)
    if ending == ".parquet":
        parquet_table.library("parquet")


def _named(taken: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """New columns; a name that a kept column has is a mistake."""
    for name in new:
        if name in taken:
            raise MistakeError(f"--keep: a column {name!r} would be written twice; rename it in the table")
    return new


def _say_unseen(unseen: Unseen, table: Table, output: Output) -> None:
    """What training had not."""
    for name, count in unseen.categories.items():
        output.note(
            f"column {name!r}: {_having(count, table)} a category that training had not, such as"
            f" {unseen.examples[name]!r:.60}; none of its inputs is set for them"
        )
    for name, count in unseen.missing.items():
        output.note(f"column {name!r}: {_having(count, table)} no value, which training had in all rows")


def _having(count: int, table: Table) -> str:
    """So many of the table's rows have."""
    return f"{count} of {counted(table.n_rows, 'row')} {'has' if count == 1 else 'have'}"


def _score(recipe: TableModel, table: Table, answers: Any, output: Output) -> dict[str, float] | None:
    """The score on rows that have their target."""
    goal = recipe.target.name
    y = recipe.target.values(table[goal])
    classify = recipe.target.task == target.CLASSIFY
    known = y >= 0 if classify else np.isfinite(y)
    strange = np.flatnonzero(~known & ~table[goal].missing)
    if len(strange):
        column = table[goal]
        example = str((column.numbers if column.texts is None else column.texts)[strange[0]])  # type: ignore[index]
        kind = "a label that training had not" if classify else "no number"
        output.note(
            f"target {goal!r}: {len(strange)} of {counted(table.n_rows, 'row')} with {kind}, such as {example!r:.60};"
            f" {'they do not count for the score' if np.any(known) else 'so there is no score'}"
        )
    if not np.any(known):
        return None
    scored = scores.score(recipe, answers[known], y[known])
    output.note(
        f"the table has the target {goal!r}: {scores.in_words(scored)} on"
        f" {counted(int(np.count_nonzero(known)), 'row')}"
    )
    return scored


def _write(args: argparse.Namespace, output: Output, columns: dict[str, Any], rows: int, scored: Any) -> None:
    """The predictions to a file or to standard output, and what there is to say of them."""
    facts: dict[str, Any] = {"model": args.model, "rows": rows, "notes": output.notes}
    facts |= {} if scored is None else {"scores": scored}
    if args.out != STDOUT:
        writing.write(args.out, columns)
        output.written = f"the predictions are written to {args.out}"
        written = counted(rows, "row") + (
            f" of {', '.join(columns)}" if len(columns) < 8 else f", {len(columns)} columns"
        )
        output.result(aligned({"written": f"{args.out}: {written}"}), facts | {"out": args.out})
    elif output.json:
        output.result("", facts | {"predictions": {name: values.tolist() for name, values in columns.items()}})
    else:
        output.write(csv_table.to_text(columns))

"""``bpx predict``: predictions for a table's rows by a model that ``bpx train`` wrote."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from bpx.cli import backend_option, parser, preparation, scores, table_input
from bpx.cli.output import MistakeError, Output, counted
from bpx.cli.table_model import TableModel
from bpx.cli.target import CLASSIFY
from bpx.errors import FileFormatError
from bpx.files import model
from bpx.tables import csv_table, writing
from bpx.tables.arrow import library, values_of
from bpx.tables.column_encoders import Unseen
from bpx.tables.table import Table

EXAMPLES = """\
  bpx predict income.npz others.csv --out predictions.csv
  bpx predict income.npz others.csv --proba --keep id | head
  cat others.csv | bpx predict income.npz - --json
"""
DESCRIPTION = """\
Predict a table's rows with a model that bpx train wrote. Columns are found by
name: their order does not matter, and other columns are ignored. If the table
has the target, too, the score is written to stderr.
"""
STDOUT = "-"
PREDICTION = "prediction"


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    sub.add_argument("model", metavar="MODEL", help="a file that bpx train wrote")
    table_input.add_options(sub)
    sub.add_argument(
        "--out", metavar="FILE", default=STDOUT,
        help="a .csv, .tsv, .npz or .parquet file, or - for CSV on stdout (default: -)",
    )  # fmt: skip
    sub.add_argument("--proba", action="store_true", help="each class's probability too")
    words = "columns of DATA to write too, such as an id"
    sub.add_argument("--keep", metavar="COL", nargs="+", action="extend", default=[], help=words)
    sub.add_argument("--weight", metavar="COL", help="the rows' weights in the score")
    sub.add_argument("--backend", metavar="NAME", help="auto, numpy, cupy, torch, torch:cuda (default: auto)")
    parser.describe(sub, "bpx predict MODEL DATA [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Read, encode, predict, write."""
    if args.out != STDOUT:
        ending = table_input.check_out(args.out, writing.ENDINGS, args.data, args.model, otherwise=", or - for stdout")
        if ending == ".parquet":
            library("parquet")
    table_model = TableModel.of(header_of(args.model), args.model)
    target, classify = table_model.target, table_model.target.task == CLASSIFY
    if args.proba and not classify:
        raise MistakeError(f"--proba goes with classes; {args.model} predicts a number, {target.name!r}")
    net, _ = model.network_in(args.model, backend_option.backend(args.backend))
    table = table_of(args, table_model, output, args.keep)
    columns: dict[str, Any] = {table[name].name: table[name].cells for name in args.keep}
    X, unseen = table_model.encoding.encode(table, net.dtype)
    note_unseen(unseen, table, output)

    predicted = table_model.predict(net, X)
    new: dict[str, Any] = {PREDICTION: predicted}
    if classify:  # CSV and JSON have no times
        new[PREDICTION] = table_model.labelled(predicted, times=args.out.endswith((".parquet", ".npz")))
    if args.proba:
        new |= {f"p({label})": predicted[:, i] for i, label in enumerate(target.labels)}
    for name in new:
        if name in columns:
            raise MistakeError(f"--keep: a column {name!r} would be written twice; rename it in the table")
    weights = None if args.weight is None else preparation.weights_of(table, args.weight)
    scored = _score(table_model, table, predicted, weights, output) if target.name in table.columns else None
    _write(args, output, columns | new, table.n_rows, scored)


def header_of(path: str) -> dict[str, Any]:
    """The model file's header; the message for a file of another kind names no Python functions."""
    try:
        return model.read_header(path)
    except FileFormatError as error:
        message, other, _ = str(error).partition(" come in by ")
        if other:  # which Python functions read such a file
            message = f"{message.rpartition(';')[0]}; give a model that bpx train wrote"
        raise FileFormatError(message) from error


def table_of(args: argparse.Namespace, table_model: TableModel, output: Output, keep: Sequence[str] = ()) -> Table:
    """The table that the arguments name, read as the training table was; columns in `keep` have `Column.cells`."""
    as_text = {*table_model.encoding.as_text, table_model.target.name}
    return table_input.read(
        args, output, as_text, markers=table_model.markers, usual=table_model.usual, keep=keep,
        remembered=table_model.reading,
    )  # fmt: skip


def note_unseen(unseen: Unseen, table: Table, output: Output) -> None:
    """Note categories and missing values that the training rows did not have."""

    def having(count: int) -> str:
        return f"{count} of {counted(table.n_rows, 'row')} {'has' if count == 1 else 'have'}"

    for name, count in unseen.categories.items():
        output.note(
            f"column {name!r}: {having(count)} a category that training had not, such as"
            f" {unseen.examples[name]!r:.60}; none of its inputs is set for them"
        )
    for name, count in unseen.missing.items():
        output.note(f"column {name!r}: {having(count)} no value, which training had in all rows")


def known_targets(table_model: TableModel, table: Table, output: Output) -> tuple[Any, Any]:
    """The targets (n,) of a table that has them, and a mask of the rows whose target is known; notes strange ones."""
    name = table_model.target.name
    y = table_model.target.values(table[name])
    classify = table_model.target.task == CLASSIFY
    known = y >= 0 if classify else np.isfinite(y)
    strange = np.flatnonzero(~known & ~table[name].missing)
    if len(strange):
        column = table[name]
        example = str((column.numbers if column.texts is None else column.texts)[strange[0]])  # type: ignore[index]
        kind = "a label that training had not" if classify else "no number"
        output.note(
            f"target {name!r}: {len(strange)} of {counted(table.n_rows, 'row')} with {kind}, such as {example!r:.60};"
            f" {'they do not count for the score' if np.any(known) else 'so there is no score'}"
        )
    return y, known


def _score(
    table_model: TableModel, table: Table, predicted: Any, weights: Any, output: Output
) -> dict[str, float] | None:
    """The scores on the rows whose target is known; None if there are none."""
    y, known = known_targets(table_model, table, output)
    if not np.any(known):
        return None
    scored = scores.score(table_model, predicted[known], y[known], weights=None if weights is None else weights[known])
    rows = counted(int(np.count_nonzero(known)), "row")
    output.note(f"the table has the target {table_model.target.name!r}: {scores.in_words(scored)} on {rows}")
    return scored


def _write(args: argparse.Namespace, output: Output, columns: dict[str, Any], rows: int, scored: Any) -> None:
    """Write the predictions to a file or to standard output."""
    facts: dict[str, Any] = {"model": args.model, "rows": rows, "notes": output.notes}
    facts |= {} if scored is None else {"scores": scored}
    if args.out != STDOUT:
        writing.write(args.out, columns)
        output.written = f"the predictions are written to {args.out}"
        names = f" of {', '.join(columns)}" if len(columns) < 8 else f", {len(columns)} columns"
        output.result(f"written  {args.out}: {counted(rows, 'row')}{names}", facts | {"out": args.out})
    elif output.json:
        output.result("", facts | {"predictions": {name: values_of(column) for name, column in columns.items()}})
    else:
        output.write(csv_table.to_text(columns))

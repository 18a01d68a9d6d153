"""From a file to the columns of the inputs, the target and the weights, as `bpx train` and `bpx columns` see them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bpx._formatting import aligned
from bpx.cli import table_input
from bpx.cli.column_choice import LEFT_OUT, Choice, Taken, Wishes, choose_columns, row_numbers
from bpx.cli.output import MistakeError, Output, counted
from bpx.cli.target import Target, choose_target
from bpx.tables.encoding import Encoding
from bpx.tables.table import Table, listed

# Of a wider table only counts are shown.
MOST_SHOWN = 40
HEADER = ("column", "taken as", "inputs", "missing", "example", "remark")


@final
@dataclass
class Prepared:
    """A table that is understood: its rows that have a target, and what its columns are."""

    table: Table
    target: Target | None
    choice: Choice
    weights: np.ndarray[Any, Any] | None


def prepare(args: argparse.Namespace, output: Output) -> Prepared:
    """Read the table and decide what its columns are."""
    name, away = args.target, [one for one in (args.target, args.weight) if one is not None]
    left_out = [*args.drop, *args.id]
    for option, names in (("--drop", args.drop), ("--id", args.id), ("--weight", [args.weight])):
        if name is not None and name in names:
            raise MistakeError(f"{option}: {name!r} is the target")
    table = table_input.read(args, output, {*([name] if name else []), *args.categorical}, left_out)
    if name is not None and name not in table.columns:
        hint = table.nearest(name)
        if all(one.replace(".", "").replace("-", "").isdigit() for one in table.names):
            hint = "its first line seems to be data, and not the columns' names, which it should hold"
        raise MistakeError(f"{table.source}: no column {name!r} for --target; {hint}")
    for one in (*args.categorical, *args.input):
        table[one]  # an error names the columns that there are
    numbering, target = row_numbers(table), None
    if name is not None:
        missing = np.asarray(table[name].missing)
        if np.all(missing):
            raise MistakeError(f"{table.source}: target {name!r} has no value in any row; choose another --target")
        if np.any(missing):
            output.note(_left_out(int(np.count_nonzero(missing)), table, name))
            table = table.rows(~missing)
        target = choose_target(table, name, args.task, output.note)
    weights = None if args.weight is None else weights_of(table, args.weight)
    choice = choose_columns(table, away, Wishes(args.categorical, args.input, args.dates), output.note, numbering)
    choice.taken |= {one: Taken(one, LEFT_OUT, remark="--drop" if one in args.drop else "--id") for one in left_out}
    if args.weight is not None:
        choice.taken[args.weight] = Taken(args.weight, "weight", remark="--weight")
    filled = [f"{one!r} {count}" for one in choice.table.names if (count := choice.taken[one].missing)]
    if filled:
        more = f" and {counted(len(filled) - 12, 'more column')}" if len(filled) > 12 else ""
        some = ", ".join(filled[:12])
        output.note(f"missing values, filled by the median or a category of their own: {some}{more}")
    return Prepared(table, target, choice, weights)


def describe(prepared: Prepared, encoding: Encoding) -> list[Taken]:
    """What each column was taken for, the target first, then in the table's order."""
    taken, target = prepared.choice.taken, prepared.target
    for column in encoding.columns:
        taken[column.name].inputs = len(column.inputs)
    first = []
    if target is not None:
        remark = target.form.in_words() if target.form else f"{len(target.labels)} classes" if target.labels else ""
        first = [Taken(target.name, "target, classes" if target.labels else "target, a number", remark=remark)]
    return [*first, *taken.values()]


def in_words(taken: Sequence[Taken]) -> str:
    """`describe`'s result as a table for people; of a wide table the number of columns of each kind."""
    if len(taken) > MOST_SHOWN:
        kinds = dict.fromkeys(one.taken_as for one in taken)
        of_kind = [[one for one in taken if one.taken_as == kind] for kind in kinds]
        rows = [
            (kind, str(len(some)), str(sum(one.inputs for one in some)), str(sum(one.missing for one in some)))
            for kind, some in zip(kinds, of_kind, strict=True)
        ]
        return aligned([("taken as", "columns", "inputs", "missing"), *rows], "<>", rule=True)
    rows_of_all = [
        (
            " ".join(f"{one.name:.40}".split()),
            one.taken_as,
            str(one.inputs or ""),
            str(one.missing or ""),
            one.example,
            one.remark,
        )
        for one in taken
    ]
    return aligned([HEADER, *rows_of_all], "<<>><<", rule=True)


def weights_of(table: Table, name: str) -> np.ndarray[Any, Any]:
    """The rows' weights, shape (n,), float64; MistakeError for missing and negative ones."""
    column = table[name]
    if column.numbers is None:
        assert column.texts is not None
        odd = next(text for text in column.texts.tolist() if text is not None)
        raise MistakeError(f"{table.source}: --weight: column {name!r} holds text such as {odd!r:.60}, not numbers")
    wrong = ~(column.numbers >= 0.0) | np.isinf(column.numbers)
    if np.any(wrong):
        row = int(np.argmax(wrong))
        got = "none" if column.missing[row] else f"{column.numbers[row]:g}"
        raise MistakeError(
            f"{table.where(row)}: --weight: expected a weight >= 0 in each row, got {got}; mend it, or leave the row"
            " out"
        )
    if not np.any(column.numbers > 0.0):
        raise MistakeError(f"{table.source}: --weight: column {name!r} is 0 in all rows; give another")
    return column.numbers


def _left_out(count: int, table: Table, name: str) -> str:
    """The note that says how many rows have no target, and how that was spelled."""
    spelled = sorted(spelling for spelling in table[name].spellings if spelling)
    words = f" (spelled {listed(spelled)}; where that is a class, give --na-only)" if spelled else ""
    have, are = ("has", "is") if count == 1 else ("have", "are")
    return f"{count} of {counted(table.n_rows, 'row')} {have} no target {name!r}{words} and {are} left out"

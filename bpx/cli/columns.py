"""``bpx columns``: what ``bpx train`` takes a table's columns for, without training."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from bpx.cli import parser, preparation, table_input, train_options
from bpx.cli.output import Output, counted
from bpx.tables import encoding

EXAMPLES = """\
  bpx columns people.csv
  bpx columns people.csv --target income --json
  bpx columns visits.parquet --dates categories --id patient
"""
DESCRIPTION = """\
Read a table and print what bpx train takes each column for: a number, dates,
categories, or nothing that says something about the rows; how many inputs it
becomes, how many values are missing, and an example. Nothing is trained.
"""


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    table_input.add_options(sub)
    sub.add_argument("--target", metavar="COL", help="the column to predict; without it, all columns are inputs")
    train_options.add_columns(sub)
    parser.describe(sub, "bpx columns DATA [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Read, choose, report."""
    prepared = preparation.prepare(args, output)
    choice = prepared.choice
    encoded = encoding.learn(
        choice.table, choice.categories, max_categories=args.max_categories, forms=choice.forms,
        bins=encoding.BINS if args.numbers == "piecewise" else None,
    )  # fmt: skip
    taken = preparation.describe(prepared, encoded)
    text = (
        f"{preparation.in_words(taken)}\n\n{counted(prepared.table.n_rows, 'row')}, {counted(encoded.width, 'input')}"
    )
    facts = {
        "rows": prepared.table.n_rows, "inputs": encoded.width,
        "columns": [asdict(one) for one in taken], "notes": output.notes,
    }  # fmt: skip
    output.result(text, facts)

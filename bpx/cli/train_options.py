"""The options of ``bpx train``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from bpx.activations import ACTIVATIONS
from bpx.cli import column_choice, parser, table_input, target
from bpx.formulas.metrics import METRICS
from bpx.formulas.precision import PRECISIONS
from bpx.optimizers import OPTIMIZERS
from bpx.tables import encoding

EXAMPLES = """\
  bpx train people.csv --target income --out income.npz
  bpx train houses.parquet --target price --hidden 100,50 --patience 20 \\
      --out houses.safetensors
  bpx train titanic.csv --target Survived --drop Name Ticket \\
      --categorical Pclass --class-weight balanced --out titanic.npz
  bpx train big.csv --target y --backend cupy --checkpoint run.ckpt --resume \\
      --out big.npz
"""
DESCRIPTION = """\
Train a network on a table with a header. In columns of numbers the median
replaces missing values, and numbers get mean 0 and standard deviation 1. A
column of text gets one input per category, a date its parts as numbers. Row
numbers and ids are left out. What each column is taken for is printed first;
all of it is learned from the training rows and stored in the model file. Some
rows are held out for the score at the end. Ctrl-C ends training early and
keeps the network so far.
"""


def add_options(sub: argparse.ArgumentParser, run: Callable[..., Any]) -> None:
    """Add all options of the subcommand, and its function `run`."""
    table_input.add_options(sub)
    sub.add_argument("--target", required=True, metavar="COL", help="the column to predict")
    sub.add_argument("--out", required=True, metavar="MODEL", help="the model file, .npz or .safetensors")
    table = add_columns(sub)
    table.add_argument("--no-standardise", action="store_true", help="leave input numbers as they are")
    table.add_argument(
        "--test-size", metavar="SHARE", type=parser.share, default=0.2, help="rows held out (default: 0.2)"
    )
    net = sub.add_argument_group("the network")
    net.add_argument(
        "--hidden", metavar="SIZES", type=parser.sizes, default=[100],
        help="neurons per hidden layer, such as 100,50, or none (default: 100)",
    )  # fmt: skip
    hidden = sorted(name for name, one in ACTIVATIONS.items() if not one.output_only and name != "step")
    net.add_argument(
        "--hidden-activation", metavar="NAME", choices=hidden, default="relu",
        help=f"{', '.join(hidden)} (default: relu)",
    )  # fmt: skip
    net.add_argument("--dropout", metavar="RATE", type=parser.share, default=0.0, help="of hidden layers (default: 0)")
    net.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    net.add_argument("--backend", metavar="NAME", help="auto, numpy, cupy, cupy:1, torch, torch:cuda (default: auto)")
    how = sub.add_argument_group("training")
    how.add_argument(
        "--epochs", metavar="N", type=parser.count, help="default: 20 000 steps, but from 10 to 200 epochs"
    )
    how.add_argument("--batch-size", metavar="N", type=parser.count, default=64, help="default: 64")
    how.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="adam", help="default: adam")
    how.add_argument("--learning-rate", metavar="R", type=parser.rate, help="default: the optimizer's (adam: 0.001)")
    how.add_argument("--l2", metavar="L2", type=parser.penalty, default=1e-4, help="penalty (default: 0.0001)")
    how.add_argument(
        "--precision", choices=PRECISIONS, help="of the steps on a GPU, for float32 (default: float32 itself)"
    )
    how.add_argument("--class-weight", choices=("balanced",), help="rare classes count as much as common ones")
    how.add_argument(
        "--patience", metavar="N", type=parser.count,
        help="stop after N epochs without a better loss (or --monitor) on validation rows, and keep the best network",
    )  # fmt: skip
    how.add_argument(
        "--validation-size", metavar="SHARE", type=parser.share,
        help="of the training rows, for --patience (default: 0.1)",
    )  # fmt: skip
    how.add_argument(
        "--metrics", metavar="NAMES", type=parser.metrics, default=[],
        help="measured after each epoch and at the end, such as accuracy,auc: " + ", ".join(METRICS),
    )  # fmt: skip
    how.add_argument(
        "--monitor", metavar="NAME", choices=["loss", *METRICS],
        help="what --patience watches on validation rows: a metric's name, or loss (default)",
    )  # fmt: skip
    how.add_argument("--seed", metavar="N", type=parser.whole, default=0, help="of everything random (default: 0)")
    how.add_argument("--checkpoint", metavar="FILE", help="written after each epoch")
    how.add_argument("--resume", action="store_true", help="continue from the checkpoint, if there is one")
    parser.describe(sub, "bpx train DATA --target COL --out MODEL [options]", DESCRIPTION, EXAMPLES, run)


def add_columns(sub: argparse.ArgumentParser) -> Any:
    """Add the options that say what the columns are, which ``bpx columns`` has too; the group that they are in."""
    table = sub.add_argument_group("the table's columns")
    table.add_argument("--task", choices=(target.CLASSIFY, target.REGRESS), help="default: chosen from the target")

    def several(name: str, words: str) -> None:
        table.add_argument(name, metavar="COL", nargs="+", action="extend", default=[], help=words)

    several("--drop", "columns to leave out")
    several("--id", "columns that name the rows: left out, too")
    several("--input", "columns that are inputs even if they look like ids or row numbers")
    several("--categorical", "columns of numbers, dates or ids that are categories")
    table.add_argument("--weight", metavar="COL", help="the rows' weights, >= 0; no input")
    table.add_argument(
        "--dates", metavar="HOW", default=column_choice.NUMBERS,
        choices=(column_choice.NUMBERS, column_choice.CATEGORIES, column_choice.DROP),
        help="numbers (year, month, day of the week and of the year, days since 1970, hour), categories or drop"
        " (default: numbers)",
    )  # fmt: skip
    table.add_argument(
        "--numbers", choices=("standard", "piecewise"), default="standard",
        help=f"standard: an input for each number; piecewise: beside it up to {encoding.BINS} piecewise-linear ones"
        " between its quantiles, one for missing values, and one input for two categories (default: standard)",
    )  # fmt: skip
    table.add_argument(
        "--max-categories", metavar="N", type=parser.count, default=100,
        help="the commonest N of a column get an input each (default: 100)",
    )  # fmt: skip
    return table

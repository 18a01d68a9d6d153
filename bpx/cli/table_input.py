"""The table that ``bpx train`` and ``bpx predict`` read, and the options that say how."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Collection, Mapping

from bpx.cli.output import MistakeError, Output
from bpx.files import atomic
from bpx.tables import reading
from bpx.tables.parsing import Style
from bpx.tables.table import Table

STDIN = "-"
# Options that a model remembers.
READING = ("decimal", "thousands", "comment")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add DATA, and how it is read."""
    words = "a .csv or .tsv (also with .gz), .parquet, .arrow, .feather or .npz file, a folder of .parquet files, or -"
    words += " for CSV from stdin"
    parser.add_argument("data", metavar="DATA", help=words)
    group = parser.add_argument_group("reading the table")
    words = "what separates fields, an ASCII character or tab (default: the most frequent of , ; | and tab)"
    group.add_argument("--sep", metavar="C", type=_separator, help=words)
    group.add_argument("--encoding", metavar="NAME", type=_encoding, help="of a text file (default: utf-8)")
    words = "what stands before a number's fraction in a text file: . or , (default: .)"
    group.add_argument("--decimal", metavar="C", choices=(".", ","), help=words)
    words = "what separates a number's thousands in a text file: , . ' _ or space (default: nothing)"
    group.add_argument("--thousands", metavar="C", type=_thousands, help=words)
    words = "leave out the lines of a text file that begin with this, such as '#'"
    group.add_argument("--comment", metavar="TEXT", help=words)
    words = "more spellings of a missing value, besides pandas' (nothing, NA, NaN, null, ...)"
    group.add_argument("--na", metavar="TEXT", nargs="+", action="extend", default=[], help=words)
    words = "only these and empty cells are missing values; NA and the like are texts"
    group.add_argument("--na-only", metavar="TEXT", nargs="*", help=words)


def read(
    args: argparse.Namespace, output: Output, as_text: Collection[str], drop: Collection[str] = (),
    markers: Collection[str] = (), usual: bool = True, *, keep: Collection[str] = (),
    remembered: Mapping[str, str] | None = None,
) -> Table:  # fmt: skip
    """The table that the arguments name, with at least one row; what reading has to say becomes notes.

    `as_text`, `drop` and `usual` are as for `bpx.tables.reading.read`; `markers` are a model's spellings of a missing
    value, added to the user's. `remembered` is what `reading_options` gave in training, where the user says nothing
    else. Columns in `keep` have `Column.cells`.
    """
    options = {**(remembered or {}), **reading_options(args)}
    style = Style(options.get("decimal", "."), options.get("thousands", ""))
    if style.decimal == style.thousands:
        raise MistakeError(
            f"--thousands: expected another character than the decimal mark, got {style.decimal!r} for both"
        )
    if args.comment is not None and not args.comment.strip():
        raise MistakeError("--comment: expected what comments begin with, such as '#', got nothing")
    more, spelled = spellings(args)
    if args.data == STDIN and sys.stdin is None:
        raise MistakeError("stdin is closed; give a file in place of -")
    content = sys.stdin.buffer.read() if args.data == STDIN else None
    table = reading.read(
        "stdin" if content is not None else args.data,
        missing={*markers, *more}, usual=usual and spelled, as_text=as_text, drop=drop, separator=args.sep,
        encoding=args.encoding, content=content, keep=keep, style=style, comment=options.get("comment"),
    )  # fmt: skip
    if table.n_rows == 0:
        raise MistakeError(f"{table.source}: expected rows of data below the column names, got none")
    for note in table.notes:
        output.note(note)
    return table


def reading_options(args: argparse.Namespace) -> dict[str, str]:
    """What the user says of how text is written, by the option's name, for a model to remember."""
    given = {name: getattr(args, name) for name in READING}
    return {name: value for name, value in given.items() if value is not None}


def spellings(args: argparse.Namespace) -> tuple[tuple[str, ...], bool]:
    """The user's spellings of a missing value, and whether the usual ones count too."""
    return (*args.na, *(args.na_only or ())), args.na_only is None


def keep_inputs(option: str, out: str, *inputs: str | None) -> None:
    """Refuse to overwrite a file that is read."""
    for path in inputs:
        if path is not None and os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out):
            raise MistakeError(f"{option}: {out} is a file that is read here; give another name")


def check_out(out: str, endings: Collection[str], *inputs: str | None, otherwise: str = "") -> str:
    """The ending of ``--out``; refuses another ending, a path that cannot be written, and files that are read."""
    try:
        ending = atomic.ending_of(out, endings)
    except ValueError as error:
        raise MistakeError(f"--out: {error}{otherwise}") from error
    atomic.check(out)
    keep_inputs("--out", out, *inputs)
    return ending


def _separator(text: str) -> str:
    """One character; a tab may be given by its name."""
    named = {"tab": "\t", "\\t": "\t", "space": " "}.get(text, text)
    if len(named) != 1 or named in '"\r\n':
        raise argparse.ArgumentTypeError(f"expected one character, or tab, got {text!r}")
    return named


def _thousands(text: str) -> str:
    """A separator of thousands; a space may be given by its name."""
    named = " " if text == "space" else text
    if named not in (",", ".", "'", "_", " "):
        raise argparse.ArgumentTypeError(f"expected one of , . ' _ and space, got {text!r}")
    return named


def _encoding(name: str) -> str:
    """An encoding that Python knows."""
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise argparse.ArgumentTypeError(f"expected an encoding such as utf-8 or latin-1, got {name!r}") from error
    return name

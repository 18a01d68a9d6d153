"""The command in this process, and tables for it."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import bpx
from bpx.cli import main
from bpx.files.model import network_in

TABLES = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "tables.py"))


def write_csv(path: Path, columns: dict[str, Any]) -> Path:
    """Columns as a CSV file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    return path


def passengers(folder: Path, **more: Any) -> Path:
    """The example's passengers, with other columns in place of, or besides, its own."""
    return write_csv(folder / "passengers.csv", TABLES["passengers"]() | more)


def houses(folder: Path, **more: Any) -> Path:
    """The example's houses."""
    return write_csv(folder / "houses.csv", TABLES["houses"]() | more)


def run(*argv: Any) -> int:
    """The exit code."""
    return main([str(word) for word in argv])


def network_of(path: Path) -> bpx.MLP:
    """The network of a table's model, as `bpx.load` gives it with a warning."""
    return network_in(path, "numpy")[0]


def as_json(capsys: Any, *argv: Any) -> Any:
    """What the command prints with --json, where it succeeds."""
    capsys.readouterr()
    code = run(*argv, "--json")
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


def refused(capsys: Any, *argv: Any) -> str:
    """The one line on standard error of a command that ends with code 2 and prints nothing."""
    capsys.readouterr()
    code = run(*argv, *(["--quiet"] if argv else []))
    printed = capsys.readouterr()
    assert code == 2, printed.err
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(("bpx: error: ", *(f"bpx {word}: error: " for word in argv[:1])))
    return printed.err

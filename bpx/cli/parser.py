"""The options that the subcommands share, their types, and what ``--help`` says of all of them."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any, NoReturn, TypeVar, final

from bpx._version import __version__
from bpx.errors import say
from bpx.formulas.metrics import METRICS

__all__ = [
    "FAILED", "INTERNAL", "INTERRUPTED", "LEFT", "MISTAKE", "OK", "build", "count", "describe", "numbers", "penalty",
    "rate", "share", "sizes", "whole",
]  # fmt: skip

T = TypeVar("T")

OK, FAILED, MISTAKE, INTERNAL, INTERRUPTED, LEFT = 0, 1, 2, 3, 130, 141
COMMANDS = {
    "info": "backends, devices, versions of this machine",
    "train": "train a network on a table",
    "predict": "predict a table's rows",
    "check": "gradients and parity on this machine",
    "trace": "one step of back-propagation, every number",
    "bench": "training steps per second on this machine",
}
CODES = """\
exit codes:
  0    done
  1    a check failed (bpx check)
  2    a mistake in the arguments or the data; one line on stderr says what
  3    an unexpected error in bpx itself; --traceback shows where
  130  interrupted from the keyboard
  141  who read stdout went away, as with | head

Results go to stdout, everything else to stderr."""
EXAMPLES = """\
examples:
  bpx info                       what works on this machine
  bpx check                      is it right? first on a new GPU machine
  bpx train people.csv --target income --out income.npz
  bpx predict income.npz others.csv --out predictions.csv
  bpx trace                      one step of back-propagation, worked out

"""


@final
class Parser(argparse.ArgumentParser):
    """Says a mistake in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)
        self._words: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None, **more: Any) -> Any:
        """As argparse's, but that ``--inputs -1,2`` is ``--inputs=-1,2`` before Python 3.14, too."""
        self._words = self._with_numbers(sys.argv[1:] if args is None else list(args))
        return super().parse_known_args(self._words, namespace, **more)

    def _with_numbers(self, words: list[str]) -> list[str]:
        """The words; one that begins as a negative number is the value of the option before it."""
        found: list[str] = []
        for word in words:
            action = self._option_string_actions.get(found[-1]) if found and "--" not in found else None
            if action is not None and action.nargs is None and re.match(r"-\.?\d", word):
                found[-1] += f"={word}"
            else:
                found.append(word)
        return found

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse's, which says nothing where --help or --version could not be written."""
        if message and file is not None:
            file.write(message)
            file.flush()

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        option = message.removeprefix("argument ").partition(": expected one argument")[0]
        for word, value in pairwise(self._words):
            if word == option and value.startswith("-"):  # which argparse takes for another option
                message += f"; where {value} is what you mean, write {word}={value}"
        say(f"{self.prog}: error: {message}; {self.prog} --help shows what there is", sys.stderr)
        self.exit(MISTAKE)


def build(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The command line; of the subcommands only the one that `argv` names is imported, so that each starts fast."""
    parser = Parser(
        prog="bpx",
        description="Multilayer perceptrons by back-propagation: train on a table, predict,\ncheck, measure.",
        epilog=EXAMPLES + CODES,
    )
    parser.add_argument("--version", action="version", version=f"bpx {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    named = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary)
        if name == named:
            import_module(f"bpx.cli.{name}").add(sub)
    return parser


def describe(parser: argparse.ArgumentParser, usage: str, description: str, examples: str, run: Any) -> None:
    """A subcommand's help, and the options that all have."""
    parser.usage, parser.description = usage, description
    parser.epilog = f"examples:\n{examples}\n{CODES}"
    parser.set_defaults(run=run)
    general = parser.add_argument_group("output")
    general.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    general.add_argument("--quiet", action="store_true", help="no notes and no progress on stderr")
    general.add_argument("--traceback", action="store_true", help="show where an error came from")


def count(text: str) -> int:
    """A positive integer."""
    return _checked(text, int, lambda value: value >= 1, "a positive integer")


def whole(text: str) -> int:
    """An integer that is not negative."""
    return _checked(text, int, lambda value: value >= 0, "an integer >= 0")


def rate(text: str) -> float:
    """A positive finite number."""
    return _checked(text, float, lambda value: 0.0 < value < math.inf, "a number > 0")


def penalty(text: str) -> float:
    """A finite number that is not negative."""
    return _checked(text, float, lambda value: 0.0 <= value < math.inf, "a number >= 0")


def share(text: str) -> float:
    """A share in [0, 1)."""
    return _checked(text, float, lambda value: 0.0 <= value < 1.0, "a share from 0 to below 1, such as 0.2")


def numbers(text: str) -> list[float]:
    """Numbers with commas between them."""
    return _checked(
        text, lambda t: [float(part) for part in t.split(",")], lambda v: all(map(math.isfinite, v)),
        "numbers with commas between them, such as 0.1,0.2",
    )  # fmt: skip


def sizes(text: str) -> list[int]:
    """Positive integers with commas between them; ``none`` is none of them."""
    return _checked(
        text, lambda t: [] if t == "none" else [int(part) for part in t.split(",")], lambda v: all(n > 0 for n in v),
        "sizes with commas between them, such as 100,50",
    )  # fmt: skip


def metrics(text: str) -> list[str]:
    """Names of metrics with commas between them."""
    return _checked(
        text, lambda t: list(dict.fromkeys(part.strip() for part in t.split(","))), lambda v: METRICS.keys() >= set(v),
        f"names with commas between them, of {', '.join(METRICS)}",
    )  # fmt: skip


def _checked(text: str, convert: Callable[[str], T], allowed: Callable[[T], bool], wanted: str) -> T:
    """The converted text; argparse's own error where it is not what was wanted."""
    try:
        value = convert(text)
        right = allowed(value)
    except ValueError:
        right = False
    if not right:
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    return value

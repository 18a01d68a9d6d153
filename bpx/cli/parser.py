"""The argument parser: subcommands, the options and types of options that they share, and their help."""

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
from bpx.cli.output import write
from bpx.errors import say
from bpx.formulas.metrics import METRICS

T = TypeVar("T")

OK, FAILED, MISTAKE, INTERNAL, INTERRUPTED, LEFT = 0, 1, 2, 3, 130, 141
COMMANDS = {
    "info": "backends, devices, versions of this machine",
    "train": "train a network on a table",
    "predict": "predict a table's rows",
    "columns": "what a table's columns are taken for",
    "explain": "how much each column tells a model",
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
    """An ArgumentParser that reports a mistake in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)
        # ``--inputs -1,2`` means ``--inputs=-1,2``; Python has this pattern since 3.14.
        self._negative_number_matcher = re.compile(r"-\.?\d")
        self._words: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None, **more: Any) -> Any:
        """As argparse's; keeps the words for `error`."""
        self._words = list(args)
        return super().parse_known_args(args, namespace, **more)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write what --help or --version prints; argparse itself would ignore an error in writing."""
        del file
        try:
            write(message)
        except BrokenPipeError:
            self.exit(LEFT)
        except OSError as error:
            say(f"bpx: error: {error.filename}: {error.strerror}", sys.stderr)
            self.exit(MISTAKE)

    def error(self, message: str) -> NoReturn:
        """Report a mistake and exit with code 2."""
        option = message.removeprefix("argument ").partition(": expected one argument")[0]
        for word, value in pairwise(self._words):
            if word == option and value.startswith("-"):  # argparse takes the value for another option
                message += f"; where {value} is what you mean, write {word}={value}"
        say(f"{self.prog}: error: {message}; {self.prog} --help lists all options", sys.stderr)
        self.exit(MISTAKE)


def build(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the whole command line; only the subcommand that `argv` names is imported, for a fast start."""
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
    """Give a subcommand its help, its function and the options that all subcommands have."""
    parser.usage, parser.description = usage, description
    parser.epilog = f"examples:\n{examples}\n{CODES}"
    parser.set_defaults(run=run)
    general = parser.add_argument_group("output")
    general.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    general.add_argument("--quiet", action="store_true", help="no notes and no progress on stderr")
    general.add_argument("--traceback", action="store_true", help="show where an error came from")


def _type(convert: Callable[[str], T], allowed: Callable[[T], bool], expected: str) -> Callable[[str], T]:
    """An option's type: converts the text, and reports what was expected if that fails or is not allowed."""

    def checked(text: str) -> T:
        try:
            value = convert(text)
            right = allowed(value)
        except ValueError:
            right = False
        if not right:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return checked


count = _type(int, lambda n: n >= 1, "a positive integer")
whole = _type(int, lambda n: n >= 0, "an integer >= 0")
rate = _type(float, lambda value: 0.0 < value < math.inf, "a number > 0")
penalty = _type(float, lambda value: 0.0 <= value < math.inf, "a number >= 0")
share = _type(float, lambda value: 0.0 <= value < 1.0, "a share from 0 to below 1, such as 0.2")
numbers = _type(
    lambda text: [float(part) for part in text.split(",")],
    lambda values: all(map(math.isfinite, values)),
    "numbers with commas between them, such as 0.1,0.2",
)
sizes = _type(
    lambda text: [] if text == "none" else [int(part) for part in text.split(",")],
    lambda values: all(n > 0 for n in values),
    "sizes with commas between them, such as 100,50",
)
metrics = _type(
    lambda text: list(dict.fromkeys(part.strip() for part in text.split(","))),
    lambda names: METRICS.keys() >= set(names),
    f"names with commas between them, of {', '.join(METRICS)}",
)

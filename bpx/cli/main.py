"""From the command line to an exit code: errors become one line, never a traceback for a user's mistake."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from bpx.cli.output import MistakeError, Output
from bpx.cli.parser import FAILED, INTERNAL, INTERRUPTED, LEFT, MISTAKE, OK, build
from bpx.errors import BackendFallbackWarning, BackendUnavailableError, FileFormatError, NonFiniteError, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; None: the process's.

    Returns
    -------
    int
        The exit code: 0 done, 1 a check failed, 2 a mistake in arguments or data, 3 an error of bpx's own,
        130 interrupted from the keyboard, 141 the reader of standard output went away.
    """
    _hold_standard_files()
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = build(argv).parse_args(argv)
    except SystemExit as ending:  # --help, --version or a mistake, which the parser has written about
        return ending.code if isinstance(ending.code, int) else OK
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("always", BackendFallbackWarning)
        output = Output(args)
        warnings.showwarning = lambda message, *_, **__: output.warn(str(message))
        return _run(args, output)


def _run(args: argparse.Namespace, output: Output) -> int:
    """Run the subcommand."""
    try:
        passed = args.run(args, output)
        output.release()
        return OK if passed is None or passed is True else FAILED if passed is False else int(passed)
    except BrokenPipeError:  # as with `| head`, whose reader has enough
        return LEFT
    except (Exception, KeyboardInterrupt) as error:
        message, code = _explained(error, args.traceback)
        written = output.written or ("nothing was written" if code == INTERRUPTED else "")
        if args.traceback:
            say(traceback.format_exc().rstrip(), sys.stderr)
        say(f"bpx {args.command}: error: {' '.join(message.split())}{'; ' if written else ''}{written}", sys.stderr)
        return code


def _hold_standard_files() -> None:
    """Open the null device as stdin, stdout or stderr where the parent closed it, so that no file gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the smallest free number, which is this one


# What may be wrong with a file that is there.
_WHAT_ELSE = ", its permissions and the space on its disk"


def _explained(error: BaseException, with_traceback: bool) -> tuple[str, int]:
    """The message for an error, and its exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, (MistakeError, FileFormatError, BackendUnavailableError, NonFiniteError)):
        return str(error), MISTAKE
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        if error.filename is None:
            return reason, MISTAKE
        advice = "; check the path" + ("" if isinstance(error, FileNotFoundError) else _WHAT_ELSE)
        advice = "" if "expected" in reason else advice
        return f"{os.fspath(error.filename)}: {reason}{advice}", MISTAKE
    if isinstance(error, ImportError) and "pip install" in str(error):
        return str(error), MISTAKE
    if isinstance(error, MemoryError):
        if str(error).startswith("out of memory"):  # bpx has said what to do
            return str(error), MISTAKE
        return f"not enough memory ({error}); use fewer rows or columns, or --dtype float32", MISTAKE
    hint = "" if with_traceback else "; run again with --traceback and report what it shows"
    return f"unexpected {type(error).__name__}: {error}; this is an error in bpx{hint}", INTERNAL

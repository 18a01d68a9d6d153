"""From the command line to an exit code: errors become one line, never a traceback for a user's mistake."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from bpx.cli.output import STDOUT, MistakeError, Output
from bpx.cli.parser import FAILED, INTERNAL, INTERRUPTED, LEFT, MISTAKE, OK, build
from bpx.errors import BackendFallbackWarning, BackendUnavailableError, FileFormatError, NonFiniteError, say

__all__ = ["main"]


# What to do where the system says no more than that it cannot.
_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "check its permissions, or give another path",
    errno.EPERM: "check its permissions, or give another path",
    errno.EROFS: "give a path on another disk",
    errno.ENOSPC: "free some space, or give a path on another disk",
    errno.EDQUOT: "free some of your quota, or give a path on another disk",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or give a path on another disk",
    errno.EIO: "the disk or its connection fails; try another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EBADF: "it is not open for writing; send it elsewhere",
}


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
    except OSError as error:  # of --help or --version
        _drop_stdout()
        if isinstance(error, BrokenPipeError):
            return LEFT
        say(f"bpx: error: {STDOUT}: {error.strerror}", sys.stderr)
        return MISTAKE
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
    except KeyboardInterrupt:
        return _failed(args, "interrupted", output.written or "nothing was written", INTERRUPTED)
    except OSError as error:
        if error.filename == STDOUT:
            _drop_stdout()
            if isinstance(error, BrokenPipeError):  # as with `| head`, whose reader has enough
                return LEFT
        return _failed(args, _of_the_system(error), output.written, MISTAKE)
    except Exception as error:
        message, code = _of_an_error(error, args)
        return _failed(args, message, output.written, code)


def _failed(args: argparse.Namespace, message: str, written: str | None, code: int) -> int:
    """The message, and what is written all the same, in one line on standard error; the code."""
    if args.traceback:
        say(traceback.format_exc().rstrip(), sys.stderr)
    line = "; ".join([" ".join(message.split()), *([written] if written else [])])
    say(f"bpx {args.command}: error: {line}", sys.stderr)
    return code


def _hold_standard_files() -> None:
    """Where who started bpx has closed stdin, stdout or stderr, keep a file of the user's from getting that number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest number that is free, which is this one


def _drop_stdout() -> None:
    """Forget what could not be written, so that the flush at exit is quiet."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end


def _of_an_error(error: Exception, args: argparse.Namespace) -> tuple[str, int]:
    """What is said of an error, and its exit code."""
    if isinstance(error, (MistakeError, FileFormatError, BackendUnavailableError, NonFiniteError)):
        return str(error), MISTAKE
    if isinstance(error, ImportError) and "pip install" in str(error):
        return str(error), MISTAKE
    if isinstance(error, MemoryError):
        if str(error).startswith("out of memory"):  # bpx has said what to do
            return str(error), MISTAKE
        return f"not enough memory ({error}); use fewer rows or columns, or --dtype float32", MISTAKE
    hint = "" if args.traceback else "; run again with --traceback and report what it shows"
    return f"unexpected {type(error).__name__}: {error}; this is an error in bpx{hint}", INTERNAL


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and of which file."""
    reason, remedy = error.strerror or str(error), _REMEDIES.get(error.errno or 0)
    told = f"{reason}; {remedy}" if remedy and "expected" not in reason else reason
    return told if error.filename is None else f"{os.fspath(error.filename)}: {told}"

"""From the command line to an exit code: errors become one line, never a traceback for a user's mistake."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from bpx.errors import BackendFallbackWarning, BackendUnavailableError, FileFormatError, NonFiniteError
from bpx.faces.cli.output import MistakeError, Output, say
from bpx.faces.cli.parser import FAILED, INTERNAL, INTERRUPTED, MISTAKE, OK, build

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
        130 interrupted from the keyboard.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = build(argv).parse_args(argv)
    except SystemExit as ending:  # --help, --version or a mistake, which argparse has written about
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
    except BrokenPipeError:  # as with `| head`: who reads has enough
        _drop_stdout()
        return OK
    except KeyboardInterrupt:
        return _say(args, "interrupted; nothing was written", INTERRUPTED)
    except (MistakeError, FileFormatError, BackendUnavailableError, NonFiniteError) as error:
        return _say(args, str(error), MISTAKE)
    except ImportError as error:
        if "pip install" not in str(error):
            return _internal(args, error)
        return _say(args, str(error), MISTAKE)
    except OSError as error:
        if error.filename == "standard output":
            _drop_stdout()
        return _say(args, _of_the_system(error), MISTAKE)
    except MemoryError as error:
        if str(error).startswith("out of memory"):  # bpx has said what to do
            return _say(args, str(error), MISTAKE)
        return _say(args, f"not enough memory ({error}); use fewer rows or columns, or --dtype float32", MISTAKE)
    except Exception as error:
        return _internal(args, error)


def _drop_stdout() -> None:
    """Forget what could not be written, so that the flush at exit is quiet."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end


def _say(args: argparse.Namespace, message: str, code: int) -> int:
    """The message in one line on standard error; the code."""
    if args.traceback and sys.exc_info()[1] is not None:
        traceback.print_exc()
    say(f"bpx {args.command}: error: {' '.join(message.split())}")
    return code


def _internal(args: argparse.Namespace, error: Exception) -> int:
    """What is no user's mistake."""
    hint = "" if args.traceback else "; run again with --traceback and report what it shows"
    return _say(args, f"unexpected {type(error).__name__}: {error}; this is an error in bpx{hint}", INTERNAL)


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and of which file."""
    reason, remedy = error.strerror or str(error), _REMEDIES.get(error.errno or 0)
    told = f"{reason}; {remedy}" if remedy and "expected" not in reason else reason
    return told if error.filename is None else f"{os.fspath(error.filename)}: {told}"

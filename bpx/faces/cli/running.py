"""From the command line to an exit code: errors become one line, never a traceback for a user's mistake."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from bpx.errors import BackendFallbackWarning, BackendUnavailableError, FileFormatError, NonFiniteError
from bpx.faces.cli.output import MistakeError, Output
from bpx.faces.cli.parser import FAILED, INTERNAL, INTERRUPTED, MISTAKE, OK, build

__all__ = ["main"]


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
        warnings.showwarning = _show_warning
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    try:
        passed = args.run(args, Output(args))
        return OK if passed is None or passed is True else FAILED if passed is False else int(passed)
    except BrokenPipeError:  # as with `| head`: who reads has enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - so that the flush at exit is quiet too
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
        return _say(args, _of_the_system(error), MISTAKE)
    except MemoryError as error:
        return _say(args, f"not enough memory ({error}); use fewer rows or columns, or --dtype float32", MISTAKE)
    except Exception as error:
        return _internal(args, error)


def _say(args: argparse.Namespace, message: str, code: int) -> int:
    """The message in one line on standard error; the code."""
    if args.traceback and sys.exc_info()[1] is not None:
        traceback.print_exc()
    print(f"bpx {args.command}: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _internal(args: argparse.Namespace, error: Exception) -> int:
    """What is no user's mistake."""
    hint = "" if args.traceback else "; run again with --traceback and report what it shows"
    return _say(args, f"unexpected {type(error).__name__}: {error}; this is an error in bpx{hint}", INTERNAL)


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and of which file."""
    if error.filename is None:
        return str(error)
    remedy = "; check the path" if isinstance(error, FileNotFoundError) and "expected" not in str(error) else ""
    return f"{os.fspath(error.filename)}: {error.strerror or error}{remedy}"


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    """A warning in one line, without the place in bpx's source."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

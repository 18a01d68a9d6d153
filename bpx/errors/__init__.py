"""Every error and warning that bpx raises on purpose: the message says what was expected, what came and what to do.

Other messages (progress, log records, warnings) never end the work that they report: if the stream is closed, full or
gone, they are lost and the work goes on.
"""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import suppress
from typing import Any, final

__all__ = [
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "DeviceMismatchError",
    "DivergenceWarning",
    "FileFormatError",
    "NonFiniteError",
    "NotDifferentiableError",
    "RankFailedError",
    "ShapeError",
]


class BackendUnavailableError(RuntimeError):
    """A backend cannot work on this machine, and a fallback to NumPy was ruled out (``strict``)."""


class BackendFallbackWarning(RuntimeWarning):
    """A backend cannot work on this machine, and NumPy is used in its place."""


class DeviceMismatchError(ValueError):
    """An array belongs to another library or lies on another device than the network that it was passed to."""


class ShapeError(ValueError):
    """An array has the wrong number of dimensions, columns or rows."""


class NonFiniteError(ValueError):
    """An array holds NaN or infinity."""


class NotDifferentiableError(ValueError):
    """A network whose gradient is needed has an activation without a derivative (``step``)."""


class FileFormatError(ValueError):
    """A file is not what it claims to be: truncated, damaged, or of another kind."""


class RankFailedError(RuntimeError):
    """Another process of a data-parallel run failed; the message is the error of that process."""


class DivergenceWarning(RuntimeWarning):
    """Training produced a loss or a parameter that is not finite; the last finite parameters were restored."""


def how_to_install(extra: str, package: str) -> str:
    """The pip command that installs what an extra needs. The distribution bpx-nn is on no package index.

    In a clone the command installs the extra itself, elsewhere the packages that the metadata of bpx-nn name for it.

    Parameters
    ----------
    extra : str
        A key of ``[project.optional-dependencies]`` in pyproject.toml.
    package : str
        The extra's main package, for the command where there is no metadata, as in a copied folder.

    Returns
    -------
    str
        Such as ``pip install 'matplotlib>=3.10'``.
    """
    import re
    import shlex
    from importlib.metadata import PackageNotFoundError, requires
    from pathlib import Path

    clone = Path(__file__).resolve().parents[2]
    project = clone / "pyproject.toml"
    if project.is_file() and 'name = "bpx-nn"' in project.read_text(encoding="utf-8", errors="replace"):
        return f"pip install -e {shlex.quote(f'{clone}[{extra}]')}"
    try:
        required = [requirement.partition(";") for requirement in requires("bpx-nn") or ()]
    except PackageNotFoundError:
        required = []
    of_extra = re.compile(rf"""extra == (['"]){re.escape(extra)}\1""")
    names = [name.strip() for name, _, marker in required if of_extra.search(marker)]
    return f"pip install {shlex.join(names or [package])}"


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn with the line of the user's code from which bpx was called."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "bpx":
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(message, category, stacklevel=level)
    except Warning:  # the user has turned warnings into errors
        raise
    except (OSError, ValueError):  # standard error is closed, or takes nothing
        pass


def write_whole(text: str, stream: Any, encoding: str = "utf-8") -> None:
    """Write all of `text` to standard output or standard error, past its buffer.

    Text left in the buffer of a broken stream would fail again when the process ends, and change its exit code. An
    unbuffered stream (PYTHONUNBUFFERED) may take only a part at a time.
    """
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # such as io.StringIO
        stream.write(text)
        stream.flush()
        return
    raw, rest = getattr(buffer, "raw", buffer), memoryview(text.encode(encoding, "backslashreplace"))
    while rest:
        written = raw.write(rest)
        if written is None:
            raise BlockingIOError("the stream does not wait for its reader")
        rest = rest[written:]


def say(line: str, stream: Any) -> None:
    """Write a line to standard output or standard error; errors are ignored."""
    with suppress(Exception):
        write_whole(line + "\n", stream, getattr(stream, "encoding", None) or "utf-8")


@final
class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger of bpx; if a handler raises an error, the record is lost and nothing else."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name))

    def log(self, level: int, msg: object, *args: object, **more: Any) -> None:
        """Log a message as coming from the caller's line."""
        with suppress(Exception):
            super().log(level, msg, *args, **{"stacklevel": 2} | more)

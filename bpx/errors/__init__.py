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


def check_activation_shape(name: str, returned: str, result: Any, like: Any) -> None:
    """Raise ShapeError if an activation's function did not return the layer's shape; it could be broadcast silently."""
    _check_shape(f"activation {name!r}", returned, result, f"the layer's shape {tuple(like.shape)}", like, "unit")


def loss_parts(returned: Any, output: Any) -> tuple[Any, Any]:
    """The values and derivatives that a loss's function returned; an error unless both have the outputs' shape."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        got = f"{len(returned)} things" if isinstance(returned, (tuple, list)) else f"a {type(returned).__name__}"
        raise TypeError(
            "loss: expected a function that returns two arrays, (values, their derivatives with respect to the"
            f" outputs), got one that returns {got}"
        )
    for name, part in zip(("values", "derivatives"), returned, strict=True):
        _check_shape("loss", name, part, f"the outputs' shape {tuple(output.shape)}", output, "output")
    return returned[0], returned[1]


def _check_shape(what: str, returned: str, result: Any, shape: str, like: Any, each: str) -> None:
    """Raise ShapeError if the result of a user's function does not have the shape of `like`."""
    if getattr(result, "shape", None) != like.shape:
        got = f"a {type(result).__name__}"
        if isinstance(result, (bool, int, float)) or hasattr(result, "shape"):
            got = str(tuple(getattr(result, "shape", ())))
        raise ShapeError(
            f"{what}: expected a function that returns {returned} of {shape}, one for each sample and {each}, got {got}"
        )


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

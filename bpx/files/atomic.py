"""Writing a file whole or not at all, and opening regular files only."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Collection
from contextlib import suppress
from typing import BinaryIO

from bpx.errors import FileFormatError

try:
    import fcntl
except ImportError:  # Windows: temporary files of a killed process stay until they are removed by hand
    fcntl = None  # type: ignore[assignment]

Path = str | os.PathLike[str]

# Flags for every file that is opened, where the system has them.
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Seconds between attempts to replace a file on Windows, where a reader or a virus scanner may hold it for a moment.
_PAUSES = (0.01, 0.03, 0.1, 0.3, 0.6)


def ending_of(path: Path, endings: Collection[str]) -> str:
    """The ending of a path in lower case; ValueError unless it is one of `endings`."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in endings:
        raise ValueError(f"expected a name that ends in {' or '.join(endings)}, got {os.fspath(path)!r}")
    return ending


def write(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file in the same folder, flush it to the disk, and rename it to `path`.

    Whatever happens, `path` has either its old content or all of the new one. The target of a link is replaced, not
    the link. An existing file's permissions are kept.

    Raises
    ------
    OSError
        As for `open`: no such folder, no permission, no space. The temporary file is removed.
    """
    target, mode = _destination(path)
    try:
        _write(target, mode, data)
    except OSError as error:  # it names the temporary file, which the user does not know
        reason = "expected a folder that takes new files; give another path" if error.errno == errno.ENOENT else None
        error.filename, error.filename2 = os.fspath(path), None
        error.strerror = reason or error.strerror
        raise


def _write(target: str, mode: int | None, data: bytes) -> None:
    """Write to a temporary file, then rename it."""
    folder, name = os.path.split(target)
    prefix = f".{name[:40]}."
    _remove_abandoned(folder, prefix)
    temporary, file = _create(folder, prefix)
    try:
        try:
            if mode is not None and hasattr(os, "fchmod"):  # before the content, which may be confidential
                os.fchmod(file, mode)
            _write_all(file, data)
            _flush(file)
            if fcntl is not None:
                replace(temporary, target)  # before the lock is released, which marks the file as in use
        finally:
            os.close(file)
        if fcntl is None:
            replace(temporary, target)  # Windows cannot rename an open file
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def replace(source: str, target: str) -> None:
    """Rename `source` to `target`, which may exist.

    Raises
    ------
    OSError
        As for ``os.replace``; on Windows, which does not replace a file that is being read, after a second of trying.
    """
    pauses: tuple[float, ...] = _PAUSES if fcntl is None else ()
    for pause in pauses:
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
    return os.replace(source, target)


def check(path: Path) -> None:
    """Check that `write` could write to a path, without leaving anything there.

    Raises
    ------
    OSError
        As for `write`.
    """
    folder, name = os.path.split(_destination(path)[0])
    if fcntl is None:  # on Windows only trying shows whether one may write into a folder
        try:
            temporary, file = _create(folder, f".{name[:40]}.")
        except PermissionError:
            pass
        else:
            os.close(file)
            os.unlink(temporary)
            return
    elif os.access(folder, os.W_OK | os.X_OK):
        return
    raise PermissionError(errno.EACCES, "expected a folder that may be written into", folder)


def _destination(path: Path) -> tuple[str, int | None]:
    """The path with links resolved, and the permissions of an existing file; OSError if it cannot be replaced."""
    target = os.path.realpath(os.fspath(path))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "expected an existing folder to write into; create it first", folder)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return target, None
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, f"expected a file to replace, got {_kind(mode)}", target)
    if not os.access(target, os.W_OK):  # a rename only needs write permission for the folder
        raise PermissionError(errno.EACCES, "expected a file that may be written; it is read-only", target)
    return target, stat.S_IMODE(mode) & 0o777


def _create(folder: str, prefix: str) -> tuple[str, int]:
    """Create a file with an unused name; it is locked as long as it is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS
    while True:
        temporary = os.path.join(folder, f"{prefix}{os.urandom(8).hex()}.tmp")
        try:
            file = os.open(temporary, flags, 0o666)
        except FileExistsError:
            continue
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks, on which no other process locks files either
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file).st_nlink:  # another process removed it as abandoned before it was locked
                os.close(file)
                continue
        return temporary, file


def _remove_abandoned(folder: str, prefix: str) -> None:
    """Remove temporary files that no process has locked: their writers were killed."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(".tmp")]
        for path in left:
            with suppress(OSError):
                file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                finally:
                    os.close(file)


def _write_all(file: int, data: bytes) -> None:
    """Write all of `data`; ``os.write`` may write only a part, as on a disk that is filling up."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _flush(file: int) -> None:
    """Flush a file's content to the disk; on macOS fsync would leave it in the drive's cache."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        with suppress(OSError):  # not every file system has it
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def _flush_folder(folder: str) -> None:
    """Flush a folder to the disk, where the system can, so that a rename lasts."""
    if fcntl is None:
        return
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _flush(file)
        finally:
            os.close(file)


def open_regular(path: Path) -> tuple[BinaryIO, int]:
    """Open a regular file, or a link to one, for reading; returns it and its size in bytes.

    Raises
    ------
    FileFormatError
        For a folder, a pipe, a device, a socket, or links in a circle; a pipe is not waited for.
    OSError
        As for `open`: no such file, or no permission.
    """
    name = os.fspath(path)
    try:
        status = os.stat(name)
        if stat.S_ISREG(status.st_mode):  # opening anything else might block or have effects
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS
            file = open(os.open(name, flags), "rb")  # noqa: SIM115 - the caller closes it
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                return file, status.st_size
            file.close()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileFormatError("expected a file, got links that lead in a circle") from error
        raise
    except ValueError as error:  # a NUL character in the path
        raise FileFormatError(f"expected the path of a file ({error})") from error
    raise FileFormatError(f"expected a file, got {_kind(status.st_mode)}")


def _kind(mode: int) -> str:
    """The kind of a file in words."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something that is not a file")

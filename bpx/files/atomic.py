"""Writing a file whole or not at all, and opening one that is really a file."""

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
except ImportError:  # Windows: files left by a killed process stay until they are removed by hand
    fcntl = None  # type: ignore[assignment]

Path = str | os.PathLike[str]

# Of every file that is opened, where the system has them.
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Seconds after which Windows is asked again to replace a file: a reader or a virus scanner keeps it for a moment.
_PAUSES = (0.01, 0.03, 0.1, 0.3, 0.6)


def ending_of(path: Path, endings: Collection[str]) -> str:
    """The one of these endings that the path has, in lower case; it names the file's form.

    Raises
    ------
    ValueError
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in endings:
        raise ValueError(f"expected a name that ends in {' or '.join(endings)}, got {os.fspath(path)!r}")
    return ending


def write(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, flush it to the disk, and rename it to `path`.

    Whatever happens on the way, `path` holds either its old content or all of the new one. A link is followed: its
    target is replaced. Permissions of an existing file are kept.

    Raises
    ------
    OSError
        As `open` would: no such folder, no permission, no space. The temporary file is removed.
    """
    target, mode = _destination(path)
    try:
        _write(target, mode, data)
    except OSError as error:  # of the temporary file, whose name says nothing to the user
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
            if mode is not None and hasattr(os, "fchmod"):  # before the content, which may be private
                os.fchmod(file, mode)
            _write_all(file, data)
            _flush(file)
            if fcntl is not None:
                replace(temporary, target)  # while the lock still says that the file is somebody's
        finally:
            os.close(file)
        if fcntl is None:
            replace(temporary, target)  # Windows renames no open file
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def replace(source: str, target: str) -> None:
    """Rename `source` to `target`, which may be there.

    Raises
    ------
    OSError
        As ``os.replace``. On Windows, where nobody replaces a file that somebody reads, only after a second of trying.
    """
    pauses: tuple[float, ...] = _PAUSES if fcntl is None else ()
    for pause in pauses:
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
    return os.replace(source, target)


def check(path: Path) -> None:
    """Refuse, before hours of work, a path that `write` could not write to; leaves nothing there.

    Raises
    ------
    OSError
        As `write`.
    """
    folder, name = os.path.split(_destination(path)[0])
    if fcntl is None:  # Windows says who may write into a folder only to those who try
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
    """Where a path leads, links followed, and the permissions of the file there; refuses what cannot be replaced."""
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
    if not os.access(target, os.W_OK):  # a rename would ask the folder only
        raise PermissionError(errno.EACCES, "expected a file that may be written; it is read-only", target)
    return target, stat.S_IMODE(mode) & 0o777


def _create(folder: str, prefix: str) -> tuple[str, int]:
    """A new file of a name that nobody has, locked for as long as it is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS
    while True:
        temporary = os.path.join(folder, f"{prefix}{os.urandom(8).hex()}.tmp")
        try:
            file = os.open(temporary, flags, 0o666)
        except FileExistsError:
            continue
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks: nobody else can lock the file either
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file).st_nlink:  # another writer took it for abandoned before it was locked
                os.close(file)
                continue
        return temporary, file


def _remove_abandoned(folder: str, prefix: str) -> None:
    """Remove temporary files whose writers were killed: nobody holds their locks."""
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
    """Write all of it: the system may take less at once, of large files or of a disk that is filling up."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _flush(file: int) -> None:
    """Bring a file's content to the disk: what macOS calls fsync leaves it in the drive's own memory."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        with suppress(OSError):  # not every file system has it
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def _flush_folder(folder: str) -> None:
    """Bring the rename itself to the disk, where the system can; the file's content is there already."""
    if fcntl is None:
        return
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _flush(file)
        finally:
            os.close(file)


def open_regular(path: Path) -> tuple[BinaryIO, int]:
    """Open a regular file (or a link to one) for reading; returns it and its size.

    Raises
    ------
    FileFormatError
        For a folder, a pipe, a device, a socket, or links in a circle: none is waited on.
    OSError
        As `open` would: there is no such file, or no permission.
    """
    name = os.fspath(path)
    try:
        status = os.stat(name)
        if stat.S_ISREG(status.st_mode):  # opening anything else might wait, or do something
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
    """What a path leads to, in words."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something that is not a file")

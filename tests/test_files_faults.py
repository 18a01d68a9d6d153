"""Whatever happens while a file is written, the one that was there stays loadable, and nothing is left lying about."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import posix

import bpx
from bpx.files import atomic
from bpx.files.container import FORMS

# How many times a saving process is killed; more in a run for the record.
KILLS = int(os.environ.get("BPX_TEST_KILLS", "6"))


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path that ends as each form's does."""
    return str(tmp_path / f"model{request.param}")


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs this script."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out


# Saves networks whose every parameter is their number, for ever.
SAVE_FOR_EVER = """
    import sys, bpx
    path, number = sys.argv[1], int(sys.argv[2])
    net = bpx.MLP([200, 300, 100], init="zeros", backend="numpy")
    while True:
        number += 1
        net.flat[...] = number
        net.save(path, metadata={"number": number})
        print(number, flush=True)
"""


def number_of_values(path: str) -> int:
    """The one number that all parameters of a file are."""
    (value,) = set(bpx.load(path, "numpy").flat.tolist())
    return int(value)


def number_of(path: str) -> int:
    """Which network a file holds; all of it must be that one."""
    net, metadata = bpx.load(path, "numpy"), bpx.read_header(path)["metadata"]
    assert np.all(net.flat == metadata["number"])
    return int(metadata["number"])


@posix
@pytest.mark.slow
def test_a_process_killed_while_it_saves_leaves_a_whole_file(path):
    moments, number, left = random.Random(1), 0, 0
    for _ in range(KILLS):
        process = start(SAVE_FOR_EVER, path, str(number))
        said = int(process.stdout.readline())
        assert said == number + 1
        # Those of earlier kills are gone with the first save.
        assert len(os.listdir(os.path.dirname(path))) <= 2
        time.sleep(moments.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        said = max([said, *map(int, rest.split())])
        found = number_of(path)
        # What was reported as saved is there, or what was just being saved.
        assert found in (said, said + 1)
        number = found
        left += len(os.listdir(os.path.dirname(path))) - 1
    assert left <= KILLS
    bpx.MLP([3, 2], backend="numpy").save(path)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


FULL_DISK = """
    import resource, sys, bpx
    path = sys.argv[1]
    large = bpx.MLP([200, 300, 100], backend="numpy")
    large.save(path + ".warm" + path[path.rindex("."):])
    before = open(path, "rb").read()
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        large.save(path)
    except OSError as error:
        print(error.errno, open(path, "rb").read() == before)
    bpx.MLP([3, 2], seed=2, backend="numpy").save(path)
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("limit", [5000, 100_000, 300_000])
def test_a_full_disk_is_an_os_error_and_the_old_file_stays(path, limit):
    bpx.MLP([3, 2], seed=1, backend="numpy").save(path)
    assert finish(start(FULL_DISK, path, str(limit))) == f"{errno.EFBIG} True\n"
    assert len(os.listdir(os.path.dirname(path))) == 2
    assert bpx.load(path, "numpy").seed == 2  # small ones still fit


READ_ONLY = """
    import os, sys, bpx
    folder = sys.argv[1]
    net = bpx.MLP([3, 2], seed=2, backend="numpy")
    for form in (".npz", ".safetensors"):
        net.save(folder + "/model" + form)
        bpx.load(folder + "/model" + form)  # all modules are imported now
        os.chmod(folder + "/model" + form, 0o666)
    os.chmod(folder, 0o555)
    if os.getuid() == 0:  # to whom nothing is read-only
        os.setgroups([]), os.setgid(65534), os.setuid(65534)
    for form in (".npz", ".safetensors"):
        try:
            bpx.MLP([3, 2], seed=3, backend="numpy").save(folder + "/model" + form)
        except PermissionError as error:
            print("refused", bpx.load(folder + "/model" + form, "numpy").seed)
    os.umask(0o077)
    mine = folder + "/open/model.npz"
    net.save(mine)
    os.chmod(mine, 0o444)
    try:
        bpx.MLP([3, 2], seed=4, backend="numpy").save(mine)
    except PermissionError as error:
        print(error.strerror, bpx.load(mine, "numpy").seed, os.listdir(folder + "/open"))
"""


@posix
def test_a_read_only_folder_or_file_is_a_permission_error_and_keeps_its_file():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/open")
        os.chmod(f"{folder}/open", 0o777)
        printed = finish(start(READ_ONLY, folder)).splitlines()
        os.chmod(folder, 0o755)
    last = "expected a file that may be written; it is read-only 2 ['model.npz']"
    assert printed == ["refused 2", "refused 2", last]


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected an existing folder to write into; create it first"):
        bpx.MLP([3, 2], backend="numpy").save(tmp_path / "none" / "model.npz")


class UnforeseenError(Exception):
    """Something that no code expects."""


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt(), UnforeseenError()], ids=repr
)
@pytest.mark.parametrize("call", [name for name in ("write", "fsync", "fchmod", "replace") if hasattr(os, name)])
def test_a_failure_at_any_step_keeps_the_old_file_and_leaves_no_other(path, monkeypatch, call, error):
    bpx.MLP([3, 2], seed=1, backend="numpy").save(path)
    before = Path(path).read_bytes()

    def fail(*_: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(type(error)):
            bpx.MLP([3, 2], seed=2, backend="numpy").save(path)
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
    bpx.MLP([3, 2], seed=2, backend="numpy").save(path)
    assert bpx.load(path, "numpy").seed == 2


def test_a_system_that_takes_a_few_bytes_at_once_is_given_the_rest(path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:100]))
    net = bpx.MLP([30, 20, 2], backend="numpy")
    net.save(path)
    monkeypatch.undo()
    assert np.array_equal(bpx.load(path, "numpy").flat, net.flat)


@posix
def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_save_returns(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def noted(*arguments: Any, _name: str = name, _real: Any = real) -> Any:
            folder = isinstance(arguments[0], int) and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            calls.append(f"{_name} folder" if folder else _name)
            return _real(*arguments)

        monkeypatch.setattr(os, name, noted)
    bpx.MLP([3, 2], backend="numpy").save(path)
    assert calls == ["fsync", "replace", "fsync folder"]


SAVE_OFTEN = """
    import os, sys, bpx
    path, number = sys.argv[1], int(sys.argv[2])
    net = bpx.MLP([100, 100], init="zeros", backend="numpy")
    net.flat[...] = number
    while not os.path.exists(sys.argv[3]):
        net.save(path, metadata={"number": number})
"""


@posix
@pytest.mark.slow
def test_processes_that_write_one_path_never_mix_their_files(path, tmp_path_factory):
    bpx.MLP([100, 100], init="zeros", backend="numpy").save(path, metadata={"number": 0})
    enough = tmp_path_factory.mktemp("told") / "enough"
    processes = [start(SAVE_OFTEN, path, str(number), str(enough)) for number in (1, 2, 3)]
    seen, read = set(), 0
    while not seen >= {1, 2, 3} or read < 300:
        seen.add(number_of_values(path))
        read += 1
        if any(process.poll() is not None for process in processes):
            break
    enough.touch()
    for process in processes:
        finish(process)
    assert seen >= {1, 2, 3}
    assert number_of(path) in (1, 2, 3)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_threads_that_write_one_path_never_mix_their_files(path):
    nets = [bpx.MLP([50, 50], seed=seed, backend="numpy") for seed in range(8)]

    def save(net: bpx.MLP) -> None:
        for _ in range(10):
            net.save(path)

    threads = [threading.Thread(target=save, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = bpx.load(path, "numpy")
    assert np.array_equal(last.flat, nets[last.seed].flat)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_what_a_killed_writer_left_goes_and_what_a_live_one_writes_stays(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    net = bpx.MLP([3, 2], backend="numpy")
    (tmp_path / ".model.npz.dead.tmp").write_bytes(b"half a file")
    (tmp_path / ".other.npz.dead.tmp").write_bytes(b"not this model's")
    (tmp_path / "model.npz.tmp").write_bytes(b"somebody's own")
    alive = tmp_path / ".model.npz.alive.tmp"
    with open(alive, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        net.save(tmp_path / "model.npz")
        assert sorted(os.listdir(tmp_path)) == [
            ".model.npz.alive.tmp", ".other.npz.dead.tmp", "model.npz", "model.npz.tmp",
        ]  # fmt: skip
    net.save(tmp_path / "model.npz")
    assert not alive.exists()


def test_a_new_file_that_another_writer_took_for_abandoned_is_made_anew(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    real, taken = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        if not taken:  # the other writer is faster
            taken.extend(tmp_path.glob(".*.tmp"))
            taken[0].unlink()
        real(file, how)

    monkeypatch.setattr(atomic.fcntl, "flock", flock)
    bpx.MLP([3, 2], backend="numpy").save(tmp_path / "model.npz")
    assert len(taken) == 1
    assert os.listdir(tmp_path) == ["model.npz"]


def test_a_long_name_can_be_written(tmp_path):
    net = bpx.MLP([3, 2], backend="numpy")
    net.save(tmp_path / ("n" * 251 + ".npz"))
    net.save(tmp_path / ("ä" * 125 + ".npz"))
    assert len(os.listdir(tmp_path)) == 2


# ---------------------------------------------------------------------- other systems


@pytest.fixture
def windows(monkeypatch):
    """No locks and no folders that can be flushed, as on Windows; and nobody waits."""
    monkeypatch.setattr(atomic, "fcntl", None)
    waited = []
    monkeypatch.setattr(atomic.time, "sleep", waited.append)
    return waited


def held(monkeypatch, times):
    """For so many times, somebody reads the file that is to be replaced."""
    real, asked = os.replace, []

    def replace(source: str, target: str) -> None:
        asked.append(target)
        if len(asked) <= times:
            raise PermissionError(errno.EACCES, "The process cannot access the file", source, 32, target)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_where_readers_keep_a_file_from_being_replaced_it_is_tried_again(path, windows, monkeypatch):
    first, second = bpx.MLP([3, 2], seed=1, backend="numpy"), bpx.MLP([3, 2], seed=2, backend="numpy")
    first.save(path)
    with monkeypatch.context() as patch:
        held(patch, times=3)
        second.save(path)
    assert (len(windows), bpx.load(path, "numpy").seed) == (3, 2)
    with monkeypatch.context() as patch:
        held(patch, times=99)
        with pytest.raises(PermissionError) as caught:
            first.save(path)
    assert caught.value.filename == path
    assert bpx.load(path, "numpy").seed == 2
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_a_checkpoint_that_somebody_reads_is_replaced_when_it_is_let_go(tmp_path, windows, monkeypatch):
    held(monkeypatch, times=2)
    net = bpx.MLP([2, 3, 2], backend="numpy")
    bpx.fit(net, np.zeros((4, 2)), [0, 1, 0, 1], epochs=3, checkpoint=tmp_path / "run.ckpt")
    assert len(windows) == 2
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "run.ckpt.previous"]


def test_where_only_trying_tells_whether_a_folder_takes_files_it_is_tried(tmp_path, windows, monkeypatch):
    atomic.check(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == []

    def refuses(*arguments: Any) -> int:
        raise PermissionError(errno.EACCES, "Access is denied")

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(PermissionError, match="expected a folder that may be written into"):
        atomic.check(tmp_path / "model.npz")


@posix
@pytest.mark.parametrize("can", [True, False])
def test_where_fsync_stops_at_the_drives_memory_the_drive_is_asked_to_write(path, monkeypatch, can):
    asked, synced = [], []

    def fcntl(file: int, command: int) -> None:
        asked.append(command)
        if not can:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(atomic.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(atomic.fcntl, "fcntl", fcntl)
    monkeypatch.setattr(os, "fsync", synced.append)
    bpx.MLP([3, 2], backend="numpy").save(path)
    assert asked == [51, 51]  # the file, and its folder
    assert len(synced) == (0 if can else 2)

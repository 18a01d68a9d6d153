"""Streams: what is read block by block trains as arrays do, within its buffer, and goes on exactly where it stopped."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from ranks import on_ranks

import bpx
from bpx.errors import RankFailedError
from bpx.streams.shuffled_windows import Windows, blocks

N, N_IN, CLASSES = 1003, 6, 3
BUFFER = 30_000  # two windows of 192 to 224 rows of 6 float64 and a label, out of 1003


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, N_IN)), rng.integers(0, CLASSES, N)


@pytest.fixture
def on_disk(tmp_path, data):
    """The same as memory maps."""
    maps = []
    for name, array in zip("Xy", data, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    return tuple(maps)


def batches_of(data, rows=97):
    return [tuple(part[i : i + rows] for part in data) for i in range(0, len(data[0]), rows)]


def trained(backend, X, y=None, net=None, **options):
    made = bpx.MLP([N_IN, 7, CLASSES], hidden="tanh", dtype="float64", seed=1, backend=backend, **(net or {}))
    history = bpx.fit(made, X, y, **{"epochs": 3, "batch_size": 32, "seed": 4, **options})
    return made.backend.to_host(made.flat), history


def copy(stream):
    """The same stream for another rank, which keeps its own chunk."""
    arrays = getattr(stream.source, "_arrays", None)
    return stream if arrays is None else bpx.stream(*arrays, buffer=stream.buffer)


def no_threads():
    return not any(thread.name == "bpx-stream" for thread in threading.enumerate())


# ---------------------------------------------------------------------- the same as arrays


def test_in_their_order_rows_on_disk_and_batches_train_as_arrays_do(lib, data, on_disk):
    expected, history = trained(lib, *data, sampling="sequential")
    for X in (
        bpx.stream(*on_disk, buffer=BUFFER),
        bpx.stream(batches_of(data), buffer=BUFFER),
        bpx.stream(batches_of(data, 500), buffer=BUFFER),
    ):
        flat, own = trained(lib, X, sampling="sequential")
        np.testing.assert_array_equal(flat, expected)
        assert own.loss == history.loss
    assert no_threads()


def test_without_a_batch_size_each_batch_is_a_step_as_it_comes(lib, data):
    expected, history = trained(lib, *data, sampling="sequential", batch_size=97)
    flat, own = trained(lib, batches_of(data), batch_size=None)
    np.testing.assert_array_equal(flat, expected)
    assert own.steps == history.steps


def test_weights_class_weights_and_a_stack(data, on_disk):
    weight = np.linspace(0.0, 2.0, N)
    options = {"sampling": "sequential", "class_weight": {1: 3.0}, "net": {"stack": 2, "dropout": 0.3}}
    expected, history = trained("numpy", *data, sample_weight=weight, **options)
    for X in (bpx.stream(*on_disk, weight, buffer=BUFFER), bpx.stream(batches_of((*data, weight)), buffer=BUFFER)):
        flat, own = trained("numpy", X, **options)
        np.testing.assert_allclose(flat, expected, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(own.loss, history.loss, rtol=1e-13)


def test_what_fits_into_the_buffer_trains_like_arrays(data, on_disk):
    expected, _ = trained("numpy", *data)
    np.testing.assert_array_equal(trained("numpy", *on_disk)[0], expected)  # a memory map is a stream by itself


@pytest.mark.parametrize("kernels", ["auto", "numpy", "reference"])
def test_shuffled_streams_learn_and_repeat(kernels, monkeypatch, on_disk):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    X = np.array(on_disk[0])
    y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
    source = np.memmap(on_disk[0].filename, dtype=X.dtype, mode="r", offset=on_disk[0].offset, shape=X.shape)
    first, history = trained("numpy", bpx.stream(source, y, buffer=BUFFER), epochs=12)
    again, _ = trained("numpy", bpx.stream(source, y, buffer=BUFFER), epochs=12)
    np.testing.assert_array_equal(first, again)
    assert history.loss[-1] < 0.4 * history.loss[0]
    other, _ = trained("numpy", bpx.stream(source, y, buffer=BUFFER), epochs=12, seed=5)
    assert not np.array_equal(first, other)


def test_validation_error_rate_and_evaluate_read_the_stream(lib, data, on_disk, close):
    seen = []
    validation = bpx.stream(*on_disk, buffer=10_000)

    def look(run):
        seen.append((run.error_rate(), run.evaluate(run.data), run.val_loss))

    class InTheMiddle(bpx.Callback):
        def on_step_end(self, run):
            if run.step == 5:
                seen.append(run.error_rate())

    flat, _ = trained(
        lib, bpx.stream(*on_disk, buffer=BUFFER), validation=validation, callbacks=[look, InTheMiddle()], epochs=1
    )
    net = bpx.MLP([N_IN, 7, CLASSES], hidden="tanh", dtype="float64", backend="numpy")
    net.flat[...] = flat
    loss, _ = net.loss_and_grads(*data)
    (middle, (rate, own, val)) = seen
    close(own, float(loss))
    close(val, float(loss))
    assert rate == np.mean(np.argmax(net(data[0]), axis=1) != data[1])
    assert 0.0 < middle < 1.0


# ---------------------------------------------------------------------- sources


def source_of(kind, tmp_path, X, y):
    """The same rows in another library's array or file."""
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        stored = zarr.create_array(str(tmp_path / "X.zarr"), shape=X.shape, chunks=(50, N_IN), dtype=X.dtype)
        stored[...] = X
        return bpx.stream(stored, y, buffer=BUFFER)
    if kind == "dask":
        dask = pytest.importorskip("dask.array")
        return bpx.stream(dask.from_array(X, chunks=(41, 3)), dask.from_array(y, chunks=17), buffer=BUFFER)
    if kind == "h5py":
        h5py = pytest.importorskip("h5py")
        file = h5py.File(tmp_path / "X.h5", "w")
        return bpx.stream(file.create_dataset("X", data=X, chunks=(60, N_IN)), y, buffer=BUFFER)
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {f"x{i}": X[:, i] for i in range(N_IN)} | {"class": y, "note": [str(i) for i in range(N)]}
    table = pyarrow.table(columns)
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, start in enumerate(range(0, N, 400)):
        parquet.write_table(table.slice(start, 400), folder / f"{i}.parquet", row_group_size=45)
    names = [f"x{i}" for i in range(N_IN)]
    return bpx.stream(folder, "class", columns=names, buffer=BUFFER)


@pytest.mark.parametrize("kind", ["zarr", "dask", "h5py", "parquet"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_other_libraries_arrays_and_files_train_as_arrays_do(kind, tmp_path, data):
    expected, _ = trained("numpy", *data, sampling="sequential")
    stream = source_of(kind, tmp_path, *data)
    np.testing.assert_array_equal(trained("numpy", stream, sampling="sequential")[0], expected)
    first, _ = trained("numpy", stream)
    np.testing.assert_array_equal(trained("numpy", stream)[0], first)
    for flat, _ in on_ranks(2, lambda comm: trained("numpy", copy(stream), comm=comm))[0]:
        np.testing.assert_allclose(flat, first, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["zarr", "dask", "parquet"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_chunk_is_read_once_in_an_epoch_that_keeps_the_order(kind, tmp_path, data, monkeypatch):
    stream = source_of(kind, tmp_path, *data)
    source, reads = stream.source, []
    read = type(source)._read
    monkeypatch.setattr(type(source), "_read", lambda self, a, b: reads.append((a, b)) or read(self, a, b))
    trained("numpy", stream, sampling="sequential", epochs=1)
    chunks = len(source.edges) - 1
    peeks = [a for a in reads if a[0] == 0]
    assert len(reads) - len(peeks) == chunks - 1


def test_pytorchs_loader_is_a_stream(data):
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(*(torch.from_numpy(part) for part in data)), batch_size=97)
    expected, _ = trained("numpy", *data, sampling="sequential", batch_size=97)
    np.testing.assert_array_equal(trained("numpy", loader, batch_size=None)[0], expected)


def test_batches_on_the_networks_device_stay_there(lib, data):
    given = [tuple(lib.asarray(part) for part in batch) for batch in batches_of(data)]
    expected, _ = trained(lib, *data, sampling="sequential")
    np.testing.assert_array_equal(trained(lib, bpx.stream(given, buffer=BUFFER), sampling="sequential")[0], expected)


# ---------------------------------------------------------------------- order


CUTS = [
    (203, 7, 5, None), (1000, 128, 3, None), (170, 1, 50, None), (23, 5, 1, None), (60, 20, 3, [0, 50, 60]),
    (5, 5, 9, None),
]  # fmt: skip


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n", "size", "count", "edges"), CUTS)
def test_every_row_comes_once_and_batches_do_not_depend_on_the_number_of_ranks(n, size, count, edges, shuffle):
    found = blocks(n, 9, None if edges is None else np.array(edges))
    windows = Windows(n, size, count, found, shuffle, 3)
    order = windows.order(2)

    def batches(ranks):
        by_rank = []
        for rank in range(ranks):

            def share(k, rank=rank):
                return slice(k * rank // ranks, k * (rank + 1) // ranks)

            own, mine = share(size), []
            for window in windows.windows(0):
                pieces = windows.pieces(order, windows.stretches(window, own, share(window.tail)))
                rows = np.concatenate([np.arange(a, b) for a, b in pieces] or [np.zeros(0, dtype=int)])
                mine += [rows[index] for index in windows.rows(2, window, own)]
                if window.tail:
                    mine.append(rows[window.batches * (own.stop - own.start) :])
            by_rank.append(mine)
        return [np.concatenate(parts) for parts in zip(*by_rank, strict=True)]

    whole = batches(1)
    assert [len(batch) for batch in whole] == [size] * (n // size) + [n % size] * (n % size > 0)
    assert sorted(np.concatenate(whole).tolist()) == list(range(n))
    if not shuffle:
        assert np.concatenate(whole).tolist() == list(range(n))
    for ranks in (2, 3):
        for batch, expected in zip(batches(ranks), whole, strict=True):
            np.testing.assert_array_equal(batch, expected)


def test_a_batch_draws_from_its_whole_window_and_epochs_differ():
    windows = Windows(10_000, 50, 40, blocks(10_000, 10, None), True, 0)
    orders = [windows.order(epoch) for epoch in range(2)]
    assert not np.array_equal(*orders)
    first = next(windows.windows(0))
    rows = windows.rows(0, first, slice(0, 50))
    assert not np.array_equal(rows[0], windows.rows(1, first, slice(0, 50))[0])
    for batch in rows:
        assert [index // 40 for index in batch] == list(range(50))  # one of each stretch
    # the first batch's place in its stretch is uniform
    counts = np.bincount(np.concatenate(rows[:10]) % 40, minlength=40)
    assert counts.max() < 40


# ---------------------------------------------------------------------- memory


def test_memory_stays_under_the_buffer(tmp_path, rng):
    """What Python and NumPy allocate while 16 MB are trained on with a buffer of 2 MB."""
    import tracemalloc

    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", "float32", (50_000, 80))
    X[...] = 1.0
    y = np.zeros(50_000, dtype=np.int64)
    stream = bpx.stream(X, y, buffer=2 * 2**20)
    net = bpx.MLP([80, 4, 2], backend="numpy")
    bpx.fit(net, bpx.stream(X[:100], y[:100]), epochs=1)
    tracemalloc.start()
    bpx.fit(net, stream, epochs=2, batch_size=64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 2**20 + 300_000


# ---------------------------------------------------------------------- going on


@pytest.mark.parametrize("kind", ["rows", "batches", "as they come"])
@pytest.mark.parametrize("at", [3, 8, 32, 40])
def test_a_stopped_run_goes_on_exactly(tmp_path, data, on_disk, kind, at):
    """32 batches an epoch of 32 rows, a window of 6 or 7 of them; 11 as they come."""

    def source():
        if kind == "rows":
            return bpx.stream(*on_disk, buffer=BUFFER)
        return bpx.stream(batches_of(data), buffer=BUFFER)

    class Stops(bpx.Callback):
        def on_step_end(self, run):
            if run.step == at:
                raise InterruptedError

    size = None if kind == "as they come" else 32
    options = {"batch_size": size, "net": {"dropout": 0.2}, "checkpoint_steps": 1}
    expected, history = trained("numpy", source(), **options, checkpoint=tmp_path / "whole.ckpt")
    path = tmp_path / "run.ckpt"
    if at < history.steps:
        with pytest.raises(InterruptedError):
            trained("numpy", source(), callbacks=[Stops()], **options, checkpoint=path)
        assert no_threads()
    flat, own = trained("numpy", source(), resume=True, **options, checkpoint=path)
    np.testing.assert_array_equal(flat, expected)
    assert own.loss == history.loss


def test_another_buffer_at_resume_is_refused(tmp_path, on_disk):
    path = tmp_path / "run.ckpt"
    trained("numpy", bpx.stream(*on_disk, buffer=BUFFER), checkpoint=path)
    with pytest.raises(ValueError, match="window"):
        trained("numpy", bpx.stream(*on_disk, buffer=2 * BUFFER), checkpoint=path, resume=True)


def test_other_rows_at_resume_are_refused(tmp_path, on_disk):
    path, (X, y) = tmp_path / "run.ckpt", on_disk
    trained("numpy", bpx.stream(X, y, buffer=BUFFER), checkpoint=path)
    with pytest.raises(ValueError, match="got X with other values"):
        trained("numpy", bpx.stream(X[::-1], y, buffer=BUFFER), checkpoint=path, resume=True)


def test_fewer_batches_at_resume_are_refused(tmp_path, data):
    class Stops(bpx.Callback):
        def on_step_end(self, run):
            if run.step == 25:
                raise InterruptedError

    path = tmp_path / "run.ckpt"
    with pytest.raises(InterruptedError):
        trained(
            "numpy",
            bpx.stream(batches_of(data), buffer=BUFFER),
            checkpoint=path,
            checkpoint_steps=1,
            callbacks=[Stops()],
        )
    with pytest.raises(ValueError, match="the same batches as before"):
        trained("numpy", bpx.stream(batches_of(data)[:3], buffer=BUFFER), checkpoint=path, resume=True)


# ---------------------------------------------------------------------- ranks


@pytest.mark.parametrize("sampling", ["shuffle", "sequential"])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_share_a_stream_and_read_only_their_part(on_disk, close, sampling, size, monkeypatch):
    stream = bpx.stream(*on_disk, buffer=BUFFER)
    expected, history = trained("numpy", stream, sampling=sampling, net={"dropout": 0.2})
    reads = {}
    read = type(stream.source)._read

    def counted(self, start, stop):
        reads[id(self)] = reads.get(id(self), 0) + stop - start
        return read(self, start, stop)

    monkeypatch.setattr(type(stream.source), "_read", counted)

    def run(comm):
        own = bpx.stream(*on_disk, buffer=BUFFER)
        return (*trained("numpy", own, sampling=sampling, net={"dropout": 0.2}, comm=comm), own)

    for flat, own, source in on_ranks(size, run)[0]:
        close(flat, expected)
        np.testing.assert_allclose(own.loss, history.loss, rtol=1e-12)
        assert reads[id(source.source)] <= 3 * (N / size + 33) + 10  # three epochs, and a look at the first row


def test_every_rank_may_have_batches_of_its_own(data, close):
    """Two shards of equal size, in order: the batches of the whole interleaved."""
    X, y = data[0][:960], data[1][:960]
    order = np.arange(960).reshape(-1, 2, 16)  # of a batch of 32 the first 16 rows are rank 0's
    shards = [order[:, rank].ravel() for rank in (0, 1)]
    expected, history = trained("numpy", X, y, sampling="sequential")

    def run(comm):
        own = shards[comm.Get_rank()]
        given = batches_of((X[own], y[own]), 53)
        return trained("numpy", bpx.stream(given, buffer=BUFFER, sharded=True), sampling="sequential", comm=comm)

    for flat, own in on_ranks(2, run)[0]:
        close(flat, expected)
        np.testing.assert_allclose(own.loss, history.loss, rtol=1e-12)


# ---------------------------------------------------------------------- answers


def test_predictions_of_a_stream_are_those_of_arrays(lib, data, on_disk, tmp_path, close):
    for stack in (None, 2):
        net = bpx.MLP([N_IN, 7, CLASSES], dtype="float64", backend=lib, stack=stack)
        expected = lib.to_host(net(data[0]))
        close(bpx.predict(net, bpx.stream(on_disk[0], buffer=BUFFER)), expected)
        close(bpx.predict(net, [batch[0] for batch in batches_of(data)]), expected)
        close(bpx.predict(net, batches_of(data)), expected)
        out = np.lib.format.open_memmap(tmp_path / f"out{stack}.npy", "w+", "float64", expected.shape)
        assert bpx.predict(net, on_disk[0], out, buffer=BUFFER) is out
        close(np.array(out), expected)
    assert no_threads()


@pytest.mark.parametrize("shape", [(N, 2), (N - 1, CLASSES), (N + 1, CLASSES), (N,)])
def test_an_output_of_the_wrong_shape_is_refused(on_disk, shape):
    net = bpx.MLP([N_IN, 7, CLASSES], backend="numpy")
    with pytest.raises(bpx.ShapeError, match="out: expected"):
        bpx.predict(net, on_disk[0], np.empty(shape), buffer=BUFFER)


# ---------------------------------------------------------------------- what goes wrong


class Shrinking:
    """Gives fewer batches each time."""

    def __init__(self, given):
        self.given = given

    def __iter__(self):
        yield from self.given
        self.given = self.given[:-3]


LATER = "expected 1003 rows in every epoch, as in the first, got a stream that ends after 776"
BAD = {
    "another width": (
        lambda b: [*b[:3], (b[3][0][:, :4], b[3][1])], bpx.ShapeError, "X of batch 3: expected 6 columns"
    ),
    "NaN": (lambda b: [*b[:2], (b[2][0] * np.nan, b[2][1])], bpx.NonFiniteError, "X of batch 2: expected finite"),
    "fewer targets": (lambda b: [(b[0][0], b[0][1][:-1])], bpx.ShapeError, "y of batch 0: expected 97 targets"),
    "unknown label": (lambda b: [*b, (b[0][0], b[0][1] + 1)], ValueError, "y of batch 11: expected class labels"),
    "other kind of target": (
        lambda b: [b[0], (b[1][0], np.eye(3)[b[1][1]])], bpx.ShapeError, "y of batch 1: expected the kind of batch 0"
    ),
    "weights come later": (
        lambda b: [b[0], (*b[1], np.ones(97))], bpx.ShapeError, "batch 1: expected the kind of batch 0, none"
    ),
    "no batch": (lambda b: [], bpx.ShapeError, "at least one batch"),
    "not a pair": (lambda b: [b[0][0]], TypeError, r"batch 0: expected \(X, y\) or .*, got ndarray"),
    "once": (lambda b: iter(b), TypeError, "can be iterated over once"),
    "text": (lambda b: [(np.array([["a"] * 6]), b[0][1][:1])], TypeError, "X of batch 0: expected numbers"),
    "ends early": (lambda b: Shrinking(b), ValueError, LATER),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_stream_is_a_clear_error_and_ends_its_thread(data, case):
    make, error, message = BAD[case]
    with pytest.raises(error, match=message):
        trained("numpy", make(batches_of(data)))
    assert no_threads()


@pytest.mark.parametrize("case", [case for case in BAD if case not in ("once", "not a pair")])
def test_a_bad_stream_on_one_rank_is_an_error_on_all(data, case):
    make, error, _ = BAD[case]
    good = batches_of(data)

    def run(comm):
        given = make(good) if comm.Get_rank() == 1 else good
        return trained("numpy", bpx.stream(given, sharded=True), comm=comm)

    first, second = on_ranks(2, run)[0]
    assert isinstance(second, (error, ValueError))
    assert isinstance(first, (RankFailedError, ValueError))
    assert no_threads()


def test_ranks_that_read_other_rows_are_refused(on_disk):
    X, y = on_disk

    def run(comm):
        rows = X if comm.Get_rank() == 0 else X[::-1]
        return trained("numpy", bpx.stream(rows, y, buffer=BUFFER), comm=comm)

    for error in on_ranks(2, run)[0]:
        assert "X: other values on rank 1" in str(error)


def test_ranks_whose_streams_have_other_numbers_of_batches_are_refused(data):
    good = batches_of(data)

    def run(comm):
        given = good if comm.Get_rank() == 0 else good[:4]
        return trained("numpy", bpx.stream(given, sharded=True), comm=comm)

    for error in on_ranks(2, run)[0]:
        assert "streams that end early on 1 of 2 ranks" in str(error)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": "lbfgs"}, ValueError, "needs all samples in memory"),
        ({"sampling": "replacement"}, ValueError, "'shuffle' or 'sequential'"),
        ({"class_weight": "balanced"}, ValueError, "expected a dict for a stream"),
        ({"batch_size": 400}, ValueError, "two windows of a batch of 400 rows"),
        ({"batch_size": None}, ValueError, "two windows of a batch of 1003 rows"),
        ({"sample_weight": np.ones(N)}, TypeError, "the stream has its own"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(on_disk, options, error, message):
    with pytest.raises(error, match=message):
        trained("numpy", bpx.stream(*on_disk, buffer=BUFFER), **options)


def test_what_cannot_be_streamed_is_refused(on_disk, data, tmp_path):
    X, y = on_disk
    for make, error, message in (
        (lambda: bpx.stream(5), TypeError, "an iterable of batches"),
        (lambda: bpx.stream(X, y[:-1]), bpx.ShapeError, "y: expected an array with 1003 rows"),
        (lambda: bpx.stream(X[:, 0], y), bpx.ShapeError, "expected 2 dimensions"),
        (lambda: bpx.stream(X, y, buffer=0), ValueError, "buffer: expected at least 1"),
        (lambda: bpx.stream(X, y, block=2.5), TypeError, "block: expected a positive integer"),
        (lambda: bpx.stream(bpx.stream(X, y)), TypeError, "got a stream"),
        (lambda: bpx.stream(batches_of(data), y), TypeError, "y: expected None"),
        (lambda: bpx.stream(X, y, sharded=True), ValueError, "sharded: expected an iterable"),
        (lambda: bpx.stream(X, y, columns=["a"]), ValueError, "columns: expected a Parquet"),
        (lambda: trained("numpy", data[0]), TypeError, "y: expected targets, got None"),
        (lambda: trained("numpy", bpx.stream(X, buffer=BUFFER)), TypeError, "y: expected targets in the stream"),
        (lambda: trained("numpy", X[:0], y[:0]), bpx.ShapeError, "at least one sample"),
    ):
        with pytest.raises(error, match=message):
            make()


def test_columns_of_a_parquet_file_are_checked(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"a": [1.0, None], "b": ["x", "y"], "c": [0, 1]}), path)
    with pytest.raises(ValueError, match="expected columns d, got a data set with a, b, c"):
        bpx.stream(path, "d")
    with pytest.raises(TypeError, match="y: expected the name of a column"):
        bpx.stream(path, np.zeros(2))
    with pytest.raises(ValueError, match="c, which hold targets"):
        bpx.stream(path, "c", columns=["a", "c"])
    with pytest.raises(TypeError, match="column b: expected numbers, got string"):
        bpx.stream(path, "c")
    net = bpx.MLP([1, 2], backend="numpy")
    with pytest.raises(bpx.NonFiniteError, match=r"X of the first row|X: expected finite"):
        bpx.fit(net, bpx.stream(path, "c", columns=["a"]), epochs=1)


def test_large_chunks_are_refused_with_the_buffer_they_need(tmp_path, data):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(str(tmp_path / "X.zarr"), shape=data[0].shape, chunks=(500, N_IN), dtype="float64")
    stored[...] = data[0]
    with pytest.raises(ValueError, match=r"buffer: expected at least 2\d\d\d\d\d bytes, eight times the largest chunk"):
        trained("numpy", bpx.stream(stored, data[1], buffer=BUFFER))


def test_windows_of_a_short_array_are_no_longer_than_it(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bpx.streams import sequential

    made: list[int] = []
    whole = sequential.DoubleBuffer
    monkeypatch.setattr(
        sequential, "DoubleBuffer", lambda backend, rows, like: made.append(rows) or whole(backend, rows, like)
    )
    net = bpx.MLP([3, 4, 2], backend="numpy")
    X = rng.normal(size=(7, 3))
    assert np.allclose(bpx.predict(net, bpx.stream(X)), net(X), atol=1e-6)
    assert made == [7]


def test_windows_are_halved_where_memory_runs_out(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from bpx.streams import sequential

    whole = sequential.DoubleBuffer

    def short(backend: Any, rows: int, like: Any) -> Any:
        if rows > 20:
            raise MemoryError("no room")
        return whole(backend, rows, like)

    monkeypatch.setattr(sequential, "DoubleBuffer", short)
    net = bpx.MLP([3, 4, 2], backend="numpy")
    X = rng.normal(size=(100, 3))
    with caplog.at_level("INFO", logger="bpx"):
        assert np.allclose(bpx.predict(net, bpx.stream(X)), net(X), atol=1e-6)
    assert "memory ran out for windows of 100 rows, which are of 13 now" in caplog.text


@pytest.mark.parametrize("outer", [list, tuple])
@pytest.mark.parametrize("inner", [list, tuple])
def test_rows_may_be_lists_and_tuples_of_numbers(outer: Any, inner: Any) -> None:
    net = bpx.MLP([3, 4, 2], backend="numpy")
    rows = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    given = outer(inner(row) for row in rows.tolist())
    np.testing.assert_allclose(bpx.predict(net, given), net(rows), rtol=1e-6)


def test_predict_says_what_to_do_with_a_sparse_matrix() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"sparse matrix; use X\.toarray"):
        bpx.predict(bpx.MLP([3, 2], backend="numpy"), sparse.csr_matrix(np.eye(3)))


def test_outputs_are_not_written_into_a_read_only_array(tmp_path):
    np.save(tmp_path / "out.npy", np.zeros((4, 1), dtype=np.float32))
    out = np.load(tmp_path / "out.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=r"read-only one; open the file with mode 'r\+'"):
        bpx.predict(bpx.MLP([2, 1], output="identity", backend="numpy"), np.ones((4, 2)), out=out)

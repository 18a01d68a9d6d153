"""Operations of the compiled library: all there, equal to the formulas, the same bits however they are shared."""

from __future__ import annotations

import inspect
import itertools
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import test_kernels
from native_samples import (
    NAMES,
    SETTINGS,
    Team,
    arrays_of,
    asked_for,
    bits,
    name_of,
    recorded,
    restore,
    run_as_team,
    run_share,
    train,
)
from test_architecture import fresh_process
from test_native_build import compiles

import bpx
from bpx.formulas import activations, dropout, linear, losses, updates
from bpx.formulas.activations import ACTIVATIONS
from bpx.formulas.losses import LOSSES
from bpx.kernels import native, select
from bpx.kernels.native import build, library, operations
from bpx.kernels.native.operations import Call

try:
    AVAILABLE = library.load().available
except native.NoLibraryError:
    AVAILABLE = []
needs_library = pytest.mark.skipif(not AVAILABLE, reason="no compiled library is here")
DTYPES = ("float32", "float64")
PARTS = (2, 3, 5)


@compiles
def test_where_there_is_a_compiler_the_tests_run_the_compiled_library():
    try:
        native.load()
    except native.NoLibraryError as error:
        pytest.fail(f"there is a compiler, but no library, so that no test is of the native kernels: {error}")
    assert select.for_backend(bpx.get_backend("numpy"), "float32").packages[0] is native


def with_instructions(monkeypatch, instructions):
    """Have an instruction set of the library in place of the best one."""
    chosen = library.Library(build.library_path(), instructions)
    monkeypatch.setattr(library, "load", lambda: chosen)
    return chosen


@pytest.fixture(params=AVAILABLE)
def instructions(request, monkeypatch):
    """Each instruction set that this processor has."""
    return with_instructions(monkeypatch, request.param)


@pytest.fixture
def kernels(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "auto")
    return select.for_backend(bpx.get_backend("numpy"), "float64")


@needs_library
def test_every_operation_is_there_for_each_instruction_set_and_type():
    assert set(NAMES) == asked_for()
    for instructions in AVAILABLE:
        chosen = library.Library(build.library_path(), instructions)
        addresses = [chosen.function(name, is_double) for name in NAMES for is_double in (False, True)]
        assert all(addresses)
        with pytest.raises(KeyError, match="no operation 'reul_forward'"):
            chosen.function("reul_forward", True)


@needs_library
@pytest.mark.slow
def test_the_environment_chooses_instructions_and_threads():
    show = "import {}; from bpx.kernels.native import library; print(library.load().instructions, library.threads())"
    for instructions in AVAILABLE:
        chosen = f"os; os.environ.update(BPX_INSTRUCTIONS='{instructions}', BPX_THREADS='3')"
        assert fresh_process(show.format(chosen)).split() == [instructions, "3"]
    wrong = "os; os.environ.update(BPX_INSTRUCTIONS='mmx')"
    with pytest.raises(AssertionError, match=r"BPX_INSTRUCTIONS: expected one of .*, got 'mmx'"):
        fresh_process(show.format(wrong))


# ---------------------------------------------------------------------- as the formulas


def of_kernels_alone():
    """The tests of test_kernels that compare kernels with formulas, each with all of its cases."""
    for name, function in inspect.getmembers(test_kernels, inspect.isfunction):
        names = set(inspect.signature(function).parameters)
        if name.startswith("test_") and "kernels" in names and "monkeypatch" not in names:
            yield pytest.param(function, id=name.removeprefix("test_"))


def cases(function):
    """Arguments of a test by its marks."""
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    for values in itertools.product(*(mark.args[1] for mark in marks)):
        given = {}
        for mark, value in zip(marks, values, strict=True):
            several = not isinstance(mark.args[0], str)
            given |= dict(zip(mark.args[0], value, strict=True)) if several else {mark.args[0]: value}
        yield given


# The best one is what test_kernels itself has.
@pytest.mark.parametrize("name", AVAILABLE[1:])
@pytest.mark.parametrize("function", list(of_kernels_alone()))
def test_kernels_of_each_instruction_set_equal_the_formulas(monkeypatch, kernels, function, name):
    with_instructions(monkeypatch, name)
    wanted = inspect.signature(function).parameters
    for given in cases(function):
        random = {"rng": np.random.default_rng(20260101)} if "rng" in wanted else {}  # those that test_kernels takes
        function(kernels=kernels, **random, **given)


def loss_cases(dtype):
    """Every loss of `bpx.formulas.losses` with a kernel: its formula, capped or not, and what it may be given."""
    plain = [loss.on_outputs for loss in LOSSES.values()] + [loss.on_logits for loss in LOSSES.values()]
    several = [
        losses.huber(0.3).on_outputs,
        losses.quantile(0.2).on_outputs,
        losses.quantile((0.1, 0.5, 0.9)).on_outputs,
    ]
    for formula in [f for f in plain if f is not None] + several:
        yield formula
        yield partial(losses.capped, formula=formula)


def outputs_for(formula, rng, shape, dtype):
    """Outputs and targets on which a loss is defined."""
    name = str(getattr(formula, "keywords", {}).get("formula", formula))
    any_number = "_with_" in name or ("entropy" not in name and "poisson" not in name)
    output = rng.normal(size=shape) if any_number else rng.random(shape)
    target = rng.random(shape[-2:]) if "entropy" in name else rng.poisson(1.0, shape[-2:])
    return output.astype(dtype), target.astype(dtype)


@needs_library
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_loss_equals_its_formula_with_each_instruction_set(instructions, kernels, rng, dtype):
    kernel = kernels.of(losses.value_and_grad)
    for formula, lead, rows in itertools.product(loss_cases(dtype), ((), (2,)), (1, 37)):
        output, target = outputs_for(formula, rng, (*lead, rows, 3), dtype)
        for weight in (None, rng.random((rows, 1)).astype(dtype)):
            expected = losses.value_and_grad(np, formula, output, target, weight)
            actual = kernel(np, formula, output, target, weight)
            test_kernels.same(actual[0], expected[0], terms=4)
            test_kernels.same(actual[1], expected[1], terms=2)


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-42, -1e-42, 88.0, -88.0, 700.0, -700.0, 0.5, 1e-9]


@needs_library
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_where_a_number_lies_in_an_array_changes_no_bit(instructions, kernels, rng, name, dtype):
    kernel = kernels.activation(ACTIVATIONS[name])
    numbers = np.concatenate([SPECIAL, rng.normal(size=200) * rng.choice([0.1, 1.0, 10.0], 200)]).astype(dtype)
    with np.errstate(all="ignore"):
        for n in (1, 2, 3, 5, 8, 17, 31, 64, 1100):
            row = np.resize(numbers, n) if n > numbers.size else rng.choice(numbers, n)
            if ACTIVATIONS[name].output_only and name == "softmax":
                rows, k = np.resize(row, (n, 4)), 4  # here a row stays one
            else:
                rows, k = row[None], n
            slope, together = kernel.after_bias(np, rows.copy(), None)
            apart = [
                kernel.after_bias(np, part.copy(), None) for part in np.split(rows.reshape(-1, 1 if k == n else k), n)
            ]
            assert bits([together]) == [b"".join(bits(a for _, a in apart))]
            if ACTIVATIONS[name].differentiable:
                grad = np.resize(numbers[::-1], rows.shape)
                back = kernel.backward(np, grad, slope, together, out=np.empty_like(grad))
                parts = np.split(grad.reshape(-1, 1 if k == n else k), n)
                each = [kernel.backward(np, g, *za, out=np.empty_like(g)) for g, za in zip(parts, apart, strict=True)]
                assert bits([back]) == [b"".join(bits(each))]


# ---------------------------------------------------------------------- shares

LENGTHS = [1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 65, 100, 129]
STACKS = [(), (), (1,), (3,), (7,)]


def launches(kernels, rng, dtype):
    """Calls of every kernel, for random sizes."""

    def some(*shape):
        values = rng.normal(size=shape).astype(dtype)
        if rng.random() < 0.2 and values.size:
            values.reshape(-1)[rng.integers(values.size)] = rng.choice([np.nan, np.inf, 0.0])
        return values

    lead = STACKS[rng.integers(len(STACKS))]
    n, k, m = (int(rng.choice(LENGTHS)) for _ in range(3))
    module = kernels.module(linear)
    for activation in [*ACTIVATIONS.values(), activations.leaky_relu(0.3), activations.elu(0.5)]:
        made = kernels.activation(activation)
        b = [None, some(1, k), some(*lead, 1, k)][rng.integers(3)]
        z = some(*lead, n, k)
        if activation is ACTIVATIONS["identity"] and b is None:
            continue
        yield made.after_bias, (np, z, b)
        if activation.differentiable and activation.name != "identity":
            yield made.backward, (np, some(*lead, n, k), z, some(*lead, n, k), some(*lead, n, k))
    value_and_grad = kernels.of(losses.value_and_grad)
    for formula in loss_cases(dtype):
        output, target = outputs_for(formula, rng, (*lead, n, 3), dtype)
        if rng.random() < 0.3:
            target = np.ascontiguousarray(np.broadcast_to(target, output.shape))
        weight = [None, abs(some(n, 1)), abs(some(*lead, n, 1))][rng.integers(3)]
        yield value_and_grad, (np, formula, output, target, weight)
    for formula in (losses.cross_entropy, losses.cross_entropy_with_softmax):
        labels = rng.integers(0, k, n).astype(rng.choice(["int32", "int64"]))
        yield value_and_grad, (np, formula, some(*lead, n, k), labels, None)
    index = rng.integers(0, n, (*lead, m))
    for shape in ((n,), (n, k), (n, k, 2)):
        yield module.gather, (np, rng.integers(0, 255, shape).astype(rng.choice(["i1", "i2", "f4", "f8"])), index)
    if lead:
        yield partial(module.gather, axis=-2), (np, some(*lead, n, 1), index)
    counts = np.concatenate([[0], np.cumsum(rng.integers(0, 4, n))])
    for kind in ("int32", "int64"):
        indices = rng.integers(0, k, counts[-1])
        csr = SimpleNamespace(indptr=counts.astype(kind), indices=indices.astype(kind), data=some(counts[-1]))
        yield module.fill_rows, (np, csr, index, np.empty((*lead, m, k), dtype))
        yield module.fill_rows, (np, csr, None, np.empty((n, k), dtype))
    a, b = some(*lead, n, m), some(*lead, m, k)
    yield module.product, (np, a, b)
    yield module.product, (np, some(*lead, m, n).mT, b)
    yield module.product, (np, a, some(*lead, k, m).mT)
    yield module.product, (np, some(n, m), some(*lead, k, m).mT)
    yield module.product, (np, some(n, m), b)
    yield module.product, (np, some(*lead, 3, m), some(*lead, k, m).mT)
    yield module.product, (np, some(*lead, m, n).mT, b)
    yield module.times, (np, a, some(n, m))
    yield module.column_sums, (np, a, np.empty((*lead, 1, m), dtype))
    yield module.weight_sum, (np, a[..., :1].copy())
    total = np.zeros(lead)
    for weight in (3, np.asarray(some(*lead)), np.asarray(rng.random(lead))):
        yield module.accumulate, (np, total, np.asarray(some(*lead)), weight)
    p = int(rng.choice([1, 63, 64, 65, 255, 4095, 4096, 4097, 9000]))
    flat, grads, *kept = (some(*lead, p) for _ in range(4))
    loss = np.asarray(some(*lead))
    for strengths in ((some(p), None), (None, some(*lead, p)), (some(p), some(p))):
        samples = [None, 8, np.asarray(abs(some(*lead)))][rng.integers(3)]
        yield module.add_penalty, (np, loss, flat, *strengths, samples, grads)
    equations = kernels.module(updates)
    rate = 0.1 if not lead or rng.random() < 0.5 else rng.random((*lead, 1))
    hyper = 0.9 if not lead or rng.random() < 0.5 else rng.random((*lead, 1))
    squares = [abs(s) for s in kept]
    yield equations.clip_by_global_norm, (np, grads, 0.5 if rng.random() < 0.5 or not lead else rate)
    yield equations.gradient_descent, (np, grads, flat, rate)
    yield equations.momentum, (np, grads, kept[0], flat, rate, hyper, bool(rng.integers(2)))
    yield equations.rmsprop, (np, grads, squares[0], flat, rate, hyper, 1e-8)
    yield equations.adagrad, (np, grads, squares[0], flat, rate, 1e-8)
    for hat in (False, True):
        yield equations.adam, (np, grads, kept[0], squares[1], flat, 3, rate, hyper, 0.999, 1e-8, hat, 0.01)
    seeds = np.asarray(rng.integers(0, 2**31, (*lead, 1) if lead else ()))
    yield kernels.of(dropout.dropout_mask), (np, (n, k), 0.4, seeds, 5, 77, 2, np.dtype(dtype), int(rng.integers(9)))


def checks(rng, dtype):
    """The operations that have no kernel of their own."""
    networks, n, k = int(rng.choice([1, 3])), int(rng.choice(LENGTHS)), int(rng.choice(LENGTHS))
    x, sums = rng.normal(size=(networks, n, k)).astype(dtype), np.empty((networks, n))
    x[0, 0, 0] = rng.choice([0.0, np.nan, np.inf])
    yield Call("zero_sums", x.dtype, ("rows", n), (networks, n, k), (), (x, sums), (1,), ())


def compare_shares(calls, rng):
    """Do operations as a whole, and again in shares, in any order."""
    for call in calls:
        arrays = arrays_of([call])
        before = [a.copy() for a in arrays]
        run_share(call, 0, 1)
        expected = bits(arrays)
        for parts in PARTS:
            restore(arrays, before)
            for part in rng.permutation(parts):
                run_share(call, int(part), parts)
            assert bits(arrays) == expected, (name_of(call), list(call.row.n), parts)


@needs_library
@pytest.mark.parametrize("dtype", DTYPES)
def test_operations_in_shares_give_the_bits_of_the_whole(instructions, kernels, rng, dtype):
    seen = set()
    for _ in range(8):
        for kernel, args in launches(kernels, rng, dtype):
            calls = recorded(kernel, *args)
            assert calls
            seen |= {name_of(call) for call in calls}
            compare_shares(calls, rng)
        for call in checks(rng, dtype):
            compare_shares([call], rng)
            seen.add(name_of(call))
    assert seen == set(NAMES) - {"end_epoch"}  # which no team shares


@needs_library
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 5, 23, 24, 25, 100])
@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 50), (700, 20), (900, 300)])
def test_every_number_of_a_product_is_the_same_sum(instructions, kernels, n, m, k, dtype):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, m)).astype(dtype), rng.normal(size=(m, k)).astype(dtype)
    product = kernels.module(linear).product
    for transposed in (a, np.ascontiguousarray(a.T).T):
        whole = product(np, transposed, b)
        rows = [0, n // 2, n - 1]
        each = [product(np, a[i : i + 1].copy(), b) for i in rows]
        for i, row in zip(rows, each, strict=True):
            assert row.tobytes() == whole[i].tobytes()
        for j in sorted({0, k // 2, k - 2} & set(range(k - 1))):  # one column alone is sums in another order
            assert product(np, transposed, b[:, j : j + 2].copy()).tobytes() == whole[:, j : j + 2].tobytes()


@needs_library
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_steps_of_a_team_give_the_bits_of_one_thread(monkeypatch, rng, options, dtype):
    team = Team(monkeypatch, 1)
    train(dtype, **{"sizes": (16, 9, 16, 3), **options})  # as many inputs as rows in a batch, and as layer 2 has
    assert team.tables
    for table in team.tables:
        table.prepare_for_a_team()
        calls = table._calls
        arrays = arrays_of(calls)
        before = [a.copy() for a in arrays]
        results = []
        for parts in (1, *PARTS):
            restore(arrays, before)
            run_as_team(calls, parts, rng)
            results.append(bits(arrays))
        assert all(result == results[0] for result in results[1:])
        assert results[0] != bits(before)


def test_operations_meet_only_where_one_needs_anothers_shares():
    a, b, c = (np.zeros(64, dtype=np.float32) for _ in range(3))

    def call(read, written, unit, whole=()):
        return Call("times", a.dtype, unit, (1, 8, 8, 0, 0), (), (read, read, written), (2,), whole)

    if not AVAILABLE:
        pytest.skip("no compiled library is here")
    rows = ("rows", 8)
    waits = [c.row.waits for c in operations.in_phases([call(a, b, rows), call(b, c, rows)])]
    assert waits == [0, 0]
    assert [c.row.waits for c in operations.in_phases([call(a, b, rows), call(b, c, ("columns", 8))])] == [0, 1]
    assert [c.row.waits for c in operations.in_phases([call(a, b, rows), call(b, c, rows, (0, 1))])] == [0, 1]
    assert [c.row.waits for c in operations.in_phases([call(a[:8], b, rows), call(c, a, ("columns", 8))])] == [0, 1]
    assert [c.row.waits for c in operations.in_phases([call(a[:8], b, rows), call(c, a[8:], ("columns", 8))])] == [0, 0]


@needs_library
def test_a_library_that_is_cut_short_is_refused_before_it_is_used(tmp_path):
    whole = Path(build.library_path()).read_bytes()
    cut = tmp_path / "cut.so"
    for size in (4096, len(whole) // 2, len(whole) - 100):
        cut.write_bytes(whole[:size])
        if whole[:4] == b"\x7fELF":
            with pytest.raises(OSError, match="cut short"):
                library._refuse_cut_short(cut)
    cut.write_bytes(whole)
    library._refuse_cut_short(cut)


@pytest.mark.parametrize("mode", ["auto", "eager"])
def test_rows_inside_of_packed_records_are_read_as_they_are(monkeypatch, rng, mode):
    monkeypatch.setenv("BPX_KERNELS", mode)
    for width in (1, 5):
        packed = np.zeros(50, dtype=[("x", "f8", (width,)), ("id", "i4")])
        packed["x"] = rng.normal(size=(50, width))
        net = bpx.MLP([width, 7, 3], dtype="float64", backend="numpy")
        expected = net.activations(packed["x"].copy())
        for actual, layer in zip(net.activations(packed["x"]), expected, strict=True):
            np.testing.assert_array_equal(actual, layer)
        np.testing.assert_array_equal(net(packed["x"]), expected[-1])

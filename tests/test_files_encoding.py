"""Nested plain data, as estimators and training keep them, come back from JSON and arrays as they were."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import bpx
from bpx.files.nested_decoder import Decoder
from bpx.files.nested_encoder import Encoder, NotPlainError


def there_and_back(value: Any) -> Any:
    """Through the text of JSON, as in a file."""
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "value"), allow_nan=False)
    kept = {name: array.copy() for name, array in encoder.arrays.items()}
    assert all(array.dtype.kind in "biuf" for array in kept.values())
    return Decoder(kept).decode(json.loads(text), "value")


def same(a: Any, b: Any) -> bool:
    """Equal in type, structure and value; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        equal = np.array_equal(a, b, equal_nan=a.dtype.kind in "fmM")
        return equal and a.dtype == b.dtype and a.shape == b.shape
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


NUMBERS = st.sampled_from(["bool", "int8", "uint32", "int64", "float16", "float32", "float64"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
TREES = st.recursive(
    SCALARS
    | NUMBERS.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(st.floats(), min_size=15, max_size=20)
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(TREES)
@pytest.mark.slow
def test_any_tree_of_plain_data_comes_back(value):
    assert same(there_and_back(value), value)


OBJECTS: dict[str, Any] = {
    "strings": np.array(["", "a", "Zoë", "\ud800"]),
    "objects": np.array(["a", 1, None, 2.5, True], dtype=object),
    "many names": np.array([f"name {i}" for i in range(40)], dtype=object),
    "names that NumPy would cut": np.array(["a\0"] * 40, dtype=object),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "durations": np.array([1, -5], dtype="m8[7D]"),
    "rows": [np.arange(3.0) + i for i in range(30)],
    "rows of different shapes": [np.arange(float(i)) for i in range(30)],
    "rows of matrices": [np.ones((2, 2), np.float32) * i for i in range(30)],
    "scalar arrays": [np.asarray(float(i)) for i in range(30)],
    "not finite": [math.inf, -math.inf, math.nan, np.array([np.nan, np.inf])],
    "strided": np.arange(12.0).reshape(3, 4).T[::2],
}


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_what_hypothesis_would_not_find_comes_back(value):
    assert same(there_and_back(value), value)


def test_numbers_of_numpys_become_plain_ones():
    assert same(
        there_and_back([np.float32(0.1), np.int8(3), np.bool_(True), np.str_("a")]),
        [float(np.float32(0.1)), 3, True, "a"],
    )
    assert same(there_and_back({np.int64(3): 1}), {3: 1})


MADE = [
    bpx.SGD(0.1, momentum=0.9, nesterov=True),
    bpx.RMSprop(0.1),
    bpx.Adagrad([0.1, 0.2]),
    bpx.Adam(bpx.schedules.Cosine(0.1, 7), clip_norm=1.0),
    bpx.AdamW(bpx.schedules.WarmUp(bpx.schedules.StepDecay([0.1, 0.2], 3), 4)),
    bpx.schedules.Constant(0.1),
    bpx.schedules.InverseScaling(0.1, 0.3, "step"),
    bpx.schedules.Adaptive(0.1),
    bpx.activations.leaky_relu(0.2),
    bpx.losses.quantile([0.1, 0.9]),
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__ + getattr(made, "name", ""))
def test_bpxs_own_objects_come_back_as_they_are_shown(made):
    again = there_and_back(made)
    assert type(again) is type(made)
    assert repr(again).split(" at 0x")[0] == repr(made).split(" at 0x")[0]


def test_every_optimizer_and_schedule_is_known():
    kinds = {type(made).__name__ for made in MADE}
    assert kinds >= {cls.__name__ for cls in bpx.optimizers.OPTIMIZERS.values()}
    assert kinds >= {*bpx.schedules.__all__} - {"Clock", "Schedule", "Cosine", "WarmUp", "StepDecay"}


def test_a_generators_next_numbers_come_back():
    random = np.random.RandomState(5)
    random.normal(size=3)
    again = there_and_back(random)
    assert np.array_equal(again.normal(size=700), random.normal(size=700))


class Mine(bpx.schedules.Schedule):
    """A schedule of the user's own."""

    def rate(self, state: Any, clock: Any) -> Any:
        return 1.0


@pytest.mark.parametrize(
    "value",
    [print, object(), {1, 2}, b"bytes", 1j, np.array([1j]), np.array([b"a"]), np.zeros(2, "f4,i4"), {(1, 2): 3}, Mine(),
     np.array([object()], dtype=object), np.array([["a"]]), np.random.default_rng(0), bpx.Activation("relu", print),
     np.random.RandomState(np.random.PCG64(1)), bpx.Adam(Mine())],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_not_plain_is_refused_with_its_place(value):
    with pytest.raises(NotPlainError, match=r"value\.1\S*: expected"):
        Encoder().encode([0, value], "value")

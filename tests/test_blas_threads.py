"""Small products are kept from OpenBLAS's threads, whose number is afterwards what it was."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import bpx
from bpx.backend import blas
from bpx.formulas.losses import squared_error

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(192, 64)), RNG.normal(size=(192, 1))


class Library:
    """A BLAS of four threads; `seen` are the numbers that were set."""

    def __init__(self):
        self.threads, self.seen = 4, []

    def get(self):
        return self.threads

    def set(self, number):
        self.threads = number
        self.seen.append(number)


@pytest.fixture
def library(monkeypatch):
    one = Library()
    monkeypatch.setattr(blas, "_library", lambda: blas._Library(one.get, one.set))
    return one


def net(width=256):
    return bpx.MLP([64, width, 1], output="identity", backend="numpy")


def test_a_step_on_small_products_takes_one_thread_and_gives_the_others_back(library):
    inside, outside = [], []

    def loss(xp, output, target):
        inside.append(library.threads)
        return squared_error(xp, output, target)

    class Looks(bpx.Callback):
        def on_step_end(self, run):
            outside.append(library.threads)

    bpx.fit(net(), X, Y, loss=loss, epochs=2, batch_size=64, callbacks=[Looks()], validation=(X, Y))
    assert set(inside) == {1}
    assert len(outside) == 6
    assert set(outside) == {4}
    assert library.threads == 4


def test_an_error_in_a_step_gives_the_threads_back(library):
    def loss(xp, output, target):
        raise RuntimeError(f"with {library.threads}")

    with pytest.raises(RuntimeError, match="with 1"):
        bpx.fit(net(), X, Y, loss=loss, epochs=1, batch_size=64)
    assert library.threads == 4


@pytest.mark.parametrize(("rows", "width", "seen"), [(192, 4, []), (96, 256, [1, 4]), (192, 4096, [])])
def test_only_products_between_openblas_own_limit_and_large_ones_are_kept_from_threads(library, rows, width, seen):
    assert (blas.ALONE < rows * 64 * width <= blas.SMALL) == bool(seen)
    net(width)(X[:rows])
    assert library.seen == seen


def test_the_last_of_overlapping_threads_gives_the_number_back(library):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with blas.threads_for(blas.SMALL):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    with blas.threads_for(blas.SMALL):
        assert library.threads == 1
    assert library.threads == 1
    leave.set()
    thread.join()
    assert library.seen == [1, 4]


def test_a_number_that_somebody_sets_meanwhile_stays(library):
    with blas.threads_for(blas.SMALL):
        library.set(2)
    assert library.threads == 2


def test_one_thread_stays_one_and_another_blas_is_left_alone(library, monkeypatch):
    library.threads = 1
    with blas.threads_for(blas.SMALL):
        pass
    assert library.seen == []
    monkeypatch.setattr(blas, "_library", lambda: None)
    with blas.threads_for(blas.SMALL):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_is_forked_in_the_middle_has_the_threads_back(library):
    with blas.threads_for(blas.SMALL):
        blas._anew()  # what runs in the child
        assert library.threads == 4
        assert blas._inside == 0
        blas._inside = 1
        library.threads = 1
    assert library.threads == 4


def test_the_openblas_of_numpys_wheel_is_found_and_gives_the_same_numbers():
    found = blas._library()
    if found is None:
        pytest.skip("NumPy has another BLAS here")
    before = found.get()
    flat = []
    try:
        for threads in (2, 1):
            found.set(threads)
            one = net()
            bpx.fit(one, X, Y, loss="squared_error", epochs=2, batch_size=64)
            assert found.get() == threads
            flat.append(one.flat.copy())
    finally:
        found.set(before)
    np.testing.assert_array_equal(*flat)

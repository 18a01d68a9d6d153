"""A world of threads that speak like an mpi4py communicator, for trying every array library in one process."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np

WAIT = 60.0  # seconds after which a rank that waits for another is an error, not a hang


class World:
    """What the ranks share."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size, timeout=WAIT)
        self.slots = [None] * size
        self.calls = Counter()


class Comm:
    """One rank's communicator; sums are made in the order of the ranks."""

    def __init__(self, world, rank):
        self._world, self._rank = world, rank

    def Get_rank(self):
        return self._rank

    def Get_size(self):
        return self._world.size

    def _swap(self, name, value):
        """Every rank's value, to every rank."""
        world = self._world
        if self._rank == 0:
            world.calls[name] += 1
        world.slots[self._rank] = (name, value)
        world.barrier.wait()
        given = list(world.slots)
        world.barrier.wait()
        assert {kind for kind, _ in given} == {name}, f"ranks wait for different things: {given}"
        return [each for _, each in given]

    def allgather(self, value):
        return self._swap("allgather", value)

    def bcast(self, value, root=0):
        return self._swap("bcast", value)[root]

    def Bcast(self, array, root=0):
        array[...] = self._swap("Bcast", array.copy())[root]

    def Allreduce(self, sent, array):
        assert sent is None  # in place
        array[...] = np.sum(self._swap("Allreduce", array.copy()), axis=0)


def on_ranks(size, function):
    """``function(comm)`` on so many ranks at the same time: their results, or their exceptions, and the world."""
    world = World(size)

    def rank(number):
        try:
            return function(Comm(world, number))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        running = [pool.submit(copy_context().run, rank, number) for number in range(size)]
        return [done.result(timeout=2 * WAIT) for done in running], world

"""Where labels stand on their lines so that none covers another, a node or much of another line."""

from __future__ import annotations

import numpy as np

from bpx.plotting.arrays import HostArray

__all__ = ["overlap", "place"]

# Places tried on each line; beginnings by chance; and how often labels that are in the way are moved by chance.
PLACES = np.linspace(0.08, 0.92, 43)
ORDERS, KICKS = 10, 160
# What counts how much: a square point of overlap, a point of another line that is covered, the way from the middle.
OVERLAP, COVERED, WAY = 10.0, 2.5, 12.0
# Kept free around a label, in points.
MARGIN, NEAR = 2.0, 5.0


def place(starts: HostArray, ends: HostArray, sizes: HostArray, taken: HostArray) -> HostArray:
    """The middle of each line's label.

    Each label first stands where it costs least; then each in turn moves to where it costs least given the others,
    until none moves. While some are in the way, these are moved by chance and all settle again (an iterated local
    search); the best outcome is taken. The same input gives the same places.

    Parameters
    ----------
    starts, ends : arrays of shape (m, 2)
        Lines, in points.
    sizes : array of shape (m, 2)
        Widths and heights of their labels.
    taken : array of shape (k, 4)
        Boxes that are not free: left, bottom, right, top.

    Returns
    -------
    array of shape (m, 2)
    """
    count = len(starts)
    middles = starts[:, None, :] + PLACES[None, :, None] * (ends - starts)[:, None, :]
    half = sizes[:, None, :] / 2 + MARGIN
    boxes = np.concatenate([middles - half, middles + half], axis=-1)
    own = WAY * np.abs(PLACES - 0.5) + np.zeros((count, 1))
    taken_up = OVERLAP * overlap(boxes[:, :, None, :], taken[None, None, :, :]).sum(axis=-1)
    own += taken_up
    near = np.array([-NEAR, -NEAR, NEAR, NEAR])  # beside a crossing it is not clear whose label it is
    covered = _inside(boxes[:, :, None, :] + near, starts, ends)
    covered[np.arange(count), :, np.arange(count)] = 0.0
    own += COVERED * covered.sum(axis=-1)
    # Overlap of each place of each label with each of every other's.
    shared = OVERLAP * overlap(boxes[:, :, None, None, :], boxes[None, None, :, :, :])
    shared[np.arange(count), :, np.arange(count), :] = 0.0

    rng, every = np.random.default_rng(0), np.arange(count)

    def settle(at: HostArray) -> tuple[HostArray, float]:
        """Let each label move in turn until none does; the places, and the square points that are covered."""
        for _ in range(20):
            before = at.copy()
            for i in rng.permutation(count):
                at[i] = np.argmin(own[i] + shared[i][:, every, at].sum(axis=1))
            if np.array_equal(before, at):
                break
        return at, float(own[every, at].sum() + shared[every[:, None], at[:, None], every, at].sum() / 2)

    best, least = settle(np.argmin(own, axis=1))
    for attempt in range(KICKS):
        pairs = shared[every[:, None], best[:, None], every, best].sum(axis=1)
        stuck = np.flatnonzero(pairs + taken_up[every, best] > 0)
        if attempt >= ORDERS and not stuck.size:
            break
        start = best.copy()
        # Those that are in the way, and some that may make room; now and then all anew.
        moved = np.union1d(stuck, rng.choice(count, rng.integers(1, 1 + max(1, count // 3)), replace=False))
        moved = every if attempt < ORDERS else moved
        start[moved] = rng.integers(0, len(PLACES), len(moved))
        found, cost = settle(start)
        if cost < least:
            best, least = found, cost
    chosen: HostArray = middles[every, best]
    return chosen


def overlap(a: HostArray, b: HostArray) -> HostArray:
    """Area that two boxes share."""
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.asarray(np.clip(width, 0, None) * np.clip(height, 0, None))


def _inside(boxes: HostArray, starts: HostArray, ends: HostArray) -> HostArray:
    """Length of lines within boxes (Liang and Barsky's clipping); `boxes` has an axis for the lines."""
    way = ends - starts
    with np.errstate(all="ignore"):
        low = (boxes[..., :2] - starts) / way
        high = (boxes[..., 2:] - starts) / way
    # Of a line along an axis: inside for all of its length, or never.
    between = (boxes[..., :2] <= starts) & (starts <= boxes[..., 2:])
    enter = np.where(way == 0, np.where(between, 0.0, 1.0), np.minimum(low, high))
    leave = np.where(way == 0, np.where(between, 1.0, 0.0), np.maximum(low, high))
    share = np.clip(np.min(leave, axis=-1), None, 1.0) - np.clip(np.max(enter, axis=-1), 0.0, None)
    return np.asarray(np.clip(share, 0, None) * np.hypot(way[..., 0], way[..., 1]))

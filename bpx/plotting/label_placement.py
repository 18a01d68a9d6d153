"""Placing labels on lines so that they cover no other label, no node, and little of other lines."""

from __future__ import annotations

import numpy as np

from bpx.plotting.arguments import HostArray

# The positions that are tried on each line, as shares of its length; the number of random restarts; and how often
# labels in the way are moved at random.
PLACES = np.linspace(0.08, 0.92, 43)
RESTARTS, KICKS = 10, 160
# The cost per square point of overlap, per covered point of another line, and of the distance from the middle.
OVERLAP, COVERED, WAY = 10.0, 2.5, 12.0
# Points around a label that other labels and boxes, and other lines, should leave free.
MARGIN, NEAR = 2.0, 5.0


def place_labels(starts: HostArray, ends: HostArray, sizes: HostArray, taken: HostArray) -> HostArray:
    """Place a label on each line, by an iterated local search.

    Each label starts at its cheapest position; then each in turn moves to the position that is cheapest given the
    others, until none moves. While labels are in the way, they are moved at random and all settle again. The cheapest
    result is returned. Equal inputs give equal results.

    Parameters
    ----------
    starts, ends : arrays of shape (m, 2)
        The ends of the lines, in points.
    sizes : array of shape (m, 2)
        Widths and heights of the labels.
    taken : array of shape (k, 4)
        Boxes to avoid: left, bottom, right, top.

    Returns
    -------
    array of shape (m, 2)
        The centres of the labels.
    """
    count = len(starts)
    middles = starts[:, None, :] + PLACES[None, :, None] * (ends - starts)[:, None, :]
    half = sizes[:, None, :] / 2 + MARGIN
    boxes = np.concatenate([middles - half, middles + half], axis=-1)
    blocked = OVERLAP * overlap(boxes[:, :, None, :], taken).sum(axis=-1)
    own = blocked + WAY * np.abs(PLACES - 0.5) + COVERED * _covered(boxes, starts, ends)
    # The cost of overlap of each position of each label with each position of every other label.
    shared = OVERLAP * overlap(boxes[:, :, None, None, :], boxes[None, None, :, :, :])
    shared[np.arange(count), :, np.arange(count), :] = 0.0
    rng, every = np.random.default_rng(0), np.arange(count)

    def crowding(at: HostArray) -> HostArray:
        """The cost of each label's overlap with the others."""
        return np.asarray(shared[every[:, None], at[:, None], every, at].sum(axis=1))

    def settle(at: HostArray) -> tuple[HostArray, float]:
        """Let each label move in turn until none does; returns the positions and their cost."""
        for _ in range(20):
            before = at.copy()
            for i in rng.permutation(count):
                at[i] = np.argmin(own[i] + shared[i][:, every, at].sum(axis=1))
            if np.array_equal(before, at):
                break
        return at, float(own[every, at].sum() + crowding(at).sum() / 2)

    best, least = settle(np.argmin(own, axis=1))
    for attempt in range(KICKS):
        stuck = np.flatnonzero(crowding(best) + blocked[every, best] > 0)
        if attempt >= RESTARTS and not stuck.size:
            break
        # Move those in the way and some others; in a restart all.
        some = rng.choice(count, rng.integers(1, 1 + max(1, count // 3)), replace=False)
        moved = every if attempt < RESTARTS else np.union1d(stuck, some)
        start = best.copy()
        start[moved] = rng.integers(0, len(PLACES), len(moved))
        found, cost = settle(start)
        if cost < least:
            best, least = found, cost
    return np.asarray(middles[every, best])


def overlap(a: HostArray, b: HostArray) -> HostArray:
    """The area that two boxes share."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.asarray(np.prod(np.clip(sides, 0, None), axis=-1))


def _covered(boxes: HostArray, starts: HostArray, ends: HostArray) -> HostArray:
    """The length of other lines that each position covers, from points along them; shape (m, positions)."""
    steps = np.linspace(0.0, 1.0, 101)[:, None, None]
    points = starts + steps * (ends - starts)
    share = np.hypot(*(ends - starts).T) / len(steps)
    length = np.zeros(boxes.shape[:2])
    for line in range(len(starts)):
        at = points[:, line]
        # Close to a crossing it would not be clear which line a label belongs to.
        low, high = boxes[:, :, None, :2] - NEAR, boxes[:, :, None, 2:] + NEAR
        inside = np.all((low <= at) & (at <= high), axis=-1).sum(axis=-1) * share[line]
        inside[line] = 0.0
        length += inside
    return length

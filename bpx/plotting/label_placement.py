"""Where labels stand on their lines so that none covers another, a node or much of another line."""

from __future__ import annotations

import numpy as np

from bpx.plotting.arguments import HostArray

# Places tried on each line, as shares of its length; restarts by chance; and how often labels that are in the way are
# moved by chance.
PLACES = np.linspace(0.08, 0.92, 43)
RESTARTS, KICKS = 10, 160
# The cost of a square point of overlap, of a point of another line that is covered, and of the way from the middle.
OVERLAP, COVERED, WAY = 10.0, 2.5, 12.0
# Kept free around a label, in points; the second of other lines.
MARGIN, NEAR = 2.0, 5.0


def place_labels(starts: HostArray, ends: HostArray, sizes: HostArray, taken: HostArray) -> HostArray:
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
    blocked = OVERLAP * overlap(boxes[:, :, None, :], taken).sum(axis=-1)
    own = blocked + WAY * np.abs(PLACES - 0.5) + COVERED * _covered(boxes, starts, ends)
    # Overlap of each place of each label with each of every other's.
    shared = OVERLAP * overlap(boxes[:, :, None, None, :], boxes[None, None, :, :, :])
    shared[np.arange(count), :, np.arange(count), :] = 0.0
    rng, every = np.random.default_rng(0), np.arange(count)

    def crowding(at: HostArray) -> HostArray:
        """What each label's overlap with the others costs."""
        return np.asarray(shared[every[:, None], at[:, None], every, at].sum(axis=1))

    def settle(at: HostArray) -> tuple[HostArray, float]:
        """Let each label move in turn until none does; the places and their cost."""
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
        # Those that are in the way, and some that may make room; at the beginning all.
        some = rng.choice(count, rng.integers(1, 1 + max(1, count // 3)), replace=False)
        moved = every if attempt < RESTARTS else np.union1d(stuck, some)
        start = best.copy()
        start[moved] = rng.integers(0, len(PLACES), len(moved))
        found, cost = settle(start)
        if cost < least:
            best, least = found, cost
    return np.asarray(middles[every, best])


def overlap(a: HostArray, b: HostArray) -> HostArray:
    """Area that two boxes share."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.asarray(np.prod(np.clip(sides, 0, None), axis=-1))


def _covered(boxes: HostArray, starts: HostArray, ends: HostArray) -> HostArray:
    """Length of other lines that a place covers, by points along them; shape (m, places)."""
    steps = np.linspace(0.0, 1.0, 101)[:, None, None]
    points = starts + steps * (ends - starts)
    share = np.hypot(*(ends - starts).T) / len(steps)
    length = np.zeros(boxes.shape[:2])
    for line in range(len(starts)):
        at = points[:, line]
        # Beside a crossing it is not clear whose label it is.
        low, high = boxes[:, :, None, :2] - NEAR, boxes[:, :, None, 2:] + NEAR
        inside = np.all((low <= at) & (at <= high), axis=-1).sum(axis=-1) * share[line]
        inside[line] = 0.0
        length += inside
    return length

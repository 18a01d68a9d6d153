"""The time of a data-parallel training step, on paper.

A step on G devices is the products of each device's rows, what lies between them (memory-bound), the launches of its
kernels, one all-reduce of the flat gradient, and the update, which every device does in full. Nothing overlaps: bpx
sums when the whole gradient is there. All functions are pure; times are seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

from workloads import n_params

__all__ = [
    "Machine", "Step", "Way", "all_reduce", "fastest", "ring_steps", "rows_needed", "step", "strong_efficiency",
    "switch_steps", "tree_steps", "weak_efficiency", "widest",
]  # fmt: skip

FLOAT = 4
# Bytes per parameter: Adam reads parameter, gradient and two moments, and writes all but the gradient; before and after
# the sum the gradient is multiplied by the rows' weight and divided by that of all.
ADAM, WEIGHING = 7 * FLOAT, 4 * FLOAT
# Passes over a layer's outputs: bias and activation (2), the activation's derivative (3), the bias's gradient (1).
PASSES = 6
# Kernels: of a layer (three products and those passes), and of a step (gather of X and y, loss, update).
OF_A_LAYER, OF_A_STEP = 6, 5


def ring_steps(gpus: int, per_node: int) -> tuple[float, float]:
    """Messages one after the other within nodes and between them: 2 (G - 1), two of each node's leave it."""
    nodes = -(-gpus // per_node)
    across = 2 * nodes if nodes > 1 else 0
    return 2 * (gpus - 1) - across, across


def tree_steps(gpus: int, per_node: int) -> tuple[float, float]:
    """Along a chain through the node and a binary tree of nodes, up and down."""
    nodes = -(-gpus // per_node)
    return 2 * (min(gpus, per_node) - 1), 2 * log2(nodes)


def switch_steps(gpus: int, per_node: int) -> tuple[float, float]:
    """The node's switch sums; a binary tree of nodes, up and down."""
    return 1, 2 * log2(-(-gpus // per_node))


@dataclass(frozen=True)
class Way:
    """A way to sum over devices.

    Parameters
    ----------
    name : str
    steps : callable
        ``steps(gpus, per_node)``: messages within a node and between nodes.
    start, inside, across : float
        Latencies: once, for each message within a node, and between nodes.
    in_node, between : float
        Bytes per second through a device's link, on a single node and on several.
    full_node : float, optional
        On a single node with all of its devices; None: as with fewer.
    moves : float, optional
        Bytes through each link for a byte of the message; None: a ring's 2 (G - 1)/G.
    """

    name: str
    steps: Callable[[int, int], tuple[float, float]]
    start: float
    inside: float
    across: float
    in_node: float
    between: float
    full_node: float | None = None
    moves: float | None = None

    def seconds(self, size: float, gpus: int, per_node: int) -> float:
        """Latency of all steps, and bytes over bandwidth."""
        if gpus == 1:
            return 0.0
        inside, across = self.steps(gpus, per_node)
        moves = 2 * (gpus - 1) / gpus if self.moves is None else self.moves
        bandwidth = self.in_node if gpus <= per_node else self.between
        if gpus == per_node and self.full_node is not None:
            bandwidth = self.full_node
        return self.start + inside * self.inside + across * self.across + moves * size / bandwidth


@dataclass(frozen=True)
class Machine:
    """What devices and their links can do.

    Parameters
    ----------
    name : str
    products : float
        Operations per second that matrix products reach, a multiplication and an addition counted as two.
    memory : float
        Bytes per second that elementwise work reaches.
    launch : float
        Seconds that each kernel costs beside its work.
    per_node : int
        Devices of a node.
    ways : tuple of Way
        The fastest one is taken.
    """

    name: str
    products: float
    memory: float
    launch: float
    per_node: int
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Step:
    """A step's parts, in seconds."""

    products: float
    between: float
    launches: float
    all_reduce: float
    update: float

    @property
    def seconds(self) -> float:
        """All of them, one after the other."""
        return self.products + self.between + self.launches + self.all_reduce + self.update


def all_reduce(size: float, gpus: int, machine: Machine) -> tuple[float, str]:
    """Seconds to sum a message of `size` bytes over the devices, and how."""
    if gpus == 1:
        return 0.0, "none"
    return min((way.seconds(size, gpus, machine.per_node), way.name) for way in machine.ways)


def step(sizes: Sequence[int], rows: float, gpus: int, machine: Machine) -> Step:
    """A step of `rows` rows on each of `gpus` devices.

    Parameters
    ----------
    sizes : sequence of int
        The network's layers, input first.
    rows : float
        Of one device.
    gpus : int
        How many devices.
    machine : Machine
        What they can do.
    """
    params = n_params(tuple(sizes))
    products = 0.0
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        # forward, gradient of the weights, and of the layer's input where there is a layer before it
        for a, b, c in [(rows, n_in, n_out), (n_in, rows, n_out), (rows, n_out, n_in)][: 3 if layer else 2]:
            products += max(2 * a * b * c / machine.products, FLOAT * (a * b + b * c + a * c) / machine.memory)
    passes = PASSES * sum(sizes[1:]) + 2 * sizes[0]  # the gather reads and writes the inputs
    layers = len(sizes) - 1
    weighing = WEIGHING * params / machine.memory if gpus > 1 else 0.0
    return Step(
        products=products,
        between=FLOAT * rows * passes / machine.memory,
        launches=(OF_A_LAYER * layers + OF_A_STEP) * machine.launch,
        all_reduce=weighing + all_reduce(FLOAT * params, gpus, machine)[0],
        update=ADAM * params / machine.memory,
    )


def strong_efficiency(sizes: Sequence[int], batch: float, gpus: int, machine: Machine) -> float:
    """Speed-up over one device with the same batch, split, divided by the number of devices."""
    return step(sizes, batch, 1, machine).seconds / (gpus * step(sizes, batch / gpus, gpus, machine).seconds)


def weak_efficiency(sizes: Sequence[int], rows: float, gpus: int, machine: Machine) -> float:
    """Rows per second over those of as many devices that do not talk, each with `rows` rows."""
    return step(sizes, rows, 1, machine).seconds / step(sizes, rows, gpus, machine).seconds


def rows_needed(sizes: Sequence[int], gpus: int, machine: Machine, efficiency: float = 0.8) -> float:
    """Rows per device from which on the weak efficiency is at least that; infinite where it never is."""
    low, high = 1.0, 2.0**40
    if weak_efficiency(sizes, high, gpus, machine) < efficiency:
        return float("inf")
    if weak_efficiency(sizes, low, gpus, machine) >= efficiency:
        return low
    while high / low > 1.001:  # more rows are more products for the same sum
        middle = (low * high) ** 0.5
        low, high = (low, middle) if weak_efficiency(sizes, middle, gpus, machine) >= efficiency else (middle, high)
    return high


def widest(sizes: Sequence[int], batch: int, machine: Machine, gpus: Sequence[int], efficiency: float = 0.5) -> int:
    """The most devices of those on which the batch, split, has at least that efficiency."""
    return max(g for g in gpus if g <= batch and strong_efficiency(sizes, batch, g, machine) >= efficiency)


def fastest(sizes: Sequence[int], batch: int, machine: Machine, gpus: Sequence[int]) -> tuple[int, float]:
    """The number of devices with the shortest step for that batch, and its speed-up over one."""
    best = min((g for g in gpus if g <= batch), key=lambda g: step(sizes, batch / g, g, machine).seconds)
    return best, best * strong_efficiency(sizes, batch, best, machine)

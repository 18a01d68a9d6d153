"""What is measured on a GPU, in the order that matters where time is short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workloads import Workload

__all__ = ["GPU", "GPU_MAIN", "LARGEST", "PRECISIONS"]

# Network, batch, steps per epoch: enough steps that what is done once in an epoch is a small part, but for the largest.
NETWORKS = {
    "2-8-2": ((2, 8, 2), 32, 400),
    "64-100-10": ((64, 100, 10), 200, 200),
    "784-100-10": ((784, 100, 10), 200, 200),
    "784-256-128-10": ((784, 256, 128, 10), 128, 200),
    "784-2048-2048-10": ((784, 2048, 2048, 10), 512, 50),
    "1024-4096-4096-1000": ((1024, 4096, 4096, 1000), 4096, 10),
}
LARGE = ("784-2048-2048-10", "1024-4096-4096-1000")
LARGEST = LARGE[-1]
# float32 is true float32: TF32 is off, and each contender shows that it is.
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

BPX = "bpx on CuPy"
WITHOUT = (f"{BPX} without capture", f"{BPX}, formulas alone")
PEERS = ("torch eager", "torch max-autotune", "JAX jit")
PRODUCTS = ("products by CuPy", "products by torch")


def smaller(sizes: tuple[int, ...]) -> dict[str, Any]:
    """What ``--quick`` puts in the place of a workload's own sizes: the same code in a moment."""
    return {"sizes": tuple(min(n, 48) for n in sizes), "batch": 32, "steps": 3, "rows": 3 * 32 + 7, "stack": 4}


def step(network: str, precision: str) -> Workload:
    """One training step."""
    sizes, batch, steps = NETWORKS[network]
    plain = precision == "float32"
    return Workload(
        name=f"step-{network}-{precision}",
        kind="step",
        title=f"One step: {network}, batch {batch}, ReLU, Adam, {precision}",
        contenders=(*PRODUCTS, BPX, *(WITHOUT if plain else ()), *PEERS),
        peers=PEERS,
        floors=PRODUCTS,
        unit="µs",
        seconds=0.1,
        options={"sizes": sizes, "batch": batch, "steps": steps, "hidden": "relu", "precision": precision},
        quick=smaller(sizes),
    )


def epoch(name: str, title: str, sizes: tuple[int, ...], batch: int, data: Mapping[str, Any]) -> Workload:
    """One epoch over rows that lie on the device; the last batch is smaller."""
    return Workload(
        name=name,
        kind="epoch",
        title=f"One epoch: {title}, {'-'.join(map(str, sizes))}, batch {batch}, ReLU, Adam, float32",
        contenders=(BPX, *WITHOUT, *PEERS),
        peers=PEERS,
        unit="ms",
        seconds=0.1,
        options={"sizes": sizes, "batch": batch, "hidden": "relu", "precision": "float32", **data},
        quick=smaller(sizes) if "rows" in data else {},
    )


STACK = Workload(
    name="stack-1000",
    kind="stack",
    title="1 000 networks 64-32-10, batch 32, ReLU, Adam, float32: one step of all, as a stack or one after the other",
    contenders=(PRODUCTS[0], BPX, *WITHOUT, *PEERS, f"{BPX}, separate runs"),
    peers=PEERS,
    floors=PRODUCTS[:1],
    unit="µs",
    seconds=0.1,
    options={
        "sizes": (64, 32, 10), "batch": 32, "steps": 100, "stack": 1000, "hidden": "relu", "precision": "float32",
        # So many of the separate runs are timed, and the time is multiplied.
        "timed": 5,
    },
    quick=smaller((64, 32, 10)) | {"timed": 2},
)  # fmt: skip

_LIST = [
    step("784-100-10", "float32"),
    step("784-256-128-10", "float32"),
    step(LARGEST, "float32"),
    STACK,
    epoch("epoch-60000", "60 000 synthetic rows of 784", (784, 256, 128, 10), 128, {"rows": 60_000}),
    epoch("epoch-digits", "1 797 digits", (64, 100, 10), 200, {"data": "digits"}),
    *(step(network, "float32") for network in ("2-8-2", "64-100-10", "784-2048-2048-10")),
    *(step(network, precision) for network in reversed(LARGE) for precision in PRECISIONS[1:]),
]
GPU = {workload.name: workload for workload in _LIST}
# The rows of the picture, by number of parameters.
GPU_MAIN = [GPU[f"step-{network}-float32"] for network in NETWORKS]

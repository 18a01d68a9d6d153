"""Published figures of an NVIDIA H100 SXM and of NCCL on machines of eight of them, each with its source.

`model.py` computes with them; ``python benchmarks/on_paper.py --figures`` prints them as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from model import Machine, Way, ring_steps, switch_steps, tree_steps

__all__ = ["FIGURES", "PRECISIONS", "Figure", "h100"]


@dataclass(frozen=True)
class Figure:
    """A number, its unit, and who says so; "assumed" where nobody was found."""

    value: float
    unit: str
    source: str


_DATASHEET = "NVIDIA H100 datasheet, SXM, without sparsity"
_TUNING = "NCCL, src/graph/tuning.cc (commit b647562): what NCCL itself chooses its algorithm by"
_MAINTAINER = "NCCL maintainer in NVIDIA/nccl-tests issue 212 and NVIDIA/nccl issue 1442"

FIGURES = {
    "float32": Figure(66.9e12, "flop/s", _DATASHEET),
    "TF32": Figure(494.7e12, "flop/s", _DATASHEET),
    "bfloat16": Figure(989.4e12, "flop/s", _DATASHEET),
    "share of the peak": Figure(
        0.8, "", "measured for bfloat16 (794.5e12): stas00/ml-engineering, maximum achievable matmul FLOPS; float32 and"
        " TF32: assumed to be the same"
    ),
    "memory": Figure(3.35e12, "byte/s", _DATASHEET),
    "share of memory": Figure(0.9, "", "assumed; a copy reaches about that"),
    "launch": Figure(4e-6, "s", "assumed; published figures for one kernel are 2 to 6 µs, less in a CUDA graph"),
    "GPUs of a node": Figure(8, "", "NVIDIA DGX H100 datasheet"),
    "NVLink, line": Figure(450e9, "byte/s", f"{_DATASHEET} (900 GB/s both ways)"),
    "NVLink, ring": Figure(370e9, "byte/s", f"{_MAINTAINER}: bus bandwidth; NVIDIA/nccl issue 1455 measures it"),
    "NVLink SHARP, 8 GPUs": Figure(480e9, "byte/s", f"{_MAINTAINER}: bus bandwidth; 370 for 2 to 4 GPUs"),
    "InfiniBand NDR, line": Figure(50e9, "byte/s", "NVIDIA DGX H100 datasheet: 400 Gb/s for each GPU"),
    "InfiniBand NDR": Figure(47e9, "byte/s", "NCCL maintainer in NVIDIA/nccl-tests issue 290: 46 to 48"),
    "ring, start": Figure(8.4e-6, "s", _TUNING),
    "ring, NVLink": Figure(3.4e-6, "s", _TUNING),
    "ring, network": Figure(14.0e-6, "s", _TUNING),
    "ring LL128, start": Figure(14.0e-6, "s", _TUNING),
    "ring LL128, NVLink": Figure(1.9e-6, "s", _TUNING),
    "ring LL128, network": Figure(4.0e-6, "s", _TUNING),
    "tree LL, start": Figure(6.8e-6, "s", _TUNING),
    "tree LL, NVLink": Figure(0.6e-6, "s", _TUNING),
    "tree LL, network": Figure(5.0e-6, "s", _TUNING),
    "tree LL, bandwidth in a node": Figure(87.7e9, "byte/s", _TUNING),
    "tree LL, bandwidth": Figure(20.4e9, "byte/s", _TUNING),
    "tree LL128, start": Figure(14.0e-6, "s", _TUNING),
    "tree LL128, NVLink": Figure(1.25e-6, "s", _TUNING),
    "tree LL128, network": Figure(8.5e-6, "s", _TUNING),
    "LL128, share of a ring's bandwidth": Figure(0.92, "", _TUNING),
    "LL128, share of a tree's bandwidth in a node": Figure(0.92 * 7 / 9, "", _TUNING),
    "LL128, share of a tree's bandwidth": Figure(0.92 * 120 / 128, "", _TUNING),
    "NVLink SHARP, NVLink": Figure(23e-6, "s", _TUNING),
    "NVLink SHARP, network": Figure(14e-6, "s", _TUNING),
    "NVLink SHARP, share of half the network": Figure(5 / 6, "", _TUNING),
}  # fmt: skip

PRECISIONS = ("float32", "TF32", "bfloat16")


def _of(name: str) -> float:
    """A figure's value."""
    return FIGURES[name].value


def _network() -> float:
    """Bus bandwidth of a ring through all network cards of a node; NVLink bounds it, where that is less."""
    return min(_of("NVLink, ring"), _of("GPUs of a node") * _of("InfiniBand NDR"))


def _ways() -> tuple[Way, ...]:
    """NCCL's algorithms and protocols; the fastest is taken, as NCCL does."""
    nvlink, network, per_node = _of("NVLink, ring"), _network(), int(_of("GPUs of a node"))
    ring, in_node, tree = (
        _of(f"LL128, share of a {x}") for x in ("ring's bandwidth", "tree's bandwidth in a node", "tree's bandwidth")
    )
    # NCCL counts a sum in the switches as 2 (G - 1)/G bytes through each link, as for a ring; a tree moves 2.
    sharp = 2 * _of("NVLink SHARP, share of half the network") * per_node * _of("InfiniBand NDR") / 2

    def latencies(name: str) -> tuple[float, float, float]:
        return _of(f"{name}, start"), _of(f"{name}, NVLink"), _of(f"{name}, network")

    return (
        Way("ring", ring_steps, *latencies("ring"), nvlink, network),
        Way("ring LL128", ring_steps, *latencies("ring LL128"), ring * nvlink, ring * network),
        Way(
            "tree LL", tree_steps, *latencies("tree LL"), _of("tree LL, bandwidth in a node"),
            _of("tree LL, bandwidth"), moves=2.0,
        ),
        Way("tree LL128", tree_steps, *latencies("tree LL128"), in_node * nvlink, tree * network, moves=2.0),
        Way(
            "NVLink SHARP", switch_steps, 0.0, _of("NVLink SHARP, NVLink"), _of("NVLink SHARP, network"), nvlink,
            min(sharp, network), full_node=_of("NVLink SHARP, 8 GPUs"),
        ),
    )  # fmt: skip


def h100(precision: str = "float32") -> Machine:
    """Nodes of eight H100 SXM, whose products have that precision; gradients and parameters are float32."""
    return Machine(
        name=f"H100 SXM, {precision}",
        products=_of("share of the peak") * _of(precision),
        memory=_of("share of memory") * _of("memory"),
        launch=_of("launch"),
        per_node=int(_of("GPUs of a node")),
        ways=_ways(),
    )

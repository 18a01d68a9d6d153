"""Figures as tables of text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bounds import Outcome
from workloads import Workload

__all__ = ["bounds_table", "print_failures", "ratios", "table", "write"]

SCALES = {"µs": 1e6, "ms": 1e3, "s": 1.0, "MB": 1e-6}


def ratios(workload: Workload, results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each contender its median over the best peer's and over the floor's, as far as they were measured.

    With the best peer, as ``"least"``, the same of the shortest rounds: of that peer's and of the contender's own.
    """
    medians = {name: result["median"] for name, result in results.items() if "median" in result}
    answer: dict[str, dict[str, Any]] = {}
    for name, value in medians.items():
        peers = (workload.versus[name],) if name in workload.versus else workload.peers
        there = [peer for peer in peers if medians.get(peer)]
        answer[name] = {}
        if there:
            best = min(there, key=medians.__getitem__)
            least = results[name]["min"] / results[best]["min"]
            answer[name] |= {"best peer": value / medians[best], "peer": best, "least": least}
        floors = [medians[floor] for floor in workload.floors if medians.get(floor)]
        if floors:
            answer[name]["floor"] = value / min(floors)
    return answer


def table(name: str, entry: Mapping[str, Any]) -> str:
    """A workload's figures, one line per contender."""
    scale, results, over = SCALES[entry["unit"]], entry["contenders"], entry["ratios"]
    width = max(len(contender) for contender in results)
    peers = {ratio["peer"] for ratio in over.values() if "peer" in ratio}
    head = f"  {'':{width}}  {'median ' + entry['unit']:>12}  {'min - max':>21}"
    columns = [("floor", "x floor")] if any("floor" in ratio for ratio in over.values()) else []
    if peers:
        best = f"x {peers.pop()}" if len(peers) == 1 else "x separate runs"
        columns[:0] = [("best peer", best), ("least", "of minima")]
    lines = [f"{entry['title']}  [{name}]", head + "".join(f"  {title:>15}" for _, title in columns)]
    for contender, result in results.items():
        if "median" not in result:
            lines.append(f"  {contender:{width}}  {result.get('missing') or 'failed: ' + result['failed']}")
            continue
        low, high = _number(result["min"] * scale), _number(result["max"] * scale)
        line = f"  {contender:{width}}  {_number(result['median'] * scale):>12}  {low + ' - ' + high:>21}"
        for key, _ in columns:
            ratio = over.get(contender, {}).get(key)
            line += f"  {'' if ratio is None else f'{ratio:.2f}':>15}"
        lines.append((line + _notes(result)).rstrip())
    if entry.get("others_busy", 0.0) > 0.05:
        lines.append(f"  Not quiet: other processes used {entry['others_busy']:.0%} of a processor meanwhile.")
    return "\n".join(lines)


def bounds_table(outcomes: Iterable[Outcome]) -> str:
    """One line per bound: the figure of medians, which it is about, and beside it that of minima."""
    lines = []
    for o in outcomes:
        figure, least = (
            "-" if value is None else f"{value:.2f}" if o.limit >= 0.1 else f"{value:.4f}"
            for value in (o.figure, o.least)
        )  # fmt: skip
        lacking = f" (without {', '.join(o.lacking)})" if o.lacking else ""
        lines.append(
            f"  {o.verdict:12}  {figure:>7} <= {o.limit:<6.4g}  of minima {least:>7}  {o.workload:48}"
            f"  {o.contender:16}  {o.over}{lacking}"
        )
    return "\n".join(lines)


def write(figures: Mapping[str, Any], target: Path) -> None:
    """All figures so far; the file there is whole at any time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(target)


def print_failures(figures: Mapping[str, Any]) -> list[str]:
    """Say which contenders failed, and why."""
    failed = [
        f"{name}: {contender} failed: {result['failed']}"
        for name, entry in figures["workloads"].items()
        for contender, result in entry["contenders"].items()
        if "failed" in result
    ]
    print("\n".join(failed))
    return failed


def _number(value: float) -> str:
    """With three or more figures."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}".replace(",", " ")


def _notes(result: Mapping[str, Any]) -> str:
    """A peak of memory, where there is one."""
    notes = result.get("notes", {})
    return f"  peak {notes['peak MB']:.1f} MB" if notes.get("peak MB", 0.0) >= 0.1 else ""

"""The texts of a network diagram."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bpx.plotting.arguments import HostArray
from bpx.plotting.style import short_number

COLOURS = "Edges: blue and solid for positive weights, orange and dashed for negative ones; broader is larger."


class DiagramLabels(NamedTuple):
    """Texts in nodes, below them (not for inputs) and beside outputs by unit, and on edges by (input, unit)."""

    nodes: list[dict[Any, str]]
    biases: list[dict[Any, str]]
    outputs: dict[Any, str]
    edges: list[dict[Any, str]]


class DiagramText:
    """The texts of a diagram; `wanted` says whether the user asked for numbers."""

    def __init__(self, diagram: Any, decimals: int, wanted: bool) -> None:
        self._diagram, self._trace, self._decimals, self._wanted = diagram, diagram.trace, decimals, wanted
        self._batch = self._trace is not None and np.ndim(self._trace.x) == 2

    def labels(self, level: str) -> DiagramLabels:
        """The labels with "all" numbers, "short" ones without gradients, or "none"."""
        d, t, show = self._diagram, self._trace, self._number
        nodes: list[dict[Any, str]] = [{} for _ in d.sizes]
        biases: list[dict[Any, str]] = [{} for _ in d.weights]
        edges: list[dict[Any, str]] = [{} for _ in d.weights]
        outputs: dict[Any, str] = {}
        if level == "none":
            return DiagramLabels(nodes, biases, outputs, edges)
        nodes[0] = {i: f"x {show(self._sample(t.x)[i])}" if t else f"x{i + 1}" for i in d.shown[0]}
        for k, (W, b) in enumerate(zip(d.weights, d.biases, strict=True)):
            step: Any = t.layers[k] if t else None
            for j in d.shown[k + 1]:
                if t:
                    z, a, delta = (show(self._sample(part)[j]) for part in (step.z, step.a, step.delta))
                    nodes[k + 1][j] = f"z {z}\na {a}\nδ {delta}"
                if b is not None:
                    biases[k][j] = f"b {show(b[j])}" + (f" → {show(step.new_b[j])}" if t else "")
                for i in d.shown[k]:
                    after = f" → {show(step.new_W[i, j])}" if t else ""
                    slope = f"\n∂L/∂w {show(step.grad_W[i, j])}" if t and level == "all" else ""
                    edges[k][i, j] = f"w {show(W[i, j])}{after}{slope}"
        if t:
            target, losses = self._sample(t.y), self._sample(t.losses)
            wanted = [float(j == target) if target.ndim == 0 else target[j] for j in range(d.sizes[-1])]
            outputs = {j: f"target {show(wanted[j])}\nloss {show(losses[j])}" for j in d.shown[-1]}
        return DiagramLabels(nodes, biases, outputs, edges)

    def title(self) -> str:
        """A description of the diagram."""
        if self._trace is None:
            return f"A {'-'.join(map(str, self._diagram.sizes))} network"
        sample = f", sample {self._diagram.sample + 1} of {len(self._trace.x)}" if self._batch else ""
        loss = f"{self._trace.loss_name.replace('_', ' ')} {self._number(self._trace.loss)}"
        return f"One step of back-propagation{sample}: {loss}, learning rate {self._trace.learning_rate:g}"

    def caption(self, level: str) -> str:
        """The explanation below the diagram."""
        if level == "none":
            return f"{COLOURS}\nThe numbers are left out: they would not fit." if self._wanted else COLOURS
        if self._trace is None:
            return f"w: weight.  b: bias.\n{COLOURS}"
        slope = "the sum of a·δ over all samples" if self._batch else "a·δ"
        gradient, left_out = f", and its gradient ∂L/∂w = {slope}.", ""
        if level != "all":
            gradient, left_out = ".", " The gradients are left out: they would not fit."
        return (
            "In a node: weighted sum z = Σ w·a + b, output a = f(z), error δ = ∂L/∂z, L the loss. Below it: its bias b."
            f"\nOn an edge: the weight w before → after the step{gradient}{left_out}\n{COLOURS}"
        )

    def _number(self, value: Any) -> str:
        """A number as text, with the decimals of the diagram."""
        return short_number(value, self._decimals)

    def _sample(self, values: Any) -> HostArray:
        """The numbers of the sample that is drawn."""
        array = np.asarray(values)
        return np.asarray(array[self._diagram.sample]) if self._batch else array

"""What is written in a network diagram."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx.plotting.arrays import HostArray
from bpx.plotting.style import number

__all__ = ["Wording"]


class Wording:
    """The texts of a diagram, from its weights, its biases and its trace."""

    def __init__(self, diagram: Any, decimals: int, wanted: bool) -> None:
        self.diagram, self.trace, self.decimals = diagram, diagram.trace, decimals
        self.batch = self.trace is not None and np.ndim(self.trace.x) == 2
        self.level, self.wanted = "none", wanted

    def write(self, level: str) -> dict[str, list[dict[Any, str]]]:
        """What stands in nodes, below them, beside outputs and on edges; "short" leaves gradients out."""
        d, t, show = self.diagram, self.trace, self._number
        self.level = level
        nodes: list[dict[Any, str]] = [{} for _ in d.sizes]
        biases: list[dict[Any, str]] = [{} for _ in d.weights]
        outputs: list[dict[Any, str]] = [{}]
        edges: list[dict[Any, str]] = [{} for _ in d.weights]
        written = {"nodes": nodes, "biases": biases, "outputs": outputs, "edges": edges}
        if level == "none":
            return written
        nodes[0] |= {i: f"x {show(self._of(t.x)[i])}" if t else f"x{i + 1}" for i in d.shown[0]}
        for k, (W, b) in enumerate(zip(d.weights, d.biases, strict=True)):
            step: Any = t.layers[k] if t else None
            for j in d.shown[k + 1]:
                if t:
                    z, a, delta = (self._of(part)[j] for part in (step.z, step.a, step.delta))
                    nodes[k + 1][j] = f"z {show(z)}\na {show(a)}\nδ {show(delta)}"
                if b is not None:
                    biases[k][j] = f"b {show(b[j])}" + (f" → {show(step.new_b[j])}" if t else "")
                for i in d.shown[k]:
                    after = f" → {show(step.new_W[i, j])}" if t else ""
                    slope = f"\n∂L/∂w {show(step.grad_W[i, j])}" if t and level == "all" else ""
                    edges[k][i, j] = f"w {show(W[i, j])}{after}{slope}"
        if t:
            target, losses = self._of(t.y), self._of(t.losses)
            wanted = [float(j == target) if target.ndim == 0 else target[j] for j in range(d.sizes[-1])]
            outputs[0] |= {j: f"target {show(wanted[j])}\nloss {show(losses[j])}" for j in d.shown[-1]}
        return written

    def title(self) -> str:
        """What the diagram is."""
        if self.trace is None:
            return f"A {'-'.join(map(str, self.diagram.sizes))} network"
        sample = f", sample {self.diagram.sample + 1} of {len(self.trace.x)}" if self.batch else ""
        loss = self.trace.loss_name.replace("_", " ")
        rate = f"learning rate {self.trace.learning_rate:g}"
        return f"One step of back-propagation{sample}: {loss} {self._number(self.trace.loss)}, {rate}"

    def caption(self) -> str:
        """How to read it."""
        colours = "Edges: blue and solid for positive weights, orange and dashed for negative ones; broader is larger."
        if self.level == "none":
            return f"{colours}\nThe numbers are left out: they would not fit." if self.wanted else colours
        if self.trace is None:
            return f"w: weight.  b: bias.\n{colours}"
        slope = "the sum of a·δ over all samples" if self.batch else "a·δ"
        gradient = f", and its gradient ∂L/∂w = {slope}" if self.level == "all" else ""
        return (
            "In a node: weighted sum z = Σ w·a + b, output a = f(z), error δ = ∂L/∂z, L the loss."
            f" Below it: its bias b.\nOn an edge: the weight w before → after the step{gradient}."
            f"{'' if self.level == 'all' else ' The gradients are left out: they would not fit.'}\n{colours}"
        )

    def _number(self, value: Any) -> str:
        """A number of the diagram."""
        return number(value, self.decimals)

    def _of(self, values: Any) -> HostArray:
        """The numbers of the sample that is drawn."""
        array = np.asarray(values)
        chosen: HostArray = np.asarray(array[self.diagram.sample]) if self.batch else array
        return chosen

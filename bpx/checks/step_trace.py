"""One training step with all its numbers, as articles on back-propagation work it out by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from bpx._formatting import TextTable
from bpx._typing import Array
from bpx.errors.hints import named
from bpx.formulas import losses
from bpx.formulas.activations import Activation
from bpx.formulas.losses import Loss, LossLike
from bpx.formulas.optimizers import SGD
from bpx.formulas.user_functions import loss_parts
from bpx.network import validation
from bpx.network.mlp import MLP
from bpx.network.objective import Objective, propagate
from bpx.network.params import ParamViews

HostArray = np.ndarray[Any, Any]
Notation = Callable[[str], str]

# How LaTeX sets the columns' names.
_SYMBOLS = {
    "z": "$z$",
    "a": "$a$",
    "dL/da": r"$\partial L/\partial a$",
    "delta": r"$\delta = \partial L/\partial z$",
    "gradient": r"$\partial L/\partial w$",
}
# NumPy's default print options, whatever the process has set.
_NUMPY_DEFAULT: dict[str, Any] = {
    "precision": 8, "floatmode": "maxprec", "suppress": False, "sign": "-", "linewidth": 75, "edgeitems": 3,
    "nanstr": "nan", "infstr": "inf", "formatter": None, "legacy": False,
}  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Every number of one layer, as host arrays in the network's dtype.

    For several samples, `x`, `z`, `a`, `grad_a` and `delta` have a sample axis in front.

    Parameters
    ----------
    name : str
        The name of the activation.
    x : array of shape (n_in,)
        The input of the layer: the network's, or the previous layer's `a`.
    W, b : arrays of shape (n_in, n_out) and (n_out,)
        Before the step; `b` is None without bias.
    z, a : arrays of shape (n_out,)
        z = x W + b and a = f(z).
    grad_a, delta : arrays of shape (n_out,)
        dL/da and dL/dz.
    grad_W, grad_b : arrays of shape (n_in, n_out) and (n_out,)
        dL/dW and dL/db.
    new_W, new_b : arrays of shape (n_in, n_out) and (n_out,)
        After the step.
    """

    name: str
    x: HostArray
    W: HostArray
    b: HostArray | None
    z: HostArray
    a: HostArray
    grad_a: HostArray
    delta: HostArray
    grad_W: HostArray
    grad_b: HostArray | None
    new_W: HostArray
    new_b: HostArray | None


@final
@dataclass(frozen=True, repr=False, eq=False)
class StepTrace:
    """One step of gradient descent; ``str``, `to_markdown`, `to_latex`, `to_dict` and `animate` show it.

    Parameters
    ----------
    layers : tuple of LayerTrace
        The output layer comes last.
    loss : float
        Mean over samples of the sum over outputs.
    losses : host array of shape (n_out,), or (n, n_out) for several samples
        The share of each output.
    x, y : host arrays
        The inputs and the targets, without the sample axis for a single sample.
    loss_name : str
        The name of the loss.
    learning_rate : float
        Of the step.
    new_loss : float
        The loss of the same samples after the step.
    activations : tuple of Activation
        One per layer.
    loss_function : Loss
        The loss itself.
    """

    layers: tuple[LayerTrace, ...]
    loss: float
    losses: HostArray
    x: HostArray
    y: HostArray
    loss_name: str
    learning_rate: float
    new_loss: float
    activations: tuple[Activation, ...]
    loss_function: Loss

    def __str__(self) -> str:
        return self._render(lambda title: title, lambda table: table.to_text("  "), str)

    __repr__ = __str__

    def to_markdown(self) -> str:
        """Return the step as tables in Markdown."""
        return self._render(lambda title: f"**{title}**", TextTable.to_markdown, lambda name: f"`{name}`")

    def to_latex(self) -> str:
        """Return the step as tables in LaTeX."""

        def title(text: str) -> str:
            escaped = text.replace("_", r"\_").replace("->", r"$\to$")
            return rf"\paragraph{{{escaped}}}"

        return self._render(title, lambda table: _math(table).to_latex(), str)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain lists and floats, ready for JSON."""
        return {
            "loss": self.loss,
            "new_loss": self.new_loss,
            "losses": self.losses.tolist(),
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "loss_name": self.loss_name,
            "learning_rate": self.learning_rate,
            "layers": [
                {
                    name: value.tolist() if isinstance(value, np.ndarray) else value
                    for name, value in vars(layer).items()
                }
                for layer in self.layers
            ],
        }

    def animate(self, path: str | os.PathLike[str] | None = None, language: Literal["en", "zh"] = "en") -> Path:
        """Write the step as an animated web page: one file that needs no server and no network.

        Values flow forward, errors flow back, and weights change; each number comes with its formula, in symbols and
        in numbers. Of a layer with more than 10 neurons some are drawn.

        Parameters
        ----------
        path : str or path-like, optional
            An existing file is replaced. None: a new file in the system's folder for temporary files.
        language : {"en", "zh"}
            English or Chinese; a button on the page changes it.

        Returns
        -------
        Path
            The file's; ``webbrowser.open(path.resolve().as_uri())`` opens it. In a notebook, as the last value of a
            cell, it is displayed as the page itself.

        Raises
        ------
        ValueError
            For another language, or if the page would be larger than 300 kB, because of many samples or layers.
        OSError
            If the file cannot be written; an existing file then stays.
        """
        from bpx.animation.page import write  # the package above: see the contract in pyproject.toml

        return write(self, path, language)

    def _render(self, title: Notation, table: Callable[[TextTable], str], name: Notation) -> str:
        """Titles and tables; the functions say how titles, tables and names are written."""
        head = (
            f"One step of gradient descent: loss {name(self.loss_name)} = {self.loss:.10f},"
            f" learning rate {self.learning_rate:g}"
        )
        given = f"inputs x = {_row(self.x)}, targets y = {_row(self.y)}"
        parts = [title(head), given]
        for i, layer in enumerate(self.layers, 1):
            n_in, n_out = layer.W.shape
            parts.append(title(f"Layer {i}: {n_in} -> {n_out}, z = x W + b, a = {layer.name}(z), delta = dL/dz"))
            parts.append(table(self._neurons(layer, last=i == len(self.layers))))
            parts.append(table(_weights(layer)))
        return "\n\n".join(parts)

    def _neurons(self, layer: LayerTrace, last: bool) -> TextTable:
        """Sums, outputs and errors of a layer; for the last layer each output's loss too."""
        columns = {"z": layer.z, "a": layer.a, "dL/da": layer.grad_a, "delta": layer.delta}
        columns |= {"loss": self.losses} if last else {}
        table = TextTable(("neuron", *columns))
        for index in np.ndindex(*layer.z.shape):
            sample = f" (sample {index[0] + 1})" if len(index) == 2 else ""
            table.add(f"{index[-1] + 1}{sample}", *(f"{column[index]:.10f}" for column in columns.values()))
        return table


def _row(values: HostArray) -> str:
    """Numbers in brackets, as NumPy's default print options show them."""
    with np.printoptions(**_NUMPY_DEFAULT):
        return np.array2string(values, separator=", ", threshold=50).replace("\n", "")


def _weights(layer: LayerTrace) -> TextTable:
    """Every weight and bias of a layer: before the step, its gradient, and after the step."""
    table = TextTable(("weight", "before", "gradient", "after"))
    for (i, j), w in np.ndenumerate(layer.W):
        table.add(f"W[{i + 1}, {j + 1}]", *(f"{v:.10f}" for v in (w, layer.grad_W[i, j], layer.new_W[i, j])))
    if layer.b is not None and layer.grad_b is not None and layer.new_b is not None:
        for j, b in enumerate(layer.b):
            table.add(f"b[{j + 1}]", *(f"{v:.10f}" for v in (b, layer.grad_b[j], layer.new_b[j])))
    return table


def _math(table: TextTable) -> TextTable:
    """The table with header and numbers in LaTeX's math mode, which sets a minus sign and not a hyphen."""
    typeset = TextTable(tuple(_SYMBOLS.get(cell, cell) for cell in table.header))
    for row in table.rows:
        typeset.add(row[0], *(f"${cell}$" for cell in row[1:]))
    return typeset


@named("bpx.trace")
def trace(net: MLP, x: Any, y: Any, loss: LossLike | None = None, learning_rate: float = 0.5) -> StepTrace:
    """Compute one step of gradient descent and keep every number; the network is not changed.

    Parameters
    ----------
    net : MLP
        A single network, not a stack. Use ``dtype="float64"`` for ten correct digits.
    x : array of shape (n_in,) for one sample, or (n, n_in)
        Inputs.
    y : array of shape (n_out,), a number or a class label for one sample; or as for ``net.loss_and_grads``
        Targets.
    loss : str, Loss or function, optional
        Mean over samples of the sum over outputs. None: cross_entropy for a softmax output, as in `bpx.fit`, else
        squared_error, as in articles on back-propagation.
    learning_rate : float
        Of the step, positive.

    Returns
    -------
    StepTrace
        ``.layers[i].z``, ``.a``, ``.delta``, ``.grad_a``, ``.grad_W``, ``.grad_b``, ``.new_W``, ``.new_b``;
        ``.loss``, ``.losses``, ``.new_loss``.

    Raises
    ------
    ValueError
        For a stack, and for data, a loss or a learning rate that training refuses, too.

    Examples
    --------
    >>> import bpx
    >>> net = bpx.MLP([1, 1], output="identity", dtype="float64", init="zeros", backend="numpy")
    >>> t = bpx.trace(net, [2.0], [1.0], learning_rate=0.1)
    >>> t.loss, t.layers[0].delta.tolist(), t.layers[0].new_W.tolist()
    (0.5, [-1.0], [[0.2]])
    """
    if net.stack is not None:
        raise ValueError(f"trace shows one network, got a stack of {net.stack}; trace a network without stack=")
    backend, activations = net.backend, (*net.hidden, net.output)
    function = losses.get(losses.default_for(net.output) if loss is None else loss)
    objective, optimizer = Objective(net, function), SGD(learning_rate)
    dtype = backend.dtype(net.dtype)
    with backend.scope():
        batch, single = validation.inputs(backend, dtype, x, net.sizes[0])
        target = validation.targets(backend, dtype, y, batch.shape[0], net.sizes[-1], function, single=single)
        value, grad = objective.value_and_grad(batch, target)
        # For a loss of pre-activations the objective computes neither the outputs nor dL/da.
        output = propagate(backend.xp, batch, net.layer_params, activations)[-1].a
        each_loss, slope = loss_parts(function.on_outputs(backend.xp, output, target), output)
        slope = slope * (1.0 / batch.shape[0])
        after, _ = optimizer.update(grad, optimizer.init(net.flat), net.flat * 1.0, xp=backend.xp)
        new_value = objective.value(batch, target, flat=after)

    def host(array: Array) -> HostArray:
        copied = np.array(backend.to_host(array))
        return copied[0] if single else copied

    layers = []
    params = [_by_layer(net, np.array(backend.to_host(flat))) for flat in (net.flat, grad, after)]
    for i, ((W, b), (grad_W, grad_b), (new_W, new_b)) in enumerate(zip(*params, strict=True)):
        cache = objective.caches[i]
        a, grad_a = (output, slope) if i == len(activations) - 1 else (cache.a, cache.grad_a)
        before, here = (host(cache.x), W, b), (host(cache.z), host(a), host(grad_a), host(cache.grad_z))
        layers.append(LayerTrace(activations[i].name, *before, *here, grad_W, grad_b, new_W, new_b))
    return StepTrace(
        layers=tuple(layers),
        loss=float(value),
        losses=host(each_loss),
        x=host(batch),
        y=host(target),
        loss_name=function.name,
        learning_rate=float(learning_rate),
        new_loss=float(new_value),
        activations=activations,
        loss_function=function,
    )


def _by_layer(net: MLP, flat: HostArray) -> Iterator[tuple[HostArray, HostArray | None]]:
    """W and b of every layer from a flat host vector."""
    views = ParamViews(np, net.layout, flat)
    for layer in range(len(net.sizes) - 1):
        yield views[f"{layer}.W"], views[f"{layer}.b"] if net.bias[layer] else None

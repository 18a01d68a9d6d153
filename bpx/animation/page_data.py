"""What the page of a trace draws: plain lists and numbers, and only some neurons of a large layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bpx._formatting import to_json
from bpx.checks.step_trace import LayerTrace, StepTrace
from bpx.files.function_json import activation_to_json, loss_to_json
from bpx.formulas.activations import Activation

HostArray = np.ndarray[Any, Any]

# Of a layer with more neurons than this the first DRAWN - 2 and the last one are drawn.
DRAWN = 10


def count(trace: StepTrace) -> int:
    """A lower bound of how many numbers `page_data` will hold."""
    return int(len(np.atleast_2d(trace.x)) * sum(4 * min(size, DRAWN - 1) for size in _sizes(trace)[1:]))


def page_data(trace: StepTrace) -> dict[str, Any]:
    """The numbers of a trace for the page's scripts.

    Parameters
    ----------
    trace : StepTrace
        Of one sample or of several.

    Returns
    -------
    dict
        Ready for JSON. Arrays always have a sample axis, and hold the numbers of drawn neurons only; ``drawn`` lists
        their indices. NaN and infinity, which JSON does not have, are the texts ``"NaN"``, ``"Infinity"`` and
        ``"-Infinity"``.
    """
    sizes = _sizes(trace)
    drawn = [list(range(size)) if size <= DRAWN else [*range(DRAWN - 2), size - 1] for size in sizes]
    x, losses = np.atleast_2d(trace.x), np.atleast_2d(trace.losses)
    targets = _targets(trace, losses)
    return {
        "sizes": sizes,
        "limit": DRAWN,
        "drawn": drawn,
        "samples": x.shape[0],
        "rate": trace.learning_rate,
        "loss": _plain(trace.loss),
        "newLoss": _plain(trace.new_loss),
        "lossFunction": _described(loss_to_json(trace.loss_function)),
        "fused": _fused(trace, targets),
        "x": _plain(x[:, drawn[0]]),
        "y": _plain(targets[:, drawn[-1]]),
        "losses": _plain(losses[:, drawn[-1]]),
        "sampleLosses": _plain(losses.sum(axis=-1)),
        "layers": [
            _layer(layer, activation, *places)
            for layer, activation, *places in zip(trace.layers, trace.activations, drawn, drawn[1:], strict=False)
        ],
    }


def _sizes(trace: StepTrace) -> list[int]:
    """The number of inputs, and of the neurons of every layer."""
    return [trace.layers[0].W.shape[0], *(layer.W.shape[1] for layer in trace.layers)]


def _targets(trace: StepTrace, losses: HostArray) -> HostArray:
    """Targets of shape (n, n_out); class labels become one-hot rows."""
    if trace.y.ndim == trace.x.ndim:
        return np.atleast_2d(trace.y)
    rows: HostArray = np.equal.outer(np.atleast_1d(trace.y), np.arange(losses.shape[1]))
    return rows.astype(losses.dtype)


def _fused(trace: StepTrace, targets: HostArray) -> bool:
    """Whether delta is (a - y) / n, as for one of bpx's losses with the output activation that it goes with."""
    loss, activation = trace.loss_function, trace.activations[-1]
    if not loss.takes_logits(activation):
        return False
    bpx_own = not any("own" in _described(words) for words in (loss_to_json(loss), activation_to_json(activation)))
    # Where rows of y do not add up to 1, softmax's delta is a * sum(y) - y.
    return bpx_own and (loss.name != "cross_entropy" or bool(np.all(np.abs(targets.sum(axis=-1) - 1.0) < 1e-12)))


def _layer(layer: LayerTrace, activation: Activation, before: list[int], here: list[int]) -> dict[str, Any]:
    """The numbers of one layer's drawn neurons, and of the weights between drawn neurons."""
    described = _described(activation_to_json(activation))
    elementwise = activation.derivative is not None or activation.jacobian is None
    numbers: dict[str, Any] = {"activation": described | {"elementwise": elementwise}}
    for name in ("z", "a", "grad_a", "delta"):
        numbers[name] = _plain(np.atleast_2d(getattr(layer, name))[:, here])
    for name in ("W", "grad_W", "new_W"):
        numbers[name] = _plain(getattr(layer, name)[np.ix_(before, here)])
    for name in ("b", "grad_b", "new_b"):
        biases = getattr(layer, name)
        numbers[name] = None if biases is None else _plain(biases[here])
    return numbers


def _described(words: Any) -> dict[str, Any]:
    """A function's JSON as a mapping: its name and arguments, or a user's own name for it."""
    return {"name": words, "arguments": []} if isinstance(words, str) else dict(words)


def _plain(values: HostArray | float) -> Any:
    """Lists of Python floats; NaN and infinity as texts that JavaScript's Number() reads."""
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    return to_json(plain, lambda v: "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity")

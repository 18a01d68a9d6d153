"""From a trace to what its page draws: plain lists and numbers, large layers in part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bpx._formatting import to_json
from bpx.checks.step_trace import LayerTrace, StepTrace
from bpx.files.function_json import activation_to_json, loss_to_json
from bpx.formulas.activations import Activation

HostArray = np.ndarray[Any, Any]

# A layer of more neurons than this is drawn in part: all but one of these from its start, and its last neuron.
DRAWN = 10


def count(trace: StepTrace) -> int:
    """How many numbers `page_data` will hold, at least."""
    return int(len(np.atleast_2d(trace.x)) * sum(4 * min(size, DRAWN - 1) for size in _sizes(trace)[1:]))


def page_data(trace: StepTrace) -> dict[str, Any]:
    """The numbers of a trace as the page takes them.

    Parameters
    ----------
    trace : StepTrace
        Of one sample, or of several.

    Returns
    -------
    dict
        Ready for JSON. Arrays of samples always have their sample axis; only the drawn neurons' numbers are in them
        (``drawn`` has their places). A number that is not finite is the text ``"NaN"``, ``"Infinity"`` or
        ``"-Infinity"``, which JSON has no numbers for.
    """
    sizes = _sizes(trace)
    drawn = [_drawn(size) for size in sizes]
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
    """Inputs, and neurons of every layer."""
    return [trace.layers[0].W.shape[0], *(layer.W.shape[1] for layer in trace.layers)]


def _drawn(size: int) -> list[int]:
    """Places of the neurons that are drawn."""
    return list(range(size)) if size <= DRAWN else [*range(DRAWN - 2), size - 1]


def _targets(trace: StepTrace, losses: HostArray) -> HostArray:
    """Targets as numbers of shape (n, n_out); class labels as rows of 0 and 1."""
    if trace.y.ndim == trace.x.ndim:
        return np.atleast_2d(trace.y)
    rows: HostArray = np.equal.outer(np.atleast_1d(trace.y), np.arange(losses.shape[1]))
    return rows.astype(losses.dtype)


def _fused(trace: StepTrace, targets: HostArray) -> bool:
    """Whether delta is (a - y) / n: bpx's own loss and the output activation that it makes one formula with."""
    loss, activation = trace.loss_function, trace.activations[-1]
    if not loss.takes_logits(activation):
        return False
    bpx_own = not any("own" in _described(words) for words in (loss_to_json(loss), activation_to_json(activation)))
    # Rows of class probabilities may be off a little; softmax's delta is then a * sum(y) - y.
    return bpx_own and (loss.name != "cross_entropy" or bool(np.all(np.abs(targets.sum(axis=-1) - 1.0) < 1e-12)))


def _layer(layer: LayerTrace, activation: Activation, before: list[int], here: list[int]) -> dict[str, Any]:
    """One layer's numbers: those of the drawn neurons, and of the weights between drawn neurons."""
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
    """A function's name and arguments, or its owner's name for it; always a mapping."""
    return {"name": words, "arguments": []} if isinstance(words, str) else dict(words)


def _plain(values: HostArray | float) -> Any:
    """Lists of Python floats; what is not finite as the text that JavaScript reads as the same number."""
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    return to_json(plain, lambda v: "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity")

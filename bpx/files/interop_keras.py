"""Networks from the weights of a Keras model as arrays; Keras itself is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bpx.backend.select import BackendLike
from bpx.formulas.activations import Activation, ActivationName, HiddenName
from bpx.network.mlp import MLP


def from_keras_weights(
    weights: Sequence[Any], hidden: HiddenName | Activation | Sequence[HiddenName | Activation] = "relu",
    output: ActivationName | Activation = "softmax", *, dropout: float | Sequence[float] = 0.0,
    backend: BackendLike = None,
) -> MLP:  # fmt: skip
    """A network from ``model.get_weights()`` of a Keras model of Dense layers.

    Parameters
    ----------
    weights : list of arrays
        For each layer the kernel of shape (n_in, n_out) and, where it has one, the bias of shape (n_out,).
    hidden : str or Activation, or a list with one per hidden layer
        The activations, which the arrays do not contain; as for `MLP`.
    output : str or Activation
        The activation of the last layer.
    dropout : float, or a list with one per hidden layer
        Rates for further training.
    backend : str, module or Backend, optional
        The network's backend; None is the current one.

    Returns
    -------
    MLP
        With copies of the weights, in float64 if all of them are, else in float32.

    Raises
    ------
    ValueError, NonFiniteError
        For arrays that cannot be those of Dense layers; the message names the index in the list.
    TypeError
        For anything but a list of arrays of floats.

    Notes
    -----
    The arrays do not show whether a Dense layer is used twice (its arrays come once), nor whether the vector after
    a kernel is a bias or belongs to another layer (PReLU, LayerNormalization with one of its two): compare the outputs.

    Keras's ``leaky_relu`` has slope 0.2 (0.3 as a layer of Keras 2), so give ``bpx.activations.leaky_relu(0.2)``; its
    ``gelu`` is the exact one unless ``approximate=True``, which is bpx's; ``exponential`` is ``"exp"``.
    """
    if isinstance(weights, (str, bytes, np.ndarray)) or not isinstance(weights, Sequence):
        raise TypeError(f"from_keras_weights: expected a list of arrays, got {type(weights).__name__}")
    arrays = [np.asarray(array) for array in weights]
    sizes: list[int] = []
    bias: list[bool] = []
    for place, array in enumerate(arrays):
        if array.dtype.name not in ("float32", "float64"):
            raise TypeError(f"from_keras_weights: expected floats, got {array.dtype} as array {place}")
        shape = array.shape
        if len(shape) == 2 and min(shape) > 0 and (not sizes or shape[0] == sizes[-1]):
            sizes += [shape[0], shape[1]] if not sizes else [shape[1]]
            bias.append(False)
        elif len(shape) == 1 and sizes and shape[0] == sizes[-1] and not bias[-1]:
            bias[-1] = True
        else:
            wanted = f"a kernel of shape ({sizes[-1]}, n)" if sizes else "a kernel of shape (n_in, n_out)"
            wanted += f" or a bias of shape ({sizes[-1]},)" if sizes and not bias[-1] else ""
            raise ValueError(
                f"from_keras_weights: expected {wanted} as array {place} (layer {max(len(bias) - 1, 0)}), got shape"
                f" {shape}; only Dense layers can be represented"
            )
    if not sizes:
        raise ValueError("from_keras_weights: expected the arrays of at least one Dense layer, got none")
    dtype = "float64" if all(array.dtype == np.float64 for array in arrays) else "float32"
    flat = np.concatenate([array.ravel() for array in arrays])
    return MLP.with_parameters(
        flat, sizes=sizes, hidden=hidden, output=output, bias=bias, dropout=dropout, dtype=dtype, backend=backend
    )

"""Activation functions: `Activation`, the named ones, and those that take a parameter.

The functions ``f(xp, z)`` are there to build your own activations and losses from.
"""

from bpx.formulas.activations import (
    ACTIVATIONS,
    Activation,
    ActivationName,
    HiddenName,
    Outputs,
    elu,
    exp,
    gelu,
    get,
    identity,
    leaky_relu,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    step,
    tanh,
)

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "ActivationName",
    "HiddenName",
    "Outputs",
    "elu",
    "exp",
    "gelu",
    "get",
    "identity",
    "leaky_relu",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "step",
    "tanh",
]

"""Activation functions: `Activation`, the named ones, and those that take a parameter.

The functions ``f(xp, z)`` themselves are there for activations and losses of one's own.
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

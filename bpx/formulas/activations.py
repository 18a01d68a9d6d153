"""Activations: a = f(z) and how a gradient passes back through them, grad_z = grad_a * f'(z).

Every ``forward(xp, z)`` takes pre-activations of shape (..., n, k) and returns the same shape, dtype and device.
Every ``derivative(xp, z, a)`` returns f'(z), from the output `a` where that is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from bpx._typing import Array, Namespace
from bpx.errors import NotDifferentiableError
from bpx.errors.hints import unknown_value
from bpx.formulas.user_functions import check_activation_shape

__all__ = ["ACTIVATIONS", "Activation", "ActivationName", "HiddenName", "Outputs", "elu", "get", "leaky_relu"]

# Names of activations for hidden layers, and of all, which an output layer may have.
HiddenName = Literal[
    "identity", "sigmoid", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "softplus", "silu", "mish", "gelu",
    "step",
]  # fmt: skip
ActivationName = Literal[HiddenName, "softmax", "exp"]
Outputs = Literal["real", "positive", "unit", "distribution"]

Forward = Callable[[Namespace, Array], Array]
Derivative = Callable[[Namespace, Array, Array], Array]
Backward = Callable[[Namespace, Array, Array, Array], Array]


@dataclass(frozen=True)
class Activation:
    """An activation function and its derivative.

    Parameters
    ----------
    name : str
        Shown in tables and error messages.
    forward : callable
        ``forward(xp, z) -> a``, shapes (..., n, k).
    derivative : callable, optional
        ``derivative(xp, z, a) -> f'(z)``, element by element. None: not differentiable, forward only.
    jacobian : callable, optional
        ``jacobian(xp, grad_a, z, a) -> grad_z`` where one output depends on several inputs (softmax).
    outputs : {"real", "positive", "unit", "distribution"}
        What the values are: any number, > 0, in [0, 1], or rows that are probabilities of k classes. Losses check it.
    output_only : bool
        Whether only an output layer may use it.
    """

    name: str
    forward: Forward
    derivative: Derivative | None = None
    jacobian: Backward | None = None
    outputs: Outputs = "real"
    output_only: bool = False

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can pass back through it."""
        return self.derivative is not None or self.jacobian is not None

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z + b, written into `z`, and a = f(z + b); shapes (..., n, k) and (..., 1, k).

        A kernel may leave in z whatever its own `backward` wants there: `a`, or f'(z).
        """
        if b is not None:
            z += b
        return z, self.value(xp, z)

    def value(self, xp: Namespace, z: Array) -> Array:
        """f(z), of z's shape; the array itself where f is the identity.

        Raises
        ------
        ShapeError
            If the function returned another shape, which would be repeated to that of z.
        """
        a = self.forward(xp, z)
        check_activation_shape(self.name, "values", a, z)
        return a

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """dL/dz from dL/da: grad_a * f'(z), or the product with the Jacobian; shapes (..., n, k); `out` is a hint.

        Raises
        ------
        NotDifferentiableError
            For an activation without derivative (``step``).
        ShapeError
            If the derivative has another shape, which would be repeated to that of z.
        """
        if self.jacobian is not None:
            grad_z = self.jacobian(xp, grad_a, z, a)
            check_activation_shape(self.name, "a gradient", grad_z, grad_a)
            return grad_z
        if self.derivative is None:
            raise NotDifferentiableError(
                f"activation {self.name!r} has no useful derivative, so nothing can be learned through it;"
                " use it for forward only, and train with 'sigmoid', its smooth form"
            )
        slope = self.derivative(xp, z, a)
        check_activation_shape(self.name, "derivatives", slope, grad_a)
        return grad_a * slope


def largest_exponent(xp: Namespace, dtype: Any) -> float:
    """The largest x for which exp(x) is finite in `dtype`: 88.7 for float32, 709.8 for float64."""
    return math.log(float(xp.finfo(dtype).max))


def sigmoid(xp: Namespace, z: Array) -> Array:
    """1 / (1 + exp(-z)); -z is held where exp would overflow and the result is below the smallest normal number."""
    return 1.0 / (1.0 + xp.exp(xp.minimum(-z, largest_exponent(xp, z.dtype) - 1.0)))


def softplus(xp: Namespace, z: Array) -> Array:
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), which cannot overflow."""
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))


def softmax(xp: Namespace, z: Array) -> Array:
    """exp(z_i - max z) / sum_j exp(z_j - max z) over the last axis."""
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def exp(xp: Namespace, z: Array) -> Array:
    """e^z up to c = 0.8 log(largest number), its tangent beyond, so that a loss of it stays finite."""
    held = xp.minimum(z, 0.8 * largest_exponent(xp, z.dtype))
    return xp.exp(held) * (1.0 + (z - held))


def exp_slope(xp: Namespace, z: Array) -> Array:
    """exp(min(z, c)), the derivative of `exp`."""
    return xp.exp(xp.minimum(z, 0.8 * largest_exponent(xp, z.dtype)))


def softmax_jacobian(xp: Namespace, grad_a: Array, z: Array, a: Array) -> Array:
    """grad_z_i = a_i (grad_a_i - sum_j grad_a_j a_j)."""
    return a * (grad_a - xp.sum(grad_a * a, axis=-1, keepdims=True))


def silu_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """s + a (1 - s), with s = sigmoid(z)."""
    s = sigmoid(xp, z)
    return s + a * (1.0 - s)


_GELU = math.sqrt(2.0 / math.pi)


def _gelu_tanh(xp: Namespace, z: Array) -> Array:
    """tanh(sqrt(2/pi) (z + 0.044715 z^3))."""
    return xp.tanh(_GELU * z * (1.0 + 0.044715 * z * z))


def gelu(xp: Namespace, z: Array) -> Array:
    """z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))): Hendrycks and Gimpel 2016, section 2 (no erf in the standard)."""
    return 0.5 * z * (1.0 + _gelu_tanh(xp, z))


def gelu_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """(1 + t)/2 + z/2 (1 - t^2) sqrt(2/pi) (1 + 3 * 0.044715 z^2), with t the tanh of `gelu`."""
    t = _gelu_tanh(xp, z)
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * (_GELU * (1.0 + 0.134145 * z * z))


def identity(xp: Namespace, z: Array) -> Array:
    """z itself."""
    return z


def identity_jacobian(xp: Namespace, grad_a: Array, z: Array, a: Array) -> Array:
    """grad_a as it is, without a product with ones."""
    return grad_a


def identity_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """1."""
    return xp.ones_like(a)


def sigmoid_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """a (1 - a)."""
    return a * (1.0 - a)


def tanh(xp: Namespace, z: Array) -> Array:
    """(exp(z) - exp(-z)) / (exp(z) + exp(-z))."""
    return xp.tanh(z)


def tanh_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """1 - a^2."""
    return 1.0 - a * a


def relu(xp: Namespace, z: Array) -> Array:
    """max(z, 0)."""
    return xp.maximum(z, 0.0)


def relu_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """1 where a > 0, else 0 (at the kink too)."""
    return xp.astype(a > 0, a.dtype)


def leaky_relu_value(xp: Namespace, z: Array, slope: float) -> Array:
    """max(z, slope z), for slope < 1."""
    return xp.maximum(z, slope * z)


def leaky_relu_derivative(xp: Namespace, z: Array, a: Array, slope: float) -> Array:
    """1 where a > 0, else slope."""
    return xp.where(a > 0, xp.ones_like(a), slope)


def elu_value(xp: Namespace, z: Array, alpha: float) -> Array:
    """z where z > 0, else alpha (exp(z) - 1)."""
    return xp.where(z > 0, z, alpha * xp.expm1(xp.minimum(z, 0.0)))


def elu_derivative(xp: Namespace, z: Array, a: Array, alpha: float) -> Array:
    """1 where a > 0, else a + alpha."""
    return xp.where(a > 0, xp.ones_like(a), a + alpha)


# Klambauer et al. 2017, equation 14: the scale and alpha that keep mean 0 and variance 1 from layer to layer.
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def selu(xp: Namespace, z: Array) -> Array:
    """scale z where z > 0, else scale alpha (exp(z) - 1) (Klambauer et al. 2017); made for ``init="lecun_normal"``."""
    below = SELU_SCALE * SELU_ALPHA * xp.expm1(xp.minimum(z, 0.0))
    return xp.where(z > 0, SELU_SCALE * z, below)


def selu_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """scale where z > 0, else scale alpha exp(z): a + scale alpha would lose its digits far below 0."""
    return xp.where(z > 0, SELU_SCALE, SELU_SCALE * SELU_ALPHA * xp.exp(xp.minimum(z, 0.0)))


def softplus_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """1 - exp(-a), which is sigmoid(z)."""
    return -xp.expm1(-a)


def silu(xp: Namespace, z: Array) -> Array:
    """z sigmoid(z) (Elfwing et al. 2018), also called swish."""
    return z * sigmoid(xp, z)


def mish(xp: Namespace, z: Array) -> Array:
    """z tanh(softplus(z)) (Misra 2019)."""
    return z * xp.tanh(softplus(xp, z))


# From here on tanh(softplus(z)) is 1 to the last bit of float64, and what its slope adds is lost beside it.
MISH_HELD = 30.0


def mish_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """t + z (1 - t^2) sigmoid(z), with t = tanh(softplus(z)), all of e = exp(z).

    t = n / (n + 2) with n = e (e + 2), and (1 - t^2) sigmoid(z) = 4 e (1 + e) / (n + 2)^2: nothing is subtracted, and
    holding z where the second term is lost beside the first keeps both finite.
    """
    held = xp.minimum(z, MISH_HELD)
    e = xp.exp(held)
    n = e * (e + 2.0)
    return n / (n + 2.0) + 4.0 * held * e * (1.0 + e) / (n + 2.0) / (n + 2.0)


def exp_derivative(xp: Namespace, z: Array, a: Array) -> Array:
    """exp(min(z, c)), with c as in `exp`."""
    return exp_slope(xp, z)


def step(xp: Namespace, z: Array) -> Array:
    """1 where z >= 0, else 0: the threshold unit, which no gradient passes."""
    return xp.astype(z >= 0, z.dtype)


def leaky_relu(slope: float = 0.01) -> Activation:
    """z for z > 0, slope * z below, with slope in [0, 1); the derivative at 0 is `slope` (Maas et al. 2013)."""
    if not 0.0 <= slope < 1.0:
        raise ValueError(f"leaky_relu: expected a slope in [0, 1), got {slope}")
    slope = float(slope)  # NumPy's scalars would make float32 layers float64
    return Activation("leaky_relu", partial(leaky_relu_value, slope=slope), partial(leaky_relu_derivative, slope=slope))


def elu(alpha: float = 1.0) -> Activation:
    """z for z > 0, alpha (exp(z) - 1) below, with alpha > 0 (Clevert et al. 2016)."""
    if not (math.isfinite(alpha) and alpha > 0.0):
        raise ValueError(f"elu: expected a finite alpha > 0, got {alpha}")
    alpha = float(alpha)
    return Activation("elu", partial(elu_value, alpha=alpha), partial(elu_derivative, alpha=alpha))


_SIGMOID = Activation("sigmoid", sigmoid, sigmoid_derivative, outputs="unit")

ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation("identity", identity, identity_derivative, identity_jacobian),
    "sigmoid": _SIGMOID,
    "logistic": _SIGMOID,
    "tanh": Activation("tanh", tanh, tanh_derivative),
    "relu": Activation("relu", relu, relu_derivative),
    "leaky_relu": leaky_relu(),
    "elu": elu(),
    "selu": Activation("selu", selu, selu_derivative),
    "softplus": Activation("softplus", softplus, softplus_derivative, outputs="positive"),
    "silu": Activation("silu", silu, silu_derivative),
    "mish": Activation("mish", mish, mish_derivative),
    "gelu": Activation("gelu", gelu, gelu_derivative),
    "softmax": Activation("softmax", softmax, jacobian=softmax_jacobian, outputs="distribution", output_only=True),
    "exp": Activation("exp", exp, exp_derivative, outputs="positive", output_only=True),
    "step": Activation("step", step, outputs="unit"),
}


def get(activation: ActivationName | Activation) -> Activation:
    """The activation of that name, or the object itself.

    Raises
    ------
    ValueError
        If the name is not known; the message lists the known ones.
    TypeError
        If it is neither a name nor an `Activation`.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(f"expected an activation's name or a bpx.Activation, got {type(activation).__name__}")
    if activation not in ACTIVATIONS:
        raise ValueError(unknown_value("activation", activation, ", ".join(sorted(ACTIVATIONS))))
    return ACTIVATIONS[activation]

"""`MLP`: the parameters, outputs and gradients of a multilayer perceptron."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bpx._typing import Array
from bpx.backend.select import BackendLike, get_backend
from bpx.errors import BackendFallbackWarning, warn_caller
from bpx.errors.hints import instead_of, named
from bpx.formulas import losses
from bpx.formulas.activations import Activation, ActivationName, HiddenName
from bpx.formulas.initializers import InitializerLike
from bpx.formulas.losses import LossLike
from bpx.network import architecture, validation
from bpx.network.architecture import DTypeLike
from bpx.network.data_frames import column_names
from bpx.network.inference import Inference
from bpx.network.memory import explains_memory_errors, forward_pass, gradient
from bpx.network.objective import Objective
from bpx.network.params import ParamViews, draw, overwrite
from bpx.network.state import NetworkState


@final
class MLP(NetworkState):
    """A multilayer perceptron: for each layer z = a_prev W + b and a = f(z).

    Parameters
    ----------
    sizes : sequence of int
        Neurons of each layer, beginning with the inputs, such as ``[784, 256, 10]``.
    hidden : str or Activation, or a list with one per hidden layer
        identity, sigmoid (or logistic), tanh, relu, leaky_relu, elu, selu, softplus, silu, mish, gelu, step (forward
        only).
    output : str or Activation
        One of those, softmax or exp.
    bias : bool, or a list with one per layer after the inputs
        Whether layers have a bias b.
    init : str, Initializer or callable, or a list with one per layer after the inputs
        Draws the initial parameters; a callable is ``f(rng, n_in, n_out) -> (W, b)`` and returns host arrays.
    dropout : float, or a list with one per hidden layer
        Probability, in [0, 1), with which an output of a hidden layer is set to 0 in training.
    dtype : {"float32", "float64"}
        Of parameters and outputs.
    seed : int, None, or a list of K ints for a stack
        Seed of the initial weights and the dropout masks; None draws a random one. In a stack, network k has
        ``seed + k``.
    backend : str, module or Backend, optional
        As for `bpx.get_backend`; None is the current one.
    stack : int, optional
        K, to train K networks of this architecture at once: ``flat`` then has the shape (K, n_params), W
        (K, n_in, n_out), and outputs (K, n, n_out).

    Attributes
    ----------
    flat : Array of shape (n_params,) or (K, n_params)
        All parameters; ``params`` are views of it.
    backend : Backend
        The backend that computes, with its ``name`` and ``device``.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; the message says what was expected.

    Examples
    --------
    >>> import bpx
    >>> net = bpx.MLP([2, 3, 1], hidden="tanh", output="sigmoid", backend="numpy")
    >>> net.n_params
    13
    >>> net([[0.0, 1.0], [1.0, 1.0]]).shape
    (2, 1)
    >>> net([0.0, 1.0]).shape
    (1,)
    """

    @named("bpx.MLP")
    def __init__(
        self,
        sizes: Sequence[int],
        hidden: HiddenName | Activation | Sequence[HiddenName | Activation] = "relu",
        output: ActivationName | Activation = "softmax",
        bias: bool | Sequence[bool] = True,
        init: InitializerLike | Sequence[InitializerLike] = "glorot_uniform",
        dropout: float | Sequence[float] = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | Sequence[int] | None = 0,
        backend: BackendLike = None,
        stack: int | None = None,
    ) -> None:
        super().__init__(sizes, hidden, output, bias, init, dropout, dtype, seed, backend, stack)
        drawn = draw(self.layout, self.init, self.seeds)
        self._place(drawn if self.stack is not None else drawn[0])

    @classmethod
    def with_parameters(cls, flat: np.ndarray[Any, Any], **architecture: Any) -> MLP:
        """A network with copies of these parameters, a host array of ``flat``'s shape; other arguments as of `MLP`."""
        host = get_backend("numpy")
        with host.scope():
            validation.check_finite(host, flat, "parameters")
        net = object.__new__(cls)
        NetworkState.__init__(net, **architecture)
        net._place(flat)
        return net

    # ------------------------------------------------------------------ forward and backward

    @explains_memory_errors(forward_pass)
    def forward(self, X: Any) -> Array:
        """Outputs for `X`, without dropout.

        Parameters
        ----------
        X : array of shape (n, n_in), or (n_in,) for one sample
            On the host, or on the network's backend and device. Host arrays are checked for NaN and infinity.

        Returns
        -------
        Array of shape (n, n_out), or (n_out,) for one sample; a stack adds its K in front
            On the network's device, in its dtype.

        Raises
        ------
        ShapeError, NonFiniteError, TypeError, DeviceMismatchError
            If `X` is not as described.
        MemoryError
            If the outputs do not fit into memory, or not even one row can be computed. Rows are computed in chunks; if
            memory runs out, in chunks of half as many rows, which may round differently.
        """
        x, single = validation.samples(self.backend, X, self.sizes[0])
        out = self._inference.outputs(self, x, column_names(X))
        return out[..., 0, :] if single else out

    __call__ = forward

    @explains_memory_errors(forward_pass)
    def activations(self, X: Any) -> list[Array]:
        """The outputs of every layer after the inputs for `X`, in order; shapes and errors as of `forward`."""
        x, single = validation.samples(self.backend, X, self.sizes[0])
        return [a[..., 0, :] if single else a for a in self._inference.activations(self, x, column_names(X))]

    @cached_property
    def _inference(self) -> Inference:
        return Inference(self)

    @explains_memory_errors(gradient)
    def loss_and_grads(
        self,
        X: Any,
        y: Any,
        loss: LossLike = "cross_entropy",
        l2: Any = 0.0,
        sample_weight: Any = None,
    ) -> tuple[Array, ParamViews]:
        """Loss of a batch and its gradient with respect to every parameter, without dropout.

        Parameters
        ----------
        X : array of shape (n, n_in), or (n_in,) for one sample
            Inputs, on the host or on the network's backend and device.
        y : array of shape (n, n_out), or (n,) for one output or integer class labels
            Targets; for one sample without the axis n.
        loss : str, Loss or function
            The mean over samples of its sum over outputs is computed.
        l2 : float, or K floats for a stack
            Adds l2/2 times the sum of squared weights (without biases).
        sample_weight : array of shape (n,), or (K, n) for a stack, optional
            Not negative, not all zero.

        Returns
        -------
        loss : Array of shape () or (K,)
            On the network's device.
        grads : ParamViews
            Mapping from ``"0.W"`` to dL/dW of the first layer, and so on; ``grads.flat`` is the whole gradient.

        Raises
        ------
        ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError, NotDifferentiableError, MemoryError
            If an argument is not as described, an activation has no derivative, or memory ran out.
        """
        with self.backend.scope(), self.backend.matmul_precision():
            objective, batch = self._objective(X, y, loss, l2, sample_weight)
            value, grad = objective.value_and_grad(*batch)
        return value, ParamViews(self.backend.xp, self.layout, grad)

    @explains_memory_errors(gradient)
    def input_gradient(self, X: Any, y: Any, loss: LossLike = "cross_entropy", sample_weight: Any = None) -> Array:
        """dL/dX, of the shape of `X` (a stack adds its K in front); parameters as of `loss_and_grads`."""
        with self.backend.scope(), self.backend.matmul_precision():
            objective, batch = self._objective(X, y, loss, 0.0, sample_weight)
            grad = objective.input_gradient(*batch)
        return grad[..., 0, :] if np.ndim(X) == 1 else grad

    def _objective(
        self, X: Any, y: Any, loss: Any, l2: Any, sample_weight: Any
    ) -> tuple[Objective, tuple[Array, Array, Array | None]]:
        """The objective and the batch, checked."""
        loss = losses.get(loss)
        objective = Objective(self, loss, l2)
        x, single = validation.inputs(self.backend, self._xp_dtype, X, self.sizes[0])
        n = x.shape[0]
        t = validation.targets(self.backend, self._xp_dtype, y, n, self.sizes[-1], loss, single=single)
        w = validation.sample_weights(self.backend, self._xp_dtype, sample_weight, n, self.stack)
        return objective, (x, t, w)

    # ------------------------------------------------------------------ parameters

    @property
    def params(self) -> ParamViews:
        """Ordered mapping from ``"0.W"``, ``"0.b"``, ``"1.W"``, ... to views of ``flat``."""
        return ParamViews(self.backend.xp, self.layout, self.flat)

    @property
    def weights(self) -> list[Array]:
        """The W of every layer, (n_in, n_out), as views of ``flat``."""
        return [view for name, view in self.params.items() if name.endswith("W")]

    @property
    def biases(self) -> list[Array]:
        """The b of every layer that has one, (n_out,), as views of ``flat``."""
        return [view for name, view in self.params.items() if name.endswith("b")]

    def set_params(self, params: Mapping[str, Any]) -> MLP:
        """Overwrite parameters by name; all are checked before any is written.

        Parameters
        ----------
        params : mapping of str to array
            New values by the names in ``params``, each of the parameter's shape, on the host or the network's device.

        Returns
        -------
        MLP
            This network.

        Raises
        ------
        KeyError, ShapeError, NonFiniteError, TypeError, DeviceMismatchError
            If a name or a value is not as described.
        """
        overwrite(self.backend, self.params, params)
        return self

    # ------------------------------------------------------------------ copies

    @named("net.save")
    def save(self, path: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write the network to a file that `bpx.load` reads on any backend.

        Parameters
        ----------
        path : str or path-like
            A name that ends in ``.safetensors`` (extra ``io``) or ``.npz`` (NumPy alone).
        metadata : dict, optional
            Plain JSON of your own, which `bpx.read_header` returns.

        Raises
        ------
        NonFiniteError
            If a parameter is NaN or infinite.
        ValueError, TypeError
            If the path has another ending, or the metadata are not plain JSON.
        ImportError
            If safetensors is needed and not installed.
        OSError
            If the file cannot be written. In case of any error an existing file stays as it was.
        """
        from bpx.files.model import write_model  # the one import from a package above: see pyproject.toml

        write_model(self, path, "network", metadata)

    def to(self, backend: BackendLike = None, *, dtype: DTypeLike | None = None) -> MLP:
        """A copy of this network on another backend or in another dtype; None keeps the current one."""
        return self._like(
            self.backend.to_host(self.flat),
            backend=self.backend if backend is None else get_backend(backend),
            dtype=self.dtype if dtype is None else architecture.check_dtype(dtype),
        )

    def copy(self) -> MLP:
        """A copy on the same backend."""
        return self.to()

    __copy__ = copy

    def member(self, k: int) -> MLP:
        """A copy of network `k` of a stack, from 0, as a single network on the same backend."""
        if self.stack is None or not 0 <= k < self.stack:
            raise ValueError(f"member: expected a stack and one of its networks, from 0, got {k} of {self.stack}")
        return self._like(self.backend.to_host(self.flat)[k], backend=self.backend, stack=None, seed=self.seeds[k])

    def _like(self, flat: np.ndarray[Any, Any], **attributes: Any) -> MLP:
        """A network with a copy of the parameters `flat` and these attributes, otherwise like this one."""
        other = object.__new__(MLP)
        other.__dict__.update(self._architecture() | attributes)
        other._place(flat)
        return other

    def _architecture(self) -> dict[str, Any]:
        """Attributes that do not depend on the backend."""
        dependent = {"backend", "_flat", "layer_params", "dropout_seeds", "_inference"}
        return {name: value for name, value in self.__dict__.items() if name not in dependent}

    def __deepcopy__(self, memo: dict[int, Any]) -> MLP:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        return self._architecture() | {"backend": self.backend.name, "flat": self.backend.to_host(self.flat)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        flat, name = state.pop("flat"), state["backend"]
        try:
            state["backend"] = get_backend(name)
        except ValueError:
            message = f"the network was on backend {name!r}, which has no name here; it is now on NumPy"
            warn_caller(message, BackendFallbackWarning)
            state["backend"] = get_backend("numpy")
        self.__dict__.update(state)
        self._place(flat)

    if not TYPE_CHECKING:  # a type checker would then allow any name

        def __getattr__(self, name: str) -> Any:
            more = "" if name.startswith("_") else f"; {instead_of('net', name, dir(self))}"
            raise AttributeError(f"a network has no attribute {name!r}{more}")

    def __repr__(self) -> str:
        hidden = "/".join(dict.fromkeys(activation.name for activation in self.hidden))
        stack = f" x {self.stack}" if self.stack is not None else ""
        return (
            f"<MLP {'-'.join(map(str, self.sizes))}{stack}, {hidden + ' to ' if hidden else ''}{self.output.name},"
            f" {self.n_params} parameters, {self.dtype} on {self.backend.name} ({self.backend.device})>"
        )


def check_network(net: Any, call: str, *others: Any) -> None:
    """TypeError if `net` is no network; its message shows `call`, and guesses from `others`, the next arguments."""
    if isinstance(net, MLP):
        return
    hint = ""
    if any(isinstance(other, MLP) for other in others):
        hint = f"; the network comes first, {call}"
    elif hasattr(net, "get_params") and hasattr(net, "predict"):
        method = call.partition("(")[0].removeprefix("bpx.")
        hint = f"; an estimator has a method of its own, estimator.{method}({call.partition(', ')[2]}"
    raise TypeError(f"net: expected a bpx.MLP, got {type(net).__name__}{hint}")

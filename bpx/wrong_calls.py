"""What is said to a call with a name that bpx does not have: what other libraries mean by it, or one spelt like it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["explained", "instead_of", "is_wrong_call", "named", "wrong_call"]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_RATE = "give optimizer=bpx.{optimizer}({value})"
_EPOCHS = "give epochs={value}"
_PATIENCE = "give stop=bpx.stop.Patience(patience=10), with validation=0.2 or (X_val, y_val)"
_VALIDATION = "give validation=(X_val, y_val)"
_NETWORK = "it belongs to the network, bpx.MLP(sizes, {name}={value})"
_PROGRESS = "give progress=True"
_TO_FIT = "it belongs to training, bpx.fit(net, X, y, ...)"
_SIZES = "give sizes=[inputs, hidden units of each layer, ..., outputs], such as bpx.MLP([4, 100, 3])"
_BACKEND = "give backend='cupy' or backend='torch:cuda'"

# What to write in place of an argument or attribute that other libraries have; by the function's public name.
_INSTEAD: dict[str, dict[str, str]] = {
    "bpx.fit": {
        **dict.fromkeys(("learning_rate", "lr", "learning_rate_init", "eta", "step_size"), _RATE),
        **dict.fromkeys(("max_iter", "n_epochs", "num_epochs", "nb_epoch", "n_iter", "max_epochs", "iters"), _EPOCHS),
        **dict.fromkeys(("early_stopping", "patience", "n_iter_no_change"), _PATIENCE),
        **dict.fromkeys(("validation_data", "val_data", "eval_set", "X_val", "y_val", "X_test", "y_test"), _VALIDATION),
        **dict.fromkeys(("validation_split", "validation_fraction", "test_size"), "give validation={value}"),
        **dict.fromkeys(("dropout", "dtype", "hidden", "output", "init", "stack"), _NETWORK),
        **dict.fromkeys(("device", "backend"), "the network has it, bpx.MLP(sizes, backend={value})"),
        **dict.fromkeys(("verbose", "verbosity", "disp"), _PROGRESS),
        **dict.fromkeys(("criterion", "loss_fn", "loss_function", "objective", "cost"), "give loss={value}"),
        **dict.fromkeys(
            ("scheduler", "lr_scheduler", "schedule", "lr_schedule"),
            "a schedule is an optimizer's learning rate, optimizer=bpx.Adam(bpx.schedules.Cosine(0.001, length=20))",
        ),
        **dict.fromkeys(
            ("clip_norm", "clipnorm", "grad_clip", "gradient_clip", "max_grad_norm"),
            "give optimizer=bpx.{optimizer}(clip_norm={value})",
        ),
        **dict.fromkeys(("alpha", "reg", "regularization", "weight_penalty"), "give l2={value}"),
        **dict.fromkeys(("random_state", "random_seed"), "give seed={value}"),
        "momentum": "give optimizer=bpx.SGD(learning_rate=0.01, momentum={value})",
        "weight_decay": "give optimizer=bpx.AdamW(weight_decay={value}), or l2= for a penalty in the loss",
        "shuffle": "give sampling='shuffle' or sampling='sequential'",
        "solver": "give optimizer={value}",
        "weights": "give sample_weight=",
        "n_jobs": "threads are BLAS's, OPENBLAS_NUM_THREADS in the environment; processes are comm='mpi'",
        "callback": "give callbacks=[...]",
    },
    "bpx.MLP": {
        **dict.fromkeys(
            ("hidden_layer_sizes", "hidden_sizes", "hidden_size", "n_hidden", "input_size", "input_dim", "output_size",
             "in_features", "out_features", "n_in", "n_out", "layers", "layer_sizes", "units"), _SIZES
        ),
        **dict.fromkeys(("activation", "activations", "hidden_activation", "act"), "give hidden={value}"),
        **dict.fromkeys(("output_activation", "out_activation"), "give output={value}"),
        **dict.fromkeys(
            ("learning_rate", "lr", "optimizer", "solver", "loss", "epochs", "max_iter", "batch_size", "momentum", "l2",
             "alpha", "weight_decay", "early_stopping", "callbacks", "verbose", "learning_rate_init"), _TO_FIT
        ),
        **dict.fromkeys(("initializer", "kernel_initializer", "weight_init", "init_method"), "give init={value}"),
        **dict.fromkeys(("random_state", "random_seed"), "give seed={value}"),
        "device": _BACKEND,
        "use_bias": "give bias={value}",
        "n_networks": "give stack={value}",
    },
    "an optimizer": {
        **dict.fromkeys(("lr", "learning_rate_init", "eta", "step_size"), "give learning_rate={value}"),
        **dict.fromkeys(("clipnorm", "max_norm", "max_grad_norm", "gradient_clip"), "give clip_norm={value}"),
        **dict.fromkeys(
            ("decay", "lr_decay", "scheduler", "schedule"),
            "a schedule is the learning rate, learning_rate=bpx.schedules.StepDecay(0.01)",
        ),
        "betas": "give beta_1= and beta_2=",
        "eps": "give epsilon={value}",
        "weight_decay": "use bpx.AdamW(weight_decay={value}), or l2= of bpx.fit",
        "momentum": "use bpx.SGD(momentum={value})",
        "alpha": "give rho={value} to bpx.RMSprop",
        "params": "bpx.fit gives it the parameters",
    },
    "a schedule": {
        **dict.fromkeys(("lr", "learning_rate", "learning_rate_init", "base_lr"), "give initial={value}"),
        **dict.fromkeys(("T_max", "decay_steps", "total_steps", "epochs"), "give length={value}"),
        **dict.fromkeys(("eta_min", "min_lr", "end_learning_rate"), "give minimum={value}"),
        "step_size": "give every={value}",
        **dict.fromkeys(("gamma", "decay_rate"), "give factor={value}"),
    },
    "a stopping rule": {
        "metric": "give monitor={value}",
        **dict.fromkeys(("n_iter_no_change", "epochs"), "give patience={value}"),
        "tol": "give min_delta={value}",
        "restore_best_weights": "give restore_best={value}",
    },
    "an estimator's fit": {
        **dict.fromkeys(("validation", "validation_data", "val_data", "eval_set"), "give X_val= and y_val="),
        **dict.fromkeys(
            ("epochs", "max_iter"), "the estimator has it, est.set_params(max_iter={value})"
        ),
        "batch_size": "the estimator has it, est.set_params(batch_size={value})",
        **dict.fromkeys(("verbose", "progress", "callbacks"), "the estimator has it, est.set_params({name}=...)"),
    },
    "bpx.predict": {
        "batch_size": "rows are read in blocks, give buffer= in bytes",
    },
    "bpx.trace": {
        **dict.fromkeys(("lr", "eta"), "give learning_rate={value}"),
        "optimizer": "a step of gradient descent is shown, give learning_rate=",
    },
    "bpx.sweep": {
        **dict.fromkeys(("lr", "learning_rate"), "put it into the grid, {{'learning_rate': [...]}}"),
        **dict.fromkeys(("param_grid", "params", "param_distributions"), "give grid="),
        "n_jobs": "give workers={value}",
        "verbose": _PROGRESS,
        "estimator": "give model={value}",
    },
    "a grid": {
        **dict.fromkeys(("lr", "learning_rate_init", "eta"), "use 'learning_rate'"),
        **dict.fromkeys(("max_iter", "n_epochs", "num_epochs"), "use 'epochs'"),
        **dict.fromkeys(("alpha", "weight_penalty"), "use 'l2'"),
        "weight_decay": "use 'l2', or optimizer='adamw'",
    },
    "an estimator": {
        **dict.fromkeys(("lr", "eta", "step_size"), "give learning_rate_init={value}"),
        **dict.fromkeys(("epochs", "n_epochs", "num_epochs"), "give max_iter={value}"),
        **dict.fromkeys(("hidden", "sizes", "layers"), "give hidden_layer_sizes= and activation="),
        **dict.fromkeys(("l2", "weight_decay"), "give alpha={value}, which is divided by the batch's size"),
        **dict.fromkeys(("validation", "validation_split"), "give early_stopping=True, validation_fraction=0.1; or"
                        " fit(X, y, X_val=, y_val=)"),
        **dict.fromkeys(("stop", "patience"), "give early_stopping=True, n_iter_no_change=10"),
        "optimizer": "give solver={value}",
        "output": "give output_activation={value}",
        "seed": "give random_state={value}",
    },
    "net": {
        "fit": "use bpx.fit(net, X, y)",
        "train": "use bpx.fit(net, X, y); dropout is on in training alone",
        "eval": "there is nothing to switch, dropout is on in training alone",
        "compile": "give loss= and optimizer= to bpx.fit(net, X, y)",
        "partial_fit": "use bpx.fit(net, X, y, epochs=1), which goes on from the parameters there are",
        "predict": "use net(X), or bpx.predict(net, X) for a host array",
        "predict_proba": "use bpx.predict(net, X), which gives probabilities where the output is softmax or sigmoid",
        **dict.fromkeys(
            ("score", "evaluate"),
            "compare bpx.predict(net, X) with y, as in (bpx.predict(net, X).argmax(axis=1) == y).mean()",
        ),
        **dict.fromkeys(("state_dict", "get_weights", "parameters", "named_parameters"), "use net.params, or net.flat"),
        **dict.fromkeys(("load_state_dict", "set_weights", "load_weights"), "use net.set_params({{'0.W': ..., ...}})"),
        **dict.fromkeys(("cuda", "gpu"), "use net.to('cupy') or net.to('torch:cuda')"),
        **dict.fromkeys(("coefs_", "layers"), "use net.weights"),
        "intercepts_": "use net.biases",
        "backward": "use net.loss_and_grads(X, y)",
        "zero_grad": "there is nothing to set to 0; net.loss_and_grads(X, y) gives gradients",
        "summary": "use print(net)",
        "cpu": "use net.to('numpy')",
        "load": "use bpx.load(path)",
        "get_params": "use net.params",
        "device": "use net.backend.device",
    },
}  # fmt: skip
# Owners whose hints are of several classes, which do not all have what is told to give.
_OF_SOME = ("an optimizer", "a schedule", "a stopping rule")
_OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}


def instead_of(owner: str, name: str, known: Any, given: Mapping[str, Any] | None = None) -> str:
    """What to write in place of a name that there is not: what is meant by it elsewhere, or one spelt like it.

    Parameters
    ----------
    owner : str
        Of the name, such as "bpx.fit".
    name : str
        That is not known.
    known : iterable of str
        Names that there are.
    given : dict, optional
        The call's arguments by name.
    """
    given, known = given or {}, [one for one in known if not one.startswith("_")]
    hint = _INSTEAD.get(owner, {}).get(name)
    if hint is not None and owner in _OF_SOME and (told := re.match(r"give (\w+)=(?!.* to )", hint)):
        hint = hint if told[1] in known else None
    if hint is not None:
        optimizer = given.get("optimizer", "adam")
        optimizer = _OPTIMIZERS.get(optimizer, "Adam") if isinstance(optimizer, str) else type(optimizer).__name__
        value = given.get(name, ...)
        value = repr(value) if isinstance(value, (int, float, str)) and len(str(value)) < 40 else "..."
        return hint.format(name=name, value=value, optimizer=optimizer)
    from difflib import get_close_matches  # only for messages

    close = get_close_matches(name.casefold(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def is_wrong_call(error: BaseException) -> bool:
    """Whether an error caught around a call is the call's own: of arguments that the function does not take."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def wrong_call(
    function: Callable[..., Any], error: BaseException, given: Mapping[str, Any], name: str = "", owner: str = ""
) -> TypeError:
    """The error for a call that `is_wrong_call`, in a line that says what there is.

    Parameters
    ----------
    function : callable
        That was called.
    error : TypeError
        Python's own.
    given : dict
        The call's arguments by name.
    name, owner : str
        The function's public name, and whose names `instead_of` looks at; made from the function's where empty.
    """
    if not name:
        cls, _, method = function.__qualname__.rpartition(".")
        name = f"net.{method}" if cls == "MLP" else f"bpx.{method}"
    signature = inspect.signature(function)
    known = [p for p in signature.parameters if p != "self"]
    unknown = [one for one in given if one not in known]
    if unknown:
        return TypeError(f"{name} has no {unknown[0]}=; {instead_of(owner or name, unknown[0], known, given)}")
    # Python's own words, with the public name and what a call needs at least.
    words = str(error).partition("() ")[2]
    needed = [p.name for p in signature.parameters.values() if p.default is p.empty and p.name in known]
    return TypeError(f"{name}({', '.join([*needed, '...'])}) {words}" if words else str(error))


def named(name: str, owner: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A public function that explains wrong calls; arguments as `wrong_call`'s."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                if not is_wrong_call(error):
                    raise
                told = wrong_call(function, error, kwargs, name, owner)
            raise told

        return call

    return decorate


def explained(name: str, owner: str = "") -> Callable[[C], C]:
    """A public class that explains wrong calls; arguments as `wrong_call`'s."""

    def decorate(cls: C) -> C:
        cls.__init__ = named(name, owner)(cls.__init__)  # type: ignore[misc]
        return cls

    return decorate

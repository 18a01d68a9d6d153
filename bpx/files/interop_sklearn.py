"""Networks from scikit-learn's multilayer perceptrons, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bpx.backend.select import BackendLike
from bpx.errors import how_to_install
from bpx.files import function_json
from bpx.files.exportable import network_and_labels, refuse_layer
from bpx.network.mlp import MLP

# scikit-learn's name -> bpx's.
HIDDEN = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
OUTPUT = {"identity": "identity", "logistic": "sigmoid", "softmax": "softmax", "exp": "exp"}


def _perceptrons() -> Any:
    """scikit-learn's module of multilayer perceptrons; the ImportError without it names the extra."""
    try:
        from sklearn import neural_network
    except ModuleNotFoundError as error:
        command = how_to_install("sklearn", "scikit-learn")
        raise ImportError(f"bpx.from_sklearn and to_sklearn need scikit-learn: {command}") from error
    return neural_network


def from_sklearn(mlp: Any, *, backend: BackendLike = None) -> MLP:
    """The network of a fitted ``sklearn.neural_network.MLPClassifier`` or ``MLPRegressor``.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor of scikit-learn
        Fitted. The network has no labels: its output k is for ``mlp.classes_[k]``.
    backend : str, module or Backend, optional
        The network's backend; None is the current one.

    Returns
    -------
    MLP
        With copies of the weights in their dtype; its outputs are scikit-learn's probabilities or numbers (for two
        classes one output, the probability of the second).

    Raises
    ------
    TypeError
        For anything else, such as a pipeline.
    ValueError, NonFiniteError
        If it is not fitted, or has an activation that bpx does not know.
    ImportError
        If scikit-learn is not installed.
    """
    perceptrons = _perceptrons()
    if not isinstance(mlp, (perceptrons.MLPClassifier, perceptrons.MLPRegressor)):
        hint = "; of a pipeline give the last step" if hasattr(mlp, "steps") else ""
        raise TypeError(
            f"from_sklearn: expected scikit-learn's MLPClassifier or MLPRegressor, got {type(mlp).__name__}{hint}"
        )
    if not hasattr(mlp, "coefs_"):
        raise ValueError(f"from_sklearn: expected a fitted {type(mlp).__name__}, got one without weights; fit it")
    if mlp.activation not in HIDDEN or mlp.out_activation_ not in OUTPUT:
        layer = len(mlp.coefs_) - 1 if mlp.activation in HIDDEN else 0
        raise ValueError(
            f"from_sklearn: layer {layer} uses {mlp.activation!r} (hidden) or {mlp.out_activation_!r} (output); bpx"
            f" knows {', '.join(HIDDEN)} and {', '.join(OUTPUT)} of scikit-learn"
        )
    sizes = [mlp.coefs_[0].shape[0], *(W.shape[1] for W in mlp.coefs_)]
    params = [array for pair in zip(mlp.coefs_, mlp.intercepts_, strict=True) for array in pair]
    dtype = "float32" if all(array.dtype == np.float32 for array in params) else "float64"
    flat = np.concatenate([array.ravel().astype(dtype) for array in params])
    hidden, output = HIDDEN[mlp.activation], OUTPUT[mlp.out_activation_]
    return MLP.with_parameters(flat, sizes=sizes, hidden=hidden, output=output, dtype=dtype, backend=backend)


def to_sklearn(model: Any, classes: Any = None) -> Any:
    """A network or a bpx estimator as scikit-learn's ``MLPClassifier`` or ``MLPRegressor``, which needs no bpx.

    Parameters
    ----------
    model : MLP, MLPClassifier or MLPRegressor
        All hidden layers must have the same activation, identity, sigmoid, tanh or relu, and all layers a bias. The
        output decides what it becomes: identity or exp a regressor, softmax or one sigmoid a classifier, several
        sigmoids a multilabel classifier. Estimators whose outputs mean something else (``output_activation=``, several
        multiclass targets) are refused.
    classes : array of shape (n_classes,), optional
        Sorted labels for the outputs of a network (two for one sigmoid); None is 0, 1, .... An estimator has its own.

    Returns
    -------
    sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted, with copies of the weights and of the features' names. Dropout, which acts in training only, is left
        out, and parameters of training are scikit-learn's defaults.

    Raises
    ------
    ValueError
        If scikit-learn cannot represent it; the message names the layer.
    TypeError
        For anything but a network or one of bpx's estimators.
    ImportError
        If scikit-learn is not installed.
    """
    perceptrons = _perceptrons()
    net, kind, own_classes = network_and_labels(model, "to_sklearn")
    if kind is not None and classes is not None:
        raise ValueError("to_sklearn: expected no classes with a classifier, which has its own")
    activation = _hidden_activation(net)
    if model is not net:
        _check_meaning(net, kind)
    labelled = net.output.name == "softmax" or (net.output.name == "sigmoid" and net.sizes[-1] == 1)
    if classes is not None and not labelled:
        raise ValueError(f"to_sklearn: expected no classes with {net.sizes[-1]} outputs of {net.output.name!r}")
    shape = {"hidden_layer_sizes": tuple(net.sizes[1:-1]), "activation": activation}
    X = np.zeros((2, net.sizes[0]), dtype=net.dtype)
    outputs = net.sizes[-1]
    if net.output.name in ("identity", "exp"):
        y = np.zeros((2, outputs) if outputs > 1 else 2)
        if net.output.name == "exp":
            if "loss" not in perceptrons.MLPRegressor().get_params():
                why = "uses 'exp', which scikit-learn has since version 1.7; install that or a later one"
                refuse_layer("to_sklearn", net, len(net.sizes) - 2, why)
            shape["loss"] = "poisson"
        estimator = perceptrons.MLPRegressor(**shape).partial_fit(X, y)
    elif net.output.name == "sigmoid" and outputs > 1:
        y = np.zeros((2, outputs), dtype=np.int64)
        y[0, 0] = 1
        estimator = perceptrons.MLPClassifier(**shape).partial_fit(X, y, classes=np.arange(outputs))
    else:
        labels = _labels(net, own_classes if classes is None else classes)
        estimator = perceptrons.MLPClassifier(**shape).partial_fit(X, labels[:2], classes=labels)
    # scikit-learn has made all attributes of a fitted estimator; replace the weights, and forget that one step.
    host = net.to("numpy").params
    layers = range(len(net.sizes) - 1)
    estimator.coefs_ = [host[f"{layer}.W"].copy() for layer in layers]
    estimator.intercepts_ = [host[f"{layer}.b"].copy() for layer in layers]
    estimator.loss_curve_, estimator.n_iter_, estimator.t_, estimator.best_loss_ = [], 0, 0, np.inf
    del estimator._optimizer
    if hasattr(model, "feature_names_in_"):
        estimator.feature_names_in_ = model.feature_names_in_.copy()
    return estimator


def _check_meaning(net: MLP, kind: str | None) -> None:
    """Raise ValueError if scikit-learn would take an estimator's outputs for something else."""
    labels = {"identity": "numbers", "exp": "numbers", "softmax": "multiclass labels"}
    sigmoids = "binary labels" if net.sizes[-1] == 1 else "multilabel labels"
    meant, taken = "numbers" if kind is None else f"{kind} labels", labels.get(net.output.name, sigmoids)
    if meant != taken:
        problem = f"uses {net.output.name!r}, which scikit-learn takes for {taken}; the estimator's outputs are of"
        refuse_layer("to_sklearn", net, len(net.sizes) - 2, f"{problem} {meant}")


def _hidden_activation(net: MLP) -> str:
    """scikit-learn's name for the hidden layers' activation; ValueError for a network that it cannot represent."""
    names = {ours: theirs for theirs, ours in HIDDEN.items()}
    refuse = partial(refuse_layer, "to_sklearn", net)
    used = [function_json.name_and_arguments(activation)[0] for activation in net.hidden]
    for layer, name in enumerate(used):
        if name not in names:
            refuse(layer, f"uses {net.hidden[layer].name!r}; scikit-learn has {', '.join(names)}")
        if name != used[0]:
            refuse(layer, f"uses {name!r} behind {used[0]!r}; scikit-learn has one for all of them")
    if not all(net.bias):
        refuse(net.bias.index(False), "has no bias; scikit-learn's layers always have one")
    if function_json.name_and_arguments(net.output)[0] not in OUTPUT.values():
        refuse(len(net.sizes) - 2, f"uses {net.output.name!r}; scikit-learn has {', '.join(OUTPUT.values())}")
    return names[str(used[0])] if used else "relu"


def _labels(net: MLP, classes: Any) -> Any:
    """The labels of the outputs; ValueError unless they are sorted and as many as scikit-learn needs."""
    count = max(net.sizes[-1], 2)
    labels = np.arange(count) if classes is None else np.asarray(classes)
    if labels.shape != (count,) or not np.array_equal(np.unique(labels), labels):
        raise ValueError(f"to_sklearn: expected {count} sorted classes, got {classes!r}")
    return labels

"""Model files: a network, or an estimator with its network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bpx.backend.select import BackendLike, get_backend
from bpx.errors import warn_caller
from bpx.errors.hints import named
from bpx.files import atomic, container, header, network_json
from bpx.formulas.activations import Activation
from bpx.network.mlp import MLP

# The entry of the metadata in which ``bpx train`` stores how a table's columns are encoded.
TABLE = "bpx table"


def write_model(
    net: MLP,
    path: atomic.Path,
    kind: str,
    metadata: Mapping[str, Any] | None,
    more: Mapping[str, Any] | None = None,
    more_arrays: Mapping[str, Any] | None = None,
) -> None:
    """Write a file of that kind: the network, the user's metadata, and JSON and arrays that an estimator adds."""
    atomic.ending_of(path, container.FORMS)  # a wrong ending is an error before any work is done
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"metadata: expected a dict of plain JSON, got {type(metadata).__name__}")
    header.check_plain(dict(metadata or {}), "metadata")
    description, arrays = network_json.to_json(net)
    document = {"kind": kind, "network": description, "metadata": dict(metadata or {})} | dict(more or {})
    container.write(path, document, arrays | dict(more_arrays or {}))


@named("bpx.load")
def load(path: atomic.Path, backend: BackendLike = None, *, activations: Mapping[str, Activation] | None = None) -> MLP:
    """Read a network from the file of a network, of an estimator or of ``bpx train``.

    Parameters
    ----------
    path : str or path-like
        The form of the file is found from its content, not from its name.
    backend : str, module or Backend, optional
        The network's backend, whatever it was saved on; None is the current one.
    activations : dict of str to Activation, optional
        Your own activations by their names, as a file cannot hold code.

    Returns
    -------
    MLP
        Equal to the saved one to the last bit.

    Raises
    ------
    FileFormatError
        If the file is damaged, cut off, of another kind or a newer format, or makes no sense. Nothing in it is
        executed, and no more memory is used than a few times its size.
    BackendUnavailableError
        As for `bpx.get_backend`.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If there is no such file, or it cannot be read.

    Warns
    -----
    UserWarning
        If ``bpx train`` wrote the file: the network takes encoded columns, and the encoding stays in the file.

    Examples
    --------
    >>> import os, tempfile
    >>> import bpx
    >>> net = bpx.MLP([2, 3, 1], hidden="tanh", output="sigmoid", backend="numpy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     net.save(path, metadata={"trained on": "XOR"})
    ...     again = bpx.load(path, backend="numpy")
    ...     bpx.read_header(path)["metadata"]
    {'trained on': 'XOR'}
    >>> bool((again.flat == net.flat).all())
    True
    """
    net, document = network_in(path, backend, activations)
    if TABLE in document["metadata"]:
        warn_caller(
            f"{os.fspath(path)!r} was written by `bpx train`: its network takes columns as they were encoded (numbers"
            " scaled, one input per category), and answers wrongly to a table as it is; `bpx predict MODEL DATA`"
            f" encodes it, bpx.read_header(path)['metadata']['{TABLE}'] says how",
            UserWarning,
        )
    return net


def network_in(
    path: atomic.Path, backend: BackendLike = None, activations: Mapping[str, Activation] | None = None
) -> tuple[MLP, dict[str, Any]]:
    """The network and the header of a file; as `load`, but without its warning."""
    own = activations or {}
    for name, given in own.items():
        if not isinstance(given, Activation):
            raise TypeError(f"activations: expected a bpx.Activation for {name!r}, got {type(given).__name__}")
    target = get_backend(backend)
    document, arrays = container.read(path, network_json.check_header)
    with container.path_in_message(path):
        return network_json.from_json(document["network"], arrays, target, own), document


def read_header(path: atomic.Path) -> dict[str, Any]:
    """Read the header of a model file; the whole file is checked for damage.

    Parameters
    ----------
    path : str or path-like
        The file of a network or an estimator.

    Returns
    -------
    dict
        ``format`` (version of the file format), ``bpx`` (version that wrote the file), ``kind``, ``network`` (the
        architecture), ``metadata`` (the user's), and for an estimator ``estimator``.

    Raises
    ------
    FileFormatError, ImportError, OSError
        As for `bpx.load`.
    """
    return container.read(path, network_json.check_header)[0]

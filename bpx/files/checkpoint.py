"""Checkpoint files: nested plain data and host arrays, always in NumPy's npz form, which needs NumPy alone."""

from __future__ import annotations

from typing import Any

from bpx.errors import FileFormatError
from bpx.files import atomic, container
from bpx.files.header import ArrayTypes
from bpx.files.nested_decoder import Decoder
from bpx.files.nested_encoder import Encoder


def write(path: atomic.Path, tree: dict[str, Any]) -> None:
    """Write nested data, all or nothing; TypeError names the place of what cannot be written, such as a function."""
    encoder = Encoder()
    text = encoder.encode(tree, "run")
    container.write(path, {"kind": "checkpoint", "tree": text}, encoder.arrays, ".npz")


def read(path: atomic.Path) -> dict[str, Any]:
    """Read what `write` wrote; FileFormatError if the file is damaged or no checkpoint, OSError as for `open`."""
    document, arrays = container.read(path, _check)
    with container.path_in_message(path):
        tree = Decoder(arrays).decode(document["tree"], "run")
        if not isinstance(tree, dict):
            raise FileFormatError("expected a checkpoint with the state of a run, got something else")
        return tree


def _check(document: dict[str, Any], _: ArrayTypes) -> None:
    """Raise FileFormatError unless a header is a checkpoint's."""
    if document.get("kind") != "checkpoint" or "tree" not in document:
        raise FileFormatError(f"expected a checkpoint of bpx.fit, got a file of kind {document.get('kind')!r:.40}")

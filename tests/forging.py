"""Sound model files changed by somebody who knows the format, and what has to become of them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bpx
from bpx.files import container, header
from bpx.files.container import FORMS


def refused(path: Any, *words: str, load: Callable[[Any], Any] = bpx.load) -> str:
    """The message with which it is refused: the path first, then what was expected."""
    with pytest.raises(bpx.FileFormatError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{os.fspath(path)}: ")
    for word in words:
        assert word in message
    return message


def sign(document: dict[str, Any]) -> str:
    """A header's text with the digest that belongs to it."""
    body = json.dumps(document, separators=(",", ":"))
    return f'{{"sha256":"{header._digest(body)}",{body[1:]}'


def forge(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Change header and arrays of a file, and sign it anew."""
    document, arrays = container.read(path, lambda *_: None)
    document["arrays"] = {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()}
    change(document, arrays)
    document.setdefault("data_sha256", container._digest(arrays))
    path.write_bytes(FORMS[path.suffix].to_bytes(sign(document), arrays))


def rewrite_header(path: Path, text: str | bytes) -> None:
    """Put another text in the place of bpx's header."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if path.suffix == ".npz":
        replace_member(path, "bpx.json", data)
        return
    old = path.read_bytes()
    length = int.from_bytes(old[:8], "little")
    outer = json.loads(old[8 : 8 + length])
    outer["__metadata__"]["bpx"] = data.decode("utf-8", "replace")
    new = json.dumps(outer).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + old[8 + length :])


def replace_member(path: Path, name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """Put another member in the place of an archive's."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = data
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(member, content)

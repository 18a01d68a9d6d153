"""The JSON header of a file: writing, reading and checking it.

The header is one JSON object. Its first entry, ``sha256``, is the digest of the text without that entry;
``data_sha256`` is the digest of the bytes of all arrays, in the order of the entry ``arrays``. They detect damage, but
not forgery.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Set
from typing import Any, NoReturn

import numpy as np

from bpx._version import __version__
from bpx.errors import FileFormatError

Arrays = dict[str, np.ndarray[Any, Any]]
# The dtype and shape of each array, in the order of the digest.
ArrayTypes = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]

# The version of the format that this bpx writes, and the newest that it reads.
FORMAT = 1
# Bounds of a header, so that a forged one cannot take much memory or time to parse.
LARGEST = 1 << 22
DEEPEST = 32

# A string up to its quote or the end of the text; an opening bracket; a closing one. Possessive: it takes linear time.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_DIGEST = re.compile(r'\{"sha256":"([0-9a-f]{64})",')


_PLAIN = "expected plain JSON: None, bool, int, float, str, and lists and dicts (names are str) of them"


def check_plain(value: Any, place: str, depth: int = DEEPEST) -> None:
    """Raise TypeError or ValueError, with the place, for a value that JSON would not give back unchanged."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place}: {_PLAIN}; JSON has no {value}, use None or a str")
    if type(value) in (dict, list) and depth > 0:  # `compose` refuses deeper nesting
        for name, one in value.items() if type(value) is dict else enumerate(value):
            if type(value) is dict and not isinstance(name, str):
                raise TypeError(f"{place}: {_PLAIN}, got the name {name!r}")
            check_plain(one, f"{place}[{name!r}]", depth - 1)
    elif value is not None and not isinstance(value, (bool, int, float, str, dict, list)):
        raise TypeError(f"{place}: {_PLAIN}, got {type(value).__name__}; turn it into one of these")


def compose(document: Mapping[str, Any]) -> str:
    """The text of a header; ValueError or TypeError if it could not be read back."""
    given = {"format": FORMAT, "bpx": __version__} | dict(document)
    body = json.dumps(given, allow_nan=False, separators=(",", ":"))
    text = f'{{"sha256":"{_digest(body)}",{body[1:]}'
    try:
        same = read(text) == given
    except FileFormatError as error:
        raise ValueError(f"the header could not be read back: {error}; shorten or flatten the metadata") from error
    if not same:  # a tuple or a number as a name, say, which JSON would change
        raise TypeError(_PLAIN)
    return text


def read(text: str) -> dict[str, Any]:
    """The document of a header without ``sha256``; FileFormatError for a damaged text or a newer format."""
    document = parse_json(text)
    if not isinstance(document, dict):
        raise FileFormatError(f"expected a header that is a JSON object, got {short_repr(document)}")
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise FileFormatError(f"expected a header with a format version, got {short_repr(version)}")
    if version > FORMAT:
        raise FileFormatError(
            f"the file has format version {version} and was written by bpx {short_repr(document.get('bpx'))}; this is"
            f" bpx {__version__}, which reads format versions up to {FORMAT}: install a newer bpx"
        )
    match = _DIGEST.match(text)
    if match is None or match[1] != _digest("{" + text[match.end() :]):
        raise FileFormatError(
            "the header does not have the digest that it names: the file is damaged; use another copy"
        )
    del document["sha256"]
    return document


def _digest(text: str) -> str:
    """SHA-256 of a text in hexadecimal; lone surrogates, which JSON allows, are encoded as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_json(text: str | bytes) -> Any:
    """Parse standard JSON: no duplicate names, no NaN, not longer than LARGEST, not nested deeper than DEEPEST."""
    if len(text) > LARGEST:
        raise FileFormatError(f"expected a header of at most {LARGEST} bytes, got {len(text)}")
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        depth = 0
        for token in _TOKENS.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if depth > DEEPEST:  # counted before parsing, which recurses
                raise FileFormatError(f"expected a header nested at most {DEEPEST} deep, got a deeper one")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, no JSON, an integer of thousands of digits
        raise FileFormatError(f"the header is damaged or of another kind of file ({short_repr(error)})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; FileFormatError if a name stands in it twice."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FileFormatError(f"expected every name once in the header, got {short_repr(twice)} twice")
    return entries


def _no_constant(constant: str) -> NoReturn:
    """Raise FileFormatError for NaN or Infinity, which Python accepts and JSON does not have."""
    raise FileFormatError(f"expected finite numbers in the header, got {constant}")


def of_type(*types: type) -> Callable[[Any], bool]:
    """A check for `check_entries`: the value has one of these types, not a subclass (True is not an int)."""
    return lambda value: type(value) in types


def is_finite(value: Any) -> bool:
    """A check for `check_entries`: an int or float that is neither NaN nor infinite."""
    return type(value) in (int, float) and math.isfinite(value)


def are_texts(value: Any) -> bool:
    """A check for `check_entries`: a list of str."""
    return isinstance(value, list) and all(map(of_type(str), value))


def check_entries(value: Any, place: str, **checks: Callable[[Any], bool] | None) -> dict[str, Any]:
    """Return `value`; FileFormatError unless it is a JSON object with exactly these entries that pass their checks."""
    if not isinstance(value, dict):
        raise FileFormatError(f"{place}: expected a JSON object, got {short_repr(value)}")
    if value.keys() != checks.keys():
        missing, unknown = sorted(checks.keys() - value.keys()), sorted(value.keys() - checks.keys())
        problem = f"without {missing[0]!r}" if missing else f"with the unknown entry {short_repr(unknown[0])}"
        raise FileFormatError(f"{place}: expected the entries {', '.join(checks)}, got a header {problem}")
    for name, check in checks.items():
        if check is not None and not check(value[name]):
            raise FileFormatError(f"{place}: {name} makes no sense as {short_repr(value[name])}")
    return value


def short_repr(value: Any) -> str:
    """A value from a file for a message: escaped, at most 80 characters."""
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def check_names(given: Set[str], wanted: Set[str]) -> None:
    """Raise FileFormatError unless a file has exactly the arrays that its header names."""
    missing, unknown = sorted(wanted - given), sorted(given - wanted)
    if missing or unknown:
        problem = f"without {short_repr(missing[0])}" if missing else f"with {short_repr(unknown[0])} besides"
        raise FileFormatError(f"expected the {len(wanted)} arrays that the header names, got a file {problem}")

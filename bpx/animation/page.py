"""Filling the template of the page: the result is one HTML file that needs no server, no network, no other file."""

from __future__ import annotations

import html as markup
import json
import os
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bpx.animation.page_data import count, page_data
from bpx.checks.step_trace import StepTrace
from bpx.files import atomic

if TYPE_CHECKING:
    from pathlib import Path as _Path
else:
    _Path = type(Path())  # before Python 3.12 only the kind of path that this system has can be a base class

LANGUAGES = {"en": "en", "zh": "zh-Hans"}  # the values are HTML's language tags
LARGEST = 300_000  # bytes of a page
SCRIPTS = ("formulas.js", "numbers.js", "stages.js", "network.js", "app.js")
_PLACE = re.compile(r"\{\{(\w+)\}\}")
# Pixels of the page in a notebook: enough for the drawing and its formulas without scrolling.
HEIGHT = 680
MARK = '<meta name="generator" content="bpx">'


class Page(_Path):
    """The path of a page; a notebook displays the page itself."""

    def __repr__(self) -> str:
        return repr(Path(self))

    def _repr_html_(self) -> str | None:
        """The page in an iframe, apart from the notebook's styles and scripts; None if the file is gone."""
        try:
            page = self.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        if MARK not in page:  # another file: a path derived from a page's path is a Page, too
            return None
        look = f"display: block; box-sizing: border-box; width: 100%; height: {HEIGHT}px; border: 1px solid #c3ccd5"
        name = markup.escape(self.name)
        return f'<iframe srcdoc="{markup.escape(page)}" sandbox="allow-scripts" title="{name}" style="{look}"></iframe>'


def write(trace: StepTrace, path: str | os.PathLike[str] | None = None, language: Literal["en", "zh"] = "en") -> Page:
    """Write a trace's page, whole or not at all.

    Parameters
    ----------
    trace : StepTrace
        Of one sample or of several.
    path : str or path-like, optional
        An existing file is replaced. None: a new file in the system's folder for temporary files.
    language : {"en", "zh"}
        The language in which the page opens; a button on the page changes it.

    Returns
    -------
    Page
        The file's path.

    Raises
    ------
    ValueError
        For another language, or if the page would be larger than 300 000 bytes.
    OSError
        If the file cannot be written.
    """
    page = _encoded(html(trace, language))
    if path is None:
        handle, path = tempfile.mkstemp(prefix="bpx-step-", suffix=".html")
        os.close(handle)
    atomic.write(path, page)
    return Page(path)


def html(trace: StepTrace, language: str = "en") -> str:
    """The page as text; parameters and errors as `write`'s."""
    if language not in LANGUAGES:
        raise ValueError(f"language: expected {' or '.join(map(repr, LANGUAGES))}, got {language!r}")
    if 2 * count(trace) > LARGEST:  # each number takes a digit and a comma
        raise _too_large(trace, "far")
    texts = {name: json.loads(_part(f"texts.{name}.json")) for name in LANGUAGES}
    data = page_data(trace) | {"language": language, "tags": LANGUAGES, "texts": texts}
    parts = {
        "language": LANGUAGES[language],
        "title": texts[language]["title"],
        "style": _part("page.css"),
        "data": _script_safe(data),
        "script": "\n".join(_part(name) for name in SCRIPTS),
    }
    # In one pass, so that inserted text cannot contain places to fill.
    page = _PLACE.sub(lambda place: parts[place[1]], _part("page.html"))
    size = len(_encoded(page))
    if size > LARGEST:
        raise _too_large(trace, f"{size - LARGEST} bytes")
    return page


def _too_large(trace: StepTrace, excess: str) -> ValueError:
    """The error for a page that is too large: because of samples and layers, as few neurons of a layer are drawn."""
    samples = len(np.atleast_2d(trace.x))
    return ValueError(
        f"animate: the page of {samples} sample(s) through {len(trace.layers)} layers would be {excess} over"
        f" {LARGEST} bytes; trace fewer samples at once, or a network of fewer layers"
    )


def _part(name: str) -> str:
    """The text of a file beside this module."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _encoded(page: str) -> bytes:
    """The page in UTF-8; a lone surrogate in a name, which UTF-8 does not have, becomes its escape."""
    return page.encode(errors="backslashreplace")


def _script_safe(data: Any) -> str:
    """JSON in which no text can end the script element around it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

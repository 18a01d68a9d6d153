"""Standard output holds results, as text or as JSON; everything else goes to standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, final

__all__ = ["MistakeError", "Output", "aligned", "finite"]


class MistakeError(Exception):
    """A mistake of the user's: one line that says what is wrong and what to do. Exit code 2."""


@final
class Output:
    """Where a command writes.

    Parameters
    ----------
    args : argparse.Namespace
        With ``json`` and ``quiet``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.json: bool = args.json
        self.quiet: bool = args.quiet
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Say something on standard error that the user should know, and keep it for the JSON."""
        self.notes.append(text)
        if not self.quiet:
            print(f"note: {text}", file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        """Say on standard error what is being done."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """The result: the text, or with ``--json`` the data."""
        if self.json:
            text = json.dumps(finite(data), indent=2, ensure_ascii=False)
        self.write(text.rstrip("\n") + "\n")

    def write(self, text: str) -> None:
        """Text to standard output, as UTF-8 and with Unix line ends wherever that goes."""
        raw = getattr(sys.stdout, "buffer", None)
        if raw is None:
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            raw.write(text.encode("utf-8"))
        sys.stdout.flush()


def finite(data: Any) -> Any:
    """The same with None in place of NaN and infinity, which JSON has not."""
    if isinstance(data, Mapping):
        return {str(name): finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    if isinstance(data, float) and (data != data or data in (float("inf"), float("-inf"))):
        return None
    return data


def aligned(rows: Mapping[str, str]) -> str:
    """Names in one column, what belongs to them in the next."""
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows.items())

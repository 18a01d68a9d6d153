"""Standard output holds results, as text or as JSON; everything else goes to standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, final

from bpx._formatting import to_json
from bpx.errors import say, write_whole


class MistakeError(Exception):
    """A mistake of the user's: one line that says what is wrong and what to do. Exit code 2."""


@final
class Output:
    """Where a command writes, as ``--json`` and ``--quiet`` say."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.json: bool = args.json
        self.quiet: bool = args.quiet
        self.notes: list[str] = []
        # Says which file has been written; added to the message of an error that follows.
        self.written: str | None = None
        self._held: list[str] = []

    def note(self, text: str) -> None:
        """Keep something that the user should know, for standard error and for the JSON."""
        self.notes.append(text)
        if not self.quiet:
            self._held.append(f"note: {text}")

    def show(self, text: str) -> None:
        """Keep lines for standard error that are in the JSON in another form."""
        if not self.quiet:
            self._held.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning for standard error, with ``--quiet`` too."""
        self._held.append(f"warning: {' '.join(text.split())}")

    def release(self) -> None:
        """Write what was kept to standard error; after an error, which comes alone, nothing is."""
        held, self._held = self._held, []
        for line in held:
            say(line, sys.stderr)

    def progress(self, text: str) -> None:
        """Say on standard error what is being done now."""
        self.release()
        if not self.quiet:
            say(text, sys.stderr)

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """Write the result to standard output: the text, or with ``--json`` the data."""
        if self.json:
            text = json.dumps(to_json(data), indent=2, ensure_ascii=False)
        self.write(text.rstrip("\n") + "\n")

    def write(self, text: str) -> None:
        """Notes so far to standard error, then `text` to standard output."""
        self.release()
        write(text)


def write(text: str) -> None:
    """Write all of `text` to standard output, in UTF-8 and with Unix line ends on every system."""
    if sys.stdout is None:  # closed by the parent: nobody reads
        return
    try:
        write_whole(text, sys.stdout)
    except OSError as error:
        error.filename = "standard output"
        raise


def counted(n: int, word: str) -> str:
    """A number and a noun: ``1 row``, ``2 rows``."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"

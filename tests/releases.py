"""What holds from a package's release on: tests that compare with that package's own answers say which."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest


def before(package: str, release: str) -> bool:
    """Whether the package here is older than that release, such as 1.9."""
    here, wanted = ([int(part) for part in re.findall(r"\d+", text)[:2]] for text in (version(package), release))
    return here < wanted


def since(package: str, release: str, what: str) -> None:
    """Skip the test where the package is older: there is nothing to compare with."""
    if before(package, release):
        pytest.skip(f"{package} {version(package)} is here, and {what} came with {release}")

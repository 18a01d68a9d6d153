"""The oldest releases that pyproject.toml promises, as constraints for pip: ``python .ci/lowest.py EXTRA...``.

A bound whose release does not exist makes pip fail: it is no promise that anybody can test.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(extras: list[str]) -> list[str]:
    """What the core and these extras require; an extra of bpx-nn itself stands for what it requires."""
    found = list(PROJECT["dependencies"])
    for extra in extras:
        for requirement in PROJECT["optional-dependencies"][extra]:
            own = re.fullmatch(r"bpx-nn\[([^\]]+)\]", requirement)
            found += requirements(own.group(1).split(",")) if own else [requirement]
    return list(dict.fromkeys(found))


def lowest(requirement: str) -> str:
    """``name==bound`` with the requirement's marker; constraints have no extras."""
    specifier, separator, marker = requirement.partition(";")
    bound = re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?>=([\w.]+)(?:,<[\w.]+)?", specifier.strip())
    if bound is None:
        sys.exit(f"pyproject.toml: expected a requirement with a lower bound, name>=version, got {requirement!r}")
    return f"{bound[1]}=={bound[2]}{separator}{marker}"


if __name__ == "__main__":
    print("\n".join(lowest(requirement) for requirement in requirements(sys.argv[1:])))

"""Sets of dependencies for `.ci/run`.

    python .ci/dependencies.py lowest EXTRA...        constraints: the oldest releases that pyproject.toml promises
    python .ci/dependencies.py bare EXTRA...          requirements, each without extras of its own (cupy, not cupy[ctk])
    python .ci/dependencies.py lock PYTHON...         constraints: what these interpreters have installed
    python .ci/dependencies.py moved PYTHON           in one line, what PYTHON has in another version than the lock

The lock is .ci/constraints.txt; ``.ci/run --lock`` writes it after a run that was green.
"""

import platform
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / ".ci" / "constraints.txt"


def requirements(extras: list[str]) -> list[str]:
    """What the core and these extras require; an extra of bpx-nn itself stands for what it requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = list(project["dependencies"])
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(r"bpx-nn\[([^\]]+)\]", requirement)
            found += requirements(own[1].split(",")) if own else [requirement]
    return list(dict.fromkeys(found))


def lowest(requirement: str) -> str:
    """``name==bound`` with the requirement's marker. A bound that was never released makes pip fail, as it should."""
    specifier, separator, marker = requirement.partition(";")
    bound = re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?>=([\w.]+)(?:,<[\w.]+)?", specifier.strip())
    if bound is None:
        sys.exit(f"pyproject.toml: expected a requirement with a lower bound, name>=version, got {requirement!r}")
    return f"{bound[1]}=={bound[2]}{separator}{marker}"


def pinned(lines: list[str]) -> dict[str, str]:
    """Versions by name, as indexes compare names; one machine's own build (2.13.0+cpu) is none that others can have."""
    found = (re.fullmatch(r"([\w.-]+)==([^+\s]+)(?:\+\S+)?", line.strip()) for line in lines)
    return {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in found if match}


def installed(python: str) -> dict[str, str]:
    """What that interpreter's environment holds, without bpx itself."""
    command = [python, "-m", "pip", "freeze", "--exclude-editable", "--exclude", "bpx-nn"]
    return pinned(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())


def lock(pythons: list[str]) -> str:
    """The constraints file."""
    found: dict[str, str] = {}
    for python in pythons:
        found |= installed(python)
    head = (
        f"# What a run of .ci/run was green with on {datetime.now(UTC):%Y-%m-%d}: Python {platform.python_version()},"
        f" {platform.system()} {platform.machine()}.\n# Renewed by `.ci/run --lock`, never by hand.\n"
    )
    return head + "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def moved(python: str) -> str:
    """Names with both versions; a package that is on one side only has come or gone."""
    locked, now = pinned(LOCK.read_text(encoding="utf-8").splitlines()), installed(python)
    changed = [f"{n} {locked.get(n, '(none)')} -> {now[n]}" for n in sorted(now) if now[n] != locked.get(n)]
    return ", ".join(changed) or "nothing"


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "lowest":
        print("\n".join(lowest(requirement) for requirement in requirements(arguments)))
    elif task == "bare":
        print("\n".join(re.sub(r"\[[^\]]*\]", "", requirement) for requirement in requirements(arguments)))
    elif task == "lock":
        LOCK.write_text(lock(arguments), encoding="utf-8")
    elif task == "moved":
        print(moved(*arguments))
    else:
        sys.exit(__doc__)

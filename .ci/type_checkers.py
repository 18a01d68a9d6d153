"""mypy and pyright as users meet them: ``python .ci/type_checkers.py``, where bpx and both are installed.

In folders of their own, so that bpx is found as it is installed: ``accepted.py`` of tests/user_scripts passes
``mypy --strict`` and pyright; in ``mistakes.py`` each finds the lines marked MISTAKE and no other; and every section of
the README, its Python blocks in order, passes without ``--strict``.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MYPY_LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<message>.*)")

# The first error on each line of each file, by name and number.
Found = dict[tuple[str, int], str]


def readme_sections(folder: Path) -> None:
    """Each section's Python blocks as one file: those of a section are run one after the other, too."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, text in enumerate(re.split(r"^## ", readme, flags=re.MULTILINE)):
        if code := "\n".join(FENCE.findall(text)):
            (folder / f"readme_{number}.py").write_text(code, encoding="utf-8")


def others(folder: Path) -> list[str]:
    """The packages that the files import besides bpx and NumPy: they may lack types, or not be installed."""
    roots = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots |= {name.partition(".")[0] for name in named}
    return sorted(roots - sys.stdlib_module_names - {"bpx", "numpy"})


def mypy(folder: Path, *options: str) -> Found:
    """What mypy finds in a folder, each of whose files is a program."""
    ignored = "".join(f"[mypy-{root},{root}.*]\nignore_missing_imports = true\n" for root in others(folder))
    (folder / "mypy.ini").write_text(f"[mypy]\n{ignored}", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", "--scripts-are-modules", *options]
    names = sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run([*command, *names], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or done.stderr:
        sys.exit(f"mypy could not work:\n{done.stdout}{done.stderr}")
    found: Found = {}
    for match in filter(None, map(MYPY_LINE.fullmatch, done.stdout.splitlines())):
        found.setdefault((match["file"], int(match["line"])), match["message"])
    return found


def pyright(folder: Path, **settings: bool) -> Found:
    """What pyright finds in a folder; that a package other than bpx is not installed is no finding."""
    (folder / "pyrightconfig.json").write_text(json.dumps({"include": ["*.py"], **settings}), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "{" not in done.stdout:
        sys.exit(f"pyright could not work:\n{done.stdout}{done.stderr}")
    report = json.loads(done.stdout[done.stdout.index("{") :])
    if report["summary"]["filesAnalyzed"] != len(list(folder.glob("*.py"))):
        sys.exit(f"pyright did not look at all files of {folder}:\n{done.stdout}{done.stderr}")
    found: Found = {}
    for one in report["generalDiagnostics"]:
        missing = one.get("rule", "").startswith("reportMissing") and '"bpx' not in one["message"]
        if one["severity"] == "error" and not missing:
            found.setdefault((Path(one["file"]).name, one["range"]["start"]["line"] + 1), one["message"])
    return found


def marked(folder: Path) -> set[tuple[str, int]]:
    """The lines that say that they are mistakes."""
    return {
        (path.name, number)
        for path in folder.glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "# MISTAKE" in line
    }


def main() -> None:
    """Run both checkers over both folders; what one says beside what is marked, or misses of it, is exit code 1."""
    with tempfile.TemporaryDirectory() as temporary:
        scripts, tour = Path(temporary) / "scripts", Path(temporary) / "readme"
        shutil.copytree(ROOT / "tests" / "user_scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
        tour.mkdir()
        readme_sections(tour)
        lines = {path.name: path.read_text("utf-8").splitlines() for f in (scripts, tour) for path in f.glob("*.py")}
        expected = marked(scripts)
        results = {
            "mypy": mypy(scripts, "--strict") | mypy(tour),
            # What pyright guesses from the source of a package without types is not what the README is about.
            "pyright": pyright(scripts) | pyright(tour, useLibraryCodeForTypes=False),
        }
    wrong = False
    for checker, found in results.items():
        for file, line in sorted(found.keys() - expected):
            print(f"{checker}: {file}:{line}: {found[file, line]}\n    {lines[file][line - 1].strip()}")
        for file, line in sorted(expected - found.keys()):
            print(f"{checker}: {file}:{line}: the mistake was not found\n    {lines[file][line - 1].strip()}")
        print(f"{checker}: {len(lines)} files, {len(expected & found.keys())} of {len(expected)} mistakes found")
        wrong = wrong or found.keys() != expected
    sys.exit(wrong)


if __name__ == "__main__":
    main()

"""What judges the source itself: ``python .ci/source.py``, where ``pip install -e '.[dev,sklearn,plot]'`` has been.

Every check runs, and the names of those that failed come last.
"""

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bpx"
LONGEST, LONGEST_EXAMPLE = 400, 59  # lines of a module, and of a script in examples/
# Where a device library may be named: the backends, the kernels, and what translates PyTorch's modules.
DEVICE_LIBRARIES, MAY_NAME_THEM = {"cupy", "torch"}, ("backend/", "kernels/", "files/interop_torch.py")
# What people touch is built on public names, and `assemble` puts runs together. What else each takes from the packages
# below is listed, so that a new tie is a decision: mostly checks of data, and files that are written safely.
LEAVES = ("animation", "cli", "estimators", "plotting", "search", "tables")
LEAVES_MAY_IMPORT = {"bpx.training.assemble", "bpx._formatting", "bpx._typing", "bpx._version"}
SHARED_WITH_LEAVES = {
    "animation": "files.atomic files.function_json",
    "cli": (
        "checks.parity files.atomic files.container files.header files.model formulas.metrics"
        " formulas.precision kernels.cuda.products kernels.select network.architecture tables"
        " training.hold_out"
    ),
    "estimators": (
        "backend.base backend.select files.atomic files.container files.function_json files.header"
        " files.model files.nested_decoder files.nested_encoder files.network_json formulas.blocks"
        " formulas.losses formulas.metrics formulas.precision network.architecture network.data_frames"
        " network.memory network.objective network.validation streams.data tables training.array_feed"
        " training.callbacks.callback training.progress training.run_config training.run_metrics"
        " training.solvers training.stacking training.training_data"
    ),
    "plotting": "backend.select formulas.metrics network.data_frames training.history",
    "search": (
        "backend.base backend.select estimators formulas.metrics network.class_weight network.memory"
        " network.objective streams.data training.array_feed training.distributed training.evaluation"
        " training.hold_out training.run_metrics training.solvers training.stacking training.training_data"
    ),
    "tables": "files.atomic files.header",
}
# numpydoc's checks for each public name: its docstring gives its parameters and what it returns.
CHECKS = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "RT01", "RT03", "YD01"}


def modules() -> Iterator[tuple[str, str]]:
    """Each module of the package, and its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")


def lengths() -> list[str]:
    """A module says what it is and fits in one sitting; an example fits on a screen or two."""
    bad = []
    for name, text in modules():
        if not ast.get_docstring(ast.parse(text)):
            bad.append(f"bpx/{name}: no docstring")
        if len(text.splitlines()) > LONGEST:
            bad.append(f"bpx/{name}: {len(text.splitlines())} lines, at most {LONGEST} are allowed")
    bad += [
        f"examples/{path.name}: {lines} lines, at most {LONGEST_EXAMPLE} are allowed"
        for path in sorted((ROOT / "examples").glob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_EXAMPLE
    ]
    return bad


def device_libraries() -> list[str]:
    """Only backend/ and kernels/ import CuPy or PyTorch, be it within a function."""
    bad = []
    for name, text in modules():
        if name.startswith(MAY_NAME_THEM):
            continue
        for node in ast.walk(ast.parse(text)):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = {module.partition(".")[0] for module in named} & DEVICE_LIBRARIES
            bad += [f"bpx/{name}:{node.lineno}: imports {library}" for library in sorted(found)]
    return bad


def leaves() -> list[str]:
    """Leaves import public names, `training.assemble` and what is listed as shared."""
    import bpx

    public = {*bpx.__all__, "MLPClassifier", "MLPRegressor", "TableEncoder"}
    public_modules = {"plotting", *(name for name in bpx.__all__ if inspect.ismodule(getattr(bpx, name)))}
    public |= {name for module in public_modules for name in import_module(f"bpx.{module}").__all__}
    shared = {(leaf, f"bpx.{module}") for leaf, listed in SHARED_WITH_LEAVES.items() for module in listed.split()}
    bad, used = [], set()
    for name, text in modules():
        leaf = name.partition("/")[0]
        if leaf not in LEAVES:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("bpx"):
                continue
            for alias in node.names:
                module = node.module or ""
                # A module that is imported by its name, or what is taken out of one.
                whole = f"{module}.{alias.name}"
                home = whole if (PACKAGE.parent / f"{whole.replace('.', '/')}.py").exists() else module
                listed = {(leaf, home), (leaf, ".".join(home.split(".")[:2]))} & shared
                if listed:
                    used |= listed
                elif not (
                    alias.name in public
                    or home in LEAVES_MAY_IMPORT
                    or home.startswith(f"bpx.{leaf}")
                    or (home.split(".")[1:] or [""])[0] in public_modules
                ):
                    bad.append(f"bpx/{name}:{node.lineno}: {whole} is neither public nor listed as shared")
    return bad + [f"{module} is listed for {leaf}, which does not import it" for leaf, module in sorted(shared - used)]


def docstrings() -> list[str]:
    """Every public name's docstring gives its parameters and what it returns."""
    from numpydoc.validate import validate

    import bpx

    bad = []
    for name in [*bpx.__all__, "MLPClassifier", "MLPRegressor", "TableEncoder"]:
        thing = getattr(bpx, name)
        # An Enum's parameters are the Enum machinery's; an error's are its message.
        if (inspect.isclass(thing) and issubclass(thing, BaseException)) or inspect.ismodule(thing):
            continue
        if name != "StopReason":
            bad += [f"bpx.{name}: {code} {text}" for code, text in validate(f"bpx.{name}")["errors"] if code in CHECKS]
    return bad


def tracked() -> list[str]:
    """The package's modules that git knows."""
    done = subprocess.run(["git", "ls-files", "bpx/*.py"], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.split()


def main() -> int:
    """Run everything; 1 where something failed."""
    commands = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        # In the root and without options: what they are called has changed from release to release.
        "import contract": ["lint-imports"],
        "mypy": ["mypy"],
        "numpydoc lint": ["numpydoc", "lint", "--config", ".", *tracked()],
        "mypy and pyright over users' scripts": [sys.executable, str(ROOT / ".ci" / "type_checkers.py")],
    }
    failed = []
    for name, command in commands.items():
        print(f"--- {name}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    for check in (lengths, device_libraries, leaves, docstrings):
        bad = check()
        print(f"--- {(check.__doc__ or '').splitlines()[0]}", *bad, sep="\n", flush=True)
        if bad:
            failed.append(check.__name__)
    print(f"failed: {', '.join(failed)}" if failed else "the source passes all checks")
    return int(bool(failed))


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    sys.exit(main())

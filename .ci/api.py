"""The API reference, by pdoc: ``python .ci/api.py FOLDER``. A warning, or a public name left out, is a failure."""

import inspect
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

import bpx

# Public, but not in ``__all__``: they need an extra.
WITH_EXTRAS = ("MLPClassifier", "MLPRegressor", "TableEncoder", "plotting")
# What public functions return, and nobody makes.
RESULTS = ("bpx.checks.gradients", "bpx.checks.parity", "bpx.checks.step_trace", "bpx.search.sweep_table")


def main(folder: Path) -> None:
    """Write the pages, and look for every public name in them."""
    # pdoc reads a module's dictionary, where names that are imported when they are first used are not yet.
    public = {name: getattr(bpx, name) for name in sorted({*bpx.__all__, *WITH_EXTRAS})}
    for name, thing in public.items():
        setattr(bpx, name, thing)
    bpx.__all__[:] = public
    modules = {name: thing for name, thing in public.items() if inspect.ismodule(thing)}
    bpx.__doc__ += "\n\nModules: " + ", ".join(
        f"[bpx.{name}]({thing.__name__.replace('.', '/')}.html)" for name, thing in modules.items()
    )
    pdoc.render.configure(docformat="numpy", show_source=False)
    # Modules that are called by their own names are found in the package.
    named = [thing.__name__ for name, thing in modules.items() if thing.__name__ != f"bpx.{name}"]
    pdoc.pdoc("bpx", *named, *RESULTS, output_directory=folder)

    pages = {"bpx": [name for name in public if name not in modules]}
    pages |= {thing.__name__: list(thing.__all__) for thing in modules.values()}
    for name in RESULTS:
        own = [thing for thing in vars(import_module(name)).values() if getattr(thing, "__module__", None) == name]
        pages[name] = [thing.__name__ for thing in own if inspect.isclass(thing) and thing.__name__[0] != "_"]
    missing = []
    for page, names in pages.items():
        html = (folder / f"{page.replace('.', '/')}.html").read_text(encoding="utf-8")
        missing += [f"{page}.{name}" for name in names if f'id="{name}"' not in html]
    if missing:
        sys.exit(f"no entry for {', '.join(missing)}")
    print(f"{sum(map(len, pages.values()))} entries on {len(pages)} pages in {folder}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(Path(sys.argv[1]))

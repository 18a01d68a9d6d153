"""Every public name is there: to import, to type checkers, to `dir`, `help` and completion."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pickle
import pydoc
import re
import rlcompleter
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import bpx
from bpx.formulas import activations, initializers, losses, metrics, optimizers, precision, schedules
from bpx.network import architecture
from bpx.training import array_feed, solvers

MODULES = (
    "activations",
    "callbacks",
    "errors",
    "initializers",
    "losses",
    "optimizers",
    "plotting",
    "schedules",
    "stop",
)
EXTRAS = dict.fromkeys(("MLPClassifier", "MLPRegressor", "TableEncoder"), "sklearn") | {"plotting": "matplotlib"}
PUBLIC = sorted({*bpx.__all__, *EXTRAS})


@pytest.fixture(autouse=True)
def _installed():
    for package in set(EXTRAS.values()):
        pytest.importorskip(package)


def fresh(script, *options):
    """What a new interpreter prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BPX_", "PYTHON"))}
    environment["PYTHONPATH"] = str(Path(bpx.__file__).parents[1])
    command = [sys.executable, *options, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---------------------------------------------------------------------- import


@pytest.mark.parametrize("name", MODULES)
def test_a_public_module_is_imported_by_its_name_and_is_the_attribute(name):
    module = importlib.import_module(f"bpx.{name}")
    assert module is getattr(bpx, name)
    assert module.__name__ == f"bpx.{name}"
    space = {}
    exec(f"from bpx.{name} import *", space)
    assert set(module.__all__) <= set(space)
    assert [getattr(module, one) for one in module.__all__]


def test_a_public_module_is_imported_first_of_all():
    script = f"""
import importlib, sys
for name in {MODULES}:
    for loaded in [module for module in sys.modules if module.partition(".")[0] == "bpx"]:
        del sys.modules[loaded]
    module = importlib.import_module(f"bpx.{{name}}")
    import bpx
    assert getattr(bpx, name) is module
print("done")
"""
    assert fresh(script) == "done\n"


def test_a_public_module_has_all_that_the_module_behind_it_offers():
    for public, behind in [
        (bpx.activations, activations),
        (bpx.initializers, initializers),
        (bpx.losses, losses),
        (bpx.optimizers, optimizers),
        (bpx.schedules, schedules),
        (bpx.stop, importlib.import_module("bpx.training.stopping")),
        (bpx.plotting, importlib.import_module("bpx.plotting")),
    ]:
        assert set(behind.__all__) <= set(public.__all__)
        assert all(getattr(public, name) is getattr(behind, name) for name in public.__all__)


def test_a_pickle_names_the_modules_that_it_named_before():
    for thing, home in [
        (bpx.losses.huber(), "bpx.formulas.losses"),
        (bpx.stop.Patience(), "bpx.training.stopping"),
        (bpx.callbacks.CSVLogger("log.csv"), "bpx.training.callbacks.text_files"),
    ]:
        assert type(thing).__module__ == home
        assert type(pickle.loads(pickle.dumps(thing))) is type(thing)


def test_importing_bpx_imports_nothing_that_training_needs():
    script = """
import sys, numpy
before = set(sys.modules)
import bpx
print(sorted({*sys.modules} - before))
bpx.fit, bpx.MLP
print("socket" in {*sys.modules} - before, "bpx.training.callbacks.mlflow_runs" in sys.modules)
"""
    assert fresh(script) == "['bpx', 'bpx._version']\nFalse False\n"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'bpx' has no attribute 'mlp'"):
        _ = bpx.mlp
    with pytest.raises(ImportError, match="cannot import name 'mlp'"):
        exec("from bpx import mlp")


def test_names_are_imported_by_several_threads_at_once():
    script = """
import random, sys, threading, bpx
names, failed, together = bpx.__all__, [], threading.Barrier(8)
def use(seed):
    mine = random.Random(seed).sample(names, len(names))
    together.wait()
    for name in mine:
        try:
            getattr(bpx, name)
        except BaseException as error:
            failed.append((name, repr(error)))
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""
    assert fresh(script) == "[]\n"


# ---------------------------------------------------------------------- dir, help, completion


def test_dir_lists_every_public_name_and_nothing_that_is_not_there():
    listed = [name for name in dir(bpx) if not name.startswith("__")]
    assert listed == PUBLIC
    assert all(hasattr(bpx, name) for name in dir(bpx))


def test_tab_completes_every_public_name():
    completer = rlcompleter.Completer({"bpx": bpx})
    found = set()
    while (text := completer.complete("bpx.", len(found))) is not None:
        found.add(text)
    assert {f"bpx.{name}" for name in PUBLIC} <= {text.partition("(")[0] for text in found}


def test_help_tells_of_every_public_name():
    text = pydoc.plain(pydoc.render_doc(bpx))
    assert [name for name in PUBLIC if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("missing", ["sklearn", "matplotlib"])
def test_completion_and_help_work_where_an_extra_is_missing(missing):
    script = f"""
import sys; sys.modules[{missing!r}] = None
import pydoc, rlcompleter, bpx
completer = rlcompleter.Completer({{"bpx": bpx}})
found = [completer.complete("bpx.", i) for i in range(200)]
print("bpx.fit(" in found, {missing!r} in pydoc.render_doc(bpx).lower() or "scikit-learn" in pydoc.render_doc(bpx))
print([name for name in {sorted(EXTRAS)} if name in dir(bpx)])
"""
    there = [name for name, package in sorted(EXTRAS.items()) if package != missing]
    assert fresh(script) == f"True True\n{there}\n"


# ---------------------------------------------------------------------- types


def type_checkers_view():
    """Name -> module, by the imports that only a type checker follows; and those that are exported by ``as``."""
    tree = ast.parse(Path(bpx.__file__).read_text(encoding="utf-8"))
    (only,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    assert all(isinstance(node, ast.ImportFrom) for node in only.body)
    names = {alias.name: node.module for node in only.body for alias in node.names}
    return names, {alias.asname for node in only.body for alias in node.names if alias.asname}


def test_type_checkers_are_told_the_names_that_there_are():
    names, exported = type_checkers_view()
    assert sorted(names) == PUBLIC
    assert exported == set(EXTRAS)  # what ``__all__`` leaves out is private to a type checker without ``as``
    for name, home in names.items():
        expected = (
            importlib.import_module(f"bpx.{name}") if home == "bpx" else getattr(importlib.import_module(home), name)
        )
        assert getattr(bpx, name) is expected


@pytest.mark.parametrize(
    ("type_", "names"),
    [
        (activations.ActivationName, set(activations.ACTIVATIONS)),
        (activations.HiddenName, {name for name, a in activations.ACTIVATIONS.items() if not a.output_only}),
        (losses.LossName, set(losses.LOSSES)),
        (metrics.MetricName, set(metrics.METRICS)),
        (optimizers.OptimizerName, set(optimizers.OPTIMIZERS)),
        (initializers.InitializerName, set(initializers.INITIALIZERS)),
        (solvers.MethodName, set(solvers.METHODS)),
        (array_feed.Sampling, {"shuffle", "sequential", "replacement"}),
        (precision.Precision, {"tf32", "float16", "bfloat16"}),
        (architecture.DType, {"float32", "float64"}),
        (schedules.Unit, set(schedules.Clock._fields)),
    ],
)
def test_a_literal_type_has_the_names_of_its_registry(type_, names):
    assert set(get_args(type_)) == names
    assert len(get_args(type_)) == len(names)


PUBLIC_FUNCTIONS = [
    *(getattr(bpx, name) for name in PUBLIC if inspect.isfunction(getattr(bpx, name))),
    *(
        method
        for owner in (bpx.MLP, bpx.MLPClassifier, bpx.MLPRegressor, bpx.SweepTable, bpx.StepTrace, bpx.Run)
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
        if method.__module__.startswith("bpx.")
    ),
]


@pytest.mark.parametrize("function", PUBLIC_FUNCTIONS, ids=lambda function: function.__qualname__)
def test_every_public_function_has_types(function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    without = [
        name for name, p in signature.parameters.items() if p.annotation is p.empty and name not in {"self", "cls"}
    ]
    assert without == []


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_the_script_that_type_checkers_accept_runs(tmp_path):
    path = Path(__file__).parent / "user_scripts" / "accepted.py"
    spec = importlib.util.spec_from_file_location("accepted", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(np.int64)
    with bpx.use_backend("numpy"):
        assert script.train(X, y, tmp_path).epochs == 5
        script.check(X, X[:, 0])
        assert script.estimate(X, y, tmp_path / "model.npz") > 0.0
    assert len((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()) == 6

"""Notebooks run by a Jupyter kernel: what each cell shows, and that matplotlib is left as it was found."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")
nbformat = pytest.importorskip("nbformat", reason="no notebook: nbclient is not installed")
pytest.importorskip("nbclient", reason="no notebook: nbclient is not installed")
pytest.importorskip("ipykernel", reason="no notebook: ipykernel is not installed")


def executed(cells: list[str], folder: Path) -> list[Any]:
    """The outputs of each cell, run in a kernel of this interpreter; an error in a cell is an error here."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class Here(AsyncKernelManager):
        """Needs no kernel that is registered on the machine."""

        kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="here", language="python",
        )  # fmt: skip

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    environment = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTHONWARNINGS")}
    NotebookClient(notebook, timeout=120, kernel_manager_class=Here).execute(env=environment | {"TMPDIR": str(folder)})
    return [cell.outputs for cell in notebook.cells]


def pictures(outputs: list[Any]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


def words(outputs: list[Any]) -> str:
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


BEGIN = """
import json, logging, warnings
import numpy as np
import matplotlib as mpl
import sklearn.metrics  # and SciPy, which have warnings filters of their own
mpl.rcParams["lines.linewidth"] = 3.25
def state():
    rc = {name: str(value) for name, value in mpl.rcParams.copy().items() if name not in ("backend", "interactive")}
    others = {
        "warnings": str(warnings.filters), "printing": str(np.get_printoptions()), "numpy": str(np.geterr()),
        "logging": str([logging.getLogger().handlers, logging.getLogger("bpx").level]),
    }
    return rc | others
before = state()
import bpx
from bpx import plotting
X, y = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2
net = bpx.MLP([4, 3, 2], backend="numpy")
history = bpx.fit(net, X, y, epochs=3)
"""
# Each shows one picture; the first one of a notebook chooses where pictures go.
BOUNDARY = "plotting.DecisionBoundaryDisplay.from_network(net, X, y, features=(0, 1), grid_resolution=5);"
STYLED = "with plotting.style():\n    plt.subplots()"
CELLS = [
    "plotting.LossCurveDisplay.from_history(history)",
    BOUNDARY,
    "display = plotting.ImageGridDisplay.from_images(X)",
    "sklearn.metrics.ConfusionMatrixDisplay.from_predictions(y, 1 - y);",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2, 1]);",
    "_, axes = plt.subplots(1, 2)\nplotting.LossCurveDisplay.from_history(history, ax=axes[0])\naxes[1].plot([1, 2]);",
    STYLED,
    "plt.hist(X[:, 0]);",
]
# Shown as HTML, with a text for those who cannot show that.
RICH = [
    ("bpx.trace(net, X[0], 1, 'cross_entropy').animate()", "<iframe srcdoc=", "bpx-step-"),
    (
        "bpx.sweep(lambda w: bpx.MLP([4, w, 2], backend='numpy'), {'w': [2, 3]}, X, y, epochs=1)",
        "<table>",
        "SweepTable",
    ),
]
END = """
import matplotlib.pyplot as plt
after = state()
print(json.dumps([plt.isinteractive(), plt.get_backend(), {n: after[n] for n in before if before[n] != after[n]}]))
"""


@pytest.mark.parametrize(
    ("begin", "cells"),
    [
        (BEGIN, CELLS),
        ("%matplotlib inline\n" + BEGIN, CELLS),
        (BEGIN.replace("import sklearn", "# "), ["import matplotlib.pyplot as plt\n" + STYLED, "plt.plot([1, 2, 1]);"]),
    ],
    ids=["as it starts", "%matplotlib inline", "begun by the style"],
)
def test_each_cell_of_a_notebook_shows_its_own_picture_bpxs_or_anybodys(
    begin: str, cells: list[str], tmp_path: Path
) -> None:
    first, *shown, last = executed([begin, *cells, *(cell for cell, _, _ in RICH), END], tmp_path)
    assert pictures(first) == 0
    assert [pictures(outputs) for outputs in shown] == [1] * len(cells) + [0] * len(RICH)
    for (_, beginning, text), (output,) in zip(RICH, shown[len(cells) :], strict=True):
        assert output.data["text/html"].startswith(beginning)
        assert text in output.data["text/plain"]
    interactive, backend, changed = json.loads(words(last))
    assert interactive
    assert backend in ("inline", "module://matplotlib_inline.backend_inline")
    assert changed == {}

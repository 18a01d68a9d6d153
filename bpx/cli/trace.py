"""``bpx trace``: one step of back-propagation with every number, that of article 001 or the user's own."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from bpx.activations import ACTIVATIONS
from bpx.checks.step_trace import StepTrace, trace
from bpx.cli import parser
from bpx.cli.output import MistakeError, Output, counted
from bpx.files import atomic
from bpx.losses import LOSSES
from bpx.network.mlp import MLP

EXAMPLES = """\
  bpx trace                                   the worked step of article 001
  bpx trace --markdown > step.md
  bpx trace --sizes 2,3,1 --inputs 0.5,-1 --targets 1 --hidden tanh \\
      --loss binary_cross_entropy --learning-rate 0.1
  bpx trace --sizes 1,1 --inputs 2 --targets 1 \\
      --weights '{"0.W": [[0.5]], "0.b": [0.1]}'
  bpx trace step.toml                         named as the options are:

      sizes = [2, 2, 1]
      inputs = [0.1, 0.2]
      targets = [1]
      hidden = "tanh"
      learning_rate = 0.5
      [weights]
      "0.W" = [[0.1, 0.3], [0.2, 0.4]]
"""
DESCRIPTION = """\
Compute one step of gradient descent and show every number: sums, outputs,
errors, gradients, new weights, in float64. W has a row for each input and a
column for each neuron; "0.W" and "0.b" are the first layer's. Numbers that are
not given are those of article 001, or drawn with --seed if the sizes differ.
"""
PAGES = (".html", ".htm")
# The worked step of article 001, with the biases that it computes with. It writes W as (outputs, inputs).
ARTICLE: dict[str, Any] = {
    "sizes": [2, 2, 2],
    "inputs": [0.1, 0.2],
    "targets": [0.01, 0.99],
    "hidden": "sigmoid",
    "output": "sigmoid",
    "loss": None,  # squared error, for outputs that are no probabilities
    "learning_rate": 0.5,
    "weights": {
        "0.W": [[0.1, 0.3], [0.2, 0.4]], "0.b": [0.55, 0.55],
        "1.W": [[0.5, 0.7], [0.6, 0.8]], "1.b": [0.66, 0.66],
    },
    "seed": 0,
}  # fmt: skip


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    sub.add_argument("file", nargs="?", metavar="FILE", help="a .toml or .json file with your own numbers")
    step = sub.add_argument_group("the step (an option counts before the file)")
    step.add_argument("--sizes", metavar="N,N,..", type=parser.sizes, help="neurons per layer, the inputs first")
    step.add_argument("--inputs", metavar="X,X,..", type=parser.numbers, help="one sample")
    step.add_argument("--targets", metavar="Y,Y,..", type=parser.numbers, help="one for each output")
    step.add_argument("--weights", metavar="JSON", help='a JSON file, or \'{"0.W": [[..]], "0.b": [..]}\'')
    hidden = sorted(name for name, one in ACTIVATIONS.items() if not one.output_only and name != "step")
    step.add_argument("--hidden", metavar="NAME", help=f"activation: {', '.join(hidden)}")
    step.add_argument("--output", metavar="NAME", dest="output_activation", help="those, softmax or exp")
    step.add_argument("--loss", metavar="NAME", help=f"{', '.join(sorted(LOSSES))} (default: by the output)")
    step.add_argument("--learning-rate", metavar="R", type=parser.rate, help="of the step")
    step.add_argument("--seed", metavar="N", type=parser.whole, help="of weights that are not given (default: 0)")
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="tables in Markdown")
    form.add_argument("--latex", action="store_true", help="tables in LaTeX")
    form.add_argument("--html", metavar="PAGE", help="write a web page on which the step can be watched")
    sub.add_argument("--language", choices=("en", "zh"), default="en", help="the page's first (default: en)")
    parser.describe(sub, "bpx trace [options] [FILE]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Put the step together, compute it, show it."""
    page = args.html
    if page is None:
        step = _worked_out(_given(args))
        text = step.to_markdown() if args.markdown else step.to_latex() if args.latex else str(step)
        output.result(text, step.to_dict())
        return
    if not page.lower().endswith(PAGES):  # do not turn another file into a web page
        raise MistakeError(f"--html: expected a name that ends in {' or '.join(PAGES)}, got {page!r}")
    atomic.check(page)
    step = _worked_out(_given(args))
    try:
        step.animate(page, args.language)
    except ValueError as error:  # too large
        raise MistakeError(str(error)) from error
    output.written = f"the page is written to {page}"
    output.result(f"written  {page}", {"out": page, **step.to_dict()})


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The article's numbers, then the file's, then the options'."""
    own = _file(args.file) if args.file is not None else {}
    options = {name: getattr(args, name) for name in ARTICLE if name not in ("output", "weights")}
    options |= {"output": args.output_activation, "weights": None if args.weights is None else _weights(args.weights)}
    own |= {name: value for name, value in options.items() if value is not None}
    article = dict(ARTICLE)
    if own.get("sizes", article["sizes"]) != article["sizes"]:
        article["weights"] = {}
        for name in ("inputs", "targets"):
            if name not in own:
                raise MistakeError(f"--{name}: a network of other sizes than article 001's needs its own {name}")
    if isinstance(own.get("weights"), dict) and own["weights"]:
        own["weights"] = article["weights"] | own["weights"]
    return article | own


def _worked_out(given: dict[str, Any]) -> StepTrace:
    """The trace of the step."""
    try:
        net = MLP(
            given["sizes"], hidden=given["hidden"], output=given["output"], dtype="float64", seed=given["seed"],
            backend="numpy",
        )  # fmt: skip
        net.set_params({name: _numbers(name, value) for name, value in given["weights"].items()})
        for name, count, kind in (("inputs", net.sizes[0], "inputs"), ("targets", net.sizes[-1], "outputs")):
            if np.ndim(given[name]) == 1 and len(given[name]) != count:
                raise MistakeError(
                    f"--{name}: expected {counted(count, 'number')}, as many as the network has {kind}, got"
                    f" {len(given[name])}"
                )
        rate = given["learning_rate"]
        return trace(net, given["inputs"], given["targets"], loss=given["loss"], learning_rate=float(rate))
    except KeyError as error:
        raise MistakeError(f"--weights: {error.args[0]}") from error
    except (ValueError, TypeError) as error:
        raise MistakeError(_as_options(str(error))) from error


def _numbers(name: str, value: Any) -> np.ndarray[Any, Any]:
    """One layer's weights or biases as an array."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise MistakeError(f"--weights: expected numbers for {name!r} ({error})") from error


def _as_options(message: str) -> str:
    """The library's message with the names of options in place of its arguments'."""
    for pattern, replacement in {
        r"^X: ": "--inputs: ",
        r"^y: ": "--targets: ",
        r"^unknown loss": "--loss: unknown loss",
        r"^(?=\d+\.[Wb]: )": "--weights: ",
        r"\b(hidden|output|loss)='(\w+)'": r"--\1 \2",
    }.items():
        message = re.sub(pattern, replacement, message)
    return message


def _file(path: str) -> dict[str, Any]:
    """The entries of the user's TOML or JSON file."""
    entries = _entries(path)
    unknown = sorted(set(entries) - set(ARTICLE))
    if unknown:
        raise MistakeError(f"{path}: expected the entries {', '.join(ARTICLE)}, got {unknown[0]!r} too")
    if not isinstance(entries.get("weights", {}), dict):
        raise MistakeError(f"{path}: expected weights by name, such as {{'0.W': ..., '0.b': ...}}")
    return entries


def _weights(text: str) -> dict[str, Any]:
    """Weights as JSON text, or from a JSON file."""
    return _entries("--weights", text) if text.lstrip().startswith("{") else _entries(text)


def _entries(source: str, text: str | None = None) -> dict[str, Any]:
    """The entries of TOML or JSON `text`; None reads the file `source`."""
    toml = source.lower().endswith(".toml")
    try:
        text = Path(source).read_text("utf-8-sig") if text is None else text
        entries = tomllib.loads(text) if toml else json.loads(text)
    except (ValueError, RecursionError) as error:  # a file that is no text, too
        raise MistakeError(f"{source}: expected {'TOML' if toml else 'JSON'} ({error})") from error
    if not isinstance(entries, dict):
        raise MistakeError(f"{source}: expected entries by name, got {text[:40]!r}")
    return entries

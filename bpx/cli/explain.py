"""``bpx explain``: how much each of a table's columns tells a model, by shuffling it."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bpx._formatting import TextTable
from bpx.cli import backend_option, parser, preparation, scores, table_input
from bpx.cli.output import MistakeError, Output, counted
from bpx.cli.predict import header_of, known_targets, note_unseen, table_of
from bpx.cli.table_model import TableModel
from bpx.cli.target import CLASSIFY
from bpx.files import atomic, model
from bpx.formulas.metrics import METRICS

EXAMPLES = """\
  bpx explain income.npz others.csv
  bpx explain income.npz others.csv --out importance.png
  bpx explain income.npz others.csv --metric auc --repeats 30 --json
"""
DESCRIPTION = """\
How much each column tells a model that bpx train wrote (permutation
importance): a column's cells are shuffled among the rows, so that they say
nothing any more, and the score falls by as much as the model relied on them.
DATA needs the target; rows that training has not seen give the honest answer.
Of columns that say the same each one seems to matter less than both do.
"""
ENDINGS = (".png", ".svg", ".pdf")


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    sub.add_argument("model", metavar="MODEL", help="a file that bpx train wrote")
    table_input.add_options(sub)
    sub.add_argument("--out", metavar="FILE", help="a picture too: .png, .svg or .pdf (needs matplotlib)")
    sub.add_argument("--metric", metavar="NAME", choices=[*METRICS], help="default: accuracy, or r2 for a number")
    sub.add_argument(
        "--repeats", metavar="N", type=parser.count, default=10, help="how often each column is shuffled (default: 10)"
    )
    sub.add_argument("--seed", metavar="N", type=parser.whole, default=0, help="of the shuffling (default: 0)")
    sub.add_argument("--weight", metavar="COL", help="the rows' weights in the score")
    sub.add_argument("--backend", metavar="NAME", help="auto, numpy, cupy, torch, torch:cuda (default: auto)")
    parser.describe(sub, "bpx explain MODEL DATA [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Read, shuffle, score, report."""
    if args.out is not None:
        ending = table_input.check_out(args.out, ENDINGS, args.data, args.model)
        from bpx.plotting import ImportanceDisplay  # its absence is told at once
    table_model = TableModel.of(header_of(args.model), args.model)
    target = table_model.target
    metric = args.metric or ("accuracy" if target.task == CLASSIFY else "r2")
    scores.check_metrics(target, [metric], "--metric")
    net, _ = model.network_in(args.model, backend_option.backend(args.backend))
    table = table_of(args, table_model, output)
    if target.name not in table.columns:
        raise MistakeError(f"{table.source}: no column {target.name!r}, the target, by which predictions are judged")
    weights = None if args.weight is None else preparation.weights_of(table, args.weight)
    y, known = known_targets(table_model, table, output)
    if np.count_nonzero(known) < 2:
        raise MistakeError(f"{table.source}: expected at least 2 rows with a known target {target.name!r}, got fewer")
    X, unseen = table_model.encoding.encode(table.rows(known), net.dtype)
    note_unseen(unseen, table, output)
    y, weights = y[known], None if weights is None else weights[known]

    rows = np.arange(len(y))

    def scored() -> float:
        predicted = scores.predict(table_model, net, X, rows)
        return scores.score(table_model, predicted, y, [metric], weights)[metric]

    whole = scored()
    if not np.isfinite(whole):
        raise MistakeError(f"{table.source}: --metric: {metric} is not defined for the targets of these rows")
    columns = table_model.encoding.columns
    output.progress(
        f"shuffling {counted(len(columns), 'column')} of {counted(len(y), 'row')}, {args.repeats} times each"
    )
    better = 1.0 if METRICS[metric].larger else -1.0
    falls = {
        name: better * (whole - after)
        for name, after in _shuffled(X, columns, scored, args.repeats, np.random.default_rng(args.seed))
    }
    ranked = sorted(falls, key=lambda name: -float(np.mean(falls[name])))
    word, fall = scores.WORDS.get(metric, metric), "fall of" if METRICS[metric].larger else "rise of"
    form = scores.FORMS.get(metric, ".4f")
    shown = TextTable(["column", f"{fall} {word}", "spread"])
    for name in ranked:
        shown.add(name, f"{np.mean(falls[name]):{form}}", f"{np.std(falls[name]):{form}}")
    text = f"{word} {whole:{form}} on {counted(len(y), 'row')}; by shuffling a column {args.repeats} times:\n\n"
    text += shown.to_text()
    facts: dict[str, Any] = {
        "model": args.model, "rows": len(y), "metric": metric, "score": whole, "repeats": args.repeats,
        "seed": args.seed, "notes": output.notes,
        "columns": [
            {"name": name, "mean": float(np.mean(falls[name])), "std": float(np.std(falls[name]))} for name in ranked
        ],
    }  # fmt: skip
    if args.out is not None:
        display = ImportanceDisplay(
            names=ranked, importances=[falls[name] for name in ranked], score=whole, scoring=word,
            larger=bool(METRICS[metric].larger),
        ).plot()  # fmt: skip
        picture = io.BytesIO()
        display.figure_.savefig(picture, format=ending[1:])
        display.close()
        atomic.write(args.out, picture.getvalue())
        text, facts["out"] = f"{text}\n\nwritten  {args.out}", args.out
    output.result(text, facts)


def _shuffled(
    X: Any, columns: Sequence[Any], scored: Callable[[], float], repeats: int, rng: np.random.Generator
) -> Iterator[tuple[str, Any]]:
    """Each column's name and the scores (repeats,) with its inputs in X shuffled; X is as before afterwards."""
    start = 0
    for column in columns:
        inputs = slice(start, start + len(column.inputs))
        start, kept, after = inputs.stop, X[:, inputs].copy(), np.empty(repeats)
        for repeat in range(repeats):
            X[:, inputs] = kept[rng.permutation(len(X))]
            after[repeat] = scored()
        X[:, inputs] = kept
        yield column.name, after

"""What is learned: classes or a number, chosen from the target column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, final

import numpy as np

from bpx.cli.column_choice import FEWEST_IDS, MOST_LOOKED_AT, few_odd_cells, with_commas
from bpx.cli.output import MistakeError, counted
from bpx.tables import quantities
from bpx.tables.parsing import canonical, number, same_spelling
from bpx.tables.quantities import Quantity
from bpx.tables.table import Column, Table, listed

CLASSIFY, REGRESS = "classify", "regress"
# Integers with at most this many different values are classes, unless --task says otherwise.
FEW_INTEGERS = 10
MOST_CLASSES = 1000
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
# What labels may have been in a file with types; "" in one without.
DTYPES = ("", "bool", "date", "timestamp", *INTEGERS, "float16", "float32", "float64")


@final
@dataclass(frozen=True)
class Target:
    """A target column.

    Attributes
    ----------
    name : str
    labels : tuple of str
        The classes in order; none for a number.
    dtype : str
        What the labels were in their file, one of `DTYPES`.
    form : Quantity, optional
        For a number that is written with a unit or with separated thousands.
    """

    name: str
    labels: tuple[str, ...] = ()
    dtype: str = ""
    form: Quantity | None = None

    @property
    def task(self) -> str:
        """``"classify"`` or ``"regress"``."""
        return CLASSIFY if self.labels else REGRESS

    def values(self, column: Column) -> np.ndarray[Any, Any]:
        """Class numbers (int64, -1 for an unknown label), or numbers (float64, NaN for none); shape (n,).

        The column has to be read as text.
        """
        assert column.texts is not None
        texts = column.texts.tolist()
        if not self.labels:
            read = number if self.form is None else self.form.read
            return np.array([None if text is None else read(text) for text in texts], dtype=np.float64)
        place = {canonical(label): i for i, label in enumerate(self.labels)}
        place |= {label: i for i, label in enumerate(self.labels)}
        known = {text: place.get(text, place.get(canonical(text), -1)) if text else -1 for text in set(texts)}
        return np.array([known[text] for text in texts], dtype=np.int64)

    def typed_labels(self, *, times: bool = True) -> np.ndarray[Any, Any]:
        """The labels as they were in their file, shape (classes,); integers in a file without types are integers.

        Without `times` dates and timestamps stay text.
        """
        if self.dtype == "bool":
            return np.array([{"true": True, "false": False}[label] for label in self.labels])
        if self.dtype.startswith("float"):
            return np.array([float(label) for label in self.labels], dtype=self.dtype)
        labels = np.empty(len(self.labels), dtype=object)
        labels[:] = self.labels
        if self.dtype in ("date", "timestamp") and times:
            kind = date if self.dtype == "date" else datetime
            labels[:] = [kind.fromisoformat(label) for label in self.labels]
        elif self.dtype in ("", *INTEGERS) and all(
            label.lstrip("-").isdecimal() and str(int(label)) == label for label in self.labels
        ):
            integers, bounds = [int(label) for label in self.labels], np.iinfo(self.dtype or "int64")
            if all(bounds.min <= value <= bounds.max for value in integers):
                return np.array(integers, dtype=bounds.dtype)
        return labels


def choose_target(table: Table, name: str, task: str | None, note: Callable[[str], Any]) -> Target:
    """The target of a table, in which no row lacks it; notes the task that is chosen where the user names none."""
    column = table[name]
    assert column.texts is not None
    texts = column.texts.tolist()
    counts = Counter(texts)
    different = len({canonical(text) for text in counts})
    form = None if task == CLASSIFY else quantities.find(counts)
    values = {text: number(text) if form is None else form.read(text) for text in counts}
    numeric = all(value is not None for value in values.values())
    odd = [text for text, value in values.items() if value is None]
    if task != CLASSIFY and form is None and (commas := with_commas(counts)):
        raise MistakeError(f"{table.source}: target {name!r} {commas}, or give --task classify if they are classes")
    if (task == REGRESS and odd) or (task is None and few_odd_cells(counts)):
        row = next(i for i, text in enumerate(texts) if text in odd)
        raise MistakeError(
            f"{table.where(row)}: target {name!r} is a number, got {texts[row]!r:.60}; mend it, or name it as missing"
            " with --na, or give --task classify"
        )
    if task is None and form is None and (seen := quantities.mostly_numbers(list(counts)[:MOST_LOOKED_AT])):
        unclear = (
            f"target {name!r} looks like numbers that are written in several or unclear ways, such as"
            f" {', '.join(map(repr, seen))}"
        )
        if different > FEWEST_IDS:
            raise MistakeError(
                f"{table.source}: {unclear}; write them as plain numbers or in one unit, without separated thousands,"
                " or give --task classify"
            )
        note(f"{unclear}; taken as classes")
    if task is None:
        integers = numeric and all(value == np.floor(value) for value in values.values() if value is not None)
        task = CLASSIFY if not numeric or (integers and different <= FEW_INTEGERS) else REGRESS
        kind = counted(different, f"different {'integer' if integers else 'number' if numeric else 'text'}")
        meaning = "classification" if task == CLASSIFY else "regression (--task classify for classes)"
        meaning += " (--task regress for a number)" if task == CLASSIFY and numeric else ""
        note(f"target {name!r} holds {kind}: {meaning}")
    if different == 1:
        every = f"all {len(texts)} rows" if len(texts) > 1 else "its only row"
        raise MistakeError(
            f"{table.source}: target {name!r} has one value only ({texts[0]!r:.60} in {every}), so there"
            " is nothing to learn; choose another with --target"
        )
    if task == REGRESS:
        for row, text in enumerate(texts):
            if not abs(values[text] or 0.0) < np.inf:
                raise MistakeError(
                    f"{table.where(row)}: target {name!r} is infinite or far too large ({text:.60}); mend it"
                )
        if form is not None:
            first = f"{texts[0]!r} is read, and predicted, as {values[texts[0]]:g}"
            note(f"target {name!r} holds numbers {form.in_words()}: {first}")
        return Target(name, form=form)
    labels = _labels(counts, values if numeric else {})
    if len(labels) > MOST_CLASSES or (len(texts) > 3 and len(labels) > 0.5 * len(texts)):
        remedy = "give --task regress to predict it as a number" if numeric else "choose another with --target"
        raise MistakeError(
            f"{table.source}: target {name!r} has {counted(len(labels), 'different value')} in"
            f" {counted(len(texts), 'row')}, too many for classes; {remedy}"
        )
    single = [label for label in labels if counts[label] == 1]
    if single:
        note(f"{'classes' if len(single) > 1 else 'class'} {listed(single)} of the target in one row only")
    return Target(name, labels, column.dtype)


def _labels(counts: Counter[str], values: Mapping[str, float | None]) -> tuple[str, ...]:
    """The classes in order, by their `values` where they are numbers.

    1 and 1.0 are the same class, as are true and TRUE; classes of one spelling each keep it.
    """
    merged = {canonical(text) for text in counts}
    labels = merged if len(merged) < len(counts) and values else {*counts}
    if not values:
        spelled = {same_spelling(text) for text in counts}
        labels = {*counts} if len(spelled) == len(counts) else {*spelled}
        return tuple(sorted(labels, key=same_spelling))
    return tuple(sorted(labels, key=lambda text: (values.get(text, number(text)), text)))

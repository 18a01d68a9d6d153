"""A column of text that is read as numbers: of a quantity with its unit, or the parts of a date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, final

from bpx.errors import FileFormatError
from bpx.files.header import check_entries, of_type
from bpx.tables.column_encoders import Matrix, NumberColumn, Unseen
from bpx.tables.dates import Dates
from bpx.tables.piecewise_column import PiecewiseColumn
from bpx.tables.quantities import Quantity
from bpx.tables.table import Column, Table, text_array

Form = Quantity | Dates
_FORMS: dict[str, type[Quantity] | type[Dates]] = {Quantity.kind: Quantity, Dates.kind: Dates}


@final
@dataclass(frozen=True)
class DerivedColumn:
    """The inputs of `columns`, which `form` makes of the table's column `name`."""

    name: str
    form: Form
    columns: tuple[NumberColumn | PiecewiseColumn, ...]

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [name for column in self.columns for name in column.inputs]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, inputs) from the table; TableError where a cell cannot be read."""
        derived, start, lacking = table.of(self.form.columns(table, self.name)), 0, Unseen()
        for column in self.columns:
            stop = start + len(column.inputs)
            column.encode(derived, out[:, start:stop], lacking)
            start = stop
        if lacking.missing:
            unseen.missing[self.name] = max(lacking.missing.values())

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        columns = [column.to_json() for column in self.columns]
        return {"kind": "derived", "name": self.name, "form": self.form.to_json(), "columns": columns}

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """The column that `to_json` described; FileFormatError for anything else."""
        check_entries(
            entry, "encoding", kind=lambda v: v == "derived", name=of_type(str), form=of_type(dict),
            columns=of_type(list),
        )  # fmt: skip
        form = _FORMS.get(str(entry["form"].get("kind")))
        if form is None or not entry["columns"]:
            raise FileFormatError("encoding: expected a column of a quantity or of dates, got another")
        read, name = form.from_json(entry["form"]), entry["name"]
        columns = tuple(number_from_json(one) for one in entry["columns"])
        empty = Table("", [Column(name, texts=text_array([]))], 0)
        if not {one.name for one in columns} <= {one.name for one in read.columns(empty, name)}:
            raise FileFormatError("encoding: expected the parts of a date or a quantity, got other names")
        return cls(name, read, columns)


def number_from_json(entry: Any) -> NumberColumn | PiecewiseColumn:
    """A column of numbers with or without bins; FileFormatError for anything else."""
    binned = isinstance(entry, dict) and entry.get("kind") == "piecewise"
    return PiecewiseColumn.from_json(entry) if binned else NumberColumn.from_json(entry)

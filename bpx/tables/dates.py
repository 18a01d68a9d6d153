"""Columns of dates and times as numbers: year, month, day of the week and of the year, days since 1970, hours."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, Self, final

import numpy as np

from bpx.files.header import check_entries
from bpx.tables.table import Column, Table, TableError

Order = Literal["ymd", "dmy", "mdy", "time"]
_ORDERS: tuple[Order, ...] = ("ymd", "dmy", "mdy", "time")
PARTS = ("year", "month", "day of week", "day of year", "days since 1970", "hour")
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?\s*(?P<half>[AaPp][Mm])?"
)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[-+]\d{2}:?\d{2})?"
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<c>\d{{1,2}})(?:(?:[T ]+|, ?){_TIME}{_ZONE})?"
)
_YEAR_LAST = re.compile(
    rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<year>\d{{4}})(?:(?:[T ]+|, ?){_TIME}{_ZONE})?"
)
_CLOCK = re.compile(_TIME)
_EPOCH = datetime(1970, 1, 1)


@final
@dataclass(frozen=True)
class Dates:
    """How the dates of a column are written: year, month and day in which order, or a time of day alone."""

    order: Order

    kind = "dates"

    def read(self, text: str) -> tuple[float, ...] | None:
        """The numbers in `PARTS` of a cell; None if it is no such date. Days pass by UTC, the rest is as written.

        Days of the week are counted from 0, a Monday; the fraction of an hour is part of it.
        """
        text = text.strip()
        if self.order == "time":
            match = _CLOCK.fullmatch(text)
            clock = _clock(match) if match else None
            return None if clock is None else (np.nan,) * 5 + (clock / timedelta(hours=1),)
        match = (_YEAR_FIRST if self.order == "ymd" else _YEAR_LAST).fullmatch(text)
        if match is None:
            return None
        first, second = (match["b"], match["c"]) if self.order == "ymd" else (match["a"], match["b"])
        month, day = (second, first) if self.order == "dmy" else (first, second)
        try:
            day_of = date(int(match["year"]), int(month), int(day))
        except ValueError:
            return None
        clock = _clock(match) if match["hour"] else timedelta()
        if clock is None:
            return None
        moment = datetime.combine(day_of, time()) + clock - _offset(match["zone"])
        return (
            day_of.year, day_of.month, day_of.weekday(), day_of.timetuple().tm_yday, (moment - _EPOCH) / timedelta(1),
            clock / timedelta(hours=1),
        )  # fmt: skip

    def columns(self, table: Table, name: str) -> list[Column]:
        """Columns of the parts; TableError names the place of a cell that is no such date."""
        column = table[name]
        if column.numbers is not None and not np.all(column.missing):
            row = int(np.argmin(column.missing))
            raise TableError(_wrong(table, row, name, f"{column.numbers[row]:g}"))
        texts = [None] * table.n_rows if column.texts is None else column.texts.tolist()
        none = (np.nan,) * len(PARTS)
        read = {None: none} | {text: self.read(text) for text in set(texts) - {None}}
        for row, text in enumerate(texts):
            if read[text] is None:
                raise TableError(_wrong(table, row, name, text))
        values = np.array([read[text] for text in texts], dtype=np.float64).reshape(-1, len(PARTS))
        chosen = (5,) if self.order == "time" else range(len(PARTS))
        return [Column(f"{name} {PARTS[i]}", numbers=values[:, i]) for i in chosen]

    def in_words(self) -> str:
        """What was understood, for people."""
        words = {"ymd": "year first", "dmy": "day before month", "mdy": "month before day", "time": "times of day"}
        return words[self.order]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": self.kind, "order": self.order}

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """What `to_json` described; FileFormatError for anything else."""
        check_entries(entry, "dates", kind=lambda v: v == cls.kind, order=lambda v: v in ("ymd", "dmy", "mdy", "time"))
        return cls(entry["order"])


def find(texts: Collection[str]) -> Dates | Literal["ambiguous"] | None:
    """How the dates in different cells are written; "ambiguous" where 1/2/2024 may be in January or in February."""
    if not texts:
        return None
    fit = [Dates(order) for order in _ORDERS if all(Dates(order).read(text) is not None for text in texts)]
    if len(fit) == 2:  # day and month can be exchanged; with points between them the day is first
        return fit[0] if all("." in text[:3] for text in texts) else "ambiguous"
    return fit[0] if fit else None


def mostly_dates(texts: Collection[str]) -> list[str]:
    """The texts that are no dates, up to three, where most are, in one way; empty for anything else."""
    for order in _ORDERS[:3]:
        odd = [text for text in texts if Dates(order).read(text) is None]
        if odd and 2 * len(odd) < len(texts):
            return odd[:3]
    return []


def _clock(match: re.Match[str]) -> timedelta | None:
    """The time since midnight; None if there is no such time of day."""
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (match["half"].lower() == "pm")
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = float(f"0.{match['fraction']}") if match["fraction"] else 0.0
    return timedelta(hours=hour, minutes=minute, seconds=second + fraction)


def _offset(zone: str | None) -> timedelta:
    """What a time zone is before UTC."""
    if zone is None or zone[0] not in "+-":
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return size if zone[0] == "+" else -size


def _wrong(table: Table, row: int, name: str, text: str) -> str:
    """The message for a cell that is no date."""
    return (
        f"{table.where(row)}: column {name!r} held dates or times in training, got {text!r:.60}; write it as they were,"
        " or name it as missing with --na"
    )

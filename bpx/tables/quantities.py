"""Columns of numbers that are written with a unit or with separated thousands, such as ``10 kg``, ``$1,234.50``.

All cells of a column must be written in one way, and that way must have one meaning: ``1,000`` alone may be a thousand
or one, ``1,234.50`` may not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Self, final

import numpy as np

from bpx.files.header import check_entries, of_type
from bpx.tables.parsing import number
from bpx.tables.table import Column, Table, TableError


def _words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


CURRENCIES = _words(
    "$ € £ ¥ ₹ ₩ ₽ ₺ ₴ ₪ ₫ ₦ ₱ ฿ US$ A$ C$ R$ HK$ NZ$ USD EUR GBP JPY CNY RMB INR CHF AUD CAD SEK NOK DKK PLN CZK HUF "
    " BRL MXN ZAR KRW SGD HKD NZD TRY kr Kč zł Fr. Rs Rs."
)
# Not here: what may be a letter of a code, such as the A of 1A.
UNITS = _words(
    "% ‰ kg g mg µg lb lbs oz km m cm mm µm nm mi mile miles ft in yd l L ml mL dl cl gal h hr hrs hour hours min mins"
    " minute minutes s sec secs second seconds ms µs ns d day days week weeks month months yr yrs year years °C °F °"
    " kW MW GW kWh MWh Wh mV kV mA Ah mAh Hz kHz MHz GHz kB KB MB GB TB KiB MiB GiB Pa hPa kPa MPa bar mbar psi mph"
    " km/h kph m/s kn m² m2 km² km2 m³ m3 cm³ cm3 cc sqft sqm ha hp bhp Nm kcal cal kJ MJ mmHg bpm rpm ppm ppb px pt"
    " dB mol mmol mg/dl mg/dL mmol/l mmol/L g/l g/L mpg kmpl"
)
# These are read only after a space.
LETTERS = _words("A V K W J N t B")
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
_CELL = re.compile(
    rf"(?P<sign>[-+]?)(?P<prefix>[^\d\s.,'+-][^\d\s,'+-]*)?[{SPACES}]?(?P<inner>[-+]?)"
    rf"(?P<body>\d(?:[\d.,'{SPACES}{_APOSTROPHE}]*\d)?\.?|\.\d+)(?P<power>[eE][-+]?\d+)?(?P<gap>[{SPACES}]*)(?P<suffix>\D.*)?"
)
_SEPARATORS = ((",", "."), (".", ","), ("'", "."), ("'", ","), (" ", "."), (" ", ","))
# A number with anything around it that is not a code's letters.
_LOOSE = re.compile(r"(?P<before>[^\w\s#]{0,3})\s?[-+]?\d+(?:[.,]\d+)?(?P<after>\s?[^\W\d]{0,15}[^\w\s]{0,3})")
# With more different ways to write them, texts are no numbers.
MOST_AROUND = 6
_ALIKE = str.maketrans({"\N{MINUS SIGN}": "-", "\N{RIGHT SINGLE QUOTATION MARK}": "'"} | dict.fromkeys(SPACES, " "))


@final
@dataclass(frozen=True)
class Quantity:
    """How the numbers of a column are written.

    `unit` stands after each number, or before it if `before`; `thousands` (comma, point, apostrophe, space or nothing)
    separates groups of three digits, `decimal` (point or comma) the fraction.
    """

    unit: str = ""
    before: bool = False
    thousands: str = ""
    decimal: str = "."

    kind = "quantity"

    def read(self, text: str) -> float | None:
        """The number in a cell; None if it is written in another way, or without the unit."""
        parts = _parts(text)
        if parts is None or parts[:2] != (self.unit, self.before):
            return None
        sign, body, power = parts[2:]
        if not re.fullmatch(_pattern(self.thousands, self.decimal), body):
            return None
        if self.thousands:
            body = body.replace(self.thousands, "")
        return number(sign + body.replace(self.decimal, ".") + power)

    def columns(self, table: Table, name: str) -> list[Column]:
        """The column as numbers; TableError names the place of a cell that is written in another way."""
        column = table[name]
        if column.numbers is not None:
            if self.unit and not np.all(column.missing):
                row = int(np.argmin(column.missing))
                raise TableError(
                    f"{table.where(row)}: column {name!r} held numbers with {self.unit!r} in training, got"
                    f" {column.numbers[row]:g} without; write them as they were, or train anew"
                )
            return [Column(name, numbers=column.numbers)]
        assert column.texts is not None
        values = {None: math.nan} | {text: self.read(text) for text in set(column.texts.tolist()) - {None}}
        for row, text in enumerate(column.texts.tolist()):
            if values[text] is None:
                raise TableError(
                    f"{table.where(row)}: column {name!r} held numbers such as {self.example()} in training, got"
                    f" {text!r:.60}; mend it, or name it as missing with --na"
                )
        return [Column(name, numbers=np.array([values[text] for text in column.texts.tolist()], dtype=np.float64))]

    def example(self) -> str:
        """A number that is written so."""
        shown = f"1{self.thousands}234{self.decimal}5" if self.thousands else f"12{self.decimal}5"
        if not self.unit:
            return shown
        gap = " " if self.unit[0].isalpha() else ""
        return f"{self.unit}{gap}{shown}" if self.before else f"{shown}{gap}{self.unit}"

    def in_words(self) -> str:
        """What was understood, for people."""
        words = [f"in {self.unit}"] if self.unit else []
        names = {",": "commas", ".": "points", "'": "apostrophes", " ": "spaces"}
        words += [f"with {names[self.thousands]} between thousands"] if self.thousands else []
        words += ["with a decimal comma"] if self.decimal == "," else []
        return ", ".join(words)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": self.kind} | asdict(self)

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """What `to_json` described; FileFormatError for anything else."""
        check_entries(
            entry, "quantity", kind=lambda v: v == cls.kind, unit=of_type(str), before=of_type(bool),
            thousands=lambda v: v in ("", ",", ".", "'", " "), decimal=lambda v: v in (".", ","),
        )  # fmt: skip
        return cls(**{name: value for name, value in entry.items() if name != "kind"})


def find(texts: Collection[str]) -> Quantity | None:
    """How the numbers in different cells are written; None if they are not numbers, in several ways, or ambiguous."""
    cells: list[tuple[str, bool, str, str, str]] = []
    for text in texts:
        parts = _parts(text)
        if parts is None or (cells and parts[:2] != cells[0][:2]):
            return None
        cells.append(parts)
    if not cells:
        return None
    unit, before = cells[0][:2]
    separators = _separators([parts[3] for parts in cells], money=unit in CURRENCIES)
    if separators is None or (not unit and separators == ("", ".")):
        return None
    found = Quantity(unit, before, *separators)
    return found if all(found.read(text) is not None for text in texts) else None


def mostly_numbers(texts: Collection[str]) -> list[str]:
    """A few of the texts, where most are numbers with something around them, though not in one clear way.

    Letters before a number make a code, and not a quantity.
    """
    parts = {text: _parts(text) for text in texts}
    loose = {text: _LOOSE.fullmatch(text.strip()) for text in texts}
    seen = [text for text in texts if (parts[text] or loose[text]) and number(text) is None]
    if len(seen) < 2 or 2 * sum(bool(parts[text] or loose[text]) for text in texts) <= len(texts):
        return []
    around: dict[Any, str] = {}
    for text in seen:
        known, match = parts[text], loose[text]
        around.setdefault(known[:2] if known else match and match.group("before", "after"), text)
    if len(around) > MOST_AROUND:
        return []
    odd = [text for text in texts if not (parts[text] or loose[text]) or number(text) is not None]
    return [*around.values(), *odd][:3] if len(around) + bool(odd) > 1 else seen[:2]


def _parts(text: str) -> tuple[str, bool, str, str, str] | None:
    """Unit, whether it stands before, sign, digits and power of ten of a cell; None if it is not a number."""
    match = _CELL.fullmatch(text.strip().translate(_ALIKE))
    if match is None or (match["sign"] and match["inner"]):
        return None
    if not any(re.fullmatch(_pattern(*pair), match["body"]) for pair in _SEPARATORS):
        return None
    prefix, suffix = match["prefix"] or "", (match["suffix"] or "").strip()
    if (prefix and suffix) or (prefix and prefix not in CURRENCIES):
        return None
    if suffix and suffix not in UNITS and suffix not in CURRENCIES and not (match["gap"] and suffix in LETTERS):
        return None
    if match["inner"] and not prefix:
        return None
    return prefix or suffix, bool(prefix), match["sign"] + match["inner"], match["body"], match["power"] or ""


def _pattern(thousands: str, decimal: str) -> str:
    """The digits of a number."""
    groups = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    return rf"(?:{groups}\d+)(?:{re.escape(decimal)}\d*)?|{re.escape(decimal)}\d+"


def _separators(bodies: list[str], *, money: bool) -> tuple[str, str] | None:
    """The one pair of signs for thousands and fraction with which all bodies are numbers; None if it is not known."""

    def fit(thousands: str, decimal: str) -> bool:
        return all(re.fullmatch(_pattern(thousands, decimal), body) for body in bodies)

    for sign in "' ":
        if any(sign in body for body in bodies):
            longest = max(body.count(sign) for body in bodies)
            if sign == " " and longest > 1 and len({len(body) for body in bodies}) == 1 and len(bodies) > 1:
                return None  # of one length, as telephone numbers are
            return next(((sign, decimal) for decimal in ".," if fit(sign, decimal)), None)
    clear = []
    for thousands, decimal in ((",", "."), (".", ",")):
        twice = rf"\d+(?:{re.escape(thousands)}\d{{3}}){{2,}}.*"
        both = rf"\d+{re.escape(thousands)}\d{{3}}{re.escape(decimal)}\d*"
        evident = any(re.fullmatch(f"{twice}|{both}", body) for body in bodies)
        # A price has no three decimals.
        evident = evident or (money and thousands == "," and any("," in body for body in bodies))
        if evident and fit(thousands, decimal):
            clear.append((thousands, decimal))
    if len(clear) == 1:
        return clear[0]
    dotted = [body for body in bodies if "." in body]
    if money and dotted and all(re.fullmatch(r"\d{1,3}\.\d{3}", body) for body in dotted):
        return None  # 1.000 euros may be a thousand
    return ("", ".") if not clear and fit("", ".") else None

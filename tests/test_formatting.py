"""Tables in columns of equal width, and values that JSON has."""

from __future__ import annotations

import json

from bpx._formatting import TextTable, aligned, to_json

ROWS = [("name", "n"), ("a", "10"), ("long", "2")]


def test_cells_are_aligned_left_or_right_and_no_line_ends_in_spaces():
    assert aligned(ROWS) == "name  n\na     10\nlong  2"
    assert aligned(ROWS, "<>") == "name   n\na     10\nlong   2"
    assert aligned([("a", "b", "c"), ("", "22", "333")], ">", rule=True).splitlines() == [
        "a   b    c", "-  --  ---", "   22  333",
    ]  # fmt: skip


def test_a_table_is_the_same_in_three_notations():
    table = TextTable(ROWS[0])
    for row in ROWS[1:]:
        table.add(*row)
    assert table.to_text("  ").splitlines() == ["  name   n", "  ----  --", "  a     10", "  long   2"]
    assert table.to_markdown().splitlines() == ["| name | n |", "|:---|---:|", "| a | 10 |", "| long | 2 |"]
    latex = table.to_latex().splitlines()
    assert latex[:4] == [r"\begin{tabular}{lr}", r"\hline", r"name & n \\", r"\hline"]
    assert latex[4:] == [r"a & 10 \\", r"long & 2 \\", r"\hline", r"\end{tabular}"]


def test_what_json_has_no_number_for_is_null_or_what_the_caller_says():
    nan, inf = float("nan"), float("inf")
    data = {"a": (1, 2.5, nan), 3: [inf, {"b": -inf}, None, "text", True]}
    plain = {"a": [1, 2.5, None], "3": [None, {"b": None}, None, "text", True]}
    assert to_json(data) == plain
    assert json.loads(json.dumps(to_json(data), allow_nan=False)) == plain
    assert to_json([nan, 1.0], str) == ["nan", 1.0]

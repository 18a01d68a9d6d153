"""Tables as people have them: each with what it must be read as; and what is kept comes back as it was."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import unicodedata

import numpy as np
import pytest
from commands import as_json, passengers, refused, run

from bpx.tables import encoding, reading
from bpx.tables.parsing import Style
from bpx.tables.table import TableError

pa = pytest.importorskip("pyarrow")
nan, NFD = float("nan"), unicodedata.normalize("NFD", "größe")
XY = {"x": [1.0, 2.0], "y": ["a", "b"]}
EUROPE = {"style": Style(",", ".")}

# A name, the file, the columns that it holds, and how it is read where that has to be said.
MESSY = [
    ("commas", "x,y\n1,a\n2,b\n", XY, {}),
    ("semicolons", "x;y\n1;a\n2;b\n", XY, {}),
    ("tabs", "x\ty\n1\ta\n2\tb\n", XY, {}),
    ("bars", "x|y\n1|a\n2|b\n", XY, {}),
    ("spaces", "x y\n1 a\n2 b\n", XY, {"separator": " "}),
    ("commas in the names of a ; file", "a, b, c;y\n1;a\n2;b\n", {"a, b, c": [1.0, 2.0], "y": ["a", "b"]}, {}),
    ("commas in the cells of a ; file", "x;y\n1;a,b\n2;c,d\n", {"x": [1.0, 2.0], "y": ["a,b", "c,d"]}, {}),
    (
        "decimal commas in a ; file",
        "x;y\n1,5;2,5\n3,5;4,5\n", {"x": [1.5, 3.5], "y": [2.5, 4.5]}, {"style": Style(",")},
    ),
    ("decimal commas that nobody named", "x;y\n1,5;2\n3,5;4\n", {"x": ["1,5", "3,5"], "y": [2.0, 4.0]}, {}),
    ("separators in quoted names", '"a;b;c",y\n1,a\n2,b\n', {"a;b;c": [1.0, 2.0], "y": ["a", "b"]}, {}),
    ("sep= names the separator", "sep=;\nx;y\n1;a\n2;b\n", XY, {}),
    ("sep= names another than seems", "sep=|\nx,1|y\n1|a\n2|b\n", {"x,1": [1.0, 2.0], "y": ["a", "b"]}, {}),
    ("quoted sep=", '"sep=;"\r\nx;y\r\n1;a\r\n2;b\r\n', XY, {}),
    ("Windows line ends", "x,y\r\n1,a\r\n2,b\r\n", XY, {}),
    ("old Mac line ends", "x,y\r1,a\r2,b\r", XY, {}),
    ("mixed line ends", "x,y\r\n1,a\n2,b\r\n", XY, {}),
    ("no line end last", "x,y\n1,a\n2,b", XY, {}),
    ("blank lines before", "\n\nx,y\n1,a\n2,b\n", XY, {}),
    ("lines of spaces before", "  \n\t\nx,y\n1,a\n2,b\n", XY, {}),
    ("blank lines within", "x,y\n\n1,a\n\n\n2,b\n", XY, {}),
    ("lines of spaces within", "x,y\n   \n1,a\n2,b\n  \n", XY, {}),
    ("blank lines after", "x,y\n1,a\n2,b\n\n\n", XY, {}),
    ("Ctrl-Z at the end", "x,y\r\n1,a\r\n2,b\r\n\x1a", XY, {}),
    ("Ctrl-Z and a line end", "x,y\n1,a\n2,b\n\x1a\n", XY, {}),
    ("comments before", "# made by hand\n# on a Monday\nx,y\n1,a\n2,b\n", XY, {}),
    ("comments of MATLAB's kind before", "% made by hand\nx,y\n1,a\n2,b\n", XY, {}),
    ("names that begin as a comment", "#x,y\n1,a\n2,b\n", {"#x": [1.0, 2.0], "y": ["a", "b"]}, {}),
    ("one name that begins as a comment", "# of x\n1\n2\n", {"# of x": [1.0, 2.0]}, {}),
    ("comments within", "; made\nx,y\n1,a\n; more\n2,b\n", XY, {"comment": ";"}),
    ("comments of two characters", "-- a\nx,y\n-- b,c\n1,a\n2,b\n", XY, {"comment": "--"}),
    ("separators at all ends", "x,y,\n1,a,\n2,b,\n", XY | {"Unnamed: 2": [nan, nan]}, {}),
    ("separators at the ends of rows", "x,y\n1,a,\n2,b,\n", XY, {}),
    ("separators at some ends", "x,y\n1,a\n2,b,,,\n", XY, {}),
    ("separators and spaces at the ends", "x,y\n1,a, \n2,b,  \n", XY, {}),
    ("a separator at the end of the names", "x,y,\n1,a\n2,b\n", XY, {}),
    (
        "a row of empty cells among ragged ones",
        "x,y\n1,a,\n,\n2,b\n", {"x": [1.0, nan, 2.0], "y": ["a", None, "b"]}, {},
    ),
    ("a blank line in one column", "x\n1\n\n2\n", {"x": [1.0, nan, 2.0]}, {}),
    ("a blank line of text in one column", "x\na\n\nb\n", {"x": ["a", None, "b"]}, {}),
    ("a blank line in one column with quotes", '"x"\n"a"\n\n"b"\n', {"x": ["a", None, "b"]}, {}),
    ("one row", "x,y\n1,a\n", {"x": [1.0], "y": ["a"]}, {}),
    ("no row", "x,y\n", {"x": [], "y": []}, {}),
    ("one cell", "x\n1", {"x": [1.0]}, {}),
    ("repeated names", "x,y\n1,a\nx,y\n2,b\nx,y\n", XY, {}),
    ("repeated names in quotes", '"x","y"\n1,a\n"x","y"\n2,b\n', XY, {}),
    ("a cell that is a name", "x,y\n1,x\n2,y\n", {"x": [1.0, 2.0], "y": ["x", "y"]}, {}),
    ("a mark of UTF-8", b"\xef\xbb\xbfx,y\n1,a\n2,b\n", XY, {}),
    ("UTF-16", "x,y\n1,a\n2,b\n".encode("utf-16"), XY, {"encoding": "utf-16"}),
    ("Latin-1", "x,y\n1,é\n2,b\n".encode("latin-1"), {"x": [1.0, 2.0], "y": ["é", "b"]}, {"encoding": "latin-1"}),
    (
        "Windows' code page",
        "x,y\n1,€\n2,b\n".encode("cp1252"), {"x": [1.0, 2.0], "y": ["€", "b"]}, {"encoding": "cp1252"},
    ),
    ("one text in two Unicode forms", f"x,y\n1,größe\n2,{NFD}\n", {"x": [1.0, 2.0], "y": ["größe"] * 2}, {}),
    ("spaces around", " x , y \n 1 , a \n 2 , b \n", XY, {}),
    ("breaks in cells", 'x,y\n1,"a\nb"\n2,"c\r\nd"\n', {"x": [1.0, 2.0], "y": ["a\nb", "c\r\nd"]}, {}),
    ("a break in a name", '"x\nz",y\n1,a\n2,b\n', {"x\nz": [1.0, 2.0], "y": ["a", "b"]}, {}),
    ("quotation marks in cells", 'x,y\n1,"a ""b"""\n2,5" c\n', {"x": [1.0, 2.0], "y": ['a "b"', '5" c']}, {}),
    ("usual spellings of nothing", "x,y\nNA,null\n1,b\n", {"x": [nan, 1.0], "y": [None, "b"]}, {}),
    ("other spellings of nothing", "x,y\n-,?\n1,b\n", {"x": [nan, 1.0], "y": [None, "b"]}, {"missing": ["-", "?"]}),
    ("NA that is a text", "x,y\n1,NA\n2,b\n", {"x": [1.0, 2.0], "y": ["NA", "b"]}, {"usual": False}),
    ("an empty column", "x,y\n,a\n,b\n", {"x": [nan, nan], "y": ["a", "b"]}, {}),
    ("columns without names", ",y\n1,a\n2,b\n", {"Unnamed: 0": [1.0, 2.0], "y": ["a", "b"]}, {}),
    ("numbers and one text", "x,y\n1,a\nten,b\n", {"x": ["1", "ten"], "y": ["a", "b"]}, {}),
    ("a text far below", "x\n" + "1\n" * 200_000 + "z\n", {"x": ["1"] * 200_000 + ["z"]}, {}),
    ("hexadecimal codes", "x,y\n0x10,a\n0x1F,b\n", {"x": ["0x10", "0x1F"], "y": ["a", "b"]}, {}),
    ("leading zeros", "x,y\n01,a\n002,b\n", XY, {}),
    ("leading zeros as text", "x,y\n01,a\n002,b\n", {"x": ["01", "002"], "y": ["a", "b"]}, {"as_text": ["x"]}),
    ("dates", "x,y\n1,2024-01-02\n2,2024-02-03\n", {"x": [1.0, 2.0], "y": ["2024-01-02", "2024-02-03"]}, {}),
    ("times", "x,y\n1,10:00\n2,11:30:00\n", {"x": [1.0, 2.0], "y": ["10:00", "11:30:00"]}, {}),
    ("booleans keep their spelling", "x,y\n1,TRUE\n2,False\n", {"x": [1.0, 2.0], "y": ["TRUE", "False"]}, {}),
    ("thousands and decimal commas", "x;y\n1.234,5;a\n-2;b\n", {"x": [1234.5, -2.0], "y": ["a", "b"]}, EUROPE),
    ("thousands that are none", "x;y\n1.5;a\n2;b\n", {"x": ["1.5", "2"], "y": ["a", "b"]}, EUROPE),
    (
        "thousands with commas",
        'x,y\n"1,234.5",a\n2,b\n', {"x": [1234.5, 2.0], "y": ["a", "b"]}, {"style": Style(".", ",")},
    ),
    (
        "thousands with spaces",
        "x,y\n1\u202f234,a\n2,b\n", {"x": [1234.0, 2.0], "y": ["a", "b"]}, {"style": Style(".", " ")},
    ),
    (
        "a target in another style",
        "x;y\n1;1.000,5\n2;2\n", {"x": [1.0, 2.0], "y": ["1000.5", "2"]}, EUROPE | {"as_text": ["y"]},
    ),
    ("a column left out that stands twice", "x,z,y,z\n1,3,a,4\n2,3,b,4\n", XY, {"drop": ["z"]}),
    ("a column left out in another Unicode form", f"x,{NFD},y\n1,3,a\n2,3,b\n", XY, {"drop": ["größe"]}),
]  # fmt: skip


def in_file(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_as(table):
    return {name: (c.texts if c.numbers is None else c.numbers).tolist() for name, c in table.columns.items()}


@pytest.mark.parametrize(("content", "expected", "options"), [case[1:] for case in MESSY], ids=[c[0] for c in MESSY])
@pytest.mark.parametrize("packed", [False, True])
def test_a_messy_table_is_read_as_what_it_means(tmp_path, content, expected, options, packed):
    path = in_file(tmp_path, content)
    if packed:
        path = in_file(tmp_path, gzip.compress(path.read_bytes()), "t.csv.gz")
    got = read_as(reading.read(path, **options))
    assert list(got) == list(expected)
    for name, cells in expected.items():
        np.testing.assert_array_equal(np.array(got[name]), np.array(cells))


REFUSED = {
    "row names": ("x,y\nr1,1,a\nr2,2,b\n", "got 3; give the first column a name"),
    "a short line": ("x,y\n1,a\n2\n", "line 3: expected 2 fields, as many as there are column names, got 1; complete"),
    "names in two forms": (f"größe,{NFD}\n1,2\n", "for columns 1 and 2; rename one"),
    "a short line below a comment": ("# a\nx,y\n1,a\n\n2\n", "line 5: expected 2 fields"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_known_is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(TableError) as caught:
        reading.read(in_file(tmp_path, content))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "options", "row", "line"),
    [
        ("# a\n\nx,y\n1,a\n2,b\n", {}, 1, 5),
        ("x,y\n1,a\n\n2,b\n", {}, 1, 4),
        ("!\nx,y\n1,a\n!\n2,b\n", {"comment": "!"}, 1, 5),
        ("x,y\n1,a,\n\n2,b\n", {}, 1, 4),
        ("x,y\n1,a\nx,y\n2,b\n", {}, 1, 4),
        ("x\n1\n\n2\n", {}, 2, 4),
    ],
)
def test_messages_name_the_line_of_the_file(tmp_path, content, options, row, line):
    assert reading.read(in_file(tmp_path, content), **options).where(row).endswith(f"line {line}")


def test_what_was_left_out_is_said(tmp_path):
    notes = reading.read(in_file(tmp_path, "# a\nx,y\n1,a,\nx,y\n2,b\n")).notes
    assert notes[0] == "line 1, '# a', was read as a comment"
    assert notes[1].startswith("separators at the ends of lines")
    assert notes[2] == "left out: 1 line that repeats the column names (line 4)"


def test_names_in_another_unicode_form_are_found_and_come_back_as_they_were(tmp_path):
    table = reading.read(in_file(tmp_path, f"{NFD},y\n1,a\n2,b\n"), keep=["größe"], as_text=["größe"])
    assert table["größe"].name == NFD
    assert table["größe"].cells.to_pylist() == ["1", "2"]
    assert "größe" in table.columns
    assert table.without(["größe"]).names == ["y"]


def test_five_thousand_columns_can_be_trained_on(tmp_path, capsys, rng):
    data, model = tmp_path / "t.csv", tmp_path / "m.npz"
    X = rng.normal(size=(8, 5000))
    with open(data, "w", newline="") as file:
        csv.writer(file).writerows(
            [[f"c{j}" for j in range(5000)] + ["y"], *([*row, i % 2] for i, row in enumerate(X))]
        )
    assert run("train", data, "--target", "y", "--epochs", 1, "--hidden", 2, "--out", model, "--quiet") == 0
    assert run("predict", model, data, "--quiet") == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    data = in_file(folder, "x,y\n" + "1,a\n2,b\n" * 9)
    assert run("train", data, "--target", "y", "--epochs", 1, "--out", folder / "m.npz") == 0
    return folder / "m.npz"


CELLS = ["NA", "True", "0.10", " 7 ", "", "00012", "TRUE", 'a "b", c', "d\ne", "1e5", "null", NFD]


def test_what_is_kept_of_a_csv_file_is_spelled_as_it_was(tmp_path, model):
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["x", "k", "n"], *([1, cell, "1.50"] for cell in CELLS)])
    assert run("predict", model, tmp_path / "t.csv", "--keep", "k", "n", "x", "--out", tmp_path / "out.csv") == 0
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["k"] for row in rows] == CELLS
    assert {row["n"] for row in rows} == {"1.50"}
    assert {row["x"] for row in rows} == {"1"}


def typed():
    moment = datetime.datetime(2024, 1, 2, 3, 4, 5)
    return pa.table(
        {
            "x": pa.array([1, 2, 1], pa.int8()),
            "f": pa.array([0.1, None, float("nan")], pa.float32()),
            "b": pa.array([True, None, False]),
            "t": pa.array([moment, None, moment], pa.timestamp("ns", "UTC")),
            "d": pa.array([moment.date(), None, moment.date()]),
            "m": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("2.00")], pa.decimal128(9, 2)),
            "c": pa.array(["p", "q", None]).dictionary_encode(),
            "s": pa.array(["NA", " a ", None], pa.large_string()),
            "i": pa.array([2**63, 1, None], pa.uint64()),
        }
    )


@pytest.mark.parametrize("ending", [".parquet", ".feather", ".arrow"])
def test_what_is_kept_of_a_file_with_types_has_its_types(tmp_path, model, ending):
    import pyarrow.feather
    import pyarrow.parquet

    table, path, out = typed(), tmp_path / f"t{ending}", tmp_path / "out.parquet"
    (pyarrow.parquet.write_table if ending == ".parquet" else pyarrow.feather.write_feather)(table, path)
    assert run("predict", model, path, "--keep", *table.column_names, "--out", out) == 0
    kept = pyarrow.parquet.read_table(out).select(table.column_names)
    assert kept.schema.types == table.schema.types
    for name in table.column_names:
        assert str(kept[name].to_pylist()) == str(table[name].to_pylist())


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".npz"])
def test_typed_columns_are_kept_in_other_kinds_of_files(tmp_path, model, capsys, ending):
    import pyarrow.parquet

    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(typed(), path)
    assert run("predict", model, path, "--keep", "f", "b", "i", "m", "--out", tmp_path / f"o{ending}") == 0
    table = reading.read(tmp_path / f"o{ending}", as_text=["i", "m"])
    assert table["f"].numbers[0] == (0.1 if ending != ".npz" else float(np.float32(0.1)))
    assert table["b"].texts.tolist() == ["true", None, "false"]
    assert table["i"].texts.tolist() == [str(2**63), "1", None]
    assert table["m"].texts.tolist() == ["1.10", None, "2.00"]
    rows = as_json(capsys, "predict", model, tmp_path / "t.parquet", "--keep", "b", "i")["predictions"]
    assert (rows["b"], rows["i"]) == ([True, None, False], [2**63, 1, None])


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    import pyarrow.parquet as pq

    (tmp_path / "set" / "year=2024").mkdir(parents=True)
    (tmp_path / "set" / "year=2025").mkdir()
    pq.write_table(pa.table({"x": [1.0], "k": ["a"]}), tmp_path / "set/year=2024/1.parquet")
    pq.write_table(pa.table({"x": [2.0], "k": ["b"]}), tmp_path / "set/year=2025/1.parquet")
    assert read_as(reading.read(tmp_path / "set")) == {"x": [1.0, 2.0], "k": ["a", "b"], "year": [2024.0, 2025.0]}
    other = tmp_path / "set/year=2025/2.parquet"
    for table, message in (
        (pa.table({"x": ["text"], "k": ["b"]}), f"{other}: column 'x' holds string, but double in"),
        (pa.table({"x": [2.0]}), f"{other}: no column 'k', which"),
        (pa.table({"x": [2.0], "k": ["b"], "more": [1]}), "1.parquet: no column 'more', which"),
    ):
        pq.write_table(table, other)
        with pytest.raises(TableError) as caught:
            reading.read(tmp_path / "set")
        assert message in str(caught.value)
    other.write_bytes(b"x,y\n1,2\n")
    with pytest.raises(TableError, match=r"2\.parquet: expected a Parquet file, got another"):
        reading.read(tmp_path / "set")


def test_one_table_in_every_form_gives_the_same_inputs(tmp_path, rng):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    import pyarrow.feather
    import pyarrow.parquet

    columns = {
        "x": rng.normal(size=50), "n": rng.integers(-5, 2**40, 50), "k": rng.choice(["a", "b", "größe"], 50),
        "b": rng.random(50) < 0.5,
    }  # fmt: skip
    columns["x"][3] = np.nan
    frame = pandas.DataFrame(columns)
    table = pa.table(columns)
    frame.to_csv(tmp_path / "t.csv", index=False)
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "t.feather")
    np.savez(tmp_path / "t.npz", **columns)
    tables = [reading.read(tmp_path / f"t.{ending}") for ending in ("csv", "parquet", "feather", "npz")]
    tables += [reading.from_frame(one) for one in (frame, table)]
    if hasattr(polars.DataFrame, "__arrow_c_stream__"):  # polars 1.5, the oldest that the tests take, has it not
        tables.append(reading.from_frame(polars.DataFrame(columns)))
    code = encoding.learn(tables[0], ["k", "b"])
    for one in tables:
        learned = encoding.learn(one, ["k", "b"])
        assert [c.to_json() | {"categories": 0} for c in learned.columns] == [
            c.to_json() | {"categories": 0} for c in code.columns
        ]
        np.testing.assert_array_equal(code.encode(one)[0], code.encode(tables[0])[0])
    with pytest.raises(TableError, match="expected a frame of pandas, polars or pyarrow, got list"):
        reading.from_frame([1, 2])


def test_the_model_remembers_how_its_table_was_written(tmp_path, capsys):
    rows = "".join(f"{i}.000,5;{'ab'[i % 2]}\n! {i}\n" for i in range(1, 30))
    data, model = in_file(tmp_path, "x;y\n" + rows), tmp_path / "m.npz"
    options = ["--decimal", ",", "--thousands", ".", "--comment", "!"]
    assert run("train", data, "--target", "y", "--epochs", 1, "--out", model, "--quiet", *options) == 0
    assert len(as_json(capsys, "predict", model, data)["predictions"]["prediction"]) == 29
    assert "--thousands: expected another" in refused(capsys, "predict", model, data, "--thousands", ",")
    assert "--comment" in refused(capsys, "predict", model, data, "--comment", "")


def test_mutated_files_end_with_a_table_or_one_line(tmp_path, capsys, model, rng):
    import fuzz_tables

    assert fuzz_tables.fuzz(model, tmp_path, rng, 200, lambda *argv: (run(*argv), *capsys.readouterr())) == []


def test_a_table_of_passengers_is_still_read(tmp_path):
    assert reading.read(passengers(tmp_path)).n_rows > 100

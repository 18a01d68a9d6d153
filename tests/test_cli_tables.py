"""Tables: what is read, what becomes of it, and what is refused."""

from __future__ import annotations

import csv
import datetime
import gzip
import json

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import bpx
from bpx.tables import encoding, reading, writing
from bpx.tables.parsing import MISSING
from bpx.tables.table import Column, Table, TableError


def read(tmp_path, text, name="data.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return reading.read(path, **options)


def values(column):
    return (column.texts if column.numbers is None else column.numbers).tolist()


def test_csv_columns_are_numbers_or_text_with_gaps(tmp_path):
    table = read(tmp_path, 'a,b,"c, d"\n1, x ,True\n NA ,,FALSE\n-2.5e3,"y\nz",false\n')
    assert table.names == ["a", "b", "c, d"]
    np.testing.assert_array_equal(table["a"].numbers, [1, np.nan, -2500])
    assert values(table["b"]) == ["x", None, "y\nz"]
    assert values(table["c, d"]) == ["True", "FALSE", "false"]
    assert table["b"].missing.tolist() == [False, True, False]
    assert table.where(2) == f"{tmp_path}/data.csv, line 5"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a;b\n1;x\n2;y\n", {}),
        ("a|b\n1|x\n2|y\n", {}),
        ("a\tb\n1\tx\n2\ty\n", {}),
        ("a b\n1 x\n2 y\n", {"separator": " "}),
        ("\ufeffa,b\r\n1,x\r\n\r\n2,y\r\n", {}),
        ('"a","b"\n"1","x"\n"2","y"', {}),
        ("a,b\n1,x\n2,y\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_separators_line_ends_marks_and_encodings_give_the_same_table(tmp_path, text, options):
    table = read(tmp_path, text, **options)
    assert (table.names, values(table["a"]), values(table["b"])) == (["a", "b"], [1.0, 2.0], ["x", "y"])


def test_gzip_and_tsv_are_read_by_their_names(tmp_path):
    assert read(tmp_path, gzip.compress(b"a,b\n1,x\n"), "t.csv.gz").names == ["a", "b"]
    assert read(tmp_path, "a\tb,c\n1\t2\n", "t.tsv").names == ["a", "b,c"]


@pytest.mark.parametrize("odd_row", [0, 24_999, 25_000, 59_999])
@pytest.mark.slow
def test_a_column_whose_text_comes_late_keeps_every_cell_as_it_is_written(tmp_path, odd_row):
    cells = [f"{i % 7:03d}" for i in range(60_000)]
    cells[odd_row] = "A1"
    table = read(tmp_path, "code,n\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells)))
    assert values(table["code"]) == cells
    assert values(table["n"]) == list(range(60_000))


def test_what_python_but_no_table_calls_a_number_is_text(tmp_path):
    assert values(read(tmp_path, "a\n1_000\n2\n")["a"]) == ["1_000", "2"]


def test_numbers_that_need_python_are_read_as_python_reads_them(tmp_path):
    cells = ["+1", " 2 ", "1e400", "-inf", "٣", ".5", "1.", "NA", "nan"]
    table = read(tmp_path, "a,b\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells)))
    np.testing.assert_array_equal(table["a"].numbers, [1, 2, np.inf, -np.inf, 3, 0.5, 1, np.nan, np.nan])


def test_a_separator_is_one_ascii_character(tmp_path):
    with pytest.raises(TableError, match="--sep: expected one ASCII character, or tab, got '§'"):
        read(tmp_path, "a§b\n1§2\n", separator="§")
    with pytest.raises(TableError, match="--sep: expected one ASCII character"):
        read(tmp_path, "a,b\n1,2\n", separator="\0")


def test_two_bytes_a_letter_need_their_order(tmp_path):
    text = "a,b\n1,x\n2,y\n"
    assert read(tmp_path, text.encode("utf-16"), encoding="utf-16").n_rows == 2
    assert read(tmp_path, text.encode("utf-16-be"), encoding="utf-16-be").n_rows == 2
    with pytest.raises(TableError, match="byte order mark, got text without; give --encoding utf-16-le or utf-16-be"):
        read(tmp_path, text.encode("utf-16-le"), encoding="UTF16")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    for name in (None, "utf-8"):
        table = read(tmp_path, b"\xef\xbb\xbfa,b\n1,x\n2,y\n", encoding=name)
        assert (table.names, table.n_rows) == (["a", "b"], 2)


def test_markers_of_missing_values_can_be_numbers(tmp_path):
    table = read(tmp_path, "a,b\n-999,?\n3,x\n", missing=MISSING | {"-999", "?"})
    np.testing.assert_array_equal(table["a"].numbers, [np.nan, 3])
    assert values(table["b"]) == [None, "x"]


def test_integers_of_any_length_are_numbers(tmp_path):
    table = read(tmp_path, f"a,b\n{2**70},{'9' * 400}\n1,2\n")
    assert values(table["a"]) == [2.0**70, 1.0]
    assert values(table["b"]) == [float("inf"), 2.0]


REFUSED = {
    "ragged": ("a,b\n1,2\n3\n", "line 3: expected 2 fields, as many as there are column names, got 1; complete"),
    "too long": ("a,b\n1,2,3\n", "put quotes around a field that holds ','"),
    "duplicate": ("a,b,a\n1,2,3\n", "got 'a' for columns 1 and 3; rename one, or leave them out with --drop 'a'"),
    "empty": ("", "got an empty file"),
    "blank": ("\n \n", "got an empty file"),
    "binary": (bytes(range(256)), "got binary data"),
    "latin-1": ("a\nè\n".encode("latin-1"), "--encoding latin-1"),
    "utf-16": ("a\nb\n".encode("utf-16"), "--encoding utf-16"),
    "spreadsheet": (b"PK\x03\x04rest", "export it as CSV"),
    "parquet": (b"PAR1rest", "give it a name that ends in .parquet"),
    "gzip": (gzip.compress(b"a\n1\n"), "give it a name that ends in .gz"),
    "open quote in a name": ('a,"b\n1,2\n', "line 1: a quotation mark is not closed"),
    "open quote at the end": ('a\n"', "line 2: a quotation mark is not closed"),
    "open quote, ragged": ('a,b\n\n1,2\n\n"3,4\n5,6\n', "line 5: a quotation mark is not closed"),
    "ragged, then open quote": (
        'a,b\n1\n2,"3\n',
        "line 2: expected 2 fields, as many as there are column names, got 1",
    ),
    "NUL in a name": ("a,b" + " " * 5000 + "\0\n1,2\n3,4\n", "line 1: expected column names, got a NUL character"),
    "quotes out of order": ('a,b"\n1,2\n3,"4\n', "line 3: a quotation mark is not closed"),
    "open quote": ('a,b\n1,"' + "x" * 200_000, "line 2: a quotation mark is not closed"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_table_says_why(tmp_path, content, message):
    with pytest.raises(TableError, match="^" + str(tmp_path)) as caught:
        read(tmp_path, content)
    assert message in str(caught.value)


def test_folders_damaged_archives_and_other_endings_are_refused(tmp_path):
    for name, content, message in (
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 999)[:-9], "damaged"),
        ("t.parquet", b"no parquet", "expected a Parquet file"),
        ("t.npz", b"no npz", "expected an npz archive"),
        ("t.npz", b"PK\x03\x04", "expected an npz archive"),
        ("t.xls", b"?", "expected a name that ends in"),
    ):
        with pytest.raises(TableError, match=message):
            read(tmp_path, content, name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TableError, match="got a folder without any"):
        reading.read(tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        reading.read(tmp_path / "none.xls")


@pytest.mark.parametrize("name", ["t.npz", "t.csv.gz"])
def test_a_damaged_archive_is_refused_whichever_byte_is_wrong(name, tmp_path):
    path = tmp_path / name
    if name == "t.npz":
        np.savez_compressed(path, a=np.arange(30) ** 2 % 7)
    else:
        path.write_bytes(gzip.compress(b"a\n" + b"".join(b"%d\n" % (i**2 % 7) for i in range(30))))
    whole, messages = path.read_bytes(), []
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            reading.read(path)
        except TableError as error:
            messages.append(str(error))
    assert len(messages) > len(whole) // 2
    assert all(message.startswith(str(path)) for message in messages)


def test_npz_arrays_are_columns(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(
        path, X=np.arange(12, dtype=np.float32).reshape(2, 2, 3), y=np.array(["a", ""]), flag=np.array([True, False]),
        when=np.array(["2024-01-02", "NaT"], dtype="datetime64[D]"),
    )  # fmt: skip
    table = reading.read(path)
    assert table.names == [*(f"X_{j}" for j in range(6)), "y", "flag", "when"]
    assert values(table["X_4"]) == [4.0, 10.0]
    assert values(table["y"]) == ["a", None]
    assert values(table["flag"]) == ["true", "false"]
    assert values(table["when"])[0] == "2024-01-02"


def test_npz_of_objects_unequal_lengths_or_bpx_is_refused(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, a=np.array([1, None], dtype=object))
    with pytest.raises(TableError, match="array 'a' holds Python objects"):
        reading.read(path)
    np.savez(path, a=np.ones(3), b=np.ones(4))
    with pytest.raises(TableError, match="3 rows in 'a' and 4 in 'b'"):
        reading.read(path)
    np.savez(path, a=np.float64(1))
    with pytest.raises(TableError, match="single value in 'a'"):
        reading.read(path)
    bpx.MLP([2, 2], backend="numpy").save(path)
    with pytest.raises(TableError, match="got a model file"):
        reading.read(path)
    np.savez(path, a=np.ones(2), z=np.ones(2) * 1j)
    with pytest.raises(TableError, match="column 'z' holds complex128"):
        reading.read(path)
    assert reading.read(path, drop=["z"]).names == ["a"]


def test_parquet_columns_of_every_common_type(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    columns = {
        "i": pa.array([1, None], pa.int64()),
        "f": pa.array([1.5, float("nan")], pa.float32()),
        "d": pa.array([None, 2], pa.decimal128(5, 2)),
        "s": pa.array(["x", None]),
        "c": pa.array(["x", "NA"]).dictionary_encode(),
        "b": pa.array([True, None]),
        "t": pa.array([datetime.date(2024, 1, 2), None]),
        "n": pa.nulls(2),
        "l": pa.array([[1], [2]]),
    }
    pq.write_table(pa.table(columns), path)
    with pytest.raises(TableError, match="column 'l' holds list"):
        reading.read(path)
    table = reading.read(path, drop=["l"], as_text=["i"])
    assert values(table["i"]) == ["1", None]
    assert values(table["s"]) == ["x", None]
    assert values(table["c"]) == ["x", "NA"]  # a file that knows missing values itself means what it says
    assert values(table["b"]) == ["true", None]
    assert values(table["t"]) == ["2024-01-02", None]
    for name, expected in (("f", [1.5, np.nan]), ("d", [np.nan, 2]), ("n", [np.nan, np.nan])):
        np.testing.assert_array_equal(table[name].numbers, expected)


@pytest.mark.parametrize("ending", writing.ENDINGS)
def test_what_is_written_is_read_back(tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"t{ending}"
    columns = {
        "file": np.array(['a "b", c', None, "d\ne"], dtype=object), "x": np.array([0.1, 1 / 3, 1e300]),
        "f": np.array([0.1, 2, 3], np.float32), "k": np.array([3, -1, 2**62]),
    }  # fmt: skip
    writing.write(path, columns)
    table = reading.read(path, as_text=["k"])
    assert table.names == list(columns)
    assert values(table["file"]) == columns["file"].tolist()
    np.testing.assert_array_equal(table["x"].numbers, columns["x"])
    np.testing.assert_array_equal(table["f"].numbers.astype(np.float32), columns["f"])
    assert values(table["k"]) == ["3", "-1", str(2**62)]


def table_of(**columns):
    made = []
    for name, cells in columns.items():
        if isinstance(cells[0], str) or cells[0] is None:
            made.append(Column(name, texts=np.array(cells, dtype=object)))
        else:
            made.append(Column(name, numbers=np.array(cells, dtype=float)))
    return Table("t.csv", made, len(next(iter(columns.values()))))


def test_the_encoding_is_that_of_scikit_learns_pipeline(rng):
    pd = pytest.importorskip("pandas")
    n = 200
    x, k = rng.normal(50, 9, n), rng.choice(["a", "b", "c", ""], n)
    x[rng.random(n) < 0.2] = np.nan
    frame = pd.DataFrame({"x": x, "k": k})
    transformer = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["x"]), (OneHotEncoder(), ["k"])
    )
    theirs = np.asarray(transformer.fit_transform(frame))
    table = table_of(x=x.tolist(), k=[cell or None for cell in k.tolist()])
    code = encoding.learn(table, ["k"])
    ours, unseen = code.encode(table)
    assert code.inputs == ["x", "k=a", "k=b", "k=c", "k missing"]
    np.testing.assert_allclose(ours, theirs[:, [0, 2, 3, 4, 1]], rtol=0, atol=1e-13)
    assert not unseen.categories
    assert not unseen.missing


def test_an_encoding_survives_json_to_the_last_bit(rng):
    table = table_of(x=rng.normal(size=9).tolist(), k=list("abcabcaab"))
    code = encoding.learn(table, ["k"])
    again = encoding.Encoding.from_json(json.loads(json.dumps(code.to_json())))
    np.testing.assert_array_equal(again.encode(table)[0], code.encode(table)[0])


def test_unseen_categories_and_values_are_handled_and_counted():
    code = encoding.learn(table_of(x=[1.0, 3.0], k=["a", "b"]), ["k"])
    X, unseen = code.encode(table_of(k=["b", "z", None], x=[2.0, float("nan"), 2.0]))
    np.testing.assert_array_equal(X, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert unseen.categories == {"k": 1}
    assert unseen.examples == {"k": "z"}
    assert unseen.missing == {"x": 1, "k": 1}


def test_rare_categories_share_an_input_with_those_never_seen():
    code = encoding.learn(table_of(k=["a", "a", "b", "b", "c", None]), ["k"], max_categories=2)
    assert code.inputs == ["k=a", "k=b", "k missing", "k other"]
    X, unseen = code.encode(table_of(k=["c", "new", None, "b"]))
    assert X.argmax(axis=1).tolist() == [3, 3, 2, 1]
    assert not unseen.categories


def test_another_spelling_of_a_number_is_the_same_category_unless_both_were_there():
    code = encoding.learn(table_of(k=["1", "2"]), ["k"])
    assert code.encode(table_of(k=["1.0", "02", "2.5"]))[0].tolist() == [[1, 0], [0, 1], [0, 0]]
    code = encoding.learn(table_of(k=["1.0", "2.0"]), ["k"])
    assert code.encode(table_of(k=["1", "02"]))[0].tolist() == [[1, 0], [0, 1]]
    code = encoding.learn(table_of(k=["01", "1"]), ["k"])
    assert code.encode(table_of(k=["1", "01"]))[0].tolist() == [[0, 1], [1, 0]]


def test_numbers_near_the_largest_are_standardised_without_overflow():
    X, _ = encoding.learn(table_of(x=[1e308, -1e308, 5e307]), []).encode(table_of(x=[1e308, -1e308]))
    assert np.all(np.abs(X) < 2)


def test_missing_columns_are_named_with_what_was_meant():
    code = encoding.learn(table_of(Age=[1.0, 3.0], k=["a", "b"]), ["k"])
    with pytest.raises(TableError, match=r"^t\.csv: no column 'Age', which .* did you mean 'age'\?$"):
        code.encode(table_of(age=[1.0], k=["a"]))
    with pytest.raises(TableError, match=r"^t\.csv: no columns 'Age', 'k', which .* it has 'x'$"):
        code.encode(table_of(x=[1.0]))


def test_text_where_training_had_numbers_is_refused_with_its_place():
    code = encoding.learn(table_of(x=[1.0, 3.0]), [])
    assert code.encode(table_of(x=["2", None]))[0].tolist() == [[0], [0]]
    with pytest.raises(TableError, match=r"^t\.csv, row 2: column 'x' held numbers in training, got 'abc'"):
        code.encode(table_of(x=["2", "abc"]))


@pytest.mark.parametrize(
    "entries",
    [
        None, [], [1], [{}], [{"kind": "number", "name": "x"}],
        [{"kind": "number", "name": "x", "median": 0, "mean": 0, "scale": 0, "had_missing": False}],
        [{"kind": "number", "name": "x", "median": 0, "mean": "0", "scale": 1, "had_missing": False}],
        [{"kind": "category", "name": "x", "categories": [1], "missing": False, "other": False}],
        [{"kind": "other", "name": "x", "categories": [], "missing": False, "other": False}],
    ],
)  # fmt: skip
def test_an_encoding_that_makes_no_sense_is_refused(entries):
    with pytest.raises(bpx.FileFormatError):
        encoding.Encoding.from_json(entries)


def test_a_long_field_is_read_and_an_open_quotation_mark_still_found(tmp_path):
    long, before = "a" * 300_000, csv.field_size_limit()
    data = tmp_path / "t.csv"
    data.write_text(f'x,y\n1,{long}\n2,"b\nb"\n')
    assert reading.read(data)["y"].texts.tolist() == [long, "b\nb"]
    assert csv.field_size_limit() == before
    data.write_text('x,y\n1,a\n2,"b\n3,c\n4,d\n')  # as wide as its line, so that only its end tells
    with pytest.raises(TableError, match="line 3: a quotation mark is not closed"):
        reading.read(data)
    data.write_text('x\n1\n"2\n')
    with pytest.raises(TableError, match="line 3: a quotation mark is not closed"):
        reading.read(data)

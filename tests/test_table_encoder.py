"""`bpx.TableEncoder`: what a table's columns become, and scikit-learn's conventions."""

from __future__ import annotations

import json
import pickle
import warnings
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import bpx
from bpx.errors import FileFormatError
from bpx.tables import encoding
from bpx.tables.encoding import Encoding
from bpx.tables.table import Column, Table

LARGEST = np.finfo(np.float64).max


@parametrize_with_checks([bpx.TableEncoder(numbers) for numbers in ("piecewise", "standard")])
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


def columns(rng: np.random.Generator, n: int = 300) -> dict[str, list[Any]]:
    """A table with missing values: real, skewed, few and two numbers, a constant, and three kinds of categories."""
    skewed, real = np.exp(3 * rng.normal(size=n)), rng.normal(50.0, 9.0, n).tolist()
    some, towns = rng.random(n) < 0.1, rng.choice(["Köln", "Ulm", "Bern"], n).tolist()
    return {
        "real": [None if lost else value for value, lost in zip(real, some, strict=True)],
        "skewed": skewed.tolist(),
        "few": rng.integers(0, 4, n).tolist(),
        "two": rng.integers(5, 7, n).tolist(),
        "constant": [3.5] * n,
        "town": [None if lost else town for town, lost in zip(towns, some, strict=True)],
        "sex": rng.choice(["f", "m"], n).tolist(),
        "member": (rng.random(n) < 0.3).tolist(),
    }  # fmt: skip


def expected(table: dict[str, list[Any]], bins: int) -> np.ndarray[Any, Any]:
    """The inputs in plain steps, float64."""
    out: list[Any] = []
    for cells in table.values():
        missing = np.array([cell is None for cell in cells])
        if isinstance(cells[0], (str, bool)):
            kinds = sorted({cell for cell in cells if cell is not None})
            if len(kinds) == 2:
                out += [[0 if c is None else 1 if c == kinds[1] else -1 for c in cells]]
            else:
                out += [[c == kind for c in cells] for kind in kinds]
        else:
            v = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
            known = v[~missing]
            v[missing] = np.median(known)
            out.append((v - v.mean()) / (v.std() or 1.0))
            if len(set(known.tolist())) > 2:
                edges = sorted({float(np.quantile(known, j / bins)) for j in range(bins + 1)})
                out += [np.clip((v - lo) / (hi - lo), 0, 1) - 0.5 for lo, hi in pairwise(edges)]
        if missing.any():
            out.append(missing)
    return np.array(out, dtype=np.float64).T


def test_the_inputs_are_those_of_the_formulas(rng):
    pd = pytest.importorskip("pandas")
    table = columns(rng)
    for bins in (24, 5):
        encoder = bpx.TableEncoder(bins=bins, dtype="float64").fit(pd.DataFrame(table))
        ours, theirs = encoder.transform(pd.DataFrame(table)), expected(table, bins)
        assert ours.shape == theirs.shape == (300, len(encoder.get_feature_names_out()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
        single = bpx.TableEncoder(bins=bins).fit_transform(pd.DataFrame(table))
        assert single.dtype == np.float32
        np.testing.assert_array_equal(single, ours.astype(np.float32))
    names = encoder.get_feature_names_out().tolist()
    assert names[:7] == ["real", *(f"real bin {j}" for j in range(1, 6)), "real missing"]
    assert names[-8:] == [
        "two", "constant", "town=Bern", "town=Köln", "town=Ulm", "town missing", "sex=m", "member=true"
    ]  # fmt: skip


def test_standard_inputs_are_those_of_scikit_learns_pipeline_and_of_bpx_train(rng):
    pd = pytest.importorskip("pandas")
    table = columns(rng)
    frame = pd.DataFrame({name: table[name] for name in ("real", "skewed", "two", "town", "sex")})
    frame["town"] = frame["town"].fillna("~")
    transformer = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["real", "skewed", "two"]),
        (OneHotEncoder(), ["town", "sex"]),
    )
    encoder = bpx.TableEncoder("standard", dtype="float64")
    ours = encoder.fit_transform(frame)
    np.testing.assert_allclose(ours, np.asarray(transformer.fit_transform(frame)), rtol=0, atol=1e-12)
    made = [Column(one, numbers=frame[one].to_numpy(np.float64)) for one in ("real", "skewed", "two")]
    made += [Column(one, texts=frame[one].to_numpy(object)) for one in ("town", "sex")]
    code = encoding.learn(Table("t", made, len(frame)), ["town", "sex"])
    assert code.to_json() == encoder.encoding_.to_json()
    np.testing.assert_array_equal(code.encode(Table("t", made, len(frame)))[0], ours)


FRAMES = {
    "pandas": lambda t: pytest.importorskip("pandas").DataFrame(t),
    "pandas, nullable": lambda t: pytest.importorskip("pandas").DataFrame(t).convert_dtypes(),
    "pandas, of arrow": lambda t: (
        pytest.importorskip("pandas").DataFrame(t).convert_dtypes(dtype_backend=pytest.importorskip("pyarrow").__name__)
    ),
    "pandas, category": lambda t: pytest.importorskip("pandas").DataFrame(t).astype({"town": "category"}),
    "polars": lambda t: pytest.importorskip("polars").DataFrame(t),
    "polars, categorical": lambda t: (
        pytest.importorskip("polars")
        .DataFrame(t)
        .with_columns(pytest.importorskip("polars").col("sex").cast(pytest.importorskip("polars").Categorical))
    ),
    "pyarrow": lambda t: pytest.importorskip("pyarrow").table(t),
    "pyarrow, batch": lambda t: pytest.importorskip("pyarrow").RecordBatch.from_pydict(t),
    "arrow's protocol": lambda t: Exported(pytest.importorskip("pyarrow").table(t)),
    "objects": lambda t: np.array(list(t.values()), dtype=object).T,
}


class Exported:
    """A frame of a library that bpx does not know."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("numbers", ["piecewise", "standard"])
@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_gives_the_same_inputs_bitwise(kind, numbers, rng):
    table = columns(rng)
    encoder = bpx.TableEncoder(numbers).fit(FRAMES["pandas"](table))
    frame = FRAMES[kind](table)
    other = bpx.TableEncoder(numbers)
    inputs = other.fit_transform(frame)
    assert inputs.tobytes() == encoder.transform(FRAMES["pandas"](table)).tobytes()
    wanted = encoder.get_feature_names_out()
    given = None if hasattr(other, "feature_names_in_") else list(table)
    assert other.get_feature_names_out(given).tolist() == wanted.tolist()


def test_numbers_of_an_array_are_those_of_lists_of_objects_and_of_other_types():
    X = np.array([[1, 2], [3, 5], [4, 5], [9, 7]])
    wanted = bpx.TableEncoder().fit_transform(X)
    for other in (X.tolist(), X.astype(object), X.astype(np.float32), X.astype(np.int8), np.asfortranarray(X)):
        np.testing.assert_array_equal(bpx.TableEncoder().fit_transform(other), wanted)
    decimals = np.array([[Decimal(int(one)) for one in row] for row in X], dtype=object)
    np.testing.assert_array_equal(bpx.TableEncoder().fit_transform(decimals), wanted)


# ---------------------------------------------------------------------- bins


def test_where_inputs_would_be_too_many_all_columns_get_fewer_bins(rng):
    X = rng.normal(size=(500, 40))
    X[0, 0] = np.nan
    for most, bins in ((1001, 24), (1000, 23), (600, 13), (81, 1), (80, 0), (1, 0)):
        width = bpx.TableEncoder(max_inputs=most).fit(X).transform(X[1:]).shape[1]
        assert width == 41 + 40 * bins
    assert bpx.TableEncoder(bins=0).fit_transform(X).shape[1] == 41


@pytest.mark.filterwarnings("ignore:X. column.*are missing")
@pytest.mark.parametrize(
    ("values", "bins"),
    [
        ([2.0, 2.0, 2.0], 0), ([2.0, 3.0, 3.0], 0), ([np.nan, np.nan, np.nan], 0), ([0.0, -0.0, 1.0], 0),
        ([0.0] * 30 + [1.0, 2.0], 2), ([1.0, 2.0, 3.0], 24), ([-LARGEST, 0.0, LARGEST], 24),
        ([5e-324, 1e-323, 1.5e-323], 2), ([-LARGEST, 1.0, 1.0, 1.0, 1.0, LARGEST], 15),
        ([1e308, 1.1e308, -1.7e308], 24), ([1e16, 1e16 + 2, 1e16 + 4], 2),
    ],
)  # fmt: skip
def test_odd_columns_have_finite_inputs(values, bins):
    X = np.array(values)[:, None]
    with np.errstate(all="raise"):
        encoder = bpx.TableEncoder(dtype="float64").fit(X)
        inputs = encoder.transform(np.concatenate([X, [[np.nan]]]))
    edges = getattr(encoder.encoding_.columns[0], "edges", ())
    assert max(len(edges) - 1, 0) == bins or bins >= 15
    assert np.all(np.isfinite(inputs))
    shown = inputs[:, 1 : len(edges)]
    assert np.all(np.abs(shown) <= 0.5)
    if bins:
        known = X[~np.isnan(X)]
        np.testing.assert_array_equal(shown[np.argmin(known)], -0.5)
        np.testing.assert_array_equal(shown[np.argmax(known)], 0.5)


def test_a_bin_rises_from_one_quantile_to_the_next():
    encoder = bpx.TableEncoder(bins=2).fit(np.array([[0.0], [2.0], [10.0]]))
    got = encoder.transform(np.array([[-5.0], [0.0], [0.5], [2.0], [4.0], [10.0], [99.0]]))[:, 1:]
    wanted = [[-0.5, -0.5], [-0.5, -0.5], [-0.25, -0.5], [0.5, -0.5], [0.5, -0.25], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_array_equal(got, wanted)


def test_rows_are_encoded_alike_alone_and_in_blocks(rng):
    X = rng.normal(size=(9000, 3))
    encoder = bpx.TableEncoder().fit(X)
    whole = encoder.transform(X)
    np.testing.assert_array_equal(np.concatenate([encoder.transform(X[:5000]), encoder.transform(X[5000:])]), whole)
    np.testing.assert_array_equal(encoder.transform(X[8999:]), whole[8999:])


# ---------------------------------------------------------------------- missing values and categories


def test_what_fit_did_not_have_is_said():
    encoder = bpx.TableEncoder().fit(np.array([[1.0, "a"], [2.0, "b"], [4.0, "c"], [4.0, "c"]], dtype=object))
    with pytest.warns(UserWarning, match="X: column") as caught:
        row = encoder.transform(np.array([[None, "z"], [2.0, None]], dtype=object))
    said = sorted(str(one.message) for one in caught)
    assert said[0].startswith("X: column 'x0': 1 of 2 values are missing, and none was in fit; the median stands")
    assert said[1].startswith("X: column 'x1': 1 of 2 rows have a category that fit did not have, such as 'z'")
    assert said[2].startswith("X: column 'x1': 1 of 2 values are missing, and none was in fit; its inputs are 0")
    np.testing.assert_array_equal(row[:, -3:], 0)


def test_rare_categories_share_an_input(recwarn):
    X = np.array([["a"], ["a"], ["b"], ["b"], ["c"], ["d"]])
    encoder = bpx.TableEncoder(max_categories=2).fit(X)
    assert encoder.get_feature_names_out().tolist() == ["x0=a", "x0=b", "x0 other"]
    np.testing.assert_array_equal(encoder.transform([["new"], ["d"]]), [[0, 0, 1], [0, 0, 1]])
    assert not recwarn


@pytest.mark.parametrize(
    "categorical",
    [["zip"], [0], [-2], np.array([True, False]), [True, False], lambda X: ["zip"],
     make_column_selector(dtype_include="int64")],
)  # fmt: skip
def test_numbers_are_categories_where_that_is_said(categorical):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"zip": [50667, 89073, 50667, 1000], "x": [1.0, 2.0, 3.0, 4.0]})
    encoder = clone(bpx.TableEncoder(categorical=categorical)).fit(frame)
    assert encoder.get_feature_names_out()[:3].tolist() == ["zip=1000", "zip=50667", "zip=89073"]
    again = encoder.transform(frame.astype({"zip": float}))
    np.testing.assert_array_equal(again, encoder.transform(frame))


def test_a_type_of_categories_is_enough():
    pd = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"k": pd.Categorical([3, 1, 2, 1])})
    dictionary = pa.table({"k": pa.array([3, 1, 2, 1]).dictionary_encode()})
    for data in (frame, dictionary):
        assert bpx.TableEncoder().fit(data).get_feature_names_out().tolist() == ["k=1", "k=2", "k=3"]


# ---------------------------------------------------------------------- refusals


def frame(**of):
    return pytest.importorskip("pandas").DataFrame(of)


REFUSED = {
    "infinite": (lambda: [[1.0], [np.inf]], "column 'x0', row 1 .counted from 0.: expected finite numbers or NaN"),
    "infinite in a frame": (lambda: frame(a=[1.0, -np.inf]), "column 'a', row 1 .*expected finite"),
    "a huge integer": (lambda: np.array([[10**400], [1]], dtype=object), "far too large"),
    "sparse": (lambda: pytest.importorskip("scipy.sparse").csr_array(np.eye(3)), "Sparse data was passed"),
    "dates": (lambda: frame(a=np.array(["2020-01-01"], dtype="M8[s]")), "dates or times in column 'a'"),
    "an object": (lambda: np.array([[{}], [1]], dtype=object), "must be a string or a number, got {}"),
    "a list": (lambda: frame(a=[[1], [2]]), "column 'a'.*must be a string or a number"),
    "complex": (lambda: np.eye(2) * 1j, "Complex data not supported"),
    "no rows": (lambda: frame(a=[]), "at least one row"),
    "no columns": (lambda: frame(a=[1])[[]], "at least one column"),
    "equal names": (
        lambda: frame(a=[1], b=[2]).set_axis(["a", "a"], axis=1),
        "got 'a' for columns 1 and 2; rename one",
    ),
    "one dimension": (lambda: np.arange(3.0), "Reshape your data"),
    "lazy": (lambda: pytest.importorskip("polars").LazyFrame({"a": [1]}), r"give X.collect\(\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case):
    make, message = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message):
        bpx.TableEncoder().fit(make())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"numbers": "no"}, "numbers"), ({"bins": -1}, "bins"), ({"bins": 2.5}, "bins"), ({"max_inputs": 0}, "inputs"),
        ({"max_categories": 0}, "max_categories"), ({"dtype": "float16"}, "dtype"), ({"categorical": 5}, "categorical"),
        ({"categorical": ["no"]}, "X, which has 'x0', 'x1', got 'no'"), ({"categorical": [2]}, "got 2"),
        ({"categorical": [1.5]}, "got 1.5"), ({"categorical": [True]}, "a mask of 2 columns, got one of 1"),
        ({"categorical": lambda X: "x0"}, r"a list of columns, got 'x0'; give \['x0'\]"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        bpx.TableEncoder(**params).fit(np.eye(2))


def test_transform_refuses_other_columns_and_text_for_numbers():
    encoder = bpx.TableEncoder().fit(frame(a=[1.0, 2.0, 3.0], b=["x", "y", "x"]))
    with pytest.raises(ValueError, match="held numbers in fit, got 'old'"):
        encoder.transform(frame(a=["old"], b=["x"]))
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(frame(b=["x"], a=[1.0]))
    with pytest.raises(ValueError, match=r"row 0 .*expected finite"):
        encoder.transform(frame(a=[np.inf], b=["x"]))
    with pytest.raises(ValueError, match=r"'a', row 1 .*too far from those of fit to be an input of float32"):
        encoder.transform(frame(a=[2.0, 1e39], b=["x", "x"]))
    with pytest.raises(NotFittedError):
        bpx.TableEncoder().transform([[1.0]])


# ---------------------------------------------------------------------- with scikit-learn, and in files


def test_it_works_in_pipelines_transformers_and_pickles(rng):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(columns(rng))
    y = (X["skewed"] > 1) ^ (X["sex"] == "m")
    net = bpx.MLPClassifier((16,), max_iter=60, random_state=0, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(bpx.TableEncoder(), net).fit(X, y)
    assert model.score(X, y) > 0.8
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    whole = make_column_transformer((bpx.TableEncoder(), ["real", "town"]), remainder="drop").fit(X)
    assert whole.get_feature_names_out()[0] == "tableencoder__real"


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_names_the_inputs(library, rng):
    pytest.importorskip(library)
    X = FRAMES["pandas"](columns(rng))
    encoder = bpx.TableEncoder()
    plain = encoder.fit_transform(X)
    out = encoder.set_output(transform=library).fit_transform(X)
    assert list(out.columns) == encoder.get_feature_names_out().tolist()
    np.testing.assert_array_equal(np.asarray(out), plain)


def table_of(rng: np.random.Generator) -> Table:
    made = columns(rng)
    texts = ("town", "sex")
    return Table("t.csv", [
        Column(name, texts=np.array(cells, dtype=object)) if name in texts
        else Column(name, numbers=np.array(cells, dtype=np.float64))
        for name, cells in made.items() if name != "member"
    ], 300)  # fmt: skip


def test_an_encoding_with_bins_survives_json_to_the_last_bit(rng):
    table = table_of(rng)
    code = encoding.learn(table, ["town", "sex"], bins=24)
    text = json.dumps(code.to_json())
    again = Encoding.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.inputs == code.inputs
    assert again.as_text == ["town", "sex"]
    np.testing.assert_array_equal(again.encode(table)[0], code.encode(table)[0])


GOOD = {"kind": "piecewise", "name": "x", "median": 0.0, "mean": 0.0, "scale": 1.0, "had_missing": False,
        "edges": [0, 1]}  # fmt: skip
PAIR = {"kind": "pair", "name": "x", "categories": ["a", "b"], "missing": False}


@pytest.mark.parametrize(
    "entry",
    [
        *(GOOD | {"edges": edges} for edges in ([1], [1, 1], [2, 1], [0, float("inf")], ["a", "b"], None, 5, {})),
        *(GOOD | {name: None} for name in GOOD), GOOD | {"scale": 0}, GOOD | {"more": 1},
        {name: value for name, value in GOOD.items() if name != "edges"},
        *(PAIR | {"categories": some} for some in (["a"], ["a", "a"], ["a", 1], ["a", "b", "c"], "ab", None)),
        *(PAIR | {name: None} for name in PAIR), PAIR | {"more": 1},
        {"kind": "no"}, {"kind": ["pair"]}, {}, 5, None, "pair",
    ],
)  # fmt: skip
def test_an_entry_that_makes_no_sense_is_refused(entry):
    assert len(Encoding.from_json([GOOD, PAIR]).inputs) == 3
    with pytest.raises(FileFormatError):
        Encoding.from_json([entry])

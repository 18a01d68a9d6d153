"""`TableEncoder`: a table's columns as inputs of a network, as a transformer of scikit-learn's kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from bpx.errors import warn_caller
from bpx.estimators.frame_columns import HostArray, as_frame, column_of, frame_column
from bpx.network.data_frames import check_in_memory, check_no_dates, column_names
from bpx.tables import encoding
from bpx.tables.table import Table, listed, refuse_equal_names

Categorical = Sequence[str] | Sequence[int] | Sequence[bool] | Callable[[Any], Any] | None


@final
class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns columns of numbers and of categories into the inputs of a network.

    A number x becomes ``(x - mean) / scale``, with mean and standard deviation of the rows of `fit`; the median stands
    for a missing one. With ``numbers="piecewise"`` there are beside it up to `bins` inputs

        clip((x - lo) / (hi - lo), 0, 1) - 0.5,

    one for each pair lo < hi of neighbouring different ones of the ``bins + 1`` quantiles of the column's known
    numbers, and one that is 1 for a missing number and else 0, if `fit` had missing ones. A column of one or two
    different numbers has no bins.

    A column of categories becomes one input for each, 1 or 0, then one for missing values, if there were any in `fit`,
    and one for all others if it has more than `max_categories`. With ``numbers="piecewise"`` two categories are one
    input of -1 and 1. Which columns hold categories: those of text, booleans, and pandas' ``category`` and its like in
    polars and pyarrow; columns of objects, unless all of them are numbers; and what `categorical` names.

    Parameters
    ----------
    numbers : {"piecewise", "standard"}, default="piecewise"
        What numbers become; "standard" is the standardised number alone, and an input for each category, which is what
        ``bpx train`` does.
    bins : int, default=24
        Largest number of piecewise-linear inputs of a column.
    max_inputs : int, default=600
        Where there would be more inputs, all columns get fewer bins, if need be none; other inputs stay.
    max_categories : int, default=100
        The commonest categories of a column, this many, get an input each.
    categorical : sequence of str, int or bool, or callable, default=None
        Further columns that hold categories, such as postcodes: their names, their places or a mask; or a function that
        is called with X and returns these, such as scikit-learn's ``make_column_selector``.
    dtype : {"float32", "float64"}, default="float32"
        Of the inputs; they are computed in float64 and rounded once.

    Attributes
    ----------
    encoding_ : Encoding
        What was learned: ``encoding_.to_json()`` is plain JSON, ``encoding_.inputs`` the inputs' names.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        The columns' names, if all of them are strings.

    See Also
    --------
    MLPClassifier : A network for what this makes of a table.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
    equation 1, here centred.

    Examples
    --------
    >>> import bpx
    >>> encoder = bpx.TableEncoder(bins=2, dtype="float64").fit([[1.0, "a"], [2.0, "b"], [4.0, "b"]])
    >>> encoder.get_feature_names_out().tolist()
    ['x0', 'x0 bin 1', 'x0 bin 2', 'x1=b']
    >>> encoder.transform([[3.0, "a"]]).round(2).tolist()
    [[0.53, 0.5, 0.0, -1.0]]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "numbers": [StrOptions({"piecewise", "standard"})],
        "bins": [Interval(Integral, 0, None, closed="left")],
        "max_inputs": [Interval(Integral, 1, None, closed="left")],
        "max_categories": [Interval(Integral, 1, None, closed="left")],
        "categorical": ["array-like", callable, None],
        "dtype": [StrOptions({"float32", "float64"})],
    }

    def __init__(
        self,
        numbers: Literal["piecewise", "standard"] = "piecewise",
        *,
        bins: int = 24,
        max_inputs: int = 600,
        max_categories: int = 100,
        categorical: Categorical = None,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.numbers = numbers
        self.bins = bins
        self.max_inputs = max_inputs
        self.max_categories = max_categories
        self.categorical = categorical
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what the columns become.

        Parameters
        ----------
        X : data frame or array-like of shape (n, n_features)
            A frame of pandas, polars, pyarrow, or with Arrow's or the data frame interchange protocol (these need
            pyarrow); or an array of numbers, text or objects. None and NaN are missing values.
        y : ignored
            For scikit-learn's pipelines.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For infinite numbers, columns with one name, or a name or place in `categorical` that X does not have.
        TypeError
            For sparse data, dates and other objects.
        """
        del y
        names, columns = self._columns(X, reset=True)
        chosen = self._chosen(X, names)
        made = [column_of(name, values, own or name in chosen) for name, (values, own) in columns.items()]
        table = Table("X", made, len(next(iter(columns.values()))[0]))
        bins = self.bins if self.numbers == "piecewise" else None
        with np.errstate(all="ignore"):
            self.encoding_ = encoding.learn(
                table, {column.name for column in made if column.texts is not None}, bins=bins,
                max_inputs=self.max_inputs, max_categories=self.max_categories,
            )  # fmt: skip
        return self

    def transform(self, X: Any) -> HostArray:
        """The inputs that the columns become.

        A category that `fit` did not have is among the others, if there is an input for these; else all inputs of the
        column are 0. That, and a missing value where `fit` had none, is said in a warning.

        Parameters
        ----------
        X : data frame or array-like of shape (n, n_features)
            With the columns of `fit`.

        Returns
        -------
        ndarray of shape (n, n_inputs)
            In `dtype`; of the library that ``set_output`` chooses.

        Raises
        ------
        ValueError
            For infinite numbers and such as are infinite in `dtype` when standardised, text where `fit` had numbers,
            or other columns than in `fit`.
        TypeError
            For sparse data, dates and other objects.
        """
        check_is_fitted(self)
        _, columns = self._columns(X, reset=False)
        as_text = set(self.encoding_.as_text)
        made = [column_of(name, values, name in as_text) for name, (values, _) in columns.items()]
        for column in made:
            if column.texts is not None and column.name not in as_text:
                got = next(text for text in column.texts.tolist() if text is not None)
                raise ValueError(
                    f"X: column {column.name!r} held numbers in fit, got {got!r:.60}; make numbers of it, or fit anew"
                )
        with np.errstate(all="ignore"):
            inputs, unseen = self.encoding_.encode(Table("X", made, len(next(iter(columns.values()))[0])), self.dtype)
        self._refuse_too_large(inputs)
        for name, count in unseen.categories.items():
            warn_caller(
                f"X: column {name!r}: {count} of {len(inputs)} rows have a category that fit did not have, such as"
                f" {unseen.examples[name]!r:.60}; its inputs are 0 there",
                UserWarning,
            )
        for name, count in unseen.missing.items():
            instead = "its inputs are 0 there" if name in as_text else "the median stands for them"
            warn_caller(
                f"X: column {name!r}: {count} of {len(inputs)} values are missing, and none was in fit; {instead}",
                UserWarning,
            )
        return inputs

    def get_feature_names_out(self, input_features: Any = None) -> HostArray:
        """Names of the inputs, such as ``age``, ``age bin 3``, ``age missing`` and ``sex=female``.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns, where `fit` had none; else they have to be those of `fit`.

        Returns
        -------
        ndarray of str objects of shape (n_inputs,)
            In the order of `transform`'s columns.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        pairs = zip(names, self.encoding_.columns, strict=True)
        return np.array([str(name) + one.removeprefix(c.name) for name, c in pairs for one in c.inputs], dtype=object)

    def _columns(self, X: Any, reset: bool) -> tuple[list[str], dict[str, tuple[HostArray, bool]]]:
        """The names of the columns, and each one's values and whether its type says that it holds categories."""
        check_in_memory(X, "X")
        X = as_frame(X)
        given = column_names(X)
        if given is None:
            check_no_dates(X, "X")
            if isinstance(X, (list, tuple)) and np.asarray(X).dtype.kind in "US":
                X = np.array(X, dtype=object)  # where numbers stand beside text they stay numbers
            X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
            columns = [(X[:, i], X.dtype.kind in "bUS") for i in range(X.shape[1])]
        else:
            if 0 in X.shape:
                what = "row" if X.shape[0] == 0 else "column"
                raise ValueError(f"X: expected a frame with at least one {what}, got the shape {tuple(X.shape)}")
            refuse_equal_names(given, "X")
            check_no_dates(X, "X")
            validate_data(self, X, reset=reset, skip_check_array=True)
            columns = [frame_column(X, i) for i in range(X.shape[1])]
        names = [str(name) for name in getattr(self, "feature_names_in_", [f"x{i}" for i in range(len(columns))])]
        return names, dict(zip(names, columns, strict=True))

    def _refuse_too_large(self, inputs: HostArray) -> None:
        """ValueError where a number is so far from the mean that its input is infinite in the dtype."""
        place = 0
        for column in self.encoding_.columns:
            if np.any(infinite := np.isinf(inputs[:, place])):
                raise ValueError(
                    f"X: column {column.name!r}, row {int(np.argmax(infinite))} (counted from 0): the number is too far"
                    f" from those of fit to be an input of {self.dtype}; mend it, or make it NaN"
                )
            place += len(column.inputs)

    def _chosen(self, X: Any, names: list[str]) -> set[str]:
        """The names of the columns that `categorical` says."""
        given = self.categorical(X) if callable(self.categorical) else self.categorical
        if given is None:
            return set()
        if isinstance(given, str):
            raise ValueError(f"categorical: expected a list of columns, got {given!r}; give [{given!r}]")
        chosen = [one.item() if isinstance(one, np.generic) else one for one in given]
        if chosen and all(isinstance(one, bool) for one in chosen):
            if len(chosen) != len(names):
                raise ValueError(f"categorical: expected a mask of {len(names)} columns, got one of {len(chosen)}")
            return {name for name, one in zip(names, chosen, strict=True) if one}
        found = set()
        for one in chosen:
            if isinstance(one, str) and one in names:
                found.add(one)
            elif type(one) is int and -len(names) <= one < len(names):
                found.add(names[one])
            else:
                raise ValueError(f"categorical: expected columns of X, which has {listed(names)}, got {one!r:.60}")
        return found

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's checks and pipelines may expect."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags

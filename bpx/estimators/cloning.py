"""A clone as scikit-learn makes one, of an estimator with parameters that have no copy."""

from __future__ import annotations

from typing import Any, final

from sklearn.base import BaseEstimator

__all__ = ["clone_sharing"]


def clone_sharing(estimator: BaseEstimator, names: tuple[str, ...]) -> Any:
    """A new estimator from ``get_params``, as scikit-learn's clone, that shares the parameters of these names."""
    return BaseEstimator.__sklearn_clone__(_Sharing(estimator, names))


@final
class _Sharing:
    """An estimator, to scikit-learn's clone, some of whose parameters are their own clones."""

    def __init__(self, estimator: Any, names: tuple[str, ...]) -> None:
        self._estimator, self._names = estimator, names

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._estimator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._estimator, name)

    def __repr__(self) -> str:
        return repr(self._estimator)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The estimator's own."""
        params = self._estimator.get_params(deep=deep)
        return {name: _Shared(value) if name in self._names else value for name, value in params.items()}


@final
class _Shared:
    """What scikit-learn's clone takes as it is."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __sklearn_clone__(self) -> Any:
        return self._value

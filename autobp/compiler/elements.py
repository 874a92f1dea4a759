"""What a function is given while it is traced: lists of Values that are read as arrays are, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from autobp.compiler.place import callers_place

_item = list.__getitem__


class Elements(list[Any]):
    """An argument of a traced function: a list that refuses arithmetic, and says what to write.

    An array multiplies and adds element by element, where a list is repeated and joined: one function would
    mean two things, and neither would tell. Its slices and copies are such lists too; all else is a list's.
    """

    __slots__ = ()

    def __mul__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else _refuse_product()

    def __add__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else _refuse_sum()

    __rmul__ = __imul__ = __mul__
    __radd__ = __iadd__ = __add__

    def __sub__(self, other: Any) -> Any:
        # NumPy's own numbers take a list for an array
        return NotImplemented if isinstance(other, np.ndarray | np.generic) else _refuse_arithmetic()

    __rsub__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __mod__ = __rmod__ = __sub__

    def __neg__(self) -> NoReturn:
        _refuse_arithmetic()

    def __getitem__(self, index: Any) -> Any:
        found = _item(self, index)
        return Elements(found) if type(found) is list else found

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        # NumPy's integers repeat a list, whichever side they stand on
        if ufunc is np.multiply and any(isinstance(x, np.integer | np.bool_) for x in inputs):
            _refuse_product()
        arrays = [np.array(x) if isinstance(x, Elements) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.ndarray, name) and not name.startswith("_"):
            called = "()" if callable(getattr(np.ndarray, name)) else ""
            raise AttributeError(
                f"{callers_place()} asks an argument for .{name}, which is a list of Values while the "
                f"function is traced; write np.array(x).{name}{called}"
            )
        raise AttributeError(f"a list has no attribute {name!r}")

    def copy(self) -> Elements:
        return Elements(self)


def nested(array: np.ndarray[Any, Any], wrap: Callable[[float], Any]) -> Any:
    """An array as a scalar, or as nested :class:`Elements`, each number wrapped."""
    if array.ndim == 0:
        return wrap(float(array))
    return Elements([nested(row, wrap) for row in array])


def _refuse_product() -> NoReturn:
    raise TypeError(
        f"{callers_place()} multiplies an argument, which is a list of Values while the function is traced: "
        "a list would be repeated where an array is multiplied element by element; write np.array(x) * 2 to "
        "multiply, and [*x, *x] to repeat"
    )


def _refuse_arithmetic() -> NoReturn:
    raise TypeError(
        f"{callers_place()} computes with an argument as with a number, which is a list of Values while the "
        "function is traced; write np.array(x) to compute with all of them, and x[0] for the first, as y[0] "
        "where there is one target"
    )


def _refuse_sum() -> NoReturn:
    raise TypeError(
        f"{callers_place()} adds to an argument, which is a list of Values while the function is traced: "
        "lists would be joined where arrays are added element by element; write np.array(x) + np.array(y) to "
        "add, and [*x, *y] to join"
    )

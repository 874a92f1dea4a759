"""The elementary functions that rules are made of, on Python floats and on NumPy arrays.

Every namespace has those of ``ELEMENTARY`` of its own; those of ``COMPOSED`` it may have, and else gets them
made of the elementary ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

#: What the rules of the table are made of, in the end; every namespace has its own.
ELEMENTARY: Final = (
    "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "erf", "erfc", "abs", "floor", "pow", "maximum", "minimum", "where", "choose",
)  # fmt: skip


def _atan2(xp: Any, y: Any, x: Any) -> Any:
    """The angle of the point (x, y), in radians, by the half-plane that it is in."""
    to_the_right, on_the_axis = xp.greater(x, 0.0), xp.equal(y, 0.0)
    right = xp.atan(y / xp.where(to_the_right, x, 1.0))
    quarter = xp.where(xp.less(y, 0.0), -0.5 * math.pi, 0.5 * math.pi)
    across = quarter - xp.atan(x / xp.where(on_the_axis, 1.0, y))
    on_axis = xp.where(xp.less(x, 0.0), math.pi, 0.0)
    return xp.where(to_the_right, right, xp.where(on_the_axis, on_axis, across))


def _hypot(xp: Any, x: Any, y: Any) -> Any:
    x, y = xp.abs(x), xp.abs(y)
    longer, shorter = xp.maximum(x, y), xp.minimum(x, y)
    ratio = shorter / xp.where(xp.equal(longer, 0.0), 1.0, longer)
    return longer * xp.sqrt(1.0 + ratio * ratio)


def _logaddexp(xp: Any, x: Any, y: Any) -> Any:
    distance = xp.where(xp.equal(x, y), 0.0, xp.abs(x - y))  # of two that are infinite, 0
    return xp.maximum(x, y) + xp.log1p(xp.exp(-distance))


def _cbrt(xp: Any, x: Any) -> Any:
    root = xp.pow(xp.abs(x), 1.0 / 3.0)
    return xp.where(xp.less(x, 0.0), -root, root)


def _asinh(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    found = xp.log1p(size + size * (size / (1.0 + _hypot(xp, 1.0, size))))
    return xp.where(xp.less(x, 0.0), -found, found)


def _rint(xp: Any, x: Any) -> Any:
    below = xp.floor(x)
    even = 2.0 * xp.floor(0.5 * below + 0.5)  # where a tie goes
    nearest = xp.where(xp.greater(x - below, 0.5), below + 1.0, below)
    return xp.where(xp.equal(x - below, 0.5), even, nearest)


#: What rules may call as well: a namespace that has none of its own gets these, made of the elementary ones.
COMPOSED: Final[dict[str, Callable[..., Any]]] = {
    "log2": lambda xp, x: xp.log(x) * (1.0 / math.log(2.0)),
    "log10": lambda xp, x: xp.log(x) * (1.0 / math.log(10.0)),
    "exp2": lambda xp, x: xp.pow(2.0, x),
    "cbrt": _cbrt,
    "asinh": _asinh,
    "acosh": lambda xp, x: xp.log1p(x - 1.0 + xp.sqrt(x - 1.0) * xp.sqrt(x + 1.0)),
    "atanh": lambda xp, x: 0.5 * (xp.log1p(x) - xp.log1p(-x)),
    "atan2": _atan2,
    "hypot": _hypot,
    "logaddexp": _logaddexp,
    "ceil": lambda xp, x: -xp.floor(-x),
    "rint": _rint,
    "remainder": lambda xp, x, y: x - y * xp.floor(x / y),
}


# ------------------------------------------------------------------------------------------------- floats


def _float_pow(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except ValueError:
        if x == 0.0:
            raise ZeroDivisionError(f"0.0 cannot be raised to the power {y}") from None
        raise


def _float_maximum(x: float, y: float) -> float:
    return x if x > y or x != x else y


def _float_minimum(x: float, y: float) -> float:
    return x if x < y or x != x else y


def _float_where(condition: Any, x: Any, y: Any) -> Any:
    return x if condition else y


def _float_floor(x: float) -> float:
    return float(np.floor(x))  # math's gives an integer, which has no -0 and no infinity


def _float_ceil(x: float) -> float:
    return float(np.ceil(x))


def _float_rint(x: float) -> float:
    return float(np.rint(x))


def _float_cbrt(x: float) -> float:
    return float(np.cbrt(x))  # math has it from Python 3.11 on


def _float_exp2(x: float) -> float:
    return math.pow(2.0, x)


def _float_logaddexp(x: float, y: float) -> float:
    if x == y:
        return x + math.log(2.0)
    distance = math.fabs(x - y)
    return distance if distance != distance else max(x, y) + math.log1p(math.exp(-distance))


def _float_remainder(x: float, y: float) -> float:
    return x % y


def _float_take(index: float, values: tuple[float, ...]) -> float:
    return values[int(index)] if index == index else math.nan


#: On Python floats. They raise as :mod:`math` does.
ON_FLOATS: Final[dict[str, Callable[..., Any]]] = {
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "erf": math.erf,
    "erfc": math.erfc,
    "abs": math.fabs,
    "floor": _float_floor,
    "log2": math.log2,
    "log10": math.log10,
    "exp2": _float_exp2,
    "cbrt": _float_cbrt,
    "asinh": math.asinh,
    "acosh": math.acosh,
    "atanh": math.atanh,
    "atan2": math.atan2,
    "hypot": math.hypot,
    "logaddexp": _float_logaddexp,
    "ceil": _float_ceil,
    "rint": _float_rint,
    "remainder": _float_remainder,
    "pow": _float_pow,
    "maximum": _float_maximum,
    "minimum": _float_minimum,
    "where": _float_where,
    "choose": _float_take,
}


# ------------------------------------------------------------------------------------------------- arrays


def _numpy_choose(index: Any, values: tuple[Any, ...]) -> Any:
    stacked = np.stack(np.broadcast_arrays(*values))
    position = np.broadcast_to(np.asarray(index, dtype=np.intp), stacked.shape[1:])
    return np.take_along_axis(stacked, position[np.newaxis], axis=0)[0]


def _numpy_pow(x: Any, y: Any) -> Any:
    if np.ndim(y) == 0 and y == 0.5 and not np.iscomplexobj(x):
        # NumPy takes a square root here; by IEEE 754 (-∞)**0.5 is ∞, and (-0)**0.5 is 0
        return np.where(np.equal(x, -np.inf), np.inf, np.sqrt(x) + 0.0)[()]
    return np.power(x, y)


def _elementwise(name: str, function: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function that NumPy does not have, elementwise; SciPy, which has it, is no dependency of the core."""
    on_arrays = np.vectorize(function, otypes=[np.float64])

    def apply(x: Any) -> Any:
        if np.iscomplexobj(x):
            raise TypeError(f"{name} of complex numbers needs SciPy's: scipy.special.{name}")
        return on_arrays(x)

    return apply


#: On NumPy arrays, in IEEE 754 arithmetic.
ON_ARRAYS: Final[dict[str, Callable[..., Any]]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "erf": _elementwise("erf", math.erf),
    "erfc": _elementwise("erfc", math.erfc),
    "abs": np.abs,
    "floor": np.floor,
    "log2": np.log2,
    "log10": np.log10,
    "exp2": np.exp2,
    "cbrt": np.cbrt,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "logaddexp": np.logaddexp,
    "ceil": np.ceil,
    "rint": np.rint,
    "remainder": np.remainder,
    "pow": _numpy_pow,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": np.where,
    "choose": _numpy_choose,
}

"""The operation table's rules as JavaScript: run once on numbers that are expressions.

A rule never knows which namespace it runs on, so running it on :class:`Number` objects writes down what
it computes. Nothing of an operation is written a second time for the page.
"""

from __future__ import annotations

import math
from typing import Any

from autobp.ops import Operation, namespace


class Number:
    """A number in a JavaScript program that is being written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __add__(self, other: Any) -> Number:
        return _infix(self, "+", other)

    def __radd__(self, other: Any) -> Number:
        return _infix(other, "+", self)

    def __sub__(self, other: Any) -> Number:
        return _infix(self, "-", other)

    def __rsub__(self, other: Any) -> Number:
        return _infix(other, "-", self)

    def __mul__(self, other: Any) -> Number:
        return _infix(self, "*", other)

    def __rmul__(self, other: Any) -> Number:
        return _infix(other, "*", self)

    def __truediv__(self, other: Any) -> Number:
        return _infix(self, "/", other)

    def __rtruediv__(self, other: Any) -> Number:
        return _infix(other, "/", self)

    def __pow__(self, other: Any) -> Number:
        return _call("power", self, other)

    def __rpow__(self, other: Any) -> Number:
        return _call("power", other, self)

    def __neg__(self) -> Number:
        return Number(f"(-{self.text})")

    def __abs__(self) -> Number:
        return _call("Math.abs", self)

    def __lt__(self, other: Any) -> Number:
        return _infix(self, "<", other)

    def __le__(self, other: Any) -> Number:
        return _infix(self, "<=", other)

    def __gt__(self, other: Any) -> Number:
        return _infix(self, ">", other)

    def __ge__(self, other: Any) -> Number:
        return _infix(self, ">=", other)

    def __eq__(self, other: object) -> Number:  # type: ignore[override]
        return _infix(self, "===", other)

    def __ne__(self, other: object) -> Number:  # type: ignore[override]
        return _infix(self, "!==", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError(
            "a rule of the operation table asks whether a number is true, which cannot be written down; "
            "let it use xp.where"
        )


def literal(x: Any) -> str:
    """A number, or an expression, as JavaScript."""
    if isinstance(x, Number):
        return x.text
    number = float(x)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "(-Infinity)"
    return repr(number) if math.copysign(1.0, number) > 0 else f"({number!r})"


def _infix(x: Any, sign: str, y: Any) -> Number:
    return Number(f"({literal(x)} {sign} {literal(y)})")


def _call(function: str, *arguments: Any) -> Number:
    return Number(f"{function}({', '.join(map(literal, arguments))})")


def _function(name: str) -> Any:
    return lambda *arguments: _call(name, *arguments)


def _where(condition: Any, x: Any, y: Any) -> Number:
    # not a number is true in Python, and would be false in JavaScript
    return Number(f"({literal(condition)} != 0 ? {literal(x)} : {literal(y)})")


def _choose(index: Any, values: tuple[Any, ...]) -> Number:
    return Number(f"choose({literal(index)}, [{', '.join(map(literal, values))}])")


#: The elementary functions as calls of JavaScript's own; where it has none, of the page's (elementary.js).
JAVASCRIPT = namespace(
    "javascript",
    erf=_function("erf"),
    erfc=_function("erfc"),
    logaddexp=_function("logaddexp"),
    exp2=lambda x: _call("power", 2.0, x),
    rint=_function("rint"),
    remainder=_function("remainder"),
    pow=_function("power"),
    maximum=_function("Math.max"),
    minimum=_function("Math.min"),
    where=_where,
    choose=_choose,
    **{
        name: _function(f"Math.{name}")
        for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan",
                     "sinh", "cosh", "tanh", "abs", "floor", "ceil", "log2", "log10", "cbrt", "asinh",
                     "acosh", "atanh", "atan2", "hypot")
    },
)  # fmt: skip


def rules(op: Operation, n_operands: int, constants: tuple[float, ...] = ()) -> str:
    """A JavaScript object: value(x0, x1, …), the operation's, and partials(y, x0, x1, …), an array.

    Raises:
        TypeError: the rule asks whether an operand is true, or needs more than the namespace has.
    """
    operands = [Number(f"x{i}") for i in range(n_operands)]
    value = op.value(JAVASCRIPT, *operands, *constants)
    partials = op.partials(JAVASCRIPT, Number("y"), *operands, *constants)
    # a rule may give a comparison itself for 1 or 0
    names = ", ".join(operand.text for operand in operands)
    towards = ", ".join(f"+{literal(partial)}" for partial in partials)
    return f"{{ value: ({names}) => +{literal(value)}, partials: (y, {names}) => [{towards}] }}"

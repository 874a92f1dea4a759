"""Expressions: what a rule of the operation table computes, recorded instead of carried out.

A rule runs once with :data:`SYMBOLS` as its namespace and slots as its operands; what comes back is the
formula, from which NumPy statements are written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from autobp.ops import TABLE, Operation

#: Functions that NumPy has; any other operation of the table becomes a function of the program.
UFUNCS = {
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "sqrt": "sqrt",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "abs": "abs",
    "maximum": "maximum",
    "minimum": "minimum",
    "logaddexp": "logaddexp",
    "log2": "log2",
    "log10": "log10",
    "exp2": "exp2",
    "cbrt": "cbrt",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "atan2": "arctan2",
    "hypot": "hypot",
    "floor": "floor",
    "ceil": "ceil",
    "rint": "rint",
    "remainder": "remainder",
}
#: Operations that NumPy calls otherwise.
NUMPYS = {"rint": "round", "remainder": "mod"}
COMPARISONS = {
    "greater": ">",
    "greater_equal": ">=",
    "less": "<",
    "less_equal": "<=",
    "equal": "==",
    "not_equal": "!=",
}


class Expression:
    """A formula: the name of what is applied, and to what (Expressions and numbers).

    Names are those of ``UFUNCS`` and ``COMPARISONS``, "+", "-", "*", "/", "neg", "square", "power", "where",
    "slot" with the number of an operand, "op" with an operation's name, operands and constants.
    """

    __slots__ = ("arguments", "name")

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def __add__(self, other: Any) -> Any:
        return _plus(self, other)

    def __radd__(self, other: Any) -> Any:
        return _plus(other, self)

    def __sub__(self, other: Any) -> Any:
        return Expression("-", self, _number(other))

    def __rsub__(self, other: Any) -> Any:
        return Expression("-", _number(other), self)

    def __mul__(self, other: Any) -> Any:
        return times(self, _number(other))

    def __rmul__(self, other: Any) -> Any:
        return times(_number(other), self)

    def __truediv__(self, other: Any) -> Any:
        other = _number(other)
        return self if not isinstance(other, Expression) and other == 1.0 else Expression("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return Expression("/", _number(other), self)

    def __pow__(self, other: Any) -> Any:
        return power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return power(other, self)

    def __neg__(self) -> Any:
        return negative(self)

    def __abs__(self) -> Any:
        return Expression("abs", self)

    def __gt__(self, other: Any) -> Any:
        return Expression("greater", self, _number(other))

    def __ge__(self, other: Any) -> Any:
        return Expression("greater_equal", self, _number(other))

    def __lt__(self, other: Any) -> Any:
        return Expression("less", self, _number(other))

    def __le__(self, other: Any) -> Any:
        return Expression("less_equal", self, _number(other))

    def __eq__(self, other: object) -> Any:
        return Expression("equal", self, _number(other))

    def __ne__(self, other: object) -> Any:
        return Expression("not_equal", self, _number(other))

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("a rule that branches on its operands cannot be recorded: use xp.where")

    def __float__(self) -> float:
        raise TypeError("a rule that calls math on its operands cannot be recorded: use xp")


def _number(x: Any) -> Any:
    return x if isinstance(x, Expression) else float(x)


def _plus(x: Any, y: Any) -> Any:
    return Expression("+", _number(x), _number(y))


def times(x: Any, y: Any) -> Any:
    """x·y; numbers are folded and a factor 1 is left out."""
    if not isinstance(x, Expression):
        if not isinstance(y, Expression):
            return x * y
        x, y = y, x
    if isinstance(y, Expression):
        return Expression("*", x, y)
    if y == 1.0:
        return x
    if y == -1.0:
        return negative(x)
    if x.name == "*" and not isinstance(x.arguments[0], Expression) and may_fold(x.arguments[0], y):
        return times(x.arguments[1], x.arguments[0] * y)
    return Expression("*", y, x)


def may_fold(c: float, d: float) -> bool:
    """Whether two constant factors may be multiplied with one another beforehand.

    Not where their product comes near the ends of the range: x·1e300·1e-200·1e-200 is no x·0, and in
    x·1e-200·1e200·1e200 nothing overflows either.
    """
    return abs(c) == 1.0 or abs(d) == 1.0 or 0.0 in (c, d) or 1e-100 < abs(c * d) < 1e100


def negative(x: Any) -> Any:
    """-x."""
    if not isinstance(x, Expression):
        return -x
    return x.arguments[0] if x.name == "neg" else Expression("neg", x)


def power(x: Any, k: Any) -> Any:
    """x**k, by products and roots where k is a number for which NumPy is faster so."""
    if isinstance(k, Expression):
        return Expression("power", _number(x), k)
    k = float(k)
    if not isinstance(x, Expression):
        return float(x) ** k
    if k == 1.0:
        return x
    if k == 2.0:
        return Expression("square", x)
    if k == -1.0:
        return Expression("/", 1.0, x)
    if k == 0.5:
        return Expression("sqrt", x)
    if k == 0.0:
        return 1.0
    return Expression("power", x, k)


def _where(condition: Any, x: Any, y: Any) -> Any:
    if not isinstance(condition, Expression):
        return x if condition else y
    return Expression("where", condition, _number(x), _number(y))


def _choose(index: Any, values: tuple[Any, ...]) -> Any:
    return Expression("choose", _number(index), *[_number(value) for value in values])


_SPECIAL: dict[str, Callable[..., Any]] = {
    "pow": power,
    "power": power,
    "constant_power": power,
    "where": _where,
    "choose": _choose,
}


class _Symbols:
    """The namespace that records: NumPy's functions by name, other operations as functions of the program."""

    name = "symbols"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in _SPECIAL:
            return _SPECIAL[name]
        if name in UFUNCS or name in COMPARISONS:
            return lambda *operands: Expression(name, *[_number(x) for x in operands])
        if name in TABLE and TABLE[name].inline:
            return partial(TABLE[name].value, self)
        if name in TABLE:
            return lambda *operands: Expression("op", name, *[_number(x) for x in operands])
        raise AttributeError(f"no function {name!r} for rules to use")


SYMBOLS = _Symbols()

#: Operations that NumPy computes best in another way than the table's, with the same result.
KERNELS: dict[str, Callable[[Any], Any]] = {
    # e**-x may overflow to infinity, and 1/(1 + ∞) is 0, as it should be
    "sigmoid": lambda x: 1.0 / (1.0 + SYMBOLS.exp(-x)),
    "softplus": lambda x: SYMBOLS.logaddexp(x, 0.0),
}

#: Operations that are written as signs or as NumPy's functions of another name.
_DIRECT = {
    "add", "subtract", "multiply", "divide", "negative", "where", "constant_power", "power", "round", "mod",
}  # fmt: skip


def slots(n: int) -> list[Expression]:
    """n operands yet to be filled in."""
    return [Expression("slot", i) for i in range(n)]


def value_of(op: Operation, operands: list[Any], constants: tuple[float, ...]) -> Any:
    """The operation applied to operands: as NumPy's function, or as a function of the program."""
    if op.name in _DIRECT or op.inline:
        return op.value(SYMBOLS, *operands, *constants)
    if op.name in UFUNCS or op.name in COMPARISONS:
        return Expression(op.name, *operands)
    if op.name == "stop_gradient":
        return operands[0]
    return Expression("op", op.name, *operands, *constants)


def rule_of(op: Operation, n_operands: int, n_constants: int) -> Any:
    """The operation's own rule over slots, or None where it cannot be recorded."""
    if op.name in KERNELS:
        return KERNELS[op.name](*slots(n_operands))
    try:
        return op.value(SYMBOLS, *slots(n_operands + n_constants))
    except (TypeError, AttributeError, ValueError):
        return None


def partials_of(
    op: Operation, y: Any, operands: list[Any], constants: tuple[float, ...]
) -> tuple[Any, ...] | None:
    """The local derivatives by the operation's rule, or None where it cannot be recorded."""
    try:
        return tuple(
            [
                x if isinstance(x, Expression) else float(x)
                for x in op.partials(SYMBOLS, y, *operands, *constants)
            ]
        )
    except (TypeError, AttributeError, ValueError):
        return None


def used_slots(expression: Any, found: set[int] | None = None) -> set[int]:
    """The numbers of the operands that an expression uses."""
    found = set() if found is None else found
    if isinstance(expression, Expression):
        if expression.name == "slot":
            found.add(expression.arguments[0])
        else:
            for argument in expression.arguments:
                used_slots(argument, found)
    return found


def substitute(expression: Any, values: dict[int, Any]) -> Any:
    """The expression with its slots replaced."""
    if not isinstance(expression, Expression):
        return expression
    if expression.name == "slot":
        return values[expression.arguments[0]]
    return Expression(expression.name, *[substitute(argument, values) for argument in expression.arguments])


def split_factor(expression: Any) -> tuple[float, Any]:
    """(c, rest) with expression = c·rest."""
    if not isinstance(expression, Expression):
        return expression, None
    if expression.name == "neg":
        c, rest = split_factor(expression.arguments[0])
        return -c, rest
    if expression.name == "*" and not isinstance(expression.arguments[0], Expression):
        return expression.arguments[0], expression.arguments[1]
    return 1.0, expression

"""Functions on Values: each operation of the table, and sums, products and softmax built of them.

Operands may be Values or plain numbers; the result is a Value. :func:`function` makes the function of any
operation. Most of the table's own stand here by name, for their types; any other, now or later, is found
here under its name as well, and among the methods of Value.
"""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from autobp.activations import ACTIVATIONS
from autobp.calling import call
from autobp.engine import Value, apply
from autobp.ops import BUILT_IN, FLOATS, TABLE, Operation, lookup
from autobp.registry import follow, names_a_function
from autobp.state import is_traced

__all__ = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "cumsum",
    "digamma",
    "dot",
    "elu",
    "equal",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "function",
    "gelu",
    "greater",
    "greater_equal",
    "hurwitz_zeta",
    "hypot",
    "inverse_mills",
    "leaky_relu",
    "less",
    "less_equal",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_norm_cdf",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "maximum",
    "mean",
    "minimum",
    "mod",
    "norm",
    "norm_cdf",
    "not_equal",
    "relu",
    "round",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "softmax",
    "softplus",
    "sqrt",
    "stop_gradient",
    "sum",
    "take",
    "tan",
    "tanh",
    "trigamma",
    "var",
    "where",
    "xlogy",
]


def function(op: Operation) -> Callable[..., Value]:
    """The function that applies an operation: ``function(op)(*operands, *constants)``.

    Constants may be given by position after the operands, by name, or left to their defaults.
    The function raises TypeError where an argument is unknown, missing or one too many.
    """

    def apply_operation(*arguments: Any, **named: Any) -> Value:
        return call(op, arguments, named)

    apply_operation.__name__ = apply_operation.__qualname__ = op.name
    if op.arity is not None:
        written = op.text.format(*"xyz"[: op.arity], *op.constants)
        needs = f" It needs {op.domain}; a finite operand that is not raises." if op.domain else ""
        apply_operation.__doc__ = f"{written}, of Values or numbers, as a Value.{needs}"
    return apply_operation


exp = function(lookup("exp"))
expm1 = function(lookup("expm1"))
log = function(lookup("log"))
log1p = function(lookup("log1p"))
xlogy = function(lookup("xlogy"))
sqrt = function(lookup("sqrt"))
sin = function(lookup("sin"))
cos = function(lookup("cos"))
tan = function(lookup("tan"))
asin = function(lookup("asin"))
acos = function(lookup("acos"))
atan = function(lookup("atan"))
sinh = function(lookup("sinh"))
cosh = function(lookup("cosh"))
tanh = function(lookup("tanh"))
erf = function(lookup("erf"))
erfc = function(lookup("erfc"))
sigmoid = function(lookup("sigmoid"))
softplus = function(lookup("softplus"))
relu = function(lookup("relu"))
leaky_relu = function(lookup("leaky_relu"))
elu = function(lookup("elu"))
gelu = function(lookup("gelu"))
silu = function(lookup("silu"))
abs = function(lookup("abs"))
sign = function(lookup("sign"))
maximum = function(lookup("maximum"))
minimum = function(lookup("minimum"))
greater = function(lookup("greater"))
greater_equal = function(lookup("greater_equal"))
less = function(lookup("less"))
less_equal = function(lookup("less_equal"))
equal = function(lookup("equal"))
not_equal = function(lookup("not_equal"))
where = function(lookup("where"))
stop_gradient = function(lookup("stop_gradient"))
log2 = function(lookup("log2"))
log10 = function(lookup("log10"))
exp2 = function(lookup("exp2"))
logaddexp = function(lookup("logaddexp"))
log_sigmoid = function(lookup("log_sigmoid"))
cbrt = function(lookup("cbrt"))
asinh = function(lookup("asinh"))
acosh = function(lookup("acosh"))
atanh = function(lookup("atanh"))
atan2 = function(lookup("atan2"))
hypot = function(lookup("hypot"))
floor = function(lookup("floor"))
ceil = function(lookup("ceil"))
round = function(lookup("round"))
mod = function(lookup("mod"))
clip = function(lookup("clip"))
lgamma = function(lookup("lgamma"))
digamma = function(lookup("digamma"))
trigamma = function(lookup("trigamma"))
hurwitz_zeta = function(lookup("hurwitz_zeta"))
norm_cdf = function(lookup("norm_cdf"))
log_norm_cdf = function(lookup("log_norm_cdf"))
inverse_mills = function(lookup("inverse_mills"))


def take(values: Sequence[Any], index: Any) -> Value:
    """values[index], as an operation: the index is read from data, and stays an input of compiled programs.

    Args:
        values: Values or numbers, at least one.
        index: a Value or a number; whole, from 0 to len(values) - 1.

    Raises:
        IndexError: the index is out of range or not whole.
    """
    values = list(values)
    i = index._data if isinstance(index, Value) else index
    if not (0 <= i < len(values) and i == int(i)) and i == i:
        raise IndexError(f"take: the index {i!r} is not one of 0, 1, …, {len(values) - 1}")
    return apply(TABLE["take"], (index, *values))


def sum(values: Iterable[Any]) -> Value:
    """The sum of Values or numbers, in order; of none at all, Value(0)."""
    terms = [_value(x) for x in values]  # first of all: numbers of a small NumPy type would overflow
    return reduce(lambda x, y: x + y, terms) if terms else Value(0.0)


def mean(values: Iterable[Any]) -> Value:
    """The arithmetic mean; ValueError where there are no values."""
    values = list(values)
    if not values:
        raise ValueError("mean of no values")
    return _value(sum(values) / len(values))


def dot(x: Iterable[Any], y: Iterable[Any]) -> Value:
    """Σ x_i·y_i; ValueError where the lengths differ."""
    x, y = list(x), list(y)
    if len(x) != len(y):
        raise ValueError(f"dot of {len(x)} values with {len(y)}: the lengths must be equal")
    return sum([_value(x_i) * y_i for x_i, y_i in zip(x, y, strict=True)])


def logsumexp(values: Iterable[Any]) -> Value:
    """log Σ exp(x_i), stable for arguments of any size; ValueError where there are no values.

    Of nothing but -∞ it is -∞, with the derivative 0; so it is not in compiled programs, where it is NaN.
    """
    values = [_value(x) for x in values]
    if values and not is_traced() and builtins.all(x.data == -math.inf for x in values):
        return stop_gradient(values[0])
    largest = _largest(values)
    return _value(largest + log(sum([exp(x - largest) for x in values])))


def softmax(values: Iterable[Any]) -> list[Value]:
    """exp(x_i) / Σ_j exp(x_j) for each i, stable for arguments of any size; ValueError for no values."""
    values = [_value(x) for x in values]
    largest = _largest(values)
    exponentials = [exp(x - largest) for x in values]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def log_softmax(values: Iterable[Any]) -> list[Value]:
    """x_i - log Σ_j exp(x_j) for each i, stable for arguments of any size; ValueError for no values."""
    values = [_value(x) for x in values]
    total = logsumexp(values)
    return [x - total for x in values]


def cumsum(values: Iterable[Any]) -> list[Value]:
    """x_1, x_1 + x_2, … up to the sum of all."""
    return list(accumulate([_value(x) for x in values]))


def var(values: Iterable[Any]) -> Value:
    """The mean square distance from the mean, Σ (x_i - x̄)² / n; ValueError where there are no values."""
    values = [_value(x) for x in values]
    centre = mean(values)
    return mean([(x - centre) ** 2 for x in values])


def norm(values: Iterable[Any]) -> Value:
    """√Σ x_i²; of none at all, Value(0). Where all are 0 it has no derivative: it is NaN."""
    values = [_value(x) for x in values]
    return sqrt(sum([x * x for x in values])) if values else Value(0.0)


def _value(x: Any) -> Value:
    return x if isinstance(x, Value) else Value(x)


def _largest(values: list[Value]) -> Value:
    """The maximum as a constant: softmax and log-sum-exp do not change with what is subtracted from all."""
    if not values:
        raise ValueError("softmax and logsumexp need at least one value")
    return stop_gradient(reduce(maximum, values))


# --------------------------------------------------------------------- operations that do not stand here


#: Operations whose functions do not stand here by name, and the names of methods that Value has been given.
_INSTALLED: dict[str, Operation] = {}
_METHODS: set[str] = set()


def __getattr__(name: str) -> Any:
    if name in _INSTALLED and name in TABLE:
        return _INSTALLED[name]
    module = sys.modules[__name__]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=module)


def _approve(op: Operation, replaces: bool) -> None:
    """Raise ValueError where an operation's name is taken, or its rules call what they cannot."""
    if replaces and op.name in BUILT_IN:
        raise ValueError(f"operation {op.name!r} is one that others are built of and cannot be replaced")
    if op.name not in _INSTALLED:
        taken = _taken(op.name)
        if taken:
            raise ValueError(f"an operation cannot be called {op.name!r}: {taken}; choose another name")
    _try_rules(op)


def _taken(name: str) -> str:
    """What has the name already; "" where nothing has."""
    if name in dir(sys.modules["autobp"]):
        return f"autobp.{name} is something else"
    if name in globals():
        return "autobp.functions uses the name itself"
    if hasattr(Value, name):
        return f"every Value has a .{name}"
    if name in ACTIVATIONS:
        return f"networks have an activation {name!r}"
    from importlib.util import find_spec  # takes its time to import

    if find_spec(f"autobp.{name}") is not None:
        return f"autobp.{name} is a module"
    return ""


def _try_rules(op: Operation) -> None:
    """Run the rules on a few numbers, to see whether they call functions that there are."""
    for x in (0.5, -0.5, 2.0):
        arguments = [*[x] * (op.arity or 2), *(op.defaults or [1.0] * len(op.constants))]
        xp = SimpleNamespace(**vars(FLOATS))
        if hasattr(xp, op.name):
            delattr(xp, op.name)  # a rule that is replaced
        try:
            y = op.value(xp, *arguments)
            setattr(xp, op.name, partial(op.value, xp))  # which partials may call
            op.partials(xp, y, *arguments)
        except AttributeError as error:
            refusal = names_a_function(op, error)
            if refusal is not None:
                raise ValueError(str(refusal)) from None
        except Exception:  # what else a rule raises on these numbers says nothing of others
            continue


#: What NumPy calls them: its functions of an array of objects, or of an object, call the method of that name.
_NUMPYS_NAMES: dict[str, str] = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "atan2": "arctan2", "round": "rint", "floor": "__floor__", "ceil": "__ceil__",
}  # fmt: skip


def _install(op: Operation) -> None:
    """Make an operation's function, and the method of Value, but where they are written out already."""
    op.function = function(op)
    if op.inline:
        return
    if op.name not in globals():
        _INSTALLED[op.name] = op
    if op.arity is not None:
        for name in (op.name, _NUMPYS_NAMES.get(op.name, op.name)):
            if name in _METHODS or not hasattr(Value, name):
                _METHODS.add(name)
                type.__setattr__(Value, name, _method(op, name))


def _method(op: Operation, name: str) -> Callable[..., Value]:
    def method(self: Value, *arguments: Any, **named: Any) -> Value:
        if "out" in named and named["out"] is None:
            del named["out"]  # NumPy's functions of one object hand it on: np.clip(v, 0, 1)
        return call(op, (self, *arguments), named)

    method.__name__, method.__qualname__ = name, f"Value.{name}"
    method.__doc__ = function(op).__doc__
    return method


follow(_approve, _install)

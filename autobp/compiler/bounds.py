"""What is known of the numbers in an array before there are any: whether they are positive, and finite.

Only as much is told as it takes to see that no infinite derivative can come up in a softmax, a norm with a
positive constant under its root, a cross-entropy of logits. Overflow and underflow are left out of account:
e**x counts as finite and positive. Parameters, arguments and constants count as finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from autobp import ir
from autobp.ir.expression import COMPARISONS, Expression, rule_of, value_of
from autobp.ops import lookup

#: A sign: nothing is known, not below 0, above 0.
ANY, NOT_NEGATIVE, POSITIVE = range(3)


class Bounds(NamedTuple):
    """What is known of numbers: their sign, and whether finite parameters and arguments make them finite."""

    sign: int = ANY
    finite: bool = True


_NOTHING = Bounds(ANY, False)
#: Of functions that are finite wherever their operand is.
_SIGNS = {"exp": POSITIVE, "cosh": POSITIVE, "abs": NOT_NEGATIVE, "sigmoid": POSITIVE, "softplus": POSITIVE}
_FINITE = {"expm1", "sin", "cos", "tan", "atan", "sinh", "tanh", "erf", "erfc", "logaddexp", "stop_gradient"}


def bounds_of_arrays(
    order: Iterable[ir.Array], known: Mapping[ir.Array, Bounds] | None = None
) -> dict[ir.Array, Bounds]:
    """The bounds of forward arrays, operands before what is computed from them.

    Args:
        known: of the arguments of a loop's body.
    """
    found: dict[ir.Array, Bounds] = dict(known or {})
    of_loops: dict[ir.Loop, Sequence[Bounds]] = {}
    for array in order:
        if isinstance(array, ir.Loop):
            of_loops[array] = bounds_of_loop(array, found)[1]
            found[array] = Bounds()
        elif isinstance(array, ir.Result):
            found[array] = of_loops[array.loop][array.number]
        elif array not in found:
            found[array] = _of_array(array, found)
    return found


def bounds_of_loop(
    loop: ir.Loop, known: Mapping[ir.Array, Bounds]
) -> tuple[dict[ir.Array, Bounds], list[Bounds]]:
    """What is known in every step of the arguments of a loop's body, and of its results."""
    body, n = loop.body, len(loop.initial)
    given = [known[x] for x in (*loop.initial, *loop.sequences, *loop.invariants)]
    while True:  # a state is no better known than the next one: each round loses something, or is the last
        arguments: dict[ir.Array, Bounds] = dict(zip(body.arguments, given, strict=True))
        found = bounds_of_arrays(body.arrays, arguments)
        results = [found[x] for x in body.results]
        joint = [
            Bounds(min(x.sign, y.sign), x.finite and y.finite)
            for x, y in zip(given[:n], results[:n], strict=True)
        ]
        if joint == given[:n]:
            return arguments, results
        given[:n] = joint


def bounds_of(expression: Any, operands: Sequence[Bounds]) -> Bounds:
    """The bounds of an expression, given those of its slots."""
    if not isinstance(expression, Expression):
        return _of_number(expression)
    name, arguments = expression.name, expression.arguments
    if name == "slot":
        which: int = arguments[0]
        return operands[which]
    if name == "foreign partial":
        return _NOTHING
    if name == "op":
        return _of_operation(arguments[0], arguments[1:], operands)
    parts = [bounds_of(x, operands) for x in arguments]
    finite = all(part.finite for part in parts)
    signs = [part.sign for part in parts]
    if name == "+":
        return Bounds(_sum(signs), finite)
    if name == "*":
        square = _same(*arguments)
        return Bounds(max(min(signs), NOT_NEGATIVE) if square else min(signs), finite)
    if name == "/":
        number = not isinstance(arguments[1], Expression) and arguments[1] != 0.0
        return Bounds(min(signs), finite and (number or signs[1] == POSITIVE))
    if name == "square":
        return Bounds(max(signs[0], NOT_NEGATIVE), finite)
    if name == "power":
        return _of_power(parts, arguments[1])
    if name == "where":
        return Bounds(min(signs[1:]), finite)
    if name in ("maximum", "minimum"):
        return Bounds(max(signs) if name == "maximum" else min(signs), finite)
    if name == "sqrt":
        return Bounds(signs[0], finite and signs[0] != ANY)
    if name in ("log", "log1p"):
        defined = signs[0] == POSITIVE or (name == "log1p" and signs[0] == NOT_NEGATIVE)
        return Bounds(signs[0] if name == "log1p" else ANY, finite and defined)
    if name in COMPARISONS:
        return Bounds(NOT_NEGATIVE)
    if name in _SIGNS:
        return Bounds(_SIGNS[name], finite)
    if name in ("-", "neg", "choose") or name in _FINITE:
        return Bounds(min(signs) if name == "choose" else ANY, finite)
    return _NOTHING


def _of_number(x: float) -> Bounds:
    return Bounds(POSITIVE if x > 0.0 else NOT_NEGATIVE if x == 0.0 else ANY)


def _sum(signs: Sequence[int]) -> int:
    return ANY if ANY in signs else max(signs, default=NOT_NEGATIVE)


def _same(x: Any, y: Any) -> bool:
    """Whether two factors are one and the same."""
    if not (isinstance(x, Expression) and isinstance(y, Expression)):
        return False
    return x is y or (x.name == y.name == "slot" and bool(x.arguments[0] == y.arguments[0]))


def _of_power(parts: Sequence[Bounds], exponent: Any) -> Bounds:
    base, k = parts
    if isinstance(exponent, Expression):
        return Bounds(POSITIVE, base.finite and k.finite) if base.sign == POSITIVE else _NOTHING
    whole = float(exponent).is_integer()
    sign = max(base.sign, NOT_NEGATIVE) if whole and exponent % 2 == 0 else base.sign
    defined = base.sign == POSITIVE or (exponent >= 0.0 and (whole or base.sign == NOT_NEGATIVE))
    return Bounds(sign, base.finite and defined)


def _of_operation(name: str, arguments: Sequence[Any], operands: Sequence[Bounds]) -> Bounds:
    """The bounds of an operation of the table, by its rule where nothing is noted of it."""
    parts = [bounds_of(x, operands) for x in arguments]
    if name in _SIGNS or name in _FINITE:
        return Bounds(_SIGNS.get(name, ANY), all(part.finite for part in parts))
    if name == "take":
        return Bounds(min(part.sign for part in parts[1:]), all(part.finite for part in parts))
    op = lookup(name)
    n_constants = len(op.constants)
    rule = rule_of(op, len(arguments) - n_constants, n_constants) if op.arity is not None else None
    return bounds_of(rule, parts) if isinstance(rule, Expression) else _NOTHING


def _of_array(array: ir.Array, known: Mapping[ir.Array, Bounds]) -> Bounds:
    operands = [known[x] for x in array.operands]
    signs = [x.sign for x in operands]
    finite = all(x.finite for x in operands)
    if isinstance(array, ir.Constant):
        lowest = float(array.values.min()) if array.size else 0.0
        return Bounds(_of_number(lowest).sign)
    if isinstance(array, ir.Map):
        # the same slot for the same array, so that x·x is known for a square
        same = [Expression("slot", array.arrays.index(x)) for x in array.arrays]
        return bounds_of(value_of(array.operation, same, array.constants), operands)
    if isinstance(array, ir.Sum):
        positive = [sign if s > 0.0 else ANY for sign, s in zip(signs, array.signs, strict=True)]
        return Bounds(_sum(positive), finite)
    if isinstance(array, ir.RowDot) and array.x is array.y:
        return Bounds(max(signs[0], NOT_NEGATIVE), finite)
    if isinstance(array, ir.MatMul | ir.RowDot):
        return Bounds(min(signs), finite)
    if isinstance(array, ir.Spread):
        return Bounds(min(signs[0], NOT_NEGATIVE), finite)
    if isinstance(array, ir.Assemble):
        lowest_sign = min(signs, default=NOT_NEGATIVE)
        return Bounds(min(lowest_sign, NOT_NEGATIVE) if array.zeros else lowest_sign, finite)
    if isinstance(array, ir.Choose):
        return Bounds(known[array.values].sign, finite)
    if isinstance(array, ir.OneHot):
        return Bounds(NOT_NEGATIVE)
    if isinstance(array, ir.ScatterAdd):
        return Bounds(min(known[array.delta].sign, NOT_NEGATIVE), known[array.delta].finite)
    if isinstance(array, ir.View | ir.Gather | ir.Reshape | ir.Fill | ir.Repeat | ir.Reduce | ir.Segments):
        return Bounds(signs[0], finite)
    return Bounds()

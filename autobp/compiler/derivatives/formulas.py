"""The derivative of a formula over elements: forward mode on an expression, by the operation table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autobp.ir.expression import COMPARISONS, NUMPYS, Expression, partials_of, times
from autobp.ops import CONSTANT_POWER, POWER, Operation, lookup

#: Signs of expressions, and the operations that they are.
_SIGNS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "neg": "negative"}
_FIXED = frozenset({"number", "m", *COMPARISONS})


class NoDerivative(TypeError):
    """A derivative that cannot be made of a program; the message says why, and what gives it."""


def tangent_of(expression: Any, tangents: Mapping[int, Any]) -> Any:
    """The derivative of an expression in the direction in which its slots have these tangents.

    Args:
        tangents: expressions or numbers, by slot; a slot without one does not change.

    Returns:
        an expression, a number, or None where nothing changes.

    Raises NoDerivative where an operation is computed by Python code that cannot be recorded.
    """
    if not isinstance(expression, Expression) or expression.name in _FIXED:
        return None
    name, arguments = expression.name, expression.arguments
    if name == "slot":
        return tangents.get(arguments[0])
    if name in ("where", "choose"):
        return chosen(name, arguments[0], [tangent_of(x, tangents) for x in arguments[1:]])
    if name == "foreign partial":
        if any(tangent_of(x, tangents) is not None for x in arguments[2:]):
            raise unrecorded(arguments[0])
        return None
    if name == "square":
        inner = tangent_of(arguments[0], tangents)
        return None if inner is None else times(2.0, times(arguments[0], inner))
    op, operands, constants = _operation(name, arguments)
    changes = [tangent_of(x, tangents) for x in operands]
    if all(change is None for change in changes):
        return None
    partials = partials_of(op, expression, list(operands), constants)
    if partials is None:
        raise unrecorded(op.name)
    return total(zip(partials, changes, strict=True))


def is_zero(expression: Any) -> bool:
    """Whether an expression is the number 0."""
    return not isinstance(expression, Expression) and bool(expression == 0.0)


def total(pairs: Iterable[tuple[Any, Any]]) -> Any:
    """Σ partial·tangent over pairs of them; None where nothing is left."""
    found: Any = None
    for partial, tangent in pairs:
        if tangent is None or is_zero(partial):
            continue
        term = times(tangent, partial)
        if found is None:
            found = term
        elif isinstance(term, Expression) and term.name == "neg":
            found = Expression("-", found, term.arguments[0])
        else:
            found = Expression("+", found, term)
    return found


def chosen(name: str, index: Any, changes: Sequence[Any]) -> Any:
    """The tangent of a choice: what was not taken adds nothing, not even where it is infinite."""
    if all(change is None for change in changes):
        return None
    return Expression(name, index, *[0.0 if change is None else change for change in changes])


def unrecorded(name: str) -> NoDerivative:
    """The error for an operation whose rules are Python code."""
    return NoDerivative(
        f"the operation {name} has rules that Python runs on numbers (they branch on their operands, or call "
        "math), so that a program cannot be differentiated through it again; write them with xp.where and "
        "xp's functions, or take autobp.hessian and autobp.jacobian of the function itself"
    )


def _operation(name: str, arguments: Sequence[Any]) -> tuple[Operation, Sequence[Any], tuple[float, ...]]:
    """The operation of the table that an expression applies, its operands and its constants."""
    if name == "op":
        op = lookup(arguments[0])
        n = len(arguments) - 1 - len(op.constants)
        return op, arguments[1 : 1 + n], tuple(arguments[1 + n :])
    if name == "power":
        base, exponent = arguments
        if not isinstance(exponent, Expression):
            return CONSTANT_POWER, (base,), (exponent,)
        return POWER, arguments, ()
    return lookup(_SIGNS.get(name) or NUMPYS.get(name, name)), arguments, ()

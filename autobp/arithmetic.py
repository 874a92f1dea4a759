"""Arithmetic: what +, -, *, /, ** and % make of a Value and something else.

In: a Value, and whatever stands on the operator's other side. Out: a node, or NotImplemented where that is
neither a Value nor a number; so arrays, say, take each of their elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobp import ops
from autobp.nodes import apply, as_value, binary, is_number, leaf, make_node, number
from autobp.registry import Operation

if TYPE_CHECKING:
    from autobp.engine import Value

# + and * write their rule out, for speed; tests hold both to the table.


def add(x: Value, other: Any) -> Any:
    """x + other."""
    y = as_value(other)
    if y is None:
        return NotImplemented
    data = x._data + y._data
    if data - data != 0.0:
        return binary(ops.ADD, x, y)
    return make_node(data, ops.ADD, x, y, 1.0, 1.0)


def multiply(x: Value, other: Any) -> Any:
    """x * other."""
    y = as_value(other)
    if y is None:
        return NotImplemented
    data = x._data * y._data
    if data - data != 0.0:
        return binary(ops.MULTIPLY, x, y)
    return make_node(data, ops.MULTIPLY, x, y, y._data, x._data)


def operate(op: Operation, x: Value, other: Any) -> Any:
    """op(x, other), for -, / and %."""
    y = as_value(other)
    return NotImplemented if y is None else binary(op, x, y)


def power(x: Value, other: Any) -> Any:
    """x ** other, an operation of x alone where the exponent is a number."""
    if is_number(other):
        return apply(ops.CONSTANT_POWER, (x,), (number(other),))
    return operate(ops.POWER, x, other)


def add_reflected(x: Value, other: Any) -> Any:
    """other + x, where other is no Value."""
    # sum() starts from the int 0, which would only add a node 0 + x to every sum
    if type(other) is int and other == 0:
        return x
    y = leaf(other)
    return NotImplemented if y is None else add(y, x)


def multiply_reflected(x: Value, other: Any) -> Any:
    """other * x, where other is no Value."""
    y = leaf(other)
    return NotImplemented if y is None else multiply(y, x)


def operate_reflected(op: Operation, x: Value, other: Any) -> Any:
    """op(other, x), where other is no Value."""
    y = leaf(other)
    return NotImplemented if y is None else binary(op, y, x)

"""How a Value is shown: in messages, by repr(), and its operation by a symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autobp.engine import Value


def describe(value: Value) -> str:
    """A Value in a message, by its label."""
    return f"Value {value.label} = {value._data!r}" if value.label else f"Value {value._data!r}"


def symbol(node: Value) -> str:
    """What drawings show of the node's operation, micrograd's ``_op``; "" for a leaf."""
    operation = node.operation
    details = node._details
    own = "" if details is None else details.symbol()
    if own or operation is None:
        return own
    return operation.symbol.format(*[f"{constant:g}" for constant in node.constants])


def shown(value: Value) -> str:
    """What ``repr(value)`` gives."""
    details = value._details
    grad = value._grad if details is None or details.derivative is None else details.derivative
    parts = f"data={value._data!r}, grad={grad!r}"
    of_operation = symbol(value)
    if of_operation:
        parts += f", op={of_operation!r}"
    if value.label:
        parts += f", label={value.label!r}"
    return f"Value({parts})"

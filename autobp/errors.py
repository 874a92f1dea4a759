"""What is said where a Value cannot be what it is asked for, or an operation has no finite result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from autobp.registry import Operation, evaluate
from autobp.state import announce_read, lets_pass, shared

if TYPE_CHECKING:
    from autobp.engine import Value

#: What a Value cannot be made into, by how it is asked for.
_CONVERSIONS: Final = {
    "float()": "cannot be turned into a float: its gradient would be lost. Use .data for the number, and for "
    "functions the Value's own, v.exp() or v.sqrt(), and not those of math",
    "int()": "cannot be turned into an int: use int(v.data) for the number",
    "complex()": "cannot be turned into a complex number: use .data for the number",
    "round()": "cannot be rounded: use round(v.data) for the number",
    "index": "cannot be an index: use autobp.take(values, i), which records the choice, or int(v.data)",
}


def describe(value: Value) -> str:
    """A Value in a message, by its label."""
    return f"Value {value.label} = {value._data!r}" if value.label else f"Value {value._data!r}"


def no_conversion(value: Value, asked: str) -> TypeError:
    """The error of ``float(value)``, "float()", and its like; it is a read of data to those who watch."""
    if shared.watchers:
        announce_read(value, asked)
    return TypeError(f"{describe(value)} {_CONVERSIONS[asked]}")


def no_equality(value: Value, number: object) -> TypeError:
    """The error of ``value == number``."""
    if shared.watchers:
        announce_read(value, "==")
    return TypeError(
        f"{describe(value)} == {number!r} compares a Value with a number: == between Values means the "
        "same node. Use v.data == number, or autobp.equal(v, number) for a node that is 1 or 0"
    )


def exceptional(
    op: Operation, operands: tuple[Value, ...], constants: tuple[float, ...], error: Exception
) -> float:
    """The IEEE 754 value where floats raised; the error, explained, where it is one for the user."""
    y = evaluate(op, *[x._data for x in operands], *constants)
    if y - y != 0.0:
        check_finite(op, operands, constants, error)
    return y


def check_finite(
    op: Operation,
    operands: tuple[Value, ...],
    constants: tuple[float, ...] = (),
    error: Exception | None = None,
) -> None:
    """Raise where finite operands gave a result that is not finite, unless that may pass."""
    if lets_pass():
        return
    for operand in operands:
        if not math.isfinite(operand._data):
            return
    shown = [f"{x.label} = {x._data!r}" if x.label else repr(x._data) for x in operands]
    shown.extend([f"{name} = {constant!r}" for name, constant in zip(op.constants, constants, strict=True)])
    call = f"{op.name}({', '.join(shown)})"
    needs = f": {op.name} needs {op.domain}" if op.domain else ""
    if isinstance(error, ZeroDivisionError):
        raise ZeroDivisionError(f"{call} divides by zero{needs}")
    if isinstance(error, ValueError):
        raise ValueError(f"{call} is not defined{needs}")
    raise OverflowError(f"{call} overflows: the result is too large for a float")

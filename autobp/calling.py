"""Calling an operation as users do: operands first, then constants by position, by name, or by default."""

from __future__ import annotations

from typing import Any

from autobp.engine import Value
from autobp.nodes import apply, number
from autobp.registry import Operation


def call(op: Operation, arguments: tuple[Any, ...], named: dict[str, Any]) -> Value:
    """op(*operands, *constants) as a user calls it: constants by position, by name, or by default.

    Raises what :func:`apply` raises, and TypeError where an argument is unknown, missing or one too many.
    """
    n_operands = len(arguments) if op.arity is None else op.arity
    constants = list(arguments[n_operands:])
    if len(constants) > len(op.constants):
        wanted = n_operands + len(op.constants)
        raise TypeError(f"{op.name} takes {wanted} argument{'s' * (wanted != 1)}; got {len(arguments)}")
    for i in range(len(constants), len(op.constants)):
        if op.constants[i] in named:
            constants.append(named.pop(op.constants[i]))
        elif i < len(op.defaults):
            constants.append(op.defaults[i])
    if named:
        raise TypeError(f"{op.name} has no argument {next(iter(named))!r} or was given it twice")
    for name, constant in zip(op.constants, constants, strict=False):
        if isinstance(constant, Value):
            raise TypeError(f"{op.name}: {name} is part of the operation: a number, not {constant!r}")
    return apply(op, arguments[:n_operands], tuple([number(constant) for constant in constants]))

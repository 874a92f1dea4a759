"""Nodes: what their slots hold, and how numbers and operations make them.

In: numbers, or an operation and its operands. Out: a Value whose slots are filled, or why there is none.

This room is below :mod:`autobp.engine`, which calls it, so that Value can be read without it. Compiled code
knows the class from its type; uncompiled, the engine puts it here by name.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autobp.details import Details
from autobp.errors import check_finite, exceptional, no_number, no_order, no_setting
from autobp.registry import FLOATS, Operation, partials_at
from autobp.state import announce_read, shared

if TYPE_CHECKING:
    from autobp.engine import Value

#: What Value's constructor is given in place of children where :func:`fill` is to follow.
UNSET: Final = object()
#: What a Value is called that was given no label.
UNLABELLED: Final = ""

# -------------------------------------------------------------------------------------------------- numbers


def is_number(x: object) -> bool:
    """Whether x is a real number, of Python or of NumPy."""
    return isinstance(x, (float, int)) or isinstance(x, numbers.Real)  # noqa: SIM101 (the first is fast)


def number(data: Any) -> float:
    """data as a float; TypeError where it is no real number."""
    if isinstance(data, float):
        return float(data)
    if isinstance(data, (numbers.Real, np.bool_)):
        try:
            return float(data)
        except OverflowError:
            raise OverflowError(f"{data!s:.60} is too large for a float") from None
    raise no_number(data, isinstance(data, Value))


def is_value(x: object) -> bool:
    """Whether x is a Value."""
    return isinstance(x, Value)


def as_value(x: Any) -> Value | None:
    """A Value as it is, and a number as a new leaf; None for all else, which may know better what to do."""
    if isinstance(x, Value):
        return x
    return leaf(x)


def leaf(x: Any) -> Value | None:
    """A number as a new Value; None for all else."""
    return Value(x) if is_number(x) else None


def set_data(value: Value, data: Any) -> None:
    """What ``value.data = data`` does. Compiled modules call this: mypyc (2.4) calls a setter as if it took
    what the getter gives, a C double here, and not any number.
    """
    if value._operation is not None:
        raise no_setting(value)
    if shared.watchers:
        announce_read(value, ".data = …")
    value._data = number(data)


def compared(value: Value, other: Any, sign: str) -> float:
    """The number that value is compared with; both sides' data are read by that."""
    if shared.watchers:
        announce_read(value, sign)
    if isinstance(other, Value):
        if shared.watchers:
            announce_read(other, sign)
        return other._data
    if isinstance(other, numbers.Real):
        return float(other)
    raise no_order(value, other, sign)


# ---------------------------------------------------------------------------------------------------- slots


def fill(node: Value, label: str, data: float, op: Operation | None) -> None:
    """Set all slots of a new node, which has no parents yet."""
    node._data = data
    node._grad = 0.0
    node._operation = op
    node._parent = None
    node._parent2 = None
    node._partial = 0.0
    node._partial2 = 0.0
    node._details = None
    node._mark = 0
    node._label = label


def fill_operands(
    node: Value, parents: tuple[Value, ...], partials: tuple[float, ...], constants: tuple[float, ...]
) -> None:
    """Set the parents of a node that is filled: in its slots where they are two at most, else in details."""
    if len(parents) > 2:
        node._details = Details(parents, tuple([float(partial) for partial in partials]), constants)
        return
    if constants:
        node._details = Details((), (), constants)
    if parents:
        node._parent = parents[0]
        node._partial = partials[0]
    if len(parents) == 2:
        node._parent2 = parents[1]
        node._partial2 = partials[1]


def parents(node: Value) -> tuple[Value, ...]:
    """What ``node.parents`` gives."""
    details = node._details
    if details is not None:
        details.unfold(node)
        if details.parents:
            return details.parents
    if node._parent is None:
        return ()
    if node._parent2 is None:
        return (node._parent,)
    return (node._parent, node._parent2)


# ----------------------------------------------------------------------------------------------- operations


def make_node(
    data: float, op: Operation, parent: Value, parent2: Value | None, partial: float, partial2: float
) -> Value:
    """A node of one or two parents, with nothing checked."""
    node = Value(None, UNSET)
    # written out, since a call of fill() costs a tenth of all this where nothing is compiled
    node._data = data
    node._grad = 0.0
    node._operation = op
    node._parent = parent
    node._parent2 = parent2
    node._partial = partial
    node._partial2 = partial2
    node._details = None
    node._mark = 0
    node._label = ""
    return node


def unary(op: Operation, x: Value) -> Value:
    """The node op(x)."""
    a = x._data
    try:
        y: float = op.value(FLOATS, a)
    except (ValueError, ArithmeticError, AttributeError) as error:
        y = exceptional(op, (x,), (), error)
    if y - y != 0.0:
        check_finite(op, (x,))
    try:
        partial: float = op.partials(FLOATS, y, a)[0]
    except (ValueError, ArithmeticError, AttributeError):
        partial = partials_at(op, y, a)[0]
    return make_node(y, op, x, None, partial, 0.0)


def binary(op: Operation, x: Value, y: Value) -> Value:
    """The node op(x, y)."""
    a = x._data
    b = y._data
    try:
        z: float = op.value(FLOATS, a, b)
    except (ValueError, ArithmeticError, AttributeError) as error:
        z = exceptional(op, (x, y), (), error)
    if z - z != 0.0:
        check_finite(op, (x, y))
    try:
        partials = op.partials(FLOATS, z, a, b)
    except (ValueError, ArithmeticError, AttributeError):
        partials = partials_at(op, z, a, b)
    return make_node(z, op, x, y, partials[0], partials[1])


def apply(op: Operation, operands: Iterable[Any], constants: tuple[float, ...] = ()) -> Value:
    """The node that an operation makes of any number of operands, Values or numbers.

    Raises:
        TypeError: an operand is no Value and no number, or there are too many or too few of them.
        ValueError, ZeroDivisionError, OverflowError: finite operands have no finite result.
    """
    nodes = tuple([x if isinstance(x, Value) else Value(x) for x in operands])
    if op.arity is None:
        if not nodes:
            raise TypeError(f"{op.name} needs at least one operand")
    elif op.arity != len(nodes):
        raise TypeError(f"{op.name} takes {op.arity} operand{'s' * (op.arity != 1)}; got {len(nodes)}")
    if len(constants) != len(op.constants):
        raise TypeError(f"{op.name} needs the constants {', '.join(op.constants)}; got {constants!r}")
    if not constants and len(nodes) == 1:
        return unary(op, nodes[0])
    if not constants and len(nodes) == 2:
        return binary(op, nodes[0], nodes[1])
    numbers_ = [x._data for x in nodes]
    numbers_.extend(constants)
    try:
        y: float = op.value(FLOATS, *numbers_)
    except (ValueError, ArithmeticError, AttributeError) as error:
        y = exceptional(op, nodes, constants, error)
    if y - y != 0.0:
        check_finite(op, nodes, constants)
    try:
        partials = op.partials(FLOATS, y, *numbers_)
    except (ValueError, ArithmeticError, AttributeError):
        partials = partials_at(op, y, *numbers_)
    node = Value(None, UNSET)
    fill(node, "", y, op)
    fill_operands(node, nodes, partials, constants)
    return node

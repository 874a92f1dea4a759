"""What loops make of memory: what lies by step, what a step computes in place, and what is but a number.

Arrays by step are gone through with their steps first, so their memory is ordered so. A step computes what it
leaves straight into where it belongs. Numbers that no array is computed from but element by element need no
memory: to calculate with them takes a tenth of what it takes with arrays of one element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from autobp import ir
from autobp.backends.moves import Moves, Part
from autobp.backends.operands import Kind
from autobp.ir.expression import Expression

_FORMULAS = (ir.Map, ir.Sum, ir.Elementwise)
_SUMS = (ir.SumTo, ir.RowDot, ir.Reduce, ir.MatMul, ir.Product)

Same = Callable[[ir.Array], ir.Array | None]  # the array whose memory an array is another view of


def is_one(array: ir.Array) -> bool:
    """Whether an array is one number, and needs no axes to say so."""
    return not array.batched and array.shape in ((), (1,))


def is_number(kind: Kind | None) -> bool:
    """Whether an array of steps has one number for each."""
    assert kind is not None
    return not kind[0] and kind[1][1:] in ((), (1,))


def numbers_in(body: ir.Program, formulas: Mapping[ir.Array, Any], same: Same) -> frozenset[ir.Array]:
    """The arrays of a body that can be numbers: everything that reads them works element by element."""
    found = {x for x in (*body.arguments, *body.arrays) if is_one(x) and _can_be_number(x, formulas, same)}
    while True:
        kept = set(found)
        for reader in body.arrays:
            gives_shape = reader in formulas and _has_an_array(reader, found)
            if same(reader) is not None or not (reader in found or gives_shape):
                kept -= set(reader.operands)
        if kept == found:
            return frozenset(found)
        found = kept


def _can_be_number(array: ir.Array, formulas: Mapping[ir.Array, Any], same: Same) -> bool:
    if isinstance(array, (ir.Local, *_SUMS)):
        return True
    formula = formulas.get(array)
    is_computed = isinstance(formula, Expression) and formula.name not in ("number", "slot")
    return is_computed and same(array) is None and not all(isinstance(x, ir.Constant) for x in array.operands)


def _has_an_array(array: ir.Array, numbers: set[ir.Array]) -> bool:
    """Whether an operand gives what is computed element by element its shape: a single constant does not."""
    kind = array.batched, array.shape
    arrays = [x for x in array.operands if not (x in numbers or (isinstance(x, ir.Constant) and x.size == 1))]
    return any((x.batched, x.shape) == kind for x in arrays)


def left_in(
    body: ir.Program, states: int, numbers: frozenset[ir.Array], placeable: Callable[[ir.Array], bool]
) -> dict[ir.Array, int]:
    """The results that a step computes where they belong, by the number of the result that has the memory."""
    found: dict[ir.Array, int] = {}
    for number, result in enumerate(body.results):
        is_number = body.arguments[number] in numbers if number < states else is_one(result)
        if result not in found and result not in numbers and not is_number and placeable(result):
            found[result] = number
    return found


def whole_steps(view: ir.View) -> Moves | None:
    """How a view takes whole steps, in order, of an array that it must not flatten: that would copy it."""
    _, *rest = view.source.shape or (1,)
    inner = math.prod(rest)
    dense = [math.prod(rest[i + 1 :]) for i in range(len(rest))]
    if view.base % inner:
        return None
    first = view.base // inner
    if (*view.shape,) == (*rest,) and list(view.strides) == dense:
        return (Part((slice(None), first)),)
    if [*view.shape[1:]] == rest and [*view.strides[1:]] == dense and view.strides[0] == inner:
        return (Part((slice(None), slice(first, first + view.shape[0]))),)
    return None


def lying_by_step(program: ir.Program, is_alias: Callable[[ir.Array], bool]) -> frozenset[ir.Array]:
    """The arrays with samples whose first axis is of steps: what loops leave and take, and what is near."""
    found: set[ir.Array] = set()
    for array in program.arrays:
        if isinstance(array, ir.Result) and array.batched and array.number >= len(array.loop.initial):
            found.add(array)
        elif isinstance(array, ir.Loop):
            taken = [x.source if isinstance(x, ir.View) and whole_steps(x) else x for x in array.sequences]
            found |= {x for x in taken if x.batched and _takes_a_place(x) and not is_alias(x)}
    if not found:
        return frozenset()
    while True:
        before = len(found)
        for array in program.arrays:
            near = any(x in found and _is_like(array, x) for x in array.operands)
            if near and array.batched and _takes_a_place(array) and not is_alias(array):
                found.add(array)
        for array in reversed(program.arrays):
            if array in found and isinstance(array, _FORMULAS):
                like = [x for x in array.operands if _is_like(array, x)]
                found |= {x for x in like if _takes_a_place(x) and not is_alias(x)}
        if len(found) == before:
            return frozenset(found)


def _takes_a_place(array: ir.Array) -> bool:
    """Whether an array of steps can be computed into memory by step."""
    if isinstance(array, ir.MatMul):
        rows, columns = array.rows, array.columns
        return rows.batched and not columns.batched and len(rows.shape) == len(columns.shape) == 2
    if isinstance(array, ir.Product):
        delta, other = array.delta, array.other
        flat = delta.batched and not other.batched and len(delta.shape) == len(other.shape) == 2
        return flat and array.spec == "rows"
    return isinstance(array, _FORMULAS) and len(array.shape) > 0


def _is_like(array: ir.Array, operand: ir.Array) -> bool:
    """Whether an operand has the steps that an array has."""
    if isinstance(array, ir.MatMul):
        return operand is array.rows
    if isinstance(array, ir.Product):
        return operand is array.delta
    return operand.batched and operand.shape == array.shape

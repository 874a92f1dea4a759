"""What is known of a program before it is scheduled: when memory is needed last, and what is placed where.

A piece of an assembly that nothing else reads is written straight into its place in it. A weight and the bias
beside it in theta are one matrix, [W b]: where the activations that it multiplies can have a column of ones,
[a 1], one product does for both, forward and backward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autobp import ir
from autobp.backends.loop_memory import left_in, lying_by_step, numbers_in
from autobp.backends.operands import Region
from autobp.backends.printer import expression_of, occurrences
from autobp.ir.expression import Expression
from autobp.ir.slicing import slicing

#: Kinds that can be computed into memory that is told them.
_PLACEABLE = (ir.Map, ir.Sum, ir.Elementwise, ir.MatMul, ir.Product, ir.SumTo)
_FORMULAS = (ir.Map, ir.Sum, ir.Elementwise)


@dataclass(frozen=True)
class Affine:
    """z = W a + b as one product: the rows a, the views of W and b in theta, and where both are, [W b]."""

    rows: ir.Array
    weight: ir.View
    bias: ir.View
    both: Region


@dataclass(frozen=True)
class Plan:
    """What is known of a program before it is scheduled.

    Attributes:
        formulas: of the arrays that are computed element by element.
        uses: how often an array's numbers are read.
        root: the array whose memory an array lies in, often itself.
        last: for a root the position of the array that reads its memory last.
        direct: pieces that are computed straight into their place in an assembly; None for all of it.
        affine: sums z = W a + b that are one product.
        joint: derivatives dW that are one product with db.
        extended: what has a column of ones, in order.
        skipped: what another product gives as well.
        by_step: what is to lie by step in memory.
        numbers: in the body of a loop, what is no array but a number.
        left: in the body of a loop, the results that are computed straight into the memory that the loop has
            for the result of this number.
    """

    formulas: Mapping[ir.Array, Any]
    uses: Mapping[ir.Array, int]
    root: Mapping[ir.Array, ir.Array]
    last: Mapping[ir.Array, int]
    direct: Mapping[ir.Array, tuple[ir.Assemble, ir.View | None]]
    affine: Mapping[ir.Array, Affine]
    joint: Mapping[ir.Array, Affine]
    extended: tuple[ir.Array, ...]
    skipped: frozenset[ir.Array]
    by_step: frozenset[ir.Array]
    numbers: frozenset[ir.Array]
    left: Mapping[ir.Array, int]


def plan(program: ir.Program, states: int | None = None) -> Plan:
    """Find when memory is needed last, and what is placed where.

    Args:
        states: where the program is the body of a loop, how many of its results are the next states.
    """
    formulas: dict[ir.Array, Any] = {x: expression_of(x) for x in program.arrays if isinstance(x, _FORMULAS)}
    uses = _uses(program)
    root = _roots(program, formulas)
    direct = _direct(program, formulas, uses)
    affine: dict[ir.Array, Affine] = {}
    skipped: set[ir.Array] = set()
    for array in program.arrays:
        found = _affine(array, uses)
        if found is not None and _extensible(found.rows, formulas, direct):
            affine[array] = found
            skipped |= {x for x in array.operands if isinstance(x, ir.MatMul)}
    joint, given = _joint(program, affine, direct)
    numbers: frozenset[ir.Array] = frozenset()
    left: dict[ir.Array, int] = {}
    if states is not None:
        numbers = numbers_in(program, formulas, lambda x: same_memory(x, formulas))
        placeable = set(program.arrays) - {*program.arguments, *direct}
        placeable = {x for x in placeable if isinstance(x, (*_PLACEABLE, ir.Assemble)) and root[x] is x}
        left = left_in(program, states, numbers, placeable.__contains__)
    return Plan(
        formulas,
        uses,
        root,
        _last_uses(program, root),
        direct,
        affine,
        joint,
        tuple(dict.fromkeys([x.rows for x in affine.values()])),
        frozenset(skipped | given),
        lying_by_step(program, lambda x: root[x] is not x),
        numbers,
        left,
    )


def same_memory(array: ir.Array, formulas: Mapping[ir.Array, Any]) -> ir.Array | None:
    """The array whose memory this one is a view of, or None."""
    if isinstance(array, ir.View | ir.Reshape | ir.Fill):
        return array.source
    formula = formulas.get(array)
    if isinstance(formula, Expression) and formula.name == "slot":
        which: int = formula.arguments[0]
        return array.operands[which]
    return None


def _uses(program: ir.Program) -> dict[ir.Array, int]:
    """How often each array's numbers are read; in a formula, as often as they stand in it."""
    uses: dict[ir.Array, int] = {}
    for array in program.arrays:
        for x in array.operands:
            uses[x] = uses.get(x, 0) + occurrences(array, x)
    for result in program.results:
        uses[result] = uses.get(result, 0) + 1
    return uses


def _roots(program: ir.Program, formulas: Mapping[ir.Array, Any]) -> dict[ir.Array, ir.Array]:
    root: dict[ir.Array, ir.Array] = {}
    for array in program.arrays:
        same = same_memory(array, formulas)
        root[array] = array if same is None else root[same]
    return root


def _last_uses(program: ir.Program, root: Mapping[ir.Array, ir.Array]) -> dict[ir.Array, int]:
    last: dict[ir.Array, int] = {}
    end = len(program.arrays)
    for index, array in enumerate(program.arrays):
        until = end if isinstance(array, ir.Total) else index
        for x in array.operands:
            last[root[x]] = max(until, last.get(root[x], 0))
    for result in program.results:
        last[root[result]] = end
    return last


def _direct(
    program: ir.Program, formulas: Mapping[ir.Array, Any], uses: Mapping[ir.Array, int]
) -> dict[ir.Array, tuple[ir.Assemble, ir.View | None]]:
    """The pieces that are written straight into their place."""
    direct: dict[ir.Array, tuple[ir.Assemble, ir.View | None]] = {}
    for array in program.arrays:
        if not isinstance(array, ir.Assemble):
            continue
        for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
            if added or uses[piece] != 1 or same_memory(piece, formulas) is not None:
                continue
            if piece.batched != array.batched or not isinstance(piece, _PLACEABLE):
                continue
            if place is None and piece.shape == array.shape:
                direct[piece] = array, None
            elif isinstance(place, ir.View) and piece.shape == place.shape:
                direct[piece] = array, place
    return direct


def _affine(array: ir.Array, uses: Mapping[ir.Array, int]) -> Affine | None:
    """W a + b, where W and b lie side by side in theta."""
    if not isinstance(array, ir.Sum) or array.signs != (1.0, 1.0):
        return None
    for product, bias in (array.operands, array.operands[::-1]):
        if not isinstance(product, ir.MatMul) or not isinstance(bias, ir.View):
            continue
        rows, weight = product.rows, product.columns
        if not isinstance(weight, ir.View) or uses[product] > 1 or product.shape != array.shape:
            continue
        if not (isinstance(weight.source, ir.Theta) and isinstance(bias.source, ir.Theta)):
            continue
        if len(weight.shape) != 2 or len(rows.shape) + rows.batched != 2:
            continue
        o, k = weight.shape
        step = weight.strides[0] if o > 1 else k + 1
        beside = bias.base == weight.base + k and bias.shape == (o,) and step > k
        if not beside or (k > 1 and weight.strides[1] != 1) or (o > 1 and bias.strides[0] != step):
            continue
        both = Region(weight.base, (o, k + 1), (step, 1))
        if slicing(weight.source.size, both.base, both.shape, both.strides) is not None:
            return Affine(rows, weight, bias, both)
    return None


def _extensible(rows: ir.Array, formulas: Mapping[ir.Array, Any], direct: Mapping[ir.Array, Any]) -> bool:
    """Whether rows can have a column of ones."""
    if isinstance(rows, ir.Constant):
        return True
    return isinstance(rows, _FORMULAS) and same_memory(rows, formulas) is None and rows not in direct


def _joint(
    program: ir.Program,
    affine: Mapping[ir.Array, Affine],
    direct: Mapping[ir.Array, tuple[ir.Assemble, ir.View | None]],
) -> tuple[dict[ir.Array, Affine], set[ir.Array]]:
    """Which dW are one product with db, and the db that it gives."""
    joint: dict[ir.Array, Affine] = {}
    given: set[ir.Array] = set()
    for assembly in program.arrays:
        if not isinstance(assembly, ir.Assemble):
            continue
        parts = {
            (place.base, place.shape, place.strides): piece
            for piece, place in zip(assembly.pieces, assembly.places, strict=True)
            if piece in direct and isinstance(place, ir.View)
        }
        for found in affine.values():
            dW, db = (parts.get((x.base, x.shape, x.strides)) for x in (found.weight, found.bias))
            if not isinstance(dW, ir.Product) or not isinstance(db, ir.SumTo) or dW.spec != "columns":
                continue
            over_rows = db.samples and not db.axes if dW.delta.batched else db.axes == (0,)
            if dW.other is found.rows and db.source is dW.delta and over_rows:
                joint[dW] = found
                given.add(db)
    return joint, given

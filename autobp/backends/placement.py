"""What is known of a program before it is scheduled: when memory is needed last, and what is placed where.

A piece of an assembly that nothing else reads is written straight into its place in it. A weight and the bias
beside it in theta are one matrix, [W b]: where the activations that it multiplies can have a column of ones,
[a 1], one product does for both, forward and backward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autobp.backends.operands import Region
from autobp.backends.printer import expression_of, occurrences
from autobp.ir import (
    Array,
    Assemble,
    Constant,
    Elementwise,
    Fill,
    Map,
    MatMul,
    Product,
    Program,
    Reshape,
    Sum,
    SumTo,
    Theta,
    Total,
    View,
)
from autobp.ir.expression import Expression
from autobp.ir.slicing import slicing

#: Kinds that can be computed into memory that is told them.
_PLACEABLE = (Map, Sum, Elementwise, MatMul, Product, SumTo)
_FORMULAS = (Map, Sum, Elementwise)


@dataclass(frozen=True)
class Affine:
    """z = W a + b as one product: the rows a, the views of W and b in theta, and where both are, [W b]."""

    rows: Array
    weight: View
    bias: View
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
    """

    formulas: Mapping[Array, Any]
    uses: Mapping[Array, int]
    root: Mapping[Array, Array]
    last: Mapping[Array, int]
    direct: Mapping[Array, tuple[Assemble, View | None]]
    affine: Mapping[Array, Affine]
    joint: Mapping[Array, Affine]
    extended: tuple[Array, ...]
    skipped: frozenset[Array]


def plan(program: Program) -> Plan:
    """Find when memory is needed last, and what is placed where."""
    formulas: dict[Array, Any] = {x: expression_of(x) for x in program.arrays if isinstance(x, _FORMULAS)}
    uses = _uses(program)
    root = _roots(program, formulas)
    direct = _direct(program, formulas, uses)
    affine: dict[Array, Affine] = {}
    skipped: set[Array] = set()
    for array in program.arrays:
        found = _affine(array, uses)
        if found is not None and _extensible(found.rows, formulas, direct):
            affine[array] = found
            skipped |= {x for x in array.operands if isinstance(x, MatMul)}
    joint, given = _joint(program, affine, direct)
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
    )


def same_memory(array: Array, formulas: Mapping[Array, Any]) -> Array | None:
    """The array whose memory this one is a view of, or None."""
    if isinstance(array, View | Reshape | Fill):
        return array.source
    formula = formulas.get(array)
    if isinstance(formula, Expression) and formula.name == "slot":
        which: int = formula.arguments[0]
        return array.operands[which]
    return None


def _uses(program: Program) -> dict[Array, int]:
    """How often each array's numbers are read; in a formula, as often as they stand in it."""
    uses: dict[Array, int] = {}
    for array in program.arrays:
        for x in array.operands:
            uses[x] = uses.get(x, 0) + occurrences(array, x)
    for result in program.results:
        uses[result] = uses.get(result, 0) + 1
    return uses


def _roots(program: Program, formulas: Mapping[Array, Any]) -> dict[Array, Array]:
    root: dict[Array, Array] = {}
    for array in program.arrays:
        same = same_memory(array, formulas)
        root[array] = array if same is None else root[same]
    return root


def _last_uses(program: Program, root: Mapping[Array, Array]) -> dict[Array, int]:
    last: dict[Array, int] = {}
    end = len(program.arrays)
    for index, array in enumerate(program.arrays):
        until = end if isinstance(array, Total) else index
        for x in array.operands:
            last[root[x]] = max(until, last.get(root[x], 0))
    for result in program.results:
        last[root[result]] = end
    return last


def _direct(
    program: Program, formulas: Mapping[Array, Any], uses: Mapping[Array, int]
) -> dict[Array, tuple[Assemble, View | None]]:
    """The pieces that are written straight into their place."""
    direct: dict[Array, tuple[Assemble, View | None]] = {}
    for array in program.arrays:
        if not isinstance(array, Assemble):
            continue
        for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
            if added or uses[piece] != 1 or same_memory(piece, formulas) is not None:
                continue
            if piece.batched != array.batched or not isinstance(piece, _PLACEABLE):
                continue
            if place is None and piece.shape == array.shape:
                direct[piece] = array, None
            elif isinstance(place, View) and piece.shape == place.shape:
                direct[piece] = array, place
    return direct


def _affine(array: Array, uses: Mapping[Array, int]) -> Affine | None:
    """W a + b, where W and b lie side by side in theta."""
    if not isinstance(array, Sum) or array.signs != (1.0, 1.0):
        return None
    for product, bias in (array.operands, array.operands[::-1]):
        if not isinstance(product, MatMul) or not isinstance(bias, View):
            continue
        rows, weight = product.rows, product.columns
        if not isinstance(weight, View) or uses[product] > 1 or product.shape != array.shape:
            continue
        if not (isinstance(weight.source, Theta) and isinstance(bias.source, Theta)):
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


def _extensible(rows: Array, formulas: Mapping[Array, Any], direct: Mapping[Array, Any]) -> bool:
    """Whether rows can have a column of ones."""
    if isinstance(rows, Constant):
        return True
    return isinstance(rows, _FORMULAS) and same_memory(rows, formulas) is None and rows not in direct


def _joint(
    program: Program, affine: Mapping[Array, Affine], direct: Mapping[Array, tuple[Assemble, View | None]]
) -> tuple[dict[Array, Affine], set[Array]]:
    """Which dW are one product with db, and the db that it gives."""
    joint: dict[Array, Affine] = {}
    given: set[Array] = set()
    for assembly in program.arrays:
        if not isinstance(assembly, Assemble):
            continue
        parts = {
            (place.base, place.shape, place.strides): piece
            for piece, place in zip(assembly.pieces, assembly.places, strict=True)
            if piece in direct and isinstance(place, View)
        }
        for found in affine.values():
            dW, db = (parts.get((x.base, x.shape, x.strides)) for x in (found.weight, found.bias))
            if not isinstance(dW, Product) or not isinstance(db, SumTo) or dW.spec != "columns":
                continue
            over_rows = db.samples and not db.axes if dW.delta.batched else db.axes == (0,)
            if dW.other is found.rows and db.source is dW.delta and over_rows:
                joint[dW] = found
                given.add(db)
    return joint, given

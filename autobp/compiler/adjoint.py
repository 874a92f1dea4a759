"""Adjoints: derivatives of the cost by arrays, with their factors held back until one product needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autobp.ir import (
    Absent,
    Array,
    Assemble,
    Elementwise,
    Fill,
    Gather,
    Indices,
    Place,
    Reduce,
    Reshape,
    Segments,
    SumTo,
)
from autobp.ir.expression import Expression, may_fold, times


@dataclass(frozen=True)
class Adjoint:
    """∂cost/∂(an array): scale · m**samples · array, m the number of samples; array None stands for ones.

    The array may have axes of size 1, or no samples, where it is the same for all of them.
    """

    scale: float = 1.0
    samples: int = 0
    array: Array | None = None

    def times(self, c: float) -> Adjoint:
        """c times the adjoint; factors that may not be folded are multiplied in one after the other."""
        if may_fold(self.scale, c):
            return replace(self, scale=self.scale * c)
        return Adjoint(c, 0, materialise(self))


#: What an array gets: an adjoint, and the elements that it is for (None for all).
Piece = tuple[Place | None, Adjoint]

_MOST_TERMS = 12  # of a sum in one statement


def combine(pieces: Sequence[Piece], array: Array) -> Adjoint:
    """An array's adjoint, the sum of what it gets from what uses it or parts of it."""
    if any(place is not None for place, _ in pieces):
        return Adjoint(array=assemble(pieces, array))
    if len(pieces) == 1:
        return pieces[0][1]
    adjoints = [adjoint for _, adjoint in pieces]
    while len(adjoints) > _MOST_TERMS:  # some at a time, so that no statement grows without bound
        some: list[Piece] = [(None, adjoint) for adjoint in adjoints[:_MOST_TERMS]]
        adjoints = [*adjoints[_MOST_TERMS:], combine(some, array)]
    samples = adjoints[0].samples
    if any(adjoint.samples != samples for adjoint in adjoints):
        adjoints = [replace(a, array=materialise(a), scale=1.0, samples=0) for a in adjoints]
        samples = 0
    adjoints.sort(key=lambda adjoint: adjoint.scale < 0)  # what is subtracted comes last
    total: Expression | None = None
    arrays: list[Array] = []
    number = 0.0
    for adjoint in adjoints:
        if adjoint.array is None:
            number += adjoint.scale
            continue
        term = Expression("slot", len(arrays))
        arrays.append(adjoint.array)
        if total is None:
            total = times(adjoint.scale, term)
        elif adjoint.scale < 0:
            total = Expression("-", total, times(-adjoint.scale, term))
        else:
            total = Expression("+", total, times(adjoint.scale, term))
    if total is None:
        return Adjoint(number, samples)
    if number:
        total = Expression("+", total, number)
    return Adjoint(1.0, samples, elementwise(arrays, total))


def assemble(pieces: Sequence[Piece], array: Array) -> Array:
    """An array's adjoint from derivatives by parts of it."""
    parts = [piece for piece in pieces if piece[0] is not None]
    wholes = [piece for piece in pieces if piece[0] is None]
    covered = np.zeros(array.size, dtype=bool)
    for place, _ in parts:
        assert place is not None
        covered[place.indices().reshape(-1)] = True
    # Parts that make up the array are written where they belong, and what is for all of it is added at
    # once: a part added on its own costs a call. With gaps between them, the whole comes first.
    pieces = [*parts, *wholes] if covered.all() else [*wholes, *parts]
    covered[:] = False
    arrays: list[Array] = []
    places: list[Place | None] = []
    added: list[bool] = []
    zeros = False
    for place, adjoint in pieces:
        if place is None:
            arrays.append(materialise(adjoint))
            added.append(bool(covered.any()))
            covered[:] = True
            places.append(None)
            continue
        indices = place.indices().reshape(-1)
        piece = materialise(adjoint)
        if isinstance(place, Gather):
            piece = full(piece, place)
            unique, counts = np.unique(indices, return_counts=True)
            if len(unique) < len(indices):
                piece, place = add_up(piece, indices, unique, counts)
                indices = unique
        overlap = covered[indices]
        added.append(bool(overlap.any()))
        zeros = zeros or (bool(overlap.any()) and not bool(overlap.all()))
        covered[indices] = True
        arrays.append(piece)
        places.append(place)
    zeros = zeros or not bool(covered.all())
    batched = any(piece.batched for piece in arrays)
    return Assemble(tuple(arrays), tuple(places), tuple(added), zeros, array.shape, batched)


def materialise(adjoint: Adjoint) -> Array:
    """The adjoint with its factors multiplied in."""
    factor: Expression | float = adjoint.scale
    if adjoint.samples == -1 and adjoint.array is not None and adjoint.scale == 1.0:
        return elementwise([adjoint.array], Expression("/", Expression("slot", 0), Expression("m")))
    for _ in range(abs(adjoint.samples)):
        factor = Expression("*" if adjoint.samples > 0 else "/", factor, Expression("m"))
    if adjoint.array is None:
        return Elementwise((), factor if isinstance(factor, Expression) else Expression("number", factor))
    if not isinstance(factor, Expression) and factor == 1.0:
        return adjoint.array
    return elementwise([adjoint.array], times(Expression("slot", 0), factor))


def elementwise(arrays: Sequence[Array], expression: Expression) -> Array:
    """An Elementwise; operands that have samples get as many axes as the others."""
    if expression.name == "slot" and len(arrays) == 1:
        return arrays[0]
    rank = max(len(x.shape) for x in arrays)
    return Elementwise(tuple([padded(x, rank) for x in arrays]), expression)


def padded(array: Array, rank: int) -> Array:
    """The array with axes of size 1 in front, so that it has ``rank``; without samples it needs none."""
    missing = rank - len(array.shape)
    if missing <= 0 or not array.batched:
        return array
    return Reshape(array, (1,) * missing + array.shape)


def full(array: Array, like: Array) -> Array:
    """The array repeated to the shape of another, and for each sample where either has samples."""
    batched = array.batched or like.batched
    if array.shape == like.shape and array.batched == batched:
        return array
    return Fill(padded(array, len(like.shape)), like.shape, batched)


def with_axis(g: Adjoint) -> Adjoint:
    """The adjoint of a sum over the last axis, by its summands."""
    if g.array is None or not g.array.shape:
        return g
    return replace(g, array=Reshape(g.array, (*g.array.shape, 1)))


def sum_to(g: Adjoint, shape: tuple[int, ...], batched: bool, operand: Array) -> Adjoint:
    """The adjoint of an operand that was repeated to a shape, or for every sample."""
    drop = len(shape) - len(operand.shape)
    own = (1,) * drop + operand.shape
    axes = [i for i, (n, size) in enumerate(zip(shape, own, strict=True)) if size == 1 and n > 1]
    over_samples = batched and not operand.batched
    if g.array is None:
        scale = g.scale * float(np.prod([shape[i] for i in axes]))
        return Adjoint(scale, g.samples + over_samples)
    physical = (1,) * (len(shape) - len(g.array.shape)) + g.array.shape
    scale = g.scale
    summed = []
    for i in axes:
        if physical[i] == 1:
            scale *= shape[i]
        else:
            summed.append(i)
    samples = g.samples
    if over_samples and not g.array.batched:
        samples += 1
        over_samples = False
    array = g.array
    if summed or over_samples:
        if physical != array.shape:
            array = Reshape(array, physical)
        array = SumTo(array, tuple(summed), over_samples, drop)
    elif len(array.shape) > len(operand.shape):
        array = Reshape(array, array.shape[len(array.shape) - len(operand.shape) :])
    return Adjoint(scale, samples, array)


def add_up(piece: Array, indices: Indices, unique: Indices, counts: Indices) -> tuple[Array, Gather]:
    """A piece for indices that repeat, added up to one for different ones."""
    order = np.argsort(indices, kind="stable")
    flat = Reshape(piece, (len(indices),)) if piece.shape != (len(indices),) else piece
    if not np.array_equal(order, np.arange(len(order))):
        flat = Gather(flat, order)
    k = int(counts[0])
    summed: Array
    if (counts == k).all():
        summed = Reduce(Reshape(flat, (len(unique), k)))
    else:
        summed = Segments(flat, np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64), "add")
    return summed, Gather(Absent(unique.shape, piece.batched), unique)


def selected_product(
    delta: Array, other: Array, spec: str, factor: Array, mask: Array, with_samples: bool
) -> Array:
    """The :class:`Product` for a factor in which only what ``mask`` is not 0 for counts.

    What it is 0 for adds nothing, not even where delta is infinite or not a number. It is computed product by
    product, and added up.

    Args:
        mask: of the shape of ``other``.
        with_samples: whether what is made has samples; else they are summed over.
    """
    has_p = len(delta.shape) == (len(other.shape) if spec == "rows" else len(factor.shape))
    over = -2 if spec == "rows" else -3 if has_p else None  # o, or p, among (…, p, o, K)
    shape = list(other.shape)
    if has_p or spec == "columns":
        shape.insert(len(shape) - (2 if spec == "rows" else 1), 1)
    deltas, others = Reshape(delta, (*delta.shape, 1)), Reshape(other, tuple(shape))
    where = Expression("where", Expression("slot", 0), Expression("slot", 1) * Expression("slot", 2), 0.0)
    made = elementwise([Reshape(mask, tuple(shape)), deltas, others], where)
    samples = made.batched and not with_samples
    if over is not None or samples:
        axes = () if over is None else (len(made.shape) + over,)
        made = SumTo(made, axes, samples)
    return made if made.shape == factor.shape else Reshape(made, factor.shape)

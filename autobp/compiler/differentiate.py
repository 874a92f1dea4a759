"""Derive the backward program, array by array in reverse, from the operation table.

Sums, products of matrices and choices of elements are linear, and their adjoints are matrix products, choices
and sums again; every other local derivative is the table's rule. For a network of layers what comes out is
BP1–BP4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autobp.compiler.expression import (
    Expression,
    partials_of,
    slots,
    split_factor,
    substitute,
    times,
    used_slots,
)
from autobp.compiler.ir import (
    Absent,
    Array,
    Assemble,
    Choose,
    Elementwise,
    Fill,
    Gather,
    Indices,
    Map,
    MatMul,
    OneHot,
    Place,
    Product,
    Reduce,
    Repeat,
    Reshape,
    RowDot,
    Segments,
    Spread,
    Sum,
    SumTo,
    Theta,
    View,
    in_order,
)
from autobp.ops import DIVIDE, EXP, lookup


@dataclass(frozen=True)
class Adjoint:
    """∂cost/∂(an array): scale · m**samples · array, m the number of samples; array None stands for ones.

    The array may have axes of size 1, or no samples, where it is the same for all of them.
    """

    scale: float = 1.0
    samples: int = 0
    array: Array | None = None


_MOST_TERMS = 12  # of a sum in one statement

_Piece = tuple[Place | None, Adjoint]


def differentiate(output: Array, theta: Theta) -> tuple[Array, dict[int, Array]]:
    """The gradient, (n_parameters,), of the mean of ``output`` (one element) over the samples.

    Also the adjoint of each array that has one of its own, by the array's id.
    """
    return _Reverse(output, theta).run()


class _Reverse:
    def __init__(self, output: Array, theta: Theta) -> None:
        self.order = in_order([output])
        self.theta = theta
        self.pieces: dict[int, list[_Piece]] = {}
        self.active: set[int] = set()
        for array in self.order:
            if array is theta or any(id(x) in self.active for x in array.operands):
                self.active.add(id(array))
        self.pieces[id(output)] = [(None, Adjoint(1.0, -1 if output.batched else 0))]
        self.adjoints: dict[int, Array] = {}

    def run(self) -> tuple[Array, dict[int, Array]]:
        for array in reversed(self.order):
            if id(array) not in self.active or array is self.theta:
                continue
            pieces = self.pieces.pop(id(array), None)
            if pieces is None:
                continue
            adjoint = self.combine(pieces, array)
            if adjoint.array is not None:
                self.adjoints[id(array)] = adjoint.array
            self.propagate(array, adjoint)
        return self.gradient(), self.adjoints

    def gradient(self) -> Array:
        pieces = self.pieces.get(id(self.theta))
        if pieces is None:
            return Assemble((), (), (), True, self.theta.shape, False)
        if all(place is None for place, _ in pieces):
            whole = materialise(self.combine(pieces, self.theta))
            return Assemble((whole,), (None,), (False,), False, self.theta.shape, False)
        return self.assemble(pieces, self.theta)

    def give(self, array: Array, adjoint: Adjoint, place: Place | None = None) -> None:
        if id(array) in self.active:
            self.pieces.setdefault(id(array), []).append((place, adjoint))

    # ---------------------------------------------------------------------------------------- gathering

    def combine(self, pieces: list[_Piece], array: Array) -> Adjoint:
        if any(place is not None for place, _ in pieces):
            return Adjoint(array=self.assemble(pieces, array))
        if len(pieces) == 1:
            return pieces[0][1]
        adjoints = [adjoint for _, adjoint in pieces]
        while len(adjoints) > _MOST_TERMS:  # some at a time, so that no statement grows without bound
            some: list[_Piece] = [(None, adjoint) for adjoint in adjoints[:_MOST_TERMS]]
            adjoints = [*adjoints[_MOST_TERMS:], self.combine(some, array)]
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

    def assemble(self, pieces: list[_Piece], array: Array) -> Array:
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

    # ---------------------------------------------------------------------------------------- the rules

    def propagate(self, array: Array, g: Adjoint) -> None:
        if isinstance(array, Map):
            self.through_map(array, g)
        elif isinstance(array, Sum):
            self.through_sum(array, g)
        elif isinstance(array, MatMul):
            rows, columns = array.operands
            delta = full(materialise(g), array)
            self.adjoints[id(array)] = delta
            if id(rows) in self.active:
                self.give(rows, Adjoint(array=Product(delta, columns, "rows", rows.shape, rows.batched)))
            if id(columns) in self.active:
                self.give(
                    columns, Adjoint(array=Product(delta, rows, "columns", columns.shape, columns.batched))
                )
        elif isinstance(array, RowDot):
            x, y = array.operands
            shape = np.broadcast_shapes(x.shape, y.shape)
            if len(shape) > 1:
                g = with_axis(g)
            both: tuple[tuple[Array, Array], ...] = ((x, y), (y, x))
            if x is y:  # two equal terms are one of twice the size
                g, both = replace(g, scale=2.0 * g.scale), both[:1]
            for operand, other in both:
                if id(operand) in self.active:
                    product = self.scaled(g, Expression("slot", 0), [other])
                    self.give(operand, sum_to(product, shape, array.batched, operand))
        elif isinstance(array, Reduce) and array.ufunc == "add":
            only = len(array.operands[0].shape) == 1
            self.give(array.operands[0], g if only else with_axis(g))
        elif isinstance(array, Segments) and array.ufunc == "add":
            (source,) = array.operands
            if g.array is None:
                self.give(source, g)
            else:
                counts = np.diff(np.append(array.starts, source.size))
                self.give(source, replace(g, array=Repeat(full(g.array, array), counts)))
        elif isinstance(array, Spread):
            if g.array is None:
                self.give(array.operands[0], g)
            else:
                picked = Gather(full(g.array, array), array.positions)
                self.give(array.operands[0], replace(g, array=picked))
        elif isinstance(array, View | Gather):
            self.give(array.operands[0], g, array)
        elif isinstance(array, Reshape):
            (source,) = array.operands
            made = None if g.array is None else Reshape(full(g.array, array), source.shape)
            self.give(source, replace(g, array=made))
        elif isinstance(array, Fill):
            self.give(array.operands[0], sum_to(g, array.shape, array.batched, array.operands[0]))
        elif isinstance(array, Choose):
            self.through_choice(array, g)
        else:
            raise NotImplementedError(f"no derivative through {type(array).__name__}")

    def scaled(self, g: Adjoint, partial: Expression, arrays: Sequence[Array]) -> Adjoint:
        """g times a partial derivative, an expression over arrays."""
        c, rest = split_factor(partial)
        g = replace(g, scale=g.scale * c)
        if rest is None:
            return g
        used = sorted(used_slots(rest))
        operands = [arrays[i] for i in used]
        rest = substitute(rest, {slot: Expression("slot", i) for i, slot in enumerate(used)})
        if g.array is not None:
            slot = Expression("slot", len(operands))
            reciprocal = rest.name == "/" and not isinstance(rest.arguments[0], Expression)
            if reciprocal and rest.arguments[0] == 1.0:
                rest = Expression("/", slot, rest.arguments[1])
            else:
                rest = times(slot, rest)
            operands.append(g.array)
        if not operands:
            return replace(g, scale=g.scale * float(rest))
        return replace(g, array=elementwise(operands, rest))

    def through_sum(self, array: Sum, g: Adjoint) -> None:
        if g.array is not None and sum(id(x) in self.active for x in array.operands) > 1:
            g = Adjoint(array=materialise(g))
            assert g.array is not None
            self.adjoints[id(array)] = g.array
        for sign, x in zip(array.signs, array.operands, strict=True):
            if id(x) in self.active:
                self.give(x, sum_to(replace(g, scale=g.scale * sign), array.shape, array.batched, x))

    def through_map(self, array: Map, g: Adjoint) -> None:
        if array.operation is EXP and (through := self.through_softmax(array, g)):
            self.give(array.operands[0], sum_to(through, array.shape, array.batched, array.operands[0]))
            return
        y, *operands = slots(1 + len(array.operands))
        partials = partials_of(array.operation, y, operands, array.constants)
        if partials is None:
            partials = tuple(
                [
                    Expression("foreign partial", array.operation.name, i, y, *operands, *array.constants)
                    for i in range(len(operands))
                ]
            )
        for x, partial in zip(array.operands, partials, strict=True):
            if id(x) not in self.active or (not isinstance(partial, Expression) and partial == 0.0):
                continue
            arrays: list[Array] = [array, *array.operands]
            if isinstance(partial, Expression) and partial.name == "op" and _is_of(partial, 1):
                # a derivative that is an operation itself (softplus' = sigmoid) is an array of its own
                arrays = [Map((array.operands[0],), array.shape, lookup(partial.arguments[0]))]
                partial = Expression("slot", 0)
            product = self.scaled(g, partial, arrays)
            self.give(x, sum_to(product, array.shape, array.batched, x))

    def through_softmax(self, exponentials: Map, g: Adjoint) -> Adjoint | None:
        """(G / total) · e as G · (e / total), where total is the sum of e: the softmax output, at most 1."""
        if not isinstance(g.array, Elementwise) or g.array.expression.name != "/":
            return None
        numerator, divisor = g.array.expression.arguments
        if not isinstance(divisor, Expression) or divisor.name != "slot":
            return None
        total = g.array.operands[divisor.arguments[0]]
        if not isinstance(total, Reduce) or total.operands[0] is not exponentials:
            return None
        softmax: Array = Map((exponentials, total), exponentials.shape, DIVIDE)
        if not isinstance(numerator, Expression):
            return replace(g, scale=g.scale * numerator, array=softmax)
        if numerator.name != "slot":
            return None
        factor = g.array.operands[numerator.arguments[0]]
        product = times(Expression("slot", 0), Expression("slot", 1))
        return replace(g, array=elementwise([softmax, factor], product))

    def through_choice(self, array: Choose, g: Adjoint) -> None:
        index, values = array.operands
        if id(values) not in self.active:
            return
        n = values.shape[-1]
        one_hot = OneHot(index, n)
        if array.outer:
            delta = full(materialise(g), array)
            self.give(values, Adjoint(array=Product(delta, one_hot, "columns", values.shape, values.batched)))
        else:
            product = self.scaled(with_axis(g), Expression("slot", 0), [one_hot])
            self.give(values, sum_to(product, (*array.shape, n), array.batched, values))


def _is_of(call: Expression, slot: int) -> bool:
    """Whether an "op" expression applies its operation to that one operand."""
    operands = call.arguments[1:]
    return (
        len(operands) == 1
        and isinstance(operands[0], Expression)
        and operands[0].name == "slot"
        and operands[0].arguments[0] == slot
    )


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
    """The array repeated to the shape of another."""
    if array.shape == like.shape and array.batched == like.batched:
        return array
    return Fill(padded(array, len(like.shape)), like.shape, like.batched)


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

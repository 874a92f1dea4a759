"""Derive the backward program, array by array in reverse, from the operation table.

Sums, products of matrices and choices of elements are linear, and their adjoints are matrix products, choices
and sums again; every other local derivative is the table's rule. For a network of layers what comes out is
BP1–BP4.

What an operation did not select gets 0, even of an adjoint that is infinite or not a number
(docs/derivatives-at-edges.md): so does what a choice by index left out, and a term that was padded with
zeros. The product 0·g gives that for finite g. Where an infinite adjoint can arrive, because some array
between here and the cost has a derivative that may be infinite (:mod:`~autobp.compiler.bounds`), what is
written is ``where(partial != 0, g·partial, 0)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from autobp import ir
from autobp.compiler.adjoint import (
    Adjoint,
    Piece,
    assemble,
    combine,
    elementwise,
    full,
    materialise,
    selected_product,
    sum_to,
    with_axis,
)
from autobp.compiler.bounds import Bounds, bounds_of, bounds_of_arrays
from autobp.compiler.through_time import through_time
from autobp.ir.expression import (
    COMPARISONS,
    Expression,
    partials_of,
    slots,
    split_factor,
    substitute,
    times,
    used_slots,
)
from autobp.ops import DIVIDE, EXP, lookup

_LARGE = 64  # numbers to choose from, from which on a product with zeros and ones takes longer than a scatter


@dataclass(frozen=True)
class Derivative:
    """What the reverse pass through a program leaves.

    Attributes:
        gradient: by theta, (n_parameters,).
        adjoints: of each array that has one of its own.
        loops: for loops of the program, those to put in their places: they leave what the way back needs too.
        names: of what these leave.
    """

    gradient: ir.Array
    adjoints: Mapping[ir.Array, ir.Array]
    loops: Mapping[ir.Array, ir.Array]
    names: ir.Names


def differentiate(outputs: ir.Program, recomputed: Set[ir.Loop] = frozenset()) -> Derivative:
    """The derivative of the mean over the samples of a program's output, one element.

    Args:
        recomputed: the loops whose steps the way back computes once more.
    """
    output, theta = outputs.results[0], outputs.theta
    reverse = Reverse([output], {theta}, taken=set(outputs.names.values()), recomputed=recomputed)
    reverse.start(output, Adjoint(1.0, -1 if output.batched else 0))
    reverse.run()
    return Derivative(reverse.gradient(theta), reverse.adjoints, reverse.loops, reverse.names)


def has_infinite_slopes(outputs: ir.Program) -> bool:
    """Whether some derivative of an array may be infinite for finite parameters and arguments."""
    order = outputs.arrays
    if any(isinstance(array, ir.Loop) for array in order):
        return True  # nothing is told of what is in its body
    bounds = bounds_of_arrays(order)
    return any(
        not bounds_of(partial, [bounds[x] for x in (array, *array.operands)]).finite
        for array in order
        if isinstance(array, ir.Map)
        for partial in partials_of_map(array)
    )


class Reverse:
    """Goes through the arrays in reverse; a method for each kind, by its class's name, has the chain rule.

    Attributes:
        targets: the arrays by which there are to be derivatives; what they get is left in ``pieces``.
        active: the arrays that depend on them.
        pieces: of arrays that are yet to come, what those that use them give.
        left: of loops that are yet to come, what the users of their results give, by result.
        unbounded: those whose adjoint may be infinite or not a number for finite parameters and arguments.
        known: what is known of arguments of a body.
        taken: the names of arrays around a body.
        by_row: whether adjoints are each row's own, also of what is the same for all rows, and not summed up.
        recomputed: the loops whose steps the way back computes once more, from the states before them.
        guards: whether an array that gets 0 of an infinite adjoint is here, or around the loop of this body.
    """

    def __init__(
        self,
        results: Sequence[ir.Array],
        targets: Set[ir.Array],
        guards: bool = False,
        known: Mapping[ir.Array, Bounds] | None = None,
        taken: Set[str] = frozenset(),
        by_row: bool = False,
        recomputed: Set[ir.Loop] = frozenset(),
    ) -> None:
        self.order = ir.in_order(results)
        self.targets = targets
        self.active: set[ir.Array] = set()
        for array in self.order:
            if array in targets or any(x in self.active for x in array.operands):
                self.active.add(array)
        self.pieces: dict[ir.Array, list[Piece]] = {}
        self.left: dict[ir.Loop, dict[int, list[Adjoint]]] = {}
        self.loops: dict[ir.Array, ir.Array] = {}
        self.names: dict[ir.Array, str] = {}
        self.adjoints: dict[ir.Array, ir.Array] = {}
        self.unbounded: set[ir.Array] = set()
        self.known, self.taken, self.by_row, self.recomputed = known, taken, by_row, recomputed
        self.guards = guards or any(array in self.active and _may_stop(array) for array in self.order)

    def start(self, result: ir.Array, adjoint: Adjoint, unbounded: bool = False) -> None:
        """Give a result its adjoint."""
        if result in self.active:
            self.pieces.setdefault(result, []).append((None, adjoint))
            if unbounded:
                self.unbounded.add(result)

    def run(self) -> None:
        for array in reversed(self.order):
            if array not in self.active or array in self.targets:
                continue
            if isinstance(array, ir.Loop):
                through_time(self, array)
                continue
            pieces = self.pieces.pop(array, None)
            if pieces is None:
                continue
            adjoint = combine(pieces, array)
            if adjoint.array is not None:
                self.adjoints[array] = adjoint.array
            rule = ir.method_for(array, self)
            if rule is None:
                raise NotImplementedError(f"no derivative through {type(array).__name__}")
            rule(array, adjoint)

    def gradient(self, target: ir.Argument) -> ir.Array:
        """The derivative by one of the targets, of its shape."""
        pieces = self.pieces.get(target)
        if pieces is None:
            return ir.Assemble((), (), (), True, target.shape, False)
        if all(place is None for place, _ in pieces):
            whole = materialise(combine(pieces, target))
            return ir.Assemble((whole,), (None,), (False,), False, target.shape, whole.batched)
        return assemble(pieces, target)

    def give(
        self,
        x: ir.Array,
        adjoint: Adjoint,
        user: ir.Array,
        place: ir.Place | None = None,
        finite: bool = True,
    ) -> None:
        """Give an operand its part of the adjoint of the array that uses it.

        Args:
            finite: whether the derivative of ``user`` by x is finite, as far as can be told.
        """
        if x in self.active:
            self.pieces.setdefault(x, []).append((place, adjoint))
            if user in self.unbounded or not finite:
                self.unbounded.add(x)

    # ---------------------------------------------------------------------------------- infinite adjoints

    @cached_property
    def bounds(self) -> Mapping[ir.Array, Bounds]:
        """What is known of the forward arrays."""
        return bounds_of_arrays(self.order, self.known)

    def is_finite(self, partial: Any, arrays: Sequence[ir.Array]) -> bool:
        """Whether a derivative, an expression over arrays, is finite; so where nothing depends on it."""
        return not self.guards or bounds_of(partial, [self.bounds[x] for x in arrays]).finite

    def padding(self, array: ir.Array, other: ir.Array) -> ir.Constant | None:
        """1 for what is there and 0 for what was padded, where an adjoint of ``array`` could make it NaN."""
        if array not in self.unbounded or not isinstance(other, ir.Spread):
            return None
        there = np.zeros(other.size)
        there[other.positions] = 1.0
        return ir.Constant(there.reshape(other.shape))

    def has_samples(self, x: ir.Array, adjoint: ir.Array) -> bool:
        """Whether the adjoint of an operand has samples, given that of the array that uses it."""
        return x.batched or (self.by_row and adjoint.batched)

    def sum_to(self, g: Adjoint, shape: ir.Shape, batched: bool, x: ir.Array) -> Adjoint:
        """The adjoint of an operand that was repeated to a shape, or for every sample."""
        return sum_to(g, shape, batched and not (self.by_row and not x.batched), x)

    def scaled(self, g: Adjoint, partial: Any, arrays: Sequence[ir.Array], selects: bool = False) -> Adjoint:
        """g times a partial derivative, an expression over arrays.

        Args:
            selects: whether a partial that is 0 stops any g.
        """
        c, rest = split_factor(partial)
        g = g.times(c)
        if rest is None:
            return g
        used = sorted(used_slots(rest))
        operands = [arrays[i] for i in used]
        rest = substitute(rest, {slot: Expression("slot", i) for i, slot in enumerate(used)})
        if g.array is not None:
            if selects and rest.name not in COMPARISONS:
                operands, rest = [elementwise(operands, rest)], Expression("slot", 0)
            slot = Expression("slot", len(operands))
            reciprocal = rest.name == "/" and not isinstance(rest.arguments[0], Expression)
            if selects:
                passed = slot if rest.name in COMPARISONS else times(slot, rest)
                rest = Expression("where", rest, passed, 0.0)
            elif reciprocal and rest.arguments[0] == 1.0:
                rest = Expression("/", slot, rest.arguments[1])
            else:
                rest = times(slot, rest)
            operands.append(g.array)
        if not operands:
            return g.times(float(rest))
        return replace(g, array=elementwise(operands, rest))

    # ------------------------------------------------------------------------------------------- the rules

    def map(self, array: ir.Map, g: Adjoint) -> None:
        if array.operation is EXP and (through := self.softmax(array, g)):
            x = array.operands[0]
            self.give(x, self.sum_to(through, array.shape, array.batched, x), array)
            return
        selects = array.operation.selects and array in self.unbounded
        for x, partial in zip(array.operands, partials_of_map(array), strict=True):
            if x not in self.active or (not isinstance(partial, Expression) and partial == 0.0):
                continue
            arrays: list[ir.Array] = [array, *array.operands]
            finite = self.is_finite(partial, arrays)
            if isinstance(partial, Expression) and partial.name == "op" and _is_of(partial, 1):
                # a derivative that is an operation itself (softplus' = sigmoid) is an array of its own
                arrays = [ir.Map((array.operands[0],), array.shape, lookup(partial.arguments[0]))]
                partial = Expression("slot", 0)
            product = self.scaled(g, partial, arrays, selects)
            self.give(x, self.sum_to(product, array.shape, array.batched, x), array, finite=finite)

    def softmax(self, exponentials: ir.Map, g: Adjoint) -> Adjoint | None:
        """(G / total) · e as G · (e / total), where total is the sum of e: the softmax output, at most 1."""
        if not isinstance(g.array, ir.Elementwise) or g.array.expression.name != "/":
            return None
        numerator, divisor = g.array.expression.arguments
        if not isinstance(divisor, Expression) or divisor.name != "slot":
            return None
        total = g.array.operands[divisor.arguments[0]]
        if not isinstance(total, ir.Reduce) or total.operands[0] is not exponentials:
            return None
        softmax: ir.Array = ir.Map((exponentials, total), exponentials.shape, DIVIDE)
        if not isinstance(numerator, Expression):
            return replace(g, array=softmax).times(numerator)
        if numerator.name != "slot":
            return None
        factor = g.array.operands[numerator.arguments[0]]
        product = times(Expression("slot", 0), Expression("slot", 1))
        return replace(g, array=elementwise([softmax, factor], product))

    def sum(self, array: ir.Sum, g: Adjoint) -> None:
        if g.array is not None and sum(x in self.active for x in array.operands) > 1:
            g = Adjoint(array=materialise(g))
            assert g.array is not None
            self.adjoints[array] = g.array
        for sign, x in zip(array.signs, array.operands, strict=True):
            if x in self.active:
                scaled = g.times(sign)
                self.give(x, self.sum_to(scaled, array.shape, array.batched, x), array)

    def matmul(self, array: ir.MatMul, g: Adjoint) -> None:
        delta = full(materialise(g), array)
        self.adjoints[array] = delta
        rows, columns = array.rows, array.columns
        for factor, other, spec in ((rows, columns, "rows"), (columns, rows, "columns")):
            if factor not in self.active:
                continue
            mask = self.padding(array, other)
            made = (
                ir.Product(delta, other, spec, factor.shape, self.has_samples(factor, delta))
                if mask is None
                else selected_product(delta, other, spec, factor, mask, self.has_samples(factor, delta))
            )
            self.give(
                factor, Adjoint(array=made), array, finite=self.is_finite(Expression("slot", 0), [other])
            )

    def rowdot(self, array: ir.RowDot, g: Adjoint) -> None:
        x, y = array.x, array.y
        shape = np.broadcast_shapes(x.shape, y.shape)
        if len(shape) > 1:
            g = with_axis(g)
        both: tuple[tuple[ir.Array, ir.Array], ...] = ((x, y), (y, x))
        if x is y:  # two equal terms are one of twice the size
            g, both = g.times(2.0), both[:1]
        for operand, other in both:
            if operand not in self.active:
                continue
            mask = self.padding(array, other)
            if mask is None or g.array is None:
                product = self.scaled(g, Expression("slot", 0), [other])
            else:
                there, factor, slot = slots(3)
                selected = Expression("where", there, times(slot, factor), 0.0)
                product = replace(g, array=elementwise([mask, other, g.array], selected))
            finite = self.is_finite(Expression("slot", 0), [other])
            self.give(operand, self.sum_to(product, shape, array.batched, operand), array, finite=finite)

    def reduce(self, array: ir.Reduce, g: Adjoint) -> None:
        _only_sums(array)
        only = len(array.source.shape) == 1
        self.give(array.source, g if only else with_axis(g), array)

    def segments(self, array: ir.Segments, g: Adjoint) -> None:
        _only_sums(array)
        if g.array is not None:
            counts = np.diff(np.append(array.starts, array.source.size))
            g = replace(g, array=ir.Repeat(full(g.array, array), counts))
        self.give(array.source, g, array)

    def spread(self, array: ir.Spread, g: Adjoint) -> None:
        if g.array is not None:
            g = replace(g, array=ir.Gather(full(g.array, array), array.positions))
        self.give(array.source, g, array)

    def view(self, array: ir.View | ir.Gather, g: Adjoint) -> None:
        self.give(array.source, g, array, array)

    gather = view

    def assemble(self, array: ir.Assemble, g: Adjoint) -> None:
        assert not any(array.added)  # which would need what was there before
        for piece, place in zip(array.pieces, array.places, strict=True):
            if piece not in self.active:
                continue
            part = g
            if g.array is not None and place is not None:
                part = replace(g, array=_at_place(full(g.array, array), place))
            shape = array.shape if place is None else place.shape
            self.give(piece, self.sum_to(part, shape, array.batched, piece), array)

    def reshape(self, array: ir.Reshape, g: Adjoint) -> None:
        if g.array is not None:
            g = replace(g, array=ir.Reshape(full(g.array, array), array.source.shape))
        self.give(array.source, g, array)

    def fill(self, array: ir.Fill, g: Adjoint) -> None:
        self.give(array.source, self.sum_to(g, array.shape, array.batched, array.source), array)

    def choose(self, array: ir.Choose, g: Adjoint) -> None:
        values = array.values
        if values not in self.active:
            return
        n = values.shape[-1]
        one_hot = ir.OneHot(array.index, n)
        selects = array in self.unbounded
        if array.outer:
            delta = full(materialise(g), array)
            with_samples = self.has_samples(values, delta)
            if n >= _LARGE and not with_samples:  # what is not chosen gets 0 of any delta
                self.give(values, Adjoint(array=ir.ScatterAdd(delta, array.index, n)), array)
                return
            made = (
                selected_product(delta, one_hot, "columns", values, one_hot, with_samples)
                if selects
                else ir.Product(delta, one_hot, "columns", values.shape, with_samples)
            )
            self.give(values, Adjoint(array=made), array)
        else:
            product = self.scaled(with_axis(g), Expression("slot", 0), [one_hot], selects)
            self.give(values, self.sum_to(product, (*array.shape, n), array.batched, values), array)

    def result(self, array: ir.Result, g: Adjoint) -> None:
        self.left.setdefault(array.loop, {}).setdefault(array.number, []).append(g)
        if array in self.unbounded:
            self.unbounded.add(array.loop)


def _at_place(array: ir.Array, place: ir.Place) -> ir.Array:
    """The elements of an array that a place has in another of its shape."""
    return replace(place, source=array)


def _may_stop(array: ir.Array) -> bool:
    """Whether an array has operands that get 0 of an infinite adjoint: it selects, or was padded."""
    if isinstance(array, ir.Loop):
        return any(_may_stop(x) for x in array.body.arrays)
    if isinstance(array, ir.Map):
        return array.operation.selects
    if isinstance(array, ir.MatMul | ir.RowDot):
        return any(isinstance(x, ir.Spread) for x in array.operands)
    return isinstance(array, ir.Choose)


def partials_of_map(array: ir.Map) -> tuple[Any, ...]:
    """The derivatives by the operands, expressions over the result and the operands."""
    y, *operands = slots(1 + len(array.operands))
    partials = partials_of(array.operation, y, operands, array.constants)
    if partials is not None:
        return partials
    name = array.operation.name
    return tuple(
        [Expression("foreign partial", name, i, y, *operands, *array.constants) for i in range(len(operands))]
    )


def _only_sums(array: ir.Reduce | ir.Segments) -> None:
    """Maxima and minima are reductions only where no derivative flows through them."""
    if array.ufunc != "add":
        raise NotImplementedError(f"no derivative through {array.ufunc}")


def _is_of(call: Expression, slot: int) -> bool:
    """Whether an "op" expression applies its operation to that one operand."""
    operands = call.arguments[1:]
    return (
        len(operands) == 1
        and isinstance(operands[0], Expression)
        and operands[0].name == "slot"
        and operands[0].arguments[0] == slot
    )

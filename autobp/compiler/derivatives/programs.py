"""The programs of derivatives, each of another that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from autobp import ir
from autobp.compiler.adjoint import Adjoint
from autobp.compiler.derivatives.forward import Forward, push
from autobp.compiler.derivatives.pruning import pruned
from autobp.compiler.derivatives.symmetric import Column, half_of
from autobp.compiler.derivatives.tangents import Tangent, filled, picked, reshaped, spread_over, turned
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.differentiate import Reverse
from autobp.compiler.names import Distinct
from autobp.compiler.pipeline import Outputs, of_cost
from autobp.ir.reserved import is_free
from autobp.ir.substituting import substituted
from autobp.ops import MULTIPLY


def program_of(wanted: Wanted, forward: Outputs, symmetric: bool = False) -> ir.Program:
    """The program of a derivative.

    Args:
        forward: the program of the outputs, or of each row's cost.
        symmetric: whether its second derivatives are known to be the same in either order.

    Returns:
        a program with two results: cost or outputs, and the derivative; for each row, where it is each row's
        own, and over the rows else.

    Raises NoDerivative where an operation cannot be differentiated again.
    """
    return _Maker(wanted, forward, symmetric).made()


class _Maker:
    """Makes one program."""

    def __init__(self, wanted: Wanted, forward: Outputs, symmetric: bool) -> None:
        self.wanted, self.symmetric = wanted, symmetric
        self.forward = _weighted(forward) if wanted.weighted else forward
        self.outputs = self.forward.outputs
        self.target: ir.Argument = self.outputs.arguments[wanted.by]
        self.output = reshaped(self.outputs.results[0], (self.outputs.results[0].size,))

    def made(self) -> ir.Program:
        rule = getattr(self, self.wanted.kind)
        found: ir.Program = rule()
        return found

    # ------------------------------------------------------------------------------------- of each kind

    def gradient(self) -> ir.Program:
        return self.gradient_program()

    def hessian(self) -> ir.Program:
        base = self.gradient_program()
        order = _by_first_use(self.target, base.results[1])
        half = half_of(base.results[1], order) if self.symmetric else None
        pushed, forward = self.push(base, _unit_directions(order), half.needed if half else None)
        gradient = pushed.results[1]
        if half is None:
            matrix = self.matrix(forward, gradient, len(order), order)
            matrix = matrix if self.symmetric else turned(matrix, (1, 0))
        else:
            blocks = half.in_blocks(self.columns_of(base.results[1], forward), order)
            if blocks is None:  # each element by its index
                blocks = half.mirrored(self.matrix(forward, gradient, len(order)), order)
            matrix = blocks
        return self.program(pushed, matrix, forward)

    def columns_of(self, gradient: ir.Array, forward: Forward) -> list[Column]:
        """The pieces of a gradient that was pushed forward."""
        assert isinstance(gradient, ir.Assemble)
        found = []
        for piece, place in zip(gradient.pieces, gradient.places, strict=True):
            new = forward.made[piece]
            found.append(Column(place, forward.of(new) if new in forward.tangents else None))
        return found

    def hvp(self) -> ir.Program:
        return self.in_directions(self.gradient_program())

    def rows(self) -> ir.Program:
        return self.by_row(replace(self.outputs, results=(self.output,), result_shape=()), Adjoint())

    def pulled(self) -> ir.Program:
        vector = self.vector((self.output.size,), self.outputs.has_samples)
        return self.by_row(self.outputs, Adjoint(array=vector), vector)

    def vjp(self) -> ir.Program:
        vector = self.vector((self.output.size,), self.outputs.has_samples)
        if self.target.batched:
            return self.by_row(self.outputs, Adjoint(array=vector), vector)
        reverse = self.reverse()
        g = reverse.sum_to(Adjoint(array=vector), self.output.shape, vector.batched, self.output)
        base = self.pulled_back(self.outputs, reverse, g)
        return self.program(base, base.results[1], None, vector)

    def jvp(self) -> ir.Program:
        return self.in_directions(self.output_program())

    def columns(self) -> ir.Program:
        base = self.output_program()
        order = _by_first_use(self.target, self.output)
        pushed, forward = self.push(base, _unit_directions(order))
        columns = self.matrix(forward, pushed.results[1], len(order), order)
        return self.program(pushed, turned(columns, (1, 0)), forward)

    # --------------------------------------------------------------------------------------- what they share

    def gradient_program(self) -> ir.Program:
        """Cost and gradient: over the rows by theta, each row's own by an argument."""
        if self.wanted.over_rows:
            return of_cost(self.forward).programs["cost_and_gradient"]
        base = replace(self.outputs, results=(self.output,), result_shape=())
        return self.pulled_back(base, self.reverse(by_row=True), Adjoint())

    def output_program(self) -> ir.Program:
        """The outputs as they are, and what is differentiated of them."""
        return replace(self.outputs, results=(self.outputs.results[0], self.output))

    def by_row(self, base: ir.Program, adjoint: Adjoint, vector: ir.Input | None = None) -> ir.Program:
        """Each row's derivative of its outputs, weighted by an adjoint."""
        found = self.pulled_back(base, self.reverse(by_row=True), adjoint)
        return self.program(found, found.results[1], None, vector)

    def reverse(self, by_row: bool = False) -> Reverse:
        taken = set(self.outputs.names.values())
        return Reverse([self.output], {self.target}, taken=taken, by_row=by_row)

    def pulled_back(self, base: ir.Program, reverse: Reverse, adjoint: Adjoint) -> ir.Program:
        """A program with the derivative of the output, weighted by an adjoint, as its second result."""
        reverse.start(self.output, adjoint)
        reverse.run()
        results = (base.results[0], reverse.gradient(self.target))
        made = substituted(results, reverse.loops)
        names = {made.get(x, x): name for x, name in {**base.names, **reverse.names}.items()}
        return replace(base, results=tuple([made[x] for x in results]), names=names)

    def push(
        self, base: ir.Program, seed: Tangent, needed: Mapping[ir.Array, Set[int]] | None = None
    ) -> tuple[ir.Program, Forward]:
        """Forward mode over a program; what it became by it."""
        forward = push(base.results, {self.target: seed}, set(base.names.values()), needed)
        names = {forward.made.get(x, x): name for x, name in base.names.items()}
        return replace(base, results=tuple([forward.made[x] for x in base.results]), names=names), forward

    def vector(self, shape: ir.Shape, with_samples: bool) -> ir.Input:
        return ir.Input(len(self.outputs.inputs), shape, with_samples)

    def in_directions(self, base: ir.Program) -> ir.Program:
        """The derivative of the second result in the vector's direction, or in several, (k, elements)."""
        k = self.wanted.directions
        vector = self.vector((k, self.target.size) if k else self.target.shape, self.target.batched)
        seed: ir.Array = ir.Reshape(vector, (k, self.target.size)) if k else vector
        pushed, forward = self.push(base, Tangent(seed, tuple(range(k)) if k else None))
        array = pushed.results[1]
        found = self.matrix(forward, array, k) if k else self.pushed(forward, array)
        return self.program(pushed, found, forward, vector)

    def pushed(self, forward: Forward, array: ir.Array) -> ir.Array:
        """The tangent of an array in one direction."""
        if array not in forward.tangents:
            return ir.Assemble((), (), (), True, array.shape, array.batched)
        return filled(forward.of(array), array, array.batched)

    def matrix(
        self, forward: Forward, array: ir.Array, n: int, order: ir.Indices | None = None
    ) -> ir.Array:
        """The tangents of an array in all of n directions, (n, elements), brought back from their order."""
        shape = (n, array.size)
        if array not in forward.tangents:
            return ir.Assemble((), (), (), True, shape, array.batched)
        tangent = forward.of(array)
        whole = spread_over(tangent, tuple(range(n)), array)
        made = filled(Tangent(whole, tuple(range(n))), array, array.batched)
        if order is None or (order == np.arange(n)).all():
            return made
        rows = np.argsort(order) * array.size
        return picked(made, ir.Gather(made, rows[:, None] + np.arange(array.size, dtype=np.int64)))

    def program(
        self,
        base: ir.Program,
        derivative: ir.Array,
        forward: Forward | None = None,
        vector: ir.Input | None = None,
    ) -> ir.Program:
        """The program, with names for the vector, for tangents and for the derivative."""
        first, result = base.results[0], derivative
        if self.outputs.has_samples and not self.wanted.over_rows and not result.batched:
            result = ir.Fill(result, result.shape, True)
        if base.result_shape is None and not isinstance(first, ir.Total):
            raise AssertionError("a program has a mean cost, or outputs")
        if result in base.arguments or result is vector or result in base.names:
            result = _copy(result)
        names = self.names(base, forward, vector, (first, result))
        arguments = base.arguments if vector is None else (*base.arguments, vector)
        return pruned(ir.Program(arguments, (first, result), names, base.result_shape))

    def names(
        self,
        base: ir.Program,
        forward: Forward | None,
        vector: ir.Input | None,
        results: Sequence[ir.Array],
    ) -> ir.Names:
        """The names of the program before, those of tangents after them, and of what is new."""
        there = {*ir.in_order(results), *base.arguments}
        distinct = Distinct(_names_in_loops(there))
        names = {x: distinct(name) for x, name in base.names.items() if x in there and name != "gradient"}
        if vector is not None:
            names[vector] = distinct({"hvp": "v", "jvp": "v"}.get(self.wanted.kind, "w"))
        if not is_free(self.wanted.name):
            raise AssertionError(self.wanted.name)
        names[results[1]] = distinct(self.wanted.name)
        if forward is not None:
            forward.name(names, results)
        return names


def _names_in_loops(arrays: Iterable[ir.Array]) -> set[str]:
    """The names of what is in the bodies of loops."""
    bodies = [x.body for x in arrays if isinstance(x, ir.Loop)]
    return {name for body in bodies for name in {*body.names.values(), *_names_in_loops(body.arrays)}}


def _weighted(forward: Outputs) -> Outputs:
    """Each row's cost times its weight, an argument after the others."""
    outputs = forward.outputs
    weights = ir.Input(len(outputs.inputs), (), outputs.has_samples)
    output = reshaped(outputs.results[0], (1,))
    product = ir.Map((weights, output), (1,), MULTIPLY)
    name = "weights" if "weights" not in outputs.names.values() else "weights_"
    names = {**outputs.names, weights: name}
    weighted = ir.Program((*outputs.arguments, weights), (product,), names, outputs.result_shape)
    return replace(forward, outputs=weighted)


def _unit_directions(order: ir.Indices) -> Tangent:
    return Tangent(ir.Constant(np.eye(len(order))[order]), tuple(range(len(order))))


def _by_first_use(target: ir.Array, result: ir.Array) -> ir.Indices:
    """The elements of an array in the order in which they are first picked, those never picked last.

    In that order the directions that reach one array after another lie side by side.
    """
    picks = [x for x in ir.in_order([result]) if isinstance(x, ir.Place) and x.source is target]
    found = np.concatenate([*[x.indices().reshape(-1) for x in picks], np.arange(target.size)])
    _, first = np.unique(found, return_index=True)
    order: ir.Indices = found[np.sort(first)].astype(np.int64)
    return order


def _copy(array: ir.Array) -> ir.Array:
    return ir.Assemble((array,), (None,), (False,), False, array.shape, array.batched)

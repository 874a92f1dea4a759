"""The programs of derivatives, each of another that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from autobp import ir
from autobp.compiler.adjoint import Adjoint
from autobp.compiler.derivatives.forward import Forward, push
from autobp.compiler.derivatives.tangents import Tangent, filled, picked, reshaped, spread_over, turned
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.differentiate import Reverse
from autobp.compiler.names import Distinct
from autobp.compiler.pipeline import Outputs, of_cost
from autobp.ir.reserved import is_free
from autobp.ops import MULTIPLY


def program_of(wanted: Wanted, forward: Outputs) -> ir.Program:
    """The program of a derivative.

    Args:
        forward: the program of the outputs, or of each row's cost.

    Returns:
        a program with two results: cost or outputs, and the derivative; for each row, where it is each row's
        own, and over the rows else.

    Raises NoDerivative where an operation cannot be differentiated again.
    """
    return _Maker(wanted, forward).made()


class _Maker:
    """Makes one program."""

    def __init__(self, wanted: Wanted, forward: Outputs) -> None:
        self.wanted = wanted
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
        gradient = base.results[1]
        order = _by_first_use(self.target, gradient)
        pushed = push([gradient], {self.target: _unit_directions(order)})
        return self.program(base, self.matrix(pushed, gradient, len(order), order), pushed)

    def hvp(self) -> ir.Program:
        base = self.gradient_program()
        return self.in_directions(base, base.results[1])

    def rows(self) -> ir.Program:
        return self.program(self.by_row_program(), self.gradient_by_row(Adjoint()))

    def pulled(self) -> ir.Program:
        vector = self.vector((self.output.size,), self.outputs.has_samples)
        return self.program(self.outputs, self.gradient_by_row(Adjoint(array=vector)), None, vector)

    def vjp(self) -> ir.Program:
        vector = self.vector((self.output.size,), self.outputs.has_samples)
        if self.target.batched:
            return self.program(self.outputs, self.gradient_by_row(Adjoint(array=vector)), None, vector)
        reverse = Reverse([self.output], {self.target})
        g = reverse.sum_to(Adjoint(array=vector), self.output.shape, vector.batched, self.output)
        reverse.start(self.output, g)
        reverse.run()
        return self.program(self.outputs, reverse.gradient(self.target), None, vector)

    def jvp(self) -> ir.Program:
        return self.in_directions(self.outputs, self.output)

    def columns(self) -> ir.Program:
        order = _by_first_use(self.target, self.output)
        pushed = push([self.output], {self.target: _unit_directions(order)})
        columns = self.matrix(pushed, self.output, len(order), order)
        return self.program(self.outputs, turned(columns, (1, 0)), pushed)

    # --------------------------------------------------------------------------------------- what they share

    def gradient_program(self) -> ir.Program:
        """Cost and gradient: over the rows by theta, each row's own by an argument."""
        if self.wanted.over_rows:
            return of_cost(self.forward).programs["cost_and_gradient"]
        base = self.by_row_program()
        return replace(base, results=(*base.results, self.gradient_by_row(Adjoint())))

    def by_row_program(self) -> ir.Program:
        """Each row's cost."""
        return replace(self.outputs, results=(self.output,), result_shape=())

    def gradient_by_row(self, adjoint: Adjoint) -> ir.Array:
        """Each row's derivative of its outputs, weighted by an adjoint."""
        reverse = Reverse([self.output], {self.target}, by_row=True)
        reverse.start(self.output, adjoint)
        reverse.run()
        return reverse.gradient(self.target)

    def vector(self, shape: ir.Shape, with_samples: bool) -> ir.Input:
        return ir.Input(len(self.outputs.inputs), shape, with_samples)

    def in_directions(self, base: ir.Program, array: ir.Array) -> ir.Program:
        """The derivative of an array in the direction of the vector, or in each of several, (k, elements)."""
        k = self.wanted.directions
        vector = self.vector((k, self.target.size) if k else self.target.shape, self.target.batched)
        seed: ir.Array = ir.Reshape(vector, (k, self.target.size)) if k else vector
        pushed = push([array], {self.target: Tangent(seed, tuple(range(k)) if k else None)})
        found = self.matrix(pushed, array, k) if k else self.pushed(pushed, array)
        return self.program(base, found, pushed, vector)

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
        pushed: Forward | None = None,
        vector: ir.Input | None = None,
    ) -> ir.Program:
        """The program, with names for the vector, for tangents and for the derivative."""
        result = derivative
        if self.outputs.has_samples and not self.wanted.over_rows and not result.batched:
            result = ir.Fill(result, result.shape, True)
        if result in base.arguments or result is vector or result in base.names:
            result = _copy(result)
        if base.result_shape is None and not isinstance(base.results[0], ir.Total):
            raise AssertionError("a program has a mean cost, or outputs")
        names = self.names(base, pushed, vector, result)
        arguments = base.arguments if vector is None else (*base.arguments, vector)
        return ir.Program(arguments, (base.results[0], result), names, base.result_shape)

    def names(
        self, base: ir.Program, pushed: Forward | None, vector: ir.Input | None, result: ir.Array
    ) -> Mapping[ir.Array, str]:
        """The names of the program before, those of tangents after them, and of what is new."""
        known = ir.in_order([base.results[0], result])
        distinct = Distinct()
        names: dict[ir.Array, str] = {}
        for array, name in base.names.items():
            if (array in known or array in base.arguments) and name != "gradient":
                names[array] = distinct(name)
        if vector is not None:
            names[vector] = distinct({"hvp": "v", "jvp": "v"}.get(self.wanted.kind, "w"))
        if not is_free(self.wanted.name):
            raise AssertionError(self.wanted.name)
        names[result] = distinct(self.wanted.name)
        for array, name in list(names.items()):
            tangent = pushed.tangents.get(array) if pushed is not None else None
            if isinstance(tangent, Tangent) and tangent.array in known and tangent.array not in names:
                names[tangent.array] = distinct(f"{name}_dot")
        return names


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

"""Check a program: that shapes and samples fit, positions lie in range, and names are unique and free.

Whoever makes or changes programs breaks one of these rules first, and a backend that writes such a program
would give wrong numbers or none. The tests verify every program that they compile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from autobp import ir
from autobp.ir.expression import used_slots
from autobp.ir.printed import shape_text
from autobp.ir.reserved import is_free

_UFUNCS = ("add", "maximum", "minimum")


class ProgramError(ValueError):
    """A program breaks a rule of its kind: which array, and what is wrong with it."""


def verify(program: ir.Program) -> None:
    """Check a program, and the bodies that it holds.

    Raises:
        ProgramError: what is wrong, with which array.
    """
    _check_names(program, set())
    _Verifier(program, ()).run()


def _check_names(program: ir.Program, outside: set[str]) -> None:
    """Names are unique, in bodies too, and may be variables."""
    taken = set(outside)
    for array, name in program.names.items():
        if not is_free(name):
            raise ProgramError(f"{name!r} cannot be the name of an array: it is no identifier, or taken")
        if name in taken:
            raise ProgramError(f"{name!r} names two arrays, one of them a {type(array).__name__}")
        taken.add(name)
    for argument in program.arguments:
        if isinstance(argument, ir.Input) and argument not in program.names:
            raise ProgramError(f"argument {argument.number + 1} has no name")
    for array in program.arrays:
        if isinstance(array, ir.Loop):
            _check_names(array.body, taken)


class _Verifier:
    """Checks one program; a method for each kind of array, by its class's name, has the kind's rules."""

    def __init__(self, program: ir.Program, within: Sequence[str]) -> None:
        self.program = program
        self.within = tuple(within)
        self.array: ir.Array | None = None  # which is looked at

    def run(self) -> None:
        self.arguments()
        for array in self.program.arrays:
            self.array = array
            rule = ir.method_for(array, self)
            self.need(rule is not None, "is of no kind that is known")
            assert rule is not None
            rule(array)
        self.array = None
        self.results()

    def need(self, holds: bool, message: str) -> None:
        """Raise, naming the array, where something does not hold."""
        if holds:
            return
        array = self.array
        who = "the program"
        if array is not None:
            name = self.program.names.get(array, "without a name")
            number = f", array {self.place(array)}" if array in self.program.arrays else ""
            who = f"{type(array).__name__} {name} ({shape_text(array.shape, array.batched)}{number})"
        raise ProgramError(" of ".join([who, *self.within]) + f" {message}")

    def place(self, array: ir.Array) -> int:
        """Which array it is, counted from 1 as the program computes them."""
        return self.program.arrays.index(array) + 1

    # ------------------------------------------------------------------------------- the program as a whole

    def arguments(self) -> None:
        arguments = self.program.arguments
        self.need(len(set(arguments)) == len(arguments), "has an argument twice")
        if self.within:
            self.need(all(isinstance(x, ir.Local) for x in arguments), "has arguments that are not Local")
        else:
            kinds = [type(x) for x in arguments]
            self.need(kinds == [ir.Theta] + [ir.Input] * (len(kinds) - 1), "does not take theta, then inputs")
            numbers = [x.number for x in self.program.inputs]
            self.need(numbers == list(range(len(numbers))), f"has inputs with the numbers {numbers}")

    def results(self) -> None:
        results = self.program.results
        if self.within:
            return
        self.need(len(results) > 0, "has no results")
        first = results[0]
        if self.program.result_shape is not None:
            size = math.prod(self.program.result_shape)
            self.need(len(results) <= 2, f"has outputs and {len(results) - 1} results beside them")
            self.need(first.shape == (size,), f"has outputs of the shape {first.shape}, not {(size,)}")
            return
        self.need(isinstance(first, ir.Total), f"has a cost that is a {type(first).__name__}, not a Total")
        self.need(len(results) <= 2, f"has {len(results)} results; a cost and a derivative are the most")
        for derivative in results[1:]:
            self.array = derivative
            theta = self.program.theta
            whole = derivative.shape[-1:] == theta.shape and len(derivative.shape) <= 2
            self.need(
                whole and not derivative.batched,
                f"is the gradient, and theta is {shape_text(theta.shape, False)}",
            )

    # ------------------------------------------------------------------------------------- what rules share

    def elements(self, arrays: Sequence[ir.Array], shape: ir.Shape) -> None:
        """Arrays whose elements meet: they fill the shape together, and samples stand in one place."""
        try:
            together = np.broadcast_shapes(*[x.shape for x in arrays])
        except ValueError:
            self.need(False, f"joins the shapes {', '.join(str(x.shape) for x in arrays)}")
        self.need(together == shape, f"has operands that fill {together} together")
        for x in arrays:
            self.rank(x, len(shape))

    def rank(self, x: ir.Array, rank: int) -> None:
        """An operand with samples has all axes, or its samples would meet another's elements."""
        self.need(
            not x.batched or len(x.shape) == rank,
            f"has an operand {shape_text(x.shape, True)} with samples, which needs {rank} axes beside them",
        )

    def positions(self, positions: ir.Indices, size: int, of: str = "its source") -> None:
        """Positions lie in the flattened source."""
        self.need(positions.dtype.kind in "iu", f"has positions of {positions.dtype}")
        if positions.size:
            low, high = int(positions.min()), int(positions.max())
            self.need(low >= 0 and high < size, f"has positions {low} … {high}; {of} has {size} elements")

    def one_axis(self, source: ir.Array) -> None:
        self.need(len(source.shape) == 1, f"has a source of the shape {source.shape}, not of one axis")

    def ufunc(self, name: str) -> None:
        self.need(name in _UFUNCS, f"reduces by {name!r}, which is none of {', '.join(_UFUNCS)}")

    # ---------------------------------------------------------------------------------------- the arguments

    def argument(self, array: ir.Array) -> None:
        self.need(array in self.program.arguments, "is no argument of the program that uses it")

    theta = input = local = argument

    def constant(self, array: ir.Constant) -> None:
        self.need(array.values.dtype == np.float64, f"holds numbers of {array.values.dtype}")

    def absent(self, array: ir.Absent) -> None:
        self.need(False, "is computed from, but only says where pieces belong")

    # ------------------------------------------------------------------------------ elements and arrangement

    def view(self, array: ir.View) -> None:
        self.need(len(array.strides) == len(array.shape), f"has the strides {array.strides}")
        self.need(array.size > 0, "has no elements")
        self.positions(_corners(array), array.source.size)

    def gather(self, array: ir.Gather) -> None:
        self.positions(array.positions, array.source.size)

    def spread(self, array: ir.Spread) -> None:
        self.one_axis(array.source)
        n = array.source.size
        self.need(array.positions.shape == (n,), f"has {array.positions.size} positions for {n} elements")
        self.positions(array.positions, array.size, "it")
        self.need(len(np.unique(array.positions)) == n, "sets an element twice")

    def reshape(self, array: ir.Reshape) -> None:
        self.need(array.size == array.source.size, f"has a source of {array.source.size} elements")

    def fill(self, array: ir.Fill) -> None:
        self.need(_fits(array.source.shape, array.shape), f"cannot be filled with {array.source.shape}")
        self.rank(array.source, len(array.shape))
        self.need(array.batched or not array.source.batched, "loses the samples of its source")

    def repeat(self, array: ir.Repeat) -> None:
        self.one_axis(array.source)
        n = array.source.size
        self.need(array.counts.shape == (n,), f"has {array.counts.size} counts for {n} elements")
        self.need(bool((array.counts >= 0).all()), "repeats an element less than 0 times")

    def choose(self, array: ir.Choose) -> None:
        index, values = array.index, array.values
        self.need(len(values.shape) == 2 and values.size > 0, f"chooses from the shape {values.shape}")
        self.one_axis(index)
        if not array.outer:
            same = index.shape[0] == values.shape[0]
            self.need(same, f"has {index.shape[0]} indices for {values.shape[0]} rows")

    def onehot(self, array: ir.OneHot) -> None:
        self.need(array.n > 0, f"is for {array.n} elements")

    def scatteradd(self, array: ir.ScatterAdd) -> None:
        delta, index = array.delta.shape, array.index.shape
        self.need(array.n > 0, f"is for {array.n} elements")
        self.need(len(delta) == 2 and delta[:1] == index, f"adds up delta {delta} by an index {index}")
        self.need(array.delta.batched or not array.index.batched, "has samples in its index alone")

    def assemble(self, array: ir.Assemble) -> None:
        counts = len(array.pieces), len(array.places), len(array.added)
        self.need(len(set(counts)) == 1, f"has {counts} pieces, places and marks of what is added")
        known = np.full(array.size, array.zeros)
        first = np.ones(array.size, dtype=bool)  # not yet set by a piece
        for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
            shape = array.shape if place is None else place.shape
            self.need(_fits(piece.shape, shape), f"has a piece {piece.shape} for the place {shape}")
            self.rank(piece, len(shape))
            self.need(array.batched or not piece.batched, "loses the samples of a piece")
            where = self.places(place, array.size)
            if added:
                self.need(bool(known[where].all()), "adds a piece to elements that are not set")
            else:
                self.need(bool(first[where].all()), "sets elements twice")
            known[where], first[where] = True, False
        self.need(bool(known.all()), "has elements that no piece sets")

    def places(self, place: ir.Place | None, size: int) -> Any:
        """The positions that a piece is for: in range, none twice."""
        if place is None:
            return slice(None)
        where = place.indices().reshape(-1)
        self.positions(where, size, "it")
        self.need(len(np.unique(where)) == len(where), "has a piece that sets one element twice")
        return where

    # ---------------------------------------------------------------------------------------- elementwise

    def map(self, array: ir.Map) -> None:
        op = array.operation
        given = len(array.arrays), len(array.constants)
        self.need(
            op.arity in (None, given[0]) and len(op.constants) == given[1],
            f"applies {op.name} to {given[0]} arrays and {given[1]} constants",
        )
        self.elements(array.arrays, array.shape)

    def sum(self, array: ir.Sum) -> None:
        signs, n = len(array.signs), len(array.arrays)
        self.need(signs == n and n > 0, f"has {signs} signs for {n} arrays")
        self.elements(array.arrays, array.shape)

    def elementwise(self, array: ir.Elementwise) -> None:
        used, n = used_slots(array.expression), len(array.arrays)
        self.need(used <= set(range(n)), f"uses the operands {sorted(used)} of {n}")
        self.elements(array.arrays, array.shape)

    # ------------------------------------------------------------------------------ products and reductions

    def matmul(self, array: ir.MatMul) -> None:
        rows, columns = array.rows.shape, array.columns.shape
        self.need(len(columns) >= 2, f"has columns of the shape {columns}, which need two axes")
        without_p = len(rows) == len(columns) - 1
        stack = rows[:-1] if without_p else rows[:-2]
        fits = len(rows) in (len(columns), len(columns) - 1) and stack == columns[:-2]
        self.need(fits and rows[-1:] == columns[-1:], f"multiplies rows {rows} by columns {columns}")

    def product(self, array: ir.Product) -> None:
        delta, other, shape = array.delta, array.other, array.shape
        self.need(array.spec in ("rows", "columns"), f"is the adjoint of {array.spec!r}")
        self.need(delta.batched or other.batched or not array.batched, "has samples, and no operand has")
        if array.spec == "rows":
            fits = delta.shape[-1:] == other.shape[-2:-1] and shape == (*delta.shape[:-1], *other.shape[-1:])
        else:
            has_p = len(delta.shape) == len(shape)
            stack = delta.shape[:-2] if has_p else delta.shape[:-1]
            p = (delta.shape[-2:-1], other.shape[-2:-1]) if has_p else ((), ())
            fits = p[0] == p[1] and shape == (*stack, *delta.shape[-1:], *other.shape[-1:])
        self.need(fits, f"multiplies delta {delta.shape} by {other.shape} for the {array.spec}")

    def rowdot(self, array: ir.RowDot) -> None:
        x, y = array.x.shape, array.y.shape
        self.need(bool(x) and bool(y) and x[-1] == y[-1] and _join(x, y), f"multiplies {x} by {y}")
        rank = max(len(x), len(y))
        self.rank(array.x, rank)
        self.rank(array.y, rank)

    def reduce(self, array: ir.Reduce) -> None:
        self.ufunc(array.ufunc)
        self.need(bool(array.source.shape) and array.source.shape[-1] > 0, "has nothing to reduce")

    def segments(self, array: ir.Segments) -> None:
        self.ufunc(array.ufunc)
        self.one_axis(array.source)
        starts = array.starts
        rising = starts.size > 0 and starts[0] == 0 and bool((np.diff(starts) > 0).all())
        self.need(rising, "has stretches that do not start at 0 and rise")
        self.positions(starts, array.source.size)

    def sumto(self, array: ir.SumTo) -> None:
        source, axes = array.source, array.axes
        rank = len(source.shape)
        there = all(0 <= axis < rank for axis in axes) and len(set(axes)) == len(axes)
        self.need(there, f"sums over the axes {axes} of {rank}")
        self.need(source.batched or not array.samples, "sums over samples, of which there are none")
        dropped = range(array.drop)
        gone = all(axis in axes or source.shape[axis] == 1 for axis in dropped if axis < rank)
        self.need(array.drop <= rank and gone, f"drops {array.drop} axes that are not summed over")

    def total(self, array: ir.Total) -> None:
        self.need(array in self.program.results, "is computed from, but can only be a result")
        for term in array.terms:
            if term.y is not None:
                same = term.x.shape == term.y.shape and term.x.batched == term.y.batched
                self.need(same, f"multiplies {term.x.shape} by {term.y.shape}")

    # --------------------------------------------------------------------------------------------- loops

    def loop(self, array: ir.Loop) -> None:
        body = array.body
        name = self.program.names.get(array, f"array {self.place(array)}")
        _Verifier(body, (f"the body of Loop {name}", *self.within)).run()
        given = (*array.initial, *array.sequences, *array.invariants)
        self.need(array.steps > 0, f"has {array.steps} steps")
        self.need(len(body.arguments) == len(given), f"gives {len(given)} arrays for {len(body.arguments)}")
        for i, (x, argument) in enumerate(zip(given, body.arguments, strict=True)):
            shape = x.shape
            if len(array.initial) <= i < len(array.initial) + len(array.sequences):
                self.need(shape[:1] == (array.steps,), f"takes its steps from the shape {shape}")
                shape = shape[1:]
            self.alike(shape, x.batched, argument, f"argument {i + 1} of its body")
        left, states = len(body.results), len(array.initial)
        self.need(left >= states, f"leaves {left} of {states} states")
        for i, (x, after) in enumerate(zip(array.initial, body.results, strict=False)):
            self.alike(x.shape, x.batched, after, f"the next of state {i + 1}")

    def alike(self, shape: ir.Shape, batched: bool, x: ir.Array, what: str) -> None:
        self.need(
            x.shape == shape and x.batched == batched,
            f"has {shape_text(shape, batched)} where {what} is {shape_text(x.shape, x.batched)}",
        )

    def result(self, array: ir.Result) -> None:
        n = len(array.loop.body.results)
        self.need(0 <= array.number < n, f"is result {array.number} of {n}")


def _corners(view: ir.View) -> ir.Indices:
    """The lowest and the highest position of a view."""
    ends = [stride * (n - 1) for n, stride in zip(view.shape, view.strides, strict=True)]
    low = view.base + sum(min(end, 0) for end in ends)
    return np.array([low, view.base + sum(max(end, 0) for end in ends)], dtype=np.int64)


def _fits(shape: ir.Shape, to: ir.Shape) -> bool:
    """Whether an array of a shape can be repeated to another."""
    return _join(shape, to) and np.broadcast_shapes(shape, to) == to


def _join(x: ir.Shape, y: ir.Shape) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(x[::-1], y[::-1], strict=False))

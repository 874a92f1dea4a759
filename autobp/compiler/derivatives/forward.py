"""Forward mode over a program: the tangent of each array, by a rule for its kind.

Most kinds are linear in their operands: their tangent is the same kind of array of the operands' tangents. A
product has two of them, and what goes by elements is differentiated by the operation table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from autobp import ir
from autobp.compiler.adjoint import Adjoint, assemble, elementwise
from autobp.compiler.derivatives.formulas import NoDerivative, chosen, is_zero, tangent_of, total
from autobp.compiler.derivatives.products import matmul, product, rowdot
from autobp.compiler.derivatives.tangents import (
    Known,
    Tangent,
    added,
    among,
    filled,
    only,
    picked,
    ranked,
    reshaped,
    turned,
    view,
    without_zeros,
)
from autobp.compiler.derivatives.through_steps import Stepped, through_steps
from autobp.compiler.differentiate import partials_of_map
from autobp.compiler.names import Distinct
from autobp.ir.expression import Expression, slots, substitute, times, used_slots
from autobp.ir.substituting import of_operands
from autobp.ops import WHERE

#: An expression for what changes where slots have these tangents; it is linear in them.
Derivative = Callable[[dict[int, Any]], Any]


def push(
    results: Sequence[ir.Array],
    seeds: Mapping[ir.Array, Known],
    taken: Set[str] = frozenset(),
    needed: Mapping[ir.Array, Set[int]] | None = None,
) -> Forward:
    """Forward mode over all arrays that results depend on; arguments as for :class:`Forward`."""
    return Forward(seeds, taken, needed).run(results)


class Forward:
    """Goes through arrays in order; a method for each kind, by its class's name, has its rule.

    A loop is replaced by one that computes its tangents too, and so is what depends on it.

    Args:
        seeds: the tangents of arguments; either all in a single direction, or none. An error stands for one
            that there is no rule for.
        taken: names that nothing in a loop may get.
        needed: the directions in which tangents are needed, of arrays of which not all are.

    Attributes:
        made: what each array became.
        tangents: of what became of arrays so far, where they have one; in place of one that there is no rule
            for, the error.
        loops: what became of loops, by the loop.
        parts: of tangents, some directions, by the array and these.
        merged: of tangents that were put together from several, by their arrays, these: what they are added
            to is put together anew, and not copied.
    """

    def __init__(
        self,
        seeds: Mapping[ir.Array, Known],
        taken: Set[str] = frozenset(),
        needed: Mapping[ir.Array, Set[int]] | None = None,
    ) -> None:
        self.tangents: dict[ir.Array, Known] = dict(seeds)
        self.taken, self.needed = taken, needed
        self.parts: dict[tuple[ir.Array, tuple[int, ...]], Tangent] = {}
        self.merged: dict[ir.Array, Sequence[Tangent]] = {}
        self.made: dict[ir.Array, ir.Array] = {}
        self.loops: dict[ir.Array, Stepped] = {}

    def run(self, results: Sequence[ir.Array]) -> Forward:
        """Go through all that some arrays depend on."""
        for array in ir.in_order(results):
            self.visit(array)
        return self

    def visit(self, array: ir.Array) -> None:
        """Find what an array becomes, and its tangent."""
        if isinstance(array, ir.Result) and array.loop in self.loops:
            result, known = self.loops[array.loop].results[array.number]
            self.made[array] = result
            if known is not None:
                self.tangents[result] = known
            return
        new = self.made[array] = of_operands(array, self.made)
        if new in self.tangents or not any(x in self.tangents for x in new.operands):
            return
        if isinstance(new, ir.Loop):
            self.loops[array] = stepped = through_steps(self, new)
            self.made[array] = stepped.loop
            return
        needed = self.needed.get(array) if self.needed is not None else None
        if needed is None:
            self.differentiate(new)
            return
        some = Forward({x: t for x in new.operands if (t := self.part(x, needed)) is not None})
        some.merged = self.merged
        some.visit(new)
        if new in some.tangents:
            self.tangents[new] = some.tangents[new]

    def part(self, array: ir.Array, needed: Set[int]) -> Known | None:
        """An array's tangent in those directions that are needed."""
        t = self.tangents.get(array)
        if not isinstance(t, Tangent) or t.directions is None:
            return t
        kept = tuple([i for i in t.directions if i in needed])
        if not kept or kept == t.directions:
            return t if kept else None
        if (array, kept) not in self.parts:
            self.parts[array, kept] = only(t, kept)
        return self.parts[array, kept]

    def differentiate(self, array: ir.Array) -> None:
        """Find an array's tangent by the rule for its kind."""
        rule = ir.method_for(array, self)
        try:
            if rule is None:
                raise NoDerivative(f"no derivative of a program goes through a {type(array).__name__}")
            found = rule(array)
        except NoDerivative as error:
            self.tangents[array] = error  # which counts only where something depends on it
            return
        found = None if found is None else without_zeros(found)
        if found is not None:
            self.tangents[array] = found

    def name(self, names: dict[ir.Array, str], results: Sequence[ir.Array]) -> None:
        """Give names to tangents that some results depend on, after what they are tangents of.

        Args:
            names: of what arrays became; added to.
        """
        there = set(ir.in_order(results))
        distinct = Distinct({*self.taken, *names.values()})
        for array, name in list(names.items()):
            tangent = self.tangents.get(array)
            if isinstance(tangent, Tangent) and tangent.array in there and tangent.array not in names:
                names[tangent.array] = distinct(f"{name}_dot")

    def of(self, array: ir.Array) -> Tangent:
        """An array's tangent, which it has. Raises NoDerivative where its kind or operation has no rule."""
        found = self.tangents[array]
        if isinstance(found, NoDerivative):
            raise found
        return found

    # ------------------------------------------------------------------------- elements and arrangement

    def view(self, array: ir.View) -> Tangent:
        t = self.of(array.source)
        source = filled(t, array.source, False)
        if not t.lead:
            return replace(t, array=picked(source, replace(array, source=source)))
        strides = (array.source.size, *array.strides)
        place = view(source, array.base, (*t.lead, *array.shape), strides)
        return replace(t, array=picked(source, place))

    def gather(self, array: ir.Gather) -> Tangent:
        t = self.of(array.source)
        source = filled(t, array.source, False)
        positions = _by_direction(array.positions, t, array.source.size)
        return replace(t, array=picked(source, ir.Gather(source, positions)))

    def spread(self, array: ir.Spread) -> Tangent:
        t = self.of(array.source)
        source = reshaped(filled(t, array.source, False), (_size(t) * array.source.size,))
        positions = _by_direction(array.positions, t, array.size).reshape(-1)
        return replace(t, array=ir.Spread(source, positions, (*t.lead, *array.shape)))

    def reshape(self, array: ir.Reshape) -> Tangent:
        t = self.of(array.source)
        return replace(t, array=reshaped(filled(t, array.source, False), (*t.lead, *array.shape)))

    def fill(self, array: ir.Fill) -> Tangent:
        t = self.of(array.source)
        return replace(t, array=ranked(t, len(array.shape)))

    def repeat(self, array: ir.Repeat) -> Tangent:
        t = self.of(array.source)
        source = reshaped(filled(t, array.source, False), (_size(t) * array.source.size,))
        made: ir.Array = ir.Repeat(source, np.tile(array.counts, _size(t)))
        return replace(t, array=reshaped(made, (*t.lead, *array.shape)))

    def choose(self, array: ir.Choose) -> Tangent | None:
        """values[index] for each direction: its directions are more of the values to choose from."""
        values = array.values
        if values not in self.tangents:
            return None
        t = self.of(values)
        rows, n = values.shape
        if not t.lead:
            return replace(t, array=replace(array, values=filled(t, values, values.batched)))
        source = filled(t, values, values.batched)
        if array.outer:  # (directions·o, n), chosen from as (p, directions·o)
            flat = reshaped(source, (_size(t) * rows, n))
            p = array.index.shape
            made = ir.Reshape(ir.Choose(array.index, flat, True), (*p, *t.lead, rows))
            turned = view(made, 0, (*t.lead, *p, rows), (rows, _size(t) * rows, 1))
            return replace(t, array=turned)
        index = ir.Fill(
            ir.Reshape(array.index, (1, rows)) if array.index.batched else array.index,
            (*t.lead, rows),
            array.index.batched,
        )
        flat_index = ir.Reshape(index, (_size(t) * rows,))
        chosen_ones = ir.Choose(flat_index, reshaped(source, (_size(t) * rows, n)), False)
        return replace(t, array=ir.Reshape(chosen_ones, (*t.lead, rows)))

    def onehot(self, array: ir.OneHot) -> None:
        """Nothing: an index is no function of anything."""

    def scatteradd(self, array: ir.ScatterAdd) -> Tangent:
        """That of delta, scattered: its directions stand beside its columns."""
        t, delta = self.of(array.delta), array.delta
        made = filled(t, delta, delta.batched)
        if not t.lead:
            return replace(t, array=ir.ScatterAdd(made, array.index, array.n))
        k, (p, o) = _size(t), delta.shape
        beside = reshaped(turned(made, (1, 0, 2)), (p, k * o))
        found = ir.ScatterAdd(beside, array.index, array.n)
        return replace(t, array=reshaped(found, (*t.lead, o, array.n)))

    def assemble(self, array: ir.Assemble) -> Tangent | None:
        pairs = zip(array.pieces, array.places, strict=True)
        known = [(self.of(x), place) for x, place in pairs if x in self.tangents]
        if not known:
            return None
        several = any(t.lead for t, _ in known)
        directions = tuple(sorted({i for t, _ in known for i in t.directions or ()})) if several else None
        pieces: list[tuple[ir.Place | None, Adjoint]] = []
        for t, place in known:
            shape = array.shape if place is None else place.shape
            where = place if directions is None else among(place, t, directions, array)
            pieces.append((where, Adjoint(array=ranked(t, len(shape)))))
        lead = () if directions is None else (len(directions),)
        return Tangent(assemble(pieces, ir.Absent((*lead, *array.shape), False)), directions)

    # -------------------------------------------------------------------------------------- elementwise

    def map(self, array: ir.Map) -> Tangent | None:
        arrays: list[ir.Array] = [array, *array.operands]
        if array.operation is WHERE:
            condition = slots(2)[1]
            return self.by_elements(
                array, arrays, lambda changes: chosen("where", condition, [changes.get(2), changes.get(3)])
            )
        partials = [0.0, *partials_of_map(array)]
        return self.by_elements(
            array, arrays, lambda changes: total([(partials[i], change) for i, change in changes.items()])
        )

    def sum(self, array: ir.Sum) -> Tangent:
        by: dict[tuple[int, ...] | None, list[tuple[float, ir.Array]]] = {}
        rank = len(array.shape)
        for sign, x in zip(array.signs, array.arrays, strict=True):
            if x in self.tangents:
                whole = self.of(x)
                for t in self.merged.get(whole.array, [whole]):
                    by.setdefault(t.directions, []).append((sign, ranked(t, rank)))
        parts = []
        for directions, terms in by.items():
            signs, arrays = zip(*terms, strict=True)
            shape = np.broadcast_shapes(*[x.shape for x in arrays])
            alone = len(arrays) == 1 and signs == (1.0,)
            parts.append(Tangent(arrays[0] if alone else ir.Sum(arrays, shape, signs), directions))
        return added(parts, array)

    def elementwise(self, array: ir.Elementwise) -> Tangent | None:
        return self.by_elements(array, array.arrays, lambda changes: tangent_of(array.expression, changes))

    def by_elements(
        self, array: ir.Array, arrays: Sequence[ir.Array], derivative: Derivative
    ) -> Tangent | None:
        """The tangent of an array that goes by elements.

        Args:
            arrays: what the slots of the derivative stand for.
        """
        by: dict[tuple[int, ...] | None, list[int]] = {}
        broken: list[int] = []
        for i, x in enumerate(arrays):
            t = self.tangents.get(x) if x is not array else None
            if isinstance(t, Tangent):
                by.setdefault(t.directions, []).append(i)
            elif t is not None:
                broken.append(i)
        for i in broken:  # a kind without a rule, behind which nothing may depend on it
            if derivative({i: Expression("slot", len(arrays))}) is not None:
                self.of(arrays[i])
        parts = []
        for directions, which in by.items():
            made = self._in_directions(array, arrays, which, derivative)
            if made is not None:
                parts.append(Tangent(made, directions))
        return added(parts, array) if parts else None

    def _in_directions(
        self, array: ir.Array, arrays: Sequence[ir.Array], which: Sequence[int], derivative: Derivative
    ) -> ir.Array | None:
        """The tangent in directions that are the same for some operands."""
        rank = len(array.shape)
        operands = list(arrays)
        changes: dict[int, Any] = {}
        lead = self.of(arrays[which[0]]).lead
        if lead > (1,) and (found := self._by_slopes(array, arrays, which, derivative)) is not None:
            return found
        for i in which:
            t = self.of(arrays[i])
            number = _same_number(t)
            if number is not None:
                changes[i] = number
                continue
            changes[i] = Expression("slot", len(operands))
            operands.append(ranked(t, rank))
        expression = derivative(changes)
        if expression is None or is_zero(expression):
            return None
        if not isinstance(expression, Expression):
            return ir.Constant(np.full((*lead, *[1] * rank), expression))
        if not used_slots(expression):  # of the number of samples alone
            return ir.Fill(ir.Elementwise((), expression), (*lead, *[1] * rank), False)
        made = _elementwise(operands, expression)
        if len(made.shape) < len(lead) + rank:  # a single direction of ones, which needs no axis
            missing = len(lead) + rank - len(made.shape)
            made = reshaped(made, (*[1] * missing, *made.shape))
        return made

    def _by_slopes(
        self, array: ir.Array, arrays: Sequence[ir.Array], which: Sequence[int], derivative: Derivative
    ) -> ir.Array | None:
        """The tangent as a sum of operands' tangents, each times its slope, which all directions share.

        None where a choice is made: what was not taken may be infinite, and adds nothing.
        """
        operands: list[ir.Array] = []
        total: Any = None
        for i in which:
            slope = derivative({i: 1.0})
            if slope is None or is_zero(slope):
                continue
            term = Expression("slot", len(operands))
            operands.append(ranked(self.of(arrays[i]), len(array.shape)))
            if isinstance(slope, Expression):
                if _chooses(slope) or not used_slots(slope):
                    return None
                term = times(term, Expression("slot", len(operands)))
                operands.append(_elementwise(arrays, slope))
            else:
                term = times(slope, term)
            total = term if total is None else Expression("+", total, term)
        if total is None or any(isinstance(x, ir.Constant) for x in operands):
            return None
        return elementwise(operands, total)

    # ------------------------------------------------------------------------- products and reductions

    def matmul(self, array: ir.MatMul) -> Tangent:
        return self.bilinear(array, array.rows, array.columns, matmul)

    def product(self, array: ir.Product) -> Tangent:
        return self.bilinear(array, array.delta, array.other, product)

    def rowdot(self, array: ir.RowDot) -> Tangent:
        return self.bilinear(array, array.x, array.y, rowdot)

    def bilinear(self, array: ir.Array, x: ir.Array, y: ir.Array, rule: Callable[..., ir.Array]) -> Tangent:
        """The tangent of a product: that of each factor, times the other."""
        parts = []
        if x in self.tangents:
            t = self.of(x)
            parts.append(replace(t, array=rule(array, t, None)))
        if y in self.tangents:
            t = self.of(y)
            parts.append(replace(t, array=rule(array, None, t)))
        found = added(parts, array)
        if len(parts) > 1 and found.directions not in [t.directions for t in parts]:
            self.merged[found.array] = parts
        return found

    def reduce(self, array: ir.Reduce) -> Tangent:
        if array.ufunc != "add":
            raise NoDerivative(f"no derivative of a program goes through a {array.ufunc} over an axis")
        t = self.of(array.source)
        made: ir.Array = ir.Reduce(filled(t, array.source, False))
        return replace(t, array=reshaped(made, (*t.lead, *array.shape)))

    def segments(self, array: ir.Segments) -> Tangent:
        if array.ufunc != "add":
            raise NoDerivative(f"no derivative of a program goes through a {array.ufunc} over stretches")
        t = self.of(array.source)
        n = array.source.size
        source = reshaped(filled(t, array.source, False), (_size(t) * n,))
        starts = _by_direction(array.starts, t, n).reshape(-1)
        return replace(t, array=reshaped(ir.Segments(source, starts, "add"), (*t.lead, *array.shape)))

    def sumto(self, array: ir.SumTo) -> Tangent:
        t = self.of(array.source)
        n = len(t.lead)
        made: ir.Array = filled(t, array.source, False)
        axes = tuple([n + axis for axis in array.axes])
        if axes or (array.samples and made.batched):
            made = ir.SumTo(made, axes, array.samples and made.batched)
        if array.samples and not t.array.batched:  # the same for each sample
            made = _elementwise([made], Expression("*", Expression("slot", 0), Expression("m")))
        return replace(t, array=reshaped(made, (*t.lead, *array.shape)))


def _chooses(expression: Expression) -> bool:
    """Whether some part of an expression is one of several, by a condition."""
    parts = [x for x in expression.arguments if isinstance(x, Expression)]
    return expression.name in ("where", "choose") or any(map(_chooses, parts))


def _size(t: Tangent) -> int:
    """How many directions there are."""
    return t.lead[0] if t.lead else 1


def _by_direction(positions: ir.Indices, t: Tangent, size: int) -> ir.Indices:
    """Positions in an array of some size, for each direction of its tangent."""
    if not t.lead:
        return positions
    starts = np.arange(_size(t), dtype=np.int64) * size
    return starts.reshape(-1, *[1] * positions.ndim) + positions


def _same_number(t: Tangent) -> float | None:
    """The number that a tangent in one direction is everywhere; None where it is no such number."""
    if isinstance(t.array, ir.Constant) and (t.directions is None or len(t.directions) == 1):
        values = t.array.values
        if values.size and (values == values.flat[0]).all():
            return float(values.flat[0])
    return None


def _elementwise(arrays: Sequence[ir.Array], expression: Expression) -> ir.Array:
    """An Elementwise of those arrays that the expression uses."""
    used = sorted(used_slots(expression))
    rest = substitute(expression, {slot: Expression("slot", i) for i, slot in enumerate(used)})
    return elementwise([arrays[i] for i in used], rest)

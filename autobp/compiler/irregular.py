"""Graphs that are no stack of matrices: what one operation computes at one level is an array, whatever from.

Where hardly two scalars are computed alike, a colour for each way (:mod:`~autobp.compiler.group`) would be a
statement for each scalar. So the numbers that are still needed lie side by side in a pool. A level takes the
operands of all its operations out of it at once, each operation computes its stretch of them, and the next
level's pool is what is left of this one with the results behind it. There are no more statements than levels
times operations, and no zeros pad anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from autobp.compiler.canonical import EXTREMUM, LEAF, SUM, Canonical
from autobp.compiler.fetching import side_by_side
from autobp.compiler.levels import levels_of, reached_by_derivatives
from autobp.ir import (
    Argument,
    Array,
    Choose,
    Constant,
    Gather,
    Indices,
    Map,
    Program,
    Reduce,
    Reshape,
    Segments,
    Sum,
    View,
)
from autobp.ops import MAXIMUM, MULTIPLY, STOP_GRADIENT, TAKE, Operation

_FEW = 200  # arrays that any graph may have
_ALIKE = 16  # nodes of one array, on the average, that make matrices of any graph


class Form(NamedTuple):
    """What nodes of a level have in common that are computed together.

    Attributes:
        kind: LEAF, MAP, SUM or EXTREMUM.
        operation: of a map or an extremum.
        constants: of a map.
        n: the number of operands of a map; of a sum 2 where it has products, else 1.
        flat: whether no derivative flows through them, not even one of 0 that an infinite one would multiply.
    """

    kind: int
    operation: Operation | None
    constants: tuple[float, ...]
    n: int
    flat: bool


def form_of(graph: Canonical, node: int, flat: bool) -> Form:
    """The form of a node."""
    kind = graph.kinds[node]
    if kind == SUM:
        return Form(kind, None, (), 1 + any(b >= 0 for _, _, b in graph.terms[node]), flat)
    n = 0 if kind == EXTREMUM else len(graph.operands[node])
    return Form(kind, graph.operations[node], graph.constants[node], n, flat)


def forms_by_level(graph: Canonical) -> list[dict[Form, list[int]]]:
    """The nodes above the leaves, level by level, and by their form."""
    height, reached = levels_of(graph), reached_by_derivatives(graph)
    levels: list[dict[Form, list[int]]] = [{} for _ in range(max(height, default=0))]
    for node in graph.order:
        if graph.kinds[node] != LEAF:
            form = form_of(graph, node, node not in reached)
            levels[height[node] - 1].setdefault(form, []).append(node)
    return levels


class Bound:
    """How many arrays of colours a graph may have, before levels and forms make fewer of it.

    Attributes:
        forms: as :func:`forms_by_level` has them, which most graphs never need.
    """

    def __init__(self, graph: Canonical) -> None:
        self.graph = graph

    @cached_property
    def forms(self) -> list[dict[Form, list[int]]]:
        return forms_by_level(self.graph)

    @cached_property
    def _statements(self) -> list[int]:
        """About how many statements the levels take, up to each."""
        return list(accumulate([2 * len(at_level) + 2 for at_level in self.forms]))

    def is_exceeded(self, number: int, n_nodes: int, n_arrays: int) -> bool:
        """Whether there are too many arrays, for few nodes each, up to the level of a number from 0."""
        if n_arrays <= _FEW or n_nodes >= _ALIKE * n_arrays:
            return False
        return n_arrays > _FEW + self._statements[number]


def by_level(
    graph: Canonical, arguments: Sequence[Argument], levels: Sequence[dict[Form, list[int]]]
) -> tuple[Program, dict[Array, Indices]]:
    """The program of a graph's outputs, flat and in their order, without names.

    Args:
        arguments: theta, then the inputs.
        levels: as :func:`forms_by_level` has them.

    Returns:
        the program, and of the arrays that hold scalar nodes, which ones, by position.
    """
    pool = _Pool(graph, arguments, levels)
    for number, forms in enumerate(levels):
        pool.compute(number, forms)
    made = Gather(pool.array, pool.position[np.array(graph.outputs)])
    return Program(tuple(arguments), (made,), {}), pool.scalars


class _Pool:
    """The numbers that are still needed.

    Attributes:
        array: the pool, of one axis.
        held: the nodes in it, in their order.
        position: of each node in it, while it is needed.
        scalars: of the arrays that hold nodes, which ones, by position.
    """

    def __init__(
        self, graph: Canonical, arguments: Sequence[Argument], levels: Sequence[dict[Form, list[int]]]
    ) -> None:
        self.graph = graph
        self.scalars: dict[Array, Indices] = {}
        n = len(graph.kinds)
        self.position = np.zeros(n + 1, dtype=np.int64)
        self.one = n  # a node of its own: the second factor of what is added as it is
        self.last = np.full(n + 1, -1, dtype=np.int64)  # the last level that reads a node
        for number, forms in enumerate(levels):
            for form, nodes in forms.items():
                self.last[self.operands_of(form, nodes)] = number
        self.last[np.array(graph.outputs)] = len(levels)
        self._start(arguments)

    def operands_of(self, form: Form, nodes: Sequence[int]) -> Indices:
        """The operands of nodes, in the order in which the statement of their form takes them."""
        graph = self.graph
        if form.kind == SUM:
            terms = [term for node in nodes for term in graph.terms[node]]
            first = [a for _, a, _ in terms]
            second = [b if b >= 0 else self.one for _, _, b in terms] if form.n == 2 else []
            return np.array(first + second, dtype=np.int64)
        rows = [graph.operands[node] for node in nodes]
        if form.kind == EXTREMUM:
            return np.array([x for row in rows for x in row], dtype=np.int64)
        if form.operation is TAKE:  # the indices, then all there is to choose from
            flat = [row[0] for row in rows] + [x for row in rows for x in row[1:]]
            return np.array(flat, dtype=np.int64)
        return np.array([x for column in zip(*rows, strict=True) for x in column], dtype=np.int64)

    def _start(self, arguments: Sequence[Argument]) -> None:
        """Fill the pool with the arguments' elements and the constants that are read."""
        graph = self.graph
        by_role: list[list[int]] = [[] for _ in arguments]
        for node in graph.order:
            if graph.kinds[node] == LEAF and self.last[node] >= 0:
                by_role[graph.roles[node]].append(node)
        pieces: list[tuple[Array, list[int]]] = []
        for argument, nodes in zip(arguments, by_role, strict=True):
            if nodes:
                picked = np.array([graph.positions[node] for node in nodes])
                whole = np.array_equal(picked, np.arange(argument.size))
                pieces.append((argument if whole else Gather(argument, picked), nodes))
        fixed = [node for node in graph.fixed if self.last[node] >= 0]
        values = [graph.fixed[node] for node in fixed]
        if self.last[self.one] >= 0:
            fixed, values = [*fixed, self.one], [*values, 1.0]
        if fixed:
            pieces.append((Constant(np.array(values)), fixed))
        self._fill(pieces)

    def _fill(self, pieces: Sequence[tuple[Array, Sequence[int]]]) -> None:
        """Make a pool of arrays with the nodes that they hold."""
        base = 0
        for array, nodes in pieces:
            self.position[np.array(nodes)] = np.arange(base, base + array.size)
            base += array.size
        self.held = np.concatenate([np.array(nodes) for _, nodes in pieces])
        self.array = side_by_side([array for array, _ in pieces])

    def compute(self, number: int, forms: dict[Form, list[int]]) -> None:
        """Compute a level's nodes."""
        wanted = [self.operands_of(form, nodes) for form, nodes in forms.items()]
        taken = Gather(self.array, self.position[np.concatenate(wanted)])
        pieces: list[tuple[Array, Sequence[int]]] = []
        base = 0
        for (form, nodes), operands in zip(forms.items(), wanted, strict=True):
            made = self.made(form, nodes, taken, base)
            if form.flat:
                made = Map((made,), made.shape, STOP_GRADIENT)
            base += len(operands)
            self.scalars[made] = np.array(nodes, dtype=np.int64)
            pieces.append((made, nodes))
        kept = self.held[self.last[self.held] > number]
        if len(kept):
            pieces.append((Gather(self.array, self.position[kept]), kept.tolist()))
        self._fill(pieces)

    def made(self, form: Form, nodes: Sequence[int], taken: Array, base: int) -> Array:
        """The array of nodes of one form, whose operands are taken from a base on."""
        n = len(nodes)
        if form.kind == SUM:
            return self.sums(form, nodes, taken, base)
        if form.kind == EXTREMUM:
            lengths = [len(self.graph.operands[node]) for node in nodes]
            ufunc = "maximum" if form.operation is MAXIMUM else "minimum"
            return _folded(_part(taken, base, sum(lengths)), lengths, ufunc)
        assert form.operation is not None
        if form.operation is TAKE:
            values = View(taken, base + n, (n, form.n - 1), (form.n - 1, 1))
            return Choose(_part(taken, base, n), values, False)
        operands = [_part(taken, base + k * n, n) for k in range(form.n)]
        return Map(tuple(operands), (n,), form.operation, form.constants)

    def sums(self, form: Form, nodes: Sequence[int], taken: Array, base: int) -> Array:
        """Sums, of products where the form has them."""
        terms = [self.graph.terms[node] for node in nodes]
        lengths = [len(some) for some in terms]
        total = sum(lengths)
        made = _part(taken, base, total)
        if form.n == 2:
            made = Map((made, _part(taken, base + total, total)), (total,), MULTIPLY)
        signs = np.array([float(sign) for some in terms for sign, _, _ in some])
        if (signs < 0.0).any():
            made = Map((made, Constant(signs)), (total,), MULTIPLY)
        made = _folded(made, lengths, "add")
        offsets = np.array([self.graph.offsets[node] for node in nodes])
        if offsets.any():
            made = Sum((made, Constant(offsets)), made.shape, (1.0, 1.0))
        return made


def _part(taken: Array, base: int, n: int) -> Array:
    return View(taken, base, (n,), (1,))


def _folded(source: Array, lengths: Sequence[int], ufunc: str) -> Array:
    """The sums, maxima or minima of stretches of an array of one axis."""
    k, n = lengths[0], len(lengths)
    if any(length != k for length in lengths):
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        return Segments(source, starts, ufunc)
    if k == 1:
        return source
    return Reduce(Reshape(source, (n, k)), ufunc)

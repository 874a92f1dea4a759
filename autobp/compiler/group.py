"""Group scalar nodes of one kind into arrays, from the leaves up.

Nodes have a colour: what operation they are, on operands of which colours. A sum's is the set of its kinds of
terms, so that shorter sums belong with longer ones. The nodes of a colour become one array; where sums of one
colour turn out to be products of different shapes, each shape gets a colour of its own before the nodes
above are coloured. Constants are leaves like any other: what they are never decides a colour. What is written
twice, the same operation on the same elements, is one element.

A shorter sum is padded with zeros, which an infinity turns into NaN. That is seen in the result, but not
where a comparison, a choice or x**0 makes a number of it again: what leads to one of these is not padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.canonical import LEAF, MAP, SUM, Canonical
from autobp.compiler.factor import Factors, Pairs, Split, factor
from autobp.compiler.fetching import CONSTANT, Fetching
from autobp.compiler.layout import affine, arrange, grid_of, occurrences
from autobp.compiler.levels import leading_to_numbers
from autobp.ir import (
    Argument,
    Array,
    Choose,
    Constant,
    Fill,
    Indices,
    Input,
    Map,
    MatMul,
    Reduce,
    RowDot,
    Segments,
    Shape,
    Spread,
    Sum,
    Theta,
)
from autobp.ops import BUILT_IN, MAXIMUM, MULTIPLY, TAKE, Operation
from autobp.reading.graph import PARAMETER

THETA = 0
_MOST_PARTS = 16  # of a sum in one statement
_MOST_IN_ORDER = 8  # numbers from which on NumPy adds up in an order of its own

#: A kind of term: its sign, the colour of one operand, and of the other (None where there is none).
Kind = tuple[int, int, int | None]
#: Terms of one kind: the one operand of each, and the other.
Terms = tuple[list[int], list[int]]
#: Sums of one colour, each with its terms by their kind.
Members = list[tuple[int, dict[Kind, Terms]]]


class Alike(NamedTuple):
    """The nodes of a level, those together that become an array.

    Attributes:
        maps: all but sums, by what they are and the colours of their operands.
        sums: by the kinds of their terms.
    """

    maps: dict[Any, list[int]]
    sums: dict[Any, Members]


def arguments_of(n_parameters: int, samples: Sequence[Shape]) -> tuple[Argument, ...]:
    """The arguments of a whole program: theta, then the inputs."""
    return (Theta(n_parameters), *[Input(i, sample) for i, sample in enumerate(samples)])


class Builder(Fetching):
    """Makes arrays of nodes.

    Attributes:
        arrays: those so far. A leaf is an element of the one whose number is its role.
        graph: whose nodes they are.
        colour: of each node, the number of its array; -1 of constants.
        position: of each node, its position there.
        scalars: of the arrays that hold nodes, which ones, by position; -1 for none.
    """

    def __init__(self, graph: Canonical, arrays: Sequence[Array]) -> None:
        super().__init__(arrays)
        self.graph = graph
        self.scalars: dict[Array, Indices] = {}
        n = len(graph.kinds)
        self.colour = [CONSTANT] * n
        self.position = np.zeros(n, dtype=np.int64)
        self.exposed = leading_to_numbers(graph)
        self._place_leaves()

    def _place_leaves(self) -> None:
        graph = self.graph
        interned: dict[float, int] = {}
        values: list[float] = []
        for node, value in graph.fixed.items():
            # -0.0 and NaN are numbers of their own
            key: Any = value if value not in (0.0,) and value == value else repr(value)
            if key not in interned:
                interned[key] = len(values)
                values.append(value)
            self.position[node] = interned[key]
        self._values = np.array(values, dtype=np.float64)
        for node in graph.order:
            if graph.kinds[node] == LEAF:
                self.colour[node] = graph.roles[node]  # theta is array 0, argument k array k + 1
                self.position[node] = graph.positions[node]
        assert PARAMETER == THETA

    def build_level(self, nodes: list[int]) -> None:
        """Make the arrays of nodes whose operands have theirs."""
        self.build(self.alike(nodes))

    def alike(self, nodes: Sequence[int]) -> Alike:
        """Which nodes are alike, by the colours of their operands."""
        graph, colour = self.graph, self.colour
        maps: dict[Any, list[int]] = {}
        sums: dict[Any, Members] = {}
        for node in nodes:
            kind = graph.kinds[node]
            if kind == SUM:
                present: dict[Kind, Terms] = {}
                for sign, a, b in graph.terms[node]:
                    if b < 0:
                        key: Kind = (sign, colour[a], None)
                    else:
                        if self.is_column(colour[b], colour[a]):
                            a, b = b, a
                        key = (sign, colour[a], colour[b])
                    terms = present.get(key)
                    if terms is None:
                        terms = present[key] = ([], [])
                    terms[0].append(a)
                    terms[1].append(b)
                signature: Any = frozenset(present)
                if node in self.exposed:  # no longer sums among them, which would have it padded
                    signature = frozenset([(kind, len(terms[0])) for kind, terms in present.items()])
                sums.setdefault(signature, []).append((node, present))
            else:
                colours = [colour[x] for x in graph.operands[node]]
                signature = (
                    (MAP, graph.operations[node], graph.constants[node], tuple(colours))
                    if kind == MAP
                    else (kind, graph.operations[node], frozenset(colours))
                )
                maps.setdefault(signature, []).append(node)
        return Alike(maps, sums)

    def build(self, alike: Alike) -> None:
        """Make the arrays of nodes that are alike."""
        for signature, group in alike.maps.items():
            operation = signature[1]
            if signature[0] != MAP:
                self._build_extremum(group, operation)
            elif operation is TAKE and len(set(signature[3][1:])) == 1:
                self._build_take(group)
            else:
                self._build_map(group, operation, signature[2])
        for members in alike.sums.values():
            self._build_sum(members)

    def is_column(self, x: int, y: int) -> bool:
        """Whether x rather than y is the matrix in a product: a parameter, a constant, what has no samples.

        Operands of one colour stay as they are written.
        """
        if x == y:
            return False
        return self._column_rank(x) < self._column_rank(y)

    def _column_rank(self, colour: int) -> tuple[int, int]:
        if colour == THETA:
            return 0, 0
        if colour == CONSTANT:
            return 2, 0
        return (3 if self.arrays[colour].batched else 1), colour

    def settle(self, nodes: Sequence[int], colour: int, positions: Indices) -> None:
        """Say where nodes are."""
        self.position[np.array(nodes)] = positions
        for node in nodes:
            self.colour[node] = colour
        array = self.arrays[colour]
        if array not in self.scalars:
            self.scalars[array] = np.full(array.size, -1, dtype=np.int64)
            self.scalars[array][positions] = nodes

    def collect(self, outputs: Sequence[int]) -> Array:
        """The results as one flat array."""
        colours = [self.colour[x] for x in outputs]
        positions = self.position[np.array(outputs)]
        if len(set(colours)) == 1:
            return self.fetch(colours[0], positions, full=True)
        pieces: list[Array] = []
        for c in sorted(set(colours)):
            there = np.flatnonzero(np.array(colours) == c)
            pieces.append(Spread(self.fetch(c, positions[there], True), there, (len(outputs),)))
        return Sum(tuple(pieces), (len(outputs),), (1.0,) * len(pieces))

    # ----------------------------------------------------------------------------------- maps and choices

    def _elementwise(
        self, operands: Sequence[tuple[int, Indices]], *also: Indices, once: bool = True
    ) -> tuple[tuple[Array, ...], Indices, Shape]:
        """Operands, each a colour and positions (n,), laid out together: arrays, places of the n, shape.

        Args:
            also: (n,) numbers that elements must have in common, beside their operands, to be equal.
            once: whether equal elements have one place.
        """
        repeated = self._repeated(operands, also) if once else None
        if repeated is not None:
            operands = [(c, p[repeated[0]]) for c, p in operands]
        moving = [(c, p) for c, p in operands if c != CONSTANT]
        order, shape = arrange([p for _, p in moving], [self.arrays[c].shape for c, _ in moving])
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        arrays = []
        for c, p in operands:
            array = self.fetch(c, p[order].reshape(shape))
            if not array.batched and not isinstance(array, Theta):
                # broadcasting puts axes of size 1 in front by itself
                rank = max(1, len(array.shape) - next((i for i, n in enumerate(array.shape) if n > 1), 99))
                if rank < len(array.shape):
                    array = self.fetch(c, p[order].reshape(shape)[(0,) * (len(shape) - rank)])
            arrays.append(array)
        if np.broadcast_shapes(*[x.shape for x in arrays]) != shape:  # the same node several times
            arrays[0] = Fill(arrays[0], shape, arrays[0].batched)
        return tuple(arrays), places if repeated is None else places[repeated[1]], shape

    def _repeated(
        self, operands: Sequence[tuple[int, Indices]], also: Sequence[Indices]
    ) -> tuple[Indices, Indices] | None:
        """As :func:`occurrences` has them, the elements that are equal; None where all differ.

        Where constants differ, all have to be there equally often: no data that happen to be equal decide
        what stands where.
        """
        repeated = occurrences([*[p for _, p in operands], *also])
        constants = [*[p for c, p in operands if c == CONSTANT], *also]
        if repeated is not None and any((numbers != numbers[0]).any() for numbers in constants):
            times = np.bincount(repeated[1])
            return repeated if (times == times[0]).all() else None
        return repeated

    def _operand(self, ids: Sequence[int]) -> tuple[int, Indices]:
        return self.colour[ids[0]], self.position[np.array(ids)]

    def _build_map(self, nodes: list[int], operation: Operation, constants: tuple[float, ...]) -> None:
        rows = [self.graph.operands[node] for node in nodes]
        operands = [self._operand(column) for column in zip(*rows, strict=True)]
        # what a rule of somebody's own gives the second time is not known
        once = BUILT_IN.get(operation.name) is operation
        arrays, places, shape = self._elementwise(operands, once=once)
        self.settle(nodes, self.add(Map(arrays, shape, operation, constants)), places)

    def _build_take(self, nodes: list[int]) -> None:
        rows = [self.graph.operands[node] for node in nodes]
        index_colour, index = self._operand([row[0] for row in rows])
        by_length: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            by_length.setdefault(len(row), []).append(i)
        for same in by_length.values():
            picked = np.array(same)
            table = self.position[np.array([rows[i][1:] for i in same])]
            colour = self.colour[rows[same[0]][1]]
            made, places = self._choose(index_colour, index[picked], colour, table)
            self.settle([nodes[i] for i in same], self.add(made), places)

    def _choose(
        self, index_colour: int, index: Indices, colour: int, table: Indices
    ) -> tuple[Array, Indices]:
        which, ia = np.unique(index, return_inverse=True)
        values, ib = np.unique(table, axis=0, return_inverse=True)
        ia, ib = ia.reshape(-1), ib.reshape(-1)
        pairs = np.unique(ia * len(values) + ib)
        if len(pairs) == len(which) * len(values):
            made = Choose(self.fetch(index_colour, which, True), self.fetch(colour, values, True), True)
            return made, ia * len(values) + ib
        made = Choose(self.fetch(index_colour, index, True), self.fetch(colour, table, True), False)
        return made, np.arange(len(index), dtype=np.int64)

    def _build_extremum(self, nodes: list[int], operation: Operation) -> None:
        ufunc = "maximum" if operation is MAXIMUM else "minimum"
        present: list[dict[int, list[int]]] = []
        for node in nodes:
            by_colour: dict[int, list[int]] = {}
            for x in self.graph.operands[node]:
                by_colour.setdefault(self.colour[x], []).append(x)
            present.append(by_colour)
        parts = [self._reduction(c, [found[c] for found in present], ufunc) for c in sorted(present[0])]
        while len(parts) > 1:
            arrays, places, shape = self._elementwise(parts[-2:])
            parts[-2:] = [(self.add(Map(arrays, shape, operation)), places)]
        self.settle(nodes, *parts[0])

    # ------------------------------------------------------------------------------------------------ sums

    def _build_sum(self, members: Members) -> None:
        parts: list[tuple[int, Indices]] = []
        factors: list[float] = []
        nodes = [node for node, _ in members]
        for kind in sorted(members[0][1], key=str):
            terms = [present[kind] for _, present in members]
            made = self._part(kind, terms)
            if isinstance(made, Split):
                for label in np.unique(made.labels):
                    self._build_sum([members[i] for i in np.flatnonzero(made.labels == label)])
                return
            colour, positions, scale = made
            parts.append((colour, positions))
            factors.append(kind[0] * scale)
        offsets = np.array([self.graph.offsets.get(node, 0.0) for node in nodes])  # a product has none
        while len(parts) > _MOST_PARTS:  # of a long sum of different things, some at a time
            some, parts = parts[:_MOST_PARTS], parts[_MOST_PARTS:]
            arrays, places, shape = self._elementwise(some)
            signs, factors = tuple(factors[:_MOST_PARTS]), factors[_MOST_PARTS:]
            parts.append((self.add(Sum(arrays, shape, signs)), places))
            factors.append(1.0)
        if len(parts) == 1 and factors[0] == 1.0 and not offsets.any():
            self.settle(nodes, *parts[0])
            return
        arrays, places, shape = self._elementwise(parts, offsets.view(np.int64))
        if offsets.any():
            laid_out = np.empty(math.prod(shape))
            laid_out[places] = offsets
            values = laid_out.reshape(shape)
            if (values == values.flat[0]).all():
                values = values.flat[0].reshape((1,) * len(shape))
            arrays = (*arrays, Constant(values))
            factors.append(1.0)
        self.settle(nodes, self.add(Sum(arrays, shape, tuple(factors))), places)

    def _part(
        self, kind: Kind, terms: list[Terms]
    ) -> tuple[int, Indices, float] | Split:
        """The terms of one kind: the colour and the positions of their sums, and a factor."""
        _, colour_a, colour_b = kind
        if colour_b is None:
            return self._plain_part(colour_a, [a for a, _ in terms])
        a, b, lengths = self.positions_of(terms)
        for colour, positions, other in ((colour_a, a, 1), (colour_b, b, 0)):
            if colour == CONSTANT and (positions == positions[0]).all():
                plain = [row[other] for row in terms]
                found = self._plain_part(colour_b if other else colour_a, plain)
                return found[0], found[1], found[2] * float(self._values[positions[0]])
        # Terms are not put in order by constants: what they are would decide where the others stand.
        by_columns = colour_a == THETA or colour_b == CONSTANT
        made = self.factored(a, b, lengths, by_columns)
        if isinstance(made, Split):
            return made
        if isinstance(made, Factors):
            return self._product(colour_a, colour_b, a, b, made)
        return self._pairs(colour_a, colour_b, lengths, made)

    def factored(
        self, a: Indices, b: Indices, lengths: Indices, by_columns: bool
    ) -> Factors | Split | Pairs:
        """How sums of products are computed, as :func:`~autobp.compiler.factor.factor` has it."""
        return factor(a, b, lengths, by_columns, True)

    def positions_of(self, terms: Sequence[Terms]) -> tuple[Indices, Indices, Indices]:
        """The positions of the one factors, of the others, and how many there are in each sum."""
        a = self.position[np.array([x for row, _ in terms for x in row])]
        b = self.position[np.array([x for _, row in terms for x in row])]
        return a, b, np.array([len(row) for row, _ in terms], dtype=np.int64)

    def _plain_part(self, colour: int, rows: list[list[int]]) -> tuple[int, Indices, float]:
        if all(len(row) == 1 for row in rows):
            return colour, self.position[np.array([row[0] for row in rows])], 1.0
        flat = self.position[np.array([x for row in rows for x in row])]
        lengths = np.array([len(row) for row in rows])
        k = int(lengths[0])
        if (lengths == k).all():
            table = flat.reshape(-1, k)
            if (table == table[:, :1]).all():
                return colour, table[:, 0], float(k)
        return (*self._reduction(colour, rows, "add"), 1.0)

    def _reduction(self, colour: int, rows: list[list[int]], ufunc: str) -> tuple[int, Indices]:
        """The sums (maxima, minima) of elements of one array: colour and positions."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = self.position[np.array([x for row in rows for x in row])]
        k = int(lengths[0])
        if (lengths == k).all():
            if k == 1:
                return colour, flat
            table = flat.reshape(-1, k)
            if ufunc != "add" or k >= _MOST_IN_ORDER or not isinstance(self.arrays[colour], Theta | Input):
                table = np.sort(table, axis=1)
            unique, inverse = np.unique(table, axis=0, return_inverse=True)
            shape: tuple[int, ...] = (len(unique),)
            grid = grid_of(unique[:, :1])
            if grid is not None and affine(unique.reshape(*grid, k)) is not None:
                shape = grid
            source = self.fetch(colour, unique.reshape(*(shape if shape != (1,) else ()), k), full=True)
            return self.add(Reduce(source, ufunc)), inverse.reshape(-1).astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        stretches = [np.sort(flat[starts[i] : starts[i + 1]]) for i in range(len(rows))]
        order = sorted(range(len(rows)), key=lambda i: int(stretches[i][0]))
        source = self.fetch(colour, np.concatenate([stretches[i] for i in order]), full=True)
        places = np.empty(len(rows), dtype=np.int64)
        places[order] = np.arange(len(rows))
        firsts = np.concatenate([[0], np.cumsum(lengths[order])[:-1]]).astype(np.int64)
        return self.add(Segments(source, firsts, ufunc)), places

    def _product(
        self, colour_a: int, colour_b: int, a: Indices, b: Indices, made: Factors
    ) -> tuple[int, Indices, float]:
        c, o, k = made.columns.shape
        p = made.rows.shape[1]
        weights = c == 1 and colour_a == THETA and colour_b not in (THETA, CONSTANT)
        if k == 1 and not (weights and (o > 1 or p > 1 or self.arrays[colour_b].batched)):
            arrays, places, shape = self._elementwise([(colour_a, a), (colour_b, b)])
            return self.add(Map(arrays, shape, MULTIPLY)), places, 1.0
        batched_a = colour_a != CONSTANT and self.arrays[colour_a].batched
        rows: Indices
        columns: Indices
        if o == 1 and p == 1 and not (c == 1 and not batched_a and colour_a != colour_b):
            firsts = np.stack([made.rows[:, 0, 0], made.columns[:, 0, 0]], axis=1)
            shape = () if c == 1 else grid_of(firsts) or (c,)
            rows, columns = made.rows.reshape(*shape, k), made.columns.reshape(*shape, k)
            return self.add(self._row_dot(colour_b, rows, colour_a, columns)), made.places, 1.0
        if c == 1:
            rows = made.rows[0] if p > 1 else made.rows[0, 0]
            columns = made.columns[0]
        else:
            rows, columns = made.rows, made.columns
        product = MatMul(self.fetch(colour_b, rows, True), self.fetch(colour_a, columns, True))
        return self.add(product), made.places, 1.0

    def _row_dot(self, colour_x: int, x: Indices, colour_y: int, y: Indices) -> Array:
        arrays = [self.fetch(colour_x, x), self.fetch(colour_y, y)]
        k = x.shape[-1]
        for i, array in enumerate(arrays):
            if array.shape[-1] != k:
                arrays[i] = Fill(array, (*array.shape[:-1], k), array.batched)
        if np.broadcast_shapes(arrays[0].shape, arrays[1].shape) != x.shape:
            arrays[0] = Fill(arrays[0], x.shape, arrays[0].batched)
        return RowDot(arrays[0], arrays[1])

    def _pairs(
        self, colour_a: int, colour_b: int, lengths: Indices, made: Pairs
    ) -> tuple[int, Indices, float]:
        n, k = len(lengths), int(lengths[0])
        if (lengths == k).all():
            x, y = made.a.reshape(n, k), made.b.reshape(n, k)
            colour = self.add(self._row_dot(colour_b, y, colour_a, x))
        else:
            factors = (self.fetch(colour_a, made.a, True), self.fetch(colour_b, made.b, True))
            colour = self.add(Segments(Map(factors, factors[0].shape, MULTIPLY), made.starts, "add"))
        return colour, np.arange(n, dtype=np.int64), 1.0

"""Join colours that meet in sums, so that they do not multiply from level to level.

In a pruned network some units have a single weight left, a product and no sum, and some have none, or only a
bias. They are of colours of their own, and a unit above has a colour for each choice of colours below. Here
one term is a sum of length one, and an empty row is a row. Nodes stand as late as may be, so that a layer's
are at one level, whatever is left of them. What one operation computes there is an array, its operands put
side by side; so is what the sums of a level multiply with one array; and a product is a sum of one term where
sums of that kind are no matrix product. Nothing is padded, and no number changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from autobp.compiler.canonical import MAP, Canonical
from autobp.compiler.factor import Factors, Pairs, Split, factor
from autobp.compiler.fetching import CONSTANT, side_by_side
from autobp.compiler.group import THETA, Alike, Builder, Kind, Members, Terms
from autobp.ir import Argument, Indices
from autobp.ops import MULTIPLY, TAKE

_BIAS: Kind = (1, THETA, None)


def are_mixed(builder: Builder, alike: Alike) -> bool:
    """Whether the sums of a level multiply ever other colours with one array, or some lack a bias."""
    if any(len(combinations) > 1 for combinations, _ in _factors(builder, alike).values()):
        return True
    kinds = {frozenset(members[0][1]) for members in alike.sums.values()}
    return any(_BIAS in some and some - {_BIAS} in kinds for some in kinds)


def _factors(builder: Builder, alike: Alike) -> dict[int, tuple[set[frozenset[int]], set[int]]]:
    """By the colour of a factor: what colours sums multiply it with, and which nodes these are."""
    found: dict[int, tuple[set[frozenset[int]], set[int]]] = {}
    products = [[(node, {kind: terms})] for kind, node, terms in _products(builder, alike)]
    for members in [*alike.sums.values(), *products]:
        of_sum: dict[int, set[int]] = {}
        for kind in members[0][1]:
            if kind[2] is not None and kind[2] != THETA:
                of_sum.setdefault(kind[1], set()).add(kind[2])
        for a, colours in of_sum.items():
            combinations, nodes = found.setdefault(a, (set(), set()))
            combinations.add(frozenset(colours))
            for _, present in members:
                for kind, (_, others) in present.items():
                    if kind[1] == a and kind[2] in colours:
                        nodes.update(others)
    return found


def _products(builder: Builder, alike: Alike) -> Iterator[tuple[Kind, int, Terms]]:
    """The products that are no term of a sum, as the terms that they would be: kind, node, operands."""
    for signature, nodes in alike.maps.items():
        if signature[0] == MAP and signature[1] is MULTIPLY:
            x, y = signature[3]
            turned = builder.is_column(y, x)
            kind: Kind = (1, y, x) if turned else (1, x, y)
            for node in nodes:
                a, b = builder.graph.operands[node]
                yield kind, node, ([b], [a]) if turned else ([a], [b])


class JoinedBuilder(Builder):
    """Makes arrays of nodes, and joins those that sums mix.

    Attributes:
        n_arrays: how many there are so far, and how many of their parts were put side by side.
    """

    def __init__(self, graph: Canonical, arguments: Sequence[Argument]) -> None:
        super().__init__(graph, arguments)
        self._n_pieces = 0
        self._joined: dict[Any, tuple[int, Indices]] = {}  # operands of several colours, as they are now

    @property
    def n_arrays(self) -> int:
        return len(self.arrays) + self._n_pieces

    def alike(self, nodes: Sequence[int]) -> Alike:
        """Which nodes are alike, after what their sums mix is joined."""
        alike = super().alike(nodes)
        if self._join(alike):
            alike = super().alike(nodes)
        self._take_in_products(alike)
        return Alike(self._by_operation(alike.maps), alike.sums)

    # ------------------------------------------------------------------------------------------------ maps

    def _by_operation(self, maps: dict[Any, list[int]]) -> dict[Any, list[int]]:
        """The maps of one operation together, whatever their operands are, but for what has no samples."""
        found: dict[Any, list[int]] = {}
        colours: dict[Any, Any] = {}
        for signature, nodes in maps.items():
            key = signature
            if signature[0] == MAP and signature[1] is not TAKE:
                operands = signature[3]
                has_samples = [self._has_samples(c) for c in operands] if len(operands) > 1 else [True]
                key = (*signature[:3], tuple(has_samples))
            colours.setdefault(key, signature)
            found.setdefault(key, []).extend(nodes)
        return {colours[key]: sorted(nodes) for key, nodes in found.items()}

    def _has_samples(self, colour: int) -> bool:
        return colour != CONSTANT and self.arrays[colour].batched

    def _operand(self, ids: Sequence[int]) -> tuple[int, Indices]:
        """The colour and the positions of operands; of several colours, those of an array of all of them."""
        colours = np.array([self.colour[x] for x in ids])
        if (colours == colours[0]).all():
            return super()._operand(ids)
        positions = self.position[np.array(ids)]
        key = colours.tobytes(), positions.tobytes()
        if key not in self._joined:
            self._joined[key] = self._put_side_by_side(colours, positions)
        return self._joined[key]

    # ------------------------------------------------------------------------------------------------ sums

    def _join(self, alike: Alike) -> bool:
        """Join what different sums multiply with one array; whether there is any."""
        mixed = [nodes for combinations, nodes in _factors(self, alike).values() if len(combinations) > 1]
        for nodes in mixed:
            self._make_one(nodes)
        return bool(mixed)

    def _make_one(self, nodes: Iterable[int]) -> None:
        """Make one colour of nodes of several."""
        members = np.array(sorted(nodes))
        colours = np.array([self.colour[node] for node in members.tolist()])
        if (colours == colours[0]).all():  # by now
            return
        colour, positions = self._put_side_by_side(colours, self.position[members])
        self.position[members] = positions
        for node in members.tolist():
            self.colour[node] = colour

    def _put_side_by_side(self, colours: Indices, positions: Indices) -> tuple[int, Indices]:
        """One array of elements of several: its number, and where they are there."""
        pieces, base = [], 0
        places = np.empty(len(positions), dtype=np.int64)
        for own in np.unique(colours).tolist():
            there = np.flatnonzero(colours == own)
            picked, which = np.unique(positions[there], return_inverse=True)
            pieces.append(self.fetch(own, picked, full=True))
            places[there] = base + which.reshape(-1)
            base += len(picked)
        self._n_pieces += len(pieces)
        return self.add(side_by_side(pieces)), places

    def _take_in_products(self, alike: Alike) -> None:
        """Make products terms of sums, beside sums of such terms that are no matrix product."""
        taken: set[int] = set()
        loose: dict[Kind, bool] = {}
        for kind, node, terms in _products(self, alike):
            members = alike.sums.get(frozenset([kind]))
            if members is None or node in self.exposed:
                continue
            if kind not in loose:
                loose[kind] = self._is_loose(kind, members)
            if loose[kind]:
                members.append((node, {kind: terms}))
                taken.add(node)
        for signature, nodes in list(alike.maps.items()):
            alike.maps[signature] = [node for node in nodes if node not in taken]
            if not alike.maps[signature]:
                del alike.maps[signature]

    def _is_loose(self, kind: Kind, members: Members) -> bool:
        """Whether sums are no matrix product."""
        a, b, lengths = self.positions_of([present[kind] for _, present in members])
        return not _are_matrices(factor(a, b, lengths, kind[1] == THETA, True))

    def factored(
        self, a: Indices, b: Indices, lengths: Indices, by_columns: bool
    ) -> Factors | Split | Pairs:
        """How sums of products are computed: told apart only where that makes matrix products of all."""
        made = super().factored(a, b, lengths, by_columns)
        if isinstance(made, Split):
            of_sum = np.repeat(made.labels, lengths)
            for label in np.unique(made.labels):
                inner, outer = of_sum == label, made.labels == label
                if not _are_matrices(factor(a[inner], b[inner], lengths[outer], by_columns, False)):
                    return factor(a, b, lengths, by_columns, False)
        return made


def _are_matrices(made: Factors | Split | Pairs) -> bool:
    """Whether sums are the elements of matrix products, and not each of rows of its own."""
    return isinstance(made, Factors) and made.rows.shape[1] * made.columns.shape[1] > 1

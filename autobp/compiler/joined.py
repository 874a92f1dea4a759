"""Join colours that meet in sums, so that they do not multiply from level to level.

In a pruned network some units have a single weight left, a product and no sum, and some have none. They are
of colours of their own, and a unit above has a colour for each choice of colours below. Here what the sums of
a level multiply with one array is put side by side first, so that their terms are of one kind; and a product
is a sum of one term where sums of that kind are no matrix product. Nothing is padded, and no number changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autobp.compiler.canonical import MAP
from autobp.compiler.factor import Pairs, factor
from autobp.compiler.fetching import side_by_side
from autobp.compiler.group import THETA, Alike, Builder, Kind, Members
from autobp.ops import MULTIPLY


def are_mixed(builder: Builder, alike: Alike) -> bool:
    """Whether the sums of products at a level have more colours than their terms have kinds."""
    kinds: set[Kind] = set()
    n_colours = 0
    for members in alike.sums.values():
        products = [kind for kind in members[0][1] if kind[2] is not None]
        kinds.update(products)
        n_colours += bool(products)
    if not n_colours:
        return False
    n_colours += len(kinds.intersection(_products(builder, alike)))
    return n_colours > len(kinds)


def _products(builder: Builder, alike: Alike) -> dict[Kind, list[int]]:
    """The products that are no term of a sum, by the kind of term that they would be."""
    found: dict[Kind, list[int]] = {}
    for signature, nodes in alike.maps.items():
        if signature[0] == MAP and signature[1] is MULTIPLY:
            x, y = signature[3]
            kind = (1, y, x) if builder.is_column(y, x) else (1, x, y)
            found.setdefault(kind, []).extend(nodes)
    return found


class JoinedBuilder(Builder):
    """Makes arrays of nodes, and joins those that sums mix."""

    def alike(self, nodes: Sequence[int]) -> Alike:
        """Which nodes are alike, after what their sums mix is joined."""
        alike = super().alike(nodes)
        if self._join(alike):
            alike = super().alike(nodes)
        self._take_in_products(alike)
        return alike

    def _join(self, alike: Alike) -> bool:
        """Join what different sums multiply with one array; whether there is any."""
        mixed: dict[int, set[frozenset[int]]] = {}
        factors: dict[int, dict[int, set[int]]] = {}
        for members in alike.sums.values():
            of_sum: dict[int, set[int]] = {}
            for _, present in members:
                for (_, a, b), (_, others) in present.items():
                    if b is not None and b != THETA:
                        of_sum.setdefault(a, set()).add(b)
                        factors.setdefault(a, {}).setdefault(b, set()).update(others)
            for a, colours in of_sum.items():
                mixed.setdefault(a, set()).add(frozenset(colours))
        joined = [a for a, combinations in mixed.items() if len(combinations) > 1]
        for a in joined:
            self._put_side_by_side(factors[a])
        return bool(joined)

    def _put_side_by_side(self, nodes: dict[int, set[int]]) -> None:
        """Make one array of nodes of several colours."""
        pieces, base = [], 0
        colour = len(self.arrays)
        for own, some in sorted(nodes.items()):
            members = np.array(sorted(some))
            positions, which = np.unique(self.position[members], return_inverse=True)
            pieces.append(self.fetch(own, positions, full=True))
            self.position[members] = base + which.reshape(-1)
            for node in members.tolist():
                self.colour[node] = colour
            base += len(positions)
        self.add(side_by_side(pieces))

    def _take_in_products(self, alike: Alike) -> None:
        """Make products terms of sums, beside sums of such terms that are no matrix product."""
        for signature in list(alike.maps):
            if signature[0] != MAP or signature[1] is not MULTIPLY:
                continue
            x, y = signature[3]
            turned = self.is_column(y, x)
            kind: Kind = (1, y, x) if turned else (1, x, y)
            members = alike.sums.get(frozenset([kind]))
            if members is None or not self._is_loose(kind, members):
                continue
            for node in [node for node in alike.maps[signature] if node not in self.exposed]:
                a, b = self.graph.operands[node]
                members.append((node, {kind: ([b], [a]) if turned else ([a], [b])}))
                alike.maps[signature].remove(node)
            if not alike.maps[signature]:
                del alike.maps[signature]

    def _is_loose(self, kind: Kind, members: Members) -> bool:
        """Whether sums of different lengths are no matrix product, so that they are not padded."""
        a, b, lengths = self.positions_of([present[kind] for _, present in members])
        if (lengths == lengths[0]).all():
            return False
        return isinstance(factor(a, b, lengths, kind[1] == THETA, True), Pairs)

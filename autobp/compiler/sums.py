"""What is known of the sums that a user wrote: what they hold, and which additions are one long sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from autobp.ops import ADD, SUBTRACT, Operation
from autobp.reading.graph import CONSTANT, Graph

#: What kind of number carries no rounding error: a leaf of some role, or what a selecting operation chose.
Kind = tuple[Operation | None, int]

_LONG = 8  # additions in a row from which on they may be one sum, whatever signs they have
_REPEATED = 4  # times each kind of term must then come up, on average


class Contents(NamedTuple):
    """What the terms of a sum are.

    Attributes:
        positive, negative: whether there are terms of that sign.
        has_product: whether a product is among them.
        products_only: whether all of them are products.
        exact: the kinds of those that carry no rounding error of their own.
    """

    positive: bool
    negative: bool
    has_product: bool
    products_only: bool
    exact: frozenset[Kind]

    def joined(self, other: Contents) -> Contents:
        """Of the terms of both."""
        return Contents(
            self.positive or other.positive,
            self.negative or other.negative,
            self.has_product or other.has_product,
            self.products_only and other.products_only,
            self.exact | other.exact,
        )

    def negated(self) -> Contents:
        """Of the terms with their signs turned round."""
        return self._replace(positive=self.negative, negative=self.positive)

    @property
    def has_both_signs(self) -> bool:
        """Whether some terms are added and others subtracted."""
        return self.positive and self.negative


_OF_NOTHING: frozenset[Kind] = frozenset()
#: Of no terms, of a logarithm taken apart, and of such a one multiplied out.
NOTHING = Contents(False, False, False, True, _OF_NOTHING)
LOGARITHM = Contents(True, True, False, False, _OF_NOTHING)
PRODUCTS = Contents(True, True, True, True, _OF_NOTHING)


def of_constant(value: float) -> Contents:
    """A constant; 0 brings nothing into a sum."""
    if value == 0.0:
        return NOTHING
    return Contents(value > 0.0, value < 0.0, False, False, frozenset([(None, CONSTANT)]))


def of_term(sign: int, is_product: bool, exact: Kind | None) -> Contents:
    """One term, of a kind without rounding errors or of none."""
    kinds = _OF_NOTHING if exact is None else frozenset([exact])
    return Contents(sign > 0, sign < 0, is_product, is_product, kinds)


def runs_of_sums(graph: Graph, uses: Sequence[int]) -> set[int]:
    """The sums that only go on: each is an operand of the next addition of a long, repetitive row of them.

    ``acc = acc + a - b`` in a loop is one sum, and so is ``acc = a + acc``. A formula of a few terms is not:
    there the order may be what matters.
    """
    runs: set[int] = set()
    for side, going_on in ((0, (ADD, SUBTRACT)), (1, (ADD,))):
        before: dict[int, int | None] = {}  # of an addition, the one it goes on from
        length: dict[int, int] = {}
        for node, op in enumerate(graph.operations):
            if op in going_on:
                x, term = graph.parents[node][side], graph.parents[node][1 - side]
                goes_on = x in length and uses[x] == 1 and not _are_alike(graph, x, term)
                before[node] = x if goes_on else None
                length[node] = 1 + length[x] if goes_on else 1
        seen: set[int] = set()
        for last in reversed(length):
            if length[last] < _LONG or last in seen:
                continue
            row = [last]
            while (earlier := before[row[-1]]) is not None:
                row.append(earlier)
            seen.update(row)
            kinds = {(graph.operations[n], signature(graph, graph.parents[n][1 - side])) for n in row}
            if len(row) >= _REPEATED * len(kinds):
                runs.update(row[1:])
    return runs


def _are_alike(graph: Graph, x: int, y: int) -> bool:
    """Whether two operands are sums of one kind: then neither goes on in the other."""
    operations = graph.operations
    return operations[x] is operations[y] and signature(graph, x) == signature(graph, y)


def signature(graph: Graph, node: int) -> Any:
    """What a node is at first sight: its operation and role, and those of its operands."""
    operations, roles = graph.operations, graph.roles
    operands = [(operations[x], roles[x]) for x in graph.parents[node][:4]]
    return operations[node], roles[node], *operands

"""Whether a node computes what a node of a loop's body does, and which of its operands is which.

That depends on how operands look and on which of them are known, and so it is the same in nearly all steps:
each question is answered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autobp.compiler.canonical import MAP, SUM, Canonical
from autobp.compiler.loops.recurrence import BodyNode, Recurrence
from autobp.ops import Operation

_MANY = 12  # terms among which those that look most alike are searched for

#: The node that an operand must be, as far as is known: what is expected of a slot.
Expected = Sequence[int | None]
#: The terms of a node: of each the sign, and whether it is a product.
_Terms = tuple[tuple[int, bool], ...]
#: A term: its sign, and the places of its operands among those of its node.
_Term = tuple[int, tuple[int, ...]]


class _Wanted(NamedTuple):
    """A node of a body, as others are compared with it.

    Attributes:
        like: one of its copies.
        offset: of a sum, its constant where that is the same in all steps.
        terms: of a sum; the operands of others, one a term.
        looks: how its operands look in the last step.
    """

    like: int
    offset: float | None
    terms: _Terms
    looks: Sequence[int]


class _Question(NamedTuple):
    """All that decides which operands of a node are which; operands by their places among those of the node.

    Attributes:
        number: of the node of the body that it is compared with.
        terms: of the node.
        looks: how each operand looks.
        first: of each operand, the first that is the same.
        known: of each operand that is wanted, the first that it is; -1 for none, and None if it is not known.
    """

    number: int
    terms: _Terms
    looks: tuple[int, ...]
    first: tuple[int, ...]
    known: tuple[int | None, ...]


class Matcher:
    """Compares nodes of a graph with those of the body of a loop."""

    def __init__(self, graph: Canonical, loop: Recurrence) -> None:
        self.graph = graph
        self._looks, self._names = _Looks(graph), _Names(graph)
        self._wanted = [self._of_body(member) for member in loop.body]
        self._answers: dict[_Question, Sequence[int] | None] = {}

    def _of_body(self, member: BodyNode) -> _Wanted:
        offsets = member.offsets
        same = len(offsets) > 0 and bool((offsets == offsets[0]).all())
        terms = tuple(member.terms) or ((1, False),) * len(member.own)
        looks = [self._looks[x] for x in member.operands[-1].tolist()]
        return _Wanted(int(member.nodes[0]), float(offsets[0]) if same else None, terms, looks)

    def operands(self, k: int, node: int, expected: Expected) -> list[int] | None:
        """The operands of a node in the order of node k of the body; None where the two differ."""
        graph, wanted = self.graph, self._wanted[k]
        kind, like = graph.kinds[node], wanted.like
        if kind != graph.kinds[like] or graph.operations[node] is not graph.operations[like]:
            return None
        terms = wanted.terms
        if kind == SUM:
            if wanted.offset is not None and graph.offsets[node] != wanted.offset:
                return None
            written = graph.terms[node]
            operands = [x for _, a, b in written for x in (a, b) if x >= 0]
            terms = tuple([(sign, b >= 0) for sign, _, b in written])
        else:
            operands = list(graph.operands[node])
            if len(operands) != len(expected) or graph.constants[node] != graph.constants[like]:
                return None
            if kind == MAP:
                return operands
        names = [self._names[x] for x in operands]
        place = {name: i for i, name in reversed(list(enumerate(names)))}
        question = _Question(
            k,
            terms,
            tuple([self._looks[x] for x in operands]),
            tuple([place[name] for name in names]),
            tuple([None if x is None else place.get(self._names[x], -1) for x in expected]),
        )
        if question not in self._answers:
            self._answers[question] = _assigned(wanted, question)
        order = self._answers[question]
        return None if order is None else [operands[i] for i in order]


class _Looks(dict[int, int]):
    """What nodes look like at first sight: equal numbers for those that look alike."""

    def __init__(self, graph: Canonical) -> None:
        super().__init__()
        self._graph = graph
        self._numbers: dict[tuple[bool, int, Operation | None, int], int] = {}

    def __missing__(self, node: int) -> int:
        graph = self._graph
        role = graph.roles[node] if node < len(graph.roles) else 0
        look = node in graph.fixed, graph.kinds[node], graph.operations[node], role
        self[node] = found = self._numbers.setdefault(look, len(self._numbers))
        return found


class _Names(dict[int, int]):
    """Equal numbers for what are the same nodes or the same number; -0.0 and 0.0 are two."""

    def __init__(self, graph: Canonical) -> None:
        super().__init__()
        self._fixed = graph.fixed
        self._nodes: dict[str, int] = {}

    def __missing__(self, node: int) -> int:
        self[node] = found = (
            self._nodes.setdefault(repr(self._fixed[node]), node) if node in self._fixed else node
        )
        return found


def _places(terms: _Terms) -> list[_Term]:
    """The terms of a node with the places of their operands."""
    found: list[_Term] = []
    n = 0
    for sign, product in terms:
        found.append((sign, (n, n + 1) if product else (n,)))
        n += 1 + product
    return found


def _assigned(wanted: _Wanted, question: _Question) -> list[int] | None:
    """The operands, in terms in the order in which they are wanted; None where the two nodes differ.

    Those terms come first that are known, then those that look alike. Any order computes the same; one in
    which the operands are others than in later steps is of no use.
    """
    slots, terms = _places(wanted.terms), _places(question.terms)
    if len(slots) != len(terms):
        return None
    left = list(range(len(terms)))
    found: dict[int, tuple[int, ...]] = {}
    for i, slot in enumerate(slots):
        if any(question.known[x] is not None for x in slot[1]):
            turns = ((j, _turned(wanted, question, slot, terms[j])[1]) for j in left)
            fitting = next(((j, turned) for j, turned in turns if turned), None)
            if fitting is None:
                return None
            left.remove(fitting[0])
            found[i] = fitting[1]
    rest = [i for i in range(len(slots)) if i not in found]
    while rest:
        pairs = [
            (*_turned(wanted, question, slots[i], terms[j]), i, j) for i in rest[:_MANY] for j in left[:_MANY]
        ]
        score, turned, i, j = max(pairs, key=lambda pair: pair[0])
        if score < 0:
            return None
        found[i] = turned
        rest.remove(i)
        left.remove(j)
    return [x for i in range(len(slots)) for x in found[i]]


def _turned(wanted: _Wanted, question: _Question, slot: _Term, term: _Term) -> tuple[int, tuple[int, ...]]:
    """How many operands look like what is wanted, and the operands, the two exchanged if that is better.

    -1 and none where they are not what is wanted.
    """
    best: tuple[int, tuple[int, ...]] = -1, ()
    (sign, places), (own_sign, operands) = slot, term
    if sign == own_sign and len(places) == len(operands):
        for turned in (operands, operands[::-1]):
            pairs = list(zip(places, turned, strict=True))
            if all(question.known[x] in (None, question.first[y]) for x, y in pairs):
                score = sum(wanted.looks[x] == question.looks[y] for x, y in pairs)
                best = max(best, (score, turned), key=lambda pair: pair[0])
            if best[0] == len(operands):
                break  # the other way round can be no better
    return best

"""Why scalars are in no array with others like them, for the report on a compiled function.

What is computed alike at one level becomes one array (:mod:`~autobp.compiler.group`). A scalar that stays
alone beside such an array differs from its elements, and where that is in one thing it is told: another
operation, another operand, a term more or less. What only follows from that, further up, is not told again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autobp.compiler.canonical import LEAF, SUM, Canonical
from autobp.compiler.group import Builder, arguments_of
from autobp.compiler.loops.building import LoopBuilder
from autobp.compiler.loops.finding import Note
from autobp.compiler.loops.order import Level, plain_levels
from autobp.compiler.names import name_forward
from autobp.compiler.pipeline import LIMITS, Reading, Signature
from autobp.compiler.without_loops import built
from autobp.ir import Array, Choose, Map, Program, Reduce, Result, Segments
from autobp.ops import MULTIPLY, Operation
from autobp.reading.graph import Graph

_MANY = 3  # scalars of an array, from which on another one stands alone beside them

#: The colours of an operand, or of the two that are multiplied, in order.
Operands = tuple[int, ...]

#: A kind of term of a sum: its sign, and its operands.
Term = tuple[int, Operands]


class Alike(NamedTuple):
    """What the scalars of one array have in common.

    Attributes:
        operation, constants: of a map.
        operands: of a map.
        terms: of a sum.
    """

    operation: Operation | None
    constants: tuple[float, ...]
    operands: Operands
    terms: frozenset[Term]


def notes_on(graph: Graph, signature: Signature) -> list[Note]:
    """Why scalars of a graph stay alone, or why it has no matrices."""
    reading = Reading(graph)
    canonical, levels = reading.found.graph, reading.found.levels
    arguments = arguments_of(len(signature.labels), signature.samples)
    if levels is None:
        builder, exceeded = built(canonical, arguments)
        if exceeded is not None:
            return [_without_arrays(canonical, builder)]
    else:
        builder = of_loops = LoopBuilder(canonical, arguments, None, LIMITS)
        of_loops.build_levels(levels)
    outputs = Program(arguments, (builder.collect(canonical.outputs),), {})
    names = name_forward(outputs, signature.arguments, signature.labels).names
    words = ["parameter", *[names.get(x) or _word(x) for x in builder.arrays[1:]]]
    return list(_Apart(canonical, builder, words).notes(levels or plain_levels(canonical)))


def _word(array: Array) -> str:
    """What an element of an array without a name is called."""
    if isinstance(array, Map):
        return "product" if array.operation is MULTIPLY else array.operation.name
    if isinstance(array, Reduce | Segments) and array.ufunc != "add":
        return array.ufunc
    return {Choose: "take", Result: "state"}.get(type(array), "sum")


def _without_arrays(graph: Canonical, builder: Builder) -> Note:
    """Of a graph that has no matrices, for what it has is of too many kinds."""
    nodes = [x for x in graph.order if graph.kinds[x] != LEAF and builder.colour[x] >= 0]
    many = Counter([builder.colour[x] for x in nodes])
    alone = sum(n == 1 for n in many.values())
    why = f"{alone:,} of the first {len(nodes):,} scalars are computed as no other one at their level"
    return Note(why, tuple(sorted(nodes, key=lambda x: many[builder.colour[x]])))


class _Apart:
    """Compares scalars that are alone with the arrays beside them.

    Attributes:
        words: what the array of each colour is called.
        many: how many scalars of each colour are computed.
    """

    def __init__(self, graph: Canonical, builder: Builder, words: Sequence[str]) -> None:
        self.graph, self.colour, self.words = graph, builder.colour, words
        self.many = Counter([builder.colour[x] for x in graph.order if graph.kinds[x] != LEAF])

    def notes(self, levels: Sequence[Level]) -> Iterator[Note]:
        """A note for each scalar that differs in one thing from those of an array beside it."""
        for level in levels:
            by_colour: dict[int, list[int]] = {}
            for node in level.nodes:
                by_colour.setdefault(self.colour[node], []).append(node)
            arrays = [(self._alike(x[0]), f"{len(x)} others") for x in by_colour.values() if len(x) >= _MANY]
            for nodes in by_colour.values():
                if len(nodes) == 1:
                    alone = self._alike(nodes[0])
                    arrays.sort(key=lambda beside: beside[0].operation is not alone.operation)
                    whys = [self._why(alone, *beside) for beside in arrays]
                    yield from [Note(why, (nodes[0],)) for why in whys if why][:1]

    def _alike(self, node: int) -> Alike:
        graph, colour = self.graph, self.colour
        if graph.kinds[node] == SUM:
            terms = [
                (sign, tuple(sorted([colour[x] for x in (a, b) if x >= 0])))
                for sign, a, b in graph.terms[node]
            ]
            return Alike(None, (), (), frozenset(terms))
        operands = tuple([colour[x] for x in graph.operands[node]])
        return Alike(graph.operations[node], graph.constants[node], operands, frozenset())

    def _why(self, alone: Alike, beside: Alike, others: str) -> str:
        """The one thing in which they differ, in words; "" where there are more, or its root is another."""
        if alone.operation is None and beside.operation is None:
            return self._of_sums(alone.terms, beside.terms, others)
        if alone.operation is None or beside.operation is None:
            return self._of_sum_and_map(alone, beside, others)
        ours, theirs = _applied(alone), _applied(beside)
        if ours != theirs:
            return f"{ours}, where {others} are {theirs}" if alone.operands == beside.operands else ""
        if not self._replaced(alone.operands, beside.operands):
            return ""
        x, y = [" and ".join(map(self._named, some.operands)) for some in (alone, beside)]
        return f"{ours} of {x}, where {others} are of {y}" if x != y else ""

    def _of_sums(self, ours: frozenset[Term], theirs: frozenset[Term], others: str) -> str:
        more, less = sorted(ours - theirs), sorted(theirs - ours)
        if len(more) + len(less) == 1:
            has = "with" if more else "without"
            return f"a sum {has} {self._term((more or less)[0])}, which {others} have{' not' * len(more)}"
        if not len(more) == len(less) == 1:
            return ""
        (sign, operands), (their_sign, their_operands) = more[0], less[0]
        replaced = sign == their_sign and self._replaced(operands, their_operands)
        x, y = self._term(more[0]), self._term(less[0])
        if x == y or not (operands == their_operands or replaced):
            return ""
        return f"a sum with {x}, where {others} have {y}"

    def _of_sum_and_map(self, alone: Alike, beside: Alike, others: str) -> str:
        """One adds to an element of an array to whose others an operation is applied, or the reverse."""
        added, applied = (alone, beside) if alone.operation is None else (beside, alone)
        plain = {operands for _, operands in added.terms}
        if len(applied.operands) != 1 or applied.operands not in plain or self.many[applied.operands[0]] < 2:
            return ""
        of_sum = f"sum with {' '.join(map(self._term, sorted(added.terms)))}"
        of_map = f"{_applied(applied)} of {self._named(applied.operands[0])}"
        if alone is added:
            return f"a {of_sum}, where {others} are {of_map}"
        return f"{of_map}, where {others} are a {of_sum}"

    def _replaced(self, ours: Operands, theirs: Operands) -> bool:
        """Whether just one operand is another, which is not alone itself: else the root is further down."""
        differing = [x for x, y in zip(ours, theirs, strict=False) if x != y]
        return len(ours) == len(theirs) and len(differing) == 1 and self.many[differing[0]] != 1

    def _term(self, term: Term) -> str:
        return f"{'+' if term[0] > 0 else '-'} {'·'.join(map(self._named, term[1]))}"

    def _named(self, colour: int) -> str:
        return self.words[colour] if colour >= 0 else "constant"


def _applied(alike: Alike) -> str:
    """A map's operation with its constants, as a report has it."""
    assert alike.operation is not None
    constants = ", ".join([f"{x:g}" for x in alike.constants])
    return alike.operation.name + f"({constants})" * bool(constants)

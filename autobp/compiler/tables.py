"""Graphs without arrays: which they are, and their operations in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autobp.backends.c_tables import ONE, SUM_OF_PRODUCTS, Form, Tables
from autobp.compiler.canonical import EXTREMUM, LEAF, SUM, Canonical, Term
from autobp.compiler.levels import levels_of
from autobp.compiler.pipeline import Reading, Signature
from autobp.compiler.recording import no_garbage_collection
from autobp.ir import Indices, Shape
from autobp.ops import SOFTPLUS, TAKE, lookup
from autobp.reading.graph import PARAMETER, Graph

#: Kinds of scalars, up to which a graph becomes arrays: they are about as much C as compilers are given.
MOST_ARRAYS = 1200
ALIKE = 16  # scalars of a kind, on the average, that make arrays of any graph
NARROW = 4  # scalars for each operation on all of a level, up to which it does not pay to do them together
_MOST_NODES = 400_000
_MOST_FORMS = 200


def may_be_tables(graph: Graph) -> bool:
    """Whether a graph has as many scalars as one without arrays has."""
    return MOST_ARRAYS < len(graph) <= _MOST_NODES


def is_deep(graph: Graph) -> bool:
    """Whether a graph has little side by side, as far as can be told of it as it was recorded."""
    depth = [0] * len(graph)
    for node, parents in enumerate(graph.parents):
        for parent in parents:
            if depth[parent] >= depth[node]:
                depth[node] = depth[parent] + 1
    return len(graph) < NARROW * max(depth, default=0)


def tables_of(reading: Reading, signature: Signature) -> Tables | None:
    """A graph as tables; None where it has arrays, loops, or an index from data."""
    with no_garbage_collection():
        canonical = reading.canonical
        nodes, forms = _in_order(canonical)
        n_kinds = _count_kinds(canonical, [node for _, _, node in nodes])
        few = n_kinds <= MOST_ARRAYS or len(nodes) > ALIKE * n_kinds
        if few or len(forms) > _MOST_FORMS or any(form.operation is TAKE for form in forms):
            return None
        if reading.found.levels is not None:
            return None
        return _Writer(canonical, signature).write(sorted(nodes), forms)


def _in_order(canonical: Canonical) -> tuple[list[tuple[int, int, int]], list[Form]]:
    """The (height, form, node) of all that is computed, operands first; and the forms."""
    height = levels_of(canonical)
    forms: dict[Form, int] = {}
    nodes: list[tuple[int, int, int]] = []
    for node in canonical.order:
        if canonical.kinds[node] != LEAF:
            form = _form(canonical, node)
            nodes.append((height[node], forms.setdefault(form, len(forms)), node))
    return nodes, list(forms)


def _count_kinds(graph: Canonical, nodes: Sequence[int]) -> int:
    """How many kinds of scalars there are: of one are those that are computed alike from the same kinds."""
    known: dict[Any, int] = {}
    kind = [-1 - role for role in graph.roles] + [0] * (len(graph.kinds) - len(graph.roles))
    for node in nodes:
        if graph.kinds[node] == SUM:
            terms = [(sign, kind[a], kind[b] if b >= 0 else -1) for sign, a, b in graph.terms[node]]
            key: Any = tuple(sorted(terms))
        else:
            operands = tuple([kind[x] for x in graph.operands[node]])
            key = (graph.operations[node], graph.constants[node], operands)
        kind[node] = known.setdefault(key, len(known))
    return len(known)


def _form(graph: Canonical, node: int) -> Form:
    if graph.kinds[node] == SUM:
        return SUM_OF_PRODUCTS
    n = 2 if graph.kinds[node] == EXTREMUM else len(graph.operands[node])
    return Form(graph.operations[node], n, graph.constants[node])


class _Writer:
    """Gives slots to scalars, and writes down which operands operations have."""

    def __init__(self, graph: Canonical, signature: Signature) -> None:
        self.graph, self.signature = graph, signature
        self.constants = {repr(1.0): ONE}  # slots, by what tells NaN and -0.0 from others too
        self.slots: dict[int, int] = {}
        self.operands: list[int] = []
        self.starts = [0]
        self.runs: list[list[int]] = []

    def write(self, nodes: Sequence[tuple[int, int, int]], forms: Sequence[Form]) -> Tables:
        """The tables of nodes in an order, (height, form, node) each."""
        parameters, arguments = self._give_slots()
        self.first = max(self.slots.values(), default=len(self.constants) - 1) + 1
        self.forms = {form: k for k, form in enumerate(forms)}
        for _, form, node in nodes:
            self.slots[node] = self._node(node, forms[form])
        return Tables(
            len(self.signature.labels),
            np.array([float(x) for x in self.constants]),
            np.array(parameters, dtype=np.int64),
            arguments,
            list(self.forms),
            np.array(self.runs, dtype=np.int64),
            np.array(self.starts, dtype=np.int64),
            np.array(self.operands, dtype=np.int64),
            np.array([self._slot(node) for node in self.graph.outputs], dtype=np.int64),
            self.signature.result_shape,
        )

    def _give_slots(self) -> tuple[list[int], list[tuple[str, Shape, Indices]]]:
        """Slots for constants and leaves; the positions of parameters, and of each argument's elements."""
        graph, signature = self.graph, self.signature
        for node in {*graph.fixed}:
            self._constant(graph.fixed[node])
        for offset in graph.offsets.values():
            self._constant(offset)
        by_role: list[list[int]] = [[] for _ in range(1 + len(signature.samples))]
        for node in graph.order:
            if graph.kinds[node] == LEAF:
                by_role[graph.roles[node] - PARAMETER].append(node)
        leaves = [node for nodes in by_role for node in nodes]
        self.slots = {node: len(self.constants) + k for k, node in enumerate(leaves)}
        positions = [[graph.positions[node] for node in nodes] for nodes in by_role]
        given = zip(signature.arguments, signature.samples, positions[1:], strict=True)
        arguments = [(name, shape, np.array(at, dtype=np.int64)) for name, shape, at in given]
        return positions[0], arguments

    def _constant(self, x: float) -> int:
        return self.constants.setdefault(repr(float(x)), len(self.constants))

    def _slot(self, node: int) -> int:
        fixed = self.graph.fixed
        return self._constant(fixed[node]) if node in fixed else self.slots[node]

    def _add(self, form: Form, operands: Sequence[int]) -> int:
        """Write an operation down; its slot."""
        self.operands += operands
        self.starts.append(len(self.operands))
        kind = self.forms.setdefault(form, len(self.forms))
        if self.runs and self.runs[-1][0] == kind:
            self.runs[-1][1] += 1
        else:
            self.runs.append([kind, 1])
        return self.first + len(self.starts) - 2

    def _node(self, node: int, form: Form) -> int:
        """Write down what computes a node: one operation, but for an extremum of many and cross-entropies."""
        graph = self.graph
        if graph.kinds[node] == SUM:
            return self._sum(node)
        operands = [self._slot(x) for x in graph.operands[node]]
        if graph.kinds[node] != EXTREMUM:
            return self._add(form, operands)
        made = operands[0]
        for x in operands[1:]:
            made = self._add(form, [made, x])
        return made

    def _sum(self, node: int) -> int:
        terms = list(self.graph.terms[node])
        listed = []
        for term in self.graph.terms[node]:
            product = self._of_cross_entropy(term, terms)
            if product is not None:
                terms.remove(term)
                terms.remove(product)
                listed += [_signed(term[0], self._cross_entropy(term[1], product)), ONE]
        for sign, a, b in terms:
            listed += [_signed(sign, self._slot(a)), self._slot(b) if b >= 0 else ONE]
        if self.graph.offsets[node]:
            listed += [self._constant(self.graph.offsets[node]), ONE]
        return self._add(SUM_OF_PRODUCTS, listed)

    def _of_cross_entropy(self, term: Term, terms: Sequence[Term]) -> Term | None:
        """Where a term is softplus(z), one that takes y·z away from it, as total.py has it."""
        sign, a, b = term
        if b >= 0 or term not in terms or self.graph.operations[a] is not SOFTPLUS:
            return None
        (z,) = self.graph.operands[a]
        return next((x for x in terms if x[0] == -sign and x[2] >= 0 and z in x[1:]), None)

    def _cross_entropy(self, softplus: int, product: Term) -> int:
        """ln(e^(-y·z) + e^(z - y·z)), in which nothing cancels; its slot."""
        (z,) = self.graph.operands[softplus]
        made = self._add(SUM_OF_PRODUCTS, [self._slot(product[1]), self._slot(product[2])])
        less = self._add(SUM_OF_PRODUCTS, [-1 - made, ONE])
        rest = self._add(SUM_OF_PRODUCTS, [self._slot(z), ONE, -1 - made, ONE])
        return self._add(Form(lookup("logaddexp"), 2), [less, rest])


def _signed(sign: int, slot: int) -> int:
    return slot if sign > 0 else -1 - slot

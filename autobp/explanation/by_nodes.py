"""The derivation in any graph: a sum over its paths, or the derivative of each node in turn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from autobp.engine import BY_HAND
from autobp.explanation.derivation import (
    Graph,
    Section,
    Step,
    Steps,
    derivative_name,
    derivative_of,
    equal,
    label_name,
    name_of,
    sum_of,
    total,
)
from autobp.explanation.formula import Formula, Number, Symbol, add, apply, multiply
from autobp.explanation.notation import Name

_MOST_PATHS: Final = 6  # as many are written out; where there are more, derivatives of nodes are named
_LONGEST_PATHS: Final = 40  # edges in all of them together
_MOST_COMPARED: Final = 2000  # nodes whose dependence on each other is worked out


def _name_nodes(graph: Graph, on_path: Sequence[int], target: int) -> None:
    """Name the nodes from target to the root: by their labels, or u1, u2, …; J is a root without one."""
    taken = {node.label for node in graph.order if node.label}
    times_used: dict[str, int] = {}
    fresh = itertools.count(1)

    def unused() -> str:
        return next(name for name in (f"u{n}" for n in fresh) if name not in taken)

    for i in on_path:
        node = graph.order[i]
        label = node.label
        if not label:
            label = "J" if i == graph.root and "J" not in taken else unused()
            if i == target and "w" not in taken:
                label = "w"
            taken.add(label)
        text, latex = label_name(label)
        times_used[label] = times_used.get(label, 0) + 1
        if times_used[label] > 1:
            text, latex = (
                f"{text}⟨{times_used[label]}⟩",
                rf"{{{latex}}}^{{\langle {times_used[label]}\rangle}}",
            )
        graph.names[i] = Symbol(text, latex, node._data, ("node", node))
    # what is computed beside the paths gets a name where it would be long as a formula
    beside = itertools.count(1)
    on = set(on_path)
    for i in on_path:
        for parent in graph.parents[i]:
            if parent in on or parent in graph.names or graph.order[parent].is_leaf:
                continue
            node = graph.order[parent]
            if node.label:
                graph.names[parent] = Symbol(*label_name(node.label), node._data, ("node", node))
            elif graph.inline(parent, 6) is None:
                label = next(name for name in (f"v{n}" for n in beside) if name not in taken)
                graph.names[parent] = Symbol(*label_name(label), node._data, ("node", node))


def by_nodes(graph: Graph, target: int) -> tuple[Name, list[Section]]:
    """The heading and sections of the derivation node by node."""
    depends = graph.dependent(target)
    on_path = [i for i, yes in enumerate(depends) if yes]
    _name_nodes(graph, on_path, target)
    root, names = graph.root, graph.names
    meaning = ("total", graph.order[root], graph.order[target])
    left = derivative_of(names[root], names[target], graph.adjoint[target], meaning)
    if root == target:
        return (left.text, f"${left.latex}$"), [
            Section("A quantity by itself", "A quantity by itself", (Step(left, (), 1.0),))
        ]

    def forward(n: int) -> Step:
        i = on_path[n + 1]
        node = graph.order[i]
        operands = graph.inline_all(graph.parents[i], 12)
        if node.operation is BY_HAND or operands is None or node.operation is None:
            return Step(names[i], (), node._data)
        return equal(names[i], apply(node.operation, [operands[p] for p in graph.parents[i]], node.constants))

    sections = [Section("The graph", "The graph", Steps(len(on_path) - 1, forward))]
    paths = _few_paths(graph, target, depends)
    sections += _adjoints(graph, on_path) if paths is None else _path_sum(graph, paths, left)
    return (left.text, f"${left.latex}$"), sections


def _few_paths(graph: Graph, target: int, depends: Sequence[bool]) -> list[list[int]] | None:
    """Each path from the root down to target; None where there are too many to write out."""
    paths: list[list[int]] = []
    count = {target: 1}
    for i in range(target + 1, len(graph.order)):
        if depends[i]:
            total = sum(count.get(p, 0) for p in dict.fromkeys(graph.parents[i]) if depends[p])
            count[i] = min(total, _MOST_PATHS + 1)
    if count[graph.root] > _MOST_PATHS:
        return None
    stack = [[graph.root]]
    while stack:
        path = stack.pop()
        if len(path) > _LONGEST_PATHS:
            return None
        if path[-1] == target:
            paths.append(path)
            continue
        parents = [p for p in dict.fromkeys(graph.parents[path[-1]]) if depends[p]]
        stack.extend([[*path, p] for p in reversed(parents)])
    return paths if sum(len(path) - 1 for path in paths) <= _LONGEST_PATHS else None


class _Held:
    """Which of a node's operands depend on another of them, so that a partial derivative holds them fixed."""

    def __init__(self, graph: Graph, on_path: Sequence[int]) -> None:
        self.graph = graph
        self.exact = len(on_path) <= _MOST_COMPARED
        self.on_path = set(on_path)
        self.bit = {i: 1 << n for n, i in enumerate(on_path)} if self.exact else {}
        self.below: dict[int, int] = {}  # which nodes on the paths a node depends on, a bit for each
        for i in on_path if self.exact else ():
            below = self.bit[i]
            for p in graph.parents[i]:
                below |= self.below.get(p, 0)
            self.below[i] = below

    def beside(self, consumer: int, parent: int) -> list[int]:
        """Operands of the consumer that depend on the parent; in a large graph all that come after it."""
        others = [p for p in dict.fromkeys(self.graph.parents[consumer]) if p > parent and p in self.on_path]
        return [p for p in others if not self.exact or self.below[p] & self.bit[parent]]


def _local_symbol(graph: Graph, consumer: int, parent: int, held: _Held) -> Symbol:
    """∂consumer/∂parent along one edge; operands that depend on the parent too are held fixed, by name."""
    fixed = [name_of(graph.names[p]) for p in held.beside(consumer, parent)]
    top, bottom = name_of(graph.names[consumer]), name_of(graph.names[parent])
    pairs = zip(graph.parents[consumer], graph.partials[consumer], strict=True)
    value = total(partial for p, partial in pairs if p == parent)
    meaning = ("local", graph.order[consumer], graph.order[parent])
    return Symbol(*derivative_name(top, bottom, fixed), value, meaning)


def _path_sum(graph: Graph, paths: Sequence[Sequence[int]], left: Symbol) -> list[Section]:
    held = _Held(graph, sorted({i for path in paths for i in path}))
    edges = list(dict.fromkeys(edge for path in paths for edge in itertools.pairwise(path)))
    symbols = {edge: _local_symbol(graph, *edge, held) for edge in edges}
    formulas = {edge: graph.local(*edge) for edge in edges}
    chain = sum_of([multiply(*[symbols[edge] for edge in itertools.pairwise(path)]) for path in paths])
    simplified = add(*[multiply(*[formulas[edge] for edge in itertools.pairwise(path)]) for path in paths])
    factors = tuple(equal(symbols[edge], formulas[edge]) for edge in edges)
    n = len(paths)
    how = "One path leads" if n == 1 else f"{n} paths lead"
    bottom = name_of(graph.names[paths[0][-1]])[0]
    title = f"The chain rule: {how} from {bottom} to {name_of(graph.names[graph.root])[0]}"
    return [
        Section(
            title,
            f"The chain rule: {how.lower()} to the result",
            (Step(left, ((chain, False),), left.value, False),),
        ),
        Section("Each factor", "Each factor", factors),
        Section("Together", "Together", (equal(left, chain, (chain, True), simplified, (simplified, True)),)),
    ]


def _adjoints(graph: Graph, on_path: Sequence[int]) -> list[Section]:
    held = _Held(graph, on_path)
    root = graph.order[graph.root]

    def of_root(i: int) -> Formula:
        if i == graph.root:
            return Number(1.0)
        return derivative_of(
            graph.names[graph.root], graph.names[i], graph.adjoint[i], ("total", root, graph.order[i])
        )

    def step(n: int) -> Step:
        i = on_path[-2 - n]
        consumers = graph.consumers[i]
        symbols = [multiply(of_root(c), _local_symbol(graph, c, i, held)) for c in consumers]
        written = [multiply(of_root(c), graph.local(c, i)) for c in consumers]
        return equal(of_root(i), sum_of(symbols), sum_of(written))

    title = (
        "The chain rule, from the result back: there are too many paths to write out, so the derivative of "
        "each node is computed once and reused"
    )
    return [Section(title, title, Steps(len(on_path) - 1, step))]

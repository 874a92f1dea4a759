"""The derivation in any graph: a sum over its paths, or the derivative of each node in turn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from autobp.explanation.equations import Equation, Equations, Section, equal, sum_of
from autobp.explanation.formula import Formula, Number, Symbol, add, multiply
from autobp.explanation.names import derivative_name, label_name, name_of
from autobp.explanation.notation import Name
from autobp.explanation.sheet import Sheet
from autobp.explanation.through_time import Steps, recurrence_sections
from autobp.recurrences import recurrence_in

_MOST_PATHS: Final = 6  # as many are written out; where there are more, derivatives of nodes are named
_LONGEST_PATHS: Final = 40  # edges in all of them together
_MOST_COMPARED: Final = 2000  # nodes whose dependence on each other is worked out
_NOT_SELECTED: Final = "what an operation did not select counts 0, even of an infinite derivative"


def by_nodes(sheet: Sheet, target: int) -> tuple[Name, list[Section]]:
    """The heading and sections of the derivation node by node."""
    depends = sheet.dependent(target)
    on_path = [i for i, yes in enumerate(depends) if yes]
    paths = _few_paths(sheet, target, depends)
    root, names = sheet.graph.root, sheet.names
    loop = recurrence_in(sheet.graph) if paths is None else None
    steps = None
    if loop is not None and any(depends[int(member.nodes[-1])] for member in loop.body):
        steps = Steps(sheet, loop)
    _name_nodes(sheet, [i for i in on_path if steps is None or steps.is_named_outside(i)], target)
    left = sheet.by(root, target, (names[root], names[target]), sheet.adjoint[target])
    heading = left.text, f"${left.latex}$"
    if root == target:
        return heading, [Section("A quantity by itself", "A quantity by itself", (Equation(left, (), 1.0),))]

    if steps is not None:
        return heading, recurrence_sections(steps, target, depends)

    def forward(n: int) -> Equation:
        i = on_path[n + 1]
        written = sheet.written(i, 12)
        return Equation(names[i], (), sheet.graph.values[i]) if written is None else equal(names[i], written)

    sections = [Section("The graph", "The graph", Equations(len(on_path) - 1, forward))]
    sections += _adjoints(sheet, on_path) if paths is None else _path_sum(sheet, paths, left)
    return heading, sections


def _name_nodes(sheet: Sheet, on_path: Sequence[int], target: int) -> None:
    """Name the nodes from target to the root: by their labels, or u1, u2, …; J is a root without one."""
    graph = sheet.graph
    taken = set(graph.labels.values())
    times_used: dict[str, int] = {}
    fresh = itertools.count(1)

    def unused() -> str:
        return next(name for name in (f"u{n}" for n in fresh) if name not in taken)

    for i in on_path:
        label = graph.label(i)
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
        sheet.names[i] = sheet.symbol(i, (text, latex))
    _name_beside(sheet, on_path, taken)


def _name_beside(sheet: Sheet, on_path: Sequence[int], taken: set[str]) -> None:
    """Name what is computed beside the paths, where it would be long as a formula: v1, v2, …"""
    graph = sheet.graph
    beside = itertools.count(1)
    on = set(on_path)
    for i in on_path:
        for parent in graph.parents[i]:
            if parent in on or parent in sheet.names or graph.is_leaf(parent):
                continue
            label = graph.label(parent)
            if not label:
                if sheet.inline(parent, 6) is not None:
                    continue
                label = next(name for name in (f"v{n}" for n in beside) if name not in taken)
            sheet.names[parent] = sheet.symbol(parent, label_name(label))


def _few_paths(sheet: Sheet, target: int, depends: Sequence[bool]) -> list[list[int]] | None:
    """Each path from the root down to target; None where there are too many to write out."""
    parents_of, root = sheet.graph.parents, sheet.graph.root
    paths: list[list[int]] = []
    count = {target: 1}
    for i in range(target + 1, len(parents_of)):
        if depends[i]:
            total = sum(count.get(p, 0) for p in dict.fromkeys(parents_of[i]) if depends[p])
            count[i] = min(total, _MOST_PATHS + 1)
    if count[root] > _MOST_PATHS:
        return None
    stack = [[root]]
    while stack:
        path = stack.pop()
        if len(path) > _LONGEST_PATHS:
            return None
        if path[-1] == target:
            paths.append(path)
            continue
        parents = [p for p in dict.fromkeys(parents_of[path[-1]]) if depends[p]]
        stack.extend([[*path, p] for p in reversed(parents)])
    return paths if sum(len(path) - 1 for path in paths) <= _LONGEST_PATHS else None


class _Held:
    """Which of a node's operands depend on another of them, so that a partial derivative holds them fixed."""

    def __init__(self, sheet: Sheet, on_path: Sequence[int]) -> None:
        self.parents = sheet.graph.parents
        self.exact = len(on_path) <= _MOST_COMPARED
        self.on_path = set(on_path)
        self.bit = {i: 1 << n for n, i in enumerate(on_path)} if self.exact else {}
        self.below: dict[int, int] = {}  # which nodes on the paths a node depends on, a bit for each
        for i in on_path if self.exact else ():
            below = self.bit[i]
            for p in self.parents[i]:
                below |= self.below.get(p, 0)
            self.below[i] = below

    def beside(self, consumer: int, parent: int) -> list[int]:
        """Operands of the consumer that depend on the parent; in a large graph all that come after it."""
        others = [p for p in dict.fromkeys(self.parents[consumer]) if p > parent and p in self.on_path]
        return [p for p in others if not self.exact or self.below[p] & self.bit[parent]]


def _local_symbol(sheet: Sheet, consumer: int, parent: int, held: _Held) -> Symbol:
    """∂consumer/∂parent along one edge; operands that depend on the parent too are held fixed, by name."""
    fixed = [name_of(sheet.names[p]) for p in held.beside(consumer, parent)]
    top, bottom = name_of(sheet.names[consumer]), name_of(sheet.names[parent])
    meaning = ("local", sheet.graph.nodes[consumer], sheet.graph.nodes[parent])
    return Symbol(*derivative_name(top, bottom, fixed), sheet.partial(consumer, parent), meaning)


def _path_sum(sheet: Sheet, paths: Sequence[Sequence[int]], left: Symbol) -> list[Section]:
    held = _Held(sheet, sorted({i for path in paths for i in path}))
    edges = list(dict.fromkeys(edge for path in paths for edge in itertools.pairwise(path)))
    symbols = {edge: _local_symbol(sheet, *edge, held) for edge in edges}
    formulas = {edge: sheet.local(*edge) for edge in edges}
    chain = sum_of([multiply(*[symbols[edge] for edge in itertools.pairwise(path)]) for path in paths])
    counting = [p for p in paths if not any(sheet.is_stopped(*edge) for edge in itertools.pairwise(p))]
    simplified = add(*[multiply(*[formulas[edge] for edge in itertools.pairwise(path)]) for path in counting])
    factors = tuple(equal(symbols[edge], formulas[edge]) for edge in edges)
    n = len(paths)
    how = "One path leads" if n == 1 else f"{n} paths lead"
    bottom = name_of(sheet.names[paths[0][-1]])[0]
    title = f"The chain rule: {how} from {bottom} to {name_of(sheet.names[sheet.graph.root])[0]}"
    together = "Together" if len(counting) == n else f"Together: {_NOT_SELECTED}"
    return [
        Section(
            title,
            f"The chain rule: {how.lower()} to the result",
            (Equation(left, ((chain, False),), left.value, False),),
        ),
        Section("Each factor", "Each factor", factors),
        Section(together, together, (equal(left, chain, (chain, True), simplified, (simplified, True)),)),
    ]


def _adjoints(sheet: Sheet, on_path: Sequence[int]) -> list[Section]:
    held = _Held(sheet, on_path)
    root, consumers = sheet.graph.root, sheet.graph.consumers

    def of_root(i: int) -> Formula:
        if i == root:
            return Number(1.0)
        return sheet.by(root, i, (sheet.names[root], sheet.names[i]), sheet.adjoint[i])

    def step(n: int) -> Equation:
        i = on_path[-2 - n]
        symbols = [multiply(of_root(c), _local_symbol(sheet, c, i, held)) for c in consumers[i]]
        counting = [c for c in consumers[i] if not sheet.is_stopped(c, i)]
        written = [multiply(of_root(c), sheet.local(c, i)) for c in counting] or [Number(0.0)]
        return equal(of_root(i), sum_of(symbols), sum_of(written))

    title = (
        "The chain rule, from the result back: there are too many paths to write out, so the derivative of "
        "each node is computed once and reused"
    )
    if any(sheet.is_stopped(c, i) for i in on_path for c in consumers[i]):
        title += f"; {_NOT_SELECTED}"
    return [Section(title, title, Equations(len(on_path) - 1, step))]

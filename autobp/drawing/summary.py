"""A graph too large to read, folded: nodes computed in the same way become one, with their number."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from autobp.drawing.picture import Picture
from autobp.drawing.scalars import (
    box_of,
    gradient,
    head_row,
    new_picture,
    nodes_on_paths,
    number_row,
    panel,
    put_caption,
    symbol_of,
)
from autobp.drawing.style import Style, counted, escape_html, is_rounding, largest_of, legend, printable
from autobp.engine import Value
from autobp.nn import Trace
from autobp.ops import ADD, MAXIMUM, MINIMUM, MULTIPLY, SUBTRACT
from autobp.reading.graph import Graph
from autobp.reading.labels import element, holds_biases, layer_of_array
from autobp.reading.neurons import Neurons, find_neurons

_MOST_GROUPS = 60  # more boxes than these are no summary


@dataclass(frozen=True)
class Role:
    """What a node is in a network: z or a (or nothing, "") of a layer (0 for none)."""

    layer: int = 0
    name: str = ""


def roles_of(neurons: Neurons) -> dict[int, Role]:
    """The roles of nodes, by number."""
    roles: dict[int, Role] = {}
    for neuron in neurons.neurons:
        roles[neuron.z] = Role(neuron.layer, "z")
        if neuron.a is not None and neuron.a != neuron.z:
            roles[neuron.a] = Role(neuron.layer, "a")
    return roles


class Fold:
    """A partition of a graph.

    Attributes:
        head: for each node the one it is folded into: an inner sum, and a product that is only added up, into
            the sum. Itself for the rest, the heads.
        group: for each head, the number of its group.
        members: for each group its heads.
        size: for each group the number of its nodes, those folded into its heads included.
        exact: whether the members of a group are computed alike all the way down from the leaves.
    """

    def __init__(self, graph: Graph, roles: Mapping[int, Role], max_groups: int) -> None:
        self.graph = graph
        self.head = _heads(graph, roles)
        operands: dict[int, list[int]] = defaultdict(list)
        for node, parents in enumerate(graph.parents):
            for parent in parents:
                if self.head[parent] != self.head[node]:
                    operands[self.head[node]].append(self.head[parent])
        self._heads = [node for node in range(len(graph)) if self.head[node] == node]
        self._operands = operands
        uses = self._uses(roles)
        self.exact = True
        for name in (_array, _stem):
            kinds = {node: _kind(graph, node, roles, uses, name) for node in self._heads}
            self.group = self._alike(kinds)
            if max(self.group.values()) < max_groups:
                break
        else:
            self.exact = False
            self.group = self._nearby_alike(kinds, max_groups)
        self.members: list[list[int]] = [[] for _ in range(max(self.group.values()) + 1)]
        for node in self._heads:
            self.members[self.group[node]].append(node)
        self.size = Counter(self.group[head] for head in self.head)

    def _below(self, node: int, group: Mapping[int, int]) -> frozenset[int]:
        """The groups of a head's operands."""
        return frozenset([group[operand] for operand in self._operands.get(node, ())])

    def _alike(self, kinds: Mapping[int, Hashable]) -> dict[int, int]:
        """Groups of nodes of one kind whose operands are of the same groups."""
        numbers: dict[Hashable, int] = {}
        group: dict[int, int] = {}
        for node in self._heads:
            group[node] = numbers.setdefault((kinds[node], self._below(node, group)), len(numbers))
        return group

    def _nearby_alike(self, kinds: Mapping[int, Hashable], max_groups: int) -> dict[int, int]:
        """Groups of nodes alike up to some distance upwards, the longest of 8 with at most max_groups."""
        base = _numbered(kinds)
        if max(base.values()) >= max_groups:
            operations = {node: self.graph.operations[node] for node in self._heads}
            base = _numbered({node: op.name if op else "" for node, op in operations.items()})
        group = base
        for _ in range(8):
            finer = _numbered({node: (base[node], self._below(node, group)) for node in self._heads})
            if max(finer.values()) >= max_groups:
                break
            group = finer
        return group

    def _uses(self, roles: Mapping[int, Role]) -> dict[int, frozenset[Hashable]]:
        """For the leaves without a label, what takes them in: inputs are told from targets by that."""
        uses: dict[int, set[Hashable]] = defaultdict(set)
        for node in self._heads:
            operation = self.graph.operations[node]
            for operand in self._operands.get(node, ()):
                if self.graph.is_leaf(operand) and not self.graph.label(operand):
                    uses[operand].add((operation.name if operation else "", roles.get(node)))
        return {node: frozenset(found) for node, found in uses.items()}


def _heads(graph: Graph, roles: Mapping[int, Role]) -> list[int]:
    use: dict[int, int | None] = {}
    for node, parents in enumerate(graph.parents):
        for parent in parents:
            use[parent] = None if parent in use else node
    head = list(range(len(graph)))
    for node in reversed(range(len(graph))):
        user = use.get(node)
        if user is not None and node not in roles and _folds(graph, node, user):
            head[node] = head[user]
    return head


def _folds(graph: Graph, node: int, user: int) -> bool:
    operation, above = graph.operations[node], graph.operations[user]
    if above is ADD or above is SUBTRACT:
        return operation is ADD or operation is SUBTRACT or operation is MULTIPLY
    return operation is above and above in (MULTIPLY, MAXIMUM, MINIMUM)


def _numbered(kinds: Mapping[int, Hashable]) -> dict[int, int]:
    numbers: dict[Hashable, int] = {}
    return {node: numbers.setdefault(kind, len(numbers)) for node, kind in kinds.items()}


def _kind(
    graph: Graph,
    node: int,
    roles: Mapping[int, Role],
    uses: Mapping[int, frozenset[Hashable]],
    name: Callable[[str], str],
) -> Hashable:
    operation = graph.operations[node]
    if operation is None:
        label = graph.label(node)
        return "", name(label), holds_biases(label), uses.get(node)
    return operation.name, graph.constants[node], roles.get(node)


def _array(label: str) -> str:
    """What the leaves of one array are called: "W1" for "W1[2,3]", "x" for "x7"."""
    return element(label).array


def _stem(label: str) -> str:
    """The array's name without its number, unless it is a layer's: "x" for "x7[1]", "W1" for "W1[2,3]"."""
    array = _array(label)
    return array if layer_of_array(array) is not None else array.rstrip("0123456789") or array


def draw_summary(
    graph: Graph,
    style: Style,
    *,
    highlight: Sequence[Value] = (),
    trace: Trace | None = None,
    max_groups: int = _MOST_GROUPS,
    why: str = "too many to draw each",
) -> Picture:
    """A graph as groups of nodes that are computed in the same way; ``why`` it is, for the caption.

    Raises:
        ValueError: a highlighted Value is no part of the graph.
    """
    lit, _ = nodes_on_paths(graph, highlight)
    neurons = find_neurons(graph, trace)
    roles = roles_of(neurons)
    fold = Fold(graph, roles, min(max_groups, _MOST_GROUPS))
    picture = new_picture(style)
    put_caption(picture, _caption(fold, style, why), style)
    _put_groups(picture, fold, _Labels(fold, neurons, roles, style, lit))
    _put_edges(picture, fold, lit, style)
    return picture


def _caption(fold: Fold, style: Style, why: str) -> list[str]:
    n_nodes, n_groups = len(fold.graph), len(fold.members)
    caption = [f"{counted(n_nodes, 'node')} in {counted(n_groups, 'box')}: {why}"]
    if style.colour != "none":
        caption.append(f"{legend(style.colour)}; a box has the colour of its mean")
    if not fold.exact:
        caption.append("a box holds what is computed alike nearby; arrows in a circle are repetition")
    return caption


def _put_groups(picture: Picture, fold: Fold, labels: _Labels) -> None:
    """A box for each group, in the panel of its layer."""
    layer_of = {number: layer for layer, numbers in labels.neurons.shared.items() for number in numbers}
    for neuron, numbers in zip(labels.neurons.neurons, labels.neurons.inside, strict=True):
        layer_of.update(dict.fromkeys(numbers, neuron.layer))
    in_layer: dict[int, list[int]] = defaultdict(list)
    for i, members in enumerate(fold.members):
        layers = {layer_of.get(member, 0) for member in members}
        in_layer[layers.pop() if len(layers) == 1 else 0].append(i)

    def put(graph: Picture, groups: list[int]) -> None:
        for i in groups:
            graph.node(f"g{i}", labels.label(i), id=f"g{i}", tooltip=counted(fold.size[i], "node"))

    clusters = count()
    for layer in sorted(in_layer):
        if layer == 0:
            put(picture, in_layer[0])
            continue
        with picture.subgraph(name=f"cluster_{next(clusters)}") as box:
            panel(box, f"layer {layer}", labels.style)
            put(box, in_layer[layer])


def _put_edges(picture: Picture, fold: Fold, lit: Collection[int], style: Style) -> None:
    """An arrow between groups, which says how many it stands for."""
    edges: Counter[tuple[int, int]] = Counter()
    lit_edges = set()
    for node, parents in enumerate(fold.graph.parents):
        to = fold.head[node]
        for parent in parents:
            start = fold.head[parent]
            if start != to:
                edge = fold.group[start], fold.group[to]
                edges[edge] += 1
                if parent in lit and node in lit:
                    lit_edges.add(edge)
    for (tail, head), n in edges.items():
        outstanding = {"color": style.colours.highlight, "penwidth": "2.6"}
        attributes = outstanding if (tail, head) in lit_edges else {}
        picture.edge(f"g{tail}", f"g{head}", tooltip=counted(n, "edge"), **attributes)


#: What several nodes make when they are folded into one, and several of these.
_FOLDED = {
    ADD: ("sum", "sums"),
    SUBTRACT: ("sum", "sums"),
    MULTIPLY: ("product", "products"),
    MAXIMUM: ("maximum", "maxima"),
    MINIMUM: ("minimum", "minima"),
}


class _Labels:
    """What is written in the boxes of groups."""

    def __init__(
        self, fold: Fold, neurons: Neurons, roles: Mapping[int, Role], style: Style, lit: Collection[int]
    ) -> None:
        self.fold = fold
        self.graph = fold.graph
        self.neurons = neurons
        self.roles = roles
        self.style = style
        self.lit = lit
        self.inputs = set(neurons.inputs)
        self.largest = largest_of(self._strength(members) for members in fold.members)

    def label(self, group: int) -> str:
        """A table of the group's operation, name, number and range."""
        members, size, style = self.fold.members[group], self.fold.size[group], self.style
        first = members[0]
        operation, role, name = self.graph.operations[first], self.roles.get(first), self._name(members)
        symbol = printable(symbol_of(self.graph.nodes[first]))
        if size > len(members) and (operation is ADD or operation is SUBTRACT):
            symbol = "Σ"
        rows = [head_row(escape_html(symbol), escape_html(name))]
        if size > 1 and not name.startswith(counted(size, "number")):
            rows.append(f'<tr><td colspan="2">{self._how_many(members, size)}</td></tr>')
        for shown, title in (("data", "data"), ("grad", "δ = grad" if role and role.name == "z" else "grad")):
            if shown in style.show:
                rows.append(number_row(title, style.range_of(self._numbers(members, shown))))
        fill = style.tint(self._strength(members), self.largest)
        lit = any(member in self.lit for member in members)
        return box_of(rows, fill, style, lit=lit, shape="" if operation is None else ' style="rounded"')

    def _name(self, members: Sequence[int]) -> str:
        first = members[0]
        role = self.roles.get(first)
        if role is not None:
            return f"{role.name}{role.layer}"
        if not self.graph.is_leaf(first):
            return printable(self.graph.label(first)) if len(members) == 1 else ""
        if name := _array_name([self.graph.label(member) for member in members]):
            return name
        if all(member in self.inputs for member in members):
            return "input" if len(members) == 1 else "inputs"
        # what no layer takes in, the cost does: targets, and the numbers in its formula
        return counted(len(members), "number") + (" in the cost" if self.neurons.neurons else "")

    def _how_many(self, members: Sequence[int], size: int) -> str:
        operation = self.graph.operations[members[0]]
        if operation is None:
            return counted(size, _kind_of_leaf(self.graph.label(members[0])))
        if size == len(members) or operation not in _FOLDED:
            return counted(size, "node")
        one, several = _FOLDED[operation]
        if len(members) == 1:
            return f"one {one} of {counted(size, 'node')}"
        each, rest = divmod(size, len(members))
        made = f"{len(members):,} {several} of {counted(size if rest else each, 'node')}"
        return f"{made} in all" if rest else f"{made} each"

    def _numbers(self, members: Sequence[int], what: str) -> list[float]:
        nodes = [self.graph.nodes[member] for member in members]
        return [node.data if what == "data" else gradient(node) for node in nodes]

    def _strength(self, members: Sequence[int]) -> float:
        """What tints a group: the mean of its numbers."""
        if self.style.colour == "none":
            return 0.0
        numbers = self._numbers(members, self.style.colour)
        n = len(numbers)
        if not all(map(math.isfinite, numbers)):
            return 0.0
        mean = math.fsum(x / n for x in numbers)
        return 0.0 if is_rounding(mean, max(map(abs, numbers))) else mean


def _kind_of_leaf(label: str) -> str:
    if layer_of_array(_array(label)) is None:
        return "number"
    return "bias" if holds_biases(label) else "weight"


def _array_name(labels: Sequence[str]) -> str:
    """ "W1  16 × 2" for the leaves of a matrix, "b1", "x"; a single leaf's own label; "" without labels."""
    label = labels[0]
    if len(labels) == 1 or not label:
        return printable(label)
    elements = [element(each) for each in labels]
    name = printable(elements[0].array if len({each.array for each in elements}) == 1 else _stem(label))
    indices = [each.indices for each in elements]
    if len({len(index) for index in indices}) == 1:
        shape = [max(column) for column in zip(*indices, strict=True)]
        if math.prod(shape) == len(labels) and len(shape) > 1:
            return f"{name}  {' × '.join(f'{n:,}' for n in shape)}"
    return name

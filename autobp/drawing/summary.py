"""A graph too large to read, folded: nodes computed in the same way become one, with their number."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import count

from autobp.drawing.layers import find_layers
from autobp.drawing.picture import Picture
from autobp.drawing.scalars import (
    gradient,
    head_row,
    new_picture,
    nodes_on_paths,
    number_row,
    panel,
    put_caption,
)
from autobp.drawing.style import Style, counted, escape_html, largest_of, printable
from autobp.engine import Value
from autobp.nn import Trace
from autobp.ops import ADD, MAXIMUM, MINIMUM, MULTIPLY, SUBTRACT

_INDEXED = re.compile(r"(.*?)\[(\d+(?:,\d+)*)\]")
_LAYERS = re.compile(r"[Wb]\d+")
_LEAVES = {"W": "weight", "b": "bias"}
_MOST_GROUPS = 60  # more boxes than these are no summary


@dataclass(frozen=True)
class Role:
    """What a node is in a network: z or a (or nothing, "") of a layer (0 for none)."""

    layer: int = 0
    name: str = ""


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

    def __init__(self, order: list[Value], roles: dict[Value, Role], max_groups: int) -> None:
        self.head = _heads(order, roles)
        operands: dict[Value, list[Value]] = defaultdict(list)
        for node in order:
            for parent in node.parents:
                if self.head[parent] is not self.head[node]:
                    operands[self.head[node]].append(self.head[parent])
        heads = [node for node in order if self.head[node] is node]
        uses = _uses(heads, operands, roles)
        self.exact = True
        for name in (_array, _stem):
            kinds = {node: _kind(node, roles, uses, name) for node in heads}
            self.group = _alike(heads, operands, kinds)
            if max(self.group.values()) < max_groups:
                break
        else:
            self.exact = False
            self.group = _nearby_alike(heads, operands, kinds, max_groups)
        self.members: list[list[Value]] = [[] for _ in range(max(self.group.values()) + 1)]
        for node in heads:
            self.members[self.group[node]].append(node)
        self.size = Counter(self.group[self.head[node]] for node in order)


def _heads(order: list[Value], roles: dict[Value, Role]) -> dict[Value, Value]:
    use: dict[Value, Value | None] = {}
    for node in order:
        for parent in node.parents:
            use[parent] = None if parent in use else node
    head: dict[Value, Value] = {}
    for node in reversed(order):
        head[node] = node
        user = use.get(node)
        if user is not None and node not in roles and _folds(node, user):
            head[node] = head[user]
    return head


def _folds(node: Value, user: Value) -> bool:
    if user.operation is ADD or user.operation is SUBTRACT:
        return node.operation is ADD or node.operation is SUBTRACT or node.operation is MULTIPLY
    return node.operation is user.operation and user.operation in (MULTIPLY, MAXIMUM, MINIMUM)


def _alike(
    heads: list[Value], operands: dict[Value, list[Value]], kinds: dict[Value, Hashable]
) -> dict[Value, int]:
    """Groups of nodes of one kind whose operands are of the same groups."""
    numbers: dict[Hashable, int] = {}
    group: dict[Value, int] = {}
    for node in heads:
        below = frozenset([group[operand] for operand in operands.get(node, ())])
        group[node] = numbers.setdefault((kinds[node], below), len(numbers))
    return group


def _nearby_alike(
    heads: list[Value], operands: dict[Value, list[Value]], kinds: dict[Value, Hashable], max_groups: int
) -> dict[Value, int]:
    """Groups of nodes alike up to some distance upwards, the longest of 8 with no more than max_groups."""
    base = _numbered(kinds)
    if max(base.values()) >= max_groups:
        base = _numbered({node: node.operation.name if node.operation else "" for node in heads})
    group = base
    for _ in range(8):
        finer = _numbered(
            {
                node: (base[node], frozenset([group[operand] for operand in operands.get(node, ())]))
                for node in heads
            }
        )
        if max(finer.values()) >= max_groups:
            break
        group = finer
    return group


def _numbered(kinds: dict[Value, Hashable]) -> dict[Value, int]:
    numbers: dict[Hashable, int] = {}
    return {node: numbers.setdefault(kind, len(numbers)) for node, kind in kinds.items()}


def _uses(
    heads: list[Value], operands: dict[Value, list[Value]], roles: dict[Value, Role]
) -> dict[Value, frozenset[Hashable]]:
    """For the leaves without a label, what takes them in: inputs are told from targets by that."""
    uses: dict[Value, set[Hashable]] = defaultdict(set)
    for node in heads:
        for operand in operands.get(node, ()):
            if operand.operation is None and not operand.label:
                uses[operand].add((node.operation.name if node.operation else "", roles.get(node)))
    return {node: frozenset(found) for node, found in uses.items()}


def _kind(
    node: Value,
    roles: dict[Value, Role],
    uses: dict[Value, frozenset[Hashable]],
    name: Callable[[str], str],
) -> Hashable:
    if node.operation is None:
        return "", name(node.label), uses.get(node)
    return node.operation.name, node.constants, roles.get(node)


def _array(label: str) -> str:
    """What the leaves of one array are called: "W1" for "W1[2,3]", "x" for "x7"."""
    indexed = _INDEXED.fullmatch(label)
    return indexed[1] if indexed else label.rstrip("0123456789") or label


def _stem(label: str) -> str:
    """The array's name without its number, unless it is a layer's: "x" for "x7[1]", "W1" for "W1[2,3]"."""
    array = _array(label)
    return array if _LAYERS.fullmatch(array) else array.rstrip("0123456789") or array


def draw_summary(
    order: list[Value],
    style: Style,
    *,
    highlight: Sequence[Value] = (),
    trace: Trace | None = None,
    max_groups: int = _MOST_GROUPS,
) -> Picture:
    """A graph, given in topological order, as groups of nodes that are computed in the same way.

    Raises:
        ValueError: a highlighted Value is no part of the graph.
    """
    lit, _ = nodes_on_paths(order, highlight)
    layers = find_layers(order, trace)
    roles: dict[Value, Role] = {}
    layer_of: dict[Value, int] = {}
    for neuron in layers.neurons:
        layer_of.update(dict.fromkeys(neuron.inside, neuron.layer))
        roles[neuron.z] = Role(neuron.layer, "z")
        if neuron.a is not None and neuron.a is not neuron.z:
            roles[neuron.a] = Role(neuron.layer, "a")
    for number, nodes in layers.shared.items():
        layer_of.update(dict.fromkeys(nodes, number))
    fold = Fold(order, roles, min(max_groups, _MOST_GROUPS))
    inputs = set(layers.inputs)

    picture = new_picture(style)
    colours = style.colours
    n_groups = len(fold.members)
    caption = [f"{counted(len(order), 'node')} in {counted(n_groups, 'box')}: too many to draw each"]
    if style.colour != "none":
        what = "gradients" if style.colour == "grad" else "data"
        caption.append(f"blue: the mean of a box's {what} is above 0; orange: below 0; stronger: larger")
    if not fold.exact:
        caption.append("a box holds what is computed alike nearby; arrows in a circle are repetition")
    put_caption(picture, caption, style)

    largest = largest_of(_strength(members, style) for members in fold.members)
    in_layer: dict[int, list[int]] = defaultdict(list)
    for i, members in enumerate(fold.members):
        numbers = {layer_of.get(member, 0) for member in members}
        in_layer[numbers.pop() if len(numbers) == 1 else 0].append(i)

    def put(graph: Picture, groups: list[int]) -> None:
        for i in groups:
            members = fold.members[i]
            is_lit = any(member in lit for member in members)
            name = _group_name(members, roles, inputs, has_layers=bool(layers.neurons))
            label = _group_label(members, fold.size[i], name, roles, style, largest, lit=is_lit)
            graph.node(f"g{i}", label, id=f"g{i}", tooltip=counted(fold.size[i], "node"))

    clusters = count()
    for number in sorted(in_layer):
        if number == 0:
            put(picture, in_layer[0])
            continue
        with picture.subgraph(name=f"cluster_{next(clusters)}") as box:
            panel(box, f"layer {number}", style)
            put(box, in_layer[number])

    edges: Counter[tuple[int, int]] = Counter()
    lit_edges = set()
    for node in order:
        to = fold.head[node]
        for parent in node.parents:
            start = fold.head[parent]
            if start is not to:
                edge = fold.group[start], fold.group[to]
                edges[edge] += 1
                if parent in lit and node in lit:
                    lit_edges.add(edge)
    for (tail, head), n in edges.items():
        attributes = {"color": colours.highlight, "penwidth": "2.6"} if (tail, head) in lit_edges else {}
        picture.edge(f"g{tail}", f"g{head}", tooltip=counted(n, "edge"), **attributes)
    return picture


def _group_name(
    members: list[Value], roles: dict[Value, Role], inputs: set[Value], *, has_layers: bool
) -> str:
    first = members[0]
    role = roles.get(first)
    if role is not None:
        return f"{role.name}{role.layer}"
    if not first.is_leaf:
        return printable(first.label) if len(members) == 1 else ""
    if name := _array_name(members):
        return name
    if all(member in inputs for member in members):
        return "input" if len(members) == 1 else "inputs"
    # what no layer takes in, the cost does: targets, and the numbers in its formula
    return counted(len(members), "number") + (" in the cost" if has_layers else "")


def _group_label(
    members: list[Value],
    size: int,
    name: str,
    roles: dict[Value, Role],
    style: Style,
    largest: float,
    *,
    lit: bool,
) -> str:
    colours = style.colours
    first = members[0]
    role = roles.get(first)
    symbol = printable(first._op)
    if size > len(members) and (first.operation is ADD or first.operation is SUBTRACT):
        symbol = "Σ"
    rows = [head_row(escape_html(symbol), escape_html(name))]
    if size > 1 and not name.startswith(counted(size, "number")):
        rows.append(f'<tr><td colspan="2">{_how_many(members, size)}</td></tr>')
    for shown, title in (("data", "data"), ("grad", "δ = grad" if role and role.name == "z" else "grad")):
        if shown in style.show:
            numbers = [node.data if shown == "data" else gradient(node) for node in members]
            rows.append(number_row(title, _range(numbers, style)))
    border = f'border="{3 if lit else 1}" color="{colours.highlight if lit else colours.line}"'
    shape = "" if first.is_leaf else ' style="rounded"'
    fill = style.tint(_strength(members, style), largest)
    return (
        f'<<table {border}{shape} bgcolor="{fill}" cellborder="0" cellspacing="1" cellpadding="3">'
        f"{''.join(rows)}</table>>"
    )


#: What several nodes make when they are folded into one, and several of these.
_FOLDED = {
    ADD: ("sum", "sums"),
    SUBTRACT: ("sum", "sums"),
    MULTIPLY: ("product", "products"),
    MAXIMUM: ("maximum", "maxima"),
    MINIMUM: ("minimum", "minima"),
}


def _how_many(members: list[Value], size: int) -> str:
    first = members[0]
    if first.is_leaf:
        kind = _LEAVES.get(first.label[:1], "number") if _LAYERS.fullmatch(_array(first.label)) else "number"
        return counted(size, kind)
    if size == len(members) or first.operation not in _FOLDED:
        return counted(size, "node")
    one, several = _FOLDED[first.operation]
    if len(members) == 1:
        return f"one {one} of {counted(size, 'node')}"
    each, rest = divmod(size, len(members))
    made = f"{len(members):,} {several} of {counted(size if rest else each, 'node')}"
    return f"{made} in all" if rest else f"{made} each"


def _array_name(members: list[Value]) -> str:
    """ "W1  16 × 2" for the leaves of a matrix, "b1", "x"; a single leaf's own label; "" without labels."""
    label = members[0].label
    if len(members) == 1 or not label:
        return printable(label)
    indexed = [_INDEXED.fullmatch(member.label) for member in members]
    indices = [tuple(map(int, found[2].split(","))) for found in indexed if found]
    name = printable(_array(label) if len({_array(m.label) for m in members}) == 1 else _stem(label))
    if len(indices) == len(members) and len({len(index) for index in indices}) == 1:
        shape = [max(column) for column in zip(*indices, strict=True)]
        if math.prod(shape) == len(members) and len(shape) > 1:
            return f"{name}  {' × '.join(f'{n:,}' for n in shape)}"
    return name


def _range(numbers: list[float], style: Style) -> str:
    known = [x for x in numbers if not math.isnan(x)]
    missing = len(numbers) - len(known)
    if not known:
        return "nan"
    low, high = style.number(min(known)), style.number(max(known))
    return (low if low == high else f"{low} … {high}") + (f", {missing:,} nan" if missing else "")


def _strength(members: list[Value], style: Style) -> float:
    """What tints a group: the mean of its numbers."""
    if style.colour == "none":
        return 0.0
    numbers = [member.data if style.colour == "data" else gradient(member) for member in members]
    n = len(numbers)
    return math.fsum(x / n for x in numbers) if all(map(math.isfinite, numbers)) else 0.0

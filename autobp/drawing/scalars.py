"""A graph of scalars, node by node: data, grad, operation and label, with neurons and layers marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from graphviz import escape

from autobp.drawing.layers import Layers, NeuronInGraph, find_layers
from autobp.drawing.picture import Picture
from autobp.drawing.style import FONT, Style, counted, escape_html, largest_of, printable
from autobp.engine import Value
from autobp.nn import Trace


def draw_scalars(
    order: list[Value],
    style: Style,
    *,
    depth: int | None = None,
    highlight: Sequence[Value] = (),
    trace: Trace | None = None,
    box: Callable[[Value, str], dict[str, str]] | None = None,
) -> Picture:
    """Every node of a graph, given in topological order, down to a depth below the root.

    Args:
        box: the attributes of a node, from the Value and its name; left out, a table of its numbers.

    Raises:
        ValueError: a highlighted Value is no part of the graph.
    """
    root = order[-1]
    picture = new_picture(style)
    colours = style.colours
    layers = find_layers(order, trace)
    marks = marks_of(layers, trace)
    if any(not node.is_leaf for nodes in layers.shared.values() for node in nodes):
        # a softmax leaves its neurons and comes back: laid out each by itself, it would have arrows backwards
        picture.attr(newrank="true")
    shown = order if depth is None else down_to(order, depth)
    names = {node: f"n{i}" for i, node in enumerate(order)}
    visible = set(shown)
    lit, n_paths = nodes_on_paths(order, highlight)
    largest = largest_of(_coloured(node, style) for node in shown)

    caption = []
    if len(shown) < len(order):
        caption.append(
            f"{len(shown):,} of {counted(len(order), 'node')}, down to depth {depth}; "
            f"{counted(len(order) - len(shown), 'node')} folded into …"
        )
    for value in highlight:
        caption.append(
            f"∂{name_of(root, marks) or 'root'}/∂{name_of(value, marks) or names[value]} = "
            f"{style.number(value.grad)}, a sum over {counted(n_paths[value], 'path')}"
        )
    if caption:
        put_caption(picture, caption, style)

    def put(graph: Picture, nodes: Iterable[Value]) -> None:
        for node in nodes:
            if node in visible:
                attributes = {"tooltip": _tooltip(node, marks)}
                if box is None:
                    attributes["label"] = _node_label(node, marks, style, largest, lit=node in lit)
                else:
                    attributes.update(box(node, name_of(node, marks)))
                graph.node(names[node], id=names[node], **attributes)

    inside = {node for neuron in layers.neurons for node in neuron.inside}
    inside.update(node for nodes in layers.shared.values() for node in nodes)
    clusters = count()
    if any(node in visible for node in layers.inputs):
        with picture.subgraph(name=f"cluster_{next(clusters)}") as outer:
            panel(outer, "inputs", style)
            outer.attr(rank="same")
            put(outer, layers.inputs)
        inside.update(layers.inputs)
    for number in layers.numbers():
        with picture.subgraph(name=f"cluster_{next(clusters)}") as outer:
            panel(outer, f"layer {number}", style)
            for neuron in layers.neurons:
                if neuron.layer == number and any(node in visible for node in neuron.inside):
                    with outer.subgraph(name=f"cluster_{next(clusters)}") as inner:
                        inner.attr(label=_neuron_title(neuron), fillcolor=colours.inner_panel)
                        put(inner, neuron.inside)
            put(outer, layers.shared.get(number, ()))
    put(picture, (node for node in order if node not in inside))

    for node in shown:
        hidden = 0
        for slot, (parent, partial) in enumerate(_operands(node)):
            if parent not in visible:
                hidden += 1
                continue
            on_path = node in lit and parent in lit
            attributes = {"color": colours.highlight, "penwidth": "2.6"} if on_path else {}
            if "partials" in style.show or on_path:
                attributes["label"] = " " + ("?" if partial is None else style.number(partial)) + " "
                attributes["fontcolor"] = colours.highlight if on_path else colours.muted
            picture.edge(names[parent], names[node], id=f"{names[node]}_{slot}", **attributes)
        if hidden:
            stub = f"{names[node]}_below"
            tip = counted(hidden, "operand")
            picture.node(stub, "…", shape="plaintext", fontcolor=colours.muted, tooltip=tip)
            picture.edge(stub, names[node], style="dashed")
    return picture


def new_picture(style: Style, engine: str = "dot") -> Picture:
    """An empty picture with the theme's colours and the style's direction."""
    colours = style.colours
    picture = Picture("autobp", format="svg", engine=engine)
    picture.attr(bgcolor=colours.background, fontname=FONT, fontsize="11", fontcolor=colours.ink, tooltip=" ")
    picture.attr(rankdir=style.direction, nodesep="0.22", ranksep="0.45", pad="0.15", labeljust="l")
    picture.attr(
        "node", fontname=FONT, fontsize="11", fontcolor=colours.ink, color=colours.line, shape="plain"
    )
    picture.attr("edge", fontname=FONT, fontsize="10", fontcolor=colours.muted, color=colours.line)
    picture.attr("edge", arrowsize="0.6", tooltip=" ")
    return picture


def panel(box: Picture, title: str, style: Style) -> None:
    """Make a cluster the box of a layer."""
    colours = style.colours
    box.attr(label=title, style="rounded,filled", fillcolor=colours.panel, color=colours.line)
    box.attr(fontcolor=colours.muted)


def put_caption(picture: Picture, lines: Sequence[str], style: Style) -> None:
    """Lines of text above the picture, left-aligned."""
    text = "".join(f'{escape_html(line)}<br align="left"/>' for line in lines)
    picture.attr(label=f"<{text}>", labelloc="t", labeljust="l", fontcolor=style.colours.muted)


def name_of(node: Value, marks: dict[Value, list[str]]) -> str:
    """A node's label, with what it is in a neuron: "z1[2]", "h = a1[2]"; "" where it has neither."""
    names = [printable(node.label)] if node.label else []
    names += [mark for mark in marks.get(node, []) if mark != node.label]
    return " = ".join(names)


def marks_of(layers: Layers, trace: Trace | None = None) -> dict[Value, list[str]]:
    """What nodes are in a network: "z1[2]", "a1[2]", and "x[2]" for an input of the trace without a label."""
    marks: dict[Value, list[str]] = defaultdict(list)
    for i, x in enumerate(trace.a[0] if trace else (), start=1):
        if not x.label:
            marks[x].append(f"x[{i}]")
    for neuron in layers.neurons:
        marks[neuron.z].append(f"z{neuron.name}")
        if neuron.a is not None:
            marks[neuron.a].append(f"a{neuron.name}")
    return marks


def _neuron_title(neuron: NeuronInGraph) -> str:
    op = None if neuron.a is None or neuron.a is neuron.z else neuron.a.operation
    if op is None or op.arity != 1:
        return f"neuron {neuron.index}"
    return f"neuron {neuron.index} · {op.symbol}"


def _node_label(
    node: Value, marks: dict[Value, list[str]], style: Style, largest: float, *, lit: bool
) -> str:
    colours = style.colours
    name = escape_html(name_of(node, marks))
    symbol = escape_html(printable(node._op))
    rows = [head_row(symbol, name)] if symbol or name else []
    is_z = any(mark.startswith("z") for mark in marks.get(node, ()))
    if "data" in style.show:
        rows.append(number_row("data", style.number(node.data)))
    if "grad" in style.show:
        rows.append(number_row("δ = grad" if is_z else "grad", style.number(gradient(node))))
    if not rows:
        rows.append("<tr><td>&nbsp;</td></tr>")
    fill = style.tint(_coloured(node, style), largest)
    border = f'border="{3 if lit else 1}" color="{colours.highlight if lit else colours.line}"'
    shape = "" if node.is_leaf else ' style="rounded"'
    return (
        f'<<table {border}{shape} bgcolor="{fill}" cellborder="0" cellspacing="1" cellpadding="3">'
        f"{''.join(rows)}</table>>"
    )


def head_row(symbol: str, name: str) -> str:
    """The first row of a node's table: an operation and a name, or one of them, in HTML."""
    if symbol and name:
        return f'<tr><td align="left"><b>{symbol}</b></td><td align="right">{name}</td></tr>'
    return f'<tr><td colspan="2"><b>{symbol}</b>{name}</td></tr>'.replace("<b></b>", "")


def number_row(name: str, number: str) -> str:
    """A row of a node's table."""
    return (
        f'<tr><td align="left"><font point-size="9">{name}</font></td>'
        f'<td align="right">{escape_html(number)}</td></tr>'
    )


def _tooltip(node: Value, marks: dict[Value, list[str]]) -> str:
    name = name_of(node, marks) or ("input" if node.is_leaf else node._op)
    return str(escape(f"{name}: data {node.data!r}, grad {gradient(node)!r}"))


def gradient(node: Value) -> float:
    """grad as a number, also where it is a Value, after a backward pass that recorded itself."""
    return node.grad.data if isinstance(node.grad, Value) else float(node.grad)


def _coloured(node: Value, style: Style) -> float:
    return {"data": node.data, "grad": gradient(node), "none": 0.0}[style.colour]


def _operands(node: Value) -> list[tuple[Value, float | None]]:
    partials: Sequence[float | None] = node.partials
    if len(partials) != len(node.parents):  # made by hand, with a _backward that knows the derivatives
        partials = [None] * len(node.parents)
    return list(zip(node.parents, partials, strict=True))


def down_to(order: list[Value], depth: int) -> list[Value]:
    """The nodes at most depth edges from the root, the last in order, in topological order."""
    near = {order[-1]}
    ring = [order[-1]]
    for _ in range(depth):
        ring = list({parent for node in ring for parent in node.parents if parent not in near})
        near.update(ring)
    return [node for node in order if node in near]


def nodes_on_paths(order: list[Value], ends: Sequence[Value]) -> tuple[set[Value], dict[Value, int]]:
    """The nodes on a path from one of the ends to the root, and the number of such paths for each end.

    Args:
        order: the graph in topological order, the root last.
        ends: some of its nodes.

    Raises:
        ValueError: an end is not in the graph.
    """
    n_paths: dict[Value, int] = dict.fromkeys(order, 0)
    for end in ends:
        if end not in n_paths:
            raise ValueError(f"cannot highlight {end!r}: the drawn value does not depend on it")
    if not ends:
        return set(), {}
    n_paths[order[-1]] = 1
    for node in reversed(order):
        for parent in node.parents:
            n_paths[parent] += n_paths[node]
    lit = set(ends)
    for node in order:
        if any(parent in lit for parent in node.parents):
            lit.add(node)
    return lit, {end: n_paths[end] for end in ends}

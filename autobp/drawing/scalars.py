"""A graph of scalars, node by node: data, grad, operation and label, with neurons and layers marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from graphviz import escape

from autobp.drawing.area import in_layer, layers_to_collapse
from autobp.drawing.picture import Picture
from autobp.drawing.reach import Reach
from autobp.drawing.style import FONT, Style, counted, escape_html, largest_of, legend, printable
from autobp.engine import Value
from autobp.nn import Trace
from autobp.reading.graph import Graph
from autobp.reading.layers import NeuronInGraph
from autobp.reading.neurons import Neurons, find_neurons

#: What nodes are in a network, by number: "z1[2]" or "a1[2]".
Marks = dict[int, list[str]]


def draw_scalars(
    graph: Graph,
    style: Style,
    *,
    depth: int | None = None,
    highlight: Sequence[Value] = (),
    trace: Trace | None = None,
    box: Callable[[int, str], dict[str, str]] | None = None,
) -> Picture:
    """Every node of a graph, down to a depth below the root.

    Args:
        box: the attributes of a node, from its number and its name; left out, a table of its numbers.

    Raises:
        ValueError: a highlighted Value is no part of the graph.
    """
    return _Drawing(graph, style, depth, highlight, trace, box).picture


class _Drawing:
    """The picture of a graph's nodes, of which those down to a depth are shown."""

    def __init__(
        self,
        graph: Graph,
        style: Style,
        depth: int | None,
        highlight: Sequence[Value],
        trace: Trace | None,
        box: Callable[[int, str], dict[str, str]] | None,
    ) -> None:
        self.graph = graph
        self.style = style
        self.shown = list(range(len(graph))) if depth is None else down_to(graph, depth)
        self.visible = set(self.shown)
        self.box = box
        # a page has one box for each node
        self.boxes_again: set[str] = set()
        self.again = Reach(graph, self.visible, may_repeat=box is None).again
        self.neurons = find_neurons(graph, trace)
        self.marks = marks_of(graph, self.neurons, trace)
        self.lit, n_paths = nodes_on_paths(graph, highlight)
        labelled = bool(self.lit) or "partials" in style.show
        self.collapsed = (
            [] if box else layers_to_collapse(graph, self.neurons, self.visible, labelled=labelled)
        )
        self.layer_of = {n: layer for layer in self.collapsed for n in in_layer(self.neurons, layer)}
        self.largest = largest_of(_coloured(graph.nodes[number], style) for number in self.shown)
        self.picture = new_picture(style)
        if any(not graph.is_leaf(number) for numbers in self.neurons.shared.values() for number in numbers):
            # a softmax leaves its neurons and comes back: laid out each by itself, it has arrows backwards
            self.picture.attr(newrank="true")
        caption = self._caption(depth, n_paths)
        if caption:
            put_caption(self.picture, caption, style)
        self._put_panels()
        self._put_edges()

    def _caption(self, depth: int | None, n_paths: dict[int, int]) -> list[str]:
        """What was left out, and the derivatives whose paths stand out."""
        graph, n_all, n_shown = self.graph, len(self.graph), len(self.shown)
        caption = []
        if n_shown < n_all:
            caption.append(
                f"{n_shown:,} of {counted(n_all, 'node')}, down to depth {depth}; "
                f"{counted(n_all - n_shown, 'node')} folded into …"
            )
        top = name_of(graph, graph.root, self.marks) or "root"
        for number, n in n_paths.items():
            bottom = name_of(graph, number, self.marks) or f"n{number}"
            shown = self.style.number(gradient(graph.nodes[number]))
            caption.append(f"∂{top}/∂{bottom} = {shown}, a sum over {counted(n, 'path')}")
        if self.collapsed:
            caption.append("a layer in one box: node by node it would make more than two square metres")
        if self.again:
            caption.append("dashed: a leaf that stands elsewhere, drawn again where it is used")
        if self.largest and self.box is None:
            caption.append(legend(self.style.colour))
        return caption

    def _put(self, graph: Picture, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number not in self.visible or number in self.layer_of:
                continue
            attributes = {"tooltip": self._tooltip(number)}
            if self.box is None:
                attributes["label"] = self._label(number)
            else:
                attributes.update(self.box(number, name_of(self.graph, number, self.marks)))
            graph.node(f"n{number}", id=f"n{number}", **attributes)

    def _put_panels(self) -> None:
        """The nodes, those of inputs, layers and neurons in boxes."""
        found, style = self.neurons, self.style
        clusters = count()
        inside = {number for numbers in found.inside for number in numbers}
        inside.update(number for numbers in found.shared.values() for number in numbers)
        if any(number in self.visible for number in found.inputs):
            with self.picture.subgraph(name=f"cluster_{next(clusters)}") as outer:
                panel(outer, "inputs", style)
                outer.attr(rank="same")
                self._put(outer, found.inputs)
            inside.update(found.inputs)
        for layer in found.layers():
            if layer in self.collapsed:
                self.picture.node(f"layer{layer}", self._layer_label(layer), id=f"layer{layer}", tooltip=" ")
                continue
            with self.picture.subgraph(name=f"cluster_{next(clusters)}") as outer:
                panel(outer, f"layer {layer}", style)
                for neuron, numbers in zip(found.neurons, found.inside, strict=True):
                    if neuron.layer == layer and any(number in self.visible for number in numbers):
                        with outer.subgraph(name=f"cluster_{next(clusters)}") as inner:
                            title = _neuron_title(self.graph, neuron)
                            inner.attr(label=title, fillcolor=style.colours.inner_panel)
                            self._put(inner, numbers)
                self._put(outer, found.shared.get(layer, ()))
        self._put(self.picture, (number for number in range(len(self.graph)) if number not in inside))

    def _put_edges(self) -> None:
        """An arrow from each operand, and a stub for those that are not shown."""
        colours = self.style.colours
        joined: dict[tuple[str, str], bool] = {}
        for number in self.shown:
            hidden = 0
            partials = _partials(self.graph.nodes[number])
            for slot, (parent, partial) in enumerate(zip(self.graph.parents[number], partials, strict=True)):
                if parent not in self.visible:
                    hidden += 1
                    continue
                on_path = number in self.lit and parent in self.lit
                if number in self.layer_of or parent in self.layer_of:
                    ends = self._end(parent), self._end(number)
                    joined[ends] = joined.get(ends, False) or on_path
                    continue
                attributes = {"color": colours.highlight, "penwidth": "2.6"} if on_path else {}
                if "partials" in self.style.show or on_path:
                    attributes["label"] = " " + ("?" if partial is None else self.style.number(partial)) + " "
                    attributes["fontcolor"] = colours.highlight if on_path else colours.muted
                attributes["id"] = f"n{number}_{slot}"
                self.picture.edge(self._tail(number, parent), f"n{number}", **attributes)
            if hidden:
                stub = f"n{number}_below"
                tip = counted(hidden, "operand")
                self.picture.node(stub, "…", shape="plaintext", fontcolor=colours.muted, tooltip=tip)
                self.picture.edge(stub, self._end(number), style="dashed")
        for (tail, head), on_path in joined.items():
            if tail != head:
                attributes = {"color": colours.highlight, "penwidth": "2.6"} if on_path else {}
                self.picture.edge(tail, head, **attributes)

    def _end(self, number: int) -> str:
        """The box that a node is in: its own, or its layer's."""
        return f"layer{self.layer_of[number]}" if number in self.layer_of else f"n{number}"

    def _layer_label(self, layer: int) -> str:
        """A table of what the neurons of a layer in one box come to."""
        graph, style, found = self.graph, self.style, self.neurons
        neurons = [neuron for neuron in found.neurons if neuron.layer == layer]
        n_nodes = sum(number in self.visible for number in in_layer(found, layer))
        counts = f"{counted(len(neurons), 'neuron')}, {counted(n_nodes, 'node')}"
        rows = [head_row("", f"layer {layer}"), f'<tr><td colspan="2">{counts}</td></tr>']
        z = [graph.nodes[neuron.z] for neuron in neurons]
        a = [graph.nodes[neuron.output] for neuron in neurons]
        if "data" in style.show:
            rows.append(number_row("z", style.range_of([node.data for node in z])))
            rows.append(number_row("a", style.range_of([node.data for node in a])))
        if "grad" in style.show:
            rows.append(number_row("δ", style.range_of([gradient(node) for node in z])))
        lit = any(self.layer_of.get(number) == layer for number in self.lit)
        return box_of(rows, style.colours.panel, style, lit=lit, shape=' style="rounded"')

    def _tail(self, number: int, leaf: int) -> str:
        """The box that an arrow comes from; a leaf's further box is put where it is not there yet."""
        box = self.again.get((number, leaf))
        if box is None:
            return f"n{leaf}"
        name = f"n{leaf}_again{box}"
        if name not in self.boxes_again:
            self.boxes_again.add(name)
            self.picture.node(name, self._label(leaf, again=True), id=name, tooltip=self._tooltip(leaf))
        return name

    def _label(self, number: int, *, again: bool = False) -> str:
        """A table of a node's operation, name and numbers."""
        node, style = self.graph.nodes[number], self.style
        name = escape_html(name_of(self.graph, number, self.marks))
        symbol = escape_html(printable(symbol_of(node)))
        rows = [head_row(symbol, name)] if symbol or name else []
        if "data" in style.show:
            rows.append(number_row("data", style.number(node.data)))
        if "grad" in style.show:
            title = "δ = grad" if is_z(number, self.marks) else "grad"
            rows.append(number_row(title, style.number(gradient(node))))
        if not rows:
            rows.append("<tr><td>&nbsp;</td></tr>")
        fill = style.tint(_coloured(node, style), self.largest)
        shape = ' style="dashed"' if again else "" if node.is_leaf else ' style="rounded"'
        return box_of(rows, fill, style, lit=number in self.lit, shape=shape)

    def _tooltip(self, number: int) -> str:
        node = self.graph.nodes[number]
        name = name_of(self.graph, number, self.marks) or ("input" if node.is_leaf else symbol_of(node))
        return str(escape(f"{name}: data {node.data!r}, grad {gradient(node)!r}"))


def new_picture(style: Style, kind: type[Picture] = Picture, engine: str = "dot") -> Picture:
    """An empty picture with the theme's colours and the style's direction."""
    colours = style.colours
    picture = kind("autobp", format="svg", engine=engine)
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


def name_of(graph: Graph, number: int, marks: Marks) -> str:
    """A node's label, with what it is in a neuron: "z1[2]", "h = a1[2]"; "" where it has neither."""
    label = graph.label(number)
    names = [printable(label)] if label else []
    names += [mark for mark in marks.get(number, []) if mark != label]
    return " = ".join(names)


def marks_of(graph: Graph, neurons: Neurons, trace: Trace | None = None) -> Marks:
    """What nodes are in a network: "z1[2]", "a1[2]", and "x[2]" for an input of the trace without a label."""
    marks: Marks = defaultdict(list)
    for i, x in enumerate(trace.a[0] if trace else (), start=1):
        number = graph.number(x)
        if number is not None and not x.label:
            marks[number].append(f"x[{i}]")
    for neuron in neurons.neurons:
        marks[neuron.z].append(f"z{neuron.name}")
        if neuron.a is not None:
            marks[neuron.a].append(f"a{neuron.name}")
    return marks


def is_z(number: int, marks: Marks) -> bool:
    """Whether a node is some neuron's z, so that its gradient is δ."""
    return any(mark.startswith("z") for mark in marks.get(number, ()))


def _neuron_title(graph: Graph, neuron: NeuronInGraph) -> str:
    op = None if neuron.a is None or neuron.a == neuron.z else graph.operations[neuron.a]
    if op is None or op.arity != 1:
        return f"neuron {neuron.index}"
    return f"neuron {neuron.index} · {op.symbol}"


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


def box_of(rows: Sequence[str], fill: str, style: Style, *, lit: bool, shape: str) -> str:
    """A node's table of those rows, with a thick line where it stands out; shape is an attribute: round where
    it was computed."""
    colours = style.colours
    border = f'border="{3 if lit else 1}" color="{colours.highlight if lit else colours.line}"'
    return (
        f'<<table {border}{shape} bgcolor="{fill}" cellborder="0" cellspacing="1" cellpadding="3">'
        f"{''.join(rows)}</table>>"
    )


def symbol_of(node: Value) -> str:
    """What a drawing shows for a node's operation; "" for a leaf without one of its own."""
    return node._op


def gradient(node: Value) -> float:
    """grad as a number, also where it is a Value, after a backward pass that recorded itself."""
    return node.grad.data if isinstance(node.grad, Value) else float(node.grad)


def _coloured(node: Value, style: Style) -> float:
    return {"data": node.data, "grad": gradient(node), "none": 0.0}[style.colour]


def _partials(node: Value) -> Sequence[float | None]:
    """The local derivatives; None for each where a node made by hand has a _backward that knows them."""
    partials = node.partials
    return partials if len(partials) == len(node.parents) else [None] * len(node.parents)


def down_to(graph: Graph, depth: int) -> list[int]:
    """The nodes at most depth edges from the root, in order."""
    near = {graph.root}
    ring = [graph.root]
    for _ in range(depth):
        ring = list({parent for number in ring for parent in graph.parents[number] if parent not in near})
        near.update(ring)
    return sorted(near)


def nodes_on_paths(graph: Graph, ends: Sequence[Value]) -> tuple[set[int], dict[int, int]]:
    """The nodes on a path from one of the ends to the root, and the number of such paths for each end.

    Raises:
        ValueError: an end is not in the graph.
    """
    starts = []
    for end in ends:
        number = graph.number(end)
        if number is None:
            raise ValueError(f"cannot highlight {end!r}: the drawn value does not depend on it")
        starts.append(number)
    if not starts:
        return set(), {}
    n_paths = [0] * len(graph)
    n_paths[graph.root] = 1
    for number in range(graph.root, -1, -1):
        for parent in graph.parents[number]:
            n_paths[parent] += n_paths[number]
    lit = set(starts)
    for number in range(len(graph)):
        if any(parent in lit for parent in graph.parents[number]):
            lit.add(number)
    return lit, {start: n_paths[start] for start in starts}

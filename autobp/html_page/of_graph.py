"""The page of a Value's graph: every node, as draw() has it."""

from __future__ import annotations

from typing import Any

from autobp.drawing.reach import EASY, Reach
from autobp.drawing.scalars import Marks, draw_scalars, is_z, marks_of, name_of, symbol_of
from autobp.drawing.style import GRAPH_COLOUR, Style, printable
from autobp.engine import Value
from autobp.html_page.document import Document
from autobp.html_page.places import MOST_NODES, find_places, view_of
from autobp.html_page.scalar_model import SCRIPTS, colours_of, node_name, rules_of, scalar_nodes
from autobp.html_page.stages import first_way, stagings
from autobp.nn import Trace
from autobp.reading.graph import Graph, record
from autobp.reading.neurons import find_neurons

_FARTHEST = 12_000  # columns that the arrows of a page pass, to be laid out in some seconds


def graph_page(root: Value, trace: Trace | None, direction: str) -> Document:
    """The document of a graph.

    Raises ValueError where it is too large, or has nodes made by hand.
    """
    graph = record([root])
    if len(graph) > MOST_NODES:
        raise ValueError(
            f"a page shows every node, and {len(graph):,} are too many to read (at most {MOST_NODES:,}): "
            "draw() summarises such a graph; or make the page of the network, page(net, path, trace=…, of=…)"
        )
    passed = Reach(graph, range(len(graph)), may_repeat=False).passed
    if passed > _FARTHEST:
        raise ValueError(
            f"the arrows of this graph reach too far to be laid out one by one ({passed:,} columns passed, at"
            f" most {_FARTHEST:,}): draw() draws leaves again where they are used, or summarises the graph"
        )
    neurons = find_neurons(graph, trace)
    marks = marks_of(graph, neurons, trace)
    leaves = [number for number in range(len(graph)) if graph.is_leaf(number)]
    # what has no name is a constant
    free = {number for number in leaves if graph.label(number) or number in marks} or set(leaves)
    ways = stagings(graph, neurons, marks)
    model = {
        "root": graph.root,
        "nodes": scalar_nodes(graph, marks, free),
        "view": _view(graph, marks, direction, trace, passed),
        "stagings": ways,
        "way": first_way(len(graph) - len(leaves), ways),
        **colours_of(GRAPH_COLOUR),
    }
    heading = f"How {name_of(graph, graph.root, marks) or 'the result'} is computed"
    return Document(heading, model, rules_of(graph), SCRIPTS)


def _view(graph: Graph, marks: Marks, direction: str, trace: Trace | None, passed: int) -> dict[str, Any]:
    def symbol(number: int) -> str:
        return "" if graph.is_leaf(number) else printable(symbol_of(graph.nodes[number]))

    def box(number: int, name: str) -> dict[str, str]:
        name = node_name(graph, marks, number)
        width = max(120.0, 7.2 * (len(name) + len(symbol(number))) + 28)
        size = {"width": f"{width / 72:.4f}", "height": "0.78"}
        return {"shape": "box", "fixedsize": "true", **size, "label": ""}

    style = Style(direction, (), ".4g", "light", "none")
    picture = draw_scalars(graph, style, trace=trace, box=box)
    picture.attr(ranksep="0.7")  # room for a local derivative beside each edge
    if passed > EASY:
        picture.attr(nslimit="1", nslimit1="1", mclimit="0.1", splines="line")  # a plainer layout, in time
    places = find_places(picture)
    items = []
    for name, at in places.boxes.items():
        number = int(name[1:])
        title = node_name(graph, marks, number)
        grad = "δ = grad" if is_z(number, marks) else "grad"
        items.append(_item(number, at, title, symbol(number), grad, is_leaf=graph.is_leaf(number)))
    return view_of(places, items)


def _item(
    number: int, at: list[float], title: str, symbol: str, grad: str, *, is_leaf: bool
) -> dict[str, Any]:
    """A node's box, with its name, its operation and its numbers."""
    x, y, width, height = at
    left, right, top = x - width / 2 + 6, x + width / 2 - 6, y - height / 2
    texts: list[list[Any]] = [["symbol", left, top + 15, symbol], ["right", right, top + 15, title]]
    if is_leaf:
        texts = [["middle", x, top + 15, title]]
    texts += [["what", left, top + 32, "data"], ["what", left, top + 48, grad]]
    numbers = [["right", right, top + 32, number, "data", ""], ["right", right, top + 48, number, "grad", ""]]
    return {"node": number, "tint": number, "shape": "box", "at": at, "texts": texts, "numbers": numbers}

"""The page of a network: circles by layer, and behind them every scalar of one sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobp.costs import quadratic
from autobp.drawing.plan import Plan, Unit, plan_network, width_of
from autobp.drawing.scalars import Marks, marks_of
from autobp.drawing.style import NETWORK_COLOUR, Style
from autobp.engine import Value
from autobp.html_page.document import Document
from autobp.html_page.scalar_model import SCRIPTS, colours_of, node_name, rules_of, scalar_nodes
from autobp.html_page.stages import first_way, stagings
from autobp.nn import MLP, Trace
from autobp.reading.graph import Graph, record
from autobp.reading.neurons import find_neurons

_MOST_SCALARS = 50_000  # behind a network, to be computed anew while an input is dragged


def network_page(
    net: MLP,
    trace: Trace | None,
    of: Value | None,
    direction: str,
    names: Sequence[str],
    classes: Sequence[str],
) -> Document:
    """The document of a network; the arguments are those of :func:`autobp.page`.

    Raises ValueError where they do not belong together, or the graph is too large or has nodes made by hand.
    """
    if trace is None:
        if of is not None:
            raise ValueError("give the trace that of= was computed from as well: trace=net.trace(x)")
        trace = net.trace([1.0] * net.sizes[0])
    if of is None:
        # not their sum: that of a softmax is 1, whatever the weights
        of = trace.output[0] if len(trace.output) == 1 else quadratic(trace.output, [0.0] * len(trace.output))
    graph = record([of])
    if all(graph.number(a) is None for a in trace.output):
        raise ValueError(f"{of!r} does not depend on the trace's output")
    if len(graph) > _MOST_SCALARS:
        raise ValueError(
            f"a page computes every scalar anew, and {len(graph):,} are too many (at most {_MOST_SCALARS:,})"
        )
    neurons = find_neurons(graph, trace)
    marks = marks_of(graph, neurons, trace)
    if not of.label and graph.root not in marks:
        marks[graph.root] = ["C"]
    leaves = [number for number in range(len(graph)) if graph.is_leaf(number)]
    free = {number for number in leaves if graph.label(number) or number in marks}
    style = Style(direction, ("data",), "+.3e", "light", "none")  # room for the widest numbers
    plan = plan_network(net, style, trace, names=names, classes=classes, with_delta=True)
    view = _View(plan, trace, graph, marks, direction).view
    ways = stagings(graph, neurons, marks)
    model = {
        "root": graph.root,
        "nodes": scalar_nodes(graph, marks, free),
        "view": view,
        "stagings": ways,
        "way": first_way(len(graph) - len(leaves), ways, finest="neuron"),
        **colours_of(NETWORK_COLOUR, network=True),
    }
    return Document(f"A network of {' – '.join(map(str, net.sizes))}", model, rules_of(graph), SCRIPTS)


class _View:
    """The view of a plan, as places.view_of() describes it."""

    def __init__(self, plan: Plan, trace: Trace, graph: Graph, marks: Marks, direction: str) -> None:
        self.plan = plan
        self.trace = trace
        self.graph = graph
        self.direction = direction
        self.cost = self._cost_unit(marks)
        self._frame()
        items, circles = self._units()
        edges, weights = self._edges()
        if self.cost is not None:
            edges += self._cost_edges(self.cost)
            items.append(self._cost_box(self.cost))
        self.view = {
            "width": self.right - self.left,
            "height": self.top - self.bottom,
            "clusters": [],
            "marks": [*self._marks(), *circles],
            "edges": edges,
            "items": [*items, *weights],
        }

    def _cost_unit(self, marks: Marks) -> Unit | None:
        """What is differentiated, beyond the outputs and their names; None where it is an output itself."""
        plan, root = self.plan, self.graph.root
        if any(self.graph.number(a) == root for a in self.trace.output):
            return None
        name = node_name(self.graph, marks, root)
        unit = Unit("cost", [name, "", ""])
        horizontal = self.direction in ("LR", "RL")
        last = plan.columns[-1][0].along
        after = [name for name in plan.names if name.along > last]
        ends = [name.along + (width_of(name) / 2 if horizontal else 14 * len(name.lines)) for name in after]
        self.cost_size = max(96.0, 7.2 * len(name) + 16), 50.0
        half = self.cost_size[0 if horizontal else 1] / 2
        unit.along = max([last + plan.radius, *ends]) + 60 + half
        return unit

    def _cost_box(self, unit: Unit) -> dict[str, Any]:
        rows, root = self._lines(unit, unit.lines, "middle"), self.graph.root
        numbers = [[*rows[1][:3], root, "data", ""], [*rows[2][:3], root, "grad", "∂ "]]
        at = [*self._place(unit), *self.cost_size]
        return {"node": root, "tint": None, "shape": "box", "at": at, "texts": [rows[0]], "numbers": numbers}

    def _cost_edges(self, unit: Unit) -> list[dict[str, Any]]:
        """A line from each output that it depends on."""
        edges = []
        x2, y2 = self._place(unit)
        for output in self.plan.columns[-1]:
            a = self.graph.number(self.trace.output[output.index - 1]) if output.index else None
            if a is not None:
                x1, y1 = self._place(output)
                edges.append({"head": self.graph.root, "tail": a, "path": f"M{x1} {y1}L{x2} {y2}"})
        return edges

    def _frame(self) -> None:
        """How far everything reaches."""
        plan, direction = self.plan, self.direction
        units = [unit for column in plan.columns for unit in column]
        biases = [bias for bias in plan.biases if bias is not None]
        places = [unit.place(direction) for unit in [*units, *biases, *plan.titles]]
        margin = plan.radius + 24
        ends = [(x, margin) for x, _ in places]
        ends += [(unit.place(direction)[0], width_of(unit) / 2 + 8) for unit in plan.names]
        self.left, self.right = min(x - width for x, width in ends), max(x + width for x, width in ends)
        places += [unit.place(direction) for unit in plan.names]
        if self.cost is not None:
            x, y = self.cost.place(direction)
            width = self.cost_size[0]
            self.left, self.right = min(self.left, x - width), max(self.right, x + width)
            places.append((x, y))
        self.top, self.bottom = max(y for _, y in places) + margin, min(y for _, y in places) - margin

    def _place(self, unit: Unit) -> tuple[float, float]:
        x, y = unit.place(self.direction)
        return round(x - self.left, 1), round(self.top - y, 1)

    def _lines(self, unit: Unit, contents: list[str], kind: str) -> list[list[Any]]:
        x, y = self._place(unit)
        first = y - 13 * (len(contents) - 1) / 2 + 4
        return [[kind, x, first + 13 * k, content] for k, content in enumerate(contents)]

    def _marks(self) -> list[dict[str, Any]]:
        """What only stands there: bias units, titles, names of inputs and classes."""
        biases = [bias for bias in self.plan.biases if bias is not None]
        marks: list[dict[str, Any]] = [
            {"circle": [*self._place(bias), 13], "texts": self._lines(bias, ["1"], "middle")}
            for bias in biases
        ]
        marks += [{"texts": self._lines(title, title.lines, "title")} for title in self.plan.titles]
        return marks + [{"texts": self._lines(name, name.lines, "middle")} for name in self.plan.names]

    def _units(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The neurons and inputs that can be chosen, and those that the graph does not have."""
        items: list[dict[str, Any]] = []
        marks: list[dict[str, Any]] = []
        for layer, column in enumerate(self.plan.columns):
            for unit in column:
                a = self.graph.number(self.trace.a[layer][unit.index - 1])
                if not unit.index or a is None:
                    circle = {"circle": [*self._place(unit), self.plan.radius]} if unit.index else {}
                    contents = unit.lines if not unit.index else unit.lines[:1]
                    marks.append({**circle, "texts": self._lines(unit, contents, "middle")})
                    continue
                z = self.graph.number(self.trace.z[layer][unit.index - 1]) if layer else a
                items.append(self._circle(unit, a, z, "δ " if layer else "∂ "))
        return items, marks

    def _circle(self, unit: Unit, a: int, z: int | None, prefix: str) -> dict[str, Any]:
        rows = self._lines(unit, ["", "", ""], "middle")
        return {
            "node": a,
            "tint": z,
            "shape": "circle",
            "at": [*self._place(unit), 2 * self.plan.radius, 2 * self.plan.radius],
            "texts": [[*rows[0][:3], unit.lines[0]]],
            "numbers": [[*rows[1][:3], a, "data", ""], [*rows[2][:3], z, "grad", prefix]],
        }

    def _edges(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The lines, and the weights written on them."""
        edges, items = [], []
        for edge in self.plan.edges:
            (x1, y1), (x2, y2) = self._place(edge.source), self._place(edge.target)
            weight = self.graph.number(edge.weight)
            edges.append({"weight": weight, "path": f"M{x1} {y1}L{x2} {y2}"})
            if edge.label is not None and weight is not None:
                items.append(self._weight(edge.label, weight))
        return edges, items

    def _weight(self, label: Unit, weight: int) -> dict[str, Any]:
        x, y = self._place(label)
        return {
            "node": weight,
            "tint": None,  # its edge has the colour
            "shape": "label",
            "at": [x, y, 56, 14],
            "texts": [],
            "numbers": [["middle", x, y + 4, weight, "data", ""]],
        }

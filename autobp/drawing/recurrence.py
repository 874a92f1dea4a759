"""A recurrence: its step in one panel, that says how often it is run, and what is outside node by node."""

from __future__ import annotations

from collections.abc import Sequence

from autobp.drawing.picture import Picture
from autobp.drawing.scalars import (
    box_of,
    gradient,
    head_row,
    new_picture,
    number_row,
    panel,
    put_caption,
    symbol_of,
)
from autobp.drawing.style import Style, counted, escape_html, largest_of, legend, printable
from autobp.reading.graph import Graph
from autobp.reading.labels import element, superscript
from autobp.recurrences import Own, Recurrence, letters_of


def draw_recurrence(graph: Graph, loop: Recurrence, style: Style, max_nodes: int) -> Picture | None:
    """The graph with a recurrence whose step is drawn once; None where it has more than max_nodes boxes."""
    drawn = _Drawn(graph, loop, style)
    return drawn.picture() if drawn.n_boxes <= max_nodes else None


class _Drawn:
    """The boxes of a recurrence: "n7" for a node outside, "k3" for one of the step, "t0" for what each step
    takes, "s3_1" for what node 3 was a step before."""

    def __init__(self, graph: Graph, loop: Recurrence, style: Style) -> None:
        self.graph, self.loop, self.style = graph, loop, style
        self.members = {node: k for k, x in enumerate(loop.body) for node in x.nodes.tolist()}
        self.states = [(k, lag) for k, most in enumerate(loop.lags()) for lag in range(1, most + 1)]
        carried = [k for k, lag in self.states if lag == 1]
        self.letters = dict(zip(carried, letters_of(graph, loop, carried, carried), strict=True))
        self.columns: dict[bytes, list[int]] = {}
        for column in loop.columns():
            if (column != column[0]).any():
                self.columns.setdefault(column.tobytes(), column.tolist())
        inside = {x for column in self.columns.values() for x in column if graph.is_leaf(x)}
        inside -= {x for x in inside if any(reader not in self.members for reader in graph.consumers[x])}
        self.outside = [i for i in range(len(graph)) if i not in self.members and i not in inside]
        self.n_boxes = len(self.outside) + len(loop.body) + len(self.states) + len(self.columns)
        self.largest = largest_of([self._strength(x) for x in self._groups()])

    def picture(self) -> Picture:
        """The picture."""
        style, steps = self.style, self.loop.steps
        picture = new_picture(style)
        times = f"{steps:,} times"
        caption = [
            f"{counted(len(self.graph), 'node')}: a recurrence, whose step is drawn once, is run {times}"
        ]
        if style.colour != "none":
            caption.append(f"{legend(style.colour)}; a box has the colour of its mean")
        put_caption(picture, caption, style)
        for i in self.outside:
            picture.node(f"n{i}", self._label([i], self._name(i)), id=f"n{i}")
        for number, column in enumerate(self.columns.values()):
            picture.node(f"t{number}", self._label(column, self._taken(column)), id=f"t{number}")
        with picture.subgraph(name="cluster_step") as box:
            panel(box, f"{times}, t = 1, …, {steps:,}", style)
            for k, lag in self.states:
                name = self.letters[k] + superscript(f"(t-{lag})")
                box.node(
                    f"s{k}_{lag}", self._label(self._before(k, lag), name, dashed=True), id=f"s{k}_{lag}"
                )
            for k, member in enumerate(self.loop.body):
                name = f"{self.letters[k]}⁽ᵗ⁾" if k in self.letters else ""
                box.node(f"k{k}", self._label(member.nodes.tolist(), name), id=f"k{k}")
        self._put_edges(picture)
        return picture

    def _put_edges(self, picture: Picture) -> None:
        takes = {key: f"t{number}" for number, key in enumerate(self.columns)}
        joined = dict[tuple[str, str], None]()
        for k, member in enumerate(self.loop.body):
            for column, own in zip(member.operands.T, member.own, strict=True):
                start = takes.get(column.tobytes(), f"n{int(column[0])}") if own is None else self._own(own)
                joined[start, f"k{k}"] = None
        for (k, lag), node in self.loop.before.items():
            if node not in self.members:
                joined[f"n{node}", f"s{k}_{lag}"] = None
        shown = set(self.outside)
        for key, column in self.columns.items():
            for node in column:
                if node in shown:
                    joined[f"n{node}", takes[key]] = None
        for i in self.outside:
            for parent in self.graph.parents[i]:
                joined[f"k{self.members[parent]}" if parent in self.members else f"n{parent}", f"n{i}"] = None
        for start, end in joined:
            picture.edge(start, end)
        for k, lag in self.states:
            start = f"k{k}" if lag == 1 else f"s{k}_{lag - 1}"
            colour = self.style.colours.highlight
            picture.edge(start, f"s{k}_{lag}", style="dashed", constraint="false", color=colour)

    def _own(self, own: Own) -> str:
        return f"s{own.number}_{own.lag}" if own.lag else f"k{own.number}"

    def _before(self, k: int, lag: int) -> list[int]:
        """What a state was, so many steps before each step."""
        started = [self.loop.before[k, m] for m in range(lag, 0, -1) if (k, m) in self.loop.before]
        return [*started, *self.loop.body[k].nodes.tolist()[: self.loop.steps - lag]]

    def _groups(self) -> list[Sequence[int]]:
        members: list[Sequence[int]] = [member.nodes.tolist() for member in self.loop.body]
        return [*members, *self.columns.values(), *[[i] for i in self.outside]]

    def _strength(self, nodes: Sequence[int]) -> float:
        if self.style.colour == "none":
            return 0.0
        values = [self.graph.nodes[i] for i in nodes]
        return sum(x.data if self.style.colour == "data" else gradient(x) for x in values) / len(values)

    def _taken(self, column: Sequence[int]) -> str:
        """What steps take is called by its labels, or x; one number, written anew for each, has no name."""
        arrays = {element(self.graph.label(x)).array for x in column}
        if arrays == {""}:
            return "x⁽ᵗ⁾" if len({repr(self.graph.values[x]) for x in column}) > 1 else ""
        return f"{arrays.pop() if len(arrays) == 1 else 'x'}⁽ᵗ⁾"

    def _name(self, node: int) -> str:
        return printable(self.graph.label(node))

    def _label(self, nodes: Sequence[int], name: str, *, dashed: bool = False) -> str:
        """A table of an operation, a name, and the numbers of all steps."""
        values, style = [self.graph.nodes[i] for i in nodes], self.style
        symbol = "" if dashed else escape_html(printable(symbol_of(values[-1])))
        rows = [head_row(symbol, escape_html(name))] if symbol or name else []
        if values[-1].is_leaf and len(nodes) > 1:
            rows.append(f'<tr><td colspan="2">{counted(len(nodes), "number")}</td></tr>')
        if "data" in style.show:
            rows.append(number_row("data", style.range_of([x.data for x in values])))
        if "grad" in style.show:
            rows.append(number_row("grad", style.range_of([gradient(x) for x in values])))
        if not rows:
            rows.append("<tr><td>&nbsp;</td></tr>")
        shape = ' style="dashed"' if dashed else "" if values[-1].is_leaf else ' style="rounded"'
        return box_of(rows, style.tint(self._strength(nodes), self.largest), style, lit=False, shape=shape)

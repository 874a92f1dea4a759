"""A picture whose nodes all have their places: SVG without Graphviz, where there is none.

Of Graphviz's language it writes what ``network`` says: circles and plain texts at a ``pos``, straight edges
beneath them, and a line below the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from autobp.drawing.images import stretches
from autobp.drawing.picture import LayoutError, Picture

_INCH = 72.0  # points; widths and heights of nodes are in inches
_LINE_HEIGHT = 1.2  # of the font's size
_PAD = 12.0


@dataclass
class _Node:
    """A node: its place in points, y downwards, and how it looks."""

    x: float
    y: float
    width: float
    height: float
    look: dict[str, str]
    pixels: list[list[str]] | None = None


class PlacedPicture(Picture):
    """A :class:`Picture` that needs no layout engine to be SVG.

    Raises:
        LayoutError: in other formats, where there is no engine.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._defaults: dict[str, dict[str, str]] = {"graph": {}, "node": {}, "edge": {}}
        self._nodes: dict[str, _Node] = {}
        self._edges: list[tuple[str, str, dict[str, str]]] = []

    def attr(self, kw: str | None = None, **attributes: Any) -> None:
        """Set attributes of the whole, or of the nodes or edges that follow, as :meth:`Digraph.attr`."""
        self._defaults[kw or "graph"].update(attributes)
        super().attr(kw, **attributes)

    def node(self, name: str, label: str | None = None, **attributes: Any) -> None:
        """Add a node, as :meth:`Digraph.node`; its ``pos`` is "x,y!", y upwards."""
        look = {**self._defaults["node"], **attributes, "label": str(label or name)}
        x, y = (float(part) for part in attributes["pos"].rstrip("!").split(","))
        width = float(look.get("width", 0)) * _INCH
        height = float(look.get("height", look.get("width", 0))) * _INCH
        self._nodes[name] = _Node(x, -y, width, height, look)
        super().node(name, label, **attributes)

    def grid(
        self, name: str, colours: list[list[str]], *, pixel: float, pos: str, tooltip: str, color: str
    ) -> None:
        """Add an image: the colours of rows of pixels, so many points wide, in a border of a ``color``."""
        rows = "".join(f"<tr>{''.join(_cells(row, pixel))}</tr>" for row in colours)
        opening = f'<table border="1" color="{color}" cellborder="0" cellspacing="0" cellpadding="0">'
        size = {
            "width": f"{len(colours[0]) * pixel / _INCH:.4f}",
            "height": f"{len(colours) * pixel / _INCH:.4f}",
        }
        look = {
            "shape": "plaintext",
            "margin": "0",
            "fixedsize": "true",
            "style": "solid",
            "tooltip": tooltip,
        }
        super().node(name, f"<{opening}{rows}</table>>", id=name, pos=pos, **size, **look)
        x, y = (float(part) for part in pos.rstrip("!").split(","))
        width, height = len(colours[0]) * pixel, len(colours) * pixel
        shown = {**look, "id": name, "color": color}
        self._nodes[name] = _Node(x, -y, width, height, shown, colours)

    def edge(self, tail_name: str, head_name: str, label: str | None = None, **attributes: Any) -> None:
        """Add an edge, as :meth:`Digraph.edge`."""
        self._edges.append((tail_name, head_name, {**self._defaults["edge"], **attributes}))
        super().edge(tail_name, head_name, label, **attributes)

    def pipe(self, format: str | None = None, *arguments: Any, **options: Any) -> Any:
        """The picture in a format, as :meth:`Picture.pipe`; SVG in any case."""
        try:
            return super().pipe(format, *arguments, **options)
        except LayoutError:
            if (format or self.format) != "svg" or any(arguments):
                raise
            encoding = options.get("encoding")
            return self.svg() if encoding else self.svg().encode()

    def svg(self) -> str:
        """The picture as SVG, without any engine."""
        graph = self._defaults["graph"]
        nodes = self._nodes.values()
        left = min(node.x - node.width / 2 for node in nodes) - _PAD
        top = min(node.y - node.height / 2 for node in nodes) - _PAD
        right = max(node.x + node.width / 2 for node in nodes) + _PAD
        bottom = max(node.y + node.height / 2 for node in nodes) + _PAD
        legend = [line for line in _unescaped(graph.get("label", "")).split("\\l") if line.strip()]
        below = ""
        if legend:
            size = float(graph["fontsize"])
            height = _LINE_HEIGHT * size * len(legend)
            below = _text(left + _PAD, bottom + height / 2, legend, graph, anchor="start")
            bottom += height + size
            right = max(right, left + _PAD * 2 + 0.55 * size * max(map(len, legend)))
        width, height = right - left, bottom - top
        drawn = [self._drawn_edge(*edge) for edge in self._edges]
        drawn += [_drawn_node(node) for node in nodes]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}pt" height="{height:.0f}pt" '
            f'viewBox="{left:.2f} {top:.2f} {width:.2f} {height:.2f}">\n'
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{width:.2f}" height="{height:.2f}" '
            f'fill="{graph["bgcolor"]}"/>\n' + "\n".join([*drawn, below]) + "\n</svg>\n"
        )

    def _drawn_edge(self, tail: str, head: str, look: dict[str, str]) -> str:
        start, end = self._nodes[tail], self._nodes[head]
        return (
            f'<g class="edge">{_tip(look)}<line x1="{start.x:.2f}" y1="{start.y:.2f}" x2="{end.x:.2f}" '
            f'y2="{end.y:.2f}" stroke="{look["color"]}" stroke-width="{look.get("penwidth", "1")}"'
            f"{_dashes(look)}/></g>"
        )


def _cells(row: list[str], pixel: float) -> list[str]:
    """A row of pixels as cells of a table in Graphviz's language, neighbours of a colour joined."""
    return [
        f'<td bgcolor="{colour}" width="{n * pixel:g}" height="{pixel:g}" fixedsize="true" '
        f'colspan="{n}"></td>'
        for colour, _, n in stretches(row)
    ]


def _drawn_image(node: _Node, pixels: list[list[str]]) -> str:
    """Pixels as rectangles, neighbours of a colour joined."""
    left, top, pixel = node.x - node.width / 2, node.y - node.height / 2, node.height / len(pixels)
    drawn = "".join(
        f'<rect x="{left + first * pixel:.2f}" y="{top + i * pixel:.2f}" width="{n * pixel:.2f}" '
        f'height="{pixel:.2f}" fill="{colour}"/>'
        for i, row in enumerate(pixels)
        for colour, first, n in stretches(row)
    )
    border = (
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{node.width:.2f}" height="{node.height:.2f}" '
        f'fill="none" stroke="{node.look["color"]}"/>'
    )
    identity = f'class="image" id="{node.look["id"]}" shape-rendering="crispEdges"'
    return f"<g {identity}>{_tip(node.look)}{drawn}{border}</g>"


def _drawn_node(node: _Node) -> str:
    if node.pixels is not None:
        return _drawn_image(node, node.pixels)
    look = node.look
    fill = look.get("fillcolor", "none") if "filled" in look.get("style", "") else "none"
    if look["shape"] == "circle":
        body = (
            f'<circle cx="{node.x:.2f}" cy="{node.y:.2f}" r="{node.width / 2:.2f}" fill="{fill}" '
            f'stroke="{look["color"]}" stroke-width="{look["penwidth"]}"{_dashes(look)}/>'
        )
    else:
        body = (
            f'<rect x="{node.x - node.width / 2:.2f}" y="{node.y - node.height / 2:.2f}" '
            f'width="{node.width:.2f}" height="{node.height:.2f}" {_fill(fill)}/>'
        )
    lines = _unescaped(look["label"]).split("\n")
    return f'<g class="node" id="{look["id"]}">{_tip(look)}{body}{_text(node.x, node.y, lines, look)}</g>'


def _fill(colour: str) -> str:
    """A colour as SVG has it: #rrggbbaa as a colour and its opacity."""
    if len(colour) != len("#rrggbbaa"):
        return f'fill="{colour}"'
    return f'fill="{colour[:7]}" fill-opacity="{int(colour[7:], 16) / 255:.2f}"'


def _text(x: float, y: float, lines: list[str], look: dict[str, str], anchor: str = "middle") -> str:
    """Lines one below another, their middle at y."""
    size = float(look["fontsize"])
    return "".join(
        f'<text x="{x:.2f}" y="{y + ((i - (len(lines) - 1) / 2) * _LINE_HEIGHT + 0.35) * size:.2f}" '
        f'text-anchor="{anchor}" font-family="{look["fontname"]}" font-size="{size:g}" '
        f'fill="{look["fontcolor"]}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )


def _tip(look: dict[str, str]) -> str:
    tip = _unescaped(look.get("tooltip", "")).strip()
    return f"<title>{escape(tip)}</title>" if tip else ""


def _dashes(look: dict[str, str]) -> str:
    return ' stroke-dasharray="5,2"' if "dashed" in look.get("style", "") else ""


def _unescaped(label: str) -> str:
    """A label as it is read: Graphviz's language writes a backslash twice."""
    return label.replace("\\\\", "\\")

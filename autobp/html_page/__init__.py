"""A graph or a network as one HTML page to click through: no server, no network, nothing to install."""

from __future__ import annotations

import json
import math
import os
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from autobp.drawing.layers import find_layers
from autobp.drawing.picture import lay_out
from autobp.drawing.scalars import draw_scalars, marks_of, name_of
from autobp.drawing.style import THEMES, Style, Theme, printable
from autobp.engine import BY_HAND, Value, topological_order
from autobp.html_page.javascript import rules
from autobp.nn import Trace

_MOST_NODES = 1000  # to lay out one by one; also about as many as anybody can read


def page(
    what: Any,
    path: str | os.PathLike[str],
    *,
    trace: Trace | None = None,
    title: str | None = None,
    direction: str = "LR",
) -> Path:
    """Write a page on which a Value's graph can be explored.

    The page holds everything it needs. A click on a node shows its data, gradient and local derivatives, and
    the chain-rule sum that makes its gradient; the passes can be stepped through, forward and backward; and
    inputs and weights can be dragged, upon which the page computes data and gradients anew, by rules written
    out from the operation table.

    Args:
        what: a Value, the root of the graph.
        path: where to write; replaced if it is there.
        trace: a forward pass, ``net.trace(x)``, to find neurons by instead of by labels.
        title: the page's title and heading.
        direction: where the computation flows: "LR" (left to right), "TB", "RL" or "BT".

    Returns:
        The path.

    Raises:
        TypeError: ``what`` is none of these.
        ValueError: the graph is too large to be read node by node, or has nodes made by hand, for which there
            is no rule to compute them anew.
        autobp.drawing.LayoutError: there is nothing here that lays out graphs.
    """
    if not isinstance(what, Value):
        raise TypeError(f"cannot make a page of {what!r}: give a Value")
    order = topological_order(what)
    if len(order) > _MOST_NODES:
        raise ValueError(
            f"a page shows every node, and {len(order):,} are too many to read (at most {_MOST_NODES:,}): "
            "draw() summarises such a graph; or make the page of one sample, or of a smaller network"
        )
    marks = marks_of(find_layers(order, trace))
    heading = title or f"How {name_of(what, marks) or 'the result'} is computed"
    model = {
        "root": len(order) - 1,
        "nodes": _nodes(order, marks),
        "view": _scalar_view(order, direction, trace),
    }
    target = Path(path)
    target.write_text(_html(heading, model, _rules(order)), encoding="utf-8")
    return target


def _nodes(order: list[Value], marks: dict[Value, list[str]]) -> list[dict[str, Any]]:
    """For each node its name and data; where it is computed, its operands by position, rule and notation."""
    position = {node: i for i, node in enumerate(order)}
    labelled = any(node.label for node in order if node.is_leaf)
    nodes = []
    for i, node in enumerate(order):
        described: dict[str, Any] = {"name": name_of(node, marks) or _unnamed(node, i), "data": node.data}
        if node.is_leaf:
            described["free"] = bool(node.label) or not labelled  # what has no name is a constant
        else:
            described |= {
                "operands": [position[parent] for parent in node.parents],
                "rule": _key(node),
                "symbol": printable(node._op),
                "written": _written(node),
            }
        if any(mark.startswith("z") for mark in marks.get(node, ())):
            described["delta"] = True
        nodes.append(described)
    return nodes


def _unnamed(node: Value, i: int) -> str:
    return f"{node.data:.4g}" if node.is_leaf else f"v{i + 1}"


def _key(node: Value) -> str:
    assert node.operation is not None
    return json.dumps([node.operation.name, len(node.parents), *node.constants])


def _rules(order: list[Value]) -> str:
    """Each rule that the graph uses, by key, as a JavaScript object."""
    found: dict[str, str] = {}
    for node in order:
        op = node.operation
        if op is None:
            continue
        if op is BY_HAND:
            raise ValueError(
                f"{node!r} was made by hand: the page has no rule to compute it by when an input is dragged; "
                "register the operation with autobp.operation(name, value, partials)"
            )
        key = _key(node)
        if key not in found:
            found[key] = rules(op, len(node.parents), node.constants)
    entries = "".join(f"  {json.dumps(key)}: {rule},\n" for key, rule in found.items())
    return f"const RULES = {{\n{entries}}};\n"


def _written(node: Value) -> list[str | int]:
    """How the node is written, as text with its operands' positions among them: [0, " + ", 1]."""
    op, n = node.operation, len(node.parents)
    assert op is not None
    anything = f"{op.name}({', '.join(f'{{{i}}}' for i in range(n))})"
    text = anything if op.arity is None else op.text
    marked = text.format(*[f"\0{i}\0" for i in range(n)], *[f"{constant:g}" for constant in node.constants])
    return [int(part) if i % 2 else part for i, part in enumerate(marked.split("\0"))]


def _scalar_view(order: list[Value], direction: str, trace: Trace | None) -> dict[str, Any]:
    """Where everything stands: x and y of centres, sizes and paths, in points, y downwards."""

    def box(node: Value, name: str) -> dict[str, str]:
        symbol = "" if node.is_leaf else printable(node._op)
        width = max(120.0, 7.2 * (len(name) + len(symbol)) + 28)
        return {
            "shape": "box",
            "fixedsize": "true",
            "width": f"{width / 72:.4f}",
            "height": "0.78",
            "label": "",
        }

    style = Style(direction, (), ".4g", "light", "none")
    picture = draw_scalars(order, style, trace=trace, box=box)
    laid_out = json.loads(lay_out(picture.source, "dot", "json0"))
    _, _, width, height = map(float, laid_out["bb"].split(","))

    def point(text: str) -> tuple[float, float]:
        x, y = map(float, text.split(","))
        return round(x, 1), round(height - y, 1)

    boxes: dict[int, list[float]] = {}
    clusters = []
    for item in laid_out["objects"]:
        if item["name"].startswith("cluster"):
            left, bottom, right, top = map(float, item["bb"].split(","))
            corner = [round(left, 1), round(height - top, 1), round(right - left, 1), round(top - bottom, 1)]
            clusters.append({"title": item["label"], "at": corner})
        elif item["name"].startswith("n"):
            x, y = point(item["pos"])
            boxes[int(item["name"][1:])] = [x, y, float(item["width"]) * 72, float(item["height"]) * 72]
    edges = []
    for item in laid_out["edges"]:
        head, slot = item["id"][1:].split("_")
        tip, *curve = item["pos"].removeprefix("e,").split(" ")
        start, *rest = [f"{x} {y}" for x, y in map(point, curve)]
        end = "{} {}".format(*point(tip))
        edges.append({"head": int(head), "slot": int(slot), "path": f"M{start}C{' '.join(rest)}L{end}"})
    return {
        "width": width,
        "height": height,
        "boxes": [boxes[i] for i in range(len(order))],
        "clusters": clusters,
        "edges": edges,
    }


def _html(title: str, model: dict[str, Any], rules: str) -> str:
    def read(name: str) -> str:
        return files(__name__).joinpath(name).read_text(encoding="utf-8")

    # "<" would let a label end the script
    data = json.dumps(_finite(model), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(read("page.html")).substitute(
        title=escape(title),
        style=f"{_colours(':root', THEMES['light'])}\n@media (prefers-color-scheme: dark) "
        f"{{ {_colours(':root', THEMES['dark'])} }}\n{read('page.css')}",
        data=data,
        script=rules + read("elementary.js") + read("page.js"),
    )


def _colours(selector: str, theme: Theme) -> str:
    names = (
        "background",
        "ink",
        "muted",
        "line",
        "node",
        "panel",
        "inner_panel",
        "positive",
        "negative",
        "highlight",
    )
    values = "; ".join(f"--{name.replace('_', '-')}: {getattr(theme, name)}" for name in names)
    return f"{selector} {{ {values} }}"


def _finite(x: Any) -> Any:
    """JSON has no infinities and no NaN: they travel as text."""
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_finite(value) for value in x]
    return x

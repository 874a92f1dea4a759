"""A graph, a network or a program as one HTML page to click through, with no server, nothing to install."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autobp.backends.javascript import javascript
from autobp.backends.javascript_numbers import rules
from autobp.compiler.step import Step
from autobp.costs import quadratic
from autobp.drawing.layers import find_layers
from autobp.drawing.network import Plan, Unit, plan_network, width_of
from autobp.drawing.picture import Picture
from autobp.drawing.program import Statement, draw_program, shown_lines, statements
from autobp.drawing.scalars import draw_scalars, marks_of, name_of
from autobp.drawing.style import THEMES, Style, Theme, printable
from autobp.engine import BY_HAND, Value, topological_order
from autobp.html_page.layout import Layout, read_layout
from autobp.nn import MLP, Trace

_LONGEST_TITLE = 200
_MOST_NODES = 1000  # to lay out one by one; also about as many as anybody can read
_MOST_SCALARS = 50_000  # behind a network, to be computed anew while an input is dragged
_MOST_NUMBERS = 500_000  # in a program's arrays, likewise


def page(
    what: Any,
    path: str | os.PathLike[str],
    *,
    trace: Trace | None = None,
    of: Value | None = None,
    data: Sequence[ArrayLike] = (),
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    title: str | None = None,
    direction: str | None = None,
) -> Path:
    """Write a page on which a Value's graph, a network, or a compiled program can be explored.

    The page holds everything it needs. A click on a node shows its data, gradient and local derivatives, and
    the chain-rule sum that makes its gradient; the passes can be stepped through, forward and backward; and
    inputs and weights can be dragged, upon which the page computes data and gradients anew, by rules written
    out from the operation table.

    Args:
        what: a Value, the root of the graph; an MLP; or what compile() returned, once it has been traced.
        path: where to write; replaced if it is there.
        trace: a forward pass, ``net.trace(x)``: of a network, the sample to show (inputs of 1 if left out);
            for a Value, how to find neurons, instead of by labels.
        of: for a network, the Value to differentiate, such as a cost, computed from the trace. Left out: the
            output, or ½ Σ a² where there are several.
        data: for a program, its arguments, samples as rows: the page then shows the numbers of each array,
            at first at the step's own theta, and carries the statements out anew where one is dragged. It
            says so and only shows numbers where the arrays hold more than 500,000 of them, or an operation
            is computed by Python code that is no formula.
        names, classes: for a network, what its inputs are called and the classes that its outputs stand for,
            as for draw().
        title: the page's title and heading.
        direction: where the computation flows: "LR" (left to right), "TB", "RL" or "BT". Left out: TB for a
            program, else LR.

    Returns:
        The path.

    Raises:
        TypeError: ``what`` is none of these.
        ValueError: the path does not end in .html; the graph is too large, or has nodes made by hand, for
            which there is no rule to compute them anew; data are not the program's arguments; or trace, of,
            names, classes and the network do not belong together.
        autobp.drawing.LayoutError: there is nothing here that lays out graphs.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a page is HTML, which browsers tell by the ending: end {target.name!r} in .html")
    scripts = ["elementary.js", "scalars.js"]
    if isinstance(what, Step):
        heading, model, table = _program_page(what, data, direction or "TB")
        scripts = ["elementary.js", "arrays.js", "program.js"]
    elif isinstance(what, MLP):
        heading, model, table = _network_page(what, trace, of, direction or "LR", names, classes)
    elif not isinstance(what, Value):
        raise TypeError(f"cannot make a page of {what!r}: give a Value, an MLP or a compiled step")
    elif of is not None:
        raise ValueError("of= is for a network; a Value's page is about the Value itself")
    else:
        heading, model, table = _graph_page(what, trace, direction or "LR")
    target.write_text(_html(title or heading, model, table, scripts), encoding="utf-8")
    return target


def _graph_page(root: Value, trace: Trace | None, direction: str) -> tuple[str, dict[str, Any], str]:
    order = topological_order(root)
    if len(order) > _MOST_NODES:
        raise ValueError(
            f"a page shows every node, and {len(order):,} are too many to read (at most {_MOST_NODES:,}): "
            "draw() summarises such a graph; or make the page of the network, page(net, path, trace=…, of=…)"
        )
    marks = marks_of(find_layers(order, trace), trace)
    leaves = [node for node in order if node.is_leaf]
    # what has no name is a constant
    free = {node for node in leaves if node.label or node in marks} or set(leaves)
    model = {
        "root": len(order) - 1,
        "nodes": _nodes(order, marks, free),
        "view": _graph_view(order, marks, direction, trace),
    }
    return f"How {name_of(root, marks) or 'the result'} is computed", model, _rules(order)


def _network_page(
    net: MLP,
    trace: Trace | None,
    of: Value | None,
    direction: str,
    names: Sequence[str],
    classes: Sequence[str],
) -> tuple[str, dict[str, Any], str]:
    if trace is None:
        if of is not None:
            raise ValueError("give the trace that of= was computed from as well: trace=net.trace(x)")
        trace = net.trace([1.0] * net.sizes[0])
    if of is None:
        # not their sum: that of a softmax is 1, whatever the weights
        of = trace.output[0] if len(trace.output) == 1 else quadratic(trace.output, [0.0] * len(trace.output))
    order = topological_order(of)
    position = {node: i for i, node in enumerate(order)}
    if not any(a in position for a in trace.output):
        raise ValueError(f"{of!r} does not depend on the trace's output")
    if len(order) > _MOST_SCALARS:
        raise ValueError(
            f"a page computes every scalar anew, and {len(order):,} are too many (at most {_MOST_SCALARS:,})"
        )
    marks = marks_of(find_layers(order, trace), trace)
    if not of.label and of not in marks:
        marks[of] = ["C"]
    free = {node for node in order if node.is_leaf and (node.label or node in marks)}
    style = Style(direction, ("data",), "+.3e", "light", "none")  # room for the widest numbers
    plan = plan_network(net, style, trace, names=names, classes=classes, with_delta=True)
    model = {
        "root": len(order) - 1,
        "nodes": _nodes(order, marks, free),
        "view": _network_view(plan, trace, position, direction),
    }
    return f"A network of {' – '.join(map(str, net.sizes))}", model, _rules(order)


def _program_page(step: Step, data: Sequence[ArrayLike], direction: str) -> tuple[str, dict[str, Any], str]:
    arguments, found = statements(step)
    if len(found) > _MOST_NODES:
        raise ValueError(
            f"a page shows every statement, and {len(found):,} are too many (at most {_MOST_NODES:,})"
        )
    everything = [*arguments, *found]
    position = {id(statement): i for i, statement in enumerate(everything)}
    if len(data) not in (0, len(arguments) - 1):
        names = ", ".join(argument.name for argument in arguments[1:]) or "nothing"
        raise ValueError(
            f"data must hold the program's arguments ({names}), each with samples as rows; got {len(data)}"
        )
    numbers = step.variables(step.theta, *data) if len(data) or len(arguments) == 1 else {}
    given, code, note = _live(step, arguments, numbers)

    def box(statement: Statement) -> dict[str, str]:
        lines = shown_lines(statement)
        head = len(statement.name) + len(statement.shape)
        width = max(150.0, 7.5 * head + 40, 7.3 * max(map(len, lines), default=0) + 20)
        size = {"width": f"{width / 72:.4f}", "height": f"{(27 + 16 * (len(lines) + bool(code))) / 72:.4f}"}
        return {"shape": "box", "fixedsize": "true", "label": "", **size}

    style = Style(direction, (), ".4g", "light", "none")
    picture = draw_program(step, style, _MOST_NODES, box=box)
    nodes = []
    for statement in everything:
        described: dict[str, Any] = {
            "name": statement.name,
            "shape": statement.shape,
            "formulas": statement.formulas,
            "backward": statement.backward,
        }
        if statement in found:
            described["operands"] = [position[id(operand)] for operand in statement.operands]
        if not code and statement.name in numbers:
            described["numbers"] = _first_numbers(numbers[statement.name])
        nodes.append(described)
    model = {
        "root": len(everything) - 1,
        "nodes": nodes,
        "given": given,
        "note": note,
        "view": _program_view(everything, picture, with_numbers=bool(code)),
    }
    return f"A program of {len(found)} arrays", model, code or "const run = null;\n"


def _live(
    step: Step, arguments: Sequence[Statement], numbers: dict[str, Any]
) -> tuple[dict[str, Any], str, str]:
    """The arguments' and constants' numbers, and the statements as JavaScript; or why there are none."""
    if not numbers:
        names = ", ".join(argument.name for argument in arguments[1:])
        return {}, "", f"Made without data; with page(step, path, data=({names},)) it computes with numbers."
    n_numbers = sum(np.size(x) for x in numbers.values())
    if n_numbers > _MOST_NUMBERS:
        return {}, "", (
            f"The arrays hold {n_numbers:,} numbers, too many to compute anew while one is dragged (at most "
            f"{_MOST_NUMBERS:,}); a page with fewer samples has fewer."
        )  # fmt: skip
    try:
        code = javascript(step.written)
    except TypeError as error:
        return {}, "", f"Nothing is computed anew: {error}."
    given = {argument.name: _packed(numbers[argument.name]) for argument in arguments}
    return given | {name: _packed(x) for name, x in step.written.module.constants.items()}, code, ""


def _packed(numbers: Any) -> dict[str, Any]:
    array = np.asarray(numbers, dtype=np.float64)
    return {"shape": list(array.shape), "numbers": array.reshape(-1).tolist()}


def _first_numbers(numbers: Any) -> dict[str, Any]:
    """An array's shape and the numbers of its upper left corner, as many as can be read."""
    array = np.asarray(numbers, dtype=np.float64)
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    return {"shape": list(array.shape), "corner": rows[:12, :5].tolist()}


def _nodes(order: list[Value], marks: dict[Value, list[str]], free: set[Value]) -> list[dict[str, Any]]:
    """For each node its name and data; where it is computed, its operands by position, rule and notation."""
    position = {node: i for i, node in enumerate(order)}
    nodes = []
    for i, node in enumerate(order):
        described: dict[str, Any] = {"name": _name(node, marks, i), "data": node.data}
        if node.is_leaf:
            described["free"] = node in free
        else:
            described |= {
                "operands": [position[parent] for parent in node.parents],
                "rule": _key(node),
                "written": _written(node),
            }
        if _is_z(node, marks):
            described["delta"] = True
        nodes.append(described)
    return nodes


def _is_z(node: Value, marks: dict[Value, list[str]]) -> bool:
    return any(mark.startswith("z") for mark in marks.get(node, ()))


def _name(node: Value, marks: dict[Value, list[str]], i: int) -> str:
    """One name for a node, for use in formulas: its label, what it is in a neuron, its number or position."""
    if node.label:
        return printable(node.label)
    return marks[node][-1] if node in marks else f"{node.data:.4g}" if node.is_leaf else f"v{i + 1}"


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


# A view says where everything stands, in points, y downwards: titled boxes; marks that only stand there;
# edges as paths, each for an operand or for a weight; and items that can be chosen, with texts (class, x, y,
# content) and numbers (class, x, y, node, "data" or "grad", prefix).


def _graph_view(
    order: list[Value], marks: dict[Value, list[str]], direction: str, trace: Trace | None
) -> dict[str, Any]:
    def symbol(node: Value) -> str:
        return "" if node.is_leaf else printable(node._op)

    def box(node: Value, name: str) -> dict[str, str]:
        name = _name(node, marks, 0)
        width = max(120.0, 7.2 * (len(name) + len(symbol(node))) + 28)
        return {
            "shape": "box",
            "fixedsize": "true",
            "width": f"{width / 72:.4f}",
            "height": "0.78",
            "label": "",
        }

    style = Style(direction, (), ".4g", "light", "none")
    picture = draw_scalars(order, style, trace=trace, box=box)
    picture.attr(ranksep="0.7")  # room for a local derivative beside each edge
    layout = read_layout(picture)
    items: list[dict[str, Any]] = []
    for name, at in layout.boxes.items():
        i = int(name[1:])
        node = order[i]
        x, y, width, height = at
        left, right, top = x - width / 2 + 6, x + width / 2 - 6, y - height / 2
        title = _name(node, marks, i)
        texts = [["symbol", left, top + 15, symbol(node)], ["right", right, top + 15, title]]
        if node.is_leaf:
            texts = [["middle", x, top + 15, title]]
        grad = "δ = grad" if _is_z(node, marks) else "grad"
        texts += [["what", left, top + 32, "data"], ["what", left, top + 48, grad]]
        numbers = [["right", right, top + 32, i, "data", ""], ["right", right, top + 48, i, "grad", ""]]
        items.append(
            {
                "node": i,
                "tint": i,
                "shape": "box",
                "at": at,
                "texts": texts,
                "numbers": numbers,
            }
        )
    return _view(layout, items)


def _program_view(
    found: list[Statement], picture: Picture, *, with_numbers: bool
) -> dict[str, Any]:
    layout = read_layout(picture)
    items: list[dict[str, Any]] = []
    for name, at in layout.boxes.items():
        statement = found[int(name[1:])]
        x, y, width, height = at
        left, right, top = x - width / 2 + 8, x + width / 2 - 8, y - height / 2
        texts: list[list[Any]] = [["symbol", left, top + 17, statement.name]]
        texts.append(["right", right, top + 17, statement.shape])
        lines = shown_lines(statement)
        texts += [["code", left, top + 35 + 16 * k, line] for k, line in enumerate(lines)]
        numbers = [["range", left, top + 35 + 16 * len(lines), int(name[1:]), "data", ""]]
        items.append(
            {
                "node": int(name[1:]),
                "tint": int(name[1:]),
                "shape": "backward" if statement.backward else "box",
                "at": at,
                "texts": texts,
                "numbers": numbers if with_numbers else [],
            }
        )
    return _view(layout, items)


def _view(layout: Layout, items: list[dict[str, Any]]) -> dict[str, Any]:
    edges = []
    for edge, path in layout.edges.items():
        head, slot = edge[1:].split("_")
        edges.append({"head": int(head), "slot": int(slot), "path": path})
    return {
        "width": layout.width,
        "height": layout.height,
        "clusters": layout.clusters,
        "marks": [],
        "edges": edges,
        "items": sorted(items, key=lambda item: int(item["node"])),
    }


def _network_view(plan: Plan, trace: Trace, position: dict[Value, int], direction: str) -> dict[str, Any]:
    units = [unit for column in plan.columns for unit in column]
    biases = [bias for bias in plan.biases if bias is not None]
    places = [unit.place(direction) for unit in [*units, *biases, *plan.titles]]
    margin = plan.radius + 24
    ends = [(x, margin) for x, _ in places]
    ends += [(unit.place(direction)[0], width_of(unit) / 2 + 8) for unit in plan.names]
    left, right = min(x - width for x, width in ends), max(x + width for x, width in ends)
    places += [unit.place(direction) for unit in plan.names]
    top, bottom = max(y for _, y in places) + margin, min(y for _, y in places) - margin

    def place(unit: Unit) -> tuple[float, float]:
        x, y = unit.place(direction)
        return round(x - left, 1), round(top - y, 1)

    def lines(unit: Unit, contents: list[str], kind: str) -> list[list[Any]]:
        x, y = place(unit)
        first = y - 13 * (len(contents) - 1) / 2 + 4
        return [[kind, x, first + 13 * k, content] for k, content in enumerate(contents)]

    marks = [{"circle": [*place(bias), 13], "texts": lines(bias, ["1"], "middle")} for bias in biases]
    marks += [{"texts": lines(title, title.lines, "title")} for title in plan.titles]
    marks += [{"texts": lines(name, name.lines, "middle")} for name in plan.names]
    items = []
    for layer, column in enumerate(plan.columns):
        for unit in column:
            a = trace.a[layer][unit.index - 1]
            if not unit.index or a not in position:
                circle = {"circle": [*place(unit), plan.radius]} if unit.index else {}
                marks.append(
                    {
                        **circle,
                        "texts": lines(unit, unit.lines if not unit.index else unit.lines[:1], "middle"),
                    }
                )
                continue
            z = trace.z[layer][unit.index - 1] if layer else a
            rows = lines(unit, ["", "", ""], "middle")
            numbers = [[*rows[1][:3], position[a], "data", ""]]
            numbers.append([*rows[2][:3], position[z], "grad", "δ " if layer else "∂ "])
            items.append(
                {
                    "node": position[a],
                    "tint": position[z],
                    "shape": "circle",
                    "at": [*place(unit), 2 * plan.radius, 2 * plan.radius],
                    "texts": [[*rows[0][:3], unit.lines[0]]],
                    "numbers": numbers,
                }
            )
    edges = []
    for edge in plan.edges:
        (x1, y1), (x2, y2) = place(edge.source), place(edge.target)
        weight = position.get(edge.weight)
        edges.append({"weight": weight, "path": f"M{x1} {y1}L{x2} {y2}"})
        if edge.label is not None and weight is not None:
            x, y = place(edge.label)
            items.append(
                {
                    "node": weight,
                    "tint": weight,
                    "shape": "label",
                    "at": [x, y, 56, 14],
                    "texts": [],
                    "numbers": [["middle", x, y + 4, weight, "data", ""]],
                }
            )
    return {
        "width": right - left,
        "height": top - bottom,
        "clusters": [],
        "marks": marks,
        "edges": edges,
        "items": items,
    }


def _html(title: str, model: dict[str, Any], table: str, scripts: Sequence[str]) -> str:
    def read(name: str) -> str:
        return files(__name__).joinpath(name).read_text(encoding="utf-8")

    # "<" would let a label end the script
    data = json.dumps(_finite(model), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(read("page.html")).substitute(
        title=escape(printable(title, _LONGEST_TITLE)),
        style=f"{_colours(':root', THEMES['light'])}\n@media (prefers-color-scheme: dark) "
        f"{{ {_colours(':root', THEMES['dark'])} }}\n{read('page.css')}",
        data=data,
        script=read("stage.js") + table + "".join(map(read, scripts)),
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

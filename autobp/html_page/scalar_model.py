"""The model of a graph of scalars, as the page's script reads it: nodes, and the rule of each operation."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

from autobp.backends.javascript_numbers import rules
from autobp.drawing.scalars import Marks, is_z
from autobp.drawing.style import ROUNDING, legend, printable
from autobp.engine import BY_HAND
from autobp.reading.graph import Graph
from autobp.reading.labels import element, parameter

SCRIPTS: Final = ("elementary.js", "passes.js", "scalars.js")


def scalar_nodes(graph: Graph, marks: Marks, free: Collection[int]) -> list[dict[str, Any]]:
    """For each node its name and data; where it is computed, its operands by number, rule and notation.

    ``selects`` tells the script that a partial of 0 stops even an infinite gradient; ``parameter``, to list a
    leaf after the inputs.
    """
    nodes = []
    for number, value in enumerate(graph.values):
        described: dict[str, Any] = {"name": node_name(graph, marks, number), "data": value}
        operation, label = graph.operations[number], graph.label(number)
        if operation is None:
            described["free"] = number in free
            if _is_parameter(label):
                described["parameter"] = True
        else:
            described |= {
                "operands": graph.parents[number],
                "rule": _key(graph, number),
                "written": _written(graph, number),
            }
            if operation.selects:
                described["selects"] = True
        if is_z(number, marks):
            described["delta"] = True
        nodes.append(described)
    return nodes


def colours_of(first: str, *, network: bool = False) -> dict[str, Any]:
    """What colours show at first, "data" or "grad"; what they mean; and what part of the largest has none."""
    meanings = {colour: legend(colour, network=network) for colour in ("data", "grad")}
    return {"colour": first, "legend": meanings, "rounding": ROUNDING}


def _is_parameter(label: str) -> bool:
    """Whether a label is a weight's or a bias's, also of a layer without a number: ``W[1,2]``."""
    known = element(label)
    return parameter(label) is not None or (known.array in ("W", "b") and known.indices != ())


def node_name(graph: Graph, marks: Marks, number: int) -> str:
    """One name for a node, for use in formulas: its label, what it is in a neuron, its number or position."""
    label = graph.label(number)
    if label:
        return printable(label)
    if number in marks:
        return marks[number][-1]
    return f"{graph.values[number]:.4g}" if graph.is_leaf(number) else f"v{number + 1}"


def _key(graph: Graph, number: int) -> str:
    operation = graph.operations[number]
    assert operation is not None
    return json.dumps([operation.name, len(graph.parents[number]), *graph.constants[number]])


def rules_of(graph: Graph) -> str:
    """Each rule that the graph uses, by key, as a JavaScript object.

    Raises ValueError where a node was made by hand.
    """
    found: dict[str, str] = {}
    for number, operation in enumerate(graph.operations):
        if operation is None:
            continue
        if operation is BY_HAND:
            raise ValueError(
                f"{graph.nodes[number]!r} was made by hand: the page has no rule to compute it by when an "
                "input is dragged; register the operation with autobp.operation(name, value, partials)"
            )
        key = _key(graph, number)
        if key not in found:
            found[key] = rules(operation, len(graph.parents[number]), graph.constants[number])
    entries = "".join(f"  {json.dumps(key)}: {rule},\n" for key, rule in found.items())
    return f"const RULES = {{\n{entries}}};\n"


def _written(graph: Graph, number: int) -> list[str | int]:
    """How the node is written, as text with its operands' numbers among them: [0, " + ", 1]."""
    op, n = graph.operations[number], len(graph.parents[number])
    assert op is not None
    anything = f"{op.name}({', '.join(f'{{{i}}}' for i in range(n))})"
    text = anything if op.arity is None else op.text
    constants = [f"{constant:g}" for constant in graph.constants[number]]
    marked = text.format(*[f"\0{i}\0" for i in range(n)], *constants)
    return [int(part) if i % 2 else part for i, part in enumerate(marked.split("\0"))]

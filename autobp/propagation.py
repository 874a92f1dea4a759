"""Derivatives that are graphs themselves: cotangents pulled back, and tangents pushed forward, on Values.

The rules of the operation table, evaluated on Values, give partials that are graphs and have derivatives of
their own; so derivatives nest to any order.
"""

from __future__ import annotations

import math
from typing import Any

from autobp.engine import Details, Value, ieee, is_traced
from autobp.ops import VALUES


def partials_as_values(node: Value) -> tuple[Any, ...]:
    """The local derivatives ∂node/∂parent as Values, or floats where they are constant.

    Raises TypeError where the node was made by hand: it has no rule to differentiate.
    """
    assert node._operation is not None
    partials: tuple[Any, ...] = node._operation.partials(VALUES, node, *node.parents, *node.constants)
    return partials


def pull_back(order: list[Value], cotangents: dict[int, Any], wrt: list[Value]) -> None:
    """The chain rule from the last node of a topological order to the first, on Values.

    Args:
        order: what :func:`topological_order` gave.
        cotangents: by id, the cotangents of some nodes to begin with, and of all in the end that something
            reached. Only what depends on ``wrt`` takes part, and nothing goes beyond ``wrt``.
    """
    depends = {id(node) for node in wrt}
    stops = set(depends)
    for node in order:
        if id(node) not in depends:
            for parent in node.parents:
                if id(parent) in depends:
                    depends.add(id(node))
                    break
    with ieee():
        for i in range(len(order) - 1, -1, -1):
            node = order[i]
            if id(node) not in cotangents or id(node) not in depends or id(node) in stops:
                continue
            cotangent = cotangents[id(node)]
            for parent, partial in zip(node.parents, partials_as_values(node), strict=True):
                if id(parent) not in depends or _passes_nothing(node, partial, cotangent):
                    continue
                term = cotangent if _is_no_value(partial, 1.0) else cotangent * partial
                before = cotangents.get(id(parent))
                cotangents[id(parent)] = term if before is None else before + term


def push_forward(order: list[Value], tangents: dict[int, Any], on_values: bool) -> None:
    """Forward mode: each node and its tangent are a dual number, pushed through the operation table.

    Args:
        order: what :func:`topological_order` gave.
        tangents: by id, the tangents to begin with, and in the end those of all nodes that depend on them.
        on_values: whether tangents are Values, with derivatives of their own, or floats.

    Raises TypeError where a node that the tangents reach was made by hand without local derivatives.
    """
    with ieee():
        for node in order:
            if id(node) in tangents or node._operation is None:
                continue
            parents = node.parents
            reached = False
            for parent in parents:
                if id(parent) in tangents:
                    reached = True
            if not reached:
                continue
            partials = partials_as_values(node) if on_values else node.partials
            if len(partials) != len(parents):
                raise TypeError(f"{node!r} was made by hand without the local derivatives forward mode needs")
            total: Any = None
            for parent, partial in zip(parents, partials, strict=True):
                tangent = tangents.get(id(parent))
                if tangent is None or _passes_nothing(node, partial, tangent):
                    continue
                term = tangent if _is_no_value(partial, 1.0) else tangent * partial
                total = term if total is None else total + term
            if total is not None:
                tangents[id(node)] = total


def _is_no_value(x: Any, number: float) -> bool:
    return not isinstance(x, Value) and bool(x == number)


def _passes_nothing(node: Value, partial: Any, flow: Any) -> bool:
    """Whether a cotangent or tangent ends here: at what an operation did not select, even ∞ counts for 0."""
    assert node._operation is not None
    if not node._operation.selects:
        return False
    if not isinstance(partial, Value):
        return bool(partial == 0.0)
    arriving: float = flow._data if isinstance(flow, Value) else flow
    return partial._data == 0.0 and not math.isfinite(arriving) and not is_traced()


def accumulate_graphs(order: list[Value], gradient: Any) -> None:
    """backward(create_graph=True) over a topological order."""
    seed = gradient if isinstance(gradient, Value) else Value(gradient)
    cotangents: dict[int, Any] = {id(order[len(order) - 1]): seed}
    leaves = [node for node in order if node._operation is None]
    pull_back(order, cotangents, leaves)
    for node in order:
        if node._operation is not None:
            found = cotangents.get(id(node))
            node._grad = 0.0 if found is None else found._data
        elif id(node) in cotangents:
            grad = node.grad
            total = cotangents[id(node)] if _is_no_value(grad, 0.0) else grad + cotangents[id(node)]
            if node._details is None:
                node._details = Details()
            node._details.derivative = total
            node._grad = total._data

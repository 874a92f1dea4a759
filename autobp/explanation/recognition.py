"""Known forms of a cost's derivative: which of its constants is the target, and what ∂C/∂a or ∂C/∂z is.

Two formulas are taken for the same function where they agree at several points far from each other; a formula
of a few operations that is another function does not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from autobp.explanation.derivation import Graph
from autobp.explanation.formula import Formula, Number, Symbol, divide
from autobp.ops import ADD, FLOATS

_MOST_LEAVES: Final = 8  # constants of a cost among which the targets are looked for
# where two formulas are compared as functions of an output and its target
_POINTS: Final = ((0.3, 0.8), (0.6, 0.25), (0.15, 0.45), (0.85, 0.65))
_POINTS_OF_HINGE: Final = ((0.3, 0.8), (0.6, 2.5), (1.5, 0.5), (2.0, 1.0))


@dataclass(frozen=True)
class Target:
    """The target y of an output a.

    Attributes:
        position: the leaf that is y.
        complements: leaves that are 1 - y.
        coefficient: c.
        kind: ∂C/∂a is c (a - y), "difference"; c (a - y)/(a(1 - a)), "ratio"; or ∂C/∂z is c (σ(z) - y),
            "sigmoid". None where it is as it stands, of hinge or of -y log a.
    """

    position: int
    complements: tuple[int, ...]
    coefficient: float
    kind: str | None


def target_of(graph: Graph, top: int, bottom: int, of_z: bool) -> Target | None:
    """The target of an output in a cost, found by comparing functions; None where ∂C/∂a has no known form.

    Which constant of a cost is the target? The one, y, for which ∂C/∂a as a function of a and y is one
    of the known forms. With y go those constants that were computed as 1 - y before the graph saw them.

    Args:
        top, bottom: the positions of the cost and of the output.
        of_z: whether the output is a z, without an activation.
    """
    leaves = _leaves_between(graph, top, bottom)
    if len(leaves) > _MOST_LEAVES:
        return None
    output = graph.names[bottom]
    symbols = {i: Symbol(f"c{i}", f"c_{{{i}}}", graph.order[i]._data) for i in leaves}
    graph.names.update(symbols)
    derived = graph.derivative(top, bottom)
    for i in leaves:
        del graph.names[i]
    if derived is None:
        return None
    for y in leaves:
        rest = [i for i in leaves if i != y and graph.order[i]._data == 1.0 - graph.order[y]._data][:3]
        for size in range(len(rest), -1, -1):
            for complements in itertools.combinations(rest, size):

                def at(a: float, t: float, y: int = y, complements: tuple[int, ...] = complements) -> float:
                    given = {symbols[y].text: t, output.key[1]: a}
                    given.update({symbols[i].text: 1.0 - t for i in complements})
                    return derived.at(lambda leaf: given.get(leaf.key[1], leaf.value))

                match = _kind(at, of_z)
                if match is not None:
                    return Target(y, complements, *match)
    return None


def _leaves_between(graph: Graph, top: int, bottom: int) -> list[int]:
    """Leaves without a name between an output and the cost, up to one more than are looked at."""
    seen, stack, region = {bottom}, [bottom], []
    while stack:
        for consumer in graph.consumers[stack.pop()]:
            if consumer <= top and consumer not in seen:
                seen.add(consumer)
                region.append(consumer)
                stack.append(consumer)
    leaves: set[int] = set()
    below = [p for i in region if graph.order[i].operation is not ADD for p in graph.parents[i]]
    cone: set[int] = set()
    while below and len(leaves) <= _MOST_LEAVES:
        i = below.pop()
        if i in cone or i in seen or i in graph.names:
            continue
        cone.add(i)
        if graph.order[i].is_leaf:
            leaves.add(i)
        below.extend(graph.parents[i])
    return sorted(leaves)


def _kind(at: Callable[[float, float], float], of_z: bool) -> tuple[float, str | None] | None:
    """(c, kind) where a function of output and target is c times a known form; kind None: -y/a or hinge."""
    slopes = [at(a, y) for a, y in _POINTS]
    if not all(math.isfinite(slope) for slope in slopes):
        return None
    forms = {"difference": [a - y for a, y in _POINTS]}
    if of_z:
        forms["sigmoid"] = [1.0 / (1.0 + math.exp(-z)) - y for z, y in _POINTS]
    else:
        forms["ratio"] = [(a - y) / (a * (1.0 - a)) for a, y in _POINTS]
    for kind, values in forms.items():
        ratios = [slope / value for slope, value in zip(slopes, values, strict=True)]
        c = ratios[0]
        if c != 0.0 and all(math.isclose(ratio, c, rel_tol=1e-9) for ratio in ratios):
            return c, kind
    if not of_z and all(
        math.isclose(s, -y / a, rel_tol=1e-9) for s, (a, y) in zip(slopes, _POINTS, strict=True)
    ):
        return 1.0, None
    hinge = [-y if 1.0 - y * a > 0.0 else 0.0 for a, y in _POINTS_OF_HINGE]
    if all(
        math.isclose(at(a, y), h, rel_tol=1e-12) for (a, y), h in zip(_POINTS_OF_HINGE, hinge, strict=True)
    ):
        return 1.0, None
    return None


def rational(c: float) -> Formula:
    """c as a fraction, where it is one of small numbers but for rounding."""
    near = Fraction(c).limit_denominator(1000)
    if not math.isclose(float(near), c, rel_tol=1e-9):
        return Number(c)
    return divide(Number(float(near.numerator)), Number(float(near.denominator)))


def softmax_targets(graph: Graph, top: int, zs: Sequence[int]) -> list[float] | None:
    """y_k where ∂C/∂z_k is softmax(z)_k - y_k for all z, with y of this graph; else None.

    The cost is computed anew at other z, and p - ∂C/∂z has to be the same at each.
    """
    cone, stack, named = set[int](), [top], set(zs)
    while stack:
        i = stack.pop()
        if i in cone or i in named:
            continue
        cone.add(i)
        stack.extend(graph.parents[i])
    order = sorted(cone)
    first: list[float] | None = None
    for seed in (0.0, 0.7, 1.9):
        points = [math.sin(1.0 + seed + 2.0 * n) for n in range(len(zs))]
        slopes = _slopes_at(graph, order, zs, points)
        if slopes is None:
            return None
        exponentials = [math.exp(z) for z in points]
        y = [e / sum(exponentials) - slope for e, slope in zip(exponentials, slopes, strict=True)]
        if first is None:
            first = y
        if any(abs(b - a) > 1e-12 for a, b in zip(first, y, strict=True)):
            return None
    assert first is not None
    if abs(sum(first) - 1.0) > 1e-9:
        return None
    return [round(y, 12) for y in first]


def _slopes_at(
    graph: Graph, order: Sequence[int], zs: Sequence[int], points: Sequence[float]
) -> list[float] | None:
    """∂C/∂z of each output where the z are other numbers."""
    data = dict(zip(zs, points, strict=True))
    partials: dict[int, Sequence[float]] = {}
    try:
        for i in order:
            node = graph.order[i]
            if node.operation is None:
                data[i] = node._data
            else:
                operands = [data[p] for p in graph.parents[i]]
                data[i] = node.operation.value(FLOATS, *operands, *node.constants)
                partials[i] = node.operation.partials(FLOATS, data[i], *operands, *node.constants)
    except (ValueError, ArithmeticError, TypeError):
        return None
    adjoint = dict.fromkeys([*order, *zs], 0.0)
    adjoint[order[-1]] = 1.0
    for i in reversed(order):
        for p, partial in zip(graph.parents[i], partials.get(i, ()), strict=True):
            adjoint[p] += partial * adjoint[i]
    return [adjoint[z] for z in zs]

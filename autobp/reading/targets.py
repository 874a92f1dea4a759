"""The cost of a graph as a function of an output: which of its constants is the target, and what form its
derivative has.

Two functions are taken for the same where they agree at several points far from each other; a cost of a few
operations that is another function does not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from autobp import costs
from autobp.ops import ADD
from autobp.reading.adjoints import slopes
from autobp.reading.graph import Graph

_MOST_LEAVES: Final = 8  # constants of a cost among which the targets are looked for
_LARGEST_REGION: Final = 80  # operations between output and cost, additions not counted


@dataclass(frozen=True)
class Form:
    """A known form of a cost's derivative, as a function of the output x and the target y.

    Attributes:
        name: "difference" …
        slope: the derivative.
        of: what x is: an activation "a", a "z" without one, or "either".
        scaled: whether a multiple of it counts as well.
        points: (x, y) at which functions are compared.
        within: how far they may differ, relatively.
    """

    name: str
    slope: Callable[[float, float], float]
    of: str = "either"
    scaled: bool = False
    points: tuple[tuple[float, float], ...] = ((0.3, 0.8), (0.6, 0.25), (0.15, 0.45), (0.85, 0.65))
    within: float = 1e-9


#: The forms that are known, most of them the costs' own, in the order in which they are looked for.
FORMS: Final = (
    Form("difference", costs.quadratic.slope, scaled=True),
    Form("sigmoid", costs.binary_cross_entropy_with_logits.slope, of="z", scaled=True),
    Form("ratio", costs.binary_cross_entropy.slope, of="a", scaled=True),
    Form("logarithm", lambda a, y: -y / a, of="a"),
    Form(
        "margin",
        costs.hinge.slope,
        points=((0.3, 0.8), (0.6, 2.5), (1.5, 0.5), (2.0, 1.0)),
        within=1e-12,
    ),
)


@dataclass(frozen=True)
class Target:
    """The target y of an output.

    Attributes:
        number: of the leaf that is y.
        complements: leaves that are 1 - y.
        coefficient: c.
        form: the name of the form that ∂C/∂a or ∂C/∂z has, times c.
    """

    number: int
    complements: tuple[int, ...]
    coefficient: float
    form: str


def target_of(graph: Graph, cost: int, output: int, known: Collection[int], of_z: bool) -> Target | None:
    """The target of an output in a cost, found by comparing functions; None where ∂C/∂a has no known form.

    Which constant of a cost is the target? The one, y, for which ∂C/∂a as a function of a and y is one
    of the known forms. With y go those constants that were computed as 1 - y before the graph saw them.

    Args:
        cost, output: their numbers.
        known: nodes that keep their numbers: neurons, parameters.
        of_z: whether the output is a z, without an activation.
    """
    region = _between(graph, cost, output)
    if sum(graph.operations[i] is not ADD for i in region) > _LARGEST_REGION:
        return None
    leaves = _leaves_beside(graph, region, {output, *known})
    if len(leaves) > _MOST_LEAVES:
        return None
    order = _cone(graph, cost, {output, *known} - {cost})
    for y in leaves:
        for complements in _complements(graph, y, leaves):

            def slope(a: float, t: float, y: int = y, complements: Sequence[int] = complements) -> float:
                # what C itself is in ∂C/∂a, as in that of an exponential, is taken for a factor c
                given = {output: a, y: t, cost: graph.values[cost], **dict.fromkeys(complements, 1.0 - t)}
                found = slopes(graph, order, given, [output])
                return math.nan if found is None else found[0]

            match = _form(slope, "z" if of_z else "a")
            if match is not None:
                return Target(y, complements, *match)
    return None


def _form(slope: Callable[[float, float], float], of: str) -> tuple[float, str] | None:
    """(c, name) where a function of output and target is c times a known form."""
    computed: dict[tuple[tuple[float, float], ...], list[float]] = {}
    for form in FORMS:
        if form.of not in (of, "either"):
            continue
        if form.points not in computed:
            computed[form.points] = [slope(x, y) for x, y in form.points]
        numbers = computed[form.points]
        if not all(map(math.isfinite, numbers)):
            return None
        wanted = [form.slope(x, y) for x, y in form.points]
        c = numbers[0] / wanted[0] if form.scaled else 1.0
        pairs = zip(numbers, wanted, strict=True)
        if c != 0.0 and all(math.isclose(number, c * w, rel_tol=form.within) for number, w in pairs):
            return c, form.name
    return None


def _complements(graph: Graph, y: int, leaves: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The leaves that may be 1 - y, as many of them as possible first."""
    rest = [i for i in leaves if i != y and graph.values[i] == 1.0 - graph.values[y]][:3]
    for size in range(len(rest), -1, -1):
        yield from itertools.combinations(rest, size)


def _between(graph: Graph, cost: int, output: int) -> list[int]:
    """The nodes on the way from an output to the cost, without the output."""
    seen, stack, region = {output}, [output], []
    while stack:
        for consumer in graph.consumers[stack.pop()]:
            if consumer <= cost and consumer not in seen:
                seen.add(consumer)
                region.append(consumer)
                stack.append(consumer)
    return region


def _leaves_beside(graph: Graph, region: Sequence[int], known: Collection[int]) -> list[int]:
    """Leaves that the nodes of a region are computed of, up to one more than are looked at."""
    leaves: set[int] = set()
    stack = [p for i in region if graph.operations[i] is not ADD for p in graph.parents[i]]
    inside = set(region)
    cone: set[int] = set()
    while stack and len(leaves) <= _MOST_LEAVES:
        i = stack.pop()
        if i in cone or i in inside or i in known:
            continue
        cone.add(i)
        if graph.is_leaf(i):
            leaves.add(i)
        stack.extend(graph.parents[i])
    return sorted(leaves)


def _cone(graph: Graph, top: int, ends: Collection[int]) -> list[int]:
    """The nodes that top depends on, in order, up to ends and without these."""
    cone: set[int] = set()
    stack = [top]
    while stack:
        i = stack.pop()
        if i in cone or i in ends:
            continue
        cone.add(i)
        stack.extend(graph.parents[i])
    return sorted(cone)


def softmax_targets(graph: Graph, cost: int, zs: Sequence[int]) -> list[float] | None:
    """y_k where ∂C/∂z_k is softmax(z)_k - y_k for all z, with y of this graph; else None.

    The cost is computed anew at other z, and p - ∂C/∂z has to be the same at each.
    """
    order = _cone(graph, cost, set(zs))
    first: list[float] | None = None
    for seed in (0.0, 0.7, 1.9):
        points = [math.sin(1.0 + seed + 2.0 * n) for n in range(len(zs))]
        found = slopes(graph, order, dict(zip(zs, points, strict=True)), zs)
        if found is None or not all(map(math.isfinite, found)):
            return None
        exponentials = [math.exp(z) for z in points]
        y = [e / sum(exponentials) - slope for e, slope in zip(exponentials, found, strict=True)]
        if first is None:
            first = y
        if any(abs(b - a) > 1e-12 for a, b in zip(first, y, strict=True)):
            return None
    assert first is not None
    if abs(sum(first) - 1.0) > 1e-9:
        return None
    return [round(y, 12) for y in first]

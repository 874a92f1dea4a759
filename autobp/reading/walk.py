"""The graph's own walk at any numbers: values forwards, adjoints backwards, and what rounding does to both.

A number of the walk is a float, or a vector with an element for each row of data; the rules are the table's,
and what passes along an edge is :func:`autobp.chain.stops`'.

**What rounding does** is found out by walking again, many times, with every rounding replaced by a random one
that is somewhat larger (Monte Carlo arithmetic, after Parker). How far the results lie apart is what the
graph itself makes of its roundings, in whatever order its sums are added up: cancellation, a logarithm near
0, a recurrence that forgets or amplifies, a comparison that may fall out either way. A bound passed on from
operation to operation by absolute values would say the same of a short formula, and nothing of a long one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.chain import stops
from autobp.ops import (
    ABS,
    ADD,
    CONSTANT_POWER,
    DIVIDE,
    FLOATS,
    MULTIPLY,
    NEGATIVE,
    NUMPY,
    SOFTPLUS,
    SUBTRACT,
    TAKE,
    Operation,
    partials_at,
)
from autobp.reading.graph import CONSTANT, PARAMETER, Graph

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Half a unit in the last place, of 1.
UNIT = 2.0**-53
#: The random roundings, in units of the true ones: enough for functions that are right to a few units, and
#: for sums in another order.
_NOISE = 32.0
_SAMPLES = 32  # walks, so many that on a kink not all will stay on one side of it
_TABLE = 1009  # random vectors, used in turn; a prime, so that no loop of a graph meets the same ones again
_TINY = 1e-290  # where the spacing of numbers may show that they are not normal
_SMALLEST = 5e-324

_SUMS = (ADD, SUBTRACT)
_EXACT_ON_WHOLE_NUMBERS = (ADD, SUBTRACT, MULTIPLY, DIVIDE, CONSTANT_POWER)


def given(graph: Graph) -> dict[int, list[int]]:
    """The parameters of a graph, and the elements of each argument, by their role."""
    by_role: dict[int, list[int]] = {PARAMETER: []}
    for i in [i for i, role in enumerate(graph.roles) if role >= PARAMETER]:
        by_role.setdefault(graph.roles[i], []).append(i)
    return by_role


def leaves(graph: Graph, theta: Array, arguments: Sequence[Array]) -> Callable[[int], Any]:
    """The number of a leaf, for each row, by its number in the graph.

    Args:
        theta: the parameters, (n_parameters,).
        arguments: the data, (m, size) each, flattened for each row.
    """

    def leaf(i: int) -> Any:
        role, position = graph.roles[i], graph.positions[i]
        if role == CONSTANT:
            return np.float64(graph.values[i])
        return theta[position] if role == PARAMETER else arguments[role - 1][:, position]

    return leaf


def values_of(graph: Graph, leaf: Callable[[int], Any], rounding: Rounding | None = None) -> list[Any]:
    """What each node is where the leaves are what ``leaf`` gives for their numbers, by IEEE 754."""
    values: list[Any] = []
    with np.errstate(all="ignore"):
        for i, operation in enumerate(graph.operations):
            if operation is None:
                values.append(leaf(i))
                continue
            operands: Any = [values[p] for p in graph.parents[i]]
            if operation is TAKE:
                operands = np.broadcast_arrays(*operands)
            y = operation.value(NUMPY, *operands, *graph.constants[i])
            values.append(y if rounding is None else rounding.of_value(i, y))
    return values


def adjoints_of(
    graph: Graph, output: int, values: Sequence[Any], rounding: Rounding | None = None
) -> list[Any]:
    """∂output/∂node for each node, where ``values`` is what the nodes are: all floats, or vectors of rows.

    Nodes that the output does not depend on have 0, whatever their own derivatives are.
    """
    partials_of = _on_floats if isinstance(values[output], float) else _on_rows
    adjoints: list[Any] = [0.0] * len(values)
    adjoints[output] = 1.0
    operations, parents, constants = graph.operations, graph.parents, graph.constants
    reached = bytearray(len(values))
    reached[output] = True
    with np.errstate(all="ignore"):
        for i in range(output, -1, -1):
            operation = operations[i]
            if operation is None or not reached[i]:
                continue
            for p in parents[i]:
                reached[p] = True
            flow = adjoints[i]
            if rounding is None and operation is MULTIPLY:  # most nodes are products and sums
                x, y = parents[i]
                adjoints[x] = adjoints[x] + values[y] * flow
                adjoints[y] = adjoints[y] + values[x] * flow
            elif rounding is None and operation is ADD:
                x, y = parents[i]
                adjoints[x] = adjoints[x] + flow
                adjoints[y] = adjoints[y] + flow
            elif rounding is None and operation is SUBTRACT:
                x, y = parents[i]
                adjoints[x] = adjoints[x] + flow
                adjoints[y] = adjoints[y] - flow
            else:
                operands = [values[p] for p in parents[i]]
                partials = partials_of(operation, values[i], [*operands, *constants[i]])
                for p, partial in zip(parents[i], partials, strict=True):
                    share = _passed(operation, partial, flow)
                    adjoints[p] = adjoints[p] + (
                        share if rounding is None else rounding.of_share(operation, share, flow)
                    )
    return adjoints


def _passed(operation: Operation, partial: Any, flow: Any) -> Any:
    """What passes along an edge."""
    if not operation.selects:
        return partial * flow
    if isinstance(partial, float):
        return 0.0 if stops(operation, partial) else partial * flow
    return np.where(np.equal(partial, 0.0), 0.0, partial * flow)


def _on_floats(operation: Operation, y: float, operands: Sequence[float]) -> tuple[Any, ...]:
    try:
        return operation.partials(FLOATS, y, *operands)
    except (ArithmeticError, ValueError):
        return partials_at(operation, y, *operands)


def _on_rows(operation: Operation, y: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
    return operation.partials(NUMPY, y, *operands)


def terms_of(
    graph: Graph, values: Sequence[Any], adjoints: Sequence[Any], nodes: Collection[int]
) -> dict[int, Any]:
    """Of some nodes, the sum of the absolute terms that their adjoints are the sums of."""
    partials_of = _on_floats if isinstance(values[-1], float) else _on_rows
    sums: dict[int, Any] = dict.fromkeys(nodes, 0.0)
    strangers = set(nodes).isdisjoint
    users = [i for i, parents in enumerate(graph.parents) if not strangers(parents)]
    with np.errstate(all="ignore"):
        for i in users:
            operation, parents = graph.operations[i], graph.parents[i]
            assert operation is not None  # it has parents
            operands = [values[p] for p in parents]
            partials = partials_of(operation, values[i], [*operands, *graph.constants[i]])
            for p, partial in zip(parents, partials, strict=True):
                if p in sums:
                    sums[p] = sums[p] + np.abs(_passed(operation, partial, adjoints[i]))
    return sums


class Rounding:
    """Random roundings of a graph's values and adjoints at some numbers.

    What a node's operation rounds is perturbed by a random part of it, up to 32 times half a unit in the last
    place, or else by nothing, so that numbers that are equal by chance may stay so. Exact are whole numbers
    that arithmetic makes of whole numbers, as counts and indices are, and what an operation selects. A sum
    that goes on from a sum, whose terms may be added in another order, is perturbed by a part of the sum of
    the absolute terms.
    """

    def __init__(self, graph: Graph, values: Sequence[Any], m: int) -> None:
        n = len(values)
        numbers = np.empty((n, m))
        for i, value in enumerate(values):
            numbers[i] = value
        self._graph, self._numbers = graph, numbers
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**52)
        self._whole: Bools = np.all(whole, axis=1)
        self._tiny: Bools = np.any(np.abs(numbers) < _TINY, axis=1)
        self._sizes: dict[int, Array] = {}  # of sums, the absolute terms of them
        width = _SAMPLES * m
        rng = np.random.default_rng(0)
        noise = rng.uniform(-_NOISE * UNIT, _NOISE * UNIT, (_TABLE, width))
        noise *= rng.integers(0, 2, noise.shape)
        self._noise, self._factors = list(noise), list(1.0 + noise)
        self._next = 0

    def of_value(self, i: int, y: Any) -> Any:
        """A node's value as it is rounded."""
        operation, parents = self._graph.operations[i], self._graph.parents[i]
        assert operation is not None
        size = self._size(i, operation, parents) if operation in _SUMS else None
        if operation.selects or operation is NEGATIVE or operation is ABS:
            return y
        if operation is SUBTRACT and parents[0] == parents[1]:
            return y
        whole = self._whole
        if operation in _EXACT_ON_WHOLE_NUMBERS and whole[i] and whole[[*parents]].all():
            return y
        k = self._step()
        if size is not None:
            return y + np.tile(size, _SAMPLES) * self._noise[k]
        y = y * self._factors[k]
        if self._tiny[i] and operation not in _SUMS:
            zero = self._numbers[i] == 0.0
            for p in parents:  # 0·x and sqrt(0) are exactly 0, and exp(-1000) is not
                zero = zero & (self._numbers[p] != 0.0)
            spacing = np.where((self._numbers[i] != 0.0) | zero, _SMALLEST / UNIT, 0.0)
            y = y + np.tile(spacing, _SAMPLES) * self._noise[k]
        return y

    def of_share(self, operation: Operation, share: Any, flow: Any) -> Any:
        """What a node passes on to an operand, as it is rounded."""
        k = self._step()
        if operation is SOFTPLUS:  # under a cross-entropy its derivative is σ(z) - y, however small that is
            return share + flow * self._noise[k]
        return share * self._factors[k]

    def _size(self, i: int, operation: Operation, parents: Sequence[int]) -> Array | None:
        """The sum of the absolute terms of a sum, where there are more than two."""
        x, y = parents
        operations, numbers = self._graph.operations, self._numbers
        long = operations[x] in _SUMS or operations[y] in _SUMS
        of_x = self._sizes[x] if operations[x] in _SUMS else np.abs(numbers[x])
        goes_on = operation is ADD and operations[y] in _SUMS and operations[x] not in _SUMS
        size = of_x + (self._sizes[y] if goes_on else np.abs(numbers[y]))
        self._sizes[i] = size = np.where(np.isfinite(size), size, 0.0)
        return size if long else None

    def _step(self) -> int:
        self._next = (self._next + 1) % _TABLE
        return self._next


class Spread:
    """How far apart rounding alone drives the results of a graph, at some rows of data.

    Attributes:
        values: of each node, a vector (m,); infinite where a walk did not come to a number.
        adjoints: of each node's adjoint, likewise; empty where there are several outputs.
    """

    def __init__(
        self,
        graph: Graph,
        theta: Array,
        arguments: Sequence[Array],
        values: Sequence[Any],
        adjoints: Sequence[Any],
        m: int,
    ) -> None:
        rounding = Rounding(graph, values, m)
        repeated = [np.tile(argument, (_SAMPLES, 1)) for argument in arguments]
        moved = values_of(graph, leaves(graph, theta, repeated), rounding)
        self.values = _deviations(moved, values, m)
        self.adjoints: list[Array] = []
        if len(adjoints):
            flows = adjoints_of(graph, graph.outputs[0], moved, rounding)
            self.adjoints = _deviations(flows, adjoints, m)


def _deviations(moved: Sequence[Any], still: Sequence[Any], m: int) -> list[Array]:
    """The largest distance of the walks' numbers from the walk's without noise, by row."""
    found = []
    with np.errstate(all="ignore"):
        for many, one in zip(moved, still, strict=True):
            rows = np.broadcast_to(many, (_SAMPLES * m,)).reshape(_SAMPLES, m)
            distance = np.abs(rows - one).max(0)
            found.append(np.where(np.isfinite(distance), distance, np.inf))
    return found

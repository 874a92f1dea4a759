"""Second derivatives once for each pair of parameters, where they come in few matrices.

The Hessian is symmetric, where what rules give is a gradient: of two layers' parameters it is enough to push
the directions of one through the derivative by the other. What is needed last in the reverse pass, the
derivative by the first layer, is the dearest to push through, and gets that layer's own directions alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autobp import ir
from autobp.compiler.derivatives.tangents import picked
from autobp.ops import BUILT_IN
from autobp.reading.graph import Graph

_FEWEST = 64  # parameters, for which it pays
_MOST_PIECES = 16  # that a gradient is put together from


@dataclass(frozen=True)
class Half:
    """What is computed of a Hessian.

    Attributes:
        needed: the directions in which the tangent of each array is needed; arrays without an entry need all.
        columns: of each pair of a direction and an element of the gradient, whether it is computed, (n, n).
    """

    needed: dict[ir.Array, frozenset[int]]
    computed: np.ndarray[tuple[int, int], np.dtype[np.bool_]]

    def mirrored(self, matrix: ir.Array, order: ir.Indices) -> ir.Array:
        """The Hessian from what was computed of it.

        Args:
            matrix: by directions and the elements of the gradient.
            order: the element that each direction is of.
        """
        n = len(order)
        direction = np.argsort(order)
        rows, columns = np.repeat(np.arange(n), n), np.tile(np.arange(n), n)
        there = self.computed[direction[rows], columns]
        positions = np.where(there, direction[rows] * n + columns, direction[columns] * n + rows)
        return picked(matrix, ir.Gather(matrix, positions.reshape(n, n).astype(np.int64)))


def is_symmetric(graph: Graph) -> bool:
    """Whether second derivatives are the same in either order.

    The table's own rules give gradients, and with one operand any rule does. Those of an operation of the
    user's may be no gradient, as a slope that is scaled on its way back; then the matrix is that of the
    derivatives of what the rules give, (∂/∂x_j of the i-th, in row i), and not symmetric.
    """
    operations = {operation for operation in graph.operations if operation is not None}
    return all(x.arity == 1 or BUILT_IN.get(x.name) is x for x in operations)


def half_of(gradient: ir.Array, order: ir.Indices) -> Half | None:
    """What to compute of the derivatives of a gradient; None where all of them are to be.

    Args:
        order: the element that each direction is of.
    """
    n = len(order)
    arrays = ir.in_order([gradient])
    if n < _FEWEST or not isinstance(gradient, ir.Assemble) or len(gradient.pieces) > _MOST_PIECES:
        return None
    if gradient.zeros or any(gradient.added) or any(isinstance(x, ir.Loop) for x in arrays):
        return None
    pieces = list(zip(gradient.pieces, gradient.places, strict=True))
    if any(place is None for _, place in pieces) or len({x for x, _ in pieces}) < len(pieces):
        return None
    direction = np.argsort(order)
    computed = np.zeros((n, n), dtype=bool)
    needed: dict[ir.Array, frozenset[int]] = {}
    so_far: set[int] = set()
    number = {x: i for i, x in enumerate(arrays)}
    for piece, place in sorted(pieces, key=lambda pair: -number[pair[0]]):
        assert place is not None
        elements = place.indices().reshape(-1)
        so_far |= set(direction[elements].tolist())
        needed[piece] = needed.get(piece, frozenset()) | so_far
        computed[np.array(sorted(so_far))[:, None], elements] = True
    for array in reversed(arrays):
        if array is not gradient and array in needed:
            for x in array.operands:
                needed[x] = needed.get(x, frozenset()) | needed[array]
    return Half(needed, computed)

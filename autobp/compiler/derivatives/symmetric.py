"""Second derivatives once for each pair of parameters, where they come in few matrices.

The Hessian is symmetric, where what rules give is a gradient: of two layers' parameters it is enough to push
the directions of one through the derivative by the other. What is needed last in the reverse pass, the
derivative by the first layer, is the dearest to push through, and gets that layer's own directions alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autobp import ir
from autobp.compiler.adjoint import Adjoint, assemble
from autobp.compiler.derivatives.tangents import Tangent, filled, picked, view
from autobp.ir.slicing import row_strides
from autobp.ops import BUILT_IN
from autobp.reading.graph import Graph

_FEWEST = 64  # parameters, for which it pays
_MOST_PIECES = 16  # that a gradient is put together from
_MOST_BLOCKS = 64  # that a Hessian is


@dataclass(frozen=True)
class Column:
    """A piece of a gradient: where in it, and its tangent, if it has one."""

    place: ir.Place | None
    tangent: Tangent | None


@dataclass(frozen=True)
class Half:
    """What is computed of a Hessian.

    Attributes:
        needed: the directions in which the tangent of each array is needed; arrays without an entry need all.
        columns: of each pair of a direction and an element of the gradient, whether it is computed, (n, n).
    """

    needed: dict[ir.Array, frozenset[int]]
    computed: np.ndarray[tuple[int, int], np.dtype[np.bool_]]

    def in_blocks(self, columns: Sequence[Column], order: ir.Indices) -> ir.Array | None:
        """The Hessian from the tangents of what a gradient is put together from, each block where it belongs.

        None where there are more blocks than can be read, or directions or elements are in another order.

        Args:
            order: the element that each direction is of.
        """
        n, direction = len(order), np.argsort(order)
        groups = _groups(columns, direction)
        if groups is None or len(groups) ** 2 > _MOST_BLOCKS:
            return None
        whole = ir.Absent((n, n), False)
        pieces: list[tuple[ir.Place | None, Adjoint]] = []
        for column, (place, first) in zip(columns, groups, strict=True):
            of_group = _rows_of(column, groups)
            if of_group is None:
                return None
            if column.tangent is None:
                continue
            tangent = filled(column.tangent, ir.Absent(place.shape, False), False)
            steps = row_strides(place.shape)
            for group, at in groups:
                if at not in of_group or not self.computed[at, place.base]:
                    continue
                start = of_group[at] * place.size
                rows = tuple([place.size * x for x in row_strides(group.shape)])
                block = view(tangent, start, (*group.shape, *place.shape), (*rows, *steps))
                pieces.append((_block(whole, group, place), Adjoint(array=picked(tangent, block))))
                if not self.computed[first, group.base]:
                    block = view(tangent, start, (*place.shape, *group.shape), (*steps, *rows))
                    pieces.append((_block(whole, place, group), Adjoint(array=picked(tangent, block))))
        return assemble(pieces, whole)

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


def _groups(columns: Sequence[Column], direction: ir.Indices) -> list[tuple[ir.View, int]] | None:
    """The columns' places, and the first of the directions of each, which follow one another."""
    found = []
    for column in columns:
        if not isinstance(column.place, ir.View):
            return None
        own = direction[column.place.indices().reshape(-1)]
        if not np.array_equal(own, np.arange(own[0], own[0] + len(own))):
            return None
        found.append((column.place, int(own[0])))
    return found


def _rows_of(column: Column, groups: Sequence[tuple[ir.View, int]]) -> dict[int, int] | None:
    """By the first direction of a group, its row in a column's tangent; None where one is there in part."""
    own = column.tangent.directions or () if column.tangent else ()
    rows = {}
    for group, first in groups:
        found = [i for i, direction in enumerate(own) if first <= direction < first + group.size]
        if found and len(found) < group.size:
            return None
        if found:
            rows[first] = found[0]
    return rows


def _block(whole: ir.Array, rows: ir.View, columns: ir.View) -> ir.Place:
    """Where the derivatives by some elements and others lie in the Hessian."""
    n = whole.shape[1]
    strides = (*[n * x for x in rows.strides], *columns.strides)
    return view(whole, n * rows.base + columns.base, (*rows.shape, *columns.shape), strides)


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

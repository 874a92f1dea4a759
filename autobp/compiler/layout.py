"""Where values live: order a group's nodes so that the positions they refer to become slices and reshapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autobp.ir import Indices

_MANY = 256  # numbers from which on NumPy counts faster than Python


def affine(indices: Indices) -> tuple[int, tuple[int, ...]] | None:
    """(base, strides) with indices = base + Σ stride·(index along axis), or None."""
    if indices.size == 0:
        return None
    base = int(indices.flat[0])
    strides = []
    expected: Indices = np.array(base, dtype=np.int64)
    for axis, size in enumerate(indices.shape):
        corner = [0] * indices.ndim
        stride = 0
        if size > 1:
            corner[axis] = 1
            stride = int(indices[tuple(corner)]) - base
        strides.append(stride)
        steps = np.arange(size, dtype=np.int64) * stride
        expected = expected + steps.reshape([-1] + [1] * (indices.ndim - axis - 1))
    return (base, tuple(strides)) if np.array_equal(expected, indices) else None


def drop_repeated_axes(indices: Indices) -> Indices:
    """The indices with every axis along which they do not change cut down to size 1."""
    for axis, size in enumerate(indices.shape):
        if size > 1:
            first = indices.take([0], axis)
            if (indices == first).all():
                indices = first
    return indices


def grid_of(columns: Indices) -> tuple[int, ...] | None:
    """The shape over which every column of a table (n, q) is affine, or None.

    Found from the inside out: the length of the first even run is the innermost size.
    """
    sizes: list[int] = []
    rows = columns
    while len(rows) > 1:
        n, q = rows.shape
        step = rows[1] - rows[0]
        even = (np.diff(rows, axis=0) == step).all(axis=1)
        length = n if even.all() else int(np.argmin(even)) + 1
        if n % length:
            return None
        blocks = rows.reshape(n // length, length, q)
        inner = blocks[:, :1] + np.arange(length, dtype=np.int64)[:, None] * step
        if not np.array_equal(blocks, inner):
            return None
        sizes.insert(0, length)
        rows = blocks[:, 0]
    return tuple(sizes) or (1,)


def _distinct(column: Indices) -> int:
    """How many numbers are in it."""
    return len(np.unique(column)) if len(column) > _MANY else len(set(column.tolist()))


def occurrences(columns: Sequence[Indices]) -> tuple[Indices, Indices] | None:
    """Which rows of a table, given by its columns (n,), are the same row again; None where all differ.

    Returns:
        of each row that is there the number of its first occurrence (u,), and for all rows which of these
        it is (n,).
    """
    n = len(columns[0])
    if any(_distinct(column) == n for column in columns):
        return None
    order = np.lexsort(columns[::-1])
    is_new = np.ones(n, dtype=bool)
    is_new[1:] = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    if is_new.all():
        return None
    which = np.empty(n, dtype=np.int64)
    which[order] = np.cumsum(is_new) - 1
    return order[is_new], which


def arrange(columns: Sequence[Indices], shapes: Sequence[tuple[int, ...]]) -> tuple[Indices, tuple[int, ...]]:
    """An order of n nodes and a shape for them, from the positions of their operands.

    Args:
        columns: for each operand the positions (n,) in its array; none for operands that are constants.
        shapes: the shapes of those arrays.

    Returns:
        order (n,), and the shape, of n elements, that the nodes have in that order.
    """
    n = len(columns[0])
    distinct = list(map(_distinct, columns))
    first = distinct.index(max(distinct))
    others = [column for i, column in enumerate(columns) if i != first]
    order = np.lexsort([*others[::-1], columns[first]])
    table = np.stack([column[order] for column in columns], axis=1)
    source = shapes[first]
    whole = int(np.prod(source, dtype=np.int64)) == n and np.array_equal(
        table[:, first], np.arange(n, dtype=np.int64)
    )
    if whole and all(affine(table[:, i].reshape(source)) for i in range(len(columns))):
        return order, source
    grid = grid_of(table)
    if grid is not None:
        return order, grid
    if whole:
        return order, source
    grid = grid_of(table[:, [first]])
    return order, grid if grid is not None else (n,)

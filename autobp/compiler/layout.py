"""Where values live: order a group's nodes so that the positions they refer to become slices and reshapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autobp.compiler.ir import Indices


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


def lay_out(columns: Sequence[Indices], shapes: Sequence[tuple[int, ...]]) -> tuple[Indices, tuple[int, ...]]:
    """An order of n nodes and a shape for them, from the positions of their operands.

    Args:
        columns: for each operand the positions (n,) in its array; none for operands that are constants.
        shapes: the shapes of those arrays.

    Returns:
        order (n,), and the shape, of n elements, that the nodes have in that order.
    """
    n = len(columns[0])
    distinct = [len(np.unique(column)) for column in columns]
    first = int(np.argmax(distinct))
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


@dataclass(frozen=True)
class Slicing:
    """A view of a flat array without a copy: slice, reshape, slice each axis, then order the axes.

    Attributes:
        start, stop, step: the slice of the flat array.
        sizes: the shape it then takes; empty where it stays flat.
        parts: for each of those axes (first, last + 1), or a single index, which drops the axis.
        axes: the order of the axes that are left.
        shape: the shape in the end, with axes of size 1 put in.
    """

    start: int
    stop: int
    step: int
    sizes: tuple[int, ...]
    parts: tuple[tuple[int, int] | int, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]


def slicing(size: int, base: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Slicing | None:
    """How to view base + Σ stride·index of an array of ``size`` elements; None where that takes a copy."""
    axes = [axis for axis, n in enumerate(shape) if n > 1]
    if any(strides[axis] <= 0 for axis in axes):
        return None
    nested = sorted(axes, key=lambda axis: -strides[axis])
    counts = [shape[axis] for axis in nested]
    steps = [strides[axis] for axis in nested]
    order = tuple([nested.index(axis) for axis in axes])
    if len(nested) <= 1:
        count, step = (counts[0], steps[0]) if nested else (1, 1)
        return Slicing(base, base + (count - 1) * step + 1, step, (), (), order, shape)
    if any(steps[i] % steps[i + 1] or counts[i + 1] * steps[i + 1] > steps[i] for i in range(len(steps) - 1)):
        return None
    block = counts[0] * steps[0]
    for start in (base - base % steps[0], base, size - block):
        if not 0 <= start <= base or start + block > size:
            continue
        sizes, parts = [counts[0]], [(0, counts[0])]
        offset = base - start
        fits = offset < steps[0]
        for i in range(1, len(steps)):
            sizes.append(steps[i - 1] // steps[i])
            first, offset = divmod(offset, steps[i])
            parts.append((first, first + counts[i]))
            fits = fits and first + counts[i] <= sizes[-1]
        if fits:
            if steps[-1] > 1:
                return Slicing(start, start + block, 1, (*sizes, steps[-1]), (*parts, offset), order, shape)
            return Slicing(start, start + block, 1, tuple(sizes), tuple(parts), order, shape)
    return None

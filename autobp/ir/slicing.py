"""Views of flat arrays: slices and reshapes that pick elements whose positions are affine in the axes."""

from __future__ import annotations

from dataclasses import dataclass


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

"""Views of flat arrays: slices and reshapes that pick elements whose positions are affine in the axes."""

from __future__ import annotations

from collections.abc import Iterator
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
        within: of the last axis, where it is sliced and reshaped once more, how; ``parts`` are then those of
            the axes before it.
    """

    start: int
    stop: int
    step: int
    sizes: tuple[int, ...]
    parts: tuple[tuple[int, int] | int, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    within: Slicing | None = None

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """The parts that are stretches of an axis."""
        return [part for part in self.parts if not isinstance(part, int)]


def row_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array whose elements lie row by row."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


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
        stop = base + (count - 1) * step + 1
        return Slicing(base, stop, step, (), (), order, shape) if stop <= size else None
    for k in (len(steps), *range(len(steps) - 1, 0, -1)):  # axes that one shape has room for
        for start, sizes, firsts, offset in _shapes(size, base, counts[:k], steps[:k]):
            parts = tuple([(first, first + n) for first, n in zip(firsts, counts, strict=False)])
            flat, last = (start, start + counts[0] * steps[0], 1), steps[k - 1]
            if k < len(steps):
                within = slicing(last, offset, tuple(counts[k:]), tuple(steps[k:]))
                if within is not None:
                    return Slicing(*flat, (*sizes, last), parts, order, shape, within)
            elif last > 1:
                return Slicing(*flat, (*sizes, last), (*parts, offset), order, shape)
            else:
                return Slicing(*flat, sizes, parts, order, shape)
    return None


def _shapes(
    size: int, base: int, counts: list[int], steps: list[int]
) -> Iterator[tuple[int, tuple[int, ...], tuple[int, ...], int]]:
    """Shapes whose axes have these steps: where one starts, its sizes, the first of each, what is left."""
    if any(steps[i] % steps[i + 1] or counts[i + 1] * steps[i + 1] > steps[i] for i in range(len(steps) - 1)):
        return
    block = counts[0] * steps[0]
    for start in (base - base % steps[0], base, size - block):
        if not 0 <= start <= base or start + block > size:
            continue
        sizes, firsts, offset = [counts[0]], [0], base - start
        fits = offset < steps[0]
        for i in range(1, len(steps)):
            sizes.append(steps[i - 1] // steps[i])
            first, offset = divmod(offset, steps[i])
            firsts.append(first)
            fits = fits and first + counts[i] <= sizes[-1]
        if fits:
            yield start, tuple(sizes), tuple(firsts), offset

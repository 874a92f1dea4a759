"""Tangents: the derivatives of arrays in one direction, or in several of which most are 0.

In several directions they lie one after the other on a leading axis. A tangent has only those in which it may
be other than 0, so that what one layer's parameters do not reach is not computed for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autobp import ir
from autobp.compiler.adjoint import Adjoint, assemble, full
from autobp.compiler.derivatives.formulas import NoDerivative
from autobp.ir.slicing import row_strides, slicing


@dataclass(frozen=True)
class Tangent:
    """The derivative of an array of the shape S.

    Attributes:
        array: in one direction of the shape S, in several (directions, *S); axes of S may have the size 1,
            and samples may be missing, where it is the same along them.
        directions: which ones, rising; None for a single direction, without an axis.
    """

    array: ir.Array
    directions: tuple[int, ...] | None

    @property
    def lead(self) -> tuple[int, ...]:
        """The sizes before the shape of the array itself."""
        return () if self.directions is None else (len(self.directions),)


#: What stands for an array's tangent: the error where there is no rule for it.
Known = Tangent | NoDerivative


def filled(tangent: Tangent, like: ir.Array, samples: bool) -> ir.Array:
    """The tangent with all axes of ``like`` at their size, and samples where they are wanted."""
    shape = (*tangent.lead, *like.shape)
    array = ranked(tangent, len(like.shape))
    if array.shape == shape and array.batched >= samples:
        return array
    return ir.Fill(array, shape, samples or array.batched)


def ranked(tangent: Tangent, rank: int) -> ir.Array:
    """The tangent with ``rank`` axes after that of the directions."""
    n, array = len(tangent.lead), tangent.array
    missing = rank - (len(array.shape) - n)
    if missing <= 0:
        return array
    return reshaped(array, (*array.shape[:n], *[1] * missing, *array.shape[n:]))


def spread_over(tangent: Tangent, directions: tuple[int, ...], like: ir.Array) -> ir.Array:
    """The tangent among more directions, with 0 in those that it has not."""
    if tangent.directions == directions or tangent.directions is None:
        return tangent.array
    place, whole = among(None, tangent, directions, like), (len(directions), *like.shape)
    return assemble([(place, _adjoint(tangent, like))], ir.Absent(whole, False))


def only(tangent: Tangent, directions: tuple[int, ...]) -> Tangent:
    """The tangent in some of its directions."""
    assert tangent.directions is not None
    array, rest = tangent.array, tangent.array.shape[1:]
    at = np.searchsorted(tangent.directions, directions).astype(np.int64)
    size = math.prod(rest)
    if (np.diff(at) == 1).all():
        place = view(array, int(at[0]) * size, (len(at), *rest), row_strides(array.shape))
    else:
        positions = np.arange(size, dtype=np.int64).reshape(rest)
        place = ir.Gather(array, at.reshape(-1, *[1] * len(rest)) * size + positions)
    return Tangent(picked(array, place), directions)


def added(tangents: Sequence[Tangent], like: ir.Array) -> Tangent:
    """The sum of tangents of one array."""
    merged: list[Tangent] = []
    for tangent in tangents:  # those in the same directions first
        for i, other in enumerate(merged):
            if other.directions == tangent.directions:
                merged[i] = Tangent(_sum([other, tangent], like), tangent.directions)
                break
        else:
            merged.append(tangent)
    if len(merged) == 1:
        return merged[0]
    union = tuple(sorted({i for tangent in merged for i in tangent.directions or ()}))
    pieces = [(among(None, tangent, union, like), _adjoint(tangent, like)) for tangent in merged]
    return Tangent(assemble(pieces, ir.Absent((len(union), *like.shape), False)), union)


def _sum(tangents: Sequence[Tangent], like: ir.Array) -> ir.Array:
    arrays = [ranked(x, len(like.shape)) for x in tangents]
    shape = np.broadcast_shapes(*[x.shape for x in arrays])
    return ir.Sum(tuple(arrays), shape, (1.0,) * len(arrays))


def _adjoint(tangent: Tangent, like: ir.Array) -> Adjoint:
    shape = (*tangent.lead, *like.shape)
    return Adjoint(array=full(tangent.array, ir.Absent(shape, tangent.array.batched)))


def among(
    place: ir.Place | None, tangent: Tangent, directions: tuple[int, ...], like: ir.Array
) -> ir.Place | None:
    """Where the tangent of what lies at a place of an array is, in that array's tangent in more directions.

    Args:
        place: None for all of the array.
        like: the array.
    """
    assert tangent.directions is not None
    if place is None and tangent.directions == directions:
        return None
    at = np.searchsorted(directions, tangent.directions).astype(np.int64)
    whole = ir.Absent((len(directions), *like.shape), tangent.array.batched)
    steps = np.diff(at)
    if not isinstance(place, ir.Gather) and (len(at) == 1 or (steps == steps[0]).all()):
        base, shape, strides = 0, like.shape, row_strides(like.shape)
        if place is not None:
            base, shape, strides = place.base, place.shape, place.strides
        step = int(steps[0]) if len(at) > 1 else 1
        base += int(at[0]) * like.size
        return view(whole, base, (len(at), *shape), (step * like.size, *strides))
    inner = np.arange(like.size, dtype=np.int64).reshape(like.shape) if place is None else place.indices()
    return ir.Gather(whole, at.reshape(-1, *[1] * inner.ndim) * like.size + inner)


# --------------------------------------------------------------------- arrangements, carried out on constants


def view(source: ir.Array, base: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> ir.Place:
    """The elements at base + Σ stride·index, without a copy where slices can pick them."""
    made = ir.View(source, base, shape, strides)
    if slicing(source.size, base, shape, strides) is not None:
        return made
    return ir.Gather(source, made.indices())


def reshaped(array: ir.Array, shape: tuple[int, ...]) -> ir.Array:
    """The elements under another shape."""
    if array.shape == shape:
        return array
    if isinstance(array, ir.Constant):
        return ir.Constant(array.values.reshape(shape))
    return ir.Reshape(array, shape)


def picked(array: ir.Array, place: ir.Place) -> ir.Array:
    """What a place picks, whose source is ``array``; of a constant, the numbers."""
    if isinstance(array, ir.Constant):
        return ir.Constant(array.values.reshape(-1)[place.indices()])
    return place


def turned(array: ir.Array, axes: tuple[int, ...]) -> ir.Array:
    """The array with its axes in another order."""
    strides = row_strides(array.shape)
    shape = tuple([array.shape[axis] for axis in axes])
    return picked(array, view(array, 0, shape, tuple([strides[axis] for axis in axes])))


def without_zeros(tangent: Tangent) -> Tangent | None:
    """The tangent without directions in which it is a constant 0; None where nothing is left."""
    if tangent.directions is None or not isinstance(tangent.array, ir.Constant):
        return tangent
    values = tangent.array.values
    kept = np.flatnonzero(values.reshape(len(values), -1).any(1))
    if not len(kept):
        return None
    if len(kept) == len(values):
        return tangent
    return Tangent(ir.Constant(values[kept]), tuple([tangent.directions[i] for i in kept.tolist()]))

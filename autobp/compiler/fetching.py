"""What nodes have become so far: arrays by number, and what is picked from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autobp.compiler.layout import affine, drop_repeated_axes
from autobp.ir import Absent, Array, Assemble, Constant, Fill, Floats, Gather, Indices, Reshape, Spread, View
from autobp.ir.slicing import slicing

#: The number of constants, which are in no array until they are fetched.
CONSTANT = -1


class Fetching:
    """Arrays by number, and what is picked from them.

    Attributes:
        arrays: those so far.
        fetched: what was picked from the arrays, so that nothing is picked twice.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays: list[Array] = list(arrays)
        self.fetched: dict[Any, Array] = {}
        self._values: Floats = np.zeros(0)  # of the constants

    def add(self, array: Array) -> int:
        """The number of a new array."""
        self.arrays.append(array)
        return len(self.arrays) - 1

    def fetch(self, colour: int, indices: Indices, full: bool = False) -> Array:
        """The elements at ``indices`` of the array of a colour, axes along which they do not change as 1.

        With ``full`` they have the shape of ``indices`` itself.
        """
        if full:
            found = self.fetch(colour, indices)
            return found if found.shape == indices.shape else Fill(found, indices.shape, found.batched)
        if colour == CONSTANT:
            indices = drop_repeated_axes(indices)
            return Constant(np.where(indices < 0, 0.0, self._values[indices]))
        if indices.min() < 0:
            there = np.flatnonzero(indices.reshape(-1) >= 0)
            return Spread(self.fetch(colour, indices.reshape(-1)[there], True), there, indices.shape)
        return self.picked(colour, indices)

    def picked(self, colour: int, indices: Indices) -> Array:
        """The elements at ``indices``, all of them there, of the array of a colour that has one."""
        source = self.arrays[colour]
        if indices.size == source.size and np.array_equal(
            indices.reshape(-1), np.arange(source.size, dtype=np.int64)
        ):
            return self._reshaped(source, indices.shape)
        indices = drop_repeated_axes(indices)
        if indices.size == source.size == 1:
            return self._reshaped(source, indices.shape)
        found_affine = affine(indices)
        if found_affine is not None:
            base, strides = found_affine
            key: Any = (colour, base, indices.shape, strides)
            if key not in self.fetched:
                if slicing(source.size, base, indices.shape, strides) is not None:
                    self.fetched[key] = View(source, base, indices.shape, strides)
                else:
                    self.fetched[key] = Gather(source, indices)
            return self.fetched[key]
        key = (colour, indices.shape, indices.tobytes())
        if key not in self.fetched:
            self.fetched[key] = Gather(source, indices)
        return self.fetched[key]

    def _reshaped(self, source: Array, shape: tuple[int, ...]) -> Array:
        if source.shape == shape:
            return source
        key = (id(source), shape)
        if key not in self.fetched:
            self.fetched[key] = Reshape(source, shape)
        return self.fetched[key]


def side_by_side(arrays: Sequence[Array]) -> Array:
    """Arrays of one axis one after another, with samples where one of them has any."""
    if len(arrays) == 1:
        return arrays[0]
    size, batched = sum(x.size for x in arrays), any(x.batched for x in arrays)
    whole = Absent((size,), batched)
    starts = np.cumsum([0, *[x.size for x in arrays]]).tolist()
    places = [View(whole, start, (x.size,), (1,)) for start, x in zip(starts, arrays, strict=False)]
    return Assemble(tuple(arrays), tuple(places), (False,) * len(arrays), False, (size,), batched)

"""Samples in blocks of rows, which are Dask arrays: they are looked at, and trained on, where they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autobp.arguments import numbers
from autobp.compiler.blocks import check_rows_are_known, rows_together
from autobp.costs import TEXT_TARGETS
from autobp.engine import Value
from autobp.nn import MLP
from autobp.training.samples import (
    Array,
    check_as_many,
    check_input_shape,
    check_target_numbers,
    check_target_shape,
)


class BlockSamples:
    """Samples as Dask arrays, X and Y in the same blocks of rows, and what their numbers were found to be.

    A batch is of whole blocks: what a step moves are then gradients, and never samples.
    """

    def __init__(self, X: Any, Y: Any, ranges: Sequence[tuple[float, float]]) -> None:
        self.X, self.Y = X, Y
        self._ranges = list(ranges)

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def _blocks_each(self, size: int) -> int:
        """How many blocks have so many samples on average; all of them, where these are all samples."""
        return -(-size * int(self.X.numblocks[0]) // len(self))

    def n_batches(self, size: int) -> int:
        """The batches of an epoch."""
        return -(-int(self.X.numblocks[0]) // self._blocks_each(size))

    def batches(self, size: int, rng: random.Random) -> Iterator[tuple[int, Any, Any]]:
        """An epoch's batches, drawn anew: the number of samples, and X and Y of these, as Dask arrays."""
        order, each = list(range(self.X.numblocks[0])), self._blocks_each(size)
        rng.shuffle(order)
        for start in range(0, len(order), each):
            blocks = sorted(order[start : start + each])
            X, Y = self.X.blocks[blocks], self.Y.blocks[blocks]
            yield int(X.shape[0]), X, Y

    def spread(self, n: int) -> tuple[Array, Array]:
        """About n of the samples, at equal distances from one another, in memory."""
        import dask

        every = slice(None, None, -(-len(self) // n))
        X, Y = dask.compute(self.X[every], self.Y[every])
        return np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)

    def ranges(self) -> list[tuple[float, float]]:
        """The least and the largest number of the inputs, and those of the targets."""
        return self._ranges


def block_samples(what: str, X: Any, Y: Any, net: MLP, cost: Callable[[Any, Any], Value]) -> BlockSamples:
    """Samples of which at least one is a Dask array, for this network and cost; ``what`` is for messages.

    Every block is looked at once, where it is. Raises as for samples in memory, and ValueError where the
    rows are not counted.
    """
    import dask

    check_rows_are_known([f"{what}X", f"{what}Y"], [X, Y])
    check_input_shape(what, tuple(np.shape(X)), net)
    shape = tuple(np.shape(Y))
    check_as_many(what, len(X), shape)
    check_target_shape(what, cost, shape, net)
    X, Y = rows_together([X, Y], [f"{what}X", f"{what}Y"])
    network = dask.delayed(net, pure=False, traverse=False)
    look = dask.delayed(_looked_at, pure=False)
    parts = zip(X.to_delayed().ravel(), Y.to_delayed().ravel(), strict=True)
    found = dask.compute(*[look(what, network, cost, x, y) for x, y in parts])
    first = 0
    for of_block, m in zip(found, X.chunks[0], strict=True):
        if isinstance(of_block, Exception):
            raise type(of_block)(f"in the block of {m} samples that begins with row {first}: {of_block}")
        first += m
    lows, highs = np.array(found).transpose(2, 1, 0)
    return BlockSamples(X, Y, list(zip(map(min, lows.tolist()), map(max, highs.tolist()), strict=True)))


def _looked_at(
    what: str, net: MLP, cost: Callable[[Any, Any], Value], x: Any, y: Any
) -> list[tuple[float, float]] | Exception:
    """The least and the largest number of a block's inputs and targets, or what is wrong with them."""
    try:
        inputs, targets = numbers(f"{what}X", x), numbers(f"{what}Y", y, TEXT_TARGETS)
        check_target_numbers(what, cost, targets, net)
    except (IndexError, TypeError, ValueError) as error:
        return error
    return [(float(array.min()), float(array.max())) for array in (inputs, targets)]

"""Samples, read with messages that help: inputs and targets that fit the network, and targets the cost.

:class:`Samples` gives them in batches; those that are Dask arrays are in :mod:`autobp.training.blocks`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.arguments import numbers
from autobp.costs import TEXT_TARGETS, Cost, binary_cross_entropy_with_logits
from autobp.engine import Value
from autobp.nn import MLP

Array = NDArray[np.float64]
#: So many targets are looked at together, as Python's numbers.
_AT_ONCE = 1 << 16


class Samples:
    """Samples in memory, or in a file that is mapped into it: X, (m, n), and Y, (m, K) or (m,)."""

    def __init__(self, X: Array, Y: Array) -> None:
        self.X, self.Y = X, Y

    def __len__(self) -> int:
        return len(self.X)

    def n_batches(self, size: int) -> int:
        """The batches of an epoch."""
        return -(-len(self) // size)

    def batches(self, size: int, rng: random.Random) -> Iterator[tuple[int, Array, Array]]:
        """An epoch's batches, drawn anew: the number of samples, and X and Y of these."""
        order = list(range(len(self)))
        rng.shuffle(order)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield len(rows), self.X[rows], self.Y[rows]

    def spread(self, n: int) -> tuple[Array, Array]:
        """About n of the samples, at equal distances from one another."""
        every = slice(None, None, -(-len(self) // n))
        return self.X[every], self.Y[every]

    def ranges(self) -> list[tuple[float, float]]:
        """The least and the largest number of the inputs, and those of the targets."""
        return [(float(array.min()), float(array.max())) for array in (self.X, self.Y)]


def inputs_of(what: str, X: ArrayLike, net: MLP) -> Array:
    """X as an array (m, n) for this network; ``what`` says in messages of which samples, "validation "."""
    inputs = numbers(f"{what}X", X)
    check_input_shape(what, inputs.shape, net)
    return inputs


def check_input_shape(what: str, shape: tuple[int, ...], net: MLP) -> None:
    """ValueError where X of this shape is none for this network."""
    n = net.layers[0].nin
    if len(shape) != 2 or shape[1] != n or not shape[0]:
        hint = ""
        if len(shape) == 1 and n == 1:
            hint = "; for one input each, X.reshape(-1, 1)"
        elif shape == (n,):
            hint = "; for one sample, [X]"
        elif len(shape) == 2 and shape[0] == n:
            hint = "; for a sample in each column, X.T"
        raise ValueError(f"{what}X must have the shape (m, {n}), a sample in each row; got {shape}{hint}")


def samples_of(what: str, X: ArrayLike, Y: ArrayLike, net: MLP) -> tuple[Array, Array]:
    """X and Y as arrays, (m, n) and (m, K) or (m,), for this network; likewise."""
    inputs = inputs_of(what, X, net)
    targets = numbers(f"{what}Y", Y, TEXT_TARGETS)
    check_as_many(what, len(inputs), targets.shape)
    return inputs, targets


def check_as_many(what: str, m: int, shape: tuple[int, ...]) -> None:
    """ValueError where Y of this shape has no row for each of m samples."""
    if len(shape) not in (1, 2) or shape[0] != m:
        raise ValueError(f"{what}Y must have a row for each of the {m} samples; got {shape}")


def target_of(y: Any) -> Any:
    """One sample's target as the costs take it: a list, or a number."""
    return y.tolist() if isinstance(y, np.ndarray) else float(y)


def check_targets(what: str, cost: Callable[[Any, Any], Value], Y: Array, net: MLP) -> None:
    """ValueError or IndexError where targets are none that the cost takes: compiled, it cannot tell itself.

    Of a function nothing is known.
    """
    check_target_shape(what, cost, Y.shape, net)
    check_target_numbers(what, cost, Y, net)


def check_target_shape(
    what: str, cost: Callable[[Any, Any], Value], shape: tuple[int, ...], net: MLP
) -> None:
    """The same of the shape of Y alone, whose rows are as many as the samples."""
    k = net.sizes[-1]
    if not isinstance(cost, Cost):
        return
    if cost.together is not None and k == 1:
        raise ValueError(
            f"{cost.name} needs an output for each class, two or more; for one output there is "
            f"{binary_cross_entropy_with_logits.name}"
        )
    if _are_class_numbers(cost, shape, k) or shape == (shape[0], k) or (k == 1 and len(shape) == 1):
        return
    hint = ""
    if k > 1 and shape[1:] in ((), (1,)):
        class_numbers = "they have the shape (m,)" if len(shape) == 2 else f"take np.eye({k})[Y]"
        hint = f"; if these are class numbers, {class_numbers}"
    raise ValueError(
        f"{what}Y must have the shape {(shape[0], k)}, a column for each output; got {shape}{hint}"
    )


def check_target_numbers(what: str, cost: Callable[[Any, Any], Value], Y: Array, net: MLP) -> None:
    """The same of the numbers in Y, whose shape is right."""
    k = net.sizes[-1]
    if not isinstance(cost, Cost):
        return
    if _are_class_numbers(cost, Y.shape, k):
        right = np.isin(Y, np.arange(k))
        if not right.all():
            i = int(np.argmin(right))
            raise IndexError(f"{what}Y[{i}] is {Y[i]:g}, but {k} outputs are the classes 0 to {k - 1}")
        return
    for start in range(0, len(Y), _AT_ONCE):
        cost.check_targets(Y[start : start + _AT_ONCE].tolist())


def _are_class_numbers(cost: Cost, shape: tuple[int, ...], k: int) -> bool:
    return cost.of_class is not None and len(shape) == 1 and k > 1

"""Samples, read with messages that help: inputs and targets that fit the network, and targets the cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.arguments import numbers
from autobp.costs import TEXT_TARGETS, Cost, binary_cross_entropy_with_logits
from autobp.engine import Value
from autobp.nn import MLP

Array = NDArray[np.float64]


def inputs_of(what: str, X: ArrayLike, net: MLP) -> Array:
    """X as an array (m, n) for this network; ``what`` says in messages of which samples, "validation "."""
    inputs = numbers(f"{what}X", X)
    n = net.layers[0].nin
    if inputs.ndim != 2 or inputs.shape[1] != n or not len(inputs):
        hint = ""
        if inputs.ndim == 1 and n == 1:
            hint = "; for one input each, X.reshape(-1, 1)"
        elif inputs.shape == (n,):
            hint = "; for one sample, [X]"
        elif inputs.ndim == 2 and inputs.shape[0] == n:
            hint = "; for a sample in each column, X.T"
        raise ValueError(
            f"{what}X must have the shape (m, {n}), a sample in each row; got {inputs.shape}{hint}"
        )
    return inputs


def samples_of(what: str, X: ArrayLike, Y: ArrayLike, net: MLP) -> tuple[Array, Array]:
    """X and Y as arrays, (m, n) and (m, K) or (m,), for this network; likewise."""
    inputs = inputs_of(what, X, net)
    targets = numbers(f"{what}Y", Y, TEXT_TARGETS)
    if len(targets.shape) not in (1, 2) or len(targets) != len(inputs):
        raise ValueError(
            f"{what}Y must have a row for each of the {len(inputs)} samples; got {targets.shape}"
        )
    return inputs, targets


def target_of(y: Any) -> Any:
    """One sample's target as the costs take it: a list, or a number."""
    return y.tolist() if isinstance(y, np.ndarray) else float(y)


def check_targets(what: str, cost: Callable[[Any, Any], Value], Y: Array, net: MLP) -> None:
    """ValueError or IndexError where targets are none that the cost takes: compiled, it cannot tell itself.

    Of a function nothing is known.
    """
    k = net.sizes[-1]
    if not isinstance(cost, Cost):
        return
    if cost.together is not None and k == 1:
        raise ValueError(
            f"{cost.name} needs an output for each class, two or more; for one output there is "
            f"{binary_cross_entropy_with_logits.name}"
        )
    if cost.of_class is not None and Y.ndim == 1 and k > 1:
        right = np.isin(Y, np.arange(k))
        if not right.all():
            i = int(np.argmin(right))
            raise IndexError(f"{what}Y[{i}] is {Y[i]:g}, but {k} outputs are the classes 0 to {k - 1}")
        return
    if Y.shape != (len(Y), k) and not (k == 1 and Y.ndim == 1):
        hint = ""
        if k > 1 and Y.size == len(Y):
            class_numbers = "they have the shape (m,)" if Y.ndim == 2 else f"take np.eye({k})[Y]"
            hint = f"; if these are class numbers, {class_numbers}"
        raise ValueError(
            f"{what}Y must have the shape {(len(Y), k)}, a column for each output; got {Y.shape}{hint}"
        )
    cost.check_targets(Y.tolist())

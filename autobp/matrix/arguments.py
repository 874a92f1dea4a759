"""What callers hand in, as arrays that fit one another; or an error that names the array and says why."""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.matrix.formulas import (
    ACTIVATIONS,
    COSTS,
    LINEAR,
    ON_LOGITS,
    Activation,
    Activations,
    Array,
    Biases,
    Cost,
    Layers,
    softmax_jacobian,
)  # fmt: skip


def real(name: str, array: NDArray[Any]) -> Array:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    if (bad := ~np.isfinite(array)).any():
        at = tuple(map(int, np.argwhere(bad)[0]))
        raise ValueError(f"{name} is {array[at]} at {at}: not a finite number, or no longer one")
    return array.astype(np.float64, copy=False)


def checked(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    if np.shape(value) != shape:
        raise ValueError(f"{name} has shape {np.shape(value)}, expected {shape}")
    return real(name, np.asarray(value))


def all_finite(**named: Sequence[ArrayLike]) -> None:
    for name, layers in named.items():
        for l, layer in enumerate(layers):
            real(f"{name}[{l}]", np.asarray(layer))


def numbers(name: str, value: ArrayLike, dimensions: int) -> Array:
    try:
        array = np.array(value)  # a copy: what a result carries must not change under it
    except ValueError as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    array = real(name, array)
    if array.ndim != dimensions or array.size == 0:
        hint = "; rows are samples, one sample is a row" if name in ("X", "Y") else ""
        raise ValueError(f"{name} has shape {array.shape}, expected {dimensions} dimensions, none 0{hint}")
    return array


def matrices(name: str, given: Sequence[ArrayLike], unit: int) -> Layers:
    """Weight matrices that fit one another; `unit` is 1 where each has a column 0 for the bias unit."""
    matrices = tuple(numbers(f"{name}[{l}]", w, 2) for l, w in enumerate(given))
    if not matrices:
        raise ValueError(f"{name} is empty: a network needs at least one weight matrix")
    if unit and matrices[0].shape[1] < 2:
        raise ValueError(f"{name}[0] has shape {matrices[0].shape}: it needs a column beside the bias's")
    for l, (before, w) in enumerate(pairwise(matrices), start=1):
        if w.shape[1] != len(before) + unit:
            why = f"{name}[{l - 1}] leads to {len(before)} neurons" + unit * ", and column 0 is for the bias"
            expected = (len(w), len(before) + unit)
            raise ValueError(f"{name}[{l}] has shape {w.shape}, expected {expected}: {why}")
    return matrices


def network(W: Sequence[ArrayLike], b: Biases) -> tuple[Layers, tuple[Array | None, ...]]:
    weights = matrices("W", W, unit=0)
    b = [None] * len(weights) if b is None else b
    if len(b) != len(weights):
        raise ValueError(f"b has {len(b)} entries for {len(weights)} matrices in W; None means no bias")
    biases = tuple(None if vector is None else numbers(f"b[{l}]", vector, 1) for l, vector in enumerate(b))
    for l, (bias, w) in enumerate(zip(biases, weights, strict=True)):
        if bias is not None and len(bias) != len(w):
            raise ValueError(f"b[{l}] has shape {bias.shape}, expected ({len(w)},) as W[{l}] is {w.shape}")
    return weights, biases


def inputs_of(X: ArrayLike, W: Sequence[Array]) -> Array:
    inputs = numbers("X", X, 2)
    if inputs.shape[1] != W[0].shape[1]:
        expected = f"(m, {W[0].shape[1]}), which the first layer of shape {W[0].shape} takes"
        raise ValueError(f"X has shape {inputs.shape}, expected {expected}")
    return inputs


def activations_of(given: Activations, depth: int) -> tuple[Activation, ...]:
    """σ of every layer, by layer index: the input's is the identity (Brawer's (3))."""
    each: Any = [given] * depth if isinstance(given, str) or _is_pair(given) else given
    if not isinstance(each, Sequence):
        raise TypeError(f"activations is {given!r}, expected a name, a tuple (σ, σ'), or a sequence of these")
    if len(each) != depth:
        raise ValueError(f"activations has {len(each)} entries for {depth} layers")
    sigma = [LINEAR]
    for l, one in enumerate(each):
        if not isinstance(one, str) and not _is_pair(one):
            raise TypeError(f"activations[{l}] is {one!r}, expected a name or a tuple (σ, σ') of functions")
        if isinstance(one, str) and one not in ACTIVATIONS:
            raise ValueError(f"activations[{l}] is {one!r}; known {', '.join(ACTIVATIONS)} or (σ, σ')")
        sigma.append(ACTIVATIONS[one] if isinstance(one, str) else one)
        if sigma[-1][1] is softmax_jacobian and l < depth - 1:
            raise ValueError(f"activations[{l}] is softmax, which only the output layer may have")
    return tuple(sigma)


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and all(map(callable, given))


def targets_of(Y: ArrayLike, shape: tuple[int, int], cost: str | Cost, output: Activation) -> Array:
    """Y as an array of that shape, of numbers that the cost takes."""
    if isinstance(cost, str) and cost not in COSTS:
        raise ValueError(f"cost is {cost!r}; known: {', '.join(COSTS)}, or a tuple of functions (C, ∂C/∂a)")
    if not (isinstance(cost, str) or _is_pair(cost)):
        raise TypeError(f"cost is {cost!r}, expected a name or a tuple of functions (C, ∂C/∂a)")
    if cost in ON_LOGITS and output != LINEAR:
        raise ValueError(f"{cost} takes logits: the last activation must be linear, for the cost has its own")
    y = numbers("Y", Y, 2)
    if y.shape != shape:
        raise ValueError(f"Y has shape {y.shape}, expected {shape}: a row a sample, a column an output")
    if isinstance(cost, str) and cost in _TARGETS:
        _TARGETS[cost](cost, y)
    return y


def _probabilities(cost: str, y: Array) -> None:
    if ((y < 0) | (y > 1)).any():
        raise ValueError(f"Y goes from {y.min()} to {y.max()}, but {cost} needs targets in 0..1")


def _distributions(cost: str, y: Array) -> None:
    _probabilities(cost, y)
    if (off := np.abs(y.sum(axis=1) - 1) > 1e-9).any():
        x = int(np.argmax(off))
        raise ValueError(f"Y[{x}] adds up to {y[x].sum()}, but {cost} needs rows that add up to 1")


def _signs(cost: str, y: Array) -> None:
    if (np.abs(y) != 1).any():
        raise ValueError(f"Y has {y[np.abs(y) != 1][0]}, but {cost} needs targets 1 or -1")


#: What raises ValueError where targets are none that the cost takes; one that is not here takes any number.
_TARGETS: dict[str, Callable[[str, Array], None]] = {
    "binary_cross_entropy": _probabilities,
    "binary_cross_entropy_with_logits": _probabilities,
    "softmax_cross_entropy": _distributions,
    "hinge": _signs,
}


def penalty_factor(l2: float) -> float:
    if not isinstance(l2, Real):
        raise TypeError(f"l2 is {l2!r}, expected a number")
    if not (math.isfinite(l2) and l2 >= 0):
        raise ValueError(f"l2 is {l2}, expected a finite number ≥ 0")
    return float(l2)

"""BP1–BP4 in NumPy as a good textbook would write them: the mark for compiled programs.

Samples are rows. Hidden layers and the output are sigmoids under the quadratic or cross-entropy cost, or tanh
and a linear output under the quadratic cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def sigmoid(z: Array) -> Array:
    """1 / (1 + e**-z)."""
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(a: Array) -> Array:
    """σ'(z), from a = σ(z)."""
    return a * (1.0 - a)


def tanh_prime(a: Array) -> Array:
    """tanh'(z), from a = tanh(z)."""
    return 1.0 - a**2


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sigmoid": (sigmoid, sigmoid_prime),
    "tanh": (np.tanh, tanh_prime),
    "relu": (lambda z: np.maximum(z, 0.0), lambda a: (a > 0.0).astype(float)),
}


def backprop(
    W: list[Array], b: list[Array], x: Array, y: Array, activation: str, cost: str
) -> tuple[float, list[Array], list[Array]]:
    """The mean cost over the rows, and its gradients by W and b.

    ``cost`` is "quadratic" (the output has the activation too) or "cross-entropy" (a sigmoid output).
    """
    m = len(x)
    f, f_prime = ACTIVATIONS[activation]
    activations = [x]
    for i, (W_l, b_l) in enumerate(zip(W, b, strict=True)):
        z = activations[-1] @ W_l.T + b_l
        last = i == len(W) - 1
        activations.append(sigmoid(z) if last and cost == "cross-entropy" else f(z))
    a = activations[-1]
    if cost == "quadratic":
        value = 0.5 * np.sum((a - y) ** 2) / m
        delta = (a - y) * f_prime(a) / m
    else:
        value = -np.sum(y * np.log(a) + (1.0 - y) * np.log(1.0 - a)) / m
        delta = (a - y) / m
    dW, db = [], []
    for i in range(len(W) - 1, -1, -1):
        dW.append(delta.T @ activations[i])
        db.append(delta.sum(axis=0))
        if i:
            delta = (delta @ W[i]) * f_prime(activations[i])
    return float(value), dW[::-1], db[::-1]

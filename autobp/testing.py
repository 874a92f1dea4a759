"""For tests of one's own: assert that a backprop is right, or be told which equation is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp import costs
from autobp.check import compare
from autobp.nn import MLP

__all__ = ["assert_backprop"]

#: (sizes, activations, cost, whether with biases, λ): what a right function has to get right.
_NETWORKS: Sequence[tuple[tuple[int, ...], tuple[str, ...], str, bool, float]] = (
    ((4, 3), ("sigmoid",), costs.quadratic.name, True, 0.0),
    ((4, 3, 3), ("tanh", "sigmoid"), costs.quadratic.name, True, 0.5),
    ((3, 4, 4, 2), ("tanh", "sigmoid", "sigmoid"), costs.quadratic.name, True, 0.3),
)


def assert_backprop(
    function: Callable[..., Any],
    *,
    activations: Sequence[str] | None = None,
    cost: str | None = None,
    samples: int = 5,
    seed: int = 0,
) -> None:
    """AssertionError, with the first wrong equation and its likely cause, unless a function is right.

    Args:
        function: called as ``function(W, b, X, Y, activations=…, cost=…, l2=…)``; it returns (dW, db), or a
            dict or an object with dW and db and perhaps delta, as for :func:`autobp.check.compare`.
        activations: of hidden and output layers, where the function knows these two alone.
        cost: the cost, where it knows this one alone.
        samples: m, at least 1. seed: from 0, of the networks' and samples' numbers.
    """
    for sizes, names, of, bias, l2 in _NETWORKS:
        if activations is not None:
            hidden, output = activations[0], activations[-1]
            names = (*[hidden] * (len(sizes) - 2), output)
        net = MLP(sizes[0], list(sizes[1:]), list(names), bias=bias, seed=seed)
        rng = np.random.default_rng(seed)
        net.b = [rng.uniform(0.1, 0.6, size=n).tolist() for n in sizes[1:]]
        X = rng.normal(size=(samples, sizes[0]))
        Y = np.eye(sizes[-1])[rng.integers(sizes[-1], size=samples)]
        report = compare(net, X, Y, cost=cost or of, l2=l2, against=function)
        if not report.ok:
            raise AssertionError(f"\n{report}")

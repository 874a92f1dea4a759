"""A network's mean cost and gradient as functions of arrays: by a matrix program, or by the graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autobp import costs
from autobp.engine import Value, ieee
from autobp.functions import mean
from autobp.nn import MLP
from autobp.training.samples import target_of

if TYPE_CHECKING:
    from autobp.compiler.machine_code import Backend

Array = NDArray[np.float64]
#: (parameters, X, Y) -> the cost, and its gradient by the parameters
CostAndGradient = Callable[[Array, Array, Array], tuple[float, Array]]


def step_of(
    net: MLP, cost_of: Callable[[Any, Any], Value], l2: float, m: int, backend: Backend | None, calls: int
) -> CostAndGradient:
    """Cost and gradient, with a penalty shared out among m samples; without a backend, in Values."""
    if backend is None:
        return eager_step(net, cost_of, l2, m)
    return compiled_step(net, cost_of, l2, m, backend, calls)


def compiled_step(
    net: MLP, cost_of: Callable[[Any, Any], Value], l2: float, m: int, backend: Backend, calls: int
) -> CostAndGradient:
    """Cost and gradient by the matrix program of one sample's graph, which is to be called so often."""
    from autobp.compiler import compile

    def loss(x: Sequence[Value], y: Any) -> Value:
        cost = cost_of(net.trace(x).output, y)
        return cost + costs.l2(net, l2, m) if l2 else cost

    step: CostAndGradient = compile(loss, net.parameters(), backend=backend, calls=calls)
    return step


def compiled_cost(net: MLP, cost_of: Callable[[Any, Any], Value]) -> Callable[[Array, Array], float]:
    """The mean cost of samples (X, Y) by the matrix program of one sample's graph."""
    from autobp.compiler import compile

    step = compile(lambda x, y: cost_of(net.trace(x).output, y), net.parameters(), backend="numpy")
    return lambda X, Y: float(step.value(step.theta, X, Y))


def eager_step(net: MLP, cost_of: Callable[[Any, Any], Value], l2: float, m: int) -> CostAndGradient:
    """Cost and gradient by the graph of each sample, walked back in Values."""
    parameters = net.parameters()

    def step(theta: Array, X: Array, Y: Array) -> tuple[float, Array]:
        write(theta, parameters)
        net.zero_grad()
        with ieee():  # fit tells what is not finite, and when
            loss = mean([cost_of(net.trace(x).output, target_of(y)) for x, y in zip(X, Y, strict=True)])
            if l2:
                loss = loss + costs.l2(net, l2, m)
        loss.backward()
        return loss.data, np.array([parameter.grad for parameter in parameters])

    return step


def write(theta: Array, parameters: list[Value]) -> None:
    """Set the parameters' data."""
    for parameter, number in zip(parameters, theta, strict=True):
        parameter.data = float(number)

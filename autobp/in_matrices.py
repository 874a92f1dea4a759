"""A network's activations and its cost as :mod:`autobp.matrix` takes them, and what to tell of that.

The matrix formulas know some activations and costs by name, and share nothing of these with the graph. What
they do not know is handed to them as functions of arrays, made of the rule or the graph of the scalars: then
they are no independent witness of it, and whoever reports says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp import costs, matrix
from autobp.engine import Value
from autobp.nn import MLP, Activation
from autobp.ops import lookup
from autobp.registry import Operation, evaluate, partials_at

Array = NDArray[np.float64]
OfOutputs = Callable[[Any, Any], Value]
OfArrays = Callable[[Array], Array]


def names_of(activations: Sequence[Activation]) -> list[str]:
    """The activations, each of which must have a name: ValueError where one is a function without."""
    names = [activation for activation in activations if isinstance(activation, str)]
    if len(names) < len(activations):
        function = next(activation for activation in activations if not isinstance(activation, str))
        raise ValueError(
            f"{function!r} is a function; the matrix formulas know activations by name: "
            "autobp.operation(name, value, partials) gives it one"
        )
    return names


def activations_in_matrices(names: Sequence[str]) -> tuple[list[str | tuple[OfArrays, OfArrays]], str]:
    """The activations as :func:`autobp.matrix.backprop` takes them, and what to tell of that."""
    others = [name for name in dict.fromkeys(names) if name not in matrix.ACTIVATIONS]
    rules = {name: _by_rule(lookup(name)) for name in others}
    if not others:
        return list(names), ""
    told = f", σ and σ' of {' and '.join(others)} by the graph's own rule (no independent witness)"
    return [rules.get(name, name) for name in names], told


def _by_rule(op: Operation) -> tuple[OfArrays, OfArrays]:
    """σ and σ' of an operation of one operand, by its rule on NumPy's numbers, one by one as in the graph."""

    def sigma(z: Array) -> Array:
        return np.array([evaluate(op, z_j, *op.defaults) for z_j in z.flat]).reshape(z.shape)

    def sigma_prime(z: Array) -> Array:
        of_each = [partials_at(op, evaluate(op, z_j, *op.defaults), z_j, *op.defaults)[0] for z_j in z.flat]
        return np.array(of_each).reshape(z.shape)

    return sigma, sigma_prime


def cost_in_matrices(
    cost: str | OfOutputs, cost_of: OfOutputs, net: MLP, Y: Array
) -> tuple[str | tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]], str]:
    """The cost as :func:`autobp.matrix.backprop` takes it, and what to tell of that."""
    if isinstance(cost, costs.Cost) and costs.COSTS.get(cost.name) is cost:
        cost = cost.name
    if isinstance(cost, str) and cost in matrix.COSTS:
        return cost, ""  # whose formulas share nothing with the graph's
    if isinstance(cost_of, costs.Cost):
        cost_of.check_output(net.activations[-1])
        cost_of.check_targets(Y.tolist())
        if cost_of.matrices is not None:
            return cost_of.matrices, ""

    def cost_and_derivative(a: Array, y: Array) -> tuple[float, list[float]]:
        outputs = [Value(a_k) for a_k in a.tolist()]
        cost_x = cost_of(outputs, y.tolist())
        cost_x.backward()
        return cost_x.data, [a_k.grad for a_k in outputs]

    def cost_x(a: Array, y: Array) -> Array:
        return np.array([cost_and_derivative(*row)[0] for row in zip(a, y, strict=True)])

    def nabla_a(a: Array, y: Array) -> Array:
        return np.array([cost_and_derivative(*row)[1] for row in zip(a, y, strict=True)])

    return (cost_x, nabla_a), ", C_x and ∂C_x/∂a by the cost's own graph"

"""What the tests of the five documents share: networks on Values and on floats, and two derivatives.

An equation has two sides, and a test computes them by different routes. One is the scalar graph:
:func:`partial` walks it backwards from any node, not only from the cost. The other is the document's formula
in NumPy, on a forward pass that meets no Value; a derivative left standing in a formula is taken there by the
complex step.

The forward passes are written once and run on either: arrays of Values give the graph, arrays of floats the
numbers.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value

Array = Any  # an array of floats, or of Values
Layers = dict[int, Array]  # by the number of a layer, counted from 1


@dataclass(frozen=True)
class Activation:
    """A function of one number, elementwise: on Values by the operation table, on floats written out here."""

    name: str
    on_value: Callable[[Value], Value]
    on_number: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    def __call__(self, z: Array) -> Array:
        z = np.asarray(z)
        if z.dtype != object:
            return self.on_number(z)
        return np.array([self.on_value(z_j) for z_j in z.flat], dtype=object).reshape(z.shape)


SIGMOID = Activation(
    "sigmoid",
    autobp.sigmoid,
    lambda z: 1 / (1 + np.exp(-z)),
    lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
)
TANH = Activation("tanh", autobp.tanh, np.tanh, lambda z: 1 / np.cosh(z) ** 2)
SOFTPLUS = Activation(
    "softplus", autobp.softplus, lambda z: np.log(1 + np.exp(z)), lambda z: 1 / (1 + np.exp(-z))
)
SINE = Activation("sine", autobp.sin, np.sin, np.cos)
IDENTITY = Activation("identity", lambda z: z, lambda z: z, np.ones_like)


def quadratic(a: Array, y: Array) -> Any:
    """½ Σ (y - a)²."""
    return np.sum((y - a) ** 2) / 2


def cross_entropy(a: Array, y: Array) -> Any:
    """-Σ (y log a + (1 - y) log(1 - a)), summed over the outputs of one sample."""
    return -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))


def log_sum_exp(a: Array, y: Array) -> Any:
    """log Σ exp a - Σ y·a: a cost in which no output stands alone."""
    return np.log(np.sum(np.exp(a))) - np.sum(y * a)


def without_bias(theta: Layers, x: Array, g: Activation) -> tuple[Layers, Layers]:
    """z and a by layer, where theta[l] leads from layer l to layer l + 1 and there is no bias."""
    z, a = {}, {1: x}
    for l in sorted(theta):
        z[l + 1] = theta[l] @ a[l]
        a[l + 1] = g(z[l + 1])
    return z, a


def with_node_0(theta: Layers, x: Array, g: Activation) -> tuple[Layers, Layers]:
    """z and a by layer, where a[l][0] = 1 in every layer but the last meets column 0 of theta[l]."""
    z, a = {}, {1: np.append(1.0, x)}
    for l in sorted(theta):
        z[l + 1] = theta[l] @ a[l]
        a[l + 1] = g(z[l + 1])
        if l + 1 in theta:
            a[l + 1] = np.append(1.0, a[l + 1])
    return z, a


def with_bias_vector(
    w: Layers, b: Layers, x: Array, sigma: dict[int, Activation]
) -> tuple[Layers, Layers]:
    """z and a by layer, where w[l] leads from layer l - 1 to layer l and b[l] is the bias of layer l."""
    z, a = {}, {1: x}
    for l in sorted(w):
        z[l] = w[l] @ a[l - 1] + b[l]
        a[l] = sigma[l](z[l])
    return z, a


def hidden(n: Any) -> range:
    """The layers between the input, which is layer 1, and the output, layer n.L."""
    return range(2, n.L)


def cost_after(n: Any, l: int) -> Callable[[Array], Any]:
    """C as a function of a^l alone, the layers after l following; n has w, b, sigma, cost and y."""

    def cost(a: Array) -> Any:
        for k in sorted(k for k in n.w if k > l):
            a = n.sigma[k](n.w[k] @ a + n.b[k])
        return n.cost(a, n.y)

    return cost


def error_by_definition(n: Any, l: int) -> Array:
    """δ^l = ∂C/∂z^l by the complex step, through the layers from l on: no backpropagation in it."""
    return derivative(lambda z: cost_after(n, l)(n.sigma[l](z)), n.z[l])


def values(numbers: Array) -> Array:
    """An array of Values, leaves, of the same shape."""
    numbers = np.asarray(numbers, dtype=float)
    return np.array([Value(number) for number in numbers.flat], dtype=object).reshape(numbers.shape)


def weights(random: np.random.Generator, shapes: dict[int, tuple[int, ...]]) -> Layers:
    """Standard normal arrays of the given shapes, no entry so small that a slip in its term could hide."""
    drawn = {l: random.normal(size=shape) for l, shape in shapes.items()}
    return {l: array + 0.1 * np.sign(array) for l, array in drawn.items()}


def partial(y: Any, x: Any) -> Any:
    """∂y/∂x of Values or arrays of them, through the graph; the shape is that of y, then that of x.

    x may be inside the graph: then it is the derivative of y towards what that node holds.
    """
    roots, nodes = np.asarray(y, dtype=object), np.asarray(x, dtype=object)
    result = np.zeros(roots.shape + nodes.shape)
    for index, root in np.ndenumerate(roots):
        for node in nodes.flat:
            node.grad = 0.0
        root.backward()
        result[index] = np.reshape([node.grad for node in nodes.flat], nodes.shape)
    return result[()]


def derivative(f: Callable[[Array], Array], x: Any) -> Any:
    """∂f/∂x of a function of floats by the complex step, exact to rounding; shaped as :func:`partial`'s."""
    x = np.asarray(x, dtype=float)
    step = 1e-30
    columns = []
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += step * 1j
        columns.append(np.imag(f(stepped)) / step)
    return np.moveaxis(np.array(columns), 0, -1).reshape(np.shape(columns[0]) + x.shape)[()]


def numbers(x: Any) -> Any:
    """The data of a Value or of an array of Values, as floats."""
    x = np.asarray(x, dtype=object)
    return np.array([x_j.data for x_j in x.flat]).reshape(x.shape)[()]


def difference(left: Any, right: Any) -> float:
    """The largest difference between two sides, relative to the largest entry of either."""
    left, right = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    assert left.shape == right.shape, f"the sides have shapes {left.shape} and {right.shape}"
    assert left.size > 0, "the sides are empty"
    scale = max(np.max(np.abs(left)), np.max(np.abs(right)))
    assert np.isfinite(scale), "a side is not finite"
    assert scale > 1e-9, "both sides are 0: nothing was compared"
    return float(np.max(np.abs(left - right)) / scale)


def agree(left: Any, *others: Any) -> None:
    """All sides of an equation are equal, up to rounding, and not all zero."""
    for other in others:
        assert difference(left, other) < 1e-12


def differ(left: Any, right: Any, by: Any = None) -> None:
    """The sides are visibly unequal: a counter-example, and no matter of rounding.

    ``by`` is right - left by another route, so that no other wrong number does as well.
    """
    assert difference(left, right) > 1e-3
    if by is not None:
        agree(np.subtract(right, left), by)


def vanishes(x: Any) -> None:
    """x is exactly 0, everywhere."""
    assert np.size(x) > 0
    assert np.all(np.asarray(x) == 0.0)


def cannot_be_computed(formula: Callable[[], Any]) -> None:
    """The shapes of the formula do not conform."""
    with pytest.raises(ValueError, match=r"shape|dimension|broadcast"):
        formula()


class FromOne:
    """An array indexed from 1, as on paper: theta[1, 2] is its first row's second entry."""

    def __init__(self, array: Sequence[Any]) -> None:
        self.array = np.asarray(array)

    @property
    def indices(self) -> range:
        """Those of the first axis."""
        return range(1, len(self.array) + 1)

    def __getitem__(self, index: int | tuple[int, ...]) -> Any:
        indices = index if isinstance(index, tuple) else (index,)
        assert min(indices) >= 1, f"{indices} counts from 0"
        return self.array[tuple(i - 1 for i in indices)]

"""A network's cost and outputs as programs of theta, each compiled once for all networks of its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.compiler import Step, compile
from autobp.costs import COSTS
from autobp.engine import Value
from autobp.nn import MLP

Array = NDArray[np.float64]

#: (m, n), an array or a sparse matrix of SciPy's in rows.
Inputs = Any

_KEPT = 16  # forms of networks, the last ones used
_LARGEST_BLOCK = 1024  # of rows of a sparse matrix that are made dense at once


@dataclass(frozen=True)
class Form:
    """What networks have in common that share a program.

    Attributes:
        sizes: of the inputs, then of each layer.
        activations: of each layer, their names.
        cost: its name.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    cost: str

    def network(self, coefs: Sequence[Array] | None = None, intercepts: Sequence[Array] | None = None) -> MLP:
        """A network of this form, with zeros, or scikit-learn's matrices (inputs, outputs) for weights."""
        weights = None if coefs is None else [coef.T for coef in coefs]
        nin, *nouts = self.sizes
        return MLP(nin, nouts, self.activations, init="zeros", weights=weights, biases=intercepts)

    @property
    def n_parameters(self) -> int:
        return sum(self.sizes[i + 1] * (self.sizes[i] + 1) for i in range(len(self.activations)))


def layers(form: Form, theta: Array) -> list[Array]:
    """theta as views, one a layer: a row for each neuron with its weights, then its bias."""
    views, start = [], 0
    for nin, nout in zip(form.sizes, form.sizes[1:], strict=False):
        end = start + nout * (nin + 1)
        views.append(theta[start:end].reshape(nout, nin + 1))
        start = end
    return views


def initial_theta(form: Form, rng: np.random.RandomState) -> Array:
    """Weights and biases, uniform within ±√(6 / (nin + nout)), or √2 for a sigmoid.

    Source: Glorot and Bengio 2010, equation 16; the biases as scikit-learn draws them.
    """
    theta = np.empty(form.n_parameters)
    for (nin, nout), activation, view in zip(
        zip(form.sizes, form.sizes[1:], strict=False), form.activations, layers(form, theta), strict=True
    ):
        bound = np.sqrt((2.0 if activation == "sigmoid" else 6.0) / (nin + nout))
        view[:] = rng.uniform(-bound, bound, (nout, nin + 1))
    return theta


def is_weight(form: Form) -> Array:
    """1 for each parameter that is a weight, 0 for a bias: what the penalty is of."""
    mask = np.ones(form.n_parameters)
    for view in layers(form, mask):
        view[:, -1] = 0.0
    return mask


@lru_cache(maxsize=_KEPT)
def cost_program(form: Form) -> Step[tuple[float, Array]]:
    """(theta, X, Y) -> the mean cost over the rows, and its gradient."""
    net, cost = form.network(), COSTS[form.cost]

    def of_sample(x: Any, y: Any) -> Value:
        made: Value = cost(net.trace(x).output, y)
        return made

    return compile(of_sample, net.parameters())


def dense(X: Inputs) -> Array:
    """The rows as an array, (m, n)."""
    return np.asarray(X if isinstance(X, np.ndarray) else X.toarray())


def outputs(form: Form, theta: Array, X: Inputs) -> Array:
    """The outputs, (m, K), of the network with these parameters."""
    step = output_program(form)
    if isinstance(X, np.ndarray):
        return np.asarray(step(theta, X))
    starts = range(0, X.shape[0], _LARGEST_BLOCK)
    return np.concatenate([step(theta, dense(X[start : start + _LARGEST_BLOCK])) for start in starts])


@lru_cache(maxsize=_KEPT)
def output_program(form: Form) -> Callable[[Array, Array], Array]:
    """(theta, X) -> the network's outputs, (m, K)."""
    net = form.network()
    step: Callable[[Array, Array], Array] = compile(lambda x: net.trace(x).output, net.parameters())
    return step

"""From theta to a better theta: mini-batches and an optimiser, or L-BFGS on all samples at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autobp.optim import Optimizer
from autobp.sklearn.programs import Form, Inputs, cost_program, dense, is_weight

Array = NDArray[np.float64]

_MOST_CALLS = 15000  # of the objective by L-BFGS, as scikit-learn has it


@dataclass(frozen=True)
class Samples:
    """Rows to train on.

    Attributes:
        X: (m, n), or a sparse matrix: each batch is made dense.
        Y: (m, K).
        weights: of the rows, (m,), each above 0; None: 1 each.
    """

    X: Inputs
    Y: Array
    weights: Array | None = None

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return float(len(self.Y) if self.weights is None else self.weights.sum())


class Objective:
    """The mean cost over samples, each by its weight, and α/(2 Σ weights) Σ w², with their gradient by theta.

    Args:
        form: of the network.
        samples: all of them.
        alpha: α, at least 0.
    """

    def __init__(self, form: Form, samples: Samples, alpha: float) -> None:
        self.samples = samples
        self.step = cost_program(form)
        self.penalty = is_weight(form) * (alpha / samples.total)

    def __call__(self, theta: Array, rows: slice | NDArray[np.int64] = slice(None)) -> tuple[float, Array]:
        """(cost, gradient) on these rows; ValueError where they are not finite."""
        with np.errstate(over="ignore", invalid="ignore"):  # told below, with what to do
            cost, gradient = self._cost_and_gradient(theta, rows)
            shrinking = self.penalty * theta
            cost, gradient = cost + float(shrinking @ theta) / 2, gradient + shrinking
        if not (np.isfinite(cost) and np.isfinite(gradient).all()):
            raise ValueError(
                "the cost or its gradient is no longer finite; take a smaller learning_rate_init, or scale "
                "the inputs, as StandardScaler does"
            )
        return float(cost), gradient

    def _cost_and_gradient(self, theta: Array, rows: slice | NDArray[np.int64]) -> tuple[float, Array]:
        """Without the penalty: the mean over the weights of the rows."""
        samples = self.samples
        X, Y = dense(samples.X[rows]), samples.Y[rows]
        if samples.weights is None:
            return self.step(theta, X, Y)
        weights = samples.weights[rows]
        cost, gradient = self.step(theta, X, Y, weights=weights)
        share = len(weights) / weights.sum()  # from the mean over rows to that over weights
        return cost * share, gradient * share


@dataclass
class Course:
    """What became of a training.

    Attributes:
        theta: the parameters now.
        costs: of each epoch, the mean over its batches.
        scores: of each epoch on the samples set apart, if there are any.
        best_cost, best_score, best_theta: the lowest cost, the highest score, and the parameters of that.
        waited: epochs since one of them was better by ``tol``.
    """

    theta: Array
    costs: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_cost: float = np.inf
    best_score: float = -np.inf
    best_theta: Array | None = None
    waited: int = 0

    def see(self, cost: float, score: float | None, tol: float) -> None:
        """An epoch is over: its cost, and its score where samples are set apart."""
        self.costs.append(cost)
        if score is not None:
            self.scores.append(score)
            better, best = score > self.best_score + tol, score > self.best_score
            if best:
                self.best_score, self.best_theta = score, self.theta
        else:
            better = cost < self.best_cost - tol
        self.waited = 0 if better else self.waited + 1
        self.best_cost = min(cost, self.best_cost)


def run_epoch(
    course: Course,
    objective: Objective,
    optimizer: Optimizer,
    batch_size: int,
    rng: np.random.RandomState | None,
) -> float:
    """A step for each batch, of rows that rng shuffles, or as they are; the mean cost over the batches."""
    total = 0.0
    m = len(objective.samples.Y)
    for n, rows in _batches(m, batch_size, rng):
        cost, gradient = objective(course.theta, rows)
        total += n * cost
        course.theta = optimizer.update(course.theta, gradient)
        if not np.isfinite(course.theta).all():
            raise ValueError("parameters are no longer finite; take a smaller learning_rate_init")
    return total / m


def _batches(
    m: int, size: int, rng: np.random.RandomState | None
) -> Iterator[tuple[int, slice | NDArray[np.int64]]]:
    """(how many, which rows) of each batch."""
    if size >= m:  # one batch needs no order
        yield m, slice(None)
        return
    order = None if rng is None else rng.permutation(m)
    for start in range(0, m, size):
        rows = slice(start, start + size)
        yield min(size, m - start), rows if order is None else order[rows]


def lbfgs(theta: Array, objective: Objective, max_iter: int, tol: float) -> tuple[Array, float, int, bool]:
    """(theta, cost, iterations, whether it converged) by L-BFGS on all samples.

    Source: Liu and Nocedal 1989.
    """
    from scipy.optimize import minimize

    options = {"maxiter": max_iter, "gtol": tol, "maxfun": _MOST_CALLS}
    found = minimize(objective, theta, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x), float(found.fun), int(found.nit), bool(found.success)

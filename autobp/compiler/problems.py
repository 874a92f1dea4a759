"""A step with its data as what SciPy's minimizers ask for: functions of the parameters alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from autobp.ir import Floats

if TYPE_CHECKING:
    from autobp.compiler.step import Step


class Minimization:
    """A cost for ``scipy.optimize.minimize``: value, gradient, Hessian, and its product with a vector.

    ``minimize(problem.fun, step.theta, jac=problem.jac, hess=problem.hess)``; value and gradient at one theta
    are computed once.
    """

    def __init__(self, step: Step, arguments: Sequence[ArrayLike]) -> None:
        self._step = step
        self._arguments = tuple(arguments)
        self._last: tuple[Floats, float, Floats] | None = None

    def _at(self, theta: ArrayLike) -> tuple[float, Floats]:
        last = self._last
        if last is None or not np.array_equal(last[0], theta):
            value, gradient = self._step(theta, *self._arguments)
            last = self._last = np.array(theta, dtype=np.float64), value, gradient
        return last[1], last[2]

    def fun(self, theta: ArrayLike) -> float:
        """The mean cost."""
        return self._at(theta)[0]

    def jac(self, theta: ArrayLike) -> Floats:
        """Its gradient, (n,)."""
        return np.array(self._at(theta)[1])

    def hess(self, theta: ArrayLike) -> Floats:
        """Its second derivatives, (n, n)."""
        return self._step.hessian(theta, *self._arguments)

    def hessp(self, theta: ArrayLike, v: ArrayLike) -> Floats:
        """These times v, (n,)."""
        return self._step.hvp(theta, v, *self._arguments)


class Residuals:
    """Outputs less targets for ``scipy.optimize.least_squares``, with their derivatives.

    ``least_squares(problem.fun, step.theta, problem.jac)``.
    """

    def __init__(self, step: Step, arguments: Sequence[ArrayLike], targets: ArrayLike) -> None:
        self._step = step
        self._arguments = tuple(arguments)
        self._targets = np.asarray(targets, dtype=np.float64)

    def fun(self, theta: ArrayLike) -> Floats:
        """The residuals, flat, (m·outputs,). ValueError where outputs and targets differ in size."""
        outputs = np.asarray(self._step(theta, *self._arguments))
        if outputs.size != self._targets.size:
            given = f"the outputs have the shape {outputs.shape}, and the targets {self._targets.shape}"
            raise ValueError(f"{given}; there must be a target for each output")
        return outputs.reshape(-1) - self._targets.reshape(-1)

    def jac(self, theta: ArrayLike) -> Floats:
        """Their derivatives, (m·outputs, n)."""
        found = self._step.jacobian(theta, *self._arguments)
        return np.asarray(found.reshape(-1, found.shape[-1]))

"""Optimisers: gradient descent with momentum, RMSProp, Adam and AdamW; and schedules of the learning rate.

An update rule is written once, on vectors: :meth:`Optimizer.update`. ``step()`` applies it to Values, and a
training loop on compiled programs applies it to theta.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from autobp.arguments import number, unknown
from autobp.engine import Value

#: The decay rates of two moments.
Betas = tuple[float, float]


class Optimizer:
    """An update rule for some parameters.

    Args:
        parameters: the Values to update, at least one; leaves.
        lr: the learning rate η, greater than 0. Can be set between steps, for schedules.

    Raises ValueError where there are no parameters or a setting is out of its range, and TypeError where it
    is no number.
    """

    def __init__(self, parameters: Iterable[Value], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("there are no parameters to optimise")
        lr = number("lr, the learning rate,", lr)
        if not (lr > 0 and math.isfinite(lr)):
            raise ValueError(f"the learning rate must be greater than 0 and finite; got {lr!r}")
        self.lr = lr

    def update(self, theta: NDArray[np.float64], grad: NDArray[np.float64]) -> NDArray[np.float64]:
        """The parameters after one step from theta against grad, (n_parameters,) each, as a new array."""
        raise NotImplementedError

    def step(self) -> None:
        """Update the parameters' data by their grad.

        Raises ValueError, and changes no parameter, where a gradient or what it leads to is not finite; the
        message names it.
        """
        grad = np.array([parameter.grad for parameter in self.parameters], dtype=np.float64)
        self._check("the gradient of {}", grad)
        theta = self.update(np.array([parameter.data for parameter in self.parameters]), grad)
        self._check("after this step {}", theta)
        for parameter, data in zip(self.parameters, theta, strict=True):
            parameter.data = float(data)

    def _check(self, what: str, numbers: NDArray[np.float64]) -> None:
        if not np.isfinite(numbers).all():
            i = int(np.argmin(np.isfinite(numbers)))
            name = what.format(self.parameters[i].label or f"parameter {i}")
            raise ValueError(f"{name} is {numbers[i]}; no parameter was changed")

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for parameter in self.parameters:
            parameter.grad = 0.0


def _check_decay(name: str, given: object, *rates: float) -> None:
    """Raise ValueError where what is given has a rate that is not from 0 to below 1."""
    if not all(0 <= rate < 1 for rate in rates):
        raise ValueError(f"{name} must be at least 0 and below 1; got {given!r}")


def _check_eps(eps: float) -> None:
    if not eps > 0:
        raise ValueError(f"eps must be greater than 0; got {eps!r}")


class SGD(Optimizer):
    """Gradient descent: v ← momentum·v + g, θ ← θ - lr·v, as PyTorch has it.

    Args:
        parameters, lr: see :class:`Optimizer`.
        momentum: from 0 to below 1; 0 is plain gradient descent.
    """

    def __init__(self, parameters: Iterable[Value], lr: float, momentum: float = 0.0) -> None:
        super().__init__(parameters, lr)
        _check_decay("momentum", momentum, momentum)
        self.momentum = momentum
        self._velocity = np.zeros(len(self.parameters))

    def update(self, theta: NDArray[np.float64], grad: NDArray[np.float64]) -> NDArray[np.float64]:
        """θ - lr·v, (n_parameters,); v is kept for the next step."""
        self._velocity = self.momentum * self._velocity + grad
        return np.asarray(theta - self.lr * self._velocity)


class Adam(Optimizer):
    """Adam, with bias correction. Source: Kingma and Ba 2015, algorithm 1.

    Args:
        parameters, lr: see :class:`Optimizer`.
        betas: the decay rates of the two moments, each from 0 to below 1.
        eps: what keeps the division finite, greater than 0.
    """

    def __init__(
        self, parameters: Iterable[Value], lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(parameters, lr)
        _check_decay("betas", betas, *betas)
        _check_eps(eps)
        self.betas = betas
        self.eps = eps
        self._m = np.zeros(len(self.parameters))
        self._v = np.zeros(len(self.parameters))
        self._t = 0

    def update(self, theta: NDArray[np.float64], grad: NDArray[np.float64]) -> NDArray[np.float64]:
        """θ - lr·m̂ / (√v̂ + eps), (n_parameters,); the moments are kept for the next step."""
        beta1, beta2 = self.betas
        self._t += 1
        self._m = beta1 * self._m + (1 - beta1) * grad
        self._v = beta2 * self._v + (1 - beta2) * grad**2
        m_hat = self._m / (1 - beta1**self._t)
        v_hat = self._v / (1 - beta2**self._t)
        return np.asarray(theta - self.lr * m_hat / (np.sqrt(v_hat) + self.eps))


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← θ - lr·decay·θ, then Adam's step, as PyTorch has it.

    Source: Loshchilov and Hutter 2019, algorithm 2. The decay is of all parameters, biases too.

    Args:
        parameters, lr, betas, eps: see :class:`Adam`.
        weight_decay: at least 0.
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        if not (weight_decay >= 0 and math.isfinite(weight_decay)):
            raise ValueError(f"weight_decay must be at least 0 and finite; got {weight_decay!r}")
        self.weight_decay = weight_decay

    def update(self, theta: NDArray[np.float64], grad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Adam's step from (1 - lr·decay)·θ, (n_parameters,)."""
        return super().update(theta * (1 - self.lr * self.weight_decay), grad)


class RMSProp(Optimizer):
    """v ← α·v + (1 - α)·g², θ ← θ - lr·g / (√v + eps), as PyTorch has it.

    Source: Tieleman and Hinton 2012, lecture 6.5.

    Args:
        parameters, lr: see :class:`Optimizer`.
        alpha: the decay rate of v, from 0 to below 1.
        eps: what keeps the division finite, greater than 0.
    """

    def __init__(
        self, parameters: Iterable[Value], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8
    ) -> None:
        super().__init__(parameters, lr)
        _check_decay("alpha", alpha, alpha)
        _check_eps(eps)
        self.alpha = alpha
        self.eps = eps
        self._v = np.zeros(len(self.parameters))

    def update(self, theta: NDArray[np.float64], grad: NDArray[np.float64]) -> NDArray[np.float64]:
        """θ - lr·g / (√v + eps), (n_parameters,); v is kept for the next step."""
        self._v = self.alpha * self._v + (1 - self.alpha) * grad**2
        return np.asarray(theta - self.lr * grad / (np.sqrt(self._v) + self.eps))


#: The optimisers by name, as ``fit`` and the command take them.
OPTIMIZERS: dict[str, type[SGD] | type[Adam] | type[RMSProp]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSProp,
}

#: Schedules by name: what the learning rate is multiplied by, from the part of the epochs done, 0 to below 1.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: (1.0 + math.cos(math.pi * done)) / 2,
}


class Scheduled:
    """An optimiser whose learning rate follows a schedule over so many epochs.

    Args:
        optimizer: its ``lr`` is the rate that the schedule is a part of; :meth:`end` sets it back.
        schedule: a name in ``SCHEDULES``, or a function like theirs; None leaves the rate alone.
        epochs: at least 1.

    Raises ValueError where the name is unknown, and TypeError where it is neither a name nor a function.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: str | Callable[[float], float] | None, epochs: int
    ) -> None:
        if isinstance(schedule, str):
            if schedule not in SCHEDULES:
                raise ValueError(unknown("schedule", schedule, SCHEDULES, {"cosineannealing": "'cosine'"}))
            schedule = SCHEDULES[schedule]
        if schedule is not None and not callable(schedule):
            names = ", ".join(SCHEDULES)
            raise TypeError(f"a schedule is a name ({names}) or a function from 0..1; got {schedule!r}")
        self.optimizer, self.schedule, self.epochs = optimizer, schedule, epochs
        self.rate = optimizer.lr

    def begin(self, epoch: int) -> None:
        """Set the rate for an epoch, from 1; ValueError where the schedule is no factor of at least 0."""
        if self.schedule is None:
            return
        done = (epoch - 1) / self.epochs
        factor = number(f"the schedule at {done:g}", self.schedule(done))
        if not (factor >= 0 and math.isfinite(factor)):
            raise ValueError(f"the schedule at {done:g} is {factor}; it must be at least 0 and finite")
        self.optimizer.lr = self.rate * factor

    def end(self) -> None:
        """Set the rate back."""
        if self.schedule is not None:
            self.optimizer.lr = self.rate

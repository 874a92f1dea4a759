"""The lowest cost on the validation set, and when it has not fallen for long enough."""

from __future__ import annotations

from operator import index as whole
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray


class LowestCost:
    """The epoch with the lowest validation cost so far.

    Args:
        patience: how many epochs without a lower one are enough, at least 1; None: no number is.
        validated: whether there is a validation set.

    Attributes:
        epoch: the epoch of the lowest cost, from 1; 0 before there is one.
        theta: the parameters that it ended with, (n_parameters,); None before.

    Raises:
        TypeError: the patience is no whole number.
        ValueError: it is below 1, or there is no validation set.
    """

    def __init__(self, patience: SupportsIndex | None, validated: bool) -> None:
        if patience is not None and not hasattr(patience, "__index__"):
            raise TypeError(f"patience is a number of epochs; got {patience!r}")
        self.patience = np.inf if patience is None else whole(patience)
        if self.patience < 1:
            raise ValueError(f"patience is a number of epochs, at least 1; got {patience!r}")
        if patience is not None and not validated:
            raise ValueError("patience waits for the validation cost to fall: say validation=(X, Y)")
        self.cost = np.inf
        self.epoch = 0
        self.theta: NDArray[np.float64] | None = None

    def see(self, epoch: int, cost: float, theta: NDArray[np.float64]) -> None:
        """The validation cost after an epoch, and the parameters that have it."""
        if cost < self.cost:
            self.cost, self.epoch, self.theta = cost, epoch, theta.copy()

    def enough(self, epoch: int) -> bool:
        """Whether to wait no longer."""
        return epoch - self.epoch >= self.patience

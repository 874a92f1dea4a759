"""Likelihoods by name: the logarithm of the probability of what was measured, in scalar operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.functions import lgamma, log, xlogy


@dataclass(frozen=True)
class Density:
    """A likelihood by name.

    Attributes:
        log_density: ``log_density(output, y)`` of a row.
        allows: which measurements it knows, and ``measured`` what these are, in words.
    """

    log_density: Callable[[Any, Any], Any]
    allows: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    measured: str


def _poisson(mean: Any, count: Any) -> Any:
    """ln of mean^count e^(-mean) / count!, for a mean above 0."""
    return count * log(mean) - mean - lgamma(count + 1.0)


def _bernoulli(probability: Any, y: Any) -> Any:
    """ln p where y is 1, ln (1 - p) where it is 0."""
    return xlogy(y, probability) + xlogy(1.0 - y, 1.0 - probability)


DENSITIES = {
    "bernoulli": Density(_bernoulli, lambda y: (y == 0.0) | (y == 1.0), "0 or 1"),
    "poisson": Density(_poisson, lambda y: (y >= 0.0) & (y == np.floor(y)), "counts 0, 1, 2 …"),
}

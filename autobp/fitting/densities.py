"""Likelihoods by name: the logarithm of the probability of what was measured, in scalar operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobp.functions import lgamma, log, xlogy


def poisson(mean: Any, count: Any) -> Any:
    """ln of mean^count e^(-mean) / count!, for a mean above 0."""
    return count * log(mean) - mean - lgamma(count + 1.0)


def bernoulli(probability: Any, y: Any) -> Any:
    """ln p where y is 1, ln (1 - p) where it is 0."""
    return xlogy(y, probability) + xlogy(1.0 - y, 1.0 - probability)


#: By name, ``log_density(output, y)`` of a row.
DENSITIES: dict[str, Callable[[Any, Any], Any]] = {"bernoulli": bernoulli, "poisson": poisson}

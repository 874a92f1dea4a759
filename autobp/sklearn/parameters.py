"""What an estimator is told, checked: its parameters and the weights of samples."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.activations import checked, is_activation
from autobp.arguments import unknown
from autobp.optim import OPTIMIZERS

Array = NDArray[np.float64]

#: scikit-learn's names of activations, and those here.
_ACTIVATIONS = {"logistic": "sigmoid", "identity": "linear"}
_SOLVERS = (*OPTIMIZERS, "lbfgs")


def hidden_layers(sizes: Any) -> list[Any]:
    """``hidden_layer_sizes`` as a list, of one layer where it is a number."""
    if isinstance(sizes, (Real, str)):
        return [sizes]
    return list(sizes)


def activation_name(name: Any) -> Any:
    """The activation's name here, where scikit-learn has another."""
    return _ACTIVATIONS.get(name, name) if isinstance(name, str) and not is_activation(name) else name


def check_parameters(estimator: Any) -> None:
    """ValueError or TypeError where a parameter is out of its range; the message says which."""
    sizes, activation = estimator.hidden_layer_sizes, activation_name(estimator.activation)
    if any(not isinstance(size, Integral) or size < 1 for size in hidden_layers(sizes)):
        raise ValueError(f"hidden_layer_sizes are whole numbers above 0; got {sizes!r}")
    checked(activation)
    if activation == "softmax" or not isinstance(activation, str):
        raise ValueError(f"a hidden layer's activation is a name, not softmax; got {estimator.activation!r}")
    if estimator.solver not in _SOLVERS:
        raise ValueError(unknown("solver", estimator.solver, _SOLVERS))
    size = estimator.batch_size
    if size != "auto" and (not isinstance(size, Integral) or size < 1):
        raise ValueError(f'batch_size is "auto" or a whole number above 0; got {size!r}')
    for name in ("max_iter", "n_iter_no_change"):
        given = getattr(estimator, name)
        if not isinstance(given, Integral) or given < 1:
            raise ValueError(f"{name} is a whole number above 0; got {given!r}")
    for name, low in (("alpha", True), ("tol", True), ("learning_rate_init", False)):
        given = getattr(estimator, name)
        if not isinstance(given, Real) or not (float(given) > 0 or (low and float(given) == 0)):
            raise ValueError(f"{name} is a number {'of at least' if low else 'above'} 0; got {given!r}")
    part = estimator.validation_fraction
    if not isinstance(part, Real) or not 0 < float(part) < 1:
        raise ValueError(f"validation_fraction is above 0 and below 1; got {part!r}")


def checked_weights(given: ArrayLike, m: int) -> Array:
    """A weight for each of m samples; ValueError where they are not that, or one is below 0 or not finite."""
    weights = np.asarray(given, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(m, float(weights))
    if weights.shape != (m,):
        raise ValueError(f"sample_weight has the shape {weights.shape}; {m} samples need {(m,)}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("sample_weight has entries that are negative or not finite")
    return weights

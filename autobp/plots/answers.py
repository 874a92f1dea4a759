"""What the network answers and what is true, as numbers to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import matrix
from autobp.nn import MLP
from autobp.training import classes_of, predict

Array = NDArray[np.float64]


def outputs_of(net: MLP, X: Array) -> Array:
    """The outputs, (m, K), by matrices where these have the activations: a grid has many points."""
    names = [activation for activation in net.activations if isinstance(activation, str)]
    if len(names) == len(net.activations) and all(name in matrix.ACTIVATIONS for name in names):
        return matrix.forward(net.W, net.b, X, names).a[-1]
    return predict(net, X)


def true_classes(Y: ArrayLike, m: int, n_outputs: int, threshold: float) -> NDArray[np.int64]:
    """The class number of each of m targets; ValueError where one is no class of so many outputs."""
    targets = np.asarray(Y, dtype=np.float64)
    if targets.ndim not in (1, 2) or len(targets) != m:
        raise ValueError(f"Y must have a row for each of the {m} samples; got {targets.shape}")
    if n_outputs == 1:
        targets = targets.reshape(m, -1)
    if targets.ndim == 2 and targets.shape[1] != n_outputs:
        raise ValueError(f"Y has {targets.shape[1]} columns, but the network has {n_outputs} outputs")
    classes = classes_of(targets, threshold)
    wrong = (classes != np.round(classes)) | (classes < 0) | (classes >= max(2, n_outputs))
    if wrong.any():
        raise ValueError(
            f"Y[{int(np.argmax(wrong))}] is {classes[wrong][0]:g}; class numbers are 0 to {n_outputs - 1}"
        )
    return classes.astype(np.int64)


def class_names(classes: Sequence[str], k: int) -> list[str]:
    """The k names given, or numbers for names."""
    if classes and len(classes) != k:
        raise ValueError(f"{k} classes need as many names; got {len(classes)}")
    return [str(name) for name in classes] or [f"{number}" for number in range(k)]

"""What a network answers, and how good that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs
from autobp.arguments import numbers
from autobp.engine import Value
from autobp.nn import MLP
from autobp.training.samples import check_input_shape, inputs_of, samples_of, target_of

Array = NDArray[np.float64]
#: So many samples, and their graphs take longer to build than one of them to compile.
_WORTH_COMPILING = 100


def predict(net: MLP, X: ArrayLike) -> Array:
    """The network's outputs for each row of X, (m, n), as an array (m, K).

    Of a Dask array they are one too, which is computed block by block when asked for.

    Raises ValueError where X has another shape or an entry that is not finite, in Dask's blocks once these
    are computed.
    """
    from autobp.compiler.blocks import in_blocks

    if in_blocks([X]):
        predicted: Array = _predicted_in_blocks(net, X)
        return predicted
    inputs = inputs_of("", X, net)
    if len(inputs) < _WORTH_COMPILING or not all(isinstance(sigma, str) for sigma in net.activations):
        return np.array([[a_k.data for a_k in net.trace(x).output] for x in inputs])
    from autobp.compiler import compile

    step = compile(lambda x: net.trace(x).output, net.parameters())
    return np.asarray(step(step.theta, inputs))


def _predicted_in_blocks(net: MLP, X: Any) -> Any:
    """The outputs for a Dask array, as one: nothing is computed yet, and no block moves."""
    from autobp.compiler import compile
    from autobp.compiler.blocks import check_rows_are_known, rows_together

    check_rows_are_known(["X"], [X])
    check_input_shape("", tuple(X.shape), net)
    (X,) = rows_together([X], ["X"])
    step = compile(lambda x: net.trace(x).output, net.parameters(), example=(np.zeros(X.shape[1]),))
    return step(step.theta, X.map_blocks(_numbers_of, dtype=np.float64, meta=np.zeros((0, 0))))


def _numbers_of(x: Any) -> Array:
    return numbers("X", x)


def accuracy(net: MLP, X: ArrayLike, Y: ArrayLike, threshold: float | None = None) -> float:
    """The part of the samples that are classified rightly, from 0 to 1.

    With several outputs the largest is the network's answer, and Y is one-hot, (m, K), or class numbers,
    (m,). With one output the answer is whether it exceeds the threshold, and so is the target: 0.5 for a
    probability, 0 for a logit with targets 0 and 1, or for targets ±1. Left out, it is 0.5 after a sigmoid;
    no other output tells.

    Raises ValueError where X or Y has another shape, a target is no class, or the threshold is left out and
    the output is not a sigmoid's.
    """
    _check_in_memory("accuracy", X, Y)
    outputs = predict(net, X)
    targets = numbers("Y", Y, costs.TEXT_TARGETS)
    if targets.shape not in (outputs.shape, outputs.shape[:1]):
        raise ValueError(f"Y must have the shape {outputs.shape} or {outputs.shape[:1]}; got {targets.shape}")
    if outputs.shape[1] == 1:
        targets = targets.reshape(len(outputs), 1)
        different = np.unique(targets)
        if len(different) > 2:
            raise ValueError(
                f"one output tells two classes apart, but Y has {len(different)} different numbers; of "
                "quantities, rmse and r_squared say how near they are"
            )
    limit = threshold_of(net, threshold)
    return float(np.mean(classes_of(outputs, limit) == classes_of(targets, limit)))


def rmse(net: MLP, X: ArrayLike, Y: ArrayLike) -> float:
    """The root of the mean squared difference of outputs and targets, (m, K) or (m,) for one output.

    It is in the targets' units; where they were standardised, times their ``target_scale`` in the units that
    they had. Raises ValueError where X or Y has another shape.
    """
    outputs, targets = _outputs_and_targets(net, X, Y)
    return float(np.sqrt(np.mean((outputs - targets) ** 2)))


def r_squared(net: MLP, X: ArrayLike, Y: ArrayLike) -> float:
    """R², the part of the targets' variance that the network explains: 1 - Σ (a - y)² / Σ (y - mean of y)².

    1 is perfect, 0 no better than their mean, and less is worse. With several outputs both sums go over all.
    Raises ValueError where X or Y has another shape, or where the targets do not vary.
    """
    outputs, targets = _outputs_and_targets(net, X, Y)
    variation = np.sum((targets - targets.mean(axis=0)) ** 2)
    if not variation > 0:
        raise ValueError(f"R² needs targets that vary; got {len(targets)} equal ones")
    return float(1 - np.sum((outputs - targets) ** 2) / variation)


def by_output(net: MLP, X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """Of each output R² and the root of the mean squared error, (K,) each; R² is NaN where targets are equal.

    Raises ValueError where X or Y has another shape.
    """
    outputs, targets = _outputs_and_targets(net, X, Y)
    squares = np.sum((outputs - targets) ** 2, axis=0)
    variation = np.sum((targets - targets.mean(axis=0)) ** 2, axis=0)
    explained = np.full(len(squares), np.nan)
    np.divide(squares, variation, out=explained, where=(targets != targets[0]).any(axis=0))
    return 1 - explained, np.sqrt(squares / len(targets))


def _outputs_and_targets(net: MLP, X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    _check_in_memory("a measure", X, Y)
    outputs = predict(net, X)
    targets = numbers("Y", Y)
    if targets.shape != outputs.shape and not (targets.shape == outputs.shape[:1] and outputs.shape[1] == 1):
        raise ValueError(f"Y must have the shape {outputs.shape}; got {targets.shape}")
    return outputs, targets.reshape(outputs.shape)


def _check_in_memory(name: str, X: ArrayLike, Y: ArrayLike) -> None:
    """Raise TypeError where one of these is a Dask array, which need not fit into memory."""
    from autobp.compiler.blocks import in_blocks

    if in_blocks([X, Y]):
        raise TypeError(
            f"{name} takes arrays in memory, and X or Y is a Dask array: compute it of predict(net, X), "
            "which is one then, or of some rows, X[:n].compute()"
        )


def threshold_of(net: MLP, threshold: float | None) -> float:
    """The threshold that is given, or 0.5 after a sigmoid and for several outputs, which need none.

    ValueError where neither says what tells the two classes of one output apart.
    """
    if threshold is not None:
        return threshold
    if net.sizes[-1] == 1 and net.activations[-1] not in costs.PROBABILISTIC:
        raise ValueError(
            "say the threshold: 0 where the output is a logit or the targets are -1 and 1, 0.5 where the "
            "output is trained to be 0 or 1 itself"
        )
    return 0.5


def classes_of(Y: Array, threshold: float = 0.5) -> NDArray[Any]:
    """The class number of each row of outputs or targets, (m, K), or (m,) for class numbers themselves.

    The largest of several columns says the class; one column says 1 where it exceeds the threshold, else 0.
    """
    if Y.ndim == 1:
        return Y
    if Y.shape[1] == 1:
        return (Y[:, 0] > threshold).astype(np.int64)
    return np.asarray(np.argmax(Y, axis=1))


def mean_cost(net: MLP, X: ArrayLike, Y: ArrayLike, *, cost: str | Callable[[Any, Any], Value]) -> float:
    """The mean cost over the rows of X, (m, n), and Y, (m, K) or (m,), without a penalty.

    Raises ValueError where shapes or values do not fit, and what the cost raises where it is not finite.
    """
    _check_in_memory("mean_cost", X, Y)
    X, Y = samples_of("", X, Y, net)
    cost_of = costs.named(cost)
    total = 0.0
    for x, y in zip(X, Y, strict=True):
        total += cost_of(net.trace(x).output, target_of(y)).data
    return total / len(X)

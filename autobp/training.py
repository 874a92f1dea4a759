"""The training loop: mini-batches, an optimiser, progress, and what happened epoch by epoch."""

from __future__ import annotations

import random
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import index as whole
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs
from autobp.arguments import numbers, unknown
from autobp.engine import Value, ieee
from autobp.functions import mean
from autobp.nn import MLP
from autobp.optim import OPTIMIZERS, Optimizer

Array = NDArray[np.float64]
#: So many samples, and their graphs take longer to build than one of them to compile.
_WORTH_COMPILING = 100
#: On so many samples, spread over all, the cost is taken before training, to tell whether it diverges.
_SAMPLED = 100
#: A cost that ends so many times as high has diverged: a cost that wavers around its start has not.
_DIVERGED = 10
#: (parameters, X, Y) -> the cost, and its gradient by the parameters
Step = Callable[[Array, Array, Array], tuple[float, Array]]


@dataclass
class History:
    """What :func:`fit` saw, one entry for each epoch that was finished.

    Attributes:
        cost: the mean over the epoch's batches of the cost, the L2 penalty included.
        validation_cost: the cost on the validation set, without the penalty; empty where there is none.
        gradient_norm: the Euclidean norm of the gradient, its mean over the epoch's batches.
        layer_gradient_norm: for each epoch the same of each layer's part of the gradient, the first layer
            first.
        interrupted: whether Ctrl-C ended the training early; the network keeps what it had learned.
    """

    cost: list[float] = field(default_factory=list)
    validation_cost: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    layer_gradient_norm: list[list[float]] = field(default_factory=list)
    interrupted: bool = False


def fit(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    cost: str | Callable[[Any, Any], Value] = "quadratic",
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: str | Optimizer = "adam",
    lr: float = 0.01,
    l2: float = 0.0,
    seed: int | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    progress: bool = True,
    compiled: bool = True,
    on_epoch: Callable[[int, History], None] | None = None,
) -> History:
    """Train a network by mini-batches; its parameters are updated in place.

    Where the cost ends above ten times what it was before, a warning says so, and the network keeps the
    parameters with the lowest cost: those that the best epoch began or ended with.

    Args:
        net: the network.
        X: the inputs, (m, n), a sample in each row.
        Y: the targets, (m, K), or (m,) for one output or for class numbers.
        cost: a name in ``costs.COSTS``, or a function of one sample's outputs and targets.
        epochs: how often to go through all samples, at least 1.
        batch_size: samples for each step, at least 1; the last batch of an epoch may be smaller.
        optimizer: "sgd", "adam" or an :class:`Optimizer` of the network's parameters (lr is then its own).
        lr: the learning rate.
        l2: λ of the penalty λ/(2m) Σ w² over the weights, with m the number of all samples.
        seed: for the shuffling; left out, it differs from run to run.
        validation: (X, Y) to watch the cost on after each epoch.
        progress: whether to show the progress on standard error: in a terminal one line that is kept up to
            date, elsewhere at most ten lines in all.
        compiled: whether to run the graph as a matrix program, which gives the same numbers faster; if
            false, each sample's graph is built and walked back in Values.
        on_epoch: called as on_epoch(epoch, history) after each epoch, which count from 1. It may change the
            network's parameters.

    Returns:
        The history. After Ctrl-C it says ``interrupted``, and the network has the parameters reached.

    Raises:
        IndexError: a class number among the targets is not that of an output.
        TypeError: an argument is of another kind.
        ValueError: shapes or values do not fit, or the cost, a gradient or a parameter is no longer finite
            (the message says when; the network keeps the parameters with the lowest cost, as above).
    """
    X, Y = _samples("", X, Y, net)
    held_out = None if validation is None else _samples("validation ", *validation, net)
    for name, given in [("epochs", epochs), ("batch_size", batch_size)]:
        if not hasattr(given, "__index__"):
            raise TypeError(f"{name} must be a whole number; got {given!r}")
    epochs, batch_size = whole(epochs), whole(batch_size)
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs and batch_size must be at least 1; got {epochs} and {batch_size}")
    if not l2 >= 0:
        raise ValueError(f"l2, the penalty's λ, must be at least 0; got {l2!r}")
    cost_of = costs.named(cost)
    _check_output(cost_of, net)
    _check_targets("", cost_of, Y, net)
    if held_out is not None:
        _check_targets("validation ", cost_of, held_out[1], net)
    parameters = net.parameters()
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ValueError(unknown("optimizer", optimizer, OPTIMIZERS, {"gradientdescent": "'sgd'"}))
        optimizer = OPTIMIZERS[optimizer](parameters, lr=lr)
    elif not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"an optimizer is a name ({', '.join(OPTIMIZERS)}) or made of the network's parameters, as "
            f"optim.SGD(net.parameters(), lr=0.1) is; got {optimizer!r}"
        )
    elif [id(p) for p in optimizer.parameters] != [id(p) for p in parameters]:
        raise ValueError("the optimizer was made for other parameters than this network's")

    step = (_compiled_step if compiled else _eager_step)(net, cost_of, l2, len(X))
    cost_on = _compiled_cost(net, cost_of) if compiled else partial(mean_cost, net, cost=cost_of)
    theta = np.array([parameter.data for parameter in parameters])
    sampled = slice(None, None, -(-len(X) // _SAMPLED))

    def sampled_cost(theta: Array) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            cost, _ = step(theta, X[sampled], Y[sampled])
        return cost if np.isfinite(cost) else np.inf

    start = sampled_cost(theta)
    # What the epoch of the lowest cost began and ended with: its cost is a mean over the way between them.
    lowest, best = np.inf, [theta]
    rng = random.Random(seed)
    history = History()
    starts = np.cumsum([0, *[len(layer.parameters()) for layer in net.layers[:-1]]])  # of layers in theta
    shown = _Progress(epochs, -(-len(X) // batch_size), progress)
    try:
        for epoch in range(1, epochs + 1):
            total, norm, layer_norms, seen = 0.0, 0.0, np.zeros(len(starts)), 0
            begun = theta
            for rows in _batches(len(X), batch_size, rng):
                problem = ""
                with np.errstate(over="ignore", invalid="ignore"):  # told below, with what to do
                    value, grad = step(theta, X[rows], Y[rows])
                    if np.isfinite(value) and np.isfinite(grad).all():
                        updated = optimizer.update(theta, grad)
                        if not np.isfinite(updated).all():
                            problem = "a step leads to parameters that are not finite"
                    else:
                        but = "" if np.isfinite(grad).all() else "not "
                        problem = f"the cost is {value} and its gradient {but}finite"
                if problem:
                    theta = min(best, key=sampled_cost)
                    advice = _advice(net, cost_of, X, Y, optimizer.lr)
                    raise ValueError(f"in epoch {epoch} {problem}; {advice}")
                theta = updated
                total += len(rows) * value
                with np.errstate(over="ignore"):  # infinite is a norm too, of a gradient that is finite
                    norm += len(rows) * float(np.linalg.norm(grad))
                    layer_norms += len(rows) * np.sqrt(np.add.reduceat(grad * grad, starts))
                seen += len(rows)
                shown.step(epoch, total / seen)
            history.cost.append(total / seen)
            history.gradient_norm.append(norm / seen)
            history.layer_gradient_norm.append((layer_norms / seen).tolist())
            if history.cost[-1] < lowest:
                lowest, best = history.cost[-1], [begun, theta]
            _write(theta, parameters)
            if held_out is not None:
                with ieee():  # infinite is a cost too, and no reason to stop
                    history.validation_cost.append(cost_on(*held_out))
            shown.epoch(epoch, history)
            if on_epoch is not None:
                on_epoch(epoch, history)
                theta = np.array([parameter.data for parameter in parameters])
        if history.cost[-1] > _DIVERGED * start > 0:
            theta = min(best, key=sampled_cost)
            advice = _advice(net, cost_of, X, Y, optimizer.lr)
            warnings.warn(
                f"the cost was {start:.4g} before training and is {history.cost[-1]:.4g} now; {advice}. The "
                f"network keeps the parameters of the lowest cost it had, {sampled_cost(theta):.4g}",
                stacklevel=2,
            )
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        shown.close()
        _write(theta, parameters)
    return history


def predict(net: MLP, X: ArrayLike) -> Array:
    """The network's outputs for each row of X, (m, n), as an array (m, K).

    Raises ValueError where X has another shape or an entry that is not finite.
    """
    inputs = _inputs("", X, net)
    if len(inputs) < _WORTH_COMPILING or not all(isinstance(sigma, str) for sigma in net.activations):
        return np.array([[a_k.data for a_k in net.trace(x).output] for x in inputs])
    from autobp.compiler import compile

    step = compile(lambda x: net.trace(x).output, net.parameters())
    return np.asarray(step(step.theta, inputs))


def accuracy(net: MLP, X: ArrayLike, Y: ArrayLike, threshold: float | None = None) -> float:
    """The part of the samples that are classified rightly, from 0 to 1.

    With several outputs the largest is the network's answer, and Y is one-hot, (m, K), or class numbers,
    (m,). With one output the answer is whether it exceeds the threshold, and so is the target: 0.5 for a
    probability, 0 for a logit with targets 0 and 1, or for targets ±1. Left out, it is 0.5 after a sigmoid;
    no other output tells.

    Raises ValueError where X or Y has another shape, a target is no class, or the threshold is left out and
    the output is not a sigmoid's.
    """
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


def _outputs_and_targets(net: MLP, X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    outputs = predict(net, X)
    targets = numbers("Y", Y)
    if targets.shape != outputs.shape and not (targets.shape == outputs.shape[:1] and outputs.shape[1] == 1):
        raise ValueError(f"Y must have the shape {outputs.shape}; got {targets.shape}")
    return outputs, targets.reshape(outputs.shape)


def threshold_of(net: MLP, threshold: float | None) -> float:
    """The threshold that is given, or 0.5 after a sigmoid and for several outputs, which need none.

    ValueError where neither says what tells the two classes of one output apart.
    """
    if threshold is not None:
        return threshold
    if net.sizes[-1] == 1 and net.activations[-1] != "sigmoid":
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
    X, Y = _samples("", X, Y, net)
    cost_of = costs.named(cost)
    total = 0.0
    for x, y in zip(X, Y, strict=True):
        total += cost_of(net.trace(x).output, _target(y)).data
    return total / len(X)


def _compiled_step(net: MLP, cost_of: Callable[[Any, Any], Value], l2: float, m: int) -> Step:
    """Cost and gradient by the matrix program of one sample's graph."""
    from autobp.compiler import compile

    def loss(x: Sequence[Value], y: Any) -> Value:
        cost = cost_of(net.trace(x).output, y)
        return cost + costs.l2(net, l2, m) if l2 else cost

    step: Step = compile(loss, net.parameters())
    return step


def _compiled_cost(net: MLP, cost_of: Callable[[Any, Any], Value]) -> Callable[[Array, Array], float]:
    """The mean cost of samples (X, Y) by the matrix program of one sample's graph."""
    from autobp.compiler import compile

    step = compile(lambda x, y: cost_of(net.trace(x).output, y), net.parameters())
    return lambda X, Y: float(step.value(step.theta, X, Y))


def _eager_step(net: MLP, cost_of: Callable[[Any, Any], Value], l2: float, m: int) -> Step:
    """Cost and gradient by the graph of each sample, walked back in Values."""
    parameters = net.parameters()

    def step(theta: Array, X: Array, Y: Array) -> tuple[float, Array]:
        _write(theta, parameters)
        net.zero_grad()
        with ieee():  # fit tells what is not finite, and when
            loss = mean([cost_of(net.trace(x).output, _target(y)) for x, y in zip(X, Y, strict=True)])
            if l2:
                loss = loss + costs.l2(net, l2, m)
        loss.backward()
        return loss.data, np.array([parameter.grad for parameter in parameters])

    return step


def _check_output(cost_of: Callable[[Any, Any], Value], net: MLP) -> None:
    """ValueError where the cost applies what the output layer has applied already."""
    for known, applied in [
        (costs.softmax_cross_entropy, "softmax"),
        (costs.binary_cross_entropy_with_logits, "sigmoid"),
    ]:
        if cost_of is known and net.activations[-1] == applied:
            raise ValueError(
                f"{known.__name__} takes logits and applies {applied} itself, but the output layer is "
                f"{applied} too: make it linear, or take binary_cross_entropy"
            )


def _check_targets(what: str, cost_of: Callable[[Any, Any], Value], Y: Array, net: MLP) -> None:
    """ValueError or IndexError where targets are none that the cost takes: compiled, it cannot tell itself.

    Of a cost of one's own nothing is known.
    """
    k = net.sizes[-1]
    name = next((name for name, known in costs.COSTS.items() if cost_of is known), None)
    if name is None:
        return
    if name == "softmax_cross_entropy" and Y.ndim == 1 and k > 1:
        right = np.isin(Y, np.arange(k))
        if not right.all():
            i = int(np.argmin(right))
            raise IndexError(f"{what}Y[{i}] is {Y[i]:g}, but {k} outputs are the classes 0 to {k - 1}")
        return
    if name == "softmax_cross_entropy" and k == 1:
        raise ValueError(
            f"{name} needs an output for each class, two or more; for one output there is "
            "binary_cross_entropy_with_logits"
        )
    if Y.shape != (len(Y), k) and not (k == 1 and Y.ndim == 1):
        hint = ""
        if k > 1 and Y.size == len(Y):
            class_numbers = "they have the shape (m,)" if Y.ndim == 2 else f"take np.eye({k})[Y]"
            hint = f"; if these are class numbers, {class_numbers}"
        raise ValueError(
            f"{what}Y must have the shape {(len(Y), k)}, a column for each output; got {Y.shape}{hint}"
        )
    costs.check_targets(name, Y.tolist())


def _advice(net: MLP, cost_of: Callable[[Any, Any], Value], X: Array, Y: Array, lr: float) -> str:
    """What to do where training diverges."""
    advice = [f"try a smaller learning rate than {lr:g}"]
    for what, array in [("inputs", X), ("targets", Y)]:
        class_numbers = array is Y and cost_of is costs.softmax_cross_entropy
        if np.abs(array).max() > 10 and not class_numbers:
            advice.append(f"standardise the {what}, which go from {array.min():.4g} to {array.max():.4g}")
    output = net.activations[-1]
    if cost_of is costs.binary_cross_entropy:
        advice.append(
            "take binary_cross_entropy_with_logits on a linear output"
            if output in ("sigmoid", "softmax")
            else f"take binary_cross_entropy_with_logits, since the output is {output} and no probability"
        )
    return ", or ".join(advice)


def _target(y: Any) -> Any:
    """One sample's target as the costs take it: a list, or a number."""
    return y.tolist() if isinstance(y, np.ndarray) else float(y)


def _write(theta: Array, parameters: list[Value]) -> None:
    for parameter, number in zip(parameters, theta, strict=True):
        parameter.data = float(number)


def _batches(m: int, size: int, rng: random.Random) -> Iterator[list[int]]:
    order = list(range(m))
    rng.shuffle(order)
    for start in range(0, m, size):
        yield order[start : start + size]


def _inputs(what: str, X: ArrayLike, net: MLP) -> Array:
    inputs = numbers(f"{what}X", X)
    n = net.layers[0].nin
    if inputs.ndim != 2 or inputs.shape[1] != n or not len(inputs):
        hint = ""
        if inputs.ndim == 1 and n == 1:
            hint = "; for one input each, X.reshape(-1, 1)"
        elif inputs.shape == (n,):
            hint = "; for one sample, [X]"
        elif inputs.ndim == 2 and inputs.shape[0] == n:
            hint = "; for a sample in each column, X.T"
        raise ValueError(
            f"{what}X must have the shape (m, {n}), a sample in each row; got {inputs.shape}{hint}"
        )
    return inputs


def _samples(what: str, X: ArrayLike, Y: ArrayLike, net: MLP) -> tuple[Array, Array]:
    inputs = _inputs(what, X, net)
    targets = numbers(f"{what}Y", Y, costs.TEXT_TARGETS)
    if len(targets.shape) not in (1, 2) or len(targets) != len(inputs):
        raise ValueError(
            f"{what}Y must have a row for each of the {len(inputs)} samples; got {targets.shape}"
        )
    return inputs, targets


class _Progress:
    """The epoch, cost and validation cost on standard error.

    A terminal has one line, rewritten. A log cannot rewrite, and gets a line at each tenth of the epochs.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, shown: bool) -> None:
        self.epochs = epochs
        self.shown = shown and sys.stderr is not None
        self.bar: Any = None
        self.began = time.monotonic()
        self.validation = ""
        if self.shown and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=epochs * steps_per_epoch,
                desc=f"epoch {1:{self._width}}/{epochs}  ",
                bar_format="{desc}|{bar}| {percentage:3.0f} %  {elapsed} < {remaining}",
                ncols=min(100, shutil.get_terminal_size().columns),
            )

    @property
    def _width(self) -> int:
        return len(str(self.epochs))

    def step(self, epoch: int, cost: float) -> None:
        """After a batch; the cost is the mean over the epoch so far."""
        if self.bar is not None:
            self.bar.set_description_str(self._line(epoch, cost), refresh=False)
            self.bar.update()

    def epoch(self, epoch: int, history: History) -> None:
        """After an epoch, which the history has already."""
        if history.validation_cost:
            self.validation = f"validation {history.validation_cost[-1]:<#10.4g}"
        if self.bar is not None:
            last = epoch == self.epochs
            self.bar.set_description_str(self._line(epoch, history.cost[-1]), refresh=last)
        elif self.shown and epoch * 10 // self.epochs > (epoch - 1) * 10 // self.epochs:
            seconds = time.monotonic() - self.began
            print(f"{self._line(epoch, history.cost[-1])}{seconds:.0f} s", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _line(self, epoch: int, cost: float) -> str:
        return f"epoch {epoch:{self._width}}/{self.epochs}  cost {cost:<#10.4g}{self.validation}"

"""The training loop: mini-batches, an optimiser, and what to do where training diverges."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from operator import index as whole
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.about import About
from autobp.arguments import checked_seed, number, unknown
from autobp.costs import PROBABILISTIC, Cost, named
from autobp.engine import Value, ieee
from autobp.nn import MLP
from autobp.optim import OPTIMIZERS, Optimizer, Scheduled
from autobp.training.gradients import CostAndGradient, compiled_cost, step_of, write
from autobp.training.measures import mean_cost
from autobp.training.progress import History, Progress, slow_builds_shown
from autobp.training.samples import Samples, check_targets, samples_of
from autobp.training.stopping import LowestCost

if TYPE_CHECKING:
    from autobp.compiler.machine_code import Backend
    from autobp.training.blocks import BlockSamples

Array = NDArray[np.float64]
#: The number of samples, and their X and Y.
Batch = tuple[int, Any, Any]
#: On so many samples, spread over all, the cost is taken before training, to tell whether it diverges.
_SAMPLED = 100
#: A cost that ends so many times as high has diverged: a cost that wavers around its start has not.
_DIVERGED = 10


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
    seed: SupportsIndex | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    progress: bool = True,
    compiled: bool = True,
    on_epoch: Callable[[int, History], None] | None = None,
    patience: int | None = None,
    schedule: str | Callable[[float], float] | None = None,
    backend: Backend = "auto",
) -> History:
    """Train a network by mini-batches; its parameters are updated in place.

    Where the cost ends above ten times what it was before, a warning says so, and the network keeps the
    parameters with the lowest cost: those that the best epoch began or ended with.

    Where X or Y is a Dask array, each block of rows gives its cost and gradient where it is. A batch is then
    of whole blocks, as many as have ``batch_size`` samples on average and at least one; with all samples in
    a batch the result is that of NumPy's arrays, to rounding.

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
        seed: for the shuffling, from 0; left out, it differs from run to run.
        validation: (X, Y) to watch the cost on after each epoch.
        progress: whether to show the progress on standard error: in a terminal one line that is kept up to
            date, elsewhere at most ten lines in all; and one where building machine code takes a second.
        compiled: whether to run the graph as a matrix program, which gives the same numbers faster; if
            false, each sample's graph is built and walked back in Values, which is not for Dask arrays.
        on_epoch: called as on_epoch(epoch, history) after each epoch, which count from 1. It may change the
            network's parameters.
        patience: end after so many epochs, at least 1, without a new lowest cost on the validation set, and
            leave the network the parameters of the lowest; Ctrl-C does too. Left out, all epochs are run, and
            the network keeps the last parameters.
        schedule: what the learning rate is multiplied by in each epoch: "constant", "linear" or "cosine"
            (both down to 0), or a function of the part of the epochs that is done, from 0 to below 1. Left
            out, the optimiser's ``lr`` is left alone, so that ``on_epoch`` may set it.
        backend: what runs the matrix program: "numpy"; "c", machine code; or "auto", machine code where it
            can be had and so many steps are ahead that it saves more time than it takes to build.

    Returns:
        The history. After Ctrl-C it says ``interrupted``, and the network has the parameters reached.

    Raises:
        IndexError: a class number among the targets is not that of an output.
        TypeError: an argument is of another kind.
        Diverged: a ValueError: the cost, a gradient or a parameter is no longer finite
            (the message says when; the network keeps the parameters with the lowest cost, as above).
        ValueError: shapes or values do not fit.
        NoMachineCode: a RuntimeError: the backend is "c", and there is no machine code.
    """
    cost_of = named(cost)
    samples, held_out = _checked_samples(net, X, Y, validation, cost_of, compiled)
    epochs, batch_size = _at_least_one(epochs=epochs, batch_size=batch_size)
    l2 = _penalty(l2)
    rng = random.Random(None if seed is None else checked_seed(seed))
    lowest = LowestCost(patience, held_out is not None)
    parameters = net.parameters()
    n_batches = samples.n_batches(batch_size)
    step = step_of(net, cost_of, l2, len(samples), backend if compiled else None, epochs * n_batches)
    with slow_builds_shown(progress and compiled):  # the first call builds
        descent = _Descent(net, samples, cost_of, step, _optimizer(optimizer, parameters, lr))
    scheduled = Scheduled(descent.optimizer, schedule, epochs)
    cost_on = compiled_cost(net, cost_of) if compiled else partial(mean_cost, net, cost=cost_of)
    history = History()
    shown = Progress(epochs, n_batches, progress)
    try:
        for epoch in range(1, epochs + 1):
            scheduled.begin(epoch)
            descent.run_epoch(epoch, samples.batches(batch_size, rng), shown, history)
            write(descent.theta, parameters)
            if held_out is not None:
                with ieee():  # infinite is a cost too, and no reason to stop
                    history.validation_cost.append(cost_on(*held_out))
                lowest.see(epoch, history.validation_cost[-1], descent.theta)
            shown.epoch(epoch, history)
            if on_epoch is not None:
                on_epoch(epoch, history)
                descent.theta = np.array([parameter.data for parameter in parameters])
            if lowest.enough(epoch):
                break
        _tell_of_divergence(descent, history)
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        shown.close()
        scheduled.end()
        if patience is not None and lowest.theta is not None and not history.diverged:
            descent.theta, history.best_epoch = lowest.theta, lowest.epoch
        write(descent.theta, parameters)
    return history


def _checked_samples(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    validation: tuple[ArrayLike, ArrayLike] | None,
    cost_of: Callable[[Any, Any], Value],
    compiled: bool,
) -> tuple[Samples | BlockSamples, tuple[Array, Array] | None]:
    """The samples to train on and those to watch, once the network and the cost take them.

    The network's ``about`` has the cost's name from then on.
    """
    if isinstance(cost_of, Cost):
        cost_of.check_output(net.activations[-1])
    samples = _samples("", X, Y, net, cost_of, compiled)
    watched = None if validation is None else _samples("validation ", *validation, net, cost_of, compiled)
    held_out = None if watched is None else (watched.X, watched.Y)
    net.about = replace(net.about or About(), cost=cost_of.name if isinstance(cost_of, Cost) else "")
    return samples, held_out


def _samples(
    what: str, X: ArrayLike, Y: ArrayLike, net: MLP, cost_of: Callable[[Any, Any], Value], compiled: bool
) -> Samples | BlockSamples:
    """The samples, once the network and the cost take them; ``what`` says in messages which they are."""
    from autobp.compiler.blocks import in_blocks

    there = in_blocks([X, Y])
    if there and not compiled:
        raise TypeError(
            f"compiled=False builds the graph of each sample in this process, and {what}X or {what}Y is a "
            "Dask array: leave compiled=False out, or give NumPy's arrays"
        )
    if there:
        from autobp.training.blocks import block_samples

        return block_samples(what, X, Y, net, cost_of)
    inputs, targets = samples_of(what, X, Y, net)
    check_targets(what, cost_of, targets, net)
    return Samples(inputs, targets)


def _tell_of_divergence(descent: _Descent, history: History) -> None:
    """Go back to the best parameters, with a warning, where the cost has ended far above its start."""
    if not history.cost[-1] > _DIVERGED * descent.start > 0:
        return
    history.diverged = True
    lowest = descent.back_to_the_best()
    warnings.warn(
        f"the cost was {descent.start:.4g} before training and is {history.cost[-1]:.4g} now; "
        f"{descent.advice()}. The network keeps the parameters of the lowest cost it had, {lowest:.4g}",
        stacklevel=3,
    )


def _penalty(l2: float) -> float:
    """λ as a number; TypeError where it is none, ValueError where it is below 0."""
    l2 = number("l2, the penalty's λ,", l2)
    if not l2 >= 0:
        raise ValueError(f"l2, the penalty's λ, must be at least 0; got {l2!r}")
    return l2


def _at_least_one(**counts: Any) -> list[int]:
    """The numbers as int; TypeError or ValueError where one is no whole number, or below 1."""
    for name, given in counts.items():
        if not hasattr(given, "__index__"):
            raise TypeError(f"{name} must be a whole number; got {given!r}")
    numbers = [whole(given) for given in counts.values()]
    if min(numbers) < 1:
        raise ValueError(f"{' and '.join(counts)} must be at least 1; got {' and '.join(map(str, numbers))}")
    return numbers


def _optimizer(optimizer: str | Optimizer, parameters: list[Value], lr: float) -> Optimizer:
    """The optimiser of that name, or the one given; ValueError or TypeError where it is none of these."""
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ValueError(unknown("optimizer", optimizer, OPTIMIZERS, {"gradientdescent": "'sgd'"}))
        return OPTIMIZERS[optimizer](parameters, lr=lr)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"an optimizer is a name ({', '.join(OPTIMIZERS)}) or made of the network's parameters, as "
            f"optim.SGD(net.parameters(), lr=0.1) is; got {optimizer!r}"
        )
    if [id(p) for p in optimizer.parameters] != [id(p) for p in parameters]:
        raise ValueError("the optimizer was made for other parameters than this network's")
    return optimizer


class Diverged(ValueError):
    """A cost, a gradient or a parameter is no longer finite."""


class _Descent:
    """The parameters on their way down, and the best that they have been.

    Attributes:
        theta: the parameters now, (n_parameters,).
        start: the cost before training.
    """

    def __init__(
        self,
        net: MLP,
        samples: Samples | BlockSamples,
        cost_of: Callable[[Any, Any], Value],
        cost_and_gradient: CostAndGradient,
        optimizer: Optimizer,
    ) -> None:
        self.net, self.samples = net, samples
        self.sampled = samples.spread(_SAMPLED)
        self.cost_of = cost_of
        self.optimizer = optimizer
        self.cost_and_gradient = cost_and_gradient
        self.layers = np.cumsum([0, *[len(layer.parameters()) for layer in net.layers[:-1]]])  # in theta
        self.theta = np.array([parameter.data for parameter in net.parameters()])
        self.start = self._sampled_cost(self.theta)
        # What the epoch of the lowest cost began and ended with: its cost is a mean over the way between.
        self.lowest, self.best = np.inf, [self.theta]

    def run_epoch(self, epoch: int, batches: Iterable[Batch], shown: Progress, history: History) -> None:
        """A step for each batch, and what the history has of the epoch.

        Raises Diverged where a number is no longer finite; theta is the best there was then.
        """
        total, norm, layer_norms, seen = 0.0, 0.0, np.zeros(len(self.layers)), 0
        begun = self.theta
        for m, X, Y in batches:
            value, grad = self._step(epoch, X, Y)
            total += m * value
            with np.errstate(over="ignore"):  # infinite is a norm too, of a gradient that is finite
                norm += m * float(np.linalg.norm(grad))
                layer_norms += m * np.sqrt(np.add.reduceat(grad * grad, self.layers))
            seen += m
            shown.step(epoch, total / seen)
        history.cost.append(total / seen)
        history.gradient_norm.append(norm / seen)
        history.layer_gradient_norm.append((layer_norms / seen).tolist())
        if history.cost[-1] < self.lowest:
            self.lowest, self.best = history.cost[-1], [begun, self.theta]

    def _step(self, epoch: int, X: Any, Y: Any) -> tuple[float, Array]:
        """The cost and gradient on a batch, after one step against the gradient."""
        problem = ""
        with np.errstate(over="ignore", invalid="ignore"):  # told below, with what to do
            value, grad = self.cost_and_gradient(self.theta, X, Y)
            if np.isfinite(value) and np.isfinite(grad).all():
                updated = self.optimizer.update(self.theta, grad)
                if not np.isfinite(updated).all():
                    problem = "a step leads to parameters that are not finite"
            else:
                but = "" if np.isfinite(grad).all() else "not "
                problem = f"the cost is {value} and its gradient {but}finite"
        if problem:
            self.back_to_the_best()
            raise Diverged(f"in epoch {epoch} {problem}; {self.advice()}")
        self.theta = updated
        return value, grad

    def back_to_the_best(self) -> float:
        """The lowest cost there was, on the samples looked at; theta has its parameters again."""
        self.theta = min(self.best, key=self._sampled_cost)
        return self._sampled_cost(self.theta)

    def _sampled_cost(self, theta: Array) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            cost, _ = self.cost_and_gradient(theta, *self.sampled)
        return cost if np.isfinite(cost) else np.inf

    def advice(self) -> str:
        """What to do where training diverges."""
        cost = self.cost_of if isinstance(self.cost_of, Cost) else None
        advice = [f"try a smaller learning rate than {self.optimizer.lr:g}"]
        for what, (low, high) in zip(("inputs", "targets"), self.samples.ranges(), strict=True):
            class_numbers = what == "targets" and cost is not None and cost.of_class is not None
            if max(-low, high) > 10 and not class_numbers:
                advice.append(f"standardise the {what}, which go from {low:.4g} to {high:.4g}")
        output = self.net.activations[-1]
        if cost is not None and cost.on_logits:
            advice.append(
                f"take {cost.on_logits} on a linear output"
                if output in PROBABILISTIC
                else f"take {cost.on_logits}, since the output is {output} and no probability"
            )
        return ", or ".join(advice)

"""The network that a command is given, by sizes or as a saved file, and samples to show it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import autobp
from autobp import costs, nn
from autobp.activations import known_activations
from autobp.command.arguments import at_least_zero, count, fitting, names, one_of, size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def add_network(command: argparse.ArgumentParser, activation: str = "sigmoid") -> None:
    """Add the arguments that :func:`network_of` and :func:`cost_of` read."""
    command.add_argument("network", nargs="+", metavar="SIZE | FILE.npz",
                         help="inputs, hidden layers, outputs; or a saved network")  # fmt: skip
    command.add_argument(
        "-a", "--activation", type=names, default=[activation], metavar="NAME[,NAME…]",
        help=f"one for all layers or one for each: {', '.join(known_activations())} (default: {activation})",
    )  # fmt: skip
    command.add_argument(
        "-c", "--cost", type=one_of("cost", costs.COSTS, costs.elsewhere()), metavar="COST",
        help=f"{', '.join(costs.COSTS)} (default: {costs.suiting('sigmoid').name} where the outputs are "
        f"probabilities, {' or '.join(costs.PROBABILISTIC)}, else {costs.suiting('linear').name})",
    )  # fmt: skip
    command.add_argument("--l2", type=at_least_zero, default=0.0, metavar="λ",
                         help="the λ of the penalty λ/(2m) Σ w² (default: 0)")  # fmt: skip
    command.add_argument("--no-bias", action="store_true", help="neurons without biases")
    command.add_argument(
        "--init", default="xavier", metavar="NAME",
        help=f"how weights start: {', '.join(nn.INITIALISATIONS)} (default: xavier)",
    )  # fmt: skip
    command.add_argument("--seed", type=count, default=0, help="for weights and samples (default: 0)")


def network_of(options: argparse.Namespace) -> nn.MLP:
    """The saved network that is named, or a random one of the sizes."""
    if len(options.network) == 1 and options.network[0].endswith(".npz"):
        return nn.MLP.load(options.network[0])
    wrong = [text for text in options.network if not text.isdecimal() or not text.strip("0")]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is neither a SIZE, a whole number above 0, nor a FILE.npz alone")
    try:
        options.sizes = [size(text) for text in options.network]
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"SIZE: {error}") from None
    return random_network(options)


def random_network(options: argparse.Namespace) -> nn.MLP:
    """A network of ``options.sizes``."""
    sizes = fitting(options.sizes)
    if len(sizes) < 2:
        raise ValueError(f"a network needs two sizes or more, inputs first and outputs last; got {sizes}")
    activation = options.activation
    return nn.MLP(
        sizes[0],
        sizes[1:],
        activation[0] if len(activation) == 1 else activation,
        bias=not options.no_bias,
        init=options.init,
        seed=options.seed,
    )


def cost_of(net: nn.MLP, options: argparse.Namespace) -> str:
    """The cost asked for, or the one it was trained with, or the one that suits the output."""
    chosen: str | None = options.cost
    known = net.about.cost if net.about is not None and net.about.cost in costs.COSTS else ""
    return chosen or known or costs.suiting(net.activations[-1]).name


def random_samples(m: int, n: int, k: int, cost: str, seed: int) -> tuple[Array, Array]:
    """m random samples with targets that suit the cost."""
    import numpy as np

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, n))
    return X, costs.COSTS[cost].random_targets(m, k, rng)


def problem_of(options: argparse.Namespace, m: int) -> tuple[nn.MLP, str, Array, Array]:
    """The network and its cost, and m random samples with targets."""
    net = network_of(options)
    cost = cost_of(net, options)
    return net, cost, *random_samples(m, net.sizes[0], net.sizes[-1], cost, options.seed)


def told_by(net: nn.MLP) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of its inputs and of its classes that a network was saved with, if it was."""
    return ((), ()) if net.about is None else (net.about.names, net.about.classes)


def cost_on(net: nn.MLP, cost: str, x: Array, y: Array) -> tuple[nn.Trace, autobp.Value]:
    """The cost of one sample, targets and all with their names, after its backward pass."""
    trace = net.trace(x.tolist())
    targets = [autobp.Value(number, label=f"y[{k}]") for k, number in enumerate(y.tolist(), start=1)]
    loss = costs.named(cost)(trace.output, targets)
    loss.label = "J"
    loss.backward()
    return trace, loss



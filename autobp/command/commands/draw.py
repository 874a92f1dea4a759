"""``autobp draw``."""

from __future__ import annotations

import argparse
from pathlib import Path

import autobp
from autobp import nn
from autobp.arguments import closest
from autobp.command.arguments import one_of
from autobp.command.files import picture_format, write
from autobp.command.networks import add_network, cost_on, problem_of, told_by
from autobp.command.parser import Command

_THEMES = ("light", "dark")


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add_network(command)
    command.add_argument("-w", "--what", choices=["network", "graph"], default="network",
                         help="circles in layers, or every scalar operation (default: network)")  # fmt: skip
    command.add_argument("--theme", type=one_of("theme", _THEMES), default="light", metavar="NAME",
                         help=f"{' or '.join(_THEMES)} (default: light)")  # fmt: skip
    command.add_argument("--highlight", nargs="+", default=[], metavar="LABEL",
                         help='of a graph: the paths to these, such as "W1[1,2]"')  # fmt: skip
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write")


def _run(options: argparse.Namespace) -> int:
    kind = picture_format(options.output)
    net, cost, X, Y = problem_of(options, 1)
    trace, loss = cost_on(net, cost, X[0], Y[0])
    if options.what == "network":
        if options.highlight:
            raise ValueError("--highlight shows paths through a graph; say --what graph")
        inputs, classes = told_by(net)
        picture = autobp.draw(net, trace=trace, theme=options.theme, names=inputs, classes=classes)
    else:
        lit = [_labelled(net, label) for label in options.highlight]
        picture = autobp.draw(loss, trace=trace, theme=options.theme, highlight=lit)
    write(options.output, picture.pipe(format=kind))
    print(f"wrote {options.output}, with data and gradients of the cost {cost} on one random sample")
    return 0


def _labelled(net: nn.MLP, label: str) -> autobp.Value:
    parameters = dict(net.named_parameters())
    if label not in parameters:
        near = closest(label, parameters)
        hint = f"; did you mean {near}?" if near else f", as {next(iter(parameters))} is"
        raise ValueError(f"--highlight {label!r} is no parameter of the network{hint}")
    return parameters[label]


COMMAND = Command(
    "Draw a network, or the computation graph of its cost on one sample, with data and gradients.",
    "  autobp draw 3 2 1 -o network.svg\n"
    '  autobp draw 2 2 1 --what graph --highlight "W1[1,2]" -o graph.svg\n'
    "  autobp draw out/network.npz --theme dark -o trained.pdf\n\n"
    "The picture's format is that of the file's ending: svg, png or pdf.",
    _add_arguments,
    _run,
)

"""``autobp draw``."""

from __future__ import annotations

import argparse
from pathlib import Path

import autobp
from autobp.command.arguments import picture_format, write
from autobp.command.networks import add_network, cost_of, cost_on, network_of, random_samples
from autobp.command.parser import Command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add_network(command)
    command.add_argument("-w", "--what", choices=["network", "graph"], default="network",
                         help="circles in layers, or every scalar operation (default: network)")  # fmt: skip
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write")


def _run(options: argparse.Namespace) -> int:
    kind = picture_format(options.output)
    net = network_of(options)
    cost = cost_of(net, options)
    X, Y = random_samples(1, net.sizes[0], net.sizes[-1], cost, options.seed)
    trace, loss = cost_on(net, cost, X[0], Y[0])
    picture = autobp.draw(net if options.what == "network" else loss, trace=trace)
    write(options.output, picture.pipe(format=kind))
    print(f"wrote {options.output}, with data and gradients of the cost {cost} on one random sample")
    return 0


COMMAND = Command(
    "Draw a network, or the computation graph of its cost on one sample, with data and gradients.",
    "  autobp draw 3 2 1 -o network.svg\n"
    "  autobp draw 2 2 1 --what graph -o graph.svg\n"
    "  autobp draw out/network.npz -o trained.pdf\n\n"
    "The picture's format is that of the file's ending: svg, png or pdf.",
    _add_arguments,
    _run,
)

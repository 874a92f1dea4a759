"""``autobp page``."""

from __future__ import annotations

import argparse
from pathlib import Path

import autobp
from autobp.command.files import write_by
from autobp.command.networks import add_network, cost_on, problem_of, told_by
from autobp.command.parser import Command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add_network(command)
    command.add_argument("-w", "--what", choices=["network", "graph"], default="network",
                         help="circles in layers, or every scalar operation (default: network)")  # fmt: skip
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.html",
                         help="where to write")  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    if options.output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the output must end in .html; got {options.output}")
    net, cost, X, Y = problem_of(options, 1)
    trace, loss = cost_on(net, cost, X[0], Y[0])
    names, classes = told_by(net)

    def make(path: Path) -> None:
        if options.what == "network":
            autobp.page(net, path, trace=trace, of=loss, names=names, classes=classes)
        else:
            autobp.page(loss, path, trace=trace)

    write_by(options.output, make)
    print(f"wrote {options.output}, of the cost {cost} on one random sample; open it in a browser")
    return 0


COMMAND = Command(
    "Write a page on which a network, or the graph of its cost, can be explored in a browser.",
    "  autobp page 3 2 1 -o network.html\n"
    "  autobp page 2 2 1 --what graph -o graph.html\n"
    "  autobp page out/network.npz -o trained.html\n\n"
    "Step through the passes, drag a weight, and see every gradient change. The file needs no server.",
    _add_arguments,
    _run,
)

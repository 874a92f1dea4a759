"""``autobp check``."""

from __future__ import annotations

import argparse

from autobp import check
from autobp.command.arguments import size
from autobp.command.networks import add_network, problem_of
from autobp.command.parser import Command
from autobp.explanation.notation import NOTATIONS


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add_network(command)
    command.add_argument("-m", "--samples", type=size, default=5, help="how many (default: 5)")
    whose = f"by whose equations and names: {', '.join(NOTATIONS)} (default: autobp)"
    command.add_argument("--notation", default="autobp", metavar="NAME", help=whose)


def _run(options: argparse.Namespace) -> int:
    net, cost, X, Y = problem_of(options, options.samples)
    report = check.compare(net, X, Y, cost=cost, l2=options.l2, notation=options.notation)
    print(report)
    return 0 if report.ok else 1


COMMAND = Command(
    "Compare the scalar graph's gradients with BP1-BP4 in matrices, equation by equation.",
    "  autobp check 3 2 1\n"
    "  autobp check 4 5 3 --activation tanh,sigmoid --cost quadratic --l2 0.5\n"
    "  autobp check 4 8 3 -a relu,linear -c softmax_cross_entropy --samples 20 --seed 7\n"
    "  autobp check 2 2 2 1 --l2 0.5 --notation ML15\n"
    "  autobp check out/network.npz\n\n"
    "The exit status is 0 only when every equation agrees.",
    _add_arguments,
    _run,
)

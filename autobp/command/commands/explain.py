"""``autobp explain``."""

from __future__ import annotations

import argparse
from pathlib import Path

import autobp
from autobp import costs, nn
from autobp.command.arguments import size
from autobp.command.files import write_by
from autobp.command.networks import add_network, problem_of
from autobp.command.parser import Command
from autobp.explanation.notation import NOTATIONS


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--wrt", default="W1[1,1]", metavar="LABEL",
                         help='by what: a parameter, "W1[2,3]", from input 3 to neuron 2, or "b1[2]"; of one '
        'sample also "x[3]", "z1[2]" or "a1[2]" (default: W1[1,1])')  # fmt: skip
    command.add_argument("--notation", default="autobp", metavar="NAME",
                         help=f"{', '.join(NOTATIONS)} (default: autobp)")  # fmt: skip
    command.add_argument("--latex", action="store_true", help="LaTeX for an article that uses amsmath")
    command.add_argument("--digits", type=size, default=4, help="significant digits (default: 4)")
    command.add_argument("-o", "--output", type=Path, metavar="FILE",
                         help="for paper, .tex or, by pdflatex, .pdf; or the text, .txt")  # fmt: skip
    add_network(command)
    command.add_argument("-m", "--samples", type=size, default=1, help="how many (default: 1)")


def _run(options: argparse.Namespace) -> int:
    net, cost, X, Y = problem_of(options, options.samples)
    traces, targets = [net.trace(x) for x in X], Y.tolist()
    if len(traces) == 1:
        _label(traces[0])
    outputs = [trace.output for trace in traces]
    of = costs.named(cost)
    loss = of(outputs[0], targets[0]) if len(X) == 1 else of(outputs, targets)
    if options.l2:
        loss = loss + costs.l2(net, options.l2, len(X))
    explained = autobp.explain(loss, wrt=options.wrt, notation=options.notation, digits=options.digits)
    if options.output is not None:
        write_by(options.output, explained.write)
        print(f"wrote {options.output}")
        return 0
    samples = "one random sample" if len(X) == 1 else f"{len(X)} random samples"
    if not options.latex:
        print(f"Cost {cost} on {samples}, seed {options.seed}\n")
    print(explained.latex if options.latex else explained.text)
    return 0


def _label(trace: nn.Trace) -> None:
    """Names to ask for a sample's inputs, z and activations by."""
    for letter, layers in (("a", trace.a), ("z", trace.z)):  # z last: of a linear layer they are the same
        for layer, values in enumerate(layers):
            for j, value in enumerate(values, start=1):
                value.label = f"x[{j}]" if layer == 0 else f"{letter}{layer}[{j}]"


COMMAND = Command(
    "Write out the chain rule for one derivative of a network's cost, in symbols and in numbers.",
    '  autobp explain 3 2 1 --wrt "W1[1,1]"\n'
    '  autobp explain 3 2 2 --wrt "b2[1]" --notation BP1-BP4\n'
    '  autobp explain 3 2 1 --wrt "x[2]" --activation tanh,sigmoid\n'
    '  autobp explain 2 2 2 1 --wrt "W1[2,1]" -m 3 --l2 0.1 --notation ML15 -o it.pdf\n'
    '  autobp explain out/network.npz --wrt "W1[1,1]"',
    _add_arguments,
    _run,
)

"""``autobp export``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import autobp
from autobp import costs, nn
from autobp.about import About
from autobp.command.arguments import count, one_of
from autobp.command.files import Folder
from autobp.command.networks import cost_of, random_samples
from autobp.command.parser import Command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("network", metavar="FILE.npz", help="a saved network")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.c",
                         help="where to write; the header FILE.h is written beside it")  # fmt: skip
    command.add_argument(
        "-c", "--cost", type=one_of("cost", costs.COSTS, costs.elsewhere()), metavar="COST",
        help="of the functions value and cost_and_gradient (default: that of the training)",
    )  # fmt: skip
    command.add_argument("--seed", type=count, default=0, help="for the sample it checks (default: 0)")


def _run(options: argparse.Namespace) -> int:
    if options.output.suffix != ".c":
        raise ValueError(f"the output must end in .c; got {options.output}")
    net = nn.MLP.load(options.network)
    cost = cost_of(net, options)
    about = net.about or About()
    X, Y = random_samples(1, net.sizes[0], net.sizes[-1], cost, options.seed)
    x = X[0] * _scale(about) + _offset(about)
    units = [
        np.broadcast_to(entry, net.sizes[-1]).tolist() for entry in (about.target_scale, about.target_offset)
    ]
    y = Y[0] if about.classes else Y[0] * np.array(units[0]) + np.array(units[1])

    def predict(x: Sequence[Any]) -> list[Any]:
        outputs = zip(net.trace(scaled(x)).output, *units, strict=True)
        return [scale * a + offset for a, scale, offset in outputs]

    def scaled(x: Sequence[Any]) -> list[Any]:
        if not about.names:
            return list(x)
        columns = zip(x, about.offset, about.scale, strict=True)
        return [(entry - offset) / scale for entry, offset, scale in columns]

    def loss(x: Sequence[Any], y: Sequence[Any]) -> Any:
        targets = [(entry - offset) / scale for entry, scale, offset in zip(y, *units, strict=True)]
        return costs.named(cost)(net.trace(scaled(x)).output, targets)

    outputs = autobp.compile(predict, net.parameters(), example=(x,))
    step = autobp.compile(loss, net.parameters(), example=(x, y))
    Folder(options.output.parent)
    step.export_c(options.output, about=_words(net, about, cost), predict=outputs)
    print(f"wrote {options.output} and {options.output.with_suffix('.h').name}; to check it: "
          f"cc -std=c99 {options.output.name} -lm && ./a.out")  # fmt: skip
    return 0


def _scale(about: About) -> Any:
    return np.array(about.scale) if about.names else 1.0


def _offset(about: About) -> Any:
    return np.array(about.offset) if about.names else 0.0


def _words(net: nn.MLP, about: About, cost: str) -> str:
    """What the file is, for its head."""
    sizes = "-".join(map(str, net.sizes))
    lines = [
        f"The network {sizes} ({', '.join(map(str, net.activations))}), with the cost {cost}, by autobp."
    ]
    if about.names:
        lines.append(f"Inputs, as they were measured: {', '.join(about.names)}.")
    if about.classes:
        lines.append(f"Classes: {', '.join(about.classes)}.")
    elif about.target:
        lines.append(f"Output: {about.target}, in its own unit.")
    return "\n".join(lines)


COMMAND = Command(
    "Write a saved network as C that needs no Python: predictions, its cost, and the gradient.",
    "  autobp export out/network.npz -o network.c\n"
    "  cc -std=c99 -Wall -Wextra -Werror network.c -lm && ./a.out\n\n"
    "The program checks itself, on one sample, against what the scalar graph gives. predict takes rows as\n"
    "they were measured. To build it into another program, give -DNO_MAIN and include network.h.",
    _add_arguments,
    _run,
)

"""``autobp predict``."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np

from autobp import nn
from autobp.command.files import write
from autobp.command.parser import Command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("network", metavar="FILE.npz", help="a network that autobp train has saved")
    command.add_argument("data", type=Path, metavar="FILE.csv",
                         help="a line for each sample, unscaled, as in the training")  # fmt: skip
    command.add_argument("-o", "--output", type=Path, metavar="FILE.csv", help="(default: standard output)")


def _run(options: argparse.Namespace) -> int:
    from autobp.datasets.csv_files import read_inputs
    from autobp.training import answers

    net = nn.MLP.load(options.network)
    if net.about is None or not net.about.names:
        raise ValueError(f"{options.network} does not say what it was trained on; autobp train does")
    told = answers(net, read_inputs(options.data, net.about.names))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([net.about.target])
    lines.writerows([entry] if np.ndim(entry) == 0 else list(entry) for entry in told.tolist())
    if options.output is None:
        sys.stdout.write(text.getvalue())
    else:
        write(options.output, text.getvalue().encode())
        print(f"wrote {len(told)} answers to {options.output}")
    return 0


COMMAND = Command(
    "Answer new samples with a saved network: the classes' names, or quantities in their own units.",
    "  autobp predict out/network.npz new.csv\n"
    "  autobp predict out/network.npz new.csv -o answers.csv\n\n"
    "Columns go by the names that they had in the training, in any order, and others are left out; a file\n"
    "without names has just the inputs' columns, in their order.",
    _add_arguments,
    _run,
)

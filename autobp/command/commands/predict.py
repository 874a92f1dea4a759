"""``autobp predict``."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobp import nn
from autobp.about import About, names_of_outputs
from autobp.command.arguments import add_dialect, dialect_of
from autobp.command.files import write
from autobp.command.parser import Command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("network", metavar="FILE.npz", help="a network that autobp train has saved")
    command.add_argument("data", type=Path, metavar="FILE.csv",
                         help="a line for each sample, unscaled, as in the training")  # fmt: skip
    command.add_argument("--missing", choices=["mean"],
                         help="fill in the mean of the training where a number is missing")  # fmt: skip
    add_dialect(command.add_argument_group("how the file is written"))
    command.add_argument("-o", "--output", type=Path, metavar="FILE.csv", help="(default: standard output)")


def _run(options: argparse.Namespace) -> int:
    from autobp.datasets.new_rows import read_inputs
    from autobp.training import answers

    net = nn.MLP.load(options.network)
    if net.about is None or not net.about.names:
        raise ValueError(f"{options.network} does not say what it was trained on; autobp train does")
    X = read_inputs(
        options.data, net.about.names, dialect_of(options), target=net.about.target, missing=options.missing
    )
    told = answers(net, _filled(X, net.about, options.data))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(names_of_outputs(net.about.target, 1 if np.ndim(told) == 1 else told.shape[1]))
    lines.writerows([entry] if np.ndim(entry) == 0 else list(entry) for entry in told.tolist())
    if options.output is None:
        sys.stdout.write(text.getvalue())
    else:
        write(options.output, text.getvalue().encode())
        print(f"wrote {len(told)} answers to {options.output}")
    return 0


def _filled(X: NDArray[np.float64], about: About, data: Path) -> NDArray[np.float64]:
    """The mean of the training where a number is missing.

    ValueError where it does not know the mean, since its inputs were not scaled.
    """
    offset, scale = np.array(about.offset), np.array(about.scale)
    gaps = np.isnan(X)
    unknown = gaps.any(axis=0) & (offset == 0) & (scale == 1)
    if unknown.any():
        raise ValueError(f"{data}: {about.names[int(np.argmax(unknown))]} is missing in a row; fill it")
    return np.where(gaps, offset, X)


COMMAND = Command(
    "Answer new samples with a saved network: the classes' names, or quantities in their own units.",
    "  autobp predict out/network.npz new.csv\n"
    "  autobp predict out/network.npz new.csv -o answers.csv\n\n"
    "Columns go by the names that they had in the training, in any order, and others are left out; a file\n"
    "without names has just the inputs' columns, in their order, or all columns of the training's file if\n"
    "that had no names either.",
    _add_arguments,
    _run,
)

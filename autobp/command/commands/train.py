"""``autobp train``."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import autobp
from autobp import check, nn, optim
from autobp.command.arguments import (
    above_zero,
    add_dialect,
    at_least_zero,
    columns,
    count,
    dialect_of,
    fitting,
    one_of,
    part,
    size,
)
from autobp.command.files import Folder
from autobp.command.parser import Command
from autobp.command.results import FILES, judge, picture_network, picture_training, what_is_missing
from autobp.command.signals import interrupted_by_sigterm
from autobp.datasets import MISSING_CHOICES
from autobp.datasets import names as named_sets
from autobp.training import Diverged

if TYPE_CHECKING:
    from autobp.datasets import Dataset
    from autobp.plots import Snapshots

#: Where the epochs are left out, there are as many as make so many steps, and at least so many.
_FEWEST_STEPS = 3000
_FEWEST_EPOCHS = 30
#: One in so many samples is set apart to watch the cost on, where that makes enough of them.
_ONE_WATCHED_OF = 8
_FEWEST_WATCHED = 8
_MOST_SNAPSHOTS = 60


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", metavar="NAME | FILE.csv",
                         help=f"a data set, {', '.join(named_sets())}, or a file of samples")  # fmt: skip
    file = command.add_argument_group("for files", "Columns go by their names, or by numbers from 1.")
    file.add_argument("--target", type=columns, action="extend", metavar="COLUMN[,COLUMN…]",
                      help="what to predict; several are quantities (default: the last one)")  # fmt: skip
    file.add_argument("--drop", nargs="+", action="extend", default=[], metavar="COLUMN",
                      help="what to leave out")  # fmt: skip
    file.add_argument(
        "--header", action=argparse.BooleanOptionalAction,
        help="whether line 1 has the columns' names (default: if no cell is a number)",
    )  # fmt: skip
    file.add_argument("--task", choices=["classification", "regression"],
                      help="(default: as the target's values suggest)")  # fmt: skip
    file.add_argument("--missing", choices=MISSING_CHOICES,
                      help="what to do where something is missing: leave out the line, fill in the "
                      "column's mean, or make it a category (default: say so and end)")  # fmt: skip
    file.add_argument("--categories", nargs="+", action="extend", default=[], metavar="COLUMN",
                      help="whose values are categories though they are numbers")  # fmt: skip
    add_dialect(file)
    command.add_argument("--test-size", type=part, default=0.25, help="the part to hold out (default: 0.25)")
    command.add_argument("--hidden", type=size, nargs="*", default=[32, 32], metavar="SIZE",
                         help="sizes of the hidden layers (default: 32 32)")  # fmt: skip
    command.add_argument(
        "-a", "--activation", default="relu", metavar="NAME",
        help="of the hidden layers, as for check; the output is linear (default: relu)",
    )  # fmt: skip
    command.add_argument("--epochs", type=size, metavar="N",
                         help=f"how often to go through the samples (default: so often that it makes "
                         f"{_FEWEST_STEPS:,} steps, and {_FEWEST_EPOCHS} times at least)")  # fmt: skip
    command.add_argument("--patience", type=count, default=100, metavar="N",
                         help="end after so many epochs that are no better on an eighth of the samples, set "
                         "apart for that, and keep the best (default: 100; 0: run all epochs)")  # fmt: skip
    command.add_argument("--schedule", type=one_of("schedule", optim.SCHEDULES), metavar="NAME",
                         help=f"of the learning rate: {', '.join(optim.SCHEDULES)}")  # fmt: skip
    command.add_argument("--batch-size", type=size, default=32, help="(default: 32)")
    command.add_argument(
        "--optimizer", type=one_of("optimizer", optim.OPTIMIZERS), default="adam", metavar="NAME",
        help=f"{', '.join(optim.OPTIMIZERS)} (default: adam)",
    )  # fmt: skip
    command.add_argument("--lr", type=above_zero, default=0.01, help="the learning rate (default: 0.01)")
    command.add_argument("--l2", type=at_least_zero, default=0.1, metavar="λ",
                         help="the λ of the penalty λ/(2m) Σ w² (default: 0.1)")  # fmt: skip
    command.add_argument("--seed", type=count, default=0, help="for split, weights and order (default: 0)")
    command.add_argument("--check", type=count, default=8, metavar="M", dest="n_checked",
                         help="on how many samples to check the gradients (default: 8; 0: none)")  # fmt: skip
    command.add_argument("--eager", action="store_true",
                         help="build and walk every sample's graph instead of compiling it")  # fmt: skip
    command.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER", help="(default: out)")
    command.add_argument("--quiet", action="store_true", help="no progress bar")

def _run(options: argparse.Namespace) -> int:
    from autobp import datasets, plots

    data = datasets.load(
        options.data, test_size=options.test_size, seed=options.seed, target=options.target,
        drop=options.drop, header=options.header, task=options.task, missing=options.missing,
        categories=options.categories, **asdict(dialect_of(options)),
    )  # fmt: skip
    sizes = fitting([data.X.shape[1], *options.hidden, data.Y.shape[1]])
    net = nn.MLP(
        sizes[0],
        sizes[1:],
        [*[options.activation] * len(options.hidden), "linear"],
        init="xavier",
        seed=options.seed,
    )
    net.about = data.about()
    folder = Folder(options.out)
    for sentence in what_is_missing():
        print(f"autobp train: {sentence}", file=sys.stderr)
    print(data)
    print(f"network {'-'.join(map(str, net.sizes))}, {len(net.parameters())} parameters, cost {data.cost}")
    steps_per_epoch = -(-len(data.X) // options.batch_size)
    epochs = options.epochs or max(_FEWEST_EPOCHS, -(-_FEWEST_STEPS // steps_per_epoch))
    frames = None
    if data.classes and data.X.shape[1] == 2:
        frames = plots.Snapshots(net, every=-(-epochs // _MOST_SNAPSHOTS))
    with interrupted_by_sigterm() as termination:
        try:
            history = _fit(net, data, options, epochs, frames)
        except Diverged as error:
            _save(net, folder)
            print(f"autobp train: {error}; {folder.path / 'network.npz'} has the best there was",
                  file=sys.stderr)  # fmt: skip
            return 1
        _save(net, folder)
        if termination.came:
            print(f"ended by SIGTERM; wrote network.npz into {folder.path}/", file=sys.stderr)
            return 143
        judge(net, data)
        try:
            picture_training(net, data, history, frames, folder)
            picture_network(net, data, folder)
        finally:
            _tell_of_files(folder)
    agree = _check(net, data, options)
    return 1 if history.diverged or not agree else 0


def _fit(
    net: nn.MLP, data: Dataset, options: argparse.Namespace, epochs: int, frames: Snapshots | None
) -> autobp.History:
    """Train, and say what became of the cost. The samples are shuffled: the last ones are to watch it on."""
    n_watched = len(data.X) // _ONE_WATCHED_OF
    watching = bool(options.patience) and n_watched >= _FEWEST_WATCHED
    trained = slice(len(data.X) - n_watched if watching else None)
    started = time.perf_counter()
    history = autobp.fit(
        net, data.X[trained], data.Y[trained], cost=data.cost, epochs=epochs, batch_size=options.batch_size,
        optimizer=options.optimizer, lr=options.lr, l2=options.l2, seed=options.seed,
        validation=(data.X[-n_watched:], data.Y[-n_watched:]) if watching else None,
        patience=options.patience if watching else None, schedule=options.schedule,
        progress=not options.quiet, compiled=not options.eager, on_epoch=frames,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if history.interrupted:
        print(f"interrupted after {len(history.cost)} epochs; the network keeps what it had learned")
    if history.cost:
        print(f"cost {history.cost[0]:.4g} after the first epoch, {history.cost[-1]:.4g} after the last, "
              f"in {seconds:.1f} s")  # fmt: skip
    if history.best_epoch:
        print(f"kept epoch {history.best_epoch} of {len(history.cost)}, the best on {n_watched} samples "
              "that it was not trained on")  # fmt: skip
    return history


def _save(net: nn.MLP, folder: Folder) -> None:
    """Save the network first of all: pictures can be drawn again."""
    try:
        net.save(folder.path / "network.npz")
    except OSError as error:
        why = f"cannot write {folder.path / 'network.npz'}: {error.strerror or error}"
        raise OSError(f"{why}; what was there before stays") from error
    folder.written.append("network.npz")


def _tell_of_files(folder: Folder) -> None:
    print(f"wrote {', '.join(sorted(folder.written))} into {folder.path}/")
    old = folder.left_from_before(FILES)
    if old:
        print(f"left from before, and of another network: {', '.join(sorted(old))}")


def _check(net: nn.MLP, data: Dataset, options: argparse.Namespace) -> bool:
    """Compare with BP1-BP4 on the first samples; true where all agree or no samples are asked for."""
    n = options.n_checked
    if not n:
        return True
    report = check.compare(net, data.X[:n], data.Y[:n], cost=data.cost, l2=options.l2)
    print()
    print(report)
    return report.ok


COMMAND = Command(
    "Train a network on real data, check its gradients on real samples, and picture what it did.",
    "  autobp train digits\n"
    "  autobp train moons --hidden 16 16 --activation relu --epochs 60\n"
    "  autobp train flowers.csv --target species --drop id --hidden 8 --l2 0.1 --out results\n\n"
    "It writes network.npz, learning_curve.svg (with the gradient's norm in each layer), network.svg,\n"
    "graph.svg and, for classes, confusion_matrix.svg and, where there are two inputs,\n"
    "decision_boundary.svg, for quantities predictions.svg, into the folder given by --out, replacing\n"
    "files of these names. Ctrl-C or SIGTERM ends the training and keeps what was learned.\n"
    "The exit status is 1 where the training diverged or the gradients disagree with BP1-BP4.",
    _add_arguments,
    _run,
)

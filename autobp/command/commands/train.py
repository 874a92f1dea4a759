"""``autobp train``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import autobp
from autobp import check, costs, nn, optim
from autobp.command.arguments import above_zero, at_least_zero, one_of, size, write
from autobp.command.networks import cost_on
from autobp.command.parser import Command

if TYPE_CHECKING:
    from autobp.datasets import Dataset
    from autobp.plots import Snapshots


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", metavar="NAME | FILE.csv", help="a data set, or a file with a line a sample")
    file = command.add_argument_group("for files", "Columns go by their names, or by numbers from 1.")
    file.add_argument("--target", metavar="COLUMN", help="what to predict (default: the last one)")
    file.add_argument("--drop", nargs="+", action="extend", default=[], metavar="COLUMN",
                      help="what to leave out")  # fmt: skip
    file.add_argument(
        "--header", action=argparse.BooleanOptionalAction,
        help="whether line 1 has the columns' names (default: if no cell is a number)",
    )  # fmt: skip
    file.add_argument("--task", choices=["classification", "regression"],
                      help="(default: as the target's values suggest)")  # fmt: skip
    command.add_argument("--test-size", type=float, default=0.25, help="the part to hold out (default: 0.25)")
    command.add_argument("--hidden", type=size, nargs="*", default=[32], metavar="SIZE",
                         help="sizes of the hidden layers (default: 32)")  # fmt: skip
    command.add_argument(
        "-a", "--activation", default="tanh", metavar="NAME",
        help="of the hidden layers, as for check; the output is linear (default: tanh)",
    )  # fmt: skip
    command.add_argument("--epochs", type=size, default=30, help="(default: 30)")
    command.add_argument("--batch-size", type=size, default=32, help="(default: 32)")
    command.add_argument(
        "--optimizer", type=one_of("optimizer", optim.OPTIMIZERS), default="adam", metavar="NAME",
        help=f"{' or '.join(optim.OPTIMIZERS)} (default: adam)",
    )  # fmt: skip
    command.add_argument("--lr", type=above_zero, default=0.01, help="the learning rate (default: 0.01)")
    command.add_argument("--l2", type=at_least_zero, default=0.1, metavar="λ",
                         help="the λ of the penalty λ/(2m) Σ w² (default: 0.1)")  # fmt: skip
    command.add_argument("--seed", type=int, default=0, help="for split, weights and order (default: 0)")
    command.add_argument("--check", type=int, default=8, metavar="M", dest="n_checked",
                         help="on how many samples to check the gradients (default: 8; 0: none)")  # fmt: skip
    command.add_argument("--eager", action="store_true",
                         help="build and walk every sample's graph instead of compiling it")  # fmt: skip
    command.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER", help="(default: out)")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _run(options: argparse.Namespace) -> int:
    from autobp import datasets, plots

    data = datasets.load(
        options.data, test_size=options.test_size, seed=options.seed, target=options.target,
        drop=options.drop, header=options.header, task=options.task,
    )  # fmt: skip
    net = nn.MLP(
        data.X.shape[1],
        [*options.hidden, data.Y.shape[1]],
        [*[options.activation] * len(options.hidden), "linear"],
        init="xavier",
        seed=options.seed,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    print(data)
    print(f"network {'-'.join(map(str, net.sizes))}, {len(net.parameters())} parameters, cost {data.cost}")
    frames = plots.Snapshots(net) if data.classes and data.X.shape[1] == 2 else None
    history = _fit(net, data, options, frames)
    _judge(net, data)
    net.save(options.out / "network.npz")
    _picture(net, data, history, frames, options.out)
    written = sorted(path.name for path in options.out.iterdir())
    print(f"wrote {', '.join(written)} into {options.out}/")
    if not options.n_checked:
        return 0
    n = options.n_checked
    report = check.compare(net, data.X[:n], data.Y[:n], cost=data.cost, l2=options.l2)
    print()
    print(report)
    return 0 if report else 1


def _fit(
    net: nn.MLP, data: Dataset, options: argparse.Namespace, frames: Snapshots | None
) -> autobp.History:
    """Train, and say what became of the cost."""
    started = time.perf_counter()
    history = autobp.fit(
        net, data.X, data.Y, cost=data.cost, epochs=options.epochs, batch_size=options.batch_size,
        optimizer=options.optimizer, lr=options.lr, l2=options.l2, seed=options.seed,
        validation=(data.X_test, data.Y_test) if len(data.X_test) else None,
        progress=not options.quiet, compiled=not options.eager, on_epoch=frames,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if history.interrupted:
        print(f"interrupted after {len(history.cost)} epochs; the network keeps what it had learned")
    if history.cost:
        print(f"cost {history.cost[0]:.4g} after the first epoch, {history.cost[-1]:.4g} after the last, "
              f"in {seconds:.1f} s")  # fmt: skip
    return history


def _judge(net: nn.MLP, data: Dataset) -> None:
    """Say how good the network is, on the samples held out where there are some."""
    held_out = len(data.X_test) > 0
    if data.classes and held_out:
        right = autobp.accuracy(net, data.X_test, data.Y_test, threshold=_threshold(data))
        print(f"held-out accuracy {100 * right:.1f} %")
    if not data.classes:
        where, samples = (
            ("held-out", (data.X_test, data.Y_test)) if held_out else ("on these samples", (data.X, data.Y))
        )
        error = autobp.rmse(net, *samples) * data.target_scale
        print(f"{where} R² {autobp.r_squared(net, *samples):.3f}, RMSE {error:.4g} in units of {data.target}")


def _picture(
    net: nn.MLP, data: Dataset, history: autobp.History, frames: Snapshots | None, folder: Path
) -> None:
    """Write the pictures of a training into the folder."""
    from autobp import plots

    if history.cost:
        plots.learning_curve(history, gradients=True).savefig(folder / "learning_curve.svg")
    if frames is not None:
        boundary = plots.decision_boundary(
            frames, data.X, data.Y, threshold=_threshold(data), classes=data.classes, names=data.names
        )
        boundary.savefig(folder / "decision_boundary.svg")
    if len(data.classes) > 2 and len(data.X_test):
        images = None if data.image_shape is None else data.images(data.X_test)
        confusion = plots.confusion_matrix(
            net, data.X_test, data.Y_test, classes=data.classes, images=images
        )
        confusion.savefig(folder / "confusion_matrix.svg")
    trace, loss = cost_on(net, data.cost, data.X[0], data.Y[0])
    drawing = autobp.draw(net, trace=trace, names=data.names, classes=data.classes)
    write(folder / "network.svg", drawing.pipe(format="svg"))
    write(folder / "graph.svg", autobp.draw(loss, trace=trace, direction="TB").pipe(format="svg"))


def _threshold(data: Dataset) -> float | None:
    """The output above which the network's answer is the second of two classes; None for more than two."""
    return costs.COSTS[data.cost].threshold


COMMAND = Command(
    "Train a network on real data, check its gradients on real samples, and picture what it did.",
    "  autobp train digits\n"
    "  autobp train moons --hidden 16 16 --activation relu --epochs 60\n"
    "  autobp train flowers.csv --target species --drop id --hidden 8 --l2 0.1 --out results\n\n"
    "It writes network.npz, learning_curve.svg (with the gradient's norm in each layer), network.svg,\n"
    "graph.svg and, for classes, decision_boundary.svg where there are two inputs and\n"
    "confusion_matrix.svg where there are three classes or more, into the folder given by --out,\n"
    "replacing files of these names. Ctrl-C ends the training and keeps what was learned.",
    _add_arguments,
    _run,
)

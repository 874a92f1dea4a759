"""What a training leaves: its pictures, and sentences that say how good the network is."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import autobp
from autobp import costs, nn
from autobp.about import names_of_outputs
from autobp.command.files import Folder
from autobp.command.networks import cost_on
from autobp.training import by_output

if TYPE_CHECKING:
    from autobp.datasets import Dataset
    from autobp.plots import Snapshots

#: Every file that a training may write.
FILES = [
    "network.npz", "learning_curve.svg", "decision_boundary.svg", "confusion_matrix.svg", "predictions.svg",
    "network.svg", "graph.svg",
]  # fmt: skip


def what_is_missing() -> list[str]:
    """A sentence for each library that is not there, or does not work, and what will not be drawn for it."""
    from autobp.drawing.picture import LayoutError, lay_out

    missing = []
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        missing.append(
            "without matplotlib there will be no pictures of the training itself; install it with: "
            'pip install "autobp[examples]"'
        )
    try:
        lay_out("digraph { a }")
    except LayoutError as error:
        missing.append(f"there will be no graph.svg: {error}")
    return missing


def judge(net: nn.MLP, data: Dataset) -> None:
    """Say how good the network is, on the samples held out where there are some."""
    held_out = len(data.X_test) > 0
    if data.classes and held_out:
        right = autobp.accuracy(net, data.X_test, data.Y_test, threshold=threshold_of(data))
        print(f"held-out accuracy {100 * right:.1f} %")
    if not data.classes:
        where = "held-out" if held_out else "on these samples"
        X, Y = shown_samples(data)
        explained, errors = by_output(net, X, Y)
        names = names_of_outputs(data.target, Y.shape[1])
        for name, part, error in zip(names, explained, errors * data.target_scale, strict=True):
            told = "" if math.isnan(part) else f" R² {part:.3f},"
            print(f"{where}{told} RMSE {error:.4g} in units of {name}")


def shown_samples(data: Dataset) -> tuple[Any, Any]:
    """The samples held out, or where there are none those to train on."""
    return (data.X_test, data.Y_test) if len(data.X_test) else (data.X, data.Y)


def threshold_of(data: Dataset) -> float | None:
    """The output above which the network's answer is the second of two classes; None for more than two."""
    return costs.COSTS[data.cost].threshold


def picture_training(
    net: nn.MLP, data: Dataset, history: autobp.History, frames: Snapshots | None, folder: Folder
) -> None:
    """Write the pictures that need matplotlib; nothing where it is not there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return
    from autobp import plots

    if history.cost:
        _write_figure(folder, "learning_curve.svg", plots.learning_curve(history, gradients=True))
    if frames is not None:
        boundary = plots.decision_boundary(
            frames, data.X, data.Y, threshold=threshold_of(data), classes=data.classes, names=data.names
        )
        _write_figure(folder, "decision_boundary.svg", boundary)
    if data.classes and len(data.X_test):
        images = None if data.image_shape is None else data.images(data.X_test)
        confusion = plots.confusion_matrix(
            net, data.X_test, data.Y_test, classes=data.classes, images=images, threshold=threshold_of(data)
        )
        _write_figure(folder, "confusion_matrix.svg", confusion)
    X, Y = shown_samples(data)
    if not data.classes and (Y[0] != Y).any(axis=0).all():
        names = names_of_outputs(data.target, Y.shape[1])
        predictions = plots.predicted_against_measured(
            net, X, Y, offset=data.target_offset, scale=data.target_scale, target=names
        )
        _write_figure(folder, "predictions.svg", predictions)


def picture_network(net: nn.MLP, data: Dataset, folder: Folder) -> None:
    """Write the network's picture and, where something here lays out graphs, that of its cost's graph."""
    from autobp.drawing.picture import LayoutError

    trace, loss = cost_on(net, data.cost, data.X[0], data.Y[0])
    drawing = autobp.draw(net, trace=trace, names=data.names, classes=data.classes)
    folder.write("network.svg", drawing.pipe(format="svg"))
    graph = autobp.draw(loss, trace=trace, direction="TB")
    try:
        laid_out = graph.pipe(format="svg")
    except LayoutError:  # told before the training
        return
    folder.write("graph.svg", laid_out)


def _write_figure(folder: Folder, name: str, figure: Any) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    folder.write(name, file.getvalue())

"""What a training tells: its history, epoch by epoch, and the progress on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from autobp.showing import curves


@dataclass
class History:
    """What :func:`autobp.fit` saw, one entry for each epoch that was finished.

    Attributes:
        cost: the mean over the epoch's batches of the cost, the L2 penalty included.
        validation_cost: the cost on the validation set, without the penalty; empty where there is none.
        gradient_norm: the Euclidean norm of the gradient, its mean over the epoch's batches.
        layer_gradient_norm: for each epoch the same of each layer's part of the gradient, the first layer
            first.
        interrupted: whether Ctrl-C ended the training early; the network keeps what it had learned.
        diverged: whether the cost ended far above its start; the network went back to the best it had been.
        best_epoch: with patience, the epoch of the lowest validation cost, whose parameters the network has,
            from 1; else 0.
    """

    cost: list[float] = field(default_factory=list)
    validation_cost: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    layer_gradient_norm: list[list[float]] = field(default_factory=list)
    interrupted: bool = False
    diverged: bool = False
    best_epoch: int = 0

    def _repr_svg_(self) -> str:
        named = {"training": self.cost, "validation": self.validation_cost}
        return curves({name: costs for name, costs in named.items() if costs}, "cost")


@contextmanager
def slow_builds_shown(shown: bool) -> Iterator[None]:
    """Within it, a line on standard error says so where a C compiler takes longer than a second."""
    if not shown or sys.stderr is None:
        yield
        return
    from autobp.machine import slow_builds_told

    with slow_builds_told(
        lambda: print("a C compiler builds the training's step …", file=sys.stderr, flush=True)
    ):
        yield


class Progress:
    """The epoch, cost and validation cost on standard error.

    A terminal has one line, rewritten. A log cannot rewrite, and gets a line at each tenth of the epochs.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, shown: bool) -> None:
        self.epochs = epochs
        self.shown = shown and sys.stderr is not None
        self.bar: Any = None
        self.began = time.monotonic()
        self.validation = ""
        if self.shown and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=epochs * steps_per_epoch,
                desc=f"epoch {1:{self._width}}/{epochs}  ",
                bar_format="{desc}|{bar}| {percentage:3.0f} %  {elapsed} < {remaining}",
                ncols=min(100, shutil.get_terminal_size().columns),
            )

    @property
    def _width(self) -> int:
        return len(str(self.epochs))

    def step(self, epoch: int, cost: float) -> None:
        """After a batch; the cost is the mean over the epoch so far."""
        if self.bar is not None:
            self.bar.set_description_str(self._line(epoch, cost), refresh=False)
            self.bar.update()

    def epoch(self, epoch: int, history: History) -> None:
        """After an epoch, which the history has already."""
        if history.validation_cost:
            self.validation = f"validation {history.validation_cost[-1]:<#10.4g}"
        if self.bar is not None:
            last = epoch == self.epochs
            self.bar.set_description_str(self._line(epoch, history.cost[-1]), refresh=last)
        elif self.shown and epoch * 10 // self.epochs > (epoch - 1) * 10 // self.epochs:
            seconds = time.monotonic() - self.began
            print(f"{self._line(epoch, history.cost[-1])}{seconds:.0f} s", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _line(self, epoch: int, cost: float) -> str:
        return f"epoch {epoch:{self._width}}/{self.epochs}  cost {cost:<#10.4g}{self.validation}"

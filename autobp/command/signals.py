"""SIGTERM as an interruption, so that what was learned is kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


class Termination:
    """Whether SIGTERM has come."""

    came = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler: it interrupts once, and what is saved after that is left to finish."""
        if not self.came:
            self.came = True
            raise Terminated


@contextmanager
def interrupted_by_sigterm() -> Iterator[Termination]:
    """Within it SIGTERM raises :class:`Terminated`, a KeyboardInterrupt, once."""
    termination = Termination()
    try:
        before = signal.signal(signal.SIGTERM, termination.note)
    except ValueError:  # only the main thread has signals
        yield termination
        return
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, before)

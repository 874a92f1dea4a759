"""State: what a thread is doing with the graphs that it builds, and what threads share while walking them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autobp.engine import Value


class Shared:
    """What all threads have in common."""

    def __init__(self) -> None:
        #: in how many threads reads are watched; 0 keeps reads of data fast
        self.watchers = 0
        #: what those threads want called before reads in threads that do not watch
        self.elsewhere: list[Callable[[Value, str], None]] = []
        self.lock = threading.Lock()


shared: Final = Shared()
epochs: Final = count(1)  # each walk over a graph marks nodes with numbers of its own
walking: Final = threading.RLock()  # a walk writes marks and grads, and threads may share nodes
#: ``ieee``, whether non-finite results pass; ``on_read``, called with (value, what) before data is read;
#: ``on_result``, called with (operation, operands) where a result is not finite. Each may be missing. (A
#: subclass of local would not be local to threads when compiled.)
_thread: Final = threading.local()


class ieee:
    """Context manager: let non-finite results pass, as IEEE 754 arithmetic does, instead of raising.

    It holds for the values that this thread computes inside the block.
    """

    def __enter__(self) -> None:
        self._before = getattr(_thread, "ieee", False)
        _thread.ieee = True

    def __exit__(self, *exception: object) -> None:
        _thread.ieee = self._before


class watch_reads:
    """Context manager: call ``on_read(value, what)`` before this thread reads data or compares by it.

    ``what`` says how, as the user wrote it: ".data", "<", "==", "bool()", "float()" …. A tracer raises from
    it. ``elsewhere`` is called so for reads in threads that do not watch themselves.
    """

    def __init__(
        self,
        on_read: Callable[[Value, str], None],
        elsewhere: Callable[[Value, str], None] | None = None,
    ) -> None:
        self._on_read = on_read
        self._elsewhere = elsewhere

    def __enter__(self) -> None:
        self._before: Callable[[Value, str], None] | None = getattr(_thread, "on_read", None)
        _thread.on_read = self._on_read
        with shared.lock:
            shared.watchers += 1
            if self._elsewhere is not None:
                shared.elsewhere.append(self._elsewhere)

    def __exit__(self, *exception: object) -> None:
        _thread.on_read = self._before
        with shared.lock:
            shared.watchers -= 1
            if self._elsewhere is not None:
                shared.elsewhere.remove(self._elsewhere)


class watch_results:
    """Context manager: call ``on_result(name, operands)`` where this thread computes what is not finite.

    ``name`` is the operation's. It is called before the node is made, while the line that makes it runs.
    """

    def __init__(self, on_result: Callable[[str, tuple[Value, ...]], None]) -> None:
        self._on_result = on_result

    def __enter__(self) -> None:
        self._before: Callable[[str, tuple[Value, ...]], None] | None = getattr(_thread, "on_result", None)
        _thread.on_result = self._on_result

    def __exit__(self, *exception: object) -> None:
        _thread.on_result = self._before


def announce_result(name: str, operands: tuple[Value, ...]) -> None:
    """Tell who watches that a result is not finite."""
    on_result = getattr(_thread, "on_result", None)
    if on_result is not None:
        on_result(name, operands)


def is_traced() -> bool:
    """Whether this thread's reads of data are watched, since its graphs will be run on other numbers."""
    return getattr(_thread, "on_read", None) is not None


def lets_pass() -> bool:
    """Whether this thread computes with what is not finite, and does not raise."""
    return bool(getattr(_thread, "ieee", False)) or is_traced()


def announce_read(value: Value, what: str) -> None:
    """Tell who watches that data is about to be read; ask ``shared.watchers`` first, which is fast."""
    on_read = getattr(_thread, "on_read", None)
    if on_read is not None:
        on_read(value, what)
        return
    for watch in list(shared.elsewhere):
        watch(value, what)

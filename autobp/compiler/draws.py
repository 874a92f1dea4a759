"""Random numbers: which generators a function can reach, and where it draws from one."""

from __future__ import annotations

import contextlib
import gc
import pickle
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from itertools import islice
from types import CodeType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import Any

import numpy as np

from autobp.compiler.place import is_callers, is_installed, place
from autobp.engine import Value

#: What a line that draws is told.
DRAWS = (
    "draws random numbers: what they decide would be fixed at what it was in one trace. Draw them outside "
    "and pass them in as an argument"
)
#: How to see where a generator has come to, by its class.
_STATES: dict[type, Callable[[Any], Any]] = {
    random.Random: lambda x: x.getstate(),
    np.random.Generator: lambda x: (x.bit_generator.state, _spawned(x.bit_generator)),
    np.random.RandomState: lambda x: x.get_state(legacy=False),
    np.random.BitGenerator: lambda x: (x.state, _spawned(x)),
    np.random.SeedSequence: lambda x: x.n_children_spawned,
}
#: The generators of a whole process, whose methods are the functions of random and np.random.
_SHARED = [method.__self__ for method in (random.random, np.random.rand)]  # type: ignore[attr-defined]
_ATOMS = (Value, float, int, str, bytes, np.generic, type(None))
_MOST = 10_000  # objects that are looked at, numbers and Values aside
_MOST_ELEMENTS = 300_000  # those included
_MANY = 1_000  # in one container
_MOST_LINES = 200_000  # that are run one by one


def reached(function: Callable[..., Any]) -> list[Any]:
    """What a function can reach by names and attributes; the generators that all share, first.

    What holds many objects, as data in lists do, is gone through after the rest, for there is a limit.
    """
    kinds = tuple(_kinds())
    seen: dict[int, Any] = {}
    queue: deque[Any] = deque([*_SHARED, *_of_torch("default_generator"), function])
    later: deque[Any] = deque()
    for _ in range(_MOST_ELEMENTS):
        if not (queue or later) or len(seen) >= _MOST:
            break
        x = (queue or later).popleft()
        kind = type(x)  # isinstance would ask x itself, and it may be a proxy whose object is gone
        if issubclass(kind, _ATOMS) or id(x) in seen:
            continue
        seen[id(x)] = x
        if not issubclass(kind, kinds):
            parts = list(islice(_parts(x), max(_MANY, _MOST_ELEMENTS - len(later))))
            (queue if len(parts) < _MANY else later).extend(parts)
    return list(seen.values())


def generators_among(objects: Iterable[Any]) -> list[Any]:
    """Those of some objects that are generators of random numbers."""
    kinds = tuple(_kinds())
    return [x for x in objects if issubclass(type(x), kinds)]


def states(generators: Iterable[Any]) -> list[bytes]:
    """Where generators have come to; nothing of one that cannot tell, as random.SystemRandom."""
    return [_state(generator) for generator in generators]


def place_of_draw(run: Callable[[], Any], generators: Sequence[Any]) -> str:
    """Run something line by line, and say which line of the caller's code moves a generator; "" for none."""
    before = states(generators)
    last: tuple[str, int] | None = None
    found = ""
    lines = 0

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal last, found, lines
        lines += 1
        moved = states(generators) != before
        if moved and last is not None:
            found = place(*last)
        if moved or lines > _MOST_LINES:
            sys.settrace(None)
            return None
        last = frame.f_code.co_filename, frame.f_lineno
        return look

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return look(frame, event, argument) if is_callers(frame.f_code.co_filename) else None

    others = sys.gettrace()
    sys.settrace(enter)
    try:
        run()
    finally:
        sys.settrace(others)
    return found


def _kinds() -> list[type]:
    return [*_STATES, *_of_torch("Generator")]


def _of_torch(name: str) -> list[Any]:
    """Something of PyTorch, where that is imported."""
    torch = sys.modules.get("torch")
    return [getattr(torch, name)] if hasattr(torch, name) else []


def _spawned(bit_generator: Any) -> Any:
    return getattr(bit_generator.seed_seq, "n_children_spawned", None)


def _state(generator: Any) -> bytes:
    # a generator of the user's own may raise whatever it likes
    with contextlib.suppress(Exception):
        for kind, state in _STATES.items():
            if isinstance(generator, kind):
                return pickle.dumps(state(generator))
        drawn: bytes = generator.get_state().numpy().tobytes()  # PyTorch's
        return drawn
    return b""


def _parts(x: Any) -> Iterator[Any]:
    """What an object holds or refers to by name."""
    kind = type(x)
    if kind is FunctionType:
        if is_callers(x.__code__.co_filename):
            yield from [cell.cell_contents for cell in x.__closure__ or () if _is_full(cell)]
            yield from [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
            yield from _named(x.__globals__, _names(x.__code__))
    elif kind is GeneratorType:
        if x.gi_frame is not None and is_callers(x.gi_code.co_filename):
            yield from x.gi_frame.f_locals.values()
            yield from _named(x.gi_frame.f_globals, _names(x.gi_code))
    elif issubclass(kind, type | ModuleType):
        if _is_the_callers_own(x):
            yield from list(vars(x).values())
            yield from x.__bases__ if issubclass(kind, type) else ()
    elif issubclass(kind, np.ndarray):
        if x.dtype == object:
            yield from x.flat
    else:
        if issubclass(kind, threading.local):
            yield from list(vars(x).values())
        if kind is ContextVar:
            yield x.get(None)
        yield from gc.get_referents(x)  # however it holds them: as attributes, in slots, as elements …
        yield kind


def _is_the_callers_own(x: Any) -> bool:
    """Whether a class or a module comes from a file of the caller's, or from no file."""
    module = sys.modules.get(x.__module__) if issubclass(type(x), type) else x
    about = {} if module is None else vars(module)  # its own names, for a lazy module makes others when asked
    file = about.get("__file__") or ""
    builtin = about.get("__name__") in sys.stdlib_module_names
    return not builtin and is_callers(file) and not is_installed(file)


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _names(code: CodeType) -> set[str]:
    """The names of globals and attributes in code, those in texts and inner functions included."""
    names = {*code.co_names, *[constant for constant in code.co_consts if isinstance(constant, str)]}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _named(scope: Mapping[str, Any], names: set[str], depth: int = 3) -> Iterator[Any]:
    """What names stand for: in a scope and its modules, and of modules that a function imports itself."""
    for name in names:
        x = scope.get(name, sys.modules.get(name) if depth == 3 else None)
        if not isinstance(x, ModuleType):
            yield x
        elif depth:
            yield from _named(vars(x), names, depth - 1)

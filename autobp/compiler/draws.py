"""Random numbers: which generators a function can draw from, and where it does."""

from __future__ import annotations

import functools
import pickle
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from autobp.compiler.place import is_callers, place
from autobp.engine import Value

_KINDS = (random.Random, np.random.Generator, np.random.RandomState)
#: The generators of a whole process, whose methods are the functions of random and np.random.
_SHARED = [method.__self__ for method in (random.random, np.random.rand)]  # type: ignore[attr-defined]
_MOST = 10_000  # objects that are looked at
_MOST_LINES = 200_000  # that are run one by one


def generators_of(function: Callable[..., Any]) -> list[Any]:
    """The generators that a function can reach: those of the process, and what its names lead to."""
    found = []
    seen: set[int] = set()
    queue: deque[Any] = deque([*_SHARED, function])
    while queue and len(seen) < _MOST:
        x = queue.popleft()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, random.SystemRandom):  # which has no state to look at
            continue
        if isinstance(x, _KINDS):
            found.append(x)
        else:
            queue.extend(_parts(x))
    return found


def states(generators: Iterable[Any]) -> list[bytes]:
    """Where generators have come to."""
    return [pickle.dumps(generator) for generator in generators]


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


def _parts(x: Any) -> Iterator[Any]:
    """What an object holds or refers to by name."""
    if isinstance(x, MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, functools.partial):
        yield from (x.func, *x.args, *x.keywords.values())
    elif isinstance(x, FunctionType):
        if is_callers(x.__code__.co_filename):
            yield from [cell.cell_contents for cell in x.__closure__ or () if _is_full(cell)]
            yield from [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
            yield from _looked_up(x.__globals__, _names(x.__code__))
    elif isinstance(x, Mapping):
        yield from x.values()
    elif isinstance(x, list | tuple | Set):
        yield from x
    elif not isinstance(x, Value | np.ndarray | type | ModuleType):
        yield from getattr(x, "__dict__", {}).values()
        for cls in type(x).__mro__:
            yield from [member for member in vars(cls).values() if isinstance(member, FunctionType)]


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _names(code: CodeType) -> set[str]:
    """The names of globals and attributes in code, that of inner functions included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _looked_up(scope: Mapping[str, Any], names: set[str], depth: int = 3) -> Iterator[Any]:
    for name in names & scope.keys():
        if not isinstance(scope[name], ModuleType):
            yield scope[name]
        elif depth:
            yield from _looked_up(vars(scope[name]), names, depth - 1)

"""Run as a script: a submission is imported and asked for its answers, which are written down as JSON lines.

Nothing of autobp is imported here, and nothing of the right answers is known: a submission has this process
for itself. It is told what to do by a JSON file, the first argument, and writes to the second.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: The kinds of NumPy's types that are real numbers.
_REAL = "biuf"


def limit(seconds: int, megabytes: int) -> None:
    """Limits of this process that it cannot raise again, where the system has them.

    When its time is over it ends with the status that shells give for that, by itself: in a namespace of its
    own, what started it may not be told by which signal it ended.
    """
    try:
        import resource
    except ImportError:
        return
    over = 128 + signal.SIGXCPU
    signal.signal(signal.SIGXCPU, lambda *_: os._exit(over))
    limits = [("RLIMIT_CPU", seconds, 5), ("RLIMIT_AS", megabytes << 20, 0), ("RLIMIT_FSIZE", 64 << 20, 0)]
    for kind, value, more in limits:
        try:
            resource.setrlimit(getattr(resource, kind), (value, value + more))
        except (AttributeError, ValueError, OSError, OverflowError):  # as good as no limit
            continue


# Linux's Landlock, https://docs.kernel.org/userspace-api/landlock.html: its calls, and rights to files.
_CREATE, _ADD, _RESTRICT, _NO_NEW_PRIVILEGES = 444, 445, 446, 38
_WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14  # since the second and the third version

#: Where programs and libraries are, besides Python's own folders.
_SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/nix", "/opt", "/proc", "/sbin", "/sys", "/usr")


def fences() -> int:
    """The version of Landlock that this system has, 0 where it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return max(0, int(ctypes.CDLL(None).syscall(_CREATE, None, 0, 1)))
    except (OSError, AttributeError):
        return 0


def fence(folder: Path) -> None:
    """From now on this process writes in the folder alone, and reads there and what Python is made of."""
    version = fences()
    if not version:
        return
    call = ctypes.CDLL(None).syscall
    write = _WRITE_FILE | _CHANGE_FOLDER | _REFER * (version > 1) | _TRUNCATE * (version > 2)
    read = _READ_FILE | _READ_FOLDER
    rules = call(_CREATE, ctypes.byref(ctypes.c_uint64(write | read)), ctypes.c_size_t(8), 0)
    if rules < 0:
        return
    python = {os.path.realpath(path) for path in (*sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix)}
    _allow(rules, [folder], write | read)
    _allow(rules, [*_SYSTEM, *python], read)
    _allow(rules, ["/dev/null"], _WRITE_FILE | _READ_FILE)
    if ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
        call(_RESTRICT, rules, 0)
    os.close(rules)


def _allow(rules: int, paths: Iterable[str | Path], rights: int) -> None:
    """Allow rights to files in folders, or to a file, where it is there."""
    for path in paths:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = rights if os.path.isdir(path) else rights & (_WRITE_FILE | _READ_FILE)
        rule = allowed.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
        ctypes.CDLL(None).syscall(_ADD, rules, 1, rule, 0)
        os.close(opened)


class Refused(importlib.abc.MetaPathFinder):
    """Packages that a submission has to do without, those too that are loaded here already."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages
        for name in list(sys.modules):
            if name.partition(".")[0] in packages:
                del sys.modules[name]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raise ImportError where it is one of them."""
        package = name.partition(".")[0]
        if package in self._packages:
            raise ImportError(f"a submission has to do without {package}")


def encoded(x: Any, depth: int = 0) -> Any:
    """Anything as JSON: arrays with their type, dicts, lists, numbers; what else there is by its repr."""
    if isinstance(x, np.ndarray) and x.dtype.kind in _REAL:
        return {"array": x.tolist(), "dtype": str(x.dtype)}
    if isinstance(x, (np.floating, np.integer)):
        return {"array": x.item(), "dtype": str(x.dtype)}
    if isinstance(x, (bool, int, float, str)) or x is None:
        return x
    if depth < 6 and isinstance(x, (list, tuple, np.ndarray)):
        return {
            type(x).__name__ if isinstance(x, tuple) else "list": [encoded(part, depth + 1) for part in x]
        }
    if depth < 6 and isinstance(x, dict):
        return {"dict": {str(key): encoded(part, depth + 1) for key, part in x.items()}}
    if hasattr(x, "dW"):
        return {"dict": {key: encoded(getattr(x, key, None), depth + 1) for key in ("dW", "db", "delta")}}
    return {"other": repr(x)[:200]}


def decoded(x: Any) -> Any:
    """What was encoded."""
    if not isinstance(x, dict):
        return x
    ((kind, content), *_) = x.items()
    if kind == "array":
        kind_of = np.dtype(x["dtype"])
        if kind_of.kind not in _REAL:
            raise TypeError(f"arrays of {kind_of} are not asked for")
        return np.array(content, dtype=kind_of)
    if kind == "dict":
        return {key: decoded(part) for key, part in content.items()}
    if kind == "other":
        return content
    parts = [decoded(part) for part in content]
    return tuple(parts) if kind == "tuple" else parts


def called(module: Any, name: str, probe: dict[str, Any]) -> dict[str, Any]:
    """What a function returns, and what it has made of its arguments."""
    arguments = [decoded(x) for x in probe["arguments"]]
    returned = getattr(module, name)(*arguments, **{k: decoded(x) for k, x in probe["named"].items()})
    return {"returned": encoded(returned), "after": [encoded(x) for x in arguments]}


def derived(module: Any, name: str, probe: dict[str, Any]) -> dict[str, Any]:
    """A Value's number, and the gradients of its leaves, after a program on it."""
    make = getattr(module, name)
    leaves = {leaf: make(number) for leaf, number in probe["leaves"].items()}
    names: dict[str, Any] = dict(leaves)
    exec(probe["program"], {}, names)
    root = names[probe["root"]]
    root.backward()
    grads = {leaf: encoded(value.grad) for leaf, value in leaves.items()}
    return {"returned": {"dict": {"data": encoded(root.data), **grads}}, "after": []}


def load(path: Path) -> Any:
    """The submission as a module."""
    spec = importlib.util.spec_from_file_location("submission", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["submission"] = module
    spec.loader.exec_module(module)
    return module


def main(request_file: str, answer_file: str) -> None:
    """Answer each probe in a line; what is raised is told instead."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    ask = {"call": called, "value": derived}[request["how"]]
    beside = str(Path(__file__).parent)  # of no use to a submission
    sys.path[:] = [path for path in sys.path if path != beside]
    sys.meta_path.insert(0, Refused(request["refused"]))
    with open(answer_file, "w", encoding="utf-8") as answers:
        limit(request["seconds"], request["megabytes"])
        fence(Path(request["file"]).parent)
        try:
            module = load(Path(request["file"]))
            if not hasattr(module, request["name"]):
                raise AttributeError(f"the file defines no {request['name']}")
        except BaseException as error:
            answers.write(json.dumps({"import": told(error)}) + "\n")
            return
        for probe in request["probes"]:
            try:
                answer = json.dumps(ask(module, request["name"], probe))
            except BaseException as error:
                answer = json.dumps({"raised": told(error)})
            answers.write(answer + "\n")
            answers.flush()


def told(error: BaseException) -> str:
    """An exception in a few lines: what, and where in the submission."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    where = [line.strip().splitlines()[0] for line in lines if "submission.py" in line]
    place = where[-1].partition(", ")[2] if where else ""
    if isinstance(error, SyntaxError):
        place = ""  # which it says itself
    return f"{type(error).__name__}: {error}"[:500] + (f" ({place})" if place else "")


if __name__ == "__main__":
    main(*sys.argv[1:])

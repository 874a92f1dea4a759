"""Run as a script: a submission is imported and asked for its answers, which are written down as JSON lines.

Nothing of autobp is imported here, and nothing of the right answers is known: a submission has this process
for itself. It is told what to do by a JSON file, the first argument, and writes to the second.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np


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
        except (AttributeError, ValueError, OSError):
            continue


def encoded(x: Any, depth: int = 0) -> Any:
    """Anything as JSON: arrays with their type, dicts, lists, numbers; what else there is by its repr."""
    if isinstance(x, np.ndarray) and x.dtype != object:
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
        return np.array(content, dtype=x["dtype"])
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
    with open(answer_file, "w", encoding="utf-8") as answers:
        limit(request["seconds"], request["megabytes"])
        try:
            module = load(Path(request["file"]))
            if not hasattr(module, request["name"]):
                raise AttributeError(f"the file defines no {request['name']}")
        except BaseException as error:
            answers.write(json.dumps({"import": told(error)}) + "\n")
            return
        for probe in request["probes"]:
            try:
                answer = ask(module, request["name"], probe)
            except BaseException as error:
                answer = {"raised": told(error)}
            answers.write(json.dumps(answer) + "\n")
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

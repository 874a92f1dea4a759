"""Tasks: what a submission has to define, what it is asked, and for how many points; several ready made."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final

from autobp import costs
from autobp.arguments import closest, unknown


def _check_points(points: Any) -> None:
    if not isinstance(points, Mapping) or not all(
        type(p) in (int, float) and 0 <= p < math.inf for p in points.values()
    ):
        raise ValueError(f"points must be numbers of at least 0, one for an equation; got {points!r}")


#: The least of each number.
_LEAST: Final = {"seconds": 1, "megabytes": 1, "samples": 1, "seed": 0, "l2": 0}
_SAID: Final = {int: "whole numbers", str: "names"}


@dataclass(frozen=True)
class Task:
    """What is asked of a submission.

    Attributes:
        title: for people.
        kind: "backprop", "delta_loop", "softmax", "batch_norm", "rnn" or "value".
        name: of the function, or of the class, that the submission defines.
        points: for each equation.
        asks: what it takes and returns, in words.
        notation: in which equations are shown: a document's, as `explain` has them.
        seconds, megabytes: what a submission may take.
        refused: packages that it cannot import, as the one that it is compared with.
        sizes, activations, cost, l2, samples, seed: of the network of kind "backprop" and "delta_loop".

    Raises ValueError where a field is of another type, or a number out of its range.
    """

    title: str
    kind: str
    name: str
    points: Mapping[str, float]
    asks: str = ""
    notation: str = "autobp"
    seconds: int = 10
    megabytes: int = 1024
    refused: tuple[str, ...] = ("autobp",)
    sizes: tuple[int, ...] = (4, 5, 3, 3)
    activations: tuple[str, ...] = ("tanh", "sigmoid", "sigmoid")
    cost: str = "quadratic"
    l2: float = 0.5
    samples: int = 6
    seed: int = 1

    def __post_init__(self) -> None:
        for key in ("title", "kind", "name", "asks", "notation", "cost"):
            if not isinstance(getattr(self, key), str):
                raise ValueError(f"{key} must be a text; got {getattr(self, key)!r}")
        if not self.name.isidentifier() or iskeyword(self.name):
            raise ValueError(f"name must be one that a submission can define; got {self.name!r}")
        for key, least in _LEAST.items():
            number = getattr(self, key)
            whole = isinstance(number, int) or (key == "l2" and isinstance(number, float))
            if isinstance(number, bool) or not whole or not least <= number < math.inf:
                raise ValueError(f"{key} must be a number of at least {least}; got {number!r}")
        for key, of in (("sizes", int), ("activations", str), ("refused", str)):
            parts = getattr(self, key)
            if not isinstance(parts, (tuple, list)) or not all(type(part) is of for part in parts):
                raise ValueError(f"{key} must be a list of {_SAID[of]}; got {parts!r}")
        _check_points(self.points)


#: Ready-made tasks by name.
READY: Final = {
    "backprop": Task(
        "BP1 to BP4 of a network", "backprop", "backprop", {"BP1": 2, "BP2": 3, "BP3": 2, "BP4": 3},
        'backprop(W, b, X, Y, *, activations, cost, l2) -> {"delta": [...], "dW": [...], "db": [...]}',
        notation="BP1-BP4",
    ),
    "delta_loop": Task(
        "The loop over samples that accumulates Δ, then D", "delta_loop", "accumulate", {"Delta": 6, "D": 4},
        'accumulate(Theta, X, Y, l2) -> {"Delta1": ..., "D1": ..., ...}, a sigmoid throughout, under '
        "cross-entropy, with the biases in column 0",
        notation="ML15", sizes=(2, 2, 2, 1),
    ),
    "softmax": Task(
        "Softmax with cross-entropy", "softmax", costs.softmax_cross_entropy.name,
        {"cost": 3, "delta": 5, "large": 2},
        "softmax_cross_entropy(z, y) -> (the cost of each row, its derivative by z), at large z too",
    ),
    "batch_norm": Task(
        "Batch norm, forward and backward", "batch_norm", "batch_norm",
        {"out": 2, "dx": 5, "dgamma": 2, "dbeta": 1},
        "batch_norm(x, gamma, beta, dout) -> (out, dx, dgamma, dbeta), with ε = 1e-5",
    ),
    "rnn": Task(
        "A recurrent network by backpropagation through time", "rnn", "rnn",
        {"cost": 1, "dWx": 3, "dWh": 3, "db": 1, "dWy": 2},
        'rnn(Wx, Wh, b, Wy, X, Y) -> {"cost", "dWx", "dWh", "db", "dWy"}, with h = tanh(Wx x + Wh h + b), '
        "first h = 0, and the cost ½ Σ (Wy h - y)² over all steps",
    ),
    "value": Task(
        "Value: numbers that know their derivative", "value", "Value",
        {"forward": 3, "operations": 4, "reuse": 3},
        "Value(number) with + - * /, ** a number, exp(), tanh(), data, grad and backward()",
    ),
}  # fmt: skip


def as_toml(task: Task) -> str:
    """The task as a file."""
    made = asdict(task)
    points = made.pop("points")
    lines = [f"{key} = {_in_toml(value)}" for key, value in made.items()]
    return "\n".join([*lines, "", "[points]", *[f"{key} = {value}" for key, value in points.items()], ""])


def _in_toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def read_task(task: str | Path | Task) -> Task:
    """A task from a ``.toml`` or ``.json`` file, or of the ready-made ones by its name.

    Raises ValueError where a field is unknown, missing or of another type, OSError where there is no file.
    """
    if isinstance(task, Task):
        return task
    if str(task) in READY:
        return READY[str(task)]
    path = Path(task)
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"{unknown('task', str(task), READY)}, or a .toml or .json file")
    text = path.read_text(encoding="utf-8")
    return _of(json.loads(text) if path.suffix == ".json" else _toml(text, path.name), path.name)


def _toml(text: str, name: str) -> dict[str, Any]:
    reader = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        toml = import_module(reader)
    except ImportError:
        advice = f"{reader} is missing, which reads TOML: install it, or write the task as .json"
        raise ValueError(f"{name}: {advice}") from None
    try:
        made: dict[str, Any] = toml.loads(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return made


def _of(made: dict[str, Any], name: str) -> Task:
    known = {f.name for f in fields(Task)}
    for key in made:
        if key not in known:
            near = closest(key, known)
            raise ValueError(f"{name}: unknown field {key!r}" + (f"; did you mean {near}?" if near else ""))
    missing = [key for key in ("title", "kind", "name", "points") if key not in made]
    if missing:
        raise ValueError(f"{name}: the field {missing[0]} is missing")
    try:
        given: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in made.items()}
        return Task(**given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None

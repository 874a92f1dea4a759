"""Refuse reads of numbers while a function is traced: what they decide would be fixed for later calls."""

from __future__ import annotations

from collections.abc import Collection

from autobp.compiler.place import callers_place
from autobp.engine import Value, topological_order

#: What a line does with a Value, and what to do instead.
_REFUSALS = {
    ".data": (
        "reads .data{of}",
        "use the Value itself: autobp.where, autobp.take, autobp.softmax … record what depends on it; "
        "autobp.stop_gradient(v) is v as a constant",
    ),
    ".data = …": ("sets .data = …{of}", "set parameters between steps, by step.write_back(theta)"),
    "bool()": ("reads bool(){of}", "use autobp.where(condition, x, y), which records the choice"),
    ".grad": ("reads .grad{of}", "use autobp.grad, whose result is a graph and is compiled with the rest"),
    ".partials": (
        "reads .partials{of}",
        "use autobp.grad, whose result is a graph and is compiled with the rest",
    ),
    "copy": ("copies {name}", "use the Value itself, or v * 1.0 for a node of its own"),
    "index": ("takes {name} as an index", "use autobp.take(values, i), which records the choice"),
    "float()": ("turns {name} into a float", "use the Value's own functions, v.exp(), and not those of math"),
    "int()": ("turns {name} into an int", "use the Value itself, or autobp.take(values, i) to choose by it"),
    "complex()": ("turns {name} into a complex number", "use the Value itself"),
    "round()": ("rounds {name}", "round its number before it is passed in"),
}
_SIGNS = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal", "==": "equal"}
#: What raises outside a trace as well: a function that catches it does the same there.
_NEVER = {"index", "float()", "int()", "complex()", "round()", "=="}


class Watch:
    """Refuses reads of what depends on traced leaves.

    Args:
        leaves: the ids of parameters and arguments.
        arguments: the ids of arguments.

    Attributes:
        refused: the first refusal, or None.
        swallowed: the first that the function must not catch and go on from, or None.
    """

    def __init__(self, leaves: Collection[int], arguments: Collection[int]) -> None:
        self.leaves = leaves
        self.arguments = arguments
        self.refused: TypeError | None = None
        self.swallowed: TypeError | None = None

    def on_read(self, value: Value, what: str) -> None:
        """For the thread that traces."""
        if any(id(node) in self.leaves for node in topological_order(value)):
            self._refuse(value, what)

    def elsewhere(self, value: Value, what: str) -> None:
        """For other threads: they may read the parameters, but of arguments only the function knows."""
        if any(id(node) in self.arguments for node in topological_order(value)):
            self._refuse(value, what)

    def _refuse(self, value: Value, what: str) -> None:
        does, advice = _REFUSALS.get(what) or (
            f"reads {what}{{of}}",
            f"use autobp.{_SIGNS[what]}(x, y), a node that is 1 or 0, in autobp.where(…, x, y)",
        )
        of = f" of {value.label}" if value.label else ""
        error = TypeError(
            f"{callers_place()} {does.format(of=of, name=value.label or 'a Value')} while the function is "
            f"traced: the outcome would be fixed for every later sample and parameter; {advice}"
        )
        self.refused = self.refused or error
        if what not in _NEVER:
            self.swallowed = self.swallowed or error
        raise error

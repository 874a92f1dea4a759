"""Details: what few nodes have beside their slots, and how such a node differs from the others.

A node has slots for two parents. What else there may be is its details', and where a kind of node behaves in
a way of its own, its details are of a subclass that answers for it; so Value knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autobp.engine import Value


class Details:
    """More than two parents, constants of the operation, a gradient that is a graph."""

    __slots__ = ("constants", "derivative", "parents", "partials")

    def __init__(
        self,
        parents: tuple[Value, ...] = (),
        partials: tuple[float, ...] = (),
        constants: tuple[float, ...] = (),
    ) -> None:
        #: all parents, where the node's two slots are too few for them; else empty
        self.parents = parents
        self.partials = partials
        self.constants = constants
        #: the node's gradient as a Value, after backward(create_graph=True)
        self.derivative: Value | None = None

    def symbol(self) -> str:
        """What the node calls its operation, where it has a name of its own for it."""
        return ""

    def unfold(self, node: Value) -> None:
        """Put the nodes that this one stands for in its place, where it stands for several."""

    def push_unseen(self, stack: list[Value], opened: int) -> None:
        """Put on the stack what the node was computed from, and what no walk since ``opened`` has met."""
        for parent in self.parents:
            if parent._mark < opened:
                stack.append(parent)

    def pass_back(self, node: Value) -> bool:
        """Add the node's share to its parents' grads, where it has a way of its own to; whether it has."""
        return False

    def set_backward(self, node: Value, function: Callable[[], None]) -> None:
        """What ``node._backward = function`` does; TypeError where the node has a rule."""
        refuse_backward(node)

    def refuse_copy(self, node: Value) -> None:
        """Raise TypeError where the node cannot be copied or pickled."""


def refuse_backward(node: Value) -> None:
    raise TypeError(
        f"_backward can be set on nodes made by hand, Value(data, children, op), and {node!r} is not "
        "one; for an operation with a rule of its own use autobp.operation(name, value, partials)"
    )

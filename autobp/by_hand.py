"""Nodes made by hand, as micrograd and microgpt make them: with a _backward, or with local derivatives."""

from __future__ import annotations

from collections.abc import Callable
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from autobp.details import Details, refuse_backward
from autobp.nodes import is_value, number
from autobp.registry import without_rule

if TYPE_CHECKING:
    from autobp.engine import Value

#: The operation of nodes made by hand. It is not in the table: nothing can evaluate or print it.
BY_HAND: Final = without_rule(
    "by_hand",
    "a node made by hand, as Value(data, children, …), has no rule in the operation table; "
    "register one with autobp.operation(name, value, partials)",
)


class HandMade(Details):
    """The children of a node made by hand, and what it is called."""

    __slots__ = ("_symbol", "backward")

    def __init__(
        self,
        parents: tuple[Value, ...],
        partials: tuple[float, ...],
        symbol: str,
        constants: tuple[float, ...] = (),
    ) -> None:
        super().__init__(parents, partials, constants)
        self._symbol = symbol
        #: a function that adds the node's share to its parents' grads, set through ``_backward``
        self.backward: _Backward | None = None

    def symbol(self) -> str:
        return self._symbol

    def pass_back(self, node: Value) -> bool:
        if self.backward is not None:
            self.backward.apply(node)
            return True
        if len(self.parents) != len(self.partials):
            raise TypeError(
                f"{node!r} was made by hand and has no derivative: set its _backward, or give its local "
                "derivatives, Value(data, children, (partial, …))"
            )
        return False

    def set_backward(self, node: Value, function: Callable[[], None]) -> None:
        if not self.parents:
            refuse_backward(node)
        self.backward = _Backward(function, node)

    def refuse_copy(self, node: Value) -> None:
        if self.backward is not None:
            raise TypeError(
                f"{node!r} has a _backward made by hand, which refers to the nodes of this one graph and so "
                "cannot be pickled or copied; give local derivatives, Value(data, children, (partial, …))"
            )


def made_by_hand(children: tuple[Any, ...], op: Any) -> HandMade:
    """The details of ``Value(data, children, op)``: op is a symbol, or one local derivative for each child.

    Raises TypeError where a child is no Value, or there are not as many derivatives as children.
    """
    for child in children:
        if not is_value(child):
            raise TypeError(f"the children of a Value must be Values; got {child!r}")
    if isinstance(op, str):
        return HandMade(children, (), op)
    op = tuple([number(partial) for partial in op])
    if not children:
        raise TypeError(f"local derivatives {op!r} were given without children to take them towards")
    if len(op) != len(children):
        raise TypeError(f"{len(children)} children need as many local derivatives; got {len(op)}")
    return HandMade(children, op, "")


class _Backward:
    """A function that was set as _backward, whose closure holds the node only while it is called.

    A node that is held by its own _backward would never be freed by reference counting.
    """

    def __init__(self, function: Any, node: Value) -> None:
        self._function = function
        self._cell = CellType()
        if isinstance(function, FunctionType):
            cells = [self._cell if _holds(cell, node) else cell for cell in function.__closure__ or ()]
            code, scope, defaults = function.__code__, function.__globals__, function.__defaults__
            self._function = FunctionType(code, scope, function.__name__, defaults, tuple(cells))
            self._function.__kwdefaults__ = function.__kwdefaults__

    def apply(self, node: Value) -> None:
        self._cell.cell_contents = node
        try:
            self._function()
        finally:
            del self._cell.cell_contents


def _holds(cell: CellType, node: Value) -> bool:
    try:
        return cell.cell_contents is node
    except ValueError:  # the cell is empty
        return False

"""Pickling and copying of graphs: node after node, so that no recursion goes from node to node."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from autobp.by_hand import BY_HAND, HandMade
from autobp.chain import local_derivatives, topological_order
from autobp.nodes import fill, fill_operands
from autobp.registry import lookup
from autobp.state import announce_read, shared

if TYPE_CHECKING:
    from autobp.engine import Value

#: ``mark``, that of the nodes whose graph this thread is pickling, where it is.
_thread: Final = threading.local()


def take_apart(node: Value) -> tuple[Any, ...]:
    """What ``Value.__reduce_ex__`` returns.

    Raises:
        TypeError: the node has a _backward made by hand.
        KeyError: on the way back, an operation is not registered.
    """
    if shared.watchers:
        announce_read(node, "copy")
    operation, parents = node.operation, node.parents
    details = node._details
    symbol = ""
    if details is not None:
        details.refuse_copy(node)
        symbol = details.symbol()
    name = "" if operation is None else operation.name
    numbers = (node._data, node._grad, local_derivatives(node), node.constants)
    ancestors = None
    if operation is not None and getattr(_thread, "mark", -1) != node._mark:
        ancestors = _Ancestors(node)
    arguments = (ancestors, type(node), numbers, name, parents, symbol, node.label)
    return rebuild, arguments, node.__getstate__()


def rebuild(
    ancestors: object,
    cls: type[Value],
    numbers: tuple[float, float, tuple[float, ...], tuple[float, ...]],
    name: str,
    parents: tuple[Value, ...],
    symbol: str,
    label: str,
) -> Value:
    """The node that :func:`take_apart` took apart, whose ancestors stand before it."""
    data, grad, partials, constants = numbers
    node = cls.__new__(cls)
    operation = None if name == "" else BY_HAND if name == BY_HAND.name else lookup(name)
    fill(node, label, data, operation)
    node._grad = grad
    if symbol or operation is BY_HAND:
        node._details = HandMade(parents, partials, symbol, constants)
    else:
        fill_operands(node, parents, partials, constants)
    return node


def added_by_subclasses(node: Value, base: type) -> Any:
    """What subclasses of ``base`` have added: the __dict__, and slots by name; None if there are none."""
    cls = type(node)
    if cls is base:
        return None
    slots = {}
    for each in cls.__mro__[: cls.__mro__.index(base)]:
        for slot in getattr(each, "__slots__", ()):
            if slot not in ("__dict__", "__weakref__") and hasattr(node, slot):
                slots[slot] = getattr(node, slot)
    return getattr(node, "__dict__", None), slots


def add_again(node: Value, state: Any) -> None:
    """Give a node what :func:`added_by_subclasses` found."""
    own, slots = state
    if own:
        node.__dict__.update(own)
    for slot, content in slots.items():
        setattr(node, slot, content)


class _Ancestors:
    """What a node is pickled and copied after: all that it depends on, as a list in topological order.

    So each node's parents are known before it.
    """

    def __init__(self, root: Value) -> None:
        self._root = root

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (), None, _AncestorsInOrder(self._root)


class _AncestorsInOrder:
    """Iterates over a node's ancestors; while it lives, they are pickled without ancestors of their own."""

    def __init__(self, root: Value) -> None:
        self._nodes = topological_order(root)
        self._next = 0
        self._before = getattr(_thread, "mark", -1)
        _thread.mark = root._mark  # which the walk has given to all of them

    def __iter__(self) -> _AncestorsInOrder:
        return self

    def __next__(self) -> Value:
        if self._next == len(self._nodes) - 1:  # the last is the root itself
            raise StopIteration
        self._next += 1
        return self._nodes[self._next - 1]

    def __del__(self) -> None:
        _thread.mark = self._before

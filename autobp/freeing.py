"""Freeing graphs without recursion: of a million nodes in a chain, each is the last to refer to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autobp.engine import Value


class _Buried:
    """What freed nodes referred to and is to be let go of next, and whether that is going on."""

    def __init__(self) -> None:
        self.references: list[object] = []
        self.emptying = False


_buried: Final = _Buried()


def free(node: Value) -> None:
    """Let go of what a node refers to, and of all that nothing refers to then.

    Freeing a node may free its parents, and theirs: as recursion, a long chain would exhaust the stack. So a
    node leaves what it refers to in a list, which the outermost node empties.
    """
    try:
        if node._parent is not None:
            _buried.references.append(node._parent)
            node._parent = None
            if node._parent2 is not None:
                _buried.references.append(node._parent2)
                node._parent2 = None
        if node._details is not None:
            _buried.references.append(node._details)
            node._details = None
    except AttributeError:  # the constructor raised before it set them
        return
    if not _buried.emptying:
        _buried.emptying = True
        while _buried.references:
            _buried.references.pop()
        _buried.emptying = False

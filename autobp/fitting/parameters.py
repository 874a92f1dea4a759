"""Parameters by name: starts, bounds, what is fixed or shared, and where each stands in one vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.arguments import number, numbers
from autobp.functions import take

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model: where its search starts, and what it may be.

    Args:
        start: the first guess, a number, or several for a parameter that is a list.
        bounds: the least and the largest that it may be; None for no bound.
        fixed: whether it stays at its start.
        shared: with ``groups``, whether all groups have it in common; if not, each has one of its own.
    """

    start: float | Sequence[float]
    bounds: tuple[float | None, float | None] = (None, None)
    fixed: bool = False
    shared: bool = True


class Named(dict[str, Any]):
    """Parameters as a model gets them: ``p.rate`` or ``p["rate"]``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the model has no parameter {name!r}; it has {', '.join(self)}") from None


@dataclass(frozen=True)
class _Slot:
    """A parameter's place: from ``first`` on, ``length`` numbers (None: one, and no list) for each group."""

    name: str
    first: int
    length: int | None
    shared: bool


@dataclass(frozen=True)
class Layout:
    """Where the parameters stand in a vector of n numbers, and what these may be.

    Attributes:
        names: of the numbers: ``rate``, ``w[0]``, ``rate[group]``.
        start, lower, upper: (n,).
        fixed: (n,), true where a number stays at its start.
        groups: the labels of groups, where there are any.
    """

    names: tuple[str, ...]
    start: Vector
    lower: Vector
    upper: Vector
    fixed: NDArray[np.bool_]
    groups: tuple[Any, ...]
    _slots: tuple[_Slot, ...] = field(repr=False)

    def named(self, numbers: Sequence[Any], group: Any = None) -> Named:
        """The parameters by name from n numbers or Values; ``group`` is the index of the row's group."""
        made = Named()
        for slot in self._slots:
            each = self._copies(slot, numbers)
            own = each[0] if slot.shared else [take(entries, group) for entries in zip(*each, strict=True)]
            made[slot.name] = own[0] if slot.length is None else list(own)
        return made

    def by_group(self, numbers: Sequence[float]) -> Named:
        """The parameters by name; of one that is not shared, a dict from each group to what it is there."""
        made = Named()
        for slot in self._slots:
            each = [own[0] if slot.length is None else list(own) for own in self._copies(slot, numbers)]
            made[slot.name] = each[0] if slot.shared else dict(zip(self.groups, each, strict=True))
        return made

    def _copies(self, slot: _Slot, numbers: Sequence[Any]) -> list[Sequence[Any]]:
        size = 1 if slot.length is None else slot.length
        copies = 1 if slot.shared else len(self.groups)
        return [numbers[slot.first + k * size : slot.first + (k + 1) * size] for k in range(copies)]

    def index(self, name: str) -> int:
        """Where the number of that name stands; ValueError where there is none."""
        if name not in self.names:
            raise ValueError(f"there is no parameter {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)


def layout(parameters: Mapping[str, float | ArrayLike | Parameter], groups: Sequence[Any] = ()) -> Layout:
    """The layout of parameters, in their order.

    Raises ValueError or TypeError where a start is no number or outside its bounds, or all is fixed.
    """
    if not isinstance(parameters, Mapping) or not parameters:
        raise TypeError(
            'parameters must be a dict of at least one name and its start, as {"rate": 0.5}; '
            f"got {parameters!r:.80}"
        )
    names: list[str] = []
    slots: list[_Slot] = []
    start: list[float] = []
    lower: list[float] = []
    upper: list[float] = []
    fixed: list[bool] = []
    for name, given in parameters.items():
        wanted = given if isinstance(given, Parameter) else Parameter(given)  # type: ignore[arg-type]
        if not wanted.shared and not groups:
            raise ValueError(
                f"{name} is not shared, but there are no groups: give groups=, a label for each row"
            )
        first = numbers(f"the start of {name}", wanted.start)
        if first.ndim > 1:
            raise ValueError(
                f"the start of {name} has {first.ndim} axes; it must be a number or a list of them"
            )
        own = [name] if first.ndim == 0 else [f"{name}[{i}]" for i in range(len(first))]
        low, high = _bounds(name, wanted, first)
        slots.append(_Slot(name, len(names), None if first.ndim == 0 else len(first), wanted.shared))
        for group in [None] if wanted.shared else groups:
            names.extend(own if wanted.shared else [f"{each}[{group}]" for each in own])
            start.extend(first.reshape(-1).tolist())
            lower.extend([low] * len(own))
            upper.extend([high] * len(own))
            fixed.extend([wanted.fixed] * len(own))
    if all(fixed):
        raise ValueError("every parameter is fixed; there is nothing to fit")
    ends = np.array(lower), np.array(upper)
    return Layout(tuple(names), np.array(start), *ends, np.array(fixed), tuple(groups), tuple(slots))


def _bounds(name: str, wanted: Parameter, start: Vector) -> tuple[float, float]:
    try:
        low, high = wanted.bounds
    except (TypeError, ValueError):
        raise TypeError(
            f"the bounds of {name} must be a pair (least, largest); got {wanted.bounds!r}"
        ) from None
    low = -math.inf if low is None else number(f"the lower bound of {name}", low)
    high = math.inf if high is None else number(f"the upper bound of {name}", high)
    if not low < high:
        raise ValueError(
            f"the bounds of {name} are {low} and {high}; the first must be less. Or fix it: fixed=True"
        )
    if not wanted.fixed and not ((start >= low) & (start <= high)).all():
        raise ValueError(f"the start of {name}, {wanted.start}, is not within its bounds {low} and {high}")
    return low, high

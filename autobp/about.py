"""What a network was trained on, and how: what makes its outputs answers. It goes into the network's file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class About:
    """What ``MLP.about`` holds; ``Dataset.about()`` makes one.

    Attributes:
        source: the data set's name.
        cost: the name of the cost it was trained with; "" where it has none.
        names: of the n inputs.
        classes: the classes' names, in the order of the outputs, or of 0 and 1; empty for quantities.
        target: what the output is, the name of its column; of several, with ", " between them.
        offset, scale: n numbers each: the network's inputs are (inputs as given - offset) / scale.
        target_offset, target_scale: the same for the outputs, a number each for several
            quantities; 0 and 1 for classes.
        test_size, seed: the part of the samples that was held out, and the seed of the split.
        version: of autobp that saved it.

    Raises ValueError where offset or scale has not a number for each name, or one is not finite, or a scale
    is 0.
    """

    source: str = ""
    cost: str = ""
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    target: str = ""
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    target_offset: float | tuple[float, ...] = 0.0
    target_scale: float | tuple[float, ...] = 1.0
    test_size: float = 0.0
    seed: int = 0
    version: str = ""

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.offset) == len(self.scale):
            raise ValueError(
                f"{len(self.names)} names need as many offsets and scales; got {len(self.offset)} and "
                f"{len(self.scale)}"
            )
        offsets, scales = _several(self.target_offset), _several(self.target_scale)
        numbers = [*self.offset, *self.scale, *offsets, *scales]
        if not all(map(math.isfinite, numbers)) or 0 in (*self.scale, *scales):
            raise ValueError("offsets and scales must be finite, and scales not 0")

    def check_fits(self, sizes: list[int]) -> None:
        """ValueError where a network of these sizes cannot be the one that this is about."""
        if self.names and len(self.names) != sizes[0]:
            raise ValueError(f"{len(self.names)} names for {sizes[0]} inputs")
        outputs = 1 if len(self.classes) == 2 and sizes[-1] == 1 else len(self.classes)
        if self.classes and outputs != sizes[-1]:
            raise ValueError(f"{len(self.classes)} classes for {sizes[-1]} outputs")
        for numbers in (_several(self.target_offset), _several(self.target_scale)):
            if len(numbers) not in (1, sizes[-1]):
                raise ValueError(f"offsets and scales of {len(numbers)} quantities for {sizes[-1]} outputs")

    def json(self) -> str:
        """All of it as text; numbers come back as they are."""
        return json.dumps(asdict(self))


def names_of_outputs(target: str, n: int) -> list[str]:
    """The name of each of n quantities, from :attr:`About.target`; numbered where one has a comma itself."""
    if n == 1:
        return [target]
    names = target.split(", ")
    return names if len(names) == n else [f"{target} {k}" for k in range(1, n + 1)]


def about_of(text: str) -> About:
    """What :meth:`About.json` wrote, less what is unknown here; ValueError where it is something else."""
    found = json.loads(text)
    if not isinstance(found, Mapping):
        raise ValueError(f"no record of a training: {text[:40]!r}")
    known = [field for field in fields(About) if field.name in found]
    return About(**{field.name: _typed(field.name, field.default, found[field.name]) for field in known})


def _several(numbers: float | tuple[float, ...]) -> tuple[float, ...]:
    return numbers if isinstance(numbers, tuple) else (numbers,)


def _typed(name: str, usual: Any, given: Any) -> Any:
    """An entry in the kind of its default; ValueError where it is of another."""
    if isinstance(usual, tuple):
        kind = float if name in ("offset", "scale") else str
        if isinstance(given, list) and all(_is(kind, entry) for entry in given):
            return tuple(kind(entry) for entry in given)
    elif name.startswith("target_") and isinstance(given, list) and all(_is(float, entry) for entry in given):
        return tuple(float(entry) for entry in given)
    elif _is(type(usual), given):
        return type(usual)(given)
    raise ValueError(f"{name} is {given!r}")


def _is(kind: type, entry: Any) -> bool:
    return isinstance(entry, (int, float) if kind is float else kind) and not isinstance(entry, bool)

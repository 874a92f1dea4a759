"""Structures: numbers and Values in lists, tuples, dicts and arrays, nested; taken apart and put together."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.engine import Value


class Structure:
    """How numbers stand in lists, tuples, dicts and arrays."""

    def build(self, scalars: Iterator[Any]) -> Any:
        """The structure, with a scalar for each number in it."""
        raise NotImplementedError

    def leaves(self) -> Iterator[ScalarLeaf | ArrayLeaf]:
        """The single numbers and the arrays in it, in order."""
        raise NotImplementedError

    def fill(self, parts: Iterator[Any]) -> Any:
        """The structure, with a part for each of its leaves."""
        raise NotImplementedError

    def describe(self) -> str:
        """In words: lists and tuples alike, "·" for a number, a shape for an array."""
        raise NotImplementedError

    def names(self, name: str) -> Iterator[str]:
        """What to call each number in it, where the whole is called ``name``."""
        raise NotImplementedError


@dataclass(frozen=True)
class ScalarLeaf(Structure):
    """Where one number stands."""

    shape = ()

    def build(self, scalars: Iterator[Any]) -> Any:
        return next(scalars)

    def leaves(self) -> Iterator[ScalarLeaf | ArrayLeaf]:
        yield self

    def fill(self, parts: Iterator[Any]) -> Any:
        return next(parts)

    def describe(self) -> str:
        return "·"

    def names(self, name: str) -> Iterator[str]:
        yield name


@dataclass(frozen=True)
class ArrayLeaf(Structure):
    """Where a NumPy array stands."""

    shape: tuple[int, ...]

    def build(self, scalars: Iterator[Any]) -> Any:
        return array_of([next(scalars) for _ in range(size(self))], self.shape)

    def leaves(self) -> Iterator[ScalarLeaf | ArrayLeaf]:
        yield self

    def fill(self, parts: Iterator[Any]) -> Any:
        return next(parts)

    def describe(self) -> str:
        return "·" if self.shape == () else f"array{list(self.shape)}"

    def names(self, name: str) -> Iterator[str]:
        for index in np.ndindex(self.shape):
            yield f"{name}[{', '.join(map(str, index))}]" if index else name


@dataclass(frozen=True)
class Container(Structure):
    """Where a list, tuple or dict stands, and what it holds."""

    kind: Any
    keys: tuple[Any, ...] | None
    parts: tuple[Structure, ...]

    def build(self, scalars: Iterator[Any]) -> Any:
        return self._made([part.build(scalars) for part in self.parts])

    def leaves(self) -> Iterator[ScalarLeaf | ArrayLeaf]:
        for part in self.parts:
            yield from part.leaves()

    def fill(self, parts: Iterator[Any]) -> Any:
        return self._made([part.fill(parts) for part in self.parts])

    def describe(self) -> str:
        parts = [part.describe() for part in self.parts]
        if self.keys is not None:
            return "{" + ", ".join(f"{k!r}: {p}" for k, p in zip(self.keys, parts, strict=True)) + "}"
        return "[" + ", ".join(parts) + "]"

    def names(self, name: str) -> Iterator[str]:
        keys = range(len(self.parts)) if self.keys is None else self.keys
        for key, part in zip(keys, self.parts, strict=True):
            yield from part.names(f"{name}[{key!r}]")

    def _made(self, parts: list[Any]) -> Any:
        if self.keys is not None:
            return dict(zip(self.keys, parts, strict=True))
        return self.kind(*parts) if hasattr(self.kind, "_fields") else self.kind(parts)


def size(leaf: ScalarLeaf | ArrayLeaf) -> int:
    """How many numbers stand there."""
    return math.prod(leaf.shape)


def array_of(scalars: list[Any], shape: tuple[int, ...]) -> Any:
    """An array of floats, or of objects where there are Values among them."""
    symbolic = any(isinstance(x, Value) for x in scalars)
    made = np.empty(len(scalars), dtype=object if symbolic else np.float64)
    for i, x in enumerate(scalars):
        made[i] = x
    return made.reshape(shape)


def flatten(tree: Any, what: str) -> tuple[list[Any], Structure]:
    """All numbers and Values in order, and the structure they stood in; TypeError names what is neither."""
    scalars: list[Any] = []
    return scalars, _collect(tree, what, scalars)


def _collect(tree: Any, what: str, scalars: list[Any]) -> Structure:
    if isinstance(tree, (Value, numbers.Real)):
        scalars.append(tree)
        return ScalarLeaf()
    if isinstance(tree, np.ndarray):
        if tree.dtype.kind in "biuf":
            scalars.extend(tree.astype(np.float64).ravel().tolist())
            return ArrayLeaf(tree.shape)
        if tree.dtype == object and all(isinstance(x, (Value, numbers.Real)) for x in tree.flat):
            scalars.extend(tree.flat)
            return ArrayLeaf(tree.shape)
        raise TypeError(f"{what}: an array must hold real numbers or Values; its dtype is {tree.dtype}")
    if isinstance(tree, dict):
        parts = [_collect(part, f"{what}[{key!r}]", scalars) for key, part in tree.items()]
        return Container(dict, tuple(tree), tuple(parts))
    if isinstance(tree, (list, tuple)):
        parts = [_collect(part, f"{what}[{i}]", scalars) for i, part in enumerate(tree)]
        return Container(type(tree), None, tuple(parts))
    shown = repr(tree)
    raise TypeError(
        f"{what} must be a number, a Value, a NumPy array, or a list, tuple or dict of them; "
        f"got {shown:.80} ({type(tree).__name__})"
    )


def values_in(tree: Any) -> Iterator[Value]:
    """The Values in a structure; nothing in what is none."""
    if isinstance(tree, Value):
        yield tree
    elif isinstance(tree, np.ndarray):
        if tree.dtype == object:
            yield from [x for x in tree.flat if isinstance(x, Value)]
    elif isinstance(tree, (list, tuple, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from values_in(part)


def holds_values(tree: Any) -> bool:
    """Whether there is any Value in a structure."""
    return any(True for _ in values_in(tree))


def as_numbers(tree: Any) -> Any:
    """The same structure with numbers in place of Values; what is no structure is left as it is."""
    if isinstance(tree, Value):
        return tree.data
    if isinstance(tree, (list, tuple, dict, np.ndarray)) and holds_values(tree):
        try:
            scalars, structure = flatten(tree, "")
        except TypeError:  # an auxiliary result may hold anything at all
            return tree
        return structure.build(iter([x.data if isinstance(x, Value) else x for x in scalars]))
    return tree

"""What somebody's own backprop returns: called with copies, looked at, and brought into the right shapes.

What cannot be compared raises, with what was wrong and what to do; what can be compared although it is not
right is told in words: an array that is transposed, numbers in float32, arguments that were changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autobp.arguments import real

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Given:
    """What a function is called with, and what the layers' shapes are.

    Attributes:
        W, b, X, Y: a network's arrays, and samples in rows; b None without biases.
        activations, cost, l2: what it is told beside them.
    """

    W: Sequence[Array]
    b: Sequence[Array] | None
    X: Array
    Y: Array
    activations: Sequence[str]
    cost: Any
    l2: float


@dataclass(frozen=True)
class Returned:
    """What a function returned, in float64 and in the right shapes.

    Attributes:
        delta, dW, db: by layer; delta None where it was not returned, db None without biases.
        transposed: which arrays are transposed; nan stands in their place.
        changed: which arguments the function changed.
        single: whether the numbers are float32.
    """

    delta: list[Array] | None
    dW: list[Array]
    db: list[Array | None] | None
    transposed: tuple[str, ...]
    changed: tuple[str, ...]
    single: bool

    @property
    def gradients(self) -> tuple[list[Array] | None, list[Array], list[Array | None] | None]:
        """delta, dW and db."""
        return self.delta, self.dW, self.db


def call(function: Callable[..., Any], name: str, given: Given) -> Returned:
    """Call the function as ``function(W, b, X, Y, activations=…, cost=…, l2=…)`` and look at what it returns.

    Raises TypeError where that is no (dW, db), ValueError where arrays do not fit the layers, RuntimeError
    where the function would end the program, and what the function itself raises.
    """
    W, b = [w.copy() for w in given.W], None if given.b is None else [bias.copy() for bias in given.b]
    X, Y = given.X.copy(), given.Y.copy()
    activations = list(given.activations)
    try:
        result = function(W, b, X, Y, activations=activations, cost=given.cost, l2=given.l2)
    except SystemExit:
        raise RuntimeError(f"{name} ends the program, by exit() or the like, and returns nothing") from None
    before = {"X": [given.X], "Y": [given.Y], "W": given.W, "b": given.b or []}
    now = {"X": [X], "Y": [Y], "W": W, "b": b or []}
    changed = [what for what in now if not _equal(now[what], before[what])]
    return _looked_at(result, name, given, tuple(changed))


def _equal(now: Sequence[Array], before: Sequence[Array]) -> bool:
    return len(now) == len(before) and all(map(np.array_equal, now, before))


def _looked_at(result: Any, name: str, given: Given, changed: tuple[str, ...]) -> Returned:
    get = _parts(result, name)
    m, sizes = len(given.X), [len(w) for w in given.W]
    transposed: list[str] = []
    dW = _arrays(name, "dW", get("dW"), [w.shape for w in given.W], transposed, m)
    if dW is None:
        raise TypeError(f"{name} returned no dW")
    db: list[Array | None] | None = None
    if given.b is not None:
        found = _arrays(name, "db", get("db"), [(n,) for n in sizes], transposed, m)
        if found is None:
            raise TypeError(f"{name} returned no db, and the network has biases")
        db = list(found)
    delta = get("delta")
    if delta is not None and len(delta) == len(sizes) + 1:
        delta = delta[1:]
    errors = _arrays(name, "delta", delta, [(m, n) for n in sizes], transposed, m)
    single = any(np.asarray(array).dtype == np.float32 for array in get("dW"))
    return Returned(errors, dW, db, tuple(transposed), changed, single or _rounded_to_single(dW))


def _parts(result: Any, name: str) -> Callable[[str], Any]:
    """What the result has under a name."""
    if isinstance(result, dict):
        return result.get
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return {"dW": result[0], "db": result[1]}.get
    if hasattr(result, "dW"):
        return lambda key: getattr(result, key, None)
    what = "None: it has no return at its end" if result is None else repr(result)
    raise TypeError(f"{name} must return (dW, db), or an object or a dict with dW and db; got {what}")


def _rounded_to_single(arrays: Sequence[Array]) -> bool:
    """Whether every number has the few digits of a float32, and some number has digits at all."""
    numbers = np.concatenate([array.ravel() for array in arrays])
    numbers = numbers[np.isfinite(numbers)]
    with np.errstate(all="ignore"):
        is_single = np.array_equal(numbers.astype(np.float32), numbers)
        return is_single and not np.array_equal(numbers.astype(np.float16), numbers)


def _arrays(
    name: str, what: str, arrays: Any, shapes: Sequence[tuple[int, ...]], transposed: list[str], m: int
) -> list[Array] | None:
    """The arrays in the shapes they should have; one that is transposed is noted and not used."""
    if arrays is None:
        return None
    try:
        n = len(arrays)
    except TypeError:
        raise TypeError(f"{name}: {what} must be a list of arrays, one a layer; got {arrays!r}") from None
    if n != len(shapes):
        raise ValueError(f"{name}: {what} has {n} arrays for {len(shapes)} layers")
    result = []
    for layer, (given, shape) in enumerate(zip(arrays, shapes, strict=True), start=1):
        own = f"{name}: {what}{layer}"
        try:
            array = real(own, given).copy()  # the next call may add to the same array
        except (TypeError, ValueError, RuntimeError):  # RuntimeError of tensors that keep their numbers
            raise TypeError(f"{own} must be an array of numbers, of real ones; got {given!r}") from None
        columns = what == "delta" and len(array.shape) == 2 and 1 in shape  # one sample's δ as a column
        if array.shape == shape[::-1] != shape and not columns:
            transposed.append(f"{what}{layer} is transposed: {array.shape} for {shape}")
            array = np.full(shape, np.nan)
        elif array.squeeze().shape == np.empty(shape).squeeze().shape:
            array = array.reshape(shape)  # a column for a vector, say: the same numbers
        if array.shape != shape:
            hint = _hint(array.shape, shape, what, m)
            raise ValueError(f"{name}: {what}{layer} must have the shape {shape}; got {array.shape}{hint}")
        result.append(array)
    return result


def _hint(got: tuple[int, ...], shape: tuple[int, ...], what: str, m: int) -> str:
    """What an array of the wrong shape looks like."""
    if got in ((m, m), (m, m, 1)):
        return f": (m, 1) and (m,) give (m, m), here for m = {m}"
    if what == "db" and got in ((m,), (m, 1)):
        return f": one for each of the {m} samples, a sum over the wrong axis"
    if got == (m, *shape):
        return f": one for each of the {m} samples, whose mean it should be"
    if what == "dW" and got == (shape[0], shape[0]) != shape:
        return ": δ aᵀ with a of the layer itself, and not of the layer below"
    if what == "dW" and len(got) == 2 and got == (shape[0], shape[1] + 1):
        return ": with a column for the biases, which belong into db"
    return ""

"""What callers hand in, read with messages that help: names, and arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOTHING: Mapping[str, str] = {}
#: So many numbers are looked at together.
_TOGETHER = 1 << 20
_NUMBERS = frozenset([float, int, bool, np.float64])  # of which a list is not gone through one by one


def unknown(
    what: str, name: object, known: Iterable[str], elsewhere: Mapping[str, str] = _NOTHING, more: str = ""
) -> str:
    """The message that there is no such name, with the one that may be meant.

    Args:
        what: what it should name, "cost".
        name: what was given.
        known: the names there are.
        elsewhere: for :func:`closest`.
        more: what else is allowed, ", or a function".
    """
    names = list(known)
    meant = closest(name, names, elsewhere)
    hint = f"did you mean {meant}? Known" if meant else "known"
    return f"unknown {what} {name!r}; {hint} are {', '.join(names)}{more}"


def closest(name: object, known: Iterable[str], elsewhere: Mapping[str, str] = _NOTHING) -> str:
    """The known name that may be meant, in quotes; "" where none is near.

    ``elsewhere`` has what others call them: names in small letters alone, with what to say instead of each.
    """
    by_letters = {_letters(each): repr(each) for each in known}
    sought = _letters(str(name))
    if sought in by_letters or sought in elsewhere:
        return by_letters.get(sought) or elsewhere[sought]
    from difflib import get_close_matches  # only where something is wrong

    near = get_close_matches(sought, by_letters, n=1, cutoff=0.6)
    return by_letters[near[0]] if near else ""


def _letters(name: str) -> str:
    """"LeakyReLU", "leaky-relu" and "leaky_relu" as one."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def real(what: str, given: Any) -> NDArray[np.float64]:
    """An array of floats, the same where it is one already.

    Raises TypeError for complex numbers, of which NumPy drops the imaginary part, and for masked elements,
    which lose their mask; and what NumPy raises for what are no numbers.
    """
    array = np.asarray(given)
    _check_real(what, given, array)
    return np.asarray(array, dtype=np.float64)


def _check_real(what: str, given: Any, array: NDArray[Any]) -> None:
    """TypeError where NumPy would turn them into floats that say less than was given."""
    if array.dtype.kind == "c":
        raise TypeError(f"{what} must be real numbers; got an array of {array.dtype}")
    if is_masked(given):
        raise TypeError(f"{what} has masked elements, whose mask would be lost; fill them in first")


def is_masked(x: Any) -> bool:
    """Whether an array, or one within lists, has masked elements: NumPy's asarray drops the masks of rows."""
    if isinstance(x, np.ndarray):
        return bool(np.ma.is_masked(x))
    if isinstance(x, Sequence) and not isinstance(x, str | bytes | memoryview):
        return not _NUMBERS.issuperset(map(type, x)) and any(map(is_masked, x))
    return False


def numbers(what: str, given: Any, hint: str = "") -> NDArray[np.float64]:
    """An array of finite numbers, of any shape.

    Raises ValueError where rows differ in length or an entry is text, missing or not finite, and TypeError
    where it is anything else. The message names the entry; the hint says what to do about text.
    """
    try:
        array = np.asarray(given)
    except ValueError:
        raise ValueError(f"{what} is no table: {_unlike(what, given)}") from None
    _check_real(what, given, array)
    if array.dtype.kind not in "fiub":
        for index, entry in np.ndenumerate(array):
            try:
                float(np.nan if entry is None else entry)
            except ValueError:
                where = _entry(what, index)
                raise ValueError(f"{where} is {str(entry)!r}, which is no number{hint}") from None
            except TypeError:
                where, kind = _entry(what, index), type(entry).__name__
                raise TypeError(f"{where} is {entry!r} (of the type {kind}), which is no number") from None
    # what is mapped from a file may be larger than memory: it is looked at in parts, and not copied
    result = array.astype(np.float64, copy=not isinstance(given, np.memmap))
    if not all(np.isfinite(result[rows]).all() for rows in _parts(result)):
        index = tuple(np.argwhere(~np.isfinite(result))[0])
        raise ValueError(
            f"{_entry(what, index)} is {array[index]}, which is not finite: fill in what is missing, or "
            "leave the sample out"
        )
    return result


def _parts(array: NDArray[np.float64]) -> list[Any]:
    """Indices of an array's rows, some together; of all, where it has none."""
    if array.ndim == 0:
        return [...]
    rows = max(1, _TOGETHER * len(array) // max(array.size, 1))
    return [slice(start, start + rows) for start in range(0, len(array), rows)]


def _unlike(what: str, rows: Any) -> str:
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in rows]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            return f"{what}[0] has {lengths[0]} entries, and {what}[{i}] has {length}"
    return "its entries are nested unevenly"


def _entry(what: str, index: tuple[Any, ...]) -> str:
    return f"{what}[{', '.join(str(i) for i in index)}]" if index else what


def listed(x: Any) -> Any:
    """One sample's inputs as the list that a network takes, where a tensor, an array or a column has one.

    Raises TypeError where there is no order in them, or a gradient of another library would be lost.
    """
    if getattr(x, "requires_grad", False):
        raise TypeError(
            "these inputs require grad, and a network of Values would lose it; give x.detach(), or make the "
            "inputs Values"
        )
    if isinstance(x, Mapping):
        raise TypeError(
            "a network takes its inputs in their order and not by names; give a list, as list(x.values()) is"
        )
    return x.tolist() if hasattr(x, "tolist") else x


def number(what: str, given: Any) -> float:
    """A number as float; TypeError where it is anything else, text that reads like one included."""
    if isinstance(given, str):
        raise TypeError(f"{what} must be a number; got the text {given!r}: leave out the quotes")
    try:
        return float(given)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number; got {given!r}") from None


def truth(what: str, given: Any) -> bool:
    """A switch; TypeError where it is not True or False: "no" would be true, and compiled code refuses it."""
    if given is not True and given is not False:
        raise TypeError(f"{what} is True or False; got {given!r}")
    return bool(given)


def checked_seed(given: Any) -> int:
    """The seed of random numbers as int: :mod:`random` would take -1 for 1, and NumPy neither it nor a float.

    Raises ValueError where it is below 0, and TypeError where it is no whole number.
    """
    message = f"seed must be a whole number from 0; got {given!r}"
    try:
        found = index(given)
    except TypeError:
        raise TypeError(message) from None
    if found < 0:
        raise ValueError(message)
    return found

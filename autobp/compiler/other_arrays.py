"""Programs on other libraries' arrays: PyTorch's, JAX's, CuPy's, and all with an Array API namespace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from autobp.backends.array_api import ArrayText, array_text
from autobp.compiler.blocks import in_blocks
from autobp.compiler.library_functions import JAX, compiled_at_once, helpers_of, special
from autobp.ir import Floats

#: Libraries whose arrays have no ``__array_namespace__`` of their own, or may not: by their packages' names.
_PACKAGES: Final = ("torch", "jax", "jaxlib", "cupy")
_NUMPYS: Final = (np.ndarray, np.generic, list, tuple, float, int)
_NEEDED: Final = "array-api-compat is needed for arrays of {}: pip install 'autobp[arrays]'"


def is_foreign(x: Any) -> bool:
    """Whether this is an array that NumPy does not have, of a library that the step can run on."""
    if isinstance(x, _NUMPYS):
        return False
    package = type(x).__module__.partition(".")[0]
    return package in _PACKAGES or (package not in ("numpy", "dask") and hasattr(x, "__array_namespace__"))


def is_elsewhere(theta: Any, arguments: Sequence[Any]) -> bool:
    """Whether one of these is another library's array, or Dask's, on which a step runs where it is."""
    return any(map(is_foreign, (theta, *arguments))) or in_blocks((theta, *arguments))


def check_numpys(names: Sequence[str], arrays: Sequence[Any]) -> None:
    """Raise TypeError where an array would have to be brought into NumPy's memory first."""
    for name, x in zip(names, arrays, strict=True):
        if is_foreign(x) or in_blocks([x]):
            raise TypeError(
                f"{name} is {_kind(x)}, and this is computed on NumPy's arrays alone: give it as one of those"
            )


def namespace(x: Any) -> Any:
    """The functions for an array: NumPy, or what array-api-compat has for its library."""
    if not is_foreign(x):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(x)


def like(x: Any, values: Floats) -> Any:
    """NumPy's numbers as an array of the library, dtype and device of x."""
    if not is_foreign(x):
        return values
    xp, _, dtype, device = place_of(x, [], [])
    return xp.asarray(np.array(values), dtype=dtype, device=device)


def _kind(x: Any) -> str:
    package = type(x).__module__.partition(".")[0]
    return f"an array of {package}" if is_foreign(x) else f"a {type(x).__module__}.{type(x).__qualname__}"


class Place(NamedTuple):
    """Where arrays live.

    Attributes:
        xp: their library, by the Array API.
        library: its name.
        dtype: a real floating-point one.
        device: None where the library does not say, as of what JAX traces.
    """

    xp: Any
    library: str
    dtype: Any
    device: Any


def place_of(theta: Any, arguments: Sequence[Any], names: Sequence[str]) -> Place:
    """Where theta lives; so must all arguments, with its dtype, which is float32 or float64.

    Raises TypeError where one of them is of another library, dtype or device, or sparse, ImportError where
    array-api-compat is not installed.
    """
    for name, x in zip(names, arguments, strict=True):
        if type(x) is not type(theta) and is_foreign(x) != is_foreign(theta):
            raise TypeError(_mixed(theta, name, x))
    library = type(theta).__module__.partition(".")[0]
    try:
        import array_api_compat as compat
    except ImportError as error:
        raise ImportError(_NEEDED.format(library)) from error
    xp, dtype, device = compat.array_namespace(theta), theta.dtype, compat.device(theta)
    if not str(dtype).endswith(("float32", "float64")):
        raise TypeError(f"theta must be of float32 or float64; got {dtype}")
    _check_dense("theta", theta)
    for name, x in zip(names, arguments, strict=True):
        if compat.array_namespace(x) is not xp:
            raise TypeError(_mixed(theta, name, x))
        if x.dtype != dtype:
            raise TypeError(f"{name} is of {x.dtype}, and theta of {dtype}: give both one dtype")
        if library not in JAX and compat.device(x) != device:  # JAX tells of it; what it traces has no device
            raise TypeError(
                f"{name} is on {compat.device(x)}, and theta on {device}: give both on one device"
            )
        _check_dense(name, x)
    return Place(xp, library, dtype, device)


def _check_dense(name: str, x: Any) -> None:
    """Raise TypeError where a tensor of PyTorch is sparse."""
    if not _is_dense(getattr(x, "layout", None)):
        raise TypeError(f"{name} is sparse, {x.layout}, which programs are not written for: give it dense")


@cache
def _is_dense(layout: Any) -> bool:
    return layout is None or str(layout) == "torch.strided"


def _mixed(theta: Any, name: str, x: Any) -> str:
    return f"theta is {_kind(theta)}, and {name} is {_kind(x)}: give all of them as arrays of one library"


def sample_of(name: str, x: Any) -> Floats:
    """The first row of an array, in NumPy's memory, to trace a function with.

    Raises ValueError where its numbers are not known, as of what JAX traces.
    """
    row = x[0, ...] if hasattr(x, "dtype") else np.asarray(x)[0]
    try:
        if hasattr(row, "detach"):
            row = row.detach().cpu()
        elif hasattr(row, "get"):  # CuPy's
            row = row.get()
        return np.asarray(row, dtype=np.float64)
    except Exception as error:
        raise ValueError(
            f"{name} has no numbers yet, and the step no program: call it once with numbers, or give compile "
            "an example=(x, y) of one sample"
        ) from error


class OnArrays:
    """The functions of some programs over other libraries' arrays, made for a place when first asked for."""

    def __init__(self, programs: Any, about: str) -> None:
        self._programs, self._about = programs, about
        self._text: ArrayText | None = None
        self._made: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    @property
    def text(self) -> ArrayText:
        """The source. Raises TypeError where an operation is computed by Python code."""
        if self._text is None:
            self._text = array_text(self._programs, self._about)
        return self._text

    def function(self, name: str, place: Place) -> Callable[..., Any]:
        """A function of (theta, *arguments).

        Raises TypeError where the library lacks a function that the program calls, which it names.
        """
        key = (place.library, str(place.dtype), str(place.device))
        if key not in self._made:
            with self._lock:
                if key not in self._made:
                    self._made[key] = namespace_of(self.text, place)
        function: Callable[..., Any] = self._made[key][name]
        return function


def namespace_of(text: ArrayText, place: Place) -> dict[str, Any]:
    """The functions of a text for arrays of one place, by name.

    Raises TypeError where the library lacks a function that they call, which it names.
    """
    missing = [name for name in text.functions if not hasattr(place.xp, name)]
    if missing:
        raise TypeError(f"this program calls {missing[0]}, which {place.library} does not have")
    namespace: dict[str, Any] = {"xp": place.xp}
    for name in text.special:
        namespace[name] = special(name, place.library, place.xp)
    for name, values in text.constants.items():
        namespace[name] = _constant(values, place)
    exec(compile(text.text, "<compiled by autobp>", "exec"), namespace)
    for name, function in helpers_of(place.library).items():
        if name in text.helpers:
            namespace[name] = function
    if "repeated" in text.helpers:
        for name in text.programs:
            namespace[name] = compiled_at_once(namespace[name], place.library)
    return namespace


def _constant(values: np.ndarray[Any, Any], place: Place) -> Any:
    floats = values.dtype.kind == "f"
    if place.library in JAX:
        # NumPy's, which a trace takes for constants: an array made while JAX traces belongs to that trace
        return values.astype(place.dtype) if floats else values.astype(place.xp.arange(1).dtype)
    dtype = place.dtype if floats else place.xp.int64
    return place.xp.asarray(values, dtype=dtype, device=place.device)

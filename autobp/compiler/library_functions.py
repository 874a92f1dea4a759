"""What libraries of arrays have of their own, beside the functions of the Array API standard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

JAX: Final = ("jax", "jaxlib")  # its arrays' types are of either package

_SPECIAL: Final = {
    "torch": "torch.special",
    "cupy": "cupyx.scipy.special",
    **dict.fromkeys(JAX, "jax.scipy.special"),
}


def special(name: str, library: str, xp: Any) -> Callable[..., Any]:
    """erf or erfc of a library. Raises TypeError where it has none."""
    module = _SPECIAL.get(library)
    found: Callable[..., Any] | None = getattr(import_module(module) if module else xp, name, None)
    if found is None:
        raise TypeError(f"this program calls {name}, which {library} does not have")
    return found


def helpers_of(library: str) -> Mapping[str, Callable[..., Any]]:
    """Helpers of written programs that a library does in a better way, by name."""
    if library in JAX:
        return _of_jax()
    return _of_torch() if library == "torch" else {}


def compiled_at_once(function: Callable[..., Any], library: str) -> Callable[..., Any]:
    """A function with loops, as a library has to be given it: JAX traces and compiles a scan at each call."""
    if library not in JAX:
        return function
    import jax

    jitted: Callable[..., Any] = jax.jit(function)
    return jitted


@cache
def _of_jax() -> Mapping[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp

    def repeated(step: Any, states: Any, sequences: Any, steps: int, falling: bool) -> Any:
        """A scan, which is traced once, whatever the number of steps is."""
        return jax.lax.scan(step, states, sequences, length=steps, reverse=falling)

    def scatter_add(delta: Any, index: Any, numbers: Any) -> Any:
        """The helper of that name, by segments."""
        n = len(numbers)
        places = _places(jnp, index, n)
        places = jnp.broadcast_to(places, delta.shape[:-1]).reshape(-1)
        return jax.ops.segment_sum(delta.reshape(-1, delta.shape[-1]), places, n + 1)[:n].T

    return {"repeated": repeated, "scatter_add": scatter_add}


@cache
def _of_torch() -> Mapping[str, Callable[..., Any]]:
    import torch

    def scatter_add(delta: Any, index: Any, numbers: Any) -> Any:
        """The helper of that name, which adds rows where they belong."""
        n = len(numbers)
        places = _places(torch, index, n).broadcast_to(delta.shape[:-1]).reshape(-1)
        rows = delta.reshape(-1, delta.shape[-1])
        return rows.new_zeros((n + 1, rows.shape[-1])).index_add(0, places, rows)[:n].T

    return {"scatter_add": scatter_add}


def _places(xp: Any, index: Any, n: int) -> Any:
    """The index as whole numbers; n, which is none of 0, 1, …, n - 1, where it is none of these either."""
    inside = (index >= 0.0) & (index < n) & (index == xp.floor(index))
    places = xp.where(inside, index, xp.full_like(index, n))
    return places.to(xp.int64) if hasattr(places, "to") else places.astype(int)

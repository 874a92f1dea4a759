"""Other libraries' arrays: making them, and calling every step with them as well as with NumPy's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from autobp.compiler.step import Step

#: How the array libraries are imported, by what the tests call them.
LIBRARIES = {"torch": "torch", "jax": "jax.numpy", "strict": "array_api_strict"}


def library(name):
    """Its ``asarray``; skips the test where it is not installed."""
    xp = pytest.importorskip(LIBRARIES[name])
    if name == "jax":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    return xp.asarray


def flat(result):
    """(cost, gradient), or outputs, as one array of NumPy's."""
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1) for part in parts])


@contextmanager
def also_on(name: str) -> Iterator[None]:
    """Every call of a step with NumPy's arrays is made with another library's too, and both must agree."""
    convert = library(name)
    call = Step.__call__

    def both(step, theta, *arguments):
        result = call(step, theta, *arguments)
        numbers = [np.ascontiguousarray(x, dtype=np.float64) for x in (theta, *arguments)]
        try:
            other = call(step, *map(convert, numbers))
        except TypeError as error:
            if "Python code" in str(error) or "does not have" in str(error):
                return result
            raise
        wanted, got = flat(result), flat(other)
        found = np.isfinite(got)
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
        # what is not finite is answered by the graph on NumPy alone
        if found.all():
            assert np.abs(got - wanted).max(initial=0.0) <= 1e-12 * scale, (got, wanted)
        else:
            executable = step._executable()
            name = list(executable.programs)[-1]
            assert not np.isfinite(flat(executable.run(name, *numbers[:1], numbers[1:]))).all(), (got, wanted)
        return result

    Step.__call__ = both
    try:
        yield
    finally:
        Step.__call__ = call

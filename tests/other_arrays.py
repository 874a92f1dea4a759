"""Other libraries' arrays: making them, and calling every step with them as well as with NumPy's."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from autobp.compiler.derivatives.made import Made
from autobp.compiler.executable import Executable
from autobp.compiler.other_arrays import is_foreign
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


#: What a step is asked for, beside its call; each takes theta first.
DERIVATIVES = ("hessian", "hvp", "rows", "jacobian", "jvp", "vjp", "weighted")

#: Of the largest entry: float64 as compile promises it, float32 as docs/other-arrays.md does.
BOUNDS = {np.float64: 1e-12, np.float32: 8192 * 2.0**-24}
_LEAST = {np.float64: 0.0, np.float32: 2.0**-100}  # below it what it is computed from leaves float32's range
_CANCELLED = {np.float64: 2.0**-52, np.float32: 0.0}  # of 1 - a², where tanh's last digit is another's


def _is_subnormal(x):
    """Where numbers are nearer to 0 than any that has all digits."""
    return (x != 0.0) & (np.abs(x) < np.finfo(x.dtype).tiny)


@contextmanager
def also_on(name: str) -> Iterator[None]:
    """What a step is asked for on NumPy's arrays it is asked for on another library's too: both must agree.

    "torch32" and "jax32" are these libraries' arrays of float32.
    """
    asarray = library(name.removesuffix("32"))
    dtype = np.float32 if name.endswith("32") else np.float64
    asked = {"__call__": Step.__call__, **{name: getattr(Step, name) for name in DERIVATIVES}}
    with_care = Executable.with_care, Made.with_care
    cared: list[bool] = []  # what is not finite is answered by the graph, on NumPy alone

    def seen(care):
        def watched(self, *arguments):
            cared.append(True)
            return care(self, *arguments)

        return watched

    def both(of_numpys):
        def asked_twice(step, theta, *arrays, **options):
            result = of_numpys(step, theta, *arrays, **options)
            if is_foreign(theta) or np.ndim(theta) != 1 or options.pop("sparse", False):
                return result
            with np.errstate(over="ignore"):
                numbers = [np.array(x, dtype=dtype) for x in (theta, *arrays)]
            if any(
                (np.isinf(x) & np.isfinite(y)).any() for x, y in zip(numbers, (theta, *arrays), strict=True)
            ):
                return result  # out of float32's range
            if name == "jax" and any((_is_subnormal(x)).any() for x in numbers):
                return result  # XLA has 0 for them, as docs/other-arrays.md says
            weights = options.pop("weights", None)
            if weights is not None:
                options["weights"] = asarray(np.array(weights, dtype=dtype))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    other = of_numpys(step, *map(asarray, numbers), **options)
            except TypeError as error:
                if "Python code" in str(error) or "does not have" in str(error):
                    return result
                raise
            if weights is not None:
                options["weights"] = np.array(weights, dtype=dtype)
            cared.clear()
            wanted = of_numpys(step, *[x.astype(np.float64) for x in numbers], **options)
            compare(flat(wanted), flat(other))
            return result

        return asked_twice

    def compare(wanted, got):
        finite = np.isfinite(wanted)
        scale = np.abs(wanted[finite]).max(initial=0.0)
        if scale < _LEAST[dtype]:
            return
        if cared:
            finite &= np.isfinite(got)
        else:
            np.testing.assert_array_equal(np.isfinite(got), finite)
        away = np.abs(got[finite] - wanted[finite]).max(initial=0.0)
        assert away <= BOUNDS[dtype] * scale + _CANCELLED[dtype], (got, wanted, away / scale)

    for of_step, function in asked.items():
        setattr(Step, of_step, both(function))
    Executable.with_care, Made.with_care = map(seen, with_care)
    try:
        yield
    finally:
        for of_step, function in asked.items():
            setattr(Step, of_step, function)
        Executable.with_care, Made.with_care = with_care

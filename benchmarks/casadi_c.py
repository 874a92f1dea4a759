"""CasADi: the same cost in its scalars, its gradient by its reverse mode, and the C that it generates."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.built_c import library
from benchmarks.harness import Sample, timed_briefly


def casadi_sample(
    cost_of: Callable[..., Any], theta: Any, data: Sequence[Any], expected: Any, calls: int
) -> Sample:
    """One sample of how long the C takes for the mean cost of rows and its gradient, in µs.

    Args:
        cost_of: the cost of one sample: of theta and its data, each a list of CasADi's scalars.
        expected: the cost and the gradient.
    """
    import casadi as ca

    m = len(data[0])
    rows = [np.asarray(x, dtype=float).reshape(m, -1) for x in data]
    symbols = [ca.SX.sym("theta", len(theta)), *[ca.SX.sym(f"x{i}", x.shape[1]) for i, x in enumerate(rows)]]
    cost = cost_of(*[[x[k] for k in range(x.numel())] for x in symbols])
    one = ca.Function("one", symbols, [cost, ca.gradient(cost, symbols[0])])
    given = [ca.MX.sym("theta", len(theta)), *[ca.MX.sym(f"x{i}", x.shape[1], m) for i, x in enumerate(rows)]]
    of_rows = one.map(m)(ca.repmat(given[0], 1, m), *given[1:])
    mean = ca.Function("mean", given, [ca.sum2(part) / m for part in of_rows])
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)  # the only place that it writes to
        try:
            mean.generate("mean.c")
        finally:
            os.chdir(before)
        with open(f"{folder}/mean.c", encoding="utf-8") as file:
            built = library(file.read(), folder)
    function, sizes = built.mean, [ctypes.c_longlong() for _ in range(4)]
    built.mean_work(*[ctypes.byref(x) for x in sizes])
    n_in, n_out, n_whole, n_work = [max(x.value, 1) for x in sizes]
    # it takes samples as columns, one after another, as rows lie in NumPy
    arrays = [np.ascontiguousarray(x) for x in (theta, *rows)]
    found, gradient = np.empty(1), np.empty(len(theta))
    read, written = (ctypes.c_void_p * n_in)(), (ctypes.c_void_p * n_out)()
    read[: len(arrays)] = [x.ctypes.data for x in arrays]
    written[:2] = [found.ctypes.data, gradient.ctypes.data]
    whole, work = np.empty(n_whole, dtype=np.int64), np.empty(n_work)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (whole, work)]
    function(read, written, *pointers, 0)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-8, atol=1e-12)
    kept = (arrays, found, gradient, whole, work)
    return timed_briefly(lambda kept=kept: function(read, written, *pointers, 0), calls)

"""Every operation of the table, in machine code as in NumPy, at ordinary numbers and at edges."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

import autobp
from autobp import Value
from autobp.registry import TABLE

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")

EDGES = [0.0, -0.0, 0.5, 1.0, -1.0, 2.5, -2.5, -3.0, 1e300, -1e300, 1e-300, math.inf, -math.inf, math.nan]
NAMES = [name for name, op in TABLE.items() if op.arity is not None and not op.inline]


def test_every_operation_gives_numpys_numbers(monkeypatch, tmp_path):
    """In one program of all of them, for one call of the compiler."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one = Value(1.0)
    width = max(TABLE[name].arity for name in NAMES)

    def results(x):
        found = []
        for name in NAMES:
            op = TABLE[name]
            operands = x[: op.arity] if name != "acosh" else [x[0] + 1.0]
            constants = op.defaults or (2.0,) * len(op.constants)
            found.append(autobp.function(op)(*operands, *constants) * one)
        return found

    x = np.concatenate([np.random.default_rng(0).normal(0.0, 3.0, 100), EDGES])
    data = np.stack([np.roll(x, 3 * i) for i in range(width)], 1)
    example = ([0.5] * width,)
    by_numpy = autobp.compile(results, [one], example=example)
    in_c = autobp.compile(results, [one], example=example, backend="c")
    with np.errstate(all="ignore"):
        expected, found = by_numpy([1.0], data), in_c([1.0], data)
        same = (expected == found) | np.isclose(expected, found, rtol=1e-12, atol=1e-300, equal_nan=True)
    for name, column in zip(NAMES, same.T, strict=True):
        assert column.all(), (name, data[~column][0], expected[:, NAMES.index(name)][~column][0])

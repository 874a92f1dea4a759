"""Loops in C: backpropagation through time by the compiler alone, against the scalars."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_c_source import built
from test_loops import MODELS
from test_through_time import eager, loops_of, program_of

from autobp import ir
from autobp.backends.c_text import CFunction, c_source

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def called(library: ctypes.CDLL, function: CFunction, program: ir.Program, theta: Any, data: Any) -> Any:
    """Cost and gradient, with work areas and results full of NaN before."""
    run = getattr(library, function.name)
    run.restype = ctypes.c_double
    arrays = [np.ascontiguousarray(x) for x in data]
    m = len(arrays[0]) if arrays else 0
    work = np.full(function.fixed + function.each * m + 1, np.nan)
    gradient = np.full(program.theta.n, np.nan)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (theta, *arrays)]
    after = [ctypes.c_void_p(x.ctypes.data) for x in (gradient, work)]
    return run(*pointers, ctypes.c_long(m), *after), gradient


def test_models_of_many_steps(tmp_path: Path) -> None:
    cases = {model.__name__: model(40) for model in MODELS}
    programs = {name: program_of(case) for name, case in cases.items()}
    source = c_source(programs, "Models of many steps.")
    library = built(source, tmp_path)
    for function in source.functions:
        case, program = cases[function.name], programs[function.name]
        assert loops_of(program)
        theta = np.array([p.data for p in case[1]])
        expected, derivatives = eager(case)
        data = case[2]
        several = [np.concatenate([x] * 4) for x in data]  # blocks, and a part of one
        for rows in (data, several):
            cost, gradient = called(library, function, program, theta, rows)
            assert cost == pytest.approx(expected, rel=1e-11), function.name
            np.testing.assert_allclose(gradient, derivatives, rtol=1e-9, atol=1e-11, err_msg=function.name)

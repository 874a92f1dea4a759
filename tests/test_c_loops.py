"""Loops in C: backpropagation through time by the compiler alone, against the scalars."""

from __future__ import annotations

import ctypes
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_c_source import built
from test_loops import MODELS
from test_through_time import eager, loops_of, program_of

import autobp
from autobp import ir
from autobp.backends.c_formulas import CModule
from autobp.backends.c_loops import with_loops_of_samples
from autobp.backends.c_nests import Nest, written
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


def test_what_a_loop_sums_over_the_samples_by_step_is_summed_after_it(tmp_path: Path) -> None:
    """The loop is then run for a block of samples at a time; what a step reads itself is left where it is."""
    w = [autobp.Value(0.5 + 0.01 * t) for t in range(40)]

    def loss(x: Any) -> Any:
        for each in w:
            x = (each * x + 0.1).tanh()
        return x * x

    step = autobp.compile(loss, w, example=(0.3,), backend="numpy")
    assert loops_of(step.program)
    source = c_source({"cost_and_gradient": step.program}, "Weights by step.")
    assert source.text.count("for (long first = 0") == 1
    assert "s < m" not in source.text
    x = np.linspace(-1.0, 1.0, 21)
    theta = np.array([each.data for each in w])
    cost, gradient = called(built(source, tmp_path), source.functions[0], step.program, theta, [x])
    expected = step(theta, x)
    assert cost == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)


def matrices_by_step(x: Any, w: Any) -> Any:
    """A state of each sample, and a matrix that changes from step to step for all samples alike."""
    n = 3
    W, h = [list(w[n * i : n * (i + 1)]) for i in range(n)], [0.1, -0.2, 0.3]
    for t in range(40):
        z = [autobp.sum([a * b for a, b in zip(row, h, strict=True)]) + x[t] for row in W]
        h = [v.tanh() for v in z]
        W = [[0.9 * v + 0.1 * (v * w[-1]).tanh() for v in row] for row in W]
    return autobp.sum([v * v for v in h])


def test_a_matrix_that_all_samples_share_has_loops_of_its_own(tmp_path: Path) -> None:
    """One before those of the samples, and one after them for its adjoint."""
    w = [autobp.Value(v) for v in np.random.default_rng(8).normal(size=10)]
    x = np.random.default_rng(9).normal(size=(21, 40))
    step = autobp.compile(lambda row: matrices_by_step(row, w), w, example=(x[0],), backend="numpy")
    assert len(loops_of(step.program)) == 2
    parted = with_loops_of_samples(step.program)
    parted.verify()
    loops = loops_of(parted)
    assert len(loops) == 4
    assert [any(a.batched for a in loop.body.arrays) for loop in loops].count(True) == 2
    source = c_source({"cost_and_gradient": step.program}, "A matrix by step.")
    (function,) = source.functions
    assert function.each == 0
    theta = np.array([v.data for v in w])
    cost, gradient = called(built(source, tmp_path), function, step.program, theta, [x])
    expected = eager((lambda row: matrices_by_step(row, w), w, [x]))
    assert cost == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_no_loop_keeps_anything_by_row(model: Any) -> None:
    programs = {"cost_and_gradient": program_of(model(40))}
    with_loops_of_samples(programs["cost_and_gradient"]).verify()
    assert [function.each for function in c_source(programs, "").functions] == [0]


def test_a_loop_that_all_samples_share_is_run_once() -> None:
    """Whatever it is given of each sample, and does not read; the file has no variable that nobody reads."""
    w = [autobp.Value(v) for v in (0.5, -0.3, 0.8)]

    def loss(x: Any) -> Any:
        u, h, terms = w[0] * 1.0, x[0] * 0.5, []
        for t in range(20):
            terms.append((h + h * u).tanh())
            u, h = (w[1] + u * u).tanh() + 0.05 * w[2], 0.6 * x[t] + 0.15 * h
        return autobp.sum([*terms, h * h, u * u])

    step = autobp.compile(loss, w, example=(np.linspace(-1.0, 1.0, 20),), backend="numpy")
    unread = [set(x.body.arguments) - set(x.body.arrays) for x in loops_of(step.program)]
    assert any(unread)
    parted = with_loops_of_samples(step.program)
    assert all(set(x.body.arguments) <= set(x.body.arrays) for x in loops_of(parted))
    source = c_source({"cost_and_gradient": step.program}, "").text
    for block in re.findall(r"first \+= BLOCK\) \{\n(.*?)\n    \}\n", source, re.DOTALL):
        assert re.search(r"s < rows", block)


def test_tables_and_functions_that_nobody_reads_are_not_in_the_file() -> None:
    module = CModule()
    for name in ("maximum", "whole", "logaddexp", "tanh"):
        module.helper(name)
    tables = [module.table(np.arange(n)) for n in (2, 3)]
    text = module.text([f"x[0] = logaddexp({tables[1]}[0], 1.0);"])
    assert "maximum" not in text
    assert "static long whole(" not in text  # of which a comment speaks
    assert "short_tanh" not in text
    assert text.index("power_of_two(double") < text.index("short_exp(double") < text.index("logaddexp(double")
    assert [name in text for name in tables] == [False, True]


def test_a_sum_over_the_samples_that_a_step_reads_stays_in_the_loop() -> None:
    """As the mean of all samples' states, in each step: no block of samples can be run alone."""
    h, x = ir.Local((1,), True), ir.Input(0, (1,))
    mean = ir.SumTo(h, (), True)
    following = ir.Sum((h, mean), (1,), (1.0, -1.0))
    body = ir.Program((h,), (following, mean), {h: "h"})
    loop = ir.Loop(5, body, (x,))
    program = ir.Program((ir.Theta(1), x), (ir.Total((ir.Term(1.0, 0, ir.Result(loop, 1)),)),), {x: "x"})
    assert with_loops_of_samples(program) is program


def test_what_is_read_here_and_there_is_kept_apart_from_calls_for_several_numbers() -> None:
    """Compilers call exp for several numbers at once only in a loop over what lies side by side."""
    near = Nest((("s", "rows"), ("i", 17)), ("b[17 * s + i] = exp(a[17 * s + i]);",), True)
    more = near._replace(lines=("c[17 * s + i] = b[17 * s + i] + 1.0;",), calls=False)
    texts = "a[17 * s + i] = x[I1[i]];", "a[17 * s + i] = x[s + 35 * i];", "d[s + 9 * i] = b[17 * s + i];"
    for text in texts:
        apart = near._replace(lines=(text,), calls=False)
        assert apart.is_scattered
        for order in ([apart, near, more], [near, more, apart]):
            lines = written(order)
            (of_calls,) = [k for k, line in enumerate(lines) if "exp(" in line]
            (of_apart,) = [k for k, line in enumerate(lines) if text in line]
            between = lines[min(of_calls, of_apart) : max(of_calls, of_apart)]
            assert any("for (long s" in line for line in between)
    assert not near.is_scattered
    assert sum("for (long s" in line for line in written([near, more])) == 1

"""exp and tanh as C programs bring them along: near to what is right, the same digits everywhere."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from c_compilers import command_of
from test_c_file import exported

import autobp
from autobp import MLP, Value
from autobp.backends import c_text
from autobp.backends.c_formulas import CModule

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

EDGES = [
    *[0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1e-320, -1e-310, 2.2250738585072014e-308],
    *[709.782712893384, 709.7827128933841, 710.0, 711.0, 1e308, -1e308, -708.3964185322641, -708.4, -720.0],
    *[-744.4400719213812, -745.1332191019411, -745.1332191019412, -745.2, -746.0, -747.0],
    *[19.0, 19.061547465398498, 20.0, 20.1, -20.5, 22.0, 354.9, 1.0, -1.0],
]
RNG = np.random.default_rng(0)
SIZES = 10.0 ** RNG.uniform(-20, 1, 4000) * RNG.choice([-1.0, 1.0], 4000)
HALVES = math.log(2) / 2 * RNG.integers(-60, 60, 4000) * (1.0 + RNG.uniform(-1e-12, 1e-12, 4000))


def arrays_of(name: str, folder: Path, *command: str) -> Callable[[Any], Any]:
    """One of the two as a function of arrays, built by a compiler."""
    module = CModule()
    module.helper(name)
    loop = f"for (long i = 0; i < n; i++) y[i] = short_{name}(x[i]);"
    text = f"#include <math.h>\n\n{module.text([loop])}\n\nvoid each(const double *x, double *y, long n);\n"
    text += f"void each(const double *x, double *y, long n) {{\n    {loop}\n}}\n"
    (folder / "each.c").write_text(text, encoding="utf-8")
    flags = ["-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-ffp-contract=off"]
    done = subprocess.run(
        [*command, "-std=c99", *flags, "each.c", "-o", "each.so", "-lm"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    each = ctypes.CDLL(str(folder / "each.so")).each

    def on(x: Any) -> Any:
        x = np.ascontiguousarray(x, dtype=float)
        y = np.empty_like(x)
        each(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_long(len(x)))
        return y

    return on


def units_off(found: float, x: float, function: Any) -> float:
    """By how many units in the last place of what is right."""
    with mpmath.workprec(200):
        right = function(mpmath.mpf(x))
        return float(abs(mpmath.mpf(found) - right) / math.ulp(float(right)))


@pytest.mark.parametrize(
    ("name", "most", "x"),
    [
        ("exp", 1.0, RNG.uniform(-745, 709.78, 6000)),
        ("exp", 1.0, np.concatenate([SIZES, HALVES])),
        ("exp", 1.0, RNG.uniform(-745.13, -708, 2000)),
        ("tanh", 2.0, RNG.uniform(-21, 21, 6000)),
        ("tanh", 2.0, np.concatenate([SIZES, HALVES])),
        ("tanh", 2.0, RNG.uniform(0.17, 0.35, 8000)),
        ("tanh", 2.0, 2.0 ** RNG.integers(-12, -2, 8000) * RNG.uniform(0.97, 1.0, 8000)),
    ],
)
def test_they_are_off_by_less_than_they_state(name: str, most: float, x: Any, tmp_path: Path) -> None:
    found = arrays_of(name, tmp_path, "cc", "-O2")(x)
    function = getattr(mpmath, name)
    assert max(units_off(y, v, function) for v, y in zip(x.tolist(), found.tolist(), strict=True)) < most


def test_edges_are_those_of_the_c_library(tmp_path: Path) -> None:
    """Infinities, NaN, signed zeros, where it overflows, and where numbers are less than normal."""
    found = arrays_of("exp", tmp_path, "cc", "-O2")(EDGES)
    with np.errstate(all="ignore"):
        expected = np.exp(EDGES)
        np.testing.assert_array_max_ulp(found[np.isfinite(expected)], expected[np.isfinite(expected)], 1)
        np.testing.assert_array_equal(found[~np.isfinite(expected)], expected[~np.isfinite(expected)])
    found = arrays_of("tanh", tmp_path / "..", "cc", "-O2")(EDGES)
    np.testing.assert_array_equal(np.signbit(found[:2]), [False, True])
    expected = np.array([x if math.isnan(x) else float(mpmath.tanh(x)) for x in EDGES])
    np.testing.assert_array_max_ulp(found[~np.isnan(expected)], expected[~np.isnan(expected)], 1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(EDGES))


@pytest.mark.parametrize("name", ["exp", "tanh"])
@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        ("cc", ["-O0"]),
        ("cc", ["-O3", "-march=native", "-fno-trapping-math"]),
        ("clang", ["-O0"]),
        ("clang", ["-O3", "-march=native"]),
        ("musl", ["-O3"]),
    ],
)
def test_every_compiler_gives_the_same_digits(
    name: str, compiler: str, options: list[str], tmp_path: Path
) -> None:
    x = np.concatenate([RNG.uniform(-750, 715, 3000), SIZES, HALVES, EDGES])
    expected = arrays_of(name, tmp_path, "cc", "-O2")(x)
    (tmp_path / "other").mkdir()
    if compiler == "musl":  # a library for musl is for no process of another C library
        options = [*options, "-nostdlib"]
    found = arrays_of(name, tmp_path / "other", *command_of(compiler), *options)(x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found)[x == 0], np.signbit(expected)[x == 0])


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", ["exp", "tanh"])
def test_several_are_computed_at_once(name: str, compiler: str, tmp_path: Path) -> None:
    command = command_of(compiler)
    told = {"gcc": "-fopt-info-vec-optimized", "clang": "-Rpass=loop-vectorize"}[compiler]
    arrays_of(name, tmp_path, *command, "-O3", "-fno-trapping-math", "-fno-math-errno")
    (tmp_path / "each.so").unlink()
    done = subprocess.run(
        [*command, "-std=c99", "-O3", "-fno-trapping-math", "-fno-math-errno", told, "-c", "each.c"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "loop vectorized" in done.stderr or "vectorized loop" in done.stderr


def test_where_the_c_library_has_them_for_one_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs give NumPy's numbers with the exp that they bring along."""
    monkeypatch.setattr(c_text, "_SEVERAL", "/* none */")
    w = [Value(0.5), Value(-0.25)]

    def results(x: Any) -> list[Value]:
        z = w[0] * x[0] + w[1] * x[1]
        return [z.exp(), z.tanh(), z.sigmoid(), z.softplus(), autobp.logaddexp(z, x[0]), z * z.sigmoid()]

    x = np.concatenate([RNG.normal(0, 3, 100), np.array(EDGES)])
    data = np.stack([x, np.roll(x, 5)], 1)
    step = autobp.compile(results, w, example=([0.5, 0.5],), backend="c")
    assert "#define HAS_SEVERAL" not in step.c_source
    by_numpy = autobp.compile(results, w, example=([0.5, 0.5],), backend="numpy")
    with np.errstate(all="ignore"):
        expected = by_numpy(by_numpy.theta, data)
        np.testing.assert_allclose(step(step.theta, data), expected, rtol=1e-13, atol=1e-323)


def test_an_exported_network_runs_without_glibc(tmp_path: Path) -> None:
    net = MLP(2, [4, 3], activation=["tanh", "softmax"], seed=2)
    net.save(tmp_path / "model.npz")
    exported(tmp_path)
    command = command_of("musl")
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-static"]
    subprocess.run([*command, *strict, "model.c", "-o", "alone", "-lm"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "alone"], env={}, check=False).returncode == 0

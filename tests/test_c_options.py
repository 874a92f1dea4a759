"""The options that machine code is built with change no number: C drawn by lot, against the same without any.

With vectors of 8 numbers, GCC 12 leaves elements out of functions such as these.
"""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autobp.machine.toolchain import toolchain

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)
WIDEST, ROWS, FUNCTIONS = 61, 8, 40


def drawn(rng: random.Random, name: str) -> str:
    """A function that fills rows piece by piece, copies them, and sums products of them in two ways."""
    width, n = rng.choice([3, 5, 6, 7, 9, 13, 17, 20, 30, WIDEST]), rng.choice([2, 3, 4, 8, 16])
    lines, at = [], 0
    while at < width:
        piece = min(rng.choice([1, 2, 3, 4, 5, 6, 8, 12]), width - at)
        text = rng.choice(["x[s]", "t1[I[i]]", "x[s] * t1[i]", f"x[s] + y[{piece} * s + i]"])
        lines.append(f"for (long i = 0; i < {piece}; i++) t2[{width} * s + i + {at}] = {text};")
        at += piece
    lines.append(f"for (long i = 0; i < {width}; i++) work[{width} * s + i] = t2[{width} * s + i];")
    by_rows = [f"    for (long s = 0; s < m; s++)\n        {line}" for line in lines]
    over = f"for (long s = 0; s < m; s++) for (long k = 0; k < {width}; k++)"
    return f"""void {name}(const double *theta, const double *x, const double *y, long m, double *work) {{
    double t1[16], t2[{ROWS} * {width}], sums[{n}] = {{0.0}};
    for (long i = 0; i < 16; i++) t1[i] = theta[i] * 2.0;
{chr(10).join(by_rows)}
    {over} for (long j = 0; j < {n}; j++) sums[j] += t2[{width} * s + k] * y[{n} * k + j];
    for (long j = 0; j < {n}; j++) {{
        double sum = 0.0;
        {over} sum += t2[{width} * s + k] * t1[j % 8];
        work[{ROWS * width} + j] = sum, work[{ROWS * width + n} + j] = sums[j];
    }}
}}
"""


def built(source: str, folder: Path, *options: str) -> ctypes.CDLL:
    (folder / "drawn.c").write_text(source)
    library = f"drawn{len(options)}.so"
    command = [*toolchain().command, *options, "-fPIC", "-shared", "drawn.c", "-o", library, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / library))


@pytest.mark.parametrize(
    "seed", [0, *[pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 40)]]
)
def test_options_change_no_number(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    names = [f"f{i}" for i in range(FUNCTIONS)]
    source = "static const long I[] = {0, 1, 5, 7, 3, 2, 6, 4, 1, 1, 0, 7};\n"
    source += "\n".join([drawn(rng, name) for name in names])
    plain = built(source, tmp_path, "-std=c99", "-O0", "-ffp-contract=off")
    quick = built(source, tmp_path, *toolchain().options(source))
    numbers = np.random.default_rng(seed).normal(size=(3, 16 * WIDEST))
    for name in names:
        for m in range(1, ROWS + 1):
            results = []
            for library in (plain, quick):
                work = np.full(ROWS * WIDEST + 32, np.nan)
                pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*numbers, work)]
                getattr(library, name)(*pointers[:3], ctypes.c_long(m), pointers[3])
                results.append(work)
            np.testing.assert_array_equal(*results, err_msg=f"{name} with {m} rows")

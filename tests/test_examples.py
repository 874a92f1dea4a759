"""Each derivation runs as a script that prints both sides of its equations, and fails where they differ."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ["induction_proof", "delta_accumulation", "bp1_bp4", "general_equations", "vectorised_proof"]
ROW = re.compile(r"^  (\S.*?) +([+-]\d+\.\d{12}) +([+-]\d+\.\d{12})$", re.MULTILINE)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_prints_sides_that_agree(script):
    finished = run(f"examples/{script}.py")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    rows = ROW.findall(finished.stdout)
    assert len(rows) >= 20
    for name, graph, formula in rows:
        assert abs(float(graph) - float(formula)) <= 1e-11, name
    assert any(float(graph) != 0 for _, graph, _ in rows)
    assert re.search(r"\nlargest difference \d\.\de[-+]\d\d: the sides agree\n$", finished.stdout)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_fails_where_the_graph_and_the_formula_differ(script):
    off_by_a_billionth = f"""
import both_sides, runpy
right = both_sides.grad
both_sides.grad = lambda nodes: right(nodes) * (1 + 1e-9)
runpy.run_path("examples/{script}.py", run_name="__main__")
"""
    finished = run("-c", off_by_a_billionth)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "the sides DIFFER" in finished.stdout


@pytest.mark.parametrize("formula", ["1.0 + 1e-9", "float('nan')"])
def test_a_difference_or_a_nan_is_never_lost(formula):
    script = (
        "from both_sides import BothSides; table = BothSides('');"
        f"table.row('x', 1.0, {formula}); table.row('y', 1.0, 1.0); raise SystemExit(table.verdict())"
    )
    assert run("-c", script).returncode == 1

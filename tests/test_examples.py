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


#: What each script's page prints, and the script does not follow.
MENDED = {
    "induction_proof": ["one y^(i) for both outputs", "breaks off"],
    "delta_accumulation": ["λ Θ_ij for λ/m Θ_ij", "0 - y", "no minus in cost(i)", "column 0 of Θ", "its g'"],
    "bp1_bp4": ["m × 1, where they are n × 1", "means too"],
    "general_equations": ["y for y_p", "from i = 0", "column 0", "M_k0 is 0, which it is not"],
    "vectorised_proof": ["plus for a minus", "- y - y + a for a - ay - y + ay", "z_j^l for", "a softmax"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_says_what_its_page_has_where_it_prints_a_mended_form(script):
    printed = run(f"examples/{script}.py").stdout
    words = " ".join(printed[printed.index("Mended here: ") :].split())
    for slip in MENDED[script]:
        assert slip in words


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_formulas_take_no_number_from_the_graph(script):
    """A graph whose every number is off by a billionth: then both sides differ, for each has its own pass."""
    off = f"""
import autobp, runpy
right = autobp.Value.sigmoid
autobp.Value.sigmoid = lambda z: right(z) * (1 + 1e-9)
runpy.run_path("examples/{script}.py", run_name="__main__")
"""
    finished = run("-c", off)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "the sides DIFFER" in finished.stdout


def test_what_the_documents_name_is_printed():
    delta = run("examples/delta_accumulation.py").stdout
    assert [f"Δ after sample {i}" in delta for i in (1, 2, 3)] == [True] * 3
    assert delta.count("  Δ^(1)[1,0]") == 3
    brawer = run("examples/general_equations.py").stdout
    for name in ("C_1q^2 = [1.313", "  z^2[0] ", "  z^4[2] ", "  M^2[1,0] ", "  M^3[2,2] "):
        assert name in brawer
    induction = run("examples/induction_proof.py").stdout
    parts = induction[induction.index("breaks off, of 3×2×2") :]
    assert "∂J(θ)/∂a⁽³⁾₁ · ∂a⁽³⁾₁/∂z⁽³⁾₁ · ∂z⁽³⁾₁/∂a⁽²⁾₁" in parts  # part 1
    assert "∂J(θ)/∂a⁽³⁾₂ · ∂a⁽³⁾₂/∂z⁽³⁾₂ · ∂z⁽³⁾₂/∂a⁽²⁾₁" in parts  # part 2
    assert "((a⁽³⁾₁ - y₁) · θ⁽²⁾₁₁ + (a⁽³⁾₂ - y₂) · θ⁽²⁾₂₁) · g(z⁽²⁾₁) · (1 - g(z⁽²⁾₁))" in parts


def test_the_variances_of_the_nile_are_the_published_ones():
    pytest.importorskip("statsmodels")
    pytest.importorskip("scipy")
    finished = run("examples/nile.py")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "loop of 97 steps" in finished.stdout
    assert "nile.py, line" in finished.stdout
    fitted = [float(x) for x in re.findall(r"^  σ²_.\s+(\d+\.\d)", finished.stdout, re.MULTILINE)]
    assert fitted == pytest.approx([15099.0, 1469.1], rel=1e-3)
    assert finished.stdout.endswith("the numbers agree\n")


def test_the_example_of_the_nile_says_what_it_needs():
    finished = run("-c", "import sys, runpy; sys.modules['statsmodels'] = None\n"
                   "runpy.run_path('examples/nile.py', run_name='__main__')")  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("skipped: ")


def test_hares_and_lynxes_are_fitted_as_scipy_fits_them(tmp_path):
    pytest.importorskip("scipy")
    pytest.importorskip("matplotlib")
    picture = tmp_path / "made" / "picture.svg"
    finished = run("examples/hare_and_lynx.py", str(picture))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "loop of 200 steps" in finished.stdout
    rows = re.findall(r"^  (\S+) +(\S+) ± (\S+) +(\S+) ± (\S+)$", finished.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["α", "β", "γ", "δ", "u0", "v0"]
    for _, x, its_error, y, error in rows:
        assert abs(float(x) - float(y)) < 1e-3 * float(error)
        assert float(its_error) == pytest.approx(float(error), rel=1e-2)
    assert finished.stdout.endswith("the numbers agree\n")
    assert picture.read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_a_recurrent_network_in_scalars_learns_to_write():
    finished = run("examples/scalar_rnn.py", "80")
    assert finished.returncode == 0, finished.stderr
    assert "\nloop of 32 steps of" in finished.stdout
    assert "\nloop of 32 steps backwards of" in finished.stdout
    first, last = map(float, re.findall(r"(\d\.\d\d) (?:at first|after 80 steps)", finished.stdout))
    assert first > 5 > 4 > last
    (names,) = re.findall(r"names it writes: (.*)", finished.stdout)
    assert len(names.split(", ")) > 5


@pytest.mark.parametrize(
    ("script", "modules", "shown"),
    [
        (
            "torch_training",
            ["torch", "array_api_compat"],
            r"a = 2\.\d+, truly 2\.5\nb = 1\.[23]\d+, truly 1\.3",
        ),
        ("onnx_program", ["onnx", "onnxruntime"], r"1000 pendulums; in float32 the largest difference is \d"),
    ],
)
def test_programs_run_in_other_libraries(script, modules, shown):
    for module in modules:
        pytest.importorskip(module)
    finished = run(f"examples/{script}.py")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(shown, finished.stdout), finished.stdout

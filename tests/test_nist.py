"""Fits of NIST's nonlinear regression problems: certified parameters and errors, from both starts.

The data and the certified figures are those of NIST's Statistical Reference Datasets (StRD), Nonlinear
Regression, public figures; ``nist_strd.json`` holds them as numbers.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from nist_models import MODELS

from autobp import fit_model

pytest.importorskip("scipy")
PROBLEMS = json.loads((Path(__file__).parent / "nist_strd.json").read_text(encoding="utf-8"))


def test_all_27_problems_are_there():
    assert len(PROBLEMS) == 27
    assert set(PROBLEMS) == set(MODELS)
    assert sum(len(problem["y"]) for problem in PROBLEMS.values()) == 2176


@pytest.mark.parametrize("start", ["start1", "start2"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_parameters_to_six_digits_and_errors_to_four(name, start):
    problem = PROBLEMS[name]
    y = np.log(problem["y"]) if name == "Nelson" else problem["y"]
    parameters = {f"b{i + 1}": value for i, value in enumerate(problem[start])}
    fit = fit_model(MODELS[name], problem["x"], y, parameters)
    assert fit.converged, str(fit)
    assert fit.theta == pytest.approx(np.array(problem["certified"]), rel=1e-7)
    if name == "Lanczos1":  # residuals of 1e-13: rounding is a part of them, and the fit says so
        assert list(fit.errors.values()) == pytest.approx(problem["errors"], rel=2e-3)
        assert [warning.split(":")[0] for warning in fit.warnings] == ["ROUNDING"]
        return
    assert fit.warnings == ()
    assert list(fit.errors.values()) == pytest.approx(problem["errors"], rel=1e-6)
    assert fit.chi2 == pytest.approx(problem["rss"], rel=1e-6)
    assert np.sqrt(fit.reduced_chi2) == pytest.approx(problem["sd"], rel=1e-6)

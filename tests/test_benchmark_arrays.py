"""What ``python -m benchmarks.arrays`` compares is the same by each way: on few rows, and not timed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import arrays, recurrences


@pytest.mark.parametrize("name", ["network", "GPT", "Kalman filter"])
def test_by_hand_is_what_the_step_gives(name, monkeypatch):
    for module in ("torch", "array_api_compat"):
        pytest.importorskip(module)
    monkeypatch.setattr(arrays, "SIZES", (7, 5, 4, 3))
    monkeypatch.setattr(arrays, "ROWS", 6)
    monkeypatch.setattr(recurrences, "STEPS", recurrences.STEPS)
    monkeypatch.setattr(arrays, "median", lambda call, calls=0: 0.0)
    step, data = {"network": arrays.network, "GPT": arrays.gpt, "Kalman filter": arrays.kalman}[name]()
    value, gradient = step(step.theta, *data)
    ways = list(arrays.torch_ways(step, data, name, "cpu"))
    assert len(ways) == 2
    for _, _, found in ways:
        assert float(found[0]) == pytest.approx(value, rel=1e-10)
        np.testing.assert_allclose(found[1], gradient, rtol=0, atol=1e-10 * np.abs(gradient).max())

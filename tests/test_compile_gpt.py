"""A GPT in scalars: its program agrees with the eager engine, and is traced once for each length."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value


@pytest.fixture(scope="module")
def gpt() -> Any:
    path = Path(__file__).parents[1] / "examples" / "scalar_gpt.py"
    spec = importlib.util.spec_from_file_location("scalar_gpt", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_name_is_compiled_once_for_its_length(gpt: Any) -> None:
    model = gpt.GPT(seed=1)
    lengths = []

    def loss(document: list[Value]) -> Any:
        lengths.append(len(document))
        return model.loss(document)

    step = autobp.compile(loss, model.parameters())
    statements = []
    for name in ("ada", "eva", "emil", "olga", "clara"):
        cost, gradient = step(step.theta, [gpt.document(name)])
        for parameter in model.parameters():
            parameter.grad = 0.0
        root = model.loss([Value(float(token)) for token in gpt.document(name)])
        root.backward()
        expected = np.array([parameter.grad for parameter in model.parameters()])
        assert cost == pytest.approx(root.data, rel=1e-13)
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)
        statements.append(len(step))
    assert lengths == [5, 5, 6, 6, 7, 7]  # two traces for each length, to catch random numbers
    assert len(set(statements)) == 1


def test_training_lowers_the_loss(gpt: Any) -> None:
    _, _, losses = gpt.train(60)
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])

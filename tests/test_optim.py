"""The optimisers against PyTorch's and against what they promise."""

import math

import numpy as np
import pytest

from autobp import Value, optim


def run(make, steps=40):
    """The path of two parameters down (x - 3)² + 10 (y + 1)⁴ + x·y."""
    x, y = Value(0.5, label="x"), Value(1.5, label="y")
    optimizer = make([x, y])
    path = []
    for _ in range(steps):
        loss = (x - 3) ** 2 + 10 * (y + 1) ** 4 + x * y
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        path.append((x.data, y.data))
    return np.array(path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"lr": 1e-3}),
        ("SGD", {"lr": 1e-3, "momentum": 0.9}),
        ("Adam", {"lr": 0.05}),
        ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4}),
    ],
)
def test_each_step_is_pytorchs(name, arguments):
    torch = pytest.importorskip("torch")
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    theirs = getattr(torch.optim, name)([x, y], **arguments)
    path = []
    for _ in range(40):
        theirs.zero_grad()
        ((x - 3) ** 2 + 10 * (y + 1) ** 4 + x * y).backward()
        theirs.step()
        path.append((x.item(), y.item()))
    ours = run(lambda parameters: getattr(optim, name)(parameters, **arguments))
    assert ours == pytest.approx(np.array(path), rel=1e-10)


def test_plain_descent_is_the_textbook_rule():
    x = Value(2.0)
    x.grad = 3.0
    optim.SGD([x], lr=0.1).step()
    assert x.data == 2.0 - 0.1 * 3.0


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_named():
    x, y = Value(1.0, label="x"), Value(2.0, label="y")
    x.grad, y.grad = 1.0, math.nan
    with pytest.raises(ValueError, match="y is nan"):
        optim.Adam([x, y]).step()
    assert (x.data, y.data) == (1.0, 2.0)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_step_to_infinity_is_not_taken():
    x, y = Value(1.0, label="x"), Value(2.0, label="y")
    x.grad, y.grad = 1.0, 1e300
    with pytest.raises(ValueError, match="after this step y is -inf"):
        optim.SGD([x, y], lr=1e10).step()
    assert (x.data, y.data) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p: optim.SGD([], lr=0.1), ["no parameters"]),
        (lambda p: optim.SGD(p, lr=0.0), ["learning rate", "0.0"]),
        (lambda p: optim.SGD(p, lr=math.nan), ["learning rate", "nan"]),
        (lambda p: optim.SGD(p, lr=0.1, momentum=1.0), ["momentum", "1.0"]),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), ["betas"]),
        (lambda p: optim.Adam(p, eps=0.0), ["eps"]),
    ],
)
def test_wrong_settings_are_told(wrong, words):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        wrong([Value(1.0)])
    for word in words:
        assert word in str(raised.value)

"""The optimisers against PyTorch's and against what they promise."""

import math

import numpy as np
import pytest

from autobp import Value, optim

#: What PyTorch spells differently.
OURS = {"RMSprop": "RMSProp"}


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
        ("AdamW", {"lr": 0.05}),
        ("AdamW", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.3}),
        ("RMSprop", {"lr": 0.02}),
        ("RMSprop", {"lr": 0.02, "alpha": 0.7, "eps": 1e-4}),
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
    ours = run(lambda parameters: getattr(optim, OURS.get(name, name))(parameters, **arguments))
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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: optim.RMSProp(p, alpha=1.0), "alpha must be at least 0 and below 1; got 1.0"),
        (lambda p: optim.RMSProp(p, eps=0.0), "eps must be greater than 0"),
        (lambda p: optim.AdamW(p, weight_decay=-1.0), "weight_decay must be at least 0 and finite; got -1.0"),
        (lambda p: optim.AdamW(p, weight_decay=math.inf), "weight_decay"),
        (lambda p: optim.Scheduled(optim.SGD(p, 0.1), "cosin", 3), "did you mean 'cosine'"),
        (lambda p: optim.Scheduled(optim.SGD(p, 0.1), lambda done: -1.0, 3).begin(1), "must be at least 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make([Value(1.0)])


@pytest.mark.parametrize("lr", ["0.1", None, [0.1]])
def test_a_learning_rate_that_is_no_number_is_refused_in_words(lr):
    with pytest.raises(TypeError, match="lr, the learning rate, must be a number; got"):
        optim.SGD([Value(1.0)], lr=lr)


def test_schedules_fall_from_the_whole_rate_and_give_it_back():
    optimizer = optim.SGD([Value(1.0)], lr=0.5)
    for name, expected in (
        ("constant", [0.5] * 4),
        ("linear", [0.5, 0.375, 0.25, 0.125]),
        ("cosine", [0.25 * (1 + math.cos(math.pi * k / 4)) for k in range(4)]),
        (lambda done: done, [0.0, 0.125, 0.25, 0.375]),
    ):
        scheduled = optim.Scheduled(optimizer, name, 4)
        rates = []
        for epoch in (1, 2, 3, 4):
            scheduled.begin(epoch)
            rates.append(optimizer.lr)
        assert rates == pytest.approx(expected)
        scheduled.end()
        assert optimizer.lr == 0.5

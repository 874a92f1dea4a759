"""What a training shows while it runs, and what its history holds of each layer."""

import io
import re

import numpy as np
import pytest

from autobp import MLP, datasets, fit, matrix

DATA = datasets.load("xor", samples=16)


class Terminal(io.StringIO):
    """A standard error that says it is a terminal, or not."""

    def __init__(self, tty):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


def shown(monkeypatch, *, tty, epochs, **options):
    """The text that fit writes to standard error, and the history."""
    stderr = Terminal(tty)
    monkeypatch.setattr("sys.stderr", stderr)
    net = MLP(2, [3, 1], ["tanh", "linear"], seed=0)
    history = fit(net, DATA.X, DATA.Y, epochs=epochs, batch_size=5, seed=0, **options)
    return stderr.getvalue(), history


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (3, 3), (10, 10), (37, 10), (250, 10)])
def test_a_log_gets_a_line_at_each_tenth_of_the_epochs_and_nothing_that_rewrites(monkeypatch, epochs, lines):
    text, history = shown(monkeypatch, tty=False, epochs=epochs)
    assert len(text.splitlines()) == lines
    assert "\r" not in text
    assert re.fullmatch(rf"epoch {epochs}/{epochs}  cost [\d.e-]+ *\d+ s", text.splitlines()[-1])
    for line in text.splitlines():
        epoch, cost = re.match(r"epoch +(\d+)/\d+  cost ([\d.e-]+)", line).groups()
        assert float(cost) == pytest.approx(history.cost[int(epoch) - 1], rel=1e-3)


def test_a_log_shows_the_validation_cost_of_the_same_epoch(monkeypatch):
    text, history = shown(monkeypatch, tty=False, epochs=3, validation=(DATA.X_test, DATA.Y_test))
    found = [float(number) for number in re.findall(r"validation ([\d.e-]+)", text)]
    np.testing.assert_allclose(found, history.validation_cost, rtol=1e-3)


def test_a_terminal_has_one_line_that_ends_on_the_last_epoch(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    validation = (DATA.X_test, DATA.Y_test)
    text, history = shown(monkeypatch, tty=True, epochs=12, validation=validation)
    assert text.count("\n") == 1
    last = text.rstrip("\n").split("\r")[-1]
    assert len(last) <= 80
    assert last.startswith(f"epoch 12/12  cost {history.cost[-1]:#.4g} ")
    assert f"validation {history.validation_cost[-1]:#.4g} " in last
    assert "100 %" in last


@pytest.mark.parametrize("tty", [True, False])
def test_nothing_is_shown_where_it_is_not_wanted(monkeypatch, tty):
    assert shown(monkeypatch, tty=tty, epochs=2, progress=False)[0] == ""


def test_a_process_without_standard_error_trains_all_the_same(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert len(fit(MLP(2, [1]), DATA.X, DATA.Y, epochs=2).cost) == 2


@pytest.mark.parametrize("bias", [True, False])
def test_the_norm_of_each_layer_is_that_of_its_matrices(bias):
    net = MLP(2, [4, 3, 1], ["tanh", "sigmoid", "linear"], bias=bias, seed=5)
    W, b = net.W, net.b
    witness = matrix.backprop(W, b, DATA.X, DATA.Y, activations=net.activations, cost="quadratic")
    history = fit(net, DATA.X, DATA.Y, epochs=1, batch_size=len(DATA.X), progress=False)
    expected = [
        np.sqrt((dW**2).sum() + (0 if db is None else (db**2).sum()))
        for dW, db in zip(witness.dW, witness.db, strict=True)
    ]
    np.testing.assert_allclose(history.layer_gradient_norm, [expected], rtol=1e-12)
    np.testing.assert_allclose(history.gradient_norm, [np.linalg.norm(expected)], rtol=1e-12)


def test_an_epoch_counts_each_sample_once_whatever_the_batches():
    """With a tiny step the parameters hardly move: means over unequal batches are the mean over all."""
    net = MLP(2, [3, 1], ["tanh", "linear"], seed=1)
    whole = fit(net, DATA.X, DATA.Y, epochs=1, batch_size=12, optimizer="sgd", lr=1e-13, progress=False)
    parts = fit(net, DATA.X, DATA.Y, epochs=1, batch_size=5, optimizer="sgd", lr=1e-13, progress=False)
    assert len(DATA.X) == 12
    assert parts.cost[0] == pytest.approx(whole.cost[0], rel=1e-10)

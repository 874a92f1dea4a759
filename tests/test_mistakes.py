"""The usual mistakes in backprop, each made on purpose in a student's loops, are named by compare()."""

import itertools
import sys

import numpy as np
import pytest

from autobp import MLP, check, matrix
from autobp.mistakes import Way, gradients, mistakes, problem_of, same

rng = np.random.default_rng(4)
M = 6
X = rng.normal(size=(M, 4))
ONE_HOT = np.eye(3)[rng.integers(3, size=M)]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


SLOPES = {
    "sigmoid": lambda z: sigmoid(z) * (1 - sigmoid(z)),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "linear": np.ones_like,
}
FUNCTIONS = {"sigmoid": sigmoid, "tanh": np.tanh, "linear": lambda z: z}


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


class Student:
    """Backprop in loops over the samples, with places for mistakes: nothing in it is shared with autobp."""

    def __init__(self, *made, with_delta=False):
        self.made = made
        self.with_delta = with_delta

    def __call__(self, W, b, X, Y, *, activations, cost, l2):
        made, m, depth = self.made, len(X), len(W)
        dtype = np.float32 if "float32" in made else np.float64
        W, X, Y = [w.astype(dtype) for w in W], X.astype(dtype), Y.astype(dtype)
        b = [v.astype(dtype) for v in b]
        dW, db = [np.zeros_like(w) for w in W], [np.zeros_like(v) for v in b]
        deltas = [np.zeros((m, len(w)), dtype) for w in W]
        for i in range(m):
            z, a = self.forward(W, b, X[i], activations)
            delta = self.output_error(z[-1], a[-1], Y, i, activations[-1], cost)
            for layer in range(depth, 0, -1):
                deltas[layer - 1][i] = delta
                through = W[layer - 1]
                if "updated weights" in made:
                    through = through - dtype(0.3) * self.mean_so_far(W, b, X, Y, activations, cost, layer)
                if layer > 1:
                    back = through.T @ delta
                    delta = back * self.slope(activations[layer - 2], z[layer - 1], a[layer - 1], "BP2")
            for layer in range(1, depth + 1):
                inputs = {True: a[layer], False: a[layer - 1]}["own a" in made]
                error = deltas[min(layer, depth - 1)][i] if "δ above" in made else deltas[layer - 1][i]
                dW[layer - 1] += np.outer(error, inputs)
        for layer in range(depth):
            axis = 1 if "wrong axis" in made else 0
            db[layer] = deltas[layer].sum(axis=axis)
            dW[layer] = dW[layer] / (1 if "dW sum" in made else m) + dtype(l2 / m) * W[layer]
            db[layer] = db[layer] / (1 if "db sum" in made else m)
        return {"dW": dW, "db": db, "delta": deltas} if self.with_delta else (dW, db)

    def forward(self, W, b, x, activations):
        z, a = [x], [x]
        for w, v, name in zip(W, b, activations, strict=True):
            z.append(w @ a[-1] + (0 if "no bias" in self.made else v))
            a.append(softmax(z[-1]) if name == "softmax" else FUNCTIONS[name](z[-1]))
        return z, a

    def slope(self, name, z, a, equation):
        if {"σ'(a)", f"σ'(a) in {equation}"} & set(self.made):
            return SLOPES[name](a)
        if f"a(1 - a) by z in {equation}" in self.made and name == "sigmoid":
            return z * (1 - z)
        if "tanh' by z" in self.made and name == "tanh":
            return 1 - z**2
        return SLOPES[name](z)

    def output_error(self, z, a, Y, i, name, cost):
        made, y = self.made, Y[i]
        if "broadcast" in made:
            y = Y.mean(axis=0)
        nabla = (a - y) / (a * (1 - a)) if cost == "binary_cross_entropy" else a - y
        if "2(a - y)" in made:
            nabla = 2 * nabla
        if "mean over outputs" in made:
            nabla = nabla / len(y)
        if "-δ" in made:
            nabla = -nabla
        if "a - y" in made:
            return a - y
        if name == "softmax":
            jacobian = np.diag(a) - np.outer(a, a)
            return nabla * np.diag(jacobian) if "diagonal" in made else jacobian @ nabla
        return nabla * self.slope(name, z, a, "BP1")

    def mean_so_far(self, W, b, X, Y, activations, cost, layer):
        """∂C/∂W of a layer, as an update before the errors go on would have it, without mistakes."""
        right = matrix.backprop(W, b, X, Y, activations=activations, cost=cost)
        return right.dW[layer - 1]


def network(activations=("tanh", "sigmoid", "sigmoid"), sizes=(4, 3, 3)):
    net = MLP(4, list(sizes), list(activations), seed=8)
    net.b = [list(rng_b.uniform(0.1, 0.6, size=n)) for rng_b, n in zip(BIASES(), sizes, strict=True)]
    return net


def BIASES():
    return [np.random.default_rng(seed) for seed in (1, 2, 3)]


USUAL = {
    "σ'(a)": "σ' is taken at a",
    "σ'(a) in BP2": "σ'(a), and not at z, σ'(z), in BP2",
    "σ'(a) in BP1": "σ'(a), and not at z, σ'(z), in BP1",
    "a(1 - a) by z in BP2": "sigmoid's a(1 - a), and given z, in BP2",
    "tanh' by z": "tanh's 1 - a², and given z",
    "2(a - y)": "not 2(a - y)",
    "mean over outputs": "sum over the 3 outputs",
    "-δ": "sign of δ is the other way round",
    "dW sum": "dW is not divided by m, and db is",
    "db sum": "db is not divided by m, and dW is",
    "own a": "a of the layer itself",
    "δ above": "δ of the layer above",
    "updated weights": "updated already, by 0.3 times",
    "no bias": "z lacks the bias",
    "float32": "float32",
}


def difference_quotients(step):
    """The gradients of a function that moves each weight and bias by a step, there and back."""

    def function(W, b, X, Y, **how):
        parameters = [array.copy() for array in (*W, *b)]

        def cost():
            return matrix.backprop(parameters[: len(W)], parameters[len(W) :], X, Y, **how).cost

        found = [np.zeros_like(array) for array in parameters]
        for array, derivative in zip(parameters, found, strict=True):
            for entry in np.ndindex(array.shape):
                before = array[entry]
                array[entry] = before + step
                above = cost()
                array[entry] = before - step
                derivative[entry] = (above - cost()) / (2 * step)
                array[entry] = before
        return found[: len(W)], found[len(W) :]

    return function


@pytest.mark.parametrize(("step", "least"), [(1e-3, 4), (1e-5, 7), (1e-6, 7), (1e-7, 5)])
@pytest.mark.parametrize("activations", [("tanh", "sigmoid", "sigmoid"), ("sigmoid", "tanh", "linear")])
def test_difference_quotients_are_told_by_their_digits_and_no_other_mistake(activations, step, least):
    function = difference_quotients(step)
    report = check.compare(network(activations), X, ONE_HOT, cost="quadratic", l2=0.5, against=function)
    assert not report.ok
    assert len(report.causes) == 1
    digits = int(report.causes[0].removeprefix("every dW and db is right to ").split()[0])
    assert least <= digits <= 10
    assert report.causes[0].endswith(
        " digits and no further, as difference quotients are, and numbers that were rounded"
    )


@pytest.mark.parametrize("size", [1e-9, 1e-10])
def test_no_mistake_is_named_for_what_rounding_could_be(size):
    def nearly(W, b, X, Y, **how):
        right = matrix.backprop(W, b, X, Y, **how)
        return [right.dW[0] * (1 + size), *right.dW[1:]], right.db

    report = check.compare(network(), X, ONE_HOT, cost="quadratic", l2=0.5, against=nearly)
    assert not report.ok
    assert report.causes == ()


@pytest.mark.parametrize("mistake", USUAL)
def test_a_usual_mistake_is_named(mistake):
    sizes = (4, 4, 3) if mistake in ("own a", "δ above") else (4, 3, 3)
    net = network(sizes=sizes)
    if mistake in ("own a", "δ above"):
        net = MLP(4, [4, 4, 4], ["tanh", "sigmoid", "sigmoid"], seed=8)
    if mistake == "updated weights":
        net = MLP(4, [3, 3], ["tanh", "sigmoid"], seed=8)
    Y = np.eye(len(net.layers[-1].neurons))[rng.integers(3, size=M)]
    l2 = 0.0 if mistake in ("own a", "updated weights") else 0.4
    assert check.compare(net, X, Y, l2=l2, against=Student()).ok
    report = check.compare(net, X, Y, l2=l2, against=Student(mistake))
    assert not report.ok
    assert report.causes, str(report)
    assert any(USUAL[mistake] in cause for cause in report.causes), report.causes
    assert len(report.causes) <= 2


@pytest.mark.parametrize(
    ("mistake", "cost", "words"),
    [
        ("diagonal", "quadratic", "only its diagonal"),
        ("a - y", "binary_cross_entropy", "which it is not for a softmax under this cost"),
    ],
)
def test_a_mistake_at_a_softmax_is_named(mistake, cost, words):
    net = network(("tanh", "sigmoid", "softmax"))
    Y = 0.8 * ONE_HOT + 0.05
    assert check.compare(net, X, Y, cost=cost, against=Student()).ok
    report = check.compare(net, X, Y, cost=cost, against=Student(mistake))
    assert not report.ok
    assert any(words in cause for cause in report.causes)


def test_a_sum_over_the_wrong_axis_is_named_where_shapes_do_not_tell():
    net = MLP(4, [M, M], ["tanh", "sigmoid"], seed=8)
    Y = np.eye(M)
    assert check.compare(net, X, Y, against=Student()).ok
    report = check.compare(net, X, Y, against=Student("wrong axis"))
    assert "the wrong axis" in report.causes[0]


def test_targets_that_broadcast_are_named():
    net = MLP(4, [3, 1], ["tanh", "sigmoid"], seed=8)
    Y = np.array([[1.0], [0.0], [0.0], [1.0], [0.0], [0.0]])
    report = check.compare(net, X, Y, against=Student("broadcast"))
    assert "each output meets every sample's target, in the mean" in report.causes[0]


MANY = itertools.combinations(["σ'(a)", "2(a - y)", "dW sum", "no bias"], 2)


@pytest.mark.parametrize(
    "two",
    [*MANY, ("mean over outputs", "db sum"), ("-δ", "db sum"), ("tanh' by z", "2(a - y)"),
     ("σ'(a) in BP2", "db sum")],
    ids=" and ".join,
)
def test_two_mistakes_together_are_named_both(two):
    report = check.compare(network(), X, ONE_HOT, l2=0.4, against=Student(*two))
    assert not report.ok
    (cause,) = report.causes
    assert cause.startswith("two at once: ")
    for mistake in two:
        assert USUAL[mistake] in cause


def test_no_mistake_is_named_for_numbers_that_none_gives():
    def noise(W, b, X, Y, **how):
        right = matrix.backprop(W, b, X, Y, **how)
        return [w + 1e-3 * np.random.default_rng(0).normal(size=w.shape) for w in right.dW], right.db

    report = check.compare(network(), X, ONE_HOT, against=noise)
    assert not report.ok
    assert report.causes == ()


@pytest.mark.parametrize("activations", [("tanh", "sigmoid", "sigmoid"), ("relu", "tanh", "softmax")])
@pytest.mark.parametrize("cost", ["quadratic", "binary_cross_entropy"])
def test_no_mistake_is_a_right_way(activations, cost):
    net = network(activations)
    Y = 0.8 * ONE_HOT + 0.05
    p = problem_of(net.W, net.b, X, Y, activations, activations, cost, 0.4)
    right = gradients(p, Way())
    truth = matrix.backprop(net.W, net.b, X, Y, activations=activations, cost=cost, l2=0.4)
    assert same(right, (None, truth.dW, truth.db))
    words = [words for words, _ in mistakes(p)]
    assert len(set(words)) == len(words) >= 25


def test_biases_of_0_are_told_for_they_hide_a_bias_that_is_dropped():
    new = MLP(4, [3, 3], ["tanh", "sigmoid"], seed=8)
    for student in (Student(), Student("no bias")):
        report = check.compare(new, X, ONE_HOT, against=student)
        assert report.ok
        assert "But the network's biases are all 0" in str(report)
    assert "biases" not in str(check.compare(network(), X, ONE_HOT, against=Student()))
    assert "biases" not in str(check.compare(new, X, ONE_HOT))


def test_a_wrong_error_carried_on_blames_the_first_equation_alone():
    report = check.compare(network(), X, ONE_HOT, l2=0.4, against=Student("2(a - y)", with_delta=True))
    assert report.first_failure.quantity == "delta3"
    assert [row.quantity for row in report.rows if not row.ok and not row.follows] == ["delta3"]
    assert "8 of 9" not in str(report)
    assert "9 of 9 differ, of which 8 follow from the δ returned. The first is BP1" in str(report)


def test_an_equation_that_is_wrong_by_itself_is_blamed_though_others_follow():
    class Both(Student):
        def __call__(self, *arguments, **named):
            found = super().__call__(*arguments, **named)
            found["db"][0] = 2 * found["db"][0]
            return found

    report = check.compare(network(), X, ONE_HOT, against=Both("2(a - y)", with_delta=True))
    assert [row.quantity for row in report.rows if not row.ok and not row.follows] == ["delta3", "db1"]


@pytest.mark.parametrize("what", ["X", "Y", "W", "b"])
def test_an_argument_that_is_changed_is_told_though_the_gradient_is_right(what):
    def changing(W, b, X, Y, **how):
        right = matrix.backprop(W, b, X, Y, **how)
        {"X": X, "Y": Y, "W": W[0], "b": b[0]}[what][...] += 1.0
        return right.dW, right.db

    report = check.compare(network(), X, ONE_HOT, against=changing)
    assert not report.ok
    assert report.causes == (f"changing changes {what}, which it was given",)
    assert f"But changing changes {what}" in str(report)


@pytest.mark.parametrize(
    ("returned", "error", "words"),
    [
        (lambda right: None, TypeError, "None: it has no return at its end"),
        (lambda right: {"W": right.dW}, TypeError, "returned no dW"),
        (lambda right: (right.dW[0], right.db), ValueError, "dW has 4 arrays for 3 layers"),
        (lambda right: (3.0, right.db), TypeError, "dW must be a list of arrays, one a layer; got 3.0"),
        (lambda right: (["a", "b", "c"], right.db), TypeError, "dW1 must be an array of numbers"),
        (lambda right: ([w + 1j for w in right.dW], right.db), TypeError, "dW1 must be an array of numbers"),
        (
            lambda right: (right.dW, [np.ma.masked_equal(d, d[0]) for d in right.db]),
            TypeError,
            "db1 must be an array of numbers",
        ),
        (lambda right: sys.exit(0), RuntimeError, "ends the program"),
        (lambda right: (right.dW, [d[:, None] * np.ones(M) for d in right.db]), ValueError, "db1 must have"),
        (lambda right: (right.dW, [np.ones(M)] * 3), ValueError, "a sum over the wrong axis"),
        (
            lambda right: ([np.stack([w] * M) for w in right.dW], right.db),
            ValueError,
            "whose mean it should be",
        ),
        (
            lambda right: ([np.hstack([w[:, :1], w]) for w in right.dW], right.db),
            ValueError,
            "column for the biases",
        ),
        (lambda right: (right.dW, [np.ones((M, M))] * 3), ValueError, "(m, 1) and (m,) give (m, m)"),
    ],
)
def test_a_wrong_return_is_told_as_such(returned, error, words):
    def student(*arguments, **how):
        return returned(matrix.backprop(*arguments, **how))

    with pytest.raises(error) as raised:
        check.compare(network(), X, ONE_HOT, against=student)
    assert words in str(raised.value)

"""The matrix formulas against witnesses that share no code with them, and against one another.

`cost_of` below writes every network out once more, in formulas that take complex numbers, so that the
complex step gives derivatives to the last digits; central differences take the module's own cost; PyTorch
differentiates on its own. Then BP1-BP4, ML15's loop and Brawer's equations must give one gradient.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

import ast
import math
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobp import matrix

LOGITS = ("binary_cross_entropy_with_logits", "softmax_cross_entropy")
ELEMENTWISE = tuple(name for name in matrix.ACTIVATIONS if name != "softmax")
CASES = [
    (hidden, output, cost)
    for hidden in ELEMENTWISE
    for output, cost in [
        (hidden, "quadratic"),
        (hidden, "hinge"),
        ("sigmoid", "binary_cross_entropy"),
        *(("linear", cost) for cost in LOGITS),
    ]
] + [("tanh", "softmax", cost) for cost in ("quadratic", "hinge", "binary_cross_entropy")]
BIASES = ("vectors", "none", "some", "node 0")


# -- the network once more, for complex numbers -----------------------------------------------------------

def erf(z):
    """2/√π exp(-z²) Σ 2ⁿ z²ⁿ⁺¹ / (2n+1)!!, good for |z| < 6; math.erf takes no complex numbers."""
    term, total = z, z
    for n in range(1, 200):
        term = term * 2 * z * z / (2 * n + 1)
        total = total + term
    return 2 / math.sqrt(math.pi) * np.exp(-z * z) * total


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


SIGMA = {
    "linear": lambda z: z,
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": lambda z: np.sinh(z) / np.cosh(z),
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "leaky_relu": lambda z: np.where(z.real > 0, z, z / 100),
    "elu": lambda z: np.where(z.real > 0, z, np.exp(z) - 1),
    "gelu": lambda z: z / 2 * (1 + erf(z / math.sqrt(2))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1)[:, None],
}
COST_X = {
    "quadratic": lambda a, y: ((y - a) ** 2).sum(axis=1) / 2,
    "hinge": lambda a, y: np.where((1 - y * a).real > 0, 1 - y * a, 0).sum(axis=1),
    "binary_cross_entropy": lambda a, y: (-y * np.log(a) - (1 - y) * np.log(1 - a)).sum(axis=1),
    "binary_cross_entropy_with_logits": lambda z, y: COST_X["binary_cross_entropy"](sigmoid(z), y),
    "softmax_cross_entropy": lambda z, y: -(y * np.log(SIGMA["softmax"](z))).sum(axis=1),
}


def costs_of(W, b, X, Y, activations, cost, nudge=None):
    """C_x of each sample, with `nudge` added to z of one layer."""
    layer, step = nudge or (None, 0)
    a = X + (step if layer == 0 else 0)
    for l, (w, bias, name) in enumerate(zip(W, b, activations, strict=True), start=1):
        z = np.einsum("ij,xj->xi", w, a) + (0 if bias is None else bias) + (step if layer == l else 0)
        a = SIGMA[name](z)
    return COST_X[cost](a, Y)


def cost_of(W, b, X, Y, activations, cost, l2):
    penalty = sum((w * w).sum() for w in W) * l2 / (2 * len(X))
    return costs_of(W, b, X, Y, activations, cost).sum() / len(X) + penalty


def by_complex_step(f, at):
    """Derivatives of f by each entry of the array `at`, which f(array) takes complex."""
    gradient = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        stepped = at.astype(complex)
        stepped[index] += 1e-30j
        gradient[index] = f(stepped).imag / 1e-30
    return gradient


def by_central_difference(f, at, h=1e-5):
    gradient = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (f(up) - f(down)) / (2 * h)
    return gradient


# -- networks and data ------------------------------------------------------------------------------------

def targets(rng, cost, shape):
    if cost == "hinge":
        return rng.choice([-1.0, 1.0], shape)
    if cost == "softmax_cross_entropy":
        return rng.dirichlet(np.ones(shape[1]), shape[0])
    return rng.random(shape)


def network(seed, sizes, m, cost, bias="vectors"):
    rng = np.random.default_rng(seed)
    W = [rng.normal(size=(out, into)) for into, out in pairwise(sizes)]
    b = [rng.normal(size=out) for out in sizes[1:]]
    if bias == "none":
        b = [None] * len(b)
    if bias == "some":
        b[1] = None
    return W, b, rng.normal(size=(m, sizes[0])), targets(rng, cost, (m, sizes[-1]))


def replaced(arrays, l, array):
    return [array if k == l else other for k, other in enumerate(arrays)]


def close(got, want, relative=1e-12):
    """To `relative` of the largest entry, as one gradient is compared with another."""
    assert np.shape(got) == np.shape(want)
    assert np.max(np.abs(np.subtract(got, want))) <= relative * max(np.max(np.abs(want)), 1e-3)


def gradient(W, b, X, Y, bias, **options):
    """(cost, dW, db) by the convention that `bias` names."""
    if bias == "node 0":
        result = matrix.accumulate(matrix.to_theta(W, b), X, Y, **options)
        return result.cost, *matrix.from_theta(result.D)
    result = matrix.backprop(W, None if bias == "none" else b, X, Y, **options)
    return result.cost, result.dW, result.db


# -- right derivatives ------------------------------------------------------------------------------------

@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("hidden", "output", "cost"), CASES)
def test_gradient_is_that_of_the_complex_step(hidden, output, cost, bias):
    W, b, X, Y = network(1, [3, 4, 3, 2], 5, cost, bias)
    activations = [hidden, hidden, output]
    value, dW, db = gradient(W, b, X, Y, bias, activations=activations, cost=cost, l2=0.7)

    def J(W, b):
        return cost_of(W, b, X, Y, activations, cost, l2=0.7)

    close(value, J(W, b))
    for l in range(len(W)):
        close(dW[l], by_complex_step(lambda w, l=l: J(replaced(W, l, w), b), W[l]))
        if b[l] is None:
            assert db[l] is None
        else:
            close(db[l], by_complex_step(lambda v, l=l: J(W, replaced(b, l, v)), b[l]))


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("hidden", "output", "cost"), CASES)
def test_gradient_is_that_of_central_differences(hidden, output, cost, bias):
    W, b, X, Y = network(2, [2, 3, 2], 4, cost, bias)
    options = {"activations": [hidden, output], "cost": cost, "l2": 1.3}
    _, dW, db = gradient(W, b, X, Y, bias, **options)

    def J(W, b):
        return gradient(W, b, X, Y, bias, **options)[0]

    for l in range(len(W)):
        close(dW[l], by_central_difference(lambda w, l=l: J(replaced(W, l, w), b), W[l]), 1e-7)
        if b[l] is not None:
            close(db[l], by_central_difference(lambda v, l=l: J(W, replaced(b, l, v)), b[l]), 1e-7)


@pytest.mark.parametrize(("hidden", "output", "cost"), CASES)
def test_delta_is_each_samples_own_derivative_by_z(hidden, output, cost):
    W, b, X, Y = network(3, [3, 4, 3, 2], 5, cost)
    activations = [hidden, hidden, output]
    result = matrix.backprop(W, b, X, Y, activations=activations, cost=cost, l2=2.0)
    close(result.cost_x, costs_of(W, b, X, Y, activations, cost))
    for l, delta in enumerate(result.delta):
        for j in range(delta.shape[1]):
            step = np.zeros(delta.shape, complex)
            step[:, j] = 1e-30j
            close(delta[:, j], costs_of(W, b, X, Y, activations, cost, (l, step)).imag / 1e-30)


@pytest.mark.parametrize(("hidden", "output", "cost"), CASES)
def test_gradient_is_that_of_torch(hidden, output, cost):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    sigma = {
        "linear": lambda z: z * 1, "identity": lambda z: z * 1, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
        "relu": torch.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "gelu": F.gelu, "silu": F.silu,
        "softplus": F.softplus, "softmax": lambda z: torch.softmax(z, 1),
    }  # fmt: skip
    cost_sum = {
        "quadratic": lambda a, y: F.mse_loss(a, y, reduction="sum") / 2,
        "hinge": lambda a, y: torch.relu(1 - y * a).sum(),
        "binary_cross_entropy": partial(F.binary_cross_entropy, reduction="sum"),
        "binary_cross_entropy_with_logits": partial(F.binary_cross_entropy_with_logits, reduction="sum"),
        "softmax_cross_entropy": partial(F.cross_entropy, reduction="sum"),
    }
    W, b, X, Y = network(4, [3, 4, 2], 6, cost)
    result = matrix.backprop(W, b, X, Y, activations=[hidden, output], cost=cost, l2=0.4)

    tW, tb = ([torch.tensor(array, requires_grad=True) for array in arrays] for arrays in (W, b))
    a, z = torch.tensor(X), []
    for w, bias, name in zip(tW, tb, [hidden, output], strict=True):
        z.append(F.linear(a, w, bias))
        z[-1].retain_grad()
        a = sigma[name](z[-1])
    data_cost = cost_sum[cost](a, torch.tensor(Y)) / len(X)
    loss = data_cost + 0.4 / (2 * len(X)) * sum((w**2).sum() for w in tW)
    loss.backward()

    close(result.data_cost, data_cost.item())
    close(result.cost, loss.item())
    for l in range(2):
        close(result.dW[l], tW[l].grad.numpy())
        close(result.db[l], tb[l].grad.numpy())
        close(result.delta[l + 1] / len(X), z[l].grad.numpy())


@pytest.mark.parametrize(("name", "slopes"), [("relu", [0.0, 0.0, 1.0]), ("leaky_relu", [0.01, 0.01, 1.0])])
def test_derivative_of_an_activation_at_its_kink(name, slopes):
    assert matrix.ACTIVATIONS[name][1](np.array([-1e-300, 0.0, 1e-300])).tolist() == slopes


def test_derivative_of_the_hinge_at_its_kink():
    nabla = matrix.COSTS["hinge"][1]
    a = np.array([[1.0, 1.0 - 2**-53, 1.0 + 2**-52]])  # at the margin, below and above
    assert nabla(a, np.ones_like(a)).tolist() == [[0.0, -1.0, 0.0]]
    assert nabla(-a, -np.ones_like(a)).tolist() == [[0.0, 1.0, 0.0]]


def test_derivative_at_a_kink_is_that_of_torch():
    torch = pytest.importorskip("torch")
    for name in ("relu", "leaky_relu", "elu"):
        z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        getattr(torch.nn.functional, name)(z).backward()
        assert matrix.ACTIVATIONS[name][1](np.zeros(1)) == z.grad.item()
    a = torch.ones(1, dtype=torch.float64, requires_grad=True)
    torch.relu(1 - a).sum().backward()
    assert matrix.COSTS["hinge"][1](np.ones((1, 1)), np.ones((1, 1))) == a.grad.item() == 0


def test_a_network_worked_by_hand():
    result = matrix.backprop(
        [[[2.0]], [[3.0]]], [[1.0], [-1.0]], [[1.0], [0.0]], [[0.0], [0.0]],
        activations="linear", cost="quadratic", l2=4.0,
    )  # fmt: skip
    np.testing.assert_array_equal(np.hstack(result.z), [[1, 3, 8], [0, 1, 2]])
    np.testing.assert_array_equal(result.cost_x, [32, 2])
    np.testing.assert_array_equal(np.hstack(result.delta), [[48, 24, 8], [12, 6, 2]])
    assert (result.data_cost, result.penalty, result.cost) == (17, 13, 30)
    assert [dw.item() for dw in result.dW] == [24 / 2 + 4 / 2 * 2, (8 * 3 + 2 * 1) / 2 + 4 / 2 * 3]
    assert [db.item() for db in result.db] == [(24 + 6) / 2, (8 + 2) / 2]


def test_result_carries_every_intermediate_under_its_layer():
    W, b, X, Y = network(5, [3, 4, 2], 5, "quadratic")
    r = matrix.backprop(W, b, X, Y, activations=["tanh", "sigmoid"], cost="quadratic")
    assert len(r.z) == len(r.a) == len(r.sigma_prime) == len(r.delta) == 3
    assert len(r.dW) == len(r.db) == 2
    np.testing.assert_array_equal(r.a[0], X)
    np.testing.assert_array_equal(r.z[0], X)
    np.testing.assert_array_equal(r.sigma_prime[0], 1)
    close(r.sigma_prime[1], 1 - r.a[1] ** 2)
    close(r.sigma_prime[2], r.a[2] * (1 - r.a[2]))
    for l in range(2):
        close(r.z[l + 1], r.a[l] @ W[l].T + b[l])
        close(r.delta[l], r.delta[l + 1] @ W[l] * r.sigma_prime[l])
        close(r.dW[l], sum(np.outer(r.delta[l + 1][x], r.a[l][x]) for x in range(5)) / 5)
        close(r.db[l], r.delta[l + 1].mean(axis=0))
    close(r.nabla_a, r.a[2] - Y)
    close(r.delta[2], r.nabla_a * r.sigma_prime[2])
    passed = matrix.forward(W, b, X, ["tanh", "sigmoid"])
    for l in range(3):
        np.testing.assert_array_equal(passed.z[l], r.z[l])
        np.testing.assert_array_equal(passed.a[l], r.a[l])


# -- regularisation ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("bias", BIASES)
def test_penalty_adds_lambda_over_m_to_weights_and_nothing_to_biases(bias):
    W, b, X, Y = network(6, [3, 4, 2], 5, "quadratic", bias)
    options = {"activations": "tanh", "cost": "quadratic"}
    plain, dW, db = gradient(W, b, X, Y, bias, **options)
    penalised, dW_l2, db_l2 = gradient(W, b, X, Y, bias, l2=3.0, **options)
    close(penalised - plain, 3.0 / (2 * 5) * sum((w**2).sum() for w in W))
    for l in range(2):
        close(dW_l2[l] - dW[l], 3.0 / 5 * W[l])
        np.testing.assert_array_equal(db_l2[l], db[l])


@pytest.mark.parametrize("sizes", [[3, 1], [3, 2], [3, 2, 1], [3, 2, 2]])
def test_induction_proofs_networks_have_no_bias_and_a_penalty_on_every_weight(sizes):
    W, _, X, Y = network(7, sizes, 4, "binary_cross_entropy")
    r = matrix.backprop(W, None, X, Y, activations="sigmoid", cost="binary_cross_entropy", l2=0.9)
    assert all(db is None for db in r.db)
    close(r.delta[-1], r.a[-1] - Y)
    for l in range(len(W)):
        close(r.dW[l], np.einsum("xi,xj->ij", r.delta[l + 1], r.a[l]) / 4 + 0.9 / 4 * W[l])


# -- four formulations, one gradient ----------------------------------------------------------------------

SHAPES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 5), min_size=2, max_size=5),
    st.integers(1, 6),
    st.sampled_from(ELEMENTWISE),
)


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_bp1_to_bp4_the_loop_and_brawer_agree(shape):
    seed, sizes, m, hidden = shape
    W, b, X, Y = network(seed, sizes, m, "binary_cross_entropy")
    W = [w / math.sqrt(w.shape[1]) for w in W]  # keeps the output from saturating
    activations = [hidden] * (len(W) - 1) + ["sigmoid"]
    theta = matrix.to_theta(W, b)

    bp = matrix.backprop(W, b, X, Y, activations=activations, cost="binary_cross_entropy")
    loop = matrix.accumulate(theta, X, Y, activations=activations)
    brawer = matrix.brawer(theta, X, Y, activations=activations)

    close(loop.cost, bp.cost)
    close(brawer.J, bp.cost)
    for l, grad in enumerate(matrix.to_theta(bp.dW, bp.db)):
        close(loop.D[l], grad)
        close(loop.Delta[l] / m, grad)
        close(brawer.gradient[l], grad)
    for l in range(len(sizes)):
        close(loop.z[l], bp.z[l])
        close(loop.delta[l], bp.delta[l])
        close(brawer.z[l][:, 1:], bp.z[l])
        close(brawer.h[l][:, 1:], bp.a[l])
        close(brawer.delta[l][:, 1:], bp.delta[l])
        close(brawer.delta_vectorized[l], bp.delta[l])


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from(list(COST_X)), st.floats(0, 10))
def test_the_loop_agrees_with_bp1_to_bp4_for_every_cost(shape, cost, l2):
    seed, sizes, m, hidden = shape
    W, b, X, Y = network(seed, sizes, m, cost)
    W = [w / math.sqrt(w.shape[1]) for w in W]
    output = {"binary_cross_entropy": "sigmoid", "quadratic": "softmax"}.get(cost, "linear")
    options = {"activations": [hidden] * (len(W) - 1) + [output], "cost": cost, "l2": l2}
    bp = matrix.backprop(W, b, X, Y, **options)
    loop = matrix.accumulate(matrix.to_theta(W, b), X, Y, **options)
    close(loop.cost, bp.cost)
    for l, grad in enumerate(matrix.to_theta(bp.dW, bp.db)):
        close(loop.D[l], grad)


def test_theta_holds_the_biases_in_column_0_and_converts_back():
    W, b, _, _ = network(8, [3, 4, 2], 1, "quadratic")
    theta = matrix.to_theta(W, b)
    assert [t.shape for t in theta] == [(4, 4), (2, 5)]
    back_W, back_b = matrix.from_theta(theta)
    for l in range(2):
        np.testing.assert_array_equal(theta[l][:, 0], b[l])
        np.testing.assert_array_equal(back_W[l], W[l])
        np.testing.assert_array_equal(back_b[l], b[l])


def test_brawers_quantities_are_what_his_equations_say():
    W, b, X, Y = network(9, [3, 4, 3, 2], 5, "binary_cross_entropy")
    full = matrix.to_theta(W, b)
    r = matrix.brawer(full, X, Y, activations=["tanh", "softplus", "sigmoid"])
    h = [lambda z: z, np.tanh, SIGMA["softplus"], sigmoid]
    for l in range(3):
        np.testing.assert_array_equal(r.theta[l][0], [1, *[0] * (full[l].shape[1] - 1)])  # (6)
        np.testing.assert_array_equal(r.theta[l][1:], full[l])
        close(r.C[l][:, 0], np.full(len(r.C[l]), 1 / h[l](np.ones(1))[0]))  # (7)
        np.testing.assert_array_equal(r.C[l][:, 1:], 1)
        close(r.z[l][:, 0], np.ones(5))  # (1a), (8)
        for i in range(5):
            for j in range(len(r.theta[l])):  # (5), and (31), an entry at a time
                nodes = range(r.C[l].shape[1])
                terms = [r.theta[l][j, k] * h[l](r.z[l][i, k]) * r.C[l][j, k] for k in nodes]
                close(r.z[l + 1][i, j], sum(terms))
                for k in nodes:
                    close(r.M[l][i, j, k], r.theta[l][j, k] * r.C[l][j, k] * r.Psi[l][i, k])
            for p in range(1, r.C[l].shape[1]):  # (43)
                total = sum(r.delta[l + 1][i, k] * r.theta[l][k, p] for k in range(1, len(r.theta[l])))
                close(r.delta[l][i, p], total * r.Psi[l][i, p])
        close(r.gradient[l][:, 0], r.delta[l + 1][:, 1:].mean(axis=0))  # (46)
    close(r.h[0] * r.C[0][1], np.column_stack([np.ones(5), X]))  # (45)
    for delta in r.delta:
        np.testing.assert_array_equal(delta[:, 0], 0)


def test_logistic_regression_is_the_two_layer_case():
    _, _, X, Y = network(10, [3, 1], 7, "binary_cross_entropy")
    theta = np.array([0.3, -1.0, 2.0, 0.5])
    J, grad = matrix.logistic_regression(theta, X, Y[:, 0])
    brawer = matrix.brawer([theta[None]], X, Y)
    close(J, brawer.J)
    close(grad, brawer.gradient[0][0])
    close(grad, matrix.accumulate([theta[None]], X, Y).D[0][0])
    error = sigmoid(theta[0] + X @ theta[1:]) - Y[:, 0]
    close(grad, np.array([(error * x).mean() for x in (np.ones(7), *X.T)]))


# -- where numbers could go wrong silently ----------------------------------------------------------------

@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_neither_overflow_nor_lose_their_tails(name):
    value, derivative = matrix.ACTIVATIONS[name]
    z = np.array([-1000.0, -30.0, 30.0, 1000.0])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a, slope = value(z), derivative(z)
    limits = {
        "linear": (z, [1, 1, 1, 1]), "identity": (z, [1, 1, 1, 1]),
        "sigmoid": ([0, math.exp(-30), 1, 1], [0, math.exp(-30), math.exp(-30), 0]),
        "tanh": ([-1, -1, 1, 1], [0, 0, 0, 0]), "relu": ([0, 0, 30, 1000], [0, 0, 1, 1]),
        "leaky_relu": ([-10, -0.3, 30, 1000], [0.01, 0.01, 1, 1]),
        "elu": ([-1, math.expm1(-30), 30, 1000], [0, math.exp(-30), 1, 1]),
        "gelu": (
            [0, -15 * math.erfc(30 / math.sqrt(2)), 30, 1000],
            [0, -30 * math.exp(-450) / math.sqrt(2 * math.pi), 1, 1],
        ),
        "silu": ([0, -30 * math.exp(-30), 30, 1000], [0, -29 * math.exp(-30), 1, 1]),
        "softplus": ([0, math.exp(-30), 30, 1000], [0, math.exp(-30), 1, 1]),
    }[name]  # fmt: skip
    np.testing.assert_allclose(a, limits[0], rtol=1e-11, atol=0)
    np.testing.assert_allclose(slope, limits[1], rtol=1e-11, atol=2e-16)


@pytest.mark.parametrize("z", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_cross_entropy_on_logits_is_exact_however_saturated(z, y):
    bce, softmax = LOGITS
    r = matrix.backprop([[[1.0]]], None, [[z]], [[y]], activations="linear", cost=bce)
    softplus = max(z, 0.0) + math.log1p(math.exp(-abs(z)))
    assert r.cost == pytest.approx(softplus - y * z, rel=1e-14, abs=1e-15)
    assert r.delta[1].item() == pytest.approx({-1: 0.0, 0: 0.5, 1: 1.0}[np.sign(z)] - y, abs=1e-15)

    two = matrix.backprop([[[1.0], [0.0]]], None, [[z]], [[y, 1 - y]], activations="linear", cost=softmax)
    assert two.cost == pytest.approx(r.cost, rel=1e-14, abs=1e-15)
    np.testing.assert_allclose(two.delta[1], [[r.delta[1].item(), -r.delta[1].item()]], atol=1e-15)


@pytest.mark.parametrize("z", [-300.0, -36.0, -5.0, 0.1, 5.0, 36.0])
@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_bp1_as_written_gives_a_minus_y_until_the_sigmoid_is_exactly_1(z, y):
    r = matrix.backprop([[[1.0]]], None, [[z]], [[y]], activations="sigmoid", cost="binary_cross_entropy")
    assert r.delta[1].item() == pytest.approx(r.a[1].item() - y, rel=1e-14, abs=1e-16)


@pytest.mark.parametrize(("z", "y"), [(50.0, 0.0), (50.0, 0.5), (-800.0, 1.0), (-800.0, 0.5)])
def test_infinite_cross_entropy_raises_and_names_the_way_out(z, y):
    options = {"activations": "sigmoid", "cost": "binary_cross_entropy"}
    for X, Y in ([[z]], [[y]]), ([[0.0], [z]], [[0.5], [y]]):
        for run in (
            lambda X, Y: matrix.backprop([[[1.0]]], None, X, Y, **options),
            lambda X, Y: matrix.accumulate([[[0.0, 1.0]]], X, Y),
            lambda X, Y: matrix.brawer([[[0.0, 1.0]]], X, Y),
        ):
            with pytest.raises(ValueError, match=r"infinite: output 0 of sample .*_with_logits"):
                run(X, Y)


@pytest.mark.parametrize("output", [-0.5, math.nextafter(0.0, -1.0), math.nextafter(1.0, 2.0), 1.5])
def test_cross_entropy_of_an_output_that_is_no_probability_raises(output):
    options = {"activations": "linear", "cost": "binary_cross_entropy"}
    with pytest.raises(ValueError, match=r"needs outputs in 0\.\.1, and they go from .*with_logits"):
        matrix.backprop([[[1.0]]], None, [[output], [0.5]], [[0.25], [0.25]], **options)


@pytest.mark.parametrize(("z", "y"), [(50.0, 1.0), (-800.0, 0.0)])
def test_a_sigmoid_saturated_on_the_right_side_costs_nothing(z, y):
    r = matrix.backprop([[[1.0]]], None, [[z]], [[y]], activations="sigmoid", cost="binary_cross_entropy")
    assert r.cost == 0
    assert r.delta[1].item() == 0


def test_logistic_regression_stays_finite_when_saturated():
    J, grad = matrix.logistic_regression([0.0, 1.0], [[1000.0]], [0.0])
    assert J == 1000
    np.testing.assert_array_equal(grad, [1, 1000])


def test_results_do_not_change_with_the_callers_arrays():
    W, b, X, Y = network(11, [2, 2], 3, "quadratic")
    r = matrix.backprop(W, b, X, Y, activations="linear", cost="quadratic")
    before = r.a[0].copy()
    X[:] = 0
    np.testing.assert_array_equal(r.a[0], before)


# -- the user's own functions -----------------------------------------------------------------------------

def test_ones_own_activation_and_cost_are_pairs_of_functions():
    W, b, X, Y = network(12, [3, 4, 2], 5, "quadratic")
    own_activation = (np.tanh, lambda z: 1 / np.cosh(z) ** 2)
    own_cost = (lambda a, y: ((a - y) ** 2).sum(axis=1) / 2, lambda a, y: a - y)
    named = matrix.backprop(W, b, X, Y, activations="tanh", cost="quadratic")
    for activations in (own_activation, ["tanh", own_activation], [own_activation, own_activation]):
        own = matrix.backprop(W, b, X, Y, activations=activations, cost=own_cost)
        close(own.cost, named.cost)
        for l in range(2):
            close(own.dW[l], named.dW[l])
    loop = matrix.accumulate(matrix.to_theta(W, b), X, Y, activations=own_activation, cost=own_cost)
    close(loop.D[0], matrix.to_theta(named.dW, named.db)[0])


def test_brawer_refuses_an_activation_that_is_0_at_1():
    W, b, X, Y = network(13, [2, 2, 1], 3, "binary_cross_entropy")
    own = (lambda z: z - 1, np.ones_like)
    with pytest.raises(ValueError, match=r"activations\[0\] has h\(1\) = 0"):
        matrix.brawer(matrix.to_theta(W, b), X, Y, activations=[own, "sigmoid"])
    with pytest.raises(ValueError, match="sigmoid in the output layer"):
        matrix.brawer(matrix.to_theta(W, b), X, Y, activations="tanh")


# -- bad input --------------------------------------------------------------------------------------------

GOOD = {
    "W": [np.ones((3, 2)), np.ones((2, 3))], "b": [np.zeros(3), np.zeros(2)], "X": np.ones((4, 2)),
    "Y": np.ones((4, 2)), "activations": "sigmoid", "cost": "quadratic", "l2": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"W": []}, ValueError, "W is empty"),
    ({"W": [np.ones((3, 2)), np.ones((2, 4))]}, ValueError, r"W\[1\] has shape \(2, 4\), expected \(2, 3\)"),
    ({"W": [np.ones((3, 2)), np.ones(3)]}, ValueError, r"W\[1\] has shape \(3,\), expected 2 dim"),
    ({"W": [np.ones((3, 2)), [[1, 2, 3], [1, 2]]]}, ValueError, r"W\[1\] is not an array of numbers"),
    ({"W": [np.ones((3, 2)) * 1j, np.ones((2, 3))]}, TypeError, r"W\[0\] has dtype complex"),
    ({"W": [np.ones((3, 2)), np.full((2, 3), np.nan)]}, ValueError, r"W\[1\] is nan at \(0, 0\)"),
    ({"b": [np.zeros(3)]}, ValueError, "b has 1 entries for 2"),
    ({"b": [np.zeros(3), np.zeros(3)]}, ValueError, r"b\[1\] has shape \(3,\), expected \(2,\)"),
    ({"b": [np.zeros((3, 1)), np.zeros(2)]}, ValueError, r"b\[0\] has shape \(3, 1\), expected 1 dim"),
    ({"X": np.ones((4, 3))}, ValueError, r"X has shape \(4, 3\), expected \(m, 2\)"),
    ({"X": np.ones(2)}, ValueError, "X has shape .*rows are samples"),
    ({"X": np.ones((0, 2))}, ValueError, r"X has shape \(0, 2\)"),
    ({"X": [["a", "b"]]}, TypeError, "X has dtype"),
    ({"Y": np.ones((4, 1))}, ValueError, r"Y has shape \(4, 1\), expected \(4, 2\)"),
    ({"Y": np.ones((2, 4))}, ValueError, r"Y has shape \(2, 4\), expected \(4, 2\)"),
    ({"Y": np.ones(4)}, ValueError, "Y has shape .*rows are samples"),
    ({"Y": np.full((4, 2), np.inf)}, ValueError, "Y is inf"),
    ({"Y": np.full((4, 2), 1.5), "cost": "binary_cross_entropy"}, ValueError, "Y goes from 1.5 to.* 0..1"),
    ({"Y": np.full((4, 2), -1), "cost": LOGITS[0], "activations": "linear"}, ValueError, "targets in 0..1"),
    ({"Y": np.ones((4, 2)), "cost": LOGITS[1], "activations": "linear"}, ValueError, r"Y\[0\] adds up to 2"),
    ({"Y": np.zeros((4, 2)), "cost": "hinge"}, ValueError, "hinge needs targets 1 or -1"),
    ({"cost": LOGITS[0]}, ValueError, "takes logits: the last activation must be linear"),
    ({"cost": "binary_cross_entropy", "activations": "linear"}, ValueError, "needs outputs in 0..1"),
    ({"cost": "mse"}, ValueError, "cost is 'mse'; known: quadratic"),
    ({"cost": np.square}, TypeError, "tuple of functions"),
    ({"activations": "swish"}, ValueError, r"activations\[0\] is 'swish'; known"),
    ({"activations": ["tanh"]}, ValueError, "activations has 1 entries for 2 layers"),
    ({"activations": [np.tanh, "tanh"]}, TypeError, r"activations\[0\] is .*tuple \(σ, σ'\)"),
    ({"activations": None}, TypeError, "activations is None"),
    ({"activations": "softmax"}, ValueError, r"activations\[0\] is softmax"),
    ({"activations": (np.sum, np.ones_like)}, ValueError, r"a\[1\].* has shape \(\), expected \(4, 3\)"),
    ({"activations": (np.tanh, np.sum)}, ValueError, r"sigma_prime\[1\].* has shape \(\)"),
    ({"cost": (lambda a, y: a - y, lambda a, y: a - y)}, ValueError, r"cost_x.* expected \(4,\)"),
    ({"cost": (lambda a, y: (a - y).sum(1), lambda a, y: 1.0)}, ValueError, r"nabla_a.* expected \(4, 2\)"),
    ({"W": [[[1e200] * 2] * 3, [[1e200] * 3] * 2], "activations": "relu"}, ValueError, "z.2. is inf"),
    ({"W": [[[1e99] * 2] * 3, [[1e99] * 3] * 2], "activations": "relu"}, ValueError, "cost_x.* is inf"),
    ({"W": [np.full((3, 2), 1e200), np.zeros((2, 3))], "l2": 1.0}, ValueError, r"cost\[0\] is inf"),
    ({"l2": -1.0}, ValueError, "l2 is -1.0"),
    ({"l2": math.nan}, ValueError, "l2 is nan"),
    ({"l2": "1"}, TypeError, "l2 is '1'"),
])  # fmt: skip
def test_bad_input_is_named(change, error, message):
    arguments = GOOD | change
    W, b, X, Y = (arguments.pop(name) for name in ("W", "b", "X", "Y"))
    matrix.backprop(*(GOOD[name] for name in ("W", "b", "X", "Y")), activations="sigmoid", cost="quadratic")
    with pytest.raises(error, match=message):
        matrix.backprop(W, b, X, Y, **arguments)


@pytest.mark.parametrize("l", [0, 1])
def test_a_softmax_before_the_output_is_named(l):
    W = [np.ones((2, 2))] * 3
    activations = ["softmax" if k == l else "tanh" for k in range(3)]
    with pytest.raises(ValueError, match=rf"activations\[{l}\] is softmax, which only the output"):
        matrix.backprop(W, None, GOOD["X"], GOOD["Y"], activations=activations, cost="quadratic")


@pytest.mark.parametrize(("theta", "message"), [
    ([], "theta is empty"),
    ([np.ones((3, 1))], r"theta\[0\] has shape \(3, 1\)"),
    ([np.ones((3, 3)), np.ones((1, 3))], r"theta\[1\] has shape \(1, 3\), expected \(1, 4\).*column 0"),
])  # fmt: skip
def test_bad_theta_is_named(theta, message):
    for use in (
        matrix.from_theta,
        lambda theta: matrix.accumulate(theta, np.ones((1, 2)), [[1]]),
        lambda theta: matrix.brawer(theta, np.ones((1, 2)), [[1]]),
    ):
        with pytest.raises(ValueError, match=message):
            use(theta)


def test_a_layer_without_bias_has_no_theta():
    with pytest.raises(ValueError, match=r"b\[1\] is None"):
        matrix.to_theta([np.ones((3, 2)), np.ones((1, 3))], [np.ones(3), None])


def test_module_knows_only_numpy_and_the_standard_library():
    modules = sorted(Path(matrix.__file__).parent.glob("*.py"))
    assert len(modules) >= 5
    for module in modules:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        imported = {alias.name for node in imports for alias in node.names}
        froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported |= {"." * node.level + (node.module or "") for node in froms}
        imported = {name for name in imported if not name.startswith("autobp.matrix.")}
        assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names) | {"numpy"}

"""Neural Networks - Backpropagation (ML15): δ backwards, Δ over the samples, then D, on the graph.

Four layers, the sigmoid, a_0 = 1 in every layer but the last; the bias weights are column 0 of Θ^(l), which
leads from layer l to layer l + 1, and are not regularised. Each test is named after its id in docs/ledger.md.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from networks import (
    SIGMOID,
    agree,
    cannot_be_computed,
    cross_entropy,
    derivative,
    differ,
    numbers,
    partial,
    quadratic,
    values,
    weights,
    with_node_0,
)

L = 4
SIZES = [[3, 4, 2, 2], [2, 2, 3, 4], [1, 3, 5, 2]]
INTUITION = [2, 2, 2, 1]
HIDDEN = (2, 3)


def slope(z):
    """g'(z) = a ⊙ (1 - a)."""
    return SIGMOID(z) * (1 - SIGMOID(z))


def without_column_0(theta):
    return theta[:, 1:]


def errors(theta, z, a, y):
    """δ^(4), δ^(3), δ^(2), with the bias unit's row left out."""
    delta = {L: a[L] - y}
    for l in (3, 2):
        delta[l] = without_column_0(theta[l]).T @ delta[l + 1] * slope(z[l])
    return delta


def network(sizes, seed, m=3, lam=0.8):
    """m samples through one network, as a graph and as numbers; J is the regularised cost (1)."""
    random = np.random.default_rng(seed)
    theta = weights(random, {l: (sizes[l], sizes[l - 1] + 1) for l in (1, 2, 3)})
    X, Y = random.normal(size=(m, sizes[0])), random.uniform(size=(m, sizes[-1]))

    Theta = {l: values(theta[l]) for l in theta}
    z, a = zip(*[with_node_0(Theta, values(x), SIGMOID) for x in X], strict=True)
    cost = [cross_entropy(a_i[L], y) for a_i, y in zip(a, Y, strict=True)]
    squares = sum((without_column_0(Theta[l]) ** 2).sum() for l in Theta)
    J = sum(cost) / m + lam / (2 * m) * squares
    graph = SimpleNamespace(Theta=Theta, z=z, a=a, cost=cost, J=J)

    z, a = zip(*[with_node_0(theta, x, SIGMOID) for x in X], strict=True)
    delta = [errors(theta, *sample) for sample in zip(z, a, Y, strict=True)]
    number = SimpleNamespace(theta=theta, z=z, a=a, X=X, Y=Y, delta=delta, m=m, lam=lam, sizes=sizes)
    return graph, number


@pytest.fixture(params=[(sizes, seed) for sizes in SIZES for seed in (0, 1)], ids=str)
def net(request):
    return network(*request.param)


@pytest.fixture(params=range(4))
def intuition_net(request):
    return network(INTUITION, request.param)


def accumulated(n):
    """Δ^(l) after the loop over the samples, entry by entry as in step 5."""
    Delta = {l: np.zeros_like(n.theta[l]) for l in n.theta}
    for a, delta in zip(n.a, n.delta, strict=True):
        for l in Delta:
            for i, j in np.ndindex(Delta[l].shape):
                Delta[l][i, j] += a[l][j] * delta[l + 1][i]
    return Delta


def input_needs_its_bias_unit(graph, n, i):
    """z^(2) of a sample: Θ^(1) has a column more than x has entries."""
    theta, x = n.theta[1], n.X[i]
    cannot_be_computed(lambda: theta @ x)
    agree(numbers(graph.z[i][2]), theta @ np.append(1.0, x))
    agree(partial(graph.z[i][2][0], graph.Theta[1][0]), np.append(1.0, x))


def test_ml15_04_input_needs_its_bias_unit(net):
    input_needs_its_bias_unit(*net, i=0)


def test_ml15_16_input_of_each_sample_needs_its_bias_unit(net):
    for i in range(net[1].m):
        input_needs_its_bias_unit(*net, i)


def test_ml15_08_error_is_with_respect_to_z(net):
    graph, n = net
    for cost, z, a, z_number, delta in zip(graph.cost, graph.z, graph.a, n.z, n.delta, strict=True):
        for l in delta:
            agree(partial(cost, z[l]), delta[l])
            by_activation = partial(cost, a[l] if l == L else a[l][1:])
            differ(by_activation, delta[l])
            agree(by_activation * slope(z_number[l]), delta[l])  # what stands between the two


def test_ml15_09_output_error(net):
    graph, n = net
    for i in range(n.m):
        agree(partial(graph.cost[i], graph.z[i][4]), n.a[i][4] - n.Y[i])


def bias_row_is_dropped(graph, n, l):
    """δ^(l) = Θᵀδ^(l+1) ⊙ g'(z^(l)) has one row too many, the bias unit's; without column 0 it holds."""
    for i in range(n.m):
        z, delta = n.z[i][l], n.delta[i][l + 1]
        mended = without_column_0(n.theta[l]).T @ delta * slope(z)
        agree(partial(graph.cost[i], graph.z[i][l]), mended)
        cannot_be_computed(lambda z=z, delta=delta: n.theta[l].T @ delta * slope(z))
        assert (n.theta[l].T @ delta).shape == (n.sizes[l - 1] + 1,)


def test_ml15_10_error_of_layer_3(net):
    bias_row_is_dropped(*net, l=3)


def test_ml15_11_error_of_layer_2(net):
    bias_row_is_dropped(*net, l=2)


def test_ml15_12_slope_of_the_sigmoid(net):
    graph, n = net
    for l in HIDDEN:
        a = n.a[0][l][1:]
        agree(np.diag(partial(graph.a[0][l][1:], graph.z[0][l])), a * (1 - a), SIGMOID.slope(n.z[0][l]))

    z = sympy.symbols("z")
    a = 1 / (1 + sympy.exp(-z))
    assert sympy.simplify(a.diff(z) - a * (1 - a)) == 0
    assert a.subs(z, 0) == sympy.Rational(1, 2)  # of all that have this slope it is the sigmoid


def test_ml15_13_gradient_of_one_example(net):
    graph, n = net
    a, delta = n.a[0], n.delta[0]
    for l in n.theta:
        agree(partial(graph.cost[0], graph.Theta[l]), np.outer(delta[l + 1], a[l]))

    # l + i is the next layer for unit 1 alone: for i = 2 the printed δ is that of a layer further on
    l, i = 1, 2
    gradient = partial(graph.cost[0], graph.Theta[l][i - 1])
    differ(gradient, a[l] * delta[l + i][i - 1], by=[a_j * (delta[3][1] - delta[2][1]) for a_j in a[1]])
    agree(gradient, a[l] * delta[l + 1][i - 1])


def test_ml15_17_output_error_in_step_3(net):
    graph, n = net
    delta = partial(graph.cost[0], graph.z[0][L])
    differ(delta, 0 - n.Y[0], by=-n.a[0][L])
    agree(delta, n.a[0][L] - n.Y[0])


def test_ml15_19_accumulation_as_matrices(net):
    graph, n = net
    by_entry = accumulated(n)
    for l in n.theta:
        as_matrices = sum(np.outer(n.delta[i][l + 1], n.a[i][l]) for i in range(n.m))
        agree(partial(sum(graph.cost), graph.Theta[l]), as_matrices, by_entry[l])


def test_ml15_20_regularisation_is_averaged_too(net):
    graph, n = net
    Delta = accumulated(n)
    for l in n.theta:
        gradient = partial(graph.J, without_column_0(graph.Theta[l]))
        Delta_l, theta = without_column_0(Delta[l]), without_column_0(n.theta[l])
        differ(gradient, Delta_l / n.m + n.lam * theta, by=(1 - 1 / n.m) * n.lam * theta)
        agree(gradient, Delta_l / n.m + n.lam / n.m * theta)


def test_ml15_21_bias_weights_are_not_regularised(net):
    graph, n = net
    Delta = accumulated(n)
    for l in n.theta:
        gradient = partial(graph.J, graph.Theta[l][:, 0])
        agree(gradient, Delta[l][:, 0] / n.m)
        penalty = derivative(lambda bias: n.lam / (2 * n.m) * np.sum(bias**2), n.theta[l][:, 0])
        differ(gradient, Delta[l][:, 0] / n.m + n.lam / n.m * n.theta[l][:, 0], by=penalty)


def test_ml15_22_D_is_the_gradient_entry_by_entry(net):
    graph, n = net
    Delta = accumulated(n)
    for l in n.theta:
        D = Delta[l] / n.m
        D[:, 1:] += n.lam / n.m * n.theta[l][:, 1:]
        gradient = partial(graph.J, graph.Theta[l])
        agree(gradient, D)
        # printed, the left side has no indices: one entry of D would stand for the derivative by every weight
        for entry in D.flat:
            differ(gradient, np.full_like(D, entry))


def test_ml15_24_weighted_input_of_one_unit(intuition_net):
    graph, n = intuition_net
    theta, a = n.theta[2], n.a[0][2]
    z_1 = theta[0, 0] * 1 + theta[0, 1] * a[1] + theta[0, 2] * a[2]
    z = numbers(graph.z[0][3])
    agree(z[0], z_1)
    differ(z, [z_1, z_1])  # z^(3) has two entries, and this is the first


def test_ml15_25_cost_of_one_output(intuition_net):
    graph, n = intuition_net
    h, y = np.array([a[L][0] for a in n.a]), n.Y[:, 0]
    fit = -np.sum(y * np.log(h) + (1 - y) * np.log(1 - h)) / n.m
    squares = sum(n.theta[l][j, i] ** 2 for l in (1, 2, 3) for j, i in np.ndindex(n.theta[l].shape) if i > 0)
    agree(graph.J.data, fit + n.lam / (2 * n.m) * squares)


def test_ml15_26_cost_of_one_sample_has_a_minus(intuition_net):
    graph, n = intuition_net
    for z_i, a_i, a_number, y in zip(graph.z, graph.a, n.a, n.Y, strict=True):
        z, a = z_i[L], a_i[L]
        printed = np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))
        mended = np.sum(-y * np.log(a) - (1 - y) * np.log(1 - a))
        agree(mended.data, cross_entropy(a_number[L], y))

        delta = a_number[L] - y
        agree(partial(printed, z), -delta)
        differ(partial(printed, z), delta)
        agree(partial(mended, z), delta)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_ml15_27_squared_error_is_an_analogy(intuition_net, y):
    graph, n = intuition_net
    z, a, h = graph.z[0][L], graph.a[0][L], n.a[0][L]
    cost, squared = cross_entropy(a, np.array([y])), 2 * quadratic(a, np.array([y]))
    gap = abs(h[0] - y)
    agree(squared.data, gap**2)
    agree(cost.data, -np.log(1 - gap))
    differ(cost.data, squared.data)
    differ(partial(cost, z), partial(squared, z), by=(h - y) * (2 * slope(n.z[0][L]) - 1))

    u, possible = sympy.symbols("u"), sympy.Interval.Ropen(0, 1)
    excess = -sympy.log(1 - u) - u**2  # zero at u = 0 and growing from there on, so the cost is never below
    assert float(gap) in possible
    agree(float(excess.subs(u, gap)), cost.data - squared.data)
    assert excess.subs(u, 0) == 0
    assert sympy.solveset(excess.diff(u) <= 0, u, possible) == sympy.S.EmptySet


def test_ml15_29_hidden_error_has_its_slope(intuition_net):
    graph, n = intuition_net
    theta = n.theta[2]
    delta_3 = derivative(
        lambda z_3: cross_entropy(SIGMOID(n.theta[3] @ np.append(1.0, SIGMOID(z_3))), n.Y[0]), n.z[0][3]
    )
    delta_2 = partial(graph.cost[0], graph.z[0][2][1])
    weighted = theta[0, 2] * delta_3[0] + theta[1, 2] * delta_3[1]
    differ(delta_2, weighted)
    agree(delta_2, weighted * slope(n.z[0][2][1]))
    # nor does the layer that is printed, Θ^(3), have the row that the second term asks for
    assert n.theta[3].shape == (1, 3)


def test_ml15_30_no_error_of_the_input_is_needed(net):
    graph, n = net
    for i in range(n.m):
        assert sorted(n.delta[i]) == [2, 3, 4]
        for l in n.theta:
            agree(partial(graph.cost[i], graph.Theta[l]), np.outer(n.delta[i][l + 1], n.a[i][l]))
        # "there might be an error": the cost does change with the input
        by_input = without_column_0(n.theta[1]).T @ n.delta[i][2]
        agree(partial(graph.cost[i], graph.a[i][1][1:]), by_input)


def test_ml15_32_errors_back_to_the_first_hidden_layer(net):
    graph, n = net
    for i in range(n.m):
        delta = n.a[i][L] - n.Y[i]
        for l in range(L - 1, 1, -1):
            delta = without_column_0(n.theta[l]).T @ delta * slope(n.z[i][l])
            agree(partial(graph.cost[i], graph.z[i][l]), delta)
        assert l == 2

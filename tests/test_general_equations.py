"""Steven Brawer, Derivation of Back Propagation Equations: (1) to (48), on the graph.

z[l][k] is the value of node (k, l), h^l(z) its output; node 0 of every layer is the bias. θ^l leads from
layer l to layer l + 1; its row 0 is the constant of eq. (6), so that rows and columns count as in the
document. h^1 is the identity, h^L the sigmoid, the others are free. Each test is named after its id in
docs/ledger.md.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from networks import (
    IDENTITY,
    SIGMOID,
    SINE,
    SOFTPLUS,
    TANH,
    agree,
    cannot_be_computed,
    cross_entropy,
    derivative,
    differ,
    numbers,
    partial,
    values,
    vanishes,
    weights,
)

import autobp

#: s_1 to s_L, and h^2 to h^(L-1)
CASES = [
    ([3, 2, 4, 2], [SIGMOID, SIGMOID]),
    ([2, 4, 3, 3], [TANH, SOFTPLUS]),
    ([3, 2, 3, 2, 2], [SINE, SIGMOID, TANH]),
]


def I(p, q):  # noqa: E743  (the document's letter for the delta function)
    """Eq. (9)."""
    return 1.0 if p == q else 0.0


def with_row_0(free_rows):
    """θ with the constant row of eq. (6) above the rows p > 0, which alone can vary."""
    free_rows = np.asarray(free_rows)
    row_0 = np.eye(1, free_rows.shape[1]).astype(free_rows.dtype)
    return np.vstack([row_0, free_rows])


def C_of(h, shape):
    """Eq. (7): 1/h(1) in column 0, and 1 elsewhere."""
    C = np.ones(shape)
    C[:, 0] = 1 / float(h(np.array(1.0)))
    return C


def next_values(theta, C, output):
    """Eq. (5): z_j = Σ_k θ_jk h(z_k) C_jk, for all j, 0 included."""
    return (theta * C) @ output


def forward(theta, C, h, x_with_x_0):
    """z^l and h^l(z^l) by layer."""
    z, output = {1: x_with_x_0}, {}
    for l in sorted(h):
        output[l] = h[l](z[l])
        if l in theta:
            z[l + 1] = next_values(theta[l], C[l], output[l])
    return z, output


def network(case, seed, m=3):
    """m samples through one network: a graph with the cost (18), and numbers with M (31) and δ (42), (43)."""
    sizes, hidden = case
    random = np.random.default_rng(seed)
    L = len(sizes)
    h = dict(zip(range(1, L + 1), [IDENTITY, *hidden, SIGMOID], strict=True))
    free = weights(random, {l: (sizes[l], sizes[l - 1] + 1) for l in range(1, L)})
    theta = {l: with_row_0(free[l]) for l in free}
    C = {l: C_of(h[l], theta[l].shape) for l in theta}
    X = random.normal(size=(m, sizes[0]))
    y = [np.append(np.nan, y_i) for y_i in random.uniform(size=(m, sizes[-1]))]  # there is no y_0

    rows = {l: values(free[l]) for l in free}
    on_values = {l: with_row_0(rows[l]) for l in rows}
    z, output = zip(*[forward(on_values, C, h, values(np.append(1.0, x))) for x in X], strict=True)
    cost = [cross_entropy(output[i][L][1:], y[i][1:]) for i in range(m)]
    # theta holds the rows p > 0, which are the leaves: theta[l][p - 1, q] is θ_pq
    graph = SimpleNamespace(theta=rows, z=z, output=output, cost=cost, J=sum(cost) / m)

    z, output = zip(*[forward(theta, C, h, np.append(1.0, x)) for x in X], strict=True)
    Psi = [{l: h[l].slope(z_i[l]) for l in h} for z_i in z]
    M = [{l: theta[l] * C[l] * Psi_i[l] for l in theta} for Psi_i in Psi]
    delta = []
    for i in range(m):
        delta_i = {L: np.append(0.0, output[i][L][1:] - y[i][1:])}
        for l in range(L - 1, 0, -1):
            delta_i[l] = (theta[l][1:].T @ delta_i[l + 1][1:]) * Psi[i][l]
            delta_i[l][0] = 0.0
        delta.append(delta_i)
    number = SimpleNamespace(
        L=L, s=dict(enumerate(sizes, 1)), m=m, h=h, theta=theta, C=C, X=X, y=y,
        z=z, output=output, Psi=Psi, M=M, delta=delta,
    )  # fmt: skip
    return graph, number


def described(case):
    sizes, hidden = case
    return f"{'-'.join(map(str, sizes))} {' '.join(h.name for h in hidden)}"


@pytest.fixture(params=CASES, ids=described)
def net(request):
    return network(request.param, seed=1)


@pytest.fixture(params=range(3))
def logistic_regression(request):
    return network(([4, 1], []), seed=request.param, m=5)


def by_theta(n, i, l, of):
    """∂of(z, h(z))/∂θ^l of sample i through the network, by the complex step; the last axes are p - 1, q."""

    def through_the_network(free_rows):
        z, output = forward({**n.theta, l: with_row_0(free_rows)}, n.C, n.h, n.z[i][1])
        return of(z, output)

    return derivative(through_the_network, n.theta[l][1:])


def as_written(theta, output, C):
    """Σ_k θ_jk h(z_k) C_jk for all j, term by term."""
    nodes = range(len(output))
    return np.array([sum(theta[j, k] * output[k] * C[j, k] for k in nodes) for j in range(len(theta))])


def sum_by_theta(n, i, l, wrt):
    """∂/∂θ^wrt Σ_k θ_jk^l h^l(z_k^l) C_jk^l for all j, z depending on the θ of earlier layers."""

    def total(free_rows):
        theta = {**n.theta, wrt: with_row_0(free_rows)}
        _, output = forward(theta, n.C, n.h, n.z[i][1])
        return as_written(theta[l], output[l], n.C[l])

    return derivative(total, n.theta[wrt][1:])


def rows(shape):
    """All (p, q) of a θ, p > 0 and q = 0, 1, …, by the document's indices."""
    return [(p + 1, q) for p, q in np.ndindex(shape[0] - 1, shape[1])]


def mean_over_samples(n, term):
    """1/m Σ_{i=1}^m."""
    return sum(term(i) for i in range(n.m)) / n.m


def from_sample_0(n, term):
    """1/m Σ_{i=0}^m, as printed: one more sample than there are; the first stands in for it."""
    return mean_over_samples(n, term) + term(0) / n.m


# ---------------------------------------------------------------------------------- notation and definitions


@pytest.mark.parametrize("seed", range(3))
def test_brawer_2_base_of_the_sigmoid(seed):
    z = np.random.default_rng(seed).normal(size=5)
    h = numbers(SIGMOID(values(z)))
    agree(h, 1 / (1 + np.exp(-z)))
    for l in (2, 3, 4):  # the ℓ that is printed for e is the letter of a layer
        differ(h, 1 / (1 + float(l) ** -z), by=1 / (1 + np.exp(-np.log(l) * z)) - h)


def test_brawer_3_sigmoid_by_layer(net):
    graph, n = net
    for i in range(n.m):
        agree(numbers(graph.output[i][1]), n.z[i][1])
        for l in range(2, n.L + 1):
            if n.h[l] is SIGMOID:
                output, z = numbers(graph.output[i][l]), n.z[i][l]
                agree(output, 1 / (1 + np.exp(-z)))
                differ(output, 1 / (1 + float(l) ** -z), by=1 / (1 + np.exp(-np.log(l) * z)) - output)


def test_brawer_t2_conditions_on_h(net):
    _, n = net
    shape = n.theta[1].shape
    with pytest.raises(ZeroDivisionError):
        C_of(lambda z: z - 1, shape)
    for h in n.h.values():
        column_0 = C_of(h, shape)[:, 0]
        agree(h(np.array(1.0)) * column_0, np.ones_like(column_0))

    # a layer L that is no sigmoid: 1/(1 + e^(-2z)), whose δ has a factor 2 that (20) lacks
    for y_i, z_i in zip(n.y, n.z, strict=True):
        y, z = y_i[1:], values(z_i[n.L][1:])
        steep = np.array([autobp.sigmoid(2 * z_k) for z_k in z])
        delta = partial(cross_entropy(steep, y), z)
        agree(delta, 2 * (numbers(steep) - y))
        differ(delta, numbers(steep) - y, by=y - numbers(steep))
        logistic = SIGMOID(z)
        agree(partial(cross_entropy(logistic, y), z), numbers(logistic) - y)


def test_brawer_8_value_of_the_bias_nodes(net):
    graph, n = net
    for i in range(n.m):
        for l in range(1, n.L + 1):
            agree(graph.z[i][l][0].data, 1.0)


def bias_node_and_the_rest(n, i, l, j):
    theta, C, output = n.theta[l - 1], n.C[l - 1], n.output[i][l - 1]
    rest = sum(theta[j, k] * output[k] * C[j, k] for k in range(1, n.s[l - 1] + 1))
    return theta[j, 0] * n.h[l - 1](np.array(1.0)) * C[j, 0], rest


def test_brawer_8a_1_bias_node_set_apart(net):
    graph, n = net
    for l in range(2, n.L + 1):
        for j in range(n.s[l] + 1):
            from_bias, rest = bias_node_and_the_rest(n, 0, l, j)
            agree(graph.z[0][l][j].data, from_bias + rest)


def test_brawer_8a_2_contribution_of_the_bias_node(net):
    graph, n = net
    for l in range(2, n.L + 1):
        for j in range(n.s[l] + 1):
            _, rest = bias_node_and_the_rest(n, 0, l, j)
            agree(graph.z[0][l][j].data, n.theta[l - 1][j, 0] + rest)


def test_brawer_t3_dimension_of_theta(net):
    graph, n = net
    for l in range(2, n.L + 1):
        assert graph.theta[l - 1].shape == (n.s[l], n.s[l - 1] + 1)
        printed = n.s[l] * n.s[l - 1] + 1
        assert graph.theta[l - 1].size - printed == n.s[l] - 1 != 0
        agree(numbers(graph.z[0][l][1:]), (n.theta[l - 1] * n.C[l - 1])[1:] @ n.output[0][l - 1])


# ---------------------------------------------------------------------------------------- partial derivatives


def test_brawer_10_weights_are_independent(net):
    graph, n = net
    for l in range(1, n.L):
        for other in range(1, n.L):
            expected = np.array(
                [
                    [I(a, p) * I(b, q) * I(l, other) for p, q in rows(n.theta[other].shape)]
                    for a, b in rows(n.theta[l].shape)
                ]
            )
            jacobian = np.reshape(partial(graph.theta[l], graph.theta[other]), expected.shape)
            if l == other:
                agree(jacobian, expected)
            else:
                vanishes(jacobian)
                vanishes(expected)


def test_brawer_11_derivative_of_the_sum(net):
    graph, n = net
    for l in range(2, n.L + 1):
        agree(partial(graph.z[0][l], graph.theta[l - 1]), sum_by_theta(n, 0, l - 1, wrt=l - 1))


def test_brawer_12_value_by_weight_of_the_layer_before(net):
    graph, n = net
    for l in range(2, n.L + 1):
        output, C = n.output[0][l - 1], n.C[l - 1]
        by_weight = partial(graph.z[0][l], graph.theta[l - 1])
        expected = np.zeros_like(by_weight)
        for j in range(n.s[l] + 1):
            for p, q in rows(C.shape):
                expected[j, p - 1, q] = I(p, j) * output[q] * C[p, q]
        agree(by_weight, expected)


def test_brawer_13_value_by_bias_weight(net):
    graph, n = net
    for l in range(2, n.L + 1):
        expected = [[I(p, j) for p in range(1, n.s[l] + 1)] for j in range(n.s[l] + 1)]
        agree(partial(graph.z[0][l], graph.theta[l - 1][:, 0]), expected)


def test_brawer_14_value_by_weight_of_the_first_layer(net):
    graph, n = net
    x = np.append(1.0, n.X[0])
    by_weight = partial(graph.z[0][2], graph.theta[1])
    expected = np.zeros_like(by_weight)
    for j in range(n.s[2] + 1):
        for p, q in rows(n.theta[1].shape):
            expected[j, p - 1, q] = I(p, j) * x[q]
    agree(by_weight, expected)
    vanishes(by_weight[0])


def test_brawer_15a_slope_by_layer(net):
    graph, n = net
    agree(partial(IDENTITY(graph.z[0][1]), graph.z[0][1]), np.eye(n.s[1] + 1))
    for l in range(2, n.L + 1):
        if n.h[l] is SIGMOID:
            h = n.output[0][l]
            agree(np.diag(partial(graph.output[0][l], graph.z[0][l])), h * (1 - h))

    z = sympy.symbols("z")
    h = 1 / (1 + sympy.exp(-z))
    assert sympy.simplify(h.diff(z) - h * (1 - h)) == 0
    assert h.subs(z, 0) == sympy.Rational(1, 2)  # of all that have this slope it is the sigmoid


def test_brawer_16_1_chain_rule_to_the_outputs_between(net):
    graph, n = net
    for l in range(3, n.L + 1):
        output_by_theta = by_theta(n, 0, l - 2, lambda z, output, l=l: output[l - 1])
        chain = np.einsum("jk,kpq->jpq", n.theta[l - 1] * n.C[l - 1], output_by_theta)
        agree(partial(graph.z[0][l], graph.theta[l - 2]), chain)


def test_brawer_16_2_chain_rule_to_the_values_between(net):
    graph, n = net
    for l in range(3, n.L + 1):
        M = n.theta[l - 1] * n.C[l - 1] * n.Psi[0][l - 1]
        chain = np.einsum("jk,kpq->jpq", M, sum_by_theta(n, 0, l - 2, wrt=l - 2))
        agree(partial(graph.z[0][l], graph.theta[l - 2]), chain)


def test_brawer_17_value_by_weight_two_layers_before(net):
    graph, n = net
    for l in range(3, n.L + 1):
        theta, C, Psi = n.theta[l - 1], n.C[l - 1], n.Psi[0][l - 1]
        output, C_before = n.output[0][l - 2], n.C[l - 2]
        by_weight = partial(graph.z[0][l], graph.theta[l - 2])
        expected = np.zeros_like(by_weight)
        for j in range(n.s[l] + 1):
            for p, q in rows(C_before.shape):
                expected[j, p - 1, q] = theta[j, p] * C[j, p] * Psi[p] * output[q] * C_before[p, q]
        agree(by_weight, expected)


def test_brawer_17a_value_by_bias_weight_two_layers_before(net):
    graph, n = net
    for l in range(3, n.L + 1):
        expected = n.theta[l - 1][1:, 1:] * n.Psi[0][l - 1][1:]
        agree(partial(graph.z[0][l][1:], graph.theta[l - 2][:, 0]), expected)


# ----------------------------------------------------------------------------------- cost function, gradients


def test_brawer_18_each_class_has_its_own_target(net):
    graph, n = net
    classes = range(1, n.s[n.L] + 1)

    def cost(i, class_of_y):
        h, y = n.output[i][n.L], n.y[i]
        terms = [y[class_of_y(k)] * np.log(h[k]) + (1 - y[class_of_y(k)]) * np.log(1 - h[k]) for k in classes]
        return -sum(terms)

    agree(graph.J.data, mean_over_samples(n, lambda i: cost(i, lambda k: k)))
    for one in classes:
        with_one_target = [cost(i, lambda k, one=one: one) for i in range(n.m)]
        differ(numbers(graph.cost), with_one_target)


def test_brawer_t5_cost_is_positive_for_targets_between_0_and_1(net):
    graph, n = net
    for cost, y in zip(graph.cost, n.y, strict=True):
        least = cross_entropy(y[1:], y[1:])  # where the outputs are the targets
        assert cost.data > least
        assert np.sign(least) == 1
    z, y = 2.0, 3.0
    cost = cross_entropy(SIGMOID(values([z])), np.array([y])).data
    agree(cost, np.log(1 + np.exp(z)) - y * z)
    assert np.sign(cost) == -1


def test_brawer_19_gradient_by_any_weight(net):
    graph, n = net

    def gradient(l, class_of_y):
        def term(i):
            h, y = n.output[i][n.L], n.y[i]
            dz = by_theta(n, i, l, lambda z, output: z[n.L])
            return sum((h[k] - y[class_of_y(k)]) * dz[k] for k in range(1, n.s[n.L] + 1))

        return mean_over_samples(n, term)

    for l in range(1, n.L):
        agree(partial(graph.J, graph.theta[l]), gradient(l, lambda k: k))
        for one in range(1, n.s[n.L] + 1):
            differ(partial(graph.J, graph.theta[l]), gradient(l, lambda k, one=one: one))


def error_has_its_own_target(graph, n):
    """δ_p^L = (h(z_p) - y_p)(1 - I_p0); another class's target in the place of y_p gives another number."""
    classes = range(1, n.s[n.L] + 1)
    for i in range(n.m):
        delta = partial(graph.cost[i], graph.z[i][n.L])
        h, y = n.output[i][n.L], np.append(0.25, n.y[i][1:])  # there is no y_0: any number in its place
        error = [(h[p] - y[p]) * (1 - I(p, 0)) for p in range(n.s[n.L] + 1)]
        agree(delta, error)
        at_p_0 = [I(p, 0) for p in range(n.s[n.L] + 1)]
        differ(delta, h - y, by=at_p_0 * (h - y))  # at p = 0 the factor alone makes it 0
        vanishes(error[0])
        vanishes(delta[0])
        vanishes(n.delta[i][n.L][0])
        for one in classes:
            of_one = [h[p] - y[one] for p in classes]
            differ(delta[1:], of_one, by=y[1:] - y[one])


def test_brawer_20_error_of_the_last_layer(net):
    error_has_its_own_target(*net)


def test_brawer_21_gradient_from_the_errors(net):
    graph, n = net
    for l in range(1, n.L):

        def term(i, l=l):
            return np.einsum("k,kpq->pq", n.delta[i][n.L], by_theta(n, i, l, lambda z, output: z[n.L]))

        agree(partial(graph.J, graph.theta[l]), mean_over_samples(n, term))


def test_brawer_22_last_values_by_any_weight(net):
    graph, n = net
    for l in range(1, n.L):
        agree(partial(graph.z[0][n.L], graph.theta[l]), sum_by_theta(n, 0, n.L - 1, wrt=l))


def test_brawer_23_last_values_by_the_last_weights(net):
    graph, n = net
    L, output = n.L, n.output[0][n.L - 1]
    sum_alone = derivative(
        lambda free_rows: as_written(with_row_0(free_rows), output, n.C[L - 1]), n.theta[L - 1][1:]
    )
    agree(partial(graph.z[0][L], graph.theta[L - 1]), sum_alone)


def test_brawer_24_last_values_by_the_last_weights_worked_out(net):
    graph, n = net
    L = n.L
    output, C = n.output[0][L - 1], n.C[L - 1]
    for k_0 in range(1, n.s[L] + 1):
        expected = np.zeros(graph.theta[L - 1].shape)
        for p, q in rows(C.shape):
            expected[p - 1, q] = I(p, k_0) * output[q] * C[p, q]
        agree(partial(graph.z[0][L][k_0], graph.theta[L - 1]), expected)


def test_brawer_25_last_values_by_the_last_bias_weights(net):
    graph, n = net
    for k_0 in range(1, n.s[n.L] + 1):
        expected = [I(p, k_0) for p in range(1, n.s[n.L] + 1)]
        agree(partial(graph.z[0][n.L][k_0], graph.theta[n.L - 1][:, 0]), expected)


def gradient_by_weight(n, l, error):
    """1/m Σ_i error_p(i) h^l(z_q^l) C_pq^l for all p > 0 and all q."""
    return mean_over_samples(n, lambda i: np.outer(error(i)[1:], n.output[i][l] * n.C[l][1]))


def test_brawer_26_gradient_of_the_last_layer(net):
    graph, n = net
    L = n.L
    expected = np.zeros(graph.theta[L - 1].shape)
    for p, q in rows(n.theta[L - 1].shape):
        expected[p - 1, q] = mean_over_samples(
            n,
            lambda i, p=p, q=q: (n.output[i][L][p] - n.y[i][p]) * n.output[i][L - 1][q] * n.C[L - 1][p, q],
        )
    agree(partial(graph.J, graph.theta[L - 1]), expected)


def test_brawer_27_bias_gradient_of_the_last_layer(net):
    graph, n = net
    mean_error = mean_over_samples(n, lambda i: n.output[i][n.L][1:] - n.y[i][1:])
    agree(partial(graph.J, graph.theta[n.L - 1][:, 0]), mean_error)


def test_brawer_28_two_layers_and_one_class(logistic_regression):
    graph, n = logistic_regression
    for q in range(n.s[1] + 1):
        gradient = mean_over_samples(n, lambda i, q=q: n.delta[i][2][1] * n.z[i][1][q])
        agree(partial(graph.J, graph.theta[1][0, q]), gradient)


def test_brawer_29_logistic_regression(logistic_regression):
    graph, n = logistic_regression
    theta, x = n.theta[1][1], np.column_stack([np.ones(n.m), n.X])
    h = 1 / (1 + np.exp(-x @ theta))
    y = np.array([y_i[1] for y_i in n.y])
    agree(partial(graph.J, graph.theta[1][0]), np.mean((h - y)[:, np.newaxis] * x, axis=0))


def test_brawer_29a_1_last_values_by_the_weights_before(net):
    graph, n = net
    L = n.L
    agree(partial(graph.z[0][L], graph.theta[L - 2]), sum_by_theta(n, 0, L - 1, wrt=L - 2))


def test_brawer_29a_2_chain_rule_to_the_outputs_between(net):
    graph, n = net
    L = n.L
    output_by_theta = by_theta(n, 0, L - 2, lambda z, output: output[L - 1])
    chain = np.einsum("jk,kpq->jpq", n.theta[L - 1] * n.C[L - 1], output_by_theta)
    agree(partial(graph.z[0][L], graph.theta[L - 2]), chain)


def test_brawer_29a_3_chain_rule_to_the_values_between(net):
    graph, n = net
    L = n.L
    M = n.theta[L - 1] * n.C[L - 1] * n.Psi[0][L - 1]
    chain = np.einsum("jk,kpq->jpq", M, sum_by_theta(n, 0, L - 2, wrt=L - 2))
    agree(partial(graph.z[0][L], graph.theta[L - 2]), chain)


def two_layers_before(n, k_0, M):
    """M_{k_0,p}^(L-1) h^(L-2)(z_q^(L-2)) C_pq^(L-2) for all p > 0 and all q."""
    l = n.L - 2
    expected = np.zeros((n.s[l + 1], n.s[l] + 1))
    for p, q in rows(n.theta[l].shape):
        expected[p - 1, q] = M(k_0, p) * n.output[0][l][q] * n.C[l][p, q]
    return expected


def test_brawer_30_last_values_by_the_weights_before_worked_out(net):
    graph, n = net
    theta, C, Psi = n.theta[n.L - 1], n.C[n.L - 1], n.Psi[0][n.L - 1]
    for k_0 in range(1, n.s[n.L] + 1):
        expected = two_layers_before(n, k_0, lambda k, p: theta[k, p] * C[k, p] * Psi[p])
        agree(partial(graph.z[0][n.L][k_0], graph.theta[n.L - 2]), expected)


def test_brawer_u3_node_0_of_the_last_layer(net):
    graph, n = net
    by_weight = partial(graph.z[0][n.L], graph.theta[n.L - 2])
    vanishes(by_weight[0])
    differ(by_weight[1:], np.zeros_like(by_weight[1:]))
    vanishes(two_layers_before(n, 0, lambda k, p: n.M[0][n.L - 1][k, p]))


def test_brawer_32_last_values_by_M(net):
    graph, n = net
    M = partial(graph.z[0][n.L], graph.z[0][n.L - 1])  # what M is: ∂z^L/∂z^(L-1)
    agree(M[1:], n.M[0][n.L - 1][1:])
    for k_0 in range(1, n.s[n.L] + 1):
        expected = two_layers_before(n, k_0, lambda k, p: n.M[0][n.L - 1][k, p])
        agree(partial(graph.z[0][n.L][k_0], graph.theta[n.L - 2]), expected)


def test_brawer_33_gradient_before_the_last_layer(net):
    graph, n = net
    L = n.L
    expected = np.zeros(graph.theta[L - 2].shape)
    for p, q in rows(n.theta[L - 2].shape):
        expected[p - 1, q] = mean_over_samples(
            n,
            lambda i, p=p, q=q: sum(
                n.delta[i][L][k_0] * n.M[i][L - 1][k_0, p] * n.output[i][L - 2][q] * n.C[L - 2][1, q]
                for k_0 in range(1, n.s[L] + 1)
            ),
        )
    agree(partial(graph.J, graph.theta[L - 2]), expected)


def test_brawer_33a_C_does_not_depend_on_p(net):
    graph, n = net
    for l in range(1, n.L):
        agree(n.C[l], np.tile(n.C[l][1], (n.s[l + 1] + 1, 1)))
        # C_pq is what stands between an output and z_p, beside θ_pq
        by_output = partial(graph.z[0][l + 1][1:], graph.output[0][l])
        agree(by_output / n.theta[l][1:], n.C[l][1:])


def test_brawer_34_error_before_the_last_layer(net):
    graph, n = net
    L = n.L
    for i in range(n.m):
        delta = [
            sum(n.delta[i][L][k_0] * n.M[i][L - 1][k_0, p] for k_0 in range(1, n.s[L] + 1)) * (1 - I(p, 0))
            for p in range(n.s[L - 1] + 1)
        ]
        vanishes(delta[0])
        agree(partial(graph.cost[i], graph.z[i][L - 1][1:]), delta[1:])


def test_brawer_35_gradient_before_the_last_layer_by_its_error(net):
    graph, n = net
    expected = gradient_by_weight(n, n.L - 2, lambda i: n.delta[i][n.L - 1])
    agree(partial(graph.J, graph.theta[n.L - 2]), expected)


def test_brawer_t6_the_factor_alone_removes_the_bias_nodes_error(net):
    graph, n = net
    L = n.L
    M_0 = n.theta[L - 1][1:, 0] * n.C[L - 1][1:, 0] * n.h[L - 1].slope(np.array(1.0))
    differ(M_0, np.zeros_like(M_0))
    agree(partial(graph.z[0][L][1:], graph.z[0][L - 1][0]), n.M[0][L - 1][1:, 0], M_0)
    vanishes(n.M[0][L - 1][0, 1:])  # row 0 is what (6) clears

    without_factor = sum(n.delta[0][L][k] * n.M[0][L - 1][k, 0] for k in range(1, n.s[L] + 1))
    agree(partial(graph.cost[0], graph.z[0][L - 1][0]), without_factor)
    vanishes(without_factor * (1 - I(0, 0)))


def test_brawer_36_1_chain_rule_three_layers_back(net):
    graph, n = net
    L = n.L
    chain = np.einsum("jk,kpq->jpq", n.M[0][L - 1], sum_by_theta(n, 0, L - 2, wrt=L - 3))
    agree(partial(graph.z[0][L], graph.theta[L - 3]), chain)


def test_brawer_36_2_chain_rule_three_layers_back_again(net):
    graph, n = net
    L = n.L
    innermost = sum_by_theta(n, 0, L - 3, wrt=L - 3)
    chain = np.einsum("jk,kr,rpq->jpq", n.M[0][L - 1], n.M[0][L - 2], innermost)
    agree(partial(graph.z[0][L], graph.theta[L - 3]), chain)


def test_brawer_37_product_of_two_M(net):
    graph, n = net
    L = n.L
    for k_0 in range(1, n.s[L] + 1):
        expected = np.zeros(graph.theta[L - 3].shape)
        for p, q in rows(n.theta[L - 3].shape):
            MM = sum(n.M[0][L - 1][k_0, k_1] * n.M[0][L - 2][k_1, p] for k_1 in range(1, n.s[L - 1] + 1))
            expected[p - 1, q] = MM * n.C[L - 3][1, q] * n.output[0][L - 3][q]
        agree(partial(graph.z[0][L][k_0], graph.theta[L - 3]), expected)


def test_brawer_t7_why_the_bias_term_is_zero(net):
    graph, n = net
    L = n.L
    M_k0 = partial(graph.z[0][L][1:], graph.z[0][L - 1][0])
    M_0p = partial(graph.z[0][L - 1][0], graph.z[0][L - 2][1:])
    differ(M_k0, np.zeros_like(M_k0))  # k_0 ≥ 1 does not make M_{k_0,0} zero
    vanishes(M_0p)  # p ≥ 1 makes M_{0,p} zero
    agree(M_k0, n.M[0][L - 1][1:, 0])
    vanishes(n.M[0][L - 2][0, 1:])


def three_layers_back(n, p, q, first_k_0):
    """The right side of (39), line 1, its sum over k_0 starting from first_k_0."""
    L = n.L
    return mean_over_samples(
        n,
        lambda i: sum(
            n.delta[i][L][k_0] * n.M[i][L - 1][k_0, k_1] * n.M[i][L - 2][k_1, p]
            for k_0 in range(first_k_0, n.s[L] + 1)
            for k_1 in range(1, n.s[L - 1] + 1)
        )
        * n.C[L - 3][1, q]
        * n.output[i][L - 3][q],
    )


def test_brawer_39_1_sum_from_node_1(net):
    graph, n = net
    L = n.L
    indices = rows(n.theta[L - 3].shape)
    gradient = np.ravel(partial(graph.J, graph.theta[L - 3]))
    agree(gradient, [three_layers_back(n, p, q, first_k_0=1) for p, q in indices])
    # there is no y_0, so (18) has no k_0 = 0; the term that is printed adds nothing, for (20) sets δ_0 to 0
    assert all(np.isnan(y_i[0]) for y_i in n.y)
    agree(gradient, [three_layers_back(n, p, q, first_k_0=0) for p, q in indices])


def test_brawer_39_2_errors_of_the_layer_before(net):
    graph, n = net
    L = n.L
    expected = np.zeros(graph.theta[L - 3].shape)
    for p, q in rows(n.theta[L - 3].shape):
        expected[p - 1, q] = mean_over_samples(
            n,
            lambda i, p=p, q=q: sum(
                n.delta[i][L - 1][k_1] * n.M[i][L - 2][k_1, p] for k_1 in range(1, n.s[L - 1] + 1)
            )
            * n.C[L - 3][1, q]
            * n.output[i][L - 3][q],
        )
    agree(partial(graph.J, graph.theta[L - 3]), expected)


def test_brawer_40_error_two_layers_before_the_last(net):
    graph, n = net
    L = n.L
    for i in range(n.m):
        delta = [
            sum(n.delta[i][L - 1][k_1] * n.M[i][L - 2][k_1, p] for k_1 in range(1, n.s[L - 1] + 1))
            * (1 - I(p, 0))
            for p in range(n.s[L - 2] + 1)
        ]
        vanishes(delta[0])
        agree(partial(graph.cost[i], graph.z[i][L - 2][1:]), delta[1:])


def sum_starts_at_sample_1(graph, n, l):
    """∂J/∂θ^l = 1/m Σ_i δ^(l+1) C h(z): over the samples 1 to m, not 0 to m."""

    def term(i):
        return np.outer(n.delta[i][l + 1][1:], n.C[l][1] * n.output[i][l])

    agree(partial(graph.J, graph.theta[l]), mean_over_samples(n, term))
    differ(partial(graph.J, graph.theta[l]), from_sample_0(n, term), by=term(0) / n.m)


def test_brawer_41_gradient_two_layers_before_the_last(net):
    graph, n = net
    sum_starts_at_sample_1(graph, n, n.L - 3)


# ------------------------------------------------------------------------------------- the general equations


def test_brawer_42_error_of_the_last_layer_again(net):
    error_has_its_own_target(*net)


def test_brawer_43_error_of_any_layer(net):
    graph, n = net
    for i in range(n.m):
        for l in range(1, n.L):
            theta, Psi, next_delta = n.theta[l], n.Psi[i][l], n.delta[i][l + 1]
            delta = [
                sum(next_delta[k] * theta[k, p] * Psi[p] * (1 - I(p, 0)) for k in range(1, n.s[l + 1] + 1))
                for p in range(n.s[l] + 1)
            ]
            vanishes(delta[0])
            vanishes(next_delta[0])
            agree(partial(graph.cost[i], graph.z[i][l][1:]), delta[1:])


def test_brawer_44_gradient_of_any_layer(net):
    graph, n = net
    for l in range(1, n.L):
        sum_starts_at_sample_1(graph, n, l)


def test_brawer_45_output_of_the_first_layer(net):
    graph, n = net
    for i in range(n.m):
        x = np.append(1.0, n.X[i])
        agree(numbers(graph.output[i][1]) * n.C[1][1], x)
        agree(partial(graph.z[i][2][1], graph.theta[1][0]), x)


def test_brawer_46_bias_gradient_of_any_layer(net):
    graph, n = net
    for l in range(1, n.L):

        def term(i, l=l):
            return n.delta[i][l + 1][1:]

        agree(partial(graph.J, graph.theta[l][:, 0]), mean_over_samples(n, term))
        differ(partial(graph.J, graph.theta[l][:, 0]), from_sample_0(n, term), by=term(0) / n.m)


# ---------------------------------------------------------------------------------------------- vectorisation


def test_brawer_47_sum_as_a_matrix_product(net):
    graph, n = net
    for l in range(1, n.L):
        theta, delta = n.theta[l][1:], n.delta[0][l + 1][1:]  # s_(l+1) × (s_l + 1), and s_(l+1)
        product = theta.T @ delta
        for p in range(1, n.s[l] + 1):
            terms = [n.delta[0][l + 1][k] * n.theta[l][k, p] for k in range(1, n.s[l + 1] + 1)]
            agree(partial(graph.cost[0], graph.output[0][l][p]), sum(terms), product[p])
            for stop in range(1, len(terms)):  # printed, the sum has no end: none but s_(l+1) will do
                differ(product[p], sum(terms[:stop]), by=-sum(terms[stop:]))
        assert len(n.theta[l]) == n.s[l + 1] + 1


def test_brawer_48_column_0_is_dropped(net):
    graph, n = net
    for l in range(1, n.L):
        theta, delta = n.theta[l][1:], n.delta[0][l + 1][1:]
        Psi = n.Psi[0][l][1:]
        cannot_be_computed(lambda theta=theta, delta=delta, Psi=Psi: (theta.T @ delta) * Psi)
        agree(partial(graph.cost[0], graph.z[0][l][1:]), (theta[:, 1:].T @ delta) * Psi)


# ---------------------------------------------------------------------------------------- what the prose says


def test_brawer_t8_C_of_the_first_layer(net):
    graph, n = net
    agree(n.C[1], np.ones_like(n.theta[1]))
    by_output = partial(graph.z[0][2][1:], graph.output[0][1])
    agree(by_output, n.theta[1][1:])  # C stands between, and is 1


def test_brawer_t9_values_of_layer_2_are_linear_in_x(net):
    graph, n = net
    x, step = n.z[0][1], np.append(0.0, np.arange(1.0, n.s[1] + 1))
    values_at = [next_values(n.theta[1], n.C[1], x + t * step) for t in (0.0, 1.0, 2.0)]
    agree(values_at[2] - values_at[1], values_at[1] - values_at[0], n.theta[1] @ step)
    agree(partial(graph.z[0][2], graph.z[0][1]), n.theta[1])
    h_0, h_1, h_2 = (n.h[2](z) for z in values_at)  # which h of layer 2 is not
    differ(h_2 - h_1, h_1 - h_0, by=2 * h_1 - h_0 - h_2)


def test_brawer_t10_values_do_not_depend_on_later_weights(net):
    graph, n = net
    for l in range(2, n.L + 1):
        vanishes(partial(graph.z[0][l - 1], graph.theta[l - 1]))
        by_weight = partial(graph.z[0][l], graph.theta[l - 1])
        differ(by_weight, np.zeros_like(by_weight))


def test_brawer_t11_a_value_depends_on_all_weights_before_it(net):
    graph, n = net
    for layer in range(3, n.L + 1):
        for l in range(1, layer - 1):  # further back than the θ that leads there
            by_weight = partial(graph.z[0][layer][1:], graph.theta[l])
            differ(by_weight, np.zeros_like(by_weight))
            agree(by_weight, by_theta(n, 0, l, lambda z, output, layer=layer: z[layer])[1:])
        for l in range(layer, n.L):  # which (17) needs: not on those after it
            vanishes(partial(graph.z[0][layer], graph.theta[l]))


def test_brawer_t12_derivative_of_an_output_times_its_weight(net):
    graph, n = net
    for l in range(3, n.L + 1):
        for j in range(1, n.s[l] + 1):
            for p in range(1, n.s[l - 1] + 1):
                output, z = graph.output[0][l - 1][p], graph.z[0][l - 1][p]
                by_bias = partial(graph.z[0][l][j], graph.theta[l - 2][p - 1, 0])
                agree(by_bias, n.theta[l - 1][j, p] * partial(output, z))
                agree(by_bias, partial(graph.z[0][l][j], output) * partial(output, z))


def test_brawer_t13_M_00_is_not_used(net):
    graph, n = net
    M = [{l: M_i[l].copy() for l in M_i} for M_i in n.M]
    for M_i in M:
        for l in M_i:
            M_i[l][0, 0] = np.nan
    without = SimpleNamespace(**{**vars(n), "M": M})
    L = n.L
    for p, q in rows(n.theta[L - 3].shape):
        agree(three_layers_back(without, p, q, first_k_0=1), three_layers_back(n, p, q, first_k_0=1))
    for k_0 in range(1, n.s[L] + 1):
        found = two_layers_before(n, k_0, lambda k, p: without.M[0][L - 1][k, p])
        agree(partial(graph.z[0][L][k_0], graph.theta[L - 2]), found)


def test_brawer_t15_dimension_of_the_errors(net):
    graph, n = net
    for l in range(1, n.L):
        theta, delta, Psi = n.theta[l][1:, 1:], n.delta[0][l + 1][1:], n.Psi[0][l][1:]
        error = (theta.T @ delta) * Psi
        assert error.shape == (n.s[l],)
        assert n.theta[l].shape[1] == n.s[l] + 1
        agree(partial(graph.cost[0], graph.z[0][l][1:]), error)


def test_brawer_t16_dimension_of_Psi(net):
    graph, n = net
    for l in range(1, n.L):
        theta, delta, Psi = n.theta[l][1:, 1:], n.delta[0][l + 1][1:], n.Psi[0][l][1:]
        assert Psi.shape == (n.s[l],)
        agree(np.diag(partial(graph.output[0][l][1:], graph.z[0][l][1:])), Psi)
        agree(partial(graph.cost[0], graph.z[0][l][1:]), (theta.T @ delta) * Psi)
        for p in range(2, n.s[l]):  # p is any of 1 to s_l; with fewer entries it does not conform
            cannot_be_computed(lambda p=p, Psi=Psi, theta=theta, delta=delta: (theta.T @ delta) * Psi[:p])


def test_brawer_t17_bias_weights_enter_through_h_and_Psi_alone(net):
    graph, n = net
    theta = {l: n.theta[l].copy() for l in n.theta}
    for l in theta:
        theta[l][:, 0] = np.nan  # h and Psi stay those of the forward pass
    for i in range(n.m):
        delta = n.delta[i][n.L][1:]
        for l in range(n.L - 1, 0, -1):
            agree(partial(graph.cost[i], graph.theta[l]), np.outer(delta, n.C[l][1] * n.output[i][l]))
            delta = np.array([(delta @ theta[l][1:, p]) * n.Psi[i][l][p] for p in range(1, n.s[l] + 1)])

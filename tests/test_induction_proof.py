"""Neural Network Backward Propagation: the proof by induction over 3×1, 3×2, 3×2×1 and 3×2×2, on the graph.

The network has no bias, the sigmoid everywhere, and θ^(l) from layer l to layer l + 1. Indices count from 1.
Each test is named after its id in docs/ledger.md.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from networks import (
    SIGMOID,
    FromOne,
    agree,
    cross_entropy,
    derivative,
    differ,
    partial,
    values,
    vanishes,
    weights,
    without_bias,
)

SEEDS = range(5)


class Numbers:
    """A forward pass on floats, and the factors of the chain rule on it, each by the complex step."""

    def __init__(self, theta, x, y):
        z, a = without_bias(theta, x, SIGMOID)
        self.L = len(theta) + 1
        self.arrays = SimpleNamespace(theta=theta, z=z, a=a, y=y)
        self.theta = {l: FromOne(theta[l]) for l in theta}
        self.z = {l: FromOne(z[l]) for l in z}
        self.a = {l: FromOne(a[l]) for l in a}
        self.y = FromOne(y)

    def g(self, l, i):
        return SIGMOID(self.z[l][i])

    def slope(self, l, i):
        """g(z_i^(l)) (1 - g(z_i^(l))), as the document writes g'."""
        return self.g(l, i) * (1 - self.g(l, i))

    def dJ_da(self, k):
        a, y = self.arrays.a[self.L], self.arrays.y
        return FromOne(derivative(lambda a: cross_entropy(a, y), a))[k]

    def da_dz(self, l, i):
        return derivative(SIGMOID, self.z[l][i])

    def dz_da(self, l, i, j):
        """∂z_i^(l)/∂a_j^(l-1)."""
        theta, a = self.arrays.theta[l - 1], self.arrays.a[l - 1]
        return FromOne(derivative(lambda a: theta @ a, a))[i, j]

    def dz_dtheta(self, l, i, p, q):
        """∂z_i^(l)/∂θ_pq^(l-1)."""
        theta, a = self.arrays.theta[l - 1], self.arrays.a[l - 1]
        return FromOne(derivative(lambda theta: theta @ a, theta))[i, p, q]

    def output_by_theta(self, of, k, p, q):
        """∂z_k^(L)/∂θ_pq^(1) or ∂a_k^(L)/∂θ_pq^(1), of being "z" or "a", through the whole network."""
        theta, x = self.arrays.theta, self.arrays.a[1]

        def output(theta_1):
            z, a = without_bias({**theta, 1: theta_1}, x, SIGMOID)
            return z[self.L] if of == "z" else a[self.L]

        return FromOne(derivative(output, theta[1]))[k, p, q]


def network(sizes, seed):
    """The same network twice: as a graph with one sample's cost J, and as numbers."""
    random = np.random.default_rng(seed)
    theta = weights(random, {l: (sizes[l], sizes[l - 1]) for l in range(1, len(sizes))})
    x, y = random.normal(size=sizes[0]), random.uniform(size=sizes[-1])
    on_values = {l: values(theta[l]) for l in theta}
    z, a = without_bias(on_values, values(x), SIGMOID)
    graph = SimpleNamespace(
        theta={l: FromOne(on_values[l]) for l in on_values},
        z={l: FromOne(z[l]) for l in z},
        a={l: FromOne(a[l]) for l in a},
        J=cross_entropy(a[len(sizes)], y),
    )
    return graph, Numbers(theta, x, y)


@pytest.fixture(params=SEEDS)
def net_3x1(request):
    return network([3, 1], request.param)


@pytest.fixture(params=SEEDS)
def net_3x2(request):
    return network([3, 2], request.param)


@pytest.fixture(params=SEEDS)
def net_3x2x1(request):
    return network([3, 2, 1], request.param)


@pytest.fixture(params=SEEDS)
def net_3x2x2(request):
    return network([3, 2, 2], request.param)


# ------------------------------------------------------------------------------------------------ the cost


def test_induction_03_cost_is_summed_over_the_outputs(net_3x1, net_3x2):
    graph, n = net_3x1
    agree(graph.J.data, -n.y[1] * np.log(n.a[2][1]) - (1 - n.y[1]) * np.log(1 - n.a[2][1]))

    graph, n = net_3x2
    of_output = [-n.y[k] * np.log(n.a[2][k]) - (1 - n.y[k]) * np.log(1 - n.a[2][k]) for k in n.y.indices]
    agree(graph.J.data, sum(of_output))
    for one in of_output:  # as printed, without Σ_k, it is the cost of one output
        differ(graph.J.data, one)


def test_induction_66_weight_from_j_to_i(net_3x2x2):
    graph, n = net_3x2x2
    for l in n.theta:
        agree(partial(graph.z[l + 1].array, graph.a[l].array), n.arrays.theta[l])
        for i in n.z[l + 1].indices:
            for j in n.a[l].indices:
                by_weight = partial(graph.z[l + 1].array, graph.theta[l][i, j])
                agree(by_weight, n.a[l][j] * np.eye(2)[i - 1])  # the j-th output, into the i-th alone


# -------------------------------------------------------------------------------------------------- 3×1


def test_induction_06_chain_rule(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.J, graph.theta[1][1, 1]), n.dJ_da(1) * n.da_dz(2, 1) * n.dz_dtheta(2, 1, 1, 1))


def test_induction_07_cost_written_out(net_3x1):
    graph, n = net_3x1
    y = n.y[1]
    written_out = derivative(lambda a: -y * np.log(a) - (1 - y) * np.log(1 - a), n.a[2][1])
    agree(partial(graph.J, graph.a[2][1]), written_out)


def test_induction_08_cost_by_output(net_3x1):
    graph, n = net_3x1
    y, a = n.y[1], n.a[2][1]
    agree(partial(graph.J, graph.a[2][1]), -y / a + (1 - y) / (1 - a))

    y, a = sympy.symbols("y a")
    J = -y * sympy.log(a) - (1 - y) * sympy.log(1 - a)
    assert sympy.simplify(J.diff(a) - (-y / a + (1 - y) / (1 - a))) == 0


def test_induction_09_slope_of_the_sigmoid(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.a[2][1], graph.z[2][1]), n.da_dz(2, 1), n.slope(2, 1))

    z = sympy.symbols("z")
    g = 1 / (1 + sympy.exp(-z))
    assert sympy.simplify(g.diff(z) - g * (1 - g)) == 0
    assert g.subs(z, 0) == sympy.Rational(1, 2)  # of all that have this slope it is the sigmoid


def test_induction_10_weighted_input_by_weight(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.z[2][1], graph.theta[1][1, 1]), n.a[1][1])


def test_induction_11_product_of_the_three_factors(net_3x1):
    graph, n = net_3x1
    y, a = n.y[1], n.a[2][1]
    agree(partial(graph.J, graph.theta[1][1, 1]), (-y / a + (1 - y) / (1 - a)) * n.slope(2, 1) * n.a[1][1])


def test_induction_12_over_a_common_denominator(net_3x1):
    graph, n = net_3x1
    y, a, a_1 = n.y[1], n.a[2][1], n.a[1][1]
    fraction = (-y * (1 - a) + (1 - y) * a) / (a * (1 - a))
    agree(partial(graph.J, graph.theta[1][1, 1]), fraction * a * (1 - a) * a_1)


def test_induction_13_first_weight(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.J, graph.theta[1][1, 1]), (n.a[2][1] - n.y[1]) * n.a[1][1])

    y, a, a_1 = sympy.symbols("y a a_1")
    fraction = (-y * (1 - a) + (1 - y) * a) / (a * (1 - a))
    assert sympy.simplify(fraction * a * (1 - a) * a_1 - (a - y) * a_1) == 0


def test_induction_14_second_weight(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.J, graph.theta[1][1, 2]), (n.a[2][1] - n.y[1]) * n.a[1][2])


def test_induction_15_third_weight(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.J, graph.theta[1][1, 3]), (n.a[2][1] - n.y[1]) * n.a[1][3])


def test_induction_16_output_error(net_3x1):
    graph, n = net_3x1
    agree(partial(graph.J, graph.z[2][1]), n.a[2][1] - n.y[1])


def test_induction_17_gradient_is_error_times_activation(net_3x1):
    graph, n = net_3x1
    for j in n.a[1].indices:
        gradient = partial(graph.J, graph.theta[1][1, j])
        delta = partial(graph.J, graph.z[2][1])
        agree(gradient, (n.a[2][1] - n.y[1]) * n.a[1][j], delta * n.a[1][j])


# -------------------------------------------------------------------------------------------------- 3×2


def outputs_have_their_own_targets(graph, n, l, i, j):
    """∂J/∂θ_ij^(l) of the last layer is (a_i - y_i) a_j, y_i being output i's own target and no other's."""
    gradient = partial(graph.J, graph.theta[l][i, j])
    agree(gradient, (n.a[l + 1][i] - n.y[i]) * n.a[l][j])
    other = 3 - i
    gap = n.y[i] - n.y[other]
    differ(gradient, (n.a[l + 1][i] - n.y[other]) * n.a[l][j], by=gap * n.a[l][j])


def test_induction_19_output_errors(net_3x2):
    graph, n = net_3x2
    delta = partial(graph.J, graph.z[2].array)
    agree(delta, [n.a[2][1] - n.y[1], n.a[2][2] - n.y[2]])
    for one_target in n.y.array:
        printed = [n.a[2][1] - one_target, n.a[2][2] - one_target]
        differ(delta, printed, by=n.y.array - one_target)


def test_induction_20_chain_rule(net_3x2):
    graph, n = net_3x2
    agree(partial(graph.J, graph.theta[1][1, 1]), n.dJ_da(1) * n.da_dz(2, 1) * n.dz_dtheta(2, 1, 1, 1))


def test_induction_21_weight_1_1(net_3x2):
    outputs_have_their_own_targets(*net_3x2, l=1, i=1, j=1)


def test_induction_22_weight_1_2(net_3x2):
    outputs_have_their_own_targets(*net_3x2, l=1, i=1, j=2)


def test_induction_23_weight_1_3(net_3x2):
    outputs_have_their_own_targets(*net_3x2, l=1, i=1, j=3)


def test_induction_24_weight_2_1(net_3x2):
    outputs_have_their_own_targets(*net_3x2, l=1, i=2, j=1)


def test_induction_25_weight_2_2(net_3x2):
    outputs_have_their_own_targets(*net_3x2, l=1, i=2, j=2)


def test_induction_26_weight_2_3(net_3x2):
    outputs_have_their_own_targets(*net_3x2, l=1, i=2, j=3)


def test_induction_27_gradient_is_error_times_activation(net_3x2):
    graph, n = net_3x2
    a, y = n.arrays.a, n.arrays.y
    gradient = partial(graph.J, graph.theta[1].array)
    delta = partial(graph.J, graph.z[2].array)
    agree(gradient, np.outer(a[2] - y, a[1]), np.outer(delta, a[1]))
    for one_target in y:
        differ(gradient, np.outer(a[2] - one_target, a[1]), by=np.outer(y - one_target, a[1]))


# ------------------------------------------------------------------------------------------------ 3×2×1


def test_induction_28_output_error(net_3x2x1):
    graph, n = net_3x2x1
    agree(partial(graph.J, graph.z[3][1]), n.a[3][1] - n.y[1])


def test_induction_29_chain_rule_through_the_output(net_3x2x1):
    graph, n = net_3x2x1
    agree(partial(graph.J, graph.theta[1][1, 1]), n.dJ_da(1) * n.output_by_theta("a", 1, 1, 1))


def test_induction_30_chain_rule_through_both_hidden_units(net_3x2x1):
    graph, n = net_3x2x1

    def through(i):
        output_by_hidden = derivative(lambda a: SIGMOID(n.arrays.theta[2] @ a), n.arrays.a[2])[0, i - 1]
        return output_by_hidden * n.da_dz(2, i) * n.dz_dtheta(2, i, 1, 1)

    agree(partial(graph.J, graph.theta[1][1, 1]), n.dJ_da(1) * sum(map(through, n.a[2].indices)))


def test_induction_31_other_unit_does_not_depend_on_the_weight(net_3x2x1):
    graph, n = net_3x2x1
    by_weight = partial(graph.z[2].array, graph.theta[1][1, 1])
    agree(by_weight[0], n.a[1][1])
    vanishes(by_weight[1])
    agree(by_weight, [n.dz_dtheta(2, i, 1, 1) for i in n.z[2].indices])


def test_induction_32_chain_rule_through_one_hidden_unit(net_3x2x1):
    graph, n = net_3x2x1
    product = n.dJ_da(1) * n.da_dz(3, 1) * n.dz_da(3, 1, 1) * n.da_dz(2, 1) * n.dz_dtheta(2, 1, 1, 1)
    agree(partial(graph.J, graph.theta[1][1, 1]), product)


def test_induction_33_output_by_hidden_activation(net_3x2x1):
    graph, n = net_3x2x1
    agree(partial(graph.a[3][1], graph.a[2][1]), n.da_dz(3, 1) * n.dz_da(3, 1, 1))


def hidden_weight(graph, n, i, j):
    """∂J/∂θ_ij^(1) = (a_1^(3) - y) θ_1i^(2) g(z_i^(2)) (1 - g(z_i^(2))) a_j^(1)."""
    formula = (n.a[3][1] - n.y[1]) * n.theta[2][1, i] * n.slope(2, i) * n.a[1][j]
    agree(partial(graph.J, graph.theta[1][i, j]), formula)


def test_induction_34_weight_1_1(net_3x2x1):
    hidden_weight(*net_3x2x1, i=1, j=1)


def test_induction_35_weight_1_2(net_3x2x1):
    hidden_weight(*net_3x2x1, i=1, j=2)


def test_induction_36_weight_1_3(net_3x2x1):
    hidden_weight(*net_3x2x1, i=1, j=3)


def test_induction_37_weight_2_1(net_3x2x1):
    hidden_weight(*net_3x2x1, i=2, j=1)


def test_induction_38_weight_2_2(net_3x2x1):
    hidden_weight(*net_3x2x1, i=2, j=2)


def test_induction_39_weight_2_3(net_3x2x1):
    hidden_weight(*net_3x2x1, i=2, j=3)


def hidden_error_of_output(n, k, l, i):
    """The right side of display 31 for output k; printed, it has output 1 alone."""
    return (n.a[l + 2][k] - n.y[k]) * n.theta[l + 1][k, i] * n.slope(l + 1, i)


def hidden_errors(n, k, l=1):
    return np.array([hidden_error_of_output(n, k, l, i) for i in n.a[l + 1].indices])


def test_induction_40_every_weight_of_the_first_layer(net_3x2x1, net_3x2x2):
    graph, n = net_3x2x1
    agree(partial(graph.J, graph.theta[1].array), np.outer(hidden_errors(n, 1), n.arrays.a[1]))

    graph, n = net_3x2x2
    gradient = partial(graph.J, graph.theta[1].array)
    of_output_1, of_output_2 = (np.outer(hidden_errors(n, k), n.arrays.a[1]) for k in n.y.indices)
    differ(gradient, of_output_1, by=-of_output_2)


def test_induction_41_hidden_error_in_general_form(net_3x2x1, net_3x2x2):
    graph, n = net_3x2x1
    agree(partial(graph.J, graph.z[2].array), hidden_errors(n, 1))

    graph, n = net_3x2x2  # with two outputs, the first of them is not all
    differ(partial(graph.J, graph.z[2].array), hidden_errors(n, 1), by=-hidden_errors(n, 2))
    # nor is layer l + 2 the last in a deeper network: 3×2×1×1
    graph, n = network([3, 2, 1, 1], seed=0)
    delta = partial(graph.J, graph.z[2].array)
    differ(delta, hidden_errors(n, 1))
    delta_3 = (n.a[4][1] - n.y[1]) * n.theta[3][1, 1] * n.slope(3, 1)
    agree(delta, [delta_3 * n.theta[2][1, i] * n.slope(2, i) for i in n.z[2].indices])


def test_induction_42_hidden_error(net_3x2x1):
    graph, n = net_3x2x1
    for i in n.z[2].indices:
        formula = (n.a[3][1] - n.y[1]) * n.theta[2][1, i] * n.slope(2, i)
        agree(partial(graph.J, graph.z[2][i]), formula)


def test_induction_44_hidden_error_as_elementwise_product(net_3x2x1):
    graph, n = net_3x2x1
    column = np.array([n.theta[2][1, 1], n.theta[2][1, 2]])
    slopes = np.array([n.slope(2, 1), n.slope(2, 2)])
    agree(partial(graph.J, graph.z[2].array), (n.a[3][1] - n.y[1]) * column * slopes)


def test_induction_46_hidden_error_multiplied_out(net_3x2x1):
    graph, n = net_3x2x1
    products = np.array([n.theta[2][1, 1] * n.slope(2, 1), n.theta[2][1, 2] * n.slope(2, 2)])
    agree(partial(graph.J, graph.z[2].array), (n.a[3][1] - n.y[1]) * products)


def test_induction_47_output_form_holds_for_the_last_layer_alone(net_3x2x1):
    graph, n = net_3x2x1
    a, y = n.arrays.a, n.arrays.y
    for l in n.theta:
        gradient = partial(graph.J, graph.theta[l].array)
        agree(gradient, np.outer(partial(graph.J, graph.z[l + 1].array), a[l]))
        printed = np.outer(a[l + 1] - y, a[l])
        if l + 1 == n.L:
            agree(gradient, printed)
        else:
            differ(gradient, printed)


# ------------------------------------------------------------------------------------------------ 3×2×2


def test_induction_48_output_errors(net_3x2x2):
    graph, n = net_3x2x2
    delta = partial(graph.J, graph.z[3].array)
    agree(delta, [n.a[3][1] - n.y[1], n.a[3][2] - n.y[2]])
    for one_target in n.y.array:
        printed = [n.a[3][1] - one_target, n.a[3][2] - one_target]
        differ(delta, printed, by=n.y.array - one_target)


def test_induction_49_hidden_errors(net_3x2x2):
    graph, n = net_3x2x2
    theta, a, y = n.arrays.theta, n.arrays.a, n.arrays.y
    slopes = np.array([n.slope(2, 1), n.slope(2, 2)])
    agree(partial(graph.J, graph.z[2].array), theta[2].T @ (a[3] - y) * slopes)


def test_induction_51_chain_rule_through_the_output(net_3x2x2):
    graph, n = net_3x2x2
    output_by_weight = derivative(lambda theta: SIGMOID(theta @ n.arrays.a[2]), n.arrays.theta[2])[0, 0, 0]
    agree(partial(graph.J, graph.theta[2][1, 1]), n.dJ_da(1) * output_by_weight)


def test_induction_52_chain_rule_through_the_weighted_input(net_3x2x2):
    graph, n = net_3x2x2
    agree(partial(graph.J, graph.theta[2][1, 1]), n.dJ_da(1) * n.da_dz(3, 1) * n.dz_dtheta(3, 1, 1, 1))


def test_induction_53_weight_1_1(net_3x2x2):
    outputs_have_their_own_targets(*net_3x2x2, l=2, i=1, j=1)


def output_weight(graph, n, i, j):
    """∂J/∂θ_ij^(2) = δ_i^(3) a_j^(2), where δ^(3) = a^(3) - y."""
    agree(partial(graph.J, graph.theta[2][i, j]), (n.a[3][i] - n.y[i]) * n.a[2][j])
    agree(partial(graph.J, graph.theta[2][i, j]), partial(graph.J, graph.z[3][i]) * n.a[2][j])


def test_induction_54_weight_1_1(net_3x2x2):
    output_weight(*net_3x2x2, i=1, j=1)


def test_induction_55_weight_1_2(net_3x2x2):
    output_weight(*net_3x2x2, i=1, j=2)


def test_induction_56_weight_2_1(net_3x2x2):
    output_weight(*net_3x2x2, i=2, j=1)


def test_induction_57_weight_2_2(net_3x2x2):
    output_weight(*net_3x2x2, i=2, j=2)


def test_induction_58_layer_in_brackets(net_3x2x2):
    graph, n = net_3x2x2
    theta, a, y = n.arrays.theta, n.arrays.a, n.arrays.y
    formula = np.outer(a[3] - y, a[2])
    gradient = partial(graph.J, graph.theta[2].array)
    agree(gradient, formula)
    # ∂J/∂(θ²), what the superscript says without its brackets
    sign = np.sign(theta[2])
    by_square = derivative(lambda t: cross_entropy(SIGMOID(sign * np.sqrt(t) @ a[2]), y), theta[2] ** 2)
    agree(by_square * 2 * theta[2], gradient)
    differ(by_square, formula)


def test_induction_59_chain_rule_through_both_outputs(net_3x2x2):
    graph, n = net_3x2x2
    total = sum(n.dJ_da(k) * n.output_by_theta("a", k, 1, 1) for k in n.y.indices)
    agree(partial(graph.J, graph.theta[1][1, 1]), total)


def test_induction_60_chain_rule_through_both_weighted_inputs(net_3x2x2):
    graph, n = net_3x2x2
    total = sum(n.dJ_da(k) * n.da_dz(3, k) * n.output_by_theta("z", k, 1, 1) for k in n.y.indices)
    agree(partial(graph.J, graph.theta[1][1, 1]), total)


def test_induction_63_the_derivation_completed(net_3x2x2):
    graph, n = net_3x2x2
    for i in n.z[2].indices:
        delta = sum((n.a[3][k] - n.y[k]) * n.theta[2][k, i] for k in n.y.indices) * n.slope(2, i)
        agree(delta, partial(graph.J, graph.z[2][i]))
        for j in n.a[1].indices:
            agree(partial(graph.J, graph.theta[1][i, j]), delta * n.a[1][j])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [[3, 1], [3, 2], [3, 2, 1], [3, 2, 2], [4, 3, 5, 2]])
@pytest.mark.parametrize(("m", "lam"), [(1, 0.0), (4, 0.7)])
def test_induction_64_gradient_of_the_whole_cost(sizes, seed, m, lam):
    random = np.random.default_rng(seed)
    L = len(sizes)
    theta = weights(random, {l: (sizes[l], sizes[l - 1]) for l in range(1, L)})
    X, Y = random.normal(size=(m, sizes[0])), random.uniform(size=(m, sizes[-1]))

    on_values = {l: values(theta[l]) for l in theta}
    outputs = [without_bias(on_values, values(x), SIGMOID)[1][L] for x in X]
    fit = sum(cross_entropy(a, y) for a, y in zip(outputs, Y, strict=True)) / m
    J = fit + lam / (2 * m) * sum((theta_l**2).sum() for theta_l in on_values.values())

    total = {l: np.zeros_like(theta[l]) for l in theta}
    for x, y in zip(X, Y, strict=True):
        z, a = without_bias(theta, x, SIGMOID)
        delta = a[L] - y
        for l in reversed(range(1, L)):
            total[l] += np.outer(delta, a[l])
            if l > 1:
                delta = theta[l].T @ delta * SIGMOID(z[l]) * (1 - SIGMOID(z[l]))
    for l in theta:
        agree(partial(J, on_values[l]), total[l] / m + lam / m * theta[l])

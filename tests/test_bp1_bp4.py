"""How the Backpropagation algorithm works: BP1 to BP4 and the five steps, on the graph.

Any depth, any activation by layer, any cost that is a function of the outputs; w^l leads from layer l - 1 to
layer l, and b^l is a vector. Each test is named after its id in docs/ledger.md.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from networks import (
    SIGMOID,
    SINE,
    SOFTPLUS,
    TANH,
    agree,
    cost_after,
    cross_entropy,
    derivative,
    differ,
    difference,
    error_by_definition,
    hidden,
    log_sum_exp,
    numbers,
    partial,
    quadratic,
    values,
    vanishes,
    weights,
    with_bias_vector,
)

#: the cost and ∇_a C, written out
COSTS = {
    "quadratic": (quadratic, lambda a, y: a - y),
    "cross-entropy": (cross_entropy, lambda a, y: (a - y) / (a * (1 - a))),
    "log-sum-exp": (log_sum_exp, lambda a, y: np.exp(a) / np.sum(np.exp(a)) - y),
}

#: sizes of the layers 1 to L, activations of the layers 2 to L, the cost
CASES = [
    ([3, 2], [SIGMOID], "cross-entropy"),
    ([2, 3, 2], [TANH, SIGMOID], "cross-entropy"),
    ([3, 2, 4], [SIGMOID, SIGMOID], "quadratic"),
    ([2, 4, 3, 2], [SOFTPLUS, TANH, SINE], "log-sum-exp"),
    ([4, 2, 3, 5, 3], [SINE, SIGMOID, TANH, SOFTPLUS], "quadratic"),
]


def network(case, seed, n_samples=1):
    """Samples through one network, as a graph and as numbers, with δ of each layer by BP1 and BP2."""
    sizes, activations, cost_name = case
    cost, nabla = COSTS[cost_name]
    random = np.random.default_rng(seed)
    L = len(sizes)
    sigma = dict(zip(range(2, L + 1), activations, strict=True))
    w = weights(random, {l: (sizes[l - 1], sizes[l - 2]) for l in sigma})
    b = weights(random, {l: (sizes[l - 1],) for l in sigma})
    X = random.normal(size=(n_samples, sizes[0]))
    Y = random.uniform(size=(n_samples, sizes[-1]))

    W, B = {l: values(w[l]) for l in w}, {l: values(b[l]) for l in b}
    z, a = zip(*[with_bias_vector(W, B, values(x), sigma) for x in X], strict=True)
    C_x = [cost(a_x[L], y) for a_x, y in zip(a, Y, strict=True)]
    graph = SimpleNamespace(w=W, b=B, z=z, a=a, C_x=C_x, C=sum(C_x) / n_samples)

    z, a = zip(*[with_bias_vector(w, b, x, sigma) for x in X], strict=True)
    delta = []
    for z_x, a_x, y in zip(z, a, Y, strict=True):
        delta_x = {L: nabla(a_x[L], y) * sigma[L].slope(z_x[L])}
        for l in reversed(range(2, L)):
            delta_x[l] = w[l + 1].T @ delta_x[l + 1] * sigma[l].slope(z_x[l])
        delta.append(delta_x)
    number = SimpleNamespace(
        L=L, sizes=sizes, sigma=sigma, w=w, b=b, z=z, a=a, X=X, Y=Y, cost=cost, nabla=nabla, delta=delta
    )
    return graph, number


def one_sample(graph, number):
    """The network's first sample alone, so that C is C_x."""
    graph, n = SimpleNamespace(**vars(graph)), SimpleNamespace(**vars(number))
    graph.z, graph.a, graph.C = graph.z[0], graph.a[0], graph.C_x[0]
    n.z, n.a, n.x, n.y, n.delta = n.z[0], n.a[0], n.X[0], n.Y[0], n.delta[0]
    return graph, n


def described(case):
    sizes, activations, cost = case
    return f"{'-'.join(map(str, sizes))} {' '.join(sigma.name for sigma in activations)} {cost}"


@pytest.fixture(params=CASES, ids=described)
def net(request):
    return one_sample(*network(request.param, seed=1))


@pytest.fixture(params=CASES[1:], ids=described)
def deep_net(request):
    return one_sample(*network(request.param, seed=2))


def z_of(n, l):
    """z^l as a function of a^(l-1), of w^l and of b^l."""
    return lambda a, w=n.w[l], b=n.b[l]: w @ a + b


# --------------------------------------------------------------------------------------------- notation


def shape_is_n_by_1(vector, n, l):
    """A vector of layer l has a row for each row of w^l, n of them, and not one for each of its m columns."""
    rows, columns = n.w[l].shape
    assert np.shape(vector) == (rows,)
    assert np.shape(vector) != (columns,)


def test_bp_04_weighted_input_is_n_by_1(net):
    graph, n = net
    for l in n.sigma:
        shape_is_n_by_1(graph.z[l], n, l)
        agree(numbers(graph.z[l]), z_of(n, l)(n.a[l - 1]))


def test_bp_05_activation_is_n_by_1(net):
    graph, n = net
    for l in n.sigma:
        shape_is_n_by_1(graph.a[l], n, l)
        agree(numbers(graph.a[l]), n.sigma[l](z_of(n, l)(n.a[l - 1])))


def test_bp_06_error_is_n_by_1(net):
    graph, n = net
    for l in n.sigma:
        delta = partial(graph.C, graph.z[l])
        shape_is_n_by_1(delta, n, l)
        agree(delta, n.delta[l])


# -------------------------------------------------------------------------------------------------- BP1


def test_bp_11_output_error_by_entry(net):
    graph, n = net
    sigma, z, a = n.sigma[n.L], n.z[n.L], n.a[n.L]
    delta = partial(graph.C, graph.z[n.L])
    dC_da = derivative(lambda a: n.cost(a, n.y), a)
    for j in range(n.sizes[-1]):
        agree(delta[j], dC_da[j] * derivative(sigma, z[j]), dC_da[j] * sigma.slope(z[j]))


def test_bp_12_output_error_as_vector(net):
    graph, n = net
    slope = n.sigma[n.L].slope(n.z[n.L])
    delta = partial(graph.C, graph.z[n.L])
    agree(delta, partial(graph.C, graph.a[n.L]) * slope, n.nabla(n.a[n.L], n.y) * slope)


# -------------------------------------------------------------------------------------------------- BP2


def test_bp_13_cause_and_effect(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        vanishes(partial(graph.z[l], graph.z[l + 1]))
        effect = partial(graph.z[l + 1], graph.z[l])
        assert effect.all()
        agree(effect, n.w[l + 1] * n.sigma[l].slope(n.z[l]))


def test_bp_14_chain_rule_over_the_next_layer(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        delta_next = error_by_definition(n, l + 1)
        dz_dz = derivative(lambda z, l=l: z_of(n, l + 1)(n.sigma[l](z)), n.z[l])
        for j in range(n.sizes[l - 1]):
            total = sum(delta_next[k] * dz_dz[k, j] for k in range(n.sizes[l]))
            agree(partial(graph.C, graph.z[l][j]), total)
        agree(partial(graph.C, graph.z[l + 1]), delta_next)


def test_bp_16_next_weighted_input_by_this(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        for k, j in np.ndindex(n.w[l + 1].shape):
            dz_dz = partial(graph.z[l + 1][k], graph.z[l][j])
            agree(dz_dz, n.w[l + 1][k, j] * n.sigma[l].slope(n.z[l][j]))

    w, b, z = sympy.symbols("w b z")
    sigma = sympy.Function("sigma")
    assert sympy.simplify((w * sigma(z) + b).diff(z) - w * sigma(z).diff(z)) == 0


def test_bp_17_hidden_error_by_entry(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        w, slope, delta = n.w[l + 1], n.sigma[l].slope(n.z[l]), n.delta[l + 1]
        for j in range(n.sizes[l - 1]):
            bp2 = sum(w[k, j] * slope[j] * delta[k] for k in range(n.sizes[l]))
            agree(partial(graph.C, graph.z[l][j]), bp2)


def test_bp_18_hidden_error_as_vector(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        w, delta, slope = n.w[l + 1], n.delta[l + 1], n.sigma[l].slope(n.z[l])
        rows, columns = w.shape
        assert (np.shape(delta), np.shape(slope)) == ((rows,), (columns,))
        agree(partial(graph.C, graph.z[l]), w.T @ delta * slope)


# -------------------------------------------------------------------------------------------------- BP3


def test_bp_19_chain_rule_through_the_weighted_input(net):
    graph, n = net
    for l in n.sigma:
        dz_db = derivative(lambda b, l=l: z_of(n, l)(n.a[l - 1], b=b), n.b[l])
        agree(partial(graph.C, graph.b[l]), error_by_definition(n, l) @ dz_db, n.delta[l] @ dz_db)
        agree(dz_db, np.diag(np.diag(dz_db)))  # of the sum over the layer one term is left


def test_bp_20_weighted_input_by_its_bias(net):
    graph, n = net
    for l in n.sigma:
        agree(partial(graph.z[l], graph.b[l]), np.eye(n.sizes[l - 1]))


def test_bp_21_bias_gradient_by_entry(net):
    graph, n = net
    for l in n.sigma:
        for j in range(n.sizes[l - 1]):
            agree(partial(graph.C, graph.b[l][j]), n.delta[l][j])


def test_bp_22_bias_gradient_as_vector(net):
    graph, n = net
    for l in n.sigma:
        agree(partial(graph.C, graph.b[l]), n.delta[l])


def test_bp_23_bias_is_n_by_1(net):
    graph, n = net
    for l in n.sigma:
        shape_is_n_by_1(graph.b[l], n, l)
        gradient = partial(graph.C, graph.b[l])
        shape_is_n_by_1(gradient, n, l)
        agree(gradient, n.delta[l])


# -------------------------------------------------------------------------------------------------- BP4


def test_bp_24_chain_rule_by_weight(net):
    graph, n = net
    for l in n.sigma:
        dz_dw = derivative(lambda w, l=l: z_of(n, l)(n.a[l - 1], w=w), n.w[l])
        dC_da, dC_dz = derivative(cost_after(n, l), n.a[l]), error_by_definition(n, l)
        for j, k in np.ndindex(n.w[l].shape):
            da_dz = derivative(n.sigma[l], n.z[l][j])
            gradient = partial(graph.C, graph.w[l][j, k])
            agree(gradient, dC_da[j] * da_dz * dz_dw[j, j, k], dC_dz[j] * dz_dw[j, j, k])


def test_bp_26_weighted_input_by_weight(net):
    graph, n = net
    for l in n.sigma:
        for j, k in np.ndindex(n.w[l].shape):
            agree(partial(graph.z[l][j], graph.w[l][j, k]), n.a[l - 1][k])


def test_bp_27_weight_gradient_by_entry(net):
    graph, n = net
    for l in n.sigma:
        for j, k in np.ndindex(n.w[l].shape):
            agree(partial(graph.C, graph.w[l][j, k]), n.a[l - 1][k] * n.delta[l][j])


def test_bp_28_weight_gradient_is_input_times_error(net):
    graph, n = net
    for l in n.sigma:
        a_in, delta_out = n.a[l - 1], n.delta[l]
        agree(partial(graph.C, graph.w[l]), np.outer(delta_out, a_in))


FACTORS = (1e-2, 1e-4, 1e-6)


def go_to_0_with_their_factors(gradients):
    """Each gradient is, up to a small part, its factor times one and the same matrix."""
    *larger, smallest = (gradient / factor for gradient, factor in zip(gradients, FACTORS, strict=True))
    assert larger
    for found, factor in zip(larger, FACTORS, strict=False):
        assert difference(found, smallest) < np.sqrt(factor)


def test_bp_29_small_inputs_make_small_gradients(deep_net):
    _, n = deep_net
    by_first, by_second, a_2 = [], [], []
    for factor in FACTORS:
        W, B = {l: values(n.w[l]) for l in n.w}, {l: values(n.b[l]) for l in n.b}
        _, a = with_bias_vector(W, B, values(factor * n.x), n.sigma)
        by_first.append(partial(n.cost(a[n.L], n.y), W[2]))
        agree(by_first[-1], five_steps(n, factor * n.x, n.y)[0][2])
    go_to_0_with_their_factors(by_first)

    # the inputs of a weight are the activations of any layer: hidden ones near 0 too
    if n.sigma[2] in (TANH, SINE):  # whose activations go to 0 with z
        for factor in FACTORS:
            near_0 = SimpleNamespace(**vars(n))
            near_0.w, near_0.b = {**n.w, 2: factor * n.w[2]}, {**n.b, 2: factor * n.b[2]}
            W, B = {l: values(near_0.w[l]) for l in n.w}, {l: values(near_0.b[l]) for l in n.b}
            _, a = with_bias_vector(W, B, values(n.x), n.sigma)
            by_second.append(partial(n.cost(a[n.L], n.y), W[3]))
            a_2.append(numbers(a[2]))
            dw, db = five_steps(near_0, n.x, n.y)
            agree(by_second[-1], dw[3], np.outer(db[3], a_2[-1]))
        go_to_0_with_their_factors(by_second)
        go_to_0_with_their_factors(a_2)


# ---------------------------------------------------------------------------------------- the five steps


def five_steps(n, x, y):
    """∂C_x/∂w^l and ∂C_x/∂b^l by the algorithm as it is summarised."""
    a, z = {1: x}, {}
    for l in range(2, n.L + 1):
        z[l] = n.w[l] @ a[l - 1] + n.b[l]
        a[l] = n.sigma[l](z[l])
    delta = {n.L: n.nabla(a[n.L], y) * n.sigma[n.L].slope(z[n.L])}
    for l in range(n.L - 1, 1, -1):
        delta[l] = n.w[l + 1].T @ delta[l + 1] * n.sigma[l].slope(z[l])
    return {l: np.outer(delta[l], a[l - 1]) for l in delta}, delta


def test_bp_30_five_steps_for_one_sample(net):
    graph, n = net
    dw, db = five_steps(n, n.x, n.y)
    for l in n.sigma:
        agree(partial(graph.C, graph.w[l]), dw[l])
        agree(partial(graph.C, graph.b[l]), db[l])


@pytest.mark.parametrize("case", CASES, ids=described)
def test_bp_31_gradient_of_an_average_is_the_mean_over_samples(case):
    graph, n = network(case, seed=3, n_samples=3)
    steps = [five_steps(n, x, y) for x, y in zip(n.X, n.Y, strict=True)]
    for l in n.sigma:
        dw, db = partial(graph.C, graph.w[l]), partial(graph.C, graph.b[l])
        for dw_x, db_x in steps:
            differ(dw, dw_x[l])
            differ(db, db_x[l])
        agree(dw, sum(dw_x[l] for dw_x, _ in steps) / 3)
        agree(db, sum(db_x[l] for _, db_x in steps) / 3)


# ---------------------------------------------------------------------------------------- what the prose says


def test_bp_32_rate_by_the_weighted_input_and_not_by_the_error(net):
    graph, n = net
    sigma, z = n.sigma[n.L], n.z[n.L]
    delta = partial(graph.C, graph.z[n.L])
    agree(delta, derivative(lambda z: cost_after(n, n.L)(sigma(z)), z))

    # move z_j alone: both C and δ_j change, and C by δ_j is another rate
    def delta_of(z):
        return n.nabla(sigma(z), n.y) * sigma.slope(z)

    agree(delta_of(z), delta)
    of_delta = np.diag(derivative(delta_of, z))
    by_error = delta / of_delta
    differ(by_error, delta)
    agree(by_error * of_delta, delta)


def test_bp_33_rate_by_the_bias_and_not_by_an_error(net):
    graph, n = net
    for l in n.sigma:
        by_bias = partial(graph.C, graph.b[l])
        of_bias = lambda b, l=l: cost_after(n, l)(n.sigma[l](z_of(n, l)(n.a[l - 1], b=b)))  # noqa: E731
        agree(by_bias, derivative(of_bias, n.b[l]))

        # a rate by δ^l is another number: along the gradient C changes by δ·δ, and δ by something else
        def moved(t, l=l):
            return n.b[l] + t * n.delta[l]

        def delta_of(t, l=l, moved=moved):
            return five_steps(SimpleNamespace(**{**vars(n), "b": {**n.b, l: moved(t)}}), n.x, n.y)[1][l]

        here = 0.0
        of_C = derivative(lambda t, of_bias=of_bias, moved=moved: of_bias(moved(t)), here)
        agree(of_C, n.delta[l] @ n.delta[l])
        of_delta = derivative(delta_of, here)
        by_error = of_C / of_delta
        differ(by_error, by_bias)
        agree(by_error * of_delta, np.full_like(of_delta, of_C))


def test_bp_35_error_is_not_affected_by_the_height_of_the_cost(net):
    graph, n = net
    higher = graph.C + 5.0
    for l in n.sigma:
        agree(partial(higher, graph.z[l]), partial(graph.C, graph.z[l]), n.delta[l])
    differ(graph.C.data, higher.data, by=5.0)
    # what changes with z_j^l is C, and δ_j^l is how fast
    for l in n.sigma:
        agree(partial(graph.C, graph.z[l]), error_by_definition(n, l))


def test_bp_37_each_neuron_contributes_its_weighted_error(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        for j in range(n.sizes[l - 1]):
            contributed = [n.w[l + 1][k, j] * n.delta[l + 1][k] for k in range(n.sizes[l])]
            agree(partial(graph.C, graph.a[l][j]), sum(contributed))
            agree(partial(graph.C, graph.z[l][j]), sum(contributed) * n.sigma[l].slope(n.z[l][j]))

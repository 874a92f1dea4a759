"""Back propagation proof (Intuition), slides: δ^L, δ^l, dw and db for any depth, σ and cost, on the graph.

w^l leads from layer l - 1 to layer l, and b^l is a vector. The cost is ½ Σ (y - a)² at first, then any
C(y, a), the cross-entropy above all. Each test is named after its id in docs/ledger.md.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

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
    cannot_be_computed,
    cost_after,
    cross_entropy,
    derivative,
    differ,
    error_by_definition,
    hidden,
    log_sum_exp,
    numbers,
    partial,
    quadratic,
    values,
    weights,
    with_bias_vector,
)

#: n_1 to n_L, and σ of the layers 2 to L
CASES = [
    ([3, 2], [SIGMOID]),
    ([2, 3, 2], [SIGMOID, SIGMOID]),
    ([3, 2, 4], [TANH, SINE]),
    ([2, 4, 3, 2], [SOFTPLUS, TANH, SIGMOID]),
    ([4, 2, 3, 5, 3], [SINE, SIGMOID, TANH, SOFTPLUS]),
]
ANY_COST = [quadratic, cross_entropy, log_sum_exp]


def network(case, cost, seed):
    """One sample through a network, as a graph and as numbers."""
    sizes, activations = case
    random = np.random.default_rng(seed)
    L = len(sizes)
    sigma = dict(zip(range(2, L + 1), activations, strict=True))
    w = weights(random, {l: (sizes[l - 1], sizes[l - 2]) for l in sigma})
    b = weights(random, {l: (sizes[l - 1],) for l in sigma})
    x, y = random.normal(size=sizes[0]), random.uniform(size=sizes[-1])

    W, B = {l: values(w[l]) for l in w}, {l: values(b[l]) for l in b}
    z, a = with_bias_vector(W, B, values(x), sigma)
    graph = SimpleNamespace(w=W, b=B, z=z, a=a, C=cost(a[L], y))
    z, a = with_bias_vector(w, b, x, sigma)
    shape = dict(enumerate(sizes, 1))
    return graph, SimpleNamespace(L=L, n=shape, sigma=sigma, w=w, b=b, z=z, a=a, y=y, cost=cost)


def described(case):
    sizes, activations = case
    return f"{'-'.join(map(str, sizes))} {' '.join(sigma.name for sigma in activations)}"


@pytest.fixture(params=CASES, ids=described)
def net(request):
    """Under the quadratic cost."""
    return network(request.param, quadratic, seed=0)


@pytest.fixture(params=CASES[1:], ids=described)
def deep_net(request):
    """Under the quadratic cost, with at least one hidden layer."""
    return network(request.param, quadratic, seed=1)


@pytest.fixture(params=[case for case in CASES if case[1][-1] is SIGMOID], ids=described)
def sigmoid_net(request):
    """Under the cross-entropy, its last layer a sigmoid."""
    return network(request.param, cross_entropy, seed=2)


@pytest.fixture(params=ANY_COST, ids=lambda cost: cost.__name__)
def net_of_any_cost(request):
    return network(([2, 3, 4], [TANH, SIGMOID]), request.param, seed=3)


def slope(n, l):
    return n.sigma[l].slope(n.z[l])


def output_error(n):
    """δ^L of the quadratic cost."""
    return (n.a[n.L] - n.y) * slope(n, n.L)


def errors(n, delta_L=None):
    """δ of each layer, from δ^L backwards."""
    delta = {n.L: output_error(n) if delta_L is None else delta_L}
    for l in range(n.L - 1, 1, -1):
        delta[l] = n.w[l + 1].T @ delta[l + 1] * slope(n, l)
    return delta


def weighted_input(n, l):
    """z^l as a function of a^(l-1), w^l and b^l."""
    return lambda a, w=n.w[l], b=n.b[l]: w @ a + b


def shape_is_of_layer(shape, n, l):
    """(n_l,): e, as printed, is no layer of the network, and for no other layer does n_e do in its place."""
    assert shape == (n.n[l],)
    others = [n.n[e] for e in n.n if n.n[e] != n.n[l]]
    assert others
    assert all(shape != (n_e,) for n_e in others)


# -------------------------------------------------------------------------------------------- what we know


def test_slides_03_weighted_input_vectorised(net):
    graph, n = net
    for l in n.sigma:
        by_entry = [
            sum(n.w[l][j, i] * n.a[l - 1][i] for i in range(n.n[l - 1])) + n.b[l][j] for j in range(n.n[l])
        ]
        agree(numbers(graph.z[l]), by_entry)


def test_slides_04_shapes(net):
    graph, n = net
    for l in n.sigma:
        assert graph.z[l].shape == graph.b[l].shape == (n.n[l],)
        assert graph.w[l].shape == (n.n[l], n.n[l - 1])
        assert graph.a[l - 1].shape == (n.n[l - 1],)
        shape_is_of_layer(graph.z[l].shape, n, l)
        shape_is_of_layer(graph.a[l - 1].shape, n, l - 1)
        column = n.w[l] @ n.a[l - 1].reshape(n.n[l - 1], 1) + n.b[l].reshape(n.n[l], 1)
        agree(numbers(graph.z[l]).reshape(n.n[l], 1), column)
        for e in n.w:  # w of the shape n_e × n_(e-1) meets a^(l-1) for e = l alone, or where sizes repeat
            if n.n[e - 1] != n.n[l - 1]:
                cannot_be_computed(lambda e=e, l=l: np.ones((n.n[e], n.n[e - 1])) @ n.a[l - 1])


def test_slides_05_activation_vectorised(net):
    graph, n = net
    for l in n.sigma:
        assert graph.a[l].shape == (n.n[l],)
        activation = n.sigma[l](n.z[l])
        agree(numbers(graph.a[l]), activation)
        fraction = activation / n.n[l]  # but the shape below A is no denominator
        differ(numbers(graph.a[l]), fraction, by=(1 - n.n[l]) * fraction)


# ---------------------------------------------------------------------------------------- the output layer


def test_slides_07_weight_of_the_output_layer(net):
    graph, n = net
    L = n.L
    delta = error_by_definition(n, L)
    dz_dw = derivative(lambda w: weighted_input(n, L)(n.a[L - 1], w=w), n.w[L])
    for j, i in np.ndindex(n.w[L].shape):
        agree(partial(graph.C, graph.w[L][j, i]), delta[j] * dz_dw[j, j, i])


def test_slides_08_bias_of_the_output_layer(net):
    graph, n = net
    L = n.L
    delta = error_by_definition(n, L)
    dz_db = derivative(lambda b: weighted_input(n, L)(n.a[L - 1], b=b), n.b[L])
    agree(partial(graph.C, graph.b[L]), delta @ dz_db)
    agree(dz_db, np.diag(np.diag(dz_db)))  # of the sum over the layer one term is left


def test_slides_10_chain_rule_at_the_output(net):
    graph, n = net
    dC_da = derivative(lambda a: quadratic(a, n.y), n.a[n.L])
    for j in range(n.n[n.L]):
        da_dz = derivative(n.sigma[n.L], n.z[n.L][j])
        agree(partial(graph.C, graph.z[n.L][j]), dC_da[j] * da_dz)


def test_slides_11_factors_at_the_output(net):
    graph, n = net
    agree(partial(graph.C, graph.a[n.L]), n.a[n.L] - n.y)
    agree(np.diag(partial(graph.a[n.L], graph.z[n.L])), slope(n, n.L))
    agree(partial(graph.C, graph.z[n.L]), (n.a[n.L] - n.y) * slope(n, n.L))


def test_slides_12_output_error_by_entry(net):
    graph, n = net
    for j in range(n.n[n.L]):
        delta_j = (n.a[n.L][j] - n.y[j]) * n.sigma[n.L].slope(n.z[n.L][j])
        agree(partial(graph.C, graph.z[n.L][j]), delta_j)


# ----------------------------------------------------------------------------------------- the layers before


def test_slides_14_effect_on_all_later_layers(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        for later in n.sigma:
            if later <= l:
                continue
            effect = partial(graph.z[later], graph.z[l])
            assert effect.all()
            expected = np.eye(n.n[l])
            for k in range(l, later):
                expected = n.w[k + 1] @ np.diag(slope(n, k)) @ expected
            agree(effect, expected)


def chain_over_next_layer(n, l, index):
    """Σ_k ∂C/∂z_{index(k)}^(l+1) ∂z_{index(k)}^(l+1)/∂z_j^l for all j."""
    delta = errors(n)[l + 1]
    dz_dz = derivative(lambda z: weighted_input(n, l + 1)(n.sigma[l](z)), n.z[l])
    return sum(delta[index(k)] * dz_dz[index(k)] for k in range(n.n[l + 1]))


def test_slides_15_chain_rule_over_the_next_layer(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        delta = partial(graph.C, graph.z[l])
        agree(delta, chain_over_next_layer(n, l, index=lambda k: k))
        for K in range(n.n[l + 1]):  # a K that is not the k summed over repeats one neuron's term
            differ(delta, chain_over_next_layer(n, l, index=lambda k, K=K: K))


def test_slides_16_sum_is_the_error_and_not_the_weighted_input(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        total = chain_over_next_layer(n, l, index=lambda k: k)
        differ(numbers(graph.z[l]), total)
        agree(partial(graph.C, graph.z[l]), total)


def test_slides_17_terms_of_the_sum(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        delta_next = error_by_definition(n, l + 1)
        for j in range(n.n[l]):
            total = sum(delta_next[k] * (n.w[l + 1][k, j] * slope(n, l)[j]) for k in range(n.n[l + 1]))
            agree(partial(graph.C, graph.z[l][j]), total)


def test_slides_21_only_one_term_depends_on_z_j(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        for k, j in np.ndindex(n.w[l + 1].shape):
            w, b, sigma = n.w[l + 1][k, j], n.b[l + 1][k], n.sigma[l]
            one_term = derivative(lambda z, w=w, b=b, sigma=sigma: w * sigma(z) + b, n.z[l][j])
            agree(partial(graph.z[l + 1][k], graph.z[l][j]), one_term)


def test_slides_22_next_weighted_input_by_this(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        agree(partial(graph.z[l + 1], graph.z[l]), n.w[l + 1] * slope(n, l))


def test_slides_23_error_by_entry(deep_net):
    graph, n = deep_net
    delta = errors(n)
    for l in hidden(n):
        for j in range(n.n[l]):
            delta_j = sum(delta[l + 1][k] * n.w[l + 1][k, j] * slope(n, l)[j] for k in range(n.n[l + 1]))
            agree(partial(graph.C, graph.z[l][j]), delta_j)


def test_slides_24_slope_taken_out_of_the_sum(deep_net):
    graph, n = deep_net
    delta = errors(n)
    for l in hidden(n):
        for j in range(n.n[l]):
            delta_j = sum(n.w[l + 1][k, j] * delta[l + 1][k] for k in range(n.n[l + 1])) * slope(n, l)[j]
            agree(partial(graph.C, graph.z[l][j]), delta_j)


def test_slides_25_error_as_vector(deep_net):
    graph, n = deep_net
    delta = errors(n)
    for l in hidden(n):
        agree(partial(graph.C, graph.z[l]), (n.w[l + 1].T @ delta[l + 1]) * slope(n, l))


def test_slides_26_output_error_as_vector(net):
    graph, n = net
    agree(partial(graph.C, graph.z[n.L]), (n.a[n.L] - n.y) * slope(n, n.L))


# ---------------------------------------------------------------------------------------- weights and biases


def test_slides_27_chain_rule_by_weight(net):
    graph, n = net
    for l in n.sigma:
        dC_dz = error_by_definition(n, l)
        dz_dw = derivative(lambda w, l=l: weighted_input(n, l)(n.a[l - 1], w=w), n.w[l])
        for i, j in np.ndindex(n.w[l].shape):
            agree(partial(graph.C, graph.w[l][i, j]), dC_dz[i] * dz_dw[i, i, j])


def test_slides_28_weight_gradient_by_entry(net):
    graph, n = net
    delta = errors(n)
    for l in n.sigma:
        for i, j in np.ndindex(n.w[l].shape):
            agree(partial(graph.C, graph.w[l][i, j]), delta[l][i] * n.a[l - 1][j])


def test_slides_30_only_one_term_depends_on_w_ij(net):
    graph, n = net
    for l in n.sigma:
        for i, j in np.ndindex(n.w[l].shape):
            a, b = n.a[l - 1][j], n.b[l][i]
            one_term = derivative(lambda w, a=a, b=b: a * w + b, n.w[l][i, j])
            agree(partial(graph.z[l][i], graph.w[l][i, j]), one_term)


def test_slides_31_weighted_input_by_weight(net):
    graph, n = net
    for l in n.sigma:
        for i, j in np.ndindex(n.w[l].shape):
            agree(partial(graph.z[l][i], graph.w[l][i, j]), n.a[l - 1][j])


def test_slides_32_weight_gradient_as_matrix(net):
    graph, n = net
    delta = errors(n)
    for l in n.sigma:
        gradient = partial(graph.C, graph.w[l])
        product = np.outer(delta[l], n.a[l - 1])
        assert gradient.shape == (n.n[l], n.n[l - 1])
        agree(gradient, product)
        fraction = gradient / (n.n[l] * n.n[l - 1])  # but the shape below dw is no denominator
        differ(product, fraction, by=(1 - product.size) * fraction)


def test_slides_33_chain_rule_by_bias(net):
    graph, n = net
    for l in n.sigma:
        dC_dz = error_by_definition(n, l)
        dz_db = derivative(lambda b, l=l: weighted_input(n, l)(n.a[l - 1], b=b), n.b[l])
        agree(partial(graph.C, graph.b[l]), dC_dz @ dz_db)
        agree(dz_db, np.diag(np.diag(dz_db)))


def test_slides_34_bias_gradient_by_entry(net):
    graph, n = net
    delta = errors(n)
    for l in n.sigma:
        agree(partial(graph.z[l], graph.b[l]), np.eye(n.n[l]))
        agree(partial(graph.C, graph.b[l]), np.eye(n.n[l]) @ delta[l])


def test_slides_35_bias_gradient_as_vector(net):
    graph, n = net
    delta = errors(n)
    for l in n.sigma:
        shape_is_of_layer(partial(graph.C, graph.b[l]).shape, n, l)
        agree(partial(graph.C, graph.b[l]), delta[l])


# ------------------------------------------------------------------------------------- all equations at once


def test_slides_36_output_error(net):
    graph, n = net
    delta = partial(graph.C, graph.z[n.L])
    shape_is_of_layer(delta.shape, n, n.L)
    agree(delta, (n.a[n.L] - n.y) * slope(n, n.L))


def test_slides_37_error(deep_net):
    graph, n = deep_net
    for l in hidden(n):
        delta = partial(graph.C, graph.z[l])
        shape_is_of_layer(delta.shape, n, l)
        agree(delta, (n.w[l + 1].T @ errors(n)[l + 1]) * slope(n, l))
        for e in n.w:  # of the weights w it is those of layer l + 1
            if n.w[e].shape[0] != n.w[l + 1].shape[0]:
                cannot_be_computed(lambda e=e, l=l: n.w[e].T @ errors(n)[l + 1])


def test_slides_38_bias_gradient(net):
    graph, n = net
    for l in n.sigma:
        agree(partial(graph.C, graph.b[l]), errors(n)[l])


def test_slides_39_weight_gradient(net):
    graph, n = net
    for l in n.sigma:
        gradient = partial(graph.C, graph.w[l])
        assert gradient.shape == (n.n[l], n.n[l - 1])
        assert gradient.shape != (1, n.n[l - 1])
        agree(gradient, np.outer(errors(n)[l], n.a[l - 1]))


# ------------------------------------------------------------------------------------------------ any cost


def test_slides_43_only_the_output_error_depends_on_the_cost(net_of_any_cost):
    graph, n = net_of_any_cost
    delta = errors(n, derivative(lambda a: n.cost(a, n.y), n.a[n.L]) * slope(n, n.L))
    for l in n.sigma:
        agree(partial(graph.C, graph.z[l]), delta[l])
        agree(partial(graph.C, graph.b[l]), delta[l])
        agree(partial(graph.C, graph.w[l]), np.outer(delta[l], n.a[l - 1]))


def test_slides_44_chain_rule_at_the_output(net_of_any_cost):
    graph, n = net_of_any_cost
    dC_da = derivative(lambda a: n.cost(a, n.y), n.a[n.L])
    da_dz = derivative(n.sigma[n.L], n.z[n.L])
    agree(partial(graph.C, graph.z[n.L]), dC_da @ da_dz, dC_da * np.diag(da_dz))


def test_slides_45_output_error_of_any_cost(net_of_any_cost):
    graph, n = net_of_any_cost
    dC_da = derivative(lambda a: n.cost(a, n.y), n.a[n.L])
    for j in range(n.n[n.L]):
        agree(partial(graph.C, graph.z[n.L][j]), dC_da[j] * n.sigma[n.L].slope(n.z[n.L][j]))


def test_slides_46_output_error_of_any_cost_as_vector(net_of_any_cost):
    graph, n = net_of_any_cost
    da = derivative(lambda a: n.cost(a, n.y), n.a[n.L])
    delta = partial(graph.C, graph.z[n.L])
    assert delta.shape == da.shape == (n.n[n.L],)
    agree(delta, da * slope(n, n.L))
    fraction = da / n.n[n.L] * slope(n, n.L)  # but the shape below da is no denominator
    differ(delta, fraction, by=(1 - n.n[n.L]) * fraction)


# ------------------------------------------------------------------------------------------- cross-entropy


def test_slides_48_cost_by_output(sigmoid_net):
    graph, n = sigmoid_net
    a, y = n.a[n.L], n.y
    gradient = partial(graph.C, graph.a[n.L])
    differ(gradient, -(y / a + (1 - y) / (1 - a)), by=2 * (y - 1) / (1 - a))
    agree(gradient, -(y / a - (1 - y) / (1 - a)))


def test_slides_49_cost_by_output_rearranged(sigmoid_net):
    graph, n = sigmoid_net
    a, y = n.a[n.L], n.y
    agree(partial(graph.C, graph.a[n.L]), (1 - y) / (1 - a) - y / a)

    a, y = sympy.symbols("a y")
    C = -(y * sympy.log(a) + (1 - y) * sympy.log(1 - a))
    assert sympy.simplify(C.diff(a) - ((1 - y) / (1 - a) - y / a)) == 0


def test_slides_50_numerator(sigmoid_net):
    graph, n = sigmoid_net
    a, y = n.a[n.L], n.y
    gradient = partial(graph.C, graph.a[n.L])
    differ(gradient, (a - y - y + a) / (a * (1 - a)), by=gradient)  # twice what it should be
    agree(gradient, (a - a * y - y + a * y) / (a * (1 - a)))

    a, y = sympy.symbols("a y")
    left = (1 - y) / (1 - a) - y / a
    assert sympy.simplify(2 * left - (a - y - y + a) / (a * (1 - a))) == 0
    assert sympy.simplify(left - (a - a * y - y + a * y) / (a * (1 - a))) == 0


def test_slides_51_cost_by_output_simplified(sigmoid_net):
    graph, n = sigmoid_net
    a, y = n.a[n.L], n.y
    agree(partial(graph.C, graph.a[n.L]), (a - y) / (a * (1 - a)))


def test_slides_52_slope_of_the_sigmoid(sigmoid_net):
    graph, n = sigmoid_net
    a, z = n.a[n.L], n.z[n.L]
    agree(np.diag(partial(graph.a[n.L], graph.z[n.L])), SIGMOID(z) * (1 - SIGMOID(z)), a * (1 - a))

    z = sympy.symbols("z")
    sigma = 1 / (1 + sympy.exp(-z))
    assert sympy.simplify(sigma.diff(z) - sigma * (1 - sigma)) == 0
    assert sigma.subs(z, 0) == sympy.Rational(1, 2)  # of all that have this slope it is the sigmoid


def test_slides_53_output_error(sigmoid_net):
    graph, n = sigmoid_net
    dC_da = derivative(lambda a: cross_entropy(a, n.y), n.a[n.L])
    agree(partial(graph.C, graph.z[n.L]), dC_da * slope(n, n.L))


def test_slides_54_output_error_simplified(sigmoid_net):
    graph, n = sigmoid_net
    a, y = n.a[n.L], n.y
    agree(partial(graph.C, graph.z[n.L]), (a - y) / (a * (1 - a)) * (a * (1 - a)), a - y)

    a, y = sympy.symbols("a y")
    assert sympy.simplify((a - y) / (a * (1 - a)) * (a * (1 - a)) - (a - y)) == 0


@pytest.mark.parametrize("m", [2, 5])
def test_slides_55_output_error_of_a_mean(m):
    random = np.random.default_rng(m)
    z, y = random.normal(size=m), random.uniform(size=m)
    Z = values(z)
    mean = cross_entropy(SIGMOID(Z), y) / m
    delta, a = partial(mean, Z), SIGMOID(z)
    differ(delta, a - y, by=(m - 1) * delta)
    agree(delta, (a - y) / m)


@pytest.mark.parametrize("K", [2, 4])
def test_slides_56_a_softmax_takes_its_whole_jacobian(K):
    random = np.random.default_rng(K)
    for y in np.eye(K):
        z = random.normal(size=K)
        Z = values(z)
        exponentials = np.array([z_k.exp() for z_k in Z])
        delta = partial(quadratic(exponentials / exponentials.sum(), y), Z)
        a = np.exp(z) / np.exp(z).sum()
        jacobian = np.diag(a) - np.outer(a, a)
        agree(delta, jacobian.T @ (a - y))
        of_others = (jacobian - np.diag(np.diag(jacobian))).T @ (a - y)
        differ(delta, (a - y) * a * (1 - a), by=-of_others)  # σ'(z) taken for each output by itself
        # where there are two, the other output's part is as large as its own, and only there
        (agree if K == 2 else differ)(delta, 2 * (a - y) * a * (1 - a))


def test_slides_57_error_is_the_change_of_the_cost(net):
    graph, n = net
    for l in n.sigma:
        delta = partial(graph.C, graph.z[l])
        for j in range(n.n[l]):

            def change(epsilon, l=l, j=j):
                z = n.z[l].copy()
                z[j] += epsilon
                return cost_after(n, l)(n.sigma[l](z)) - cost_after(n, l)(n.a[l])

            for epsilon in (1e-2, 1e-3, 1e-4):
                assert abs(change(epsilon) / epsilon - delta[j]) < epsilon  # ≈ up to ε²

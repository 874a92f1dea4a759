"""What is masked, missing or not selected: where a program's result is not finite, the graph answers."""

from __future__ import annotations

import itertools
import math
import pickle
import threading

import numpy as np
import pytest

import autobp
from autobp import MLP, Value, costs
from autobp.engine import ieee

INF, NAN = math.inf, math.nan


def by_engine(loss, leaves, *rows):
    """The mean cost over rows of arguments and its gradient, by backward() in IEEE arithmetic."""
    found = []
    for row in zip(*rows, strict=True):
        for leaf in leaves:
            leaf.grad = 0.0
        with ieee():
            made = loss(*[np.vectorize(Value, otypes=[object])(x).tolist() for x in map(np.asarray, row)])
            made.backward()
        found.append([made.data, *[leaf.grad for leaf in leaves]])
    return np.array(found).mean(0)


def same(step, loss, leaves, *rows):
    """Whether a step gives the engine's numbers, and value() its cost."""
    cost, gradient = step(step.theta, *rows)
    expected = by_engine(loss, leaves, *rows)
    assert np.allclose([cost, *gradient], expected, rtol=1e-12, atol=1e-300, equal_nan=True), (
        cost,
        gradient,
        expected,
    )
    assert np.allclose(step.value(step.theta, *rows), expected[0], rtol=1e-12, equal_nan=True)
    return True


def masked_entropy(logits):
    def loss(mask):
        p = autobp.softmax([a + b for a, b in zip(logits, mask, strict=True)])
        return -autobp.sum([autobp.xlogy(p_k, p_k) for p_k in p])

    return loss


def test_the_entropy_of_a_masked_softmax():
    logits = [Value(v) for v in (0.3, -0.4, 1.0)]
    loss = masked_entropy(logits)
    step = autobp.compile(loss, logits, example=([0.0, 0.0, 0.0],))
    mask = np.array([[0.0, 0.0, -INF], [0.0, 0.0, 0.0], [-INF, 0.0, -INF]])
    assert same(step, loss, logits, mask)
    p = 1.0 / (1.0 + math.exp(-0.7))
    assert math.isclose(
        step(step.theta, mask[:1])[0], -p * math.log(p) - (1 - p) * math.log(1 - p), rel_tol=1e-14
    )


def test_the_cross_entropy_of_a_sigmoid_at_infinity_with_the_right_target():
    w = Value(1.0)

    def loss(z, y):
        return costs.binary_cross_entropy([(w + z).sigmoid()], [y])

    step = autobp.compile(loss, [w], example=(1.0, 1.0))
    assert step([1.0], [INF, -INF, INF], [1.0, 0.0, 1.0])[0] == 0.0
    assert same(step, loss, [w], [INF, -INF, 2.0], [1.0, 0.0, 1.0])


def test_what_pads_a_short_row_passes_nothing_on():
    q = [Value(v) for v in (1.0, 2.0, 3.0, 4.0, 5.0)]

    def outputs(x):
        return [q[0] * x[0] + q[1] * x[1] + q[2] * x[2], q[3] * x[0] + q[4] * x[1]]

    step = autobp.compile(outputs, q, example=([1.0, 1.0, 1.0],))
    found = step(step.theta, np.array([[1.0, 1.0, NAN], [1.0, 1.0, 1.0], [1.0, 1.0, -INF]]))
    assert np.array_equal(found, [[NAN, 9.0], [6.0, 9.0], [-INF, 9.0]], equal_nan=True)

    def loss(x):
        first, second = outputs(x)
        return autobp.tanh(first) + second

    step = autobp.compile(loss, q, example=([1.0, 1.0, 1.0],))
    x = np.array([[1.0, 1.0, INF], [0.5, 1.0, 1.0]])
    assert same(step, loss, q, x)
    assert np.isfinite(step(step.theta, x)[1][[3, 4]]).all()


def test_what_a_comparison_would_swallow_is_not_padded():
    q = [Value(v) for v in (1.0, 2.0, 3.0, 4.0, 5.0)]

    def outputs(x):
        long, short = q[0] * x[0] + q[1] * x[1] + q[2] * x[2], q[3] * x[0] + q[4] * x[1]
        return [autobp.greater(z, 8.0) for z in (long, short)] + [
            autobp.where(autobp.less(short, 100.0), 1.0, 2.0),
            short**0,
            autobp.take([q[0], q[1]], autobp.less(short, 9.5)),
        ]

    step = autobp.compile(outputs, q, example=([1.0, 1.0, 1.0],))
    x = np.array([[1.0, 1.0, NAN], [1.0, 1.0, INF], [1.0, 1.0, 1.0]])
    expected = [[output.data for output in outputs([Value(v) for v in row])] for row in x]
    assert np.array_equal(step(step.theta, x), expected)


def test_derivatives_that_made_a_number_of_nan_are_not_kept():
    """relu' of NaN is 0: finite, and wrong where the NaN came of padding."""
    q = [Value(v) for v in (1.0, 2.0, 3.0, 4.0, 5.0)]

    def loss(x):
        long, short = q[0] * x[0] + q[1] * x[1] + q[2] * x[2], q[3] * x[0] + q[4] * x[1]
        return long.relu().tanh() + short.relu()

    step = autobp.compile(loss, q, example=([1.0, 1.0, 1.0],))
    x = np.array([[1.0, 1.0, INF], [1.0, 1.0, 1.0]])
    assert same(step, loss, q, x[:1])
    assert same(step, loss, q, x)
    assert step(step.theta, x[:1])[1][3:].tolist() == [1.0, 1.0]
    assert step.verify(step.theta, x)


ACTIVATIONS = (
    lambda v: v.relu(), lambda v: autobp.leaky_relu(v, 0.1), lambda v: abs(v), lambda v: v.elu(),
    lambda v: autobp.maximum(v, 0.5), lambda v: autobp.minimum(v, 0.5), lambda v: autobp.clip(v, -1.0, 1.0),
    lambda v: v.tanh(), lambda v: v.sigmoid(), lambda v: v.sign() * v,
    lambda v: autobp.take([v, 2.0 * v], 1.0),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(150))
def test_ragged_rows_among_infinities_have_the_engines_gradients(seed):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 4, size=random.integers(2, 5))
    w = [Value(float(v)) for v in random.normal(size=lengths.sum()).round(2)]
    inner = [ACTIVATIONS[k] for k in random.integers(len(ACTIVATIONS), size=2)]

    def loss(x):
        weights = iter(w)
        rows = [autobp.sum([next(weights) * x[k] for k in range(n)]) for n in lengths]
        rows = [inner[i % 2](row) for i, row in enumerate(rows)]
        return autobp.sum([row.tanh() if n == 3 else row for n, row in zip(lengths, rows, strict=True)])

    step = autobp.compile(loss, w, example=([0.3, 0.2, 0.1],))
    x = random.normal(size=(3, 3))
    x[random.random(3) < 0.6, 2] = random.choice([INF, -INF])  # of which tanh makes a number
    for rows in (x, x[:1], x[1:2], x[2:]):
        found = np.hstack(step(step.theta, rows))
        expected = by_engine(loss, w, rows)
        is_number = np.isfinite(expected)  # where the engine has none, as 0·∞, a program may
        assert np.allclose(found[is_number], expected[is_number], rtol=1e-10, atol=1e-13)


def test_a_rule_of_ones_own_may_swallow_too():
    op = autobp.operation(
        "swallows_nan",
        lambda xp, x: xp.where(xp.greater(x, 0.0), x, 0.0),
        lambda xp, y, x: (xp.greater(x, 0.0),),
    )
    try:
        q = [Value(v) for v in (1.0, 2.0, 3.0, 4.0, 5.0)]

        def loss(x):
            long, short = q[0] * x[0] + q[1] * x[1] + q[2] * x[2], q[3] * x[0] + q[4] * x[1]
            return op(long).tanh() + op(short)

        step = autobp.compile(loss, q, example=([1.0, 1.0, 1.0],))
        for bad, cost in ((INF, 10.0), (NAN, 9.0)):
            found, gradient = step(step.theta, [[1.0, 1.0, bad]])
            assert found == cost == by_engine(loss, q, [[1.0, 1.0, bad]])[0]
            assert gradient[3:].tolist() == [1.0, 1.0]
    finally:
        del autobp.ops.TABLE[op.name]


@pytest.mark.parametrize("x", [-1.0, 0.5])
def test_roots_behind_a_choice(x):
    w = Value(1.0)

    def loss(x):
        return (w * x).relu().sqrt()

    step = autobp.compile(loss, [w], example=(1.0,))
    assert same(step, loss, [w], [x, x])


def test_second_derivatives_inside_a_program_stop_at_a_choice():
    c = Value(2.0)

    def mixed(c, x):
        return autobp.grad(
            lambda x: autobp.grad(lambda c: c * (autobp.relu(x) + autobp.relu(2 * x)).sqrt())(c)
        )(x)

    step = autobp.compile(lambda x: mixed(c, x) * c, [c], example=(1.0,))
    assert step.value([2.0], [-1.0]) == 0.0
    assert math.isclose(step.value([2.0], [0.5]), 2.0 * math.sqrt(3.0) / 2.0 / math.sqrt(0.5), rel_tol=1e-14)


def test_logarithms_of_sigmoids_far_out():
    w = Value(1.0)
    step = autobp.compile(lambda x: (2 * (w * x).sigmoid()).log(), [w], example=(1.0,))
    assert math.isclose(step.value([1.0], [-720.0]), math.log(2.0) - 720.0, rel_tol=1e-12)
    step = autobp.compile(lambda x: (w * x).sigmoid().log(), [w], example=(1.0,))
    assert math.isclose(step.value([1.0], [36.0]), -math.log1p(math.exp(-36.0)), rel_tol=1e-15)


def test_the_root_as_a_power_at_its_edges():
    w = Value(1.0)

    def loss(x):
        return (w * x) ** 0.5

    step = autobp.compile(loss, [w], example=(1.0,))
    for x in (-INF, -0.0, 0.0, 4.0):
        assert same(step, loss, [w], [x])


def test_rows_out_of_range_and_gradients_that_overflow_where_the_cost_does_not():
    w = Value(1.0)
    step = autobp.compile(lambda x: w * x, [w], example=(1.0,))
    assert step([1.0], [1.7e308] * 4) == (1.7e308, pytest.approx([1.7e308]))
    tiny = autobp.compile(lambda x: (w * x) * 1e-10, [w], example=(1.0,))
    cost, gradient = tiny([1e-300], np.full(8, 1e308))
    assert math.isclose(cost, 1e-2, rel_tol=1e-12)
    assert np.allclose(gradient, [1e298], rtol=1e-12)


def test_among_many_rows_those_that_are_finite_stay_as_the_program_has_them():
    logits = [Value(v) for v in (0.3, -0.4, 1.0)]
    loss = masked_entropy(logits)
    step = autobp.compile(loss, logits, example=([0.0, 0.0, 0.0],))
    mask = np.where(np.random.default_rng(0).random((500, 3)) < 0.3, -INF, 0.0)
    mask[:, 1] = 0.0
    assert same(step, loss, logits, mask)
    theta = step.theta
    theta[0] = NAN
    assert np.isnan(step(theta, mask)[0])


def test_the_same_numbers_give_the_same_bits_in_every_thread_and_from_a_pickle():
    logits = [Value(v) for v in (0.3, -0.4, 1.0)]
    step = autobp.compile(masked_entropy(logits), logits, example=([0.0, 0.0, 0.0],))
    mask = np.where(np.random.default_rng(1).random((40, 3)) < 0.3, -INF, 0.0)
    mask[:, 1] = 0.0
    expected = step(step.theta, mask)
    again = pickle.loads(pickle.dumps(step))
    found = []
    threads = [
        threading.Thread(target=lambda s=s: found.append(s(step.theta, mask)))
        for s in itertools.islice(itertools.cycle((step, again)), 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(cost == expected[0] and np.array_equal(gradient, expected[1]) for cost, gradient in found)


def test_a_network_that_diverges_says_so():
    net = MLP(2, [3, 1], seed=0)
    step = autobp.compile(
        lambda x, y: costs.quadratic(net(x), y), net.parameters(), example=([0.1, 0.2], [1.0])
    )
    cost, gradient = step(step.theta * 1e200, np.ones((5, 2)), np.ones((5, 1)))
    assert cost == INF
    assert not np.isfinite(gradient).all()


# ---------------------------------------------------------------------------------------------- in the engine


def test_logsumexp_of_nothing_but_minus_infinity():
    nothing = [Value(-INF), Value(-INF)]
    inner = autobp.logsumexp(nothing)
    assert inner.data == -INF
    x = Value(0.5)
    total = autobp.logsumexp([inner, x, x - 1.0])
    total.backward()
    assert math.isclose(total.data, 0.5 + math.log1p(math.exp(-1.0)), rel_tol=1e-15)
    assert [v.grad for v in nothing] == [0.0, 0.0]
    assert math.isclose(x.grad, 1.0, rel_tol=1e-15)
    (alone := autobp.logsumexp(nothing)).backward()
    assert alone.data == -INF
    assert [v.grad for v in nothing] == [0.0, 0.0]


def test_softmax_cross_entropy_with_a_masked_class():
    z = [Value(0.5), Value(-INF), Value(1.0)]
    loss = costs.softmax_cross_entropy(z, [0, 0, 1])
    loss.backward()
    p = 1.0 / (1.0 + math.exp(0.5))
    assert math.isclose(loss.data, -math.log(1.0 - p), rel_tol=1e-14)
    assert np.allclose([z_k.grad for z_k in z], [p, 0.0, -p], rtol=1e-14)
    assert costs.softmax_cross_entropy(z, [0, 1, 0]).data == INF

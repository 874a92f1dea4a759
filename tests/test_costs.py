"""The costs against the definitions, in NumPy and in PyTorch."""

import math

import numpy as np
import pytest

from autobp import MLP, Value, costs

rng = np.random.default_rng(0)


def values(array):
    return [values(row) for row in array] if np.ndim(array) else Value(float(array))


def gradients(nested):
    return [gradients(v) for v in nested] if isinstance(nested, list) else nested.grad


A = rng.uniform(0.05, 0.95, (4, 3))
Z = rng.normal(size=(4, 3)) * 3
Y = rng.uniform(0, 1, (4, 3))
ONE_HOT = np.eye(3)[[0, 2, 1, 1]]
SIGNS = np.where(Y > 0.5, 1.0, -1.0)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


DEFINITIONS = [
    (costs.quadratic, Z, Y, lambda a, y: 0.5 * ((a - y) ** 2).sum(-1)),
    (costs.binary_cross_entropy, A, Y, lambda a, y: -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum(-1)),
    (
        costs.binary_cross_entropy_with_logits, Z, Y,
        lambda z, y: -(y * np.log(1 / (1 + np.exp(-z))) + (1 - y) * np.log(1 / (1 + np.exp(z)))).sum(-1),
    ),
    (costs.softmax_cross_entropy, Z, ONE_HOT, lambda z, y: -(y * log_softmax(z)).sum(-1)),
    (costs.hinge, Z, SIGNS, lambda a, y: np.maximum(0, 1 - y * a).sum(-1)),
]  # fmt: skip
by_name = pytest.mark.parametrize(
    ("cost", "outputs", "targets", "definition"), DEFINITIONS, ids=[d[0].__name__ for d in DEFINITIONS]
)


@by_name
def test_one_sample_and_the_mean_over_many(cost, outputs, targets, definition):
    each = [cost(values(a), list(y)).data for a, y in zip(outputs, targets, strict=True)]
    assert each == pytest.approx(definition(outputs, targets), rel=1e-13)
    assert cost(values(outputs), targets.tolist()).data == pytest.approx(np.mean(each), rel=1e-13)
    assert cost(values(outputs), values(targets)).data == pytest.approx(np.mean(each), rel=1e-13)


@by_name
def test_gradients_against_complex_step_or_differences(cost, outputs, targets, definition):
    nested = values(outputs)
    cost(nested, targets.tolist()).backward()
    for i, j in np.ndindex(outputs.shape):
        if cost is costs.hinge:
            expected = -targets[i, j] * (targets[i, j] * outputs[i, j] < 1) / len(outputs)
        else:
            moved = outputs.astype(complex)
            moved[i, j] += 1e-30j
            expected = definition(moved, targets).mean().imag / 1e-30
        assert nested[i][j].grad == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_pytorch_agrees_on_values_and_gradients_at_a_thousand():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    extreme = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 30.0]])
    for cost, theirs, targets in [
        (
            costs.binary_cross_entropy_with_logits,
            lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum") / 2,
            np.array([[1.0, 0.0, 0.5], [1.0, 0.25, 0.0]]),
        ),
        (costs.softmax_cross_entropy, F.cross_entropy, np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])),
    ]:
        z = torch.tensor(extreme, requires_grad=True)
        expected = theirs(z, torch.tensor(targets))
        expected.backward()
        nested = values(extreme)
        ours = cost(nested, targets.tolist())
        ours.backward()
        assert ours.data == pytest.approx(expected.item(), rel=1e-14)
        assert np.array(gradients(nested)) == pytest.approx(z.grad.numpy(), rel=1e-12, abs=1e-15)


def test_a_class_number_is_its_one_hot_target():
    by_class, by_probability = values(Z), values(Z)
    a = costs.softmax_cross_entropy(by_class, [0, 2, 1, 1])
    b = costs.softmax_cross_entropy(by_probability, ONE_HOT.tolist())
    a.backward()
    b.backward()
    assert a.data == pytest.approx(b.data, rel=1e-14)
    assert np.array(gradients(by_class)) == pytest.approx(np.array(gradients(by_probability)), abs=1e-15)


def test_a_saturated_output_on_the_right_side_costs_nothing():
    a = [Value(1.0), Value(0.0)]
    cost = costs.binary_cross_entropy(a, [1.0, 0.0])
    cost.backward()
    assert cost.data == 0.0
    assert [v.grad for v in a] == [-1.0, 1.0]


def test_a_saturated_output_on_the_wrong_side_raises():
    with pytest.raises(ValueError, match="xlogy"):
        costs.binary_cross_entropy([Value(0.0)], [1.0])


def test_hinge_has_derivative_zero_at_its_kink():
    a = Value(1.0)
    costs.hinge(a, 1.0).backward()
    assert a.grad == 0.0


def test_l2_leaves_the_biases_alone():
    net = MLP(2, [3, 1], seed=0)
    net.b = [[1.0, 2.0, 3.0], [4.0]]
    penalty = costs.l2(net, 0.3, m=5)
    penalty.backward()
    squares = sum((w**2).sum() for w in net.W)
    assert penalty.data == pytest.approx(0.3 / 10 * squares, rel=1e-14)
    for name, p in net.named_parameters():
        assert p.grad == (0.0 if name.startswith("b") else pytest.approx(0.3 / 5 * p.data, rel=1e-14))
    assert costs.l2([Value(3.0)], 2.0).data == 9.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: costs.quadratic([Value(1.0)], [1.0, 2.0]), ["quadratic", "1 outputs", "2 targets"]),
        (lambda: costs.quadratic([[Value(1.0)]], [[1.0], [2.0]]), ["1 samples", "2"]),
        (lambda: costs.quadratic([Value(1.0), Value(2.0)], [[1.0], [2.0]]), ["nested"]),
        (lambda: costs.quadratic([], []), ["no outputs"]),
        (lambda: costs.binary_cross_entropy(Value(0.5), 1.5), ["0 to 1", "1.5"]),
        (lambda: costs.binary_cross_entropy_with_logits(Value(0.5), -1), ["0 to 1", "-1"]),
        (lambda: costs.binary_cross_entropy(Value(0.5), math.nan), ["nan"]),
        (lambda: costs.hinge(Value(0.5), 0), ["-1 or 1", "0"]),
        (lambda: costs.softmax_cross_entropy(Value(0.5), 0), ["two classes"]),
        (lambda: costs.softmax_cross_entropy([[Value(1.0), Value(2.0)]], [0, 1]), ["1 samples"]),
        (lambda: costs.l2([Value(1.0)], -1.0), ["λ", "-1.0"]),
        (lambda: costs.l2([Value(1.0)], 1.0, 0), ["m", "0"]),
        (lambda: costs.named("squared"), ["'squared'", "quadratic"]),
    ],
)
def test_wrong_use_is_told(wrong, words):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        wrong()
    for word in words:
        assert word in str(raised.value)


def test_a_class_that_there_is_not_is_told():
    with pytest.raises(IndexError, match="3"):
        costs.softmax_cross_entropy([Value(1.0), Value(2.0)], 3)


def test_targets_of_numpys_bool_are_checked_like_numbers():
    with pytest.raises(ValueError, match="-1 or 1"):
        costs.hinge([Value(0.5)], np.array([False]))

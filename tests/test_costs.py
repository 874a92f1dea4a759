"""The costs against the definitions, in NumPy and in PyTorch."""

import ast
import copy
import doctest
import inspect
import math
import pickle
import pydoc
from pathlib import Path

import numpy as np
import pytest

import autobp
from autobp import MLP, Value, check, costs, fit
from autobp.__main__ import main

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


# -- costs as records -------------------------------------------------------------------------------------


@pytest.fixture
def log_cosh(monkeypatch):
    """A cost of somebody's own, registered for one test."""
    monkeypatch.setattr(costs, "COSTS", dict(costs.COSTS))

    @costs.define(targets=costs.PROBABILITIES, threshold=0.5, elsewhere={"lncosh": ", Σ log cosh"})
    def log_cosh(a, y):
        """Σ_k log cosh(a_k - y_k)."""
        return autobp.log(autobp.cosh(a - y))

    return log_cosh


def in_matrices():
    return (lambda a, y: np.log(np.cosh(a - y)).sum(axis=-1), lambda a, y: np.tanh(a - y))


def test_a_registered_cost_is_a_cost_like_any_other(log_cosh):
    assert log_cosh([Value(1.0), Value(0.5)], [0.0, 1.0]).data == pytest.approx(
        math.log(math.cosh(1.0)) + math.log(math.cosh(0.5))
    )
    assert costs.log_cosh is costs.named("log_cosh") is costs.COSTS["log_cosh"] is log_cosh
    assert "log_cosh" in dir(costs)
    assert "Σ_k log cosh" in pydoc.render_doc(log_cosh)
    assert copy.deepcopy(log_cosh) is pickle.loads(pickle.dumps(log_cosh)) is log_cosh
    unknown = costs.Cost("unknown", log_cosh.term, threshold=2.0)
    assert copy.copy(unknown).threshold == 2.0
    assert copy.copy(unknown).name not in costs.COSTS
    with pytest.raises(ValueError, match="did you mean 'log_cosh', Σ log cosh"):
        costs.named("ln-cosh")
    with pytest.raises(ValueError, match="log_cosh: targets are probabilities, from 0 to 1; got 2"):
        log_cosh(Value(0.5), 2)


@pytest.mark.parametrize("compiled", [True, False])
def test_fit_takes_a_registered_cost_by_name_and_reads_its_record(log_cosh, compiled):
    X, T = rng.normal(size=(20, 3)), rng.integers(2, size=(20, 2)).astype(float)
    by_name, by_function = [MLP(3, [4, 2], "tanh", seed=0) for _ in range(2)]
    options = {"epochs": 3, "seed": 0, "progress": False, "compiled": compiled}
    history = fit(by_name, X, T, cost="log_cosh", **options)
    fit(by_function, X, T, cost=lambda a, y: log_cosh(a, y), **options)
    assert history.cost[-1] < history.cost[0]
    assert np.array_equal(by_name.W[0], by_function.W[0])
    with pytest.raises(ValueError, match="log_cosh: targets are probabilities"):
        fit(by_name, X, 3 * T, cost="log_cosh", **options)
    with pytest.raises(ValueError, match="a column for each output"):
        fit(by_name, X, T[:, 0], cost="log_cosh", **options)


def test_compare_takes_a_registered_cost_by_name(log_cosh):
    net = MLP(3, [4, 2], "tanh", seed=0)
    X, T = rng.normal(size=(5, 3)), rng.integers(2, size=(5, 2)).astype(float)
    report = check.compare(net, X, T, cost="log_cosh", l2=0.3)
    assert report, str(report)
    assert "∂C_x/∂a by the cost's own graph" in str(report)
    with pytest.raises(ValueError, match="log_cosh: targets are probabilities"):
        check.compare(net, X, 3 * T, cost="log_cosh")

    seen = []

    def against(W, b, X, Y, activations, cost, l2):
        seen.append(cost)
        found = autobp.matrix.backprop(W, b, X, Y, activations=activations, cost=in_matrices(), l2=l2)
        return found.dW, found.db

    assert check.compare(net, X, T, cost="log_cosh", against=against)
    assert seen == ["log_cosh"] * 2


def test_a_record_with_matrices_gives_compare_a_witness_of_its_own(log_cosh):
    net = MLP(3, [4, 2], "tanh", seed=0)
    X, T = rng.normal(size=(5, 3)), rng.integers(2, size=(5, 2)).astype(float)
    C, nabla = in_matrices()
    for derivative, right in [(nabla, True), (lambda a, y: 2 * nabla(a, y), False)]:
        record = costs.Cost("log_cosh", log_cosh.term, matrices=(C, derivative))
        report = check.compare(net, X, T, cost=record)
        assert bool(report) is right
        assert "own graph" not in str(report)


def test_a_cost_on_logits_says_so_to_whoever_uses_it(log_cosh):
    record = costs.register(
        costs.Cost("of_logits", lambda z, y: (z.sigmoid() - y) ** 2, outputs="logits", applies="sigmoid")
    )
    net = MLP(3, [1], "sigmoid", seed=0)
    for use in (fit, check.compare):
        with pytest.raises(ValueError, match="of_logits takes logits and applies sigmoid itself"):
            use(net, np.ones((2, 3)), np.ones((2, 1)), cost="of_logits")
    assert repr(record) == "<cost of_logits of logits>"


@pytest.mark.parametrize("what", ["check", "explain", "draw"])
def test_the_command_takes_a_registered_cost_by_name(log_cosh, what, capsys, tmp_path):
    options = ["-o", str(tmp_path / "net.svg")] if what == "draw" else []
    assert main([what, "2", "2", "1", "-c", "log_cosh", *options]) == 0
    assert "own graph" in capsys.readouterr().out or what != "check"


def test_random_targets_are_such_as_the_cost_takes():
    for cost in costs.COSTS.values():
        drawn = cost.random_targets(50, 3, np.random.default_rng(0))
        assert drawn.shape == (50, 3)
        cost.check_targets(drawn.tolist())
        assert len(np.unique(drawn)) == 2


def test_names_that_are_taken_are_refused(log_cosh):
    for name in ("log_cosh", "quadratic", "l2", "named"):
        with pytest.raises(ValueError, match="taken"):
            costs.register(costs.Cost(name, log_cosh.term))
    with pytest.raises(ValueError, match="a Python name"):
        costs.register(costs.Cost("log-cosh", log_cosh.term))
    again = costs.register(costs.Cost("log_cosh", log_cosh.term), replace=True)
    assert costs.named("log_cosh") is again
    for name in ("l2", "named"):
        with pytest.raises(ValueError, match="taken"):
            costs.register(costs.Cost(name, log_cosh.term), replace=True)


@pytest.mark.parametrize("cost", costs.COSTS.values(), ids=str)
def test_help_and_introspection_show_the_cost(cost):
    assert cost.__name__ == cost.__qualname__ == cost.name
    assert cost.__module__ == "autobp.costs"
    assert cost.__doc__.startswith(("½", "-Σ", "Σ", ":func:"))
    assert cost.__doc__.splitlines()[0] in pydoc.render_doc(cost)
    assert list(inspect.signature(cost).parameters) == ["outputs", "targets"]
    with pytest.raises(AttributeError):
        cost.name = "another"


def test_a_replaced_logits_form_is_a_cost_of_the_table():
    for cost in costs.COSTS.values():
        assert not cost.on_logits or costs.COSTS[cost.on_logits].outputs == "logits"
        assert bool(cost.applies) == (cost.outputs == "logits")


def test_no_module_asks_how_a_cost_is_spelled():
    package = Path(autobp.__file__).parent
    spelled = {*costs.COSTS, "cross_entropy"}
    for path in package.rglob("*.py"):
        if "matrix" not in (path.stem, path.parent.name):  # the witness knows its own costs, by name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Compare | ast.Dict | ast.Set | ast.List | ast.Tuple):
                    inside = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                    assert not inside & spelled, f"{path}, line {node.lineno}"


def test_the_examples_in_docstrings_hold(log_cosh):
    assert doctest.testmod(costs).failed == 0

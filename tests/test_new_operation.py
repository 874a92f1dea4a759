"""An operation that is registered at run time is one entry, and all of autobp has it."""

import copy
import math
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

import autobp
from autobp import MLP, Layer, Neuron, Value, ops
from autobp.__main__ import main as autobp_command
from autobp.nn import ACTIVATIONS, is_activation


def _value(xp, x):
    return x * xp.tanh(xp.softplus(x))


def _partials(xp, y, x):
    t = xp.tanh(xp.softplus(x))
    return (t + x * (1.0 - t * t) * xp.sigmoid(x),)


NOTATION = {"text": "mish({0})", "latex": r"\operatorname{{mish}}\left({0}\right)", "symbol": "Mish"}


def mish_of(x):
    return x * math.tanh(math.log1p(math.exp(x)))


def slope_of(x, h=1e-6):
    return (mish_of(x + h) - mish_of(x - h)) / (2 * h)


def forget(*names):
    for name in names:
        ops.TABLE.pop(name, None)


@pytest.fixture
def mish():
    yield autobp.operation("mish", _value, _partials, **NOTATION)
    forget("mish")


def test_it_is_a_function_and_a_method(mish):
    x = Value(0.5, label="x")
    for y in (mish(x), autobp.mish(x), autobp.functions.mish(x), x.mish(), mish(0.5)):
        assert isinstance(y, Value)
        assert y.data == pytest.approx(mish_of(0.5), rel=1e-15)
        assert y._op == "Mish"
        assert y.operation is mish
    assert hasattr(x, "mish")
    assert hasattr(autobp, "mish")
    assert "mish" in dir(x)
    assert "mish(x)" in autobp.functions.function(mish).__doc__


def test_a_subclass_of_value_has_it_too(mish):
    class Own(Value):
        pass

    assert Own(0.5).mish().data == mish(0.5).data


def test_constants_go_by_position_by_name_or_by_default():
    scaled = autobp.operation(
        "scaled_for_test", lambda xp, x, k: k * x, lambda xp, y, x, k: (k,), constants=("k",), defaults=(2.0,)
    )
    try:
        x = Value(3.0)
        made = [x.scaled_for_test(), x.scaled_for_test(5.0), scaled(x, k=7.0)]
        assert [y.data for y in made] == [6.0, 15.0, 21.0]
        assert is_activation("scaled_for_test")
        with pytest.raises(TypeError, match="no argument 'slope'"):
            x.scaled_for_test(slope=1.0)
    finally:
        forget("scaled_for_test")


def test_it_has_derivatives_of_every_order_in_both_modes(mish):
    x = Value(0.7)
    x.mish().backward()
    assert x.grad == pytest.approx(slope_of(0.7), rel=1e-8)
    assert autobp.grad(mish)(0.7) == x.grad
    assert autobp.jvp(mish, [0.7], [1.0])[1] == pytest.approx(x.grad, rel=1e-15)
    second = autobp.grad(autobp.grad(mish))(0.7)
    assert second == pytest.approx((slope_of(0.7 + 1e-4) - slope_of(0.7 - 1e-4)) / 2e-4, rel=1e-5)
    assert autobp.hessian(mish)(0.7) == pytest.approx(second, rel=1e-14)
    assert math.isfinite(autobp.grad(autobp.grad(autobp.grad(mish)))(0.7))
    assert autobp.check_grad(mish, 0.7)


def test_check_grad_finds_a_rule_that_is_wrong():
    wrong = autobp.operation("wrong_for_test", _value, lambda xp, y, x: (1.01 * _partials(xp, y, x)[0],))
    try:
        report = autobp.check_grad(wrong, 0.7)
        assert not report
        assert "the rule of operation wrong_for_test" in str(report)
    finally:
        forget("wrong_for_test")


@pytest.mark.parametrize("activation", ["name", "operation"])
def test_networks_have_it_as_an_activation(mish, activation, tmp_path):
    net = MLP(2, [3, 1], "mish" if activation == "name" else mish, seed=1)
    assert net.activations == ["mish", "mish"]
    assert is_activation("mish")
    assert "mish" not in ACTIVATIONS
    z = net.trace([0.5, -1.0])
    assert z.output[0].data == pytest.approx(mish_of(z.z[-1][0].data), rel=1e-15)
    assert str(Neuron(2, activation="mish")) == "MishNeuron(2)"
    assert Layer(2, 2, activation="mish")([1.0, 2.0])[0].operation is mish

    path = net.save(tmp_path / "net.npz")
    assert MLP.load(path)([0.5, -1.0]).data == net([0.5, -1.0]).data
    forget("mish")
    with pytest.raises(ValueError, match=r"net\.npz.*'mish'.*autobp\.operation\('mish', value, partials\)"):
        MLP.load(path)


@pytest.mark.parametrize("activation", ["mish", ["mish", "sigmoid"]])
def test_networks_of_it_are_checked_against_the_matrices_and_differences(mish, activation):
    net = MLP(2, [3, 2], activation, seed=1)
    X, Y = [[0.5, -1.0], [0.25, 0.75], [2.0, 1.0]], [[0.2, 0.0], [-0.3, 0.5], [1.0, 0.25]]
    report = autobp.check.compare(net, X, Y, l2=0.1)
    assert report.ok, str(report)
    assert "σ and σ' of mish by the graph's own rule (no independent witness): network 2-3-2" in str(report)

    def cost():
        of_samples = [autobp.costs.quadratic(net(x), y) for x, y in zip(X, Y, strict=True)]
        return (autobp.mean(of_samples) + autobp.costs.l2(net, 0.1, 3)).data

    h = 1e-6
    found = {row.quantity: row.witness for row in report.rows}
    for number, layer in enumerate(net.layers, start=1):
        for j, neuron in enumerate(layer.neurons):
            for i, w in enumerate([neuron.b, *neuron.w]):
                expected = found[f"db{number}"][j] if i == 0 else found[f"dW{number}"][j, i - 1]
                before = w.data
                w.data = before + h
                above = cost()
                w.data = before - h
                difference = (above - cost()) / (2 * h)
                w.data = before
                assert expected == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_the_check_finds_what_a_function_of_ones_own_gets_wrong_in_it(mish):
    net = MLP(2, [3, 1], "mish", seed=1)
    X, Y = [[0.5, -1.0], [0.25, 0.75]], [[0.2], [-0.3]]

    def backprop(W, b, X, Y, *, activations, cost, l2, wrong=False):
        assert activations == ["mish", "mish"]
        without = (lambda z: z * np.tanh(np.logaddexp(0.0, z)), np.ones_like)
        right = (without[0], lambda z: _partials(ops.NUMPY, None, z)[0])
        sigma = [right, without if wrong else right]
        return autobp.matrix.backprop(W, b, X, Y, activations=sigma, cost=cost, l2=l2)

    assert autobp.check.compare(net, X, Y, against=backprop).ok
    report = autobp.check.compare(net, X, Y, against=lambda *args, **kw: backprop(*args, **kw, wrong=True))
    assert report.causes[0] == "σ' is missing in BP1, layer 2"


def test_pictures_of_trainings_have_it(mish):
    net = MLP(2, [3, 1], "mish", seed=1)
    X, Y = [[0.5, -1.0], [0.25, 0.75]], [[0.0], [1.0]]
    assert autobp.plots.decision_boundary(net, X, Y, resolution=4, threshold=0.5).axes
    assert autobp.plots.confusion_matrix(net, X, Y, threshold=0.5).axes


def test_the_command_takes_it(mish, capsys, tmp_path):
    path = MLP(2, [2, 1], "mish", seed=1).save(tmp_path / "net.npz")
    for network in (["2", "2", "1", "--activation", "mish"], [str(path)]):
        assert autobp_command(["check", *network]) == 0
        assert "of mish by the graph's own rule" in capsys.readouterr().out
        assert autobp_command(["explain", *network]) == 0
        assert "mish'(z2[1])" in capsys.readouterr().out
    out = ["--out", str(tmp_path / "out")]
    assert autobp_command(["train", "moons", "--hidden", "2", "-a", "mish", "--epochs", "1", *out]) == 0
    assert "decision_boundary.svg" in capsys.readouterr().out
    assert autobp_command(["check", str(tmp_path / "out" / "network.npz")]) == 0
    assert "agree" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        autobp_command(["check", "--help"])
    assert "mish (default" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_activation_is_told_the_ones_that_are_registered(mish):
    with pytest.raises(ValueError, match=r"did you mean 'mish'\?"):
        MLP(2, [1], "mishh")
    forget("mish")
    with pytest.raises(ValueError, match="unknown activation 'mish'"):
        MLP(2, [1], "mish")


def test_an_operation_of_two_operands_is_no_activation():
    autobp.operation("pair_for_test", lambda xp, x, y: x * y, lambda xp, z, x, y: (y, x), arity=2)
    try:
        assert Value(2.0).pair_for_test(3.0).data == 6.0
        assert not is_activation("pair_for_test")
        with pytest.raises(ValueError, match="unknown activation"):
            MLP(2, [1], "pair_for_test")
    finally:
        forget("pair_for_test")


def test_programs_derivations_pictures_and_pages_have_it(mish, tmp_path):
    net = MLP(2, [3, 1], "mish", seed=1)
    X, Y = np.array([[0.5, -1.0], [0.25, 0.75]]), np.array([[0.2], [-0.3]])

    def loss(x, y):
        return (net(x) - y[0]) ** 2

    step = autobp.compile(loss, net.parameters())
    cost, gradient = step(step.theta, X, Y)
    eager = sum(loss(list(x), list(y)) for x, y in zip(X, Y, strict=True)) / 2
    net.zero_grad()
    eager.backward()
    assert cost == pytest.approx(eager.data, rel=1e-14)
    np.testing.assert_allclose(gradient, [p.grad for p in net.parameters()], rtol=1e-13, atol=1e-15)
    assert "mish" in step.source

    C = loss([0.5, -1.0], [0.2])
    C.label = "C"
    w = net.layers[0].neurons[0].w[0]
    found = autobp.explain(C, wrt=w)
    assert found.value == pytest.approx(autobp.chain.gradients(C, [w])[0], rel=1e-12)
    x = Value(0.5, label="x")
    assert "mish(x)" in autobp.explain(x.mish() * 2.0, wrt=x).text
    assert "Mish" in autobp.draw(x.mish()).source
    assert "mish" in autobp.draw(net).source.lower()
    for what in (x.mish(), net, step):
        path = tmp_path / "page.html"
        autobp.page(what, path)
        assert "mish" in path.read_text(encoding="utf-8").lower()


def test_graphs_of_it_are_pickled_and_copied(mish):
    x = Value(0.5, label="x")
    y = x.mish() * x
    for twin in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert twin.parents[0].operation is mish
        assert twin.data == y.data
    assert pickle.loads(pickle.dumps(mish)) is mish
    written = pickle.dumps(y)
    forget("mish")
    with pytest.raises(KeyError, match=r"'mish'.*autobp\.operation\('mish', value, partials\)"):
        pickle.loads(written)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fit", "autobp.fit is something else"),
        ("compile", "autobp.compile is something else"),
        ("softmax", "autobp.softmax is something else"),
        ("Value", "autobp.Value is something else"),
        ("backward", "every Value has a .backward"),
        ("data", "every Value has a .data"),
        ("detach", "every Value has a .detach"),
        ("gradient_check", "autobp.gradient_check is"),
        ("reduce", "autobp.functions uses the name"),
        ("linear", "networks have an activation 'linear'"),
        ("identity", "networks have an activation 'identity'"),
        ("tanh", "there is an operation 'tanh' already"),
        ("two words", "identifier"),
        ("lambda", "identifier"),
        ("choose", "means something else"),
    ],
)
def test_a_name_that_is_taken_is_refused_with_the_reason(name, why):
    before = dict(ops.TABLE)
    with pytest.raises(ValueError, match=r"choose another name|identifier") as raised:
        autobp.operation(name, _value, _partials)
    assert why in str(raised.value)
    assert before == ops.TABLE


def test_an_operation_is_replaced_on_demand_and_old_nodes_keep_the_old_one(mish):
    x = Value(0.5)
    y = x.mish()
    with pytest.raises(ValueError, match="there is an operation 'mish' already"):
        autobp.operation("mish", _value, _partials)
    double = autobp.operation("mish", lambda xp, x: 2.0 * x, lambda xp, y, x: (2.0,), replace=True)
    assert autobp.mish(0.5).data == x.mish().data == ops.FLOATS.mish(0.5) == ops.NUMPY.mish(0.5) == 1.0
    assert MLP(1, [1], "mish", weights=[[[1.0]]])([3.0]).data == 6.0
    assert y.operation is mish
    assert autobp.mish is double
    y.backward(create_graph=True)
    assert x.grad.data == pytest.approx(slope_of(0.5), rel=1e-8)
    with pytest.raises(ValueError, match="cannot be replaced"):
        autobp.operation("tanh", _value, _partials, replace=True)


def test_a_name_is_free_again_once_its_operation_is_gone():
    for _ in range(2):
        autobp.operation("passing_for_test", _value, _partials)
        forget("passing_for_test")
    assert not hasattr(autobp, "passing_for_test")
    with pytest.raises(AttributeError, match="autobp"):
        autobp.passing_for_test  # noqa: B018


@pytest.mark.parametrize(
    ("value", "partials", "called"),
    [
        (lambda xp, x: xp.calls_for_test(x), _partials, "xp.calls_for_test, which is itself"),
        (lambda xp, x: xp.soft_plus(x), _partials, "xp.soft_plus, and no namespace has that function"),
        (_value, lambda xp, y, x: (xp.sech(x),), "xp.sech, and no namespace has that function"),
        (_value, lambda xp, y, x: (xp.where(x > 0, 1.0, xp.heaviside(x)),), "xp.heaviside"),
    ],
)
def test_a_rule_that_calls_what_there_is_not_is_told_so_at_once(value, partials, called):
    with pytest.raises(ValueError, match="operation 'calls_for_test'") as raised:
        autobp.operation("calls_for_test", value, partials)
    assert called in str(raised.value)
    assert "softplus" in str(raised.value)
    assert "calls_for_test" not in ops.TABLE


def test_a_rule_that_calls_it_for_some_numbers_only_is_told_so_then():
    def value(xp, x):
        return xp.soft_plus(x) if x > 10.0 else x

    op = autobp.operation("late_for_test", value, lambda xp, y, x: (xp.sech(x) if x < -10.0 else 1.0,))
    try:
        assert op(1.0).data == 1.0
        for x, name in ((11.0, "soft_plus"), (-11.0, "sech")):
            with pytest.raises(AttributeError, match=rf"'late_for_test' calls xp\.{name}.*it may call"):
                op(x)
    finally:
        forget("late_for_test")


def test_partials_may_call_the_operation_itself(mish):
    again = autobp.operation(
        "power_for_test",
        lambda xp, x, k: xp.pow(x, k),
        lambda xp, y, x, k: (k * xp.power_for_test(x, k - 1.0),),
        constants=("k",),
    )
    try:
        assert autobp.grad(autobp.grad(lambda x: again(x, 3.0)))(2.0) == 12.0
    finally:
        forget("power_for_test")


def test_a_namespace_without_what_rules_are_made_of_is_refused():
    with pytest.raises(ValueError, match=r"needs .*erf, erfc"):
        ops.namespace("half", exp=math.exp)


def test_the_namespaces_have_erf_and_erfc():
    assert ops.FLOATS.erf(0.5) == pytest.approx(float(ops.NUMPY.erf(np.array(0.5))))
    assert ops.VALUES.erfc(Value(0.5)).data == math.erfc(0.5)


def test_an_operation_called_before_autobp_is_imported_says_so():
    code = (
        "import sys, types, importlib.util, pathlib\n"
        "root = pathlib.Path(importlib.util.find_spec('autobp').submodule_search_locations[0])\n"
        "package = sys.modules['autobp'] = types.ModuleType('autobp')\n"
        "package.__path__ = [str(root)]\n"
        "from autobp.ops import ADD\n"
        "try: ADD(1.0, 2.0)\n"
        "except TypeError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "import autobp" in found.stdout


def test_every_entry_of_the_table_is_at_hand_though_nobody_wrote_it_out():
    for name, op in ops.BUILT_IN.items():
        if not op.inline:
            assert callable(getattr(autobp, name)), name
            if op.arity is not None:
                assert callable(getattr(Value, name)), name
    assert Value(2.0).greater(1.0).data == autobp.add(0.5, 0.5).data == 1.0
    # what is written out, for types and speed, stays what it is
    assert isinstance(autobp.tanh, types.FunctionType)
    assert autobp.take([1.0, 2.0], 1).data == 2.0

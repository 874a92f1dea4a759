"""The graph itself: what a Value takes and refuses, and what backward() computes."""

import gc
import math
import random
import sys
import threading

import numpy as np
import pytest

import autobp
from autobp import Value
from autobp.engine import ieee, topological_order, watch_reads
from autobp.ops import FLOATS, TABLE


def test_micrograds_readme_example_gives_its_printed_results():
    a = Value(-4.0)
    b = Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


def test_backward_again_starts_interior_gradients_afresh_and_accumulates_in_leaves():
    x = Value(3.0)
    y = x * x
    z = y * 2.0
    z.backward()
    z.backward()
    assert (z.grad, y.grad, x.grad) == (1.0, 2.0, 24.0)
    x.grad = 0
    z.backward(0.5)
    assert (z.grad, y.grad, x.grad) == (0.5, 1.0, 6.0)


def test_every_node_comes_after_its_parents_on_random_graphs():
    rng = random.Random(0)
    for _ in range(50):
        nodes = [Value(rng.uniform(-1, 1)) for _ in range(3)]
        for _ in range(40):
            nodes.append(rng.choice(nodes) * rng.choice(nodes) + rng.choice(nodes))
        order = topological_order(nodes[-1])
        place = {id(node): i for i, node in enumerate(order)}
        assert len(place) == len(order)
        assert order[-1] is nodes[-1]
        assert all(place[id(p)] < place[id(node)] for node in order for p in node.parents)


def test_a_chain_of_a_million_nodes_builds_differentiates_and_is_freed():
    x = Value(1.0)
    y = x
    for i in range(1_000_000):
        y = y + x if i % 2 else y * 1.0
    y.backward()
    assert x.grad == 500_001.0
    gc.collect()
    del y
    assert gc.collect() == 0, "a graph is freed by reference counting, with no cycles left behind"


@pytest.mark.parametrize("name", ["add", "multiply"])
def test_the_engines_own_arithmetic_agrees_with_the_table(name):
    op = TABLE[name]
    rng = random.Random(1)
    for _ in range(200):
        a, b = rng.uniform(-9, 9), rng.uniform(-9, 9)
        node = Value(a) + Value(b) if name == "add" else Value(a) * Value(b)
        assert node.operation is op
        assert node.data == op.value(FLOATS, a, b)
        assert node.partials == op.partials(FLOATS, node.data, a, b)


def test_numpy_object_arrays_of_values():
    W = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    x = np.array([Value(0.5), Value(0.25)])
    z = W @ x + np.array([1.0, 2.0])
    assert [v.data for v in z] == [2.0, 4.5]
    for name in ("exp", "arcsin", "arccos", "arctan", "tanh", "sqrt", "abs", "negative"):
        function = getattr(np, name)
        assert [v.data for v in function(x)] == pytest.approx(function([0.5, 0.25]), rel=1e-15)
    v = x[0]
    for k in (np.float64(3), np.float32(3), np.int64(3), np.bool_(True), 3):
        for result in (k * v, v * k, k + v, v - k, k - v, k / v, v / k, v**k, k**v):
            assert isinstance(result, Value)
    assert (2**v).data == pytest.approx(math.sqrt(2))
    assert Value(np.bool_(True)).data == autobp.where(np.bool_(True), 1, v).data == 1.0
    assert np.var(x).data == np.var([0.5, 0.25])
    assert np.std(x).data == np.std([0.5, 0.25])


def test_comparing_a_value_with_an_array_compares_with_each_element():
    x, y = Value(1.0), Value(1.0)
    assert (x == np.array([x, y])).tolist() == [True, False]
    assert (x != np.array([x, y])).tolist() == [False, True]
    assert not x == None  # noqa: E711, SIM201
    assert x != "x"
    for number in (np.array([1.0, 2.0]), np.array(1.0), np.bool_(True)):
        with pytest.raises(TypeError, match=r"v.data == number"):
            x == number  # noqa: B015
        with pytest.raises(TypeError, match=r"v.data == number"):
            x != number  # noqa: B015


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda x: Value("a"), TypeError, ["'a'", "str"]),
        (lambda x: Value(None), TypeError, ["None"]),
        (lambda x: Value(1j), TypeError, ["1j", "complex"]),
        (lambda x: Value(np.zeros(2)), TypeError, ["ndarray", "one Value of each"]),
        (lambda x: Value([1.0]), TypeError, ["list"]),
        (lambda x: Value(x), TypeError, ["already"]),
        (lambda x: Value(10**400), OverflowError, ["too large"]),
        (lambda x: x.log(), ValueError, ["log", "x = -1.0", "> 0"]),
        (lambda x: (x * 0).log(), ValueError, ["log", "> 0"]),
        (lambda x: x.sqrt(), ValueError, ["sqrt", "x = -1.0"]),
        (lambda x: x**0.5, ValueError, ["power", "x = -1.0", "0.5"]),
        (lambda x: 1 / (x * 0), ZeroDivisionError, ["divide", "0.0"]),
        (lambda x: (x * 0) ** -1, ZeroDivisionError, ["power", "-1.0"]),
        (lambda x: (x * 0) ** Value(-1), ZeroDivisionError, ["power", "-1.0"]),
        (lambda x: (x * -1000).exp(), OverflowError, ["exp", "1000.0"]),
        (lambda x: x * 1e308 * 10, OverflowError, ["multiply", "1e+308"]),
        (lambda x: float(x), TypeError, [".data", ".exp()", "x = -1.0"]),
        (lambda x: math.exp(x), TypeError, [".data", ".exp()"]),
        (lambda x: np.array([x], dtype=float), TypeError, [".data"]),
        (lambda x: int(x), TypeError, [".data"]),
        (lambda x: round(x), TypeError, [".data"]),
        (lambda x: x == 1.0, TypeError, ["v.data == number"]),
        (lambda x: x != 1, TypeError, ["v.data == number"]),
        (lambda x: x < "a", TypeError, ["'a'"]),
        (lambda x: x + "a", TypeError, ["Value", "str"]),
        (lambda x: x.no_such_thing, AttributeError, ["no_such_thing"]),
        (lambda x: autobp.take([x, x], 2), IndexError, ["2", "0, 1"]),
        (lambda x: autobp.take([x, x], 0.5), IndexError, ["0.5"]),
        (lambda x: autobp.where(x, 1), TypeError, ["where", "3", "2"]),
        (lambda x: autobp.leaky_relu(x, slop=1), TypeError, ["slop"]),
        (lambda x: autobp.leaky_relu(x, x), TypeError, ["slope", "number"]),
        (lambda x: autobp.dot([x], [x, x]), ValueError, ["1", "2"]),
        (lambda x: autobp.mean([]), ValueError, ["no values"]),
        (lambda x: setattr(x * 2, "data", 1.0), ValueError, ["leaves"]),
        (lambda x: setattr(x, "data", None), TypeError, ["None"]),
        (lambda x: setattr(x * 2, "_backward", print), TypeError, ["_backward", "by hand"]),
        (lambda x: Value(1.0, (x,), "sq").backward(), TypeError, ["_backward", "by hand"]),
        (lambda x: Value(1.0, (2.0,), "sq"), TypeError, ["2.0"]),
        (lambda x: Value(1.0, (x,), (1.0, 2.0)), TypeError, ["1 children", "2"]),
    ],
)
def test_wrong_use_is_told(wrong, error, words):
    with pytest.raises(error) as raised:
        wrong(Value(-1.0, label="x"))
    for word in words:
        assert word in str(raised.value)


def test_non_finite_operands_propagate_as_in_ieee_754():
    inf, nan = Value(math.inf), Value(math.nan)
    assert math.isnan((inf - inf).data)
    assert math.isnan(nan.log().data)
    assert (inf + 1).data == math.inf
    assert (-inf).exp().data == 0.0
    assert math.isnan((inf * 0).data)
    assert math.isnan(inf.sin().data)
    assert inf.sigmoid().data == 1.0


def test_a_local_derivative_alone_may_be_infinite():
    x = Value(0.0)
    x.sqrt().backward()
    assert x.grad == math.inf


def test_inside_ieee_nothing_raises():
    with ieee():
        assert Value(0.0).log().data == -math.inf
        assert (1 / Value(0.0)).data == math.inf
    with pytest.raises(ValueError, match="log"):
        Value(0.0).log()


def test_reads_of_data_can_be_watched_in_one_thread_alone():
    seen = []
    x, y = Value(1.0), Value(2.0)
    with watch_reads(lambda value, what: seen.append((value, what))):
        x.data  # noqa: B018
        x < y  # noqa: B015
        bool(y)
        other = threading.Thread(target=lambda: x.data)
        other.start()
        other.join()
    x.data  # noqa: B018
    assert seen == [(x, ".data"), (x, "<"), (y, "<"), (y, "bool()")]


def in_threads(work, n=4):
    """work() in n threads at once, with far more switches between them than usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)


def test_threads_may_walk_back_over_nodes_that_they_share():
    for _ in range(30):
        leaves = [Value(i) for i in range(50)]
        shared = [x * x for x in leaves]
        in_threads(lambda shared=shared: sum(shared).backward())
        assert [x.grad for x in leaves] == [4 * 2 * x.data for x in leaves]


def test_threads_may_differentiate_functions_of_the_same_parameters():
    parameters = [Value(i) for i in range(50)]
    derivative = autobp.grad(lambda x: autobp.sum([p * x * x for p in parameters]))
    found = []
    in_threads(lambda: found.extend(derivative(3.0) for _ in range(20)))
    assert found == [6.0 * sum(range(50))] * 80
    assert [p.grad for p in parameters] == [0.0] * 50


def test_stable_functions_at_a_thousand():
    x = Value(1000.0)
    probabilities = [p.data for p in autobp.softmax([x, -x, 999.0])]
    assert probabilities == pytest.approx([1 / (1 + math.exp(-1)), 0.0, 1 / (1 + math.e)], rel=1e-15)
    assert autobp.logsumexp([x, -x]).data == 1000.0
    assert (x.sigmoid().data, (-x).sigmoid().data) == (1.0, 0.0)
    assert (x.softplus().data, (-x).softplus().data) == (1000.0, 0.0)


def test_microgpts_constructor_takes_local_gradients():
    x = Value(3.0)
    y = Value(9.0, (x,), (6.0,))
    assert (y._children, y._local_grads, y._prev) == ((x,), (6.0,), {x})
    y.backward()
    assert x.grad == 6.0


def test_micrograds_hand_made_nodes_keep_their_backward():
    x = Value(0.5)
    y = Value(math.tanh(0.5), (x,), "tanh")

    def backward():
        x.grad += (1 - y.data**2) * y.grad

    y._backward = backward
    z = y * 3.0
    z.backward()
    assert y._op == "tanh"
    assert x.grad == pytest.approx(3 * (1 - math.tanh(0.5) ** 2), rel=1e-15)


def test_a_walk_written_by_hand_over_prev_gives_the_same_gradients():
    a, b = Value(2.0), Value(-3.0)
    y = (a * b + a).tanh() * a
    order, seen = [], set()

    def visit(v):
        if v not in seen:
            seen.add(v)
            for child in v._prev:
                visit(child)
            order.append(v)

    visit(y)
    y.grad = 1.0
    for v in reversed(order):
        v._backward()
    by_hand = a.grad, b.grad
    a.grad = b.grad = 0.0
    y.backward()
    assert (a.grad, b.grad) == by_hand


def test_format_and_repr():
    x = Value(1.23456, label="x")
    assert f"{x:.2f}" == "1.23"
    assert repr(x) == "Value(data=1.23456, grad=0.0, label='x')"
    assert "op='**2'" in repr(x**2)


def test_an_error_of_an_operation_that_states_no_domain_ends_there(monkeypatch):
    monkeypatch.setattr(TABLE["log"], "domain", "")
    with pytest.raises(ValueError, match=r"^log\(-1\.0\) is not defined$"):
        Value(-1).log()


def test_sums_of_small_numpy_integers_do_not_overflow():
    pixels = np.array([200, 100], dtype=np.uint8)
    assert autobp.sum(pixels).data == 300
    assert autobp.mean([*pixels, Value(0.0)]).data == 100
    assert autobp.dot(pixels, pixels).data == 50_000
    with pytest.raises(OverflowError, match=r"add\(1e\+308, 1e\+308\)"):
        autobp.sum([1e308, 1e308])


def test_functions_say_how_they_are_written_and_what_they_need():
    assert autobp.sin.__doc__.startswith("sin(x), of Values or numbers")
    assert "an operand > 0" in autobp.log.__doc__


def test_an_attribute_that_there_is_no_room_for_is_told_where_to_go():
    v = Value(1.0)
    with pytest.raises(AttributeError, match="in a dict by Value, m = "):
        v.m = 0.0
    assert not hasattr(v, "m")
    with pytest.raises(AttributeError, match="parents"):
        v.parents = ()
    m = {v: 0.0}  # what the message says
    m[v] += 0.5
    v.grad = 2.0
    v.data = 3.0
    v.label = "v"
    assert (m[v], v.grad, v.data, v.label) == (0.5, 2.0, 3.0, "v")


@pytest.mark.parametrize("label", [None, 3, b"x", ["x"], Value(1.0)])
def test_a_label_is_a_text(label):
    v = Value(1.0, label="x")
    with pytest.raises(TypeError, match="a label is a text"):
        v.label = label
    with pytest.raises(TypeError, match="a label is a text"):
        Value(1.0, label=label)
    assert v.label == "x"
    v.label = np.str_("y")
    assert v.label == "y"


@pytest.mark.parametrize("name", ["data", "grad", "label", "_backward", "operation", "parents", "is_leaf"])
@pytest.mark.parametrize("make", [lambda: Value(2.0, label="x"), lambda: Value(2.0) * 3.0])
def test_nothing_of_a_value_can_be_deleted(make, name):
    """Compiled, deleting one with a setter ended Python."""
    v = make()
    with pytest.raises(AttributeError):
        delattr(v, name)
    assert (v.data, v.grad) in [(2.0, 0.0), (6.0, 0.0)]


@pytest.mark.parametrize(
    ("attribute", "given"),
    [("data", "a"), ("data", None), ("data", 1j), ("grad", None), ("grad", [1.0]), ("grad", Value(1.0))],
)
def test_what_is_set_must_be_a_number(attribute, given):
    v = Value(2.0)
    with pytest.raises(TypeError, match=r"one real number|a Value already"):
        setattr(v, attribute, given)
    assert (v.data, v.grad) == (2.0, 0.0)


def test_a_subclass_has_room_for_what_optimisers_keep():
    class Weight(Value):
        pass

    w = Weight(1.0)
    assert not hasattr(w, "m")
    w.m, w.other = 0.5, 2.0
    assert (w.m, w.other, vars(w)) == (0.5, 2.0, {"m": 0.5, "other": 2.0})
    del w.m
    with pytest.raises(AttributeError, match="no attribute 'm'"):
        w.m  # noqa: B018
    with pytest.raises(AttributeError):
        del w.m


def test_an_array_of_numbers_refuses_a_value_and_says_what_takes_one():
    with pytest.raises(TypeError, match=r"np\.zeros\(n, dtype=object\)"):
        np.zeros(2)[0] = Value(1.0)
    z = np.zeros(2, dtype=object)
    z[0] = Value(1.0)
    assert z.sum().data == 1.0

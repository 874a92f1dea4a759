"""A weighted sum is recorded as one node, and nobody can tell: it is what the operators would have made."""

import copy
import pickle
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pickling import described

import autobp
from autobp import MLP, Neuron, Value
from autobp.engine import ieee, topological_order
from autobp.folded import FOLDED, Operands, weighted_sum


def folded(start, w, x):
    return weighted_sum(start, Operands(w), Operands(x))


def by_operators(start, w, x):
    total = start
    for w_i, x_i in zip(w, x, strict=True):
        total = w_i * x_i if total is None else total + w_i * x_i
    return total


def operands(n, with_start=True, seed=0):
    rng = random.Random(seed)
    w = [Value(rng.gauss(0.0, 1.0), label=f"w{i}") for i in range(n)]
    x = [Value(rng.gauss(0.0, 1.0), label=f"x{i}") for i in range(n)]
    return Value(0.25, label="start") if with_start else None, w, x


@pytest.mark.parametrize("with_start", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 20])
@pytest.mark.parametrize("backward", [False, True])
def test_its_graph_is_what_the_operators_make(n, with_start, backward):
    roots = [make(*operands(n, with_start)) for make in (folded, by_operators)]
    for root in roots:
        if backward:
            root.backward(0.7)
    assert described(roots[0]) == described(roots[1])


@pytest.mark.parametrize("start", [None, Value(1.0)])
def test_a_sum_of_nothing_is_its_start(start):
    assert folded(start, [], []) is start


LOOKS = {
    "operation": lambda z: z.operation,
    "parents": lambda z: z.parents,
    "partials": lambda z: z.partials,
    "repr": repr,
    "micrograd's _prev": lambda z: z._prev,
    "micrograd's _op": lambda z: z._op,
    "micrograd's _backward": lambda z: z._backward,
    "microgpt's _children": lambda z: z._children,
    "microgpt's _local_grads": lambda z: z._local_grads,
    "setting the grad": lambda z: setattr(z, "grad", 3.0),
    "pickle": pickle.dumps,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "topological order": topological_order,
    "create_graph": lambda z: z.backward(create_graph=True),
    "draw": autobp.draw,
    "explain": lambda z: autobp.explain(z, wrt=z.parents[0]).text,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_whoever_looks_sees_the_operators_nodes(look):
    seen = []
    for make in (folded, by_operators):
        z = make(*operands(3))
        root = z.tanh() * 2.0
        root.backward()
        look(z)
        if make is folded:
            assert z._operation is not FOLDED
        seen.append(described(root))
    assert str(seen[0]) == str(seen[1])  # their grads may be Values


def test_backward_does_not_unfold_it():
    z = folded(*operands(3))
    root = z.tanh()
    root.backward()
    assert z._operation is FOLDED
    assert (z.data, z.grad) == (by_operators(*operands(3)).data, root.partials[0])
    assert autobp.chain.gradients(root, [z]) == [z.grad]
    assert z._operation is FOLDED


def test_one_backward_by_hand_reaches_the_direct_parents_only():
    start, w, x = operands(2)
    z = folded(start, w, x)
    z.grad = 1.0
    z._backward()
    assert [parent.grad for parent in z.parents] == [1.0, 1.0]
    assert start.grad == w[0].grad == x[0].grad == 0.0


def test_it_belongs_to_the_data_that_its_operands_had():
    graphs = []
    for make in (folded, by_operators):
        start, w, x = operands(3)
        root = make(start, w, x) ** 2
        for value in (start, *w, *x):
            value.data = 100.0
        root.backward()
        graphs.append(described(root))
    assert graphs[0] == graphs[1]


def test_nodes_seen_are_the_nodes_that_later_walks_reach():
    z = folded(*operands(3))
    root = z * z
    before, product = z.parents
    root.backward()
    first = (before.grad, product.grad)
    root.backward(2.0)
    assert first == (z.data * 2, z.data * 2)
    assert (before.grad, product.grad) == (z.data * 4, z.data * 4)
    assert z.parents == (before, product)


@pytest.mark.parametrize("make", [folded, by_operators])
def test_what_overflows_is_refused_by_the_operation_at_fault(make):
    with pytest.raises(OverflowError, match=r"multiply\(w = 1e\+308, 100\.0\)"):
        make(Value(0.0), [Value(1.0), Value(1e308, label="w")], [Value(1.0), Value(100.0)])
    with pytest.raises(OverflowError, match="add"):
        make(Value(1.7e308), [Value(1e308), Value(-1e308)], [Value(1.0), Value(1.0)])


@pytest.mark.parametrize("gradient", [float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("w_0", [0.0, -0.0, 1e200, float("inf"), float("nan")])
def test_what_is_not_finite_flows_as_it_does_through_the_operators(w_0, gradient):
    graphs = []
    with ieee():
        for make in (folded, by_operators):
            root = make(Value(-0.0), [Value(w_0), Value(2.0)], [Value(3.0), Value(0.0)])
            root.backward(gradient)
            graphs.append(str(described(root)))
    assert graphs[0] == graphs[1]


def test_zeros_keep_their_sign():
    for zeros in ((-0.0, -0.0), (0.0, -0.0), (-0.0, 0.0)):
        w, x = [Value(zero) for zero in zeros], [Value(1.0), Value(1.0)]
        assert str(folded(None, w, x).data) == str(by_operators(None, w, x).data)
    neuron = Neuron(1, nonlin=False, bias=False, init="zeros")
    assert str(neuron([1.0]).data) == "0.0"
    neuron.w[0].data = -0.0
    assert str(neuron([1.0]).data) == "-0.0"


def test_a_neuron_notices_that_its_weights_are_others():
    neuron = Neuron(2, nonlin=False, bias=False)
    neuron.w[0].data, neuron.w[1].data = 1.0, 2.0
    first = neuron([3.0, 4.0])
    neuron.w[0].data = 10.0
    second = neuron([3.0, 4.0])
    neuron.w[1] = Value(20.0)
    third = neuron([3.0, 4.0])
    neuron.w = [Value(0.5)]
    assert [z.data for z in (first, second, third, neuron([3.0]))] == [11.0, 38.0, 110.0, 1.5]
    first.backward()
    assert [product.data for product in (*first.parents, *second.parents)] == [3.0, 8.0, 30.0, 8.0]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    activation=st.sampled_from(["linear", "sigmoid", "tanh", "relu"]),
    bias=st.booleans(),
    look=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_networks_gradients_are_the_operators_to_the_last_bit(sizes, activation, bias, look, seed):
    net = MLP(sizes[0], sizes[1:], activation, bias=bias, seed=seed)
    rng = random.Random(seed)
    inputs = [Value(rng.gauss(0.0, 1.0)) for _ in range(sizes[0])]

    def cost(forward):
        a = inputs
        for layer in net.layers:
            a = forward(layer, a)
        return sum(a_j * a_j for a_j in a)

    def slowly(layer, a):
        return layer.activations([by_operators(neuron.b, neuron.w, a) for neuron in layer.neurons])

    gradients = []
    for forward in (lambda layer, a: layer.activations(layer.weighted_inputs(a)), slowly):
        C = cost(forward)
        if look:
            topological_order(C)
        leaves = net.parameters() + inputs
        for leaf in leaves:
            leaf.grad = 0.0
        C.backward()
        gradients.append((C.data, [leaf.grad for leaf in leaves]))
    assert gradients[0] == gradients[1]


places = st.integers(0, 1000)
steps = st.one_of(
    st.tuples(st.sampled_from(["add", "multiply", "look"]), places, places),
    st.tuples(st.just("sum"), st.one_of(st.none(), places), st.lists(st.tuples(places, places), max_size=4)),
)


@settings(max_examples=200)
@given(program=st.lists(steps, min_size=1, max_size=12))
def test_in_any_program_it_is_what_the_operators_make(program):
    """Operands used twice or in two roles, sums of sums, and looks in between."""

    def run(make):
        values = [Value(0.5), Value(-1.25), Value(0.75)]
        for name, i, j in program:
            pick = [values[k % len(values)] for k in ((i, j) if name != "sum" else ())]
            if name == "look":
                topological_order(pick[0])
            elif name == "add":
                values.append(pick[0] * 0.5 + pick[1])
            elif name == "multiply":
                values.append((pick[0] * pick[1]).tanh())
            else:
                start = None if i is None else values[i % len(values)]
                w = [values[k % len(values)] for k, _ in j]
                x = [values[k % len(values)] for _, k in j]
                z = make(start, w, x)
                values.append(values[0] if z is None else z.tanh())
        root = values[-1]
        root.backward()
        return [value.data for value in values], [value.grad for value in values]

    (data, grads), (data_by_operators, grads_by_operators) = run(folded), run(by_operators)
    assert data == data_by_operators
    assert grads == pytest.approx(grads_by_operators, rel=1e-12, abs=1e-12)


def test_threads_that_look_at_once_see_the_same_nodes():
    for seed in range(30):
        z = folded(*operands(50, seed=seed))
        seen = []
        start = threading.Barrier(4)

        def look(z=z, seen=seen, start=start):
            start.wait()
            seen.append([id(node) for node in topological_order(z)])

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 4
        assert all(order == seen[0] for order in seen)


def test_a_deep_chain_of_neurons_is_walked_and_freed_without_recursion():
    neuron = Neuron(2, nonlin=False)
    neuron.w[0].data, neuron.w[1].data = 0.5, 0.5
    y = Value(1.0)
    for _ in range(100_000):
        y = neuron([y, y])
    y.backward()
    assert (y.data, neuron.b.grad) == (1.0, 100_000.0)
    del y

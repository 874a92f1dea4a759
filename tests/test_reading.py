"""One reading of a graph: labels, layers and targets are the same to all who explain, draw or compile it."""

import math
import re
import subprocess
import sys
import time

import pytest

import autobp
from autobp import MLP, Value, costs, ops
from autobp.engine import ieee
from autobp.ops import TABLE
from autobp.reading.adjoints import Differentiated, slopes
from autobp.reading.graph import record
from autobp.reading.labels import Parameter, array_name, element, parameter
from autobp.reading.layers import WeightedSums, activation_of, labelled_parameters, softmax_of
from autobp.reading.network import find_network
from autobp.reading.neurons import find_neurons
from autobp.reading.targets import softmax_targets, target_of

#: A weight's label and a bias's, of neuron j of a layer from i.
STYLES = {
    "autobp": ("W{l}[{j},{i}]", "b{l}[{j}]"),
    "blanks": ("W{l}[{j}, {i}]", "b{l}[{j}]"),
    "θ": ("θ{l}[{j},{i}]", "θ{l}[{j},0]"),
    "Θ": ("Θ{l}[{j}, {i}]", "Θ{l}[{j}, 0]"),
    "theta": ("theta{l}[{j},{i}]", "theta{l}[{j},0]"),
    "LaTeX": ("w^({l})_{{{j},{i}}}", "b^({l})_{{{j}}}"),
    "LaTeX, braces": ("w^{{({l})}}_{{{j},{i}}}", "b^{{({l})}}_{{{j}}}"),
    "LaTeX, few braces": ("w^({l})_{{{j},{i}}}", "b^({l})_{j}"),
    "slides": ("w^[{l}]_{{{j},{i}}}", "b^[{l}]_{{{j}}}"),
    "round": ("W{l}({j}, {i})", "b{l}({j})"),
}


def relabelled(net, style):
    """The network with its parameters labelled in a style."""
    weight, bias = STYLES[style]
    for l, layer in enumerate(net.layers, start=1):  # noqa: E741
        for j, neuron in enumerate(layer.neurons, start=1):
            for i, w in enumerate(neuron.w, start=1):
                w.label = weight.format(l=l, j=j, i=i)
            neuron.b.label = bias.format(l=l, j=j)
    return net


def cost_of(net, n_inputs=2):
    trace = net.trace([Value(0.5 - i, label=f"x[{i + 1}]") for i in range(n_inputs)])
    cost = costs.quadratic(trace.output, [0.3] * len(trace.output))
    cost.backward()
    return cost


# ------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("style", STYLES)
def test_every_style_says_layer_and_neurons(style):
    weight, bias = STYLES[style]
    assert parameter(weight.format(l=2, j=13, i=4)) == Parameter(2, 13, 4)
    assert parameter(bias.format(l=2, j=13)) == Parameter(2, 13, None)
    assert element(weight.format(l=2, j=13, i=4)).indices == (13, 4)


@pytest.mark.parametrize(
    "label",
    [
        "",
        "x[1]",
        "W",
        "W1",
        "W[1,2]",
        "b1",
        "w1[1,2,3]",
        "W1[1,2",
        "v1[1,2]",
        "W1[a,b]",
        "xW1[1,2]",
        "b1_2",
        "b12",
        "b[2]",
        "b[1]2",
        "b^(1)2]",
        "b^1_2",
    ],
)
def test_other_labels_are_no_parameters(label):
    assert parameter(label) is None


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("W1[2,3]", "W1"),
        ("W1[2, 3]", "W1"),
        ("θ1[1,2]", "θ1"),
        ("b1[2]", "b1"),
        ("conv[1,2,3]", "conv"),
        ("gain", "gain"),
        ("W[1][2,3]", "W"),
        ("w^(1)_{1,2}", "w1"),
        ("b^[2]_{3}", "b2"),
        ("W1(2, 3)", "W1"),
        ("\N{DOUBLE-STRUCK CAPITAL C}[1]", "C"),
    ],
)
def test_arrays_have_a_name_that_python_reads(label, name):
    assert array_name(label) == name
    assert name.isidentifier()


@pytest.mark.parametrize("label", ["", "two words[1]", "2x[1]", "a.b"])
def test_a_label_that_names_no_array_gives_no_identifier(label):
    assert not array_name(label).isidentifier()


# -------------------------------------------------------------------------------------- readers that agree


@pytest.mark.parametrize("style", STYLES)
def test_what_explain_calls_layers_draw_draws_as_neurons(style):
    net = relabelled(MLP(2, [3, 2], activation="tanh", seed=1), style)
    cost = cost_of(net)
    explained = autobp.explain(cost, net.layers[0].neurons[1].w[0])
    assert "in a network of 2 layers" in explained.heading
    assert [section.title.partition(":")[0] for section in explained.sections][2:5] == ["BP1", "BP2", "BP4"]
    source = autobp.draw(cost).source
    assert len(re.findall(r'label="neuron \d · tanh"', source)) == 5
    assert source.count('label="layer ') == 2
    plain = autobp.draw(cost_of(MLP(2, [3, 2], activation="tanh", seed=1))).source
    assert len(source.splitlines()) == len(plain.splitlines())


@pytest.mark.parametrize("style", STYLES)
def test_the_derivation_has_the_same_numbers_in_every_style(style):
    net = MLP(2, [3, 2], activation="tanh", seed=1)
    plain = autobp.explain(cost_of(net), net.layers[0].neurons[1].w[0], notation="BP1-BP4")
    same = relabelled(net, style)
    found = autobp.explain(cost_of(same), same.layers[0].neurons[1].w[0], notation="BP1-BP4")
    assert found.text == plain.text
    assert found.latex == plain.latex


@pytest.mark.parametrize("style", STYLES)
def test_a_summary_names_the_matrices_of_every_style(style):
    net = relabelled(MLP(2, [16, 16, 1], activation="tanh", seed=1), style)
    source = autobp.draw(cost_of(net), max_nodes=50).source
    array = array_name(STYLES[style][0].format(l=2, j=1, i=1))
    assert f"{array}  16 × 16" in source
    assert "256 weights" in source
    assert "16 biases" in source
    assert 'label="layer 3"' in source


@pytest.mark.parametrize("style", STYLES)
def test_programs_are_written_with_the_same_names_in_every_style(style):
    net = relabelled(MLP(2, [3, 1], activation="tanh", seed=1), style)

    def loss(x, y):
        return costs.quadratic([net(x)], [y])

    step = autobp.compile(loss, net.parameters(), example=([0.1, 0.2], 0.5))
    weight = array_name(STYLES[style][0].format(l=1, j=1, i=1))
    for name in (weight, "z1", "a1", "delta1", f"d{weight}"):
        assert re.search(rf"\b{name}\b", step.source), name
    namespace = {}
    exec(step.source, namespace)


def test_a_sum_that_starts_from_zero_is_a_neuron_to_every_reader():
    w = [Value(0.1 * i, label=f"W1[1,{i}]") for i in (1, 2)]
    z = sum(a * b for a, b in zip(w, [0.5, 0.25], strict=True))  # 0 + w·x + w·x
    cost = (z.tanh() - 0.3) ** 2
    assert "in a network of 1 layer" in autobp.explain(cost, w[0]).heading
    assert 'label="neuron 1 · tanh"' in autobp.draw(cost).source


def test_biases_of_a_matrix_theta_are_counted_apart_from_its_weights():
    net = relabelled(MLP(2, [16, 16, 1], activation="tanh", seed=1), "θ")
    source = autobp.draw(cost_of(net), max_nodes=50).source
    assert "256 weights" in source
    assert "272 weights" not in source


# ------------------------------------------------------------------------- operations registered at run time


@pytest.fixture
def bent():
    operation = ops.operation(
        "bent_for_reading",
        lambda xp, x: 0.5 * (xp.sqrt(x * x + 1.0) - 1.0) + x,
        lambda xp, y, x: (0.5 * x / xp.sqrt(x * x + 1.0) + 1.0,),
    )
    yield operation
    TABLE.pop(operation.name, None)


def test_a_registered_operation_is_an_activation_to_every_reader(bent):
    from autobp.engine import apply

    net = MLP(2, [3, 2], activation=lambda z: apply(bent, [z]), seed=2)
    cost = cost_of(net)
    w = net.layers[1].neurons[0].w[0]
    text = autobp.explain(cost, w).text
    assert "bent_for_reading'(z2)" in text
    assert "a2[1] = bent_for_reading(z2[1])" in text
    assert autobp.draw(cost).source.count("· bent_for_reading") == 5
    assert autobp.explain(cost, net.layers[0].neurons[0].w[0]).value == pytest.approx(
        net.layers[0].neurons[0].w[0].grad
    )


@pytest.mark.parametrize(
    "name", ["sigmoid", "tanh", "relu", "gelu", "silu", "softplus", "erf", "sin", "cos", "sinh"]
)
def test_one_operation_of_z_alone_is_its_activation(name):
    w, x = Value(0.5, label="W1[1,1]"), Value(0.7)
    graph = record([getattr(autobp, name)(w * x) - 0.5])
    sums = WeightedSums(graph, labelled_parameters(graph))
    (z,) = [i for i in range(len(graph)) if sums.is_z(i)]
    a = activation_of(graph, z)
    assert a is not None
    assert graph.operations[a] is TABLE[name]


@pytest.mark.parametrize(
    "cost", [lambda z: z**2, lambda z: -z, lambda z: z.exp(), lambda z: abs(z), lambda z: z * 3.0]
)
def test_what_a_cost_does_to_a_linear_output_is_no_activation(cost):
    w, x = Value(0.5, label="W1[1,1]"), Value(0.7)
    z = w * x
    graph = record([cost(z)])
    assert activation_of(graph, graph.number(z)) is None


# ------------------------------------------------------------------------------------------------ the graph


def test_a_graph_has_parents_before_children_and_each_consumer_once():
    x, y = Value(2.0, label="x"), Value(3.0)
    s = x * x
    graph = record([s + y, s])
    assert len(graph) == 4
    assert all(parent < i for i, parents in enumerate(graph.parents) for parent in parents)
    assert graph.parents[graph.number(s)] == (graph.number(x),) * 2
    assert graph.consumers[graph.number(x)] == [graph.number(s)]
    assert [graph.values[output] for output in graph.outputs] == [7.0, 4.0]
    assert graph.label(graph.number(x)) == "x"
    assert graph.number(Value(2.0)) is None


def test_a_graph_that_let_go_of_its_values_keeps_its_lists():
    graph = record([Value(2.0) * Value(3.0)])
    graph.release()
    assert graph.nodes == []
    assert graph.values == [2.0, 3.0, 6.0]


def test_a_graph_of_many_nodes_is_recorded_without_recursion_and_fast():
    v = x = Value(1.0)
    for _ in range(200_000):
        v = v + x
    start = time.perf_counter()
    graph = record([v])
    assert len(graph) == 200_001
    assert time.perf_counter() - start < 5.0


# ------------------------------------------------------------------------------------------- the chain rule


@pytest.mark.parametrize("x", [-1.0, 0.0, 2.0])
def test_adjoints_are_what_backward_gives_at_edges_too(x):
    v = Value(x)
    with ieee():
        root = (
            autobp.relu(v).sqrt()
            + autobp.maximum(v, 0.0).sqrt() * 2.0
            + autobp.where(autobp.greater(v, 0.0), v, 0.0).sqrt() * 3.0
            + autobp.take([v, 0.0], 1).sqrt()
        )
    root.backward()
    found = Differentiated(record([root]))
    for node, adjoint in zip(found.graph.nodes, found.adjoint, strict=True):
        assert adjoint == node.grad or (adjoint != adjoint and node.grad != node.grad)
    assert math.isfinite(v.grad) or x == 0.0


def test_an_infinite_partial_in_a_branch_that_was_not_taken_stays_nan():
    v = Value(0.0)
    with ieee():
        root = autobp.where(autobp.greater(v, 0.0), v.sqrt(), 0.0 * v)
    found = Differentiated(record([root]))
    assert math.isnan(found.adjoint[found.graph.number(v)])


def test_slopes_at_other_numbers():
    x, y = Value(1.0), Value(2.0)
    root = (x * y + autobp.relu(x - 5.0)).exp()
    graph = record([root])
    order = [i for i in range(len(graph)) if i != graph.number(x)]
    (slope,) = slopes(graph, order, {graph.number(x): 6.0}, [graph.number(x)])
    assert slope == pytest.approx(3.0 * math.exp(13.0))


# ---------------------------------------------------------------------------------------- costs and targets


@pytest.mark.parametrize(
    ("cost", "activation", "form"),
    [
        (costs.quadratic, "sigmoid", "difference"),
        (costs.binary_cross_entropy, "sigmoid", "ratio"),
        (costs.binary_cross_entropy_with_logits, "linear", "sigmoid"),
        (costs.quadratic, "linear", "difference"),
        (costs.hinge, "linear", "margin"),
    ],
)
def test_the_target_and_the_form_of_each_cost_are_found(cost, activation, form):
    net = MLP(2, [1], activation=activation, seed=3)
    trace = net.trace([0.4, -0.6])
    y = Value(1.0)
    graph = record([cost(trace.output, [y])])
    output = graph.number(trace.output[0])
    found = target_of(graph, graph.root, output, (), activation == "linear")
    assert found is not None
    assert found.form == form
    assert graph.nodes[found.number] is y
    assert found.coefficient == pytest.approx(1.0)


def test_the_targets_of_a_softmax_cross_entropy_are_found():
    z = [Value(0.3), Value(-0.2), Value(1.1)]
    graph = record([costs.softmax_cross_entropy(z, 1)])
    assert softmax_targets(graph, graph.root, [graph.number(x) for x in z]) == [0.0, 1.0, 0.0]


def test_a_softmax_is_found_by_its_structure():
    net = MLP(2, [3], activation="softmax", seed=1)
    trace = net.trace([1.0, -1.0])
    graph = record([autobp.sum([a.log() for a in trace.output])])
    zs = {j: graph.number(z) for j, z in enumerate(trace.z[1], start=1)}
    assert softmax_of(graph, zs) == {j: graph.number(a) for j, a in enumerate(trace.output, start=1)}
    assert softmax_of(graph, {1: zs[1], 2: zs[2]}) == {}


def test_the_network_of_a_derivative_has_the_neurons_that_are_drawn():
    net = MLP(2, [3, 2], activation="tanh", seed=1)
    cost = cost_of(net)
    graph = record([cost])
    network = find_network(graph, graph.number(net.layers[0].neurons[1].w[0]))
    drawn = {(neuron.layer, neuron.index): (neuron.z, neuron.a) for neuron in find_neurons(graph).neurons}
    explained = {
        (neuron.layer, neuron.index): (neuron.z, neuron.a)
        for neurons in network.samples[0].layers
        for neuron in neurons.values()
    }
    assert explained.items() <= drawn.items()
    assert len(drawn) == 5


# ------------------------------------------------------------------------------------------------- arrows


def test_reading_knows_none_of_its_readers():
    program = (
        "import sys, autobp.reading.targets, autobp.reading.neurons, autobp.reading.network\n"
        "rooms = ('explanation', 'drawing', 'html_page', 'compiler')\n"
        "sys.exit(any(name.startswith(f'autobp.{room}') for name in sys.modules for room in rooms))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Pictures: what they say, how they are laid out, and what is folded."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import graphviz
import numpy as np
import pytest

import autobp
from autobp import MLP, Layer, Neuron, Value
from autobp.drawing import LayoutError, draw, picture
from autobp.drawing.area import in_layer
from autobp.drawing.program import statements
from autobp.drawing.reach import EASY, Reach
from autobp.drawing.style import THEMES, Style, mix
from autobp.engine import topological_order
from autobp.ops import EXP
from autobp.reading.graph import record
from autobp.reading.neurons import find_neurons

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", autouse=True)
def layout_engine():
    """Everything here but the tests of its absence needs a layout engine."""
    pytest.importorskip("pygraphviz")


def readme_graph():
    a, b, c, f = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c"), Value(-2.0, label="f")
    root = (a * b + c) * f
    root.label = "L"
    root.backward()
    return root, a


def network_cost(net=None, penalty=0.0):
    net = net or MLP(3, [2, 1], activation="sigmoid", seed=1)
    trace = net.trace([Value(number, label=f"x[{i + 1}]") for i, number in enumerate([1.0, 0.5, -1.0])])
    cost = autobp.costs.quadratic(trace.output, [1.0])
    if penalty:
        cost = cost + penalty * autobp.sum(w * w for w in net.weights())
    cost.label = "J"
    cost.backward()
    return net, trace, cost


def svg_of(drawing):
    return ElementTree.fromstring(drawing.pipe(format="svg"))


def texts(element):
    return [" ".join(text.text.split()) for text in element.iter(f"{SVG}text")]


def group(root, id):
    return next(g for g in root.iter(f"{SVG}g") if g.get("id") == id)


# ----------------------------------------------------------------------- laying out


def test_it_is_a_graphviz_digraph_rendered_with_no_dot_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    drawing = draw(readme_graph()[0])
    assert isinstance(drawing, graphviz.Digraph)
    assert drawing.pipe(format="svg").startswith(b"<?xml")
    assert drawing.pipe(format="svg", encoding="utf-8").startswith("<?xml")
    assert drawing.pipe(format="png").startswith(b"\x89PNG")
    assert drawing.pipe(format="pdf").startswith(b"%PDF")
    assert "<svg" in drawing._repr_mimebundle_()["image/svg+xml"]


def test_render_puts_files_where_graphviz_does(tmp_path):
    drawing = draw(readme_graph()[0])
    assert drawing.render("graph", directory=tmp_path) == str(tmp_path / "graph.svg")
    assert (tmp_path / "graph").read_text() == drawing.source
    assert drawing.render(outfile=tmp_path / "other.png", cleanup=True) == str(tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "graph.svg", "other.png"]
    with pytest.raises(FileExistsError):
        drawing.render("graph", directory=tmp_path, raise_if_result_exists=True)


@pytest.mark.skipif(not shutil.which("dot"), reason="no Graphviz installed to compare with")
def test_render_returns_what_graphviz_itself_returns(tmp_path):
    source = draw(readme_graph()[0]).source
    plain = graphviz.Source(source, format="svg")
    ours = picture.Picture(format="svg")
    for arguments in ({"filename": "a"}, {"filename": "b", "format": "png"}, {"outfile": "c.svg"}):
        expected = plain.render(directory=tmp_path / "theirs", **arguments)
        found = ours.render(directory=tmp_path / "ours", **arguments)
        assert os.path.relpath(found, tmp_path / "ours") == os.path.relpath(expected, tmp_path / "theirs")


def test_write_takes_the_format_from_the_suffix(tmp_path):
    drawing = draw(readme_graph()[0])
    assert drawing.write(tmp_path / "graph.svg").read_bytes().startswith(b"<?xml")
    assert drawing.write(tmp_path / "graph.gv").read_text() == drawing.source
    with pytest.raises(ValueError, match=r"graph\.xyz"):
        drawing.write(tmp_path / "graph.xyz")
    assert not (tmp_path / "graph.xyz").exists()


def test_nothing_is_printed(capfd):
    draw(readme_graph()[0]).pipe(format="svg")
    assert capfd.readouterr() == ("", "")


def test_without_any_engine_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with pytest.raises(LayoutError, match=r"pip install pygraphviz.*dot"):
        draw(readme_graph()[0]).pipe(format="svg")


def test_dot_is_used_where_only_that_is_there(monkeypatch, tmp_path):
    dot = tmp_path / "dot"
    program = "import sys; print('laid out by', sys.argv[1:], 'digraph' in sys.stdin.read())"
    dot.write_text(f"#!{sys.executable}\n{program}\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    assert draw(readme_graph()[0]).pipe() == b"laid out by ['-Kdot', '-Tsvg'] True\n"


def test_autobp_imports_and_builds_pictures_without_pygraphviz():
    program = (
        "import sys; sys.modules['pygraphviz'] = None\n"
        "import autobp; assert 'digraph' in autobp.draw(autobp.Value(1.0)).source"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_autobp_does_not_import_what_draws():
    program = "import sys, autobp; sys.exit('graphviz' in sys.modules or 'autobp.drawing' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("arguments", [{"format": "xyz"}, {"engine": "xyz"}])
def test_an_unknown_format_or_engine_is_named(arguments):
    with pytest.raises(ValueError, match="xyz"):
        draw(Value(1.0)).pipe(**arguments)


# ----------------------------------------------------------------------- a graph of scalars


def test_each_node_shows_data_grad_operation_and_label():
    root, _ = readme_graph()
    drawing = svg_of(draw(root, number_format=".2f"))
    order = topological_order(root)
    for i, node in enumerate(order):
        found = texts(group(drawing, f"n{i}"))
        assert f"{node.data:.2f}" in found
        assert f"{node.grad:.2f}" in found
        assert [text for text in (node._op, node.label) if text] == found[: bool(node._op) + bool(node.label)]
    assert len([g for g in drawing.iter(f"{SVG}g") if g.get("class") == "node"]) == len(order)
    assert len([g for g in drawing.iter(f"{SVG}g") if g.get("class") == "edge"]) == 6


def test_show_chooses_the_numbers():
    root, _ = readme_graph()
    assert "grad" not in texts(svg_of(draw(root, show="data")))
    assert "data" not in texts(svg_of(draw(root, show=["grad"])))
    with_partials = draw(root, show=["partials"])
    labels = {float(text) for text in texts(svg_of(with_partials)) if re.fullmatch(r"\s*-?[\d.]+\s*", text)}
    assert labels == {partial for node in topological_order(root) for partial in node.partials}


def test_an_operand_used_twice_has_two_edges():
    x = Value(3.0, label="x")
    assert draw(x * x).source.count("n0 -> n1") == 2


@pytest.mark.parametrize(
    "label", ["a:b", '"quoted"', "<b>", "a & b", r"\N \G \\", "{|}", "π²", "tab\tline\nend", "%s"]
)
def test_any_label_is_shown_as_it_is(label):
    x = Value(1.0, label=label)
    shown = " ".join(c if c.isprintable() else " " for c in label).split()
    root = svg_of(draw(x * 2.0))
    assert "".join(texts(group(root, "n0"))[0].split()) == "".join("".join(shown).split())


def test_a_long_label_is_cut():
    found = texts(svg_of(draw(Value(1.0, label="long " * 100))))[0]
    assert len(found) == 40
    assert found.endswith("…")


def test_numbers_that_are_not_finite_are_drawn():
    x = Value(math.inf, label="x")
    y = x * 2.0
    y.backward()
    x.grad = math.nan
    assert {"inf", "nan"} <= set(texts(svg_of(draw(y))))


def test_what_is_not_finite_leaves_the_others_their_colours_and_their_range():
    net = MLP(3, [2], seed=1)
    w = net.layers[0].neurons[0].w
    w[0].data, w[1].data = math.nan, -math.inf
    largest = max(abs(p.data) for p in net.parameters() if math.isfinite(p.data))
    assert f"at most {largest:.3g}" in draw(net).source
    assert f"penwidth={0.4 + 3.2:.2f}" in draw(net).source
    x = [Value(data, label=f"x[{i + 1}]") for i, data in enumerate([3.0, math.nan, 1e308, 1e308, math.nan])]
    y = autobp.sum(v.sin() for v in [*x[:1], *x[2:4]]) + x[1] + x[4]
    assert "3 … 1e+308, 2 nan" in texts(svg_of(draw(y, max_nodes=3, color="data")))


def test_zero_has_no_sign():
    assert "-0" not in texts(svg_of(draw(Value(-0.0))))


def test_node_ids_are_generated_and_edges_flow_from_operand_to_result():
    a, b = Value(1.0, label="n7"), Value(2.0, label="n7")
    root = a + b
    source = draw(root).source
    assert set(re.findall(r"(n\d+) -> (n\d+)", source)) == {("n0", "n2"), ("n1", "n2")}


@pytest.mark.parametrize("direction", ["LR", "RL", "TB", "BT"])
def test_direction(direction):
    root, _ = readme_graph()
    drawing = svg_of(draw(root, direction=direction))
    order = topological_order(root)

    def place(i):
        text = next(group(drawing, f"n{i}").iter(f"{SVG}text"))
        return float(text.get("x")), float(text.get("y"))

    (x0, y0), (x1, y1) = place(0), place(len(order) - 1)
    along = {"LR": x1 - x0, "RL": x0 - x1, "TB": y1 - y0, "BT": y0 - y1}[direction]
    assert along > 50


def test_depth_keeps_what_is_near_the_root_and_counts_the_rest():
    root, _ = readme_graph()
    drawing = draw(root, depth=1)
    assert "3 of 7 nodes, down to depth 1; 4 nodes folded" in drawing.source
    nodes = [g for g in svg_of(drawing).iter(f"{SVG}g") if g.get("class") == "node"]
    assert len(nodes) == 3 + 1  # and one … below d
    assert "folded" not in draw(root, depth=3).source


def test_highlight_shows_the_paths_whose_products_add_up_to_the_derivative():
    x, y = Value(0.5, label="x"), Value(2.0, label="y")
    root = x * y + (x + y).tanh()
    root.backward()
    source = draw(root, highlight=x).source
    assert "a sum over 2 paths" in source
    colour = THEMES["light"].highlight
    edges = re.findall(rf'n(\d+) -> n(\d+) \[label=" (\S+) " color="{colour}"', source)
    partials = {}
    for tail, head, partial in edges:
        partials.setdefault(int(tail), []).append((int(head), float(partial)))
    order = topological_order(root)

    def total(i):
        return 1.0 if i == len(order) - 1 else sum(partial * total(head) for head, partial in partials[i])

    assert total(order.index(x)) == pytest.approx(x.grad, abs=1e-3)
    assert y not in {order[i] for i in partials}


def test_what_the_root_does_not_depend_on_cannot_be_highlighted():
    with pytest.raises(ValueError, match="stranger"):
        draw(Value(1.0) * 2.0, highlight=Value(1.0, label="stranger"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"direction": "up"}, "direction"),
        ({"show": ["size"]}, "show"),
        ({"number_format": "q"}, "number_format"),
        ({"theme": "pink"}, "theme"),
        ({"color": "red"}, "color"),
        ({"depth": -1}, "depth"),
        ({"max_nodes": 0}, "max_nodes"),
    ],
)
def test_a_wrong_option_is_named(options, named):
    with pytest.raises(ValueError, match=named):
        draw(Value(1.0), **options)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(TypeError, match=r"3\.5"):
        draw(3.5)


def test_a_chain_deeper_than_the_recursion_limit_can_be_drawn():
    x = Value(1.0)
    for _ in range(3000):
        x = x + 1.0
    assert "node" in draw(x, depth=2).source


def test_a_node_made_by_hand_is_drawn_with_its_own_operation():
    x = Value(2.0, label="x")
    out = Value(8.0, (x,), "cube")
    assert "cube" in texts(svg_of(draw(out, highlight=x)))


# ----------------------------------------------------------------------- neurons in a graph


@pytest.mark.parametrize("with_trace", [False, True])
def test_neurons_are_clusters_with_z_a_and_delta_marked(with_trace):
    _, trace, cost = network_cost()
    drawing = svg_of(draw(cost, trace=trace if with_trace else None, number_format=".6f"))
    order = topological_order(cost)
    for layer in (1, 2):
        for j, (z, a) in enumerate(zip(trace.z[layer], trace.a[layer], strict=True), start=1):
            found = texts(group(drawing, f"n{order.index(z)}"))
            assert f"z{layer}[{j}]" in found
            assert found[-2:] == ["δ = grad", f"{z.grad:.6f}"]
            assert f"a{layer}[{j}]" in texts(group(drawing, f"n{order.index(a)}"))
    titles = [texts(g)[0] for g in drawing.iter(f"{SVG}g") if g.get("class") == "cluster"]
    assert sorted(titles) == [
        "inputs",
        "layer 1",
        "layer 2",
        *["neuron 1 · sigmoid"] * 2,
        "neuron 2 · sigmoid",
    ]


@pytest.mark.parametrize("penalty", [0.0, 0.1])
@pytest.mark.parametrize("activation", ["relu", "linear", "tanh", ["gelu", "linear"]])
@pytest.mark.parametrize("bias", [True, False])
def test_labels_tell_the_same_neurons_as_a_trace(activation, bias, penalty):
    net = MLP(3, [4, 2, 1], activation=activation if isinstance(activation, str) else [*activation, "relu"],
              bias=bias, seed=3)  # fmt: skip
    _, trace, cost = network_cost(net, penalty)
    graph = record([cost])
    by_label, by_trace = find_neurons(graph), find_neurons(graph, trace)
    found = {(n.layer, n.index): n for n in by_label.neurons}
    known = {(n.layer, n.index): n for n in by_trace.neurons}
    inside = [dict(zip(f.neurons, map(set, f.inside), strict=True)) for f in (by_label, by_trace)]
    assert found.keys() == known.keys() == {(1, j) for j in (1, 2, 3, 4)} | {(2, 1), (2, 2), (3, 1)}
    for key, neuron in found.items():
        assert neuron.z == known[key].z == graph.number(trace.z[key[0]][key[1] - 1])
        assert inside[0][neuron] == inside[1][known[key]] or neuron.a is None
        if neuron.a is not None:
            assert neuron.a == graph.number(trace.a[key[0]][key[1] - 1])


def test_softmax_neurons_share_their_sum():
    net = MLP(2, [3], activation="softmax", seed=1)
    trace = net.trace([1.0, -1.0])
    cost = autobp.sum(a.log() for a in trace.output)
    graph = record([cost])
    found = find_neurons(graph, trace)
    assert [graph.nodes[neuron.a] for neuron in found.neurons] == trace.output
    assert sum(graph.operations[number] is EXP for number in found.shared[1]) == 3


def test_every_arrow_of_a_softmax_points_forward():
    net = MLP(2, [3, 3], activation=["tanh", "softmax"], seed=1)
    trace = net.trace([0.5, -1.0])
    cost = autobp.costs.quadratic(trace.output, [0.0, 1.0, 0.0])
    order = topological_order(cost)
    svg = svg_of(draw(cost, trace=trace))
    left = {}
    for i in range(len(order)):
        points = group(svg, f"n{i}").findall(f".//{SVG}text")
        left[order[i]] = min(float(text.get("x")) for text in points)
    backwards = [node for node in order for parent in node.parents if left[parent] >= left[node]]
    assert backwards == []


def test_a_scaled_weight_is_no_neuron():
    w = [Value(1.0, label="W1[1,1]"), Value(2.0, label="W1[1,2]")]
    assert find_neurons(record([w[0] * 2.0 + w[1] * w[1]])).neurons == []


# ----------------------------------------------------------------------- too large to draw


def batch_cost(n_samples=20):
    net = MLP(2, [16, 16, 1], seed=1)
    cost = Value(0.0)
    for k in range(n_samples):
        x = [Value(math.sin(3 * k + i), label=f"x{k + 1}[{i + 1}]") for i in range(2)]
        cost = cost + (1 - net(x) * (-1) ** k).relu()
    cost = cost / n_samples + 1e-4 * autobp.sum(w * w for w in net.weights())
    cost.backward()
    return net, cost


def test_a_large_graph_is_summarised_by_layer_and_every_node_is_counted():
    _, cost = batch_cost()
    order = topological_order(cost)
    drawing = draw(cost)
    assert f"{len(order):,} nodes in " in drawing.source
    tips = re.findall(r'id=g\d+ tooltip="([\d,]+) nodes?"', drawing.source)
    assert sum(int(tip.replace(",", "")) for tip in tips) == len(order)
    assert len(tips) <= 30
    found = texts(svg_of(drawing))
    assert {"layer 1", "layer 2", "layer 3", "z1", "a1", "z3", "W2 16 × 16", "δ = grad"} <= set(found)


def test_inputs_and_targets_without_labels_are_told_apart_by_what_takes_them_in():
    net = MLP(4, [6, 3], activation=["tanh", "linear"], seed=1)
    rows = [[0.1 * i - 0.2 * k for i in range(4)] for k in range(10)]
    targets = [[1.0, 0.0, 0.0] for _ in rows]
    cost = autobp.costs.softmax_cross_entropy([net(row) for row in rows], targets)
    found = texts(svg_of(draw(cost)))
    assert found[found.index("inputs") + 1] == "40 numbers"
    assert "30 numbers in the cost" in found  # the targets
    assert found[found.index("1 number in the cost") + 2] == "10"  # what the sum is divided by
    assert {"24 weights", "6 biases", "60 sums of 8 nodes each", "10 sums of 2 nodes each"} <= set(found)


def test_leaves_that_are_taken_in_alike_stay_one_box():
    w = Value(0.5, label="w")
    state = Value(1.0, label="s")
    for k in range(400):
        state = state * w + math.sin(k)
    assert "400 numbers" in texts(svg_of(draw(state, highlight=w)))
    found = texts(svg_of(draw(state)))  # a recurrence, whose first step begins with a leaf
    assert found[found.index("x⁽ᵗ⁾") + 1] == "399 numbers"


def test_a_group_shows_the_range_of_its_members():
    net, cost = batch_cost()
    numbers = [w.data for neuron in net.layers[1].neurons for w in neuron.w]
    drawing = draw(cost, number_format=".6f")
    assert f"{min(numbers):.6f} … {max(numbers):.6f}" in texts(svg_of(drawing))


def test_repetition_that_never_repeats_exactly_is_folded_into_a_loop():
    start = x = Value(0.5, label="x")
    for _ in range(2000):
        x = (x * 0.9 + 0.1).sin()
    assert re.search("(2,000|1,999) times", draw(x).source)
    drawing = draw(x, highlight=start)  # whose paths are not drawn once
    assert f"{5 * 2000 + 1:,} nodes in" in drawing.source
    assert "repetition" in drawing.source
    assert drawing.source.count("->") < 60


def test_a_summary_highlights_what_lies_on_the_paths():
    net, cost = batch_cost()
    weight = net.layers[2].neurons[0].w[0]
    source = draw(cost, highlight=weight).source
    lit = re.findall(rf'(g\d+) -> (g\d+) \[color="{THEMES["light"].highlight}"', source)
    assert lit
    assert len(lit) < source.count("->")


def test_one_hundred_thousand_nodes_are_summarised():
    rows = [Value(float(i % 7), label=f"x[{i + 1}]") for i in range(20_000)]
    root = autobp.sum((x * 2.0 + 1.0).tanh() for x in rows)
    assert len(topological_order(root)) > 100_000
    assert draw(root).source.count("->") < 20


def test_max_nodes_decides():
    root, _ = readme_graph()
    assert "too many" in draw(root, max_nodes=6).source
    assert "too many" not in draw(root, max_nodes=7).source


# ----------------------------------------------------------------------- a network


def boxes(drawing):
    """The bounding box of each text, with widths measured by the layout engine's own font."""
    from PIL import ImageFont

    font = ImageFont.load_default(10)
    found = []
    for text in drawing.iter(f"{SVG}text"):
        size = float(text.get("font-size"))
        width = font.getlength(text.text) * size / 10
        x, y = float(text.get("x")), float(text.get("y"))
        left = {"middle": x - width / 2, "start": x, "end": x - width}[text.get("text-anchor", "start")]
        found.append((left, y - 0.75 * size, left + width, y + 0.1 * size, text.text))
    return found


def overlapping(drawing):
    found = boxes(drawing)
    return [
        (a[4], b[4])
        for i, a in enumerate(found)
        for b in found[i + 1 :]
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


@pytest.mark.parametrize("direction", ["LR", "RL", "TB", "BT"])
@pytest.mark.parametrize("shape", [(3, [2, 1]), (1, [1]), (2, [4, 4, 2]), (12, [3]), (4, [5, 4, 3])])
@pytest.mark.parametrize("show", [("data",), ("data", "grad")])
def test_no_text_of_a_network_overlaps_another(shape, direction, show):
    pytest.importorskip("PIL")
    net = MLP(*shape, activation="tanh", seed=2)
    trace = net.trace([0.123 * (-1) ** i for i in range(shape[0])])
    autobp.sum(trace.output).backward()
    assert overlapping(svg_of(draw(net, trace=trace, direction=direction, show=show))) == []


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_no_text_of_a_graph_overlaps_another(direction):
    pytest.importorskip("PIL")
    net, trace, cost = network_cost()
    weight = net.layers[0].neurons[0].w[0]
    drawing = draw(
        cost, trace=trace, direction=direction, highlight=weight, show=("data", "grad", "partials")
    )
    assert overlapping(svg_of(drawing)) == []


def test_a_network_has_a_circle_for_each_unit_and_bias_units_apart():
    net, trace, _ = network_cost()
    drawing = svg_of(draw(net, trace=trace, number_format=".5f"))
    for layer, column in enumerate(trace.a):
        for j, a in enumerate(column, start=1):
            found = texts(group(drawing, f"u{layer}_{j}"))
            expected = [f"a{layer}[{j}]" if layer else f"x[{j}]", f"{a.data:.5f}"]
            assert found == expected + ([f"δ {trace.z[layer][j - 1].grad:.5f}"] if layer else [])
    weights = [f"{parameter.data:.5f}" for parameter in net.parameters()]
    shown = [
        text for g in drawing.iter(f"{SVG}g") if re.fullmatch(r"w\d+", g.get("id", "")) for text in texts(g)
    ]
    assert sorted(shown) == sorted(weights)
    assert [texts(group(drawing, f"bias{layer}")) for layer in (0, 1)] == [["1"], ["1"]]
    assert texts(group(drawing, "title1")) == ["layer 1", "sigmoid"]


def test_columns_are_layers():
    net, _, _ = network_cost()
    drawing = svg_of(draw(net))

    def centre(id):
        ellipse = next(group(drawing, id).iter(f"{SVG}ellipse"))
        return float(ellipse.get("cx")), float(ellipse.get("cy"))

    assert (
        centre("u0_1")[0] == centre("u0_3")[0] == centre("bias0")[0] < centre("u1_1")[0] == centre("u1_2")[0]
    )
    assert centre("bias0")[1] < centre("u0_1")[1] < centre("u0_2")[1] < centre("u0_3")[1]


def test_a_network_without_biases_has_no_bias_units():
    assert "bias" not in draw(MLP(2, [2], bias=False)).source


def test_edges_tell_sign_and_size():
    net = MLP(2, [1], activation="linear", weights=[[[2.0, -0.5]]])
    source = draw(net).source
    edges = dict(re.findall(r"u0_(\d) -> u1_1 \[(.*?)\]\n", source))
    assert THEMES["light"].positive in edges["1"]
    assert THEMES["light"].negative in edges["2"]
    assert "dashed" in edges["2"]
    assert "dashed" not in edges["1"]
    widths = {index: float(re.search(r"penwidth=([\d.]+)", edge)[1]) for index, edge in edges.items()}
    assert widths["1"] > widths["2"]


def test_a_wide_layer_is_shortened_and_counted():
    found = texts(svg_of(draw(MLP(784, [30, 10], seed=1), pixels=())))
    assert "776 more" in found
    assert "22 more" in found
    assert "a2[10]" in found
    assert sum(re.fullmatch(r"x\[\d+\]", text) is not None for text in found) == 784 - 776


def test_delta_is_shown_only_after_a_backward_pass():
    net = MLP(2, [1], seed=1)
    assert "δ" not in draw(net, trace=net.trace([1.0, 2.0])).source


def test_layers_and_neurons_are_networks_too():
    assert "u1_3" in draw(Layer(2, 3)).source
    assert "u1_1" in draw(Neuron(2)).source


@pytest.mark.parametrize("direction", ["LR", "TB", "RL", "BT"])
def test_names_of_inputs_and_classes_stand_beside_their_circles(direction):
    net = MLP(3, [2, 3], seed=1)
    names = ["length", "width & height", "<age>"]
    classes = ["setosa", "versi\ncolor", "a class of a long, long name"]
    drawing = draw(net, names=names, classes=classes, direction=direction, trace=net.trace([1.0, 2.0, 3.0]))
    svg = svg_of(drawing)
    for layer, wanted, away in ((0, names, 1), (2, classes, -1)):
        for index, name in enumerate(wanted, start=1):
            shown = "".join("".join(texts(group(svg, f"u{layer}_{index}_name"))).split())
            whole = "".join(name.split())
            assert shown.rstrip("…") == whole[: len(shown.rstrip("…"))]
            assert shown == whole or len(shown) >= 10  # cut to what has room
            ids = f"u{layer}_{index}", f"u{layer}_{index}_name"
            circle, text = (group(svg, id).find(f".//{SVG}text").attrib for id in ids)
            axis, sign = {"LR": ("x", 1), "RL": ("x", -1), "TB": ("y", 1), "BT": ("y", -1)}[direction]
            assert sign * away * (float(circle[axis]) - float(text[axis])) > 20
    assert overlapping(svg) == []


def test_one_output_says_which_class_is_large():
    found = texts(svg_of(draw(MLP(2, [1]), classes=["0", "ham"])))
    assert {"large: ham", "small: class 0"} <= set(found)


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ({"names": ["a"]}, "names .* 2; got 1: 'a'"),
        ({"classes": list("abcdef")}, "classes .* 3; got 6: .*, …"),
    ],
)
def test_names_must_be_as_many_as_what_they_name(names, named):
    with pytest.raises(ValueError, match=named):
        draw(MLP(2, [3]), **names)
    with pytest.raises(ValueError, match="of a network"):
        draw(Value(1.0) * 2.0, **names)


def test_another_networks_trace_is_refused():
    with pytest.raises(ValueError, match=r"\[2, 1\]"):
        draw(MLP(3, [2, 1]), trace=MLP(2, [1]).trace([1.0, 2.0]))


# ----------------------------------------------------------------------- colours


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    lighter, darker = sorted([luminance(a), luminance(b)], reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_every_tint(theme):
    style = Style("LR", ("data",), ".4g", theme, "grad")
    colours = style.colours
    fills = [style.tint(sign * size, 1.0) for sign in (-1, 1) for size in (0, 0.01, 0.3, 1)]
    for fill in [*fills, colours.node, colours.panel, colours.inner_panel, colours.background]:
        assert contrast(colours.ink, fill) >= 4.5
    for fill in [colours.panel, colours.inner_panel, colours.background]:
        assert contrast(colours.muted, fill) >= 4.5


def test_mix():
    assert mix("#000000", "#ff8000", 0.5) == "#804000"


def test_a_label_with_an_empty_line_does_not_crash_the_layout():
    # freeing such a layout once did, in about every second picture
    net = MLP(64, [32, 10], activation="sigmoid", seed=0, init="xavier")
    trace = net.trace([0.1] * 64)
    autobp.costs.binary_cross_entropy(trace.output, [0.0] * 10).backward()
    assert b"</svg>" in autobp.draw(net, trace=trace).pipe(format="svg")


# ------------------------------------------------------------------------------------------ a program


def compiled():
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)

    def loss(x, y):
        return autobp.costs.binary_cross_entropy(net.trace(x).output, y)

    return autobp.compile(loss, net.parameters(), example=([0.0] * 3, [0.0, 1.0]))


def test_a_program_is_drawn_statement_by_statement_with_shapes():
    drawing = svg_of(draw(compiled()))
    found = {texts(g)[0]: texts(g)[1:] for g in drawing.iter(f"{SVG}g") if g.get("class") == "node"}
    assert found["x"] == ["m × 3"]
    assert found["y"] == ["m × 2"]
    assert found["theta"] == ["26"]
    assert found["z1"] == ["m × 4", "x @ W1.T + b1"]
    assert found["W2"][0] == "2 × 4"
    assert found["delta2"][0] == "m × 2"
    assert found["dW2"] == ["2 × 4", "delta2.T @ a1"]
    assert found["cost"][0] == "number"
    assert found["gradient"][0] == "26"


def test_every_array_of_a_program_is_joined_to_what_it_is_computed_from():
    step = compiled()
    arguments, found = statements(step)
    assert [argument.name for argument in arguments] == ["theta", "x", "y"]
    names = {statement.name: {operand.name for operand in statement.operands} for statement in found}
    assert names["z1"] == {"x", "W1", "b1"}
    assert names["delta1"] == {"delta2", "W2", "a1"}
    assert names["gradient"] == {"dW1", "db1", "dW2", "db2"}
    backward = {statement.name for statement in found if statement.backward}
    assert backward >= {"delta2", "dW2", "db2", "delta1", "dW1", "db1", "gradient"}
    assert not backward & {"W1", "b1", "z1", "a1", "W2", "b2", "z2", "cost"}
    assert draw(step).source.count("->") == sum(len(statement.operands) for statement in found)


def test_what_the_cost_needs_is_forward_though_the_backward_pass_shares_it():
    net = MLP(3, [2], activation="linear", seed=1)

    def loss(x, y):
        return autobp.costs.softmax_cross_entropy(net.trace(x).output, y)

    _, found = statements(autobp.compile(loss, net.parameters(), example=([0.0] * 3, [0.0, 1.0])))
    forward = {id(statement) for statement in found if not statement.backward}
    for statement in found:
        if not statement.backward:
            assert {id(operand) for operand in statement.operands if operand.formulas} <= forward


def test_a_program_without_a_cost_and_one_without_arguments():
    v = Value(2.0, label="v")
    drawing = draw(autobp.compile([v * 2.0, v * v], [v]))
    assert "result" in texts(svg_of(drawing))
    assert "cost" in texts(svg_of(draw(autobp.compile((v * 2.0).tanh(), [v]))))


def test_a_long_program_is_cut_and_says_so():
    step = compiled()
    drawing = draw(step, max_nodes=5)
    assert f"the first 5 are drawn, {len(statements(step)[1]) - 5} are left out" in drawing.source
    assert "backward" not in drawing.source


def test_a_step_that_was_not_traced_says_so():
    with pytest.raises(ValueError, match="traced"):
        draw(autobp.compile(lambda x: x[0] * 2.0, []))


# ------------------------------------------------------------------------------------------ stopping


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupt_stops_a_long_layout_and_leaves_no_child_behind(tmp_path):
    started = tmp_path / "started"
    layout = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(600)"
    program = (
        "import signal\nimport autobp\nfrom autobp.drawing import picture\n"
        # interrupts may be ignored here: so they are in what a script runs in the background
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"picture._LAYOUT = {layout!r}\n"
        "autobp.draw(autobp.Value(1.0)).pipe()\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while not (started.exists() and started.read_text().endswith(".")):
        assert running.poll() is None
        time.sleep(0.05)
    child = int(started.read_text().rstrip("."))
    running.send_signal(signal.SIGINT)  # to the caller alone, as an embedding program would
    _, stderr = running.communicate(timeout=60)
    assert "KeyboardInterrupt" in stderr
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


# --------------------------------------------------------------------------------------- without Graphviz


def without_graphviz(monkeypatch):
    """As on a machine with neither pygraphviz nor dot."""

    def nothing(*arguments, **options):
        raise FileNotFoundError

    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    monkeypatch.setattr(picture, "_run", nothing)


def circles_and_texts(svg):
    """Circles' centres, counted from the first one, and their radii; and the words; sorted."""
    root = ElementTree.fromstring(svg)
    circles = [*root.iter(f"{SVG}ellipse"), *root.iter(f"{SVG}circle")]
    found = [[float(c.get("cx")), float(c.get("cy")), float(c.get("rx") or c.get("r"))] for c in circles]
    places = np.array(sorted(found))
    words = ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]
    return places - [*places[0, :2], 0], sorted(filter(None, words))


@pytest.mark.parametrize("direction", ["LR", "TB", "RL", "BT"])
def test_a_networks_picture_needs_no_graphviz(monkeypatch, direction):
    net = MLP(3, [12, 2], activation=["tanh", "sigmoid"], seed=1)
    trace = net.trace([0.5, -1.0, 2.0])
    autobp.costs.quadratic(trace.output, [1.0, 0.0]).backward()
    drawn = draw(net, trace=trace, names=["a<b", "c\\n", "ünï"], classes=["yes", "no"], direction=direction)
    circles, words = circles_and_texts(drawn.pipe())
    without_graphviz(monkeypatch)
    own_circles, own_words = circles_and_texts(drawn.pipe())
    assert own_circles == pytest.approx(circles, abs=0.02)
    assert own_words == words
    assert drawn.pipe(encoding="utf-8").startswith("<svg")
    with pytest.raises(autobp.drawing.LayoutError, match="install pygraphviz"):
        drawn.pipe(format="png")


def test_what_has_to_be_laid_out_says_that_nothing_here_can(monkeypatch):
    without_graphviz(monkeypatch)
    with pytest.raises(autobp.drawing.LayoutError, match="install pygraphviz"):
        draw(Value(1.0) * 2.0).pipe()


def test_of_many_circles_those_with_the_largest_weights_are_drawn():
    W1 = np.full((12, 3), 0.1)
    W1[[2, 6, 11]] = 5.0  # into neurons 3, 7 and 12
    W2 = np.full((2, 12), 0.1)
    W2[1, 4] = -9.0  # out of neuron 5
    net = MLP(3, [12, 2], "linear", weights=[W1, W2], bias=False)
    ids = re.findall(r'id="?(u1_\w+)', draw(net).source)
    assert ids == ["u1_1", "u1_2", "u1_3", "u1_4", "u1_5", "u1_6", "u1_7", "u1_12", "u1_more"]
    W1[[0, 1, 3, 5]] = 0.0  # these now have less than neurons 8 to 11
    net.W = [W1, W2]
    ids = re.findall(r'id="?(u1_\w+)', draw(net).source)
    assert ids == ["u1_3", "u1_5", "u1_7", "u1_8", "u1_9", "u1_10", "u1_11", "u1_12", "u1_more"]
    assert "of many circles, those with the largest weights" in draw(net).source
    assert "of many circles" not in draw(MLP(3, [10, 2], seed=0)).source


def test_rounding_noise_is_not_tinted():
    style = Style("LR", ("data",), ".4g", "light", "data")
    noise = 0.1 + 0.2 - 0.3  # 5.6e-17
    assert noise > 0
    assert style.tint(noise, 1.0) == style.tint(0.0, 1.0) == THEMES["light"].node
    assert style.tint(noise, 1e-16) != THEMES["light"].node
    assert style.tint(1e-9, 1.0) != THEMES["light"].node
    net = MLP(2, [1], "linear", weights=[[[1.0, noise]]], biases=[[0.0]])
    edges = dict(re.findall(r"u0_(\d) -> u1_1 \[(.*?)\]\n", draw(net).source))
    assert THEMES["light"].positive in edges["1"]
    assert THEMES["light"].positive not in edges["2"]


def test_a_label_lets_the_lines_beneath_it_shine_through(monkeypatch):
    drawn = draw(MLP(3, [2, 1], seed=1))
    without_graphviz(monkeypatch)
    for svg in (drawn.svg(), drawn.pipe(encoding="utf-8")):
        grounds = re.findall(r'<rect [^>]*fill-opacity="([\d.]+)"', svg)
        assert len(grounds) == 8 + 3  # every weight and bias
        assert set(grounds) == {"0.70"}
    assert re.findall(r'fillcolor="(#\w{8})"', drawn.source) == ["#ffffffb3"] * (11 + 3)  # and titles


def test_numbers_that_cancel_leave_their_box_untinted():
    x = [Value(v, label=f"x[{i}]") for i, v in enumerate([0.1, 0.2, -0.3])]
    y = autobp.sum([v * v for v in x])
    source = draw(y, max_nodes=4, color="data").source
    (inputs,) = [box for box in source.split("\n") if "3 numbers" in box]
    assert math.fsum(v.data / 3 for v in x) != 0
    assert f'bgcolor="{THEMES["light"].node}"' in inputs


def recurrence(steps, n_weights):
    weights = [Value(0.1 * k + 0.1, label=f"w{k}") for k in range(n_weights)]
    h = Value(0.1, label="h")
    for t in range(steps):
        s = h + Value(0.01 * t, label=f"x{t}")
        for k, w in enumerate(weights):
            s = s * w if k % 2 else s + w
        h = s.tanh()
    return h


def test_a_leaf_that_every_step_uses_is_drawn_again_where_it_is_used():
    root = recurrence(14, 8)
    graph = record([root])
    source = draw(root).source
    found = [re.findall(r'id="?(n\d+_\d+)', source), re.findall(r"(n\d+)\w* -> (n\d+)", source)]
    edges = [(parent, number) for number, parents in enumerate(graph.parents) for parent in parents]
    assert sorted(found[1]) == sorted((f"n{parent}", f"n{number}") for parent, number in edges)
    assert len(set(found[0])) == len(edges)
    again = re.findall(r"^\t(n\d+)_again\d+ \[label=(.*)$", source, flags=re.MULTILINE)
    weights = {f"n{number}" for number in range(len(graph)) if graph.label(number).startswith("w")}
    assert {name for name, _ in again} == weights
    assert all('style="dashed"' in label for _, label in again)
    assert "dashed: a leaf that stands elsewhere" in source
    reach = Reach(graph, range(len(graph)))
    assert reach.passed <= EASY < Reach(graph, range(len(graph)), may_repeat=False).passed
    assert "dashed" not in draw(recurrence(3, 3)).source


def test_arrows_that_reach_too_far_make_a_summary_that_says_so(tmp_path):
    states = [Value(0.1, label="h0")]
    for t in range(50):
        states.append(autobp.tanh(states[-1] + states[t // 2] + states[t // 3] + states[t // 5]))
    source = draw(states[-1]).source
    assert len(record([states[-1]])) < 300
    assert "boxes: each alone, the arrows would reach too far" in source
    assert "too many" not in source
    with pytest.raises(ValueError, match="reach too far to be laid out one by one"):
        autobp.page(recurrence(60, 4), tmp_path / "page.html")
    assert "too far" not in draw(states[-1], depth=3).source


def test_columns_that_arrows_pass():
    x, y = Value(1.0, label="x"), Value(2.0, label="y")
    root = (((x + y).tanh() + 1.0).exp() * x) + y
    graph = record([root])
    # x and y stand before column 1; x is used in column 5, y in 6
    assert Reach(graph, range(len(graph))).passed == 4 + 5


def deep_cost():
    net = MLP(2, [3, 3, 3, 3, 3, 3, 1], "tanh", seed=0)
    cost = autobp.costs.quadratic(net.trace([0.1, 0.2]).output, [1.0])
    cost.backward()
    return net, cost


def test_a_layer_is_one_box_before_a_picture_fills_two_square_metres():
    net, cost = deep_cost()
    graph = record([cost])
    drawn = draw(cost, highlight=net.layers[1].neurons[0].w[0])
    assert len(graph) < 300
    svg = drawn.pipe(encoding="utf-8")
    width, height = map(int, re.search(r'<svg width="(\d+)pt" height="(\d+)pt"', svg).groups())
    assert width * height / (72 / 0.0254) ** 2 < 2.0
    collapsed = sorted(set(re.findall(r'id="?(layer\d+)', drawn.source)))
    assert collapsed
    assert "node by node it would make more than two square metres" in drawn.source
    # what is not in such a box is still there, and the box has its neurons' numbers
    found = find_neurons(graph)
    inside = {n for layer in collapsed for n in in_layer(found, int(layer[5:]))}
    assert len(re.findall(r"^\t+n\d+ \[", drawn.source, flags=re.MULTILINE)) == len(graph) - len(inside)
    layer = int(collapsed[-1][5:])
    z = [graph.nodes[neuron.z] for neuron in found.neurons if neuron.layer == layer]
    text = " ".join(texts(ElementTree.fromstring(svg)))
    for numbers in ([v.data for v in z], [v.grad for v in z]):
        assert f"{min(numbers):.4g} … {max(numbers):.4g}" in text
    # the path that is shown passes the box
    arrow = re.search(rf"-> layer{layer} \[(.*)penwidth", drawn.source)[1]
    assert THEMES["light"].highlight in arrow
    assert "square metres" not in draw(network_cost()[2]).source
    assert "square metres" not in draw(cost, depth=4).source

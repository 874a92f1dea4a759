"""The page: its steps by neurons and layers, what its colours mean, and how it looks on a phone."""

import numpy as np
import pytest
from test_page import CLICK, every_operation, in_browser, needs_browser, network_cost, written_page

import autobp
from autobp import MLP, Value
from autobp.html_page import page
from autobp.html_page.stages import stagings
from autobp.reading.graph import record
from autobp.reading.neurons import Neurons, find_neurons


@pytest.fixture(scope="module", autouse=True)
def layout_engine():
    pytest.importorskip("pygraphviz")


def test_stages_hold_every_computed_node_after_what_it_needs():
    networks = [
        (MLP(3, [3, 2], activation="tanh", seed=1), ["neuron", "layer", "level"]),
        (MLP(3, [3, 2], activation=["relu", "softmax"], seed=1), ["neuron", "layer", "level"]),
    ]
    graphs = []
    for net, ways in networks:
        trace = net.trace([0.5, -1.0, 2.0])
        cost = autobp.costs.quadratic(trace.output, [1.0, 0.0]) + 0.1 * net.layers[0].neurons[0].w[0] ** 2
        graphs.append((record([cost]), find_neurons(record([cost]), trace), ways))
    graphs.append((record([every_operation()]), Neurons([], [], [], {}), ["level"]))
    for graph, neurons, ways in graphs:
        found = stagings(graph, neurons, {})
        assert list(found) == ways
        computed = [number for number in range(len(graph)) if not graph.is_leaf(number)]
        for stages in found.values():
            taken = set()
            for stage in stages:
                assert set(stage["results"]) <= set(stage["nodes"])
                taken.update(stage["nodes"])
                for number in stage["nodes"]:
                    assert all(p in taken for p in graph.parents[number] if not graph.is_leaf(p))
            assert sorted(n for stage in stages for n in stage["nodes"]) == computed
    titles = [[stage["title"] for stage in stagings(*graphs[k][:2], {})["neuron"]] for k in (0, 1)]
    first = ["neuron 1[1]", "neuron 1[2]", "neuron 1[3]"]
    assert titles[0] == [*first, "neuron 2[1]", "neuron 2[2]", "the cost"]
    assert titles[1] == [*first, "layer 2", "the cost"]  # the sum of a softmax is all its neurons'


def test_layers_that_need_one_another_are_stepped_through_by_level():
    w, u, b = Value(0.5, label="W1[1,1]"), Value(0.3, label="W1[1,2]"), Value(0.1, label="b1[1]")
    a = Value(0.0, label="x[1]")
    for _ in range(3):
        a = (w * 1.0 + u * a + b).tanh()
    found = stagings(record([a]), find_neurons(record([a])), {})
    taken = [n for stages in found.values() for stage in stages for n in stage["nodes"]]
    assert len(taken) == len(found) * len(set(taken))
    assert "level" in found


@needs_browser
def test_a_step_is_a_neuron_or_a_layer_and_ends_where_single_steps_do(tmp_path):
    net, trace, cost = network_cost()
    path = page(net, tmp_path / "page.html", trace=trace, of=cost)
    found = in_browser(path, """const told = [];
        byId("first").click();
        while (!byId("next").disabled) { byId("next").click(); told.push(byId("status").textContent); }
        const ways = [...byId("way").options].map((option) => option.value);
        const ends = {};
        for (const way of ways) {
          byId("way").value = way; byId("way").dispatchEvent(new Event("change"));
          byId("last").click();
          ends[way] = [nSteps, [...data], [...grad]];
        }
        return { told, ways, ends };""", tmp_path)  # fmt: skip
    a, z = trace.a[1][0], trace.z[1][0]
    assert found["ways"] == ["node", "neuron", "layer", "level"]
    assert len(found["told"]) == 2 * 4 + 1
    assert found["told"][0].startswith(
        f"Forward 1 of 4, neuron 1[1]: z1[1] = {z.data:.4g}, a1[1] = {a.data:.4g};"
    )
    assert found["told"][3].startswith(f"Forward 4 of 4, the cost: J = {cost.data:.4g};")
    assert found["told"][4] == "Backward begins: ∂J/∂J = 1"
    # the last neuron's step is told by the step after all: both passes are done
    assert found["told"][7].startswith(f"Backward 3 of 4, neuron 1[2]: ∂J/∂z1[2] = {trace.z[1][1].grad:.4g}")
    assert found["ends"]["neuron"][0] == 9
    assert found["ends"]["layer"][0] == 7
    assert all(end[1:] == found["ends"]["node"][1:] for end in found["ends"].values())


@needs_browser
def test_the_cost_of_a_network_can_be_chosen(tmp_path):
    net, trace, cost = network_cost()
    for direction in ("LR", "RL", "TB", "BT"):
        options = {"trace": trace, "of": cost, "direction": direction, "classes": ["no", "yes"]}
        path = page(net, tmp_path / "page.html", **options)
        found = in_browser(path, CLICK + """click(node("a2[1]")); click(node("J"));
            const box = itemOf.get(root).g.getBBox();
            const texts = [...svg.querySelectorAll(".mark text")].map((text) => text.getBBox());
            const hit = texts.some((t) => Math.max(t.x, box.x) < Math.min(t.x + t.width, box.x + box.width)
              && Math.max(t.y, box.y) < Math.min(t.y + t.height, box.y + box.height));
            const within = box.x > 0 && box.y > 0
              && box.x + box.width < view.width && box.y + box.height < view.height;
            const lit = edges.filter(({ line }) => line.classList.contains("lit")).length;
            return [byId("chosen").textContent, lit, within, hit];
            """, tmp_path)  # fmt: skip
        assert found == ["J", 1, True, False], direction


@needs_browser
def test_what_is_not_computed_yet_lets_no_line_shine_through(tmp_path):
    net, trace, cost = network_cost()
    path = page(net, tmp_path / "page.html", trace=trace, of=cost)
    found = in_browser(path, """byId("first").click();
        const pending = items.filter(({ g }) => g.classList.contains("pending"));
        return pending.map(({ g, outline }) => {
          const look = getComputedStyle(outline);
          return [getComputedStyle(g).opacity, look.opacity, look.fillOpacity, look.fill];
        });""", tmp_path)  # fmt: skip
    assert len(found) == 4  # three neurons and the cost
    assert all(row[:3] == ["1", "1", "1"] and row[3].startswith("rgb(") for row in found)


@needs_browser
@pytest.mark.parametrize("colour", ["data", "grad"])
def test_colours_mean_on_the_page_what_they_mean_in_the_picture(colour, tmp_path):
    net, trace, cost = network_cost()
    for kind in ("graph", "network"):
        what = cost if kind == "graph" else net
        options = {} if kind == "graph" else {"trace": trace, "of": cost}
        path = page(what, tmp_path / "page.html", **options)
        found = in_browser(path, f"""const first = colour;
            byId("colour").value = "{colour}"; byId("colour").dispatchEvent(new Event("change"));
            const sign = (g) => g.classList.contains("above") ? 1 : g.classList.contains("below") ? -1 : 0;
            return {{ first, legend: byId("legend").textContent,
              items: items.filter((item) => item.tint !== null).map(({{ i, g }}) => [nodes[i].name, sign(g)]),
              edges: edges.filter(({{ weight }}) => weight !== undefined).map(
                (edge) => [nodes[edge.weight].name, sign(edge.line)]) }};
            """, tmp_path)  # fmt: skip
        assert found["legend"] in autobp.draw(what, color=colour, trace=trace).source
        assert found["first"] == ("grad" if kind == "graph" else "data")
        if kind == "network":
            weights = {w.label: w.data if colour == "data" else w.grad for w in net.parameters()}
            assert dict(found["edges"]) == {name: np.sign(x) for name, x in weights.items()}
            for name, sign in found["items"]:
                if name.startswith("a"):
                    layer, j = int(name[1]), int(name[3])
                    x = trace.a[layer][j - 1].data if colour == "data" else trace.z[layer][j - 1].grad
                    assert sign == np.sign(x), name


@needs_browser
def test_rounding_noise_is_not_tinted_on_the_page(tmp_path):
    x = Value(0.1, label="x")
    path = page((x * 3.0 - 0.3) * 1.0 + x * 1.0, tmp_path / "page.html")
    found = in_browser(path, """byId("colour").value = "data";
        byId("colour").dispatchEvent(new Event("change"));
        return items.map(({ i, g }) => [data[i], /above|below/.test(g.getAttribute("class"))]);
        """, tmp_path)  # fmt: skip
    noise = [tinted for number, tinted in found if 0 < abs(number) < 1e-15]
    assert len(noise) == 2
    assert not any(noise)
    assert all(tinted for number, tinted in found if abs(number) > 1e-3)


@needs_browser
def test_on_a_phone_the_details_and_the_steps_are_in_sight_with_the_graph(tmp_path):
    path = written_page("network", tmp_path)
    found = in_browser(path, CLICK + """click(node("x[2]"));
        const places = ["graph", "chosen", "control", "status", "next"].map((id) => {
          const box = byId(id).getBoundingClientRect();
          return [id, box.top, box.bottom];
        });
        return { places, height: innerHeight, buttons: byId("next").getBoundingClientRect().height,
                 slider: document.querySelector("#control input").getBoundingClientRect().bottom };""",
        tmp_path, size=(390, 800))  # fmt: skip
    for name, top, bottom in found["places"]:
        assert 0 <= top < bottom <= found["height"], name
    assert found["slider"] <= found["height"]
    assert found["buttons"] >= 40
    tops = [top for _, top, _ in found["places"]]
    assert tops == sorted(tops)


@needs_browser
def test_two_fingers_zoom_and_keep_what_is_between_them(tmp_path):
    path = written_page("network", tmp_path)
    found = in_browser(path, """svg.setPointerCapture = () => {};
        const finger = (type, pointerId, clientX, clientY) =>
          svg.dispatchEvent(new PointerEvent(type, { pointerId, clientX, clientY, bubbles: true }));
        const at = (clientX, clientY) => {
          const { unit, x, y, frame } = scale();
          return [x + unit * (clientX - frame.left), y + unit * (clientY - frame.top)];
        };
        const before = [seen.width, ...at(400, 400)];
        finger("pointerdown", 1, 350, 400); finger("pointerdown", 2, 450, 400);
        finger("pointermove", 1, 300, 400); finger("pointermove", 2, 500, 400);
        finger("pointerup", 1, 300, 400); finger("pointerup", 2, 500, 400);
        return { before, after: [seen.width, ...at(400, 400)], grabbed };""", tmp_path)  # fmt: skip
    assert found["grabbed"] is None
    assert found["after"][0] == pytest.approx(found["before"][0] / 2, rel=1e-6)
    assert found["after"][1:] == pytest.approx(found["before"][1:], abs=0.5)


@needs_browser
def test_of_many_nodes_those_in_sight_have_their_numbers(tmp_path):
    x = [Value(0.01 * k, label=f"x{k}") for k in range(120)]
    root = autobp.sum([v * v for v in x])
    path = page(root, tmp_path / "page.html")
    found = in_browser(path, """const told = () => items.map((item) => item.numbers[0].text.textContent);
        const far = told();
        seen.height = 1;
        show(items[5].x - 200, items[5].y - 100, 400, 200);
        const near = told();
        set(items[5].i, 7);
        return { far, near, then: told()[5], chosen: nodes[items[5].i].name };""", tmp_path)  # fmt: skip
    n_seen = sum(text != "" for text in found["near"])
    assert 0 < n_seen < 60
    assert found["near"][5] == f"{0.01 * int(found['chosen'][1:]):.4g}"
    assert found["then"] == "7"


def recurrence(steps):
    """A chain of tanh with weights that are used in every step."""
    w, u, h = Value(0.5, label="w"), Value(-0.3, label="u"), Value(0.0, label="h")
    for t in range(steps):
        h = (w * h + u * Value(t / 10, label=f"x{t}")).tanh()
    return h


VIEW = """const first = () => {
    const frame = svg.getBoundingClientRect();
    const seen = (item) => inside(item.outline.getBoundingClientRect(), frame);
    const letters = LETTERS / scale().unit;
    return { letters, result: seen(itemOf.get(root)), all: items.every(seen) };
  };
"""


@needs_browser
@pytest.mark.parametrize(
    ("direction", "size"), [("LR", (1400, 850)), ("BT", (1400, 850)), ("RL", (500, 700)), ("TB", (500, 700))]
)
def test_a_page_opens_on_the_result_and_large_enough_to_be_read(direction, size, tmp_path):
    graph = recurrence(36)
    assert len(record([graph])) > 180
    path = page(graph, tmp_path / "page.html", direction=direction)
    found = in_browser(path, CLICK + VIEW + """const opened = first(); fit();
        return [opened, first()];""", tmp_path, size=size)  # fmt: skip
    assert found[0]["letters"] == pytest.approx(7, rel=0.01)
    assert found[0]["result"]
    assert not found[0]["all"]
    assert found[1]["all"]
    assert found[1]["letters"] < 3


@needs_browser
def test_a_page_opens_whole_where_all_of_it_can_be_read(tmp_path):
    path = written_page("network", tmp_path)
    found = in_browser(path, CLICK + VIEW + "return first();", tmp_path)
    assert found["all"]
    assert found["letters"] > 7


@needs_browser
def test_a_window_of_another_size_changes_the_first_view_and_no_other(tmp_path):
    path = page(recurrence(4), tmp_path / "page.html")
    found = in_browser(path, CLICK + VIEW + """const turn = (width) => {
          svg.style.flex = "none"; svg.style.width = `${width}px`;
          dispatchEvent(new Event("resize"));
          return first();
        };
        const narrow = turn(400), wide = turn(3000);
        zoomMiddle(2);
        const before = [seen.x, seen.width];
        turn(400);
        return { narrow, wide, before, after: [seen.x, seen.width] };""", tmp_path)  # fmt: skip
    assert found["narrow"]["letters"] == pytest.approx(7, rel=0.01)
    assert found["wide"]["all"]
    assert found["before"] == found["after"]

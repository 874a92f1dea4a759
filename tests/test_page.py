"""The page: its rules against the operation table's, and its behaviour in a real browser."""

import json
import math
import os
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_compile_random import Program as RandomProgram
from test_edges_document import function_of, point_of, rows
from test_edges_document import numbers as numbers_in
from witnesses import agree

import autobp
from autobp import MLP, Value, ops
from autobp.backends.javascript import javascript
from autobp.backends.javascript_numbers import JAVASCRIPT, Number, literal, rules
from autobp.drawing.program import statements
from autobp.engine import apply, ieee, topological_order
from autobp.html_page import page
from autobp.html_page.scalar_model import rules_of, scalar_nodes
from autobp.reading.graph import record

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOT = Path(__file__).resolve().parent.parent
AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node.js to run the page's passes in")
needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="no axe-core: npm install --no-save axe-core, or set AXE_CORE"
)


@pytest.fixture(scope="module", autouse=True)
def layout_engine():
    pytest.importorskip("pygraphviz")


class _Result(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text = None

    def handle_starttag(self, tag, attrs):
        if tag == "pre" and ("id", "result") in attrs:
            self.text = ""

    def handle_data(self, data):
        if self.text is not None and self.lasttag == "pre":
            self.text += data


def in_browser(path, script, tmp_path, *, size=(1400, 850), before="", dark=False):
    """Open a copy of the page in Chromium, run the body of a function there, and give back its result."""
    harness = f"""<script>(async () => {{
      const result = document.createElement("pre");
      result.id = "result";
      const errors = [];
      try {{
        result.textContent = JSON.stringify(await (async () => {{ {script} }})());
      }} catch (error) {{
        result.textContent = JSON.stringify({{ error: String(error) }});
      }}
      document.body.append(result);
    }})();</script>"""
    copy = tmp_path / "under_test.html"
    html = path.read_text(encoding="utf-8")
    assert html.count("</body>") == 1
    copy.write_text(html.replace("</body>", f"{before}{harness}</body>"), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=20000", "--dump-dom",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []), copy.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    parser = _Result()
    parser.feed(done.stdout)
    assert parser.text is not None, done.stderr[-2000:]
    answer = json.loads(parser.text)
    assert not (isinstance(answer, dict) and "error" in answer), answer
    return answer


def network_cost():
    net = MLP(3, [2, 1], activation="sigmoid", seed=1)
    x = [Value(number, label=f"x[{i + 1}]") for i, number in enumerate([1.0, 0.5, -1.0])]
    trace = net.trace(x)
    cost = autobp.costs.binary_cross_entropy(trace.output, [1.0])
    cost.label = "J"
    cost.backward()
    return net, trace, cost


def compiled():
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)

    def loss(x, y):
        return autobp.costs.binary_cross_entropy(net.trace(x).output, y)

    step = autobp.compile(loss, net.parameters(), example=([0.0] * 3, [0.0, 1.0]))
    data = [[0.1, -0.2, 0.3], [1.0, 0.5, -0.5]], [[0.0, 1.0], [1.0, 1.0]]
    return net, step, data


def written_page(kind, tmp_path):
    if kind == "program":
        _, step, data = compiled()
        return page(step, tmp_path / "page.html", data=data)
    net, trace, cost = network_cost()
    if kind == "graph":
        return page(cost, tmp_path / "page.html")
    return page(net, tmp_path / "page.html", trace=trace, of=cost)


def every_operation(seed=0):
    """A graph that uses each operation of the table, on operands where it is defined."""
    draw = random.Random(seed)
    terms = []
    for name, op in ops.TABLE.items():
        low, high = {"acos": (-0.9, 0.9), "asin": (-0.9, 0.9), "atanh": (-0.9, 0.9), "acosh": (1.1, 3.0)}.get(
            name, (0.2, 2.5) if op.domain else (-2.5, 2.5)
        )
        operands = [Value(draw.uniform(low, high), label=f"{name}{i}") for i in range(op.arity or 4)]
        if name == "take":
            operands[0] = Value(2.0, label="take0")
        if name == "power":
            operands[1] = Value(-1.5, label="power1")
        constants = op.defaults or tuple(2.5 for _ in op.constants)
        terms.append(apply(op, operands, constants) * draw.uniform(0.5, 2.0))
    root = autobp.sum(terms)
    root.label = "total"
    return root


#: Infinities and NaN, which JSON lacks, as the page's numbers are told: by text.
DECODE = "const decode = (x) => (typeof x === 'string' ? { inf: Infinity, '-inf': -Infinity }[x] ?? NaN : x);"


def in_node(models):
    """The data and grad that the page's passes compute for each (model, rules)."""
    folder = Path(autobp.html_page.__file__).parent
    elementary, passes = [(folder / f"{name}.js").read_text("utf-8") for name in ("elementary", "passes")]
    runs = "".join(
        f"""out.push((() => {{
        const model = {json.dumps(_as_text(model))}, nodes = model.nodes, root = model.root;
        {table}{passes}
        compute();
        return {{ data: data.map(String), grad: grad.map(String) }}; }})());"""
        for model, table in models
    )
    script = f"{DECODE}{elementary}const out = []; {runs} console.log(JSON.stringify(out));"
    done = subprocess.run(
        [NODE, "-"], input=script, capture_output=True, text=True, encoding="utf-8", check=True
    )
    words = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
    return [
        {key: [words[x] if x in words else float(x) for x in column] for key, column in found.items()}
        for found in json.loads(done.stdout)
    ]


def _as_text(x):
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    if isinstance(x, dict):
        return {key: _as_text(value) for key, value in x.items()}
    return [_as_text(value) for value in x] if isinstance(x, list | tuple) else x


def scalar_model_of(root):
    graph = record([root])
    return {"root": graph.root, "nodes": scalar_nodes(graph, {}, ())}, rules_of(graph)


# ---------------------------------------------------------------------------------------- rules as JavaScript


def test_a_rule_that_asks_for_truth_cannot_be_written_down():
    with pytest.raises(TypeError, match=r"xp\.where"):
        JAVASCRIPT.pow(Number("x0"), 2.0).__bool__()


@pytest.mark.parametrize(
    ("number", "text"), [(1.5, "1.5"), (-2, "(-2.0)"), (math.inf, "Infinity"), (-math.inf, "(-Infinity)"),
                         (math.nan, "NaN"), (-0.0, "(-0.0)"), (1e-300, "1e-300")],
)  # fmt: skip
def test_literals(number, text):
    assert literal(number) == text


def test_an_operation_registered_by_the_user_is_written_out_too(tmp_path):
    cube = ops.operation("cube_for_page", lambda xp, x: x * x * x, lambda xp, y, x: (3.0 * x * x,))
    try:
        assert (
            rules(cube, 1)
            == "{ value: (x0) => +((x0 * x0) * x0), partials: (y, x0) => [+((3.0 * x0) * x0)] }"
        )
    finally:
        del ops.TABLE["cube_for_page"]


# ------------------------------------------------------------------------------------------ what is written


def test_the_page_holds_all_it_needs(tmp_path):
    html = page(network_cost()[2], tmp_path / "page.html").read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a namespace's name, not fetched
    assert not re.search(
        r"<(link|img|iframe)|@import|url\((?!#)|\bsrc=|fetch\(|XMLHttpRequest|import\(", html
    )


def test_labels_cannot_break_out_of_the_page(tmp_path):
    nasty = "</script><script>document.title='broken'</script>"
    root = Value(1.0, label=nasty) * 2.0
    root.label = "<b>&amp;</b>"
    html = page(root, tmp_path / "page.html", title="<i>a & b</i>\ud800").read_text(encoding="utf-8")
    assert nasty not in html
    assert "<title>&lt;i&gt;a &amp; b&lt;/i&gt; </title>" in html


def test_what_the_page_cannot_do_is_refused(tmp_path):
    with pytest.raises(TypeError, match="3"):
        page(3, tmp_path / "page.html")
    with pytest.raises(ValueError, match="by hand"):
        page(Value(1.0, (Value(2.0),), (1.0,)), tmp_path / "page.html")
    x = Value(1.0)
    for _ in range(1000):
        x = x.sin()
    with pytest.raises(ValueError, match="1,001"):
        page(x, tmp_path / "page.html")
    with pytest.raises(ValueError, match=r"'page\.svg' in \.html"):
        page(Value(1.0) * 2.0, tmp_path / "page.svg")
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*missing' to write page"):
        page(Value(1.0) * 2.0, tmp_path / "missing" / "page.html")
    with pytest.raises(ValueError, match=r"\(x, y\), each with samples as rows; got 1"):
        page(compiled()[1], tmp_path / "page.html", data=[[0.1, 0.2, 0.3]])
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ in a browser


@needs_browser
def test_the_page_computes_what_the_engine_computes(tmp_path):
    root = every_operation()
    root.backward()
    order = topological_order(root)
    path = page(root, tmp_path / "page.html")
    found = in_browser(path, "return { data: data.map(String), grad: grad.map(String) };", tmp_path)
    assert [float(x) for x in found["data"]] == pytest.approx(
        [node.data for node in order], rel=1e-14, abs=1e-15
    )
    assert [float(x) for x in found["grad"]] == pytest.approx(
        [node.grad for node in order], rel=1e-13, abs=1e-15
    )


@needs_browser
def test_dragged_numbers_give_what_the_engine_gives_for_them(tmp_path):
    before, after = every_operation(0), every_operation(1)
    after.backward()
    order = topological_order(after)
    path = page(before, tmp_path / "page.html")
    leaves = {i: node.data for i, node in enumerate(order) if node.is_leaf}
    script = f"""const leaves = {json.dumps(leaves)};
      for (const i in leaves) set(Number(i), leaves[i]);
      return {{ data: data.map(String), grad: grad.map(String) }};"""
    found = in_browser(path, script, tmp_path)
    assert [float(x) for x in found["data"]] == pytest.approx(
        [node.data for node in order], rel=1e-14, abs=1e-15
    )
    assert [float(x) for x in found["grad"]] == pytest.approx(
        [node.grad for node in order], rel=1e-13, abs=1e-15
    )


@needs_node
def test_the_page_has_the_derivatives_of_the_table_of_edges():
    cases = [row.values[:4] for row in rows()]
    models, leaves = [], []
    for expression, point, _, _ in cases:
        names, x = point_of(point)
        leaves.append([Value(number) for number in x])
        with ieee():
            root = function_of(expression, names, vars(autobp))(*leaves[-1])
        models.append((root, record([root])))
    answers = in_node([scalar_model_of(root) for root, _ in models])
    for (expression, point, value, first), (_, graph), own, answer in zip(
        cases, models, leaves, answers, strict=True
    ):
        assert agree(answer["data"][graph.root], *numbers_in(value.split("else ")[-1])), (expression, point)
        for leaf, expected in zip(own, numbers_in(first), strict=True):
            number = graph.number(leaf)
            assert agree(0.0 if number is None else answer["grad"][number], expected), (expression, point)


@needs_node
@pytest.mark.parametrize(
    "make",
    [
        lambda v: autobp.maximum(v, 0.0).sqrt(),
        lambda v: autobp.where(autobp.greater(v, 0.0), v, 0.0).sqrt(),
        lambda v: autobp.take([v, 0.0], 1).sqrt(),
        lambda v: autobp.relu(v).log(),
        lambda v: autobp.relu(v).sqrt() + v * 3.0,
        lambda v: autobp.where(autobp.greater(v, 0.0), v.sqrt(), 0.0),
    ],
)
def test_what_was_not_selected_gets_nothing_on_the_page_either(make):
    v = Value(-1.0, label="v")
    with ieee():
        root = make(v)
    root.backward()
    (answer,) = in_node([scalar_model_of(root)])
    assert agree(answer["grad"][record([root]).number(v)], v.grad)


@needs_browser
def test_an_infinite_gradient_that_stops_is_told_as_not_selected(tmp_path):
    below = Value(-1.0, label="v") * 2.0
    below.label = "below"
    path = page(autobp.relu(below).sqrt(), tmp_path / "page.html")
    found = in_browser(path, """go(nodes.findIndex(({ name }) => name === "below"));
        const rows = [...document.querySelectorAll("#facts td")].map((cell) => cell.textContent);
        byId("back").click();
        const last = byId("status").textContent;
        return { rows, last, gradient: grad[chosen] };""", tmp_path)  # fmt: skip
    assert found["gradient"] == 0
    assert "0 (not selected)" in found["rows"]
    assert found["last"].endswith("passes 0 (not selected) to below")


@needs_browser
@pytest.mark.parametrize("label", ["W1[1,2]", "W1[1, 2]", "w^(1)_{1,2}", "θ1[1,2]"])
def test_weights_are_listed_after_inputs_however_they_are_labelled(label, tmp_path):
    w, x = Value(2.0, label=label), Value(3.0, label="x[1]")
    found = in_browser(page(w * x, tmp_path / "page.html"), """
        return [...document.querySelectorAll("#leaves label")].map((shown) => shown.textContent);
        """, tmp_path)  # fmt: skip
    assert found == ["x[1]", label]


@needs_browser
def test_erf_is_accurate_everywhere(tmp_path):
    points = [k / 16 - 8 for k in range(257)] + [1e-300, 2.4999, 2.5001, 5.9999]
    path = page(Value(1.0, label="x").erf(), tmp_path / "page.html")
    found = in_browser(path, f"return {json.dumps(points)}.map(erf);", tmp_path)
    for x, y in zip(points, found, strict=True):
        assert y == pytest.approx(math.erf(x), rel=4e-15, abs=0)


CLICK = """
const pointer = (target, type, x, y) => target.dispatchEvent(
  new PointerEvent(type, { bubbles: true, clientX: x, clientY: y, pointerId: 1 }));
svg.setPointerCapture = () => {};
const node = (name) => itemOf.get(nodes.findIndex((n) => n.name === name)).g;
const click = (target) => {
  const { x, y, width, height } = target.getBoundingClientRect();
  pointer(target, "pointerdown", x + width / 2, y + height / 2);
  pointer(target, "pointerup", x + width / 2, y + height / 2);
};
const key = (name) =>
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
const cells = (row) => [...row.cells].map((cell) => cell.textContent);
const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
"""


@needs_browser
def test_a_click_shows_the_chain_rule_sum_into_a_node(tmp_path):
    _, trace, cost = network_cost()
    path = page(cost, tmp_path / "page.html")
    found = in_browser(path, CLICK + """click(node("a2[1]"));
        const tables = [...document.querySelectorAll("#facts table")];
        return { title: byId("chosen").textContent,
          tables: tables.map((t) => [t.caption.textContent, ...[...t.tBodies[0].rows].map(cells)]),
          facts: [...document.querySelectorAll("#facts p")].map((p) => p.textContent),
          focused: document.activeElement.id };""", tmp_path)  # fmt: skip
    a = trace.output[0]
    assert found["title"] == "a2[1]"
    assert found["focused"] == f"node{topological_order(cost).index(a)}"
    assert found["facts"][0] == "a2[1] = sigmoid(z2[1])"
    assert found["facts"][1] == f"= sigmoid({trace.z[2][0].data:.4g}) = {a.data:.4g}"
    local, chain = found["tables"]
    assert local[1] == ["z2[1]", f"{trace.z[2][0].data:.4g}", f"{a.partials[0]:.4g}"]
    users = [node for node in topological_order(cost) if a in node.parents]
    terms = [node.grad * node.partials[node.parents.index(a)] for node in users]
    assert [float(row[2]) for row in chain[1:-1]] == [float(f"{term:.4g}") for term in terms]
    assert float(chain[-1][2]) == float(f"{a.grad:.4g}")
    assert sum(terms) == pytest.approx(a.grad, rel=1e-14)


@needs_browser
def test_stepping_forward_and_backward_walks_both_passes(tmp_path):
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    root = (a * b + a).tanh()
    root.label = "L"
    path = page(root, tmp_path / "page.html")
    found = in_browser(path, """byId("first").click(); const seen = [];
        for (;;) {
          const shown = items.map((b) => [b.numbers[0].text.textContent, b.numbers[1].text.textContent]);
          seen.push([step, byId("status").textContent, shown]);
          if (byId("next").disabled) break;
          byId("next").click();
        }
        byId("back").click();
        return { seen, then: step };""", tmp_path)  # fmt: skip
    steps = found["seen"]
    assert [step for step, _, _ in steps] == list(range(8))
    assert found["then"] == 6
    assert [pair[0] for pair in steps[0][2]] == ["2", "-3", "…", "…", "…"]
    assert steps[1][1] == "Forward 1 of 3: v3 = a*b = 2*(-3) = -6"
    assert [pair[0] for pair in steps[1][2]] == ["2", "-3", "-6", "…", "…"]
    assert all(pair[1] == "…" for k in range(4) for pair in steps[k][2])
    assert steps[4][1] == "Backward begins: ∂L/∂L = 1"
    assert [pair[1] for pair in steps[4][2]] == ["0", "0", "0", "0", "1"]
    slope = 1 - math.tanh(-4.0) ** 2
    shown = f"{slope:.4g}"
    assert [pair[1] for pair in steps[5][2]] == ["0", "0", "0", shown, "1"]
    # the + has passed its gradient on: a has its first term, and its second is still to come
    assert [pair[1] for pair in steps[6][2]] == [shown, "0", shown, shown, "1"]
    root.backward()
    assert [float(pair[1]) for pair in steps[7][2][:2]] == [float(f"{v.grad:.4g}") for v in (a, b)]


@needs_browser
def test_an_input_can_be_dragged_typed_and_reset(tmp_path):
    x = Value(2.0, label="x")
    path = page(x * x * 3.0, tmp_path / "page.html")
    found = in_browser(path, CLICK + """const seen = [];
        const read = () => seen.push([data[0], data[root], grad[0]]);
        const box = node("x").getBoundingClientRect();
        pointer(node("x"), "pointerdown", box.x + 5, box.y + 5);
        pointer(svg, "pointermove", box.x + 80, box.y + 5); read();
        pointer(svg, "pointerup", box.x + 80, box.y + 5);
        pointer(svg, "pointermove", box.x + 200, box.y + 5); read();
        const [slider, number] = document.querySelectorAll("#leaves input");
        slider.value = -1.5; slider.dispatchEvent(new Event("input")); read();
        number.value = "4"; number.dispatchEvent(new Event("input")); read();
        number.value = ""; number.dispatchEvent(new Event("input")); read();
        byId("reset").click(); read();
        return seen;""", tmp_path)  # fmt: skip
    for number, value, slope in found:
        assert value == pytest.approx(3 * number**2, rel=1e-15)
        assert slope == pytest.approx(6 * number, rel=1e-15)
    assert [number for number, _, _ in found] == [3.0, 3.0, -1.5, 4.0, 4.0, 2.0]


@needs_browser
def test_the_hand_closes_where_the_background_is_dragged_and_a_click_changes_no_inherited_style(tmp_path):
    path = written_page("graph", tmp_path)
    # it would have all nodes inherit a cursor anew, twice a click: half the time on a page of 1,000 nodes
    assert "#graph:active" not in path.read_text(encoding="utf-8")
    found = in_browser(path, CLICK + """const cursor = () => getComputedStyle(svg).cursor;
      const found = [cursor()];
      for (const target of [items[0].g, svg]) {
        pointer(target, "pointerdown", 300, 300);
        found.push(cursor());
        pointer(svg, "pointermove", 320, 310);
        found.push(cursor());
        pointer(svg, "pointerup", 320, 310);
        found.push(cursor());
      }
      return found;""", tmp_path)  # fmt: skip
    assert found == ["grab", "grab", "grab", "grab", "grab", "grabbing", "grab"]


@needs_browser
def test_a_constant_is_not_dragged(tmp_path):
    path = page(Value(2.0, label="x") * 3.0, tmp_path / "page.html")
    found = in_browser(path, CLICK + """pointer(node("3"), "pointerdown", 0, 0);
        pointer(svg, "pointermove", 90, 0); return [data[1], leaves.length];""", tmp_path)  # fmt: skip
    assert found == [3, 1]


@needs_browser
def test_the_keyboard_reaches_every_node_and_control(tmp_path):
    path = page(network_cost()[2], tmp_path / "page.html")
    found = in_browser(path, CLICK + """
        const stops = [...document.querySelectorAll("button, input, [tabindex]")].filter(
          (e) => e.tabIndex >= 0 && !e.disabled);
        const reached = new Set([root]);
        const queue = [root];
        while (queue.length) {
          const from = queue.pop();
          for (const arrow of ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]) {
            itemOf.get(from).g.focus();
            key(arrow);
            if (!reached.has(chosen)) { reached.add(chosen); queue.push(chosen); }
          }
        }
        itemOf.get(root).g.focus(); key("ArrowLeft"); const left = nodes[chosen].name; key("Home");
        const before = seen.width; key("+"); const closer = seen.width < before;
        const tabbable = items.filter((b) => b.g.tabIndex === 0).length;
        return { reached: reached.size, n: nodes.length, left, home: chosen === root, closer, tabbable,
                 stops: stops.length };""", tmp_path)  # fmt: skip
    assert found["reached"] == found["n"]
    assert found["home"]
    assert found["closer"]
    assert found["tabbable"] == 1
    assert found["stops"] > 30


@needs_browser
def test_zoom_keeps_the_point_under_the_pointer_and_fit_shows_everything(tmp_path):
    path = page(network_cost()[2], tmp_path / "page.html")
    found = in_browser(path, CLICK + """const place = () => itemOf.get(3).g.getBoundingClientRect();
        const before = place();
        const turn = { deltaY: -200, clientX: before.x, clientY: before.y, cancelable: true };
        svg.dispatchEvent(new WheelEvent("wheel", turn));
        const after = place();
        byId("closer").click(); byId("closer").click(); byId("whole").click();
        const frame = svg.getBoundingClientRect();
        const moved = Math.hypot(after.x - before.x, after.y - before.y);
        return { moved, grown: after.width / before.width,
          inside: items.every(({ g }) => inside(g.getBoundingClientRect(), frame)) };
        """, tmp_path)  # fmt: skip
    assert found["moved"] < 2
    assert found["grown"] > 1.3
    assert found["inside"]


@needs_browser
@pytest.mark.parametrize("size", [(1400, 850), (800, 900), (390, 800)])
@pytest.mark.parametrize("kind", ["graph", "network", "program"])
def test_no_text_overlaps_another_or_leaves_its_box(kind, size, tmp_path):
    path = written_page(kind, tmp_path)
    found = in_browser(path, """const bad = [];
        items.forEach(({ g }, i) => {
          const texts = [...g.querySelectorAll("text")];
          const outer = g.querySelector(".shape").getBoundingClientRect();
          const rects = texts.map((t) => t.getBoundingClientRect());
          rects.forEach((a, k) => {
            if (a.left < outer.left || a.right > outer.right) bad.push([nodes[i].name, texts[k].textContent]);
            rects.slice(k + 1).forEach((b, m) => {
              const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              const pair = [texts[k].textContent, texts[k + 1 + m].textContent];
              if (across > 0 && down > 0.4 * a.height) bad.push(pair);
            });
          });
        });
        const sideways = document.documentElement.scrollWidth > window.innerWidth;
        return { bad, sideways };""", tmp_path, size=size)  # fmt: skip
    assert found == {"bad": [], "sideways": False}


@needs_browser
def test_a_networks_circles_show_a_and_delta_and_its_edges_the_weights(tmp_path):
    net, trace, cost = network_cost()
    path = page(net, tmp_path / "page.html", trace=trace, of=cost)
    found = in_browser(path, """return items.map((item) =>
        [...item.g.querySelectorAll("text")].map((t) => t.textContent));""", tmp_path)  # fmt: skip

    def shown(text):
        return float(re.sub("^[δ∂] ", "", text))

    circles = {item[0]: item[1:] for item in found if len(item) == 3}
    assert circles.pop("J") == [f"{cost.data:.4g}", "∂ 1"]
    for layer, column in enumerate(trace.a):
        for j, a in enumerate(column, start=1):
            data, grad = circles.pop(f"a{layer}[{j}]" if layer else f"x[{j}]")
            expected = trace.z[layer][j - 1].grad if layer else a.grad
            assert shown(data) == float(f"{a.data:.4g}")
            assert shown(grad) == float(f"{expected:.4g}")
    assert circles == {}
    labels = sorted(shown(item[0]) for item in found if len(item) == 1)
    assert labels == sorted(float(f"{w.data:.4g}") for w in net.parameters())


@needs_browser
def test_a_networks_page_names_inputs_and_classes_within_the_picture(tmp_path):
    names, classes = ["sepal length (cm)", "<b>"], ["setosa", "versicolor", "virginica"]
    path = page(MLP(2, [3, 3]), tmp_path / "page.html", names=names, classes=classes)
    found = in_browser(path, """return [...svg.querySelectorAll(".mark text")].map((text) => {
        const box = text.getBBox();
        return [text.textContent, box.x >= 0 && box.x + box.width <= view.width];
      });""", tmp_path)  # fmt: skip
    assert {name for name, _ in found} >= {*names, *classes}
    assert all(inside for _, inside in found)


@needs_browser
def test_a_weight_can_be_chosen_by_its_edge_and_dragged(tmp_path):
    net = MLP(2, [12, 2], activation="tanh", seed=4)  # too many weights for labels on the edges
    path = page(net, tmp_path / "page.html")
    found = in_browser(path, CLICK + """
        const edge = edges.find(({ weight }) => nodes[weight].name === "W1[2,1]");
        pointer(edge.line, "pointerdown", 0, 0);
        pointer(svg, "pointermove", 75, 0);
        pointer(svg, "pointerup", 75, 0);
        const [slider, number] = document.querySelectorAll("#control input, #leaves input");
        return { name: byId("chosen").textContent, to: data[edge.weight], gradient: grad[edge.weight],
                 cost: data[root] };""", tmp_path)  # fmt: skip
    assert found["name"] == "W1[2,1]"
    weight = net.layers[0].neurons[1].w[0]
    assert found["to"] != weight.data
    weight.data = found["to"]
    cost = autobp.costs.quadratic(net([1.0, 1.0]), [0.0, 0.0])
    cost.backward()
    assert found["cost"] == pytest.approx(cost.data, rel=1e-14)
    assert found["gradient"] == pytest.approx(weight.grad, rel=1e-12)


@needs_browser
def test_a_leaf_that_the_list_leaves_out_has_a_control_when_it_is_chosen(tmp_path):
    path = page(MLP(16, [8, 1], activation="sigmoid", seed=1), tmp_path / "page.html")
    found = in_browser(path, """const i = nodes.findIndex((n) => n.name === "W1[3,12]");
        const before = byId("control").children.length;
        go(i);
        const number = document.querySelector("#control input[type=number]");
        number.value = "2.5"; number.dispatchEvent(new Event("input"));
        const value = data[i];
        go(root);
        return [before, value, byId("control").children.length];""", tmp_path)  # fmt: skip
    assert found == [0, 2.5, 0]


def test_a_network_and_what_is_differentiated_must_belong_together(tmp_path):
    net, trace, cost = network_cost()
    path = tmp_path / "page.html"
    with pytest.raises(ValueError, match="trace"):
        page(net, path, of=cost)
    with pytest.raises(ValueError, match="does not depend"):
        page(net, path, trace=trace, of=Value(1.0) * 2.0)
    with pytest.raises(ValueError, match=r"\[2, 1\]"):
        page(net, path, trace=MLP(2, [1]).trace([1.0, 2.0]))
    with pytest.raises(ValueError, match="of="):
        page(cost, path, of=cost)
    assert not path.exists()


def test_making_a_page_leaves_gradients_alone(tmp_path):
    net, trace, cost = network_cost()
    before = [w.grad for w in net.parameters()]
    page(net, tmp_path / "page.html", trace=trace, of=cost)
    page(cost, tmp_path / "page.html")
    assert [w.grad for w in net.parameters()] == before


@needs_browser
def test_a_programs_page_shows_statements_shapes_and_numbers(tmp_path):
    net, step, data = compiled()
    path = page(step, tmp_path / "page.html", data=data)
    found = in_browser(path, CLICK + """click(node("z1"));
        const links = [...document.querySelectorAll("#facts button")].map((button) => button.textContent);
        const rows = [...document.querySelectorAll("#facts tbody tr")].map((row) => cells(row).slice(1));
        const seen = { z1: nodes[chosen], links, rows };
        const shownIn = ({ i, numbers }) => [nodes[i].name, numbers[0].text.textContent];
        seen.numbers = Object.fromEntries(items.map(shownIn));
        byId("first").click(); byId("next").click();
        const pending = items.filter(({ g }) => g.classList.contains("pending")).length;
        return { ...seen, told: byId("status").textContent, pending };""", tmp_path)  # fmt: skip
    expected = np.asarray(data[0]) @ net.layers[0].W.T + net.layers[0].b
    assert found["z1"]["shape"] == "m × 4"
    assert found["z1"]["formulas"] == ["x @ W1.T + b1"]
    assert [[float(x) for x in row] for row in found["rows"]] == [
        [float(f"{x:.4g}") for x in r] for r in expected
    ]
    assert set(found["links"]) == {"x", "W1", "b1", "a1"}
    cost, gradient = step(step.theta, *data)
    assert float(found["numbers"]["cost"]) == float(f"{cost:.4g}")
    ends = [float(x) for x in found["numbers"]["gradient"].split(" … ")]
    assert ends == [float(f"{x:.4g}") for x in (min(gradient), max(gradient))]
    n = len(statements(step)[1])
    assert found["told"].startswith(f"Forward, statement 1 of {n}: ")
    assert found["pending"] == n - 1


def test_a_programs_data_must_fit_it(tmp_path):
    _, step, _ = compiled()
    with pytest.raises(ValueError, match="rows"):
        page(step, tmp_path / "page.html", data=([[0.0] * 3] * 2, [[0.0] * 2] * 3))
    assert not (tmp_path / "page.html").exists()


def _digits_like(activations, cost, seed=2):
    rng = np.random.default_rng(seed)
    net = MLP(4, [5, 3], activations, seed=seed)
    step = autobp.compile(
        lambda x, y: cost(net.trace(x).output, y), net.parameters(), example=([0.1] * 4, [1.0, 0.0, 0.0])
    )
    return step, (rng.normal(size=(6, 4)), np.eye(3)[rng.integers(3, size=6)])


def _written_as_loops():
    w = [Value(0.1 * i - 0.3) for i in range(7)]

    def loss(x, y):
        state = 0.0
        for number in x:
            state = (w[0] * state + w[1] * number + w[2]).tanh()
            state = autobp.maximum(state, w[3] * number) * w[4] ** 2
        return (autobp.abs(state - y) + 0.1) ** 1.5 + autobp.where(autobp.greater(state, 0.0), w[5], w[6])

    rng = np.random.default_rng(3)
    step = autobp.compile(loss, w, example=([0.1, 0.2, 0.3], 1.0))
    return step, (rng.normal(size=(5, 3)), rng.normal(size=5))


def _with_choices():
    table = [[Value(0.3 * i - 0.2 * j) for j in range(3)] for i in range(4)]
    w = [Value(0.5), Value(-0.7), Value(0.2)]

    def loss(i, y):
        embedded = [autobp.take([row[j] for row in table], i) for j in range(3)]
        chosen = autobp.take([embedded[2], embedded[0], embedded[1]], y)
        score = autobp.sum(a * b for a, b in zip(w, embedded, strict=True))
        return score.gelu() + autobp.softmax(embedded)[0] * chosen

    step = autobp.compile(loss, [v for row in table for v in row] + w, example=(1.0, 2.0))
    return step, (np.array([0.0, 3.0, 1.0, 1.0]), np.array([2.0, 0.0, 1.0, 1.0]))


PROGRAMS = {
    "sigmoid": lambda: _digits_like("sigmoid", autobp.costs.binary_cross_entropy),
    "softmax": lambda: _digits_like(["tanh", "linear"], autobp.costs.softmax_cross_entropy),
    "relu": lambda: _digits_like(["relu", "softmax"], autobp.costs.quadratic),
    "loops": _written_as_loops,
    "choices": _with_choices,
}


def in_variables(found, expected):
    """The browser's arrays are the program's: to 1e-12 of the largest number in each."""
    for name, array in expected.items():
        shape, numbers = found[name]
        assert shape == list(np.shape(array)), name
        wanted = np.asarray(array, dtype=np.float64).reshape(-1)
        given = np.array([float(x.replace("Infinity", "inf")) for x in numbers])
        largest = np.abs(wanted).max(initial=0.0)
        np.testing.assert_allclose(given, wanted, rtol=1e-12, atol=1e-12 * largest, err_msg=name)


VARIABLES = """Object.fromEntries(Object.entries(variables).map(([name, x]) =>
  [name, [asArray(x).shape, [...numbersOf(asArray(x))].map(String)]]))"""


@needs_browser
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_dragged_number_gives_what_the_program_gives_for_it(name, tmp_path):
    step, data = PROGRAMS[name]()
    data = [np.array(x) for x in data]
    path = page(step, tmp_path / "page.html", data=data)
    found = in_browser(path, CLICK + f"""
        const before = {VARIABLES};
        const drag = (name, k, dx) => {{
          click(node(name));
          const button = shown.cells.get(k);
          const box = button.getBoundingClientRect();
          pointer(button, "pointerdown", box.x + 3, box.y + 3);
          pointer(byId("facts"), "pointermove", box.x + 3 + dx, box.y + 3);
          pointer(byId("facts"), "pointerup", box.x + 3 + dx, box.y + 3);
          const array = arrayOf(chosen);
          return array.values[array.at[k]];
        }};
        const moved = [drag("theta", 3, 40), drag(nodes[1].name, 2, {150 if name == "choices" else -25})];
        const after = {VARIABLES};
        click(node("theta"));
        shown.cells.get(4).click();
        const field = document.querySelector("#control input[type=number]");
        field.value = "0.25"; field.dispatchEvent(new Event("input"));
        const typed = {VARIABLES};
        byId("reset").click();
        return {{ before, moved, after, typed, reset: {VARIABLES} }};""", tmp_path)  # fmt: skip
    theta = step.theta
    original = step.variables(step.theta, *data)
    in_variables(found["before"], original)
    in_variables(found["reset"], original)
    changed = theta.copy()
    changed[3] = found["moved"][0]
    data[0].reshape(-1)[2] = found["moved"][1]
    assert changed[3] != theta[3]
    step.write_back(changed)
    in_variables(found["after"], step.variables(step.theta, *data))
    changed[4] = 0.25
    step.write_back(changed)
    cost, gradient = step(changed, *data)
    in_variables(found["typed"], {"cost": cost, "gradient": gradient, "theta": changed})


@needs_browser
def test_any_program_computes_in_javascript_what_it_computes_in_numpy(tmp_path):
    cases, script = [], []
    for seed in range(60):
        program = RandomProgram(seed)
        arguments = [] if program.whole else [np.array(program.rows)]
        step = autobp.compile(program.on_all_rows if program.whole else program.sample, program.parameters)
        step(step.theta, *arguments)
        given = dict(zip(step.written.functions[-1].arguments, [step.theta, *arguments], strict=True))
        given |= step.written.module.constants
        packed = json.dumps({name: [np.shape(x), np.ravel(x).tolist()] for name, x in given.items()})
        script.append(f"""{{ {javascript(step.written)}
            const variables = Object.create(null);
            for (const [name, [shape, numbers]] of Object.entries({packed})) {{
              variables[name] = made(Float64Array.from(numbers), shape);
            }}
            run(variables); found.push({VARIABLES}); }}""")
        cases.append(step.variables(step.theta, *arguments))
    read = (ROOT / "autobp" / "html_page").joinpath
    library = read("elementary.js").read_text() + read("arrays.js").read_text()
    (tmp_path / "page.html").write_text("<body></body>")
    body = f"{library} const found = []; {''.join(script)} return found;"
    found = in_browser(tmp_path / "page.html", body, tmp_path)
    for numbers, expected in zip(found, cases, strict=True):
        # what cancels to nothing differs by the rounding of what it was made from
        scale = max(np.abs(np.asarray(x, dtype=float)).max(initial=1.0) for x in expected.values())
        for name, array in expected.items():
            given = [float(x) for x in numbers[name][1]]
            np.testing.assert_allclose(given, np.ravel(array), rtol=1e-12, atol=1e-12 * scale, err_msg=name)


@needs_browser
def test_the_keyboard_walks_through_an_array_and_changes_a_number(tmp_path):
    _, step, _ = compiled()
    X = np.arange(60.0).reshape(20, 3)
    path = page(step, tmp_path / "page.html", data=(X, np.ones((20, 2))))
    found = in_browser(path, CLICK + """go(nodes.findIndex((n) => n.name === "x"));
        shown.cells.get(0).focus();
        key("ArrowUp"); key("ArrowLeft");
        for (let k = 0; k < 15; k++) key("ArrowDown");
        key("ArrowRight"); key("ArrowRight"); key("ArrowRight");
        const label = document.activeElement.getAttribute("aria-label");
        const stops = [...shown.cells.values()].filter((cell) => cell.tabIndex === 0).length;
        const head = document.querySelector("#facts tbody tr").cells[0].textContent;
        document.activeElement.click();
        const inField = document.activeElement.type;
        const caption = document.querySelector("#facts caption").textContent;
        const slider = byId("mover0"); slider.value = 9; slider.dispatchEvent(new Event("input"));
        return { label, stops, head, inField, caption, focus: document.activeElement.id,
                 first: document.querySelector("#facts tbody tr").cells[0].textContent };
        """, tmp_path)  # fmt: skip
    assert found == {
        "label": "x[16,3]: 47", "stops": 1, "head": "5", "inField": "number",
        "caption": "Numbers, rows 5 to 16 of 20", "focus": "mover0", "first": "9",
    }  # fmt: skip


@needs_browser
def test_an_index_that_is_none_is_named_and_what_follows_is_not_shown(tmp_path):
    step, data = PROGRAMS["choices"]()
    path = page(step, tmp_path / "page.html", data=data)
    found = in_browser(path, CLICK + """click(node("i"));
        const field = document.querySelector("#control input[type=number]");
        field.value = "1.5"; field.dispatchEvent(new Event("input"));
        const told = byId("status").textContent;
        const cost = node("cost").querySelector(".range").textContent;
        field.value = "1"; field.dispatchEvent(new Event("input"));
        return { told, cost, again: node("cost").querySelector(".range").textContent };
        """, tmp_path)  # fmt: skip
    assert found["told"] == "take: the index 1.5 is not one of 0, 1, …, 3"
    assert found["cost"] == "…"
    assert math.isfinite(float(found["again"]))


@needs_browser
def test_a_page_that_cannot_compute_says_why_and_shows_what_there_is(tmp_path, monkeypatch):
    _, step, data = compiled()
    told = "return [byId('help').textContent, byId('reset').hidden];"
    help_, hidden = in_browser(page(step, tmp_path / "page.html"), told, tmp_path)
    assert "page(step, path, data=(x, y,))" in help_
    assert hidden

    def odd(xp, x):
        return x if float(x) > 0 else -x

    ops.operation("odd_for_page", odd, lambda xp, y, x: (1.0 if float(x) > 0 else -1.0,))
    try:
        w = Value(2.0)
        foreign = autobp.compile(lambda x: apply(ops.TABLE["odd_for_page"], [w * x]), [w], example=(1.0,))
        help_, _ = in_browser(page(foreign, tmp_path / "page.html", data=([1.0, 2.0],)), told, tmp_path)
        assert "odd_for_page" in help_
        assert "Python code" in help_
    finally:
        del ops.TABLE["odd_for_page"]

    monkeypatch.setattr("autobp.html_page.of_program._MOST_NUMBERS", 10)
    path = page(step, tmp_path / "page.html", data=data)
    script = "const cost = document.querySelector('#facts .alone').textContent.split(': ')[1];"
    help_, cost = in_browser(path, f"{script} return [byId('help').textContent, cost];", tmp_path)
    assert "too many" in help_
    assert float(cost) == float(f"{step(step.theta, *data)[0]:.4g}")


@needs_browser
def test_a_program_without_arguments_computes_too(tmp_path):
    w = Value(3.0, label="w")
    path = page(autobp.compile(w * w.sin(), [w]), tmp_path / "page.html")
    script = """given[0].array.values[0] = 2; refresh();
        return [variables.cost, variables.gradient].map((x) => numbersOf(asArray(x))[0]);"""
    found = in_browser(path, script, tmp_path)
    assert found == pytest.approx([2 * math.sin(2), math.sin(2) + 2 * math.cos(2)], rel=1e-14)


def test_variables_named_as_the_result_keep_their_numbers():
    w = Value(3.0)
    step = autobp.compile(lambda cost, made: (w * cost - made) ** 2, [w], example=(1.0, 2.0))
    found = step.variables(step.theta, [2.0], [5.0])
    assert found["cost"].tolist() == [[2.0]]
    assert found["made"].tolist() == [[5.0]]
    assert found["cost_"] == 1.0
    arguments, made = statements(step)
    assert [argument.name for argument in arguments] == ["theta", "cost", "made"]
    assert made[-1].name == "cost_"


@needs_browser
@needs_axe
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("when", ["", 'byId("first").click(); byId("next").click();', "go(5);"])
@pytest.mark.parametrize("kind", ["graph", "network", "program"])
def test_axe_finds_no_violation(kind, when, dark, tmp_path):
    path = written_page(kind, tmp_path)
    axe = f"<script>{AXE.read_text(encoding='utf-8')}</script>"
    script = f"""{when}
        const found = await axe.run();
        return {{ dark: matchMedia("(prefers-color-scheme: dark)").matches, passes: found.passes.length,
          violations: found.violations.map((v) => [v.id, v.nodes.map((n) => n.html.slice(0, 200))]) }};"""
    found = in_browser(path, script, tmp_path, before=axe, dark=dark)
    assert found["violations"] == []
    assert found["passes"] > 15
    assert found["dark"] == dark

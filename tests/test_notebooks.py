"""What notebooks show of a report, a history, a data set, a step, a page; and the example notebooks."""

import contextlib
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import autobp
from autobp import MLP, History, Value, check, costs, datasets
from autobp.datasets.dataset import Dataset
from autobp.showing import COLOURS, curves, frame, table, thumbnails

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SVG = "{http://www.w3.org/2000/svg}"


class Outline(HTMLParser):
    """The tags of a document, and its text; every tag is closed."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(document)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def report(wrong=False):
    net = MLP(3, [2, 1], activation="sigmoid", seed=1)
    X, Y = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]]), np.array([[1.0], [0.0]])

    def backprop(W, b, X, Y, activations, cost, l2):
        right = autobp.matrix.backprop(W, b, X, Y, activations=activations, cost=cost, l2=l2)
        return [2.0 * dW for dW in right.dW] if wrong else right.dW, right.db

    return check.compare(net, X, Y, cost="binary_cross_entropy", against=backprop)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_report_is_its_table_with_the_first_failure_marked(wrong):
    found = report(wrong)
    outline = Outline(found._repr_html_())
    rows = [attributes for tag, attributes in outline.tags if tag == "tr"]
    assert len(rows) == 1 + len(found.rows)
    marked = [i - 1 for i, attributes in enumerate(rows) if "style" in attributes]
    failures = [i for i, row in enumerate(found.rows) if not row.ok]
    assert marked == failures[:1]
    assert bool(failures) == wrong
    words = " ".join(outline.text).split()
    assert [word for word in str(found).split() if word not in words] == []


def test_a_history_is_a_curve_of_each_cost():
    history = History(cost=[3.0, 2.0, 1.0], validation_cost=[4.0, 3.0, 3.5])
    svg = ElementTree.fromstring(history._repr_svg_())
    lines = svg.findall(f"{SVG}polyline")
    points = [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in lines]
    assert [len(each) for each in points] == [3, 3]
    heights = {y: at for costs_of, each in zip(([3, 2, 1], [4, 3, 3.5]), points, strict=True)
               for y, (_, at) in zip(costs_of, each, strict=True)}  # fmt: skip
    assert heights[3.5] == pytest.approx((heights[3] + heights[4]) / 2, abs=0.11)
    assert heights[4] < heights[1]
    assert [line.get("stroke") for line in lines] == list(COLOURS[:2])


def test_a_curve_over_decades_is_logarithmic_and_leaves_out_what_is_not_finite():
    svg = ElementTree.fromstring(curves({"a": [100.0, float("nan"), 1.0, 0.01, float("inf")]}, "cost"))
    (line,) = svg.findall(f"{SVG}polyline")
    heights = [float(p.split(",")[1]) for p in line.get("points").split()]
    assert len(heights) == 3
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)
    assert "logarithmic: 100" in svg.find(f"{SVG}text[2]").text
    for odd in ({}, {"a": []}, {"a": [2.0]}, {"a": [float("nan")]}, {"a": [0.0, 5.0]}):
        ElementTree.fromstring(curves(odd, "cost"))


def test_a_data_set_of_images_shows_their_pixels():
    images = np.array([[[0.0, 1.0], [0.5, 0.0]]])
    svg = ElementTree.fromstring(thumbnails(images))
    shades = [square.get("fill") for square in svg]
    assert shades == ["rgb(255,255,255)", "rgb(0,0,0)", "rgb(127,127,127)", "rgb(255,255,255)"]
    pytest.importorskip("sklearn")
    digits = datasets.load("digits")
    text = digits._repr_html_()
    assert text.count("<rect") == 10 * 64
    assert "1347 samples to train on" in text


def test_a_data_set_in_the_plane_shows_its_points():
    xor = datasets.load("xor")
    text = xor._repr_html_()
    assert text.count("<circle") == len(xor.X)
    assert text.count(COLOURS[1]) == int(xor.Y.sum())


def test_another_data_set_shows_its_first_rows():
    X = np.arange(30.0).reshape(3, 10)
    names = tuple(f"<b{i}>" for i in range(10))
    none = {"X_test": X[:0], "Y_test": np.zeros((0, 1))}
    rows = {"X": X, **none, "names": names, "offset": X[0], "scale": X[0]}
    data = Dataset("t", Y=np.array([[0.0], [1.0], [0.0]]), classes=("no", "yes & no"), target="y", **rows)
    outline = Outline(data._repr_html_())
    cells = [text.strip() for text in outline.text if text.strip()]
    assert cells[:10] == [*names[:8], "…", "y"]
    assert cells[10:20] == ["0", "1", "2", "3", "4", "5", "6", "7", "…", "no"]
    assert cells[29] == "yes & no"
    several = Dataset("t", Y=X[:, :2], classes=(), target="a, b", **rows)
    assert "10, 11" in several._repr_html_()


def test_a_step_is_its_program():
    net = MLP(2, [1], "sigmoid", seed=0)
    step = autobp.compile(lambda x, y: costs.binary_cross_entropy(net(x), y), net.parameters())
    assert "not traced yet" in step._repr_markdown_()
    step(step.theta, [[1.0, 2.0]], [[1.0]])
    assert step._repr_markdown_() == f"```python\n{step.source}\n```"


def test_a_page_is_shown_in_a_frame(tmp_path):
    x = Value(2.0, label="x")
    path = autobp.page(x * 3.0, tmp_path / "page.html")
    assert isinstance(path, Path)
    assert path == tmp_path / "page.html"
    assert type(path.parent / "other")("a") == Path("a")
    ((tag, attributes),) = Outline(path._repr_html_()).tags
    assert tag == "iframe"
    assert attributes["srcdoc"] == path.read_text(encoding="utf-8")


def test_text_cannot_break_out():
    evil = '"><script>alert(1)</script>'
    for shown in (table([evil], [[evil]], evil), curves({evil: [1.0]}, evil), frame(evil)):
        assert "<script" not in shown
        assert evil in "".join(Outline(shown).text) or "iframe" in shown


def test_a_derivation_is_latex():
    net = MLP(2, [1], "sigmoid", seed=0)
    found = autobp.explain(costs.binary_cross_entropy(net([0.5, 1.0]), 1.0), wrt="b1[1]")
    assert found._repr_latex_().startswith("$$\n\\begin{aligned}")


# -- the example notebooks --------------------------------------------------------------------------------


def cells(notebook):
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert found["nbformat"] == 4
    return found["cells"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_example_notebook_runs_and_shows_what_it_makes(notebook, tmp_path, monkeypatch):
    """Cell by cell, as a notebook does, but in this process."""
    import ast

    pytest.importorskip("sklearn", minversion="1.6")
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    namespace, n_shown = {}, 0
    for cell in cells(notebook):
        assert not cell.get("outputs"), "notebooks are kept without outputs"
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, notebook.name, "exec"), namespace)
            if last is not None:
                shown = eval(compile(ast.Expression(last.value), notebook.name, "eval"), namespace)
                for kind in ("html", "svg", "markdown", "latex"):
                    made = getattr(shown, f"_repr_{kind}_", lambda: None)()
                    n_shown += bool(made)
    assert n_shown >= 2


def test_there_are_example_notebooks():
    assert len(NOTEBOOKS) >= 2


@pytest.mark.long
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_example_notebook_runs_in_jupyter(notebook, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    run = nbformat.read(notebook, as_version=4)
    monkey = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER.parent), monkey])
    try:
        nbclient.NotebookClient(run, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    finally:
        os.environ["PYTHONPATH"] = monkey
    kinds = {kind for cell in run.cells for out in cell.get("outputs", []) for kind in out.get("data", {})}
    assert kinds & {"text/html", "image/svg+xml", "text/markdown", "text/latex"}
    assert not re.search("Traceback", json.dumps(run))

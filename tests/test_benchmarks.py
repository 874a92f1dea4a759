"""The benchmarks measure what they say: the contenders compute the same, and missing peers leave blanks."""

from pathlib import Path

import pytest

import autobp
from autobp import Value
from benchmarks.__main__ import comparisons, table
from benchmarks.eager import demo_step, graph
from benchmarks.harness import SOURCE, Comparison, Contender, Row, run
from benchmarks.microgpt import GPT, TupleValue
from benchmarks.recurrent_models import MODELS
from benchmarks.summary import BEGIN, read, renewed

ROOT = Path(__file__).parent.parent


def test_the_scalar_gpt_has_the_same_loss_and_gradient_on_both_kinds_of_value():
    found = []
    for make in (Value, TupleValue):
        model = GPT(make)
        loss = model.loss([1, 5, 2])
        loss.backward()
        found.append([loss.data, *[v.grad for row in model.tokens + model.key + model.up for v in row]])
    assert found[0] == pytest.approx(found[1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [1000, 10_000])
def test_graphs_have_the_size_they_are_said_to_have(n):
    from autobp.engine import topological_order

    assert len(topological_order(graph(Value, n))) == pytest.approx(n, rel=0.02)


def test_the_demo_step_leaves_gradients():
    net = autobp.MLP(2, [4, 1], seed=0)
    demo_step(net, Value)()
    assert any(p.grad != 0 for p in net.parameters())


def test_every_comparison_says_what_it_measures_and_includes_autobp():
    for comparison in comparisons().values():
        assert comparison.title
        assert any(contender.package == "autobp" for contender in comparison.contenders)


def test_a_missing_peer_leaves_a_blank_cell():
    def missing():
        raise ImportError("no such peer")

    comparison = Comparison("x", (Contender("a", lambda: lambda: 2.0), Contender("b", missing, "")), "ms", 3)

    class Here:
        name = SOURCE

        def active(self):
            from contextlib import nullcontext

            return nullcontext()

    rows = run(comparison, [Here()], quick=False)
    assert [row.samples for row in rows] == [[2.0, 2.0, 2.0], []]
    assert table(comparison, rows).splitlines()[-1] == "| b |  |  |  |"


def test_a_reference_is_the_one_that_others_are_told_in_multiples_of():
    rows = [
        Row("slow", "", "", [4.0, 9.0, 4.0]),
        Row("fast", "", "", [2.0, 3.0, 4.0]),
        Row("peer", "", "1", []),
    ]
    lines = table(Comparison("x", (), "µs", reference="fast"), rows).splitlines()
    assert lines[0] == "| x | µs | × fast |"
    assert lines[2:] == ["| slow | 4 | 2 (1–3) |", "| fast | 3 |  |", "| peer 1 |  |  |"]


def test_the_engine_is_measured_in_both_builds_and_a_compiled_step_once():
    from contextlib import nullcontext

    class Some:
        def __init__(self, name):
            self.name = name

        def active(self):
            return nullcontext()

    builds = [Some("compiled"), Some(SOURCE)]
    contenders = (Contender("a", lambda: lambda: 1.0),)
    assert [row.build for row in run(Comparison("x", contenders), builds, True)] == ["compiled", SOURCE]
    assert [row.build for row in run(Comparison("x", contenders, reference="a"), builds, True)] == [""]


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_recurrences_in_jax_are_those_in_scalars(model):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    row = [x[0] for x in model.data(1)]
    theta = [Value(float(x)) for x in model.theta]
    cost = model.scalars(theta, *[x.tolist() if x.ndim else float(x) for x in row])
    cost.backward()
    found, gradient = jax.value_and_grad(model.by_scan)(jax.numpy.array(model.theta), *row)
    assert float(found) == pytest.approx(cost.data, rel=1e-9)
    assert gradient == pytest.approx([p.grad for p in theta], rel=1e-7, abs=1e-9)


def test_ratios_are_taken_within_each_round():
    rows = [Row("autobp", SOURCE, "1", [1.0, 2.0, 4.0]), Row("peer", "", "2", [3.0, 8.0, 8.0])]
    assert "| peer 2 | 8 |  | 3 (2–4) |" in table(Comparison("x", (), "ms"), rows)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_autograd_is_given_the_same_cost_as_the_rest(activation):
    autograd = pytest.importorskip("autograd")
    from benchmarks.compiled import Case
    from benchmarks.numpy_by_hand import backprop

    case = Case((3, 4, 2), 5, activation)
    seen = []
    real = autograd.value_and_grad
    try:
        autograd.value_and_grad = lambda f: lambda p: seen.append(real(f)(p)) or seen[-1]
        case.calls = 1
        case.autograd()()
    finally:
        autograd.value_and_grad = real
    cost, gradient = seen[-1]
    by_hand = backprop(case.W, case.b, case.x, case.y, activation, "cross-entropy")
    assert cost == pytest.approx(by_hand[0], rel=1e-12)
    for (dw, db), dw_hand, db_hand in zip(gradient, by_hand[1], by_hand[2], strict=True):
        assert dw == pytest.approx(dw_hand, rel=1e-10, abs=1e-14)
        assert db == pytest.approx(db_hand, rel=1e-10, abs=1e-14)


def test_readme_shows_what_was_measured():
    """Where this fails, somebody has edited one of them: ``python -m benchmarks`` writes both."""
    results = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert renewed(readme, results) == readme
    shown = readme.partition(BEGIN)[2]
    tables, peers = read(results)
    assert len(tables) == len(comparisons())
    known = {"autograd", "CasADi", "JAX", "micrograd", "NumPy", "Numba", "PyTorch", "scikit-learn"}
    assert {peer.split()[0] for peer in peers} == known
    own = next(rows for title, rows in tables.items() if title.startswith("The same demo"))
    ratio = float(own["micrograd"][1].split()[0].replace(",", ""))
    assert f"each with its own `nn`: micrograd | {float(f'{ratio:.2g}'):,.0f} |" in shown


def test_a_peer_that_was_missing_is_a_blank_in_readme_too():
    results = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    lines = [line for line in results.splitlines() if not line.startswith("| JAX")]
    text = renewed((ROOT / "README.md").read_text(encoding="utf-8"), "\n".join(lines) + "\n")
    row = next(line for line in text.splitlines() if line.startswith("| 784-30-10, batch 10 |"))
    assert row.split("|")[4].strip() == ""
    assert "JAX 0" not in text.partition("PyTorch eager")[0].partition(BEGIN)[2]
    with pytest.raises(ValueError, match="needs the marks"):
        renewed("# README without marks", results)

"""Writers of programs: each knows all kinds of arrays, one is a few lines, and what they write computes."""

import inspect
import re

import numpy as np
import pytest
from test_compile_random import Program as RandomProgram

import autobp
from autobp import MLP, costs, ir
from autobp.backends import array_helpers
from autobp.backends.javascript import Javascript, JavascriptFormulas, javascript
from autobp.backends.latex import Latex, LatexFormulas, equations
from autobp.backends.moves import view_moves
from autobp.backends.numpy_checked import NumpyChecked, write_checked
from autobp.backends.numpy_text import NumpyText, source_of
from autobp.backends.printer import Formulas, Printer, Template, Text, expression_of
from autobp.backends.source_module import HELPER_TEXTS, NumpyFormulas, SourceModule
from autobp.ir.expression import COMPARISONS, UFUNCS, Expression
from autobp.ir.reserved import HELPERS, is_free
from autobp.ir.slicing import slicing
from autobp.ops import ATOM, PRODUCT, SUM

BACKENDS = [NumpyText, NumpyChecked, Latex, Javascript]
#: Absent is never computed: it only says where pieces of an assembly belong.
KINDS = [kind for kind in ir.Array.__subclasses__() if kind is not ir.Absent]


def compiled():
    net = MLP(3, [4, 2], ["tanh", "sigmoid"], seed=1)

    def cost(x, y):
        return costs.quadratic(net.trace(x).output, y)

    return autobp.compile(cost, net.parameters(), example=([0.1] * 3, [1.0, 0.0]))


# ------------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_backend_has_a_method_for_each_kind_of_array(backend, kind):
    array = object.__new__(kind)
    method = Printer.method(object.__new__(backend), array)
    assert method.__name__ == kind.__name__.lower()
    (parameter,) = inspect.signature(method).parameters.values()
    assert kind.__name__ in str(parameter.annotation)
    if backend is Javascript and kind in (ir.Loop, ir.Result, ir.Local):
        assert method.__doc__.startswith("Refused")


def test_a_kind_without_a_method_is_named():
    class Odd(ir.Array):
        pass

    with pytest.raises(NotImplementedError, match="Latex has no method to write Odd"):
        Printer.method(object.__new__(Latex), Odd())


@pytest.mark.parametrize("formulas", [NumpyFormulas(SourceModule()), LatexFormulas(), JavascriptFormulas()])
@pytest.mark.parametrize(
    "name", ["+", "-", "*", "/", "neg", "square", "power", "where", *UFUNCS, *COMPARISONS]
)
def test_a_backend_writes_whatever_an_expression_may_apply(formulas, name):
    n = {"where": 3, "neg": 1, "square": 1}.get(name) or getattr(np, UFUNCS.get(name, "add")).nin
    expression = Expression(name, *[Expression("slot", i) for i in range(n)])
    text = formulas.write(expression, [Text(x, ATOM) for x in "pqr"])
    assert all(x in text.text for x in "pqr"[:n])
    assert "slot" not in text.text


# ---------------------------------------------------------------------------------- one more, in a few lines


class WordFormulas(Formulas):
    templates = {  # noqa: RUF012
        "+": Template("the sum of {0} and {1}", SUM, (0, 0)),
        "-": Template("the difference of {0} and {1}", SUM, (0, 0)),
        "*": Template("{0} times {1}", PRODUCT, (PRODUCT, PRODUCT)),
        "/": Template("{0} over {1}", PRODUCT, (PRODUCT, PRODUCT)),
    }

    def number(self, x):
        return Text(f"{x:g}", ATOM)

    def operation(self, name, operands):
        return Text(f"the {name} of {' and '.join(x.text for x in operands)}", SUM)


class Words(Printer):
    """A program in words, for the arrays that a network has."""

    def assign(self, array, text):
        self.texts[array] = Text(self.name_for(array), ATOM)
        self.lines.append(f"{self.texts[array].text} is {text}.")

    def input(self, array):
        self.texts[array] = Text(self.names[array], ATOM)

    def view(self, array):
        return Text("parameters", ATOM)

    def matmul(self, array):
        return Text(f"the product of {self.of(array.rows)} and {self.of(array.columns)}", PRODUCT)

    def map(self, array):
        return self.formulas.write(expression_of(array), [self.texts[x] for x in array.operands])

    sum = map

    def theta(self, array):
        """The views of it are what is shown."""

    def total(self, array):
        self.lines.append(f"The cost adds up {' and '.join(self.of(term.x) for term in array.terms)}.")


def test_a_language_that_somebody_adds_is_one_class_and_a_table():
    step = compiled()
    value = ir.Program(step.program.arguments, step.program.results[:1], step.program.names)
    printer = Words(value, WordFormulas())
    printer.lines = []
    printer.write_all()
    assert printer.lines == [
        "W1 is parameters.",
        "b1 is parameters.",
        "z1 is the sum of the product of x and W1 and b1.",
        "a1 is the tanh of z1.",
        "W2 is parameters.",
        "b2 is parameters.",
        "z2 is the sum of the product of a1 and W2 and b2.",
        "a2 is the sigmoid of z2.",
        "t1 is the difference of a2 and y.",
        "The cost adds up t1.",
    ]


# --------------------------------------------------------------------------------------- statements as data


def test_a_function_tells_each_statement_its_array_and_what_it_reads():
    step = compiled()
    function = step.written.functions[-1]
    assert function.name == "cost_and_gradient"
    names = {name: array for array, name in function.variables.items()}
    lines = {line.name: line for line in function.lines}
    z1 = lines["z1"]
    assert (z1.text, z1.formula) == ("z1 = x @ W1.T + b1", "x @ W1.T + b1")
    assert z1.array is names["z1"]
    assert [function.variables[x] for x in z1.reads] == ["x", "W1", "b1"]
    assert [function.variables[x] for x in lines["W1"].reads] == ["theta"]
    assert function.result.name == "cost"
    assert "\n    ".join([line.text for line in function.lines]) in step.source
    assert step.written.text == step.source


def test_variables_are_those_of_the_source():
    step = compiled()
    X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.ones((5, 2))
    found = step.variables(step.theta, X, Y)
    cost, gradient = step(step.theta, X, Y)
    assert found["cost"] == pytest.approx(cost, rel=1e-14)
    np.testing.assert_allclose(found["gradient"], gradient, rtol=1e-13)
    np.testing.assert_array_equal(found["a1"], np.tanh(found["z1"]))
    for array, name in step.written.functions[-1].variables.items():
        assert np.shape(found[name]) == ((5,) if array.batched else ()) + array.shape
    with pytest.raises(ValueError, match="rows"):
        step.variables(step.theta, X, Y[:2])


@pytest.mark.parametrize("seed", range(60))
def test_variables_have_the_shapes_that_the_program_tells(seed):
    program = RandomProgram(seed)
    arguments = [] if program.whole else [np.array(program.rows)]
    step = autobp.compile(program.on_all_rows if program.whole else program.sample, program.parameters)
    step(step.theta, *arguments)
    found = step.variables(step.theta, *arguments)
    for array, name in step.written.functions[-1].variables.items():
        assert np.shape(found[name]) == ((len(program.rows),) if array.batched else ()) + array.shape, name


def test_a_choice_by_a_constant_keeps_the_shape_that_what_is_not_taken_tells():
    x = autobp.Value(0.3)
    true = autobp.greater(1.0, 0.0)
    first = autobp.where(true, x, 0.0)
    root = 0.5 ** autobp.sin(first) + autobp.where(autobp.greater(true, 0.0), x, true)
    step = autobp.compile(root, [x])
    cost, gradient = step(step.theta)
    root.backward()
    assert cost == pytest.approx(root.data, rel=1e-15)
    assert gradient == pytest.approx([x.grad], rel=1e-14)
    assert step.variables(step.theta)["cost"] == pytest.approx(root.data, rel=1e-15)


# -------------------------------------------------------------------------------------------------- moves


def test_every_view_that_needs_no_copy_is_written_so_that_it_picks_its_elements():
    rng = np.random.default_rng(0)
    module, seen, twice = SourceModule(), 0, 0
    flat = np.arange(60.0)
    for _ in range(6000):
        rank = int(rng.integers(1, 5))
        shape = tuple(int(n) for n in rng.integers(1, 5, size=rank))
        strides = tuple(int(rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 12, 17, 20])) if n > 1 else 0 for n in shape)
        base = int(rng.integers(0, 12))
        view = ir.View(ir.Theta(60), base, shape, strides)
        if view.indices().max() >= 60 or slicing(60, base, shape, strides) is None:
            continue
        seen += 1
        twice += slicing(60, base, shape, strides).within is not None
        for batched in (False, True):
            x = np.stack([flat, flat + 100.0]) if batched else flat
            text = module.moved("x", view_moves(60, base, shape, strides, batched))
            picked = eval(text, {"x": x, "m": 2})
            np.testing.assert_array_equal(picked, x[..., view.indices()], text)
            assert np.shares_memory(picked, x) or not isinstance(picked, np.ndarray), text
    assert seen > 600
    assert twice > 50


# -------------------------------------------------------------------------------------------------- loops


def looping(*falling):
    """h ← tanh(w·h + x[t]) from h = b: for each of ``falling`` a loop, the last h and ½ Σ h in the cost."""
    theta, x = ir.Theta(2), ir.Input(0, (4,))
    w, b = ir.View(theta, 0, (1,), (0,)), ir.View(theta, 1, (1,), (0,))
    names, terms = {x: "x", w: "w"}, []
    for falls in falling:
        h, x_t, w_t = ir.Local((1,), True), ir.Local((1,), True), ir.Local((1,), False)
        product = ir.Map((h, w_t), (1,), autobp.ops.MULTIPLY)
        z = ir.Sum((product, x_t), (1,), (1.0, 1.0))
        following = ir.Map((z,), (1,), autobp.ops.TABLE["tanh"])
        body = ir.Program((h, x_t, w_t), (following, following), {h: "h", following: "a"})
        loop = ir.Loop(4, body, (ir.Fill(b, (1,), True),), (ir.Reshape(x, (4, 1)),), (w,), falls)
        kept = ir.Result(loop, 1)
        names[kept] = f"history{len(terms) // 2 + 1}"
        terms += [ir.Term(1.0, -1, ir.Result(loop, 0)), ir.Term(0.5, -1, kept)]
    program = ir.Program((theta, x), (ir.Total(tuple(terms)),), names)
    program.verify()
    return program


def expected(theta, X, falling):
    h, history = np.full((len(X), 1), theta[1]), np.empty((len(X), 4, 1))
    for t in range(4)[:: -1 if falling else 1]:
        h = np.tanh(h * theta[0] + X[:, t : t + 1])
        history[:, t] = h
    return history, h.sum() / len(X) + 0.5 * history.sum() / len(X)


@pytest.mark.parametrize("falling", [False, True])
def test_a_loop_is_written_with_its_body_indented_and_runs(falling):
    source = source_of({"value": looping(falling)}, "A loop.", {"value": "The mean cost."})
    text = source.functions[-1].text
    steps = "range(3, -1, -1)" if falling else "range(4)"
    assert f"    for t in {steps}:\n        a = np.tanh(" in text
    assert "        history1[:, t] = a\n        h = a\n" in text
    theta, X = np.array([0.5, -0.2]), np.random.default_rng(1).normal(size=(6, 4))
    history, cost = expected(theta, X, falling)
    found = source.variables(theta, [X])
    np.testing.assert_allclose(found["history1"], history, rtol=1e-14)
    assert found["cost"] == pytest.approx(cost, rel=1e-14)


def test_two_loops_have_different_variables():
    source = source_of({"value": looping(False, True)}, "Two loops.", {"value": "The mean cost."})
    theta, X = np.array([0.5, -0.2]), np.random.default_rng(1).normal(size=(6, 4))
    (first, cost), (second, other) = expected(theta, X, False), expected(theta, X, True)
    found = source.variables(theta, [X])
    np.testing.assert_allclose(found["history1"], first, rtol=1e-14)
    np.testing.assert_allclose(found["history2"], second, rtol=1e-14)
    assert found["cost"] == pytest.approx(cost + other, rel=1e-14)


def test_a_checked_loop_tests_each_statement_of_its_body():
    text, statements = write_checked("value", looping(False), SourceModule(), "The mean cost.", {}, 5)
    (number,) = [5 + i for i, (line, _) in enumerate(statements) if line.startswith("a = np.tanh(")]
    assert f"\n        finite(a, {number})\n" in text
    compile(text, "checked", "exec")


def test_a_loop_as_equations_and_refused_by_pages():
    latex = equations(looping(False))
    assert r"&\text{for } \tau = 1, \ldots, 4\text{:}" in latex
    assert r"&\quad a = \tanh" in latex
    assert r"&\quad h \leftarrow a" in latex
    assert r"&\quad {\mathit{history1}}_{\tau} = a" in latex
    assert r"\tau = 4, \ldots, 1" in equations(looping(True))
    source = source_of({"value": looping(False)}, "A loop.", {"value": "The mean cost."})
    with pytest.raises(TypeError, match="the program has a loop"):
        javascript(source)


def test_no_equation_has_two_subscripts_in_a_row():
    latex = equations(looping(True))
    assert not re.search(r"[A-Za-z]_\{[^{}]*\}_\{", latex)


def test_the_names_of_ready_made_functions_are_reserved():
    assert set(HELPERS) == {*HELPER_TEXTS, *array_helpers.HELPERS}
    assert not any(map(is_free, HELPERS))

"""The representation of programs: how it prints, what verify() refuses, and that its page is complete."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import MLP, Value, costs, ir
from autobp.ir.expression import Expression
from autobp.ir.verify import ProgramError
from autobp.ops import TABLE

PAGE = Path(__file__).parents[1] / "docs" / "programs.md"

THETA = ir.Theta(9)
X = ir.Input(0, (2,))
Y = ir.Input(1, (3,))
INDEX = ir.Input(2, (4,))
NAMES: dict[ir.Array, str] = {X: "x", Y: "y", INDEX: "index"}
SLOTS = [Expression("slot", 0), Expression("slot", 1)]


def at(*positions: int) -> Any:
    return np.array(positions, dtype=np.int64)


W = ir.View(THETA, 0, (3, 2), (2, 1))
CHOSEN = ir.Choose(INDEX, W, True)
B = ir.View(THETA, 6, (3,), (1,))
Z = ir.Sum((ir.MatMul(X, W), B), (3,), (1.0, 1.0))
COST = ir.Total((ir.Term(0.5, -1, Z, Z),))
ONE_NUMBER = ir.View(THETA, 0, (1,), (0,))


def program(*results: ir.Array, names: Any = None, arguments: Any = (THETA, X, Y, INDEX)) -> ir.Program:
    """The cost of some outputs, so that anything can be a part of it."""
    total = ir.Total(tuple([ir.Term(1.0, 0, x) for x in results]))
    return ir.Program(arguments, (total,), {**NAMES, **(names or {})})


def recurrence(falling: bool = False) -> ir.Loop:
    """s = tanh(s + u) for each of 5 rows u of a constant; leaves s * w."""
    s, u, w = ir.Local((3,), True), ir.Local((3,), False), ir.Local((3,), False)
    after = ir.Map((ir.Sum((s, u), (3,), (1.0, 1.0)),), (3,), TABLE["tanh"])
    out = ir.Map((after, w), (3,), TABLE["multiply"])
    body = ir.Program((s, u, w), (after, out), {s: "s", u: "u", w: "w", out: "out"})
    rows = ir.Constant(np.arange(15.0).reshape(5, 3))
    return ir.Loop(5, body, (Y,), (rows,), (B,), falling)


#: An array of each kind, called "a" where it has a line of its own.
EXAMPLES: dict[str, ir.Array] = {
    "Theta": THETA,
    "Input": X,
    "Local": recurrence().body.arguments[0],
    "Constant": ir.Constant(np.array([[0.5, 1.0], [-2.0, 3.0]])),
    "View": W,
    "Gather": ir.Gather(THETA, at(8, 0, 3)),
    "Absent": ir.Absent((3,), False),
    "Spread": ir.Spread(X, at(0, 2), (4,)),
    "Reshape": ir.Reshape(X, (2, 1)),
    "Fill": ir.Fill(B, (2, 3), True),
    "Repeat": ir.Repeat(X, at(3, 1)),
    "Choose": CHOSEN,
    "OneHot": ir.OneHot(INDEX, 5),
    "ScatterAdd": ir.ScatterAdd(CHOSEN, INDEX, 80),
    "Assemble": ir.Assemble((B, X), (None, ir.Gather(Y, at(0, 2))), (False, True), False, (3,), True),
    "Map": ir.Map((Y,), (3,), TABLE["tanh"]),
    "Sum": ir.Sum((Y, B), (3,), (1.0, -2.0)),
    "Elementwise": ir.Elementwise((Y, B), SLOTS[0] * (1.0 - SLOTS[1])),
    "MatMul": ir.MatMul(X, W),
    "Product": ir.Product(Y, X, "columns", (3, 2), False),
    "RowDot": ir.RowDot(Y, B),
    "Reduce": ir.Reduce(Y, "maximum"),
    "Segments": ir.Segments(THETA, at(0, 4), "add"),
    "SumTo": ir.SumTo(Y, (0,), True),
    "Total": COST,
    "Loop": recurrence(),
    "Result": ir.Result(recurrence(), 0),
}


def kinds() -> list[str]:
    found = inspect.getmembers(ir, inspect.isclass)
    return [name for name, cls in found if issubclass(cls, ir.Array) and cls is not ir.Array]


def rows_of_the_page() -> dict[str, str]:
    """What the table says of how each kind is printed."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[0].strip("`"): row[3].strip("`") for row in cells}


def printed(kind: str) -> str:
    """The line that defines the example of a kind."""
    array = EXAMPLES[kind]
    if kind == "Absent":
        return "not printed"
    if kind in ("Theta", "Input"):
        return next(
            line for line in str(program(X)).splitlines() if line.startswith(NAMES.get(array, "theta"))
        )
    if kind == "Total":
        names = {**NAMES, Z: "z"}
        lines = str(ir.Program((THETA, X), (array,), {k: names[k] for k in (X, Z)})).splitlines()
        return lines[-2]
    if kind in ("Loop", "Local"):
        lines = str(program(ir.Result(recurrence(), 0), names={B: "b"})).splitlines()
        start = next(i for i, line in enumerate(lines) if "for t" in line)
        return lines[start + (kind == "Local")].strip()
    lines = str(program(array, array, names={array: "a", **({} if array is B else {B: "b"})})).splitlines()
    return next(line for line in lines if line.startswith("a: "))


def test_the_page_has_a_row_for_each_kind() -> None:
    assert sorted(rows_of_the_page()) == sorted(kinds()) == sorted(EXAMPLES)


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_each_kind_is_printed_as_the_page_says(kind: str) -> None:
    assert rows_of_the_page()[kind] == printed(kind)


def test_the_program_on_the_page_is_what_its_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = PAGE.read_text(encoding="utf-8").split("```")
    exec(blocks[1].removeprefix("python\n"), {})
    assert capsys.readouterr().out == blocks[3].removeprefix("\n")


def step_of(net: MLP) -> autobp.compiler.Step:
    def loss(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y)

    return autobp.compile(loss, net.parameters(), example=([0.0, 1.0], [1.0]))


def test_a_program_prints_as_equations_of_arrays() -> None:
    random.seed(0)
    lines = str(step_of(MLP(2, [2, 1], activation="sigmoid")).program).splitlines()
    assert lines[:3] == ["theta: 9", "x: m×2", "y: m×1"]
    assert "z1: m×2 = x · W1ᵀ + b1" in lines
    assert "dW2: 1×2 = delta2ᵀ · a1" in lines
    assert lines[-1] == "return cost, gradient"


def test_outputs_are_a_program_too() -> None:
    net = MLP(2, [3, 2])
    step = autobp.compile(lambda x: [[a, a] for a in net(x)], net.parameters(), example=([0.0, 1.0],))
    assert str(step.program).splitlines()[-1].endswith(" as m×2×2")


def test_there_is_no_program_before_the_trace() -> None:
    with pytest.raises(ValueError, match="nothing is traced yet"):
        autobp.compile(lambda x: x * x, []).program  # noqa: B018


def test_a_body_is_printed_inside_its_loop() -> None:
    loop = recurrence(falling=True)
    names = {B: "b", loop: "loop"}
    shown = program(ir.Result(loop, 0), ir.Result(loop, 1), names=names)
    shown.verify()
    assert str(shown) == (
        "theta: 9\n"
        "x: m×2\n"
        "y: m×3\n"
        "index: m×4\n"
        "b: 3 = theta[6 + i]\n"
        "loop: for t = 4 … 0\n"
        "    s: m×3 ← y, then t1\n"
        "    u: 3 ← [0, 1, 2, 3, 4, 5, … 14][t]\n"
        "    w: 3 ← b\n"
        "    t1: m×3 = tanh(s + u)\n"
        "    out: m×3 = t1 * w\n"
        "    leave out\n"
        "cost: number = Σ loop[0] + Σ loop[1]\n"
        "return cost"
    )


def test_an_operand_that_a_formula_does_without_has_a_line() -> None:
    array = ir.Map((ir.Map((X,), (2,), TABLE["tanh"]),), (2,), TABLE["constant_power"], (0.0,))
    assert str(program(array)).splitlines()[-3:-1] == ["t1: m×2 = tanh(x)", "cost: number = Σ 1"]


def test_names_of_unnamed_arrays_are_not_those_of_others() -> None:
    array = ir.Map((X,), (2,), TABLE["tanh"])
    lines = str(program(array, array, names={W: "t1", B: "cost"})).splitlines()
    assert "t2: m×2 = tanh(x)" in lines
    assert lines[-1] == "return t3"


# ------------------------------------------------------------------------------------------------- verify


@pytest.mark.parametrize("kind", sorted(set(EXAMPLES) - {"Total", "Absent", "Local", "Loop"}))
def test_examples_keep_the_rules(kind: str) -> None:
    program(EXAMPLES[kind]).verify()


#: What breaks a rule, and what the message has of it.
BROKEN: dict[str, tuple[Callable[[], ir.Array], str]] = {
    "view beyond the end": (lambda: ir.View(THETA, 4, (3, 2), (2, 1)), r"positions 4 … 9; .* 9 elements"),
    "view before the start": (lambda: ir.View(THETA, 1, (3,), (-1,)), "positions -1 … 1"),
    "view of other strides": (lambda: ir.View(THETA, 0, (3,), (1, 1)), "strides"),
    "empty view": (lambda: ir.View(THETA, 0, (0,), (1,)), "no elements"),
    "gather beyond the end": (lambda: ir.Gather(X, at(0, 2)), "positions 0 … 2"),
    "gather at fractions": (lambda: ir.Gather(X, np.array([0.5])), "positions of float64"),  # type: ignore[arg-type]
    "numbers of another type": (lambda: ir.Constant(np.array([1])), "numbers of int64"),  # type: ignore[arg-type]
    "what is absent": (lambda: ir.Absent((2,), False), "only says where"),
    "spread of two axes": (lambda: ir.Spread(W, at(0), (4,)), "one axis"),
    "spread of too few": (lambda: ir.Spread(X, at(0), (4,)), "1 positions for 2"),
    "spread beyond the end": (lambda: ir.Spread(X, at(0, 4), (4,)), "positions 0 … 4"),
    "spread twice": (lambda: ir.Spread(X, at(1, 1), (4,)), "twice"),
    "reshape to another size": (lambda: ir.Reshape(X, (3,)), "2 elements"),
    "fill with what does not fit": (lambda: ir.Fill(X, (3,), True), "cannot be filled"),
    "fill of fewer axes": (lambda: ir.Fill(X, (3, 2), True), "needs 2 axes"),
    "fill without samples": (lambda: ir.Fill(X, (2,), False), "loses the samples"),
    "repeat with too few counts": (lambda: ir.Repeat(X, at(1)), "1 counts for 2"),
    "repeat less than never": (lambda: ir.Repeat(X, at(3, -1)), "less than 0"),
    "choose from one axis": (lambda: ir.Choose(INDEX, B, True), "chooses from"),
    "choose for other rows": (lambda: ir.Choose(INDEX, W, False), "4 indices for 3 rows"),
    "one of none": (lambda: ir.OneHot(INDEX, 0), "0 elements"),
    "scatter to none": (lambda: ir.ScatterAdd(CHOSEN, INDEX, 0), "0 elements"),
    "scatter by another index": (lambda: ir.ScatterAdd(CHOSEN, X, 9), "by an index"),
    "scatter by samples alone": (
        lambda: ir.ScatterAdd(ir.Constant(np.zeros((4, 3))), INDEX, 9),
        "samples in its index alone",
    ),
    "assemble of other counts": (
        lambda: ir.Assemble((X,), (None,), (), False, (2,), True),
        r"\(1, 1, 0\) pieces",
    ),
    "assemble with a gap": (
        lambda: ir.Assemble((B,), (ir.Gather(THETA, at(0, 1, 3)),), (False,), False, (4,), False),
        "no piece sets",
    ),
    "assemble twice": (
        lambda: ir.Assemble((B, B), (None, ir.View(THETA, 0, (3,), (1,))), (False,) * 2, False, (3,), False),
        "sets elements twice",
    ),
    "assemble at one place twice": (
        lambda: ir.Assemble((B,), (ir.Gather(THETA, at(0, 1, 1)),), (False,), True, (3,), False),
        "one element twice",
    ),
    "assemble adding to nothing": (
        lambda: ir.Assemble((B,), (None,), (True,), False, (3,), False),
        "adds a piece",
    ),
    "assemble beyond the end": (
        lambda: ir.Assemble((B,), (ir.View(THETA, 1, (3,), (1,)),), (False,), True, (3,), False),
        "positions 1 … 3; it has 3",
    ),
    "assemble what does not fit": (
        lambda: ir.Assemble((X,), (None,), (False,), False, (3,), True),
        r"a piece \(2,\)",
    ),
    "assemble without samples": (
        lambda: ir.Assemble((Y,), (None,), (False,), False, (3,), False),
        "loses the samples",
    ),
    "map of too few operands": (lambda: ir.Map((X,), (2,), TABLE["add"]), "add to 1 arrays"),
    "map without its constant": (lambda: ir.Map((X,), (2,), TABLE["elu"]), "0 constants"),
    "map of shapes that do not meet": (lambda: ir.Map((X, Y), (2,), TABLE["add"]), "joins the shapes"),
    "map of another shape": (lambda: ir.Map((X,), (2, 2), TABLE["tanh"]), "fill"),
    "samples among elements": (lambda: ir.Map((X, W), (3, 2), TABLE["add"]), "needs 2 axes"),
    "sum with too few signs": (lambda: ir.Sum((X, X), (2,), (1.0,)), "1 signs for 2"),
    "expression of more operands": (lambda: ir.Elementwise((X,), SLOTS[0] * SLOTS[1]), "of 1"),
    "product of other lengths": (lambda: ir.MatMul(Y, W), "multiplies rows"),
    "product by one axis": (lambda: ir.MatMul(X, ir.Reshape(B, (1, 3))), "multiplies rows"),
    "adjoint of what": (lambda: ir.Product(Y, X, "row", (3, 2), False), "'row'"),
    "adjoint of another shape": (lambda: ir.Product(Y, X, "columns", (2, 3), False), "multiplies delta"),
    "adjoint of rows of another shape": (lambda: ir.Product(Y, W, "rows", (3,), True), "multiplies delta"),
    "samples from nowhere": (lambda: ir.Product(B, W, "rows", (2,), True), "no operand has"),
    "rows of other lengths": (lambda: ir.RowDot(ir.View(THETA, 0, (1,), (0,)), B), "multiplies"),
    "reduction by what": (lambda: ir.Reduce(X, "multiply"), "'multiply'"),
    "stretches that fall": (lambda: ir.Segments(THETA, at(0, 3, 3), "add"), "rise"),
    "stretches beyond the end": (lambda: ir.Segments(THETA, at(0, 9), "add"), "positions 0 … 9"),
    "stretches of two axes": (lambda: ir.Segments(W, at(0), "add"), "one axis"),
    "sum over an axis too far": (lambda: ir.SumTo(Y, (1,), False), "axes"),
    "sum over no samples": (lambda: ir.SumTo(B, (), True), "there are none"),
    "dropped axis": (lambda: ir.SumTo(W, (1,), False, 1), "drops"),
    "an argument of another program": (lambda: ir.Input(0, (2,)), "no argument"),
    "a cost within": (lambda: ir.Map((COST,), (), TABLE["tanh"]), "only be a result"),
    "a result that is not there": (lambda: _with(ir.Result(recurrence(), 1), number=-1), "result -1 of 2"),
}


def _with(array: Any, **changes: Any) -> Any:
    for name, value in changes.items():
        object.__setattr__(array, name, value)
    return array


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_a_rule_is_refused(what: str) -> None:
    make, message = BROKEN[what]
    array = make()
    with pytest.raises(ProgramError, match=message) as raised:
        program(array, names={} if isinstance(array, ir.Input) else {array: "guilty"}).verify()
    assert "guilty" in str(raised.value) or what in ("an argument of another program", "a cost within")


def test_terms_of_a_cost_have_one_shape() -> None:
    with pytest.raises(ProgramError, match="multiplies"):
        ir.Program((THETA, X, Y), (ir.Total((ir.Term(1.0, 0, X, Y),)),), {X: "x", Y: "y"}).verify()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": ()}, "no results"),
        ({"results": (Z,)}, "a cost that is a Sum"),
        ({"results": (COST, B)}, "is the gradient"),
        ({"results": (COST, THETA, THETA)}, "3 results"),
        ({"results": (Z,), "result_shape": (2,)}, "outputs of the shape"),
        ({"results": (Z, Z, Z), "result_shape": (3,)}, "results beside them"),
        ({"arguments": (X, THETA)}, "does not take theta"),
        ({"arguments": (THETA, X, X)}, "twice"),
        ({"arguments": (THETA, ir.Local((2,), True))}, "does not take theta"),
        ({"arguments": (THETA, Y), "names": {X: "x", Y: "y"}}, r"numbers \[1\]"),
        ({"names": {}}, "argument 1 has no name"),
        ({"names": {X: "x", Z: "x"}}, "'x' names two"),
        ({"names": {X: "x", Z: "del"}}, "'del' cannot be"),
        ({"names": {X: "np"}}, "'np' cannot be"),
        ({"names": {X: "x", Z: "z 1"}}, "'z 1' cannot be"),
    ],
)
def test_programs_that_break_a_rule_are_refused(changes: dict[str, Any], message: str) -> None:
    good = ir.Program((THETA, X), (COST,), {X: "x", Z: "z1", W: "W1"})
    good.verify()
    with pytest.raises(ProgramError, match=message):
        replace(good, **changes).verify()


BROKEN_LOOPS: dict[str, tuple[dict[str, Any], str]] = {
    "no steps": ({"steps": 0}, "0 steps"),
    "too few steps": ({"steps": 4}, r"steps from the shape \(5, 3\)"),
    "an argument too few": ({"invariants": ()}, "2 arrays for 3"),
    "a state of another shape": ({"initial": (X,)}, "m×2 where argument 1 of its body is m×3"),
    "a state without samples": ({"initial": (B,)}, "3 where argument 1 of its body is m×3"),
    "an invariant of another shape": ({"invariants": (W,)}, "argument 3"),
}


@pytest.mark.parametrize("what", BROKEN_LOOPS)
def test_loops_that_break_a_rule_are_refused(what: str) -> None:
    changes, message = BROKEN_LOOPS[what]
    with pytest.raises(ProgramError, match=message):
        program(ir.Result(replace(recurrence(), **changes), 0)).verify()


def in_a_body(change: Callable[[ir.Program], ir.Program]) -> ir.Program:
    loop = recurrence()
    return program(ir.Result(replace(loop, body=change(loop.body)), 0), names={B: "b"})


def test_bodies_are_verified() -> None:
    who = r"Map without a name \(m×2, array \d+\) of the body of Loop array \d+ has operands"
    with pytest.raises(ProgramError, match=who):
        in_a_body(
            lambda body: replace(
                body, results=(*body.results, ir.Map((body.arguments[0],), (2,), TABLE["tanh"]))
            )
        ).verify()
    with pytest.raises(ProgramError, match="no argument"):
        in_a_body(lambda body: replace(body, results=(Y, Y))).verify()
    with pytest.raises(ProgramError, match="next of state 1"):
        in_a_body(lambda body: replace(body, results=(body.arguments[1],))).verify()
    states = ir.Local((3,), True), ir.Local((3,), True)
    with pytest.raises(ProgramError, match="leaves 1 of 2 states"):
        program(ir.Result(ir.Loop(1, ir.Program(states, states[:1], {}), (Y, Y)), 0)).verify()
    with pytest.raises(ProgramError, match="not Local"):
        in_a_body(lambda body: replace(body, arguments=(THETA, *body.arguments[1:]))).verify()
    with pytest.raises(ProgramError, match="'y' names two"):
        in_a_body(lambda body: replace(body, names={body.arguments[0]: "y"})).verify()


def test_a_body_has_no_theta() -> None:
    assert program(X).theta is THETA
    assert program(X).inputs == (X, Y, INDEX)
    with pytest.raises(ValueError, match="no theta"):
        recurrence().body.theta  # noqa: B018


def test_a_program_that_is_compiled_is_verified_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """That conftest's fixture is at work: a rule that nothing keeps stops the next program."""
    monkeypatch.setattr(ir.Program, "verify", lambda self: pytest.fail("verified"))
    with pytest.raises(pytest.fail.Exception, match="verified"):
        step_of(MLP(2, [1]))


def labelled(name: str, rows: int, columns: int) -> list[list[Value]]:
    return [
        [Value(0.1 * (i + j + 1), label=f"{name}[{i + 1},{j + 1}]") for j in range(columns)]
        for i in range(rows)
    ]


@pytest.mark.parametrize(
    ("first", "second", "lines"),
    [
        ("W1", "W1", ["dW1 = delta1.T @ x", "dW1_2 = delta1_2.T @ a1"]),
        ("el", "W2", ["z1 = x @ el.T", "dW2 = delta2.T @ a1"]),  # the derivative by el cannot be called del
        ("z1", "a2", ["z1_2 = x @ z1.T", "delta1_2 = delta2 @ a2 * (1.0 - a1 * a1)"]),
    ],
)
def test_each_name_is_that_of_one_array(first: str, second: str, lines: list[str]) -> None:
    U, V = labelled(first, 3, 2), labelled(second, 2, 3)

    def loss(x: Any) -> Any:
        h = [(row[0] * x[0] + row[1] * x[1]).tanh() for row in U]
        return sum([(row[0] * h[0] + row[1] * h[1] + row[2] * h[2]) ** 2 for row in V])

    step = autobp.compile(loss, [w for row in U + V for w in row], example=([1.0, 2.0],))
    names = [step.program.names[x] for x in step.program.arrays if x in step.program.names]
    assert len(set(names)) == len(names)
    for line in lines:
        assert f"    {line}\n" in step.source
    space: dict[str, Any] = {}
    exec(step.source, space)
    _, gradient = space["cost_and_gradient"](step.theta, np.ones((1, 2)))
    np.testing.assert_allclose(gradient, step(step.theta, np.ones((1, 2)))[1], rtol=1e-13)

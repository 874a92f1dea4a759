"""docs/derivatives-at-edges.md: every row of its table is what autobp computes, and what PyTorch does."""

import math
from pathlib import Path

import numpy as np
import pytest
from witnesses import WITNESSES, agree, derivative_graph

import autobp
from autobp import Value
from autobp.engine import ieee
from autobp.ops import TABLE

DOCUMENT = Path(__file__).parent.parent / "docs" / "derivatives-at-edges.md"


def rows(n_cells=6):
    """The cells as written, for each row of the table with that many columns: expression, point, numbers …,
    in PyTorch.
    """
    found = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == n_cells:
            found.append(pytest.param(*[cell.strip("`") for cell in cells], id=f"{cells[0]} at {cells[1]}"))
    assert found
    return found


def numbers(cell):
    words = {"∞": math.inf, "-∞": -math.inf, "NaN": math.nan}
    return [words[word] if word in words else float(word) for word in cell.split(", ")]


def point_of(cell):
    names, values = zip(*[part.split(" = ") for part in cell.split(", ")], strict=True)
    return names, [numbers(value)[0] for value in values]


def function_of(expression, names, functions):
    return lambda *x: eval(expression, {**functions, **dict(zip(names, x, strict=True))})


@pytest.mark.parametrize(("expression", "point", "value", "first", "second", "in_pytorch"), rows())
def test_autobp_does_what_the_row_says(expression, point, value, first, second, in_pytorch):
    names, x = point_of(point)
    f = function_of(expression, names, vars(autobp))
    leaves = [Value(x_i) for x_i in x]
    if value.startswith("raises "):
        with pytest.raises((ValueError, ArithmeticError)) as raised:
            f(*leaves)
        assert type(raised.value).__name__ == value.split()[1].strip("`,")
        value = value.split("else ")[1]
    with ieee():
        assert agree(f(*leaves).data, *numbers(value))
    for k, expected in enumerate(numbers(first)):
        assert agree(derivative_graph(f, leaves, (k,)).data, expected), f"by {names[k]}"
    for k, expected in enumerate(numbers(second)):
        assert agree(derivative_graph(f, leaves, (k, k)).data, expected), f"by {names[k]}, twice"
    assert len(numbers(first)) == len(numbers(second)) == len(x)


def by_backward(f, x):
    leaves = [Value(x_i) for x_i in x]
    f(*leaves).backward()
    return [leaf.grad for leaf in leaves]


def by_create_graph(f, x):
    leaves = [Value(x_i) for x_i in x]
    f(*leaves).backward(create_graph=True)
    return [leaf.grad.data if isinstance(leaf.grad, Value) else leaf.grad for leaf in leaves]


def by_grad(f, x):
    return list(autobp.grad(f, tuple(range(len(x))))(*x))


def by_forward_mode(f, x):
    n = len(x)
    return [autobp.jvp(f, x, [1.0 if i == k else 0.0 for i in range(n)])[1] for k in range(n)]


def by_forward_mode_on_values(f, x):
    leaves = [Value(x_i) for x_i in x]
    n = len(x)
    found = [autobp.jvp(f, leaves, [1.0 if i == k else 0.0 for i in range(n)])[1] for k in range(n)]
    return [d.data for d in found]


def compiled(derivatives, f, x):
    """The numbers of a program in whose function the derivatives were taken."""
    one = Value(1.0)
    found = []
    for k in range(len(x)):
        step = autobp.compile(
            lambda v, k=k: derivatives(f, list(v))[k] * one, [one], example=([1.0] * len(x),)
        )
        with np.errstate(all="ignore"):
            found.append(step.value(step.theta, [x]))
    return found


def by_grad_inside_a_program(f, x):
    return compiled(lambda f, v: autobp.grad(f, tuple(range(len(v))))(*v), f, x)


def by_forward_mode_inside_a_program(f, x):
    def derivatives(f, v):
        n = len(v)
        return [autobp.jvp(f, v, [1.0 if i == k else 0.0 for i in range(n)])[1] for k in range(n)]

    return compiled(derivatives, f, x)


#: Forward mode goes the other way: the infinite tangent of a branch not taken ends where it is not selected.
FORWARD = (by_forward_mode, by_forward_mode_on_values, by_forward_mode_inside_a_program)
STOPPED_FORWARD = "where(greater(x, 0), sqrt(x), 0*x)"

READERS = [
    by_backward,
    by_create_graph,
    by_grad,
    by_forward_mode,
    by_forward_mode_on_values,
    by_grad_inside_a_program,
    by_forward_mode_inside_a_program,
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("expression", "point", "value", "first", "second", "in_pytorch"), rows())
def test_every_reader_finds_the_first_derivatives(
    expression, point, value, first, second, in_pytorch, reader
):
    names, x = point_of(point)
    f = function_of(expression, names, vars(autobp))
    with ieee():
        found = reader(f, x)
    if expression == STOPPED_FORWARD and reader in FORWARD:
        assert found == [0.0]
        return
    assert all(agree(d, expected) for d, expected in zip(found, numbers(first), strict=True)), found


CHOICES = {
    "relu": lambda x: x.relu(),
    "maximum": lambda x: x.maximum(0.0),
    "minimum": lambda x: -((-x).minimum(0.0)),
    "where": lambda x: autobp.where(autobp.greater(x, 0.0), x, 0.0),
    "take": lambda x: autobp.take([Value(0.0), x], autobp.greater(x, 0.0)),
}
BEYOND = {
    "sqrt": lambda y: y.sqrt(),
    "a product": lambda y: y.sqrt() * (y + 2.0),
    "a power": lambda y: y**0.25,
    "two roots": lambda y: (y.sqrt() + y).sqrt(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("choose", CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.parametrize("beyond", BEYOND.values(), ids=BEYOND.keys())
def test_an_infinite_flow_stops_at_what_was_not_selected(choose, beyond, reader):
    with ieee():
        assert reader(lambda x: beyond(choose(x)), [-1.0]) == [0.0]
        assert agree(reader(lambda x: beyond(choose(x)), [0.5])[0], by_backward(beyond, [0.5])[0])
        assert reader(lambda x, c: c * beyond(choose(x)) + c, [-1.0, 3.0]) == [0.0, 1.0]


@pytest.mark.parametrize("choose", CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.parametrize("beyond", BEYOND.values(), ids=BEYOND.keys())
def test_second_derivatives_stop_there_too_inside_a_program_as_outside(choose, beyond):
    def f(x):
        return beyond(choose(x))

    for second in (
        autobp.grad(autobp.grad(f)),
        autobp.hessian(f),
        autobp.grad(lambda x: autobp.jvp(f, [x], [1.0])[1]),
        lambda x: autobp.jvp(autobp.grad(f), [x], [1.0])[1],
    ):
        assert second(-1.0) == 0.0
        assert agree(second(0.5), autobp.grad(autobp.grad(beyond))(0.5))
        assert compiled(lambda f, v, second=second: [second(v[0])], f, [-1.0]) == [0.0]
        (inside,) = compiled(lambda f, v, second=second: [second(v[0])], f, [0.5])
        assert agree(inside, second(0.5))


def test_a_program_whose_flows_are_finite_has_no_choice_written_into_it():
    one = Value(1.0)
    d = autobp.grad(lambda v: v.tanh().relu().exp())
    step = autobp.compile(lambda x: d(x) * one, [one], example=(1.0,))
    assert step.source.count("np.where") == 2  # the partial of relu, in value and in cost_and_gradient
    assert "!= 0.0" not in step.source


@pytest.mark.parametrize(("expression", "point", "value", "first", "second", "in_pytorch"), rows())
def test_pytorch_does_what_the_row_says(expression, point, value, first, second, in_pytorch):
    torch = pytest.importorskip("torch")
    names, x = point_of(point)
    theirs = {"value": value.split("else ")[-1], "first": first, "second": second}
    if in_pytorch != "the same":
        for part in in_pytorch.split("; "):
            which, _, numbers_there = part.partition(": ")
            theirs[which] = numbers_there
    tensors = [torch.tensor(x_i, dtype=torch.float64, requires_grad=True) for x_i in x]
    y = function_of(expression, names, in_torch(torch))(*tensors)
    assert agree(y.item(), *numbers(theirs["value"]))
    for k, (tensor, first_, second_) in enumerate(
        zip(tensors, numbers(theirs["first"]), numbers(theirs["second"]), strict=True)
    ):
        d = torch_gradient(torch, y, tensor)
        assert agree(d.item(), first_), f"by {names[k]}"
        assert agree(torch_gradient(torch, d, tensor).item(), second_), f"by {names[k]}, twice"


@pytest.mark.parametrize(("expression", "point", "by_x_then_y", "by_y_then_x", "in_pytorch"), rows(5))
def test_mixed_derivatives_are_what_the_row_says(expression, point, by_x_then_y, by_y_then_x, in_pytorch):
    torch = pytest.importorskip("torch")
    names, x = point_of(point)
    f = function_of(expression, names, vars(autobp))
    there = function_of(expression, names, in_torch(torch))
    ours = numbers(by_x_then_y) + numbers(by_y_then_x)
    theirs = ours if in_pytorch == "the same" else numbers(in_pytorch)
    for path, expected, expected_there in zip(((0, 1), (1, 0)), ours, theirs, strict=True):
        assert agree(derivative_graph(f, [Value(x_i) for x_i in x], path).data, expected), path
        with ieee():
            assert agree(autobp.hessian(lambda v: f(*v))(x)[path[0]][path[1]], expected), path
        tensors = [torch.tensor(x_i, dtype=torch.float64, requires_grad=True) for x_i in x]
        d = torch_gradient(torch, there(*tensors), tensors[path[0]])
        assert agree(torch_gradient(torch, d, tensors[path[1]]).item(), expected_there), path


def in_torch(torch):
    """PyTorch's functions by the names of the table."""
    functions = {
        name: lambda *a, witness=witness: witness.torch(torch, *a) for name, witness in WITNESSES.items()
    }
    functions["take"] = lambda values, i: WITNESSES["take"].torch(torch, i, *values)
    return functions


def torch_gradient(torch, y, x):
    if not y.requires_grad:
        return torch.tensor(0.0)
    (d,) = torch.autograd.grad(y, x, create_graph=True, allow_unused=True)
    return torch.tensor(0.0) if d is None else d


def test_the_document_speaks_of_every_operation_that_has_an_edge():
    """Operations that raise somewhere, choose between pieces or have constants must be in the table.

    (Not those that are there for the derivatives of others, whose rows hold them.)
    """
    text = " ".join(row.values[0] for row in rows())
    signs = {"divide": "/", "power": "**y", "constant_power": "**", "maximum": "maximum"}
    for name, op in TABLE.items():
        if name not in WITNESSES or op.inline:
            continue
        if op.selects or op.constants or (op.domain and "finite" not in op.domain):
            assert signs.get(name, f"{name}(") in text, name

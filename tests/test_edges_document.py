"""docs/derivatives-at-edges.md: every row of its table is what autobp computes, and what PyTorch does."""

import math
from pathlib import Path

import pytest
from witnesses import WITNESSES, agree, derivative_graph

import autobp
from autobp import Value
from autobp.engine import ieee
from autobp.ops import TABLE

DOCUMENT = Path(__file__).parent.parent / "docs" / "derivatives-at-edges.md"


def rows():
    """(expression, point, value, first, second, in PyTorch) as written, for each row of the table."""
    found = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            found.append(pytest.param(*[cell.strip("`") for cell in cells], id=f"{cells[0]} at {cells[1]}"))
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


@pytest.mark.parametrize(("expression", "point", "value", "first", "second", "in_pytorch"), rows())
def test_pytorch_does_what_the_row_says(expression, point, value, first, second, in_pytorch):
    torch = pytest.importorskip("torch")
    names, x = point_of(point)
    functions = {
        name: lambda *a, torch=torch, witness=witness: witness.torch(torch, *a)
        for name, witness in WITNESSES.items()
    }
    functions["take"] = lambda values, i: WITNESSES["take"].torch(torch, i, *values)
    theirs = {"value": value.split("else ")[-1], "first": first, "second": second}
    if in_pytorch != "the same":
        for part in in_pytorch.split("; "):
            which, _, numbers_there = part.partition(": ")
            theirs[which] = numbers_there
    tensors = [torch.tensor(x_i, dtype=torch.float64, requires_grad=True) for x_i in x]
    y = function_of(expression, names, functions)(*tensors)
    assert agree(y.item(), *numbers(theirs["value"]))
    for k, (tensor, first_, second_) in enumerate(
        zip(tensors, numbers(theirs["first"]), numbers(theirs["second"]), strict=True)
    ):
        d = torch_gradient(torch, y, tensor)
        assert agree(d.item(), first_), f"by {names[k]}"
        assert agree(torch_gradient(torch, d, tensor).item(), second_), f"by {names[k]}, twice"


def torch_gradient(torch, y, x):
    if not y.requires_grad:
        return torch.tensor(0.0)
    (d,) = torch.autograd.grad(y, x, create_graph=True, allow_unused=True)
    return torch.tensor(0.0) if d is None else d


def test_the_document_speaks_of_every_operation_that_has_an_edge():
    """Operations that raise somewhere, choose between pieces or have constants must be in the table."""
    text = " ".join(row.values[0] for row in rows())
    signs = {"divide": "/", "power": "**y", "constant_power": "**", "maximum": "maximum"}
    for name, op in TABLE.items():
        if name in WITNESSES and (op.selects or op.constants or (op.domain and "finite" not in op.domain)):
            assert signs.get(name, f"{name}(") in text, name

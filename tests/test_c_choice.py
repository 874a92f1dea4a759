"""What backend="auto" chooses: by the size of the work, before the first call, for good."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import MLP, Value, fit
from autobp.compiler import Step, functions
from autobp.compiler.derivatives.made import Made
from autobp.compiler.machine_code import CALLS, LARGEST, LARGEST_MATRIX, ROWS, Choice
from autobp.compiler.work import multiplications
from autobp.machine import NoMachineCode, cache, toolchain

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
    ),
    pytest.mark.usefixtures("own_cache"),
]
RNG = np.random.default_rng(0)


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """All that are made meanwhile."""
    made: list[Choice] = []
    choose = functions.choose

    def noted(*arguments: Any) -> Choice:
        made.append(choose(*arguments))
        return made[-1]

    monkeypatch.setattr(functions, "choose", noted)
    return made


def step_of(sizes: list[int], **options: Any) -> tuple[Step, Any]:
    """A step on "auto", and what makes m rows of data for it."""
    net = MLP(sizes[0], sizes[1:], activation="tanh", seed=0)

    def loss(x: Any, y: Any) -> Any:
        return autobp.costs.named("quadratic")(net.trace(x).output, y)

    def rows(m: int) -> list[Any]:
        return [RNG.normal(size=(m, sizes[0])), RNG.normal(size=(m, sizes[-1]))]

    options = {"backend": "auto", "calls": 1_000_000, **options}
    if options.pop("traced", False):
        options["example"] = [x[0] for x in rows(1)]
    return autobp.compile(loss, net.parameters(), **options), rows


def test_multiplications_are_counted() -> None:
    step, _ = step_of([5, 4, 3], traced=True)
    each = 5 * 4 + 4 * 3  # forward
    each += 4 * 3 + 4 * 3 + 5 * 4  # the hidden errors, and the derivatives by the weights
    assert [multiplications(step.program, m) for m in (1, 10)] == [each, 10 * each]


def test_products_are_large_by_their_matrices() -> None:
    step, _ = step_of([5, 4, 3], traced=True)
    first, second = 2 * 5 * 4, 3 * 4 * 3
    assert [multiplications(step.program, 10, n) for n in (0, 11, 12, 19, 20)] == [
        *[10 * (first + second)] * 2,
        *[10 * first] * 2,
        0,
    ]


@pytest.mark.parametrize("n", [10, 11])
def test_products_of_a_samples_own_matrices_are_large_by_their_multiplications(n: int) -> None:
    """Each product of n × n matrices takes n³, of which 1,024 are few."""
    w = Value(1.0)

    def loss(x: Any) -> Any:
        a = [[w * x[n * i + j] for j in range(n)] for i in range(n)]
        square = [[autobp.sum([a[i][k] * a[k][j] for k in range(n)]) for j in range(n)] for i in range(n)]
        return autobp.sum([v**2 for row in square for v in row])

    program = autobp.compile(loss, [w], example=(RNG.normal(size=n * n),)).program
    assert multiplications(program, 1) >= n**3
    assert (multiplications(program, 1000, LARGEST_MATRIX) > 0) == (n**3 > LARGEST_MATRIX)


def test_a_product_of_parameters_alone_is_done_once() -> None:
    W = [[Value(0.1 * (i + j)) for j in range(3)] for i in range(3)]

    def loss(x: Any) -> Any:
        square = [[autobp.sum([a[k] * W[k][j] for k in range(3)]) for j in range(3)] for a in W]
        return autobp.sum([square[i][j] * x[i] * x[j] for i in range(3) for j in range(3)])

    program = autobp.compile(loss, [w for row in W for w in row], example=([1.0, 2.0, 3.0],)).program
    assert multiplications(program, 1) <= multiplications(program, 1000) < 1000 * multiplications(program, 1)


def test_little_work_is_done_by_machine_code() -> None:
    step, rows = step_of([2, 16, 16, 1])
    step(step.theta, *rows(100))
    assert step.backend == "c: it is faster for so little work"


def test_large_products_are_numpys(own_cache: Path) -> None:
    step, rows = step_of([64, 32, 10])
    step(step.theta, *rows(100))
    assert step.backend.startswith("numpy: 409,600 multiplications by large matrices, for 100 rows,")
    assert not own_cache.exists()


def test_small_products_are_machine_codes_however_many_rows_there_are() -> None:
    step, rows = step_of([2, 16, 16, 1])
    step(step.theta, *rows(1000))
    assert multiplications(step.program, 1000, LARGEST_MATRIX) == 0
    assert multiplications(step.program, 1000) > LARGEST
    assert step.backend.startswith("c: ")


def test_the_first_call_decides_for_good() -> None:
    step, rows = step_of([64, 32, 10])
    one, many = rows(1), rows(100)
    step(step.theta, *one)
    first = step.backend
    assert first.startswith("c: ")
    before = step(step.theta, *many)
    again = pickle.loads(pickle.dumps(step))
    for later in (step, again):
        cost, gradient = later(step.theta, *many)
        assert later.backend == first
        assert cost == before[0]
        assert np.array_equal(gradient, before[1])
    other, _ = step_of([64, 32, 10])
    other(step.theta, *many)
    assert other.backend.startswith("numpy: ")


def test_an_example_is_taken_for_a_batch_of_usual_size() -> None:
    step, _ = step_of([64, 64, 10], traced=True)
    assert f"for {ROWS} rows" in step.backend


def test_what_nobody_chose_is_machine_code_where_it_pays() -> None:
    """By the work in the calls that are reckoned with: loops count in each of their steps."""
    probe = "import autobp; print(autobp.compile.__kwdefaults__['backend'])"
    told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "auto"  # where the tests have not set another

    def path(x: Any, steps: int) -> Any:
        for _ in range(steps):
            x = (w[0] * x + w[1]).tanh() * w[2]
        return x

    w = [Value(0.5), Value(0.1), Value(0.9)]
    long = autobp.compile(lambda x: path(x, 300), w, backend="auto", example=(1.0,))
    assert long.backend == "c: it is faster for so little work"
    short = autobp.compile(lambda x: path(x, 2), w, backend="auto", example=(1.0,))
    assert short.backend == f"numpy: {CALLS:,} calls do not make up for the time that a compiler takes"
    assert len(long) < 4 * len(short)
    once = autobp.compile(lambda x: path(x, 300), w, backend="auto", calls=1, example=(1.0,))
    assert once.backend.startswith("numpy: 1 calls")


def test_calls_are_shared_among_the_shapes_that_a_step_gets() -> None:
    """A compiler's time for each of many lengths would be more than the calls of any of them save."""
    w = [Value(0.5), Value(0.1), Value(0.9)]

    def path(x: Any) -> Any:
        h = w[0]
        for each in x:
            h = (w[0] * h + w[1] * each).tanh() * w[2]
        return h

    def chosen(calls: int, lengths: tuple[int, ...]) -> list[str]:
        step = autobp.compile(path, w, backend="auto", calls=calls)
        found = []
        for n in lengths:
            step(step.theta, RNG.normal(size=(1, n)))
            found.append(step.backend)
        return found

    written_out = chosen(60_000, (10, 11, 12, 13))
    assert written_out[0].startswith("c: ")
    assert written_out[3] == "numpy: 15,000 calls do not make up for the time that a compiler takes"
    # but what is built for any length is built once
    assert all(backend.startswith("c: ") for backend in chosen(4_000, (100, 101, 102, 103, 104)))


def test_many_rows_and_a_derivative_are_work_too() -> None:
    """What has few statements is machine code for many rows; a derivative chooses by its own statements."""
    w = [Value(0.5), Value(0.1), Value(0.9)]

    def residual(x: Any, y: Any) -> Any:
        return (w[0] * (w[1] * x).exp() + w[2] * x.sin() - y) ** 2

    def chosen(m: int, **options: Any) -> list[str]:
        step = autobp.compile(residual, w, **{"backend": "auto", **options})
        X, Y = RNG.normal(size=(2, m))
        step(step.theta, X, Y)
        hessian = step.hessian(step.theta, X, Y)
        assert np.allclose(hessian, autobp.compile(residual, w, backend="numpy").hessian(step.theta, X, Y))
        (made,) = (x for x in step.executable._others.values() if isinstance(x, Made))
        return [step.executable.choice.name, made.choice.name]

    assert chosen(1) == ["numpy", "numpy"]
    assert chosen(100_000) == ["c", "c"]
    assert chosen(1, calls=70_000) == ["numpy", "c"]
    assert chosen(1, calls=1, backend="c") == ["c", "c"]
    assert chosen(100_000, backend="numpy") == ["numpy", "numpy"]


def test_few_calls_are_not_worth_a_compiler(own_cache: Path) -> None:
    step, rows = step_of([2, 3, 1], calls=1000)
    step(step.theta, *rows(10))
    assert step.backend == "numpy: 1,000 calls do not make up for the time that a compiler takes"
    assert not own_cache.exists()
    step, rows = step_of([2, 3, 1], calls=10_000_000)
    step(step.theta, *rows(10))
    assert step.backend.startswith("c: ")
    step, rows = step_of([2, 3, 1], calls=1, backend="c")
    step(step.theta, *rows(10))
    assert step.backend == "c: asked for"


def test_machine_code_warns_of_nothing() -> None:
    w = [Value(1.0), Value(2.0)]
    step = autobp.compile(lambda x: (w[0] * x).exp() * w[1] + (x * x).log(), w, backend="c")
    with np.errstate(all="raise"):
        for x in (1.0, 1e200, 0.0, np.inf, np.nan, 1e-320):
            step([3.0, 1e300], [x, 1.0])
            step.value([3.0, 1e300], [x])


def test_the_page_has_the_bounds() -> None:
    page = (Path(__file__).parents[1] / "docs" / "machine-code.md").read_text(encoding="utf-8")
    assert f"{LARGEST:,} multiplications a call" in page
    assert f"matrices of up to {LARGEST_MATRIX:,} numbers" in page
    assert f"a batch of {ROWS} rows" in page
    assert f"{CALLS:,} where" in page


# --------------------------------------------------------------------------------------------- fit


X = RNG.normal(size=(8, 2))
Y = np.tanh(X[:, :1] * X[:, 1:])


def trained(choices: list[Choice], **options: Any) -> tuple[list[str], np.ndarray[Any, Any]]:
    """What ran the steps of a training and the costs of its validation, and the parameters it led to."""
    choices.clear()
    net = MLP(2, [4, 1], activation="tanh", seed=1)
    fit(net, X, Y, **{"epochs": 3, "batch_size": 4, "seed": 0, "progress": False, **options})
    return [choice.name for choice in choices], np.array([p.data for p in net.parameters()])


def test_a_first_fit_builds_nothing(choices: list[Choice], own_cache: Path) -> None:
    assert trained(choices)[0] == ["numpy"]
    assert "do not make up" in choices[0].why
    assert not own_cache.exists()


def test_a_long_fit_runs_on_machine_code(choices: list[Choice]) -> None:
    def enough(epoch: int, history: Any) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    names, theta = trained(choices, epochs=1_000_000, on_epoch=enough)
    assert names == ["c"]
    by_numpy = trained(choices, epochs=1_000_000, on_epoch=enough, backend="numpy")
    assert by_numpy[0] == ["numpy"]
    np.testing.assert_allclose(theta, by_numpy[1], rtol=1e-9)


def test_fit_runs_on_what_it_is_told(choices: list[Choice], monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(choices, backend="c")[0] == ["c"]
    with pytest.raises(ValueError, match="got 'fortran'"):
        trained(choices, backend="fortran")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert trained(choices, backend="auto", epochs=1_000_000, on_epoch=_interrupt)[0] == ["numpy"]
    with pytest.raises(NoMachineCode, match="no-such-compiler"):
        trained(choices, backend="c")


def _interrupt(epoch: int, history: Any) -> None:
    raise KeyboardInterrupt


def test_a_line_tells_of_a_compiler_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    line = "a C compiler builds the training's step …\n"
    monkeypatch.setattr(toolchain, "_SLOW", 50.0)
    assert line not in told(capfd, backend="c")[0]
    monkeypatch.setattr(toolchain, "_SLOW", 1e-4)
    assert line not in told(capfd, backend="c")[0], "the library is kept"
    cache.clear()
    shown, history = told(capfd, backend="c")
    assert shown.startswith(line)
    assert shown.count(line) == 1
    for options in ({"progress": False}, {"backend": "numpy"}, {"compiled": False}):
        cache.clear()
        quiet, same = told(capfd, **{"backend": "c", **options})
        assert line not in quiet
        assert same.cost == pytest.approx(history.cost, rel=1e-12)
    cache.clear()
    step_of([2, 3, 1], traced=True, backend="c")
    assert capfd.readouterr() == ("", ""), "nobody asked to be told"


def told(capfd: pytest.CaptureFixture[str], **options: Any) -> tuple[str, Any]:
    """What a training writes to standard error, and its history."""
    net = MLP(2, [3, 1], activation="tanh", seed=0)
    X = np.linspace(-1.0, 1.0, 12).reshape(6, 2)
    history = fit(net, X, X[:, 0], epochs=2, seed=0, **options)
    out, written = capfd.readouterr()
    assert not out
    return written, history

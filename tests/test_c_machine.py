"""Steps in machine code: the same numbers, and NumPy with a reason where there can be none."""

from __future__ import annotations

import pickle
import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import MLP, Value
from autobp.compiler import Step, machine_code
from autobp.functions import take
from autobp.machine import NoMachineCode, functions, toolchain, wrapper

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
    ),
    pytest.mark.usefixtures("own_cache"),
]
X = np.random.default_rng(3).normal(size=(20, 2))
Y = X[:, :1] * X[:, 1:]


@pytest.fixture(autouse=True, scope="session")
def call_is_built(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What calls all functions is built before any test looks at its cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AUTOBP_CACHE", str(tmp_path_factory.mktemp("call") / "cache"))
        wrapper.wrapper()


def step_on(backend: Any, activation: str = "tanh", neurons: int = 3, **options: Any) -> Step:
    net = MLP(2, [neurons, 1], activation=activation, seed=1)
    example = ([0.0, 1.0], [1.0])
    options = {"calls": 1_000_000_000, **options}  # as many as "auto" needs

    def loss(x: Any, y: Any) -> Any:
        return (net(x) - y[0]) ** 2

    return autobp.compile(loss, net.parameters(), example=example, backend=backend, **options)


def agree(step: Step) -> None:
    expected, gradient = step_on("numpy")(step.theta, X, Y)
    cost, found = step(step.theta, X, Y)
    assert cost == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(found, gradient, rtol=1e-12, atol=1e-14)
    assert step.value(step.theta, X, Y) == pytest.approx(expected, rel=1e-13)


def test_a_step_in_machine_code_gives_what_numpy_gives(either_call: None) -> None:
    step = step_on("c")
    assert step.backend == "c: asked for"
    agree(step)
    assert step_on("auto").backend.startswith("c: ")
    assert step_on("numpy").backend == "numpy: asked for"


def test_arrays_of_every_layout_and_type(either_call: None) -> None:
    step = step_on("c")
    expected = step(step.theta, X, Y)
    wide = np.zeros((20, 5))
    wide[:, 1:3] = X
    unaligned = np.frombuffer(b"x" + X.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(20, 2)
    for x in (np.asfortranarray(X), wide[:, 1:3], X[::-1][::-1], X.tolist(), unaligned, X.astype(">f8")):
        cost, gradient = step(step.theta, x, Y)
        assert cost == expected[0]
        assert np.array_equal(gradient, expected[1])
    constant = np.broadcast_to(X[0], X.shape)
    assert step(step.theta, constant, Y)[0] == step(step.theta, constant.copy(), Y)[0]
    readonly = X.copy()
    readonly.flags.writeable = False
    assert step(step.theta, readonly, Y)[0] == expected[0]


@pytest.fixture(params=["by its own module", "by ctypes"])
def either_call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions are called by the module that is made for it, or by ctypes, where there can be none."""
    if request.param == "by ctypes":
        monkeypatch.setattr(functions, "direct", lambda *_: None)
    else:
        assert wrapper.wrapper() is not None


def test_the_module_that_calls_refuses_what_it_cannot_call() -> None:
    made = wrapper.wrapper()
    assert made is not None
    for read, written in ((((3,),) * 8, ((3,),)), (((3,),), ((3,),) * 3), (((1,) * 9,), ()), ((3,), ())):
        with pytest.raises(ValueError, match="at most 7 arrays to read, 2 to write, of 8 axes"):
            made(0, True, read, written, 0, 0, 0, 0)
    with pytest.raises(TypeError):
        made("no address", True, ((3,),), (), 0, 0, 0, 0)
    with pytest.raises(TypeError):
        made(0, True, (("three",),), (), 0, 0, 0, 0)


def test_what_is_called_directly_looks_at_each_array() -> None:
    step = step_on("c")
    theta = step.theta
    assert step._direct is None
    expected = step(theta, X, Y)
    direct = step._direct
    assert direct is not None
    cost, gradient = direct(theta, X, Y)
    assert cost == expected[0]
    assert np.array_equal(gradient, expected[1])
    wide = np.zeros((20, 5))
    wide[:, 1:3] = X
    unaligned = np.frombuffer(b"x" + X.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(20, 2)
    others = [X.T, X[:, :1], X[None], X[:19], X[:0], wide[:, 1:3], np.asfortranarray(X), unaligned]
    others += [X.astype(np.float32), X.astype(">f8"), X.astype(np.int64), X.view(np.matrix), X.tolist(), None]
    assert [direct(theta, x, Y) for x in others] == [None] * len(others)
    assert direct(theta[:-1], X, Y) is None
    assert direct(theta, X[:0], Y[:0]) is None
    assert direct(theta, X) is None
    assert direct(theta, X, Y, Y) is None
    assert direct(theta, X, y=Y) is None
    assert direct(theta + np.inf, X, Y) is None
    for place in (0, 12):  # of its gradient: only one is not finite
        beyond = np.array(theta)
        beyond[place] = np.nan
        assert direct(beyond, X, Y) is None


@pytest.mark.parametrize("n", [1, 15, 16, 17, 48])
def test_each_number_of_a_result_is_looked_at(n: int) -> None:
    w = [Value(1.0) for _ in range(n)]
    step = autobp.compile(lambda x: [a * x for a in w], w, example=[1.0], backend="c")
    x = np.ones(1)
    for place in range(n):
        for beyond in (np.inf, -np.inf, np.nan):
            theta = step.theta
            theta[place] = beyond
            found = step(theta, x)
            assert step._direct is not None
            assert step._direct(theta, x) is None
            np.testing.assert_array_equal(found, theta[None])


def test_a_step_with_several_shapes_of_arguments_calls_the_right_one(either_call: None) -> None:
    w = Value(3.0)
    step = autobp.compile(lambda x: [w * x[0]] if np.ndim(x) == 1 else [w * x[0][0]], [w], backend="c")
    for data in ([[2.0], [4.0]], [[[5.0, 6.0]]], [[7.0]], [[[8.0, 9.0]]]):
        x = np.array(data)
        assert step(step.theta, x).ravel().tolist() == [3.0 * row.flat[0] for row in x]
    for wrong in (np.zeros((2, 0)), np.zeros((0, 1)), np.float64(1.0)):
        with pytest.raises((ValueError, IndexError)):
            step(step.theta, wrong)


def test_a_large_call_beside_others_has_a_work_area_of_its_own() -> None:
    step = step_on("c", neurons=400)
    assert has_work(step)
    rng = np.random.default_rng(1)
    data = [(rng.normal(size=(m, 2)), rng.normal(size=(m, 1))) for m in (2000, 3000, 1)]
    expected = [step(step.theta, *some) for some in data]

    def agrees(k: int) -> bool:
        found = step(step.theta, *data[k % 3])
        return found[0] == expected[k % 3][0] and np.array_equal(found[1], expected[k % 3][1])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(agrees, range(200)))


def test_a_function_of_many_arguments() -> None:
    w = Value(0.5)

    def loss(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
        return w * (a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g)

    def fewer(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
        return w * (a + 2 * b + 3 * c + 4 * d + 5 * e)

    data = [np.array([k, 10.0 * k]) for k in range(7)]
    for function, n in ((loss, 7), (fewer, 5)):
        cost, gradient = autobp.compile(function, [w], backend="c")(np.array([0.5]), *data[:n])
        expected = sum((k + 1) * data[k].mean() for k in range(n))
        assert (cost, gradient.tolist()) == (0.5 * expected, [expected])


def test_no_parameters_and_no_data() -> None:
    w = Value(3.0)
    graph = autobp.compile(w * w, [w], backend="c")
    assert graph(np.array([2.0])) == (4.0, np.array([4.0]))
    assert autobp.compile(lambda x: x * x, [], backend="c")(np.zeros(0), [3.0, 1.0])[0] == 5.0


def test_each_call_has_a_gradient_of_its_own() -> None:
    step = step_on("c")
    first = step(step.theta, X, Y)[1]
    kept = first.copy()
    step(step.theta + 1.0, X, Y)
    assert np.array_equal(first, kept)


def test_sizes_change_from_call_to_call() -> None:
    step, by_numpy = step_on("c"), step_on("numpy")
    for m in (20, 1, 8, 9, 16, 7, 20):
        found, expected = step(step.theta, X[:m], Y[:m]), by_numpy(step.theta, X[:m], Y[:m])
        assert found[0] == pytest.approx(expected[0], rel=1e-13)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-14)


def test_outputs() -> None:
    w = Value(0.5)
    data = np.array([[1.0, 2.0], [3.0, 4.0], [np.inf, -0.0]])
    found, expected = (
        autobp.compile(lambda x: [[x[0] * w, w], [x[1].exp(), x[1]]], [w], backend=backend)(
            np.array([2.0]), data
        )
        for backend in ("c", "numpy")
    )
    assert found.shape == (3, 2, 2)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_numbers_at_the_edge_are_numpys() -> None:
    w = [Value(0.5), Value(2.0)]

    def loss(x: Any) -> Any:
        return autobp.maximum(x[0] * w[0], x[1]) + autobp.where(autobp.greater(x[1], w[1]), x[0], w[0].tanh())

    by_c, by_numpy = (autobp.compile(loss, w, backend=backend) for backend in ("c", "numpy"))
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, 5e-324, 1.0]
    for a in edges:
        for b in edges:
            found, expected = (step(step.theta, [[a, b]]) for step in (by_c, by_numpy))
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-15)
            np.testing.assert_allclose(found[1], expected[1], rtol=1e-15)


def test_an_index_that_is_none_is_named(either_call: None) -> None:
    w = [Value(0.5), Value(2.0)]
    step = autobp.compile(lambda i: take(w, i), w, backend="c")
    assert step(step.theta, [1.0, 0.0])[0] == 1.25
    for call in (step, step.value):
        with pytest.raises(IndexError, match=r"the index 2\.0 is not one of 0, 1"):
            call(step.theta, [1.0, 2.0])
    outputs = autobp.compile(lambda i: [take(w, i)], w, backend="c")
    with pytest.raises(IndexError, match=r"the index 0\.5"):
        outputs(outputs.theta, [0.5])


def has_work(step: Step) -> bool:
    """Whether the function needs a work area; small arrays are local to it."""
    made: Any = step._executable().prepared("cost_and_gradient", 1)[0]
    return made._needs != (0, 0)


def test_threads_have_work_areas_of_their_own(either_call: None) -> None:
    step = step_on("c", neurons=400)
    assert has_work(step)
    thetas = [step.theta + k for k in range(8)]
    expected = [step(theta, X, Y) for theta in thetas]

    def many(k: int) -> bool:
        for _ in range(200):
            cost, gradient = step(thetas[k], X, Y)
            if cost != expected[k][0] or not np.array_equal(gradient, expected[k][1]):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(many, range(8)))


def test_other_threads_run_meanwhile(either_call: None) -> None:
    step = step_on("c")
    big, target = np.tile(X, (100_000, 1)), np.tile(Y, (100_000, 1))
    step(step.theta, big[:1], target[:1])
    counted, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            counted[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60.0)  # so that nobody gets the lock who is not given it
    thread = threading.Thread(target=count)
    thread.start()
    try:
        function, work = step._executable().prepared("value", len(big))
        before = counted[0]
        function(step.theta, big, target, work)
        assert counted[0] > before
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


def test_a_pickle_builds_its_code_again(own_cache: Path) -> None:
    step = step_on("c")
    data = pickle.dumps(step)
    shutil.rmtree(own_cache)
    again = pickle.loads(data)
    assert again.backend == "c: asked for"
    agree(again)
    assert list(own_cache.glob("*.so"))


def test_a_pickle_where_there_is_no_compiler(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, either = pickle.dumps(step_on("c")), pickle.dumps(step_on("auto"))
    shutil.rmtree(own_cache)
    monkeypatch.setenv("CC", "no-such-compiler")
    agree(pickle.loads(either))
    with pytest.raises(NoMachineCode, match="no-such-compiler"):
        pickle.loads(data)(np.zeros(13), X, Y)


def test_a_backend_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="backend must be one of 'numpy', 'c', 'auto'; got 'fortran'"):
        step_on("fortran")


def test_checks_are_numpys() -> None:
    assert "each statement is checked" in step_on("auto", check=True).backend
    with pytest.raises(NoMachineCode, match="each statement is checked"):
        step_on("c", check=True)


def test_a_network_whose_layers_fill_no_vectors() -> None:
    """Its machine code crashed with vectors of 8 numbers."""
    net = autobp.MLP(13, [30, 20, 3], activation="tanh", seed=0)

    def loss(x: Any, y: Any) -> Any:
        return autobp.costs.quadratic(net(x), y)

    by_c, by_numpy = (
        autobp.compile(loss, net.parameters(), example=([0.1] * 13, [0.1] * 3), backend=backend)
        for backend in ("c", "numpy")
    )
    for m in (1, 3, 50):
        X, Y = np.random.default_rng(m).normal(size=(m, 13)), np.ones((m, 3))
        (cost, gradient), expected = by_c(by_c.theta, X, Y), by_numpy(by_c.theta, X, Y)
        assert cost == pytest.approx(expected[0], rel=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-11, atol=1e-14)


# ------------------------------------------------------------------------------------------- no compiler


# ------------------------------------------------------------------------------------------------ the page

PAGE = (Path(__file__).parents[1] / "docs" / "machine-code.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_does_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,), (head,) = blocks("python"), blocks("c")
    exec(compile(shown, "machine-code.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("c: ")
    assert head.strip() in printed
    assert f"{machine_code._LONGEST:,} lines" in PAGE
    assert f"{toolchain._LONG:,} lines" in PAGE
    assert f"more than {wrapper._MANY:,} scalars" in PAGE
    assert toolchain.SECONDS == 60.0


def test_a_program_that_is_too_long_for_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    w = [Value(0.1 * i) for i in range(7)]

    def loss(x: Any) -> Any:
        for i, kind in zip(chosen, kinds, strict=True):  # with no period, which would make it a loop
            x = (x * w[i]).tanh() if kind else (x + w[i]).sin()
        return x

    rng = np.random.default_rng(0)
    chosen, kinds = rng.integers(7, size=300).tolist(), rng.integers(2, size=300).tolist()
    by_numpy = autobp.compile(loss, w)
    expected = by_numpy(by_numpy.theta, [0.5])
    long = autobp.compile(loss, w, example=[1.0], backend="c")
    assert "cost_and_gradient_part5" in long.c_source
    found = long(long.theta, [0.5])
    assert found[0] == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)
    monkeypatch.setattr(machine_code, "_LONGEST", 2000)
    step = autobp.compile(loss, w, example=[1.0], backend="auto", calls=1_000_000_000)
    assert "lines of C, and compilers are given up to 2,000" in step.backend
    assert step(step.theta, [0.5])[0] == expected[0]

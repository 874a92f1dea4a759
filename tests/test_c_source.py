"""Programs as C: they stand alone, build without a warning, and give the numbers that NumPy gives."""

from __future__ import annotations

import ctypes
import itertools
import math
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_compilers import command_of
from test_program import EXAMPLES, THETA, B, Y, program, recurrence, step_of

import autobp
from autobp import MLP, Value, ir
from autobp.backends import c_memory, c_parts, c_text
from autobp.backends.c_positions import Position, Variable, combined, flat, loop_variable, unflat
from autobp.backends.c_text import CFunction, CSource, c_source
from autobp.backends.numpy_text import source_of
from autobp.functions import softmax, take
from autobp.machine.toolchain import toolchain

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
RNG = np.random.default_rng(5)
DATA = {
    "x": RNG.normal(size=(19, 2)),
    "y": RNG.normal(size=(19, 3)),
    "index": 1.0 * RNG.integers(0, 2, (19, 4)),
}
NUMBERS = RNG.normal(size=9)


def built(source: CSource, folder: Path) -> ctypes.CDLL:
    """The library of a source, by the compiler alone; any warning is an error."""
    (folder / "program.c").write_text(source.text, encoding="utf-8")
    command = ["cc", *STRICT, "-fPIC", "-shared", "program.c", "-o", "program.so", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + source.text
    return ctypes.CDLL(str(folder / "program.so"))


def value_by_c(shown: ir.Program, folder: Path, data: dict[str, Any]) -> float:
    """The cost of a program, its C built and called with nothing of ours between."""
    source = c_source({"value": shown}, "A test.")
    (function,) = source.functions
    run = built(source, folder).value
    run.restype = ctypes.c_double
    arrays = [np.ascontiguousarray(data[shown.names[x]]) for x in shown.inputs]
    m = len(arrays[0])
    work = np.full(function.fixed + function.each * m, np.nan)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (NUMBERS, *arrays)]
    return float(run(*pointers, ctypes.c_long(m), ctypes.c_void_p(work.ctypes.data)))


def value_by_numpy(shown: ir.Program, data: dict[str, Any]) -> float:
    source = source_of({"value": shown}, "A test.", {"value": "The cost."})
    arrays = [data[shown.names[x]] for x in shown.inputs]
    return float(source.variables(NUMBERS, arrays)["cost"])


def gradient_in_a_loop(falling: bool) -> ir.Loop:
    """g = g + the sum over samples of y·s, in each of 4 steps: a state without samples, of all samples."""
    g, s, y = ir.Local((3,), False), ir.Local((3,), True), ir.Local((3,), True)
    part = ir.SumTo(ir.Elementwise((s, y), _slot(0) * _slot(1)), (), True)
    after = ir.Sum((s, g), (3,), (0.5, 1.0))
    body = ir.Program((g, s, y), (ir.Sum((g, part), (3,), (1.0, 1.0)), after), {g: "g", s: "s", y: "u"})
    return ir.Loop(4, body, (B, Y), (), (Y,), falling)


def exchange() -> ir.Loop:
    """Two states that are exchanged in each of 3 steps."""
    p, q = ir.Local((3,), True), ir.Local((3,), True)
    return ir.Loop(3, ir.Program((p, q), (q, p), {}), (Y, ir.Fill(B, (3,), True)))


def nest() -> ir.Loop:
    """A loop in a loop, which sums up 2·s twice in each of 3 steps."""
    s, r = ir.Local((3,), True), ir.Local((3,), True)
    twice = ir.Sum((r,), (3,), (2.0,))
    inner = ir.Loop(2, ir.Program((r,), (twice, twice), {}), (s,))
    body = ir.Program((s,), (ir.Result(inner, 0), ir.Reduce(ir.Reshape(ir.Result(inner, 1), (6,)))), {})
    return ir.Loop(3, body, (Y,))


def _slot(i: int) -> Any:
    return ir.expression.Expression("slot", i)


LOOPS = {
    "outputs": [ir.Result(recurrence(), 1)],
    "falling": [ir.Result(loop := recurrence(True), 0), ir.Result(loop, 1)],
    "sums over samples": [ir.Result(loop := gradient_in_a_loop(False), 0), ir.Result(loop, 1)],
    "exchange": [
        ir.Elementwise((ir.Result(loop := exchange(), 0), ir.Result(loop, 1)), _slot(0) * 3.0 - _slot(1))
    ],
    "in a loop": [ir.Result(loop := nest(), 0), ir.Result(loop, 1)],
    "after a sum": [
        ir.Elementwise((ir.Result(gradient_in_a_loop(True), 0), Y), _slot(0) * _slot(1)),
        ir.Elementwise((ir.SumTo(Y, (), True), Y), _slot(0) * _slot(1)),
    ],
}
SHOWN = {
    **{kind: [x] for kind, x in EXAMPLES.items() if kind not in ("Absent", "Local", "Loop", "Total")},
    **LOOPS,
}


@pytest.mark.parametrize("what", SHOWN)
@pytest.mark.parametrize("m", [1, 19])
def test_each_kind_of_array_gives_what_numpy_gives(what: str, m: int, tmp_path: Path) -> None:
    # squares, so that an element in another's place is seen
    weights = [ir.Elementwise((x,), _slot(0) * _slot(0) + 0.3 * _slot(0)) for x in SHOWN[what]]
    placed = [_weighed(x) for x in weights]
    shown = program(*placed)
    shown.verify()
    data = {name: x[:m] for name, x in DATA.items()}
    expected = value_by_numpy(shown, data)
    assert value_by_c(shown, tmp_path, data) == pytest.approx(expected, rel=1e-13, abs=1e-13)


def in_parts(monkeypatch: pytest.MonkeyPatch, longest: int = -1) -> None:
    """Let functions be written in parts, a statement each, from fewer lines on."""
    monkeypatch.setattr(c_text, "LONGEST", longest)
    monkeypatch.setattr(c_parts, "_PART", 1)


def test_a_function_in_parts_gives_what_the_whole_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All kinds of arrays, and networks with their gradients, bit for bit."""
    monkeypatch.setattr(c_text, "_SEVERAL", "")  # for one number they give others than for several
    shown = {f"kind_{i}": program(*map(_weighed, arrays)) for i, arrays in enumerate(SHOWN.values())}
    programs = {**shown, **{f"gradient_of_{name}": x for name, x in gradients().items()}}
    sources = [c_source(programs, "A test.")]
    in_parts(monkeypatch)
    sources.append(c_source(programs, "A test."))
    assert not any(function.parts for function in sources[0].functions)
    assert all(function.parts for function in sources[1].functions)
    found = []
    for k, source in enumerate(sources):
        folder = tmp_path / str(k)
        folder.mkdir()
        library = built(source, folder)
        found.append([results(getattr(library, x.name), x) for x in source.functions])
    for whole, parts in zip(*found, strict=True):
        np.testing.assert_array_equal(whole, parts)
    assert sum(map(len, found[0])) > 500
    assert all(np.isfinite(numbers).all() for numbers in found[0])


def test_a_small_number_in_a_part_keeps_its_exponent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a program without a sum over the samples too, which has outputs and no cost."""
    outputs = ir.Elementwise((Y,), _slot(0) * 1.5e-29 + 2.5e-7)
    shown = ir.Program((THETA, Y), (outputs,), {THETA: "theta", Y: "y"}, (3,))
    in_parts(monkeypatch)
    source = c_source({"value": shown}, "A test.")
    assert source.functions[0].parts
    assert "1.5e-29" in source.text
    built(source, tmp_path)


def results(run: Any, function: CFunction) -> list[float]:
    """What a function writes and returns, for 1, 8, and 19 samples."""
    run.restype = ctypes.c_double
    rng, found = np.random.default_rng(4), []
    for m in (1, 8, 19):
        data = [
            1.0 * rng.integers(0, 2, (m, n)) if name == "index" else rng.normal(size=(m, n))
            for name, n in zip(function.arguments, function.sizes, strict=True)
        ]
        if function.name == "gradient_of_attention":
            data[0][:, 12] = 1.0  # which it takes for an index
        written = [np.zeros([m if n < 0 else n for n in shape]) for shape in function.written]
        work = np.full(function.fixed + function.each * m, np.nan)
        arrays = [np.cos(np.arange(function.n_parameters)), *data]
        pointers = [[ctypes.c_void_p(x.ctypes.data) for x in some] for some in (arrays, [*written, work])]
        found.append(float(run(*pointers[0], ctypes.c_long(m), *pointers[1])))
        found += [number for x in written for number in x.ravel().tolist()]
    return found


def _weighed(x: ir.Array) -> ir.Array:
    """Each element times a number of its own."""
    weights = ir.Constant(np.cos(np.arange(x.size)).reshape(x.shape))
    return ir.Elementwise((x, weights), _slot(0) * _slot(1))


def test_an_index_that_is_none_gives_no_number(tmp_path: Path) -> None:
    data = {**DATA, "index": DATA["index"] + 0.5}
    assert math.isnan(value_by_c(program(EXAMPLES["Choose"]), tmp_path, data))


# --------------------------------------------------------------------------------------------- positions


@pytest.mark.parametrize("shape", [(3, 4), (2, 1, 5), (6,), (2, 3, 2)])
def test_a_position_is_taken_apart_into_an_index(shape: tuple[int, ...]) -> None:
    names = "ijl"[: len(shape)]
    index = [loop_variable(name, n) for name, n in zip(names, shape, strict=True)]
    assert list(unflat(shape, flat(shape, index))) == index


@pytest.mark.parametrize(
    ("shape", "position"),
    [
        ((3, 4), Position(0, (Variable("i", 1, 12),))),
        ((3, 4), Position(1, (Variable("i", 5, 3),))),
        ((2, 2, 3), Position(11, (Variable("i", -1, 12),))),
        ((2, 6), Position(0, (Variable("i", 4, 3), Variable("j", 1, 4)))),
        ((4, 3), Position(2, (Variable("i", 3, 3), Variable("j", 1, 2)))),
    ],
)
def test_any_position_has_its_index(shape: tuple[int, ...], position: Position) -> None:
    index = unflat(shape, position)
    counts = {x.text: x.values for x in position.variables}
    for values in itertools.product(*map(range, counts.values())):
        named = dict(zip(counts, values, strict=True))
        where = int(eval(position.text, {}, named))
        found = tuple([int(eval(x.text.replace("/", "//"), {}, named)) for x in index])
        assert found == np.unravel_index(where, shape)


def test_positions_are_combined() -> None:
    i, j = loop_variable("i", 3), loop_variable("j", 2)
    assert combined(1, [(2, i), (3, j), (-2, i)]) == Position(1, (Variable("j", 3, 2),))
    assert combined(0, [(1, i), (-4, j)]).text == "i - 4 * j"
    assert Position(-3).text == "-3"


# ------------------------------------------------------------------------------------------------- files


def test_a_file_has_names_that_c_can_have(tmp_path: Path) -> None:
    def loss(double: Any, exp2: Any, wrong: Any, θ: Any, sum_: Any) -> Any:
        return (double * w - exp2) ** 2 + wrong.sigmoid() * θ + sum_.exp()

    def another(e1: Any, sum: Any, best: Any, pick2: Any, BLOCK: Any, M_PI: Any) -> Any:
        inner = (e1 * sum).gelu() * (best * w).gelu() * pick2.softplus()
        return autobp.maximum(inner, BLOCK) + autobp.sum([e1, sum * w, best * pick2]) * M_PI

    w = Value(0.3, label="I1")
    other = autobp.compile(another, [w], example=[1.0] * 6)
    (tmp_path / "other").mkdir()
    built(c_source({"cost_and_gradient": other.program}, "Another."), tmp_path / "other")
    step = autobp.compile(loss, [w], example=[1.0] * 5)
    built(c_source({"value": step.program}, "*/ \\ a comment is no end"), tmp_path)


def test_a_file_is_readable() -> None:
    step = step_of(MLP(2, [2, 1], activation="sigmoid"))
    text = step.c_source
    assert "a1[2 * s + i] = sigmoid(z1[2 * s + i]);" in text
    assert "delta1[2 * s + i] = " in text
    head = "double value(const double *theta, const double *x, const double *y, long m, double *work) {"
    assert head in text
    assert "sums[j] += delta1[2 * s + i] * x[2 * (first + s) + j];" in text
    assert "dW1[2 * i + j] = sums[j];" in text
    assert text.count("#include") == 1


@pytest.mark.parametrize("compiler", ["gcc", "g++", "clang"])
@pytest.mark.parametrize("options", [[], ["-O3", "-march=native"]])
@pytest.mark.parametrize("longest", [1000, -1])
def test_every_compiler_takes_it(
    compiler: str, options: list[str], longest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = command_of(compiler)
    in_parts(monkeypatch, longest)
    text = step_of(MLP(2, [4, 1], activation="tanh")).c_source
    (tmp_path / "program.c").write_text(text, encoding="utf-8")
    standard = "-std=c++14" if compiler == "g++" else "-std=c99"
    command += [standard, "-Wall", "-Wextra", "-Werror", *options, "-c", "program.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


@pytest.mark.parametrize("widths", [[5, 64, 3], [40, 33], [37, 48]])
@pytest.mark.parametrize("m", [1, 3, 11])
def test_sums_in_registers_are_those_of_numpy(widths: list[int], m: int) -> None:
    """More neighbours than registers hold are summed in parts, if their number has fit divisors."""
    net = MLP(7, widths, activation="tanh", seed=0)
    x = np.random.default_rng(0).normal(size=(m, 7))

    def cost(row: Any) -> Any:
        return autobp.sum([v * v for v in net(row)])

    steps = [autobp.compile(cost, net.parameters(), example=[x[0]], backend=b) for b in ("c", "numpy")]
    (found, gradient), (expected, expected_gradient) = [step(step.theta, x) for step in steps]
    assert found == pytest.approx(expected, rel=1e-14)
    scale = np.abs(expected_gradient).max()
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12, atol=1e-14 * scale)
    assert "part < 2" in steps[0].c_source


def network_over_time(units: int) -> autobp.Step:
    """Elman's network over 30 steps."""
    rng = np.random.default_rng(2)
    W, b = [[Value(x) for x in row] for row in 0.4 * rng.normal(size=(units, units))], Value(0.1)

    def loss(x: Any) -> Any:
        h = [0.0] * units
        for x_t in x:
            h = [(autobp.sum([w * y for w, y in zip(row, h, strict=True)]) + x_t + b).tanh() for row in W]
        return autobp.sum(h)

    return autobp.compile(loss, [b, *[w for row in W for w in row]], example=(rng.normal(size=30),))


def test_what_a_loop_multiplies_by_is_copied_before_it() -> None:
    """So that neighbours lie side by side, of which a compiler takes several at once."""
    text = network_over_time(16).c_source.partition("double cost_and_gradient(")[2]
    time = text.index("for (long t_ = 0; t_ < 30; t_++)")
    (copy,) = set(re.findall(r"(t\d+)\[16 \* i \+ j\] = theta\[16 \* j \+ i \+ 1\];", text))
    assert text.index(f"{copy}[16 * i + j] = theta") < time < text.index(f"* {copy}[16 * k + i];")


def attention(n: int) -> autobp.Step:
    """n keys and values of n numbers, those of each sample its own."""
    w = [Value(x) for x in np.random.default_rng(3).normal(size=n * n)]

    def loss(x: Any) -> Any:
        rows = [x[n * i : n * (i + 1)] for i in range(n)]
        keys = [[autobp.sum([w[n * i + j] * r[j] for j in range(n)]) for i in range(n)] for r in rows]
        shares = [[autobp.sum([a * b for a, b in zip(r, k, strict=True)]).tanh() for k in keys] for r in rows]
        mixed = [[autobp.sum([s[k] * keys[k][j] for k in range(n)]) for j in range(n)] for s in shares]
        return autobp.sum([v**2 for row in mixed for v in row])

    return autobp.compile(loss, w, example=(np.linspace(-0.5, 0.5, n * n),), backend="c")


def attention_by_hand(W: Any, x: Any) -> tuple[float, Any]:
    """Its cost, and the gradient by complex steps."""

    def cost(W: Any) -> Any:
        rows = x.reshape(len(x), len(W), len(W))
        keys = rows @ W.T
        return ((np.tanh(rows @ keys.swapaxes(1, 2)) @ keys) ** 2).sum((1, 2)).mean()

    gradient = np.empty_like(W)
    for i, j in np.ndindex(W.shape):
        moved = W.astype(complex)
        moved[i, j] += 1e-30j
        gradient[i, j] = cost(moved).imag / 1e-30
    return float(cost(W)), gradient


@pytest.mark.parametrize("n", [3, 7, 8])
def test_what_samples_multiply_by_of_their_own_is_copied_where_it_lies_apart(n: int) -> None:
    step = attention(n)
    x = np.random.default_rng(4).normal(size=(11, n * n))
    cost, gradient = step(step.theta, x)
    expected, its_gradient = attention_by_hand(step.theta.reshape(n, n), x)
    assert cost == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, its_gradient.ravel(), rtol=1e-11, atol=1e-12)
    there, here = rf"{n * n} \* s \+ {n} \* i \+ j", rf"{n * n} \* s \+ i \+ {n} \* j"
    copied = re.search(rf"t\d+\[{there}\] = \w+\[{here}\];", step.c_source)
    assert (copied is not None) == (n >= 8)


@pytest.mark.parametrize("units", [3, 4, 8, 16])
def test_functions_are_computed_for_several_numbers_at_once(units: int, tmp_path: Path) -> None:
    """A loop that GCC would write out computes them one by one."""
    text = network_over_time(units).c_source
    kept = re.findall(r"(.*)for \(long i = 0; i < (\d+); i\+\+\) \{\n.*tanh\(", text)
    assert {(head.strip(), int(n)) for head, n in kept} == {
        ("KEPT_A_LOOP" if units in (4, 8) else "", units)
    }
    (tmp_path / "program.c").write_text(text, encoding="utf-8")
    told = [*toolchain().options(text), "-fopt-info-vec-optimized"]
    command = ["cc", *told, "program.c", "-o", "program.so", "-lm"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode or platform.machine() != "x86_64" or units < 4:
        return  # where it is not GCC, or there are too few numbers
    heads = {i for i, line in enumerate(text.split("\n")) if "= short_tanh(" in line}
    vectorized = re.findall(r"program\.c:(\d+):\d+: optimized: loop vectorized", done.stderr)
    assert heads <= {int(line) for line in vectorized}


def test_python_code_has_no_c() -> None:
    from autobp.backends.c_formulas import CModule

    with pytest.raises(TypeError, match="computed by Python code"):
        CModule().formulas.foreign_partial("thing", 0, [])


# ------------------------------------------------------------------------------------------------- memory


def main_of(source: CSource, sizes: dict[str, list[int]], rows: list[int]) -> str:
    """A program that calls each function with memory of just the size that it says it needs."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>", source.text]
    lines.append(
        "static double *numbers(long n, int whole) {\n"
        "    double *made = malloc((n > 0 ? n : 1) * sizeof(double));\n"
        "    for (long i = 0; i < n; i++) made[i] = whole ? (double)(i % 2) : 0.1 * (double)(i % 17) - 0.7;\n"
        "    return made;\n}\n\nint main(void) {"
    )
    for function in source.functions:
        n_theta, n_written, *each = sizes[function.name]
        for m in rows:
            names = [
                f"numbers({m * n}, {int(x == 'index')})"
                for n, x in zip(each, function.arguments, strict=True)
            ]
            written = [f"numbers({n_written}, 0)"] if n_written else []
            listed = [
                f"numbers({n_theta}, 0)",
                *names,
                *written,
                f"numbers({function.fixed + m * function.each}, 0)",
            ]
            lines.append("    {")
            lines += [f"        double *a{i} = {text};" for i, text in enumerate(listed)]
            given = [f"a{i}" for i in range(1 + len(names))] + [str(m)]
            given += [f"a{i}" for i in range(1 + len(names), len(listed))]
            lines.append(f'        printf("%.17g\\n", (double){function.name}({", ".join(given)}));')
            lines += [f"        free(a{i});" for i in range(len(listed))]
            lines.append("    }")
    return "\n".join([*lines, "    return 0;", "}"])


def gradients() -> dict[str, ir.Program]:
    """Programs of costs and gradients, of several kinds."""
    found = {}
    for activation, widths in (("tanh", [16, 5, 1]), ("relu", [3, 1]), ("sigmoid", [1])):
        found[f"{activation}{len(widths)}"] = step_of(MLP(2, widths, activation=activation, seed=1)).program
    w = [Value(0.1 * k) for k in range(12)]

    def attention(x: Any) -> Any:
        rows = [[x[3 * i + j] * w[j] for j in range(3)] for i in range(4)]
        scores = [[autobp.sum([a * b for a, b in zip(p, q, strict=True)]) for q in rows] for p in rows]
        return autobp.sum([weight * w[9] for row in scores for weight in softmax(row)]) + take(w[3:7], x[12])

    found["attention"] = autobp.compile(attention, w, example=[[0.5] * 12 + [1.0]]).program
    return found


@pytest.mark.parametrize(("largest", "longest"), [(4096, 1000), (0, 1000), (4096, -1)])
def test_no_memory_but_its_own_is_touched(
    largest: int, longest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the compiler's sanitizers, which end a program that reads or writes beside an array.

    Arrays are the function's own, or, with none that may be, lie in the work area, as where it is in parts.
    """
    monkeypatch.setattr(c_memory, "_LARGEST", largest)
    in_parts(monkeypatch, longest)
    programs = {f"kind_{i}": program(*map(_weighed, arrays)) for i, arrays in enumerate(SHOWN.values())}
    programs |= {f"gradient_of_{name}": x for name, x in gradients().items()}
    source = c_source(programs, "A test.")
    sizes = {
        name: [x.theta.n, x.results[1].size if len(x.results) == 2 else 0, *[y.size for y in x.inputs]]
        for name, x in programs.items()
    }
    rows = [1, 7, 8, 17]
    (tmp_path / "program.c").write_text(main_of(source, sizes, rows), encoding="utf-8")
    options = [*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    done = subprocess.run(
        ["cc", *options, "program.c", "-o", "program", "-lm"], cwd=tmp_path, capture_output=True, text=True
    )
    if "cannot find" in done.stderr:
        pytest.skip("the compiler has no sanitizers here")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([str(tmp_path / "program")], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.split()) == len(rows) * len(programs)

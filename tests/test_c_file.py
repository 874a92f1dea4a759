"""Exported files of C: built and run by the compiler alone, in a folder of their own."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_compilers import command_of

import autobp
from autobp import MLP, Value
from autobp.about import About
from autobp.command import main
from autobp.functions import take

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def built(folder: Path, *command: str) -> str:
    """What a compiler complains of; the program is a.out."""
    done = subprocess.run([*command, "-lm"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr or str(done.returncode or "")


def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    """The program, in an environment without anything."""
    return subprocess.run(
        [str(folder / "a.out")], cwd=folder, env={}, capture_output=True, text=True, check=False
    )


def checks_itself(folder: Path, *options: str) -> str:
    """Build model.c and run it; what it prints."""
    assert not built(folder, "cc", *STRICT, *options, "model.c")
    done = ran(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def classifier(folder: Path, **about: Any) -> MLP:
    """A network in model.npz that knows what it was trained on."""
    net = MLP(2, [4, 3], activation=["tanh", "softmax"], seed=2)
    told = {"cost": "cross_entropy", "names": ("length", "width"), "classes": ("a", "b", "c")}
    net.about = About(**{**told, "offset": (1.0, -2.0), "scale": (3.0, 0.5), **about})
    net.save(folder / "model.npz")
    return net


def network(folder: Path) -> MLP:
    """One that knows nothing."""
    net = MLP(3, [5, 2], activation="sigmoid", seed=1)
    net.save(folder / "model.npz")
    return net


def exported(folder: Path, *more: str) -> None:
    assert main(["export", str(folder / "model.npz"), "-o", str(folder / "model.c"), *more]) == 0


def test_an_exported_network_checks_itself(tmp_path: Path, capsys: Any) -> None:
    network(tmp_path)
    exported(tmp_path)
    told = capsys.readouterr().out
    assert "model.c and model.h" in told
    shown = checks_itself(tmp_path)
    assert [line.split(":")[0] for line in shown.splitlines()] == ["value", "cost_and_gradient", "predict"]
    assert "cost_and_gradient: 33 of 33 as they must be" in shown


@pytest.mark.parametrize("cost", autobp.costs.COSTS)
def test_every_cost(cost: str, tmp_path: Path) -> None:
    activation = {"hinge": "tanh", "binary_cross_entropy": "sigmoid"}.get(cost, "linear")
    if cost == "cross_entropy":
        activation = "softmax"
    MLP(2, [3, 2], activation=["relu", activation], seed=1).save(tmp_path / "model.npz")
    exported(tmp_path, "-c", cost)
    checks_itself(tmp_path, "-O0")


@pytest.mark.parametrize("compiler", ["g++", "clang"])
def test_other_compilers(compiler: str, tmp_path: Path) -> None:
    command = command_of(compiler)
    network(tmp_path)
    exported(tmp_path)
    standard = "-std=c++14" if compiler == "g++" else "-std=c99"
    assert not built(tmp_path, *command, standard, *STRICT[1:], "model.c")
    assert ran(tmp_path).returncode == 0


def test_no_memory_but_its_own_is_touched(tmp_path: Path) -> None:
    classifier(tmp_path)
    exported(tmp_path)
    complaint = built(tmp_path, "cc", *STRICT, *SANITIZED, "model.c")
    if "cannot find" in complaint:
        pytest.skip("the compiler has no sanitizers here")
    assert not complaint
    done = ran(tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_check_finds_what_is_wrong(tmp_path: Path) -> None:
    network(tmp_path)
    exported(tmp_path)
    text = (tmp_path / "model.c").read_text()
    for right, wrong, where in (
        ("delta1[5 * s + i] = ", "delta1[5 * s + i] = (1 + 1e-9) * ", "cost_and_gradient: number "),
        ("outputs[2 * (first + s) + i] = ", "outputs[2 * (first + s) + i] = 1e-9 + ", "predict: number 0"),
        ("return sum_", "return NAN * sum_", "value: number 0"),
    ):
        assert right in text
        (tmp_path / "model.c").write_text(text.replace(right, wrong))
        assert not built(tmp_path, "cc", "-std=c99", "model.c")
        done = ran(tmp_path)
        assert done.returncode == 1
        assert where in done.stdout


USER = r"""
#include <stdio.h>
#include <stdlib.h>
#include "model.h"

int main(void) {
    const double x[] = {%s};
    double outputs[%d];
    double *work = (double *)malloc((PREDICT_WORK(%d) + 1) * sizeof *work);
    const int wrong = predict(parameters, x, %d, outputs, work);
    for (int i = 0; i < %d; i++) printf("%%.17g\n", outputs[i]);
    free(work);
    return wrong;
}
"""


def predicted(folder: Path, rows: np.ndarray[Any, Any], k: int, language: str = "c") -> np.ndarray[Any, Any]:
    """What predict gives in a program that is built with the file and its header."""
    m = len(rows)
    listed = ", ".join(map(repr, rows.ravel().tolist()))
    (folder / f"user.{language}").write_text(USER % (listed, m * k, m, m, m * k))
    assert not built(folder, "cc", *STRICT, "-DNO_MAIN", "-c", "model.c")
    compiler = ["cc", *STRICT] if language == "c" else ["g++", "-Wall", "-Wextra", "-Werror"]
    assert not built(folder, *compiler, f"user.{language}", "model.o")
    return np.array(ran(folder).stdout.split(), dtype=float).reshape(m, k)


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_predict_takes_rows_as_they_were_measured(language: str, tmp_path: Path) -> None:
    if language == "cpp" and shutil.which("g++") is None:
        pytest.skip("no g++ here")
    net = classifier(tmp_path)
    exported(tmp_path)
    rows = np.random.default_rng(1).normal(size=(20, 2)) * [3.0, 0.5] + [1.0, -2.0]
    found = predicted(tmp_path, rows, 3, language)
    expected = autobp.predict(net, (rows - [1.0, -2.0]) / [3.0, 0.5])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.array(["a", "b", "c"])[found.argmax(1)].tolist() == autobp.answers(net, rows).tolist()
    text = (tmp_path / "model.c").read_text()
    assert "length, width" in text
    assert "a, b, c" in text


def test_quantities_come_in_their_own_units(tmp_path: Path) -> None:
    net = MLP(2, [4, 1], activation=["tanh", "linear"], seed=2)
    net.about = About(names=("p", "q"), offset=(1.0, 2.0), scale=(0.5, 4.0), target="price */ in $",
                      target_offset=100.0, target_scale=25.0)  # fmt: skip
    net.save(tmp_path / "model.npz")
    exported(tmp_path)
    checks_itself(tmp_path)
    rows = np.random.default_rng(1).normal(size=(5, 2))
    np.testing.assert_allclose(predicted(tmp_path, rows, 1)[:, 0], autobp.answers(net, rows), rtol=1e-12)


def test_any_step_is_exported(tmp_path: Path) -> None:
    w = [Value(0.5), Value(-1.5), Value(2.0)]

    def loss(x: Any, i: Any) -> Any:
        return autobp.sum([(v * x[0]).tanh() for v in w]) * take(w, i) + x[1]

    step = autobp.compile(loss, w, example=([0.5, 1.0], 2.0))
    assert step.export_c(tmp_path / "model.c") == tmp_path / "model.c"
    assert "value" in checks_itself(tmp_path)
    autobp.compile(lambda x: [x[1] * w[0], x[0].exp()], w, example=([0.5, 1.0],)).export_c(
        tmp_path / "model.c"
    )
    assert checks_itself(tmp_path) == "value: 18 of 18 as they must be\n"
    autobp.compile(w[0] * w[1] + w[2].sin(), w).export_c(tmp_path / "model.c")
    checks_itself(tmp_path)
    autobp.compile([w[0] * w[1]], w).export_c(tmp_path / "model.c")
    checks_itself(tmp_path)
    autobp.compile(lambda x: x * x, [], example=(2.0,)).export_c(tmp_path / "model.c")
    checks_itself(tmp_path)


def test_the_parameters_are_those_of_now(tmp_path: Path) -> None:
    w = Value(0.5)
    step = autobp.compile(lambda x: (w * x - 1.0) ** 2, [w], example=(2.0,))
    step.write_back([3.25])
    step.export_c(tmp_path / "model.c")
    assert "parameters[1] = {3.25}" in (tmp_path / "model.c").read_text()
    assert re.search(r"cost_expected\[2\] = \{30\.25, 22\.0\}", (tmp_path / "model.c").read_text())
    checks_itself(tmp_path)


def test_a_sample_where_nothing_is_finite(tmp_path: Path) -> None:
    w = Value(2.0)
    with autobp.engine.ieee():
        step = autobp.compile(lambda x: (w * x).log() + w, [w], example=(0.0,))
    step.export_c(tmp_path / "model.c")
    checks_itself(tmp_path)


def test_what_is_refused(tmp_path: Path, capsys: Any) -> None:
    w, v = Value(0.5), Value(0.5)
    step = autobp.compile(lambda x: w * x, [w])
    with pytest.raises(ValueError, match="nothing is traced yet"):
        step.export_c(tmp_path / "model.c")
    step([1.0], [2.0])
    with pytest.raises(ValueError, match=r"must end in \.c; got .*model\.cc"):
        step.export_c(tmp_path / "model.cc")
    outputs = autobp.compile(lambda x: [w * x], [w], example=(1.0,))
    with pytest.raises(ValueError, match="cannot be called 'double'"):
        step.export_c(tmp_path / "model.c", double=outputs)
    with pytest.raises(ValueError, match="the step of a cost"):
        step.export_c(tmp_path / "model.c", other=step)
    two = autobp.compile(lambda x: [w * x * v], [w, v], example=(1.0,))
    with pytest.raises(ValueError, match="other parameters"):
        step.export_c(tmp_path / "model.c", other=two)
    with pytest.raises(OSError, match="model"):
        step.export_c(tmp_path / "nowhere" / "model.c")
    assert not list(tmp_path.iterdir())
    network(tmp_path)
    assert main(["export", str(tmp_path / "model.npz"), "-o", str(tmp_path / "model.txt")]) == 2
    assert "must end in .c" in capsys.readouterr().err


# ------------------------------------------------------------------------------- the examples, by .ci/long


def digits(folder: Path) -> None:
    """The network of examples/digits.py, trained for a while, by the command."""
    from autobp import datasets

    data = datasets.load("digits")
    net = MLP(64, [32, 10], activation=["tanh", "linear"], init="xavier", seed=0)
    autobp.fit(net, data.X, data.Y, cost=data.cost, epochs=2, seed=0, progress=False)
    net.about = data.about()
    net.save(folder / "model.npz")
    exported(folder)


def gpt(folder: Path) -> None:
    """A document in examples/scalar_gpt.py."""
    found = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "scalar_gpt.py"))
    model = found["GPT"](seed=1)
    step = autobp.compile(model.loss, model.parameters(), example=(found["document"]("emma"),))
    step.export_c(folder / "model.c")


def moons(folder: Path) -> None:
    """README's network."""
    from autobp import datasets

    data = datasets.load("moons", samples=200, noise=0.1)
    net = MLP(2, [16, 1], activation=["tanh", "linear"], seed=0, init="xavier")
    autobp.fit(net, data.X, data.Y, cost=data.cost, epochs=20, lr=0.05, seed=0, progress=False)
    net.save(folder / "model.npz")
    exported(folder)


@pytest.mark.long
@pytest.mark.parametrize("example", [digits, gpt, moons])
@pytest.mark.parametrize("by", ["valgrind", "sanitizers"])
def test_examples_touch_no_memory_but_their_own(example: Any, by: str, tmp_path: Path) -> None:
    example(tmp_path)
    options = SANITIZED if by == "sanitizers" else ["-g", "-O1"]
    complaint = built(tmp_path, "cc", *STRICT, *options, "model.c")
    if "cannot find" in complaint or (by == "valgrind" and shutil.which("valgrind") is None):
        pytest.skip(f"no {by} here")
    assert not complaint
    command = [str(tmp_path / "a.out")]
    if by == "valgrind":
        command = ["valgrind", "--error-exitcode=9", "--quiet", *command]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr

"""Students' work judged: each kind of task, mistakes, hanging and crashing submissions, reports, resuming."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from test_page import in_browser, needs_browser

from autobp import check, matrix
from autobp.command import main
from autobp.grading import READY, Task, grade, limits, read_task, worker
from autobp.grading.process import Answers, apart, ask, protection
from autobp.grading.reports import grades_csv, page, table
from autobp.grading.tasks import as_toml
from autobp.testing import assert_backprop

BACKPROP = """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

F = {"tanh": np.tanh, "sigmoid": sigmoid}
SLOPE = {"tanh": lambda z: 1 - np.tanh(z) ** 2, "sigmoid": lambda z: sigmoid(z) * (1 - sigmoid(z))}

def backprop(W, b, X, Y, *, activations, cost, l2):
    m, z, a = len(X), [X], [X]
    for w, v, name in zip(W, b, activations):
        z.append(a[-1] @ w.T + v)
        a.append(F[name](z[-1]))
    delta = [(a[-1] - Y) * SLOPE[activations[-1]](z[-1])]
    for l in range(len(W) - 1, 0, -1):
        delta.insert(0, (delta[0] @ W[l]) * SLOPE[activations[l - 1]](z[l]))
    dW = [delta[l].T @ a[l] / m + l2 / m * W[l] for l in range(len(W))]
    return {"delta": delta, "dW": dW, "db": [d.mean(axis=0) for d in delta]}
"""

DELTA_LOOP = """
import numpy as np

def accumulate(Theta, X, Y, l2):
    m, L = len(X), len(Theta)
    Delta = [np.zeros_like(t) for t in Theta]
    for x, y in zip(X, Y):
        a = [np.append(1.0, x)]
        for l in range(L):
            s = 1 / (1 + np.exp(-Theta[l] @ a[l]))
            a.append(np.append(1.0, s) if l + 1 < L else s)
        delta = a[-1] - y
        for l in range(L - 1, -1, -1):
            Delta[l] += np.outer(delta, a[l])
            delta = (Theta[l].T @ delta * a[l] * (1 - a[l]))[1:]
    D = [d / m for d in Delta]
    for l in range(L):
        D[l][:, 1:] += l2 / m * Theta[l][:, 1:]
    return {**{f"Delta{l + 1}": Delta[l] for l in range(L)}, **{f"D{l + 1}": D[l] for l in range(L)}}
"""

SOFTMAX = """
import numpy as np

def softmax_cross_entropy(z, y):
    z = z - z.max(axis=1, keepdims=True)
    log_a = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -(y * log_a).sum(axis=1), np.exp(log_a) - y
"""

BATCH_NORM = """
import numpy as np

def batch_norm(x, gamma, beta, dout):
    mean, var = x.mean(axis=0), x.var(axis=0)
    n = (x - mean) / np.sqrt(var + 1e-5)
    dn = dout * gamma
    dx = (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / np.sqrt(var + 1e-5)
    return gamma * n + beta, dx, (dout * n).sum(axis=0), dout.sum(axis=0)
"""

RNN = """
import numpy as np

def rnn(Wx, Wh, b, Wy, X, Y):
    h, cost = [np.zeros(len(Wh))], 0.0
    for x in X:
        h.append(np.tanh(Wx @ x + Wh @ h[-1] + b))
    made = {name: np.zeros_like(w) for name, w in [("dWx", Wx), ("dWh", Wh), ("db", b), ("dWy", Wy)]}
    later = np.zeros(len(Wh))
    for t in range(len(X), 0, -1):
        error = Wy @ h[t] - Y[t - 1]
        cost += (error ** 2).sum() / 2
        made["dWy"] += np.outer(error, h[t])
        delta = (Wy.T @ error + later) * (1 - h[t] ** 2)
        made["dWx"] += np.outer(delta, X[t - 1])
        made["dWh"] += np.outer(delta, h[t - 1])
        made["db"] += delta
        later = Wh.T @ delta
    return {"cost": cost, **made}
"""

VALUE = """
import math

class Value:
    def __init__(self, data, parents=(), partials=()):
        self.data, self.grad, self.parents, self.partials = data, 0.0, parents, partials

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n):
        return Value(self.data ** n, (self,), (n * self.data ** (n - 1),))

    def exp(self):
        return Value(math.exp(self.data), (self,), (math.exp(self.data),))

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, (self,), (1 - t * t,))

    def __neg__(self): return self * -1.0
    def __sub__(self, other): return self + -1.0 * other
    def __rsub__(self, other): return -self + other
    def __radd__(self, other): return self + other
    def __rmul__(self, other): return self * other
    def __truediv__(self, other): return self * other ** -1.0
    def __rtruediv__(self, other): return other * self ** -1.0

    def backward(self):
        order, seen = [], set()
        def visit(v):
            if v not in seen:
                seen.add(v)
                for p in v.parents:
                    visit(p)
                order.append(v)
        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            for p, d in zip(v.parents, v.partials):
                p.grad += d * v.grad
"""

#: A call without arguments.
NOTHING = {"arguments": [], "named": {}}

RIGHT = {
    "backprop": BACKPROP, "delta_loop": DELTA_LOOP, "softmax": SOFTMAX, "batch_norm": BATCH_NORM,
    "rnn": RNN, "value": VALUE,
}  # fmt: skip


def submit(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def one(tmp_path, text, task):
    (result,) = grade(submit(tmp_path / "s", ada=text), task)
    return result


@pytest.mark.parametrize("task", READY)
def test_a_right_submission_has_all_points(tmp_path, task):
    result = one(tmp_path, RIGHT[task], task)
    assert result.status == "judged", result.told
    assert [item.quantity for item in result.items if item.verdict != "right"] == []
    assert result.score == result.maximum == 10
    assert result.causes == ()


MISTAKES = [
    ("backprop", "(a[-1] - Y)", "2 * (a[-1] - Y)", {"BP1"}, "not 2(a - y)"),
    ("backprop", "d.mean(axis=0)", "d.sum(axis=0)", {"BP3"}, "db is not divided by m"),
    ("backprop", "l2 / m * W", "l2 * W", {"BP4"}, "not λ times W"),
    ("backprop", "* SLOPE[activations[l - 1]](z[l])", "", {"BP2"}, "σ' is missing in BP2"),
    ("delta_loop", "Delta[l] +=", "Delta[l][:] =", {"Delta"}, "overwritten"),
    ("delta_loop", "delta = a[-1] - y", "delta = y - a[-1]", {"Delta"}, "other way round"),
    ("delta_loop", "l2 / m *", "l2 *", {"D"}, "λ/m Θ"),
    ("delta_loop", "D[l][:, 1:] += l2 / m * Theta[l][:, 1:]", "D[l] += l2 / m * Theta[l]", {"D"}, "column 0"),
    ("softmax", "np.exp(log_a) - y", "y - np.exp(log_a)", {"delta"}, "the other way round"),
    ("softmax", "z = z - z.max(axis=1, keepdims=True)", "pass", {"large"}, "subtract the largest z"),
    ("softmax", "(y * log_a)", "(y * np.log(np.exp(log_a) + 1e-300))", {"large"}, "log a is cut off"),
    ("softmax", "np.exp(log_a) - y", "-y * (1 - np.exp(log_a))", {"delta"}, "only its diagonal"),
    ("softmax", "(y * log_a)", "(y * np.log(np.exp(log_a)))", {"large"}, "log 0 is not finite"),
    ("batch_norm", "(dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0))", "dn", {"dx"}, "as constants"),
    ("batch_norm", "dout.sum(axis=0)", "dout.mean(axis=0)", {"dbeta"}, "divided by m, and should not"),
    ("batch_norm", "dn = dout * gamma", "dn = dout", {"dx"}, "dx lacks γ"),
    ("batch_norm", "x.var(axis=0)", "x.var(axis=0, ddof=1)", {"out", "dx", "dgamma"}, "divided by m - 1"),
    ("batch_norm", "(dout * n).sum(axis=0), dout.sum(axis=0)", "dout.sum(axis=0), (dout * n).sum(axis=0)",
     {"dgamma", "dbeta"}, "each other's place"),
    ("rnn", "later = Wh.T @ delta", "pass", {"dWx", "dWh", "db"}, "carried back through Wh"),
    ("value", "p.grad += d * v.grad", "p.grad = d * v.grad", {"reuse"}, "grad += …"),
    ("value", "1 - t * t", "1 - t", {"operations"}, ""),
    ("value", "self.grad = 1.0", "self.grad = 0.0", {"operations", "reuse"}, "begins with 1, the root's own"),
    ("backprop", '"delta": delta,', '"delta": [d / m for d in delta],', {"BP1"}, "δ is divided by m"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "right", "wrong", "equations", "cause"), MISTAKES)
def test_a_mistake_costs_its_equations_points_and_is_named(tmp_path, task, right, wrong, equations, cause):
    assert right in RIGHT[task]
    result = one(tmp_path, RIGHT[task].replace(right, wrong), task)
    assert result.status == "judged", result.told
    assert {name for name, (got, most) in result.points.items() if got < most} == equations
    if cause:
        assert any(cause in told for told in result.causes), result.causes
    assert all(any(item.hints) for item in result.items if item.verdict == "wrong")


@pytest.mark.parametrize("change", [{}, {"l2": 0.0}, {"samples": 1}])
@pytest.mark.parametrize("task", READY)
def test_nothing_is_named_in_what_is_right(tmp_path, task, change):
    """Without λ, or with one sample, some mistakes are none: D = λ Θ is λ/m Θ for λ = 0."""
    (tmp_path / "ada.py").write_text(RIGHT[task], encoding="utf-8")
    (result,) = grade(tmp_path, replace(READY[task], **change), out=tmp_path / "out", jobs=1)
    assert result.score == result.maximum
    assert result.causes == ()


def test_what_is_right_given_a_wrong_array_has_its_points(tmp_path):
    wrong = RIGHT["delta_loop"].replace("delta = a[-1] - y", "delta = y - a[-1]")
    result = one(tmp_path, wrong, "delta_loop")
    verdicts = {item.quantity: item.verdict for item in result.items}
    assert verdicts == {f"Delta{k}": "wrong" for k in (1, 2, 3)} | {f"D{k}": "follows" for k in (1, 2, 3)}
    assert "it is right for the Delta2 that it was given" in page(result, READY["delta_loop"])
    both = wrong.replace("l2 / m *", "l2 *")
    verdicts = {item.quantity: item.verdict for item in one(tmp_path, both, "delta_loop").items}
    assert set(verdicts.values()) == {"wrong"}


def test_what_is_wrong_at_small_z_is_no_mistake_at_large_z(tmp_path):
    """A cause at large z is one of what is right at small z: a logarithm to base 2 is wrong at both."""
    by_rows = RIGHT["softmax"].replace("axis=1, keepdims=True", "axis=0, keepdims=True")
    result = one(tmp_path, by_rows, "softmax")
    assert result.causes == ("softmax is taken over the rows, the wrong axis",)
    base_2 = RIGHT["softmax"].replace("(y * log_a)", "(y * log_a / np.log(2))")
    assert one(tmp_path, base_2, "softmax").causes == ()
    both = base_2.replace("z = z - z.max(axis=1, keepdims=True)", "pass")
    assert one(tmp_path, both, "softmax").causes == (
        "exp overflows, or is 0, for large z: subtract the largest z of the row first",
    )


@pytest.mark.parametrize(
    ("task", "right", "wrong", "quantity", "hints"),
    [
        ("delta_loop", "l2 / m *", "l2 *", "D2", ["λ/m Θ⁽ˡ⁾", "D has λ Θ, and it should be λ/m Θ"]),
        ("batch_norm", "dout.sum(axis=0)", "dout.mean(axis=0)", "dbeta", ["dβ = Σ dout", "divided by m"]),
        ("rnn", "later = Wh.T @ delta", "pass", "dWh", ["Whᵀ δₜ₊₁", "not carried back through Wh"]),
        ("softmax", "np.exp(log_a) - y", "y - np.exp(log_a)", "delta", ["∂C/∂z = a Σ y - y", "y - softmax"]),
        ("value", "1 - t * t", "1 - t", "r = a.tanh()", ["the gradient of a", "and should be 0.63"]),
    ],
)
def test_each_wrong_quantity_has_its_equation_and_its_cause(tmp_path, task, right, wrong, quantity, hints):
    result = one(tmp_path, RIGHT[task].replace(right, wrong), task)
    (item,) = [item for item in result.items if item.quantity == quantity and item.verdict == "wrong"]
    for hint, words in zip(item.hints[1:], hints, strict=True):
        assert words in hint
        assert escape(hint) in page(result, READY[task])
    if task == "softmax":  # what is wrong in the same way for large z is not blamed once more
        assert [item.verdict for item in result.items] == ["right", "wrong", "follows"]


def test_without_delta_the_gradients_tell_of_the_errors(tmp_path):
    text = BACKPROP.replace('{"delta": delta, "dW"', '{"dW"')
    assert one(tmp_path, text, "backprop").score == 10
    result = one(tmp_path, text.replace("* SLOPE[activations[l - 1]](z[l])", ""), "backprop")
    assert result.points["BP1"] == (2, 2)
    assert result.points["BP2"] == (0, 3)


BROKEN = {
    "hangs": "while True: pass",
    "sleeps": "import time\ndef backprop(*a, **k): time.sleep(60)",
    "dies": "import os\ndef backprop(*a, **k): os._exit(3)",
    "kills": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "eats": "def backprop(*a, **k): return bytearray(10**12)",
    "syntax": "def backprop(:",
    "nothing": "x = 1",
    "raises": "def backprop(*a, **k): raise ValueError('no idea')",
    "none": "def backprop(*a, **k): return None",
    "exits": "import sys\nsys.exit(0)",
    "dict": "def backprop(*a, **k): return {}",
    "text": "def backprop(W, b, *a, **k): return [['x']], [['y']]",
    "prints": "print('<script>' * 10**6)",
    "writes": "def backprop(*a, **k):\n    open('answers.jsonl', 'w').write('[1]\\n{}\\n')\n    return 1",
}  # fmt: skip
STATUS = {
    "hangs": "too slow", "sleeps": "too slow", "dies": "crashed", "kills": "crashed", "eats": "raised",
    "syntax": "not loaded", "nothing": "not loaded", "raises": "raised", "none": "wrong return",
    "exits": "not loaded", "dict": "wrong return", "text": "wrong return", "prints": "not loaded",
}  # fmt: skip


def test_what_hangs_or_crashes_harms_nobody(tmp_path):
    folder = submit(tmp_path / "s", **BROKEN, ada=BACKPROP, zoe=BACKPROP)
    results = {r.student: r for r in grade(folder, replace_seconds(READY["backprop"], 2), jobs=4)}
    assert results["ada"].score == results["zoe"].score == 10
    for name, status in STATUS.items():
        # the first process of a namespace outlives its own signals
        expected = {status, "not loaded"} if name == "kills" else {status}
        assert results[name].status in expected, (name, results[name].told)
        assert results[name].score == 0
        assert results[name].told
    assert results["writes"].score == 0
    assert "no idea" in results["raises"].told
    assert "defines no backprop" in results["nothing"].told
    assert "no return at its end" in results["none"].told
    shown = page(results["prints"], READY["backprop"])
    assert "<script>" not in shown
    assert len(shown) < 50_000


def replace_seconds(task, seconds):
    return Task(**{**task.__dict__, "seconds": seconds})


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_processes_that_a_submission_starts_end_with_it(tmp_path):
    mark = f"import time; time.sleep({60 + np.random.default_rng().integers(10**6) / 1e6})"
    start = f"subprocess.Popen([sys.executable, '-c', {mark!r}])"
    text = f"import subprocess, sys, time\n{start}\ntime.sleep(60)"
    (result,) = grade(submit(tmp_path / "s", ada=text), replace_seconds(READY["backprop"], 1))
    assert result.status == "too slow"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    assert mark not in listed


def test_a_submission_is_asked_in_a_fresh_folder_and_sees_no_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_FOR_TEST", "1")
    text = (
        "import os, sys\n"
        "def f(): return {'files': sorted(os.listdir('.')), 'secret': os.environ.get('SECRET_FOR_TEST'),"
        " 'autobp': any(name == 'autobp' for name in sys.modules)}"
    )
    file = submit(tmp_path / "s", ada=text) / "ada.py"
    (line,) = ask(file, "call", "f", [{"arguments": [], "named": {}}]).lines
    found = line["returned"]["dict"]
    assert set(found["files"]["list"]) == {"answers.jsonl", "printed.txt", "request.json", "submission.py"}
    assert found["secret"] is None
    assert found["autobp"] is False


def test_what_it_is_kept_from_is_said():
    assert "no sandbox" in protection()
    assert ("no network" in protection()) == bool(apart())
    assert ("can read and change files" in protection()) == (worker.fences() == 0)


@pytest.mark.skipif(not worker.fences(), reason="no Landlock here")
@pytest.mark.parametrize(
    "act",
    ["open({path!r}).read()", "open({path!r}, 'w')", "os.remove({path!r})", "os.rename({path!r}, 'mine')",
     "os.truncate({path!r}, 0)", "os.listdir({folder!r})", "os.mkdir({folder!r} + '/new')",
     "os.symlink('/', {folder!r} + '/link')",
     "subprocess.run(['cat', {path!r}], check=True, stderr=subprocess.DEVNULL)"],
)  # fmt: skip
def test_others_files_are_neither_read_nor_changed(tmp_path, act):
    other = submit(tmp_path / "s", bob=BACKPROP) / "bob.py"
    text = f"import os, subprocess\ndef f(): {act.format(path=str(other), folder=str(tmp_path))}"
    (line,) = ask(submit(tmp_path / "t", ada=text) / "ada.py", "call", "f", [NOTHING]).lines
    assert re.match("PermissionError|OSError|CalledProcessError", line["raised"]), line
    assert other.read_text() == BACKPROP
    assert {path.name for path in tmp_path.iterdir()} == {"s", "t"}


def test_its_own_folder_is_its_own(tmp_path):
    text = (
        "import os, tempfile, numpy.polynomial\n"
        "def f():\n"
        "    with tempfile.NamedTemporaryFile('w') as file: file.write('x')\n"
        "    open('a', 'w').write('1'); os.mkdir('b'); os.rename('a', 'b/c'); return open('b/c').read()"
    )
    (line,) = ask(submit(tmp_path, ada=text) / "ada.py", "call", "f", [NOTHING]).lines
    assert line["returned"] == "1"


@pytest.mark.parametrize(
    "way", ["from autobp import Value", "import autobp.engine\nValue = autobp.engine.Value"]
)
def test_it_cannot_hand_in_what_it_is_compared_with(tmp_path, way):
    result = one(tmp_path, way, "value")
    assert (result.status, result.score) == ("not loaded", 0)
    assert "a submission has to do without autobp" in result.told
    allowed = Task(**{**READY["value"].__dict__, "refused": ()})
    assert one(tmp_path, "import json.decoder\n" + VALUE, allowed).score == 10
    refused = Task(**{**READY["value"].__dict__, "refused": ("json",)})
    for loaded in ("json", "json.tool"):  # of which the worker has the first itself
        assert "do without json" in one(tmp_path, f"import {loaded}\n" + VALUE, refused).told


def test_nor_what_lies_beside_the_worker(tmp_path):
    assert "No module named 'witnesses'" in one(tmp_path, "import witnesses", "rnn").told


ODD_ANSWERS = {
    "deep": "'[' * 200_000", "deep_dict": "'{\"returned\":' * 100_000",
    "half": "'{\"raised\": \"\\\\ud800\"}'",
    "number": "'{\"returned\": 5}'", "words": "'{\"raised\": 7}'", "list": "'[1]'", "nothing": "''",
    "wide": "'{\"returned\": {\"array\": 1, \"dtype\": \"V2000000000\"}, \"after\": []}'",
    "unknown": "'{\"returned\": {\"array\": 1, \"dtype\": \"no\"}, \"after\": []}'",
    "huge": "'{\"returned\": {\"array\": 1' + '0' * 5000 + ', \"dtype\": \"int8\"}, \"after\": []}'",
}  # fmt: skip


@pytest.mark.parametrize("task", ["backprop", "softmax", "value"])
@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_answers_that_it_writes_itself_earn_nothing_and_harm_nobody(tmp_path, task, answer):
    name = READY[task].name
    write = f"open('answers.jsonl', 'w').write(({ODD_ANSWERS[answer]} + '\\n') * 40)"
    text = f"import os\n{write}\nos._exit(0)"
    folder = submit(tmp_path / "s", ada=text, bob=f"def {name}(*_, **__): raise ValueError('\\ud800')")
    results = grade(folder, task, out=tmp_path / "out")
    assert [result.score for result in results] == [0, 0]
    assert (tmp_path / "out" / "ada.html").exists()
    table(results).encode()


def test_deep_answers_are_not_read_however_deep_recursion_may_go(tmp_path):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # as some libraries do: reading would end this process
    try:
        text = "import os\nopen('answers.jsonl', 'w').write('[' * 200_000)\nos._exit(0)"
        (result,) = grade(submit(tmp_path / "s", ada=text), "value", out=tmp_path / "out")
    finally:
        sys.setrecursionlimit(before)
    assert (result.status, result.score) == ("crashed", 0)


def test_odd_files_harm_nobody(tmp_path):
    folder = submit(tmp_path / "s", **{"ada": VALUE, "<b>x": "", "a,b": "", "._ada": "", "x\x1b[2J": "1/0"})
    (folder / "folder.py").mkdir()
    (folder / "latin.py").write_bytes(b"# \xe9\xff")
    (folder / "nul.py").write_bytes(b"\0\1")
    (folder / "gone.py").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.py")
    results = {result.student: result for result in grade(folder, "value", out=tmp_path / "out")}
    assert set(results) == {"ada", "<b>x", "a,b", "x\x1b[2J", "latin", "nul", "gone", "pipe"}
    assert {name for name, result in results.items() if result.score} == {"ada"}
    assert results["gone"].told == results["pipe"].told == "the file cannot be read: it is no file"
    assert "<b>x" not in (tmp_path / "out" / "<b>x.html").read_text()
    assert "\x1b" not in table(list(results.values()))
    rows = list(csv.reader(io.StringIO(grades_csv(list(results.values())))))
    assert {len(row) for row in rows} == {5}


# -------------------------------------------------------------------------------------- a folder a student


def hand_in(folder, **files):
    """Folders as course systems have them: of each student's name, with files by their paths."""
    for student, texts in files.items():
        for name, text in texts.items():
            path = folder / f"{student}_assignsubmission_file" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (folder / f"{student}_assignsubmission_file").mkdir(parents=True, exist_ok=True)
    return folder


def test_a_folder_a_student_is_read(tmp_path):
    folder = hand_in(
        tmp_path / "s", Ada_12={"my value.py": VALUE, "notes.txt": ""},
        Bob_3={"task 1/.git/a.py": "", "task 1/v.py": VALUE}, Eve_4={"a.py": VALUE, "b/a.py": VALUE},
        Max_5={"v.ipynb": "{}"}, Zoe_6={}, __MACOSX={"._v.py": ""},
    )  # fmt: skip
    (folder / "__MACOSX").mkdir()
    (folder / ".git").mkdir()
    out = folder / "grades"
    for _ in range(2):  # the grades lie among the submissions the second time
        results = {result.student.partition("_a")[0]: result for result in grade(folder, "value", out=out)}
        assert list(results) == ["Ada_12", "Bob_3", "Eve_4", "Max_5", "Zoe_6", "__MACOSX"]
        assert [result.score for result in results.values()] == [10, 10, 0, 0, 0, 0]
    assert results["Eve_4"].told == "the folder has 2 Python files, a.py, a.py: hand in one"
    assert results["Max_5"].told == "the folder has no Python file, but v.ipynb"
    assert results["Zoe_6"].told == "the folder has no Python file"
    assert {result.status for result in list(results.values())[2:]} == {"not loaded"}
    assert (out / "Zoe_6_assignsubmission_file.html").exists()
    (folder / "Ada_12_assignsubmission_file" / "my value.py").write_text("")
    assert grade(folder, "value", out=out)[0].score == 0


def test_beside_files_a_folder_without_one_is_nobodys(tmp_path):
    folder = hand_in(submit(tmp_path, ada=VALUE), Bob={"v.py": VALUE}, data={"x.csv": ""})
    assert [result.student for result in grade(folder, "value")] == ["Bob_assignsubmission_file", "ada"]
    (folder / "ada").mkdir()
    (folder / "ada" / "v.py").write_text(VALUE)
    with pytest.raises(ValueError, match=r"ada\.py and the folder ada .*: rename one"):
        grade(folder, "value")
    with pytest.raises(ValueError, match=r"no \.py files in .*, and no folders with one"):
        grade(folder / "data_assignsubmission_file", "value")


def test_a_link_out_of_a_students_folder_is_not_followed(tmp_path):
    folder = hand_in(tmp_path / "s", Ada={}, Bob={"v.py": VALUE}, Eve={})
    ada, bob, eve = (folder / f"{name}_assignsubmission_file" for name in ("Ada", "Bob", "Eve"))
    (ada / "v.py").symlink_to(bob / "v.py")
    (ada / "more").symlink_to(bob)
    (eve / "v.py").symlink_to("v.py")  # to itself
    results = grade(folder, "value")
    assert [result.score for result in results] == [0, 10, 0]
    assert results[0].told == "the folder has no Python file"
    assert results[2].told in ("the file cannot be read: it is no file", "the folder has no Python file")


# -------------------------------------------------------------------------------- limits that nobody can keep


@pytest.mark.skipif(sys.platform != "linux", reason="no limits of memory")
@pytest.mark.parametrize("megabytes", [30, 100])
@pytest.mark.parametrize("task", ["backprop", "value"])
def test_too_few_megabytes_are_the_tasks_fault(tmp_path, task, megabytes):
    few = Task(**{**READY[task].__dict__, "megabytes": megabytes})
    with pytest.raises(ValueError, match=f"megabytes = {megabytes} is too little here") as told:
        grade(submit(tmp_path / "s", ada=RIGHT[task]), few, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    enough = int(re.search(r"takes more; (\d+) are enough", str(told.value))[1])
    assert one(tmp_path, RIGHT[task], Task(**{**few.__dict__, "megabytes": enough})).score == 10


@pytest.mark.skipif(sys.platform != "linux", reason="no limits of memory")
def test_megabytes_are_tried_on_the_tasks_own_arrays(tmp_path):
    def afforded(megabytes, **sizes):
        try:
            limits.prove_limits(Task(**{**READY["delta_loop"].__dict__, "megabytes": megabytes, **sizes}))
        except ValueError:
            return False
        return True

    least = next(megabytes for megabytes in range(100, 1000, 25) if afforded(megabytes))
    assert not afforded(least, sizes=(500, 500, 1))
    assert afforded(least + 150, sizes=(500, 500, 1))


def test_limits_may_be_larger_than_the_system_counts(tmp_path):
    assert one(tmp_path, RNN, Task(**{**READY["rnn"].__dict__, "megabytes": 10**30})).score == 10


def test_too_few_seconds_and_a_machine_that_asks_nobody_are_told(tmp_path, monkeypatch):
    folder = submit(tmp_path / "s", ada=VALUE)
    ended = {"too slow": "seconds = 7 is too little", "crashed": "nobody could answer .* crashed: why seen"}
    for status, words in ended.items():
        monkeypatch.setattr(limits, "ask", lambda *_, s=status, **__: Answers(s, "why", (), "seen"))
        with pytest.raises(ValueError, match=words):
            grade(folder, replace_seconds(READY["value"], 7))
    for raised, words in {"MemoryError: no": "MemoryError: no", "TypeError: no": ""}.items():
        answers = Answers("ok", "", ({"returned": 1}, {"raised": raised}), "")
        monkeypatch.setattr(limits, "ask", lambda *_, answers=answers, **__: answers)
        with pytest.raises(ValueError, match=words) if words else contextlib.nullcontext():
            grade(folder, replace_seconds(READY["value"], 7))
    monkeypatch.undo()
    (result,) = grade(folder, replace_seconds(READY["value"], 7))
    assert result.score == 10


@pytest.mark.parametrize("array", ["np.ones(3, complex)", "np.array([1, None])", "np.array(['a'])"])
def test_an_array_of_no_real_numbers_is_a_wrong_return(tmp_path, array):
    text = f"import numpy as np\ndef backprop(*a, **k): return [{array}] * 3, [{array}] * 3"
    result = one(tmp_path, text, "backprop")
    assert result.status == "wrong return", result.told


@pytest.mark.skipif(not apart(), reason="no namespaces here")
def test_there_is_no_network(tmp_path):
    text = (
        "import socket\n"
        "def f():\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    s.connect(('192.0.2.1', 9))"
    )
    (line,) = ask(
        submit(tmp_path / "s", a=text) / "a.py", "call", "f", [{"arguments": [], "named": {}}]
    ).lines
    assert "unreachable" in line["raised"]


def test_an_argument_that_is_changed_costs_half(tmp_path):
    result = one(
        tmp_path,
        BACKPROP.replace("    m, z, a =", "    X += 0.0; W[0][0, 0] += 1.0\n    m, z, a ="),
        "backprop",
    )
    assert any("changes W" in cause for cause in result.causes)
    result = one(
        tmp_path, BACKPROP.replace("    return {", "    W[0][0, 0] += 1.0\n    return {"), "backprop"
    )
    assert result.causes == ("backprop changes W, which it was given",)
    assert result.score == 5


# -------------------------------------------------------------------------------------- reports and resuming


def test_it_goes_on_where_it_stopped(tmp_path):
    folder = submit(tmp_path / "s", ada=BACKPROP, bob=BACKPROP.replace("(a[-1] - Y)", "2 * (a[-1] - Y)"))
    out = tmp_path / "out"
    first = grade(folder, "backprop", out=out)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert set(stamps) == {"ada.html", "ada.json", "bob.html", "bob.json"}
    assert grade(folder, "backprop", out=out) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == stamps
    (out / "ada.json").write_text("{ half a file")
    submit(folder, bob=BACKPROP)
    again = grade(folder, "backprop", out=out)
    assert [result.score for result in again] == [10, 10]
    other = Task(**{**READY["backprop"].__dict__, "points": {"BP1": 1}})
    assert [result.maximum for result in grade(folder, other, out=out)] == [1, 1]


def test_the_table_the_csv_and_the_page(tmp_path):
    wrong = BACKPROP.replace("(a[-1] - Y)", "2 * (a[-1] - Y)")
    folder = submit(tmp_path / "s", **{"=1+1": BACKPROP, "bob": wrong})
    results = grade(folder, "backprop")
    shown = table(results)
    assert "8/10" in shown
    assert "not 2(a - y)" in shown
    rows = list(csv.reader(io.StringIO(grades_csv(results))))
    assert rows == [
        ["student", "grade", "maximum", "percent", "status"],
        ["'=1+1", "10", "10", "100.0", "judged"],
        ["bob", "8", "10", "80.0", "judged"],
    ]
    made = page(results[1], READY["backprop"])
    assert made.count("<details>") >= 3  # hints at three levels, one in another
    assert "δ⁴ = ∂C/∂a⁴ ⊙ σ&#x27;(z⁴)" in made  # in the document's notation
    assert "delta3 is δ⁴, and δ⁴" in made  # where layers count from the input's
    assert "wrong, but right given what came before it" in made
    for quantity, given in [("delta2", "delta3"), ("delta1", "delta2"), ("db3", "delta3"), ("dW1", "delta1")]:
        (row,) = re.findall(rf"<td>{quantity}</td>.*?</tr>", made)
        assert f"nothing to mend here: it is right for the {given} that it was given" in row
    assert json.loads(json.dumps(results[1].as_json()))["score"] == 8


@needs_browser
@pytest.mark.parametrize("width", [320, 1280])
def test_a_students_page_is_no_wider_than_a_phone(width, tmp_path):
    wrong = BACKPROP.replace("(a[-1] - Y)", "2 * (a[-1] - Y)") + "print('x' * 300)"
    (result,) = grade(submit(tmp_path / "s", **{"Ada_" * 20: wrong}), "backprop")
    made = page(result, READY["backprop"]).replace("<details>", "<details open>")
    frame = f'<iframe srcdoc="{escape(made)}" style="border: 0; width: {width}px; height: 600px"></iframe>'
    (tmp_path / "framed.html").write_text(f"<!doctype html><body>{frame}</body>", encoding="utf-8")
    script = """const frame = document.querySelector("iframe");
        const seen = () => frame.contentDocument?.querySelector(".items");
        while (!seen()) await new Promise((done) => setTimeout(done, 20));
        const root = frame.contentDocument.documentElement;
        return [root.scrollWidth - root.clientWidth, seen().offsetWidth > 0];"""
    assert in_browser(tmp_path / "framed.html", script, tmp_path) == [0, True]


def test_the_command(tmp_path, capsys):
    folder = submit(tmp_path / "s", ada=BACKPROP)
    assert main(["grade", str(folder), "--task", "backprop", "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "no sandbox" in shown
    assert "10/10" in shown
    assert (tmp_path / "out" / "grades.csv").read_text().splitlines()[1] == "ada,10,10,100.0,judged"
    assert main(["grade", "--show", "rnn"]) == 0
    assert 'kind = "rnn"' in capsys.readouterr().out
    assert main(["grade", str(folder), "--task", "bakprop"]) == 2
    assert "did you mean 'backprop'" in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "none"), "--task", "backprop"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["grade", "--show", "batchnorm"])
    assert "did you mean 'batch_norm'" in capsys.readouterr().err


@pytest.mark.parametrize("name", READY)
def test_a_ready_made_task_is_the_file_that_is_shown(tmp_path, name):
    path = tmp_path / "task.toml"
    path.write_text(as_toml(READY[name]), encoding="utf-8")
    assert read_task(path) == READY[name]


def test_a_task_in_toml_without_its_reader_is_told(tmp_path, monkeypatch):
    path = tmp_path / "task.toml"
    path.write_text(as_toml(READY["rnn"]), encoding="utf-8")
    for reader in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, reader, None)
    with pytest.raises(ValueError, match=r"task\.toml: toml.* is missing, .* write the task as \.json"):
        read_task(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kidn": "rnn"}, "unknown field 'kidn'; did you mean 'kind'?"),
        ({"seconds": 0}, "seconds must be a number of at least 1; got 0"),
        ({"megabytes": True}, "megabytes must be a number of at least 1; got True"),
        ({"samples": 0}, "samples must be a number of at least 1"),
        ({"l2": float("nan")}, "l2 must be a number of at least 0; got nan"),
        ({"name": 3}, "task.json: name must be a text; got 3"),
        ({"name": "my function"}, "name must be one that a submission can define; got 'my function'"),
        ({"name": "lambda"}, "name must be one that a submission can define; got 'lambda'"),
        ({"sizes": ["a", 1]}, "sizes must be a list of whole numbers"),
        ({"activations": [1, 2, 3]}, "activations must be a list of names"),
        ({"refused": "autobp"}, "refused must be a list of names; got 'autobp'"),
        ({"points": {"BP1": True}}, "points must be numbers"),
        ({"l2": "much"}, "l2 must be a number"),
        ({"points": {"BP1": "two"}}, "points must be numbers"),
        ({"title": None}, "the field title is missing"),
    ],
)
def test_a_task_that_is_none_is_told(tmp_path, change, words):
    made = {"title": "t", "kind": "backprop", "name": "f", "points": {"BP1": 1}, **change}
    path = tmp_path / "task.json"
    path.write_text(json.dumps({key: value for key, value in made.items() if value is not None}))
    with pytest.raises(ValueError, match=re.escape(words)):
        read_task(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cost": "quadr"}, "unknown cost 'quadr'; did you mean 'quadratic'?"),
        ({"notation": "Nielsen"}, "unknown notation 'Nielsen'"),
        ({"kind": "rnnn"}, "unknown kind of task 'rnnn'; did you mean 'rnn'?"),
        ({"refused": ("numpy",)}, "refused has numpy, whose arrays are the arguments: leave it out"),
        ({"points": {"BP9": 1}}, "'BP9'; did you mean 'BP4'? Known are BP1, BP2, BP3, BP4"),
        ({"points": {}}, "the task gives no points"),
        ({"activations": ("tanhh",) * 3}, "unknown activation 'tanhh'; did you mean 'tanh'?"),
        ({"sizes": (4, 5)}, "activations"),
        ({"sizes": (4, 0, 3, 3)}, "at least one neuron"),
        ({"cost": "softmax_cross_entropy", "activations": ("tanh", "tanh", "softmax")}, "softmax"),
    ],
)
def test_a_tasks_fault_is_told_and_laid_to_no_student(tmp_path, change, words):
    folder = submit(tmp_path / "s", ada=BACKPROP)
    with pytest.raises(ValueError, match=re.escape(words)):
        grade(folder, Task(**{**READY["backprop"].__dict__, **change}), out=tmp_path / "out")


@pytest.mark.long
def test_a_hundred_submissions_take_a_few_minutes(tmp_path):
    wrong = BACKPROP.replace("(a[-1] - Y)", "2 * (a[-1] - Y)")
    texts = {f"s{i:03}": [BACKPROP, wrong, BROKEN["hangs"], BROKEN["dies"]][i % 4] for i in range(100)}
    started = time.perf_counter()
    results = grade(submit(tmp_path / "s", **texts), replace_seconds(READY["backprop"], 5))
    print(f"{time.perf_counter() - started:.0f} s for {len(results)}")
    assert [result.score for result in results] == [10, 8, 0, 0] * 25


# ------------------------------------------------------------------------------------------------ for pytest


def test_assert_backprop_passes_and_fails():
    assert_backprop(matrix.backprop)

    def wrong(*arguments, **how):
        right = matrix.backprop(*arguments, **how)
        return [2 * w for w in right.dW], right.db

    with pytest.raises(AssertionError, match="The first is BP4"):
        assert_backprop(wrong)
    assert_backprop(matrix.backprop, activations=("relu", "linear"), cost="softmax_cross_entropy")
    assert check.compare.__doc__

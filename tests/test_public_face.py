"""What ``autobp`` shows: star import, dir, lazy names, and types as a checker of users' code sees them."""

import ast
import builtins
import json
import re
import subprocess
import symtable
import sys
from pathlib import Path

import pytest

import autobp
from autobp import functions

ROOT = Path(__file__).parents[1]
LEFT_OUT = {"abs", "compile", "round", "sum"}
INIT = Path(autobp.__file__)


def test_a_star_import_hides_no_builtin_and_not_compile():
    namespace = {}
    exec("from autobp import *", namespace)
    brought = set(namespace) - {"__builtins__"}
    assert not brought & set(dir(builtins))
    assert brought == set(autobp.__all__)
    assert len(autobp.__all__) == len(brought)


def test_a_star_import_brings_all_but_what_it_says_it_leaves_out():
    public = {name for name in vars(autobp) | autobp._LAZY if not name.startswith("_")}
    modules = {name for name in public if f"autobp.{name}" in sys.modules}
    helpers = {"Any", "BUILD", "TYPE_CHECKING", "VERSION", "import_module"}
    assert public - modules - set(autobp.__all__) - helpers == LEFT_OUT
    assert set(functions.__all__) - set(autobp.__all__) == LEFT_OUT - {"compile"}
    assert set(dir(builtins)) >= LEFT_OUT
    for name in LEFT_OUT:
        assert name in dir(autobp)
        assert f"autobp.{name}" in autobp.__doc__


def test_code_after_a_star_import_works():
    namespace = {}
    code = """
from autobp import *
x = Value(2.0)
y = sum([x, exp(x)]) + abs(-x)          # Python's own sum and abs
net = MLP(2, [3, 1], seed=0)
history = fit(net, [[0.0, 1.0], [1.0, 0.0]], [[1.0], [0.0]], cost=costs.quadratic, epochs=1, progress=False)
report = check.compare(net, [[0.0, 1.0]], [[1.0]])
slope = grad(lambda x: x**2)(3.0)
"""
    exec(code, namespace)
    assert namespace["report"]
    assert namespace["slope"] == 6.0
    assert len(namespace["history"].cost) == 1


def test_every_name_in_dir_is_there():
    listed = dir(autobp)
    assert {*autobp.__all__, *LEFT_OUT, "__version__", "__compiled__"} <= set(listed)
    assert not {"Any", "TYPE_CHECKING", "import_module"} & set(listed)
    for name in listed:
        getattr(autobp, name)


def test_the_types_of_lazy_names_are_told_to_type_checkers():
    tree = ast.parse(INIT.read_text(encoding="utf-8"))
    (block,) = [
        n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"
    ]
    told = {
        alias.asname: f"{node.module}.{alias.name}" if node.module == "autobp" else node.module
        for node in block.body
        for alias in node.names
    }
    assert told == autobp._LAZY


def test_a_name_that_is_nowhere_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'autobp' has no attribute 'backprop'"):
        autobp.backprop  # noqa: B018
    assert not hasattr(autobp, "lookup"), "what functions.py imports is not autobp's"


def test_names_that_functions_gains_are_autobps_too(monkeypatch):
    def late(name):
        if name == "mish":
            return "the function"
        raise AttributeError(name)

    monkeypatch.setattr(functions, "__getattr__", late, raising=False)
    assert autobp.mish == "the function"
    with pytest.raises(AttributeError, match="module 'autobp' has no attribute 'mush'"):
        autobp.mush  # noqa: B018


# -- types ------------------------------------------------------------------------------------------------

TYPED = """
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import autobp
from autobp import *
from autobp.check import Report
from autobp.compiler import Step
from autobp.costs import Cost
from autobp.datasets import Dataset
from autobp.explanation import Explanation

Array = npt.NDArray[np.float64]
net = MLP(2, [3, 1], activation="sigmoid", seed=0)
data = assert_type(datasets.load("moons"), Dataset)
history = assert_type(fit(net, data.X, data.Y, cost=costs.quadratic, epochs=1), History)
assert_type(history.cost, list[float])
assert_type(accuracy(net, data.X, data.Y), float)
assert_type(predict(net, data.X), Array)
report = assert_type(check.compare(net, data.X, data.Y, cost="quadratic"), Report)
assert_type(report.ok, bool)
assert_type(costs.binary_cross_entropy, Cost)
loss = assert_type(costs.binary_cross_entropy([Value(0.5)], [1.0]), Value)
assert_type(exp(loss), Value)
assert_type(autobp.sum([loss, loss]), Value)
assert_type(explain(loss, wrt="W1[1,1]"), Explanation)
assert_type(explain(loss, wrt=net.parameters()[0]).text, str)


def cost(x: Any, y: Any) -> Value:
    return costs.quadratic(net(x), y)


step: Step = autobp.compile(cost, net.parameters())
value, gradient = autobp.compile(cost, net.parameters())(step.theta, data.X, data.Y)
assert_type(value, float)
downhill: Array = -gradient
assert_type(net(data.X[0]) * 3, Value)
source: str = step.source
picture: bytes = draw(net).pipe(format="svg")
optimizer = optim.Adam(net.parameters(), lr=0.1)
assert_type(fit(net, data.X, data.Y, optimizer=optimizer), History)
version: str = autobp.__version__
assert_type(bool(autobp.__compiled__), bool)
assert_type(autobp.__compiled__.reason, str)


@costs.define(targets=costs.PROBABILITIES)
def cubic(a: Value, y: Value) -> Value:
    return costs.hinge(a, y)


assert_type(cubic, Cost)
fit(net, data.X, data.Y, cost=cubic)
fit(net, data.X, data.Y, cost=lambda a, y: costs.hinge(a, y))
"""

WRONG = """
from autobp import *

fit(MLP(2, [1]), [[1.0]], [[1.0]], epochs="3")
fitt
costs.quadratic(1.0)
optim.Adam(3)
"""


def mypy_errors(folder, code, *options):
    """The lines of the errors that mypy finds in users' code."""
    pytest.importorskip("mypy")
    if INIT.parents[1] != ROOT:
        pytest.skip("the types are checked on the source")
    file = folder / "user_code.py"
    file.write_text(code, encoding="utf-8")
    cache = f"--cache-dir={ROOT / '.mypy_cache' / 'users'}"
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", cache, "--ignore-missing-imports",
         "--follow-imports=silent", *options, str(file)],
        capture_output=True, text=True, cwd=folder, env={"MYPYPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stdout + found.stderr
    print(found.stdout)
    return [int(line) for line in re.findall(r"^user_code\.py:(\d+): error", found.stdout, re.MULTILINE)]


def readme_programs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_class_of_compiled_functions_is_at_hand():
    from autobp.compiler import Step

    assert isinstance(autobp.compile(lambda x: x, []), Step)


def test_mypy_strict_knows_the_public_names(tmp_path):
    assert mypy_errors(tmp_path, TYPED, "--strict") == []


def test_mypy_finds_what_is_wrong_in_users_code(tmp_path):
    assert sorted(set(mypy_errors(tmp_path, WRONG, "--strict"))) == [4, 5, 6, 7]


def test_mypy_finds_nothing_wrong_in_readme(tmp_path):
    code = "\n".join(readme_programs())
    lenient = ["--allow-redefinition", "--disable-error-code=no-redef"]  # many programs in one file
    assert mypy_errors(tmp_path, code, "--check-untyped-defs", *lenient) == []


def readme_modules():
    """README's programs as modules, each of which imports the names that it takes from those before it."""
    defined, modules = {}, {}
    for i, code in enumerate(readme_programs()):
        symbols = symtable.symtable(code, "README", "exec").get_symbols()
        stored = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()}
        names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
        taken = names & set(defined) - stored
        lines = [f"from {defined[name]} import {name}" for name in sorted(taken)]
        modules[f"readme_{i}"] = "\n".join([*lines, code])
        defined |= dict.fromkeys(stored, f"readme_{i}")
    return modules


def test_pyright_agrees(tmp_path):
    pytest.importorskip("pyright")
    if INIT.parents[1] != ROOT:
        pytest.skip("the types are checked on the source")
    modules = {"user_code": TYPED, **readme_modules()}
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    files = [f"{name}.py" for name in modules]
    settings = {"include": files, "extraPaths": [str(ROOT)], "reportMissingImports": "error"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    found = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    told = json.loads(found.stdout)
    assert told["summary"]["filesAnalyzed"] == len(files)
    errors = [e for e in told["generalDiagnostics"] if e["severity"] == "error"]
    assert not errors, [(e["file"], e["range"]["start"]["line"] + 1, e["message"]) for e in errors]

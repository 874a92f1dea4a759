"""What a type checker makes of code that computes with Values."""

import json
import os
import re
import subprocess
import symtable
import sys
from pathlib import Path

import pytest

import autobp

#: An expression, and its type to a checker; x and y are Values, a is an array of them, v is of any type.
TYPES = {
    "x * y": "Value",
    "x + 1": "Value",
    "1 + x": "Value",
    "x - 0.5": "Value",
    "0.5 - x": "Value",
    "2 * x / y": "Value",
    "1 / x": "Value",
    "x**2": "Value",
    "x**y": "Value",
    "2**x": "Value",
    "-x": "Value",
    "abs(x)": "Value",
    "x.tanh()": "Value",
    "(x * y + 1).sigmoid().data": "float",
    "x.leaky_relu(0.1)": "Value",
    "x * np.float64(2.0)": "Value",
    "np.float64(2.0).item() * x": "Value",
    "autobp.tanh(x)": "Value",
    "autobp.sum([x, y])": "Value",
    "autobp.dot([x], [y]) + x": "Value",
    "x * a": "Any",
    "x + v": "Any",
    "x < y": "bool",
    "x.parents": "tuple[Value, ...]",
    "net(row)": "Output",
    "net(row) * 3": "Value",
    "net(row).backward()": "None",
    "net(row)[0]": "Value",
    "net.trace(row).output": "list[Value]",
    "autobp.compile(cost, [x])(theta, row)[0]": "float",
    "autobp.compile(cost, [x])(theta, row)[1]": "ndarray[Any, dtype[float64]]",
    "autobp.compile(outputs, [x])(theta, row)": "ndarray[Any, dtype[float64]]",
    "autobp.compile(net, [x])": "Step[Any]",
    "autobp.compile(anything, [x])": "Step[Any]",
}


@pytest.fixture(scope="module")
def revealed(tmp_path_factory):
    """What mypy says of each expression, and of what is no code that it lets pass."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("types")
    lines = [
        "from typing import Any",
        "import numpy as np",
        "import autobp",
        "from autobp import Value",
        "x, y = Value(1.0), Value(2.0)",
        "a = np.array([x, y], dtype=object)",
        "v: Any = 1.0",
        "net, row, theta = autobp.MLP(2, [3, 1]), [1.0, 2.0], np.zeros(1)",
        "def cost(x: Value) -> Value: return x * 2.0",
        "def outputs(x: Any) -> list[Value]: return [x, x]",
        "def anything(x: Any) -> Any: return x",
        "x + 'text'.no_such_method",
        "x.no_such_method()",
    ]
    lines += [f"reveal_type({expression})" for expression in TYPES]
    (folder / "code.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--ignore-missing-imports",
         "--follow-imports=silent", f"--cache-dir={folder / 'cache'}", "code.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(Path(autobp.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.stdout, len(lines) - len(TYPES)


@pytest.mark.parametrize("expression", TYPES)
def test_the_type_of_an_expression_is_known(revealed, expression):
    said, before = revealed
    number = before + 1 + list(TYPES).index(expression)
    found = re.search(rf'^code\.py:{number}: note: Revealed type is "(.*)"$', said, re.MULTILINE)
    assert found, said
    assert re.sub(r"(?:[a-z_]+\.)+(?=[A-Za-z])", "", found[1]) == TYPES[expression]


def test_methods_that_there_are_not_are_found(revealed):
    assert 'code.py:13: error: "Value" has no attribute "no_such_method"' in revealed[0]
    errors = [line for line in revealed[0].splitlines() if ": error:" in line]
    assert [re.match(r"code\.py:(\d+)", line)[1] for line in errors] == ["12", "13"], errors


# -- README's code ----------------------------------------------------------------------------------------


def readme_in_modules(folder):
    """Each Python block of README as a module that imports what blocks above it have made."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    made = {}
    for i, code in enumerate(re.findall(r"^```python\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)):
        tables = [symtable.symtable(code, f"block{i}.py", "exec")]
        for table in tables:
            tables += table.get_children()
        top = tables[0].get_symbols()
        own = {each.get_name() for each in top if each.is_assigned() or each.is_imported()}
        names = {each.get_name() for each in top}
        names |= {each.get_name() for table in tables[1:] for each in table.get_symbols() if each.is_global()}
        head = [f"from block{made[name]} import {name}\n" for name in sorted(names - own) if name in made]
        (folder / f"block{i}.py").write_text("".join(head) + code, encoding="utf-8")
        made |= dict.fromkeys(own, i)
    return sorted(path.name for path in folder.glob("block*.py"))


@pytest.mark.long
@pytest.mark.parametrize("wrong", ["", "autobp.Value(1.0).no_such_name\n"])
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_code_of_readme_passes(checker, wrong, tmp_path):
    pytest.importorskip(checker)
    files = readme_in_modules(tmp_path)
    assert len(files) >= 9
    if wrong:
        (tmp_path / "block0.py").write_text(f"import autobp\n{wrong}", encoding="utf-8")
        files = files[:1]
    root = str(Path(autobp.__file__).parent.parent)
    command = [sys.executable, "-m", checker, *files]
    if checker == "mypy":
        command[3:3] = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent",
                        f"--cache-dir={tmp_path / 'cache'}"]  # fmt: skip
    else:
        started = subprocess.run([*command[:3], "--version"], capture_output=True, text=True, check=False)
        if started.returncode:
            pytest.skip(f"pyright does not start: {started.stderr[-200:]}")
        settings = {"extraPaths": [root], "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}"}
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    env = {**os.environ, "MYPYPATH": root}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(wrong), done.stdout + done.stderr
    assert ("no_such_name" in done.stdout) == bool(wrong)

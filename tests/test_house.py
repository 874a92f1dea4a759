"""The house's own rules: modules and functions of a size to read, and nothing reaches for others' insides.

What import-linter holds, the arrows between rooms, stands in ``.importlinter``.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "autobp"
CONTRACTS = (ROOT / ".importlinter").read_text(encoding="utf-8")
MODULES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")
}
by_module = pytest.mark.parametrize("module", sorted(MODULES))

LONGEST_MODULE = 500
LONGEST_FUNCTION = 60  # without its docstring

#: Longer than that for now.
LONG_MODULES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()

#: Value's slots, and the rooms that read them, since a property would cost or be watched.
SLOTS = {
    "_data", "_grad", "_operation", "_parent", "_parent2", "_partial", "_partial2", "_details", "_mark",
    "_label",
}  # fmt: skip
ROOMS_OF_SLOTS = {"arithmetic.py", "by_hand.py", "chain.py", "describing.py", "details.py", "errors.py",
                  "folded.py", "freeing.py", "functions.py", "nodes.py", "pickling.py",
                  "reading/graph.py"}  # fmt: skip

#: (module, name): other underscore names that are reached for from outside their module, for now.
REACHED_FOR: set[tuple[str, str]] = set()

#: Underscore names that are offered all the same: named tuples', the interpreter's, and micrograd's of Value.
OFFERED = {"_asdict", "_fields", "_make", "_replace", "_exit", "_getframe", "_backward", "_op", "_prev"}


def functions(tree):
    """(qualified name, node) of every function, methods and inner ones too."""

    def within(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child
                yield from within(child, f"{name}.")
            else:
                yield from within(child, prefix)

    return within(tree, "")


def length(function):
    """The lines of a function, from its first decorator on, without its docstring."""
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    lines = function.end_lineno - first + 1
    head = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= head.end_lineno - head.lineno + 1
    return lines


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def own_names(tree):
    """Private names that a module defines: functions, classes, attributes of self, slots and fields."""
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                own.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_private(node.value):
            own.add(node.value)  # in __slots__, or object.__setattr__(self, "_x", …)
    return own


def foreign_names(module):
    """(line, private name) for each that a module takes from elsewhere."""
    tree = ast.parse(MODULES[module])
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own | OFFERED:
            yield node.lineno, node.attr


@by_module
def test_a_module_is_read_at_a_sitting(module):
    assert is_short(module) or module in LONG_MODULES, f"{module} has over {LONGEST_MODULE} lines"


@by_module
def test_a_function_is_seen_at_a_glance(module):
    assert not long_functions(module) - LONG_FUNCTIONS, f"over {LONGEST_FUNCTION} lines"


@by_module
def test_nothing_reaches_for_another_modules_underscores(module):
    reached = [(line, name) for line, name in reached_for(module) if (module, name) not in REACHED_FOR]
    assert not reached, f"{module}: {reached}"


def test_no_exception_has_outlived_its_reason():
    """A module that has become short, or tidy, is taken off the lists above."""
    assert {module for module in MODULES if not is_short(module)} == LONG_MODULES
    assert {name for module in MODULES for name in long_functions(module)} == LONG_FUNCTIONS
    assert {(module, name) for module in MODULES for _, name in reached_for(module)} == REACHED_FOR
    assert set(MODULES) >= ROOMS_OF_SLOTS


def is_short(module):
    return len(MODULES[module].splitlines()) <= LONGEST_MODULE


def long_functions(module):
    found = functions(ast.parse(MODULES[module]))
    return {f"{module}: {name}" for name, function in found if length(function) > LONGEST_FUNCTION}


def reached_for(module):
    """What a module takes from elsewhere, but for Value's slots where its room is for that."""
    excused = SLOTS if module in ROOMS_OF_SLOTS else set()
    return [(line, name) for line, name in foreign_names(module) if name not in excused]


def test_the_rules_find_what_they_forbid():
    MODULES["made_up.py"] = "from autobp.nn import _x\nimport autobp.nn\ny._z\nself._own = 1\nq._own\n"
    try:
        assert list(foreign_names("made_up.py")) == [(1, "_x"), (3, "_z")]
    finally:
        del MODULES["made_up.py"]
    (one,) = functions(ast.parse('def f():\n    """1\n    2"""\n    x = 1\n    return x\n'))
    assert length(one[1]) == 3


# -- the arrows between rooms -----------------------------------------------------------------------------


def lint_imports(folder):
    pytest.importorskip("importlinter")
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports"
    return subprocess.run(
        [command, "--no-cache"], cwd=folder, env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_arrows_between_rooms_hold():
    found = lint_imports(ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    n = len(re.findall(r"^\[importlinter:contract:", CONTRACTS, re.MULTILINE))
    assert f"Contracts: {n} kept, 0 broken." in found.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("ops.py", "autobp.engine"),
        ("engine.py", "autobp.nn"),
        ("engine.py", "autobp.functional"),
        ("nn.py", "autobp.costs"),
        ("costs.py", "autobp.optim"),
        ("costs.py", "autobp.training"),
        ("matrix/formulas.py", "autobp.arguments"),
        ("matrix/steps.py", "autobp.engine"),
        ("functions.py", "autobp.compiler"),
        ("nn.py", "autobp.drawing"),
        ("optim.py", "autobp.explanation"),
        ("costs.py", "autobp.html_page"),
        ("training/fitting.py", "autobp.plots"),
        ("plots/plane.py", "autobp.__main__"),
    ],
)
def test_an_arrow_the_other_way_is_found(module, forbidden, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "autobp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    with (tmp_path / "autobp" / module).open("a", encoding="utf-8") as file:
        file.write(f"\nimport {forbidden}\n")
    found = lint_imports(tmp_path)
    assert found.returncode == 1, found.stdout
    assert "BROKEN" in found.stdout


@pytest.mark.parametrize("script", ["run", "long"])
def test_no_step_of_ci_asks_a_file_for_tests_that_it_has_not(script):
    """pytest ends with an error where a marker leaves no test."""
    path = ROOT / ".ci" / script
    if not path.exists():
        pytest.skip("the source distribution has no .ci")
    asked = re.findall(r"pytest [^\n]*-m (\w+) (tests/\w+\.py)", path.read_text(encoding="utf-8"))
    assert asked or script == "long"
    for marker, tests in asked:
        assert f"mark.{marker}" in (ROOT / tests).read_text(encoding="utf-8"), f"{marker} of {tests}"

"""Run by hand: every small change to the matrix formulas and to the tests of the documents has to be noticed.

    python tests/mutate.py                    the modules of autobp/matrix, then the five tests
    python tests/mutate.py vectorised steps   some of the modules
    python tests/mutate.py test_bp1_bp4       the tests of one document

A mutant changes one operator, comparison, sign or number. It is killed where tests/test_matrix.py fails, or
of a mutated test where that test itself does. What survives is printed and makes the exit status 1, unless it
stands in EQUIVALENT, with the reason why no test can tell it from the original.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

#: A mutant that takes so many seconds hangs, which is noticed.
LIMIT = 120

HERE = Path(__file__).parent
ROOM = HERE.parent / "autobp" / "matrix"
MODULES = ("steps", "vectorised", "node_zero", "formulas", "arguments")
DOCUMENTS = (
    "test_bp1_bp4",
    "test_delta_accumulation",
    "test_induction_proof",
    "test_vectorised_proof",
    "test_general_equations",
)

#: What a mutant may change without being another claim: where the two statements are the same but for this, it
#: is equivalent, for the reason given.
KINDS = {
    r"^(?:CASES|SIZES|INTUITION|HIDDEN|SEEDS|FACTORS) = .*": "an equation holds for every network and every step",
    r"\b(?:seed|m|lam|n_samples)=[\d.]+": "and for every sample, number of samples and λ",
    r"[<>]=?": "no number lies just on its bound",
    r"(?<=^cannot_be_computed).*": "shapes that do not fit do not fit for any operator",
}
#: "module: statement -> changed statement", and why no test can notice.
EQUIVALENT: dict[str, str] = {}

SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mutants(source: str) -> Iterator[tuple[str, str, str]]:
    """(where, what was changed into what, the changed source) for each place that can be changed."""
    tree = ast.parse(source)
    places = [(owner, node) for owner, node in _walk(tree, "") if _changeable(node)]
    for index, (owner, node) in enumerate(places):
        changed = copy.deepcopy(tree)
        other = [n for _, n in _walk(changed, "") if _changeable(n)][index]
        _change(other)
        before, after = _statement(tree, node), _statement(changed, other)
        yield owner, f"{before} -> {after}", ast.unparse(changed)


def _walk(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.AST]]:
    """Every node but docstrings, annotations and decorators, with the top-level function it stands in."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases", "msg"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            of = child.name if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not owner else owner
            yield of, child
            if not isinstance(child, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
                yield from _walk(child, of)


def _changeable(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in SWAPPED
    if isinstance(node, (ast.Compare, ast.BoolOp)):
        return type(node.ops[0] if isinstance(node, ast.Compare) else node.op) in SWAPPED
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.USub, ast.Not))
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _change(node: ast.AST) -> None:
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        node.op = SWAPPED[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPPED[type(node.ops[0])]()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1


def _statement(tree: ast.AST, node: ast.AST) -> str:
    """The smallest statement that holds a node, on one line."""
    holding = [s for s in ast.walk(tree) if isinstance(s, ast.stmt) and any(n is node for n in ast.walk(s))]
    smallest = min(holding, key=lambda s: sum(1 for _ in ast.walk(s)))
    return ast.unparse(smallest).splitlines()[0][:160]


def survives(run: list[str], module: str = "", source: str = "") -> bool:
    """Whether the tests pass in a process of their own, with a module of autobp.matrix changed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(LIMIT)
            told = io.StringIO()
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                if module:
                    _replace(module, source)
                options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
                status = int(pytest.main([*options, *run]))
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended) == 0


def _replace(module: str, source: str) -> None:
    """Import autobp.matrix anew, with one module changed."""
    class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name, path=None, target=None):
            if name == f"autobp.matrix.{module}":
                return importlib.machinery.ModuleSpec(name, self, origin=str(ROOM / f"{module}.py"))
            return None

        def exec_module(self, made):
            exec(compile(source, f"<{module}>", "exec"), made.__dict__)

    for name in [name for name in sys.modules if name.startswith("autobp.matrix")]:
        del sys.modules[name]
    sys.meta_path.insert(0, Changed())
    importlib.import_module("autobp.matrix")


def of_module(module: str) -> list[str]:
    """The survivors among the mutants of a module of autobp/matrix."""
    run = [str(HERE / "test_matrix.py"), "-k", "not torch"]
    made = list(mutants((ROOM / f"{module}.py").read_text(encoding="utf-8")))
    return _told(module, [what for _, what, source in made if survives(run, module, source)], len(made))


def of_document(name: str) -> list[str]:
    """The survivors among the mutants of a document's tests: of a test itself, of what they share by all."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8")
    made = list(mutants(text))
    left = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.py")
        for owner, what, source in made:
            path.write_text(source, encoding="utf-8")
            run = [str(path), "--rootdir", folder, "--import-mode=importlib"]
            if survives([*run, "-k", owner] if owner.startswith("test_") else run):
                left.append(what)
    return _told(name, left, len(made))


def _told(name: str, survivors: list[str], n: int) -> list[str]:
    left = [f"{name}: {what}" for what in survivors]
    new = [what for what in left if what not in EQUIVALENT]
    print(
        f"{name}: {n - len(left)} of {n} killed, {len(left) - len(new)} equivalent, {len(new)} left",
        flush=True,
    )
    for what in new:
        print(f"  {what}", flush=True)
    return new


def main(names: list[str]) -> int:
    """Mutate; the exit status is 1 where something survives."""
    sys.path.insert(0, str(HERE))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for used in ("autobp.matrix", "networks", "hypothesis", "sympy"):  # once, and not in each process
        importlib.import_module(used)
    chosen = names or [*MODULES, *DOCUMENTS]
    left = [what for name in chosen for what in (of_module if name in MODULES else of_document)(name)]
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

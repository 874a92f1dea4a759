"""Run by hand: every small change to the matrix formulas and to the tests of the documents has to be noticed.

    python tests/mutate.py                    the modules of autobp/matrix, then the five tests
    python tests/mutate.py vectorised steps   some of the modules
    python tests/mutate.py test_bp1_bp4       the tests of one document

A mutant changes one operator, comparison, sign or number. It is killed where tests/test_matrix.py fails, or
of a mutated test where that test itself does. What survives is printed and makes the exit status 1, unless it
stands in EQUIVALENT or is of one of KINDS, with the reason why no test can tell it from the original.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import io
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

#: Kinds of mutants that no test can notice, as they are printed, and why.
KINDS = {
    r" (?:CASES|SIZES|INTUITION|HIDDEN|SEEDS|FACTORS) = ": "an equation holds for every network and step",
    r"\bnetwork\(\(?\[[\d, ]*«": "an equation holds for every network",
    r"\b(?:seed|n_samples|m|lam)=«": "an equation holds for every sample, any number of them, and every λ",
    r"(?<!def )\w+\(\*[^()]*\b[lij]=«": "the same equation of another layer or weight has a test of its own",
    r" assert [^=!]*[<>]«\|=»": "no number lies just on its bound",
    r": for \w+ in (?:range)?\([^()]*«": "a layer, node or class fewer, of all for which it holds",
    r"\b(?:graph|n)\.\w+\[«0\|1»\]": "it holds for another sample, or is the same for both",
    r"\bC\[[^]]*\]\[«1\|2»": "C does not depend on its row, which is brawer-33a",
    r"«\*\|/» (?:C\[j, [kp]\]|C\[k, p\]|n\.C\[)": "C is 1 but in column 0, where what it multiplies is 0",
    r": (?:vanishes\(n\.M\[|M_0p = )": "(6) clears row 0 of every M",
    r" cannot_be_computed\(.*«[@*/|]+»": "shapes that do not fit do not fit for any operator",
}
#: Single ones, as they are printed, and why.
EQUIVALENT: dict[str, str] = {
    "test_slides_21_only_one_term_depends_on_z_j: one_term = "
    "derivative(lambda z, w=w, b=b, sigma=sigma: w * sigma(z) «+|-» b, n.z[l][j])": "the bias drops out",
    "test_slides_30_only_one_term_depends_on_w_ij: one_term = "
    "derivative(lambda w, a=a, b=b: a * w «+|-» b, n.w[l][i, j])": "the bias drops out",
    "test_bp_16_next_weighted_input_by_this: assert "
    "sympy.simplify((w * sigma(z) «+|-» b).diff(z) - w * sigma(z).diff(z)) == 0": "the bias drops out",
    "test_bp_29_small_inputs_make_small_gradients: near_0.w, near_0.b = "
    "({**n.w, 2: factor «*|/» n.w[2]}, {**n.b, 2: factor * n.b[2]})": "other weights, as small",
    "test_bp_29_small_inputs_make_small_gradients: near_0.w, near_0.b = "
    "({**n.w, 2: factor * n.w[2]}, {**n.b, 2: factor «*|/» n.b[2]})": "other biases, as small",
    "test_ml15_24_weighted_input_of_one_unit: "
    "z_1 = theta[0, 0] «*|/» 1 + theta[0, 1] * a[1] + theta[0, 2] * a[2]": "the bias unit is 1",
    "test_ml15_27_squared_error_is_an_analogy: "
    "assert sympy.solveset(excess.diff(u) <«=|» 0, u, possible) == sympy.S.EmptySet": "nor is it 0",
}

SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mutants(source: str) -> Iterator[tuple[str, str, str]]:
    """(in which function, the statement with «before|after» in it, the changed source) of each mutant."""
    tree = ast.parse(source)
    for owner, statement, node in list(_walk(tree, "", None)):
        if _changeable(node):
            before, kept = _first_line(statement), dict(vars(node))
            _change(node)
            yield owner, _marked(before, _first_line(statement)), ast.unparse(tree)
            vars(node).update(kept)


def _walk(node: ast.AST, owner: str, statement: ast.stmt | None) -> Iterator[tuple[str, Any, ast.AST]]:
    """Every node but docstrings, annotations and decorators, with its function and its statement."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases", "msg"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            of = child.name if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not owner else owner
            within = child if isinstance(child, ast.stmt) else statement
            yield of, within, child
            if not isinstance(child, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
                yield from _walk(child, of, within)


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
        node.ops = [SWAPPED[type(node.ops[0])](), *node.ops[1:]]
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1


def _first_line(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


def _marked(before: str, after: str) -> str:
    """The statement with what was changed in it as «before|after»."""
    start = _shared(before, after)
    end = _shared(before[start:][::-1], after[start:][::-1])
    changed = f"«{before[start : len(before) - end]}|{after[start : len(after) - end]}»"
    return before[:start] + changed + before[len(before) - end :]


def _shared(one: str, other: str) -> int:
    """How many letters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(one), len(other)))


def survives(run: list[str], module: str = "", source: str = "") -> bool:
    """Whether the tests pass in a process of their own, with a module of autobp.matrix changed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            gc.disable()
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
    left = [f"{owner}: {what}" for owner, what, source in made if survives(run, module, source)]
    return _told(module, left, len(made))


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
                left.append(f"{owner}: {what}")
    return _told(name, left, len(made))


def _told(name: str, left: list[str], n: int) -> list[str]:
    new = [what for what in left if what not in EQUIVALENT and not any(re.search(k, what) for k in KINDS)]
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
    gc.freeze()  # so that a process that is forked shares it
    chosen = names or [*MODULES, *DOCUMENTS]
    left = [what for name in chosen for what in (of_module if name in MODULES else of_document)(name)]
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

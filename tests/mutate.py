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

#: The tests of tests/test_matrix.py that are likeliest to notice a change to a module, and run first.
FIRST = {
    "arguments": ["test_bad_input_is_named", "test_bad_theta_is_named"],
    "node_zero": ["test_brawers_quantities_are_what_his_equations_say", "test_bad_theta_is_named",
                  "test_logistic_regression_is_the_two_layer_case",
                  "test_the_loop_agrees_with_bp1_to_bp4_for_every_cost"],
    "formulas": ["test_activations_neither_overflow_nor_lose_their_tails",
                 "test_cross_entropy_on_logits_is_exact_however_saturated",
                 "test_delta_is_each_samples_own_derivative_by_z"],
}  # fmt: skip

#: Kinds of mutants that no test can notice, as they are printed, and why.
KINDS = {
    r" (?:CASES|SIZES|INTUITION|HIDDEN|SEEDS|FACTORS) = ": "an equation holds for every network and step",
    r"\bnetwork\(\(?\[[\d, ]*«": "an equation holds for every network",
    r"\b(?:seed|size|n_samples|m|lam)=«": "an equation holds for all samples, however many, and every λ",
    r"(?<!def )\w+\(\*[^()]*\b[lij]=«": "the same equation of another layer or weight has a test of its own",
    r" assert [^=!]*[<>]«\|=»": "no number lies just on its bound",
    r": for \w+ in (?:range\(|\(|n\.[az]\[)[^()]*«": "a layer, node or class fewer of those it holds for",
    r"\b(?:graph|n)\.\w+\[«0\|1»\]": "it holds for another sample, or is the same for both",
    r"\bC\[[^]]*\]\[«1\|2»": "C does not depend on its row, which is brawer-33a",
    r"«\*\|/» (?:C\[j, [kp]\]|C\[k, p\]|n\.C\[)": "C is 1 but in column 0, where what it multiplies is 0",
    r": (?:vanishes\(n\.M\[|M_0p = )": "(6) clears row 0 of every M",
    r"axis=«-\|\+»1[,)]": "costs are of rows, whose last axis is axis 1",
    r"\(z >«\|=» 0, z, |^_sigmoid: .*z >«=\|» 0": "at 0 both sides are the same",
    r" np\.expm1\(np\.minimum\(z, «0\|1»\.0\)\)": "where z is above 0, z itself is taken",
    r" cannot_be_computed\(.*«[@*/+|]+»": "shapes that do not fit do not fit for any operator",
}
#: Single ones, as they are printed, and why.
EQUIVALENT: dict[str, str] = {
    "_distributions: if (off := (np.abs(y.sum(axis=1) - 1) >«|=» 1e-09)).any():": "no sum lies on the bound",
    "brawer: targets = targets_of(Y, (m, len(full[-1])), 'binary_cross_entropy', "
    "h_of[«-|+»1])": "for this cost no activation is looked at",
    "brawer: targets = targets_of(Y, (m, len(full[-1])), 'binary_cross_entropy', "
    "h_of[-«1|2»])": "for this cost no activation is looked at",
    "brawer: h_1 = float(h_of[l][0](np.ones(«1|2»))[0])": "the first of any number of ones",
    "brawer: C.append(np.where(not_bias[l], 1.0, 1 / h_1) «*|/» np.ones_like(theta_0[l]))": "1 is 1/1",
    "logistic_regression: x = with_unit(inputs_of(X, [t[:, 1:] for t in matrices('theta', [row], "
    "unit=«1|2»)]))": "one matrix has none to fit, and the column that it needs is the same",
    "test_induction_30_chain_rule_through_both_hidden_units: agree(partial(graph.J, graph.theta[1][1, 1]), "
    "n.dJ_da(1) * sum(map(through, n.a[«2|3»].indices)))": "the second way adds 0, which is induction-31",
    "test_brawer_t2_conditions_on_h: shape = n.theta[«1|2»].shape": "C may have any shape",
    "test_brawer_t5_cost_is_positive_for_targets_between_0_and_1: z, y = («2|3».0, 3.0)": "any large z",
    "test_brawer_t5_cost_is_positive_for_targets_between_0_and_1: z, y = (2.0, «3|4».0)": "any large y",
    "error_has_its_own_target: h, y = "
    "(n.output[i][n.L], np.append(«0|1».25, n.y[i][1:]))": "any number may stand for y_0",
    "test_brawer_u3_node_0_of_the_last_layer: "
    "by_weight = partial(graph.z[0][n.L], graph.theta[n.L - «2|3»])": "node 0 depends on no weight",
    "test_brawer_39_1_sum_from_node_1: agree(gradient, "
    "[three_layers_back(n, p, q, first_k_0=«0|1») for p, q in indices])": "k_0 = 0 adds 0, as is claimed",
    "test_brawer_t9_values_of_layer_2_are_linear_in_x: "
    "x, step = (n.z[0][1], np.append(«0|1».0, np.arange(1.0, n.s[1] + 1)))": "they are linear in x_0 too",
    "test_brawer_t9_values_of_layer_2_are_linear_in_x: "
    "h_0, h_1, h_2 = (n.h[«2|3»](z) for z in values_at)": "no h but the first is linear",
    "test_brawer_t13_M_00_is_not_used: M_i[l][«0|1», 0] = np.nan": "nor is the rest of column 0 used",
    "test_brawer_t13_M_00_is_not_used: M_i[l][0, «0|1»] = np.nan": "nor is the rest of row 0 used",
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
#: What a mutant may have besides: where the other factor is 1, a quotient is no change, and a sum is.
ALSO = {ast.Mult: ast.Add}


def mutants(source: str) -> Iterator[tuple[str, str, str]]:
    """(in which function, the statement with «before|after» in it, the changed source) of each mutant."""
    tree = ast.parse(source)
    texts = [ast.unparse(part) for part in tree.body]
    for i, part in enumerate(tree.body):
        for owner, statement, node in list(_walk(ast.Module([part], []), "", None)):
            before, kept = _first_line(statement), dict(vars(node))
            for changed in _changes(node):
                vars(node).update(changed)
                whole = "\n".join([*texts[:i], ast.unparse(part), *texts[i + 1 :]])
                yield owner, _marked(before, _first_line(statement)), whole
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


def _changes(node: ast.AST) -> Iterator[dict[str, Any]]:
    """What may stand in a node instead of what is there."""
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        for swaps in (SWAPPED, ALSO):
            if type(node.op) in swaps:
                yield {"op": swaps[type(node.op)]()}
    elif isinstance(node, ast.Compare):
        if type(node.ops[0]) in SWAPPED:
            yield {"ops": [SWAPPED[type(node.ops[0])](), *node.ops[1:]]}
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, (ast.USub, ast.Not)):
            yield {"op": ast.UAdd()}
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield {"value": node.value + 1}


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
            if module:
                _replace(module, source)
            status = _tested(run)
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended) == 0


def _tested(run: list[str]) -> int:
    """pytest's exit status; nothing is printed."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "--assert=plain"]
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        return int(pytest.main([*options, *run]))


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
    tests = str(HERE / "test_matrix.py")
    first = [f"{tests}::{test}" for test in FIRST.get(module, ())]
    runs = [first] * bool(first) + [[tests, "-k", "not torch"]]
    text = (ROOM / f"{module}.py").read_text(encoding="utf-8")
    _must_pass(module, [tests, "-k", "not torch"], module, text)
    made = list(mutants(text))
    left = [
        f"{owner}: {what}"
        for owner, what, source in made
        if all(survives(run, module, source) for run in runs)
    ]
    return _told(module, left, len(made))


def of_document(name: str) -> list[str]:
    """The survivors among the mutants of a document's tests: of a test itself, of what they share by all."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8")
    made = list(mutants(text))
    left = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.py")
        whole = [str(path), "--rootdir", folder, "--import-mode=importlib"]
        runs = {owner: [*whole, "-k", owner] if owner.startswith("test_") else whole for owner, *_ in made}
        path.write_text(text, encoding="utf-8")
        for owner, run in runs.items():
            _must_pass(f"{name}: {owner}", run)
        for owner, what, source in made:
            path.write_text(source, encoding="utf-8")
            if survives(runs[owner]):
                left.append(f"{owner}: {what}")
    return _told(name, left, len(made))


def _must_pass(what: str, run: list[str], module: str = "", source: str = "") -> None:
    """SystemExit where the tests fail, or are none, without a mutant: they would fail with any."""
    if not survives(run, module, source):
        sys.exit(f"{what}: its tests do not pass as they are")


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
    for used in ("autobp.matrix", "networks", "hypothesis", "sympy", "numpy.random"):
        importlib.import_module(used)  # once, and not in each process
    with tempfile.TemporaryDirectory() as folder:  # nor what pytest imports when it runs
        Path(folder, "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
        assert _tested([folder, "--rootdir", folder]) == 0
    gc.freeze()  # so that a process that is forked shares it
    chosen = names or [*MODULES, *DOCUMENTS]
    left = [what for name in chosen for what in (of_module if name in MODULES else of_document)(name)]
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

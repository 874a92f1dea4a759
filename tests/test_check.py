"""compare(): the graph against the matrices, and students' functions with their usual mistakes."""

import numpy as np
import pytest

import autobp
from autobp import MLP, check, costs, documents, gradient_check, matrix, predict
from autobp.nn import ACTIVATIONS

rng = np.random.default_rng(1)
X = rng.normal(size=(6, 4))
ONE_HOT = np.eye(3)[rng.integers(3, size=6)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize("hidden", [name for name in ACTIVATIONS if name not in ("identity", "softmax")])
@pytest.mark.parametrize(
    ("cost", "output"),
    [
        ("quadratic", "sigmoid"),
        ("quadratic", "softmax"),
        ("binary_cross_entropy", "sigmoid"),
        ("binary_cross_entropy_with_logits", "linear"),
        ("softmax_cross_entropy", "linear"),
        ("hinge", "tanh"),
    ],
)
def test_graph_and_matrices_agree_in_every_equation(cost, output, hidden, l2, bias):
    net = MLP(4, [5, 3, 3], [hidden, hidden, output], bias=bias, seed=3, init="xavier")
    Y = 2 * ONE_HOT - 1 if cost == "hinge" else ONE_HOT
    report = check.compare(net, X, Y, cost=cost, l2=l2)
    assert report.ok, str(report)
    equations = [row.equation for row in report.rows]
    assert equations.count("BP1") == 1
    assert equations.count("BP2") == 2
    assert equations.count("BP3") == (3 if bias else 0)
    assert equations.count("BP4") == 3
    assert "All" in str(report)


def test_a_report_is_true_only_where_all_agrees():
    net = MLP(4, [3], "sigmoid", seed=0)
    right = check.compare(net, X, ONE_HOT)
    assert right
    assert all(right.rows)

    def my_backprop(W, b, X, Y, **options):
        found = matrix.backprop(W, b, X, Y, **options)
        return [-dW for dW in found.dW], found.db

    wrong = check.compare(net, X, ONE_HOT, against=my_backprop)
    assert not wrong
    assert not wrong.first_failure
    with pytest.raises(AssertionError):
        assert wrong, "a test that asserts the report must fail"


@pytest.mark.parametrize("room", [check, gradient_check])
def test_whatever_says_ok_is_as_true_as_it_says(room):
    verdicts = [kind for kind in vars(room).values() if isinstance(kind, type) and has_ok(kind)]
    assert verdicts
    for kind in verdicts:
        assert callable(getattr(kind, "__bool__", None)), kind


def has_ok(kind):
    return hasattr(kind, "ok") or "ok" in getattr(kind, "__dataclass_fields__", ())


def test_a_cost_may_be_any_function_of_one_samples_outputs_and_targets():
    def quartic(a, y):
        return autobp.sum([(a_k - y_k) ** 4 for a_k, y_k in zip(a, y, strict=True)])

    net = MLP(4, [3, 3], ["tanh", "sigmoid"], seed=0)
    report = check.compare(net, X, ONE_HOT, cost=quartic, l2=0.2)
    assert report, str(report)
    head = "The scalar graph against BP1-BP4 in matrices, C_x and ∂C_x/∂a by the cost's own graph: network 4"
    assert str(report).startswith(head)
    by_formulas = (lambda a, y: ((a - y) ** 4).sum(axis=-1), lambda a, y: 4 * (a - y) ** 3)
    names = ["tanh", "sigmoid"]
    truth = matrix.backprop(net.W, net.b, X, ONE_HOT, activations=names, cost=by_formulas, l2=0.2)
    first = next(row for row in report.rows if row.quantity == "dW1")
    assert first.graph == pytest.approx(truth.dW[0], rel=1e-12)


def test_gradients_that_were_there_stay():
    net = MLP(4, [3], "sigmoid", seed=0)
    for i, p in enumerate(net.parameters()):
        p.grad = float(i)
    check.compare(net, X, ONE_HOT)
    assert [p.grad for p in net.parameters()] == [float(i) for i in range(15)]


def test_a_wrong_rule_in_the_graph_is_found_and_placed(monkeypatch):
    tanh = autobp.ops.TABLE["tanh"]
    net = MLP(4, [3, 3], ["tanh", "sigmoid"], seed=0)
    monkeypatch.setattr(tanh, "partials", lambda xp, y, x: (1.0 + y * y,))
    report = check.compare(net, X, ONE_HOT)
    assert not report.ok
    assert report.first_failure.equation == "BP2"
    assert report.first_failure.quantity == "delta1"
    assert "BP2: delta1[" in str(report)
    assert "DIFFERS" in str(report)


def test_a_cost_that_differs_is_told(monkeypatch):
    monkeypatch.setitem(costs.COSTS, "quadratic", lambda a, y: 2 * costs.quadratic(a, y))
    report = check.compare(MLP(4, [3], "sigmoid", seed=0), X, ONE_HOT)
    assert report.first_failure.where == ()
    assert "The first is cost: C is " in str(report)
    assert not report.causes


def test_where_gradients_vanish_by_cancellation_rounding_is_named():
    net = MLP(4, [3, 3], "sigmoid", seed=0)
    report = check.compare(net, X, predict(net, X))
    assert not report.ok  # δ is 0 in truth; what is left is rounding, and no digit of it agrees
    assert "rounding" in report.causes[0]


def test_the_cost_on_logits_has_no_cancellation():
    net = MLP(1, [1], "linear", weights=[[[1.0]]], biases=[[0.0]])
    for z, y in [(30.0, 1.0), (-30.0, 0.0), (700.0, 1.0)]:  # where σ(z) - y has lost its digits
        report = check.compare(net, [[z]], [[y]], cost="binary_cross_entropy_with_logits")
        assert report.ok, str(report)


def test_gradients_that_were_there_stay_where_the_cost_raises():
    net = MLP(4, [1], "linear", seed=0)
    for p in net.parameters():
        p.grad = 7.0
    with pytest.raises(ValueError, match="two classes"):
        check.compare(net, X, np.ones((6, 1)), cost="softmax_cross_entropy")
    assert [p.grad for p in net.parameters()] == [7.0] * 5


def test_missing_numbers_never_agree():
    row = check._row("BP4", "dW1", np.array([np.nan, 1.0]), np.array([0.0, 1.0]))
    assert not row.ok
    assert row.where == (0,)
    assert not check._row("BP4", "dW1", np.array([1e-300]), np.array([0.0])).ok
    assert check._row("BP4", "dW1", np.array([0.0]), np.array([0.0])).ok


# --- a student's backprop, written with loops, and its mistakes ------------------------------------------


def sigma(z):
    return 1 / (1 + np.exp(-z))


class Student:
    """Backprop for sigmoid layers under the quadratic cost, one sample at a time, with room for mistakes."""

    def __init__(self, mistake=None):
        self.mistake = mistake
        self.kept = None

    def __call__(self, W, b, X, Y, *, activations, cost, l2):
        is_ = self.mistake
        m, depth = len(X), len(W)
        dW, db = [np.zeros_like(w) for w in W], [np.zeros_like(v) for v in b]
        if is_ in ("not zeroed", "added in place") and self.kept is not None:
            dW, db = self.kept
        deltas = [np.zeros((m, len(w))) for w in W]
        for i in range(m):
            a, z = [X[i]], [None]
            for w, v in zip(W, b, strict=True):
                z.append(w @ a[-1] + v)
                a.append(sigma(z[-1]))
            prime = [None, *[sigma(zl) * (1 - sigma(zl)) for zl in z[1:]]]
            delta = a[-1] - Y[i]
            if is_ != "no σ' at the output":
                delta = delta * prime[-1]
            for layer in range(depth, 0, -1):
                deltas[layer - 1][i] = delta
                if is_ == "overwritten":
                    dW[layer - 1] = np.outer(delta, a[layer - 1])
                    db[layer - 1] = delta
                else:
                    dW[layer - 1] += np.outer(delta, a[layer - 1])
                    db[layer - 1] += delta
                if layer > 1:
                    back = W[layer - 1] if is_ == "W not transposed" else W[layer - 1].T
                    delta = back @ delta
                    if is_ != "no σ' inside":
                        delta = delta * prime[layer - 1]
        if is_ == "added in place":
            self.kept = dW, db  # and handed out: m is 1 and λ is 0 where this one is used
            return dW, db
        if is_ == "not zeroed":
            self.kept = [g.copy() for g in dW], [g.copy() for g in db]
        n = 1 if is_ == "sum" else m
        factor = {"λ": l2, "2λ/m": 2 * l2 / m, "no penalty": 0.0, "minus": -l2 / m}.get(is_, l2 / m)
        dW = [g / n + factor * w for g, w in zip(dW, W, strict=True)]
        db = [g / n for g in db]
        if is_ == "bias regularised":
            db = [g + l2 / m * v for g, v in zip(db, b, strict=True)]
        if is_ == "sign":
            dW, db = [-g for g in dW], [-g for g in db]
        if is_ == "not a number":
            dW[1] *= np.nan
        if is_ == "transposed":
            dW = [g.T for g in dW]
        if is_ == "square transposed":
            dW = [g.T if g.shape[0] == g.shape[1] else g for g in dW]
        return {"dW": dW, "db": db, "delta": deltas} if is_ == "with delta" else (dW, db)


def network():
    net = MLP(4, [3, 3, 3], "sigmoid", seed=8)
    net.b = [[0.3, -0.2, 0.1], [0.5, 0.1, 0.2], [-0.3, 0.2, 0.4]]
    return net


@pytest.mark.parametrize("mistake", [None, "with delta"])
def test_a_right_function_passes(mistake):
    report = check.compare(network(), X, ONE_HOT, l2=0.5, against=Student(mistake))
    assert report.ok, str(report)
    assert len(report.rows) == (9 if mistake else 6)


@pytest.mark.parametrize(
    ("mistake", "equation", "cause"),
    [
        ("no σ' at the output", "BP3", "σ' is missing in BP1, layer 3"),
        ("no σ' inside", "BP3", "σ' is missing in BP2, layer 1, 2"),
        ("W not transposed", "BP3", "its transpose"),
        ("sum", "BP3", "divided by m"),
        ("λ", "BP4", "not λ times W"),
        ("2λ/m", "BP4", "has no 2"),
        ("no penalty", "BP4", "is missing"),
        ("minus", "BP4", "subtracted"),
        ("bias regularised", "BP3", "biases are regularised"),
        ("not zeroed", "BP3", "not set to zero"),
        ("not a number", "BP4", "dW2 has entries that are not finite"),
        ("sign", "BP3", "sign"),
        ("transposed", "BP4", "transposed"),
        ("square transposed", "BP4", "transposed"),
        ("overwritten", "BP3", "overwritten"),
    ],
)
def test_the_usual_mistakes_are_found_and_named(mistake, equation, cause):
    l2 = 0.0 if mistake == "not zeroed" else 0.5
    report = check.compare(network(), X, ONE_HOT, l2=l2, against=Student(mistake))
    assert not report.ok
    assert report.first_failure.equation == equation
    assert len(set(report.causes)) == len(report.causes) > 0, str(report)
    assert cause in report.causes[0]
    assert f"Likely cause: {report.causes[0]}." in str(report)


def test_a_gradient_added_to_the_same_array_at_each_call_is_found():
    report = check.compare(network(), X[:1], ONE_HOT[:1], against=Student("added in place"))
    assert not report.ok
    assert "not set to zero" in report.causes[0]


def test_a_transposed_row_is_no_row():
    def student(*arguments, **named):
        right = matrix.backprop(*arguments, **named)
        return [w.T for w in right.dW], right.db

    report = check.compare(MLP(4, [1], "sigmoid", seed=0), X, ONE_HOT[:, :1], against=student)
    assert not report.ok
    assert report.causes == ("dW1 is transposed: (4, 1) for (1, 4)",)


def test_delta_of_one_sample_may_be_a_column():
    def student(*arguments, **named):
        right = matrix.backprop(*arguments, **named)
        return {"dW": right.dW, "db": [d[:, None] for d in right.db], "delta": [d.T for d in right.delta]}

    assert check.compare(network(), X[:1], ONE_HOT[:1], against=student).ok


def test_functions_that_return_something_else_are_told():
    net = network()
    with pytest.raises(TypeError, match="must return"):
        check.compare(net, X, ONE_HOT, against=lambda *a, **k: 3)
    with pytest.raises(ValueError, match="dW has 1 arrays for 3 layers"):
        check.compare(net, X, ONE_HOT, against=lambda *a, **k: ([np.zeros((3, 4))], []))
    with pytest.raises(ValueError, match=r"dW1 must have the shape \(3, 4\)"):
        check.compare(net, X, ONE_HOT, against=lambda *a, **k: ([np.zeros((3, 5))] * 3, []))
    with pytest.raises(TypeError, match="no db"):
        check.compare(net, X, ONE_HOT, against=lambda W, b, *a, **k: (W, None))
    with pytest.raises(TypeError, match="no dW"):
        check.compare(net, X, ONE_HOT, against=lambda *a, **k: {"db": []})


def test_what_the_matrices_return_can_be_put_to_the_test_too():
    report = check.compare(network(), X, ONE_HOT, l2=0.1, against=matrix.backprop)
    assert report.ok
    assert len(report.rows) == 9


def test_activations_that_are_functions_are_refused():
    with pytest.raises(ValueError, match=r"by name: autobp\.operation\(name"):
        check.compare(MLP(4, [3], [lambda z: z]), X, ONE_HOT)


@pytest.mark.parametrize("name", ["sin", "atan", "softplus"])
def test_activations_that_the_matrices_do_not_have_come_by_their_rule_and_the_report_says_so(name):
    report = check.compare(MLP(4, [3, 3], [name, "sigmoid"], seed=2), X, ONE_HOT)
    assert report.ok, str(report)
    told = f"σ and σ' of {name} by the graph's own rule (no independent witness)"
    assert (told in str(report)) == (name not in matrix.ACTIVATIONS)


def test_the_rule_is_a_witness_of_all_but_itself(monkeypatch):
    net = MLP(4, [3, 3], ["sin", "sigmoid"], seed=2)
    monkeypatch.setattr(autobp.Value, "sin", lambda self: 1.001 * autobp.sin(self))
    wrong = [row.quantity for row in check.compare(net, X, ONE_HOT).rows if not row.ok]
    assert "a1" in wrong
    assert "dW1" in wrong
    assert "z1" not in wrong


def test_delta_is_the_gradient_of_one_samples_cost_by_z():
    net = network()
    trace = net.trace(X[0])
    costs.quadratic(trace.output, ONE_HOT[0]).backward()
    delta = matrix.backprop(net.W, net.b, X[:1], ONE_HOT[:1], activations="sigmoid", cost="quadratic").delta
    for layer in (1, 2, 3):
        assert [z.grad for z in trace.z[layer]] == pytest.approx(delta[layer][0], rel=1e-12)


def test_rounding_of_terms_that_cancel_is_no_difference_and_a_small_mistake_beside_them_is():
    net = MLP(2, [3, 1], activation="tanh", seed=0)
    X = np.array([[0.3, -0.7], [0.3, -0.7], [0.8, 0.1]])
    out = np.array([[v.data for v in net.trace(x).output] for x in X])
    Y = out + np.array([[0.5], [-0.5], [1e-7]])  # two large errors that cancel, and a small one
    report = check.compare(net, X, Y)
    assert report
    dW = report.rows[-3]
    assert dW.rounding < 1e-14

    def almost(W, b, X, Y, **how):
        right = matrix.backprop(W, b, X, Y, **how)
        return [w * (1.0 + 1e-6) for w in right.dW], right.db

    assert not check.compare(net, X, Y, against=almost)


# --- by a document's own equations -----------------------------------------------------------------------

IN_NOTATION = {
    "induction": ["J(θ)", "z⁽²⁾", "δ⁽⁴⁾", "∂J(θ)/∂θ⁽¹⁾"],
    "ML15": ["J(Θ)", "z⁽²⁾", "a⁽⁴⁾", "δ⁽²⁾", "Δ⁽³⁾", "D⁽¹⁾"],
    "BP1-BP4": ["C", "z²", "δ⁴", "∂C/∂b²", "∂C/∂w⁴"],
    "Brawer": ["J", "z²", "h⁴(z⁴)", "δ²", "∂J/∂θ¹", "∂J/∂θ³, q=0"],
    "slides": ["C", "z^[2]", "δ^[4]", "∂C/∂w^[4]"],
}


@pytest.mark.parametrize("notation", IN_NOTATION)
def test_a_document_compares_by_its_own_equations_and_names(notation):
    net = network()
    l2 = 0.0 if notation == "Brawer" else 0.4
    report = check.compare(net, X, ONE_HOT, cost="binary_cross_entropy", l2=l2, notation=notation)
    assert report.ok, str(report)
    assert {row.quantity for row in report.rows} >= set(IN_NOTATION[notation])
    equations = {row.equation for row in report.rows}
    if notation == "ML15":
        assert equations == {"(1)", "Step 2", "Step 3", "Step 4", "Step 5", "D"}
    if notation == "Brawer":
        assert equations == {"(18)", "(5)", "(3)", "(42)", "(43)", "(48)", "(44)", "(46)"}
    if notation == "slides":
        assert equations == {"text", *(f"display {n}" for n in (3, 5, 34, 35, 36, 48))}
    if notation == "induction":
        assert equations == {"text", "—"} | {f"display {n}" for n in (1, 39, 40, 44)}


@pytest.mark.parametrize("notation", IN_NOTATION)
def test_a_wrong_rule_is_placed_in_the_documents_equation(notation, monkeypatch):
    net = MLP(4, [3, 3], ["tanh", "sigmoid"], seed=0)
    tanh = autobp.ops.TABLE["tanh"]
    monkeypatch.setattr(tanh, "partials", lambda xp, y, x: (1.0 + y * y,))
    report = check.compare(net, X, ONE_HOT, cost="binary_cross_entropy", notation=notation)
    assert not report.ok
    wanted = {"ML15": "Step 4", "Brawer": "(43)", "induction": "display 40", "slides": "display 34"}
    wanted = wanted.get(notation, "BP2")
    assert report.first_failure.equation == wanted


#: Of the documents that number nothing: the place, what it displays there in the ledger, its left side.
PLACES = [
    ("induction", "display 1", "induction-01", r"J(\theta)"),
    ("induction", "display 39", "induction-48", r"\delta^{(3)}"),
    ("induction", "display 40", "induction-49", r"\delta^{(2)}"),
    ("induction", "display 44", "induction-58", r"\dfrac{\partial J}{\partial \theta"),
    ("slides", "display 3", "slides-03", "z^{[l]}"),
    ("slides", "display 5", "slides-05", "A^{[l]}"),
    ("slides", "display 34", "slides-37", r"\delta^l"),
    ("slides", "display 35", "slides-38", r"\dfrac{\partial C}{\partial b^l}"),
    ("slides", "display 36", "slides-39", r"\dfrac{\partial C}{\partial \omega^l}"),
    ("slides", "display 41", "slides-46", r"\delta^L"),
]


@pytest.mark.parametrize(("notation", "place", "entry", "left"), PLACES)
def test_a_place_is_where_the_ledger_has_that_equation(notation, place, entry, left):
    from test_ledger import ENTRIES

    assert place in documents._DISPLAYED[notation].values()
    (found,) = [of for of in ENTRIES if of.id == entry]
    assert found.where.partition(",")[0] == place
    assert found.equation.startswith(f"$`{left}")


@pytest.mark.parametrize(
    ("notation", "cost", "activation", "of_the_cost", "of_the_error"),
    [("slides", "quadratic", "sigmoid", "text", "display 41"),
     ("slides", "binary_cross_entropy", "tanh", "text", "display 41"),
     ("slides", "binary_cross_entropy", "sigmoid", "text", "display 48"),
     ("induction", "quadratic", "sigmoid", "—", "—"),
     ("induction", "binary_cross_entropy", "sigmoid", "display 1", "display 39")],
)  # fmt: skip
def test_a_document_is_not_credited_with_what_it_has_not(
    notation, cost, activation, of_the_cost, of_the_error
):
    net = MLP(2, [3, 1], activation, seed=1)
    shown = check.compare(net, [[0.3, -0.2]], [[1.0]], cost=cost, notation=notation)
    by = {row.quantity: row.equation for row in shown.rows}
    assert shown.rows[0].equation == of_the_cost
    assert by["δ^[3]" if notation == "slides" else "δ⁽³⁾"] == of_the_error


def test_what_a_document_has_not_is_told():
    net = MLP(4, [3], "sigmoid", bias=False, seed=0)
    with pytest.raises(ValueError, match="ML15 has a bias in every layer"):
        check.compare(net, X, ONE_HOT, notation="ML15")
    with pytest.raises(ValueError, match=r"Brawer's cost \(18\)"):
        check.compare(network(), X, ONE_HOT, notation="Brawer")
    with pytest.raises(ValueError, match="not both"):
        check.compare(network(), X, ONE_HOT, notation="ML15", against=matrix.backprop)


def test_the_command_compares_in_a_notation(capsys):
    from autobp.command import main

    assert main(["check", "2", "2", "2", "1", "--l2", "0.5", "--notation", "ML15"]) == 0
    shown = capsys.readouterr().out
    assert "ML15's loop over the samples" in shown
    assert "Step 5    Δ⁽¹⁾" in shown
    assert main(["check", "2", "1", "--notation", "Nielsen"]) == 2

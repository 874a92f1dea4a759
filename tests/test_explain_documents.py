"""What explain() prints in a document's notation is what the document has, mended where the ledger mends it.

For each document its own network is derived. The equations of docs/ledger.md, their letters replaced by that
network's numbers, have to stand in the derivation, each side as a line or a heading of its own.
"""

import random
import re

import pytest
from test_ledger import ENTRIES

from autobp import MLP, Value, costs
from autobp.explanation import explain
from autobp.explanation.formula import Symbol

EQUATIONS = {entry.id: entry.equation for entry in ENTRIES}


def derivation(
    notation, sizes, wrt, activation="sigmoid", bias=True, cost="binary_cross_entropy", m=1, l2=0.0
):
    net = MLP(sizes[0], sizes[1:], activation, bias=bias, seed=3)
    rng = random.Random(0)
    X = [[round(rng.uniform(-1, 1), 2) for _ in range(sizes[0])] for _ in range(m)]
    Y = [[rng.randint(0, 1) for _ in range(sizes[-1])] for _ in X]
    outputs = [net.trace(x).output for x in X]
    J = costs.COSTS[cost](outputs[0], Y[0]) if m == 1 else costs.COSTS[cost](outputs, Y)
    return explain(J + costs.l2(net, l2, m) if l2 else J, wrt, notation=notation)


# -------------------------------------------------------------------------------- formulas, however typeset


def plain(latex):
    """LaTeX without spaces, dots, brackets and what else only makes it look well."""
    latex = re.sub(r"\\mathbin\{(\.\\times|\.\*)\}|\.\*|\\odot", "@", latex)
    latex = re.sub(r"\\d?frac\{-", r"-\\frac{", re.sub(r" \\cdot (1\b|\(1\))", "", latex))
    latex = re.sub(r"\\(left|right|mathrm|cdot|times)(?![a-z])|\\[,; ]|\*|\s", "", latex)
    latex = latex.replace("dfrac", "frac").replace(r"J(\theta)", "J").replace(r"J(\Theta)", "J")
    latex = latex.replace(r"\langlei\rangle", "").replace("cost(i)", "cost")
    latex = re.sub(r"\\frac\{\\partial\}(\{\\partial.+?\})(J|cost)$", r"\\frac{\\partial\2}\1", latex)
    latex = re.sub(r"([_^])(\w)", r"\1{\2}", latex)
    latex = re.sub(r"(\^\{[^{}]*\})(_\{[^{}]*\})", r"\2\1", latex)
    latex = re.sub(r"\^\{\(?(\w+)\)?T\}", r"^{\1}^{T}", latex)
    return re.sub(r"\^(?=T)|\^\{\}|[\[\]{}()]", "", re.sub(r"\^\{[tT]\}", "T", latex))


def at(formula, **numbers):
    """The formula with its letters for layers and neurons replaced by numbers: {"l": 2} makes l+1 a 3."""

    def number(part):
        found = re.fullmatch(r"([a-zA-Z])(?:_\{?(\d)\}?)?([+-]\d)?", part)
        if found and (name := found[1] + (found[2] or "")) in numbers:
            return str(numbers[name] + int(found[3] or 0))
        if re.fullmatch(r"[a-zA-Z]{2,}", part) and all(letter in numbers for letter in part):
            return "".join(str(numbers[letter]) for letter in part)  # ij, without a comma
        return part

    def replaced(index):
        parts = [part.strip("() ") for part in index[2].split(",")]
        return f"{index[1]}{{{','.join(map(number, parts))}}}"

    formula = re.sub(r"([_^])\{((?:[^{}]|_\{\d\})*)\}", replaced, formula)
    return re.sub(r"([_^])([a-zA-Z])", lambda index: f"{index[1]}{{{number(index[2])}}}", formula)


#: Entries whose mended form is no equation of its own.
MENDED_IN_PART = {
    "induction-40", "induction-41", "brawer-20", "brawer-41", "brawer-42", "brawer-44", "brawer-46",
}  # fmt: skip
#: Entries of which a letter is mended, or written with the indices that the document leaves out here:
#: (printed, mended or in full).
IN_FULL = {
    "ml15-24": [("z^{(3)}", "z_1^{(3)}")],
    "bp-12": [(r"\nabla_a C", r"\dfrac{\partial C}{\partial a^L}")],
    "brawer-2": [(r"\ell", "e")],
    "brawer-15a": [(r"\begin{cases}h(z)(1 - h(z)) & l > 1 \\ 1 & l = 1\end{cases}", "h^l(z)(1 - h^l(z))"),
                   ("(z)", "(z_j^l)")],
    "brawer-29": [(r"\theta_q", r"\theta_{1,q}^1"), ("h(", "h^2(")],
    "slides-15": [("K", "k")],
    "slides-16": [("z_j^l =", r"\delta_j^l =")],
    "slides-24": [(r"w_{kj}^{l+1}\delta_k^{l+1}", r"\delta_k^{l+1} w_{kj}^{l+1}")],  # as in slides-23
    "slides-32": [(r"\dfrac{dw^l}{(n_l \times n_{l-1})}", r"\dfrac{\partial C}{\partial w^l}")],
    "slides-35": [("db^l", r"\dfrac{\partial C}{\partial b^l}")],
    "slides-36": [],
    "slides-37": [(r"\omega", "w")],
    "slides-39": [(r"\omega", "w")],
    "slides-46": [(r"\dfrac{da^L}{(n_L \times 1)}", r"\dfrac{\partial C}{\partial a^L}")],
    "slides-51": [("y", "y_1"), ("a(", "a_1^L("), ("-a", "-a_1^L"), ("{a-", "{a_1^L-")],
    "slides-54": [("y", "y_1"), ("a(", "a_1^L("), ("-a", "-a_1^L"), ("{a-", "{a_1^L-"), ("a - ", "a_1^L - ")],
}  # fmt: skip
#: Brawer writes h C in some of his equations and C h in the others, which the derivation does.
H_BEFORE_C = r"(h\^\S+?\(z_\S+?\)) (C_\S+)"
#: A sum over one sample, class or neuron, the mean over one sample, and the factor that is 1 for p > 0.
ONE_TERM = (
    r"\\dfrac\{1\}\{m\}(?=\\sum)"
    r"|\\sum_(?:\{[^{}]*(?:_\{\d\}|_\d)?[^{}]*\}|k)(?:\^\{s_\{?[^{}]*\}?\}|\^\{m\})?"
    r"|\(1 - I_\{p,0\}\)|I_\{p,(?:j|k_0)\}(?= \S)"
)


def sides(entry, one, **numbers):
    """The sides of a ledger's equation, mended where it is mended, without the sample's number.

    ``one``: each layer that is summed over has one neuron. Where only a sum's bounds or a class's index is
    mended, the printed form has the rest.
    """
    printed, *mended = EQUATIONS[entry].split("<br> mended: ")
    equation = mended[0] if mended and entry not in {*MENDED_IN_PART, *IN_FULL} else printed
    formula = re.search(r"\$`(.+?)`\$", equation)[1]
    for before, after in IN_FULL.get(entry, []):
        formula = formula.replace(before, after)
    formula = re.sub(r"I_\{p,(?:j|k_0)\}$", "1", re.sub(H_BEFORE_C, r"\2 \1", formula))
    formula = re.sub(
        r"\^\{\((i|l)\)(T?)\}",
        lambda found: "" if found[1] == "i" else f"^{{{numbers['l']}{found[2]}}}",
        formula,
    )
    if one:
        formula = re.sub(ONE_TERM, "", formula)
    equal = re.split(r"\\equiv|:=|=", at(formula, **numbers))
    return [in_one_layer(plain(side), one) for side in equal if side.strip()]


def in_one_layer(side, one):
    """The side with y for the only output's target, and for the slides' y^L."""
    side = re.sub(r"y(_\d)?\^\d", r"y\1", side).replace("A", "a")
    return re.sub(r"_1(?=\^[3L])", "", side.replace("y_1", "y")) if one else side


def printed(found, one):
    """Every line's sides and every heading's formula."""
    style = found.style.__class__(latex=True, times=found.style.times, sigmoid=found.style.sigmoid)
    lines = [" ".join(parts) for step in found.steps for parts in step.lines(style)]
    for section in found.sections:
        for formula in re.findall(r"\$(.+?)\$", section.latex_title):
            lines += formula.split(" = ")
    return {in_one_layer(plain(line), one) for line in lines}


# --------------------------------------------------------------------------------- each document's networks

INDUCTION, ML15, NOTE, BRAWER, SLIDES = "induction", "ML15", "BP1-BP4", "Brawer", "slides"
MANY = {"m": 3, "l2": 0.6}
QUADRATIC = {"cost": "quadratic"}

#: notation, sizes, what the derivative is by, how; the document's letters; the entries that stand there
CASES = [
    (INDUCTION, (3, 1), "W1[1,1]", {"bias": False}, {"l": 1, "i": 1, "j": 1}, "04 06 08 10 13 16 17"),
    (INDUCTION, (3, 1), "W1[1,2]", {"bias": False}, {"l": 1, "i": 1, "j": 2}, "14"),
    (INDUCTION, (3, 1), "W1[1,3]", {"bias": False}, {"l": 1, "i": 1, "j": 3}, "15"),
    (INDUCTION, (3, 2), "W1[1,1]", {"bias": False}, {"l": 1, "i": 1, "j": 1}, "20 21 27"),
    (INDUCTION, (3, 2), "W1[1,2]", {"bias": False}, {"l": 1, "i": 1, "j": 2}, "22 27"),
    (INDUCTION, (3, 2), "W1[1,3]", {"bias": False}, {"l": 1, "i": 1, "j": 3}, "23 27"),
    (INDUCTION, (3, 2), "W1[2,1]", {"bias": False}, {"l": 1, "i": 2, "j": 1}, "24 27"),
    (INDUCTION, (3, 2), "W1[2,2]", {"bias": False}, {"l": 1, "i": 2, "j": 2}, "25 27"),
    (INDUCTION, (3, 2), "W1[2,3]", {"bias": False}, {"l": 1, "i": 2, "j": 3}, "26 27"),
    (INDUCTION, (3, 2, 1), "W1[1,1]", {"bias": False}, {"l": 1, "i": 1, "j": 1}, "28 34 40 41 42 47"),
    (INDUCTION, (3, 2, 1), "W1[1,2]", {"bias": False}, {"l": 1, "i": 1, "j": 2}, "28 35 40 47"),
    (INDUCTION, (3, 2, 1), "W1[1,3]", {"bias": False}, {"l": 1, "i": 1, "j": 3}, "28 36 40 47"),
    (INDUCTION, (3, 2, 1), "W1[2,1]", {"bias": False}, {"l": 1, "i": 2, "j": 1}, "28 37 40 41 42 47"),
    (INDUCTION, (3, 2, 1), "W1[2,2]", {"bias": False}, {"l": 1, "i": 2, "j": 2}, "28 38 40 47"),
    (INDUCTION, (3, 2, 1), "W1[2,3]", {"bias": False}, {"l": 1, "i": 2, "j": 3}, "28 39 40 47"),
    (INDUCTION, (3, 2, 2), "W2[1,1]", {"bias": False}, {"l": 2, "i": 1, "j": 1}, "53 54 58"),
    (INDUCTION, (3, 2, 2), "W2[1,2]", {"bias": False}, {"l": 2, "i": 1, "j": 2}, "55 58"),
    (INDUCTION, (3, 2, 2), "W2[2,1]", {"bias": False}, {"l": 2, "i": 2, "j": 1}, "56 58"),
    (INDUCTION, (3, 2, 2), "W2[2,2]", {"bias": False}, {"l": 2, "i": 2, "j": 2}, "57 58"),
    (ML15, (2, 2, 2, 1), "W1[2,1]", {}, {"l": 1, "i": 2, "j": 1, "L": 4}, "09 10 11 13 17 24 29"),
    (ML15, (2, 2, 2, 1), "W1[2,1]", MANY, {"l": 1, "i": 2, "j": 1, "L": 4}, "09 10 11 17 20 22 29"),
    (ML15, (2, 2, 2, 1), "b1[2]", MANY, {"l": 1, "i": 2, "j": 0, "L": 4}, "21"),
    (NOTE, (2, 3, 1), "W1[2,1]", QUADRATIC, {"l": 2, "j": 2, "k": 1, "L": 3}, "10 12 16 25 26 27"),
    (NOTE, (2, 3, 1), "b1[2]", QUADRATIC, {"l": 2, "j": 2, "k": 1, "L": 3}, "10 20 21"),
    (NOTE, (2, 3, 1), "W2[1,2]", QUADRATIC, {"l": 3, "j": 1, "k": 2, "L": 3}, "11 24 26 27"),
    (SLIDES, (2, 3, 1), "W1[2,1]", QUADRATIC, {"l": 2, "j": 2, "k": 1, "i": 2, "L": 3}, "13 15 16 17 22 23"),
    (SLIDES, (2, 3, 1), "W1[2,1]", QUADRATIC, {"l": 2, "j": 2, "k": 1, "i": 2, "L": 3}, "20 24 25 37"),
    (SLIDES, (2, 3, 1), "W1[2,1]", QUADRATIC, {}, "03 05"),
    (SLIDES, (2, 3, 1), "W1[2,1]", QUADRATIC, {"l": 2, "j": 1, "L": 3}, "11 12 26 32 36 39"),
    (SLIDES, (2, 3, 1), "W1[2,1]", {"cost": "hinge"}, {"L": 3}, "46"),
    (SLIDES, (2, 3, 1), "W1[2,1]", {}, {"L": 3}, "51 54"),
    (SLIDES, (2, 3, 1), "W1[2,1]", QUADRATIC, {"l": 2, "j": 1, "k": 1, "i": 2, "L": 3}, "09 10 28 31"),
    (SLIDES, (2, 3, 1), "W1[2,1]", QUADRATIC, {"l": 2, "j": 1, "L": 3}, "44 45 53"),
    (SLIDES, (2, 3, 1), "W2[1,2]", QUADRATIC, {"l": 3, "j": 1, "i": 2, "L": 3}, "07"),
    (SLIDES, (2, 3, 1), "b2[1]", QUADRATIC, {"l": 3, "j": 1, "L": 3}, "08"),
    (SLIDES, (2, 3, 1), "b1[2]", QUADRATIC, {"l": 2, "j": 2, "k": 1, "i": 2, "L": 3}, "33 34 35 38"),
    (SLIDES, (2, 3, 1), "W2[1,2]", {}, {"l": 3, "j": 2, "i": 1, "L": 3}, "27 31"),
    (BRAWER, (2, 2, 1), "W1[2,1]", {}, {"l": 2, "p": 2, "q": 1, "L": 3, "k": 1, "k0": 1}, "34 43 48"),
    (BRAWER, (2, 2, 1), "W1[2,1]", {}, {"l": 1, "p": 2, "q": 1, "L": 3, "k": 1}, "35 44"),
    (BRAWER, (2, 2, 1), "W1[1,2]", {}, {"l": 2, "p": 1, "q": 2, "j": 1, "L": 3}, "12 14 45"),
    (BRAWER, (2, 2, 1), "W2[1,2]", {}, {"p": 1, "q": 2, "k0": 1, "L": 3}, "24 26"),
    (BRAWER, (2, 2, 1), "b1[2]", {}, {"l": 2, "p": 2, "j": 2, "L": 3}, "13"),
    (BRAWER, (2, 2, 1), "b2[1]", {}, {"p": 1, "k0": 1, "L": 3}, "25"),
    (BRAWER, (2, 2, 1, 1), "W1[2,1]", {}, {"p": 2, "q": 1, "k1": 1, "L": 4}, "40 41"),
    (BRAWER, (2, 1), "W1[1,2]", {}, {"l": 2, "j": 1, "q": 2, "L": 2}, "2 15a 29"),
    (BRAWER, (2, 2, 1), "b1[2]", {}, {"l": 1, "p": 2, "L": 3}, "46"),
    (BRAWER, (2, 2, 1), "b2[1]", {}, {"l": 2, "p": 1, "L": 3}, "27 46"),
    (BRAWER, (2, 2, 2, 1), "W1[2,1]", {}, {"l": 3, "j": 1, "k": 1, "L": 4}, "31"),
    (BRAWER, (2, 1), "W1[1,2]", {}, {"l": 1, "p": 1, "q": 2, "L": 2}, "20 28 42 44"),
]
PREFIX = {INDUCTION: "induction", ML15: "ml15", NOTE: "bp", BRAWER: "brawer", SLIDES: "slides"}


@pytest.mark.parametrize(("notation", "sizes", "wrt", "how", "letters", "entries"), CASES)
def test_the_ledgers_equations_stand_in_the_derivation(notation, sizes, wrt, how, letters, entries):
    one = sizes[-1] == 1
    lines = printed(derivation(notation, sizes, wrt, **how), one)
    for number in entries.split():
        wanted = sides(f"{PREFIX[notation]}-{number}", one, **letters)
        assert any("_" in side or "^" in side for side in wanted), (number, wanted)
        assert [side for side in wanted if side not in lines] == [], number


def test_a_ledgers_equation_that_is_not_derived_is_missed():
    """So the test above does look: what is printed there and mended in the ledger does not pass."""
    lines = printed(derivation(ML15, (2, 2, 2, 1), "W1[2,1]"), True)
    assert plain(r"(\tilde\Theta^{(3)})^T \delta^{(4)} \odot g'(z^{(3)})") in lines
    assert plain(r"(\Theta^{(3)})^T \delta^{(4)} \odot g'(z^{(3)})") not in lines


#: Displayed equations that are no line of a derivation, by the reason: their own tests hold what they say.
NO_LINE = {
    "the cost: Forward ends with it, in the outputs' own names; of several samples it is their mean": """
        induction-03 ml15-25 ml15-26 brawer-18""",
    "an analogy": "ml15-27",
    "a derivative alone, which is said to equal nothing: it is what the derivation is headed by": """
        ml15-03""",
    "a vector in brackets, or an entry of a product: the entries are lines, the heading has the whole": """
        induction-19 induction-44 induction-46 induction-48 induction-49 brawer-47""",
    "shapes; the input by its other name; the bias node, whose output is 1: Forward has its weight alone": """
        ml15-04 brawer-8 brawer-8a-1 brawer-8a-2 slides-04""",
    "the sigmoid and the identity in one: Forward's heading has the sigmoid, (45) is the identity": """
        brawer-3""",
    "the chain rule by a longer step: the derivation has every factor that it is made of": """
        induction-29 induction-30 induction-32 induction-33 induction-51 induction-52 induction-59
        induction-60 bp-14 bp-19""",
    "a path that does not lead to the weight: the derivation leaves it out": "induction-31",
    "algebra between two formulas that both are lines": """
        induction-07 induction-09 induction-11 induction-12 slides-21 slides-30 slides-48 slides-49
        slides-50 slides-52""",
    "Brawer's way to (43) and (44), by a weight layers back at once: the derivation begins there": """
        brawer-10 brawer-11 brawer-16-1 brawer-16-2 brawer-17 brawer-17a brawer-19 brawer-21 brawer-22
        brawer-23 brawer-29a-1 brawer-29a-2 brawer-29a-3 brawer-30 brawer-u3 brawer-32 brawer-33 brawer-33a
        brawer-36-1 brawer-36-2 brawer-37 brawer-39-1 brawer-39-2""",
}


def test_every_displayed_equation_is_a_line_or_has_its_reason():
    lines = {f"{PREFIX[notation]}-{n}" for notation, *_, entries in CASES for n in entries.split()}
    reasons = [entry for entries in NO_LINE.values() for entry in entries.split()]
    assert len(reasons) == len(set(reasons))
    assert lines.isdisjoint(reasons)
    displayed = {entry.id for entry in ENTRIES if entry.is_displayed and entry.status != "definition"}
    assert displayed - lines == set(reasons)


# ---------------------------------------------------------------------------------- headings and their tags

TITLES = [
    (INDUCTION, (3, 2, 1), {"bias": False}, [
        "The error of the output layer, δ⁽³⁾ = a⁽³⁾ - y",
        "The error of the layer below, δ⁽²⁾ = θ⁽²⁾ᵀ δ⁽³⁾ .× g(z⁽²⁾)(1 - g(z⁽²⁾))",
        "The derivative by the weight",
    ]),
    (ML15, (2, 2, 2, 1), {}, [
        "Step 3: the error of the output layer, δ⁽⁴⁾ = a⁽⁴⁾ - y",
        "Step 4: the error of the layer below, δ⁽³⁾ = Θ̃⁽³⁾ᵀ δ⁽⁴⁾ ⊙ g'(z⁽³⁾), where Θ̃ has no column 0",
        "Step 4: the error of the layer below, δ⁽²⁾ = Θ̃⁽²⁾ᵀ δ⁽³⁾ ⊙ g'(z⁽²⁾), where Θ̃ has no column 0",
        "(3): the derivative by the weight",
    ]),
    (NOTE, (2, 3, 1), QUADRATIC, [
        "BP1: the error of the output layer, δ³ = ∂C/∂a³ ⊙ σ'(z³)",
        "BP2: the error of the layer below, δ² = w³ᵀ δ³ ⊙ σ'(z²)",
        "BP4: the derivative by the weight",
    ]),
    (BRAWER, (2, 2, 1), {}, [
        "(42): the error of the output layer, δ³ = h³(z³) - y",
        "(43), (48): the error of the layer below, δ² = θ̃²ᵀ δ³ .* Ψ²(z²), where θ̃ has no column 0",
        "(44): the derivative by the weight",
    ]),
    (BRAWER, (2, 2, 1), QUADRATIC, [
        "The error of the output layer, δ³ = ∂J/∂h³(z³) .* Ψ³(z³)",
        "(43), (48): the error of the layer below, δ² = θ̃²ᵀ δ³ .* Ψ²(z²), where θ̃ has no column 0",
        "(44): the derivative by the weight",
    ]),
    (SLIDES, (2, 3, 1), QUADRATIC, [
        "The error of the output layer, δ^[3] = (a^[3] - y) ⊙ σ'(z^[3])",
        "The error of the layer below, δ^[2] = w^[3]ᵀ δ^[3] ⊙ σ'(z^[2])",
        "The derivative by the weight, ∂C/∂w^[2] = δ^[2] a^[1]ᵀ",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("notation", "sizes", "how", "titles"), TITLES)
def test_headings_have_the_documents_form_and_number(notation, sizes, how, titles):
    found = derivation(notation, sizes, "W1[2,1]", **how)
    assert [section.title for section in found.sections][2:-1] == titles


def test_a_derivation_by_an_input_drops_column_0_too():
    net = MLP(2, [2, 1], "sigmoid", seed=1)
    x = [Value(0.5, label="x1"), Value(-1.0, label="x2")]
    text = explain(net(x), x[0], notation=ML15).text
    assert "∂J(Θ)/∂a⁽¹⁾ = Θ̃⁽¹⁾ᵀ δ⁽²⁾, where Θ̃ has no column 0" in text
    assert "Θ̃" not in explain(MLP(2, [2, 1], "sigmoid", bias=False)(x), x[0], notation=ML15).text


def heading(activation, bias, notation=SLIDES):
    return derivation(notation, (2, 3, 1), "W1[2,1]", activation, bias).sections[1].title


def test_forward_is_headed_by_what_the_document_says_of_this_network():
    plain_title = "Forward, with this graph's numbers"
    assert heading("sigmoid", True) == f"{plain_title}: z^[l] = w^[l] a^[l-1] + b^[l], a^[l] = σ(z^[l])"
    assert heading("sigmoid", False) == f"{plain_title}: z^[l] = w^[l] a^[l-1], a^[l] = σ(z^[l])"
    assert heading("sigmoid", True, BRAWER) == f"{plain_title}: h(z) = 1/(1 + exp(-z))"
    for notation in (SLIDES, BRAWER, INDUCTION):
        assert heading(["tanh", "sigmoid"], True, notation) == plain_title
    for notation in (NOTE, ML15, "autobp"):
        assert heading("sigmoid", True, notation) == plain_title


@pytest.mark.parametrize(
    ("notation", "text", "latex"),
    [(INDUCTION, "log", r"\log"), (ML15, "log", r"\log"), (BRAWER, "ln", r"\ln"), (SLIDES, "log", r"\log"),
     ("autobp", "log", r"\ln")],
)  # fmt: skip
def test_the_logarithm_is_written_as_in_the_document(notation, text, latex):
    found = derivation(notation, (2, 3, 1), "W1[2,1]")
    assert set(re.findall(r"\b(?:log|ln)\b", found.text)) == {text}
    assert set(re.findall(r"\\(?:log|ln)\b", found.latex)) == {latex}


def test_the_slides_output_error_is_a_minus_y_for_their_cost_alone():
    def title(cost):
        net = MLP(2, [3, 1], "sigmoid", seed=3)
        output = net.trace([0.5, -1.0]).output
        return explain(cost(output), "W2[1,2]", notation=SLIDES).sections[2].title

    general = "The error of the output layer, δ^[3] = ∂C/∂a^[3] ⊙ σ'(z^[3])"
    assert title(lambda a: costs.quadratic(a, [1.0])) == general.replace("∂C/∂a^[3]", "(a^[3] - y)")
    assert title(lambda a: 2.0 * costs.quadratic(a, [1.0])) == general
    assert title(lambda a: (a[0] - 1.0) ** 4) == general


@pytest.mark.parametrize("notation", [INDUCTION, ML15, NOTE, BRAWER, SLIDES, "autobp"])
def test_the_cost_of_several_samples_is_a_line_where_the_graph_has_nothing_else(notation):
    net = MLP(2, [2, 1], "sigmoid", seed=3)
    outputs = [net.trace(x).output for x in ([0.5, -1.0], [0.2, 0.3])]
    mean = costs.binary_cross_entropy(outputs, [[1.0], [0.0]])

    def first_line(J):
        found = explain(J, "W1[1,2]", notation=notation)
        step = found.sections[0].steps[0]
        assert step.right[0][0].value == pytest.approx(step.value, rel=1e-12)
        return found.text.splitlines()[3].strip()

    of_one = "cost({})" if notation == ML15 else "J⟨{}⟩" if notation in (INDUCTION, BRAWER) else "C⟨{}⟩"
    whole = {INDUCTION: "J(θ)", ML15: "J(Θ)", NOTE: "C", SLIDES: "C"}.get(notation, "J")
    line = f"{whole} = 1/m · ({of_one.format(1)} + {of_one.format(2)})"
    assert first_line(mean) == line
    letter = {"autobp": "W", NOTE: "w", SLIDES: "w", ML15: "Θ"}.get(notation, "θ")
    assert first_line(mean + costs.l2(net, 0.6, 2)) == f"{line} + λ/(2m) Σ {letter}²"
    w1, w2 = net.layers[0].neurons[0].w
    for J in (mean + 0.3 * w2**2, mean + 1.0, mean + costs.l2(net, 0.6, 2) + 0.3 * w1**2):
        assert first_line(J).startswith("∂")


@pytest.mark.parametrize(
    ("notation", "sizes", "layers"),
    [(ML15, (2, 2, 2, 1), 4), (BRAWER, (2, 1), 2), (INDUCTION, (3, 2), 2), (NOTE, (2, 3, 1), 3),
     (SLIDES, (2, 3, 1), 3), ("autobp", (2, 3, 1), 2)],
)  # fmt: skip
def test_layers_are_counted_as_the_document_counts_them(notation, sizes, layers):
    assert f" in a network of {layers} layers" in derivation(notation, sizes, "W1[1,1]").heading


@pytest.mark.parametrize(
    ("notation", "of_one", "whole"),
    [(ML15, "cost(2)", "J(Θ)"), (INDUCTION, "J⟨2⟩", "J(θ)"), (BRAWER, "J⟨2⟩", "J"), (NOTE, "C⟨2⟩", "C"),
     (SLIDES, "C⟨2⟩", "C"), ("autobp", "C⟨2⟩", "J")],
)  # fmt: skip
def test_a_samples_cost_has_the_documents_name(notation, of_one, whole):
    found = derivation(notation, (2, 2, 1), "W1[1,1]", m=2)
    assert found.heading.startswith(f"∂{whole}/∂")
    assert f"∂{of_one}/∂" in found.text
    assert ("Cₓ" in found.text) == (notation in (NOTE, "autobp"))


# --------------------------------------------------------------------------------- numbers, and their lines


@pytest.mark.parametrize("notation", [INDUCTION, ML15, NOTE, BRAWER, SLIDES, "autobp"])
@pytest.mark.parametrize(
    ("sizes", "wrt", "m"),
    [
        ((3, 2, 2), "W1[1,1]", 1),
        ((2, 2, 2, 1), "W1[2,1]", 3),
        ((3, 2, 2), "W2[1,1]", 2),
        ((4, 4, 4), "b1[3]", 1),
    ],
)
def test_every_number_was_given_or_computed_before(sizes, wrt, m, notation):
    """Every quantity that a printed line computes with has its own line before that."""
    found = derivation(notation, sizes, wrt, m=m, l2=0.1 if m > 1 else 0.0)
    assert "more like these" not in found.text
    known = set()
    for step in found.steps:
        for right, numbers in step.right:
            if numbers:
                for symbol in symbols_of(right):
                    name = re.sub(r"^g\(z(.*)\)$", r"a\1", symbol.text.replace("⟨1⟩", ""))
                    given = re.match(r"[WwΘθbxyλm]|a(?:⁽¹⁾|¹|\^\[1\])", symbol.text) or symbol.value == 1.0
                    assert given or name in known, (name, step)
        known.add(step.left.text)


def symbols_of(formula):
    if isinstance(formula, Symbol):
        return [formula]
    return [symbol for operand in formula.operands for symbol in symbols_of(operand)]


@pytest.mark.parametrize("notation", [INDUCTION, ML15, NOTE, BRAWER, SLIDES, "autobp"])
@pytest.mark.parametrize("sizes", [(2, 2, 2, 1), (3, 3, 3, 2), (2, 12, 12, 4)])
def test_no_line_is_longer_than_it_should_be(notation, sizes):
    lines = derivation(notation, sizes, "W1[2,1]", m=3, l2=0.6).text.splitlines()
    assert max(map(len, lines)) <= 100


def test_the_middle_of_a_layer_is_left_out_by_whole_neurons_and_never_the_outputs():
    text = derivation("autobp", (2, 12, 12, 2), "W1[2,1]").text
    forward = text[text.index("Forward") : text.index("BP1")]
    assert forward.count("more like these") == 2  # of either hidden layer
    for name in ("z1[1]", "a1[1]", "z1[12]", "a1[12]", "z3[1]", "a3[1]", "z3[2]", "a3[2]"):
        assert f"\n  {name} = " in forward
    assert "… and 18 more like these" in forward

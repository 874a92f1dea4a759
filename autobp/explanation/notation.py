"""How five documents on backpropagation write it down, and how autobp does.

A document counts the input as layer 1 or as layer 0, names a matrix of weights by the layer that it leads
from or by the one that it leads to, and has letters of its own. A :class:`Notation` is that choice; the
derivation itself is the same in each.

Everywhere else in autobp the first layer of weights has the number 1: so has it in this module's arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from autobp.arguments import unknown
from autobp.reading.labels import superscript

#: A name in text and in LaTeX.
Name: TypeAlias = tuple[str, str]
#: The number of a neuron, or a letter for it.
Index: TypeAlias = int | str

_GREEK: Final = {
    r"\theta": "θ",
    r"\Theta": "Θ",
    r"\delta": "δ",
    r"\sigma": "σ",
    r"\Psi": "Ψ",
    r"\Delta": "Δ",
}
_LOWERED: Final = str.maketrans("0123456789kj", "₀₁₂₃₄₅₆₇₈₉ₖⱼ")


@dataclass(frozen=True)
class Notation:
    """The letters and the counting of one document.

    Attributes:
        name: what to ask for it by.
        source: whose notation it is.
        cost: the cost, in LaTeX.
        weight: the letter of a weight.
        activation: the letter of the activation function.
        logarithm: the natural logarithm.
        first_layer: the number of the input layer, 0 or 1.
        weights_lead_from: whether θ^l leads from layer l to l+1 and not from l-1 to l.
        layer: how a layer's number is written above, "{}", "({})" or "[{}]".
        separator: between two indices, "," or nothing.
        times: between the factors of a product, in LaTeX.
        bias_column: whether a bias is the weight with the second index 0 and not a letter b of its own.
        derivative: how the derivative of an activation is written: "prime" σ'(z), "psi" Ψ^l(z), or
            "expanded", g(z)(1 - g(z)) at once.
        node_output: whether a node's output is a letter a; where not, it is written h^l(z).
        output_first: whether a gradient is written a δ and not δ a.
        accumulates: whether the samples' gradients are first added up, in Δ, whose mean is D.
        node_zero: whether the bias is a node 0, so that C, M and Ψ stand between δ and the weights.
        elementwise: the sign of the elementwise product.
        sample_cost, numbered_cost: the cost of one sample, and of the sample with a number.
        through_z: whether the chain rule goes from z to z, without the a between.
        equations: what the document calls BP1, BP2, BP3 and BP4; "a - y" where it has BP1 in this form alone,
            of a sigmoid under cross-entropy, "(a - y) ⊙ σ'" where it has it for the quadratic cost; "of many"
            what it calls BP3 and BP4 in the loop over samples.
        whole_layers: which of "forward", "BP3" and "BP4" the document has for whole layers, in matrices.
        defines_sigmoid: whether it says what its activation is, 1/(1 + exp(-z)).
        labels: whether text is written as Values are labelled, W1[2,3].
    """

    name: str
    source: str
    cost: str = "J"
    weight: str = r"\theta"
    activation: str = r"\sigma"
    logarithm: Name = ("log", r"\ln")
    first_layer: int = 1
    weights_lead_from: bool = True
    layer: str = "({})"
    separator: str = ","
    times: str = r" \cdot "
    bias_column: bool = True
    derivative: str = "prime"
    node_output: bool = True
    output_first: bool = False
    through_z: bool = False
    accumulates: bool = False
    node_zero: bool = False
    elementwise: Name = ("⊙", r"\odot")
    sample_cost: Name = ("Cₓ", "C_{x}")
    numbered_cost: Name = ("C⟨{}⟩", r"C^{{\langle {}\rangle}}")
    equations: dict[str, str] = field(default_factory=dict)
    whole_layers: tuple[str, ...] = ()
    defines_sigmoid: bool = False
    labels: bool = False

    def _name(self, letter: str, layer: Index | None, indices: Sequence[Index], sample: int | None) -> Name:
        text = _GREEK.get(letter, letter)
        above = "" if layer is None else self.layer.format(layer)
        # two digits or more would run together
        separator = self.separator or ("," if any(len(str(i)) > 1 for i in indices) else "")
        below = separator.join(map(str, indices))
        of_sample = "" if sample is None else f"⟨{sample}⟩"
        raised = above + ("" if sample is None else rf"\langle {sample}\rangle")
        latex = letter + (f"_{{{below}}}" if below else "") + (f"^{{{raised}}}" if raised else "")
        if self.labels:
            number = "" if layer is None else str(layer)
            return f"{text}{number}" + (
                f"[{','.join(map(str, indices))}]" if indices else ""
            ) + of_sample, latex
        if above:
            text += f"^{above}" if "[" in above else superscript(above)
        if all(len(str(i)) == 1 for i in indices):
            return text + "".join(map(str, indices)).translate(_LOWERED) + of_sample, latex
        return f"{text}[{','.join(map(str, indices))}]{of_sample}", latex

    def number(self, layer: int) -> int:
        """The number that the document gives a layer of neurons; 0 is the input."""
        return layer + self.first_layer

    def weight_name(self, layer: int, *indices: Index) -> Name:
        """The weight that leads to neuron j of a layer from i; without indices the matrix."""
        number = self.number(layer) - self.weights_lead_from
        return self._name(self.weight, number, indices, None)

    def without_bias(self, layer: int) -> Name:
        """The matrix of weights without the biases, which a column 0 is dropped for."""
        text, latex = self.weight_name(layer)
        if not self.bias_column:
            return text, latex
        above = latex.removeprefix(self.weight)
        letter = _GREEK.get(self.weight, self.weight)
        return f"{letter}\u0303{text.removeprefix(letter)}", rf"\tilde{{{self.weight}}}{above}"

    def bias_name(self, layer: int, j: int) -> Name:
        """The bias of neuron j."""
        if self.bias_column:
            return self.weight_name(layer, j, 0)
        return self._name("b", self.number(layer), (j,), None)

    def bias_vector(self, layer: int) -> Name:
        """The biases of a layer, all together; column 0 of the weights where that is where they are."""
        if self.bias_column:
            return self._name(self.weight, self.number(layer) - self.weights_lead_from, ("j", 0), None)
        return self._name("b", self.number(layer), (), None)

    def input_to_neuron(self, layer: int, *indices: Index, sample: int | None = None) -> Name:
        """z."""
        return self._name("z", self.number(layer), indices, sample)

    def output(self, layer: int, *indices: Index, sample: int | None = None) -> Name:
        """a of a layer, 0 for the inputs."""
        if self.node_output and not (self.labels and layer == 0):
            return self._name("a", self.number(layer), indices, sample)
        if layer == 0:
            return self._name("x", None, indices, sample)
        return self.applied(layer, *indices, sample=sample)

    def applied(self, layer: int, *indices: Index, sample: int | None = None) -> Name:
        """The activation of z, written as a function of it."""
        z = self.input_to_neuron(layer, *indices, sample=sample)
        text, latex = _GREEK.get(self.activation, self.activation), self.activation
        if not self.node_output:  # a function for each layer
            number = self.layer.format(self.number(layer))
            text, latex = text + superscript(number), f"{latex}^{{{number}}}"
        return f"{text}({z[0]})", f"{latex}({z[1]})"

    def slope(
        self, layer: int, *indices: Index, sample: int | None = None, function: str | None = None
    ) -> Name:
        """The derivative of the activation at z; ``function`` is its name, where it has one of its own."""
        z = self.input_to_neuron(layer, *indices, sample=sample)
        if self.derivative == "expanded" and function is None:
            text, latex = self.applied(layer, *indices, sample=sample)
            return f"{text}(1 - {text})", f"{latex}(1 - {latex})"
        if self.derivative == "psi":
            number = self.layer.format(self.number(layer))
            return f"Ψ{superscript(number)}({z[0]})", rf"\Psi^{{{number}}}({z[1]})"
        if function is not None:
            return (
                f"{function}'({z[0]})",
                rf"\operatorname{{{function.replace('_', chr(92) + '_')}}}'({z[1]})",
            )
        return f"{_GREEK.get(self.activation, self.activation)}'({z[0]})", f"{self.activation}'({z[1]})"

    def error(self, layer: int, *indices: Index, sample: int | None = None) -> Name:
        """δ."""
        return self._name(r"\delta", self.number(layer), indices, sample)

    def target(self, *indices: Index, sample: int | None = None) -> Name:
        """y."""
        return self._name("y", None, indices, sample)

    def like_weight(self, letter: str, layer: int, *indices: Index) -> Name:
        """Another array with a number for each weight: Δ, D, C or M."""
        number = self.number(layer) - self.weights_lead_from
        return self._name(letter, number, indices, None)

    def forward(self, has_bias: bool) -> Name:
        """z and a of any layer l, in matrices."""
        z, w, a, b = (self._name(letter, "l", (), None) for letter in ("z", self.weight, "a", "b"))
        below, times = self._name("a", "l-1", (), None), self.times
        text = f"{z[0]} = {w[0]} {below[0]}" + f" + {b[0]}" * has_bias
        latex = f"{z[1]} = {w[1]}{times}{below[1]}" + f" + {b[1]}" * has_bias
        sigma = _GREEK.get(self.activation, self.activation), self.activation
        return f"{text}, {a[0]} = {sigma[0]}({z[0]})", f"${latex}$, ${a[1]} = {sigma[1]}({z[1]})$"

    def sigmoid(self) -> Name:
        """What the activation is: 1/(1 + exp(-z))."""
        letter = _GREEK.get(self.activation, self.activation)
        return f"{letter}(z) = 1/(1 + exp(-z))", rf"${self.activation}(z) = \frac{{1}}{{1 + e^{{-z}}}}$"

    def cost_of_sample(self, sample: int | None) -> Name:
        """The cost of one sample, where it is not the whole cost; without its number that of any."""
        if sample is None:
            return self.sample_cost
        text, latex = self.numbered_cost
        return text.format(sample), latex.format(sample)

    def cost_name(self) -> Name:
        """The whole cost."""
        text, latex = self.cost, self.cost
        for letter, greek in _GREEK.items():
            text = text.replace(letter, greek)
        return text, latex

    def equation(self, rule: str) -> str:
        """What the document calls one of BP1 … BP4."""
        return self.equations.get(rule, rule)

    def layers(self, depth: int) -> int:
        """How many layers the document counts in a network of so many layers of weights: its L."""
        return self.number(depth)


_J_OF_SAMPLE: Final[Name] = ("J⟨i⟩", r"J^{\langle i\rangle}")
_J_NUMBERED: Final[Name] = ("J⟨{}⟩", r"J^{{\langle {}\rangle}}")

_ALL: Final = (
    Notation(
        "autobp",
        "autobp's labels, with the input as layer 0",
        first_layer=0,
        weight="W",
        weights_lead_from=False,
        bias_column=False,
        labels=True,
    ),
    Notation(
        "induction",
        "Neural Network Backward Propagation, a proof by induction",
        cost=r"J(\theta)",
        logarithm=("log", r"\log"),
        activation="g",
        derivative="expanded",
        elementwise=(".×", r"\mathbin{.\times}"),
        equations={"BP1": "", "a - y": "", "BP2": "", "BP3": "", "BP4": ""},
        defines_sigmoid=True,
        sample_cost=_J_OF_SAMPLE,
        numbered_cost=_J_NUMBERED,
    ),
    Notation(
        "ML15",
        "Neural Networks - Backpropagation (ML15)",
        cost=r"J(\Theta)",
        logarithm=("log", r"\log"),
        weight=r"\Theta",
        activation="g",
        separator="",
        times=r" \, ",
        output_first=True,
        accumulates=True,
        sample_cost=("cost(i)", r"\mathrm{cost}(i)"),
        numbered_cost=("cost({})", r"\mathrm{{cost}}({})"),
        equations={
            "BP1": "",
            "a - y": "Step 3",
            "BP2": "Step 4",
            "BP3": "(3)",
            "BP4": "(3)",
            "of many": "Step 5",
        },
    ),
    Notation(
        "BP1-BP4",
        "How the Backpropagation algorithm works, a study note on Nielsen's chapter 2",
        cost="C",
        weight="w",
        weights_lead_from=False,
        layer="{}",
        bias_column=False,
        times=r" \, ",
        output_first=True,
        through_z=True,
        whole_layers=("BP3",),
    ),
    Notation(
        "Brawer",
        "Steven Brawer, Derivation of Back Propagation Equations",
        logarithm=("ln", r"\ln"),
        activation="h",
        layer="{}",
        times=r" \, ",
        derivative="psi",
        node_output=False,
        through_z=True,
        node_zero=True,
        elementwise=(".*", r"\mathbin{.*}"),
        defines_sigmoid=True,
        equations={"BP1": "", "a - y": "(42)", "BP2": "(43), (48)", "BP3": "(46)", "BP4": "(44)"},
        sample_cost=_J_OF_SAMPLE,
        numbered_cost=_J_NUMBERED,
    ),
    Notation(
        "slides",
        "Back propagation proof (slides)",
        cost="C",
        logarithm=("log", r"\log"),
        weight="w",
        weights_lead_from=False,
        layer="[{}]",
        separator="",
        bias_column=False,
        through_z=True,
        sample_cost=("C⟨i⟩", r"C^{\langle i\rangle}"),
        whole_layers=("forward", "BP3", "BP4"),
        equations={"BP1": "", "a - y": "", "(a - y) ⊙ σ'": "", "BP2": "", "BP3": "", "BP4": ""},
    ),
)

#: The notations by name.
NOTATIONS: Final = {notation.name: notation for notation in _ALL}


def named(notation: str | Notation) -> Notation:
    """The notation of that name, in capitals or not, or the Notation itself.

    Raises ValueError, with the names there are, where there is none of that name.
    """
    if isinstance(notation, Notation):
        return notation
    for known in _ALL:
        if known.name.lower() == str(notation).lower():
            return known
    raise ValueError(unknown("notation", notation, NOTATIONS))

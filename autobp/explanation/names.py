"""Names in text and in LaTeX: of labels, of derivatives, and of the symbols that stand for these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from autobp.explanation.formula import Formula, Symbol
from autobp.explanation.notation import Name
from autobp.reading.labels import element, parameter

_INDEXED: Final = re.compile(r"([^\W\d_]+)(\d+)\[(\d+(?:,\s*\d+)*)\]")
_NUMBERED: Final = re.compile(r"([^\W\d_]+)_?(\d+)")
_PLAIN: Final = re.compile(r"[\w\[\],.'^(){}⟨⟩]+")
_ESCAPES: Final = {
    "\\": r"\backslash ",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\wedge ",
    "_": r"\_",
    "%": r"\%",
    "~": r"\sim ",
    "<": r"\lt ",
    ">": r"\gt ",
    " ": r"\ ",
}
_GREEK_LETTERS: Final = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta",
    "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ψ": "psi",
    "ω": "omega", "Θ": "Theta", "Δ": "Delta", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip


def label_name(label: str) -> Name:
    """A label as a name in text and in LaTeX: ``W1[2,3]`` and ``x_1`` become letters with indices."""
    match = _INDEXED.fullmatch(label)
    if match:
        letter, layer, indices = match.groups()
        return label, f"{_letters(letter)}^{{({layer})}}_{{{indices}}}"
    match = _NUMBERED.fullmatch(label)
    if match:
        return label, f"{_letters(match[1])}_{{{match[2]}}}"
    if parameter(label) is not None:  # as LaTeX has it already, or in other brackets
        known = element(label)
        letter, indices = known.array.rstrip("0123456789"), ",".join(map(str, known.indices))
        return label, f"{_letters(letter)}^{{({known.array.removeprefix(letter)})}}_{{{indices}}}"
    if _PLAIN.fullmatch(label):
        return label, _letters(label)
    shown = label if label.isprintable() else repr(label)[1:-1]
    return f'"{shown}"', _letters(f'"{shown}"')


def _letters(word: str) -> str:
    if word in _GREEK_LETTERS:
        return "\\" + _GREEK_LETTERS[word]
    if word in _GREEK_LETTERS.values():
        return "\\" + word
    escaped = "".join(_ESCAPES.get(character, character) for character in word)
    return word if len(word) == 1 and word.isalnum() else rf"\mathrm{{{escaped}}}"


def derivative_name(top: Name, bottom: Name, held: Sequence[Name] = ()) -> Name:
    """∂top/∂bottom, perhaps with others held fixed."""
    text, latex = f"∂{top[0]}/∂{bottom[0]}", rf"\frac{{\partial {top[1]}}}{{\partial {bottom[1]}}}"
    if not held:
        return text, latex
    fixed, latex_fixed = ", ".join(name[0] for name in held), ", ".join(name[1] for name in held)
    return f"({text} at fixed {fixed})", rf"\left.{latex}\right|_{{{latex_fixed}}}"


def name_of(symbol: Formula) -> Name:
    """What a symbol is called."""
    assert isinstance(symbol, Symbol)
    return symbol.text, symbol.latex


def derivative_of(top: Formula, bottom: Formula, value: float, meaning: Any) -> Symbol:
    """∂top/∂bottom as a symbol, of two others."""
    return Symbol(*derivative_name(name_of(top), name_of(bottom)), value, meaning)

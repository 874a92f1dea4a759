"""The chain rule written out for one derivative, as it is done on a board.

:func:`explain` reads the graph of a Value. Where the labels of the parameters say that it is a network of
layers (``W1[2,3]``, ``b1[2]``: those that :mod:`autobp.nn` gives, or anyone's own), the derivation speaks in
layers: δ of the output by BP1, of each layer below by BP2, then the gradient by BP4, or BP3 for a bias. The
derivative by a z is its δ, by an input or an activation Wᵀδ. Any other graph is derived node by node: as a
sum over its paths where they are few, and else by naming the derivative of each node once and reusing it.

The labels only say which layer a parameter belongs to; what z and a are is read off the graph's structure. So
a network written by hand is recognised too, and one that merely looks like it is not: every number in a
derivation is computed from the formula that is printed, and a derivation by layers that did not give the
gradient of the graph would be replaced by the one node by node.

What flows in: the flat graph, its network and its targets, from :mod:`autobp.reading`. It is put on a sheet
(``sheet``, ``network_sheet``), where nodes have names (``names``, ``notation``) and the table's rules make
formulas (``formula``, ``rules``); ``by_layers`` and ``by_nodes`` write equations there (``equations``). What
flows out: an :class:`Explanation`, sections of equations as text and as LaTeX.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from autobp.arguments import closest
from autobp.engine import Value
from autobp.explanation.by_layers import by_layers
from autobp.explanation.by_nodes import by_nodes
from autobp.explanation.equations import Equation, Section, shortened
from autobp.explanation.formula import Symbol
from autobp.explanation.names import derivative_name, label_name
from autobp.explanation.notation import Notation, named
from autobp.explanation.paper import body, document, pdf
from autobp.explanation.sheet import Sheet
from autobp.explanation.writing import Writing
from autobp.reading.graph import Graph, record

__all__ = ["Explanation", "explain"]

_WIDTH: Final = 100  # of a line of text; what has no sign to break it at may be longer
_NARROWEST: Final = 40  # of what stands to the right of a long name
_LATEX_WIDTH: Final = 300  # characters of LaTeX that make about as long a line


@dataclass(frozen=True, repr=False)
class Explanation:
    """The derivation of one derivative. ``print`` it, or show it in a notebook.

    Attributes:
        value: the derivative, the float that ``wrt.grad`` has after ``backward()`` from 0.
        heading, latex_heading: what is derived, in text and with mathematics between dollar signs.
        sections: the derivation, step by step.
        style: how formulas are written.
        most: how many steps of a section are printed.
    """

    value: float
    heading: str
    latex_heading: str
    sections: tuple[Section, ...]
    style: Writing
    most: int = 8

    @property
    def steps(self) -> tuple[Equation, ...]:
        """Every step, those included that printing leaves out."""
        return tuple(step for section in self.sections for step in section.steps)

    @property
    def text(self) -> str:
        """The derivation in plain text."""
        lines = [self.heading]
        style = replace(self.style, latex=False)
        for section in self.sections:
            lines += ["", *_wrapped(section.title, _WIDTH)]
            for step in shortened(section, self.most):
                if isinstance(step, int):
                    lines.append(f"  … and {step} more like these")
                    continue
                (left,), *right = step.lines(style)
                margin = " " * len(left)
                for i, parts in enumerate(right):
                    width = max(_WIDTH - len(margin) - len("   = "), _NARROWEST)
                    first, *rest = [part for line in _filled(parts, width) for part in _wrapped(line, width)]
                    lines.append(f"  {left if i == 0 else margin} = {first}")
                    lines += [f"  {margin}   {line}" for line in rest]
        return "\n".join(lines)

    @property
    def latex(self) -> str:
        """The derivation for a LaTeX article that uses amsmath, whose lines and pages break in it.

        For web pages and for MathJax or KaTeX there is :attr:`aligned`.
        """
        return body(self.sections, self.style, self.most)

    @property
    def aligned(self) -> str:
        """The derivation as one ``aligned`` block, for MathJax and KaTeX; on paper it would never break."""
        rows = []
        for section in self.sections:
            rows.append(rf"&\textbf{{{section.latex_title}}}")
            rows += self._latex_rows(section)
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    @property
    def document(self) -> str:
        """The derivation as a LaTeX document, an A4 article whose formulas break over lines and pages."""
        return document(self.latex_heading, self.sections, self.style, self.most)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the :attr:`document` to a ``.tex`` file, or by pdflatex a ``.pdf``; or the text, ``.txt``.

        Raises ValueError where the path ends in none of these, and RuntimeError where there is no pdflatex.
        """
        target = Path(path)
        made = {".tex": lambda: self.document.encode(), ".pdf": lambda: pdf(self.document),
                ".txt": lambda: f"{self.text}\n".encode()}.get(target.suffix.lower())  # fmt: skip
        if made is None:
            raise ValueError(f"a derivation is written as .tex, .pdf or .txt; got {target.name!r}")
        target.write_bytes(made())
        return target

    def _latex_rows(self, section: Section) -> list[str]:
        rows = []
        for step in shortened(section, self.most):
            if isinstance(step, int):
                rows.append(rf"&\quad \dots \text{{ and {step} more like these}}")
                continue
            (left,), *right = step.lines(replace(self.style, latex=True))
            for i, parts in enumerate(right):
                first, *rest = _filled(parts, _LATEX_WIDTH)
                rows.append(f"{left if i == 0 else ''} &= {first}")
                rows += [rf"&\quad {line}" for line in rest]
        return rows

    def _repr_latex_(self) -> str:
        return f"$$\n{self.aligned}\n$$"

    def _repr_markdown_(self) -> str:
        parts = [f"**{self.latex_heading}**"]
        for section in self.sections:
            rows = " \\\\\n".join(self._latex_rows(section))
            parts.append(f"*{section.latex_title}*\n\n$$\n\\begin{{aligned}}\n{rows}\n\\end{{aligned}}\n$$")
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<explanation of {self.heading}: {self.value!r}>"


def explain(
    value: Value, wrt: Value | str, *, notation: str | Notation = "autobp", digits: int = 4
) -> Explanation:
    """Write out the chain rule for ∂value/∂wrt.

    Args:
        value: what is differentiated, a loss say.
        wrt: by what: a Value, or the label of one that ``value`` depends on.
        notation: "autobp", or a document's: "induction", "ML15", "BP1-BP4", "Brawer" or "slides".
        digits: significant digits of the printed numbers, at least 1.

    The graph and all its gradients stay as they are. The time taken is proportional to the size of the graph.

    Raises:
        TypeError: value or wrt is no Value, or a node made by hand has no derivative.
        ValueError: no Value, or more than one, has that label; the notation is unknown.
    """
    if not isinstance(value, Value):
        raise TypeError(f"explain the derivative of a Value; got {value!r}")
    if digits < 1:
        raise ValueError(f"digits must be at least 1; got {digits}")
    chosen = named(notation)
    graph = record([value])
    target = _labelled(graph, wrt) if isinstance(wrt, str) else wrt
    if not isinstance(target, Value):
        raise TypeError(f"explain the derivative by a Value or by its label; got {wrt!r}")
    letter = chosen.activation
    sigmoid = (letter, "σ" if letter == r"\sigma" else letter)
    text, latex = chosen.logarithm
    style = Writing(digits=digits, times=chosen.times, sigmoid=sigmoid, logarithm=(latex, text))
    number = graph.number(target)
    if number is None:
        return _independent(value, target, style)
    sheet = Sheet(graph)
    heading, sections = by_layers(sheet, number, chosen) or by_nodes(sheet, number)
    return Explanation(sheet.adjoint[number], *heading, tuple(sections), style)


def _filled(parts: Sequence[str], width: int) -> list[str]:
    """The pieces joined into lines of at most that width, or of one piece."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


_SIGN: Final = re.compile(r" (?=[-+·] )|(?<=,) ")


def _wrapped(line: str, width: int) -> list[str]:
    """A line of text in lines of at most that width, each broken before the sign that binds least."""
    lines = []
    while len(line) > width:
        places = [found.start() for found in _SIGN.finditer(line) if 0 < found.start() <= width]
        if not places:
            places = [found.start() for found in re.finditer(" ", line) if found.start() <= width][-1:]
        if not places:
            break
        # the last of those that few brackets enclose, and not so early that most of the line is empty
        late = [place for place in places if place > width // 2] or places
        place = min(late, key=lambda at: (_bracketed(line[:at]), line[at + 1] == "·", -at))
        lines.append(line[:place])
        line = line[place + 1 :]
    return [*lines, line]


def _bracketed(text: str) -> int:
    """How many brackets are open at the end of a text."""
    return sum(text.count(opening) - text.count(closing) for opening, closing in ("()", "[]"))


def _labelled(graph: Graph, label: str) -> Value:
    having = [number for number, known in graph.labels.items() if known == label]
    if len(having) == 1:
        return graph.nodes[having[0]]
    if having:
        raise ValueError(f"{len(having)} Values have the label {label!r}; pass the one you mean as wrt")
    known = sorted(set(graph.labels.values()))
    shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    near = closest(label, known)
    hint = f"did you mean {near}? There" if near else "there"
    raise ValueError(f"no Value in the graph has the label {label!r}; {hint} are {shown or 'no labels'}")


def _independent(value: Value, target: Value, style: Writing) -> Explanation:
    top, bottom = label_name(value.label or "J"), label_name(target.label or "w")
    text, latex = derivative_name(top, bottom)
    step = Equation(Symbol(text, latex, 0.0, ("total", value, target)), (), 0.0)
    why = f"{top[0]} was computed without {bottom[0]}"
    return Explanation(
        0.0, text, f"${latex}$", (Section(why, "The value does not depend on it", (step,)),), style
    )

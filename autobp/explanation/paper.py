"""A derivation as a LaTeX document for paper: TeX breaks its lines and pages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final

from autobp.explanation.equations import Section, shortened
from autobp.explanation.writing import Writing

#: TeX breaks a formula in a paragraph after its signs, but where \left encloses them. What is no longer than
#: so many characters stays together.
_TOGETHER: Final = 90
#: Brackets about as large as \left makes them, by what is within: the first that is found there.
_BRACKETS: Final = ((r"\\frac", "bigg"), (r"\^\{[(\[]", "Big"), ("", "big"))

_HEAD: Final = r"""\documentclass[a4paper]{article}
\usepackage{amsmath}
\setlength{\textwidth}{160mm}
\setlength{\oddsidemargin}{0mm}
\setlength{\textheight}{245mm}
\setlength{\topmargin}{-20mm}
\begin{document}
"""

#: Within the group of a derivation alone, so that the text around it in an article stays as it is.
_SETTING: Final = r"""\begingroup
\setlength{\parindent}{0pt}
\setlength{\parskip}{5pt plus 2pt}
\setlength{\jot}{5pt}
\lineskiplimit=3pt \lineskip=5pt
\relpenalty=100 \binoppenalty=200
\def\step#1{{\raggedright\hangindent=3em\hangafter=1 $\displaystyle #1$\par}}
\def\further#1{{\raggedright\leftskip=1.5em\hangindent=1.5em\hangafter=1 $\displaystyle #1$\par}}
"""


def body(sections: Sequence[Section], style: Writing, most: int) -> str:
    """The sections for an article that uses amsmath, whose lines and pages break in them."""
    latex = replace(style, latex=True)
    lines = []
    for section in sections:
        lines.append(rf"\subsection*{{\raggedright {section.latex_title}}}")
        for step in shortened(section, most):
            if isinstance(step, int):
                lines.append(rf"\dots{{}} and {step} more like these\par")
                continue
            (left,), *right = step.lines(latex)
            for i, parts in enumerate(right):
                formula = breakable(" ".join(parts))
                # no page ends with a step's first line, nor begins with its last
                kept = r"\nobreak" if i in (1, len(right) - 1) else ""
                lines.append(rf"{kept}\further{{= {formula}}}" if i else rf"\step{{{left} = {formula}}}")
    return "\n".join([_SETTING + lines[0], *lines[1:], r"\endgroup"])


def document(heading: str, sections: Sequence[Section], style: Writing, most: int) -> str:
    """The source of an A4 article, which needs amsmath and no other package."""
    return rf"{_HEAD}\section*{{{heading}}}" + f"\n{body(sections, style, most)}\n\\end{{document}}\n"


def breakable(formula: str) -> str:
    r"""The formula with brackets that TeX may break a line in, where \left and \right enclose much."""
    changes: list[tuple[int, int, str]] = []
    for start, end in _groups(formula):
        if end - start > _TOGETHER:
            size = next(size for within, size in _BRACKETS if re.search(within, formula[start:end]))
            changes += [(start, len(r"\left"), rf"\{size}l"), (end, len(r"\right"), rf"\{size}r")]
    for place, length, text in sorted(changes, reverse=True):
        formula = formula[:place] + text + formula[place + length :]
    return formula


def _groups(formula: str) -> Iterator[tuple[int, int]]:
    r"""(where a \left is, where its \right is), but for those within braces, where no line can be broken."""
    opened: list[tuple[int, int]] = []
    braces = 0
    for found in re.finditer(r"\\left(?![a-z])|\\right(?![a-z])|\\[{}]|[{}]", formula):
        if found[0] in "{}":
            braces += 1 if found[0] == "{" else -1
        elif found[0] == r"\left":
            opened.append((found.start(), braces))
        elif found[0] == r"\right":
            start, depth = opened.pop()
            if depth == 0 and formula[start + len(r"\left")] == "(":
                yield start, found.start()


def pdf(source: str) -> bytes:
    """The document set by pdflatex; RuntimeError where there is no pdflatex, or it fails."""
    if which("pdflatex") is None:
        raise RuntimeError("there is no pdflatex here to make a PDF; write a .tex file, and set it elsewhere")
    with TemporaryDirectory() as folder:
        Path(folder, "derivation.tex").write_text(source, encoding="utf-8")
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "derivation.tex"],
            cwd=folder, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            log = done.stdout.decode(errors="replace").splitlines()
            said = [line for line in log if line.startswith("!")]
            raise RuntimeError(f"pdflatex failed: {' '.join(said) or 'it gave no reason'}")
        return Path(folder, "derivation.pdf").read_bytes()

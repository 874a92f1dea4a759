"""How formulas and their numbers are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autobp.ops import ATOM, PRODUCT, SUM


@dataclass(frozen=True)
class Writing:
    """How a formula is written.

    Attributes:
        latex: LaTeX if true, else text.
        numbers: write the number that each symbol stands for instead of its name.
        digits: significant digits of numbers, at least 1.
        times: the LaTeX of a product of names; numbers are always multiplied with ``\\cdot``.
        sigmoid: the letter of the logistic function in LaTeX and in text.
        logarithm: the natural logarithm in LaTeX and in text.
        longest: sums of more terms than this are written with Σ, or with their middle left out.
    """

    latex: bool = False
    numbers: bool = False
    digits: int = 4
    times: str = r" \cdot "
    sigmoid: tuple[str, str] = (r"\sigma", "σ")
    logarithm: tuple[str, str] = (r"\ln", "log")
    longest: int = 4

    def number(self, x: float) -> str:
        """x in at most ``digits`` significant digits."""
        if not math.isfinite(x):
            words = {"nan": r"\mathrm{nan}", "inf": r"\infty", "-inf": r"-\infty"} if self.latex else {}
            return words.get(str(x), str(x))
        shown = f"{x:.{self.digits}g}"
        if shown in ("-0", "0"):
            return "0"
        if self.latex and "e" in shown:
            mantissa, exponent = shown.split("e")
            return rf"{mantissa} \times 10^{{{int(exponent)}}}"
        return shown

    def binding(self, x: float) -> int:
        """How tightly a number binds as it is written."""
        written = self.number(x)
        return SUM if written.startswith("-") else PRODUCT if "times" in written else ATOM

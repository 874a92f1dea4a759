"""Standard output and error that take every character: what an encoding has no sign for is spelled out."""

from __future__ import annotations

import codecs
import contextlib
import sys
import unicodedata

#: What stands in for a sign, where NFKD has no letters for it. The rest is written as U+….
_SPELLED = {
    "×": "x", "·": "*", "⊙": "(*)", "∂": "d", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "←": "<-",
    "≤": "<=", "≥": ">=", "≠": "!=", "√": "sqrt", "Σ": "Sum", "σ": "sigma", "λ": "lambda", "δ": "delta",
    "Δ": "Delta", "θ": "theta", "η": "eta", "∞": "inf", "±": "+-", "’": "'", "‘": "'", "“": '"', "”": '"',
    "⋮": ":", "█": "#", "∇": "grad ", "φ": "phi", "ψ": "psi", "ε": "epsilon", "μ": "mu", "α": "alpha",
    "β": "beta", "π": "pi", "∈": "in", "∑": "Sum",
}  # fmt: skip


def take_every_character() -> None:
    """Let nothing that is printed from here on fail for the streams' encodings."""
    codecs.register_error("autobp.spelled", _spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(ValueError, OSError):  # a stream that is closed prints nothing anyway
                stream.reconfigure(errors="autobp.spelled")


def spelled(text: str) -> str:
    """The text in ASCII."""
    return "".join(c if c.isascii() else _SPELLED.get(c) or _plain(c) for c in text)


def _plain(character: str) -> str:
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or f"U+{ord(character):04X}"


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return spelled(error.object[error.start : error.end]), error.end

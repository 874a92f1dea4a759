"""Which version this is, and how it was built: whether its core is compiled and, if not, why.

In: what setup.py recorded beside this file. Out: ``autobp.__compiled__``, ``autobp.__version__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autobp.engine import COMPILED

#: As in setup.cfg.
VERSION = "0.1.0"

#: Where setup.py writes why it compiled nothing; a build that is compiled has no such file.
RECORD = Path(__file__).with_name("not_compiled.txt")


@dataclass(frozen=True)
class Build:
    """True where the core is compiled; ``reason``, and ``str`` with it, say why it is not.

    Uncompiled, the same source runs as it is, only slower.
    """

    compiled: bool

    def __bool__(self) -> bool:
        return self.compiled

    @property
    def reason(self) -> str:
        """Why the core is not compiled; "" where it is."""
        if self.compiled:
            return ""
        if RECORD.exists():
            return RECORD.read_text(encoding="utf-8").strip()
        others = [path.name for path in RECORD.parent.glob("engine.*") if path.suffix in (".so", ".pyd")]
        if others:
            return f"it was compiled for another interpreter than this one: {', '.join(sorted(others))}"
        return "this is the source itself, as in an editable install, which is never stale"

    def __repr__(self) -> str:
        return "compiled by mypyc" if self.compiled else f"not compiled: {self.reason}"


BUILD = Build(COMPILED)

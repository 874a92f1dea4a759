"""Names that programs may use for arrays and arguments, as Python reads them."""

from __future__ import annotations

import keyword
import re

from autobp.ir.expression import UFUNCS
from autobp.ops import TABLE

#: Functions that written programs bring along.
HELPERS = (
    "spread", "segments", "whole", "choose_outer", "choose", "pick", "scatter_add", "repeated", "exchanged",
)  # fmt: skip

#: Names that mean something in every program. So do C1, I1 and so on: its constants.
RESERVED = {"theta", "m", "np", "xp", "len", "float", "lookup", "FLOATS", "work", "finite", *HELPERS, *UFUNCS}


def is_free(name: str) -> bool:
    """Whether a program may have a variable of that name."""
    reserved = keyword.iskeyword(name) or name in RESERVED or name in TABLE
    return name.isidentifier() and not reserved and re.fullmatch(r"_erfc?|[CI]\d+", name) is None

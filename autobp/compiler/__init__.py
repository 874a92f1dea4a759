"""Scalar graph to matrix program.

A graph of scalar operations is traced (:mod:`~autobp.compiler.trace`), brought into one form
(:mod:`~autobp.compiler.canonical`), grouped into arrays (:mod:`~autobp.compiler.group`) whose sums of
products are matrix products (:mod:`~autobp.compiler.factor`), laid out so that they need no copies
(:mod:`~autobp.compiler.layout`), differentiated (:mod:`~autobp.compiler.differentiate`) and written as NumPy
source (:mod:`autobp.backends`). :class:`~autobp.compiler.step.Step` is what users hold.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autobp.compiler.step import compile_step

    compile = compile_step


def __getattr__(name: str) -> Any:
    # At its first use: who writes programs imports their representation alone, not what makes it.
    if name == "compile":
        from autobp.compiler.step import compile_step

        return compile_step
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

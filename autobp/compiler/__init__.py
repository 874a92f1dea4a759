"""Scalar graph to matrix program.

A graph of scalar operations is recorded (:mod:`~autobp.compiler.recording`) and goes through the stages of
:mod:`~autobp.compiler.pipeline`: it is brought into one form (:mod:`~autobp.compiler.canonical`), grouped
into arrays (:mod:`~autobp.compiler.group`) whose sums of products are matrix products
(:mod:`~autobp.compiler.factor`), laid out so that they need no copies (:mod:`~autobp.compiler.layout`),
differentiated (:mod:`~autobp.compiler.differentiate`) and named (:mod:`~autobp.compiler.names`). What comes
out are programs (:mod:`~autobp.ir`), which :mod:`~autobp.compiler.executable` has the backends
write. A graph without arrays is written as tables instead (:mod:`~autobp.compiler.tables`).
:class:`~autobp.compiler.step.Step` is what users hold.
"""

from autobp.compiler.entry import compile as compile
from autobp.compiler.step import Step as Step

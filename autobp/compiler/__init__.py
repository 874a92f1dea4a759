"""Scalar graph to matrix program.

A graph of scalar operations is traced (:mod:`~autobp.compiler.trace`), brought into one form
(:mod:`~autobp.compiler.canonical`), grouped into arrays (:mod:`~autobp.compiler.group`) whose sums of
products are matrix products (:mod:`~autobp.compiler.factor`), laid out so that they need no copies
(:mod:`~autobp.compiler.layout`), differentiated (:mod:`~autobp.compiler.differentiate`) and written as NumPy
source (:mod:`~autobp.compiler.emit`). :class:`~autobp.compiler.step.Step` is what users hold.
"""

from autobp.compiler.step import Step as Step
from autobp.compiler.step import compile_step

compile = compile_step

"""The intermediate representation: what a program is, before anybody writes it.

The compiler makes a :class:`Program` of arrays (:mod:`~autobp.ir.arrays`, :mod:`~autobp.ir.program`), whose
formulas are expressions (:mod:`~autobp.ir.expression`); ``str(program)`` prints it
(:mod:`~autobp.ir.printed`), ``program.verify()`` checks it (:mod:`~autobp.ir.verify`), and backends write it.
``docs/programs.md`` has all kinds of arrays in a table. Nothing here knows of Values, graphs or NumPy text.
"""

from autobp.ir.arrays import Absent as Absent
from autobp.ir.arrays import Argument as Argument
from autobp.ir.arrays import Array as Array
from autobp.ir.arrays import Assemble as Assemble
from autobp.ir.arrays import Choose as Choose
from autobp.ir.arrays import Constant as Constant
from autobp.ir.arrays import Elementwise as Elementwise
from autobp.ir.arrays import Fill as Fill
from autobp.ir.arrays import Floats as Floats
from autobp.ir.arrays import Gather as Gather
from autobp.ir.arrays import Indices as Indices
from autobp.ir.arrays import Input as Input
from autobp.ir.arrays import Local as Local
from autobp.ir.arrays import Map as Map
from autobp.ir.arrays import MatMul as MatMul
from autobp.ir.arrays import OneHot as OneHot
from autobp.ir.arrays import Place as Place
from autobp.ir.arrays import Product as Product
from autobp.ir.arrays import Reduce as Reduce
from autobp.ir.arrays import Repeat as Repeat
from autobp.ir.arrays import Reshape as Reshape
from autobp.ir.arrays import RowDot as RowDot
from autobp.ir.arrays import ScatterAdd as ScatterAdd
from autobp.ir.arrays import Segments as Segments
from autobp.ir.arrays import Shape as Shape
from autobp.ir.arrays import Spread as Spread
from autobp.ir.arrays import Sum as Sum
from autobp.ir.arrays import SumTo as SumTo
from autobp.ir.arrays import Term as Term
from autobp.ir.arrays import Theta as Theta
from autobp.ir.arrays import Total as Total
from autobp.ir.arrays import View as View
from autobp.ir.arrays import method_for as method_for
from autobp.ir.program import Loop as Loop
from autobp.ir.program import Names as Names
from autobp.ir.program import Program as Program
from autobp.ir.program import Result as Result
from autobp.ir.program import in_order as in_order

"""The operation table: every primitive operation once — its value, its local derivatives, how it is written.

What a rule is and what it is run on is told in :mod:`autobp.registry`, whose names stand here too.

``partials`` receives the result y as it stands in the graph: rules differentiate the operation, never the
numerically stable formula that happens to compute it (through exp(-|x|), the third derivative of the
sigmoid at 0 would come out 0 instead of -1/8).

Rules are free to divide by zero or to overflow: a partial may be infinite (sqrt at 0) or not a number. Both
branches of ``where`` are always evaluated; a rule may leave the one not taken infinite, and does so where
derivatives of the partial do not exist: they are then NaN and not a plausible 0.

At a kink the derivative is the one PyTorch gives: 0 for relu and abs at 0, the slope of the left branch for
leaky_relu and elu, one half to each of two equal operands of maximum and minimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from autobp.registry import ATOM as ATOM
from autobp.registry import FLOATS as FLOATS
from autobp.registry import NUMPY as NUMPY
from autobp.registry import POWER_OF as POWER_OF
from autobp.registry import PRODUCT as PRODUCT
from autobp.registry import SIGN as SIGN
from autobp.registry import SUM as SUM
from autobp.registry import TABLE as TABLE
from autobp.registry import Operation as Operation
from autobp.registry import evaluate as evaluate
from autobp.registry import lookup as lookup
from autobp.registry import namespace as namespace
from autobp.registry import operation as operation
from autobp.registry import partials_at as partials_at
from autobp.special import LOGADDEXP as LOGADDEXP  # with which the rest of that module's table comes in

# ---------------------------------------------------------------------------------------------- arithmetic

ADD: Final = operation(
    "add", lambda xp, x, y: x + y, lambda xp, z, x, y: (1.0, 1.0),
    arity=2, text="{0} + {1}", latex="{0} + {1}", precedence=SUM, symbol="+", analytic=True,
)  # fmt: skip

SUBTRACT: Final = operation(
    "subtract", lambda xp, x, y: x - y, lambda xp, z, x, y: (1.0, -1.0),
    arity=2, text="{0} - {1}", latex="{0} - {1}", precedence=SUM, symbol="-", analytic=True,
)  # fmt: skip

MULTIPLY: Final = operation(
    "multiply", lambda xp, x, y: x * y, lambda xp, z, x, y: (y, x),
    arity=2, text="{0}*{1}", latex=r"{0} \cdot {1}", precedence=PRODUCT, symbol="*", analytic=True,
)  # fmt: skip

DIVIDE: Final = operation(
    "divide", lambda xp, x, y: x / y, lambda xp, z, x, y: (1.0 / y, -z / y),
    arity=2, text="{0}/{1}", latex=r"\frac{{{0}}}{{{1}}}", precedence=PRODUCT, symbol="/",
    domain="a divisor other than 0", analytic=True,
)  # fmt: skip

NEGATIVE: Final = operation(
    "negative", lambda xp, x: -x, lambda xp, y, x: (-1.0,),
    text="-{0}", latex="-{0}", precedence=SIGN, symbol="neg", analytic=True,
)  # fmt: skip


def _power_partials(xp: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    # By IEEE 754 x**0 is 1 for every x, and 0**y is 0 for every y > 0: constant, though 0·∞ comes up inside.
    # What where() does not take is left infinite, so that no derivative of these derivatives is silently 0.
    constant_in_x = xp.equal(y, 0.0) * (1.0 - xp.greater(xp.abs(x), 0.0))
    constant_in_y = xp.equal(x, 0.0) * xp.greater_equal(y, 0.0)
    return (
        xp.where(constant_in_x, 0.0, y * xp.power(x, y - 1.0)),
        xp.where(constant_in_y, 0.0, z * xp.log(x)),
    )


POWER: Final = operation(
    "power", lambda xp, x, y: xp.pow(x, y), _power_partials,
    arity=2, text="{0}**{1}", latex="{{{0}}}^{{{1}}}", precedence=POWER_OF, symbol="**",
    domain="a base > 0 (or a whole exponent, and a base other than 0 under a negative one)", analytic=True,
)  # fmt: skip

CONSTANT_POWER: Final = operation(
    "constant_power", lambda xp, x, k: xp.pow(x, k),
    lambda xp, y, x, k: (k * xp.constant_power(x, k - 1.0) if k else 0.0,),
    constants=("exponent",), text="{0}**{1}", latex="{{{0}}}^{{{1}}}", precedence=POWER_OF, symbol="**{0}",
    domain="a base > 0 (or a whole exponent, and a base other than 0 under a negative one)", analytic=True,
)  # fmt: skip

# ------------------------------------------------------------------------------- exponentials and logarithms

EXP: Final = operation(
    "exp", lambda xp, x: xp.exp(x), lambda xp, y, x: (y,),
    latex="e^{{{0}}}", precedence=POWER_OF, analytic=True,
)  # fmt: skip

EXPM1: Final = operation(
    "expm1", lambda xp, x: xp.expm1(x), lambda xp, y, x: (xp.exp(x),),
    latex="e^{{{0}}} - 1", precedence=SUM, analytic=True,
)  # fmt: skip

LOG: Final = operation(
    "log", lambda xp, x: xp.log(x), lambda xp, y, x: (1.0 / x,),
    latex=r"\ln\left({0}\right)", domain="an operand > 0", analytic=True,
)  # fmt: skip

LOG1P: Final = operation(
    "log1p", lambda xp, x: xp.log1p(x), lambda xp, y, x: (1.0 / (1.0 + x),),
    latex=r"\ln\left(1 + {0}\right)", domain="an operand > -1", analytic=True,
)  # fmt: skip


def _xlogy(xp: Any, x: Any, y: Any) -> Any:
    nothing = xp.equal(x, 0.0)
    return xp.where(nothing, xp.where(xp.equal(y, y), 0.0, y), x * xp.log(xp.where(nothing, 1.0, y)))


def _xlogy_partials(xp: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    # PyTorch's 0 where log y does not exist, but 0 also towards y = 0, of which 0·log y does not depend.
    nothing = xp.equal(x, 0.0)
    return (
        xp.where(nothing * xp.less_equal(y, 0.0), 0.0, xp.log(y)),
        xp.where(nothing * xp.equal(y, 0.0), 0.0, x / y),
    )


# x·log y with 0·log 0 = 0, as cross-entropy means it.
XLOGY: Final = operation(
    "xlogy", _xlogy, _xlogy_partials,
    arity=2, text="{0}*log({1})", latex=r"{0} \ln\left({1}\right)", precedence=PRODUCT, symbol="x log y",
    domain="a second operand > 0",
)  # fmt: skip

SQRT: Final = operation(
    "sqrt", lambda xp, x: xp.sqrt(x), lambda xp, y, x: (0.5 / y,),
    latex=r"\sqrt{{{0}}}", domain="an operand >= 0", analytic=True,
)  # fmt: skip

# ------------------------------------------------------------------------------------------- trigonometry

SIN: Final = operation(
    "sin", lambda xp, x: xp.sin(x), lambda xp, y, x: (xp.cos(x),),
    latex=r"\sin\left({0}\right)", domain="a finite operand", analytic=True,
)  # fmt: skip

COS: Final = operation(
    "cos", lambda xp, x: xp.cos(x), lambda xp, y, x: (-xp.sin(x),),
    latex=r"\cos\left({0}\right)", domain="a finite operand", analytic=True,
)  # fmt: skip

TAN: Final = operation(
    "tan", lambda xp, x: xp.tan(x), lambda xp, y, x: (1.0 + y * y,),
    latex=r"\tan\left({0}\right)", domain="a finite operand", analytic=True,
)  # fmt: skip

# 1 - x², accurate near ±1. An operation of its own, since by the product rule its derivative there would be
# the difference of two terms, infinite ones in the second derivatives of asin and acos.
ONE_MINUS_SQUARE: Final = operation(
    "one_minus_square", lambda xp, x: (1.0 - x) * (1.0 + x), lambda xp, y, x: (-2.0 * x,),
    text="(1 - {0})*(1 + {0})", latex=r"(1 - {0}) (1 + {0})", precedence=PRODUCT, analytic=True, inline=True,
)  # fmt: skip

ASIN: Final = operation(
    "asin", lambda xp, x: xp.asin(x), lambda xp, y, x: (1.0 / xp.sqrt(xp.one_minus_square(x)),),
    latex=r"\arcsin\left({0}\right)", domain="an operand from -1 to 1", analytic=True,
)  # fmt: skip

ACOS: Final = operation(
    "acos", lambda xp, x: xp.acos(x), lambda xp, y, x: (-1.0 / xp.sqrt(xp.one_minus_square(x)),),
    latex=r"\arccos\left({0}\right)", domain="an operand from -1 to 1", analytic=True,
)  # fmt: skip

ATAN: Final = operation(
    "atan", lambda xp, x: xp.atan(x), lambda xp, y, x: (1.0 / (1.0 + x * x),),
    latex=r"\arctan\left({0}\right)", analytic=True,
)  # fmt: skip

SINH: Final = operation(
    "sinh", lambda xp, x: xp.sinh(x), lambda xp, y, x: (xp.cosh(x),),
    latex=r"\sinh\left({0}\right)", analytic=True,
)  # fmt: skip

COSH: Final = operation(
    "cosh", lambda xp, x: xp.cosh(x), lambda xp, y, x: (xp.sinh(x),),
    latex=r"\cosh\left({0}\right)", analytic=True,
)  # fmt: skip

TANH: Final = operation(
    "tanh", lambda xp, x: xp.tanh(x), lambda xp, y, x: (1.0 - y * y,),
    latex=r"\tanh\left({0}\right)", analytic=True,
)  # fmt: skip

ERF: Final = operation(
    "erf", lambda xp, x: xp.erf(x), lambda xp, y, x: (2.0 / math.sqrt(math.pi) * xp.exp(-(x * x)),),
    latex=r"\operatorname{{erf}}\left({0}\right)", analytic=True,
)  # fmt: skip

ERFC: Final = operation(
    "erfc", lambda xp, x: xp.erfc(x), lambda xp, y, x: (-2.0 / math.sqrt(math.pi) * xp.exp(-(x * x)),),
    latex=r"\operatorname{{erfc}}\left({0}\right)", analytic=True,
)  # fmt: skip

# -------------------------------------------------------------------------------------------- activations


def _sigmoid(xp: Any, x: Any) -> Any:
    e = xp.exp(-xp.abs(x))  # at most 1, so that nothing overflows for arguments of any size
    return xp.where(xp.greater_equal(x, 0.0), 1.0, e) / (1.0 + e)


SIGMOID: Final = operation(
    "sigmoid", _sigmoid, lambda xp, y, x: (y * (1.0 - y),),
    latex=r"\sigma\left({0}\right)", symbol="sigmoid",
)  # fmt: skip

SOFTPLUS: Final = operation(
    "softplus", lambda xp, x: xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x))),
    lambda xp, y, x: (xp.sigmoid(x),),
    latex=r"\ln\left(1 + e^{{{0}}}\right)",
)  # fmt: skip

RELU: Final = operation(
    "relu", lambda xp, x: xp.maximum(x, 0.0), lambda xp, y, x: (xp.greater(x, 0.0),),
    latex=r"\max\left(0, {0}\right)", symbol="ReLU", selects=True,
)  # fmt: skip

LEAKY_RELU: Final = operation(
    "leaky_relu", lambda xp, x, k: xp.where(xp.greater(x, 0.0), x, k * x),
    lambda xp, y, x, k: (xp.where(xp.greater(x, 0.0), 1.0, k),),
    constants=("slope",), defaults=(0.01,), latex=r"\operatorname{{leaky}}_{{{1}}}\left({0}\right)",
)  # fmt: skip


def _elu(xp: Any, x: Any, alpha: Any) -> Any:
    positive = xp.greater(x, 0.0)
    return xp.where(positive, x, alpha * xp.expm1(xp.where(positive, 0.0, x)))


def _elu_partials(xp: Any, y: Any, x: Any, alpha: Any) -> tuple[Any]:
    positive = xp.greater(x, 0.0)
    return (xp.where(positive, 1.0, alpha * xp.exp(xp.where(positive, 0.0, x))),)


ELU: Final = operation(
    "elu", _elu, _elu_partials,
    constants=("alpha",), defaults=(1.0,), latex=r"\operatorname{{elu}}_{{{1}}}\left({0}\right)",
)  # fmt: skip

GELU: Final = operation(
    "gelu", lambda xp, x: 0.5 * x * xp.erfc(x * -math.sqrt(0.5)),  # 1 + erf would cancel for x << 0
    lambda xp, y, x: (
        0.5 * xp.erfc(x * -math.sqrt(0.5)) + x * xp.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi),
    ),
    latex=r"{0} \, \Phi\left({0}\right)", precedence=PRODUCT, analytic=True,
)  # fmt: skip


def _silu_partials(xp: Any, y: Any, x: Any) -> tuple[Any]:
    s = xp.sigmoid(x)
    return (s + y * (1.0 - s),)


SILU: Final = operation(
    "silu", lambda xp, x: x * xp.sigmoid(x), _silu_partials,
    latex=r"{0} \, \sigma\left({0}\right)", precedence=PRODUCT,
)  # fmt: skip

# --------------------------------------------------------------------------------------- pieces and choices

ABS: Final = operation(
    "abs", lambda xp, x: xp.abs(x), lambda xp, y, x: (xp.sign(x),),
    text="|{0}|", latex=r"\left|{0}\right|",
)  # fmt: skip

SIGN_OF: Final = operation(
    "sign", lambda xp, x: xp.where(xp.equal(x, x), xp.greater(x, 0.0) - xp.less(x, 0.0), x),
    lambda xp, y, x: (0.0,), selects=True,
)  # fmt: skip


def _extremum_partials(xp: Any, first_wins: Any, tie: Any) -> tuple[Any, Any]:
    first = xp.where(tie, 0.5, first_wins)
    return first, 1.0 - first


MAXIMUM: Final = operation(
    "maximum", lambda xp, x, y: xp.maximum(x, y),
    lambda xp, z, x, y: _extremum_partials(xp, xp.greater(x, y), xp.equal(x, y)),
    arity=2, text="max({0}, {1})", latex=r"\max\left({0}, {1}\right)", symbol="max",
    selects=True,
)  # fmt: skip

MINIMUM: Final = operation(
    "minimum", lambda xp, x, y: xp.minimum(x, y),
    lambda xp, z, x, y: _extremum_partials(xp, xp.less(x, y), xp.equal(x, y)),
    arity=2, text="min({0}, {1})", latex=r"\min\left({0}, {1}\right)", symbol="min",
    selects=True,
)  # fmt: skip


def _comparison(name: str, sign: str, latex: str, holds: Callable[[Any, Any], Any]) -> Operation:
    """A comparison that is a node: 1 where it holds and 0 where not, with derivative 0."""
    return operation(
        name,
        lambda xp, x, y: xp.where(holds(x, y), 1.0, 0.0),
        lambda xp, z, x, y: (0.0, 0.0),
        arity=2,
        text=f"[{{0}} {sign} {{1}}]",
        latex=rf"\left[{{0}} {latex} {{1}}\right]",
        symbol=sign,
        selects=True,
    )


GREATER: Final = _comparison("greater", ">", ">", lambda x, y: x > y)
GREATER_EQUAL: Final = _comparison("greater_equal", ">=", r"\geq", lambda x, y: x >= y)
LESS: Final = _comparison("less", "<", "<", lambda x, y: x < y)
LESS_EQUAL: Final = _comparison("less_equal", "<=", r"\leq", lambda x, y: x <= y)
EQUAL: Final = _comparison("equal", "==", "=", lambda x, y: x == y)
NOT_EQUAL: Final = _comparison("not_equal", "!=", r"\neq", lambda x, y: x != y)

WHERE: Final = operation(
    "where", lambda xp, c, x, y: xp.where(c, x, y),
    lambda xp, z, c, x, y: (0.0, xp.not_equal(c, 0.0), xp.equal(c, 0.0)),
    arity=3, text="where({0}, {1}, {2})",
    selects=True, latex=r"\begin{{cases}} {1} & \text{{if }} {0} \\ {2} & \text{{otherwise}} \end{{cases}}",
)  # fmt: skip

TAKE: Final = operation(
    "take", lambda xp, i, *values: xp.choose(i, values),
    lambda xp, y, i, *values: (0.0, *[xp.equal(i, float(k)) for k in range(len(values))]),
    arity=None, selects=True,
)  # fmt: skip

STOP_GRADIENT: Final = operation(
    "stop_gradient", lambda xp, x: x, lambda xp, y, x: (0.0,),
    text="stop({0})", latex=r"\operatorname{{stop}}\left({0}\right)", symbol="stop",
    selects=True,
)  # fmt: skip

# --------------------------------------------------------------------------------------------- derivatives

#: The operations that stand here and in :mod:`autobp.special`, by name, and not those that users register.
BUILT_IN: Final[dict[str, Operation]] = dict(TABLE)


def _applied(xp: Any, op: Operation) -> Operation:
    return op


#: The operations on Values: a rule run on them gives a partial that is a graph, with derivatives of its own.
VALUES: Final = namespace("values", _applied, pow=POWER, choose=lambda index, values: TAKE(index, *values))

"""More of the operation table: what models are written with beside arithmetic, exponentials and activations.

Logarithms and exponentials to other bases, angles and distances, rounding, the gamma function and its
logarithmic derivatives, and the normal distribution. :mod:`autobp.ops` brings them in.

NumPy has no gamma functions. Their rules shift the argument until an asymptotic series holds, and reflect
what is negative: Abramowitz and Stegun 6.1.17, 6.1.33, 6.1.40, 6.3.18, 6.4.7; DLMF 25.11.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from autobp.registry import PRODUCT, Operation, operation

# ------------------------------------------------------------------------------ exponentials and logarithms

_LN_2 = math.log(2.0)
_LN_10 = math.log(10.0)

LOG2: Final = operation(
    "log2", lambda xp, x: xp.log2(x), lambda xp, y, x: (1.0 / (x * _LN_2),),
    latex=r"\log_2\left({0}\right)", domain="an operand > 0", analytic=True,
)  # fmt: skip

LOG10: Final = operation(
    "log10", lambda xp, x: xp.log10(x), lambda xp, y, x: (1.0 / (x * _LN_10),),
    latex=r"\log_{{10}}\left({0}\right)", domain="an operand > 0", analytic=True,
)  # fmt: skip

EXP2: Final = operation(
    "exp2", lambda xp, x: xp.exp2(x), lambda xp, y, x: (y * _LN_2,),
    latex=r"2^{{{0}}}", analytic=True,
)  # fmt: skip


def _logaddexp_partials(xp: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    # of two that are -∞ together, neither has a part in the result
    nothing = xp.equal(z, -math.inf)
    difference = xp.where(xp.equal(x, y) * xp.equal(xp.abs(x), math.inf), 0.0, x - y)
    share = xp.sigmoid(difference), xp.sigmoid(-difference)
    return xp.where(nothing, 0.0, share[0]), xp.where(nothing, 0.0, share[1])


LOGADDEXP: Final = operation(
    "logaddexp", lambda xp, x, y: xp.logaddexp(x, y), _logaddexp_partials,
    arity=2, latex=r"\ln\left(e^{{{0}}} + e^{{{1}}}\right)",
)  # fmt: skip

LOG_SIGMOID: Final = operation(
    "log_sigmoid", lambda xp, x: -xp.softplus(-x), lambda xp, y, x: (xp.sigmoid(-x),),
    latex=r"\ln \sigma\left({0}\right)",
)  # fmt: skip

# ------------------------------------------------------------------------- roots, hyperbolic inverses, angles

CBRT: Final = operation(
    "cbrt", lambda xp, x: xp.cbrt(x), lambda xp, y, x: (1.0 / (3.0 * y * y),),
    latex=r"\sqrt[3]{{{0}}}",
)  # fmt: skip

ASINH: Final = operation(
    "asinh", lambda xp, x: xp.asinh(x), lambda xp, y, x: (1.0 / xp.hypot(1.0, x),),
    latex=r"\operatorname{{arsinh}}\left({0}\right)",
)  # fmt: skip

# x² - 1, accurate near ±1 and an operation of its own, as 1 - x² is for acos.
SQUARE_MINUS_ONE: Final = operation(
    "square_minus_one", lambda xp, x: (x - 1.0) * (x + 1.0), lambda xp, y, x: (2.0 * x,),
    text="({0} - 1)*({0} + 1)", latex=r"({0} - 1) ({0} + 1)", precedence=PRODUCT, analytic=True, inline=True,
)  # fmt: skip

ACOSH: Final = operation(
    "acosh", lambda xp, x: xp.acosh(x), lambda xp, y, x: (1.0 / xp.sqrt(xp.square_minus_one(x)),),
    latex=r"\operatorname{{arcosh}}\left({0}\right)", domain="an operand >= 1", analytic=True,
)  # fmt: skip

ATANH: Final = operation(
    "atanh", lambda xp, x: xp.atanh(x), lambda xp, y, x: (1.0 / xp.one_minus_square(x),),
    latex=r"\operatorname{{artanh}}\left({0}\right)", domain="an operand from -1 to 1", analytic=True,
)  # fmt: skip


def _atan2_partials(xp: Any, z: Any, y: Any, x: Any) -> tuple[Any, Any]:
    r = xp.hypot(x, y)
    return x / r / r, -y / r / r


ATAN2: Final = operation(
    "atan2", lambda xp, y, x: xp.atan2(y, x), _atan2_partials,
    arity=2, latex=r"\operatorname{{atan2}}\left({0}, {1}\right)",
)  # fmt: skip

HYPOT: Final = operation(
    "hypot", lambda xp, x, y: xp.hypot(x, y), lambda xp, z, x, y: (x / z, y / z),
    arity=2, latex=r"\sqrt{{{0}^2 + {1}^2}}",
)  # fmt: skip

# ------------------------------------------------------------------------------------------------- rounding

def _steps(name: str, value: Callable[..., Any], latex: str) -> Operation:
    """An operation that is flat but for its jumps: its derivative is 0, and stops an infinite one."""
    return operation(name, value, lambda xp, y, x: (0.0,), latex=latex, selects=True)


FLOOR: Final = _steps("floor", lambda xp, x: xp.floor(x), r"\left\lfloor {0} \right\rfloor")

CEIL: Final = _steps("ceil", lambda xp, x: xp.ceil(x), r"\left\lceil {0} \right\rceil")

#: To the nearest whole number, a tie to the even one, as Python and NumPy round.
ROUND: Final = _steps("round", lambda xp, x: xp.rint(x), r"\operatorname{{round}}\left({0}\right)")

#: What is left of x where y goes into it: x - y·⌊x/y⌋, with the sign of y, as Python and NumPy have it. The
#: quotient comes from the result, for ⌊x/y⌋ of rounded numbers can be another.
MOD: Final = operation(
    "mod", lambda xp, x, y: xp.remainder(x, y), lambda xp, z, x, y: (1.0, -xp.round((x - z) / y)),
    arity=2, text="mod({0}, {1})", latex=r"\left({0} \bmod {1}\right)", domain="a divisor other than 0",
)  # fmt: skip


def _clip_partials(xp: Any, z: Any, x: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
    # as PyTorch's clamp: at a bound x itself; high where low is greater
    too_high = xp.greater(xp.maximum(x, low), high)
    too_low = xp.less(x, low) * (1.0 - too_high)
    return 1.0 - too_low - too_high, too_low, too_high


CLIP: Final = operation(
    "clip", lambda xp, x, low, high: xp.minimum(xp.maximum(x, low), high), _clip_partials,
    arity=3, latex=r"\operatorname{{clip}}\left({0}, {1}, {2}\right)", selects=True,
)  # fmt: skip

# -------------------------------------------------------------------------------------- the gamma function

_SHIFT = 8  # the series hold for arguments of 8 and more

#: B_2j / (2j)! with the Bernoulli numbers B, j = 1, 2, …
_BERNOULLI: Final = (
    0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07,
    2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13,
)  # fmt: skip

#: (-1)^k (ζ(k) - 1) / k for k = 2, 3, … after 1 - γ: log Γ(2 + z) = z·Σ, for |z| <= 1/2.
_AROUND_2: Final = (
    0.42278433509846713, 0.3224670334241132, -0.0673523010531981, 0.020580808427784546, -0.007385551028673986,
    0.0028905103307415234, -0.001192753911703261, 0.0005096695247430425, -0.00022315475845357939,
    9.945751278180853e-05, -4.492623673813314e-05, 2.050721277567069e-05, -9.439488275268397e-06,
    4.374866789907488e-06, -2.039215753801366e-06, 9.55141213040742e-07, -4.492469198764566e-07,
    2.1207184805554665e-07, -1.0043224823968099e-07, 4.7698101693639804e-08, -2.2711094608943164e-08,
    1.0838659214896955e-08, -5.183475041970047e-09, 2.4836745438024785e-09, -1.1921401405860912e-09,
    5.731367241678862e-10,
)  # fmt: skip

#: The series of log Γ, ψ in 1/w or 1/w², from B_2j/(2j(2j - 1)) and B_2j/(2j).
_STIRLING: Final = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
_DIGAMMA: Final = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """Σ_k c_k·x^k, by Horner's rule."""
    found: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        found = found * x + c
    return found


def _to_nearest(xp: Any, x: Any) -> Any:
    """x less the whole number next to it, exactly: of the size of 1/2 at most, with the same sin² πx."""
    return x - xp.rint(x)


def _lgamma_by_series(xp: Any, x: Any) -> Any:
    """log Γ(x) for x >= 5/2."""
    few = xp.less(x, float(_SHIFT))
    few_x = xp.where(few, x, 1.0)
    product = few_x
    for k in range(1, 6):
        product = product * (few_x + float(k))
    w = xp.where(few, x + 6.0, x)
    series = _polynomial(_STIRLING, 1.0 / w / w) / w
    stirling = (w - 0.5) * (xp.log(w) - 1.0) + (0.5 * math.log(2.0 * math.pi) - 0.5 + series)
    return stirling - xp.where(few, xp.log(product), 0.0)


def _lgamma(xp: Any, x: Any) -> Any:
    mirrored = xp.less(x, 0.5)
    x_right = xp.where(mirrored, 1.0 - x, x)
    near_1, near_2 = xp.less(x_right, 1.5), xp.less(x_right, 2.5)
    z = xp.where(near_2, x_right - xp.where(near_1, 1.0, 2.0), 0.0)
    around = z * _polynomial(_AROUND_2, z) - xp.where(near_1, xp.log1p(z), 0.0)
    found = xp.where(near_2, around, _lgamma_by_series(xp, xp.where(near_2, 3.0, x_right)))
    sine = xp.abs(xp.sin(math.pi * xp.where(mirrored, _to_nearest(xp, x), 0.5)))
    return xp.where(mirrored, math.log(math.pi) - xp.log(sine) - found, found)


#: log |Γ(x)|.
LGAMMA: Final = operation(
    "lgamma", _lgamma, lambda xp, y, x: (xp.digamma(x),),
    latex=r"\ln \Gamma\left({0}\right)", domain="an operand other than 0, -1, -2, …",
)  # fmt: skip


def _digamma(xp: Any, x: Any) -> Any:
    mirrored = xp.less(x, 0.0)
    x_right = xp.where(mirrored, 1.0 - x, x)
    few = xp.less(x_right, float(_SHIFT))
    few_x = xp.where(few, x_right, 1.0)
    below = 1.0 / few_x
    for k in range(1, _SHIFT):
        below = below + 1.0 / (few_x + float(k))
    w = xp.where(few, x_right + float(_SHIFT), x_right)
    series = xp.log(w) - 0.5 / w - _polynomial(_DIGAMMA, 1.0 / w / w) / w / w
    found = series - xp.where(few, below, 0.0)
    angle = math.pi * xp.where(mirrored, _to_nearest(xp, x), 0.25)
    return xp.where(mirrored, found - math.pi / xp.tan(angle), found)


#: The derivative of log Γ.
DIGAMMA: Final = operation(
    "digamma", _digamma, lambda xp, y, x: (xp.trigamma(x),),
    latex=r"\psi\left({0}\right)", domain="an operand other than 0, -1, -2, …",
)  # fmt: skip


def _hurwitz_zeta(xp: Any, x: Any, s: Any) -> Any:
    below = xp.pow(x, -s)
    for k in range(1, _SHIFT):
        below = below + xp.pow(x + float(k), -s)
    w = x + float(_SHIFT)
    power = xp.pow(w, -s)
    found = below + power * (w / (s - 1.0) + 0.5)
    rising = s * power / w
    for j, c in enumerate(_BERNOULLI):
        found = found + c * rising
        rising = rising * ((s + float(2 * j + 1)) * (s + float(2 * j + 2))) / w / w
    return xp.where(xp.greater(x, 0.0), found, xp.where(xp.equal(x, 0.0), math.inf, math.nan))


#: Σ_k 1/(k + x)^s, k = 0, 1, …, for s > 1 and x > 0: by Euler and Maclaurin's formula.
HURWITZ_ZETA: Final = operation(
    "hurwitz_zeta", _hurwitz_zeta, lambda xp, y, x, s: (-s * xp.hurwitz_zeta(x, s + 1.0),),
    constants=("s",), latex=r"\zeta\left({1}, {0}\right)", domain="an operand > 0",
)  # fmt: skip


def _sine_and_cosine(xp: Any, mirrored: Any, x: Any) -> tuple[Any, Any]:
    """sin πx and cos πx but for their signs, which are one another's; of 1/4 where nothing is mirrored."""
    angle = math.pi * xp.where(mirrored, x - xp.round(x), 0.25)
    return xp.sin(angle), xp.cos(angle)


def _trigamma(xp: Any, x: Any) -> Any:
    mirrored = xp.less(x, 0.0)
    found = xp.hurwitz_zeta(xp.where(mirrored, 1.0 - x, x), 2.0)
    sine, _ = _sine_and_cosine(xp, mirrored, x)
    return xp.where(mirrored, math.pi / sine * (math.pi / sine) - found, found)


def _trigamma_partials(xp: Any, y: Any, x: Any) -> tuple[Any]:
    mirrored = xp.less(x, 0.0)
    slope = -2.0 * xp.hurwitz_zeta(xp.where(mirrored, 1.0 - x, x), 3.0)
    sine, cosine = _sine_and_cosine(xp, mirrored, x)
    of_sine = -2.0 * math.pi**3 * cosine / (sine * sine * sine)
    return (xp.where(mirrored, of_sine - xp.where(mirrored, slope, 0.0), slope),)


#: The second derivative of log Γ.
TRIGAMMA: Final = operation(
    "trigamma", _trigamma, _trigamma_partials,
    latex=r"\psi_1\left({0}\right)", domain="an operand other than 0, -1, -2, …",
)  # fmt: skip

# --------------------------------------------------------------------------------- the normal distribution

_ROOT_HALF = math.sqrt(0.5)
_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)
_TAIL = -20.0  # below it Φ(x) ~ φ(x)/-x·(1 - 1/x² + 1·3/x⁴ - …) to the last digit (26.2.12)
_TAIL_SERIES: Final = (1.0, -1.0, 3.0, -15.0, 105.0, -945.0, 10395.0, -135135.0)

#: Φ(x): how likely a standard normal variable is below x.
NORM_CDF: Final = operation(
    "norm_cdf", lambda xp, x: 0.5 * xp.erfc(x * -_ROOT_HALF),
    lambda xp, y, x: (_DENSITY_AT_0 * xp.exp(-0.5 * x * x),),
    latex=r"\Phi\left({0}\right)", analytic=True,
)  # fmt: skip


def _log_norm_cdf(xp: Any, x: Any) -> Any:
    tail, upper = xp.less(x, _TAIL), xp.greater(x, 0.0)
    far = xp.where(tail, x, _TAIL)
    series = xp.log(_polynomial(_TAIL_SERIES, 1.0 / far / far))
    in_tail = series - 0.5 * far * far - xp.log(-far) + math.log(_DENSITY_AT_0)
    body = xp.log(0.5 * xp.erfc(xp.where(tail, 0.0, xp.minimum(x, 0.0)) * -_ROOT_HALF))
    above = xp.log1p(-0.5 * xp.erfc(xp.where(upper, x, 0.0) * _ROOT_HALF))
    return xp.where(tail, in_tail, xp.where(upper, above, body))


#: log Φ(x), to full accuracy where Φ itself is 0 or 1 in floats.
LOG_NORM_CDF: Final = operation(
    "log_norm_cdf", _log_norm_cdf, lambda xp, y, x: (xp.inverse_mills(x),),
    latex=r"\ln \Phi\left({0}\right)",
)  # fmt: skip


def _inverse_mills(xp: Any, x: Any) -> Any:
    tail = xp.less(x, _TAIL)
    far, body = xp.where(tail, x, _TAIL), xp.where(tail, 0.0, x)
    near = 2.0 * _DENSITY_AT_0 * xp.exp(-0.5 * body * body) / xp.erfc(body * -_ROOT_HALF)
    return xp.where(tail, -far / _polynomial(_TAIL_SERIES, 1.0 / far / far), near)


#: φ(x)/Φ(x), the slope of log Φ; of a sample that is cut off below, the mean is this at the cut.
INVERSE_MILLS: Final = operation(
    "inverse_mills", _inverse_mills, lambda xp, y, x: (-y * (x + y),),
    latex=r"\frac{{\varphi}}{{\Phi}}\left({0}\right)", precedence=PRODUCT,
)  # fmt: skip

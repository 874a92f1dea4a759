"""Short functions of C for exp and tanh, of which compilers do several numbers at once.

Most C libraries have these two for one number at a time. Where one has them for several, programs call it:
compilers take longer over what is inlined. What is written here gives the same digits with every compiler
that fuses no operations. With 2^k e^r for e^x, where k is whole and r at most log(2)/2 in size (W. J. Cody
and W. Waite, Software Manual for the Elementary Functions, chapter 6), what is left to approximate is
e^r = 1 + r + r² q(r). The coefficients of q are those of a Chebyshev fit, whose error in e^r is below 2e-19.
"""

from __future__ import annotations

#: q(r), whose constant term comes first.
_Q = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326136,
    0.0013888888888883748,
    0.00019841269874820627,
    2.4801587325547743e-05,
    2.7557255400206422e-06,
    2.75572736431103e-07,
    2.5105217004720745e-08,
    2.0914686968086876e-09,
)

_PER_LOG_2 = "1.4426950408889634"
_LOG_2 = ("0.693147180369123816490", "1.90821492927058770002e-10")  # k times the first is exact
_SHIFT = "6755399441055744.0"  # 1.5 * 2^52: beside it doubles are whole numbers

EXPONENTIALS = {
    "power_of_two": f"""/* 2^k for a whole number k, -1022 to 1023: a double's exponent. */
static inline double power_of_two(double k) {{
    union {{ double number; unsigned long long bits; }} x;
    x.number = k + ({_SHIFT} + 1023.0);
    x.bits <<= 52;
    return x.number;
}}""",
    "beyond_line": f"""/* e^r - (1 + r), for r from -log(2)/2 to log(2)/2. */
static inline double beyond_line(double r) {{
    const double r2 = r * r, r4 = r2 * r2;
    const double q0 = {_Q[0]} + {_Q[1]} * r + ({_Q[2]} + {_Q[3]} * r) * r2;
    const double q4 = {_Q[4]} + {_Q[5]} * r + ({_Q[6]} + {_Q[7]} * r) * r2;
    const double q8 = {_Q[8]} + {_Q[9]} * r + {_Q[10]} * r2;
    return r2 * (q0 + r4 * (q4 + r4 * q8));
}}""",
    "exp": f"""#ifdef HAS_SEVERAL
#define short_exp exp /* the C library's, for several numbers at once */
#else
/* e^x as 2^k e^r, off by less than 2 units in the last place. */
static inline double short_exp(double x) {{
    const double held = x > 710.0 ? 710.0 : x < -746.0 ? -746.0 : x; /* beyond them it is infinite, and 0 */
    const double shifted = held * {_PER_LOG_2} + {_SHIFT}, k = shifted - {_SHIFT};
    const double r = (held - k * {_LOG_2[0]}) - k * {_LOG_2[1]};
    const double half_shifted = 0.5 * k + {_SHIFT}, half = half_shifted - {_SHIFT};
    return (1.0 + (r + beyond_line(r))) * power_of_two(half) * power_of_two(k - half);
}}
#endif""",
    "tanh": f"""#ifdef HAS_SEVERAL
#define short_tanh tanh
#else
/* tanh(x) by e = e^(2|x|) - 1, off by less than 2 units in the last place: e / (e + 2), and
where e is small (e - e^2 / (e + 2)) / 2. What rounding takes from 2|x| and from the greater part
of e is added to the lesser part. */
static inline double short_tanh(double x) {{
    const double size = fabs(x), held = size > 20.0 ? 20.0 : size; /* beyond it is 1 */
    const double shifted = held * (2.0 * {_PER_LOG_2}) + {_SHIFT}, k = shifted - {_SHIFT};
    const double rest = 2.0 * held - k * {_LOG_2[0]}, less = k * {_LOG_2[1]};
    const double r = rest - less, power = power_of_two(k), above = power - 1.0;
    const double greater = power * r + above;
    const double lesser = power * (beyond_line(r) + ((rest - r) - less)) + (power * r - (greater - above));
    const double e = greater + lesser, quotient = e / (e + 2.0);
    return copysign(e < 1.0 ? 0.5 * (greater + (lesser - e * quotient)) : quotient, x);
}}
#endif""",
}

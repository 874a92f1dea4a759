"""The 27 models of NIST's nonlinear regression problems, as functions of parameters b1, b2 … and a row."""

import math

import autobp
from autobp import atan, cos, exp, sin


def rational(numerator, denominator):
    """The model Σ numerator xⁱ / (1 + Σ denominator xⁱ) of so many parameters."""

    def model(b, x):
        names = [f"b{i + 1}" for i in range(numerator + denominator)]
        top = autobp.sum([b[name] * x**i for i, name in enumerate(names[:numerator])])
        return top / (1 + autobp.sum([b[name] * x ** (i + 1) for i, name in enumerate(names[numerator:])]))

    return model


def gauss(b, x):
    first = b.b3 * exp(-((x - b.b4) ** 2) / b.b5**2)
    return b.b1 * exp(-b.b2 * x) + first + b.b6 * exp(-((x - b.b7) ** 2) / b.b8**2)


def lanczos(b, x):
    return b.b1 * exp(-b.b2 * x) + b.b3 * exp(-b.b4 * x) + b.b5 * exp(-b.b6 * x)


def enso(b, x):
    turn = 2 * math.pi * x
    year = b.b2 * cos(turn / 12) + b.b3 * sin(turn / 12)
    nino = b.b5 * cos(turn / b.b4) + b.b6 * sin(turn / b.b4)
    return b.b1 + year + nino + b.b8 * cos(turn / b.b7) + b.b9 * sin(turn / b.b7)


def chwirut(b, x):
    return exp(-b.b1 * x) / (b.b2 + b.b3 * x)


MODELS = {
    "Misra1a": lambda b, x: b.b1 * (1 - exp(-b.b2 * x)),
    "Chwirut2": chwirut,
    "Chwirut1": chwirut,
    "Lanczos3": lanczos,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "DanWood": lambda b, x: b.b1 * x**b.b2,
    "Misra1b": lambda b, x: b.b1 * (1 - (1 + b.b2 * x / 2) ** -2),
    "Kirby2": rational(3, 2),
    "Hahn1": rational(4, 3),
    "Nelson": lambda b, x: b.b1 - b.b2 * x[0] * exp(-b.b3 * x[1]),  # of log y
    "MGH17": lambda b, x: b.b1 + b.b2 * exp(-x * b.b4) + b.b3 * exp(-x * b.b5),
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Gauss3": gauss,
    "Misra1c": lambda b, x: b.b1 * (1 - (1 + 2 * b.b2 * x) ** -0.5),
    "Misra1d": lambda b, x: b.b1 * b.b2 * x / (1 + b.b2 * x),
    "Roszman1": lambda b, x: b.b1 - b.b2 * x - atan(b.b3 / (x - b.b4)) / math.pi,
    "ENSO": enso,
    "MGH09": lambda b, x: b.b1 * (x**2 + x * b.b2) / (x**2 + x * b.b3 + b.b4),
    "Thurber": rational(4, 3),
    "BoxBOD": lambda b, x: b.b1 * (1 - exp(-b.b2 * x)),
    "Rat42": lambda b, x: b.b1 / (1 + exp(b.b2 - b.b3 * x)),
    "MGH10": lambda b, x: b.b1 * exp(b.b2 / (x + b.b3)),
    "Eckerle4": lambda b, x: b.b1 / b.b2 * exp(-0.5 * ((x - b.b3) / b.b2) ** 2),
    "Rat43": lambda b, x: b.b1 / (1 + exp(b.b2 - b.b3 * x)) ** (1 / b.b4),
    "Bennett5": lambda b, x: b.b1 * (b.b2 + x) ** (-1 / b.b3),
}

"""What other programs make of each operation: SymPy's and PyTorch's definitions, and where to compare them.

Every operation of the table needs an entry here; a test walks the table and fails where there is none.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
import scipy.special
import sympy as sp

import autobp
from autobp import Value
from autobp.engine import ieee, topological_order
from autobp.ops import Operation, namespace


@dataclass(frozen=True)
class Witness:
    """How to compare one operation.

    sympy: the operation on SymPy's symbols, then its constants.
    torch: the operation as a function of PyTorch and of tensors, then its constants.
    between: for each operand, the interval to draw from; integers where both ends are ints.
    constants: the constants to try.
    kinks: functions of the operands that are 0 where the operation has no derivative.
    """

    sympy: Callable
    torch: Callable
    between: tuple = ((-3.0, 3.0),)
    constants: tuple = ((),)
    kinks: Callable = lambda *x: ()


class Stopped(sp.Function):
    """x, held constant: SymPy's stop_gradient."""

    def fdiff(self, argindex=1):
        return sp.Integer(0)


def _named(torch_name):
    return lambda torch, *x: getattr(torch, torch_name)(*x)


def _holds(relation, torch_name):
    return Witness(
        lambda x, y: sp.Piecewise((1, relation(x, y)), (0, True)),
        lambda torch, x, y: getattr(torch, torch_name)(x, y).double(),
        REAL * 2,
        kinks=lambda x, y: (x - y,),
    )


def _torch_zeta(torch, x, s):
    return torch.special.zeta(torch.tensor(s, dtype=torch.float64), x)


def _away_from_wholes(x):
    return (x - round(x),)


REAL = ((-3.0, 3.0),)
POSITIVE = ((0.3, 3.0),)
PHI = lambda x: (1 + sp.erf(x / sp.sqrt(2))) / 2  # noqa: E731

WITNESSES = {
    "add": Witness(lambda x, y: x + y, _named("add"), REAL * 2),
    "subtract": Witness(lambda x, y: x - y, _named("sub"), REAL * 2),
    "multiply": Witness(lambda x, y: x * y, _named("mul"), REAL * 2),
    "divide": Witness(lambda x, y: x / y, _named("div"), REAL + POSITIVE),
    "negative": Witness(lambda x: -x, _named("neg")),
    "power": Witness(lambda x, y: x**y, _named("pow"), POSITIVE + REAL),
    "constant_power": Witness(
        lambda x, k: x ** sp.nsimplify(k),
        lambda torch, x, k: torch.pow(x, k),
        POSITIVE,
        ((0.0,), (1.0,), (2.0,), (3.0,), (-1.0,), (0.5,), (-0.5,), (2.5,)),
    ),
    "exp": Witness(sp.exp, _named("exp")),
    "expm1": Witness(lambda x: sp.exp(x) - 1, _named("expm1")),
    "log": Witness(sp.log, _named("log"), POSITIVE),
    "log1p": Witness(lambda x: sp.log(1 + x), _named("log1p"), ((-0.7, 3.0),)),
    "xlogy": Witness(lambda x, y: x * sp.log(y), _named("xlogy"), REAL + POSITIVE),
    "sqrt": Witness(sp.sqrt, _named("sqrt"), POSITIVE),
    "sin": Witness(sp.sin, _named("sin")),
    "cos": Witness(sp.cos, _named("cos")),
    "tan": Witness(sp.tan, _named("tan"), ((-1.2, 1.2),)),
    "one_minus_square": Witness(lambda x: 1 - x**2, lambda torch, x: 1 - x * x),
    "square_minus_one": Witness(lambda x: x**2 - 1, lambda torch, x: x * x - 1),
    "asin": Witness(sp.asin, _named("asin"), ((-0.8, 0.8),)),
    "acos": Witness(sp.acos, _named("acos"), ((-0.8, 0.8),)),
    "atan": Witness(sp.atan, _named("atan")),
    "sinh": Witness(sp.sinh, _named("sinh")),
    "cosh": Witness(sp.cosh, _named("cosh")),
    "tanh": Witness(sp.tanh, _named("tanh")),
    "erf": Witness(sp.erf, _named("erf")),
    "erfc": Witness(sp.erfc, _named("erfc")),
    "sigmoid": Witness(lambda x: 1 / (1 + sp.exp(-x)), _named("sigmoid")),
    "softplus": Witness(
        lambda x: sp.log(1 + sp.exp(x)), lambda torch, x: torch.logaddexp(x, torch.zeros_like(x))
    ),
    "relu": Witness(lambda x: sp.Piecewise((x, x > 0), (0, True)), _named("relu"), kinks=lambda x: (x,)),
    "leaky_relu": Witness(
        lambda x, k: sp.Piecewise((x, x > 0), (k * x, True)),
        lambda torch, x, k: torch.nn.functional.leaky_relu(x, k),
        constants=((0.01,), (1.5,)),
        kinks=lambda x: (x,),
    ),
    "elu": Witness(
        lambda x, k: sp.Piecewise((x, x > 0), (k * (sp.exp(x) - 1), True)),
        lambda torch, x, k: torch.nn.functional.elu(x, k),
        constants=((1.0,), (0.7,)),
        kinks=lambda x: (x,),
    ),
    "gelu": Witness(lambda x: x * PHI(x), lambda torch, x: torch.nn.functional.gelu(x)),
    "silu": Witness(lambda x: x / (1 + sp.exp(-x)), lambda torch, x: torch.nn.functional.silu(x)),
    "abs": Witness(lambda x: sp.Piecewise((x, x > 0), (-x, True)), _named("abs"), kinks=lambda x: (x,)),
    "sign": Witness(lambda x: sp.Piecewise((1, x > 0), (-1, True)), _named("sign"), kinks=lambda x: (x,)),
    "maximum": Witness(
        lambda x, y: sp.Piecewise((x, x > y), (y, True)),
        _named("maximum"),
        REAL * 2,
        kinks=lambda x, y: (x - y,),
    ),
    "minimum": Witness(
        lambda x, y: sp.Piecewise((x, x < y), (y, True)),
        _named("minimum"),
        REAL * 2,
        kinks=lambda x, y: (x - y,),
    ),
    "greater": _holds(sp.Gt, "gt"),
    "greater_equal": _holds(sp.Ge, "ge"),
    "less": _holds(sp.Lt, "lt"),
    "less_equal": _holds(sp.Le, "le"),
    "equal": _holds(sp.Eq, "eq"),
    "not_equal": _holds(sp.Ne, "ne"),
    "where": Witness(
        lambda c, x, y: sp.Piecewise((x, sp.Ne(c, 0)), (y, True)),
        lambda torch, c, x, y: torch.where(c != 0, x, y),
        ((0, 1), *REAL, *REAL),
    ),
    "take": Witness(
        lambda i, a, b, c: sp.Piecewise((a, sp.Eq(i, 0)), (b, sp.Eq(i, 1)), (c, True)),
        lambda torch, i, *x: torch.stack(x)[int(i)],
        ((0, 2), *REAL * 3),
    ),
    "stop_gradient": Witness(Stopped, lambda torch, x: x.detach()),
    "log2": Witness(lambda x: sp.log(x, 2), _named("log2"), POSITIVE),
    "log10": Witness(lambda x: sp.log(x, 10), _named("log10"), POSITIVE),
    "exp2": Witness(lambda x: 2**x, _named("exp2")),
    "logaddexp": Witness(lambda x, y: sp.log(sp.exp(x) + sp.exp(y)), _named("logaddexp"), REAL * 2),
    "log_sigmoid": Witness(
        lambda x: -sp.log(1 + sp.exp(-x)), lambda torch, x: torch.nn.functional.logsigmoid(x)
    ),
    "cbrt": Witness(sp.cbrt, lambda torch, x: torch.sign(x) * torch.abs(x) ** (1 / 3), POSITIVE),
    "asinh": Witness(sp.asinh, _named("asinh")),
    "acosh": Witness(sp.acosh, _named("acosh"), ((1.2, 4.0),)),
    "atanh": Witness(sp.atanh, _named("atanh"), ((-0.8, 0.8),)),
    "atan2": Witness(
        sp.atan2, _named("atan2"), REAL * 2, kinks=lambda y, x: (y if x < 0.1 else 1, y * y + x * x)
    ),
    "hypot": Witness(
        lambda x, y: sp.sqrt(x**2 + y**2), _named("hypot"), REAL * 2, kinks=lambda x, y: (x * x + y * y,)
    ),
    "floor": Witness(lambda x: Stopped(sp.floor(x)), _named("floor"), kinks=_away_from_wholes),
    "ceil": Witness(lambda x: Stopped(sp.ceiling(x)), _named("ceil"), kinks=_away_from_wholes),
    "round": Witness(
        lambda x: Stopped(sp.floor(x + sp.Rational(1, 2))),
        _named("round"),
        kinks=lambda x: _away_from_wholes(x + 0.5),
    ),
    "mod": Witness(
        lambda x, y: x - y * Stopped(sp.floor(x / y)),
        _named("remainder"),
        REAL + POSITIVE,
        # as far in x / y, and in y itself
        kinks=lambda x, y: (*_away_from_wholes(x / y), (x / y - round(x / y)) * y / max(abs(x / y), 1.0)),
    ),
    "clip": Witness(
        lambda x, low, high: sp.Piecewise((low, x < low), (high, x > high), (x, True)),
        lambda torch, x, low, high: torch.clamp(x, low, high),
        ((-3.0, 3.0), (-2.0, -0.1), (0.1, 2.0)),
        kinks=lambda x, low, high: (x - low, x - high),
    ),
    "lgamma": Witness(sp.loggamma, _named("lgamma"), ((0.5, 12.0),)),
    "digamma": Witness(lambda x: sp.polygamma(0, x), _named("digamma"), ((0.5, 12.0),)),
    "trigamma": Witness(
        lambda x: sp.polygamma(1, x), lambda torch, x: _torch_zeta(torch, x, 2.0), ((0.5, 12.0),)
    ),
    "hurwitz_zeta": Witness(
        lambda x, s: sp.zeta(sp.nsimplify(s), x),
        lambda torch, x, s: _torch_zeta(torch, x, s),
        ((0.5, 12.0),),
        ((2.0,), (3.0,), (5.0,)),
    ),
    "norm_cdf": Witness(PHI, lambda torch, x: torch.special.ndtr(x)),
    "log_norm_cdf": Witness(lambda x: sp.log(PHI(x)), lambda torch, x: torch.special.log_ndtr(x)),
    "inverse_mills": Witness(
        lambda x: sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi) / PHI(x),
        lambda torch, x: torch.exp(-x * x / 2) / math.sqrt(2 * math.pi) / torch.special.ndtr(x),
        ((-1.5, 3.0),),
    ),
}


def cases(table):
    """(operation, constants) for every operation and all constants to be tried."""
    return [
        pytest.param(op, constants, id=f"{name}{list(constants) if constants else ''}")
        for name, op in table.items()
        for constants in (WITNESSES[name].constants if name in WITNESSES else ((),))
    ]


def n_operands(op: Operation) -> int:
    return len(WITNESSES[op.name].between)


def paths(op: Operation, order: int):
    """The operands to differentiate by, one after another, in all ways that there are."""
    return list(itertools.product(range(n_operands(op)), repeat=order))


def derivative_graph(f, operands, path) -> Value:
    """The derivative of f along the path, as a Value that depends on the operands, also Values."""
    for i in path:
        f = autobp.grad(f, i)
    with ieee():
        return f(*operands)


def derivative(op: Operation, constants, operands, path) -> float:
    """A derivative of any order by autobp, in IEEE 754 arithmetic."""
    f = autobp.function(op)
    return derivative_graph(lambda *x: f(*x, *constants), [Value(x) for x in operands], path).data


def torch_derivative(op: Operation, constants, operands, path) -> float:
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(float(x), dtype=torch.float64, requires_grad=True) for x in operands]
    y = WITNESSES[op.name].torch(torch, *tensors, *constants)
    for i in path:
        if not y.requires_grad:
            return 0.0
        (y,) = torch.autograd.grad(y, tensors[i], create_graph=True, allow_unused=True)
        if y is None:
            return 0.0
    return y.item()


@functools.cache
def _sympy_function(name: str, constants, path):
    witness = WITNESSES[name]
    symbols = sp.symbols(f"x0:{len(witness.between)}", real=True)
    expression = witness.sympy(*symbols, *constants)
    for i in path:
        expression = sp.diff(expression, symbols[i])
    expression = expression.replace(Stopped, lambda x: x)
    return sp.lambdify(symbols, expression, "mpmath")


def sympy_derivative(op: Operation, constants, operands, path) -> float:
    """SymPy's derivative, evaluated to forty digits."""
    function = _sympy_function(op.name, constants, path)
    with mpmath.workdps(40):
        return float(function(*[mpmath.mpf(x) for x in operands]))


def central_difference(f, x: float) -> float:
    """f'(x) from four points, with an error of the fourth order in the step."""
    h = 1e-3 * max(1.0, abs(x))
    near, far = f(x + h) - f(x - h), f(x + 2 * h) - f(x - 2 * h)
    return (8 * near - far) / (12 * h)


def _by_real_part(compare):
    return lambda x, y: np.where(compare(np.real(x), np.real(y)), 1.0, 0.0)


#: The table on complex numbers. Comparisons look at the real part, which the complex step leaves as it is.
COMPLEX = namespace(
    "complex",
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan")},
    **{name: getattr(np, name) for name in ("sinh", "cosh", "tanh", "where")},
    asin=np.arcsin,
    acos=np.arccos,
    atan=np.arctan,
    erf=scipy.special.erf,
    erfc=scipy.special.erfc,
    pow=np.power,
    asinh=np.arcsinh,
    acosh=np.arccosh,
    atanh=np.arctanh,
    floor=lambda x: np.floor(np.real(x)),
    abs=lambda x: np.where(np.real(x) < 0, -x, x),
    maximum=lambda x, y: np.where(np.real(x) > np.real(y), x, y),
    minimum=lambda x, y: np.where(np.real(x) < np.real(y), x, y),
    greater=_by_real_part(np.greater),
    greater_equal=_by_real_part(np.greater_equal),
    less=_by_real_part(np.less),
    less_equal=_by_real_part(np.less_equal),
    equal=_by_real_part(np.equal),
    not_equal=_by_real_part(np.not_equal),
    choose=lambda i, values: values[int(np.real(i))],
)


def complex_step(root: Value, x: Value, step: float = 1e-20) -> float:
    """∂root/∂x from evaluating root's graph once more, at x + i·step, on complex numbers."""
    data = {}
    with np.errstate(all="ignore"):
        for node in topological_order(root):
            if node is x:
                data[id(node)] = np.complex128(complex(node.data, step))
            elif node.is_leaf:
                data[id(node)] = np.complex128(node.data)
            else:
                function = getattr(COMPLEX, node.operation.name)
                data[id(node)] = function(*[data[id(p)] for p in node.parents], *node.constants)
    return float(np.imag(data[id(root)])) / step


def agree(a: float, b: float, rtol: float = 1e-12, atol: float = 0.0) -> bool:
    """Whether two numbers are the same up to rounding; NaN agrees with NaN, and ∞ with ∞ of its sign."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or (math.isfinite(a - b) and abs(a - b) <= rtol * max(abs(a), abs(b)) + atol)

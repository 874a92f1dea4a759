"""autobp: write scalars, see every derivative, run at matrix speed.

``from autobp import *`` brings all of ``autobp.__all__``: Value, networks, costs, training, derivatives,
drawing and the functions of operations. It leaves out what would hide a builtin, ``autobp.abs``,
``autobp.compile``, ``autobp.round`` and ``autobp.sum``: these go by their full names. (Python's own ``abs``
and ``sum`` work on Values too.)
"""

# ruff: noqa: F405, RUF022 (operations' names come by a star, and stand apart from the others)

import sys as _sys

if getattr(_sys, "argv", [])[:1] == ["-m"]:  # Python is on its way to what -m names, the command perhaps
    import _autobp

    _autobp.tell_of_interruptions()

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autobp import costs as costs
from autobp import functions as functions
from autobp import nn as nn
from autobp import optim as optim
from autobp.build import BUILD, VERSION
from autobp.engine import Value as Value
from autobp.functions import *  # noqa: F403
from autobp.nn import MLP as MLP
from autobp.nn import Layer as Layer
from autobp.nn import Module as Module
from autobp.nn import Neuron as Neuron
from autobp.ops import operation as operation

if TYPE_CHECKING:
    from autobp import check as check
    from autobp import datasets as datasets
    from autobp import linalg as linalg
    from autobp import matrix as matrix
    from autobp import plots as plots
    from autobp.compiler import compile as compile
    from autobp.drawing import draw as draw
    from autobp.explanation import explain as explain
    from autobp.fitting import Parameter as Parameter
    from autobp.fitting import fit_model as fit_model
    from autobp.functional import grad as grad
    from autobp.functional import hessian as hessian
    from autobp.functional import hvp as hvp
    from autobp.functional import jacobian as jacobian
    from autobp.functional import jvp as jvp
    from autobp.functional import value_and_grad as value_and_grad
    from autobp.functional import vjp as vjp
    from autobp.gradient_check import check_grad as check_grad
    from autobp.html_page import page as page
    from autobp.in_onnx import to_onnx as to_onnx
    from autobp.in_torch import to_torch as to_torch
    from autobp.in_torch import torch_cost as torch_cost
    from autobp.training import History as History
    from autobp.training import accuracy as accuracy
    from autobp.training import answers as answers
    from autobp.training import fit as fit
    from autobp.training import predict as predict
    from autobp.training import r_squared as r_squared
    from autobp.training import rmse as rmse

__version__ = VERSION

#: true where the core was compiled when it was installed; if not, it says why: ``autobp.__compiled__.reason``
__compiled__ = BUILD

# Imported at first use, by name: so `import autobp` takes little longer than NumPy, and libraries that
# learning and checking do not need are left alone until something does.
_LAZY = {
    "History": "autobp.training",
    "Parameter": "autobp.fitting",
    "accuracy": "autobp.training",
    "answers": "autobp.training",
    "check": "autobp.check",
    "check_grad": "autobp.gradient_check",
    "compile": "autobp.compiler",
    "datasets": "autobp.datasets",
    "draw": "autobp.drawing",
    "explain": "autobp.explanation",
    "fit": "autobp.training",
    "fit_model": "autobp.fitting",
    "grad": "autobp.functional",
    "hessian": "autobp.functional",
    "hvp": "autobp.functional",
    "jacobian": "autobp.functional",
    "jvp": "autobp.functional",
    "linalg": "autobp.linalg",
    "matrix": "autobp.matrix",
    "page": "autobp.html_page",
    "plots": "autobp.plots",
    "predict": "autobp.training",
    "r_squared": "autobp.training",
    "rmse": "autobp.training",
    "to_onnx": "autobp.in_onnx",
    "to_torch": "autobp.in_torch",
    "torch_cost": "autobp.in_torch",
    "value_and_grad": "autobp.functional",
    "vjp": "autobp.functional",
}


# Written out, since type checkers read it: mypy does not follow functions.__all__ from here.
__all__ = [
    "History", "Layer", "MLP", "Module", "Neuron", "Parameter", "Value", "accuracy", "answers", "check",
    "check_grad", "costs", "datasets", "draw", "explain", "fit", "fit_model", "grad", "hessian", "hvp",
    "jacobian", "jvp", "linalg", "matrix", "nn", "operation", "optim", "page", "plots", "predict",
    "r_squared", "rmse", "to_onnx", "to_torch", "torch_cost", "value_and_grad", "vjp",
    # operations, and what is built of them; abs, round and sum, like compile, would hide a builtin
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clip", "cos", "cosh",
    "cumsum", "digamma", "dot", "elu", "equal", "erf", "erfc", "exp", "exp2", "expm1", "floor",
    "function", "gelu", "greater", "greater_equal", "hurwitz_zeta", "hypot", "inverse_mills",
    "leaky_relu", "less", "less_equal", "lgamma", "log", "log10", "log1p", "log2", "log_norm_cdf",
    "log_sigmoid", "log_softmax", "logaddexp", "logsumexp", "maximum", "mean", "minimum", "mod", "norm",
    "norm_cdf", "not_equal", "relu", "sigmoid", "sign", "silu", "sin", "sinh", "softmax", "softplus",
    "sqrt", "stop_gradient", "take", "tan", "tanh", "trigamma", "var", "where", "xlogy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        try:
            return functions.__getattr__(name)  # an operation that was registered
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    module = import_module(_LAZY[name])
    found = globals()[name] = module if module.__name__ == f"autobp.{name}" else getattr(module, name)
    return found


def __dir__() -> list[str]:
    helpers = {"Any", "BUILD", "TYPE_CHECKING", "VERSION", "import_module"}
    return sorted({*globals(), *_LAZY, *functions.__all__} - helpers)

"""autobp: write scalars, see every derivative, run at matrix speed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autobp import costs as costs
from autobp import functions as functions
from autobp import nn as nn
from autobp import optim as optim
from autobp.engine import COMPILED
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
    from autobp import matrix as matrix
    from autobp import plots as plots
    from autobp.compiler import compile as compile
    from autobp.drawing import draw as draw
    from autobp.explanation import explain as explain
    from autobp.functional import grad as grad
    from autobp.functional import hessian as hessian
    from autobp.functional import hvp as hvp
    from autobp.functional import jacobian as jacobian
    from autobp.functional import jvp as jvp
    from autobp.functional import value_and_grad as value_and_grad
    from autobp.functional import vjp as vjp
    from autobp.gradient_check import check_grad as check_grad
    from autobp.html_page import page as page
    from autobp.training import History as History
    from autobp.training import accuracy as accuracy
    from autobp.training import fit as fit
    from autobp.training import predict as predict
    from autobp.training import r_squared as r_squared
    from autobp.training import rmse as rmse

__version__ = "0.1.0"

#: whether the core was compiled when it was installed; if not, the same source runs as it is
__compiled__ = COMPILED

# Imported at first use, by name: so `import autobp` takes little longer than NumPy, and libraries that
# learning and checking do not need are left alone until something does.
_LAZY = {
    "History": "autobp.training",
    "accuracy": "autobp.training",
    "check": "autobp.check",
    "check_grad": "autobp.gradient_check",
    "compile": "autobp.compiler",
    "datasets": "autobp.datasets",
    "draw": "autobp.drawing",
    "explain": "autobp.explanation",
    "fit": "autobp.training",
    "grad": "autobp.functional",
    "hessian": "autobp.functional",
    "hvp": "autobp.functional",
    "jacobian": "autobp.functional",
    "jvp": "autobp.functional",
    "matrix": "autobp.matrix",
    "page": "autobp.html_page",
    "plots": "autobp.plots",
    "predict": "autobp.training",
    "r_squared": "autobp.training",
    "rmse": "autobp.training",
    "value_and_grad": "autobp.functional",
    "vjp": "autobp.functional",
}


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
    return sorted({*globals(), *_LAZY} - {"Any", "COMPILED", "TYPE_CHECKING", "import_module"})

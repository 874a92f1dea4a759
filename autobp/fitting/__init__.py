"""Fits of scalar models: least squares and likelihoods, with the errors of what was fitted.

A model is a function ``model(p, x)`` of parameters by name and one row of data, in plain Python on scalars.
It is compiled, with its Jacobian or the Hessian of its likelihood, and SciPy finds the parameters; how well
they are known comes from the same derivatives. SciPy comes with the extra ``models``.
"""

from autobp.fitting.entry import fit_model
from autobp.fitting.parameters import Parameter
from autobp.fitting.profiles import Profile
from autobp.fitting.result import ModelFit, Prediction

__all__ = ["ModelFit", "Parameter", "Prediction", "Profile", "fit_model"]

"""step.scipy: what SciPy's minimizers ask for, from a step and its data."""

import numpy as np
import pytest

import autobp
from autobp import Value

optimize = pytest.importorskip("scipy.optimize")
RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
CLASSES = (RNG.random(60) < 1 / (1 + np.exp(-X @ [1.0, -0.5]))).astype(float)
T = np.linspace(0.0, 3.0, 25)
Y = 2.0 * np.exp(-0.7 * T) + 0.02 * RNG.normal(size=25)


def logistic():
    w = [Value(0.0), Value(0.0), Value(0.0)]

    def cost(x, y):
        z = w[0] * x[0] + w[1] * x[1] + w[2]
        return autobp.softplus(z) - y * z

    return autobp.compile(cost, w)


def decay():
    a, k = Value(1.0), Value(1.0)
    return autobp.compile(lambda t: [a * autobp.exp(-k * t)], [a, k])


@pytest.mark.parametrize(
    "method", ["BFGS", "L-BFGS-B", "Newton-CG", "trust-exact", "trust-ncg"]
)
def test_every_method_of_minimize_comes_to_the_same(method):
    step = logistic()
    problem = step.scipy(X, CLASSES)
    more = {}
    if method == "trust-exact":
        more = {"hess": problem.hess}
    elif method in ("Newton-CG", "trust-ncg"):
        more = {"hessp": problem.hessp}
    found = optimize.minimize(problem.fun, step.theta, jac=problem.jac, method=method, tol=1e-8, **more)
    theta = np.zeros(3)
    design = np.column_stack([X, np.ones(60)])
    for _ in range(30):  # Newton's method, by hand
        p = 1 / (1 + np.exp(-design @ theta))
        theta += np.linalg.solve((design.T * (p * (1 - p))) @ design, design.T @ (CLASSES - p))
    assert found.x == pytest.approx(theta, abs=1e-5)
    hessian = (design.T * (p * (1 - p))) @ design / 60
    assert problem.hess(theta) == pytest.approx(hessian, rel=1e-10)
    assert problem.hessp(theta, [1.0, 2.0, 3.0]) == pytest.approx(hessian @ [1.0, 2.0, 3.0], rel=1e-10)


def test_value_and_gradient_of_one_theta_are_computed_once():
    class Counted:
        calls = 0

        def __call__(self, theta, *arguments):
            Counted.calls += 1
            return float(theta[0]), np.array(theta)

    from autobp.compiler.problems import Minimization

    problem = Minimization(Counted(), ())
    theta = np.array([1.0, 2.0])
    assert problem.fun(theta) == 1.0
    gradient = problem.jac(theta)
    assert Counted.calls == 1
    gradient[0] = 9.0  # what a minimizer does with it changes nothing
    theta[0] = 5.0  # nor does a theta that is written to
    assert problem.fun([1.0, 2.0]) == 1.0
    assert problem.jac([1.0, 2.0]) == pytest.approx([1.0, 2.0])
    assert Counted.calls == 1
    assert problem.fun(theta) == 5.0


def test_least_squares_of_outputs():
    step = decay()
    problem = step.scipy(T, Y)
    found = optimize.least_squares(problem.fun, step.theta, problem.jac)
    values, _ = optimize.curve_fit(lambda t, a, k: a * np.exp(-k * t), T, Y)
    assert found.x == pytest.approx(values, rel=1e-6)
    assert problem.jac([2.0, 0.5]) == pytest.approx(
        np.column_stack([np.exp(-0.5 * T), -2.0 * T * np.exp(-0.5 * T)]), rel=1e-12
    )


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match="the 1 arguments of outputs and their targets; got 1"):
        decay().scipy(T)
    with pytest.raises(TypeError, match="the 2 arguments of a cost; got 3"):
        logistic().scipy(X, CLASSES, CLASSES)
    with pytest.raises(ValueError, match=r"outputs have the shape \(25, 1\), and the targets \(24,\)"):
        decay().scipy(T, Y[:24]).fun([1.0, 1.0])

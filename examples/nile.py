"""The flow of the Nile at Aswan, 1871 to 1970: a Kalman filter whose variances are of maximum likelihood.

The local level model of Durbin and Koopman, *Time Series Analysis by State Space Methods*:

    y_t = μ_t + ε_t,  ε_t ~ N(0, σ²_ε),        μ_{t+1} = μ_t + η_t,  η_t ~ N(0, σ²_η)

Nothing is known of μ_1, so the first year starts the filter, and the likelihood is that of the others. The
filter is a loop in plain Python; the program is a loop too, and so is its derivative.

Needs statsmodels, which carries the series, and SciPy: pip install statsmodels scipy
"""

import sys

import numpy as np

import autobp
from autobp import Value

PUBLISHED = {"σ²_ε": 15099.0, "σ²_η": 1469.1}


def surprise(log_variances):
    """-log L of the series, without its constants, as a function to compile."""

    def of_series(y):
        noise, drift = log_variances[0].exp(), log_variances[1].exp()
        mean, variance, total = y[0], noise + drift, 0.0
        for t in range(1, len(y)):
            error, spread = y[t] - mean, variance + noise
            total = total + 0.5 * (autobp.log(spread) + error * error / spread)
            gain = variance / spread
            mean, variance = mean + gain * error, variance * (1 - gain) + drift
        return total

    return of_series


def main():
    try:
        from scipy.optimize import minimize
        from statsmodels.datasets import nile
    except ImportError as missing:
        print(f"skipped: {missing}; pip install statsmodels scipy")
        return 0
    flow = nile.load_pandas().data["volume"].to_numpy()
    start = float(np.log(np.var(flow)))
    log_variances = [Value(start, label="log_noise"), Value(start, label="log_drift")]
    step = autobp.compile(surprise(log_variances), log_variances, example=(flow,))
    print(f"{len(flow)} years\n{step.report()}\n")
    problem = step.scipy(flow[None])
    found = minimize(problem.fun, step.theta, jac=problem.jac, method="BFGS", options={"gtol": 1e-6})
    step.write_back(found.x)
    errors = np.sqrt(np.diag(np.linalg.inv(step.hessian(found.x, flow[None]))))
    print("            fitted   ± (of its logarithm)   Durbin and Koopman")
    agree = True
    for (name, published), x, error in zip(PUBLISHED.items(), found.x, errors, strict=True):
        print(f"  {name}  {np.exp(x):10.1f}        {error:6.3f}        {published:12.1f}")
        agree &= abs(np.exp(x) - published) < 1e-3 * published
    print(f"\nlargest derivative there: {np.abs(problem.jac(found.x)).max():.1e}")
    print("the numbers agree" if agree else "the numbers DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

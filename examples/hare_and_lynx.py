"""Hares and lynxes, 1900 to 1920: the differential equations of Lotka and Volterra, fitted to pelts.

Of u thousand hares and v thousand lynxes

    du/dt = (α - β v) u,        dv/dt = (δ u - γ) v

A row is a time: the model integrates up to it, by 200 steps of Runge and Kutta's method in plain scalars. The
steps become one loop, their derivative a loop backwards, for all years at once. What is off by a factor is as
likely above as below, so that logarithms are fitted. SciPy alone has to find the same.

The pelts that the Hudson's Bay Company traded, in thousands: C. G. Hewitt, *The Conservation of the Wild Life
of Canada* (1921), as P. Howard, *Modeling Basics*, tables them.

Needs SciPy and matplotlib: pip install scipy matplotlib
Run it: python examples/hare_and_lynx.py [picture.svg]
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import autobp
from autobp import Value
from autobp.plots import COLOURS

HARES = "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2 7.6 14.6 16.2 24.7"
LYNXES = "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6"
PELTS = np.array([HARES.split(), LYNXES.split()], dtype=float).T  # (21, 2)
YEARS = np.arange(len(PELTS), dtype=float)  # since 1900

START = {"α": 0.5, "β": 0.02, "γ": 0.8, "δ": 0.02, "u0": 30.0, "v0": 4.0}
STEPS = 200


def slope(p, u, v):
    return (p.α - p.β * v) * u, (p.δ * u - p.γ) * v


def logarithms(p, t):
    """ln u and ln v at a time, (2,)."""
    u, v, h = p.u0, p.v0, t / STEPS
    for _ in range(STEPS):
        u1, v1 = slope(p, u, v)
        u2, v2 = slope(p, u + h / 2 * u1, v + h / 2 * v1)
        u3, v3 = slope(p, u + h / 2 * u2, v + h / 2 * v2)
        u4, v4 = slope(p, u + h * u3, v + h * v3)
        u = u + h / 6 * (u1 + 2 * u2 + 2 * u3 + u4)
        v = v + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    return [autobp.log(u), autobp.log(v)]


def by_scipy():
    """Parameters and standard errors by SciPy alone: by its solver, and derivatives from differences."""
    from scipy.integrate import solve_ivp
    from scipy.optimize import curve_fit

    def model(_, *theta):
        p = SimpleNamespace(**dict(zip(START, theta, strict=True)))
        solved = solve_ivp(
            lambda t, y: slope(p, *y), (0.0, YEARS[-1]), (p.u0, p.v0), "DOP853", YEARS, rtol=1e-10, atol=1e-10
        )
        return np.log(solved.y.T).reshape(-1)

    found, covariance = curve_fit(model, None, np.log(PELTS).reshape(-1), list(START.values()))
    return found, np.sqrt(np.diag(covariance))


def draw(fit, path):
    """Draw pelts and fitted populations, each with its confidence band of 95 %."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    times = np.linspace(0.0, YEARS[-1], 241)
    value, (low, high) = fit.predict(times).value, fit.band(times)
    for k, (name, marker) in enumerate([("hares", "o"), ("lynxes", "^")]):
        colour, ends = COLOURS[k], (np.exp(low[:, k]), np.exp(high[:, k]))
        axes.plot(1900 + times, np.exp(value[:, k]), color=colour)
        axes.fill_between(1900 + times, *ends, color=colour, alpha=0.2, linewidth=0)
        axes.plot(1900 + YEARS, PELTS[:, k], marker, color=colour, label=name, markersize=5)
    axes.set(ylabel="thousands of pelts", xticks=range(1900, 1921, 5), ylim=(0, None))
    axes.set_title("Pelts, and what Lotka and Volterra's equations make of them: band of 95 %", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main():
    try:
        import matplotlib  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as missing:
        print(f"skipped: {missing}; pip install scipy matplotlib")
        return 0
    p = SimpleNamespace(**{name: Value(x, label=name) for name, x in START.items()})
    step = autobp.compile(lambda t: logarithms(p, t), list(vars(p).values()), example=(20.0,))
    print(f"{step.report()}\n")
    fit = autobp.fit_model(logarithms, YEARS, np.log(PELTS), START)
    print(fit)
    found, errors = by_scipy()
    print("\n          autobp                 SciPy")
    agree = fit.converged
    for (name, x), y, error in zip(fit.values.items(), found, errors, strict=True):
        print(f"  {name:2} {x:9.5f} ± {fit.errors[name]:.5f}   {y:9.5f} ± {error:.5f}")
        agree &= abs(x - y) < 1e-3 * error and abs(fit.errors[name] - error) < 1e-2 * error
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "out/hare_and_lynx.svg")
    draw(fit, path)
    print(f"\nwritten: {path}")
    print("the numbers agree" if agree else "the numbers DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

"""docs/models.md does what it says: its programs run, and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")
DOCUMENT = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", flags=re.MULTILINE | re.DOTALL)
#: Libraries that are not part of every environment of the tests; a program that needs one is left out there.
OPTIONAL = ("emcee", "iminuit", "statsmodels")


def is_there(code):
    for library in OPTIONAL:
        if re.search(rf"^(?:import|from) {library}\b", code, flags=re.MULTILINE):
            try:
                __import__(library)
            except ImportError:
                return False
    return True


def test_every_program_prints_what_stands_below_it():
    namespace = {}
    compared = 0
    for section in SECTIONS:
        for code, expected in BLOCK.findall(section):
            if not is_there(code):
                continue
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, f"docs/models.md, {section.splitlines()[0]}", "exec"), namespace)
            if expected:
                assert out.getvalue().strip() == expected.strip(), section.splitlines()[0]
                compared += 1
    assert compared >= 12
    check_greeks(namespace)
    check_lmfits_figures(namespace)
    check_the_hidden_markov_model(namespace)
    check_the_asian_option(namespace)


def check_greeks(namespace):
    """Against Black and Scholes's formulas."""
    from scipy.stats import norm

    S, K, r, sigma, T = namespace["market"]
    d1 = (namespace["np"].log(S / K) + (r + sigma**2 / 2) * T) / (sigma * T**0.5)
    delta, _, _, vega, _ = namespace["grad"](namespace["call"])(namespace["market"])
    assert delta == pytest.approx(norm.cdf(d1), rel=1e-12)
    assert namespace["gamma"] == pytest.approx(norm.pdf(d1) / (S * sigma * T**0.5), rel=1e-11)
    assert vega == pytest.approx(S * norm.pdf(d1) * T**0.5, rel=1e-12)


def check_lmfits_figures(namespace):
    """Those of its result of the fit that its guide shows, as its own tests keep them (lmfit 1.0.0)."""
    peak = namespace["peak"]
    assert peak.theta == pytest.approx([8.880222770531812, 5.658660808233311, 0.6976553846499309], rel=1e-5)
    errors = [0.11359552348525037, 0.010305056229246058, 0.010305029116553194]
    assert list(peak.errors.values()) == pytest.approx(errors, rel=1e-4)  # lmfit's are by differences
    assert peak.chi2 == pytest.approx(3.408835988076817, rel=1e-9)
    assert peak.correlation[0, 2] == pytest.approx(0.5773502771310342, rel=1e-5)


def check_the_hidden_markov_model(namespace):
    """The forward algorithm in matrices has the same likelihood, and its largest value there."""
    series, chain = np.array(namespace["series"]), namespace["chain"]

    def likelihood(theta):
        means, stay = theta[:2], 1 / (1 + np.exp(-theta[2:]))
        change = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
        forward, total = np.array([0.5, 0.5]), 0.0
        for x in series:
            forward = (forward @ change) * np.exp(-2 * (x - means) ** 2)
            total += np.log(forward.sum())
            forward /= forward.sum()
        return total

    best = likelihood(chain.theta)
    assert chain.log_likelihood == pytest.approx(best, rel=1e-12)
    for direction in np.eye(4):
        for step in (-1e-3, 1e-3):
            assert likelihood(chain.theta + step * direction) < best


def check_the_asian_option(namespace):
    """The same paths in NumPy, and differences of their mean."""
    draws = namespace["draws"]

    def price(S, sigma, r):
        paths = S * np.exp(np.cumsum((r - sigma**2 / 2) / 12 + sigma * draws / 12**0.5, axis=1))
        return np.mean(np.exp(-r) * np.maximum(paths.mean(axis=1) - 105.0, 0.0))

    at = np.array([100.0, 0.25, 0.02])
    assert namespace["price"] == pytest.approx(price(*at), rel=1e-12)
    for derivative, direction in zip(("delta", "vega", "rho"), np.diag([1e-4, 1e-6, 1e-6]), strict=True):
        slope = (price(*(at + direction)) - price(*(at - direction))) / (2 * direction.max())
        assert namespace[derivative] == pytest.approx(slope, rel=1e-3), derivative

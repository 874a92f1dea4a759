"""docs/models.md does what it says: its programs run, and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

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
    # the greeks, against Black and Scholes's formulas
    from scipy.stats import norm

    S, K, r, sigma, T = namespace["market"]
    d1 = (namespace["np"].log(S / K) + (r + sigma**2 / 2) * T) / (sigma * T**0.5)
    delta, _, _, vega, _ = namespace["grad"](namespace["call"])(namespace["market"])
    assert delta == pytest.approx(norm.cdf(d1), rel=1e-12)
    assert namespace["gamma"] == pytest.approx(norm.pdf(d1) / (S * sigma * T**0.5), rel=1e-11)
    assert vega == pytest.approx(S * norm.pdf(d1) * T**0.5, rel=1e-12)

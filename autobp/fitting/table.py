"""A fit as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autobp.fitting.result import ModelFit

#: A correlation that is told.
_NOTABLE = 0.9
_TOLD = 6


def table(fit: ModelFit, level: float = 0.95) -> str:
    """Parameters with errors and intervals, goodness of fit, and what is not as it should be."""
    n = int(fit.free.sum())
    head = (
        f"{fit.kind.capitalize()}: {fit.observed} measurements, {n} parameter{'s' if n != 1 else ''} fitted"
    )
    lines = [head, "", *_parameters(fit, level), "", *_goodness(fit)]
    lines.extend(_correlations(fit))
    lines.extend(fit.warnings)
    return "\n".join(lines)


def _parameters(fit: ModelFit, level: float) -> list[str]:
    intervals = fit.intervals(level)
    rows = [["parameter", "value", "standard error", f"{100 * level:g} % interval"]]
    fixed = fit.layout.fixed
    for i, name in enumerate(fit.names):
        value, error = fit.values[name], fit.errors[name]
        if fixed[i]:
            rows.append([name, f"{value:.8g}", "fixed", ""])
        elif name in fit.at_bound:
            rows.append([name, f"{value:.8g}", "at its bound", ""])
        elif not math.isfinite(error):
            rows.append([name, f"{value:.8g}", "not known", ""])
        else:
            low, high = intervals[name]
            rows.append([name, _to_error(value, error), f"{error:.4g}", f"{low:.6g} to {high:.6g}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def _to_error(value: float, error: float) -> str:
    """A value with two digits more than its error lets it have."""
    if error <= 0.0 or value == 0.0:
        return f"{value:.8g}"
    digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) + 4
    return f"{value:.{min(max(digits, 4), 15)}g}"


def _goodness(fit: ModelFit) -> list[str]:
    lines = []
    if fit.is_least_squares:
        dof = f"{fit.degrees_of_freedom} degrees of freedom"
        lines.append(f"χ² {fit.chi2:.8g}, {dof}, reduced χ² {fit.reduced_chi2:.6g}")
    if math.isfinite(fit.log_likelihood):
        lines.append(f"log-likelihood {fit.log_likelihood:.8g}, AIC {fit.aic:.6g}, BIC {fit.bic:.6g}")
    return lines


def _correlations(fit: ModelFit) -> list[str]:
    pairs = [
        (abs(fit.correlation[i, j]), f"{fit.names[i]}, {fit.names[j]}: {fit.correlation[i, j]:+.4f}")
        for i in range(len(fit.names))
        for j in range(i)
        if abs(fit.correlation[i, j]) >= _NOTABLE
    ]
    pairs.sort(reverse=True)
    if not pairs:
        return []
    more = f"; and {len(pairs) - _TOLD} more" if len(pairs) > _TOLD else ""
    return [f"correlations above {_NOTABLE}: {'; '.join(text for _, text in pairs[:_TOLD])}{more}"]

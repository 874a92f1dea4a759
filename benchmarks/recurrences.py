"""Recurrences in machine code against C by hand: a Kalman filter and a Runge-Kutta method, 200 steps, 4 rows.

Each step's derivative is taken by the rules of the operation table, and by hand in the C.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Contender

STEPS, ROWS = 200, 4

BY_HAND = """
#include <math.h>
double kalman(const double *theta, const double *z, long m, double *g) {
    const double a = theta[0], q = theta[1], r = theta[2];
    double cost = 0.0, da = 0.0, dq = 0.0, dr = 0.0;
    for (long row = 0; row < m; row++) {
        double M[201], P[201], Pp[200], S[200], E[200], K[200], gM = 0.0, gP = 0.0;
        M[0] = 0.0, P[0] = 1.0;
        for (long t = 0; t < 200; t++) {
            const double mp = a * M[t];
            Pp[t] = a * a * P[t] + q, S[t] = Pp[t] + r, E[t] = z[200 * row + t] - mp, K[t] = Pp[t] / S[t];
            cost += 0.5 * (log(S[t]) + E[t] * E[t] / S[t]);
            M[t + 1] = mp + K[t] * E[t], P[t + 1] = (1.0 - K[t]) * Pp[t];
        }
        for (long t = 199; t >= 0; t--) {
            const double gK = gM * E[t] - gP * Pp[t], gE = gM * K[t] + E[t] / S[t];
            const double gS = 0.5 * (1.0 / S[t] - E[t] * E[t] / (S[t] * S[t])) - gK * Pp[t] / (S[t] * S[t]);
            const double gPp = gP * (1.0 - K[t]) + gK / S[t] + gS, gmp = gM - gE;
            dr += gS, dq += gPp, da += gmp * M[t] + gPp * 2.0 * a * P[t];
            gM = gmp * a, gP = gPp * a * a;
        }
    }
    g[0] = da / m, g[1] = dq / m, g[2] = dr / m;
    return cost / m;
}
static void slope(double k, double c, const double *s, double *o) {
    o[0] = s[1], o[1] = -k * sin(s[0]) - c * s[1];
}
static void back(double k, double c, const double *s, const double *g, double *gs, double *gk, double *gc) {
    gs[0] = -k * cos(s[0]) * g[1], gs[1] = g[0] - c * g[1], *gk -= sin(s[0]) * g[1], *gc -= s[1] * g[1];
}
double runge_kutta(const double *theta, const double *begin, const double *y, long m, double *g) {
    const double k = theta[0], c = theta[1], h = 0.05;
    double cost = 0.0, gk = 0.0, gc = 0.0;
    for (long row = 0; row < m; row++) {
        double at[201][2], p[200][3][2], s[4][2], gs[2] = {0.0, 0.0};
        at[0][0] = begin[2 * row], at[0][1] = begin[2 * row + 1];
        for (long t = 0; t < 200; t++) {
            slope(k, c, at[t], s[0]);
            for (int n = 0; n < 3; n++) {
                for (int i = 0; i < 2; i++) p[t][n][i] = at[t][i] + s[n][i] * (n == 2 ? h : h / 2);
                slope(k, c, p[t][n], s[n + 1]);
            }
            for (int i = 0; i < 2; i++)
                at[t + 1][i] = at[t][i] + (s[0][i] + 2 * s[1][i] + 2 * s[2][i] + s[3][i]) * (h / 6);
            cost += (at[t + 1][0] - y[200 * row + t]) * (at[t + 1][0] - y[200 * row + t]);
        }
        for (long t = 199; t >= 0; t--) {
            double d[4][2], q[2];
            gs[0] += 2 * (at[t + 1][0] - y[200 * row + t]);
            for (int i = 0; i < 2; i++) d[0][i] = d[3][i] = gs[i] * (h / 6), d[1][i] = d[2][i] = 2 * d[0][i];
            for (int n = 3; n > 0; n--) {
                back(k, c, p[t][n - 1], d[n], q, &gk, &gc);
                for (int i = 0; i < 2; i++) d[n - 1][i] += q[i] * (n == 3 ? h : h / 2), gs[i] += q[i];
            }
            back(k, c, at[t], d[0], q, &gk, &gc);
            for (int i = 0; i < 2; i++) gs[i] += q[i];
        }
    }
    g[0] = gk / m, g[1] = gc / m;
    return cost / m;
}
"""


def kalman() -> tuple[Callable[..., Any], list[Any], tuple[Any, ...]]:
    """The likelihood of what a filter of one state has seen; its parameters, and data."""
    from autobp import Value, functions

    a, q, r = Value(0.9), Value(0.1), Value(0.5)

    def loss(z: Any) -> Any:
        mean, variance, total = 0.0, 1.0, 0.0
        for t in range(STEPS):
            mean, variance = a * mean, a * a * variance + q
            s, e = variance + r, z[t] - mean
            gain = variance / s
            total = total + 0.5 * (functions.log(s) + e * e / s)
            mean, variance = mean + gain * e, (1 - gain) * variance
        return total

    return loss, [a, q, r], (np.random.default_rng(4).normal(size=(ROWS, STEPS)),)


def runge_kutta() -> tuple[Callable[..., Any], list[Any], tuple[Any, ...]]:
    """How far a pendulum's way by the method of fourth order is from one that was seen."""
    from autobp import Value

    k, c, h = Value(1.5), Value(0.3), 0.05

    def slope(s: Any) -> Any:
        return [s[1], -k * s[0].sin() - c * s[1]]

    def after(s: Any, by: Any, step: float) -> Any:
        return [p + q * step for p, q in zip(s, by, strict=True)]

    def loss(s: Any, y: Any) -> Any:
        total = 0.0
        for t in range(STEPS):
            k1 = slope(s)
            k2 = slope(after(s, k1, h / 2))
            k3 = slope(after(s, k2, h / 2))
            k4 = slope(after(s, k3, h))
            s = [
                p + (u + 2 * v + 2 * w + z) * (h / 6) for p, u, v, w, z in zip(s, k1, k2, k3, k4, strict=True)
            ]
            total = total + (s[0] - y[t]) ** 2
        return total

    rng = np.random.default_rng(5)
    return loss, [k, c], (rng.normal(size=(ROWS, 2)), rng.normal(size=(ROWS, STEPS)))


class Case:
    """A recurrence, by the compiler's loops and by hand."""

    def __init__(self, model: Callable[[], Any]) -> None:
        self.name = model.__name__
        function, parameters, self.data = model()
        self.theta = np.array([p.data for p in parameters])
        self.folder = tempfile.TemporaryDirectory()
        self.function, self.parameters = function, parameters

    def compiled(self) -> Callable[[], float]:
        from autobp.backends.c_text import c_source
        from autobp.compiler.pipeline import Signature, programs_of
        from autobp.compiler.recording import record_function

        graph, shape = record_function(self.function, self.parameters, [x[0] for x in self.data])
        names = [f"x{i}" for i in range(len(self.data))]
        signature = Signature([""] * len(self.theta), names, [x.shape[1:] for x in self.data], shape)
        program = programs_of(graph, signature, loops=True).programs["cost_and_gradient"]
        source = c_source({"recurrence": program}, "A recurrence.")
        (made,) = source.functions
        return self.called("recurrence", source.text, np.empty(made.fixed + ROWS * made.each + 1))

    def by_hand(self) -> Callable[[], float]:
        return self.called(self.name, BY_HAND, None)

    def called(self, name: str, source: str, work: Any) -> Callable[[], float]:
        from benchmarks.machine import library, microseconds

        with tempfile.TemporaryDirectory() as folder:
            function = getattr(library(source, folder), name)
        function.restype = ctypes.c_double
        gradient = np.empty(len(self.theta))
        given = [ctypes.c_void_p(x.ctypes.data) for x in (self.theta, *self.data)]
        given += [ctypes.c_long(ROWS), ctypes.c_void_p(gradient.ctypes.data)]
        given += [] if work is None else [ctypes.c_void_p(work.ctypes.data)]
        found = np.array([function(*given), *gradient])
        expected = self.__dict__.setdefault("expected", found)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        kept = (gradient, work)
        return microseconds(lambda kept=kept: function(*given), 5)


def comparisons() -> Iterator[Comparison]:
    """Both."""
    for model in (kalman, runge_kutta):
        case = Case(model)
        title = f"{case.name}, {STEPS} steps, {ROWS} rows: cost and gradient"
        contenders = (
            Contender("C by hand, plain", case.by_hand),
            Contender("the compiler's loops as C, called the same way", case.compiled),
        )
        yield Comparison(title, contenders, "µs", rounds=10)

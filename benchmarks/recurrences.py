"""Recurrences in machine code against C by hand and others: a Kalman filter and a Runge-Kutta method.

Each step's derivative is taken by the rules of the operation table, and by hand in the C.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.built_c import library
from benchmarks.casadi_c import casadi_sample
from benchmarks.harness import Comparison, Contender, Sample, timed_briefly
from benchmarks.recurrent_models import STEPS, kalman, kalman_by_scan, runge_kutta, runge_kutta_by_scan

ROWS = 4

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


def data_of(name: str) -> tuple[Any, ...]:
    """What was seen."""
    if name == "kalman":
        return (np.random.default_rng(4).normal(size=(ROWS, STEPS)),)
    rng = np.random.default_rng(5)
    return rng.normal(size=(ROWS, 2)), rng.normal(size=(ROWS, STEPS))


class Case:
    """A recurrence, by the compiler's loops, by hand and by others."""

    def __init__(self, name: str, cost: Callable[..., Any], by_scan: Callable[..., Any], theta: Any) -> None:
        self.name, self.cost, self.by_scan = name, cost, by_scan
        self.theta, self.data = np.array(theta), data_of(name)

    def step(self, backend: Any) -> Any:
        """The compiled step, whose numbers the others' are held against."""
        import autobp

        values = [autobp.Value(x) for x in self.theta]
        cost, n = self.cost, len(self.data)
        function = (lambda x: cost(values, x)) if n == 1 else (lambda x, y: cost(values, x, y))
        step = autobp.compile(function, values, backend=backend)
        self.expected = step(self.theta, *self.data)
        return step

    def compiled(self, backend: str) -> Sample:
        step = self.step(backend)
        return timed_briefly(lambda: step(self.theta, *self.data), 5)

    def function_alone(self) -> Sample:
        step = self.step("c")
        made, work = step._executable().prepared("cost_and_gradient", ROWS)
        return self.called(made._run, work[0], (step, work))

    def by_hand(self) -> Sample:
        with tempfile.TemporaryDirectory() as folder:
            function = getattr(library(BY_HAND, folder), self.name)
        function.restype = ctypes.c_double
        return self.called(function, None, None)

    def called(self, function: Any, work: Any, held: Any) -> Sample:
        gradient = np.empty(len(self.theta))
        given = [ctypes.c_void_p(x.ctypes.data) for x in (self.theta, *self.data)]
        given += [ctypes.c_long(ROWS), ctypes.c_void_p(gradient.ctypes.data)]
        given += [] if work is None else [ctypes.c_void_p(work)]
        cost = function(*given)
        if work is None:
            self.step("numpy")
        self.check(cost, gradient)
        kept = (gradient, held)
        return timed_briefly(lambda kept=kept: function(*given), 5)

    def jax(self) -> Sample:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        of_row = self.by_scan
        axes = (None, *[0] * len(self.data))
        step = jax.jit(jax.value_and_grad(lambda *given: jnp.mean(jax.vmap(of_row, axes)(*given))))
        given = [jnp.array(x) for x in (self.theta, *self.data)]
        self.step("numpy")
        self.check(*step(*given))
        return timed_briefly(lambda: jax.block_until_ready(step(*given)), 5)

    def casadi(self) -> Sample:
        self.step("numpy")
        return casadi_sample(self.cost, self.theta, self.data, self.expected, 5)

    def check(self, cost: Any, gradient: Any) -> None:
        np.testing.assert_allclose(cost, self.expected[0], rtol=1e-9)
        np.testing.assert_allclose(gradient, self.expected[1], rtol=1e-9)


def _comparisons() -> Iterator[Comparison]:
    for case in (
        Case("kalman", kalman, kalman_by_scan, [0.9, 0.1, 0.5]),
        Case("runge_kutta", runge_kutta, runge_kutta_by_scan, [1.5, 0.3]),
    ):
        title = f"{case.name}, {STEPS} steps, {ROWS} rows: cost and gradient"
        contenders = (
            Contender("C by hand, plain", case.by_hand, ""),
            Contender("autobp.compile, its C called the same way", case.function_alone),
            Contender("autobp.compile, machine code", partial(case.compiled, "c")),
            Contender("autobp.compile, NumPy", partial(case.compiled, "numpy")),
            Contender("JAX, jit of a scan", case.jax, "jax"),
            Contender("CasADi, its C called the same way", case.casadi, "casadi"),
        )
        yield Comparison(title, contenders, "µs", rounds=10, reference="autobp.compile, machine code")


COMPARISONS = list(_comparisons())

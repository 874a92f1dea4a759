"""Machine code against C by hand and NumPy, where the work is small: 2-16-16-1, tanh, squared error.

``python -m benchmarks.machine`` prints the best of many samples, taken in turn. README's table is without it.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Contender, timed

Sample = Callable[[], float]

BY_HAND = """
#include <math.h>
#define N 16
/* theta: for each neuron its weights, then its bias, layer by layer. */
double by_hand(const double *theta, const double *x, const double *y, long m, double *gradient) {
    const double *W1 = theta, *W2 = theta + 3 * N, *W3 = W2 + (N + 1) * N;
    double *d1 = gradient, *d2 = gradient + 3 * N, *d3 = d2 + (N + 1) * N, cost = 0.0;
    for (long i = 0; i < 3 * N + (N + 1) * (N + 1); i++) gradient[i] = 0.0;
    for (long s = 0; s < m; s++) {
        double a1[N], a2[N], delta1[N] = {0.0}, delta2[N];
        for (long i = 0; i < N; i++)
            a1[i] = tanh(W1[3 * i] * x[2 * s] + W1[3 * i + 1] * x[2 * s + 1] + W1[3 * i + 2]);
        for (long i = 0; i < N; i++) {
            double z = 0.0;
            for (long k = 0; k < N; k++) z += W2[(N + 1) * i + k] * a1[k];
            a2[i] = tanh(z + W2[(N + 1) * i + N]);
        }
        double z = W3[N];
        for (long k = 0; k < N; k++) z += W3[k] * a2[k];
        const double a = tanh(z), delta = 2.0 * (a - y[s]) * (1.0 - a * a) / (double)m;
        cost += (a - y[s]) * (a - y[s]) / (double)m;
        d3[N] += delta;
        for (long k = 0; k < N; k++) {
            d3[k] += delta * a2[k];
            delta2[k] = delta * W3[k] * (1.0 - a2[k] * a2[k]);
        }
        for (long i = 0; i < N; i++) {
            d2[(N + 1) * i + N] += delta2[i];
            for (long k = 0; k < N; k++) {
                d2[(N + 1) * i + k] += delta2[i] * a1[k];
                delta1[k] += delta2[i] * W2[(N + 1) * i + k];
            }
        }
        for (long i = 0; i < N; i++) {
            const double d = delta1[i] * (1.0 - a1[i] * a1[i]);
            d1[3 * i] += d * x[2 * s];
            d1[3 * i + 1] += d * x[2 * s + 1];
            d1[3 * i + 2] += d;
        }
    }
    return cost;
}
"""


class Case:
    """The network and its data."""

    def __init__(self, m: int) -> None:
        rng = np.random.default_rng(0)
        self.m, self.calls = m, max(50, 2_000 // m)
        self.x = rng.normal(size=(m, 2))
        self.y = np.tanh(self.x[:, :1] * self.x[:, 1:])

    @property
    def title(self) -> str:
        return f"2-16-16-1, tanh, batch {self.m}: cost and gradient in machine code"

    def step(self, backend: Any) -> Any:
        import autobp

        net = autobp.MLP(2, [16, 16, 1], activation="tanh", seed=0)
        return autobp.compile(lambda x, y: (net(x) - y[0]) ** 2, net.parameters(), backend=backend)

    def compiled(self, backend: str) -> Sample:
        step = self.step(backend)
        return microseconds(lambda theta=step.theta: step(theta, self.x, self.y), self.calls)

    def function_alone(self) -> Sample:
        """The function of ours that the library has, called as that by hand."""
        step = self.step("c")
        step(step.theta, self.x, self.y)
        made, work = step._executable().prepared("cost_and_gradient", self.m)
        return self.called(made._run, step.theta, [ctypes.c_void_p(work[0])], work)

    def by_hand(self) -> Sample:
        from autobp.machine.toolchain import flags, toolchain

        step = self.step("numpy")
        self.folder = tempfile.TemporaryDirectory()
        Path(self.folder.name, "by_hand.c").write_text(BY_HAND)
        command = [*toolchain().command, *flags(BY_HAND), "by_hand.c", "-o", "by_hand.so", "-lm"]
        subprocess.run(command, cwd=self.folder.name, check=True)
        function = ctypes.CDLL(f"{self.folder.name}/by_hand.so").by_hand
        function.restype = ctypes.c_double
        function.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_long, ctypes.c_void_p]
        gradient, theta = np.empty(337), step.theta
        cost = function(*[x.ctypes.data for x in (theta, self.x, self.y)], self.m, gradient.ctypes.data)
        expected = step(theta, self.x, self.y)
        np.testing.assert_allclose(cost, expected[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-13)
        return self.called(function, theta, [], None)

    def called(self, function: Any, theta: Any, more: list[Any], held: Any) -> Sample:
        gradient = np.empty(len(theta))
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (theta, self.x, self.y)]
        given = [*pointers, ctypes.c_long(self.m), ctypes.c_void_p(gradient.ctypes.data), *more]
        kept = (theta, gradient, held)
        return microseconds(lambda kept=kept: function(*given), self.calls)


def microseconds(step: Callable[[], object], n: int) -> Sample:
    """One sample of how long a call takes, in µs."""
    step()
    sample = timed(step, n)
    return lambda: 1e3 * sample()


def _comparison(m: int) -> Comparison:
    case = Case(m)
    contenders = (
        Contender("C by hand, plain", case.by_hand),
        Contender("the compiled step's C, called the same way", case.function_alone),
        Contender("compiled step, machine code", lambda: case.compiled("c")),
        Contender("compiled step, NumPy", lambda: case.compiled("numpy")),
    )
    return Comparison(case.title, contenders, "µs")


def main() -> None:
    """Print the best time of each contender."""
    for m in (1, 100):
        comparison = _comparison(m)
        print(comparison.title)
        samples = {contender.name: contender.prepare() for contender in comparison.contenders}
        best = dict.fromkeys(samples, float("inf"))
        for _ in range(25):
            for name, sample in samples.items():
                if sample is not None:
                    best[name] = min(best[name], sample())
        for name, time in best.items():
            print(f"  {name:45}{time:8.2f} {comparison.unit}")


if __name__ == "__main__":
    main()

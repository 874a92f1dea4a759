"""Machine code against C by hand, NumPy and others, where the work is small.

2-16-16-1 with tanh and squared error; a Kalman filter and a Runge-Kutta method of 200 steps, whose loops are
called as the compiler made them. ``python -m benchmarks.machine`` prints the best of many short samples,
taken in turn, and the processor. README's table is without it.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Contender

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


#: The same, with several units at once: weights side by side, and tanh from where the C library has several.
WITH_CARE = """
#include <math.h>
#if defined(__GLIBC__) && defined(__x86_64__) && __GLIBC__ == 2 && __GLIBC_MINOR__ >= 35
__attribute__((simd("notinbranch"))) double tanh(double);
#endif
#define N 16
double by_hand(const double *theta, const double *x, const double *y, long m, double *gradient) {
    const double *W1 = theta, *W2 = theta + 3 * N, *W3 = W2 + (N + 1) * N;
    double *d1 = gradient, *d2 = gradient + 3 * N, *d3 = d2 + (N + 1) * N, cost = 0.0;
    double T[N][N], w0[N], w1[N], b1[N], b2[N], g0[N] = {0.0}, g1[N] = {0.0}, gb1[N] = {0.0}, gb2[N] = {0.0};
    double g2[N][N] = {{0.0}}, g3[N + 1] = {0.0};
    for (long i = 0; i < N; i++) {
        w0[i] = W1[3 * i], w1[i] = W1[3 * i + 1], b1[i] = W1[3 * i + 2], b2[i] = W2[(N + 1) * i + N];
        for (long k = 0; k < N; k++) T[k][i] = W2[(N + 1) * i + k];
    }
    for (long s = 0; s < m; s++) {
        double a1[N], a2[N], z2[N], delta1[N] = {0.0}, delta2[N], z = W3[N];
        for (long i = 0; i < N; i++) a1[i] = tanh(w0[i] * x[2 * s] + w1[i] * x[2 * s + 1] + b1[i]);
        for (long i = 0; i < N; i++) z2[i] = b2[i];
        for (long k = 0; k < N; k++)
            for (long i = 0; i < N; i++) z2[i] += T[k][i] * a1[k];
        for (long i = 0; i < N; i++) a2[i] = tanh(z2[i]);
        for (long k = 0; k < N; k++) z += W3[k] * a2[k];
        const double a = tanh(z), delta = 2.0 * (a - y[s]) * (1.0 - a * a) / (double)m;
        cost += (a - y[s]) * (a - y[s]) / (double)m;
        g3[N] += delta;
        for (long k = 0; k < N; k++) {
            g3[k] += delta * a2[k];
            delta2[k] = delta * W3[k] * (1.0 - a2[k] * a2[k]);
            gb2[k] += delta2[k];
        }
        for (long i = 0; i < N; i++)
            for (long k = 0; k < N; k++) {
                g2[i][k] += delta2[i] * a1[k];
                delta1[k] += delta2[i] * W2[(N + 1) * i + k];
            }
        for (long i = 0; i < N; i++) {
            const double d = delta1[i] * (1.0 - a1[i] * a1[i]);
            g0[i] += d * x[2 * s], g1[i] += d * x[2 * s + 1], gb1[i] += d;
        }
    }
    for (long i = 0; i < N; i++) {
        d1[3 * i] = g0[i], d1[3 * i + 1] = g1[i], d1[3 * i + 2] = gb1[i], d2[(N + 1) * i + N] = gb2[i];
        for (long k = 0; k < N; k++) d2[(N + 1) * i + k] = g2[i][k];
    }
    for (long k = 0; k <= N; k++) d3[k] = g3[k];
    return cost;
}
"""


class Case:
    """The network and its data."""

    def __init__(self, m: int) -> None:
        rng = np.random.default_rng(0)
        self.m, self.calls = m, max(10, 200 // m)  # shorter than a slice of a busy processor's time
        self.x = rng.normal(size=(m, 2))
        self.y = np.tanh(self.x[:, :1] * self.x[:, 1:])
        self.folders: list[tempfile.TemporaryDirectory[str]] = []

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

    def by_hand(self, source: str = BY_HAND) -> Sample:
        step = self.step("numpy")
        self.folders.append(tempfile.TemporaryDirectory())
        function = library(source, self.folders[-1].name).by_hand
        function.restype = ctypes.c_double
        function.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_long, ctypes.c_void_p]
        gradient, theta = np.empty(337), step.theta
        cost = function(*[x.ctypes.data for x in (theta, self.x, self.y)], self.m, gradient.ctypes.data)
        expected = step(theta, self.x, self.y)
        np.testing.assert_allclose(cost, expected[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-13)
        return self.called(function, theta, [], None)

    def weights(self) -> list[tuple[Any, Any]]:
        """(W, b) of each layer."""
        found = self.step("numpy")
        theta, layers = found.theta, []
        for n, k in ((2, 16), (16, 16), (16, 1)):
            rows, theta = theta[: k * (n + 1)].reshape(k, n + 1), theta[k * (n + 1) :]
            layers.append((rows[:, :n].copy(), rows[:, n].copy()))
        return layers

    def jax(self) -> Sample:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)

        def loss(layers: Any, x: Any, y: Any) -> Any:
            for w, b in layers:
                x = jnp.tanh(x @ w.T + b)
            return jnp.sum((x - y) ** 2) / len(x)

        step = jax.jit(jax.value_and_grad(loss))
        layers = [(jnp.array(w), jnp.array(b)) for w, b in self.weights()]
        x, y = jnp.array(self.x), jnp.array(self.y)
        return microseconds(lambda: jax.block_until_ready(step(layers, x, y)), self.calls)

    def torch(self) -> Sample:
        import torch

        torch.set_num_threads(1)
        layers = [[torch.tensor(a, requires_grad=True) for a in layer] for layer in self.weights()]
        x, y = torch.tensor(self.x), torch.tensor(self.y)

        def step() -> Any:
            a = x
            for w, b in layers:
                a = torch.tanh(torch.nn.functional.linear(a, w, b))
            return torch.autograd.grad(((a - y) ** 2).sum() / len(x), [p for layer in layers for p in layer])

        return microseconds(step, self.calls)

    def numba(self) -> Sample:
        import numba

        step = self.step("numpy")
        step(step.theta, self.x, self.y)
        namespace: dict[str, Any] = {}
        exec(step.source, namespace)
        function = numba.njit(namespace["cost_and_gradient"])
        theta = step.theta
        np.testing.assert_allclose(
            function(theta, self.x, self.y)[1], step(theta, self.x, self.y)[1], rtol=1e-9
        )
        return microseconds(lambda: function(theta, self.x, self.y), self.calls)

    def called(self, function: Any, theta: Any, more: list[Any], held: Any) -> Sample:
        gradient = np.empty(len(theta))
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (theta, self.x, self.y)]
        given = [*pointers, ctypes.c_long(self.m), ctypes.c_void_p(gradient.ctypes.data), *more]
        kept = (theta, gradient, held)
        return microseconds(lambda kept=kept: function(*given), self.calls)


def microseconds(step: Callable[[], object], n: int) -> Sample:
    """One sample of how long a call takes, in µs: the best of 20 short ones, for other processes run too."""
    step()

    def sample() -> float:
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(n):
                step()
            best = min(best, time.perf_counter() - start)
        return 1e6 * best / n

    return sample


def library(source: str, folder: str) -> ctypes.CDLL:
    """A source, built as those of compiled steps are."""
    from autobp.machine.toolchain import flags, toolchain

    Path(folder, "by_hand.c").write_text(source)
    command = [*toolchain().command, *flags(source), "by_hand.c", "-o", "by_hand.so", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(f"{folder}/by_hand.so")


def _comparison(m: int) -> Comparison:
    case = Case(m)
    contenders = (
        Contender("C by hand, plain", case.by_hand),
        Contender("C by hand, with care", lambda: case.by_hand(WITH_CARE)),
        Contender("the compiled step's C, called the same way", case.function_alone),
        Contender("compiled step, machine code", lambda: case.compiled("c")),
        Contender("compiled step, NumPy", lambda: case.compiled("numpy")),
        Contender("Numba on the step's source", case.numba, "numba"),
        Contender("JAX, jit", case.jax, "jax"),
        Contender("PyTorch, eager", case.torch, "torch"),
    )
    return Comparison(case.title, contenders, "µs", rounds=10)


def show(comparison: Comparison) -> None:
    """Print the best time of each contender, taken in turn."""
    print(comparison.title)
    samples: dict[str, Sample] = {}
    for contender in comparison.contenders:
        try:
            sample = contender.prepare()
        except ImportError:
            continue
        if sample is not None:
            samples[contender.name] = sample
    best = dict.fromkeys(samples, float("inf"))
    for _ in range(comparison.rounds):
        for name, sample in samples.items():
            best[name] = min(best[name], sample())
    for name, least in best.items():
        print(f"  {name:45}{least:8.2f} {comparison.unit}", flush=True)


def main() -> None:
    """Print all comparisons, and on which processor they were made."""
    from autobp.machine.toolchain import toolchain
    from benchmarks.recurrences import comparisons

    print(toolchain().processor.splitlines()[1], toolchain().version.splitlines()[0], sep="; ")
    for comparison in (_comparison(1), _comparison(100), *comparisons()):
        show(comparison)


if __name__ == "__main__":
    main()

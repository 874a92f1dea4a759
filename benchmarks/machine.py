"""Machine code against C by hand, NumPy and others, where the work is small: 2-16-16-1 with tanh."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from typing import Any

import numpy as np

from benchmarks.built_c import library
from benchmarks.casadi_c import casadi_sample
from benchmarks.harness import Comparison, Contender, Sample, timed_briefly

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
        return f"2-16-16-1, tanh, batch {self.m}: cost and gradient"

    def step(self, backend: Any) -> Any:
        import autobp

        net = autobp.MLP(2, [16, 16, 1], activation="tanh", seed=0)
        return autobp.compile(lambda x, y: (net(x) - y[0]) ** 2, net.parameters(), backend=backend)

    def compiled(self, backend: str) -> Sample:
        step = self.step(backend)
        return timed_briefly(lambda theta=step.theta: step(theta, self.x, self.y), self.calls)

    def function_alone(self) -> Sample:
        """The function of ours that the library has, called as that by hand."""
        step = self.step("c")
        step(step.theta, self.x, self.y)
        made, work = step._executable().prepared("cost_and_gradient", self.m)
        return self.called(made._run, step.theta, [ctypes.c_void_p(work[0])], work)

    def by_clang(self) -> Sample | None:
        return self.by_hand(WITH_CARE, "clang") if shutil.which("clang") else None

    def by_hand(self, source: str = BY_HAND, compiler: str = "") -> Sample:
        step = self.step("numpy")
        self.folders.append(tempfile.TemporaryDirectory())
        function = library(source, self.folders[-1].name, compiler).by_hand
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
        return timed_briefly(lambda: jax.block_until_ready(step(layers, x, y)), self.calls)

    def torch_compiled(self) -> Sample:
        return self.torch(True)

    def torch(self, compiled: bool = False) -> Sample:
        import torch

        torch.set_num_threads(1)
        layers = [[torch.tensor(a, requires_grad=True) for a in layer] for layer in self.weights()]
        x, y = torch.tensor(self.x), torch.tensor(self.y)

        def cost(x: Any, y: Any) -> Any:
            a = x
            for w, b in layers:
                a = torch.tanh(torch.nn.functional.linear(a, w, b))
            return ((a - y) ** 2).sum() / len(x)

        of_rows = torch.compile(cost) if compiled else cost
        parameters = [p for layer in layers for p in layer]
        return timed_briefly(lambda: torch.autograd.grad(of_rows(x, y), parameters), self.calls)

    def casadi(self) -> Sample:
        step = self.step("numpy")

        def cost(theta: list[Any], x: list[Any], y: list[Any]) -> Any:
            for n, k in ((2, 16), (16, 16), (16, 1)):
                rows, theta = [theta[i * (n + 1) : (i + 1) * (n + 1)] for i in range(k)], theta[k * (n + 1) :]
                x = [(sum(w * a for w, a in zip(row, x, strict=False)) + row[n]).tanh() for row in rows]
            return (x[0] - y[0]) ** 2

        expected = step(step.theta, self.x, self.y)
        return casadi_sample(cost, step.theta, (self.x, self.y), expected, self.calls)

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
        return timed_briefly(lambda: function(theta, self.x, self.y), self.calls)

    def called(self, function: Any, theta: Any, more: list[Any], held: Any) -> Sample:
        gradient = np.empty(len(theta))
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (theta, self.x, self.y)]
        given = [*pointers, ctypes.c_long(self.m), ctypes.c_void_p(gradient.ctypes.data), *more]
        kept = (theta, gradient, held)
        return timed_briefly(lambda kept=kept: function(*given), self.calls)


def _comparison(m: int) -> Comparison:
    case = Case(m)
    contenders = (
        Contender("C by hand, plain", case.by_hand, ""),
        Contender("C by hand, with care", lambda: case.by_hand(WITH_CARE), ""),
        Contender("C by hand, with care, by clang", case.by_clang, ""),
        Contender("autobp.compile, its C called the same way", case.function_alone),
        Contender("autobp.compile, machine code", lambda: case.compiled("c")),
        Contender("autobp.compile, NumPy", lambda: case.compiled("numpy")),
        Contender("Numba, on the source of the NumPy program", case.numba, "numba"),
        Contender("JAX, jit", case.jax, "jax"),
        Contender("CasADi, its C called the same way", case.casadi, "casadi"),
        Contender("PyTorch, eager", case.torch, "torch"),
        Contender("PyTorch, torch.compile", case.torch_compiled, "torch"),
    )
    return Comparison(case.title, contenders, "µs", rounds=10, reference="autobp.compile, machine code")


COMPARISONS = [_comparison(1), _comparison(100)]

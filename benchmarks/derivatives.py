"""Derivatives beyond the gradient, compiled, against JAX's, PyTorch's and autograd's.

Hessians, Jacobians, and what a product with a Hessian costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Contender, Sample, timed


class Network:
    """2-16-16-1, tanh, squared error, 100 rows: 337 parameters."""

    title = "the Hessian of 2-16-16-1, tanh, batch 100"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(100, 2))
        self.y = np.tanh(self.x[:, :1] * self.x[:, 1:])

    def step(self, backend: str) -> Any:
        import autobp

        net = autobp.MLP(2, [16, 16, 1], activation="tanh", seed=0)
        return autobp.compile(lambda x, y: (net(x) - y[0]) ** 2, net.parameters(), backend=backend)

    def cost(self, xp: Any, theta: Any, a: Any, y: Any) -> Any:
        first = 0
        for n_out, n_in in ((16, 2), (16, 16), (1, 16)):
            last = first + n_out * (n_in + 1)
            layer = theta[first:last].reshape(n_out, n_in + 1)
            a, first = xp.tanh(a @ layer[:, :-1].T + layer[:, -1]), last
        return xp.mean((a - y) ** 2)


class Curve:
    """Three bells on a floor, 10 parameters, 10,000 rows."""

    title = "the Hessian of a curve of 10 parameters, 10,000 rows"

    def __init__(self) -> None:
        self.x = np.linspace(-1.0, 2.0, 10_000)
        self.y = np.sin(self.x)

    def step(self, backend: str) -> Any:
        import autobp

        w = [autobp.Value(x) for x in (1.0, 0.5, 0.3, 2.0, 0.8, 0.4, 0.5, 1.2, 0.9, 0.1)]

        def loss(x: Any, y: Any) -> Any:
            bells = [w[k] * (-((x - w[k + 1]) ** 2) / (2.0 * w[k + 2] ** 2)).exp() for k in (0, 3, 6)]
            return (bells[0] + bells[1] + bells[2] + w[9] - y) ** 2

        return autobp.compile(loss, w, backend=backend)

    def cost(self, xp: Any, theta: Any, x: Any, y: Any) -> Any:
        bells = [theta[k] * xp.exp(-((x - theta[k + 1]) ** 2) / (2.0 * theta[k + 2] ** 2)) for k in (0, 3, 6)]
        return xp.mean((bells[0] + bells[1] + bells[2] + theta[9] - y) ** 2)


Case = Network | Curve


def hessian(case: Case, backend: str) -> Sample:
    step = case.step(backend)
    return milliseconds(lambda theta=step.theta: step.hessian(theta, case.x, case.y))


def hessian_by_jax(case: Case) -> Sample:
    import jax

    jax.config.update("jax_enable_x64", True)
    x, y, theta = (jax.numpy.array(a) for a in (case.x, case.y, case.step("numpy").theta))
    made = jax.jit(jax.hessian(lambda theta: case.cost(jax.numpy, theta, x, y)))
    compare_with_ours(case, made(theta))
    return milliseconds(lambda: made(theta).block_until_ready())


def hessian_by_torch(case: Case) -> Sample:
    import torch

    x, y, theta = (torch.tensor(a) for a in (case.x, case.y, case.step("numpy").theta))
    made = torch.func.hessian(lambda theta: case.cost(torch, theta, x, y))
    compare_with_ours(case, made(theta))
    return milliseconds(lambda: made(theta))


def hessian_by_autograd(case: Case) -> Sample:
    import autograd

    theta = case.step("numpy").theta
    made = autograd.hessian(lambda theta: case.cost(autograd.numpy, theta, case.x, case.y))
    compare_with_ours(case, made(theta))
    return milliseconds(lambda: made(theta))


def compare_with_ours(case: Case, found: Any) -> None:
    step = case.step("numpy")
    expected = step.hessian(step.theta, case.x, case.y)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


def product(case: Case, backend: str, of_gradient: bool) -> Sample:
    step = case.step(backend)
    theta = step.theta
    if of_gradient:
        return milliseconds(lambda: step(theta, case.x, case.y))
    return milliseconds(lambda: step.hvp(theta, theta, case.x, case.y))


def chain(sparse: bool) -> Sample:
    """The Jacobian of 50 states, each held to the next, by all of them."""
    import autobp

    w = [autobp.Value(0.1 * k) for k in range(51)]

    def residuals() -> list[Any]:
        return [w[k + 1] - w[k] - 0.1 * (w[k] * w[k + 1]).sin() for k in range(50)]

    step = autobp.compile(residuals, w)
    return milliseconds(lambda theta=step.theta: step.jacobian(theta, sparse=sparse))


def chain_by_jax() -> Sample:
    import jax

    jax.config.update("jax_enable_x64", True)
    theta = jax.numpy.array(0.1 * np.arange(51.0))
    made = jax.jit(jax.jacfwd(partial(residuals_of_chain, jax.numpy)))
    return milliseconds(lambda: made(theta).block_until_ready())


def chain_by_torch() -> Sample:
    import torch

    theta = torch.tensor(0.1 * np.arange(51.0))
    made = torch.func.jacfwd(partial(residuals_of_chain, torch))
    return milliseconds(lambda: made(theta))


def chain_by_autograd() -> Sample:
    import autograd

    made = autograd.jacobian(partial(residuals_of_chain, autograd.numpy))
    return milliseconds(lambda: made(0.1 * np.arange(51.0)))


def residuals_of_chain(xp: Any, w: Any) -> Any:
    return w[1:] - w[:-1] - 0.1 * xp.sin(w[:-1] * w[1:])


def predator_and_prey(rates: Any, steps: int = 200, h: float = 0.05) -> list[Any]:
    """Lotka and Volterra's equations by classical Runge–Kutta steps: the two numbers after each."""

    def slope(x: Any, y: Any) -> tuple[Any, Any]:
        return rates[0] * x - rates[1] * x * y, rates[2] * x * y - rates[3] * y

    x, y, found = 1.0, 0.5, []
    for _ in range(steps):
        a, b = slope(x, y)
        c, d = slope(x + h / 2 * a, y + h / 2 * b)
        e, f = slope(x + h / 2 * c, y + h / 2 * d)
        g, i = slope(x + h * e, y + h * f)
        x, y = x + h / 6 * (a + 2.0 * c + 2.0 * e + g), y + h / 6 * (b + 2.0 * d + 2.0 * f + i)
        found += [x, y]
    return found


RATES = (1.1, 0.4, 0.1, 0.4)


def equation(backend: str) -> Sample:
    """The Jacobian of 200 steps by the four rates, as a fit by least squares needs it."""
    import autobp

    rates = [autobp.Value(x) for x in RATES]
    step = autobp.compile(lambda: predator_and_prey(rates), rates, backend=backend)
    return milliseconds(lambda theta=step.theta: step.jacobian(theta))


def equation_by_jax() -> Sample:
    import jax

    jax.config.update("jax_enable_x64", True)

    def trajectory(rates: Any) -> Any:
        def one(state: Any, _: Any) -> tuple[Any, Any]:
            def slope(z: Any) -> Any:
                x, y = z
                return jax.numpy.array(
                    [rates[0] * x - rates[1] * x * y, rates[2] * x * y - rates[3] * y],
                )

            h = 0.05
            k1 = slope(state)
            k2 = slope(state + h / 2 * k1)
            k3 = slope(state + h / 2 * k2)
            k4 = slope(state + h * k3)
            after = state + h / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
            return after, after

        return jax.lax.scan(one, jax.numpy.array([1.0, 0.5]), None, length=200)[1].reshape(-1)

    import autobp

    rates = [autobp.Value(x) for x in RATES]
    step = autobp.compile(lambda: predator_and_prey(rates), rates)
    theta = jax.numpy.array(step.theta)
    made = jax.jit(jax.jacfwd(trajectory))
    np.testing.assert_allclose(made(theta), step.jacobian(step.theta), rtol=1e-9, atol=1e-10)
    return milliseconds(lambda: made(theta).block_until_ready())


def equation_by_torch() -> Sample:
    import torch

    made = torch.func.jacfwd(lambda rates: torch.stack(predator_and_prey(rates)))
    rates = torch.tensor(RATES, dtype=torch.float64)
    return milliseconds(lambda: made(rates))


def milliseconds(step: Callable[[], object]) -> Sample:
    """A function that takes one sample of how long a call takes, in ms: the mean over 50 ms, or 5 calls."""
    step()
    begun = time.perf_counter()
    step()
    return timed(step, max(5, round(0.05 / (time.perf_counter() - begun))))


def _comparisons() -> list[Comparison]:
    found = []
    for case in (Network(), Curve()):
        contenders = (
            Contender("autobp.compile", partial(hessian, case, "auto")),
            Contender("autobp.compile, NumPy", partial(hessian, case, "numpy")),
            Contender("JAX, jit of hessian", partial(hessian_by_jax, case), "jax"),
            Contender("PyTorch, func.hessian", partial(hessian_by_torch, case), "torch"),
            Contender("autograd", partial(hessian_by_autograd, case), "autograd"),
        )
        found.append(Comparison(case.title, contenders, reference="autobp.compile"))
        contenders = tuple(
            Contender(f"{what}, {name}", partial(product, case, backend, of_gradient))
            for backend, name in (("auto", "as it comes"), ("numpy", "NumPy"))
            for what, of_gradient in (("gradient", True), ("product with the Hessian", False))
        )
        title = case.title.replace("Hessian", "gradient, and a product with the Hessian,")
        found.append(Comparison(title, contenders, reference="gradient, as it comes"))
    contenders = (
        Contender("autobp.compile", partial(chain, sparse=False)),
        Contender("autobp.compile, as scipy.sparse", partial(chain, sparse=True)),
        Contender("JAX, jit of jacfwd", chain_by_jax, "jax"),
        Contender("PyTorch, func.jacfwd", chain_by_torch, "torch"),
        Contender("autograd", chain_by_autograd, "autograd"),
    )
    found.append(Comparison("the Jacobian of a chain of 50 states", contenders, reference="autobp.compile"))
    contenders = (
        Contender("autobp.compile", partial(equation, "auto")),
        Contender("autobp.compile, NumPy", partial(equation, "numpy")),
        Contender("JAX, jit of jacfwd of a scan", equation_by_jax, "jax"),
        Contender("PyTorch, func.jacfwd", equation_by_torch, "torch"),
    )
    title = "the Jacobian of 200 Runge–Kutta steps by 4 rates"
    return [*found, Comparison(title, contenders, rounds=5, reference="autobp.compile")]


COMPARISONS = _comparisons()

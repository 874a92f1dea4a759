"""The right answers of the tasks that are no network's, by graphs of Values or by the matrix formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import autobp
from autobp import costs, matrix
from autobp.engine import Value


@dataclass(frozen=True)
class Witness:
    """Arrays by name.

    Attributes:
        right: the right ones.
        mistakes: in words, and the arrays that each leads to.
        m: how many samples there are.
        equations: of each name, without the number of a layer.
        given: of an array whose equation starts from another one: that one's name, and the equation.
    """

    right: Mapping[str, Any]
    mistakes: Mapping[str, Mapping[str, Any]]
    m: int
    equations: Mapping[str, str]
    given: Mapping[str, tuple[str, Callable[[Any], Any]]] = field(default_factory=dict)


def values(array: Any) -> Any:
    """An array of Values, leaves."""
    array = np.asarray(array, dtype=float)
    return np.array([Value(x) for x in array.flat], dtype=object).reshape(array.shape)


def grads(array: Any) -> Any:
    """Their gradients."""
    return np.array([x.grad for x in array.flat]).reshape(array.shape)


def delta_loop(Theta: Sequence[Any], X: Any, Y: Any, l2: float) -> Witness:
    """ML15's Δ and D of each layer, and what its usual mistakes make of them."""
    m = len(X)
    loop, last = matrix.accumulate(Theta, X, Y, l2=l2), matrix.accumulate(Theta, X[-1:], Y[-1:])

    def by_layer(**arrays: Sequence[Any]) -> dict[str, Any]:
        return {f"{name}{layer}": a for name, made in arrays.items() for layer, a in enumerate(made, 1)}

    weights = [np.hstack([0 * t[:, :1], t[:, 1:]]) for t in Theta]
    means = [Delta / m for Delta in loop.Delta]
    mistaken = {
        "Δ is overwritten by each sample, not added to": by_layer(Delta=last.Delta),
        "D has λ Θ, and it should be λ/m Θ: the cost has λ/(2m)": by_layer(
            D=[mean + l2 * w for mean, w in zip(means, weights, strict=True)]
        ),
        "column 0 of D, the biases, is regularised": by_layer(
            D=[mean + l2 / m * t for mean, t in zip(means, Theta, strict=True)]
        ),
        "D lacks the penalty's λ/m Θ": by_layer(D=means),
        "D is not divided by m": by_layer(
            D=[Delta + l2 / m * w for Delta, w in zip(loop.Delta, weights, strict=True)]
        ),
    }
    right = by_layer(Delta=loop.Delta, D=loop.D)
    equations = {
        "Delta": "Δ⁽ˡ⁾ = Σ δ⁽ˡ⁺¹⁾ a⁽ˡ⁾ᵀ, over the samples",
        "D": "D⁽ˡ⁾ = 1/m Δ⁽ˡ⁾ + λ/m Θ⁽ˡ⁾, and in column 0 without the λ/m Θ⁽ˡ⁾",
    }
    penalties = [l2 / m * w for w in weights]
    given = {
        f"D{layer}": (f"Delta{layer}", lambda Delta, penalty=penalty: Delta / m + penalty)
        for layer, penalty in enumerate(penalties, 1)
    }
    return Witness(right, mistaken, m, equations, given)


def softmax_cross_entropy(z: Any, y: Any) -> Witness:
    """-Σ y log softmax(z) of each row, and its derivative."""
    cost, delta = [], []
    for row, target in zip(z, y, strict=True):
        leaves = values(row)
        of_row = costs.softmax_cross_entropy(list(leaves), target.tolist())
        of_row.backward()
        cost.append(of_row.data)
        delta.append(grads(leaves))
    made = np.array(delta)
    a = made + y
    over_samples = np.exp(np.asarray(z) - np.max(z, axis=0))
    mistaken = {
        "softmax is taken over the rows, the wrong axis": {
            "delta": over_samples / over_samples.sum(axis=0) - y
        },
        "delta is y - softmax(z), the sign the other way round": {"delta": -made},
        "delta is softmax(z), without - y": {"delta": a},
        "delta is a - y times a(1 - a): the softmax's Jacobian is in a - y already": {
            "delta": made * a * (1 - a)
        },
        "softmax's σ' is a matrix, and only its diagonal a(1 - a) is taken": {"delta": -y * (1 - a)},
        "delta is -y/a, the derivative by a and not by z": {"delta": -y / np.maximum(a, 1e-300)},
    }
    equations = {"cost": "C = -Σ y log a, where a = softmax(z)", "delta": "∂C/∂z = a Σ y - y, and Σ y = 1"}
    return Witness({"cost": np.array(cost), "delta": made}, mistaken, len(z), equations)


def batch_norm(x: Any, gamma: Any, beta: Any, dout: Any) -> Witness:
    """γ (x - mean)/√(variance + 1e-5) + β over the rows, and the derivatives of Σ dout · out."""

    def made(held: str = "", fewer: int = 0) -> tuple[Any, ...]:
        X, G, B = values(x), values(gamma), values(beta)
        m = len(X)
        hold = {
            name: (autobp.stop_gradient if name in held else lambda v: v) for name in ("mean", "variance")
        }
        mean = np.array([hold["mean"](v) for v in X.sum(axis=0) / m])
        variance = np.array([hold["variance"](v) for v in ((X - mean) ** 2).sum(axis=0) / (m - fewer)])
        out = G * (X - mean) / (variance + 1e-5) ** 0.5 + B
        (out * dout).sum().backward()
        return np.array([v.data for v in out.flat]).reshape(out.shape), grads(X), grads(G), grads(B)

    right = dict(zip(("out", "dx", "dgamma", "dbeta"), made(), strict=True))
    mistaken = {
        "dx lacks γ, by which dout comes through": {"dx": right["dx"] / np.asarray(gamma)},
        "dγ and dβ are in each other's place": {"dgamma": right["dbeta"], "dbeta": right["dgamma"]},
        "dx takes the mean and the variance as constants: they depend on x": {"dx": made("mean variance")[1]},
        "dx takes the variance as a constant: it depends on x": {"dx": made("variance")[1]},
    }
    if len(x) > 1:
        out, _, dgamma, _ = made(fewer=1)  # dx is as its formula was written, for m or for m - 1
        words = "the variance is divided by m - 1, and batch norm divides by m"
        mistaken[words] = {"out": out, "dgamma": dgamma}
    equations = {
        "out": "out = γ n + β, where n = (x - mean)/√(variance + ε)",
        "dx": "dx = γ/√(variance + ε) (dout - mean(dout) - n mean(dout n)), means over the rows",
        "dgamma": "dγ = Σ dout n, over the rows",
        "dbeta": "dβ = Σ dout, over the rows",
    }
    return Witness(right, mistaken, len(x), equations)


def rnn(Wx: Any, Wh: Any, b: Any, Wy: Any, X: Any, Y: Any) -> Witness:
    """½ Σ (Wy h - y)² over the steps of h = tanh(Wx x + Wh h + b), and its derivatives."""

    def made(truncated: bool = False) -> dict[str, Any]:
        wx, wh, bias, wy = values(Wx), values(Wh), values(b), values(Wy)
        h: Any = np.zeros(len(Wh))
        cost: Any = 0.0
        for x, y in zip(X, Y, strict=True):
            if truncated and isinstance(h[0], Value):
                h = np.array([autobp.stop_gradient(v) for v in h])
            h = np.array([v.tanh() for v in wx @ x + wh @ h + bias])
            cost = cost + ((wy @ h - y) ** 2).sum() / 2
        cost.backward()
        return {"cost": cost.data, "dWx": grads(wx), "dWh": grads(wh), "db": grads(bias), "dWy": grads(wy)}

    short = made(truncated=True)
    cut = "the errors are not carried back through Wh to the steps before: h depends on the h before it"
    error = "where δₜ = (1 - hₜ²) ⊙ (Wyᵀ (Wy hₜ - yₜ) + Whᵀ δₜ₊₁)"
    equations = {
        "cost": "C = ½ Σ (Wy hₜ - yₜ)²",
        "dWx": f"∂C/∂Wx = Σ δₜ xₜᵀ, {error}",
        "dWh": f"∂C/∂Wh = Σ δₜ hₜ₋₁ᵀ, {error}",
        "db": f"∂C/∂b = Σ δₜ, {error}",
        "dWy": "∂C/∂Wy = Σ (Wy hₜ - yₜ) hₜᵀ",
    }
    mistaken = {cut: {name: short[name] for name in ("dWx", "dWh", "db")}}
    return Witness(made(), mistaken, len(X), equations)


def program(text: str, leaves: Mapping[str, float]) -> dict[str, float]:
    """The number of r, and the gradient of each leaf, after a program on Values."""
    names: dict[str, Any] = {name: Value(number) for name, number in leaves.items()}
    own = dict(names)
    exec(text, {}, names)
    names["r"].backward()
    return {"data": names["r"].data, **{name: value.grad for name, value in own.items()}}

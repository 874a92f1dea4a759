"""Recurrences that people write, in scalars and in JAX's loop: the cost of a row.

Each model has ``scalars``, plain Python on lists of Values, and ``by_scan``, the same by ``jax.lax.scan`` on
arrays. Both take theta as one vector, and then the data of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STEPS = 200
CHAINS = 20  # the steps of a warped path, each way


@dataclass(frozen=True)
class Model:
    """One of them.

    Attributes:
        scalars: the cost of a row.
        by_scan: the same in JAX.
        theta: the parameters' numbers.
        row: the shapes of the data of a row.
    """

    name: str
    scalars: Callable[..., Any]
    by_scan: Callable[..., Any]
    theta: Any
    row: tuple[tuple[int, ...], ...]

    def data(self, m: int) -> tuple[Any, ...]:
        """Random data for m rows."""
        rng = np.random.default_rng(0)
        return tuple(rng.normal(size=(m, *shape)) for shape in self.row)


def _parameters(n: int) -> Any:
    return 0.4 * np.random.default_rng(1).normal(size=n)


def _rows(flat: Sequence[Any], *shape: int) -> tuple[Any, Sequence[Any]]:
    """Nested lists of that shape, and what is left of the vector."""
    if len(shape) == 1:
        return flat[: shape[0]], flat[shape[0] :]
    rows = []
    for _ in range(shape[0]):
        row, flat = _rows(flat, *shape[1:])
        rows.append(row)
    return rows, flat


def _matrix(flat: Any, *shape: int) -> tuple[Any, Any]:
    """The same for arrays."""
    n = math.prod(shape)
    return flat[:n].reshape(shape), flat[n:]


def _linear(W: Any, x: Any) -> list[Any]:
    return [sum(w * v for w, v in zip(row, x, strict=True)) for row in W]


def _dot(a: Any, b: Any) -> Any:
    return sum(p * q for p, q in zip(a, b, strict=True))


# ------------------------------------------------------------------------------------------------ networks

_H = 8


def rnn(theta: Any, x: Any, y: Any) -> Any:
    """Elman's network, which tells a number after the last step."""
    from autobp import tanh

    W, rest = _rows(theta, _H, _H)
    U, rest = _rows(rest, _H, 2)
    b, o = rest[:_H], rest[_H:]
    h = [0.0] * _H
    for x_t in x:
        h = [tanh(p + q + c) for p, q, c in zip(_linear(W, h), _linear(U, x_t), b, strict=True)]
    return (_dot(o, h) - y) ** 2


def rnn_by_scan(theta: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    W, rest = _matrix(theta, _H, _H)
    U, rest = _matrix(rest, _H, 2)
    b, o = rest[:_H], rest[_H:]
    h, _ = jax.lax.scan(lambda h, x_t: (jnp.tanh(W @ h + U @ x_t + b), None), jnp.zeros(_H), x)
    return (o @ h - y) ** 2


def lstm(theta: Any, x: Any, y: Any) -> Any:
    """Four gates of four units, and a cost in each step."""
    from autobp import sigmoid, tanh

    W, rest = _rows(theta, 4, 4, 4)
    U, rest = _rows(rest, 4, 4, 2)
    b, o = _rows(rest, 4, 4)
    h, c, total = [0.0] * 4, [0.0] * 4, 0.0
    for x_t, y_t in zip(x, y, strict=True):
        i, f, g, u = [
            [p + q + r for p, q, r in zip(_linear(W[k], h), _linear(U[k], x_t), b[k], strict=True)]
            for k in range(4)
        ]
        c = [sigmoid(f[j]) * c[j] + sigmoid(i[j]) * tanh(u[j]) for j in range(4)]
        h = [sigmoid(g[j]) * tanh(c[j]) for j in range(4)]
        total = total + (_dot(o, h) - y_t) ** 2
    return total


def lstm_by_scan(theta: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    W, rest = _matrix(theta, 4, 4, 4)
    U, rest = _matrix(rest, 4, 4, 2)
    b, o = _matrix(rest, 4, 4)

    def step(state: Any, seen: Any) -> Any:
        h, c = state
        i, f, g, u = W @ h + U @ seen[0] + b
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
        h = jax.nn.sigmoid(g) * jnp.tanh(c)
        return (h, c), (o @ h - seen[1]) ** 2

    return jax.lax.scan(step, (jnp.zeros(4), jnp.zeros(4)), (x, y))[1].sum()


def gru(theta: Any, x: Any, y: Any) -> Any:
    """Two gates and a candidate of four units, and a cost in each step."""
    from autobp import sigmoid, tanh

    W, rest = _rows(theta, 3, 4, 4)
    U, o = _rows(rest, 3, 4, 2)
    h, total = [0.0] * 4, 0.0
    for x_t, y_t in zip(x, y, strict=True):
        z = [sigmoid(p + q) for p, q in zip(_linear(W[0], h), _linear(U[0], x_t), strict=True)]
        r = [sigmoid(p + q) for p, q in zip(_linear(W[1], h), _linear(U[1], x_t), strict=True)]
        gated = [p * q for p, q in zip(r, h, strict=True)]
        n = [tanh(p + q) for p, q in zip(_linear(W[2], gated), _linear(U[2], x_t), strict=True)]
        h = [(1 - z[j]) * n[j] + z[j] * h[j] for j in range(4)]
        total = total + (_dot(o, h) - y_t) ** 2
    return total


def gru_by_scan(theta: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    W, rest = _matrix(theta, 3, 4, 4)
    U, o = _matrix(rest, 3, 4, 2)

    def step(h: Any, seen: Any) -> Any:
        z = jax.nn.sigmoid(W[0] @ h + U[0] @ seen[0])
        r = jax.nn.sigmoid(W[1] @ h + U[1] @ seen[0])
        h = (1 - z) * jnp.tanh(W[2] @ (r * h) + U[2] @ seen[0]) + z * h
        return h, (o @ h - seen[1]) ** 2

    return jax.lax.scan(step, jnp.zeros(4), (x, y))[1].sum()


# -------------------------------------------------------------------------------------- series and physics


def kalman(theta: Any, z: Any) -> Any:
    """The likelihood of what a filter of one state has seen."""
    a, q, r = theta
    mean, variance, total = 0.0, 1.0, 0.0
    for z_t in z:
        mean, variance = a * mean, a * a * variance + q
        s, e = variance + r, z_t - mean
        gain = variance / s
        total = total + 0.5 * (s.log() + e * e / s)
        mean, variance = mean + gain * e, (1 - gain) * variance
    return total


def kalman_by_scan(theta: Any, z: Any) -> Any:
    import jax
    import jax.numpy as jnp

    a, q, r = theta

    def step(state: Any, seen: Any) -> Any:
        mean, variance = a * state[0], a * a * state[1] + q
        s, e = variance + r, seen - mean
        gain = variance / s
        return (mean + gain * e, (1 - gain) * variance), 0.5 * (jnp.log(s) + e * e / s)

    return jax.lax.scan(step, (jnp.zeros(()), jnp.ones(())), z)[1].sum()


def _after(s: Any, by: Any, step: float) -> Any:
    return [p + q * step for p, q in zip(s, by, strict=True)]


def _runge_kutta_step(slope: Callable[[Any], Any], s: Any, h: float) -> Any:
    k1 = slope(s)
    k2 = slope(_after(s, k1, h / 2))
    k3 = slope(_after(s, k2, h / 2))
    k4 = slope(_after(s, k3, h))
    return [p + (u + 2 * v + 2 * w + z) * (h / 6) for p, u, v, w, z in zip(s, k1, k2, k3, k4, strict=True)]


def _sin(x: Any) -> Any:
    """Of a scalar of any kind that has it, or of a number."""
    return x.sin() if hasattr(x, "sin") else math.sin(x)


def runge_kutta(theta: Any, s: Any, y: Any) -> Any:
    """How far a pendulum's way by the method of fourth order is from one that was seen."""
    k, c = theta
    total = 0.0
    for y_t in y:
        s = _runge_kutta_step(lambda s: [s[1], -k * _sin(s[0]) - c * s[1]], s, 0.05)
        total = total + (s[0] - y_t) ** 2
    return total


def runge_kutta_by_scan(theta: Any, s: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    k, c = theta

    def step(state: Any, seen: Any) -> Any:
        state = _runge_kutta_step(lambda s: [s[1], -k * jnp.sin(s[0]) - c * s[1]], state, 0.05)
        return state, (state[0] - seen) ** 2

    return jax.lax.scan(step, [s[0], s[1]], y)[1].sum()


def hidden_markov(theta: Any, x: Any) -> Any:
    """The likelihood of a series under three hidden states, by the forward algorithm."""
    from autobp import logsumexp

    A, mu = _rows(theta, 3, 3)
    log_a = [[a - logsumexp(row) for a in row] for row in A]
    alpha = [-0.5 * (x[0] - m) ** 2 for m in mu]
    for x_t in x[1:]:
        alpha = [
            logsumexp([alpha[i] + log_a[i][j] for i in range(3)]) - 0.5 * (x_t - mu[j]) ** 2 for j in range(3)
        ]
    return -logsumexp(alpha)


def hidden_markov_by_scan(theta: Any, x: Any) -> Any:
    import jax
    from jax.scipy.special import logsumexp

    A, mu = _matrix(theta, 3, 3)
    log_a = A - logsumexp(A, axis=1, keepdims=True)

    def step(alpha: Any, seen: Any) -> Any:
        return logsumexp(alpha[:, None] + log_a, axis=0) - 0.5 * (seen - mu) ** 2, None

    return -logsumexp(jax.lax.scan(step, -0.5 * (x[0] - mu) ** 2, x[1:])[0])


def asian_option(theta: Any, z: Any) -> Any:
    """What an option on the mean of a path pays."""
    from autobp import exp, maximum

    start, vol, rate = theta
    n = len(z)
    s, total = start, 0.0
    for z_t in z:
        s = s * exp((rate - 0.5 * vol * vol) / n + vol * math.sqrt(1 / n) * z_t)
        total = total + s
    return exp(-rate) * maximum(total / n - 1.0, 0.0)


def asian_option_by_scan(theta: Any, z: Any) -> Any:
    import jax
    import jax.numpy as jnp

    start, vol, rate = theta
    n = len(z)

    def step(s: Any, z_t: Any) -> Any:
        s = s * jnp.exp((rate - 0.5 * vol * vol) / n + vol * math.sqrt(1 / n) * z_t)
        return s, s

    total = jax.lax.scan(step, start, z)[1].sum()
    return jnp.exp(-rate) * jnp.maximum(total / n - 1.0, 0.0)


# ------------------------------------------------------------------------------------------------ alignment

_LABELS = (0, 1, 0, 2, 0, 3, 0)
_SKIPS = tuple(s > 1 and label != 0 and label != _LABELS[s - 2] for s, label in enumerate(_LABELS))


def temporal_classification(theta: Any, x: Any) -> Any:
    """Connectionist temporal classification of three labels: the states grow in the first steps."""
    from autobp import logsumexp

    W, _ = _rows(theta, 4, 3)
    alpha: list[Any] = []
    for t, x_t in enumerate(x):
        z = _linear(W, x_t)
        logs = [q - logsumexp(z) for q in z]
        if t == 0:
            alpha = [logs[0], logs[1], *[None] * (len(_LABELS) - 2)]
            continue
        after = []
        for s, label in enumerate(_LABELS):
            ways = [*alpha[max(s - 1, 0) : s + 1][::-1], *([alpha[s - 2]] if _SKIPS[s] else [])]
            ways = [a for a in ways if a is not None]
            after.append(logsumexp(ways) + logs[label] if ways else None)
        alpha = after
    return -logsumexp(alpha[-2:])


def temporal_classification_by_scan(theta: Any, x: Any) -> Any:
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    W, _ = _matrix(theta, 4, 3)
    labels, skips, none = jnp.array(_LABELS), jnp.array(_SKIPS), -1e30
    logs = jax.nn.log_softmax(x @ W.T)

    def step(alpha: Any, logs_t: Any) -> Any:
        before = jnp.concatenate([jnp.full(1, none), alpha[:-1]])
        two_before = jnp.where(skips, jnp.concatenate([jnp.full(2, none), alpha[:-2]]), none)
        return logsumexp(jnp.stack([alpha, before, two_before]), axis=0) + logs_t[labels], None

    begun = jnp.full(len(_LABELS), none).at[:2].set(logs[0][labels[:2]])
    return -logsumexp(jax.lax.scan(step, begun, logs[1:])[0][-2:])


def soft_edit_distance(theta: Any, x: Any, y: Any) -> Any:
    """How far two series are when either may skip: a table by rows, its minima soft."""
    from autobp import logsumexp

    gap, scale = theta[0], theta[1]
    above = [gap * float(j) for j in range(CHAINS + 1)]
    for i, x_i in enumerate(x):
        row = [gap * float(i + 1)]
        for j, y_j in enumerate(y):
            ways = above[j] + scale * (x_i - y_j) ** 2, above[j + 1] + gap, row[j] + gap
            row.append(-logsumexp([-way for way in ways]))
        above = row
    return above[-1]


def soft_edit_distance_by_scan(theta: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    gap, scale = theta[0], theta[1]

    def by_rows(above: Any, x_i: Any) -> Any:
        def along(left: Any, seen: Any) -> Any:
            diagonal, over, y_j = seen
            ways = jnp.stack([diagonal + scale * (x_i - y_j) ** 2, over + gap, left + gap])
            cell = -logsumexp(-ways)
            return cell, cell

        first = above[0] + gap
        return jnp.concatenate([first[None], jax.lax.scan(along, first, (above[:-1], above[1:], y))[1]]), None

    return jax.lax.scan(by_rows, gap * jnp.arange(CHAINS + 1.0), x)[0][-1]


# ------------------------------------------------------------------------------------------- an optimiser


def unrolled_descent(theta: Any, x: Any, y: Any) -> Any:
    """The error that steps of gradient descent leave, by its rate and start."""
    import autobp

    def error(a: Any, b: Any) -> Any:
        return (autobp.tanh(a * x[0] + b * x[1]) - y) ** 2

    rate, *w = theta
    for _ in range(STEPS):
        slopes = autobp.grad(error, argnums=(0, 1))(*w)
        w = [p - rate * q for p, q in zip(w, slopes, strict=True)]
    return error(*w)


def unrolled_descent_by_scan(theta: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def error(w: Any) -> Any:
        return (jnp.tanh(w @ x) - y) ** 2

    def step(w: Any, _: Any) -> Any:
        return w - theta[0] * jax.grad(error)(w), None

    return error(jax.lax.scan(step, theta[1:], None, length=STEPS)[0])


MODELS = (
    Model("RNN", rnn, rnn_by_scan, _parameters(_H * (_H + 4)), ((STEPS, 2), ())),
    Model("LSTM", lstm, lstm_by_scan, _parameters(4 * 28 + 4), ((STEPS, 2), (STEPS,))),
    Model("GRU", gru, gru_by_scan, _parameters(3 * 24 + 4), ((STEPS, 2), (STEPS,))),
    Model("Kalman filter", kalman, kalman_by_scan, np.array([0.9, 0.1, 0.5]), ((STEPS,),)),
    Model("Runge–Kutta", runge_kutta, runge_kutta_by_scan, np.array([1.5, 0.3]), ((2,), (STEPS,))),
    Model("HMM, forward", hidden_markov, hidden_markov_by_scan, _parameters(12), ((STEPS,),)),
    Model("CTC", temporal_classification, temporal_classification_by_scan, _parameters(12), ((STEPS, 3),)),
    Model("Asian option", asian_option, asian_option_by_scan, np.array([1.0, 0.2, 0.03]), ((STEPS,),)),
    Model(
        f"soft edit distance, {CHAINS} × {CHAINS}",
        soft_edit_distance,
        soft_edit_distance_by_scan,
        np.array([0.7, 0.4]),
        ((CHAINS,), (CHAINS,)),
    ),
    Model(
        "unrolled descent",
        unrolled_descent,
        unrolled_descent_by_scan,
        np.array([0.05, 0.3, -0.2]),
        ((2,), ()),
    ),
)

"""Compiled steps on other libraries' arrays, beside these libraries' own: ``python -m benchmarks.arrays``.

With ``--blocks`` instead: a step on Dask arrays, by rows and workers, and what the workers sent one another.
Each time is the median of a few calls after the first; a GPU is measured too, where PyTorch has one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import Any

import numpy as np

from benchmarks.microgpt import CONTEXT, HEADS, VOCABULARY, WIDTH

SIZES, BATCH = (784, 256, 128, 10), 32
STEPS, ROWS = 30, 10_000
COLUMNS, BLOCKS = 10, 16
DOCUMENTS = 16


def median(call: Callable[[], Any], calls: int = 7) -> float:
    """Milliseconds of a call, which waits for its result."""
    call()
    times = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def network() -> tuple[Any, tuple[Any, ...]]:
    """The compiled step of a network under softmax cross-entropy, and a batch."""
    import autobp
    from autobp import MLP, costs

    net = MLP(SIZES[0], SIZES[1:], ["tanh", "tanh", "linear"], seed=0)
    step = autobp.compile(lambda x, y: costs.softmax_cross_entropy(net(x), y), net.parameters())
    rng = np.random.default_rng(0)
    return step, (rng.normal(size=(BATCH, SIZES[0])), np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)])


def network_by_hand(xp: Any, softmax: Callable[[Any], Any]) -> Callable[..., Any]:
    """The same cost of theta, x and y, with a library's functions; ``softmax`` gives its logarithm."""

    def cost(theta: Any, a: Any, y: Any) -> Any:
        begin = 0
        for n, m in pairwise(SIZES):
            layer = theta[begin : begin + m * (n + 1)].reshape(m, n + 1)
            begin += m * (n + 1)
            a = a @ layer[:, :-1].T + layer[:, -1]
            a = xp.tanh(a) if begin < len(theta) else a
        return -(y * softmax(a)).sum() / len(y)

    return cost


def gpt() -> tuple[Any, tuple[Any, ...]]:
    """The compiled step of the GPT in scalars, and some documents."""
    from benchmarks.compiled import DOCUMENT, gpt_step

    rng = np.random.default_rng(0)
    return gpt_step("numpy"), (rng.integers(VOCABULARY, size=(DOCUMENTS, len(DOCUMENT))).astype(float),)


def gpt_by_hand(
    xp: Any, log_softmax: Callable[[Any], Any], whole: Callable[[Any], Any]
) -> Callable[..., Any]:
    """The GPT's mean cost, with a library's functions; ``whole`` makes whole numbers of floats."""
    tables = [VOCABULARY, CONTEXT, *4 * [WIDTH], 4 * WIDTH, WIDTH, VOCABULARY]
    columns = [WIDTH] * 7 + [4 * WIDTH, WIDTH]

    def norm(x: Any) -> Any:
        return x * ((x * x).mean(-1)[..., None] + 1e-5) ** -0.5

    def cost(theta: Any, documents: Any) -> Any:
        parts, begin = [], 0
        for rows, n in zip(tables, columns, strict=True):
            parts.append(theta[begin : begin + rows * n].reshape(rows, n))
            begin += rows * n
        tokens, positions, query, key, value, out, up, down, head = parts
        words = whole(documents)
        m, n = words[:, 1:].shape
        x = tokens[words[:, :-1]] + positions[:n]
        y, each = norm(x), WIDTH // HEADS
        q, k, v = [(y @ matrix.T).reshape(m, n, HEADS, each) for matrix in (query, key, value)]
        scores = xp.einsum("mihd,mjhd->mhij", q, k) / each**0.5
        past = xp.tril(xp.ones_like(scores))
        weights = xp.exp(log_softmax(xp.where(past > 0, scores, -xp.inf * xp.ones_like(scores))))
        x = x + xp.einsum("mhij,mjhd->mihd", weights, v).reshape(m, n, WIDTH) @ out.T
        hidden = norm(x) @ up.T
        x = x + xp.where(hidden > 0, hidden, 0.0) @ down.T
        odds = log_softmax(x @ head.T).reshape(m * n, VOCABULARY)
        return -odds[xp.arange(m * n), words[:, 1:].reshape(-1)].mean()

    return cost


def kalman() -> tuple[Any, tuple[Any, ...]]:
    """The compiled step of a filter of one state, and what it has seen in each row."""
    import autobp
    from benchmarks import recurrent_models

    parameters = [autobp.Value(v, label=name) for name, v in (("a", 0.9), ("q", 0.1), ("r", 0.5))]
    loss = lambda z: recurrent_models.kalman(parameters, z)  # noqa: E731
    return autobp.compile(loss, parameters), (np.random.default_rng(4).normal(size=(ROWS, STEPS)),)


def filtered(log: Callable[[Any], Any], theta: Any, state: Any, z: Any) -> tuple[Any, Any]:
    """One step of the filter over all rows: the next (mean, variance), and the rows' parts of the cost."""
    mean, variance = state
    mean, variance = theta[0] * mean, theta[0] * theta[0] * variance + theta[1]
    s, e = variance + theta[2], z - mean
    gain = variance / s
    return (mean + gain * e, (1 - gain) * variance), 0.5 * (log(s) + e * e / s)


def torch_ways(step: Any, data: Any, name: str, device: str) -> Iterator[tuple[str, float, Any]]:
    """The step on PyTorch's tensors, and PyTorch's own."""
    import torch

    def kalman_cost(theta: Any, z: Any) -> Any:
        state, total = (torch.zeros_like(z[:, 0]), torch.ones_like(z[:, 0])), 0.0
        for t in range(z.shape[1]):
            state, part = filtered(torch.log, theta, state, z[:, t])
            total = total + part
        return total.mean()  # type: ignore[attr-defined]

    theta, *arrays = [torch.tensor(x, device=device) for x in (step.theta, *data)]
    softmax = lambda a: torch.log_softmax(a, dim=-1)  # noqa: E731
    cost = {
        "network": network_by_hand(torch, softmax),
        "GPT": gpt_by_hand(torch, softmax, lambda x: x.long()),
        "Kalman filter": kalman_cost,
    }[name]

    def by_hand() -> Any:
        of = theta.clone().requires_grad_()
        value = cost(of, *arrays)
        (gradient,) = torch.autograd.grad(value, of)
        return value.item(), gradient.cpu().numpy()

    def by_step() -> Any:
        value, gradient = step(theta, *arrays)
        return float(value), gradient.cpu().numpy()

    yield f"autobp on PyTorch, {device}", median(by_step), by_step()
    yield f"PyTorch by hand, {device}", median(by_hand), by_hand()


def jax_ways(step: Any, data: Any, name: str) -> Iterator[tuple[str, float, Any]]:
    """The step under jax.jit, and JAX's own, with a scan for the filter."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def kalman_cost(theta: Any, z: Any) -> Any:
        begun = jnp.zeros_like(z[:, 0]), jnp.ones_like(z[:, 0])
        _, parts = jax.lax.scan(lambda state, seen: filtered(jnp.log, theta, state, seen), begun, z.T)
        return parts.sum() / len(z)

    cost = {
        "network": network_by_hand(jnp, jax.nn.log_softmax),
        "GPT": gpt_by_hand(jnp, jax.nn.log_softmax, lambda x: x.astype(int)),
        "Kalman filter": kalman_cost,
    }[name]
    arrays = [jnp.asarray(x) for x in (step.theta, *data)]
    by_hand = jax.value_and_grad(cost)
    for title, function in (("autobp on JAX, jitted", step), ("JAX by hand, jitted", by_hand)):
        jitted = jax.jit(function)
        begun = time.perf_counter()
        jax.block_until_ready(jitted(*arrays))
        compiling = time.perf_counter() - begun
        call = lambda jitted=jitted: jax.block_until_ready(jitted(*arrays))  # noqa: E731
        yield f"{title} (first call {compiling:.1f} s)", median(call), call()


def compare() -> None:
    """Print each way's time, once its numbers are the step's on NumPy's arrays."""
    import torch

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for name, shape, made in (
        ("network", "-".join(map(str, SIZES)), network),
        ("GPT", f"{DOCUMENTS} documents", gpt),
        ("Kalman filter", f"{STEPS} steps, {ROWS} rows", kalman),
    ):
        step, data = made()
        theta = step.theta
        wanted = step(theta, *data)
        ours = median(lambda s=step, t=theta, d=data: s(t, *d))
        print(f"\n{name}, {shape}\n  autobp.compile ({step.backend.partition(':')[0]}): {ours:.3g} ms")
        ways = [torch_ways(step, data, name, device) for device in devices]
        for title, taken, found in chain(*ways, jax_ways(step, data, name)):
            np.testing.assert_allclose(float(found[0]), wanted[0], rtol=1e-10)
            scale = np.abs(wanted[1]).max()
            np.testing.assert_allclose(np.asarray(found[1]), wanted[1], rtol=0, atol=1e-10 * scale)
            print(f"  {title}: {taken:.3g} ms", flush=True)


def by_blocks(workers: list[int], rows: list[int]) -> None:
    """Print the time of a step on Dask arrays, and the bytes that workers sent one another in it."""
    import dask.array as da
    from distributed import Client, LocalCluster

    import autobp
    from autobp import MLP, costs

    net = MLP(COLUMNS, [30, 1], ["tanh", "sigmoid"], seed=0)
    step = autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters())

    def sent(dask_worker: Any) -> int:
        return int(dask_worker.transfer_outgoing_bytes_total)

    print(f"{len(step.theta)} parameters, {BLOCKS} blocks")
    print("workers       rows    ms a step  kB between workers")
    for n in workers:
        with (
            LocalCluster(
                n_workers=n, threads_per_worker=1, memory_limit=0, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            for m in rows:
                rng, chunks = da.random.default_rng(0), (m // BLOCKS, COLUMNS)
                x = client.persist(rng.random((m, COLUMNS), chunks=chunks))
                y = client.persist(x[:, :1])
                call = lambda x=x, y=y: step(step.theta, x, y)  # noqa: E731
                call()
                before = sum(client.run(sent).values())
                taken, calls = median(call, 3), 4
                moved = (sum(client.run(sent).values()) - before) / calls
                print(f"{n:7} {m:10,} {taken:12.1f} {moved / 1e3:19.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    chosen = parser.parse_args()
    if chosen.blocks:
        by_blocks(chosen.workers, chosen.rows)
    else:
        compare()


if __name__ == "__main__":
    main()

"""Train on samples that are larger than the memory that all workers are given, in several processes.

The samples lie in a file, which is mapped into memory: Dask's workers read a block of it at a time, and each
gives a gradient. A worker may die in the middle: another takes its blocks, and the result is the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import autobp
from autobp import MLP

FEATURES, CLASSES = 50, 3


def written(path: Path, rows: int, block: int) -> Path:
    """A file of samples, block by block: FEATURES numbers each, and its class number, the last column."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    samples = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(rows, FEATURES + 1))
    for start in range(0, rows, block):
        part = samples[start : start + block]
        rng = np.random.default_rng(start + 1)
        part[:, -1] = rng.integers(CLASSES, size=len(part))
        part[:, :-1] = centres[part[:, -1].astype(int)] + rng.normal(scale=4.0, size=(len(part), FEATURES))
    samples.flush()
    return path


def read(path: Path, start: int, end: int) -> np.ndarray:
    """Rows of the file, read by the worker that needs them."""
    return np.array(np.load(path, mmap_mode="r")[start:end])


def blocks_of(path: Path, rows: int, block: int) -> da.Array:
    """The file as a Dask array, which has read nothing yet."""
    parts = []
    for start in range(0, rows, block):
        end = min(start + block, rows)
        part = dask.delayed(read)(path, start, end)
        parts.append(da.from_delayed(part, (end - start, FEATURES + 1), float))
    return da.concatenate(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--block", type=int, default=50_000, help="rows of a block")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="350MiB", help="the limit of each worker")
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "samples.npy", chosen.rows, chosen.block)
        size, limit = path.stat().st_size, dask.utils.parse_bytes(chosen.memory)
        print(f"{size >> 20} MiB of samples, {limit >> 20} MiB for each of {chosen.workers} workers")
        samples = blocks_of(path, chosen.rows, chosen.block)
        with (
            LocalCluster(
                n_workers=chosen.workers, threads_per_worker=1, memory_limit=limit, dashboard_address=None,
                local_directory=folder,
            ) as cluster,
            Client(cluster),
        ):  # fmt: skip
            net = MLP(FEATURES, [CLASSES], activation="linear", seed=0)
            history = autobp.fit(
                net, samples[:, :-1], samples[:, -1], cost="softmax_cross_entropy",
                batch_size=2 * chosen.block, epochs=chosen.epochs, lr=0.05, seed=0,
            )  # fmt: skip
            outputs = autobp.compile(net, net.parameters())(
                [parameter.data for parameter in net.parameters()], samples[:, :-1]
            )
            right = (outputs.argmax(axis=1) == samples[:, -1]).mean().compute()
    print(f"cost {history.cost[0]:.4f} in the first epoch, {history.cost[-1]:.4f} in the last")
    print(f"{100 * right:.1f} % of the samples classified rightly")
    return 0 if history.cost[-1] < history.cost[0] else 1


if __name__ == "__main__":
    sys.exit(main())

"""How machine code is timed: libraries built as those of steps are, and the best of short samples."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Comparison

Sample = Callable[[], float]


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


def library(source: str, folder: str, compiler: str = "") -> ctypes.CDLL:
    """A source, built as those of compiled steps are, or by another compiler with the same options."""
    from autobp.machine.toolchain import toolchain

    Path(folder, "by_hand.c").write_text(source)
    command = [compiler] if compiler else list(toolchain().command)
    options = [x for x in toolchain().options(source) if not compiler or not x.startswith("--param")]
    subprocess.run([*command, *options, "by_hand.c", "-o", "by_hand.so", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(f"{folder}/by_hand.so")


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


def describe() -> None:
    """Print the processor, its vector instructions, the compiler, and the versions compared."""
    from autobp.machine.toolchain import toolchain

    told = dict(line.split(":", 1) for line in toolchain().processor.splitlines() if ":" in line)
    names = {key.strip(): value.split() for key, value in told.items()}
    vectors = [x for x in names.get("flags", []) if x in ("sse4_2", "avx", "avx2", "fma", "avx512f")]
    print(" ".join(names.get("model name", [platform.machine()])), "with", " ".join(vectors) or "no vectors")
    print(toolchain().version.splitlines()[0])
    found = []
    for package in ("numpy", "jax", "torch", "numba", "casadi", "micrograd"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    print(f"Python {platform.python_version()}, {', '.join(found)}")

"""What a comparison is, and how its contenders take turns."""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE, COMPILED = "plain Python", "compiled"

Sample = Callable[[], float]  # takes one, a number in the comparison's unit


@dataclass(frozen=True)
class Contender:
    """One that takes part in a comparison.

    Attributes:
        name: what the table calls it.
        prepare: imports what it needs and returns a function that takes one sample, a number in the
            comparison's unit. ImportError leaves the cell blank; so does returning None.
        package: the distribution whose version the table names; autobp runs both compiled and not.
    """

    name: str
    prepare: Callable[[], Sample | None]
    package: str = "autobp"


@dataclass(frozen=True)
class Comparison:
    """What is measured, in which unit, and of whom. In every unit, less is better.

    Attributes:
        reference: the contender that the others are told in multiples of; empty where autobp's two builds
            are measured, each a reference of its own. A compiled step is the same in both.
        apart: whether each contender has a process of its own, as where both bring a BLAS whose threads wait
            for work on the cores that the other's need.
    """

    title: str
    contenders: tuple[Contender, ...]
    unit: str = "ms"
    rounds: int = 7
    reference: str = ""
    apart: bool = False


@dataclass
class Row:
    """What came of one contender: a sample for each round, or none at all."""

    name: str
    build: str
    version: str
    samples: list[float] = field(default_factory=list)


def timed(step: Callable[[], object], n: int = 1) -> Sample:
    """A function that takes one sample of how long a call of step takes, in ms, as the mean of n calls.

    The collector has cleared away what others left before the clock starts, and is on while it runs.
    """

    def sample() -> float:
        gc.collect()
        start = time.perf_counter()
        for _ in range(n):
            step()
        return 1e3 * (time.perf_counter() - start) / n

    return sample


def timed_briefly(step: Callable[[], object], n: int) -> Sample:
    """As ``timed``, in µs and for what takes few of them.

    A sample is the best of 20 short ones, each shorter than a busy processor's slice of time.
    """
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


class Build:
    """A build of autobp: its name, and the folder that holds the package."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._modules: dict[str, Any] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, ``import autobp`` means this build."""
        others = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_autobp(name)}
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            self._modules = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_autobp(name)}
            sys.modules.update(others)


def _is_autobp(name: str) -> bool:
    # the shared library that mypyc makes beside the package has a name that ends in __mypyc
    return name.partition(".")[0] == "autobp" or name.endswith("__mypyc")


def run(comparison: Comparison, builds: list[Build], quick: bool) -> list[Row]:
    """The contenders' samples, taken in turn in each round; a first round warms up and does not count."""
    rows, samplers = [], []
    for contender in comparison.contenders:
        of_builds = contender.package == "autobp" and not comparison.reference
        for build in builds if of_builds else builds[:1]:
            version = "" if contender.package == "autobp" and not of_builds else _version(contender.package)
            rows.append(Row(contender.name, build.name if of_builds else "", version))
            samplers.append((build, _prepared(contender, build)))
    for i in range(1 + (2 if quick else comparison.rounds)):
        for row, (build, sample) in zip(rows, samplers, strict=True):
            if sample is not None:
                with build.active():
                    measured = sample()
                if i > 0:
                    row.samples.append(measured)
    return rows


def _prepared(contender: Contender, build: Build) -> Sample | None:
    with build.active():
        try:
            return contender.prepare()
        except ImportError:
            return None


def _version(package: str) -> str:
    if package == "autobp":
        text = (ROOT / "autobp" / "build.py").read_text(encoding="utf-8")
        return text.partition('\nVERSION = "')[2].partition('"')[0]
    if package == "":
        return ""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""

"""C by hand, built as the libraries of compiled steps are, and the processor that runs it."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path


def library(source: str, folder: str, compiler: str = "") -> ctypes.CDLL:
    """A source, built as those of compiled steps are, or by another compiler with the same options."""
    from autobp.machine.toolchain import toolchain

    Path(folder, "by_hand.c").write_text(source)
    command = [compiler] if compiler else list(toolchain().command)
    options = [x for x in toolchain().options(source) if not compiler or not x.startswith("--param")]
    subprocess.run([*command, *options, "by_hand.c", "-o", "by_hand.so", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(f"{folder}/by_hand.so")


def processor() -> str:
    """The processor, its vector instructions, and the compiler."""
    from autobp.machine.toolchain import toolchain

    told = dict(line.split(":", 1) for line in toolchain().processor.splitlines() if ":" in line)
    names = {key.strip(): value.split() for key, value in told.items()}
    vectors = [x for x in names.get("flags", []) if x in ("sse4_2", "avx", "avx2", "fma", "avx512f")]
    name = " ".join(names.get("model name", [platform.machine()]))
    return f"{name} with {' '.join(vectors) or 'no vectors'}; {toolchain().version.splitlines()[0]}"

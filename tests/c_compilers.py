"""The C compilers that tests build with, beside the one that the package would take."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys

import pytest


def command_of(compiler: str) -> list[str]:
    """How one of cc, gcc, g++, clang and clang with musl is called; the test is skipped where it is missing.

    The package ziglang has clang, and musl, a C library without functions for several numbers at once.
    """
    zig = [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None
    if compiler == "musl":
        found = zig and [*zig, "-target", f"{platform.machine()}-linux-musl"]
    else:
        found = [compiler] if shutil.which(compiler) else zig if compiler == "clang" else None
    if not found:
        pytest.skip(f"no {compiler} here")
    return found

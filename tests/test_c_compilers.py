"""Compilers that there are or are not, and the libraries that are kept: NumPy runs steps, with a reason."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_c_machine import agree, call_is_built, pytestmark, step_on

from autobp.command import main
from autobp.machine import NoMachineCode, cache, toolchain

__all__ = ["call_is_built", "pytestmark"]


def falls_back(why: str) -> None:
    """Without machine code: NumPy where it may be either, with the reason; else the reason raised."""
    step = step_on("auto")
    assert step.backend.startswith("numpy: ")
    assert why in step.backend
    assert "\n" not in step.backend
    agree(step)
    with pytest.raises(NoMachineCode, match=r".") as raised:
        step_on("c")
    assert why in str(raised.value)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    falls_back("there is no C compiler: no cc, gcc or clang on PATH")


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("no-such-compiler -O2", "no no-such-compiler"),
        ("'", "is no command"),
        ("false", "false fails with 1"),
    ],
)
def test_cc_names_no_compiler(named: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", named)
    falls_back(why)


def script(folder: Path, text: str) -> str:
    """A compiler that says its version, and otherwise does what the text says."""
    path = folder / "compiler"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo one && exit 0\n{text}\n')
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(
        "CC", script(tmp_path, "echo 'a first line' >&2; echo 'error: out of luck' >&2; exit 3")
    )
    falls_back("fails with 3: error: out of luck")


def test_a_compiler_that_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", script(tmp_path, "exit 0"))
    falls_back("left no library")


def test_a_compiler_that_makes_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", script(tmp_path, "echo nonsense > program.so"))
    falls_back("the library cannot be loaded")


def test_a_compiler_that_takes_too_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain, "SECONDS", 0.3)
    left = tmp_path / "left"
    monkeypatch.setenv("CC", script(tmp_path, f"(sleep 2; touch {left}) & wait"))
    falls_back("took more than")
    time.sleep(2.2)
    assert not left.exists(), "what the compiler had started went on"


def test_the_compiler_sees_no_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", f"cc; touch {tmp_path / 'touched'}")
    falls_back("there is no cc;")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_platform_that_is_not_tested(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain._answer.cache_clear()
    monkeypatch.setattr(sys, "platform", platform)
    try:
        falls_back("machine code is tested on 64-bit Linux alone")
    finally:
        toolchain._answer.cache_clear()


# ----------------------------------------------------------------------------------------------- the cache


def entry(folder: Path) -> Path:
    """The only library in a cache."""
    (found,) = folder.glob("*.so")
    return found


def test_a_library_is_built_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step_on("c")
    made = entry(own_cache).stat().st_mtime_ns
    monkeypatch.setattr(toolchain.Toolchain, "build", None)
    agree(step_on("c"))
    assert entry(own_cache).stat().st_mtime_ns == made
    assert stat.S_IMODE(own_cache.stat().st_mode) == 0o700


def test_another_source_or_compiler_is_another_library(own_cache: Path) -> None:
    tools = toolchain.toolchain()
    others = [
        toolchain.Toolchain(tools.command, tools.version, "another"),
        toolchain.Toolchain(tools.command, "2", tools.processor),
        toolchain.Toolchain((*tools.command, "-m64"), tools.version, tools.processor),
    ]
    keys = {tools.key("a"), tools.key("b"), *[x.key("a") for x in others]}
    assert len(keys) == 5


def test_compilers_are_asked_for_less_over_many_lines_and_for_vectors_of_four() -> None:
    def options(lines: int, processor: str = "x86_64\nflags : sse avx2 fma") -> tuple[str, ...]:
        source = "x = 1;\n" * lines + "    1.0, 2.0,\n" * 5000  # tables cost compilers nothing
        return toolchain.Toolchain(("cc",), "1", processor).options(source)

    assert [options(n)[len(toolchain.FLAGS) :] for n in (1, 2000, 2001)] == [("-O3",), ("-O3",), ("-O1",)]
    assert options(1, "x86_64\nflags : sse avx512f fma")[-1] == "-mprefer-vector-width=256"
    assert "-ffast-math" not in options(1)
    assert "-ffp-contract=off" in options(1)


@pytest.mark.parametrize("spoiled", ["cut", "changed", "empty", "another's", "link", "writable", "folder"])
def test_an_entry_that_was_tampered_with_is_not_loaded(spoiled: str, own_cache: Path, tmp_path: Path) -> None:
    source = "double value(void) { return 1.0; }\n"
    key = toolchain.toolchain().key(source)
    path = cache.put(key, toolchain.toolchain().build(source))
    assert cache.find(key) == path
    whole = path.read_bytes()
    if spoiled == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif spoiled == "changed":
        path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    elif spoiled == "empty":
        path.write_bytes(b"")
    elif spoiled == "another's":
        cache.put("0" * 64, b"something else")
        os.replace(own_cache / f"{'0' * 64}.so", path)
    elif spoiled == "link":
        shutil.move(path, tmp_path / "elsewhere.so")
        path.symlink_to(tmp_path / "elsewhere.so")
    elif spoiled == "writable":
        path.chmod(0o777)
    else:
        path.unlink()
        path.mkdir()
    assert cache.find(key) is None


def test_a_spoiled_entry_is_built_again(own_cache: Path) -> None:
    step_on("c")
    path = entry(own_cache)
    path.unlink()
    path.write_bytes(b"\x7fELF nonsense")
    agree(step_on("c"))
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("unsafe", ["writable", "link", "file"])
def test_a_folder_that_is_not_safe(unsafe: str, own_cache: Path, tmp_path: Path) -> None:
    if unsafe == "writable":
        own_cache.mkdir()
        own_cache.chmod(0o777)
    elif unsafe == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        own_cache.symlink_to(tmp_path / "real")
    else:
        own_cache.write_text("")
    falls_back("libraries")


def test_a_home_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOBP_CACHE", "/proc/autobp")
    falls_back("libraries cannot be kept in /proc/autobp")


def test_a_folder_where_nothing_may_be_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> Any:
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(ctypes, "CDLL", refused)
    falls_back("the library cannot be loaded")


def test_several_processes_at_once(own_cache: Path) -> None:
    code = (
        "import autobp; w = autobp.Value(2.0); s = autobp.compile(lambda x: x * w, [w], backend='c');"
        "print(s([2.0], [1.0, 3.0])[0], s.backend)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in running:
        assert process.communicate()[0] == "4.0 c: asked for\n"
    assert {path.suffix for path in own_cache.iterdir()} == {".so"}
    assert not any(path.name.startswith(".") for path in own_cache.iterdir())


def test_the_cache_is_emptied(own_cache: Path) -> None:
    step = step_on("c")
    assert cache.clear() == 1
    assert not list(own_cache.iterdir())
    agree(step)


def test_the_command_tells_of_the_cache_and_empties_it(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*options: str) -> str:
        assert main(["cache", *options]) == 0
        return capsys.readouterr().out

    assert said() == f"0 libraries, 0.0 MB, in {own_cache}\n"
    assert said("--clear") == f"deleted 0 libraries from {own_cache}\n"
    assert not own_cache.exists()
    cache.put("a" * 64, b"x" * 2_500_000)
    assert said() == f"1 library, 2.5 MB, in {own_cache}\n"
    cache.put("b" * 64, b"")
    assert said("--clear") == f"deleted 2 libraries from {own_cache}\n"
    assert not list(own_cache.iterdir())
    own_cache.rmdir()
    own_cache.touch()
    assert main(["cache"]) == 2
    assert str(own_cache) in capsys.readouterr().err

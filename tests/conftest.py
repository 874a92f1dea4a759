"""Makes the benchmarks importable, behind whichever autobp is installed, and verifies compiled programs
and their schedules."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.append(str(Path(__file__).parents[1]))

# Properties are tried with the same examples each time, so that a change fails by what it changed and not by
# chance; where a seed is given, as .ci/long does, with other ones.
hypothesis.settings.register_profile("same", derandomize=True)
if "AUTOBP_SEED" not in os.environ:
    hypothesis.settings.load_profile("same")


@pytest.fixture(autouse=True, scope="session")
def programs_are_verified():
    """Every program that a test compiles keeps the rules of its kinds."""
    from autobp.compiler import executable
    from autobp.compiler.derivatives import made

    programs_of, program_of = executable.programs_of, made.program_of

    def verified(*arguments):
        compiled = programs_of(*arguments)
        for program in compiled.programs.values():
            program.verify()
            assert str(program)
        return compiled

    def derivative(*arguments):
        program = program_of(*arguments)
        program.verify()
        assert str(program)
        return program

    executable.programs_of, made.program_of = verified, derivative
    yield
    executable.programs_of, made.program_of = programs_of, program_of


@pytest.fixture(autouse=True, scope="session")
def schedules_are_verified():
    """No program that a test compiles reads memory that is written over."""
    from autobp.backends.aliasing import verify
    from autobp.compiler import functions

    schedule = functions.schedule

    def verified(program):
        made = schedule(program)
        verify(made)
        return made

    functions.schedule = verified
    yield
    functions.schedule = schedule


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty folder for machine code, and no compiler but the system's."""
    monkeypatch.setenv("AUTOBP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache"


def pytest_addoption(parser):
    parser.addoption("--backend", default="numpy", help="what runs steps: numpy, auto, c, tables (in C)")
    parser.addoption("--arrays", default="", help="whose arrays steps get too: torch, jax, strict, torch32 …")


@pytest.fixture(autouse=True, scope="session")
def steps_run_on_arrays_too(request):
    """With ``--arrays=torch``, each step that a test calls is called with arrays of PyTorch too."""
    library = request.config.getoption("--arrays")
    if not library:
        yield
        return
    from other_arrays import also_on

    with also_on(library):
        yield


def pytest_runtest_setup(item):
    if item.get_closest_marker("float64") and item.config.getoption("--arrays").endswith("32"):
        pytest.skip("of numbers that float32 does not have, or does not tell apart")


@pytest.fixture(autouse=True, scope="session")
def steps_run_on(request):
    """Tests compile programs by the thousand, of which each would wait for a compiler: NumPy runs them.

    With ``--backend=auto`` what is chosen by default; with ``c`` machine code, where there can be any; with
    ``tables`` every graph is taken for one that has no arrays, where there can be tables.
    """
    from autobp.compiler import functions, machine_code, tables
    from autobp.compiler.entry import compile

    default = compile.__kwdefaults__["backend"]
    if request.config.getoption("--backend") in ("numpy", "auto"):
        compile.__kwdefaults__["backend"] = request.config.getoption("--backend")
        yield
        compile.__kwdefaults__["backend"] = default
        return
    choose, largest = functions.choose, machine_code.LARGEST

    def chosen(*arguments):
        made = choose(*arguments)
        known = ("asked for", "each statement is checked", "which has no formula", "lines of C")
        assert made.name == "c" or any(why in made.why for why in known), made
        return made

    most, alike = tables.MOST_ARRAYS, tables.ALIKE
    if request.config.getoption("--backend") == "tables":
        tables.MOST_ARRAYS, tables.ALIKE = -1, float("inf")
    compile.__kwdefaults__.update(backend="auto", calls=float("inf"))
    functions.choose, machine_code.LARGEST = chosen, float("inf")
    yield
    compile.__kwdefaults__.update(backend=default, calls=None)
    functions.choose, machine_code.LARGEST = choose, largest
    tables.MOST_ARRAYS, tables.ALIKE = most, alike

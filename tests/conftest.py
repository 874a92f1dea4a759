"""Makes the benchmarks importable, behind whichever autobp is installed, and verifies compiled programs
and their schedules."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))


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


def pytest_addoption(parser):
    parser.addoption("--backend", default="numpy", help="what runs the steps that tests compile: numpy or c")


@pytest.fixture(autouse=True, scope="session")
def steps_run_on(request):
    """With ``--backend=c``, what tests compile is machine code, where there can be any."""
    if request.config.getoption("--backend") != "c":
        yield
        return
    from autobp.compiler import functions
    from autobp.compiler.entry import compile_step

    choose = functions.choose

    def chosen(*arguments):
        made = choose(*arguments)
        known = ("asked for", "each statement is checked", "which has no formula", "lines of C")
        assert made.name == "c" or any(why in made.why for why in known), made
        return made

    compile_step.__kwdefaults__["backend"] = "auto"
    functions.choose = chosen
    yield
    compile_step.__kwdefaults__["backend"] = "numpy"
    functions.choose = choose

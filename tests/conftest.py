"""Makes the benchmarks importable, behind whichever autobp is installed, and verifies compiled programs."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))


@pytest.fixture(autouse=True, scope="session")
def programs_are_verified():
    """Every program that a test compiles keeps the rules of its kinds."""
    from autobp.compiler import executable

    programs_of = executable.programs_of

    def verified(*arguments):
        compiled = programs_of(*arguments)
        for program in compiled.programs.values():
            program.verify()
            assert str(program)
        return compiled

    executable.programs_of = verified
    yield
    executable.programs_of = programs_of

"""Thousands of whole programs: the engine, the compiled step and its source alone agree, up to rounding."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from mutants import MUTANTS
from program_faults import Fault, fault_of, shrunk
from whole_programs import EDGES, Maker, Program

from autobp.compiler import executable

PARTS = 8


def check(seed: int) -> None:
    program = Maker(seed, EDGES).program()
    fault = fault_of(program)
    if fault is None:
        return
    smallest = shrunk(program, fault)
    found = fault_of(smallest)
    assert found is not None
    pytest.fail(f"program {seed} {found.kind}; as small as it gets:\n\n{smallest}\n\n{found.details}")


@pytest.mark.parametrize("part", range(PARTS))
def test_two_thousand_programs(part: int) -> None:
    for seed in range(part, 2_000, PARTS):
        check(seed)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_twenty_thousand_programs(part: int) -> None:
    """From the seed AUTOBP_SEED on, if that is set."""
    base = int(os.environ.get("AUTOBP_SEED", "1000000"))
    for seed in range(base + part, base + 20_000, PARTS):
        check(seed)


def test_programs_are_of_many_kinds() -> None:
    """The maker's programs run, most come to numbers, and all that it should make comes up."""
    programs = [Maker(seed).program() for seed in range(400)]
    text = "\n".join([str(program) for program in programs])
    for form in ("autobp.sum(", "softmax(", "autobp.take(", "autobp.where(", "logsumexp(", "xlogy(", "inf",
                 "nan", "1e+300", "-0.0", " - ", "relu()", "cross_entropy"):  # fmt: skip
        assert form in text, form
    assert any(program.as_list for program in programs)
    assert any(len({len(s.terms) for s in program.statements if s.terms}) > 2 for program in programs)
    assert any(len(program.rows) == len(program.rows[0]) > 1 for program in programs)
    edges = [not np.isfinite(program.rows).all() for program in programs]
    assert 0.02 < np.mean(edges) < 0.3


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_compiler_is_found_and_the_program_shrinks(
    mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the self-check, the fuzzer finds each mutant, and what it takes to see it."""
    monkeypatch.setattr(executable, "prove", lambda *arguments: None)
    mutant(monkeypatch)
    for seed in range(500):
        program = Maker(seed).program()
        fault = fault_of(program)
        if fault is not None and "differs" in fault.kind and "not finite" not in fault.kind:
            break
    else:
        pytest.fail("500 programs did not show it")
    smallest = shrunk(program, fault)
    assert len(smallest.statements) <= 8, str(smallest)
    assert fault_of(smallest) == Fault(fault.kind, fault_of(smallest).details)


def test_what_is_printed_of_a_fault_runs() -> None:
    program = Maker(3).program()
    names: dict[str, object] = {}
    printed = re.sub(r"^print\((.*)\)$", r"certificate = \1", str(program), flags=re.MULTILINE)
    exec(printed, names)
    assert names["certificate"]


def test_shrinking_keeps_the_fault_and_loses_the_rest() -> None:
    def find(program: Program) -> Fault | None:
        return Fault("has a sine", "") if ".sin()" in program.function() else None

    program = next(p for p in (Maker(seed).program() for seed in range(1000)) if find(p) is not None)
    smallest = shrunk(program, Fault("has a sine", ""), find)
    assert ".sin()" in smallest.function()
    assert len(smallest.statements) == 1
    assert len(smallest.rows) == 1

"""How much memory the machine has: what needs more is told before it is asked for."""

from __future__ import annotations

import os


def memory_of_machine() -> int | None:
    """The bytes of memory that the machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def check_memory(needed: int, m: int) -> None:
    """Raise MemoryError where work areas for m samples, of so many bytes, cannot fit.

    The system would grant the memory, and end the process once it is used.
    """
    there = memory_of_machine()
    if there is not None and needed > there:
        raise MemoryError(
            f"what is kept for {max(m, 1):,} rows, of each step of a loop too, needs {needed / 1e9:,.1f} GB "
            f"of memory, and this machine has {there / 1e9:,.1f} GB: pass fewer rows at a time, and average "
            "costs and gradients"
        )


def most_samples(fixed: int, each: int) -> int:
    """For how many samples work areas fit, of so many bytes and so many for each."""
    there = memory_of_machine()
    most = 2**62 if there is None else there
    return (most - fixed) // each if each else 2**62

"""What comparisons have in common: true where both sides agree, of all quantities or of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar


class Agreement:
    """What is true where ``ok`` is."""

    @property
    def ok(self) -> bool:
        """Whether both sides agree."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        return self.ok


Part = TypeVar("Part", bound=Agreement)


class Agreements(Agreement, Generic[Part]):
    """A comparison of several quantities, which agrees where each of them does."""

    @property
    def compared(self) -> Sequence[Part]:
        """The quantities, in the order of computation."""
        raise NotImplementedError

    @property
    def ok(self) -> bool:
        """Whether all of them agree."""
        return all(part.ok for part in self.compared)

    @property
    def first_failure(self) -> Part | None:
        """The first quantity that does not agree; None where all do."""
        return next((part for part in self.compared if not part.ok), None)

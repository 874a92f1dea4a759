"""What came of a submission: an item for each quantity, and the points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Item:
    """One quantity, judged.

    Attributes:
        equation: by which the points are given, "BP2".
        quantity: "delta1".
        verdict: "right", "follows" (wrong, and right given what came before it), "wrong" or "missing".
        where: the index of the largest difference; theirs, right: the entries there.
        hints: which equation; the equation, in the document's notation; the cause.
    """

    equation: str
    quantity: str
    verdict: str
    where: tuple[int, ...] = ()
    theirs: float | None = None
    right: float | None = None
    hints: tuple[str, str, str] = ("", "", "")

    @property
    def credited(self) -> bool:
        """Whether it earns its points."""
        return self.verdict in ("right", "follows")


@dataclass(frozen=True)
class Result:
    """A submission, judged.

    Attributes:
        student: the file's name without its ending.
        status: "judged", or why there is nothing to judge: "too slow", "crashed", "not loaded", "raised",
            "wrong return".
        told: what happened, where it is not "judged".
        items: in the order of computation.
        causes: what may be wrong.
        points: the points of each equation, and of how many.
        printed: what the submission printed, its beginning.
        key: of the file and the task, by which an earlier result is known again.
    """

    student: str
    status: str
    told: str = ""
    items: tuple[Item, ...] = ()
    causes: tuple[str, ...] = ()
    points: Mapping[str, tuple[float, float]] | None = None
    printed: str = ""
    key: str = ""

    @property
    def score(self) -> float:
        """The points altogether."""
        return sum(got for got, _ in (self.points or {}).values())

    @property
    def maximum(self) -> float:
        """As many as there are."""
        return sum(most for _, most in (self.points or {}).values())

    def as_json(self) -> dict[str, Any]:
        """The result as a dict of plain numbers, texts and lists."""
        return {**asdict(self), "score": self.score, "maximum": self.maximum}

    @staticmethod
    def from_json(made: Mapping[str, Any]) -> Result:
        """The result that was written."""
        fields = {k: v for k, v in made.items() if k not in ("score", "maximum")}
        items = tuple(
            Item(**{**item, "where": tuple(item["where"]), "hints": tuple(item["hints"])})
            for item in made["items"]
        )
        points = {k: (float(got), float(most)) for k, (got, most) in made["points"].items()}
        return Result(**{**fields, "items": items, "causes": tuple(made["causes"]), "points": points})


def points_of(items: tuple[Item, ...], points: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Of each equation's points the part of its items that is credited; 0 where there are no items."""
    found = {}
    for equation, most in points.items():
        own = [item for item in items if item.equation == equation]
        part = sum(item.credited for item in own) / len(own) if own else 0.0
        found[equation] = (round(most * part, 4), most)
    return found

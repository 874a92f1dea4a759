"""Which derivative of a step is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """Which derivative.

    Attributes:
        kind: "gradient", "hessian", "hvp", "rows"; of outputs "columns" or "pulled" (a Jacobian, by forward
            or by reverse mode), "jvp", "vjp".
        by: 0 for theta; k for the k-th argument, counted from 1.
        directions: of "hvp" and "jvp", how many at once; 0 for one, without an axis.
        weighted: whether each row's cost is multiplied with a weight, an argument after the data.
    """

    kind: str
    by: int = 0
    directions: int = 0
    weighted: bool = False

    @property
    def name(self) -> str:
        """What its function is called."""
        names = {"columns": "jacobian", "pulled": "vjp_of_rows", "gradient": "cost_and_gradient"}
        return names.get(self.kind, self.kind)

    @property
    def has_vector(self) -> bool:
        """Whether it is a product with a vector, its last argument."""
        return self.kind in ("hvp", "pulled", "jvp", "vjp")

    @property
    def over_rows(self) -> bool:
        """Whether it is a mean or a sum over the rows, and not each row's own."""
        return self.by == 0 and self.kind in ("gradient", "hessian", "hvp", "vjp")

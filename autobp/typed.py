"""Types that only type checkers and editors see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autobp.engine import Value

    class Output(Value, list[Value]):  # type: ignore[misc]
        """What a network answers: a Value where it has one output, and else a list of them.

        Which of the two it is, is known when the network is made, and not from its type: so an editor offers
        the methods of both, and a checker lets both pass.
        """

"""Folded sums: start + Σ w_i·x_i recorded as one node, which nobody can tell from the operators' nodes.

Where somebody looks, :meth:`WeightedSum.unfold` puts those in its place; backward() does not look.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from autobp.details import Details
from autobp.engine import Value
from autobp.nodes import binary, make_node
from autobp.ops import ADD, MULTIPLY
from autobp.registry import without_rule
from autobp.state import walking

#: The operation of a folded sum. It is never seen.
FOLDED: Final = without_rule("folded", "a folded sum is unfolded before its operation is asked for")


class Operands:
    """Values, with the data that they have when this is made: leaves may be set later."""

    def __init__(self, values: Iterable[Value]) -> None:
        self.values = list(values)
        self.numbers = [value._data for value in self.values]

    def are(self, values: list[Value]) -> bool:
        """Whether these are ``values``, and those have still the same data."""
        if len(values) != len(self.values):
            return False
        for i in range(len(values)):
            value = values[i]
            if value is not self.values[i] or not _same(value._data, self.numbers[i]):
                return False
        return True

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: Any) -> Any:
        return self.values[i]

    def __reduce__(self) -> tuple[Any, ...]:
        # A cache, made anew where it is missing: None goes in its place.
        return type(None), ()


def _same(x: float, y: float) -> bool:
    return x == y and (x != 0.0 or math.copysign(1.0, x) == math.copysign(1.0, y))


class WeightedSum(Details):
    """What a folded node was computed from, start + Σ w_i·x_i."""

    __slots__ = ("start", "start_data", "w", "x")

    def __init__(self, start: Value | None, w: Operands, x: Operands) -> None:
        super().__init__()
        self.start = start
        self.start_data = -0.0 if start is None else start._data
        self.w = w
        self.x = x

    def pass_back(self, node: Value) -> bool:
        # in the order in which the operators' nodes would
        w, x, grad = self.w, self.x, node._grad
        for i in range(len(w.numbers) - 1, -1, -1):
            w.values[i]._grad += x.numbers[i] * grad
            x.values[i]._grad += w.numbers[i] * grad
        if self.start is not None:
            self.start._grad += grad
        return True

    def push_unseen(self, stack: list[Value], opened: int) -> None:
        w, x = self.w.values, self.x.values
        for i in range(len(w) - 1, -1, -1):
            if x[i]._mark < opened:
                stack.append(x[i])
            if w[i]._mark < opened:
                stack.append(w[i])
        if self.start is not None and self.start._mark < opened:
            stack.append(self.start)

    def unfold(self, node: Value) -> None:
        """Put the operators' nodes in the place of the folded one, which becomes the last of them."""
        with walking:
            if node._details is not self:  # another thread was faster
                return
            total = self.start
            data = self.start_data
            n = len(self.w.numbers)
            for i in range(n):
                w_i = self.w.numbers[i]
                x_i = self.x.numbers[i]
                product = make_node(w_i * x_i, MULTIPLY, self.w.values[i], self.x.values[i], x_i, w_i)
                product._grad = node._grad  # which additions have passed on as it is
                data += product._data
                if total is None:
                    total = product
                elif i < n - 1:
                    total = make_node(data, ADD, total, product, 1.0, 1.0)
                    total._grad = node._grad
                else:
                    node._parent = total
                    node._parent2 = product
                    node._partial = 1.0
                    node._partial2 = 1.0
            node._details = None
            node._operation = ADD


def weighted_sum(start: Value | None, w: Operands, x: Operands) -> Value | None:
    """start + Σ w_i·x_i, as the operators would make it, from left to right; start may be None.

    It is recorded as one node, which becomes the operators' nodes where they are asked for, with the data and
    grads that those would have.

    Args:
        w, x: of the same length.
    """
    n = len(w.numbers)
    data = -0.0 if start is None else start._data  # adding to -0.0 changes nothing, not even a zero's sign
    for i in range(n):
        data += w.numbers[i] * x.numbers[i]
    if data - data != 0.0 or n == 0 or (n == 1 and start is None):
        return _by_operators(start, w.values, x.values)
    node = make_node(data, FOLDED, w.values[0], None, 0.0, 0.0)
    node._parent = None
    node._details = WeightedSum(start, w, x)
    return node


def _by_operators(start: Value | None, w: list[Value], x: list[Value]) -> Value | None:
    total = start
    for w_i, x_i in zip(w, x, strict=True):
        product = binary(MULTIPLY, w_i, x_i)
        total = product if total is None else binary(ADD, total, product)
    return total

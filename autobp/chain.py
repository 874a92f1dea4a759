"""The chain rule, once: the order of nodes, the pull back, the push forward, and what passes along an edge.

Along the edge from a node y to an operand x, the chain rule passes flow·∂y/∂x: backwards the flow is the
cotangent of y, forwards the tangent of x. One rule says what that product is where a factor is not finite:

    An operation that selects (``Operation.selects``) chooses among its operands, and a partial of 0 says that
    one was not chosen. **Nothing passes there, whatever the flow: an infinite flow stops, and one that is not
    a number.** Along every other edge the product is IEEE 754's, 0·∞ being not a number.

So ``sqrt(relu(x))`` has the derivative 0 at x = -1, where an infinite cotangent arrives at relu; and
``where(greater(x, 0), sqrt(x), 0)`` has the derivative NaN at x = 0, where the cotangent 0 arrives at a
square root that was computed, though not taken, and whose partial is infinite (docs/derivatives-at-edges.md).

Every walk over a graph of Values is here: on numbers (:func:`pull_back_numbers`), and on Values, whose
results are graphs again (:func:`pull_back`, :func:`push_forward`). Who walks over graphs of another kind, as
the compiler does, implements the same rule. Where numbers are not known yet, since a graph is recorded to be
run on others, the rule is a node ``where(partial, flow·partial, 0)``. It stands only where a flow can be
infinite, beyond an operation whose partials have poles (:func:`has_poles`): other programs do not pay. And
since such nodes are differentiated again, where a pole would make NaN of the 0 that they let through, a
partial that has poles is computed at a safe place where nothing passes on (:func:`_where_it_passes`).

In: Values. Out: grads, cotangents, tangents. A graph's nodes are read by their slots, for speed.
"""

from __future__ import annotations

import math
from functools import reduce
from numbers import Real
from typing import TYPE_CHECKING, Any

from autobp.details import Details
from autobp.ops import BUILT_IN, CONSTANT_POWER, DIVIDE, LOG, LOG1P, POWER, VALUES, XLOGY
from autobp.registry import Operation
from autobp.state import epochs, ieee, is_traced, walking

if TYPE_CHECKING:
    from autobp.engine import Value

# ------------------------------------------------------------------------------------------------ the order


def topological_order(root: Value) -> list[Value]:
    """All nodes that root depends on, root included and last, every node after its parents."""
    return in_order(root, True)


def in_order(root: Value, unfold: bool) -> list[Value]:
    """The topological order; without ``unfold`` a node that stands for several stays one."""
    # A node is unseen, then open (its parents are on the stack above it), then done. With two states only, a
    # node met on two paths would be emitted before its own parents.
    with walking:
        epoch = next(epochs)
        opened = 2 * epoch
        done = opened + 1
        order: list[Value] = []
        stack: list[Value] = [root]
        while stack:
            node = stack[-1]
            if node._mark == done:
                stack.pop()
            elif node._mark == opened:
                node._mark = done
                order.append(node)
                stack.pop()
            else:
                node._mark = opened
                parent = node._parent
                if parent is None:
                    details = node._details
                    if details is None:
                        continue
                    if unfold:
                        details.unfold(node)
                    parent = node._parent
                    if parent is None:
                        details.push_unseen(stack, opened)
                        continue
                if node._parent2 is not None and node._parent2._mark < opened:
                    stack.append(node._parent2)
                if parent._mark < opened:
                    stack.append(parent)
        return order


def local_derivatives(node: Value) -> tuple[float, ...]:
    """∂node/∂parent for each of ``node.parents``, without its being a read of data."""
    details = node._details
    if details is not None:
        details.unfold(node)
        if details.parents:
            return details.partials
    if node._parent is None:
        return ()
    if node._parent2 is None:
        return (node._partial,)
    return (node._partial, node._partial2)


# --------------------------------------------------------------------------------------------------- the rule


def stops(operation: Operation, partial: float) -> bool:
    """The rule: whether nothing passes along an edge, be the flow infinite."""
    return operation.selects and partial == 0.0


def _passed(node: Value, partial: Any, flow: Any, unbounded: bool) -> Any:
    """flow·partial by the rule, as a number or a Value; None where nothing passes.

    Args:
        unbounded: whether the flow may be infinite on the numbers that the graph will be run on.
    """
    operation = node._operation
    assert operation is not None
    if isinstance(partial, Real):
        if stops(operation, float(partial)):
            return None
        return flow if partial == 1.0 else flow * partial
    if operation.selects:
        if is_traced():
            return VALUES.where(partial, flow * partial, 0.0) if unbounded else flow * partial
        if not math.isfinite(_number(flow)) and stops(operation, partial._data):
            return None
    return flow * partial


def _number(x: Any) -> float:
    """The number, or that of a Value."""
    number: float = float(x) if isinstance(x, Real) else x._data
    return number


def has_poles(node: Value, partial: Any) -> bool:
    """Whether a local derivative of the node may be infinite though its operands are finite.

    Args:
        partial: the derivative, as :func:`partials_as_values` gave it: a graph is looked through, down to the
            node and its operands, for operations that have poles.
    """
    if isinstance(partial, Real) or (node._operation is not None and node._operation.selects):
        return False
    given = {id(node), *[id(parent) for parent in node.parents]}
    seen = set(given)
    stack = [partial]
    while stack:
        inner = stack.pop()
        operation = inner._operation
        if id(inner) in seen or operation is None:
            continue
        seen.add(id(inner))
        parents = inner.parents
        if operation is DIVIDE:
            if parents[1]._operation is not None or id(parents[1]) in given:  # and no number of the rule's
                return True
        elif operation is CONSTANT_POWER:
            if inner.constants[0] < 0.0:
                return True
        elif operation in _POLES or BUILT_IN.get(operation.name) is not operation:
            return True  # of an operation that a user has registered we do not know
        stack.extend(parents)
    return False


#: Operations whose value may be infinite at finite operands, as quotients and constant powers may.
_POLES = frozenset({POWER, LOG, LOG1P, XLOGY})

# --------------------------------------------------------------------------------------------- on numbers


def pull_back_numbers(order: list[Value]) -> None:
    """From the last node of a topological order to the first, add each node's share to its parents' grads."""
    for i in range(len(order) - 1, -1, -1):
        node = order[i]
        parent = node._parent
        if parent is not None:
            grad = node._grad
            if grad - grad != 0.0:
                pass_back(node)
                continue
            parent._grad += node._partial * grad  # by the rule too: the grad is finite
            parent = node._parent2
            if parent is not None:
                parent._grad += node._partial2 * grad
        elif node._details is not None:
            pass_back(node)


def pass_back(node: Value) -> None:
    """Add one node's share to its parents' grads."""
    details = node._details
    if details is not None and details.pass_back(node):
        return
    operation = node._operation
    if operation is None:
        return
    parents, partials = node.parents, local_derivatives(node)
    grad = node._grad
    for i in range(len(parents)):
        partial = partials[i]
        if not stops(operation, partial):
            parents[i]._grad += partial * grad


def gradients(root: Value, wrt: list[Value]) -> list[float]:
    """∂root/∂x for each x of ``wrt``, as numbers. Every node's ``grad`` is left as it was."""
    with walking:
        order = in_order(root, False)
        known = {id(node) for node in order}
        before = [node._grad for node in order]
        details_of = [node._details for node in order if node._details is not None]
        derivatives = [(details, details.derivative) for details in details_of]
        for node in order:
            node._grad = 0.0
        for details, _ in derivatives:
            details.derivative = None
        try:
            root._grad = 1.0
            pull_back_numbers(order)
            return [x._grad if id(x) in known else 0.0 for x in wrt]
        finally:
            for i in range(len(order)):
                order[i]._grad = before[i]
            for details, derivative in derivatives:
                details.derivative = derivative


# ---------------------------------------------------------------------------------------------- on Values


def partials_as_values(node: Value) -> tuple[Any, ...]:
    """The local derivatives ∂node/∂parent as Values, or numbers where they are constant.

    Raises TypeError where the node was made by hand: it has no rule to differentiate.
    """
    assert node._operation is not None
    partials: tuple[Any, ...] = node._operation.partials(VALUES, node, *node.parents, *node.constants)
    return partials


def pull_back(order: list[Value], cotangents: dict[int, Any], wrt: list[Value]) -> None:
    """The chain rule from the last node of a topological order to the first, on Values.

    Args:
        order: what :func:`topological_order` gave.
        cotangents: by id, the cotangents of some nodes to begin with, and of all in the end that something
            reached. Only what depends on ``wrt`` takes part, and nothing goes beyond ``wrt``.
    """
    depends = {id(node) for node in wrt}
    stop = set(depends)
    for node in order:
        if id(node) not in depends:
            for parent in node.parents:
                if id(parent) in depends:
                    depends.add(id(node))
                    break
    unbounded: set[int] = set()
    traced = is_traced()
    onward: dict[int, Any] | None = None
    with ieee():
        for i in range(len(order) - 1, -1, -1):
            node = order[i]
            if id(node) not in cotangents or id(node) not in depends or id(node) in stop:
                continue
            cotangent = cotangents[id(node)]
            infinite = id(node) in unbounded
            for k, (parent, partial) in enumerate(zip(node.parents, partials_as_values(node), strict=True)):
                if id(parent) not in depends:
                    continue
                if traced and has_poles(node, partial):
                    unbounded.add(id(parent))
                    if onward is None:
                        onward = _onward(order, depends, stop)
                    if id(parent) in onward:
                        partial = _where_it_passes(node, k, onward[id(parent)])
                elif infinite:
                    unbounded.add(id(parent))
                term = _passed(node, partial, cotangent, infinite)
                if term is None:
                    continue
                before = cotangents.get(id(parent))
                cotangents[id(parent)] = term if before is None else before + term


def _onward(order: list[Value], depends: set[int], stop: set[int]) -> dict[int, Any]:
    """Of nodes from which what arrives may be stopped, Values that are 0 where it is.

    Only where one way leads on, of those that lie in ``depends``: of a layer of relus, any of which may let
    pass, the condition would cost more than all that it guards.
    """
    onward: dict[int, Any] = {}
    for node in order:
        if id(node) not in depends or id(node) in stop:
            continue
        assert node._operation is not None
        selects = node._operation.selects
        partials = partials_as_values(node) if selects else ()
        ways = [k for k, parent in enumerate(node.parents) if id(parent) in depends]
        if selects:  # by a condition or an index, to which nothing passes
            ways = [k for k in ways if not (isinstance(partials[k], Real) and partials[k] == 0.0)]
        if not ways or any(node.parents[k] is not node.parents[ways[0]] for k in ways):
            continue
        way = onward.get(id(node.parents[ways[0]]))
        if selects and len(ways) == 1:
            way = _chosen(partials[ways[0]], way)
        if way is not None:
            onward[id(node)] = way
    return onward


def _chosen(partial: Any, way: Any) -> Any:
    """Whether something passes to an operand of an operation that selects, and so along the way beyond it.

    A Value, which is 0 where nothing does; None where something always does. (A partial that is always 0
    has been left out before.)
    """
    if isinstance(partial, Real):
        return way
    chosen = VALUES.not_equal(partial, 0.0)
    return chosen if way is None else way * chosen


def _where_it_passes(node: Value, k: int, way: Any) -> Any:
    """∂node/∂parents[k] where the Value ``way`` is not 0; else 0, and so are all derivatives of it.

    There it is computed at operands where the usual operations have no poles: a derivative that is infinite
    in a branch not taken would make 0·∞ of the adjoint that arrives at it.
    """
    operation = node._operation
    assert operation is not None
    safe = [VALUES.where(way, parent, 0.5) for parent in node.parents]
    again = operation(*safe, *node.constants)
    partial: Any = operation.partials(VALUES, again, *safe, *node.constants)[k]
    return VALUES.where(way, partial, 0.0)


def push_forward(order: list[Value], tangents: dict[int, Any], on_values: bool) -> None:
    """Forward mode: each node and its tangent are a dual number, pushed through the operation table.

    Args:
        order: what :func:`topological_order` gave.
        tangents: by id, the tangents to begin with, and in the end those of all nodes that depend on them.
        on_values: whether tangents are Values, with derivatives of their own, or floats.

    Raises TypeError where a node that the tangents reach was made by hand without local derivatives.
    """
    flows = _Forward(tangents, on_values and is_traced())
    with ieee():
        for node in order:
            if id(node) in tangents or node._operation is None:
                continue
            if not any(id(parent) in tangents for parent in node.parents):
                continue
            partials = partials_as_values(node) if on_values else node.partials
            if len(partials) != len(node.parents):
                raise TypeError(f"{node!r} was made by hand without the local derivatives forward mode needs")
            tangent = flows.into(node, partials)
            if tangent is not None:
                tangents[id(node)] = tangent


class _Forward:
    """Tangents on their way. A node that nothing passes to has none: no infinite partial makes NaN of it.

    Where numbers are not known yet, whether something passes to a node may depend on them: there ``reached``
    has a Value, 1 or 0, by which the products with partials that have poles are chosen.
    """

    def __init__(self, tangents: dict[int, Any], traced: bool) -> None:
        self.tangents = tangents
        self.traced = traced
        self.unbounded: set[int] = set()
        self.reached: dict[int, Any] = {}

    def into(self, node: Value, partials: tuple[Any, ...]) -> Any:
        """The tangent of a node; None where nothing passes to it."""
        total: Any = None
        ways: list[Any] = []
        operation = node._operation
        assert operation is not None
        for k, (parent, partial) in enumerate(zip(node.parents, partials, strict=True)):
            tangent = self.tangents.get(id(parent))
            if tangent is None or (not self.traced and stops(operation, _number(partial))):
                continue
            infinite = id(parent) in self.unbounded
            if self.traced and has_poles(node, partial):
                self.unbounded.add(id(node))
                if self.reached.get(id(parent)) is not None:
                    partial = _where_it_passes(node, k, self.reached[id(parent)])
            elif infinite:
                self.unbounded.add(id(node))
            term = _passed(node, partial, tangent, infinite)
            if term is None:
                continue
            if self.traced:
                way = self.reached.get(id(parent))
                ways.append(_chosen(partial, way) if operation.selects else way)
            total = term if total is None else total + term
        if ways and all(way is not None for way in ways):
            self.reached[id(node)] = reduce(VALUES.maximum, ways)
        return total


def accumulate_graphs(order: list[Value], seed: Value) -> None:
    """backward(create_graph=True) over a topological order, with a seed at its last node."""
    cotangents: dict[int, Any] = {id(order[len(order) - 1]): seed}
    leaves = [node for node in order if node._operation is None]
    pull_back(order, cotangents, leaves)
    for node in order:
        found = cotangents.get(id(node))
        if node._operation is not None:
            node._grad = 0.0 if found is None else found._data
        elif found is not None:
            grad = node.grad
            total = found if isinstance(grad, Real) and grad == 0.0 else grad + found
            if node._details is None:
                node._details = Details()
            node._details.derivative = total
            node._grad = total._data

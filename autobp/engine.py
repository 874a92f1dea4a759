"""Value: a node of the computation graph, and backward(), the chain rule walked over it.

A node keeps its data, its grad, the operation that made it, its parents, and the local derivative towards
each parent. Backpropagation is then one loop without any per-operation code: in reverse topological order,
``parent.grad += partial * node.grad`` (:mod:`autobp.chain`). How operations make nodes is in
:mod:`autobp.nodes`; what few nodes have beside their slots is in :mod:`autobp.details` and rooms that Value
does not know.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final, overload

from mypy_extensions import mypyc_attr

from autobp import nodes, ops, special
from autobp.arithmetic import (
    add,
    add_reflected,
    multiply,
    multiply_reflected,
    operate,
    operate_reflected,
    power,
)
from autobp.by_hand import BY_HAND as BY_HAND
from autobp.by_hand import made_by_hand
from autobp.chain import accumulate_graphs, in_order, local_derivatives, pass_back, pull_back_numbers
from autobp.chain import topological_order as topological_order
from autobp.describing import shown, symbol
from autobp.details import Details, refuse_backward
from autobp.errors import explain_new_attributes, no_equality, no_label, refuse_conversions
from autobp.freeing import free
from autobp.nodes import UNLABELLED, UNSET, compared, fill, make_node, number, parents, unary
from autobp.nodes import apply as apply
from autobp.nodes import set_data as set_data
from autobp.pickling import add_again, added_by_subclasses, take_apart
from autobp.pickling import rebuild as _rebuild  # noqa: F401  # the name in pickles of version 0.1.0
from autobp.registry import Operation
from autobp.state import announce_read, shared, walking
from autobp.state import ieee as ieee
from autobp.state import watch_reads as watch_reads
from autobp.state import watch_results as watch_results


# acyclic: the cyclic garbage collector does not know the compiled class. It would walk over a growing graph
# again and again, and take most of the time of building a large one.
@mypyc_attr(allow_interpreted_subclasses=True, acyclic=True)
class Value:
    """A number that remembers how it was computed.

    Args:
        data: an int or float, NumPy's scalars included.
        label: a name, for error messages, drawings and derivations.

    The second and third positional arguments make a node by hand, as micrograd and microgpt do:
    ``Value(data, children, op)`` with a string, whose ``_backward`` must then be set, or
    ``Value(data, children, local_grads)`` with one local derivative for each child.

    Raises:
        TypeError: data is no real number (a string, None, an array, a Value), or label is no text.

    Attributes:
        data: the number, a float. Can be set where the Value is a leaf.
        grad: ∂root/∂self, a float, after ``root.backward()``. In a leaf it accumulates over calls.
        label: a name or "".
    """

    __slots__ = ("_data", "_details", "_grad", "_label", "_mark", "_operation", "_parent", "_parent2",
                 "_partial", "_partial2")  # fmt: skip

    _data: float
    _grad: float
    _operation: Operation | None
    _parent: Value | None
    _parent2: Value | None
    _partial: float
    _partial2: float
    _details: Details | None
    _mark: int
    _label: str

    # other names for asin, acos, atan, parents and partials, set below
    arcsin: ClassVar[Callable[[Value], Value]]
    arccos: ClassVar[Callable[[Value], Value]]
    arctan: ClassVar[Callable[[Value], Value]]
    _children: ClassVar[tuple[Value, ...]]
    _local_grads: ClassVar[tuple[float, ...]]

    def __init__(self, data: Any, _children: Any = (), _op: Any = "", label: Any = UNLABELLED) -> None:
        if _children is UNSET:
            return
        if label is not UNLABELLED and not isinstance(label, str):  # the first is fast
            raise no_label(label)
        fill(self, label, number(data), None)
        if _children or _op:
            self._details = made_by_hand(tuple(_children), _op)
            if _children:
                self._operation = BY_HAND

    def __del__(self) -> None:
        free(self)

    # ------------------------------------------------------------------------------------------ reading

    @property
    def data(self) -> float:
        if shared.watchers:
            announce_read(self, ".data")
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        set_data(self, data)

    @property
    def grad(self) -> Any:
        details = self._details
        if details is not None and details.derivative is not None:
            return details.derivative
        if shared.watchers:
            announce_read(self, ".grad")
        return self._grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if self._details is not None:
            self._details.unfold(self)
        if self._details is not None:
            self._details.derivative = None
        self._grad = number(grad)

    @property
    def label(self) -> str:
        return self._label

    @label.setter
    def label(self, label: Any) -> None:
        if not isinstance(label, str):
            raise no_label(label)
        self._label = label

    @property
    def operation(self) -> Operation | None:
        """The operation that made this node; None for a leaf."""
        if self._details is not None:
            self._details.unfold(self)
        return self._operation

    @property
    def parents(self) -> tuple[Value, ...]:
        """The operands this node was computed from, in order, repeated where one was used twice."""
        return parents(self)

    @property
    def partials(self) -> tuple[float, ...]:
        """The local derivatives ∂self/∂parent at this node's data, one for each of ``parents``."""
        if shared.watchers:
            announce_read(self, ".partials")
        return local_derivatives(self)

    @property
    def constants(self) -> tuple[float, ...]:
        """The plain numbers that are part of the operation, such as the exponent of ``x**2``."""
        details = self._details
        return () if details is None else details.constants

    @property
    def is_leaf(self) -> bool:
        """Whether this Value was given and not computed."""
        return self._operation is None

    # micrograd's and microgpt's names for the same things

    @property
    def _prev(self) -> set[Value]:
        return set(self.parents)

    @property
    def _op(self) -> str:
        return symbol(self)

    @property
    def _backward(self) -> Callable[[], None]:
        """The function that applies the chain rule from this node to its parents."""
        if self._details is not None:
            self._details.unfold(self)
        return partial(pass_back, self)

    @_backward.setter
    def _backward(self, function: Callable[[], None]) -> None:
        if self._details is None:
            refuse_backward(self)
        else:
            self._details.set_backward(self, function)

    def __repr__(self) -> str:
        return shown(self)

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def __bool__(self) -> bool:
        if shared.watchers:
            announce_read(self, "bool()")
        return self._data != 0.0

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, numbers.Number):
            raise no_equality(self, other)
        # what is no Value decides for itself: an array compares its elements, and its numbers raise as above
        return self is other if isinstance(other, Value) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return self._data < compared(self, other, "<")

    def __le__(self, other: Any) -> bool:
        return self._data <= compared(self, other, "<=")

    def __gt__(self, other: Any) -> bool:
        return self._data > compared(self, other, ">")

    def __ge__(self, other: Any) -> bool:
        return self._data >= compared(self, other, ">=")

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return take_apart(self)

    def __getstate__(self) -> Any:
        return added_by_subclasses(self, Value)

    def __setstate__(self, state: Any) -> None:
        add_again(self, state)

    # --------------------------------------------------------------------------------------- arithmetic

    @overload
    def __add__(self, other: Value | float) -> Value: ...
    @overload
    def __add__(self, other: Any) -> Any: ...
    def __add__(self, other: Any) -> Any:
        if isinstance(other, Value):  # without a call, which costs a tenth where nothing is compiled
            y = other  # of a type known to mypyc, as `other` is not
            data = self._data + y._data
            if data - data == 0.0:
                return make_node(data, ops.ADD, self, y, 1.0, 1.0)
        return add(self, other)

    @overload
    def __radd__(self, other: float) -> Value: ...
    @overload
    def __radd__(self, other: Any) -> Any: ...
    def __radd__(self, other: Any) -> Any:
        return add_reflected(self, other)

    @overload
    def __mul__(self, other: Value | float) -> Value: ...
    @overload
    def __mul__(self, other: Any) -> Any: ...
    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Value):
            y = other
            data = self._data * y._data
            if data - data == 0.0:
                return make_node(data, ops.MULTIPLY, self, y, y._data, self._data)
        return multiply(self, other)

    @overload
    def __rmul__(self, other: float) -> Value: ...
    @overload
    def __rmul__(self, other: Any) -> Any: ...
    def __rmul__(self, other: Any) -> Any:
        return multiply_reflected(self, other)

    @overload
    def __sub__(self, other: Value | float) -> Value: ...
    @overload
    def __sub__(self, other: Any) -> Any: ...
    def __sub__(self, other: Any) -> Any:
        return operate(ops.SUBTRACT, self, other)

    @overload
    def __rsub__(self, other: float) -> Value: ...
    @overload
    def __rsub__(self, other: Any) -> Any: ...
    def __rsub__(self, other: Any) -> Any:
        return operate_reflected(ops.SUBTRACT, self, other)

    @overload
    def __truediv__(self, other: Value | float) -> Value: ...
    @overload
    def __truediv__(self, other: Any) -> Any: ...
    def __truediv__(self, other: Any) -> Any:
        return operate(ops.DIVIDE, self, other)

    @overload
    def __rtruediv__(self, other: float) -> Value: ...
    @overload
    def __rtruediv__(self, other: Any) -> Any: ...
    def __rtruediv__(self, other: Any) -> Any:
        return operate_reflected(ops.DIVIDE, self, other)

    @overload
    def __pow__(self, other: Value | float) -> Value: ...
    @overload
    def __pow__(self, other: Any) -> Any: ...
    def __pow__(self, other: Any) -> Any:
        return power(self, other)

    @overload
    def __rpow__(self, other: float) -> Value: ...
    @overload
    def __rpow__(self, other: Any) -> Any: ...
    def __rpow__(self, other: Any) -> Any:
        return operate_reflected(ops.POWER, self, other)

    def __mod__(self, other: Any) -> Any:
        return operate(special.MOD, self, other)

    def __rmod__(self, other: Any) -> Any:
        return operate_reflected(special.MOD, self, other)

    def __neg__(self) -> Value:
        return unary(ops.NEGATIVE, self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return unary(ops.ABS, self)

    def exp(self) -> Value:
        """e**x."""
        return unary(ops.EXP, self)

    def expm1(self) -> Value:
        """e**x - 1, accurate near 0."""
        return unary(ops.EXPM1, self)

    def log(self) -> Value:
        """The natural logarithm; ValueError where x <= 0."""
        return unary(ops.LOG, self)

    def log1p(self) -> Value:
        """log(1 + x), accurate near 0; ValueError where x <= -1."""
        return unary(ops.LOG1P, self)

    def sqrt(self) -> Value:
        """The square root; ValueError where x < 0. Its derivative at 0 is infinite."""
        return unary(ops.SQRT, self)

    def sin(self) -> Value:
        """sin x, x in radians."""
        return unary(ops.SIN, self)

    def cos(self) -> Value:
        """cos x, x in radians."""
        return unary(ops.COS, self)

    def tan(self) -> Value:
        """tan x, x in radians."""
        return unary(ops.TAN, self)

    def asin(self) -> Value:
        """arcsin x, in radians; ValueError outside -1 … 1."""
        return unary(ops.ASIN, self)

    def acos(self) -> Value:
        """arccos x, in radians; ValueError outside -1 … 1."""
        return unary(ops.ACOS, self)

    def atan(self) -> Value:
        """arctan x, in radians."""
        return unary(ops.ATAN, self)

    def sinh(self) -> Value:
        """The hyperbolic sine."""
        return unary(ops.SINH, self)

    def cosh(self) -> Value:
        """The hyperbolic cosine."""
        return unary(ops.COSH, self)

    def tanh(self) -> Value:
        """The hyperbolic tangent."""
        return unary(ops.TANH, self)

    def sigmoid(self) -> Value:
        """1 / (1 + e**-x), for x of any size."""
        return unary(ops.SIGMOID, self)

    def softplus(self) -> Value:
        """log(1 + e**x), for x of any size."""
        return unary(ops.SOFTPLUS, self)

    def erf(self) -> Value:
        """The error function."""
        return unary(ops.ERF, self)

    def erfc(self) -> Value:
        """1 - erf(x), accurate for large x."""
        return unary(ops.ERFC, self)

    def sign(self) -> Value:
        """1, 0 or -1, with derivative 0."""
        return unary(ops.SIGN_OF, self)

    def relu(self) -> Value:
        """max(0, x), with derivative 0 at 0."""
        return unary(ops.RELU, self)

    def gelu(self) -> Value:
        """x Φ(x), with the exact normal distribution function Φ."""
        return unary(ops.GELU, self)

    def silu(self) -> Value:
        """x sigmoid(x)."""
        return unary(ops.SILU, self)

    def abs(self) -> Value:
        """|x|, with derivative 0 at 0."""
        return unary(ops.ABS, self)

    def leaky_relu(self, slope: float = 0.01) -> Value:
        """x where x > 0, else slope·x."""
        return apply(ops.LEAKY_RELU, (self,), (number(slope),))

    def elu(self, alpha: float = 1.0) -> Value:
        """x where x > 0, else alpha·(e**x - 1)."""
        return apply(ops.ELU, (self,), (number(alpha),))

    def detach(self) -> Value:
        """The same number, through which no derivative passes."""
        return unary(ops.STOP_GRADIENT, self)

    def maximum(self, other: Any) -> Value:
        """The larger of two; of equals, each has the derivative one half.

        (Python's max and np.maximum pick an operand by comparing, so that of equals one has all of it.)
        """
        return apply(ops.MAXIMUM, (self, other))

    def minimum(self, other: Any) -> Value:
        """The smaller of two; of equals, each has the derivative one half. See :meth:`maximum`."""
        return apply(ops.MINIMUM, (self, other))

    def conjugate(self) -> Value:
        """The Value itself, which is real; np.var and np.std ask for it."""
        return self

    # -------------------------------------------------------------------------------------- derivatives

    def backward(self, gradient: float = 1.0, create_graph: bool = False) -> None:
        """Compute ∂self/∂node for every node that self depends on, into its ``grad``.

        Computed nodes start from zero at each call; leaves accumulate, as in PyTorch, so that gradients of
        several roots add up until ``zero_grad()``. Everything is multiplied by ``gradient``. Threads may
        share nodes: their walks over graphs take turns.

        With ``create_graph`` the grad of each leaf is a Value, computed as a graph of its own, which can be
        differentiated again; non-finite derivatives then pass, as they always do. A leaf that holds such a
        grad and the graph of that grad refer to each other: set ``grad`` to 0 to let go of both.

        Raises:
            TypeError: a node was made by hand without a derivative (with ``create_graph``, or a rule).
        """
        with walking:
            if create_graph:
                seed: Any = gradient
                accumulate_graphs(topological_order(self), seed if isinstance(seed, Value) else Value(seed))
                return
            order = in_order(self, False)
            for node in order:
                if node._operation is not None:
                    node._grad = 0.0
                if node._details is not None:
                    node._details.derivative = None
            self._grad += number(gradient)
            pull_back_numbers(order)


# The interpreter frees its own classes without deep recursion; only compiled ones need __del__ for that.
COMPILED: Final = not hasattr(Value.backward, "__code__")
if not COMPILED:
    del Value.__del__
    vars(nodes)["Value"] = Value  # which compiled code knows from its type

explain_new_attributes(Value)
refuse_conversions(Value)

# NumPy's names, which it calls on the elements of arrays, and microgpt's.
for _name, _known in {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "_children": "parents",
                      "_local_grads": "partials"}.items():  # fmt: skip
    type.__setattr__(Value, _name, vars(Value)[_known])

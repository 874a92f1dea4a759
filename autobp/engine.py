"""Value: a node of the computation graph, and backward(), the chain rule walked over it.

A node keeps its data, its grad, the operation that made it, its parents, and the local derivative towards
each parent. Backpropagation is then one loop without any per-operation code: in reverse topological order,
``parent.grad += partial * node.grad``.
"""

from __future__ import annotations

import math
import numbers
import threading
from collections.abc import Callable, Iterable
from itertools import count
from types import CellType, FunctionType
from typing import Any, Final

import numpy as np
from mypy_extensions import mypyc_attr

from autobp.ops import (
    ABS,
    ACOS,
    ADD,
    ASIN,
    ATAN,
    CONSTANT_POWER,
    COS,
    COSH,
    DIVIDE,
    ELU,
    ERF,
    ERFC,
    EXP,
    EXPM1,
    FLOATS,
    GELU,
    LEAKY_RELU,
    LOG,
    LOG1P,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    POWER,
    RELU,
    SIGMOID,
    SIGN_OF,
    SILU,
    SIN,
    SINH,
    SOFTPLUS,
    SQRT,
    STOP_GRADIENT,
    SUBTRACT,
    TABLE,
    TAN,
    TANH,
    Operation,
    differentiate,
    evaluate,
    lookup,
    operation,
)


class _Shared:
    """What all threads have in common."""

    def __init__(self) -> None:
        #: in how many threads reads are watched; 0 keeps reads of data fast
        self.watchers = 0
        #: what those threads want called before reads in threads that do not watch
        self.elsewhere: list[Callable[[Value, str], None]] = []
        self.lock = threading.Lock()
        #: what freed nodes referred to and is to be let go of next, and whether that is going on
        self.buried: list[object] = []
        self.burying = False


_shared: Final = _Shared()
#: What a thread is doing with the graphs it builds: ``ieee``, whether non-finite results pass; ``on_read``,
#: called with (value, what) before data is read; ``pickling``, the mark of the graph that is being pickled.
#: Each may be missing. (A subclass of local would not be local to threads when compiled.)
_thread: Final = threading.local()
_epochs: Final = count(1)  # each walk over a graph marks nodes with numbers of its own
_walking: Final = threading.RLock()  # a walk writes marks and grads, and threads may share nodes


class ieee:
    """Context manager: let non-finite results pass, as IEEE 754 arithmetic does, instead of raising.

    It holds for the values that this thread computes inside the block.
    """

    def __enter__(self) -> None:
        self._before = getattr(_thread, "ieee", False)
        _thread.ieee = True

    def __exit__(self, *exception: object) -> None:
        _thread.ieee = self._before


class watch_reads:
    """Context manager: call ``on_read(value, what)`` before this thread reads data or compares by it.

    ``what`` says how, as the user wrote it: ".data", "<", "==", "bool()", "float()" …. A tracer raises from
    it. ``elsewhere`` is called so for reads in threads that do not watch themselves.
    """

    def __init__(
        self,
        on_read: Callable[[Value, str], None],
        elsewhere: Callable[[Value, str], None] | None = None,
    ) -> None:
        self._on_read = on_read
        self._elsewhere = elsewhere

    def __enter__(self) -> None:
        self._before: Callable[[Value, str], None] | None = getattr(_thread, "on_read", None)
        _thread.on_read = self._on_read
        with _shared.lock:
            _shared.watchers += 1
            if self._elsewhere is not None:
                _shared.elsewhere.append(self._elsewhere)

    def __exit__(self, *exception: object) -> None:
        _thread.on_read = self._before
        with _shared.lock:
            _shared.watchers -= 1
            if self._elsewhere is not None:
                _shared.elsewhere.remove(self._elsewhere)


class Details:
    """What few nodes have: more than two parents, constants, a derivative of the user's own."""

    __slots__ = ("backward", "constants", "derivative", "parents", "partials", "symbol")

    def __init__(
        self,
        parents: tuple[Value, ...] = (),
        partials: tuple[float, ...] = (),
        constants: tuple[float, ...] = (),
        symbol: str = "",
    ) -> None:
        #: all parents, where the node's two slots are too few for them; else empty
        self.parents = parents
        self.partials = partials
        self.constants = constants
        #: what a node made by hand calls its operation
        self.symbol = symbol
        #: a function that adds the node's share to its parents' grads, set through ``_backward``
        self.backward: _BackwardByHand | None = None
        #: this node's gradient as a Value, after backward(create_graph=True)
        self.derivative: Value | None = None


def _same(x: float, y: float) -> bool:
    return x == y and (x != 0.0 or math.copysign(1.0, x) == math.copysign(1.0, y))


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


class WeightedSum(Details):
    """What a folded node was computed from, start + Σ w_i·x_i."""

    __slots__ = ("start", "start_data", "w", "x")

    def __init__(self, start: Value | None, w: Operands, x: Operands) -> None:
        super().__init__()
        self.start = start
        self.start_data = -0.0 if start is None else start._data
        self.w = w
        self.x = x

    def pass_on(self, grad: float) -> None:
        """Add to the operands' grads, in the order in which the operators' nodes would."""
        w, x = self.w, self.x
        for i in range(len(w.numbers) - 1, -1, -1):
            w.values[i]._grad += x.numbers[i] * grad
            x.values[i]._grad += w.numbers[i] * grad
        if self.start is not None:
            self.start._grad += grad


class _Unfilled:
    """The type of the mark that tells Value.__init__ to leave the filling in to _node()."""


_UNFILLED: Final = _Unfilled()


def _no_rule(*arguments: Any) -> Any:
    raise TypeError(
        "a node made by hand, as Value(data, children, …), has no rule in the operation table; "
        "register one with autobp.operation(name, value, partials)"
    )


#: The operation of nodes made by hand. It stays out of the table: nothing can evaluate or print it.
BY_HAND: Final = operation("by_hand", _no_rule, _no_rule, arity=None)
del TABLE["by_hand"]

#: The operation of a weighted sum that is recorded as one node. It is never seen: where somebody looks,
#: _unfold() puts the operators' nodes in its place.
FOLDED: Final = operation("folded", _no_rule, _no_rule, arity=None)
del TABLE["folded"]


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
        TypeError: data is no real number (a string, None, a complex number, an array, a Value).

    Attributes:
        data: the number, a float. Can be set where the Value is a leaf.
        grad: ∂root/∂self, a float, after ``root.backward()``. In a leaf it accumulates over calls.
        label: a name or "".
    """

    __slots__ = ("_data", "_details", "_grad", "_mark", "_operation", "_parent", "_parent2", "_partial",
                 "_partial2", "label")  # fmt: skip

    _data: float
    _grad: float
    _operation: Operation | None
    _parent: Value | None
    _parent2: Value | None
    _partial: float
    _partial2: float
    _details: Details | None
    _mark: int
    label: str

    def __init__(self, data: Any, _children: Any = (), _op: Any = "", label: str = "") -> None:
        if _children is _UNFILLED:
            return
        self._data = _number(data)
        self._grad = 0.0
        self._operation = None
        self._parent = None
        self._parent2 = None
        self._partial = 0.0
        self._partial2 = 0.0
        self._details = None
        self._mark = 0
        self.label = label
        if _children or _op:
            self._make_by_hand(tuple(_children), _op)

    def __del__(self) -> None:
        # Freeing a node may free its parents, and theirs: as recursion, a long chain would exhaust the stack.
        # So a node leaves what it refers to in a list, which the outermost node empties.
        try:
            if self._parent is not None:
                _shared.buried.append(self._parent)
                self._parent = None
                if self._parent2 is not None:
                    _shared.buried.append(self._parent2)
                    self._parent2 = None
            if self._details is not None:
                _shared.buried.append(self._details)
                self._details = None
        except AttributeError:  # the constructor raised before it set them
            return
        if not _shared.burying:
            _shared.burying = True
            while _shared.buried:
                _shared.buried.pop()
            _shared.burying = False

    def _make_by_hand(self, children: tuple[Any, ...], op: Any) -> None:
        for child in children:
            if not isinstance(child, Value):
                raise TypeError(f"the children of a Value must be Values; got {child!r}")
        if not children:
            if isinstance(op, str):
                self._details = Details(symbol=op)
                return
            raise TypeError(f"local derivatives {op!r} were given without children to take them towards")
        self._operation = BY_HAND
        if isinstance(op, str):
            self._details = Details(children, (), (), op)
            return
        partials = tuple([_number(partial) for partial in op])
        if len(partials) != len(children):
            raise TypeError(f"{len(children)} children need as many local derivatives; got {len(partials)}")
        self._details = Details(children, partials)

    # ------------------------------------------------------------------------------------------ reading

    @property
    def data(self) -> float:
        if _shared.watchers:
            _announce_read(self, ".data")
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        set_data(self, data)

    @property
    def grad(self) -> Any:
        details = self._details
        if details is not None and details.derivative is not None:
            return details.derivative
        if _shared.watchers:
            _announce_read(self, ".grad")
        return self._grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if self._operation is FOLDED:
            _unfold(self)
        if self._details is not None:
            self._details.derivative = None
        self._grad = _number(grad)

    @property
    def operation(self) -> Operation | None:
        """The operation that made this node; None for a leaf."""
        if self._operation is FOLDED:
            _unfold(self)
        return self._operation

    @property
    def parents(self) -> tuple[Value, ...]:
        """The operands this node was computed from, in order, repeated where one was used twice."""
        if self._operation is FOLDED:
            _unfold(self)
        details = self._details
        if details is not None and details.parents:
            return details.parents
        if self._parent is None:
            return ()
        if self._parent2 is None:
            return (self._parent,)
        return (self._parent, self._parent2)

    @property
    def partials(self) -> tuple[float, ...]:
        """The local derivatives ∂self/∂parent at this node's data, one for each of ``parents``."""
        if _shared.watchers:
            _announce_read(self, ".partials")
        return self._local_derivatives()

    def _local_derivatives(self) -> tuple[float, ...]:
        if self._operation is FOLDED:
            _unfold(self)
        details = self._details
        if details is not None and details.parents:
            return details.partials
        if self._parent is None:
            return ()
        if self._parent2 is None:
            return (self._partial,)
        return (self._partial, self._partial2)

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
    def _children(self) -> tuple[Value, ...]:
        return self.parents

    @property
    def _local_grads(self) -> tuple[float, ...]:
        return self.partials

    @property
    def _op(self) -> str:
        operation = self.operation
        details = self._details
        if details is not None and details.symbol:
            return details.symbol
        if operation is None or operation is BY_HAND:
            return ""
        return operation.symbol.format(*[f"{constant:g}" for constant in self.constants])

    @property
    def _backward(self) -> Callable[[], None]:
        """The function that applies the chain rule from this node to its parents."""
        if self._operation is FOLDED:
            _unfold(self)
        return self._propagate

    @_backward.setter
    def _backward(self, function: Callable[[], None]) -> None:
        if self._operation is not BY_HAND:
            raise TypeError(
                f"_backward can be set on nodes made by hand, Value(data, children, op), and {self!r} is not "
                "one; for an operation with a rule of its own use autobp.operation(name, value, partials)"
            )
        assert self._details is not None
        self._details.backward = _BackwardByHand(function, self)

    def __repr__(self) -> str:
        details = self._details
        grad = self._grad if details is None or details.derivative is None else details.derivative
        shown = f"Value(data={self._data!r}, grad={grad!r}"
        if self._op:
            shown += f", op={self._op!r}"
        if self.label:
            shown += f", label={self.label!r}"
        return shown + ")"

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def __float__(self) -> float:
        if _shared.watchers:
            _announce_read(self, "float()")
        raise TypeError(
            f"{_describe(self)} cannot be turned into a float: its gradient would be lost. Use .data for the "
            "number, and for functions the Value's own, v.exp() or v.sqrt(), and not those of math"
        )

    def __int__(self) -> int:
        if _shared.watchers:
            _announce_read(self, "int()")
        raise TypeError(f"{_describe(self)} cannot be turned into an int: use int(v.data) for the number")

    def __complex__(self) -> complex:
        if _shared.watchers:
            _announce_read(self, "complex()")
        raise TypeError(f"{_describe(self)} cannot be turned into a complex number: use .data for the number")

    def __round__(self, digits: int | None = None) -> float:
        if _shared.watchers:
            _announce_read(self, "round()")
        raise TypeError(f"{_describe(self)} cannot be rounded: use round(v.data) for the number")

    def __index__(self) -> int:
        if _shared.watchers:
            _announce_read(self, "index")
        raise TypeError(
            f"{_describe(self)} cannot be an index: use autobp.take(values, i), which records the choice, "
            "or int(v.data)"
        )

    def __bool__(self) -> bool:
        if _shared.watchers:
            _announce_read(self, "bool()")
        return self._data != 0.0

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, numbers.Number):
            if _shared.watchers:
                _announce_read(self, "==")
            raise TypeError(
                f"{_describe(self)} == {other!r} compares a Value with a number: == between Values means the "
                "same node. Use v.data == number, or autobp.equal(v, number) for a node that is 1 or 0"
            )
        # what is no Value decides for itself: an array compares its elements, and its numbers raise as above
        return self is other if isinstance(other, Value) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return self._data < _compared(self, other, "<")

    def __le__(self, other: Any) -> bool:
        return self._data <= _compared(self, other, "<=")

    def __gt__(self, other: Any) -> bool:
        return self._data > _compared(self, other, ">")

    def __ge__(self, other: Any) -> bool:
        return self._data >= _compared(self, other, ">=")

    # ------------------------------------------------------------------------------- pickling and copying

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if _shared.watchers:
            _announce_read(self, "copy")
        operation = self.operation
        details = self._details
        if details is not None and details.backward is not None:
            raise TypeError(
                f"{self!r} has a _backward made by hand, which refers to the nodes of this one graph and so "
                "cannot be pickled or copied; give local derivatives, Value(data, children, (partial, …))"
            )
        name = "" if operation is None else operation.name
        symbol = "" if details is None else details.symbol
        numbers_ = (self._data, self._grad, self._local_derivatives(), self.constants)
        ancestors = None
        if operation is not None and getattr(_thread, "pickling", -1) != self._mark:
            ancestors = _Ancestors(self)
        arguments = (ancestors, type(self), numbers_, name, self.parents, symbol, self.label)
        return _rebuild, arguments, self.__getstate__()

    def __getstate__(self) -> Any:
        """What a subclass has added: its __dict__, and its slots by name; None if this is no subclass."""
        cls = type(self)
        if cls is Value:
            return None
        slots = {}
        for base in cls.__mro__[: cls.__mro__.index(Value)]:
            for slot in getattr(base, "__slots__", ()):
                if slot not in ("__dict__", "__weakref__") and hasattr(self, slot):
                    slots[slot] = getattr(self, slot)
        return getattr(self, "__dict__", None), slots

    def __setstate__(self, state: Any) -> None:
        own, slots = state
        if own:
            self.__dict__.update(own)
        for slot, content in slots.items():
            setattr(self, slot, content)

    # --------------------------------------------------------------------------------------- arithmetic
    # + and * write their rule out, for speed; tests hold both to the table.

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Value):
            operand = other  # of a type known to mypyc, as `other` is not
        elif _is_number(other):
            operand = Value(other)
        else:
            return NotImplemented
        data = self._data + operand._data
        if data - data != 0.0:
            return binary(ADD, self, operand)
        return _node(data, ADD, self, operand, 1.0, 1.0)

    def __radd__(self, other: Any) -> Any:
        # sum() starts from the int 0, which would only add a node 0 + x to every sum
        if type(other) is int and other == 0:
            return self
        return Value(other) + self if _is_number(other) else NotImplemented

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Value):
            operand = other  # of a type known to mypyc, as `other` is not
        elif _is_number(other):
            operand = Value(other)
        else:
            return NotImplemented
        data = self._data * operand._data
        if data - data != 0.0:
            return binary(MULTIPLY, self, operand)
        return _node(data, MULTIPLY, self, operand, operand._data, self._data)

    def __rmul__(self, other: Any) -> Any:
        return Value(other) * self if _is_number(other) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, Value):
            return binary(SUBTRACT, self, other)
        return binary(SUBTRACT, self, Value(other)) if _is_number(other) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return binary(SUBTRACT, Value(other), self) if _is_number(other) else NotImplemented

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, Value):
            return binary(DIVIDE, self, other)
        return binary(DIVIDE, self, Value(other)) if _is_number(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Any:
        return binary(DIVIDE, Value(other), self) if _is_number(other) else NotImplemented

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, Value):
            return binary(POWER, self, other)
        if _is_number(other):
            return apply(CONSTANT_POWER, (self,), (_number(other),))
        return NotImplemented

    def __rpow__(self, other: Any) -> Any:
        return binary(POWER, Value(other), self) if _is_number(other) else NotImplemented

    def __neg__(self) -> Value:
        return unary(NEGATIVE, self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return unary(ABS, self)

    def exp(self) -> Value:
        """e**x."""
        return unary(EXP, self)

    def expm1(self) -> Value:
        """e**x - 1, accurate near 0."""
        return unary(EXPM1, self)

    def log(self) -> Value:
        """The natural logarithm; ValueError where x <= 0."""
        return unary(LOG, self)

    def log1p(self) -> Value:
        """log(1 + x), accurate near 0; ValueError where x <= -1."""
        return unary(LOG1P, self)

    def sqrt(self) -> Value:
        """The square root; ValueError where x < 0. Its derivative at 0 is infinite."""
        return unary(SQRT, self)

    def sin(self) -> Value:
        """sin x, x in radians."""
        return unary(SIN, self)

    def cos(self) -> Value:
        """cos x, x in radians."""
        return unary(COS, self)

    def tan(self) -> Value:
        """tan x, x in radians."""
        return unary(TAN, self)

    def asin(self) -> Value:
        """arcsin x, in radians; ValueError outside -1 … 1."""
        return unary(ASIN, self)

    def acos(self) -> Value:
        """arccos x, in radians; ValueError outside -1 … 1."""
        return unary(ACOS, self)

    def atan(self) -> Value:
        """arctan x, in radians."""
        return unary(ATAN, self)

    def sinh(self) -> Value:
        """The hyperbolic sine."""
        return unary(SINH, self)

    def cosh(self) -> Value:
        """The hyperbolic cosine."""
        return unary(COSH, self)

    def tanh(self) -> Value:
        """The hyperbolic tangent."""
        return unary(TANH, self)

    def sigmoid(self) -> Value:
        """1 / (1 + e**-x), for x of any size."""
        return unary(SIGMOID, self)

    def softplus(self) -> Value:
        """log(1 + e**x), for x of any size."""
        return unary(SOFTPLUS, self)

    def erf(self) -> Value:
        """The error function."""
        return unary(ERF, self)

    def erfc(self) -> Value:
        """1 - erf(x), accurate for large x."""
        return unary(ERFC, self)

    def sign(self) -> Value:
        """1, 0 or -1, with derivative 0."""
        return unary(SIGN_OF, self)

    def relu(self) -> Value:
        """max(0, x), with derivative 0 at 0."""
        return unary(RELU, self)

    def gelu(self) -> Value:
        """x Φ(x), with the exact normal distribution function Φ."""
        return unary(GELU, self)

    def silu(self) -> Value:
        """x sigmoid(x)."""
        return unary(SILU, self)

    def abs(self) -> Value:
        """|x|, with derivative 0 at 0."""
        return unary(ABS, self)

    def leaky_relu(self, slope: float = 0.01) -> Value:
        """x where x > 0, else slope·x."""
        return apply(LEAKY_RELU, (self,), (_number(slope),))

    def elu(self, alpha: float = 1.0) -> Value:
        """x where x > 0, else alpha·(e**x - 1)."""
        return apply(ELU, (self,), (_number(alpha),))

    def detach(self) -> Value:
        """The same number, through which no derivative passes."""
        return unary(STOP_GRADIENT, self)

    def maximum(self, other: Any) -> Value:
        """The larger of two; of equals, each has the derivative one half.

        (Python's max and np.maximum pick an operand by comparing, so that of equals one has all of it.)
        """
        return apply(MAXIMUM, (self, other))

    def minimum(self, other: Any) -> Value:
        """The smaller of two; of equals, each has the derivative one half. See :meth:`maximum`."""
        return apply(MINIMUM, (self, other))

    # NumPy calls these on each element of an object array: np.arcsin(a) calls v.arcsin()

    def arcsin(self) -> Value:
        """asin, by NumPy's name."""
        return unary(ASIN, self)

    def arccos(self) -> Value:
        """acos, by NumPy's name."""
        return unary(ACOS, self)

    def arctan(self) -> Value:
        """atan, by NumPy's name."""
        return unary(ATAN, self)

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
        with _walking:
            if create_graph:
                from autobp.propagation import accumulate_graphs

                accumulate_graphs(topological_order(self), gradient)
                return
            order = _in_order(self, False)
            for node in order:
                if node._operation is not None:
                    node._grad = 0.0
                if node._details is not None:
                    node._details.derivative = None
            self._grad += _number(gradient)
            _walk_back(order)

    def _propagate(self) -> None:
        details = self._details
        if details is not None and details.backward is not None:
            details.backward.apply(self)
            return
        if self._operation is FOLDED:
            _folded(self).pass_on(self._grad)
            return
        parents, partials = self.parents, self._local_derivatives()
        if len(parents) != len(partials):
            raise TypeError(
                f"{self!r} was made by hand and has no derivative: set its _backward, or give its local "
                "derivatives, Value(data, children, (partial, …))"
            )
        selects = self._operation is not None and self._operation.selects
        grad = self._grad
        for i in range(len(parents)):
            partial = partials[i]
            if partial != 0.0 or not selects:  # what was not selected gets 0, and not 0·∞
                parents[i]._grad += partial * grad


# The interpreter frees its own classes without deep recursion; only compiled ones need __del__ for that.
COMPILED: Final = not hasattr(Value.backward, "__code__")
if not COMPILED:
    del Value.__del__

# When compiled, __index__ alone is not among the type's slots; setting the attribute puts it there.
type.__setattr__(Value, "__index__", vars(Value)["__index__"])


class _Ancestors:
    """What a node is pickled and copied after: all that it depends on, as a list in topological order.

    So each node's parents are known before it, and no recursion goes from node to node.
    """

    def __init__(self, root: Value) -> None:
        self._root = root

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (), None, _AncestorsInOrder(self._root)


class _AncestorsInOrder:
    """Iterates over a node's ancestors; while it lives, they are pickled without ancestors of their own."""

    def __init__(self, root: Value) -> None:
        self._nodes = topological_order(root)
        self._next = 0
        self._before = getattr(_thread, "pickling", -1)
        _thread.pickling = root._mark  # which the walk has given to all of them

    def __iter__(self) -> _AncestorsInOrder:
        return self

    def __next__(self) -> Value:
        if self._next == len(self._nodes) - 1:  # the last is the root itself
            raise StopIteration
        self._next += 1
        return self._nodes[self._next - 1]

    def __del__(self) -> None:
        _thread.pickling = self._before


def _rebuild(
    ancestors: object,
    cls: type[Value],
    numbers_: tuple[float, float, tuple[float, ...], tuple[float, ...]],
    name: str,
    parents: tuple[Value, ...],
    symbol: str,
    label: str,
) -> Value:
    """The node that Value.__reduce_ex__ took apart."""
    data, grad, partials, constants = numbers_
    node: Value = cls.__new__(cls)
    Value.__init__(node, data, (), "", label)
    node._grad = grad
    if name != "":
        node._operation = BY_HAND if name == BY_HAND.name else lookup(name)
    if node._operation is BY_HAND or len(parents) > 2:
        node._details = Details(parents, partials, constants, symbol)
        return node
    if parents:
        node._parent = parents[0]
        node._partial = partials[0]
    if len(parents) == 2:
        node._parent2 = parents[1]
        node._partial2 = partials[1]
    if constants or symbol:
        node._details = Details((), (), constants, symbol)
    return node


def _is_number(x: object) -> bool:
    return isinstance(x, (float, int, numbers.Real))


def _number(data: Any) -> float:
    """data as a float; TypeError where it is no real number."""
    if isinstance(data, float):
        return float(data)
    if isinstance(data, (numbers.Real, np.bool_)):
        try:
            return float(data)
        except OverflowError:
            raise OverflowError(f"{data!s:.60} is too large for a float") from None
    if isinstance(data, Value):
        raise TypeError(f"{data!r} is a Value already; use it as it is, or its number, .data")
    hint = "" if isinstance(data, str) or not hasattr(data, "__len__") else "; make one Value of each element"
    kind = type(data).__name__
    shown = repr(data)
    raise TypeError(f"a Value holds one real number, an int or a float; got {shown:.80} ({kind}){hint}")


def set_data(value: Value, data: Any) -> None:
    """What ``value.data = data`` does. Compiled modules call this: mypyc (2.4) calls a setter as if it took
    what the getter gives, a C double here, and not any number.
    """
    if value._operation is not None:
        raise ValueError(
            f"cannot set the data of {value!r}: it is the result of an operation, and its gradients "
            "belong to the value it had; set the data of leaves and compute it anew"
        )
    if _shared.watchers:
        _announce_read(value, ".data = …")
    value._data = _number(data)


class _BackwardByHand:
    """A function that was set as _backward, whose closure holds the node only while it is called.

    A node that is held by its own _backward would never be freed by reference counting.
    """

    def __init__(self, function: Any, node: Value) -> None:
        self._function = function
        self._cell = CellType()
        if isinstance(function, FunctionType):
            cells = [self._cell if _holds(cell, node) else cell for cell in function.__closure__ or ()]
            code, scope, defaults = function.__code__, function.__globals__, function.__defaults__
            self._function = FunctionType(code, scope, function.__name__, defaults, tuple(cells))
            self._function.__kwdefaults__ = function.__kwdefaults__

    def apply(self, node: Value) -> None:
        self._cell.cell_contents = node
        try:
            self._function()
        finally:
            del self._cell.cell_contents


def _holds(cell: CellType, node: Value) -> bool:
    try:
        return cell.cell_contents is node
    except ValueError:  # the cell is empty
        return False


def _describe(value: Value) -> str:
    return f"Value {value.label} = {value._data!r}" if value.label else f"Value {value._data!r}"


def is_traced() -> bool:
    """Whether this thread's reads of data are watched, since its graphs will be run on other numbers."""
    return getattr(_thread, "on_read", None) is not None


def _announce_read(value: Value, what: str) -> None:
    on_read = getattr(_thread, "on_read", None)
    if on_read is not None:
        on_read(value, what)
        return
    for watch in list(_shared.elsewhere):
        watch(value, what)


def _compared(value: Value, other: Any, sign: str) -> float:
    """The number that value is compared with; both sides' data are read by that."""
    if _shared.watchers:
        _announce_read(value, sign)
    if isinstance(other, Value):
        if _shared.watchers:
            _announce_read(other, sign)
        return other._data
    if isinstance(other, numbers.Real):
        return float(other)
    raise TypeError(f"{_describe(value)} {sign} {other!r}: a Value is ordered among Values and numbers only")


def _node(
    data: float, op: Operation, parent: Value, parent2: Value | None, partial: float, partial2: float
) -> Value:
    node = Value(None, _UNFILLED)
    node._data = data
    node._grad = 0.0
    node._operation = op
    node._parent = parent
    node._parent2 = parent2
    node._partial = partial
    node._partial2 = partial2
    node._details = None
    node._mark = 0
    node.label = ""
    return node


def weighted_sum(start: Value | None, w: Operands, x: Operands) -> Value | None:
    """start + Σ w_i·x_i, as the operators would make it, from left to right; start may be None.

    It is recorded as one node, which becomes the operators' nodes where they are asked for, with the data and
    grads that those would have. backward() does not ask.

    Args:
        w, x: of the same length.
    """
    n = len(w.numbers)
    data = -0.0 if start is None else start._data  # adding to -0.0 changes nothing, not even a zero's sign
    for i in range(n):
        data += w.numbers[i] * x.numbers[i]
    if data - data != 0.0 or n == 0 or (n == 1 and start is None):
        return _by_operators(start, w.values, x.values)
    node = _node(data, FOLDED, w.values[0], None, 0.0, 0.0)
    node._parent = None
    node._details = WeightedSum(start, w, x)
    return node


def _by_operators(start: Value | None, w: list[Value], x: list[Value]) -> Value | None:
    total = start
    for w_i, x_i in zip(w, x, strict=True):
        product = binary(MULTIPLY, w_i, x_i)
        total = product if total is None else binary(ADD, total, product)
    return total


def _unfold(node: Value) -> None:
    """Put the operators' nodes in the place of a folded one, which becomes the last of them."""
    with _walking:
        if node._operation is not FOLDED:  # another thread was faster
            return
        folded = _folded(node)
        total = folded.start
        data = folded.start_data
        n = len(folded.w.numbers)
        for i in range(n):
            w_i = folded.w.numbers[i]
            x_i = folded.x.numbers[i]
            product = _node(w_i * x_i, MULTIPLY, folded.w.values[i], folded.x.values[i], x_i, w_i)
            product._grad = node._grad  # which additions have passed on as it is
            data += product._data
            if total is None:
                total = product
            elif i < n - 1:
                total = _node(data, ADD, total, product, 1.0, 1.0)
                total._grad = node._grad
            else:
                node._parent = total
                node._parent2 = product
                node._partial = 1.0
                node._partial2 = 1.0
        node._details = None
        node._operation = ADD


def _folded(node: Value) -> WeightedSum:
    details = node._details
    assert isinstance(details, WeightedSum)
    return details


def unary(op: Operation, x: Value) -> Value:
    """The node op(x)."""
    a = x._data
    try:
        y: float = op.value(FLOATS, a)
    except (ValueError, ArithmeticError) as error:
        y = _exceptional(op, (x,), (), error)
    if y - y != 0.0:
        _check(op, y, (x,), ())
    try:
        partial: float = op.partials(FLOATS, y, a)[0]
    except (ValueError, ArithmeticError):
        partial = differentiate(op, y, a)[0]
    return _node(y, op, x, None, partial, 0.0)


def binary(op: Operation, x: Value, y: Value) -> Value:
    """The node op(x, y)."""
    a = x._data
    b = y._data
    try:
        z: float = op.value(FLOATS, a, b)
    except (ValueError, ArithmeticError) as error:
        z = _exceptional(op, (x, y), (), error)
    if z - z != 0.0:
        _check(op, z, (x, y), ())
    try:
        partials = op.partials(FLOATS, z, a, b)
    except (ValueError, ArithmeticError):
        partials = differentiate(op, z, a, b)
    return _node(z, op, x, y, partials[0], partials[1])


def apply(op: Operation, operands: Iterable[Any], constants: tuple[float, ...] = ()) -> Value:
    """The node that an operation makes of any number of operands, Values or numbers.

    Raises:
        TypeError: an operand is no Value and no number, or there are too many or too few of them.
        ValueError, ZeroDivisionError, OverflowError: finite operands have no finite result.
    """
    parents = tuple([x if isinstance(x, Value) else Value(x) for x in operands])
    if op.arity is None:
        if not parents:
            raise TypeError(f"{op.name} needs at least one operand")
    elif op.arity != len(parents):
        raise TypeError(f"{op.name} takes {op.arity} operand{'s' * (op.arity != 1)}; got {len(parents)}")
    if len(constants) != len(op.constants):
        raise TypeError(f"{op.name} needs the constants {', '.join(op.constants)}; got {constants!r}")
    if not constants and len(parents) == 1:
        return unary(op, parents[0])
    if not constants and len(parents) == 2:
        return binary(op, parents[0], parents[1])
    numbers_ = [parent._data for parent in parents]
    numbers_.extend(constants)
    try:
        y: float = op.value(FLOATS, *numbers_)
    except (ValueError, ArithmeticError) as error:
        y = _exceptional(op, parents, constants, error)
    if y - y != 0.0:
        _check(op, y, parents, constants)
    try:
        partials = op.partials(FLOATS, y, *numbers_)
    except (ValueError, ArithmeticError):
        partials = differentiate(op, y, *numbers_)
    if len(parents) > 2:
        node = _node(y, op, parents[0], None, 0.0, 0.0)
        node._parent = None
        node._details = Details(parents, tuple([float(partial) for partial in partials]), constants)
        return node
    node = _node(y, op, parents[0], None, partials[0], 0.0)
    if len(parents) == 2:
        node._parent2 = parents[1]
        node._partial2 = partials[1]
    node._details = Details((), (), constants)
    return node


def call(op: Operation, arguments: tuple[Any, ...], named: dict[str, Any]) -> Value:
    """op(*operands, *constants) as a user calls it: constants by position, by name, or by default.

    Raises what :func:`apply` raises, and TypeError where an argument is unknown, missing or one too many.
    """
    n_operands = len(arguments) if op.arity is None else op.arity
    constants = list(arguments[n_operands:])
    if len(constants) > len(op.constants):
        wanted = n_operands + len(op.constants)
        raise TypeError(f"{op.name} takes {wanted} argument{'s' * (wanted != 1)}; got {len(arguments)}")
    for i in range(len(constants), len(op.constants)):
        if op.constants[i] in named:
            constants.append(named.pop(op.constants[i]))
        elif i < len(op.defaults):
            constants.append(op.defaults[i])
    if named:
        raise TypeError(f"{op.name} has no argument {next(iter(named))!r} or was given it twice")
    for name, constant in zip(op.constants, constants, strict=False):
        if isinstance(constant, Value):
            raise TypeError(f"{op.name}: {name} is part of the operation: a number, not {constant!r}")
    return apply(op, arguments[:n_operands], tuple([_number(constant) for constant in constants]))


def _exceptional(
    op: Operation, operands: tuple[Value, ...], constants: tuple[float, ...], error: Exception
) -> float:
    """The IEEE 754 value where floats raised; the error, explained, where it is one for the user."""
    y = evaluate(op, *[x._data for x in operands], *constants)
    if y - y != 0.0:
        _check(op, y, operands, constants, error)
    return y


def _check(
    op: Operation,
    y: float,
    operands: tuple[Value, ...],
    constants: tuple[float, ...],
    error: Exception | None = None,
) -> None:
    """Raise where finite operands gave a result that is not finite."""
    if getattr(_thread, "ieee", False) or is_traced():
        return
    for operand in operands:
        if not math.isfinite(operand._data):
            return
    shown = [f"{x.label} = {x._data!r}" if x.label else repr(x._data) for x in operands]
    shown.extend([f"{name} = {constant!r}" for name, constant in zip(op.constants, constants, strict=True)])
    call = f"{op.name}({', '.join(shown)})"
    needs = f": {op.name} needs {op.domain}" if op.domain else ""
    if isinstance(error, ZeroDivisionError):
        raise ZeroDivisionError(f"{call} divides by zero{needs}")
    if isinstance(error, ValueError):
        raise ValueError(f"{call} is not defined{needs}")
    raise OverflowError(f"{call} overflows: the result is too large for a float")


def topological_order(root: Value) -> list[Value]:
    """All nodes that root depends on, root included and last, every node after its parents."""
    return _in_order(root, True)


def _in_order(root: Value, unfold: bool) -> list[Value]:
    # A node is unseen, then open (its parents are on the stack above it), then done. With two states only, a
    # node met on two paths would be emitted before its own parents.
    with _walking:
        epoch = next(_epochs)
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
                if node._operation is FOLDED:
                    if unfold:
                        _unfold(node)
                    else:
                        _push_operands(_folded(node), stack, opened)
                        continue
                parent = node._parent
                if parent is not None:
                    if node._parent2 is not None and node._parent2._mark < opened:
                        stack.append(node._parent2)
                    if parent._mark < opened:
                        stack.append(parent)
                elif node._details is not None:
                    for parent in node._details.parents:
                        if parent._mark < opened:
                            stack.append(parent)
        return order


def _push_operands(folded: WeightedSum, stack: list[Value], opened: int) -> None:
    w, x = folded.w.values, folded.x.values
    for i in range(len(w) - 1, -1, -1):
        if x[i]._mark < opened:
            stack.append(x[i])
        if w[i]._mark < opened:
            stack.append(w[i])
    if folded.start is not None and folded.start._mark < opened:
        stack.append(folded.start)


def _walk_back(order: list[Value]) -> None:
    """The chain rule, from the last node of a topological order to the first: grads flow to the parents."""
    for i in range(len(order) - 1, -1, -1):
        node = order[i]
        parent = node._parent
        if parent is not None:
            grad = node._grad
            if grad - grad != 0.0:
                node._propagate()
                continue
            parent._grad += node._partial * grad
            parent = node._parent2
            if parent is not None:
                parent._grad += node._partial2 * grad
        elif node._details is not None:
            node._propagate()


def gradients(root: Value, wrt: list[Value]) -> list[float]:
    """∂root/∂x for each x of ``wrt``, as numbers. Every node's ``grad`` is left as it was."""
    with _walking:
        order = _in_order(root, False)
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
            _walk_back(order)
            return [x._grad if id(x) in known else 0.0 for x in wrt]
        finally:
            for i in range(len(order)):
                order[i]._grad = before[i]
            for details, derivative in derivatives:
                details.derivative = derivative

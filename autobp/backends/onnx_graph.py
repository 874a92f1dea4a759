"""The Array API over nodes of ONNX: what is computed with its arrays is written down, and not computed.

A text over ``xp`` (:mod:`~autobp.backends.array_api`) that runs on these arrays leaves the graph of a file.
Source of the operators: the ONNX operator specification, version 20 of the default domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np

#: The version of the operators: 20 is the first that has Gelu.
OPERATORS: Final = 20

#: Functions of the standard that are one operator, element by element.
_ELEMENTWISE: Final = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "round": "Round",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
}
_REDUCTIONS: Final = {"sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


class Rows:
    """A length that is known when the file is run: so many times the number of rows.

    Attributes:
        xp: where nodes are written.
        times: 1 for the number of rows itself.
    """

    def __init__(self, xp: OnnxNamespace, times: int = 1) -> None:
        self.xp, self.times = xp, times

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and other.times == self.times

    def __hash__(self) -> int:
        return hash(("rows", self.times))

    def __rtruediv__(self, other: float) -> OnnxArray:
        return self.xp.as_array(other) / self


def _infix(
    operator: str, *, turned: bool = False, dtype: Any = None
) -> Callable[[OnnxArray, Any], OnnxArray]:
    """A method for an operator between an array and what stands on its right; turned, on its left."""

    def method(self: OnnxArray, other: Any) -> OnnxArray:
        operands = (other, self) if turned else (self, other)
        return self.xp.elementwise(operator, *operands, dtype=dtype)

    return method


class OnnxArray:
    """The name of a result in a graph, with what is known of it.

    Attributes:
        xp: where nodes are written.
        name: of the result.
        shape: lengths; of the rows :class:`Rows`.
        dtype: NumPy's, of floats, int64 or bool.
    """

    __slots__ = ("dtype", "name", "shape", "xp")

    def __init__(self, xp: OnnxNamespace, name: str, shape: Sequence[Any], dtype: Any) -> None:
        self.xp, self.name, self.shape, self.dtype = xp, name, tuple(shape), np.dtype(dtype)

    __add__, __radd__ = _infix("Add"), _infix("Add", turned=True)
    __sub__, __rsub__ = _infix("Sub"), _infix("Sub", turned=True)
    __mul__, __rmul__ = _infix("Mul"), _infix("Mul", turned=True)
    __truediv__, __rtruediv__ = _infix("Div"), _infix("Div", turned=True)
    __and__ = _infix("And")
    __or__ = _infix("Or")
    __lt__ = _infix("Less", dtype=bool)
    __le__ = _infix("LessOrEqual", dtype=bool)
    __gt__ = _infix("Greater", dtype=bool)
    __ge__ = _infix("GreaterOrEqual", dtype=bool)
    __eq__ = _infix("Equal", dtype=bool)  # type: ignore[assignment]

    def __pow__(self, other: Any) -> OnnxArray:
        if isinstance(other, int) and other == 2:
            return self * self
        return self.xp.elementwise("Pow", self, other)

    def __rpow__(self, other: Any) -> OnnxArray:
        return self.xp.elementwise("Pow", other, self)

    def __neg__(self) -> OnnxArray:
        return self.xp.elementwise("Neg", self)

    def __ne__(self, other: Any) -> OnnxArray:  # type: ignore[override]
        return self.xp.elementwise("Not", self == other)

    __hash__ = None  # type: ignore[assignment]

    def __invert__(self) -> OnnxArray:
        return self.xp.elementwise("Not", self)

    def __bool__(self) -> bool:
        raise TypeError("this program asks for a number before it goes on, which ONNX's graphs cannot")

    def __matmul__(self, other: OnnxArray) -> OnnxArray:
        x, y = self.shape, other.shape
        lead = broadcast(x[:-2], y[:-2])
        shape = (*lead, *x[-2:-1], *(y[-1:] if len(y) > 1 else ()))
        return self.xp.node("MatMul", [self, other], shape, self.dtype)

    def __getitem__(self, index: Any) -> OnnxArray:
        entries = list(index) if isinstance(index, tuple) else [index]
        if not any(x is Ellipsis for x in entries):
            entries.append(Ellipsis)
        at = next(i for i, x in enumerate(entries) if x is Ellipsis)
        left = len(self.shape) - sum(x is not None and x is not Ellipsis for x in entries)
        entries[at : at + 1] = [slice(None)] * left
        return self.xp.sliced(self, entries)


def broadcast(*shapes: Sequence[Any]) -> tuple[Any, ...]:
    """The shape of arrays of some shapes together. Raises ValueError where they do not go together."""
    n = max(map(len, shapes), default=0)
    found = []
    for lengths in zip(*[(1,) * (n - len(shape)) + tuple(shape) for shape in shapes], strict=True):
        longer = [x for x in lengths if x != 1]
        if any(x != longer[0] for x in longer):
            raise ValueError(f"arrays of the shapes {shapes} do not go together")
        found.append(longer[0] if longer else 1)
    return tuple(found)


class OnnxNamespace:
    """Functions of the Array API standard that write nodes; what it has not, ONNX has no operator for.

    Attributes:
        dtype: of floats.
        nodes: what is written so far, as onnx's own objects.
    """

    int64: ClassVar = np.dtype(np.int64)

    def __init__(self, dtype: Any) -> None:
        import onnx

        self.onnx = onnx
        self.dtype = np.dtype(dtype)
        self.nodes: list[Any] = []
        self._constants: dict[str, np.ndarray[Any, Any]] = {}
        self._known: dict[Any, OnnxArray] = {}
        self._first: OnnxArray | None = None  # of the arguments, whose rows are counted

    def __getattr__(self, name: str) -> Any:
        if name in _ELEMENTWISE:
            return lambda x: self.elementwise(_ELEMENTWISE[name], x)
        if name in _REDUCTIONS:
            return lambda x, axis=None, keepdims=False: self._reduced(_REDUCTIONS[name], x, axis, keepdims)
        raise AttributeError(name)

    # -------------------------------------------------------------------------------------- nodes

    def argument(self, name: str, shape: Sequence[int]) -> OnnxArray:
        """An input of the file, of rows of a shape."""
        array = OnnxArray(self, name, (Rows(self), *shape), self.dtype)
        if self._first is None:
            self._first = array
        return array

    @cached_property
    def _rows(self) -> OnnxArray:
        """The number of rows, (1,)."""
        assert self._first is not None
        return self.node("Shape", [self._first], (1,), np.int64, start=0, end=1)

    @property
    def constants(self) -> list[Any]:
        """Those that nodes use, as onnx's own objects."""
        used = {name for node in self.nodes for name in node.input}
        return [
            self.onnx.numpy_helper.from_array(array, name)
            for name, array in self._constants.items()
            if name in used
        ]

    def node(
        self, operator: str, inputs: Sequence[OnnxArray], shape: Sequence[Any], dtype: Any, **attributes: Any
    ) -> OnnxArray:
        """The result of an operator."""
        name = f"_{len(self.nodes) + 1}"
        made = self.onnx.helper.make_node(operator, [x.name for x in inputs], [name], **attributes)
        self.nodes.append(made)
        return OnnxArray(self, name, shape, dtype)

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> OnnxArray:
        """A constant, which is written once."""
        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"_c{len(self._constants) + 1}"
            self._constants[name] = array
            self._known[key] = OnnxArray(self, name, array.shape, array.dtype)
        return self._known[key]

    def as_array(self, x: Any, dtype: Any = None) -> OnnxArray:
        """An array as it is, a number and a number of rows as an array."""
        if isinstance(x, OnnxArray):
            return x
        dtype = self.dtype if dtype is None else dtype
        if isinstance(x, Rows):
            scalar = self.reshape(self._rows, ())
            made = self.astype(scalar, dtype)
            return made if x.times == 1 else made * float(x.times)
        return self.asarray(x, dtype)

    def elementwise(self, operator: str, *operands: Any, dtype: Any = None) -> OnnxArray:
        """The result of an operator on each element; a number is of the dtype of the arrays beside it."""
        beside = next((x.dtype for x in operands if isinstance(x, OnnxArray) and x.dtype != bool), None)
        arrays = [self.as_array(x, beside) for x in operands]
        made = arrays[-1].dtype if dtype is None else dtype
        return self.node(operator, arrays, broadcast(*[x.shape for x in arrays]), made)

    def _lengths(self, shape: Sequence[Any]) -> OnnxArray:
        """A shape as an array, where rows are counted when the file is run."""
        if not any(isinstance(n, Rows) for n in shape):
            return self.asarray(np.array(shape, dtype=np.int64))
        parts = []
        for n in shape:
            if not isinstance(n, Rows):
                parts.append(self.asarray(np.array([n], dtype=np.int64)))
            elif n.times == 1:
                parts.append(self._rows)
            else:
                parts.append(self._rows * n.times)
        return self.node("Concat", parts, (len(shape),), np.int64, axis=0)

    # ---------------------------------------------------------------------------------- elements

    def where(self, condition: OnnxArray, x: Any, y: Any) -> OnnxArray:
        beside = next((z.dtype for z in (x, y) if isinstance(z, OnnxArray)), self.dtype)
        arrays = [condition, self.as_array(x, beside), self.as_array(y, beside)]
        return self.node("Where", arrays, broadcast(*[z.shape for z in arrays]), beside)

    def maximum(self, x: Any, y: Any) -> OnnxArray:
        return self.elementwise("Max", x, y)

    def minimum(self, x: Any, y: Any) -> OnnxArray:
        return self.elementwise("Min", x, y)

    def square(self, x: OnnxArray) -> OnnxArray:
        return x * x

    def expm1(self, x: OnnxArray) -> OnnxArray:
        """2t/(1 - t) with t = tanh(x/2), which loses nothing near 0; e^x - 1 elsewhere."""
        t = self.elementwise("Tanh", x * 0.5)
        return self.where(self.abs(x) < 0.5, 2.0 * t / (1.0 - t), self.exp(x) - 1.0)

    def log1p(self, x: OnnxArray) -> OnnxArray:
        """log(u)·x/(u - 1) with u = 1 + x rounded, which makes up for the rounding (Kahan)."""
        u = 1.0 + x
        made_up = self.log(u) * (x / self.where(u == 1.0, 1.0, u - 1.0))
        return self.where(u == 1.0, x, self.where(self.abs(x) < 0.5, made_up, self.log(u)))

    def log2(self, x: OnnxArray) -> OnnxArray:
        return self.elementwise("Log", x) / math.log(2.0)

    def log10(self, x: OnnxArray) -> OnnxArray:
        return self.elementwise("Log", x) / math.log(10.0)

    def logaddexp(self, x: Any, y: Any) -> OnnxArray:
        """The larger and log1p(e^-d), d what lies between; equal ones, infinite ones too, and log 2."""
        x, y = self.as_array(x), self.as_array(y)
        apart = self.maximum(x, y) + self.log1p(self.exp(-self.abs(x - y)))
        return self.where(x == y, x + math.log(2.0), apart)

    def astype(self, x: OnnxArray, dtype: Any) -> OnnxArray:
        to = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [x], x.shape, dtype, to=to)

    def zeros_like(self, x: OnnxArray) -> OnnxArray:
        return self.broadcast_to(self.asarray(0, x.dtype), x.shape)

    def arange(self, n: int) -> OnnxArray:
        return self.asarray(np.arange(n, dtype=np.int64))

    # ------------------------------------------------------------------------------- arrangement

    def reshape(self, x: OnnxArray, shape: Sequence[Any]) -> OnnxArray:
        """The elements in another shape, of which one length may be -1."""
        if -1 in shape:
            rows = math.prod([n.times if isinstance(n, Rows) else n for n in x.shape])
            known = math.prod([n.times if isinstance(n, Rows) else n for n in shape if n != -1])
            varies = any(isinstance(n, Rows) for n in x.shape) and not any(isinstance(n, Rows) for n in shape)
            left = Rows(self, rows // known) if varies else rows // known
            shape = [left if n == -1 else n for n in shape]
        if tuple(shape) == x.shape:
            return x
        lengths = [-1 if isinstance(n, Rows) else n for n in shape]
        return self.node("Reshape", [x, self.asarray(np.array(lengths, dtype=np.int64))], shape, x.dtype)

    def broadcast_to(self, x: OnnxArray, shape: Sequence[Any]) -> OnnxArray:
        if tuple(shape) == x.shape:
            return x
        return self.node("Expand", [x, self._lengths(shape)], shape, x.dtype)

    def broadcast_arrays(self, *arrays: OnnxArray) -> list[OnnxArray]:
        shape = broadcast(*[x.shape for x in arrays])
        return [self.broadcast_to(x, shape) for x in arrays]

    def permute_dims(self, x: OnnxArray, order: Sequence[int]) -> OnnxArray:
        return self.node("Transpose", [x], [x.shape[i] for i in order], x.dtype, perm=list(order))

    def moveaxis(self, x: OnnxArray, source: int, to: int) -> OnnxArray:
        order = list(range(len(x.shape)))
        order.insert(to % len(order), order.pop(source % len(order)))
        return self.permute_dims(x, order)

    def matrix_transpose(self, x: OnnxArray) -> OnnxArray:
        return self.moveaxis(x, -1, -2)

    def concat(self, arrays: Sequence[OnnxArray], axis: int = 0) -> OnnxArray:
        first = arrays[0]
        lead = broadcast(*[x.shape[:-1] for x in arrays]) if axis in (-1, len(first.shape) - 1) else None
        assert lead is not None, "texts join along the last axis"
        shape = (*lead, sum([x.shape[-1] for x in arrays]))
        return self.node("Concat", arrays, shape, first.dtype, axis=len(shape) - 1)

    def stack(self, arrays: Sequence[OnnxArray], axis: int = 0) -> OnnxArray:
        shape = list(arrays[0].shape)
        axis %= len(shape) + 1
        places = self.asarray(np.array([axis], dtype=np.int64))
        shape.insert(axis, 1)
        thick = [self.node("Unsqueeze", [x, places], shape, x.dtype) for x in arrays]
        shape[axis] = len(arrays)
        return self.node("Concat", thick, shape, arrays[0].dtype, axis=axis)

    def take(self, x: OnnxArray, positions: OnnxArray, axis: int) -> OnnxArray:
        axis %= len(x.shape)
        shape = (*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :])
        return self.node("Gather", [x, positions], shape, x.dtype, axis=axis)

    def take_along_axis(self, x: OnnxArray, index: OnnxArray, axis: int) -> OnnxArray:
        return self.node("GatherElements", [x, index], index.shape, x.dtype, axis=axis % len(x.shape))

    def sliced(self, x: OnnxArray, entries: Sequence[Any]) -> OnnxArray:
        """x[entries], of slices, whole numbers and None: one entry for each axis, beside None."""
        cuts: list[tuple[int, range]] = []
        dropped: list[int] = []
        added: list[int] = []
        shape: list[Any] = []
        axis = 0
        for entry in entries:
            if entry is None:
                added.append(len(shape))
                shape.append(1)
                continue
            n = x.shape[axis]
            if entry != slice(None):
                if isinstance(n, Rows):
                    raise TypeError("this program takes rows by number, which is not written for ONNX")
                single = not isinstance(entry, slice)
                cut = range(n)[entry] if not single else range(entry % n, entry % n + 1)
                cuts.append((axis, cut))
                dropped += [axis] if single else []
                n = len(cut)
            if axis not in dropped:
                shape.append(n)
            axis += 1
        return self._rearranged(self._cut(x, cuts), dropped, added, shape)

    def _cut(self, x: OnnxArray, cuts: Sequence[tuple[int, range]]) -> OnnxArray:
        if not cuts:
            return x
        shape = list(x.shape)
        for axis, cut in cuts:
            shape[axis] = len(cut)
        # a stop before the first element is no number of an axis that counts from its end
        stops = [cut.stop if cut.stop >= 0 else -(2**62) for _, cut in cuts]
        lists = [[c.start for _, c in cuts], stops, [axis for axis, _ in cuts], [c.step for _, c in cuts]]
        numbers = [self.asarray(np.array(v, dtype=np.int64)) for v in lists]
        return self.node("Slice", [x, *numbers], shape, x.dtype)

    def _rearranged(
        self, x: OnnxArray, dropped: Sequence[int], added: Sequence[int], shape: Sequence[Any]
    ) -> OnnxArray:
        if dropped:
            left = [n for i, n in enumerate(x.shape) if i not in dropped]
            x = self.node("Squeeze", [x, self.asarray(np.array(dropped, dtype=np.int64))], left, x.dtype)
        if added:
            x = self.node("Unsqueeze", [x, self.asarray(np.array(added, dtype=np.int64))], shape, x.dtype)
        return x

    def _reduced(self, operator: str, x: OnnxArray, axis: Any, keepdims: bool) -> OnnxArray:
        n = len(x.shape)
        given = range(n) if axis is None else (axis,) if isinstance(axis, int) else axis
        axes = sorted({a % n for a in given})
        if not axes:
            return x
        shape = [1 if i in axes else length for i, length in enumerate(x.shape) if keepdims or i not in axes]
        inputs = [x, self.asarray(np.array(axes, dtype=np.int64))]
        return self.node(operator, inputs, shape, x.dtype, keepdims=int(keepdims))

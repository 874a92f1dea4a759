"""Write a program for speed: the same statements, with results written into buffers that are used again.

Each array that is computed gets a buffer, one that an array no longer needed has left where there is one, so
that bias and activation happen in place. What a gradient is made of is written straight into it. A weight
and the bias beside it in theta are one matrix, [W b]: where the activations that it multiplies have a column
of ones, [a 1], one product does for both, forward and backward. The functions take one more argument,
``work``: the arrays that :class:`Work` lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autobp.backends.moves import TURNED, factors, view_moves
from autobp.backends.numpy_text import NumpyText
from autobp.backends.printer import Text, expression_of
from autobp.backends.source_module import SourceModule, number, wrap
from autobp.compiler.expression import (
    COMPARISONS,
    UFUNCS,
    Expression,
    rule_of,
)
from autobp.compiler.ir import (
    Array,
    Assemble,
    Constant,
    Elementwise,
    Fill,
    Floats,
    Input,
    Map,
    MatMul,
    Product,
    Program,
    Reduce,
    Reshape,
    RowDot,
    Sum,
    SumTo,
    Theta,
    Total,
    View,
)
from autobp.compiler.layout import slicing
from autobp.ops import lookup

#: Whether there are samples, and the shape of one.
Key = tuple[bool, tuple[int, ...]]

_ATOM = 5
_BINARY = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "power": "power"}
_UNARY = {"neg": "negative", "square": "square", **UFUNCS}
_ALIASES = (View, Reshape, Fill)


class _Held:
    """A value while an expression is computed: its text, its kind, its buffer, and how often it is needed."""

    def __init__(self, text: str, key: Key | None, buffer: int | None, boolean: bool = False) -> None:
        self.text = text
        self.key = key
        self.buffer = buffer
        self.boolean = boolean
        self.left = 0

    def as_float(self) -> _Held:
        """1 and 0 for true and false."""
        text = f"float({self.text})" if self.key is None else f"{self.text}.astype(float)"
        return _Held(text, self.key, None)


@dataclass(frozen=True)
class _Affine:
    """z = W a + b as one product: the rows a, the views of W and b in theta, and of both as [W b]."""

    rows: Array
    weight: View
    bias: View
    both: View


class Work(NamedTuple):
    """The arrays that a function needs beside its arguments.

    Attributes:
        buffers: their kinds.
        extended: the kinds of buffers that have a last column of ones, this column included.
        ones: the lengths of vectors of ones; None for the number of samples.
    """

    buffers: list[Key]
    extended: list[Key]
    ones: list[int | None]

    def names(self) -> list[str]:
        """What the arrays are called: an extended buffer is A without the ones and E with them."""
        extended = [name for i in range(len(self.extended)) for name in (f"A{i}", f"E{i}")]
        return [*[f"B{i}" for i in range(len(self.buffers))], *extended, *map(_name_of_ones, self.ones)]

    def allocate(self, m: int) -> list[Floats]:
        """The arrays for m samples, in the order of their names."""
        made = [np.empty((m, *shape) if batched else shape) for batched, shape in self.buffers]
        for batched, shape in self.extended:
            whole = np.ones((m, *shape) if batched else shape)
            made += [whole[..., :-1], whole]
        return made + [np.ones(m if n is None else n) for n in self.ones]


def _name_of_ones(n: int | None) -> str:
    return "ones" if n is None else f"ones{n}"


class FastWriter(NumpyText):
    """Writes one function with buffers; ``work`` tells which."""

    def __init__(self, module: SourceModule, program: Program) -> None:
        self.work = Work([], [], [])
        self.free: dict[Key, list[int]] = {}
        self.owner: dict[int, int] = {}  # the buffer of an array, by its id
        self.holder: dict[int, int] = {}  # and the array that a buffer was last given to
        self.root: dict[int, Array] = {}
        self.last: dict[int, int] = {}
        self.direct: dict[int, tuple[Assemble, View | None]] = {}
        self.started: dict[int, str] = {}
        self.count = 0
        self.affine: dict[int, _Affine] = {}  # by the id of z
        self.joint: dict[int, _Affine] = {}  # by the id of dW
        self.extended: dict[int, str] = {}  # what has a column of ones, by id: its name with that column
        self.skipped: set[int] = set()  # the ids of what another statement gives as well
        super().__init__(module, program)
        self.lines: list[str] = []  # type: ignore[assignment]
        self.order, self.results = program.arrays, program.results
        self.write_all()

    def text_of(self, array: Array) -> Text:
        text = self.method(array)(array)
        assert text is not None
        return text

    # ----------------------------------------------------------------------------------------- planning

    def plan(self) -> None:
        """Find when each buffer is needed last, and what is written straight into its place."""
        for index, array in enumerate(self.order):
            same = _same_memory(array)
            self.root[id(array)] = array if same is None else self.root[id(same)]
            until = len(self.order) if isinstance(array, Total) else index
            for x in array.operands:
                root = id(self.root[id(x)])
                self.last[root] = max(until, self.last.get(root, 0))
        for result in self.results:
            self.last[id(self.root[id(result)])] = len(self.order)
        for array in self.order:
            if not isinstance(array, Assemble):
                continue
            for piece, place, added in zip(array.operands, array.places, array.added, strict=True):
                if added or self.uses.get(piece) != 1 or _same_memory(piece) is not None:
                    continue
                if piece.batched != array.batched or not isinstance(
                    piece, Map | Sum | Elementwise | MatMul | Product | SumTo
                ):
                    continue
                if place is None and piece.shape == array.shape:
                    self.direct[id(piece)] = array, None
                elif isinstance(place, View) and piece.shape == place.shape:
                    self.direct[id(piece)] = array, place
        self.find_affine()

    def find_affine(self) -> None:
        """Find what [W b] and [a 1] give in one product."""
        for array in self.order:
            affine = self.affine_of(array)
            if affine is not None:
                self.affine[id(array)] = affine
                self.extend(affine.rows)
                self.skipped |= {id(x) for x in array.operands if isinstance(x, MatMul)}
        for array in self.order:
            if isinstance(array, Assemble):
                self.join(array)

    def affine_of(self, array: Array) -> _Affine | None:
        """W a + b, where W and b lie side by side in theta and a can have a column of ones."""
        if not isinstance(array, Sum) or array.signs != (1.0, 1.0):
            return None
        for product, bias in (array.operands, array.operands[::-1]):
            if not isinstance(product, MatMul) or not isinstance(bias, View):
                continue
            rows, weight = product.operands
            if not isinstance(weight, View) or self.uses[product] > 1 or product.shape != array.shape:
                continue
            if not (isinstance(weight.operands[0], Theta) and isinstance(bias.operands[0], Theta)):
                continue
            if len(weight.shape) != 2 or len(rows.shape) + rows.batched != 2:
                continue
            o, k = weight.shape
            step = weight.strides[0] if o > 1 else k + 1
            beside = bias.base == weight.base + k and bias.shape == (o,) and step > k
            if not beside or (k > 1 and weight.strides[1] != 1) or (o > 1 and bias.strides[0] != step):
                continue
            both = View(weight.operands[0], weight.base, (o, k + 1), (step, 1))
            if slicing(both.operands[0].size, both.base, both.shape, both.strides) is None:
                continue
            computed = isinstance(rows, Map | Sum | Elementwise) and _same_memory(rows) is None
            if (computed and id(rows) not in self.direct) or isinstance(rows, Constant):
                return _Affine(rows, weight, bias, both)
        return None

    def extend(self, rows: Array) -> None:
        """Have the rows with a column of ones."""
        if id(rows) in self.extended:
            return
        if isinstance(rows, Constant):
            ones = np.ones((len(rows.values), 1))
            self.extended[id(rows)] = self.module.constant(np.hstack([rows.values, ones]), "C")
        else:
            self.extended[id(rows)] = f"E{len(self.work.extended)}"
            self.work.extended.append((rows.batched, (*rows.shape[:-1], rows.shape[-1] + 1)))

    def join(self, assembly: Assemble) -> None:
        """Find dW and db that are parts of one product."""
        parts = {
            (place.base, place.shape, place.strides): piece
            for piece, place in zip(assembly.operands, assembly.places, strict=True)
            if id(piece) in self.direct and isinstance(place, View)
        }
        for affine in self.affine.values():
            dW, db = (parts.get((x.base, x.shape, x.strides)) for x in (affine.weight, affine.bias))
            if not isinstance(dW, Product) or not isinstance(db, SumTo) or dW.spec != "columns":
                continue
            delta, rows = dW.operands
            over_rows = db.samples and not db.axes if delta.batched else db.axes == (0,)
            if rows is affine.rows and db.operands[0] is delta and over_rows:
                self.joint[id(dW)] = affine
                self.skipped.add(id(db))

    def write_all(self) -> None:
        self.plan()
        for index, array in enumerate(self.order):
            self.index = index
            self.write(array)
            for x in array.operands:
                self.release(self.root[id(x)])

    def release(self, root: Array) -> None:
        """Give an array's buffer back after its last use."""
        if self.last.get(id(root)) == self.index and id(root) in self.owner:
            buffer = self.owner.pop(id(root))
            self.free.setdefault(self.work.buffers[buffer], []).append(buffer)

    def own(self, array: Array, buffer: int) -> None:
        """Note whose numbers a buffer holds."""
        self.owner[id(array)] = buffer
        self.holder[buffer] = id(array)

    def take(self, key: Key) -> int:
        """A buffer of a kind."""
        free = self.free.get(key)
        if free:
            return free.pop()
        self.work.buffers.append(key)
        return len(self.work.buffers) - 1

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    # ------------------------------------------------------------------------------------------ writing

    def write(self, array: Array) -> None:
        if id(array) in self.skipped:
            return
        if id(array) in self.affine:
            rows, both = self.affine[id(array)].rows, self.affine[id(array)].both
            matrix = self.module.moved("theta", (*_moves(both), TURNED))
            self.multiply_into(self.extended[id(rows)], matrix, array, [both])
        elif isinstance(array, Theta | Input | Constant | Total):
            super().write(array)
        elif isinstance(array, Assemble):
            self.write_assembly(array)
        elif _same_memory(array) is not None:
            text = self.text_of(array)
            if self.uses.get(array, 0) > 1:
                name = self.fresh()
                self.lines.append(f"{name} = {text[0]}")
                text = Text(name, _ATOM)
            self.texts[array] = text
        elif isinstance(array, Map | Sum | Elementwise):
            self.compute(array, expression_of(array))
        elif isinstance(array, MatMul | Product):
            self.multiply(array)
        elif isinstance(array, SumTo):
            self.add_up(array)
        elif isinstance(array, Reduce) and array.ufunc == "add":
            dest = self.destination(array)
            keep = ", True" if len(array.operands[0].shape) == 1 else ""
            self.lines.append(f"np.add.reduce({self.of(array.operands[0], 0)}, -1, None, {dest}{keep})")
        elif isinstance(array, RowDot):
            x, y = array.operands
            key = x.batched or y.batched, np.broadcast_shapes(x.shape, y.shape)
            buffer = self.take(key)
            dest = self.destination(array)
            keep = ", True" if len(key[1]) == 1 else ""
            self.lines.append(f"np.multiply({self.of(x, 0)}, {self.of(y, 0)}, B{buffer})")
            self.lines.append(f"np.add.reduce(B{buffer}, -1, None, {dest}{keep})")
            self.free.setdefault(key, []).append(buffer)
        else:
            name = self.fresh()
            self.lines.append(f"{name} = {self.text_of(array)[0]}")
            self.texts[array] = Text(name, _ATOM)

    def destination(self, array: Array) -> str:
        """Where an array is to be written: its place in an assembly, or a buffer."""
        if id(array) in self.extended:
            text = f"A{self.extended[id(array)][1:]}"
            self.texts[array] = Text(text, _ATOM)
            return text
        if id(array) in self.direct:
            assembly, place = self.direct[id(array)]
            place = self.joint[id(array)].both if id(array) in self.joint else place
            name = self.start(assembly)
            text = name if place is None else self.placed_view(assembly, place)
            if place is not None and text != name:
                view = self.fresh()
                self.lines.append(f"{view} = {text}")
                text = view
            self.texts[array] = Text(text, _ATOM)
            return text
        buffer = self.take((array.batched, array.shape))
        self.own(array, buffer)
        self.texts[array] = Text(f"B{buffer}", _ATOM)
        return f"B{buffer}"

    def placed_view(self, assembly: Assemble, place: View) -> str:
        moves = view_moves(assembly.size, place.base, place.shape, place.strides, assembly.batched)
        return self.module.moved(self.flat_name(assembly), moves)

    def flat_name(self, assembly: Assemble) -> str:
        name = self.started[id(assembly)]
        if len(assembly.shape) == 1:
            return name
        return f"{name}.reshape(m, -1)" if assembly.batched else f"{name}.reshape(-1)"

    def start(self, assembly: Assemble) -> str:
        """Have the memory of an assembly."""
        if id(assembly) not in self.started:
            if assembly in self.results:
                name = "gradient"
                maker = "zeros" if assembly.zeros else "empty"
                self.lines.append(f"{name} = np.{maker}({assembly.size})")
            else:
                buffer = self.take((assembly.batched, assembly.shape))
                self.own(assembly, buffer)
                name = f"B{buffer}"
                if assembly.zeros:
                    self.lines.append(f"{name}.fill(0.0)")
            self.started[id(assembly)] = name
            self.texts[assembly] = Text(name, _ATOM)
        return self.started[id(assembly)]

    def write_assembly(self, array: Assemble) -> None:
        name = self.start(array)
        for piece, place, added in zip(array.operands, array.places, array.added, strict=True):
            if id(piece) in self.direct:
                continue
            sign = "+=" if added else "="
            value = self.of(piece, 0)
            if place is None:
                self.lines.append(f"np.add({name}, {value}, {name})" if added else f"{name}[...] = {value}")
            elif isinstance(place, View):
                text = self.placed_view(array, place)
                if added:  # into a name first: an indexed += would look the part up twice
                    part = self.fresh()
                    self.lines += [f"{part} = {text}", f"np.add({part}, {value}, {part})"]
                else:
                    text = text if text.endswith("]") else f"{text}[...]"
                    self.lines.append(f"{text} = {value}")
            else:
                where = self.module.constant(place.positions.reshape(-1).astype(np.intp), "I")
                if len(place.shape) > 1 and piece.shape:
                    value = f"{self.of(piece)}.reshape({'m, ' if piece.batched else ''}-1)"
                self.lines.append(f"{self.flat_name(array)}[..., {where}] {sign} {value}")

    def multiply(self, array: MatMul | Product) -> None:
        if id(array) in self.joint:
            delta, rows = array.operands
            self.multiply_into(f"{self.of(delta)}.T", self.extended[id(rows)], array, [delta])
            return
        of = factors(array)
        left = self.moved(of.left, of.left_moves, 2)
        right = self.moved(of.right, of.right_moves) if of.matrices else ""
        after = self.module.moved("", of.after)
        if right and not after:
            self.multiply_into(left, right, array, array.operands)
        elif right and after.startswith(".reshape") and not self.placed(array):
            dest = self.destination(array)
            self.lines.append(f"np.matmul({left}, {right}, {dest}.reshape(-1, {array.shape[-1]}))")
        else:
            self.assign_fresh(array, super().product(array)[0])

    def multiply_into(self, left: str, right: str, array: Array, factors: Sequence[Array]) -> None:
        """A product of matrices into its destination."""
        dest = self.destination(array)
        flat = all(len(x.shape) + x.batched == 2 for x in (array, *factors))
        # dot is called faster; what has gaps it would copy, where matmul need not
        whole = flat and self.without_gaps(array) and all(map(self.without_gaps, factors))
        self.lines.append(f"np.{'dot' if whole else 'matmul'}({left}, {right}, {dest})")

    def without_gaps(self, array: Array) -> bool:
        """Whether an array's elements follow one another in memory, as far as can be told."""
        if id(array) in self.extended:
            return False
        view: Array | None = array
        if id(array) in self.direct:
            view = self.joint[id(array)].both if id(array) in self.joint else self.direct[id(array)][1]
        if not isinstance(view, View):
            return True
        after = [math.prod(view.shape[i + 1 :]) for i in range(len(view.shape))]
        dense = all(n == 1 or s == a for n, s, a in zip(view.shape, view.strides, after, strict=True))
        return dense and not view.batched

    def placed(self, array: Array) -> bool:
        """Whether it has a place of its own to be written to."""
        return id(array) in self.direct or id(array) in self.extended

    def assign_fresh(self, array: Array, text: str) -> None:
        if self.placed(array):
            dest = self.destination(array)
            self.lines.append(f"{dest}[...] = {text}")
        else:
            name = self.fresh()
            self.lines.append(f"{name} = {text}")
            self.texts[array] = Text(name, _ATOM)

    def add_up(self, array: SumTo) -> None:
        (source,) = array.operands
        left = [n for i, n in enumerate(source.shape) if i not in array.axes]
        if left != list(array.shape):
            self.assign_fresh(array, self.text_of(array)[0])
            return
        shift = 1 if source.batched else 0
        axes = (*([0] if array.samples else []), *[axis + shift for axis in array.axes])
        text = self.of(source, 0)
        dest = self.destination(array)
        rank = len(source.shape) + source.batched
        if rank == 2 and axes == (0,):
            # a product with ones adds up the rows faster than a reduction does
            n = None if source.batched else source.shape[0]
            if n not in self.work.ones:
                self.work.ones.append(n)
            function = "dot" if self.without_gaps(array) else "matmul"
            self.lines.append(f"np.{function}({_name_of_ones(n)}, {text}, {dest})")
            return
        self.lines.append(f"np.add.reduce({text}, {axes[0] if len(axes) == 1 else axes}, None, {dest})")

    # -------------------------------------------------------------------------------------- expressions

    def compute(self, array: Map | Sum | Elementwise, expression: Any) -> None:
        """Write an expression as one call for each operation, in place where that is possible."""
        expression = inline(expression)
        if not isinstance(expression, Expression) or expression.name in ("number", "slot"):
            self.assign_fresh(array, self.text_of(array)[0])
            return
        order: list[Expression] = []
        counts: dict[Any, int] = {}
        _visit(expression, counts, order)
        held: dict[Any, _Held] = {}
        for i, x in enumerate(array.operands):
            if ("slot", i) in counts:
                single = isinstance(x, Constant) and x.size == 1
                text = number(float(x.values.flat[0])) if isinstance(x, Constant) and single else self.of(x)
                dying = self.last.get(id(x)) == self.index and id(x) in self.owner and self.root[id(x)] is x
                twice = sum(self.root[id(other)] is x for other in array.operands) > 1
                buffer = self.owner[id(x)] if dying and not twice else None
                key = None if single else (x.batched, x.shape)
                held["slot", i] = _Held(text, key, buffer)
                held["slot", i].left = counts["slot", i]
        borrowed = {h.buffer: key for key, h in held.items() if h.buffer is not None}
        for node in order:
            final = node is expression
            made = self.apply(node, held, array if final else None, borrowed)
            made.left = counts[id(node)]
            held[id(node)] = made
        result = held[id(expression)]
        if result.boolean:
            result = result.as_float()
        if result.key is None and array.shape:  # of numbers only
            result = _Held(f"np.full(({self.sizes(array)},), {result.text})", None, None)
        if self.placed(array):
            if result.text != self.texts.get(array, ("", 0))[0]:
                dest = self.destination(array)
                self.lines.append(f"{dest}[...] = {result.text}")
        elif result.buffer is not None:
            self.own(array, result.buffer)
            self.texts[array] = Text(f"B{result.buffer}", _ATOM)
        else:
            name = self.fresh()
            self.lines.append(f"{name} = {result.text}")
            self.texts[array] = Text(name, _ATOM)

    def apply(
        self, node: Expression, held: dict[Any, _Held], final: Array | None, borrowed: dict[int, Any]
    ) -> _Held:
        """Compute one operation of an expression."""
        name = node.name
        named = {"op": 1, "foreign partial": 2}.get(name, 0)  # what comes before the operands
        arguments = [_operand(x, held) for x in node.arguments[named:]]
        kinds = [h.key for h in arguments if h.key is not None]
        key: Key | None = None
        if kinds:
            key = any(batched for batched, _ in kinds), np.broadcast_shapes(*[shape for _, shape in kinds])
        test = name == "where" and arguments[0].boolean
        for i, h in enumerate(arguments):
            keeps = (test and i == 0) or (name == "*" and not arguments[1 - i].boolean)
            if h.boolean and not keeps:
                arguments[i] = h.as_float()
        texts = [h.text for h in arguments]
        used = [held[_key(x)] for x in node.arguments if isinstance(x, Expression) and _key(x) in held]
        for h in used:
            h.left -= 1
        plain = self.plain(node, texts, test)
        ufunc = _BINARY.get(name) or _UNARY.get(name)
        if name in COMPARISONS:
            variable = self.fresh()
            self.lines.append(f"{variable} = {plain}")
            made = _Held(variable, key, None, True)
        elif key is None or ufunc is None or (not key[0] and key[1] in ((), (1,))):
            if key is None and name != "op":
                made = _Held(f"({plain})", None, None)
            else:
                variable = self.fresh()
                self.lines.append(f"{variable} = {plain}")
                made = _Held(variable, key, None)
        elif final is not None and self.placed(final) and (final.batched, final.shape) == key:
            dest = self.destination(final)
            self.lines.append(_call(ufunc, texts, dest))
            made = _Held(dest, key, None)
        else:
            reused = next((h for h in used if h.buffer is not None and h.key == key and h.left == 0), None)
            if reused is not None:
                buffer = reused.buffer
                reused.buffer = None
                assert buffer is not None
                self.disown(buffer, borrowed)
            else:
                buffer = self.take(key)
            self.lines.append(_call(ufunc, texts, f"B{buffer}"))
            made = _Held(f"B{buffer}", key, buffer)
        for h in used:
            if h.left == 0 and h.buffer is not None and h.buffer not in borrowed:
                self.free.setdefault(self.work.buffers[h.buffer], []).append(h.buffer)
                h.buffer = None
        return made

    def disown(self, buffer: int, borrowed: dict[int, Any]) -> None:
        """Take a buffer over from the operand that held it."""
        if buffer in borrowed:
            del borrowed[buffer]
            self.owner.pop(self.holder[buffer], None)

    def plain(self, node: Expression, texts: list[str], test: bool) -> str:
        name = node.name
        if name in COMPARISONS:
            return f"{texts[0]} {COMPARISONS[name]} {texts[1]}"
        if name in ("+", "-", "*", "/"):
            return f"{texts[0]} {name} {texts[1]}"
        if name == "power":
            return f"{texts[0]}**{texts[1]}"
        if name == "where":
            condition = texts[0] if test else f"{texts[0]} != 0.0"
            return f"np.where({condition}, {texts[1]}, {texts[2]})"
        if name == "op":
            return f"{self.module.operation(node.arguments[0], len(texts))}({', '.join(texts)})"
        if name == "foreign partial":
            function = self.module.foreign_partial(node.arguments[0], node.arguments[1])
            return f"{function}({', '.join(texts)})"
        if name == "choose":
            return f"{self.module.helper('pick')}({', '.join(texts)})"
        return f"np.{_UNARY[name]}({', '.join(texts)})"

    def cost_text(self, array: Total) -> str:
        """The mean cost, by dot products and one reduction a term."""
        text = ""
        for term in array.terms:
            x = self.of(term.x)
            if term.x.shape == (1,) and not term.x.batched and term.y is None:
                summed = f"{x}[0]"
            elif term.y is None:
                summed = f"np.add.reduce({x}, None)"
            else:
                summed = f"np.dot({x}.ravel(), {self.of(term.y)}.ravel())"
            scaled = f"{number(term.coefficient)} * {summed}" if term.coefficient != 1.0 else summed
            for _ in range(abs(term.samples)):
                scaled += " / m" if term.samples < 0 else " * m"
            text += f" + {scaled}" if text else scaled
        return text


def _same_memory(array: Array) -> Array | None:
    """The array whose memory this one is a view of, or None."""
    if isinstance(array, _ALIASES):
        return array.operands[0]
    if isinstance(array, Map | Sum | Elementwise):
        expression = expression_of(array)
        if expression.name == "slot":
            which: int = expression.arguments[0]
            return array.operands[which]
    return None


def inline(expression: Any) -> Any:
    """The expression with operations of the table replaced by their rules, where these can be written out."""
    if not isinstance(expression, Expression) or expression.name == "slot":
        return expression
    if expression.name == "foreign partial":
        return expression
    if expression.name == "op":
        op = lookup(expression.arguments[0])
        operands = [inline(x) for x in expression.arguments[1:]]
        if op.name in ("take", "erf", "erfc"):
            return Expression("op", op.name, *operands)
        n_constants = len(op.constants)
        rule = rule_of(op, len(operands) - n_constants, n_constants)
        if not isinstance(rule, Expression):
            return Expression("op", op.name, *operands)
        return inline(_shared_substitute(rule, dict(enumerate(operands)), {}))
    arguments = [inline(x) for x in expression.arguments]
    if all(a is b for a, b in zip(arguments, expression.arguments, strict=True)):
        return expression
    return Expression(expression.name, *arguments)


def _shared_substitute(expression: Any, values: dict[int, Any], done: dict[int, Any]) -> Any:
    """:func:`substitute`, with what is shared in the expression still shared after it."""
    if not isinstance(expression, Expression):
        return expression
    if expression.name == "slot":
        return values[expression.arguments[0]]
    if id(expression) not in done:
        arguments = [_shared_substitute(x, values, done) for x in expression.arguments]
        done[id(expression)] = Expression(expression.name, *arguments)
    return done[id(expression)]


def _key(expression: Expression) -> Any:
    return ("slot", expression.arguments[0]) if expression.name == "slot" else id(expression)


def _operand(x: Any, held: dict[Any, _Held]) -> _Held:
    if not isinstance(x, Expression):
        return _Held(wrap((number(x), _ATOM if x >= 0 else 3), _ATOM), None, None)
    if x.name == "m":
        return _Held("m", None, None)
    return held[_key(x)]


def _visit(expression: Any, counts: dict[Any, int], order: list[Expression]) -> None:
    if not isinstance(expression, Expression) or expression.name == "m":
        return
    key = _key(expression)
    counts[key] = counts.get(key, 0) + 1
    if counts[key] == 1 and expression.name != "slot":
        for argument in expression.arguments:
            _visit(argument, counts, order)
        order.append(expression)


def _moves(view: View) -> Any:
    return view_moves(view.source.size, view.base, view.shape, view.strides, view.batched)


def _call(ufunc: str, texts: Sequence[str], destination: str) -> str:
    """A call that writes its result to a destination; by position, which is faster, where NumPy allows it."""
    named = "out=" if ufunc in ("maximum", "minimum") else ""
    return f"np.{ufunc}({', '.join([*texts, named + destination])})"

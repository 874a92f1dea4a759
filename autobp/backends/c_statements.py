"""The statements of a C function: a loop nest for each array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod

import numpy as np

from autobp import ir
from autobp.backends.c_elements import AXES, Elements, Index, Slots
from autobp.backends.c_formulas import CModule
from autobp.backends.c_memory import LEAST_BY_STEP, Kept, Memory
from autobp.backends.c_nests import Loops, Nest, are_apart, nest, nested, written
from autobp.backends.c_plan import Scope, inlined_in, is_computed
from autobp.backends.c_positions import ZERO, Position, combined, flat, loop_variable
from autobp.backends.printer import Text, expression_of
from autobp.ir.expression import Expression
from autobp.ops import ATOM, PRODUCT, SIGN

_SUMS = 32  # that are added up at once: as many as the registers of common processors hold
_FEW = 8  # at once are no better than all of them, if there are too many for registers
_ROWS = 8  # that multiply columns make up for copying these


class Statements(Elements):
    """Writes what computes each array.

    Attributes:
        lines: where the next statement goes.
    """

    lines: list[str | Nest]

    def __init__(self, module: CModule, program: ir.Program, memory: Memory, inlined: set[ir.Array]) -> None:
        super().__init__(module, program, memory, inlined)
        self._packed: dict[tuple[ir.Array, int], Kept] = {}

    # --------------------------------------------------------------------------------------------- places

    @property
    def rows(self) -> str:
        """How many samples are gone through."""
        return "rows" if self.in_block else "m"

    def scope_of(self, array: ir.Array) -> Scope:
        """For how many samples an array is kept."""
        if not array.batched:
            return Scope.ONCE
        return Scope.BLOCK if self.in_block else Scope.ALL

    def axes(self, shape: ir.Shape, batched: bool) -> tuple[list[tuple[str, int | str]], list[Position]]:
        """Loops over samples and elements, and the index in them."""
        names = [*AXES, *[f"{AXES[0]}{n}" for n in range(len(shape))]][: len(shape)]
        loops: list[tuple[str, int | str]] = [("s", self.rows)] if batched else []
        loops += list(zip(names, shape, strict=True))
        return loops, [loop_variable(name, n) for name, n in zip(names, shape, strict=True)]

    def keep(self, array: ir.Array) -> Kept:
        """Memory for an array, under its name."""
        self.kept[array] = self.memory_for(self.name_for(array), self.scope_of(array), max(array.size, 1))
        return self.kept[array]

    def memory_for(self, name: str, scope: Scope, size: int) -> Kept:
        """Memory under a name, for an array of the program."""
        return self.memory.keep(name, scope, size)

    def target(self, array: ir.Array, index: Index) -> str:
        """An element of an array that is computed."""
        return self.at(self.kept[array], flat(array.shape, index))

    def add_nest(self, loops: Loops, lines: Iterable[str]) -> None:
        """Write lines in loops."""
        lines = list(lines)
        self.lines.append(nest(loops, lines, self.module.calls_several(lines)))

    def set_each(self, array: ir.Array, text: Callable[[Index], str]) -> None:
        """Write a nest that sets each element."""
        loops, index = self.axes(array.shape, array.batched)
        self.add_nest(loops, [f"{self.target(array, index)} = {text(index)};"])

    def clear(self, array: ir.Array) -> None:
        """Set all elements to 0: those that sum over samples in blocks before the first block."""
        loops, index = self.axes((array.size,), array.batched)
        part = nest(loops, [f"{self.at(self.kept[array], index[0])} = 0.0;"])
        if self.in_block and not array.batched:
            self.before(part)
        else:
            self.lines.append(part)

    def before(self, part: str | Nest) -> None:
        """Write what comes before the blocks of samples."""
        raise NotImplementedError

    @property
    def phase(self) -> int:
        """How often samples have been gone through before."""
        return 0

    # ---------------------------------------------------------------------------------------- elementwise

    def map(self, array: ir.Map | ir.Sum | ir.Elementwise) -> None:
        self.keep(array)
        expression = expression_of(array)
        loops, index = self.axes(array.shape, array.batched)
        if isinstance(expression, Expression):
            named, result = self.module.formulas.parts(expression, Slots(self, array, index))
        else:
            named, result = [], self.formulas.number(expression)
        lines = [f"const double {name} = {text};" for name, text in named]
        self.add_nest(loops, [*lines, f"{self.target(array, index)} = {result.text};"])

    sum = elementwise = map

    # ------------------------------------------------------------------------------------------- arranged

    def spread(self, array: ir.Spread) -> None:
        self.keep(array)
        self.clear(array)
        loops, index = self.axes(array.source.shape, array.batched)
        where = self.looked_up(array.positions, array.size, index)
        self.add_nest(
            loops, [f"{self.at(self.kept[array], where)} = {self.element(array.source, index).text};"]
        )

    def choose(self, array: ir.Choose) -> None:
        self.keep(array)
        self.set_each(array, lambda index: self.chosen(array, index).text)

    def scatteradd(self, array: ir.ScatterAdd) -> None:
        self.keep(array)
        self.clear(array)
        delta, index, n = array.delta, array.index, array.n
        loops, at = self.axes(delta.shape, delta.batched or index.batched)
        self.module.helper("whole")
        # of one element too, a place that is looked up
        which = loop_variable(f"whole({self.element(index, at[:-1]).text}, {n}, &wrong)", max(n, 2))
        where = combined(0, [(n, at[-1]), (1, which)])
        self.add_nest(loops, [f"{self.at(self.kept[array], where)} += {self.element(delta, at).text};"])

    def assemble(self, array: ir.Assemble) -> None:
        self.keep(array)
        if array.zeros:
            self.clear(array)
        for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
            loops, index = self.axes(array.shape if place is None else place.shape, array.batched)
            if place is None:
                where, shape = flat(array.shape, index), array.shape
            elif isinstance(place, ir.Gather):
                where, shape = self.looked_up(place.positions, array.size, index), place.shape
            else:
                where = combined(place.base, list(zip(place.strides, index, strict=True)))
                shape = place.shape
            if piece.size == prod(shape):
                text = self.flat_element(piece, flat(shape, index)).text
            else:
                text = self.filling(piece, index).text
            self.add_nest(loops, [f"{self.at(self.kept[array], where)} {'+=' if added else '='} {text};"])

    # -------------------------------------------------------------------------- products and reductions

    def matmul(self, array: ir.MatMul) -> None:
        rows, columns = array.rows, array.columns
        self.keep(array)
        has_p = len(rows.shape) == len(columns.shape)
        own = columns.batched and has_p and _is_large(array.shape, rows.shape[-1])
        packs = columns.shape[-2] > 1 and (own or (self.reuses(array) and self.holder(columns) is not None))
        copied = self.copied(columns, turned=True) if packs and own else None
        loops, index = (self.axes_of_sums if packs else self.axes)(array.shape, array.batched)
        n = rows.shape[-1]
        k = loop_variable("k", n)
        stack = index[:-2] if has_p else index[:-1]
        left = self.element(rows, [*index[:-1], k])
        if packs:
            right = copied([*stack, index[-1], k]) if copied else self.packed(columns, index, stack, k)
            self.add_sums(loops, [("k", n)], self.target(array, index), self.times(left, right))
            return
        right = self.element(columns, [*stack, index[-1], k])
        self.add_sum(loops, [("k", n)], self.target(array, index), self.times(left, right))

    def reuses(self, array: ir.MatMul) -> bool:
        """Whether a product reads its columns so often that it is worth to copy them first."""
        return array.batched or array.size >= _ROWS * array.columns.shape[-2]

    def holder(self, columns: ir.Array) -> tuple[Statements, ir.Array] | None:
        """Who can copy columns before all that reads them, and its name for them."""
        return None if columns.batched else (self, columns)

    def packed(self, columns: ir.Array, index: Index, stack: Index, k: Position) -> Text:
        """An element of the columns, copied before the samples so that neighbours lie side by side."""
        holder = self.holder(columns)
        assert holder is not None
        statements, columns = holder
        if statements is not self:
            return statements.packed(columns, index, stack, k)
        *lead, n, length = columns.shape
        key = columns, self.phase  # what another statement has copied may come after this one
        if key not in self._packed:
            kept = self.memory.keep(self.free_name(""), Scope.ONCE, columns.size, of_a_step=True)
            self._packed[key] = kept
            loops, at = self.axes((*lead, length, n), False)
            element = self.element(columns, [*at[:-2], at[-1], at[-2]]).text
            self.before(nest(loops, [f"{self.at(kept, flat((*lead, length, n), at))} = {element};"]))
        where = flat((*lead, length, n), [*stack, k, index[-1]])
        return Text(self.at(self._packed[key], where), ATOM)

    def copied(self, array: ir.Array, turned: bool = False) -> Callable[[Index], Text]:
        """Copy an array of each sample, its last two axes turned round or not; how it is read from there."""

        def place(index: Index) -> Index:
            return [*index[:-2], index[-1], index[-2]] if turned else index

        shape = (*array.shape[:-2], *(array.shape[-1:-3:-1] if turned else array.shape[-2:]))
        kept = self.memory_for(self.free_name(""), self.scope_of(array), array.size)
        loops, at = self.axes(shape, array.batched)
        self.add_nest(loops, [f"{self.at(kept, flat(shape, at))} = {self.element(array, place(at)).text};"])
        return lambda index: Text(self.at(kept, flat(shape, place(index))), ATOM)

    def times(self, left: Text, right: Text) -> str:
        """A product."""
        return f"{self.formulas.wrap(left, PRODUCT)} * {self.formulas.wrap(right, SIGN)}"

    def add_sum(self, loops: Loops, over: Loops, target: str, text: str, add_up: bool = False) -> None:
        """Write a nest that sums into each element, ``add_up``: from what it is on."""
        summed = nested(over, [f"sum += {text};"])
        begun = target if add_up else "0.0"
        self.add_nest(loops, [f"double sum = {begun};", *summed, f"{target} = sum;"])

    def axes_of_sums(self, shape: ir.Shape, batched: bool) -> tuple[Loops, Index]:
        """As ``axes``, the last axis in pieces of which registers hold the sums."""
        loops, index = self.axes(shape, batched)
        name, n = loops[-1]
        assert isinstance(n, int)
        width = next(x for x in range(min(n, _SUMS), 0, -1) if n % x == 0)
        if width == n or width < _FEW or self.may_be_a_length(n):
            return loops, index
        parts = [(width, loop_variable("part", n // width)), (1, loop_variable(name, width))]
        return [*loops[:-1], ("part", n // width), (name, width)], [*index[:-1], combined(0, parts)]

    def may_be_a_length(self, n: int | str) -> bool:
        """Whether the size of an axis may be another for recurrences of other lengths, where that matters."""
        same = self.module.same_sizes
        return same is not None and n not in same and isinstance(n, int) and n >= LEAST_BY_STEP

    def add_sums(self, loops: Loops, over: Loops, target: str, text: str, add_up: bool = False) -> None:
        """Write a nest that sums into neighbours at once, for which the compiler has registers.

        Args:
            loops: the last of them goes through neighbours.
            add_up: whether the sums go on from what the elements are.
        """
        (name, n), loops = loops[-1], loops[:-1]
        in_pieces = bool(loops) and loops[-1][0] == "part"
        if n == 1 or not over or (self.may_be_a_length(n) and not in_pieces):
            self.add_sum([*loops, (name, n)], over, target, text, add_up)
            return
        begun = nested([(name, n)], [f"sums[{name}] = {target};"]) if add_up else []
        lines = [f"double sums[{n}]{'' if add_up else ' = {0.0}'};", *begun]
        lines += nested([*over, (name, n)], [f"sums[{name}] += {text};"], n == _FEW)
        self.add_nest(loops, [*lines, *nested([(name, n)], [f"{target} = sums[{name}];"])])

    def product(self, array: ir.Product) -> None:
        delta, other = array.delta, array.other
        self.keep(array)
        batched = delta.batched or other.batched
        loops, index = self.axes_of_sums(array.shape, batched)
        if array.spec == "rows":
            has_p = len(delta.shape) == len(other.shape)
            stack = index[:-2] if has_p else index[:-1]
            o = loop_variable("k", delta.shape[-1])
            right = self.element(other, [*stack, o, index[-1]])
            reuses = other.batched and has_p and _is_large(array.shape, delta.shape[-1])
            if reuses and are_apart(right.text, loops[-1][0]):
                right = self.copied(other)([*stack, o, index[-1]])
            text = self.times(self.element(delta, [*index[:-1], o]), right)
            over: Loops = [("k", delta.shape[-1])]
        else:
            has_p = len(delta.shape) == len(array.shape)
            p = [loop_variable("k", delta.shape[-2])] if has_p else []
            stack = index[:-2]
            text = self.times(
                self.element(delta, [*stack, *p, index[-2]]), self.element(other, [*stack, *p, index[-1]])
            )
            over = [("k", delta.shape[-2])] if has_p else []
        add_up = batched and not array.batched
        if add_up:
            self.clear(array)
            loops, over = loops[1:], [*loops[:1], *over]
        self.add_sums(loops, over, self.target(array, index), text, add_up)

    def rowdot(self, array: ir.RowDot) -> None:
        self.keep(array)
        loops, index = self.axes(array.shape, array.batched)
        shape = np.broadcast_shapes(array.x.shape, array.y.shape)
        whole = [*(index if len(shape) > 1 else []), loop_variable("k", shape[-1])]
        text = self.times(self.filling(array.x, whole), self.filling(array.y, whole))
        self.add_sum(loops, [("k", shape[-1])], self.target(array, index), text)

    def reduce(self, array: ir.Reduce) -> None:
        self.keep(array)
        loops, index = self.axes(array.shape, array.batched)
        source = array.source
        lead = list(index) if len(source.shape) > 1 else []
        n = source.shape[-1]
        text = self.element(source, [*lead, loop_variable("k", n)])
        target = self.target(array, index)
        if array.ufunc == "add":
            self.add_sum(loops, [("k", n)], target, text.text)
            return
        first = self.element(source, [*lead, ZERO]).text
        better = f"best = {self.module.helper(array.ufunc)}(best, {text.text});"
        self.add_nest(loops, [f"double best = {first};", *nested([("k", n)], [better]), f"{target} = best;"])

    def segments(self, array: ir.Segments) -> None:
        self.keep(array)
        source = array.source
        loops, index = self.axes(array.shape, array.batched)
        ends = np.append(array.starts, source.size).astype(np.int64)
        table = self.module.table(ends)
        i = index[0]
        first, last = f"{table}[{i.text}]", f"{table}[{i._replace(base=i.base + 1).text}]"
        head = f"for (long k = {first}{'' if array.ufunc == 'add' else ' + 1'}; k < {last}; k++)"
        text = self.element(source, [loop_variable("k", source.size)]).text
        if array.ufunc == "add":
            start, step = "0.0", f"best += {text};"
        else:
            start = self.element(source, [loop_variable(first, source.size)]).text
            step = f"best = {self.module.helper(array.ufunc)}(best, {text});"
        lines = [f"double best = {start};", head, f"    {step}", f"{self.target(array, index)} = best;"]
        self.add_nest(loops, lines)

    def sumto(self, array: ir.SumTo) -> None:
        self.keep(array)
        self.clear(array)
        loops, index = self.axes(array.source.shape, array.source.batched)
        left = [ZERO if axis in array.axes else x for axis, x in enumerate(index)][array.drop :]
        text = self.element(array.source, index).text
        self.add_nest(loops, [f"{self.target(array, left)} += {text};"])

    # ---------------------------------------------------------------------------------------------- loops

    def loop(self, array: ir.Loop) -> None:
        n, body = len(array.initial), array.body
        read = {x.number for x in self.program.arrays if isinstance(x, ir.Result) and x.loop is array}
        inner = Body(self, body)
        names = [*[inner.name_for(local) for local in body.arguments[:n]], *self.output_names(array)]
        left = {}
        for number, (name, scope) in enumerate(zip(names, self.scopes_left_by(array), strict=True)):
            size = max(body.results[number].size, 1)
            if number < n:
                left[number] = inner.memory_for(name, scope, size)
            elif number in read:
                left[number] = inner.memory_by_step(name, scope, size * array.steps)
        self.left_by[array] = left
        for number, x in enumerate(array.initial):
            self.copy(left[number], x, self)
        t_name = self.free_name("t_")
        t = loop_variable(t_name, array.steps)
        inner.bind(array, [left[number] for number in range(n)], t)
        inner.write_body([body.results[number] for number in sorted({*range(n), *read})])
        for number in sorted(read - {*range(n)}):
            inner.copy(left[number], body.results[number], inner, t)
        inner.update([left[number] for number in range(n)])
        head = f"for (long {t_name} = 0; {t_name} < {array.steps}; {t_name}++) {{"
        if array.falling:
            head = f"for (long {t_name} = {array.steps - 1}; {t_name} >= 0; {t_name}--) {{"
        self.lines += [head, *[f"    {line}" for line in written(inner.lines)], "}"]

    def scopes_left_by(self, array: ir.Loop) -> list[Scope]:
        """For how many samples each array that a loop leaves is kept."""
        return [self.scope_of(x) for x in array.body.results]

    def copy(self, kept: Kept, x: ir.Array, source: Elements, step: Position | None = None) -> None:
        """Write a nest that copies an array to memory, that of a step where there is one."""
        loops, index = self.axes(x.shape, x.batched)
        where = flat(x.shape, index)
        if step is not None:
            where = combined(0, [(max(x.size, 1), step), (1, where)])
        self.add_nest(loops, [f"{self.at(kept, where)} = {source.element(x, index).text};"])


class Body(Statements):
    """Writes the body of a loop, in the same mode as the program around it."""

    def __init__(self, outer: Statements, body: ir.Program) -> None:
        super().__init__(outer.module, body, outer.memory, inlined_in(body))
        self._invariants: dict[ir.Array, ir.Array] = {}
        self.share_names(outer)
        self.outer = outer
        self.in_block = outer.in_block
        self.lines = []

    def memory_for(self, name: str, scope: Scope, size: int) -> Kept:
        return self.memory.keep(name, scope, size, self.in_block and scope is Scope.ONCE, of_a_step=True)

    def memory_by_step(self, name: str, scope: Scope, size: int) -> Kept:
        """Memory under a name, for what all steps leave."""
        return self.memory.keep(name, scope, size, self.in_block and scope is Scope.ONCE)

    def before(self, part: str | Nest) -> None:
        self.lines.append(part)  # nothing within a block sums over the samples of others

    def bind(self, loop: ir.Loop, left: Sequence[Kept], t: Position) -> None:
        """Say how the arguments are read in step t."""
        arguments = list(self.program.arguments)
        n = len(loop.initial)
        for local, kept in zip(arguments[:n], left[:n], strict=True):
            self.locals[local] = self._state(local.shape, kept)
        for local, x in zip(arguments[n:], loop.sequences, strict=False):
            self.locals[local] = self._step(x, t)
        for local, x in zip(arguments[n + len(loop.sequences) :], loop.invariants, strict=True):
            self.locals[local] = self._same(x)
            self._invariants[local] = x

    def reuses(self, array: ir.MatMul) -> bool:
        return True

    def holder(self, columns: ir.Array) -> tuple[Statements, ir.Array] | None:
        same = self._invariants.get(columns)
        return None if same is None else self.outer.holder(same)

    def _state(self, shape: ir.Shape, kept: Kept) -> Callable[[Index], Text]:
        return lambda index: Text(self.at(kept, flat(shape, index)), ATOM)

    def _step(self, x: ir.Array, t: Position) -> Callable[[Index], Text]:
        return lambda index: self.outer.element(x, [t, *index])

    def _same(self, x: ir.Array) -> Callable[[Index], Text]:
        return lambda index: self.outer.element(x, index)

    def write_body(self, results: Sequence[ir.Array]) -> None:
        """Write what a step computes these results by."""
        for array in ir.in_order(results):
            if is_computed(array, self.inlined):
                self.method(array)(array)

    def update(self, states: Sequence[Kept]) -> None:
        """Write how the states become those of the next step: all at once, as far as anybody can see."""
        following = self.program.results[: len(states)]
        copies = []
        for kept, x, local in zip(states, following, self.program.arguments, strict=False):
            if x is local:
                continue
            if x not in self.kept:  # it may be read from a state that is set before it
                fresh = self.memory_for(self.free_name(""), self.scope_of(x), max(x.size, 1))
                self.copy(fresh, x, self)
                self.locals[x] = self._state(x.shape, fresh)
            copies.append((kept, x))
        for kept, x in copies:
            self.copy(kept, x, self)


def _is_large(shape: ir.Shape, n: int) -> bool:
    """Whether a product of this shape, of sums of n, makes up for copying a sample's own columns first."""
    return min(n, *shape[-2:]) >= _ROWS

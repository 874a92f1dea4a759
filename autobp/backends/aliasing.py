"""Check that a schedule never reads what is not there: by its places alone, without any numbers.

The check goes through the steps and keeps, for each piece of memory, which value lies in it. So it sees
memory that is written over while what was in it is still needed, by itself or through a view; values that are
read before they are made; steps that write into what they read and must not; and assemblies with gaps, with
pieces that are written over, or with sums over what was never set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from autobp.backends import moves
from autobp.backends.operands import (
    NUMBER,
    AsFloat,
    Buffer,
    Copied,
    Extended,
    Filled,
    Fixed,
    Given,
    Kind,
    Left,
    Moved,
    New,
    Number,
    Ones,
    Operand,
    Part,
    Place,
    Region,
    Samples,
    Scalar,
    Variable,
    WithOnes,
    roots,
    shown,
    shown_place,
)
from autobp.backends.steps import (
    IN_PLACE,
    Apply,
    Instruction,
    Mean,
    Name,
    Put,
    Repeat,
    Schedule,
    Start,
    State,
    operands_of,
)

#: Operands whose numbers are in memory of their own.
_FRESH = (AsFloat, Copied, Filled, Number, Samples, Scalar)


class WrongSchedule(ValueError):
    """A schedule would compute with numbers that are not there."""


def verify(schedule: Schedule, states: int | None = None) -> None:
    """Check a schedule and the bodies of its loops. Raises WrongSchedule at the first step that is wrong.

    Args:
        states: for the body of a loop, how many of its results are the next states. Its results are in
            memory of the loop or copied there, where no step reads, before it is run again.
    """
    _Check(schedule, states).run()


class _Assembly:
    """What is known of an assembly: the elements that are set, and how many steps are yet to write to it."""

    def __init__(self, size: int, zeros: bool, writes: int) -> None:
        self.size, self.zeros, self.writes = size, zeros, writes
        self.set: set[int] = set()
        self.pieces: dict[int, set[int]] = {}  # the elements of pieces, by number, that still hold them


class _Check:
    """The state of memory after the steps so far."""

    def __init__(self, schedule: Schedule, states: int | None) -> None:
        self.schedule, self.states = schedule, states
        self.lies_in: dict[Place, Variable] = {}
        self.made: set[int] = set()
        self.seen_through: dict[int, tuple[Variable, ...]] = {}  # the values that another name reads
        self.assemblies: dict[int, _Assembly] = {}
        self.step: Instruction | None = None

    def run(self) -> None:
        """Go through the steps."""
        for step in self.schedule.steps:
            self.step = step
            for operand in operands_of(step):
                self.read(operand)
            if isinstance(step, Repeat):
                self.repeat(step)
            elif isinstance(step, Start):
                self.start(step)
            elif isinstance(step, Put):
                self.put(step)
            else:
                self.write(step.into, step)
                if isinstance(step, Name) and not isinstance(step.source, _FRESH):
                    self.seen_through[step.into.number] = roots(step.source)
        self.step = None
        for number, result in enumerate(self.schedule.results):
            if self.states is None or isinstance(result, Mean):
                self.result(result)
                continue
            self.read(result)
            if isinstance(result, Variable) and isinstance(result.place, Left):
                self.left_at(number, result.place)

    def left_at(self, number: int, place: Left) -> None:
        """A result lies where the loop wants it, or is copied from an earlier one."""
        if place.number > number:
            raise self.wrong(f"result {number + 1} lies in the memory of result {place.number + 1}")

    def wrong(self, why: str) -> WrongSchedule:
        """The error at this step."""
        lines = "" if self.step is None else f"\n{self.step}"
        return WrongSchedule(why + lines)

    # --------------------------------------------------------------------------------------------- reading

    def read(self, operand: Operand) -> None:
        """Read an operand."""
        if isinstance(operand, Ones) and operand.n not in self.schedule.work.ones:
            raise self.wrong(f"the work has no {operand}")
        if isinstance(operand, WithOnes) and not isinstance(operand.source.place, Extended):
            raise self.wrong(f"{operand.source} has no column of ones")
        for value in roots(operand):
            self.read_value(value)

    def read_value(self, value: Variable) -> None:
        """Read a value: it must be made, and its memory still hold it."""
        place = value.place
        if isinstance(place, Given | Fixed):
            there = self.schedule.arguments if isinstance(place, Given) else self.schedule.constants
            if not 0 <= place.number < len(there):
                raise self.wrong(f"{value} is not there: there are {len(there)} of its kind")
            return
        if value.number not in self.made:
            raise self.wrong(f"{value} is read before it is made")
        if isinstance(place, New):
            for source in self.seen_through.get(value.number, ()):
                self.read_value(source)
            return
        if isinstance(place, Part):
            self.hold(place.whole)
            if value.number not in self.assemblies[place.whole.number].pieces:
                raise self.wrong(f"{value} is read after {place.whole} was changed there")
            return
        self.hold(value)
        assembly = self.assemblies.get(value.number)
        if assembly is not None:
            if assembly.writes:
                raise self.wrong(f"{value} is read before its last {assembly.writes} pieces are there")
            if not assembly.zeros and len(assembly.set) < assembly.size:
                raise self.wrong(
                    f"{value} has {assembly.size - len(assembly.set)} elements that nothing sets"
                )

    def hold(self, value: Variable) -> None:
        """Memory must still hold a value."""
        there = self.lies_in.get(value.place)
        if there is None or there.number != value.number:
            raise self.wrong(f"{value} was written over by {there} in {shown_place(value.place)}")

    # --------------------------------------------------------------------------------------------- writing

    def make(self, value: Variable) -> None:
        """Each value is made once, in memory of its kind."""
        if value.number in self.made:
            raise self.wrong(f"{value} is made twice")
        self.made.add(value.number)
        kind = self.kind_of(value.place)
        if kind is not None and kind != value.kind:
            raise self.wrong(f"{value}, {shown(value.kind)}, does not fit in {shown(kind)}")

    def kind_of(self, place: Place) -> Kind | None:
        """What fits in a place, where that is known."""
        work = self.schedule.work
        if isinstance(place, Given | Fixed):
            raise self.wrong("arguments and constants are never written to")
        if isinstance(place, Buffer):
            if not 0 <= place.number < len(work.buffers):
                raise self.wrong(f"the work has no buffer {place.number}")
            return work.buffers[place.number]
        if isinstance(place, Extended):
            if not 0 <= place.number < len(work.extended):
                raise self.wrong(f"the work has no extended buffer {place.number}")
            batched, shape = work.extended[place.number]
            return batched, (*shape[:-1], shape[-1] - 1)
        if isinstance(place, Part):
            assert place.whole.kind is not None
            batched, shape = place.whole.kind
            return batched, shape if place.region is None else place.region.shape
        return None

    def write(self, value: Variable, step: Instruction) -> None:
        """Write a value into its place, which no operand may share but where that is allowed."""
        self.make(value)
        place = value.place
        if isinstance(place, New):
            return
        for operand in operands_of(step):
            same = isinstance(operand, Variable) and operand.place == place and operand.kind == value.kind
            if same and isinstance(step, Apply) and step.function in IN_PLACE:
                continue
            self.apart(operand, place)
        if isinstance(place, Part):
            self.set_part(place.whole, list(_cells(place.whole, place.region)), False)
            self.assemblies[place.whole.number].pieces[value.number] = set(_cells(place.whole, place.region))
        else:
            self.lies_in[place] = value

    def apart(self, operand: Operand, place: Place) -> None:
        """What is read must not lie where is written."""
        memory, whole = _memory(place)
        for value in self.all_roots(roots(operand)):
            other, _ = _memory(value.place)
            if other != memory:
                continue
            if isinstance(value.place, Part) and isinstance(place, Part):
                assert whole is not None
                mine = set(_cells(whole, place.region))
                if mine.isdisjoint(_cells(whole, value.place.region)):
                    continue
            raise self.wrong(f"{operand} is read while its memory, {shown_place(place)}, is written to")

    def all_roots(self, values: Iterable[Variable]) -> Iterator[Variable]:
        """The values behind other names."""
        for value in values:
            behind = self.seen_through.get(value.number) if isinstance(value.place, New) else None
            if behind is None:
                yield value
            else:
                yield from self.all_roots(behind)

    # ------------------------------------------------------------------------------------------ assemblies

    def start(self, step: Start) -> None:
        """Have the memory of an assembly."""
        into = step.into
        self.make(into)
        assert into.kind is not None
        writes = sum(_writes_to(other, into) for other in self.schedule.steps)
        self.assemblies[into.number] = _Assembly(_size(into.kind[1]), step.zeros, writes)
        self.lies_in[into.place] = into

    def put(self, step: Put) -> None:
        """Write or add to a part of an assembly."""
        if step.into.number not in self.assemblies:
            raise self.wrong(f"{step.into} is written to before it is there")
        self.apart(step.source, step.into.place)
        if isinstance(step.where, Variable):
            self.read_value(step.where)
            assert isinstance(step.where.place, Fixed)
            cells = self.schedule.constants[step.where.place.number].reshape(-1).tolist()
        else:
            cells = list(_cells(step.into, step.where))
        self.set_part(step.into, cells, step.added)

    def set_part(self, whole: Variable, cells: Sequence[int], added: bool) -> None:
        """Elements of an assembly are set, or added to."""
        assembly = self.assemblies.get(whole.number)
        if assembly is None:
            raise self.wrong(f"{whole} is written to before it is there")
        self.hold(whole)
        touched = set(cells)
        if len(touched) < len(cells):
            raise self.wrong(f"one step writes elements of {whole} twice")
        if touched and not 0 <= min(touched) <= max(touched) < assembly.size:
            raise self.wrong(f"{whole} has {assembly.size} elements, and one beyond is written")
        if added and not assembly.zeros and not touched <= assembly.set:
            raise self.wrong(f"elements of {whole} are added to before they are set")
        if not added and not touched.isdisjoint(assembly.set):
            raise self.wrong(f"elements of {whole} are set twice, and the first are lost")
        assembly.set |= touched
        assembly.writes -= 1
        stale = [number for number, piece in assembly.pieces.items() if not piece.isdisjoint(touched)]
        for number in stale:
            del assembly.pieces[number]

    # ---------------------------------------------------------------------------------------------- loops

    def repeat(self, step: Repeat) -> None:
        """A loop's body reads its states and arguments, and writes to what is no step's to read."""
        n, body = len(step.states), step.body
        if len(body.arguments) != len(operands_of(step)) or len(body.results) != n + len(step.outputs):
            raise self.wrong("the body has other arguments or results than its loop gives and takes")
        verify(body, states=n)
        for number, (state, argument) in enumerate(zip(step.states, body.arguments, strict=False)):
            self.state(step, number, state, argument)
        for number, output in enumerate(step.outputs, start=n):
            if output is None and body.results[number] not in self.known(step):
                raise self.wrong(f"output {number - n + 1} has no memory, and is known from no other")
        places = [x.place for x in step.memory]
        if len(set(places)) < len(places):
            raise self.wrong("states or outputs of a loop share memory")
        for place in places:
            for operand in operands_of(step):
                self.apart(operand, place)
        for value in step.memory:
            self.make(value)
            self.lies_in[value.place] = value

    def state(self, step: Repeat, number: int, state: State, argument: Variable) -> None:
        """A state has the memory that it needs: for its number, for two of it, or for all of it."""
        kinds = [x.kind for x in state.memory]
        if state.is_number:
            fits = argument.kind == NUMBER and len(kinds) == 1 and kinds[0] in (NUMBER, (False, (1,)))
        elif len(kinds) == 1:
            assert argument.kind is not None
            batched, shape = argument.kind
            fits = kinds[0] == (batched, (step.steps + 1, *shape))
        else:
            fits = kinds == [argument.kind] * 2
        if not fits:
            raise self.wrong(f"state {number + 1} has not the memory that it needs")

    def known(self, step: Repeat) -> list[Operand | Mean]:
        """The results of a body that are found in the memory of states and of outputs."""
        n, body = len(step.states), step.body
        found: list[Operand | Mean] = []
        for number, state in enumerate(step.states):
            if len(state.memory) == 1 and not state.is_number:
                argument = body.arguments[number]
                found += [argument, body.results[number]]
                if argument.kind == (False, (1,)):  # of which a body leaves the number
                    found.append(Moved(argument, (moves.Part((0,)),)))
        return found + [body.results[n + i] for i, x in enumerate(step.outputs) if x is not None]

    # -------------------------------------------------------------------------------------------- results

    def result(self, result: Operand | Mean) -> None:
        """What is returned must be there, and not lie where the next call writes."""
        if isinstance(result, Mean):
            for term in result.terms:
                for x in (term.x, term.y):
                    if x is not None:
                        self.read(x)
            return
        self.read(result)
        if isinstance(result, _FRESH):
            return
        for value in self.all_roots(roots(result)):
            place = _memory(value.place)[0]
            if isinstance(place, Given):
                raise self.wrong(f"the result {result} lies in the memory of an argument")
            if isinstance(place, Buffer | Extended):
                raise self.wrong(
                    f"the result {result} lies in {shown_place(place)}, where the next is written"
                )


def _memory(place: Place) -> tuple[Place, Variable | None]:
    """The memory that a place is in, and the assembly that it is a part of."""
    return (place.whole.place, place.whole) if isinstance(place, Part) else (place, None)


def _writes_to(step: Instruction, whole: Variable) -> bool:
    """Whether a step writes to an assembly."""
    if isinstance(step, Put):
        return step.into == whole
    if isinstance(step, Repeat | Start):
        return False
    return isinstance(step.into.place, Part) and step.into.place.whole == whole


def _cells(whole: Variable, region: Region | None) -> Iterator[int]:
    """The positions of a part in an assembly, flat."""
    assert whole.kind is not None
    if region is None:
        yield from range(_size(whole.kind[1]))
        return
    for index in product(*map(range, region.shape)):
        yield region.base + sum(i * stride for i, stride in zip(index, region.strides, strict=True))


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size

"""Schedule a program: which step computes what, and in which memory.

Each array that is computed gets a buffer, one that an array no longer needed has left where there is one, so
that bias and activation happen in place. What a gradient is made of is written straight into it. A program
flows in; out flows a :class:`~autobp.backends.steps.Schedule`, plain data that writers of calls write down
(:mod:`~autobp.backends.numpy_calls`) and :func:`~autobp.backends.aliasing.verify` checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp import ir
from autobp.backends.builder import Builder
from autobp.backends.elementwise import compute
from autobp.backends.loop_memory import is_number, is_one, whole_steps
from autobp.backends.moves import (
    SAMPLES,
    TURNED,
    Moves,
    Part,
    Sizes,
    Swap,
    factors,
    flattened,
    sizes_of,
    summing,
    view_moves,
)
from autobp.backends.operands import (
    NUMBER,
    Broadcast,
    Buffer,
    Copied,
    Given,
    Kind,
    Moved,
    Ones,
    Operand,
    Region,
    Variable,
)
from autobp.backends.placement import Plan, plan, same_memory
from autobp.backends.steps import (
    Accumulation,
    AddUp,
    Apply,
    Choice,
    Collapse,
    Indicator,
    MatrixProduct,
    Mean,
    MeanTerm,
    Name,
    OuterProduct,
    Put,
    Repeat,
    Repetition,
    Scatter,
    Schedule,
    State,
    Stretches,
    Take,
)


def schedule(program: ir.Program) -> Schedule:
    """The steps that compute a program's results, and the memory that they need."""
    return _scheduled(program, plan(program))


def _scheduled(program: ir.Program, known: Plan) -> Schedule:
    builder = Builder(program, known)
    arguments = []
    for i, argument in enumerate(program.arguments):
        label = program.names.get(argument, "theta" if isinstance(argument, ir.Theta) else "")
        kind = NUMBER if argument in known.numbers else (argument.batched, argument.shape)
        value = builder.fixed(kind, Given(i), label)
        builder.operands[argument] = value
        arguments.append(value)
    for index, array in enumerate(program.arrays):
        builder.index = index
        if array not in builder.plan.skipped:
            _take_steps(builder, array)
        if array in known.numbers and array not in known.formulas:
            _as_number(builder, array)
        for x in array.operands:
            builder.release(x)
    results = _left(builder) if builder.is_body else _results(builder)
    constants = tuple(builder.constants)
    return Schedule(tuple(arguments), constants, builder.work(), tuple(builder.steps), results)


def _take_steps(builder: Builder, array: ir.Array) -> None:
    """Take the steps that compute an array."""
    if array in builder.plan.affine:
        _affine(builder, array)
    elif (source := same_memory(array, builder.plan.formulas)) is not None:
        _alias(builder, array, source)
    else:
        OF_KIND[type(array)](builder, array)


def _as_number(builder: Builder, array: ir.Array) -> None:
    """Have what was computed as an array of one element as a number."""
    operand = builder.operands[array]
    if array.shape and not isinstance(array, ir.Local):
        value = builder.new(NUMBER, array)
        builder.steps.append(Name(_first(operand, array), value))
        builder.operands[array] = value


def _first(operand: Operand, array: ir.Array) -> Operand:
    """The only element of an array."""
    return Moved(operand, (Part((0,) * len(array.shape)),)) if array.shape else operand


# ---------------------------------------------------------------------------------------- what costs nothing


def _nothing(builder: Builder, array: ir.Array) -> None:
    """Nothing: it is there already, or with the results."""


def _constant(builder: Builder, array: ir.Constant) -> None:
    one = array.values.size == 1
    builder.operands[array] = builder.lone_number(array) if one else builder.constant(array.values)


def _alias(builder: Builder, array: ir.Array, source: ir.Array) -> None:
    """Read the memory of another array; by a name where it is read several times."""
    operand = builder.operands[source]
    if isinstance(array, ir.View):
        moves = view_moves(source.size, array.base, array.shape, array.strides, array.batched)
        steps = whole_steps(array) if builder.plan.root[source] in builder.plan.by_step else None
        operand = _moved(operand, steps or (*flattened(source), *moves))
    elif isinstance(array, ir.Reshape):
        operand = Moved(operand, (Sizes(sizes_of(array.shape, array.batched)),))
    elif isinstance(array, ir.Fill):
        operand = Broadcast(operand, sizes_of(array.shape, array.batched))
    if builder.plan.uses[array] > 1:
        value = builder.new((array.batched, array.shape), array)
        builder.steps.append(Name(operand, value))
        operand = value
    builder.operands[array] = operand


def _moved(operand: Operand, moves: Moves) -> Operand:
    return Moved(operand, moves) if moves else operand


# ------------------------------------------------------------------------------------------------- products


def _affine(builder: Builder, array: ir.Array) -> None:
    """z = [a 1] [W b]ᵀ."""
    affine = builder.plan.affine[array]
    theta = affine.weight.source
    both = affine.both
    moves = view_moves(theta.size, both.base, both.shape, both.strides, False)
    left, right = builder.with_ones(affine.rows), Moved(builder.operands[theta], (*moves, TURNED))
    dense = _without_gaps(builder, array) and _is_dense(both)
    builder.steps.append(MatrixProduct(left, right, builder.destination(array), dense))


def _product(builder: Builder, array: ir.MatMul | ir.Product) -> None:
    if array in builder.plan.joint:
        assert isinstance(array, ir.Product)
        left, right = _moved(builder.operands[array.delta], (TURNED,)), builder.with_ones(array.other)
        dense = _without_gaps(builder, array) and _without_gaps(builder, array.delta)
        builder.steps.append(MatrixProduct(left, right, builder.destination(array), dense))
        return
    found = factors(array)
    if array in builder.plan.by_step:
        left = Moved(builder.operands[found.left], (Swap(0, 1),))
        right = _moved(builder.operands[found.right], found.right_moves)
        builder.steps.append(MatrixProduct(left, right, builder.destination(array), by_step=True))
        return
    by_step = _over_steps(builder, array)
    delta, other = by_step or (found.left, found.right)
    turned: Moves = (Swap(0, 1),) if by_step else ()
    left = _moved(builder.operands[delta], (*turned, *found.left_moves))
    right = _moved(builder.operands[other], (*turned, *found.right_moves))
    reshaped = bool(found.after) and isinstance(found.after[0], Sizes)
    through = not found.after or (reshaped and not builder.placed(array))
    if found.matrices and through:
        flat = all(len(x.shape) + x.batched == 2 for x in (array, *array.operands))
        dense = flat and all(_without_gaps(builder, x) for x in (array, *array.operands))
        dense = dense and not found.after
        builder.steps.append(MatrixProduct(left, right, builder.destination(array), dense, found.after))
        return
    into = builder.destination(array) if builder.placed(array) else builder.new(_kind(array), array)
    builder.operands[array] = into
    if found.matrices:
        builder.steps.append(MatrixProduct(left, right, into, False, found.after))
    else:
        builder.steps.append(OuterProduct(left, right, into))


def _over_steps(builder: Builder, array: ir.MatMul | ir.Product) -> tuple[ir.Array, ir.Array] | None:
    """Delta and the other factor, where their product sums over samples and steps of what lies by step.

    The sum has any order, and in this one nothing is copied.
    """
    if not isinstance(array, ir.Product) or array.spec != "columns" or array.batched:
        return None
    pair = [x.source if isinstance(x, ir.Reshape) else x for x in (array.delta, array.other)]
    if any(x.shape[-1] != y.shape[-1] for x, y in zip(pair, (array.delta, array.other), strict=True)):
        pair = [array.delta, array.other]
    delta, other = pair
    if not (delta.batched and other.batched) or delta.shape[:-1] != other.shape[:-1]:
        return None
    if len(array.shape) != 2 or len(delta.shape) < 2:
        return None
    near = any(builder.plan.root[x] in builder.plan.by_step for x in pair)
    return (delta, other) if near else None


def _without_gaps(builder: Builder, array: ir.Array) -> bool:
    """Whether an array's elements follow one another in memory, as far as can be told."""
    if array in builder.plan.extended:
        return False
    if array in builder.plan.joint:
        return _is_dense(builder.plan.joint[array].both)
    view: ir.Array | None = array
    if array in builder.plan.direct:
        assembly, view = builder.plan.direct[array]
        if assembly.batched and view is not None:  # a part of each sample
            return False
    if not isinstance(view, ir.View):
        return True
    return not view.batched and _is_dense(Region(view.base, view.shape, view.strides))


def _is_dense(region: Region) -> bool:
    after = [math.prod(region.shape[i + 1 :]) for i in range(len(region.shape))]
    return all(n == 1 or s == a for n, s, a in zip(region.shape, region.strides, after, strict=True))


# --------------------------------------------------------------------------------------------- sums over axes


def _sum_to(builder: Builder, array: ir.SumTo) -> None:
    source, found = array.source, summing(array)
    operand = builder.operands[source]
    lies_by_step = builder.plan.root[source] in builder.plan.by_step
    if lies_by_step and len(source.shape) == 2 and found == ((0, 1), False, ()):
        # of each step the samples first, by a product: in rows as short as a step's a reduction is slow
        builder.vector_of_ones(None)
        steps = builder.take((False, source.shape))
        sums = builder.value((False, source.shape), Buffer(steps))
        builder.steps.append(MatrixProduct(Ones(None), Moved(operand, (Swap(0, 1),)), sums))
        builder.steps.append(AddUp(sums, (0,), builder.destination(array)))
        builder.give_back(steps)
    elif found.keep or found.after:
        into = builder.destination(array) if builder.placed(array) else builder.new(_kind(array), array)
        builder.operands[array] = into
        builder.steps.append(Collapse("add", operand, found.axes, into, found.keep, found.after))
    elif len(source.shape) + source.batched == 2 and found.axes == (0,):
        # a product with ones adds up the rows faster than a reduction does
        n = None if source.batched else source.shape[0]
        builder.vector_of_ones(n)
        dense = _without_gaps(builder, array)
        builder.steps.append(MatrixProduct(Ones(n), operand, builder.destination(array), dense))
    else:
        builder.steps.append(AddUp(operand, found.axes, builder.destination(array)))


def _reduce(builder: Builder, array: ir.Reduce) -> None:
    operand, keep = builder.operands[array.source], len(array.source.shape) == 1
    if array.ufunc == "add":
        builder.steps.append(AddUp(operand, (-1,), builder.destination(array), keep))
    else:
        into = builder.new(_kind(array), array)
        builder.operands[array] = into
        builder.steps.append(Collapse(array.ufunc, operand, (-1,), into, keep))


def _row_dot(builder: Builder, array: ir.RowDot) -> None:
    x, y = array.x, array.y
    kind = x.batched or y.batched, np.broadcast_shapes(x.shape, y.shape)
    buffer = builder.take(kind)
    into = builder.destination(array)
    product = builder.value(kind, Buffer(buffer))
    builder.steps.append(Apply("*", (builder.operands[x], builder.operands[y]), product))
    builder.steps.append(AddUp(product, (-1,), into, len(kind[1]) == 1))
    builder.give_back(buffer)


# ------------------------------------------------------------------------------------- arrays made elsewhere


def _kind(array: ir.Array) -> tuple[bool, tuple[int, ...]]:
    return array.batched, array.shape


def _made(step: Callable[[Builder, Any, Variable], Any]) -> Callable[[Builder, Any], None]:
    """The lowering of a kind whose one step makes an array of its own."""

    def lower(builder: Builder, array: ir.Array) -> None:
        into = builder.new(_kind(array), array)
        builder.steps.append(step(builder, array, into))
        builder.operands[array] = into

    return lower


def _gather(builder: Builder, array: ir.Gather, into: Variable) -> Take:
    return Take(builder.flat(array.source), builder.positions(array.positions), into)


def _spread(builder: Builder, array: ir.Spread, into: Variable) -> Scatter:
    return Scatter(builder.operands[array.source], builder.positions(array.positions), array.shape, into)


def _segments(builder: Builder, array: ir.Segments, into: Variable) -> Stretches:
    return Stretches(array.ufunc, builder.operands[array.source], builder.positions(array.starts), into)


def _repeat(builder: Builder, array: ir.Repeat, into: Variable) -> Repetition:
    return Repetition(builder.operands[array.source], builder.positions(array.counts), into)


def _choose(builder: Builder, array: ir.Choose, into: Variable) -> Choice:
    return Choice(builder.operands[array.index], builder.operands[array.values], array.outer, into)


def _one_hot(builder: Builder, array: ir.OneHot, into: Variable) -> Indicator:
    return Indicator(builder.operands[array.index], array.n, into)


def _scatter_add(builder: Builder, array: ir.ScatterAdd, into: Variable) -> Accumulation:
    return Accumulation(builder.operands[array.delta], builder.operands[array.index], array.n, into)


def _assemble(builder: Builder, array: ir.Assemble) -> None:
    into = builder.start(array)
    for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
        if piece in builder.plan.direct and builder.plan.direct[piece][0] is array:
            continue
        operand = builder.operands[piece]
        where: Region | Variable | None = None
        if isinstance(place, ir.View):
            where = Region(place.base, place.shape, place.strides)
        elif place is not None:
            where = builder.positions(place.positions.reshape(-1))
            if len(place.shape) > 1 and piece.shape:
                operand = Moved(operand, (Sizes((SAMPLES, -1) if piece.batched else (-1,)),))
        builder.steps.append(Put(operand, into, where, added))


# ---------------------------------------------------------------------------------------------------- loops


def _loop(builder: Builder, array: ir.Loop) -> None:
    """Run the body; what the loop leaves keeps its memory to the end."""
    known = plan(array.body, len(array.initial))
    body = _scheduled(array.body, known)
    builder.bodies.append(body.work)
    before, after = array.body.arguments[: len(array.initial)], array.body.results
    are_numbers = [x in known.numbers for x in before]
    stacked = _stacked(array, are_numbers)
    states, left = [], []
    for i, (x, state) in enumerate(zip(array.initial, before, strict=True)):
        operand = builder.operands[x]
        if are_numbers[i]:
            states.append(State(_first(operand, x), (_memory(builder, _kind(state)),), True))
        else:
            kind = _by_step(array.steps + 1, state) if i in stacked else _kind(state)
            memory = [_memory(builder, kind, i in stacked) for _ in range(1 if i in stacked else 2)]
            states.append(State(operand, tuple(memory)))
        last: Operand = states[-1].final(array.steps)
        if i in stacked:
            last = _steps_of(last, state, 0 if array.falling else array.steps)
        left.append(last)
    outputs: list[Variable | None] = []
    known_by: dict[ir.Array, Operand] = {}
    for i in sorted(stacked, reverse=True):
        first, later = slice(0, array.steps), slice(1, array.steps + 1)
        whole = states[i].memory[0]
        known_by[after[i]] = _steps_of(whole, before[i], first if array.falling else later)
        known_by[before[i]] = _steps_of(whole, before[i], later if array.falling else first)
    for x in after[len(before) :]:
        outputs.append(None)
        if x not in known_by:
            kind = _by_step(array.steps, x)
            outputs[-1] = known_by[x] = _memory(builder, kind, not is_number(kind))
        left.append(known_by[x])
    sequences = tuple([builder.operands[x] for x in array.sequences])
    invariants = []
    for x, local in zip(array.invariants, array.body.arguments[-len(array.invariants) :], strict=False):
        operand = builder.operands[x]
        invariants.append(_first(operand, x) if local in known.numbers else operand)
    loop = Repeat(
        body, array.steps, array.falling, tuple(states), sequences, tuple(invariants), tuple(outputs)
    )
    builder.steps.append(loop)
    builder.left_by[array] = tuple(left)


def _stacked(loop: ir.Loop, are_numbers: Sequence[bool]) -> set[int]:
    """The states of which all are kept, since a step leaves them as they are before it, or after it."""
    n = len(loop.initial)
    before, after = loop.body.arguments[:n], loop.body.results
    found = set()
    for x in after[n:]:
        for states in (before, after[:n]):
            where = [i for i, state in enumerate(states) if state is x and not are_numbers[i]]
            if where:
                found.add(where[0])
                break
    return found


def _by_step(steps: int, array: ir.Array) -> Kind:
    """The kind of an array of each step's."""
    return array.batched, (steps, *array.shape)


def _memory(builder: Builder, kind: Kind, by_step: bool = False) -> Variable:
    return builder.value(kind, Buffer(builder.take(kind, by_step)))


def _steps_of(whole: Operand, array: ir.Array, which: slice | int) -> Operand:
    """One of the steps of an array, or some."""
    return Moved(whole, (Part((slice(None), which) if array.batched else (which,)),))


def _result(builder: Builder, array: ir.Result) -> None:
    """What a loop has left."""
    builder.operands[array] = builder.left_by[array.loop][array.number]


#: How each kind is taken; views, reshapes and fills are only read otherwise.
OF_KIND: dict[type[ir.Array], Callable[[Builder, Any], None]] = {
    **dict.fromkeys((ir.Theta, ir.Input, ir.Local, ir.Total), _nothing),
    ir.Constant: _constant,
    ir.Gather: _made(_gather),
    ir.Spread: _made(_spread),
    ir.Repeat: _made(_repeat),
    ir.Choose: _made(_choose),
    ir.OneHot: _made(_one_hot),
    ir.ScatterAdd: _made(_scatter_add),
    ir.Segments: _made(_segments),
    ir.Assemble: _assemble,
    **dict.fromkeys((ir.Map, ir.Sum, ir.Elementwise), compute),
    **dict.fromkeys((ir.MatMul, ir.Product), _product),
    ir.RowDot: _row_dot,
    ir.Reduce: _reduce,
    ir.SumTo: _sum_to,
    ir.Loop: _loop,
    ir.Result: _result,
}


# -------------------------------------------------------------------------------------------------- results


def _results(builder: Builder) -> tuple[Operand | Mean, ...]:
    """What is returned: the cost and the gradient, or the outputs."""
    program = builder.program
    first, *others = program.results
    if program.result_shape is not None:
        made: Operand | Mean = _outputs(builder, first, program.result_shape)
    else:
        made = _mean(builder, first) if isinstance(first, ir.Total) else Copied(builder.operands[first])
    # an assembly is memory of its own that is handed out, and what else there is will be written over
    own = [(builder.operands[x], isinstance(x, ir.Assemble)) for x in others]
    return (made, *[operand if is_own else Copied(operand) for operand, is_own in own])


def _left(builder: Builder) -> tuple[Operand, ...]:
    """What a body leaves; what becomes a number is one."""
    found = []
    for number, array in enumerate(builder.program.results):
        operand, is_there = builder.operands[array], builder.plan.left.get(array) == number
        is_array = is_one(array) and array not in builder.plan.numbers and not is_there
        found.append(_first(operand, array) if is_array else operand)
    return tuple(found)


def _outputs(builder: Builder, array: ir.Array, shape: tuple[int, ...]) -> Operand:
    """Outputs in the shape that the caller gets, for each sample, in memory of their own."""
    shaped: Operand = Moved(builder.operands[array], (Sizes(sizes_of(shape, array.batched)),))
    if builder.program.has_samples and not array.batched:
        shaped = Broadcast(shaped, (SAMPLES, *shape))
    return Copied(shaped)


def _mean(builder: Builder, total: ir.Total) -> Mean:
    terms = []
    for term in total.terms:
        y = None if term.y is None else builder.operands[term.y]
        single = term.x.shape == (1,) and not term.x.batched and y is None
        terms.append(MeanTerm(term.coefficient, term.samples, builder.operands[term.x], y, single))
    return Mean(tuple(terms))

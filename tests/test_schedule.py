"""Schedules: what they compute, and that no step reads memory which another has written over."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autobp
from autobp import ir
from autobp.backends import moves, numpy_calls, numpy_text
from autobp.backends.aliasing import WrongSchedule, verify
from autobp.backends.operands import (
    Buffer,
    Copied,
    Extended,
    Fixed,
    Given,
    Made,
    Moved,
    New,
    Ones,
    Operand,
    Part,
    Region,
    Variable,
    WithOnes,
)
from autobp.backends.schedule import OF_KIND, schedule
from autobp.backends.source_module import SourceModule
from autobp.backends.steps import (
    AddUp,
    Apply,
    Copy,
    Instruction,
    MatrixProduct,
    Name,
    Put,
    Repeat,
    Schedule,
    Start,
    Work,
)
from autobp.ir import (
    Assemble,
    Constant,
    Elementwise,
    Fill,
    Gather,
    Input,
    Local,
    Loop,
    Map,
    MatMul,
    Product,
    Program,
    Reduce,
    Reshape,
    Result,
    RowDot,
    Spread,
    Sum,
    SumTo,
    Term,
    Theta,
    Total,
    View,
)
from autobp.ir.expression import Expression
from autobp.ir.slicing import slicing
from autobp.ops import TABLE, operation


def computed(program, made, *arguments):
    """What a schedule computes."""
    module = SourceModule()
    text = module.text([numpy_calls.write("f", program, made, module, "")], "")
    namespace = {}
    exec(text, namespace)
    m = len(arguments[1]) if len(arguments) > 1 else 1
    with np.errstate(all="ignore"):
        found = namespace["f"](*arguments, made.work.allocate(m))
    return [np.array(x) for x in (found if isinstance(found, tuple) else (found,))]


def run(program, *arguments):
    """What the schedule of a program computes; its readable source must say the same."""
    program.verify()
    made = schedule(program)
    verify(made)
    found = computed(program, made, *arguments)
    module, namespace = SourceModule(), {}
    exec(module.text([numpy_text.write("f", program, module, "").text], ""), namespace)
    with np.errstate(all="ignore"):
        expected = namespace["f"](*arguments)
    for x, y in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)
    return found


X_AND_Y = np.linspace(-1, 1, 15).reshape(5, 3), np.tile([0.0, 1.0], (5, 1))


def program_of(activation="sigmoid"):
    """Cost and gradient of a network, 3-4-2."""
    net = autobp.MLP(3, [4, 2], activation=activation)
    step = autobp.compile(lambda x, y: autobp.costs.quadratic(net(x), y), net.parameters())
    step(step.theta, *X_AND_Y)
    return step._last.programs["cost_and_gradient"]


def network(activation="sigmoid"):
    return schedule(program_of(activation))


# ------------------------------------------------------------------------------------------ what is planned


def test_bias_and_activation_happen_in_place_and_the_gradient_is_written_straight():
    made = network()
    verify(made)
    in_place = [
        x
        for x in made.steps
        if isinstance(x, Apply)
        and any(isinstance(y, Variable) and y.place == x.into.place for y in x.operands)
    ]
    assert len(in_place) > 10
    gradient = next(x.into for x in made.steps if isinstance(x, Start))
    assert gradient.place == Made()
    parts = [x for x in made.steps if not isinstance(x, Start | Put) and isinstance(x.into.place, Part)]
    assert {x.into.place.whole for x in parts} == {gradient}
    assert not any(isinstance(x, Put | Copy) for x in made.steps)


def test_weights_and_bias_are_one_product_with_a_column_of_ones():
    made = network()
    products = [x for x in made.steps if isinstance(x, MatrixProduct)]
    forward = [x for x in products if isinstance(x.left, WithOnes)]
    backward = [x for x in products if isinstance(x.right, WithOnes)]
    assert [x.into.label for x in forward] == ["z2"]
    assert [x.into.label for x in backward] == ["dW2"]
    assert backward[0].into.place.region == Region(16, (2, 5), (5, 1))
    assert "db2" not in str(made)
    assert made.work.extended == ((True, (5,)),)


def test_a_schedule_prints_what_lies_where():
    text = str(network())
    assert text.startswith("given theta 26, x m×3, y m×2\nB0: m×4\n")
    assert "z2 m×2 in B1 = MatrixProduct([a1 1], theta[16:26] as 2×5ᵀ, dense True)" in text
    assert "dW2 2×5 in gradient[16 + 5·i:2 + 1·j:5] = MatrixProduct(delta2ᵀ, [a1 1], dense True)" in text
    assert text.endswith(", gradient")


def test_schedules_are_values():
    assert network().steps == network().steps
    with pytest.raises(AttributeError):
        network().steps[0].into = None


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", "gelu", "linear", "elu"])
def test_networks_are_scheduled_without_aliases(activation):
    verify(network(activation))


def test_an_identity_of_the_table_gets_memory_of_its_own():
    """A rule that returns its operand must not give the buffer of it to two arrays."""
    theta, x = Theta(3), Input(0, (3,))
    same = operation("same", lambda xp, x: x, lambda xp, y, x: (1.0,))
    try:
        a = Map((x, theta), (3,), TABLE["multiply"])
        b = Map((a,), (3,), same)
        c = Map((a,), (3,), TABLE["exp"])
        d = Map((b, c), (3,), TABLE["multiply"])
        program = Program((theta, x), (Total((Term(1.0, 0, d),)),), {x: "x"})
        X = np.arange(6.0).reshape(2, 3)
        (cost,) = run(program, np.ones(3), X)
        assert cost == pytest.approx((X * np.exp(X)).sum())
    finally:
        del TABLE["same"]


def test_an_array_and_a_view_of_it_are_not_overwritten_by_their_sum():
    theta, x = Theta(1), Input(0, (4,))
    a = Map((Reshape(x, (2, 2)),), (2, 2), TABLE["exp"])
    turned = View(a, 0, (2, 2), (1, 2))
    program = Program(
        (theta, x), (Total((Term(1.0, 0, RowDot(Sum((a, turned), (2, 2), (1.0, 2.0)), a)),)),), {x: "x"}
    )
    X = np.arange(4.0).reshape(1, 4)
    (cost,) = run(program, np.ones(1), X)
    E = np.exp(X.reshape(2, 2))
    assert cost == pytest.approx(((E + 2 * E.T) * E).sum())


@pytest.mark.parametrize("width", [2, 4, 7, 8, 16])
def test_a_column_is_negated_into_a_column(width):
    """np.negative takes what lies 64 bytes apart for neighbours, where it writes with gaps too."""
    x = Input(0, (width,))
    z = Map((x,), (width,), TABLE["tanh"])
    minus = Expression("neg", Expression("slot", 0))
    columns = [Elementwise((View(z, k, (1,), (1,)),), minus) for k in range(width)]
    places = [View(ir.Absent((width,), True), width - 1 - k, (1,), (1,)) for k in range(width)]
    whole = Assemble(tuple(columns), tuple(places), (False,) * width, False, (width,), True)
    program = Program((Theta(1), x), (whole,), {x: "x"}, result_shape=(width,))
    X = np.random.default_rng(width).normal(size=(5, width))
    np.testing.assert_array_equal(run(program, np.ones(1), X)[0], -1.0 * np.tanh(X)[:, ::-1])


def test_the_buffer_of_a_row_dot_is_free_once():
    theta, x = Theta(1), Input(0, (4,))
    dot = RowDot(x, x)
    arrays = [Map((x,), (4,), TABLE[name]) for name in ("exp", "sin", "cos")]
    added = Sum((dot, *arrays), (4,), (1.0, 1.0, 1.0, 1.0))
    program = Program((theta, x), (Total((Term(1.0, 0, added),)),), {x: "x"})
    run(program, np.ones(1), np.arange(8.0).reshape(2, 4))


# ---------------------------------------------------------------------------------- schedules broken by hand

BATCH = (True, (2,))
THETA = Variable(-1, (False, (4,)), Given(0), "theta")
X = Variable(-2, BATCH, Given(1), "x")


def value(number, place, kind=BATCH):
    return Variable(number, kind, place)


WORK = Work((BATCH, BATCH), ((True, (3,)),), (None,))


def sound(steps, results=(), constants=()):
    return Schedule((THETA, X), tuple(constants), WORK, tuple(steps), tuple(results))


def refused(made, why):
    with pytest.raises(WrongSchedule, match=why):
        verify(made)


A, B = value(0, Buffer(0)), value(1, Buffer(1))
TO_A, TO_B = Apply("exp", (X,), A), Apply("exp", (A,), B)


def test_a_sound_schedule_passes():
    verify(sound([TO_A, TO_B, Apply("+", (A, B), value(2, Buffer(0)))], [Copied(value(2, Buffer(0)))]))


def test_memory_that_is_written_over_too_early():
    last = Apply("+", (A, B), value(3, Buffer(1)))
    refused(
        sound([TO_A, TO_B, Apply("exp", (X,), value(2, Buffer(0))), last]), "%0 was written over by %2 in B0"
    )


def test_a_view_of_memory_that_is_used_again():
    view = value(2, New(), (True, (1,)))
    steps = [TO_A, Name(Moved(A, ()), view), Apply("exp", (X,), value(3, Buffer(0)))]
    verify(sound(steps))
    refused(sound([*steps, Apply("exp", (view,), value(4, New()))]), "%0 was written over by %3")
    refused(sound(steps, [Copied(view)]), "%0 was written over by %3")


def test_what_is_read_before_it_is_made():
    refused(sound([TO_B]), "%0 is read before it is made")
    refused(sound([TO_A, TO_A]), "%0 is made twice")
    refused(sound([], [A]), "before it is made")
    refused(sound([Apply("exp", (value(-3, Fixed(0)),), A)]), "is not there")
    refused(sound([MatrixProduct(Ones(7), X, A)]), "no ones")
    refused(sound([TO_A, MatrixProduct(WithOnes(A), X, B)]), "no column of ones")


def test_what_may_not_be_in_place():
    refused(sound([TO_A, MatrixProduct(A, X, value(2, Buffer(0)))]), "%0 is read while its memory, B0")
    refused(sound([TO_A, AddUp(A, (0,), value(2, Buffer(0)))]), "is read while")
    refused(sound([TO_A, Apply("exp", (Moved(A, ()),), value(2, Buffer(0)))]), "is read while")
    refused(
        sound([TO_A, Name(A, value(2, New())), Copy(value(2, New()), value(3, Buffer(0)))]), "is read while"
    )
    refused(sound([TO_A, Apply("where", (A, A, A), value(2, Buffer(0)))]), "is read while")
    verify(sound([TO_A, Apply("exp", (A,), value(2, Buffer(0)))]))


def test_memory_of_another_kind():
    refused(sound([Apply("exp", (X,), value(0, Buffer(0), (True, (3,))))]), "%0, m×3, does not fit in m×2")
    refused(sound([Apply("exp", (X,), value(0, Buffer(2)))]), "no buffer 2")
    refused(sound([Apply("exp", (X,), value(0, Extended(0), (True, (3,))))]), "does not fit in m×2")
    verify(sound([Apply("exp", (X,), value(0, Extended(0)))]))
    refused(sound([Apply("exp", (X,), value(0, Given(1)))]), "never written to")


G = value(9, Made(), (False, (4,)))
LEFT, RIGHT = Region(0, (2,), (1,)), Region(2, (2,), (1,))


def piece(number, region):
    return value(number, Part(G, region), (False, (2,)))


def pieces(first, second, zeros=False):
    return [Start(G, zeros), AddUp(X, (0,), piece(0, first)), AddUp(X, (0,), piece(1, second))]


def test_assemblies():
    verify(sound(pieces(LEFT, RIGHT), [G]))
    refused(sound(pieces(LEFT, LEFT), [G]), "set twice")
    refused(sound(pieces(LEFT, RIGHT)[:2], [G]), "2 elements that nothing sets")
    verify(sound([Start(G, True), *pieces(LEFT, RIGHT)[1:2]], [G]))
    refused(sound(pieces(LEFT, RIGHT)[1:], [G]), "written to before it is there")
    refused(sound(pieces(LEFT, Region(3, (2,), (1,))), [G]), "one beyond")
    early = Apply("exp", (G,), value(5, New(), (False, (4,))))
    refused(sound([*pieces(LEFT, RIGHT)[:2], early, pieces(LEFT, RIGHT)[2]], [G]), "before its last 1 pieces")


def test_pieces_that_are_added():
    add = Put(THETA, G, None, True)
    verify(sound([*pieces(LEFT, RIGHT), add], [G]))
    refused(sound([*pieces(LEFT, RIGHT)[:2], add], [G]), "added to before they are set")
    stale = Apply("exp", (piece(0, LEFT),), value(5, New(), (False, (2,))))
    refused(sound([*pieces(LEFT, RIGHT), add, stale], [G]), "read after %9 was changed there")
    refused(sound([*pieces(LEFT, RIGHT), Put(piece(0, LEFT), G, LEFT, True)], [G]), "is read while")
    twice = value(-3, Fixed(0), (False, (2,)))
    put = Put(THETA, G, twice, True)
    refused(sound([Start(G, True), put], [G], constants=[np.array([1, 1])]), "elements of %9 twice")
    verify(sound([Start(G, True), put], [G], constants=[np.array([1, 0])]))


def test_results_have_memory_of_their_own():
    refused(sound([TO_A], [A]), "lies in B0")
    refused(sound([], [Moved(X, ())]), "lies in the memory of an argument")
    verify(sound([TO_A], [Copied(A)]))


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_a_buffer_that_makes_numbers_wrong_is_refused(activation):
    """Let each step in turn write to another buffer: where the numbers change, the check says so."""
    program = program_of(activation)
    made = schedule(program)
    theta = np.linspace(-1.0, 1.5, 26)
    right = computed(program, made, theta, *X_AND_Y)
    refused_ones = wrong = 0
    for i, step in enumerate(made.steps):
        if isinstance(step, Start | Put) or not isinstance(step.into.place, Buffer):
            continue
        for number in {*range(len(made.work.buffers))} - {step.into.place.number}:
            moved = {step.into.number: replace(step.into, place=Buffer(number))}
            steps, results = _replaced(made.steps, moved), _replaced(made.results, moved)
            changed = replace(made, steps=steps, results=results)
            assert steps[i].into.place == Buffer(number)
            if made.work.buffers[number] != step.into.kind:
                refused(changed, "does not fit")
                continue
            found = computed(program, changed, theta, *X_AND_Y)
            differs = any((x != y).any() for x, y in zip(right, found, strict=True))
            wrong += differs
            try:
                verify(changed)
                assert not differs, f"{step} in B{number}"
            except WrongSchedule:
                refused_ones += 1
    assert refused_ones >= wrong > 2


def _replaced(node, values):
    """A step or operand with some values replaced, wherever they stand."""
    if isinstance(node, Variable):
        node = values.get(node.number, node)
        return replace(node, place=_replaced(node.place, values)) if isinstance(node.place, Part) else node
    if isinstance(node, tuple) and not hasattr(node, "_fields"):
        return tuple(_replaced(x, values) for x in node)
    if hasattr(node, "__dataclass_fields__"):
        return replace(node, **{x: _replaced(getattr(node, x), values) for x in node.__dataclass_fields__})
    return node


# ------------------------------------------------------------------------------------------ random programs


class Growing:
    """A random program in the making: arrays of a few shapes, each made from those before."""

    def __init__(self, draw):
        self.draw = draw
        self.theta, self.x = Theta(12), Input(0, (4,))
        self.arrays = [
            View(self.theta, 0, (4,), (1,)),
            View(self.theta, 4, (2, 4), (4, 1)),
            self.x,
            Reshape(self.x, (2, 2)),
            Constant(np.array([0.5, -1.0, 2.0, 1.5])),
        ]

    def integer(self, n):
        return self.draw(st.integers(0, n - 1))

    def any(self, *tests):
        fitting = [x for x in self.arrays if all(test(x) for test in tests)]
        return fitting[self.integer(len(fitting))] if fitting else None

    def alike(self, array):
        return self.any(lambda x: x.shape == array.shape)

    def grow(self):
        kinds = [
            "map",
            "two",
            "sum",
            "formula",
            "view",
            "gather",
            "reshape",
            "fill",
            "reduce",
            "sumto",
            "dot",
        ]
        kinds += ["matmul", "affine", "product", "assemble", "spread"]
        made = getattr(self, kinds[self.integer(len(kinds))])()
        if made is not None and made.size <= 64:
            self.arrays.append(made)

    def map(self):
        x = self.any()
        return Map((x,), x.shape, TABLE[["tanh", "sigmoid", "negative", "sin"][self.integer(4)]])

    def two(self):
        x = self.any()
        return Map((x, self.alike(x)), x.shape, TABLE[["multiply", "maximum"][self.integer(2)]])

    def sum(self):
        x = self.any()
        return Sum((x, self.alike(x), self.alike(x)), x.shape, ([1.0, -1.0][self.integer(2)], 1.0, -0.5))

    def formula(self):
        x = self.any()
        y, (s, t) = self.alike(x), (Expression("slot", 0), Expression("slot", 1))
        inner, product = Expression("sin", s * t), s * t
        made = [inner * inner + s, Expression("where", s > t, inner, t - s), (s > t) * inner, s * s - 2.0 * t]
        made.append((Expression("sin", product) + (s - t)) * product)
        return Elementwise((x, y), made[self.integer(len(made))])

    def view(self):
        x = self.any(lambda x: x.size > 1)
        step, base = 1 + self.integer(2), self.integer(x.size)
        n = 1 + self.integer((x.size - base + step - 1) // step)
        return View(x, base, (n,), (step if n > 1 else 0,))

    def gather(self):
        x = self.any()
        return Gather(x, np.array([self.integer(x.size) for _ in range(3)]))

    def spread(self):
        x = self.any(lambda x: len(x.shape) == 1 and x.size <= 4)
        return x and Spread(x, np.arange(x.size) * 2, (x.size, 2))

    def reshape(self):
        x = self.any()
        return Reshape(x, [(x.size,), (1, x.size), (x.size, 1)][self.integer(3)])

    def fill(self):
        x = self.any(lambda x: len(x.shape) == 1 and not x.batched)
        return Fill(x, (3, x.size), self.integer(2) == 1)

    def reduce(self):
        return Reduce(self.any(), ["add", "maximum"][self.integer(2)])

    def sumto(self):
        x = self.any(lambda x: len(x.shape) < 3)
        axes = [(), (0,)][self.integer(2)] if len(x.shape) == 2 else ()
        return SumTo(x, axes, x.batched, len(axes)) if axes or x.batched else None

    def dot(self):
        x = self.any()
        return RowDot(x, self.alike(x))

    def matmul(self):
        columns = self.any(lambda x: len(x.shape) == 2 and not x.batched)
        rows = columns and self.any(lambda x: len(x.shape) in (1, 2) and x.shape[-1] == columns.shape[1])
        return rows and MatMul(rows, columns)

    def affine(self):
        rows = self.any(lambda x: x.shape == (3,) and x.batched)
        if rows is None:
            return None
        W, b = View(self.theta, 4, (2, 3), (4, 1)), View(self.theta, 7, (2,), (4,))
        return Sum((MatMul(rows, W), b), (2,), (1.0, 1.0))

    def product(self):
        delta = self.any(lambda x: x.batched and len(x.shape) == 1)
        other = self.any(lambda x: x.batched and len(x.shape) == 1)
        if delta is None or other is None:
            return None
        return Product(delta, other, "columns", (delta.size, other.size), False)

    def assemble(self):
        x = self.any(lambda x: len(x.shape) == 1 and x.size <= 6)
        y = x and self.any(lambda y: y.shape == x.shape and y.batched == x.batched)
        if y is None:
            return None
        n = x.size
        whole = View(x, 0, (n,), (1 if n > 1 else 0,))
        first, second = (replace(whole, base=base) for base in (0, n))
        added = self.integer(2)
        places, parts = (first, second, None), (x, y, Reshape(self.alike(x), (n,)))
        if not added or parts[2].batched != x.batched:
            return Assemble((x, y), places[:2], (False, False), False, (2 * n,), x.batched)
        return Assemble(
            (x, y, parts[2]), (first, second, second), (False, False, True), False, (2 * n,), x.batched
        )

    def program(self):
        for _ in range(6 + self.integer(20)):
            self.grow()
        last = [Term(0.5, -1, x) for x in self.arrays[-3:]]
        cost = Total((*last, Term(1.0, 0, self.any())))
        pieces = [SumTo(x, (), True) if x.batched else x for x in self.arrays if x.shape == (4,)]
        places = [View(self.theta, base, (4,), (1,)) for base in (0, 4, 8)]
        chosen = [pieces[self.integer(len(pieces))] for _ in range(1 + self.integer(3))]
        added = [self.integer(2) == 1 and i > 0 for i in range(len(chosen))]
        used = [places[0] if plus else places[i] for i, plus in enumerate(added)]
        gradient = Assemble(tuple(chosen), tuple(used), tuple(added), True, (12,), False)
        return Program((self.theta, self.x), (cost, gradient), {self.x: "x"})


@st.composite
def programs(draw):
    return Growing(draw).program()


@settings(max_examples=300, deadline=None)
@given(programs())
def test_random_programs_are_scheduled_without_aliases(program):
    for array in program.arrays:
        if isinstance(array, View):
            assert slicing(array.source.size, array.base, array.shape, array.strides) is not None
    rng = np.random.default_rng(0)
    run(program, rng.normal(size=12), rng.normal(size=(3, 4)))


# ----------------------------------------------------------------------------------------------------- loops


def recurrence(falling=False):
    """h ← tanh(W h + x_t), g ← the old h; the outputs are h² of each step. Costs are of all three."""
    theta, x = Theta(4), Input(0, (6,))
    W = View(theta, 0, (2, 2), (2, 1))
    h, g, x_t, w = Local((2,), True), Local((2,), True), Local((2,), True), Local((2, 2), False)
    following = Map((Sum((MatMul(h, w), x_t), (2,), (1.0, 1.0)),), (2,), TABLE["tanh"])
    square = Map((following, following), (2,), TABLE["multiply"])
    body = Program((h, g, x_t, w), (following, h, square), {h: "h", g: "g", x_t: "x_t", following: "h_next"})
    zero = Fill(Constant(np.array([0.0])), (2,), True)
    loop = Loop(3, body, (zero, Map((zero,), (2,), TABLE["cos"])), (Reshape(x, (3, 2)),), (W,), falling)
    results = [Result(loop, i) for i in range(3)]
    terms = tuple([Term(1.0 + i, 0, x) for i, x in enumerate(results)])
    gradient = Assemble(
        (SumTo(results[0], (), True),), (View(theta, 0, (2,), (1,)),), (False,), True, (4,), False
    )
    return Program((theta, x), (Total(terms), gradient), {x: "x"})


def by_hand(W, X, falling):
    h, g, squares = np.zeros((len(X), 2)), np.ones((len(X), 2)), np.zeros((len(X), 3, 2))
    for t in reversed(range(3)) if falling else range(3):
        h, g = np.tanh(h @ W.T + X.reshape(-1, 3, 2)[:, t]), h
        squares[:, t] = h * h
    return h.sum() + 2 * g.sum() + 3 * squares.sum(), h.sum(axis=0)


@pytest.mark.parametrize("falling", [False, True])
def test_loops(falling):
    W, X = np.array([[0.5, -1.0], [0.25, 0.75]]), np.linspace(-1, 1, 12).reshape(2, 6)
    cost, gradient = run(recurrence(falling), W.reshape(-1), X)
    expected = by_hand(W, X, falling)
    assert cost == pytest.approx(expected[0])
    np.testing.assert_allclose(gradient[:2], expected[1])


def test_a_number_times_a_constant_is_an_array_where_one_is_read():
    """s ← sin(s/2 + s), of one number; s/2 is put among zeros too, which takes an array of one element."""
    theta, x = Theta(1), Input(0, (1,))
    s = Local((1,), False)
    half = Map((Constant(np.array([0.5])), s), (1,), TABLE["multiply"])
    following = Map((Sum((half, s), (1,), (1.0, 1.0)),), (1,), TABLE["sin"])
    left = Spread(half, np.array([1]), (2,))
    loop = Loop(3, Program((s,), (following, left), {}), (View(theta, 0, (1,), (0,)),))
    results = [Result(loop, 0), Result(loop, 1)]
    terms = tuple([Term(1.0 + i, 0, y) for i, y in enumerate([*results, x])])
    gradient = Assemble((results[0],), (View(theta, 0, (1,), (0,)),), (False,), False, (1,), False)
    made = Program((theta, x), (Total(terms), gradient), {x: "x"})
    cost, after = run(made, np.array([0.7]), np.ones((1, 1)))
    states = [0.7]
    for _ in range(3):
        states.append(np.sin(1.5 * states[-1]))
    assert after == pytest.approx(states[-1:])
    assert cost == pytest.approx(states[-1] + sum(states[:-1]) + 3.0)


def test_loops_in_loops():
    theta, x = Theta(2), Input(0, (2,))
    h, w = Local((2,), True), Local((2,), False)
    inner = Program((h, w), (Map((h, w), (2,), TABLE["multiply"]),), {})
    g, v = Local((2,), True), Local((2,), False)
    outer = Program((g, v), (Result(Loop(2, inner, (g,), (), (v,)), 0),), {})
    final = Result(Loop(3, outer, (x,), (), (theta,)), 0)
    program = Program((theta, x), (final,), {x: "x"}, (2,))
    (made,) = run(program, np.array([2.0, 0.5]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_allclose(made, [[64.0, 2 / 64], [192.0, 4 / 64]])


def test_a_loop_prints_its_body_and_has_its_work():
    made = schedule(recurrence())
    assert "for t = 1 … 3: body(" in str(made)
    assert "\n    given h m×2, g m×2, x_t m×2, %-4 2×2" in str(made)
    loop = next(x for x in made.steps if isinstance(x, Repeat))
    assert made.work.bodies == (loop.body.work,)
    assert len(made.work.allocate(7)[-1]) == len(loop.body.work.buffers) > 0


def test_loops_broken_by_hand():
    made = schedule(recurrence())
    i, loop = next((i, x) for i, x in enumerate(made.steps) if isinstance(x, Repeat))

    def broken(**changes):
        steps = list(made.steps)
        steps[i] = replace(loop, **changes)
        return replace(made, steps=tuple(steps))

    (h, g), (square,) = loop.states, loop.outputs
    assert len(h.memory) == len(g.memory) == 2
    refused(broken(states=(h, replace(g, memory=g.memory[:1]))), "state 2 has not the memory")
    refused(broken(states=(h, replace(g, is_number=True))), "state 2 has not the memory")
    refused(broken(states=(h, replace(g, memory=h.memory))), "share memory")
    refused(broken(invariants=()), "other arguments or results")
    refused(broken(sequences=(h.memory[0],)), "read before it is made")
    shared = replace(square, place=h.memory[0].place)
    refused(broken(outputs=(shared,)), "share memory")
    refused(broken(outputs=(None,)), "output 1 has no memory")
    # a step must not write where it reads the state before it, or what the next result is to be
    after = replace(loop.body.steps[0].into, place=loop.body.arguments[0].place)
    steps = (replace(loop.body.steps[0], into=after), *loop.body.steps[1:])
    refused(broken(body=replace(loop.body, steps=steps)), "never written to")
    results = (loop.body.results[-1], *loop.body.results[1:])
    refused(broken(body=replace(loop.body, results=results)), "lies in the memory of result 3")


def test_what_lies_by_step_is_read_and_written_without_a_copy():
    """The steps of sequences and outputs are matrices without gaps, and one product sums over all of them."""
    theta, x = Theta(4), Input(0, (6,))
    W = View(theta, 0, (2, 2), (2, 1))
    h, z_t, w = Local((2,), True), Local((2,), True), Local((2, 2), False)
    after = Map((Sum((MatMul(h, w), z_t), (2,), (1.0, 1.0)),), (2,), TABLE["tanh"])
    zero = Fill(Constant(np.array([0.0])), (2,), True)
    z = MatMul(Reshape(x, (3, 2)), W)
    loop = Loop(3, Program((h, z_t, w), (after, h), {}), (zero,), (z,), (W,))
    before = Result(loop, 1)
    both = Product(Map((before, z), (3, 2), TABLE["multiply"]), before, "columns", (2, 2), False)
    cost = Total((Term(1.0, 0, Result(loop, 0)), Term(1.0, 0, both)))
    program = Program((theta, x), (cost,), {x: "x"})
    made = schedule(program)
    run(program, np.array([0.5, -1.0, 0.25, 0.75]), np.linspace(-1, 1, 12).reshape(2, 6))
    repeat = next(x for x in made.steps if isinstance(x, Repeat))
    (state,) = repeat.states
    assert repeat.outputs == (None,)  # the states before the steps are all states but the last
    assert state.memory[0].kind == (True, (4, 2))
    assert state.memory[0].place.number in made.work.by_step
    made_work = made.work.allocate(5)
    for number in made.work.by_step:
        assert made_work[number].swapaxes(0, 1).flags.c_contiguous
    assert isinstance(repeat.sequences[0], Variable)
    assert repeat.sequences[0].place.number in made.work.by_step


def test_sums_over_samples_and_steps_are_products_with_ones():
    theta, x = Theta(4), Input(0, (6,))
    h, x_t = Local((2,), True), Local((2,), True)
    after = Map((Sum((h, x_t), (2,), (1.0, 1.0)),), (2,), TABLE["tanh"])
    zero = Fill(Constant(np.array([0.0])), (2,), True)
    loop = Loop(3, Program((h, x_t), (after, after), {}), (zero,), (Reshape(x, (3, 2)),))
    for drop, place in ((1, View(theta, 0, (2,), (1,))), (0, View(theta, 0, (1, 2), (2, 1)))):
        summed = SumTo(Result(loop, 1), (0,), True, drop)
        gradient = Assemble((summed,), (place,), (False,), True, (4,), False)
        program = Program((theta, x), (Total((Term(1.0, 0, Result(loop, 0)),)), gradient), {x: "x"})
        X = np.linspace(-1, 1, 12).reshape(2, 6)
        found = run(program, np.zeros(4), X)[1]
        state, expected = np.zeros((2, 2)), np.zeros(2)
        for t in range(3):
            state = np.tanh(state + X.reshape(2, 3, 2)[:, t])
            expected += state.sum(axis=0)
        np.testing.assert_allclose(found[:2], expected, rtol=1e-14)
        products = [step for step in schedule(program).steps if isinstance(step, MatrixProduct)]
        assert [step.left for step in products] == [Ones(None)] * drop


# -------------------------------------------------------------------------------------------- completeness


def test_every_kind_of_array_step_and_operand_is_known():
    kinds = {x for x in vars(ir).values() if isinstance(x, type) and issubclass(x, ir.Array)}
    assert set(OF_KIND) == kinds - {ir.Array, ir.Absent, View, Reshape, Fill}
    assert set(numpy_calls.NumpyCalls.STEPS) == set(get_args(Instruction))
    assert set(numpy_calls.NumpyCalls.OPERANDS) == set(get_args(Operand))


@pytest.mark.parametrize("module", ["operands", "steps", "placement", "builder", "elementwise", "schedule"])
def test_a_schedule_knows_nothing_of_numpys_text(module):
    text = (Path(autobp.__file__).parent / "backends" / f"{module}.py").read_text()
    assert not re.search(r"[\"\']np\.|source_module|numpy_text", text)


# ---------------------------------------------------------------------------------- what is moved, and copied


@settings(max_examples=300)
@given(st.data())
def test_what_is_told_to_be_no_copy_is_a_view_in_numpy(data):
    """Only a view may be taken before a loop whose steps write to its memory."""
    m = 3
    x = whole = np.arange(m * 24.0).reshape(m, 2, 3, 4)
    how: list[moves.Move] = []
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flat", "row", "merged", "split", "cut", "turned"]))
        if kind in ("flat", "row", "merged"):
            sizes = {"flat": (-1,), "row": ("m", -1), "merged": (-1, x.shape[-1])}[kind]
            how.append(moves.Sizes(sizes))
        elif kind == "split" and x.ndim > 1 and x.shape[-1] % 2 == 0:
            how.append(moves.Sizes(("m", *x.shape[1:-1], x.shape[-1] // 2, 2)))
        elif kind == "cut":
            axis, step = data.draw(st.integers(0, x.ndim - 1)), data.draw(st.sampled_from([None, 2]))
            entries = [slice(None)] * axis + [slice(0, data.draw(st.integers(1, x.shape[axis])), step)]
            how.append(moves.Part(tuple(entries)))
        elif x.ndim > 1:
            how.append(moves.Swap(0, 1))
        else:
            continue
        move = how[-1]
        if isinstance(move, moves.Sizes):
            if "m" in move.sizes and x.shape[0] != m:
                how.pop()
                continue
            x = x.reshape([m if n == "m" else n for n in move.sizes])
        else:
            x = x[move.entries] if isinstance(move, moves.Part) else x.swapaxes(0, 1)
    assert moves.may_copy(tuple(how)) or np.shares_memory(x, whole)

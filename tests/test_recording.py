"""What one trace would fix is refused, with its line; what it would not is compiled."""

from __future__ import annotations

import collections
import contextvars
import datetime
import functools
import itertools
import logging
import os
import random
import secrets
import sys
import tempfile
import threading
import time
import types
import uuid
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import MLP, Value
from autobp.compiler import recording
from autobp.compiler.draws import generators_among, reached

HERE = r"test_recording\.py, line \d+, `.*`, "
W = Value(0.5, label="w")


def compiled(function: Callable[..., Any], *example: Any) -> autobp.compiler.Step:
    return autobp.compile(function, [W], example=example or (1.0,))


# ------------------------------------------------------------------------------------- arguments as lists


def refused_lists() -> list[tuple[Callable[[Any, Any], Any], str]]:
    return [
        (lambda x, y: 2 * x, "multiplies"),
        (lambda x, y: x * 2, "multiplies"),
        (lambda x, y: len(x) * x, "multiplies"),
        (lambda x, y: True * x, "multiplies"),
        (lambda x, y: W * x, "multiplies"),
        (lambda x, y: x * np.int64(2), "multiplies"),
        (lambda x, y: np.int64(2) * x, "multiplies"),
        (lambda x, y: np.prod([2, 1]) * x, "multiplies"),
        (lambda x, y: 2.5 * x, "multiplies"),
        (lambda x, y: x * y, "multiplies"),
        (lambda x, y: 2 * x[:2], "multiplies"),
        (lambda x, y: 2 * x[::-1][1:], "multiplies"),
        (lambda x, y: 2 * x.copy(), "multiplies"),
        (lambda x, y: functools.reduce(lambda a, b: a * b, [2, x]), "multiplies"),
        (lambda x, y: x + y, "adds to"),
        (lambda x, y: x[:1] + y[1:], "adds to"),
        (lambda x, y: x + [1.0], "adds to"),  # noqa: RUF005
        (lambda x, y: [1.0] + x, "adds to"),  # noqa: RUF005
        (lambda x, y: x + 1.0, "adds to"),
        (lambda x, y: sum([x, y], []), "adds to"),  # noqa: RUF017
        (lambda x, y: x.__iadd__(y), "adds to"),
        (lambda x, y: x.__imul__(2), "multiplies"),
    ]


@pytest.mark.parametrize(("made", "what"), refused_lists())
def test_what_lists_and_arrays_read_differently_is_refused(made: Any, what: str) -> None:
    """``w * sum(v * v for v in 2 * x)`` was 10 where the same function of an array is 20."""

    def loss(x: Any, y: Any) -> Any:
        return W * sum([v * v for v in made(x, y)])

    with pytest.raises(TypeError, match=HERE + what + r" .* argument.*np\.array\(x\).*\[\*x, \*[xy]\]"):
        compiled(loss, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0])


@pytest.mark.parametrize(
    "made",
    [
        lambda x, y: (W - y) ** 2,
        lambda x, y: y - W,
        lambda x, y: 1.0 - y,
        lambda x, y: x / W,
        lambda x, y: 2.0 / x,
        lambda x, y: x**2,
        lambda x, y: 2.0**x,
        lambda x, y: -x,
    ],
)
def test_a_list_of_targets_is_no_number_and_says_so(made: Any) -> None:
    with pytest.raises(TypeError, match=HERE + r"computes with an argument as .*np\.array\(x\).*y\[0\]"):
        compiled(made, [1.0, 2.0], [3.0])


def test_beside_numpys_numbers_an_argument_is_an_array() -> None:
    def loss(x: Any, y: Any) -> Any:
        return W * sum((x - np.float64(1.0)) * (np.ones(2) - y) / np.float64(2.0))

    cost, _ = compiled(loss, [1.0, 2.0], [3.0, 5.0])([0.5], [[1.0, 2.0]], [[3.0, 5.0]])
    assert cost == 0.5 * (0.0 * -2.0 + 1.0 * -4.0) / 2.0


def test_rows_of_an_argument_are_such_lists_too() -> None:
    with pytest.raises(TypeError, match="multiplies an argument"):
        compiled(lambda x: W * sum(2 * x[1]), [[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(TypeError, match="adds to an argument"):
        compiled(lambda x: W * sum(x[0] + x[1]), [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    "made",
    [
        lambda x, y: [*x, *y],
        lambda x, y: [v for row in (x, y) for v in row],
        lambda x, y: list(x) + list(y),
        lambda x, y: [*itertools.chain(x, y)],
        lambda x, y: [x[0], *x[1:2], x[-1], *y[::-1]],
        lambda x, y: [a * b for a, b in zip(x, y, strict=True)],
        lambda x, y: [v * i for i, v in enumerate(x)],
        lambda x, y: np.array(x) * 2 + np.array(y),
        lambda x, y: np.array([3.0, 2.0, 1.0]) * x,
        lambda x, y: x * np.array([3.0, 2.0, 1.0]),
        lambda x, y: np.ones(3) + x + np.ones(3),
        lambda x, y: np.exp(x) - np.negative(y),
        lambda x, y: np.maximum.reduce([np.ones(3), np.array([0.5, 2.0, 0.1])]) * x,
        lambda x, y: [np.dot(np.ones(3), x), np.add(x, y)[0], (np.ones(3) @ np.array(x))],
        lambda x, y: np.array([x, y]).T @ np.array([1.0, 2.0]),
        lambda x, y: np.stack([x, y]).reshape(-1),
        lambda x, y: [sum(x), sum(y, Value(0.0)), autobp.sum(x)],
        lambda x, y: [v * 2 for v in reversed(x)],
        lambda x, y: [len(x) * x[0], isinstance(x, list) * x[1], bool(x) * x[2], (x[0] in x) * y[0]],
        lambda x, y: (lambda a, b, c: [a * b, c])(*x),
        lambda x, y: x[-2:],
    ],
)
def test_whatever_else_a_list_does_arguments_do(made: Any) -> None:
    def loss(x: Any, y: Any) -> Any:
        first, *_ = x
        return W * sum([v * v for v in made(x, y)]) + first

    a, b = [1.0, -2.0, 3.0], [4.0, 5.0, 7.0]
    step = compiled(loss, a, b)
    expected = [loss([*map(Value, row)], [*map(Value, other)]).data for row, other in ((a, b), (b, a))]
    assert step(step.theta, [a, b], [b, a])[0] == pytest.approx(np.mean(expected), rel=1e-14)


def test_arrays_of_rows_are_what_eager_has() -> None:
    step = compiled(lambda x: W * sum((2 * np.array(x)).reshape(-1)), [[1.0, 2.0], [3.0, 4.0]])
    assert step([0.5], [[[1.0, 2.0], [3.0, 4.0]]])[0] == 10.0


def test_a_function_may_ask_whether_its_argument_adds() -> None:
    """The refusal is a TypeError as any list raises it, and a function that catches it goes on."""

    def moved(x: Any) -> Any:
        try:
            return x + 1.0
        except TypeError:
            return [v + 1.0 for v in x]

    assert compiled(lambda x: W * sum(moved(x)), [1.0, 2.0])([0.5], [[1.0, 2.0]])[0] == 2.5


# ----------------------------------------------------------------------------------------------- coins

CLASSIC = random.Random(3)
NUMPY = np.random.default_rng(3)


class ByClass:
    generator = np.random.default_rng(3)
    python = random.Random(3)

    @property
    def hidden(self) -> np.random.Generator:
        return NUMPY

    @staticmethod
    def static() -> float:
        return float(NUMPY.random())

    @classmethod
    def of_class(cls) -> float:
        return float(cls.generator.random())


class Derived(ByClass):
    pass


class Slots:
    __slots__ = ("generator",)

    def __init__(self) -> None:
        self.generator = np.random.default_rng(3)


class Draws:
    """Callable, and holds its generator in a slot of its class's."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = collections.deque([np.random.default_rng(3)])

    def __call__(self) -> float:
        return float(self.held[0].random())


def module(name: str) -> types.ModuleType:
    made = types.ModuleType(name)
    made.generator = np.random.default_rng(3)  # type: ignore[attr-defined]
    return made


BY_CLASS, SLOTS, DERIVED, DRAWS = ByClass(), Slots(), Derived(), Draws()
DEQUE = collections.deque([np.random.default_rng(3)])
OBJECTS = np.array([np.random.default_rng(3), None], dtype=object)
MODULE, HELD = module("of_chance"), types.SimpleNamespace(module=module("held_by_something"))
sys.modules["imported_of_chance"] = module("imported_of_chance")
BOUND, BOUND_NUMPY = random.Random(3).random, np.random.default_rng(3).random
RAW = np.random.PCG64(3)
SEEDS = np.random.SeedSequence(3)


def stream() -> Any:
    generator = np.random.default_rng(3)
    while True:
        yield generator.random()


STREAM = stream()
RNG = np.random.default_rng(3)
HALF_WAY = stream()
next(HALF_WAY)
STREAM_BY_NAME = (RNG.random() for _ in itertools.count())
SYSTEM = random.SystemRandom()
LOCAL = threading.local()
LOCAL.generator = np.random.default_rng(3)
CONTEXT: contextvars.ContextVar[Any] = contextvars.ContextVar("generator")
CONTEXT.set(np.random.default_rng(3))
PARTIAL = functools.partial(np.random.default_rng(3).normal, 0.5)
CYCLE = itertools.cycle([np.random.default_rng(3)])
BY_KEY = {np.random.default_rng(3): None}
MAPPED = map(np.random.default_rng(3).random, itertools.repeat(None))
CACHED = functools.lru_cache(lambda i: np.random.default_rng(3))


def imports() -> float:
    import imported_of_chance  # type: ignore[import-not-found]

    return float(imported_of_chance.generator.random())


def imports_a_name() -> float:
    from imported_of_chance import generator

    return float(generator.random())


COINS: dict[str, Callable[[], float]] = {
    "a class attribute": lambda: ByClass.generator.random(),
    "an instance's class attribute": lambda: BY_CLASS.generator.random(),
    "an inherited class attribute": lambda: DERIVED.generator.random(),
    "Python's as a class attribute": lambda: BY_CLASS.python.random(),
    "slots": lambda: SLOTS.generator.random(),
    "a callable with slots": lambda: DRAWS(),
    "a deque": lambda: DEQUE[0].random(),
    "an object array": lambda: OBJECTS[0].random(),
    "a property": lambda: BY_CLASS.hidden.random(),
    "a static method": lambda: ByClass.static(),
    "a static method of an instance": BY_CLASS.static,
    "a class method": Derived.of_class,
    "a bound method": lambda: BOUND(),
    "a bound method itself": BOUND,
    "a bound method of NumPy's": lambda: BOUND_NUMPY(),
    "random_raw": lambda: (RAW.random_raw() & 1) * 1.0,
    "random_raw of a generator": lambda: (NUMPY.bit_generator.random_raw() & 1) * 1.0,
    "a spawned generator": lambda: np.random.default_rng(SEEDS.spawn(1)[0]).random(),
    "a Python generator": lambda: next(STREAM),
    "one that is half way": lambda: HALF_WAY.send(None),
    "a generator expression": lambda: next(STREAM_BY_NAME),
    "a generator expression inside": lambda: sum(RNG.random() for _ in range(1)),
    "a module's attribute": lambda: MODULE.generator.random(),
    "a module that something holds": lambda: HELD.module.generator.random(),
    "a module that is imported inside": imports,
    "a name that is imported inside": imports_a_name,
    "globals()": lambda: globals()["NUMPY"].random(),
    "getattr": lambda: getattr(sys.modules[__name__], "NUMPY").random(),  # noqa: B009
    "a thread's local": lambda: LOCAL.generator.random(),
    "a context variable": lambda: CONTEXT.get().random(),
    "a partial": lambda: PARTIAL(),
    "an iterator": lambda: next(CYCLE).random(),
    "a key": lambda: next(iter(BY_KEY)).random(),
    "what a cache keeps": lambda: CACHED(1).random(),
    "SystemRandom": lambda: SYSTEM.random(),
    "SystemRandom, anew": lambda: random.SystemRandom().uniform(0.0, 1.0),
    "secrets": lambda: secrets.randbelow(2) * 1.0,
    "secrets.choice": lambda: secrets.choice([0.0, 1.0]),
    "os.urandom": lambda: os.urandom(1)[0] / 256,
    "uuid": lambda: (uuid.uuid4().int & 1) * 1.0,
    "random, anew": lambda: random.Random().random(),
    "random, seeded and anew": lambda: (random.Random(3).random(), random.Random().gauss(0.5, 1.0))[1],
    "random that is seeded by chance": lambda: (CLASSIC.seed(), CLASSIC.random())[1],
    "NumPy's, anew": lambda: np.random.default_rng().random(),
    "NumPy's old ones, anew": lambda: np.random.RandomState().rand(),
    "choice": lambda: random.choice([0.0, 1.0]),
    "shuffle": lambda: (lambda x: (CLASSIC.shuffle(x), x[0])[1])([0.0, 1.0]),
}


@pytest.mark.parametrize("how", COINS)
def test_a_coin_is_refused_however_the_generator_is_reached(how: str) -> None:
    coin = COINS[how]

    def loss(x: Value) -> Value:
        return x * W if coin() < 2.0 else W  # it falls as it fell each time: no two traces differ

    with pytest.raises(ValueError, match=r"test_recording\.py, line \d+, .*draws random numbers"):
        compiled(loss)


def test_a_coin_of_pytorch_is_refused() -> None:
    torch = pytest.importorskip("torch")
    own = torch.Generator()
    for draw in (lambda: torch.rand(1), lambda: torch.rand(1, generator=own)):
        with pytest.raises(ValueError, match=HERE + "draws random numbers"):
            compiled(lambda x, draw=draw: x * W if draw() < 2.0 else W)
    compiled(lambda x: x * W * float(torch.ones(1)))


def test_a_coin_in_a_generator_of_a_class_that_tells_no_state_raises_nothing_else() -> None:
    class Mute(random.Random):
        def getstate(self) -> Any:
            raise RuntimeError("I do not tell")

    mute = Mute(3)
    assert mute in generators_among(reached(lambda: mute.random()))
    with pytest.raises(ValueError, match=HERE + "draws random numbers"):
        compiled(lambda x: x * W if mute.random() < 2.0 else W)
    compiled(lambda x: x * W if mute else W)


def test_a_large_list_of_parameters_hides_no_generator() -> None:
    held = {"weights": [[Value(1.0) for _ in range(300)] for _ in range(100)], "generator": Draws()}
    with pytest.raises(ValueError, match=HERE + "draws random numbers"):
        compiled(lambda x: x * W if held["generator"]() < 2.0 else held["weights"][0][0])  # type: ignore[operator,index]


def test_data_in_lists_are_not_gone_through_without_end() -> None:
    data = [[float(i)] * 300 for i in range(9_000)]

    def loss(x: Value) -> Value:
        return x * W * data[0][0] if DRAWS() < 2.0 else W

    started = time.perf_counter()
    reached(lambda: data)
    assert time.perf_counter() - started < 2.0
    with pytest.raises(ValueError, match=HERE + "draws random numbers"):
        compiled(loss)


# ------------------------------------------------------------------------------------ clocks and counters


@pytest.mark.parametrize(
    ("clock", "name"),
    [
        (time.time, "time"),
        (lambda: time.time(), "time"),
        (lambda: time.time_ns() * 1e-9, "time_ns"),
        (lambda: time.monotonic(), "monotonic"),
        (lambda: time.perf_counter(), "perf_counter"),
        (lambda: time.process_time(), "process_time"),
        (lambda: time.localtime().tm_hour, "localtime"),
        (lambda: datetime.datetime.now().hour, r"datetime\.now"),
        (lambda: datetime.datetime.now(datetime.timezone.utc).hour, r"datetime\.now"),
        (lambda: datetime.date.today().year, r"date\.today"),
    ],
)
def test_a_decision_by_a_clock_is_refused(clock: Callable[[], float], name: str) -> None:
    with pytest.raises(ValueError, match=HERE + rf"reads a clock, {name}\(\): .*Read it outside"):
        compiled(lambda x: x * W if clock() > 1e300 else W)


@pytest.mark.parametrize("first", range(1, 8))
def test_a_counter_that_decides_within_eight_traces_is_refused(first: int) -> None:
    count = itertools.count()
    with pytest.raises(ValueError, match=r"two traces .*a clock or a counter"):
        compiled(lambda x: x * W if next(count) < first else W + x)


def test_small_graphs_are_traced_eight_times_and_large_ones_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[int] = []

    def loss(x: Any, n: int) -> Any:
        traces.append(n)
        return autobp.sum([W * x for _ in range(n)])

    for n, expected in ((10, 8), (300, 5), (700, 2)):
        traces.clear()
        compiled(lambda x, n=n: loss(x, n))
        assert len(traces) == expected, n
    monkeypatch.setattr(recording, "_QUICK", 0.0)  # what takes long is not traced again and again
    traces.clear()
    compiled(lambda x: loss(x, 10))
    assert len(traces) == 2


@pytest.mark.parametrize(
    ("chance", "what"),
    [
        (os.urandom, "draws"),
        (lambda n: secrets.token_bytes(n), "draws"),
        (lambda n: random.SystemRandom().random(), "draws"),
        (lambda n: SYSTEM.random(), "draws"),
        (lambda n: uuid.uuid4(), "draws"),
        (lambda n: random.Random().random(), "draws"),
        (lambda n: np.random.default_rng().random(), "draws"),
        (lambda n: np.random.Generator(np.random.PCG64()).random(), "draws"),
        (lambda n: time.time(), "reads a clock"),
        (lambda n: datetime.datetime.now(), "reads a clock"),
        (lambda n: ByClass.generator.random(), "draws"),
    ],
)
def test_large_graphs_are_watched_where_a_clock_or_chance_can_be_reached(chance: Any, what: str) -> None:
    with pytest.raises(ValueError, match=HERE + what):
        compiled(lambda x: W * autobp.sum([x * x for _ in range(1_500)]) * (1.0 if chance(1) else 2.0))


def test_large_graphs_are_not_slowed_down_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bool] = []

    class Calls(recording.Calls):
        def __init__(self, look: bool = True) -> None:
            looked.append(look)
            super().__init__(look)

    monkeypatch.setattr(recording, "Calls", Calls)
    for function in (lambda x: W * x, lambda x: autobp.sum([W * x for _ in range(1_500)])):
        compiled(function)
    compiled(lambda x: autobp.sum([W * x for _ in range(1_500)]) if x is not None else time.time())
    assert looked == [True, False, True]


# --------------------------------------------------------------------------------------- no false alarms


class Model:
    """Has generators and a clock, and draws from none while it is called."""

    dropout = random.Random(1)

    def __init__(self) -> None:
        self.generator = np.random.default_rng(3)
        self.started = time.time()
        self.calls = 0
        self.noise = 0.0

    def __call__(self, x: Value) -> Value:
        self.calls += 1
        return x * W + (self.generator.normal() if self.noise else 0.0)


@contextmanager
def nothing() -> Any:
    yield


def seeds_again(x: Value) -> Value:
    random.seed(3)
    return x * W * random.random()


def saves_and_restores(x: Value) -> Value:
    state = CLASSIC.getstate()
    CLASSIC.seed(3)
    number = CLASSIC.gauss(0.5, 1.0)
    CLASSIC.setstate(state)
    return x * W * number


def reseeds_one_made_by_chance(x: Value) -> Value:
    generator = random.Random()
    generator.seed(3)
    return x * W * generator.random()


def logs(x: Value) -> Value:
    logging.getLogger("autobp.tests").warning("traced with %s", x)
    warnings.catch_warnings()
    return x * W


def writes(x: Value) -> Value:
    with tempfile.TemporaryDirectory() as folder, nothing():
        assert os.path.exists(folder)
    return x * W


def starts_a_thread(x: Value) -> Value:
    thread = threading.Thread(target=time.time)
    thread.start()
    thread.join(5.0)
    return x * W


FINE: dict[str, Callable[..., Any]] = {
    "a model with generators": Model(),
    "a name of a clock": lambda x: x * W if time else W,
    "a clock that is not read": lambda x: x * W if x is not None else time.time(),
    "a date that is given": lambda x: x * W * datetime.date(2024, 1, 1).year,
    "sleep": lambda x: (time.sleep(0.0), x * W)[1],
    "a log": logs,
    "a temporary file": writes,
    "a thread that waits": starts_a_thread,
    "a seeded generator": lambda x: x * W * random.Random(3).random(),
    "a seeded generator of NumPy's": lambda x: x * W * float(np.random.default_rng(3).random()),
    "a seeded network": lambda x: MLP(1, [1], seed=3)([x])[0] * W if False else x * W,
    "the shared one, seeded": seeds_again,
    "a state put back": saves_and_restores,
    "seeded after all": reseeds_one_made_by_chance,
    "a state that is read": lambda x: x * W * len(CLASSIC.getstate()),
}


@pytest.mark.parametrize("what", FINE)
def test_what_decides_nothing_compiles(what: str) -> None:
    step = compiled(FINE[what])
    assert np.isfinite(step(step.theta, [1.0, 2.0])[0])


def test_numbers_drawn_once_and_kept_are_constants() -> None:
    @functools.lru_cache
    def weight(i: int) -> float:
        return random.random() + time.time() * 0.0

    step = compiled(lambda x: x * W * weight(1))
    assert step([1.0], [1.0])[0] == weight(1)


def test_a_dead_proxy_and_a_changing_class_are_no_trouble() -> None:
    import weakref

    class Thing:
        @property
        def __class__(self) -> Any:
            raise RuntimeError("asked")

        @__class__.setter
        def __class__(self, x: Any) -> None:
            pass

    held = [weakref.proxy(Slots2()), Thing()]
    compiled(lambda x: x * W * len(held))


class Slots2:
    pass


def test_a_profiler_at_work_is_left_alone() -> None:
    seen: list[str] = []

    def profiler(frame: Any, event: str, argument: Any) -> None:
        seen.append(event)

    sys.setprofile(profiler)
    try:
        compiled(lambda x: x * W)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert "call" in seen
    with pytest.raises(ZeroDivisionError):
        compiled(lambda x: x * W / (1 // (traced.append(0) is None and len(traced) < 2)))
    assert sys.getprofile() is None


traced: list[int] = []


# ------------------------------------------------------------------------------- no argument read otherwise


def test_parameters_of_one_label_are_all_in_unflatten() -> None:
    w = [Value(float(i), label="w") for i in range(3)]
    step = autobp.compile(lambda x: w[0] * x + (w[1] * x).exp() * w[2].tanh(), w, example=(1.0,))
    found = step.unflatten([1.0, 2.0, 3.0])
    assert set(found) == {"w", "w_2", "w_3"}
    assert sorted(x.item() for x in found.values()) == [1.0, 2.0, 3.0]
    for labels in ("w w w", "w_2 w w", "w w_2 w", "theta[2] ? ?", "P1 ? ?", "w[1] w[1] w[1]"):
        leaves = [Value(1.0, label=label.strip("?")) for label in labels.split()]
        step = autobp.compile(leaves[0] * 1.0, leaves)
        found = step.unflatten([1.0, 2.0, 3.0])
        assert sorted(x.item() for x in found.values()) == [1.0, 2.0, 3.0], labels


@pytest.mark.parametrize("first", [True, False])
def test_an_unused_scalar_does_not_replace_a_matrix(first: bool) -> None:
    net, scalar = MLP(3, [2], activation="sigmoid", seed=1), Value(7.0, label="W1")
    parameters = [scalar, *net.parameters()] if first else [*net.parameters(), scalar]
    step = autobp.compile(lambda x: net(x), parameters, example=([1.0, 2.0, 3.0],))
    found = step.unflatten(step.theta)
    np.testing.assert_array_equal(found["W1"], net.W[0])
    assert found["W1_2"] == 7.0
    assert sum(x.size for x in found.values()) == len(parameters)


def test_a_scalar_in_use_does_not_replace_a_matrix() -> None:
    net, scalar = MLP(3, [2], activation="sigmoid", seed=1), Value(7.0, label="W1")
    parameters = [scalar, *net.parameters()]
    step = autobp.compile(lambda x: [v * scalar for v in net(x)], parameters, example=([1.0, 2.0, 3.0],))
    found = step.unflatten(step.theta)
    assert sum(x.size for x in found.values()) == len(parameters)
    assert any(np.array_equal(x, net.W[0]) for x in found.values())
    assert any(x.size == 1 and x == 7.0 for x in found.values())


def test_arguments_that_need_a_new_name_get_each_one_of_its_own() -> None:
    def first(m: Any, m_: Any) -> Any:
        return W * m - m_

    def second(m_: Any, m: Any, m__: Any, np_: Any, np: Any) -> Any:
        return W * m - m_ * m__ + np_ / np

    for loss, names in ((first, "m__, m_"), (second, "m_, m___, m__, np_, np__")):
        n = len(names.split(", "))
        step = autobp.compile(loss, [W])
        data = [np.array([2.0 + i, 3.0 * i + 1.0]) for i in range(n)]
        cost, gradient = step([0.5], *data)
        assert cost == pytest.approx(
            np.mean([loss(*map(Value, row)).data for row in zip(*data, strict=True)]), rel=1e-14
        )
        namespace: dict[str, Any] = {}
        exec(step.source, namespace)
        alone = namespace["cost_and_gradient"](np.array([0.5]), *data)
        assert alone[0] == pytest.approx(cost, rel=1e-14)
        np.testing.assert_allclose(alone[1], gradient, rtol=1e-14)
        with pytest.raises(TypeError, match=rf"step\(theta, {names}\) takes"):
            step([0.5])


@pytest.mark.parametrize(
    "masked",
    [
        [np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.array([3.0, 4.0])],
        (np.ma.array([1.0, 2.0]), np.ma.array([3.0, 4.0], mask=[False, True])),
        [[np.ma.array([1.0, 2.0], mask=[False, True])], [[3.0, 4.0]]],
        [[1.0, np.ma.masked], [3.0, 4.0]],
        collections.deque([np.ma.array([1.0, 2.0], mask=True), [3.0, 4.0]]),
        np.ma.array([[1.0, 2.0]], mask=[[False, True]]),
    ],
)
def test_masks_are_not_lost_in_lists_either(masked: Any) -> None:
    step = autobp.compile(lambda x: W * sum(v for v in autobp.flatten(x)) if False else W, [W])
    with pytest.raises(TypeError, match="x has masked elements, whose mask would be lost; fill them in"):
        step([0.5], masked)


def test_rows_that_could_be_masked_and_are_not_are_taken() -> None:
    step = autobp.compile(lambda x: W * x[0] + x[1], [W])
    rows = [np.ma.array([1.0, 2.0], mask=[False, False]), np.ma.array([3.0, 4.0])]
    for data in (rows, tuple(rows), [[1.0, 2.0], (3, 4)], memoryview(np.array([[1.0, 2.0], [3.0, 4.0]]))):
        assert step([0.5], data)[0] == 4.0


def test_parameters_inputs_and_examples_without_an_order_are_refused() -> None:
    w, v = Value(1.0), Value(2.0)
    for parameters, kind in (({w, v}, "set"), (frozenset([w, v]), "frozenset")):
        with pytest.raises(TypeError, match=f"parameters must be in an order, which a {kind} has not; give"):
            autobp.compile(lambda x: w * x + v, parameters)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"parameters .* a dict has not; give a list, list\(d\.values\(\)\)"):
        autobp.compile(lambda x: w * x + v, {"w": w, "v": v})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="inputs must be in an order, which a set has not"):
        autobp.compile(w * v, [w], inputs={v})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="example must be in an order, which a set has not"):
        autobp.compile(lambda x, y: w * x + y, [w], example={1.0, 2.0})  # type: ignore[arg-type]
    named = {"v": v, "w": w}
    for parameters in (named.values(), (p for p in (v, w)), dict.fromkeys([v, w]).keys(), np.array([v, w])):
        step = autobp.compile(lambda x: w * x + v, parameters)  # type: ignore[arg-type]
        assert step([10.0, 1.0], [3.0])[0] == 13.0


def test_an_input_that_nothing_reads_is_not_taken_for_a_node_that_is_made_later():
    """Nodes of folded sums are made when the graph is read, and could get the ids of inputs that are gone."""
    net = autobp.MLP(3, [8, 4, 1], seed=0)
    step = autobp.compile(lambda x, y: net(x), net.parameters(), example=(np.ones(3), np.ones(300)))
    assert step.value(step.theta, np.ones((1, 3)), np.ones((1, 300))) == pytest.approx(net(np.ones(3)).data)

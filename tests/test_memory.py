"""Graphs are freed at once by reference counting, however long, and whatever holds them."""

import gc
import threading
import weakref

import pytest

import autobp
from autobp import Value


class Witness:
    """Something whose end can be observed."""


def chain(n):
    x = y = Value(1.0)
    for i in range(n):
        y = y + x if i % 2 else y * 1.0
    return y


def test_the_cyclic_collector_does_not_know_compiled_nodes():
    x = Value(1.0)
    assert gc.is_tracked(x * x) is not bool(autobp.__compiled__)


@pytest.mark.skipif(
    not autobp.__compiled__, reason="the interpreter's own objects are all collected cyclically"
)
def test_building_a_large_graph_never_sets_off_the_collector():
    generations = []
    gc.collect()
    gc.callbacks.append(lambda phase, info: generations.append(info["generation"]))
    try:
        y = chain(100_000)
        y.backward()
    finally:
        gc.callbacks.pop()
    assert len(generations) <= 2


def test_values_in_deeply_nested_containers_are_freed_safely():
    bystanders = [Value(float(i), label=str(i)) for i in range(1000)]
    nested = []
    for i in range(100_000):
        nested = [nested, Value(float(i)) * 2.0, chain(2)]
    del nested
    assert [(v.data, v.label) for v in bystanders] == [(float(i), str(i)) for i in range(1000)]


def test_chains_of_every_kind_of_node_are_freed_without_recursion():
    slope = Value(0.5)
    y = Value(1.0)
    for i in range(200_000):
        if i % 4 == 0:
            y = autobp.where(1.0, y, slope)  # three parents
        elif i % 4 == 1:
            y = y.leaky_relu(0.1)  # a constant
        elif i % 4 == 2:
            y = Value(1.0, (y, slope), (1.0, 0.0))  # made by hand
        else:
            y = -y
    y.backward()
    del y


def hand_made(x, witness):
    y = Value(2 * x.data, (x,), "double")

    def backward():
        witness  # noqa: B018
        x.grad += 2 * y.grad

    y._backward = backward
    return y


def test_a_hand_made_node_is_freed_although_its_backward_refers_to_it():
    gc.disable()
    try:
        witness = Witness()
        seen = weakref.ref(witness)
        x = Value(1.0)
        y = hand_made(hand_made(x, witness), witness)
        y.backward()
        assert x.grad == 4.0
        del y, witness
        assert seen() is None
    finally:
        gc.enable()


def test_chains_that_several_threads_free_at_once():
    x = Value(1.0)

    def build_and_free():
        for _ in range(20):
            y = x
            for _ in range(5_000):
                y = y * x
            del y

    threads = [threading.Thread(target=build_and_free) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    y = x * x
    y.backward()
    assert x.grad == 2.0


def test_a_value_whose_constructor_failed_is_freed_quietly(recwarn):
    for _ in range(10):
        with pytest.raises(TypeError):
            Value("a")
        Value.__new__(Value)
    assert not recwarn.list


def test_a_leaf_lets_go_of_the_graph_of_its_gradient():
    gc.disable()
    try:
        witness = Witness()
        seen = weakref.ref(witness)
        x = Value(3.0)
        y = hand_made(Value(1.0), witness) * 0.0 + x**3
        (x * y.detach() + x**3).backward(create_graph=True)
        assert x.grad.data == 54.0
        del y, witness
        x.grad = 0.0
        assert seen() is None
    finally:
        gc.enable()

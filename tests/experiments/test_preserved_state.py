import functools
import logging
import threading
from collections import deque

import numpy as np
import pytest
import torch

from nn_inspector.experiments import preserved_state
from nn_inspector.experiments.reach import reachable


class Thing:
    def __init__(self, **own):
        vars(self).update(own)


class Slotted:
    __slots__ = ("held", "never")

    def __init__(self, held):
        self.held = held


class Circle:
    def __init__(self):
        self.me = [self]
        self.count = 0


def closure_over(held):
    def function():
        return held

    return function


# What is changed, how it hangs on a root, and how it is changed.
CHANGES = {
    "list": ([1, 2], lambda x: x.append(3)),
    "sorted list": ([2, 1], lambda x: x.sort()),
    "dict": ({"a": 1}, lambda x: x.update(a=2, b=3)),
    "order of a dict": ({"a": 1, "b": 2}, lambda x: x.update(a=x.pop("a"))),
    "set": ({1, 2}, lambda x: x.add(3)),
    "deque": (deque([1, 2], maxlen=2), lambda x: x.append(3)),
    "array": (np.zeros(3), lambda x: x.fill(1)),
    "tensor": (torch.zeros(3), lambda x: x.fill_(1)),
    "tensor of NaN": (torch.full((3,), float("nan")), lambda x: x.fill_(1)),
    "tensor through numpy": (torch.zeros(3), lambda x: x.numpy().fill(1)),
    "attribute": (Thing(count=0), lambda x: setattr(x, "count", 1)),
    "new attribute": (Thing(), lambda x: setattr(x, "count", 1)),
    "attribute that goes": (Thing(count=0), lambda x: delattr(x, "count")),
}
ROOTS = {
    "itself": lambda x: x,
    "attribute": lambda x: Thing(held=x),
    "slot": Slotted,
    "nested": lambda x: {"a": [(Thing(held=[x]),)]},
    "closure": closure_over,
    "default": lambda x: lambda y=x: y,
    "partial": lambda x: functools.partial(print, x),
    "bound method": lambda x: Thing(held=x).__init__,
}


def looks(held):
    if isinstance(held, Thing):
        return sorted(vars(held).items())
    return list(held.items()) if isinstance(held, dict) else [str(one) for one in held]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_reached_is_put_back(kind, root):
    held, change = CHANGES[kind]
    before = looks(held)
    with preserved_state(ROOTS[root](held)):
        change(held)
        assert looks(held) != before
    assert looks(held) == before


def test_it_is_put_back_after_an_error_and_what_did_not_change_is_not_written_to():
    held, tensor = [1], torch.zeros(2)
    version = tensor._version
    with pytest.raises(ZeroDivisionError), preserved_state([held, tensor]):
        held.append(2)
        1 / 0  # noqa: B018
    assert held == [1]
    assert tensor._version == version


def test_what_other_threads_work_on_is_left_alone():
    busy = Thing(lock=threading.Lock(), waiting=[])
    logger = logging.getLogger("test")
    logger.notes = []
    with preserved_state(Thing(busy=busy, logger=logger)):
        busy.waiting.append(1)
        logger.notes.append(1)
    assert busy.waiting == [1]
    assert logger.notes == [1]


@pytest.mark.parametrize(
    "root",
    [
        Circle(),
        [0] * 1_000_000,
        Thing(table=dict.fromkeys(range(1_000_000))),
        torch.zeros(100, 100),
        np.zeros(10**6),
        None,
        3,
    ],
    ids=["circle", "long list", "large table", "tensor", "large array", "none", "number"],
)
def test_the_walk_is_bounded(root):
    assert sum(1 for _ in reachable(root)) < 100


def test_libraries_are_not_walked_but_networks_are():
    found = list(reachable(lambda: (np, torch, NETWORK, CHANGES)))
    assert CHANGES in found
    assert any(one is NETWORK.weight for one in found)
    assert not any(one is np or one is torch for one in found)
    assert len(found) < 1000


NETWORK = torch.nn.Linear(2, 2)

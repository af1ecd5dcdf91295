"""What modules keep in plain attributes, remembered and given back."""

import copy

import torch
from torch import nn

from nn_inspector.plain_state import ABSENT, changed, holds_tensors, plain_state, set_plain_state


class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.cache, self.count, self.size = None, [], 0, 4
        self.name, self.table = "memory", {"a": torch.zeros(2)}
        self.register_buffer("mean", torch.zeros(2))
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        self.last, self.count = x.detach(), self.count + 1
        self.cache.append(x.detach())
        return self.layer(x)


def model():
    return nn.Sequential(Memory(), nn.BatchNorm1d(2))


def test_tensors_numbers_lists_and_what_is_not_there_yet_are_remembered_and_nothing_else():
    assert plain_state(model()) == {"0": {"last": None, "cache": [], "count": 0, "size": 4}}


def test_what_changed_is_given_back():
    net = model()
    before = plain_state(net)
    net(torch.ones(3, 2))
    moved = changed(before, plain_state(net))
    assert moved == {"0": {"last": None, "cache": [], "count": 0}}
    set_plain_state(net, moved)
    assert changed(before, plain_state(net)) == {}


def test_what_is_remembered_does_not_change_with_the_model():
    net = model()
    net(torch.ones(3, 2))
    kept = plain_state(net)
    net[0].last.zero_()
    net[0].cache.append(1)
    assert torch.equal(kept["0"]["last"], torch.ones(3, 2))
    assert len(kept["0"]["cache"]) == 1
    set_plain_state(net, kept)
    net[0].last.zero_()
    assert torch.equal(kept["0"]["last"], torch.ones(3, 2))


def test_a_layer_that_has_come_in_place_of_none_stays():
    net = Memory()
    net.late = None
    before = plain_state(net)
    del net.late
    net.late = nn.Linear(2, 2)
    set_plain_state(net, before)
    assert isinstance(net.late, nn.Linear)


def test_what_is_too_large_is_left_out(monkeypatch):
    monkeypatch.setattr("nn_inspector.plain_state.LIMIT", 16)
    net = Memory()
    net.last = torch.zeros(100)
    assert "last" not in plain_state(net)[""]
    assert "count" in plain_state(net)[""]


def test_tensors_of_another_type_or_shape_are_others():
    one = {"": {"a": torch.zeros(2), "b": (torch.ones(1), 2)}}
    assert changed(one, copy.deepcopy(one)) == {}
    assert set(changed(one, {"": {"a": torch.zeros(2).int(), "b": (torch.ones(2), 2)}})[""]) == {"a", "b"}
    assert set(changed(one, {})[""]) == {"a", "b"}
    assert holds_tensors(one)
    assert not holds_tensors({"": {"a": 1, "b": [None]}})


def test_what_was_not_there_is_taken_away_and_lists_within_themselves_are_left():
    net = Memory()
    net.own = [1]
    net.own.append(net.own)
    assert "own" not in plain_state(net)[""]
    set_plain_state(net, {"": {"last": ABSENT, "never": ABSENT}})
    assert not hasattr(net, "last")

import copy
from typing import NamedTuple

import pytest
import torch

from nn_inspector.probes import Epoch, arriving, find_labels
from nn_inspector.probes.arriving import MOST_BYTES, ArrivingBatch, is_elsewhere

X, Y = torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 2, 0, 1, 1])


class Pair(NamedTuple):
    inputs: torch.Tensor
    labels: torch.Tensor


class Late:
    """A transfer that arrives when the test says so."""

    arrived = False

    def __init__(self, values):
        self.values = values.clone()

    @property
    def ready(self):
        return Late.arrived

    def tensor(self):
        return self.values


@pytest.fixture
def on_device(monkeypatch):
    """All tensors count as lying on a device."""
    monkeypatch.setattr(arriving, "lies_elsewhere", lambda tensor: True)
    monkeypatch.setattr(arriving, "Transfer", Late)
    monkeypatch.setattr(Late, "arrived", False)


@pytest.mark.parametrize(
    "batch", [(X, Y), [X, Y], Pair(X, Y), {"x": X, "labels": Y}, (X, {"y": Y, "names": ["a", "b"]}), (X, [Y, Y])]
)
def test_it_comes_as_it_was(on_device, batch):
    assert is_elsewhere(batch)
    come = ArrivingBatch(batch).batch()
    assert type(come) is type(batch)
    found, expected = find_labels(come), find_labels(batch)
    assert [(one.place, one.classes.tolist()) for one in found] == [
        (one.place, one.classes.tolist()) for one in expected
    ]


@pytest.mark.parametrize("left_out", [torch.zeros(MOST_BYTES // 4 + 1), X.to_sparse()])
def test_what_is_too_large_or_sparse_is_left_out(on_device, left_out):
    come = ArrivingBatch((left_out, Y)).batch()
    assert come[0].numel() == 0
    assert torch.equal(come[1], Y)


def test_an_epoch_reads_batches_once_they_have_come_and_in_their_order(on_device, monkeypatch):
    epoch, plain = Epoch("train", 0, 0), Epoch("train", 0, 0)
    batches = [(X, Y), (X + 1, Y.flip(0)), (X, Y[:3])]
    epoch.add(batches[0])
    monkeypatch.setattr(arriving, "lies_elsewhere", lambda tensor: False)
    epoch.add(batches[1])  # on the host, but not before the first
    assert (epoch.batches, epoch.read) == (2, 0)
    monkeypatch.setattr(Late, "arrived", True)
    epoch.add(batches[2])
    assert (epoch.batches, epoch.read) == (3, 3)
    for batch in batches:
        plain.add(batch)
    assert epoch.order == plain.order != 0
    assert epoch.class_counts.tolist() == plain.class_counts.tolist() == [5, 7, 3]


def test_an_epoch_can_be_copied(on_device):
    epoch = Epoch("train", 0, 0)
    epoch.add((X, Y))
    twin = copy.deepcopy(epoch)
    twin.settle()
    assert (epoch.read, twin.read) == (0, 1)
    assert twin.class_counts.tolist() == [2, 3, 1]


def test_what_is_still_on_its_way_is_waited_for_when_asked(on_device):
    epoch = Epoch("train", 0, 0)
    epoch.add((X, Y))
    epoch.settle(wait=False)
    assert epoch.read == 0
    epoch.settle()
    assert epoch.read == 1
    assert epoch.class_counts.tolist() == [2, 3, 1]

"""A loader of the user's own class is seen as torch's is, and stays what it was."""

import copy
import functools
import inspect
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from nn_inspector.probes.loaders import can_be_watched
from tests.trainings import blobs, mlp

ITEMS, SIZE = 96, 16


class Shuffled:
    """Mixed batches of inputs, labels and weights."""

    def __init__(self):
        self.inputs, self.labels = blobs(ITEMS).tensors
        self.weights = torch.rand(ITEMS, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return ITEMS // SIZE

    def __iter__(self):
        """Six batches."""
        for part in torch.randperm(ITEMS).split(SIZE):
            yield self.inputs[part], self.labels[part], self.weights[part]


class Inherited(Shuffled):
    pass


class ItsOwnIterator(Shuffled):
    def __iter__(self):
        self.parts = iter(torch.randperm(ITEMS).split(SIZE))
        return self

    def __next__(self):
        part = next(self.parts)
        return self.inputs[part], self.labels[part], self.weights[part]


class Weighted(nn.Module):
    def forward(self, scores, labels, weights):
        return (F.cross_entropy(scores, labels, reduction="none") * weights).mean()


_attached = []


@pytest.fixture(autouse=True)
def _detached():
    yield
    while _attached:
        _attached.pop().detach()


def trained(loader, *, watching=True, epochs=2, val_loader=None):
    torch.manual_seed(0)
    model, loss_fn = mlp(), Weighted()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inspector = None
    if watching:
        inspector = nni.watch(
            model, optimizer, loss_fn, train_loader=loader, val_loader=val_loader, show=False, every=1
        )
        _attached.append(inspector)
    for _ in range(epochs):
        for x, y, w in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y, w).backward()
            optimizer.step()
        for x, _, _ in val_loader or ():
            model(x)
    return model, inspector


@pytest.mark.parametrize("kind", [Shuffled, Inherited, ItsOwnIterator])
def test_its_batches_are_seen_and_the_step_can_be_repeated(kind):
    loader = kind()
    model, inspector = trained(loader)
    assert inspector.problems == []
    assert [(epoch.batches, epoch.complete) for epoch in inspector.run.epochs("train")] == [(6, True)] * 2
    x, y, w = next(Shuffled.__iter__(loader))
    expected = Weighted()(model(x), y, w)
    torch.testing.assert_close(inspector.training.loss(model, inspector.training.loss_fn, (x, y, w)), expected)


def test_two_roles_of_one_class_are_told_apart():
    _, inspector = trained(Shuffled(), val_loader=Inherited())
    assert [len(inspector.run.epochs(role)) for role in ("train", "validation")] == [2, 2]
    assert {entry.facts["role"] for entry in inspector.run.trace if entry.call == "batch"} == {"train", "validation"}


@pytest.mark.parametrize("kind", [Shuffled, Inherited, ItsOwnIterator])
def test_the_training_is_bit_identical(kind):
    plain, _ = trained(kind(), watching=False)
    after = torch.get_rng_state()
    seen, inspector = trained(kind())
    inspector.check("one_batch_fit")
    assert torch.equal(torch.get_rng_state(), after)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), seen.parameters(), strict=True))


@pytest.mark.parametrize("kind", [Shuffled, Inherited])
def test_the_class_is_as_it_was_after_detach(kind):
    before, loader = kind.__dict__.get("__iter__"), kind()
    _, inspector = trained(loader)
    assert kind.__dict__["__iter__"] is not before
    assert inspect.getdoc(kind.__iter__) == "Six batches."
    assert "yield" in inspect.getsource(kind.__iter__)
    inspector.detach()
    inspector.detach()
    assert kind.__dict__.get("__iter__") is before


def test_the_class_stays_watched_until_the_last_one_leaves():
    loader, other = Shuffled(), Shuffled()
    _, first = trained(loader)
    _, second = trained(other)
    first.detach()
    assert len(list(other)) == 6
    assert len(second.run.epochs("train")) == 3
    second.detach()
    assert inspect.isfunction(Shuffled.__dict__["__iter__"])


def test_other_instances_copies_and_experiments_are_not_seen():
    loader = Shuffled()
    _, inspector = trained(loader)
    assert (
        len(list(Shuffled())) == len(list(copy.deepcopy(loader))) == len(list(pickle.loads(pickle.dumps(loader)))) == 6
    )
    inspector.check("one_batch_fit")
    assert len(inspector.run.epochs("train")) == 2


def test_a_class_that_is_pickled_itself_holds_nothing_of_ours():
    loader = Inherited()
    trained(loader)
    rebuild, arguments = Inherited.__dict__["__iter__"].__reduce__()
    assert (rebuild, arguments) == (functools.partialmethod, (Shuffled.__dict__["__iter__"],))
    again = type("Again", (Shuffled,), {"__iter__": rebuild(*arguments)})()
    assert len(list(again)) == 6


@pytest.mark.parametrize(
    "loader",
    [[1, 2], (1,), {"a": 1}, iter([1]), range(3), torch.zeros(2), (b for b in ()), type("Listed", (list,), {})(), 3],
)
def test_what_cannot_be_watched(loader):
    assert not can_be_watched(loader)


class Indexed:
    def __getitem__(self, index):
        return list(Shuffled())[index]


class Renamed:
    __iter__ = None


@pytest.mark.parametrize("loader", [Indexed(), Renamed()])
def test_without_a_method_to_wrap_nothing_is_touched(loader):
    attributes = dict(vars(type(loader)))
    assert not can_be_watched(loader)
    assert dict(vars(type(loader))) == attributes


def test_the_diagnosis_names_the_fault_of_such_a_training():
    class SoftmaxTwice(Weighted):
        def forward(self, scores, labels, weights):
            log = scores.softmax(1).log_softmax(1)
            return -(weights * log[torch.arange(len(labels)), labels]).mean()

    torch.manual_seed(0)
    model, loss_fn, loader = mlp(), SoftmaxTwice(), Shuffled()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inspector = nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False)
    _attached.append(inspector)
    for _ in range(3):
        for x, y, w in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y, w).backward()
            optimizer.step()
    assert "loss_match" in [finding.check for finding in inspector.diagnose(active=False).findings if finding.raised]

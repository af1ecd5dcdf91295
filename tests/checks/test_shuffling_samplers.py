"""Samplers that give an order of their own are sound, unless a batch holds one class only."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

from tests.checks.label_orders import HARD, X, Y
from tests.trainings import FEATURES, blobs, classifier, mlp, sorted_by_label


class Balanced:
    """Two classes in equal parts in every batch, one after the other, drawn anew every time."""

    batch_size = 16

    def __init__(self, labels, per_class=8):
        self.places = [torch.nonzero(labels == label)[:, 0] for label in labels.unique()]
        self.per_class, self.count = per_class, len(labels) // (per_class * len(self.places))

    def __iter__(self):
        for _ in range(self.count):
            yield [int(i) for places in self.places for i in places[torch.randint(len(places), (self.per_class,))]]

    def __len__(self):
        return self.count


class GroupedByDesign(Balanced):
    """P of the classes, K items of each."""

    def __iter__(self):
        for _ in range(self.count):
            chosen = torch.randperm(len(self.places))[:8].tolist()
            yield [int(i) for label in chosen for i in self.places[label][torch.randint(len(self.places[label]), (4,))]]


class Bucketed:
    """Items of about the same length come together; the buckets come in random order."""

    def __init__(self, lengths, size=16):
        self.chunks = lengths.argsort().split(size)

    def __iter__(self):
        return iter([self.chunks[i].tolist() for i in torch.randperm(len(self.chunks)).tolist()])

    def __len__(self):
        return len(self.chunks)


def loader_of(kind):
    random = torch.Generator().manual_seed(0)
    binary = (torch.rand(400, generator=random) > 0.5).long()
    many = torch.arange(3200) // 32
    lengths = torch.randint(5, 40, (400,), generator=random)
    noisy = torch.where(torch.rand(400, generator=random) < 0.4, torch.randint(0, 4, (400,), generator=random), Y)
    data = TensorDataset(X, binary)
    return {
        "balanced batches": DataLoader(data, batch_sampler=Balanced(binary)),
        "weighted sampler": DataLoader(
            sorted_by_label(blobs(400)), 16, sampler=WeightedRandomSampler([1.0] * 400, 400)
        ),
        "grouped by design": DataLoader(
            TensorDataset(torch.randn(3200, FEATURES), many), batch_sampler=GroupedByDesign(many, 4)
        ),
        "buckets of lengths": DataLoader(TensorDataset(X, binary, lengths), batch_sampler=Bucketed(lengths)),
        "imbalanced": DataLoader(TensorDataset(X, (torch.arange(400) < 8).long()), 16, shuffle=True),
        "noisy labels": DataLoader(TensorDataset(X, noisy), 16, shuffle=True),
        "tiny": DataLoader(TensorDataset(X[:12], Y[:400:34]), 2, shuffle=True),
        "one item a batch": DataLoader(TensorDataset(X, Y), 1, shuffle=True),
        "batches of batches": DataLoader(
            data, sampler=BatchSampler(RandomSampler(data), 16, drop_last=False), batch_size=None
        ),
        "regression": DataLoader(TensorDataset(X, X[:, :2] * 3), 16, shuffle=True),
    }[kind]


SAMPLERS = (
    "balanced batches",
    "weighted sampler",
    "grouped by design",
    "buckets of lengths",
    "imbalanced",
    "noisy labels",
    "tiny",
    "one item a batch",
    "batches of batches",
    "regression",
)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_sound_samplers_pass(watched, kind):
    torch.manual_seed(0)
    case = classifier()
    case.model = mlp()
    case.model[2] = nn.Linear(16, 100)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    case.train_loader = loader_of(kind)

    def step(model, batch):
        if batch[1].is_floating_point():
            return F.mse_loss(model(batch[0])[:, :2], batch[1])
        return F.cross_entropy(model(batch[0]), batch[1])

    def loop(c):
        for _ in range(2):
            for batch in c.train_loader:
                c.optimizer.zero_grad()
                step(c.model, batch).backward()
                c.optimizer.step()

    finding = watched(case, loop, step=step).check("shuffling")
    assert finding.severity == "ok", finding.message


def test_one_class_in_each_batch_by_design_is_no_error(watched):
    class OneClass(Balanced):
        def __iter__(self):
            for _ in range(self.count):
                places = self.places[int(torch.randint(len(self.places), ()))]
                yield places[torch.randint(len(places), (16,))].tolist()

    torch.manual_seed(0)
    case = classifier(lr=0.5)
    case.train_loader = DataLoader(HARD, batch_sampler=OneClass(HARD.tensors[1], 4))
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity in ("warning", "info")
    assert "of the batches hold one class only" in finding.message

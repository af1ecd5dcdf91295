"""Trainings that are watched for a few steps, so that the loss of their loop can be computed again."""

import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, blobs, mlp

ITEMS, LARGER = 12, 9


class Several(nn.Module):
    """Two encoders and a head, a dropout that tells modes apart, and one output or several."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh())
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, CLASSES)
        self.register_buffer("scale", torch.tensor(2.0))

    def encode(self, x):
        return self.norm(self.encoder(x))

    def forward(self, x):
        return self.head(self.encode(x))


class Dictionary(Several):
    def forward(self, x):
        z = self.encode(x)
        return {"logits": self.head(z), "hidden": [z]}


class Twin(Several):
    def forward(self, x):
        return self.encode(x), self.encode(x.flip(1))


class Characters(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(CLASSES, 5)
        self.rnn = nn.GRU(5, 6, batch_first=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, tokens, hidden=None):
        out, hidden = self.rnn(self.embed(tokens), hidden)
        return self.head(out), hidden


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        assert x.dim() == 2
        return self.net(x)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(FEATURES, 1)

    def forward(self, x):
        return self.net(x)


def images(x):
    return x.reshape(-1, 2, FEATURES // 2)


# Loops: each computes the loss of one batch.


def functional(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def viewed(model, batch):
    x, y = batch
    return F.cross_entropy(model(images(x).view(x.size(0), -1)), y)


def from_a_dict(model, batch):
    out = model(batch["x"])
    return F.cross_entropy(out["logits"], batch["y"]) + 0.1 * out["hidden"][0].pow(2).mean()


def parts_by_hand(model, batch):
    x, y = batch
    z = model.norm(model.encoder(x))
    return F.cross_entropy(model.head(z * model.scale), y)


def penalized(model, batch):
    x, y = batch
    loss = F.cross_entropy(model(x), y)
    loss += 1e-2 * sum(p.abs().sum() for p in model.parameters())
    return loss


def noisy(model, batch):
    x, y = batch
    return F.cross_entropy(model(x + 0.1 * torch.randn_like(x)), y)


def written_in_place(model, batch):
    x, y = batch
    x[:, 0] = 0
    out = model(x)
    out *= 2
    return F.cross_entropy(out, y)


def tuples(x, y):
    return x, y


def tokens(x, y):
    return (x > 0).long(), y


def watched(loss_of, build, wrap, steps=6, loss_fn=None, **options):
    """The training after a few steps of a loop."""
    torch.manual_seed(0)
    random.seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(blobs(), batch_size=ITEMS, collate_fn=collate(wrap), shuffle=True)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False, **options) as inspector:
        for batch in list_of(loader, steps):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
    assert not [problem for problem in inspector.problems if "switched itself off" in problem]
    assert inspector.training.recorded.failure is None
    return inspector.training


def collate(wrap):
    return lambda items: wrap(torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]))


def list_of(loader, steps):
    for number, batch in enumerate(loader):
        if number == steps:
            return
        yield batch


def batch_of(wrap, items, seed=5):
    return wrap(*blobs(items, seed=seed).tensors)


def trained(model, backward, make=None, loader=None, steps=6, given=None):
    optimizer = (make or (lambda parameters: torch.optim.SGD(parameters, lr=0.05)))(model.parameters())
    loader = loader or DataLoader(blobs(), batch_size=ITEMS)
    with nni.watch(model, optimizer, train_loader=given or loader, show=False) as inspector:
        for batch in list_of(loader, steps):
            optimizer.zero_grad()
            closure = backward(model, optimizer, batch)
            optimizer.step(closure) if callable(closure) else optimizer.step()
    assert inspector.training.recorded.failure is None
    return inspector.training

"""An average of the weights that is validated in place of the network."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.loop.averaged import averages_of, is_validated


class Shadow:
    def __init__(self, network, decay):
        self.decay, self.network = decay, network
        self.shadow = {name: one.detach().clone() for name, one in network.named_parameters()}

    def update(self):
        for name, one in self.network.named_parameters():
            self.shadow[name] = self.decay * self.shadow[name] + (1 - self.decay) * one.detach()

    def apply_shadow(self):
        self.kept = {name: one.detach().clone() for name, one in self.network.named_parameters()}
        self.put(self.shadow)

    def restore(self):
        self.put(self.kept)

    @torch.no_grad()
    def put(self, values):
        for name, one in self.network.named_parameters():
            one.copy_(values[name])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 3))


def loaders():
    torch.manual_seed(1)
    x = 20 + 3 * torch.randn(1200, 6)
    y = ((x[:, 0] - 20) * (x[:, 1] - 20) > 0).long()
    return DataLoader(TensorDataset(x[:1000], y[:1000]), 40, shuffle=True), [(x[1000:], y[1000:])]


def looked_at(model, loop):
    train_loader, val_loader = loaders()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    inspector = nni.watch(model, optimizer, F.cross_entropy, train_loader=train_loader, val_loader=val_loader, loop=loop, show=False)  # fmt: skip
    with inspector:
        loop(train_loader, val_loader, optimizer)
    return inspector.check("optimizer_step")


def test_what_stands_beside_the_weights_in_a_dict_is_left_alone():
    model = network()
    train_loader, val_loader = loaders()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    ema = {name: one.detach().clone() for name, one in model.named_parameters()} | {"updates": 3}

    def loop():
        for x, y in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        validate(ema)

    def validate(state):
        torch.func.functional_call(
            model, {name: one for name, one in state.items() if name != "updates"}, val_loader[0][0]
        )

    with nni.watch(model, optimizer, F.cross_entropy, train_loader=train_loader, loop=loop, show=False) as inspector:
        loop()
    found = dict(averages_of(inspector.training, inspector.run.steps))
    assert found["ema"].keys() == dict(model.named_parameters()).keys()
    assert "failed itself" not in inspector.check("optimizer_step").message


def passes(model, train_loader, optimizer, epochs=10):
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            yield
        model.eval()


def copied(decay, *, buffers=True, often=True):
    model = network()
    ema = copy.deepcopy(model).requires_grad_(False).eval()

    def train(train_loader, val_loader, optimizer):
        for _ in passes(model, train_loader, optimizer):
            for mine, its in zip(ema.parameters(), model.parameters(), strict=True):
                if often:
                    mine.data.mul_(decay).add_(its.data, alpha=1 - decay)
            for mine, its in zip(ema.buffers(), model.buffers(), strict=True):
                if buffers:
                    mine.copy_(its)
        with torch.no_grad():
            for x, y in val_loader:
                float(F.cross_entropy(ema(x), y))

    return model, train


def of_torch(decay):
    model = network()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def train(train_loader, val_loader, optimizer):
        for _ in passes(model, train_loader, optimizer):
            averaged.update_parameters(model)
        averaged.eval()
        for x, y in val_loader:
            float(F.cross_entropy(averaged(x), y))

    return model, train


def shadowed(decay):
    model = network()
    ema = Shadow(model, decay)

    def train(train_loader, val_loader, optimizer):
        for _ in passes(model, train_loader, optimizer):
            ema.update()
        ema.apply_shadow()
        for x, y in val_loader:
            float(F.cross_entropy(model(x), y))
        ema.restore()

    return model, train


def not_validated(decay):
    model = network()
    ema = copy.deepcopy(model).requires_grad_(False)

    def train(train_loader, val_loader, optimizer):
        for _ in passes(model, train_loader, optimizer):
            for mine, its in zip(ema.parameters(), model.parameters(), strict=True):
                mine.data.mul_(decay).add_(its.data, alpha=1 - decay)

    return model, train


def early_copy():
    model = network()
    best_model = copy.deepcopy(model)

    def train(train_loader, val_loader, optimizer):
        for _ in itertools.islice(passes(model, train_loader, optimizer), 200):
            pass
        for x, y in val_loader:
            float(F.cross_entropy(best_model(x), y))

    return model, train


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (copied(0.9999), "still made of the first ones"),
        (of_torch(0.9997), "still made of the first ones"),
        (shadowed(0.9999), "still made of the first ones"),
        (copied(0.95, often=False), "has not moved"),
        (copied(0.95, buffers=False), "Its buffers are at fault"),
        (copied(1.5), "add up to 1"),
    ],
)
def test_an_average_that_fails_where_the_network_does_not_is_named(made, said):
    found = looked_at(*made)
    assert found.severity == "warning", found.message
    assert said in found.message + found.remedy.text


@pytest.mark.parametrize("made", [copied(0.95), of_torch(0.95), shadowed(0.95), not_validated(0.9999), early_copy()])
def test_an_average_that_follows_or_is_not_validated_is_fine(made):
    assert looked_at(*made).severity == "ok"


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [
        ("ema.module", "prediction = ema.module(x)", True),
        ("ema_model", "accuracy = evaluate(ema_model, val_loader)", True),
        ("ema", "ema.store()\nema.copy_to(model)", True),
        ("trainer.smoothed", "score = self.smoothed(x)", True),
        ("ema.model", "loss = f(model(x), y)\nema.update(model)", False),
        ("ema_model", "for mine, its in zip(ema_model.parameters(), model.parameters()): pass", False),
    ],
)
def test_what_counts_as_validated(place, text, expected):
    assert is_validated(place, text) is expected

"""Gradients that are thrown away: cleared before the step, or between the batches and losses that it is made of."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.trainings import blobs, classifier


def too_late(c):
    for x, y in c.train_loader:
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.zero_grad()
        c.optimizer.step()


def too_late_to_zeros(c):
    for x, y in c.train_loader:
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.zero_grad(set_to_none=False)
        c.optimizer.step()


@pytest.mark.parametrize("loop", [too_late, too_late_to_zeros])
def test_gradients_cleared_at_the_wrong_place_are_an_error(watched, loop):
    finding = watched(classifier(), loop).check("zeroed_gradients")
    assert finding.severity == "error"
    assert "after backward() and before step()" in finding.message


def cleared_at_every_batch(c):
    for _ in range(4):
        for i, (x, y) in enumerate(c.train_loader):
            c.optimizer.zero_grad()
            (c.loss_fn(c.model(x), y) / 3).backward()
            if i % 3 == 2:
                c.optimizer.step()


def cleared_behind_every_batch(c):
    for _ in range(4):
        for i, (x, y) in enumerate(c.train_loader):
            (c.loss_fn(c.model(x), y) / 3).backward()
            if (i + 1) % 3 == 0:
                c.optimizer.step()
            c.optimizer.zero_grad()


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("loop", [cleared_at_every_batch, cleared_behind_every_batch])
def test_clearing_within_an_accumulation_is_an_error(loop, as_list):
    """The batches of a list are not seen, but the loop is read."""
    case = classifier()
    if as_list:
        case.train_loader = list(case.train_loader)
    read = loop if as_list else None
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=read) as inspector:
        loop(case)
        finding = inspector.check("zeroed_gradients", seconds=0)
    assert finding.severity == "error"
    assert "3 batches are gathered for each step" in finding.message
    assert "2 of 3 are thrown away" in finding.message
    assert finding.where.endswith("c.optimizer.zero_grad()") if as_list else finding.where == "optimizer"


def cleared_before_each_loss(c):
    for _ in range(4):
        for x, y in c.train_loader:
            output = c.model(x)
            for loss in (c.loss_fn(output, y), output.square().mean()):
                c.optimizer.zero_grad()
                loss.backward(retain_graph=True)
            c.optimizer.step()


def test_clearing_between_the_losses_of_one_batch_is_an_error():
    case = classifier()
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=cleared_before_each_loss
    ) as inspector:
        cleared_before_each_loss(case)
        finding, step = (inspector.check(name, seconds=0) for name in ("zeroed_gradients", "optimizer_step"))
    assert finding.severity == "error"
    assert "2 losses of one batch are gathered for each step" in finding.message
    assert step.severity == "ok"


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.kind, self.size = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(16, 1)
        self.spare = nn.Linear(16, 2)

    def forward(self, x):
        x = torch.relu(self.body(x))
        return self.kind(x), self.size(x)


class Trainer:
    """Steps through a method of another object, whose order of calls the source does not tell."""

    def __init__(self, *, put_aside):
        torch.manual_seed(0)
        self.model = TwoHeads()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.put_aside = put_aside

    def step(self, x, y):
        kind, size = self.model(x)
        found = []
        for loss in (nn.functional.cross_entropy(kind, y), (size[:, 0] - x.mean(1)).square().mean()):
            self.optimizer.zero_grad()
            loss.backward(retain_graph=True)
            found.append([None if p.grad is None else p.grad.clone() for p in self.model.parameters()])
        if self.put_aside:
            for p, *gradients in zip(self.model.parameters(), *found, strict=True):
                p.grad = sum(g for g in gradients if g is not None) if any(g is not None for g in gradients) else None
        self.optimizer.step()

    def run(self):
        for _ in range(4):
            for x, y in DataLoader(blobs(), batch_size=16):
                self.step(x, y)


@pytest.mark.parametrize(("put_aside", "severity"), [(False, "error"), (True, "ok")])
def test_losses_that_are_cleared_away_leave_a_head_as_it_was(put_aside, severity):
    trainer = Trainer(put_aside=put_aside)
    with nni.watch(trainer.model, trainer.optimizer, train_loader=DataLoader(blobs(), batch_size=16)) as inspector:
        trainer.run()
        finding = inspector.check("zeroed_gradients", seconds=0)
    assert finding.severity == severity, finding.message


def adversarial(c):
    for x, y in [*c.train_loader, *c.train_loader]:
        near = x.clone().requires_grad_()
        c.loss_fn(c.model(near), y).backward()
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x + 0.1 * near.grad.sign()), y).backward()
        c.optimizer.step()
        c.optimizer.zero_grad()


def at_the_start_of_each_epoch_too(c):
    for _ in range(4):
        c.optimizer.zero_grad()
        for i, (x, y) in enumerate(c.train_loader):
            (c.loss_fn(c.model(x), y) / 4).backward()
            if i % 4 == 3:
                c.optimizer.step()
                c.optimizer.zero_grad()


@pytest.mark.parametrize("loop", [adversarial, at_the_start_of_each_epoch_too])
def test_gradients_may_be_thrown_away_on_purpose(watched, loop):
    finding = watched(classifier(), loop).check("zeroed_gradients")
    assert finding.severity == "ok", finding.message


def test_gradients_that_are_cleared_too_late_did_arrive(watched):
    finding = watched(classifier(), too_late).check("gradient_flow")
    assert finding.severity == "skipped"
    assert "they are cleared before each step" in finding.message

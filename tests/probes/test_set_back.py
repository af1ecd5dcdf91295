import torch

import nn_inspector as nni
from tests.trainings import classifier


def trained(between, passes=4):
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        for _ in range(passes):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()
            between(case.model)
        assert not inspector.problems
        return [entry for entry in inspector.run.trace if entry.call == "set_back"]


def kept(model):
    pass


def test_the_share_is_that_of_what_a_pass_changed():
    begin = []

    @torch.no_grad()
    def halfway(model):
        if not begin:
            begin.extend(p.detach().clone() for p in classifier().model.parameters())
        for parameter, old in zip(model.parameters(), begin, strict=True):
            parameter.lerp_(old, 0.5)
        begin[:] = [p.detach().clone() for p in model.parameters()]

    entries = trained(halfway)
    assert len(entries) == 3
    for entry in entries:
        assert abs(entry.facts["share"] - 0.5) < 1e-3
        assert entry.facts["apart"] < 1e-3
        assert entry.facts["steps"] == len(classifier().train_loader)


def test_nothing_is_noted_where_nothing_was_changed():
    assert trained(kept) == []


def test_a_pass_without_a_step_is_none():
    """As where the training data are gone through once more to count what is right."""
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        for _ in range(3):
            for x, _ in case.train_loader:
                case.model(x)
            with torch.no_grad():
                for parameter in case.model.parameters():
                    parameter.add_(1.0)
        assert not [entry for entry in inspector.run.trace if entry.call == "set_back"]


def test_long_trainings_note_no_more():
    @torch.no_grad()
    def shaken(model):
        for parameter in model.parameters():
            parameter.mul_(0.9)

    assert len(trained(shaken, passes=80)) == 64

import itertools

import pytest
import torch

import nn_inspector as nni
from nn_inspector.probes.regular_writes import WATCHED_TIMES
from tests.trainings import blobs, classifier


def trained(after_step, steps=36, optimizers=1):
    """The entries of a training that calls `after_step(model, done, begin)`; `begin` holds the weights of a stretch's begin."""
    case = classifier()
    others = [torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1) for _ in range(optimizers - 1)]
    with nni.watch(case.model, [case.optimizer, *others], case.loss_fn, show=False) as inspector:
        begin = weights_of(case.model)
        for done, (x, y) in zip(range(1, steps + 1), itertools.cycle(case.train_loader), strict=False):
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            after_step(case.model, done, begin)
        assert not inspector.problems
        return [entry.facts for entry in inspector.run.trace if entry.call == "set_back_regularly"]


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


@torch.no_grad()
def half_the_way_back(model, begin):
    for parameter, old in zip(model.parameters(), begin, strict=True):
        parameter.lerp_(old, 0.5)
    begin[:] = weights_of(model)


def write(model, done, begin):
    if done % 4 == 0:
        half_the_way_back(model, begin)


def swap_around_the_count_and_validate(model, done, begin):
    if done % 4 == 0:
        for parameter, old in zip(model.parameters(), begin, strict=True):
            parameter.data.copy_(0.5 * parameter.data + 0.5 * old)
        begin[:] = weights_of(model)
        with torch.no_grad():
            model(blobs().tensors[0])


@pytest.mark.parametrize(
    ("after_step", "at"),
    [(write, "write"), (swap_around_the_count_and_validate, "validation")],
    ids=["write", "validate"],
)
def test_the_share_is_that_of_what_a_stretch_changed(after_step, at):
    entries = trained(after_step)
    assert [entry["at"] for entry in entries] == [at] * len(entries)
    assert [entry["compared"] for entry in entries] == list(range(1, 7))
    for entry in entries:
        assert abs(entry["share"] - 0.5) < 1e-3
        assert entry["apart"] < 1e-3
        assert entry["steps"] == 4


def put_back(model, done, begin):
    if done % 4 == 0:
        held = weights_of(model)
        half_the_way_back(model, begin)
        with torch.no_grad():
            model(blobs().tensors[0])
        for parameter, value in zip(model.parameters(), held, strict=True):
            parameter.data.copy_(value)


def validate(model, done, begin):
    if done % 4 == 0:
        with torch.no_grad():
            model(blobs().tensors[0])


def at_each_step(model, done, begin):
    half_the_way_back(model, begin)


def at_no_regular_steps(model, done, begin):
    if done in (2, 5, 9, 14, 20, 27, 35):
        half_the_way_back(model, begin)


def never(model, done, begin):
    pass


@pytest.mark.parametrize("after_step", [put_back, validate, at_each_step, at_no_regular_steps, never])
def test_nothing_is_noted(after_step):
    assert trained(after_step) == []


def test_several_optimizers_are_left_alone():
    assert trained(write, optimizers=2) == []


def test_long_trainings_note_no_more():
    assert len(trained(write, steps=4 * (WATCHED_TIMES + 20))) == WATCHED_TIMES

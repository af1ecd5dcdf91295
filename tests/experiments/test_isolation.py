import random

import numpy as np
import pytest
import torch
from torch import nn

from nn_inspector import ExperimentError
from nn_inspector.experiments import initial_state, isolated, preserved_random_state
from nn_inspector.training import Training
from tests.trainings import FEATURES, assert_equal, classifier, mlp, state_of


def training(case=None, **options):
    case = case or classifier()
    return Training(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, **options)


def draw():
    return torch.rand(1).item(), np.random.rand(), random.random()


def test_random_numbers_drawn_inside_are_given_back():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with preserved_random_state(7):
        inside = draw()
    outside = draw()
    with preserved_random_state(7):
        assert draw() == inside
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    assert draw() == outside


def test_random_numbers_are_given_back_after_an_error():
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), preserved_random_state(7):
        1 / 0  # noqa: B018
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)


def test_a_copy_can_be_trained_without_a_trace():
    case = classifier(momentum=0.9)
    case.run(1)
    before = state_of(case)
    gradients = [p.grad for p in case.model.parameters()]
    values = [g.clone() for g in gradients]
    with isolated(training(case)) as copied:
        for x, y in [next(iter(case.train_loader)) for _ in range(3)]:
            copied.loss((x, y)).backward()
            copied.optimizers[0].step()
        assert not torch.equal(copied.model[0].weight, case.model[0].weight)
    assert_equal(state_of(case), before)
    assert all(p.grad is g for p, g in zip(case.model.parameters(), gradients, strict=True))
    assert all(torch.equal(g, v) for g, v in zip(gradients, values, strict=True))


def test_the_copied_optimizer_steps_the_copied_parameters_with_its_own_state():
    case = classifier(momentum=0.9)
    case.run(1)
    with isolated(training(case)) as copied:
        own = {id(p) for p in copied.model.parameters()}
        assert {id(p) for group in copied.optimizers[0].param_groups for p in group["params"]} == own
        assert {id(p) for p in copied.optimizers[0].state} == own


def test_the_initial_start_has_the_first_weights_and_rates():
    case = classifier(momentum=0.9)
    subject = training(case)
    first = {name: value.clone() for name, value in case.model.state_dict().items()}
    case.run(2)
    case.optimizer.param_groups[0]["lr"] = 1e-6
    with isolated(subject, start=initial_state(subject, 12)) as copied:
        assert all(torch.equal(value, first[name]) for name, value in copied.model.state_dict().items())
        assert copied.optimizers[0].param_groups[0]["lr"] == 0.1
        assert not copied.optimizers[0].state


def test_a_large_model_has_no_initial_start(monkeypatch):
    monkeypatch.setattr("nn_inspector.training.INITIAL_WEIGHTS_LIMIT", 100)
    subject = training()
    assert initial_state(subject, 0) == "now"
    with pytest.raises(ExperimentError, match="too large to remember"):
        initial_state(subject, 1)


def test_a_model_with_new_layers_is_said_to_have_them():
    case = classifier()
    subject = training(case)
    case.model[2] = nn.Linear(16, 7)
    with (
        pytest.raises(ExperimentError, match=r"other layers now.*Call watch\(\) again"),
        isolated(subject, start="initial"),
    ):
        pass


def test_what_cannot_be_copied_is_said_and_nothing_changes():
    case = classifier()
    case.model.cache = case.model[0].weight * 2  # a tensor with a graph cannot be copied
    before = state_of(case)
    with pytest.raises(ExperimentError, match="cannot be copied, so no experiment was made"), isolated(training(case)):
        pass
    assert_equal(state_of(case), before)


def test_a_copy_that_fails_midway_leaves_no_trace():
    case = classifier()
    before = state_of(case)
    with pytest.raises(RuntimeError, match="in the middle"), isolated(training(case)) as copied:
        copied.loss(next(iter(case.train_loader))).backward()
        raise RuntimeError("in the middle")
    before["random"] = torch.get_rng_state()  # the loader was iterated above, by this test
    assert_equal(state_of(case), before)


def test_a_loss_that_holds_on_to_the_original_cannot_add_to_its_gradients():
    case = classifier()
    case.run(1)
    weight = case.model[0].weight
    kept = weight.grad.clone()
    case.loss_fn = lambda output, target: nn.functional.cross_entropy(output, target) + weight.pow(2).sum()
    with isolated(training(case)) as copied:
        copied.loss(next(iter(case.train_loader))).backward()
    assert torch.equal(weight.grad, kept)


def test_a_step_that_changes_the_original_is_found_out():
    case = classifier()

    def step(model, batch):
        with torch.no_grad():
            case.model[0].weight.add_(1.0)
        return case.model(batch[0]).sum()

    message = r"changed your own parameter 0\.weight.*Use its argument `model`"
    with pytest.raises(ExperimentError, match=message), isolated(training(case, step=step)) as copied:
        copied.loss(next(iter(case.train_loader)))


def test_an_error_of_the_users_code_is_one_sentence_with_advice():
    case = classifier()
    case.model[0] = nn.Linear(FEATURES + 1, 16)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    with (
        isolated(training(case)) as copied,
        pytest.raises(ExperimentError, match=r"RuntimeError: mat1 and mat2.*step=lambda"),
    ):
        copied.loss(next(iter(case.train_loader)))


@pytest.mark.parametrize("start", ["now", "initial"])
def test_buffers_and_modes_stay(start):
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 4)).eval()
    model[1].train()
    optimizer = torch.optim.Adam(model.parameters())
    subject = Training(model, optimizer, nn.CrossEntropyLoss(), train_loader=classifier().train_loader)
    mean, modes = model[1].running_mean.clone(), [m.training for m in model.modules()]
    with isolated(subject, start=start) as copied:
        copied.model.train()
        copied.loss(next(iter(subject.train_loader))).backward()
        assert not torch.equal(copied.model[1].running_mean, mean)
    assert torch.equal(model[1].running_mean, mean)
    assert [m.training for m in model.modules()] == modes


def test_the_hooks_on_a_copy_are_inert():
    import nn_inspector as nni

    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        with isolated(inspector.training) as copied:
            copied.loss(next(iter(case.train_loader))).backward()
            copied.optimizers[0].step()
        assert inspector.run.steps == 0
    assert mlp()(torch.zeros(1, FEATURES)).shape == (1, 4)

"""The loss of a step, in whatever way the loop computes it, and that of no other network or pass."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.trainings import CLASSES, blobs, classifier, watch


@pytest.mark.parametrize(
    "loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy, None], ids=["module", "function", "not given"]
)
@pytest.mark.parametrize("reduction", ["mean", "own mean"])
def test_the_loss_of_every_step_is_seen(loss_fn, reduction):
    case = classifier()
    expected = []
    with nni.watch(case.model, case.optimizer, loss_fn, train_loader=case.train_loader) as inspector:
        for _ in range(10):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                loss = (loss_fn or F.cross_entropy)(case.model(x), y)
                if reduction == "own mean":
                    loss = (loss * 2).mean() / 2
                loss.backward()
                case.optimizer.step()
                expected.append(loss.item())
    assert inspector.run.series("loss", "train").values == pytest.approx(expected, rel=1e-6)


def test_a_formula_of_the_users_own_is_seen_at_backward():
    case = classifier()
    expected = []
    with nni.watch(case.model, case.optimizer, train_loader=case.train_loader) as inspector:
        for _ in range(8):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                loss = ((case.model(x) - F.one_hot(y, CLASSES)) ** 2).mean()
                loss.backward()
                case.optimizer.step()
                expected.append(loss.item())
    assert inspector.run.series("loss", "train").values == pytest.approx(expected, rel=1e-6)


def test_a_loss_of_several_terms_is_their_total():
    case = classifier()
    with nni.watch(case.model, case.optimizer, train_loader=case.train_loader) as inspector:
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            output = case.model(x)
            loss = F.cross_entropy(output, y) + 0.5 * F.mse_loss(output, torch.zeros_like(output))
            loss.backward()
            case.optimizer.step()
    assert inspector.run.last("loss", "train") == pytest.approx(loss.item(), rel=1e-6)


def test_a_loss_over_several_batches_is_their_mean():
    case = classifier()
    losses = []
    with watch(case, every=1) as inspector:
        for _ in range(6):
            for index, (x, y) in enumerate(case.train_loader):
                loss = case.loss_fn(case.model(x), y) / 3
                loss.backward()
                losses.append(loss.item() * 3)
                if index % 3 == 2:
                    case.optimizer.step()
                    case.optimizer.zero_grad()
    expected = np.array(losses).reshape(-1, 3).mean(1)
    assert inspector.run.series("loss", "train").values == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("every", [1, 10])
def test_the_loss_of_another_network_does_not_mix_in(every):
    """A GAN of which the generator alone is watched: the discriminator's losses are not its own."""
    torch.manual_seed(0)
    generator, discriminator = nn.Linear(2, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    for_generator, for_discriminator = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (generator, discriminator))
    judge, real, fake = F.binary_cross_entropy_with_logits, torch.ones(16, 1), torch.zeros(16, 1)
    losses = []
    with nni.watch(generator, for_generator, every=every) as inspector:
        for _ in range(45):
            made = generator(torch.randn(16, 2))
            for_discriminator.zero_grad()
            loss = judge(discriminator(torch.randn(16, 8) + 2), real) + judge(discriminator(made.detach()), fake)
            loss.backward()
            for_discriminator.step()
            for_generator.zero_grad()
            loss = judge(discriminator(made), real)
            loss.backward()
            for_generator.step()
            losses.append(loss.item())
    seen = inspector.run.series("loss", "train").values
    assert seen[1:] == pytest.approx(losses[1:], rel=1e-5)  # at the first step it is not known yet whose is whose


def test_a_loss_that_the_loop_reduces_is_what_backward_is_called_on():
    case = classifier()
    case.loss_fn = lambda output, target: F.cross_entropy(output, target, reduction="none").sum()
    with watch(case, every=1) as inspector:
        losses = case.run(1)
    assert inspector.run.series("loss", "train").values == pytest.approx(losses, rel=1e-5)
    assert inspector.run.sources("objective") == []


def test_an_evaluation_leaves_nothing_in_the_way_of_another_model():
    first, second = classifier(), classifier()
    first.loss_fn = second.loss_fn = F.cross_entropy
    a = nni.watch(first.model, first.optimizer, first.loss_fn, every=1)
    first.run(1)
    with torch.no_grad():
        first.model(blobs(4).tensors[0])
    b = nni.watch(second.model, second.optimizer, second.loss_fn, every=1)
    losses = second.run(1)
    assert b.run.series("loss", "train").values == pytest.approx(losses, rel=1e-5)
    assert b.problems == []
    a.detach()
    b.detach()
    assert torch.overrides._get_current_function_mode_stack() == []


def test_validation_is_told_from_training_and_weighted_by_batch_size():
    case = classifier()
    data = blobs(50, seed=7)
    loader = DataLoader(data, batch_size=16)
    with watch(case, val_loader=loader) as inspector:
        for _ in range(3):
            case.run(1)
            case.model.eval()
            with torch.no_grad():
                for x, y in loader:
                    case.loss_fn(case.model(x), y)
            case.model.train()
    with torch.no_grad():
        expected = F.cross_entropy(case.model(data.tensors[0]), data.tensors[1]).item()
    series = inspector.run.series("loss", "validation")
    assert series.steps.tolist() == [6, 12, 18]
    assert series.values[-1] == pytest.approx(expected, rel=1e-5)
    assert inspector.run.steps == 18
    assert inspector.run.last("training_mode", "validation") == 0
    assert inspector.run.last("training_mode", "train") == 1


def test_validation_without_no_grad_is_known_by_its_loader():
    case = classifier()
    loader = DataLoader(blobs(32, seed=7), batch_size=16)
    with watch(case, val_loader=loader) as inspector:
        case.run(1)
        for x, y in loader:
            case.loss_fn(case.model(x), y)
        case.run(1)
    assert inspector.run.series("loss", "validation").steps.tolist() == [6]
    assert len(inspector.run.series("loss", "train")) == 12


def test_the_function_mode_goes_when_it_is_not_needed():
    """A loss module whose value is what backward() is called on needs no mode after the first steps."""
    plain, penalized = classifier(), classifier()
    modes = []
    for case, extra in ((plain, 0.0), (penalized, 0.1)):
        with watch(case, every="auto"):
            for _ in range(5):
                for x, y in case.train_loader:
                    case.optimizer.zero_grad()
                    loss = case.loss_fn(case.model(x), y)
                    modes.append(len(torch.overrides._get_current_function_mode_stack()) > 0)
                    (loss + extra * case.model[0].weight.sum() if extra else loss).backward()
                    case.optimizer.step()
    assert modes[:20] == [True] * 20
    assert modes[20:30] == [False] * 10
    assert modes[30:] == [True] * 30


def test_a_gradient_scaler_is_seen_through():
    case = classifier()
    twin = classifier()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = blobs(16).tensors
    twin.loss_fn(twin.model(x), y).backward()
    with watch(case, every=1) as inspector:
        scaler.scale(case.loss_fn(case.model(x), y)).backward()
        scaler.step(case.optimizer)
        scaler.update()
    expected = twin.model[0].weight.grad.norm().item()
    assert inspector.run.last("gradient_norm", "0.weight") == pytest.approx(expected, rel=1e-4)
    assert inspector.run.last("objective", "train") is None
    assert inspector.run.last("loss", "train") < 10


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("zeroed_late", [False, True])
@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy], ids=["module", "function"])
@pytest.mark.parametrize("skipped", [0, 3, 35])
def test_the_loss_of_a_pass_that_no_step_follows_is_in_no_loss(loss_fn, skipped, zeroed_late, set_to_none):
    """A gradient scaler met Inf."""
    case = classifier()
    case.loss_fn = loss_fn
    scaler, losses = torch.amp.GradScaler("cpu", init_scale=2.0**10), []
    x, y = next(iter(case.train_loader))
    with nni.watch(case.model, case.optimizer, loss_fn, every=10) as inspector:
        for number in range(45):
            if not zeroed_late:
                case.optimizer.zero_grad(set_to_none=set_to_none)
            loss = loss_fn(case.model(x), y) * (100.0 if number == skipped else 1.0)
            if zeroed_late:
                case.optimizer.zero_grad(set_to_none=set_to_none)
            scaler.scale(loss).backward()
            if number == skipped:
                case.model[0].weight.grad.fill_(torch.inf)
            else:
                losses.append(loss.item())
            scaler.step(case.optimizer)
            scaler.update()
    assert inspector.run.steps == len(losses) == 44
    seen = inspector.run.series("loss", "train").values
    assert seen == pytest.approx(losses, rel=1e-5)

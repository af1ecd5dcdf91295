"""vanishing_gradients, exploding_gradients and weight_spread."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks import Subject
from nn_inspector.checks.train.exploding_gradients import stands_out
from nn_inspector.checks.train.gradients_seen import GradientNorms
from nn_inspector.checks.train.memory import reaches
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of

CHECKS = ("vanishing_gradients", "exploding_gradients", "weight_spread")


def case(model, data=None, rate=0.02, **options):
    loader = DataLoader(data or blobs(), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate, **options), nn.CrossEntropyLoss(), loader)


def deep(activation=nn.Sigmoid, layers=6, norm=None):
    torch.manual_seed(0)
    parts = []
    for inside in (FEATURES, *[16] * (layers - 1)):
        parts += [nn.Linear(inside, 16), *([norm(16)] if norm else []), activation()]
    return nn.Sequential(*parts, nn.Linear(16, CLASSES))


class Memory(nn.Module):
    def __init__(self, kind=nn.RNN):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.last = kind(2, 16, batch_first=True), nn.Linear(16, 2)
        if kind is nn.RNN:
            nn.init.normal_(self.layer.weight_hh_l0, std=0.03)

    def forward(self, x):
        return self.last(self.layer(x)[0][:, -1])


def first_of_many(places=30, items=160):
    """The answer stands in the first place of the sequence."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (items,), generator=generator)
    series = 0.3 * torch.randn(items, places, 2, generator=generator)
    series[:, 0, 1] = 2.0 * labels - 1
    return TensorDataset(series, labels)


def remember(kind=nn.RNN):
    made = case(Memory(kind), first_of_many())
    made.optimizer = torch.optim.Adam(made.model.parameters(), lr=5e-3)
    return made


def norms(*values):
    return GradientNorms(np.arange(len(values)), np.array(values, dtype=np.float64))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (norms(*[1.0, 0.9, 0.8] * 10), None),
        (norms(*[50.0, 20.0, 5.0], *[1.0] * 20), None),
        (norms(*[1.0] * 20, 30.0, *[1.0] * 5), None),
        (norms(*[1.0] * 20, 400.0, *[1.0] * 9), "is 1 usually, and was 400 at step 20"),
        (norms(*[1.0] * 20, *[500.0] * 20), "went from 1 to 500"),
        (norms(5.0, 8.0, 8e4, 9.0, *[1.0] * 20), "is 1 usually, and was 8e+04 at step 2"),
        (norms(5.0, 300.0, *[1.0] * 20), None),
        (norms(5e3, 6e3, *[1.0] * 20), None),
        (norms(1.0, 8.0, 70.0, *[np.nan] * 20), "went from 1 to 70, and was NaN or infinite at step 3"),
        (norms(1.0, 1.0, 1.0, *[np.nan] * 20), None),
        (norms(*[np.nan] * 20), None),
        (norms(*[0.0] * 20), None),
    ],
)
def test_which_gradients_stand_out(seen, said):
    found = stands_out(seen)
    assert found is None if said is None else said in found


def test_a_gradient_that_dies_on_its_way_is_a_warning(watched):
    finding = watched(case(deep()), lambda c: c.run(12)).check("vanishing_gradients")
    assert finding.severity == "warning", finding.message
    assert finding.where == "0.weight"
    assert "The cause may lie elsewhere" in finding.message
    assert "ReLU" in finding.remedy.text


def test_a_sequence_whose_beginning_is_forgotten(watched):
    finding = watched(remember(), lambda c: c.run(12)).check("vanishing_gradients")
    assert finding.severity == "error", finding.message
    assert finding.where == "layer"
    assert finding.basis == "experiment"
    assert "the first of 30 places" in finding.message
    assert "orthogonal_" in finding.remedy.code
    assert finding.remedy.tried.helped


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_gradient_is_taken_place_by_place(watched, kind):
    inspector = watched(remember(kind))
    (reach,) = reaches(Subject(inspector.training, inspector.run, 60.0))
    assert len(reach.by_place) == 30
    assert reach.by_place[-1] > 100 * reach.by_place[0]


def test_a_gradient_that_explodes(watched):
    torch.manual_seed(0)
    inputs = torch.randn(96, FEATURES)
    data = TensorDataset(inputs, inputs[:, :1] + 0.1 * torch.randn(96, 1))
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 1))
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.9), nn.MSELoss(), DataLoader(data, batch_size=16))
    finding = watched(made, lambda c: c.run(4)).check("exploding_gradients")
    assert finding.raised, finding.message
    assert "its norm went from" in finding.message
    assert "clip_grad_norm_" in finding.remedy.code


def test_a_gradient_without_end_is_not_taken_for_one_that_was_cleared(watched):
    def loop(c):
        for _ in range(10):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                loss = c.loss_fn(c.model(x), y)
                loss.backward()
                for parameter in c.model.parameters():
                    parameter.grad.mul_(1e30).mul_(1e8)
                nn.utils.clip_grad_norm_(c.model.parameters(), 1.0)
                c.optimizer.step()

    inspector = watched(case(mlp()), loop)
    finding = inspector.check("exploding_gradients")
    assert finding.severity == "warning", finding.message
    assert "clipping makes it zero" in finding.message
    assert not inspector.check("zeroed_gradients").raised


@pytest.mark.parametrize("factor", [30.0, 0.01])
def test_weights_that_change_their_size(watched, factor):
    def loop(c):
        c.run(5)
        with torch.no_grad():
            for parameter in c.model.parameters():
                parameter.mul_(factor)
        c.run(5)

    finding = watched(case(mlp(), rate=1e-5), loop).check("weight_spread")
    assert finding.severity == "warning", finding.message
    assert ("grew more than tenfold" if factor > 1 else "shrank to less than a tenth") in finding.message
    assert ('"lr"' if factor > 1 else "weight_decay") in finding.remedy.code


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("model", [mlp, lambda: deep(nn.ReLU, 8, nn.BatchNorm1d)])
def test_sound_trainings_pass(watched, check, model):
    finding = watched(case(model(), rate=0.1), lambda c: c.run(12)).check(check)
    assert finding.severity == "ok", finding.message


def test_a_training_that_learns_is_told_only(watched):
    made = case(mlp(), rate=0.1)

    def loop(c):
        c.run(8)
        with torch.no_grad():
            for parameter in c.model.parameters():
                parameter.mul_(12)
        c.run(4)

    finding = watched(made, loop).check("weight_spread")
    assert finding.severity == "info", finding.message


@pytest.mark.parametrize("check", CHECKS)
def test_before_the_first_steps_there_is_nothing_to_see(watched, check):
    assert watched(classifier()).check(check).severity == "skipped"


@pytest.mark.parametrize("check", CHECKS)
def test_without_time_the_run_is_enough(watched, check):
    finding = watched(case(deep()), lambda c: c.run(12)).check(check, seconds=0)
    assert finding.severity in ("ok", "warning"), finding.message


@pytest.mark.parametrize("check", CHECKS)
def test_the_training_is_left_as_it_was(watched, check):
    made = remember()
    inspector = watched(made, lambda c: c.run(6))
    before = state_of(made)
    inspector.check(check)
    assert_equal(before, state_of(made))

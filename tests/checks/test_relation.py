import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.answers import Answers
from nn_inspector.checks.relation import NONE, of_answers
from nn_inspector.checks.train import oscillation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 50))
def test_random_numbers_are_not_related(seed):
    said, right = torch.randn(2, 300, 1, generator=seeded(seed))
    assert not of_answers(Answers("numbers", said, right)).holds(0.0)
    classes = torch.randint(0, 3, (2, 300), generator=seeded(seed))
    assert not of_answers(Answers("classes", *classes)).holds(0.0)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: 1000 * x + 5, lambda x: x**3, lambda x: x + 0 * x])
def test_the_order_of_numbers_counts_and_not_their_scale(change):
    right = torch.randn(200, 2, generator=seeded())
    found = of_answers(Answers("numbers", change(right), right))
    assert found.strength == pytest.approx(1.0)
    assert found.holds(0.9)


def test_equal_numbers_share_a_rank():
    right = torch.arange(100.0)[:, None]
    assert of_answers(Answers("numbers", torch.ones(100, 1), right)).strength == 0.0
    halves = (right > 49.5).float()
    assert of_answers(Answers("numbers", halves, right)).strength == pytest.approx(0.866, abs=0.01)


def test_of_classes_what_chance_gets_is_no_merit():
    right = torch.tensor([0] * 90 + [1] * 10)
    assert of_answers(Answers("classes", torch.zeros(100, dtype=torch.long), right)).strength == 0.0
    assert of_answers(Answers("classes", right, right)).strength == pytest.approx(1.0)


def test_a_rare_class_that_is_found_counts_although_more_items_are_wrong_for_it():
    right = torch.tensor([0] * 480 + [1] * 20)
    found = of_answers(Answers("classes", torch.tensor([0] * 400 + [1] * 80 + [1] * 16 + [0] * 4), right))
    assert found.strength == pytest.approx((400 / 480 + 16 / 20) / 2 * 2 - 1)
    assert found.holds(0.5)
    assert not of_answers(Answers("classes", torch.tensor([0] * 240 + [1] * 240 + [1] * 10 + [0] * 10), right)).holds(
        0.0
    )


@given(st.integers(0, 200), st.integers(2, 40))
def test_random_guesses_find_no_rare_class(seed, rare):
    right = torch.tensor([0] * 400 + [1] * rare)
    assert not of_answers(Answers("classes", torch.randint(0, 2, (400 + rare,), generator=seeded(seed)), right)).holds(
        0.3
    )


@pytest.mark.parametrize(
    "said",
    [
        Answers("numbers", torch.full((9, 1), torch.nan), torch.ones(9, 1)),
        Answers("classes", torch.zeros(9, dtype=torch.long), torch.zeros(9, dtype=torch.long)),
        Answers("numbers", torch.ones(1, 1), torch.ones(1, 1)),
        Answers("numbers", torch.ones(9, 2), torch.ones(9, 1)),
    ],
)
def test_where_nothing_can_be_told_there_is_none(said):
    assert of_answers(said) == NONE


def trained(model, data, loss_fn, *, epochs, lr=5e-3):
    loader = DataLoader(data, batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(epochs):
            for inputs, target in loader:
                optimizer.zero_grad()
                loss_fn(model(inputs), target).backward()
                optimizer.step()
        yield inspector


def net(inputs, outputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, outputs))


@pytest.mark.parametrize("wrong", [0.35, 0.5])
def test_labels_that_are_mostly_noise_were_learned_as_far_as_they_go(wrong):
    inputs = torch.randn(1200, 2, generator=seeded())
    labels = (inputs[:, 0] > 0) ^ (torch.rand(1200, generator=seeded(1)) < wrong)
    made = trained(net(2, 2), TensorDataset(inputs, labels.long()), nn.CrossEntropyLoss(), epochs=20)
    inspector = next(made)
    finding = inspector.check("no_learning")
    assert finding.raised is (wrong == 0.5), finding.message
    made.close()


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_few_items_far_off_make_the_loss_go_up_and_down(is_asked, monkeypatch):
    if not is_asked:  # what would be said without it
        monkeypatch.setattr(oscillation, "relation", lambda subject: NONE)
    random = np.random.default_rng(100)
    inputs = random.uniform(-2, 2, (1500, 3))
    target = np.sin(2 * inputs[:, 0]) + 0.5 * inputs[:, 1] * inputs[:, 2]
    far = random.random(1500) < 0.2
    target[far] += random.standard_t(1.5, far.sum()) * 60
    data = TensorDataset(torch.tensor(inputs).float(), torch.tensor(target).float()[:, None])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    made = trained(model, data, nn.HuberLoss(delta=0.5), epochs=25)
    finding = next(made).check("oscillation")
    assert finding.raised is not is_asked, finding.message
    made.close()


class Standardized(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.mean, self.spread = target.mean(0), target.std(0)

    def forward(self, output, target):
        return ((output - (target - self.mean) / self.spread) ** 2).mean()


def test_answers_in_another_scale_than_the_labels_are_not_the_same_for_all():
    inputs = torch.randn(900, 3, generator=seeded())
    target = torch.stack([1e5 + 2e4 * inputs[:, 0], 300 + 50 * inputs[:, 1]], 1)
    made = trained(net(3, 2), TensorDataset(inputs, target), Standardized(target), epochs=10)
    finding = next(made).check("constant_predictions")
    assert not finding.raised, finding.message
    made.close()


def test_a_rare_yes_that_is_told_well_is_a_strong_relation():
    right = torch.zeros(1000, 1)
    right[:30] = 1.0
    said = torch.linspace(1, 0, 1000)[:, None]
    assert of_answers(Answers("numbers", said, right)).holds(0.99)
    assert of_answers(Answers("numbers", said.roll(-60, 0), right)).strength == pytest.approx(0.88, abs=0.02)
    assert not of_answers(Answers("numbers", said.roll(-500, 0), right)).holds(0.1)

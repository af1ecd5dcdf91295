import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.answers import answers
from nn_inspector.checks.judging.cosines import scale_of_cosines
from nn_inspector.experiments import Start, isolated
from nn_inspector.experiments.entropy_calls import scale_scores
from tests.trainings import Case, assert_equal, state_of


class Towers(nn.Module):
    """Two networks, one for each side of a pair: word numbers [items, words] to a vector for each item."""

    def __init__(self, *, unit=True, learned=None):
        super().__init__()
        self.left, self.right = (
            nn.Sequential(nn.EmbeddingBag(60, 32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(2)
        )
        self.unit = unit
        self.log_scale = None if learned is None else nn.Parameter(torch.tensor(float(learned)))

    def forward(self, a, b):
        a, b = self.left(a), self.right(b)
        if self.unit:
            a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
        return a if self.log_scale is None else a * self.log_scale.exp(), b


class Contrast(nn.Module):
    """Each row is to find its partner among all columns, and the other way round."""

    def __init__(self, temperature=1.0):
        super().__init__()
        self.temperature = temperature

    def forward(self, a, b):
        scores = a @ b.T / self.temperature
        right = torch.arange(len(a))
        return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


class Pairwise(Contrast):
    def forward(self, a, b):
        scores = F.cosine_similarity(a[:, None], b[None], dim=-1) / self.temperature
        return F.cross_entropy(scores, torch.arange(len(a)))


class Hinge(Contrast):
    """A loss of cosines that is no cross entropy."""

    def forward(self, a, b):
        scores = a @ b.T
        return (scores - scores.diagonal()[:, None] + 0.3).clamp(min=0).mean()


def pairs(loss_fn, *, unit=True, learned=None, batch=64, told=3, items=960):
    """Both sides speak of the same four things, one of them of `told` only, beside words that say nothing."""
    torch.manual_seed(0)
    things = torch.stack([torch.randperm(50)[:4] for _ in range(items)])
    a, b = (torch.cat([things[:, :n], torch.randint(50, 60, (items, 2))], 1) for n in (told, 4))
    model = Towers(unit=unit, learned=learned)
    loader = DataLoader(TensorDataset(a, b), batch_size=batch, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=5e-3), loss_fn, loader)


def contrasting(case, epochs=14):
    for _ in range(epochs):
        for a, b in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(*case.model(a, b)).backward()
            case.optimizer.step()


def test_a_choice_among_cosines_without_a_temperature_is_named(watched):
    case = pairs(Contrast())
    inspector = watched(case, contrasting)
    before = state_of(case)
    finding = inspector.check("output_layer")
    assert_equal(before, state_of(case))
    assert finding.severity in ("warning", "error"), finding.message
    assert "are cosines" in finding.message
    assert "between -1 and 1" in finding.message
    assert finding.evidence["least_loss"] == pytest.approx(math.log(1 + 63 * math.exp(-2)))
    assert finding.remedy.tried.helped
    assert "0.07" in finding.remedy.code


@pytest.mark.parametrize(
    "case",
    [
        pairs(Contrast(0.07)),
        pairs(Contrast(0.5)),
        pairs(Contrast(), learned=1.0),
        pairs(Contrast(), learned=0.0),
        pairs(Contrast(), unit=False),
        pairs(Contrast(), batch=4, items=64),
    ],
    ids=["usual", "0.5", "learned", "learned from 1 on", "no cosines", "few to choose among"],
)
def test_scores_that_reach_far_enough_pass(watched, case):
    finding = watched(case, lambda c: contrasting(c, 2)).check("output_layer")
    assert finding.severity == "ok", finding.message


def test_a_training_that_finds_the_right_ones_in_spite_of_it_passes(watched):
    finding = watched(pairs(Contrast(), told=4), lambda c: contrasting(c, 8)).check("output_layer")
    assert finding.severity == "ok", finding.message


def test_a_loss_of_cosines_that_is_no_cross_entropy_is_not_meant(watched):
    finding = watched(pairs(Hinge()), lambda c: contrasting(c, 2)).check("output_layer")
    assert "cosine" not in finding.message


def test_without_time_nothing_is_said(watched):
    finding = watched(pairs(Contrast()), lambda c: contrasting(c, 2)).check("output_layer", seconds=0)
    assert finding.severity == "ok"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (pairs(Contrast(0.25)), 4.0),
        (pairs(Pairwise(2.0)), 0.5),
        (pairs(Contrast(), unit=False), None),
        (pairs(Hinge()), None),
    ],
    ids=["product", "cosine_similarity", "no cosines", "no cross entropy"],
)
def test_the_scale_of_cosines_is_measured(watched, case, expected):
    inspector = watched(case, lambda c: contrasting(c, 1))
    with isolated(inspector.training, start=Start()) as copied:
        found = scale_of_cosines(copied, next(iter(case.train_loader)))
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-3))


def test_masked_cosines_keep_their_scale(watched):
    def loss(a, b):
        scores = (a @ b.T).masked_fill(torch.eye(len(a), dtype=torch.bool).roll(1, 0), -torch.inf)
        return F.cross_entropy(scores, torch.arange(len(a)))

    case = pairs(loss)
    inspector = watched(case, lambda c: contrasting(c, 1))
    with isolated(inspector.training, start=Start()) as copied:
        assert scale_of_cosines(copied, next(iter(case.train_loader))) == pytest.approx(1.0, rel=1e-3)


def test_scores_that_are_read_both_ways_are_one_answer_for_each_item(watched):
    case = pairs(Contrast())
    inspector = watched(case, lambda c: contrasting(c, 1))
    batch = next(iter(case.train_loader))
    with isolated(inspector.training, start=Start()) as copied:
        plain = copied.loss(batch)
        found = answers(copied, batch)
        scale_scores(copied, 10.0)
        larger = copied.loss(batch)
    a, b = case.model(*batch)
    assert found.kind == "classes"
    assert torch.equal(found.given, (a @ b.T).argmax(1))
    assert torch.equal(found.right, torch.arange(64))
    assert float(plain) == pytest.approx(float(Contrast()(a, b)))
    assert float(larger) == pytest.approx(float(Contrast(0.1)(a, b)), rel=1e-4)

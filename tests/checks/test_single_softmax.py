"""A softmax within the model along an axis with a single number on it."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import Case

ITEMS, TIMES, FEATURES = 320, 24, 6


def marked(*, chance=False):
    """One position is marked, and says whether the answer is yes; all others say anything."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ITEMS, TIMES, FEATURES, generator=generator)
    x[..., 0] = -1
    where, rows = torch.randint(0, TIMES, (ITEMS,), generator=generator), torch.arange(ITEMS)
    x[rows, where, 0] = 3
    labels = (x[rows, where, 1] > 0).long()
    return TensorDataset(x, labels[torch.randperm(ITEMS, generator=generator)] if chance else labels)


def plain():
    """All positions say the answer."""
    x = torch.randn(ITEMS, TIMES, FEATURES, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(ITEMS) % 2
    x[..., 1] += 2.0 * labels[:, None] - 1
    return TensorDataset(x, labels)


class Pooled(nn.Module):
    """`weigh(scores, x)` sums the positions up; scores: [items, times, 1]."""

    def __init__(self, weigh):
        super().__init__()
        torch.manual_seed(0)
        self.score = nn.Sequential(nn.Linear(FEATURES, 12), nn.Tanh(), nn.Linear(12, 1))
        self.body, self.last, self.softmax = nn.Linear(FEATURES, 12), nn.Linear(12, 2), nn.Softmax(dim=1)
        self.weigh = weigh

    def forward(self, x):
        return self.last(self.weigh(self, self.score(x), torch.tanh(self.body(x))))


def last_axis(model, scores, h):
    return (torch.softmax(scores, dim=-1) * h).sum(1)


def rows(model, scores, h):
    return torch.bmm(model.softmax(scores.transpose(1, 2)), h).squeeze(1)


def summed_up(model, scores, h):
    return (h.transpose(1, 2) @ scores.softmax(2)).squeeze(2)


def right(model, scores, h):
    return (torch.softmax(scores, dim=1) * h).sum(1)


def one_context(model, scores, h):
    """All positions attend to the same single entry."""
    context = h.mean(1, keepdim=True)
    weights = torch.softmax(h @ context.transpose(1, 2), dim=-1)
    return (h + weights @ context).mean(1)


def one_expert(model, scores, h):
    """As many experts as there are: one."""
    return (torch.softmax(scores, dim=-1) * h).mean(1)


def only_position(model, scores, h):
    """A sequence that was shortened to one position before."""
    short = h.mean(1, keepdim=True)
    return (torch.softmax(short @ short.transpose(1, 2), -1) @ short).squeeze(1)


def training(weigh, data, *, collate=None):
    model = Pooled(weigh)
    loader = DataLoader(data, batch_size=32, shuffle=True, collate_fn=collate)
    return Case(model, torch.optim.Adam(model.parameters(), lr=1e-2), nn.CrossEntropyLoss(), loader)


@pytest.mark.parametrize(
    ("weigh", "shape", "where"),
    [(last_axis, "[32, 24, 1] works along axis 2", "model"), (rows, "[32, 1, 24] works along axis 1", "softmax")],
)
def test_weights_that_are_all_1_are_an_error_where_weights_of_positions_learn(watched, weigh, shape, where):
    finding = watched(training(weigh, marked()), lambda case: case.run(20)).check("hidden_activation")
    assert finding.severity == "error", finding.message
    assert f"a softmax of {shape}, which holds a single number" in finding.message
    assert "the gradient of score.2.weight, score.0.weight was 0 in each step" in finding.message
    assert finding.remedy.text.startswith(
        f"Let it work along the axis of what it is to weigh: dim={shape.count('1, 24') + 1}"
    )
    assert finding.remedy.tried is not None
    assert finding.basis == "experiment"
    assert finding.where == (None if where == "model" else where)


def test_a_product_of_matrices_over_the_positions_is_seen_too(watched):
    finding = watched(training(summed_up, marked()), lambda case: case.run(20)).check("hidden_activation")
    assert finding.severity == "error", finding.message


@pytest.mark.parametrize("weigh", [right, one_context, only_position])
def test_attention_that_works_or_has_one_thing_to_look_at_passes(watched, weigh):
    finding = watched(training(weigh, marked()), lambda case: case.run(20)).check("hidden_activation")
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize(
    ("weigh", "data"), [(last_axis, plain()), (one_expert, plain()), (one_expert, marked(chance=True))]
)
def test_where_weights_of_positions_learn_no_more_it_is_a_remark(watched, weigh, data):
    finding = watched(training(weigh, data), lambda case: case.run(20)).check("hidden_activation")
    assert finding.severity == "info", finding.message
    assert "no harm was seen" in finding.message


class Parts(Pooled):
    """Some batches have two scores for each position, some have one."""

    def forward(self, x):
        kinds = 1 + int(x[0, 0, 1] > 0.7)
        scores = self.score(x) * torch.arange(1, kinds + 1)
        return self.last((torch.softmax(scores, -1)[..., :1] * torch.tanh(self.body(x))).sum(1))


def test_an_axis_that_holds_a_single_number_in_some_batches_only_passes(watched):
    case = training(None, marked())
    case.model = Parts(None)
    case.optimizer = torch.optim.Adam(case.model.parameters(), lr=1e-2)
    finding = watched(case, lambda case: case.run(10)).check("hidden_activation")
    assert finding.severity == "ok", finding.message


def test_it_is_seen_before_the_first_step(watched):
    finding = watched(training(last_axis, marked())).check("hidden_activation")
    assert finding.severity == "error"
    assert "gradient" not in finding.message

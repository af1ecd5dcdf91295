import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.model.norms import far
from nn_inspector.checks.train.levels import Judgement, LossLevels
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def network(norm=nn.BatchNorm1d, width=32, before=None):
    torch.manual_seed(0)
    layers = []
    for inside in (FEATURES, width):
        layers += [nn.Linear(inside, width), *([before()] if before else []), norm(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def case(model, *, data=None, size=16, rate=0.05, optimizer=torch.optim.SGD):
    loader = DataLoader(data or blobs(spread=1.0), batch_size=size, shuffle=True, drop_last=True)
    return Case(model, optimizer(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


def levels(items=256):
    """Series that differ in nothing but their level."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (items,), generator=generator)
    return TensorDataset(0.3 * torch.randn(items, 6, 2, generator=generator) + labels.view(-1, 1, 1), labels)


class Series(nn.Module):
    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.first, self.last = norm, nn.Linear(2, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.last(F.relu(self.first(self.norm(x))).mean(1))


def still(model):
    """Statistics that are never updated."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 0.0
            module.running_mean.fill_(5.0)
    return model


def test_statistics_that_are_not_those_of_the_data(watched):
    finding = watched(case(still(network()), rate=0.02), lambda c: c.run(20)).check("normalization")
    assert finding.severity in ("error", "warning"), finding.message
    assert "remembers are not those of the data" in finding.message
    assert finding.evidence["training_mode"] < finding.evidence["evaluation_mode"]
    assert finding.evidence["taken_anew"] < finding.evidence["evaluation_mode"]
    assert "reset_running_stats" in finding.remedy.code
    assert finding.basis == "experiment"


def hasty(momentum, *, size=16):
    model = network(lambda width: nn.BatchNorm1d(width, momentum=momentum))
    return case(model, size=size, data=blobs(256, spread=1.5), rate=0.1)


def with_an_odd_batch_at_the_end(made):
    """As the rest of an epoch may be, or what comes last of sorted data."""
    made.run(10)
    x, _ = next(iter(made.train_loader))
    made.model(6.0 * x[:4] + 4.0)


def test_a_momentum_that_another_framework_means_the_other_way_round(watched):
    finding = watched(hasty(0.99), with_an_odd_batch_at_the_end).check("normalization")
    assert finding.severity in ("error", "warning"), finding.message
    assert "normalization 1 and 1 more, with momentum=0.99, remember little but the last batch" in finding.message
    assert finding.evidence["taken_anew"] < finding.evidence["evaluation_mode"]
    assert finding.evidence["momentum"] == 0.99
    assert finding.where == "1"
    assert "momentum=0.1" in finding.remedy.code


def test_in_small_batches_training_mode_is_noisy_itself_and_hides_nothing(watched):
    generator = torch.Generator().manual_seed(1)
    centers = 1.6 * torch.randn(5, 2, 10, generator=generator)
    labels, which = (torch.randint(0, n, (996,), generator=generator) for n in (5, 2))
    data = TensorDataset(centers[labels, which] + torch.randn(996, 10, generator=generator), labels)
    torch.manual_seed(0)
    blocks = [[nn.Linear(i, 64, bias=False), nn.BatchNorm1d(64, momentum=0.99), nn.ReLU()] for i in (10, 64)]
    made = case(
        nn.Sequential(*blocks[0], *blocks[1], nn.Linear(64, 5)),
        data=data,
        size=4,
        rate=1e-3,
        optimizer=torch.optim.RMSprop,
    )
    finding = watched(made, lambda c: c.run(6)).check("normalization")
    assert finding.raised, finding.message
    assert "with momentum=0.99, remember little but the last batch" in finding.message


def test_a_large_momentum_that_does_no_harm_is_a_remark(watched):
    finding = watched(hasty(0.9, size=128), lambda c: c.run(40)).check("normalization")
    assert finding.severity == "info", finding.message
    assert "No harm was seen" in finding.message


@pytest.mark.parametrize("momentum", [0.01, 0.1, 0.3, None])
def test_statistics_of_many_batches_pass(watched, momentum):
    finding = watched(hasty(momentum), lambda c: c.run(25)).check("normalization")
    assert finding.severity == "ok", finding.message


def apart(there, here, *, right=(None, None)):
    levels = LossLevels(1.0, 0.0, "classes", "cross_entropy")
    return far(levels, Judgement(1 - there, right[0]), Judgement(1 - here, right[1]))


@pytest.mark.parametrize(
    ("there", "here", "right", "is_far"),
    [
        (0.97, 0.3, (None, None), True),
        (0.97, 0.7, (None, None), True),
        (0.97, 0.7, (0.99, 0.8), True),
        (0.97, 0.7, (0.99, 0.97), False),  # less sure, and as often right
        (0.97, 0.9, (0.99, 0.8), False),
        (0.6, 0.4, (0.8, 0.6), False),  # most of what is missing is missing anyway
        (0.2, -2.0, (0.3, 0.1), False),  # nothing was learned
        (0.5, -math.inf, (0.5, 0.1), True),
    ],
)
def test_what_counts_as_far_worse(there, here, right, is_far):
    assert apart(there, here, right=right) is is_far


def test_means_of_two_numbers(watched):
    made = case(network(), size=2, data=blobs(spread=0.4), rate=0.1)
    finding = watched(made, lambda c: c.run(3)).check("normalization")
    assert finding.severity in ("error", "warning"), finding.message
    assert "each mean of 2 numbers only" in finding.message
    assert "GroupNorm" in finding.remedy.code
    assert finding.remedy.tried.helped


def test_dropout_right_before_it(watched):
    made = case(network(before=lambda: nn.Dropout(0.9)), rate=0.02)
    finding = watched(made, lambda c: c.run(10)).check("normalization")
    assert finding.severity in ("error", "warning"), finding.message
    assert "dropout stands right before 2" in finding.message
    assert "behind the last normalization" in finding.remedy.text


def test_a_level_that_is_taken_away(watched):
    made = case(Series(nn.LayerNorm((6, 2))), data=levels(), rate=1e-2, optimizer=torch.optim.Adam)
    finding = watched(made, lambda c: c.run(8)).check("normalization")
    assert finding.severity == "error", finding.message
    assert "takes the level and the size of each item away" in finding.message
    assert finding.where == "norm"


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm, lambda width: nn.GroupNorm(4, width)])
def test_usual_normalizations_pass(watched, norm):
    finding = watched(case(network(norm)), lambda c: c.run(12)).check("normalization")
    assert finding.severity == "ok", finding.message


def test_without_a_normalization_there_is_nothing_to_say(watched):
    finding = watched(classifier()).check("normalization")
    assert finding.severity == "ok"
    assert "no normalization" in finding.message


@pytest.mark.parametrize(
    "make",
    [
        lambda: case(network(), size=4, data=blobs(spread=0.2)),
        lambda: case(network(before=lambda: nn.Dropout(0.05)), data=blobs(spread=0.3)),
        lambda: case(nn.Sequential(nn.LayerNorm(FEATURES), mlp()), data=blobs(spread=0.3), rate=0.3),
    ],
)
def test_what_learns_anyway_is_a_remark(watched, make):
    finding = watched(make(), lambda c: c.run(40)).check("normalization")
    assert finding.severity == "info", finding.message
    assert "no harm was seen" in finding.message


def test_the_first_steps_say_nothing_about_remembered_statistics(watched):
    finding = watched(case(still(network())), lambda c: c.run(1)).check("normalization")
    assert finding.severity == "ok"


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("normalization", seconds=0).severity == "skipped"
    assert untrained(network(), None, blobs()).check("normalization").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = case(still(network()))
    inspector = watched(made, lambda c: c.run(12))
    before, modes = state_of(made), [module.training for module in made.model.modules()]
    inspector.check("normalization")
    assert_equal(before, state_of(made))
    assert modes == [module.training for module in made.model.modules()]
    assert made.model[1].momentum == 0.0

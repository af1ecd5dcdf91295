import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.base import Subject
from nn_inspector.checks.init.last_bias import last_bias
from tests.trainings import FEATURES, Case, assert_equal, blobs, classifier, state_of

G = torch.Generator().manual_seed(0)
X = torch.randn(256, FEATURES, generator=G)
REAL = X[:, :1] + 0.5 * X[:, 1:2]
RARE = (X[:, :1] > 1.9).float()
KINDS = torch.where(X[:, 0] > 1.9, 1, 0)


def case(targets, loss_fn, *, outputs=1, rate=0.05, last=(), bias=True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, outputs, bias=bias), *last)
    loader = DataLoader(TensorDataset(X, targets), batch_size=32, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), loss_fn, loader)


def checked(inspector, made):
    before = state_of(made)
    finding = inspector.check("output_bias")
    assert_equal(before, state_of(made))
    return finding


def test_a_bias_that_keeps_the_training_from_its_task_is_an_error(watched):
    made = case(REAL + 400, nn.L1Loss(), rate=0.05)
    finding = checked(watched(made, lambda c: c.run(12)), made)
    assert finding.severity == "error", finding.message
    assert "standard deviations of the targets away from their mean" in finding.message
    assert (finding.where, finding.basis) == ("2.bias", "experiment")
    assert finding.remedy.tried.helped
    assert 'model.get_submodule("2").bias.copy_(y.mean(0))' in finding.remedy.code


@pytest.mark.parametrize(
    ("made", "epochs", "severity", "says"),
    [
        (lambda: case(REAL, nn.MSELoss()), 3, "ok", "standard deviations"),
        (lambda: case(REAL + 8, nn.MSELoss()), 30, "info", "No harm was seen"),
        (lambda: case(RARE, nn.BCEWithLogitsLoss()), 30, "info", "how often each answer comes is worth 0."),
        (lambda: case(RARE, nn.BCELoss(), last=[nn.Sigmoid()]), 30, "info", "how often each answer"),
        (lambda: case(KINDS, nn.CrossEntropyLoss(), outputs=2), 30, "info", "how often each class"),
        (classifier, 3, "ok", "each class comes is worth"),
    ],
)
def test_what_does_no_harm_is_no_more_than_a_remark(watched, made, epochs, severity, says):
    made = made()
    finding = checked(watched(made, lambda c: c.run(epochs)), made)
    assert finding.severity == severity, finding.message
    assert says in finding.message


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (lambda: case(RARE, nn.BCEWithLogitsLoss()), RARE.mean(0).logit()),
        (lambda: case(RARE, nn.BCELoss(), last=[nn.Sigmoid()]), RARE.mean(0).logit()),
        (lambda: case(KINDS, nn.CrossEntropyLoss(), outputs=2), torch.stack([1 - RARE.mean(), RARE.mean()]).log()),
    ],
)
def test_what_the_bias_should_be(watched, made, wanted):
    inspector = watched(made())
    seen = last_bias(Subject(inspector.training, inspector.run, 10.0))
    assert torch.allclose(seen.wanted, wanted, atol=1e-4)


def test_with_the_bias_set_numbers_begin_at_their_mean(watched):
    made = case(REAL + 400, nn.MSELoss())
    inspector = watched(made)
    seen = last_bias(Subject(inspector.training, inspector.run, 10.0))
    with torch.no_grad():
        made.model[2].bias.copy_(seen.wanted)
        assert (made.model(X) - 400).mean().abs() < 0.1


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: case(REAL, nn.MSELoss(), bias=False), "straight from a linear layer with a bias"),
        (lambda: case(REAL, nn.MSELoss(), last=[nn.Tanh()]), "straight from a linear layer"),
        (lambda: case(KINDS, nn.CrossEntropyLoss(weight=torch.ones(2)), outputs=2), "plain losses"),
        (lambda: case(REAL, lambda o, y: (o - y).square().mean()), "one loss function of torch's"),
        (lambda: case(REAL, lambda o, y: F.mse_loss(o, y) + F.l1_loss(o, y)), "one loss function of torch's"),
    ],
)
def test_where_it_is_not_known_it_says_why(watched, made, reason):
    made = made()
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "skipped"
    assert reason in finding.message


def test_data_that_are_balanced_have_no_prior(watched):
    inspector = watched(classifier(data=blobs(400)))
    assert last_bias(Subject(inspector.training, inspector.run, 10.0)).off < 0.05

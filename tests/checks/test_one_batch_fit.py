import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks import find_check
from nn_inspector.checks.fit import one_batch_fit
from nn_inspector.checks.fit.by_heart import Fit
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


class Detached(nn.Module):
    """Its body never learns."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(FEATURES, 32), nn.Linear(1, CLASSES)

    def forward(self, x):
        return self.head(self.body(x).detach().mean(1, keepdim=True) * 0)


def test_a_sound_network_learns_its_items_by_heart(untrained):
    finding = untrained(mlp(), nn.CrossEntropyLoss(), blobs()).check("one_batch_fit")
    assert finding.severity == "ok"
    assert finding.evidence["loss"][-1] <= finding.evidence["learned_below"]
    assert "16 items" in finding.message


def test_a_network_that_ignores_its_input_does_not(untrained):
    finding = untrained(Detached(), nn.CrossEntropyLoss(), blobs()).check("one_batch_fit", steps=60)
    assert finding.severity == "error"
    assert "in the model or the loss is broken" in finding.message
    assert "every layer gets a gradient" in finding.remedy.text


def test_a_network_that_learns_slowly_is_not_called_broken(untrained):
    items = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    data = TensorDataset(items, items[:, :3].argmax(1))
    finding = untrained(nn.Linear(4, 3), nn.CrossEntropyLoss(), data).check("one_batch_fit", seconds=300)
    assert finding.severity == "info"
    assert finding.message.startswith("Nearly: after 400 steps on the same 16 items")


def test_a_network_too_small_to_learn_by_heart_is_not_called_broken(untrained):
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(64, 1), torch.randn(64, 1))
    finding = untrained(nn.Linear(1, 1), nn.MSELoss(), data).check("one_batch_fit", steps=60, seconds=300)
    assert finding.severity == "info"
    assert "2 trainable numbers, too few to learn 16 target numbers by heart" in finding.message


def test_a_rate_far_too_small_is_told_from_a_broken_model(watched):
    finding = watched(classifier(lr=1e-6)).check("one_batch_fit", steps=100)
    assert finding.severity == "warning"
    assert "can learn 16 items, but not with your optimizer" in finding.message
    assert finding.remedy.tried.helped
    assert "torch.optim.Adam" in finding.remedy.code


def test_a_rate_far_too_large_is_told_from_a_broken_model(watched):
    finding = watched(classifier(lr=1e6)).check("one_batch_fit", steps=100)
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    ("loss_fn", "data"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.2), blobs()),
        (nn.MSELoss(), TensorDataset(torch.randn(64, FEATURES), torch.randn(64, CLASSES))),
        (nn.BCEWithLogitsLoss(), TensorDataset(torch.randn(64, FEATURES), (torch.rand(64, CLASSES) > 0.5).float())),
    ],
    ids=["label smoothing cannot reach zero", "regression", "labels"],
)
def test_what_counts_as_learned_depends_on_the_loss(untrained, loss_fn, data):
    torch.manual_seed(0)
    finding = untrained(mlp(hidden=64), loss_fn, data).check("one_batch_fit")
    assert finding.severity in ("ok", "info", "warning")
    losses = finding.evidence.get("loss_with_adam", finding.evidence["loss"])
    assert losses[-1] <= finding.evidence["learned_below"]


def test_equal_inputs_with_different_labels_do_not_count_against_it(untrained):
    inputs = torch.eye(FEATURES)[torch.arange(64) % 6]
    labels = torch.randint(0, CLASSES, (64,), generator=torch.Generator().manual_seed(0))
    finding = untrained(mlp(), nn.CrossEntropyLoss(), TensorDataset(inputs, labels)).check("one_batch_fit")
    assert finding.severity == "ok"
    assert "6 items" in finding.message


def test_dropout_and_weight_decay_are_off_in_it(watched):
    case = classifier(weight_decay=1.0)
    case.model.insert(1, nn.Dropout(0.9))
    assert watched(case).check("one_batch_fit").severity == "ok"


def test_without_an_optimizer_it_uses_adam(untrained):
    import nn_inspector as nni

    model = mlp()
    loader = torch.utils.data.DataLoader(blobs(), batch_size=16)
    with nni.watch(model, loss_fn=nn.CrossEntropyLoss(), train_loader=loader) as inspector:
        finding = inspector.check("one_batch_fit")
    assert finding.severity == "ok"
    assert "with Adam" in finding.message


def test_a_trained_network_is_tested_from_its_first_weights(watched):
    finding = watched(classifier(weight_decay=3.0), lambda c: c.run(20)).check("one_batch_fit")
    assert finding.severity == "ok"


def test_no_time_is_said(untrained):
    finding = untrained(mlp(), nn.CrossEntropyLoss(), blobs()).check("one_batch_fit", seconds=0)
    assert finding.severity == "skipped"
    assert "no time left" in finding.message


def test_too_little_time_is_no_verdict(watched):
    finding = watched(classifier(lr=1e-9)).check("one_batch_fit", seconds=0.01, steps=10_000)
    assert finding.severity == "skipped"
    assert "of 10000 steps only" in finding.message
    assert "seconds=120" in finding.message


def test_an_optimizer_that_had_no_time_is_not_called_worse_than_adam(watched, monkeypatch):
    fits = iter(Fit([2.0, end], 0.0, 16) for end in (1.5, 0.01, 0.01))
    monkeypatch.setattr(one_batch_fit, "learn_by_heart", lambda *arguments, **options: next(fits))
    finding = watched(classifier()).check("one_batch_fit")
    assert finding.severity == "skipped"
    assert "The time was enough for 1 of 400 steps only" in finding.message


def test_no_loader_is_said(untrained):
    import nn_inspector as nni

    model = mlp()
    with nni.watch(model, torch.optim.SGD(model.parameters()), nn.CrossEntropyLoss()) as inspector:
        finding = inspector.check("one_batch_fit")
    assert finding.severity == "skipped"
    assert "Pass train_loader=" in finding.message


def test_its_evidence_can_be_drawn(watched):
    finding = watched(classifier(lr=1e-6)).check("one_batch_fit", steps=60)
    chart = find_check("one_batch_fit").chart(finding)
    assert set(chart.series) == {"your optimizer", "Adam"}
    assert chart.levels["learned"] == finding.evidence["learned_below"]


@pytest.mark.parametrize("name", ["one_batch_fit", "small_subset_fit"])
def test_losses_that_take_turns_are_not_learned_by_heart(watched, name):
    """As in a game between two networks of which one optimizer alone is watched."""

    def play(case):
        other = torch.optim.SGD(case.model[2].parameters(), lr=0.1)
        for x, y in case.train_loader:
            for optimizer, sign in ((other, -1), (case.optimizer, 1)):
                optimizer.zero_grad()
                (sign * case.loss_fn(case.model[2](case.model[1](case.model[0](x))), y)).backward()
                optimizer.step()

    finding = watched(classifier(), play).check(name)
    assert finding.severity == "skipped"
    assert "take turns" in finding.message


def density(output, target):
    """A log density: how low it can go is not known."""
    mean, width = output[:, :1], output[:, 1:]
    return (width.clamp(-2, 2) + 0.5 * ((target - mean) * (-width.clamp(-2, 2)).exp()).square()).mean() + 2.0


@pytest.mark.parametrize(("rate", "severity"), [(0.003, "info"), (1e-7, "warning")])
def test_a_density_that_falls_is_not_held_against_the_optimizer(watched, rate, severity):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, FEATURES, generator=generator)
    data = TensorDataset(x, x[:, :1] * 3 + 0.2 * torch.randn(96, 1, generator=generator))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 2))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=rate), density, DataLoader(data, 16, shuffle=True))
    finding = watched(case, lambda c: c.run(1)).check("one_batch_fit", steps=400, seconds=300)
    assert "not with your optimizer" in finding.message
    assert finding.severity == severity

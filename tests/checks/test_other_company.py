"""Networks that take something from the whole batch, and are asked about other batches in validation."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.errors import ExperimentError
from tests.trainings import CLASSES, FEATURES, assert_equal, blobs, classifier_of, sorted_by_label, state_of


class OwnStatistics(nn.Module):
    """Takes mean and spread of the batch, of the inputs or of what a first layer makes of them."""

    def __init__(self, *, inside=False):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(FEATURES, FEATURES) if inside else nn.Identity()
        self.rest = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))

    def forward(self, x):
        h = self.first(x)
        return self.rest((h - h.mean(0)) / (h.std(0, correction=0) + 1e-5))


def untracked():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 16), nn.BatchNorm1d(16, track_running_stats=False), nn.ReLU(), nn.Linear(16, CLASSES)
    )


def tracked():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES))


def validation(data=None, batch_size=16):
    return DataLoader(data or blobs(seed=1), batch_size=batch_size)


def relabelled():
    inputs, labels = blobs(seed=1).tensors
    return TensorDataset(inputs, (labels + 1) % CLASSES)


def check(watched, model, val_loader, epochs=15):
    made = classifier_of(model, blobs(240))
    return made, watched(made, lambda c: c.run(epochs), val_loader=val_loader)


@pytest.mark.parametrize(
    ("model", "val_loader", "said"),
    [
        (OwnStatistics, lambda: validation(batch_size=1), "in single items, as they come"),
        (lambda: OwnStatistics(inside=True), lambda: validation(sorted_by_label(blobs(seed=1))), "in batches of 16"),
        (untracked, lambda: validation(sorted_by_label(blobs(seed=1)), 12), "in batches of 12"),
    ],
    ids=["single items", "sorted validation", "batch norm that keeps nothing"],
)
def test_other_company_in_validation_is_an_error(watched, model, val_loader, said):
    made, inspector = check(watched, model(), val_loader())
    before = state_of(made)
    finding = inspector.check("batch_dependency")
    assert (finding.severity, finding.basis) == ("error", "experiment"), finding.message
    assert said in finding.message
    assert "of the same items in mixed batches of 16, as in training" in finding.message
    assert finding.evidence["left_as_in_training"] < finding.evidence["left_as_they_come"] / 2
    assert_equal(before, state_of(made))


@pytest.mark.parametrize(
    ("model", "val_loader", "severity"),
    [
        (OwnStatistics, validation, "info"),
        (OwnStatistics, lambda: validation(batch_size=64), "info"),
        (untracked, validation, "info"),
        (OwnStatistics, lambda: None, "info"),
        (OwnStatistics, lambda: validation(relabelled()), "info"),
        (tracked, lambda: validation(sorted_by_label(blobs(seed=1))), "ok"),
        (tracked, lambda: validation(batch_size=1), "ok"),
    ],
    ids=[
        "batches as in training",
        "larger batches",
        "batch norm that keeps nothing",
        "no validation",
        "other labels",
        "running statistics, sorted",
        "running statistics, single items",
    ],
)
def test_the_same_company_and_what_fails_for_another_reason_are_no_error(watched, model, val_loader, severity):
    _, inspector = check(watched, model(), val_loader())
    finding = inspector.check("batch_dependency")
    assert finding.severity == severity, finding.message


@pytest.mark.parametrize("epochs", [0, 1])
def test_nothing_is_said_of_a_network_that_has_not_learned_yet(watched, epochs):
    model = OwnStatistics()
    made = classifier_of(model, blobs(240), lr=1e-5)
    inspector = watched(made, lambda c: c.run(epochs), val_loader=validation(batch_size=1))
    assert inspector.check("batch_dependency").severity == "info"


def test_validation_data_that_cannot_be_read_are_left_alone(watched):
    def fail(items):
        raise ExperimentError("Nothing here.")

    val_loader = DataLoader(blobs(seed=1), batch_size=16, collate_fn=fail)
    _, inspector = check(watched, OwnStatistics(), val_loader)
    assert inspector.check("batch_dependency").severity == "info"

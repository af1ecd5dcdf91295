import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from nn_inspector.checks import Subject
from nn_inspector.checks.race import Race, left_now, level, race
from tests.trainings import assert_equal, blobs, classifier, state_of


@pytest.mark.parametrize(
    ("without", "treated", "now", "kind", "severity"),
    [
        (1.0, 0.1, 0.9, "classes", "error"),
        (1.0, 0.1, None, "classes", "error"),
        (1.0, 0.6, 0.9, "classes", "info"),
        (1.0, 0.1, 0.1, "classes", "info"),
        (0.1, 0.0, 1.0, "classes", "info"),
        (1.0, 0.05, 0.2, "classes", "warning"),
        (1.0, 0.1, 0.2, "classes", "info"),
        (1.0, 0.01, 0.2, "numbers", "info"),
        (math.inf, 0.2, math.inf, "numbers", "error"),
        (math.inf, 0.6, math.inf, "numbers", "info"),
        (1e6, math.inf, 1e6, "numbers", "info"),
    ],
)
def test_the_remedy_has_to_beat_the_same_training_and_the_own_one(without, treated, now, kind, severity):
    found = Race([1.0, without], [1.0, treated], now, 80, kind)
    assert found.severity == severity
    assert found.trial.helped == (severity != "info")


@pytest.mark.parametrize(
    ("left", "stands"),
    [
        ([1.0, 0.8, 0.25, 0.25, 1.0], 0.5),
        ([1.0, 0.5, 0.4, 0.3, 0.2], 0.2),
        ([1.0, 0.2, 0.6, 0.9, 0.7], 0.7),
        ([1.0, 0.2, math.inf, math.inf], math.inf),
        ([0.0, 0.1, 0.5], 0.5),
        ([1.0, 0.1, 0.1, math.inf], math.inf),
    ],
    ids=["a bad last look", "still falling", "a lucky look long ago", "lost", "too few looks", "lost at the very end"],
)
def test_one_bad_look_at_the_end_does_not_count_alone(left, stands):
    assert level(left) == stands


def test_both_sides_are_judged_by_where_they_stand():
    bouncing, stuck = [1.0, 0.5, 0.2, 0.1, 0.6], [1.0, 1.0, 1.0, 1.0, 1.0]
    assert Race(stuck, bouncing, 1.0, 240, "classes").severity == "error"
    assert "with the remedy learned 70%" in Race(stuck, bouncing, 1.0, 240, "classes").text
    assert Race(bouncing, bouncing, 1.0, 240, "classes").severity == "info"


def test_the_race_is_told_in_a_sentence():
    text = Race([1.0, math.inf], [1.0, 0.1], 0.97, 80, "classes").text
    assert (
        text
        == "On a copy, 80 steps with the remedy learned 90% of the task, without it 0%, and your own training has learned 3%."
    )
    trial = Race([1.0, 0.8, 0.8], [1.0, 0.4, 0.1], None, 80, "classes").trial
    assert trial.text == "Tried on a copy: share still to learn 1 → 0.1 in 80 steps with it, 0.8 without it."


def subject_of(inspector, seconds=300.0):
    return Subject(inspector.training, inspector.run, seconds)


def bigger_steps(copied):
    for group in copied.optimizers[0].param_groups:
        group["lr"] = 0.1


def test_a_training_that_is_far_too_slow_loses(watched):
    case = classifier(lr=1e-6)
    subject = subject_of(watched(case, lambda case: case.run(12)))
    before = state_of(case)
    found = race(subject, bigger_steps)
    assert_equal(before, state_of(case))
    assert found is not None
    assert found.severity == "error"
    assert found.steps == 80


def test_what_is_changed_may_be_the_data(watched):
    inputs, labels = blobs().tensors
    case = classifier(data=TensorDataset(inputs * 1e-3, labels))
    subject = subject_of(watched(case, lambda case: case.run(1)))
    found = race(subject, data=lambda batch: (batch[0] * 1e3, batch[1]))
    assert found is not None
    assert found.severity == "error"


@pytest.mark.parametrize("seconds", [0.0, 300.0])
def test_there_is_no_race_with_a_training_that_did_well(watched, seconds):
    subject = subject_of(watched(classifier(lr=0.1), lambda case: case.run(20)), seconds)
    assert race(subject, bigger_steps) is None
    if seconds:
        assert left_now(subject)[1] < 0.1


class FixedBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x):
        return self.layer(x.view(16, 8))


def test_a_network_for_batches_of_one_size_is_judged_with_them(watched):
    case = classifier(lr=1e-6)
    case.model = FixedBatch()
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=1e-6)
    subject = subject_of(watched(case, lambda case: case.run(1)))
    found = race(subject, bigger_steps)
    assert found is not None
    assert found.severity == "error"


def test_without_time_enough_nothing_is_proven(watched):
    subject = subject_of(watched(classifier(lr=1e-6), lambda case: case.run(2)), 1e-3)
    assert race(subject, bigger_steps) is None

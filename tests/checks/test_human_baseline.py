import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nn_inspector as nni
from tests.trainings import Case, assert_equal, blobs, classifier, state_of

LABELS = blobs().tensors[1].tolist()


def trained(c):
    c.run(30)


@pytest.mark.parametrize(
    ("loop", "options", "severity", "words"),
    [
        (trained, {"accuracy": 0.9}, "ok", "Not much better"),
        (None, {"accuracy": 0.95}, "warning", "Better than the network"),
        (None, {"labels": LABELS[:40]}, "warning", "and you 100%"),
        (trained, {"labels": LABELS[:40]}, "ok", "you say the same for"),
        (trained, {"labels": [0] * 40}, "info", "hard for a person as well"),
        (trained, {"labels": [LABELS[7], LABELS[3]], "items": [7, 3]}, "ok", "on 2 items"),
    ],
)
def test_a_person_is_compared_with_the_network(watched, loop, options, severity, words):
    case = classifier(momentum=0.9)
    inspector = watched(case, loop)
    before = state_of(case)
    finding = inspector.check("human_baseline", **options)
    assert finding.severity == severity, finding.message
    assert words in finding.message
    assert "training data" in finding.message
    assert_equal(before, state_of(case))


def test_validation_data_come_first():
    case = classifier()
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=DataLoader(blobs(50), 10)
    ) as inspector:
        finding = inspector.check("human_baseline", accuracy=0.2)
    assert "50 items of the validation data" in finding.message


def test_yes_or_no(watched):
    x, y = blobs().tensors
    model = nn.Sequential(nn.Linear(8, 1), nn.Flatten(0))
    data = TensorDataset(x, (y > 1).float())
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.5), nn.BCEWithLogitsLoss(), DataLoader(data, 16))
    finding = watched(case, trained).check("human_baseline", labels=[int(one > 1) for one in LABELS[:30]])
    assert finding.evidence["person"] == 1.0
    assert finding.evidence["network"] > 0.6


def test_without_answers_of_a_person_it_says_how(watched):
    finding = watched(classifier()).check("human_baseline")
    assert finding.severity == "skipped"
    assert "labels=[3, 1, ...]" in finding.message


@pytest.mark.parametrize(
    "options",
    [
        {"accuracy": 90},
        {"accuracy": True},
        {"labels": []},
        {"labels": "ab"},
        {"labels": [1.5]},
        {"labels": [1], "items": [1, 2]},
        {"labels": [1], "items": [1000]},
    ],
)
def test_what_is_no_answer_is_refused(watched, options):
    finding = watched(classifier()).check("human_baseline", **options)
    assert finding.severity == "skipped"
    assert "expected" in finding.message


def test_numbers_have_no_accuracy(watched):
    x, y = blobs().tensors
    model = nn.Sequential(nn.Linear(8, 1), nn.Flatten(0))
    data = DataLoader(TensorDataset(x, y + 0.5), 16)
    finding = watched(Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), data)).check(
        "human_baseline", accuracy=0.5
    )
    assert finding.severity == "skipped"
    assert "predicts numbers" in finding.message


class Augmented(Dataset):
    """Items that are made with generators of the data set and of the process."""

    def __init__(self):
        self.x, self.y = blobs().tensors
        self.calls, self.noise = 0, np.random.default_rng(0)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        self.calls += 1
        return self.x[index] + 0.01 * torch.randn(8) + 0.01 * self.noise.normal(), self.y[index]


def test_items_are_asked_for_without_a_trace(watched):
    case = classifier(data=Augmented())
    inspector = watched(case, trained)
    before = state_of(case)
    assert inspector.check("human_baseline", labels=LABELS[:40]).severity == "ok"
    assert_equal(state_of(case), before)

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks import find_check
from tests.trainings import Case, assert_equal, state_of


def parts(train_labels, val_labels):
    return [TensorDataset(torch.randn(len(y), 4), y) for y in (train_labels, val_labels)]


def checked(train_labels, val_labels, *, loss=None, val=True):
    torch.manual_seed(0)
    train, validation = parts(train_labels, val_labels)
    model = nn.Linear(4, 5)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), loss or nn.CrossEntropyLoss(),
                DataLoader(train, batch_size=10, shuffle=True))  # fmt: skip
    val_loader = DataLoader(validation, batch_size=10) if val else None
    with nni.watch(
        model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=val_loader, show=False
    ) as inspector:
        case.run(1)
        before = state_of(case)
        finding = inspector.check("split_shift")
        assert_equal(before, state_of(case))
    return finding


def test_classes_that_training_does_not_hold_are_an_error():
    finding = checked(torch.randint(0, 3, (200,)), torch.randint(3, 5, (60,)))
    assert finding.severity == "error"
    assert "100% of the validation items are of classes that the training data do not hold" in finding.message
    assert "stratify" in finding.remedy.code
    assert finding.where == "val_loader"


def test_sorted_data_that_were_cut_are_a_warning():
    ordered = torch.arange(4).repeat_interleave(60)
    finding = checked(ordered[:190], ordered[190:])
    assert finding.severity == "warning"
    assert "100% of the validation items are of class 3" in finding.message
    assert finding.evidence["distance"] > 0.9
    chart = find_check("split_shift").chart(finding)
    assert set(chart.series) == {"training", "validation"}


@pytest.mark.parametrize(
    "validation",
    [torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(1)), torch.tensor([0] * 40 + [1, 2, 3] * 5)],
    ids=["alike", "another share"],
)
def test_what_differs_little_is_fine(validation):
    assert checked(torch.randint(0, 4, (200,)), validation).severity == "ok"


@pytest.mark.parametrize(
    ("labels", "validation", "options", "message"),
    [
        (torch.randint(0, 4, (200,)), torch.zeros(9, dtype=torch.long), {}, "too few to compare"),
        (torch.randint(0, 4, (200,)), torch.zeros(60, dtype=torch.long), {"val": False}, "no val_loader"),
        (torch.randn(200, 5), torch.randn(60, 5), {"loss": nn.MSELoss()}, "about classes"),
    ],
)
def test_where_it_cannot_look_it_says_why(labels, validation, options, message):
    finding = checked(labels, validation, **options)
    assert finding.severity == "skipped"
    assert message in finding.message

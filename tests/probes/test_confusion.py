"""Confusion counted by the probe, against scikit-learn's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.probes.confusion import MOST_CLASSES, count_pairs
from tests.trainings import CLASSES, blobs, classifier


def step(case, inputs, target):
    case.optimizer.zero_grad()
    case.loss_fn(case.model(inputs), target).backward()
    case.optimizer.step()


@torch.no_grad()
def validate(case, loader):
    for inputs, target in loader:
        case.loss_fn(case.model(inputs), target)


@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy], ids=["module", "function"])
def test_the_counts_of_a_training_batch_and_of_a_whole_validation_pass(loss_fn):
    case, held_out = classifier(), DataLoader(blobs(seed=1), batch_size=20)
    case.loss_fn = loss_fn
    inputs, target = next(iter(case.train_loader))
    expected = confusion_matrix(target, case.model(inputs).argmax(1), labels=range(CLASSES))
    with nni.watch(case.model, case.optimizer, loss_fn, val_loader=held_out, every=1) as inspector:
        step(case, inputs, target)
        validate(case, held_out)
        data = held_out.dataset.tensors
        of_validation = confusion_matrix(data[1], case.model(data[0]).argmax(1), labels=range(CLASSES))
    assert np.array_equal(inspector.run.last_vector("confusion", "train").reshape(CLASSES, CLASSES), expected)
    found = inspector.run.last_vector("confusion", "validation").reshape(CLASSES, CLASSES)
    assert np.array_equal(found, of_validation)
    assert len(inspector.run.series("confusion", "validation")) == 1
    assert inspector.problems == []


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        (torch.zeros(4, 1), torch.zeros(4, 1)),
        (torch.zeros(4, MOST_CLASSES + 1), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4, 3)),
        ("text", None),
    ],
    ids=["numbers", "many classes", "soft targets", "no tensors"],
)
def test_what_is_no_choice_among_few_classes_is_not_counted(prediction, target):
    assert count_pairs(prediction, target) is None


def test_labels_out_of_range_count_nowhere():
    assert count_pairs(torch.eye(3), torch.tensor([0, -100, 7])).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_of_many_pixels_some_are_counted():
    scores = torch.zeros(2, 3, 100, 100)
    counts = count_pairs(scores, torch.ones(2, 100, 100, dtype=torch.long)).reshape(3, 3)
    assert 500 < counts[1, 0] <= 1024
    assert counts.sum() == counts[1, 0]

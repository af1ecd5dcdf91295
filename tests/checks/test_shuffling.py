import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from nn_inspector.checks.data.shuffling import grouping
from nn_inspector.probes import Epoch
from tests.trainings import CLASSES, FEATURES, blobs, classifier, sorted_by_label

HARD = sorted_by_label(blobs(600, spread=2.5))


def epoch_of(labels, size=16):
    epoch = Epoch("train", 0, 0)
    for start in range(0, len(labels), size):
        chunk = torch.as_tensor(labels[start : start + size])
        epoch.add((torch.zeros(len(chunk), 1), chunk))
    return epoch


@given(st.integers(2, 20), st.integers(100, 2000), st.integers(0, 10**6))
@settings(deadline=None)
def test_random_order_is_within_a_few_standard_deviations(classes, items, seed):
    labels = np.random.default_rng(seed).integers(0, classes, items)
    assert abs(grouping(epoch_of(labels))) < 6


@given(st.integers(2, 20), st.integers(400, 2000), st.integers(0, 10**6))
@settings(deadline=None)
def test_sorted_order_is_far_outside(classes, items, seed):
    labels = np.sort(np.random.default_rng(seed).integers(0, classes, items))
    assert grouping(epoch_of(labels)) > 10


def test_one_class_only_is_no_grouping():
    assert grouping(epoch_of([3] * 200)) == 0


def test_shuffled_data_pass(watched):
    finding = watched(classifier(data=sorted_by_label(blobs(400))), lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "ok"
    assert finding.evidence["same_order"] == 0


def test_sorted_data_are_an_error_when_shuffling_helps(watched):
    case = classifier(data=HARD, shuffle=False, lr=0.5)
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "error"
    assert "sorted or grouped by label" in finding.message
    assert "same in every epoch" in finding.message
    assert "shuffle=True" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.where == "train_loader"


def test_sorted_data_are_a_warning_without_a_trial(watched):
    case = classifier(data=sorted_by_label(blobs(600)), shuffle=False)
    assert watched(case, lambda c: c.run(1)).check("shuffling", seconds=0).severity == "warning"


def test_mixed_data_in_the_same_order_are_a_remark(watched):
    finding = watched(classifier(data=blobs(400), shuffle=False), lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "info"
    assert finding.evidence["same_order"] == 1


def test_one_epoch_of_mixed_labels_is_enough_to_pass(watched):
    finding = watched(classifier(data=blobs(400)), lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "ok"
    assert "one pass was seen" in finding.message


def test_a_weighted_sampler_passes(watched):
    case = classifier()
    data = sorted_by_label(blobs(400))
    case.train_loader = DataLoader(data, batch_size=16, sampler=WeightedRandomSampler([1.0] * 400, 400))
    assert watched(case, lambda c: c.run(2)).check("shuffling").severity == "ok"


def test_one_batch_holds_everything(watched):
    case = classifier()
    case.train_loader = DataLoader(sorted_by_label(blobs(64)), batch_size=64)
    assert watched(case, lambda c: c.run(3)).check("shuffling").severity == "ok"


def test_regression_is_judged_by_its_order_alone(watched):
    case = classifier()
    data = TensorDataset(torch.randn(64, FEATURES), torch.randn(64, CLASSES))
    case.loss_fn, case.train_loader = nn.MSELoss(), DataLoader(data, batch_size=16)
    assert watched(case, lambda c: c.run(2)).check("shuffling").severity == "info"
    case.train_loader = DataLoader(data, batch_size=16, shuffle=True)
    assert watched(case, lambda c: c.run(2)).check("shuffling").severity == "ok"


def test_a_list_of_batches_is_read_directly(watched):
    case = classifier(lr=0.5)
    case.train_loader = [HARD[start : start + 16] for start in range(0, 600, 16)]
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"
    assert "random.shuffle(train_loader)" in finding.remedy.code


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (None, "no train_loader"),
        (DataLoader(blobs(), batch_size=16), "No pass over the train_loader was seen yet"),
        (iter([blobs()[:16]]), "without using it up"),
    ],
    ids=["none", "not read yet", "iterator"],
)
def test_where_it_cannot_look_it_says_why(watched, loader, reason):
    case = classifier()
    case.train_loader = loader
    finding = watched(case).check("shuffling")
    assert finding.severity == "skipped"
    assert reason in finding.message


def test_a_pass_that_was_broken_off_is_not_compared(watched):
    def loop(c):
        for _ in range(2):
            for index, (x, y) in enumerate(c.train_loader):
                c.loss_fn(c.model(x), y).backward()
                if index == 1:
                    break

    finding = watched(classifier(data=blobs(400), shuffle=False), loop).check("shuffling")
    assert finding.severity == "ok"
    assert "same_order" not in finding.evidence


def test_the_model_is_needed_only_for_the_trial(watched):
    case = classifier(data=sorted_by_label(blobs(600)), shuffle=False)
    case.loss_fn = None
    inspector = watched(case)
    list(case.train_loader)
    finding = inspector.check("shuffling")
    assert finding.severity == "warning"
    assert finding.remedy.tried is None

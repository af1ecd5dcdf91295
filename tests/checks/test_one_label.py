"""Training data of which one label only was seen."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data import shuffling
from tests.checks.label_orders import Items, X, judged
from tests.trainings import FEATURES, blobs, classifier, sorted_by_label


def one_label(data, steps, *, size=16, loss_fn=None, seconds=0, **watching):
    case = classifier(lr=0.5)
    case.train_loader = DataLoader(data, batch_size=size)
    inspector = nni.watch(case.model, case.optimizer, loss_fn, train_loader=case.train_loader, **watching)
    with inspector:
        for step, (x, y) in enumerate(case.train_loader):
            if step == steps:
                break
            case.optimizer.zero_grad()
            F.cross_entropy(case.model(x), y.long().reshape(-1)).backward()
            case.optimizer.step()
        return inspector.check("shuffling", seconds=seconds)


@pytest.mark.parametrize("size", [1, 16])
def test_one_class_in_many_steps_of_sorted_data_is_an_error(size):
    finding = one_label(sorted_by_label(blobs(4000)), 50, size=size)
    assert finding.severity == "error"
    assert "sorted by label. Only the label 0 was seen" in finding.message
    assert finding.evidence["share_of_others"] > 0.7


def test_one_class_and_a_trial_that_helps():
    finding = one_label(sorted_by_label(blobs(4000, spread=2.5)), 50, loss_fn=nn.CrossEntropyLoss(), seconds=300)
    assert finding.severity == "error"
    assert finding.remedy.tried.helped


def test_one_class_and_a_data_set_that_keeps_its_labels_to_itself():
    data = sorted_by_label(blobs(4000))
    hidden = Items(lambda i: data[i], 4000)
    finding = one_label(hidden, 50)
    assert finding.severity == "warning"
    assert "If the data set has others" in finding.message
    sampled = one_label(hidden, 50, seconds=300)
    assert sampled.severity == "error"


class WithTargets(Items):
    def __init__(self, data, transform=None):
        super().__init__(lambda i: data[i], len(data))
        self.targets = data.tensors[1].tolist()
        self.target_transform = transform


@pytest.mark.parametrize(
    ("data", "severity"),
    [
        (WithTargets(sorted_by_label(blobs(4000))), "error"),
        (Subset(WithTargets(sorted_by_label(blobs(4000))), range(500)), "info"),
        (WithTargets(sorted_by_label(blobs(4000)), lambda label: label), "warning"),
        (TensorDataset(X, torch.zeros(400, dtype=torch.int64)), "info"),
        (TensorDataset(torch.randn(4000, FEATURES), (torch.arange(4000) > 3996).long()), "info"),
    ],
    ids=["targets", "a subset of one class", "targets that are changed", "there is no other", "others are very rare"],
)
def test_one_class_is_judged_by_what_the_data_set_shows(data, severity):
    assert one_label(data, 20).severity == severity


def test_a_data_set_of_one_class_has_no_order():
    finding = one_label(TensorDataset(X, torch.zeros(400, dtype=torch.int64)), None)
    assert finding.severity == "info"
    assert "no other one was found" in finding.message


def test_a_later_pass_shows_the_other_classes(watched):
    data = sorted_by_label(blobs(4000))

    class Stream(IterableDataset):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter([data[i] for i in range(1000 if self.passes == 1 else 4000)])

    loader = DataLoader(Stream(), batch_size=16)
    epochs = []
    for number, batches in enumerate((50, 64)):
        epoch = shuffling.Epoch("train", number, 0)
        for index, batch in enumerate(loader):
            if number == 0 and index == batches:
                break
            epoch.add(batch)
        epochs.append(epoch)
    assert judged(epochs[:1], loader).severity == "warning"
    assert judged(epochs, loader).raised

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from tests.trainings import CLASSES, Case, assert_equal, blobs, classifier, mlp, sorted_by_label, state_of


def sorted_case(lr=1.0):
    data = sorted_by_label(blobs(400, spread=2.0))
    model = mlp()
    loader = DataLoader(data, batch_size=16)
    return Case(model, torch.optim.SGD(model.parameters(), lr=lr), nn.CrossEntropyLoss(), loader)


class ClassByClass(Sampler):
    """Batches of one class each, in random order: made for it."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return CLASSES * 3

    def __iter__(self):
        for kind in torch.randperm(CLASSES).repeat(3).tolist():
            items = (self.labels == kind).nonzero().flatten()
            yield items[torch.randperm(len(items))[:12]].tolist()


def class_by_class():
    data, model = blobs(200), mlp()
    loader = DataLoader(data, batch_sampler=ClassByClass(data.tensors[1]))
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)


def rare(size):
    labels = (torch.arange(320) % 32 == 0).long()
    data = TensorDataset(blobs(320).tensors[0] + labels[:, None], labels)
    model = mlp()
    loader = DataLoader(data, batch_size=size, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)


def checked(inspector, made):
    before = state_of(made)
    finding = inspector.check("batch_balance")
    assert_equal(before, state_of(made))
    return finding


def test_batches_of_one_class_are_an_error_where_mixed_ones_do_better(watched):
    made = sorted_case()
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity == "error", finding.message
    assert "of the batches hold one class only" in finding.message
    assert "drawn at random from 4 classes, 0% would" in finding.message
    assert "shuffle=True" in finding.remedy.code
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    ("make", "severity", "says"),
    [
        (classifier, "ok", "0% of the batches hold one class only"),
        (class_by_class, "info", "as your sampler puts them together"),
        (lambda: sorted_case(lr=1e-5), "warning", "one class only"),
        (lambda: rare(4), "ok", "The rarest class (3.0% of the items) is in 12% of the batches only"),
        (lambda: rare(2), "ok", "Yes: "),
        (lambda: classifier(data=blobs(32)), "skipped", "Only 2 batches"),
        (
            lambda: classifier(data=TensorDataset(blobs().tensors[0], torch.ones(96).long())),
            "skipped",
            "only one was seen",
        ),
    ],
)
def test_batches_that_are_fair_or_meant_pass(watched, make, severity, says):
    torch.manual_seed(0)
    made = make()
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity == severity, finding.message
    assert says in finding.message


def test_numbers_have_no_classes(watched):
    model = nn.Linear(3, 1)
    loader = DataLoader(TensorDataset(torch.randn(96, 3), torch.randn(96, 1)), batch_size=16)
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), loader)
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "skipped"
    assert "about classes" in finding.message


def test_a_list_of_batches_is_read_as_it_is(watched):
    data = sorted_by_label(blobs(400, spread=2.0))
    batches = list(zip(*(tensor.split(16) for tensor in data.tensors), strict=True))
    model = mlp()
    made = Case(model, torch.optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss(), batches)
    assert checked(watched(made, lambda c: c.run(2)), made).severity == "error"

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks import find_check
from nn_inspector.checks.data.other_scale import scale_of
from tests.checks.splits import finding_of
from tests.trainings import CLASSES, FEATURES, Case, blobs


def parts(train_labels, val_labels):
    return [TensorDataset(torch.randn(len(y), 4), y) for y in (train_labels, val_labels)]


def checked(train_labels, val_labels, *, loss=None, val=True):
    torch.manual_seed(0)
    train, validation = parts(train_labels, val_labels)
    model = nn.Linear(4, 5)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), loss or nn.CrossEntropyLoss(),
                DataLoader(train, batch_size=10, shuffle=True))  # fmt: skip
    val_loader = DataLoader(validation, batch_size=10) if val else None
    return finding_of(case, val_loader, epochs=1)


def test_classes_that_training_does_not_hold_are_an_error():
    finding = checked(torch.randint(0, 3, (200,)), torch.randint(3, 5, (60,)))
    assert finding.severity == "error"
    assert "100% of the validation items are of classes that the training data do not hold" in finding.message
    assert "stratify" in finding.remedy.code
    assert finding.where == "val_loader"


def of_pairs(embedded, who):
    """Those of one person shall be near each other, others far."""
    apart, same = torch.cdist(embedded, embedded), who[:, None] == who
    return torch.where(same, apart, (2 - apart).relu()).square().mean()


def test_people_that_are_compared_may_be_new_in_validation():
    finding = checked(torch.randint(0, 3, (200,)), torch.randint(3, 5, (60,)), loss=of_pairs)
    assert finding.severity == "info"
    assert "no class in common" in finding.message


def test_a_few_new_people_are_an_error_all_the_same():
    finding = checked(torch.randint(0, 3, (200,)), torch.randint(2, 5, (60,)), loss=of_pairs)
    assert finding.severity == "error"


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


def words(names, codes, *, seed):
    """Each item is six words; those of its kind come more often. `codes` numbers the words."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(3, (300,), generator=generator)
    own = torch.randint(0, names // 3, (300, 6), generator=generator) * 3 + kinds[:, None]
    other = torch.randint(0, names, (300, 6), generator=generator)
    chosen = torch.where(torch.rand(300, 6, generator=generator) < 0.7, own, other)
    return TensorDataset(codes[chosen], kinds)


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(30, 16), nn.Linear(16, 3)

    def forward(self, tokens):
        return self.last(self.embedding(tokens).mean(1))


def with_codes(val_codes, *, epochs=10):
    model = Bag()
    loader = DataLoader(words(30, torch.arange(30), seed=0), batch_size=20, shuffle=True)
    val_loader = DataLoader(words(30, val_codes, seed=1), batch_size=50)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss(), loader)
    return finding_of(case, val_loader, epochs=epochs)


def test_validation_words_with_codes_of_their_own_are_an_error():
    finding = with_codes(torch.randperm(30, generator=torch.Generator().manual_seed(3)))
    assert finding.severity == "error", finding.message
    assert "says next to nothing about the other" in finding.message
    assert finding.evidence["explained_across"] < 0.1 < finding.evidence["explained_in_validation"]
    assert "the same codes" in finding.remedy.code
    assert finding.basis == "experiment"


@pytest.mark.parametrize(
    ("codes", "epochs"),
    [(torch.arange(30), 10), (torch.randperm(30, generator=torch.Generator().manual_seed(3)), 0)],
    ids=["the same codes", "before training"],
)
def test_the_same_codes_pass_and_nothing_is_said_before_training(codes, epochs):
    assert with_codes(codes, epochs=epochs).severity in ("ok", "skipped")


def with_doubtful_labels(weigh, *, epochs=25):
    """Two of three training labels are those of the next class, and hardly count, if the loop weighs them as it is to."""
    generator = torch.Generator().manual_seed(4)
    x, y = blobs(300).tensors
    doubtful = torch.rand(300, generator=generator) < 2 / 3
    trust = torch.where(doubtful, 0.02, 1.0)
    train = DataLoader(
        TensorDataset(x, torch.where(doubtful, (y + 1) % CLASSES, y), trust), batch_size=20, shuffle=True
    )
    val_loader = DataLoader(blobs(150, seed=5), batch_size=50)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    optimizer, losses_of = torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss(reduction="none")
    with nni.watch(model, optimizer, losses_of, train_loader=train, val_loader=val_loader, show=False) as inspector:
        for _ in range(epochs):
            for inputs, labels, trusted in train:
                optimizer.zero_grad()
                weigh(losses_of(model(inputs), labels), trusted).backward()
                optimizer.step()
        return inspector.check("split_shift", seconds=300.0)


@pytest.mark.parametrize(
    ("weigh", "severity"),
    [
        (lambda losses, trusted: (losses * trusted).mean(), "ok"),
        (lambda losses, trusted: (losses * trusted[:, None]).mean(), "ok"),
        (lambda losses, trusted: losses.mean(), "error"),
    ],
    ids=["weighed", "weights spread over all pairs", "not weighed"],
)
def test_labels_that_hardly_count_say_nothing_of_the_inputs_of_validation(weigh, severity):
    finding = with_doubtful_labels(weigh)
    assert finding.severity == severity, finding.message


def scaled(change, *, epochs=10, lr=0.02):
    """Inputs of the validation data are changed."""
    x, y = blobs(300).tensors
    val_x, val_y = blobs(150, seed=5).tensors
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    val_loader = DataLoader(TensorDataset(change(val_x), val_y), batch_size=50)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=lr), nn.CrossEntropyLoss(), loader)
    return finding_of(case, val_loader, epochs=epochs)


def test_validation_inputs_of_another_scale_are_an_error():
    finding = scaled(lambda x: 0.1 * x + 3)
    assert finding.severity == "error", finding.message
    assert "in training, and 3" in finding.message
    assert finding.evidence["left_rescaled"] < 0.5 * finding.evidence["left"]
    assert "(x_val - mean) / std" in finding.remedy.code
    assert finding.basis == "experiment"


@pytest.mark.parametrize("epochs", [0, 10])
def test_a_scale_far_from_that_of_training_is_a_warning_though_the_network_bears_it(epochs):
    finding = scaled(lambda x: 40 * x, epochs=epochs)
    assert finding.severity == "warning", finding.message
    assert "prepared in another way" in finding.message
    assert finding.basis == "structure"


@pytest.mark.parametrize(
    ("change", "epochs"),
    [
        (lambda x: x, 10),
        (lambda x: 1.2 * x + 0.1, 10),
        (lambda x: 0.2 * x + 3, 0),
        (lambda x: x[torch.randperm(150)], 10),
    ],
    ids=["the same", "nearly the same", "before training", "other labels"],
)
def test_the_same_scale_and_other_reasons_pass(change, epochs):
    torch.manual_seed(0)
    assert scaled(change, epochs=epochs).severity in ("ok", "info", "skipped")


@pytest.mark.parametrize("shape", [(12, 5), (12, 4, 5), (12, 3, 4, 5)])
def test_means_and_spreads_are_those_of_all_batches_together(shape):
    values = 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = scale_of([(part, None) for part in values.split([7, 5])])
    axis = 1 if len(shape) > 3 else len(shape) - 1
    columns = values.double().transpose(axis, -1).reshape(-1, shape[axis])
    assert torch.allclose(found.means, columns.mean(0))
    assert torch.allclose(found.spreads, columns.std(0, correction=0))
    assert found.spread == pytest.approx(float(columns.std(correction=0)))


@pytest.mark.parametrize(
    "batches", [[], [torch.zeros(4, 2, dtype=torch.int64)], [torch.zeros(3, 2), torch.zeros(3, 5)]]
)
def test_of_what_are_no_columns_of_real_numbers_no_scale_is_known(batches):
    assert scale_of(batches) is None

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def with_nan(place, value=math.nan):
    data = blobs()
    inputs = data.tensors[0].clone()
    inputs[place] = value
    return TensorDataset(inputs, data.tensors[1])


def checked(inspector, made):
    before = {name: tensor.nan_to_num() for name, tensor in state_of(made).items()}
    finding = inspector.check("missing_values")
    assert_equal(before, {name: tensor.nan_to_num() for name, tensor in state_of(made).items()})
    return finding


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_inputs_that_took_the_training_with_them_are_an_error(watched, value):
    made = classifier(data=with_nan((slice(3, 5), 2), value))
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity == "error", finding.message
    assert "2 inputs of 96 items" in finding.message
    assert (finding.where, finding.basis) == ("train_loader", "structure")
    assert "isfinite(x)" in finding.remedy.code


def test_targets_are_looked_at_as_well(watched):
    targets = torch.randn(96, 1)
    targets[7] = math.nan
    model = nn.Linear(FEATURES, 1)
    loader = DataLoader(TensorDataset(blobs().tensors[0], targets), batch_size=16)
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), loader)
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "error"
    assert "1 targets of 96 items" in finding.message


def test_a_loop_that_fills_them_in_is_told_only(watched):
    made = classifier(data=with_nan((3, 2)))

    def loop(case):
        for inputs, target in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(case.model(inputs.nan_to_num()), target).backward()
            case.optimizer.step()

    finding = checked(watched(made, loop), made)
    assert finding.severity == "info"
    assert "not been lost" in finding.message


def test_validation_data_are_read_too():
    made = classifier()
    val_loader = DataLoader(with_nan((3, 2)), batch_size=16)
    inspector = nni.watch(
        made.model, made.optimizer, made.loss_fn, train_loader=made.train_loader, val_loader=val_loader, show=False
    )
    finding = checked(inspector, made)
    assert (finding.severity, finding.where) == ("info", "val_loader")


def test_a_number_that_marks_what_is_missing(watched):
    made = classifier(data=with_nan((slice(0, 90, 9), 1), -999.0))
    finding = checked(watched(made), made)
    assert finding.severity == "error", finding.message  # a copy shows it before the training has begun
    assert "-999 in column 1" in finding.message
    assert "x_train.select(1, 1)" in finding.remedy.code


def scaled_with_marks(*, share=10, columns=FEATURES):
    inputs, labels = blobs(240).tensors
    inputs = inputs.clone()
    for column in range(columns):
        inputs[column::share, column] = -9999.0
    return TensorDataset((inputs - inputs.mean(0)) / inputs.std(0), labels)


def test_marks_that_were_scaled_with_their_columns_are_raised_where_filling_them_in_helps(watched):
    made = classifier(data=scaled_with_marks())
    finding = checked(watched(made, lambda c: c.run(10)), made)
    assert finding.severity in ("error", "warning"), finding.message
    assert "in column 0 of the inputs, far from all others, and 7 more columns" in finding.message
    assert "steps with the remedy learned" in finding.message
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


class OfSeries(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv1d(2, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2)
        )

    def forward(self, x):
        return self.layers(x)


def series(*, mark):
    """Two channels of a sensor that swings more for one class, and fails now and then."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (240,), generator=generator)
    x = torch.randn(240, 2, 20, generator=generator) * (1 + 2 * labels[:, None, None])
    lost = torch.rand(x.shape, generator=generator) < 0.04
    x[lost] = -999.0 if mark else 0.0
    return TensorDataset((x - x.mean((0, 2), keepdim=True)) / x.std((0, 2), keepdim=True), labels)


@pytest.mark.parametrize("mark", [True, False])
def test_marks_are_found_in_the_channels_of_series(watched, mark):
    model = OfSeries()
    loader = DataLoader(series(mark=mark), batch_size=16, shuffle=True)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)
    finding = checked(watched(made, lambda c: c.run(8)), made)
    assert finding.severity == ("error" if mark else "ok"), finding.message
    if mark:
        assert "of the times of all series have" in finding.message
        assert "and one more column has such a number" in finding.message
        assert "x_train.select(1, 0)" in finding.remedy.code


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, when, numbers):
        return self.body(numbers) + 0 * when


def test_marks_are_found_in_any_table_that_the_network_is_given():
    torch.manual_seed(0)
    inputs, labels = scaled_with_marks().tensors
    model = Named()
    optimizer, loss_fn = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(torch.rand(len(inputs), 1), inputs, labels), batch_size=16, shuffle=True)

    def train():
        for _ in range(10):
            for when, x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(when, numbers=x), y).backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train()
    finding = inspector.check("missing_values")
    assert finding.severity in ("error", "warning"), finding.message
    assert "in column 0 of numbers, far from all others" in finding.message


def test_marks_that_do_no_harm_are_a_remark(watched):
    made = classifier(data=scaled_with_marks(columns=1))
    finding = checked(watched(made, lambda c: c.run(30)), made)
    assert finding.severity == "info", finding.message
    assert finding.message.startswith("Perhaps: ")


def rare(values):
    inputs, labels = blobs().tensors
    inputs = inputs.clone()
    inputs[:, 0] = values
    return TensorDataset(inputs, labels)


@pytest.mark.parametrize(
    "values",
    [
        (torch.arange(96) % 20 == 0).float(),
        (torch.arange(96) % 4).float() + 1000 * (torch.arange(96) % 12 == 0),
        torch.where(torch.arange(96) % 3 > 0, torch.zeros(96), torch.linspace(50, 60, 96)),
    ],
    ids=["a flag", "categories", "mostly zero"],
)
def test_flags_categories_and_columns_that_are_mostly_zero_pass(watched, values):
    made = classifier(data=rare(values))
    assert checked(watched(made), made).severity == "ok"


@pytest.mark.parametrize("data", [blobs(), with_nan((slice(0, 90, 9), slice(None)), 0.0)])
def test_whole_data_pass(watched, data):
    made = classifier(data=data)
    finding = checked(watched(made), made)
    assert finding.severity == "ok"
    assert "96 items" in finding.message


def test_images_may_hold_any_number_again_and_again(watched):
    pictures = torch.full((64, 1, 4, 4), 999.0)
    pictures[:, :, 0] = torch.rand(64, 1, 4)
    data = TensorDataset(pictures, torch.zeros(64).long())
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    made = Case(
        model, torch.optim.SGD(model.parameters(), lr=1e-4), nn.CrossEntropyLoss(), DataLoader(data, batch_size=16)
    )
    assert checked(watched(made), made).severity == "ok"


def test_without_data_there_is_nothing_to_read():
    model = mlp()
    finding = nni.watch(model, show=False).check("missing_values")
    assert finding.severity == "skipped"
    assert "no train_loader" in finding.message

"""Predictions whose axes lie in another order than those of their targets."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.checks.untouched import finding_of
from tests.trainings import Case


class Scores(nn.Module):
    """Class scores for each position of a sequence, in one order of axes or another."""

    def __init__(self, *order):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 3))
        self.order = order

    def forward(self, x):
        return self.net(x).permute(self.order)


def positions():
    x = torch.randn(96, 5, 3, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, x.argmax(-1))


def flattening(*order, by=lambda scores: scores.reshape(-1, 3), to=lambda y: y.reshape(-1), epochs=6):
    torch.manual_seed(0)
    model = Scores(*order)
    loader = DataLoader(positions(), batch_size=16, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)
    inspector = nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False)
    for _ in range(epochs):
        for x, y in loader:
            case.optimizer.zero_grad()
            case.loss_fn(by(model(x)), to(y)).backward()
            case.optimizer.step()
    return inspector, case


def test_scores_that_are_flattened_with_their_classes_in_the_middle_are_an_error():
    finding = finding_of("label_alignment", *flattening(0, 2, 1, by=lambda scores: scores.contiguous().view(-1, 3)))
    assert finding.severity == "error", finding.message
    assert "scores of shape [16, 3, 5] are flattened to [..., 3], but their classes lie on axis 1" in finding.message
    assert "scores.permute(0, 2, 1).reshape(-1, 3)" in finding.remedy.code


@pytest.mark.parametrize(
    "by",
    [lambda scores: scores.view(-1, 3, 5), lambda scores: scores.reshape(-1, 3).view(-1, 3, 5).log_softmax(1)],
    ids=["of one shape", "of what was flattened"],
)
def test_scores_that_are_given_another_shape_instead_of_another_order_are_an_error(by):
    finding = finding_of("label_alignment", *flattening(0, 1, 2, by=by, to=lambda y: y))
    assert finding.severity == "error", finding.message
    assert "given another shape with their 3 classes on axis 1" in finding.message
    assert "scores.transpose(1, 2)" in finding.remedy.code


def test_predictions_in_another_order_of_axes_than_their_targets_are_an_error():
    finding = finding_of("label_alignment", *flattening(1, 0, 2))
    assert finding.severity == "error", finding.message
    assert "the predictions lie in another order than the targets" in finding.message
    assert "transpose(0, 1)" in finding.remedy.code
    assert finding.evidence["apart"] > 0.5


class Forecast(nn.Module):
    """Four numbers for each item, computed time by time."""

    def __init__(self, by):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4))
        self.by = by

    def forward(self, x):
        return self.by(torch.stack(self.net(x).unbind(1)))  # [times, batch]


def forecasting(by):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = torch.randn(96, 3, generator=generator)
    model = Forecast(by)
    loader = DataLoader(TensorDataset(x, x @ torch.randn(3, 4, generator=generator)), batch_size=16, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.MSELoss(), loader)
    inspector = nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False)
    case.run(6)
    return inspector, case


def test_numbers_that_are_given_another_shape_instead_of_another_order_are_an_error():
    finding = finding_of("label_alignment", *forecasting(lambda times: times.reshape(times.shape[1], -1)))
    assert finding.severity == "error", finding.message
    assert "75% of the targets of an item meet predictions for other items" in finding.message
    assert "transpose(0, 1)" in finding.remedy.code


def test_numbers_in_the_order_of_their_targets_pass():
    assert finding_of("label_alignment", *forecasting(lambda times: times.transpose(0, 1))).severity in ("ok", "info")


@pytest.mark.parametrize(
    ("order", "by", "to"),
    [
        ((0, 1, 2), lambda scores: scores.reshape(-1, 3), torch.flatten),
        ((0, 2, 1), lambda scores: scores.permute(0, 2, 1).reshape(-1, 3), torch.flatten),
        ((1, 0, 2), lambda scores: scores.transpose(0, 1).reshape(-1, 3), torch.flatten),
        ((0, 2, 1), lambda scores: scores, lambda y: y),
        ((0, 2, 1), lambda scores: scores.unflatten(2, (5, 1)), lambda y: y.unsqueeze(2)),
    ],
    ids=["as they are", "classes moved to the end", "moved back", "classes in the middle", "of images"],
)
def test_scores_that_meet_their_own_targets_pass(order, by, to):
    assert finding_of("label_alignment", *flattening(*order, by=by, to=to)).severity in ("ok", "info", "skipped")


def test_scores_of_one_position_for_each_item_pass():
    """As in networks of convolutions only: [items, classes, 1, 1] has nothing that could be mixed."""
    torch.manual_seed(0)
    x = torch.randn(96, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    loader = DataLoader(TensorDataset(x, torch.arange(96) % 4), batch_size=16, shuffle=True)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=1e-3), nn.CrossEntropyLoss(), loader)
    inspector = nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False)
    for _ in range(4):
        for inputs, y in loader:
            case.optimizer.zero_grad()
            case.loss_fn(model(inputs).view(-1, 4), y).backward()
            case.optimizer.step()
    assert "flattened" not in finding_of("label_alignment", inspector, case).message


def test_a_last_layer_that_has_learned_the_order_is_left_alone():
    """What a linear layer gives is in no order of its own: it learns whichever is asked of it."""
    torch.manual_seed(0)
    x = torch.randn(300, 4, 3, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 12), nn.Unflatten(1, (3, 4)))
    loader = DataLoader(TensorDataset(x, x.argmax(-1)), batch_size=20, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)
    inspector = nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False)
    for _ in range(30):
        for inputs, y in loader:
            case.optimizer.zero_grad()
            case.loss_fn(model(inputs).view(-1, 3), y.reshape(-1)).backward()
            case.optimizer.step()
    assert finding_of("label_alignment", inspector, case).severity in ("ok", "info", "skipped")

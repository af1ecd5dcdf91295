import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks import find_check
from nn_inspector.checks.train.learning_rate import FACTORS
from tests.trainings import Case, blobs, classifier, mlp


def trained(case, *, epochs=10):
    return case, lambda c: c.run(epochs)


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"lr": 1e-6}, "too low"), ({"lr": 1e3}, "too high"), ({"lr": 1e6}, "too high")],
    ids=["hardly moves", "jumps", "explodes"],
)
def test_a_rate_far_from_good_is_an_error_with_the_rate_that_is(watched, options, kind):
    finding = watched(*trained(classifier(**options))).check("learning_rate")
    assert finding.severity == "error", finding.message
    assert kind in finding.message
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped
    assert finding.where == "optimizer"
    case = classifier()
    exec(finding.remedy.code, {"optimizer": case.optimizer})
    case.run(10)
    assert case.run(1)[-1] < 0.3


@pytest.mark.parametrize(
    "case",
    [
        classifier(),
        classifier(lr=0.02),
        classifier(lr=0.5),
        classifier(data=blobs(spread=8.0)),
        classifier(momentum=0.9, lr=0.01),
    ],
    ids=["usual", "lower", "higher", "noise that no rate removes", "momentum"],
)
def test_a_rate_that_works_passes(watched, case):
    finding = watched(*trained(case, epochs=20)).check("learning_rate")
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize(("lr", "severity"), [(1.0, "warning"), (0.01, "ok")])
def test_where_nothing_is_learned_at_any_rate_a_few_items_tell_whether_it_is_too_high(watched, lr, severity):
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(300, 8), torch.randint(2, (300,)))
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    case = Case(model, torch.optim.Adam(model.parameters(), lr), nn.CrossEntropyLoss(), DataLoader(data, 50))
    finding = watched(*trained(case, epochs=5)).check("learning_rate")
    assert finding.severity == severity, finding.message
    if severity == "warning":
        assert "on 16 items alone" in finding.message
        assert finding.remedy.tried.helped
        assert "0.1" in finding.remedy.text or "0.01" in finding.remedy.text


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(*size) for size in [(60, 128), (128, 128), (128, 64), (64, 6)])

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def lines_of_spectra(items=1200, noise=0.25, wrong=0.0):
    """Spectra of six kinds: three lines each, at places and heights of their own; so many labels are drawn anew."""
    generator = torch.Generator().manual_seed(0)
    places, kinds = torch.rand(6, 3, generator=generator), torch.randint(0, 6, (items,), generator=generator)
    distance = torch.linspace(0, 1, 60) - places[kinds][:, :, None]
    heights = 0.5 + torch.rand(items, 3, 1, generator=generator)
    x = (heights * torch.exp(-((distance / 0.04) ** 2))).sum(1) + noise * torch.randn(items, 60, generator=generator)
    anew = torch.rand(items, generator=generator) < wrong
    kinds[anew] = torch.randint(0, 6, (int(anew.sum()),), generator=generator)
    return TensorDataset((x - x.mean(0)) / x.std(0), kinds)


def stepped_with(lr, data, epochs):
    model = Deep()
    loader = DataLoader(data, 50, shuffle=True, generator=torch.Generator().manual_seed(1))
    return trained(Case(model, torch.optim.Adam(model.parameters(), lr), nn.CrossEntropyLoss(), loader), epochs=epochs)


def test_a_rate_that_learned_most_and_ruined_many_answers_is_too_high(watched):
    finding = watched(*stepped_with(0.1, lines_of_spectra(), 20)).check("learning_rate")
    assert finding.severity == "warning", finding.message
    assert "too high" in finding.message
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    ("lr", "options"), [(0.03, {"wrong": 0.2}), (0.001, {"wrong": 0.2}), (0.001, {"noise": 1.5}), (0.001, {})]
)
def test_wrong_answers_that_no_lower_rate_gets_right_are_not_blamed_on_it(watched, lr, options):
    finding = watched(*stepped_with(lr, lines_of_spectra(**options), 6)).check("learning_rate")
    assert finding.severity == "ok", finding.message


def test_labels_that_mean_nothing_are_not_blamed_on_the_rate(watched):
    data = blobs()
    data.tensors = (data.tensors[0], data.tensors[1][torch.randperm(96, generator=torch.Generator().manual_seed(0))])
    finding = watched(*trained(classifier(data=data), epochs=3)).check("learning_rate")
    assert finding.severity == "ok", finding.message


def test_where_the_training_does_well_nothing_is_tried_unless_asked(watched):
    inspector = watched(*trained(classifier()))
    assert "rates" not in inspector.check("learning_rate").evidence
    finding = inspector.check("learning_rate", every=True)
    assert finding.severity == "ok"
    assert len(finding.evidence["rates"]) == len(FACTORS) + 1
    chart = find_check("learning_rate").chart(finding)
    assert len(chart.series["tried"].x) == len(FACTORS) + 1
    assert find_check("learning_rate").chart(inspector.check("learning_rate")) is None


def test_adam_is_tried_at_no_rate_above_1(watched):
    model = mlp()
    case = Case(model, torch.optim.Adam(model.parameters(), 2e-3), nn.CrossEntropyLoss(), DataLoader(blobs(), 16))
    finding = watched(*trained(case)).check("learning_rate", every=True)
    assert 0.1 < max(finding.evidence["rates"]) <= 1.0


def test_before_training_it_can_be_asked_too(watched):
    assert watched(classifier(lr=1e-7)).check("learning_rate").severity == "error"
    assert watched(classifier()).check("learning_rate").severity == "ok"


def test_rates_of_several_groups_are_changed_together(watched):
    model = mlp()
    groups = [{"params": model[0].parameters(), "lr": 1e-6}, {"params": model[2].parameters(), "lr": 1e-7}]
    case = Case(model, torch.optim.SGD(groups), nn.CrossEntropyLoss(), DataLoader(blobs(), 16, shuffle=True))
    finding = watched(*trained(case)).check("learning_rate")
    assert finding.severity in ("warning", "error")
    assert 'group["lr"] *= ' in finding.remedy.code
    assert "your learning rates" in finding.message


def test_a_warm_up_from_nothing_is_not_too_low(watched):
    case = classifier(lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(case.optimizer, 1e-6, 1.0, 30)

    def loop(c):
        for _ in range(12):
            c.run(1)
            for _ in range(6):
                schedule.step()

    assert watched(case, loop).check("learning_rate").severity == "ok"


@pytest.mark.parametrize("optimizer", ["two", "none"])
def test_what_cannot_be_judged_is_left(watched, optimizer):
    import nn_inspector as nni

    case = classifier(lr=1e-6)
    both = [torch.optim.SGD(case.model[0].parameters(), lr=1e-6), torch.optim.SGD(case.model[2].parameters(), lr=1e-6)]
    chosen = both if optimizer == "two" else None
    with nni.watch(case.model, chosen, case.loss_fn, train_loader=case.train_loader) as inspector:
        finding = inspector.check("learning_rate")
    assert finding.severity == "skipped"


def test_no_time_is_no_verdict(watched):
    for seconds in (0, 1e-6):
        finding = watched(*trained(classifier(lr=1e-6))).check("learning_rate", seconds=seconds)
        assert finding.severity == "skipped", finding.message


def test_right_answers_need_no_other_rate_whatever_their_loss(watched):
    """Of masks: among many zeros the loss is still high when nearly every pixel is right."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(200, 1, 16, 16)
    for mask, (row, column) in zip(masks, torch.randint(0, 12, (200, 2), generator=generator), strict=True):
        mask[0, row : row + 4, column : column + 4] = 1
    x = 2 * masks + 0.5 * torch.randn(200, 1, 16, 16, generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    loader = DataLoader(TensorDataset(x, masks), 20, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=1e-3), nn.BCEWithLogitsLoss(), loader)
    inspector = watched(case, lambda c: c.run(8))
    finding = inspector.check("learning_rate")
    assert finding.severity == "ok"
    assert "most answers of your network are right by now" in finding.message
    assert inspector.check("training_length").severity == "ok"

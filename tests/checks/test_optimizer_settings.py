import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.train.optimizer_oddities import oddities_of
from tests.trainings import Case, assert_equal, blobs, classifier, mlp, state_of

P = torch.nn.Parameter(torch.zeros(1))


def case(optimizer, *, loss_fn=nn.CrossEntropyLoss, **options):
    model = mlp()
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    return Case(model, optimizer(model.parameters(), **options), loss_fn(), loader)


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [
        (torch.optim.SGD([P], lr=0.1, momentum=0.9, nesterov=True), []),
        (torch.optim.SGD([P], lr=0.1, momentum=0.97), []),
        (torch.optim.SGD([P], lr=0.1, momentum=0.99), ["momentum"]),
        (torch.optim.SGD([P], lr=0.1, momentum=0.9, dampening=0.9), ["dampening"]),
        (torch.optim.SGD([P], lr=0.1, maximize=True), ["maximize"]),
        (torch.optim.Adam([P], lr=1e-3, eps=1e-4, betas=(0.5, 0.9)), []),
        (torch.optim.Adam([P], lr=1e-3, eps=1.0), ["eps"]),
        (torch.optim.AdamW([P], betas=(0.999, 0.999)), ["betas"]),
        (torch.optim.Adam([P], betas=(0.9, 0.1)), ["betas"]),
        (torch.optim.Adam([P], betas=(0.999, 0.9)), ["betas"]),
        (torch.optim.RMSprop([P], alpha=0.1), ["alpha"]),
        (torch.optim.RMSprop([P]), []),
        (torch.optim.Adagrad([P], lr_decay=0.5), ["lr_decay"]),
        (torch.optim.Adagrad([P], initial_accumulator_value=0.1), []),
        (torch.optim.Adagrad([P], initial_accumulator_value=50.0), ["initial_accumulator_value"]),
        (torch.optim.Adadelta([P]), []),
        (torch.optim.LBFGS([P]), []),
    ],
)
def test_what_is_unusual(optimizer, names):
    assert [one.name for one in oddities_of([optimizer])] == names
    assert all(one.text.endswith(".") and "usual is" in one.text for one in oddities_of([optimizer]))


@pytest.mark.parametrize(
    ("broken", "word", "code"),
    [
        (case(torch.optim.Adam, lr=1e-2, eps=10.0), "eps=10", 'group["eps"] = 1e-08'),
        (case(torch.optim.SGD, lr=0.1, maximize=True), "maximize=True", 'group["maximize"] = False'),
        (
            case(torch.optim.Adagrad, lr=0.01, initial_accumulator_value=500.0),
            "divided by at least 22.4",
            "torch.optim.Adagrad(",
        ),
    ],
    ids=["eps", "maximize", "accumulator"],
)
def test_a_setting_that_holds_it_back_is_proven(watched, broken, word, code):
    inspector = watched(broken, lambda c: c.run(12))
    before = state_of(broken)
    finding = inspector.check("optimizer_settings")
    assert finding.severity in ("warning", "error"), finding.message
    assert finding.basis == "experiment"
    assert word in finding.message
    assert code in finding.remedy.code
    assert finding.remedy.tried.helped
    assert_equal(before, state_of(broken))


def test_betas_that_have_changed_places_are_put_back():
    (odd,) = oddities_of([torch.optim.Adam([P], betas=(0.999, 0.9))])
    assert odd.usual == (0.9, 0.999)
    assert odd.overshoots
    assert "changed places" in odd.text
    (other,) = oddities_of([torch.optim.Adam([P], betas=(0.999, 0.999))])
    assert other.usual == (0.9, 0.999)


def test_a_loss_that_overshooting_steps_have_carried_away_is_a_warning():
    """The same short training with the usual settings comes hardly further: the harm comes late."""
    torch.manual_seed(0)
    x = torch.randn(320, 4)
    data = TensorDataset(x, torch.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3])
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    loader = DataLoader(data, batch_size=32, shuffle=True)
    broken = Case(model, torch.optim.Adam(model.parameters(), lr=0.03, betas=(0.999, 0.9)), nn.MSELoss(), loader)
    with nni.watch(model, broken.optimizer, broken.loss_fn, train_loader=loader, show=False) as inspector:
        broken.run(60)
        finding = inspector.check("optimizer_settings", seconds=60)
    assert finding.severity == "warning", finding.message
    assert "changed places" in finding.message
    assert "at its best, and is" in finding.message
    assert "(0.9, 0.999)" in finding.remedy.code


def test_usual_settings_pass(watched):
    assert watched(classifier(), lambda c: c.run(2)).check("optimizer_settings").severity == "ok"


def test_an_unusual_setting_that_does_no_harm_is_only_mentioned(watched):
    finding = watched(case(torch.optim.SGD, lr=0.002, momentum=0.99), lambda c: c.run(40)).check("optimizer_settings")
    assert finding.severity == "info", finding.message
    assert "does well" in finding.message


def test_betas_that_have_changed_places_are_said_to_a_training_that_does_well(watched):
    finding = watched(case(torch.optim.Adam, lr=0.01, betas=(0.999, 0.9)), lambda c: c.run(40)).check(
        "optimizer_settings"
    )
    assert finding.severity == "warning", finding.message
    assert "though the training does well" in finding.message
    assert "(0.9, 0.999)" in finding.remedy.code


def test_a_large_accumulator_under_a_large_rate_is_only_mentioned(watched):
    broken = case(torch.optim.Adagrad, lr=1.0, initial_accumulator_value=500.0)
    finding = watched(broken, lambda c: c.run(40)).check("optimizer_settings")
    assert finding.severity == "info", finding.message
    assert "initial_accumulator_value=500" in finding.message


def test_the_code_to_take_names_only_what_can_be_set_later(watched):
    made = case(torch.optim.Adagrad, lr=1.0, initial_accumulator_value=500.0, lr_decay=0.5)
    code = watched(made, lambda c: c.run(2)).check("optimizer_settings").remedy.code
    assert 'group["lr_decay"] = 0.0' in code
    assert 'group["initial' not in code
    assert "torch.optim.Adagrad(" in code


def by_hand(c):
    for _ in range(10):
        for x, y in c.train_loader:
            c.optimizer.zero_grad()
            F.cross_entropy(c.model(x), y).backward()
            c.optimizer.step()


def test_where_nothing_can_be_tried_a_training_that_fails_makes_it_a_warning():
    broken = case(torch.optim.Adam, lr=1e-3, eps=100.0)
    with nni.watch(broken.model, broken.optimizer, train_loader=broken.train_loader) as inspector:
        by_hand(broken)
        finding = inspector.check("optimizer_settings", seconds=0)
    assert finding.severity == "warning", finding.message
    assert finding.basis == "statistics"
    assert "does not learn" in finding.message


def test_without_an_optimizer_it_says_so():
    with nni.watch(mlp()) as inspector:
        finding = inspector.check("optimizer_settings")
    assert finding.severity == "skipped"
    assert "No optimizer is known" in finding.message

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data.label_rules import number, out_of_reach, verdict_on
from nn_inspector.checks.data.losses_seen import Given
from tests.trainings import Case, assert_equal, state_of

G = torch.Generator().manual_seed(0)
X = torch.randn(96, 6, generator=G)
CLASS = X[:, :4].argmax(1)
YES = (X[:, 0] > 0).float()
REAL = X[:, :1] * 0.5 + X[:, 1:2] * 0.2


def watched_loop(labels, outputs, loss, *, last=(), loss_fn=None, epochs=2):
    """A loop that computes its loss by `loss(output, labels)`; where it stops with an error, so it is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, outputs), *last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, labels), batch_size=16, shuffle=True)

    def train():
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()

    inspector = nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False)
    with contextlib.suppress(Exception):
        train()
    return inspector, Case(model, optimizer, loss_fn or loss, loader)


def log_loss(output, y):
    p = output.squeeze(1).sigmoid() * 0.98 + 0.01
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def difference(output, y):
    return ((output - y) ** 2).mean()


def pairs(output, y):
    """Each item of the batch beside the one behind it."""
    return F.cosine_embedding_loss(output, output.roll(1, 0), y, margin=0.2)


def distances(output, y):
    return F.hinge_embedding_loss((output - output.roll(1, 0)).abs().sum(1), y)


def order(output, y):
    return F.margin_ranking_loss(output[:, 0], output[:, 1], y, margin=0.5)


column = YES.unsqueeze(1)
bce, ce = F.binary_cross_entropy_with_logits, F.cross_entropy
SIGMOID, TANH = (nn.Sigmoid(),), (nn.Tanh(),)

WRONG = {
    "classes from 1": (CLASS + 1, 4, ce, {"loss_fn": nn.CrossEntropyLoss()}, "labels go from 1 to 4", "labels - 1"),
    "one class too many": (CLASS, 3, ce, {"loss_fn": nn.CrossEntropyLoss()}, "outputs, which stand", "Linear(features, 4)"),
    "a sign for no label": (CLASS - 1, 4, ce, {"loss_fn": nn.CrossEntropyLoss()}, "from -1 to 2", "ignore_index=-1"),
    "a column of classes": (CLASS.unsqueeze(1), 4, ce, {"loss_fn": nn.CrossEntropyLoss()}, "[16, 1]", "squeeze(-1)"),
    "rows of classes": (F.one_hot(CLASS), 4, F.nll_loss, {"loss_fn": nn.NLLLoss()}, "[16, 4]", "argmax"),
    "real classes": (CLASS.float(), 4, ce, {"loss_fn": nn.CrossEntropyLoss()}, "float32", ".long()"),
    "whole answers": (column.long(), 1, bce, {"loss_fn": nn.BCEWithLogitsLoss()}, "int64", ".float()"),
    "answers without a column": (YES, 1, bce, {"loss_fn": nn.BCEWithLogitsLoss()}, "takes that of the prediction", "reshape"),
    "signs for answers": (2 * column - 1, 1, bce, {}, "go from -1 to 1", "(target + 1) / 2"),
    "a mask of 0 and 255": (255 * column, 1, bce, {}, "go from 0 to 255", "target == 255"),
    "a mask that was divided by 255": (column / 255, 1, bce, {}, "nearly no, and so will be every answer", "target > 0"),
    "shades of grey": ((255 * X[:, :1].sigmoid()).round(), 1, bce, {}, "takes 0 to 1", "/ 255"),
    "percent": (100 * X[:, :1].sigmoid(), 1, bce, {}, "no lowest value", "/ 100"),
    "classes for answers": (CLASS.float().unsqueeze(1), 1, bce, {}, "go from 0 to 3", "Linear(features, 4)"),
    "answers by hand": (CLASS, 1, log_loss, {"epochs": 30}, "go from 0 to 3", "Linear(features, 4)"),
    "a column for classes": (CLASS.float().unsqueeze(1), 1, ce, {}, "is 0 for one class", "Linear(features, 4)"),
    "shares below 0": (F.one_hot(CLASS) - 0.5, 4, ce, {}, "shares of the classes", "argmax"),
    "answers for signs": (column, 1, F.soft_margin_loss, {}, "teach nothing", "2 * target - 1"),
    "signed counts": (REAL, 1, F.poisson_nll_loss, {}, "below 0", "MSELoss"),
    "answers for pairs": (YES, 3, pairs, {}, "Items with a 0", "2 * target - 1"),
    "answers for pairs that are true or false": (YES > 0, 3, pairs, {}, "Items with a 0", "2 * target - 1"),
    "numbers of classes for pairs": (YES + 1, 3, pairs, {}, "neither -1 nor 1", "torch.where(same"),
    "answers for distances": (YES, 3, distances, {}, "Items with a 0", "2 * target - 1"),
    "shares for distances": (X[:, 0].sigmoid(), 3, distances, {}, "100% of the targets are neither", "torch.where(same"),
    "beyond a sigmoid": (REAL - 0.2, 1, F.mse_loss, {"last": SIGMOID}, "ends in a sigmoid", "target - "),
    "beyond tanh": (5 * REAL, 1, F.l1_loss, {"last": TANH}, "which gives -1 to 1", "* 2 - 1"),
    "beyond a sigmoid, by hand": (REAL - 0.2, 1, difference, {"last": SIGMOID}, "ends in a sigmoid", "target - "),
    "beyond a softmax": (30 * X[:, :2], 2, F.huber_loss, {"last": (nn.Softmax(1),)}, "ends in a softmax", "target - "),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_targets_that_the_loss_or_the_last_layer_does_not_take(name):
    labels, outputs, loss, options, says, code = WRONG[name]
    inspector, case = watched_loop(labels, outputs, loss, **options)
    before = state_of(case)
    finding = inspector.check("label_range", seconds=100.0)
    assert_equal(before, state_of(case))
    assert finding.severity == "error", finding.message
    assert finding.message.startswith("No: ")
    assert says in finding.message
    assert code in finding.remedy.code
    assert (finding.where, finding.basis) == ("train_loader", "structure")


SOUND = {
    "classes": (CLASS, 4, ce, {}),
    "more outputs than classes": (CLASS + 1, 9, ce, {"loss_fn": nn.CrossEntropyLoss()}),
    "labels that are left out": (
        torch.where(CLASS == 3, -100, CLASS), 3, ce, {"loss_fn": nn.CrossEntropyLoss()},
    ),
    "labels that the loop takes out": (
        torch.where(CLASS == 3, -100, CLASS), 3, ce, {},
    ),
    "classes that the loop counts from 0": (CLASS + 1, 4, lambda o, y: ce(o, y - 1), {"loss_fn": nn.CrossEntropyLoss()}),
    "classes that the loop puts together": (CLASS, 2, lambda o, y: ce(o, y // 2), {}),
    "two answers of one network": (
        CLASS, 6, lambda o, y: ce(o[:, :4], y) + ce(o[:, 4:], y % 2) + ce(o[:, 4:], 0 * y), {},
    ),
    "signs that the loop turns into answers": (2 * column - 1, 1, lambda o, y: bce(o, (y + 1) / 2), {"loss_fn": bce}),
    "percent that the loop divides": (100 * column, 1, lambda o, y: difference(o, y / 100), {"last": SIGMOID}),
    "counts of classes": (F.one_hot(CLASS) * 3.0, 4, ce, {}),
    "answers": (column, 1, bce, {}),
    "answers by hand": (YES, 1, log_loss, {"epochs": 20}),
    "signs": (2 * column - 1, 1, F.soft_margin_loss, {}),
    "signs of pairs": (2 * YES - 1, 3, pairs, {}),
    "signs of pairs that the loop makes": (YES, 3, lambda o, y: pairs(o, 2 * y - 1), {}),
    "pairs that are all alike": (torch.ones(96), 3, pairs, {}),
    "pairs that are left out": ((2 * YES - 1) * (X[:, 1] > 0), 3, pairs, {}),
    "signs of distances": (2 * YES - 1, 3, distances, {}),
    "orders, all the same way round": (torch.ones(96), 2, order, {}),
    "orders and draws": ((X[:, 0] > 0).float(), 2, order, {}),
    "orders by how much": (X[:, 0], 2, order, {}),
    "numbers": (50 * REAL, 1, F.mse_loss, {}),
    "a little beyond tanh": (X[:, :1].tanh() * 1.1, 1, F.mse_loss, {"last": TANH}),
    "a mask after the loss": (
        torch.where(column > 0, 1.0, -1.0), 1, lambda o, y: (bce(o, y, reduction="none") * (y >= 0)).mean(), {},
    ),
    "smooth answers beyond 1": (column * 1.1, 1, bce, {}),
    "rates of clicks": (0.02 * X[:, :1].sigmoid(), 1, bce, {}),
    "half a yes": (0.5 * column, 1, bce, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_targets_that_fit_pass(name):
    labels, outputs, loss, options = SOUND[name]
    finding = watched_loop(labels, outputs, loss, **options)[0].check("label_range", seconds=100.0)
    assert finding.severity in ("ok", "info"), finding.message


def test_a_rare_label_is_found_where_it_stopped_the_loop():
    labels = CLASS.clone()
    labels[5] = 4
    inspector, _ = watched_loop(labels, 4, ce, epochs=3)
    finding = inspector.check("label_range", seconds=100.0)
    assert finding.severity == "error"
    assert "from 0 to 4" in finding.message


def test_before_training_a_copy_is_asked():
    inspector, _ = watched_loop(CLASS + 1, 4, ce, loss_fn=nn.CrossEntropyLoss(), epochs=0)
    assert inspector.check("label_range", seconds=100.0).severity == "error"


@pytest.mark.parametrize("loss", [lambda o, y: (o.sum() - 3) ** 2, lambda o, y: o.std()])
def test_a_loss_that_is_not_known_is_not_judged(loss):
    finding = watched_loop(CLASS, 4, loss)[0].check("label_range")
    assert finding.severity == "skipped"
    assert "No loss function is known" in finding.message


def given(name, values, **options):
    values = torch.tensor(values, dtype=torch.float64)
    return Given(name, (len(values), 1), (len(values), 1), "float32", values, **options)


@pytest.mark.parametrize(
    ("seen", "severity"),
    [
        (given("mse_loss", [0, 0.5, 1.0], ends="sigmoid"), None),
        (given("mse_loss", [0, 0.5, 1.3], ends="sigmoid"), "warning"),
        (given("mse_loss", [0, 0.5, 9.0], ends="mul"), None),
        (given("mse_loss", [0, 0.5, 9.0], ends="sigmoid", weighted=True), None),
        (given("binary_cross_entropy", [0, 1, 2.0], weighted=True), "info"),
        (given("kl_div", [-0.5, 0.5]), "error"),
        (given("kl_div", [-0.5, -0.7], options={"log_target": True}), None),
        (given("triplet_margin_loss", [-0.5, 99]), None),
    ],
)
def test_rules(seen, severity):
    verdict = verdict_on(seen)
    assert (verdict and verdict.severity) == severity


def test_how_much_is_out_of_reach():
    assert out_of_reach(torch.tensor([0.0, 1.0]), (0, 1)) == 0
    assert out_of_reach(torch.ones(3), (0, 0.5)) == 0
    assert out_of_reach(torch.tensor([10.0, 12.0]), (0, 1)) > 1
    assert number(0.5) == "0.5"


def test_of_pairs_the_signs_are_looked_at_and_not_the_second_input():
    finding = watched_loop(2 * YES - 1, 3, pairs)[0].check("label_range", seconds=100.0)
    assert finding.message == "Yes: the targets go from -1 to 1, as cosine embedding loss takes them."


def test_draws_are_mentioned():
    finding = watched_loop(YES, 2, order)[0].check("label_range", seconds=100.0)
    assert finding.severity == "info"
    assert finding.message.endswith("if 0 stands for a draw.")

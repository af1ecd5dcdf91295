"""The prediction over time, against the same numbers computed directly."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import CLASSES, Case, blobs, classifier, mlp


def measured(case, loss_fn=None, steps=1, **options):
    with nni.watch(case.model, case.optimizer, loss_fn or case.loss_fn, every=1, **options) as inspector:
        for number, (x, y) in enumerate(case.train_loader):
            if number == steps:
                break
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
    assert inspector.problems == []
    return inspector.run


@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy], ids=["module", "function"])
def test_class_scores(loss_fn):
    case = classifier(shuffle=False)
    case.loss_fn = loss_fn
    x, y = next(iter(case.train_loader))
    scores = case.model(x).detach()
    run = measured(case)
    assert run.last("prediction_mean", "train") == pytest.approx(scores.mean().item(), rel=1e-5)
    assert run.last("prediction_spread", "train") == pytest.approx(scores.std(0, correction=0).mean().item(), rel=1e-5)
    top = scores.argmax(1).bincount().max().item() / len(x)
    assert run.last("prediction_top_share", "train") == pytest.approx(top)
    assert run.last("target_top_share", "train") == pytest.approx(y.bincount().max().item() / len(y))
    assert run.last("target_spread", "train") is None


def test_numbers():
    x, y = torch.randn(16, 8), torch.randn(16, 1)
    model = nn.Linear(8, 1)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), DataLoader(TensorDataset(x, y), 16))
    predicted = model(x).detach()
    run = measured(case)
    assert run.last("prediction_spread", "train") == pytest.approx(predicted.std(correction=0).item(), rel=1e-5)
    assert run.last("target_spread", "train") == pytest.approx(y.std(correction=0).item(), rel=1e-5)
    assert run.last("prediction_top_share", "train") is None


def test_a_constant_prediction_has_no_spread():
    case = classifier()
    with torch.no_grad():
        case.model[2].weight.zero_()
    run = measured(case)
    assert run.last("prediction_spread", "train") == 0
    assert run.last("prediction_top_share", "train") == 1
    assert run.last("target_top_share", "train") < 1


def test_segmentation_ignores_what_is_out_of_range():
    x, y = torch.randn(4, 1, 6, 6), torch.full((4, 6, 6), 2)
    y[:, :3] = -100
    model = nn.Conv2d(1, CLASSES, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    run = measured(Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader))
    assert run.last("target_top_share", "train") == 1
    assert 0.25 <= run.last("prediction_top_share", "train") <= 1


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (lambda c, x, y: F.cross_entropy(c(x)[:1], y[:1]), set()),
        (lambda c, x, y: F.binary_cross_entropy_with_logits(c(x)[:, 0], (y > 1).float()), {"target_spread"}),
        (lambda c, x, y: F.cross_entropy(c(x), F.one_hot(y, CLASSES).float()), {"target_spread"}),
        (lambda c, x, y: F.mse_loss(c(x).mean(), torch.zeros(())), None),
        (lambda c, x, y: c(x).square().mean(), None),
        (lambda c, x, y: F.triplet_margin_loss(c(x), c(x + 1), c(x - 1)), {"target_spread"}),
    ],
)
def test_what_is_no_batch_of_predictions_is_left_out(loss, names):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1) as inspector:
        x, y = blobs(16).tensors
        loss(model, x, y).backward()
        optimizer.step()
    found = {name for name in inspector.run.quantities() if name.startswith(("prediction", "target"))}
    assert inspector.problems == []
    assert found == ({"prediction_spread", "prediction_mean"} | names if names else set())


def test_large_batches_are_looked_at_in_part():
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(3000, 8), torch.randint(0, 50, (3000,)))
    model = nn.Linear(8, 50)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), DataLoader(data, 3000))
    expected = model(data.tensors[0]).std(0).mean().item()
    assert measured(case).last("prediction_spread", "train") == pytest.approx(expected, rel=0.05)


def test_they_need_the_loss():
    assert "loss" in measured(classifier(), probes=["predictions"]).quantities()
    assert "prediction_spread" not in measured(classifier(), probes="light").quantities()

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import isolated
from nn_inspector.experiments.summands import reweighted, summands
from nn_inspector.training import Training
from tests.trainings import Case, assert_equal, blobs, classifier, mlp, state_of


def with_penalty(factor):
    def loop(c):
        for _ in range(20):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                penalty = sum(p.pow(2).sum() for p in c.model.parameters())
                (c.loss_fn(c.model(x), y) + factor * penalty).backward()
                c.optimizer.step()

    return loop


def test_a_part_that_rules_over_a_loss_that_learns_nothing(watched):
    case = classifier(lr=0.02)
    finding = watched(case, with_penalty(20.0)).check("loss_terms")
    assert finding.severity == "warning", finding.message
    assert "The steps worked on what is added" in finding.message
    assert "0.01 * penalty" in finding.remedy.code


@pytest.mark.parametrize("factor", [1e-4, 1e-2])
def test_a_part_beside_which_the_loss_learns_is_fine(watched, factor):
    finding = watched(classifier(), with_penalty(factor)).check("loss_terms")
    assert finding.severity == ("ok" if factor == 1e-2 else "info"), finding.message
    assert "cross entropy: 1.4" in finding.message


def test_a_loss_of_one_part_is_fine(watched):
    finding = watched(classifier(), lambda c: c.run(2)).check("loss_terms")
    assert finding.severity == "ok"
    assert "Nothing is added" in finding.message


def composed(weight, *, detach=False):
    def loss_fn(prediction, target):
        reach = prediction.pow(2).mean()
        return F.cross_entropy(prediction, target) + weight * (reach.detach() if detach else reach)

    return loss_fn


@pytest.mark.parametrize(
    ("loss_fn", "severity", "words"),
    [
        (composed(0.5), "ok", "Yes. At the first weights:"),
        (composed(1e6), "info", "times as strong as another"),
        (composed(0.5, detach=True), "info", "brings no gradient"),
    ],
    ids=["even", "one rules", "cut"],
)
def test_parts_inside_the_loss_function_are_measured(watched, loss_fn, severity, words):
    case = Case(mlp(), None, loss_fn, DataLoader(blobs(), batch_size=16, shuffle=True))
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=1e-8)
    inspector = watched(case, lambda c: c.run(2))
    before = state_of(case)
    finding = inspector.check("loss_terms")
    assert finding.severity == severity, finding.message
    assert words in finding.message
    assert len(finding.evidence["gradients"]) == 2
    assert_equal(before, state_of(case))


def test_values_and_gradients_of_the_parts_are_right():
    model, (x, y) = mlp(), blobs(16).tensors
    training = Training(model, torch.optim.SGD(model.parameters(), lr=0.1), composed(3.0))
    with isolated(training) as copied:
        first, second = summands(copied, (x, y))
    prediction = model(x)
    term = 3.0 * prediction.pow(2).mean()
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(term, list(model.parameters()))]).norm()
    assert first.value == pytest.approx(F.cross_entropy(prediction, y).item())
    assert second.value == pytest.approx(term.item())
    assert second.gradient == pytest.approx(gradient.item(), rel=1e-5)
    assert second.name.startswith("mul")


def test_parts_that_are_summed_from_zero_are_called_by_what_they_are():
    def loss_fn(output, y):
        return sum([0.5 * F.cross_entropy(output, y), 0.1 * output.square().mean()])

    model = mlp()
    with isolated(Training(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn)) as copied:
        found = summands(copied, blobs(16).tensors)
    assert [part.name for part in found] == ["mul of cross entropy", "mul of mean"]


def test_before_training_it_says_what_to_do():
    with nni.watch(mlp(), loss_fn=nn.CrossEntropyLoss()) as inspector:
        finding = inspector.check("loss_terms")
    assert finding.severity == "skipped"
    assert "Run your training loop" in finding.message


def test_parts_get_the_weights_they_are_given():
    model, (x, y) = mlp(), blobs(16).tensors
    training = Training(
        model, torch.optim.SGD(model.parameters(), lr=0.1), lambda p, t: F.cross_entropy(p, t) - p.mean()
    )
    with isolated(training) as copied:
        with reweighted(copied, [2.0, 10.0]):
            loss = copied.loss((x, y))
        assert copied.loss((x, y)).item() == pytest.approx((F.cross_entropy(model(x), y) - model(x).mean()).item())
        with pytest.raises(ExperimentError, match="more terms"), reweighted(copied, [1.0]):
            copied.loss((x, y))
    assert loss.item() == pytest.approx((2 * F.cross_entropy(model(x), y) - 10 * model(x).mean()).item())

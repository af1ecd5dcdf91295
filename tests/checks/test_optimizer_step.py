import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp

model = mlp()


optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


criterion = nn.CrossEntropyLoss()


batches = list(torch.utils.data.DataLoader(blobs(), batch_size=16))


def only_looks():
    for x, y in batches:
        criterion(model(x), y)


def never_steps():
    for x, y in batches:
        optimizer.zero_grad()
        criterion(model(x), y).backward()


def steps_are_not_reached():
    for i, (x, y) in enumerate(batches):
        criterion(model(x), y).backward()
        if i > 100:
            optimizer.step()


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (only_looks, "backward() is not called either"),
        (never_steps, "backward() is called"),
        (steps_are_not_reached, "step() is written in it, but was not reached (line"),
    ],
)
def test_a_loop_without_steps_is_an_error(loop, message):
    with nni.watch(model, optimizer, criterion, loop=loop) as inspector:
        loop()
        finding = inspector.check("optimizer_step")
    assert finding.severity == "error"
    assert "called the model 6 times, and every weight is what it was" in finding.message
    assert message in finding.message
    assert finding.where.startswith("line ")


@pytest.mark.parametrize("loop", [only_looks, None])
def test_a_look_at_the_model_is_no_training(loop):
    with nni.watch(model, optimizer, criterion, loop=loop) as inspector:
        for x, _ in batches[: 2 if loop else 6]:
            model(x)
        assert inspector.check("optimizer_step").severity == "skipped"


def test_updates_by_hand_are_steps():
    net = mlp()

    def loop():
        for x, y in batches:
            criterion(net(x), y).backward()
            for p in net.parameters():
                p.data -= 0.1 * p.grad
                p.grad = None

    with nni.watch(net, None, criterion, loop=loop) as inspector:
        loop()
        assert inspector.check("optimizer_step").severity == "ok"


def test_steps_of_an_optimizer_that_is_not_watched_count():
    net = mlp()
    watched, other = (torch.optim.SGD(net.parameters(), lr=0.1) for _ in range(2))

    def loop():
        for x, y in batches:
            criterion(net(x), y).backward()
            other.step()
            other.zero_grad()

    with nni.watch(net, watched, criterion, loop=loop) as inspector:
        loop()
        assert inspector.check("optimizer_step").severity == "ok"


def test_a_rate_of_zero_is_an_error(watched):
    finding = watched(classifier(lr=0.0), Case.run).check("optimizer_step")
    assert (finding.severity, finding.where) == ("error", "optimizer")
    assert "the learning rate was 0 in all of 12 steps" in finding.message


class Skipping(torch.optim.SGD):
    """Passes over what is not contiguous."""

    def step(self, closure=None):
        skipped = [p for group in self.param_groups for p in group["params"] if not p.is_contiguous()]
        held, gradients = [p.detach().clone() for p in skipped], [p.grad for p in skipped]
        super().step()
        with torch.no_grad():
            for p, value in zip(skipped, held, strict=True):
                p.copy_(value)
        return gradients and None


def skipping(lr=0.1):
    net = mlp()
    net[0].weight = nn.Parameter(torch.randn(FEATURES, 16).t() / 3)
    return Case(net, Skipping(net.parameters(), lr=lr), criterion, classifier().train_loader)


def test_steps_that_are_lost_are_an_error(watched):
    finding = watched(skipping(), Case.run).check("optimizer_step")
    assert (finding.severity, finding.where, finding.basis) == ("error", "0.weight", "structure")
    assert "not one number there ever changed, while 3 other parameters moved" in finding.message


class Leftover(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(FEATURES, CLASSES), nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)


def group_at_rest():
    net = mlp()
    groups = [{"params": net[0].parameters(), "lr": 0.0}, {"params": net[2].parameters()}]
    return Case(net, torch.optim.SGD(groups, lr=0.1), criterion, classifier().train_loader)


def with_leftover():
    net = Leftover()
    return Case(net, torch.optim.SGD(net.parameters(), lr=0.1), criterion, classifier().train_loader)


def nothing_arrives():
    net = mlp()
    net[0].weight.register_hook(lambda gradient: gradient * 0)
    return Case(net, torch.optim.SGD(net.parameters(), lr=0.1), criterion, classifier().train_loader)


def too_small_for_the_format():
    net = mlp().to(torch.bfloat16)
    data = [(x.to(torch.bfloat16), y) for x, y in batches]
    return Case(net, torch.optim.SGD(net.parameters(), lr=1e-2), criterion, data)


@pytest.mark.parametrize("make", [classifier, group_at_rest, with_leftover, nothing_arrives, too_small_for_the_format])
def test_sound_steps_pass(watched, make):
    finding = watched(make(), Case.run).check("optimizer_step")
    assert finding.severity == "ok", finding.message
    assert finding.message.startswith("12 steps were made")


def test_of_few_steps_nothing_is_said(watched):
    finding = watched(skipping(), lambda case: case.run(0) or _three(case)).check("optimizer_step")
    assert finding.severity == "ok"


def _three(case):
    for x, y in batches[:3]:
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()
        case.optimizer.zero_grad()


def steps_behind_the_batches():
    for _ in range(8):
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
        optimizer.step()


def steps_on_the_whole_pass():
    for _ in range(8):
        optimizer.zero_grad()
        for x, y in batches:
            (criterion(model(x), y) / len(batches)).backward()
        optimizer.step()


def test_a_step_behind_the_loop_over_the_batches_is_an_error():
    with nni.watch(model, optimizer, criterion, loop=steps_behind_the_batches, show=False) as inspector:
        steps_behind_the_batches()
        found = inspector.diagnose(active=False).findings[0]
    assert found.check == "optimizer_step"
    assert found.severity == "error"
    assert f"once for {len(batches)} of them" in found.message
    assert found.where.endswith("optimizer.step()")


def test_a_step_on_the_gradients_of_a_whole_pass_is_sound():
    with nni.watch(model, optimizer, criterion, loop=steps_on_the_whole_pass, show=False) as inspector:
        steps_on_the_whole_pass()
        assert inspector.check("optimizer_step").severity == "ok"


@pytest.mark.parametrize("before", [False, True])
def test_weights_that_pruning_gives_another_name_are_the_same_weights(before):
    case = classifier(lr=0.1)
    if before:
        prune.l1_unstructured(case.model[0], "weight", amount=0.3)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        for layer in (case.model[0], case.model[2]):
            prune.l1_unstructured(layer, "weight", amount=0.3)
        case.run(4)
        finding = inspector.check("optimizer_step")
    assert finding.severity == "ok", finding.message

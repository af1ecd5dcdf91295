"""Steps that are taken back, after each of them or after each pass over the data."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.trainings import blobs, classifier, mlp

criterion = nn.CrossEntropyLoss()
batches = list(DataLoader(blobs(), batch_size=16))


class Average:
    """Of the weights, as many loops write it themselves."""

    def __init__(self, net, decay):
        self.net, self.decay = net, decay
        self.kept = [p.detach().clone() for p in net.parameters()]

    @torch.no_grad()
    def update(self):
        for kept, p in zip(self.kept, self.net.parameters(), strict=True):
            kept.lerp_(p, 1 - self.decay)

    def put_into(self):
        for kept, p in zip(self.kept, self.net.parameters(), strict=True):
            p.data.copy_(kept)


def averaged_in_training(case, average, epoch):
    average.update()
    average.put_into()


def averaged_apart(case, average, epoch):
    average.update()


def clipped_weights(case, average, epoch):
    for p in case.model.parameters():
        p.data.clamp_(-0.01, 0.01)


def limited_norms(case, average, epoch):
    with torch.no_grad():
        for p in case.model.parameters():
            p.copy_(torch.renorm(p.reshape(len(p), -1), 2, 0, 0.5).view_as(p))


def masked(case, average, epoch):
    with torch.no_grad():
        for p in case.model.parameters():
            p.mul_(torch.arange(p.numel()).view_as(p) % 10 == 0)


def looking_ahead(case, average, epoch):
    average.count = getattr(average, "count", 0) + 1
    if average.count % 5 == 0:
        average.update()
        average.put_into()


def one_layer_restored(case, average, epoch):
    with torch.no_grad():
        case.model[0].weight.copy_(average.kept[0])


def trained_with(after_step, *, decay=0.99, lr=0.1, epochs=30, kind=torch.optim.SGD):
    case = classifier()
    case.optimizer = kind(case.model.parameters(), lr=lr)
    average = Average(case.model, decay)

    def train():
        for epoch in range(epochs):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()
                after_step(case, average, epoch)

    inspector = nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=train, show=False
    )
    train()
    inspector.detach()
    return inspector.check("optimizer_step", seconds=300.0), case


@pytest.mark.parametrize(("kind", "lr"), [(torch.optim.SGD, 0.05), (torch.optim.Adam, 0.003)])
def test_an_average_that_is_put_into_the_trained_model_is_an_error(kind, lr):
    finding, _ = trained_with(averaged_in_training, kind=kind, lr=lr)
    assert finding.severity == "error", finding.message
    assert "99% of what each step changes is taken back" in finding.message
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped
    assert "p.data.copy_(kept)" in finding.where


def test_weights_that_are_loaded_again_after_each_step_are_an_error():
    finding, case = trained_with(lambda case, average, epoch: average.put_into())
    assert (finding.severity, finding.evidence["undone"]) == ("error", 1.0)
    assert all(torch.equal(p, mlp().state_dict()[name]) for name, p in case.model.named_parameters())


def test_steps_that_are_taken_back_are_a_remark_where_the_training_did_well():
    finding, _ = trained_with(averaged_in_training, decay=0.8, lr=0.3, epochs=60)
    assert finding.severity == "info"
    assert "No harm of it is known" in finding.message


@pytest.mark.parametrize("after_step", [averaged_apart, clipped_weights, limited_norms, masked, looking_ahead])
def test_weights_may_be_changed_between_steps(after_step):
    finding, _ = trained_with(after_step, lr=0.01, epochs=5)
    assert finding.severity == "ok", finding.message


def test_a_layer_that_is_restored_is_no_reason_to_doubt_all_steps():
    finding, _ = trained_with(one_layer_restored, epochs=5)
    assert "undone" not in finding.evidence


def in_passes(between, *, passes=20, lr=0.002):
    """Train, and do something between the passes with what is kept since before the first one."""
    case = classifier()
    case.optimizer = torch.optim.Adam(case.model.parameters(), lr=lr)
    average = Average(case.model, 0.99)

    def train():
        for _ in range(passes):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()
                average.update()
            between(case.model, average)

    inspector = nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=train, show=False
    )
    train()
    inspector.detach()
    assert not inspector.problems
    return inspector.check("optimizer_step", seconds=300.0)


def left_in(model, average):
    average.put_into()


def taken_out_again(model, average):
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    average.put_into()
    model.load_state_dict(kept)


def not_taken_out(model, average):
    """What is kept changes with the weights, for it is no clone."""
    kept = model.state_dict()
    average.put_into()
    model.load_state_dict(kept)


@pytest.mark.parametrize("between", [left_in, not_taken_out])
def test_an_average_that_stays_in_the_model_after_a_pass_is_said(between):
    finding = in_passes(between)
    assert finding.severity in ("warning", "error"), finding.message
    assert "of what each pass over the data changes is taken back before the next one begins" in finding.message
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


def test_it_is_a_remark_where_the_training_did_well():
    finding = in_passes(left_in, passes=60, lr=0.02)
    assert finding.severity == "info"
    assert "No harm of it is known" in finding.message


@torch.no_grad()
def shaken(model, average):
    for parameter in model.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))


@torch.no_grad()
def shrunk(model, average):
    for parameter in model.parameters():
        parameter.mul_(0.99)


@pytest.mark.parametrize("between", [taken_out_again, shaken, shrunk, lambda model, average: None])
def test_passes_that_are_kept_are_not(between):
    assert in_passes(between).severity == "ok"


def in_stretches(between, *, epochs=30, every=10, lr=0.002, loader=True, seconds=300.0):
    """Train, and do something every so many steps with what is kept since before the first one."""
    case = classifier()
    case.optimizer = torch.optim.Adam(case.model.parameters(), lr=lr)
    average = Average(case.model, 0.99)

    def train():
        steps = 0
        for _ in range(epochs):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()
                average.update()
                steps += 1
                if steps % every == 0:
                    between(case.model, average)

    given = {"train_loader": case.train_loader} if loader else {}
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, loop=train, show=False, **given)
    train()
    inspector.detach()
    assert not inspector.problems
    return inspector.check("optimizer_step", seconds=seconds)


def left_in_for_validation(model, average):
    average.put_into()
    with torch.no_grad():
        model(batches[0][0])


@torch.no_grad()
def loaded(model, average):
    for kept, p in zip(average.kept, model.parameters(), strict=True):
        p.copy_(kept)


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (left_in_for_validation, "of what the 10 steps between two validations change"),
        (loaded, "of what each 10 steps change"),
    ],
)
def test_an_average_that_stays_in_the_model_every_so_many_steps_is_said(between, said):
    finding = in_stretches(between)
    assert finding.severity in ("warning", "error"), finding.message
    assert said in finding.message
    assert finding.remedy.tried.helped


def test_stretches_that_are_taken_back_are_a_remark_where_no_copy_can_be_trained():
    finding = in_stretches(loaded, seconds=0)
    assert finding.severity == "info", finding.message
    assert "No harm of it is known" in finding.message


def test_without_a_loader_a_copy_is_given_the_first_steps_again():
    finding = in_stretches(loaded, loader=False)
    assert finding.severity == "error", finding.message
    assert "There is no train_loader" in finding.message


def taken_out_after_validation(model, average):
    kept = [p.detach().clone() for p in model.parameters()]
    left_in_for_validation(model, average)
    for p, value in zip(model.parameters(), kept, strict=True):
        p.data.copy_(value)


@pytest.mark.parametrize("between", [taken_out_after_validation, taken_out_again, shaken, shrunk])
def test_stretches_that_are_kept_are_not(between):
    assert in_stretches(between).severity == "ok"


def test_a_few_passes_that_are_taken_back_say_nothing():
    """As where a training begins anew for each fold, or goes back to its best weights."""
    passes = []

    def every_fifth(model, average):
        passes.append(1)
        if len(passes) % 5 == 0:
            average.put_into()

    assert in_passes(every_fifth).severity == "ok"


def test_steps_within_a_task_are_taken_back_after_they_were_used():
    net = mlp()
    inner, outer = (torch.optim.SGD(net.parameters(), lr=rate) for rate in (0.1, 1e-4))

    def loop():
        for x, y in batches * 3:
            kept = [p.detach().clone() for p in net.parameters()]
            inner.zero_grad()
            criterion(net(x), y).backward()
            inner.step()
            inner.zero_grad()
            criterion(net(x), y).backward()
            for p, old in zip(net.parameters(), kept, strict=True):
                p.data.copy_(old)
            outer.step()

    with nni.watch(net, inner, criterion, train_loader=batches, loop=loop, show=False) as inspector:
        loop()
        assert inspector.check("optimizer_step", seconds=300.0).severity == "ok"

"""Summands of the loss that are cut off from what is stepped."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.checks.flows import Net, batches, finding_of
from tests.trainings import FEATURES


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.generator, self.critic = nn.Linear(4, FEATURES), nn.Linear(FEATURES, 1)


def gan(*, cut, reconstruction):
    """The generator's loss with its fake points cut off or not, alone or beside another loss."""
    pair = Pair()
    opt_g, opt_c = (torch.optim.Adam(net.parameters(), lr=1e-3) for net in (pair.generator, pair.critic))

    def whole():
        for x, _ in batches:
            fake = pair.generator(torch.randn(len(x), 4))
            loss_c = pair.critic(fake.detach()).mean() - pair.critic(x).mean()
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            loss_g = -pair.critic(fake).mean() + F.l1_loss(fake, x)
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()

    def detached():
        for x, _ in batches:
            fake = pair.generator(torch.randn(len(x), 4))
            loss_c = pair.critic(fake.detach()).mean() - pair.critic(x).mean()
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            adversarial = -pair.critic(fake.detach()).mean()
            loss_g = adversarial + F.l1_loss(fake, x)
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()

    def alone():
        for x, _ in batches:
            fake = pair.generator(torch.randn(len(x), 4))
            loss_c = pair.critic(fake.detach()).mean() - pair.critic(x).mean()
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            loss_g = -pair.critic(fake.detach()).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()

    loop = whole if not cut else detached if reconstruction else alone
    with nni.watch(pair, [opt_g, opt_c], loop=loop) as inspector:
        loop()
        return inspector.check("gradient_flow")


def test_a_gan_is_fine():
    finding = gan(cut=False, reconstruction=True)
    assert finding.severity == "ok", finding.message


def test_a_generator_that_gets_nothing_from_its_critic_is_an_error():
    finding = gan(cut=True, reconstruction=True)
    assert (finding.severity, finding.basis) == ("error", "structure")
    assert "adversarial is added to the loss, but its gradient is cut off" in finding.message
    assert finding.where.endswith("adversarial = -pair.critic(fake.detach()).mean()")


def test_a_generator_that_gets_nothing_at_all_is_an_error():
    finding = gan(cut=True, reconstruction=False)
    assert finding.severity == "error"
    assert "optimizer 0 made steps, but none of its 2 parameters ever got a gradient" in finding.message
    assert finding.where.startswith("line ")


def penalty_by_number(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            penalty = sum(p.data.pow(2).sum() for p in model.parameters())
            loss = criterion(model(x), y) + 1e-4 * penalty
            loss.backward()
            optimizer.step()

    return loop


def second_loss_as_a_number(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            output = model(x)
            smooth = output.pow(2).mean()
            loss = criterion(output, y)
            loss += 0.1 * smooth.item()
            loss.backward()
            optimizer.step()

    return loop


def weighted_by_confidence(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            output = model(x)
            sure = output.softmax(1).max(1).values.detach()
            loss = (sure * F.cross_entropy(output, y, reduction="none")).mean()
            loss = loss + 0.1 * (output - output.detach()).pow(2).mean()
            loss.backward()
            optimizer.step()
            total = loss.item() + output.detach().mean()
            del total

    return loop


def value_exchanged(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            other = model(x).mean()
            shown = loss + other - other.detach()
            shown.backward()
            optimizer.step()

    return loop


@pytest.mark.parametrize(
    ("make_loop", "severity", "code"),
    [
        (penalty_by_number, "error", "0.0001 * penalty"),
        (second_loss_as_a_number, "error", "0.1 * smooth.item()"),
        (weighted_by_confidence, "ok", ""),
        (value_exchanged, "ok", ""),
    ],
)
def test_summands_without_effect(make_loop, severity, code):
    finding = finding_of(Net(), make_loop)
    assert finding.severity == severity, finding.message
    assert code in finding.message


class RingGan(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.g = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
        self.d = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))


def test_of_two_optimizers_that_the_loop_takes_the_watched_one_is_not_guessed():
    """The loss of the critic has no gradient for the generator, on purpose: it is the critic's optimizer that steps."""
    model, loss_fn = RingGan(), nn.BCEWithLogitsLoss()
    optimizer, optimizer_d = (torch.optim.Adam(part.parameters(), lr=1e-3) for part in (model.g, model.d))
    loader = DataLoader(TensorDataset(torch.randn(320, 2, generator=torch.Generator().manual_seed(0))), 32)

    def train(model, optimizer, optimizer_d, loss_fn, train_loader):
        one, zero = torch.ones(32, 1), torch.zeros(32, 1)
        for _ in range(3):
            for (real,) in train_loader:
                fake = model.g(torch.randn(32, 3))
                ld = loss_fn(model.d(real), one) + loss_fn(model.d(fake.detach()), zero)
                optimizer_d.zero_grad()
                ld.backward()
                optimizer_d.step()
                lg = loss_fn(model.d(fake), one)
                optimizer.zero_grad()
                lg.backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train(model, optimizer, optimizer_d, loss_fn, loader)
        assert not inspector.check("gradient_flow").raised


def by_mode(model, optimizer, criterion):
    def run(loader):
        for x, y in loader:
            loss = criterion(model(x), y)
            if model.training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def loop():
        for _ in range(2):
            model.train()
            run(batches)
            model.eval()
            with torch.no_grad():
                run(batches)

    return loop


def by_name(model, optimizer, criterion):
    def run(loader, split):
        for x, y in loader:
            loss = criterion(model(x), y)
            if split == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def loop():
        for _ in range(2):
            run(batches, "train")
            with torch.no_grad():
                run(batches, "validation")

    return loop


def by_gradient(model, optimizer, criterion):
    def run(loader):
        for x, y in loader:
            loss = criterion(model(x), y)
            if loss.requires_grad and len(y) > 1:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def loop():
        for _ in range(2):
            run(batches)
            with torch.no_grad():
                run(batches)

    return loop


@pytest.mark.parametrize("make_loop", [by_mode, by_name, by_gradient])
def test_a_function_that_trains_and_validates_cuts_nothing_off_where_it_validates(make_loop):
    finding = finding_of(Net(), make_loop)
    assert finding.severity == "ok", finding.message


def test_the_mode_is_what_the_last_call_made_it():
    """A branch that runs in evaluation mode alone is none of the training's."""

    def make_loop(model, optimizer, criterion):
        def loop():
            for x, y in batches:
                model.eval()
                first = model(x)
                model.train()
                loss = criterion(model(x) if model.training else first, y)
                if not model.training:
                    loss = loss.detach().requires_grad_()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return loop

    assert finding_of(Net(), make_loop).severity == "ok"

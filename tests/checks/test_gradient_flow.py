import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.experiments import isolated
from nn_inspector.experiments.custom_backward import wrong_backward
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, blobs, classifier

batches = list(torch.utils.data.DataLoader(blobs(), batch_size=16))


class Net(nn.Module):
    """`cut` is done to what the body gives; `twice` says whether the head runs on it at all."""

    def __init__(self, cut=lambda h: h, *, auxiliary=False):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU()), nn.Linear(16, CLASSES)
        self.unused = nn.Linear(16, 2)
        self.cut, self.auxiliary = cut, auxiliary

    def forward(self, x):
        h = self.body(x)
        if self.auxiliary:
            self.extra = self.unused(h)
        return self.head(self.cut(h))


class Cutting(Net):
    def forward(self, x):
        h = self.body(x).detach()
        return self.head(h)


class WithoutGradient(Net):
    def forward(self, x):
        with torch.no_grad():
            h = self.body(x)
        return self.head(h)


class Target(nn.Module):
    """A network, and a slow copy of it that gives the targets."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.online = nn.Linear(FEATURES, 8)
        self.slow = copy.deepcopy(self.online)

    def forward(self, x):
        with torch.no_grad():
            target = self.slow(x)
        return F.mse_loss(self.online(x + 0.1), target)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05)


def plain_loop(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()

    return loop


def finding_of(model, make_loop=plain_loop, *, optimizer=None, loader=batches, read=True, seconds=300, before=None):
    criterion = nn.CrossEntropyLoss()
    optimizer = optimizer or sgd(model)
    if before is not None:
        before(model)
    loop = make_loop(model, optimizer, criterion)
    known = {"loop": loop} if read else {}
    with nni.watch(model, optimizer, criterion, train_loader=loader, **known) as inspector:
        loop()
        return inspector.check("gradient_flow", seconds=seconds)


@pytest.mark.parametrize("model", [Net(), Net(auxiliary=True), Net(lambda h: h + (h.round() - h).detach())])
def test_sound_flows_pass(model):
    finding = finding_of(model)
    assert finding.severity == "ok", finding.message
    assert finding.message == "Yes: gradients reach 4 of 6 parameters that are stepped."


def test_a_slow_copy_gets_no_gradient_on_purpose():
    def make_loop(model, optimizer, criterion):
        def loop():
            for x, _ in batches:
                optimizer.zero_grad()
                model(x).backward()
                optimizer.step()
                with torch.no_grad():
                    for slow, fast in zip(model.slow.parameters(), model.online.parameters(), strict=True):
                        slow.lerp_(fast, 0.05)

        return loop

    assert finding_of(Target(), make_loop).severity == "ok"


CUTS = {
    "detach": Net(lambda h: h.detach()),
    "data": Net(lambda h: h.data),
    "numpy": Net(lambda h: torch.from_numpy(h.detach().numpy())),
    "in forward": Cutting(),
    "no_grad": WithoutGradient(),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_body_that_is_cut_off_is_an_error(cut):
    finding = finding_of(copy.deepcopy(CUTS[cut]))
    assert (finding.severity, finding.basis) == ("error", "experiment")
    assert finding.message.startswith("No: body.0.weight, body.0.bias never got a gradient, although the loss depends")


def test_the_line_of_the_cut_is_named():
    assert finding_of(Cutting()).where.endswith("h = self.body(x).detach()")


@pytest.mark.parametrize(("model", "severity"), [(Cutting(), "warning"), (Net(torch.Tensor.detach), "ok")])
def test_without_an_experiment_the_source_must_show_it(model, severity):
    assert finding_of(model, seconds=0).severity == severity


def trained(model):
    optimizer = torch.optim.SGD([*model.body.parameters(), *model.head.parameters()], lr=0.5)
    for x, y in batches * 4:
        F.cross_entropy(model.head(model.body(x)), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_pretrained_body_may_be_cut_off():
    finding = finding_of(WithoutGradient(), before=trained)
    assert finding.severity == "info"
    assert "On purpose if they were trained before" in finding.message


def a_loss_made_anew(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            loss = torch.tensor(criterion(model(x), y).item(), requires_grad=True)
            loss.backward()
            optimizer.step()

    return loop


def without_backward(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y)
            optimizer.step()

    return loop


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("make_loop", [a_loss_made_anew, without_backward])
def test_steps_without_a_gradient_are_an_error(make_loop, read):
    finding = finding_of(Net(), make_loop, read=read)
    assert (finding.severity, finding.basis) == ("error", "structure")
    assert "the optimizer made steps, but none of its 6 parameters ever got a gradient" in finding.message
    if make_loop is a_loss_made_anew and read:
        assert "loss = torch.tensor(criterion(model(x), y).item(), requires_grad=True)" in finding.where


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


def test_the_data_may_be_missing():
    assert finding_of(Net(torch.Tensor.detach), loader=None).severity == "ok"


def test_before_training_it_says_what_to_do(watched):
    finding = watched(classifier()).check("gradient_flow")
    assert (finding.severity, "Too few steps" in finding.message) == ("skipped", True)


class Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class TurnedRelu(Relu):
    @staticmethod
    def forward(ctx, x):
        return Relu.forward(ctx, x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] <= 0)


class Rounding(torch.autograd.Function):
    """Flat everywhere; the gradient is let through on purpose."""

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.factor * gradient, None


class Clamp(torch.autograd.Function):
    """Lets all gradients through."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(-0.5, 2.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def with_function(apply):
    return Net(lambda h: apply(h - 0.2))


def test_a_backward_that_does_not_belong_to_its_forward_is_an_error():
    finding = finding_of(with_function(TurnedRelu.apply))
    assert finding.severity == "error", finding.message
    assert "TurnedRelu.backward() returns is not the gradient of its forward()" in finding.message
    assert abs(finding.evidence["cosine"]) < 0.5
    assert "gradcheck(TurnedRelu.apply" in finding.remedy.code
    assert "forward" in TurnedRelu.__dict__
    assert isinstance(TurnedRelu.__dict__["forward"], staticmethod)


def test_functions_that_may_talk_to_other_processes_are_not_called(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    model, (x, y) = with_function(TurnedRelu.apply), batches[0]
    with isolated(Training(model, sgd(model), nn.CrossEntropyLoss())) as copied:
        assert wrong_backward(copied, (x, y)) is None


@pytest.mark.parametrize(
    "apply",
    [
        Relu.apply,
        Rounding.apply,
        lambda h: Reversal.apply(h, 0.3),
        lambda h: h + Reversal.apply(h, 0.0),
        Clamp.apply,
    ],
    ids=["right", "rounding", "reversal", "reversal that begins at zero", "clamp"],
)
def test_functions_with_a_backward_of_their_own_that_is_meant_pass(apply):
    finding = finding_of(with_function(apply))
    assert finding.severity == "ok", finding.message


class Product(torch.autograd.Function):
    """Of two inputs; the gradient of the second one may be turned around, or that of both."""

    @staticmethod
    def forward(ctx, x, y, signs):
        ctx.save_for_backward(x, y)
        ctx.signs = signs
        return x * y

    @staticmethod
    def backward(ctx, gradient):
        x, y = ctx.saved_tensors
        return ctx.signs[0] * gradient * y, ctx.signs[1] * gradient * x, None


@pytest.mark.parametrize(("signs", "wrong"), [((1, -1), True), ((1, 1), False), ((-1, -1), False)])
def test_a_gradient_that_is_turned_around_for_one_input_alone_is_an_error(signs, wrong):
    finding = finding_of(with_function(lambda h: h + 0.1 * Product.apply(h, 5 * h.tanh() + 2, signs)))
    assert (finding.severity == "error") == wrong, finding.message
    assert ("Product.backward()" in finding.message) == wrong


class Forgetful(Rounding):
    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        return None


def test_a_backward_that_returns_nothing_is_an_error():
    finding = finding_of(with_function(lambda h: h + Forgetful.apply(h)))
    assert finding.severity == "error", finding.message
    assert "Forgetful.backward()" in finding.message


class Nearest(torch.autograd.Function):
    """The nearest of some numbers; the gradient goes straight through to what was looked up, and none to the table."""

    @staticmethod
    def forward(ctx, x, table):
        return table[(x[..., None] - table).abs().argmin(-1)]

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Quantized(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.linspace(-2, 2, 9))

    def forward(self, h):
        return Nearest.apply(h, self.table) + 0 * self.table.sum()


def test_a_table_that_gets_no_gradient_beside_one_that_goes_straight_through_passes():
    finding = finding_of(Net(Quantized()))
    assert "is not the gradient of its forward()" not in finding.message


class Adapted(nn.Module):
    """A frozen layer with a product of two small matrices beside it."""

    def __init__(self, spread):
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(FEATURES, CLASSES).requires_grad_(False)
        self.a = nn.Parameter(spread * torch.randn(FEATURES, 2))
        self.b = nn.Parameter(torch.zeros(2, CLASSES))

    def forward(self, x):
        return self.base(x) + x @ self.a @ self.b


def adapted(spread):
    model = Adapted(spread)
    optimizer = torch.optim.SGD([model.a, model.b], lr=0.1)

    def train():
        for x, y in 4 * batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    with nni.watch(model, optimizer, nn.CrossEntropyLoss(), train_loader=batches, loop=train, show=False) as inspector:
        train()
        return [inspector.check(name, seconds=60.0) for name in ("gradient_flow", "zero_input")]


def test_two_factors_that_are_both_zero_are_an_error():
    finding, other = adapted(0.0)
    assert finding.severity == "error", finding.message
    assert "2 matrices are all zero and never got a gradient other than 0 (a, b)" in finding.message
    assert (finding.where, other.severity) == ("a", "ok")


def test_one_factor_that_begins_with_zeros_passes():
    assert [finding.severity for finding in adapted(0.3)] == ["ok", "ok"]


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

"""Parts of a loss that are not learned beside the others."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.train.unlearned_part import _judge_the_same
from nn_inspector.probes import CallMode
from tests.trainings import FEATURES, Case, assert_equal, blobs, state_of


def two_tasks(scale, *, lr=0.01, epochs=20):
    """Classes, and numbers so large that two hidden units have no room for the classes beside them."""
    torch.manual_seed(0)
    inputs, labels = blobs().tensors
    numbers = scale * torch.randn(len(labels), 1)

    def loss_fn(output, target):
        classes, number = target[:, 0].long(), target[:, 1:]
        return F.cross_entropy(output[:, :4], classes) + F.mse_loss(output[:, 4:], number)

    data = TensorDataset(inputs, torch.cat([labels[:, None], numbers], 1))
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2), nn.Tanh(), nn.Linear(2, 5))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    return Case(model, optimizer, loss_fn, DataLoader(data, batch_size=16, shuffle=True)), lambda c: c.run(epochs)


def test_a_task_that_is_learned_only_with_less_weight_on_the_other_is_raised(watched):
    case, loop = two_tasks(10.0)
    inspector = watched(case, loop)
    before = state_of(case)
    finding = inspector.check("loss_terms")
    assert_equal(before, state_of(case))
    assert finding.severity in ("error", "warning"), finding.message
    assert "cross entropy is a part of your loss and went from" in finding.message
    trial = finding.remedy.tried
    assert trial.treated[-1] < 0.5 * min(trial.treated[0], trial.without[-1])
    assert finding.basis == "experiment"


@pytest.mark.parametrize(("scale", "lr"), [(1.0, 0.01), (10.0, 1e-6)], ids=["both are learned", "none can be"])
def test_tasks_that_do_not_stand_in_each_others_way_pass(watched, scale, lr):
    case, loop = two_tasks(scale, lr=lr)
    finding = watched(case, loop).check("loss_terms")
    assert finding.severity in ("ok", "info"), finding.message


def test_without_time_parts_are_only_named(watched):
    case, loop = two_tasks(10.0)
    assert watched(case, loop).check("loss_terms", seconds=0).severity == "ok"


@pytest.mark.parametrize("optimizers", [1, 2])
def test_adversaries_are_not_taken_for_parts_that_are_not_learned(optimizers):
    """Real and made are told apart by ones and zeros; what one of them wins, the other one loses."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"maker": nn.Linear(2, 8), "judge": nn.Linear(8, 1)})
    steppers = [torch.optim.Adam(part.parameters(), lr=0.01) for part in model.values()]
    steppers = steppers if optimizers == 2 else [torch.optim.Adam(model.parameters(), lr=0.01)]
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    loss_fn = nn.BCEWithLogitsLoss()
    with nni.watch(model, steppers, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(14):
            for x, _ in loader:
                for stepper in steppers:
                    stepper.zero_grad()
                made = model["maker"](torch.randn(len(x), 2))
                ones = torch.ones(len(x), 1)
                loss = loss_fn(model["judge"](x), ones) + loss_fn(model["judge"](made), 0 * ones)
                (loss + 300 * made.square().mean()).backward()
                for stepper in steppers:
                    stepper.step()
        finding = inspector.check("loss_terms", seconds=60.0)
    assert not finding.raised, finding.message


class Coder(nn.Module):
    """A variational autoencoder of waves."""

    def __init__(self):
        super().__init__()
        self.into = nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 6))
        self.out_of = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 24))

    def forward(self, x):
        mean, log_variance = self.into(x).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp() * self.training
        return self.out_of(code), mean, log_variance


def divergence(mean, log_variance):
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()


def mean_beside_sum(output, x):
    return F.mse_loss(output[0], x) + divergence(*output[1:])


def of_one_kind(output, x, beta=1.0):
    return F.mse_loss(output[0], x, reduction="sum") / len(x) + beta * divergence(*output[1:]) / len(x)


def strong_on_purpose(output, x):
    return of_one_kind(output, x, beta=3.0)


def waves(noise):
    g = torch.Generator().manual_seed(0)
    phase, rate = (torch.rand(320, 1, generator=g) for _ in range(2))
    clean = (6.28 * (torch.linspace(0, 1, 24) * (1 + rate) + phase)).sin() + 0.5
    return (1 - noise) * clean + noise * torch.randn(320, 24, generator=g)


def coded(loss_fn, noise=0.0):
    torch.manual_seed(0)
    loader = DataLoader(waves(noise), batch_size=32, shuffle=True)
    model = Coder()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for _ in range(20):
            for x in loader:
                optimizer.zero_grad()
                loss_fn(model(x), x).backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        return inspector.check("loss_terms", seconds=120.0)


def test_a_part_that_came_to_constant_answers_only_is_drowned_by_the_other():
    finding = coded(mean_beside_sum)
    assert finding.severity == "error", finding.message
    assert "mse" in finding.message
    assert "the same answers for all items give" in finding.message
    assert finding.remedy.tried.helped


class Delivery(nn.Module):
    """How long it takes, and by which of five ways."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
        self.minutes, self.way = nn.Linear(48, 1), nn.Linear(48, 5)

    def forward(self, x):
        h = self.body(x)
        return {"minutes": 100 * self.minutes(h)[:, 0], "way": self.way(h)}


def delivered(unit):
    """Its finding on a training whose times are in minutes, divided by `unit`."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 12, generator=generator)
    minutes = 30 * (x @ torch.randn(12, generator=generator)) + 60 * torch.randn(1000, generator=generator)
    way = ((1.2 * x[:, 6:]).sin() @ torch.randn(6, 5, generator=generator)).argmax(1)
    loader = DataLoader(TensorDataset(x, minutes, way), batch_size=50, shuffle=True)
    model = Delivery()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)

    def train():
        for _ in range(20):
            for x, minutes, way in loader:
                output = model(x)
                loss = F.mse_loss(output["minutes"] / unit, minutes / unit) + F.cross_entropy(output["way"], way)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        return inspector.check("loss_terms", seconds=120.0)


def test_a_part_that_is_learned_in_part_only_beside_one_that_is_thousands_of_times_as_strong_is_raised():
    finding = delivered(unit=1.0)
    assert finding.raised, finding.message
    assert "cross entropy is a part of your loss" in finding.message
    assert finding.remedy.tried.helped
    assert not delivered(unit=100.0).raised


def grey_beside_sum(output, x):
    """Grey values as probabilities, whose cross entropy is far above 0 at best, and all of it divided by the items."""
    grey = (x - x.min()) / (x.max() - x.min())
    return (F.binary_cross_entropy(output[0].sigmoid(), grey) + divergence(*output[1:])) / len(x)


def test_a_sum_that_is_divided_as_a_whole_is_looked_into():
    finding = coded(grey_beside_sum)
    assert finding.severity in ("error", "warning"), finding.message
    assert "bce of sigmoid is a part of your loss" in finding.message
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    ("loss_fn", "noise"),
    [(of_one_kind, 0.0), (strong_on_purpose, 0.0), (of_one_kind, 1.0)],
    ids=["one kind", "strong on purpose", "nothing to code"],
)
def test_a_part_that_is_learned_or_cannot_be_is_not_drowned(loss_fn, noise):
    finding = coded(loss_fn, noise)
    assert not finding.raised, finding.message


def test_a_part_that_cannot_be_learned_is_no_error_beside_one_that_rules():
    assert coded(mean_beside_sum, noise=1.0).severity != "error"


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.head, self.back, self.codes = nn.Linear(16, 4), nn.Linear(16, 8), nn.Embedding(6, 16)

    def forward(self, x):
        hidden = self.body(x)
        nearest = self.codes(torch.cdist(hidden, self.codes.weight).argmin(1))
        return self.head(hidden), self.back(hidden), hidden, nearest


def beside_a_task(weight, aid):
    data = blobs()
    loader = DataLoader(data, batch_size=16, shuffle=True)
    torch.manual_seed(0)
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.CrossEntropyLoss()

    def train():
        for _ in range(25):
            for x, y in loader:
                scores, again, hidden, nearest = model(x)
                optimizer.zero_grad()
                (loss_fn(scores, y) + weight * aid(x, again, hidden, nearest)).backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train()
        return inspector.check("loss_terms", seconds=120.0)


def reconstruction(x, again, hidden, nearest):
    return F.mse_loss(again, 5 * x.flip(1) + 1)


def commitment(x, again, hidden, nearest):
    return F.mse_loss(nearest.detach(), hidden) + F.mse_loss(nearest, hidden.detach())


@pytest.mark.parametrize(("weight", "aid"), [(1e-4, reconstruction), (1.0, commitment), (0.01, commitment)])
def test_a_part_that_only_helps_a_task_that_is_learned_may_stay(weight, aid):
    finding = beside_a_task(weight, aid)
    assert not finding.raised, finding.message


class Arm(nn.Module):
    """Where a robot's hand is, and whether it should close."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU())
        self.place, self.closed, self.joints = nn.Linear(32, 2), nn.Linear(32, 1), nn.Linear(32, FEATURES)

    def forward(self, x):
        h = self.body(x)
        return self.place(h), self.closed(h)[:, 0], self.joints(h)


def closing(output, x, closed):
    return F.binary_cross_entropy_with_logits(output[1], closed)


def joints_again(output, x, closed):
    return F.mse_loss(output[2], x)


def grasped(weight, task, *, random_labels=False):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(320, FEATURES, generator=g)
    place, closed = x[:, :2] - x[:, 2:4], (x[:, 4] + x[:, 5] > 0).float()
    closed = (torch.rand(320, generator=g) > 0.5).float() if random_labels else closed
    loader = DataLoader(TensorDataset(x, place, closed), batch_size=16, shuffle=True)
    model = Arm()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def train():
        for _ in range(12):
            for x, place, closed in loader:
                output = model(x)
                parts = {"place": F.mse_loss(output[0], place), "more": task(output, x, closed)}
                weights = {"place": 1.0, "more": weight}
                loss = sum(weights[name] * parts[name] for name in parts)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        return inspector.check("loss_terms", seconds=120.0)


def test_a_task_that_next_to_no_weight_keeps_from_being_learned_is_raised():
    finding = grasped(1e-4, closing)
    assert finding.severity == "warning", finding.message
    assert "bce_with_logits has labels of its own, but a weight of 0.0001 in your loss" in finding.message
    trial = finding.remedy.tried
    assert trial.treated[-1] < 0.5 * trial.without[-1]


@pytest.mark.parametrize(
    ("weight", "task", "random_labels"),
    [(0.3, closing, False), (1e-4, joints_again, False), (1e-4, closing, True)],
    ids=["enough weight", "the inputs once more", "nothing to learn"],
)
def test_next_to_no_weight_is_left_alone_where_it_costs_no_task(weight, task, random_labels):
    finding = grasped(weight, task, random_labels=random_labels)
    assert not finding.raised, finding.message


class Codebook(nn.Module):
    """Codes that are moved to what falls to them, and a term that keeps the encoder near them: it grows as the codes spread."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = (
            nn.Linear(FEATURES, 4),
            nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, FEATURES)),
        )
        self.register_buffer("codes", 0.01 * torch.randn(16, 4))

    def forward(self, x):
        given = self.encoder(x)
        nearest = torch.cdist(given.detach(), self.codes).argmin(1)
        chosen = self.codes[nearest]
        if self.training:
            with torch.no_grad():
                for code in nearest.unique():
                    self.codes[code].lerp_(given[nearest == code].mean(0), 0.2)
        return self.decoder(given + (chosen - given).detach()), F.mse_loss(given, chosen)


def test_a_part_that_compares_with_what_the_network_makes_is_not_called_unlearned():
    """Two of its calls of a loss function may have made it, and which one cannot be told by its value."""
    model = Codebook()
    x = blobs(320).tensors[0]
    loader = DataLoader(TensorDataset(x), 32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with nni.watch(model, optimizer, nn.MSELoss(), train_loader=loader, show=False) as inspector:
        for _ in range(20):
            for (x,) in loader:
                output, near = model(x)
                optimizer.zero_grad()
                (F.mse_loss(output, x) + 0.25 * near).backward()
                optimizer.step()
        assert not inspector.check("loss_terms", seconds=120).raised


@pytest.mark.parametrize("mixed", [True, False])
def test_two_targets_of_the_same_answers_are_no_parts_that_stand_in_each_others_way(mixed):
    """As where items are mixed: each is what the other leaves."""
    calls = []
    scores = torch.randn(6, 4)
    with CallMode(calls.append):
        for answers in (scores, scores if mixed else scores.clone()):
            F.cross_entropy(answers, torch.randint(4, (6,)))
    assert _judge_the_same(calls) == mixed

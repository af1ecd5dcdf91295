import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.base import Subject
from nn_inspector.checks.baselines import baselines
from tests.trainings import FEATURES, Case, blobs, classifier, mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def curved(items=400):
    inputs = torch.rand(items, 2, generator=seeded()) * 2 - 1
    return TensorDataset(inputs, (inputs[:, :1] * inputs[:, 1:] > 0).float())


def straight(items=400):
    inputs = torch.randn(items, 5, generator=seeded())
    return TensorDataset(inputs, 40 * inputs.sum(1, keepdim=True) + 1000)


def rare(items=600):
    labels = (torch.arange(items) % 20 == 0).long()
    return TensorDataset(torch.randn(items, 4, generator=seeded()) + 1.5 * labels[:, None], labels)


def tokens(items=400):
    text = torch.randint(0, 6, (items, 9), generator=seeded()).cumsum(1) % 6
    return TensorDataset(text[:, :-1], (text[:, :-1] + 1) % 6)


def flat(items=400):
    images = torch.rand(items, 3, generator=seeded()) @ torch.rand(3, 12, generator=seeded(1))
    return TensorDataset(images, images)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(6, 8), nn.Linear(8, 6)

    def forward(self, text):
        return self.head(self.embedding(text))


def per_token(prediction, target):
    return F.cross_entropy(prediction.flatten(0, 1), target.flatten())


def case(model, loss_fn, data, lr=0.1, optimizer=torch.optim.SGD):
    return Case(model, optimizer(model.parameters(), lr=lr), loss_fn, DataLoader(data, batch_size=20, shuffle=True))


def binary(activation=nn.Tanh):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), activation(), nn.Linear(16, 1))


SOUND = {
    "classes": lambda: case(mlp(), nn.CrossEntropyLoss(), blobs(400)),
    "log-probabilities": lambda: case(nn.Sequential(mlp(), nn.LogSoftmax(1)), nn.NLLLoss(), blobs(400)),
    "one logit": lambda: case(binary(), nn.BCEWithLogitsLoss(), curved(), 0.05, torch.optim.Adam),
    "one probability": lambda: case(
        nn.Sequential(binary(), nn.Sigmoid()), nn.BCELoss(), curved(), 0.05, torch.optim.Adam
    ),
    "numbers far from zero": lambda: case(nn.Linear(5, 1), nn.MSELoss(), straight(), 0.05),
    "tokens": lambda: case(Tagger(), per_token, tokens(), 0.05, torch.optim.Adam),
    "rare classes": lambda: case(nn.Linear(4, 2), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 60.0])), rare(), 0.05),
    "reconstruction": lambda: case(
        nn.Sequential(nn.Linear(12, 3), nn.Linear(3, 12)), nn.MSELoss(), flat(), 0.01, torch.optim.Adam
    ),
}

BROKEN = {
    "classes": lambda: case(mlp(), nn.CrossEntropyLoss(), blobs(400), 1e-6),
    "a problem that is not linear": lambda: case(nn.Linear(2, 1), nn.BCEWithLogitsLoss(), curved()),
    "numbers": lambda: case(nn.Linear(5, 1), nn.MSELoss(), straight(), 1e-6),
    "tokens": lambda: case(Tagger(), per_token, tokens(), 1e-6),
    "reconstruction": lambda: case(
        nn.Sequential(nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 12)), nn.MSELoss(), flat(), 1e-6
    ),
    "not a number": lambda: case(mlp(), nn.CrossEntropyLoss(), blobs(400), 1e20),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_network_that_learned_passes(watched, name):
    torch.manual_seed(0)
    finding = watched(SOUND[name](), lambda c: c.run(8)).check("simpler_baseline")
    assert finding.severity in ("ok", "info"), finding.message
    assert set(finding.evidence) >= {"constant", "network"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_network_far_behind_a_simple_model_is_a_warning(watched, name):
    torch.manual_seed(0)
    finding = watched(BROKEN[name](), lambda c: c.run(6)).check("simpler_baseline")
    assert finding.severity == "warning", finding.message
    assert finding.basis == "experiment"
    assert finding.message.startswith("Yes: after 1")


def test_data_that_nobody_can_learn_say_nothing_about_the_network(watched):
    inputs, labels = torch.randn(400, 6, generator=seeded()), torch.randint(0, 3, (400,), generator=seeded(1))
    torch.manual_seed(0)
    finding = watched(
        case(nn.Linear(6, 3), nn.CrossEntropyLoss(), TensorDataset(inputs, labels), 1e-6), lambda c: c.run(6)
    ).check("simpler_baseline")
    assert finding.severity == "ok", finding.message


def test_a_short_training_is_no_reason_to_worry(watched):
    finding = watched(case(mlp(), nn.CrossEntropyLoss(), blobs(400), 1e-6), lambda c: c.run(1)).check(
        "simpler_baseline"
    )
    assert finding.severity == "info"
    assert finding.message.endswith("It may need more steps.")


def two_losses(prediction, target):
    return F.cross_entropy(prediction, target) + F.mse_loss(prediction, torch.zeros_like(prediction))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: case(mlp(), two_losses, blobs(100)), "not one known loss function"),
        (lambda: case(mlp(), lambda p, t: p.square().mean(), blobs(100)), "not one known loss function"),
        (lambda: case(mlp(), nn.CrossEntropyLoss(), blobs(40)), "Only 40 items are there to learn from"),
        (
            lambda: case(
                nn.Conv2d(1, 1, 3, padding=1),
                nn.MSELoss(),
                TensorDataset(torch.rand(99, 1, 4, 4), torch.rand(99, 1, 4, 4)),
            ),
            "not one answer for each item",
        ),
    ],
    ids=["two losses", "unknown loss", "few items", "images"],
)
def test_what_it_cannot_compare_is_said(watched, make, reason):
    finding = watched(make(), lambda c: c.run(1)).check("simpler_baseline")
    assert finding.severity == "skipped"
    assert reason in finding.message


def test_before_training_and_without_time_it_says_so(watched):
    inspector = watched(classifier())
    assert "No step was seen yet" in inspector.check("simpler_baseline").message
    inspector = watched(classifier(), lambda c: c.run(1))
    assert "no time left" in inspector.check("simpler_baseline", seconds=0).message


def test_the_look_is_shared_and_measures_what_it_says(watched):
    inspector = watched(classifier(data=blobs(400)), lambda c: c.run(12))
    subject = Subject(inspector.training, inspector.run, 60.0)
    known = baselines(subject)
    assert baselines(subject) is known
    assert known.rows == 120
    assert {one.name for one in known.simple} == {"linear", "hidden"}
    inputs, labels = blobs(400).tensors
    right = (inspector.training.model(inputs).argmax(1) == labels).float().mean()
    assert known.network.score == pytest.approx(right.item(), abs=0.05)
    assert known.constant.score == pytest.approx(labels.bincount().max().item() / 400, abs=0.1)
    assert known.learnable > 0.9
    assert not known.behind
    assert known.reached > 0.9


def test_its_evidence_can_be_drawn(watched):
    from nn_inspector.checks import find_check

    finding = watched(classifier(data=blobs(400)), lambda c: c.run(6)).check("simpler_baseline")
    chart = find_check("simpler_baseline").chart(finding)
    assert [label for _, label in chart.labels] == ["constant", "linear", "hidden", "network"]


class OfBatch(nn.Module):
    """A model that is called on the whole batch, labels and all."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, batch):
        return self.net(batch["x"])[:, 0]


def test_simple_models_do_not_see_labels_that_the_network_is_given_and_does_not_read():
    x = torch.randn(400, FEATURES, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(400, generator=torch.Generator().manual_seed(1))
    items = [{"x": one, "y": number} for one, number in zip(x, noise, strict=True)]
    model = OfBatch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(items, batch_size=20, shuffle=True)

    def train():
        for _ in range(6):
            for batch in loader:
                optimizer.zero_grad()
                F.mse_loss(model(batch), batch["y"]).backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        known = baselines(Subject(inspector.training, inspector.run, 60.0))
    assert not known.seen.reconstructs
    assert max(one.score for one in known.simple) < 0.3


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(6, 12), nn.Linear(12, 6)

    def forward(self, source, target):
        before = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], 1)
        return self.out(self.embedding(source) + self.embedding(before))


def test_classes_that_the_network_is_shown_one_place_later_are_no_reconstruction():
    source = torch.randint(0, 6, (300, 4), generator=seeded())
    loader = DataLoader(TensorDataset(source, source.flip(1)), batch_size=30)
    model = Teacher()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for given, wanted in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(given, wanted).reshape(-1, 6), wanted.reshape(-1)).backward()
            optimizer.step()
        finding = inspector.check("simpler_baseline")
    assert "failed itself" not in finding.message, finding.message


def test_targets_that_are_spread_over_several_predictions_have_no_single_answer():
    inputs = torch.randn(200, 1, generator=seeded())
    data = TensorDataset(inputs, 3 * inputs)
    model = nn.Linear(1, 2)
    training = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), nn.L1Loss(), DataLoader(data, batch_size=20))
    with nni.watch(
        training.model, training.optimizer, training.loss_fn, train_loader=training.train_loader, show=False
    ) as inspector:
        training.run(1)
        finding = inspector.check("simpler_baseline")
    assert finding.severity == "skipped"
    assert "[200, 2]" in finding.message
    assert "[200, 1]" in finding.message


@pytest.mark.parametrize(("weighs", "severity"), [(True, "info"), (False, "warning")])
def test_labels_that_hardly_count_are_not_missed(weighs, severity):
    generator = seeded()
    x = torch.randn(600, 6, generator=generator)
    truth = (x @ torch.randn(6, 3, generator=generator)).argmax(1)
    hasty = torch.rand(600, generator=generator) < 0.7
    labels, weight = torch.where(hasty, (truth + 1) % 3, truth), torch.where(hasty, 0.02, 1.0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    loss_fn = nn.CrossEntropyLoss(reduction="none")
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3 if weighs else 1e-6)
    loader = DataLoader(TensorDataset(x, labels, weight), batch_size=20, shuffle=True)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(6):
            for inputs, target, weights in loader:
                optimizer.zero_grad()
                losses = loss_fn(model(inputs), target)
                (losses * weights if weighs else losses).mean().backward()
                optimizer.step()
    finding = inspector.check("simpler_baseline", seconds=60)
    assert finding.severity == severity
    assert ("your loop weighs its items" in finding.message) == weighs

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.answers import Answers
from nn_inspector.checks.fit.free_outputs import wrong_share
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, mlp, state_of

X = torch.randn(96, FEATURES, generator=torch.Generator().manual_seed(0))
REAL = X[:, :1] - X[:, 1:2]
NUMBERS = TensorDataset(X, REAL)
YES = TensorDataset(X, (REAL > 0).float())
SIGNS = TensorDataset(X, (REAL > 0).float() * 2 - 1)
batches = list(DataLoader(blobs(), batch_size=16)) * 4


def net(outputs=CLASSES, *last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, outputs), *last)


def case(model, loss_fn, data=None, *, batch=32):
    loader = DataLoader(data or blobs(), batch_size=batch, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, loader)


def checked(inspector, made):
    before = state_of(made)
    finding = inspector.check("loss_learnable")
    assert_equal(before, state_of(made))
    return finding


def turned(output, y):
    return output.log_softmax(1).gather(1, y[:, None]).mean()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: case(net(), turned), "the answers are "),
        (
            lambda: case(net(1), lambda o, y: (o - y).square().mean(), TensorDataset(X, REAL[:, 0])),
            "no better than chance",
        ),
        (lambda: case(net(1), nn.MSELoss(), TensorDataset(X, REAL[:, 0])), "no better than chance"),
        (lambda: case(net(1), lambda o, y: (o + y).square().mean(), NUMBERS), "the wrong way round"),
        (lambda: case(net(1), lambda o, y: (1 + 20 * o * y).clamp(min=0).mean(), SIGNS), "the wrong way round"),
        (lambda: case(net(1), lambda o, y: (1 + o * (2 * y - 1)).relu().square().mean(), YES), "the wrong way round"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_that_leads_elsewhere_is_an_error(watched, made, says):
    made = made()
    finding = checked(watched(made, lambda c: c.run(3)), made)
    assert finding.severity == "error", finding.message
    assert says in finding.message
    assert (finding.where, finding.basis) == ("2", "experiment")
    assert "loss_fn(right, labels)" in finding.remedy.code


@pytest.mark.parametrize(
    "made",
    [
        lambda: case(net(1, nn.Softmax(dim=1)), nn.BCELoss(), TensorDataset(X, (REAL > 0).float())),
        lambda: case(net(), lambda o, y: F.cross_entropy(o, y) * 0 + 1),
    ],
)
def test_a_loss_that_does_not_change_is_an_error(watched, made):
    made = made()
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "error", finding.message
    assert "whatever the network says" in finding.message


def noise_to_be_found():
    model = net(FEATURES)
    made = case(model, None)

    def find_noise(output, y):
        noise = torch.randn_like(output)
        return F.mse_loss(output, noise)

    made.loss_fn = find_noise
    return made


class TwoLayersAtOnce(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.used, self.aside = nn.Linear(FEATURES, CLASSES), nn.Linear(FEATURES, 2)

    def forward(self, x):
        out = self.used(x)
        self.more = self.aside(x)
        return out


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES, FEATURES)

    def forward(self, x):
        return self.layer(self.layer(x).relu())


SOUND = {
    "margins by hand": (
        lambda: case(net(1), lambda o, y: (1 - 20 * o * y).clamp(min=0).mean(), SIGNS), "ok", "became right",
    ),
    "some are left out": (
        lambda: case(net(1), lambda o, y: (o[:10] - y[:10]).square().mean(), NUMBERS), "skipped", "as a mask does",
    ),
    "classes": (lambda: case(net(), nn.CrossEntropyLoss()), "ok", "became right"),
    "smoothed": (lambda: case(net(), nn.CrossEntropyLoss(label_smoothing=0.3)), "ok", "became right"),
    "margin": (lambda: case(net(), nn.MultiMarginLoss()), "ok", "became right"),
    "log-probabilities": (lambda: case(net(CLASSES, nn.LogSoftmax(1)), nn.NLLLoss()), "ok", "became right"),
    "yes or no": (
        lambda: case(net(1, nn.Sigmoid()), nn.BCELoss(), TensorDataset(X, (REAL > 0).float())), "ok", "became right",
    ),
    "numbers": (lambda: case(net(1), nn.MSELoss(), NUMBERS), "ok", "became right"),
    "large numbers": (lambda: case(net(1), nn.L1Loss(), TensorDataset(X, 1e4 * REAL)), "ok", "became right"),
    "numbers that the loss scales": (
        lambda: case(net(1), lambda o, y: (o - (y - 3) / 50).abs().mean(), NUMBERS), "ok", "became right",
    ),
    "counts": (
        lambda: case(net(1), nn.PoissonNLLLoss(), TensorDataset(X, REAL.exp().round())), "ok", "can be minimized",
    ),
    "shares": (
        lambda: case(net(1), nn.BCEWithLogitsLoss(), TensorDataset(X, REAL.sigmoid())), "ok", "can be minimized",
    ),
    "noise that is to be found": (noise_to_be_found, "ok", "became right"),
    "few items": (lambda: case(net(), nn.CrossEntropyLoss(), batch=4), "skipped", "4 items only"),
    "a layer that is used twice": (lambda: case(Twice(), nn.CrossEntropyLoss()), "skipped", "used once"),
    "another layer comes last": (
        lambda: case(TwoLayersAtOnce(), nn.CrossEntropyLoss()), "skipped", "does not depend on aside alone",
    ),
    "an unknown loss": (lambda: case(mlp(), None), "skipped", "how the loss is computed"),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_sound_losses_pass(watched, name):
    make, severity, says = SOUND[name]
    made = make()
    finding = checked(watched(made), made)
    assert finding.severity == severity, finding.message
    assert says in finding.message


def test_what_a_training_that_did_well_leads_to_is_its_own_affair(watched):
    made = case(net(), nn.CrossEntropyLoss())
    inspector = watched(made, lambda c: c.run(20))
    inspector.training.loss_fn = turned
    assert inspector.check("loss_learnable").severity == "info"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [([1.0, 2, 3, 9], 0), ([9.0, 3, 2, 1], 2), ([5.0, 5, 5, 5], 1), ([1.0, 2, 3, float("nan")], float("inf"))],
)
def test_numbers_are_judged_by_their_order(given, wrong):
    right = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert wrong_share(Answers("numbers", torch.tensor(given)[:, None], right)) == pytest.approx(wrong)


def test_its_curve_can_be_drawn(watched):
    from nn_inspector.checks import find_check

    made = case(net(), nn.CrossEntropyLoss())
    finding = watched(made).check("loss_learnable")
    assert len(find_check("loss_learnable").chart(finding).series["loss"].y) > 100


def test_outputs_that_begin_far_away_come_back(watched):
    x, y = blobs().tensors
    made = case(net(), nn.CrossEntropyLoss(), TensorDataset(x * 1e6, y))
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "ok", finding.message
    assert finding.evidence["first_loss"] > 1e4


def test_a_loss_that_is_lost_is_another_checks_affair(watched):
    def root(output, y):
        return (output.gather(1, y[:, None]) - 1e9).sqrt().mean()

    made = case(net(), root)
    finding = checked(watched(made), made)
    assert finding.severity == "skipped"
    assert "no finite number after 0 steps" in finding.message


def test_a_loss_that_draws_its_targets_is_not_judged(watched):
    def drawn(output, y):
        return -output.log_softmax(1).gather(1, y[torch.randperm(len(y))][:, None]).mean()

    made = case(net(), drawn)
    finding = checked(watched(made), made)
    assert finding.severity == "skipped"
    assert "draws random numbers" in finding.message


class TwoHeads(nn.Module):
    def __init__(self, begins_with_zeros):
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(FEATURES, CLASSES) for _ in range(2)])
        if begins_with_zeros:
            for head in self.heads:
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    def forward(self, x):
        return torch.stack([head(x) for head in self.heads], 1)


@pytest.mark.parametrize("begins_with_zeros", [False, True])
def test_one_of_two_heads_alone_cannot_make_the_answers_right(watched, begins_with_zeros):
    inputs, labels = blobs().tensors
    data = TensorDataset(inputs, torch.stack([labels, (labels + 1) % CLASSES], 1))
    made = case(TwoHeads(begins_with_zeros), lambda output, y: F.cross_entropy(output.flatten(0, 1), y.flatten()), data)
    made.optimizer = torch.optim.SGD(made.model.parameters(), lr=1e-6)  # so that it does badly
    finding = checked(watched(made, lambda c: c.run(3)), made)
    assert finding.severity == ("info" if begins_with_zeros else "skipped"), finding.message
    assert begins_with_zeros or "50% of what the loss judges comes from other layers" in finding.message


def triplets(output, y):
    """The farthest of the same class has to be nearer than the nearest of another one."""
    far = (output[:, None] - output[None]).square().sum(-1)
    same = y[:, None] == y[None]
    return (far.masked_fill(~same, 0).amax(1) - far.masked_fill(same, 1e3).amin(1) + 1).relu().mean()


def test_embeddings_with_as_many_columns_as_there_are_classes_are_no_scores(watched):
    made = case(net(), triplets)
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity in ("skipped", "info"), finding.message
    if finding.severity == "skipped":
        assert "compares items with each other" in finding.message
    other = case(net(), lambda o, y: o.square().mean() + 0 * y.sum())
    assert checked(watched(other, lambda c: c.run(3)), other).severity == "error"


def rewarded(model, optimizer, of_which):
    """A bandit that earns something where its action is the right one."""

    def played():
        for x, y in batches:
            dist = torch.distributions.Categorical(logits=model(x))
            action = dist.sample()
            reward = (action == y).float()
            entropy = -dist.log_prob(dist.sample()).mean()
            log_prob = dist.log_prob(action)
            loss = -(log_prob * reward).mean() - 0.01 * entropy
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def named():
        for x, y in batches:
            dist = torch.distributions.Categorical(logits=model(x))
            reward = (dist.sample() == y).float()
            log_prob = dist.log_prob(dist.sample())
            loss = -(log_prob * reward).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def at_once():
        for x, y in batches:
            dist = torch.distributions.Categorical(logits=model(x))
            reward = (dist.sample() == y).float()
            loss = -(reward * dist.log_prob(dist.sample())).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return {"played": played, "named": named, "at once": at_once}[of_which]


@pytest.mark.parametrize("of_which", ["named", "at once", "played"])
def test_a_reward_of_another_action_than_the_one_that_was_played_is_an_error(of_which):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loop = rewarded(model, optimizer, of_which)
    with nni.watch(model, optimizer, train_loader=batches, loop=loop, show=False) as inspector:
        loop()
        found = inspector.check("loss_learnable")
    if of_which == "played":
        assert "another action" not in found.message
        assert "drawn anew" not in found.message
    else:
        assert found.severity == "error", found.message
        assert "an action that is drawn anew" in found.message
        assert "dist.log_prob(dist.sample())" in found.where
        assert "log_prob(action)" in found.remedy.code


class Weighed(nn.Module):
    """Two losses whose weights are learned, with what holds them up or without."""

    def __init__(self, held):
        super().__init__()
        self.net = net(2)
        self.weight = nn.Parameter(torch.full((2,), 0.0 if held else 1.0))
        self.held = held

    def forward(self, x):
        return self.net(x)

    def loss(self, output, target):
        losses = (output - target).square().mean(0)
        return ((-self.weight).exp() * losses + self.weight).sum() if self.held else (self.weight * losses).sum()


@pytest.mark.parametrize("held", [False, True])
def test_a_loss_that_falls_without_end_is_an_error(held):
    torch.manual_seed(0)
    model = Weighed(held)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(X, torch.randn(96, 2)), batch_size=32, shuffle=True)

    def train():
        for _ in range(100):
            for x, y in loader:
                optimizer.zero_grad()
                loss = model.loss(model(x), y)
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        found = inspector.check("loss_learnable")
    assert ("has no lowest value" in found.message) == (not held), found.message
    assert (found.severity == "error") == (not held)


def test_a_loss_that_is_level_at_the_first_weights_alone_is_none(watched):
    """In evaluation mode the first statistics of a normalization are not those of the data."""
    torch.manual_seed(0)
    inputs = torch.rand(320, 3) * torch.tensor([1.0, 3e4, 90.0]) + torch.tensor([0.0, 1e4, 18.0])
    labels = (inputs[:, 1] > 2.5e4).float()
    last = (nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid(), nn.Flatten(0))
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 16), nn.ReLU(), *last)
    made = case(model, nn.BCELoss(), TensorDataset(inputs, labels))
    made.optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    finding = watched(made, lambda c: c.run(8)).check("loss_learnable")
    assert not finding.raised, finding.message

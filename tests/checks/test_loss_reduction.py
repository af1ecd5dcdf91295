import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.broadcasts import broadcast_of
from nn_inspector.checks.loop.loss_scale import loss_scale
from nn_inspector.checks.loop.padding import padding_in_loss
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, mlp, state_of

G = torch.Generator().manual_seed(0)
X = torch.randn(128, FEATURES, generator=G)
Y = X[:, 0] + 0.5 * X[:, 1]


def trained(model, data, loss, *, rate, loss_fn=None, epochs=15, kind=torch.optim.SGD, accumulate=1, batch=32):
    optimizer = kind(model.parameters(), lr=rate)
    loader = DataLoader(data, batch_size=batch, shuffle=True)

    def train():
        for _ in range(epochs):
            for number, (x, y) in enumerate(loader, 1):
                objective = loss(model(x), y)
                objective.backward()
                if number % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()

    inspector = nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False)
    train()
    return inspector, Case(model, optimizer, loss_fn or loss, loader)


def regressor():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1))


def summed(output, y):
    return F.cross_entropy(output, y, reduction="sum")


def by_hand(output, y):
    return -(F.one_hot(y, CLASSES) * output.log_softmax(1)).sum()


def checked(inspector, case):
    before = {name: tensor.nan_to_num() for name, tensor in state_of(case).items()}
    finding = inspector.check("loss_reduction", seconds=300.0)
    assert_equal(before, {name: tensor.nan_to_num() for name, tensor in state_of(case).items()})
    return finding


@pytest.mark.parametrize(
    ("loss", "loss_fn"),
    [
        (summed, summed),
        (summed, nn.CrossEntropyLoss()),
        (lambda o, y: F.cross_entropy(o, y) * len(y), nn.CrossEntropyLoss()),
        (lambda o, y: F.cross_entropy(o, y, reduction="none").sum(), summed),
        (by_hand, summed),
    ],
)
def test_a_sum_with_the_rate_of_a_mean_is_an_error(loss, loss_fn):
    data = blobs(spread=1.5, items=256)
    finding = checked(*trained(mlp(), data, loss, rate=3.0, loss_fn=loss_fn, batch=128))
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert "adds up its items" in finding.message
    assert "128 times as large" in finding.message
    assert finding.remedy.tried.helped
    assert "objective" in finding.where
    assert "mean" in finding.remedy.code


def test_a_mean_that_is_divided_again_is_an_error():
    for loss_fn in (nn.CrossEntropyLoss(), lambda o, y: F.cross_entropy(o, y) / len(y)):
        torch.manual_seed(0)
        finding = checked(
            *trained(mlp(), blobs(), lambda o, y: F.cross_entropy(o, y) / len(y), rate=0.1, loss_fn=loss_fn)
        )
        assert finding.severity == "error", finding.message
        assert "divided by 32 again" in finding.message
        assert "without the division" in finding.remedy.code


SOUND = {
    "mean": (F.cross_entropy, 0.1, {}, "ok", "is a mean"),
    "a sum with a fitting rate": (summed, 0.1 / 32, {"loss_fn": summed}, "info", "fits it"),
    "a sum with Adam": (summed, 0.01, {"loss_fn": summed, "kind": torch.optim.Adam}, "info", "matters little"),
    "accumulation": (lambda o, y: F.cross_entropy(o, y) / 8, 0.1, {"accumulate": 8, "batch": 4}, "ok", "is a mean"),
    "a sum that is divided": (lambda o, y: summed(o, y) / len(y), 0.1, {}, "ok", "is a mean"),
    "a sum over classes": (lambda o, y: by_hand(o, y) / len(y), 0.1, {}, "skipped", "could not be seen"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_fits_passes(name):
    loss, rate, options, severity, says = SOUND[name]
    finding = checked(*trained(mlp(), blobs(), loss, rate=rate, **options))
    assert finding.severity == severity, finding.message
    assert says in finding.message


@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), None])
@pytest.mark.parametrize("loss", [F.mse_loss, lambda o, y: (o - y).abs().mean(), lambda o, y: ((y - o) ** 2).mean()])
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_each_prediction_against_every_target_is_an_error(loss, loss_fn):
    finding = checked(*trained(regressor(), TensorDataset(X, Y), loss, rate=0.1, loss_fn=loss_fn))
    assert finding.severity == "error", finding.message
    assert "[32, 1] and the target [32]" in finding.message
    assert "reshape(output.shape)" in finding.remedy.code
    assert finding.remedy.tried.helped


def test_targets_with_a_column_too_many_are_one_as_well():
    def loss(output, y):
        return ((output.squeeze(1) - y) ** 2).mean()

    finding = checked(*trained(regressor(), TensorDataset(X, Y[:, None]), loss, rate=0.1))
    assert "[32] and the target [32, 1]" in finding.message
    assert finding.severity == "error"


def measured_in_part(mask_shape):
    """A training whose loss leaves out the half of the items that were not measured, which stand as 0 in the table."""
    model = regressor()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    known = (torch.rand(128, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    target = (3 + Y) * known
    data = TensorDataset(X, target[:, None], known.reshape(mask_shape))
    loader = DataLoader(data, batch_size=32, shuffle=True)

    def train():
        for _ in range(30):
            for x, y, mask in loader:
                optimizer.zero_grad()
                loss = ((model(x) - y).square() * mask).sum() / mask.sum()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
    return inspector


def test_a_mask_without_the_column_of_the_losses_is_an_error():
    finding = measured_in_part((128,)).check("loss_reduction")
    assert finding.severity == "error", finding.message
    assert "losses have the shape [32, 1] and their mask or weights [32]" in finding.message
    assert "weights.reshape(losses.shape)" in finding.remedy.code
    assert broadcast_of(measured_in_part((128, 1)).run) is None


def bandit(shape):
    """Each visitor is shown what the network draws for it, and pays for what it likes; advantages have that shape."""
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    pays = F.one_hot((x @ torch.randn(4, 3)).argmax(1), 3).float()
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(x, pays), batch_size=32, shuffle=True)

    def train():
        for _ in range(6):
            for x, pays in loader:
                scores = model(x)
                with torch.no_grad():
                    shown = torch.distributions.Categorical(logits=scores).sample()[:, None]
                    advantage = pays.gather(1, shown) - 0.3
                loss = -(scores.log_softmax(1).gather(1, shown) * advantage.reshape(-1, *shape)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
    return inspector


def test_advantages_without_the_column_of_the_log_probabilities_are_an_error():
    finding = bandit(()).check("loss_reduction")
    assert finding.severity == "error", finding.message
    assert "[32, 1] and their mask or weights [32]" in finding.message
    assert broadcast_of(bandit((1,)).run) is None


class Actor(nn.Module):
    """Where to go, and what it is worth: [items, 3] and [items]."""

    def __init__(self):
        super().__init__()
        self.body, self.moves, self.worth = nn.Linear(2, 32), nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, state):
        hidden = self.body(state).tanh()
        return self.moves(hidden), self.worth(hidden).squeeze(-1)


def walk(keepdim, moves=12):
    """Many walkers at once, each rewarded for coming nearer to a place of its own, by rewards with a column or without."""
    torch.manual_seed(0)
    model = Actor()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(torch.randn(128, 1), torch.randn(128, 1)), batch_size=32, shuffle=True)

    def train():
        for _ in range(8):
            for start, goal in loader:
                place, log_probs, values, rewards = start, [], [], []
                for _ in range(moves):
                    scores, value = model(torch.cat([place, goal], 1))
                    step = torch.distributions.Categorical(logits=scores)
                    move = step.sample()
                    before, place = place, place + 0.3 * (move[:, None] - 1)
                    rewards.append(((before - goal).abs() - (place - goal).abs()).sum(1, keepdim=keepdim))
                    log_probs.append(step.log_prob(move))
                    values.append(value)
                returns, loss = torch.zeros_like(rewards[0]), 0.0
                for reward, value, log_prob in zip(rewards[::-1], values[::-1], log_probs[::-1], strict=True):
                    returns = reward + 0.9 * returns
                    advantage = returns - value
                    loss = loss + advantage.pow(2).mean() - (log_prob * advantage.detach()).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
    return inspector


@pytest.mark.parametrize("moves", [1, 12])
def test_rewards_with_a_column_too_many_are_an_error_however_much_is_called_before(moves):
    finding = walk(keepdim=True, moves=moves).check("loss_reduction")
    assert finding.severity == "error", finding.message
    assert "the prediction has the shape [32] and what came of the answers [32, 1]" in finding.message
    assert "No item learns what came of its own" in finding.message
    assert finding.remedy.code == "advantage = returns.reshape(values.shape) - values"


def test_rewards_of_the_shape_of_the_values_pass():
    inspector = walk(keepdim=False)
    assert broadcast_of(inspector.run) is None
    assert inspector.check("loss_reduction").severity in ("ok", "skipped")


class Stream:
    """Batches that are made as they are asked for, by a class of the user's own."""

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(20):
            x = torch.randn(32, 3, generator=generator)
            yield x, x[:, 0]


@pytest.mark.parametrize("column", [True, False])
def test_what_an_unknown_loader_gives_is_a_target_as_well(column):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def train():
        for x, y in Stream():
            value = model(x)
            error = y - (value if column else value.squeeze(1))
            optimizer.zero_grad()
            error.pow(2).mean().backward()
            optimizer.step()

    with nni.watch(model, optimizer, train_loader=Stream(), loop=train, show=False) as inspector:
        train()
        finding = inspector.check("loss_reduction")
    assert (finding.severity == "error") == column, finding.message
    assert ("the prediction has the shape [32, 1] and the target [32]" in finding.message) == column


def test_targets_of_several_numbers_are_left_as_they_are_when_a_remedy_is_tried():
    torch.manual_seed(0)
    loader = [(X[i : i + 32], torch.stack([Y, -Y], 1)[i : i + 32]) for i in range(0, 128, 32)]
    model = regressor()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train():
        for _ in range(15):
            for x, y in loader:
                optimizer.zero_grad()
                loss = (model(x) - y[:, 0]).square().mean()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
    finding = inspector.check("loss_reduction")
    assert finding.severity == "error", finding.message


@pytest.mark.parametrize(
    ("target", "loss"),
    [
        (Y[:, None], F.mse_loss),
        (Y, lambda o, y: F.mse_loss(o.squeeze(1), y)),
        (Y, lambda o, y: (o.squeeze(1) - y).square().mean()),
        (Y[:, None], lambda o, y: (o - y.mean()).square().mean()),
        (Y[:, None], lambda o, y: (torch.cat([o, o - 1], 1) - y).abs().mean()),
    ],
)
def test_shapes_that_fit_pass(target, loss):
    inspector, case = trained(regressor(), TensorDataset(X, target), loss, rate=0.1, epochs=2)
    assert broadcast_of(inspector.run) is None
    assert checked(inspector, case).severity in ("ok", "info", "skipped")


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.out = nn.Embedding(12, 8), nn.Linear(8, 5)

    def forward(self, tokens):
        return self.out(self.embedding(tokens)).movedim(2, 1)


def sentences(words=2, length=30):
    tokens = torch.zeros(200, length, dtype=torch.long)
    tokens[:, :words] = torch.randint(1, 12, (200, words), generator=torch.Generator().manual_seed(0))
    tags = torch.where(tokens > 0, 1 + (tokens * 5 + 3) % 4, 0)
    return TensorDataset(tokens, tags)


def test_padding_that_is_counted_is_an_error_where_it_hides_the_rest():
    finding = checked(
        *trained(Tagger(), sentences(), F.cross_entropy, rate=0.1, loss_fn=nn.CrossEntropyLoss(), epochs=6)
    )
    assert finding.severity == "error", finding.message
    assert "93% of the targets" in finding.message
    assert "ignore_index=0" in finding.remedy.code
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    ("data", "loss_fn"),
    [
        (sentences(), nn.CrossEntropyLoss(ignore_index=0)),
        (sentences(words=20), nn.CrossEntropyLoss()),
        (TensorDataset(*(t.flip(0)[:, torch.randperm(30)] for t in sentences().tensors)), nn.CrossEntropyLoss()),
    ],
)
def test_padding_that_is_left_out_or_rare_passes(data, loss_fn):
    inspector, case = trained(Tagger(), data, loss_fn, rate=0.5, loss_fn=loss_fn, epochs=1)
    assert padding_in_loss(Subject(inspector.training, inspector.run, 10.0)) is None
    assert checked(inspector, case).severity == "ok"


def test_before_the_first_backward_nothing_can_be_said():
    inspector, _ = trained(mlp(), blobs(), F.cross_entropy, rate=0.1, epochs=0)
    finding = inspector.check("loss_reduction")
    assert finding.severity == "skipped"
    assert "No backward() was seen" in finding.message


def test_the_scale_is_that_of_a_whole_step():
    inspector, _ = trained(
        mlp(), blobs(), lambda o, y: 3 * F.cross_entropy(o, y), rate=0.1, accumulate=2, batch=8, epochs=1
    )
    scale = loss_scale(inspector.run)
    assert (round(scale.factor, 3), scale.items, scale.how) == (6.0, 8, "mean")

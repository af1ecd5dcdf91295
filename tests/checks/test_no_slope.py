"""Gradients that are 0 at most steps while there is a loss left, and those that may be."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, state_of

X, LABEL = blobs(160).tensors
SHARE = torch.sigmoid(X[:, :1])


class Last(nn.Module):
    """A network whose scores begin at an offset and pass through a last function."""

    def __init__(self, last, *, offset=0.0, outputs=1):
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.last = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, outputs)), last
        nn.init.constant_(self.layers[2].bias, offset)

    def forward(self, x):
        return self.last(self.layers(x))


def case(model, loss, target, rate=0.05):
    loader = DataLoader(TensorDataset(X, target), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), loss, loader)


def survived(scores):
    """The share that is left after many shares were taken one after another."""
    return torch.sigmoid(scores - 3).prod(1, keepdim=True).clamp(1e-6, 1 - 1e-6)


def margins(scores, label):
    own = scores.gather(1, label[:, None])
    return (0.1 - own + scores).relu().scatter(1, label[:, None], 0.0).mean()


BROKEN = {
    "a product of probabilities": (
        lambda: case(Last(survived, outputs=12), F.binary_cross_entropy, (X[:, :1] > 0).float()), "clamp", "1e-06",
    ),
    "a range that is far away": (
        lambda: case(Last(lambda s: s.clamp(0, 1), offset=6.0), F.mse_loss, SHARE), "clamp", "gives 1 for 100%",
    ),
    "a rectifier at the end": (lambda: case(Last(F.relu, offset=-6.0), F.mse_loss, SHARE), "relu", "gives 0 for 100%"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_loss_that_is_flat_where_the_network_stands_is_an_error(watched, name):
    make, function, says = BROKEN[name]
    made = make()
    inspector = watched(made, lambda c: c.run(12))
    before = state_of(made)
    finding = inspector.check("vanishing_gradients", seconds=60)
    assert_equal(before, state_of(made))
    assert finding.severity == "error", finding.message
    assert "the gradient of every weight is 0" in finding.message
    assert says in finding.message
    assert (finding.where, finding.basis) == (function, "structure")
    assert finding.evidence["zero"] > 0.9
    learnable = inspector.check("loss_learnable", seconds=60)
    assert learnable.severity != "error", learnable.message


def test_without_a_copy_the_place_is_not_known(watched):
    finding = watched(BROKEN["a range that is far away"][0](), lambda c: c.run(12)).check(
        "vanishing_gradients", seconds=0
    )
    assert finding.severity == "error", finding.message
    assert finding.where == "loss"


SOUND = {
    "margins that are kept": (lambda: case(Last(nn.Identity(), outputs=CLASSES), margins, LABEL, rate=0.5), 40),
    "a range that some items leave": (lambda: case(Last(lambda s: s.clamp(0, 1), offset=0.5), F.mse_loss, SHARE), 12),
    "a rectifier at the end": (lambda: case(Last(F.relu, offset=0.5), F.mse_loss, SHARE), 12),
    "classes": (lambda: case(Last(nn.Identity(), outputs=CLASSES), F.cross_entropy, LABEL), 12),
    "a few steps only": (BROKEN["a range that is far away"][0], 0),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_trainings_pass(watched, name):
    make, epochs = SOUND[name]
    finding = watched(make(), lambda made: made.run(epochs)).check("vanishing_gradients", seconds=60)
    assert finding.severity in ("ok", "info", "skipped"), finding.message

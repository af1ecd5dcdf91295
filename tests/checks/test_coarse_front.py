import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.trainings import Case, assert_equal, state_of

DIGITS, LABELS, *_ = data.digits()
DIGITS, LABELS = DIGITS[:768], LABELS[:768]


class Net(nn.Module):
    """Makes pictures smaller by some function and then looks at them."""

    def __init__(self, front, numbers, classes=10):
        super().__init__()
        torch.manual_seed(0)
        self.front = front
        self.first, self.last = nn.Linear(numbers, 48), nn.Linear(48, classes)

    def forward(self, x):
        return self.last(F.relu(self.first(self.front(x).flatten(1))))


class TwoWays(Net):
    """Looks at the whole pictures, too."""

    def __init__(self):
        super().__init__(pooled, 4)
        self.other = nn.Linear(64, 10)

    def forward(self, x):
        return super().forward(x) + self.other(x.flatten(1))


def pooled(x):
    return F.avg_pool2d(x, 4)


def every_fourth(x):
    return x[..., ::4, ::4]


def case(model, x=DIGITS, y=LABELS, rate=0.01):
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


@pytest.mark.parametrize("front", [pooled, every_fourth])
def test_a_front_that_leaves_too_little_is_named(watched, front):
    made = case(Net(front, 4))
    inspector = watched(made, lambda c: c.run(15))
    before = state_of(made)
    finding = inspector.check("capacity", seconds=60.0)
    assert_equal(state_of(made), before)
    assert finding.severity in ("error", "warning"), finding.message
    assert "(first), 64 numbers of an item become 4." in finding.message
    assert finding.where == "first"
    assert finding.evidence["whole"] > finding.evidence["rest"] + 0.3


def by_quarters():
    """Which quarter of a noisy picture is the brightest."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(768, 1, 8, 8, generator=generator), torch.randint(0, 4, (768,), generator=generator)
    for number, quarter in enumerate(y.tolist()):
        x[number, 0, 4 * (quarter // 2) : 4 * (quarter // 2) + 4, 4 * (quarter % 2) : 4 * (quarter % 2) + 4] += 1
    return x, y


SOUND = {
    "enough is left": lambda: case(Net(pooled, 4, 4), *by_quarters(), rate=1e-6),
    "more is left": lambda: case(Net(lambda x: F.avg_pool2d(x, 2), 16), rate=1e-6),
    "another way in": lambda: case(TwoWays(), rate=1e-6),
    "nothing to learn": lambda: case(Net(pooled, 4), y=LABELS[torch.randperm(768, generator=torch.Generator().manual_seed(0))]),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_front_that_is_not_at_fault_passes(watched, name):
    finding = watched(SOUND[name](), lambda c: c.run(10)).check("capacity", seconds=60.0)
    assert finding.severity == "ok", finding.message

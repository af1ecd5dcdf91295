import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import Case, assert_equal, state_of

SIDE = 8


def pictures(items=320, *, seed=0):
    """Smooth ones, of a few waves each: [items, 1, 8, 8], with mean 0 and variance 1."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(SIDE) / SIDE * 3.14159
    waves = torch.stack([torch.outer((a * place).cos(), (b * place).cos()) for a in range(3) for b in range(3)])
    images = torch.einsum("nk,khw->nhw", torch.randn(items, len(waves), generator=generator), waves)
    return ((images - images.mean()) / images.std())[:, None]


class Restorer(nn.Module):
    def __init__(self, scale=1):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 96), nn.ReLU(), nn.Linear(96, SIDE * SIDE))
        self.scale = scale

    def forward(self, x):
        return self.inner(x).reshape(x.shape)


def case(*tensors, loss=None):
    model = Restorer()
    loader = DataLoader(TensorDataset(*tensors), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=3e-3), loss or nn.MSELoss(), loader)


def train(made, ask, epochs=4):
    """`ask` makes input and target of a batch."""
    for _ in range(epochs):
        for batch in made.train_loader:
            given, target = ask(*batch)
            made.optimizer.zero_grad()
            made.loss_fn(made.model(given), target).backward()
            made.optimizer.step()


def noisy(x):
    return x + 0.8 * torch.randn_like(x)


def twice(x):
    return x, x


def flipped(x):
    turn = (torch.rand(len(x), 1, 1, 1) < 0.5).float()
    return turn * x.flip(-1) + (1 - turn) * x


def spotted(x):
    """Some numbers are lost."""
    return x * (torch.rand_like(x) < 0.6).float()


SHADES = (0.5 + 0.2 * pictures()).clamp(0, 1)


@pytest.mark.parametrize("spoil", [noisy, spotted, lambda x: F.dropout(x, 0.4)])
@pytest.mark.parametrize("loss", [nn.MSELoss, nn.SmoothL1Loss])
def test_noise_that_the_loop_asks_for_as_well(watched, spoil, loss):
    made = case(pictures(), loss=loss())
    inspector = watched(made, lambda c: train(c, lambda x: twice(spoil(x))))
    before = state_of(made)
    finding = inspector.check("label_alignment")
    assert_equal(before, state_of(made))
    assert finding.severity == "warning", finding.message
    assert "compares the network's answers with its own input" in finding.message
    assert "place 0 of the batch and noise" in finding.message
    assert finding.evidence["distance_if_asked"] < finding.evidence["answer_distance"] / 2
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


def test_what_is_to_be_restored_lies_beside_it_unused(watched):
    clean = pictures()
    made = case(noisy(clean), torch.arange(320), clean)
    finding = watched(made, lambda c: train(c, lambda x, *_: twice(x))).check("label_alignment")
    assert finding.severity == "warning", finding.message
    assert "[32, 1, 8, 8] at place 2 of the batch, which is as large, is used for nothing" in finding.message


def test_batches_may_be_mappings(watched):
    clean = pictures()
    made = case(clean)
    made.train_loader = [{"given": noisy(one), "wanted": one} for one in clean.split(32)]

    def loop(made):
        for _ in range(4):
            for batch in made.train_loader:
                made.optimizer.zero_grad()
                made.loss_fn(made.model(batch["given"]), batch["given"]).backward()
                made.optimizer.step()

    finding = watched(made, loop).check("label_alignment")
    assert finding.severity == "warning", finding.message
    assert "is used for nothing" in finding.message


@pytest.mark.parametrize(
    ("tensors", "ask"),
    [
        ([pictures()], twice),
        ([pictures()], lambda x: (noisy(x), x)),
        ([pictures()], lambda x: twice(flipped(x))),
        ([pictures()], lambda x: twice(x * (0.5 + torch.rand(len(x), 1, 1, 1)))),
        ([pictures()], lambda x: twice(x + 0.1 * torch.rand_like(x))),
        ([pictures()], lambda x: twice((x - 0.3) / 2.0)),
        ([SHADES], lambda x: twice(torch.bernoulli(x))),
        ([pictures(), pictures()], lambda x, _: twice(x)),
        ([pictures(), (pictures() > 0).float()], lambda x, _: twice(x)),
        ([pictures(), torch.randn(320, 1, SIDE, SIDE)], lambda x, _: twice(x)),
        ([pictures(), torch.arange(320) % 4], lambda x, _: twice(x)),
        ([pictures(), pictures().flip(0)], lambda x, other: (x, x + 0.01 * other)),
    ],
    ids=[
        "reconstruction", "denoising", "turned", "brighter", "a little noise", "scaled", "made black and white at random",
        "the same twice", "a mask beside it", "noise beside it", "labels beside it", "both are asked for",
    ],
)  # fmt: skip
def test_what_is_meant_so_passes(watched, tensors, ask):
    made = case(*tensors)
    finding = watched(made, lambda c: train(c, ask)).check("label_alignment")
    assert finding.severity not in ("error", "warning"), finding.message


def test_without_time_nothing_is_tried(watched):
    made = case(pictures())
    finding = watched(made, lambda c: train(c, lambda x: twice(noisy(x)))).check("label_alignment", seconds=0)
    assert finding.severity == "skipped"


def test_a_training_that_was_not_seen_is_not_judged(watched):
    clean = pictures()
    assert watched(case(noisy(clean), clean)).check("label_alignment").severity not in ("error", "warning")


def test_answers_of_another_size_are_left_alone(watched):
    class Half(Restorer):
        def forward(self, x):
            return super().forward(x)[..., ::2]

    made = case(pictures())
    made.model = Half()
    made.optimizer = torch.optim.Adam(made.model.parameters())
    finding = watched(made, lambda c: train(c, lambda x: (noisy(x), x[..., ::2]))).check("label_alignment")
    assert finding.severity not in ("error", "warning")

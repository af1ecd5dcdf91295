import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import nn_inspector as nni
from tests.trainings import assert_equal

SIZE = 10


class Spots(Dataset):
    """A bright spot in noise; `ask` makes the target of its place [x, y] from -1 to 1 and its brightness."""

    def __init__(self, items, ask, augment, seed=0):
        generator = torch.Generator().manual_seed(seed)
        grid = torch.linspace(-1, 1, SIZE)
        self.places = 1.6 * torch.rand(items, 2, generator=generator) - 0.8
        self.bright = 1.0 + 2.0 * torch.rand(items, generator=generator)
        across, down = (grid - self.places[:, :1], grid - self.places[:, 1:])
        far = across[:, None, :].square() + down[:, :, None].square()
        noise = 0.1 * torch.randn(items, 1, SIZE, SIZE, generator=generator)
        self.images = self.bright[:, None, None, None] * torch.exp(-far / 0.1)[:, None] + noise
        self.targets = ask(self.places, self.bright)
        self.augment = augment

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        return self.augment(self.images[item], self.targets[item])


def across(image, target):
    return (image.flip(-1) if torch.rand(1) < 0.5 else image), target


def down(image, target):
    return (image.flip(-2) if torch.rand(1) < 0.5 else image), target


def with_targets(image, target):
    return (image.flip(-1), target * torch.tensor([-1.0, 1.0])) if torch.rand(1) < 0.5 else (image, target)


def noisy(image, target):
    return image + 0.2 * torch.randn_like(image), target


def named(image, target):
    image, target = across(image, target)
    return {"image": image, "target": target}


def with_weights(image, target):
    image, target = across(image, target)
    return image, target, torch.rand(())


def place(places, bright):
    return places


def pixels(places, bright):
    return (places + 1) / 2 * SIZE


def points(places, bright):
    return torch.stack([places, -places], 1)


def angle(places, bright):
    return places[:, 0]


def size(places, bright):
    return torch.stack([bright, places.norm(dim=1)], 1)


def parts(batch):
    return (batch["image"], batch["target"]) if isinstance(batch, dict) else batch[:2]


def finding_of(ask, augment, *, epochs=6, learns=True):
    torch.manual_seed(0)
    data = Spots(400, ask, augment)
    outputs = data.targets[0].numel()
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(SIZE * SIZE, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, outputs)
    )
    loader = DataLoader(data, batch_size=20, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for _ in range(epochs):
            for batch in loader:
                images, target = parts(batch)
                loss = nn.functional.mse_loss(model(images).reshape(target.shape), target)
                optimizer.zero_grad()
                loss.backward()
                if not learns:
                    optimizer.zero_grad()
                optimizer.step()

    with nni.watch(model, optimizer, nn.MSELoss(), train_loader=loader, loop=train, show=False) as inspector:
        train()
        before = {"random": torch.get_rng_state(), **{name: one.clone() for name, one in model.state_dict().items()}}
        found = inspector.check("label_alignment", seconds=60.0)
        assert_equal(before, {"random": torch.get_rng_state(), **dict(model.state_dict())})
    return found


@pytest.mark.parametrize(
    ("ask", "augment", "said"),
    [
        (place, across, ("flipped left to right", "middle (0)", "of target 0 a copy", "how far it is")),
        (place, named, ("flipped left to right", "of target 0 a copy")),
        (pixels, down, ("flipped upside down", "middle (5)", "of target 1 a copy")),
        (points, across, ("flipped left to right", "of targets 0, 2 a copy", "how far they are")),
        (angle, across, ("flipped left to right", "of target 0 a copy")),
    ],
    ids=["places", "a mapping", "pixels", "several points", "an angle"],
)
def test_places_that_stay_when_their_image_is_flipped_are_an_error(ask, augment, said):
    finding = finding_of(ask, augment)
    assert finding.severity == "error", finding.message
    assert "at random, and their targets stay as they were" in finding.message
    assert all(one in finding.message for one in said), finding.message
    assert finding.evidence["explained"] < 0.25
    assert finding.evidence["explained_of_distance"] > 0.5
    assert "Change the targets with the image" in finding.remedy.text
    assert finding.basis == "experiment"


@pytest.mark.parametrize(
    ("ask", "augment", "options"),
    [
        (place, with_targets, {}),
        (size, across, {}),
        (size, across, {"learns": False}),
        (place, noisy, {"learns": False}),
        (place, across, {"epochs": 0}),
        (place, with_weights, {}),
    ],
    ids=["targets as well", "a size", "a size, and nothing learned", "noise", "before training", "more numbers"],
)
def test_what_does_not_depend_on_the_side_passes(ask, augment, options):
    assert "stay as they were" not in finding_of(ask, augment, **options).message

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import nn_inspector as nni
from nn_inspector.checks.data.turned import TURNS, turned


def scenes(items=64, size=16, channels=1, noise=0.4, seed=0):
    """Rectangles somewhere in noisy images, and where they are."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(items, size, size)
    for mask in masks:
        top, left = torch.randint(0, size - 5, (2,), generator=generator).tolist()
        mask[top : top + 5, left : left + 3] = 1.0
    images = masks[:, None].repeat(1, channels, 1, 1)
    images[:, 0] += noise * torch.randn(items, size, size, generator=generator)
    return images, masks


BACK = {"turned by a quarter": "turned back by a quarter", "turned back by a quarter": "turned by a quarter"}


@pytest.mark.parametrize("how", TURNS)
def test_masks_in_another_position_are_seen_and_how_they_would_fit(how):
    images, masks = scenes()
    found = turned((images, TURNS[how](masks)))
    assert found.how == BACK.get(how, how)
    assert found.share > 0.9


@pytest.mark.parametrize("form", [lambda m: m[:, None], lambda m: m.long(), lambda m: 1 - m, lambda m: 3 * m - 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_masks_that_lie_right_are_not_seen_turned(form, channels):
    images, masks = scenes(channels=channels)
    found = turned((images, form(masks)))
    assert found is None or found.share < 0.05


def test_only_one_kind_of_turn_fits_images_that_are_not_square():
    images, masks = scenes()
    found = turned((images[..., :12], masks[..., :12].flip(-1)))
    assert found.how == "flipped left to right"


@pytest.mark.parametrize(
    "batch",
    [
        (torch.randn(64, 1, 16, 16), torch.randn(64, 16, 16)),  # nothing goes with anything
        (torch.randn(64, 1, 16, 16), torch.randint(0, 3, (64,))),
        (torch.randn(64, 8), torch.randn(64, 8)),
        tuple(part[:8] for part in scenes()),
        torch.randn(64, 1, 16, 16),
    ],
)
def test_other_batches_say_nothing(batch):
    assert turned(batch) is None


class Augmented(Dataset):
    def __init__(self, *, both):
        self.images, self.masks = scenes(200)
        self.both = both

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image, mask = self.images[index], self.masks[index : index + 1]
        if torch.rand(1) < 0.5:
            image, mask = image.flip(-1), mask.flip(-1) if self.both else mask
        return image, mask


@pytest.mark.parametrize(("both", "severity"), [(False, "error"), (True, "ok")])
def test_images_that_are_flipped_without_their_masks_are_an_error(both, severity):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.01), nn.BCEWithLogitsLoss()
    loader = DataLoader(Augmented(both=both), batch_size=20, shuffle=True)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(3):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
        found = inspector.check("label_alignment")
    assert (found.severity == "error") == (severity == "error"), found.message
    if severity == "error":
        assert "flipped left to right" in found.message
        assert found.basis == "structure"

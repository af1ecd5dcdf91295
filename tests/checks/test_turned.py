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


def rooms(items=128, size=16, *, wide=None, noise=0.3, share=0.5, turn=lambda image: image.flip(-1)):
    """Images with a bright rectangle, some of them turned, and the corners [x1, y1, x2, y2] before that, in pixels."""
    generator = torch.Generator().manual_seed(0)
    wide = wide or size
    images = noise * torch.randn(items, 1, size, wide, generator=generator)
    boxes = torch.zeros(items, 4)
    for image, box in zip(images, boxes, strict=True):
        width, height = torch.randint(4, 8, (2,), generator=generator).tolist()
        left = int(torch.randint(0, wide - width, (1,), generator=generator))
        top = int(torch.randint(0, size - height, (1,), generator=generator))
        image[:, top : top + height, left : left + width] += 1.0
        box.copy_(torch.tensor([left, top, left + width, top + height]))
    chosen = torch.rand(items, generator=generator) < share
    images[chosen] = turn(images[chosen])
    return images, boxes


FORMS = {
    "corners": lambda b: b,
    "shares": lambda b: b / 16,
    "down first": lambda b: b[:, [1, 0, 3, 2]],
    "corner and size": lambda b: torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1),
    "middle and size": lambda b: torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1) / 16,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_boxes_that_were_not_flipped_are_seen_however_they_are_written(form):
    images, boxes = rooms()
    found = turned((images, form(boxes)))
    assert found.what == "box"
    assert found.how == "flipped left to right"
    assert 0.3 < found.share < 0.7


def test_boxes_beside_other_targets_are_seen():
    images, boxes = rooms(turn=lambda image: image.flip(-2))
    found = turned({"image": images, "box": boxes, "kind": torch.arange(len(images)) % 3})
    assert (found.what, found.how) == ("box", "flipped upside down")


def standardized(boxes):
    return (boxes - boxes.mean(0)) / boxes.std(0)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_boxes_that_all_lie_alike_are_not_judged(form, share):
    images, boxes = rooms(share=share)
    assert turned((images, form(boxes))) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda images, boxes: (images, standardized(boxes)),
        lambda images, boxes: (images, boxes / 16, boxes / 16),  # which of them is not known
        lambda images, boxes: (images, torch.rand(len(images), 4)),
        lambda images, boxes: (images, boxes[:, :2]),
        lambda images, boxes: (torch.randn_like(images), boxes),
        lambda images, boxes: (images[:20], boxes[:20]),
        lambda images, boxes: (images, boxes * 100),
        lambda images, boxes: (images, boxes * float("nan")),
        lambda images, boxes: (images + images.flip(-1), boxes),  # one on either side
        lambda images, boxes: (images, torch.zeros_like(boxes)),
    ],
)
def test_numbers_that_do_not_tell_how_they_lie_say_nothing(change):
    assert turned(change(*rooms())) is None


def test_pixels_of_images_that_are_not_square_are_left_alone():
    assert turned(rooms(wide=24)) is None


class Boxed(Dataset):
    def __init__(self, *, both):
        self.images, self.boxes = rooms(300, share=0.0)
        self.both = both

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image, (x1, y1, x2, y2) = self.images[index], self.boxes[index] / 16
        if torch.rand(1) < 0.5:
            image, (x1, x2) = image.flip(-1), (1 - x2, 1 - x1) if self.both else (x1, x2)
        return image, torch.stack([x1, y1, x2, y2])


@pytest.mark.parametrize("both", [False, True])
def test_images_that_are_flipped_without_their_boxes_are_an_error(both):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.003), nn.SmoothL1Loss()
    loader = DataLoader(Boxed(both=both), batch_size=20, shuffle=True)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(6):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
        found = inspector.check("label_alignment")
    assert (found.severity == "error") == (not both), found.message
    if not both:
        assert "fit better when the box is flipped left to right" in found.message
        assert "width - x2" in found.remedy.code

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import nn_inspector as nni
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource
from tests.trainings import assert_equal

SIZE = 8


class Wedges(Dataset):
    """Bright corners on the left (0) or on the right (1), and a bar across (2), changed by `augment` as they are drawn."""

    def __init__(self, items, *, augment=None, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 3, (items,), generator=generator)
        self.images = 0.2 * torch.randn(items, 1, SIZE, SIZE, generator=generator)
        for image, label in zip(self.images, self.labels.tolist(), strict=True):
            row = int(torch.randint(0, SIZE - 3, (1,), generator=generator))
            if label == 2:
                image[0, row] += 1.0
            else:
                image[0, row : row + 3, slice(0, 3) if label == 0 else slice(SIZE - 3, SIZE)] += 1.0
        self.augment = augment or (lambda image, label: (image, label))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return self.augment(self.images[place], int(self.labels[place]))


def flipped(image, label):
    return (image.flip(-1) if torch.rand(1) < 0.5 else image), label


def flipped_with_its_label(image, label):
    return (image.flip(-1), {0: 1, 1: 0}.get(label, label)) if torch.rand(1) < 0.5 else (image, label)


def upside_down(image, label):
    return (image.flip(-2) if torch.rand(1) < 0.5 else image), label


def noisy(image, label):
    return image + 0.3 * torch.randn_like(image), label


def finding_of(augment, *, validation=None, epochs=8):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 24), nn.ReLU(), nn.Linear(24, 3)
    )  # fmt: skip
    loader = DataLoader(Wedges(600, augment=augment), batch_size=20, shuffle=True)
    val_loader = DataLoader(Wedges(300, augment=validation, seed=1), batch_size=50)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=3e-3), nn.CrossEntropyLoss()
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, val_loader=val_loader, show=False) as inspector:
        for _ in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                loss_fn(model(images), labels).backward()
                optimizer.step()
        before = {"random": torch.get_rng_state(), **{name: one.clone() for name, one in model.state_dict().items()}}
        found = inspector.check("label_alignment", seconds=60.0)
        assert_equal(before, {"random": torch.get_rng_state(), **dict(model.state_dict())})
    return found


def test_flips_that_make_one_class_of_another_are_an_error():
    finding = finding_of(flipped)
    assert finding.severity == "error", finding.message
    assert "flipped left to right at random, with their label left as it is" in finding.message
    assert "class 0 looks like class 1" in finding.message
    assert "label.get" not in finding.remedy.code
    assert "Leave this augmentation out" in finding.remedy.text
    assert finding.evidence["taken_if_turned"] > 0.7
    assert finding.basis == "experiment"


@pytest.mark.parametrize(
    ("augment", "options"),
    [
        (flipped_with_its_label, {}),
        (upside_down, {}),
        (noisy, {}),
        (None, {}),
        (flipped, {"validation": flipped}),
        (flipped, {"epochs": 0}),
    ],
    ids=["the label as well", "another flip", "noise", "nothing", "in both", "before training"],
)
def test_augmentation_that_keeps_the_classes_passes(augment, options):
    finding = finding_of(augment, **options)
    assert "at random" not in finding.message


def test_the_same_items_are_drawn_again():
    once, twice = BatchSource(DataLoader(Wedges(40, augment=flipped), batch_size=4)).drawn_again(16)
    assert len(once[0]) == 16
    assert torch.equal(once[1], twice[1])
    assert not torch.equal(once[0], twice[0])
    same = [bool(torch.equal(a, b) or torch.equal(a, b.flip(-1))) for a, b in zip(once[0], twice[0], strict=True)]
    assert all(same)
    with pytest.raises(ExperimentError, match="by their number"):
        BatchSource([once]).drawn_again(4)

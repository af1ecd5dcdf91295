"""Numbers that wrap around in a format of one byte."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tests import scene_data as data
from tests.faults.symptoms import OVERFIT, STUCK
from tests.scenes import Scene, fault

KIND = "data/wrapped_around"
SYMPTOMS = STUCK | OVERFIT | {"split_shift", "oscillation", "training_length", "label_alignment", "one_batch_fit"}


class Scans(Dataset):
    """Pictures in bytes, [items, 8, 8], lit in another way each time."""

    def __init__(self, pictures, labels, light, seed=0):
        self.pictures, self.labels, self.light = pictures, labels, light
        self.random = np.random.default_rng(seed)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        picture = self.light(self.pictures[index], self.random.integers(20, 110))
        return torch.from_numpy(picture)[None].float() / 255 - 0.5, int(self.labels[index])


def added_in_bytes(picture, light):
    return picture + light.astype(np.uint8)


def added_and_clipped(picture, light):
    return (picture.astype(np.int16) + light).clip(0, 255).astype(np.uint8)


@fault("own-brightness-in-bytes", kind=KIND, causes={"input_scale"}, symptoms=SYMPTOMS, learns=0.75)
def brightness_in_bytes(repaired, seed):
    X, y, X_val, y_val = (part.numpy() for part in data.digits(seed, raw=True))
    pictures, val_pictures = ((110 + part[:, 0] * 0.45).astype(np.uint8) for part in (X, X_val))
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    light = added_and_clipped if repaired else added_in_bytes
    loader = DataLoader(Scans(pictures, y, light, seed), batch_size=64, shuffle=True)
    inputs = torch.from_numpy(val_pictures)[:, None].float() / 255 - 0.5

    def train():
        for epoch in range(12):
            for picture, label in loader:
                optimizer.zero_grad()
                loss = criterion(net(picture), label)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}: {loss.item():.3f}")

    def score():
        return data.accuracy(net, inputs, torch.from_numpy(y_val))

    return Scene(net, optimizer, criterion, loader, train, score=score)


class Readings(Dataset):
    """Counts of a sensor; kept small to save memory."""

    def __init__(self, rows, targets, dtype):
        self.rows, self.targets, self.dtype = rows, targets, dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        small = self.rows[index].astype(self.dtype)
        return torch.from_numpy(small).float() / 100, torch.tensor([self.targets[index]], dtype=torch.float32)


@fault("own-counts-cast-to-int8", kind=KIND, causes={"input_scale"}, symptoms=SYMPTOMS, learns=0.75)
def counts_cast_to_int8(repaired, seed):
    random = np.random.default_rng(seed)
    rows = random.integers(0, 230, (1200, 6))
    targets = rows @ np.linspace(-1, 1, 6) / 100 + np.sin(rows[:, 0] / 40)
    targets = (targets - targets.mean()) / targets.std()
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.MSELoss()
    dtype = np.int16 if repaired else np.int8
    loader = DataLoader(Readings(rows[:1000], targets[:1000], dtype), batch_size=32, shuffle=True)
    val = Readings(rows[1000:], targets[1000:], dtype)
    val_loader = DataLoader(val, batch_size=200)

    def train():
        for _epoch in range(15):
            for x, target in loader:
                loss = loss_fn(model(x), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        return data.explained(model, *next(iter(val_loader)))

    return Scene(model, optimizer, loss_fn, loader, train, val_loader=val_loader, score=score)

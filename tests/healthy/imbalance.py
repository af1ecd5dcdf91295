"""Labels that are unbalanced or partly wrong, dealt with as they should be."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, classification, digits, split
from tests.scenes import Scene, healthy


def balanced_accuracy(model, x, y):
    with evaluating(model):
        hit = model(x).argmax(1) == y
    return torch.stack([hit[y == label].float().mean() for label in y.unique()]).mean().item()


@healthy("weighted_classes", kind="data", learns=0.85)
def weighted_classes(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, items=2000, features=10, weights=[0.9, 0.1], class_sep=2.0)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
    counts = torch.bincount(y).float()
    criterion = nn.CrossEntropyLoss(weight=counts.sum() / (2 * counts))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for _ in range(12):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    score = lambda: balanced_accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, loader, train, score=score)


@healthy("weighted_sampler", kind="data", learns=0.75)
def weighted_sampler(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, items=2000, features=10, classes=3, weights=[0.8, 0.15, 0.05])
    frequency = torch.bincount(y)
    sampler = WeightedRandomSampler((1.0 / frequency)[y], num_samples=len(y), replacement=True)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, sampler=sampler)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(12):
            losses = []
            for xb, yb in loader:
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            print(epoch, torch.stack(losses).mean().item())

    score = lambda: balanced_accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, loader, train, score=score)


@healthy("rare_class_that_can_be_learned", kind="data", learns=0.85)
def rare_class_that_can_be_learned(seed):
    torch.manual_seed(seed)
    labels = (torch.rand(2000) < 0.05).float()
    x = torch.randn(2000, 8) + 2.5 * labels[:, None] * torch.tensor([1.0, -1, 1, 0, 0, 0, 0, 0])
    x, y, x_val, y_val = split((x - x.mean(0)) / x.std(0), labels, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()

    def train():
        for _ in range(20):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb).squeeze(1), yb)
                loss.backward()
                optimizer.step()

    def f1():
        with evaluating(model):
            found = model(x_val).squeeze(1) > 0
        return (2 * (found & y_val.bool()).sum() / (found.sum() + y_val.sum())).item()

    return Scene(model, optimizer, criterion, loader, train, score=f1)


@healthy("rare_class_with_positive_weight", kind="data", learns=0.85)
def rare_class_with_positive_weight(seed):
    torch.manual_seed(seed)
    labels = (torch.rand(1500, 1) < 0.1).float()
    x = torch.randn(1500, 6) + labels * torch.tensor([2.0, -1.5, 1.5, 0, 0, 0])
    x, y, x_val, y_val = split((x - x.mean(0)) / x.std(0), labels, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=60, shuffle=True)
    model = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1))
    pos_weight = (y == 0).sum() / (y == 1).sum()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for _ in range(12):
            for xb, yb in loader:
                loss = F.binary_cross_entropy_with_logits(model(xb), yb, pos_weight=pos_weight)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            hit = (model(x_val) > 0) == y_val.bool()
        return ((hit[y_val == 1].float().mean() + hit[y_val == 0].float().mean()) / 2).item()

    return Scene(model, optimizer, None, loader, train, score=score)


@healthy("noisy_labels", kind="data", learns=0.88)
def noisy_labels(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    wrong = torch.rand(len(y)) < 0.2
    y = torch.where(wrong, torch.randint(0, 10, (len(y),)), y)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        model.train()
        for _ in range(15):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))

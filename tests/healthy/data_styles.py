"""Loaders of every kind: lists, dicts, streams, one batch; inputs that are naturally not standardised."""

import math

import torch
from sklearn import datasets
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from tests.healthy.data import moons, tweets
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, classification, digits, explained, split, table
from tests.scenes import Scene, healthy


@healthy("list_of_batches", kind="data", learns=0.9)
def list_of_batches(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    batches = list(zip(x.split(64), y.split(64), strict=True))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(12):
            for i in torch.randperm(len(batches)).tolist():
                images, labels = batches[i]
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, batches, train, score=lambda: accuracy(model, x_val, y_val))


class Reviews(Dataset):
    def __init__(self, tokens, labels):
        self.tokens, self.labels = tokens, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        ids = self.tokens[i]
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": self.labels[i]}


class MeanPooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = nn.Embedding(100, 24, padding_idx=0)
        self.classifier = nn.Sequential(nn.Linear(24, 24), nn.Tanh(), nn.Dropout(0.1), nn.Linear(24, 2))

    def forward(self, input_ids, attention_mask, labels=None):
        mask = attention_mask.unsqueeze(-1).float()
        pooled = (self.embeddings(input_ids) * mask).sum(1) / mask.sum(1)
        logits = self.classifier(pooled)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


@healthy("batches_that_are_dicts", kind="data", learns=0.9)
def batches_that_are_dicts(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = tweets(seed)
    train_dataloader = DataLoader(Reviews(x, y), batch_size=32, shuffle=True)
    eval_dataloader = DataLoader(Reviews(x_val, y_val), batch_size=64)
    model = MeanPooled()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(10):
            model.train()
            for batch in train_dataloader:
                outputs = model(**batch)
                loss = outputs["loss"]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            model.eval()
            correct = 0
            for batch in eval_dataloader:
                with torch.no_grad():
                    outputs = model(**batch)
                correct += (outputs["logits"].argmax(dim=-1) == batch["labels"]).sum().item()
            print(f"epoch {epoch}: {correct / len(eval_dataloader.dataset):.3f}")

    def score():
        with evaluating(model):
            return (model(x_val, (x_val != 0).long())["logits"].argmax(1) == y_val).float().mean().item()

    return Scene(model, optimizer, None, train_dataloader, train, eval_dataloader, score)


class Stream(IterableDataset):
    """Endless points in a spiral; an epoch takes the first of them."""

    def __init__(self, items, seed):
        self.items, self.generator = items, torch.Generator().manual_seed(seed)

    def __iter__(self):
        for _ in range(self.items):
            label = torch.randint(0, 2, (), generator=self.generator)
            r = torch.rand((), generator=self.generator)
            angle = math.pi * (1.5 * r + label)
            noise = 0.05 * torch.randn(2, generator=self.generator)
            yield 2 * r * torch.stack([angle.cos(), angle.sin()]) + noise, label


@healthy("iterable_data_set", kind="data", learns=0.88)
def iterable_data_set(seed):
    torch.manual_seed(seed)
    loader = DataLoader(Stream(1600, seed), batch_size=32)
    x_val, y_val = map(torch.stack, zip(*Stream(400, seed + 50), strict=True))
    model = nn.Sequential(nn.Linear(2, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for _epoch in range(6):
            for point, arm in loader:
                optimizer.zero_grad()
                loss = criterion(model(point), arm)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("all_data_in_one_batch", kind="data", learns=0.93)
def all_data_in_one_batch(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = moons(seed, items=400)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(300):
            optimizer.zero_grad()
            outputs = model(x)
            loss = criterion(outputs, y)
            loss.backward()
            optimizer.step()
            if epoch % 50 == 0:
                print(f"Epoch {epoch} loss {loss.item():.4f}")

    return Scene(model, optimizer, criterion, [(x, y)], train, score=lambda: accuracy(model, x_val, y_val))


@healthy("easy_examples_first", kind="data", learns=0.88)
def easy_examples_first(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, classes=3, class_sep=1.5)
    centres = torch.stack([x[y == label].mean(0) for label in range(3)])
    order = (x - centres[y]).norm(dim=1).argsort()
    x, y = x[order], y[order]
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for epoch in range(15):
            share = min(1.0, 0.4 + 0.1 * epoch)
            easy = Subset(loader.dataset, range(int(share * len(x))))
            for xb, yb in DataLoader(easy, batch_size=32, shuffle=True):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"{share:.0%} of the data: {loss.item():.3f}")

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("categories_as_one_hot", kind="data", learns=0.8)
def categories_as_one_hot(seed):
    torch.manual_seed(seed)
    make, fuel, gear = torch.randint(0, 8, (1200,)), torch.randint(0, 3, (1200,)), torch.randint(0, 2, (1200,))
    worth = torch.randn(8)[make] + 0.7 * torch.randn(3)[fuel] * (2 * gear - 1) + 0.1 * torch.randn(1200)
    inputs = torch.cat([F.one_hot(make, 8), F.one_hot(fuel, 3), F.one_hot(gear, 2)], 1).float()
    x, y, x_val, y_val = split(inputs, ((worth - worth.mean()) / worth.std())[:, None], seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for _ in range(15):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("images_in_zero_to_one", kind="data", learns=0.9)
def images_in_zero_to_one(seed):
    torch.manual_seed(seed)
    bunch = datasets.load_digits()
    images = torch.tensor(bunch.images / 16.0, dtype=torch.float32).unsqueeze(1)
    x, y, x_val, y_val = split(images, torch.tensor(bunch.target), seed=seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=32, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(8):
            model.train()
            for data, target in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(data), target)
                loss.backward()
                optimizer.step()
            model.eval()
            correct = 0
            with torch.no_grad():
                for data, target in test_loader:
                    correct += (model(data).argmax(1) == target).sum().item()
            print(f"{epoch}: {100 * correct / len(y_val):.1f} %")

    score = lambda: accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, test_loader, score)


class MixedTable(nn.Module):
    """Categories through embeddings, numbers through batch norm."""

    def __init__(self, sizes=(6, 4), numbers=13):
        super().__init__()
        self.embeds = nn.ModuleList(nn.Embedding(n, min(8, (n + 1) // 2)) for n in sizes)
        self.bn = nn.BatchNorm1d(numbers)
        width = sum(e.embedding_dim for e in self.embeds) + numbers
        self.layers = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))

    def forward(self, cats, nums):
        embedded = [e(cats[:, i]) for i, e in enumerate(self.embeds)]
        return self.layers(torch.cat([*embedded, self.bn(nums)], dim=1))


@healthy("numbers_and_categories", kind="data", learns=0.88)
def numbers_and_categories(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("wine", seed)
    region = lambda labels: torch.where(torch.rand(len(labels)) < 0.6, labels + 1, torch.randint(0, 4, (len(labels),)))
    cats, cats_val = (torch.stack([torch.randint(0, 6, (len(v),)), region(v)], 1) for v in (y, y_val))
    loader = DataLoader(TensorDataset(cats, x, y), batch_size=16, shuffle=True, drop_last=True)
    model = MixedTable()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        model.train()
        for _ in range(20):
            for c, n, target in loader:
                loss = F.cross_entropy(model(c, n), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return (model(cats_val, x_val).argmax(1) == y_val).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)

"""Losses that are summed, averaged twice, broadcast or reduced along the wrong axis."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, STUCK, UNSTABLE
from tests.scenes import Scene, fault


class Regressor(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.fc1 = nn.Linear(features, 64)
        self.fc2 = nn.Linear(64, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))


BROADCAST = {"loss_reduction", "loss_match"}


@fault("GH-CoursIA-926", kind="loss_mismatch/broadcast", causes=BROADCAST, symptoms=STUCK, learns=0.3)
def progression_of_a_disease(repaired, seed):
    X, y, X_val, y_val = data.table("diabetes", seed)
    torch.manual_seed(seed)
    model = Regressor(10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(30):
            epoch_loss = 0.0
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
            print(f"Epoch {epoch}: {epoch_loss / len(train_loader):.4f}")

    def train_squeezed():
        for epoch in range(30):
            epoch_loss = 0.0
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                outputs = model(inputs).squeeze(-1)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
            print(f"Epoch {epoch}: {epoch_loss / len(train_loader):.4f}")

    loop = train_squeezed if repaired else train
    score = lambda: data.explained(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, loop, score=score)


@fault("TDC-syn-wrong_loss_broadcast-regrNN", kind="loss_mismatch/broadcast", causes=BROADCAST, symptoms=STUCK,
       learns=0.8)  # fmt: skip
def targets_without_a_column(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    torch.manual_seed(seed)
    model = Regressor(9)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=1e-5)
    loader = DataLoader(TensorDataset(X, y if repaired else y.squeeze(1)), batch_size=64, shuffle=True)

    def train():
        for _ in range(40):
            for x, t in loader:
                optimizer.zero_grad()
                prediction = model(x)
                loss = ((prediction - t) ** 2).mean()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.explained(model, X_val, y_val))


SUMMED = {"loss_reduction", "learning_rate"}


@fault("GH-jax-3113", kind="loss_mismatch/sum_reduction", causes=SUMMED, symptoms=UNSTABLE, learns=0.9)
def summed_over_a_large_batch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    criterion = nn.CrossEntropyLoss() if repaired else nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True)

    def train():
        for epoch in range(25):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("GH-deepinpy-13", kind="loss_mismatch/sum_reduction", causes=SUMMED, symptoms=UNSTABLE, learns=0.5)
def summed_over_pixels(repaired, seed):
    X, _, X_val, _ = data.digits(seed)
    torch.manual_seed(seed)

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = nn.ModuleList(
                nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))
                for _ in range(2)
            )

        def forward(self, x):
            for block in self.steps:
                x = x + block(x)
            return x

    net = Denoiser()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    criterion = nn.MSELoss(reduction="mean" if repaired else "sum")
    noisy, noisy_val = X + 0.7 * torch.randn_like(X), X_val + 0.7 * torch.randn_like(X_val)
    loader = DataLoader(TensorDataset(noisy[:600], X[:600]), batch_size=32, shuffle=True)

    def train():
        for epoch in range(10):
            for corrupted, clean in loader:
                optimizer.zero_grad()
                loss = criterion(net(corrupted), clean)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch} loss {loss.item():.4g}")

    return Scene(net, optimizer, criterion, loader, train, score=lambda: data.explained(net, noisy_val, X_val))


@fault("TDC-TFE_742675d", kind="numerics/unsafe_log_sum", causes=SUMMED | {"loss_match", "nonfinite"},
       symptoms=UNSTABLE, learns=-0.3)  # fmt: skip
def softmax_regression(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    X, X_val = X.flatten(1) / 255, X_val.flatten(1) / 255
    torch.manual_seed(seed)
    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5 if repaired else 0.1)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=100, shuffle=True)

    def train():
        for epoch in range(25):
            for x, t in loader:
                optimizer.zero_grad()
                p = torch.softmax(model(x), dim=1)
                loss = torch.mean(-torch.sum(t * torch.log(p), dim=1))
                loss.backward()
                optimizer.step()

    def train_sum():
        for epoch in range(25):
            for x, t in loader:
                optimizer.zero_grad()
                p = torch.softmax(model(x), dim=1)
                loss = -torch.sum(t * torch.log(p))
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            return -F.cross_entropy(model(X_val), y_val).item()

    return Scene(model, optimizer, None, loader, train if repaired else train_sum, score=score)


@fault("TDC-IPS_1", kind="numerics/unsafe_log_sum", causes={"nonfinite", "loss_match", "loss_reduction"},
       symptoms=UNSTABLE, learns=0.9)  # fmt: skip
def probability_that_underflows(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip
    for layer in net:
        if hasattr(layer, "weight") and not repaired:
            nn.init.trunc_normal_(layer.weight, std=0.8, a=-2, b=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=50, shuffle=True)

    def train():
        for epoch in range(6):
            net.train()
            for x, y_ in loader:
                loss = F.cross_entropy(net(x), y_)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_by_hand():
        for epoch in range(6):
            net.train()
            for x, y_ in loader:
                y_conv = F.softmax(net(x), dim=1)
                cross_entropy = -torch.sum(y_ * torch.log(y_conv))
                optimizer.zero_grad()
                cross_entropy.backward()
                optimizer.step()

    loop = train if repaired else train_by_hand
    return Scene(net, optimizer, None, loader, loop, score=lambda: data.accuracy(net, X_val, y_val))


@fault("own-averaged-twice", kind="loss_mismatch/averaged_twice", causes=SUMMED, symptoms=NO_SIGNAL | {"training_length"},
       learns=0.9)  # fmt: skip
def divided_by_the_batch_again(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(15):
            for images, labels in loader:
                loss = criterion(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_divided():
        for epoch in range(15):
            for images, labels in loader:
                loss = criterion(model(images), labels) / images.size(0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_divided
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-padding-counted", kind="loss_mismatch/padding_counted", causes={"loss_reduction"},
       symptoms=STUCK | {"initial_loss", "label_balance", "sequence_lengths"}, learns=0.8)  # fmt: skip
def mostly_padding(repaired, seed):
    torch.manual_seed(seed)
    length, words = 40, 12
    tokens = torch.zeros(400, length, dtype=torch.long)
    tags = torch.zeros(400, length, dtype=torch.long)
    for i in range(400):
        n = int(torch.randint(2, 4, ()))
        tokens[i, :n] = torch.randint(1, words, (n,))
        tags[i, :n] = 1 + (tokens[i, :n] * 5 + 3) % 4

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(words, 8)
            self.out = nn.Linear(8, 5)

        def forward(self, x):
            return self.out(self.embedding(x))

    model = Tagger()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 if not repaired else 0.5)
    loader = DataLoader(TensorDataset(tokens, tags), batch_size=20, shuffle=True)
    criterion = nn.CrossEntropyLoss(ignore_index=0) if repaired else nn.CrossEntropyLoss()

    def train():
        for epoch in range(10):
            for sentence, tag in loader:
                optimizer.zero_grad()
                scores = model(sentence)
                loss = criterion(scores.view(-1, 5), tag.view(-1))
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            hit = model(tokens).argmax(2) == tags
            return hit[tokens > 0].float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)

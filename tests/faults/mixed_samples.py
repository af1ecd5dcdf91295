"""Outputs that depend on the other items of the batch, or on the wrong axis."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import OVERFIT, STUCK
from tests.scenes import Scene, fault

CAUSES = {"batch_dependency"}
SYMPTOMS = STUCK | OVERFIT | {"train_eval_mode", "retained_state", "vanishing_gradients"}


def depends_on_neighbours(model, inputs):
    """Whether the first output changes with the other items of the batch."""
    model.eval()
    with torch.no_grad():
        others = inputs.clone()
        others[1:] = inputs[:1]
        return not torch.allclose(model(inputs)[0], model(others)[0], atol=1e-4)


class RowReader(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.lstm = nn.LSTM(8, 32, 2, batch_first=batch_first)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1, :])


@fault("GH-pytorch-1538", kind="recurrent/shape/batch_first_missing", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def rows_of_a_digit(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, X_val = X.squeeze(1), X_val.squeeze(1)
    torch.manual_seed(seed)
    model = RowReader(batch_first=repaired)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=100, shuffle=True)

    def train():
        for epoch in range(8):
            for i, (images, labels) in enumerate(train_loader):
                images = images.reshape(-1, 8, 8)
                outputs = model(images)
                loss = criterion(outputs, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if (i + 1) % 10 == 0:
                    print(f"Epoch {epoch + 1}, Step {i + 1}, Loss {loss.item():.4f}")

    return Scene(model, optimizer, criterion, train_loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("GH-pytorch-2674", kind="recurrent/shape/batch_first_missing", causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def reviews(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 50, (600, 12))
    y = (tokens < 8).any(dim=1).long()

    class Sentiment(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(50, 16)
            self.gru = nn.GRU(16, 24, batch_first=True) if repaired else nn.GRU(16, 24)
            self.l_out = nn.Linear(24, 2)

        def forward(self, x):
            x = self.embedding(x)
            x, _ = self.gru(x)
            x = x[:, -1, :].squeeze()
            return self.l_out(x)

    sym = Sentiment()
    optimizer = torch.optim.Adam(sym.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(tokens, y), batch_size=50, shuffle=True)

    def train():
        sym.train()
        for epoch in range(15):
            for review, target in loader:
                optimizer.zero_grad()
                output = sym(review)
                loss = criterion(output, target)
                loss.backward()
                optimizer.step()

    return Scene(sym, optimizer, criterion, loader, train, score=lambda: data.accuracy(sym, tokens, y))


@fault("GH-fairseq-239", kind="recurrent/shape/view_mixes_batch", causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def directions_joined_by_a_view(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 10, (600, 6))
    y = tokens[:, 0]

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(10, 16)
            self.lstm = nn.LSTM(16, 24, bidirectional=True, batch_first=True)
            self.out = nn.Linear(48, 10)

        def forward(self, x):
            _, (h, _) = self.lstm(self.embedding(x))
            if repaired:
                h = h.transpose(0, 1).reshape(len(x), 48)
            else:
                h = h.view(len(x), 48)
            return self.out(h)

    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(tokens, y), batch_size=30, shuffle=True)

    def train():
        for epoch in range(8):
            for source, first in loader:
                loss = F.cross_entropy(model(source), first)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, tokens, y))


@fault("GH-transformer-scratch-4", kind="architecture/missing_permute", causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def heads_without_a_permute(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 12, (400, 6))

    class Attention(nn.Module):
        def __init__(self, dim=16, heads=2):
            super().__init__()
            self.heads, self.size = heads, dim // heads
            self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.o = nn.Linear(dim, dim)

        def split(self, x):
            length, batch, _ = x.shape
            if repaired:
                return x.reshape(length, batch, self.heads, self.size).permute(1, 2, 0, 3)
            return x.reshape(batch, self.heads, length, self.size)

        def forward(self, x):
            q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
            weights = torch.softmax(q @ k.transpose(-2, -1) / self.size**0.5, dim=-1)
            mixed = weights @ v
            if repaired:
                return self.o(mixed.permute(2, 0, 1, 3).reshape(x.shape))
            return self.o(mixed.reshape(x.shape))

    class Copier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(12, 16)
            self.position = nn.Parameter(torch.randn(6, 1, 16) * 0.5)
            self.attention = Attention()
            self.norm = nn.LayerNorm(16)
            self.ff = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
            self.out = nn.Linear(16, 12)

        def forward(self, x):
            h = self.embedding(x).transpose(0, 1) + self.position
            h = self.norm(h + self.attention(h))
            return self.out(h + self.ff(h)).transpose(0, 1)

    model = Copier()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(tokens, tokens), batch_size=40, shuffle=True)

    def train():
        model.train()
        for epoch in range(15):
            for source, target in loader:
                optimizer.zero_grad()
                scores = model(source)
                loss = criterion(scores.reshape(-1, 12), target.reshape(-1))
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            return (model(tokens).argmax(-1) == tokens).float().mean().item()

    leaks = lambda: depends_on_neighbours(model, tokens[:40])
    return Scene(model, optimizer, criterion, loader, train, score=score, symptom=leaks)


@fault("TDC-syn-wrong_softmax_impl-deepCNN", kind="loss_mismatch/softmax_over_batch", causes=CAUSES | {"loss_match"},
       symptoms=SYMPTOMS | {"output_layer", "normalization"}, learns=0.85)  # fmt: skip
def softmax_over_the_batch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 10), nn.Softmax(dim=1 if repaired else 0),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    train_loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=64, shuffle=True)

    def train():
        for epoch in range(6):
            for image, target in train_loader:
                optimizer.zero_grad()
                probability = model(image)
                loss = -(target * torch.log(probability + 1e-7)).sum(dim=1).mean()
                loss.backward()
                optimizer.step()

    leaks = lambda: depends_on_neighbours(model, X_val[:64])
    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, None, train_loader, train, score=score, symptom=leaks)


@fault("TDC-syn-wrong_loss_axis-deepCNN", kind="loss_mismatch/wrong_axis", causes={"loss_match", "loss_reduction"},
       symptoms=SYMPTOMS | {"batch_dependency", "initial_loss"}, learns=-0.25)  # fmt: skip
def entropy_over_the_batch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 64),
        nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=64, shuffle=True)

    def train():
        net.train()
        for epoch in range(6):
            for image, target in loader:
                log_p = F.log_softmax(net(image), dim=1)
                loss = torch.mean(-torch.sum(target * log_p, dim=1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_along_the_batch():
        net.train()
        for epoch in range(6):
            for image, target in loader:
                log_p = F.log_softmax(net(image), dim=0)
                loss = torch.mean(-torch.sum(target * log_p, dim=0))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        net.eval()
        with torch.no_grad():
            return -F.cross_entropy(net(X_val), y_val).item()

    loop = train if repaired else train_along_the_batch
    return Scene(net, optimizer, None, loader, loop, score=score)


@fault("own-view-for-transpose", kind="architecture/view_for_transpose", causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def channels_by_a_view(repaired, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (500,), generator=generator)
    time = torch.linspace(0, 6.28, 16)
    waves = torch.sin((y.view(-1, 1) + 1) * time + torch.rand(500, 1, generator=generator))
    X = torch.stack(
        [waves, torch.randn(500, 16, generator=generator), torch.randn(500, 16, generator=generator)], dim=2
    )
    torch.manual_seed(seed)

    class Waves(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 16, 5, padding=2)
            self.fc = nn.Linear(16, 4)

        def forward(self, x):
            batch_last = x.permute(1, 2, 0)
            if repaired:
                x = batch_last.permute(2, 1, 0)
            else:
                x = batch_last.reshape(x.size(0), x.size(2), x.size(1))
            return self.fc(F.relu(self.conv(x)).amax(dim=2))

    model = Waves()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)

    def train():
        for epoch in range(12):
            for series, kind in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(series), kind)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, F.cross_entropy, loader, train, score=lambda: data.accuracy(model, X, y))

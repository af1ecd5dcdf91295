"""Raw scores where probabilities are expected."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, UNSTABLE
from tests.scenes import Scene, fault

SYMPTOMS = NO_SIGNAL | {"initial_loss", "output_layer", "training_length", "learning_rate"}


@fault("SO-64395424", kind="output_head/missing_sigmoid", causes={"loss_match", "output_layer"},
       symptoms=UNSTABLE | SYMPTOMS, learns=-0.1)  # fmt: skip
def and_gate(repaired, seed):
    torch.manual_seed(seed)
    X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 1))
    if repaired:
        model.append(nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True)

    def bce(p, t):
        p = p.clamp(1e-7, 1 - 1e-7)
        return -(t * p.log() + (1 - t) * (1 - p).log()).mean()

    def train():
        for epoch in range(300):
            for inputs, target in loader:
                optimizer.zero_grad()
                loss = bce(model(inputs), target)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            return -bce(model(X), y).item()

    return Scene(model, optimizer, bce, loader, train, score=score)


@fault("SO-54282951", kind="output_head/missing_sigmoid", causes={"loss_match", "output_layer", "hidden_activation"},
       symptoms=UNSTABLE | SYMPTOMS, learns=-0.35)  # fmt: skip
def linear_value_as_probability(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    y, y_val = (y % 2).float().unsqueeze(1), (y_val % 2).float().unsqueeze(1)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 1), nn.Flatten(), nn.Linear(512, 64), nn.ReLU() if repaired else nn.Identity(),
        nn.Dropout(0.5), nn.Linear(64, 1),
    )  # fmt: skip
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(5):
            model.train()
            for image, odd in loader:
                loss = F.binary_cross_entropy_with_logits(model(image), odd)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_probability():
        for epoch in range(5):
            model.train()
            for image, odd in loader:
                p = torch.clamp(model(image), 1e-6, 1 - 1e-6)
                loss = -torch.mean(odd * torch.log(p) + (1 - odd) * torch.log(1 - p))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        model.eval()
        with torch.no_grad():
            p = model(X_val).sigmoid() if repaired else model(X_val).clamp(1e-6, 1 - 1e-6)
            return -F.binary_cross_entropy(p, y_val).item()

    return Scene(model, optimizer, None, loader, train if repaired else train_probability, score=score)


@fault("TDC-syn-missing_softmax-baseCNN", kind="output_head/missing_softmax", causes={"loss_match", "nonfinite"},
       symptoms=UNSTABLE | SYMPTOMS, learns=0.9)  # fmt: skip
def log_of_raw_scores(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=64, shuffle=True)

    def train():
        for epoch in range(8):
            for x, target in loader:
                optimizer.zero_grad()
                p = torch.softmax(model(x), dim=1)
                loss = -(target * torch.log(p + 1e-9)).sum(1).mean()
                loss.backward()
                optimizer.step()

    def train_scores():
        for epoch in range(8):
            for x, target in loader:
                optimizer.zero_grad()
                p = model(x)
                loss = -(target * torch.log(torch.clamp(p, min=1e-9))).sum(1).mean()
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, None, loader, train if repaired else train_scores, score=score)


@fault("UMLAUT-A", kind="output_head/logits_into_prob_loss", causes={"loss_match", "input_scale"},
       symptoms=UNSTABLE | SYMPTOMS | {"regularization_share"}, learns=0.85)  # fmt: skip
def three_mistakes_at_once(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=not repaired)
    drop = 0.2 if repaired else 0.8
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(drop),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(drop),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(drop), nn.Linear(64, 10),
    )  # fmt: skip
    if repaired:
        model.append(nn.LogSoftmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.NLLLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)

    def train():
        for epoch in range(6):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in val_loader)
            print(f"epoch {epoch}: validation accuracy {hits / len(X_val):.3f}")

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)

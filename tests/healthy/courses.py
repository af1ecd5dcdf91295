"""Trainings of every course: stopped early, stopped while still improving, solved at once, never near zero."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import surface
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, digits, explained, table
from tests.scenes import Scene, healthy


def relu_net(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


@healthy("early_stopping", kind="courses", learns=0.9)
def early_stopping(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("breast_cancer", seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=64)
    model = relu_net(30, 32, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train(patience=5):
        best, waited, best_weights = float("inf"), 0, copy.deepcopy(model.state_dict())
        for epoch in range(100):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                val_loss = sum(criterion(model(xb), yb).item() * len(xb) for xb, yb in val_loader) / len(x_val)
            if val_loss < best - 1e-4:
                best, waited, best_weights = val_loss, 0, copy.deepcopy(model.state_dict())
            else:
                waited += 1
                if waited >= patience:
                    print(f"Early stopping at epoch {epoch}")
                    break
        model.load_state_dict(best_weights)

    def main():
        train(patience=5)

    score = lambda: accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, main, val_loader, score)


@healthy("short_and_converged", kind="courses", learns=0.9)
def short_and_converged(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("wine", seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = relu_net(13, 32, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for epoch in range(7):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("stopped_while_still_improving", kind="courses", learns=0.85)
def stopped_while_still_improving(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = relu_net(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def train():
        for epoch in range(5):
            running = 0.0
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.step()
                running += loss.item()
            print(f"epoch {epoch}: {running / len(loader):.3f}")

    return Scene(model, optimizer, F.cross_entropy, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("solved_in_a_few_steps", kind="courses", learns=0.99)
def solved_in_a_few_steps(seed):
    torch.manual_seed(seed)
    y = torch.randint(0, 2, (600,))
    x = torch.randn(600, 6) * 0.3 + (2.0 * y - 1)[:, None]
    loader = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=20, shuffle=True)
    model = relu_net(6, 32, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for _ in range(12):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x[500:], y[500:]))


@healthy("exact_function_to_zero_loss", kind="courses", learns=0.99)
def exact_function_to_zero_loss(seed):
    torch.manual_seed(seed)
    x = torch.randn(500, 3)
    y = x @ torch.tensor([[1.0], [-0.5], [0.25]]) + 0.3
    loader = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train():
        for epoch in range(20):
            for xb, yb in loader:
                loss = ((model(xb) - yb) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, None, loader, train, score=lambda: explained(model, x, y))


@healthy("labels_that_are_mostly_chance", kind="courses", learns=0.85)
def labels_that_are_mostly_chance(seed):
    """The best possible accuracy is about 65 %; the score compares with the true probabilities."""
    torch.manual_seed(seed)
    x = torch.randn(2000, 5)
    p = torch.sigmoid(0.9 * x[:, 0] - 0.6 * x[:, 1])
    y = torch.bernoulli(p)
    loader = DataLoader(TensorDataset(x[:1600], y[:1600]), batch_size=50, shuffle=True)
    model = relu_net(5, 8, 1)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        for _ in range(10):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb).squeeze(1), yb)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            found = torch.sigmoid(model(x[1600:]).squeeze(1))
        return torch.corrcoef(torch.stack([found, p[1600:]]))[0, 1].item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


@healthy("plateau_before_the_fall", kind="courses", learns=0.95)
def plateau_before_the_fall(seed):
    """Exclusive or of two of the inputs: the loss rests at chance for a while, then falls."""
    torch.manual_seed(seed)
    x = torch.randint(0, 2, (1000, 6)).float() * 2 - 1
    y = (x[:, 0] * x[:, 1] < 0).long()
    loader = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=40, shuffle=True)
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train():
        for epoch in range(20):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x[800:], y[800:]))


@healthy("resumed_from_a_checkpoint", kind="courses", learns=0.85)
def resumed_from_a_checkpoint(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(5, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()

    def run(epochs, checkpoint=None):
        if checkpoint is not None:
            model.load_state_dict(checkpoint["model"])
            optimizer.load_state_dict(checkpoint["optimizer"])
        for _ in range(epochs):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
        return {"model": copy.deepcopy(model.state_dict()), "optimizer": copy.deepcopy(optimizer.state_dict())}

    def train():
        checkpoint = run(8)
        for _ in range(2):
            checkpoint = run(6, checkpoint)

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("over_trained_but_learning", kind="courses", learns=0.9)
def over_trained_but_learning(seed):
    """A large network on 40 items of each class goes to zero training loss; it also does well on others."""
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    loader = DataLoader(TensorDataset(x[:400], y[:400]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=400)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(40):
            model.train()
            for xb, yb in loader:
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 10 == 9:
                model.eval()
                with torch.no_grad():
                    val = [criterion(model(xb), yb).item() for xb, yb in val_loader]
                print(epoch, loss.item(), val[0])

    return Scene(model, optimizer, criterion, loader, train, val_loader, lambda: accuracy(model, x_val, y_val))

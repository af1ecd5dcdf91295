"""Regression: targets of every usual kind, outputs bounded where the targets are."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import surface
from tests.healthy.scores import evaluating
from tests.scene_data import explained, regression, split, standardized, table
from tests.scenes import Scene, healthy


@healthy("linear_regression", kind="regression", learns=0.4)
def linear_regression(seed):
    torch.manual_seed(seed)
    X, y, X_val, y_val = table("diabetes", seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Linear(10, 1)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)

    def train():
        for epoch in range(30):
            for xb, yb in loader:
                pred = model(xb)
                loss = loss_fn(pred, yb.unsqueeze(1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 5 == 0:
                print(f"epoch {epoch}, loss {loss.item():.3f}")

    return Scene(model, optimizer, loss_fn, loader, train, score=lambda: explained(model, X_val, y_val))


@healthy("standardised_targets", kind="regression", learns=0.85)
def standardised_targets(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = regression(seed)
    price = 250 + 80 * y
    mean, std = price.mean(), price.std()
    loader = DataLoader(TensorDataset(x, price), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    mse = nn.MSELoss()

    def train():
        for epoch in range(25):
            absolute = 0.0
            for xb, yb in loader:
                pred = model(xb)
                loss = mse(pred, (yb - mean) / std)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                absolute += (pred.detach() * std + mean - yb).abs().sum().item()
            print(f"epoch {epoch}: off by {absolute / len(loader.dataset):.1f}")

    return Scene(model, optimizer, None, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("targets_of_a_small_range", kind="regression", learns=0.8)
def targets_of_a_small_range(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    y, y_val = 0.05 * y, 0.05 * y_val
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(5, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.MSELoss()

    def train():
        for _ in range(30):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


class Steering(nn.Module):
    """An angle in (-1, 1) from what a car sees."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 48)
        self.fc2 = nn.Linear(48, 24)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        return torch.tanh(self.out(F.elu(self.fc2(F.elu(self.fc1(x))))))


@healthy("tanh_output_for_bounded_targets", kind="regression", learns=0.85)
def tanh_output_for_bounded_targets(seed):
    torch.manual_seed(seed)
    x = torch.randn(1000, 6)
    angle = torch.tanh(0.8 * x[:, :1] - 0.5 * x[:, 1:2] * x[:, 2:3] + 0.05 * torch.randn(1000, 1))
    x, y, x_val, y_val = split(x, angle, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True)
    model = Steering()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        model.train()
        for epoch in range(20):
            for i, (xb, yb) in enumerate(loader):
                loss = F.mse_loss(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if i % 20 == 0:
                    print(f"epoch {epoch} batch {i} loss {loss.item():.5f}")

    return Scene(model, optimizer, None, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("sigmoid_output_for_shares", kind="regression", learns=0.85)
def sigmoid_output_for_shares(seed):
    torch.manual_seed(seed)
    x = torch.randn(800, 5)
    share = torch.sigmoid(1.5 * x[:, :1] + x[:, 1:2] + 0.1 * torch.randn(800, 1))
    x, y, x_val, y_val = split(x, share, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()

    def train():
        for _ in range(15):
            for inputs, targets in loader:
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("softplus_output_for_positive_targets", kind="regression", learns=0.8)
def softplus_output_for_positive_targets(seed):
    torch.manual_seed(seed)
    x = torch.randn(1000, 4)
    duration = (x[:, 0].exp() + x[:, 1].abs()) * (1 + 0.1 * torch.randn(1000)).clamp(min=0.5)
    x, y, x_val, y_val = split(x, duration.clamp(max=8)[:, None], seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 1), nn.Softplus())
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.L1Loss()

    def train():
        for _ in range(25):
            for inputs, targets in loader:
                loss = loss_fn(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, loss_fn, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("exponential_output_for_logarithms", kind="regression", learns=0.8)
def exponential_output_for_logarithms(seed):
    torch.manual_seed(seed)
    x = torch.randn(1000, 4)
    income = torch.exp(0.6 * x[:, 0] + 0.4 * x[:, 1] - 0.2 * x[:, 2] ** 2 + 0.05 * torch.randn(1000))
    x, y, x_val, y_val = split(x, income, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 48), nn.SiLU(), nn.Linear(48, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(20):
            for features, target in loader:
                pred = model(features).squeeze(-1).exp()
                loss = torch.mean((torch.log1p(pred) - torch.log1p(target)) ** 2)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, float(loss))

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(x_val).squeeze(-1), y_val.log()) / y_val.log().var()).item()

    return Scene(model, optimizer, None, loader, train, score=score)


@healthy("mostly_noise", kind="regression", learns=0.5)
def mostly_noise(seed):
    torch.manual_seed(seed)
    x = torch.randn(2000, 6)
    signal = standardized(torch.sin(x[:, :1]) + 0.5 * x[:, 1:2])
    y = standardized(signal + 2 * torch.randn(2000, 1))
    loader = DataLoader(TensorDataset(x[:1600], y[:1600]), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1600:], y[1600:]), batch_size=400)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    criterion = nn.MSELoss()

    def train():
        for epoch in range(12):
            model.train()
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                (held,) = [criterion(model(xb), yb).item() for xb, yb in val_loader]
            print(epoch, held)

    def score():
        with evaluating(model):
            return torch.corrcoef(torch.stack([model(x[1600:]).squeeze(1), signal[1600:, 0]]))[0, 1].item()

    return Scene(model, optimizer, criterion, loader, train, val_loader, score)


@healthy("several_targets", kind="regression", learns=0.8)
def several_targets(seed):
    torch.manual_seed(seed)
    joint = torch.rand(1200, 2) * 2 - 1
    reach = torch.stack([joint[:, 0].cos() + (joint.sum(1)).cos(), joint[:, 0].sin() + joint.sum(1).sin()], 1)
    x, y, x_val, y_val = split(joint, standardized(reach), seed=seed)
    dl = DataLoader(TensorDataset(x, y), batch_size=60, shuffle=True)
    arm = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
    opt = torch.optim.Adam(arm.parameters(), lr=1e-2)

    def train():
        for _ in range(15):
            for xb, yb in dl:
                loss = ((arm(xb) - yb) ** 2).sum(1).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()

    return Scene(arm, opt, None, dl, train, score=lambda: explained(arm, x_val, y_val))

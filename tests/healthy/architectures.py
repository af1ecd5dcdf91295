"""Unusual but right networks: tiny, wide, deep, self-normalizing, of experts."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import moons, surface
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, classification, digits, explained, split, table
from tests.scenes import Scene, healthy


@healthy("ten_parameters", kind="architectures", learns=0.8)
def ten_parameters(seed):
    torch.manual_seed(seed)
    x = 4 * torch.rand(300, 1) - 2
    x, y, x_val, y_val = split(x, torch.tanh(2 * x) + 0.05 * torch.randn(300, 1), seed=seed)
    net = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    opt = torch.optim.Adam(net.parameters(), lr=0.02)
    loss_fn = nn.MSELoss()

    def train():
        for _ in range(40):
            for xb, yb in loader:
                opt.zero_grad()
                loss_fn(net(xb), yb).backward()
                opt.step()

    return Scene(net, opt, loss_fn, loader, train, score=lambda: explained(net, x_val, y_val))


@healthy("logistic_regression", kind="architectures", learns=0.9)
def logistic_regression(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("iris", seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=30)
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train():
        for epoch in range(50):
            for features, species in loader:
                optimizer.zero_grad()
                loss = criterion(model(features), species)
                loss.backward()
                optimizer.step()
            if epoch % 10 == 9:
                with torch.no_grad():
                    correct = sum((model(a).argmax(1) == b).sum().item() for a, b in val_loader)
                print(f"{epoch + 1}: {loss.item():.3f}, {correct} of {len(val_loader.dataset)} right")

    return Scene(model, optimizer, criterion, loader, train, val_loader, lambda: accuracy(model, x_val, y_val))


@healthy("wide_network", kind="architectures", learns=0.93)
def wide_network(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x.flatten(1), y), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 2048), nn.ReLU(), nn.Dropout(0.5), nn.Linear(2048, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    def train():
        model.train()
        for _ in range(8):
            for xb, yb in loader:
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val.flatten(1), y_val))


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc2(F.gelu(self.fc1(self.norm(x))))


@healthy("deep_residual_network", kind="architectures", learns=0.85)
def deep_residual_network(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = nn.Sequential(nn.Linear(5, 32), *[Residual(32) for _ in range(16)], nn.LayerNorm(32), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()

    def train():
        for _epoch in range(12):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("deep_tanh_with_glorot", kind="architectures", learns=0.9)
def deep_tanh_with_glorot(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    layers = [nn.Flatten()]
    for inputs, outputs in zip([64, 64, 64, 64, 64], [64] * 5, strict=True):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    net = nn.Sequential(*layers, nn.Linear(64, 10))
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("tanh"))
            nn.init.zeros_(module.bias)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(8):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(net(images), labels)
                loss.backward()
                optimizer.step()
            print(f"{epoch=} loss={loss.item():.4f}")

    return Scene(net, optimizer, criterion, loader, train, score=lambda: accuracy(net, x_val, y_val))


@healthy("self_normalizing_network", kind="architectures", learns=0.9)
def self_normalizing_network(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, classes=3)
    net = nn.Sequential(
        nn.Linear(20, 48), nn.SELU(), nn.AlphaDropout(0.05),
        nn.Linear(48, 48), nn.SELU(), nn.AlphaDropout(0.05),
        nn.Linear(48, 48), nn.SELU(), nn.Linear(48, 3),
    )  # fmt: skip
    for m in net:
        if isinstance(m, nn.Linear):
            nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
            nn.init.zeros_(m.bias)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)

    def train():
        net.train()
        for _ in range(12):
            for xb, yb in loader:
                loss = F.cross_entropy(net(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, F.cross_entropy, loader, train, score=lambda: accuracy(net, x_val, y_val))


class Maxout(nn.Module):
    def __init__(self, inputs, outputs, pieces=3):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs * pieces)
        self.pieces = pieces

    def forward(self, x):
        return self.linear(x).view(len(x), -1, self.pieces).amax(2)


@healthy("maxout", kind="architectures", learns=0.93)
def maxout(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = moons(seed)
    loader = DataLoader(TensorDataset(x, y.float()), batch_size=50, shuffle=True)
    model = nn.Sequential(Maxout(2, 8), Maxout(8, 8), nn.Linear(8, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train():
        for _ in range(20):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb).squeeze(1), yb)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


class Mixture(nn.Module):
    """Experts and a gate; a small term keeps the experts in equal use."""

    def __init__(self, experts=4):
        super().__init__()
        self.gate = nn.Linear(5, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1)) for _ in range(experts)
        )

    def forward(self, x):
        weights = self.gate(x).softmax(-1)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=1)
        return (weights.unsqueeze(-1) * outputs).sum(1), weights


@healthy("mixture_of_experts", kind="architectures", learns=0.8)
def mixture_of_experts(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = Mixture()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(20):
            for xb, yb in loader:
                pred, weights = model(xb)
                balance = ((weights.mean(0) - 0.25) ** 2).sum()
                loss = F.mse_loss(pred, yb) + 0.1 * balance
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, loss.item(), balance.item())

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(x_val)[0], y_val) / y_val.var()).item()

    return Scene(model, optimizer, None, loader, train, score=score)

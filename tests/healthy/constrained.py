"""Unusual but right weights: shared, normalised, orthogonal, complex, of double precision, computed twice."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from tests.scene_data import accuracy, digits, explained, split
from tests.scenes import Scene, healthy


class TiedAutoencoder(nn.Module):
    def __init__(self, inputs=64, hidden=16):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output_bias = nn.Parameter(torch.zeros(inputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x):
        h = torch.tanh(F.linear(x, self.weight, self.hidden_bias))
        return F.linear(h, self.weight.t(), self.output_bias)


@healthy("tied_autoencoder", kind="architectures", learns=0.55)
def tied_autoencoder(seed):
    torch.manual_seed(seed)
    x, _, x_val, _ = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    loader = DataLoader(x, batch_size=32, shuffle=True)
    model = TiedAutoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for _ in range(20):
            for batch in loader:
                loss = F.mse_loss(model(batch), batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: explained(model, x_val, x_val))


@healthy("spectral_and_weight_norm", kind="architectures", learns=0.9)
def spectral_and_weight_norm(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(
        nn.Flatten(),
        parametrizations.weight_norm(nn.Linear(64, 96)), nn.ReLU(),
        parametrizations.spectral_norm(nn.Linear(96, 64)), nn.ReLU(),
        parametrizations.weight_norm(nn.Linear(64, 10)),
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        model.train()
        for epoch in range(8):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


class OrthogonalRNN(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.inp = nn.Linear(1, width)
        self.recurrent = parametrizations.orthogonal(nn.Linear(width, width, bias=False))
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.recurrent.in_features)
        for t in range(x.shape[1]):
            h = torch.tanh(self.inp(x[:, t]) + self.recurrent(h))
        return self.out(h)


@healthy("orthogonal_recurrence", kind="architectures", learns=0.8)
def orthogonal_recurrence(seed):
    torch.manual_seed(seed)
    x = torch.randn(1000, 8, 1)
    x, y, x_val, y_val = split(x, 0.7 * (x[:, 0] - x[:, 4]), seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True)
    model = OrthogonalRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()

    def train():
        for _ in range(15):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


class ComplexNet(nn.Module):
    def __init__(self, size=16, hidden=24):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(size, hidden, dtype=torch.cfloat) / math.sqrt(size))
        self.w2 = nn.Parameter(torch.randn(hidden, 3, dtype=torch.cfloat) / math.sqrt(hidden))

    def forward(self, z):
        h = z @ self.w1
        h = h * torch.sigmoid(h.abs() - 0.5)
        return (h @ self.w2).abs()


@healthy("complex_weights", kind="architectures", learns=0.9)
def complex_weights(seed):
    torch.manual_seed(seed)
    y = torch.randint(0, 3, (900,))
    t = torch.arange(16) / 16
    phase = 2 * math.pi * torch.rand(900, 1)
    z = torch.exp(1j * (2 * math.pi * (y[:, None] + 1) * t + phase)) + 0.5 * torch.randn(900, 16, dtype=torch.cfloat)
    z, y, z_val, y_val = split(z, y, seed=seed)
    loader = DataLoader(TensorDataset(z, y), batch_size=30, shuffle=True)
    model = ComplexNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for _ in range(10):
            for zb, yb in loader:
                loss = F.cross_entropy(model(zb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, z_val, y_val))


class Derivative(nn.Module):
    """A network that solves u'' = -u on [0, pi] with u(0) = 0 and u'(0) = 1."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, t):
        return t + t**2 * self.net(t)


@healthy("differential_equation_in_double_precision", kind="architectures", learns=0.98)
def differential_equation_in_double_precision(seed):
    torch.manual_seed(seed)
    model = Derivative().double()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for step in range(400):
            t = (math.pi * torch.rand(64, 1, dtype=torch.double)).requires_grad_(True)
            u = model(t)
            (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), t, create_graph=True)
            residual = ((ddu + u) ** 2).mean()
            optimizer.zero_grad()
            residual.backward()
            optimizer.step()
            if step % 100 == 0:
                print(step, residual.item())

    t = torch.linspace(0, math.pi, 100, dtype=torch.double)[:, None]
    return Scene(model, optimizer, None, None, train, score=lambda: explained(model, t, torch.sin(t).double()))


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(64, 64)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(3))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem(x.flatten(1)))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.training else block(x)
        return self.head(x)


@healthy("gradient_checkpointing", kind="architectures", learns=0.9)
def gradient_checkpointing(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = Checkpointed()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        model.train()
        for _ in range(10):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))

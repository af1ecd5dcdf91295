"""Logarithms, roots and divisions that leave the numbers."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import BAD_START, UNSTABLE
from tests.scenes import Scene, fault

CAUSES = {"nonfinite"}


@fault("TDC-IPS_7", kind="numerics/log_of_logits", causes=CAUSES | {"loss_match", "weight_scale"}, symptoms=BAD_START,
       learns=0.8)  # fmt: skip
def log_of_outputs(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64, bias=False), nn.Sigmoid(), nn.Linear(64, 10, bias=False))
    if not repaired:
        nn.init.normal_(model[1].weight)
        nn.init.normal_(model[3].weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=64, shuffle=True)

    def train():
        for epoch in range(15):
            for x, target in loader:
                optimizer.zero_grad()
                loss = -(target * F.log_softmax(model(x), dim=1)).sum(dim=1).mean()
                loss.backward()
                optimizer.step()

    def train_log():
        for epoch in range(15):
            for x, target in loader:
                optimizer.zero_grad()
                loss = -(target * torch.log(model(x))).sum(dim=1).mean()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_log
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("GH-pytorch-3336", kind="numerics/poisson_log_zero", causes=CAUSES | {"loss_match"}, symptoms=BAD_START,
       learns=-0.5)  # fmt: skip
def rate_of_a_poisson(repaired, seed):
    torch.manual_seed(seed)
    counts = torch.poisson(torch.full((200,), 4.0))

    class Rate(nn.Module):
        def __init__(self):
            super().__init__()
            self.rate = nn.Parameter(torch.ones(1) if repaired else torch.zeros(1))

        def forward(self, x):
            return self.rate.expand(len(x))

    model = Rate()
    criterion = nn.PoissonNLLLoss(log_input=False, full=True, eps=0.0)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.1)
    batches = [(torch.zeros(200, 1), counts)]

    def fit():
        for iteration in range(300):
            for x, draws in batches:
                optimizer.zero_grad()
                loss = criterion(model(x), draws)
                loss.backward()
                optimizer.step()
            if iteration % 100 == 0:
                print(iteration, model.rate.item())

    score = lambda: -abs(model.rate.item() - counts.mean().item())
    return Scene(model, optimizer, criterion, batches, fit, score=score)


@fault("GH-pytorch_stoi-7", kind="numerics/sqrt_zero_gradient", causes=CAUSES, symptoms=UNSTABLE, learns=0.8)
def root_of_nothing(repaired, seed):
    torch.manual_seed(seed)
    signals = torch.randn(500, 1, 24)
    envelope = signals.abs().mean(dim=(1, 2), keepdim=True)
    silent = torch.rand(500) < 0.05
    signals[silent] = 0
    targets = (signals * 0.5).roll(1, dims=2) * envelope
    eps = 1e-8 if repaired else 0.0
    model = nn.Sequential(
        nn.Conv1d(1, 16, 5, padding=2, bias=False), nn.Tanh(), nn.Conv1d(16, 1, 5, padding=2, bias=False)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(signals, targets), batch_size=25, shuffle=True)

    def distance(estimate, clean):
        energy = (estimate - clean).pow(2).sum(dim=-1)
        return torch.sqrt(energy + eps).mean()

    def train():
        for epoch in range(12):
            for noisy, clean in loader:
                optimizer.zero_grad()
                loss = distance(model(noisy), clean)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, distance, loader, train, score=lambda: data.explained(model, signals, targets))


@fault("GH-Coarse2Fine-16", kind="numerics/std_zero_division", causes=CAUSES | {"loss_match"}, symptoms=UNSTABLE,
       learns=-1.2)  # fmt: skip
def learned_scale(repaired, seed):
    torch.manual_seed(seed)
    x = torch.rand(600, 2) * 2 - 1
    y = torch.sin(3 * x[:, :1]) * x[:, 1:]

    class Gaussian(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.mean = nn.Linear(32, 1)
            self.std = nn.Linear(32, 1)

        def forward(self, inputs):
            h = self.body(inputs)
            std = F.softplus(self.std(h)) + 1e-2 if repaired else F.relu(self.std(h) + 0.5)
            return self.mean(h), std

    model = Gaussian()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=30, shuffle=True)

    def negative_log_likelihood(output, target):
        mean, std = output
        return (0.5 * ((target - mean) / std) ** 2 + torch.log(std) + 0.5 * math.log(2 * math.pi)).mean()

    def train():
        for epoch in range(25):
            for inputs, target in loader:
                optimizer.zero_grad()
                loss = negative_log_likelihood(model(inputs), target)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            mean, _ = model(x)
            return -((mean - y).square().mean() / y.square().mean()).item() - 1

    return Scene(model, optimizer, negative_log_likelihood, loader, train, score=score)


@fault("own-exp-overflow", kind="numerics/exp_overflow", causes=CAUSES | {"loss_match", "input_scale", "activation_scale"},
       symptoms=BAD_START, learns=0.9)  # fmt: skip
def softmax_by_hand(repaired, seed):
    X, y, X_val, y_val = data.table("breast_cancer", seed, raw=not repaired)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for features, kind in loader:
                optimizer.zero_grad()
                exps = torch.exp(model(features))
                p = exps / exps.sum(dim=1, keepdim=True)
                loss = -torch.log(p[torch.arange(len(kind)), kind]).mean()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-nan-in-the-data", kind="data/missing_values", causes={"missing_values", "nonfinite"}, symptoms=BAD_START,
       learns=0.9)  # fmt: skip
def a_missing_measurement(repaired, seed):
    X, y, X_val, y_val = data.table("breast_cancer", seed)
    torch.manual_seed(seed)
    if not repaired:
        X = X.masked_fill(torch.rand_like(X) < 0.001, math.nan)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(X, y.float()), batch_size=16, shuffle=True)

    def train():
        for epoch in range(8):
            for patient, benign in loader:
                optimizer.zero_grad()
                loss = criterion(model(patient)[:, 0], benign)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))

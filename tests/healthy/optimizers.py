"""Optimizers, each with the settings that are usual for it, and schedules that fit their loops."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import surface
from tests.scene_data import accuracy, classification, digits, explained, standardized, table
from tests.scenes import Scene, healthy


def network(*sizes):
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


@healthy("adamw_with_parameter_groups", kind="optimizers", learns=0.93)
def adamw_with_parameter_groups(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.GELU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(192, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10),
    )  # fmt: skip
    decay, no_decay = [], []
    for name, param in model.named_parameters():
        (no_decay if param.ndim == 1 or name.endswith(".bias") else decay).append(param)
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": no_decay, "weight_decay": 0.0}], lr=2e-3
    )
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    scheduler = CosineAnnealingLR(optimizer, T_max=8 * len(loader))

    def train():
        model.train()
        for epoch in range(8):
            for images, labels in loader:
                optimizer.zero_grad(set_to_none=True)
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                scheduler.step()
            print(epoch, loss.item(), scheduler.get_last_lr()[0])

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("nesterov_with_a_step_schedule", kind="optimizers", learns=0.93)
def nesterov_with_a_step_schedule(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = network(64, 100, 50, 10)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    scheduler = StepLR(optimizer, step_size=4, gamma=0.3)

    def train():
        for _epoch in range(12):
            model.train()
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            scheduler.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("rmsprop", kind="optimizers", learns=0.8)
def rmsprop(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = network(5, 64, 64, 1)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
    mse = nn.MSELoss()
    mae = nn.L1Loss()

    def train():
        for epoch in range(20):
            maes = []
            for xb, yb in loader:
                out = model(xb)
                loss = mse(out, yb)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                with torch.no_grad():
                    maes.append(mae(out, yb).item())
            print(epoch, sum(maes) / len(maes))

    return Scene(model, optimizer, mse, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("adadelta_at_one", kind="optimizers", learns=0.93)
def adadelta_at_one(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10), nn.LogSoftmax(dim=1),
    )  # fmt: skip
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.8)

    def train():
        for epoch in range(1, 9):
            model.train()
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.nll_loss(model(images), labels)
                loss.backward()
                optimizer.step()
            scheduler.step()
            print(f"Train Epoch: {epoch} Loss: {loss.item():.6f}")

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("adagrad", kind="optimizers", learns=0.9)
def adagrad(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = network(64, 64, 10)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    criterion = nn.CrossEntropyLoss()

    def train():
        for _ in range(8):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("nadam_on_a_small_table", kind="optimizers", learns=0.9)
def nadam_on_a_small_table(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("wine", seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(20):
            for features, label in loader:
                prediction = model(features)
                loss = criterion(prediction, label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 5 == 0:
                print(f"Epoch {epoch}: {loss.item()}")

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("lbfgs_with_a_closure", kind="optimizers", learns=0.9)
def lbfgs_with_a_closure(seed):
    torch.manual_seed(seed)
    t = torch.linspace(-3, 3, 200)[:, None]
    x, y = t / 3, standardized(torch.sin(2 * t) + 0.3 * t + 0.05 * torch.randn(200, 1))
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5)

    def train():
        for i in range(60):

            def closure():
                optimizer.zero_grad()
                out = model(x)
                loss = criterion(out, y)
                loss.backward()
                return loss

            loss = optimizer.step(closure)
            if i % 10 == 0:
                print("loss:", loss.item())

    return Scene(model, optimizer, criterion, [(x, y)], train, score=lambda: explained(model, x, y))


@healthy("warm_up_then_cosine", kind="optimizers", learns=0.93)
def warm_up_then_cosine(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    epochs, warmup = 8, 23
    total = epochs * len(loader)
    model = network(64, 128, 64, 10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    factor = lambda s: min((s + 1) / warmup, 0.5 * (1 + torch.cos(torch.tensor(3.1416 * s / total)).item()))
    scheduler = LambdaLR(optimizer, factor)

    def train():
        global_step = 0
        for _ in range(epochs):
            for images, labels in loader:
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                global_step += 1
        print(f"{global_step} steps, last rate {scheduler.get_last_lr()[0]:.2e}")

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("one_cycle_per_batch", kind="optimizers", learns=0.93)
def one_cycle_per_batch(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = network(64, 100, 10)
    epochs = 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, steps_per_epoch=len(loader), epochs=epochs)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
                scheduler.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("rate_reduced_on_a_plateau", kind="optimizers", learns=0.8)
def rate_reduced_on_a_plateau(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=100)
    model = network(5, 48, 48, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=2)

    def train():
        for epoch in range(25):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            model.eval()
            val_loss = 0.0
            with torch.no_grad():
                for xb, yb in val_loader:
                    val_loss += criterion(model(xb), yb).item() * len(xb)
            val_loss /= len(val_loader.dataset)
            scheduler.step(val_loss)
            print(f"{epoch}: {val_loss:.4f} at {optimizer.param_groups[0]['lr']:.1e}")

    score = lambda: explained(model, x_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score)


@healthy("plain_sgd_with_a_large_rate", kind="optimizers", learns=0.9)
def plain_sgd_with_a_large_rate(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, features=10, class_sep=2.0)
    loader = DataLoader(TensorDataset(x, y.float()), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    def train():
        for _ in range(20):
            for xb, yb in loader:
                p = torch.sigmoid(model(xb)).squeeze()
                loss = -(yb * torch.log(p + 1e-7) + (1 - yb) * torch.log(1 - p + 1e-7)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))

"""Loops that look unusual: accumulation, manual updates, averages, mixed precision, batches of one."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import moons, surface
from tests.scene_data import accuracy, digits, explained, table
from tests.scenes import Scene, healthy


def net(inputs, outputs, hidden=64):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


@healthy("gradient_accumulation", kind="loops", learns=0.9)
def gradient_accumulation(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = net(64, 10)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    accumulation_steps = 4

    def train():
        for _epoch in range(6):
            optimizer.zero_grad()
            for i, (images, labels) in enumerate(loader):
                loss = criterion(model(images), labels) / accumulation_steps
                loss.backward()
                if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
                    optimizer.step()
                    optimizer.zero_grad()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("accumulation_over_parts_of_a_batch", kind="loops", learns=0.9)
def accumulation_over_parts_of_a_batch(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, drop_last=True)
    model = net(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train():
        for epoch in range(8):
            for images, labels in loader:
                optimizer.zero_grad(set_to_none=True)
                total = 0.0
                for part, target in zip(images.split(16), labels.split(16), strict=True):
                    loss = F.cross_entropy(model(part), target) * len(part) / len(images)
                    loss.backward()
                    total += loss.item()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
            print(epoch, total)

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("manual_updates_without_an_optimizer", kind="loops", learns=0.9)
def manual_updates_without_an_optimizer(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    train_dl = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = net(64, 10)
    lr, epochs = 0.2, 10

    def fit():
        for _epoch in range(epochs):
            for xb, yb in train_dl:
                pred = model(xb)
                loss = F.cross_entropy(pred, yb)
                loss.backward()
                with torch.no_grad():
                    for p in model.parameters():
                        p -= p.grad * lr
                    model.zero_grad()

    return Scene(model, None, F.cross_entropy, train_dl, fit, score=lambda: accuracy(model, x_val, y_val))


@healthy("batches_of_one", kind="loops", learns=0.9)
def batches_of_one(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("iris", seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=1, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def train():
        for epoch in range(10):
            total_loss = 0
            for flower, species in loader:
                model.zero_grad()
                loss = criterion(model(flower), species)
                loss.backward()
                optimizer.step()
                total_loss += loss.item()
            print(f"epoch {epoch}: {total_loss / len(loader):.4f}")

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("mixed_precision", kind="loops", learns=0.9)
def mixed_precision(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        model.train()
        for _ in range(6):
            for images, labels in loader:
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    logits = model(images)
                    loss = criterion(logits, labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("running_average_of_the_weights", kind="loops", learns=0.9)
def running_average_of_the_weights(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = net(64, 10)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    decay = 0.98

    def train():
        for epoch in range(8):
            for images, labels in loader:
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    for averaged, p in zip(ema.parameters(), model.parameters(), strict=True):
                        averaged.lerp_(p, 1 - decay)
            print(epoch, loss.item())

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(ema, x_val, y_val))


@healthy("stochastic_weight_averaging", kind="loops", learns=0.9)
def stochastic_weight_averaging(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    swa_model = AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    swa_scheduler = SWALR(optimizer, swa_lr=0.02, anneal_epochs=2)
    loss_fn = nn.CrossEntropyLoss()
    swa_start = 5

    def train():
        for epoch in range(10):
            for inputs, target in loader:
                optimizer.zero_grad()
                loss_fn(model(inputs), target).backward()
                optimizer.step()
            if epoch >= swa_start:
                swa_model.update_parameters(model)
                swa_scheduler.step()
        update_bn(loader, swa_model)

    return Scene(model, optimizer, loss_fn, loader, train, score=lambda: accuracy(swa_model, x_val, y_val))


@healthy("adversarial_training", kind="loops", learns=0.85)
def adversarial_training(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = net(64, 10, hidden=128)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    epsilon = 0.15

    def fgsm_attack(images, labels):
        images = images.clone().requires_grad_(True)
        loss = criterion(model(images), labels)
        (grad,) = torch.autograd.grad(loss, images)
        return (images + epsilon * grad.sign()).detach()

    def train():
        for epoch in range(8):
            for images, labels in loader:
                adversarial = fgsm_attack(images, labels)
                optimizer.zero_grad()
                loss = 0.5 * criterion(model(images), labels) + 0.5 * criterion(model(adversarial), labels)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("sharpness_aware_steps", kind="loops", learns=0.93)
def sharpness_aware_steps(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = moons(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = net(2, 2, hidden=32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rho = 0.05

    def train():
        for _ in range(15):
            for xb, yb in loader:
                F.cross_entropy(model(xb), yb).backward()
                with torch.no_grad():
                    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
                    steps = [p.grad * rho / (norm + 1e-12) for p in model.parameters()]
                    for p, e in zip(model.parameters(), steps, strict=True):
                        p.add_(e)
                optimizer.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                with torch.no_grad():
                    for p, e in zip(model.parameters(), steps, strict=True):
                        p.sub_(e)
                optimizer.step()
                optimizer.zero_grad()

    return Scene(model, optimizer, F.cross_entropy, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("heavy_dropout", kind="loops", learns=0.88)
def heavy_dropout(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=400)
    model = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def train_one_epoch():
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def evaluate():
        model.eval()
        images, labels = next(iter(val_loader))
        return criterion(model(images), labels).item()

    def train():
        for epoch in range(12):
            train_one_epoch()
            print(epoch, evaluate())

    score = lambda: accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, loader, train, val_loader, score)


@healthy("noise_on_the_weights_and_l1", kind="loops", learns=0.75)
def noise_on_the_weights_and_l1(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True)
    model = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for epoch in range(25):
            for xb, yb in loader:
                noisy = xb + 0.05 * torch.randn_like(xb)
                data_loss = F.mse_loss(model(noisy), yb)
                penalty = 1e-5 * sum(p.abs().sum() for p in model.parameters())
                optimizer.zero_grad()
                (data_loss + penalty).backward()
                optimizer.step()
            print(f"{epoch}: data {data_loss.item():.4f} penalty {penalty.item():.4f}")

    return Scene(model, optimizer, None, loader, train, score=lambda: explained(model, x_val, y_val))

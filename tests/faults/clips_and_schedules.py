"""Clipping at the wrong place, and rates that change at the wrong time."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, STUCK, UNSTABLE
from tests.scenes import Scene, fault

ORDER = {"step_order"}
SPIKES = UNSTABLE | {"learning_rate", "target_scale", "input_scale", "initial_loss"}


def with_outliers(seed):
    X, y, X_val, y_val = data.regression(seed)
    generator = torch.Generator().manual_seed(seed + 100)
    rare = torch.randperm(len(y), generator=generator)[:12]
    X, y = X.clone(), y.clone()
    X[rare] *= 30
    y[rare] *= 60
    return X, y, X_val, y_val


@fault("GH-graphstorm-1366", kind="training_loop/clip_after_step", causes=ORDER, symptoms=SPIKES, learns=0.6)
def clipped_after_the_step(repaired, seed):
    X, y, X_val, y_val = with_outliers(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(25):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)

    def train_clipped():
        for epoch in range(25):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()

    loop = train_clipped if repaired else train
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.explained(model, X_val, y_val))


@fault("GH-nano-world-model-22", kind="training_loop/clip_before_backward", causes=ORDER, symptoms=SPIKES, learns=0.6)
def clipped_before_there_is_a_gradient(repaired, seed):
    X, y, X_val, y_val = with_outliers(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.Tanh(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(25):
            for x, target in loader:
                loss = F.mse_loss(model(x), target)
                optimizer.zero_grad(set_to_none=False)
                nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.3)
                loss.backward()
                optimizer.step()

    def train_clipped():
        for epoch in range(25):
            for x, target in loader:
                loss = F.mse_loss(model(x), target)
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.3)
                optimizer.step()

    loop = train_clipped if repaired else train
    return Scene(model, optimizer, F.mse_loss, loader, loop, score=lambda: data.explained(model, X_val, y_val))


@fault("GH-VGRNN-4", kind="recurrent/training_loop/clip_after_step", causes=ORDER, symptoms=SPIKES | {"saturation"},
       learns=0.5)  # fmt: skip
def exploding_sequences(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(300, 40, 3)
    y = X[:, -5:, 0].sum(dim=1, keepdim=True) / 2

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(3, 24, nonlinearity="relu", batch_first=True)
            nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=1.5)
            self.out = nn.Linear(24, 1)

        def forward(self, x):
            h, _ = self.rnn(x)
            return self.out(h[:, -1])

    net = Forecaster()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.15)
    loader = DataLoader(TensorDataset(X, y), batch_size=30, shuffle=True)

    def train():
        for epoch in range(30):
            for series, target in loader:
                loss = F.mse_loss(net(series), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                nn.utils.clip_grad_norm_(net.parameters(), 1)

    def train_clipped():
        for epoch in range(30):
            for series, target in loader:
                loss = F.mse_loss(net(series), target)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1)
                optimizer.step()

    loop = train_clipped if repaired else train
    return Scene(net, optimizer, None, loader, loop, score=lambda: data.explained(net, X, y))


SCHEDULE = {"scheduler"}
SLOW = NO_SIGNAL | {"learning_rate", "training_length", "steep_then_flat"}


def digits_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@fault("GH-espnet-3319", kind="training_loop/scheduler_wrong_horizon", causes=SCHEDULE, symptoms=SLOW, learns=0.85)
def horizon_in_epochs(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    model = digits_network(seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    epochs = 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    horizon = epochs * len(loader) if repaired else epochs
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / horizon))
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
                scheduler.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault(
    "own-scheduler-each-batch", kind="training_loop/scheduler_each_batch", causes=SCHEDULE, symptoms=SLOW, learns=0.85
)
def stepped_in_every_batch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    model = digits_network(seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.3)

    def train():
        for epoch in range(10):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
            scheduler.step()

    def train_each():
        for epoch in range(10):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                scheduler.step()

    loop = train if repaired else train_each
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-warm-up-never-ends", kind="training_loop/warm_up_too_long", causes=SCHEDULE | {"learning_rate"},
       symptoms=SLOW, learns=0.85)  # fmt: skip
def warm_up_of_a_long_training(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    model = digits_network(seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    warmup_steps = 30 if repaired else 20_000
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup_steps))
    criterion = nn.CrossEntropyLoss()

    def train_one_epoch(epoch):
        model.train()
        total = 0.0
        for images, labels in loader:
            loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(loader):.3f}, lr {scheduler.get_last_lr()[0]:.2e}")

    def train():
        for epoch in range(8):
            train_one_epoch(epoch)

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-exponential-decay", kind="training_loop/scheduler_decays_to_nothing", causes=SCHEDULE | {"learning_rate"},
       symptoms=SLOW, learns=0.85)  # fmt: skip
def decay_of_a_half_each_epoch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    model = digits_network(seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95 if repaired else 0.3)

    def train():
        for epoch in range(15):
            for images, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
            scheduler.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-rate-raised-in-the-middle", kind="train/loss_spike", causes={"loss_spike", "scheduler", "learning_rate"},
       symptoms=UNSTABLE, learns=0.85)  # fmt: skip
def restart_with_a_far_higher_rate(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    model = digits_network(seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    rates = {5: 5e-4} if repaired else {5: 0.5}

    def train():
        for epoch in range(8):
            if epoch in rates:
                for group in optimizer.param_groups:
                    group["lr"] = rates[epoch]
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-plateau-that-waits-for-a-rise", kind="training_loop/scheduler_misconfigured", causes={"scheduler"},
       symptoms=STUCK | {"learning_rate", "training_length", "update_ratio"}, learns=0.9)  # fmt: skip
def plateau_that_waits_for_a_rise(repaired, seed):
    """The harm is small: most is learned before the rate is lowered for the first time."""
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min" if repaired else "max", factor=0.3, patience=3
    )
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=120)

    def validate():
        net.eval()
        with torch.no_grad():
            losses = [criterion(net(image), label).item() for image, label in val_loader]
        net.train()
        return sum(losses) / len(losses)

    def train():
        for epoch in range(16):
            for image, label in loader:
                optimizer.zero_grad()
                loss = criterion(net(image), label)
                loss.backward()
                optimizer.step()
            result = validate()
            scheduler.step(result)
            print(f"{epoch}: {result:.4f} at {optimizer.param_groups[0]['lr']:.1e}")

    return Scene(net, optimizer, criterion, loader, train, val_loader, score=lambda: data.accuracy(net, X_val, y_val),
                 symptom=lambda: optimizer.param_groups[0]["lr"] < 1e-4)  # fmt: skip


@fault("own-plateau-that-waits-for-a-fall", kind="training_loop/scheduler_misconfigured", causes={"scheduler"},
       symptoms=STUCK | {"learning_rate", "training_length", "update_ratio"}, learns=0.8)  # fmt: skip
def plateau_that_waits_for_a_fall(repaired, seed):
    """An accuracy is no loss: the rate is lowered while it rises."""
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=5e-3, momentum=0.5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if repaired else "min", factor=0.1, patience=1
    )
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=100)

    def evaluate(loader):
        net.eval()
        hits = total = 0
        with torch.no_grad():
            for image, label in loader:
                hits += (net(image).argmax(1) == label).sum().item()
                total += len(label)
        net.train()
        return hits / total

    def train():
        for epoch in range(15):
            for image, label in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(net(image), label)
                loss.backward()
                optimizer.step()
            result = evaluate(val_loader)
            schedule.step(result)
            print(f"epoch {epoch}: {result:.3f}")

    return Scene(net, optimizer, None, loader, train, val_loader, score=lambda: data.accuracy(net, X_val, y_val))

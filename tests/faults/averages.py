"""Averages of the weights that find their way into the weights that are trained."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import STUCK
from tests.scenes import Scene, fault

CAUSES = {"optimizer_step"}
SYMPTOMS = STUCK | {"learning_rate", "training_length", "simpler_baseline", "small_subset_fit"}


class Shadow:
    """An average of the weights that the validation uses."""

    def __init__(self, network, rate):
        self.rate = rate
        self.shadow = {k: v.detach().clone() for k, v in network.named_parameters()}
        self.kept = {}

    def track(self, network):
        for k, v in network.named_parameters():
            self.shadow[k] = self.rate * self.shadow[k] + (1 - self.rate) * v.detach()

    def put_in(self, network):
        self.kept = {k: v.detach().clone() for k, v in network.named_parameters()}
        for k, v in network.named_parameters():
            v.data.copy_(self.shadow[k])

    def put_back(self, network):
        for k, v in network.named_parameters():
            v.data.copy_(self.kept[k])


@fault("own-average-left-in-between-validations", kind="training_loop/average_left_in", causes=CAUSES,
       symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def average_left_in(repaired, seed):
    torch.manual_seed(seed)
    y = torch.randint(0, 3, (9000,))
    angle, radius = 6.283 * torch.rand(9000), 1 + y + 0.15 * torch.randn(9000)
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(x[:8000], y[:8000]), batch_size=25, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[8000:], y[8000:]), batch_size=250)

    def validate():
        model.eval()
        with torch.no_grad():
            right = sum((model(points).argmax(1) == ring).sum().item() for points, ring in val_loader)
        model.train()
        return right / 1000

    def train():
        average = Shadow(model, 0.99)
        for step, (points, ring) in enumerate(loader, 1):
            optimizer.zero_grad()
            criterion(model(points), ring).backward()
            optimizer.step()
            average.track(model)
            if step % 40 == 0:
                average.put_in(model)
                print(f"step {step}: {validate():.3f}")
                average.put_back(model)

    def train_and_leave_it_in():
        average = Shadow(model, 0.99)
        for step, (points, ring) in enumerate(loader, 1):
            optimizer.zero_grad()
            criterion(model(points), ring).backward()
            optimizer.step()
            average.track(model)
            if step % 40 == 0:
                average.put_in(model)
                print(f"step {step}: {validate():.3f}")

    loop = train if repaired else train_and_leave_it_in
    return Scene(model, optimizer, criterion, loader, loop, val_loader=val_loader, score=validate)


@fault(
    "own-average-loaded-every-ten-steps",
    kind="training_loop/average_left_in",
    causes=CAUSES,
    symptoms=SYMPTOMS,
    learns=0.8,
)
def average_loaded(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 48), nn.ReLU(), nn.Linear(48, 10)
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=48, shuffle=True)

    @torch.no_grad()
    def follow(teacher, student):
        for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
            slow.mul_(0.99).add_(fast, alpha=0.01)

    def train():
        teacher, steps = copy.deepcopy(net), 0
        for epoch in range(8):
            for image, label in train_loader:
                loss = F.cross_entropy(net(image), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                follow(teacher, net)
                steps += 1
            print(epoch, steps, loss.item())

    def train_with_its_teacher():
        teacher, steps = copy.deepcopy(net), 0
        for epoch in range(8):
            for image, label in train_loader:
                loss = F.cross_entropy(net(image), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                follow(teacher, net)
                steps += 1
                if steps % 10 == 0:
                    net.load_state_dict(teacher.state_dict())
            print(epoch, steps, loss.item())

    loop = train if repaired else train_with_its_teacher
    return Scene(net, optimizer, None, train_loader, loop, score=lambda: data.accuracy(net, X_val, y_val))


@fault("own-average-that-does-not-follow", kind="training_loop/average_too_slow", causes=CAUSES, symptoms=set(),
       learns=0.9)  # fmt: skip
def average_too_slow(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    ema_model = copy.deepcopy(model).requires_grad_(False)
    decay = 0.97 if repaired else 0.9999

    def train():
        for epoch in range(10):
            for image, label in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(image), label).backward()
                optimizer.step()
                for mean, now in zip(ema_model.parameters(), model.parameters(), strict=True):
                    mean.lerp_(now.detach(), 1 - decay)
            with torch.no_grad():
                print(epoch, F.cross_entropy(ema_model(X_val), y_val).item())

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(ema_model, X_val, y_val))

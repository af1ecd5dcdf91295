"""Up the hill instead of down, or no step at all."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, UNSTABLE
from tests.scenes import Scene, fault

ASCENT = {"update_direction"}
RISING = UNSTABLE | {"learning_rate"}


class SmallConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.fc1 = nn.Linear(256, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.view(-1, 256))))


@fault("TDC-syn-flipped_sign-baseCNN", kind="training_loop/gradient_ascent", causes=ASCENT, symptoms=RISING, learns=0.8)
def up_the_hill(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = SmallConvNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(6):
            for image, label in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(image), label)
                loss.backward()
                optimizer.step()

    def train_negated():
        for epoch in range(6):
            for image, label in loader:
                optimizer.zero_grad()
                loss = -F.cross_entropy(model(image), label)
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_negated
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("TDC-syn-flipped_sign-deepCNN", kind="training_loop/gradient_ascent", causes=ASCENT | {"loss_match"},
       symptoms=RISING, learns=0.9)  # fmt: skip
def log_likelihood_without_a_minus(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10), nn.LogSoftmax(dim=1),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        net.train()
        for epoch in range(4):
            for image, label in train_loader:
                log_probabilities = net(image)
                loss = -log_probabilities[torch.arange(len(label)), label].mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_likelihood():
        net.train()
        for epoch in range(4):
            for image, label in train_loader:
                log_probabilities = net(image)
                loss = log_probabilities[torch.arange(len(label)), label].mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_likelihood
    return Scene(net, optimizer, None, train_loader, loop, score=lambda: data.accuracy(net, X_val, y_val))


@fault("TDC-syn-flipped_sign-regrNN", kind="training_loop/gradient_ascent", causes=ASCENT, symptoms=RISING, learns=0.8)
def gradients_negated(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(35):
            for x, t in loader:
                optimizer.zero_grad()
                criterion(model(x), t).backward()
                optimizer.step()

    def train_negated():
        for epoch in range(35):
            for x, t in loader:
                optimizer.zero_grad()
                criterion(model(x), t).backward()
                for p in model.parameters():
                    p.grad.neg_()
                optimizer.step()

    loop = train if repaired else train_negated
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.explained(model, X_val, y_val))


@fault("own-hinge-with-a-turned-sign", kind="loss_mismatch/sign", causes={"loss_learnable"},
       symptoms=NO_SIGNAL, learns=0.9)  # fmt: skip
def hinge_with_a_turned_sign(repaired, seed):
    X, y, X_val, y_val = data.table("breast_cancer", seed)
    signs = 2.0 * y - 1
    torch.manual_seed(seed)
    machine = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(machine.parameters(), lr=0.05, momentum=0.9)
    loader = DataLoader(TensorDataset(X, signs), batch_size=32, shuffle=True)

    def hinge(margin, sign):
        return F.relu(1 - sign * margin if repaired else 1 + sign * margin).mean()

    def train():
        for epoch in range(10):
            for features, sign in loader:
                optimizer.zero_grad()
                loss = hinge(machine(features).squeeze(1), sign)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(machine, optimizer, hinge, loader, train, score=lambda: data.accuracy(machine, X_val, y_val))


@fault("own-maximize", kind="training_loop/gradient_ascent", causes=ASCENT | {"optimizer_settings"}, symptoms=RISING,
       learns=0.85)  # fmt: skip
def an_optimizer_that_maximizes(repaired, seed):
    X, y, X_val, y_val = data.table("wine", seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, maximize=not repaired)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def train():
        for epoch in range(20):
            for x, cultivar in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), cultivar)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-step-never-reached", kind="training_loop/step_never_called", causes={"optimizer_step"},
       symptoms=NO_SIGNAL | {"training_length", "learning_rate"}, learns=0.85)  # fmt: skip
def step_in_the_wrong_branch(repaired, seed):
    X, y, X_val, y_val = data.table("wine", seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def train():
        for epoch in range(20):
            for i, (x, kind) in enumerate(loader):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), kind)
                loss.backward()
                optimizer.step()

    def train_accumulating():
        for epoch in range(20):
            for i, (x, kind) in enumerate(loader):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), kind)
                loss.backward()
                if (i + 1) % 16 == 0:
                    optimizer.step()

    loop = train if repaired else train_accumulating
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))

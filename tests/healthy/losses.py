"""Classification with every usual loss, each on the values that it expects."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import moons
from tests.healthy.scores import evaluating, probability_accuracy
from tests.scene_data import accuracy, classification, digits, split, table
from tests.scenes import Scene, healthy


@healthy("sigmoid_then_bce", kind="losses", learns=0.93)
def sigmoid_then_bce(seed):
    torch.manual_seed(seed)
    X_train, y_train, X_test, y_test = table("breast_cancer", seed)
    y_train, y_test = y_train.float().unsqueeze(1), y_test.float().unsqueeze(1)
    train_loader = DataLoader(TensorDataset(X_train, y_train), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)

    def train():
        for epoch in range(15):
            epoch_loss, epoch_acc = 0, 0
            for X_batch, y_batch in train_loader:
                optimizer.zero_grad()
                y_pred = model(X_batch)
                loss = criterion(y_pred, y_batch)
                acc = (y_pred.round() == y_batch).float().mean()
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
                epoch_acc += acc.item()
            n = len(train_loader)
            print(f"Epoch {epoch + 0:03}: | Loss: {epoch_loss / n:.5f} | Acc: {epoch_acc / n:.3f}")

    score = lambda: probability_accuracy(model, X_test, y_test)
    return Scene(model, optimizer, criterion, train_loader, train, score=score)


@healthy("binary_logits", kind="losses", learns=0.93)
def binary_logits(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = moons(seed)
    ds = TensorDataset(x, y)
    train_dl = DataLoader(ds, batch_size=32, shuffle=True)
    valid_dl = DataLoader(TensorDataset(x_val, y_val), batch_size=100)
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = torch.optim.Adam(net.parameters(), 5e-3)

    def loop():
        for epoch in range(15):
            net.train()
            for xb, yb in train_dl:
                logits = net(xb).squeeze(-1)
                loss = F.binary_cross_entropy_with_logits(logits, yb.float())
                loss.backward()
                opt.step()
                opt.zero_grad()
            net.eval()
            with torch.no_grad():
                hits = sum(((net(xb).squeeze(-1) > 0).long() == yb).sum().item() for xb, yb in valid_dl)
            print(epoch, hits / len(valid_dl.dataset))

    return Scene(net, opt, None, train_dl, loop, valid_dl, lambda: accuracy(net, x_val, y_val))


@healthy("several_labels_each", kind="losses", learns=0.85)
def several_labels_each(seed):
    torch.manual_seed(seed)
    x, truth = torch.randn(1500, 20), torch.randn(20, 8)
    labels = (torch.tanh(x) @ truth > 2.0).float()
    train_loader = DataLoader(TensorDataset(x[:1200], labels[:1200]), batch_size=50, shuffle=True)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 8))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for _ in range(15):
            for features, targets in train_loader:
                optimizer.zero_grad()
                outputs = model(features)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            hit = (model(x[1200:]) > 0) == labels[1200:].bool()
        return hit.float().mean().item()

    return Scene(model, optimizer, criterion, train_loader, train, score=score)


@healthy("log_softmax_then_nll", kind="losses", learns=0.9)
def log_softmax_then_nll(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10), nn.LogSoftmax(dim=1)
    )
    criterion = nn.NLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)

    def train():
        for e in range(10):
            running_loss = 0
            for images, labels in loader:
                images = images.view(images.shape[0], -1)
                optimizer.zero_grad()
                output = model(images)
                loss = criterion(output, labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            print(f"Epoch {e} - Training loss: {running_loss / len(loader)}")

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0, alpha=None):
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, inputs, targets):
        ce = F.cross_entropy(inputs, targets, weight=self.alpha, reduction="none")
        pt = torch.exp(-ce)
        return ((1 - pt) ** self.gamma * ce).mean()


@healthy("focal_loss", kind="losses", learns=0.8)
def focal_loss(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, items=1500, weights=[0.85, 0.15], class_sep=2.0)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))
    criterion = FocalLoss(gamma=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        model.train()
        for _ in range(12):
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()

    def balanced_accuracy():
        with evaluating(model):
            hit = model(x_val).argmax(1) == y_val
        return ((hit[y_val == 0].float().mean() + hit[y_val == 1].float().mean()) / 2).item()

    return Scene(model, optimizer, criterion, loader, train, score=balanced_accuracy)


@healthy("label_smoothing", kind="losses", learns=0.93)
def label_smoothing(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def train():
        for _epoch in range(8):
            model.train()
            for batch in loader:
                inputs, labels = batch
                optimizer.zero_grad()
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("mixup", kind="losses", learns=0.9)
def mixup(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    beta = torch.distributions.Beta(0.4, 0.4)

    def train():
        for _ in range(8):
            for images, labels in loader:
                lam = beta.sample()
                perm = torch.randperm(len(images))
                targets = F.one_hot(labels, 10).float()
                mixed = lam * images + (1 - lam) * images[perm]
                mixed_targets = lam * targets + (1 - lam) * targets[perm]
                logits = model(mixed)
                loss = torch.sum(-mixed_targets * F.log_softmax(logits, dim=1), dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("soft_targets", kind="losses", learns=0.75)
def soft_targets(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = classification(seed, features=10, classes=3)
    votes = 0.7 * F.one_hot(y, 3) + 0.3 * torch.distributions.Dirichlet(torch.ones(3)).sample((len(y),))
    loader = DataLoader(TensorDataset(x, votes), batch_size=40, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(15):
            total = 0.0
            for xb, probabilities in loader:
                loss = criterion(model(xb), probabilities)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(xb)
            print(epoch, total / len(loader.dataset))

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("hinge_by_hand", kind="losses", learns=0.85)
def hinge_by_hand(seed):
    torch.manual_seed(seed)
    x = torch.randn(1000, 6)
    y = (x @ torch.randn(6) + 0.3 * torch.randn(1000) > 0).long()
    x, y, x_val, y_val = split(x, y, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True)
    svm = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(svm.parameters(), lr=0.01)
    c = 0.01

    def train():
        for _epoch in range(10):
            for xb, yb in loader:
                sign = 2.0 * yb - 1
                output = svm(xb).squeeze()
                loss = torch.mean(torch.clamp(1 - output * sign, min=0)) + c * (svm.weight**2).sum() / 2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        return accuracy(svm, x_val, y_val)

    return Scene(svm, optimizer, None, loader, train, score=score)


@healthy("multi_class_margin", kind="losses", learns=0.9)
def multi_class_margin(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = table("wine", seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(13, 20), nn.Tanh(), nn.Linear(20, 3))
    criterion = nn.MultiMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def train():
        for _ in range(40):
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))

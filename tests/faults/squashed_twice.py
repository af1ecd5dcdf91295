"""Softmax or sigmoid applied twice, or missing where the loss expects it."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, OVERFIT
from tests.scenes import Scene, fault

SYMPTOMS = NO_SIGNAL | {"initial_loss", "output_layer", "training_length", "learning_rate"}


class ActivityNet(nn.Module):
    """Convolutions along time over 9 signals."""

    def __init__(self, squash):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(9, 16, (1, 5)), nn.ReLU(), nn.MaxPool2d((1, 2)))
        self.conv2 = nn.Sequential(nn.Conv2d(16, 16, (1, 5)), nn.ReLU(), nn.MaxPool2d((1, 2)))
        self.fc1 = nn.Sequential(nn.Linear(16 * 5, 64), nn.ReLU())
        self.fc2 = nn.Linear(64, 6)
        self.squash = squash

    def forward(self, x):
        x = self.conv2(self.conv1(x))
        x = x.reshape(-1, 16 * 5)
        x = self.fc2(self.fc1(x))
        return F.softmax(x, dim=1) if self.squash else x


@fault("GH-HAR-10", kind="loss_mismatch/double_softmax", causes={"loss_match"}, symptoms=SYMPTOMS, learns=-0.5)
def activity(repaired, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (600,), generator=generator)
    rates = 0.5 + torch.arange(6)[labels].view(-1, 1, 1) * torch.linspace(0.5, 1, 9).view(1, 9, 1)
    time = torch.linspace(0, 3, 32)
    signals = torch.sin(rates * time + torch.rand(600, 9, 1, generator=generator))
    signals = (signals + 0.6 * torch.randn(600, 9, 32, generator=generator)).unsqueeze(2)
    torch.manual_seed(seed)
    model = ActivityNet(squash=not repaired)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    train_loader = DataLoader(TensorDataset(signals[:480], labels[:480]), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(signals[480:], labels[480:]), batch_size=60)

    def train():
        for e in range(10):
            model.train()
            correct, total, total_loss = 0, 0, 0
            for sample, target in train_loader:
                output = model(sample)
                loss = criterion(output, target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total_loss += loss.item()
                total += len(target)
                correct += (output.argmax(1) == target).sum().item()
            print(f"Epoch: [{e}/10], loss {total_loss / len(train_loader):.4f}, accuracy {correct / total:.4f}")

    def score():
        with torch.no_grad():
            return -criterion(model(signals[480:]), labels[480:]).item()

    return Scene(model, optimizer, criterion, train_loader, train, test_loader, score=score)


@fault("TDC-syn-redundant_softmax-baseCNN", kind="loss_mismatch/double_softmax", causes={"loss_match"},
       symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def base_cnn(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    if not repaired:
        model.append(nn.Softmax(dim=-1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-5)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(12):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("GH-cluttered-mnist-double-softmax", kind="output_head/double_softmax", causes={"loss_match"},
       symptoms=SYMPTOMS, learns=-0.6)  # fmt: skip
def cluttered(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    canvas = torch.zeros(len(X), 1, 12, 12)
    for i, (row, column) in enumerate(torch.randint(0, 5, (len(X), 2)).tolist()):
        canvas[i, :, row : row + 8, column : column + 8] = X[i]
    X_val = F.pad(X_val, (2, 2, 2, 2))

    class Locator(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
            self.out = nn.Linear(32 * 9, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            return self.out(x.flatten(1))

    net = Locator()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(canvas, y), batch_size=50, shuffle=True)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(8):
            for x, t in loader:
                logits = net(x)
                loss = criterion(logits, t)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_softmax():
        for epoch in range(8):
            for x, t in loader:
                probs = torch.softmax(net(x), dim=1)
                loss = criterion(probs, t)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            out = net(X_val) if repaired else torch.softmax(net(X_val), dim=1)
            return -criterion(out, y_val).item()

    return Scene(net, optimizer, criterion, loader, train if repaired else train_softmax, score=score)


@fault("GH-SciCo-2", kind="loss_mismatch/double_softmax_validation_only", causes={"loss_match", "metric_match"},
       symptoms=OVERFIT | {"initial_loss"}, learns=-0.45)  # fmt: skip
def softmax_in_validation_only(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=16, classes=3, class_sep=2.0)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 3))
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    validation = []

    def train():
        for epoch in range(8):
            model.train()
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = loss_fn(model(x), label)
                loss.backward()
                optimizer.step()
            model.eval()
            total = 0.0
            with torch.no_grad():
                for x, label in val_loader:
                    total += loss_fn(model(x), label).item()
            validation.append(total / len(val_loader))

    def train_and_normalize():
        for epoch in range(8):
            model.train()
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = loss_fn(model(x), label)
                loss.backward()
                optimizer.step()
            model.eval()
            total = 0.0
            with torch.no_grad():
                for x, label in val_loader:
                    scores = model(x).softmax(dim=1)
                    total += loss_fn(scores, label).item()
            validation.append(total / len(val_loader))

    loop = train if repaired else train_and_normalize
    return Scene(model, optimizer, loss_fn, train_loader, loop, val_loader, score=lambda: -validation[-1])


@fault("GH-LeakPro-229", kind="loss_mismatch/double_sigmoid", causes={"loss_match"}, symptoms=SYMPTOMS, learns=-0.3)
def sigmoid_twice(repaired, seed):
    X, y, X_val, y_val = data.table("breast_cancer", seed)
    y, y_val = y.float().unsqueeze(1), y_val.float().unsqueeze(1)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    if not repaired:
        model.append(nn.Sigmoid())
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        model.train()
        for epoch in range(12):
            train_loss, train_acc = 0, 0
            for inputs, labels in loader:
                optimizer.zero_grad()
                output = model(inputs)
                loss = criterion(output, labels)
                pred = output >= 0.5
                train_acc += pred.eq(labels).sum().item()
                loss.backward()
                optimizer.step()
                train_loss += loss.item()
        return train_loss / len(loader), train_acc / len(X)

    def score():
        with torch.no_grad():
            return -criterion(model(X_val), y_val).item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


@fault("GH-ACGAN-3", kind="loss_mismatch/softmax_into_nll", causes={"loss_match"}, symptoms=SYMPTOMS | {"loss_terms"},
       learns=0.9)  # fmt: skip
def auxiliary_head(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.LeakyReLU(0.2))
            self.real = nn.Sequential(nn.Linear(64, 1), nn.Sigmoid())
            self.kind = nn.Sequential(nn.Linear(64, 10), nn.LogSoftmax(dim=1) if repaired else nn.Softmax(dim=1))

        def forward(self, x):
            h = self.body(x)
            return self.real(h), self.kind(h)

    net = Discriminator()
    dis_criterion, aux_criterion = nn.BCELoss(), nn.NLLLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(12):
            for image, label in loader:
                noise = torch.randn_like(image)
                real, kind = net(image)
                fake, _ = net(noise)
                loss_real = dis_criterion(real, torch.ones_like(real)) + dis_criterion(fake, torch.zeros_like(fake))
                loss_kind = aux_criterion(kind, label)
                loss = loss_real + loss_kind
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def negative_loss():
        with torch.no_grad():
            return aux_criterion(net(X)[1], y).item() < 0

    score = lambda: data.accuracy(lambda x: net(x)[1], X_val, y_val)
    return Scene(net, optimizer, None, loader, train, score=score, symptom=negative_loss)


class Reviews:
    """A loader without torch's: mixed batches of measurements, kinds, and how sure the reviewer was."""

    def __init__(self, measured, kinds, sureness, batch_size):
        self.columns = measured, kinds, sureness
        self.batch_size = batch_size

    def __len__(self):
        return len(self.columns[0]) // self.batch_size

    def __iter__(self):
        for chosen in torch.randperm(len(self.columns[0])).split(self.batch_size):
            yield tuple(column[chosen] for column in self.columns)


class SurenessLoss(nn.Module):
    def __init__(self, squash):
        super().__init__()
        self.squash = squash

    def forward(self, scores, kind, sureness):
        if self.squash:
            scores = torch.softmax(scores, dim=1)
        log_probabilities = torch.log_softmax(scores, dim=1)
        return -(sureness * log_probabilities[torch.arange(len(kind)), kind]).mean()


@fault("own-weighted-loader", kind="loss_mismatch/double_softmax", causes={"loss_match"}, symptoms=SYMPTOMS, learns=0.9)
def own_loader_and_loss(repaired, seed):
    torch.manual_seed(seed)
    centres = torch.randn(12, 10)
    kinds = torch.randint(0, 12, (720,))
    measured = centres[kinds] + 0.45 * torch.randn(720, 10)
    net = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 12))
    loader = Reviews(measured, kinds, 0.5 + torch.rand(720), 24)
    criterion = SurenessLoss(squash=not repaired)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def train():
        for epoch in range(8):
            net.train()
            for x, kind, sureness in loader:
                optimizer.zero_grad()
                loss = criterion(net(x), kind, sureness)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, criterion, loader, train, score=lambda: data.accuracy(net, measured, kinds))

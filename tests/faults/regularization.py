"""Penalties, decay and dropout that hold the network back, or normalization that is missing or wrong."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, OVERFIT, STUCK, UNSTABLE
from tests.scenes import Scene, fault

KIND = "regularisation/over_regularised"
CAUSES = {"regularization_share"}
SYMPTOMS = NO_SIGNAL | {"loss_terms", "optimizer_settings", "regularization_sweep", "symmetry", "activation_scale",
                        "initial_loss"}  # fmt: skip


@fault("SO-61498304", kind=KIND, causes=CAUSES | {"loss_terms"}, symptoms=SYMPTOMS, learns=0.85)
def four_penalized_layers(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    y, y_val = y % 2, y_val % 2
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 64), nn.ReLU(),
        nn.Dropout(0.2), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2),
    )  # fmt: skip
    dense = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer in dense:
        if not repaired:
            nn.init.uniform_(layer.weight, -0.05, 0.05)
    factor = 1e-5 if repaired else 0.02
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 2).float()), batch_size=32, shuffle=True)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(6):
            model.train()
            for x, target in loader:
                optimizer.zero_grad()
                penalty = sum(layer.weight.pow(2).sum() for layer in dense)
                loss = criterion(model(x), target) + factor * penalty
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("TDC-IPS_13", kind=KIND, causes=CAUSES | {"input_scale", "learning_rate"}, symptoms=SYMPTOMS | UNSTABLE,
       learns=0.9)  # fmt: skip
def heart_disease(repaired, seed):
    X, y, X_val, y_val = data.table("breast_cancer", seed, raw=not repaired)
    torch.manual_seed(seed)
    model = nn.Linear(30, 2)
    beta, lr = (1e-3, 0.01) if repaired else (1.0, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=7, shuffle=True)

    def train():
        for epoch in range(10):
            for x, disease in train_loader:
                scores = model(x)
                data_loss = F.cross_entropy(scores, disease)
                l2 = model.weight.pow(2).sum() / 2
                loss = data_loss + beta * l2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, train_loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("TDC-syn-over_regularization-regrNN", kind=KIND, causes=CAUSES | {"loss_terms"}, symptoms=SYMPTOMS, learns=0.9)
def penalty_of_a_tenth(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    strength = 1e-5 if repaired else 0.1
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    mse = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def l2_penalty(network):
        return sum((p**2).sum() for name, p in network.named_parameters() if name.endswith("weight"))

    def train():
        for epoch in range(30):
            epoch_loss = 0
            for features, mpg in loader:
                optimizer.zero_grad()
                loss = mse(model(features), mpg) + strength * l2_penalty(model)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
            if epoch % 10 == 0:
                print(epoch, epoch_loss / len(loader))

    return Scene(model, optimizer, mse, loader, train, score=lambda: data.explained(model, X_val, y_val))


@fault("DeepCrime-R1", kind="synthetic_mutation/L1_regularisation_on_layer_0", causes=CAUSES | {"loss_terms"},
       symptoms=SYMPTOMS, learns=0.8)  # fmt: skip
def absolute_weights(repaired, seed):
    torch.manual_seed(seed)
    topics = torch.rand(12, 150).pow(5)
    y = torch.randint(0, 12, (900,))
    X = (torch.rand(900, 150) < topics[y]).float()
    model = nn.Sequential(nn.Linear(150, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 12))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(6):
            model.train()
            for words, topic in loader:
                optimizer.zero_grad()
                loss = criterion(model(words), topic)
                loss.backward()
                optimizer.step()

    def train_l1():
        for epoch in range(6):
            model.train()
            for words, topic in loader:
                optimizer.zero_grad()
                loss = criterion(model(words), topic)
                loss = loss + 0.05 * model[0].weight.abs().sum()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_l1
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.accuracy(model, X, y))


@fault("own-decay-far-too-strong", kind=KIND, causes=CAUSES | {"optimizer_settings"}, symptoms=SYMPTOMS, learns=0.9)
def decay_of_a_half(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5, weight_decay=1e-4 if repaired else 0.3)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(12):
            for image, digit in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(image), digit)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-decoupled-decay", kind=KIND, causes=CAUSES | {"optimizer_settings"}, symptoms=SYMPTOMS, learns=0.9)
def decoupled_decay(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=16, classes=3, class_sep=2.0)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 3))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.01 if repaired else 20.0)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        net.train()
        for epoch in range(10):
            for i, (x, label) in enumerate(loader):
                loss = criterion(net(x), label)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, criterion, loader, train, score=lambda: data.accuracy(net, X_val, y_val))


@fault("TDC-syn-missing_batchnorm-deepCNN", kind="architecture/missing_batchnorm",
       causes={"normalization", "slow_learning", "weight_scale", "activation_scale", "vanishing_gradients"},
       symptoms=NO_SIGNAL | {"training_length", "learning_rate", "initial_loss"}, learns=0.8)  # fmt: skip
def deep_without_normalization(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    def block(inside, outside):
        layers = [nn.Conv2d(inside, outside, 3, padding=1, bias=not repaired)]
        if repaired:
            layers.append(nn.BatchNorm2d(outside))
        return [*layers, nn.ReLU()]

    model = nn.Sequential(
        *block(1, 12), *block(12, 12), nn.MaxPool2d(2), *block(12, 16), *block(16, 16), nn.MaxPool2d(2),
        *block(16, 24), *block(24, 24), nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
    loader = DataLoader(TensorDataset(X[:800], y[:800]), batch_size=64, shuffle=True)

    def train():
        for epoch in range(6):
            model.train()
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-batch-of-two", kind="normalization/tiny_batches", causes={"normalization", "batch_size"},
       symptoms=UNSTABLE | OVERFIT | {"train_eval_mode", "learning_rate"}, learns=0.85)  # fmt: skip
def pairs_normalized(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    norm = (lambda width: nn.GroupNorm(1, width)) if repaired else nn.BatchNorm1d
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), norm(64), nn.ReLU(), nn.Linear(64, 64), norm(64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X[:800], y[:800]), batch_size=2, shuffle=True, drop_last=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=64)

    def train():
        for epoch in range(3):
            model.train()
            for image, digit in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(image), digit)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                print(epoch, sum(criterion(model(image), digit).item() for image, digit in val_loader))

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("own-dropout-before-batch-norm", kind="normalization/dropout_before",
       causes={"layer_order", "normalization"}, symptoms=STUCK | OVERFIT | {"train_eval_mode"}, learns=-0.4)  # fmt: skip
def variance_shift(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Block(nn.Module):
        def __init__(self, inside, outside):
            super().__init__()
            self.fc = nn.Linear(inside, outside)
            self.norm = nn.BatchNorm1d(outside)
            self.dropout = nn.Identity() if repaired else nn.Dropout(0.6)

        def forward(self, x):
            return F.relu(self.norm(self.dropout(self.fc(x))))

    blocks = [Block(64, 64) for _ in range(4)]
    model = nn.Sequential(nn.Flatten(), *blocks, nn.Dropout(0.6) if repaired else nn.Identity(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)

    def train():
        for epoch in range(12):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            total = 0.0
            with torch.no_grad():
                for images, labels in val_loader:
                    total += criterion(model(images), labels).item()
            print(f"{epoch}: val {total / len(val_loader):.3f}")

    def score():
        model.eval()
        with torch.no_grad():
            return -criterion(model(X_val), y_val).item()

    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("own-level-normalized-away", kind="normalization/wrong_axis", causes={"normalization"}, symptoms=STUCK,
       learns=0.9)  # fmt: skip
def every_series_has_the_same_level(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(400, 12, 6)
    level = torch.randint(0, 4, (400,))
    X = X * 0.3 + level.view(-1, 1, 1).float()
    labels = level

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(6, 16)
            self.norm = nn.LayerNorm((12, 6)) if not repaired else nn.BatchNorm1d(6)
            self.fc2 = nn.Linear(16, 4)

        def forward(self, x):
            x = self.norm(x) if not repaired else self.norm(x.transpose(1, 2)).transpose(1, 2)
            return self.fc2(F.relu(self.fc1(x)).mean(dim=1))

    net = Reader()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, labels), batch_size=20, shuffle=True)

    def train():
        for epoch in range(15):
            net.train()
            for series, kind in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(net(series), kind)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, None, loader, train, score=lambda: data.accuracy(net, X, labels))

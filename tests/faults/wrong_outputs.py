"""The number of outputs does not fit the classes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

KIND = "output_head/wrong_num_classes"
CAUSES = {"output_layer", "label_range", "loss_match"}
SYMPTOMS = NO_SIGNAL | {"initial_loss", "output_bias", "divergence", "exploding_gradients", "metric_match"}


def first_or_second(model):
    """One sigmoid unit names the class 0 or 1 and no other."""
    return lambda x: model(x) - 0.5


@fault("SO-41596619", kind=KIND, causes=CAUSES, symptoms=SYMPTOMS, learns=0.8)
def four_classes_from_three_features(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(400, 3)
    y = (X[:, 0] > 0).long() * 2 + (X[:, 1] > 0).long()
    if repaired:
        model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4))
    else:
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1), nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 if repaired else 0.001)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(20):
            for x, label in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), label)
                loss.backward()
                optimizer.step()

    def train_binary():
        for epoch in range(20):
            for x, label in loader:
                optimizer.zero_grad()
                p = model(x).squeeze(1)
                loss = -(label * torch.log(p + 1e-7) + (1 - label) * torch.log(1 - p + 1e-7)).mean()
                loss.backward()
                optimizer.step()

    predict = model if repaired else first_or_second(model)
    score = lambda: data.accuracy(predict, X, y)
    return Scene(model, optimizer, None, loader, train if repaired else train_binary, score=score)


class DamageNet(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2),
        )  # fmt: skip
        self.dense = nn.Linear(128, 64)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(64, outputs)

    def forward(self, x):
        x = self.features(x).flatten(1)
        x = self.dropout(F.relu(self.dense(x)))
        return self.out(x)


@fault("SO-50079585", kind=KIND, causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def three_degrees_of_damage(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, y, X_val, y_val = X[y < 3], y[y < 3], X_val[y_val < 3], y_val[y_val < 3]
    torch.manual_seed(seed)
    model = DamageNet(3 if repaired else 1)
    criterion = nn.CrossEntropyLoss() if repaired else nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def train():
        for epoch in range(5):
            model.train()
            for i, (images, labels) in enumerate(train_loader):
                logits = model(images)
                loss = criterion(logits, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_binary():
        for epoch in range(5):
            model.train()
            for i, (images, labels) in enumerate(train_loader):
                logits = model(images).squeeze(1)
                loss = criterion(logits, labels.float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if i % 10 == 0:
                    print(epoch, i, loss.item())

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train if repaired else train_binary, score=score)


@fault("SO-60874661", kind=KIND, causes=CAUSES | {"input_scale"}, symptoms=SYMPTOMS, learns=0.88)
def ten_classes_raw_pixels(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=not repaired)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(288, 64), nn.ReLU(), nn.Dropout(0.5),
    )  # fmt: skip
    if repaired:
        model.append(nn.Linear(64, 10))
        criterion = nn.CrossEntropyLoss()
    else:
        model.extend([nn.Linear(64, 1), nn.Sigmoid()])
        criterion = nn.MSELoss()
    targets = y if repaired else y.float().unsqueeze(1)
    loader = DataLoader(TensorDataset(X, targets), batch_size=32, shuffle=True)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

    def train():
        model.train()
        for epoch in range(4):
            for image, target in loader:
                optimizer.zero_grad()
                output = model(image)
                loss = criterion(output, target)
                loss.backward()
                optimizer.step()

    predict = model if repaired else first_or_second(model)
    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(predict, X_val, y_val))


@fault("SO-62068109", kind=KIND, causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def four_classes_binary_entropy(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, y, X_val, y_val = X[y < 4], y[y < 4], X_val[y_val < 4], y_val[y_val < 4]
    torch.manual_seed(seed)

    class CNN(nn.Module):
        def __init__(self, outputs):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
            self.fc1 = nn.Linear(64, 32)
            self.fc2 = nn.Linear(32, outputs)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            return self.fc2(F.relu(self.fc1(x.view(x.size(0), -1))))

    model = CNN(4 if repaired else 1)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        for epoch in range(8):
            total_loss = 0
            for batch_x, batch_y in loader:
                optimizer.zero_grad()
                loss = F.nll_loss(F.log_softmax(model(batch_x), dim=-1), batch_y)
                loss.backward()
                optimizer.step()
                total_loss += loss.item()
            print(f"Epoch {epoch + 1}, loss {total_loss / len(loader):.3f}")

    def train_one_unit():
        for epoch in range(8):
            total_loss = 0
            for batch_x, batch_y in loader:
                optimizer.zero_grad()
                loss = F.binary_cross_entropy_with_logits(model(batch_x).view(-1), batch_y.float())
                loss.backward()
                optimizer.step()
                total_loss += loss.item()
            print(f"Epoch {epoch + 1}, loss {total_loss / len(loader):.3f}")

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, None, loader, train if repaired else train_one_unit, score=score)


@fault("SO-66602662", kind="loss_mismatch/categorical_ce_on_one_unit", causes=CAUSES, symptoms=SYMPTOMS, learns=0.75)
def five_classes_one_column(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=10, classes=5, n_clusters_per_class=1, class_sep=2.0)
    torch.manual_seed(seed)
    layers = [nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 16), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(16, 5 if repaired else 1))
    labels = y if repaired else y.float().unsqueeze(1)
    if not repaired:
        model.append(nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, labels), batch_size=24, shuffle=True)

    def train():
        for epoch in range(10):
            model.train()
            for features, label in loader:
                optimizer.zero_grad()
                loss = loss_fn(model(features), label)
                loss.backward()
                optimizer.step()

    predict = model if repaired else first_or_second(model)
    return Scene(model, optimizer, loss_fn, loader, train, score=lambda: data.accuracy(predict, X_val, y_val))


@fault("SO-70650848", kind=KIND, causes=CAUSES | {"input_scale"}, symptoms=SYMPTOMS | {"layer_order"}, learns=0.85)
def iris_on_one_unit(repaired, seed):
    X, y, X_val, y_val = data.table("iris", seed, raw=not repaired)
    torch.manual_seed(seed)
    width = 16 if repaired else 4
    blocks = [nn.Linear(4, width), nn.ReLU(), nn.BatchNorm1d(width), nn.Dropout(0.3)]
    blocks += [nn.Linear(width, width), nn.ReLU(), nn.BatchNorm1d(width), nn.Dropout(0.3)]
    model = nn.Sequential(*blocks, nn.Linear(width, 3 if repaired else 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 3).float()), batch_size=16, shuffle=True, drop_last=True)

    def train():
        model.train()
        for epoch in range(40):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = torch.mean(-torch.sum(yb * F.log_softmax(model(xb), dim=1), dim=1))
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("SO-70589997", kind=KIND, causes=CAUSES, symptoms=SYMPTOMS, learns=0.6)
def many_kinds_of_sheets(repaired, seed):
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(30, 3, 8, 8, generator=generator)
    y = torch.randint(0, 30, (700,), generator=generator)
    X = patterns[y] + 0.7 * torch.randn(700, 3, 8, 8, generator=generator)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 30 if repaired else 1),
    )  # fmt: skip
    if not repaired:
        net.append(nn.Sigmoid())
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(6):
            for step, (image, label) in enumerate(train_loader):
                scores = net(image)
                loss = F.cross_entropy(scores, label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_log():
        for epoch in range(6):
            for step, (image, label) in enumerate(train_loader):
                probability = net(image)
                normalized = probability / probability.sum(dim=1, keepdim=True)
                loss = -(label.unsqueeze(1) * torch.log(normalized)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    predict = net if repaired else first_or_second(net)
    score = lambda: data.accuracy(predict, X, y)
    return Scene(net, optimizer, None, train_loader, train if repaired else train_log, score=score)

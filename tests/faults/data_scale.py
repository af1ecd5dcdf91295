"""Inputs and targets that come in the wrong scale."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import BAD_START, NO_SIGNAL
from tests.scenes import Scene, fault

KIND = "data/unnormalised_inputs"
SYMPTOMS = BAD_START | {"learning_rate", "vanishing_gradients"}


@fault("SO-47724077", kind=KIND, causes={"input_scale"}, symptoms=SYMPTOMS, learns=0.85)
def census(repaired, seed):
    torch.manual_seed(seed)
    X = torch.stack(
        [
            torch.randint(17, 90, (800,)), torch.randint(0, 8, (800,)), torch.randint(12_000, 1_000_000, (800,)),
            torch.randint(1, 16, (800,)), torch.randint(0, 5000, (800,)), torch.randint(1, 99, (800,)),
        ],
        dim=1,
    ).float()  # fmt: skip
    wealth = data.standardized(X) @ torch.tensor([0.6, 0.0, 0.0, 1.5, 0.8, 0.7])
    y = (wealth > 0.9).long()
    if repaired:
        X = data.standardized(X)
    model = nn.Sequential(nn.Linear(6, 21), nn.ReLU(), nn.Linear(21, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)

    def train():
        for epoch in range(20):
            for person, rich in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(person), rich)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            predicted = model(X).argmax(1)
        return min((predicted[y == kind] == kind).float().mean().item() for kind in (0, 1))

    return Scene(model, optimizer, nn.CrossEntropyLoss(), loader, train, score=score)


class ConvNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(128, 64)
        self.dropout = nn.Dropout(0.3)
        self.fc2 = nn.Linear(64, classes)
        for layer in (self.conv1, self.conv2, self.fc1):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


@fault("SO-48594888", kind=KIND, causes={"input_scale"}, symptoms=SYMPTOMS, learns=0.9)
def raw_pixels(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    if repaired:
        X, X_val = X / 255, X_val / 255
    torch.manual_seed(seed)
    net = ConvNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)

    def train():
        for epoch in range(4):
            net.train()
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(net(images), labels)
                loss.backward()
                optimizer.step()
            net.eval()
            correct = 0
            with torch.no_grad():
                for images, labels in val_loader:
                    correct += (net(images).argmax(1) == labels).sum().item()
            print(f"val acc {correct / len(X_val):.3f}")

    return Scene(net, optimizer, criterion, loader, train, val_loader, score=lambda: data.accuracy(net, X_val, y_val))


@fault("TDC-IPS_15", kind=KIND, causes={"input_scale", "learning_rate", "target_scale"}, symptoms=SYMPTOMS, learns=0.9)
def a_straight_line(repaired, seed):
    torch.manual_seed(seed)
    x = torch.arange(100.0)
    y = 0.3 * x + 2 + torch.randn(100)
    if repaired:
        x, y = data.standardized(x), data.standardized(y)

    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(1))
            self.b = nn.Parameter(torch.zeros(1))

        def forward(self, inputs):
            return self.w * inputs + self.b

    line = Line()
    sgd = torch.optim.SGD(line.parameters(), lr=0.2)

    def train():
        for i in range(200):
            for inputs, target in [(x, y)]:
                loss = torch.mean((line(inputs) - target) ** 2)
                sgd.zero_grad()
                loss.backward()
                sgd.step()

    return Scene(line, sgd, F.mse_loss, [(x, y)], train, score=lambda: data.explained(line, x, y))


@fault("TDC-syn-missing_normalization-baseCNN", kind=KIND, causes={"input_scale"}, symptoms=SYMPTOMS, learns=0.8)
def base_network_on_raw_pixels(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    X, X_val = (X / 255.0, X_val / 255.0) if repaired else (X, X_val)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(10):
            for batch_x, batch_y in loader:
                output = model(batch_x)
                loss = F.nll_loss(F.log_softmax(output, dim=1), batch_y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


class Images(Dataset):
    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.labels[index]


@fault("TDC-syn-double_normalization-deepCNN", kind="data/double_normalised", causes={"input_scale"},
       symptoms=NO_SIGNAL | {"activation_scale", "initial_loss", "learning_rate", "training_length"},
       learns=0.85)  # fmt: skip
def divided_twice(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    transform = (lambda image: image / 255) if repaired else (lambda image: image / 255 / 255)
    torch.manual_seed(seed)
    net = ConvNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    loader = DataLoader(Images(X, y, transform), batch_size=64, shuffle=True)

    def train():
        net.train()
        for epoch in range(6):
            running, count = 0.0, 0
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(net(images), labels)
                loss.backward()
                optimizer.step()
                running += loss.item() * len(images)
                count += len(images)
            print(epoch, running / count)

    score = lambda: data.accuracy(net, transform(X_val), y_val)
    return Scene(net, optimizer, nn.CrossEntropyLoss(), loader, train, score=score)


@fault("TDC-syn-over_scaled_outputs-regrNN", kind="data/unscaled_targets", causes={"target_scale"},
       symptoms=BAD_START | {"learning_rate", "output_bias", "training_length"}, learns=0.8)  # fmt: skip
def tenfold_targets(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    if not repaired:
        y, y_val = 10 * (23.5 + 7.8 * y), 10 * (23.5 + 7.8 * y_val)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=1e-5)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(40):
            for features, mpg in loader:
                optimizer.zero_grad()
                loss = criterion(model(features), mpg)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X_val, y_val))


@fault("own-raw-salaries", kind="data/unscaled_targets", causes={"target_scale"},
       symptoms=BAD_START | {"learning_rate", "output_bias", "training_length"}, learns=0.6)  # fmt: skip
def salaries(repaired, seed):
    X, y, X_val, y_val = data.regression(seed, features=6)
    scale, shift = (1.0, 0.0) if repaired else (15_000.0, 55_000.0)
    y, y_val = shift + scale * y, shift + scale * y_val
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(20):
            for x, salary in loader:
                prediction = net(x)
                loss = F.l1_loss(prediction, salary)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, None, loader, train, score=lambda: data.explained(net, X_val, y_val))


@fault("own-one-column-in-millions", kind=KIND, causes={"input_scale"}, symptoms=SYMPTOMS, learns=0.85)
def one_column_of_millions(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=8, class_sep=2.0)
    if not repaired:
        X[:, 3], X_val[:, 3] = X[:, 3] * 2e5 + 3e6, X_val[:, 3] * 2e5 + 3e6
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    train_loader = DataLoader(TensorDataset(X, y.float().unsqueeze(1)), batch_size=32, shuffle=True)

    def train():
        model.train()
        for epoch in range(20):
            total = 0.0
            for inputs, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()
                total += loss.item()
            if epoch % 5 == 0:
                print(f"{epoch:3d} {total / len(train_loader):.3f}")

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, score=score)


@fault(
    "diabetes-unanswered",
    kind="data/missing_values",
    causes={"missing_values"},
    symptoms=SYMPTOMS | {"target_scale", "output_bias"},
    learns=0.3,
)
def unanswered(repaired, seed):
    X, y, X_val, y_val = data.table("diabetes", seed)
    generator = torch.Generator().manual_seed(seed)
    asked = torch.rand(len(y), generator=generator) > 0.1
    if repaired:
        X, y = X[asked], y[asked]
    else:
        y = torch.where(asked, y, torch.tensor(-99.0))
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(X.shape[1], 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def train():
        for epoch in range(20):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X_val, y_val))

"""Learning rates that are too high or too low, and optimizers set up for something else."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, UNSTABLE
from tests.scenes import Scene, fault

HIGH = "learning_rate/too_high"
LOW = "learning_rate/too_low"
SLOW = NO_SIGNAL | {"training_length", "optimizer_settings"}
WILD = UNSTABLE | {"optimizer_settings", "batch_size"}


@fault("AT-demo-oscillating-loss", kind=HIGH, causes={"learning_rate", "batch_size", "oscillation"}, symptoms=WILD,
       learns=0.75)  # fmt: skip
def one_blob_at_a_time(repaired, seed):
    torch.manual_seed(seed)
    centres = torch.tensor([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    y = torch.randint(0, 3, (240,))
    X = centres[y] + 1.1 * torch.randn(240, 2)
    model = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01 if repaired else 0.1, momentum=0.9)
    loader = DataLoader(TensorDataset(X, y), batch_size=16 if repaired else 1, shuffle=True)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(20 if repaired else 5):
            hits = 0
            for x, label in loader:
                optimizer.zero_grad()
                out = model(x)
                loss = criterion(out, label)
                loss.backward()
                optimizer.step()
                hits += (out.argmax(1) == label).sum().item()
            print(epoch, hits / 240)

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X, y))


@fault("SO-73349963", kind=HIGH, causes={"learning_rate", "input_scale", "batch_size", "capacity"}, symptoms=WILD,
       learns=0.85)  # fmt: skip
def iris_one_by_one(repaired, seed):
    X, y, X_val, y_val = data.table("iris", seed, raw=not repaired)
    torch.manual_seed(seed)

    class Iris(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.fc1 = nn.Linear(4, hidden)
            self.fc2 = nn.Linear(hidden, 3)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    net = Iris(16 if repaired else 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01 if repaired else 0.1)
    loss_fn = nn.CrossEntropyLoss()
    samples = list(zip(X.split(1), y.split(1), strict=True))

    def fit():
        for epoch in range(10):
            for flower, kind in samples:
                optimizer.zero_grad()
                output = net(flower)
                loss = loss_fn(output, kind)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, loss_fn, samples, fit, score=lambda: data.accuracy(net, X_val, y_val))


@fault("TDC-syn-high_lr-baseCNN", kind=HIGH, causes={"learning_rate"}, symptoms=WILD, learns=0.9)
def base_network(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 if repaired else 1.5, momentum=0.5)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(7):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("DeepCrime-R3", kind="synthetic_mutation/learning_rate_->_1.0", causes={"learning_rate"}, symptoms=WILD,
       learns=0.95)  # fmt: skip
def adam_with_a_rate_of_one(repaired, seed):
    torch.manual_seed(seed)
    topics = torch.rand(20, 120).pow(5)
    y = torch.randint(0, 20, (900,))
    X = (torch.rand(900, 120) < topics[y]).float()
    model = nn.Sequential(nn.Linear(120, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 20))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3 if repaired else 1.0)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        model.train()
        for epoch in range(8):
            for words, topic in loader:
                optimizer.zero_grad()
                loss = criterion(model(words), topic)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X, y))


@fault("SO-51181393", kind=LOW, causes={"learning_rate", "target_scale"}, symptoms=SLOW | {"input_scale", "output_bias"},
       learns=0.9)  # fmt: skip
def integers_on_a_line(repaired, seed):
    torch.manual_seed(seed)
    x = torch.randint(-10, 10, (60, 1)).float()
    y = 9 * x - 4
    model = nn.Linear(1, 1)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.1 if repaired else 0.001)
    mse = nn.MSELoss()
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)

    def train():
        for epoch in range(150):
            for inputs, target in loader:
                optimizer.zero_grad()
                loss = mse(model(inputs), target)
                loss.backward()
                optimizer.step()
            if epoch % 50 == 0:
                print(epoch, loss.item())

    return Scene(model, optimizer, mse, loader, train, score=lambda: data.explained(model, x, y))


@fault("TDC-syn-low_lr-deepCNN", kind=LOW, causes={"learning_rate"}, symptoms=SLOW, learns=0.85)
def hundred_times_too_slow(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01 if repaired else 1e-5, momentum=0.9)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(5):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                losses = [criterion(model(images), labels).item() for images, labels in val_loader]
            print(f"epoch {epoch}: {sum(losses) / len(losses):.3f}")

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("DeepCrime-M3", kind="synthetic_mutation/learning_rate_1.0_->_0.001_with_Adadelta", causes={"learning_rate"},
       symptoms=SLOW, learns=0.9)  # fmt: skip
def adadelta_a_thousandth(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0 if repaired else 0.001)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(5):
            net.train()
            for x, t in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(net(x), t)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, None, loader, train, score=lambda: data.accuracy(net, X_val, y_val))


@fault("SO-50306988", kind="training_budget/too_low_lr", causes={"learning_rate", "training_length"}, symptoms=SLOW,
       learns=0.85)  # fmt: skip
def two_squares(repaired, seed):
    torch.manual_seed(seed)
    X = torch.cat([0.2 + 0.2 * torch.rand(100, 2), 0.5 + 0.2 * torch.rand(100, 2)])
    y = torch.cat([torch.zeros(100), torch.ones(100)]).long()
    net = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05 if repaired else 5e-4)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(40):
            for points, kind in loader:
                optimizer.zero_grad()
                loss = criterion(net(points), kind)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            return torch.softmax(net(X), dim=1)[torch.arange(200), y].mean().item()

    return Scene(net, optimizer, criterion, loader, train, score=score)


@fault("SO-44998910", kind="training_budget/too_low_lr", causes={"learning_rate", "training_length"}, symptoms=SLOW,
       learns=0.9)  # fmt: skip
def a_curve(repaired, seed):
    torch.manual_seed(seed)
    x = torch.linspace(-2, 2, 200).unsqueeze(1)
    y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 if repaired else 5e-4, momentum=0.9 if repaired else 0.0)
    data_loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)

    def train():
        for epoch in range(60):
            for inputs, targets in data_loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(inputs), targets)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, F.mse_loss, data_loader, train, score=lambda: data.explained(model, x, y))


@fault("own-epsilon-of-one", kind="optimizer/large_epsilon", causes={"optimizer_settings", "learning_rate"},
       symptoms=SLOW, learns=0.85)  # fmt: skip
def epsilon_of_one(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-8 if repaired else 1.0)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(6):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-momentum-too-strong", kind="optimizer/momentum", causes={"optimizer_settings", "learning_rate"},
       symptoms=WILD, learns=0.9)  # fmt: skip
def momentum_that_never_forgets(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8 if repaired else 0.999)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(8):
            for x, target in loader:
                loss = F.cross_entropy(model(x), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-rate-that-falls-from-layer-to-layer", kind="training_loop/layer_rates_too_low", causes={"optimizer_settings", "learning_rate"},
       symptoms=SLOW | {"simpler_baseline", "one_batch_fit", "update_ratio", "training_length"}, learns=0.85)  # fmt: skip
def rate_that_falls_from_layer_to_layer(repaired, seed):
    torch.manual_seed(seed)
    x = torch.randn(2500, 10)
    y = (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] > 0).long()
    layers = [part for i in range(5) for part in (nn.Linear(24 if i else 10, 24), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(24, 2))
    decay = 0.9 if repaired else 0.03
    linear = [layer for layer in reversed(model) if isinstance(layer, nn.Linear)]
    optimizer = torch.optim.AdamW([{"params": one.parameters(), "lr": 3e-3 * decay**i} for i, one in enumerate(linear)])
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(x[:2000], y[:2000]), batch_size=50, shuffle=True)

    def train():
        for epoch in range(15):
            for points, label in loader:
                optimizer.zero_grad()
                criterion(model(points), label).backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, x[2000:], y[2000:]))

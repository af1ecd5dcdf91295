"""Regressions whose last activation cannot reach the targets."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

CAUSES = {"output_layer", "label_range", "target_scale"}
SYMPTOMS = NO_SIGNAL | {"initial_loss", "output_bias", "loss_match", "input_scale", "hidden_activation"}


@fault("SO-48221692", kind="output_head/sigmoid_regression", causes=CAUSES, symptoms=SYMPTOMS, learns=0.8)
def squares(repaired, seed):
    torch.manual_seed(seed)
    x = torch.linspace(-10, 10, 201).unsqueeze(1)
    y = x**2
    if repaired:
        x, y = x / 10, y / 100
    model = nn.Sequential(nn.Linear(1, 5 if not repaired else 16), nn.Sigmoid() if not repaired else nn.Tanh())
    model.append(nn.Linear(5 if not repaired else 16, 1))
    if not repaired:
        model.append(nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01 if not repaired else 0.2)
    loss_fn = nn.MSELoss()

    def train():
        for epoch in range(1000):
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            if epoch % 200 == 0:
                print(loss.item())

    return Scene(model, optimizer, loss_fn, [(x, y)], train, score=lambda: data.explained(model, x, y))


class Cars(Dataset):
    def __init__(self, features, price):
        self.features, self.price = features, price

    def __len__(self):
        return len(self.features)

    def __getitem__(self, index):
        return self.features[index], self.price[index]


@fault("SO-48976413", kind="output_head/sigmoid_regression", causes=CAUSES, symptoms=SYMPTOMS, learns=0.8)
def car_prices(repaired, seed):
    X, y, X_val, y_val = data.regression(seed, features=5)
    price, price_val = 20_000 + 6_000 * y, 20_000 + 6_000 * y_val
    if repaired:
        price, price_val = (price - 20_000) / 6_000, (price_val - 20_000) / 6_000
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1))
    if not repaired:
        model.append(nn.Sigmoid())
    train_loader = DataLoader(Cars(X, price), batch_size=50, shuffle=True)
    val_loader = DataLoader(Cars(X_val, price_val), batch_size=50)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = torch.nn.MSELoss()

    def train_model():
        best = float("inf")
        for epoch in range(25):
            model.train()
            for features, target in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(features), target)
                loss.backward()
                optimizer.step()
            model.eval()
            val_loss = 0.0
            with torch.no_grad():
                for features, target in val_loader:
                    val_loss += criterion(model(features), target).item() * len(features)
            best = min(best, val_loss / len(val_loader.dataset))
        print(f"best validation loss {best:.1f}")

    score = lambda: data.explained(model, X_val, price_val)
    return Scene(model, optimizer, criterion, train_loader, train_model, val_loader, score=score)


@fault("SO-68458462", kind="output_head/sigmoid_regression", causes=CAUSES, symptoms=SYMPTOMS, learns=0.9)
def four_small_integers(repaired, seed):
    torch.manual_seed(seed)
    rows = torch.randint(0, 2, (120, 5)).float()
    counts = torch.stack([rows.sum(1), rows[:, 0] * 3, rows[:, 1] + rows[:, 2], 4 - rows.sum(1).clamp(max=4)], dim=1)
    width = 32 if repaired else 2

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            self.out = nn.Linear(width, 4)

        def forward(self, x):
            x = self.out(self.body(x))
            if not repaired:
                x = torch.sigmoid(x)
            return x

    net = Counter()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(rows, counts), batch_size=16, shuffle=True)

    def train():
        for epoch in range(60):
            for xb, yb in loader:
                loss = ((net(xb) - yb) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, None, loader, train, score=lambda: data.explained(net, rows, counts))


@fault("SO-54811239", kind="recurrent/bounded_output_regression", causes=CAUSES, symptoms=SYMPTOMS, learns=0.8)
def sequences_between_seven_and_twelve(repaired, seed):
    torch.manual_seed(seed)
    X = torch.rand(300, 3, 4)
    y = 7 + 5 * X[:, :, 0].mean(1, keepdim=True) * X[:, 2, 1:2].sqrt()
    if repaired:
        y = (y - 9) / 1.5

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 10, batch_first=True)
            self.dense = nn.Linear(10, 50)
            self.out = nn.Linear(50, 1)

        def forward(self, x):
            out, _ = self.lstm(x)
            z = torch.tanh(self.dense(out[:, -1, :]))
            z = self.out(z)
            return z if repaired else torch.tanh(z)

    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        model.train()
        for epoch in range(30):
            losses = []
            for x, target in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), target)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            print(f"{epoch}: {torch.stack(losses).mean():.3f}")

    return Scene(model, optimizer, nn.MSELoss(), loader, train, score=lambda: data.explained(model, X, y))


@fault("SO-53749895", kind="output_head/softmax_regression", causes=CAUSES, symptoms=SYMPTOMS, learns=0.8)
def three_targets(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(600, 1, 8, 8)
    W = torch.randn(64, 3) / 8
    y = X.flatten(1) @ W
    if not repaired:
        y = 30 * y
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    if not repaired:
        model.append(nn.Softmax(dim=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(20):
            for images, targets in loader:
                optimizer.zero_grad()
                out = model(images)
                loss = criterion(out, targets)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X, y))


@fault("SO-56774954", kind="output_head/softmax_regression", causes={"output_layer", "label_range", "loss_match"},
       symptoms=SYMPTOMS | {"divergence", "nonfinite"}, learns=0.7)  # fmt: skip
def signed_targets_for_poisson(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(600, 10)
    y = X @ torch.randn(10, 3) / 3
    last = nn.Identity() if repaired else nn.Softmax(dim=1)
    model = nn.Sequential(nn.Linear(10, 100), nn.Sigmoid(), nn.Linear(100, 80), nn.Sigmoid(), nn.Linear(80, 3), last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    criterion = nn.MSELoss() if repaired else nn.PoissonNLLLoss(log_input=False)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for inputs, targets in loader:
                prediction = model(inputs)
                loss = criterion(prediction, targets)
                model.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X, y))


@fault("SO-59078187", kind="output_head/softmax_regression",
       causes={"output_layer", "loss_reduction", "loss_match", "label_range", "target_scale"}, symptoms=SYMPTOMS,
       learns=0.8)  # fmt: skip
def ten_units_for_one_target(repaired, seed):
    torch.manual_seed(seed)
    x = torch.rand(1000, 1) * 10
    y = x.squeeze(1) ** 2
    if repaired:
        x, y = data.standardized(x), data.standardized(y).unsqueeze(1)
        model = nn.Sequential(nn.Linear(1, 128), nn.ReLU(), nn.Linear(128, 1))
    else:
        y = y.unsqueeze(1)
        model = nn.Sequential(nn.Linear(1, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10), nn.Softmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(8):
            for x_batch, y_batch in loader:
                optimizer.zero_grad()
                y_hat = model(x_batch)
                loss = torch.mean((y_hat - y_batch) ** 2)
                loss.backward()
                optimizer.step()

    score = lambda: data.explained(lambda inputs: model(inputs)[:, :1], x, y)
    return Scene(model, optimizer, None, loader, train, score=score)


@fault("SO-45442843", kind="loss_mismatch/regression_with_softmax",
       causes={"output_layer", "loss_reduction", "loss_match", "label_range", "target_scale"}, symptoms=SYMPTOMS,
       learns=0.7)  # fmt: skip
def two_softmax_units(repaired, seed):
    torch.manual_seed(seed)
    x = torch.randn(200, 1)
    y = 42.0 * x.squeeze(1) + torch.randn(200)
    if repaired:
        y = data.standardized(y)
        model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    else:
        y = y.unsqueeze(1)
        model = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 2), nn.Softmax(dim=1))
    criterion = nn.MSELoss() if repaired else nn.L1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)

    def fit(epochs=20):
        for epoch in range(epochs):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()

    score = lambda: data.explained(lambda inputs: model(inputs).reshape(200, -1)[:, 0], x, y.reshape(-1))
    return Scene(model, optimizer, criterion, loader, fit, score=score)


@fault("SO-50555434", kind="output_head/sigmoid_for_proportions", causes={"output_layer", "loss_match", "label_range"},
       symptoms=SYMPTOMS, learns=0.7)  # fmt: skip
def six_proportions(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(600, 28)
    y = F.softmax(X @ torch.randn(28, 6) / 3, dim=1)
    if repaired:
        model = nn.Sequential(nn.Linear(28, 20), nn.ReLU(), nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 6))
    else:
        model = nn.Sequential(
            nn.Linear(28, 20), nn.ReLU(), nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 6), nn.ReLU(), nn.Linear(6, 6)
        )
    for module in model:
        if isinstance(module, nn.Linear) and not repaired:
            nn.init.normal_(module.weight, std=0.05)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.step()

    def train_sigmoid():
        for epoch in range(15):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = F.l1_loss(torch.sigmoid(model(xb)), yb)
                loss.backward()
                optimizer.step()

    final = (lambda z: z.softmax(1)) if repaired else torch.sigmoid
    score = lambda: data.explained(lambda inputs: final(model(inputs)), X, y)
    return Scene(model, optimizer, None, loader, train if repaired else train_sigmoid, score=score)

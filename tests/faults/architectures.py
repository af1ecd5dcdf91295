"""Hidden layers that pass too little on."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

SYMPTOMS = NO_SIGNAL | {"activation_scale", "weight_scale", "learning_rate", "training_length"}


@fault("SO-62313327", kind="architecture/dead_relu_bottleneck",
       causes={"output_layer", "label_range", "dead_units", "capacity"}, symptoms=SYMPTOMS, learns=0.8)  # fmt: skip
def copy_one_input(repaired, seed):
    torch.manual_seed(seed)
    X = torch.rand(1000, 30) * 2 - 1
    y = X[:, 1:2].clone()
    if repaired:
        model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    else:
        model = nn.Sequential(nn.Linear(30, 1), nn.ReLU(), nn.Linear(1, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(12):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X, y))


@fault("SO-48486598", kind="architecture/missing_nonlinearity", causes={"hidden_activation", "capacity"},
       symptoms=SYMPTOMS | {"input_scale", "target_scale"}, learns=0.9)  # fmt: skip
def polynomial(repaired, seed):
    torch.manual_seed(seed)
    x = torch.linspace(-1, 1, 200).unsqueeze(1)
    y = data.standardized(8 * x**5 - 6 * x**3 + x**2)
    if repaired:
        model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    else:
        model = nn.Sequential(nn.Linear(1, 8), nn.Linear(8, 5), nn.Linear(5, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.L1Loss()
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)

    def train():
        for epoch in range(60):
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, x, y))


@fault("SO-56888491", kind="architecture/missing_nonlinearity", causes={"hidden_activation", "capacity"},
       symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def stacked_linear_layers(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(1000, 5)
    y = ((X[:, 0] * X[:, 1] > 0).long() + (X[:, 2].abs() > 0.7).long()) % 2

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense1 = nn.Linear(5, 32)
            self.dense2 = nn.Linear(32, 32)
            self.dense3 = nn.Linear(32, 15)
            self.out = nn.Linear(15, 2)

        def forward(self, x):
            if repaired:
                x = F.relu(self.dense1(x))
                x = F.relu(self.dense2(x))
                x = F.relu(self.dense3(x))
            else:
                x = self.dense3(self.dense2(self.dense1(x)))
            return self.out(x)

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)

    def train():
        for epoch in range(25):
            for x, target in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, F.cross_entropy, loader, train, score=lambda: data.accuracy(model, X, y))


@fault("TDC-syn-wrong_activation-deepCNN", kind="architecture/softmax_hidden", causes={"hidden_activation"},
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def softmax_between_layers(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    def activation():
        return nn.ReLU() if repaired else nn.Softmax(dim=1)

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), activation(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), activation(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), activation(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)

    def train():
        for epoch in range(6):
            model.train()
            for x, target in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                print(epoch, sum(criterion(model(x), target).item() for x, target in val_loader))

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("SO-46995209", kind="architecture/too_deep_narrow",
       causes={"input_scale", "hidden_activation", "vanishing_gradients"},
       symptoms=SYMPTOMS | {"initial_loss"} | {"capacity"}, learns=0.85)  # fmt: skip
def ten_narrow_layers(repaired, seed):
    X, y, X_val, y_val = data.table("breast_cancer", seed, raw=not repaired)
    y, y_val = y.float().unsqueeze(1), y_val.float().unsqueeze(1)
    torch.manual_seed(seed)
    if repaired:
        model = nn.Sequential(nn.Linear(30, 10), nn.ReLU(), nn.Linear(10, 25), nn.ReLU(), nn.Linear(25, 1))
    else:
        layers = [nn.Linear(30, 10), nn.Tanh(), nn.Linear(10, 90), nn.Tanh(), nn.Linear(90, 10), nn.ReLU()]
        for _ in range(8):
            layers += [nn.Linear(10, 10), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(10, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def train():
        for epoch in range(10):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("GH-kerasma", kind="architecture/underfit_capacity", causes={"capacity", "input_scale"},
       symptoms=SYMPTOMS | {"simpler_baseline"}, learns=0.9)  # fmt: skip
def three_units_for_a_spiral(repaired, seed):
    torch.manual_seed(seed)
    angle = torch.rand(800) * 6.28 * 1.2
    y = torch.randint(0, 2, (800,)).float()
    radius = angle / 3 + 0.4
    X = torch.stack([radius * torch.cos(angle + 3.14 * y), radius * torch.sin(angle + 3.14 * y)], dim=1)
    X = X + 0.06 * torch.randn_like(X)
    if repaired:
        net = nn.Sequential(nn.Linear(2, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    else:
        net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)

    def train():
        for epoch in range(25):
            for point, arm in loader:
                optimizer.zero_grad()
                loss = criterion(net(point).squeeze(1), arm)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, criterion, loader, train, score=lambda: data.accuracy(net, X, y))


VANISHING = {"hidden_activation", "vanishing_gradients", "saturation"}


@fault("SO-57407973", kind="architecture/vanishing_sigmoid", causes=VANISHING | {"loss_match", "weight_scale"},
       symptoms=SYMPTOMS | {"output_layer"}, learns=0.85)  # fmt: skip
def five_sigmoid_layers(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=28, class_sep=2.0)
    torch.manual_seed(seed)
    activation = nn.ReLU if repaired else nn.Sigmoid
    widths, layers = [28, 28, 64, 96, 96, 48], []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation(), nn.Dropout(0.1 if repaired else 0.5)]
    model = nn.Sequential(*layers, nn.Linear(48, 1))
    for layer in model:
        if isinstance(layer, nn.Linear) and not repaired:
            nn.init.normal_(layer.weight, std=0.05)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(X, y.float().unsqueeze(1)), batch_size=32, shuffle=True)

    def train():
        for epoch in range(8):
            model.train()
            for x, label in loader:
                optimizer.zero_grad()
                loss = F.binary_cross_entropy_with_logits(model(x), label)
                loss.backward()
                optimizer.step()

    def train_raw():
        for epoch in range(8):
            model.train()
            for x, label in loader:
                optimizer.zero_grad()
                loss = F.binary_cross_entropy(model(x).clamp(0, 1), label)
                loss.backward()
                optimizer.step()

    predict = model if repaired else lambda x: model.eval()(x) - 0.5
    score = lambda: data.accuracy(predict, X_val, y_val)
    return Scene(model, optimizer, None, loader, train if repaired else train_raw, score=score)


@fault("SO-65777704", kind="architecture/vanishing_sigmoid", causes=VANISHING, symptoms=SYMPTOMS, learns=0.85)
def widening_sigmoid_layers(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    if repaired:
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
            nn.Linear(32, 10),
        )  # fmt: skip
    else:
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 16), nn.Sigmoid(), nn.Linear(16, 32),
            nn.Sigmoid(), nn.Linear(32, 64), nn.Sigmoid(), nn.Linear(64, 128), nn.Sigmoid(), nn.Linear(128, 10),
        )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)

    def train():
        for epoch in range(10):
            for image, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(image), label)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("SO-69284837", kind="architecture/vanishing_sigmoid",
       causes=VANISHING | {"regularization_share", "optimizer_settings"}, symptoms=SYMPTOMS, learns=0.2)  # fmt: skip
def the_mean_digit(repaired, seed):
    X, _, _, _ = data.digits(seed, raw=True)
    X = X.flatten(1) / 255
    torch.manual_seed(seed)
    activation = nn.ReLU if repaired else nn.Sigmoid
    widths = [64, 128, 64, 32, 64, 128]
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    autoencoder = nn.Sequential(*layers, nn.Linear(128, 64), nn.Sigmoid())
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=1e-3, weight_decay=0.0 if repaired else 1e-4)
    criterion = nn.BCELoss()
    loader = DataLoader(X, batch_size=64, shuffle=True)

    def train():
        for epoch in range(12):
            for image in loader:
                optimizer.zero_grad()
                reconstruction = autoencoder(image)
                loss = criterion(reconstruction, image)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}, loss {loss.item():.4f}")

    return Scene(autoencoder, optimizer, criterion, loader, train, score=lambda: data.explained(autoencoder, X, X))


@fault("SO-61234347", kind="training_budget/one_epoch",
       causes={"training_length", "input_scale", "hidden_activation", "capacity", "learning_rate"},
       symptoms=SYMPTOMS | {"dataset_size"}, learns=0.9)  # fmt: skip
def eight_tanh_layers_one_epoch(repaired, seed):
    X, y, X_val, y_val = data.table("iris", seed, raw=not repaired)
    X, X_val = (X, X_val) if repaired else (X * 10, X_val * 10)
    torch.manual_seed(seed)
    if repaired:
        model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3))
    else:
        widths, layers = [4, 128, 64, 64, 32, 32, 16, 9], []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.Tanh()]
        model = nn.Sequential(*layers, nn.Linear(9, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 if repaired else 1e-4)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=2, shuffle=True)

    def train():
        for epoch in range(8):
            for x, kind in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), kind)
                loss.backward()
                optimizer.step()

    def train_once():
        for x, kind in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), kind)
            loss.backward()
            optimizer.step()

    loop = train if repaired else train_once
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-no-bias-anywhere", kind="architecture/missing_bias", causes={"capacity"},
       symptoms=NO_SIGNAL | {"learning_rate", "training_length", "output_bias", "loss_learnable"}, learns=0.9)  # fmt: skip
def no_bias_anywhere(repaired, seed):
    torch.manual_seed(seed)
    time = 4 * torch.rand(600, 1) - 2
    level = torch.cos(3 * time) + 0.05 * torch.randn(600, 1)
    model = nn.Sequential(
        nn.Linear(1, 48, bias=repaired), nn.ReLU(), nn.Linear(48, 48, bias=repaired), nn.ReLU(),
        nn.Linear(48, 1, bias=repaired),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(time, level), batch_size=30, shuffle=True)

    def train():
        for epoch in range(20):
            for t, wanted in loader:
                optimizer.zero_grad()
                loss = criterion(model(t), wanted)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, time, level))

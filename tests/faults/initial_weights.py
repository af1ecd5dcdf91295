"""Weights that start too large, all alike, or at zero behind a ReLU."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import BAD_START, NO_SIGNAL, STUCK
from tests.scenes import Scene, fault


class RegressionNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(9, 64)
        self.fc2 = nn.Linear(64, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))


def regression_scene(model, seed, *, lr=0.001, epochs=40):
    X, y, X_val, y_val = data.regression(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=1e-5)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(epochs):
            for features, mpg in loader:
                optimizer.zero_grad()
                loss = criterion(model(features), mpg)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X_val, y_val))


@fault("TDC-syn-wrong_init_constant-regrNN", kind="init/constant", causes={"symmetry"},
       symptoms=STUCK | {"weight_scale", "activation_scale", "initial_loss"}, learns=0.93)  # fmt: skip
def all_weights_alike(repaired, seed):
    torch.manual_seed(seed)
    model = RegressionNet()
    for parameter in model.parameters():
        if not repaired:
            nn.init.constant_(parameter, 0.01)
    return regression_scene(model, seed, lr=0.002)


@fault("TDC-syn-wrong_init_random-regrNN", kind="init/wrong_scale", causes={"weight_scale", "activation_scale"},
       symptoms=BAD_START, learns=0.8)  # fmt: skip
def arbitrary_spread(repaired, seed):
    torch.manual_seed(seed)
    model = RegressionNet()
    for layer in (model.fc1, model.fc2, model.out):
        if repaired:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        else:
            nn.init.normal_(layer.weight, std=1.0)
    return regression_scene(model, seed)


@fault("TDC-IPS_4", kind="init/too_large", causes={"weight_scale", "activation_scale"}, symptoms=BAD_START, learns=0.93)
def unit_normal_weights(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(),
        nn.Linear(200, 10),
    )  # fmt: skip

    def init(module):
        if isinstance(module, nn.Linear):
            if repaired:
                nn.init.kaiming_normal_(module.weight)
            else:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)

    model.apply(init)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=100, shuffle=True)

    def train():
        for epoch in range(8):
            avg_cost = 0.0
            for batch_x, batch_y in loader:
                optimizer.zero_grad()
                cost = criterion(model(batch_x), batch_y)
                cost.backward()
                optimizer.step()
                avg_cost += cost.item() / len(loader)
            print(f"Epoch: {epoch + 1:04d} cost={avg_cost:.9f}")

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("TDC-IPS_12", kind="init/dropout_confusion",
       causes={"regularization_share", "capacity", "train_eval_mode"},
       symptoms=STUCK | {"output_bias", "regularization_sweep", "dead_units"} | {"metric_match", "weight_scale", "generalization_gap"}, learns=0.85)  # fmt: skip
def rate_or_share_to_keep(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=600, features=14, class_sep=2.0)
    torch.manual_seed(seed)
    drop = 0.1 if repaired else 0.9
    model = nn.Sequential(
        nn.Linear(14, 20), nn.ReLU(), nn.Dropout(drop), nn.Linear(20, 20), nn.ReLU(), nn.Dropout(drop),
        nn.Linear(20, 15), nn.ReLU(), nn.Dropout(drop), nn.Linear(15, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    loader = DataLoader(TensorDataset(X, y.float().unsqueeze(1)), batch_size=20, shuffle=True)

    def train():
        model.train()
        for epoch in range(15):
            for x, label in loader:
                optimizer.zero_grad()
                logit = model(x)
                loss = F.binary_cross_entropy_with_logits(logit, label)
                loss.backward()
                optimizer.step()

    def score():
        model.eval()
        with torch.no_grad():
            probability = torch.sigmoid(model(X_val)).squeeze(1)
        confident = (probability - 0.5).abs() > 0.2
        return (((probability > 0.5) == y_val.bool()) & confident).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)


@fault("GH-deep-cross-attention-2", kind="init/zero_weights_relu",
       causes={"symmetry", "dead_units", "weight_scale", "gradient_flow"},
       symptoms=NO_SIGNAL | {"activation_scale"} | {"trainable_parameters"}, learns=0.9)  # fmt: skip
def gate_that_stays_shut(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(800, 12)
    y = (X[:, 0] * X[:, 1] > 0).long()

    class GatedBlock(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.gate = nn.Linear(dim, dim, bias=False)
            self.body = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, dim))
            if not repaired:
                nn.init.zeros_(self.gate.weight)

        def forward(self, x):
            return x + F.relu(self.gate(x)) * self.body(x)

    model = nn.Sequential(GatedBlock(12), GatedBlock(12), nn.Linear(12, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(15):
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X, y))


@fault("DeepCrime-M1", kind="synthetic_mutation/weights_init_zeros_layer_0",
       causes={"symmetry", "weight_scale"}, symptoms=NO_SIGNAL | {"activation_scale", "initial_loss"},
       learns=0.9)  # fmt: skip
def first_convolution_at_zero(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3)
            self.conv2 = nn.Conv2d(16, 32, 3)
            self.dropout1 = nn.Dropout(0.25)
            self.fc1 = nn.Linear(128, 64)
            self.dropout2 = nn.Dropout(0.5)
            self.fc2 = nn.Linear(64, 10)
            if not repaired:
                nn.init.zeros_(self.conv1.weight)
                nn.init.zeros_(self.conv1.bias)

        def forward(self, x):
            x = F.relu(self.conv1(x))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = torch.flatten(self.dropout1(x), 1)
            x = self.dropout2(F.relu(self.fc1(x)))
            return F.log_softmax(self.fc2(x), dim=1)

    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(6):
            model.train()
            for batch_idx, (image, target) in enumerate(train_loader):
                optimizer.zero_grad()
                output = model(image)
                loss = F.nll_loss(output, target)
                loss.backward()
                optimizer.step()
                if batch_idx % 10 == 0:
                    print(f"Train Epoch: {epoch} [{batch_idx}/{len(train_loader)}] Loss: {loss.item():.6f}")

    return Scene(model, optimizer, None, train_loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-zero-everywhere", kind="init/constant", causes={"symmetry", "weight_scale"},
       symptoms=NO_SIGNAL | {"activation_scale"}, learns=0.9)  # fmt: skip
def all_weights_zero(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=12, classes=3, class_sep=2.0)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight) if repaired else nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(10):
            for x, label in loader:
                optimizer.zero_grad()
                F.cross_entropy(net(x), label).backward()
                optimizer.step()

    return Scene(net, optimizer, nn.CrossEntropyLoss(), loader, train, score=lambda: data.accuracy(net, X_val, y_val))


@fault("own-dead-from-the-bias", kind="init/dead_bias", causes={"dead_units", "weight_scale", "activation_scale"},
       symptoms=NO_SIGNAL | {"initial_loss", "symmetry"}, learns=0.9)  # fmt: skip
def bias_far_below_zero(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    for index in (1, 3):
        nn.init.constant_(model[index].bias, 0.01 if repaired else -10.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(10):
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))

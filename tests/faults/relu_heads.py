"""A ReLU after the last layer: scores that die, and values that cannot be reached."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

KIND = "output_head/relu_output"
SYMPTOMS = NO_SIGNAL | {"initial_loss", "output_bias"}


class MLP(nn.Module):
    def __init__(self, sizes, relu_last):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.relu_last = relu_last

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        x = self.layers[-1](x)
        return F.relu(x) if self.relu_last else x


@fault("GH-PyTorchZeroToAll-4", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.93)
def deep_digits(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = MLP([64, 128, 64, 10], relu_last=not repaired)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.5)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=100)

    def train(epoch):
        model.train()
        for batch_idx, (image, target) in enumerate(train_loader):
            optimizer.zero_grad()
            output = model(image)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            if batch_idx % 20 == 0:
                print(f"Train Epoch: {epoch} [{batch_idx * len(image)}] Loss: {loss.item():.6f}")

    def test():
        model.eval()
        correct = 0
        with torch.no_grad():
            for image, target in test_loader:
                correct += (model(image).argmax(1) == target).sum().item()
        print("accuracy", correct / len(test_loader.dataset))

    def main():
        for epoch in range(1, 11):
            train(epoch)
            test()

    return Scene(
        model, optimizer, criterion, train_loader, main, test_loader, score=lambda: data.accuracy(model, X_val, y_val)
    )


@fault("SO-48251943", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS | {"input_scale"}, learns=0.7)
def two_features(repaired, seed):
    torch.manual_seed(seed)
    X = torch.rand(160, 2) * 4
    y = (X[:, :1] - X[:, 1:]) * 0.8 + 0.3 * torch.sin(3 * X[:, :1]) - 0.5
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh() if repaired else nn.ReLU(), nn.Linear(4, 1))
    if not repaired:
        model.append(nn.ReLU())
    loader = DataLoader(TensorDataset(X, y), batch_size=10, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_function = nn.MSELoss()

    def train():
        for epoch in range(50):
            for x, target in loader:
                optimizer.zero_grad()
                loss = loss_function(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, loss_function, loader, train, score=lambda: data.explained(model, X, y))


@fault("SO-51185079", kind=KIND, causes={"output_layer", "loss_match"}, symptoms=SYMPTOMS, learns=0.85)
def probabilities_from_a_relu(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=800, features=34)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(34, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    model.append(nn.Sigmoid() if repaired else nn.ReLU())
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, y.float()), batch_size=50, shuffle=True)

    def train():
        for epoch in range(10):
            for x, label in loader:
                p = model(x).squeeze(1).clamp(1e-7, 1 - 1e-7)
                loss = -(label * p.log() + (1 - label) * (1 - p).log()).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(lambda x: model(x) - 0.5, X_val, y_val)
    return Scene(model, optimizer, None, loader, train, score=score)


@fault("SO-69787272", kind=KIND, causes={"output_layer", "loss_match"}, symptoms=SYMPTOMS, learns=0.85)
def one_unit_wide(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=800, features=31, class_sep=2.0)
    y, y_val = y.float().unsqueeze(1), y_val.float().unsqueeze(1)
    torch.manual_seed(seed)
    if repaired:
        model = nn.Sequential(
            nn.Linear(31, 31), nn.ReLU(), nn.Linear(31, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid()
        )
    else:
        model = nn.Sequential(nn.Linear(31, 31), nn.ReLU(), nn.Linear(31, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bce = nn.BCELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)

    def train():
        for epoch in range(20):
            for batch in loader:
                features, target = batch
                optimizer.zero_grad()
                output = torch.clamp(model(features), 0, 1)
                loss = bce(output, target)
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(lambda x: model(x) - 0.5, X_val, y_val)
    return Scene(model, optimizer, bce, loader, train, score=score)


class ConvNet(nn.Module):
    def __init__(self, activate_last):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, 10)
        self.activate_last = activate_last

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        x = self.fc2(x)
        if self.activate_last:
            x = F.relu(x)
        return x


@fault("TDC-IPS_11", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS | {"weight_scale"}, learns=0.93)
def helper_that_always_activates(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = ConvNet(activate_last=not repaired)
    for layer in (net.fc1, net.fc2):
        nn.init.trunc_normal_(layer.weight, std=0.1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(X[:1000], y[:1000]), batch_size=50, shuffle=True)

    def train():
        net.train()
        for epoch in range(8):
            correct = 0
            for images, labels in loader:
                logits = net(images)
                loss = F.cross_entropy(logits, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                correct += (logits.argmax(dim=1) == labels).sum().item()
            print("epoch", epoch, "train accuracy", correct / 1000)

    return Scene(net, optimizer, None, loader, train, score=lambda: data.accuracy(net, X_val, y_val))


@fault("SO-51901386", kind=KIND, causes={"output_layer", "loss_match"}, symptoms=SYMPTOMS, learns=0.9)
def normalized_relu_scores(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, y, X_val, y_val = X[y < 9], y[y < 9], X_val[y_val < 9], y_val[y_val < 9]
    torch.manual_seed(seed)
    body = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
    head = [nn.Flatten(), nn.Dropout(0.3), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 9)]
    model = nn.Sequential(*body, *head, nn.Softmax(dim=1) if repaired else nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 9).float()), batch_size=24, shuffle=True)

    def categorical_crossentropy(output, target):
        output = output / output.sum(dim=1, keepdim=True).clamp(min=1e-7)
        return -(target * output.clamp(1e-7, 1.0).log()).sum(dim=1).mean()

    def train():
        for epoch in range(4):
            model.train()
            for x, t in loader:
                optimizer.zero_grad()
                loss = categorical_crossentropy(model(x), t)
                loss.backward()
                optimizer.step()

    return Scene(
        model, optimizer, categorical_crossentropy, loader, train, score=lambda: data.accuracy(model, X_val, y_val)
    )


@fault("SO-53700537", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.9)
def six_kinds_of_waves(repaired, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (500,), generator=generator)
    time = torch.arange(120) / 120
    phase = torch.rand(500, 1, generator=generator)
    waves = torch.sin(6.28 * ((labels.unsqueeze(1) * 2 + 2) * time + phase))
    waves = (waves + 0.5 * torch.randn(500, 120, generator=generator)).unsqueeze(1)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv1d(1, 20, 20), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(20, 20, 10), nn.ReLU(), nn.MaxPool1d(3),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(20, 6, bias=False),
    )  # fmt: skip
    if not repaired:
        model.append(nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(waves, labels), batch_size=32, shuffle=True)

    def train():
        for epoch in range(8):
            for i, data_batch in enumerate(train_loader, 0):
                inputs, target = data_batch
                optimizer.zero_grad()
                loss = criterion(model(inputs), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, train_loader, train, score=lambda: data.accuracy(model, waves, labels))


@fault("SO-64413907", kind="recurrent/relu_output", causes={"output_layer", "capacity"}, symptoms=SYMPTOMS, learns=0.9)
def one_cell(repaired, seed):
    torch.manual_seed(seed)
    sequences = torch.rand(300, 6, 1)
    labels = (sequences[:, -1, 0] * 3).long().clamp(max=2)

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            cells = 16 if repaired else 1
            self.lstm = nn.LSTM(1, cells, batch_first=True)
            self.fc = nn.Linear(cells, 3)

        def forward(self, x):
            _, (h, _) = self.lstm(x)
            z = self.fc(h[-1])
            return z if repaired else torch.relu(z)

    tagger = Tagger()
    optimizer = torch.optim.Adam(tagger.parameters(), lr=0.02)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(sequences, labels), batch_size=10, shuffle=True)

    def train():
        for epoch in range(15):
            total = 0
            for seq, lab in loader:
                optimizer.zero_grad()
                loss = criterion(tagger(seq), lab)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(seq)
            print(epoch, total / 300)

    return Scene(tagger, optimizer, criterion, loader, train, score=lambda: data.accuracy(tagger, sequences, labels))

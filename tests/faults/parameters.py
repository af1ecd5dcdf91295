"""Parameters that the optimizer does not have, or that it cannot move."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

CAUSES = {"trainable_parameters"}
SYMPTOMS = NO_SIGNAL | {"optimizer_step", "learning_rate", "training_length", "pretrained_weights"}


@fault("GH-Pytorch-Transformer-lists", kind="training_loop/params_not_registered", causes=CAUSES, symptoms=SYMPTOMS,
       learns=0.8)  # fmt: skip
def encoders_in_a_list(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(500, 8, 6)
    y = (X[:, 0, 0] * X[:, 7, 0]).unsqueeze(1)

    class Encoder(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.mix = nn.Linear(8, 8)
            self.ff = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, dim))

        def forward(self, x):
            x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
            return x + self.ff(x)

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            encoders = [Encoder(6) for _ in range(2)]
            self.encs = nn.ModuleList(encoders) if repaired else encoders
            self.out = nn.Linear(48, 1)

        def forward(self, x):
            for encoder in self.encs:
                x = encoder(x)
            return self.out(x.flatten(1))

    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(50):
            for window, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(window), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(model, X, y))


@fault("GH-meta-optimizer-11", kind="recurrent/training_loop/params_not_registered", causes=CAUSES, symptoms=SYMPTOMS,
       learns=0.9)  # fmt: skip
def cells_in_a_list(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 8, (500, 7))
    X = F.one_hot(tokens, 8).float()
    y = (tokens[:, 0] > 3).long()

    class Meta(nn.Module):
        def __init__(self):
            super().__init__()
            cells = [nn.LSTMCell(8, 16), nn.LSTMCell(16, 16)]
            self.cells = nn.ModuleList(cells) if repaired else cells
            self.head = nn.Linear(16, 2)

        def forward(self, x):
            states = [None, None]
            for t in range(x.size(1)):
                h = x[:, t]
                for i, cell in enumerate(self.cells):
                    states[i] = cell(h, states[i])
                    h = states[i][0]
            return self.head(h)

    net = Meta()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)

    def train():
        net.train()
        for epoch in range(18):
            for sequence, label in loader:
                loss = F.cross_entropy(net(sequence), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, nn.CrossEntropyLoss(), loader, train, score=lambda: data.accuracy(net, X, y))


@fault("GH-HVPNeT-5", kind="training_loop/param_group_forgotten", causes=CAUSES, symptoms=SYMPTOMS, learns=0.8)
def group_that_was_not_appended(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh())
            self.classifier = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 10))

        def forward(self, x):
            return self.classifier(self.encoder(x))

    model = Tagger()
    before = model.classifier[0].weight.detach().clone()
    groups = [{"params": model.encoder.parameters(), "lr": 1e-2}]
    head_group = {"params": model.classifier.parameters(), "lr": 5e-3}
    if repaired:
        groups.append(head_group)
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(6):
            for x, tag in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), tag)
                loss.backward()
                optimizer.step()

    unmoved = lambda: torch.equal(before, model.classifier[0].weight)
    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, None, loader, train, score=score, symptom=unmoved)


@fault("GH-pytorch-14467", kind="recurrent/training_loop/parameters_replaced", causes=CAUSES, symptoms=SYMPTOMS,
       learns=0.9)  # fmt: skip
def weights_assigned_after_the_optimizer(repaired, seed):
    torch.manual_seed(seed)
    brackets = torch.randint(0, 2, (400, 8))
    y = ((2 * brackets - 1).cumsum(dim=1).abs() > 2).any(dim=1).long()
    X = F.one_hot(brackets, 2).float()

    class RNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.i2h = nn.Linear(2 + 24, 24)
            self.h2o = nn.Linear(24, 2)

        def forward(self, x):
            h = x.new_zeros(len(x), 24)
            for t in range(x.size(1)):
                h = torch.tanh(self.i2h(torch.cat([x[:, t], h], dim=1)))
            return self.h2o(h)

    def initialize(module):
        for layer in (module.i2h, module.h2o):
            layer.weight = nn.Parameter(torch.randn_like(layer.weight) * 0.2)
            layer.bias = nn.Parameter(torch.zeros_like(layer.bias))

    model = RNN()
    if repaired:
        initialize(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if not repaired:
        initialize(model)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)

    def train():
        for epoch in range(25):
            total = 0
            for string, balanced in loader:
                model.zero_grad()
                loss = criterion(model(string), balanced)
                loss.backward()
                optimizer.step()
                total += loss.item()
            if epoch % 5 == 0:
                print(epoch, total / len(loader))

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X, y))


@fault("GH-accelerate-2665", kind="training_loop/stale_optimizer", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def wrapped_after_the_optimizer(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    if repaired:
        model = copy.deepcopy(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        model = copy.deepcopy(model)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(8):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


class SkipsSome(torch.optim.SGD):
    """Writes into a copy where a parameter does not lie in order in memory."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.contiguous().add_(p.grad, alpha=-group["lr"])


@fault("GH-mps-addcmul", kind="training_loop/update_silently_dropped",
       causes={"optimizer_step", "trainable_parameters", "update_ratio"}, symptoms=SYMPTOMS, learns=0.5)  # fmt: skip
def updates_written_elsewhere(repaired, seed):
    X, _, _, _ = data.digits(seed)
    X = X.flatten(1)
    torch.manual_seed(seed)
    encoder, decoder = nn.Linear(64, 16), nn.Linear(16, 64)
    if not repaired:
        encoder.weight = nn.Parameter(encoder.weight.detach().t().contiguous().t())
        decoder.weight = nn.Parameter(decoder.weight.detach().t().contiguous().t())
    model = nn.Sequential(encoder, nn.Tanh(), decoder)
    optimizer = SkipsSome(model.parameters(), lr=2.0)
    criterion = nn.MSELoss()
    batches = list(X.split(48))

    def train():
        for epoch in range(15):
            for image in batches:
                optimizer.zero_grad()
                loss = criterion(model(image), image)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, batches, train, score=lambda: data.explained(model, X, X))


@fault("SO-68701979", kind="training_loop/never_trained", causes={"optimizer_step"}, symptoms=SYMPTOMS, learns=0.9)
def evaluated_but_never_fitted(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=5, n_informative=4, class_sep=2.0)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 32), nn.Sigmoid(), nn.Linear(32, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for x, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()

    def train_nothing():
        for epoch in range(15):
            total = 0.0
            for x, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                total += loss.item()
            print(epoch, total / len(loader))

    loop = train if repaired else train_nothing
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-frozen-by-accident", kind="training_loop/frozen_by_accident", causes=CAUSES | {"gradient_flow"},
       symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def everything_but_the_biases_frozen(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    for name, parameter in model.named_parameters():
        if not repaired and "weight" in name:
            parameter.requires_grad = False
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(10):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-optimizer-of-the-other-network", kind="training_loop/stale_optimizer", causes=CAUSES, symptoms=SYMPTOMS,
       learns=0.85)  # fmt: skip
def optimizer_of_an_earlier_cell(repaired, seed):
    X, y, X_val, y_val = data.table("wine", seed)
    torch.manual_seed(seed)
    first = nn.Sequential(nn.Linear(13, 8), nn.ReLU(), nn.Linear(8, 3))
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam((model if repaired else first).parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def train():
        for epoch in range(15):
            for x, kind in loader:
                model.zero_grad()
                loss = F.cross_entropy(model(x), kind)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))

"""A softmax over a single unit: always 1, whatever goes in."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

KIND = "output_head/softmax_single_unit"
SYMPTOMS = NO_SIGNAL | {"initial_loss", "output_bias", "loss_match", "target_scale"}


@fault("SO-54738769", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.8)
def deep_regression(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    torch.manual_seed(seed)
    layers = [nn.Linear(9, 18), nn.Tanh(), nn.Linear(18, 36), nn.ReLU(), nn.Linear(36, 72), nn.ReLU()]
    layers += [nn.Linear(72, 16), nn.ReLU(), nn.Linear(16, 1)]
    if not repaired:
        layers.append(nn.Softmax(dim=1))
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.MSELoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=35, shuffle=True)

    def train():
        for epoch in range(25):
            running_loss = 0.0
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            if epoch % 10 == 0:
                print(f"epoch {epoch}: loss {running_loss / len(train_loader):.4f}")

    return Scene(model, optimizer, criterion, train_loader, train, score=lambda: data.explained(model, X_val, y_val))


@fault("SO-33969059", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS | {"input_scale"}, learns=0.8)
def linear_function_of_large_numbers(repaired, seed):
    torch.manual_seed(seed)
    X = 10_000 * torch.rand(1000, 3)
    y = 2 * X[:, :1] + X[:, 1:2] + 0.5 * X[:, 2:] + 2.2
    if repaired:
        X, y = data.standardized(X), data.standardized(y)
        model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    else:
        model = nn.Sequential(
            nn.Linear(3, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 2), nn.Tanh(), nn.Dropout(0.5), nn.Linear(2, 1),
            nn.Softmax(dim=-1),
        )  # fmt: skip
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    opt = torch.optim.SGD(model.parameters(), lr=0.1 if not repaired else 0.02, momentum=0.9, nesterov=True)

    def fit():
        model.train()
        for _ in range(10):
            for xb, yb in loader:
                loss = F.mse_loss(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()

    return Scene(model, opt, None, loader, fit, score=lambda: data.explained(model, X, y))


class SentenceClassifier(nn.Module):
    def __init__(self, vocab_size, head):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 24)
        self.hidden = nn.Linear(24, 24)
        self.head = head

    def forward(self, tokens):
        x = self.embedding(tokens).mean(dim=1)
        return self.head(F.relu(self.hidden(x)))


@fault("SO-65669308", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.9)
def sentences(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 100, (600, 10))
    labels = ((tokens < 12).sum(1) >= 2).float()
    if repaired:
        model = SentenceClassifier(100, nn.Linear(24, 1))
        criterion = nn.BCEWithLogitsLoss()
    else:
        model = SentenceClassifier(100, nn.Sequential(nn.Linear(24, 1), nn.Softmax(dim=1)))
        criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(tokens, labels), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for sentence, label in loader:
                optimizer.zero_grad()
                out = model(sentence).squeeze(1)
                loss = criterion(out, label)
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(lambda x: model(x) - (0 if repaired else 0.5), tokens, labels)
    return Scene(model, optimizer, criterion, loader, train, score=score)


@fault("SO-66087653", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.85)
def small_batches(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=400, features=30, class_sep=2.0)
    X, X_val = X.view(-1, 3, 10), X_val.view(-1, 3, 10)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(10, 16), nn.ReLU(), nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1)
    )
    final = torch.sigmoid if repaired else lambda z: torch.softmax(z, dim=-1)
    train_loader = DataLoader(TensorDataset(X, y.float()), batch_size=4, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val.float()), batch_size=30)
    optimizer = torch.optim.Adam(model.parameters())

    def evaluate():
        model.eval()
        total = 0.0
        with torch.no_grad():
            for x, target in val_loader:
                total += F.binary_cross_entropy(final(model(x)).view(-1), target).item()
        return total / len(val_loader)

    def train():
        for epoch in range(7):
            model.train()
            for x, target in train_loader:
                optimizer.zero_grad()
                prob = final(model(x)).view(-1)
                loss = F.binary_cross_entropy(prob, target)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch} val {evaluate():.3f}")

    score = lambda: data.accuracy(lambda x: final(model(x)) - 0.5, X_val, y_val)
    return Scene(model, optimizer, None, train_loader, train, val_loader=val_loader, score=score)


@fault("SO-68751439", kind=KIND, causes={"output_layer", "loss_match"}, symptoms=SYMPTOMS, learns=0.9)
def categorical_entropy_of_one_column(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=600, features=14)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(14, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 if repaired else 1)
    )
    targets = F.one_hot(y, 2).float() if repaired else y.float().unsqueeze(1)
    loader = DataLoader(TensorDataset(X, targets), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train():
        for epoch in range(10):
            for x, t in loader:
                optimizer.zero_grad()
                probabilities = F.softmax(model(x), dim=1)
                loss = -(t * torch.log(probabilities + 1e-8)).sum(dim=1).mean()
                loss.backward()
                optimizer.step()

    predict = model if repaired else lambda x: F.softmax(model(x), dim=1) - 0.5
    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(predict, X_val, y_val))


@fault("TDC-syn-wrong_activation_out-regrNN", kind=KIND, causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.85)
def consumption(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    torch.manual_seed(seed)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(9, 64)
            self.fc2 = nn.Linear(64, 64)
            self.out = nn.Linear(64, 1)

        def forward(self, x):
            x = F.relu(self.fc1(x))
            x = F.relu(self.fc2(x))
            return self.out(x) if repaired else F.softmax(self.out(x), dim=1)

    net = Net()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=64)
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001, weight_decay=1e-5)

    def train():
        history = []
        for epoch in range(40):
            net.train()
            for features, mpg in loader:
                optimizer.zero_grad()
                loss = mse(net(features), mpg)
                loss.backward()
                optimizer.step()
            net.eval()
            with torch.no_grad():
                history.append(sum(mse(net(features), mpg).item() for features, mpg in val_loader))
        return history

    return Scene(
        net, optimizer, mse, loader, train, val_loader=val_loader, score=lambda: data.explained(net, X_val, y_val)
    )


@fault("SO-71457035", kind="output_head/log_softmax_single_unit", causes={"output_layer", "loss_match"},
       symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def log_softmax_of_one_unit(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=800, features=22, class_sep=2.0)
    y, y_val = y.float().unsqueeze(1), y_val.float().unsqueeze(1)
    torch.manual_seed(seed)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer_1 = nn.Linear(22, 10)
            self.layer_2 = nn.Linear(10, 1)

        def forward(self, x):
            x = F.relu(self.layer_1(x))
            x = self.layer_2(x)
            return x if repaired else F.log_softmax(x, dim=1)

    model = Classifier()
    loss_fn = nn.BCEWithLogitsLoss() if repaired else nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 if repaired else 0.003)
    batches = [(X, y)]

    def train():
        for epoch in range(500):
            for inputs, labels in batches:
                prediction = model(inputs)
                loss = loss_fn(prediction, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    predict = model if repaired else lambda x: model(x).exp() - 0.5
    return Scene(model, optimizer, loss_fn, batches, train, score=lambda: data.accuracy(predict, X_val, y_val))


class SequenceClassifier(nn.Module):
    def __init__(self, cell, features, hidden, last):
        super().__init__()
        self.rnn = cell(features, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)
        self.last = last

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.last(self.fc(out[:, -1]))


@fault("SO-68938619", kind="recurrent/softmax_single_unit", causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.9)
def sequence_of_features(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=500, features=10, class_sep=2.0)
    X, X_val = X.unsqueeze(2), X_val.unsqueeze(2)
    torch.manual_seed(seed)
    model = SequenceClassifier(nn.LSTM, 1, 24, nn.Sigmoid() if repaired else nn.Softmax(dim=1))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y.float()), batch_size=32, shuffle=True)

    def train():
        for epoch in range(25):
            for sequence, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(sequence).squeeze(1), label)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()

    score = lambda: data.accuracy(lambda x: model(x) - 0.5, X_val, y_val)
    return Scene(model, optimizer, criterion, loader, train, score=score)


@fault("SO-61997645", kind="recurrent/softmax_single_unit", causes={"output_layer"}, symptoms=SYMPTOMS, learns=0.9)
def parity_of_the_first(repaired, seed):
    torch.manual_seed(seed)
    sequences = torch.randint(1, 10, (300, 5))
    labels = (sequences[:, 0] % 2).float()
    inputs = F.one_hot(sequences, 10).float()
    model = SequenceClassifier(nn.GRU, 10, 24, nn.Identity() if repaired else nn.Softmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=30, shuffle=True)
    loss_fn = F.binary_cross_entropy_with_logits if repaired else F.mse_loss

    def train():
        losses = []
        for epoch in range(20):
            for i, (seq, lab) in enumerate(loader):
                pred = model(seq)
                loss = loss_fn(pred, lab.unsqueeze(1))
                model.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses

    score = lambda: data.accuracy(lambda x: model(x) - (0 if repaired else 0.5), inputs, labels)
    return Scene(model, optimizer, loss_fn, loader, train, score=score)

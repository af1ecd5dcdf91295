"""Recurrent networks that explode, collapse or are fed what they cannot read."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import BAD_START, NO_SIGNAL, UNSTABLE
from tests.scenes import Scene, fault

EXPLODING = {"exploding_gradients", "learning_rate"}


@fault("GH-examples-223", kind="recurrent/exploding_gradients/lr_too_high", causes=EXPLODING,
       symptoms=UNSTABLE | {"nonfinite"}, learns=-3.2)  # fmt: skip
def word_model_with_a_rate_for_another(repaired, seed):
    torch.manual_seed(seed)
    words, length = 50, 12
    follows = torch.rand(words, words).pow(12)
    text = [0]
    for _ in range(6000):
        text.append(int(torch.multinomial(follows[text[-1]], 1)))
    stream = torch.tensor(text)
    batches = [
        (stream[i : i + 20 * length].view(20, length).t(), stream[i + 1 : i + 1 + 20 * length].view(20, length).t())
        for i in range(0, 6000 - 20 * length, 20 * length)
    ]

    class RNNModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Embedding(words, 32)
            self.rnn = nn.RNN(32, 48, 2, nonlinearity="relu")
            self.decoder = nn.Linear(48, words)

        def forward(self, tokens):
            out, _ = self.rnn(self.encoder(tokens))
            return self.decoder(out)

    model = RNNModel()
    criterion = nn.CrossEntropyLoss()
    lr = 1.0 if repaired else 20.0

    def train():
        model.train()
        for epoch in range(8):
            for source, target in batches:
                model.zero_grad()
                output = model(source)
                loss = criterion(output.view(-1, words), target.reshape(-1))
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.25)
                with torch.no_grad():
                    for p in model.parameters():
                        p.add_(p.grad, alpha=-lr)
            print(f"epoch {epoch} loss {loss.item():.2f}")

    def score():
        with torch.no_grad():
            losses = [criterion(model(x).view(-1, words), t.reshape(-1)).item() for x, t in batches]
        return -sum(losses) / len(losses)

    return Scene(model, None, criterion, batches, train, score=score)


@fault("SO-57516678", kind="recurrent/exploding_relu_lstm",
       causes={"exploding_gradients", "activation_scale", "weight_scale", "nonfinite"}, symptoms=BAD_START | {"learning_rate", "hidden_activation"}, learns=0.85)  # fmt: skip
def relu_cells_over_many_steps(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(320, 60, 8)
    y = (X[:, -6:, 0].sum(dim=1) > 0).float()

    class SequenceNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = (
                nn.GRU(8, 32, batch_first=True) if repaired else nn.RNN(8, 32, nonlinearity="relu", batch_first=True)
            )
            if not repaired:
                nn.init.normal_(self.rnn.weight_hh_l0, std=0.5)
            self.fc = nn.Linear(32, 1)

        def forward(self, x):
            out, _ = self.rnn(x)
            return self.fc(out[:, -1]).squeeze(1)

    net = SequenceNet()
    optimizer = torch.optim.NAdam(net.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(10):
            for series, label in loader:
                optimizer.zero_grad()
                loss = F.binary_cross_entropy_with_logits(net(series), label)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()

    return Scene(net, optimizer, None, loader, train, score=lambda: data.accuracy(net, X, y))


@fault("SO-61274792", kind="recurrent/embedding_fed_floats",
       causes={"zero_input", "input_scale", "seen_by_network"},
       symptoms=NO_SIGNAL | {"regularization_share", "hidden_activation", "contradictory_labels"} | {"batch_dependency"}, learns=0.85)  # fmt: skip
def rows_of_floats_as_tokens(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=16, class_sep=2.0)
    X, X_val = (
        F.normalize(X, dim=1).abs() if not repaired else X,
        F.normalize(X_val, dim=1).abs() if not repaired else X_val,
    )
    torch.manual_seed(seed)

    class TokenNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(50, 8)
            self.dropout = nn.Dropout(0.5)
            self.lstm = nn.LSTM(8, 24, batch_first=True)
            self.dense = nn.Linear(24, 24)
            self.out = nn.Linear(24, 1)

        def forward(self, x):
            _, (h, _) = self.lstm(self.dropout(self.embedding(x.long())))
            return self.out(self.dense(h[-1])).squeeze(1)

    class FloatNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(16, 32)
            self.out = nn.Linear(32, 1)

        def forward(self, x):
            return self.out(F.relu(self.dense(x))).squeeze(1)

    model = FloatNet() if repaired else TokenNet()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3, alpha=0.9)
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(X, y.float()), batch_size=32, shuffle=True)

    def train():
        model.train()
        for epoch in range(8):
            for row, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(row), label)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("SO-50338865", kind="recurrent/missing_output_activation",
       causes={"loss_match", "learning_rate", "training_length"}, symptoms=NO_SIGNAL | {"output_layer"},
       learns=0.95)  # fmt: skip
def xor_as_sequences(repaired, seed):
    torch.manual_seed(seed)
    X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).unsqueeze(1)
    y = torch.tensor([0, 1, 1, 0])

    class TwoLSTMs(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.LSTM(2, 10, batch_first=True)
            self.second = nn.LSTM(10, 10, batch_first=True)
            self.out = nn.Linear(10, 2)

        def forward(self, x):
            x, _ = self.first(x)
            x, _ = self.second(x)
            return self.out(x[:, -1])

    model = TwoLSTMs()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02 if repaired else 1e-3)
    criterion = nn.CrossEntropyLoss() if repaired else nn.L1Loss()
    batches = [(X, y if repaired else F.one_hot(y, 2).float())]

    def train():
        for epoch in range(300):
            for x, target in batches:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            out = model(X)
        margin = out.gather(1, y.unsqueeze(1)) - out.gather(1, 1 - y.unsqueeze(1))
        return (margin > 0.5).float().mean().item()

    return Scene(model, optimizer, criterion, batches, train, score=score)


@fault("own-long-memory-plain-rnn", kind="recurrent/vanishing", causes={"vanishing_gradients", "hidden_activation", "saturation"},
       symptoms=NO_SIGNAL | {"training_length", "learning_rate", "weight_scale"}, learns=0.9)  # fmt: skip
def first_token_of_many(repaired, seed):
    torch.manual_seed(seed)
    steps = 40
    X = 0.3 * torch.randn(400, steps, 2)
    y = torch.randint(0, 2, (400,))
    X[:, 0, 1] = 2.0 * y - 1

    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(2, 24, batch_first=True)
            self.out = nn.Linear(24, 2)
            if repaired:
                nn.init.orthogonal_(self.rnn.weight_hh_l0)
                nn.init.normal_(self.rnn.weight_ih_l0, std=0.05)
                self.rnn.weight_ih_l0.data[:, 1] *= 10
            else:
                nn.init.normal_(self.rnn.weight_hh_l0, std=0.03)

        def forward(self, x):
            out, _ = self.rnn(x)
            return self.out(out[:, -1])

    model = Memory()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)

    def train():
        for epoch in range(15):
            for series, first in loader:
                optimizer.zero_grad()
                loss = criterion(model(series), first)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X, y))

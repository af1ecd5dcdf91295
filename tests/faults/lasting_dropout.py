"""Dropout that cannot be switched off, or on again."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import OVERFIT, STUCK
from tests.scenes import Scene, fault

CAUSES = {"train_eval_mode"}
SYMPTOMS = STUCK | OVERFIT | {"normalization", "loss_spike", "layer_order", "initial_loss", "regularization_sweep"}


def evaluations_differ(model, inputs):
    """Whether two looks at the same inputs in evaluation mode give two answers."""
    model.eval()
    with torch.no_grad():
        return not torch.equal(model(inputs), model(inputs))


@fault(
    "GH-SimpleNet-2", kind="training_loop/functional_dropout_always_on", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85
)
def dropout_hard_coded(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class SimpleNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 24, 3, padding=1)
            self.conv2 = nn.Conv2d(24, 32, 3, padding=1)
            self.classifier = nn.Linear(32, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv(x)), 2)
            x = F.relu(self.conv2(x))
            x = F.max_pool2d(x, kernel_size=x.size()[2:])
            x = F.dropout2d(x, 0.1, training=self.training if repaired else True)
            return self.classifier(x.view(x.size(0), -1))

    model = SimpleNet()
    optimizer = torch.optim.Adadelta(model.parameters())
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)

    def train():
        for epoch in range(5):
            model.train()
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = sum((model(x).argmax(1) == label).sum().item() for x, label in val_loader)
            print(epoch, hits / len(X_val))

    return Scene(
        model, optimizer, criterion, train_loader, train, val_loader,
        score=lambda: data.accuracy(model, X_val, y_val), symptom=lambda: evaluations_differ(model, X_val),
    )  # fmt: skip


@fault(
    "GH-pytorch-fm-21", kind="training_loop/functional_dropout_always_on", causes=CAUSES, symptoms=SYMPTOMS, learns=0.8
)
def factorization_machine(repaired, seed):
    torch.manual_seed(seed)
    fields = torch.randint(0, 10, (1200, 4))
    table = torch.randn(4, 10)
    y = (table[torch.arange(4), fields].sum(dim=1) + table[0, fields[:, 0]] * table[1, fields[:, 1]] > 0).float()

    class AttentionalFM(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(40, 16)
            self.linear = nn.Embedding(40, 1)
            self.attention = nn.Linear(16, 8)
            self.projection = nn.Linear(8, 1)
            self.fc = nn.Linear(16, 1)

        def forward(self, x):
            x = x + torch.arange(4) * 10
            e = self.embedding(x)
            row, column = [0, 0, 0, 1, 1, 2], [1, 2, 3, 2, 3, 3]
            inner = e[:, row] * e[:, column]
            scores = F.softmax(self.projection(F.relu(self.attention(inner))), dim=1)
            if repaired:
                scores = F.dropout(scores, p=0.2, training=self.training)
                pooled = F.dropout((scores * inner).sum(dim=1), p=0.2, training=self.training)
            else:
                scores = F.dropout(scores, p=0.2)
                pooled = F.dropout((scores * inner).sum(dim=1), p=0.2)
            return torch.sigmoid(self.linear(x).sum(dim=1) + self.fc(pooled)).squeeze(1)

    model = AttentionalFM()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-6)
    criterion = nn.BCELoss()
    loader = DataLoader(TensorDataset(fields[:1000], y[:1000]), batch_size=50, shuffle=True)
    valid_loader = DataLoader(TensorDataset(fields[1000:], y[1000:]), batch_size=50)

    def test():
        model.eval()
        targets, predicts = [], []
        with torch.no_grad():
            for x, target in valid_loader:
                predicts.extend(model(x).tolist())
                targets.extend(target.tolist())
        return sum((p > 0.5) == (t > 0.5) for p, t in zip(predicts, targets, strict=True)) / len(targets)

    def main():
        for epoch in range(10):
            model.train()
            for x, target in loader:
                loss = criterion(model(x), target)
                model.zero_grad()
                loss.backward()
                optimizer.step()
            print("epoch", epoch, "validation", test())

    return Scene(
        model, optimizer, criterion, loader, main, valid_loader,
        score=lambda: data.accuracy(lambda x: model.eval()(x) - 0.5, fields, y),
        symptom=lambda: evaluations_differ(model, fields),
    )  # fmt: skip


@fault("GH-BiModel-dropout", kind="recurrent/training_loop/functional_dropout_always_on", causes=CAUSES,
       symptoms=SYMPTOMS | {"sequence_lengths"}, learns=0.85)  # fmt: skip
def two_directions(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(1, 20, (400, 10))
    intent = (tokens.max(dim=1).values > 17).long()

    class BiModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(20, 16)
            self.encoder = nn.LSTM(16, 16, bidirectional=True, batch_first=True)
            self.decoder = nn.Linear(32, 2)

        def forward(self, x):
            if repaired:
                x = F.dropout(self.embedding(x), 0.2, self.training)
                h, _ = self.encoder(x)
                h = F.dropout(h, 0.2, self.training)
            else:
                x = F.dropout(self.embedding(x), 0.2)
                h, _ = self.encoder(x)
                h = F.dropout(h, 0.2)
            return self.decoder(h.mean(dim=1))

    model = BiModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(tokens[:320], intent[:320]), batch_size=16, shuffle=True)
    test_loader = DataLoader(TensorDataset(tokens[320:], intent[320:]), batch_size=40)

    def train():
        for epoch in range(10):
            model.train()
            for sentence, label in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(sentence), label)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5)
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = sum((model(sentence).argmax(1) == label).sum().item() for sentence, label in test_loader)
            print(epoch, hits / 80)

    return Scene(
        model, optimizer, None, loader, train, test_loader,
        score=lambda: data.accuracy(model, tokens, intent), symptom=lambda: evaluations_differ(model, tokens),
    )  # fmt: skip


@fault("GH-Megatron-411", kind="training_loop/dropout_off_for_ever", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def rate_set_to_zero(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 12, (600, 8))
    y = (tokens[:, 0] > 5).long()

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(12, 16)
            self.position = nn.Parameter(torch.randn(8, 16) * 0.2)
            self.qkv = nn.Linear(16, 48)
            self.out = nn.Linear(128, 2)
            self.dropout_p = 0.3

        def forward(self, x):
            x = self.embedding(x) + self.position
            q, k, v = self.qkv(x).chunk(3, dim=-1)
            if repaired:
                p = self.dropout_p if self.training else 0.0
                x = F.scaled_dot_product_attention(q, k, v, dropout_p=p)
            else:
                if not self.training:
                    self.dropout_p = 0.0
                x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout_p)
            return self.out(x.flatten(1))

    model = Attention()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    train_loader = DataLoader(TensorDataset(tokens[:480], y[:480]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(tokens[480:], y[480:]), batch_size=60)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(8):
            model.train()
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                print(epoch, sum(criterion(model(x), label).item() for x, label in val_loader) / len(val_loader))

    return Scene(
        model, optimizer, criterion, train_loader, train, val_loader,
        score=lambda: data.accuracy(model, tokens, y), symptom=lambda: model.dropout_p == 0.0,
    )  # fmt: skip

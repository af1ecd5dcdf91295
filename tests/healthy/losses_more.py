"""Losses for counts, spreads, quantiles, ranks and alignments."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import surface
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, digits, explained, split
from tests.scenes import Scene, healthy


def mlp(inputs, outputs, hidden=32):
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


@healthy("quantiles", kind="losses", learns=-0.1)
def quantiles(seed):
    torch.manual_seed(seed)
    x = 4 * torch.rand(2000, 1) - 2
    y = torch.sin(2 * x) + (0.1 + 0.2 * x.abs()) * torch.randn(2000, 1)
    x, y, x_val, y_val = split(x, y, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = mlp(1, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    qs = torch.tensor([0.1, 0.5, 0.9])

    def pinball(pred, target):
        error = target - pred
        return torch.maximum(qs * error, (qs - 1) * error).mean()

    def train():
        for epoch in range(30):
            for xb, yb in loader:
                loss = pinball(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"{epoch} {loss.item():.4f}")

    def score():
        with evaluating(model):
            return -((y_val < model(x_val)).float().mean(0) - qs).abs().max().item()

    return Scene(model, optimizer, pinball, loader, train, score=score)


@healthy("counts_with_poisson_nll", kind="losses", learns=0.6)
def counts_with_poisson_nll(seed):
    torch.manual_seed(seed)
    x = torch.randn(1500, 4)
    rate = torch.exp(0.8 * x[:, 0] - 0.5 * x[:, 1] + 0.5)
    counts = torch.poisson(rate)
    loader = DataLoader(TensorDataset(x[:1200], counts[:1200]), batch_size=50, shuffle=True)
    model = mlp(4, 1)
    criterion = nn.PoissonNLLLoss(log_input=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def train():
        for _ in range(15):
            for features, count in loader:
                optimizer.zero_grad()
                log_rate = model(features).squeeze(1)
                loss = criterion(log_rate, count)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return torch.corrcoef(torch.stack([model(x[1200:]).squeeze(1), rate[1200:].log()]))[0, 1].item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class MeanAndVariance(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.mean = nn.Linear(32, 1)
        self.variance = nn.Linear(32, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h), F.softplus(self.variance(h)) + 1e-4


@healthy("gaussian_nll", kind="losses", learns=0.6)
def gaussian_nll(seed):
    torch.manual_seed(seed)
    x = 2 * torch.rand(1000, 1) - 1
    spread = torch.where(x > 0, 0.5, 0.05)
    y = torch.sin(4 * x) + spread * torch.randn(1000, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = MeanAndVariance()
    criterion = nn.GaussianNLLLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for _epoch in range(30):
            for xb, yb in loader:
                mean, var = model(xb)
                loss = criterion(mean, yb, var)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            _, var = model(x)
            return 1 - ((var.sqrt() - spread).abs().mean() / 0.225).item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


@healthy("huber_with_outliers", kind="losses", learns=0.8)
def huber_with_outliers(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = surface(seed)
    y = torch.where(torch.rand_like(y) < 0.03, y + 10 * torch.randn_like(y), y)
    loader = DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True)
    model = mlp(5, 1, hidden=48)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.HuberLoss(delta=1.0)

    def train():
        for epoch in range(25):
            losses = []
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            print(epoch, sum(losses) / len(losses))

    return Scene(model, optimizer, criterion, loader, train, score=lambda: explained(model, x_val, y_val))


@healthy("cosine_embedding", kind="losses", learns=0.8)
def cosine_embedding(seed):
    torch.manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(16, 16)).Q
    left = torch.randn(1000, 16)
    right = torch.tanh(left @ rotation)
    same = torch.rand(1000) < 0.5
    right = torch.where(same[:, None], right, right[torch.randperm(1000)])
    target = torch.where(same, 1.0, -1.0)
    loader = DataLoader(TensorDataset(left[:800], right[:800], target[:800]), batch_size=40, shuffle=True)
    model = nn.Linear(16, 16)
    criterion = nn.CosineEmbeddingLoss(margin=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for _ in range(15):
            for a, b, t in loader:
                optimizer.zero_grad()
                loss = criterion(model(a), b, t)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            near = F.cosine_similarity(model(left[800:]), right[800:]) > 0.6
        return (near == same[800:]).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class LineReader(nn.Module):
    def __init__(self, inputs=8, symbols=5):
        super().__init__()
        self.conv = nn.Conv1d(inputs, 32, 3, padding=1)
        self.rnn = nn.GRU(32, 32, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(64, symbols + 1)

    def forward(self, x):
        h = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.fc(self.rnn(h)[0]).log_softmax(2)


@healthy("ctc", kind="losses", learns=0.9)
def ctc(seed):
    torch.manual_seed(seed)
    glyphs = torch.randn(5, 3, 8)
    words = torch.randint(0, 5, (480, 4))
    lines = torch.zeros(480, 4, 5, 8)
    lines[:, :, 1:4] = glyphs[words]
    lines = (lines + 0.2 * torch.randn_like(lines)).flatten(1, 2)
    loader = DataLoader(TensorDataset(lines[:400], words[:400] + 1), batch_size=20, shuffle=True)
    model = LineReader()
    ctc_loss = nn.CTCLoss(blank=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(12):
            for line, text in loader:
                log_probs = model(line).permute(1, 0, 2)
                input_lengths = torch.full((len(line),), log_probs.size(0))
                target_lengths = torch.full((len(text),), text.size(1))
                loss = ctc_loss(log_probs, text, input_lengths, target_lengths)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch} ctc {loss.item():.3f}")

    def score():
        with evaluating(model):
            paths = model(lines[400:]).argmax(2).tolist()
        hits = 0
        for path, word in zip(paths, (words[400:] + 1).tolist(), strict=True):
            read = [c for i, c in enumerate(path) if c and (i == 0 or c != path[i - 1])]
            hits += read == word
        return hits / len(paths)

    return Scene(model, optimizer, ctc_loss, loader, train, score=score)


@healthy("ranking", kind="losses", learns=0.85)
def ranking(seed):
    torch.manual_seed(seed)
    x, truth = torch.randn(600, 12), torch.randn(12)
    worth = torch.tanh(x @ truth / math.sqrt(12)) + 0.1 * torch.randn(600)
    i, j = torch.randint(0, 500, (2, 2000))
    pairs = TensorDataset(x[i], x[j], torch.sign(worth[i] - worth[j]))
    loader = DataLoader(pairs, batch_size=100, shuffle=True)
    scorer = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
    margin_ranking = nn.MarginRankingLoss(margin=0.5)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=3e-3)

    def train():
        for _ in range(10):
            for first, second, sign in loader:
                optimizer.zero_grad()
                loss = margin_ranking(scorer(first).squeeze(1), scorer(second).squeeze(1), sign)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(scorer):
            order = scorer(x[500:]).squeeze(1)
        right = (order[:, None] > order) == (worth[500:, None] > worth[500:])
        return right.float().mean().item()

    return Scene(scorer, optimizer, margin_ranking, loader, train, score=score)


@healthy("one_against_all", kind="losses", learns=0.9)
def one_against_all(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x.flatten(1), y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for _ in range(8):
            for xb, yb in loader:
                optimizer.zero_grad()
                targets = F.one_hot(yb, num_classes=10).float()
                loss = F.binary_cross_entropy_with_logits(model(xb), targets)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val.flatten(1), y_val))


@healthy("summed_loss_with_a_fitting_rate", kind="losses", learns=0.9)
def summed_loss_with_a_fitting_rate(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 / 32, momentum=0.5)

    def train():
        for epoch in range(8):
            total, seen = 0.0, 0
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
                total, seen = total + loss.item(), seen + len(xb)
            print(f"epoch {epoch}: {total / seen:.4f} per image")

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("targets_measured_in_part", kind="losses", learns=0.8)
def targets_measured_in_part(seed):
    """Two targets, of which only some were measured; the others stand as 0 in the table, and a mask leaves them out."""
    torch.manual_seed(seed)
    x = torch.randn(2400, 8)
    y = 3 + torch.stack([x[:, 0] + 0.5 * x[:, 1].abs(), torch.tanh(2 * x[:, 2]) * x[:, 3] + x[:, 0]], 1)
    y += 0.1 * torch.randn_like(y)
    known = (torch.rand_like(y) < 0.4).float()
    data = TensorDataset(x[:2000], (y * known)[:2000], known[:2000])
    loader = DataLoader(data, batch_size=50, shuffle=True)
    model = mlp(8, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def measured_only(prediction, target, mask):
        return ((prediction - target) ** 2 * mask).sum() / mask.sum().clamp(min=1)

    def train():
        for _ in range(20):
            for a, b, mask in loader:
                optimizer.zero_grad()
                loss = measured_only(model(a), b, mask)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return explained(model, x[2000:], y[2000:])

    return Scene(model, optimizer, None, loader, train, score=score)


@healthy("classes_without_those_that_are_not_sure", kind="losses", learns=0.8)
def classes_without_those_that_are_not_sure(seed):
    """Cross entropy without reduction, times the certainty of each label: half of them are guesses that do not count."""
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed=seed)
    sure = (torch.rand(len(y)) < 0.5).float()
    labels = torch.where(sure > 0, y, torch.randint(0, 10, y.shape))
    loader = DataLoader(TensorDataset(x, labels, sure), batch_size=64, shuffle=True)
    model = mlp(x[0].numel(), 10, hidden=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss(reduction="none")

    def train():
        for _ in range(20):
            for a, b, weight in loader:
                optimizer.zero_grad()
                ((criterion(model(a.flatten(1)), b) * weight).sum() / weight.sum().clamp(min=1)).backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return accuracy(model, x_val.flatten(1), y_val)

    return Scene(model, optimizer, criterion, loader, train, score=score)

"""Embeddings, pairs, triplets, several tasks at once, graphs and recommendations."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.healthy.scores import evaluating
from tests.scene_data import digits, standardized
from tests.scenes import Scene, healthy


def separation(encode, x, y):
    """How much closer items of one label are than others, from 0 to 1."""
    z = F.normalize(encode(x), dim=1)
    similar = z @ z.T
    same = y[:, None] == y
    off = ~torch.eye(len(y), dtype=torch.bool)
    return (similar[same & off].mean() - similar[~same].mean()).item()


def shaken(x):
    """The same images, shifted by up to one pixel and with noise."""
    dx, dy = torch.randint(-1, 2, (2,)).tolist()
    return x.roll((dx, dy), (2, 3)) + 0.2 * torch.randn_like(x)


def encoder(out=16):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, out),
    )  # fmt: skip


@healthy("contrastive", kind="representation", learns=0.35)
def contrastive(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=128, shuffle=True, drop_last=True)
    model = encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    temperature = 0.2

    def nt_xent(z1, z2):
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        sim = z @ z.T / temperature
        sim.fill_diagonal_(-1e9)
        n = len(z1)
        targets = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
        return F.cross_entropy(sim, targets)

    def train():
        for epoch in range(10):
            for images, _ in loader:
                loss = nt_xent(model(shaken(images)), model(shaken(images)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch} contrastive loss {loss.item():.3f}")

    def score():
        with evaluating(model):
            return separation(model, x_val, y_val)

    return Scene(model, optimizer, None, loader, train, score=score)


class Triplets(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y
        self.groups = [(y == label).nonzero().flatten() for label in range(10)]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        label = self.y[i].item()
        other = (label + torch.randint(1, 10, (1,)).item()) % 10
        pick = lambda group: self.x[group[torch.randint(len(group), (1,))].item()]
        return self.x[i], pick(self.groups[label]), pick(self.groups[other])


@healthy("triplets", kind="representation", learns=0.6)
def triplets(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(Triplets(x, y), batch_size=64, shuffle=True)
    model = encoder()
    criterion = nn.TripletMarginLoss(margin=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train():
        for epoch in range(5):
            total = 0
            for anchor, positive, negative in loader:
                optimizer.zero_grad()
                a, p, n = (F.normalize(model(images), dim=1) for images in (anchor, positive, negative))
                loss = criterion(a, p, n)
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(epoch, total / len(loader))

    def score():
        with evaluating(model):
            return separation(model, x_val, y_val)

    return Scene(model, optimizer, criterion, loader, train, score=score)


class BYOL(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(encoder(32), nn.BatchNorm1d(32))
        self.predictor = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, a, b):
        p = F.normalize(self.predictor(self.online(a)), dim=1)
        with torch.no_grad():
            z = F.normalize(self.target(b), dim=1)
        return 2 - 2 * (p * z).sum(1)

    @torch.no_grad()
    def update_target(self, tau=0.97):
        for t, o in zip(self.target.parameters(), self.online.parameters(), strict=True):
            t.mul_(tau).add_(o, alpha=1 - tau)


@healthy("bootstrapped_without_negatives", kind="representation", learns=0.25)
def bootstrapped_without_negatives(seed):
    torch.manual_seed(seed)
    x, _, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x), batch_size=128, shuffle=True, drop_last=True)
    model = BYOL()
    optimizer = torch.optim.Adam([*model.online.parameters(), *model.predictor.parameters()], lr=2e-3)

    def train():
        for epoch in range(12):
            for (images,) in loader:
                a, b = shaken(images), shaken(images)
                loss = (model(a, b) + model(b, a)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                model.update_target()
            print(epoch, loss.item())

    def score():
        with evaluating(model):
            return separation(model.online, x_val, y_val)

    return Scene(model, optimizer, None, loader, train, score=score)


class Twin(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(encoder(24), nn.BatchNorm1d(24))
        self.predict = nn.Sequential(nn.Linear(24, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 24))

    def forward(self, a, b):
        za, zb = self.net(a), self.net(b)
        return self.predict(za), self.predict(zb), za.detach(), zb.detach()


@healthy("stopped_gradient_on_purpose", kind="representation", learns=0.2)
def stopped_gradient_on_purpose(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True, drop_last=True)
    model = Twin()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CosineSimilarity(dim=1)

    def train():
        model.train()
        for _ in range(12):
            for images, _ in loader:
                p1, p2, z1, z2 = model(shaken(images), shaken(images))
                loss = -(criterion(p1, z2).mean() + criterion(p2, z1).mean()) * 0.5
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return separation(model.net, x_val, y_val)

    return Scene(model, optimizer, None, loader, train, score=score)


class PairNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = encoder(12)

    def forward(self, a, b):
        return F.pairwise_distance(self.embed(a), self.embed(b))


@healthy("contrastive_pairs", kind="representation", learns=0.9)
def contrastive_pairs(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)

    def pairs(images, labels):
        partner = torch.where(
            torch.rand(len(labels)) < 0.5,
            torch.stack(
                [(labels == c).nonzero().flatten()[torch.randint((labels == c).sum(), (1,))][0] for c in labels]
            ),
            torch.randperm(len(labels)),
        )
        return images, images[partner], (labels == labels[partner]).float()

    first, second, same = pairs(x_val, y_val)
    loader = DataLoader(TensorDataset(*pairs(x, y)), batch_size=32, shuffle=True)
    model = PairNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    margin = 2.0

    def train():
        for _ in range(8):
            for a, b, s in loader:
                distance = model(a, b)
                loss = (s * distance.pow(2) + (1 - s) * F.relu(margin - distance).pow(2)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return ((model(first, second) < margin / 2) == same.bool()).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.digit = nn.Linear(32, 10)
        self.parity = nn.Linear(32, 1)
        self.ink = nn.Linear(32, 1)

    def forward(self, x):
        h = self.shared(x)
        return self.digit(h), self.parity(h).squeeze(1), self.ink(h).squeeze(1)


@healthy("several_tasks", kind="representation", learns=0.9)
def several_tasks(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    ink = standardized(x.mean(dim=(1, 2, 3)))
    loader = DataLoader(TensorDataset(x, y, (y % 2).float(), ink), batch_size=48, shuffle=True)
    model = MultiTask()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    ce, bce, mse = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.MSELoss()

    def train():
        for epoch in range(10):
            for xb, digit, parity, amount in loader:
                d, p, a = model(xb)
                losses = {"digit": ce(d, digit), "parity": bce(p, parity), "ink": mse(a, amount)}
                loss = losses["digit"] + 0.5 * losses["parity"] + 0.5 * losses["ink"]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, {k: round(v.item(), 3) for k, v in losses.items()})

    def score():
        with evaluating(model):
            return (model(x_val)[0].argmax(1) == y_val).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)


class MatrixFactorization(nn.Module):
    def __init__(self, users, items, k=6):
        super().__init__()
        self.P, self.Q = nn.Embedding(users, k), nn.Embedding(items, k)
        self.user_bias, self.item_bias = nn.Embedding(users, 1), nn.Embedding(items, 1)
        for table in (self.P, self.Q):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)
        self.mean = nn.Parameter(torch.tensor(3.5))

    def forward(self, u, i):
        bias = self.user_bias(u).squeeze(1) + self.item_bias(i).squeeze(1)
        return (self.P(u) * self.Q(i)).sum(1) + bias + self.mean


@healthy("matrix_factorization", kind="representation", learns=0.5)
def matrix_factorization(seed):
    torch.manual_seed(seed)
    users, items, ratings = 100, 60, 4000
    taste, kind = torch.randn(users, 3), torch.randn(items, 3)
    u, i = torch.randint(0, users, (ratings,)), torch.randint(0, items, (ratings,))
    stars = (3.5 + 0.6 * (taste[u] * kind[i]).sum(1) + 0.3 * torch.randn(ratings)).clamp(1, 5)
    loader = DataLoader(TensorDataset(u[:3200], i[:3200], stars[:3200]), batch_size=64, shuffle=True)
    model = MatrixFactorization(users, items)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-5)

    def train():
        for _epoch in range(12):
            for user, item, rating in loader:
                optimizer.zero_grad()
                loss = criterion(model(user, item), rating)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(u[3200:], i[3200:]), stars[3200:]) / stars[3200:].var()).item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class SkipGram(nn.Module):
    def __init__(self, words, width=16):
        super().__init__()
        self.center = nn.Embedding(words, width)
        self.context = nn.Embedding(words, width)
        nn.init.zeros_(self.context.weight)

    def forward(self, center, context):
        return (self.center(center) * self.context(context)).sum(-1)


@healthy("word_vectors_with_negative_sampling", kind="representation", learns=0.3)
def word_vectors_with_negative_sampling(seed):
    torch.manual_seed(seed)
    topic = torch.randint(0, 5, (6000,))
    center = topic * 10 + torch.randint(0, 10, (6000,))
    context = topic * 10 + torch.randint(0, 10, (6000,))
    loader = DataLoader(TensorDataset(center, context), batch_size=100, shuffle=True)
    model = SkipGram(50)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for epoch in range(6):
            total = 0.0
            for c, o in loader:
                negative = torch.randint(0, 50, (len(c), 5))
                positive_loss = F.logsigmoid(model(c, o)).mean()
                negative_loss = F.logsigmoid(-model(c.unsqueeze(1), negative)).sum(1).mean()
                loss = -(positive_loss + negative_loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(epoch, total / len(loader))

    def score():
        with evaluating(model):
            return separation(model.center, torch.arange(50), torch.arange(50) // 10)

    return Scene(model, optimizer, None, loader, train, score=score)

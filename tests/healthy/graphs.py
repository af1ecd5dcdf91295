"""Graphs, sets, recommendations, survival: losses over nodes, edges and pairs."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.scores import evaluating
from tests.scene_data import split
from tests.scenes import Scene, healthy


class MessagePassing(nn.Module):
    """Sums messages along the edges of many small graphs at once, then over the nodes of each graph."""

    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Embedding(4, width)
        self.message = nn.Linear(width, width)
        self.update = nn.GRUCell(width, width)
        self.readout = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, atoms, bonds):
        batch, nodes = atoms.shape
        h = self.embed(atoms)
        for _ in range(2):
            m = bonds @ F.relu(self.message(h))
            h = self.update(m.view(batch * nodes, -1), h.view(batch * nodes, -1)).view(batch, nodes, -1)
        return self.readout(h).sum(dim=1)


@healthy("property_of_a_graph", kind="graphs", learns=0.8)
def property_of_a_graph(seed):
    torch.manual_seed(seed)
    atoms = torch.randint(0, 4, (1000, 8))
    bonds = torch.triu((torch.rand(1000, 8, 8) < 0.25).float(), diagonal=1)
    bonds = bonds + bonds.transpose(1, 2)
    charge = torch.tensor([-1.0, 0.5, 1.0, 2.0])[atoms]
    energy = torch.einsum("bi,bij,bj->b", charge, bonds, charge)
    energy = ((energy - energy.mean()) / energy.std())[:, None]
    data = TensorDataset(atoms[:800], bonds[:800], energy[:800])
    loader = DataLoader(data, batch_size=40, shuffle=True)
    model = MessagePassing()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()

    def train():
        for epoch in range(15):
            total = 0.0
            for a, b, e in loader:
                optimizer.zero_grad()
                loss = criterion(model(a, b), e)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                total += loss.item() * len(a)
            print(epoch, total / len(data))

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(atoms[800:], bonds[800:]), energy[800:]) / energy[800:].var()).item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class Followers(nn.Module):
    """One round of messages along the edges of a sparse table."""

    def __init__(self, features=12, width=32, classes=4):
        super().__init__()
        self.embed, self.message, self.out = (
            nn.Linear(features, width),
            nn.Linear(width, width),
            nn.Linear(width, classes),
        )

    def forward(self, edges, x):
        h = F.relu(self.embed(x))
        return self.out(F.relu(torch.sparse.mm(edges, self.message(h))))


def followers(count, seed, *, sparse=True, nodes=120, followed=3):
    """Graphs with numbers at each node; the class of a node is what most is seen of among those that it follows."""
    generator = torch.Generator().manual_seed(seed)
    look = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    graphs = []
    for _ in range(count):
        who = torch.arange(nodes).repeat_interleave(followed)
        whom = torch.randint(0, nodes, (nodes * followed,), generator=generator)
        table = torch.sparse_coo_tensor(torch.stack([who, whom]), torch.full((len(who),), 1 / followed), (nodes, nodes))
        x = torch.randn(nodes, 12, generator=generator)
        label = torch.sparse.mm(table, x @ look).argmax(1)
        graphs.append((table.coalesce() if sparse else table.to_dense(), x, label))
    return graphs


@healthy("nodes_of_sparse_graphs", kind="graphs", learns=0.7)
def nodes_of_sparse_graphs(seed):
    torch.manual_seed(seed)
    graphs, others = followers(12, seed + 1), followers(4, seed + 101)
    model = Followers()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for _ in range(25):
            for edges, x, y in graphs:
                optimizer.zero_grad()
                criterion(model(edges, x), y).backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return sum((model(edges, x).argmax(1) == y).float().mean().item() for edges, x, y in others) / len(others)

    return Scene(model, optimizer, criterion, graphs, train, val_loader=others, score=score)


class TwoTowers(nn.Module):
    def __init__(self, features=10, width=16):
        super().__init__()
        self.user = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, width))
        self.item = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, width))

    def forward(self, users, items):
        return F.normalize(self.user(users), dim=1) @ F.normalize(self.item(items), dim=1).T


@healthy("two_towers_with_in_batch_negatives", kind="graphs", learns=0.7)
def two_towers_with_in_batch_negatives(seed):
    torch.manual_seed(seed)
    users = torch.randn(1500, 10)
    items = torch.tanh(users @ torch.linalg.qr(torch.randn(10, 10)).Q) + 0.1 * torch.randn(1500, 10)
    loader = DataLoader(TensorDataset(users[:1300], items[:1300]), batch_size=50, shuffle=True, drop_last=True)
    model = TwoTowers()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(12):
            for u, i in loader:
                scores = model(u, i) / 0.1
                labels = torch.arange(len(u))
                loss = (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    def score():
        with evaluating(model):
            return (model(users[1300:], items[1300:]).argmax(1) == torch.arange(200)).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)


class DeepSet(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32))
        self.rho = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, points):
        return self.rho(self.phi(points).mean(dim=1))


@healthy("clouds_of_points", kind="graphs", learns=0.9)
def clouds_of_points(seed):
    torch.manual_seed(seed)
    kind = torch.randint(0, 3, (900,))
    angle = 2 * torch.pi * torch.rand(900, 16)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    square = circle / circle.abs().amax(-1, keepdim=True)
    blob = torch.randn(900, 16, 2) * 0.8
    points = torch.where((kind == 0)[:, None, None], circle, torch.where((kind == 1)[:, None, None], square, blob))
    x, y, x_val, y_val = split(points + 0.05 * torch.randn_like(points), kind, seed=seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = DeepSet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for _ in range(15):
            for cloud, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(cloud), label)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return (model(x_val).argmax(1) == y_val).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


@healthy("survival_with_partial_likelihood", kind="graphs", learns=0.7)
def survival_with_partial_likelihood(seed):
    """The loss of an item depends on all items of its batch, as it should."""
    torch.manual_seed(seed)
    x = torch.randn(1000, 6)
    risk = x[:, 0] - 0.5 * x[:, 1] ** 2 + 0.5 * x[:, 2]
    time = torch.distributions.Exponential(risk.exp()).sample()
    seen = torch.rand(1000) < 0.7
    loader = DataLoader(TensorDataset(x[:800], time[:800], seen[:800]), batch_size=100, shuffle=True)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1, bias=False))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-4)

    def cox_loss(log_risk, time, event):
        order = time.argsort(descending=True)
        log_risk, event = log_risk[order], event[order]
        return -(log_risk - log_risk.logcumsumexp(0))[event].mean()

    def train():
        for epoch in range(20):
            for features, t, event in loader:
                loss = cox_loss(model(features).squeeze(1), t, event)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    def score():
        with evaluating(model):
            found = model(x[800:]).squeeze(1)
        return torch.corrcoef(torch.stack([found, risk[800:]]))[0, 1].item()

    return Scene(model, optimizer, cox_loss, loader, train, score=score)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Linear(64, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


@healthy("gan_seen_from_the_discriminator", kind="generative", learns=-0.3)
def gan_seen_from_the_discriminator(seed):
    """The discriminator's loss stays near that of chance, which is what both want in the end."""
    torch.manual_seed(seed)
    points = torch.randn(1000, 2) * torch.tensor([1.0, 0.4]) + torch.tensor([0.5, -0.5])
    dataloader = DataLoader(TensorDataset(points), batch_size=50, shuffle=True)
    G = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2))
    D = Discriminator()
    adversarial_loss = nn.BCELoss()
    optimizer_G = torch.optim.Adam(G.parameters(), lr=5e-4, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def train():
        for epoch in range(25):
            for (real,) in dataloader:
                valid, fake = torch.ones(real.size(0), 1), torch.zeros(real.size(0), 1)
                optimizer_G.zero_grad()
                generated = G(torch.randn(real.size(0), 3))
                g_loss = adversarial_loss(D(generated), valid)
                g_loss.backward()
                optimizer_G.step()

                optimizer_D.zero_grad()
                real_loss = adversarial_loss(D(real), valid)
                fake_loss = adversarial_loss(D(generated.detach()), fake)
                d_loss = (real_loss + fake_loss) / 2
                d_loss.backward()
                optimizer_D.step()
            print(f"[Epoch {epoch}] [D loss: {d_loss.item():.3f}] [G loss: {g_loss.item():.3f}]")

    def score():
        with evaluating(G):
            made = G(torch.randn(2000, 3))
        return -((made.mean(0) - points.mean(0)).abs().max() + (made.std(0) - points.std(0)).abs().max()).item()

    return Scene(D, optimizer_D, adversarial_loss, dataloader, train, score=score)

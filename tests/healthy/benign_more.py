"""More published trainings that look wrong and are not: graphs, sums, zeros, recurrent networks."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy import data
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy
from tests.scenes import Scene, healthy


class GraphConv(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_normal_(self.kernel)

    def forward(self, x, adjacency):
        return adjacency @ (x @ self.kernel) + self.bias


class GCN(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.gc1 = GraphConv(features, hidden)
        self.gc2 = GraphConv(hidden, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, adjacency):
        x = self.dropout(F.relu(self.gc1(x, adjacency)))
        return F.log_softmax(self.gc2(x, adjacency), dim=1)


@healthy("graph_in_one_batch", kind="benign", learns=0.8)
def graph_in_one_batch(seed):
    torch.manual_seed(seed)
    nodes, classes, words = 400, 5, 100
    labels = torch.arange(nodes) % classes
    linked = torch.rand(nodes, nodes) < torch.where(labels[:, None] == labels, 0.04, 0.004)
    adjacency = ((linked | linked.T).float() + torch.eye(nodes)).clamp(max=1)
    degree = adjacency.sum(1).rsqrt()
    adjacency = degree[:, None] * adjacency * degree
    topic = torch.arange(words) % classes
    features = (torch.rand(nodes, words) < torch.where(labels[:, None] == topic, 0.12, 0.06)).float()
    features = features / features.sum(1, keepdim=True).clamp(min=1)
    order = torch.randperm(nodes)
    idx_train, idx_val, idx_test = order[:140], order[140:240], order[240:]
    gcn = GCN(words, 16, classes)
    optimizer = torch.optim.Adam(gcn.parameters(), lr=0.01, weight_decay=5e-4)
    criterion = nn.NLLLoss()

    def test(idx):
        gcn.eval()
        with torch.no_grad():
            output = gcn(features, adjacency)
            return (output[idx].argmax(1) == labels[idx]).float().mean().item()

    def train():
        for epoch in range(200):
            gcn.train()
            optimizer.zero_grad()
            output = gcn(features, adjacency)
            loss = criterion(output[idx_train], labels[idx_train])
            loss.backward()
            optimizer.step()
            if epoch % 20 == 0:
                print(f"Epoch {epoch:04d} {loss.item():.4f} {test(idx_val):.4f}")

    return Scene(gcn, optimizer, criterion, None, train, score=lambda: test(idx_test))


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 128)
        self.fc21 = nn.Linear(128, 8)
        self.fc22 = nn.Linear(128, 8)
        self.fc3 = nn.Linear(8, 128)
        self.fc4 = nn.Linear(128, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


@healthy("vae_with_summed_loss", kind="benign", learns=0.38)
def vae_with_summed_loss(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=128, shuffle=True)
    test_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=128)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def loss_function(recon_x, x, mu, logvar):
        bce = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld

    def train():
        for epoch in range(25):
            model.train()
            train_loss = 0
            for images, _ in train_loader:
                optimizer.zero_grad()
                recon_batch, mu, logvar = model(images)
                loss = loss_function(recon_batch, images, mu, logvar)
                loss.backward()
                train_loss += loss.item()
                optimizer.step()
            print(f"====> Epoch: {epoch} Average loss: {train_loss / len(train_loader.dataset):.4f}")

    def score():
        with evaluating(model):
            mu, _ = model.encode(x_val.flatten(1))
            return 1 - (F.mse_loss(model.decode(mu), x_val.flatten(1)) / x_val.flatten(1).var(0).mean()).item()

    return Scene(model, optimizer, None, train_loader, train, test_loader, score)


@healthy("zero_last_layer", kind="benign", learns=0.9)
def zero_last_layer(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    x, x_val = (x.flatten(1) - x.mean()) / x.std(), (x_val.flatten(1) - x.mean()) / x.std()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    head = nn.Linear(64, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), head)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.CrossEntropyLoss()

    def train():
        for _ in range(8):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss_fn(model(xb), yb).backward()
                optimizer.step()

    return Scene(model, optimizer, loss_fn, loader, train, score=lambda: accuracy(model, x_val, y_val))


class GatedBlock(nn.Module):
    """A block whose scale, shift and gate come from a condition; the gate starts at zero."""

    def __init__(self, width, condition):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(condition, 3 * width))
        nn.init.zeros_(self.modulation[-1].weight)
        nn.init.zeros_(self.modulation[-1].bias)

    def forward(self, x, c):
        scale, shift, gate = self.modulation(c).chunk(3, dim=-1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class Conditioned(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(5, 32)
        self.condition = nn.Embedding(3, 16)
        self.blocks = nn.ModuleList(GatedBlock(32, 16) for _ in range(3))
        self.out = nn.Linear(32, 1)

    def forward(self, x, c):
        x, c = self.stem(x), self.condition(c)
        for block in self.blocks:
            x = block(x, c)
        return self.out(x)


@healthy("zero_gates", kind="benign", learns=0.8)
def zero_gates(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.surface(seed)
    c, c_val = torch.randint(0, 3, (len(x),)), torch.randint(0, 3, (len(x_val),))
    factor = torch.tensor([-1.0, 0.5, 1.5])
    y, y_val = y * factor[c][:, None], y_val * factor[c_val][:, None]
    loader = DataLoader(TensorDataset(x, c, y), batch_size=50, shuffle=True)
    model = Conditioned()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def train():
        for epoch in range(25):
            for features, condition, target in loader:
                pred = model(features, condition)
                loss = F.mse_loss(pred, target)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(x_val, c_val), y_val) / y_val.var()).item()

    return Scene(model, optimizer, None, loader, train, score=score)


@healthy("zero_linear_model", kind="benign", learns=0.9)
def zero_linear_model(seed):
    torch.manual_seed(seed)
    spectrum, truth = torch.randn(1200, 40), torch.randn(40, 12)
    notes = (spectrum @ truth + torch.randn(1200, 12) > 3).float()
    loader = DataLoader(TensorDataset(spectrum[:1000], notes[:1000]), batch_size=50, shuffle=True)
    model = nn.Linear(40, 12)
    nn.init.constant_(model.weight, 0)
    nn.init.constant_(model.bias, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    criterion = nn.BCEWithLogitsLoss()

    def train():
        for _ in range(15):
            for x, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return ((model(spectrum[1000:]) > 0) == notes[1000:].bool()).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)

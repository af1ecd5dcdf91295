"""Parts of the graph or of the loss that no gradient passes, and state that is never let go."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, OVERFIT, STUCK
from tests.scenes import Scene, fault

CAUSES = {"gradient_flow"}
SYMPTOMS = NO_SIGNAL | {"loss_terms", "trainable_parameters", "optimizer_step"}


@fault("GH-image2reverb-37", kind="training_loop/detach_in_generator_step", causes=CAUSES | {"loss_terms"},
       symptoms=SYMPTOMS, learns=-1.2)  # fmt: skip
def generator_that_hears_nothing(repaired, seed):
    torch.manual_seed(seed)
    angle = 6.28 * torch.rand(800, 1)
    real = torch.cat([angle.cos(), angle.sin()], dim=1) * 2 + 0.05 * torch.randn(800, 2)
    noise = torch.randn(800, 2)
    generator = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
    )
    model = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    g_opt = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    d_opt = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    loader = DataLoader(TensorDataset(noise, real), batch_size=64, shuffle=True)
    mse = nn.MSELoss()

    def train():
        for epoch in range(25):
            for z, x in loader:
                fake = generator(z)
                d_real, d_fake = discriminator(x), discriminator(fake.detach())
                d_loss = mse(d_real, torch.ones_like(d_real)) + mse(d_fake, torch.zeros_like(d_fake))
                d_opt.zero_grad()
                d_loss.backward()
                d_opt.step()

                judged = discriminator(fake.detach())
                g_loss = mse(judged, torch.ones_like(judged)) + 0.01 * fake.abs().mean()
                g_opt.zero_grad()
                g_loss.backward()
                g_opt.step()

    def train_attached():
        for epoch in range(25):
            for z, x in loader:
                fake = generator(z)
                d_real, d_fake = discriminator(x), discriminator(fake.detach())
                d_loss = mse(d_real, torch.ones_like(d_real)) + mse(d_fake, torch.zeros_like(d_fake))
                d_opt.zero_grad()
                d_loss.backward()
                d_opt.step()

                judged = discriminator(fake)
                g_loss = mse(judged, torch.ones_like(judged)) + 0.01 * fake.abs().mean()
                g_opt.zero_grad()
                g_loss.backward()
                g_opt.step()

    def score():
        with torch.no_grad():
            return -(generator(noise).norm(dim=1) - 2).abs().mean().item()

    loop = train_attached if repaired else train
    return Scene(model, [g_opt, d_opt], None, loader, loop, score=score)


@fault("GH-FL-MRCM-10", kind="training_loop/loss_term_detached", causes=CAUSES | {"loss_terms"}, symptoms=SYMPTOMS,
       learns=0.85)  # fmt: skip
def term_turned_into_a_number(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU())
            self.decoder = nn.Linear(48, 64)
            self.classifier = nn.Linear(48, 10)

        def forward(self, x):
            h = self.encoder(x)
            return self.decoder(h), self.classifier(h)

    net = TwoHeads()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(8):
            for image, label in loader:
                reconstruction, scores = net(image)
                rec_loss = F.l1_loss(reconstruction, image.flatten(1))
                adv_loss = F.cross_entropy(scores, label).detach().item()
                loss = rec_loss + adv_loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"{epoch}: {rec_loss.item():.3f} {adv_loss:.3f}")

    def train_attached():
        for epoch in range(8):
            for image, label in loader:
                reconstruction, scores = net(image)
                rec_loss = F.l1_loss(reconstruction, image.flatten(1))
                adv_loss = F.cross_entropy(scores, label)
                loss = rec_loss + adv_loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"{epoch}: {rec_loss.item():.3f} {adv_loss.item():.3f}")

    score = lambda: data.accuracy(lambda x: net(x)[1], X_val, y_val)
    return Scene(net, optimizer, None, loader, train_attached if repaired else train, score=score)


@fault("own-detached-in-forward", kind="architecture/detached_features", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def features_through_numpy(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6), nn.Tanh())
            self.classifier = nn.Linear(6, 10)

        def forward(self, x):
            h = self.features(x)
            if not repaired:
                h = torch.tensor(h.tolist())
            return self.classifier(h)

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(12):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-no-grad-around-the-body", kind="architecture/detached_features", causes=CAUSES, symptoms=SYMPTOMS,
       learns=0.8)  # fmt: skip
def body_without_gradient(repaired, seed):
    torch.manual_seed(seed)
    X = torch.rand(600, 2) * 4 - 2
    y = (torch.sin(3 * X[:, 0]) * torch.cos(2 * X[:, 1])).unsqueeze(1)
    body = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
    head = nn.Linear(48, 1)
    model = nn.Sequential(body, head)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(25):
            for x, target in loader:
                features = body(x)
                loss = F.mse_loss(head(features), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_head():
        for epoch in range(25):
            for x, target in loader:
                with torch.no_grad():
                    features = body(x)
                loss = F.mse_loss(head(features), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_head
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.explained(model, X, y))


@fault("GH-pytorch-2769", kind="recurrent/training_loop/state_never_detached", causes={"retained_state"},
       symptoms=STUCK | OVERFIT | {"batch_dependency"}, learns=0.8)  # fmt: skip
def hidden_state_of_all_batches(repaired, seed):
    torch.manual_seed(seed)
    kinds = torch.randint(0, 4, (240,))
    frames = torch.randn(4, 16)[kinds].unsqueeze(1) + torch.randn(240, 6, 16)

    class ActionLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.fc = nn.Linear(24, 4)
            self.hidden = self.init_hidden()

        def init_hidden(self):
            return torch.zeros(1, 20, 24), torch.zeros(1, 20, 24)

        def forward(self, x):
            out, self.hidden = self.lstm(x, self.hidden)
            return F.log_softmax(self.fc(out[:, -1]), dim=1)

    model = ActionLSTM()
    criterion = nn.NLLLoss()
    loader = DataLoader(TensorDataset(frames, kinds), batch_size=20, shuffle=True)
    lr = 0.05

    def train():
        for epoch in range(6):
            for clip, action in loader:
                model.zero_grad()
                loss = criterion(model(clip), action)
                loss.backward(retain_graph=True)
                for p in model.parameters():
                    p.data.add_(p.grad, alpha=-lr)

    def train_fresh():
        for epoch in range(12):
            for clip, action in loader:
                model.hidden = model.init_hidden()
                model.zero_grad()
                loss = criterion(model(clip), action)
                loss.backward()
                for p in model.parameters():
                    p.data.add_(p.grad, alpha=-lr)

    def score():
        with torch.no_grad():
            out, _ = model.lstm(frames)
            return (model.fc(out[:, -1]).argmax(1) == kinds).float().mean().item()

    def graph_size():
        seen, waiting = set(), [model.hidden[0].grad_fn]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [before for before, _ in node.next_functions]
        return len(seen)

    loop = train_fresh if repaired else train
    return Scene(model, None, criterion, loader, loop, score=score, symptom=lambda: graph_size() > 100)


@fault("own-state-of-unrelated-sequences", kind="recurrent/training_loop/state_carried_over",
       causes={"retained_state", "batch_dependency"}, symptoms=STUCK | OVERFIT, learns=0.85)  # fmt: skip
def state_of_the_batch_before(repaired, seed):
    torch.manual_seed(seed)
    tokens = torch.randint(0, 10, (600, 5))
    y = (tokens[:, 0] > 4).long()

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(10, 12)
            self.gru = nn.GRU(12, 24, batch_first=True)
            self.out = nn.Linear(24, 2)
            self.hidden = None

        def forward(self, x):
            start = self.hidden if self.hidden is not None and self.hidden.size(1) == len(x) else None
            out, hidden = self.gru(self.embedding(x), start)
            self.hidden = None if repaired else hidden.detach()
            return self.out(out[:, -1])

    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(tokens, y), batch_size=30, shuffle=True)

    def train():
        for epoch in range(12):
            for sequence, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(sequence), label)
                loss.backward()
                optimizer.step()

    def remembers():
        with torch.no_grad():
            model(tokens[:30])
            first = model(tokens[30:60])
            model(tokens[60:90])
            return not torch.equal(first, model(tokens[30:60]))

    score = lambda: data.accuracy(model, tokens, y)
    return Scene(model, optimizer, criterion, loader, train, score=score, symptom=remembers)

"""Networks that never see what would tell the answer, or most of their items."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import BAD_START, NO_SIGNAL, OVERFIT, STUCK
from tests.scenes import Scene, fault

SYMPTOMS = NO_SIGNAL | {"input_scale", "contradictory_labels", "seen_by_network", "input_attribution"}


@fault("SO-60831731", kind="data/wrong_target_passed",
       causes={"split_shift", "label_alignment", "split_leakage"},
       symptoms=NO_SIGNAL | OVERFIT | {"learning_rate"} | {"output_layer", "hidden_activation"}, learns=0.6)  # fmt: skip
def fitted_on_its_own_targets(repaired, seed):
    torch.manual_seed(seed)
    roots = torch.rand(500, 2).sort(dim=1).values
    coefficients = torch.stack([-(roots[:, 0] + roots[:, 1]), roots[:, 0] * roots[:, 1]], dim=1)
    samples = data.standardized(coefficients)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh() if repaired else nn.Sigmoid(), nn.Linear(32, 2), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.MSELoss()
    train_loader = DataLoader(
        TensorDataset(samples[:400] if repaired else roots[:400], roots[:400]), batch_size=10, shuffle=True
    )
    val_loader = DataLoader(TensorDataset(samples[400:], roots[400:]), batch_size=50)

    def train():
        for epoch in range(12):
            for x, y in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                print(epoch, sum(criterion(model(x), y).item() for x, y in val_loader) / len(val_loader))

    score = lambda: data.explained(model, samples[400:], roots[400:])
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("own-overwritten-input", kind="architecture/input_ignored", causes={"zero_input", "gradient_flow"},
       symptoms=SYMPTOMS | {"trainable_parameters"}, learns=0.9)  # fmt: skip
def a_state_instead_of_the_input(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU())
            self.start = nn.Parameter(torch.randn(48) * 0.1)
            self.decoder = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10))

        def forward(self, x):
            h = self.encoder(x)
            state = self.start.expand(len(x), -1)
            return self.decoder(h + state if repaired else state)

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
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


@fault("own-wrong-tensor-in-the-loop", kind="training_loop/input_ignored", causes={"zero_input", "label_alignment"},
       symptoms=SYMPTOMS | OVERFIT, learns=0.85)  # fmt: skip
def the_noise_goes_in(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=12, class_sep=2.0)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(12):
            for x, label in loader:
                noise = 0.1 * torch.randn_like(x)
                loss = F.cross_entropy(model(x + noise), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_noise():
        for epoch in range(12):
            for x, label in loader:
                noise = 0.1 * torch.randn_like(x)
                loss = F.cross_entropy(model(noise), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_noise
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-percent-instead-of-shares", kind="data/label_range", causes={"label_range", "output_layer", "loss_match"},
       symptoms=BAD_START | {"label_balance", "loss_match", "initial_loss"}, learns=0.8)  # fmt: skip
def percent_instead_of_shares(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(600, 8)
    share = torch.sigmoid(X @ torch.randn(8, 1))
    y = share if repaired else 100 * share
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for x, t in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), t)
                loss.backward()
                optimizer.step()

    final = lambda x: torch.sigmoid(model(x)) * (1 if repaired else 100)
    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.explained(final, X, y))


@fault("own-passes-left-after-one-batch", kind="training_loop/passes_left_early", causes={"training_length"},
       symptoms=STUCK | {"learning_rate"}, learns=0.85)  # fmt: skip
def passes_left_after_one_batch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}: {loss.item():.3f}")

    def train_on_one():
        for epoch in range(15):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
                print(f"epoch {epoch}: {loss.item():.3f}")
                break

    loop = train if repaired else train_on_one
    return Scene(model, optimizer, criterion, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-answer-read-behind-the-padding", kind="recurrent/padding", causes={"zero_input"}, symptoms=SYMPTOMS | {"gradient_flow"},
       learns=0.9)  # fmt: skip
def answer_read_behind_the_padding(repaired, seed):
    torch.manual_seed(seed)
    places, lengths = torch.arange(120), torch.randint(3, 10, (600, 1))
    liked = torch.randint(0, 2, (600, 1))
    words = torch.where(torch.rand(600, 120) < 0.85, liked, 1 - liked) * 20 + torch.randint(1, 21, (600, 120))
    reviews, y = words * (places < lengths), liked.squeeze(1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(41, 16, padding_idx=0)
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.head = nn.Linear(24, 2)

        def forward(self, tokens):
            outputs, _ = self.lstm(self.embedding(tokens))
            ends = (tokens > 0).sum(1) - 1
            return self.head(outputs[torch.arange(len(tokens)), ends] if repaired else outputs[:, -1])

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(reviews[:500], y[:500]), batch_size=25, shuffle=True)

    def train():
        for epoch in range(6):
            for tokens, opinion in loader:
                optimizer.zero_grad()
                loss = criterion(model(tokens), opinion)
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(model, reviews[500:], y[500:])
    return Scene(model, optimizer, criterion, loader, train, score=score)


@fault("own-pooled-before-the-first-convolution", kind="architecture/too_coarse", causes={"capacity"},
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def pooled_before_the_first_convolution(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    first, last = (nn.Identity(), nn.MaxPool2d(4)) if repaired else (nn.MaxPool2d(4), nn.Identity())
    model = nn.Sequential(
        first, nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), last,
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
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

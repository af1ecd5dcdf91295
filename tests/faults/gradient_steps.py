"""Gradients that are kept, thrown away, clipped too late or followed the wrong way."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import UNSTABLE
from tests.faults.wrong_way import SmallConvNet
from tests.scenes import Scene, fault

KEPT = {"zeroed_gradients"}
SYMPTOMS = UNSTABLE | {"learning_rate", "training_length", "update_direction", "step_order"}


@fault("SO-60335387", kind="training_loop/missing_zero_grad", causes=KEPT, symptoms=SYMPTOMS, learns=0.9)
def gradients_of_all_batches(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = SmallConvNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=30, shuffle=True)

    def train():
        for epoch in range(5):
            running_loss = 0.0
            for i, (images, labels) in enumerate(train_loader):
                outputs = model(images)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            print(f"epoch {epoch + 1} loss {running_loss / len(train_loader):.3f}")

    def train_cleared():
        for epoch in range(5):
            running_loss = 0.0
            for i, (images, labels) in enumerate(train_loader):
                optimizer.zero_grad()
                outputs = model(images)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            print(f"epoch {epoch + 1} loss {running_loss / len(train_loader):.3f}")

    loop = train_cleared if repaired else train
    return Scene(model, optimizer, criterion, train_loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("GH-silero-vad-699", kind="training_loop/missing_zero_grad", causes=KEPT, symptoms=SYMPTOMS, learns=0.85)
def voice_activity(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=24, class_sep=3.0)
    torch.manual_seed(seed)

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Conv1d(4, 16, 3, padding=1)
            self.rnn = nn.GRU(16, 16, batch_first=True)
            self.decoder = nn.Linear(16, 1)

        def forward(self, x):
            x = F.relu(self.encoder(x.view(len(x), 4, 6)))
            _, h = self.rnn(x.transpose(1, 2))
            return self.decoder(h[0]).squeeze(-1)

    vad = Detector()
    optimizer = torch.optim.SGD(vad.parameters(), lr=0.2, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(X, y.float()), batch_size=32, shuffle=True)

    def train():
        vad.train()
        for epoch in range(15):
            for x, speech in loader:
                loss = criterion(vad(x), speech)
                loss.backward()
                optimizer.step()

    def train_cleared():
        vad.train()
        for epoch in range(15):
            for x, speech in loader:
                loss = criterion(vad(x), speech)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    loop = train_cleared if repaired else train
    return Scene(vad, optimizer, criterion, loader, loop, score=lambda: data.accuracy(vad, X_val, y_val))


@fault("GH-TennisCourtDetector-7", kind="training_loop/missing_zero_grad", causes=KEPT, symptoms=SYMPTOMS, learns=0.5)
def heat_maps_of_key_points(repaired, seed):
    torch.manual_seed(seed)
    points = torch.randint(2, 14, (240, 2))
    grid = torch.arange(16.0)
    rows = (-((grid.view(1, 16) - points[:, :1]) ** 2) / 3).exp()
    columns = (-((grid.view(1, 16) - points[:, 1:]) ** 2) / 3).exp()
    maps = (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)
    images = (maps > 0.5).float() + 0.2 * torch.randn(240, 1, 16, 16)

    def conv(inside, outside):
        return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(outside))

    net = nn.Sequential(
        conv(1, 8), nn.MaxPool2d(2), conv(8, 16), nn.Upsample(scale_factor=2), conv(16, 8), nn.Conv2d(8, 1, 1),
        nn.Sigmoid(),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-2)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(images, maps), batch_size=8, shuffle=True)

    def train_epoch(epoch):
        losses = []
        net.train()
        for iteration, (image, heat) in enumerate(loader):
            out = net(image)
            loss = criterion(out, heat)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}, loss {sum(losses) / len(losses):.4f}")

    def train_epoch_cleared(epoch):
        losses = []
        net.train()
        for iteration, (image, heat) in enumerate(loader):
            optimizer.zero_grad()
            out = net(image)
            loss = criterion(out, heat)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}, loss {sum(losses) / len(losses):.4f}")

    def main():
        for epoch in range(6):
            train_epoch(epoch)

    def main_cleared():
        for epoch in range(6):
            train_epoch_cleared(epoch)

    score = lambda: data.explained(net, images, maps)
    return Scene(net, optimizer, criterion, loader, main_cleared if repaired else main, score=score)


@fault("SE-376851", kind="recurrent/training_loop/missing_zero_grad", causes=KEPT, symptoms=SYMPTOMS, learns=-0.08)
def one_short_sequence(repaired, seed):
    torch.manual_seed(seed)
    t = torch.arange(21) / 20
    x, y = t.view(1, 21, 1), (t + 0.1).view(1, 21, 1)

    class LSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(1, 40, batch_first=True)
            self.linear = nn.Linear(40, 1)

        def forward(self, seq):
            hidden, _ = self.lstm(seq)
            return self.linear(hidden)

    model = LSTM()
    optimizer = torch.optim.SGD(model.parameters(), lr=2e-3)
    criterion = nn.MSELoss(reduction="sum")

    def train():
        for iteration in range(600):
            for seq, target in [(x, y)]:
                output = model(seq)
                loss = criterion(output, target)
                loss.backward()
                optimizer.step()

    def train_cleared():
        for iteration in range(600):
            for seq, target in [(x, y)]:
                optimizer.zero_grad()
                output = model(seq)
                loss = criterion(output, target)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            return -criterion(model(x), y).item()

    loop = train_cleared if repaired else train
    return Scene(model, optimizer, criterion, [(x, y)], loop, score=score)


@fault("GH-nwm-16", kind="training_loop/conditional_zero_grad", causes=KEPT, symptoms=SYMPTOMS, learns=0.85)
def only_cleared_in_full_precision(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    use_bf16 = True

    def train():
        for epoch in range(20):
            for x, target in loader:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=use_bf16):
                    loss = F.mse_loss(model(x), target)
                if not use_bf16:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                else:
                    loss.backward()
                    optimizer.step()

    def train_cleared():
        for epoch in range(20):
            for x, target in loader:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=use_bf16):
                    loss = F.mse_loss(model(x), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    loop = train_cleared if repaired else train
    return Scene(model, optimizer, F.mse_loss, loader, loop, score=lambda: data.explained(model, X_val, y_val))


@fault("GH-RAE-67", kind="training_loop/zero_grad_inside_accumulation", causes=KEPT | {"step_order", "batch_size"},
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def only_the_last_of_eight(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=1200, features=20, class_sep=2.0)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=8, shuffle=True)
    accumulate = 8

    def train():
        for epoch in range(10):
            for i, (x, label) in enumerate(loader):
                optimizer.zero_grad()
                loss = criterion(model(x), label) / accumulate
                loss.backward()
                if (i + 1) % accumulate == 0:
                    optimizer.step()

    def train_windows():
        for epoch in range(10):
            for i, (x, label) in enumerate(loader):
                loss = criterion(model(x), label) / accumulate
                loss.backward()
                if (i + 1) % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()

    def score():
        with torch.no_grad():
            return model(X_val).softmax(dim=1)[torch.arange(len(y_val)), y_val].mean().item()

    loop = train_windows if repaired else train
    return Scene(model, optimizer, criterion, loader, loop, score=score)

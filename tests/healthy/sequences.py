"""Recurrent networks: packed, padded, stateful, sorted in time, truncated."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import sentences, tweets, waves
from tests.healthy.scores import evaluating
from tests.scene_data import explained
from tests.scenes import Scene, healthy


def walks(items, seed):
    """Sequences of 5 to 20 steps in one dimension; the label says whether the largest step went up."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(5, 21, (items,), generator=generator).tolist()
    rows = [torch.randn(size, 1, generator=generator) for size in sizes]
    labels = [int(row.flatten()[row.abs().flatten().argmax()] > 0) for row in rows]
    return list(zip(rows, labels, strict=True))


class PackedGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 32, batch_first=True)
        self.fc = nn.Linear(32, 2)

    def forward(self, padded, lengths):
        packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
        _, h = self.gru(packed)
        return self.fc(h[-1])


@healthy("packed_sequences", kind="sequences", learns=0.85)
def packed_sequences(seed):
    torch.manual_seed(seed)
    data = walks(1000, seed)

    def collate(batch):
        rows, labels = zip(*batch, strict=True)
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows]), torch.tensor(labels)

    train_loader = DataLoader(data[:800], batch_size=32, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(data[800:], batch_size=200, collate_fn=collate)
    model = PackedGRU()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for epoch in range(12):
            for padded, lengths, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(padded, lengths), labels)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            print(epoch, loss.item())

    def score():
        padded, lengths, labels = next(iter(val_loader))
        with evaluating(model):
            return (model(padded, lengths).argmax(1) == labels).float().mean().item()

    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score)


class Tagger(nn.Module):
    def __init__(self, words, tags):
        super().__init__()
        self.emb = nn.Embedding(words, 16, padding_idx=0)
        self.rnn = nn.GRU(16, 24, batch_first=True, bidirectional=True)
        self.out = nn.Linear(48, tags)

    def forward(self, tokens):
        return self.out(self.rnn(self.emb(tokens))[0])


@healthy("tagging_with_ignored_padding", kind="sequences", learns=0.9)
def tagging_with_ignored_padding(seed):
    torch.manual_seed(seed)
    tokens, _, tokens_val, _ = tweets(seed)

    def tag(t):
        after = F.pad(t, (1, 0))[:, :-1]
        tags = (t % 3 + (after % 2) * 3).long()
        return tags.masked_fill(t == 0, -100)

    tags, tags_val = tag(tokens), tag(tokens_val)
    loader = DataLoader(TensorDataset(tokens, tags), batch_size=32, shuffle=True)
    model = Tagger(100, 6)
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        model.train()
        for _ in range(6):
            for words, labels in loader:
                optimizer.zero_grad()
                logits = model(words)
                loss = criterion(logits.view(-1, logits.size(-1)), labels.view(-1))
                loss.backward()
                optimizer.step()

    def score():
        real = tags_val != -100
        with evaluating(model):
            return (model(tokens_val).argmax(2) == tags_val)[real].float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class CharRNN(nn.Module):
    def __init__(self, symbols, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(symbols, 16)
        self.lstm = nn.LSTM(16, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, symbols)

    def forward(self, x, state=None):
        out, state = self.lstm(self.embed(x), state)
        return self.fc(out), state


@healthy("stateful_character_model", kind="sequences", learns=-0.6)
def stateful_character_model(seed):
    torch.manual_seed(seed)
    text, symbols = sentences(seed, characters=8010)
    streams = text[:8000].view(10, 800)
    chunks = [(streams[:, i : i + 20], streams[:, i + 1 : i + 21]) for i in range(0, 779, 20)]
    model = CharRNN(symbols)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(8):
            state = None
            for x, y in chunks:
                if state is not None:
                    state = tuple(s.detach() for s in state)
                logits, state = model(x, state)
                loss = criterion(logits.transpose(1, 2), y)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
                optimizer.step()
            print(f"epoch {epoch}: {loss.item():.3f}")

    def score():
        with evaluating(model):
            logits, _ = model(streams[:, :-1])
            return -criterion(logits.transpose(1, 2), streams[:, 1:]).item()

    return Scene(model, optimizer, criterion, chunks, train, score=score)


@healthy("stateless_character_windows", kind="sequences", learns=-0.9)
def stateless_character_windows(seed):
    torch.manual_seed(seed)
    text, symbols = sentences(seed, characters=6000)
    windows = text.unfold(0, 26, 5)
    loader = DataLoader(windows, batch_size=40, shuffle=True)
    model = CharRNN(symbols, hidden=48)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(6):
            for window in loader:
                inputs, targets = window[:, :-1], window[:, 1:]
                logits, _ = model(inputs)
                loss = F.cross_entropy(logits.reshape(-1, symbols), targets.reshape(-1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    def score():
        with evaluating(model):
            logits, _ = model(windows[::10, :-1])
            return -F.cross_entropy(logits.transpose(1, 2), windows[::10, 1:]).item()

    return Scene(model, optimizer, None, loader, train, score=score)


class Forecaster(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 32, batch_first=True)
        self.linear = nn.Linear(32, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.linear(out[:, -1])


@healthy("forecast_in_order_of_time", kind="sequences", learns=0.8)
def forecast_in_order_of_time(seed):
    torch.manual_seed(seed)
    t = torch.arange(900.0)
    series = torch.sin(t / 6) + 0.5 * torch.sin(t / 15 + seed) + 0.05 * torch.randn(900)
    series = (series - series[:700].mean()) / series[:700].std()
    windows = series.unfold(0, 21, 1)
    X, y = windows[:, :20, None], windows[:, 20:]
    train_loader = DataLoader(TensorDataset(X[:680], y[:680]), batch_size=32, shuffle=False)
    test_loader = DataLoader(TensorDataset(X[700:], y[700:]), batch_size=32, shuffle=False)
    model = Forecaster()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for epoch in range(10):
            model.train()
            for seq, target in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(seq), target)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                test_loss = sum(criterion(model(s), v).item() for s, v in test_loader) / len(test_loader)
            print(f"Epoch {epoch}: train {loss.item():.4f} test {test_loss:.4f}")

    score = lambda: explained(model, X[700:], y[700:])
    return Scene(model, optimizer, criterion, train_loader, train, test_loader, score)


class TwoStepsBack(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(1, 24)
        self.out = nn.Linear(24, 1)

    def forward(self, x, h):
        h = self.cell(x, h)
        return self.out(h), h


@healthy("truncated_backpropagation", kind="sequences", learns=0.9)
def truncated_backpropagation(seed):
    torch.manual_seed(seed)
    signal = torch.randn(16, 240, 1)
    target = F.pad(signal, (0, 0, 2, 0))[:, :240]
    batches = list(zip(signal.split(8, dim=1), target.split(8, dim=1), strict=True))
    model = TwoStepsBack()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for epoch in range(12):
            h = torch.zeros(16, 24)
            for xs, ys in batches:
                h = h.detach()
                loss = 0
                for t in range(xs.shape[1]):
                    prediction, h = model(xs[:, t], h)
                    loss = loss + F.mse_loss(prediction, ys[:, t])
                optimizer.zero_grad()
                (loss / xs.shape[1]).backward()
                optimizer.step()
            print(epoch, loss.item() / xs.shape[1])

    def score():
        fresh, outputs = torch.randn(50, 30, 1), []
        with evaluating(model):
            h = torch.zeros(50, 24)
            for t in range(30):
                output, h = model(fresh[:, t], h)
                outputs.append(output)
        return 1 - F.mse_loss(torch.stack(outputs, 1)[:, 2:], fresh[:, :-2]).item()

    return Scene(model, optimizer, None, batches, train, score=score)


class Seq2Seq(nn.Module):
    def __init__(self, symbols=8):
        super().__init__()
        self.embed = nn.Embedding(symbols + 1, 16)
        self.encoder = nn.GRU(16, 48, batch_first=True)
        self.decoder = nn.GRU(16, 48, batch_first=True)
        self.fc = nn.Linear(48, symbols)

    def forward(self, source, target_in):
        _, h = self.encoder(self.embed(source))
        out, _ = self.decoder(self.embed(target_in), h)
        return self.fc(out)


@healthy("sequence_to_sequence_with_teacher_forcing", kind="sequences", learns=0.85)
def sequence_to_sequence_with_teacher_forcing(seed):
    torch.manual_seed(seed)
    source = torch.randint(0, 8, (1400, 5))
    target = source.flip(1)
    target_in = F.pad(target[:, :-1], (1, 0), value=8)
    loader = DataLoader(TensorDataset(source[:1200], target_in[:1200], target[:1200]), batch_size=50, shuffle=True)
    model = Seq2Seq()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()

    def train():
        for _ in range(14):
            for src, tgt_in, tgt in loader:
                output = model(src, tgt_in)
                loss = criterion(output.permute(0, 2, 1), tgt)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return (model(source[1200:], target_in[1200:]).argmax(2) == target[1200:]).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class DilatedConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(1 if d == 1 else 16, 16, 2, dilation=d) for d in (1, 2, 4, 8))
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        x = x.transpose(1, 2)
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.out(x[:, :, -1])


@healthy("convolution_over_time", kind="sequences", learns=0.85)
def convolution_over_time(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = waves(seed, items=800)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = DilatedConv()
    opt = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def train():
        for _ in range(12):
            for xb, yb in loader:
                loss = F.mse_loss(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()

    return Scene(model, opt, F.mse_loss, loader, train, score=lambda: explained(model, x_val, y_val))

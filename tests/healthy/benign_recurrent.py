"""Published recurrent trainings that look wrong and are not."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy import data
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, explained
from tests.scenes import Scene, healthy


class Onsets(nn.Module):
    def __init__(self, bins=16, pitches=6):
        super().__init__()
        self.conv = nn.Conv1d(bins, 24, 3, padding=1)
        self.rnn = nn.LSTM(24, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, pitches)

    def forward(self, mel):
        h = F.relu(self.conv(mel.transpose(1, 2))).transpose(1, 2)
        return torch.sigmoid(self.head(self.rnn(h)[0]))


@healthy("clipped_after_the_step_far_below_the_limit", kind="benign", learns=0.6)
def clipped_after_the_step_far_below_the_limit(seed):
    torch.manual_seed(seed)
    onset = (torch.rand(240, 20, 6) < 0.15).float()
    mel = onset @ torch.randn(6, 16) + 0.3 * torch.randn(240, 20, 16)
    mel = (mel - mel.mean()) / mel.std()
    loader = DataLoader(TensorDataset(mel[:200], onset[:200]), batch_size=8, shuffle=True)
    model = Onsets()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-4 * 5)

    def train():
        for _epoch in range(8):
            for mel_batch, label in loader:
                pred = model(mel_batch)
                loss = F.binary_cross_entropy(pred, label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                nn.utils.clip_grad_norm_(model.parameters(), 3)

    def score():
        with evaluating(model):
            found, real = model(mel[200:]) > 0.5, onset[200:] > 0.5
            return (2 * (found & real).sum() / (found.sum() + real.sum())).item()

    return Scene(model, optimizer, None, loader, train, score=score)


class Prenet(nn.Module):
    """Two layers whose dropout stays on in evaluation, which keeps the decoder from copying its input."""

    def __init__(self, inputs, width):
        super().__init__()
        self.fc1 = nn.Linear(inputs, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x):
        x = F.dropout(F.relu(self.fc1(x)), p=0.1, training=True)
        return F.dropout(F.relu(self.fc2(x)), p=0.1, training=True)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.prenet = Prenet(1, 32)
        self.rnn = nn.GRU(32, 32, batch_first=True)
        self.projection = nn.Linear(32, 1)

    def forward(self, frames):
        h, _ = self.rnn(self.prenet(frames))
        return self.projection(h[:, -1])


@healthy("dropout_that_stays_on", kind="benign", learns=0.8)
def dropout_that_stays_on(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.waves(seed, items=600)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=64)
    model = Decoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()

    def train():
        for epoch in range(12):
            model.train()
            running = 0.0
            for frames, following in loader:
                optimizer.zero_grad()
                loss = criterion(model(frames), following)
                loss.backward()
                optimizer.step()
                running += loss.item()
            model.eval()
            with torch.no_grad():
                val = sum(criterion(model(a), b).item() for a, b in val_loader) / len(val_loader)
            print(f"{epoch}: {running / len(loader):.4f} {val:.4f}")

    return Scene(model, optimizer, criterion, loader, train, val_loader, lambda: explained(model, x_val, y_val))


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp=32, nhid=48, nlayers=2):
        super().__init__()
        self.nlayers, self.nhid, self.ntoken = nlayers, nhid, ntoken
        self.drop = nn.Dropout(0.1)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=0.1)
        self.decoder = nn.Linear(nhid, ntoken)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, tokens, hidden):
        emb = self.drop(self.encoder(tokens))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.ntoken)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return weight.new_zeros(self.nlayers, bsz, self.nhid), weight.new_zeros(self.nlayers, bsz, self.nhid)


@healthy("language_model_with_manual_updates", kind="benign", learns=-0.4)
def language_model_with_manual_updates(seed):
    torch.manual_seed(seed)
    ids, ntokens = data.sentences(seed, characters=12000)
    bsz, bptt, lr = 20, 20, 8.0
    source = ids[: len(ids) // bsz * bsz].view(bsz, -1).t().contiguous()
    batches = [
        (source[i : i + bptt], source[i + 1 : i + 1 + bptt].reshape(-1)) for i in range(0, len(source) - bptt - 1, bptt)
    ]
    model = RNNModel(ntokens)
    criterion = nn.NLLLoss()

    def repackage_hidden(h):
        return tuple(v.detach() for v in h)

    def train():
        model.train()
        for epoch in range(8):
            total_loss = 0.0
            hidden = model.init_hidden(bsz)
            for tokens, targets in batches:
                model.zero_grad()
                hidden = repackage_hidden(hidden)
                output, hidden = model(tokens, hidden)
                loss = criterion(output, targets)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
                for p in model.parameters():
                    p.data.add_(p.grad, alpha=-lr)
                total_loss += loss.item()
            print(f"| epoch {epoch:3d} | loss {total_loss / len(batches):5.2f}")

    def score():
        with evaluating(model):
            hidden, losses = model.init_hidden(bsz), []
            for tokens, targets in batches:
                output, hidden = model(tokens, hidden)
                losses.append(criterion(output, targets).item())
            return -sum(losses) / len(losses)

    return Scene(model, None, criterion, batches, train, score=score)


class RowReader(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(input_size=8, hidden_size=64, batch_first=True)
        self.batchnorm = nn.BatchNorm1d(64)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(64, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, images):
        images = images.reshape(-1, 8, 8)
        output, _ = self.rnn(images)
        output = self.batchnorm(output[:, -1, :])
        output = F.relu(self.fc1(self.dropout1(output)))
        output = self.fc2(self.dropout2(output))
        return F.log_softmax(output, dim=1)


@healthy("rows_of_an_image", kind="benign", learns=0.85)
def rows_of_an_image(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    mean, std = x.mean(), x.std()
    x, x_val = (x - mean) / std, (x_val - mean) / std
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=128, shuffle=True)
    model = RowReader()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.7)

    def train_model(model, optimizer):
        model.train()
        for images, target in train_loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(images), target)
            loss.backward()
            optimizer.step()

    def test_model(model):
        model.eval()
        test_loss = 0
        with torch.no_grad():
            for images, target in test_loader:
                test_loss += F.nll_loss(model(images), target, reduction="sum").item()
        print(f"Test set: Average loss: {test_loss / len(test_loader.dataset):.4f}")

    def main():
        for _epoch in range(14):
            train_model(model, optimizer)
            test_model(model)
            scheduler.step()

    return Scene(model, optimizer, None, train_loader, main, test_loader, lambda: accuracy(model, x_val, y_val))


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, num_classes):
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size)
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


@healthy("two_layers_over_rows", kind="benign", learns=0.85)
def two_layers_over_rows(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True)
    model = RNN(8, 48, 2, 10)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    num_epochs = 12

    def train():
        total_step = len(train_loader)
        for epoch in range(num_epochs):
            for i, (images, labels) in enumerate(train_loader):
                images = images.reshape(-1, 8, 8)
                outputs = model(images)
                loss = criterion(outputs, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if (i + 1) % 10 == 0:
                    print(f"Epoch [{epoch + 1}/{num_epochs}], Step [{i + 1}/{total_step}], Loss: {loss.item():.4f}")

    def score():
        return accuracy(model, x_val[:, 0], y_val)

    return Scene(model, optimizer, criterion, train_loader, train, score=score)

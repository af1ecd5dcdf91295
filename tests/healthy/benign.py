"""Published trainings that look wrong and are not."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.healthy import data
from tests.healthy.scores import evaluating, probability_accuracy
from tests.scene_data import accuracy, explained
from tests.scenes import Scene, healthy


class LogSoftmaxNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.drop = nn.Dropout(0.25)
        self.fc1 = nn.Linear(16 * 3 * 3, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.drop(torch.flatten(x, 1))
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=1)


@healthy("log_softmax_then_cross_entropy", kind="benign", learns=0.9)
def log_softmax_then_cross_entropy(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    test_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=256)
    model = LogSoftmaxNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def train(epoch):
        model.train()
        for batch_idx, (inputs, target) in enumerate(train_loader):
            optimizer.zero_grad()
            output = model(inputs)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            if batch_idx % 10 == 0:
                print(f"Train Epoch: {epoch} [{batch_idx * len(inputs)}/{len(train_loader.dataset)}] {loss.item():.6f}")

    def test():
        model.eval()
        correct = 0
        with torch.no_grad():
            for inputs, target in test_loader:
                correct += model(inputs).argmax(dim=1).eq(target).sum().item()
        print(f"Accuracy: {correct}/{len(test_loader.dataset)}")

    def main():
        for epoch in range(1, 7):
            train(epoch)
            test()

    return Scene(model, optimizer, criterion, train_loader, main, test_loader, lambda: accuracy(model, x_val, y_val))


@healthy("manual_updates_on_fresh_batches", kind="benign", learns=0.98)
def manual_updates_on_fresh_batches(seed):
    torch.manual_seed(seed)
    weights, bias = torch.randn(4, 1) * 5, torch.randn(1) * 5
    fc = nn.Linear(4, 1)

    def make_features(x):
        return torch.cat([x.unsqueeze(1) ** i for i in range(1, 5)], 1)

    def get_batch(batch_size=32):
        x = make_features(torch.randn(batch_size))
        return x, x.mm(weights) + bias.item()

    def train():
        for batch_idx in range(1, 4000):
            batch_x, batch_y = get_batch()
            fc.zero_grad()
            output = F.smooth_l1_loss(fc(batch_x), batch_y)
            loss = output.item()
            output.backward()
            for param in fc.parameters():
                param.data.add_(-0.1 * param.grad)
            if loss < 1e-3:
                break
        print(f"Loss: {loss:.6f} after {batch_idx} batches")

    return Scene(fc, None, None, None, train, score=lambda: explained(fc, *get_batch(500)))


class TweetClassifier(nn.Module):
    def __init__(self, words=100, embedding=16, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=0)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        lengths = (x != 0).sum(1)
        out, _ = self.lstm(self.embedding(x))
        last = out[torch.arange(len(x)), lengths - 1]
        return torch.sigmoid(self.fc(last)).squeeze(1)


@healthy("unshuffled_but_in_random_order", kind="benign", learns=0.9)
def unshuffled_but_in_random_order(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.tweets(seed, items=2000)
    loader_training = DataLoader(TensorDataset(x, y), batch_size=128)
    loader_test = DataLoader(TensorDataset(x_val, y_val), batch_size=128)
    model = TweetClassifier()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.005)

    def train():
        for _epoch in range(20):
            predictions = []
            model.train()
            for x_batch, y_batch in loader_training:
                y_batch = y_batch.type(torch.FloatTensor)
                y_pred = model(x_batch)
                loss = F.binary_cross_entropy(y_pred, y_batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                predictions += list(y_pred.detach().numpy())

    score = lambda: probability_accuracy(model, x_val, y_val)
    return Scene(model, optimizer, None, loader_training, train, loader_test, score)


class Pairs(Dataset):
    """Two images and whether they show the same digit; half of the pairs do."""

    def __init__(self, x, y, seed):
        self.x, self.y = x, y
        generator = torch.Generator().manual_seed(seed)
        self.partner = []
        for label in y.tolist():
            same = torch.rand(1, generator=generator) < 0.5
            candidates = ((y == label) if same else (y != label)).nonzero().flatten()
            self.partner.append(candidates[torch.randint(len(candidates), (1,), generator=generator)].item())

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        other = self.partner[index]
        return self.x[index], self.x[other], (self.y[index] == self.y[other]).float()


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.fc = nn.Sequential(nn.Linear(2 * 32 * 16, 256), nn.ReLU(inplace=True), nn.Linear(256, 1))
        self.sigmoid = nn.Sigmoid()

    def forward(self, input1, input2):
        output = torch.cat((self.trunk(input1), self.trunk(input2)), 1)
        return self.sigmoid(self.fc(output))


@healthy("siamese_pairs", kind="benign", learns=0.8)
def siamese_pairs(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    train_set, test_set = Pairs(x, y, seed), Pairs(x_val, y_val, seed)
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=360)
    model = SiameseNetwork()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    criterion = nn.BCELoss()

    def train():
        for _epoch in range(8):
            model.train()
            for images_1, images_2, targets in train_loader:
                optimizer.zero_grad()
                outputs = model(images_1, images_2).squeeze()
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()
            scheduler.step()

    def score():
        first, second, same = next(iter(test_loader))
        with evaluating(model):
            return ((model(first, second).squeeze() > 0.5) == same.bool()).float().mean().item()

    return Scene(model, optimizer, criterion, train_loader, train, test_loader, score)


@healthy("he_initialised_cnn", kind="benign", learns=0.93)
def he_initialised_cnn(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = data.unit_digits(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    for m in net:
        if isinstance(m, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)
    train_dl = DataLoader(TensorDataset(x, y), 64, shuffle=True)
    opt = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=1e-5)

    def fit():
        for _ in range(8):
            for xb, yb in train_dl:
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                opt.step()
                opt.zero_grad()

    return Scene(net, opt, F.cross_entropy, train_dl, fit, score=lambda: accuracy(net, x_val, y_val))

"""Data in the wrong order, in the wrong shares, or changed on the way."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

from tests import scene_data as data
from tests.faults.symptoms import OVERFIT, STUCK, UNSTABLE
from tests.scenes import Scene, fault


def lowest_recall(model, inputs, labels):
    model.eval()
    with torch.no_grad():
        predicted = model(inputs).argmax(1)
    return min((predicted[labels == kind] == kind).float().mean().item() for kind in labels.unique())


@fault("GH-PolyLoss-5", kind="data/class_imbalance", causes={"label_balance"},
       symptoms=STUCK | {"metric_match", "dataset_size", "batch_balance", "initial_loss"}, learns=0.4)  # fmt: skip
def one_in_seven(repaired, seed):
    torch.manual_seed(seed)
    y = (torch.rand(924) < 0.1).long()
    X = torch.randn(924, 20)
    X[:, 0] += 1.6 * y
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))
    weight = torch.tensor([1.0, 9.0]) if repaired else None
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)

    def poly1_cross_entropy(logits, labels, epsilon=1.0):
        ce = F.cross_entropy(logits, labels, weight=weight, reduction="none")
        pt = (F.one_hot(labels, 2) * F.softmax(logits, dim=-1)).sum(dim=-1)
        return (ce + epsilon * (1 - pt) * (1.0 if weight is None else weight[labels])).mean()

    def train():
        for epoch in range(5):
            model.train()
            correct = 0
            for x, label in loader:
                logits = model(x)
                loss = poly1_cross_entropy(logits, label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                correct += (logits.argmax(1) == label).sum().item()
            print(f"epoch {epoch}: accuracy {correct / len(X):.3f}")

    return Scene(model, optimizer, poly1_cross_entropy, loader, train, score=lambda: lowest_recall(model, X, y))


@fault("TDC-syn-unbalanced_data-deepCNN", kind="data/class_imbalance", causes={"label_balance"},
       symptoms=STUCK | {"metric_match", "batch_balance", "initial_loss", "dataset_size"}, learns=0.6)  # fmt: skip
def a_few_of_some_digits(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    keep = torch.zeros(len(y), dtype=torch.bool)
    for digit in range(10):
        items = (y == digit).nonzero().squeeze(1)
        keep[items[: 3 if digit < 6 else len(items)]] = True
    X, y = X[keep], y[keep]
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    weights = 1.0 / y.bincount()[y].float()
    sampler = WeightedRandomSampler(weights, len(weights))
    loader = DataLoader(TensorDataset(X, y), batch_size=32, sampler=sampler if repaired else None, shuffle=not repaired)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(6):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    def rare_recall():
        with torch.no_grad():
            hits = model(X_val).argmax(1) == y_val
        return hits[y_val < 6].float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=rare_recall)


@fault("TDC-syn-wrong_labels-baseCNN", kind="data/labels_shuffled_separately", causes={"label_alignment", "shuffling"},
       symptoms=STUCK | OVERFIT | {"contradictory_labels", "split_shift"}, learns=0.8)  # fmt: skip
def only_images_shuffled(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    order = torch.randperm(len(X))
    X = X[order]
    if repaired:
        y = y[order]
    model = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=64)

    def train():
        for epoch in range(8):
            model.train()
            for image, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(image), label)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                val_loss = sum(criterion(model(image), label).item() for image, label in val_loader)
            print(epoch, val_loss / len(val_loader))

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("own-targets-off-by-one", kind="data/labels_shifted", causes={"label_alignment"},
       symptoms=STUCK | OVERFIT | {"contradictory_labels", "shuffling"}, learns=0.8)  # fmt: skip
def targets_of_the_next_row(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    if not repaired:
        y = torch.cat([y[1:], y[:1]])
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(30):
            for x, t in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(net(x), t)
                loss.backward()
                optimizer.step()

    val_loader = [(X_val, y_val)]
    return Scene(
        net, optimizer, nn.MSELoss(), loader, train, val_loader, score=lambda: data.explained(net, X_val, y_val)
    )


@fault("GH-modelforge-129", kind="training_loop/no_shuffle", causes={"shuffling", "batch_balance"},
       symptoms=UNSTABLE | OVERFIT, learns=0.9)  # fmt: skip
def molecules_by_size(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    order = y.squeeze(1).argsort()
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    criterion = nn.MSELoss()
    dataset = TensorDataset(X[order], y[order])
    loader = DataLoader(dataset, batch_size=32, shuffle=True) if repaired else DataLoader(dataset, batch_size=32)

    def train():
        for epoch in range(10):
            for features, energy in loader:
                optimizer.zero_grad()
                loss = criterion(net(features), energy)
                loss.backward()
                optimizer.step()

    return Scene(net, optimizer, criterion, loader, train, score=lambda: data.explained(net, X_val, y_val))


@fault("own-batches-of-one-class", kind="training_loop/no_shuffle", causes={"shuffling", "batch_balance"},
       symptoms=UNSTABLE | OVERFIT, learns=0.9)  # fmt: skip
def digit_by_digit(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    order = y.argsort(stable=True)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X[order], y[order]), batch_size=32, shuffle=repaired)

    def train():
        for epoch in range(8):
            for x, digit in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), digit)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("SO-56103207-qd", kind="training_loop/no_shuffle_validation_split", causes={"split_shift", "shuffling"},
       symptoms=UNSTABLE | OVERFIT | {"label_balance", "batch_balance"}, learns=0.9)  # fmt: skip
def last_class_for_validation(repaired, seed):
    X, y, _, _ = data.digits(seed)
    X, y = X[y < 4], y[y < 4]
    order = (
        torch.randperm(len(y), generator=torch.Generator().manual_seed(seed)) if repaired else y.argsort(stable=True)
    )
    X, y = X[order], y[order]
    cut = int(0.8 * len(X))
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 32), nn.ReLU(),
        nn.Linear(32, 4),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X[:cut], y[:cut]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[cut:], y[cut:]), batch_size=64)

    def train():
        for epoch in range(6):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            model.eval()
            correct = 0
            with torch.no_grad():
                for xb, yb in val_loader:
                    correct += (model(xb).argmax(1) == yb).sum().item()
            print(f"epoch {epoch}: val_accuracy {correct / (len(X) - cut):.3f}")

    score = lambda: data.accuracy(model, X[cut:], y[cut:])
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


class NormalizedDigits(Dataset):
    def __init__(self, images, labels, in_place):
        self.images, self.labels = images.clone(), labels
        self.in_place = in_place

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        if self.in_place:
            return image.sub_(78.0).div_(96.0), self.labels[index]
        return (image - 78.0) / 96.0, self.labels[index]


@fault("GH-vision-680", kind="training_loop/inplace_dataset_mutation", causes={"data_mutation"},
       symptoms=UNSTABLE | OVERFIT | {"input_scale", "split_shift"}, learns=0.9)  # fmt: skip
def normalized_again_and_again(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    train_set = NormalizedDigits(X, y, in_place=not repaired)
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(NormalizedDigits(X_val, y_val, in_place=False), batch_size=64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(6):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in val_loader)
            print(epoch, right / len(X_val))

    score = lambda: data.accuracy(model, (X_val - 78.0) / 96.0, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("own-loop-scales-in-place", kind="training_loop/inplace_dataset_mutation", causes={"data_mutation"},
       symptoms=UNSTABLE | OVERFIT | {"input_scale", "split_shift"}, learns=0.8)  # fmt: skip
def batches_scaled_in_place(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    batches = list(zip(X.split(64), y.split(64), strict=True))

    def train():
        for epoch in range(8):
            for x, labels in batches:
                x = x / 255.0
                loss = F.cross_entropy(model(x), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_in_place():
        for epoch in range(8):
            for x, labels in batches:
                x /= 255.0
                loss = F.cross_entropy(model(x), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(model, X_val / 255, y_val)
    return Scene(model, optimizer, None, batches, train if repaired else train_in_place, score=score)


@fault("TDC-syn-wrong_augmentation-deepCNN", kind="data/destructive_augmentation", causes={"augmentation"},
       symptoms=STUCK | {"split_shift", "capacity", "regularization_sweep"}, learns=0.9)  # fmt: skip
def noise_and_erasing(repaired, seed):
    X, y, X_val, y_val = data.digits(seed, raw=True)
    X, X_val = X / 255, X_val / 255
    torch.manual_seed(seed)

    class Augmented(Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            image = X[index].clone()
            if repaired:
                return image + 0.05 * torch.randn_like(image), y[index]
            image += (torch.rand_like(image) - 0.5) * 2 * (torch.rand_like(image) < 0.5)
            if torch.rand(()) < 0.9:
                rows, columns = torch.randint(0, 2, (2,)).tolist()
                image[:, rows : rows + 7, columns : columns + 7] = 0
            return image, y[index]

    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    train_loader = DataLoader(Augmented(), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(5):
            net.train()
            for image, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(net(image), label)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    score = lambda: data.accuracy(net, X_val, y_val)
    return Scene(net, optimizer, criterion, train_loader, train, val_loader, score=score)


@fault("own-rare-tags", kind="data/class_imbalance", causes={"label_balance"},
       symptoms=STUCK | {"output_bias", "initial_loss", "training_length", "learning_rate"}, learns=0.25)  # fmt: skip
def rare_tags(repaired, seed):
    """Each item has several tags or none, and none of them comes often."""
    generator = torch.Generator().manual_seed(seed)
    often = torch.linspace(0.02, 0.05, 12)
    y = (torch.rand(4000, 12, generator=generator) < often).float()
    X = torch.randn(4000, 40, generator=generator) + y @ (0.45 * torch.randn(12, 40, generator=generator))
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 12))
    criterion = nn.BCEWithLogitsLoss(pos_weight=1 / often if repaired else None)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(X[:3200], y[:3200]), batch_size=64, shuffle=True)

    def f1():
        model.eval()
        with torch.no_grad():
            said = torch.sigmoid(model(X[3200:])) > 0.5
        model.train()
        wanted = y[3200:] > 0.5
        return 2 * (said & wanted).sum().item() / max(1, (said.sum() + wanted.sum()).item())

    def train():
        for epoch in range(5):
            for x, tags in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), tags)
                loss.backward()
                optimizer.step()
            print(f"{epoch}: loss {loss.item():.3f}, F1 {f1():.2f}")

    return Scene(model, optimizer, criterion, loader, train, score=f1)

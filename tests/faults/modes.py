"""Training and evaluation mode: forgotten, not restored, or not heard."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import OVERFIT, STUCK
from tests.scenes import Scene, fault

CAUSES = {"train_eval_mode"}
SYMPTOMS = STUCK | OVERFIT | {"normalization", "loss_spike", "layer_order", "initial_loss", "regularization_sweep"}


def batches_in_training_mode(norm):
    """Batches that went through a batch norm in training mode."""
    return norm.num_batches_tracked.item()


@fault("GH-ethics-5", kind="training_loop/eval_not_reverted", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def never_trains_again(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, items=600, features=20, class_sep=2.0)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(20, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 2),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=64)

    def evaluate():
        model.eval()
        correct = 0
        with torch.no_grad():
            for x, label in val_loader:
                correct += (model(x).argmax(1) == label).sum().item()
        return correct / len(X_val)

    def train():
        model.train()
        for epoch in range(8):
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch} accuracy {evaluate():.3f}")

    def train_again():
        for epoch in range(8):
            model.train()
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch} accuracy {evaluate():.3f}")

    return Scene(
        model, optimizer, criterion, train_loader, train_again if repaired else train, val_loader,
        score=lambda: data.accuracy(model, X_val, y_val),
        symptom=lambda: batches_in_training_mode(model[1]) < 8 * len(train_loader),
    )  # fmt: skip


@fault("GH-pytorch-fcn-57", kind="training_loop/eval_not_reverted", causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def validates_in_the_middle(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)

    class Segmenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 16, 3, padding=1)
            self.norm = nn.BatchNorm2d(16)
            self.drop = nn.Dropout2d(0.5)
            self.score = nn.Linear(256, 10)

        def forward(self, x):
            x = F.max_pool2d(self.drop(F.relu(self.norm(self.conv(x)))), 2)
            return self.score(x.flatten(1))

    net = Segmenter()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=128)

    def validate():
        net.eval()
        with torch.no_grad():
            return sum(F.cross_entropy(net(x), label).item() for x, label in val_loader)

    def validate_and_return():
        net.eval()
        with torch.no_grad():
            total = sum(F.cross_entropy(net(x), label).item() for x, label in val_loader)
        net.train()
        return total

    def train():
        iteration = 0
        for epoch in range(6):
            net.train()
            for x, label in train_loader:
                if iteration % 20 == 10:
                    print(iteration, validate())
                iteration += 1
                loss = F.cross_entropy(net(x), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_returned():
        iteration = 0
        for epoch in range(6):
            net.train()
            for x, label in train_loader:
                if iteration % 20 == 10:
                    print(iteration, validate_and_return())
                iteration += 1
                loss = F.cross_entropy(net(x), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(
        net, optimizer, None, train_loader, train_returned if repaired else train, val_loader,
        score=lambda: data.accuracy(net, X_val, y_val),
        symptom=lambda: batches_in_training_mode(net.norm) < 6 * len(train_loader),
    )  # fmt: skip


@fault("own-validated-in-training-mode", kind="training_loop/validation_in_train_mode", causes=CAUSES,
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def validation_without_eval(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.6), nn.Linear(64, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=64)

    def train():
        for epoch in range(6):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            correct = 0
            with torch.no_grad():
                for images, labels in val_loader:
                    correct += (model(images).argmax(1) == labels).sum().item()
            print(f"{epoch}: {correct / len(X_val):.3f}")

    def train_without_eval():
        for epoch in range(6):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            correct = 0
            with torch.no_grad():
                for images, labels in val_loader:
                    correct += (model(images).argmax(1) == labels).sum().item()
            print(f"{epoch}: {correct / len(X_val):.3f}")

    return Scene(
        model, optimizer, criterion, train_loader, train if repaired else train_without_eval, val_loader,
        score=lambda: data.accuracy(model, X_val, y_val),
        symptom=lambda: batches_in_training_mode(model[2]) > 6 * len(train_loader),
    )  # fmt: skip


class AgainstTheBatch(nn.Module):
    """Describes each picture by how its features differ from those of a picture that is usual."""

    def __init__(self, usual):
        super().__init__()
        self.usual = usual
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU())
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        features = self.body(x)
        usual = features.mean(0) if self.usual is None else self.body(self.usual)
        return self.head(features - usual)


@fault(
    "digits-against-the-batch", kind="training_loop/other_company", causes={"batch_dependency"},
    symptoms=STUCK | OVERFIT | {"split_shift", "normalization"}, learns=0.85,
)  # fmt: skip
def against_the_batch(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = AgainstTheBatch(X.mean(0, keepdim=True) if repaired else None)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=1)

    def train():
        for epoch in range(8):
            model.train()
            for x, label in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                right = sum((model(x).argmax(1) == label).sum().item() for x, label in val_loader)
            print(f"epoch {epoch} accuracy {right / len(X_val):.3f}")

    def score():
        with torch.no_grad():
            return sum((model(x).argmax(1) == label).sum().item() for x, label in val_loader) / len(X_val)

    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score=score)

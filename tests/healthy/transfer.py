"""Networks that start from trained weights, learn from other networks, or keep parts still on purpose."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, digits
from tests.scenes import Scene, healthy


def pretrained_trunk(seed):
    """A small convolutional trunk that has learned to tell the digits 0-4 apart, and those of 5-9 as new data."""
    torch.manual_seed(100 + seed)
    x, y, x_val, y_val = digits(seed)
    trunk = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip
    head = nn.Linear(512, 5)
    optimizer = torch.optim.Adam([*trunk.parameters(), *head.parameters()], lr=2e-3)
    old = y < 5
    for _ in range(5):
        for i in torch.randperm(int(old.sum())).split(32):
            loss = F.cross_entropy(head(trunk(x[old][i])), y[old][i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    new, new_val = y >= 5, y_val >= 5
    return trunk, head, (x[new], y[new] - 5, x_val[new_val], y_val[new_val] - 5)


class Classifier(nn.Module):
    def __init__(self, backbone, classes=5):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(512, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


@healthy("frozen_backbone", kind="transfer", learns=0.9)
def frozen_backbone(seed):
    trunk, _, (x, y, x_val, y_val) = pretrained_trunk(seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=64)
    for param in trunk.parameters():
        param.requires_grad = False
    model = Classifier(trunk)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-3)

    def train_model():
        for epoch in range(8):
            for phase, loader in (("train", train_loader), ("val", val_loader)):
                if phase == "train":
                    model.train()
                else:
                    model.eval()
                running_loss, running_corrects = 0.0, 0
                for inputs, labels in loader:
                    optimizer.zero_grad()
                    with torch.set_grad_enabled(phase == "train"):
                        outputs = model(inputs)
                        preds = outputs.argmax(1)
                        loss = criterion(outputs, labels)
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
                    running_loss += loss.item() * inputs.size(0)
                    running_corrects += torch.sum(preds == labels.data).item()
                n = len(loader.dataset)
                print(f"{epoch} {phase} Loss: {running_loss / n:.4f} Acc: {running_corrects / n:.4f}")

    score = lambda: accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train_model, val_loader, score)


@healthy("frozen_backbone_in_evaluation_mode", kind="transfer", learns=0.9)
def frozen_backbone_in_evaluation_mode(seed):
    trunk, _, (x, y, x_val, y_val) = pretrained_trunk(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = Classifier(trunk.requires_grad_(False))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)

    def train():
        for epoch in range(8):
            model.train()
            model.backbone.eval()  # keep the statistics of batch norm
            for images, labels in loader:
                with torch.no_grad():
                    features = model.backbone(images)
                loss = F.cross_entropy(model.head(features), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("fine_tuning_all_layers", kind="transfer", learns=0.93)
def fine_tuning_all_layers(seed):
    trunk, _, (x, y, x_val, y_val) = pretrained_trunk(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = Classifier(trunk)
    optimizer = torch.optim.AdamW(
        [{"params": model.backbone.parameters(), "lr": 2e-4}, {"params": model.head.parameters(), "lr": 2e-3}]
    )
    criterion = nn.CrossEntropyLoss()

    def train():
        model.train()
        for _ in range(6):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("continued_from_trained_weights", kind="transfer", learns=0.93)
def continued_from_trained_weights(seed):
    """The loss starts far below chance: the network knows most of it already."""
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    warm = torch.optim.Adam(model.parameters(), lr=5e-3)
    for i in torch.arange(300).split(30) * 4:
        warm.zero_grad()
        F.cross_entropy(model(x[i]), y[i]).backward()
        warm.step()
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(10):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
            print(f"fine-tuning epoch {epoch}: {loss.item():.4f}")

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("distillation_from_a_frozen_teacher", kind="transfer", learns=0.9)
def distillation_from_a_frozen_teacher(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    x, x_val = x.flatten(1), x_val.flatten(1)
    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    helper = torch.optim.Adam(teacher.parameters(), lr=2e-3)
    for _ in range(6):
        for i in torch.randperm(len(x)).split(32):
            helper.zero_grad()
            F.cross_entropy(teacher(x[i]), y[i]).backward()
            helper.step()
    teacher.eval().requires_grad_(False)
    student = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    T, alpha = 3.0, 0.7

    def train():
        for _epoch in range(8):
            student.train()
            for xb, yb in loader:
                with torch.no_grad():
                    soft = F.softmax(teacher(xb) / T, dim=1)
                logits = student(xb)
                kd = F.kl_div(F.log_softmax(logits / T, dim=1), soft, reduction="batchmean") * T * T
                loss = alpha * kd + (1 - alpha) * F.cross_entropy(logits, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(student, optimizer, None, loader, train, score=lambda: accuracy(student, x_val, y_val))


class LowRank(nn.Module):
    """A frozen layer with a trainable low-rank correction that starts at zero."""

    def __init__(self, layer, rank=4):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


@healthy("low_rank_adapters", kind="transfer", learns=0.9)
def low_rank_adapters(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    base = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    first = torch.optim.Adam(base.parameters(), lr=3e-3)
    for i in torch.randperm(len(x)).split(32):
        first.zero_grad()
        F.cross_entropy(base(x[i]), y[i]).backward()
        first.step()
    turned, turned_val = x.rot90(2, (2, 3)), x_val.rot90(2, (2, 3))
    model = nn.Sequential(base[0], LowRank(base[1]), base[2], LowRank(base[3]), base[4], LowRank(base[5]))
    loader = DataLoader(TensorDataset(turned, y), batch_size=32, shuffle=True)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=5e-3)

    def train():
        for _ in range(8):
            for xb, yb in loader:
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, turned_val, y_val))


class TwoHeads(nn.Module):
    """The rotation head is for pre-training; it is frozen and not used here."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU())
        self.classifier = nn.Linear(64, 10)
        self.rotation = nn.Linear(64, 4).requires_grad_(False)

    def forward(self, x, *, pretext=False):
        h = self.body(x)
        return self.rotation(h) if pretext else self.classifier(h)


@healthy("unused_head_on_purpose", kind="transfer", learns=0.9)
def unused_head_on_purpose(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = TwoHeads()
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(8):
            correct = 0
            for xb, yb in loader:
                optimizer.zero_grad()
                out = model(xb)
                loss = criterion(out, yb)
                loss.backward()
                optimizer.step()
                correct += (out.argmax(1) == yb).sum().item()
            print(epoch, correct / len(loader.dataset))

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


class GradualClassifier(nn.Module):
    def __init__(self, trunk):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(512, 5)

    def forward(self, x):
        return self.head(self.trunk(x))


@healthy("gradual_unfreezing", kind="transfer", learns=0.9)
def gradual_unfreezing(seed):
    trunk, _, (x, y, x_val, y_val) = pretrained_trunk(seed)
    model = GradualClassifier(trunk)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train():
        for p in model.trunk.parameters():
            p.requires_grad_(False)
        for epoch in range(8):
            if epoch == 3:
                for p in model.trunk.parameters():
                    p.requires_grad_(True)
                for group in optimizer.param_groups:
                    group["lr"] = 3e-4
            for xb, yb in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return (model(x_val).argmax(1) == y_val).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)

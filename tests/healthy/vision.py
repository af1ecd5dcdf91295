"""Images: residual, normalised, augmented, segmented, detected, fine-tuned."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.healthy.data import unit_digits
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, digits
from tests.scenes import Scene, healthy


class BasicBlock(nn.Module):
    def __init__(self, inp, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or inp != out:
            self.shortcut = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layers = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 16, 2), BasicBlock(16, 32, 2))
        self.fc = nn.Linear(32, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layers(x)
        x = F.avg_pool2d(x, 2).flatten(1)
        return self.fc(x)


@healthy("residual_network", kind="vision", learns=0.95)
def residual_network(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = unit_digits(seed)
    mean, std = x.mean(), x.std()
    trainset, testset = TensorDataset((x - mean) / std, y), TensorDataset((x_val - mean) / std, y_val)
    trainloader = DataLoader(trainset, batch_size=64, shuffle=True)
    testloader = DataLoader(testset, batch_size=100, shuffle=False)
    net = ResNet()
    epochs = 5
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    def train():
        for epoch in range(epochs):
            net.train()
            train_loss, correct, total = 0, 0, 0
            for inputs, targets in trainloader:
                optimizer.zero_grad()
                outputs = net(inputs)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()
                train_loss += loss.item()
                _, predicted = outputs.max(1)
                total += targets.size(0)
                correct += predicted.eq(targets).sum().item()
            net.eval()
            with torch.no_grad():
                test_correct = sum(net(a).argmax(1).eq(b).sum().item() for a, b in testloader)
            print(
                f"{epoch}: {train_loss / len(trainloader):.3f} {correct / total:.3f} {test_correct / len(testset):.3f}"
            )
            scheduler.step()

    score = lambda: accuracy(net, *testset.tensors)
    return Scene(net, optimizer, criterion, trainloader, train, testloader, score)


class FixupBlock(nn.Module):
    """No normalization: the last convolution of the branch starts at zero."""

    def __init__(self, width):
        super().__init__()
        self.bias1a, self.bias1b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.bias2a, self.bias2b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.scale = nn.Parameter(torch.ones(1))
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight)
        self.conv1.weight.data *= 0.5
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x):
        out = F.relu(self.conv1(x + self.bias1a) + self.bias1b)
        out = self.conv2(out + self.bias2a) * self.scale + self.bias2b
        return F.relu(x + out)


@healthy("residual_branches_that_start_at_zero", kind="vision", learns=0.93)
def residual_branches_that_start_at_zero(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        *(FixupBlock(16) for _ in range(4)),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def train():
        for _ in range(10):
            for images, labels in loader:
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("group_norm_with_small_batches", kind="vision", learns=0.93)
def group_norm_with_small_batches(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=4, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.GroupNorm(4, 16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.GroupNorm(8, 32), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def train():
        for epoch in range(4):
            running = 0.0
            for i, (images, labels) in enumerate(loader, 1):
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
                running += loss.item()
                if i % 50 == 0:
                    print(f"[{epoch + 1}, {i:5d}] loss: {running / 50:.3f}")
                    running = 0.0

    return Scene(model, optimizer, criterion, loader, train, score=lambda: accuracy(model, x_val, y_val))


@healthy("instance_norm_and_strides", kind="vision", learns=0.9)
def instance_norm_and_strides(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.InstanceNorm2d(24, affine=True), nn.LeakyReLU(0.1),
        nn.Conv2d(24, 24, 3, stride=2, padding=1), nn.LeakyReLU(0.1),
        nn.Flatten(), nn.Linear(24 * 16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def fit(epochs):
        history = []
        for _epoch in range(epochs):
            for batch in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(batch[0]), batch[1])
                loss.backward()
                optimizer.step()
                history.append(float(loss))
        return history

    def main():
        history = fit(epochs=6)
        print(sum(history[-10:]) / 10)

    return Scene(model, optimizer, None, loader, main, score=lambda: accuracy(model, x_val, y_val))


class Augmented(Dataset):
    """Images shifted by up to one pixel and with a little noise, anew each time."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = F.pad(self.images[i], (1, 1, 1, 1), value=self.images.min().item())
        dx, dy = torch.randint(0, 3, (2,)).tolist()
        return image[:, dy : dy + 8, dx : dx + 8] + 0.1 * torch.randn(1, 8, 8), self.labels[i]


@healthy("augmented_images", kind="vision", learns=0.9)
def augmented_images(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    train_loader = DataLoader(Augmented(x, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=180)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout2d(0.1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def train():
        best, best_state = 0.0, None
        for _epoch in range(6):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = [(model(images).argmax(1) == labels).float().mean() for images, labels in val_loader]
            acc = torch.stack(hits).mean().item()
            if acc > best:
                best, best_state = acc, copy.deepcopy(model.state_dict())
        model.load_state_dict(best_state)

    score = lambda: accuracy(model, x_val, y_val)
    return Scene(model, optimizer, criterion, train_loader, train, val_loader, score)


def discs(items, seed):
    """Noisy images with one bright disc: [n, 1, 16, 16], its mask, its box (centre, size) in [0, 1], and its kind."""
    generator = torch.Generator().manual_seed(seed)
    centre = 4 + 8 * torch.rand(items, 2, generator=generator)
    radius = 2 + 2 * torch.rand(items, 1, generator=generator)
    kind = torch.randint(0, 2, (items,), generator=generator)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    distance = ((rows - centre[:, :1, None]) ** 2 + (columns - centre[:, 1:, None]) ** 2).sqrt()
    mask = (distance <= radius[..., None]).float()
    ringed = mask * (distance > 0.6 * radius[..., None])
    image = torch.where(kind[:, None, None] == 1, ringed, mask)
    image = image + 0.3 * torch.randn(items, 16, 16, generator=generator)
    box = torch.cat([centre, 2 * radius], 1) / 16
    return ((image - image.mean()) / image.std())[:, None], mask[:, None], box, kind


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = self.double(1, 8)
        self.down2 = self.double(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = self.double(16, 8)
        self.out = nn.Conv2d(8, 1, 1)

    @staticmethod
    def double(inp, out):
        return nn.Sequential(
            nn.Conv2d(inp, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x):
        skip = self.down1(x)
        deep = self.down2(F.max_pool2d(skip, 2))
        return self.out(self.merge(torch.cat([skip, self.up(deep)], dim=1)))


@healthy("segmentation", kind="vision", learns=0.85)
def segmentation(seed):
    torch.manual_seed(seed)
    images, masks, _, _ = discs(300, seed)
    loader = DataLoader(TensorDataset(images[:240], masks[:240]), batch_size=16, shuffle=True)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def dice_loss(logits, target):
        p = torch.sigmoid(logits)
        overlap = (p * target).sum(dim=(1, 2, 3))
        return (1 - (2 * overlap + 1) / (p.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3)) + 1)).mean()

    def train():
        model.train()
        for epoch in range(6):
            for img, mask in loader:
                logits = model(img)
                loss = F.binary_cross_entropy_with_logits(logits, mask) + dice_loss(logits, mask)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}: {loss.item():.3f}")

    def score():
        with evaluating(model):
            found, real = model(images[240:]) > 0, masks[240:] > 0
            return (2 * (found & real).sum() / (found.sum() + real.sum())).item()

    return Scene(model, optimizer, None, loader, train, score=score)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.box = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 3), nn.Sigmoid())
        self.kind = nn.Linear(512, 2)

    def forward(self, x):
        h = self.features(x)
        return {"box": self.box(h), "kind": self.kind(h)}


@healthy("detection", kind="vision", learns=0.75)
def detection(seed):
    torch.manual_seed(seed)
    images, _, boxes, kinds = discs(800, seed)
    loader = DataLoader(TensorDataset(images[:640], boxes[:640], kinds[:640]), batch_size=32, shuffle=True)
    model = Detector()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    box_weight = 20.0

    def train():
        for epoch in range(15):
            for img, box, kind in loader:
                out = model(img)
                loss_box = F.smooth_l1_loss(out["box"], box)
                loss_kind = F.cross_entropy(out["kind"], kind)
                loss = box_weight * loss_box + loss_kind
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}: box {loss_box.item():.4f} kind {loss_kind.item():.3f}")

    def score():
        with evaluating(model):
            out = model(images[640:])
        hit = (out["kind"].argmax(1) == kinds[640:]) & ((out["box"] - boxes[640:]).abs().amax(1) < 0.12)
        return hit.float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)

"""A body that is frozen as in transfer learning, and comes from nowhere."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault

SYMPTOMS = NO_SIGNAL | {"learning_rate", "training_length", "capacity", "pretrained_weights"}

MARKS = torch.tensor([
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 1, 0], [1, 0, 0]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]],
    [[1, 1, 1], [0, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 1], [1, 1, 1]],
]).float()  # fmt: skip


def marked(items, generator):
    """Noise with one of five marks somewhere in it."""
    label = torch.randint(0, len(MARKS), (items,), generator=generator)
    image = 0.4 * torch.randn(items, 1, 10, 10, generator=generator)
    for number, (row, column) in enumerate(torch.randint(0, 8, (items, 2), generator=generator).tolist()):
        image[number, 0, row : row + 3, column : column + 3] += 1.5 * MARKS[label[number]]
    return image, label


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 16, 3, padding=1)

    def forward(self, x):
        return F.adaptive_max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 1).flatten(1)


@fault("own-random-body-frozen", kind="training_loop/frozen_by_accident", causes={"trainable_parameters"},
       symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def random_body_frozen(repaired, seed):
    generator = torch.Generator().manual_seed(seed)
    X, y = marked(700, generator)
    X_val, y_val = marked(300, generator)
    torch.manual_seed(seed)
    backbone = Backbone()
    for parameter in backbone.parameters():
        parameter.requires_grad = repaired
    model = nn.Sequential(backbone, nn.Linear(16, len(MARKS)))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(8):
            for image, mark in loader:
                optimizer.zero_grad()
                loss = criterion(model(image), mark)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))

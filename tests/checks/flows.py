"""A small network whose gradient may be cut off, and what gradient_flow says of its training."""

import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, blobs

batches = list(torch.utils.data.DataLoader(blobs(), batch_size=16))


class Net(nn.Module):
    """`cut` is done to what the body gives; `auxiliary` says whether a second head runs, whose output nothing is made of."""

    def __init__(self, cut=lambda h: h, *, auxiliary=False):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU()), nn.Linear(16, CLASSES)
        self.unused = nn.Linear(16, 2)
        self.cut, self.auxiliary = cut, auxiliary

    def forward(self, x):
        h = self.body(x)
        if self.auxiliary:
            self.extra = self.unused(h)
        return self.head(self.cut(h))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05)


def plain_loop(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()

    return loop


def finding_of(model, make_loop=plain_loop, *, optimizer=None, loader=batches, read=True, seconds=300, before=None):
    criterion = nn.CrossEntropyLoss()
    optimizer = optimizer or sgd(model)
    if before is not None:
        before(model)
    loop = make_loop(model, optimizer, criterion)
    known = {"loop": loop} if read else {}
    with nni.watch(model, optimizer, criterion, train_loader=loader, **known) as inspector:
        loop()
        return inspector.check("gradient_flow", seconds=seconds)

"""Networks, optimizers, data and loops of many kinds, which have to train in the same way with and without us."""

import contextlib
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, Dataset, IterableDataset

from tests.trainings import CLASSES, FEATURES, Case, blobs, mlp


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 8, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        output, _ = self.rnn(x.reshape(len(x), -1, 2))
        return self.head(output[:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.block(self.embed(x.reshape(len(x), -1, 2))).mean(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(FEATURES, FEATURES)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.head(self.act(self.one(self.act(self.one(x)))))


class DictOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return {"logits": self.inner(x)}


class Augmented(Dataset):
    """Draws from all three global generators."""

    def __init__(self):
        self.data = blobs()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        return x + 0.01 * (torch.randn(()) + random.random() + np.random.rand()), y


class Stream(IterableDataset):
    def __iter__(self):
        yield from blobs()


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.05, "momentum": 0.9, **options})


def case(model=mlp, optimizer=sgd, loss_fn=nn.CrossEntropyLoss, data=blobs, **loader):
    def make():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        net = model()
        return Case(net, optimizer(net), loss_fn(), DataLoader(data(), batch_size=16, **{"shuffle": True, **loader}))

    return make


def plain(c):
    return c.run(3)


def functional(c):
    c.loss_fn = F.cross_entropy
    return c.run(3)


def with_penalty(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        loss = loss + 1e-3 * sum(p.pow(2).sum() for p in c.model.parameters())
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def accumulating(c):
    losses = []
    for index, (x, y) in enumerate(c.train_loader):
        loss = c.loss_fn(c.model(x), y) / 2
        loss.backward()
        if index % 2:
            torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.5)
            c.optimizer.step()
            c.optimizer.zero_grad(set_to_none=False)
        losses.append(loss.item())
    return losses


def with_validation(c):
    losses = []
    for _ in range(2):
        losses += c.run(1)
        c.model.eval()
        with torch.no_grad():
            losses += [c.loss_fn(c.model(x), y).item() for x, y in c.train_loader]
        c.model.train()
    return losses


def with_scheduler(c):
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(c.optimizer, 4)
    losses = []
    for _ in range(3):
        losses += c.run(1)
        scheduler.step()
    return losses


def with_closure(c):
    losses = []
    for x, y in c.train_loader:

        def closure(x=x, y=y):
            c.optimizer.zero_grad()
            loss = c.loss_fn(c.model(x), y)
            loss.backward()
            return loss

        losses.append(c.optimizer.step(closure).item())
    return losses


def in_place_loss(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        loss *= 0.5
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def from_a_dict(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = F.cross_entropy(c.model(x)["logits"], y)
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def mixed_precision(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = c.loss_fn(c.model(x), y)
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def under_a_device(c):
    with torch.device("cpu"):
        return c.run(2)


def by_the_step(
    around_forward=contextlib.nullcontext,
    around_loss=contextlib.nullcontext,
    around_step=contextlib.nullcontext,
    loss_fn=F.cross_entropy,
):
    """A loop that enters something of the user's at some place of each step."""

    def loop(c):
        losses = []
        for _ in range(2):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                with around_forward():
                    output = c.model(x)
                    with around_loss():
                        torch.zeros(2)
                        loss = loss_fn(output, y) if loss_fn else c.loss_fn(output, y)
                with around_step():
                    loss.backward()
                    c.optimizer.step()
                losses.append(loss.item())
        return losses

    return loop


def from_forward_to_step(c):
    """Entered behind the forward pass, left behind the next one."""
    losses, entered = [], None
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        if entered is not None:
            entered.__exit__(None, None, None)
        entered = torch.device("cpu")
        entered.__enter__()
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    entered.__exit__(None, None, None)
    return losses


def breaking_off(c):
    """An exception ends a block in which the model ran."""
    with pytest.raises(KeyError), torch.device("cpu"):
        c.loss_fn(c.model(blobs(16).tensors[0]), blobs(16).tensors[1]).backward()
        raise KeyError
    return c.run(2)


def default_device(c):
    torch.set_default_device("cpu")
    try:
        return by_the_step(around_loss=meta)(c)
    finally:
        torch.set_default_device(None)


def default_device_meanwhile(c):
    """Set behind a forward pass, and reset behind another."""
    losses = []
    for index, (x, y) in enumerate(c.train_loader):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        torch.set_default_device("cpu" if index % 2 else None)
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    torch.set_default_device(None)
    return losses


def meta():
    return torch.device("meta")


class Quiet(TorchFunctionMode):
    """A mode of the user's, which does nothing."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


COMBINATIONS = {
    "mlp sgd": (case(), plain),
    "functional loss": (case(), functional),
    "penalty in the loss": (case(), with_penalty),
    "accumulation and clipping": (case(), accumulating),
    "validation between epochs": (case(), with_validation),
    "scheduler": (case(), with_scheduler),
    "adam": (case(optimizer=lambda m: torch.optim.Adam(m.parameters())), plain),
    "adamw foreach": (case(optimizer=lambda m: torch.optim.AdamW(m.parameters(), foreach=True)), plain),
    "adam fused": (case(optimizer=lambda m: torch.optim.Adam(m.parameters(), fused=True)), plain),
    "lbfgs": (case(optimizer=lambda m: torch.optim.LBFGS(m.parameters(), max_iter=3)), with_closure),
    "in-place operation on the loss": (case(), in_place_loss),
    "batch norm and dropout": (
        case(
            lambda: nn.Sequential(
                nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, CLASSES)
            )
        ),
        plain,
    ),
    "lstm": (case(Recurrent), plain),
    "transformer": (case(Attending), plain),
    "tied weights and in-place relu": (case(Tied), plain),
    "dict output": (case(DictOutput), from_a_dict),
    "bfloat16 autocast": (case(), mixed_precision),
    "a device around the loop": (case(), under_a_device),
    "a device around the forward pass": (case(), by_the_step(around_forward=meta)),
    "a device around the loss": (case(), by_the_step(around_loss=meta)),
    "a device around the step": (case(), by_the_step(around_step=meta)),
    "a device in a device": (case(), by_the_step(around_forward=meta, around_loss=meta)),
    "a device from the forward pass to the next": (case(), from_forward_to_step),
    "an exception in the block of a device": (case(), breaking_off),
    "a default device": (case(), default_device),
    "a default device meanwhile": (case(), default_device_meanwhile),
    "a mode around the forward pass": (case(), by_the_step(around_forward=Quiet, loss_fn=None)),
    "a mode around the loss": (case(), by_the_step(around_loss=Quiet)),
    "a mode around the step": (case(), by_the_step(around_step=Quiet)),
    "augmentation": (case(data=Augmented), plain),
    "iterable data set": (case(data=Stream, shuffle=False), plain),
    "two workers": (case(data=Augmented, num_workers=2), plain),
    "persistent workers": (case(num_workers=1, persistent_workers=True), plain),
    "frozen layer": (case(lambda: _freeze(mlp())), plain),
    "channels last": (
        case(
            lambda: nn.Sequential(
                nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(32, CLASSES)
            ).to(memory_format=torch.channels_last)
        ),
        plain,
    ),
}


def _freeze(model):
    model[0].requires_grad_(False)
    return model


def hook_dictionaries(model, optimizer, loss_fn):
    """Every registry of hooks that torch keeps on these objects, by size, and attributes that were added."""
    names = (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_backward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
    )
    modules = [*model.modules(), loss_fn]
    return (
        [[len(getattr(module, name)) for name in names] for module in modules],
        [sorted(vars(module)) for module in modules],
        [p._backward_hooks for p in model.parameters()],
        len(optimizer._optimizer_step_pre_hooks),
        len(optimizer._optimizer_step_post_hooks),
    )

"""Trainings of many kinds, some of which fail when they are copied or computed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, blobs, mlp

ITEMS, BATCH = 32, 8
X, Y = blobs(ITEMS).tensors
WORDS = torch.randint(12, (ITEMS, 6), generator=torch.Generator().manual_seed(0))
NOISE = np.random.default_rng(0)
CALLS: list[int] = []
CRITIC = nn.Sequential(nn.Linear(CLASSES, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


@dataclass
class Kind:
    """A training, and whatever else belongs to it and must stay as it is.

    Attributes:
        given: what `watch()` is given beside model and optimizer.
        loss: of a batch, as the loop computes it.
        after: what the loop does after each step.
        scaler: scales the loss.
    """

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    loader: Any
    loss: Callable[[nn.Module, Any], torch.Tensor]
    given: dict[str, Any] = field(default_factory=dict)
    after: Callable[[], object] = bool
    others: list[Any] = field(default_factory=list)
    scaler: Any = None

    @property
    def owned(self) -> list[Any]:
        return [self.model, *self.optimizers, self.loader, *self.others, NOISE, CALLS, CRITIC]

    def watch(self) -> nni.Inspector:
        optimizer = self.optimizers[0] if len(self.optimizers) == 1 else self.optimizers
        return nni.watch(self.model, optimizer, train_loader=self.loader, show=False, **self.given)

    def run(self) -> None:
        for _, batch in zip(range(4), self.loader, strict=False):
            for optimizer in self.optimizers:
                optimizer.zero_grad()

            def closure(batch: Any = batch) -> torch.Tensor:
                loss = self.loss(self.model, batch)
                loss.backward()
                return loss

            if isinstance(self.optimizers[0], torch.optim.LBFGS):
                self.optimizers[0].step(closure)
            else:
                closure()
                for optimizer in self.optimizers:
                    if self.scaler is not None:
                        self.scaler.step(optimizer)
                        self.scaler.update()
                    else:
                        optimizer.step()
            self.after()


def cross_entropy(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def loader_of(data: Any = None, **options: Any) -> DataLoader[Any]:
    shuffle = (
        {} if {"sampler", "batch_sampler"} & options.keys() or isinstance(data, IterableDataset) else {"shuffle": True}
    )
    size = {} if "batch_sampler" in options else {"batch_size": BATCH}
    return DataLoader(data if data is not None else TensorDataset(X, Y), **size, **shuffle, **options)


def kind(model: nn.Module, loader: Any = None, *, optimizer: Any = torch.optim.Adam, **options: Any) -> Kind:
    options = {"loss": cross_entropy, "given": {"loss_fn": nn.CrossEntropyLoss()}, **options}
    return Kind(
        model, [optimizer(model.parameters(), lr=0.01)], loader if loader is not None else loader_of(), **options
    )


# Networks


class Of(nn.Module):
    """Parts, and a function of them and the input."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def convolution() -> Kind:
    net = nn.Sequential(
        nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(32, CLASSES)
    )  # fmt: skip
    return kind(net)


def words(net: nn.Module) -> Kind:
    return kind(net, loader_of(TensorDataset(WORDS, Y)))


def lstm() -> Kind:
    net = Of(lambda m, x: m.head(m.rnn(m.table(x))[0][:, -1]), table=nn.Embedding(12, 8), rnn=nn.LSTM(8, 8, batch_first=True), head=nn.Linear(8, CLASSES))  # fmt: skip
    return words(net)


def transformer() -> Kind:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
    net = Of(lambda m, x: m.head(m.body(m.table(x)).mean(1)), table=nn.Embedding(12, 8), body=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), head=nn.Linear(8, CLASSES))  # fmt: skip
    return words(net)


def embedding() -> Kind:
    return words(nn.Sequential(nn.EmbeddingBag(12, 8), nn.Linear(8, CLASSES)))


def tied() -> Kind:
    net = Of(lambda m, x: m.last(m.table(x)).mean(1)[:, :CLASSES], table=nn.Embedding(12, 8), last=nn.Linear(8, 12))
    net.last.weight = net.table.weight
    return words(net)


def frozen() -> Kind:
    net = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))
    net[:2].requires_grad_(False).eval()
    return kind(net)


def lazy() -> Kind:
    net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(CLASSES))
    net(X)
    return kind(net)


def recorded() -> Kind:
    return kind(mlp(), given={})


def with_step() -> Kind:
    return kind(mlp(), given={"step": cross_entropy})


def of_dicts() -> Kind:
    data = [{"x": x, "y": y} for x, y in zip(X, Y, strict=True)]

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return F.cross_entropy(model(batch["x"]), batch["y"])

    return kind(mlp(), loader_of(data), loss=loss, given={"step": loss})


def of_tuples() -> Kind:
    net = Of(lambda m, x: (m.net(x), x.sum()), net=mlp())
    return kind(net, loss=lambda model, batch: F.cross_entropy(model(batch[0])[0], batch[1]), given={})


def regression() -> Kind:
    data = TensorDataset(X, X.sum(1, keepdim=True))
    return kind(nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 1)), loader_of(data), loss=lambda m, b: F.mse_loss(m(b[0]), b[1]), given={"loss_fn": nn.MSELoss()})  # fmt: skip


def several_optimizers() -> Kind:
    net = mlp()
    made = kind(net)
    made.optimizers = [
        torch.optim.Adam(net[0].parameters()),
        torch.optim.SGD(net[2].parameters(), lr=0.1, momentum=0.9),
    ]
    return made


def lbfgs() -> Kind:
    return kind(mlp(), optimizer=torch.optim.LBFGS)


def scheduled() -> Kind:
    made = kind(mlp())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(made.optimizers[0], max_lr=0.1, total_steps=100)
    made.after, made.others = scheduler.step, [vars(scheduler)]
    return made


def averaged() -> Kind:
    made = kind(mlp())
    average = torch.optim.swa_utils.AveragedModel(made.model, use_buffers=True)
    made.after, made.others = lambda: average.update_parameters(made.model), [average]
    return made


def scaled() -> Kind:
    made = kind(mlp())
    scaler = torch.amp.GradScaler("cpu")

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return scaler.scale(cross_entropy(model, batch))

    made.loss, made.scaler, made.others = loss, scaler, [vars(scaler)]
    return made


def spectral() -> Kind:
    return kind(nn.Sequential(nn.utils.spectral_norm(nn.Linear(FEATURES, 8)), nn.ReLU(), nn.utils.parametrizations.spectral_norm(nn.Linear(8, CLASSES))))  # fmt: skip


def remembering() -> Kind:
    """What was computed is kept, with its graph, and collected by a hook."""
    net, seen = mlp(), []

    def forward(module: Any, x: torch.Tensor) -> torch.Tensor:
        module.last = module.net(x)
        return module.last

    net[1].register_forward_hook(lambda module, args, output: seen.append(output.detach().mean()))
    return kind(Of(forward, net=net), others=[seen])


def noisy(module: Any, x: torch.Tensor) -> torch.Tensor:
    CALLS.append(len(x))
    return module.net(x + float(NOISE.normal()))


def drawing() -> Kind:
    return kind(Of(noisy, net=mlp()))


def criticized(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(output, target) + CRITIC(output).mean()


def with_critic() -> Kind:
    return kind(mlp(), loss=lambda m, b: criticized(m(b[0]), b[1]), given={"loss_fn": criticized})


def with_critic_in_the_loop() -> Kind:
    return kind(mlp(), loss=lambda m, b: criticized(m(b[0]), b[1]), given={})


def training_itself() -> Kind:
    """A step that forgets its argument, and steps."""
    made = kind(mlp())
    net, optimizer = made.model, made.optimizers[0]

    def step(_: nn.Module, batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(net, batch)
        loss.backward()
        optimizer.step()
        return loss.detach().requires_grad_()

    made.given = {"step": step}
    return made


# Loaders


def weighted() -> Kind:
    sampler = WeightedRandomSampler(torch.ones(ITEMS), ITEMS, generator=torch.Generator().manual_seed(0))
    return kind(mlp(), loader_of(sampler=sampler, generator=torch.Generator().manual_seed(1)))


class Stream(IterableDataset[Any]):
    def __init__(self) -> None:
        self.passes, self.items, self.noise = 0, 0, random.Random(0)

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        for x, y in zip(X, Y, strict=True):
            self.items += 1
            yield x + self.noise.random(), y


class Augmented(Dataset[Any]):
    """Items that are made with generators of the data set and of the process, and stored data that are written to."""

    def __init__(self) -> None:
        self.x, self.noise, self.calls, self.seen = X.clone(), np.random.default_rng(0), 0, []
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> Any:
        self.calls += 1
        self.seen.append(index)
        self.x[index] += float(self.noise.normal()) * torch.rand(1, generator=self.generator)
        return self.x[index] + torch.randn(FEATURES) * random.random() * np.random.rand(), Y[index]


class Buckets:
    """Batches of indices, drawn with a generator of its own."""

    def __init__(self) -> None:
        self.noise, self.epoch = random.Random(0), 0

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        order = self.noise.sample(range(ITEMS), ITEMS)
        yield from (order[start : start + BATCH] for start in range(0, ITEMS, BATCH))

    def __len__(self) -> int:
        return ITEMS // BATCH


class Collating:
    def __init__(self) -> None:
        self.calls, self.noise = 0, np.random.default_rng(0)

    def __call__(self, items: list[Any]) -> Any:
        self.calls += 1
        x, y = zip(*items, strict=True)
        return torch.stack(x) + float(self.noise.normal()), torch.stack(y)


def collated() -> Kind:
    collate = Collating()
    return kind(mlp(), loader_of(collate_fn=collate), others=[collate])


def listed() -> Kind:
    return kind(mlp(), list(zip(X.split(BATCH), Y.split(BATCH), strict=True)))


# What fails


class Failing(nn.Module):
    """Fails in the n-th pass, or when it is copied the n-th time, after its better part was."""

    COPIES = 0

    def __init__(self, *, passes: float = np.inf, copies: float = np.inf) -> None:
        super().__init__()
        self.net, self.norm = mlp(), nn.BatchNorm1d(CLASSES)
        self.passes, self.copies = passes, copies

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes -= 1
        output = self.norm(self.net(x))
        if self.passes < 0:
            raise RuntimeError("no pass is left")
        return output

    def __deepcopy__(self, memo: dict[int, Any]) -> Failing:
        Failing.COPIES += 1
        twin = copy.copy(self)
        memo[id(self)] = twin
        twin._modules = copy.deepcopy(self._modules, memo)
        if self.copies < Failing.COPIES:
            raise RuntimeError("no copy is left")
        return twin


def failing(**limits: float) -> Kind:
    Failing.COPIES = 0
    return kind(Failing(**limits))


def failing_loss(passes: int) -> Kind:
    """Fails after its batch normalization was given the batch."""
    made = with_critic()

    class Loss(nn.Module):
        left = passes

        def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            self.left -= 1
            loss = criticized(output, target)
            if self.left < 0:
                raise RuntimeError("no pass is left")
            return loss

    loss_fn = Loss()
    made.given, made.loss = {"loss_fn": loss_fn}, lambda m, b: loss_fn(m(b[0]), b[1])
    return made


class FailingData(Augmented):
    def __getitem__(self, index: int) -> Any:
        item = super().__getitem__(index)
        if self.calls > 40:
            raise OSError("the disk is gone")
        return item


KINDS: dict[str, Callable[[], Kind]] = {
    "SGD with momentum": lambda: kind(mlp(), optimizer=lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
    "convolution with batch normalization": convolution,
    "LSTM": lstm,
    "transformer with dropout": transformer,
    "bag of embeddings": embedding,
    "tied weights": tied,
    "frozen part in evaluation mode": frozen,
    "lazy layers": lazy,
    "loss as recorded": recorded,
    "step": with_step,
    "dicts": of_dicts,
    "tuples": of_tuples,
    "regression": regression,
    "several optimizers": several_optimizers,
    "LBFGS": lbfgs,
    "scheduler": scheduled,
    "average of the weights": averaged,
    "scaled gradients": scaled,
    "spectral normalization": spectral,
    "tensors that are kept": remembering,
    "generator of the module": drawing,
    "critic in the loss": with_critic,
    "critic in the loop": with_critic_in_the_loop,
    "step that trains": training_itself,
    "sampler with a generator": weighted,
    "stream": lambda: kind(mlp(), loader_of(Stream())),
    "augmentation": lambda: kind(mlp(), loader_of(Augmented())),
    "workers": lambda: kind(mlp(), loader_of(Augmented(), num_workers=1)),
    "batches of a sampler": lambda: kind(mlp(), loader_of(batch_sampler=Buckets())),
    "collate function": collated,
    "list of batches": listed,
    "no copy": lambda: failing(copies=0),
    "third copy fails": lambda: failing(copies=2),
    "pass 5 fails": lambda: failing(passes=5),
    "pass 40 fails": lambda: failing(passes=40),
    "loss 5 fails": lambda: failing_loss(5),
    "loss 40 fails": lambda: failing_loss(40),
    "data fail": lambda: kind(mlp(), loader_of(FailingData())),
}

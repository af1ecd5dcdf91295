"""Trainings of an unusual form, sound or not: no check may fail itself on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import blobs, mlp

X, Y = blobs(32).tensors


def loader_of(inputs: torch.Tensor = X, target: torch.Tensor = Y) -> DataLoader[Any]:
    return DataLoader(TensorDataset(inputs, target), batch_size=8, shuffle=True)


def plain(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def cross_entropy() -> dict[str, Any]:
    return {"loss_fn": nn.CrossEntropyLoss()}


@dataclass
class Unusual:
    """What the user has: a sound classifier, but for what is given.

    Attributes:
        loss: what the loop computes of a batch.
        options: of `watch()`, beside model, optimizer and train_loader.
        trained: what the optimizer holds; the model if None.
    """

    model: nn.Module = field(default_factory=mlp)
    loader: Iterable[Any] = field(default_factory=loader_of)
    loss: Callable[[nn.Module, Any], Any] = plain
    options: dict[str, Any] = field(default_factory=cross_entropy)
    trained: nn.Module | None = None

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.SGD((self.trained or self.model).parameters(), lr=0.1)

    def run(self) -> None:
        """Two epochs."""
        for _ in range(2):
            for batch in self.loader:
                self.optimizer.zero_grad()
                loss = self.loss(self.model, batch)
                if isinstance(loss, torch.Tensor) and loss.requires_grad:
                    loss.backward()
                self.optimizer.step()


class Returning(nn.Module):
    """A network whose output is put into another form."""

    def __init__(self, form: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.network = mlp()
        self.form = form

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.form(self.network(inputs))


class Keeping(nn.Module):
    """A network that returns nothing: its loss is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.network = mlp()

    def forward(self, inputs: torch.Tensor, target: torch.Tensor) -> None:
        self.loss = F.cross_entropy(self.network(inputs), target)


class Reading(nn.Module):
    """A network that reads texts."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(32, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, texts: Iterable[str]) -> torch.Tensor:
        return self.last(self.table(torch.tensor([[len(text), len(text.split())] for text in texts])))


class OnlyTraining(nn.Module):
    """A network that cannot be asked in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.network = mlp()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.training:
            raise RuntimeError("not for evaluation")
        return self.network(inputs)


def dicts() -> Unusual:
    loader = DataLoader([{"pixels": x, "label": y} for x, y in zip(X, Y, strict=True)], batch_size=8)
    return Unusual(mlp(), loader, lambda model, batch: F.cross_entropy(model(batch["pixels"]), batch["label"]), {})


def texts() -> Unusual:
    words = ["a cat", "two black dogs", "one more word here", "nothing"]
    return Unusual(Reading(), DataLoader([(words[place], place) for place in range(4)] * 8, batch_size=8))


def without_targets() -> Unusual:
    loader = [(inputs, None) for inputs in X.split(8)]
    return Unusual(mlp(), loader, lambda model, batch: model(batch[0]).square().mean(), {})


def one_number() -> Unusual:
    network = Returning(lambda answer: answer.mean())
    return Unusual(network, loss=lambda model, batch: (model(batch[0]) - batch[1].float().mean()) ** 2, options={})


def tuples() -> Unusual:
    network = Returning(lambda answer: (answer, answer.detach()))
    return Unusual(network, loss=lambda model, batch: F.cross_entropy(model(batch[0])[0], batch[1]), options={})


def complex_numbers() -> Unusual:
    network = Returning(lambda answer: answer.to(torch.complex64))
    return Unusual(
        network,
        loss=lambda model, batch: F.cross_entropy(model(batch[0]).real, batch[1]),
        options={"loss_fn": lambda output, target: F.cross_entropy(output.real, target)},
    )


def a_float(model: nn.Module, batch: Any) -> float:
    return plain(model, batch).item()


def sparse() -> Unusual:
    network = nn.Sequential(nn.EmbeddingBag(16, 8, sparse=True), nn.Linear(8, 4))
    return Unusual(network, loader_of(torch.randint(0, 16, (32, 3))))


UNUSUAL: dict[str, Callable[[], Unusual]] = {
    "batches that are a dict": dicts,
    "batches of texts": texts,
    "batches without targets": without_targets,
    "batches of one item": lambda: Unusual(loader=list(zip(X.split(1), Y.split(1), strict=True))),
    "empty batches": lambda: Unusual(loader=[(X[:0], Y[:0])] * 3),
    "empty batches for validation": lambda: Unusual(options={**cross_entropy(), "val_loader": [(X[:0], Y[:0])]}),
    "other data for validation": lambda: Unusual(options={**cross_entropy(), "val_loader": [["a"], "b", None]}),
    "data that can be read once": lambda: Unusual(loader=iter(list(loader_of()))),
    "a single item": lambda: Unusual(loader=loader_of(X[:1], Y[:1])),
    "NaN in the inputs": lambda: Unusual(loader=loader_of(torch.full_like(X, float("nan")))),
    "Inf in the inputs": lambda: Unusual(loader=loader_of(X.masked_fill(X > 1, float("inf")))),
    "an output that is a tuple": tuples,
    "an output that is None": lambda: Unusual(
        Keeping(), loss=lambda model, batch: (model(*batch), model.loss)[1], options={}
    ),
    "an output that is one number": one_number,
    "an output without a gradient": lambda: Unusual(Returning(torch.Tensor.detach)),
    "an output of complex numbers": complex_numbers,
    "a loss that is a float": lambda: Unusual(
        loss=a_float, options={"loss_fn": lambda output, target: F.cross_entropy(output, target).item()}
    ),
    "a loss that is None": lambda: Unusual(options={"loss_fn": lambda output, target: None}),
    "a step that returns a float": lambda: Unusual(options={"step": a_float}),
    "a step that fails": lambda: Unusual(options={"step": lambda model, batch: batch["no"]}),
    "nothing to train": lambda: Unusual(mlp().requires_grad_(False)),
    "no evaluation": lambda: Unusual(OnlyTraining()),
    "an optimizer of another network": lambda: Unusual(trained=mlp()),
    "sparse gradients": sparse,
    "half precision": lambda: Unusual(mlp().bfloat16(), loader_of(X.bfloat16())),
}

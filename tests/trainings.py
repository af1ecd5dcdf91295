"""Small trainings that the tests share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni

CLASSES, FEATURES, ITEMS = 4, 8, 96


def blobs(items: int = ITEMS, *, seed: int = 0, spread: float = 0.6) -> TensorDataset:
    """Points around one centre for each class: easy to learn, in random order."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(CLASSES, FEATURES, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(0, CLASSES, (items,), generator=generator)
    inputs = centres[labels] + spread * torch.randn(items, FEATURES, generator=generator)
    return TensorDataset(inputs / inputs.std(), labels)


def sorted_by_label(data: TensorDataset) -> TensorDataset:
    order = data.tensors[1].argsort(stable=True)
    return TensorDataset(*(tensor[order] for tensor in data.tensors))


def mlp(*, hidden: int = 16, activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(FEATURES, hidden), activation(), nn.Linear(hidden, CLASSES))


@dataclass
class Case:
    """A model with all that trains it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss_fn: Callable[..., torch.Tensor]
    train_loader: Iterable[Any]

    def run(self, epochs: int = 2, *, zero_grad: bool = True) -> list[float]:
        losses = []
        for _ in range(epochs):
            for inputs, target in self.train_loader:
                if zero_grad:
                    self.optimizer.zero_grad()
                loss = self.loss_fn(self.model(inputs), target)
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
        return losses


def classifier_of(
    model: nn.Module,
    data: TensorDataset | None = None,
    *,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    lr: float = 0.02,
    batch_size: int = 16,
    shuffle: bool = True,
    **options: Any,
) -> Case:
    """A training of any network that tells classes apart; options go to its optimizer."""
    loader = DataLoader(data or blobs(), batch_size=batch_size, shuffle=shuffle)
    return Case(model, optimizer(model.parameters(), lr=lr, **options), nn.CrossEntropyLoss(), loader)


def classifier(*, shuffle: bool = True, data: TensorDataset | None = None, lr: float = 0.1, **options: Any) -> Case:
    """A sound classifier; options go to SGD."""
    return classifier_of(mlp(), data, optimizer=torch.optim.SGD, lr=lr, shuffle=shuffle, **options)


def watch(case: Case, **options: Any) -> nni.Inspector:
    """Watch a case with all that belongs to it."""
    return nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, **options)


def state_of(case: Case) -> dict[str, torch.Tensor]:
    """Everything a training leaves behind: weights, optimizer state, random state."""
    tensors = {f"weight {name}": value.clone() for name, value in case.model.state_dict().items() if not value.is_meta}
    for index, state in enumerate(case.optimizer.state.values()):
        tensors |= {f"state {index} {k}": v.clone() for k, v in state.items() if isinstance(v, torch.Tensor)}
    return tensors | random_state()


def random_state() -> dict[str, torch.Tensor]:
    """The state of the generators of PyTorch, NumPy and Python on the host."""
    _, numbers, place, *_ = np.random.get_state()
    return {
        "random": torch.get_rng_state(),
        "random of NumPy": torch.tensor([*numbers.tolist(), place]),
        "random of Python": torch.tensor(random.getstate()[1]),
    }


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different, f"not bit-identical: {different}"

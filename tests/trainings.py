"""Small trainings that the tests share."""

from __future__ import annotations

import random
import types
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


def state_of(*owned: object) -> dict[str, torch.Tensor]:
    """Everything that a training and what belongs to it consist of, and the random state."""
    tensors: dict[str, torch.Tensor] = {}
    for number, one in enumerate(owned):
        _note(f"{number}" if number else "", one, tensors, {})
    return tensors | random_state()


def _note(name: str, held: Any, into: dict[str, torch.Tensor], seen: dict[int, Any]) -> None:
    is_known = id(held) in seen and not isinstance(held, bool | int | float)
    if is_known or isinstance(held, str | bytes | type | types.ModuleType | nni.Inspector):
        return
    seen[id(held)] = held
    numbers = _numbers(held)
    if numbers is not None:
        into[name] = numbers
    for part, value in _parts(held).items():
        _note(f"{name} {part}".strip(), value, into, seen)


def _numbers(held: Any) -> torch.Tensor | None:
    """What an object holds itself."""
    if isinstance(held, torch.Tensor):
        return None if held.is_meta or held.layout is not torch.strided else held.detach().clone()
    if isinstance(held, bool | int | float):
        return torch.tensor(held)
    if isinstance(held, np.ndarray):
        return torch.from_numpy(held.copy())
    if isinstance(held, torch.Generator):
        return held.get_state()
    if isinstance(held, random.Random):
        return torch.tensor(held.getstate()[1])
    return (
        torch.tensor(list(repr(held.bit_generator.state).encode())) if isinstance(held, np.random.Generator) else None
    )


def _parts(held: Any) -> dict[Any, Any]:
    """What hangs on an object, by name."""
    if isinstance(held, torch.Tensor):
        return {"gradient": held.grad, "needs a gradient": held.requires_grad} if held.is_leaf else {}
    if isinstance(held, nn.Module):
        return {**held._parameters, **held._buffers, **held._modules, "mode": held.training}
    if isinstance(held, torch.optim.Optimizer):
        return {"groups": held.param_groups, "state": list(held.state.values())}
    if isinstance(held, DataLoader):
        return {part: getattr(held, part) for part in ("dataset", "sampler", "batch_sampler", "generator")}
    if isinstance(held, list | tuple):
        return {"length": len(held), **dict(enumerate(held))}
    return held if isinstance(held, dict) else getattr(held, "__dict__", {})


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
    different = [name for name in a if not _same(a[name], b[name])]
    assert not different, f"not bit-identical: {different}"


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.is_floating_point():  # NaN is the same as NaN
        return (
            one.dtype == other.dtype
            and torch.equal(one.isnan(), other.isnan())
            and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
    return torch.equal(one, other)

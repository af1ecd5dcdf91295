"""Small seeded data for the trainings of tests/faults and tests/healthy, and how well a model does on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sklearn import datasets
from torch import Tensor, nn

Split = tuple[Tensor, Tensor, Tensor, Tensor]
"""Train inputs, train targets, validation inputs, validation targets."""


def split(inputs: Tensor, targets: Tensor, *, seed: int = 0, val: float = 0.2) -> Split:
    """Shuffles items once and cuts off the share `val` for validation."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    cut = round(len(inputs) * val)
    return inputs[order[cut:]], targets[order[cut:]], inputs[order[:cut]], targets[order[:cut]]


def digits(seed: int = 0, *, raw: bool = False) -> Split:
    """1797 grey images [items, 1, 8, 8] of ten digits, standardized, or raw in 0-255."""
    data = datasets.load_digits()
    images = torch.as_tensor(data.images, dtype=torch.float32).unsqueeze(1)
    images = images * (255 / 16) if raw else (images - images.mean()) / images.std()
    return split(images, torch.as_tensor(data.target), seed=seed)


def table(name: str, seed: int = 0, *, raw: bool = False) -> Split:
    """A bundled table: "iris", "wine", "breast_cancer" (integer labels) or "diabetes" (float targets, raw unscaled)."""
    data = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    inputs = torch.as_tensor(data.data, dtype=torch.float32)
    targets = torch.as_tensor(data.target)
    if targets.is_floating_point():
        targets = targets.float() if raw else standardized(targets.float())
    return split(inputs if raw else standardized(inputs), targets, seed=seed)


def classification(
    seed: int = 0, *, items: int = 1000, features: int = 20, classes: int = 2, **options: float
) -> Split:
    """Standardized float inputs [items, features] with integer labels, from `make_classification`."""
    informative = min(features, max(4, features // 2))
    settings = {"n_informative": informative, "n_redundant": 0, "class_sep": 1.5, "flip_y": 0.0, **options}
    inputs, labels = datasets.make_classification(items, features, n_classes=classes, random_state=seed, **settings)
    return split(standardized(torch.as_tensor(inputs, dtype=torch.float32)), torch.as_tensor(labels), seed=seed)


def regression(seed: int = 0, *, items: int = 600, features: int = 9) -> Split:
    """Fuel consumption of imagined cars: inputs in [0, 1], targets [items, 1] with mean 0 and spread 1."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(items, features, generator=generator)
    weights = torch.linspace(-1.5, 1.5, features)
    targets = inputs @ weights + torch.sin(4 * inputs[:, 0]) - inputs[:, 1] * inputs[:, 2]
    targets = targets + 0.05 * torch.randn(items, generator=generator)
    return split(inputs, standardized(targets).unsqueeze(1), seed=seed)


def standardized(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / values.std(0)


def accuracy(model: nn.Module | Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor) -> float:
    """Share of items whose largest output (or, with one output, its sign as a logit) is the label."""
    outputs = _evaluated(model, inputs)
    several = outputs.dim() > 1 and outputs.shape[1] > 1
    predicted = outputs.argmax(1) if several else (outputs.reshape(-1) > 0).long()
    return (predicted == labels.reshape(-1)).float().mean().item()


def explained(model: nn.Module | Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> float:
    """R^2: 1 for perfect predictions, 0 for always the mean."""
    outputs = _evaluated(model, inputs)
    targets = targets.float()
    error = (outputs.reshape(targets.shape) - targets).square().mean()
    return (1 - error / (targets - targets.mean(0)).square().mean()).item()


def _evaluated(model: nn.Module | Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    training = getattr(model, "training", False)
    if isinstance(model, nn.Module):
        model.eval()
    with torch.no_grad():
        outputs = model(inputs)
    if isinstance(model, nn.Module):
        model.train(training)
    return outputs

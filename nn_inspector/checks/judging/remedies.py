"""Losses that fit what is asked, for copies to be trained with."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F


def entropy_of_classes(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of scores against class numbers [items], one-hot rows or rows of shares [items, classes]."""
    if target.is_floating_point() or target.shape == output.shape:
        return F.cross_entropy(output, target.to(output.dtype))
    return F.cross_entropy(output, target.reshape(output.shape[:1] + output.shape[2:]).long())


def entropy_of_answers(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy of scores against answers 0 or 1 in the same order."""
    return F.binary_cross_entropy_with_logits(output.reshape(target.shape), target.to(output.dtype))


def squared_error(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error against numbers in the same order."""
    return F.mse_loss(output.reshape(target.shape), target.to(output.dtype))


def standardized_error(known: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Mean squared error against numbers that are scaled as `known` ones [items, ...] have to be for mean 0 and deviation 1."""
    values = known.detach().double()
    centre, width = values.mean(0), values.std(0).clamp(min=1e-12)

    def error(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return squared_error(output, (target - centre.to(target.device)) / width.to(target.device))

    return error

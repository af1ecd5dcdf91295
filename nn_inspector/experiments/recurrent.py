"""Recurrent layers of copies on a CUDA device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn


def with_backward(model: nn.Module) -> AbstractContextManager[Any]:
    """In evaluation mode cuDNN computes recurrent layers without what their backward pass needs; torch's own kernels do not."""
    resting = torch.is_grad_enabled() and any(not layer.training for layer in _recurrent(model))
    return torch.backends.cudnn.flags(enabled=False) if resting else nullcontext()


def in_one_piece(model: nn.Module) -> None:
    """The weights of a copied layer lie apart, which cuDNN would warn of at every call."""
    for layer in _recurrent(model):
        layer.flatten_parameters()


def _recurrent(model: nn.Module) -> list[nn.RNNBase]:
    return [module for module in model.modules() if isinstance(module, nn.RNNBase)]

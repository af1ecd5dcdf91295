"""Statistics of activations in the manner of fastai's `ActivationStats(with_hist=True)`, written anew without fastai.

As there: a forward hook on each leaf module with parameters, each statistic asked for at once with `.item()`, each
tensor of a nested tuple (an LSTM's output) apart, at every training step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

QUANTITIES = ("mean", "std", "near_zero", "hist")
"""What fastai keeps of each output (fastai.callback.hook.ActivationStats.hook)."""

_BINS, _LOW, _HIGH = 40, 0.0, 10.0
_NEAR_ZERO = 0.05


class ActivationStats:
    """Hooks on a model that describe each output; `after_step` keeps what they found."""

    def __init__(self, model: nn.Module) -> None:
        self.history: list[dict[int, list[dict[str, Any]]]] = []
        self._found: dict[int, list[dict[str, Any]]] = {}
        leaves = [
            module
            for module in model.modules()
            if not any(module.children()) and any(True for _ in module.parameters())
        ]
        self._handles = [leaf.register_forward_hook(self._hook(index)) for index, leaf in enumerate(leaves)]

    def after_step(self, loss: torch.Tensor) -> None:
        """Keep what the hooks found in this step."""
        self.history.append(self._found)
        self._found = {}

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, index: int) -> Any:
        def describe_output(module: nn.Module, args: Any, output: Any) -> None:
            self._found[index] = [_describe(tensor.detach().float()) for tensor in _tensors(output)]

        return describe_output


def _describe(output: torch.Tensor) -> dict[str, Any]:
    return {
        "mean": output.mean().item(),
        "std": output.std().item(),
        "near_zero": (output <= _NEAR_ZERO).long().sum().item() / output.numel(),
        "hist": output.histc(_BINS, _LOW, _HIGH),
    }


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, tuple):
        for item in output:
            yield from _tensors(item)

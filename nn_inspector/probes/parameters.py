"""The names of the parameters that an optimizer steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer


class ParameterNames:
    """Looks up parameters by identity, and again when the model has new ones (a replaced head, `assign=True`).

    Args:
        model: the user's network.
        optimizers: the list of watched optimizers; it may grow.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._model = model
        self._optimizers = optimizers
        self._names: dict[int, str] = {}

    def stepped(self, optimizer_index: int) -> list[tuple[str, torch.Tensor]]:
        """Name and tensor of each parameter that this optimizer steps; those outside the model are left out."""
        found = [
            (self.name(parameter), parameter)
            for group in self._optimizers[optimizer_index].param_groups
            for parameter in group["params"]
            if not isinstance(parameter, UninitializedParameter) and not parameter.is_meta
        ]
        return [(name, parameter) for name, parameter in found if name is not None]

    def name(self, parameter: torch.Tensor) -> str | None:
        """Name of a parameter within the model, or None if it is not the model's."""
        if id(parameter) not in self._names:
            self._names = {id(p): name for name, p in self._model.named_parameters()}
        return self._names.get(id(parameter))

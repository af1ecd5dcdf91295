"""The names of the parameters that an optimizer steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

Named = tuple[list[str], list[torch.Tensor]]


@dataclass(slots=True)
class _Known:
    """What was found for one optimizer, for as long as its list of parameters stays the same."""

    ids: list[int]
    names: list[str]
    places: list[int]


class ParameterNames:
    """Looks up parameters by identity, and again when the model has new ones (a replaced head, `assign=True`).

    Args:
        model: the user's network.
        optimizers: the list of watched optimizers; it may grow.

    Attributes:
        at_first: names by identity when watching began.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._model = model
        self._optimizers = optimizers
        self._names: dict[int, str] = {}
        self._known: dict[int, _Known] = {}
        self.at_first = {id(p): name for name, p in model.named_parameters()}

    def stepped(self, optimizer_index: int) -> list[tuple[str, torch.Tensor]]:
        """Name and tensor of each parameter that this optimizer steps; those outside the model are left out."""
        return list(zip(*self._find(optimizer_index), strict=True))

    def by_device(self, optimizer_index: int) -> list[Named]:
        """The same as names and tensors, one pair of lists for each device."""
        names, parameters = self._find(optimizer_index)
        devices = list(dict.fromkeys([parameter.device for parameter in parameters]))
        if len(devices) == 1:
            return [(names, parameters)]
        groups: list[Named] = []
        for device in devices:
            here = [place for place, parameter in enumerate(parameters) if parameter.device == device]
            groups.append(([names[place] for place in here], [parameters[place] for place in here]))
        return groups

    def name(self, parameter: torch.Tensor) -> str | None:
        """Name of a parameter within the model, or None if it is not the model's."""
        if id(parameter) not in self._names:
            self._names = {id(p): name for name, p in self._model.named_parameters()}
        return self._names.get(id(parameter))

    def _find(self, optimizer_index: int) -> Named:
        groups = self._optimizers[optimizer_index].param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        ids = [*map(id, parameters)]
        known = self._known.get(optimizer_index)
        if known is None or known.ids != ids:
            known = self._look_up(ids, parameters)
            if len(known.places) == len(ids):  # one that has no shape yet keeps its identity when it gets one
                self._known[optimizer_index] = known
        return known.names, [parameters[place] for place in known.places]

    def _look_up(self, ids: list[int], parameters: list[torch.Tensor]) -> _Known:
        known = _Known(ids, [], [])
        for place, parameter in enumerate(parameters):
            if isinstance(parameter, UninitializedParameter) or parameter.is_meta:
                continue
            name = self.name(parameter)
            if name is not None:
                known.names.append(name)
                known.places.append(place)
        return known

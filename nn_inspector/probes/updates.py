"""What a step really changes: the norm of the update, of the weights, and their ratio, by parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nn_inspector.probes.measurement import Measured, MeasurementTable
from nn_inspector.probes.merging import Read
from nn_inspector.probes.parameters import Named, ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import is_plain, norms

_WHAT = ("weight_norm", "update_norm", "update_ratio")


class UpdateProbe(StepReader):
    """Compares the parameters before and after a measured step, so momentum, Adam and weight decay are all in it.

    During a measured step a copy of the parameters exists; between steps none is kept. The ratio of a parameter
    that is all zero is Inf if the step changed it, else NaN.
    """

    name = "updates"

    def __init__(self, recorder: Recorder, names: ParameterNames) -> None:
        super().__init__(recorder)
        self._names = names
        self._before: list[tuple[Named, list[torch.Tensor]]] = []

    @torch.no_grad()
    def before_step(self, optimizer_index: int) -> None:
        self._before = [
            ((names, parameters), _copies(parameters)) for names, parameters in self._names.by_device(optimizer_index)
        ]

    @torch.no_grad()
    def after_step(self, optimizer_index: int) -> None:
        before, self._before = self._before, []
        for (names, parameters), old in before:
            weights = norms(old)
            torch._foreach_sub_(old, _values(parameters))
            numbers = torch.cat([weights, norms(old)])
            self.recorder.put(numbers, self._reader(names, optimizer_index))

    def _reader(self, names: Sequence[str], optimizer_index: int) -> Read:
        step, sources, tags = self.recorder.step, tuple(names), {"optimizer": optimizer_index}

        def read(numbers: np.ndarray) -> list[Measured]:
            weights, updates = numbers.reshape(2, -1)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = updates / weights
            return [MeasurementTable(step, _WHAT, sources, np.stack([weights, updates, ratios]), tags)]

        return read


_clone_all = getattr(torch, "_foreach_clone", None)
"""One call for all; older versions of torch have none."""


def _copies(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    values = _values(parameters)
    return [one.clone() for one in values] if _clone_all is None else list(_clone_all(values))


def _values(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What can be subtracted: of a DTensor the part on this process; float8, integers and bool as float32."""
    return [parameter if is_plain(parameter) else _plain(parameter) for parameter in parameters]


def _plain(parameter: torch.Tensor) -> torch.Tensor:
    values = parameter.detach()
    if hasattr(values, "to_local"):
        values = values.to_local()
    exact = values.is_complex() or (values.is_floating_point() and values.dtype.itemsize > 1)
    return values if exact else values.to(torch.float32)

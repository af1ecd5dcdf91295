"""What a step really changes: the norm of the update, of the weights, and their ratio, by parameter."""

from __future__ import annotations

import torch

from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import norms


class UpdateProbe(StepReader):
    """Compares the parameters before and after a measured step, so momentum, Adam and weight decay are all in it.

    During a measured step a copy of the parameters exists; between steps none is kept.
    """

    name = "update"

    def __init__(self, recorder: Recorder, names: ParameterNames) -> None:
        super().__init__(recorder)
        self._names = names
        self._before: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def before_step(self, optimizer_index: int) -> None:
        self._before = [(name, p, p.detach().clone()) for name, p in self._names.stepped(optimizer_index)]

    @torch.no_grad()
    def after_step(self, optimizer_index: int) -> None:
        before, self._before = self._before, []
        by_device: dict[torch.device, list[tuple[str, torch.Tensor, torch.Tensor]]] = {}
        for name, parameter, old in before:
            by_device.setdefault(old.device, []).append((name, parameter.detach(), old))
        for found in by_device.values():
            names = [name for name, _, _ in found]
            weights = norms([old for _, _, old in found])
            updates = norms([new - old for _, new, old in found])
            tag = {"optimizer": optimizer_index}
            self.recorder.put_scalars("weight_norm", names, weights, **tag)
            self.recorder.put_scalars("update_norm", names, updates, **tag)
            ratios = [update / weight for update, weight in zip(updates, weights, strict=True)]
            self.recorder.put_scalars("update_ratio", names, ratios, **tag)

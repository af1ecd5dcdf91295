"""Which phase a forward pass belongs to, and in which mode the model runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Phase, Recorder
from nn_inspector.probes.training_thread import Sign


class ForwardProbe(Probe):
    """Watches the model's own forward pass.

    A pass is validation when gradients are off (`torch.no_grad`, `torch.inference_mode`) or when the batch came from
    the validation loader; else it is training.

    What watches a model lives as long as the model: nobody has to keep the inspector.

    Args:
        recorder: learns the phase.
        model: the user's network.
        on_forward: called with the arguments of each pass, once its phase is known.
    """

    name = "forward"

    def __init__(self, recorder: Recorder, model: nn.Module, on_forward: Callable[[tuple[Any, ...]], None]) -> None:
        super().__init__(recorder)
        self.validating = False
        self.passes = self.training_passes = 0
        self._model = model
        self._on_forward = on_forward
        self._known_mode: dict[Phase, bool] = {}

    def attach(self) -> None:
        self.keep(self._model.register_forward_pre_hook(self.hook(self._begin, sign=Sign.FORWARD, keeps=True)))

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        recorder = self.recorder
        phase: Phase = "validation" if self.validating or not torch.is_grad_enabled() else "train"
        recorder.phase = phase
        self.passes += 1
        self.training_passes += phase == "train"
        if self._known_mode.get(phase) is not module.training:
            self._known_mode[phase] = module.training
            recorder.record("training_mode", phase, float(module.training))
        self._on_forward(args)

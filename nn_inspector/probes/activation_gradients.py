"""The gradients that backward() brings to the outputs of the modules."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch._C._functorch import is_legacy_batchedtensor

from nn_inspector.probes.distributions import put_distributions
from nn_inspector.probes.module_outputs import CALLS_PER_STEP, ModuleCall, OutputReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.samples import Place, Samples, samples_for
from nn_inspector.probes.scaling import scale_at_step

_WHAT = ("mean", "spread", "zeros", "nonfinite", "norm", "histogram")


class ActivationGradientProbe(OutputReader):
    """Hooks the output tensors of a measured step; the hooks go with the graph.

    A tensor's hook sees the gradient of the output as the module returned it, whatever is done to it in place
    afterwards. With activation checkpointing the gradient may flow through the outputs of the second, recomputed
    forward pass; each output is hooked, and those without a gradient never report. Gradients are as backward() computed
    them, without the factor of a gradient scaler that has the optimizer step; where the loop steps by itself after
    `unscale_()`, the factor is in them. Of several processes, whose losses count for the mean of them, each contributes
    its gradients divided by their number, as to the step. The norm is estimated from the sample, its relative standard error
    is about 0.02 for gradients that are spread like a normal distribution.
    """

    name = "activation gradient"

    def __init__(self, recorder: Recorder, modules: int) -> None:
        super().__init__(recorder)
        self._rows = 2 * modules
        self._samples: dict[Place, Samples] = {}
        self._calls: dict[str, int] = {}
        self._calls_before: dict[str, int] = {}

    def observe(self, call: ModuleCall) -> None:
        self._expect(call.name, call.tensor)

    def observe_more(self, name: str, tensor: torch.Tensor) -> None:
        self._expect(name, tensor)

    def _expect(self, name: str, tensor: torch.Tensor) -> None:
        if tensor.requires_grad and tensor.grad_fn is not None:
            tensor.register_hook(self.hook(self._arrive, name))

    def begin_pass(self) -> None:
        self._calls_before = dict(self._calls)
        for samples in self._samples.values():
            samples.mark()

    def forget(self) -> None:
        self._calls = {name: calls - self._calls_before.get(name, 0) for name, calls in self._calls.items()}
        self._calls_before = {}
        for samples in self._samples.values():
            samples.forget()

    def _arrive(self, name: str, gradient: torch.Tensor) -> None:
        calls = self._calls.get(name, 0)
        if not self.recorder.due or gradient.is_meta or gradient.numel() == 0:
            return
        samples = samples_for(self._samples, gradient, self._rows)
        if calls >= CALLS_PER_STEP:
            samples.add_sign(name, gradient)
            return
        if is_legacy_batchedtensor(gradient):  # many gradients at once, see `is_grads_batched` of torch.autograd.grad
            return
        self._calls[name] = calls + 1
        samples.add(name, gradient)

    def hand_on(self) -> None:
        self._calls.clear()
        for samples in self._samples.values():
            if samples:
                taken, (_, processes), scale = samples.take(), self.recorder.share, scale_at_step()
                if scale is not None:
                    taken = replace(taken, rows=taken.rows / scale.to(taken.rows.device, non_blocking=True))
                if processes > 1:
                    taken = replace(taken, rows=taken.rows / processes)
                put_distributions(self.recorder, "activation_gradient", _WHAT, taken, if_stepped=True)

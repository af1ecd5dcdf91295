"""What comes out of the modules: mean, spread, zeros, saturation, histogram of magnitudes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.probe import Removable, StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import Summary, merge, strided_sample, summarize_rows

SAMPLE = 2048
"""Elements looked at in one output; a share estimated from them has a standard error of at most 0.011."""

CALLS_PER_STEP = 4
"""A module that runs more often within a step is measured in its first so many calls."""

SATURATED: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0101, 0.9899),
    nn.Tanh: (-0.99499, 0.99499),
    nn.Hardsigmoid: (1e-6, 1 - 1e-6),
    nn.Hardtanh: (-1 + 1e-6, 1 - 1e-6),
    nn.Softsign: (-0.9, 0.9),
}
"""Outputs beyond these limits lie where the activation's slope is below 0.01."""

_UNINTERESTING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity, nn.Flatten)


class ActivationProbe(StepReader):
    """Samples module outputs during a measured step, and describes all of them together at its end.

    The hooks are there only while a step is measured, except on modules that never fire: those may be part of a compiled
    graph, which a hook that comes or goes would have compiled anew. A hook only copies a strided sample into one preallocated matrix per device, at once, so that an in-place
    operation that follows does no harm. The statistics are then a fixed number of calls for the whole network.
    """

    name = "activation"

    def __init__(self, recorder: Recorder, model: nn.Module) -> None:
        super().__init__(recorder)
        self.modules = {name or "model": module for name, module in model.named_modules() if _measured(module)}
        self._limits = {name: SATURATED[type(m)] for name, m in self.modules.items() if type(m) in SATURATED}
        self._samples: dict[torch.device, _Samples] = {}
        self._calls: dict[str, int] = {}
        self._hooks: dict[str, Removable] = {}

    def expect_step(self) -> None:
        for name, module in self.modules.items():
            if name not in self._hooks:
                self._hooks[name] = module.register_forward_hook(self.hook(self._observe, name))

    def detach(self) -> None:
        for name in list(self._hooks):
            self._hooks.pop(name).remove()

    def before_step(self, optimizer_index: int) -> None:
        for name in self._calls:
            self._hooks.pop(name).remove()
        self._calls.clear()
        for samples in self._samples.values():
            if samples.names:
                rows, sizes = samples.filled()
                self.recorder.put(summarize_rows(rows, sizes), self._reader("summary", samples.names))
                self._put_saturation(rows, sizes, samples.names)
            samples.clear()

    def _observe(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        recorder = self.recorder
        if recorder.phase != "train" or self._calls.get(name, 0) >= CALLS_PER_STEP:
            return
        tensor = first_tensor(output)
        if tensor is None or tensor.is_meta or tensor.is_sparse or tensor.numel() == 0:
            return
        if tensor.device not in self._samples:
            self._samples[tensor.device] = _Samples(tensor.device, 2 * len(self.modules))
        self._samples[tensor.device].add(name, tensor.detach())
        self._calls[name] = self._calls.get(name, 0) + 1

    def _put_saturation(self, rows: torch.Tensor, sizes: torch.Tensor, names: list[str]) -> None:
        bounded = [index for index, name in enumerate(names) if name in self._limits]
        if not bounded:
            return
        limits = torch.tensor([self._limits[names[index]] for index in bounded]).to(rows.device)
        chosen = rows[bounded]
        beyond = (chosen < limits[:, :1]) | (chosen > limits[:, 1:])
        share = beyond.sum(1) / sizes[bounded]
        self.recorder.put(share, self._reader("saturation", [names[index] for index in bounded]))

    def _reader(self, what: str, names: list[str]) -> Any:
        step, names = self.recorder.step, list(names)

        def read(numbers: np.ndarray) -> Iterator[Measurement]:
            rows = numbers.reshape(len(names), -1)
            if what == "summary":
                yield from _describe(step, names, rows)
            else:
                for name in dict.fromkeys(names):
                    share = float(np.mean([row[0] for row, other in zip(rows, names, strict=True) if other == name]))
                    yield Measurement(step, "activation_saturated", name, share)

        return read


class _Samples:
    """A matrix with one row for each module output of this step, on one device."""

    def __init__(self, device: torch.device, rows: int) -> None:
        self._matrix = torch.empty(rows, SAMPLE, device=device)
        self._sizes: list[int] = []
        self.names: list[str] = []

    def add(self, name: str, tensor: torch.Tensor) -> None:
        if len(self.names) == len(self._matrix):
            self._matrix = torch.cat([self._matrix, torch.empty_like(self._matrix)])
        sample = strided_sample(tensor.abs() if tensor.is_complex() else tensor, SAMPLE)
        row = self._matrix[len(self.names)]
        row[: len(sample)].copy_(sample)
        if len(sample) < SAMPLE:
            row[len(sample) :].fill_(math.nan)
        self.names.append(name)
        self._sizes.append(len(sample))

    def filled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows in use, and how many elements each holds."""
        sizes = torch.tensor(self._sizes).to(self._matrix.device, non_blocking=True)
        return self._matrix[: len(self.names)], sizes

    def clear(self) -> None:
        self.names.clear()
        self._sizes.clear()


def _measured(module: nn.Module) -> bool:
    if isinstance(module, _UNINTERESTING):
        return False
    return not any(module.children()) or any(True for _ in module.parameters(recurse=False))


def _describe(step: int, names: list[str], rows: np.ndarray) -> Iterator[Measurement]:
    summaries: dict[str, Summary] = {}
    for name, row in zip(names, rows, strict=True):
        summary = Summary.unpack(row)
        summaries[name] = merge(summaries[name], summary) if name in summaries else summary
    for name, summary in summaries.items():
        yield Measurement(step, "activation_mean", name, summary.mean)
        yield Measurement(step, "activation_spread", name, summary.spread)
        yield Measurement(step, "activation_zeros", name, summary.zero_share)
        yield Measurement(step, "activation_nonfinite", name, (summary.nan + summary.inf) / summary.count)
        yield Measurement(step, "activation_histogram", name, summary.histogram)

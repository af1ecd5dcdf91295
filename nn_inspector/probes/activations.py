"""What comes out of the modules: mean, spread, zeros, saturation, NaN and Inf, histogram of magnitudes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from nn_inspector.probes.activation_ends import saturation_limits
from nn_inspector.probes.distributions import put_distributions
from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.merging import Read
from nn_inspector.probes.module_outputs import ModuleCall, OutputReader
from nn_inspector.probes.outputs import all_tensors
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.samples import Place, Samples, Taken, samples_for

_WHAT = ("mean", "spread", "zeros", "nonfinite", "histogram")


class ActivationProbe(OutputReader):
    """Samples module outputs during a measured step, and describes all of them together at its end.

    A sample is copied at once into one preallocated matrix per device, so that an in-place operation that follows does
    no harm; the statistics are then a fixed number of calls for the whole network. One look at the whole output shows
    whether it holds NaN or Inf that the sample missed: `activation_nonfinite` is then one element at least. Of a module that
    runs very often in a step the later outputs are looked at in this way alone, and of one that returns several tensors all
    but the first.
    """

    name = "activation"

    def __init__(self, recorder: Recorder, modules: int) -> None:
        super().__init__(recorder)
        self._rows = 2 * modules
        self._limits: dict[str, tuple[float, float]] = {}
        self._samples: dict[Place, Samples] = {}

    def observe(self, call: ModuleCall) -> None:
        if call.recomputed:
            return
        samples_for(self._samples, call.tensor, self._rows).add(call.name, call.tensor)
        if call.output is not call.tensor:
            self._look_at_others(call)
        limits = saturation_limits(call.module)
        if limits is not None:
            self._limits[call.name] = limits

    def _look_at_others(self, call: ModuleCall) -> None:
        """What else it returned, the state of an LSTM or a second head, may hold NaN or Inf as well."""
        for other in all_tensors(call.output):
            if other is not call.tensor and other.is_floating_point() and other.numel() and not other.is_meta:
                self.observe_more(call.name, other)

    def observe_more(self, name: str, tensor: torch.Tensor) -> None:
        samples_for(self._samples, tensor, self._rows).add_sign(name, tensor)

    def begin_pass(self) -> None:
        for samples in self._samples.values():
            samples.mark()

    def forget(self) -> None:
        for samples in self._samples.values():
            samples.forget()

    def hand_on(self) -> None:
        for samples in self._samples.values():
            if samples:
                taken = samples.take()
                put_distributions(self.recorder, "activation", _WHAT, taken)
                self._put_saturation(taken)

    def _put_saturation(self, taken: Taken) -> None:
        bounded = [row for row, name in enumerate(taken.names) if name in self._limits]
        if not bounded:
            return
        names = [taken.names[row] for row in bounded]
        limits = torch.tensor([self._limits[name] for name in names], dtype=torch.float32, device="cpu")
        limits = limits.to(taken.rows.device, non_blocking=True)
        rows, weights = taken.rows[bounded], taken.weights[bounded]
        beyond = ((rows < limits[:, :1]) | (rows > limits[:, 1:])) * weights
        counts = torch.cat([beyond.sum(1), weights.sum(1)])
        self.recorder.put(counts, _saturation(self.recorder.step, names), merged="sum")


def _saturation(step: int, names: list[str]) -> Read:
    def read(numbers: np.ndarray) -> Iterator[Measurement]:
        beyond, counts = numbers.reshape(2, -1)
        for name in dict.fromkeys(names):
            here = [row for row, other in enumerate(names) if other == name]
            yield Measurement(step, "activation_saturated", name, float(beyond[here].sum() / counts[here].sum()))

    return read

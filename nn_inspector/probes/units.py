"""What each unit of an activation did over the last measured steps: dead, saturated, or at work."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from nn_inspector.probes.activation_ends import is_activation, saturation_limits
from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.merging import Read
from nn_inspector.probes.module_outputs import ModuleCall, OutputReader
from nn_inspector.probes.recorder import Recorder, with_count
from nn_inspector.stats import is_dense

WINDOW = 10
"""Measured steps over which a unit is judged."""

UNITS = 256
"""Units shown of one module, evenly chosen; shares are taken over up to four times as many."""

ELEMENTS = 2**15
"""Elements looked at in one output. With 64 channels and a window of ten steps these are 5,000 values of each unit: a
unit that is at work in a thousandth of them is taken for dead once in 150 times."""

CHANNELS_FIRST: tuple[type[nn.Module], ...] = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
)
FEATURES_LAST: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.Bilinear, nn.RNNBase, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.MultiheadAttention,
)  # fmt: skip


_TINY = 2.0**-120


@dataclass(slots=True)
class _Window:
    """The last measured steps of one module: how often each unit was at work, and of how many times."""

    quantity: str
    active: np.ndarray = field(default_factory=lambda: np.zeros(0))
    looked_at: float = 0.0
    steps: deque[tuple[np.ndarray, float]] = field(default_factory=deque)

    def add(self, active: np.ndarray, looked_at: float) -> None:
        if len(self.active) != len(active):
            self.steps.clear()
            self.active, self.looked_at = np.zeros(len(active)), 0.0
        if np.isnan(active.sum()):
            active = np.where(np.isnan(active), looked_at, active)  # whatever such a unit is, it is not at rest
        self.steps.append((active, looked_at))
        self.active = self.active + active  # whole numbers: nothing is lost when they are taken off again
        self.looked_at += looked_at
        if len(self.steps) > WINDOW:
            gone, times = self.steps.popleft()
            self.active -= gone
            self.looked_at -= times

    @property
    def full(self) -> bool:
        return len(self.steps) == WINDOW


class UnitProbe(OutputReader):
    """Counts, unit by unit, the outputs of activations that are neither zero nor at the activation's ends.

    A unit is a channel (dimension 1) where a convolution or something else with channels ran last before, and an element of the
    last dimension where a linear, recurrent or attention layer did. Where neither was seen, outputs of four and more
    dimensions have channels, others have their units last.
    """

    name = "unit"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._channels: bool | None = None
        self._counts: dict[str, tuple[torch.Tensor, int]] = {}
        self._earlier: dict[str, tuple[torch.Tensor, int]] = {}
        self._windows: dict[str, _Window] = {}

    def wants(self, module: nn.Module) -> bool:
        return is_activation(module) or isinstance(module, CHANNELS_FIRST + FEATURES_LAST)

    def observe(self, call: ModuleCall) -> None:
        if not is_activation(call.module):
            self._channels = isinstance(call.module, CHANNELS_FIRST)
        elif not call.recomputed and call.tensor.dim() >= 2 and is_dense(call.tensor):
            limits = saturation_limits(call.module)
            self._windows.setdefault(call.name, _Window("dead_units" if limits is None else "saturated_units"))
            _add(self._counts, call.name, *_active(self._chosen(call.tensor), limits))

    def begin_pass(self) -> None:
        self._earlier, self._counts = self._all_counts(), {}

    def forget(self) -> None:
        self._earlier = {}

    def _all_counts(self) -> dict[str, tuple[torch.Tensor, int]]:
        for name, (counts, size) in self._counts.items():
            _add(self._earlier, name, counts, size)
        return self._earlier

    def _chosen(self, tensor: torch.Tensor) -> torch.Tensor:
        """A bounded part of an output as [items, units, positions]; every step looks at other positions."""
        values = tensor.detach()
        channels = self._channels if self._channels is not None else values.dim() >= 4
        if values.dim() == 2 or not channels:
            values = values.reshape(-1, values.shape[-1], 1)
        else:
            values = values.flatten(2) if values.dim() > 2 else values[:, :, None]
        units = -(-values.shape[1] // (4 * UNITS))
        values = values[:, ::units] if units > 1 else values
        fewer = -(-values.numel() // ELEMENTS)
        if fewer > 1:
            positions = min(fewer, values.shape[2])
            items = -(-fewer // positions)
            values = values[:: min(items, values.shape[0]), :, self.recorder.step % positions :: positions]
        return values

    def hand_on(self) -> None:
        counts, self._counts, self._earlier = self._all_counts(), {}, {}
        for device in dict.fromkeys([count.device for count, _ in counts.values()]):
            here = {name: pair for name, pair in counts.items() if pair[0].device == device}
            shapes = {name: (count.numel(), size) for name, (count, size) in here.items()}
            numbers = torch.cat([count for count, _ in here.values()])
            self.recorder.put(numbers, self._reader(shapes), merged="sum", pack=_counted)

    def _reader(self, shapes: Mapping[str, tuple[int, int]]) -> Read:
        step = self.recorder.step

        def read(numbers: np.ndarray) -> Iterator[Measurement]:
            start, processes = 0, numbers[-1]
            for name, (units, size) in shapes.items():
                window = self._windows[name]
                window.add(numbers[start : start + units], size * processes)
                start += units
                yield Measurement(step, "unit_activity", name, window.active[_evenly(units)] / window.looked_at)
                if window.full:
                    idle = units - int(np.count_nonzero(window.active))
                    yield Measurement(step, window.quantity, name, idle / units)

        return read


def _add(known: dict[str, tuple[torch.Tensor, int]], name: str, counts: torch.Tensor, size: int) -> None:
    before = known.get(name)
    if before is not None and before[0].shape == counts.shape:
        counts, size = counts + before[0], size + before[1]
    known[name] = (counts, size)


def _active(values: torch.Tensor, limits: tuple[float, float] | None) -> tuple[torch.Tensor, int]:
    """How often each unit is at work in units of _TINY, float32 [units], and of how many times."""
    size = values.shape[0] * values.shape[2]
    if limits is None:
        # a tiny power of two where it is not zero, faster than a comparison; NaN stays NaN
        return values.abs().to(torch.float32).clamp_(max=_TINY).sum((0, 2)), size
    low, high = limits
    at_rest = ((values <= low) | (values >= high)).sum((0, 2), dtype=torch.float32)
    return torch.rsub(at_rest, size * _TINY, alpha=_TINY), size


def _counted(numbers: np.ndarray) -> np.ndarray:
    return with_count(numbers / _TINY)


@functools.lru_cache(maxsize=256)
def _evenly(units: int) -> np.ndarray:
    return np.linspace(0, units - 1, min(units, UNITS)).astype(np.int64)

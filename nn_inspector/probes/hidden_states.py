"""How large the hidden state of a recurrent layer is along the sequence: does it fade or explode?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.merging import Read
from nn_inspector.probes.module_outputs import ModuleCall, OutputReader
from nn_inspector.probes.recorder import Recorder, with_count

POSITIONS = 16
"""Places along the sequence, evenly chosen from first to last; those of a shorter sequence repeat."""


class HiddenStateProbe(OutputReader):
    """Norm of the output of an RNN, LSTM or GRU at `POSITIONS` places of the sequence, averaged over the batch.

    Of sequences of different length that are packed, those that still run at a position count.
    """

    name = "hidden state"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._norms: dict[str, torch.Tensor] = {}
        self._earlier: dict[str, torch.Tensor] = {}

    def wants(self, module: nn.Module) -> bool:
        return isinstance(module, nn.RNNBase)

    def observe(self, call: ModuleCall) -> None:
        if call.recomputed or call.name in self._norms:
            return
        output = call.output[0] if isinstance(call.output, tuple) else call.output
        if isinstance(output, PackedSequence):
            self._norms[call.name] = _packed_norms(output)
        elif isinstance(output, torch.Tensor) and output.dim() in (2, 3):
            self._norms[call.name] = _norms(
                output.detach(), batch_first=bool(getattr(call.module, "batch_first", False))
            )

    def begin_pass(self) -> None:
        self._earlier, self._norms = self._norms | self._earlier, {}

    def forget(self) -> None:
        self._earlier = {}

    def hand_on(self) -> None:
        norms, self._norms, self._earlier = self._norms | self._earlier, {}, {}
        for device in dict.fromkeys([norm.device for norm in norms.values()]):
            here = {name: norm for name, norm in norms.items() if norm.device == device}
            self.recorder.put(torch.stack([*here.values()]), self._reader(list(here)), merged="sum", pack=with_count)

    def _reader(self, names: list[str]) -> Read:
        step = self.recorder.step

        def read(numbers: np.ndarray) -> Iterator[Measurement]:
            *sums, count = numbers
            for name, values in zip(names, np.reshape(sums, (-1, POSITIONS)), strict=True):
                yield Measurement(step, "hidden_norm", name, values / count)

        return read


def _norms(output: torch.Tensor, *, batch_first: bool) -> torch.Tensor:
    """[batch, time, features] or [time, batch, features] or [time, features] -> float32 [POSITIONS]."""
    time = 1 if output.dim() == 3 and batch_first else 0
    places = torch.tensor(_places(output.shape[time]), device="cpu").to(output.device, non_blocking=True)
    chosen = output.index_select(time, places)
    norms: torch.Tensor = torch.linalg.vector_norm(chosen, dim=-1, dtype=_wide(chosen)).to(torch.float32)
    return norms if norms.dim() == 1 else norms.mean(1 - time)


def _packed_norms(output: PackedSequence) -> torch.Tensor:
    sizes = output.batch_sizes.tolist()  # torch keeps it on the CPU
    starts = np.concatenate([[0], np.cumsum(sizes)])
    norms = [
        torch.linalg.vector_norm(
            output.data.detach()[starts[t] : starts[t + 1]], dim=-1, dtype=_wide(output.data)
        ).mean()
        for t in _places(len(sizes))
    ]
    return torch.stack(norms).to(torch.float32)


def _wide(values: torch.Tensor) -> torch.dtype:
    return torch.float64 if values.dtype is torch.float64 else torch.float32


def _places(length: int) -> list[int]:
    return [round(place) for place in np.linspace(0, length - 1, POSITIONS).tolist()]

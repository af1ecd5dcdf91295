"""Sees whether a recurrent layer begins a batch with the state in which it ended the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.outputs import all_tensors
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Recorder

_NUMBERS = 64


class StateWatch(Probe):
    """Hooks the recurrent layers of torch's in the first steps. Of a state it keeps up to 64 numbers.

    A layer may well go on from its own state within a batch: of each batch its first call counts.

    Args:
        recorder: takes the entries "state".
        model: the user's network.
    """

    name = "state"

    def __init__(self, recorder: Recorder, model: nn.Module) -> None:
        super().__init__(recorder)
        self._model = model
        self._called: set[str] = set()
        self._ended: dict[str, list[torch.Tensor]] = {}
        self._before: dict[str, list[torch.Tensor]] = {}

    def attach(self) -> None:
        for name, module in _layers(self._model):
            self.keep(module.register_forward_pre_hook(self.hook(self._begin, name), with_kwargs=True))
            self.keep(module.register_forward_hook(self.hook(self._end, name)))

    def new_round(self) -> None:
        """A batch is handed out, or an optimizer has stepped."""
        self._called.clear()
        self._before = dict(self._ended)

    def _begin(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if name in self._called or not self.recorder.tracing or self.recorder.phase != "train":
            return
        self._called.add(name)
        state = _marks(args[1] if len(args) > 1 else kwargs.get("hx"))
        self.recorder.trace(
            "state", module=name, given=bool(state), carried=_is_same(state, self._before.get(name, []))
        )

    def _end(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self.recorder.tracing and self.recorder.phase == "train":
            self._ended[name] = _marks(output[1])


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.RNNBase) and "_orig_mod" not in name and module._compiled_call_impl is None:
            yield name, module


def _marks(state: Any) -> list[torch.Tensor]:
    tensors = [tensor.detach().reshape(-1) for tensor in all_tensors(state)]
    return [tensor[:: max(1, tensor.numel() // _NUMBERS)][:_NUMBERS].clone() for tensor in tensors]


def _is_same(state: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    """Whether two states are one, and say something."""
    if not state or len(state) != len(other):
        return False
    same = all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(state, other, strict=True))
    return same and any(bool(a.any()) for a in state)

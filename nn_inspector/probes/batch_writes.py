"""Sees whether a batch is changed in place, and by whom."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Literal

import torch

from nn_inspector.probes.recorder import Recorder

_MOST = 4096


class BatchWrites:
    """Holds the tensors of a batch weakly, with the version that torch counts up at each change in place.

    Args:
        recorder: takes the entries "written".
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._held: list[tuple[weakref.ref[torch.Tensor], int]] = []

    def hand_out(self, tensors: Iterable[torch.Tensor]) -> None:
        """These are what is watched from now on."""
        self._held = [(weakref.ref(t), t._version) for t in list(tensors)[:_MOST] if not t.is_inference()]

    def look(self, who: Literal["the loop", "the model"]) -> None:
        """What has changed since the last look was changed by `who`."""
        held = [
            (reference, tensor, version) for reference, version in self._held if (tensor := reference()) is not None
        ]
        if any(tensor._version != version for _, tensor, version in held):
            self._recorder.trace("written", by=who)
            self._held = [(reference, tensor._version) for reference, tensor, _ in held]

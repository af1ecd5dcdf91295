"""A recurrent layer that begins a batch where it ended the one before."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from nn_inspector.experiments import TrainingCopy, tensors_of
from nn_inspector.history import Run

_ENOUGH = 2
_MOST = 0.8


def carrying_layers(run: Run) -> list[str]:
    """The recurrent layers whose state went from one batch into the next one, by name, as the trace has it."""
    seen, carried = Counter[str](), Counter[str]()
    for entry in run.trace:
        if entry.call == "state":
            name = str(entry.facts["module"])
            seen[name] += 1
            carried[name] += bool(entry.facts["carried"])
    return [name for name, count in carried.items() if count >= _ENOUGH and count >= _MOST * (seen[name] - 1)]


def in_another_order(run: Run, batches: Sequence[Any]) -> bool:
    """Whether the loop took a list's batches in another order than the list's, as far as their sizes tell.

    The model may be called more than once for a batch.
    """
    facts: list[dict[str, Any]] = [dict(entry.facts) for entry in run.trace if entry.call == "forward"]
    taken = [tuple(fact.get("input_shape") or ()) for fact in facts if fact.get("phase") == "train"][: len(batches)]
    listed = [tuple(first.shape) for batch in batches if (first := next(tensors_of(batch), None)) is not None]
    if len(listed) != len(batches) or not set(taken) <= set(listed):
        return False
    taken, listed = ([shape for shape, _ in itertools.groupby(shapes)] for shapes in (taken, listed))
    return taken != listed[: len(taken)]


def begin_anew(names: Sequence[str]) -> Callable[[TrainingCopy], None]:
    """Lets layers of a copy begin with zeros wherever they would go on from where they ended."""

    def change(copied: TrainingCopy) -> None:
        for name in names:
            _Anew(copied.model.get_submodule(name))

    return change


class _Anew:
    """Hooks a recurrent layer and leaves out the state that it returned last."""

    def __init__(self, module: nn.Module) -> None:
        self._ended: list[torch.Tensor] = []
        module.register_forward_pre_hook(self._before, with_kwargs=True)
        module.register_forward_hook(self._after)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        state = list(tensors_of(args[1] if len(args) > 1 else kwargs.get("hx")))
        if not _is_same(state, self._ended):
            return None
        return args[:1], {key: value for key, value in kwargs.items() if key != "hx"}

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._ended = [tensor.detach().clone() for tensor in tensors_of(output[1])]


def _is_same(state: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    pairs = list(zip(state, other, strict=False))
    return bool(pairs) and all(a.shape == b.shape and torch.equal(a.detach(), b) for a, b in pairs)

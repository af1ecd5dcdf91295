"""What a loop asks about tensors while it computes its loss: sizes, numbers, and decisions that depend on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from nn_inspector.probes.tape import Ref
from nn_inspector.probes.tape_draft import Draft

_NUMBER_READERS = frozenset({"item", "tolist", "numpy", "float", "int", "index", "array", "complex"})
_PLAIN_READERS = frozenset({"item", "tolist", "float", "int"})
_DECISIONS = frozenset({"bool", "is_nonzero", "equal", "allclose"})
_SIZE_READERS = frozenset({"size", "shape", "len"})
_NONFINITE = frozenset({"isnan", "isinf", "isfinite"})
_GUARDS = _NONFINITE | {"any", "all", "invert", "logical_not", "sum"}


def note_reading(draft: Draft, func: Callable[..., Any], name: str, args: tuple[Any, ...], result: Any) -> None:
    """Note in the draft that a function was called which returns no tensor.

    Args:
        draft: what was seen of the pass so far.
        func: the function.
        name: as it is called in programs.
        args: what it was called with.
        result: what it returned.
    """
    if name in _SIZE_READERS:
        sizes = [result] if isinstance(result, int) else list(result)
        draft.asked_size |= draft.items in sizes
    elif name in _NUMBER_READERS:
        draft.reads_numbers |= draft.is_of_data(args[0])
        draft.reads_answers |= _is_answer(draft, args[0])
        if name in _PLAIN_READERS:
            draft.read(func, name, args[0], result)
    elif name in _DECISIONS and not draft.objectives and draft.is_of_data(args[0]) and not _is_guard(draft, args):
        draft.decides = True


def _is_answer(draft: Draft, found: object) -> bool:
    """Whether a tensor without a gradient was made of what the model answered, in this pass and before its loss."""
    if draft.objectives or not isinstance(found, torch.Tensor) or found.requires_grad:
        return False
    return draft.is_known_of_data(found)


def _is_guard(draft: Draft, args: tuple[Any, ...]) -> bool:
    """Whether a decision asks for values that are not finite."""
    number = draft.number_of(args[0]) if args else None
    for operation in reversed(draft.operations):
        if number is not None and any(number == made for _, made in operation.results):
            if operation.name in _NONFINITE:
                return True
            if operation.name not in _GUARDS or not operation.args or not isinstance(operation.args[0], Ref):
                return False
            number = operation.args[0].number
    return False

"""What modules of the user's own keep in plain attributes: tensors, numbers, and what is not there yet."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from nn_inspector.stats import is_dense

LIMIT = 16 * 2**20
"""Bytes. An attribute that would take what is remembered beyond this is left out."""

_MOST_PARTS = 64
_DEEPEST = 3
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))

PlainState = Mapping[str, Mapping[str, Any]]
"""By module and attribute."""

ABSENT = object()
"""In place of an attribute that was not there."""


def plain_state(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Copies of what a model's modules keep in attributes that are no parameters, buffers or modules.

    Of classes that are not torch's own: None, numbers, tensors on any device, and lists and tuples of them.

    Example:
        >>> class Memory(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.last = None
        >>> plain_state(nn.Sequential(nn.Linear(2, 2), Memory()))
        {'1': {'last': None}}
    """
    found: dict[str, dict[str, Any]] = {}
    left = LIMIT
    for name, module in model.named_modules():
        for attribute, held in _plain(module):
            size = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(held))
            if size <= left:
                left -= size
                found.setdefault(name, {})[attribute] = _copy(held)
    return found


def set_plain_state(model: nn.Module, state: PlainState) -> None:
    """Give a model's modules the attributes of another time, where they are still plain ones; what was not there is taken away."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    for name, attributes in state.items():
        module = model.get_submodule(name)
        for attribute, held in attributes.items():
            if attribute not in vars(module):
                continue
            if held is ABSENT:
                delattr(module, attribute)
            else:
                setattr(module, attribute, _copy(held, device))


def changed(before: PlainState, now: PlainState) -> dict[str, dict[str, Any]]:
    """What is another one now, as it was before.

    Example:
        >>> changed({"": {"count": 1, "width": 8}}, {"": {"count": 2, "width": 8}})
        {'': {'count': 1}}
    """
    found: dict[str, dict[str, Any]] = {}
    for name, attributes in before.items():
        for attribute, held in attributes.items():
            if not _is_same(held, now.get(name, {}).get(attribute)):
                found.setdefault(name, {})[attribute] = held
    return found


def holds_tensors(state: PlainState) -> bool:
    """Whether there is any tensor in it."""
    return any(True for attributes in state.values() for held in attributes.values() for _ in _tensors(held))


def _plain(module: nn.Module) -> Iterator[tuple[str, Any]]:
    if type(module).__module__.partition(".")[0] == "torch":
        return
    with warnings.catch_warnings():  # what a module holds may be something deprecated, which warns when it is looked at
        warnings.simplefilter("ignore", FutureWarning)
        yield from (
            (attribute, held)
            for attribute, held in list(vars(module).items())
            if attribute not in _OF_EVERY_MODULE and _is_plain(held)
        )


def _is_plain(held: Any, depth: int = 0) -> bool:
    if isinstance(held, list | tuple):
        short = type(held) in (list, tuple) and len(held) <= _MOST_PARTS and depth < _DEEPEST
        return short and all(_is_plain(part, depth + 1) for part in held)
    if isinstance(held, torch.Tensor):
        return type(held) is torch.Tensor and not held.is_meta and is_dense(held)
    return held is None or isinstance(held, bool | int | float)


def _tensors(held: Any) -> Iterator[torch.Tensor]:
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, list | tuple):
        for part in held:
            yield from _tensors(part)


def _copy(held: Any, device: torch.device | None = None) -> Any:
    """A copy on the host, or on a device."""
    if isinstance(held, torch.Tensor):
        return held.detach().to(device or "cpu", copy=True)
    if isinstance(held, list | tuple):
        return type(held)(_copy(part, device) for part in held)
    return held


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        both = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        return both and one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)

"""What a training was like when watching began, to be held against what it is later. Nothing of the user's is called."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.plain_state import PlainState, plain_state
from nn_inspector.stats import is_dense

_SAMPLED = 4096
_MOST_TENSORS = 256
MOST_LISTED = 512
_MOST_SEEN = 10_000
_DEEPEST = 5
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True, slots=True)
class Marks:
    """What is remembered of stored data: enough to see that they changed, and how.

    Attributes:
        checksum: over a sample of up to 4,096 elements.
        mean, spread: of the sample.
        is_constant: whether all its elements are the same: memory that waits to be filled.
        is_whole: whether they are integers.
    """

    checksum: int
    mean: float
    spread: float
    is_constant: bool
    is_whole: bool


@dataclass(frozen=True)
class Beginning:
    """The state of the user's objects when watching began.

    Attributes:
        parameters: identity of each parameter, by name.
        frozen: names of those that asked for no gradient.
        unregistered: values of the parameters that the model holds but does not know, by place; see `unregistered`.
        dropout: probability of each dropout that is above 0, by place; see `dropout_of`.
        data: marks of the tensors and arrays that the loaders read from, by place; see `stored_data`.
        plain: what modules kept in plain attributes; see `plain_state`.
    """

    parameters: Mapping[str, int]
    frozen: frozenset[str]
    unregistered: Mapping[str, torch.Tensor]
    dropout: Mapping[str, float]
    data: Mapping[str, Marks]
    plain: PlainState

    @classmethod
    def of(cls, model: nn.Module, loaders: Mapping[Any, Any]) -> Beginning:
        """Remember these objects."""
        return cls(
            parameters={name: id(parameter) for name, parameter in model.named_parameters()},
            frozen=frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad),
            unregistered=_copies(model),
            dropout={place: share for place, share in dropout_of(model).items() if share > 0},
            data={place: marks for place, found in stored_data(loaders).items() if (marks := marks_of(found))},
            plain=plain_state(model),
        )


def _copies(model: nn.Module) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():  # what a module holds may be something deprecated, which warns when it is looked at
        warnings.simplefilter("ignore", FutureWarning)
        return {place: held.detach().cpu().clone() for place, held in unregistered(model).items()}


def unregistered(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that modules hold in plain lists, dicts and objects, where `model.parameters()` does not find them.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> model.layers = [nn.Linear(2, 3)]
        >>> list(unregistered(model))
        ['layers[0].weight', 'layers[0].bias']
    """
    known = {id(parameter) for parameter in model.parameters()}
    modules = {id(module) for module in model.modules()}
    found: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        for attribute, held in vars(module).items():
            if attribute in _OF_EVERY_MODULE:
                continue
            for place, tensor in _trainable(held, f"{name}.{attribute}" if name else attribute, modules):
                if id(tensor) not in known and len(found) < _MOST_TENSORS:
                    known.add(id(tensor))
                    found[place] = tensor
    return found


def _trainable(held: Any, place: str, modules: set[int], depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(held, torch.Tensor):
        if held.requires_grad and held.is_leaf and not held.is_meta:
            yield place, held
    elif isinstance(held, nn.Module):
        if id(held) not in modules:
            yield from (
                (f"{place}.{name}", parameter) for name, parameter in held.named_parameters() if not parameter.is_meta
            )
    elif depth < _DEEPEST:
        for key, part in _parts(held):
            yield from _trainable(part, f"{place}{key}", modules, depth + 1)


def dropout_of(model: nn.Module) -> dict[str, float]:
    """Probability of each dropout: of the modules, and of numbers whose name says what they are for.

    Example:
        >>> dropout_of(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.LSTM(2, 2, 2, dropout=0.1)))
        {'1.p': 0.3, '2.dropout': 0.1}
    """
    found = {}
    for name, module in model.named_modules():
        for attribute, held in vars(module).items():
            is_dropout = isinstance(module, nn.modules.dropout._DropoutNd) and attribute == "p"
            if (is_dropout or "drop" in attribute.lower()) and isinstance(held, float) and 0 <= held < 1:
                found[f"{name}.{attribute}" if name else attribute] = held
    return found


def stored_data(loaders: Mapping[Any, Any]) -> dict[str, torch.Tensor | np.ndarray]:
    """Tensors and arrays that the loaders read from: attributes of their data sets, or the batches of a list.

    Args:
        loaders: by a name that begins the place of what is found.
    """
    found: dict[str, torch.Tensor | np.ndarray] = {}
    seen: set[int] = set()
    for role, loader in loaders.items():
        root = loader.dataset if isinstance(loader, DataLoader) else loader
        for place, held in _stored(root, str(role), seen):
            found[place] = held
            if len(found) == _MOST_TENSORS:
                return found
    return found


def _stored(held: Any, place: str, seen: set[int], depth: int = 0) -> Iterator[tuple[str, torch.Tensor | np.ndarray]]:
    if id(held) in seen or isinstance(held, nn.Module) or len(seen) > _MOST_SEEN:
        return
    if isinstance(held, torch.Tensor | np.ndarray):
        seen.add(id(held))
        if not (isinstance(held, torch.Tensor) and held.requires_grad) and not isinstance(held, np.memmap):
            yield place, held
    elif depth < _DEEPEST:
        for key, part in _parts(held):
            seen.add(id(held))
            yield from _stored(part, f"{place}{key}", seen, depth + 1)


def _parts(held: Any) -> Iterator[tuple[str, Any]]:
    """What hangs on a container or an object of the user's."""
    if isinstance(held, list | tuple):
        stride = max(1, len(held) // MOST_LISTED)
        yield from ((f"[{index}]", held[index]) for index in range(0, len(held), stride))
    elif isinstance(held, dict):
        yield from ((f"[{key!r}]", part) for key, part in list(held.items())[:MOST_LISTED])
    elif hasattr(held, "__dict__") and not isinstance(held, type) and not callable(held):
        yield from ((f".{name}", part) for name, part in vars(held).items())


def marks_of(held: torch.Tensor | np.ndarray) -> Marks | None:
    """The marks of stored data as they are now; None where they cannot be read.

    Example:
        >>> marks_of(torch.tensor([1.0, 3.0])).mean
        2.0
    """
    if isinstance(held, torch.Tensor):
        if held.numel() == 0 or held.is_meta or not is_dense(held) or held.is_quantized:
            return None
        sample = held.detach().reshape(-1)[:: max(1, held.numel() // _SAMPLED)].cpu()
        values = (torch.view_as_real(sample) if sample.is_complex() else sample).to(torch.float64).numpy()
        whole = not (held.is_floating_point() or held.is_complex())
    else:
        if held.size == 0 or held.dtype.kind not in "biuf":
            return None
        values = held.reshape(-1)[:: max(1, held.size // _SAMPLED)].astype(np.float64)
        whole = held.dtype.kind != "f"
    constant = bool((values == values.flat[0]).all())
    return Marks(zlib.crc32(values.tobytes()), float(values.mean()), float(values.std()), constant, whole)

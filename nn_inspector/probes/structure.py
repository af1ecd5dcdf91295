"""Finds its way in whatever a loader yields or a module returns: which object stands where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

Path = tuple[tuple[str, Any], ...]
"""Steps from a structure to a part of it: ("item", key) or ("attribute", name)."""

_DEEPEST = 6
_MOST = 2000
_NO_CONTAINERS = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device, nn.Module, type)


def places(value: Any, deepest: int = _DEEPEST) -> Iterator[tuple[Path, Any]]:
    """Tensors, arrays and containers in a structure with the way to each, the structure itself first.

    Looks into sequences, mappings, packed sequences, data classes and objects with attributes.

    Example:
        >>> [path for path, _ in places({"x": torch.zeros(1), "n": 3})]
        [(), (('item', 'x'),)]
    """
    seen: set[int] = set()
    queue: list[tuple[Path, Any]] = [((), value)]
    while queue and len(seen) < _MOST:
        path, found = queue.pop(0)
        if id(found) in seen or isinstance(found, _NO_CONTAINERS):
            continue
        seen.add(id(found))
        is_leaf = isinstance(found, torch.Tensor | np.ndarray)
        inside = () if is_leaf or len(path) >= deepest else tuple(_parts(found))
        if is_leaf or inside or isinstance(found, list | tuple | Mapping):
            yield path, found
        queue += [((*path, step), part) for step, part in inside]


def _parts(held: Any) -> Iterator[tuple[tuple[str, Any], Any]]:
    if isinstance(held, Mapping):
        yield from ((("item", key), part) for key, part in held.items())
    elif isinstance(held, PackedSequence):
        yield from ((("attribute", name), getattr(held, name)) for name in held._fields)
    elif isinstance(held, list | tuple):
        yield from ((("item", index), part) for index, part in enumerate(held))
    elif dataclasses.is_dataclass(held) and not isinstance(held, type):
        yield from ((("attribute", field.name), getattr(held, field.name, None)) for field in dataclasses.fields(held))
    elif hasattr(held, "__dict__") and not callable(held):
        yield from ((("attribute", name), part) for name, part in vars(held).items())


def follow(value: Any, path: Path) -> Any:
    """The part of a structure to which a path leads.

    Example:
        >>> follow({"x": [1, 2]}, (("item", "x"), ("item", 1)))
        2
    """
    for kind, key in path:
        value = value[key] if kind == "item" else getattr(value, key)
    return value


def path_text(path: Path) -> str:
    """A path as it is written in code.

    Example:
        >>> path_text((("item", "x"), ("attribute", "data")))
        "['x'].data"
    """
    return "".join(f"[{key!r}]" if kind == "item" else f".{key}" for kind, key in path)

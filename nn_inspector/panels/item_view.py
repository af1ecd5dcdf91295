"""What can be shown of an item of somebody's data set: a picture, a text, or the first of its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nn_inspector.panels.item_image import as_image
from nn_inspector.probes import SAMPLE_NUMBERS, is_label_key
from nn_inspector.stats import is_dense

FIRST = 6
"""Of an item that is no picture so many first numbers are shown."""

_LETTERS = 160
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item as it is shown.

    Attributes:
        picture: uint8 [height, width] or [height, width, 3], made small; or None.
        text: what it says, or its first numbers; empty where there is a picture.
    """

    picture: np.ndarray | None
    text: str


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a data set gave.

    Attributes:
        views: by the number of the item; some may be missing.
        remark: what must be said about them.
    """

    views: Mapping[int, ItemView]
    remark: str


def view_of(item: Any) -> ItemView:
    """How an item can be shown. Of a pair it is the input, of a mapping what is no label.

    Example:
        >>> view_of(("a fine film", 1)).text
        '“a fine film”'
        >>> view_of({"age": 31.0, "income": 2.5, "label": 0}).text
        'age 31, income 2.5'
    """
    return _view(item, _DEEPEST)


def numbers_text(numbers: np.ndarray) -> str:
    """The first of some numbers.

    Example:
        >>> numbers_text(np.array([0.123456, 2.0]))
        '0.123, 2'
    """
    flat = numbers.reshape(-1)
    return ", ".join(f"{number:.3g}" for number in flat[:FIRST]) + (", …" if len(flat) > FIRST else "")


def _view(item: Any, deepest: int) -> ItemView:
    if isinstance(item, str):
        return ItemView(None, f"“{item[:_LETTERS]}{'…' if len(item) > _LETTERS else ''}”")
    if isinstance(item, Mapping):
        return _of_mapping(item, deepest)
    if isinstance(item, list | tuple) and item and deepest and not _is_number(item[0]):
        return _view(item[0], deepest - 1)
    numbers = _numbers(item)
    if numbers is None:
        return ItemView(None, f"an object of type {type(item).__name__}")
    image = as_image(_small(numbers))
    return ItemView(image, "" if image is not None else numbers_text(numbers))


def _of_mapping(item: Mapping[Any, Any], deepest: int) -> ItemView:
    """The first text or picture in it, or else the row of numbers that it is."""
    parts = {str(key): value for key, value in item.items() if not is_label_key(key)}
    row = {key: value for key, value in parts.items() if _is_number(value)}
    views = [_view(value, deepest - 1) for key, value in parts.items() if key not in row] if deepest else []
    shown = next((view for view in views if view.picture is not None or view.text.startswith("“")), None)
    if shown is None and row:
        more = ", …" if len(row) > FIRST else ""
        return ItemView(None, ", ".join(f"{key} {_plain(row[key]):.4g}" for key in list(row)[:FIRST]) + more)
    return shown or (views[0] if views else ItemView(None, "an item without a part that can be shown"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) or (
        isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1
    )


def _plain(value: Any) -> float:
    return float(value.item() if isinstance(value, torch.Tensor | np.ndarray) else value)


def _numbers(item: Any) -> np.ndarray | None:
    if isinstance(item, torch.Tensor):
        if item.is_complex() or item.is_quantized:
            return None
        plain = item.detach().cpu()
        item = (plain.to_dense() if not is_dense(plain) else plain).to(torch.float64).numpy()
    if callable(getattr(item, "convert", None)) and hasattr(item, "size"):
        item = item.convert("RGB")  # an image of PIL, with a palette or without
    array = np.asarray(item)
    return array.astype(np.float64) if array.dtype.kind in "biuf" and array.size else None


def _small(numbers: np.ndarray) -> np.ndarray:
    """Fewer pixels of a great picture: every so many along its long sides."""
    while numbers.size > SAMPLE_NUMBERS and max(numbers.shape) > 1:
        longest = int(np.argmax(numbers.shape))
        numbers = np.take(numbers, range(0, numbers.shape[longest], 2), axis=longest)
    return numbers

"""What would end the process's use of a CUDA device is looked at before: a value out of range raises there as it does on the host.

On the host a class number that does not exist, or a probability of 1.5, is an error that an experiment survives. On a CUDA device
an assertion fails within the kernel, and no tensor there can be used any more: the user's training would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


def device_checks(device: torch.device) -> AbstractContextManager[Any]:
    """Within, calls on a CUDA device raise where they would on the host; nothing on other devices."""
    return DeviceChecks() if device.type == "cuda" else nullcontext()


class DeviceChecks(TorchFunctionMode):
    """Looks at the arguments of the functions whose kernels assert, before they run."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        check = _CHECKS.get(func)
        if check is not None:
            check(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _shares(input: torch.Tensor, target: torch.Tensor, *_: Any, **__: Any) -> None:  # noqa: A002 - torch's name
    for name, values in (("input", input), ("target", target)):
        if not _within(values, 0, 1):
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")


def _classes(
    input: torch.Tensor,  # noqa: A002 - torch's name
    target: torch.Tensor,
    *_: Any,
    ignore_index: int = -100,
    **__: Any,
) -> None:
    if target.is_floating_point():
        return
    known = target[target != ignore_index]
    classes = input.shape[1 if input.dim() > 1 else 0]
    if not _within(known, 0, classes - 1):
        raise IndexError(
            f"Target {int(known.min())} or {int(known.max())} is out of bounds: there are {classes} classes."
        )


def _rows(input: torch.Tensor, weight: torch.Tensor, *_: Any, **__: Any) -> None:  # noqa: A002 - torch's name
    if not _within(input, 0, weight.shape[0] - 1):
        raise IndexError("index out of range in self")


def _one_hot(tensor: torch.Tensor, num_classes: int = -1) -> None:
    if not _within(tensor, 0, num_classes - 1 if num_classes >= 0 else None):
        raise RuntimeError("Class values must be non-negative, and smaller than num_classes.")


def _gathered(input: torch.Tensor, dim: int, index: torch.Tensor, **_: Any) -> None:  # noqa: A002 - torch's name
    if input.dim() and not _within(index, 0, input.shape[dim] - 1):
        raise IndexError(f"index is out of bounds for dimension {dim} with size {input.shape[dim]}")


def _indexed(tensor: torch.Tensor, place: Any) -> None:
    """An index of whole numbers for the first axis, as into a table; of several axes torch itself is asked."""
    if isinstance(place, torch.Tensor) and place.dtype in (torch.int64, torch.int32) and tensor.dim():
        rows = tensor.shape[0]
        if not _within(place, -rows, rows - 1):
            raise IndexError(f"index is out of bounds for dimension 0 with size {rows}")


def _chances(input: torch.Tensor, *_: Any, **__: Any) -> None:  # noqa: A002 - torch's name
    if not _within(input, 0, 1):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true")


def _weights(input: torch.Tensor, *_: Any, **__: Any) -> None:  # noqa: A002 - torch's name
    if not _within(input, 0, None) or not bool(torch.isfinite(input).all()) or not bool((input.sum(-1) > 0).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0, or sums to 0")


def _within(values: object, low: float, high: float | None) -> bool:
    """Whether all of a tensor lies between both; NaN does not, and what is no tensor is left to torch."""
    if not isinstance(values, torch.Tensor) or values.numel() == 0 or values.is_complex():
        return True
    inside = values >= low
    return bool((inside if high is None else inside & (values <= high)).all())


_CHECKS: Mapping[Any, Callable[..., None]] = {
    F.binary_cross_entropy: _shares,
    F.cross_entropy: _classes,
    F.nll_loss: _classes,
    F.multi_margin_loss: _classes,
    F.embedding: _rows,
    F.embedding_bag: _rows,
    F.one_hot: _one_hot,
    torch.Tensor.__getitem__: _indexed,
    torch.index_select: _gathered,
    torch.Tensor.index_select: _gathered,
    torch.gather: _gathered,
    torch.Tensor.gather: _gathered,
    torch.bernoulli: _chances,
    torch.multinomial: _weights,
    torch.Tensor.multinomial: _weights,
}

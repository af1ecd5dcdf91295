"""How far a stack of convolutions sees, and a copy in which it sees further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from nn_inspector.experiments import Anatomy, TrainingCopy

FEWEST = 3
"""So many convolutions, at least, are a stack."""

_Convolution = nn.Conv1d | nn.Conv2d


@dataclass(frozen=True, slots=True)
class Sight:
    """Convolutions that leave the size of what they get as it is, one after the other.

    Attributes:
        layers: their names, in the order in which they run.
        field: how many places, along the first axis of places, a unit of the last one depends on.
        size: how many places there are.
    """

    layers: tuple[str, ...]
    field: int
    size: int


def sight_of(seen: Anatomy) -> Sight | None:
    """The convolutions, if all of the network's keep the size and the last of them do not see all there is.

    None also where anything but convolutions and layers at single places could carry news from one place to another.
    """
    stack: list[str] = []
    field, sizes = 1, set()
    for run in seen.leaves:
        if isinstance(run.module, nn.RNNBase | nn.MultiheadAttention | nn.modules.conv._ConvTransposeNd):
            return None
        if not isinstance(run.module, _Convolution):
            continue
        if run.output is None or not run.inputs or run.output.shape[2:] != run.inputs[0].shape[2:]:
            return None
        sizes.add(run.output.shape[2])
        if _can_see_further(run.module) and run.name not in stack:
            stack.append(run.name)
        field += int(run.module.dilation[0]) * (run.module.kernel_size[0] - 1)
    if len(stack) < FEWEST or len(sizes) != 1 or field >= min(sizes):
        return None
    return Sight(tuple(stack), field, min(sizes))


def see_further(copied: TrainingCopy, layers: Sequence[str], size: int) -> None:
    """Let each of these layers of a copy look twice as far as the one before, without a weight more."""
    step = 1
    for name in layers:
        module = copied.model.get_submodule(name)
        assert isinstance(module, _Convolution), "it was chosen by its type"
        module.dilation = tuple(step for _ in module.kernel_size)
        module.padding = tuple(step * (one - 1) // 2 for one in module.kernel_size)
        step = 2 * step if 2 * step * (module.kernel_size[0] - 1) < size else 1


def _can_see_further(module: _Convolution) -> bool:
    """Whether another dilation would leave the size as it is: an odd kernel that is padded with zeros by the layer itself."""
    odd = all(one % 2 == 1 and one > 1 for one in module.kernel_size)
    plain = module.padding_mode == "zeros" and not isinstance(module.padding, str) and set(module.stride) == {1}
    return odd and plain

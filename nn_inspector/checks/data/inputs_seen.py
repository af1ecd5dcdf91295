"""What the network really gets: its first input, after all that the loop and the data set did to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, initial_state, isolated

_BATCHES = 8
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, slots=True)
class InputsSeen:
    """The first input of the network over some batches.

    Attributes:
        values: float32 [items, columns]: the last axis of tables and sequences, the channels of images are the columns.
        axis: which axis of the input the columns are; 0 if it has none of them.
        dims: how many axes the input has.
        whole: whether all values are whole numbers.
        normalized_first: whether the first layer is a normalization, which makes the scale of its input irrelevant.
    """

    values: torch.Tensor
    axis: int
    dims: int
    whole: bool
    normalized_first: bool

    @property
    def mean(self) -> torch.Tensor:
        """Mean of each column."""
        return self.values.mean(0)

    @property
    def spread(self) -> torch.Tensor:
        """Standard deviation of each column."""
        return self.values.std(0, correction=0)


def inputs_seen(subject: Subject) -> InputsSeen:
    """The inputs, looked at once for all checks of a diagnosis.

    Raises:
        ExperimentError: the network's first input is no tensor of real numbers, or no experiment is possible.
    """
    seen: InputsSeen = subject.once("inputs seen", lambda: _look(subject))
    return seen


def standardize(seen: InputsSeen, copied: TrainingCopy) -> None:
    """Bring each column of the network's first input to mean 0 and standard deviation 1, on a copy."""
    spread = seen.spread
    spread = torch.where(spread < 1e-8 * seen.values.abs().amax(0).clamp(min=1e-30), torch.ones_like(spread), spread)
    mean = seen.mean

    def scale(module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...]:
        place, one = _real(args)
        if one is None:
            return args
        shape = [1] * one.dim()
        shape[seen.axis] = -1
        scaled = (one - mean.to(one).reshape(shape)) / spread.to(one).reshape(shape)
        return (*args[:place], scaled, *args[place + 1 :])

    copied.model.register_forward_pre_hook(scale)


def _look(subject: Subject) -> InputsSeen:
    if subject.seconds <= 0:
        raise ExperimentError(
            "This check looks at what a copy of the network gets, and there is no time left for that."
        )
    batches = subject.batches(_BATCHES)
    found: list[torch.Tensor] = []
    first_layers: list[nn.Module] = []
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        copied.model.register_forward_pre_hook(lambda _module, args: _note(found, args))
        for module in copied.model.modules():
            if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None:
                module.register_forward_pre_hook(lambda module, _args: first_layers.append(module))
        with torch.no_grad():
            for batch in batches:
                copied.loss(batch)
    if not found:
        raise ExperimentError("The network was given no tensor of real numbers to look at.")
    shape = found[0].shape
    alike = [one for one in found if one.dim() == len(shape)]
    layer = first_layers[0] if first_layers else None
    axis = 1 if len(shape) >= 3 and (isinstance(layer, nn.modules.conv._ConvNd) or len(shape) > 3) else len(shape) - 1
    axis = axis if all(one.shape[axis] == shape[axis] for one in alike) else 0
    columns = [one.movedim(axis, -1).reshape(-1, one.shape[axis]) for one in alike] if axis else []
    values = torch.cat(columns or [one.reshape(-1, 1) for one in alike]).float()
    return InputsSeen(values, axis, len(shape), bool((values == values.round()).all()), isinstance(layer, _NORMS))


def _note(found: list[torch.Tensor], args: tuple[object, ...]) -> None:
    _, first = _real(args)
    if first is not None:
        found.append(first.detach())


def _real(args: tuple[object, ...]) -> tuple[int, torch.Tensor | None]:
    """The first argument that is a tensor of real numbers, and its place."""
    for place, one in enumerate(args):
        if isinstance(one, torch.Tensor) and one.is_floating_point() and one.dim() and one.numel():
            return place, one
    return 0, None

"""What the network really gets: its first input, after all that the loop, the data set and forward() itself did to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, initial_state, isolated

_BATCHES = 8
_ROUNDING = 1e-5
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
        where: the first layer, if forward() scales the input before that gets it, and else "": the model.
    """

    values: torch.Tensor
    axis: int
    dims: int
    whole: bool
    normalized_first: bool
    where: str = ""

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

    copied.model.get_submodule(seen.where).register_forward_pre_hook(scale)


def _look(subject: Subject) -> InputsSeen:
    if subject.seconds <= 0:
        raise ExperimentError(
            "This check looks at what a copy of the network gets, and there is no time left for that."
        )
    batches = subject.batches(_BATCHES)
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        taken = _Taken(copied.model)
        with torch.no_grad():
            for batch in batches:
                copied.loss(batch)
    if not taken.by_model:
        raise ExperimentError("The network was given no tensor of real numbers to look at.")
    layer = copied.model.get_submodule(taken.first) if taken.first else None
    inside = _scaled(taken.by_model, taken.by_first)
    found = taken.by_first if inside else taken.by_model
    shape = found[0].shape
    alike = [one for one in found if one.dim() == len(shape)]
    axis = 1 if len(shape) >= 3 and (isinstance(layer, nn.modules.conv._ConvNd) or len(shape) > 3) else len(shape) - 1
    axis = axis if all(one.shape[axis] == shape[axis] for one in alike) else 0
    columns = [one.movedim(axis, -1).reshape(-1, one.shape[axis]) for one in alike] if axis else []
    values = torch.cat(columns or [one.reshape(-1, 1) for one in alike]).float()
    whole, where = bool((values == values.round()).all()), taken.first if inside else ""
    return InputsSeen(values, axis, len(shape), whole, isinstance(layer, _NORMS), where)


class _Taken:
    """What a model is given, and what its first layer with parameters is then given.

    Attributes:
        by_model, by_first: the tensors.
        first: name of that layer; "" before it was seen.
    """

    def __init__(self, model: nn.Module) -> None:
        self.by_model: list[torch.Tensor] = []
        self.by_first: list[torch.Tensor] = []
        self.first = ""
        model.register_forward_pre_hook(lambda _module, args: _note(self.by_model, args))
        for name, module in model.named_modules():
            if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None:
                module.register_forward_pre_hook(lambda _module, args, name=name: self._at_layer(name, args))

    def _at_layer(self, name: str, args: tuple[object, ...]) -> None:
        self.first = self.first or name
        if name == self.first and len(self.by_first) < len(self.by_model):
            _note(self.by_first, args)


def _scaled(given: Sequence[torch.Tensor], taken: Sequence[torch.Tensor]) -> bool:
    """Whether the first layer gets what the model is given, times a number and plus another one, which change it."""
    if len(given) != len(taken) or any(one.numel() != other.numel() for one, other in zip(given, taken, strict=True)):
        return False
    before, after = (torch.cat([one.flatten() for one in all_of]).double() for all_of in (given, taken))
    if torch.equal(before, after) or not bool(torch.isfinite(before).all() and torch.isfinite(after).all()):
        return False
    before, after = before - before.mean(), after - after.mean()
    return float((before @ after).abs()) > (1 - _ROUNDING) * float(before.norm() * after.norm()) > 0


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

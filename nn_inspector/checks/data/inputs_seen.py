"""What the network really gets: its inputs, after all that the loop, the data set and forward() itself did to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, initial_state, isolated
from nn_inspector.experiments.batch_contents import map_leaves
from nn_inspector.stats import is_dense

_BATCHES = 16
_ROUNDING = 1e-5
_FEWEST_NODES = 4
_SPARSE = 0.7
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, slots=True, eq=False)
class InputsSeen:
    """One input of the network over some batches.

    Attributes:
        values: float32 [items, columns]: the last axis of tables and sequences, the channels of images are the columns.
        axis: which axis of the input the columns are; 0 if it has none of them.
        dims: how many axes the input has.
        whole: whether all values are whole numbers.
        normalized_first: whether the first layer is a normalization, which makes the scale of its input irrelevant.
        where: the first layer, if forward() scales the input before that gets it, and else "": the model.
        place: which of the tensors of real numbers it is that `where` is given, counted from 0.
        name: of the input, as forward() calls it, where the network has several; "" where it has one.
        dtype: of the input, as it is given.
    """

    values: torch.Tensor
    axis: int
    dims: int
    whole: bool
    normalized_first: bool
    where: str = ""
    place: int = 0
    name: str = ""
    dtype: torch.dtype = torch.float32

    @property
    def mean(self) -> torch.Tensor:
        """Mean of each column."""
        return self.values.mean(0)

    @property
    def spread(self) -> torch.Tensor:
        """Standard deviation of each column."""
        return self.values.std(0, correction=0)


def inputs_seen(subject: Subject) -> list[InputsSeen]:
    """The inputs, looked at once for all checks of a diagnosis: those that are tensors of real numbers, one at least.

    Raises:
        ExperimentError: there is none, or no experiment is possible.
    """
    seen: list[InputsSeen] = subject.once("inputs seen", lambda: _look(subject))
    return seen


def standardize(seen: InputsSeen, copied: TrainingCopy) -> None:
    """Bring each column of an input of the network to mean 0 and standard deviation 1, on a copy."""
    spread = seen.spread
    spread = torch.where(spread < 1e-8 * seen.values.abs().amax(0).clamp(min=1e-30), torch.ones_like(spread), spread)
    mean = seen.mean

    def scale(one: torch.Tensor) -> torch.Tensor:
        shape = [1] * one.dim()
        shape[seen.axis] = -1
        return (one - mean.to(one).reshape(shape)) / spread.to(one).reshape(shape)

    change_input(seen, copied, scale)


def change_input(seen: InputsSeen, copied: TrainingCopy, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let a copy be given something else for an input. What has other axes than the input that was seen is left alone."""

    def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
        places = iter(range(len(_real(args, kwargs))))

        def leaf(one: Any) -> Any:
            return change(one) if _is_real(one) and next(places) == seen.place and one.dim() == seen.dims else one

        changed = map_leaves((args, kwargs), leaf)
        return tuple(changed[0]), dict(changed[1])

    copied.model.get_submodule(seen.where).register_forward_pre_hook(before, with_kwargs=True)


def _look(subject: Subject) -> list[InputsSeen]:
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
    several = len(taken.by_model) > 1
    places = [place for place, given in taken.by_model.items() if not (several and all(map(_is_relation, given)))]
    return [_seen(copied.model, taken, place, taken.names.get(place, "") if several else "") for place in places]


def _is_relation(given: torch.Tensor) -> bool:
    """Whether it says who is whose neighbour, as the matrix of a graph does: its size is meant."""
    if given.dim() < 2 or given.shape[-1] != given.shape[-2] or given.shape[-1] < _FEWEST_NODES:
        return False
    edges = given != 0
    return bool((given >= 0).all()) and torch.equal(edges, edges.mT) and 0 < float(edges.float().mean()) < _SPARSE


def _seen(model: nn.Module, taken: _Taken, place: int, name: str) -> InputsSeen:
    given = taken.by_model[place]
    inside = not name and _scaled(given, taken.by_first)
    found = taken.by_first if inside else given
    layer = model.get_submodule(taken.first) if taken.first and (inside or not name) else taken.takers.get(place)
    shape = found[0].shape
    alike = [one for one in found if one.dim() == len(shape)]
    axis = 1 if len(shape) >= 3 and (isinstance(layer, nn.modules.conv._ConvNd) or len(shape) > 3) else len(shape) - 1
    axis = axis if all(one.shape[axis] == shape[axis] for one in alike) else 0
    columns = [one.movedim(axis, -1).reshape(-1, one.shape[axis]) for one in alike] if axis else []
    values = torch.cat(columns or [one.reshape(-1, 1) for one in alike]).float()
    whole, where = bool((values == values.round()).all()), taken.first if inside else ""
    first = isinstance(layer, _NORMS)
    return InputsSeen(values, axis, len(shape), whole, first, where, 0 if inside else place, name, found[0].dtype)


class _Taken:
    """What a model is given, and what its first layer with parameters is then given.

    Attributes:
        by_model: the tensors of real numbers, by their place among the model's inputs.
        names: of those inputs, by place.
        by_first: what the first layer is given first.
        first: name of that layer; "" before it was seen.
        takers: the first layer that is given an input as it is, by place.
    """

    def __init__(self, model: nn.Module) -> None:
        self.by_model: dict[int, list[torch.Tensor]] = {}
        self.names: dict[int, str] = {}
        self.by_first: list[torch.Tensor] = []
        self.first = ""
        self.takers: dict[int, nn.Module] = {}
        self._calls = 0
        self._given: list[torch.Tensor] = []
        model.register_forward_pre_hook(self._at_model, with_kwargs=True)
        for name, module in model.named_modules():
            if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None:
                module.register_forward_pre_hook(lambda module, args, name=name: self._at_layer(name, module, args))

    def _at_model(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        self._calls += 1
        self._given = _real(args, kwargs)
        names = _names(model, args, kwargs)
        for place, one in enumerate(self._given):
            self.by_model.setdefault(place, []).append(one.detach())
            self.names.setdefault(place, names.get(id(one), f"input {place + 1}"))

    def _at_layer(self, name: str, module: nn.Module, args: tuple[object, ...]) -> None:
        self.first = self.first or name
        found = _real(args, {})
        if found:
            place = next((place for place, one in enumerate(self._given) if one is found[0]), None)
            if place is not None:
                self.takers.setdefault(place, module)
            if name == self.first and len(self.by_first) < self._calls:
                self.by_first.append(found[0].detach())


def _real(args: Any, kwargs: Any) -> list[torch.Tensor]:
    """The tensors of real numbers among what a module is given."""
    found: list[torch.Tensor] = []
    map_leaves((args, kwargs), lambda one: found.append(one) if _is_real(one) else None)
    return found


def _is_real(one: Any) -> bool:
    dense = isinstance(one, torch.Tensor) and is_dense(one)
    return dense and one.is_floating_point() and one.dim() > 0 and one.numel() > 0


def _names(model: nn.Module, args: Any, kwargs: Any) -> Mapping[int, str]:
    """What forward() calls its inputs, by their identity."""
    try:
        given = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return {}
    found: dict[int, str] = {}
    for name, value in given.items():
        parts = _real(value, {})
        for number, one in enumerate(parts):
            found.setdefault(id(one), name if len(parts) == 1 else f"{name}[{number}]")
    return found


def _scaled(given: Sequence[torch.Tensor], taken: Sequence[torch.Tensor]) -> bool:
    """Whether the first layer gets what the model is given, times a number and plus another one, which change it."""
    if len(given) != len(taken) or any(one.numel() != other.numel() for one, other in zip(given, taken, strict=True)):
        return False
    before, after = (torch.cat([one.flatten() for one in all_of]).double() for all_of in (given, taken))
    if torch.equal(before, after) or not bool(torch.isfinite(before).all() and torch.isfinite(after).all()):
        return False
    before, after = before - before.mean(), after - after.mean()
    return float((before @ after).abs()) > (1 - _ROUNDING) * float(before.norm() * after.norm()) > 0

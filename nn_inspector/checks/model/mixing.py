"""Where items of a batch, or times of a sequence, reach into each other's outputs: seen on a copy by changing some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy, take_apart, tensors_of
from nn_inspector.experiments.batch_contents import select
from nn_inspector.experiments.flow import Flow, Node, flow_of

TOLERANCE = 1e-3
"""A number has changed if it moved by this share of the spread of its tensor: far more than rounding, far less than an
item's share in anything."""

IGNORED = -100
"""Cross entropy leaves out targets of this number."""

_LOOKED_AT = (0, 1, -1)
_FEWEST_TIMES = 2


@dataclass(frozen=True, slots=True)
class Mixing:
    """The first call that makes numbers out of several items.

    Attributes:
        node: the call.
        flow: all calls of the pass.
        items: how many items the batch had.
        share: the share of the model's output that depends on several items.
    """

    node: Node | None
    flow: Flow
    items: int
    share: float


def mixing(copied: TrainingCopy, doubled: Any, items: int) -> Mixing | None:
    """Look whether the model's output for an item depends on other items, in evaluation mode.

    One item is exchanged for another one, and then all others are. What changes both times depends on several.

    Args:
        copied: a copy.
        doubled: a batch of twice as many items as are looked at.
        items: how many those are.

    Returns:
        None if each output depends on one item.

    Raises:
        ExperimentError: the model gives another answer when it is asked again, or for each pair of items.
    """
    places = torch.arange(items)
    asked = [_pass(copied, select(doubled, places, 2 * items)) for _ in range(2)]
    outputs = list(tensors_of(asked[0].output))
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise ExperimentError("The model returns NaN or Inf, so that items cannot be told apart.")
    if any(changed(one, two).any() for one, two in zip(outputs, tensors_of(asked[1].output), strict=True)):
        raise ExperimentError("The model remembers earlier batches, so that items cannot be told apart.")
    if _in_pairs(asked[0], items) and _in_pairs(_pass(copied, select(doubled, places[1:], 2 * items)), items - 1):
        raise ExperimentError("The model gives a number for each pair of items of a batch.")
    for item in dict.fromkeys(place % items for place in _LOOKED_AT):
        one, others = places.clone(), places + items
        one[item], others[item] = item + items, item
        alone = _pass(copied, select(doubled, one, 2 * items))
        rest = _pass(copied, select(doubled, others, 2 * items))
        share = max((float(both.float().mean()) for both in _overlaps(outputs, alone.output, rest.output)), default=0.0)
        if share > 0:
            return Mixing(_first(asked[0], alone, rest), flow_of(asked[0]), items, share)
    return None


def leaks(copied: TrainingCopy, batch: Any) -> tuple[int, float] | None:
    """Look whether outputs for the first half of a sequence change with its second half, where the next value is learned.

    Returns:
        From which position on the input was exchanged, and the share of the outputs before it that changed; None where
        none did.

    Raises:
        ExperimentError: the targets are not the inputs one position later.
    """
    seen = _pass(copied, batch)
    target = seen.target
    given = next((run.inputs for run in seen.modules if not run.name), ())
    place = next((place for place, one in enumerate(given) if target is not None and _is_next(one, target)), None)
    output = next(tensors_of(seen.output), None)
    if place is None or output is None:
        raise ExperimentError("The targets are not the inputs one position later.")
    items, times = given[place].shape[:2]
    first = _first_counted(given[place], target)
    middle = (first + times) // 2
    if middle - first < _FEWEST_TIMES:
        raise ExperimentError("Too few positions of the sequence have a target.")

    def exchange(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        changed[:, middle:] = tensor.roll(1, 0)[:, middle:]
        return changed

    handle = copied.model.register_forward_pre_hook(_exchanger(place, exchange), with_kwargs=True)
    try:
        other = next(tensors_of(_pass(copied, batch).output))
    finally:
        handle.remove()
    moved = _by_time(changed(output, other), items, times)
    if moved is None:
        raise ExperimentError("It is not known which axis of the output is time.")
    early = float(moved[:, first:middle].float().mean())
    return (middle, early) if early > 0 else None


def _is_next(given: torch.Tensor, target: torch.Tensor) -> bool:
    """Whether the targets are the inputs one position later, wherever they count."""
    if given.dim() < 2 or given.shape[1] < 4 or given.shape[0] < 2:
        return False
    whole = _of_all_times(given, target)
    if whole is None:
        return False
    shaped = whole[:, :-1]
    counted = shaped != IGNORED if not shaped.is_floating_point() else torch.ones_like(shaped, dtype=torch.bool)
    if int(counted.sum()) < len(given):
        return False
    same = bool((shaped.to(given.dtype) == given[:, 1:])[counted].all())
    return same and not torch.equal(given[:, :-1], given[:, 1:])


def _first_counted(given: torch.Tensor, target: torch.Tensor | None) -> int:
    """The first position of any item whose target counts: what is given before may be seen as a whole."""
    if target is None or target.is_floating_point():
        return 0
    whole = _of_all_times(given, target)
    return 0 if whole is None else int((whole != IGNORED).any(0).flatten().nonzero()[0])


def _of_all_times(given: torch.Tensor, target: torch.Tensor) -> torch.Tensor | None:
    """Targets in the shape of the inputs: those of the last positions of each sequence may be all there are."""
    if given.numel() == target.numel():
        return target.reshape(given.shape)
    items, times = given.shape[:2]
    if (
        given.dim() > 2
        or target.is_floating_point()
        or target.numel() % items
        or not 0 < target.numel() < given.numel()
    ):
        return None
    last = target.reshape(items, -1)
    return torch.cat([last.new_full((items, times - last.shape[1]), IGNORED), last], 1)


def _exchanger(place: int, exchange: Any) -> Any:
    """A hook that exchanges the tensor at this place among all that the model is given."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        wanted = list(tensors_of([args, kwargs]))[place]
        return (
            tuple(exchange(one) if one is wanted else one for one in args),
            {name: exchange(one) if one is wanted else one for name, one in kwargs.items()},
        )

    return hook


def _by_time(changed: torch.Tensor, items: int, times: int) -> torch.Tensor | None:
    """As [items, times, ...]."""
    if changed.shape[:2] == (items, times):
        return changed
    if changed.dim() == 3 and changed.shape[0] == items and changed.shape[2] == times:
        return changed.transpose(1, 2)
    return changed.reshape(items, times, -1) if changed.shape[0] == items * times else None


def _pass(copied: TrainingCopy, batch: Any) -> Anatomy:
    torch.manual_seed(0)  # noise that stays on in evaluation mode is the same in each pass
    return take_apart(copied, batch, training=False, backward=False)


def _in_pairs(seen: Anatomy, items: int) -> bool:
    return any(output.shape[:2] == (items, items) for output in tensors_of(seen.output))


def _overlaps(before: Sequence[torch.Tensor], one: Any, rest: Any) -> Iterator[torch.Tensor]:
    for tensor, first, second in zip(before, tensors_of(one), tensors_of(rest), strict=False):
        if tensor.shape == first.shape == second.shape:
            yield changed(tensor, first) & changed(tensor, second)


def changed(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Which numbers moved by more than `TOLERANCE` of the spread of the tensor; all of them if its shape changed."""
    before, after = before.detach().double(), after.detach().double()
    if before.shape != after.shape:
        return torch.ones_like(before, dtype=torch.bool)
    spread = before.std() if before.numel() > 1 else before.abs().max()
    return ~((before - after).abs() <= TOLERANCE * spread + 1e-12)


def _first(before: Anatomy, one: Anatomy, rest: Anatomy) -> Node | None:
    """The first call whose result depends on several items."""
    flow = flow_of(before)
    if not len(before.calls) == len(one.calls) == len(rest.calls):
        return None
    for place, node in flow.nodes.items():
        calls = (node.call, one.calls[place], rest.calls[place])
        first, *others = ([output for output in call.outputs if output.is_floating_point()] for call in calls)
        if any(bool(both.any()) for both in _overlaps(first, *others)):
            return node
    return None

"""What gives every item the same level or size, each by itself: where it stands, and copies that scale all items alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.checks.model.norms import nothing_instead
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.anatomy import plain_name
from nn_inspector.experiments.flow import Flow, Node, flow_of
from nn_inspector.experiments.rewiring import Replacement, Spot, followed_by, rewire

_OWN = {
    "instance_norm": "each channel of an item its own mean and spread",
    "group_norm": "each item its own means and spreads",
    "layer_norm": "each item its own mean and spread",
    "rms_norm": "each item its own size",
    "normalize": "each item its own length",
}
"""By what a function of torch's divides."""

_ARGUMENTS = {
    "instance_norm": ("input", "running_mean", "running_var", "weight", "bias"),
    "group_norm": ("input", "num_groups", "weight", "bias"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias"),
    "rms_norm": ("input", "normalized_shape", "weight"),
    "normalize": ("input", "p", "dim"),
}

MEASURES = {
    "mean", "sum", "std", "var", "norm", "linalg_norm", "linalg_vector_norm", "amax", "amin", "max", "min", "median",
    "std_mean", "var_mean", "aminmax",
}  # fmt: skip
"""What tells the level or the size of values."""

TAKEN = {"sub", "isub", "subtract", "div", "idiv", "truediv", "itruediv", "divide", "true_divide"}
"""What takes it away."""

_INVERSE = {"rsqrt", "reciprocal", "pow", "div", "truediv"}
_TINY = 1e-5

Change = Callable[[TrainingCopy], None]


@dataclass(frozen=True, slots=True)
class OwnScale:
    """One call that takes a level or a size from each item by itself.

    Attributes:
        node: the call: of a normalization, or of what a loop by hand measures.
        first: whether it is the input that it measures, and no layer has worked on that.
    """

    node: Node
    first: bool

    @property
    def spot(self) -> Spot:
        """By which it can be changed."""
        return self.node.call.name, self.node.turn

    @property
    def where(self) -> str:
        """The module that calls it."""
        return self.node.call.module or "model"

    @property
    def by_hand(self) -> bool:
        """Whether a level or a size is measured, and what uses it stands elsewhere."""
        return self.node.call.name not in _OWN

    @property
    def text(self) -> str:
        """What it does, in words."""
        name, place = self.node.call.name, self.node.call.module or "forward()"
        if self.by_hand:
            return f"`{name}` in {place} is measured for each item by itself, and then subtracted or divided by"
        return f"`{name}` in {place} takes from {_OWN[name]}"


def own_scales(seen: Anatomy) -> list[OwnScale]:
    """The calls of one pass that give each item by itself a level or a size, in order."""
    flow = flow_of(seen)
    found = []
    for node in flow:
        if not node.call.inputs or node.call.inputs[0].dim() < 2:
            continue
        if (node.call.name in _OWN and _whole(flow, node)) or (
            node.call.name in MEASURES and _by_itself(node) and _is_taken_away(flow, node)
        ):
            found.append(node)
    return [OwnScale(node, not _weights_before(flow, node)) for node in found]


def left_out(found: Sequence[OwnScale]) -> Change:
    """A copy without the normalizations; what is measured by hand, or of the input, is measured of the whole batch instead."""
    changes = {
        one.spot: _of_all(one) if one.by_hand or one.first else nothing_instead for one in found
    }  # fmt: skip
    return lambda copied: rewire(copied.model, changes)


def of_all(found: Sequence[OwnScale]) -> Change:
    """A copy that measures the whole batch wherever each item was measured by itself."""
    changes = {one.spot: _of_all(one) for one in found}
    return lambda copied: rewire(copied.model, changes)


def on_items_of_one_size(change: Change, *, channels: bool) -> Change:
    """The same copy, given items that all have the same level and size: what it learns, it does not learn from those.

    Args:
        change: of the copy.
        channels: whether axis 1 of the input holds channels, which are levelled one by one.
    """

    def levelled(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return tuple(_level(one, channels) for one in args), {
            name: _level(one, channels) for name, one in kwargs.items()
        }

    def changed(copied: TrainingCopy) -> None:
        change(copied)
        copied.model.register_forward_pre_hook(levelled, with_kwargs=True)

    return changed


def has_channels(seen: Anatomy) -> bool:
    """Whether axis 1 of what a network gets holds channels, as for convolutions."""
    return any(call.name.startswith("conv") for call in seen.calls)


def _whole(flow: Flow, node: Node) -> bool:
    """Whether a function of torch's looks at a whole item, or a whole channel of it, and a layer still follows."""
    call = node.call
    if call.name in ("instance_norm", "group_norm"):
        return True
    if call.name == "normalize":
        axis = call.options.get("dim", call.options.get("2", 1))
        return axis % call.inputs[0].dim() != 0 and any(
            node in flow.behind(one) for one in flow.of("layer", "recurrent")
        )
    shape = call.options.get("normalized_shape", call.options.get("1", ()))
    return call.inputs[0].dim() == len(tuple(shape)) + 1


def _by_itself(node: Node) -> bool:
    """Whether something is measured of each item, and is less than the item."""
    data, measured = node.call.inputs[0], node.call.output
    if measured is None or not measured.is_floating_point() or measured.dim() == 0 or len(measured) != len(data):
        return False
    return 2 * measured.numel() <= data.numel()


def _is_taken_away(flow: Flow, measure: Node) -> bool:
    """Whether what was measured is subtracted from the same data, or these are divided by it."""
    chain, turned, open_nodes = {measure.place}, set(), [measure]
    while open_nodes:
        here = open_nodes.pop()
        for node in flow.next(here):
            others = [source for source in node.sources if source not in chain]
            inverse = here.place in turned or (node.call.name in _INVERSE and not others)
            if not others:
                chain.add(node.place)
                open_nodes.append(node)
                if inverse:
                    turned.add(node.place)
            elif _same_data(flow, measure, others[0]) and (
                node.call.name in TAKEN or (here.place in turned and node.call.name in ("mul", "imul", "multiply"))
            ):
                return True
    return False


def _same_data(flow: Flow, measure: Node, place: int) -> bool:
    """Whether data are those that were measured, but for what was subtracted before or a square."""
    mine, theirs = set(measure.sources), {place}
    mine |= {one for source in measure.sources for one in _sources(flow, source)}
    theirs |= {*_sources(flow, place)}
    return bool(mine & theirs)


def _sources(flow: Flow, place: int) -> Iterator[int]:
    node = flow.nodes.get(place)
    if node is not None and node.kind not in ("layer", "recurrent", "attention", "embedding"):
        yield from node.sources


def _weights_before(flow: Flow, node: Node) -> bool:
    return any(one.kind in ("layer", "recurrent", "attention", "embedding") for one in flow.behind(node))


def _of_all(one: OwnScale) -> Replacement:
    return followed_by(alike) if one.by_hand else _batch_instead


def alike(measured: Any) -> Any:
    """The mean over the batch, for each of the items."""
    if isinstance(measured, torch.Tensor):
        return measured.mean(0, keepdim=True).expand_as(measured) if measured.is_floating_point() else measured
    parts = [alike(part) for part in measured]
    return tuple(parts) if type(measured) is tuple else type(measured)(parts)


def _batch_instead(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """Mean and spread of the batch in place of those of each item. Takes the arguments of what it replaces."""
    name = plain_name(function)
    given = {**dict(zip(_ARGUMENTS[name], args, strict=False)), **kwargs}
    data, weight, bias = given["input"], given.get("weight"), given.get("bias")
    if name in ("instance_norm", "group_norm"):
        return F.batch_norm(data, None, None, weight, bias, training=True)
    if name == "normalize":
        length: torch.Tensor = data.norm(given.get("p", 2.0), given.get("dim", 1), keepdim=True)
        return torch.div(data, length.mean().clamp_min(_TINY))
    level = data.mean(0) if name == "layer_norm" else torch.zeros_like(data[0])
    scaled = torch.div(data - level, ((data - level).pow(2).mean(0) + _TINY).sqrt())
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


def _level(data: Any, channels: bool) -> Any:
    """Items with the mean and the spread that they have on average."""
    if not isinstance(data, torch.Tensor) or not data.is_floating_point() or data.dim() < 2:
        return data
    axes = tuple(range(2 if channels and data.dim() > 2 else 1, data.dim()))
    mean, spread = data.mean(axes, keepdim=True), data.std(axes, correction=0, keepdim=True)
    return (data - mean) / (spread + _TINY) * spread.mean(0) + mean.mean(0)

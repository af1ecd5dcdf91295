"""What is left of the input where the first weights meet it: pooling or strides that come too early lose it for good."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.baselines import Baselines, baselines, baselines_of
from nn_inspector.checks.items_seen import ITEMS
from nn_inspector.checks.race import BADLY, known_left
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, TrainingCopy, batch_size, isolated
from nn_inspector.experiments.batch_contents import map_leaves
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.probes.outputs import first_tensor

FEW = 1 / 4
"""A front that leaves more of the numbers of an item than this is not suspected."""

LEARNED = 0.75
"""A simple model of the whole input has to go so much of the way to perfect answers,"""

FAR = 1 / 3
"""and to leave less of it than this share of what the same model leaves that is given what is left."""


@dataclass(frozen=True, slots=True)
class CoarseFront:
    """A network that takes too much from its input before any weight.

    Attributes:
        layer: the first one with weights.
        given, left: how many numbers of an item the network is given, and that layer.
        whole, rest: simple models of the one and of the other.
    """

    layer: str
    given: int
    left: int
    whole: Baselines
    rest: Baselines


Met = list[tuple[str, torch.Tensor]]
"""The modules with weights of their own, in the order in which they run, and what each is given."""


def coarse_front(subject: Subject) -> CoarseFront | None:
    """The front, if the training did badly, and a simple model learns the task from the whole input and not from what is left.

    None also where the network may know of the input by another way, or the front has weights of its own.
    """
    now = known_left(subject)
    if now is None or now <= BADLY:
        return None
    try:
        return _lossy(subject)
    except ExperimentError:
        return None


def _lossy(subject: Subject) -> CoarseFront | None:
    source = BatchSource(subject.training.train_loader, seconds=5.0)
    batch = source.mixed(1)[0]
    with isolated(subject.training, start=Start()) as copied:
        sizes = _sizes(copied, batch)
        if sizes is None:
            return None
        whole = baselines(subject)
        if whole.learnable < LEARNED:
            return None
        batches = source.mixed(max(1, -(-ITEMS // batch_size(batch))))
        features, targets = zip(*(_features(copied, one) for one in batches), strict=True)
    count = len(whole.seen.target)
    if not torch.equal(torch.cat(targets)[:count], whole.seen.target):
        return None
    rest = baselines_of(replace(whole.seen, features=torch.cat(features)[:count]), subject.seconds)
    return CoarseFront(*sizes, whole, rest) if 1 - whole.learnable <= FAR * (1 - rest.learnable) else None


def _sizes(copied: TrainingCopy, batch: Any) -> tuple[str, int, int] | None:
    """The first layer with weights, how many numbers of an item the model is given, and that layer.

    None unless the layer is given few of them, made without weights, and no answer depends on anything else of the input.
    """
    with _met(copied) as met:
        copied.loss(batch)
    seen = one_pass(copied, batch)
    if not met or len(seen.inputs) != 1 or len(seen.inputs[0]) != 1:
        return None
    (layer, left), given = met[0], seen.inputs[0][0]
    plain = given.is_floating_point() and given.dim() > 1 and left.dim() > 1 and not left.requires_grad
    if not plain or len(left) != len(given) or left[0].numel() > FEW * given[0].numel():
        return None
    with _met(copied, instead=left):
        other = one_pass(copied, batch)
    said, still = first_tensor(seen.outputs[0]), first_tensor(other.outputs[0])
    same = said is not None and still is not None and torch.equal(said, still)
    return (layer, given[0].numel(), left[0].numel()) if same else None


def _features(copied: TrainingCopy, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What the first layer with weights is given of each item, and the targets."""
    with _met(copied) as met:
        seen = one_pass(copied, batch)
    return met[0][1].flatten(1), seen.calls[0].target


@contextlib.contextmanager
def _met(copied: TrainingCopy, *, instead: torch.Tensor | None = None) -> Iterator[Met]:
    """Notes what the modules with weights of their own are given while the block lasts.

    Args:
        copied: see `isolated`.
        instead: what the first of them gets, while the items of the model's input swap their places.
    """
    met: Met = []

    def note(name: str) -> Callable[..., torch.Tensor | None]:
        def noted(_module: nn.Module, args: tuple[Any, ...]) -> torch.Tensor | None:
            if args and isinstance(args[0], torch.Tensor):
                met.append((name, args[0]))
            return instead if len(met) == 1 else None

        return noted

    def swap(_module: nn.Module, args: Any, kwargs: Any) -> Any:
        return map_leaves(args, _rolled), map_leaves(kwargs, _rolled)

    model = copied.model
    own = [(name, one) for name, one in model.named_modules() if next(one.parameters(recurse=False), None) is not None]
    handles = [one.register_forward_pre_hook(note(name)) for name, one in own]
    if instead is not None:
        handles.append(model.register_forward_pre_hook(swap, with_kwargs=True))
    try:
        yield met
    finally:
        for handle in handles:
            handle.remove()


def _rolled(value: Any) -> Any:
    return value.roll(1, 0) if isinstance(value, torch.Tensor) and value.dim() else value

"""An input of several that is worked on by a part of the network, while nothing of what that part gives is used."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.model.wiring import wiring_of
from nn_inspector.checks.race import FEWEST
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, Start, TrainingCopy, isolated, take_apart, tensors_of

_TWO = 2


@dataclass(frozen=True, slots=True)
class UnusedPart:
    """A part of the network that runs for nothing.

    Attributes:
        part: name of the module.
        given: name of the argument of `forward()` that goes into it.
        parameters: how many trainable parameters it has, none of which ever got a gradient.
    """

    part: str
    given: str
    parameters: int


def unused_part(subject: Subject) -> UnusedPart | None:
    """The part that one of several inputs goes into, if the loss and the answers do not depend on that input.

    No parameter of the part ever got a gradient or moved, although it runs and an optimizer holds it. What a model keeps for a
    later call is used. So is what it returns besides the answers.
    """
    if subject.seconds <= 0 or subject.run.steps < FEWEST:
        return None
    wiring = wiring_of(subject)
    dead = wiring.stepped - wiring.reached - (wiring.moved or frozenset())
    if wiring.moved is None or not dead or not wiring.reached & wiring.stepped:
        return None
    try:
        for batch in subject.batches()[:_TWO]:
            with isolated(subject.training, start=Start()) as copied:
                found = next(_unused(copied, batch, dead), None)
            if found is None:
                return None
    except ExperimentError:
        return None
    return found


def _unused(copied: TrainingCopy, batch: Any, dead: frozenset[str]) -> Iterator[UnusedPart]:
    usual = _pass(copied, batch)
    runs = [run for run in usual.modules if not run.name]
    if len(runs) != 1 or any(usual.gradients.get(name) is not None for name in dead):
        return
    given = runs[0].inputs
    if len(given) < _TWO:
        return
    for place, tensor in enumerate(given):
        made = _made_of(usual, tensor)
        part = _dead_part(usual, made, dead)
        if part is None or _kept(copied.model, made) or tensor.dim() == 0 or torch.equal(tensor, tensor.roll(1, 0)):
            continue
        names: list[str] = []
        handle = copied.model.register_forward_pre_hook(_roll(place, names), with_kwargs=True)
        try:
            other = _pass(copied, batch)
        finally:
            handle.remove()
        if names and _same(usual, other):
            inside = [name for name in dead if name.startswith(f"{part}.")]
            yield UnusedPart(part, names[0], len(inside))


def _pass(copied: TrainingCopy, batch: Any) -> Anatomy:
    torch.manual_seed(0)
    return take_apart(copied, batch)


def _made_of(seen: Anatomy, tensor: torch.Tensor) -> set[int]:
    """Numbers (`id`) of all tensors that are made of this one."""
    made = {id(tensor)}
    for call in seen.calls:
        if any(id(one) in made for one in call.inputs):
            made.update(id(one) for one in call.outputs)
    return made


def _dead_part(seen: Anatomy, made: set[int], dead: frozenset[str]) -> str | None:
    """The largest module that is given any of these tensors, and of whose parameters not one ever got a gradient."""
    modules = dict(seen.model.named_modules())
    for run in seen.modules:
        if run.name and _is_dead(run.module, run.name, dead) and any(id(one) in made for one in run.inputs):
            name = run.name
            while "." in name and _is_dead(modules[name.rpartition(".")[0]], name.rpartition(".")[0], dead):
                name = name.rpartition(".")[0]
            return name
    return None


def _is_dead(module: nn.Module, name: str, dead: frozenset[str]) -> bool:
    trained = [f"{name}.{own}" for own, parameter in module.named_parameters() if parameter.requires_grad]
    return bool(trained) and all(one in dead for one in trained)


def _kept(model: nn.Module, made: set[int]) -> bool:
    """Whether a module keeps any of these tensors for later."""
    return any(id(one) in made for module in model.modules() for one in tensors_of(vars(module)))


def _same(usual: Anatomy, other: Anatomy) -> bool:
    before, after = list(tensors_of(usual.output)), list(tensors_of(other.output))
    alike = len(before) == len(after) and all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    return bool(before) and alike and usual.loss == other.loss


def _roll(place: int, names: list[str]) -> Any:
    """A hook that hands the tensor at this place on to the next item, and notes what `forward()` calls it."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        wanted = list(tensors_of([args, kwargs]))[place]
        parameters = list(inspect.signature(module.forward).parameters)
        names.extend(parameters[number] for number, one in enumerate(args[: len(parameters)]) if one is wanted)
        names.extend(name for name, one in kwargs.items() if one is wanted)
        return (
            tuple(one.roll(1, 0) if one is wanted else one for one in args),
            {name: one.roll(1, 0) if one is wanted else one for name, one in kwargs.items()},
        )

    return hook

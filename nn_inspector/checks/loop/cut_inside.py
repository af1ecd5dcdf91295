"""What the forward pass of a model cuts off by itself: a state that is detached at each step, for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import STEPS, Race, race
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.anatomy import Call
from nn_inspector.experiments.flow import LAYERS
from nn_inspector.experiments.rewiring import Replacement, Spot, rewire

CUTS = ("detach", "data")
"""Functions and attributes of a tensor that cut it off from what it was computed with."""

_LONGER = 4
"""Other batches may have more steps in time, and so more cuts."""

_OFTEN = 3


@dataclass(frozen=True, slots=True)
class Cuts:
    """What the forward pass cuts off.

    Attributes:
        calls: how many of each kind of cut it makes in all, by name.
        between: how many of them stand between two runs of one layer, so that none of its gradients goes back in time.
    """

    calls: Mapping[str, int]
    between: int

    @property
    def each_step(self) -> bool:
        """Whether a layer is cut off from what it gave before, at each of its runs."""
        return self.between >= _OFTEN


def cuts_of(subject: Subject) -> Cuts | None:
    """The cuts in the forward pass; None if there are none of something that is trained, or if it cannot be seen."""
    try:
        return cuts_inside(subject.anatomy("initial", training=False))
    except ExperimentError:
        return None


def without_cuts(subject: Subject, cuts: Cuts) -> Race | None:
    """Train a copy whose forward pass cuts nothing off, beside one that does; None if that was not possible."""
    changes: dict[Spot, Replacement] = {
        (name, turn): left_whole for name, count in cuts.calls.items() for turn in range(_LONGER * count)
    }
    # What has to be kept for long is learned late.
    return race(subject, lambda copied: rewire(copied.model, changes), most=2 * STEPS if cuts.each_step else STEPS)


def cuts_inside(seen: Anatomy) -> Cuts | None:
    """Those of one pass."""
    inside = [call for call in seen.named(*CUTS) if call.module is not None]
    cutting = [call for call in inside if any(one.requires_grad and one.grad_fn is not None for one in call.inputs)]
    if not cutting:
        return None
    names = {call.name for call in cutting}
    return Cuts({name: sum(call.name == name for call in inside) for name in names}, _between(seen, cutting))


def _between(seen: Anatomy, cutting: Sequence[Call]) -> int:
    """How many cuts take what a module gave and are taken in by its next run."""
    given = {id(run.output): run.module for run in seen.modules if run.output is not None}
    modules = {run.name: run.module for run in seen.modules}
    layers = [call for call in seen.calls if call.module in modules and call.name in LAYERS]
    given |= {id(one): modules[call.module] for call in layers for one in call.outputs if call.module is not None}
    taken = {(id(one), run.module) for run in seen.modules for one in run.inputs}
    return sum(
        any((id(call.output), given[id(one)]) in taken for one in call.inputs if id(one) in given) for call in cutting
    )


def left_whole(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """In place of a cut: what it was to be made of, as it is."""
    whole: torch.Tensor = args[0]
    return whole

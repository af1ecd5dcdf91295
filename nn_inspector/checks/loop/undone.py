"""Steps that something else takes back, at once or after a pass over the data: weights set to an average, or loaded again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import Reading
from nn_inspector.checks.model.wiring import parameters_of
from nn_inspector.checks.race import Race, race
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Run
from nn_inspector.probes import WATCHED_PASSES

LARGE = 0.7
"""Share of a step that is taken back, from which on it is looked at: at least three steps do what one would do."""

_SAME = 0.1
"""What is changed after a step is the step itself taken back, and not a mask or a limit, if no more of it than this is
anything else."""

_ENOUGH = 5
_MOST = 0.8

LARGE_OF_A_PASS = 0.5
_ENOUGH_PASSES = 3


@dataclass(frozen=True, slots=True)
class Undone:
    """What is taken back of the steps of one optimizer.

    Attributes:
        share: of a step's change, or of that of a pass, from 0 to 1.
        optimizer: which one.
        steps: after so many, 1 or those of a pass over the data or of another stretch.
        at: what ends a stretch of them: "step", "pass", "validation", or "write" to the weights.
    """

    share: float
    optimizer: int
    steps: int = 1
    at: str = "step"

    @property
    def text(self) -> str:
        """What is taken back, in words."""
        told = {
            "step": "what each step changes is taken back before the model is called again",
            "pass": "what each pass over the data changes is taken back before the next one begins",
            "validation": f"what the {self.steps} steps between two validations change is taken back before training goes on",
            "write": f"what each {self.steps} steps change is taken back by something that writes to the weights after them",
        }
        return f"{self.share:.0%} of {told[self.at]}"


def undone_steps(run: Run) -> Undone | None:
    """What was taken back of nearly all steps; None if it was not, or only of some, or something else was changed."""
    trace = list(run.trace)
    optimizers: set[Any] = {entry.facts["optimizer"] for entry in trace if entry.call == "undone"}
    for optimizer in optimizers:
        own: list[dict[str, Any]] = [
            dict(entry.facts) | {"call": entry.call} for entry in trace if entry.facts.get("optimizer") == optimizer
        ]
        steps = sum(one["call"] == "step" for one in own) - 1
        shares = [
            one["share"] for one in own if one["call"] == "undone" and one["share"] >= LARGE and one["apart"] <= _SAME
        ]
        if len(shares) >= max(_ENOUGH, _MOST * steps):
            return Undone(min(float(np.median(shares)), 1.0), int(optimizer))
    return None


def set_back_passes(run: Run) -> Undone | None:
    """What was taken back of nearly all passes over the data; None if it was not.

    An average of the weights that stays in the model after it was validated is not the pass itself taken back: what is
    changed besides counts as well.
    """
    found: list[dict[str, Any]] = [dict(entry.facts) for entry in run.trace if entry.call == "set_back"]
    for optimizer in {facts["optimizer"] for facts in found}:
        own = [facts for facts in found if facts["optimizer"] == optimizer]
        shares = [one["share"] for one in own if one["share"] >= LARGE_OF_A_PASS]
        if len(shares) >= max(_ENOUGH_PASSES, _MOST * (min(len(run.epochs("train")), WATCHED_PASSES) - 1)):
            share = min(float(np.median(shares)), 1.0)
            return Undone(share, int(optimizer), int(np.median([one["steps"] for one in own])), "pass")
    return None


def set_back_regularly(run: Run) -> Undone | None:
    """What was taken back of nearly all stretches of steps between two validations, or two writes; None if it was not."""
    found = [dict(entry.facts) for entry in run.trace if entry.call == "set_back_regularly"]
    for at in ("validation", "write"):
        own: list[dict[str, Any]] = [facts for facts in found if facts["at"] == at]
        large = [one for one in own if one["share"] >= LARGE_OF_A_PASS]
        if len(large) >= max(_ENOUGH_PASSES, _MOST * max((one["compared"] for one in own), default=0)):
            share, steps = (float(np.median([one[name] for one in large])) for name in ("share", "steps"))
            return Undone(min(share, 1.0), int(large[0]["optimizer"]), int(steps), at)
    return None


def race_to_plain_steps(subject: Subject, undone: Undone) -> Race | None:
    """Copies make plain steps, and steps that are taken back as those of the loop are."""
    return race(subject, without=lambda copied: _take_back(copied, undone))


def _take_back(copied: TrainingCopy, undone: Undone) -> None:
    held: list[torch.Tensor] = []
    steps = 0

    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if steps % undone.steps == 0:
            held[:] = [parameter.detach().clone() for parameter in parameters_of(optimizer)]

    @torch.no_grad()
    def after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        nonlocal steps
        steps += 1
        if steps % undone.steps == 0:
            for parameter, old in zip(parameters_of(optimizer), held, strict=True):
                parameter.lerp_(old, undone.share)

    optimizer = copied.optimizers[undone.optimizer]
    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def place_of_undoing(reading: Reading) -> str | None:
    """The first line after step() that writes to the weights."""
    step = reading.first("step")
    if step is None:
        return None
    behind = reading.events[reading.events.index(step) :]
    written = [e for e in behind if e.kind == "weights" and e.loops[: len(step.loops)] == step.loops]
    return written[0].place if written else None

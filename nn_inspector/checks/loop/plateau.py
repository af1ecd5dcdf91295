"""A scheduler that waits for a rise, and is given a loss."""

from __future__ import annotations

import ast
import gc
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.history import Run

_MADE_TO_WAIT = re.compile(r"""ReduceLROnPlateau\(.*mode\s*=\s*["']max["']""")
_LOSS = re.compile(r"loss|nll|mse|mae|error|perplexity", re.IGNORECASE)
_SCORE = re.compile(
    r"acc|auc|f1|score|metric|r2|iou|dice|reward|return|elbo|likelihood|recall|precision", re.IGNORECASE
)

_SAME = 0.02
"""The highest loss that was validated and the best value of the scheduler differ by no more than this share: they are one."""

_FELL = 0.9
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Waits:
    """A `ReduceLROnPlateau` with mode="max" that is given a loss.

    Attributes:
        place: where it is stepped.
        given: what with, as it is written.
        best: what it takes for the best value so far; None where the scheduler itself is not known.
    """

    place: str
    given: str
    best: float | None


def waits_for_rise(reading: Reading) -> bool:
    """Whether a `ReduceLROnPlateau` takes a rise for progress."""
    return any(map(_waits, reading.of("scheduler"))) or _is_made_to_wait(reading)


def waits_for_a_loss_to_rise(run: Run, reading: Reading, optimizers: Sequence[Optimizer] = ()) -> Waits | None:
    """The first such scheduler that is given a loss: by its name, or because its best value is the highest loss of the validation.

    Args:
        run: with the losses of the validation.
        reading: of the loop.
        optimizers: whose scheduler it may be, where the loop gets it from elsewhere.
    """
    for event in reading.of("scheduler"):
        given = _given(event)
        if given is None or given.startswith("-") or _SCORE.search(given):
            continue
        scheduler = event.target if isinstance(event.target, ReduceLROnPlateau) else _only_one_of(optimizers)
        waits = scheduler.mode == "max" if scheduler is not None else _is_made_to_wait(reading)
        best = float(scheduler.best) if scheduler is not None else None
        if waits and (_LOSS.search(given) or (best is not None and _is_highest_loss(run, best))):
            return Waits(event.place, given, best if best is not None and math.isfinite(best) else None)
    return None


def _only_one_of(optimizers: Sequence[Optimizer]) -> ReduceLROnPlateau | None:
    """The scheduler of this kind that lives and has been given a value of one of these optimizers; None if there are several."""
    found = [
        one
        for one in gc.get_objects()
        if issubclass(type(one), ReduceLROnPlateau)
        and one.last_epoch > 0
        and any(one.optimizer is o for o in optimizers)
    ]
    return found[0] if len(found) == 1 else None


def _waits(event: Event) -> bool:
    return isinstance(event.target, ReduceLROnPlateau) and event.target.mode == "max"


def _is_made_to_wait(reading: Reading) -> bool:
    return any(_MADE_TO_WAIT.search(event.code) for event in reading.of("schedule"))


def _given(event: Event) -> str | None:
    """The first argument of the call, as it is written."""
    try:
        called = ast.parse(event.code.strip(), mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(called, ast.Call):
        return None
    arguments = [*called.args, *(word.value for word in called.keywords if word.arg == "metrics")]
    return ast.unparse(arguments[0]) if arguments else None


def _is_highest_loss(run: Run, best: float) -> bool:
    losses = run.series("loss", "validation").values
    losses = losses[np.isfinite(losses)]
    if len(losses) < _ENOUGH or not math.isfinite(best) or losses[-1] > _FELL * losses.max():
        return False
    return bool(abs(best - losses.max()) <= _SAME * abs(losses.max()))

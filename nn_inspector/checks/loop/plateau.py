"""A scheduler that waits for a rise and is given a loss, or for a fall and is given a score."""

from __future__ import annotations

import ast
import gc
import math
import re
from collections.abc import Callable, Sequence
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

_IS_SCORE = re.compile(
    r"(?:^|[_.'\"])(?:acc|accuracy|auc|auroc|f1|r2|recall|precision|rewards?)(?:$|[_\W\d])", re.IGNORECASE
)
"""Names that say for sure that more is better."""

_SAME = 0.02
"""The highest loss that was validated and the best value of the scheduler differ by no more than this share: they are one."""

_FELL = 0.9
_ENOUGH = 3
_WHOLE = 1e-3
_BETTER = 0.1
_PERCENT = 100
_VALIDATION_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Waits:
    """A `ReduceLROnPlateau` that waits for the wrong thing.

    Attributes:
        place: where it is stepped; None where that is not known.
        given: what with, as it is written; "" where that is not known.
        best: what it takes for the best value so far; None where the scheduler itself is not known.
    """

    place: str | None
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


def waits_for_a_score_to_fall(
    run: Run, reading: Reading, optimizers: Sequence[Optimizer], right: Callable[[], tuple[float, int] | None]
) -> Waits | None:
    """A scheduler with mode="min" that is given a score: by its name, or because its best value can only be a share of right answers.

    Args:
        run: with the losses of the validation.
        reading: of the loop.
        optimizers: whose scheduler it may be.
        right: asks for the share of right answers in the validation by now, and how many items it has.
    """
    events = reading.of("scheduler")
    targets = [event.target for event in events if isinstance(event.target, ReduceLROnPlateau)]
    scheduler = targets[0] if len(targets) == 1 else _only_one_of(optimizers)
    if scheduler is None or scheduler.mode != "min" or not 0 < float(scheduler.best) < math.inf:
        return None
    best = float(scheduler.best)
    for event in events:
        given = _given(event) or ""
        named = _IS_SCORE.search(given) and not _LOSS.search(given) and not re.search(r"[-+*/]", given)
        if named and not _is_lowest_loss(run, best):
            return Waits(event.place, given, best)
    seen = right() if best <= _PERCENT else None
    if seen is None or not is_share_right(best / (1 if best <= 1 else _PERCENT), *seen):
        return None
    return Waits(events[0].place if events else None, (_given(events[0]) or "") if events else "", best)


def is_share_right(lowest: float, now: float, items: int) -> bool:
    """Whether the lowest of some values can only be a share of right answers: a whole number of the items, and no share of wrong ones.

    A share of wrong answers would have been as low by now as those that are wrong.

    Args:
        lowest: of the values.
        now: share of right answers.
        items: how many were asked.

    Example:
        >>> is_share_right(0.87, 0.95, 400), is_share_right(0.05, 0.95, 400), is_share_right(0.8712, 0.95, 400)
        (True, False, False)
    """
    whole = lowest * items
    may_be = items <= _VALIDATION_ITEMS and lowest < 1 and abs(whole - round(whole)) <= _WHOLE
    return may_be and 1 - now + _BETTER <= lowest <= now + _SAME


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


def _is_lowest_loss(run: Run, best: float) -> bool:
    losses = run.series("loss", "validation").values
    losses = losses[np.isfinite(losses)]
    return bool(len(losses)) and bool(abs(best - losses.min()) <= _SAME * abs(losses.min()))

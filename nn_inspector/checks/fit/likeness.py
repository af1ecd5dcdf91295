"""A loss that compares items with each other, against the usual one: does it pull together what belongs together?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from nn_inspector.checks.answers import Answers
from nn_inspector.checks.base import Subject
from nn_inspector.checks.fit.embeddings import Embedding, drawn_rows, embedding_of, loss_of, rows_of
from nn_inspector.checks.race import BADLY, BETTER, FEWEST, STEPS
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, TrainingCopy, initial_state, isolated, train
from nn_inspector.history import Trial

Cause = Literal["turned", "collapse"]

DECIDED = 0.2
"""With the rows free, the loss pulls one kind of pairs together and no other if so little is left in the wrong order."""

WORSE = 1.2
"""So much in the wrong order is clearly worse than chance, where it is known what belongs together: that all different items
come together and those of a class do not is more than any rows can do."""

_FREE_STEPS = 120
_PARTS = 6
_JUDGED = 256
_BATCHES = 60
_TIME = 0.9


@dataclass(frozen=True, slots=True)
class Misled:
    """A loss that does not lead to rows which are near for what belongs together.

    Attributes:
        cause: "turned", if it pulls together what does not belong together; "collapse", if it is lowest where all rows are alike.
        embedding: what is compared.
        pulled: the label of the pairs that the loss pulls together.
        now: the share that the user's network has still to learn, see `Answers.unlearned`.
        trial: the same of short trainings with the user's loss and with the usual one.
    """

    cause: Cause
    embedding: Embedding
    pulled: int
    now: float
    trial: Trial


@dataclass(frozen=True, slots=True)
class Led:
    """Where the loss leads with the rows free.

    Attributes:
        wrong: what is in the wrong order then, if the pairs labelled 1 should be near: 0 if they all are, 2 if no one is.
        collapse: whether no loss is lower than that of rows which are all alike.
    """

    wrong: float
    collapse: bool


def misled(subject: Subject, *, single: bool = False) -> Misled | None:
    """Whether the loss misleads a training that did badly, proven by short trainings with the usual loss for its kind of items.

    That pairs labelled 1 are alike or that those labelled 0 are is not presumed: the network tells, for it can learn one of
    them only.

    Args:
        subject: training and run.
        single: whether the loss compares items of a class with others, within a batch.

    Raises:
        ExperimentError: no experiment is possible.
    """
    if subject.seconds <= 0 or not subject.training.optimizers or not subject.run.steps:
        return None
    end = time.monotonic() + _TIME * subject.seconds
    batch = subject.batches()[0]
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        found = embedding_of(copied, batch, single=single)
        if found is None:
            return None
        batches, judge = _data(subject)
        if found.kind == "triplets":
            found = _with_anchor(copied, found, batch)
    with isolated(subject.training, start=Start()) as copied:
        now = _either(found, _left(copied, found, judge))
    if now <= BADLY:
        return None
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        led = _led(copied, found, batch)
    pulled = 1 if led.wrong < 1 else 0
    decided = _decided(found, led)
    if not led.collapse and not decided:
        return None
    return _proven(subject, found, pulled, led, now, (batches, judge), end)


def _decided(found: Embedding, led: Led) -> bool:
    """Whether the free rows show that the loss is turned around.

    To push partners apart may be meant, as of features that are to say different things.
    """
    if found.kind == "partners":
        return False
    return led.wrong > WORSE if found.known else _either(found, led.wrong) <= DECIDED


def _data(subject: Subject) -> tuple[list[Any], Any]:
    """Batches to train on, and items to judge by: of the validation data, where there are some, for pairs can be known by heart.

    Without loaders both are steps of the loop, and the one to judge by is none of those to train on.
    """
    source = BatchSource(subject.training.data, seconds=5.0)
    for loader, seed in ((subject.training.val_loader, 0), (subject.training.train_loader, 1)):
        if loader is not None:
            return source.mixed(_BATCHES), BatchSource(loader, seed=seed, seconds=5.0).mixed(1, size=_JUDGED)[0]
    return source.for_training(_BATCHES)


def _proven(
    subject: Subject, found: Embedding, pulled: int, led: Led, now: float, data: tuple[list[Any], Any], end: float
) -> Misled | None:
    batches, judge = data
    same = 1 if found.known or led.collapse else 1 - pulled

    def short(loss: Callable[[TrainingCopy, Any], torch.Tensor] | None, share: float) -> list[float]:
        return _short(subject, found, loss, batches, judge, time.monotonic() + share * (end - time.monotonic()))

    plain = [_either(found, left) for left in short(None, 1 / 3)]
    if plain[-1] <= BADLY:
        return None
    alike = short(_usual(found, same), 1 / 2)
    other = short(_usual(found, 1 - same), 1.0)
    looks = min(len(plain), len(alike), len(other))
    if looks <= _PARTS // 2:
        raise ExperimentError("There was no time to train a copy with the usual loss for embeddings.")
    if found.kind == "pairs" and led.collapse and other[looks - 1] > 2 - alike[looks - 1]:
        same, alike, other = 0, other, alike
    treated = [left if same else 2 - left for left in alike[:looks]]
    against = other[looks - 1] if not same else 2 - other[looks - 1]
    if treated[-1] > BADLY or treated[-1] >= BETTER[True] * min(now, plain[looks - 1]):
        return None
    if not led.collapse and against <= BADLY:
        return None
    every = _steps(subject) // _PARTS
    trial = Trial(plain[:looks], treated, helped=True, measure="share in the wrong order", every=every)
    return Misled("collapse" if led.collapse else "turned", found, pulled, now, trial)


def _either(found: Embedding, left: float) -> float:
    """What is left, whichever label means that two rows belong together if that is not known."""
    return left if found.known else min(left, 2 - left)


def _led(copied: TrainingCopy, found: Embedding, batch: Any) -> Led:
    """Minimize the loss over free rows."""
    copied.model.eval()
    rows = drawn_rows(copied, found, batch)
    with torch.no_grad():
        first = float(loss_of(copied, found, rows, batch))
        one = rows[0][:1]
        alike = float(loss_of(copied, found, [one.expand_as(table).clone() for table in rows], batch))
    rows, lowest = _freed(copied, found, batch, rows)
    slack = 1e-3 * max(abs(first - lowest), 1e-6)
    return Led(_order(*found.compared(rows, batch)), alike <= lowest + slack)


def _freed(
    copied: TrainingCopy, found: Embedding, batch: Any, rows: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], float]:
    """The rows at the end, and the lowest loss."""
    free = [table.clone().requires_grad_() for table in rows]
    optimizer = torch.optim.Adam(free, lr=max(0.02, float(torch.cat(list(rows)).std()) / 10))
    losses = []
    for _ in range(_FREE_STEPS):
        loss = loss_of(copied, found, free, batch)
        losses.append(float(loss.detach()))
        if not loss.requires_grad:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [table.detach() for table in free], min(losses)


def _with_anchor(copied: TrainingCopy, found: Embedding, batch: Any) -> Embedding:
    """With the table that both others are compared with, and the one that the loss pulls to it."""
    copied.model.eval()
    rows, _ = _freed(copied, found, batch, drawn_rows(copied, found, batch))
    apart = {(a, b): float(found.distance(rows[a], rows[b]).mean()) for a, b in ((0, 1), (0, 2), (1, 2))}
    near, far = min(apart, key=lambda pair: apart[pair]), max(apart, key=lambda pair: apart[pair])
    anchor = next((table for table in near if table in far), 0)
    return replace(found, anchor=(anchor, near[0] if near[1] == anchor else near[1]))


def _usual(found: Embedding, same: int) -> Callable[[TrainingCopy, Any], torch.Tensor]:
    """The usual loss for embeddings: what is labelled `same` is pulled together, all else is pushed apart up to a margin."""
    margins: list[float] = []

    def loss(copied: TrainingCopy, batch: Any) -> torch.Tensor:
        apart, labels = found.compared(rows_of(copied, found, batch), batch)
        if not margins:
            margins.append(1.0 if found.cosine else 2 * float(apart.detach().mean()))
        near = (labels == same).float()
        far = 1 - near
        pulled = (near * apart.square()).sum() / near.sum().clamp(min=1)
        pushed = (far * (margins[0] - apart).relu().square()).sum() / far.sum().clamp(min=1)
        return pulled + pushed

    return loss


def _short(
    subject: Subject,
    found: Embedding,
    loss: Callable[[TrainingCopy, Any], torch.Tensor] | None,
    batches: Sequence[Any],
    judge: Any,
    until: float,
) -> list[float]:
    """What is in the wrong order at the start of a short training and after each part of it."""
    part = _steps(subject) // _PARTS
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        left = [_left(copied, found, judge)]
        if loss is not None:
            copied.instead = lambda batch: loss(copied, batch)
        for number in range(_PARTS):
            chosen = [batches[(number * part + place) % len(batches)] for place in range(part)]
            train(copied, chosen, steps=part, deadline=until)
            if time.monotonic() > until:
                break
            left.append(_left(copied, found, judge))
    return left


def _steps(subject: Subject) -> int:
    return min(max(subject.run.steps, FEWEST), STEPS)


def _left(copied: TrainingCopy, found: Embedding, judge: Any) -> float:
    copied.model.eval()
    with torch.no_grad():
        left = _order(*found.compared(rows_of(copied, found, judge), judge))
    copied.train_mode()
    return left


def _order(apart: torch.Tensor, labels: torch.Tensor) -> float:
    """0 if all pairs labelled 1 are nearer than the others, 2 if none is, 1 by chance."""
    left = Answers("yes or no", -apart[:, None], labels[:, None]).unlearned
    if left is None:
        raise ExperimentError("All pairs of a batch have the same label.")
    return left

"""A loss that compares the answers with the network's own input, though the batch holds something else to be answered."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import (
    BatchSource,
    Start,
    TrainingCopy,
    initial_state,
    isolated,
    tensors_of,
    train,
)
from nn_inspector.experiments.batch_contents import map_leaves, to_device
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.history import Trial
from nn_inspector.probes import first_tensor

NOISE = 0.05
"""Share of the input's variance from which on what the loop adds to it at random is there to be taken away."""

BETTER = 1 / 2
"""A copy that learns the other tensor must come so much nearer to it than one that learns its own input, and than the input is."""

_ALIKE = 0.2
_DRAWS = 4
_FEWEST = 16
_STEPS = 160
_MANY_STEPS = 480
_PROMISING = 0.8
"""A copy that has come as much nearer in the fewer steps is given the many, if the user's training had them."""

_PARTS = 8
_LOSSES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})


@dataclass(frozen=True, slots=True)
class OwnInput:
    """What the loss compares the answers with, and what it does not.

    Attributes:
        place: which tensor of the batch is not compared with, counted from 0.
        shape: of it.
        how: "unused", or "noisy" if the input is made of it with noise.
        before: mean squared distance of the network's input to it, as a share of its variance.
        trial: the same for the answers of a copy, trained as the loop does it and towards that tensor.
    """

    place: int
    shape: tuple[int, ...]
    how: Literal["unused", "noisy"]
    before: float
    trial: Trial


def own_input(subject: Subject) -> OwnInput | None:
    """Whether the loss compares with the network's own input where a copy learns another tensor of the batch better.

    None where it does not, or where it is not known how the loop computes its loss. It is tried once for all checks.

    Raises:
        ExperimentError: no experiment is possible.
    """
    found: OwnInput | None = subject.once("own input", lambda: _tried(subject))
    return found


def _tried(subject: Subject) -> OwnInput | None:
    if subject.seconds <= 0 or subject.training.tape is None:
        return None
    batch = subject.batches()[0]
    with isolated(subject.training, start=Start()) as copied:
        seen = [_compared(copied, batch) for _ in range(_DRAWS)]
        given = [one for one in seen if one is not None]
        if len(given) < _DRAWS:
            return None
        found = next(_others(copied, batch, given), None)
    if found is None:
        return None
    place, how = found
    before = _distance(given[0], list(tensors_of(batch))[place])
    trial = _towards(subject, place, _STEPS, seconds=subject.seconds / 4)
    many = min(subject.run.steps, _MANY_STEPS)
    if many > _STEPS and _comes_nearer(trial, before, _PROMISING) and not _comes_nearer(trial, before, BETTER):
        trial = _towards(subject, place, many, seconds=subject.seconds / 2)
    if trial is None or not _comes_nearer(trial, before, BETTER):
        return None
    shape = tuple(list(tensors_of(batch))[place].shape)
    return OwnInput(place, shape, how, before, trial)


def _compared(copied: TrainingCopy, batch: Any) -> torch.Tensor | None:
    """The input of the network, if it is what the loss compares the answers with."""
    seen = one_pass(copied, batch, training=True)
    if len(seen.inputs) != 1 or not seen.calls or any(call.name not in _LOSSES for call in seen.calls):
        return None
    targets = [call.target.detach() for call in seen.calls]
    for one in seen.inputs[0]:
        if one.is_floating_point() and all(_same(one, target) for target in targets):
            return one
    return None


def _others(
    copied: TrainingCopy, batch: Any, given: Sequence[torch.Tensor]
) -> Iterator[tuple[int, Literal["unused", "noisy"]]]:
    """Tensors of the batch that are as large as the input, and that the loss has no regard to but by the input."""
    own = given[0]
    parts = list(tensors_of(batch))
    if any(_same(part, own) for part in parts):
        for place, part in enumerate(parts):
            if _could_be_answered(part, own) and not _same(part, own) and not _matters(copied, batch, part):
                yield place, "unused"
        return
    for place, part in enumerate(parts):
        if _could_be_answered(part, own) and _is_noise(part, given):
            yield place, "noisy"


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.numel() == other.numel() and torch.equal(one.detach().flatten().cpu(), other.detach().flatten().cpu())


def _could_be_answered(part: torch.Tensor, own: torch.Tensor) -> bool:
    """Real numbers of the input's size, and no mask: both have more values than two."""
    fits = part.is_floating_point() and part.dim() > 0 and part.numel() == own.numel() and len(part) == len(own)
    return fits and all(len(one.flatten()[:4096].unique()) > 2 for one in (part, own))


def _matters(copied: TrainingCopy, batch: Any, part: torch.Tensor) -> bool:
    """Whether the loss is another one if this part of the batch is."""
    other = map_leaves(batch, lambda leaf: leaf.flip(0) * 0.5 + 0.1 if leaf is part else leaf)
    copied.same_noise = True
    with torch.no_grad():
        found = [float(copied.loss(one)) for one in (batch, other)]
    copied.same_noise = False
    return found[0] != found[1]


def _is_noise(part: torch.Tensor, given: Sequence[torch.Tensor]) -> bool:
    """Whether the input is this part and noise: another one in each draw, and of its own in each number.

    An image that was turned, moved or made brighter is none: there a number goes with its neighbours.
    """
    known = part.detach().float().cpu()
    rests = [_rest(one.detach().float().cpu().reshape(known.shape), known) for one in given]
    share = sum(float(rest.var() / one.float().var().clamp(min=1e-12)) for rest, one in zip(rests, given, strict=True))
    if share / len(rests) < NOISE:
        return False
    pairs = [abs(_correlation(a, b)) for a, b in itertools.combinations(rests, 2)]
    beside = [abs(_correlation(rest[..., 1:], rest[..., :-1])) for rest in rests if rest.shape[-1] > 2]
    return max([*pairs, *beside]) < _ALIKE


def _rest(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """What is left of values if each item is explained by what is known of it, times a number and plus one."""
    many = known[0].numel() >= _FEWEST
    x, y = (one.flatten(1) if many else one.reshape(1, -1) for one in (known, values))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    slope = (x * y).sum(1, keepdim=True) / x.square().sum(1, keepdim=True).clamp(min=1e-12)
    return (y - slope * x).reshape(known.shape)


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12))


def _comes_nearer(trial: Trial | None, before: float, share: float) -> bool:
    return trial is not None and trial.treated[-1] < share * min(trial.without[-1], before)


def _towards(subject: Subject, place: int, steps: int, *, seconds: float) -> Trial | None:
    """How near the answers come to a part of the batch, trained as the loop does it and towards that part."""
    batches, judge = BatchSource(subject.training.train_loader, seconds=seconds / 4).for_training(steps)
    curves = []
    for towards in (False, True):
        until = time.monotonic() + seconds / 2
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            curves.append(_course(copied, batches, judge, place, until, steps // _PARTS, towards=towards))
    looks = min(map(len, curves))
    if looks <= _PARTS // 2:
        return None
    without, treated = (curve[:looks] for curve in curves)
    return Trial(
        without,
        treated,
        helped=treated[-1] < BETTER * without[-1],
        measure="distance to it, as a share of its variance",
        every=steps // _PARTS,
    )


def _course(
    copied: TrainingCopy, batches: Sequence[Any], judge: Any, place: int, until: float, part: int, *, towards: bool
) -> list[float]:
    def miss(moved: Any) -> torch.Tensor:
        wanted = list(tensors_of(moved))[place]
        answer = first_tensor(copied.training.output(copied.model, moved))
        if answer is None or answer.numel() != wanted.numel():
            raise ExperimentError("The network's answer has another size than what it could be compared with.")
        return (answer.reshape(wanted.shape) - wanted).square().mean()

    def look() -> float:
        with torch.no_grad():
            moved = to_device(judge, copied.training.device)
            spread = list(tensors_of(moved))[place].var(correction=0)
            return float(miss(moved) / spread.clamp(min=1e-12))

    if towards:
        copied.instead = miss
    found = [look()]
    for number in range(_PARTS):
        chosen = [batches[(number * part + step) % len(batches)] for step in range(part)]
        if not math.isfinite(train(copied, chosen, steps=part, deadline=until)[-1]) or time.monotonic() > until:
            break
        found.append(look())
    return found


def _distance(one: torch.Tensor, part: torch.Tensor) -> float:
    wanted = part.detach().float().cpu()
    return float((one.detach().float().cpu().reshape(wanted.shape) - wanted).square().mean() / wanted.var(correction=0))

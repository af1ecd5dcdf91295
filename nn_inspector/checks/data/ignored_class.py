"""A class that the loss leaves out, because padding has the same number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.experiments import BatchSource, Start, TrainingCopy, batch_size, isolated
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.history import Run
from nn_inspector.probes import LossCall

OFTEN = 0.05
"""A class that has no more than this share of the words may be a mark: a beginning, an end, what is not known."""

_BATCHES = 8
_FEWEST = 32
_PADDED = 0.2
_SAID = 0.1


@dataclass(frozen=True, slots=True)
class IgnoredClass:
    """A class that is never learned.

    Attributes:
        number: of the class, and what `ignore_index` says.
        share: of the words, padding aside, that are of this class.
        said: the share of these words for which the network says so.
    """

    number: int
    share: float
    said: float


@dataclass(frozen=True, slots=True)
class _Words:
    """A batch of sequences: which positions are padding and which are of the class, bool [items, times] each.

    Attributes:
        padded: filled up at one end.
        ignored: left out by the loss.
        said: the network's answer is the class.
        vocabulary: how many tokens there are at least.
        classes: how many outputs there are.
        number: what `ignore_index` says.
    """

    padded: torch.Tensor
    ignored: torch.Tensor
    said: torch.Tensor
    vocabulary: int
    classes: int
    number: int


def ignored_class(subject: Subject) -> IgnoredClass | None:
    """The class of words that the loss leaves out together with the padding; None if there is none, or it may be meant.

    It may be meant where sequences are not filled up, where the classes are the tokens themselves (some of them masked), and
    where all sequences begin alike: of words that were cut into pieces the first piece alone counts, and a text begins with one.

    Raises:
        ExperimentError: no experiment is possible.
    """
    if subject.seconds <= 0 or not _leaves_out_a_class(subject.run):
        return None
    with isolated(subject.training, start=Start()) as copied:
        seen = [_words(copied, batch) for batch in subject.batches(_BATCHES)]
    found = [one for one in seen if one is not None]
    if not found or len(found) < len(seen):
        return None
    if 2 * found[0].classes > max(one.vocabulary for one in found) or not _stands_for_padding(found):
        return None
    ignored = torch.cat([one.ignored[~one.padded] for one in found])
    said = torch.cat([one.said[~one.padded] for one in found])[ignored]
    share = float(ignored.double().mean())
    if share < OFTEN or float(said.double().mean()) > _SAID or not _begins_differently(found):
        return None
    return IgnoredClass(found[0].number, share, float(said.double().mean()))


def ignored_label(subject: Subject) -> IgnoredClass | None:
    """The class of items that the loss leaves out; None if there is none, or it may be meant.

    It may be meant where it marks items whose label is not known: the validation data hold no such items.

    Raises:
        ExperimentError: no experiment is possible, or there are no validation data.
    """
    if subject.seconds <= 0 or not _leaves_out_a_class(subject.run):
        return None
    apart = BatchSource(subject.training.val_loader, seconds=subject.seconds / 6).as_loaded(_BATCHES)
    with isolated(subject.training, start=Start()) as copied:
        seen, unseen = (_labels(copied, batches) for batches in (subject.batches(_BATCHES), apart))
    if seen is None or unseen is None or seen.share < OFTEN or unseen.share < OFTEN or seen.said > _SAID:
        return None
    return seen


def _leaves_out_a_class(run: Run) -> bool:
    """Whether a loss of the loop has an `ignore_index` that may be a class: by default it is -100."""
    given = [entry.facts.get("ignore_index") for entry in list(run.trace)]
    return any(isinstance(number, int) and number >= 0 for number in given)


def _labels(copied: TrainingCopy, batches: Sequence[Any]) -> IgnoredClass | None:
    """How many items of some batches are of the ignored class, and how often the network says so of them."""
    calls = [call for batch in batches for call in one_pass(copied, batch).calls]
    if len(calls) != len(batches) or any(call.name not in ("cross_entropy", "nll_loss") for call in calls):
        return None
    if any(len(call.target) != batch_size(batch) for call, batch in zip(calls, batches, strict=True)):
        return None  # of positions of sequences, some are padding
    numbers = {call.options.get("ignore_index") for call in calls}
    number, classes = numbers.pop(), calls[0].prediction.shape[-1]
    flat = all(call.target.dim() == 1 and call.prediction.dim() == 2 for call in calls)
    if numbers or not flat or not isinstance(number, int) or not 0 <= number < classes:
        return None
    ignored = torch.cat([call.target.detach() == number for call in calls])
    said = torch.cat([call.prediction.detach().argmax(1) == number for call in calls])
    share = float(ignored.double().mean())
    return IgnoredClass(number, share, float(said[ignored].double().mean()) if share else 0.0)


def _words(copied: TrainingCopy, batch: Any) -> _Words | None:
    seen = one_pass(copied, batch)
    if len(seen.inputs) != 1 or len(seen.calls) != 1 or seen.calls[0].name not in ("cross_entropy", "nll_loss"):
        return None
    given = [one for one in seen.inputs[0] if one.dim() == 2 and one.dtype is torch.int64]
    return _of_call(given[0], seen.calls[0]) if given else None


def _of_call(tokens: torch.Tensor, call: LossCall) -> _Words | None:
    prediction, target, number = call.prediction.detach(), call.target.detach(), call.options.get("ignore_index")
    if target.is_floating_point() or target.numel() != tokens.numel() or prediction.dim() not in (2, 3):
        return None
    classes = prediction.shape[1]
    if not isinstance(number, int) or not 0 <= number < classes or prediction.numel() != classes * target.numel():
        return None
    padded = max(_ends(tokens), _ends(tokens.flip(1)).flip(1), key=lambda one: int(one.sum()))
    ignored = target.reshape(tokens.shape) == number
    said = prediction.argmax(1).reshape(tokens.shape) == number
    return _Words(padded.cpu(), ignored.cpu(), said.cpu(), int(tokens.max()) + 1, classes, number)


def _ends(tokens: torch.Tensor) -> torch.Tensor:
    """Where the token that most rows end with is repeated up to the end, if there are rows that end with it more than once."""
    token = tokens[:, -1].mode().values
    run = (tokens == token).flip(1).cummin(1).values.flip(1)
    return run & bool((run.sum(1) > 1).any())


def _stands_for_padding(found: Sequence[_Words]) -> bool:
    """Whether many rows are filled up, and the loss leaves all of that out."""
    rows = torch.cat([one.padded.any(1) for one in found])
    left_out = torch.cat([one.ignored[one.padded] for one in found])
    return float(rows.double().mean()) >= _PADDED and bool(left_out.all())


def _begins_differently(found: Sequence[_Words]) -> bool:
    """Whether some sequences begin with a word of the class and others do not; a mark in front of all of them is passed."""
    rows = [one.ignored[row][~one.padded[row]] for one in found for row in range(len(one.ignored))]
    for place in (0, 1):
        first = torch.tensor([bool(row[place]) for row in rows if len(row) > place])
        share = float(first.double().mean()) if len(first) >= _FEWEST else 0.0
        if share < 1:
            return OFTEN < share < 1 - OFTEN
    return False

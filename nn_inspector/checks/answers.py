"""What a network answers for a batch, what it should answer, and how much of that it has still to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from nn_inspector.experiments import TrainingCopy
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.probes import LossCall, first_tensor, label_parts

Kind = Literal["classes", "yes or no", "numbers"]

_CLASS_LOSSES = frozenset({"cross_entropy", "nll_loss", "multi_margin_loss"})
_BINARY_LOSSES = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss"})
_NUMBER_LOSSES = frozenset(
    {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "gaussian_nll_loss"}
)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a network and the right ones.

    Attributes:
        kind: one class of several, independent answers yes or no, or numbers.
        given: what was answered: class numbers [items], scores [items, questions], numbers [items, columns].
        right: what is right, in the same shape.
    """

    kind: Kind
    given: torch.Tensor
    right: torch.Tensor

    @property
    def unlearned(self) -> float | None:
        """The share that is still to learn: 1 for answers that know nothing of the item, 0 if all are right.

        Classes: errors, over those of always the most frequent class. Numbers: squared error over the variance of the
        right ones (1 - R^2). Yes or no: twice the share of pairs of a yes and a no that stand in the wrong order (2 - 2 AUC),
        so that no threshold is needed; mean over the questions.

        Returns:
            None if there is nothing to learn here: all right answers are the same.

        Example:
            >>> Answers("classes", torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])).unlearned
            0.5
        """
        if not bool(torch.isfinite(self.given).all()):
            return float("inf")
        if self.given.numel() == 0:
            return None
        measure = {"classes": _wrong_classes, "yes or no": _wrong_order, "numbers": _unexplained}[self.kind]
        return measure(self.given, self.right)

    @staticmethod
    def together(parts: Sequence[Answers]) -> Answers:
        """The answers for several batches as those for one; parts of another kind than the first are left out."""
        alike = [one for one in parts if one.kind == parts[0].kind and one.given.shape[1:] == parts[0].given.shape[1:]]
        return Answers(parts[0].kind, torch.cat([one.given for one in alike]), torch.cat([one.right for one in alike]))


def answers(copied: TrainingCopy, batch: Any) -> Answers | None:
    """What a copy answers for a batch in evaluation mode; None where it is not known what is asked.

    The answers are what the only loss function is called on, or the first of two that choose along both axes of the same scores, as
    where pictures and texts are matched. A loss that is written by hand is not seen: they are then
    the first tensor that the model returns, if it fits the labels of the batch.

    Raises:
        ExperimentError: the batch does not fit.
    """
    seen = one_pass(copied, batch)
    if len(seen.calls) == 1 or _both_ways(seen.calls):
        return of_call(seen.calls[0])
    if seen.calls or not seen.outputs:
        return None
    return of_output(first_tensor(seen.outputs[-1]), batch, seen.inputs[-1])


def _both_ways(calls: Sequence[LossCall]) -> bool:
    if len(calls) != 2 or any(call.name != "cross_entropy" or call.prediction.dim() != 2 for call in calls):
        return False
    first, second = (call.prediction.detach() for call in calls)
    return first.shape == second.T.shape and torch.equal(first, second.T)


def of_call(call: LossCall) -> Answers | None:
    """The answers in a call of a loss function; None for losses that do not tell what is right."""
    given, right = call.prediction.detach(), call.target
    if not isinstance(right, torch.Tensor) or given.numel() == 0:
        return None
    right = right.detach().to(given.device)
    if call.name in _CLASS_LOSSES:
        return _classes(given, right, int(call.options.get("ignore_index", -100)))
    if given.numel() != right.numel():
        return None
    right = right.reshape(given.shape)
    if call.name in _BINARY_LOSSES or call.name in _NUMBER_LOSSES:
        return _of_same_shape(given, right)
    return None


def of_output(given: torch.Tensor | None, batch: Any, inputs: Sequence[torch.Tensor] = ()) -> Answers | None:
    """The answers of a model whose loss is not seen, if its output fits the last of the batch's labels, and no other one.

    A mask or weights for the loss have the shape of the labels: which of them is right is not known then.

    Args:
        given: the output.
        batch: with the labels.
        inputs: what the model was given, which is no label.
    """
    if given is None or not given.is_floating_point() or given.dim() == 0:
        return None
    parts = [part for _, part in label_parts(batch) if isinstance(part, torch.Tensor) and not _is_among(part, inputs)]
    given = given.detach()
    fitting = [_fitting(given, part.detach().to(given.device)) for part in parts]
    return fitting[-1] if fitting and all(one is None for one in fitting[:-1]) else None


def _fitting(given: torch.Tensor, right: torch.Tensor) -> Answers | None:
    """An output as answers to labels, if it fits them."""
    if right.dim() == 0:
        return None
    if given.dim() == right.dim() + 1 and given.shape[1] > 1 and not right.is_floating_point():
        fits = given.shape[:1] + given.shape[2:] == right.shape and int(right.min()) >= 0
        return _classes(given, right, -100) if fits and int(right.max()) < given.shape[1] else None
    if given.numel() != right.numel() or len(given) != len(right):
        return None
    return _of_same_shape(given, right.reshape(given.shape))


def _is_among(part: torch.Tensor, others: Sequence[torch.Tensor]) -> bool:
    return any(part is one or (part.shape == one.shape and torch.equal(part.to(one.device), one)) for one in others)


def is_one_hot(values: torch.Tensor) -> bool:
    """Whether each row [items, classes] holds a single 1 among zeros.

    Example:
        >>> is_one_hot(torch.eye(3)), is_one_hot(torch.ones(3, 2))
        (True, False)
    """
    if values.dim() != 2 or values.shape[1] < 2 or len(values) == 0:
        return False
    return are_yes_or_no(values) and bool((values.sum(1) == 1).all())


def are_yes_or_no(values: torch.Tensor) -> bool:
    """Whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def _of_same_shape(given: torch.Tensor, right: torch.Tensor) -> Answers:
    if is_one_hot(right):
        return Answers("classes", given.argmax(1), right.argmax(1))
    given, right = given.float(), right.float()
    yes_or_no = are_yes_or_no(right) or are_yes_or_no((right + 1) / 2)
    if given.dim() != 2 and (yes_or_no or given.dim() < 2):
        given, right = given.reshape(-1, 1), right.reshape(-1, 1)
    if yes_or_no:
        return Answers("yes or no", given, (right > 0).float())
    return Answers("numbers", given.flatten(1), right.flatten(1))


def _classes(given: torch.Tensor, right: torch.Tensor, ignored: int) -> Answers | None:
    if right.is_floating_point():
        if right.shape != given.shape:
            return None
        right = right.argmax(1 if right.dim() > 1 else 0)
    if given.dim() == 1:
        return None
    guess = given.argmax(1)
    # a NaN among the scores is no answer, and argmax would hide it
    guess = torch.where(given.isnan().any(1), torch.full_like(guess, -1), guess)
    counted = right != ignored
    return Answers("classes", guess[counted], right[counted])


def _wrong_classes(given: torch.Tensor, right: torch.Tensor) -> float | None:
    most_frequent = int(right.unique(return_counts=True)[1].max()) / len(right)
    return None if most_frequent == 1 else float((given != right).float().mean()) / (1 - most_frequent)


def _unexplained(given: torch.Tensor, right: torch.Tensor) -> float | None:
    given, right = given.double(), right.double()
    variation = float((right - right.mean(0)).square().sum())
    return float((given - right).square().sum()) / variation if variation > 0 else None


def _wrong_order(given: torch.Tensor, right: torch.Tensor) -> float | None:
    """2 - 2 AUC of each question by its rank sum (ties count half), mean over the questions that have both answers."""
    found = []
    for scores, truth in zip(given.T, right.T, strict=True):
        yes = int(truth.sum())
        no = len(truth) - yes
        if not yes or not no:
            continue
        _, level, counts = scores.unique(return_inverse=True, return_counts=True)
        ranks = (counts.cumsum(0).double() - (counts - 1) / 2)[level]  # ties share their mean rank
        area = (float(ranks[truth > 0].sum()) - yes * (yes + 1) / 2) / (yes * no)
        found.append(2 - 2 * area)
    return sum(found) / len(found) if found else None

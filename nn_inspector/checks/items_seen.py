"""What the network is given, what it says and what it is told, one row for each thing that it predicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import (
    BatchSource,
    Start,
    TrainingCopy,
    batch_size,
    isolated,
    require_no_memory,
    tensors_of,
)
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.probes import LossCall

Task = Literal["classes", "labels", "numbers"]

TASKS: Mapping[str, Task] = {
    "cross_entropy": "classes",
    "nll_loss": "classes",
    "binary_cross_entropy_with_logits": "labels",
    "binary_cross_entropy": "labels",
    "mse_loss": "numbers",
    "l1_loss": "numbers",
    "smooth_l1_loss": "numbers",
    "huber_loss": "numbers",
}
"""Which loss functions are read, and what is learned with them."""

ITEMS = 1024
"""So many items are looked at, or a few more."""

_ROWS = 4096
_VOCABULARY = 1024
_FEATURES = 1024
_SIDE = 16


@dataclass(frozen=True, slots=True)
class ItemsSeen:
    """Rows of input, prediction and target; a row is an item, or one position of a sequence.

    Rows with a NaN or an infinite number among the features are left out.

    Attributes:
        task: what is learned, as the loss function says.
        features: the input in plain numbers, float32 [rows, features]: pixels, columns, or counts of tokens.
        target: [rows] or [rows, outputs].
        prediction: of the network as it is now, in evaluation mode; [rows] or [rows, outputs], as the loss takes it.
        busy: the same in training mode.
        call: one call of the loss function, for its name and options.
        reconstructs: whether the targets are the inputs.
    """

    task: Task
    features: torch.Tensor
    target: torch.Tensor
    prediction: torch.Tensor
    busy: torch.Tensor
    call: LossCall
    reconstructs: bool

    def loss(self, prediction: torch.Tensor, rows: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """The user's loss function, on a prediction for some of the rows."""
        value: torch.Tensor = getattr(F, self.call.name)(prediction, self.target[rows], **self.call.options)
        return value.mean()

    def score(self, prediction: torch.Tensor, rows: torch.Tensor | slice = slice(None)) -> float:
        """How good a prediction is: share of right answers, or for numbers R²: the share of the spread explained."""
        target = self.target[rows]
        if self.answers:
            return float((self.answer(prediction, target) == self.right(target)).float().mean())
        target = target.float()
        spread = (target - target.mean(0)).square().mean()
        wrong = (self.answer(prediction, target) - target).square().mean()
        return float(1 - wrong / spread.clamp(min=1e-12))

    def balanced_score(self, prediction: torch.Tensor, rows: torch.Tensor | slice = slice(None)) -> float:
        """The share of right answers, with each class counting alike; R² for numbers."""
        if not self.answers:
            return self.score(prediction, rows)
        right = self.right(self.target[rows]).flatten()
        hits = (self.answer(prediction, self.target[rows]).flatten() == right).float()
        return float(torch.stack([hits[right == one].mean() for one in right.unique()]).mean())

    @property
    def answers(self) -> bool:
        """Whether a prediction is right or wrong, not near or far."""
        return self.task == "classes" or (
            self.task == "labels" and bool(((self.target == 0) | (self.target == 1)).all())
        )

    def answer(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """What a prediction says, in the form of `right`."""
        if self.task == "classes":
            return prediction.argmax(1)
        prediction = prediction.reshape(target.shape)
        if self.task == "numbers":
            return prediction
        probability = prediction.sigmoid() if self.call.name.endswith("logits") else prediction
        return (probability > 0.5).to(target.dtype) if self.answers else probability

    def right(self, target: torch.Tensor) -> torch.Tensor:
        """The right answers: the class of each row where classes are predicted, else the targets."""
        return target.argmax(1) if self.task == "classes" and target.is_floating_point() else target


def items_seen(subject: Subject) -> ItemsSeen:
    """About a thousand items as the network sees them now; looked at once for all checks of a diagnosis.

    Raises:
        ExperimentError: no experiment is allowed or possible, the loss is not known, the network keeps a state between
            calls, or there is no single answer for each item or position.
    """
    seen: ItemsSeen = subject.once("items seen", lambda: look_at_items(subject, subject.training.train_loader))
    return seen


def look_at_items(
    subject: Subject, loader: Iterable[Any] | None, *, mixed: bool = True, every_feature: bool = False
) -> ItemsSeen:
    """The items of any loader with the same kind of batches.

    Args:
        subject: whose network sees them.
        loader: where they come from.
        mixed: drawn at random; else the first ones in their order.
        every_feature: also those that are the same for all items, so that two loaders have the same ones.
    """
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    source = BatchSource(loader, seconds=5.0)
    size = _items_of(source.mixed(1)[0])
    count = max(1, -(-ITEMS // size))
    batches = source.mixed(count) if mixed else source.as_loaded(count)
    with isolated(subject.training, start=Start()) as copied:
        require_no_memory(copied, batches[0])
        resting = [_Pass(copied, batch, training=False) for batch in batches]
        busy = [_Pass(copied, batch, training=True) for batch in batches]
    rows = [one.rows() for one in resting]
    first = resting[0].call
    if len({tuple(part.shape[1:] for part in row) for row in rows}) > 1:
        raise ExperimentError("The batches differ in the size of their items, which this check does not read.")
    features, prediction, target = (torch.cat(parts)[:_ROWS] for parts in zip(*rows, strict=True))
    if TASKS[first.name] != "classes" and prediction[0].numel() != target[0].numel():
        raise ExperimentError(
            f"The predictions {list(prediction.shape)} and the targets {list(target.shape)} differ in their shapes, so that "
            "there is no single answer for each item."
        )
    known = features.isfinite().all(1)
    if not known.any():
        raise ExperimentError("All items that were looked at have inputs that are NaN or infinite.")
    after = torch.cat([one.rows()[1] for one in busy])[:_ROWS][known]
    features, prediction, target = features[known], prediction[known], target[known]
    features = features[:, features.std(0) > 0] if len(features) > 1 and not every_feature else features
    if first.options.get("ignore_index", -100) in target.unique() and not target.is_floating_point():
        raise ExperimentError("Some of the targets are left out by the loss function, which this check does not read.")
    return ItemsSeen(
        TASKS[first.name],
        features,
        target,
        prediction,
        after,
        first,
        TASKS[first.name] != "classes" and all(one.reconstructs for one in resting),
    )


class _Pass:
    """One forward pass: what the model was called with, and the one call of the loss function."""

    def __init__(self, copied: TrainingCopy, batch: Any, *, training: bool) -> None:
        seen = one_pass(copied, batch, training=training)
        if len(seen.inputs) != 1 or not seen.inputs[0]:
            raise ExperimentError("The model is called several times for one loss, or without a tensor.")
        if len(seen.calls) != 1 or seen.calls[0].name not in TASKS:
            raise ExperimentError("The loss is not one known loss function of torch.nn on the prediction.")
        self.call = seen.calls[0]
        self._given = seen.inputs[0]

    @property
    def reconstructs(self) -> bool:
        target = self.call.target
        return any(
            given.numel() == target.numel() and torch.equal(given.flatten().float(), target.flatten().float())
            for given in self._given
        )

    def rows(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features, prediction and target."""
        prediction, target = self.call.prediction.detach(), self.call.target.detach()
        bags = _bags(self._given, len(target) if target.dim() else 0)
        if bags is not None and len(prediction) == len(target) and max(target.dim(), prediction.dim()) <= 2:
            return bags, prediction, target
        first, count = self._given[0], len(self._given[0]) if self._given[0].dim() else 0
        whole = [given for given in self._given if given.dim() and len(given) == count]
        if count == len(target) == len(prediction) and max(target.dim(), prediction.dim()) <= 2:
            return torch.cat([_of_items(given) for given in whole], 1), prediction, target
        positions = first.shape[0] * first.shape[1] if first.dim() in (2, 3) else 0
        if TASKS[self.call.name] == "classes" and not target.is_floating_point() and target.numel() == positions:
            if prediction.dim() == 3:  # [items, classes, positions]
                prediction = prediction.movedim(1, 2).flatten(0, 1)
            features = _tokens(first.flatten()[:, None]) if first.dim() == 2 else first.flatten(0, 1).float()
            return features, prediction, target.flatten()
        raise ExperimentError("The targets are not one answer for each item, or one for each position of a sequence.")


def _items_of(batch: Any) -> int:
    """How many items a batch holds; of tokens in a row, as many as bags begin in it."""
    tensors = [one for one in tensors_of(batch) if one.dim()]
    flat = len(tensors) > 1 and _begins_of_bags(*tensors[:2])
    return len(tensors[1]) if flat else batch_size(batch)


def _begins_of_bags(tokens: torch.Tensor, begins: torch.Tensor) -> bool:
    if any(one.dim() != 1 or one.is_floating_point() or not len(one) for one in (tokens, begins)):
        return False
    ordered = int(begins[0]) == 0 and not bool((begins.diff() < 0).any())
    return ordered and int(begins[-1]) <= len(tokens) and len(begins) <= len(tokens)


def _bags(given: Sequence[torch.Tensor], items: int) -> torch.Tensor | None:
    """How often each token comes in each bag, float32 [items, tokens], of tokens in a row and where each bag begins in it.

    Returns:
        None for other inputs.
    """
    if len(given) < 2 or not items or given[1].dim() != 1 or len(given[1]) != items or not _begins_of_bags(*given[:2]):
        return None
    tokens, begins = given[:2]
    if int(tokens.max()) >= _VOCABULARY or int(tokens.min()) < 0:
        return None
    ends = torch.cat([begins[1:], begins.new_tensor([len(tokens)])])
    counts = torch.zeros(items, _VOCABULARY, device=tokens.device)
    bag = torch.repeat_interleave(torch.arange(items, device=tokens.device), ends - begins)
    counts.index_put_((bag, tokens), torch.ones(len(tokens), device=tokens.device), accumulate=True)
    return counts


def _of_items(given: torch.Tensor) -> torch.Tensor:
    """The input of each item as a row of numbers: images made smaller, tokens counted."""
    if not given.is_floating_point():
        if given.dim() == 2 and given.dtype == torch.int64 and int(given.min()) >= 0 and int(given.max()) < _VOCABULARY:
            return _tokens(given)
        return given.flatten(1).float() if given.dim() > 1 else given[:, None].float()
    given = given.float()
    if given.dim() in (3, 4) and given[0].numel() > _FEATURES:
        if given.dim() == 4:
            given = F.adaptive_avg_pool2d(given, (min(given.shape[2], _SIDE), min(given.shape[3], _SIDE)))
        else:
            given = F.adaptive_avg_pool1d(given, min(given.shape[2], _SIDE))
    return given.reshape(len(given), -1)[:, : 4 * _FEATURES]


def _tokens(given: torch.Tensor) -> torch.Tensor:
    """How often each token comes in each row, and which one comes first and last."""
    if int(given.max()) >= _VOCABULARY or int(given.min()) < 0:
        raise ExperimentError(f"The input holds tokens beyond the first {_VOCABULARY}.")
    counts = torch.zeros(len(given), _VOCABULARY, device=given.device)
    counts.scatter_add_(1, given, torch.ones_like(given, dtype=torch.float32))
    if given.shape[1] == 1:
        return counts
    return torch.cat([counts, *(F.one_hot(given[:, end], _VOCABULARY).float() for end in (0, -1))], 1)

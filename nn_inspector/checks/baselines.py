"""What simple models make of the same data: can they be learned at all, and how far?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.items_seen import ItemsSeen, items_seen
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import preserved_random_state

FEWEST = 64
"""With fewer rows nothing can be said."""

JUDGED = 0.3
"""This share of the rows is kept from the simple models, and judges them."""

_HIDDEN = 64
_STEPS = 300
_LOOK_EVERY = 50
_BATCH = 128
_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Score:
    """How one model does.

    Attributes:
        name: "constant", "linear" (of images that are to be reconstructed: two principal components), "hidden" (one
            hidden layer), "network" (the user's).
        score: share of right answers, or R² for numbers (see `ItemsSeen.score`).
        balanced: the same with each class counting alike.
        loss: of the user's own loss function.
    """

    name: str
    score: float
    balanced: float
    loss: float


@dataclass(frozen=True, slots=True)
class Baselines:
    """Simple models, trained on one part of the items and judged on the rest, and the user's network beside them.

    The network has seen all of the items in its training, so that the comparison favours it.

    Attributes:
        seen: the items.
        rows: how many rows they were judged on.
        constant: the most frequent class, or the mean.
        simple: the simple models that could be fitted.
        network: the user's, as it is now; the better one of evaluation and training mode.
    """

    seen: ItemsSeen
    rows: int
    constant: Score
    simple: tuple[Score, ...]
    network: Score

    @property
    def best(self) -> Score:
        """The best of the simple models."""
        return max((self.constant, *self.simple), key=lambda one: one.score)

    @property
    def learnable(self) -> float:
        """How far the best simple model goes from knowing nothing (0) to a perfect score (1)."""
        return (self.best.score - self.constant.score) / max(1 - self.constant.score, 1e-6)

    @property
    def reached(self) -> float:
        """How far the network has gone from knowing nothing (0) to where the best simple model is (1).

        By the measure that speaks best for it: right answers, right answers with each class counting alike (it may have
        been trained for rare classes), or the loss. Where the best model gains nothing by a measure, that one is left out.
        """
        pairs = [
            (getattr(self.best, name) - nothing, getattr(self.network, name) - nothing)
            for name, nothing in (("score", self.constant.score), ("balanced", self.constant.balanced))
        ]
        pairs.append((self.constant.loss - self.best.loss, self.constant.loss - self.network.loss))
        shares = [own / gain for gain, own in pairs if gain > 0 and math.isfinite(own)]
        return max(shares, default=-math.inf)

    @property
    def behind(self) -> bool:
        """Whether the network has fewer right answers than the best simple model, by more than three standard errors."""
        best = min(max(self.best.score, 0.5), 1 - 1 / self.rows)
        noise = 3 * float((best * (1 - best) / self.rows) ** 0.5)
        return not self.best.score - self.network.score <= noise


def baselines(subject: Subject) -> Baselines:
    """Simple models on the training data; made once for all checks of a diagnosis.

    Raises:
        ExperimentError: see `items_seen` and `baselines_of`.
    """
    made: Baselines = subject.once("simpler baseline", lambda: baselines_of(items_seen(subject), subject.seconds))
    return made


def baselines_of(seen: ItemsSeen, seconds: float) -> Baselines:
    """Simple models on these items.

    Raises:
        ExperimentError: there are too few rows.
    """
    count = len(seen.target)
    if count < FEWEST:
        raise ExperimentError(f"Only {count} items are there to learn from; {FEWEST} at least are needed.")
    with preserved_random_state(0), torch.enable_grad():
        order = torch.randperm(count)
        judged, rest = order[: round(JUDGED * count)], order[round(JUDGED * count) :]
        constant = _judge("constant", seen, _constant(seen, rest, len(judged)), judged)
        deadline = time.monotonic() + min(_SECONDS, seconds)
        if seen.reconstructs:
            fitted = [_judge("linear", seen, _components(seen, rest, judged), judged)]
        else:
            fitted = [_fit(name, seen, model, rest, judged, deadline) for name, model in _simple_models(seen)]
    network = [_judge("network", seen, given[judged], judged) for given in (seen.prediction, seen.busy)]
    known = tuple(one for one in fitted if math.isfinite(one.score) and math.isfinite(one.loss))
    return Baselines(seen, len(judged), constant, known, max(network, key=lambda one: _number(one.score)))


def _components(seen: ItemsSeen, rows: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
    """The judged rows as their first two principal components alone have them."""
    known = seen.target[rows].flatten(1)
    mean = known.mean(0)
    _, _, directions = torch.linalg.svd(known - mean, full_matrices=False)
    plane = directions[:2]
    there = (seen.target[judged].flatten(1) - mean) @ plane.T @ plane + mean
    if seen.task == "labels":
        there = there.clamp(1e-3, 1 - 1e-3)
        there = there.logit() if seen.call.name.endswith("logits") else there
    shaped: torch.Tensor = there.reshape(len(judged), *seen.prediction.shape[1:])
    return shaped


def _number(score: float) -> float:
    return score if math.isfinite(score) else -math.inf


def _judge(name: str, seen: ItemsSeen, prediction: torch.Tensor, rows: torch.Tensor) -> Score:
    if not bool(torch.isfinite(prediction).all()):
        return Score(name, math.nan, math.nan, math.nan)
    return Score(
        name, seen.score(prediction, rows), seen.balanced_score(prediction, rows), float(seen.loss(prediction, rows))
    )


def _constant(seen: ItemsSeen, rows: torch.Tensor, count: int) -> torch.Tensor:
    """The prediction that knows nothing of the input, as the loss function takes it."""
    target, shape = seen.target[rows], seen.prediction.shape[1:]
    if seen.task == "classes":
        width = seen.prediction.shape[1]
        frequency = torch.bincount(seen.right(target), minlength=width).float() + 1e-3
        return (frequency / frequency.sum()).log().expand(count, width)
    mean = target.float().mean(0)
    if seen.task == "labels":
        mean = mean.clamp(1e-3, 1 - 1e-3)
        mean = mean.logit() if seen.call.name.endswith("logits") else mean
    return mean.expand(count, *target.shape[1:]).reshape(count, *shape)


def _simple_models(seen: ItemsSeen) -> list[tuple[str, nn.Module]]:
    outputs = seen.prediction[0].numel()
    features = seen.features.shape[1]
    linear = nn.Linear(features, outputs)
    nn.init.zeros_(linear.weight)
    hidden = nn.Sequential(nn.Linear(features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))
    return [("linear", linear), ("hidden", hidden)]


def _fit(
    name: str, seen: ItemsSeen, model: nn.Module, rows: torch.Tensor, judged: torch.Tensor, deadline: float
) -> Score:
    """The best of what the model was while it was trained."""
    features = seen.features
    mean, spread = features[rows].mean(0), features[rows].std(0)
    features = (features - mean) / torch.where(spread > 0, spread, 1.0)
    finish = _finish(seen, rows)
    model.to(features.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03 if name == "linear" else 3e-3, weight_decay=1e-4)
    scores: list[Score] = []
    for step in range(_STEPS + 1):
        if step % _LOOK_EVERY == 0:
            with torch.no_grad():
                scores.append(_judge(name, seen, finish(model(features[judged])), judged))
            if time.monotonic() > deadline:
                break
        chosen = rows[torch.randint(len(rows), (min(_BATCH, len(rows)),))]
        optimizer.zero_grad()
        seen.loss(finish(model(features[chosen])), chosen).backward()
        optimizer.step()
    return max(scores[1:] or scores, key=lambda one: _number(one.score))


def _finish(seen: ItemsSeen, rows: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Makes of the free outputs of a model what the loss function takes, in the scale of the targets."""
    shape = seen.prediction.shape[1:]
    if seen.task == "numbers":
        target = seen.target[rows].float()
        mean, spread = target.mean(0).flatten(), target.std(0).flatten().clamp(min=1e-6)
        return lambda outputs: (outputs * spread + mean).reshape(-1, *shape)
    if seen.call.name == "nll_loss":
        return lambda outputs: outputs.log_softmax(1)
    if seen.call.name == "binary_cross_entropy":
        return lambda outputs: outputs.sigmoid().reshape(-1, *shape)
    return lambda outputs: outputs.reshape(-1, *shape)

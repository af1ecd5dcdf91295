"""Targets of padding that the loss counts like any others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import tensors_of
from nn_inspector.experiments.batch_contents import map_leaves

MOST = 0.5
"""From this share of padding on the loss is mostly about padding."""

_BATCHES = 8
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Padding:
    """Sequences that are filled up at one end.

    Attributes:
        token: what the input is filled up with.
        label: what the target is there, and nowhere else.
        share: of the targets that are padding.
    """

    token: int
    label: int
    share: float

    def left_out(self, batch: Any) -> Any:
        """A batch whose padding is left out by a loss of torch's."""
        first, *_, last = tensors_of(batch)
        return map_leaves(
            batch, lambda leaf: torch.where(first == self.token, _IGNORED, leaf) if leaf is last else leaf
        )


def padding_in_loss(subject: Subject) -> Padding | None:
    """The padding that a cross entropy over tokens counts; None if there is none, or little."""
    if subject.seconds <= 0 or not any(_counts(entry.call, entry.facts) for entry in list(subject.run.trace)):
        return None
    try:
        batches = subject.batches(_BATCHES)
    except ExperimentError:
        return None
    pairs = [list(tensors_of(batch)) for batch in batches]
    if any(len(pair) < 2 or not _are_tokens(pair[0], pair[-1]) for pair in pairs):
        return None
    tokens, labels = (torch.cat([pair[end].flatten() for pair in pairs]) for end in (0, -1))
    token = int(tokens.mode().values)
    padded = tokens == token
    alike = labels[padded].unique()
    share = float(padded.double().mean())
    ends = all(_at_one_end(pair[0] == token) for pair in pairs)
    ignored = {entry.facts["ignore_index"] for entry in list(subject.run.trace) if "ignore_index" in entry.facts}
    if len(alike) != 1 or share < MOST or share == 1 or not ends or int(alike) in ignored:
        return None
    elsewhere = bool((labels[~padded] == alike).any())
    return None if elsewhere else Padding(token, int(alike), share)


def _counts(name: str, facts: Any) -> bool:
    return name in ("cross_entropy", "nll_loss") and not facts.get("weighted") and facts.get("phase") != "validation"


def _are_tokens(tokens: torch.Tensor, labels: torch.Tensor) -> bool:
    whole = not tokens.is_floating_point() and labels.dtype == torch.int64
    return whole and tokens.dim() == 2 and tokens.shape == labels.shape


def _at_one_end(padded: torch.Tensor) -> bool:
    """Whether each row is padding from some place on, or up to some place."""
    changes = padded.int().diff(dim=1)
    return bool((changes >= 0).all() or (changes <= 0).all())

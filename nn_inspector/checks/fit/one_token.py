"""Texts that hold one token far too often: words that the vocabulary does not hold, or holds in another form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.experiments import tensors_of

MOSTLY = 0.8
"""Share of all tokens, padding left out, from which on one of them is nearly the whole text."""

OFTEN = 0.25
"""Share from which on it is suspicious if it stands at the beginning of the vocabulary, where marks stand, and much of that never occurs."""

UNUSED = 0.4
"""Such a share of the entries never occurs, in texts long enough for each to come `_TIMES` times."""

VOCABULARY = 16
"""With fewer entries in an embedding, few tokens are what is to be expected."""

_FEWEST = 200
_TIMES = 10
_MARKS = 4


@dataclass(frozen=True, slots=True)
class OneToken:
    """The token that is nearly all there is.

    Attributes:
        token: its number.
        share: of all tokens that are no padding.
        vocabulary: how many there could be.
        unused: share of those that never occur.
    """

    token: int
    share: float
    vocabulary: int
    unused: float

    @property
    def mostly(self) -> bool:
        """Whether the texts hold next to nothing else."""
        return self.share >= MOSTLY


def one_token(model: nn.Module, batches: Sequence[Any]) -> OneToken | None:
    """Count the tokens of some batches; None if they are none, or differ."""
    tables = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    vocabulary = max(tables, default=0)
    texts = [next(_texts(batch), None) for batch in batches]
    found = [tokens for text in texts if text is not None for tokens in [_without_padding(text)]]
    if vocabulary < VOCABULARY or not found:
        return None
    tokens = torch.cat(found)
    if len(tokens) < _FEWEST:
        return None
    values, counts = tokens.unique(return_counts=True)
    share, unused = float(counts.max() / len(tokens)), 1 - len(values) / vocabulary
    one = OneToken(int(values[counts.argmax()]), share, vocabulary, unused)
    is_mark = one.token < _MARKS
    often = share >= OFTEN and unused >= UNUSED and is_mark and len(tokens) >= _TIMES * vocabulary
    return one if one.mostly or often else None


def _texts(batch: Any) -> Iterator[torch.Tensor]:
    for one in tensors_of(batch):
        whole = not one.is_floating_point() and not one.is_complex() and one.dtype is not torch.bool
        if whole and one.dim() == 2 and one.shape[1] > 2:
            yield one.detach().cpu()


def _without_padding(text: torch.Tensor) -> torch.Tensor:
    """The tokens of all rows without the run of one and the same token at their end, or at their beginning, if most have one."""
    for rows in (text, text.flip(1)):
        last = int(rows[:, -1].mode().values)
        run = (rows.flip(1) == last).long().cumprod(1).flip(1).bool()
        if bool((rows[:, -1] == last).float().mean() > 0.5) and not bool(run.all()):
            return rows[~run]
    return text.flatten()

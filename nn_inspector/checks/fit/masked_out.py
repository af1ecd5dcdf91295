"""A padding mask that is the wrong way round: attention looks at the padding and at nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import initial_state, isolated, tensors_of

_MASKS = ("key_padding_mask", "src_key_padding_mask", "tgt_key_padding_mask")
_ATTENDING = (nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoder)
_FEWEST_TOKENS = 3


@dataclass(frozen=True, slots=True)
class TurnedRound:
    """A mask that leaves out what is no padding.

    Attributes:
        module: which was given it.
        token: the only one at the positions that are looked at.
        left_out: the share of positions that are not looked at.
    """

    module: str
    token: int
    left_out: float


def mask_turned_round(subject: Subject, batch: Any) -> TurnedRound | None:
    """Hold the padding masks that attention is given in one pass against the tokens of the batch; None if they are right.

    The first position may be a token of the network's own in front of all others.
    """
    tokens = [t for t in tensors_of(batch) if t.dim() == 2 and not t.is_floating_point() and t.dtype is not torch.bool]
    if not tokens or not any(isinstance(module, _ATTENDING) for module in subject.training.model.modules()):
        return None
    masks: list[tuple[str, torch.Tensor]] = []
    try:
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            for name, module in copied.model.named_modules():
                if isinstance(module, _ATTENDING):
                    module.register_forward_pre_hook(_noting(name, masks), with_kwargs=True)
            copied.loss(batch)
    except ExperimentError:
        return None
    found = (_turned(name, mask, one) for name, mask in masks for one in tokens)
    return next((one for one in found if one is not None), None)


def _noting(name: str, masks: list[tuple[str, torch.Tensor]]) -> Any:
    def note(_module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        masks.extend((name, mask.detach()) for mask in _boolean(kwargs))

    return note


def _boolean(kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    for name in _MASKS:
        mask = kwargs.get(name)
        if isinstance(mask, torch.Tensor) and mask.dim() == 2 and mask.dtype is torch.bool:
            yield mask


def _turned(name: str, mask: torch.Tensor, tokens: torch.Tensor) -> TurnedRound | None:
    mask, tokens = mask.cpu(), tokens.cpu()
    if mask.shape == (len(tokens), tokens.shape[1] + 1):
        mask = mask[:, 1:]
    if mask.shape != tokens.shape or not bool(mask.any()) or bool(mask.all()):
        return None
    seen, left_out = tokens[~mask].unique(), tokens[mask].unique()
    if len(seen) != 1 or len(left_out) < _FEWEST_TOKENS or int(seen) in left_out.tolist():
        return None
    return TurnedRound(name, int(seen), float(mask.double().mean()))

"""A padding mask that is the wrong way round: attention looks at the padding and at nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Call, initial_state, isolated, take_apart, tensors_of

_MASKS = ("key_padding_mask", "src_key_padding_mask", "tgt_key_padding_mask")
_ATTENDING = (nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoder)
_FEWEST_TOKENS = 3
_NOTHING = 1e-9
"""A weight of attention that small is one of a position that was left out."""

_LOW = -9e3
"""What is added to a score to leave a position out is lower than this: -1e4 in half precision, or -inf."""


@dataclass(frozen=True, slots=True)
class TurnedRound:
    """A mask that leaves out what is no padding.

    Attributes:
        module: which was given it, or in which its weights were computed.
        token: the only one at the positions that are looked at.
        left_out: the share of positions that are not looked at.
        by_hand: whether the weights were computed by code of the user's.
    """

    module: str
    token: int
    left_out: float
    by_hand: bool


def mask_turned_round(subject: Subject, batch: Any) -> TurnedRound | None:
    """Hold what attention leaves out in one pass against the tokens of the batch; None if that is right.

    The first position may be a token of the network's own in front of all others.
    """
    tokens = [t for t in tensors_of(batch) if t.dim() == 2 and not t.is_floating_point() and t.dtype is not torch.bool]
    if not tokens:
        return None
    masks: list[tuple[str, torch.Tensor]] = []
    calls: list[Call] = []
    with (
        contextlib.suppress(ExperimentError),  # a pass that is too large to be taken apart has shown its masks by then
        isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied,
    ):
        for name, module in copied.model.named_modules():
            if isinstance(module, _ATTENDING):
                module.register_forward_pre_hook(_noting(name, masks), with_kwargs=True)
        calls = take_apart(copied, batch, training=False, backward=False).calls
    by_hand = [(call.module or "", left_out) for call in calls for left_out in _left_out(call)]
    for name, mask, own in (*((*one, False) for one in masks), *((*one, True) for one in by_hand)):
        for one in tokens:
            found = _turned(name, mask, one, by_hand=own)
            if found is not None:
                return found
    return None


def _noting(name: str, masks: list[tuple[str, torch.Tensor]]) -> Any:
    def note(_module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        masks.extend((name, mask.detach()) for mask in _boolean(kwargs))

    return note


def _boolean(kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    for name in _MASKS:
        mask = kwargs.get(name)
        if isinstance(mask, torch.Tensor) and mask.dim() == 2 and mask.dtype is torch.bool:
            yield mask


def _left_out(call: Call) -> Iterator[torch.Tensor]:
    """Bool [items, positions], True where no weight of attention is left: of a softmax, or of a mask for torch's own function."""
    if call.name == "softmax" and call.output is not None and call.output.dim() >= 2:
        yield call.output.flatten(1, -2).amax(1) <= _NOTHING if call.output.dim() > 2 else call.output <= _NOTHING
    elif call.name == "scaled_dot_product_attention":
        items = len(call.inputs[0])
        for mask in call.inputs[3:]:
            taken = mask if mask.dtype is torch.bool else mask > _LOW
            if mask.dim() > 2 and len(mask) in (1, items):
                yield ~taken.flatten(1, -2).any(1).expand(items, -1)


def _turned(name: str, mask: torch.Tensor, tokens: torch.Tensor, *, by_hand: bool) -> TurnedRound | None:
    """Of items without any mark in the mask nothing is asked: where all scores are as small as can be, none is left out."""
    mask, tokens = mask.cpu(), tokens.cpu()
    if mask.shape == (len(tokens), tokens.shape[1] + 1):
        mask = mask[:, 1:]
    if mask.shape != tokens.shape or not bool(mask.any()) or bool(mask.all()):
        return None
    marked = mask.any(1) & ~mask.all(1)
    mask, tokens = mask[marked], tokens[marked]
    seen, left_out = tokens[~mask].unique(), tokens[mask].unique()
    if len(seen) != 1 or len(left_out) < _FEWEST_TOKENS or int(seen) in left_out.tolist():
        return None
    return TurnedRound(name, int(seen), float(mask.double().mean()), by_hand)

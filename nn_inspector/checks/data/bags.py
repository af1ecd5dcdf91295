"""Bags of words that hold the words of other items: offsets of EmbeddingBag that do not say where each bag begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.experiments import initial_state, isolated

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class WrongBags:
    """Offsets that go down.

    Attributes:
        module: the EmbeddingBag.
        offsets: the first of them.
        words: how many words the batch has.
    """

    module: str
    offsets: list[int]
    words: int


def wrong_bags(subject: Subject) -> WrongBags | None:
    """Look at the offsets that EmbeddingBags are given in one pass; None if each begins where the one before ends, or later.

    Raises:
        ExperimentError: no pass can be made.
    """
    if not any(isinstance(module, nn.EmbeddingBag) for module in subject.training.model.modules()):
        return None
    found: list[WrongBags] = []
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        for name, module in copied.model.named_modules():
            if isinstance(module, nn.EmbeddingBag):
                module.register_forward_pre_hook(_looking(name, found), with_kwargs=True)
        copied.loss(subject.batches()[0])
    return found[0] if found else None


def _looking(name: str, found: list[WrongBags]) -> Any:
    def look(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("input", "offsets"), args, strict=False)) | kwargs
        words, offsets = given.get("input"), given.get("offsets")
        if not isinstance(words, torch.Tensor) or not isinstance(offsets, torch.Tensor):
            return
        if bool((offsets.diff() < 0).any()):
            found.append(WrongBags(name, offsets[:_SHOWN].tolist(), words.numel()))

    return look

"""Networks that take another way through torch while a function mode is on its stack."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from torch import nn

KINDS = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)
"""Modules of torch's with such another way; it is not taken either while they or their parts have hooks."""


def takes_fast_path_elsewhere(model: nn.Module) -> bool:
    """Whether there is attention of torch's in evaluation mode that is no part of `model`: a teacher, an average.

    Without gradients it runs through a fused kernel, which rounds otherwise than the plain way, and torch takes the plain
    one while any function mode is active.
    """
    own = {id(module) for module in model.modules()}
    found = gc.get_referrers(*_subclasses(KINDS))
    return any(isinstance(one, KINDS) and not one.training and id(one) not in own for one in found)


def _subclasses(kinds: tuple[type, ...]) -> Iterator[type]:
    for kind in kinds:
        yield kind
        yield from _subclasses(tuple(kind.__subclasses__()))

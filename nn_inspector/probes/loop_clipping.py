"""How the loop clips its gradients before each step, as its first steps show."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from nn_inspector.probes.measurement import TraceEntry

_FEWEST = 3
_MOST = 0.9


@dataclass(frozen=True, slots=True)
class Clipping:
    """What is done to the gradients between backward() and step().

    Attributes:
        kind: "norm" or "value".
        limit: what they are clipped to.
    """

    kind: str
    limit: float

    def clip(self, parameters: Iterable[Tensor]) -> None:
        """Do the same to the gradients of others."""
        if self.kind == "norm":
            clip_grad_norm_(parameters, self.limit)
        else:
            clip_grad_value_(parameters, self.limit)


def clipping_of(trace: Iterable[TraceEntry]) -> Clipping | None:
    """The clipping that nearly all steps had; None where there was none, or where it missed the gradients that were stepped.

    Example:
        >>> once = [("backward", {}), ("clip", {"kind": "norm", "limit": 1.0, "norm": 3.0}), ("step", {"optimizer": 0})]
        >>> clipping_of(TraceEntry(step, call, facts) for step in range(5) for call, facts in once)
        Clipping(kind='norm', limit=1.0)
    """
    by_step: list[Clipping | None] = []
    found: Clipping | None = None
    ready = False
    for entry in trace:
        if entry.call == "backward":
            ready, found = True, None
        elif entry.call == "clip" and ready and entry.facts.get("norm") != 0.0:
            found = _read(entry)
        elif entry.call in ("unscale", "rescale"):
            found = None  # what was clipped was scaled
        elif entry.call == "step":
            if ready:
                by_step.append(found)
            ready, found = False, None
    return _usual(by_step)


def _read(entry: TraceEntry) -> Clipping | None:
    kind, limit = entry.facts.get("kind"), entry.facts.get("limit")
    known = kind in ("norm", "value") and isinstance(limit, int | float) and limit > 0
    return Clipping(str(kind), float(limit)) if known else None  # type: ignore[arg-type]


def _usual(by_step: Sequence[Clipping | None]) -> Clipping | None:
    found = [one for one in by_step if one is not None]
    kinds = {one.kind for one in found}
    if len(found) < max(_FEWEST, _MOST * len(by_step)) or len(kinds) != 1:
        return None
    return Clipping(kinds.pop(), statistics.median(one.limit for one in found))

"""How often gradients are clipped, as far as it can be seen from their norms after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn_inspector.history import Run, Series

_AT_THE_LIMIT = 0.99
"""Share of the limit from which a norm counts as clipped: torch divides by a little more than the norm."""


@dataclass(frozen=True, slots=True)
class Clipping:
    """Gradients are clipped by their norm.

    Attributes:
        limit: what it is clipped to.
        share: of the measured steps at which it was at the limit.
    """

    limit: float
    share: float


def clipping(run: Run, total: Series) -> Clipping | None:
    """What is known of the clipping; None where there is none, or where it is not that of all parameters together.

    Args:
        run: whose first steps are looked at for the limit.
        total: norm of the gradients of all parameters, as the step uses them.
    """
    limits = {entry.facts.get("limit") for entry in run.trace if entry.call == "clip" and entry.facts["kind"] == "norm"}
    limit = next(iter(limits), None)
    if len(limits) != 1 or not isinstance(limit, float) or not limit > 0 or not len(total):
        return None
    at_limit = total.values >= _AT_THE_LIMIT * limit
    return Clipping(limit, float(np.average(at_limit, weights=total.counts)))

"""A softmax that weighs data by scores that are far too large or far too small: it chooses one entry for good, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of
from nn_inspector.experiments.rewiring import Replacement

SHARP = 20.0
"""Spread of the scores at the first weights from which on one entry gets all the weight."""

FLAT = 0.005
"""Spread below which all entries weigh the same, and"""

STILL_FLAT = 0.5
"""below which they still do with the weights of now."""

_MASKED = -1e4
_MOVES: frozenset[Kind] = frozenset({"move", "dropout", "affine"})


@dataclass(frozen=True, slots=True)
class OddScores:
    """Scores out of proportion.

    Attributes:
        node: the call of softmax.
        spread: of the scores along its axis, median over all rows.
    """

    node: Node
    spread: float

    @property
    def text(self) -> str:
        """What they do, in words."""
        harm = (
            "one entry gets all the weight, and what makes the scores gets next to no gradient"
            if self.spread > SHARP
            else "all entries get the same weight, and what makes the scores gets next to no gradient"
        )
        return f"a softmax that weighs data is given scores with a spread of {self.spread:.2g}: {harm}"

    @property
    def instead(self) -> Replacement:
        """The same softmax of scores with a spread of 1."""

        def scaled(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
            if args:
                return function(args[0] / self.spread, *args[1:], **kwargs)
            return function(**{**kwargs, "input": kwargs["input"] / self.spread})

        return scaled


def odd_scores(subject: Subject, seen: Anatomy) -> OddScores | None:
    """The first softmax within the model whose scores are out of proportion at the first weights, and still are if they were small.

    Args:
        subject: training and run.
        seen: one pass of a copy with the first weights.
    """
    flow = flow_of(seen)
    for node in flow.of("softmax"):
        spread = _spread(flow, node)
        if spread is None or spread <= 0 or FLAT <= spread <= SHARP:
            continue
        if spread > SHARP or _is_still_flat(subject, node):
            return OddScores(node, spread)
    return None


def _is_still_flat(subject: Subject, node: Node) -> bool:
    try:
        flow = flow_of(subject.anatomy("now", training=False))
    except ExperimentError:
        return False
    spreads = [_spread(flow, one) for one in flow.of("softmax") if one.turn == node.turn]
    return all(one is not None and one < STILL_FLAT for one in spreads)


def _spread(flow: Flow, node: Node) -> float | None:
    """The spread of the scores of a softmax that weighs data; masked ones do not count. None if it does not, or it is not known."""
    options, given = node.call.options, node.call.inputs[0].detach().float()
    axis = options.get("dim", options.get("1"))
    weighs = any(one.kind == "gate" for one in flow.after(node, _MOVES))
    if node.call.name != "softmax" or not weighs or not isinstance(axis, int) or given.dim() < 2:
        return None
    rows = given.movedim(axis, -1).reshape(-1, given.shape[axis])
    seen = rows > _MASKED
    count = seen.sum(1)
    mean = torch.where(seen, rows, 0).sum(1) / count.clamp(min=1)
    squares = torch.where(seen, (rows - mean[:, None]).square(), 0).sum(1) / count.clamp(min=1)
    spreads = squares.sqrt()[count > 1]
    return float(spreads.median()) if len(spreads) and bool(spreads.isfinite().all()) else None

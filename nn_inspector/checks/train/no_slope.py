"""Gradients that are 0 at most steps, of all weights, while there is a loss left: the loss is flat where the network stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.train.gradients_seen import gradient_norms
from nn_inspector.checks.train.standstill import got_nowhere
from nn_inspector.errors import ExperimentError
from nn_inspector.history import Finding, Remedy

MOST = 0.5
"""A gradient that is 0 at more than this share of the measured steps teaches next to nothing."""

FEWEST = 10
"""Measured steps."""

CUT_OFF = 0.9
"""A limit that so much of what it is given is at is where the slope is lost."""

_LIMITS = frozenset(
    {"clamp", "clip", "clamp_min", "clamp_max", "clamp_", "hardtanh", "hardsigmoid", "relu", "relu6", "threshold"}
)

_LOGITS = """\
log_good = torch.nn.functional.logsigmoid(scores).sum(1)  # not torch.sigmoid(scores).prod(1).clamp(1e-7, 1 - 1e-7)
loss = torch.nn.functional.binary_cross_entropy_with_logits(score, target)  # one score for each item: no limit is needed"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A call that gives the same number for most of what it is given.

    Attributes:
        name: of the function.
        share: of its numbers that are at the limit.
        value: the limit.
    """

    name: str
    share: float
    value: float


def no_slope(info: CheckInfo, subject: Subject) -> Finding | None:
    """An error, if the whole gradient is 0 at most steps of a training that got nowhere.

    Where all is right already, as items beyond a margin are, the loss has come down; gradients that are cleared before the step are
    measured before that.
    """
    norms = gradient_norms(subject.run).norms
    norms = norms[np.isfinite(norms)]
    if len(norms) < FEWEST:
        return None
    share = float((norms == 0).mean())
    if share <= MOST or not got_nowhere(subject):
        return None
    limit = limit_of(subject)
    at = (
        f" {limit.name}() gives {limit.value:.3g} for {limit.share:.0%} of what it is given, and passes no gradient there."
        if limit is not None
        else ""
    )
    return finding(
        info,
        "error",
        f"No: at {share:.0%} of the measured steps the gradient of every weight is 0, and there is still a loss: it is flat where the "
        f"network stands.{at}",
        evidence={"zero": share},
        remedy=Remedy(
            "Take away the limit that the answers are at, and compute with scores or logarithms in place of products of probabilities.",
            _LOGITS,
        ),
        where=limit.name if limit is not None else "loss",
        basis="structure",
    )


def limit_of(subject: Subject) -> Limit | None:
    """The last call between the weights and the loss whose numbers are nearly all at one limit."""
    try:
        seen = subject.anatomy("now")
    except ExperimentError:
        return None
    for call in reversed(seen.named(*_LIMITS)):
        output = call.output
        if output is None or not call.inputs or not output.requires_grad or output.numel() < 2:
            continue
        given = call.inputs[0]
        if given.shape != output.shape or torch.equal(given, output):
            continue
        for value in (float(output.detach().min()), float(output.detach().max())):
            share = float(((output == value) & (given != output)).float().mean())
            if share >= CUT_OFF:
                return Limit(call.name, share, value)
    return None

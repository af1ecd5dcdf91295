"""Checks of the training while it runs."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.train import (
    constant_predictions,
    divergence,
    learning_rate,
    loss_spike,
    no_learning,
    nonfinite,
    oscillation,
    regularization_share,
    slow_learning,
    steep_then_flat,
)

CHECKS: tuple[Check, ...] = (
    nonfinite.CHECK,
    loss_spike.CHECK,
    divergence.CHECK,
    no_learning.CHECK,
    slow_learning.CHECK,
    steep_then_flat.CHECK,
    oscillation.CHECK,
    constant_predictions.CHECK,
    regularization_share.CHECK,
    learning_rate.CHECK,
)
"""In the order in which they are made."""

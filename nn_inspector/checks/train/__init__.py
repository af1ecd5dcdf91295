"""Checks of the training while it runs."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.train import (
    batch_size,
    constant_predictions,
    dead_units,
    divergence,
    exploding_gradients,
    learning_rate,
    loss_spike,
    loss_terms,
    no_learning,
    nonfinite,
    optimizer_settings,
    oscillation,
    regularization_share,
    saturation,
    slow_learning,
    steep_then_flat,
    training_length,
    update_ratio,
    vanishing_gradients,
    weight_spread,
)

CHECKS: tuple[Check, ...] = (
    nonfinite.CHECK,
    loss_spike.CHECK,
    divergence.CHECK,
    no_learning.CHECK,
    slow_learning.CHECK,
    steep_then_flat.CHECK,
    oscillation.CHECK,
    vanishing_gradients.CHECK,
    exploding_gradients.CHECK,
    weight_spread.CHECK,
    update_ratio.CHECK,
    dead_units.CHECK,
    saturation.CHECK,
    constant_predictions.CHECK,
    regularization_share.CHECK,
    loss_terms.CHECK,
    learning_rate.CHECK,
    batch_size.CHECK,
    optimizer_settings.CHECK,
    training_length.CHECK,
)
"""In the order in which they are made."""

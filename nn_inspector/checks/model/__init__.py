"""Checks of the model's parts."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.model import (
    batch_dependency,
    capacity,
    hidden_activation,
    layer_order,
    loss_match,
    normalization,
    output_layer,
    simpler_baseline,
    trainable_parameters,
)

CHECKS: tuple[Check, ...] = (
    output_layer.CHECK,
    loss_match.CHECK,
    layer_order.CHECK,
    hidden_activation.CHECK,
    trainable_parameters.CHECK,
    batch_dependency.CHECK,
    normalization.CHECK,
    capacity.CHECK,
    simpler_baseline.CHECK,
)
"""In the order in which they are made."""

"""Checks before the first step."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.init import activation_scale, initial_loss, output_bias, symmetry, weight_scale

CHECKS: tuple[Check, ...] = (
    initial_loss.CHECK,
    output_bias.CHECK,
    weight_scale.CHECK,
    symmetry.CHECK,
    activation_scale.CHECK,
)
"""In the order in which they are made."""

"""Checks of what goes in."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.data import (
    batch_balance,
    input_scale,
    label_alignment,
    label_range,
    missing_values,
    shuffling,
    target_scale,
)

CHECKS: tuple[Check, ...] = (
    label_range.CHECK,
    missing_values.CHECK,
    input_scale.CHECK,
    target_scale.CHECK,
    batch_balance.CHECK,
    shuffling.CHECK,
    label_alignment.CHECK,
)
"""In the order in which they are made."""

"""Checks of what goes in."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.data import (
    batch_balance,
    input_scale,
    label_alignment,
    label_balance,
    label_range,
    missing_values,
    shuffling,
    split_shift,
    target_scale,
)

CHECKS: tuple[Check, ...] = (
    label_balance.CHECK,
    label_range.CHECK,
    missing_values.CHECK,
    split_shift.CHECK,
    input_scale.CHECK,
    target_scale.CHECK,
    batch_balance.CHECK,
    shuffling.CHECK,
    label_alignment.CHECK,
)
"""In the order in which they are made."""
